"""Is training procedure A better than B? Intervals and tests over seeds and test examples together.

The data of a model is a matrix of correctness: a row for each seed, a column for each test example, the
same examples in the same order for every model. Seeds are drawn anew by whoever trains again, examples
by whoever meets new reviews; an interval that leaves one of them out is too narrow for the question.

The headline is a sum of variances in closed form with degrees of freedom after Satterthwaite (1946):
for each model m with accuracy a_s by seed, q_i by example and g over all,

    s2  = sum_s (a_s - g)^2 / (R - 1)
    MSE = sum_{s,i} (Y_si - a_s - q_i + g)^2 / ((R - 1)(N - 1))

and s2 - MSE/N is what seeds alone contribute to the spread of a_s: the rest of s2 is noise of the test
set. With D_i = q_Ai - q_Bi, theta = mean D_i and v = var(D_i)/N,

    V  = v + sum_m max(0, s2_m - MSE_m/N) / R_m
    nu = max(V^2 / (sum_m (s2_m/R_m)^2/(R_m - 1) + v^2/(N - 1)), min_m R_m - 1)

and the interval is theta +- t_nu sqrt(V). One model alone: q_i for D_i. Nothing here covers the
resampling of the training set, or the luck of tuning. Known to be too narrow: with seed deviations that differ
5-fold at 3 seeds or fewer (it covers 91-93 %), and with the noisier model on the fewer seeds.

Where few examples decide, v says little: with every answer right it is 0. How many decide is measured by
k = (sum_i r_i^2)^2 / sum_i r_i^4, r_i = D_i - theta: about the number of examples that are answered wrongly (of one
model), or differently (of a pair), where these are few. Below k = 35 the interval leans on Wilson's (1927), wholly
below k = 15, with weight w = (35 - k)/20 between: m = w z^2 pseudo-examples are added, half of them at each end of
the range of D, and v is raised by the share w towards the variance of a single run's answers, as though all seeds
of a model were one,

    theta' = (N theta + m mid)/(N + m),  V' = (N/(N + m))^2 (V + w max(0, v_1 - v) + m h^2/N^2)

with mid and h the middle and half the width of the range: 1/2 and 1/2 of an accuracy, 0 and 1 of a difference. With
one run this is Wilson's interval of a share, and where no example differs between two models Tango's (1998) score
interval of their difference, both with t for z: z alone covers 87 to 94 % where less than one wrong answer is expected.

What the best of n trials is expected to reach has a conservative interval of its own: for a promised 80 % it covered
88 % or more in simulations of 5 to 40 trials whose scores were even, skewed, or of two values (`expected_best`).

Shapes: `R` runs (seeds) of a model, `N` test examples, `B` bootstrap draws.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

Correct = NDArray[Any]
Floats = NDArray[np.float64]

MARGIN = 0.01
"""A difference below one point is of no practical weight, unless a study says otherwise beforehand."""
ALPHA = 0.05
POWER = 0.8


class EvidenceLevel(Enum):
    """How much a number of seeds can carry."""

    EXAMPLES_ONLY = "one seed: the interval is over test examples only"
    ESTIMATE = "two seeds: an estimate only"
    FLAGGED = "3 or 4 seeds: an interval, but too few for a verdict"
    VERDICT = "5 to 9 seeds: enough for a verdict"
    CLAIM = "10 seeds or more: enough for a claim"

    @classmethod
    def of(cls, seeds: int) -> EvidenceLevel:
        """Return the evidence level of the smaller side of a comparison, or of one model."""
        if seeds < 1:
            raise ValueError(f"a model needs at least 1 seed, but has {seeds}")
        if seeds >= 10:
            return cls.CLAIM
        if seeds >= 5:
            return cls.VERDICT
        return (cls.EXAMPLES_ONLY, cls.ESTIMATE, cls.FLAGGED, cls.FLAGGED)[seeds - 1]

    @property
    def has_interval(self) -> bool:
        """Return whether an interval may be shown (for one seed: over examples, and labelled so)."""
        return self is not EvidenceLevel.ESTIMATE

    @property
    def has_verdict(self) -> bool:
        """Return whether a verdict may be passed."""
        return self in (EvidenceLevel.VERDICT, EvidenceLevel.CLAIM)


METHOD_BOTH = "variance sum over seeds and test examples, Satterthwaite t"
METHOD_EXAMPLES = "test examples only (one seed), t"
METHOD_BOOTSTRAP = "two-level bootstrap over seeds and test examples, t"
METHOD_BOOTSTRAP_EXAMPLES = "bootstrap over test examples only (one seed), t"
METHOD_FEW = "; leaning on Wilson's interval, because few test examples decide it"

DECIDING = (15, 35)
"""Examples that decide (k): below the first an interval leans on Wilson's wholly, from the second on not at all."""
LEAST_Z, MOST_Z = 1e-6, 30.0
"""The normal quantile of p is sought between them; beyond the second (p = 1e-197) it is given as 0."""


