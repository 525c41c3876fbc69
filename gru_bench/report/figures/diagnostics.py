"""The figures of the diagnostics: gradients through time, gates, word attributions and the recall task.

Shapes: `T` tokens of a sentence, `H` units of a state.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from gru_bench.report.document.numbers import MINUS, plain, written
from gru_bench.report.figures.figure import Cell, Picture, of_models
from gru_bench.report.figures.style import (
    MARKERS,
    SCREEN,
    Style,
    name_series,
    new_figure,
    percent_axis,
    share_axis,
    short,
)
from gru_bench.results.diagnostics import STATES, Attribution, GateMap, GradientFlow, RecallCurve

BANDS = 10
"""Rows of a gate's map: each is the mean of a tenth of the units."""
SHADES = 25
METHODS = ("occlusion", "gradient times input")


def flow_label(flow: GradientFlow, names: Mapping[str, str]) -> str:
    """Return the label of a flow's line."""
    name = names.get(flow.model, plain(flow.model))
    return f"{name}, {flow.direction}" if flow.model == "bidirectional" else name


def gradient_picture(flows: Sequence[GradientFlow], names: Mapping[str, str], key: str = "gradients") -> Picture:
    """Return the norms of the gradient by steps back, before training and after."""
    labels = list(dict.fromkeys(flow_label(flow, names) for flow in flows))
    steps = max(flow.steps_back[-1] for flow in flows)
    return Picture(
        key,
        "Norm of the gradient of the loss with respect to the state, by steps back from the state that is read last: "
        "geometric mean over reviews, with a band from the lower to the upper quartile. A straight line means a "
        "constant factor per step.",
        f"Gradient norms over {steps} steps back. " + "; ".join(_flow_words(flow, names) for flow in flows) + ".",
        lambda style: _gradients(flows, labels, names, style),
        [("model", "direction", "weights", "steps back", "norm", "lower quartile", "upper quartile"), *(
            (names.get(flow.model, flow.model), flow.direction, STATES[flow.state], *values)
            for flow in flows
            for values in zip(flow.steps_back, flow.norm, flow.low, flow.high, strict=True))],
        of_models(labels),
    )


def _flow_words(flow: GradientFlow, names: Mapping[str, str]) -> str:
    where = f"{flow_label(flow, names)}, {STATES[flow.state]}"
    if len(flow.norm) == 1:
        return f"{where}: {written(flow.norm[0], 'setting')}, and nothing before it"
    rate = f", {written(flow.decay, 'score')} per step" if flow.decay is not None else ""
    return (f"{where}: from {written(flow.norm[0], 'setting')} to {written(flow.norm[-1], 'setting')} "
            f"{flow.steps_back[-1]} steps back{rate}")


