"""Searches: their trials, the best one of each model on validation texts, and what fresh seeds of it reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gru_bench.document.numbers import Number, Scale, plain, scale_of
from gru_bench.evidence.groups import ModelRuns
from gru_bench.evidence.store import Histories
from gru_bench.results.logged_metrics import ACCURACY_VAL, BEST_EPOCH
from gru_bench.results.pruners import PRUNERS
from gru_bench.results.runs import StudySummary, TrialSummary
from gru_bench.stats.estimate import best_by_chance
from gru_bench.stats.scores import compared
from gru_bench.tracking import LoggedRun

SAMPLERS = {"tpe": "TPE", "random": "random trials"}
ENDED = ("complete", "pruned", "failed")
"""States of a run or a trial that has ended. Killed, interrupted and running ones are in the state `other`."""


def run_state(run: LoggedRun) -> str:
    """Return what has become of a run: complete, pruned, failed or other."""
    if run.complete:
        return "complete"
    if run.state == "pruned" or run.reason.startswith("pruned"):
        return "pruned"
    return "failed" if run.state == "failed" or run.status == "FAILED" else "other"


@dataclass(frozen=True)
class Search:
    """The search for the settings of one model."""

    group: ModelRuns
    summary: StudySummary
    """Of its study."""
    trials: Sequence[TrialSummary]
    """In their order."""
    best: Number
    confirmed: Number
    """Validation accuracy of the best trial, and of fresh seeds of its configuration."""
    importance: Mapping[str, float]
    """Setting -> its importance; empty where it was not computed."""
    fresh_R: tuple[float, ...] = ()
    """Validation score of each fresh seed."""

    @property
    def complete(self) -> int:
        """Return the number of its complete trials."""
        return sum(trial.state == "complete" for trial in self.trials)

    @property
    def scored(self) -> int:
        """Return the number of trials that the best one was chosen from: those that are complete or were pruned."""
        return sum(trial.state in ("complete", "pruned") for trial in self.trials)

    @property
    def scale(self) -> Scale:
        """Return how its scores are shown."""
        return scale_of(self.summary.metric)

    @property
    def how(self) -> str:
        """Return its sampler and its pruner, in words."""
        sampler, pruner = self.summary.sampler, self.summary.pruner
        return (f"{SAMPLERS.get(sampler.lower(), plain(sampler))}, "
                f"{PRUNERS[pruner] if pruner in PRUNERS else plain(pruner)}")

    @property
    def fall(self) -> Number:
        """Return how much more the fresh seeds reach on validation than the best trial; mostly it is less."""
        best, confirmed = self.best.value, self.confirmed.value
        value = None if best is None or confirmed is None else confirmed - best
        runs = (*self.group.trial_ids, *self.group.ids)
        return replace(self.group.on_validation, runs=runs).add(
            "search.fall", value, self.scale.difference, "confirmed less best trial")

    @property
    def expected(self) -> Number | None:
        """Return how much better than fresh seeds the best of its trials may be by chance; None for one fresh seed."""
        if len(self.fresh_R) < 2 or not self.scored:
            return None
        return self.group.on_validation.add(
            "search.expected", best_by_chance(self.fresh_R, self.scored), self.scale.kind,
            "s sqrt(2 ln n) + t s/sqrt(R), for n complete or pruned trials and R fresh seeds with the standard "
            "deviation s")

    @property
    def is_surprising(self) -> bool:
        """Return whether the best trial is better than the fresh seeds by more than is expected."""
        fall = self.fall.value
        if fall is None or self.expected is None or self.expected.value is None:
            return False
        return (-fall if self.scale.higher_is_better else fall) > self.expected.value


def searches_of(groups: Sequence[ModelRuns], histories: Histories) -> list[Search]:
    """Return the searches for the settings of models, and what fresh seeds of these settings reach.

    Args:
        groups: The models. Those without a search are left out.
        histories: The curves of their runs.
    """
    searches = []
    for group in groups:
        summary = group.study.summary
        if summary is None or not group.tuned:
            continue
        trials = [trial for trial in summary.trials if trial.model == group.model]
        kind = scale_of(summary.metric).kind
        best = group.on_trials.add(
            "search.best", summary.best_value.get(group.model), kind, "best trial, on validation")
        confirmed = []
        for run in group.runs:
            by_epoch = {float(epoch): value for epoch, value in histories.get(run.run_id, {}).get(ACCURACY_VAL.key, ())}
            at_best = by_epoch.get(run.metrics.get(BEST_EPOCH.key, 0.0)) if summary.metric == "accuracy" else None
            confirmed.append(run.metrics.get(compared(summary.metric, "val").key, at_best))
        known = [value for value in confirmed if value is not None]
        searches.append(Search(
            group, summary, sorted(trials, key=lambda trial: trial.number), best,
            group.on_validation.over_runs("search.confirmed", known, kind), summary.importance.get(group.model, {}),
            tuple(known)))
    return searches
