"""Pairs of models on the same test reviews: the difference, its test, and the verdict.

Shapes: `R` runs (seeds) of a model, `N` test examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import combinations

import numpy as np

from gru_bench.report.document.numbers import NBSP, Number, Numbers, Scale, decimals_for
from gru_bench.report.document.sentences import Sentence
from gru_bench.report.evidence.families import Family
from gru_bench.report.evidence.groups import Group
from gru_bench.report.evidence.looks import StudyLooks
from gru_bench.report.evidence.progress import unfinished
from gru_bench.stats.estimate import Design, Estimate
from gru_bench.stats.intervals import difference
from gru_bench.stats.looks import PairLooks, compared_at
from gru_bench.stats.verdict import Finding, Verdict, adjusted_tests, pairs_of, unseen_failures
from gru_bench.stats.verdict import Pair as Compared

DETECTED = "smallest true difference detected with a chance of 80 % at the 5 % level, for runs that vary as these do"
SEEDS = (10, 20, 50)
"""Sizes of a confirm set that are considered where more test examples are needed."""


@dataclass(frozen=True, kw_only=True)
class Pair(Compared):
    """Everything known about the runs of group A against those of group B, which were scored on the same examples."""

    numbers: Numbers
    """Makes the numbers that are computed from all runs of both groups."""
    a: Group
    b: Group
    followed: PairLooks | None = None
    """The pair through the looks of its study. None for a confirm stage of one size."""
    pairs_again: int = 0
    """Number of pairs that the tests of a second confirm set on the same test examples must allow for: the models of
    both sets count."""

    @property
    def design(self) -> Design | None:
        """Return how its variance depends on seeds and examples; None where one of the groups has a single seed."""
        design = self.difference.design
        return None if design is None else replace(design, family=max(1, self.family))

    @property
    def done(self) -> bool:
        """Return whether both studies have ended, so that new seeds may be advised."""
        return not (unfinished(self.a.study) or unfinished(self.b.study))

    @property
    def scale(self) -> Scale:
        """Return how the score is shown that the pair is compared by."""
        return self.a.scale

    def size(self, name: str, value: float, method: str, runs: Sequence[str] | None = None) -> Number:
        """Return the size of a difference, without a sign; small ones keep a digit that is not 0."""
        kind = self.scale.kind
        return self.numbers.add(name, value, kind, method, runs=runs, decimals=decimals_for([value], [0.0], kind))

    @property
    def theta(self) -> Number:
        """Return the difference, with its 95 % interval where there are enough seeds for one."""
        return self._difference("difference", self.difference)

    @property
    def narrow(self) -> Number:
        """Return the difference with its 90 % interval: the one that decides on equivalence."""
        return self._difference("difference-90", self.verdict.equivalence)

    def _difference(self, name: str, found: Estimate) -> Number:
        """Return the difference, with enough decimals that no end looks equal to 0 or to the margin."""
        kind, margin = self.scale.difference, self.verdict.margin
        landmarks = (0.0, margin, -margin)
        if not found.evidence_level.has_interval:
            return self.numbers.add(
                name, found.estimate, kind, decimals=decimals_for([found.estimate], landmarks, kind))
        what = f"{100 * found.confidence:.0f} % interval"
        if self.followed is not None:
            what = (self.interval_name if found is self.difference else self.narrow_name).replace(NBSP, " ")
        return self.numbers.add(
            name, found.estimate, kind, f"{what}, {found.method}", low=found.low, high=found.high,
            decimals=decimals_for((found.estimate, found.low, found.high), landmarks, kind))

    @property
    def p(self) -> Number:
        """Return p of a difference, adjusted by Holm's procedure."""
        return self._p("p", None if self.tests is None else self.tests.different, "two-sided")

    @property
    def p_equivalent(self) -> Number:
        """Return p of equivalence within the margin, adjusted by Holm's procedure."""
        return self._p("p-equivalent", None if self.tests is None else self.tests.equivalent, "two one-sided tests")

    def _p(self, name: str, value: float | None, method: str) -> Number:
        holm = f", Holm over {self.family} pairs" if self.family > 1 else ""
        return self.numbers.add(name, value, "p", method + holm)

    @property
    def unseen(self) -> Number:
        """Return the largest share of seeds that may fail without one of these runs showing it."""
        return self.numbers.add("unseen-failures", unseen_failures(min(self.difference.seeds)), "percent",
                           "f with (1 - f)^R = 0.05 for the fewer seeds R of both models", decimals=0)

    @property
    def margin(self) -> Number:
        """Return the margin that the verdict uses, which no run gives."""
        return self.size("margin", self.verdict.margin, "the largest difference of no practical weight", runs=())

    @property
    def detectable(self) -> Number:
        """Return the smallest difference that runs like these detect with a chance of 80 %."""
        if self.design is None:
            return self.numbers.add("detectable", None, self.scale.kind, "takes two seeds")
        return self.size("detectable", self.design.detectable(self.difference.seeds, self.difference.examples),
                         self.detected)

    @property
    def detected(self) -> str:
        """Return what a detectable difference is, for its number."""
        return DETECTED if self.family == 1 else f"{DETECTED}; the level is divided by the {self.family} pairs compared"

    @cached_property
    def fresh_seeds(self) -> int | None:
        """Return the fresh seeds for each model that could settle it; None if none are needed or enough."""
        if self.verdict.finding is Finding.TOO_FEW_SEEDS:
            return SEEDS[0]
        if self.design_again is None or not self.is_open:
            return None
        seeds = self.design_again.seeds_for(self.verdict.margin, self.difference.examples)
        return None if seeds is None else max(seeds, 2 * min(self.difference.seeds))

    @property
    def design_again(self) -> Design | None:
        """Return the design of a second confirm set on the same test examples, whose tests are stricter."""
        return None if self.design is None else replace(self.design, family=max(self.pairs_again, 2 * self.family, 2))

    @property
    def is_open(self) -> bool:
        """Return whether it is inconclusive, and how many seeds or examples would settle it can be computed."""
        return self.verdict.finding is Finding.INCONCLUSIVE and self.design is not None

    @property
    def wants_examples(self) -> bool:
        """Return whether it is open and needs more test examples, because no number of seeds would settle it."""
        return self.is_open and self.fresh_seeds is None

    @cached_property
    def needed(self) -> tuple[int, int] | None:
        """Return the test examples, and the seeds for each model, that would detect the margin; None if none would.

        More seeds are chosen where they halve the examples.
        """
        at_hand, best = min(self.difference.seeds), None
        for seeds in (at_hand, *(more for more in SEEDS if more > at_hand)):
            if self.design and (examples := self.design.examples_for(self.verdict.margin, seeds)) is not None:
                if best is not None and 2 * examples > best[0]:
                    return best
                best = examples, seeds
        return best


