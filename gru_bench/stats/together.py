"""The seeds of a model together: the mean of the probabilities that they give.

Shapes: `R` runs (seeds) of a model, `N` texts, `C` classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gru_bench.stats.metrics import of_two


def mean_probability(probability_RNC: ArrayLike) -> NDArray[np.floating[Any]]:
    """Return the mean probability over seeds of each class for each text, N x C.

    It is summed in float64 and has the type of the probabilities. So the log loss of the seeds together clips a
    confident mistake where that of a single seed does. Of two classes, it is the mean of class 1 and its complement.

    Args:
        probability_RNC: Probability that each seed gives to each class of each text. All of them must be known.

    Raises:
        ValueError: for no seed, another shape, or values outside [0, 1].
    """
    found = np.asarray(probability_RNC)
    if found.ndim != 3 or not len(found):
        raise ValueError(f"probabilities must have the shape (R, N, C) with R >= 1 seeds, but have {found.shape}: "
                         "stack those of the seeds")
    inside = (found >= 0) & (found <= 1)
    if not inside.all():
        raise ValueError(f"probabilities must be between 0 and 1, but got {found[~inside][0]}")
    kind = found.dtype if found.dtype.kind == "f" else np.dtype(np.float64)
    mean_NC = found.mean(axis=0, dtype=np.float64).astype(kind)
    return of_two(mean_NC[:, 1]) if mean_NC.shape[1] == 2 else np.asarray(mean_NC)
