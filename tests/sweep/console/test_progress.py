"""What a sweep shows: lines in a pipe, bars on a terminal, and how long it will take."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from gru_bench.results.runs import EpochRecord, StepReport
from gru_bench.sweep.console.progress import ProgressDisplay
from gru_bench.sweep.sharing.work import StoredTrial
from tests.support.commands import mentions

TRIAL, CONFIRM = ("torch", "trial"), ("torch", "confirm")


def step(epoch: int, reviews: int, seconds: float = 2.0) -> StepReport:
    return StepReport(epoch, 4, reviews, 400, 0.512, seconds)


def record(epoch: int, accuracy: float) -> EpochRecord:
    return EpochRecord(epoch, 0.5, 0.4, accuracy, 1.0, 100.0)


def shown(terminal: bool) -> tuple[ProgressDisplay, io.StringIO, list[float]]:
    """A display, what it prints, and the time, which tests set."""
    text, now = io.StringIO(), [0.0]
    console = Console(file=text, force_terminal=terminal, width=140, highlight=False, soft_wrap=not terminal,
                      get_time=lambda: now[0])
    return ProgressDisplay(console), text, now


def bars(display: ProgressDisplay) -> list[str]:
    """The lines of the bars: that of the study, then those of the runs that are being trained."""
    text = io.StringIO()
    Console(file=text, width=140).print(display.bars.get_renderable())
    return text.getvalue().splitlines()


def test_a_pipe_gets_one_line_for_each_run() -> None:
    display, text, now = shown(terminal=False)
    display.begin({TRIAL: 2, CONFIRM: 3})
    display.job_started("torch trial 0", "torch trial 0", {"training.lr": 0.00123}, 4)
    display.tick({TRIAL: 1, CONFIRM: 3})
    for seconds, reviews in ((60, 100), (1, 200), (1, 300)):  # the kernel is compiled before the first
        now[0] += seconds
        display.job_step("torch trial 0", step(1, reviews))
    now[0] += 1
    display.job_epoch("torch trial 0", record(4, 0.75))
    display.job_ended("torch trial 0", "complete", 0.75)
    display.end()
    begin, end = text.getvalue().splitlines()
    mentions(begin, "2 trials", "3 confirmation runs")
    assert end == ("torch trial 0  lr 0.00123  complete  validation accuracy 75.0 %  "
                   "(1 min 3 s; about 16 s left)")  # 4 runs at 0.75 runs in 3 s
    mentions(display.status(), "1 complete", "4 to begin", "best validation accuracy 75.0 %")


def test_runs_that_begin_are_no_progress() -> None:
    display, _, now = shown(terminal=False)
    display.begin({TRIAL: 8})
    for number in range(1, 4):
        display.job_started("torch trial", "torch trial", {}, 4)
        for reviews in (200, 400):
            now[0] += 1
            display.job_step("torch trial", step(4, reviews))
        display.job_ended("torch trial", "complete", 0.75)
        display.tick({TRIAL: 8 - number})
    mentions(display.status(), "about 10 s left")  # 5 runs of 2 s


def test_runs_of_other_processes_do_not_begin_the_estimate_anew() -> None:
    display, _, now = shown(terminal=False)
    display.begin({TRIAL: 8})
    display.job_started("torch trial 0", "torch trial 0", {}, 4)
    for reviews in (100, 200):
        now[0] += 1
        display.job_step("torch trial 0", step(4, reviews))
    mentions(display.status(), "about 30 s left")  # 7.5 runs at 0.25 a second
    now[0] += 1
    display.tick({TRIAL: 5})
    mentions(display.status(), "about 5 s left")  # 5.5 runs at 2.25 in 2 s


def test_the_best_score_is_that_of_a_complete_trial() -> None:
    display, _, _ = shown(terminal=True)
    for number, (outcome, value) in enumerate([("complete", 0.75), ("pruned", 0.8)]):
        display.job_started(f"torch trial {number}", f"torch trial {number}", {}, 4)
        display.job_ended(f"torch trial {number}", outcome, value)
    assert "75.0 %" in display.status()
    assert "80.0 %" not in display.status()


def test_the_bar_of_a_run_shows_epochs_that_sent_no_step_report() -> None:
    display, _, _ = shown(terminal=True)
    display.job_started("torch trial 1", "torch trial 1", {}, 4)
    display.job_step("torch trial 1", step(1, 10))  # the kernel was compiled
    display.job_epoch("torch trial 1", record(3, 0.75))
    _, row = bars(display)
    mentions(row, "torch trial 1", "epoch 3/4", "loss 0.500", "validation accuracy 75.0 %")
    assert display.bars.tasks[1].completed == 3 / 4
    assert "left" not in display.status()


def test_the_bar_of_a_run_does_not_fall_back_after_its_first_epoch() -> None:
    display, _, _ = shown(terminal=True)
    display.job_started("torch trial 1", "torch trial 1", {}, 4)
    display.job_step("torch trial 1", step(1, 150))
    display.job_epoch("torch trial 1", record(1, 0.75))
    assert display.bars.tasks[1].completed == 150 / 400
    display.job_epoch("torch trial 1", record(2, 0.75))
    assert display.bars.tasks[1].completed == 2 / 4


def test_a_terminal_shows_the_study_and_the_running_runs() -> None:
    display, _, now = shown(terminal=True)
    display.begin({TRIAL: 4, CONFIRM: 2})
    try:
        display.job_started("torch trial 0", "torch trial 0", {"training.lr": 0.1}, 4)
        display.job_ended("torch trial 0", "pruned", 0.61)
        display.job_started("torch trial 1", "torch trial 1", {"training.lr": 0.00123}, 4)
        display.job_step("torch trial 1", step(1, 50, 1.0))
        display.job_epoch("torch trial 1", record(1, 0.8125))
        display.job_epoch("torch trial 1", record(2, 0.75))
        now[0] += 1
        display.job_step("torch trial 1", step(3, 225))
        display.tick({TRIAL: 2, CONFIRM: 2})
        study, run = bars(display)
    finally:
        display.end()
    mentions(study, "1 pruned", "4 to begin", "left")
    mentions(run, "torch trial 1", "epoch 3/4", "loss 0.512", "validation accuracy 81.2 %")
    assert [(task.completed, task.total) for task in display.bars.tasks] == [(1 + 225 / 400, 6), (225 / 400, 1)]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_complete_study_says_that_all_runs_are_done(terminal: bool) -> None:
    display, text, _ = shown(terminal)
    display.begin({TRIAL: 0, CONFIRM: 0}, done=True)
    display.search_ended("torch", StoredTrial(0, "complete", {"training.lr": 0.001}, value=0.875), 0)
    display.end()
    said = text.getvalue()
    mentions(said, "done", "torch", "lr 0.001", "87.5 %")
    assert "to do" not in said


def test_runs_of_other_processes_are_not_called_done() -> None:
    display, text, _ = shown(terminal=False)
    display.begin({TRIAL: 0, CONFIRM: 0})
    assert "other processes" in text.getvalue()
    assert "done" not in text.getvalue()


def test_the_runs_that_are_left_to_do_are_counted() -> None:
    display, text, _ = shown(terminal=False)
    display.begin({TRIAL: 0, CONFIRM: 1})
    display.search_ended("torch", StoredTrial(0, "complete", {"training.lr": 0.001}, value=0.875), 1)
    begin, ended = text.getvalue().splitlines()
    mentions(begin, "1 confirmation run to do")
    mentions(ended, "torch", "lr 0.001", "87.5 %", "1 confirmation run")
    assert "trial" not in begin


def test_a_resumed_run_says_so() -> None:
    display, text, _ = shown(terminal=False)
    display.begin({TRIAL: 1})
    for label, epoch in (("torch trial 0", 3), ("torch trial 1", None), ("torch trial 2", 1)):
        display.job_started(label, label, {}, 4)
        display.job_resumed(label, epoch)
    _, resumed, complete = text.getvalue().splitlines()
    mentions(resumed, "torch trial 0", "resumed at epoch 3")
    mentions(complete, "torch trial 1", "all epochs", "earlier start")
