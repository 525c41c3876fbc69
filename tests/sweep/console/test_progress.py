"""What a sweep shows: lines in a pipe, a live table on a terminal, and an estimate that learns."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from gru_bench.results.runs import EpochRecord, StepReport
from gru_bench.sweep.console.progress import ProgressDisplay


def step(epoch: int, reviews: int) -> StepReport:
    return StepReport(epoch, 4, reviews, 400, 0.512, 2.0)


def record(epoch: int, accuracy: float) -> EpochRecord:
    return EpochRecord(epoch, 0.5, 0.4, accuracy, 1.0, 100.0)


def shown(terminal: bool) -> tuple[ProgressDisplay, io.StringIO]:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=140, highlight=False, soft_wrap=not terminal)
    return ProgressDisplay(console, workers=2), text


def test_lines_in_a_pipe() -> None:
    display, text = shown(terminal=False)
    display.begin({"trial": 2, "confirm": 3})
    display.tick({"trial": 1, "confirm": 3})
    display.job_started("torch trial 0", {"training.lr": 0.00123}, "trial")
    display.job_step("torch trial 0", step(1, 100))
    display.job_epoch("torch trial 0", record(1, 0.75))
    display.job_ended("torch trial 0", "complete", 0.75)
    display.end()
    lines = text.getvalue().splitlines()
    assert lines[0] == "2 trials, up to 3 confirm runs to do"
    assert lines[1] == ("  torch trial 0: epoch 1  train loss 0.5000  validation loss 0.4000  accuracy 75.0 %  (1.0 s)")
    assert lines[2] == "torch trial 0  lr 0.00123  complete  validation accuracy 75.0 %  (0 s)"
    assert lines[3] == "  1 complete  4 to begin  best validation accuracy 75.0 %  about 0 s left"


def test_the_best_score_is_that_of_a_trial_that_a_search_may_choose() -> None:
    display, _ = shown(terminal=True)
    for number, (outcome, value) in enumerate([("complete", 0.75), ("pruned", 0.8)]):
        display.job_started(f"torch trial {number}", {}, "trial")
        display.job_ended(f"torch trial {number}", outcome, value)
    assert "best validation accuracy 75.0 %" in display.status()


def test_epochs_shorter_than_a_report_are_shown() -> None:
    display, _ = shown(terminal=True)
    display.job_started("torch trial 1", {}, "trial")
    display.job_epoch("torch trial 1", record(3, 0.75))
    text = io.StringIO()
    Console(file=text, width=140).print(display.table())
    row = text.getvalue().splitlines()[1]
    assert [part for part in row.split() if part[0].isdigit()] == ["1", "3", "0.500", "75.0"]
    assert "left" not in display.status()


def test_a_table_on_a_terminal() -> None:
    display, _ = shown(terminal=True)
    display.begin({"trial": 4, "confirm": 2})
    try:
        display.job_started("torch trial 0", {"training.lr": 0.1}, "trial")
        display.job_ended("torch trial 0", "pruned", 0.61)
        display.job_started("torch trial 1", {"training.lr": 0.00123, "model.layers": 2}, "trial")
        display.job_step("torch trial 1", step(2, 150))
        display.job_epoch("torch trial 1", record(1, 0.8125))
        display.job_epoch("torch trial 1", record(2, 0.75))
        display.tick({"trial": 2, "confirm": 2})
        text = io.StringIO()
        Console(file=text, width=140).print(display.table())
    finally:
        display.end()
    header, row, caption = text.getvalue().splitlines()[:3]
    assert header.split() == ["run", "settings", "epoch", "loss", "accuracy", "reviews/s", "left"]
    for part in ("torch trial 1", "lr 0.00123  layers 2", "2/4", "0.512", "81.2 %", "75"):
        assert part in row
    assert "1 pruned  4 to begin  about 0 s left" in caption


def test_a_long_silence_in_a_pipe_is_broken_by_how_long_it_will_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gru_bench.sweep.console.progress.STATUS_SECONDS", 0.0)
    display, text = shown(terminal=False)
    display.begin({"confirm": 3})
    display.tick({"confirm": 3})
    assert "left" not in text.getvalue()  # nothing runs yet
    display.job_started("torch seed 1", {}, "confirm")
    display.job_step("torch seed 1", step(1, 100))
    display.tick({"confirm": 2})
    assert re.search(r"2 to begin  about \d+ s left", text.getvalue())


@pytest.mark.parametrize("terminal", [True, False])
def test_a_study_of_which_nothing_is_left_says_so(terminal: bool) -> None:
    display, text = shown(terminal)
    display.begin({"trial": 0, "confirm": 0, "ablation": 0}, done=True)
    display.search_ended("torch", ({"training.lr": 0.001}, 0.875), 0)
    display.end()
    said = text.getvalue()
    assert "all runs of the study are done" in said
    assert "to do" not in said
    assert "torch: best of the search lr 0.001  validation accuracy 87.5 %\n" in said


def test_runs_of_other_processes_are_not_called_done() -> None:
    display, text = shown(terminal=False)
    display.begin({"trial": 0, "confirm": 0})
    assert text.getvalue() == "other processes train the remaining runs\n"


def test_what_is_left_to_do_is_counted() -> None:
    display, text = shown(terminal=False)
    display.begin({"trial": 0, "confirm": 1, "ablation": 20})
    display.search_ended("torch", ({"training.lr": 0.001}, 0.875), 1)
    assert text.getvalue().splitlines() == [
        "1 confirm run, 20 ablation runs to do",
        "torch: best of the search lr 0.001  validation accuracy 87.5 %; now 1 confirm run"]


def test_epochs_of_an_earlier_start_are_not_shown_as_trained_now() -> None:
    display, text = shown(terminal=False)
    display.begin({"trial": 1})
    for label, epoch, epochs in (("torch trial 0", 3, 3), ("torch trial 1", None, 2), ("torch trial 2", 1, 1)):
        display.job_started(label, {}, "trial")
        display.job_resumed(label, epoch)
        for number in range(1, epochs + 1):
            display.job_epoch(label, record(number, 0.5 + number / 10))
    assert [line.partition("  train")[0].strip() for line in text.getvalue().splitlines()[1:]] == [
        "torch trial 0: resumed at epoch 3 from the checkpoint of an earlier start",
        "torch trial 0: epoch 3",
        "torch trial 1: all epochs were trained by an earlier start",
        "torch trial 2: epoch 1"]
    assert "80.0 %" in "".join(str(cell) for column in display.table().columns for cell in column.cells)
