"""The checks of study files alone: before a sweep, without reading any data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gru_bench.checks.codes import Remark
from gru_bench.checks.conditions import are_unequal
from gru_bench.data.batches import fills_window, iterations_of_epoch
from gru_bench.stats.statistics import EvidenceLevel

if TYPE_CHECKING:
    from gru_bench.sweep.spec import StudySpec


def file_remarks(specs: Sequence[StudySpec], reviews: int | None = None) -> list[Remark]:
    """Return what may be wrong with studies, as far as their files tell.

    Args:
        specs: The studies.
        reviews: Number of training reviews, where it is known.
    """
    each = (one for spec in specs for one in (*_seeds(spec), *_test_file(spec), *_windows(spec, reviews)))
    return [*each, *_budgets(specs)]


def _seeds(spec: StudySpec) -> Iterator[Remark]:
    ablations = spec.ablations.seeds if spec.ablations is not None else 0
    for seeds, what in ((spec.confirm, "confirms each model on"), (ablations, "compares its ablations on")):
        if seeds and not EvidenceLevel.of(seeds).has_verdict:
            yield Remark("GRU003", f"{spec.name} {what} {seeds} seed{'s' * (seeds > 1)}: too few for a verdict.")


def _test_file(spec: StudySpec) -> Iterator[Remark]:
    name, test = spec.base.data.name, spec.base.data.test_name
    if test is not None and Path(name).expanduser().resolve() == Path(test).expanduser().resolve():
        yield Remark("GRU004", f"{spec.name} has the same file for training and test: {Path(test).name}.")


def _windows(spec: StudySpec, reviews: int | None) -> Iterator[Remark]:
    """Yield a remark on each model that has too few training reviews for a window of the training loss."""
    if reviews is None and spec.base.data.limit is not None:
        spec = spec.fitted(spec.base.data.limit)
    for model in spec.models:
        config = spec.config(model, {}, 0)
        most = config.data.limit if reviews is None else reviews
        if most is not None and not fills_window(config.training, most):
            yield Remark(
                "GRU011", f"{spec.name}: a window of the training loss of {model} has {config.training.log_every:,} "
                f"iterations, but an epoch of {'at most ' * (reviews is None)}{most:,} reviews has "
                f"{iterations_of_epoch(most, config.training):,}, so that no window fills.")


def _budgets(specs: Sequence[StudySpec]) -> Iterator[Remark]:
    """Yield a remark on each data set that the studies search with unequal budgets."""
    alike: dict[str, list[StudySpec]] = {}
    for spec in specs:
        alike.setdefault(spec.base.data.model_dump_json(), []).append(spec)
    for some in alike.values():
        budgets = [{(spec.trials, spec.base.training.epochs, len(spec.space))} if spec.trials else () for spec in some]
        if are_unequal(budgets):
            each = [f"{spec.name} has {spec.trials} trials for each model of up to {spec.base.training.epochs} epochs "
                    f"over {len(spec.space)} settings" if spec.trials else f"{spec.name} has no search"
                    for spec in some]
            yield Remark("GRU002", f"The searches have unequal budgets, and a difference may come from that: "
                                   f"{'; '.join(each)}.")
