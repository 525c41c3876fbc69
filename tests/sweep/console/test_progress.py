"""What a sweep shows: lines in a pipe, a live table on a terminal, and how long it will take."""

from __future__ import annotations

import io
import re
import time
from dataclasses import replace

import pytest
from rich.console import Console

from gru_bench.results.runs import EpochRecord, StepReport
from gru_bench.sweep.console.progress import ProgressDisplay
from gru_bench.sweep.sharing.trials import StoredTrial
from tests.support.commands import mentions


def step(epoch: int, reviews: int, seconds: float = 2.0) -> StepReport:
    return StepReport(epoch, 4, reviews, 400, 0.512, seconds)


def record(epoch: int, accuracy: float) -> EpochRecord:
    return EpochRecord(epoch, 0.5, 0.4, accuracy, 1.0, 100.0)


def shown(terminal: bool) -> tuple[ProgressDisplay, io.StringIO]:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=140, highlight=False, soft_wrap=not terminal)
    return ProgressDisplay(console, workers=2), text


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which tests set."""
    now = [time.monotonic()]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_a_pipe_gets_a_line_where_a_run_starts_and_ends() -> None:
    display, text = shown(terminal=False)
    display.begin({"trial": 2, "confirm": 3})
    display.tick({"trial": 1, "confirm": 3})
    display.job_started("torch trial 0", "torch trial 0", {"training.lr": 0.00123}, "trial")
    display.job_step("torch trial 0", step(1, 100))
    display.job_epoch("torch trial 0", record(1, 0.75))
    display.job_ended("torch trial 0", "complete", 0.75)
    display.end()
    begin, start, end = text.getvalue().splitlines()
    mentions(begin, "2 trials", "3 confirmation runs")
    mentions(start, "torch trial 0", "lr 0.00123", "started")
    mentions(end, "torch trial 0", "lr 0.00123", "complete", "75.0 %")
    mentions(display.status(), "1 complete", "4 to begin", "75.0 %")


@pytest.mark.parametrize("epochs", [1, 2])
def test_the_time_left_is_without_that_of_compiling_the_kernel(now: list[float], epochs: int) -> None:
    display, _ = shown(terminal=False)
    display.tick({"trial": 4})
    display.job_started("torch trial 0", "torch trial 0", {}, "trial")
    now[0] += 60  # the kernel compiles
    display.job_step("torch trial 0", step(1, 10, 60.0))
    assert "left" not in display.status()
    now[0] += 2
    display.job_step("torch trial 0", step(2, 170, 62.0))
    *_, speed, left = display.table().columns
    assert [*speed.cells, *left.cells] == ["80", "3 s"]  # 230 texts of 400 are left
    for epoch, seconds in ((1, 61.0), (2, 1.0))[:epochs]:
        display.job_epoch("torch trial 0", replace(record(epoch, 0.75), seconds=seconds))
    display.job_ended("torch trial 0", "complete", 0.75)
    mentions(display.status(), "about 4 s left")  # four trials of 2 s, two at a time


def test_the_time_of_a_trial_is_that_of_all_its_seeds(now: list[float]) -> None:
    display, _ = shown(terminal=False)
    display.tick({"trial": 4})
    for outcome in ("seed done", "complete"):
        assert "left" not in display.status()
        display.job_started("torch trial 0", "torch trial 0 seed 0", {}, "trial")
        now[0] += 3
        display.job_ended("torch trial 0", outcome, 0.75)
    mentions(display.status(), "about 12 s left")  # four trials of 6 s, two at a time


def test_the_time_left_does_not_grow_while_a_sweep_is_stopped(now: list[float]) -> None:
    display, _ = shown(terminal=False)
    display.tick({"trial": 4})
    display.job_started("torch trial 0", "torch trial 0", {}, "trial")
    for seconds in (1.0, 40_000.0, 1.0):  # the sweep is stopped for 11 hours
        now[0] += seconds
        display.alive()
    display.job_ended("torch trial 0", "complete", 0.75)
    mentions(display.status(), "about 4 s left")  # four trials of 2 s, two at a time


def test_the_best_score_is_that_of_a_complete_trial() -> None:
    display, _ = shown(terminal=True)
    for number, (outcome, value) in enumerate([("complete", 0.75), ("pruned", 0.8)]):
        display.job_started(f"torch trial {number}", f"torch trial {number}", {}, "trial")
        display.job_ended(f"torch trial {number}", outcome, value)
    assert "75.0 %" in display.status()
    assert "80.0 %" not in display.status()


def test_the_table_shows_an_epoch_that_ended_before_its_first_report() -> None:
    display, _ = shown(terminal=True)
    display.job_started("torch trial 1", "torch trial 1", {}, "trial")
    display.job_step("torch trial 1", step(1, 10))  # the kernel was compiled
    display.job_epoch("torch trial 1", record(3, 0.75))
    text = io.StringIO()
    Console(file=text, width=140).print(display.table())
    row = text.getvalue().splitlines()[1]
    assert [part for part in row.split() if part[0].isdigit()] == ["1", "3", "0.500", "75.0"]
    assert "left" not in display.status()


def test_the_bar_of_a_run_does_not_fall_back_after_its_first_epoch() -> None:
    display, _ = shown(terminal=True)
    display.job_started("torch trial 1", "torch trial 1", {}, "trial")
    display.job_step("torch trial 1", step(1, 90))
    before = display._rows["torch trial 1"].done
    display.job_epoch("torch trial 1", record(1, 0.75))
    display.job_epoch("torch trial 1", record(2, 0.75))
    assert before < display._rows["torch trial 1"].done == 2 / step(1, 90).epochs


def test_epochs_of_a_checkpoint_do_not_count_as_compilation() -> None:
    display, _ = shown(terminal=True)
    display.job_started("torch trial 1", "torch trial 1", {}, "trial")
    display.job_resumed("torch trial 1", 3)
    row = display._rows["torch trial 1"]
    row.began -= 40
    for number, seconds in ((1, 61.0), (2, 20.0), (3, 20.0), (4, 20.0)):
        display.job_epoch("torch trial 1", replace(record(number, 0.75), seconds=seconds))
    assert row.seconds == pytest.approx(40, abs=1)


def test_a_terminal_shows_a_table_of_the_running_runs() -> None:
    display, _ = shown(terminal=True)
    display.begin({"trial": 4, "confirm": 2})
    try:
        display.job_started("torch trial 0", "torch trial 0", {"training.lr": 0.1}, "trial")
        display.job_ended("torch trial 0", "pruned", 0.61)
        display.job_started("torch trial 1", "torch trial 1", {"training.lr": 0.00123, "model.layers": 2}, "trial")
        display.job_step("torch trial 1", step(1, 50, 1.0))
        display.job_step("torch trial 1", step(2, 125))
        display.job_epoch("torch trial 1", record(1, 0.8125))
        display.job_epoch("torch trial 1", record(2, 0.75))
        display.tick({"trial": 2, "confirm": 2})
        text = io.StringIO()
        Console(file=text, width=140).print(display.table())
    finally:
        display.end()
    header, row, caption = text.getvalue().splitlines()[:3]
    assert header.split() == ["run", "settings", "epoch", "loss", "accuracy", "texts/s", "left"]
    for part in ("torch trial 1", "lr 0.00123  layers 2", "2/4", "0.512", "81.2 %", "75"):
        assert part in row
    mentions(caption, "1 pruned", "4 to begin", "left")


def test_a_pipe_is_told_the_time_left_after_a_long_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gru_bench.sweep.console.progress.STATUS_SECONDS", 0.0)
    display, text = shown(terminal=False)
    display.begin({"confirm": 3})
    display.tick({"confirm": 3})
    assert "left" not in text.getvalue()  # nothing runs yet
    for number, to_begin in ((1, 2), (2, 1)):
        display.job_started(f"torch seed {number}", f"torch seed {number}", {}, "confirm")
        time.sleep(0.6)
        display.tick({"confirm": to_begin})
        assert ("left" in text.getvalue()) is (number == 2)  # the first run also loads and compiles
        display.job_ended(f"torch seed {number}", "tested", 0.8)
    assert re.search(r"1 to begin  about \d+ s left", text.getvalue())


@pytest.mark.parametrize("terminal", [True, False])
def test_a_complete_study_says_that_all_runs_are_done(terminal: bool) -> None:
    display, text = shown(terminal)
    display.begin({"trial": 0, "confirm": 0, "ablation": 0}, done=True)
    display.search_ended("torch", StoredTrial(0, "complete", {"training.lr": 0.001}, value=0.875), 0)
    display.end()
    said = text.getvalue()
    mentions(said, "done", "torch", "lr 0.001", "87.5 %")
    assert "to do" not in said


def test_runs_of_other_processes_are_not_called_done() -> None:
    display, text = shown(terminal=False)
    display.begin({"trial": 0, "confirm": 0})
    assert "other processes" in text.getvalue()
    assert "done" not in text.getvalue()


def test_the_runs_that_are_left_to_do_are_counted() -> None:
    display, text = shown(terminal=False)
    display.begin({"trial": 0, "confirm": 1, "ablation": 20})
    display.search_ended("torch", StoredTrial(0, "complete", {"training.lr": 0.001}, value=0.875), 1)
    begin, ended = text.getvalue().splitlines()
    mentions(begin, "1 confirmation run,", "20 ablation runs")
    mentions(ended, "torch", "lr 0.001", "87.5 %", "1 confirmation run")
    assert "trial" not in begin


def test_a_resumed_run_says_so() -> None:
    display, text = shown(terminal=False)
    display.begin({"trial": 1})
    for label, epoch in (("torch trial 0", 3), ("torch trial 1", None), ("torch trial 2", 1)):
        display.job_started(label, label, {}, "trial")
        display.job_resumed(label, epoch)
    _, resumed, _, complete, other = text.getvalue().splitlines()[1:]
    mentions(resumed, "torch trial 0", "resumed at epoch 3")
    mentions(complete, "torch trial 1", "all epochs", "earlier start")
    mentions(other, "torch trial 2", "started")
