"""Intervals and tests for the question "is training procedure A better than B?", over seeds and test examples together.

The data of a model is a matrix of correctness: a row for each seed, a column for each test example. All models have the
same examples in the same order. A new training has another seed, and new texts are other examples; an interval that
ignores one of the two is too narrow for the question.

The main interval is a sum of variances in closed form with degrees of freedom after Satterthwaite (1946).
Model m has accuracy a_s for seed s, q_i for example i, and g over all. With

    s2  = sum_s (a_s - g)^2 / (R - 1)
    MSE = sum_{s,i} (Y_si - a_s - q_i + g)^2 / ((R - 1)(N - 1))

s2 - MSE/N is the variance of a_s due to seeds alone; the rest of s2 is noise of the test set.
With D_i = q_Ai - q_Bi, theta = mean D_i and v = var(D_i)/N,

    V  = v + sum_m max(0, s2_m - MSE_m/N) / R_m
    nu = max(V^2 / (sum_m (s2_m/R_m)^2/(R_m - 1) + v^2/(N - 1)), min_m R_m - 1)

and the interval is theta +- t_nu sqrt(V). For one model alone, q_i stands for D_i. The interval does not cover the
resampling of the training set or the luck of tuning. It is known to be too narrow in two cases: where the seed
deviations differ 5-fold at 3 seeds or fewer (it covers 91-93 %), and where the noisier model has fewer seeds.

A model without a seed, such as a linear one, is fitted once: it has one row and R_m = infinity, so it has no part in
the variance between seeds, nor in the least nu. The result is that of its row repeated as often as the other model has
seeds. If both models are fitted once, V = v and nu = N - 1.

Where few examples decide, v says little: it is 0 where every answer is right. The number of deciding examples is
measured by k = (sum_i r_i^2)^2 / sum_i r_i^4 with r_i = D_i - theta. Where they are few, k is about the number of
examples that are answered wrongly (one model) or differently (a pair). Below k = 35 the interval is a blend with
Wilson's (1927), with weight w = (35 - k)/20, and w = 1 below k = 15. For the blend, m = w z^2 pseudo-examples are
added, half of them at each end of the range of D, and v is raised by the share w towards the variance v_1 of the
answers of a single run, as if all seeds of a model were one:

    theta' = (N theta + m mid)/(N + m),  V' = (N/(N + m))^2 (V + w max(0, v_1 - v) + m h^2/N^2)

where mid and h are the middle and half the width of the range: 1/2 and 1/2 for an accuracy, 0 and 1 for a difference.
With one run this is Wilson's interval of a share. Where no example differs between two models it is Tango's (1998)
score interval of their difference. Both have t instead of z, because z covers only 87 to 94 % where less than one wrong
answer is expected.

Examples may come in groups, such as the reviews of one film, whose answers are alike. With n_k examples in group k,
h_k = n_k/N, r_i = D_i - theta, T_k = sum of r_i in k and E_sk = sum in k of (Y_si - a_s - q_i + g),

    v   = sum_k T_k^2/(1 - h_k) / N^2
    B_m = sum_s sum_k E_sk^2/(1 - h_k) / ((R_m - 1) N^2), in the place of MSE_m/N
    nu_v = (sum_k w_k)^2/sum_k w_k^2 - 1, in the place of N - 1, with w_k = n_k (1 + (n_k - 1) rho)

where rho is the intraclass correlation of the D_i (analysis of variance), cut to [0, 1]; nu is at least
min(min_m R_m - 1, nu_v). V is then the two-way clustered variance of Cameron, Gelbach and Miller (2011): seeds plus
examples less both. The blend counts N_e = max(N^2/sum_k n_k^2, N/d) examples, with the design effect d = max(1, v/v_0)
and v_0 the variance without groups; where v_0 = 0, d = sum_k n_k^2/N. If each example is a group, all of this is the
same as above.

A split that draws whole groups from each stratum, such as the texts of one class and category, fixes the share of each
stratum in the test examples (Cochran 1977, chapter 5). With H strata of N_h examples, r_i in v and E_si are then
measured from their mean in the stratum, h_k = n_k/N_h, and nu_v has H in the place of its 1. Groups that are alone in
their stratum say nothing of its variance: together they are one more stratum, with h_k = n_k/N and r_i as before.

Equivalence of two accuracies within a margin m needs one more test, because the errors of two models may all lie on
one side: where B is wrong on 1 % of the examples and A on none, the interval alone finds them equivalent within 1 point
in 7 to 8 of 100 cases. With f = (mean D^2 - |theta|)/2 >= 0 the smaller share of examples that one model alone answers
correctly (of single runs a count, of several the share with the same variance), the score test of theta = m (Tango
1998) has the variance 2 q + m - m^2 over N_e, where q is the likeliest f under theta = m. Where f = 0 it is the
binomial test of N_e answers with the chance m.

Several pairs are compared as one family. Each kind of finding (different, equivalent) has separate p values, adjusted
by Holm's procedure over all pairs (`adjusted_tests`): a report holds some
false finding of a kind in at most 5 of 100 cases.

Shapes: `R` runs (seeds) of a model, `N` test examples, `K` groups of examples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from gru_bench.config import MetricName
from gru_bench.stats.scores import score_of
from gru_bench.stats.values import Floats, Values

ALPHA = 0.05
POWER = 0.8


class EvidenceLevel(Enum):
    """What a number of seeds is enough for."""

    RUNS = "one seed: intervals and verdicts are about this run only, over test examples"
    FEW = "2 to 4 seeds: a difference may be found, but no equivalence"
    CLAIM = "5 seeds or more: enough for every verdict"

    @classmethod
    def of(cls, seeds: float) -> EvidenceLevel:
        """Return the evidence level of a number of seeds. For a comparison: the smaller number of the two sides.

        Raises:
            ValueError: for fewer than 1 seed.
        """
        if seeds < 1:
            raise ValueError(f"a model needs at least 1 seed, but has {seeds}")
        return cls.RUNS if seeds < 2 else cls.FEW if seeds < 5 else cls.CLAIM


METHOD_BOTH = "variance sum over seeds and test examples, Satterthwaite t"
METHOD_EXAMPLES = "test examples only (one seed), t"
METHOD_FITTED_ONCE = "test examples only (fitted once), t"
METHOD_GROUPS = "; groups of examples vary together"
METHOD_FEW = "; leaning on Wilson's interval, because few test examples decide it"
METHOD_TAIL = "; too narrow at times, because few test examples decide it"

DECIDING = (15, 35)
"""Numbers of deciding examples (k): the weight of Wilson's interval is 1 up to the first and 0 from the second on."""
DECIDING_TAILED = 50
"""Smallest number of deciding examples with which losses can show equivalence. With fewer, two models that differ by
the margin were called equivalent in up to 17 % of simulations."""
LEAST_Z, MOST_Z = 1e-6, 30.0
"""Range in which the normal quantile of p is searched. Beyond the second (p = 1e-197), p is returned as 0."""


