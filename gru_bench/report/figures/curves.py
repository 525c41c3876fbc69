"""The curves that figures share, each with a band, and the figure of the learning curves."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from gru_bench.report.document.figure import Figure, Line, Panel, Values
from gru_bench.report.figures.style import Style, few_ticks, name_series, new_figure, share_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

OVERLAID = 6
"""Most models whose curves share axes: as many as can be told apart."""
DENSE = 24
"""Points of a curve from which on it has too many for a mark each."""


def curves_figure(values: Values, alternative: str) -> Figure:
    """Return the learning curves of the models, with one panel for each quantity.

    Args:
        values: The points of the curves, with columns `panel`, `series`, `epoch`, `mean`, `low`, `high`. The panels
            are quantities and the series models.
        alternative: The numbers in words.
    """
    models = values.distinct("series")
    panels = tuple(_panel(title, points, models[:OVERLAID]) for title, points in values.groups("panel").items())
    losses = " and ".join(panel.title for panel in panels if panel.title.endswith("loss"))
    what = ", and ".join([f"{losses}, in nats per review"] * bool(losses)
                         + ["validation accuracy"] * panels[-1].title.endswith("%"))
    return Figure(
        "curves",
        f"{what.capitalize()}, by epoch: mean over seeds, with a band from the lowest to the highest seed."
        f"{not_drawn(models)}",
        alternative, values, partial(_learning, panels, models[:OVERLAID]), tuple(models[:OVERLAID]), panels)


def _panel(title: str, points: Values, models: Sequence[str]) -> Panel:
    curves = points.groups("series")
    lines = tuple(Line(place, *(tuple(curves[model].column(name)) for name in ("epoch", "mean", "low", "high")))
                  for place, model in enumerate(models) if model in curves)
    return Panel(title, lines, "epoch", 1 if title.endswith("%") else 3)


def _learning(panels: Sequence[Panel], models: Sequence[str], style: Style) -> Drawing:
    figure, axes_of = draw_panels(panels, models, style, 0.7, 2.1, sharex=True)
    for panel, axes in zip(panels, axes_of, strict=True):
        axes.set_title(panel.title, loc="left", color=style.faint)
        if panel.title.endswith("%"):
            share_axis(axes, "y")
        few_ticks(axes.xaxis, 5, whole=True)
        few_ticks(axes.yaxis, 5, (1, 2, 2.5, 5, 10))
    figure.supxlabel("epoch", fontsize=style.size)
    return figure


def not_drawn(models: Collection[str]) -> str:
    """Return the words of a caption on the models that are not drawn, if there are any."""
    return f" The first {OVERLAID} of {len(models)} models are drawn." if len(models) > OVERLAID else ""


def draw_panels(
    panels: Sequence[Panel], names: Sequence[str], style: Style, height: float, row: float = 0.0, **options: Any
) -> tuple[Drawing, list[Axes]]:
    """Draw the curves of some panels, with the names of their series, and return the axes of the panels.

    Args:
        panels: The panels, at most three of which stand beside one another.
        names: Names of the series.
        style: The style.
        height: Inches on a page, without rows and names.
        row: Inches of each row of panels.
        options: For the axes.
    """
    figure, axes_of = new_figure(style, height, len(panels), 1 if style.narrow else 3, row, len(names), **options)
    for panel, axes in zip(panels, axes_of, strict=True):
        for line in panel.lines:
            _draw_line(axes, line, style)
        axes.grid(axis="y", linewidth=0.5)
    name_series(figure, names, style)
    return figure, axes_of


def _draw_line(axes: Axes, line: Line, style: Style) -> None:
    """Draw a curve and its band, with the marks of its series."""
    gid, points = f"series-{line.series}", len(line.x)
    dense = points > DENSE
    # A few marks along a dense curve, not at the same places as its neighbours'.
    every = (points * (1 + line.series % 4) // 20, points // 4) if dense else None
    axes.fill_between(line.x, line.low, line.high, color=style.color(line.series), alpha=0.18, linewidth=0, gid=gid)
    axes.plot(line.x, line.mean, gid=gid, linewidth=1.1 if dense else 1.4, markersize=3.6 if dense else 4.2,
              markevery=every, **style.mark(line.series))
