"""What a sweep shows: lines in a pipe, bars on a terminal, and how long it will take."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from gru_bench.results.runs import EpochRecord, StepReport
from gru_bench.sweep.console.progress import Kind, ProgressDisplay
from gru_bench.sweep.sharing.trials import StoredTrial
from tests.support.commands import mentions

TRIAL, CONFIRM, ABLATION = ("torch", "trial"), ("torch", "confirm"), ("torch", "ablation")


def step(epoch: int, reviews: int, seconds: float = 2.0) -> StepReport:
    return StepReport(epoch, 4, reviews, 400, 0.512, seconds)


def record(epoch: int, accuracy: float) -> EpochRecord:
    return EpochRecord(epoch, 0.5, 0.4, accuracy, 1.0, 100.0)


def shown(terminal: bool, **expected: float) -> tuple[ProgressDisplay, io.StringIO]:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=140, highlight=False, soft_wrap=not terminal)
    return ProgressDisplay(console, workers=2, expected=expected), text


def bars(display: ProgressDisplay) -> list[str]:
    """The lines of the bars: that of the study, then those of the runs that are being trained."""
    text = io.StringIO()
    Console(file=text, width=140).print(display.bars.get_renderable())
    return text.getvalue().splitlines()


def trained(display: ProgressDisplay, now: list[float], kind: Kind, seconds: float, outcome: str = "complete") -> None:
    """Show that a run of a kind begins, and ends after so many seconds."""
    display.job_started(str(kind), "", {}, kind, 4)
    now[0] += seconds
    display.job_ended(str(kind), outcome, 0.75)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which tests set."""
    now = [time.monotonic()]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_a_pipe_gets_one_line_for_each_run(now: list[float]) -> None:
    display, text = shown(terminal=False)
    display.begin({TRIAL: 2, CONFIRM: 3})
    display.tick({TRIAL: 1, CONFIRM: 3})
    display.job_started("torch trial 0", "torch trial 0", {"training.lr": 0.00123}, TRIAL, 4)
    display.job_step("torch trial 0", step(1, 100))
    display.job_epoch("torch trial 0", record(1, 0.75))
    now[0] += 3
    display.job_ended("torch trial 0", "complete", 0.75)
    display.end()
    begin, end = text.getvalue().splitlines()
    mentions(begin, "2 trials", "3 confirmation runs")
    assert end == "torch trial 0  lr 0.00123  complete  validation accuracy 75.0 %  (3 s; about 6 s left)"
    mentions(display.status(), "1 complete", "4 to begin", "best validation accuracy 75.0 %")


def test_the_time_left_is_without_that_of_compiling_the_kernel(now: list[float]) -> None:
    display, _ = shown(terminal=False)
    display.tick({TRIAL: 4})
    display.job_started("torch trial 0", "torch trial 0", {}, TRIAL, 4)
    now[0] += 60  # the kernel compiles
    display.job_step("torch trial 0", step(1, 10, 60.0))
    assert "left" not in display.status()
    for epoch in range(1, 5):
        now[0] += 0.5 if epoch > 1 else 0.45
        display.job_epoch("torch trial 0", record(epoch, 0.75))
    display.job_ended("torch trial 0", "complete", 0.75)
    mentions(display.status(), "about 4 s left")  # four trials of 2 s, two at a time


def test_the_first_run_of_each_worker_counts_until_another_has_ended(now: list[float]) -> None:
    display, _ = shown(terminal=False)
    display.tick({TRIAL: 4})
    for seconds, expected in ((12, 24), (8, 20), (1, 2), (3, 4)):  # with two workers
        trained(display, now, TRIAL, seconds)
        mentions(display.status(), f"about {expected} s left")


def test_runs_of_a_kind_take_the_mean_of_those_that_have_ended(now: list[float]) -> None:
    display, _ = shown(terminal=False)
    for _ in range(2):
        trained(display, now, ABLATION, 60)  # the first of each worker
    for seconds, outcome in ((10, "complete"), (20, "complete"), (3, "pruned")):  # some of those to come will be pruned
        trained(display, now, TRIAL, seconds, outcome)
    display.tick({TRIAL: 4, CONFIRM: 0})
    mentions(display.status(), "about 22 s left")
    display.tick({TRIAL: 0, CONFIRM: 2})  # until one has ended
    mentions(display.status(), "about 11 s left")
    trained(display, now, CONFIRM, 30, "tested")
    display.tick({TRIAL: 1, CONFIRM: 2})
    mentions(display.status(), "about 36 s left")  # 11 and twice 30, two at a time


