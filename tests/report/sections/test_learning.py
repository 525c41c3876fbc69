"""Learning curves are means over seeds, with their range."""

from __future__ import annotations

import numpy as np
import pytest

from gru_bench.report.sections.learning import learning
from tests.support.fake_store import FakeStore, TestSet, add_study
from tests.support.renderings import Built, column_of, figure_of, number_in, section_of
from tests.support.sections import build_only


def test_curves_are_means_with_the_range_of_seeds(built: Built) -> None:
    store, studies, report = built
    runs = [run.run_id for run in studies[0].confirms]
    drawn = [point for point in figure_of(report, "curves").values.records()
             if (point["panel"], point["series"]) == ("validation loss", "Scratch GRU")]
    batch = int(studies[0].confirms[0].params["training.batch_size"])
    assert [point["iteration"] for point in drawn] == [epoch * -(-16_384 // batch) for epoch in (1, 2, 3, 4)]
    values = [dict(store.metrics[run]["loss/val"])[2] for run in runs]
    assert drawn[1]["mean"] == pytest.approx(np.mean(values))
    assert (drawn[1]["low"], drawn[1]["high"]) == (min(values), max(values))


def test_the_training_loss_is_drawn_by_iteration(built: Built) -> None:
    store, studies, report = built
    logged = [dict(store.metrics[run.run_id]["loss/train_window"]) for run in studies[0].confirms]
    points = [point for point in figure_of(report, "curves").values.records()
              if (point["panel"], point["series"]) == ("training loss", "Scratch GRU")]
    assert [point["iteration"] for point in points] == list(logged[0])
    for step, point in zip(logged[0], points, strict=True):
        losses = [run[step] for run in logged]
        assert point["mean"] == pytest.approx(np.mean(losses))
        assert (point["low"], point["high"]) == (min(losses), max(losses))


def test_an_epoch_that_only_some_seeds_reached_is_the_mean_of_these() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, test_set=TestSet.draw(50))
    short = study.confirms[0].run_id
    store.metrics[short] = {name: points[:2] for name, points in store.metrics[short].items()}
    report = build_only([study], store, learning)
    drawn = [point["mean"] for point in figure_of(report, "curves").values.records()
             if point["panel"] == "validation loss"]
    by_epoch = [[dict(store.metrics[run.run_id]["loss/val"])[epoch] for run in study.confirms
                 if epoch <= 2 or run.run_id != short] for epoch in (1, 2, 3, 4)]
    assert [len(values) for values in by_epoch] == [5, 5, 4, 4]
    assert drawn == pytest.approx([np.mean(values) for values in by_epoch])


def test_the_mean_best_epoch_of_each_model_is_shown(built: Built) -> None:
    assert [one.text for one in column_of(built.report, "learning", "Best epoch")] == ["3.0"] * 3


def test_runs_of_two_epochs_have_curves_and_a_table_of_their_epochs() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=3, epochs=2, test_set=TestSet.draw(50))
    report = build_only([study], store, learning)
    drawn = [point for point in figure_of(report, "curves").values.records() if point["panel"] == "validation loss"]
    assert len(drawn) == 2
    assert drawn[1]["iteration"] == 2 * drawn[0]["iteration"]
    assert not section_of(report, "learning").is_folded
    for epoch in (1, 2):
        values = [dict(store.metrics[run.run_id]["accuracy/val"])[epoch] for run in study.confirms]
        shown = number_in(column_of(report, "learning", f"Epoch {epoch}")[0])
        assert (shown.value, shown.low, shown.high) == (pytest.approx(np.mean(values)), min(values), max(values))


def test_a_training_loss_of_fewer_than_three_windows_is_drawn_at_the_end_of_each_epoch() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=2, test_set=TestSet.draw(50))
    for metrics in store.metrics.values():
        metrics["loss/train_window"] = metrics["loss/train_window"][:2]
    points = figure_of(build_only([study], store, learning), "curves").values.groups("panel")
    assert points["training loss"].column("iteration") == points["validation loss"].column("iteration")
    losses = [dict(store.metrics[run.run_id]["loss/train"])[1] for run in study.confirms]
    assert points["training loss"].column("mean")[0] == pytest.approx(np.mean(losses))


def test_runs_without_a_curve_have_no_figure() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=2, test_set=TestSet.draw(50))
    store.metrics.clear()
    section = section_of(build_only([study], store, learning), "learning")
    assert section.figures == ()
