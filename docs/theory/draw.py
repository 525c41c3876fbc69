"""Draws the diagrams of docs/theory.md: `python docs/theory/draw.py`. Run it after you change a drawing.

Each diagram is laid out in points on a sheet that fits a phone, with letters that can be read without zooming. Letters
are outlines, so that a formula looks the same everywhere. Three colors have a fixed meaning: the first is the state and
what reads it, the second the gates and the focus word, the third the candidate and the second layer.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path as FilePath
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import BoxStyle, Circle, FancyBboxPatch, Patch, PathPatch, Polygon, Rectangle
from matplotlib.path import Path
from matplotlib.text import Text
from numpy.typing import NDArray

from gru_bench.document.style import COLORS

FOLDER = FilePath(__file__).parent
INK, FAINT, PALE = "#24292f", "#6e7781", "#d0d7de"
WIDTH = 300.0
"""Width of every diagram, in points: the text width of a phone."""
SIZE = 10.5
"""Size of letters, in points."""
SMALL = 9.5
STATE, GATE, NEW = 0, 1, 2
"""Colors by what they mean."""
RADIUS = 7.5
"""Radius of the circle of an operation."""
WIDER = 9.0
"""Radius of the circle of one minus, which holds two signs."""
Point = tuple[float, float]
Vector = NDArray[np.float64]


class Sheet:
    """A figure with one point of paper for a unit, the origin at its lower left."""

    def __init__(self, height: float) -> None:
        """Make an empty sheet of the common width."""
        self.figure = Figure(figsize=(WIDTH / 72, height / 72))
        self.axes: Axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, WIDTH), ylim=(0, height))
        self.axes.set_axis_off()

    def color(self, meaning: int | None) -> str:
        """Return the color of a meaning; the color of letters for none."""
        return INK if meaning is None else COLORS[meaning]

    def tinted(
        self, shape: Callable[..., Patch], color: int | None, strength: float, width: float = 1.0, **line: Any
    ) -> None:
        """Draw a shape filled faintly, with its outline; without a meaning, the outline alone."""
        if color is not None:
            self.axes.add_patch(shape(facecolor=self.color(color), alpha=strength, linewidth=0))
        edge = FAINT if color is None else self.color(color)
        self.axes.add_patch(shape(facecolor="none", edgecolor=edge, linewidth=width, **line))

    def text(
        self, x: float, y: float, words: str, size: float = SIZE, *, faint: bool = False, color: int | None = None,
        ha: Literal["left", "center", "right"] = "center", italic: bool = False,
    ) -> Text:
        """Write words centered at a height; `$...$` is mathematics."""
        return self.axes.text(
            x, y, words, size=size, ha=ha, va="center_baseline", style="italic" if italic else "normal",
            color=FAINT if faint else self.color(color),
        )

    def box(
        self, x: float, y: float, width: float, height: float, words: str = "", below: str = "", *,
        color: int | None = None, size: float = SIZE, corner: float = 4.0, strength: float = 0.14,
    ) -> None:
        """Draw a rounded box around its center, with a line of words or two in it."""
        shape = BoxStyle.Round(pad=0, rounding_size=corner)
        place = (x - width / 2, y - height / 2)
        self.tinted(partial(FancyBboxPatch, place, width, height, shape), color, strength)
        if below:
            self.text(x, y + 0.21 * height, words, size)
            self.text(x, y - 0.21 * height, below, SMALL)
        elif words:
            self.text(x, y + 0.3, words, size)

    def operation(self, x: float, y: float, sign: Literal["times", "plus", "minus"]) -> None:
        """Draw a circle for an operation element by element: a product, a sum, or one minus."""
        radius = WIDER if sign == "minus" else RADIUS
        self.axes.add_patch(Circle((x, y), radius, facecolor="none", edgecolor=INK, linewidth=1.0))
        if sign == "minus":
            self.text(x, y + 0.2, r"$1\!-$", SMALL - 1)
            return
        arm = RADIUS * 0.55
        turned = arm / np.sqrt(2)
        strokes = {"times": (((-turned, -turned), (turned, turned)), ((-turned, turned), (turned, -turned))),
                   "plus": (((-arm, 0), (arm, 0)), ((0, -arm), (0, arm)))}[sign]
        for (x0, y0), (x1, y1) in strokes:
            self.axes.plot([x + x0, x + x1], [y + y0, y + y1], color=INK, linewidth=1.0,
                           solid_capstyle="round")

    def dot(self, x: float, y: float, color: int | None = None) -> None:
        """Mark where a wire divides."""
        self.axes.add_patch(Circle((x, y), 1.9, facecolor=self.color(color), linewidth=0))

    def wire(
        self, *points: Point, color: int | None = None, arrow: bool = True, faint: bool = False, width: float = 1.0
    ) -> None:
        """Draw a line through points, its corners rounded, with a head at its end."""
        hue = FAINT if faint else self.color(color)
        ends = [np.array(point, float) for point in points]
        head = _unit(ends[-1] - ends[-2]) if arrow else np.zeros(2)
        tip = ends[-1].copy()
        ends[-1] = ends[-1] - 4.0 * head
        vertices, codes = [ends[0]], [Path.MOVETO]
        for before, here, after in zip(ends, ends[1:], ends[2:], strict=False):
            room = min(5.0, float(np.linalg.norm(here - before)) / 2, float(np.linalg.norm(after - here)) / 2)
            vertices += [here - room * _unit(here - before), here, here + room * _unit(after - here)]
            codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
        vertices.append(ends[-1])
        codes.append(Path.LINETO)
        self.axes.add_patch(PathPatch(
            Path(vertices, codes), facecolor="none", edgecolor=hue, linewidth=width, capstyle="butt",
            joinstyle="round"))
        if arrow:
            side = np.array((-head[1], head[0]))
            back = tip - 5.5 * head
            self.axes.add_patch(Polygon(
                [tip, back + 2.5 * side, tip - 4.2 * head, back - 2.5 * side], closed=True, facecolor=hue, linewidth=0))

    def arc(self, start: Point, end: Point, color: int) -> None:
        """Draw an arc from one word to another, above the words between them."""
        between = ((start[0] + end[0]) / 2, start[1] + 0.2 * abs(end[0] - start[0]))
        self.axes.add_patch(PathPatch(
            Path([start, between, end], [Path.MOVETO, Path.CURVE3, Path.CURVE3]), facecolor="none",
            edgecolor=self.color(color), linewidth=0.9, capstyle="round"))

    def mark(self, x: float, y: float, shape: str) -> None:
        """Draw a small filled circle or diamond, to be explained beside."""
        self.axes.plot([x], [y], "o" if shape == "circle" else "D", color=INK,
                       markersize=7 if shape == "circle" else 6, markeredgewidth=0)

    def cells(self, middle: Point, count: int, side: float, filled: Sequence[float], color: int) -> None:
        """Draw a vector as a column of squares; `filled` shades each, from 0 to 1."""
        for place, share in enumerate(filled):
            corner = (middle[0] - side / 2, middle[1] + ((count - 1) / 2 - place) * side - side / 2)
            self.tinted(partial(Rectangle, corner, side, side), color, 0.85 * share, width=0.8)

    def patch(self, corners: Sequence[Point], color: int) -> None:
        """Draw a tinted shape with straight sides."""
        self.tinted(partial(Polygon, corners, closed=True), color, 0.14, joinstyle="round")


def _unit(vector: Vector) -> Vector:
    return vector / np.linalg.norm(vector)


# ---------------------------------------------------------------- word vectors


def _word2vec() -> Figure:
    sheet = Sheet(236)
    words = {"a": 14.0, "quiet": 33.0, "film": 31.0, "that": 31.0, "moved": 43.0, "me": 25.0, "deeply": 43.0}
    focus, reach, gap, line = 4, 2, 8.0, 208.0
    left = (WIDTH - sum(words.values()) - gap * (len(words) - 1)) / 2
    middles = []
    for place, (word, width) in enumerate(words.items()):
        middles.append(left + width / 2)
        left += width + gap
        if abs(place - focus) <= reach:
            sheet.box(middles[-1], line, width, 19, word, color=GATE if place == focus else STATE,
                      strength=0.3 if place == focus else 0.14)
        else:
            sheet.text(middles[-1], line + 0.3, word, faint=True)
    for end in (middles[focus + shift] for shift in (-2, -1, 1, 2)):
        sheet.arc((middles[focus] + (4 if end > middles[focus] else -4), line + 9.5), (end, line + 11), STATE)
    sheet.text(middles[focus], line - 17, "focus word", SMALL, color=GATE)
    sheet.text(middles[focus - 2] + 6, line - 17, "context words", SMALL, color=STATE)

    middle, tall, short, side = 94.0, 65.0, 27.0, 14.4
    sheet.cells((26, middle), 9, side, [0, 0, 0, 0, 0, 1, 0, 0, 0], GATE)
    sheet.patch([(41, middle + tall), (106, middle + short), (106, middle - short), (41, middle - tall)], STATE)
    sheet.cells((120, middle), 4, 13, [0.5, 0.15, 0.75, 0.3], STATE)
    sheet.patch([(134, middle + short), (199, middle + tall), (199, middle - tall), (134, middle - short)], NEW)
    for x, name, shape in ((71, "$W_1$", r"$V \times E$"), (169, "$W_2$", r"$E \times V$")):
        sheet.text(x, middle + 7, name, SIZE + 2.5)
        sheet.text(x, middle - 9, shape, SMALL)
    sheet.wire((203, middle), (222, middle))
    sheet.axes.plot([226, 226], [middle - tall, middle + tall], color=FAINT, linewidth=0.8)
    chances = {"film": (1, 0.2), "that": (2, 0.26), "me": (6, 0.23), "deeply": (7, 0.18)}
    others = {f"other {row}": (row, chance) for row, chance in ((0, 0.03), (3, 0.02), (4, 0.02), (5, 0.04), (8, 0.02))}
    for word, (row, chance) in (chances | others).items():
        y = middle + (4 - row) * side
        sheet.axes.add_patch(Rectangle(
            (226, y - 4.2), 130 * chance, 8.4, facecolor=sheet.color(NEW), alpha=0.75, linewidth=0))
        if word in chances:
            sheet.text(230 + 130 * chance, y + 0.2, word, SMALL, ha="left")
    for x, above, below in ((26, "one-hot", "$V$ words"), (252, "softmax", "$V$ probabilities")):
        sheet.text(x, middle + tall + 11, above, SMALL)
        sheet.text(x, middle - tall - 11, below, SMALL, faint=True)
    sheet.text(120, middle + short + 29, "word vector", SMALL)
    sheet.wire((120, middle + short + 22), (120, middle + short + 3), faint=True)
    sheet.text(120, middle - short - 12, "$E$ numbers", SMALL, faint=True)
    sheet.text(74, 6.5, "first linear layer", SMALL, color=STATE)
    sheet.text(170, 6.5, "second linear layer", SMALL, color=NEW)
    return sheet.figure


# ---------------------------------------------------------------- networks


def _networks() -> Figure:
    sheet = Sheet(262)
    # Above: one layer, and the same with its own output fed back.
    layer = 190.0
    for x, name, mark in ((72.0, "feed-forward", ""), (222.0, "recurrent", "_t")):
        sheet.text(x, layer + 63, name, italic=True)
        sheet.text(x, layer - 50, f"$x{mark}$", SIZE + 1)
        sheet.wire((x, layer - 41), (x, layer - 13))
        sheet.text(x + 6, layer - 28, "$W$", ha="left")
        sheet.box(x, layer, 44, 26, f"$h{mark}$", color=STATE, size=SIZE + 1)
        sheet.wire((x, layer + 13), (x, layer + 37))
        sheet.text(x, layer + 46, f"$y{mark}$", SIZE + 1)
    loop = ((244, layer), (266, layer), (266, layer + 26), (234, layer + 26), (234, layer + 13))
    sheet.wire(*loop, color=GATE, width=1.3)
    sheet.text(271, layer + 13, "$U$", ha="left", color=GATE)
    # Below: the same network, once for each token.
    sheet.axes.plot([16, 284], [126, 126], color=PALE, linewidth=0.8)
    sheet.text(150, 113, "the recurrent network, unrolled over a review of $T$ tokens", SMALL, italic=True)
    row = 56.0
    sheet.text(15, row + 0.3, "$h_0$", SIZE + 1)
    for x, step in ((62, "1"), (128, "2"), (242, "T")):
        sheet.text(x, row - 45, f"$x_{step}$", SIZE + 1)
        sheet.wire((x, row - 36), (x, row - 13))
        sheet.text(x + 6, row - 25, "$W$", ha="left")
        sheet.box(x, row, 40, 26, f"$h_{step}$", color=STATE, size=SIZE + 1)
    for start, end in ((25, 42), (82, 108), (148, 174), (196, 222)):
        sheet.wire((start, row), (end, row), color=GATE, width=1.3)
        if start > 25:
            sheet.text((start + end) / 2 - 1, row + 9, "$U$", color=GATE)
    sheet.text(185, row, r"$\cdots$")
    sheet.wire((242, row + 13), (242, row + 31))
    sheet.text(242, row + 40, "$y$", SIZE + 1)
    return sheet.figure


def _gru() -> Figure:
    sheet = Sheet(208)
    top, middle, low, boxes, h_bus, x_bus = 180.0, 147.0, 111.0, 68.0, 29.0, 13.0
    z_x, r_x, u_x, n_x = 88.0, 147.0, 202.0, 254.0
    under = boxes - 15
    sheet.box(156, 104, 254, 204, corner=10)
    # The state passes along the top: so much of the old, and the rest of the new.
    sheet.wire((2, top), (z_x - RADIUS, top), color=STATE, width=1.7)
    sheet.wire((z_x + RADIUS, top), (n_x - RADIUS, top), color=STATE, width=1.7)
    sheet.wire((n_x + RADIUS, top), (298, top), color=STATE, width=1.7)
    sheet.text(14, top + 10, r"$h_{t\!-\!1}$", SIZE + 1, color=STATE)
    sheet.text(292, top + 10, "$h_t$", SIZE + 1, color=STATE)
    sheet.operation(z_x, top, "times")
    sheet.operation(n_x, top, "plus")
    # What the gates and the candidate read. The one wire is opened where the other crosses it.
    sheet.dot(46, top, STATE)
    sheet.wire((46, top), (46, h_bus), (z_x + 6, h_bus), color=STATE, arrow=False)
    sheet.wire((z_x + 12, h_bus), (r_x + 6, h_bus), color=STATE, arrow=False)
    sheet.wire((r_x + 12, h_bus), (u_x, h_bus), (u_x, under), color=STATE)
    sheet.wire((2, x_bus), (n_x, x_bus), (n_x, under))
    sheet.text(12, x_bus + 10, "$x_t$", SIZE + 1)
    for x in (z_x, r_x):
        sheet.dot(x - 9, h_bus, STATE)
        sheet.wire((x - 9, h_bus), (x - 9, under), color=STATE)
        sheet.dot(x + 9, x_bus)
        sheet.wire((x + 9, x_bus), (x + 9, under))
    sheet.box(z_x, boxes, 48, 30, r"$\sigma$", "update", color=GATE, size=SIZE + 2)
    sheet.box(r_x, boxes, 48, 30, r"$\sigma$", "reset", color=GATE, size=SIZE + 2)
    sheet.box(u_x, boxes, 38, 30, "$W_{hn}$", color=NEW, size=SIZE + 1)
    sheet.box(n_x, boxes, 38, 30, "$W_{in}$", color=NEW, size=SIZE + 1)
    # The candidate: the reset gate acts on the product with the old state.
    sheet.wire((u_x, boxes + 15), (u_x, low - RADIUS), color=NEW)
    sheet.wire((r_x, boxes + 15), (r_x, low), (u_x - RADIUS, low), color=GATE)
    sheet.text(r_x + 14, low + 9, "$r_t$", color=GATE)
    sheet.operation(u_x, low, "times")
    sheet.wire((u_x + RADIUS, low), (n_x - 19, low), color=NEW)
    sheet.wire((n_x, boxes + 15), (n_x, low - 10), color=NEW)
    sheet.box(n_x, low, 38, 20, "tanh", color=NEW)
    sheet.wire((n_x, low + 10), (n_x, middle - RADIUS), color=NEW)
    sheet.text(n_x + 5, low + 19, "$n_t$", ha="left", color=NEW)
    sheet.operation(n_x, middle, "times")
    sheet.wire((n_x, middle + RADIUS), (n_x, top - RADIUS), color=NEW)
    # The update gate weighs both.
    sheet.wire((z_x, boxes + 15), (z_x, top - RADIUS), color=GATE)
    sheet.text(z_x - 5, middle - 20, "$z_t$", ha="right", color=GATE)
    sheet.dot(z_x, middle, GATE)
    sheet.wire((z_x, middle), (171 - WIDER, middle), color=GATE)
    sheet.operation(171, middle, "minus")
    sheet.wire((171 + WIDER, middle), (n_x - RADIUS, middle), color=GATE)
    return sheet.figure


def _poolings() -> Figure:
    sheet = Sheet(208)
    forward, tokens, backward = 162.0, 109.0, 56.0
    for x, step, before, after in ((40, "1", "1", "T"), (106, "2", "2", r"T\!-\!1"), (256, "T", "T", "1")):
        sheet.text(x, tokens, f"$x_{step}$", SIZE + 1)
        sheet.wire((x, tokens + 10), (x, forward - 20))
        sheet.wire((x, tokens - 9), (x, backward + 20))
        for y, arrow, read, color in ((forward, "right", before, STATE), (backward, "left", after, GATE)):
            state = rf"$\over{arrow}arrow{{h}}_{step}$"
            sheet.box(x, y, 50, 40, state, f"read ${read}$", color=color, size=SIZE + 1)
    for a, b in ((65, 81), (131, 165), (197, 231)):
        sheet.wire((a, forward), (b, forward), color=STATE)
        sheet.wire((b, backward), (a, backward), color=GATE)
    for y in (forward, tokens, backward):
        sheet.text(181, y + 0.3, r"$\cdots$")
    sheet.text(181, forward + 15, "forward", SMALL, italic=True, color=STATE)
    sheet.text(181, backward - 15, "backward", SMALL, italic=True, color=GATE)
    sheet.mark(250, forward + 29, "circle")
    sheet.mark(262, forward + 29, "diamond")
    sheet.mark(256, backward - 29, "circle")
    sheet.mark(40, backward - 29, "diamond")
    for x, shape, name in ((58, "circle", "last"), (178, "diamond", "final")):
        sheet.mark(x, 8, shape)
        sheet.text(x + 8, 8, rf"what $\it{{{name}}}$ passes on", SMALL, ha="left")
    return sheet.figure


def _chunks() -> Figure:
    sheet = Sheet(208)
    chunks = (("r", GATE), ("z", GATE), ("n", NEW))
    rows = (
        (156.0, "once for each review", "W_{i", r"$3H \times E$", "$X$", r"$E \times T$", 44.0,
         r"$3H \times T$"),
        (50.0, "once for each token", "W_{h", r"$3H \times H$", r"$h_{t\!-\!1}$", r"$H \times 1$", 15.0,
         r"$3H \times 1$"),
    )
    for middle, title, matrix, shape, read, read_shape, width, made_shape in rows:
        high = 22.0
        sheet.text(4, middle + 45, title, SMALL, italic=True, ha="left")
        for place, (gate, color) in enumerate(chunks):
            y = middle + (1 - place) * (high + 1)
            sheet.box(50, y, 64, high, f"${matrix}{gate}}}$", color=color, corner=1.5)
            sheet.box(207, y, width, high, "", color=color, corner=1.5)
            sheet.wire((207 + width / 2 + 3, y), (252, y), color=color)
            sheet.text(258, y + 0.3, f"to ${gate}_t$", SMALL, ha="left", color=color)
        sheet.text(93, middle, r"$\times$")
        sheet.box(129, middle, width, 44, read if width > 30 else "", color=STATE, corner=1.5)
        if width <= 30:
            sheet.text(129, middle + 31, read, color=STATE)
        sheet.text(168, middle, "$=$")
        for x, words in ((50, shape), (129, read_shape), (207, made_shape)):
            sheet.text(x, middle - 43, words, SMALL, faint=True)
    return sheet.figure


# ---------------------------------------------------------------- files

DRAWINGS: Mapping[str, Callable[[], Figure]] = {
    "word-vectors": _word2vec,
    "networks": _networks,
    "gru-cell": _gru,
    "poolings": _poolings,
    "chunks": _chunks,
}
"""Name of a diagram -> its drawing."""


def svg(name: str) -> bytes:
    """Return a diagram, on white so that it can be read on a dark page too."""
    settings = {"svg.hashsalt": name, "svg.fonttype": "path", "font.family": ["STIXGeneral"],
                "mathtext.fontset": "stix", "figure.facecolor": "#ffffff", "savefig.facecolor": "#ffffff"}
    with matplotlib.rc_context(settings):
        buffer = io.BytesIO()
        DRAWINGS[name]().savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    lines = buffer.getvalue().decode().splitlines()
    return ("\n".join(line.rstrip() for line in lines) + "\n").encode()


def main() -> None:
    """Write all diagrams."""
    for name in DRAWINGS:
        (FOLDER / f"{name}.svg").write_bytes(svg(name))
    print(f"wrote {len(DRAWINGS)} diagrams to {FOLDER}", file=sys.stderr)


if __name__ == "__main__":
    main()
