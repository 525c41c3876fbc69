"""The points of a search space: which are the same, and which have not been tried."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from gru_bench.config import Scalar

LISTED = 10_000
"""Points up to which a space is gone through one by one."""
DRAWS = 100
"""Of a larger one: a random point was tried before with next to no probability, a hundred never."""

Point = tuple[tuple[str, str], ...]


def point(settings: Mapping[str, Scalar]) -> Point:
    """Return what two equal configurations have in common; rounding does not tell them apart."""
    return tuple(sorted((key, f"{value:.12g}" if isinstance(value, float) else str(value))
                        for key, value in settings.items()))


def size(space: Mapping[str, BaseDistribution]) -> float:
    """Return the number of points, which may be infinite."""
    return math.prod(len(values) if (values := _values(span)) is not None else math.inf for span in space.values())


def untried(
    space: Mapping[str, BaseDistribution], tried: Iterable[Point], generator: np.random.Generator,
    draw: Callable[[], dict[str, Scalar]],
) -> dict[str, Scalar] | None:
    """Return a random point that was not tried, or None where all were.

    Args:
        space: setting -> where it is searched.
        tried: points to leave out.
        generator: draws among the points of a small space.
        draw: draws a point of any space.
    """
    known = set(tried)
    if size(space) <= LISTED:
        left = [settings for settings in _points(space) if point(settings) not in known]
        return left[int(generator.integers(len(left)))] if left else None
    for _ in range(DRAWS):
        settings = draw()
        if point(settings) not in known:
            return settings
    return None


def _points(space: Mapping[str, BaseDistribution]) -> Iterable[dict[str, Scalar]]:
    values = [_values(span) or () for span in space.values()]
    return (dict(zip(space, combination, strict=True)) for combination in itertools.product(*values))


def _values(span: BaseDistribution) -> tuple[Scalar, ...] | None:
    """Return the values of a range, or None for one without steps."""
    match span:
        case CategoricalDistribution():
            return tuple(span.choices)
        case IntDistribution():
            return tuple(range(span.low, span.high + 1, span.step))
        case FloatDistribution(step=float(step)):
            return tuple(span.low + n * step for n in range(round((span.high - span.low) / step) + 1))
        case _:
            return None
