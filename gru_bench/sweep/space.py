"""The points of a search space: how many there are, and which have not been tried."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from gru_bench.config import Scalar
from gru_bench.sweep.spec import Point, point

LISTED = 10_000
"""Points up to which a space is gone through one by one."""
DRAWS = 100
"""Of a larger one: a random point was tried before with next to no probability, a hundred hardly ever."""


def size(space: Mapping[str, BaseDistribution]) -> float:
    """Return the number of distinct points, which may be infinite."""
    return math.prod(_count(span) for span in space.values())


def untried(
    space: Mapping[str, BaseDistribution], tried: Iterable[Point], generator: np.random.Generator,
    draw: Callable[[], dict[str, Scalar]],
) -> dict[str, Scalar] | None:
    """Return a random point that was not tried, or None where all were, or as good as all of a space without steps.

    Args:
        space: setting -> where it is searched.
        tried: points to leave out.
        generator: draws among the points of a small space.
        draw: draws a point of any space.
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
    # One of any so many points in a row is not known.
    return next((settings for n in range(min(int(points), len(known) + 1))
                 if point(settings := _nth(space, n)) not in known), None)


def _nth(space: Mapping[str, BaseDistribution], number: int) -> dict[str, Scalar]:
    """Return a point by its number; the last setting changes first."""
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
    """Return the choices, of equal ones the first."""
    return list({point({"": value}): value for value in reversed(span.choices)}.values())[::-1]
