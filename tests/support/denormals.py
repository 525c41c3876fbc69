"""Whether the threads of torch compute denormal numbers as 0."""

from __future__ import annotations

import torch

DENORMAL = torch.full((400_000,), 1e-39)
"""Made when this module is imported, where denormal numbers are not yet 0. Each thread of torch computes a part."""


def flushed() -> float:
    """The fraction of denormal numbers that torch computes as 0 from this thread: 1 where all its threads do."""
    bits = (DENORMAL * 0.5).view(torch.int32)  # as numbers, even a comparison may take them for 0
    return float((bits == 0).float().mean())