def test_a_model_takes_its_own_time_and_at_first_what_was_expected(now: list[float]) -> None:
    display, _ = shown(terminal=False, mine=100.0)
    mine = ("mine", "confirm")
    display.tick({CONFIRM: 4, mine: 4})
    for _ in range(3):
        trained(display, now, CONFIRM, 10, "tested")
    display.tick({CONFIRM: 2, mine: 4})
    mentions(display.status(), "about 3 min 30 s left")  # twice 10 and four times 100, two at a time
    trained(display, now, mine, 60, "tested")
    display.tick({CONFIRM: 2, mine: 3})
    mentions(display.status(), "about 1 min 40 s left")


def test_a_run_that_takes_longer_than_expected_is_about_to_end(now: list[float]) -> None:
    display, _ = shown(terminal=False)
    trained(display, now, TRIAL, 10)
    display.job_started("torch trial 1", "torch trial 1", {}, TRIAL, 4)
    now[0] += 25
    display.tick({TRIAL: 1})
    mentions(display.status(), "about 5 s left")


def test_a_slower_kind_is_known_from_its_runs_in_training(now: list[float]) -> None:
    display, _ = shown(terminal=False)
    for _ in range(3):
        trained(display, now, TRIAL, 10)
    display.job_started("torch seed 1", "torch seed 1", {}, CONFIRM, 2)
    display.tick({CONFIRM: 3})
    mentions(display.status(), "about 20 s left")  # four of 10 s, two at a time
    now[0] += 30
    display.job_step("torch seed 1", StepReport(1, 2, 20, 100, 0.5, 30.0))
    mentions(display.status(), "about 4 min 45 s left")  # 120 s and three of 150 s, two at a time


def test_the_time_of_a_trial_is_that_of_all_its_seeds(now: list[float]) -> None:
    display, _ = shown(terminal=False)
    display.tick({TRIAL: 4})
    for outcome in ("seed done", "complete"):
        assert "left" not in display.status()
        display.job_started("torch trial 0", "torch trial 0 seed 0", {}, TRIAL, 4)
        now[0] += 3
        display.job_ended("torch trial 0", outcome, 0.75)
    mentions(display.status(), "about 12 s left")  # four trials of 6 s, two at a time


def test_the_time_left_does_not_grow_while_a_sweep_is_stopped(now: list[float]) -> None:
    display, _ = shown(terminal=False)
    display.tick({TRIAL: 4})
    display.job_started("torch trial 0", "torch trial 0", {}, TRIAL, 4)
    for seconds in (1.0, 40_000.0, 1.0):  # the sweep is stopped for 11 hours
        now[0] += seconds
        display.alive()
    display.job_ended("torch trial 0", "complete", 0.75)
    mentions(display.status(), "about 4 s left")  # four trials of 2 s, two at a time


def test_the_best_score_is_that_of_a_complete_trial() -> None:
    display, _ = shown(terminal=True)
    for number, (outcome, value) in enumerate([("complete", 0.75), ("pruned", 0.8)]):
        display.job_started(f"torch trial {number}", f"torch trial {number}", {}, TRIAL, 4)
        display.job_ended(f"torch trial {number}", outcome, value)
    assert "75.0 %" in display.status()
    assert "80.0 %" not in display.status()


def test_the_bar_of_a_run_shows_epochs_that_sent_no_step_report() -> None:
    display, _ = shown(terminal=True)
    display.job_started("torch trial 1", "torch trial 1", {}, TRIAL, 4)
    display.job_step("torch trial 1", step(1, 10))  # the kernel was compiled
    display.job_epoch("torch trial 1", record(3, 0.75))
    _, row = bars(display)
    mentions(row, "torch trial 1", "epoch 3/4", "loss 0.500", "validation accuracy 75.0 %")
    assert display.bars.tasks[1].completed == 3 / 4
    assert "left" not in display.status()