@dataclass(frozen=True)
class Estimate:
    """An estimate with its interval. Values are shares: 0.01 is one percentage point."""

    estimate: float
    low: float
    high: float
    confidence: float
    variance: float
    """Variance of the estimate in closed form. 0 where all runs give the same answers on all examples."""
    df: float
    seeds: tuple[float, ...]
    """Number of seeds of the model, or of each of the two models. Infinite for a model that is fitted once."""
    examples: int
    method: str
    bounds: tuple[float, float] = (-1.0, 1.0)
    """Smallest and largest possible value. The interval is cut there."""
    wilson: WilsonBlend | None = None
    """The blend with Wilson's interval, where few examples decide. None elsewhere."""
    deciding: float = math.inf
    """k: number of deciding examples."""
    effective: float = math.inf
    """N_e: number of examples that would tell as much if each stood alone."""
    groups: float = math.inf
    """N^2/sum_k n_k^2: number of groups of equal size that would be as uneven. N where each example stands alone."""
    design: Design | None = None
    """How the variance depends on the numbers of seeds and examples. None where a model has one seed."""
    is_tailed: bool = False
    """Whether one example may weigh anything, so that the interval does not lean on Wilson's."""
    one_sided: float | None = None
    """f: smaller share of examples that one model alone answers correctly. None of other scores, and of one model."""
    is_difference: bool = True
    """Whether it is a difference of two models, and not the score of one."""

    @property
    def evidence_level(self) -> EvidenceLevel:
        """Return what the number of seeds is enough for."""
        return EvidenceLevel.of(min(self.seeds))

    @property
    def has_interval(self) -> bool:
        """Return whether one model alone has an interval. With one seed it is over examples only, and is labelled so.

        With two seeds it would cover 92.3 to 93.6 % where the between-seed standard deviation is 1 point.
        """
        return min(self.seeds) != 2

    @property
    def p(self) -> float | None:
        """Return the two-sided p for the hypothesis of no difference. None for a single model.

        It is the smallest level at which the interval does not contain 0.
        """
        if not self.is_difference:
            return None
        if self.estimate == 0:
            return 1.0
        if self.wilson is None:
            if self.variance == 0:  # no more than rounding is no difference
                return 0.0 if abs(self.estimate) > 1e-12 else 1.0
            return float(2 * special.stdtr(self.df, -abs(self.estimate) / math.sqrt(self.variance)))
        return 2 * self._tail(self.wilson, lambda center, half: abs(center) - half)

    def p_equivalent(self, margin: float) -> float:
        """Return p of the two one-sided tests for equivalence within `margin` (Schuirmann 1987).

        It is the smallest level at which the interval of confidence 1 - 2 p lies within the margin, and of accuracies
        at least that of the score test at the margin.
        """
        if abs(self.estimate) >= margin:
            return 1.0
        p = self._p_within(margin)
        return p if self.one_sided is None else max(
            p, *(_at_margin(sign * abs(self.estimate), self.one_sided, self.effective, margin) for sign in (1, -1)))

    def _p_within(self, margin: float) -> float:
        if self.wilson is None:
            if self.variance == 0:
                return 0.0
            return float(special.stdtr(self.df, (abs(self.estimate) - margin) / math.sqrt(self.variance)))
        return self._tail(self.wilson, lambda center, half: margin - abs(center) - half)

    def _tail(self, wilson: WilsonBlend, holds: Callable[[float, float], float]) -> float:
        """Return the smallest one-sided level at which a condition on the blended interval holds.

        Args:
            wilson: The blend.
            holds: Function of the middle and half the width of the interval: above 0 where the condition holds.
        """
        from scipy.optimize import brentq  # takes over half a second to load, and few estimates need it

        def at(z: float) -> float:
            return holds(*self._blended(wilson, z))

        if at(MOST_Z) > 0:
            return 0.0
        if at(LEAST_Z) <= 0:
            return 0.5
        return float(special.ndtr(-brentq(at, LEAST_Z, MOST_Z, xtol=1e-12)))

    def detectable(self, family: int = 1) -> float | None:
        """Return the smallest true difference that as many runs and examples detect with a power of 80 %.

        None where a model has one seed.
        """
        if self.design is None:
            return None
        return replace(self.design, family=family).detectable(self.seeds, self.examples)

    @property
    def design_of_runs(self) -> Design:
        """Return how the variance of single runs depends on the number of examples alone."""
        return Design((), (), self.examples * self.variance, self.deciding / self.examples,
                      self.effective / self.examples, self.df / (self.examples - 1),
                      (self.bounds[1] - self.bounds[0]) / 2)

    def at(self, confidence: float) -> Estimate:
        """Return the same estimate with the interval for another confidence.

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
        # Rounding may move an end past an estimate that lies at the end of the range.
        return replace(self, low=min(low, self.estimate), high=max(high, self.estimate), confidence=confidence)

    def _blended(self, wilson: WilsonBlend, z: float) -> tuple[float, float]:
        """Return the middle and half the width of the blended interval. z is the normal quantile of its confidence."""
        n = wilson.examples
        pseudo = wilson.weight * z**2
        half_range = (self.bounds[1] - self.bounds[0]) / 2
        v = wilson.variance + wilson.weight * max(0.0, wilson.single - wilson.variance) + pseudo * (half_range / n) ** 2
        variance = self.variance - wilson.variance + v
        nu = _degrees(variance, wilson.seeds_below, wilson.least, v, wilson.df)
        center = (n * self.estimate + pseudo * sum(self.bounds) / 2) / (n + pseudo)
        t = -float(special.stdtrit(nu, float(special.ndtr(-z))))  # of the lower tail, which keeps its digits
        return center, t * float(np.sqrt(variance)) * n / (n + pseudo)


@dataclass(frozen=True)
class WilsonBlend:
    """How an interval is blended with Wilson's, because few examples decide it."""

    weight: float
    """w, above 0 and at most 1."""
    examples: float
    """N_e, the effective number of examples."""
    variance: float
    """v: the part of the variance that comes from examples."""
    single: float
    """v_1: the same part for a single run of each model."""
    df: float
    """Degrees of freedom of v."""
    seeds_below: float
    """The seeds' part of the denominator of nu: sum_m (s2_m/R_m)^2/(R_m - 1)."""
    least: float
    """Smallest nu."""


