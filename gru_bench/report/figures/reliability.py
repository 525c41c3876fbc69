"""The figure of reliability: accuracy by confidence."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from gru_bench.report.document.figure import Figure, Line, Panel, Values
from gru_bench.report.document.numbers import Number
from gru_bench.report.figures.curves import OVERLAID, draw_panels, not_drawn
from gru_bench.report.figures.style import Style, in_percent, share_axis

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

LEAST = 30
"""Predictions of a seed in a range of confidence below which their accuracy is known to ten points only, or worse."""


def few(share: Number) -> bool:
    """Return whether so small a share of the predictions, a mean over seeds, says little about their accuracy."""
    # Rounded before it is compared, since a share of whole reviews is no exact number.
    predictions = round((share.value or 0.0) * (share.examples or 0) * len(share.runs))
    return predictions < LEAST * len(share.runs)


def reliability_figure(values: Values) -> Figure:
    """Return the figure of accuracy by confidence."""
    parts = values.groups("model")
    ranges = {model: _drawn(part) for model, part in parts.items()}
    models = tuple(ranges)[:OVERLAID]
    panel = Panel("accuracy, %", tuple(
        Line.through(place, [(100 * row["confidence"].value, *in_percent(row["accuracy"])) for row in ranges[model]])
        for place, model in enumerate(models)), "confidence, %,")
    left_out = any(len(ranges[model]) < len(part.rows) for model, part in parts.items())
    rest = f" Ranges with fewer than {LEAST} predictions of a seed are left out; the table has them."
    words = "; ".join(
        f"{model}: " + ", ".join(f"{row['accuracy'].text} % correct at {row['confidence'].text} %" for row in rows)
        for model, rows in ranges.items())
    return Figure(
        "reliability",
        "How often predictions of a given confidence are correct: means over seeds, with a band from the lowest to the "
        "highest seed. On the dotted line confidence equals accuracy; below it a model is overconfident."
        f"{rest if left_out else ''}{not_drawn(ranges)}",
        f"Accuracy by confidence. {words}.", values, partial(_reliability, panel, models), models, (panel,))


def _drawn(ranges: Values) -> list[dict[str, Any]]:
    """Return the ranges of a model that are drawn: those with enough predictions, or all where none has."""
    return [row for row in ranges.records() if not few(row["share of predictions"])] or ranges.records()


def _reliability(panel: Panel, models: Sequence[str], style: Style) -> Drawing:
    figure, (axes,) = draw_panels([panel], models, style, 3.3)
    axes.plot([50, 100], [50, 100], color=style.faint, linestyle=(0, (1, 2)), linewidth=1, zorder=0)
    share_axis(axes, "x", "y")
    lowest = min(min(line.low) for line in panel.lines)
    axes.set(xlim=(49.5, 100.5), ylim=(max(0, min(49.5, lowest - 1)), 100.5), ylabel="accuracy, %",
             xlabel="confidence, %" if style.narrow else "confidence: probability of the predicted class, %")
    return figure
