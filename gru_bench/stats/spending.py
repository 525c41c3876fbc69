"""Levels of interim analyses of growing data: how much error each may spend so that all together keep the promise.

Testing again and again at 5 % while seeds are added finds a difference that is not there far more often than 5 times in
100. Lan and DeMets (1983) let each analysis spend a part of the error. With the information fraction t_k, the fraction
of the information of the last analysis that analysis k has, the error spent until then is

    alpha*(t) = 2 (1 - Phi(z_{1-alpha/2} / sqrt(t)))

which is of the kind of O'Brien and Fleming (1979): little at first, almost all at the end. The estimates of analyses
j < k have correlation sqrt(t_j/t_k), as those of sums of independent parts do, so the level of each follows from those
before it by numerical integration (Armitage, McPherson and Rowe 1969): it is where the chance to cross now, and not
before, is what may be spent now.

That is so here, although seeds are added and test examples are not: with R_k seeds the variance is floor + s/R_k, so an
estimate with more seeds is an estimate with fewer plus something that does not correlate with it.

Shapes: `K` interim analyses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

Spending = Callable[[float, float], float]
"""Information fraction, error to be spent in all -> error spent until then."""

DIGITS = 2
"""Decimals of information fractions. Analyses with equal fractions have the same level: nothing in them is new."""
MOST_Z = 38.0
"""Largest boundary: the smallest level is that of this normal quantile, about 1e-316."""
NODES_APART = 0.35
"""Distance of the nodes of the integration, in standard deviations of what an interim analysis adds."""


def spent(fraction: float, alpha: float) -> float:
    """Return the error that may be spent until an information fraction: 2 (1 - Phi(z_{1-alpha/2} / sqrt(t)))."""
    return float(2 * special.ndtr(special.ndtri(alpha / 2) / np.sqrt(fraction)))


def spent_by_sides(fraction: float, alpha: float) -> float:
    """Return the same with the error of each side spent by itself: 4 (1 - Phi(z_{1-alpha/4} / sqrt(t)))."""
    return 2 * spent(fraction, alpha / 2)


def levels(
    fractions: Sequence[float], alpha: float, *, sides: int = 2, spending: Spending = spent,
) -> list[float]:
    """Return the nominal level of each interim analysis: a test at analysis k rejects where its p is at most this
    level.

    Args:
        fractions: Information fractions of the analyses so far, above 0 and at most 1, never falling. They are rounded
            to two decimals.
        alpha: Error to be spent when the fraction is 1.
        sides: 2 for a two-sided test; 1 for a one-sided one, whose p is one-sided too.
        spending: The spending function.

    Raises:
        ValueError: for fractions out of range or order, or an alpha that is not between 0 and 1.
    """
    rounded = tuple(round(fraction, DIGITS) for fraction in fractions)
    if any(not 0 < fraction <= 1 for fraction in rounded) or sorted(rounded) != list(rounded):
        raise ValueError(f"fractions must be above 0, at most 1 and never fall, but are {list(fractions)}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be between 0 and 1, but got {alpha}")
    z_K = _boundaries(rounded, alpha, sides, spending)
    return [float(sides * special.ndtr(-z)) for z in z_K]


@cache
def _boundaries(fractions: tuple[float, ...], alpha: float, sides: int, spending: Spending) -> tuple[float, ...]:
    """Return the boundary of each interim analysis, a normal quantile."""
    z_K: list[float] = []
    # The process at the nodes is z sqrt(t); `mass_J` is its density there, times the width of the node, while no
    # analysis has crossed a boundary.
    node_J, mass_J = np.zeros(1), np.ones(1)
    before = 0.0
    for fraction in fractions:
        added = fraction - before
        if added == 0:
            z_K.append(z_K[-1])
            continue
        to_spend = spending(fraction, alpha) - (spending(before, alpha) if before else 0.0)
        scale, step = fraction**0.5, added**0.5

        def crossing(z: float, node_J: NDArray[np.float64] = node_J, mass_J: NDArray[np.float64] = mass_J,
                     scale: float = scale, step: float = step) -> float:
            above_J = special.ndtr((node_J - z * scale) / step)
            if sides == 2:
                above_J += special.ndtr((-z * scale - node_J) / step)
            return float(mass_J @ above_J)

        z = _root(crossing, to_spend)
        z_K.append(z)
        low, high = (-z if sides == 2 else -8.5) * scale, z * scale
        next_J, width_J = _nodes(max(low, -8.5 * scale), min(high, 8.5 * scale), step)
        density_JJ = np.exp(-(((next_J[:, None] - node_J) / step) ** 2) / 2) / (step * np.sqrt(2 * np.pi))
        node_J, mass_J = next_J, (density_JJ @ mass_J) * width_J
        before = fraction
    return tuple(z_K)


def _root(crossing: Callable[[float], float], to_spend: float) -> float:
    """Return where a falling function reaches a value, by bisection."""
    low, high = -MOST_Z, MOST_Z
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if crossing(middle) > to_spend else (low, middle)
    return high


def _nodes(low: float, high: float, step: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the nodes of Gauss and Legendre on an interval, and their weights."""
    count = max(24, int(np.ceil((high - low) / (step * NODES_APART))))
    node_J, weight_J = _legendre(count)
    return (high + low) / 2 + (high - low) / 2 * node_J, weight_J * (high - low) / 2


@cache
def _legendre(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.polynomial.legendre.leggauss(count)