def _gradients(
    flows: Sequence[GradientFlow], labels: Sequence[str], names: Mapping[str, str], style: Style
) -> Figure:
    states = [state for state in STATES if any(flow.state == state for flow in flows)]
    across, down = (1, len(states)) if style.narrow else (len(states), 1)
    figure, grid = new_figure(style, 3.3 * (1 if not style.narrow else 0.8 * down) + 0.2 * -(-len(labels) // 3), across,
                              down, sharey=True)
    named: set[str] = set()
    for axes, state in zip(grid.flat, states, strict=True):
        for flow in flows:
            if flow.state != state:
                continue
            label = flow_label(flow, names)
            place = labels.index(label)
            # Not at the same places as its neighbours' marks.
            every = (2 * place % 10, 10)
            color, gid = style.color(place), f"series-{place}"
            axes.fill_between(flow.steps_back, flow.low, flow.high, color=color, alpha=0.15, linewidth=0, gid=gid)
            axes.plot(flow.steps_back, flow.norm, color=color, marker=MARKERS[place % len(MARKERS)], markersize=4.2,
                      markevery=every if len(flow.norm) > 1 else None, gid=gid,
                      label=None if label in named else short(label, 32, 1))
            named.add(label)
        axes.set_yscale("log")
        axes.set_title(STATES[state], loc="left", color=style.faint)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.grid(axis="y", linewidth=0.5)
        axes.set_xlabel("steps back")
    lowest = min(value for flow in flows for value in flow.low)
    highest = max(value for flow in flows for value in flow.high)
    _decades(grid.flat[0], lowest, highest)
    grid.flat[0].set_ylabel("norm of the gradient")
    name_series(figure, len(labels), style)
    return figure


def _decades(axes: Axes, lowest: float, highest: float) -> None:
    """Label few powers of ten in plain characters, which all fonts have."""
    low, high = math.floor(math.log10(lowest)), math.ceil(math.log10(highest))
    every = max(1, math.ceil((high - low) / 7))
    powers = list(range(high, low - 1, -every))
    axes.set_ylim(10.0**low if high - low < 3 else lowest / 3, highest * 3)
    axes.set_yticks([10.0**power for power in powers], [_power(power) for power in powers])
    axes.minorticks_off()


def _power(power: int) -> str:
    if -3 <= power <= 2:
        return f"{10.0 ** power:g}"
    return f"1e{MINUS if power < 0 else ''}{abs(power)}"


# ---------------------------------------------------------------- gates


def gate_picture(maps: Sequence[GateMap], names: Mapping[str, str], key: str) -> Picture:
    """Return the gates of one model over a sentence: a map for each gate and direction."""
    name = names.get(maps[0].model, plain(maps[0].model))
    bands = _bands(np.array(maps[0].update)).shape[1]
    return Picture(
        key,
        f"Gates of the {name} over a sentence, from 0 (closed) to 1 (open). An update gate of 1 keeps the state, and "
        "one of 0 replaces it. A reset gate of 0 leaves the state out of the candidate. Each row is the mean of a "
        "tenth of the units, those with the lowest mean at the bottom.",
        f"Gates of the {name}, mean over units by word. "
        + " ".join(f"{title}: " + ", ".join(
            f"{plain(token)} {written(value, 'score')}"
            for token, value in zip(found.tokens, gate_TH.mean(axis=1).tolist(), strict=True)) + "."
            for found in maps for title, gate_TH in _gates(found, len(maps) > 1)),
        lambda style: _gate_figure(maps, style),
        [("direction", "gate", "place", "word", "mean over units",
          *(f"part {n} of {bands} of the units" for n in range(1, bands + 1))),
         *((found.direction, title.partition(",")[0], place, plain(token), gate_TH[place].mean(), *band_TN[place])
           for found in maps for title, gate_TH in _gates(found, False) for band_TN in [_bands(gate_TH)]
           for place, token in enumerate(found.tokens))],
    )


def _gates(found: GateMap, both: bool) -> list[tuple[str, NDArray[np.float64]]]:
    tail = f", {found.direction}" if both else ""
    return [(f"update gate{tail}", np.array(found.update)), (f"reset gate{tail}", np.array(found.reset))]


def _bands(gate_TH: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the means of tenths of the units, ordered by their mean over the sentence, T x BANDS (fewer units: H)."""
    order_H = np.argsort(gate_TH.mean(axis=0), kind="stable")
    parts = np.array_split(order_H, min(BANDS, len(order_H)))
    return np.stack([gate_TH[:, part].mean(axis=1) for part in parts], axis=1)


def _gate_figure(maps: Sequence[GateMap], style: Style) -> Figure:
    panels = [panel for found in maps for panel in _gates(found, len(maps) > 1)]
    tokens = maps[0].tokens
    figure, grid = new_figure(style, 0.7 + 1.15 * len(panels), rows=len(panels), sharex=True)
    for (title, gate_TH), axes in zip(panels, grid.flat, strict=True):
        band_TN = _bands(gate_TH)
        color = style.color(0 if title.startswith("update") else 1)
        for patch in _cells(band_TN, color):
            axes.add_patch(patch)
        axes.set(xlim=(0, len(tokens)), ylim=(0, band_TN.shape[1]))
        _scale(axes, color, style)
        axes.set_yticks([])
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        axes.tick_params(axis="x", length=0)
        axes.set_title(title, loc="left", color=style.faint)
    last: Axes = grid.flat[-1]
    last.set_xticks(np.arange(len(tokens)) + 0.5, [short(plain(token), 14, 1) for token in tokens], rotation=60,
                    ha="right", rotation_mode="anchor")
    return figure


def _cells(value_XY: NDArray[np.float64], color: str) -> list[PathPatch]:
    """Return unit squares shaded by their values, those of a shade as one shape, which takes fewer bytes."""
    shade_XY = np.rint(value_XY * SHADES).astype(int)
    return [
        PathPatch(
            Path.make_compound_path(*(Path([(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1), (x, y)], closed=True)
                                      for x, y in np.argwhere(shade_XY == shade).tolist())),
            facecolor=color, edgecolor="none", linewidth=0, alpha=shade / SHADES, antialiased=False)
        for shade in np.unique(shade_XY).tolist() if shade
    ]


def _scale(axes: Axes, color: str, style: Style) -> None:
    """Draw the scale of the shades above the right end of a map."""
    key = axes.inset_axes((0.86, 1.05, 0.1, 0.09))
    for patch in _cells(np.linspace(0, 1, 6)[:, None], color):
        key.add_patch(patch)
    key.set(xlim=(0, 6), ylim=(0, 1), xticks=[], yticks=[])
    for spine in key.spines.values():
        spine.set_visible(True)
        spine.set_color(style.grid)
    for x, ha, text in ((-0.04, "right", "0"), (1.04, "left", "1")):
        key.text(x, 0.5, text, transform=key.transAxes, ha=ha, va="center", fontsize=style.size - 1.5,
                 color=style.faint)


# ---------------------------------------------------------------- words


def word_picture(attributions: Sequence[Attribution], names: Mapping[str, str], key: str = "words") -> Picture:
    """Return how much each word moves each model's decision, by both methods."""
    models = list(dict.fromkeys(found.model for found in attributions))
    return Picture(
        key,
        "How far each word moves a model's decision, in nats of the log-odds: bars to the right speak for label 1, to "
        "the left for label 0. Bars: the change when the word is left out (occlusion). Marks: gradient times input.",
        " ".join(_word_words(model, attributions, names) for model in models),
        lambda style: _words(models, attributions, names, style),
        [("model", "method", "place", "word", "weight"), *(
            (names.get(found.model, found.model), found.method, place, plain(token), weight)
            for found in attributions
            for place, (token, weight) in enumerate(zip(found.tokens, found.weight, strict=True)))],
    )


def _word_words(model: str, attributions: Sequence[Attribution], names: Mapping[str, str]) -> str:
    said = []
    for found in attributions:
        if found.model == model:
            words = ", ".join(f"{plain(token)} {written(weight, 'signed')}"
                              for token, weight in zip(found.tokens, found.weight, strict=True))
            said.append(f"by {found.method}: {words}")
    return f"{names.get(model, plain(model))}, " + "; ".join(said) + "."


def _words(
    models: Sequence[str], attributions: Sequence[Attribution], names: Mapping[str, str], style: Style
) -> Figure:
    tokens = attributions[0].tokens
    figure, grid = new_figure(style, 1.0 + 0.2 * len(tokens), len(models), sharey=True)
    y = np.arange(len(tokens))
    for axes, model in zip(grid.flat, models, strict=True):
        by_method = {found.method: found.weight for found in attributions if found.model == model}
        if METHODS[0] in by_method:
            weight = np.array(by_method[METHODS[0]])
            for positive in (True, False):
                inside = (weight >= 0) == positive
                axes.barh(y[inside], weight[inside], 0.62, color=style.color(0 if positive else 1), alpha=0.75,
                          linewidth=0)
        if METHODS[1] in by_method:
            axes.plot(by_method[METHODS[1]], y, "D", color=style.ink, markersize=3, markerfacecolor="none",
                      markeredgewidth=0.8)
        axes.axvline(0, color=style.faint, linewidth=0.8, zorder=0)
        probability = next(found.probability for found in attributions if found.model == model)
        name = short(names.get(model, plain(model)), *((14, 2) if style.narrow else (22, 1)))
        where = "label 1 on these words" if style is SCREEN else "1"
        axes.set_title(f"{name}\n{written(probability, 'percent')} % for {where}",
                       loc="left", color=style.faint)
        axes.margins(x=0.08)
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        percent_axis_few(axes)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    first: Axes = grid.flat[0]
    first.set_yticks(y, [short(plain(token), 16, 1) for token in tokens])
    first.set_ylim(len(tokens) - 0.4, -0.6)
    figure.supxlabel("change of the log-odds of label 1", fontsize=style.size)
    if style is SCREEN:  # elsewhere a caption says it
        _name_methods(figure, attributions, style)
    return figure


def _name_methods(figure: Figure, attributions: Sequence[Attribution], style: Style) -> None:
    """Draw a title and a legend above a figure that stands alone."""
    marks: dict[str, list[Artist]] = {
        METHODS[0]: [Patch(color=style.color(0), alpha=0.75, label="for label 1, by occlusion"),
                     Patch(color=style.color(1), alpha=0.75, label="for label 0, by occlusion")],
        METHODS[1]: [Line2D([], [], marker="D", linestyle="none", color=style.ink, markersize=3,
                            markerfacecolor="none", markeredgewidth=0.8, label=METHODS[1])]}
    drawn = {found.method for found in attributions}
    figure.legend(handles=[mark for method in METHODS if method in drawn for mark in marks[method]],
                  title="How far each word moves the decision", title_fontsize=style.size + 1, alignment="left",
                  loc="outside upper left", ncols=3, frameon=False, fontsize=style.size - 0.5)


def percent_axis_few(axes: Axes) -> None:
    """Put at most four round ticks below narrow axes, with a true minus sign."""
    percent_axis(axes.xaxis)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))


