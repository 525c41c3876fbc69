"""The average of a study: the trained and the linear model that are best on validation, each at its own temperature.

It is no run. It is computed from the probabilities that runs have logged, wherever it is needed.

Shapes: `R` runs (seeds) of the trained model, `N` test examples, `C` classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Self

import numpy as np

from gru_bench.report.document.numbers import Numbers
from gru_bench.report.document.sentences import Sentence, in_text, joined, say
from gru_bench.report.evidence.baselines import baselines_of, linear_model
from gru_bench.report.evidence.groups import ModelRuns, confirm_groups, metric_of, validation_rank
from gru_bench.report.evidence.progress import study_name
from gru_bench.report.evidence.store import Store
from gru_bench.report.evidence.temperatures import Temperatures, temperatures
from gru_bench.results.baselines import AVERAGE
from gru_bench.stats.average import averaged
from gru_bench.stats.metrics import mean_probability
from gru_bench.tracking import LoggedRun, LoggedStudy


@dataclass(frozen=True, kw_only=True, eq=False)
class Average(ModelRuns):
    """The average of a study, with what it predicts with each seed of its trained model."""

    trained: ModelRuns
    linear: ModelRuns
    temperatures: Temperatures
    """Those of the trained model."""
    linear_temperature: float | None
    """None: T is 1."""

    @property
    def parts(self) -> tuple[ModelRuns, ...]:
        """Return the two models that it is of."""
        return self.trained, self.linear

    @cached_property
    def together(self) -> Self:
        """Return what all seeds of the trained model together predict with the linear model, as one run."""
        mean_NC = mean_probability(self.trained.probability_RNC.astype(np.float64))  # as a saved model takes it
        found_NC = averaged(mean_NC, self.linear.probability_RNC[0], self.temperatures.together, self.linear_temperature)
        return replace(self, probability_RNC=found_NC[None])

    def ids_of(self, run: LoggedRun) -> tuple[str, ...]:
        """Return the ids of the runs behind its predictions with the seed of a run."""
        return (run.run_id, *self.linear.ids)


def averages_of(
    studies: Sequence[LoggedStudy], groups: Sequence[ModelRuns], baselines: Sequence[ModelRuns], store: Store,
    numbers: Numbers,
) -> tuple[list[Average], list[Sentence]]:
    """Return the average of each study, and why others have none; nothing is said of studies without a linear model.

    Args:
        studies: The studies.
        groups: The confirmation runs of their models.
        baselines: Their baselines.
        store: Store of the runs.
        numbers: Makes the numbers of the report.
    """
    found: list[Average] = []
    missing: list[Sentence] = []
    for study in studies:
        own = [group for group in groups if group.study is study and group.has_probabilities]
        if not own or linear_model(baselines, own[0]) is None:
            continue
        name = study_name(study)
        made = average_of(study, own, baselines, store, numbers.of(AVERAGE).named(name, same=study.run.run_id),
                          AVERAGE.capitalize() if len(studies) == 1 else f"{AVERAGE.capitalize()} ({name})")
        if isinstance(made, Average):
            found.append(made)
        else:
            missing.append(say("There is no average of the models of {study}: {why}.", study=name, why=made))
    return found, missing


def study_average(study: LoggedStudy, store: Store) -> Average | str:
    """Return the average of one study, or a sentence that says why there is none."""
    numbers, metric = Numbers(), metric_of([study])
    groups, _ = confirm_groups([study], store, numbers)
    baselines, _ = baselines_of([study], store, metric, numbers)
    found, missing = averages_of([study], groups, baselines, store, numbers)
    if found:
        return found[0]
    return in_text(joined(missing)) or "It needs a complete confirmation run and a linear model."


def average_of(
    study: LoggedStudy, groups: Sequence[ModelRuns], baselines: Sequence[ModelRuns], store: Store, numbers: Numbers,
    label: str,
) -> Average | str:
    """Return the average of a study, or why there is none.

    Args:
        study: The study.
        groups: The confirmation runs of its models.
        baselines: The baselines, among which is a linear model on its data.
        store: Store of the runs.
        numbers: Gives its numbers their keys.
        label: What a report calls it.
    """
    try:
        trained = min(groups, key=lambda group: validation_rank(study, group.runs))
    except KeyError:
        return "its models are chosen on validation texts, and the runs have no validation scores"
    linear = linear_model(baselines, trained)
    assert linear is not None
    if not (np.array_equal(trained.example_N, linear.example_N) and np.array_equal(trained.label_N, linear.label_N)):
        return f"the test texts of {trained.label} and {linear.label} differ"
    if not (trained.whole and linear.whole):
        return "with so many classes, the runs stored only the largest probabilities"
    of_trained, of_linear = (temperatures(store, group.ids) for group in (trained, linear))
    if why := next((one.missing for one in (of_trained, of_linear) if not one.is_known), ""):
        return why
    probability_RNC = np.stack([
        averaged(own_NC, linear.probability_RNC[0], temperature, of_linear.together)
        for own_NC, temperature in zip(trained.probability_RNC, of_trained.run_R, strict=True)])
    common = {one.name: getattr(trained, one.name) for one in fields(ModelRuns)}
    return Average(**{**common, "probability_RNC": probability_RNC, "numbers": numbers, "label": label,
                      "model": AVERAGE}, trained=trained, linear=linear, temperatures=of_trained,
                   linear_temperature=of_linear.together)
