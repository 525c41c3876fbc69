"""The seeds of a model together: the mean of the probabilities that they give.

Shapes: `R` runs (seeds) of a model, `N` texts, `C` classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def mean_probability(probability_RN: ArrayLike) -> NDArray[np.floating[Any]]:
    """Return the mean probability over seeds for each text, shape (N,), or (N, C) with more than two classes.

    It is summed in float64 and has the type of the probabilities. So the log loss of the seeds together clips a
    confident mistake where that of a single seed does.

    Args:
        probability_RN: Probability of class 1 that each seed gives to each text. With more than two classes: of each
            class, R x N x C. All of them must be known.

    Raises:
        ValueError: for no seed, another shape, or values outside [0, 1].
    """
    found = np.asarray(probability_RN)
    if found.ndim not in (2, 3) or not len(found):
        raise ValueError("probabilities must have the shape (R, N), or (R, N, C) with more than two classes, with "
                         f"R >= 1 seeds, but have {found.shape}: stack those of the seeds")
    inside = (found >= 0) & (found <= 1)
    if not inside.all():
        raise ValueError(f"probabilities must be between 0 and 1, but got {found[~inside][0]}")
    kind = found.dtype if found.dtype.kind == "f" else np.dtype(np.float64)
    return np.asarray(found.mean(axis=0, dtype=np.float64).astype(kind))