@dataclass(frozen=True)
class Estimate:
    """A number with the interval around it. Shares, not per cent: 0.01 is one point."""

    estimate: float
    low: float
    high: float
    confidence: float
    variance: float
    """Of the estimate, in closed form; 0 where every run answered alike on every example."""
    df: float
    seeds: tuple[int, ...]
    """R of the model, or of each of the two."""
    examples: int
    method: str
    bounds: tuple[float, float] = (-1.0, 1.0)
    """What the quantity cannot leave; the interval is cut there."""
    wilson: WilsonBlend | None = None
    """What the interval leans on besides, where few examples decide it."""

    @property
    def evidence_level(self) -> EvidenceLevel:
        """Return how much the number of seeds can carry."""
        return EvidenceLevel.of(min(self.seeds))

    @property
    def p(self) -> float | None:
        """Return the two-sided p of no difference, the least level at which the interval leaves 0 out.

        None for a single model.
        """
        if len(self.seeds) == 1:
            return None
        if self.estimate == 0:
            return 1.0
        if self.wilson is None:
            return float(2 * special.stdtr(self.df, -abs(self.estimate) / float(np.sqrt(self.variance))))

        wilson = self.wilson

        def leaves_out(z: float) -> float:
            center, half = self._blended(wilson, z)
            return abs(center) - half

        if leaves_out(MOST_Z) > 0:
            return 0.0
        return float(2 * special.ndtr(-optimize.brentq(leaves_out, LEAST_Z, MOST_Z, xtol=1e-12)))

    def at(self, confidence: float) -> Estimate:
        """Return the same estimate with an interval of another confidence.

        Raises:
            ValueError: for a confidence that is not between 0 and 1.
        """
        if not 0 < confidence < 1:
            raise ValueError(f"confidence must be between 0 and 1, but got {confidence}")
        tail = (1 + confidence) / 2
        if self.wilson is None:
            center, half = self.estimate, float(special.stdtrit(self.df, tail)) * float(np.sqrt(self.variance))
        else:
            center, half = self._blended(self.wilson, float(special.ndtri(tail)))
        low, high = max(self.bounds[0], center - half), min(self.bounds[1], center + half)
        # Rounding may put an end past the estimate where that lies at the end of the range.
        return replace(self, low=min(low, self.estimate), high=max(high, self.estimate), confidence=confidence)

    def _blended(self, wilson: WilsonBlend, z: float) -> tuple[float, float]:
        """Return the middle of the interval and half its width; z is the normal quantile of its confidence."""
        n = wilson.examples
        pseudo = wilson.weight * z**2
        half_range = (self.bounds[1] - self.bounds[0]) / 2
        v = wilson.variance + wilson.weight * max(0.0, wilson.single - wilson.variance) + pseudo * (half_range / n) ** 2
        variance = self.variance - wilson.variance + v
        nu = max(variance**2 / (wilson.seeds_below + v**2 / wilson.df), min(self.seeds) - 1)
        center = (n * self.estimate + pseudo * sum(self.bounds) / 2) / (n + pseudo)
        t = -float(special.stdtrit(nu, float(special.ndtr(-z))))  # of the lower tail, which keeps its digits
        return center, t * float(np.sqrt(variance)) * n / (n + pseudo)


