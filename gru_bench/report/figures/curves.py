"""The figures of curves, each with a band: learning, reliability, and ROC with precision-recall."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from gru_bench.report.document.figure import Figure, Line, Panel, Values
from gru_bench.report.document.numbers import Number, written
from gru_bench.report.document.sentences import listed
from gru_bench.report.figures.style import Style, few_ticks, in_percent, name_series, new_figure, share_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

OVERLAID = 6
"""Most models whose curves share axes: as many as can be told apart."""
DENSE = 24
"""Points of a curve from which on it has too many for a mark each."""
LEAST = 30
"""Predictions of a seed in a range of confidence below which their accuracy is known to ten points only, or worse."""

ROC = "ROC"
PRECISION_RECALL = "precision-recall"
AXES = {ROC: ("false positive rate", "true positive rate"), PRECISION_RECALL: ("recall", "precision")}
"""Curve -> the names of its axes."""
CHANCE = "chance"
"""Stands for a model in the rows of the curves that chance would give."""
RATES = (0.05, 0.1, 0.2)
RECALLS = (0.5, 0.8, 0.9, 0.95)
"""False positive rates and recalls at which words and tables read the curves off."""

Points = Mapping[str, Mapping[str, Values]]
"""Curve and model -> its points."""


def not_drawn(models: Collection[str]) -> str:
    """Return the words of a caption on the models that are not drawn, if there are any."""
    return f" The first {OVERLAID} of {len(models)} models are drawn." if len(models) > OVERLAID else ""


def curves(models: Mapping[str, Sequence[Sequence[float]]]) -> tuple[Line, ...]:
    """Return the curves of the models that are drawn, each through its points: x, mean, lowest and highest."""
    return tuple(Line(place, *zip(*points, strict=True))
                 for place, points in enumerate(list(models.values())[:OVERLAID]) if points)


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


# ---------------------------------------------------------------- learning


def curves_figure(values: Values, alternative: str) -> Figure:
    """Return the learning curves of the models, with one panel for each quantity.

    Args:
        values: The points of the curves, with columns `panel`, `series`, `epoch`, `mean`, `low`, `high`. The panels
            are quantities and the series models.
        alternative: The numbers in words.
    """
    models = list(values.groups("series"))
    drawn = tuple(models[:OVERLAID])
    panels = []
    for title, panel in values.groups("panel").items():
        points: dict[str, list[tuple[float, ...]]] = {model: [] for model in models}
        for row in panel.records():
            points[row["series"]].append((row["epoch"], row["mean"], row["low"], row["high"]))
        panels.append(Panel(title, curves(points), "epoch"))
    quantities = listed([panel.title.removesuffix(", %") for panel in panels])
    return Figure(
        "curves",
        f"{quantities.capitalize()} by epoch: mean over seeds, with a band from the lowest to the highest seed. Losses "
        f"are in nats per review.{not_drawn(models)}",
        alternative, values, partial(_learning, panels, drawn), drawn, tuple(panels))


def _learning(panels: Sequence[Panel], models: Sequence[str], style: Style) -> Drawing:
    figure, axes_of = draw_panels(panels, models, style, 0.7, 2.1, sharex=True)
    for panel, axes in zip(panels, axes_of, strict=True):
        axes.set_title(panel.title, loc="left", color=style.faint)
        if "%" in panel.title:
            share_axis(axes, "y")
        few_ticks(axes.xaxis, 5, whole=True)
        few_ticks(axes.yaxis, 5)
    figure.supxlabel("epoch", fontsize=style.size)
    return figure


# ---------------------------------------------------------------- reliability


def few(share: Number) -> bool:
    """Return whether so small a share of the predictions, a mean over seeds, says little about their accuracy."""
    # Rounded before it is compared, since a share of whole reviews is no exact number.
    predictions = round((share.value or 0.0) * (share.examples or 0) * len(share.runs))
    return predictions < LEAST * len(share.runs)


def reliability_figure(values: Values, least: float) -> Figure:
    """Return the figure of accuracy by confidence.

    Args:
        values: The ranges of confidence of each model.
        least: Lowest confidence that a prediction can have: one over the number of classes.
    """
    parts = values.groups("model")
    ranges = {model: _drawn(part) for model, part in parts.items()}
    models = tuple(ranges)[:OVERLAID]
    panel = Panel("accuracy, %", curves({
        model: [(100 * row["confidence"].value, *in_percent(row["accuracy"])) for row in rows]
        for model, rows in ranges.items()}), "confidence, %,")
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
        f"Accuracy by confidence. {words}.", values, partial(_reliability, panel, models, 100 * least), models,
        (panel,))


def _drawn(ranges: Values) -> list[dict[str, Any]]:
    """Return the ranges of a model that are drawn: those with enough predictions, or all where none has."""
    return [row for row in ranges.records() if not few(row["share of predictions"])] or ranges.records()


def _reliability(panel: Panel, models: Sequence[str], start: float, style: Style) -> Drawing:
    figure, (axes,) = draw_panels([panel], models, style, 3.3)
    axes.plot([start, 100], [start, 100], color=style.faint, linestyle=(0, (1, 2)), linewidth=1, zorder=0)
    share_axis(axes, "x", "y")
    lowest = min(min(line.low) for line in panel.lines)
    axes.set(xlim=(start - 0.5, 100.5), ylim=(max(0, min(start - 0.5, lowest - 1)), 100.5), ylabel="accuracy, %",
             xlabel="confidence, %" if style.narrow else "confidence: probability of the predicted class, %")
    return figure


# ---------------------------------------------------------------- thresholds


def thresholds_figure(name: str, values: Values, positive: str) -> Figure:
    """Return the figure of the ROC curve and the precision-recall curve of each model.

    Args:
        name: Name of the figure.
        values: The points of the curves.
        positive: Name of class 1.
    """
    points = {curve: own.groups("model") for curve, own in values.groups("curve").items()}
    models = tuple(model for model in values.groups("model") if model != CHANCE)
    panels = tuple(Panel(f"{y}, %", curves({
        model: [tuple(100 * row[column] for column in ("x", "mean", "low", "high"))
                for row in points[curve][model].records()] for model in models}), f"{x}, %,")
        for curve, (x, y) in AXES.items())
    of = f" of {models[0]}" if len(models) == 1 else ""
    return Figure(
        name,
        f"True positive rate by false positive rate (ROC), and precision by recall{of}, over all thresholds on the "
        f"probability of the class {positive}: means over seeds, with a band from the lowest to the highest seed. The "
        "areas below the curves are the ROC area and the average precision. Dashed lines are what chance would give.",
        _words(points, models), values, partial(_thresholds, points, panels, models), models, panels)


def _thresholds(points: Points, panels: Sequence[Panel], models: Sequence[str], style: Style) -> Drawing:
    figure, axes_of = draw_panels(panels, models, style, 0.0, 3.1)
    for axes, panel, (curve, (x, y)) in zip(axes_of, panels, AXES.items(), strict=True):
        chance = [100 * share for share in points[curve][CHANCE].column("mean")]
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
        means = {point["x"]: point["mean"] for point in points[curve][model].records()}
        return ", ".join(f"{written(means[place], 'percent')} % at {100 * place:.0f} %" for place in places)

    parts = [f"{model}: true positive rate {at(ROC, model, RATES)} false positive rate; "
             f"precision {at(PRECISION_RECALL, model, RECALLS)} recall" for model in models]
    return "ROC and precision-recall curves. " + ". ".join(parts) + "."
