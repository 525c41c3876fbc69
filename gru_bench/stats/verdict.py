"""Verdicts on differences: p values of several pairs adjusted together, and what a difference shows at a margin."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from gru_bench.config import MetricName
from gru_bench.stats.estimate import ALPHA, DECIDING_TAILED, Estimate, EvidenceLevel
from gru_bench.stats.scores import score_of
from gru_bench.stats.text import NBSP

MARGIN = 0.01
"""Differences below one percentage point have no practical weight, unless a study fixes another margin beforehand."""
LEAST_GROUPS = 20
"""Smallest number of groups of examples, N^2/sum_k n_k^2, for a verdict."""


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Return the p values adjusted by Holm's (1979) step-down procedure, in the same order.

    None (no test was possible) stays None and does not count as a test. Of F tests, the i-th smallest p becomes
    max over j <= i of (F - j + 1) p_(j).

    Args:
        p: The p values.

    Raises:
        ValueError: for a p outside [0, 1].
    """
    known = sorted((value, place) for place, value in enumerate(p) if value is not None)
    adjusted: list[float | None] = [None] * len(p)
    highest, tests = 0.0, len(known)
    for step, (value, place) in enumerate(known):
        if not 0 <= value <= 1:
            raise ValueError(f"p must be between 0 and 1, but got {value}")
        highest = max(highest, min(1.0, (tests - step) * value))
        adjusted[place] = highest
    return adjusted


class Finding(Enum):
    """The possible results of a comparison."""

    BETTER = "better"
    NEGLIGIBLE = "real but negligible"
    EQUIVALENT = "equivalent within the margin"
    INCONCLUSIVE = "inconclusive"
    TOO_FEW_GROUPS = "too few groups of examples for a verdict"
    GUESSING = "neither is above guessing"
    """The caller finds this one (`metrics.guessing`): it takes the labels."""


DIFFERENT = (Finding.BETTER, Finding.NEGLIGIBLE)
"""Findings that say that one model is better."""
ALIKE = (Finding.EQUIVALENT, Finding.NEGLIGIBLE)
"""Findings that say that any difference is within the equivalence margin."""


def finding_of(different: bool, equivalent: bool) -> Finding:
    """Return the result of a comparison from what its tests have found."""
    if different:
        return Finding.NEGLIGIBLE if equivalent else Finding.BETTER
    return Finding.EQUIVALENT if equivalent else Finding.INCONCLUSIVE


@dataclass(frozen=True)
class PairTests:
    """The p values of a pair, each adjusted by Holm's procedure over all pairs compared."""

    different: float
    """Of a difference in either direction, two-sided."""
    equivalent: float
    """Of equivalence within the margin, by two one-sided tests."""


def pairs_of(models: int) -> int:
    """Return the number of pairs of so many models."""
    return models * (models - 1) // 2


def adjusted_tests(
    differences: Sequence[Estimate], margin: float = MARGIN, asked: Sequence[int] = ()
) -> list[PairTests | None]:
    """Return the adjusted p values of pairs that are compared together, in the same order.

    A pair that can have no verdict, because of too few groups, has None. Every other pair counts, whatever its number
    of seeds: if pairs of few seeds had no p, discarding runs would make those of others smaller.

    Args:
        differences: Difference of each pair.
        margin: Largest difference without practical weight, fixed beforehand. 0.01 is one percentage point.
        asked: How often the question of each pair is asked, by studies with fresh seeds. Its p values are multiplied by
            that before Holm's procedure. Empty: once.

    Raises:
        ValueError: for a margin that is not above 0.
    """
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, but got {margin}")
    able = [place for place, one in enumerate(differences) if one.groups >= LEAST_GROUPS]
    found: list[PairTests | None] = [None] * len(differences)
    chosen = [differences[place] for place in able]
    times = [asked[place] if asked else 1 for place in able]
    kinds: tuple[list[float | None], ...] = (
        [one.p for one in chosen], [one.p_equivalent(margin) for one in chosen])
    multiplied = [[None if p is None else min(1.0, n * p) for n, p in zip(times, kind, strict=True)] for kind in kinds]
    for place, *p in zip(able, *(holm(kind) for kind in multiplied), strict=True):
        different, equivalent = (1.0 if value is None else value for value in p)
        found[place] = PairTests(different, equivalent)
    return found


