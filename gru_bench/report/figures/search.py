"""The figures of a search: its trials by number, its trials by setting, and the expected best of fewer trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gru_bench.report.document.figure import Figure, Line, Panel, Values, of_models, with_interval
from gru_bench.report.document.numbers import written
from gru_bench.report.figures.curves import OVERLAID
from gru_bench.report.figures.style import (
    MARKERS,
    Style,
    draw_line,
    few_ticks,
    log_axis,
    name_series,
    new_figure,
    share_axis,
    short,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

STATES = ("complete", "pruned", "failed")
"""States of a trial that has ended. Each is drawn in its own way: filled, hollow, as a cross."""
SCORE = "validation accuracy"


def history_figure(values: Values) -> Figure:
    """Return the figure of the trials of each search in their order.

    Args:
        values: A row for each trial, with columns `model`, `trial`, `state`, `validation accuracy` (None where there is
            none) and `best so far`: that of the complete trials up to this one.
    """
    labels, records = values.distinct("model"), values.records()
    floor = _floor(records, labels[:OVERLAID])
    lines = []
    for place, label in enumerate(labels[:OVERLAID]):
        points = [(r["trial"], 100 * r["best so far"]) for r in records
                  if r["model"] == label and r["best so far"] is not None and 100 * r["best so far"] >= (floor or 0)]
        if points:
            x, best = zip(*points, strict=True)
            lines.append(Line(place, x, best, best, best))
    panel = Panel("best so far, %", tuple(lines), 1, "trial")
    return Figure(
        "search-history",
        "Validation accuracy of each trial, in the order of the search; a line shows the best complete trial so far."
        f"{_cut(floor)}{_rest(labels)}",
        _history_in_words(records, labels), values,
        lambda style: _history(panel, records, labels[:OVERLAID], floor, style), of_models(labels[:OVERLAID]), (panel,),
    )


def settings_figure(values: Values) -> Figure:
    """Return the figure of the accuracy of the trials against each of their settings.

    Args:
        values: A row for each trial and setting, with columns `setting`, `scale` (`log` or `linear`), `value`, `model`,
            `trial`, `state` and `validation accuracy` (None where there is none).
    """
    labels, settings, records = values.distinct("model"), values.distinct("setting"), values.records()
    floor = _floor(records, labels[:OVERLAID])
    return Figure(
        "search-settings",
        f"Validation accuracy of each trial against its {' and its '.join(settings)}; the largest mark of a model is "
        f"its best complete trial.{_cut(floor)}{_rest(labels)}",
        _settings_in_words(records, labels), values,
        lambda style: _settings(settings, records, labels[:OVERLAID], floor, style), of_models(labels[:OVERLAID]),
    )


def expected_best_figure(values: Values) -> Figure:
    """Return the figure of the expected best validation accuracy by number of random trials.

    Args:
        values: A row for each model and number of trials, with columns `model`, `trials` and `expected best`.
    """
    labels, records = values.distinct("model"), values.records()
    lines = []
    for place, label in enumerate(labels[:OVERLAID]):
        points = [(r["trials"].value, *(100 * end for end in (r["expected best"].value, r["expected best"].low,
                                                              r["expected best"].high)))
                  for r in records if r["model"] == label]
        x, mean, low, high = zip(*points, strict=True)
        lines.append(Line(place, x, mean, low, high))
    panel = Panel("expected best, %", tuple(lines), 1, "trials")
    rest = f" The table holds all {len(labels)} models." if len(labels) > OVERLAID else ""
    return Figure(
        "expected-best",
        "Expected best validation accuracy by number of fresh random trials. The band is a conservative 80 % interval "
        f"of that expectation: it is wide where little is known beyond the best trial seen.{rest}",
        _expected_best_in_words(records, labels), values,
        lambda style: _expected_best(panel, labels[:OVERLAID], style), of_models(labels[:OVERLAID]), (panel,),
    )


def _floor(records: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> int | None:
    """Return a whole percentage at which the axes end; None where no trial lies below it.

    It is far below most trials of each model, so that a few bad ones do not squeeze the others together.
    """
    by_model = [found for label in labels
                if (found := [100 * r[SCORE] for r in records if r["model"] == label and r[SCORE] is not None])]
    ends = []
    for found in by_model:
        low, high = np.percentile(found, [25, 75])
        ends.append(low - max(3 * (high - low), 5))
    floor = max(0, math.floor(min(ends)))
    return floor if min(map(min, by_model)) < floor else None


def _cut(floor: int | None) -> str:
    return "" if floor is None else f" Trials below {floor} % stand on the lower edge."


def _rest(labels: Sequence[str]) -> str:
    return f" The first {OVERLAID} of {len(labels)} models are drawn." if len(labels) > OVERLAID else ""


def _history(
    panel: Panel, records: Sequence[Mapping[str, Any]], labels: Sequence[str], floor: int | None, style: Style
) -> Drawing:
    figure, grid = new_figure(style, 2.8 + _names_height(labels, style))
    axes: Axes = grid[0, 0]
    for line in panel.lines:
        axes.plot(line.x, line.mean, drawstyle="steps-post", color=style.color(line.series), linewidth=1.2,
                  gid=f"series-{line.series}")
    for place, label in enumerate(labels):
        _draw_trials(axes, [r for r in records if r["model"] == label], "trial", floor, style, place)
    few_ticks(axes.xaxis, 9, whole=True)
    _accuracy_axis(axes, floor)
    axes.set_xlabel("trial")
    axes.set_ylabel("validation accuracy, %")
    _name(figure, records, labels, style)
    return figure


def _settings(
    settings: Sequence[str], records: Sequence[Mapping[str, Any]], labels: Sequence[str], floor: int | None,
    style: Style,
) -> Drawing:
    columns = 1 if style.narrow else len(settings)
    rows = -(-len(settings) // columns)
    figure, grid = new_figure(style, 0.4 + 2.4 * rows + _names_height(labels, style), columns, rows, sharey=True)
    for axes, setting in zip(grid.flat, settings, strict=True):
        own = [r for r in records if r["setting"] == setting]
        for place, label in enumerate(labels):
            of_model = [r for r in own if r["model"] == label]
            _draw_trials(axes, of_model, "value", floor, style, place)
            if best := _best(of_model):
                axes.plot([best["value"]], [100 * best[SCORE]], MARKERS[place % len(MARKERS)], markersize=8,
                          color=style.color(place), markeredgecolor=style.ink, markeredgewidth=0.8,
                          gid=f"series-{place}")
        log = all(r["scale"] == "log" for r in own)
        if log:
            log_axis(axes, 5)
        else:
            few_ticks(axes.xaxis, 5)
        _accuracy_axis(axes, floor)
        axes.set_xlabel(f"{setting} (log scale)" if log else setting)
    figure.supylabel("validation accuracy, %", fontsize=style.size)
    _name(figure, records, labels, style)
    return figure


def _names_height(labels: Sequence[str], style: Style) -> float:
    """Return the inches that the names of the models take, which stand three or on a phone one in a line."""
    return 0.0 if len(labels) < 2 else 0.25 * (len(labels) if style.narrow else -(-len(labels) // 3))


def _draw_trials(
    axes: Axes, records: Sequence[Mapping[str, Any]], along: str, floor: int | None, style: Style, place: int
) -> None:
    """Draw the trials of a model that have an accuracy, those of each state in their own way."""
    for state in STATES:
        drawn = [r for r in records if r["state"] == state and r[SCORE] is not None]
        if drawn:
            axes.plot([r[along] for r in drawn], [max(100 * r[SCORE], floor or 0) for r in drawn], linestyle="none",
                      gid=f"series-{place}", **_mark(state, style.color(place), MARKERS[place % len(MARKERS)]))


def _mark(state: str, color: str, marker: str) -> dict[str, Any]:
    """Return how a trial in a state is drawn."""
    return {"marker": "x" if state == "failed" else marker, "markersize": 4.5, "color": color,
            "markerfacecolor": color if state == "complete" else "none", "markeredgecolor": color,
            "markeredgewidth": 1.0}


def _accuracy_axis(axes: Axes, floor: int | None) -> None:
    share_axis(axes, "y")
    if floor is not None:
        axes.set_ylim(bottom=floor)
    axes.grid(axis="y", linewidth=0.5)


def _name(figure: Drawing, records: Sequence[Mapping[str, Any]], labels: Sequence[str], style: Style) -> None:
    """Name the models above the axes, and below them the states, where there are several."""
    from matplotlib.lines import Line2D

    if len(labels) > 1:
        handles = [Line2D([], [], linestyle="none", label=short(label, 30, 1),
                          **_mark("complete", style.color(place), MARKERS[place % len(MARKERS)]))
                   for place, label in enumerate(labels)]
        name_series(figure, len(labels), style, handles)
    states = [state for state in STATES
              if any(r["state"] == state and r[SCORE] is not None and r["model"] in labels for r in records)]
    if len(states) > 1:
        handles = [Line2D([], [], linestyle="none", label=state, **_mark(state, style.faint, MARKERS[0]))
                   for state in states]
        figure.legend(handles=handles, loc="outside lower left", ncols=len(states), frameon=False,
                      fontsize=style.size - 1, handletextpad=0.2)


def _best(records: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the complete trial with the highest accuracy, the first of several; None where none is complete."""
    complete = [r for r in records if r["state"] == "complete" and r[SCORE] is not None]
    return max(complete, key=lambda r: float(r[SCORE]), default=None)