def estimate(
    a: Values, b: Values | None = None, group_N: NDArray[Any] | None = None, stratum_N: NDArray[Any] | None = None
) -> Estimate:
    """Return the score of A, or its score minus that of B, with its 95 % interval over new seeds and new examples.

    Where a model has one seed only, the interval is over examples alone and speaks of these runs only.

    Args:
        a: Values of A.
        b: Values of B. The examples must be the same in the same order; the caller checks their ids.
        group_N: For each example the name of its group: examples that belong together, such as reviews of one
            product. None: each example is a group of its own.
        stratum_N: For each example the name of its group's stratum. None: the split did not fix the share of any.

    Raises:
        ValueError: for different numbers of examples, or fewer than 2 groups.
    """
    examples = a.value_RN.shape[1]
    if b is not None and b.value_RN.shape[1] != examples:
        raise ValueError(f"both models must be scored on the same examples, but A has {examples} and B has "
                         f"{b.value_RN.shape[1]}")
    grouped = None if group_N is None else _Groups.of(group_N, stratum_N, examples)
    parts = [_Part.of(one, grouped) for one in (a, b) if one is not None]
    bounds, value_N, theta = a.bounds, parts[0].by_example_N, parts[0].grand
    one_sided: float | None = None
    if b is not None:
        bounds = (a.bounds[0] - b.bounds[1], a.bounds[1] - b.bounds[0])
        value_N, theta = value_N - parts[1].by_example_N, theta - parts[1].grand
        if a.counted is None and bounds == (-1.0, 1.0):
            one_sided = max(0.0, float((value_N**2).mean()) - abs(theta)) / 2
    rest_N = _rest(value_N, theta)
    alone = float((rest_N**2).sum() / (examples - 1) / examples)
    v, v_df, groups, independent = alone, float(examples - 1), float(examples), 1.0
    if grouped is not None:
        v, v_df, groups = grouped.variance(rest_N), grouped.degrees(rest_N), examples**2 / grouped.squares
        design_effect = max(1.0, v / alone) if alone > 0 else grouped.squares / examples
        independent = max(groups / examples, 1 / design_effect)
    effective = independent * min(one.size for one in (a, b) if one is not None)
    deciding = independent * deciding_examples(rest_N)
    seeds = tuple(part.seeds for part in parts)
    least = min(seeds) - 1
    if groups < examples or math.isinf(least):
        least = min(least, v_df)
    below, design = 0.0, None
    if min(seeds) == 1:
        variance, nu, method = v, v_df, METHOD_EXAMPLES
    else:
        variance = v + sum(part.seed_variance / part.seeds for part in parts)
        below = _below([part.s2 for part in parts], seeds)
        nu = _degrees(variance, below, least, v, v_df)
        method = METHOD_FITTED_ONCE if math.isinf(min(seeds)) else METHOD_BOTH
        design = Design(
            seed=tuple(part.seed_variance for part in parts), noise=tuple(examples * part.noise for part in parts),
            floor=examples * max(0.0, v - sum(part.noise / part.seeds for part in parts)),
            deciding=deciding / examples, effective=effective / examples, degrees=v_df / (examples - 1),
            half_range=(bounds[1] - bounds[0]) / 2)
    method += METHOD_GROUPS if grouped is not None else ""
    wilson, is_tailed = None, math.isinf(bounds[1])
    if is_tailed:  # one example may weigh anything: there is no end to lean on
        method += METHOD_TAIL if deciding < DECIDING_TAILED else ""
    elif few := wilson_weight(deciding):
        # The variance of a single run of each model, as if all seeds of a model were one.
        single = theta * (1 - theta) / effective
        if len(parts) == 2:
            square_N = sum((part.value_RN**2).mean(axis=0) for part in parts)
            both_N = parts[0].by_example_N * parts[1].by_example_N
            single = (float((square_N - 2 * both_N).mean()) - theta**2) / (independent * examples)
        wilson = WilsonBlend(few, effective, v, single, v_df, below, least)
        method += METHOD_FEW
    plain = Estimate(theta, theta, theta, 0.95, variance, nu, seeds, examples, method, bounds, wilson, deciding,
                     effective, groups, design, is_tailed, one_sided, b is not None)
    return plain.at(0.95)


