"""The figure of reliability is drawn from its table, without ranges of few predictions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gru_bench.report.build import build
from gru_bench.report.figures.curves import few
from tests.support.fake_store import FakeStore, TestSet, add_study, three_models
from tests.support.renderings import Rendered, column_of, figure_of, said, table_of, words_of


def test_each_curve_is_that_of_the_table(three: Rendered) -> None:
    figure = figure_of(three.report, "reliability")
    (panel,) = figure.panels
    for line, series in zip(panel.lines, figure.series, strict=True):
        rows = [row for row in figure.values.records()
                if row["model"] == series and not few(row["share of predictions"])]
        assert len(rows) > 2
        assert line.x == tuple(100 * row["confidence"].value for row in rows)
        assert line.mean == tuple(100 * row["accuracy"].value for row in rows)
        assert line.low == tuple(100 * row["accuracy"].low for row in rows)
        assert line.high == tuple(100 * row["accuracy"].high for row in rows)
        assert f"{rows[-1]['accuracy'].text} % correct at {rows[-1]['confidence'].text} %" in figure.alternative


def test_a_range_of_few_predictions_is_marked_in_the_table_and_not_drawn() -> None:
    store, (study, *_) = three_models(test_set=TestSet.draw(200))
    for key, p in store.predicted.items():
        sure_N = np.select([np.arange(200) < 29, np.arange(200) < 59], [0.62, 0.72], 0.97)
        store.predicted[key] = replace(p, probability_N=np.where(p.label_N == 1, sure_N, 1 - sure_N).astype(np.float32))
    report = build([study], store)
    assert [said(cell) for cell in column_of(report, "reliability", "Predictions")] == ["14.5 (few)", "15.0", "70.5"]
    assert "fewer than 30 predictions of a seed" in said(table_of(report, "reliability").captioned())
    figure = figure_of(report, "reliability")
    assert [round(x) for x in figure.panels[0].lines[0].x] == [72, 97]
    assert "fewer than 30 predictions of a seed are left out" in figure.caption
    assert len(figure.values.rows) == 3


def test_a_model_with_few_predictions_in_each_range_is_drawn_whole() -> None:
    store, (study, *_) = three_models(test_set=TestSet.draw(40))
    figure = figure_of(build([study], store), "reliability")
    assert len(figure.panels[0].lines[0].x) == len(figure.values.rows) > 2
    assert "left out" not in figure.caption


@pytest.mark.usefixtures("undrawn")
def test_weights_of_the_classes_are_told_where_confidence_is_judged() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 1.0}, test_set=TestSet.draw(200))
    assert "meant to be calibrated" not in words_of(build([study], store, experiment="e"), "reliability")
    weighed = replace(study, confirms=tuple(
        replace(run, params={**run.params, "training.class_weight": "balanced"}) for run in study.confirms))
    assert "Torch GRU: trained with weights of the classes" in words_of(
        build([weighed], store, experiment="e"), "reliability")