def _expected_best(panel: Panel, labels: Sequence[str], style: Style) -> Drawing:
    figure, grid = new_figure(style, 2.9 + 0.2 * -(-len(labels) // 3))
    axes: Axes = grid[0, 0]
    for line, label in zip(panel.lines, labels, strict=True):
        draw_line(axes, line, style, line.series, dashed=False)
        axes.lines[-1].set_label(short(label, 30, 1))
    few_ticks(axes.xaxis, 9, whole=True)
    share_axis(axes, "y")
    axes.grid(axis="y", linewidth=0.5)
    axes.set_xlabel("random trials")
    axes.set_ylabel("best validation accuracy, %")
    name_series(figure, len(labels), style)
    return figure


def _history_in_words(records: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> str:
    parts = []
    for label in labels:
        own = [r for r in records if r["model"] == label]
        words = f"{label}: {_counted(own)}"
        if best := _best(own):
            first = next(r for r in own if r["best so far"] is not None)
            start = "" if first is best else f"from {written(first[SCORE], 'percent')} % in trial {first['trial']} to "
            words += f", the best so far {start}{written(best[SCORE], 'percent')} % in trial {best['trial']}"
        parts.append(words)
    return "Validation accuracy by trial. " + "; ".join(parts) + "."


def _settings_in_words(records: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> str:
    parts = []
    for label in labels:
        by_setting: dict[str, list[Mapping[str, Any]]] = {}
        for r in records:
            if r["model"] == label:
                by_setting.setdefault(r["setting"], []).append(r)
        any_setting = next(iter(by_setting.values()))
        words = f"{label}: {_counted(any_setting)}"
        if best := _best(any_setting):
            words += f", the best {written(best[SCORE], 'percent')} %"
        for setting, own in by_setting.items():
            low, high = (written(end(r["value"] for r in own), "setting") for end in (min, max))
            at = f" {written(best['value'], 'setting')} in the best," if (best := _best(own)) else ""
            words += f", {setting}{at} {low} to {high} in all"
        parts.append(words)
    return "Validation accuracy by setting. " + "; ".join(parts) + "."


def _counted(records: Sequence[Mapping[str, Any]]) -> str:
    """Return how many trials there are, of which state, and how many have no accuracy to be drawn."""
    counts = [f"{count} {state}" for state in STATES if (count := sum(r["state"] == state for r in records))]
    unscored = sum(r[SCORE] is None for r in records)
    return (f"{len(records)} trial{'s' * (len(records) != 1)} ({', '.join(counts)}"
            + (f"; {unscored} without an accuracy, not drawn)" if unscored else ")"))


def _expected_best_in_words(records: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> str:
    parts = []
    for label in labels:
        own = [r for r in records if r["model"] == label]
        first, last = own[0], own[-1]
        parts.append(f"{label}: {with_interval(first['expected best'])} % of {first['trials'].text} trial, "
                     f"{with_interval(last['expected best'])} % of {last['trials'].text}")
    return "Expected best validation accuracy by number of trials. " + "; ".join(parts) + "."