@dataclass(frozen=True)
class WilsonBlend:
    """How far an interval leans on Wilson's, because few examples decide it."""

    weight: float
    """w, above 0 and at most 1."""
    examples: float
    """N, or the number of clusters."""
    variance: float
    """v: the part of the closed form that comes from examples."""
    single: float
    """v_1: the same for a single run of each model."""
    df: float
    """Degrees of freedom of v."""
    seeds_below: float
    """What seeds add below the fraction bar of nu: sum_m (s2_m/R_m)^2/(R_m - 1)."""


def accuracy_interval(
    correct_RN: Correct, confidence: float = 0.95, cluster_N: NDArray[Any] | None = None
) -> Estimate:
    """Return a model's accuracy, over new seeds and new examples, with its interval cut to [0, 1].

    Args:
        correct_RN: whether seed r answers example i rightly.
        confidence: of the interval, between 0 and 1.
        cluster_N: by example, a name shared by examples that belong together (reviews of one product).

    Raises:
        ValueError: for a shape other than (R, N) with R >= 1 and N >= 2, or entries besides 0 and 1.
    """
    part = _Part.of(correct_RN)
    return _estimate([part], part.by_example_N, confidence, cluster_N, bounds=(0.0, 1.0))


def wilson_interval(right: int, examples: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's (1927) score interval of a share: it has a width where every example is answered alike.

    Raises:
        ValueError: for no examples, or more right than there are.
    """
    if not 0 <= right <= examples or examples < 1:
        raise ValueError(f"right must be between 0 and examples, and these at least 1, but got {right} of {examples}")
    z = float(special.ndtri((1 + confidence) / 2))
    share, weight = right / examples, 1 + z * z / examples
    middle = (share + z * z / (2 * examples)) / weight
    half = z / weight * float(np.sqrt(share * (1 - share) / examples + z * z / (4 * examples**2)))
    # At an end it is the share itself, to the last bit.
    return 0.0 if right == 0 else middle - half, 1.0 if right == examples else middle + half


def accuracy_difference(
    correct_A_RN: Correct,
    correct_B_RN: Correct,
    confidence: float = 0.95,
    cluster_N: NDArray[Any] | None = None,
) -> Estimate:
    """Return accuracy of A minus accuracy of B, with interval and p, over new seeds and new examples.

    The columns of both are the same examples in the same order (to be checked by example id beforehand).
    Where a side has one seed only, the interval is over examples alone, for these very runs.

    Raises:
        ValueError: for other shapes, numbers of examples that differ, or entries besides 0 and 1.
    """
    a, b = _Part.of(correct_A_RN), _Part.of(correct_B_RN)
    if a.examples != b.examples:
        raise ValueError(
            f"both models must be scored on the same examples, but A has {a.examples} and B has {b.examples}"
        )
    return _estimate([a, b], a.by_example_N - b.by_example_N, confidence, cluster_N, bounds=(-1.0, 1.0))


def seed_deviation(correct_RN: Correct) -> float | None:
    """Return how far accuracy moves from seed to seed, test-set noise taken out: sqrt(max(0, s2 - MSE/N)).

    None for one seed.
    """
    part = _Part.of(correct_RN)
    return None if part.seeds < 2 else float(np.sqrt(part.seed_variance))


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Return p adjusted by Holm's (1979) step-down procedure, in the order given.

    A None (no test was possible) stays None and does not count among the tests.
    """
    known = sorted((value, place) for place, value in enumerate(p) if value is not None)
    adjusted: list[float | None] = [None] * len(p)
    highest = 0.0
    for step, (value, place) in enumerate(known):
        if not 0 <= value <= 1:
            raise ValueError(f"p must be between 0 and 1, but got {value}")
        highest = max(highest, min(1.0, (len(known) - step) * value))
        adjusted[place] = highest
    return adjusted


def mcnemar(only_A: int, only_B: int) -> float:
    """Return the exact two-sided p of McNemar's (1947) test for two trained models on the same examples.

    Args:
        only_A: examples that A alone answers rightly.
        only_B: examples that B alone answers rightly.

    It speaks of these two checkpoints, not of the procedures that trained them.
    """
    if min(only_A, only_B) < 0:
        raise ValueError(f"counts must be at least 0, but got {only_A} and {only_B}")
    total = only_A + only_B
    return float(min(1.0, 2 * special.bdtr(min(only_A, only_B), total, 0.5))) if total else 1.0


def chance_better(correct_A_RN: Correct, correct_B_RN: Correct) -> float:
    """Return the share of seed pairs in which the run of A is more accurate, ties counting half.

    An estimate, on this test set, of the chance that a fresh run of A beats a fresh run of B.
    """
    a_R, b_S = _Part.of(correct_A_RN).right_R, _Part.of(correct_B_RN).right_R
    return float(((a_R[:, None] > b_S) + 0.5 * (a_R[:, None] == b_S)).mean())


def effect_size(correct_A_RN: Correct, correct_B_RN: Correct) -> float | None:
    """Return the difference of mean accuracies over the larger of the two deviations over seeds.

    How many times the luck of a seed it is; the deviations are those of `seed_deviation`. None where neither model
    varies from seed to seed, or one has a single seed.
    """
    deviations = seed_deviation(correct_A_RN), seed_deviation(correct_B_RN)
    if None in deviations or not (larger := max(value or 0.0 for value in deviations)):
        return None
    return float(np.mean(correct_A_RN) - np.mean(correct_B_RN)) / larger


@dataclass(frozen=True)
class Design:
    """What the runs of a pair of models say about how precise a design would be."""

    seed_variance: tuple[float, float]
    """sigma_u^2 of A and of B."""
    within: tuple[float, float]
    """Share of examples on which two seeds of the model disagree: d_s."""
    between: float
    """Share of examples on which a run of A and a run of B disagree: d_x."""
    deciding: float = 1.0
    """Share of examples that carry the variance of the difference: k/N."""

    @classmethod
    def of(cls, correct_A_RN: Correct, correct_B_RN: Correct) -> Design:
        """Measure the design's quantities on the runs; both models need two seeds."""
        a, b = _Part.of(correct_A_RN), _Part.of(correct_B_RN)
        if min(a.seeds, b.seeds) < 2:
            raise ValueError(f"both models must have at least 2 seeds, but have {a.seeds} and {b.seeds}")
        q_N, r_N = a.by_example_N, b.by_example_N
        return cls(
            seed_variance=(a.seed_variance, b.seed_variance),
            within=(_disagreement(q_N, a.seeds), _disagreement(r_N, b.seeds)),
            between=float((q_N * (1 - r_N) + r_N * (1 - q_N)).mean()),
            deciding=_deciding_examples(_rest(q_N - r_N, a.grand - b.grand, None)) / a.examples,
        )

    @property
    def floor_variance(self) -> float:
        """Return (d_x - d_s), the mean squared difference of the two models' chances to be right."""
        return max(0.0, self.between - sum(self.within) / 2)

    def detectable(self, seeds: tuple[int, int], examples: int) -> float:
        """Return the smallest true difference found with a chance of 80 % at the 5 % level.

        (t_{.975,nu} + t_{.8,nu}) sqrt(V) with V = sum_m sigma_m^2/R_m + (d_x - d_s)/N + sum_m d_sm/(2 R_m N),
        which for equal models is 2 sigma^2/R + (d_x - d_s)/N + d_s/(R N). Where few of the examples would decide, V
        has the pseudo-examples of the interval too.
        """
        _at_least("seeds", min(seeds), 2)
        _at_least("examples", examples, 2)
        noise = [d / 2 / examples for d in self.within]
        v = self._example_floor(examples) + sum(e / r for e, r in zip(noise, seeds, strict=True))
        variance = v + sum(u / r for u, r in zip(self.seed_variance, seeds, strict=True))
        raw = [u + e for u, e in zip(self.seed_variance, noise, strict=True)]
        nu = _degrees(variance, _below(raw, seeds), min(seeds), v, examples - 1)
        return float((special.stdtrit(nu, 1 - ALPHA / 2) + special.stdtrit(nu, POWER)) * np.sqrt(variance))

    def detectable_floor(self, examples: int) -> float:
        """Return what no number of seeds can go below: (z_{.975} + z_{.8}) sqrt((d_x - d_s)/N)."""
        z = special.ndtri(1 - ALPHA / 2) + special.ndtri(POWER)
        return float(z * np.sqrt(self._example_floor(examples)))

    def _example_floor(self, examples: int) -> float:
        """Return the variance over examples that seeds do not lower, pseudo-examples included."""
        pseudo = _wilson_weight(self.deciding * examples) * float(special.ndtri(1 - ALPHA / 2)) ** 2
        return self.floor_variance / examples + pseudo / examples**2

    def examples_for(self, difference: float, seeds: int, most: int = 1_000_000) -> int | None:
        """Return the fewest test examples on which `seeds` a side detect `difference`; None where `most` do not."""
        low, high = 1, 2
        while self.detectable((seeds, seeds), high) > difference:
            low, high = high, 2 * high
            if high > most:
                return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.detectable((seeds, seeds), middle) <= difference else (middle, high)
        return high

    def seeds_for(self, difference: float, examples: int, most: int = 50) -> int | None:
        """Return the fewest seeds a side (5 to `most`) that detect `difference`; None where none do."""
        return next((r for r in range(5, most + 1) if self.detectable((r, r), examples) <= difference), None)


class Finding(Enum):
    """What a comparison shows."""

    BETTER = "better"
    BETTER_BY_MARGIN = "better by more than the margin"
    NEGLIGIBLE = "real but negligible"
    EQUIVALENT = "equivalent within the margin"
    INCONCLUSIVE = "inconclusive"
    TOO_FEW_SEEDS = "too few seeds for a verdict"


@dataclass(frozen=True)
class Verdict:
    """A finding, and whom it favours: 1 the first model, -1 the second, 0 neither."""

    finding: Finding
    favours: int
    margin: float
    equivalence: Estimate
    """The 90 % interval: inside the margin means equivalent (two one-sided tests at 5 %)."""


def verdict(difference: Estimate, p_adjusted: float | None, margin: float = MARGIN) -> Verdict:
    """Decide what a difference shows, on unrounded values.

    Args:
        difference: of two models, with its 95 % interval.
        p_adjusted: p after Holm over all pairs compared; None where none was tested, for want of seeds.
        margin: the largest difference of no practical weight, fixed beforehand; 0.01 is one point.

    Equivalence takes enough examples too (`can_show_equivalence`), whatever the interval.
    """
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, but got {margin}")
    inner, outer = difference.at(0.90), difference.at(0.95)
    side = int(np.sign(difference.estimate))

    def found(finding: Finding, favours: int = 0) -> Verdict:
        return Verdict(finding, favours, margin, inner)

    if not difference.evidence_level.has_verdict or p_adjusted is None:
        return found(Finding.TOO_FEW_SEEDS)
    equivalent = can_show_equivalence(difference.examples, margin) and -margin < inner.low and inner.high < margin
    if p_adjusted < ALPHA:
        if equivalent:
            return found(Finding.NEGLIGIBLE, side)
        beyond = outer.low > margin or outer.high < -margin
        return found(Finding.BETTER_BY_MARGIN if beyond else Finding.BETTER, side)
    return found(Finding.EQUIVALENT if equivalent else Finding.INCONCLUSIVE)


def can_show_equivalence(examples: int, margin: float) -> bool:
    """Return whether so many test examples could show equivalence: whether they would if no answer differed.

    The 90 % interval of the difference then ends at about +-2.7/N. Where it does not lie within the margin (at one
    point up to some 270 examples, of which each weighs 0.4 points), no runs could have shown it.
    """
    z = float(special.ndtri(0.95))
    t = float(special.stdtrit(max(1, examples - 1), 0.95))
    return t * z / (examples + z**2) < margin


def examples_for_equivalence(margin: float) -> int:
    """Return the fewest test examples that could show equivalence within the margin.

    Raises:
        ValueError: for a margin that is not above 0.
    """
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, but got {margin}")
    most = 2
    while not can_show_equivalence(most, margin):
        most *= 2
    return bisect_left(range(most), True, lo=2, key=lambda examples: can_show_equivalence(examples, margin))


def f1_interval(
    predicted_RN: NDArray[np.bool_],
    label_N: NDArray[Any],
    rng: np.random.Generator,
    confidence: float = 0.95,
    draws: int = 1000,
) -> Estimate:
    """Return the mean F1 over seeds with a two-level bootstrap interval, cut to [0, 1].

    F1 is no mean over examples, so the closed form does not apply: seeds and examples are drawn with
    replacement (Sellam et al. 2022), and the standard error of the draws is multiplied by
    sqrt(R/(R - 1)). The degrees of freedom are those of the same runs' accuracy. Conservative. Where few examples
    decide (by what each of them moves F1), the interval leans on Wilson's as that of an accuracy does, with the
    examples that F1 counts, those that are 1 or predicted so, for N.

    Args:
        predicted_RN: whether seed r predicts 1 for example i.
        label_N: 0 or 1.
        rng: draws; another generator gives a slightly other interval.
        confidence: of the interval.
        draws: B.
    """
    predicted_RN, one_N = np.asarray(predicted_RN, bool), np.asarray(label_N) == 1
    like = accuracy_interval(predicted_RN == one_N, confidence)
    seeds, examples = predicted_RN.shape
    # F1 = 2 TP / (predicted ones + ones): two sums over examples for each seed.
    hit_NR = (predicted_RN & one_N).T.astype(np.float32)
    named_NR = (predicted_RN + one_N.astype(int)).T.astype(np.float32)
    value_B = np.empty(draws)
    for start in range(0, draws, 250):
        size = min(250, draws - start)
        drawn_BN = rng.integers(0, examples, (size, examples)) + examples * np.arange(size)[:, None]
        weight_BN = np.bincount(drawn_BN.ravel(), minlength=size * examples).reshape(size, examples)
        weight_BN = weight_BN.astype(np.float32)
        below_BR = weight_BN @ named_NR
        f1_BR = np.divide(2 * (weight_BN @ hit_NR), below_BR, out=np.zeros_like(below_BR), where=below_BR > 0)
        share_BR = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size) / seeds
        value_B[start : start + size] = (share_BR * f1_BR).sum(1)
    named_R = named_NR.sum(0)
    f1_R = np.divide(2 * hit_NR.sum(0), named_R, out=np.zeros(seeds), where=named_R > 0)
    timing = seeds / (seeds - 1) if seeds > 1 else 1.0
    variance = float(value_B.var(ddof=1)) * timing
    estimate = float(f1_R.mean())
    method = METHOD_BOOTSTRAP if seeds > 1 else METHOD_BOOTSTRAP_EXAMPLES
    wilson = None
    # To first order an example moves F1 of a run by (2 hit - F1 named)/sum named.
    if weight := _wilson_weight(_deciding_examples(((2 * hit_NR - f1_R * named_NR) / np.maximum(named_R, 1)).mean(1))):
        counted = max(1.0, float((predicted_RN | one_N).sum(1).mean()))
        below = _below([_Part.of(predicted_RN == one_N).s2], [seeds]) if seeds > 1 else 0.0
        wilson = WilsonBlend(weight, counted, variance, estimate * (1 - estimate) / counted, examples - 1, below)
        method += METHOD_FEW
    return replace(like, estimate=estimate, variance=variance, method=method, wilson=wilson).at(confidence)