def _at_margin(theta: float, fewer: float, examples: float, margin: float) -> float:
    """Return p of the one-sided test that a difference of accuracies is below the margin (Tango 1998).

    Args:
        theta: The difference.
        fewer: The smaller share of examples that one model alone answers correctly; the larger one is |theta| more.
        examples: N_e.
        margin: The margin, below 1.
    """
    more, fewer = fewer + max(0.0, theta), fewer + max(0.0, -theta)
    if fewer == 0:
        return float(special.betainc(examples * (1 - more), examples * more + 1, 1 - margin))
    b = margin * (2 - theta) - more - fewer
    likeliest = (math.sqrt(b * b + 8 * fewer * margin * (1 - margin)) - b) / 4
    variance = (2 * likeliest + margin * (1 - margin)) / examples
    return float(special.ndtr((theta - margin) / math.sqrt(variance)))


def accuracy_interval(
    correct_RN: NDArray[Any], group_N: NDArray[Any] | None = None, stratum_N: NDArray[Any] | None = None
) -> Estimate:
    """Return the accuracy of a model: `estimate` of whether seed r answers example i correctly."""
    return estimate(Values.of_correct(correct_RN), None, group_N, stratum_N)


def accuracy_difference(
    correct_A_RN: NDArray[Any], correct_B_RN: NDArray[Any], group_N: NDArray[Any] | None = None,
    stratum_N: NDArray[Any] | None = None,
) -> Estimate:
    """Return the accuracy of A minus the accuracy of B: `estimate` of whether each seed answers each example correctly.
    """
    return estimate(Values.of_correct(correct_A_RN), Values.of_correct(correct_B_RN), group_N, stratum_N)


