"""The figures of correct and wrong predictions by class, category and length.

Shapes: `C` classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gru_bench.report.document.figure import Figure, Values, with_interval, with_intervals
from gru_bench.report.document.numbers import Number, written
from gru_bench.report.figures.style import (
    LINES,
    PAGE,
    PANELS,
    Style,
    in_percent,
    interval_marks,
    name_series,
    names_axis,
    new_figure,
    shade,
    share_axis,
    short,
    told_apart,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

MAP_SHADE = 0.55
"""Opacity of the strongest shade of a map in which counts are written, so that they can be read."""
LETTER = 0.62
"""Width of a digit, as a share of the size of its letters."""
SMALLEST = 0.68
"""Smallest letters in a map, as a share of those of the figure. Where a cell has no room for these, it has none."""

Parts = Sequence[tuple[str, Number, Values]]
"""Name and number of some of the reviews, and the accuracy of each model on them."""


def confusion_figure(values: Values) -> Figure:
    """Return the figure of the confusion counts of each model with two classes, with their deviation over seeds."""
    models, words = values.groups("model"), []
    for model, cells in models.items():
        tn, fp, fn, tp = (number.text for number in cells.column("mean count"))
        first, _, second, _ = cells.column("label")
        words.append(f"{model}: of label {first}, {tn} correct and {fp} wrong; of label {second}, {tp} correct and "
                     f"{fn} wrong")
    return Figure(
        "confusion",
        "Test reviews by label and prediction: mean count over seeds ± standard deviation over seeds.",
        f"Mean counts of test reviews. {'. '.join(words)}.", values, partial(_confusion, models))


def confusion_map(
    name: str, model: str, classes: Sequence[str], mean_CC: NDArray[np.float64], spread_CC: NDArray[np.float64] | None
) -> Figure:
    """Return the figure of the confusion counts of a model with more than two classes.

    Args:
        name: Name of the figure.
        model: What the report calls the model.
        classes: Names of the classes.
        mean_CC: Mean count over seeds of each true class (row) and predicted class (column).
        spread_CC: Its standard deviation over seeds. None for a single seed.
    """
    size_C1 = mean_CC.sum(axis=1, keepdims=True)
    share_CC = np.divide(mean_CC, size_C1, out=np.zeros_like(mean_CC), where=size_C1 > 0)
    values = Values(("label", "predicted", "mean count", "standard deviation", "share of the label"), tuple(
        (classes[row], classes[column], float(mean_CC[row, column]),
         None if spread_CC is None else float(spread_CC[row, column]), float(share_CC[row, column]))
        for row, column in np.ndindex(mean_CC.shape)))
    said = []
    for row, label in enumerate(classes):
        others = np.where(np.arange(len(classes)) == row, -1.0, mean_CC[row])
        most = int(others.argmax())
        words = f"{label}: {written(share_CC[row, row], 'percent')} % correct"
        if others[most] > 0:
            words += f", {written(share_CC[row, most], 'percent')} % taken for {classes[most]}"
        said.append(words if size_C1[row, 0] else f"{label}: no test review")
    return Figure(
        name,
        f"Test reviews of {model} by label (rows) and predicted class (columns). The stronger the shade, the larger "
        "the share of the row. Counts are means over seeds; they and the standard deviation over seeds are written "
        "where there is room for them.",
        f"Test reviews by label and predicted class. {'; '.join(said)}.", values,
        partial(_confusion_map, classes, mean_CC, spread_CC, share_CC))


def category_figure(name: str, values: Values) -> Figure:
    """Return the figure of accuracy by category."""
    parts = [(*part, accuracies) for part, accuracies in values.groups("category", "reviews").items()]
    return _by_part(name, "category", "category", values, parts, _categories)


def length_figure(name: str, values: Values) -> Figure:
    """Return the figure of accuracy by length."""
    parts = [(f"{low.text} to {high.text} tokens", reviews, accuracies) for (low, high, reviews), accuracies
             in values.groups("tokens from", "tokens to", "reviews").items()]
    return _by_part(name, "length", "the number of tokens read", values, parts, _lengths)


def _by_part(
    name: str, what: str, by: str, values: Values, parts: Parts, draw: Callable[[Sequence[str], Parts, Style], Drawing]
) -> Figure:
    """Return the figure of accuracy on some parts of the reviews."""
    words = "; ".join(
        f"{part}: " + ", ".join(f"{row['model']} {with_interval(row['accuracy'])} %" for row in accuracies.records())
        for part, _, accuracies in parts)
    models = tuple(values.groups("model"))
    return Figure(name, f"Test accuracy by {by}{with_intervals(values.column('accuracy'))}.",
                  f"Test accuracy by {what}. {words}.", values, partial(draw, models, parts), models)


def _confusion(models: Mapping[str, Values], style: Style) -> Drawing:
    from matplotlib.patches import Rectangle

    shown = list(models)[:PANELS]
    columns = min(2 if style.narrow else 4, len(shown))
    figure, axes_of = new_figure(style, 0.55, len(shown), columns, min(1.9, 6.0 / columns) + 0.35)
    for place, (axes, model) in enumerate(zip(axes_of, shown, strict=True)):
        cells = models[model].records()
        for label in (0, 1):
            row = cells[2 * label:2 * label + 2]
            total = sum(cell["mean count"].value for cell in row)
            for x, cell in enumerate(row):
                number, spread = cell["mean count"], cell["standard deviation"]
                axes.add_patch(Rectangle((x, label), 0.97, 0.97, color=style.color(place), linewidth=0,
                                         alpha=0.06 + 0.5 * number.value / max(1.0, total)))
                axes.text(x + 0.485, label + 0.42, number.text, ha="center", va="center", fontsize=style.size + 1)
                if spread.value is not None:
                    axes.text(x + 0.485, label + 0.7, f"± {spread.text}", ha="center", va="center",
                              fontsize=style.size - 1.5)
        axes.set(xlim=(0, 2), ylim=(2, 0), aspect="equal", title=short(model, 22),
                 xlabel="predicted" if place >= len(shown) - columns else "",
                 ylabel="label" if place % columns == 0 else "")
        names = [short(cell["predicted"], 11, 1) for cell in cells[:2]]
        axes.set_xticks([0.485, 1.485], names)
        axes.set_yticks([0.485, 1.485], names, rotation=90, rotation_mode="anchor", ha="center", va="bottom")
        axes.tick_params(length=0)
        axes.spines[["left", "bottom"]].set_visible(False)
    return figure


def _confusion_map(
    classes: Sequence[str], mean_CC: NDArray[np.float64], spread_CC: NDArray[np.float64] | None,
    share_CC: NDArray[np.float64], style: Style,
) -> Drawing:
    count = len(classes)
    # On a phone, columns have the numbers that stand before the names of the rows.
    numbered = style.narrow and count > 6
    names = [short(name, 12 if style.narrow else 20, 1) for name in classes]
    rows = [f"{name}  {place}" for place, name in enumerate(names, start=1)] if numbered else names
    longest = max(map(len, names))
    row = max(0.2, min(0.5, (3.6 if style.narrow else 5.4) / count))
    figure, (axes,) = new_figure(style, 0.8 + (0.0 if numbered else 0.05 * longest) + row * count)
    # The room of a cell in points, about: names stand on the left, in letters half as wide as high.
    width = (72 * style.width - 0.56 * style.size * max(map(len, rows)) - 3 * style.size) / count
    height = 72 * row * (0.86 if style.narrow else style.width / PAGE.width)
    written_in = _cell_texts(axes, mean_CC, spread_CC, width, height, style)
    shade(axes, (MAP_SHADE if written_in else 1.0) * np.sqrt(share_CC.T), style.color(0))
    axes.set(ylim=(count, 0), xlabel="predicted class", ylabel="label")
    places = np.arange(count) + 0.5
    if numbered:
        step = 1 if count < 10 else 2 if count < 20 else 5
        shown = [place for place in range(count) if (place + 1) % step == 0]
        axes.set_xticks(places[shown], [str(place + 1) for place in shown])
    elif 0.58 * style.size * longest > width:
        axes.set_xticks(places, names, rotation=60, ha="right", rotation_mode="anchor")
    else:
        axes.set_xticks(places, names)
    axes.set_yticks(places, rows)
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    return figure


def _cell_texts(
    axes: Axes, mean_CC: NDArray[np.float64], spread_CC: NDArray[np.float64] | None, width: float, height: float,
    style: Style,
) -> bool:
    """Write the counts into the cells of a map, with their deviations, as far as cells of so many points have room.

    Return whether there is room for the counts.
    """
    texts = {place: written(float(mean_CC[place]), "count") for place in np.ndindex(mean_CC.shape)
             if mean_CC[place] >= 0.5}
    size = min(style.size, width / (LETTER * max(map(len, texts.values()), default=1)), height)
    if size < SMALLEST * style.size:
        return False
    spreads = {} if spread_CC is None else {place: f"±{written(float(spread_CC[place]), 'tenth')}" for place in texts}
    below = min(size - 1.0, width / (LETTER * max(map(len, spreads.values()), default=1)), height - 1.3 * size)
    both = below >= SMALLEST * style.size
    for (label, column), text in texts.items():
        axes.text(column + 0.5, label + (0.34 if both and spreads else 0.52), text, ha="center", va="center",
                  fontsize=size)
        if both and spreads:
            axes.text(column + 0.5, label + 0.74, spreads[label, column], ha="center", va="center", fontsize=below,
                      color=style.ink)
    return True


def _categories(models: Sequence[str], parts: Parts, style: Style) -> Drawing:
    """Draw the accuracies on each part of the reviews on a line with its name."""
    if len(parts) > LINES:
        parts = sorted(parts, key=lambda part: -(part[1].value or 0))[:LINES]
    series = len(models)
    line = 0.16 + 0.12 * series + (0.24 if style.narrow else 0)
    figure, (axes,) = new_figure(style, 0.8 + line * len(parts), names=series)
    # On a phone the upper part of a line is its name's.
    room, middle = (0.7 - 0.24 / line, 0.12 / line) if style.narrow else (0.7, 0.0)
    step = room / (series - 1) if series > 1 else 0.0
    for y, (_, _, accuracies) in enumerate(parts):
        for place, number in enumerate(accuracies.column("accuracy")):
            interval_marks(axes, y + middle + step * (place - (series - 1) / 2), number, style, place, label=False,
                           gid=f"series-{place}")
        if y:
            axes.axhline(y - 0.5, color=style.grid, linewidth=0.5, zorder=0)
    names = told_apart([name for name, _, _ in parts], 26)
    names_axis(axes, [f"{name}  ({reviews.text})" for name, (_, reviews, _) in zip(names, parts, strict=True)], style,
               0.7)
    axes.margins(x=0.04)
    share_axis(axes, "x")
    axes.set_xlabel("test accuracy, %")
    name_series(figure, models, style, line=False)
    return figure


def _lengths(models: Sequence[str], parts: Parts, style: Style) -> Drawing:
    if style.narrow:  # where ranges have no room beside one another
        return _categories(models, parts, style)
    columns = [accuracies.column("accuracy") for _, _, accuracies in parts]
    figure, axes = draw_along(
        {model: [(x, number, []) for x, number in enumerate(own)]
         for model, own in zip(models, zip(*columns, strict=True), strict=True)},
        [f"{name.removesuffix(' tokens').replace(' to ', '–')}\n({reviews.text})" for name, reviews, _ in parts], style)
    axes.set_xlabel("tokens read (reviews)")
    return figure


def draw_along(
    models: Mapping[str, Sequence[tuple[int, Number, Sequence[float]]]], ticks: Sequence[str], style: Style
) -> tuple[Drawing, Axes]:
    """Draw the accuracies of each model from place to place, with their intervals, and return the axes.

    Args:
        models: Model -> for each place that it has an accuracy at: the place, the accuracy, and those of single seeds.
        ticks: Name of each place.
        style: The style.
    """
    figure, (axes,) = new_figure(style, 2.9, names=len(models))
    step = min(0.12, 0.6 / len(models))
    for place, found in enumerate(models.values()):
        color, gid = style.color(place), f"series-{place}"
        points = [(x + step * (place - (len(models) - 1) / 2), in_percent(number), seeds) for x, number, seeds in found]
        for x, (_, low, high), seeds in points:
            axes.plot([x, x], [low, high], color=color, linewidth=1.8, gid=gid)
            axes.plot([x + 0.06] * len(seeds), [100 * seed for seed in seeds], "_", color=color, markersize=6,
                      alpha=0.8, gid=gid)
        axes.plot([x for x, _, _ in points], [mean for _, (mean, _, _), _ in points], linewidth=0.8, markersize=5,
                  gid=gid, **style.mark(place))
    axes.set_xticks(range(len(ticks)), ticks)
    axes.margins(x=0.04)
    share_axis(axes, "y")
    axes.grid(axis="y", linewidth=0.5)
    axes.set_ylabel("test accuracy, %")
    name_series(figure, list(models), style)
    return figure, axes
