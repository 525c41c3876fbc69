"""The figures of the diagnostics, made from what was logged: gradients through time, gates and words.

Shapes: `T` tokens of a sentence, `H` units of a state, `N` bands of units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.document.figure import Figure, Values
from gru_bench.document.numbers import Numbers, plain, written
from gru_bench.document.style import (
    FAINT,
    GUIDE,
    color_of,
    curves,
    log_axis,
    name_lines,
    name_series,
    new_figure,
    shades,
    short,
)
from gru_bench.evidence.groups import model_name
from gru_bench.results.diagnostics import STATES, Attribution, GateMap, GradientFlow
from gru_bench.wording import listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing
    from pandas import DataFrame

BANDS = 10
"""Rows of a gate's map: each is the mean of a tenth of the units."""


def with_direction(found: GradientFlow | GateMap, among: Sequence[GradientFlow | GateMap]) -> str:
    """Return the name of a model, with the direction where these results hold both."""
    name = model_name(found.model)
    both = any(one.model == found.model and one.direction == "backward" for one in among)
    return f"{name}, {found.direction}" if both else name


# ---------------------------------------------------------------- gradients


def gradient_figure(flows: Sequence[GradientFlow], name: str = "gradients") -> Figure:
    """Return the figure of the norms of the gradient by steps back, before training and after."""
    names = list(dict.fromkeys(with_direction(flow, flows) for flow in flows))
    return Figure(
        name,
        "Norm of the gradient of the loss with respect to the state, by steps back from the state that is read last: "
        "geometric mean over texts, with a band from the lower to the upper quartile. A straight line means a "
        "constant factor per step.",
        f"Gradient norms of {listed(names)} over {max(flow.steps_back[-1] for flow in flows)} steps back.",
        Values(("model", "direction", "weights", "steps back", "norm", "lower quartile", "upper quartile"), tuple(
            (model_name(flow.model), flow.direction, STATES[flow.state], *point) for flow in flows
            for point in zip(flow.steps_back, flow.norm, flow.low, flow.high, strict=True))),
        partial(_gradients, names=names))


def _gradients(frame: DataFrame, names: Sequence[str]) -> Drawing:
    direct = frame["model"] + ", " + frame["direction"]
    frame = frame.assign(model=direct.where(direct.isin(names), frame["model"]), low=frame["lower quartile"],
                         high=frame["upper quartile"])
    panels = frame.groupby("weights", sort=False)
    figure, axes_of = new_figure(2.4, panels.ngroups, 3, sharey=True)
    for axes, (title, own) in zip(axes_of, panels, strict=True):
        curves(axes, own, "steps back", "norm", names)
        axes.set_title(str(title))
        axes.set_xlabel("steps back")
        axes.locator_params(axis="x", integer=True)
    log_axis(axes_of[0], "y")
    axes_of[0].set_ylabel("norm of the gradient")
    name_series(figure, names)
    return figure


# ---------------------------------------------------------------- gates


def gate_figure(found: Sequence[GateMap], name: str) -> Figure:
    """Return the figure of the gates of a model over a sentence: a map for each gate and direction."""
    model, words = model_name(found[0].model), list(map(plain, found[0].tokens))
    rows: list[tuple[Any, ...]] = []
    for one in found:
        for gate, opened in (("update gate", one.update), ("reset gate", one.reset)):
            gate_TH = np.array(opened)
            bands_TN = _bands(gate_TH)
            rows += [(one.direction, gate, place, word, mean, *bands) for place, (word, mean, bands) in enumerate(
                zip(words, gate_TH.mean(axis=1).tolist(), bands_TN.tolist(), strict=True))]
    bands = bands_TN.shape[1]
    return Figure(
        name,
        f"Gates of the {model} over a sentence, from 0 (closed) to 1 (open). An update gate of 1 keeps the state, and "
        "one of 0 replaces it. A reset gate of 0 leaves the state out of the candidate. Each row is the mean of a "
        "tenth of the units, those with the lowest mean at the bottom.",
        f"Gates of the {model} over {len(words)} words.",
        Values(("direction", "gate", "place", "word", "mean over units",
                *(f"part {part} of {bands} of the units" for part in range(1, bands + 1))), tuple(rows)), _gates)


