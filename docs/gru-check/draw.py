"""The script that draws the pictures of docs/gru-check: `python docs/gru-check/draw.py`, one for each
finding.

Run it after you change a drawing. It writes SVG files in which letters stay letters, so that they are small.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

FOLDER = Path(__file__).resolve().parent
INK, FAINT, RIGHT, WRONG = "#24292f", "#8c959f", "#1a7f37", "#cf222e"


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width / 20, height / 20), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    return figure, axes


def _box(axes: Axes, x: float, y: float, words: str, color: str = INK, width: float = 14, dashed: bool = False) -> None:
    axes.add_patch(FancyBboxPatch((x - width / 2, y - 4), width, 8, "round,pad=0,rounding_size=1.5", facecolor="white",
                                  edgecolor=color, linewidth=1.5, linestyle="--" if dashed else "-"))
    axes.text(x, y, words, ha="center", va="center", color=color, size=9)


def _arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], color: str = INK, dashed: bool = False,
    bend: float = 0.0,
) -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, color=color, linewidth=1.3,
                                   linestyle="--" if dashed else "-", shrinkA=0, shrinkB=0,
                                   connectionstyle=f"arc3,rad={bend}"))


def _say(axes: Axes, x: float, y: float, words: str, color: str = INK, size: float = 9) -> None:
    axes.text(x, y, words, ha="center", va="center", color=color, size=size)


# ---------------------------------------------------------------- one step


def cell(
    marked: Sequence[str], yours: str, torch: str, right: bool = False, missing: Sequence[str] = (),
) -> Figure:
    """Draw a cell with some of its parts marked, and the formula that differs below it.

    Args:
        marked: Names of boxes and arrows to mark.
        yours: The formula of what was found.
        torch: The formula of nn.GRU.
        right: Whether what is marked is right too.
        missing: Names of arrows to draw dashed.
    """
    figure, axes = _axes(124, 78)
    color = RIGHT if right else WRONG
    places = {"x": (10, 38), "h": (10, 68), "r": (42, 52), "z": (42, 24), "n": (76, 38), "mix": (106, 68)}
    words = {"x": "input x", "h": "state h", "r": "r, sigmoid", "z": "z, sigmoid", "n": "n, tanh", "mix": "h'"}
    arrows = {"x-r": ("x", "r"), "x-z": ("x", "z"), "h-r": ("h", "r"), "h-z": ("h", "z"), "r-n": ("r", "n"),
              "n-mix": ("n", "mix"), "h-mix": ("h", "mix")}
    for name, (a, b) in arrows.items():
        (x0, y0), (x1, y1) = places[a], places[b]
        _arrow(axes, (x0 + 8.5, y0), (x1 - 8.5, y1), color if name in marked else INK, name in missing)
    _arrow(axes, (18.5, 38), (67, 38), color if "x-n" in marked else INK, "x-n" in missing)
    _arrow(axes, (18.5, 66.5), (74, 42.5), color if "h-n" in marked else INK, "h-n" in missing, -0.15)
    _arrow(axes, (50.5, 24), (106, 63.5), color if "z-mix" in marked else INK, "z-mix" in missing, 0.42)
    for name, (x, y) in places.items():
        _box(axes, x, y, words[name], color if name in marked else INK, 17)
    _say(axes, 62, 13, f"here:   {yours}", color)
    _say(axes, 62, 6, f"nn.GRU:   {torch}", INK)
    return figure


def order() -> Figure:
    """Draw two stacks of gates."""
    figure, axes = _axes(124, 52)
    for x, title, gates, color in ((34, "nn.GRU", "rzn", INK), (90, "here", "zrn", RIGHT)):
        _say(axes, x, 47, title, color)
        for place, gate in enumerate(gates):
            _box(axes, x, 37 - 10 * place, f"rows of W_{gate}", color, 30)
    _say(axes, 62, 5, "The same sums, stacked in another order", FAINT)
    return figure


def biases(count: int) -> Figure:
    """Draw the biases of a gate."""
    figure, axes = _axes(124, 44)
    _box(axes, 20, 32, "W x", INK, 16)
    _box(axes, 62, 32, "U h", INK, 16)
    _box(axes, 104, 32, "sum", INK, 16)
    _arrow(axes, (29, 35), (95, 35), INK, bend=-0.25)
    _arrow(axes, (71, 32), (95, 32))
    for place, (x, name) in enumerate(((20, "b_i"), (62, "b_h"))):
        there = place < count
        _box(axes, x, 16, name, RIGHT if there else FAINT, 16, not there)
    _say(axes, 62, 5, "nn.GRU has both biases; here there is " + ("the first alone" if count else "neither"), INK)
    return figure


def shared() -> Figure:
    """Draw two gates with one matrix."""
    figure, axes = _axes(124, 48)
    _box(axes, 20, 32, "matrix U", WRONG, 20)
    for y, gate in ((40, "gate r"), (24, "gate z")):
        _box(axes, 70, y, gate, INK, 20)
        _arrow(axes, (31, 32), (59, y), WRONG)
    _say(axes, 62, 9, "Each gate needs a matrix of its own:\nwith one, they cannot learn different things", INK)
    return figure


def functions(right: str, curves: Mapping[str, Callable[[np.ndarray], np.ndarray]]) -> Figure:
    """Draw functions, the first of which is right."""
    figure = Figure(figsize=(5, 2.6), facecolor="white")
    axes = figure.add_axes((0.08, 0.12, 0.6, 0.8))
    a = np.linspace(-4, 4, 41)
    for (name, function), color, line in zip(curves.items(), (RIGHT, WRONG, WRONG), ("-", "--", ":"), strict=False):
        axes.plot(a, function(a), color=color, linestyle=line, label=name, linewidth=1.6)
    axes.set_ylim(-2.2, 2.2)
    axes.axhline(0, color=FAINT, linewidth=0.6)
    axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.6), frameon=False, fontsize=8)
    axes.text(1.05, 0.1, right, transform=axes.transAxes, size=8, va="bottom")
    axes.tick_params(labelsize=7)
    return figure


# ---------------------------------------------------------------- a sequence


def sequence(
    words: str, *, first: str = "0", first_wrong: bool = False, cut: bool = False, skipped: bool = False,
    backwards: bool = False, padded: bool = False, dropped: bool = False,
) -> Figure:
    """Draw four steps of a layer, with what is wrong marked."""
    figure, axes = _axes(124, 56)
    _box(axes, 117 if backwards else 9, 36, first, WRONG if first_wrong else INK, 10)
    tokens = ["The", "film", "<pad>", "<pad>"] if padded else ["The", "film", "was", "dull"]
    middles = [26, 50, 74, 98] if backwards else [30, 54, 78, 102]
    for place, (x, token) in enumerate(zip(middles, tokens, strict=True)):
        gone = skipped and place == 3
        bad = gone or (padded and place > 1)
        _box(axes, x, 36, f"h{place + 1}", WRONG if bad else INK, 13, gone)
        _say(axes, x, 18, token, WRONG if bad else INK)
        _arrow(axes, (x, 21), (x, 31.5), WRONG if bad else INK, gone)
        before = 14 if place == 0 else middles[place - 1] + 7
        if backwards and place:
            _arrow(axes, (x - 7, 36), (before, 36), WRONG)
        elif not backwards:
            parted = cut and place > 0
            _arrow(axes, (before, 36), (x - 7, 36), WRONG if bad or parted else INK, gone or parted)
        if cut and place:
            _say(axes, (before + x - 7) / 2, 42, "cut", WRONG, 8)
        if dropped and place in (1, 2):
            axes.plot([x - 5, x + 5], [33, 39], color=WRONG, linewidth=1.5)
    if backwards:
        _arrow(axes, (112, 36), (105, 36), WRONG)
    _say(axes, 62, 6, words)
    return figure


def reviews() -> Figure:
    """Draw a state that goes from one review to the next."""
    figure, axes = _axes(124, 48)
    for x, name in ((30, "review 1"), (94, "review 2")):
        _box(axes, x, 34, name, INK, 34)
    _arrow(axes, (47.5, 34), (76.5, 34), WRONG)
    _say(axes, 62, 39, "state", WRONG)
    _say(axes, 62, 16, "What the first review left behind changes the second.", INK)
    _say(axes, 62, 8, "Each must begin with zeros.", INK)
    return figure


def directions() -> Figure:
    """Draw both directions, with the right and the wrong end of the backward half."""
    figure, axes = _axes(124, 60)
    middles = [26, 50, 74, 98]
    for place, x in enumerate(middles):
        _say(axes, x, 30, ("The", "film", "was", "dull")[place])
        _box(axes, x, 42, f"f{place + 1}", RIGHT if place == 3 else INK, 13)
        _box(axes, x, 18, f"b{place + 1}", RIGHT if place == 0 else WRONG if place == 3 else INK, 13)
        if place:
            _arrow(axes, (middles[place - 1] + 7, 42), (x - 7, 42))
            _arrow(axes, (x - 7, 18), (middles[place - 1] + 7, 18))
    _say(axes, 62, 53, "f4 and b1 have read all words")
    _say(axes, 62, 6, "b4 has read one word alone", WRONG)
    return figure


def layers() -> Figure:
    """Draw two layers with the same weights."""
    figure, axes = _axes(124, 48)
    for y, name in ((36, "layer 2"), (18, "layer 1")):
        _box(axes, 34, y, name, INK, 28)
        _arrow(axes, (80, 27), (49, y), WRONG)
    _box(axes, 92, 27, "weights", WRONG, 22)
    _arrow(axes, (34, 22.5), (34, 31.5))
    _say(axes, 62, 6, "[cell] * 2 is one cell twice", WRONG)
    return figure


def library() -> Figure:
    """Draw a class around nn.GRU."""
    figure, axes = _axes(124, 48)
    _box(axes, 34, 30, "your class", INK, 32)
    _box(axes, 90, 30, "nn.GRU", WRONG, 28)
    _arrow(axes, (51, 30), (75, 30), WRONG)
    _say(axes, 63, 35, "calls", WRONG)
    _say(axes, 62, 12, "The equations are those of the library: nothing is written from scratch.", INK, 8)
    return figure


def two_states() -> Figure:
    """Draw an LSTM's two states."""
    figure, axes = _axes(124, 52)
    for y, name, color in ((40, "h", INK), (24, "c", WRONG)):
        for place, x in enumerate((20, 62, 104)):
            _box(axes, x, y, f"{name}{place}", color, 16)
            if place:
                _arrow(axes, (x - 33, y), (x - 9, y), color)
    _say(axes, 62, 8, "An LSTM carries two states from step to step, a GRU one.")
    return figure


