"""The figure of reliability: accuracy by confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from gru_bench.report.document.figure import Figure, Line, Panel, Values, of_models
from gru_bench.report.document.numbers import Number
from gru_bench.report.figures.style import PANELS, Style, draw_line, name_series, new_figure, percent_axis, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
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
    models = {model: part.records() for (model,), part in list(values.groups("model").items())[:PANELS]}
    drawn = {model: _drawn(rows) for model, rows in models.items()}
    panel = Panel("accuracy, %", tuple(_line(place, rows) for place, rows in enumerate(drawn.values())), 1,
                  "confidence, %,")
    left_out = any(len(drawn[model]) < len(rows) for model, rows in models.items())
    rest = f" Ranges with fewer than {LEAST} predictions of a seed are left out; the table has them."
    return Figure(
        "reliability",
        "How often predictions of a given confidence are correct: means over seeds, with a band from the lowest to the "
        f"highest seed. On the dotted line confidence equals accuracy; below it a model is overconfident."
        f"{rest if left_out else ''}",
        _words(drawn), values, partial(_reliability, panel, list(drawn)), of_models(list(drawn)), (panel,),
    )


def _drawn(rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return the ranges of a model that are drawn: those with enough predictions, or all where none has."""
    return [row for row in rows if not few(row["share of predictions"])] or rows


def _line(place: int, rows: Sequence[Mapping[str, Any]]) -> Line:
    points = [[100 * row["confidence"].value, *_with_ends(row["accuracy"])] for row in rows]
    x, mean, low, high = zip(*points, strict=True)
    return Line(place, x, mean, low, high)


def _with_ends(number: Number) -> list[float]:
    """Return a share and the ends of its interval in percent: where it has none, the share itself."""
    value = number.value or 0.0
    return [100 * (value if end is None else end) for end in (value, number.low, number.high)]


def _reliability(panel: Panel, models: Sequence[str], style: Style) -> Drawing:
    figure, grid = new_figure(style, 3.3 + 0.2 * -(-len(models) // 3))
    axes: Axes = grid[0, 0]
    for line, model in zip(panel.lines, models, strict=True):
        draw_line(axes, line, style, line.series, dashed=False)
        axes.lines[-1].set_label(short(model, 30, 1))
        # A mark on the edge, as at 100 %, is whole.
        axes.lines[-1].set_clip_on(False)
    lowest = min(min(line.low) for line in panel.lines)
    axes.plot([50, 100], [50, 100], color=style.faint, linestyle=(0, (1, 2)), linewidth=1, zorder=0)
    axes.set(xlim=(49.5, 100.5), ylim=(max(0, min(49.5, lowest - 1)), 100.5))
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    axes.grid(axis="y", linewidth=0.5)
    axes.set_xlabel("confidence, %" if style.narrow else "confidence: probability of the predicted class, %")
    axes.set_ylabel("accuracy, %")
    name_series(figure, len(models), style)
    return figure


def _words(drawn: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    parts = [
        f"{model}: " + ", ".join(f"{row['accuracy'].text} % correct at {row['confidence'].text} %" for row in rows)
        for model, rows in drawn.items()
    ]
    return "Accuracy by confidence. " + "; ".join(parts) + "."