# ---------------------------------------------------------------- recall task


def recall_picture(curve: RecallCurve, names: Mapping[str, str], key: str = "recall") -> Picture:
    """Return the figure of accuracy by steps to remember."""
    models = list(dict.fromkeys(point.model for point in curve.points))
    labels = [names.get(model, plain(model)) for model in models]
    return Picture(
        key,
        "Recall task: accuracy on sequences whose label is one token, by the steps between that token and the end. "
        "Mean over seeds with 95 % intervals; small marks are single seeds; the dashed line is guessing.",
        "Accuracy by steps to remember. " + " ".join(
            f"{label}: " + ", ".join(
                f"{written(point.mean, 'percent')} % ({written(point.low, 'percent')} to "
                f"{written(point.high, 'percent')}) over {point.k} steps"
                for point in curve.points if point.model == model) + "."
            for model, label in zip(models, labels, strict=True)),
        lambda style: _recall(curve, models, labels, style),
        [("model", "steps", "what", "accuracy", "low", "high"), *(
            row for point in curve.points for row in _recall_rows(point.model, names, curve, point.k))],
        of_models(labels),
    )


def _recall_rows(model: str, names: Mapping[str, str], curve: RecallCurve, k: int) -> list[tuple[Cell, ...]]:
    point = next(point for point in curve.points if (point.model, point.k) == (model, k))
    label = names.get(model, model)
    return [(label, k, "mean over seeds", point.mean, point.low, point.high), *(
        (label, k, f"seed {seed}", accuracy, None, None)
        for seed, accuracy in zip(point.seeds, point.accuracy, strict=True))]


