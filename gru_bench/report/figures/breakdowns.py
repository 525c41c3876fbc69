"""The figures of correct and wrong predictions by label, category and length."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from gru_bench.report.document.numbers import Number
from gru_bench.report.document.report import CategoryTable, LengthTable, Row
from gru_bench.report.figures.figure import Picture, of_models, value_and_ends, with_interval, with_intervals
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


def confusion_picture(rows: Sequence[Row]) -> Picture:
    """Return the figure of the confusion counts of each model, with their deviation over seeds."""
    return Picture(
        "confusion",
        "Test reviews by label (0 negative, 1 positive) and prediction: mean count over seeds ± standard deviation "
        "over seeds.",
        _confusion_words(rows),
        partial(_confusion, rows[:PANELS]),
        [("model", "label", "predicted", "mean count", "standard deviation"), *(
            (row.label, *divmod(cell, 2), number.value, row.confusion_spread[cell].value)
            for row in rows for cell, number in enumerate(row.confusion))],
    )


def category_picture(table: CategoryTable) -> Picture:
    """Return the figure of accuracy by category."""
    return Picture(
        table.key,
        f"Test accuracy by category{with_intervals([n for c in table.categories for n in c.accuracy])}.",
        _category_words(table),
        partial(_categories, table),
        [("category", "reviews", "model", "accuracy", "low", "high"), *(
            (category.name, category.examples.value, label, *value_and_ends(number))
            for category in table.categories
            for label, number in zip(table.labels, category.accuracy, strict=True))],
        of_models(table.labels),
    )


def length_picture(table: LengthTable) -> Picture:
    """Return the figure of accuracy by length."""
    return Picture(
        table.key,
        f"Test accuracy by the number of tokens read{with_intervals([n for p in table.bins for n in p.accuracy])}.",
        _length_words(table),
        partial(_lengths, table),
        [("tokens from", "tokens to", "reviews", "model", "accuracy", "low", "high"), *(
            (part.low.value, part.high.value, part.examples.value, label, *value_and_ends(number))
            for part in table.bins for label, number in zip(table.labels, part.accuracy, strict=True))],
        of_models(table.labels),
    )


def _confusion(shown: Sequence[Row], style: Style) -> Figure:
    columns = min(2 if style.narrow else 4, len(shown))
    rows = -(-len(shown) // columns)
    side = min(1.9, 6.0 / columns)
    figure, grid = new_figure(style, 0.55 + (side + 0.35) * rows, columns, rows)
    for place, axes in enumerate(grid.flat):
        if place >= len(shown):
            axes.set_visible(False)
            continue
        row = shown[place]
        values = [number.value or 0.0 for number in row.confusion]
        for cell, (number, spread) in enumerate(zip(row.confusion, row.confusion_spread, strict=True)):
            y, x = divmod(cell, 2)
            share = values[cell] / max(1.0, values[2 * y] + values[2 * y + 1])
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
        sns.despine(ax=axes, left=True, bottom=True)
        axes.set_title(short(row.label, 22))
        axes.set_xlabel("predicted" if place >= len(shown) - columns else "")
        axes.set_ylabel("label" if place % columns == 0 else "")
    return figure


def _categories(table: CategoryTable, style: Style) -> Figure:
    by_size = sorted(table.categories, key=lambda category: -(category.examples.value or 0))
    shown = [category for category in table.categories if category in by_size[:LINES]]
    return _lines(table.labels, [
        (f"{short(category.name, 26, 1)}  ({category.examples.text})", category.accuracy) for category in shown], style)


def _lengths(table: LengthTable, style: Style) -> Figure:
    if style.narrow:  # where ranges have no room beside one another
        return _lines(table.labels, [
            (f"{part.low.text} to {part.high.text} tokens  ({part.examples.text})", part.accuracy)
            for part in table.bins], style)
    figure, grid = new_figure(style, 2.9 + 0.2 * -(-len(table.labels) // 3))
    axes: Axes = grid[0, 0]
    step = min(0.12, 0.6 / len(table.labels))
    for place, label in enumerate(table.labels):
        color, gid = style.color(place), f"series-{place}"
        shift = step * (place - (len(table.labels) - 1) / 2)
        points = [(x + shift, part.accuracy[place]) for x, part in enumerate(table.bins)]
        for x, number in points:
            if number.low is not None and number.high is not None:
                axes.plot([x, x], [100 * number.low, 100 * number.high], color=color, linewidth=1.8, gid=gid)
        known = [(x, 100 * number.value) for x, number in points if number.value is not None]
        axes.plot(*zip(*known, strict=True), color=color, linewidth=0.8, marker=MARKERS[place % len(MARKERS)],
                  markersize=5, label=short(label, 30, 1), gid=gid)
    axes.set_xticks(range(len(table.bins)), [
        f"{part.low.text}–{part.high.text}\n({part.examples.text})" for part in table.bins
    ])
    axes.tick_params(axis="x", length=0)
    axes.margins(x=0.04)
    share_axis(axes, "y")
    axes.grid(axis="y", linewidth=0.5)
    axes.set_xlabel("tokens read (reviews)")
    axes.set_ylabel("test accuracy, %")
    name_series(figure, len(table.labels), style)
    return figure


def _lines(labels: Sequence[str], lines: Sequence[tuple[str, Sequence[Number]]], style: Style) -> Figure:
    """Draw the accuracies of each part of the reviews on a line with its name."""
    series = len(labels)
    line = 0.16 + 0.12 * series + (0.24 if style.narrow else 0)
    figure, grid = new_figure(style, 0.8 + line * len(lines) + 0.2 * -(-series // 3))
    axes: Axes = grid[0, 0]
    # On a phone the upper part of a line is its name's.
    room, middle = (0.7 - 0.24 / line, 0.12 / line) if style.narrow else (0.7, 0.0)
    step = room / (series - 1) if series > 1 else 0.0
    for place, label in enumerate(labels):
        shift = middle + step * (place - (series - 1) / 2)
        for y, (_, accuracy) in enumerate(lines):
            interval_marks(axes, y + shift, accuracy[place], style, place, label=False, gid=f"series-{place}")
        axes.plot([], [], MARKERS[place % len(MARKERS)], color=style.color(place), label=short(label, 30, 1))
    names_axis(axes, [name for name, _ in lines], style, 0.7)
    for y in range(len(lines) - 1):
        axes.axhline(y + 0.5, color=style.grid, linewidth=0.5, zorder=0)
    axes.margins(x=0.04)
    share_axis(axes, "x")
    axes.set_xlabel("test accuracy, %")
    name_series(figure, series, style)
    return figure


def _confusion_words(rows: Sequence[Row]) -> str:
    parts = []
    for row in rows:
        tn, fp, fn, tp = (number.text for number in row.confusion)
        parts.append(f"{row.label}: of label 0, {tn} correct and {fp} wrong; of label 1, {tp} correct and {fn} wrong")
    return "Mean counts of test reviews. " + ". ".join(parts) + "."


def _category_words(table: CategoryTable) -> str:
    parts = [
        f"{category.name}: " + ", ".join(
            f"{label} {with_interval(number)} %"
            for label, number in zip(table.labels, category.accuracy, strict=True)
        )
        for category in table.categories
    ]
    return "Test accuracy by category. " + "; ".join(parts) + "."


def _length_words(table: LengthTable) -> str:
    parts = [
        f"{part.low.text} to {part.high.text} tokens: " + ", ".join(
            f"{label} {with_interval(number)} %"
            for label, number in zip(table.labels, part.accuracy, strict=True)
        )
        for part in table.bins
    ]
    return "Test accuracy by length. " + "; ".join(parts) + "."