BEST_METHOD = (
    "unbiased mean of the best of so many of the trials; conservative 80 % interval of the expected best of as many "
    "fresh ones, from pointwise Clopper-Pearson limits of the distribution of a trial's score, a share from 0 to 1"
)


@dataclass(frozen=True)
class BestOf:
    """What the best of n fresh trials is expected to reach, and an interval for that expectation."""

    trials: int
    mean: float
    low: float
    high: float


def expected_best(value_B: Sequence[float], confidence: float = 0.8) -> list[BestOf]:
    """Return what the best of n = 1 ... B fresh trials is expected to reach, from the scores of B.

    The estimate is sum_j C(j - 1, n - 1)/C(B, n) x_(j), with x_(1) <= ... <= x_(B) (Dodge et al. 2019, in the unbiased
    form of Tang et al. 2020). It is about independent trials of one distribution: random search, none of them cut
    short.

    The interval is for the expectation E = integral over [0, 1] of 1 - F(x)^n, F the distribution of a trial's score.
    Of F(x) each x has the limits of Clopper and Pearson (1934), beta quantiles that are constant between scores, and
    E follows from the limits: the less is known beyond the best score seen, the wider. Subsets of the B at hand would
    not do: all of their best of B are the same. For scores of two values it covers as often as those limits do, for
    others more often.

    Args:
        value_B: scores of B >= 1 trials, in any order; shares, from 0 to 1.
        confidence: of the limits at each score; the interval itself covers more often.
    """
    x_B = np.sort(np.asarray(value_B, np.float64))
    if not x_B.size:
        raise ValueError("the best of some trials needs at least 1 score, but got 0")
    if not (x_B[0] >= 0 and x_B[-1] <= 1):
        raise ValueError(f"scores must be between 0 and 1, but lie between {x_B[0]:g} and {x_B[-1]:g}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, but got {confidence}")
    size = x_B.size
    found = []
    j_B = np.arange(1, size + 1)
    # Between x_(k) and x_(k+1), k = 0 ... B, lie k scores at or below.
    step_K = np.diff(x_B, prepend=0.0, append=1.0)
    tail = (1 - confidence) / 2
    least_K = np.concatenate([[0.0], special.betaincinv(j_B, size - j_B + 1, tail)])
    most_K = np.concatenate([special.betaincinv(j_B, size - j_B + 1, 1 - tail), [1.0]])
    for n in range(1, size + 1):
        # C(j, n)/C(B, n) as a product of quotients, by logarithms: the counts themselves overflow.
        log_B = special.gammaln(j_B + 1) - special.gammaln(np.maximum(j_B - n, 0) + 1)
        at_most_B = np.where(j_B >= n, np.exp(log_B - log_B[-1]), 0.0)
        mean = float(np.diff(at_most_B, prepend=0.0) @ x_B)
        low, high = (float(1 - step_K @ limit_K**n) for limit_K in (most_K, least_K))
        # Rounding may put an end past the estimate where all scores are 0 or 1.
        found.append(BestOf(n, mean, min(low, mean), max(high, mean)))
    return found


