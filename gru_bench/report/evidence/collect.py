"""All that the sections of a report are computed from, read from the store once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gru_bench.config import is_own
from gru_bench.report.document.numbers import Numbers
from gru_bench.report.document.sentences import Sentence
from gru_bench.report.evidence.baselines import baselines_of
from gru_bench.report.evidence.data_sets import PairOverDataSets, data_sets_of, pairs_over
from gru_bench.report.evidence.groups import ModelRuns, confirm_groups, metric_of
from gru_bench.report.evidence.mixtures import Mixture, mixtures_of
from gru_bench.report.evidence.pairs import (
    Margin,
    Pair,
    ScoredTestSet,
    compare,
    compare_mixtures,
    compare_with_linear,
    margin_of,
    scored_test_sets,
)
from gru_bench.report.evidence.progress import is_searched, nothing_to_report
from gru_bench.report.evidence.store import Histories, Store
from gru_bench.report.evidence.trials import Search, SearchSoFar, searches_of, searches_so_far
from gru_bench.results.logged_metrics import ACCURACY_VAL, LOSS_TRAIN, LOSS_TRAIN_WINDOW, LOSS_VAL
from gru_bench.results.runs import OnTest
from gru_bench.tracking import LoggedStudy


@dataclass(frozen=True)
class Evidence:
    """The evidence that the numbers of a report are computed from."""

    studies: Sequence[LoggedStudy]
    numbers: Numbers
    """Makes all numbers of the report."""
    groups: Sequence[ModelRuns]
    """The confirmation runs of each model of each study, with their predictions of the test texts. Empty if there
    is nothing but the search of one study."""
    gaps: Sequence[Sentence]
    """What cannot be shown, and why."""
    store: Store
    histories: Histories
    """The curves of the groups' runs."""
    margin: Margin
    compared: Sequence[Pair]
    """The pairs of models that were trained."""
    not_compared: Sequence[Sentence]
    baselines: Sequence[ModelRuns]
    """The linear models, and the majority class; they are fitted once."""
    against: Sequence[Pair]
    """Each model that was trained with the linear model on its data: a family of tests of its own."""
    searches: Sequence[Search]
    so_far: Sequence[SearchSoFar] = ()
    """The searches that are shown by their trials, because no summary of them is logged or nothing confirms them."""
    test_sets: Sequence[ScoredTestSet] = ()
    """For each test set the models that were scored on it, in the whole store."""
    are_groups_off: bool = False
    """Whether somebody has turned off the groups of the examples."""
    mixtures: Sequence[Mixture] = ()
    """The mixture of each study that has one."""
    of_mixtures: Sequence[Pair] = ()
    """Each mixture with its linear and with its trained model: a family of tests of its own."""
    not_mixed: Sequence[Sentence] = ()
    """Why studies have no mixture."""
    data_sets: Mapping[str, Sequence[ModelRuns]] = field(default_factory=dict)
    """Name of each data set -> the models on it. Empty unless there are several independent ones."""
    over_data_sets: Sequence[PairOverDataSets] = ()
    """Pairs of models over data sets, then those with the linear model: a family of tests each."""
    asked: Mapping[str, int] = field(default_factory=dict)
    """Id of an original study's own run -> number of studies that ask its question, where several do."""

    @property
    def has_own(self) -> bool:
        """Return whether a model is a class of the user's own, as in a homework, whose figures must be handed in."""
        return any(is_own(group.model) for group in self.groups)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Return all pairs: of models that were trained, then of each and the linear model."""
        return (*self.compared, *self.against)

    @property
    def all_pairs(self) -> tuple[Pair, ...]:
        """Return the same, then those of mixtures and those over data sets, which have no part in what is advised on
        seeds."""
        return (*self.pairs, *self.of_mixtures, *self.over_data_sets)


def collect(
    studies: Sequence[LoggedStudy], store: Store, margin: float | None = None,
    counted: Mapping[str, OnTest] | None = None,
) -> Evidence:
    """Return the evidence of some studies, or of one study whose search is all there is.

    Args:
        studies: The studies.
        store: Source of their curves and predictions, and of the number of models on their test sets.
        margin: Largest difference of no practical weight; by default that of the studies.
        counted: As for `scored_test_sets`.

    Raises:
        IncompleteError: If no study has a complete confirmation run, unless there is one study and it has a complete
            trial.
    """
    numbers = Numbers()
    alone = len(studies) == 1 and is_searched(studies[0])
    groups, gaps = ([], []) if alone else confirm_groups(studies, store, numbers)
    if not groups and not alone:
        raise nothing_to_report("there is none")
    baselines, missing = baselines_of(studies, store, metric_of(studies), numbers) if groups else ([], [])
    mixtures, not_mixed = mixtures_of(studies, groups, baselines, store, numbers) if groups else ([], [])
    chosen = margin_of(studies, margin, numbers, metric_of(studies))
    return assembled(
        studies, store, numbers, groups, [*gaps, *missing], chosen, baselines, mixtures, not_mixed,
        counted=counted)


def assembled(
    studies: Sequence[LoggedStudy], store: Store, numbers: Numbers, groups: Sequence[ModelRuns],
    gaps: Sequence[Sentence], margin: Margin, baselines: Sequence[ModelRuns] = (), mixtures: Sequence[Mixture] = (),
    not_mixed: Sequence[Sentence] = (), *, counted: Mapping[str, OnTest] | None = None, are_groups_off: bool = False,
) -> Evidence:
    """Return the evidence of some models: they are compared, and the curves of their runs are read."""
    are_groups_off |= any(group.is_logged and group.config.data.group_column is None for group in groups)
    test_sets, data_sets = scored_test_sets(groups, store, numbers, counted), data_sets_of(groups)
    tested = [test_sets] if data_sets else [(test_set,) for test_set in test_sets]
    asked = {original: times for test_set in test_sets for original, times in test_set.asked.items()}
    compared, apart = compare(groups, margin.value, tested, asked, numbers)
    against, apart_from_linear = compare_with_linear(margin.value, tested, asked, baselines, numbers)
    over, ambiguous = pairs_over(data_sets, compared, against, margin.value, numbers)
    histories = store.histories(
        [run.run_id for group in groups if group.is_logged for run in group.runs],
        [metric.key for metric in (LOSS_TRAIN, LOSS_VAL, ACCURACY_VAL, LOSS_TRAIN_WINDOW)])
    return Evidence(
        studies, numbers, groups, gaps, store, histories, margin, compared,
        [*apart, *apart_from_linear, *ambiguous],
        baselines, against, searches_of(groups, histories), searches_so_far(studies, store), test_sets,
        are_groups_off, mixtures, compare_mixtures(margin.value, mixtures, asked), not_mixed, data_sets, over,
        asked)
