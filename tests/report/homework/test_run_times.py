"""Run times are computed from the timings, and the report says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gru_bench.report.document.numbers import MISSING
from gru_bench.report.homework.ablations import ablations
from gru_bench.report.homework.discussion import discussion
from tests.support.homework_study import TIMINGS, homework_report
from tests.support.renderings import Built, table_of, words_of


def test_run_times_are_computed_from_the_timings_and_not_measured(made: Built) -> None:
    shown = table_of(made.report, "of-homework-times")
    torch = TIMINGS[2]
    for timing, row in zip(TIMINGS, shown.rows, strict=True):
        assert row[1] == timing.backend
        assert row[5].value == pytest.approx(timing.seconds / 400 * 101_820)
        assert row[6].value == pytest.approx(timing.seconds / torch.seconds)
        assert "not measured" in row[5].method


def test_nothing_is_compared_without_a_timing_of_the_torch_gru() -> None:
    report = homework_report(discussion, timings=TIMINGS[:1])
    assert table_of(report, "of-homework-times").rows[0][6].text == MISSING


def test_a_study_without_timings_and_ablations_says_so() -> None:
    report = homework_report(discussion, ablations, timings=(), ablations=())
    assert "No model was timed" in words_of(report, "discussion")
    assert "no ablations" in words_of(report, "ablations")


def test_a_timing_on_a_gpu_names_the_device() -> None:
    report = homework_report(discussion, timings=(*TIMINGS[:2], replace(TIMINGS[2], device="cuda:0")))
    shown = table_of(report, "of-homework-times")
    assert [row[1] for row in shown.rows] == ["fused", "reference", "torch on cuda:0"]