@dataclass(frozen=True)
class _Part:
    """The sums that one model's matrix contributes."""

    right_R: NDArray[np.int64]
    by_example_N: Floats
    s2: float
    mse: float

    @classmethod
    def of(cls, correct_RN: Correct) -> _Part:
        y_RN = np.asarray(correct_RN)
        if y_RN.ndim != 2 or y_RN.shape[0] < 1 or y_RN.shape[1] < 2:
            raise ValueError(
                f"correctness must have shape (R, N) with R >= 1 and N >= 2, but has shape {y_RN.shape}"
            )
        if y_RN.dtype != np.bool_ and not np.isin(y_RN, (0, 1)).all():
            raise ValueError("correctness must be 0 or 1 for every example, but holds other values")
        y_RN = y_RN.astype(np.float64)
        seeds, examples = y_RN.shape
        a_R, q_N = y_RN.mean(1), y_RN.mean(0)
        if seeds == 1:
            return cls(y_RN.sum(1).astype(np.int64), q_N, 0.0, 0.0)
        rest_RN = y_RN - a_R[:, None] - q_N + a_R.mean()
        alike = np.ptp(a_R) == 0
        return cls(
            right_R=y_RN.sum(1).astype(np.int64),
            by_example_N=q_N,
            s2=0.0 if alike else float(a_R.var(ddof=1)),
            mse=float((rest_RN**2).sum() / ((seeds - 1) * (examples - 1))),
        )

    @property
    def grand(self) -> float:
        """Accuracy over all; a quotient of counts, so that equal shares are equal to the last bit."""
        return int(self.right_R.sum()) / (self.seeds * self.examples)

    @property
    def seeds(self) -> int:
        return len(self.right_R)

    @property
    def examples(self) -> int:
        return len(self.by_example_N)

    @property
    def seed_variance(self) -> float:
        return max(0.0, self.s2 - self.mse / self.examples)


