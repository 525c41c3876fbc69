"""Run times are worked out from the timings, and say so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gru_bench.report.document.numbers import MISSING
from tests.support.homework_study import TIMINGS, homework_report
from tests.support.renderings import Built, table_of, words_of


def test_run_times_are_worked_out_from_the_timings_and_say_so(made: Built) -> None:
    shown = table_of(made.report, "of-homework-times")
    torch = TIMINGS[2]
    for timing, row in zip(TIMINGS, shown.rows, strict=True):
        assert row[1] == timing.backend
        assert row[5].value == pytest.approx(timing.seconds / 400 * 101_820)
        assert row[6].value == pytest.approx(timing.seconds / torch.seconds)
        assert "not measured" in row[5].method
    text = words_of(made.report, "run-times")
    assert "on the fused backend was 6.0 times as fast as the torch GRU" in text
    assert "on the reference backend took 2.0 times as long" in text
    assert "The published factor is 20.8, for a loop in Python against nn.GRU on a graphics card" in text


def test_without_the_base_or_any_timing_nothing_is_compared() -> None:
    report = homework_report(timings=TIMINGS[:1])
    assert table_of(report, "of-homework-times").rows[0][6].text == MISSING
    assert "published" not in words_of(report, "run-times").lower()
    report = homework_report(timings=(), ablations=())
    assert "No model was timed." in words_of(report, "run-times")
    assert "There are no ablations." in words_of(report, "ablations")


def test_a_model_that_was_timed_on_a_card_says_so() -> None:
    report = homework_report(timings=(*TIMINGS[:2], replace(TIMINGS[2], device="cuda:0")))
    shown = table_of(report, "of-homework-times")
    assert [row[1] for row in shown.rows] == ["fused", "reference", "torch on cuda:0"]