def best_by_chance(fresh_R: Sequence[float], trials: int) -> float:
    """Return how far the best of some trials may be above the mean of fresh runs of its settings by chance alone.

    Of n trials that differ by their seeds alone, the best is about s sqrt(2 ln n) above their mean, with s the standard
    deviation between seeds; the mean of R fresh seeds is known to within t_{.975,R-1} s / sqrt(R).

    Args:
        fresh_R: Score of each of the fresh seeds; at least two.
        trials: Number of trials; at least one.
    """
    seeds, s = len(fresh_R), float(np.std(fresh_R, ddof=1))
    return float(s * math.sqrt(2 * math.log(trials)) + special.stdtrit(seeds - 1, 0.975) * s / seeds**0.5)


def may_be_guessing(metric: MetricName, found: Estimate, guess: float) -> bool:
    """Return whether the interval of a score does not lie on the better side of the score of guessing."""
    return found.low <= guess if score_of(metric).higher_is_better else found.high >= guess


def wilson_interval(right: int, examples: int) -> tuple[float, float]:
    """Return Wilson's (1927) 95 % score interval of a share. Its width is above 0 even where all answers are equal.

    Args:
        right: Number of correct answers.
        examples: Number of examples.

    Raises:
        ValueError: for fewer than 1 example, or more correct answers than examples.
    """
    if not 0 <= right <= examples or examples < 1:
        raise ValueError("right must be between 0 and examples, and examples at least 1, but got "
                         f"{right} and {examples}")
    z = float(special.ndtri(1 - ALPHA / 2))
    share, weight = right / examples, 1 + z * z / examples
    middle = (share + z * z / (2 * examples)) / weight
    half = z / weight * float(np.sqrt(share * (1 - share) / examples + z * z / (4 * examples**2)))
    # At 0 and 1 the end of the interval is the share itself, to the last bit.
    return 0.0 if right == 0 else middle - half, 1.0 if right == examples else middle + half


