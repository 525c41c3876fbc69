"""The learning curves have a panel of losses and one of accuracies, and curves of each model that is drawn."""

from __future__ import annotations

import pytest

from gru_bench.report.sections.learning import learning
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study, many_studies
from tests.support.renderings import Built, curves_in, drawing_of, figure_of
from tests.support.sections import build_only


def test_the_curves_are_those_of_the_values(built: Built) -> None:
    figure = figure_of(built.report, "curves")
    axes_of = drawing_of(figure).axes
    assert [axes.get_title(loc="left") for axes in axes_of] == ["loss", "validation accuracy, %"]
    mentions(figure.caption, "The training loss is dashed")
    assert "models are drawn" not in figure.caption
    for axes, panels in zip(axes_of, (["training loss", "validation loss"], ["validation accuracy, %"]), strict=True):
        models = [[row for row in figure.values.records() if (row["panel"], row["series"]) == (panel, model)]
                  for panel in panels for model in figure.values.groups("series")]
        assert curves_in(axes) == [[(row["iteration"], row["mean"]) for row in rows] for rows in models]
        # Each has a band from the lowest to the highest seed.
        bands = [band.get_paths()[0].get_extents() for band in axes.collections]
        assert [band.ymax for band in bands] == [pytest.approx(max(row["high"] for row in rows)) for rows in models]
    dashed = [line.get_linestyle() == "--" for line in axes_of[0].lines if len(line.get_xdata())]
    assert dashed == [True] * 3 + [False] * 3
    assert all(line.get_visible() for axes in axes_of for line in axes.get_ygridlines())


def test_the_first_six_of_many_models_are_drawn() -> None:
    store, studies = many_studies(8, TestSet.draw(60), seeds=2)
    figure = figure_of(build_only(studies, store, learning), "curves")
    drawn = drawing_of(figure)
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == [f"Torch GRU (study {i})" for i in range(6)]
    assert [len(axes.collections) for axes in drawn.axes] == [12, 6]
    mentions(figure.caption, "The first 6 of 8 models are drawn")
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
