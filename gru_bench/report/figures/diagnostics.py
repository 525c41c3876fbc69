"""The figures of the diagnostics, and the tables behind them: gradients through time, gates, words and the recall task.

Shapes: `T` tokens of a sentence, `H` units of a state, `N` bands of units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.report.document.figure import Figure, Values, of_models
from gru_bench.report.document.numbers import MINUS, Number, plain, slug, written
from gru_bench.report.evidence.groups import MODEL_NAMES, model_name
from gru_bench.report.figures.style import (
    MARKERS,
    SCREEN,
    Style,
    few_ticks,
    name_series,
    new_figure,
    percent_axis,
    share_axis,
    short,
)
from gru_bench.results.diagnostics import STATES, Attribution, GateMap, GradientFlow, RecallCurve

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing
    from matplotlib.patches import PathPatch

BANDS = 10
"""Rows of a gate's map: each is the mean of a tenth of the units."""
SHADES = 25
METHODS = ("occlusion", "gradient times input")
MEAN = "mean over seeds"


def with_direction(name: str, direction: str) -> str:
    """Return the name of a model, with the direction where it has two."""
    return f"{name}, {direction}" if name == MODEL_NAMES["bidirectional"] else name


# ---------------------------------------------------------------- gradients


def gradient_values(flows: Sequence[GradientFlow]) -> Values:
    """Return the norms of the gradient by steps back."""
    return Values(
        ("model", "direction", "weights", "steps back", "norm", "lower quartile", "upper quartile"),
        tuple((model_name(flow.model), flow.direction, STATES[flow.state], *point) for flow in flows
              for point in zip(flow.steps_back, flow.norm, flow.low, flow.high, strict=True)))


def gradient_figure(values: Values, factors: Sequence[float | None], name: str = "gradients") -> Figure:
    """Return the figure of the norms of the gradient by steps back, before training and after.

    Args:
        values: The norms of each line, which is one direction of a model in one state.
        factors: For each line the factor per step that was fitted to it; None where none was.
        name: Name of the figure.
    """
    lines = values.groups("model", "direction", "weights")
    said = []
    for ((model, direction, weights), line), factor in zip(lines.items(), factors, strict=True):
        norm = line.column("norm")
        where = f"{with_direction(model, direction)}, {weights}: "
        if len(norm) == 1:
            said.append(f"{where}{written(norm[0], 'setting')}, and nothing before it")
        else:
            rate = "" if factor is None else f", {written(factor, 'score')} per step"
            said.append(f"{where}from {written(norm[0], 'setting')} to {written(norm[-1], 'setting')} "
                        f"{line.column('steps back')[-1]} steps back{rate}")
    labels = list(dict.fromkeys(with_direction(model, direction) for model, direction, _ in lines))
    return Figure(
        name,
        "Norm of the gradient of the loss with respect to the state, by steps back from the state that is read last: "
        "geometric mean over reviews, with a band from the lower to the upper quartile. A straight line means a "
        "constant factor per step.",
        f"Gradient norms over {max(values.column('steps back'))} steps back. {'; '.join(said)}.",
        values,
        lambda style: _draw_gradients(values, labels, style),
        of_models(labels),
    )


