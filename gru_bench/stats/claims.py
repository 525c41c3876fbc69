"""Claimed accuracies beside a reference: whether they differ by more than noise, and the mark that right solutions reach.

The reference is one training procedure: R runs (seeds), scored on N test texts. A right solution is another run of such
a procedure, with a seed of its own. With the parts of `estimate.py`, s2 is the variance of the reference's accuracies,
u2 = max(0, s2 - MSE/N) the part of it that is due to seeds alone, V the variance of the reference's accuracy g over
seeds and texts. The accuracy of one run on M other texts then differs from g with the variance

    W = V + u2 + p (1 - p)/M

where p is g, moved towards 1/2 by two pseudo-texts so that it is never 0 or 1. (g - A)/sqrt(W) is taken as Student's t
with Satterthwaite's (1946) degrees of freedom, which is the prediction interval of one further observation (Hahn and
Meeker, Statistical Intervals, 1991, section 4.7) with a sum of variances in the place of one. The pass mark is
g - t_{nu,.99} sqrt(W): a right solution is below it in 1 of 100 cases, and more rarely where its texts are the
reference's own.

On the reference's own texts two sharper statements hold. A right solution is one more run, so that
(g - A)/(s sqrt(1 + 1/R)) is Student's t with R - 1 degrees of freedom. And where the predictions are known, the texts
cancel: W = var(D_i)/N + u2 (1 + 1/R) with D_i = y_i - q_i, the answers of the run less the reference's mean at text i.

Two independent runs of the reference disagree on some of the texts. The square root of that number, which has nearly
the same spread whatever its size (Bartlett, 1936), is compared with those of the reference's pairs of runs. Its
standard deviation is taken as at least 1/2, that of a Poisson number, with R - 1 degrees of freedom: few, because pairs
share runs.

Shapes: `R` runs of the reference, `N` test texts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from gru_bench.stats.estimate import Values, accuracy_difference, accuracy_interval, deviation

FAILED = 0.01
"""Share of right solutions that are below the pass mark."""
FEWEST_RUNS = 3
"""Fewest runs from which a between-seed standard deviation is taken."""


@dataclass(frozen=True)
class Reference:
    """What right solutions reach. Accuracies are fractions."""

    accuracy: float
    seed_variance: float
    """u2: variance between seeds, without the noise of the texts."""
    runs: int
    texts: int
    variance: float
    """V: variance of `accuracy` over seeds and texts."""
    spread: float
    """s2: variance of the accuracies of runs on the same texts."""
    correct_RN: NDArray[np.bool_] | None = None
    """Whether each run classifies each text correctly. None: not known."""

    @classmethod
    def of_runs(cls, correct_RN: NDArray[np.bool_]) -> Reference:
        """Return the reference of runs.

        Raises:
            ValueError: for fewer runs than `FEWEST_RUNS`.
        """
        runs, texts = correct_RN.shape
        if runs < FEWEST_RUNS:
            raise ValueError(f"a reference must have at least {FEWEST_RUNS} runs, but has {runs}")
        found, between = accuracy_interval(correct_RN), deviation(Values.of_correct(correct_RN)) or 0.0
        return cls(found.estimate, between**2, runs, texts, found.variance, float(correct_RN.mean(1).var(ddof=1)),
                   correct_RN)

    @classmethod
    def of_numbers(cls, accuracy: float, between: float, runs: int, texts: int) -> Reference:
        """Return the reference of which some numbers are known.

        Args:
            accuracy: Mean accuracy of the runs, as a fraction.
            between: Between-seed standard deviation, without the noise of the texts, as a fraction.
            runs: Number of the runs.
            texts: Number of the test texts.
        """
        noise = _of_one_run(accuracy, texts)
        return cls(accuracy, between**2, runs, texts, between**2 / runs + noise, between**2 + noise)

    def pass_mark(self) -> float:
        """Return the accuracy that a right solution misses in 1 of 100 cases, on as many texts of the same kind."""
        variance, degrees = self._of_claim()
        return self.accuracy - float(special.stdtrit(degrees, 1 - FAILED)) * math.sqrt(variance)

    def pass_mark_on_same_texts(self) -> float | None:
        """Return the mark for the very texts of the reference. None where its runs are not known."""
        if self.correct_RN is None:
            return None
        return self.accuracy - float(special.stdtrit(self.runs - 1, 1 - FAILED)) * math.sqrt(
            self.spread * (1 + 1 / self.runs))

    def p_of_claim(self, accuracy: float) -> float:
        """Return the two-sided p for the hypothesis that an accuracy, of which no more is known, is a right one's."""
        return _two_sided(accuracy - self.accuracy, *self._of_claim())

    def p_of_answers(self, correct_N: NDArray[np.bool_]) -> float:
        """Return the same p for a run that is right on these texts. Without the runs: that of its accuracy."""
        if self.correct_RN is None:
            return self.p_of_claim(float(correct_N.mean()))
        found = accuracy_difference(correct_N[None], self.correct_RN)
        return _two_sided(found.estimate, *self._with_seeds(found.variance))

    def _of_claim(self) -> tuple[float, float]:
        """Return W and its degrees of freedom for an accuracy on other texts."""
        over_texts = self.variance - self.seed_variance / self.runs
        return self._with_seeds(over_texts + _of_one_run(self.accuracy, self.texts))

    def _with_seeds(self, over_texts: float) -> tuple[float, float]:
        """Return the variance of the difference of one run and the reference, and its degrees of freedom."""
        factor = 1 + 1 / self.runs
        variance = over_texts + factor * self.seed_variance
        below = (factor * self.spread) ** 2 / (self.runs - 1) + over_texts**2 / (self.texts - 1)
        return variance, max(variance**2 / below, self.runs - 1) if below else self.runs - 1


@dataclass(frozen=True)
class Disagreement:
    """On how many texts two independent runs of the reference disagree."""

    mean: float
    least: int
    most: int
    root: float
    """Mean of the square roots of the numbers."""
    deviation: float
    """Standard deviation of these square roots."""
    runs: int

    @classmethod
    def of_runs(cls, predicted_RN: NDArray[Any]) -> Disagreement:
        """Return the disagreement of all pairs of runs, from the class that each predicts for each text."""
        counts = [int((a != b).sum()) for a, b in combinations(predicted_RN, 2)]
        roots = np.sqrt(counts)
        return cls(float(np.mean(counts)), min(counts), max(counts), float(roots.mean()),
                   max(0.5, float(roots.std(ddof=1)) if len(counts) > 1 else 0.0), len(predicted_RN))

    def probability(self, texts: int) -> float:
        """Return how likely it is that two independent runs disagree on so few texts."""
        t = (math.sqrt(texts) - self.root) / (self.deviation * math.sqrt(1 + 1 / self.runs))
        return float(special.stdtr(self.runs - 1, t))


def _of_one_run(accuracy: float, texts: int) -> float:
    """Return the variance over texts of the accuracy of one run."""
    near = (accuracy * texts + 1) / (texts + 2)
    return near * (1 - near) / texts


def _two_sided(difference: float, variance: float, degrees: float) -> float:
    if variance == 0:
        return 1.0 if difference == 0 else 0.0
    return float(2 * special.stdtr(degrees, -abs(difference) / math.sqrt(variance)))
