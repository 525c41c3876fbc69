"""The figures of test accuracies: of each model, their differences, and against the cost of training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING

from gru_bench.report.document.figure import Figure, Values, with_interval, with_intervals
from gru_bench.report.document.numbers import Number, Scale, scale_of
from gru_bench.report.figures.style import (
    LINES,
    Style,
    in_percent,
    interval_marks,
    log_axis,
    names_axis,
    new_figure,
    percent_axis,
    share_axis,
    short,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

MEAN, BASELINE = "mean over seeds", "baseline"
"""What a row of the accuracies is of, where it is not of a single seed."""
NEAR = 0.06
"""Most that a baseline that is drawn is below the lowest seed: one far below would squeeze the models together."""
LABELS = 4
"""Most points that get their names beside them."""


def accuracy_figure(values: Values, scale: Scale | None = None) -> Figure:
    """Return the figure of the test accuracy of each model, with its seeds, and of the baselines near them.

    Args:
        values: `model`, `what` and `accuracy`; of each model the mean over seeds, and then its seeds.
        scale: The score that is shown. None: accuracy.
    """
    scale = scale or scale_of("accuracy")
    kinds = values.groups("what")
    means, baselines = kinds[MEAN], kinds[BASELINE].records() if BASELINE in kinds else []
    seeds = [row["accuracy"].value for row in values.records() if row["what"] not in (MEAN, BASELINE)]
    near = {row["model"]: row["accuracy"] for row in baselines
            if (row["accuracy"].value > min(seeds) - NEAR if scale.higher_is_better
                else row["accuracy"].value < max(seeds) + NEAR)}
    dashed = {0: "", 1: "; the dashed line is a baseline"}.get(len(near), "; dashed lines are baselines")
    unit = f" {scale.unit}" if scale.unit else ""
    words = [f"{row['model']} {with_interval(row['accuracy'])}{unit}" for row in (*means.records(), *baselines)]
    return Figure(
        "accuracy",
        f"Test {scale.score}{with_intervals(means.column('accuracy'))}; small marks are single seeds{dashed}.",
        f"Test {scale.score}: {'; '.join(words)}.", values, partial(_accuracy, values, near, scale))


def difference_figure(values: Values, margin: float, scale: Scale) -> Figure:
    """Return the figure of the differences in test accuracy, or another score.

    Args:
        values: `pair`, which is `A less B`, and `difference`.
        margin: Largest difference of no practical weight; 0.01 is one point.
        scale: The score that is shown.
    """
    words = [f"{row['pair']} {with_interval(row['difference'])}" for row in values.records()]
    return Figure(
        "differences",
        f"Difference in test {scale.score} for each pair{with_intervals(values.column('difference'), 'unadjusted ')}. "
        "In the shaded band a difference has no practical weight.",
        f"Differences in test {scale.score}{f', in {scale.differences}' if scale.differences else ''}: "
        f"{'; '.join(words)}.", values, partial(_differences, values, margin, scale))


def cost_figure(values: Values) -> Figure:
    """Return the figure of test accuracy against the seconds of training.

    Args:
        values: `model`, `backend`, `training seconds` and `accuracy`.
    """
    words = [f"{row['model']} {row['accuracy'].text} % after {row['training seconds'].text} s of training "
             f"({row['backend']})" for row in values.records()]
    return Figure(
        "cost",
        f"Test accuracy{with_intervals(values.column('accuracy'))}, against the seconds of training; the backend is "
        "named.",
        f"Accuracy against cost: {'; '.join(words)}.", values, partial(_cost, values))


def _accuracy(values: Values, baselines: Mapping[str, Number], scale: Scale, style: Style) -> Drawing:
    models = {model: own.column("accuracy") for model, own in values.groups("model").items()
              if MEAN in own.column("what")}
    names = list(models)[:LINES]
    figure, (axes,) = new_figure(style, 0.9 + (0.95 if style.narrow else 0.55 if len(names) < 9 else 0.36) * len(names))
    for place, name in enumerate(names):
        mean, *seeds = models[name]
        interval_marks(axes, place, mean, style, place)
        axes.plot([scale.factor * seed.value for seed in seeds], [place + 0.24] * len(seeds), "|",
                  color=style.color(place), markersize=6, alpha=0.8)
    for accuracy in baselines.values():
        axes.axvline(scale.factor * (accuracy.value or 0), color=style.faint, linestyle=(0, (4, 3)), linewidth=0.9,
                     zorder=0)
    axes.margins(x=0.06)
    share_axis(axes, "x", end=scale.factor if scale.higher_is_better else None)
    left, right = axes.get_xlim()
    for place, (name, accuracy) in enumerate(baselines.items()):
        x = scale.factor * (accuracy.value or 0)
        share = (x - left) / (right - left)
        axes.annotate(
            f"{short(name, 30, 1)} {accuracy.text}", (x, 1), (0, 3 + 1.3 * style.size * place),
            xycoords=("data", "axes fraction"), textcoords="offset points", va="bottom",
            ha="left" if share < 0.3 else "right" if share > 0.7 else "center", color=style.faint,
            fontsize=style.size - 1,
        )
    names_axis(axes, [short(name, 40, 1) if style.narrow else short(name) for name in names], style)
    axes.set_xlabel(f"test {scale.score}{f', {scale.unit}' if scale.unit else ''}")
    return figure


def _differences(values: Values, margin: float, scale: Scale, style: Style) -> Drawing:
    pairs = values.records()[:LINES]
    figure, (axes,) = new_figure(style, 0.9 + (0.85 if style.narrow else 0.6 if len(pairs) < 9 else 0.36) * len(pairs))
    for place, pair in enumerate(pairs):
        interval_marks(axes, place, pair["difference"], style, 0)
    axes.axvline(0, color=style.faint, linewidth=0.9, zorder=0)
    axes.axvspan(-scale.factor * margin, scale.factor * margin, color=style.grid, alpha=0.45, linewidth=0, zorder=0)
    names_axis(axes, [_pair_label(pair["pair"], style) for pair in pairs], style)
    left, right = axes.get_xlim()
    axes.set_xlim(min(left, -1.3 * scale.factor * margin), max(right, 1.3 * scale.factor * margin))
    percent_axis(axes.xaxis)
    axes.set_xlabel(f"difference in test {scale.score}{f', {scale.differences}' if scale.differences else ''}")
    return figure


def _pair_label(pair: str, style: Style) -> str:
    a, less, b = pair.partition(" less ")
    if style.narrow:
        return f"{short(a, 19, 1)}{less}{short(b, 19, 1)}"
    return f"{short(a, 32, 1)}\nless {short(b, 32, 1)}"


def _cost(values: Values, style: Style) -> Drawing:
    # A model keeps its color and its mark, whether or not the models before it have a time.
    points = [(place, row, row["training seconds"].value, in_percent(row["accuracy"]))
              for place, row in enumerate(values.records()) if row["training seconds"].value][:LINES]
    seconds = [x for _, _, x, _ in points]
    ends = [end for *_, accuracy in points for end in accuracy]
    # Whether there is room for a name to the right of each mark.
    beside = not style.narrow and len(points) <= LABELS and all(
        abs(math.log(x_a / x_b)) > math.log(2) or abs(a - b) > 0.2 * (max(ends) - min(ends))
        for (_, _, x_a, (a, *_)), (_, _, x_b, (b, *_)) in combinations(points, 2))
    figure, (axes,) = new_figure(style, 2.9)
    for place, row, x, (accuracy, low, high) in points:
        axes.plot([x, x], [low, high], color=style.color(place), linewidth=2)
        name = f"{short(row['model'], 32, 1)}, {row['backend']}"
        axes.plot([x], [accuracy], markersize=6.5, label=name, linestyle="none", **style.mark(place))
        if beside:
            axes.annotate(name.replace(", ", "\n"), (x, accuracy), (7, 0), textcoords="offset points", va="center",
                          fontsize=style.size - 1)
    if not beside:
        figure.legend(loc="outside upper left" if style.narrow else "outside right upper", frameon=False,
                      fontsize=style.size - 1, handletextpad=0.3)
    axes.set_xlim(min(seconds) / 1.4, max(seconds) * (2.6 if beside else 1.4))
    log_axis(axes, 8)
    axes.margins(y=0.12)
    share_axis(axes, "y")
    axes.grid(axis="y", linewidth=0.5)
    axes.set(xlabel="training, seconds (log scale)", ylabel="test accuracy, %")
    return figure