@dataclass(frozen=True)
class Design:
    """How the variance of an estimate depends on the numbers of seeds R and of examples N.

    It is V = floor/N + sum_m (seed_m + noise_m/N)/R_m. For accuracies, floor is d_x - d_s and noise_m is d_sm/2, where
    two seeds of model m disagree on the share d_sm of examples, and two runs of both models on d_x.
    """

    seed: tuple[float, ...]
    """sigma_u^2 of each model: variance of its score between seeds. Empty where single runs are compared as such."""
    noise: tuple[float, ...]
    """N B_m: variance of what a run of each model scores on an example, around what the model scores there."""
    floor: float
    """Variance over examples that no number of seeds lowers: N v - sum_m N B_m/R_m, at least 0."""
    deciding: float = 1.0
    """k/N: share of examples that decide the estimate."""
    effective: float = 1.0
    """N_e/N: share of examples that would tell as much if each stood alone."""
    degrees: float = 1.0
    """Degrees of freedom of v over N - 1."""
    half_range: float = 1.0
    """Half the width of the range of the estimate."""
    family: int = 1
    """Number of pairs that are compared together."""

    @property
    def level(self) -> float:
        """Return the first level of Holm's procedure over the pairs of the family."""
        return ALPHA / self.family

    def variance(self, seeds: Sequence[float], examples: int) -> float:
        """Return the variance with so many seeds of each model, and so many examples."""
        return self.floor / examples + sum(
            (u + e / examples) / r for u, e, r in zip(self.seed, self.noise, seeds, strict=bool(self.seed)))

    def detectable(self, seeds: Sequence[float], examples: int) -> float:
        """Return the smallest true difference that is detected with a power of 80 % at the level a = 0.05/family.

        It is (t_{1-a/2,nu} + t_{.8,nu}) sqrt(V). Where few of the examples would decide, V contains the pseudo-examples
        of the interval too.

        Args:
            seeds: Number of seeds of each model, at least 2 unless single runs are compared as such.
            examples: Number of examples, at least 2.
        """
        _at_least("seeds", min(seeds), 2 if self.seed else 1)
        seeds = seeds if self.seed else ()
        _at_least("examples", examples, 2)
        pseudo = self._pseudo(examples)
        variance = self.variance(seeds, examples) + pseudo
        v = variance - sum(u / r for u, r in zip(self.seed, seeds, strict=True))
        raw = [u + e / examples for u, e in zip(self.seed, self.noise, strict=True)]
        v_df = self.degrees * (examples - 1)
        nu = _degrees(variance, _below(raw, seeds), min(min(seeds, default=1) - 1, v_df), v, v_df)
        return float((special.stdtrit(nu, 1 - self.level / 2) + special.stdtrit(nu, POWER)) * np.sqrt(variance))

    def _pseudo(self, examples: int) -> float:
        """Return the variance of the pseudo-examples that the interval has where few examples decide."""
        weight = wilson_weight(self.deciding * examples)
        if not weight or math.isinf(self.half_range):
            return 0.0
        return weight * (float(special.ndtri(1 - self.level / 2)) * self.half_range / (self.effective * examples)) ** 2

    def examples_for(self, difference: float, seeds: float, most: int = 1_000_000) -> int | None:
        """Return the smallest number of test examples on which `seeds` seeds per model detect a difference.

        None where `most` examples are not enough.
        """
        low, high = 1, 2
        each = (seeds,) * max(1, len(self.seed))
        while self.detectable(each, high) > difference:
            low, high = high, 2 * high
            if high > most:
                return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.detectable(each, middle) <= difference else (middle, high)
        return high


