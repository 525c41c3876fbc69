"""An accuracy is shown with its interval and with what guessing reaches."""

from __future__ import annotations

import pytest

from gru_bench.stats.estimate import wilson_interval
from gru_bench.stats.text import Accuracy, percent
from tests.support.commands import mentions
from tests.support.runs import answered


class TestAccuracy:
    def test_is_shown_with_its_interval_and_with_what_guessing_reaches(self) -> None:
        found = Accuracy.of([answered(58, positive=42)])
        low, high = wilson_interval(58, 100)
        assert (found.share, found.low, found.high) == (0.58, low, high)
        assert found.guessing == pytest.approx(0.58)
        mentions(str(found), "58.0 % (95 %", f"{100 * low:.1f} to {percent(high)}", "100 texts", "reaches 58.0 %")

    def test_of_several_runs_is_their_mean(self) -> None:
        assert Accuracy.of([answered(70), answered(80)]).share == 0.75

    @pytest.mark.parametrize(("right", "positive", "guessing"), [
        (60, 50, False),  # 50.2 % and more
        (59, 50, True),
        (20, 50, True),  # worse than a coin is no better than one
        (85, 20, True),  # always 0 is right for 80
        (100, 50, False),
    ])
    def test_may_be_guessing_where_its_interval_includes_guessing(
        self, right: int, positive: int, guessing: bool
    ) -> None:
        assert Accuracy.of([answered(right, positive)]).is_guessing is guessing
