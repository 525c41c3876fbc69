"""The figures of a report, made from its numbers: accuracy, differences and cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gru_bench.report.document.report import BaselineRow, Report, Row
from gru_bench.report.figures.breakdowns import category_picture, confusion_picture, length_picture
from gru_bench.report.figures.curves import budget_picture, learning_picture, reliability_picture
from gru_bench.report.figures.figure import Cell, Picture, value_and_ends, with_interval, with_intervals
from gru_bench.report.figures.style import (
    LINES,
    MARKERS,
    PANELS,
    Style,
    interval_marks,
    names_axis,
    new_figure,
    percent_axis,
    share_axis,
    short,
)

LABELS = 4
"""Most points that get their names beside them."""


def pictures(report: Report) -> list[Picture]:
    """Return the figures that a report has numbers for, those of its own sections last."""
    found = [_accuracy_picture(report)]
    if report.comparisons:
        found.append(_difference_picture(report))
    curves = [curve for curve in report.curves if curve.epochs]
    if curves:
        found.append(learning_picture(curves))
    found.append(confusion_picture(report.rows))
    found += [category_picture(table) for table in report.category_tables]
    found += [length_picture(table) for table in report.length_tables]
    sure = [model for model in report.reliability if any(part.accuracy.value is not None for part in model.bins)]
    if sure:
        found.append(reliability_picture(sure[:PANELS]))
    if sum(bool(row.train_seconds.value) for row in report.rows) > 1:
        found.append(_cost_picture(report))
    if report.expected_best:
        found.append(budget_picture(report.expected_best))
    return [*found, *(picture for section in report.sections for picture in section.drawn())]


def _accuracy_picture(report: Report) -> Picture:
    dashed = {0: "", 1: "; the dashed line is a baseline"}.get(
        len(_baselines_near(report)), "; dashed lines are baselines")
    return Picture(
        "accuracy",
        f"Test accuracy{with_intervals([row.accuracy for row in report.rows])}; small marks are single seeds{dashed}.",
        _accuracy_words(report),
        lambda style: _accuracy(report, style),
        _accuracy_table(report),
    )


def _difference_picture(report: Report) -> Picture:
    return Picture(
        "differences",
        "Difference in test accuracy for each pair"
        f"{with_intervals([pair.difference for pair in report.comparisons], 'unadjusted ')}. In the shaded band "
        "a difference has no practical weight.",
        _difference_words(report),
        lambda style: _differences(report, style),
        [("pair", "difference", "low", "high"), *(
            (f"{pair.a} less {pair.b}", *value_and_ends(pair.difference)) for pair in report.comparisons)],
    )


def _cost_picture(report: Report) -> Picture:
    return Picture(
        "cost",
        f"Test accuracy{with_intervals([row.accuracy for row in report.rows])}, against the seconds of training; "
        "the backend is named.",
        _cost_words(report), lambda style: _cost(report, style),
        [("model", "backend", "training seconds", "accuracy", "low", "high"), *(
            (row.label, row.backend, row.train_seconds.value, *value_and_ends(row.accuracy)) for row in report.rows)],
    )


def _accuracy_table(report: Report) -> list[tuple[Cell, ...]]:
    rows: list[tuple[Cell, ...]] = [("model", "what", "accuracy", "low", "high")]
    for row in report.rows:
        rows.append((row.label, "mean over seeds", *value_and_ends(row.accuracy)))
        rows += [(row.label, f"seed {run.seed}", *value_and_ends(run.accuracy)) for run in row.runs]
    rows += [(baseline.name, "baseline", *value_and_ends(baseline.accuracy)) for baseline in report.baselines]
    return rows


def _baselines_near(report: Report) -> list[BaselineRow]:
    """Return the baselines that are drawn: one far below the models would squeeze them together."""
    lowest = min(run.accuracy.value or 1 for row in report.rows[:LINES] for run in row.runs)
    return [baseline for baseline in report.baselines
            if baseline.accuracy.value is not None and baseline.accuracy.value > lowest - 0.06]


def _accuracy(report: Report, style: Style) -> Figure:
    rows = report.rows[:LINES]
    figure, grid = new_figure(style, 0.9 + (0.95 if style.narrow else 0.55 if len(rows) < 9 else 0.36) * len(rows))
    axes: Axes = grid[0, 0]
    for place, row in enumerate(rows):
        interval_marks(axes, place, row.accuracy, style, place)
        seeds = [100 * (run.accuracy.value or 0) for run in row.runs]
        axes.plot(seeds, [place + 0.24] * len(seeds), "|", color=style.color(place), markersize=6, alpha=0.8)
    drawn = _baselines_near(report)
    for baseline in drawn:
        axes.axvline(100 * (baseline.accuracy.value or 0), color=style.faint, linestyle=(0, (4, 3)), linewidth=0.9,
                     zorder=0)
    axes.margins(x=0.06)
    share_axis(axes, "x")
    left, right = axes.get_xlim()
    for place, baseline in enumerate(drawn):
        x = 100 * (baseline.accuracy.value or 0)
        share = (x - left) / (right - left)
        axes.annotate(
            f"{short(baseline.name, 30, 1)} {baseline.accuracy.text}", (x, 1),
            (0, 3 + 1.3 * style.size * place),
            xycoords=("data", "axes fraction"), textcoords="offset points", va="bottom",
            ha="left" if share < 0.3 else "right" if share > 0.7 else "center", color=style.faint,
            fontsize=style.size - 1,
        )
    names_axis(axes, [short(row.label, 40, 1) if style.narrow else short(row.label) for row in rows], style)
    axes.set_xlabel("test accuracy, %")
    return figure


def _differences(report: Report, style: Style) -> Figure:
    pairs = report.comparisons[:LINES]
    figure, grid = new_figure(style, 0.9 + (0.85 if style.narrow else 0.6 if len(pairs) < 9 else 0.36) * len(pairs))
    axes: Axes = grid[0, 0]
    for place, pair in enumerate(pairs):
        interval_marks(axes, place, pair.difference, style, 0)
    axes.axvline(0, color=style.faint, linewidth=0.9, zorder=0)
    margin = 100 * (report.margin.value or 0)
    axes.axvspan(-margin, margin, color=style.grid, alpha=0.45, linewidth=0, zorder=0)
    names_axis(axes, [
        f"{short(p.a, 19, 1)} less {short(p.b, 19, 1)}" if style.narrow else
        f"{short(p.a, 32, 1)}\nless {short(p.b, 32, 1)}" for p in pairs
    ], style)
    left, right = axes.get_xlim()
    axes.set_xlim(min(left, -1.3 * margin), max(right, 1.3 * margin))
    percent_axis(axes.xaxis)
    axes.set_xlabel("difference in test accuracy, points")
    return figure


def _log_ticks(left: float, right: float) -> list[float]:
    """Return round values between two ends of a logarithmic axis: at least two wherever there are so many."""
    for steps in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9), tuple(range(10, 100))):
        found = [m * 10.0**e for e in range(-3, 7) for m in steps if left <= m * 10.0**e <= right]
        if len(found) > 1:
            break
    return found[:: -(-len(found) // 8) or 1]


def _apart(rows: Sequence[Row]) -> bool:
    """Tell whether the marks of accuracy against cost leave room for a name to the right of each."""
    height = max(row.accuracy.high or row.accuracy.value or 0 for row in rows) - min(
        row.accuracy.low or row.accuracy.value or 0 for row in rows
    )
    return all(
        abs(math.log((one.train_seconds.value or 1) / (two.train_seconds.value or 1))) > math.log(2)
        or abs((one.accuracy.value or 0) - (two.accuracy.value or 0)) > 0.2 * height
        for one, two in combinations(rows, 2)
    )


def _cost(report: Report, style: Style) -> Figure:
    rows = [row for row in report.rows if row.train_seconds.value and row.accuracy.value is not None][:LINES]
    figure, grid = new_figure(style, 2.9)
    axes: Axes = grid[0, 0]
    beside = len(rows) <= LABELS and _apart(rows) and not style.narrow
    for place, row in enumerate(report.rows):
        if row not in rows:
            continue
        x, y = row.train_seconds.value or 0, 100 * (row.accuracy.value or 0)
        color = style.color(place)
        if row.accuracy.low is not None and row.accuracy.high is not None:
            axes.plot([x, x], [100 * row.accuracy.low, 100 * row.accuracy.high], color=color, linewidth=2)
        name = f"{short(row.label, 32, 1)}, {row.backend}"
        axes.plot([x], [y], MARKERS[place % len(MARKERS)], color=color, markersize=6.5, label=name, linestyle="none")
        if beside:
            axes.annotate(name.replace(", ", "\n"), (x, y), (7, 0), textcoords="offset points", va="center",
                          fontsize=style.size - 1)
    if not beside:
        figure.legend(loc="outside upper left" if style.narrow else "outside right upper", frameon=False,
                      fontsize=style.size - 1, handletextpad=0.3)
    seconds = np.array([row.train_seconds.value for row in rows], float)
    axes.set_xscale("log")
    # Room for names to the right of their marks.
    left, right = seconds.min() / 1.4, seconds.max() * (2.6 if beside else 1.4)
    axes.set_xlim(left, right)
    ticks = _log_ticks(left, right)
    axes.set_xticks(ticks, [f"{tick:,.10g}" for tick in ticks])
    axes.minorticks_off()
    axes.margins(y=0.12)
    share_axis(axes, "y")
    axes.grid(axis="y", linewidth=0.5)
    axes.set_xlabel("training, seconds (log scale)")
    axes.set_ylabel("test accuracy, %")
    return figure


def _accuracy_words(report: Report) -> str:
    parts = [f"{row.label} {with_interval(row.accuracy)} %" for row in report.rows]
    parts += [f"{baseline.name} {baseline.accuracy.text} %" for baseline in report.baselines]
    return "Test accuracy: " + "; ".join(parts) + "."


def _difference_words(report: Report) -> str:
    parts = [f"{pair.a} less {pair.b} {with_interval(pair.difference)}" for pair in report.comparisons]
    return "Differences in test accuracy, in points: " + "; ".join(parts) + "."


def _cost_words(report: Report) -> str:
    parts = [
        f"{row.label} {row.accuracy.text} % after {row.train_seconds.text} s of training ({row.backend})"
        for row in report.rows
    ]
    return "Accuracy against cost: " + "; ".join(parts) + "."
