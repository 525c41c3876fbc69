"""An average of two models: the mean of their log-odds, each at its own temperature.

Models that err on different texts correct each other: where one is undecided, the other one decides. Probabilities p
and q become softmax((log p / T_p + log q / T_q) / 2), with the temperatures of both models (`calibration`). No weight
is fitted.

Shapes: `N` examples, `C` classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from gru_bench.stats.calibration import logarithms
from gru_bench.stats.metrics import Floats


def averaged(
    first_NC: Floats, second_NC: Floats, first_temperature: float | None, second_temperature: float | None
) -> NDArray[np.float64]:
    """Return the probabilities of the average of two models, N x C, in float64.

    Args:
        first_NC: Probabilities of all classes by the first model, as they are before calibration.
        second_NC: The same by the second model, for the same examples in the same order.
        first_temperature: T of the first model, above 0. None stands for 1.
        second_temperature: T of the second model.
    """
    found_NC: NDArray[np.float64] = special.softmax(
        (logarithms(first_NC) / (first_temperature or 1.0) + logarithms(second_NC) / (second_temperature or 1.0)) / 2,
        axis=1)
    return found_NC
