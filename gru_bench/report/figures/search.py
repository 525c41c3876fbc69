"""The figures of a search: its trials by number, its trials by setting, and the expected best of fewer trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from gru_bench.report.document.figure import Figure, Panel, Values, with_interval
from gru_bench.report.document.numbers import written
from gru_bench.report.figures.curves import OVERLAID, curves, draw_panels, not_drawn
from gru_bench.report.figures.style import Style, few_ticks, in_percent, log_axis, name_series, new_figure, share_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

STATES = ("complete", "pruned", "failed")
"""States of a trial that has ended. Each is drawn in its own way: filled, hollow, as a cross."""
SCORE = "validation accuracy"

Trials = Sequence[Mapping[str, Any]]
Models = Mapping[str, Trials]
"""Model -> its trials."""


def history_figure(values: Values, score: str = "accuracy") -> Figure:
    """Return the figure of the trials of each search in their order.

    Args:
        values: A row for each trial, with columns `model`, `trial`, `state`, `validation accuracy` (None where there is
            none) and `best so far`: that of the complete trials up to this one.
        score: Name of the score in these columns.
    """
    models = _models(values)
    drawn, floor, note = _drawn(models)
    panel = Panel("best so far, %", curves({
        model: [(trial["trial"], *[100 * trial["best so far"]] * 3) for trial in trials
                if trial["best so far"] is not None and 100 * trial["best so far"] >= floor]
        for model, trials in models.items()}), "trial")
    return Figure(
        "search-history",
        f"Validation {score} of each trial, in the order of the search; a line shows the best complete trial so far."
        f"{note}",
        f"Validation {score} by trial. {'; '.join(map(_in_words, models, models.values()))}.", values,
        partial(_history, panel, drawn, floor, score), tuple(drawn), (panel,))


def settings_figure(values: Values, score: str = "accuracy") -> Figure:
    """Return the figure of the accuracy of the trials against each of their settings.

    Args:
        values: A row for each trial and setting, with columns `setting`, `scale` (`log` or `linear`), `value`, `model`,
            `trial`, `state` and `validation accuracy` (None where there is none).
        score: Name of the score in the last column.
    """
    models = _models(values)
    drawn, floor, note = _drawn(models)
    settings = {setting: _models(own) for setting, own in values.groups("setting").items()}
    return Figure(
        "search-settings",
        f"Validation {score} of each trial against its {' and its '.join(settings)}; the largest mark of a model is "
        f"its best complete trial.{note}",
        f"Validation {score} by setting. {'; '.join(_settings_in_words(model, settings) for model in models)}.",
        values, partial(_settings, settings, list(drawn), floor, score), tuple(drawn))


def expected_best_figure(values: Values) -> Figure:
    """Return the figure of the expected best validation accuracy by number of random trials.

    Args:
        values: A row for each model and number of trials, with columns `model`, `trials` and `expected best`.
    """
    models = _models(values)
    drawn = list(models)[:OVERLAID]
    panel = Panel("expected best, %", curves({
        model: [(row["trials"].value, *in_percent(row["expected best"])) for row in rows]
        for model, rows in models.items()}), "trials")
    words = "; ".join(
        f"{model}: {with_interval(rows[0]['expected best'])} % of {rows[0]['trials'].text} trial, "
        f"{with_interval(rows[-1]['expected best'])} % of {rows[-1]['trials'].text}" for model, rows in models.items())
    return Figure(
        "expected-best",
        "Expected best validation accuracy by number of fresh random trials. The band is a conservative 80 % interval "
        f"of that expectation: it is wide where little is known beyond the best trial seen.{not_drawn(models)}",
        f"Expected best validation accuracy by number of trials. {words}.", values,
        partial(_expected_best, panel, drawn), tuple(drawn), (panel,))


def _models(values: Values) -> Models:
    return {model: trials.records() for model, trials in values.groups("model").items()}


def _drawn(models: Models) -> tuple[Models, int, str]:
    """Return the models that are drawn, the whole percentage at which the axes end, and the words of a caption on both.

    It is far below most trials of each model, so that a few bad ones do not squeeze the others together; 0 where no
    trial lies below it.
    """
    drawn = {model: models[model] for model in list(models)[:OVERLAID]}
    scores = [own for trials in drawn.values() if (own := [100 * trial[SCORE] for trial in _scored(trials)])]
    quartiles = [np.percentile(own, (25, 75)) for own in scores]
    floor = math.floor(min((low - max(3 * (high - low), 5) for low, high in quartiles), default=0))
    cut = floor > 0 and any(score < floor for own in scores for score in own)
    words = f" Trials below {floor} % stand on the lower edge." if cut else ""
    return drawn, floor if cut else 0, words + not_drawn(models)


def _scored(trials: Trials, states: Sequence[str] = STATES) -> Trials:
    """Return the trials in some states that have an accuracy."""
    return [trial for trial in trials if trial["state"] in states and trial[SCORE] is not None]


def _best(trials: Trials) -> Mapping[str, Any] | None:
    """Return the complete trial with the highest accuracy, the first of several; None where none is complete."""
    return max(_scored(trials, ["complete"]), key=lambda trial: float(trial[SCORE]), default=None)


def _history(panel: Panel, models: Models, floor: int, score: str, style: Style) -> Drawing:
    figure, (axes,) = _draw_trials({"trial": models}, "trial", list(models), floor, score, style)
    for line in panel.lines:
        axes.plot(line.x, line.mean, drawstyle="steps-post", color=style.color(line.series), linewidth=1.2, zorder=1.9,
                  gid=f"series-{line.series}")
    few_ticks(axes.xaxis, 9, whole=True)
    return figure


def _settings(
    settings: Mapping[str, Models], names: Sequence[str], floor: int, score: str, style: Style
) -> Drawing:
    figure, axes_of = _draw_trials(settings, "value", names, floor, score, style)
    for axes, (setting, models) in zip(axes_of, settings.items(), strict=True):
        for place, name in enumerate(names):
            if best := _best(models.get(name, ())):
                axes.plot([best["value"]], [100 * best[SCORE]], markersize=8, markeredgecolor=style.ink,
                          markeredgewidth=0.8, clip_on=False, gid=f"series-{place}", **style.mark(place))
        if all(trial["scale"] == "log" for trials in models.values() for trial in trials):
            log_axis(axes, 5)
            axes.set_xlabel(f"{setting} (log scale)")
        else:
            few_ticks(axes.xaxis, 5)
    return figure


def _draw_trials(
    panels: Mapping[str, Models], along: str, names: Sequence[str], floor: int, score: str, style: Style
) -> tuple[Drawing, list[Axes]]:
    """Draw the trials that have an accuracy, those of each state in their own way, and return the axes of the panels.

    Args:
        panels: Name of the x axis of each panel -> the trials of each model.
        along: Column of the values along x.
        names: Models that are drawn.
        floor: Percentage at which the axes end; 0 for that of the trials.
        score: Name of the score.
        style: The style.
    """
    from matplotlib.lines import Line2D

    figure, axes_of = new_figure(style, 0.4, len(panels), 1 if style.narrow else len(panels), 2.4, len(names),
                                 sharey=True)
    for axes, (label, models) in zip(axes_of, panels.items(), strict=True):
        for place, name in enumerate(names):
            for state in STATES:
                if drawn := _scored(models.get(name, ()), [state]):
                    axes.plot([trial[along] for trial in drawn], [max(100 * trial[SCORE], floor) for trial in drawn],
                              gid=f"series-{place}", **_mark(state, style, place))
        share_axis(axes, "y")
        if floor:
            axes.set_ylim(bottom=floor)
        axes.grid(axis="y", linewidth=0.5)
        axes.set_xlabel(label)
    figure.supylabel(f"validation {score}, %", fontsize=style.size)
    name_series(figure, names, style, line=False)
    states = [state for state in STATES
              if any(_scored(models.get(name, ()), [state]) for models in panels.values() for name in names)]
    if len(states) > 1:
        handles = [Line2D([], [], label=state, **{**_mark(state, style, 0), "color": style.faint}) for state in states]
        figure.legend(handles=handles, loc="outside lower left", ncols=len(states), frameon=False,
                      fontsize=style.size - 1, handletextpad=0.2)
    return figure, axes_of


def _mark(state: str, style: Style, place: int) -> dict[str, Any]:
    """Return how a trial in a state is drawn, as options of a line."""
    return {**style.mark(place), "linestyle": "none", "markersize": 4.5, "markeredgewidth": 1.0,
            **({} if state == "complete" else {"markerfacecolor": "none"}),
            **({"marker": "x"} if state == "failed" else {})}


def _expected_best(panel: Panel, models: Sequence[str], style: Style) -> Drawing:
    figure, (axes,) = draw_panels([panel], models, style, 2.9)
    few_ticks(axes.xaxis, 9, whole=True)
    share_axis(axes, "y")
    axes.set(xlabel="random trials", ylabel="best validation accuracy, %")
    return figure


def _in_words(model: str, trials: Trials) -> str:
    """Return how many trials there are, of which state, how many have no accuracy to be drawn, and the best."""
    counts = [f"{count} {state}" for state in STATES if (count := sum(trial["state"] == state for trial in trials))]
    unscored = len(trials) - len(_scored(trials))
    not_shown = f"; {unscored} without an accuracy, not drawn" if unscored else ""
    best = _best(trials)
    words = f", the best {written(best[SCORE], 'percent')} % in trial {best['trial']}" if best else ""
    return f"{model}: {len(trials)} trial{'s' * (len(trials) != 1)} ({', '.join(counts)}{not_shown}){words}"


def _settings_in_words(model: str, settings: Mapping[str, Models]) -> str:
    by_setting = {setting: models[model] for setting, models in settings.items() if model in models}
    words = _in_words(model, next(iter(by_setting.values())))
    for setting, trials in by_setting.items():
        low, high = (written(end(trial["value"] for trial in trials), "setting") for end in (min, max))
        at = f" {written(best['value'], 'setting')} in the best," if (best := _best(trials)) else ""
        words += f", {setting}{at} {low} to {high} in all"
    return words
