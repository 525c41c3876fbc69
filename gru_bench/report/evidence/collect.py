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
from gru_bench.report.evidence.progress import is_searched, nothing_to_report, study_name, study_search
from gru_bench.report.evidence.store import Histories, Store
from gru_bench.report.evidence.trials import (
    Search,
    SearchSoFar,
    Trial,
    searches_of,
    searches_so_far,
    trial_groups,
    trials_of,
)
from gru_bench.results.logged_metrics import ACCURACY_VAL, LOSS_TRAIN, LOSS_TRAIN_WINDOW, LOSS_VAL
from gru_bench.tracking import LoggedStudy


@dataclass(frozen=True)
class Evidence:
    """The evidence that the numbers of a report are computed from."""

    studies: Sequence[LoggedStudy]
    numbers: Numbers
    """Makes all numbers of the report."""
    groups: Sequence[Group]
    """The confirmation runs of each model of each study, with their predictions of the test texts. In a report on
    trials: the best trial of each model, with its predictions of the validation texts."""
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
    """Each model against the best linear baseline on its data. Empty in a report on trials."""
    searches: Sequence[Search]
    """Empty in a report on trials."""
    known_studies: Collection[str]
    """Names that a new study must not have."""
    trials: Sequence[Trial] = ()
    """The trials of a study that has no complete confirmation run: the report is only on these. Empty in other reports.
    """
    so_far: Sequence[SearchSoFar] = ()
    """The searches that are shown by their trials, because no summary of them is logged. In a report on trials: this
    one."""
    looks: Sequence[StudyLooks] = ()
    """The interim analyses of the studies that have some."""
    families: Sequence[Family] = ()
    """For each test set the models that were scored on it, in the whole store. Empty in a report on trials."""


def collect(
    studies: Sequence[LoggedStudy], store: Store, margin: float | None = None, known_studies: Collection[str] = (),
    counted: Mapping[str, tuple[int, int]] | None = None,
) -> Evidence:
    """Return the evidence of some studies, or of one study whose search is all there is.

    Args:
        studies: The studies.
        store: Source of their curves and predictions, and of the number of models on their test sets.
        margin: Largest difference of no practical weight; by default that of the studies.
        known_studies: Names that a new study must not have.
        counted: As for `families_of`.

    Raises:
        IncompleteError: If no study has a complete confirmation run, unless there is one study and it has a complete
            trial.
    """
    numbers = Numbers()
    trials = trials_of(studies[0], store) if len(studies) == 1 and is_searched(studies[0]) else ()
    groups, gaps = (trial_groups(studies[0], trials, store, numbers) if trials
                    else confirm_groups(studies, store, numbers))
    if not groups:
        raise nothing_to_report("there is none")
    looks = () if trials else study_looks(studies, groups, store, numbers)
    for one in looks:
        if margin is not None and not math.isclose(margin, one.plan.margin):
            raise UsageError("--margin must be that of the plan if a study has interim analyses, but "
                             f"{study_name(one.study)} planned {100 * one.plan.margin:g} and got {100 * margin:g}: "
                             "leave --margin out")
    chosen = margin_of(studies, margin, numbers, metric_of(studies))
    return assembled(
        studies, store, numbers, groups, gaps, chosen, looks, trials,
        known_studies={*known_studies, *(study_name(group.study) for group in groups)}, counted=counted)


def assembled(
    studies: Sequence[LoggedStudy], store: Store, numbers: Numbers, groups: Sequence[Group], gaps: Sequence[Sentence],
    margin: Margin, looks: Sequence[StudyLooks] = (), trials: Sequence[Trial] = (), *,
    known_studies: Collection[str] = (), counted: Mapping[str, tuple[int, int]] | None = None,
) -> Evidence:
    """Return the evidence of some models: they are compared, and the curves of their runs are read."""
    families = () if trials else families_of(groups, store, numbers, counted)
    compared, apart = ([], []) if trials else compare(groups, margin.value, looks, families, numbers)
    histories = store.histories(
        [run.run_id for group in groups if group.is_logged for run in group.runs],
        [metric.key for metric in (LOSS_TRAIN, LOSS_VAL, ACCURACY_VAL, LOSS_TRAIN_WINDOW)])
    baselines = baselines_of(studies, store, groups[0].metric, numbers)
    so_far, missing = searches_so_far(studies, store, numbers) if not trials else (
        [SearchSoFar(studies[0], study_search(studies[0], store), trials, groups)], [])
    return Evidence(
        studies, numbers, groups, [*gaps, *missing], store, histories, margin, compared, apart, baselines,
        against_baselines(groups, families, baselines), [] if trials else searches_of(groups, histories), known_studies,
        trials, so_far, looks, families)
