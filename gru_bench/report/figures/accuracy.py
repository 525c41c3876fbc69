"""The figures of test accuracies: of each model, their differences, and against the cost of training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from gru_bench.report.document.figure import Figure, Values, with_interval, with_intervals
from gru_bench.report.document.numbers import Number
from gru_bench.report.figures.style import (
    LINES,
    MARKERS,
    Style,
    interval_marks,
    log_axis,
    names_axis,
    new_figure,
    percent_axis,
    share_axis,
    short,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

MEAN, BASELINE = "mean over seeds", "baseline"
"""What a row of the accuracies is of, where it is not of a single seed."""
NEAR = 0.06
"""Most that a baseline that is drawn is below the lowest seed: one far below would squeeze the models together."""
LABELS = 4
"""Most points that get their names beside them."""


def accuracy_figure(values: Values) -> Figure:
    """Return the figure of the test accuracy of each model, with its seeds, and of the baselines near them.

    Args:
        values: `model`, `what` and `accuracy`; of each model the mean over seeds, and then its seeds.
    """
    means = [row for row in values.records() if row["what"] == MEAN]
    baselines = [row for row in values.records() if row["what"] == BASELINE]
    dashed = {0: "", 1: "; the dashed line is a baseline"}.get(len(_near(values)), "; dashed lines are baselines")
    words = [f"{row['model']} {with_interval(row['accuracy'])} %" for row in means]
    words += [f"{row['model']} {row['accuracy'].text} %" for row in baselines]
    return Figure(
        "accuracy",
        f"Test accuracy{with_intervals([row['accuracy'] for row in means])}; small marks are single seeds{dashed}.",
        f"Test accuracy: {'; '.join(words)}.",
        values,
        lambda style: _accuracy(values, style),
    )


def difference_figure(values: Values, margin: float) -> Figure:
    """Return the figure of the differences in test accuracy.

    Args:
        values: `pair`, which is `A less B`, and `difference`.
        margin: Largest difference of no practical weight; 0.01 is one point.
    """
    words = [f"{row['pair']} {with_interval(row['difference'])}" for row in values.records()]
    return Figure(
        "differences",
        "Difference in test accuracy for each pair"
        f"{with_intervals([row['difference'] for row in values.records()], 'unadjusted ')}. In the shaded band a "
        "difference has no practical weight.",
        f"Differences in test accuracy, in points: {'; '.join(words)}.",
        values,
        lambda style: _differences(values, margin, style),
    )


def cost_figure(values: Values) -> Figure:
    """Return the figure of test accuracy against the seconds of training.

    Args:
        values: `model`, `backend`, `training seconds` and `accuracy`.
    """
    words = [f"{row['model']} {row['accuracy'].text} % after {row['training seconds'].text} s of training "
             f"({row['backend']})" for row in values.records()]
    return Figure(
        "cost",
        f"Test accuracy{with_intervals([row['accuracy'] for row in values.records()])}, against the seconds of "
        "training; the backend is named.",
        f"Accuracy against cost: {'; '.join(words)}.",
        values,
        lambda style: _cost(values, style),
    )


def _by_model(values: Values) -> list[tuple[str, Number, list[float]]]:
    """Return each model with its mean and the accuracies of its seeds, in percent."""
    models: list[tuple[str, Number, list[float]]] = []
    for row in values.records():
        if row["what"] == MEAN:
            models.append((row["model"], row["accuracy"], []))
        elif row["what"] != BASELINE:
            models[-1][2].append(100 * row["accuracy"].value)
    return models[:LINES]


def _near(values: Values) -> list[tuple[str, Number]]:
    """Return the baselines that are drawn."""
    lowest = min(seed for _, _, seeds in _by_model(values) for seed in seeds) / 100
    return [(row["model"], row["accuracy"]) for row in values.records()
            if row["what"] == BASELINE and row["accuracy"].value > lowest - NEAR]


def _accuracy(values: Values, style: Style) -> Drawing:
    models, baselines = _by_model(values), _near(values)
    figure, grid = new_figure(style, 0.9 + (0.95 if style.narrow else 0.55 if len(models) < 9 else 0.36) * len(models))
    axes: Axes = grid[0, 0]
    for place, (_, mean, seeds) in enumerate(models):
        interval_marks(axes, place, mean, style, place)
        axes.plot(seeds, [place + 0.24] * len(seeds), "|", color=style.color(place), markersize=6, alpha=0.8)
    for _, accuracy in baselines:
        axes.axvline(100 * (accuracy.value or 0), color=style.faint, linestyle=(0, (4, 3)), linewidth=0.9, zorder=0)
    axes.margins(x=0.06)
    share_axis(axes, "x")
    left, right = axes.get_xlim()
    for place, (name, accuracy) in enumerate(baselines):
        x = 100 * (accuracy.value or 0)
        share = (x - left) / (right - left)
        axes.annotate(
            f"{short(name, 30, 1)} {accuracy.text}", (x, 1), (0, 3 + 1.3 * style.size * place),
            xycoords=("data", "axes fraction"), textcoords="offset points", va="bottom",
            ha="left" if share < 0.3 else "right" if share > 0.7 else "center", color=style.faint,
            fontsize=style.size - 1,
        )
    names_axis(axes, [short(label, 40, 1) if style.narrow else short(label) for label, _, _ in models], style)
    axes.set_xlabel("test accuracy, %")
    return figure


def _differences(values: Values, margin: float, style: Style) -> Drawing:
    pairs = values.records()[:LINES]
    figure, grid = new_figure(style, 0.9 + (0.85 if style.narrow else 0.6 if len(pairs) < 9 else 0.36) * len(pairs))
    axes: Axes = grid[0, 0]
    for place, pair in enumerate(pairs):
        interval_marks(axes, place, pair["difference"], style, 0)
    axes.axvline(0, color=style.faint, linewidth=0.9, zorder=0)
    axes.axvspan(-100 * margin, 100 * margin, color=style.grid, alpha=0.45, linewidth=0, zorder=0)
    names_axis(axes, [_pair_label(pair["pair"], style) for pair in pairs], style)
    left, right = axes.get_xlim()
    axes.set_xlim(min(left, -130 * margin), max(right, 130 * margin))
    percent_axis(axes.xaxis)
    axes.set_xlabel("difference in test accuracy, points")
    return figure


def _pair_label(pair: str, style: Style) -> str:
    a, less, b = pair.partition(" less ")
    if style.narrow:
        return f"{short(a, 19, 1)}{less}{short(b, 19, 1)}"
    return f"{short(a, 32, 1)}\nless {short(b, 32, 1)}"


def _apart(points: Sequence[tuple[float, Number]]) -> bool:
    """Tell whether marks of accuracy at these seconds leave room for a name to the right of each."""
    height = max(accuracy.high or accuracy.value or 0 for _, accuracy in points) - min(
        accuracy.low or accuracy.value or 0 for _, accuracy in points
    )
    return all(
        abs(math.log(one / two)) > math.log(2) or abs((first.value or 0) - (second.value or 0)) > 0.2 * height
        for (one, first), (two, second) in combinations(points, 2)
    )


def _cost(values: Values, style: Style) -> Drawing:
    # A model keeps its color and its mark, whether or not the models before it have a time.
    models: list[tuple[int, dict[str, Any]]] = [
        (place, row) for place, row in enumerate(values.records()) if row["training seconds"].value][:LINES]
    seconds = [row["training seconds"].value for _, row in models]
    figure, grid = new_figure(style, 2.9)
    axes: Axes = grid[0, 0]
    beside = len(models) <= LABELS and not style.narrow and _apart(
        [(row["training seconds"].value, row["accuracy"]) for _, row in models])
    for place, row in models:
        x, accuracy, color = row["training seconds"].value, row["accuracy"], style.color(place)
        if accuracy.low is not None:
            axes.plot([x, x], [100 * accuracy.low, 100 * accuracy.high], color=color, linewidth=2)
        name = f"{short(row['model'], 32, 1)}, {row['backend']}"
        axes.plot([x], [100 * accuracy.value], MARKERS[place % len(MARKERS)], color=color, markersize=6.5, label=name,
                  linestyle="none")
        if beside:
            axes.annotate(name.replace(", ", "\n"), (x, 100 * accuracy.value), (7, 0), textcoords="offset points",
                          va="center", fontsize=style.size - 1)
    if not beside:
        figure.legend(loc="outside upper left" if style.narrow else "outside right upper", frameon=False,
                      fontsize=style.size - 1, handletextpad=0.3)
    # Room for names to the right of their marks.
    axes.set_xlim(min(seconds) / 1.4, max(seconds) * (2.6 if beside else 1.4))
    log_axis(axes, 8)
    axes.margins(y=0.12)
    share_axis(axes, "y")
    axes.grid(axis="y", linewidth=0.5)
    axes.set_xlabel("training, seconds (log scale)")
    axes.set_ylabel("test accuracy, %")
    return figure
