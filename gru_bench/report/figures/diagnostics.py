"""The figures of the diagnostics, made from what was logged: gradients through time, gates, words and the recall task.

Shapes: `T` tokens of a sentence, `H` units of a state, `N` bands of units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.report.document.figure import Figure, Line, Panel, Values
from gru_bench.report.document.numbers import Number, plain, slug, written
from gru_bench.report.evidence.groups import model_name
from gru_bench.report.figures.breakdowns import draw_along
from gru_bench.report.figures.curves import draw_panels
from gru_bench.report.figures.style import SCREEN, Style, few_ticks, log_axis, new_figure, percent_axis, shade, short
from gru_bench.results.diagnostics import STATES, Attribution, GateMap, GradientFlow, RecallCurve

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

BANDS = 10
"""Rows of a gate's map: each is the mean of a tenth of the units."""
METHODS = ("occlusion", "gradient times input")
MEAN = "mean over seeds"


def with_direction(found: GradientFlow | GateMap, among: Sequence[GradientFlow | GateMap]) -> str:
    """Return the name of a model, with the direction where these results hold both."""
    name = model_name(found.model)
    both = any(one.model == found.model and one.direction == "backward" for one in among)
    return f"{name}, {found.direction}" if both else name


# ---------------------------------------------------------------- gradients


def gradient_figure(flows: Sequence[GradientFlow], name: str = "gradients") -> Figure:
    """Return the figure of the norms of the gradient by steps back, before training and after."""
    said = []
    for flow in flows:
        words = f"{with_direction(flow, flows)}, {STATES[flow.state]}: "
        first, last = (written(flow.norm[place], "setting") for place in (0, -1))
        if len(flow.norm) == 1:
            words += f"{first}, and nothing before it"
        else:
            words += f"from {first} to {last} {flow.steps_back[-1]} steps back"
        if flow.decay is not None:
            words += f", {written(flow.decay, 'score')} per step"
        said.append(words)
    names = list(dict.fromkeys(with_direction(flow, flows) for flow in flows))
    panels = [
        Panel(STATES[state], tuple(Line(names.index(with_direction(flow, flows)), flow.steps_back, flow.norm,
                                        flow.low, flow.high) for flow in flows if flow.state == state), "steps back")
        for state in STATES if any(flow.state == state for flow in flows)]
    return Figure(
        name,
        "Norm of the gradient of the loss with respect to the state, by steps back from the state that is read last: "
        "geometric mean over reviews, with a band from the lower to the upper quartile. A straight line means a "
        "constant factor per step.",
        f"Gradient norms over {max(flow.steps_back[-1] for flow in flows)} steps back. {'; '.join(said)}.",
        Values(("model", "direction", "weights", "steps back", "norm", "lower quartile", "upper quartile"), tuple(
            (model_name(flow.model), flow.direction, STATES[flow.state], *point) for flow in flows
            for point in zip(flow.steps_back, flow.norm, flow.low, flow.high, strict=True))),
        partial(_draw_gradients, panels, names), tuple(names))


def _draw_gradients(panels: Sequence[Panel], names: Sequence[str], style: Style) -> Drawing:
    figure, axes_of = draw_panels(panels, names, style, 1.1, 2.2, sharey=True)
    for panel, axes in zip(panels, axes_of, strict=True):
        axes.set_title(panel.title, loc="left", color=style.faint)
        axes.set_xlabel(panel.axis)
        few_ticks(axes.xaxis, 5, whole=True)
        log_axis(axes, 7, "y")
    axes_of[0].set_ylabel("norm of the gradient")
    return figure


# ---------------------------------------------------------------- gates


