"""The figure of ROC and precision-recall curves is drawn from its table."""

from __future__ import annotations

import numpy as np
import pytest

from gru_bench.report.document.figure import Values
from gru_bench.report.figures.curves import CHANCE, PRECISION_RECALL, RATES, RECALLS, ROC, thresholds_figure
from gru_bench.report.figures.style import NARROW, PAGE, drawing
from tests.support.commands import mentions
from tests.support.renderings import Built, figure_of, table_of


def test_curves_that_are_read_off_are_those_of_the_table(built: Built) -> None:
    figure = figure_of(built.report, "thresholds")
    assert [(panel.title, panel.axis) for panel in figure.panels] == [
        ("true positive rate, %", "false positive rate, %,"), ("precision, %", "recall, %,")]
    for panel, curve in zip(figure.panels, (ROC, PRECISION_RECALL), strict=True):
        for line, series in zip(panel.lines, figure.series, strict=True):
            rows = [row for row in figure.values.records() if (row["curve"], row["model"]) == (curve, series)]
            assert line.x == tuple(100 * row["x"] for row in rows)
            assert line.mean == tuple(100 * row["mean"] for row in rows)
            assert line.high == tuple(100 * row["high"] for row in rows)


def test_the_alternative_text_repeats_the_precisions_of_the_table(built: Built) -> None:
    words = figure_of(built.report, "thresholds").alternative
    for label, *precisions in table_of(built.report, "thresholds").rows:
        mentions(words[words.index(label):], *(f"{number.text} % at {100 * recall:.0f} %"
                                               for number, recall in zip(precisions, RECALLS, strict=True)))


@pytest.mark.parametrize(("share", "lowest"), [(0.5, 47.5), (0.02, 0.0)])
def test_the_line_of_chance_is_drawn_within_the_axes(share: float, lowest: float) -> None:
    curves = {ROC: ([0.0, *RATES, 1.0], [0.3, 0.6, 0.8, 0.9, 1.0]),
              PRECISION_RECALL: ([*RECALLS, 1.0], [0.95, 0.9, 0.8, 0.7, share])}
    figure = thresholds_figure("thresholds", Values(("curve", "model", "x", "mean", "low", "high"), (
        *((curve, "A", *point) for curve, (x, y) in curves.items() for point in zip(x, y, y, y, strict=True)),
        (ROC, CHANCE, 0, 0, None, None), (ROC, CHANCE, 1, 1, None, None),
        (PRECISION_RECALL, CHANCE, 0, share, None, None), (PRECISION_RECALL, CHANCE, 1, share, None, None),
    )), "spam")
    assert (figure.series, len(figure.panels)) == (("A",), 2)
    mentions(figure.caption, "precision by recall of A", "class spam")
    with drawing(PAGE, {}):
        roc, precision = figure.draw(PAGE).axes
    for axes, ends in ((roc, [0, 100]), (precision, [100 * share] * 2)):
        (chance,) = (line for line in axes.lines if line.get_linestyle() == "--")
        assert np.asarray(chance.get_ydata()).tolist() == ends
    assert precision.get_ylim() == pytest.approx((lowest, 100))


def test_the_panels_are_below_one_another_on_a_phone(built: Built) -> None:
    with drawing(NARROW, {}):
        figure = figure_of(built.report, "thresholds").draw(NARROW)
        figure.canvas.draw()
        roc, precision = (axes.get_position() for axes in figure.axes)
    assert roc.y0 > precision.y1
    assert roc.x0 == pytest.approx(precision.x0)
