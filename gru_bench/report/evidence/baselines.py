"""The baselines of a report, and the models compared with them.

Shapes: `R` runs (seeds) of a model, `N` test examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import ComparedName
from gru_bench.errors import RunError
from gru_bench.report.document.numbers import NBSP, Number, Numbers, decimals_for, plain, scale_of, slug
from gru_bench.report.document.sentences import Ends, Sentence, p_is, say
from gru_bench.report.evidence.groups import Group
from gru_bench.report.evidence.pairs import Family
from gru_bench.report.evidence.progress import baseline_runs, study_data
from gru_bench.report.evidence.store import Store
from gru_bench.results.baselines import MAJORITY, REGULARIZATION, baseline_label, compared_baseline
from gru_bench.results.logged_metrics import TRAIN_SECONDS, score, score_name
from gru_bench.results.runs import DataSummary, Predictions
from gru_bench.stats.estimate import Estimate, accuracy_difference
from gru_bench.stats.metrics import correct
from gru_bench.stats.text import MINUS
from gru_bench.stats.verdict import LEAST_GROUPS, PairTests, Verdict, holm
from gru_bench.tracking import LoggedRun, LoggedStudy


@dataclass(frozen=True)
class ScoredBaseline:
    """A baseline on one data set; it was fitted once."""

    name: str
    numbers: Numbers
    fingerprint: str
    """Of its data."""
    accuracy: Number
    score: Number
    """The score that the report compares, where it is not the accuracy."""
    f1: Number
    """F1; macro F1 of more than two classes."""
    is_binary: bool
    seconds: Number
    of: LoggedRun
    """Its run."""
    test: Predictions | None
    """Its predictions on test; None where they cannot be read."""
    regularization: Number
    """The value that validation chose; without a value where none was logged."""
    has_classes: bool = True
    """Whether its predictions are known as classes."""

    def right_N(self, group: Group) -> NDArray[np.bool_] | None:
        """Return which test texts of a group it classifies correctly, by their ids; None for other data."""
        if group.fingerprint != self.fingerprint or self.test is None or (
                not np.array_equal(self.test.example_id_N, group.example_N)):
            return None
        return correct(self.test.label_N, self.test.probability_NC)


def baselines_of(
    studies: Sequence[LoggedStudy], store: Store, metric: ComparedName, numbers: Numbers
) -> tuple[ScoredBaseline, ...]:
    """Return each baseline once for each data set, with the score that the report compares."""
    found: dict[tuple[str, str], tuple[LoggedRun, DataSummary | None]] = {}
    for study in studies:
        data = study_data(study, store)
        for run in baseline_runs(study):
            found.setdefault((study.run.fingerprint, run.model), (run, data))
    prints = list(dict.fromkeys(fingerprint for fingerprint, _ in found))
    rows = []
    for (fingerprint, model), (run, data) in found.items():
        name, test = baseline_label(model, run.params), _predictions(run, store)
        own, size = numbers.named("baseline", name, same=fingerprint), data.test if data else None
        on_test, fit = own.on([run.run_id], size if test is None else len(test)), "one deterministic fit"
        is_binary = data is None or len(data.classes) == 2
        f1_name = "f1" if is_binary else "macro_f1"
        accuracy = on_test.add("accuracy", _score(run, "accuracy"), "percent", fit)
        f1 = on_test.add(slug(f1_name), _score(run, f1_name), "percent", fit)
        chosen = float(run.params[REGULARIZATION]) if REGULARIZATION in run.params else None
        rows.append(ScoredBaseline(
            plain(name) if len(prints) == 1 else f"{plain(name)} (data {prints.index(fingerprint) + 1})",
            own, fingerprint, accuracy,
            accuracy if metric == "accuracy" else f1 if metric == f1_name else on_test.add(
                slug(metric), _score(run, score_name(metric)), scale_of(metric).kind, fit),
            f1, is_binary,
            own.on([run.run_id]).add("seconds", run.metrics.get(TRAIN_SECONDS.key), "amount", "one fit, timed"), run,
            test, own.on([run.run_id], data.validation if data else None, "validation").add(
                "regularization", chosen, "score", "chosen on validation", decimals=3 if (chosen or 0.0) < 1 else 0),
        ))
    return tuple(rows)


def _score(run: LoggedRun, name: str) -> float | None:
    return run.metrics.get(score(name, "test").key)


def _predictions(run: LoggedRun, store: Store) -> Predictions | None:
    if run.model == MAJORITY:  # models are compared with linear ones alone
        return None
    try:
        return store.predictions(run.run_id, "test").by_id()
    except RunError:
        return None


@dataclass(frozen=True)
class AgainstBaseline:
    """A model against a baseline on the same data, which has one fit and thus no deviation over seeds."""

    group: Group
    baseline: ScoredBaseline
    difference: Number
    """The model minus the baseline, with its 95 % interval where the baseline's answers were kept."""
    p: Number
    """Two-sided, after Holm's procedure over all models on the same test texts; without a value without a test."""
    favours: int | None
    """1: the model is better, -1: it is worse, 0: neither is shown; None without a test."""

    @property
    def label(self) -> str:
        """Return the name of the difference: `A − B`."""
        return f"{self.group.label} {MINUS} {self.baseline.name}"

    @property
    def lead(self) -> int:
        """Return 1 if the model has the better score, as both are shown, -1 if the worse one, 0 if they are equal."""
        if self.group.score.text == self.baseline.score.text:
            return 0
        difference = (self.group.score.value or 0.0) - (self.baseline.score.value or 0.0)
        return 1 if (difference > 0) == self.group.scale.higher_is_better else -1

    @property
    def is_below(self) -> bool:
        """Return whether the model has the worse score, as both are shown."""
        return self.lead < 0

    @property
    def is_ahead(self) -> bool:
        """Return whether the baseline has the better score without having been tested."""
        return self.favours is None and self.is_below

    @property
    def warning(self) -> Sentence:
        """Return how the model compares, with the test or without it."""
        shown = {1: "has a better score than", -1: "has a worse score than", 0: "has the same score as"}
        how = {1: "is better than", -1: "is worse than", 0: "is not shown to be better or worse than",
               None: shown[self.lead]}[self.favours]
        told: Sentence = ()
        if self.favours is not None:
            told = (": ", self.difference, f"{self.group.scale.after} (95{NBSP}% interval ", Ends(self.difference),
                    "), ", *p_is(self.p))
        elif self.group.score.low is not None and self.group.score.high is not None:
            is_within = self.group.score.low <= (self.baseline.score.value or 0.0) <= self.group.score.high
            told = (f", which lies {'within' if is_within else 'outside'} the model's 95{NBSP}% interval",)
        return say("{model} ({ours}{unit}) {how} the baseline {baseline} ({theirs}{unit}){told}.",
                   model=self.group.label, ours=self.group.score, unit=self.group.scale.suffix, how=how,
                   baseline=self.baseline.name, theirs=self.baseline.score, told=told)


