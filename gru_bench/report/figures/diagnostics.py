"""The figures of the diagnostics, and the tables behind them: gradients through time, gates, words and the recall task.

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
from gru_bench.report.evidence.groups import MODEL_NAMES, model_name
from gru_bench.report.figures.breakdowns import draw_along
from gru_bench.report.figures.curves import draw_panels
from gru_bench.report.figures.style import SCREEN, Style, few_ticks, log_axis, new_figure, percent_axis, short
from gru_bench.results.diagnostics import STATES, Attribution, GateMap, GradientFlow, RecallCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

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
    names = list(dict.fromkeys(with_direction(model, direction) for model, direction, _ in lines))
    panels = [Panel(state, tuple(_norms(names.index(with_direction(model, direction)), line)
                                 for (model, direction, weights), line in lines.items() if weights == state),
                    "steps back") for state in STATES.values() if state in values.distinct("weights")]
    return Figure(
        name,
        "Norm of the gradient of the loss with respect to the state, by steps back from the state that is read last: "
        "geometric mean over reviews, with a band from the lower to the upper quartile. A straight line means a "
        "constant factor per step.",
        f"Gradient norms over {max(values.column('steps back'))} steps back. {'; '.join(said)}.",
        values, partial(_draw_gradients, panels, names), tuple(names))


def _norms(series: int, line: Values) -> Line:
    return Line(series, *(tuple(line.column(name))
                          for name in ("steps back", "norm", "lower quartile", "upper quartile")))


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
    both = len(values.distinct("direction")) > 1
    maps = {f"{gate}, {direction}" if both else gate: found
            for (direction, gate), found in values.groups("direction", "gate").items()}
    said = [
        f"{title}: " + ", ".join(
            f"{word} {written(mean, 'score')}"
            for word, mean in zip(found.column("word"), found.column("mean over units"), strict=True)) + "."
        for title, found in maps.items()]
    return Figure(
        name,
        f"Gates of the {model} over a sentence, from 0 (closed) to 1 (open). An update gate of 1 keeps the state, and "
        "one of 0 replaces it. A reset gate of 0 leaves the state out of the candidate. Each row is the mean of a "
        "tenth of the units, those with the lowest mean at the bottom.",
        f"Gates of the {model}, mean over units by word. {' '.join(said)}", values, partial(_draw_gates, maps))


def _draw_gates(maps: Mapping[str, Values], style: Style) -> Drawing:
    figure, axes_of = new_figure(style, 0.7, len(maps), row=1.15, sharex=True)
    for (title, found), axes in zip(maps.items(), axes_of, strict=True):
        band_TN = np.array([row[found.columns.index("mean over units") + 1:] for row in found.rows], dtype=float)
        color = style.color(0 if title.startswith("update") else 1)
        _shade(axes, band_TN, color)
        axes.set_title(title, loc="left", color=style.faint)
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.tick_params(axis="x", length=0)
        # The scale of the shades stands above the right end of the map.
        key = axes.inset_axes((0.86, 1.05, 0.1, 0.09))
        _shade(key, np.linspace(0, 1, 6)[:, None], color)
        key.set_xticks([])
        key.spines[:].set(visible=True, color=style.grid)
        for x, ha, text in ((-0.04, "right", "0"), (1.04, "left", "1")):
            key.text(x, 0.5, text, transform=key.transAxes, ha=ha, va="center", fontsize=style.size - 1.5,
                     color=style.faint)
    words = found.column("word")
    axes.set_xticks(np.arange(len(words)) + 0.5, [short(word, 14, 1) for word in words], rotation=60, ha="right",
                    rotation_mode="anchor")
    return figure


def _shade(axes: Axes, value_XY: NDArray[np.float64], color: str) -> None:
    """Fill axes with unit squares shaded by their values, those of a shade as one shape, which takes fewer bytes."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    shade_XY = np.rint(value_XY * SHADES).astype(int)
    for shade in np.unique(shade_XY[shade_XY > 0]).tolist():
        squares = [Path([(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1), (x, y)], closed=True)
                   for x, y in np.argwhere(shade_XY == shade).tolist()]
        axes.add_patch(PathPatch(Path.make_compound_path(*squares), facecolor=color, edgecolor="none", linewidth=0,
                                 alpha=shade / SHADES, antialiased=False))
    axes.set(xlim=(0, shade_XY.shape[0]), ylim=(0, shade_XY.shape[1]), yticks=[])


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
        values, partial(_draw_words, values, probabilities))


def _draw_words(values: Values, probabilities: Mapping[str, float], style: Style) -> Drawing:
    models = values.groups("model")
    words = next(iter(values.groups("model", "method").values())).column("word")
    figure, axes_of = new_figure(style, 1.0 + 0.2 * len(words), len(models), len(models), sharey=True)
    places = range(len(words))
    for axes, (model, found) in zip(axes_of, models.items(), strict=True):
        for method, of_method in found.groups("method").items():
            weights = [number.value for number in of_method.column("weight")]
            if method == METHODS[0]:
                axes.barh(places, weights, 0.62, color=[style.color(int(weight < 0)) for weight in weights], alpha=0.75,
                          linewidth=0)
            else:
                axes.plot(weights, places, **_hollow(style))
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
    axes_of[0].set_yticks(places, [short(word, 16, 1) for word in words])
    axes_of[0].set_ylim(len(words) - 0.4, -0.6)
    figure.supxlabel("change of the log-odds of label 1", fontsize=style.size)
    if style is SCREEN:  # elsewhere a caption says it
        _name_methods(figure, values.distinct("method"), style)
    return figure


def _hollow(style: Style) -> dict[str, Any]:
    """Return how a weight by the second method is drawn, as options of a line."""
    return {"marker": "D", "linestyle": "none", "color": style.ink, "markersize": 3, "markerfacecolor": "none",
            "markeredgewidth": 0.8}


def _name_methods(figure: Drawing, drawn: Sequence[str], style: Style) -> None:
    """Draw a title and a legend above a figure that stands alone."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    bars = [Patch(color=style.color(place), alpha=0.75, label=f"for label {1 - place}, by occlusion")
            for place in (0, 1)]
    marks = [Line2D([], [], label=METHODS[1], **_hollow(style))]
    figure.legend(handles=[*bars * (METHODS[0] in drawn), *marks * (METHODS[1] in drawn)],
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
    steps = sorted(values.distinct("steps"))
    models: dict[str, list[tuple[int, Number, Sequence[float]]]] = {model: [] for model in values.distinct("model")}
    for (model, k), point in values.groups("model", "steps").items():
        mean, *seeds = point.column("accuracy")
        models[model].append((steps.index(k), mean, seeds))
    said = []
    for model, points in models.items():
        words = [f"{mean.text} % ({' to '.join(end.text for end in mean.ends)}) over {steps[place]} steps"
                 for place, mean, _ in points]
        said.append(f"{model}: {', '.join(words)}.")
    return Figure(
        name,
        "Recall task: accuracy on sequences whose label is one token, by the steps between that token and the end. "
        "Mean over seeds with 95 % intervals; small marks are single seeds; the dashed line is guessing.",
        f"Accuracy by steps to remember. {' '.join(said)}",
        values, partial(_draw_recall, models, steps), tuple(models))


def _draw_recall(
    models: Mapping[str, Sequence[tuple[int, Number, Sequence[float]]]], steps: Sequence[int], style: Style
) -> Drawing:
    figure, axes = draw_along(models, [str(k) for k in steps], style)
    axes.axhline(50, color=style.faint, linestyle=(0, (4, 3)), linewidth=0.9, zorder=0)
    axes.set_xlabel("steps to remember")
    return figure