@dataclass(frozen=True)
class _Part:
    """Sums over the values of one model."""

    value_RN: Floats
    grand: float
    """Mean over all seeds and examples; of accuracies a quotient of counts, so that equal shares are equal to the last
    bit."""
    by_example_N: Floats
    s2: float
    noise: float
    """B: the part of s2 that is noise of the test set. MSE/N where each example stands alone."""
    seeds: float

    @classmethod
    def of(cls, values: Values, groups: _Groups | None) -> _Part:
        y_RN = values.value_RN
        seeds, examples = y_RN.shape
        a_R, q_N = y_RN.mean(1), y_RN.mean(0)
        grand = float(y_RN.sum(1).sum() / (seeds * examples))
        if seeds == 1:
            return cls(y_RN, grand, q_N, 0.0, 0.0, math.inf if values.is_fitted_once else 1)
        rest_RN = y_RN - a_R[:, None] - q_N + a_R.mean()
        if groups is None:
            noise = float((rest_RN**2).sum() / ((seeds - 1) * (examples - 1)) / examples)
        else:
            noise = sum(map(groups.variance, rest_RN)) / (seeds - 1)
        return cls(y_RN, grand, q_N, 0.0 if np.ptp(a_R) == 0 else float(a_R.var(ddof=1)), noise, seeds)

    @property
    def seed_variance(self) -> float:
        return max(0.0, self.s2 - self.noise)


