"""The figure of the learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gru_bench.report.document.figure import Figure, Line, Panel, Series, Values, of_models
from gru_bench.report.figures.style import (
    MARKERS,
    Style,
    draw_line,
    few_ticks,
    name_series,
    new_figure,
    share_axis,
    short,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

OVERLAID = 6
"""Most models whose curves share axes; with more, each has axes of its own."""
PARTS = ("training", "validation")
"""The series where each model has axes of its own."""


def curves_figure(values: Values, alternative: str) -> Figure:
    """Return the learning curves: models over one another while few, else side by side.

    Args:
        values: The points of the curves, with columns `panel`, `series`, `epoch`, `mean`, `low`, `high`. The panels
            are quantities and the series models, or the panels are models and the series are `PARTS`.
        alternative: The numbers in words.
    """
    names = values.distinct("series")
    overlaid = not set(names) <= set(PARTS)
    by_panel: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for point in values.records():
        by_panel.setdefault(point["panel"], {}).setdefault(point["series"], []).append(point)
    panels = tuple(
        Panel(title, tuple(_line(points, names.index(name)) for name, points in lines.items()),
              1 if title.endswith("%") else 3)
        for title, lines in by_panel.items())
    loss = "mean over seeds, with a band from the lowest to the highest seed."
    if overlaid:
        titles = [panel.title for panel in panels]
        losses = " and ".join(title for title in titles if title.endswith("loss"))
        accuracy = ["validation accuracy"] if titles[-1].endswith("%") else []
        what = ", and ".join([f"{losses}, in nats per review"] * bool(losses) + accuracy)
        caption = f"{what[:1].upper()}{what[1:]}, by epoch: {loss}"
    else:
        caption = f"Training loss (line) and validation loss (dashed), in nats per review, by epoch: {loss}"
    return Figure(
        "curves", caption, alternative, values,
        lambda style: _overlaid(panels, names, style) if overlaid else _side_by_side(panels, style),
        of_models(names) if overlaid else tuple(Series(name, None) for name in names), panels,
    )


def _line(points: Sequence[Mapping[str, Any]], series: int) -> Line:
    x, mean, low, high = (tuple(point[column] for point in points) for column in ("epoch", "mean", "low", "high"))
    # The loss by window has points between epochs.
    return Line(series, x, mean, low, high, dense=not all(float(epoch).is_integer() for epoch in x))


def _overlaid(panels: Sequence[Panel], labels: Sequence[str], style: Style) -> Drawing:
    """Draw a panel for each quantity."""
    from matplotlib.lines import Line2D

    figure, axes_of = _grid(panels, 0.9, style, sharey="none")
    for panel, axes in zip(panels, axes_of, strict=True):
        for line in panel.lines:
            draw_line(axes, line, style, line.series, dashed=False)
        axes.set_title(panel.title, loc="left", color=style.faint)
        if panel.title.endswith("%"):
            share_axis(axes, "y")
        few_ticks(axes.yaxis, 5, (1, 2, 2.5, 5, 10))
    handles = [Line2D([], [], color=style.color(place), marker=MARKERS[place % len(MARKERS)], markersize=4.5,
                      label=short(label, 30, 1)) for place, label in enumerate(labels)]
    name_series(figure, len(labels), style, handles)
    return figure


def _side_by_side(panels: Sequence[Panel], style: Style) -> Drawing:
    """Draw a panel for each model."""
    from matplotlib.lines import Line2D

    figure, axes_of = _grid(panels, 0.6, style, sharey="all")
    for number, (panel, axes) in enumerate(zip(panels, axes_of, strict=True)):
        for line in panel.lines:
            draw_line(axes, line, style, number, dashed=line.series == 1)
        axes.set_title(short(panel.title.removesuffix(", loss"), 26), loc="left", color=style.ink)
        few_ticks(axes.yaxis, 5, (1, 2, 2.5, 5, 10))
    figure.supylabel("loss", fontsize=style.size)
    handles = [Line2D([], [], color=style.faint, label="training"),
               Line2D([], [], color=style.faint, linestyle=(0, (3, 2)), marker="o", markersize=3.5,
                      label="validation")]
    axes_of[0].legend(handles=handles, frameon=False, fontsize=style.size - 1, handlelength=2.2, loc="upper right")
    return figure


def _grid(panels: Sequence[Panel], margin: float, style: Style, sharey: str) -> tuple[Drawing, list[Axes]]:
    """Return a figure and the axes of its panels, with epochs along x; `margin` is the height of all else in inches."""
    columns = min(1 if style.narrow and len(panels) <= 3 else 2 if style.narrow else 3, len(panels))
    rows = -(-len(panels) // columns)
    figure, grid = new_figure(style, margin + 2.1 * rows, columns, rows, sharex=True, sharey=sharey)
    for axes in grid.flat[len(panels):]:
        axes.set_visible(False)
    axes_of = list(grid.flat[:len(panels)])
    for axes in axes_of:
        few_ticks(axes.xaxis, 5, whole=True)
        axes.grid(axis="y", linewidth=0.5)
    figure.supxlabel("epoch", fontsize=style.size)
    return figure, axes_of
