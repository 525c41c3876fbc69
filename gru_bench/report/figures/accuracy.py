"""The figures of test accuracies: of each model, and of their differences."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING

from gru_bench.document.figure import Figure, Values
from gru_bench.document.numbers import Scale
from gru_bench.document.style import (
    BEHIND,
    FAINT,
    GRID,
    GUIDE,
    INK,
    LINES,
    NARROW,
    dots,
    in_two_lines,
    intervals,
    keep_within,
    name_lines,
    new_figure,
    short,
)
from gru_bench.wording import listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing
    from pandas import DataFrame

MEAN, BASELINE = "mean over seeds", "baseline"
"""What a row of the accuracies is of, where it is not of a single seed."""
NEAR = 0.06
"""Most that a baseline that is drawn is below the lowest seed: one far below would squeeze the models together."""


def accuracy_figure(values: Values, scale: Scale) -> Figure:
    """Return the figure of the test accuracy of each model, with its seeds, and of the baselines near them.

    Args:
        values: `model`, `what` and `accuracy`; of each model the mean over seeds, and then its seeds.
        scale: The score that is shown.
    """
    rows = values.records()
    seeds = [row["accuracy"].value for row in rows if row["what"] not in (MEAN, BASELINE)]
    near = [row["model"] for row in rows if row["what"] == BASELINE and (
        row["accuracy"].value > min(seeds) - NEAR if scale.higher_is_better
        else row["accuracy"].value < max(seeds) + NEAR)]
    means = values.groups("what")[MEAN]
    words = [f"{row['model']} {row['accuracy'].text}" for row in means.records()]
    which = f", of the {LINES} best of {len(words)} models" if len(words) > LINES else ""
    return Figure(
        "accuracy",
        f"Test {scale.score} with 95 % intervals{which}; small marks are single seeds"
        f"{', open marks and dashed lines are baselines' * bool(near)}.",
        f"Test {scale.score}: {listed(words[:LINES])}.", values,
        partial(_accuracy, near=near, scale=scale))


def difference_figure(
    values: Values, margin: float, scale: Scale, intervals: str = "95 % intervals"
) -> Figure:
    """Return the figure of the differences in test accuracy, or another score.

    Args:
        values: `pair`, which is `A − B`, and `difference`.
        margin: Equivalence margin; 0.01 is one point.
        scale: The score that is shown.
        intervals: What the caption calls the intervals.
    """
    shown = "each pair" if len(values.rows) <= LINES else f"the first {LINES} of {len(values.rows)} pairs"
    return Figure(
        "differences",
        f"Difference in test {scale.score} for {shown}, with {intervals}, unadjusted for multiple comparisons. The "
        "shaded band is the equivalence margin.",
        f"Difference in test {scale.score} of {len(values.rows)} pairs.", values,
        partial(_differences, margin=margin, scale=scale))


def _accuracy(frame: DataFrame, near: Collection[str], scale: Scale) -> Drawing:
    means = frame[frame["what"] == MEAN][:LINES]
    baselines = frame[(frame["what"] == BASELINE) & frame["model"].isin(near)]
    names, lines = means["model"].tolist(), len(means) + len(baselines)
    seeds = frame[frame["model"].isin(names) & ~frame["what"].isin((MEAN, BASELINE))]
    figure, (axes,) = new_figure(0.5 + (0.36 if lines < 9 else 0.28) * lines)
    intervals(axes, means.assign(place=range(len(names))), "accuracy", "place", names)
    dots(axes, seeds.assign(place=seeds["model"].map(names.index) + 0.24), "accuracy", "place", names,
         marker="|", markeredgewidth=1, alpha=0.8)
    below = list(range(len(names), lines))
    dots(axes, baselines.assign(place=below, model=""), "accuracy", "place", [""] * bool(below), color=FAINT,
         fillstyle="none", markeredgewidth=1)
    axes.hlines(below, baselines["low"], baselines["high"], FAINT, linewidth=1.0, capstyle="round", clip_on=False)
    if below:  # only next to the models, because further down they would cross the names of baselines
        axes.vlines(baselines["accuracy"], -0.6, len(names) - 0.6, linestyle="dashed", **GUIDE)
    for place, row in enumerate([*means.to_dict("records"), *baselines.to_dict("records")]):
        # A name above its line has room however long it is.
        axes.annotate(f"{short(row['model'], 25)}: {row['text']}", (0, place), (0, 4.5),
                      xycoords=("axes fraction", "data"), textcoords="offset points", va="bottom",
                      color=FAINT if place in below else INK, bbox=BEHIND, zorder=1)
    keep_within(axes, "x", high=scale.factor if scale.higher_is_better else None)
    name_lines(axes, [""] * lines)
    axes.set_xlabel(f"test {scale.score}, {scale.unit}")
    return figure


def _differences(frame: DataFrame, margin: float, scale: Scale) -> Drawing:
    pairs = frame[:LINES].assign(place=range(min(len(frame), LINES)), model="")
    figure, (axes,) = new_figure(0.65 + 0.26 * len(pairs), width=NARROW)
    intervals(axes, pairs, "difference", "place", [""])
    axes.axvline(0, **GUIDE)
    axes.axvspan(-scale.factor * margin, scale.factor * margin, color=GRID, alpha=0.45, linewidth=0, zorder=0)
    name_lines(axes, [in_two_lines(pair, 18) for pair in pairs["pair"]])
    left, right = axes.get_xlim()
    axes.set_xlim(min(left, -1.3 * scale.factor * margin), max(right, 1.3 * scale.factor * margin))
    axes.set_xlabel(f"difference in test {scale.score}{f', {scale.differences}' if scale.differences else ''}")
    return figure
