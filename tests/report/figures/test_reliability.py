"""The figure of reliability is drawn from its values, without ranges of few predictions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gru_bench.report.figures.curves import few
from gru_bench.report.sections.confidence import confidence
from gru_bench.stats.metrics import of_two
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study
from tests.support.renderings import Built, curves_in, drawing_of, figure_of
from tests.support.sections import build_only


def test_each_curve_is_that_of_the_values(built: Built) -> None:
    figure = figure_of(built.report, "reliability")
    (axes,) = drawing_of(figure).axes
    *curves, _ = curves_in(axes)
    for curve, rows in zip(curves, figure.values.groups("model").values(), strict=True):
        drawn = [row for row in rows.records() if not few(row["fraction of predictions"])]
        assert len(drawn) > 2
        assert curve == [(100 * row["confidence"].value, 100 * row["accuracy"].value) for row in drawn]


def test_a_range_of_few_predictions_is_not_drawn() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=2, test_set=TestSet.draw(200))
    for key, p in store.predicted.items():
        sure_N = np.select([np.arange(200) < 29, np.arange(200) < 59], [0.62, 0.72], 0.97)
        store.predicted[key] = replace(
            p, probability_NC=of_two(np.where(p.label_N == 1, sure_N, 1 - sure_N).astype(np.float32)))
    report = build_only([study], store, confidence)
    figure = figure_of(report, "reliability")
    assert [share.text for share in figure.values.column("fraction of predictions")] == ["14.5", "15.0", "70.5"]
    curve, _ = curves_in(drawing_of(figure).axes[0])
    assert [round(x) for x, _ in curve] == [72, 97]
    mentions(figure.caption, "fewer than 30 predictions", "left out")
    assert len(figure.values.rows) == 3


def test_a_model_with_few_predictions_in_each_range_is_drawn_whole() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, test_set=TestSet.draw(40))
    figure = figure_of(build_only([study], store, confidence), "reliability")
    curve, _ = curves_in(drawing_of(figure).axes[0])
    assert len(curve) == len(figure.values.rows) > 2
