"""The figures of correct and wrong predictions by label, category and length."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from gru_bench.report.document.figure import Figure, Values, with_interval, with_intervals
from gru_bench.report.document.numbers import Number
from gru_bench.report.figures.style import (
    LINES,
    PANELS,
    Style,
    in_percent,
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

Parts = Sequence[tuple[str, Number, Values]]
"""Name and number of some of the reviews, and the accuracy of each model on them."""


def confusion_figure(values: Values) -> Figure:
    """Return the figure of the confusion counts of each model, with their deviation over seeds."""
    models, words = values.groups("model"), []
    for model, cells in models.items():
        tn, fp, fn, tp = (number.text for number in cells.column("mean count"))
        words.append(f"{model}: of label 0, {tn} correct and {fp} wrong; of label 1, {tp} correct and {fn} wrong")
    return Figure(
        "confusion",
        "Test reviews by label (0 negative, 1 positive) and prediction: mean count over seeds ± standard deviation "
        "over seeds.",
        f"Mean counts of test reviews. {'. '.join(words)}.", values, partial(_confusion, models))


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
        for label, cells in models[model].groups("label").items():
            total = sum(number.value for number in cells.column("mean count"))
            for cell in cells.records():
                x, number, spread = cell["predicted"], cell["mean count"], cell["standard deviation"]
                axes.add_patch(Rectangle((x, label), 0.97, 0.97, color=style.color(place), linewidth=0,
                                         alpha=0.06 + 0.5 * number.value / max(1.0, total)))
                axes.text(x + 0.485, label + 0.42, number.text, ha="center", va="center", fontsize=style.size + 1)
                if spread.value is not None:
                    axes.text(x + 0.485, label + 0.7, f"± {spread.text}", ha="center", va="center",
                              fontsize=style.size - 1.5)
        axes.set(xlim=(0, 2), ylim=(2, 0), aspect="equal", title=short(model, 22),
                 xlabel="predicted" if place >= len(shown) - columns else "",
                 ylabel="label" if place % columns == 0 else "")
        axes.set_xticks([0.485, 1.485], ["0", "1"])
        axes.set_yticks([0.485, 1.485], ["0", "1"])
        axes.tick_params(length=0)
        axes.spines[["left", "bottom"]].set_visible(False)
    return figure


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
    names_axis(axes, [f"{short(name, 26, 1)}  ({reviews.text})" for name, reviews, _ in parts], style, 0.7)
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
