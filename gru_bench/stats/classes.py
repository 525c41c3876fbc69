"""Whether the classes of labeled texts are about equally frequent."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy import special

UNEVEN = 2
"""Ratio of the largest class to the smallest one from which on accuracy alone says little about the small ones."""
RARE = 20
"""Test texts of a class below which its scores say little: they carry no interval."""
BY_CHANCE = 0.01
"""Chance of counts as uneven as these if all classes are equally frequent, below which they are called uneven."""


def are_uneven(counts: Iterable[int]) -> bool:
    """Return whether the largest class has, by more than chance, at least `UNEVEN` times the examples of the smallest.

    Chance is Pearson's chi-squared test of equally frequent classes. Classes without any example are left out.
    """
    count_C = np.array([count for count in counts if count])
    chance = special.chdtrc(count_C.size - 1, ((count_C - count_C.mean()) ** 2).sum() / count_C.mean())
    return bool(count_C.max() >= UNEVEN * count_C.min() and chance < BY_CHANCE)
