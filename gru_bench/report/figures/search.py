"""The figures of a search: its trials by number, and its trials by setting."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from gru_bench.document.figure import Figure, Values
from gru_bench.document.style import (
    FAINT,
    INK,
    curves,
    dots,
    keep_within,
    log_axis,
    name_series,
    new_figure,
)
from gru_bench.evidence.trials import ENDED
from gru_bench.report.figures.curves import OVERLAID, first_models, of_drawn
from gru_bench.wording import listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing
    from pandas import DataFrame

SCORE = "validation accuracy"


def history_figure(values: Values, score: str) -> Figure:
    """Return the figure of the trials of each search in their order.

    Args:
        values: A row for each trial, with columns `model`, `trial`, `state`, `validation accuracy` (None where there is
            none) and `best so far`: that of the complete trials up to this one.
        score: Name of the score in these columns.
    """
    floor = _floor(values)
    return Figure(
        "search-history",
        f"Validation {score} of each trial, in the order of the search; a line shows the best complete trial so far."
        f"{_drawn(values, floor)}",
        f"Validation {score} by trial of {_trials(values)}.", values, partial(_history, floor=floor, score=score))


def settings_figure(values: Values, score: str) -> Figure:
    """Return the figure of the accuracy of the trials against each of their settings.

    Args:
        values: A row for each trial and setting, with columns `setting`, `scale` (`log` or `linear`), `value`, `model`,
            `trial`, `state` and `validation accuracy` (None where there is none).
        score: Name of the score in the last column.
    """
    floor = _floor(values)
    settings = " and its ".join(values.groups("setting"))
    return Figure(
        "search-settings",
        f"Validation {score} of each trial against its {settings}; the largest mark of a model is "
        f"its best complete trial.{_drawn(values, floor)}",
        f"Validation {score} by {settings} of {_trials(values)}.", values,
        partial(_settings, floor=floor, score=score))


def _drawn(values: Values, floor: int) -> str:
    """Return what a caption says of trials and models that are not drawn where they are, or at all."""
    edge = " Trials far below the others are on the lower edge." if floor else ""
    return f"{edge}{first_models(len(values.groups('model')))}"


def _trials(values: Values) -> str:
    """Return how many trials each model that is drawn has, and how many of them have no accuracy."""
    parts = []
    for model, own in list(values.groups("model").items())[:OVERLAID]:
        accuracies = {row["trial"]: row[SCORE] for row in own.records()}
        missing = sum(accuracy is None for accuracy in accuracies.values())
        parts.append(f"{model} ({len(accuracies)} trials{f', {missing} without an accuracy' if missing else ''})")
    return listed(parts)


def _floor(values: Values) -> int:
    """Return the whole percentage at which the axes end.

    It is far below most trials of each model, so that a few bad ones do not squeeze the others together; 0 where no
    trial lies below it.
    """
    scores = [own for part in list(values.groups("model").values())[:OVERLAID]
              if (own := [100 * score for score in part.column(SCORE) if score is not None])]
    quartiles = [np.percentile(own, (25, 75)) for own in scores]
    floor = math.floor(min((low - max(3 * (high - low), 5) for low, high in quartiles), default=0))
    return floor if floor > 0 and any(score < floor for own in scores for score in own) else 0


def _history(frame: DataFrame, floor: int, score: str) -> Drawing:
    frame, models = of_drawn(frame)
    figure, (axes,) = new_figure(2.1)
    best = frame.assign(best=100 * frame["best so far"].astype(float))
    best = best[best["best"] >= floor]
    if len(best):
        curves(axes, best, "trial", "best", models, drawstyle="steps-post", markersize=0)
    _draw_trials(figure, [(axes, frame)], "trial", models, floor)
    axes.locator_params(axis="x", integer=True)
    axes.set(xlabel="trial", ylabel=f"validation {score}, %")
    name_series(figure, models)
    return figure


def _settings(frame: DataFrame, floor: int, score: str) -> Drawing:
    frame, models = of_drawn(frame)
    settings = frame.groupby("setting", sort=False)
    figure, axes_of = new_figure(2.1, settings.ngroups, settings.ngroups, sharey=True)
    panels = [(axes, own) for axes, (_, own) in zip(axes_of, settings, strict=True)]
    _draw_trials(figure, panels, "value", models, floor)
    for axes, (setting, own) in zip(axes_of, settings, strict=True):
        complete = own[(own["state"] == "complete") & own[SCORE].notna()]
        best = complete.loc[complete.astype({SCORE: float}).groupby("model")[SCORE].idxmax()]
        dots(axes, best.assign(score=100 * best[SCORE].astype(float)), "value", "score", models,
             markersize=6.7, markeredgecolor=INK, markeredgewidth=0.6)
        logarithmic = (own["scale"] == "log").all()
        if logarithmic:
            log_axis(axes)
        axes.set_xlabel(f"{setting} (log scale)" if logarithmic else str(setting))
    axes_of[0].set_ylabel(f"validation {score}, %")
    name_series(figure, models)
    return figure


def _draw_trials(
    figure: Drawing, panels: list[tuple[Axes, DataFrame]], along: str, models: list[str], floor: int
) -> None:
    """Draw the trials that have an accuracy, those of each state in their own way (filled, hollow, as a cross), and
    name the states."""
    from matplotlib.lines import Line2D

    states = [state for state in ENDED if any(
        (own.loc[own[SCORE].notna(), "state"] == state).any() for _, own in panels)]
    for axes, own in panels:
        scored = own.assign(score=(100 * own[SCORE].astype(float)).clip(lower=floor)).dropna(subset="score")
        for state in states:
            look = {"pruned": {"fillstyle": "none"}, "failed": {"marker": "x"}}.get(state, {})
            dots(axes, scored[scored["state"] == state], along, "score", models, markersize=3.3, markeredgewidth=0.8,
                 **look)
        keep_within(axes, "y", floor)
        axes.grid(axis="y")
    if len(states) > 1:
        handles = [Line2D([], [], linestyle="none", color=FAINT, marker="x" if state == "failed" else "o",
                          fillstyle="none" if state == "pruned" else "full") for state in states]
        figure.legend(handles, states, loc="outside lower left", ncols=len(states))
