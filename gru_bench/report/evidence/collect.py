"""All that the sections of a report are computed from, read from the store once."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from gru_bench.errors import UsageError
from gru_bench.report.document.numbers import Numbers
from gru_bench.report.document.sentences import Sentence
from gru_bench.report.evidence.baselines import AgainstBaseline, ScoredBaseline, against_baselines, baselines_of
from gru_bench.report.evidence.groups import Group, confirm_groups, metric_of
from gru_bench.report.evidence.looks import StudyLooks, study_looks
from gru_bench.report.evidence.pairs import Family, Margin, Pair, compare, families_of, margin_of
from gru_bench.report.evidence.progress import is_searched, nothing_to_report, study_name
from gru_bench.report.evidence.store import Histories, Store
from gru_bench.report.evidence.trials import Search, SearchSoFar, searches_of, searches_so_far
from gru_bench.results.logged_metrics import ACCURACY_VAL, LOSS_TRAIN, LOSS_TRAIN_WINDOW, LOSS_VAL
from gru_bench.tracking import LoggedStudy


@dataclass(frozen=True)
class Evidence:
    """The evidence that the numbers of a report are computed from."""

    studies: Sequence[LoggedStudy]
    numbers: Numbers
    """Makes all numbers of the report."""
    groups: Sequence[Group]
    """The confirmation runs of each model of each study, with their predictions of the test texts. Empty if there
    is nothing but the search of one study."""
    gaps: Sequence[Sentence]
    """What cannot be shown, and why."""
    store: Store
    histories: Histories
    """The curves of the groups' runs."""
    margin: Margin
    compared: Sequence[Pair]
    not_compared: Sequence[Sentence]
    baselines: Sequence[ScoredBaseline]
    against: Sequence[AgainstBaseline]
    """Each model against the best linear baseline on its data."""
    searches: Sequence[Search]
    known_studies: Collection[str]
    """Names of the experiment's studies: with each, the seed of a new confirmation set is one higher."""
    so_far: Sequence[SearchSoFar] = ()
    """The searches that are shown by their trials, because no summary of them is logged or nothing confirms them."""
    looks: Sequence[StudyLooks] = ()
    """The interim analyses of the studies that have some."""
    families: Sequence[Family] = ()
    """For each test set the models that were scored on it, in the whole store."""


def collect(
    studies: Sequence[LoggedStudy], store: Store, margin: float | None = None, known_studies: Collection[str] = (),
    counted: Mapping[str, tuple[int, int]] | None = None,
) -> Evidence:
    """Return the evidence of some studies, or of one study whose search is all there is.

    Args:
        studies: The studies.
        store: Source of their curves and predictions, and of the number of models on their test sets.
        margin: Largest difference of no practical weight; by default that of the studies.
        known_studies: Names of the experiment's studies.
        counted: As for `families_of`.

    Raises:
        IncompleteError: If no study has a complete confirmation run, unless there is one study and it has a complete
            trial.
    """
    numbers = Numbers()
    alone = len(studies) == 1 and is_searched(studies[0])
    groups, gaps = ([], []) if alone else confirm_groups(studies, store, numbers)
    if not groups and not alone:
        raise nothing_to_report("there is none")
    looks = study_looks(studies, groups, store, numbers) if groups else ()
    for one in looks:
        if margin is not None and not math.isclose(margin, one.plan.margin):
            raise UsageError("--margin must be that of the plan if a study has interim analyses, but "
                             f"{study_name(one.study)} planned {100 * one.plan.margin:g} and got {100 * margin:g}: "
                             "leave --margin out")
    chosen = margin_of(studies, margin, numbers, metric_of(studies))
    return assembled(
        studies, store, numbers, groups, gaps, chosen, looks,
        known_studies={*known_studies, *map(study_name, studies)}, counted=counted)


def assembled(
    studies: Sequence[LoggedStudy], store: Store, numbers: Numbers, groups: Sequence[Group], gaps: Sequence[Sentence],
    margin: Margin, looks: Sequence[StudyLooks] = (), *,
    known_studies: Collection[str] = (), counted: Mapping[str, tuple[int, int]] | None = None,
) -> Evidence:
    """Return the evidence of some models: they are compared, and the curves of their runs are read."""
    families = families_of(groups, store, numbers, counted)
    compared, apart = compare(groups, margin.value, looks, families, numbers)
    histories = store.histories(
        [run.run_id for group in groups if group.is_logged for run in group.runs],
        [metric.key for metric in (LOSS_TRAIN, LOSS_VAL, ACCURACY_VAL, LOSS_TRAIN_WINDOW)])
    baselines = baselines_of(studies, store, groups[0].metric, numbers) if groups else []
    return Evidence(
        studies, numbers, groups, gaps, store, histories, margin, compared, apart, baselines,
        against_baselines(groups, families, baselines), searches_of(groups, histories), known_studies,
        searches_so_far(studies, store), looks, families)
