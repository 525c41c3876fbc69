"""The figures of correct and wrong predictions by label, category and length."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from gru_bench.report.document.figure import Figure, Values, of_models, with_interval, with_intervals
from gru_bench.report.document.numbers import Number
from gru_bench.report.figures.style import (
    LINES,
    MARKERS,
    PANELS,
    Style,
    interval_marks,
    name_series,
    names_axis,
    new_figure,
    share_axis,
    short,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing


def confusion_figure(values: Values) -> Figure:
    """Return the figure of the confusion counts of each model, with their deviation over seeds."""
    return Figure(
        "confusion",
        "Test reviews by label (0 negative, 1 positive) and prediction: mean count over seeds ± standard deviation "
        "over seeds.",
        _confusion_words(values), values, partial(_confusion, values),
    )


def category_figure(name: str, values: Values) -> Figure:
    """Return the figure of accuracy by category."""
    return Figure(
        name, f"Test accuracy by category{with_intervals(values.column('accuracy'))}.",
        _words("category", [(category, part) for (category,), part in values.groups("category").items()]), values,
        partial(_categories, values), of_models(values.distinct("model")),
    )


def length_figure(name: str, values: Values) -> Figure:
    """Return the figure of accuracy by length."""
    return Figure(
        name, f"Test accuracy by the number of tokens read{with_intervals(values.column('accuracy'))}.",
        _words("length", [(f"{low.text} to {high.text} tokens", part)
                          for (low, high), part in values.groups("tokens from", "tokens to").items()]), values,
        partial(_lengths, values), of_models(values.distinct("model")),
    )


def _confusion(values: Values, style: Style) -> Drawing:
    from matplotlib.patches import Rectangle

    shown = [(model, cells.records()) for (model,), cells in values.groups("model").items()][:PANELS]
    columns = min(2 if style.narrow else 4, len(shown))
    rows = -(-len(shown) // columns)
    side = min(1.9, 6.0 / columns)
    figure, grid = new_figure(style, 0.55 + (side + 0.35) * rows, columns, rows)
    for axes in grid.flat[len(shown):]:
        axes.set_visible(False)
    for place, (model, cells) in enumerate(shown):
        axes = grid.flat[place]
        for cell in cells:
            x, y, number, spread = cell["predicted"], cell["label"], cell["mean count"], cell["standard deviation"]
            share = number.value / max(1.0, sum(other["mean count"].value for other in cells if other["label"] == y))
            axes.add_patch(
                Rectangle((x, y), 0.97, 0.97, color=style.color(place), alpha=0.06 + 0.5 * share, linewidth=0)
            )
            axes.text(x + 0.485, y + 0.42, number.text, ha="center", va="center", fontsize=style.size + 1)
            if spread.value is not None:
                axes.text(x + 0.485, y + 0.7, f"± {spread.text}", ha="center", va="center", fontsize=style.size - 1.5)
        axes.set(xlim=(0, 2), ylim=(2, 0), aspect="equal")
        axes.set_xticks([0.485, 1.485], ["0", "1"])
        axes.set_yticks([0.485, 1.485], ["0", "1"])
        axes.tick_params(length=0)
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.set_title(short(model, 22))
        axes.set_xlabel("predicted" if place >= len(shown) - columns else "")
        axes.set_ylabel("label" if place % columns == 0 else "")
    return figure


def _categories(values: Values, style: Style) -> Drawing:
    parts = values.groups("category", "reviews")
    largest = sorted(parts, key=lambda part: -part[1].value)[:LINES]
    return _lines(values.distinct("model"), [
        (f"{short(category, 26, 1)}  ({reviews.text})", parts[category, reviews].column("accuracy"))
        for category, reviews in parts if (category, reviews) in largest], style)


def _lengths(values: Values, style: Style) -> Drawing:
    models, parts = values.distinct("model"), values.groups("tokens from", "tokens to", "reviews")
    if style.narrow:  # where ranges have no room beside one another
        return _lines(models, [(f"{low.text} to {high.text} tokens  ({reviews.text})", part.column("accuracy"))
                               for (low, high, reviews), part in parts.items()], style)
    figure, grid = new_figure(style, 2.9 + 0.2 * -(-len(models) // 3))
    axes: Axes = grid[0, 0]
    step = min(0.12, 0.6 / len(models))
    for place, model in enumerate(models):
        color, gid = style.color(place), f"series-{place}"
        shift = step * (place - (len(models) - 1) / 2)
        points = [(x + shift, part.column("accuracy")[place]) for x, part in enumerate(parts.values())]
        for x, number in points:
            if number.low is not None and number.high is not None:
                axes.plot([x, x], [100 * number.low, 100 * number.high], color=color, linewidth=1.8, gid=gid)
        known = [(x, 100 * number.value) for x, number in points if number.value is not None]
        axes.plot(*zip(*known, strict=True), color=color, linewidth=0.8, marker=MARKERS[place % len(MARKERS)],
                  markersize=5, label=short(model, 30, 1), gid=gid)
    axes.set_xticks(range(len(parts)), [
        f"{low.text}–{high.text}\n({reviews.text})" for low, high, reviews in parts
    ])
    axes.tick_params(axis="x", length=0)
    axes.margins(x=0.04)
    share_axis(axes, "y")
    axes.grid(axis="y", linewidth=0.5)
    axes.set_xlabel("tokens read (reviews)")
    axes.set_ylabel("test accuracy, %")
    name_series(figure, len(models), style)
    return figure


def _lines(models: Sequence[str], lines: Sequence[tuple[str, Sequence[Number]]], style: Style) -> Drawing:
    """Draw the accuracies of each part of the reviews on a line with its name."""
    series = len(models)
    line = 0.16 + 0.12 * series + (0.24 if style.narrow else 0)
    figure, grid = new_figure(style, 0.8 + line * len(lines) + 0.2 * -(-series // 3))
    axes: Axes = grid[0, 0]
    # On a phone the upper part of a line is its name's.
    room, middle = (0.7 - 0.24 / line, 0.12 / line) if style.narrow else (0.7, 0.0)
    step = room / (series - 1) if series > 1 else 0.0
    for place, model in enumerate(models):
        shift = middle + step * (place - (series - 1) / 2)
        for y, (_, accuracies) in enumerate(lines):
            interval_marks(axes, y + shift, accuracies[place], style, place, label=False, gid=f"series-{place}")
        axes.plot([], [], MARKERS[place % len(MARKERS)], color=style.color(place), label=short(model, 30, 1))
    names_axis(axes, [name for name, _ in lines], style, 0.7)
    for y in range(len(lines) - 1):
        axes.axhline(y + 0.5, color=style.grid, linewidth=0.5, zorder=0)
    axes.margins(x=0.04)
    share_axis(axes, "x")
    axes.set_xlabel("test accuracy, %")
    name_series(figure, series, style)
    return figure


def _confusion_words(values: Values) -> str:
    parts = []
    for (model,), cells in values.groups("model").items():
        tn, fp, fn, tp = (number.text for number in cells.column("mean count"))
        parts.append(f"{model}: of label 0, {tn} correct and {fp} wrong; of label 1, {tp} correct and {fn} wrong")
    return "Mean counts of test reviews. " + ". ".join(parts) + "."


def _words(what: str, parts: Sequence[tuple[str, Values]]) -> str:
    """Return the accuracies on each part of the reviews in words."""
    said = [
        f"{name}: " + ", ".join(f"{row['model']} {with_interval(row['accuracy'])} %" for row in part.records())
        for name, part in parts
    ]
    return f"Test accuracy by {what}. " + "; ".join(said) + "."