def tested(couples: Sequence[tuple[Numbers, Group, Group]], margin: float, family: int) -> list[Pair]:
    """Return the pairs of groups that are tested together.

    Args:
        couples: For each pair what makes its numbers, and the groups that it calls A and B, on the same examples.
        margin: Largest difference of no practical weight; 0.01 is one point.
        family: Number of all pairs of which these are some; fewer than these: these are all.
    """
    differences = [difference(a.metric, a.scored, b.scored) for _, a, b in couples]
    adjusted = adjusted_tests(differences, margin, family)
    family = max(family, sum(one is not None for one in adjusted))
    return [
        _shown(Compared((a.label, b.label), found, own, family, Verdict.of(found, own, margin), a.metric), numbers, a,
               b)
        for (numbers, a, b), found, own in zip(couples, differences, adjusted, strict=True)
    ]


def compare(
    groups: Sequence[Group], margin: float, looks: Sequence[StudyLooks], families: Sequence[Family],
    numbers: Numbers,
) -> tuple[list[Pair], list[Sentence]]:
    """Return each pair of models that met the same test examples, and sentences about the others.

    Args:
        groups: The groups of confirm runs. In a pair the one with the better mean comes first.
        margin: Largest difference of no practical weight; 0.01 is one point.
        looks: The looks of the studies that have planned some. Their pairs have the margin and the verdict of the plan.
        families: For each test set the models that were scored on it. All their pairs are tested together.
        numbers: Makes the numbers of the report.
    """
    apart: list[Sentence] = []
    couples: list[tuple[Numbers, Group, Group]] = []
    grown = {one.study.run.run_id for one in looks}
    for one, two in combinations(groups, 2):
        if one.study is not two.study and grown & {one.study.run.run_id, two.study.run.run_id}:
            apart.append((f"{one.label} and {two.label} are not compared: a study with looks spends its error on its "
                          "own pairs alone. Compare them in one study.",))
        elif one.fingerprint == two.fingerprint and np.array_equal(one.example_N, two.example_N):
            a, b = (two, one) if _mean(two) > _mean(one) else (one, two)
            couples.append((numbers.of(f"pair.{a.key}.{b.key}"), a, b))
        else:
            what = "test examples" if one.fingerprint == two.fingerprint else "data or their splits"
            apart.append((f"{one.label} and {two.label} are not compared: their {what} differ.",))
    planned = {one.study.run.run_id: one for one in looks}
    found: dict[str, Pair] = {}
    for family in families:
        own = {group.key for group in family.groups}
        again = pairs_of(family.size + len(own))
        found |= {pair.numbers.key: replace(pair, pairs_again=again) for pair in tested(
            [couple for couple in couples if couple[1].study.run.run_id not in planned and couple[1].key in own],
            margin, pairs_of(family.size))}
    return [found[one.key] if one.key in found else _followed(one, a, b, planned[a.study.run.run_id])
            for one, a, b in couples], apart


def _followed(numbers: Numbers, a: Group, b: Group, looks: StudyLooks) -> Pair:
    """Return a pair of a study with looks."""
    pair = looks.of(a.model, b.model) or PairLooks((a.model, b.model))
    usual = difference(a.metric, a.scored, b.scored)
    return replace(_shown(compared_at(pair, looks.plan, (a.label, b.label), usual), numbers, a, b), followed=pair)


def _shown(pair: Compared, numbers: Numbers, a: Group, b: Group) -> Pair:
    """Return a pair with its groups, and without a verdict where neither model is above guessing."""
    found = pair.verdict
    given = found.finding not in (Finding.TOO_FEW_SEEDS, Finding.TOO_FEW_GROUPS)
    if given and a.may_be_guessing and b.may_be_guessing:
        pair = replace(pair, verdict=replace(found, finding=Finding.GUESSING, favours=0))
    return Pair(**{field.name: getattr(pair, field.name) for field in fields(pair)},
                numbers=numbers.of("", a.ids + b.ids, pair.difference.examples), a=a, b=b)


def _mean(group: Group) -> float:
    """Return the mean score, with the sign at which higher is better."""
    mean = group.score.value or 0.0
    return mean if group.scale.higher_is_better else -mean