def gate_figure(found: Sequence[GateMap], name: str) -> Figure:
    """Return the figure of the gates of a model over a sentence: a map for each gate and direction."""
    model, words = model_name(found[0].model), list(map(plain, found[0].tokens))
    rows: list[tuple[Any, ...]] = []
    maps: dict[str, NDArray[np.float64]] = {}
    said = []
    for one in found:
        for gate, opened in (("update gate", one.update), ("reset gate", one.reset)):
            gate_TH = np.array(opened)
            title = f"{gate}, {one.direction}" if len(found) > 1 else gate
            maps[title] = _bands(gate_TH)
            mean_T = gate_TH.mean(axis=1).tolist()
            said.append(f"{title}: " + ", ".join(
                f"{word} {written(mean, 'score')}" for word, mean in zip(words, mean_T, strict=True)) + ".")
            rows += [(one.direction, gate, place, word, mean, *bands) for place, (word, mean, bands) in enumerate(
                zip(words, mean_T, maps[title].tolist(), strict=True))]
    bands = maps[title].shape[1]
    return Figure(
        name,
        f"Gates of the {model} over a sentence, from 0 (closed) to 1 (open). An update gate of 1 keeps the state, and "
        "one of 0 replaces it. A reset gate of 0 leaves the state out of the candidate. Each row is the mean of a "
        "tenth of the units, those with the lowest mean at the bottom.",
        f"Gates of the {model}, mean over units by word. {' '.join(said)}",
        Values(("direction", "gate", "place", "word", "mean over units",
                *(f"part {part} of {bands} of the units" for part in range(1, bands + 1))), tuple(rows)),
        partial(_draw_gates, maps, words))