def _estimate(
    parts: list[_Part],
    value_N: Floats,
    confidence: float,
    cluster_N: NDArray[Any] | None,
    bounds: tuple[float, float],
) -> Estimate:
    theta = parts[0].grand - (parts[1].grand if len(parts) > 1 else 0.0)
    rest_K = _rest(value_N, theta, cluster_N)
    size, v_df = rest_K.size, rest_K.size - 1
    v = float((rest_K**2).sum() / v_df * size / value_N.size / value_N.size)
    seeds = tuple(part.seeds for part in parts)
    below = 0.0
    if min(seeds) == 1:
        variance, nu, method = v, float(v_df), METHOD_EXAMPLES
    else:
        variance = v + sum(part.seed_variance / part.seeds for part in parts)
        below = _below([part.s2 for part in parts], seeds)
        nu = _degrees(variance, below, min(seeds), v, v_df)
        method = METHOD_BOTH
    wilson = None
    if weight := _wilson_weight(_deciding_examples(rest_K)):
        # Of answers that are right by chance q_i: a run of each model, drawn for all examples together.
        single = sum(part.grand * (1 - part.grand) for part in parts)
        if len(parts) == 2:
            q_N, r_N = (part.by_example_N for part in parts)
            single = float((q_N * (1 - r_N) + r_N * (1 - q_N)).mean()) - theta**2
        wilson = WilsonBlend(weight, size, v, single / size, v_df, below)
        method += METHOD_FEW
    plain = Estimate(theta, theta, theta, confidence, variance, nu, seeds, value_N.size, method, bounds, wilson)
    return plain.at(confidence)