def _bands(gate_TH: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the means of tenths of the units, ordered by their mean over the sentence, T x N (fewer units: T x H)."""
    order_H = np.argsort(gate_TH.mean(axis=0), kind="stable")
    parts = np.array_split(order_H, min(BANDS, len(order_H)))
    return np.stack([gate_TH[:, part].mean(axis=1) for part in parts], axis=1)


def _gates(frame: DataFrame) -> Drawing:
    maps = frame.groupby(["gate", "direction"] if frame["direction"].nunique() > 1 else ["gate"], sort=False)
    figure, axes_of = new_figure(1.0, maps.ngroups, sharex=True)
    for axes, (title, own) in zip(axes_of, maps, strict=True):
        color = color_of(0 if title[0] == "update gate" else 1)
        shades(axes, own.filter(regex=r"^part \d+").to_numpy().T, color)
        axes.invert_yaxis()
        axes.set_title(", ".join(map(str, title)))
        # The scale of the shades stands above the right end of the map.
        key = axes.inset_axes((0.86, 1.05, 0.1, 0.09))
        shades(key, np.linspace(0, 1, 6)[None], color)
        for x, ha, text in ((-0.04, "right", "0"), (1.04, "left", "1")):
            key.text(x, 0.5, text, transform=key.transAxes, ha=ha, va="center", color=FAINT)
    axes_of[-1].set_xticks(np.arange(len(own)) + 0.5, [short(word, 8) for word in own["word"]], rotation=60,
                           ha="right", rotation_mode="anchor")
    return figure


# ---------------------------------------------------------------- words


def explained(attributions: Sequence[Attribution]) -> str:
    """Return the name of the class whose log-odds the weights are about, in words where it is not always the same."""
    names = dict.fromkeys(plain(found.label) for found in attributions)
    return f"the class {next(iter(names))}" if len(names) == 1 else "the class that each model predicts"


def word_figure(
    attributions: Sequence[Attribution], numbers: Numbers, runs: Mapping[str, str], name: str = "words"
) -> Figure:
    """Return the figure of how far each word moves the decision of each model.

    Args:
        attributions: The weights of the same words, for each model.
        numbers: Gives its numbers their keys.
        runs: Model -> id of the run that holds its weights.
        name: Name of the figure.
    """
    rows: list[tuple[Any, ...]] = []
    for found in attributions:
        own = numbers.named("words", found.model, "occlusion").on([runs[found.model]])
        rows += [(model_name(found.model), place, plain(word),
                  own.add(str(place + 1), weight, "signed", "occlusion"))
                 for place, (word, weight) in enumerate(zip(found.tokens, found.weight, strict=True))]
    return Figure(
        name,
        "Influence of each word on a model's decision, in nats of the log-odds: bars to the right support "
        f"{explained(attributions)}, bars to the left {plain(attributions[0].other)}. A bar shows the change when the "
        "word is left out (occlusion).",
        f"Influence of {len(attributions[0].tokens)} words on the decision of "
        f"{listed(list(dict.fromkeys(model_name(found.model) for found in attributions)))}.",
        Values(("model", "place", "word", "weight"), tuple(rows)),
        partial(_words, attributions=attributions))


def _words(frame: DataFrame, attributions: Sequence[Attribution]) -> Drawing:
    import seaborn
    from matplotlib.patches import Patch

    models, first = frame.groupby("model", sort=False), attributions[0]
    figure, axes_of = new_figure(0.9 + 0.15 * len(first.tokens), models.ngroups, models.ngroups, sharey=True)
    for axes, (model, own) in zip(axes_of, models, strict=True):
        found = next(one for one in attributions if model_name(one.model) == model)
        seaborn.barplot(own, x="weight", y="place", hue=own["weight"] < 0, hue_order=[False, True], orient="h",
                        palette=[color_of(0), color_of(1)], dodge=False, saturation=1, errorbar=None, alpha=0.75,
                        linewidth=0, width=0.62, legend=False, ax=axes)
        axes.axvline(0, **GUIDE)
        axes.margins(x=0.08)
        axes.set_title(f"{short(str(model), 12)}\n{written(found.probability, 'percent')} % for "
                       f"{short(plain(found.label), 11)}")
        axes.set(xlabel="", ylabel="")
        name_lines(axes, [short(plain(word), 9) for word in first.tokens])
    figure.supxlabel("change of the log-odds of " + short(explained(attributions), 34))
    sides = [Patch(color=color_of(place), alpha=0.75, label=f"for {short(plain(side), 11)}")
             for place, side in enumerate((first.label, first.other))]
    figure.legend(handles=sides, loc="outside upper left", ncols=3)
    return figure