def _bands(gate_TH: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the means of tenths of the units, ordered by their mean over the sentence, T x N (fewer units: T x H)."""
    order_H = np.argsort(gate_TH.mean(axis=0), kind="stable")
    parts = np.array_split(order_H, min(BANDS, len(order_H)))
    return np.stack([gate_TH[:, part].mean(axis=1) for part in parts], axis=1)


def _draw_gates(maps: Mapping[str, NDArray[np.float64]], words: Sequence[str], style: Style) -> Drawing:
    figure, axes_of = new_figure(style, 0.7, len(maps), row=1.15, sharex=True)
    for (title, band_TN), axes in zip(maps.items(), axes_of, strict=True):
        color = style.color(0 if title.startswith("update") else 1)
        shade(axes, band_TN, color)
        axes.set_title(title, loc="left", color=style.faint)
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.tick_params(axis="x", length=0)
        # The scale of the shades stands above the right end of the map.
        key = axes.inset_axes((0.86, 1.05, 0.1, 0.09))
        shade(key, np.linspace(0, 1, 6)[:, None], color)
        key.set_xticks([])
        key.spines[:].set(visible=True, color=style.grid)
        for x, ha, text in ((-0.04, "right", "0"), (1.04, "left", "1")):
            key.text(x, 0.5, text, transform=key.transAxes, ha=ha, va="center", fontsize=style.size - 1.5,
                     color=style.faint)
    axes_of[-1].set_xticks(np.arange(len(words)) + 0.5, [short(word, 14, 1) for word in words], rotation=60, ha="right",
                           rotation_mode="anchor")
    return figure


# ---------------------------------------------------------------- words


def explained(attributions: Sequence[Attribution]) -> str:
    """Return the name of the class whose log-odds the weights are about, in words where it is not always the same."""
    names = dict.fromkeys(plain(found.label) for found in attributions)
    return f"the class {next(iter(names))}" if len(names) == 1 else "the class that each model predicts"


def word_figure(attributions: Sequence[Attribution], name: str = "words", key: str = "diagnostics") -> Figure:
    """Return the figure of how far each word moves the decision of each model, by each method.

    Args:
        attributions: The weights of the same words, for each model and method.
        name: Name of the figure.
        key: First part of the keys of the numbers.
    """
    rows: list[tuple[Any, ...]] = []
    said: dict[str, list[str]] = {}
    for found in attributions:
        part, runs = f"{key}.words-{slug(found.model)}-{slug(found.method)}", (found.run_id,) if found.run_id else ()
        model, words = model_name(found.model), list(map(plain, found.tokens))
        weights = [Number(f"{part}.{place}", weight, "signed", runs, None, found.method)
                   for place, weight in enumerate(found.weight, start=1)]
        rows += [(model, found.method, place, word, weight)
                 for place, (word, weight) in enumerate(zip(words, weights, strict=True))]
        moved = ", ".join(f"{word} {weight.text}" for word, weight in zip(words, weights, strict=True))
        said.setdefault(model, []).append(f"by {found.method}: {moved}")
    return Figure(
        name,
        f"How far each word moves a model's decision, in nats of the log-odds: bars to the right speak for "
        f"{explained(attributions)}, to the left for {plain(attributions[0].other)}. Bars: the change when the word is "
        "left out (occlusion). Marks: gradient times input.",
        " ".join(f"{model}, {'; '.join(parts)}." for model, parts in said.items()),
        Values(("model", "method", "place", "word", "weight"), tuple(rows)), partial(_draw_words, attributions))


def _draw_words(attributions: Sequence[Attribution], style: Style) -> Drawing:
    from matplotlib.patches import Patch

    models = list(dict.fromkeys(found.model for found in attributions))
    words = attributions[0].tokens
    figure, axes_of = new_figure(style, 1.0 + 0.2 * len(words), len(models), len(models), sharey=True)
    places = range(len(words))
    for found in attributions:
        axes = axes_of[models.index(found.model)]
        if found.method == METHODS[0]:
            axes.barh(places, found.weight, 0.62, color=[style.color(int(weight < 0)) for weight in found.weight],
                      alpha=0.75, linewidth=0)
        else:
            axes.plot(found.weight, places, "D", color=style.ink, markersize=3, markerfacecolor="none",
                      markeredgewidth=0.8, label=found.method)
        label = short(model_name(found.model), *((14, 2) if style.narrow else (22, 1)))
        name = short(plain(found.label), *((11, 1) if style.narrow else (20, 1)))
        axes.set_title(f"{label}\n{written(found.probability, 'percent')} % for {name}"
                       f"{' on these words' if style is SCREEN else ''}", loc="left", color=style.faint)
    for axes in axes_of:
        axes.axvline(0, color=style.faint, linewidth=0.8, zorder=0)
        axes.margins(x=0.08)
        percent_axis(axes.xaxis, 4)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    axes_of[0].set_yticks(places, [short(plain(word), 16, 1) for word in words])
    axes_of[0].set_ylim(len(words) - 0.4, -0.6)
    figure.supxlabel("change of the log-odds of " + short(explained(attributions), 28 if style.narrow else 60, 1),
                     fontsize=style.size)
    if style is SCREEN:  # elsewhere a caption says it
        first = attributions[0]
        bars = [Patch(color=style.color(place), alpha=0.75, label=f"for {short(plain(side), 20, 1)}, by occlusion")
                for place, side in enumerate((first.label, first.other)) if axes_of[0].patches]
        figure.legend(handles=[*bars, *axes_of[0].get_legend_handles_labels()[0]],
                      title="How far each word moves the decision", title_fontsize=style.size + 1, alignment="left",
                      loc="outside upper left", ncols=3, frameon=False, fontsize=style.size - 0.5)
    return figure


# ---------------------------------------------------------------- recall task


def recall_figure(curve: RecallCurve, name: str = "recall", key: str = "diagnostics") -> Figure:
    """Return the figure of the accuracy of each model by steps to remember: the mean, which is a number, and the seeds.

    Args:
        curve: The accuracies.
        name: Name of the figure.
        key: First part of the keys of the numbers.
    """
    steps = sorted({point.k for point in curve.points})
    rows: list[tuple[Any, ...]] = []
    said: dict[str, list[str]] = {}
    drawn: dict[str, list[tuple[int, Number, Sequence[float]]]] = {}
    for point in curve.points:
        label = model_name(point.model)
        mean = Number(f"{key}.recall-{slug(point.model)}-{point.k}", point.mean, "percent", (), point.test_size,
                      f"{len(point.seeds)} seeds, 95 % interval: {plain(curve.method)}", point.low, point.high)
        rows += [(label, point.k, MEAN, mean), *((label, point.k, f"seed {seed}", accuracy) for seed, accuracy
                                                 in zip(point.seeds, point.accuracy, strict=True))]
        low, high = mean.ends
        said.setdefault(label, []).append(f"{mean.text} % ({low.text} to {high.text}) over {point.k} steps")
        drawn.setdefault(label, []).append((steps.index(point.k), mean, point.accuracy))
    return Figure(
        name,
        "Recall task: accuracy on sequences whose label is one token, by the steps between that token and the end. "
        "Mean over seeds with 95 % intervals; small marks are single seeds; the dashed line is guessing.",
        "Accuracy by steps to remember. " + " ".join(f"{label}: {', '.join(parts)}." for label, parts in said.items()),
        Values(("model", "steps", "what", "accuracy"), tuple(rows), intervals=("accuracy",)),
        partial(_draw_recall, drawn, [str(k) for k in steps]), tuple(drawn))


def _draw_recall(
    models: Mapping[str, Sequence[tuple[int, Number, Sequence[float]]]], steps: Sequence[str], style: Style
) -> Drawing:
    figure, axes = draw_along(models, steps, style)
    axes.axhline(50, color=style.faint, linestyle=(0, (4, 3)), linewidth=0.9, zorder=0)
    axes.set_xlabel("steps to remember")
    return figure
