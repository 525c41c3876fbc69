"""The time left is estimated from ended runs."""

from __future__ import annotations

import pytest

from gru_bench.sweep.console.eta import seconds_left


def test_nothing_is_known_before_a_run_has_ended() -> None:
    assert seconds_left({}, [], {"trial": 3}, 2) is None
    assert seconds_left({}, [("trial", 5.0)], {"trial": 3}, 2) is None


def test_ended_runs_give_the_mean_of_their_role() -> None:
    ended = {"trial": [10.0, 20.0, 3.0]}  # the last was pruned: some of those to come will be
    assert seconds_left(ended, [], {"trial": 4}, 2) == pytest.approx(4 * 11 / 2)
    assert seconds_left(ended, [], {"trial": 0, "confirm": 2}, 1) == pytest.approx(22)  # until one has ended
    ended["confirm"] = [30.0]
    assert seconds_left(ended, [], {"trial": 1, "confirm": 2}, 1) == pytest.approx(11 + 60)


def test_a_run_that_takes_longer_than_expected_is_about_to_end() -> None:
    assert seconds_left({"trial": [10.0]}, [("trial", 25.0)], {"trial": 1}, 1) == pytest.approx(10)