def _recall(curve: RecallCurve, models: Sequence[str], labels: Sequence[str], style: Style) -> Figure:
    figure, grid = new_figure(style, 2.9)
    axes: Axes = grid[0, 0]
    steps = sorted({point.k for point in curve.points})
    for place, (model, label) in enumerate(zip(models, labels, strict=True)):
        color, gid = style.color(place), f"series-{place}"
        points = sorted((point for point in curve.points if point.model == model), key=lambda point: point.k)
        shift = 0.1 * (place - (len(models) - 1) / 2)
        x = [steps.index(point.k) + shift for point in points]
        for at, point in zip(x, points, strict=True):
            axes.plot([at, at], [100 * point.low, 100 * point.high], color=color, linewidth=1.8, gid=gid)
            axes.plot([at + 0.06] * len(point.accuracy), [100 * value for value in point.accuracy], "_",
                      color=color, markersize=6, alpha=0.8, gid=gid)
        axes.plot(x, [100 * point.mean for point in points], color=color, marker=MARKERS[place % len(MARKERS)],
                  markersize=5.5, label=short(label, 30, 1), gid=gid)
    axes.axhline(50, color=style.faint, linestyle=(0, (4, 3)), linewidth=0.9, zorder=0)
    axes.set_xticks(range(len(steps)), [str(k) for k in steps])
    axes.margins(x=0.05)
    share_axis(axes, "y")
    axes.grid(axis="y", linewidth=0.5)
    axes.set_xlabel("steps to remember")
    axes.set_ylabel("test accuracy, %")
    name_series(figure, len(labels), style)
    return figure
