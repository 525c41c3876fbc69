"""The training losses are those of the logged windows, in the table and in the figure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gru_bench.report.document.figure import Values
from gru_bench.report.homework.training_loss import training_loss, training_loss_figure
from tests.support.renderings import Built, column_of, curves_in, drawing_of, figure_of
from tests.support.sections import build_only


def test_the_table_contains_the_losses_of_the_windows(made: Built) -> None:
    store, (study,), report = made
    lost = [[loss for _, loss in store.metrics[run.run_id]["loss/train_window"]]
            for run in study.confirms if run.model == "scratch"]
    for heading, pick in (("First", lambda losses: losses[0]), ("Last", lambda losses: losses[-1]), ("Lowest", min)):
        number = column_of(report, "training-loss", heading)[0]
        found = list(map(pick, lost))
        assert (number.value, number.low, number.high) == (pytest.approx(np.mean(found)), min(found), max(found))
    assert column_of(report, "training-loss", "Window")[0].value == 800


def test_the_figure_draws_each_seed_and_their_mean(made: Built) -> None:
    store, (study,), report = made
    figure = figure_of(report, "training-loss")
    assert "each 800 iterations" in figure.caption
    logged = {(run.model, f"seed {run.seed}"): store.metrics[run.run_id]["loss/train_window"] for run in study.confirms}
    shown = figure.values.groups("model", "seed")
    assert len(shown) == len(logged)
    for (model, seed), points in logged.items():
        (own,) = (own for (label, name), own in shown.items() if name == seed and label.lower().startswith(model))
        assert list(zip(own.column("iteration"), own.column("loss"), strict=True)) == points
    scratch = [dict(points) for (model, _), points in logged.items() if model == "scratch"]
    axes = drawing_of(figure).axes
    assert [len(one.lines) for one in axes] == [6, 6, 6]
    mean = curves_in(axes[0])[-1]
    assert [loss for _, loss in mean] == pytest.approx(
        [np.mean([losses[round(1000 * step)] for losses in scratch]) for step, _ in mean])


def test_a_mean_is_of_the_iterations_that_all_seeds_have() -> None:
    rows = [("GRU", "seed 1", 10, 0.7), ("GRU", "seed 1", 20, 0.5), ("GRU", "seed 2", 20, 0.3)]
    figure = training_loss_figure(Values(("model", "seed", "iteration", "loss"), tuple(rows)), "10")
    ((step, loss),) = curves_in(drawing_of(figure).axes[0])[-1]
    assert (step, loss) == pytest.approx((0.02, 0.4))


def test_without_losses_by_window_there_is_no_section(made: Built) -> None:
    store, (study,), report = made
    silent = replace(store, metrics={
        run: {name: points for name, points in found.items() if name != "loss/train_window"}
        for run, found in store.metrics.items()})
    assert "training-loss" in [section.name for section in report.sections]
    assert build_only([study], silent, training_loss).sections[1:] == ()
