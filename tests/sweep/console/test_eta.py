"""The time left is estimated from ended runs and from those under way."""

from __future__ import annotations

import pytest

from gru_bench.sweep.console.eta import EtaEstimator, RunningTime


class TestEta:
    def test_nothing_is_known_before_anything_has_run(self) -> None:
        assert EtaEstimator().seconds_left({"trial": 3}, [], 2) is None
        assert EtaEstimator().seconds_left({"trial": 3}, [RunningTime("trial", 5.0, 0.0)], 2) is None

    def test_the_progress_of_the_first_run_gives_a_first_estimate(self) -> None:
        # 10 s for a quarter: 40 s a run; 30 s of this one and two more.
        assert EtaEstimator().seconds_left({"trial": 2}, [RunningTime("trial", 10.0, 0.25)], 1) == pytest.approx(110)

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
        assert eta.seconds_left({"trial": 1}, [RunningTime("trial", 25.0, 0.9)], 1) == pytest.approx(10)
