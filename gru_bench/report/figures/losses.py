"""The figure of the homework's training losses: one panel for each model, one line for each seed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from gru_bench.report.document.report import LossCurve
from gru_bench.report.figures.figure import Panel, Picture
from gru_bench.report.figures.style import PANELS, Line, Style, new_figure, short


def loss_picture(curves: Sequence[LossCurve]) -> Picture:
    """Return the figure: a panel for each model, with a line for each seed and one for their mean."""
    shown = curves[:PANELS]
    return Picture(
        "training-loss",
        f"Training loss, in nats per review, averaged over each {shown[0].window.text} iterations: each seed (thin) "
        "and the mean over seeds, with one panel for each model.",
        _words(shown),
        partial(_losses, shown),
        [("model", "seed", "iteration", "loss"),
         *((curve.label, name, *point) for curve in curves for name, points in curve.seeds for point in points)],
        panels=tuple(Panel(curve.label, (_mean(curve),), 3, "iteration") for curve in shown),
    )


def _mean(curve: LossCurve) -> Line:
    """Return the mean over seeds at the iterations that all of them have."""
    by_seed = [dict(points) for _, points in curve.seeds]
    steps = sorted(set.intersection(*(set(points) for points in by_seed)))
    loss_RS = np.array([[points[step] for step in steps] for points in by_seed])
    return Line(0, tuple(steps), tuple(loss_RS.mean(0)), tuple(loss_RS.min(0)), tuple(loss_RS.max(0)), dense=True)


def _losses(curves: Sequence[LossCurve], style: Style) -> Figure:
    columns = min(1 if style.narrow else 3, len(curves))
    rows = -(-len(curves) // columns)
    figure, grid = new_figure(style, 0.5 + 2.2 * rows, columns, rows, sharex=True, sharey=True)
    for place, axes in enumerate(grid.flat):
        if place >= len(curves):
            axes.set_visible(False)
            continue
        _panel(axes, curves[place], place, style)
    figure.supxlabel("iteration, thousands", fontsize=style.size)
    figure.supylabel("training loss", fontsize=style.size)
    return figure


def _panel(axes: Axes, curve: LossCurve, place: int, style: Style) -> None:
    color = style.color(place)
    for _, points in curve.seeds:
        axes.plot(*zip(*points, strict=True), color=color, linewidth=0.7, alpha=0.45)
    mean = _mean(curve)
    if len(curve.seeds) > 1:
        axes.plot(mean.x, mean.mean, color=color, linewidth=1.6)
    axes.set_title(short(curve.label, 26), loc="left")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step / 1000:g}"))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.grid(axis="y", linewidth=0.5)


def _words(curves: Sequence[LossCurve]) -> str:
    parts = [
        f"{curve.label}, over {len(curve.seeds)} seeds, from {curve.first.text} to {curve.last.text}, at its lowest "
        f"{curve.lowest.text}"
        for curve in curves
    ]
    return "Training loss in nats per review by iteration. " + "; ".join(parts) + "."
