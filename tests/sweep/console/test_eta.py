"""The time left is estimated from ended runs."""

from __future__ import annotations

import pytest

from gru_bench.sweep.console.eta import EtaEstimator, RunningTime


class TestEta:
    def test_nothing_is_known_before_a_run_has_ended(self) -> None:
        assert EtaEstimator().seconds_left({"trial": 3}, [], 2) is None
        assert EtaEstimator().seconds_left({"trial": 3}, [RunningTime("trial", 5.0)], 2) is None

    def test_ended_runs_give_the_mean_of_their_role(self) -> None:
        eta = EtaEstimator()
        for seconds in (10.0, 20.0, 3.0):  # the last was pruned: some of those to come will be
            eta.add("trial", seconds)
        assert eta.seconds_left({"trial": 4}, [], 2) == pytest.approx(4 * 11 / 2)
        assert eta.seconds_left({"trial": 0, "confirm": 2}, [], 1) == pytest.approx(22)  # until one has ended
        eta.add("confirm", 30.0)
        assert eta.seconds_left({"trial": 1, "confirm": 2}, [], 1) == pytest.approx(11 + 60)

    def test_a_run_that_takes_longer_than_expected_is_about_to_end(self) -> None:
        eta = EtaEstimator()
        eta.add("trial", 10.0)
        assert eta.seconds_left({"trial": 1}, [RunningTime("trial", 25.0)], 1) == pytest.approx(10)
