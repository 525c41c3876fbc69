"""The figure of reliability is drawn from its table, without ranges of few predictions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gru_bench.report.figures.curves import few
from gru_bench.report.sections.reliability import reliability
from gru_bench.stats.metrics import of_two
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study
from tests.support.renderings import Built, column_of, figure_of, said, table_of, words_of
from tests.support.sections import build_only


def test_each_curve_is_that_of_the_table(built: Built) -> None:
    figure = figure_of(built.report, "reliability")
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
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=2, test_set=TestSet.draw(200))
    for key, p in store.predicted.items():
        sure_N = np.select([np.arange(200) < 29, np.arange(200) < 59], [0.62, 0.72], 0.97)
        store.predicted[key] = replace(
            p, probability_NC=of_two(np.where(p.label_N == 1, sure_N, 1 - sure_N).astype(np.float32)))
    report = build_only([study], store, reliability)
    assert [said(cell) for cell in column_of(report, "reliability", "Predictions")] == ["14.5 (few)", "15.0", "70.5"]
    assert "fewer than 30 predictions" in said(table_of(report, "reliability").captioned())
    figure = figure_of(report, "reliability")
    assert [round(x) for x in figure.panels[0].lines[0].x] == [72, 97]
    mentions(figure.caption, "fewer than 30 predictions", "left out")
    assert len(figure.values.rows) == 3


def test_a_model_with_few_predictions_in_each_range_is_drawn_whole() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, test_set=TestSet.draw(40))
    figure = figure_of(build_only([study], store, reliability), "reliability")
    assert len(figure.panels[0].lines[0].x) == len(figure.values.rows) > 2
    assert "left out" not in figure.caption


def test_the_section_names_models_trained_with_class_weights() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 1.0}, seeds=2, test_set=TestSet.draw(50))
    assert "weights of the classes" not in words_of(build_only([study], store, reliability), "reliability")
    weighed = replace(study, confirms=tuple(
        replace(run, params={**run.params, "training.class_weight": "balanced"}) for run in study.confirms))
    mentions(words_of(build_only([weighed], store, reliability), "reliability"), "Torch GRU", "weights of the classes")