def first_difference() -> Figure:
    """Draw two lines that part."""
    figure = Figure(figsize=(5, 2.4), facecolor="white")
    axes = figure.add_axes((0.1, 0.18, 0.85, 0.75))
    steps = np.arange(1, 7)
    reference = np.array([0.1, 0.3, 0.2, 0.45, 0.4, 0.5])
    own = reference + np.array([0, 0, 0.12, 0.2, 0.22, 0.3])
    axes.plot(steps, reference, "o-", color=RIGHT, label="the nearest GRU", markersize=4)
    axes.plot(steps, own, "s--", color=WRONG, label="yours", markersize=4)
    axes.axvline(3, color=FAINT, linewidth=0.8)
    axes.set_xlabel("step", size=8)
    axes.tick_params(labelsize=7)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _sigmoid(a: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-a)))


MIXING = "h' = z * h + (1 - z) * n"
CANDIDATE = "n = tanh(W x + r * (U h))"
PICTURES: Mapping[str, Callable[[], Figure]] = {
    "equal": partial(cell, ("r", "z", "n", "mix"), MIXING, MIXING, True),
    "update-inverted": partial(cell, ("z", "z-mix", "mix"), "h' = (1 - z) * h + z * n", MIXING, True),
    "reset-before": partial(cell, ("r", "r-n", "h-n"), "n = tanh(W x + U (r * h))", CANDIDATE, True),
    "gate-order": order,
    "single-bias": partial(biases, 1),
    "no-bias": partial(biases, 0),
    "library": library,
    "padding": partial(sequence, "The state must not change on padding.", padded=True),
    "candidate-activation": partial(functions, "n must lie\nbetween -1 and 1", {
        "tanh": np.tanh, "no function": lambda a: a, "relu": lambda a: np.maximum(a, 0)}),
    "gate-activation": partial(functions, "a gate must lie\nbetween 0 and 1", {
        "sigmoid": _sigmoid, "tanh": np.tanh, "no function": lambda a: a}),
    "reset-unused": partial(cell, ("r", "r-n"), "n = tanh(W x + U h)", CANDIDATE, missing=("r-n",)),
    "reset-on-input": partial(cell, ("r", "r-n", "x-n"), "n = tanh(r * (W x) + U h)", CANDIDATE),
    "gate-without-state": partial(cell, ("z", "h-z"), "z = sigmoid(W x)", "z = sigmoid(W x + U h)",
                                  missing=("h-z",)),
    "shared-matrices": shared,
    "mixing": partial(cell, ("mix", "z-mix"), "h' = z * h + z * n", MIXING),
    "wrong-candidate": partial(cell, ("mix", "h-mix"), "h' = z * n + (1 - z) * n", MIXING, missing=("h-mix",)),
    "detached": partial(sequence, "The values are right, but no gradient goes back.", cut=True),
    "state-kept": reviews,
    "initial-state": partial(sequence, "The state before the first word must be zeros, or h0.", first="1",
                             first_wrong=True),
    "last-step": partial(sequence, "The last word is never read.", skipped=True),
    "read-backwards": partial(sequence, "The first word is read last.", backwards=True),
    "backward-end": directions,
    "dropout": partial(sequence, "Units are dropped at random, also in evaluation.", dropped=True),
    "shared-layers": layers,
    "lstm": two_states,
    "unknown": first_difference,
}
"""Code -> its drawing."""


def svg(code: str) -> bytes:
    """Return the picture of a finding."""
    with matplotlib.rc_context({"svg.hashsalt": code, "svg.fonttype": "none", "font.family": "sans-serif"}):
        buffer = io.BytesIO()
        PICTURES[code]().savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    lines = buffer.getvalue().decode().splitlines()
    return ("\n".join(line.rstrip() for line in lines) + "\n").encode()


def main() -> None:
    """Write all pictures."""
    for code in PICTURES:
        (FOLDER / f"{code}.svg").write_bytes(svg(code))
    print(f"wrote {len(PICTURES)} pictures to {FOLDER}", file=sys.stderr)


if __name__ == "__main__":
    main()
