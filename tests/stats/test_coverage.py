"""Intervals contain a known truth as often as they say: a short run of benchmarks/interval_coverage.py."""

from __future__ import annotations

from itertools import combinations
from types import ModuleType

import numpy as np
import pytest

from gru_bench.stats.estimate import _Part
from gru_bench.stats.values import Values
from tests.support.benchmarks import benchmark

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def promises() -> ModuleType:
    return benchmark("interval_coverage")


def test_the_simulation_is_the_one_described(promises: ModuleType) -> None:
    truth = promises.Truth.of(0.865, 0.005, 0.07, 0.10)
    rng = np.random.default_rng(0)
    drawn = [truth.draw(2, 40, 4000, rng) for _ in range(8)]
    one = [a for a, _ in drawn]
    # 8 * 40 runs on 8 * 4,000 examples: the standard errors are below 0.3 points.
    assert np.mean(one) == pytest.approx(0.865, abs=0.006)
    within = np.mean([[(a[r] != a[s]).mean() for r, s in combinations(range(6), 2)] for a in one])
    between = np.mean([[(a[r] != b[s]).mean() for r in range(6) for s in range(6)] for a, b in drawn])
    assert within == pytest.approx(0.07, abs=0.005)
    assert between == pytest.approx(0.10, abs=0.005)
    deviations = [coverage_deviation(a) for a in one]
    assert np.mean(deviations) == pytest.approx(0.005, abs=0.0008)


def coverage_deviation(correct_RN: np.ndarray) -> float:
    return float(np.sqrt(_Part.of(Values.of_correct(correct_RN), None).seed_variance))


@pytest.mark.parametrize(("seeds", "examples"), [(3, 500), (10, 500)])
def test_intervals_contain_the_truth(promises: ModuleType, seeds: int, examples: int) -> None:
    repetitions = 500
    truth = promises.Truth.of(0.865, 0.005, 0.07, 0.10)
    sums = promises.repeated(truth, seeds, examples, repetitions, np.random.default_rng(seeds))
    held, found, alone, family, _ = sums / repetitions
    # The standard error of a share of 95 % is 1 point here: three of them around what long runs give.
    assert 0.93 <= held <= 0.99
    assert found <= 0.075
    assert 0.92 <= alone <= 0.995
    assert family <= 0.085


@pytest.mark.parametrize(
    ("seeds", "examples", "accuracy"),
    [(10, 31, 1.0), (3, 20, 0.99), (5, 50, 0.98), (3, 100, 0.9), (10, 500, 0.93)],
)
def test_intervals_contain_the_truth_where_few_reviews_decide(
    promises: ModuleType, seeds: int, examples: int, accuracy: float
) -> None:
    repetitions = 300
    held = promises.few_held(seeds, examples, accuracy, repetitions, np.random.default_rng([seeds, examples]))
    # Promised are 94 %; the standard error of a share of 95 % is 1.3 points here.
    assert (held / repetitions > 0.91).all()


def test_the_simulation_depends_on_its_seed(promises: ModuleType) -> None:
    truth = promises.Truth.of(0.865, 0.005, 0.07, 0.10)
    first, again, other = (promises.repeated(truth, 3, 100, 20, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_intervals_of_grouped_reviews_contain_the_truth_and_those_that_ignore_groups_do_not(
    promises: ModuleType
) -> None:
    plain, alone, pair, one = promises.grouped_held(5, 50, 0.3, 400, np.random.default_rng(0)) / 400
    assert plain < 0.9
    assert alone < 0.75
    assert pair >= 0.93
    assert one >= 0.92