def _rest(value_N: Floats, theta: float, cluster_N: NDArray[Any] | None) -> Floats:
    """Return what each example, or all of a cluster together, adds to N times the difference from the mean."""
    rest_N = value_N - theta
    if np.ptp(value_N) < 1e-12:  # shares of a few seeds: a real difference is far larger than rounding
        rest_N = np.zeros_like(rest_N)
    if cluster_N is None:
        return rest_N
    if len(cluster_N) != value_N.size:
        raise ValueError(f"cluster_N must have {value_N.size} entries, but has {len(cluster_N)}")
    _, place_N = np.unique(cluster_N, return_inverse=True)
    sum_K = np.bincount(place_N, rest_N).astype(np.float64)
    if sum_K.size < 2:
        raise ValueError("clusters must be at least 2, but got 1")
    return sum_K


def _deciding_examples(rest_N: Floats) -> float:
    """Return k of the module's docstring: how many examples carry the variance."""
    squares_N = rest_N**2
    fourth = float((squares_N**2).sum())
    return float(squares_N.sum()) ** 2 / fourth if fourth > 0 else 0.0


def _wilson_weight(deciding: float) -> float:
    """Return w of the module's docstring."""
    whole, none = DECIDING
    return min(1.0, max(0.0, (none - deciding) / (none - whole)))


def _below(s2: Sequence[float], seeds: Sequence[int]) -> float:
    """Return what seeds add below the fraction bar of nu."""
    return sum((x / r) ** 2 / (r - 1) for x, r in zip(s2, seeds, strict=True))


def _degrees(variance: float, seeds_below: float, fewest: int, v: float, v_df: float) -> float:
    """Return nu of the module's docstring."""
    floor, below = float(fewest - 1), seeds_below + v**2 / v_df
    return max(variance**2 / below, floor) if below > 0 else floor


def _disagreement(by_example_N: Floats, seeds: int) -> float:
    """Return the share of pairs of seeds that disagree, averaged over examples."""
    return float((2 * by_example_N * (1 - by_example_N)).mean() * seeds / (seeds - 1))


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{name} must be at least {least}, but got {value}")
