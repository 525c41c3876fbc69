"""Temperature scaling: probabilities that say how often the answers of a model are right (Guo et al. 2017).

Probabilities p become softmax(log p / T) with one temperature T for a model: above 1 where it is overconfident, below 1
where it is too careful. T is the one with the least log loss on validation texts. No answer changes.

Shapes: `N` examples, `C` classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from gru_bench.stats import metrics
from gru_bench.stats.metrics import Floats, Labels

LOWEST, HIGHEST = 0.1, 10.0
"""Range of the temperature."""
SMALLEST = float(np.finfo(np.float32).eps)
"""Smallest probability whose logarithm is taken: a smaller one is rounding, because predictions have 32 bits."""


def temperature(label_N: Labels, probability_NC: Floats) -> float | None:
    """Return the temperature with the least log loss.

    The log loss is convex in 1/T. Its slope is the mean of sum_c q_c log p_c - log p_y, where q are the probabilities
    at T and y is the true class (Guo et al. 2017, appendix S2).

    Args:
        label_N: Labels, positions of the classes.
        probability_NC: Probabilities of all classes.

    Returns:
        None where no answer is wrong: the least loss would need certainty.

    Raises:
        ValueError: as `metrics.correct`.
    """
    from scipy.optimize import brentq  # takes over half a second to load

    if metrics.correct(label_N, probability_NC).all():
        return None
    log_NC = logarithms(probability_NC)
    true_N = np.take_along_axis(log_NC, np.asarray(label_N, np.intp)[:, None], axis=1)[:, 0]

    def slope(inverse: float) -> float:
        return float(((special.softmax(inverse * log_NC, axis=1) * log_NC).sum(axis=1) - true_N).mean())

    if slope(1 / HIGHEST) >= 0:
        return HIGHEST
    if slope(1 / LOWEST) <= 0:
        return LOWEST
    return 1 / float(brentq(slope, 1 / HIGHEST, 1 / LOWEST, xtol=1e-13))


def calibrated(probability_NC: Floats, temperature: float | None) -> NDArray[np.float64]:
    """Return probabilities at a temperature, in float64. The predicted class of each example stays the same.

    Args:
        probability_NC: Probabilities of all classes.
        temperature: T, above 0. None: they stay as they are.
    """
    if temperature is None:
        return probability_NC.astype(np.float64)
    found_NC = special.softmax(logarithms(probability_NC) / temperature, axis=1)
    # Two classes that differ by the last digit may be rounded to a tie, in which another one would be predicted.
    answer_N = metrics.predicted(probability_NC)
    for place in np.flatnonzero(metrics.predicted(found_NC) != answer_N):
        own = found_NC[place, answer_N[place]]
        found_NC[place] = np.minimum(found_NC[place], np.nextafter(own, 0))
        found_NC[place, answer_N[place]] = own
    return found_NC


def logarithms(probability_NC: Floats) -> NDArray[np.float64]:
    """Return the logarithms of probabilities, none of which counts as smaller than `SMALLEST`."""
    return np.asarray(np.log(np.maximum(probability_NC.astype(np.float64), SMALLEST)))