def test_the_bar_of_a_run_does_not_fall_back_after_its_first_epoch() -> None:
    display, _ = shown(terminal=True)
    display.job_started("torch trial 1", "torch trial 1", {}, TRIAL, 4)
    display.job_step("torch trial 1", step(1, 150))
    display.job_epoch("torch trial 1", record(1, 0.75))
    assert display.bars.tasks[1].completed == 150 / 400
    display.job_epoch("torch trial 1", record(2, 0.75))
    assert display.bars.tasks[1].completed == 2 / 4


def test_epochs_of_a_checkpoint_take_no_time(now: list[float]) -> None:
    display, _ = shown(terminal=True)
    display.job_started("torch trial 1", "torch trial 1", {}, TRIAL, 4)
    display.job_resumed("torch trial 1", 3)
    for epoch in (1, 2):
        display.job_epoch("torch trial 1", record(epoch, 0.75))
    now[0] += 60  # the kernel compiles
    display.job_step("torch trial 1", step(3, 200))
    for epoch in (3, 4):
        now[0] += 20
        display.job_epoch("torch trial 1", record(epoch, 0.75))
    display.job_ended("torch trial 1", "complete", 0.75)
    display.tick({TRIAL: 2})
    mentions(display.status(), "about 1 min 20 s left")  # two runs of four epochs, side by side


def test_a_terminal_shows_the_study_and_the_running_runs() -> None:
    display, _ = shown(terminal=True)
    display.begin({TRIAL: 4, CONFIRM: 2})
    try:
        display.job_started("torch trial 0", "torch trial 0", {"training.lr": 0.1}, TRIAL, 4)
        display.job_ended("torch trial 0", "pruned", 0.61)
        display.job_started("torch trial 1", "torch trial 1", {"training.lr": 0.00123}, TRIAL, 4)
        display.job_step("torch trial 1", step(1, 50, 1.0))
        display.job_epoch("torch trial 1", record(1, 0.8125))
        display.job_epoch("torch trial 1", record(2, 0.75))
        display.job_step("torch trial 1", step(3, 225))
        display.tick({TRIAL: 2, CONFIRM: 2})
        study, run = bars(display)
    finally:
        display.end()
    mentions(study, "1 pruned", "4 to begin", "left")
    mentions(run, "torch trial 1", "epoch 3/4", "loss 0.512", "validation accuracy 81.2 %")
    assert [(task.completed, task.total) for task in display.bars.tasks] == [(1, 6), (225 / 400, 1)]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_complete_study_says_that_all_runs_are_done(terminal: bool) -> None:
    display, text = shown(terminal)
    display.begin({TRIAL: 0, CONFIRM: 0, ABLATION: 0}, done=True)
    display.search_ended("torch", StoredTrial(0, "complete", {"training.lr": 0.001}, value=0.875), 0)
    display.end()
    said = text.getvalue()
    mentions(said, "done", "torch", "lr 0.001", "87.5 %")
    assert "to do" not in said


def test_runs_of_other_processes_are_not_called_done() -> None:
    display, text = shown(terminal=False)
    display.begin({TRIAL: 0, CONFIRM: 0})
    assert "other processes" in text.getvalue()
    assert "done" not in text.getvalue()


def test_the_runs_that_are_left_to_do_are_counted() -> None:
    display, text = shown(terminal=False)
    display.begin({TRIAL: 0, CONFIRM: 1, ABLATION: 20})
    display.search_ended("torch", StoredTrial(0, "complete", {"training.lr": 0.001}, value=0.875), 1)
    begin, ended = text.getvalue().splitlines()
    mentions(begin, "1 confirmation run,", "20 ablation runs")
    mentions(ended, "torch", "lr 0.001", "87.5 %", "1 confirmation run")
    assert "trial" not in begin


def test_a_resumed_run_says_so() -> None:
    display, text = shown(terminal=False)
    display.begin({TRIAL: 1})
    for label, epoch in (("torch trial 0", 3), ("torch trial 1", None), ("torch trial 2", 1)):
        display.job_started(label, label, {}, TRIAL, 4)
        display.job_resumed(label, epoch)
    _, resumed, complete = text.getvalue().splitlines()
    mentions(resumed, "torch trial 0", "resumed at epoch 3")
    mentions(complete, "torch trial 1", "all epochs", "earlier start")