@dataclass(frozen=True)
class Verdict:
    """The result of a comparison."""

    finding: Finding
    margin: float
    equivalence: Estimate
    """The 90 % interval. It lies within the margin if the models are equivalent, but with several pairs that is not
    enough."""

    @classmethod
    def of(cls, difference: Estimate, adjusted: PairTests | None, margin: float = MARGIN) -> Verdict:
        """Return the verdict on a difference, decided on unrounded values.

        Equivalence also needs enough seeds and examples (`can_be_equivalent`), whatever the interval.

        Args:
            difference: Difference of two models, with its 95 % interval.
            adjusted: Its p values, as `adjusted_tests` returns them.
            margin: Largest difference without practical weight, fixed beforehand. 0.01 is one percentage point.

        Raises:
            ValueError: for a margin that is not above 0.
        """
        if margin <= 0:
            raise ValueError(f"margin must be greater than 0, but got {margin}")
        if adjusted is None:
            return cls(Finding.TOO_FEW_GROUPS, margin, difference.at(0.90))
        equivalent = can_be_equivalent(difference, margin) and adjusted.equivalent < ALPHA
        finding = finding_of(adjusted.different < ALPHA, equivalent)
        return cls(finding, margin, difference.at(0.90))

    @property
    def favours(self) -> int:
        """Return which model it favors: 1 the first, -1 the second, 0 neither."""
        return int(np.sign(self.equivalence.estimate)) if self.finding in DIFFERENT else 0


@dataclass(frozen=True)
class Pair:
    """Two models compared: the difference of the first minus the second, its tests, and the verdict."""

    names: tuple[str, str]
    difference: Estimate
    """With its 95 % interval."""
    tests: PairTests | None
    """The p values, adjusted over the family. None where a test was not possible."""
    family: int
    """Number of pairs that are tested together."""
    verdict: Verdict
    metric: MetricName = "accuracy"
    asked: int = 1
    """Number of studies that ask its question, by which the p values are multiplied."""

    @property
    def favours(self) -> int:
        """Return which model the verdict favors: 1 the first, -1 the second, 0 neither."""
        return self.verdict.favours if score_of(self.metric).higher_is_better else -self.verdict.favours

    @property
    def fewest_seeds(self) -> float:
        """Return the number of seeds of the model with fewer. Infinite where both are fitted once."""
        return min(self.difference.seeds)

    @property
    def is_of_runs(self) -> bool:
        """Return whether its verdict is about these very runs, because a model has a single one."""
        return self.tests is not None and self.difference.evidence_level is EvidenceLevel.RUNS

    @property
    def has_few_seeds(self) -> bool:
        """Return whether its verdict rests on few seeds, from which equivalence and claims never follow."""
        return self.tests is not None and self.difference.evidence_level is EvidenceLevel.FEW

    @property
    def qualifier(self) -> str:
        """Return the words that stand with its verdict where a model has fewer than five seeds; else none."""
        return "these runs only" if self.is_of_runs else "few seeds" if self.has_few_seeds else ""

    @property
    def interval_name(self) -> str:
        """Return the name of the interval of the difference."""
        return f"95{NBSP}% interval"


def can_be_equivalent(difference: Estimate, margin: float) -> bool:
    """Return whether there are enough seeds and examples to show equivalence within the margin."""
    if difference.evidence_level is EvidenceLevel.FEW:
        return False
    if difference.is_tailed:  # there is no largest change by one example
        return difference.deciding >= DECIDING_TAILED
    return can_show_equivalence(difference.effective, margin)


def unseen_failures(seeds: int) -> float:
    """Return the largest fraction of seeds that may fail without one of so many showing it, at 95 % confidence.

    It is the f with (1 - f)^R = 0.05: 45 % with 5 seeds, 26 % with 10, 14 % with 20.
    """
    return float(1 - ALPHA ** (1 / seeds))


def can_show_equivalence(examples: float, margin: float) -> bool:
    """Return whether this number of test examples can show equivalence at all: whether it would if no answer differed.

    If the true difference is the margin m, none of N answers differs with a chance of up to (1 - m)^N, which must be
    below 5 %. At a margin of one point this takes 299 examples.
    """
    return examples * math.log1p(-margin) < math.log(ALPHA)


def examples_for_equivalence(margin: float) -> int:
    """Return the smallest number of test examples that can show equivalence within the margin.

    Raises:
        ValueError: for a margin that is not above 0.
    """
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, but got {margin}")
    return bisect_left(range(2**60), True, lo=2, key=lambda examples: can_show_equivalence(examples, margin))
