"""The points of a search space: their number, and a random one that has not been tried."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from gru_bench.config import Scalar
from gru_bench.sweep.spec import Point, point

LISTED = 10_000
"""Largest number of points at which all points of a space are listed."""
DRAWS = 100
"""Random points drawn from a larger space. It is very unlikely that all of them have been tried."""


def size(space: Mapping[str, BaseDistribution]) -> float:
    """Return the number of distinct points of a space, which may be infinite."""
    return math.prod(_count(span) for span in space.values())


def untried(
    space: Mapping[str, BaseDistribution], tried: Iterable[Point], generator: np.random.Generator,
    draw: Callable[[], dict[str, Scalar]],
) -> dict[str, Scalar] | None:
    """Return a random untried point of a space; None if all points were tried.

    In an infinite space, None means that `DRAWS` random points had all been tried.

    Args:
        space: Setting -> its distribution.
        tried: Points to leave out.
        generator: Random generator that chooses among the points of a small space.
        draw: Draws a random point of the space.
    """
    known = set(tried)
    points = size(space)
    if points <= LISTED:
        left = [settings for settings in (_nth(space, n) for n in range(int(points))) if point(settings) not in known]
        return left[int(generator.integers(len(left)))] if left else None
    for _ in range(DRAWS):
        settings = draw()
        if point(settings) not in known:
            return settings
    if math.isinf(points):
        return None
    # Of one point more than were tried, at least one is untried.
    return next((settings for n in range(min(int(points), len(known) + 1))
                 if point(settings := _nth(space, n)) not in known), None)


def _nth(space: Mapping[str, BaseDistribution], number: int) -> dict[str, Scalar]:
    """Return the point with a number; the last setting changes fastest."""
    settings: dict[str, Scalar] = {}
    for key, span in reversed(list(space.items())):
        number, place = divmod(number, int(_count(span)))
        settings[key] = _value(span, place)
    return {key: settings[key] for key in space}


def _count(span: BaseDistribution) -> float:
    match span:
        case CategoricalDistribution():
            return len(_distinct(span))
        case IntDistribution():
            return len(range(span.low, span.high + 1, span.step))
        case FloatDistribution(step=float(step)):
            return round((span.high - span.low) / step) + 1
        case _:
            return math.inf


def _value(span: BaseDistribution, place: int) -> Scalar:
    match span:
        case CategoricalDistribution():
            return _distinct(span)[place]
        case IntDistribution():
            return span.low + place * span.step
        case FloatDistribution(step=float(step)):
            return span.low + place * step
        case _:
            raise AssertionError(f"{span} has no values to count")


def _distinct(span: CategoricalDistribution) -> list[Scalar]:
    """Return the choices without repeats; of equal choices the first."""
    return list({point({"": value}): value for value in reversed(span.choices)}.values())[::-1]
