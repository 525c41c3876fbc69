"""Claimed accuracies beside a reference: whether they differ by more than noise, and the mark for right solutions.

The reference is one training procedure: R runs (seeds), scored on N test texts. A right solution is another run of such
a procedure, with a seed of its own. With the parts of `estimate.py`, s2 is the variance of the reference's accuracies
between runs, e2 = MSE/N the part of it that is chance at each text, and v the variance of the reference's accuracy g
over texts. The accuracy A of one run on N other texts differs from g by the run, with the variance s2 (1 + 1/R), and by
the difficulty of the texts, with w = v + p (1 - p)/N - e2 (1 + 1/R), where p is g with two pseudo-texts, one right and
one wrong, so that it is never 0 or 1. A prediction interval of one further run (Hahn and Meeker, Statistical Intervals,
1991, section 4.7) takes a quantile of Student's t for the first and of the normal distribution for the second. That of
their sum is, after Howe (1974),

    d(a) = sqrt(t_{R-1,a}^2 s2 (1 + 1/R) + z_a^2 max(0, w))

The pass mark is g - d(.99), computed on the scale of logit p, because accuracies near 1 have a longer tail below:
logit(mark) = logit(p) - d(.99)/(p (1 - p)). A right solution is below it in 1 of 100 cases, and more rarely where its
texts are the reference's own. The p of a claim is the smallest 2 (1 - a) for which |A - g| exceeds d(a).

On the reference's own texts, w is 0 in the mark: a right solution is one more run there. And where the predictions are
known, w = var(D_i)/N - e2 (1 + 1/R) with D_i = y_i - q_i, the answers of the run less the reference's mean at text i.

Two independent runs of the reference disagree on some of the texts. The square root of that number, which has nearly
the same spread whatever its size (Bartlett, 1936), is compared with those of the reference's pairs of runs. Its
standard deviation is taken as at least 1/2, that of a Poisson number, with R - 1 degrees of freedom: few, because pairs
share runs. Where the reference's runs are not known, the other students of a class stand for them. They differ in more
than seeds, so that their numbers scatter more, and fewer pairs are named.

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
LEAST_TAIL = 1e-12
"""Smallest one-sided p. Smaller ones are not told apart."""
FEWEST_RUNS = 3
"""Fewest runs from which a between-seed standard deviation is taken."""


@dataclass(frozen=True)
class Reference:
    """What right solutions reach. Accuracies are fractions."""

    accuracy: float
    between: float
    """Between-seed standard deviation, without what is chance at each text."""
    runs: int
    texts: int
    over_texts: float
    """v: variance of `accuracy` over texts."""
    spread: float
    """s2: variance of the accuracies of runs on the same texts."""
    chance: float
    """e2: the part of it that is chance at each text."""
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
        assert found.design is not None
        return cls(found.estimate, between, runs, texts, found.variance - between**2 / runs,
                   float(correct_RN.mean(1).var(ddof=1)), found.design.noise[0] / texts, correct_RN)

    @classmethod
    def of_numbers(cls, accuracy: float, between: float, runs: int, texts: int) -> Reference:
        """Return the reference of which some numbers are known. All of e2 is taken as due to the texts.

        Args:
            accuracy: Mean accuracy of the runs, as a fraction.
            between: Between-seed standard deviation, without the noise of the texts, as a fraction.
            runs: Number of the runs.
            texts: Number of the test texts.
        """
        near = (accuracy * texts + 1) / (texts + 2)
        return cls(accuracy, between, runs, texts, near * (1 - near) / texts, between**2, 0.0)

    def pass_mark(self) -> float:
        """Return the accuracy that a right solution misses in 1 of 100 cases, on as many texts of the same kind."""
        return self._below(self._distance(1 - FAILED, self._over_two_texts))

    def pass_mark_on_same_texts(self) -> float | None:
        """Return the mark for the very texts of the reference. None where its runs are not known."""
        if self.correct_RN is None:
            return None
        return self._below(self._distance(1 - FAILED, 0.0))

    def p_of_claim(self, accuracy: float) -> float:
        """Return the two-sided p for the hypothesis that an accuracy, of which no more is known, is a right one's."""
        return self._p(accuracy - self.accuracy, self._over_two_texts)

    def p_of_answers(self, correct_N: NDArray[np.bool_]) -> float:
        """Return the same p for a run that is right on these texts. Without the runs: that of its accuracy."""
        if self.correct_RN is None:
            return self.p_of_claim(float(correct_N.mean()))
        found = accuracy_difference(correct_N[None], self.correct_RN)
        return self._p(found.estimate, found.variance)

    @property
    def _near(self) -> float:
        """Return p of the module's docstring."""
        return (self.accuracy * self.texts + 1) / (self.texts + 2)

    @property
    def _over_two_texts(self) -> float:
        """Return the variance over texts of the difference of a run and the reference, each on texts of its own."""
        return self.over_texts + self._near * (1 - self._near) / self.texts

    def _below(self, distance: float) -> float:
        """Return the accuracy that is so far below the reference's, on the scale of the logit."""
        return float(special.expit(special.logit(self._near) - distance / (self._near * (1 - self._near))))

    def _distance(self, level: float, over_texts: float) -> float:
        """Return d of the module's docstring."""
        t, z = special.stdtrit(self.runs - 1, level), special.ndtri(level)
        factor = 1 + 1 / self.runs
        return float(np.sqrt(t**2 * self.spread * factor + z**2 * max(0.0, over_texts - self.chance * factor)))

    def _p(self, difference: float, over_texts: float) -> float:
        """Return the smallest two-sided level at which a difference is beyond `_distance`."""
        from scipy.optimize import brentq  # takes over half a second to load

        def beyond(tail: float) -> float:
            return abs(difference) - self._distance(1 - tail, over_texts)

        if beyond(LEAST_TAIL) >= 0:
            return 2 * LEAST_TAIL if difference else 1.0
        return 2 * float(brentq(beyond, LEAST_TAIL, 0.5, xtol=1e-15))


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
        return cls.of_counts(np.array([int((a != b).sum()) for a, b in combinations(predicted_RN, 2)]),
                             len(predicted_RN))

    @classmethod
    def of_counts(cls, counts: NDArray[np.int64], runs: int) -> Disagreement:
        """Return the disagreement of so many runs, from the number of texts on which each pair of them disagrees."""
        roots = np.sqrt(counts)
        return cls(float(counts.mean()), int(counts.min()), int(counts.max()), float(roots.mean()),
                   max(0.5, float(roots.std(ddof=1)) if len(counts) > 1 else 0.0), runs)

    def probability(self, texts: int) -> float:
        """Return how likely it is that two independent runs disagree on so few texts."""
        t = (math.sqrt(texts) - self.root) / (self.deviation * math.sqrt(1 + 1 / self.runs))
        return float(special.stdtr(self.runs - 1, t))
