"""Levels of several interim analyses: published values, and a slow reference that integrates on a plain grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from gru_bench.stats.spending import Spending, levels, spent, spent_by_sides

QUARTERS = (0.25, 0.5, 0.75, 1.0)


def z_of(level: float) -> float:
    return float(-special.ndtri(level / 2))


@pytest.mark.parametrize(("spending", "published"), [
    (spent_by_sides, (4.333, 2.963, 2.359, 2.014)), (spent, (3.920, 2.774, 2.298, 2.043))])
def test_published_boundaries(spending: Spending, published: tuple[float, ...]) -> None:
    found = levels(QUARTERS, 0.05, spending=spending)
    assert [round(z_of(level), 3) for level in found] == list(published)


def test_the_last_interim_analysis_spends_all_of_alpha() -> None:
    for spending in (spent, spent_by_sides):
        assert spending(1.0, 0.05) == pytest.approx(0.05)
        assert spending(0.25, 0.05) < 1e-4 < spending(0.5, 0.05) < 0.006


def test_a_single_interim_analysis_is_an_ordinary_test() -> None:
    assert levels([1.0], 0.05) == [pytest.approx(0.05)]
    assert levels([1.0], 0.05, sides=1) == [pytest.approx(0.05)]


def crossed(fractions: tuple[float, ...], at: list[float], sides: int) -> float:
    """The chance that any interim analysis crosses, on a plain grid: the density is moved step by step and cut off."""
    grid, step = np.linspace(-9.0, 9.0, 3601, retstep=True)
    left = None
    before, out = 0.0, 0.0
    for fraction, level in zip(fractions, at, strict=True):
        boundary = -float(special.ndtri(level / sides)) * fraction**0.5
        added = (fraction - before) ** 0.5
        if left is None:
            density = stats.norm.pdf(grid, scale=added)
        else:
            density = np.convolve(left, stats.norm.pdf(grid, scale=added), mode="same") * step
        inside = (grid < boundary) & ((grid > -boundary) if sides == 2 else True)
        out += float(density[~inside].sum() * step)
        left, before = density * inside, fraction
    return out


@pytest.mark.parametrize("sides", [1, 2])
@settings(max_examples=15, deadline=None)
@given(hundredths=st.sets(st.integers(10, 99), max_size=4), alpha=st.sampled_from([0.05, 0.05 / 3, 0.1]))
def test_all_interim_analyses_together_spend_alpha(hundredths: set[int], alpha: float, sides: int) -> None:
    fractions = (*(n / 100 for n in sorted(hundredths)), 1.0)
    at = levels(fractions, alpha, sides=sides)
    # A boundary between two points of the grid is off by up to half a step.
    assert crossed(fractions, at, sides) == pytest.approx(alpha, abs=0.002)


def test_levels_agree_with_the_multivariate_normal() -> None:
    fractions = np.array([0.4, 0.7, 1.0])
    at = levels(list(fractions), 0.05)
    z_K = np.array([z_of(level) for level in at])
    low, high = np.minimum.outer(fractions, fractions), np.maximum.outer(fractions, fractions)
    inside = stats.multivariate_normal.cdf(
        z_K, cov=np.sqrt(low / high), maxpts=2_000_000, abseps=1e-7, releps=1e-7, lower_limit=-z_K)
    assert 1 - inside == pytest.approx(0.05, abs=2e-5)


def test_an_interim_analysis_without_new_information_has_the_same_level() -> None:
    first, second, third = levels([0.6, 0.6, 1.0], 0.05)
    assert first == second < third
    assert [first, third] == levels([0.6, 1.0], 0.05)


@pytest.mark.parametrize("fractions", [[0.0, 1.0], [0.5, 0.4], [1.1]])
def test_refuses_fractions_that_fall_or_leave_0_to_1(fractions: list[float]) -> None:
    with pytest.raises(ValueError, match=r"fractions.*above 0.*at most 1"):
        levels(fractions, 0.05)


def test_refuses_an_alpha_outside_0_to_1() -> None:
    with pytest.raises(ValueError, match=r"alpha.*0 and 1"):
        levels([1.0], 1.0)
