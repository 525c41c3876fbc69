"""The figure of ROC and precision-recall curves is drawn from its values."""

from __future__ import annotations

import pytest

from gru_bench.report.document.figure import Values
from gru_bench.report.figures.curves import CHANCE, PRECISION_RECALL, ROC, thresholds_figure
from tests.support.commands import mentions
from tests.support.renderings import Built, curves_in, drawing_of, figure_of


def test_curves_are_those_of_the_values(built: Built) -> None:
    figure = figure_of(built.report, "thresholds")
    roc, precision = drawing_of(figure).axes
    assert (roc.get_xlabel(), roc.get_ylabel()) == ("false positive rate, %", "true positive rate, %")
    assert (precision.get_xlabel(), precision.get_ylabel()) == ("recall, %", "precision, %")
    for axes, curve in ((roc, ROC), (precision, PRECISION_RECALL)):
        *curves, _ = curves_in(axes)
        assert len(curves) == 3
        for drawn, model in zip(curves, figure.values.groups("model"), strict=False):
            assert drawn == [(100 * row["x"], 100 * row["mean"]) for row in figure.values.records()
                             if (row["curve"], row["model"]) == (curve, model)]


@pytest.mark.parametrize(("share", "lowest"), [(0.5, 47.5), (0.02, 0.0)])
def test_the_line_of_chance_is_drawn_within_the_axes(share: float, lowest: float) -> None:
    curves = {ROC: ([0.0, 0.05, 0.1, 0.2, 1.0], [0.3, 0.6, 0.8, 0.9, 1.0]),
              PRECISION_RECALL: ([0.5, 0.8, 0.9, 0.95, 1.0], [0.95, 0.9, 0.8, 0.7, share])}
    figure = thresholds_figure("thresholds", Values(("curve", "model", "x", "mean", "low", "high"), (
        *((curve, "A", *point) for curve, (x, y) in curves.items() for point in zip(x, y, y, y, strict=True)),
        (ROC, CHANCE, 0, 0, None, None), (ROC, CHANCE, 1, 1, None, None),
        (PRECISION_RECALL, CHANCE, 0, share, None, None), (PRECISION_RECALL, CHANCE, 1, share, None, None),
    )), "spam")
    mentions(figure.caption, "precision by recall", "class spam")
    roc, precision = drawing_of(figure).axes
    for axes, ends in ((roc, [0, 100]), (precision, [100 * share] * 2)):
        _, chance = curves_in(axes)
        assert [y for _, y in chance] == ends
    assert precision.get_ylim() == pytest.approx((lowest, 100))
