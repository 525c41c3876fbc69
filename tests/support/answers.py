"""Right and wrong answers of runs, drawn from a logistic model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def drawn(runs: int = 5, texts: int = 400, seed: int = 0, skill: float = 0.2) -> NDArray[np.bool_]:
    """Right answers of runs on texts of different difficulty."""
    generator = np.random.default_rng(seed)
    logit_RN = 1.7 + 2 * generator.standard_normal(texts) + skill * generator.standard_normal((runs, 1))
    return np.asarray(generator.random((runs, texts)) < 1 / (1 + np.exp(-logit_RN)))
