"""The texts that one of two models classifies correctly and the other does not.

Shapes: `R`, `S` runs of the two models, `N` examples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def one_sided(right_RN: NDArray[np.bool_], right_SN: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the examples that only the first model gets right, and those that only the second does.

    A model gets an example right if more than half of its runs do.

    Args:
        right_RN: Whether each run of the first model is right, R x N.
        right_SN: Whether each run of the second model is right, S x N.
    """
    first_N, second_N = (2 * right.sum(axis=0) > len(right) for right in (right_RN, right_SN))
    return np.flatnonzero(first_N & ~second_N), np.flatnonzero(second_N & ~first_N)
