"""The figures of correct and wrong predictions by class, category and length.

Shapes: `C` classes.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.document.figure import Figure, Values
from gru_bench.document.numbers import written
from gru_bench.document.style import (
    GRID,
    INK,
    LINES,
    PANELS,
    SIZE,
    WIDTH,
    color_of,
    curves,
    dodge,
    intervals,
    keep_within,
    name_lines,
    name_series,
    new_figure,
    shades,
    short,
    width_of,
)
from gru_bench.wording import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure as Drawing
    from pandas import DataFrame

MAP_SHADE = 0.55
"""Opacity of the strongest shade of a map in which counts are written, so that they can be read."""
LETTER = 0.62
"""Width of a digit, as a fraction of the size of its letters."""
SMALLEST = 0.68
"""Smallest letters in a map, as a fraction of those of the figure. Where a cell has no room for these, it has none."""


def confusion_figure(values: Values) -> Figure:
    """Return the figure of the confusion counts of each model with two classes, with their deviation over seeds."""
    models = list(values.groups("model"))
    which = f" The first {PANELS} of {len(models)} models are drawn." if len(models) > PANELS else ""
    return Figure(
        "confusion",
        f"Test texts by label and prediction: mean count over seeds ± standard deviation over seeds.{which}",
        f"Mean counts of test texts by label and prediction, of {listed(models[:PANELS])}.", values, _confusion)


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
    values = Values(("label", "predicted", "mean count", "standard deviation", "fraction of the label"), tuple(
        (classes[row], classes[column], float(mean_CC[row, column]),
         None if spread_CC is None else float(spread_CC[row, column]), float(share_CC[row, column]))
        for row, column in np.ndindex(mean_CC.shape)))
    return Figure(
        name,
        f"Test texts of {model} by label (rows) and predicted class (columns). The stronger the shade, the larger "
        "the fraction of the row. Mean counts and standard deviations over seeds are written where there is room.",
        f"Test texts of {model} by label and predicted class, {len(classes)} classes.", values, _confusion_map)


def category_figure(name: str, values: Values) -> Figure:
    """Return the figure of accuracy by category."""
    count = len(values.groups("category"))
    which = f" Of {count} categories, the {LINES} with the most texts are drawn." if count > LINES else ""
    return Figure(name, f"Test accuracy by category, with 95 % intervals.{which}",
                  f"Test accuracy of {listed(list(values.groups('model')))} by category.", values, _categories)


def length_figure(name: str, values: Values) -> Figure:
    """Return the figure of accuracy by length."""
    return Figure(name, "Test accuracy by the number of tokens read, with 95 % intervals.",
                  f"Test accuracy of {listed(list(values.groups('model')))} by length.", values, _lengths)


def _confusion(frame: DataFrame) -> Drawing:
    models = list(frame.groupby("model", sort=False))[:PANELS]
    columns = min(4, len(models))
    side, line = min(1.4, 4.3 / columns), min(21, 38 / columns)  # inches of a panel; width of a line of its title
    figure, panels = new_figure(0.45 + side, len(models), columns)
    for place, (axes, (model, own)) in enumerate(zip(panels, models, strict=True)):
        count_CC = own["mean count"].to_numpy().reshape(2, 2)
        shades(axes, count_CC / np.maximum(1, count_CC.sum(axis=1, keepdims=True)), color_of(place), MAP_SHADE,
               **_texts(own, 2, 100), linewidths=1.0, linecolor="none")
        names = [short(label, 72 * side / 2 / SIZE - 0.5) for label in own["label"][::2]]
        axes.set_xticks((0.5, 1.5), names)
        axes.set_yticks((0.5, 1.5), names if place % columns == 0 else ["", ""], rotation=90, va="center")
        title = short(str(model), 2 * line - 2)
        axes.set_title(textwrap.fill(title, int(line * len(title) / width_of(title))))
    figure.supxlabel("predicted")
    figure.supylabel("label")
    return figure


def _confusion_map(frame: DataFrame) -> Drawing:
    classes = [short(name, 11) for name in frame["label"].unique()]
    count, longest = len(classes), max(map(width_of, classes))
    figure, (axes,) = new_figure(0.6 + 0.068 * longest + max(0.15, min(0.36, 3.8 / count)) * count)
    # The room of a cell in points, about: names stand on the left.
    width = (72 * WIDTH - SIZE * (longest + 3)) / count
    texts = _texts(frame, count, width)
    shades(axes, np.sqrt(frame["fraction of the label"].to_numpy().reshape(count, count)), color_of(0),
           MAP_SHADE if texts else 1.0, **texts)
    axes.set_xticks(np.arange(count) + 0.5, classes)
    if SIZE * longest > width:
        axes.tick_params(axis="x", labelrotation=60)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(np.arange(count) + 0.5, classes, rotation=0)
    axes.set(xlabel="predicted class", ylabel="label")
    return figure


def _texts(frame: DataFrame, count: int, width: float) -> dict[str, Any]:
    """Return the counts of a map as options of seaborn, with their deviations if cells of so many points have room."""
    counts = [written(mean, "count") if mean >= 0.5 else "" for mean in frame["mean count"]]
    both = [f"{text}\n± {written(spread, 'tenth')}" if text and spread == spread else text
            for text, spread in zip(counts, frame["standard deviation"].astype(float), strict=True)]
    for texts in (both, counts):
        longest = max(len(line) for text in texts for line in text.split("\n"))
        size = min(SIZE, width / (LETTER * max(1, longest)))
        if size >= SMALLEST * SIZE:
            return {"annot": np.array(texts).reshape(count, count), "annot_kws": {"size": size, "color": INK}}
    return {}


def _categories(frame: DataFrame) -> Drawing:
    """Draw the accuracies on each part of the texts on a line with its name."""
    models = list(frame["model"].unique())
    parts = frame.drop_duplicates("category")
    if len(parts) > LINES:
        parts = parts.nlargest(LINES, "texts")
    names = parts["category"].tolist()
    drawn = frame[frame["category"].isin(names)]
    figure, (axes,) = new_figure(0.6 + (0.12 + 0.09 * len(models)) * len(names))
    intervals(axes, drawn.assign(place=drawn["category"].map(names.index) + dodge(models, drawn["model"])), "accuracy",
              "place", models)
    for place in range(1, len(names)):
        axes.axhline(place - 0.5, color=GRID, linewidth=0.5, zorder=0)
    name_lines(axes, [f"{short(name, 15)}  ({texts:,.0f})"
                      for name, texts in zip(names, parts["texts"], strict=True)])
    keep_within(axes, "x")
    axes.set_xlabel("test accuracy, %")
    name_series(figure, models)
    return figure


def _lengths(frame: DataFrame) -> Drawing:
    names = [f"{low:,.0f}–{high:,.0f}\n({texts:,.0f})" for low, high, texts in zip(
        frame["tokens from"], frame["tokens to"], frame["texts"], strict=True)]
    return draw_along(frame.assign(part=names), "part", "tokens read (texts)")


def draw_along(frame: DataFrame, along: str, label: str) -> Drawing:
    """Draw the accuracies of each model from place to place, with their intervals.

    Args:
        frame: `model`, `accuracy`, `low` and `high`.
        along: The column with the name of the place.
        label: Name of the x axis.
    """
    models, places = list(frame["model"].unique()), list(frame[along].unique())
    figure, (axes,) = new_figure(2.1)

    apart = dodge(models, frame["model"], min(0.6, 0.12 * len(models)))
    own = frame.assign(place=frame[along].map(places.index) + apart)
    curves(axes, own.drop(columns=["low", "high"]), "place", "accuracy", models, linewidth=0.6)
    intervals(axes, own, "place", "accuracy", models, "y")
    axes.set_xticks(range(len(places)), [str(place) for place in places])
    keep_within(axes, "y")
    axes.set(xlabel=label, ylabel="test accuracy, %")
    name_series(figure, models)
    return figure
