"""The figure of ROC curves and precision-recall curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from gru_bench.report.document.figure import Figure, Line, Panel, Values
from gru_bench.report.document.numbers import written
from gru_bench.report.figures.curves import draw_panels
from gru_bench.report.figures.style import Style, share_axis

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

ROC = "ROC"
PRECISION_RECALL = "precision-recall"
AXES = {ROC: ("false positive rate", "true positive rate"), PRECISION_RECALL: ("recall", "precision")}
"""Curve -> the names of its axes."""
CHANCE = "chance"
"""Stands for a model in the rows of the curves that chance would give."""
RATES = (0.05, 0.1, 0.2)
RECALLS = (0.5, 0.8, 0.9, 0.95)
"""False positive rates and recalls at which words and tables read the curves off."""

Points = Mapping[tuple[Any, ...], Values]
"""Curve and model -> its points."""


def thresholds_figure(name: str, values: Values) -> Figure:
    """Return the figure of the ROC curve and the precision-recall curve of each model."""
    points = values.groups("curve", "model")
    models = [model for model in values.distinct("model") if model != CHANCE]
    panels = tuple(
        Panel(f"{y}, %", tuple(_line(place, points[curve, model]) for place, model in enumerate(models)), f"{x}, %,")
        for curve, (x, y) in AXES.items())
    of = f" of {models[0]}" if len(models) == 1 else ""
    return Figure(
        name,
        f"True positive rate by false positive rate (ROC), and precision by recall{of}, over all thresholds on the "
        "probability of label 1: means over seeds, with a band from the lowest to the highest seed. The areas below "
        "the curves are the ROC area and the average precision. Dashed lines are what chance would give.",
        _words(points, models), values, partial(_thresholds, points, panels, models), tuple(models), panels)


def _line(series: int, points: Values) -> Line:
    return Line(series, *(tuple(100 * share for share in points.column(name)) for name in ("x", "mean", "low", "high")))


def _thresholds(points: Points, panels: Sequence[Panel], models: Sequence[str], style: Style) -> Drawing:
    figure, axes_of = draw_panels(panels, models, style, 0.0, 3.1)
    for axes, panel, (curve, (x, y)) in zip(axes_of, panels, AXES.items(), strict=True):
        chance = [100 * share for share in points[curve, CHANCE].column("mean")]
        axes.plot([0, 100], chance, color=style.faint, linestyle=(0, (3, 2)), linewidth=0.9, zorder=0)
        share_axis(axes, "x", "y")
        lowest = min(chance[0], *(min(line.low) for line in panel.lines))
        axes.set(xlim=(0, 100), ylim=(max(0.0, lowest - 0.05 * (100 - lowest)), 100), xlabel=f"{x}, %",
                 ylabel=f"{y}, %")
        axes.grid(axis="x", linewidth=0.5)
        axes.set_title(curve, loc="left", color=style.faint)
    return figure


def _words(points: Points, models: Sequence[str]) -> str:
    """Return some points of the curves in words."""

    def at(curve: str, model: str, places: Sequence[float]) -> str:
        means = {point["x"]: point["mean"] for point in points[curve, model].records()}
        return ", ".join(f"{written(means[place], 'percent')} % at {100 * place:.0f} %" for place in places)

    parts = [f"{model}: true positive rate {at(ROC, model, RATES)} false positive rate; "
             f"precision {at(PRECISION_RECALL, model, RECALLS)} recall" for model in models]
    return "ROC and precision-recall curves. " + ". ".join(parts) + "."