@dataclass(frozen=True)
class _Groups:
    """Which examples belong together, and to which stratum a group belongs."""

    group_N: NDArray[np.intp]
    size_K: Floats
    stratum_K: NDArray[np.intp]
    """Position of each group's stratum; 0 where the split fixed the share of none, or the group is alone in it."""

    @classmethod
    def of(cls, name_N: NDArray[Any], stratum_N: NDArray[Any] | None, examples: int) -> _Groups:
        if len(name_N) != examples:
            raise ValueError(f"groups must have {examples} entries, but has {len(name_N)}")
        _, first_K, group_N = np.unique(name_N, return_index=True, return_inverse=True)
        size_K = np.bincount(group_N).astype(np.float64)
        if size_K.size < 2:
            raise ValueError("groups must be at least 2, but got 1")
        stratum_K = np.zeros(size_K.size, np.intp)
        if stratum_N is not None:
            _, stratum_K, groups_H = np.unique(
                np.asarray(stratum_N)[first_K], return_inverse=True, return_counts=True)
            stratum_K = np.where(groups_H[stratum_K] > 1, stratum_K + 1, 0)
        return cls(group_N, size_K, stratum_K)

    @property
    def squares(self) -> float:
        """Return sum_k n_k^2."""
        return float((self.size_K**2).sum())

    @property
    def strata(self) -> int:
        """Return H."""
        return np.unique(self.stratum_K).size

    @cached_property
    def size_H(self) -> Floats:
        """Return N_h of each stratum, and first N."""
        size_H = np.maximum(np.bincount(self.stratum_K, self.size_K), 1.0)  # the place of a single group is empty
        size_H[0] = self.group_N.size
        return size_H

    def within(self, rest_N: Floats) -> Floats:
        """Return deviations from the mean as deviations from the mean of the stratum."""
        stratum_N = self.stratum_K[self.group_N]
        mean_H = np.bincount(stratum_N, rest_N) / self.size_H
        mean_H[0] = 0
        found_N: Floats = rest_N - mean_H[stratum_N]
        return found_N

    def variance(self, rest_N: Floats) -> float:
        """Return the variance of the mean of values with these deviations: sum_k T_k^2/(1 - h_k) / N^2."""
        sum_K = np.bincount(self.group_N, self.within(rest_N))
        return float((sum_K**2 / (1 - self.size_K / self.size_H[self.stratum_K])).sum() / rest_N.size**2)

    def degrees(self, rest_N: Floats) -> float:
        """Return nu_v, the degrees of freedom of `variance`."""
        rest_N = self.within(rest_N)
        examples, groups = rest_N.size, self.size_K.size
        free = groups - self.strata
        mean_K = np.bincount(self.group_N, rest_N) / self.size_K
        between = float((self.size_K * mean_K**2).sum()) / free
        within = float(((rest_N - mean_K[self.group_N]) ** 2).sum()) / max(1, examples - groups)
        usual = (examples - float((self.size_K**2 / self.size_H[self.stratum_K]).sum())) / free
        below = between + (usual - 1) * within
        rho = min(1.0, max(0.0, (between - within) / below)) if below > 0 else 0.0
        w_K = self.size_K * (1 + (self.size_K - 1) * rho)
        return max(1.0, float(w_K.sum() ** 2 / (w_K**2).sum()) - self.strata)


def _rest(value_N: Floats, theta: float) -> Floats:
    """Return the deviation of each example from the mean."""
    # Where all are equal but for rounding, they deviate by 0: a real difference between shares is far larger.
    return np.zeros_like(value_N) if np.ptp(value_N) < 1e-12 else value_N - theta


def deciding_examples(rest_N: Floats) -> float:
    """Return k of the module's docstring, the number of deciding examples."""
    squares_N = rest_N**2
    fourth = float((squares_N**2).sum())
    return float(squares_N.sum()) ** 2 / fourth if fourth > 0 else 0.0


def wilson_weight(deciding: float) -> float:
    """Return w of the module's docstring, the weight of Wilson's interval."""
    whole, none = DECIDING
    return min(1.0, max(0.0, (none - deciding) / (none - whole)))


def _below(s2: Sequence[float], seeds: Sequence[float]) -> float:
    """Return the seeds' part of the denominator of nu."""
    return sum((x / r) ** 2 / (r - 1) for x, r in zip(s2, seeds, strict=True))


def _degrees(variance: float, seeds_below: float, least: float, v: float, v_df: float) -> float:
    """Return nu of the module's docstring, the degrees of freedom."""
    below = seeds_below + v**2 / v_df
    return max(variance**2 / below, least) if below > 0 else float(least)


def _at_least(name: str, value: float, least: int) -> None:
    if value < least:
        raise ValueError(f"{name} must be at least {least}, but got {value}")