def against_baselines(
    groups: Sequence[Group], families: Sequence[Family], baselines: Sequence[ScoredBaseline]
) -> list[AgainstBaseline]:
    """Return each model against the linear baseline that `compared_baseline` names; nothing of models without one.

    A test takes the answers of the baseline, at least five seeds, as many groups as other tests, and accuracy as the
    score.
    """
    scored = [one for one in baselines if one.score.value is not None]
    found: dict[str, AgainstBaseline] = {}
    for family in families:
        for baseline in scored:
            own = [group for group in family.groups if _compared(scored, group) is baseline]
            differences = [_difference(group, baseline) for group in own]
            able = [one is not None and one.evidence_level.has_verdict and one.groups >= LEAST_GROUPS
                    for one in differences]
            tested = holm([one.p if one is not None and is_able else None
                           for one, is_able in zip(differences, able, strict=True)], family.size)
            found |= {group.key: _against(group, baseline, one, p, family.size)
                      for group, one, p in zip(own, differences, tested, strict=True)}
    return [found[group.key] for group in groups if group.key in found]


def _compared(baselines: Sequence[ScoredBaseline], group: Group) -> ScoredBaseline | None:
    """Return the baseline on the data of a group that models are compared with: a linear one if there is one."""
    own = [one for one in baselines if one.fingerprint == group.fingerprint]
    linear = compared_baseline([one.of for one in own], group.metric)
    return next((one for one in own if one.of is linear), own[0] if own else None)


def _difference(group: Group, baseline: ScoredBaseline) -> Estimate | None:
    """Return the difference in accuracy, example by example; None where the answers or the score do not allow it."""
    right_N = baseline.right_N(group) if group.metric == "accuracy" else None
    return None if right_N is None else accuracy_difference(
        group.correct_RN, np.tile(right_N, (len(group.runs), 1)), group_N=group.group_N)


def _against(
    group: Group, baseline: ScoredBaseline, found: Estimate | None, p: float | None, models: int
) -> AgainstBaseline:
    numbers = baseline.numbers.of(f"less-than-{group.key}").on(
        (*group.ids, *baseline.score.runs), group.example_N.size)
    kind = group.scale.difference
    if found is None:
        lead = (group.score.value or 0.0) - (baseline.score.value or 0.0)
        shown = numbers.add("", lead, kind, "of the means, without a test")
    else:
        shown = numbers.add(
            "", found.estimate, kind, f"95 % interval, {found.method}; one fit of the baseline", low=found.low,
            high=found.high, decimals=decimals_for((found.estimate, found.low, found.high), (0.0,)))
    favours = None
    if found is not None and p is not None:
        favours = Verdict.of(found, PairTests(p, 1.0, 1.0)).favours
    return AgainstBaseline(group, baseline, shown, numbers.add(
        "p", p, "p", f"two-sided{' after Holm' if models > 1 else ''}"), favours)
