"""The mean difference of two models over several data sets.

The data sets are independent, and each counts the same: with the difference theta_d on each of D data sets,

    mean theta_d +- t_{D-1} sd(theta_d)/sqrt(D)

is valid however much the variances of the theta_d differ (Ibragimov and Müller 2010): their spread contains what varies
between data sets, with seeds and test texts. From 3 data sets on there is such an interval, from 5 on a verdict.

Of 2 data sets, and where all theta_d are equal, the interval is about these data sets alone, over their seeds and test
texts: mean theta_d +- sqrt(sum_d h_d^2)/D, where h_d is half the width of the interval on data set d.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from gru_bench.config import ComparedName
from gru_bench.stats.estimate import Estimate
from gru_bench.stats.text import NBSP
from gru_bench.stats.verdict import Finding, Pair, Verdict, adjusted_tests

FEWEST, FEWEST_FOR_VERDICT = 3, 5
"""Fewest data sets for an interval over data sets, and for a verdict."""
OVER_DATA_SETS = "t over data sets"
THESE_DATA_SETS = "seeds and test texts of these data sets alone"


@dataclass(frozen=True, kw_only=True)
class OverDataSets(Pair):
    """Two models compared over data sets: the mean difference of the first minus the second, its tests, its verdict."""

    each: tuple[Estimate, ...]
    """The difference on each data set."""

    @property
    def interval_name(self) -> str:
        """Return the name of the interval of the mean difference."""
        alone = " for these data sets alone" if self.difference.method == THESE_DATA_SETS else ""
        return f"95{NBSP}% interval{alone}"

    @property
    def wins(self) -> int:
        """Return the number of data sets on which the first model has the better score."""
        return sum((one.estimate < 0) if self.metric == "log_loss" else (one.estimate > 0) for one in self.each)

    @property
    def losses(self) -> int:
        """Return the number of data sets on which the first model has the worse score."""
        return sum(one.estimate != 0 for one in self.each) - self.wins


def mean_difference(each: Sequence[Estimate]) -> Estimate:
    """Return the mean of the differences of two models on independent data sets, with its 95 % interval.

    Args:
        each: The difference on each data set, of the same two models in the same order.

    Returns:
        The mean. Its number of seeds is that of data sets, which are what it is computed over.

    Raises:
        ValueError: for fewer than 2 data sets.
    """
    count = len(each)
    if count < 2:
        raise ValueError(f"there must be at least 2 data sets, but got {count}")
    theta_D = np.array([one.estimate for one in each])
    variance, df, method = float(theta_D.var(ddof=1)) / count, count - 1.0, OVER_DATA_SETS
    if count < FEWEST or np.ptp(theta_D) == 0:
        halves = [(one.high - one.low) / 2 for one in each]
        variance = sum(half**2 for half in halves) / (count * float(special.ndtri(0.975))) ** 2
        df, method = math.inf, THESE_DATA_SETS
    mean = float(theta_D.mean())
    return Estimate(
        mean, mean, mean, 0.95, variance, df, (count, count), sum(one.examples for one in each), method, each[0].bounds,
        effective=sum(one.effective for one in each)).at(0.95)


def over_data_sets(
    pairs: Sequence[tuple[tuple[str, str], Sequence[Estimate]]], margin: float, metric: ComparedName = "accuracy",
    asked: Sequence[int] = (),
) -> list[OverDataSets]:
    """Return pairs of models compared over data sets. They are tested together, by Holm's procedure over all of them.

    Args:
        pairs: The names of both models, and the difference of the first minus the second on each data set.
        margin: Largest difference without practical weight, fixed beforehand. 0.01 is one percentage point.
        metric: The score.
        asked: How often the question of each pair is asked. Empty: once.

    Raises:
        ValueError: for a pair with fewer than 2 data sets, and a margin that is not above 0.
    """
    means = [mean_difference(each) for _, each in pairs]
    able = [place for place, one in enumerate(means)
            if len(pairs[place][1]) >= FEWEST_FOR_VERDICT and one.method == OVER_DATA_SETS]
    asked = asked or [1] * len(pairs)
    tests = dict(zip(able, adjusted_tests(
        [means[place] for place in able], margin, len(pairs), [asked[place] for place in able]), strict=True))
    return [
        OverDataSets(
            names, mean, tests.get(place), len(pairs), Verdict.of(mean, tests[place], margin) if place in tests else
            Verdict(Finding.TOO_FEW_DATA_SETS, margin, mean.at(0.90)), metric, asked[place], each=tuple(each))
        for place, ((names, each), mean) in enumerate(zip(pairs, means, strict=True))]
