"""The figures with curves and bands: learning curves, reliability, and the expected best of a search."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from gru_bench.report.document.numbers import Number
from gru_bench.report.document.report import Confidence, Curve, Epoch, ExpectedBest, Reliability
from gru_bench.report.figures.figure import Cell, Panel, Picture, Series, of_models, value_and_ends, with_interval
from gru_bench.report.figures.style import (
    MARKERS,
    PANELS,
    Line,
    Style,
    draw_line,
    name_series,
    new_figure,
    percent_axis,
    share_axis,
    short,
)
from gru_bench.report.sections.errors import LEAST

OVERLAID = 6
"""Most models whose curves share axes; with more, each has axes of its own."""


def learning_picture(curves: Sequence[Curve]) -> Picture:
    """Return the learning curves: models over one another while few, else side by side."""
    shown = curves[:PANELS]
    loss = "mean over seeds, with a band from the lowest to the highest seed."
    if len(shown) <= OVERLAID:
        series = of_models([curve.label for curve in shown])
        by_title = {
            "training loss": [_train_line(curve, place) for place, curve in enumerate(shown)],
            "validation loss": [
                _epoch_line(curve, place, lambda epoch: epoch.validation_loss) for place, curve in enumerate(shown)
            ],
            "validation accuracy, %": [
                _epoch_line(curve, place, lambda epoch: epoch.validation_accuracy, 100)
                for place, curve in enumerate(shown)
            ],
        }
        places = list(range(len(shown)))
        drawn = [title for title, lines in by_title.items() if any(line.x for line in lines)]
        losses = " and ".join(title for title in drawn if title.endswith("loss"))
        accuracy = ["validation accuracy"] if drawn and drawn[-1].endswith("%") else []
        what = ", and ".join([f"{losses}, in nats per review"] * bool(losses) + accuracy)
        caption = f"{what[:1].upper()}{what[1:]}, by epoch: {loss}"
    else:
        series = (Series("training", None), Series("validation", None))
        by_title = {
            f"{curve.label}, loss" if count else curve.label: [
                _train_line(curve, 0), _epoch_line(curve, 1, lambda epoch: epoch.validation_loss)]
            for count, curve in enumerate(shown, start=1)
        }
        places = []
        caption = f"Training loss (line) and validation loss (dashed), in nats per review, by epoch: {loss}"
    panels = tuple(
        Panel(title, lines, 1 if title.endswith("%") else 3)
        for title, found in by_title.items()
        if (lines := tuple(line for line in found if line.x))
    )
    rows: list[tuple[Cell, ...]] = [("panel", "series", "epoch", "mean", "low", "high")]
    for panel in panels:
        for line in panel.lines:
            name = series[line.series].name if series else shown[0].label
            rows += [(panel.title, name, *point) for point in zip(line.x, line.mean, line.low, line.high, strict=True)]
    return Picture(
        "curves", caption, _curve_words(curves),
        lambda style: _curves(panels, [curve.label for curve in shown], places, style), rows, series, panels,
    )


def _train_line(curve: Curve, series: int) -> Line:
    """Return the training loss: by window where it was logged so, else by epoch."""
    window_losses = curve.window_losses
    if window_losses is None:
        return _epoch_line(curve, series, lambda epoch: epoch.train_loss)
    points = zip(window_losses.epoch, window_losses.mean, window_losses.low, window_losses.high, strict=True)
    known = [point for point in points if all(map(math.isfinite, point))]
    x, mean, low, high = zip(*known, strict=True) if known else ((), (), (), ())
    return Line(series, x, mean, low, high, dense=True)


def _epoch_line(curve: Curve, series: int, pick: Callable[[Epoch], Number], scale: float = 1) -> Line:
    known = [
        (epoch.epoch.value or 0, *(scale * (number.value if end is None else end) for end in (None, *_ends(number))))
        for epoch in curve.epochs
        if (number := pick(epoch)).value is not None and math.isfinite(number.value)
    ]
    x, mean, low, high = zip(*known, strict=True) if known else ((), (), (), ())
    return Line(series, x, mean, low, high)


def _ends(number: Number) -> tuple[float | None, float | None]:
    return number.low, number.high


def _curves(panels: Sequence[Panel], labels: Sequence[str], places: Sequence[int], style: Style) -> Figure:
    """Draw the panels: with `places`, each series is a model, else each panel is a model."""
    columns = min(1 if style.narrow and len(panels) <= 3 else 2 if style.narrow else 3, len(panels))
    rows = -(-len(panels) // columns)
    figure, grid = new_figure(style, (0.9 if places else 0.6) + 2.1 * rows, columns, rows, sharex=True,
                           sharey="none" if places else "all")
    for number, axes in enumerate(grid.flat):
        if number >= len(panels):
            axes.set_visible(False)
            continue
        panel = panels[number]
        for line in panel.lines:
            place = places[line.series] if places else number
            draw_line(axes, line, style, place, dashed=not places and line.series == 1)
        title = panel.title if places else short(labels[number], 26)
        axes.set_title(title, loc="left", color=style.ink if not places else style.faint)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        if places and panel.title.endswith("%"):
            share_axis(axes, "y")
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axes.grid(axis="y", linewidth=0.5)
    figure.supxlabel("epoch", fontsize=style.size)
    if not places:
        figure.supylabel("loss", fontsize=style.size)
        first: Axes = grid[0, 0]
        handles = [Line2D([], [], color=style.faint, label="training"),
                   Line2D([], [], color=style.faint, linestyle=(0, (3, 2)), marker="o", markersize=3.5,
                                    label="validation")]
        first.legend(handles=handles, frameon=False, fontsize=style.size - 1, handlelength=2.2, loc="upper right")
    elif len(places) > 1:
        handles = [Line2D([], [], color=style.color(p), marker=MARKERS[p % len(MARKERS)], markersize=4.5,
                                    label=short(label, 30, 1)) for p, label in zip(places, labels, strict=True)]
        columns = 1 if style.narrow else min(3, len(places))
        legend = figure.legend(handles=handles, loc="outside upper left", ncols=columns, frameon=False,
                               fontsize=style.size - 0.5, handletextpad=0.5)
        legend.set_gid("series-names")
    return figure


def reliability_picture(models: Sequence[Reliability]) -> Picture:
    """Return the figure of accuracy by confidence."""
    lines = []
    for place, model in enumerate(models):
        points = [
            (100 * part.confidence.value, *(
                100 * (part.accuracy.value if end is None else end) for end in (None, *_ends(part.accuracy))))
            for part in _dense(model)
            if part.confidence.value is not None and part.accuracy.value is not None
        ]
        x, mean, low, high = zip(*points, strict=True)
        lines.append(Line(place, x, mean, low, high))
    panel = Panel("accuracy, %", tuple(lines), 1, "confidence, %,")
    left_out = any(len(_dense(model)) < len(model.bins) for model in models)
    few = f" Ranges with fewer than {LEAST} predictions of a seed are left out; the table has them." if left_out else ""
    return Picture(
        "reliability",
        "How often predictions of a given confidence are correct: means over seeds, with a band from the lowest to the "
        f"highest seed. On the dotted line confidence equals accuracy; below it a model is overconfident.{few}",
        _reliability_words(models),
        lambda style: _reliability(panel, [model.label for model in models], style),
        [("model", "probability from", "probability to", "share of predictions", "confidence", "accuracy", "low",
          "high"), *(
            (model.label, part.low.value, part.high.value, part.share.value, part.confidence.value,
             *value_and_ends(part.accuracy))
            for model in models for part in model.bins)],
        of_models([model.label for model in models]), (panel,),
    )


def _dense(model: Reliability) -> list[Confidence]:
    """Return the ranges that are drawn: those with enough predictions, or all where none has."""
    return [part for part in model.bins if not part.few] or list(model.bins)


def _reliability(panel: Panel, labels: Sequence[str], style: Style) -> Figure:
    figure, grid = new_figure(style, 3.3 + 0.2 * -(-len(labels) // 3))
    axes: Axes = grid[0, 0]
    for line, label in zip(panel.lines, labels, strict=True):
        draw_line(axes, line, style, line.series, dashed=False)
        axes.lines[-1].set_label(short(label, 30, 1))
        # A mark on the edge, as at 100 %, is whole.
        axes.lines[-1].set_clip_on(False)
    lowest = min(min(line.low) for line in panel.lines)
    axes.plot([50, 100], [50, 100], color=style.faint, linestyle=(0, (1, 2)), linewidth=1, zorder=0)
    axes.set(xlim=(49.5, 100.5), ylim=(max(0, min(49.5, lowest - 1)), 100.5))
    percent_axis(axes.xaxis)
    percent_axis(axes.yaxis)
    axes.grid(axis="y", linewidth=0.5)
    axes.set_xlabel("confidence, %" if style.narrow else "confidence: probability of the predicted class, %")
    axes.set_ylabel("accuracy, %")
    name_series(figure, len(labels), style)
    return figure


def budget_picture(found: Sequence[ExpectedBest]) -> Picture:
    """Return the figure of the expected best validation accuracy by number of random trials."""
    lines = []
    for place, model in enumerate(found[:OVERLAID]):
        points = [(point.trials.value or 0, *(100 * (end or 0) for end in value_and_ends(point.best)))
                  for point in model.points]
        x, mean, low, high = zip(*points, strict=True)
        lines.append(Line(place, x, mean, low, high))
    panel = Panel("expected best, %", tuple(lines), 1, "trials")
    labels = [model.label for model in found]
    rest = f" The table holds all {len(found)} models." if len(found) > OVERLAID else ""
    return Picture(
        "expected-best",
        "Expected best validation accuracy by number of fresh random trials. The band is a conservative 80 % interval "
        f"of that expectation: it is wide where little is known beyond the best trial seen.{rest}",
        _budget_words(found),
        lambda style: _budget(panel, labels[:OVERLAID], style),
        [("model", "trials", "expected best", "low", "high"), *(
            (model.label, point.trials.value, *value_and_ends(point.best)) for model in found
            for point in model.points)],
        of_models(labels[:OVERLAID]), (panel,),
    )


def _budget(panel: Panel, labels: Sequence[str], style: Style) -> Figure:
    figure, grid = new_figure(style, 2.9 + 0.2 * -(-len(labels) // 3))
    axes: Axes = grid[0, 0]
    for line, label in zip(panel.lines, labels, strict=True):
        draw_line(axes, line, style, line.series, dashed=False)
        axes.lines[-1].set_label(short(label, 30, 1))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    share_axis(axes, "y")
    axes.grid(axis="y", linewidth=0.5)
    axes.set_xlabel("random trials")
    axes.set_ylabel("best validation accuracy, %")
    name_series(figure, len(labels), style)
    return figure


def _curve_words(curves: Sequence[Curve]) -> str:
    parts = []
    for curve in curves:
        first, last = curve.epochs[0], curve.epochs[-1]
        losses = [
            f"{name} loss from {start.text} to {end.text}"
            for name, start, end in (("training", first.train_loss, last.train_loss),
                                     ("validation", first.validation_loss, last.validation_loss))
            if start.value is not None or end.value is not None
        ]
        parts.append(f"{curve.label}: {', '.join(losses)} over {last.epoch.text} epochs")
    return "Loss by epoch. " + "; ".join(parts) + "."


def _reliability_words(models: Sequence[Reliability]) -> str:
    parts = [
        f"{model.label}: " + ", ".join(
            f"{part.accuracy.text} % correct at {part.confidence.text} %"
            for part in _dense(model) if part.accuracy.value is not None
        )
        for model in models
    ]
    return "Accuracy by confidence. " + "; ".join(parts) + "."


def _budget_words(found: Sequence[ExpectedBest]) -> str:
    parts = [
        f"{model.label}: {with_interval(model.points[0].best)} % of {model.points[0].trials.text} trial, "
        f"{with_interval(model.points[-1].best)} % of {model.points[-1].trials.text}"
        for model in found
    ]
    return "Expected best validation accuracy by number of trials. " + "; ".join(parts) + "."