def _draw_gradients(values: Values, labels: Sequence[str], style: Style) -> Drawing:
    states = [state for state in STATES.values() if state in values.distinct("weights")]
    across, down = (1, len(states)) if style.narrow else (len(states), 1)
    figure, grid = new_figure(style, 3.3 * (1 if not style.narrow else 0.8 * down) + 0.2 * -(-len(labels) // 3), across,
                              down, sharey=True)
    panels = dict(zip(states, grid.flat, strict=True))
    named: set[str] = set()
    for (model, direction, state), line in values.groups("model", "direction", "weights").items():
        axes, label = panels[state], with_direction(model, direction)
        place = labels.index(label)
        steps = line.column("steps back")
        # Not at the same places as its neighbours' marks.
        every = (2 * place % 10, 10)
        color, gid = style.color(place), f"series-{place}"
        axes.fill_between(steps, line.column("lower quartile"), line.column("upper quartile"), color=color, alpha=0.15,
                          linewidth=0, gid=gid)
        axes.plot(steps, line.column("norm"), color=color, marker=MARKERS[place % len(MARKERS)], markersize=4.2,
                  markevery=every if len(steps) > 1 else None, gid=gid,
                  label=None if label in named else short(label, 32, 1))
        named.add(label)
    for state, axes in panels.items():
        axes.set_yscale("log")
        axes.set_title(state, loc="left", color=style.faint)
        few_ticks(axes.xaxis, 5, whole=True)
        axes.grid(axis="y", linewidth=0.5)
        axes.set_xlabel("steps back")
    _decades(grid.flat[0], min(values.column("lower quartile")), max(values.column("upper quartile")))
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


def gate_values(maps: Sequence[GateMap]) -> Values:
    """Return the gates of one model over a sentence: a row for each direction, gate and word."""
    rows: list[tuple[Any, ...]] = []
    for found in maps:
        for gate, opened in (("update gate", found.update), ("reset gate", found.reset)):
            gate_TH = np.array(opened)
            rows += [
                (found.direction, gate, place, plain(token), mean, *bands) for place, (token, mean, bands) in enumerate(
                    zip(found.tokens, gate_TH.mean(axis=1).tolist(), _bands(gate_TH).tolist(), strict=True))]
    columns = ("direction", "gate", "place", "word", "mean over units")
    bands = len(rows[0]) - len(columns)
    return Values((*columns, *(f"part {n} of {bands} of the units" for n in range(1, bands + 1))), tuple(rows))


def _bands(gate_TH: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the means of tenths of the units, ordered by their mean over the sentence, T x N (fewer units: T x H)."""
    order_H = np.argsort(gate_TH.mean(axis=0), kind="stable")
    parts = np.array_split(order_H, min(BANDS, len(order_H)))
    return np.stack([gate_TH[:, part].mean(axis=1) for part in parts], axis=1)


def gate_figure(values: Values, model: str, name: str) -> Figure:
    """Return the figure of the gates of a model: a map for each gate and direction."""
    said = [
        f"{title}: " + ", ".join(
            f"{word} {written(mean, 'score')}"
            for word, mean in zip(found.column("word"), found.column("mean over units"), strict=True)) + "."
        for title, found in _gates(values)]
    return Figure(
        name,
        f"Gates of the {model} over a sentence, from 0 (closed) to 1 (open). An update gate of 1 keeps the state, and "
        "one of 0 replaces it. A reset gate of 0 leaves the state out of the candidate. Each row is the mean of a "
        "tenth of the units, those with the lowest mean at the bottom.",
        f"Gates of the {model}, mean over units by word. {' '.join(said)}",
        values,
        lambda style: _draw_gates(values, style),
    )


def _gates(values: Values) -> list[tuple[str, Values]]:
    """Return the title and the values of each map."""
    both = len(values.distinct("direction")) > 1
    return [(f"{gate}, {direction}" if both else gate, found)
            for (direction, gate), found in values.groups("direction", "gate").items()]


def _draw_gates(values: Values, style: Style) -> Drawing:
    panels = _gates(values)
    words = panels[0][1].column("word")
    parts = values.columns[values.columns.index("mean over units") + 1:]
    figure, grid = new_figure(style, 0.7 + 1.15 * len(panels), rows=len(panels), sharex=True)
    for (title, found), axes in zip(panels, grid.flat, strict=True):
        band_TN = np.array([found.column(part) for part in parts]).T
        color = style.color(0 if title.startswith("update") else 1)
        for patch in _squares(band_TN, color):
            axes.add_patch(patch)
        axes.set(xlim=(0, len(words)), ylim=(0, len(parts)))
        _scale(axes, color, style)
        axes.set_yticks([])
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        axes.tick_params(axis="x", length=0)
        axes.set_title(title, loc="left", color=style.faint)
    last: Axes = grid.flat[-1]
    last.set_xticks(np.arange(len(words)) + 0.5, [short(word, 14, 1) for word in words], rotation=60, ha="right",
                    rotation_mode="anchor")
    return figure


def _squares(value_XY: NDArray[np.float64], color: str) -> list[PathPatch]:
    """Return unit squares shaded by their values, those of a shade as one shape, which takes fewer bytes."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

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
    for patch in _squares(np.linspace(0, 1, 6)[:, None], color):
        key.add_patch(patch)
    key.set(xlim=(0, 6), ylim=(0, 1), xticks=[], yticks=[])
    for spine in key.spines.values():
        spine.set_visible(True)
        spine.set_color(style.grid)
    for x, ha, text in ((-0.04, "right", "0"), (1.04, "left", "1")):
        key.text(x, 0.5, text, transform=key.transAxes, ha=ha, va="center", fontsize=style.size - 1.5,
                 color=style.faint)


# ---------------------------------------------------------------- words


def word_values(attributions: Sequence[Attribution], key: str = "diagnostics") -> Values:
    """Return how far each word moves the decision of each model, by each method.

    Args:
        attributions: The weights of the same words, for each model and method.
        key: First part of the keys of the numbers.
    """
    rows: list[tuple[Any, ...]] = []
    for found in attributions:
        part, runs = f"{key}.words-{slug(found.model)}-{slug(found.method)}", (found.run_id,) if found.run_id else ()
        rows += [
            (model_name(found.model), found.method, place, plain(token),
             Number(f"{part}.{place + 1}", weight, "signed", runs, None, found.method))
            for place, (token, weight) in enumerate(zip(found.tokens, found.weight, strict=True))]
    return Values(("model", "method", "place", "word", "weight"), tuple(rows))


def word_figure(values: Values, probabilities: Mapping[str, float], name: str = "words") -> Figure:
    """Return the figure of how far each word moves the decision of each model.

    Args:
        values: The weights of the words.
        probabilities: Model -> probability of label 1 for the whole sentence.
        name: Name of the figure.
    """
    said: dict[str, list[str]] = {}
    for (model, method), found in values.groups("model", "method").items():
        words = ", ".join(
            f"{word} {weight.text}" for word, weight in zip(found.column("word"), found.column("weight"), strict=True))
        said.setdefault(model, []).append(f"by {method}: {words}")
    return Figure(
        name,
        "How far each word moves a model's decision, in nats of the log-odds: bars to the right speak for label 1, to "
        "the left for label 0. Bars: the change when the word is left out (occlusion). Marks: gradient times input.",
        " ".join(f"{model}, {'; '.join(parts)}." for model, parts in said.items()),
        values,
        lambda style: _draw_words(values, probabilities, style),
    )


def _draw_words(values: Values, probabilities: Mapping[str, float], style: Style) -> Drawing:
    models = values.groups("model")
    words = next(iter(values.groups("model", "method").values())).column("word")
    figure, grid = new_figure(style, 1.0 + 0.2 * len(words), len(models), sharey=True)
    y = np.arange(len(words))
    for axes, ((model,), found) in zip(grid.flat, models.items(), strict=True):
        weights = {method: np.array([number.value for number in of_method.column("weight")])
                   for (method,), of_method in found.groups("method").items()}
        if METHODS[0] in weights:
            weight = weights[METHODS[0]]
            for positive in (True, False):
                inside = (weight >= 0) == positive
                axes.barh(y[inside], weight[inside], 0.62, color=style.color(0 if positive else 1), alpha=0.75,
                          linewidth=0)
        if METHODS[1] in weights:
            axes.plot(weights[METHODS[1]], y, "D", color=style.ink, markersize=3, markerfacecolor="none",
                      markeredgewidth=0.8)
        axes.axvline(0, color=style.faint, linewidth=0.8, zorder=0)
        label = short(model, *((14, 2) if style.narrow else (22, 1)))
        where = "label 1 on these words" if style is SCREEN else "1"
        axes.set_title(f"{label}\n{written(probabilities[model], 'percent')} % for {where}",
                       loc="left", color=style.faint)
        axes.margins(x=0.08)
        percent_axis(axes.xaxis)
        few_ticks(axes.xaxis, 4)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    first: Axes = grid.flat[0]
    first.set_yticks(y, [short(word, 16, 1) for word in words])
    first.set_ylim(len(words) - 0.4, -0.6)
    figure.supxlabel("change of the log-odds of label 1", fontsize=style.size)
    if style is SCREEN:  # elsewhere a caption says it
        _name_methods(figure, values.distinct("method"), style)
    return figure


def _name_methods(figure: Drawing, drawn: Sequence[str], style: Style) -> None:
    """Draw a title and a legend above a figure that stands alone."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    marks: dict[str, list[Artist]] = {
        METHODS[0]: [Patch(color=style.color(0), alpha=0.75, label="for label 1, by occlusion"),
                     Patch(color=style.color(1), alpha=0.75, label="for label 0, by occlusion")],
        METHODS[1]: [Line2D([], [], marker="D", linestyle="none", color=style.ink, markersize=3,
                            markerfacecolor="none", markeredgewidth=0.8, label=METHODS[1])]}
    figure.legend(handles=[mark for method in METHODS if method in drawn for mark in marks[method]],
                  title="How far each word moves the decision", title_fontsize=style.size + 1, alignment="left",
                  loc="outside upper left", ncols=3, frameon=False, fontsize=style.size - 0.5)


# ---------------------------------------------------------------- recall task


def recall_values(curve: RecallCurve, key: str = "diagnostics") -> Values:
    """Return the accuracy of each model by steps to remember: the mean, which is a number, and that of each seed.

    Args:
        curve: The accuracies.
        key: First part of the keys of the numbers.
    """
    rows: list[tuple[Any, ...]] = []
    for point in curve.points:
        label = model_name(point.model)
        rows.append((label, point.k, MEAN, Number(
            f"{key}.recall-{slug(point.model)}-{point.k}", point.mean, "percent", (), point.test_size,
            f"{len(point.seeds)} seeds, 95 % interval: {plain(curve.method)}", point.low, point.high)))
        rows += [(label, point.k, f"seed {seed}", accuracy)
                 for seed, accuracy in zip(point.seeds, point.accuracy, strict=True)]
    return Values(("model", "steps", "what", "accuracy"), tuple(rows), intervals=("accuracy",))


def recall_figure(values: Values, name: str = "recall") -> Figure:
    """Return the figure of the accuracy by steps to remember."""
    labels = values.distinct("model")
    said: dict[str, list[str]] = {label: [] for label in labels}
    for model, steps, what, accuracy in values.rows:
        if what == MEAN and isinstance(accuracy, Number):
            low, high = accuracy.ends
            said[str(model)].append(f"{accuracy.text} % ({low.text} to {high.text}) over {steps} steps")
    return Figure(
        name,
        "Recall task: accuracy on sequences whose label is one token, by the steps between that token and the end. "
        "Mean over seeds with 95 % intervals; small marks are single seeds; the dashed line is guessing.",
        "Accuracy by steps to remember. " + " ".join(f"{label}: {', '.join(parts)}." for label, parts in said.items()),
        values,
        lambda style: _draw_recall(values, style),
        of_models(labels),
    )


def _draw_recall(values: Values, style: Style) -> Drawing:
    figure, grid = new_figure(style, 2.9)
    axes: Axes = grid[0, 0]
    models, steps = values.groups("model"), sorted(values.distinct("steps"))
    for place, ((label,), of_model) in enumerate(models.items()):
        color, gid = style.color(place), f"series-{place}"
        x, means = [], []
        for (k,), point in sorted(of_model.groups("steps").items()):
            mean, *seeds = point.column("accuracy")
            at = steps.index(k) + 0.1 * (place - (len(models) - 1) / 2)
            axes.plot([at, at], [100 * mean.low, 100 * mean.high], color=color, linewidth=1.8, gid=gid)
            axes.plot([at + 0.06] * len(seeds), [100 * value for value in seeds], "_", color=color, markersize=6,
                      alpha=0.8, gid=gid)
            x.append(at)
            means.append(100 * mean.value)
        axes.plot(x, means, color=color, marker=MARKERS[place % len(MARKERS)], markersize=5.5,
                  label=short(label, 30, 1), gid=gid)
    axes.axhline(50, color=style.faint, linestyle=(0, (4, 3)), linewidth=0.9, zorder=0)
    axes.set_xticks(range(len(steps)), [str(k) for k in steps])
    axes.margins(x=0.05)
    share_axis(axes, "y")
    axes.grid(axis="y", linewidth=0.5)
    axes.set_xlabel("steps to remember")
    axes.set_ylabel("test accuracy, %")
    name_series(figure, len(models), style)
    return figure
