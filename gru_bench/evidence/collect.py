"""All that the sections of a report are computed from, read from the store once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gru_bench.document.numbers import Numbers
from gru_bench.document.sentences import Sentence
from gru_bench.evidence.baselines import baselines_of
from gru_bench.evidence.candidates import NONE_ON_VALIDATION, Candidates, candidates_of
from gru_bench.evidence.groups import ModelRuns, confirm_groups, metric_of
from gru_bench.evidence.pairs import (
    Margin,
    Pair,
    ScoredTestSet,
    compare,
    compare_candidates,
    compare_with_linear,
    margin_of,
    scored_test_set,
)
from gru_bench.evidence.progress import nothing_to_report
from gru_bench.evidence.store import Histories, Store
from gru_bench.evidence.trials import Search, searches_of
from gru_bench.results.logged_metrics import ACCURACY_VAL, LOSS_TRAIN, LOSS_TRAIN_WINDOW, LOSS_VAL
from gru_bench.results.runs import OnTest
from gru_bench.tracking import LoggedStudy

NO_CANDIDATES = Candidates(missing=NONE_ON_VALIDATION)


@dataclass(frozen=True)
class Evidence:
    """The evidence that the numbers of a report are computed from."""

    studies: Sequence[LoggedStudy]
    numbers: Numbers
    """Makes all numbers of the report."""
    groups: Sequence[ModelRuns]
    """The confirmation runs of each model of each study, with their predictions of the same test texts."""
    gaps: Sequence[Sentence]
    """What cannot be shown, and why."""
    store: Store
    histories: Histories
    """The curves of the groups' runs."""
    margin: Margin
    compared: Sequence[Pair]
    """The pairs of models that were trained."""
    not_compared: Sequence[Sentence]
    """Why models are not compared with the linear model."""
    baselines: Sequence[ModelRuns]
    """The linear models, and the majority class; they are fitted once."""
    against: Sequence[Pair]
    """Each model that was trained with the linear model on its data: a family of tests of its own."""
    searches: Sequence[Search]
    test_set: ScoredTestSet
    """The models that were scored on the test texts, in the whole store."""
    are_groups_off: bool = False
    """Whether somebody has turned off the groups of the examples."""
    candidates: Candidates = NO_CANDIDATES
    """The classifiers that can be taken."""
    taken: Sequence[Pair] = ()
    """The one that is taken with each other one, or all pairs where none is: a family of tests of its own."""

    @property
    def classifiers(self) -> Sequence[ModelRuns]:
        """Return whose errors are shown: those that can be taken; where none is chosen, the trained models."""
        return self.groups if self.candidates.chosen is None else self.candidates.every

    @property
    def pairs_shown(self) -> Sequence[Pair]:
        """Return the pairs of these whose texts are shown: the one that is taken and each other one, or all."""
        return self.compared if self.candidates.chosen is None else self.taken

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Return all pairs: of models that were trained, then of each and the linear model."""
        return (*self.compared, *self.against)


def collect(
    studies: Sequence[LoggedStudy], store: Store, margin: float | None = None,
    counted: Mapping[str, OnTest] | None = None,
) -> Evidence:
    """Return the evidence of some studies.

    Args:
        studies: The studies, which share their test texts.
        store: Source of their curves and predictions, and of the number of models on their test sets.
        margin: Largest difference of no practical weight; by default that of the studies.
        counted: As for `scored_test_set`.

    Raises:
        IncompleteError: If no study has a complete confirmation run.
    """
    numbers = Numbers()
    groups, gaps = confirm_groups(studies, store, numbers)
    if not groups:
        raise nothing_to_report("no confirmation run is complete")
    baselines, missing = baselines_of(studies, store, metric_of(studies), numbers)
    chosen = margin_of(studies, margin, numbers, metric_of(studies))
    return assembled(
        studies, store, numbers, groups, [*gaps, *missing], chosen, baselines,
        candidates_of(studies, groups, baselines, store), counted=counted)


def assembled(
    studies: Sequence[LoggedStudy], store: Store, numbers: Numbers, groups: Sequence[ModelRuns],
    gaps: Sequence[Sentence], margin: Margin, baselines: Sequence[ModelRuns] = (),
    candidates: Candidates = NO_CANDIDATES, *, counted: Mapping[str, OnTest] | None = None,
    are_groups_off: bool = False,
) -> Evidence:
    """Return the evidence of some models: they are compared, and the curves of their runs are read."""
    are_groups_off |= any(group.is_logged and group.config.data.group_column is None for group in groups)
    test_set = scored_test_set(groups, store, numbers, counted)
    compared = compare(margin.value, test_set, numbers)
    against, not_compared = compare_with_linear(margin.value, test_set, baselines, numbers)
    histories = store.histories(
        [run.run_id for group in groups if group.is_logged for run in group.runs],
        [metric.key for metric in (LOSS_TRAIN, LOSS_VAL, ACCURACY_VAL, LOSS_TRAIN_WINDOW)])
    return Evidence(
        studies, numbers, groups, gaps, store, histories, margin, compared, not_compared, baselines, against,
        searches_of(groups, histories), test_set, are_groups_off, candidates,
        compare_candidates(margin.value, candidates, test_set.asked))
