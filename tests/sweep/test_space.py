"""The points of a search space are counted and found."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from gru_bench.config import Scalar
from gru_bench.sweep.space import size, untried
from gru_bench.sweep.spec import point

SMALL = {"a": CategoricalDistribution(["x", "y", None]), "b": IntDistribution(2, 8, step=3),
         "c": FloatDistribution(0.1, 0.4, step=0.1)}


class TestSpace:
    def test_the_size_of_a_space_is_its_number_of_points(self) -> None:
        assert size(SMALL) == 3 * 3 * 4
        assert size({**SMALL, "d": FloatDistribution(0.0, 1.0)}) == float("inf")

    def test_equal_choices_are_one_point(self) -> None:
        assert size({"a": CategoricalDistribution([0.1, 0.1, 0.30000000000000004, 0.3])}) == 2

    def test_a_large_space_is_counted_and_searched_without_listing_it(self) -> None:
        space = {"a": IntDistribution(1, 10**15), "b": FloatDistribution(0.0, 1.0, step=2.0**-20)}
        assert size(space) == 10**15 * (2**20 + 1)
        first: dict[str, Scalar] = {"a": 1, "b": 0.0}
        assert untried(space, [point(first)], np.random.default_rng(0), lambda: first) == {"a": 1, "b": 2.0**-20}

    def test_the_last_point_of_a_large_space_is_found(self) -> None:
        space = {"a": CategoricalDistribution(["x", "y"]), "b": IntDistribution(1, 10_000)}
        tried = [point({"a": a, "b": b}) for a in "xy" for b in range(1, 10_001) if (a, b) != ("y", 777)]
        found = untried(space, tried, np.random.default_rng(0), lambda: {"a": "x", "b": 1})
        assert found == {"a": "y", "b": 777}
        assert untried(space, [*tried, point(found)], np.random.default_rng(0), lambda: {"a": "x", "b": 1}) is None

    def test_points_that_differ_by_rounding_are_equal(self) -> None:
        assert point({"c": 0.1 + 2 * 0.1, "a": 1}) == point({"a": 1, "c": 0.3})
        assert point({"c": 0.3}) != point({"c": 0.30001})

    def test_untried_points_of_a_small_space_are_each_found(self) -> None:
        tried: list[tuple[tuple[str, str], ...]] = []
        generator = np.random.default_rng(0)
        while (found := untried(SMALL, tried, generator, dict)) is not None:
            assert point(found) not in tried
            tried.append(point(found))
        assert len(tried) == 36

    def test_points_of_a_large_space_are_drawn(self) -> None:
        large = {"d": FloatDistribution(0.0, 1.0)}
        draws: Iterator[dict[str, Scalar]] = iter([{"d": 0.5}, {"d": 0.5}, {"d": 0.25}])
        assert untried(large, [point({"d": 0.5})], np.random.default_rng(0), lambda: next(draws)) == {"d": 0.25}
