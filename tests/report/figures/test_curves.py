"""The learning curves have a panel for each quantity and a curve for each model that is drawn."""

from __future__ import annotations

import pytest

from gru_bench.report.sections.learning import learning
from tests.support.fake_store import FakeStore, TestSet, add_study, many_studies
from tests.support.renderings import Built, curves_in, drawing_of, figure_of
from tests.support.sections import build_only


def test_the_curves_are_those_of_the_values(built: Built) -> None:
    figure = figure_of(built.report, "curves")
    axes_of = drawing_of(figure).axes
    assert [axes.get_title(loc="left") for axes in axes_of] == [
        "training loss", "validation loss", "validation accuracy, %"]
    models = [[row for row in figure.values.records() if (row["panel"], row["series"]) == ("validation loss", model)]
              for model in figure.values.groups("series")]
    assert curves_in(axes_of[1]) == [[(row["epoch"], row["mean"]) for row in rows] for rows in models]
    # Each has a band from the lowest to the highest seed.
    bands = [band.get_paths()[0].get_extents() for band in axes_of[1].collections]
    assert [band.ymax for band in bands] == [pytest.approx(max(row["high"] for row in rows)) for rows in models]


def test_the_first_six_of_many_models_are_drawn() -> None:
    store, studies = many_studies(8, TestSet.draw(60), seeds=2)
    figure = figure_of(build_only(studies, store, learning), "curves")
    drawn = drawing_of(figure)
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == [f"Torch GRU (study {i})" for i in range(6)]
    assert all(len(axes.collections) == 6 for axes in drawn.axes)
    assert "Torch GRU (study 7)" in figure.values.csv()


def test_runs_without_validation_have_curves_of_the_training_loss_only() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=2, test_set=TestSet.draw(50))
    for metrics in store.metrics.values():
        del metrics["loss/val"], metrics["accuracy/val"]
    curves = figure_of(build_only([study], store, learning), "curves")
    assert "validation" not in curves.caption
    (axes,) = drawing_of(curves).axes
    assert axes.get_title(loc="left") == "training loss"
