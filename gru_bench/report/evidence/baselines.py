"""The baselines of a report, and the models compared with them.

Shapes: `R` runs (seeds) of a model, `N` test examples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gru_bench.report.document.numbers import Number, Numbers, decimals_for, plain, scale_of, slug
from gru_bench.report.document.sentences import Ends, Sentence, joined, p_is, say
from gru_bench.report.evidence.collect import Evidence
from gru_bench.report.evidence.groups import Group
from gru_bench.report.evidence.progress import study_baselines, study_data
from gru_bench.results.logged_metrics import score_name
from gru_bench.results.runs import MAJORITY, Baseline, compared_baseline, unpacked
from gru_bench.stats.estimate import EvidenceLevel, accuracy_difference
from gru_bench.stats.sentence import difference_template
from gru_bench.stats.verdict import Pair, PairTests, Verdict, holm

CODES = {"below": "GRU010"}
"""Side of a baseline on which models lie -> the code of the warning, if it is one."""


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
    of: Baseline
    """As it was logged."""
    regularization: Number
    """The value that validation chose; without a value where none was logged."""
    is_compared: bool
    """Whether models are compared with it. Of two linear baselines, this is one."""
    is_chosen_first: bool
    """Whether it is compared because it is the first of several, for want of validation reviews."""

    def right_N(self, group: Group) -> NDArray[np.bool_] | None:
        """Return which test reviews of a group it classifies correctly; None for other data, or where it was not kept.

        Both have the reviews in the order of their ids.
        """
        if group.fingerprint != self.fingerprint:
            return None
        found_N = unpacked(self.of.right, group.example_N.size)
        return found_N if found_N is not None and found_N.mean() == self.accuracy.value else None


def baselines_of(evidence: Evidence) -> tuple[ScoredBaseline, ...]:
    """Return each baseline once for each data set."""
    found: dict[tuple[str, str], tuple[Baseline, str, bool]] = {}
    for study in evidence.studies:
        data = study_data(study, evidence.store)
        for baseline in study_baselines(study, evidence.store):
            found.setdefault((study.run.fingerprint, baseline.name), (
                baseline, study.run.run_id, data is None or len(data.classes) == 2))
    by_data = {fingerprint: [one for (of, _), (one, _, _) in found.items() if of == fingerprint]
               for fingerprint, _ in found}
    prints = list(dict.fromkeys(fingerprint for fingerprint, _ in found))
    metric = evidence.groups[0].metric
    rows = []
    for (fingerprint, name), (baseline, run_id, is_binary) in found.items():
        chosen = compared_baseline(by_data[fingerprint], score_name(metric), scale_of(metric).higher_is_better)
        numbers = evidence.numbers.named(
            "baseline", name, same=fingerprint, runs=[run_id], examples=baseline.test_size)
        fit = "one deterministic fit"
        f1_name = "f1" if is_binary else "macro_f1"
        accuracy = numbers.add("accuracy", baseline.test_accuracy, "percent", fit)
        f1 = numbers.add(slug(f1_name), baseline.test_f1, "percent", fit)
        rows.append(ScoredBaseline(
            plain(name) if len(prints) == 1 else f"{plain(name)} (data {prints.index(fingerprint) + 1})",
            numbers, fingerprint, accuracy,
            accuracy if metric == "accuracy" else f1 if metric == f1_name else numbers.add(
                slug(metric), baseline.scores.get("test", {}).get(score_name(metric)), scale_of(metric).kind, fit),
            f1, is_binary, numbers.add("seconds", baseline.seconds, "amount", "one fit, timed"), baseline,
            numbers.add("regularization", baseline.regularization, "score", "chosen on validation", runs=(run_id,),
                        decimals=3 if (baseline.regularization or 0.0) < 1 else 0),
            name == MAJORITY or baseline is chosen,
            baseline is chosen and baseline.validation_accuracy is None and len(by_data[fingerprint]) > 2,
        ))
    return tuple(rows)


def against_baselines(evidence: Evidence, baselines: Sequence[ScoredBaseline]) -> Iterator[tuple[str, Sentence]]:
    """Yield, for each baseline that models are compared with, their tests, and which do not clearly beat it.

    Where models are worse than the baseline, this is a warning (GRU010).
    """
    for baseline in (one for one in baselines if one.is_compared):
        if baseline.is_chosen_first:
            yield "", say("The models are compared with the first linear baseline, {baseline}: there are no validation "
                          "reviews to choose by.", baseline=baseline.name)
        tested: list[Group] = []
        for family in evidence.families:
            able = [group for group in family.groups if group.metric == "accuracy"
                    and baseline.right_N(group) is not None and EvidenceLevel.of(len(group.runs)).has_verdict]
            yield from _tested(able, baseline, family.size)
            tested += able
        yield from _not_above([group for group in evidence.groups if group not in tested], baseline)


def _tested(groups: Sequence[Group], baseline: ScoredBaseline, models: int) -> Iterator[tuple[str, Sentence]]:
    """Yield the test of each model against a baseline, which has one fit and thus no deviation over seeds.

    Args:
        groups: The models, on one test set.
        baseline: The baseline.
        models: Number of all models of the store on that test set: Holm's procedure allows for a test of each.
    """
    found = [accuracy_difference(group.correct_RN, np.tile(present_N, (len(group.runs), 1)), group_N=group.group_N)
             for group in groups if (present_N := baseline.right_N(group)) is not None]
    for group, one, p in zip(groups, found, holm([one.p for one in found], models), strict=True):
        assert p is not None
        numbers = baseline.numbers.of(f"less-than-{group.key}", group.ids, one.examples)
        tests = PairTests(p, 1.0, 1.0)
        pair = Pair((group.label, baseline.name), one, tests, models, Verdict.of(one, tests))
        test = numbers.add("p", p, "p", f"two-sided{' after Holm' if models > 1 else ''}")
        size = numbers.add(
            "", one.estimate, "points", f"95 % interval, {one.method}; one fit of the baseline", low=one.low,
            high=one.high, decimals=decimals_for((one.estimate, one.low, one.high), (0.0,)))
        unit, between = group.scale.suffix, {1: "better", -1: "worse", 0: "not shown to be better or worse"}
        yield CODES.get(_place(group, baseline)[0], ""), say(
            f"{{a}} is {between[pair.favours]} than the baseline {{b}}: {difference_template(pair)}.",
            a=(f"{group.label} (", group.score, f"{unit})"),
            b=(f"{baseline.name} (", baseline.score, f"{unit})"), difference=size, of=" points", ends=(Ends(size),),
            p=p_is(test))


def _not_above(groups: Sequence[Group], baseline: ScoredBaseline) -> Iterator[tuple[str, Sentence]]:
    """Yield which models do not beat a baseline on the same data, or not beyond doubt."""
    found: dict[tuple[str, bool | None], list[Group]] = {}
    for group in groups:
        if group.fingerprint == baseline.fingerprint and baseline.score.value is not None:
            found.setdefault(_place(group, baseline), []).append(group)
    for (side, inside), some in found.items():
        if side == "above" and not inside:
            continue
        higher = some[0].scale.higher_is_better
        where = side if higher else {"below": "worse than", "above": "better than"}.get(side, side)
        are, whose = ("is", "its") if len(some) == 1 else ("are", "each")
        ending = {True: f", but the baseline lies within {whose} interval",
                  False: f"; {whose} whole interval lies {'below' if higher else 'above'}", None: ""}[inside]
        unit = some[0].scale.suffix
        yield CODES.get(side, ""), say(
            "{models} {are} {where} the baseline {baseline} ({theirs}{unit}) on the same split{ending}.",
            are=are, where=where, baseline=baseline.name, theirs=baseline.score, unit=unit,
            models=joined([(f"{group.label} (", group.score, f"{unit})") for group in some], ", "), ending=ending)


def _place(group: Group, baseline: ScoredBaseline) -> tuple[str, bool | None]:
    """Return where the score of a model lies, and whether a baseline lies within its interval, if there is one.

    `below` is worse, also where a lower score is better.
    """
    ours, theirs = group.score, baseline.score.value or 0.0
    if ours.text == baseline.score.text:
        return "level with", None
    inside = None if ours.low is None or ours.high is None else ours.low <= theirs <= ours.high
    score = ours.value or 0.0
    return "below" if (score < theirs if group.scale.higher_is_better else score > theirs) else "above", inside
