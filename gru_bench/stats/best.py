"""The expected best score of new trials of a search, estimated from the scores of its trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

BEST_METHOD = (
    "unbiased mean of the best of so many of the trials; conservative 80 % interval of the expected best of as many "
    "fresh ones, from pointwise Clopper-Pearson limits of the distribution of a trial's score, a share from 0 to 1"
)


@dataclass(frozen=True)
class BestOf:
    """The expected best score of n new trials, with an interval for this expectation."""

    trials: int
    mean: float
    low: float
    high: float


def expected_best(value_B: Sequence[float], confidence: float = 0.8) -> list[BestOf]:
    """Return the expected best score of n new trials for n = 1 ... B, estimated from the scores of B trials.

    The estimate is sum_j C(j - 1, n - 1)/C(B, n) x_(j), with x_(1) <= ... <= x_(B) (Dodge et al. 2019, in the unbiased
    form of Tang et al. 2020). It assumes independent trials from one distribution: random search without pruning.

    The interval is for the expectation E = integral over [0, 1] of 1 - F(x)^n, where F is the distribution of the score
    of a trial. F(x) has the limits of Clopper and Pearson (1934) at each x: beta quantiles, which are constant between
    scores. E follows from these limits, so the interval is wide where little is known beyond the best score seen.
    Resampling the B scores would not do, because the best of all B is the same in every sample. For two-valued scores
    the coverage is that of the limits, for other scores it is higher.

    Args:
        value_B: Scores of B >= 1 trials in any order. They are shares, from 0 to 1.
        confidence: Confidence of the limits at each score. The interval itself covers more often.

    Raises:
        ValueError: for no scores, a score outside [0, 1], or a confidence not between 0 and 1.
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
    # Between x_(k) and x_(k+1), for k = 0 ... B, exactly k scores lie at or below.
    step_K = np.diff(x_B, prepend=0.0, append=1.0)
    tail = (1 - confidence) / 2
    least_K = np.concatenate([[0.0], special.betaincinv(j_B, size - j_B + 1, tail)])
    most_K = np.concatenate([special.betaincinv(j_B, size - j_B + 1, 1 - tail), [1.0]])
    for n in range(1, size + 1):
        # C(j, n)/C(B, n) is computed by logarithms, because the binomial coefficients overflow.
        log_B = special.gammaln(j_B + 1) - special.gammaln(np.maximum(j_B - n, 0) + 1)
        at_most_B = np.where(j_B >= n, np.exp(log_B - log_B[-1]), 0.0)
        mean = float(np.diff(at_most_B, prepend=0.0) @ x_B)
        low, high = (float(1 - step_K @ limit_K**n) for limit_K in (most_K, least_K))
        # Rounding may move an end past the estimate where all scores are 0 or 1.
        found.append(BestOf(n, mean, min(low, mean), max(high, mean)))
    return found
