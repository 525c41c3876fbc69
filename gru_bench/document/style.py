"""The theme of all figures, and the marks, curves and maps that figures share.

A figure is drawn once, with fixed colors, for a page and for paper. On a page its colors become variables of the style
sheet, so that they follow the light and dark schemes, and its letters are the page's; on paper letters are serif.
Series differ in color and in marker.
seaborn draws what it is given and estimates nothing: means and intervals are columns of the frame.
"""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gru_bench.document.numbers import written
from gru_bench.stats.text import MINUS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ft2font import FT2Font
    from pandas import DataFrame

WIDTH = 4.8
"""Inches: the text width of the standard LaTeX classes."""
NARROW = 3.2
"""Inches: the width of a figure whose letters can still be read on a phone."""
SIZE = 7.5
"""Of letters, in points."""
INK, FAINT, GRID, PAPER = "#1c1b19", "#635f58", "#d9d5cc", "#fefefe"
COLORS = ("#0b6fb0", "#c05a00", "#00795a", "#a8417f", "#7a5c1e", "#5b5bd6")
"""Each has a contrast of at least 4.5 : 1 to white; all can be told apart without red-green vision."""
VARIABLES = {INK: "ink", FAINT: "faint", GRID: "grid", PAPER: "paper"} | {
    color: f"series-{place}" for place, color in enumerate(COLORS, start=1)}
"""Color -> its variable in the style sheet of a page."""
MARKERS = ("o", "s", "D", "^", "v", "P")
PANELS = 12
LINES = 30
"""Most panels and most lines of a figure; the tables hold the rest."""
NAMES = 12
"""Largest width of names of series of which three share a line above the axes; of wider ones two do."""
MEASURED = 100
"""Size of letters, in points, at which the widths of names are measured."""
MARKED = 24
"""Most points of a curve that get a mark each."""
MARK = 5.1
"""Width of a mark, in points."""
GUIDE: dict[str, Any] = {"color": FAINT, "linewidth": 0.7, "zorder": 0}
"""Look of a line to read marks by, such as one at zero."""
BEHIND: dict[str, Any] = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.5}
"""Look of the box behind a name that such a line may cross."""
PAPER_LETTERS: dict[str, Any] = {"font.sans-serif": ["STIXGeneral", "DejaVu Sans"]}
"""Setting of a file for paper. These letters are narrower than those by which a figure is laid out."""
THEME: dict[str, Any] = {
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": SIZE,
    "axes.labelsize": SIZE, "axes.titlesize": SIZE, "figure.labelsize": SIZE,
    "xtick.labelsize": SIZE - 0.5, "ytick.labelsize": SIZE - 0.5, "legend.fontsize": SIZE - 0.5,
    "text.color": INK, "axes.labelcolor": INK, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
    "xtick.color": FAINT, "ytick.color": FAINT, "axes.edgecolor": FAINT, "axes.titlecolor": FAINT, "grid.color": GRID,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.5,
    "grid.linewidth": 0.4,
    "lines.linewidth": 1.0,
    "lines.solid_capstyle": "round",
    "patch.edgecolor": "w",
    "patch.force_edgecolor": True,
    "legend.frameon": False,
    "legend.handletextpad": 0.2,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


@contextmanager
def theme(**more: Any) -> Iterator[None]:
    """Set the global settings of matplotlib while a figure is drawn and written."""
    from matplotlib import rc_context

    settings: Any = THEME | more
    with rc_context(settings), warnings.catch_warnings():
        # A name may hold letters that no font at hand has; they are drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        warnings.filterwarnings("ignore", message="constrained_layout not applied", category=UserWarning)
        yield


def for_page(svg: str, name: str) -> str:
    """Return an SVG as an element of a page: its ids begin with `name`, its colors are the page's variables."""
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{name}-", svg)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]+", r"font: \1px var(--figure-font)", svg)
    for color, variable in VARIABLES.items():
        svg = svg.replace(color, f"var(--{variable})")
    return re.sub(r' (?:width|height)="[^"]*"', "", svg, count=2)


def short(name: str, width: float) -> str:
    """Return a name on one line; a long one keeps its beginning and its end, by which it can be told from others.

    Args:
        name: The name.
        width: Its largest width (`width_of`).
    """
    name = " ".join(name.split())
    if width_of(name) <= width:
        return name
    shown = "…"
    for kept in range(1, len(name)):
        longer = f"{name[:(kept + 1) // 2].rstrip()}…{name[len(name) - kept // 2:].lstrip()}"
        if width_of(longer) > width:
            break
        shown = longer
    return shown


def width_of(text: str) -> float:
    """Return the width of a text, as a multiple of the size of its letters, which are about half as wide as high."""
    return sum(map(_width_of, text))


@cache
def _width_of(letter: str) -> float:
    font = _font()
    if unicodedata.east_asian_width(letter) in "WF" or not (glyph := font.get_char_index(ord(letter))):
        return 1.0  # the page has letters that this font does not have
    return font.load_glyph(glyph).linearHoriAdvance / 2**16 / MEASURED


@cache
def _font() -> FT2Font:
    from matplotlib.font_manager import findfont
    from matplotlib.ft2font import FT2Font

    font = FT2Font(findfont("DejaVu Sans"))
    font.set_size(MEASURED, 72)
    return font


def in_two_lines(pair: str, width: float) -> str:
    """Return `A − B` with each name on a line of its own."""
    return f"\n{MINUS} ".join(short(name, width) for name in pair.split(f" {MINUS} ", 1))


def color_of(place: int) -> str:
    """Return the color of a series."""
    return COLORS[place % len(COLORS)]


def mark_of(place: int) -> dict[str, Any]:
    """Return the color and the marker of a series, as options of a line."""
    return {"color": color_of(place), "marker": MARKERS[place % len(MARKERS)]}


def new_figure(
    height: float, panels: int = 1, columns: int = 1, width: float = WIDTH, **options: Any
) -> tuple[Figure, list[Axes]]:
    """Return a figure, and the axes of its panels.

    Args:
        height: Inches of each row of panels, with what stands around it.
        panels: Number of pairs of axes.
        columns: Most of them next to one another.
        width: Inches.
        options: For the axes.
    """
    from matplotlib.figure import Figure

    rows = -(-panels // columns)
    figure = Figure(figsize=(width, min(max(0.8, height * rows), 8)), layout="constrained")
    axes = list(figure.subplots(rows, min(columns, panels), squeeze=False, **options).flat)
    for left_over in axes[panels:]:
        left_over.set_visible(False)
    return figure, axes[:panels]


def name_series(figure: Figure, names: Sequence[str]) -> None:
    """Put the names and marks of the series above the axes, where there are several."""
    from matplotlib.lines import Line2D

    if len(names) > 1:
        handles = [Line2D([], [], linestyle="none", markersize=4, **mark_of(place)) for place in range(len(names))]
        columns = 3 if max(map(width_of, names)) <= NAMES else 2
        figure.set_figheight(figure.get_figheight() + 0.15 * -(-len(names) // columns))
        figure.legend(handles, [short(name, 18) for name in names], ncols=columns, loc="outside upper left")


def dots(axes: Axes, frame: DataFrame, x: str, y: str, names: Sequence[str], **options: Any) -> None:
    """Draw a mark for each row, in the color and with the marker of its model.

    The marks of a model are one line without strokes: seaborn's scatter plot gives each mark a look of its own, which
    takes long for a thousand trials.
    """
    look = {"linestyle": "none", "markersize": MARK, "markeredgewidth": 0, "clip_on": False, "zorder": 2.5}
    for place, name in enumerate(names):
        own = frame[frame["model"] == name]
        axes.plot(own[x], own[y], **{**look, **mark_of(place), **options})


def intervals(
    axes: Axes, frame: DataFrame, x: str, y: str, names: Sequence[str], along: Literal["x", "y"] = "x", **options: Any
) -> None:
    """Draw the estimate and the interval, from `low` to `high` along an axis, of each row."""
    colors = [color_of(names.index(name)) for name in frame["model"]]
    lines, at = (axes.hlines, y) if along == "x" else (axes.vlines, x)
    lines(frame[at], frame["low"], frame["high"], colors, linewidth=1.7, capstyle="round", clip_on=False)
    dots(axes, frame, x, y, names, **options)


def curves(axes: Axes, frame: DataFrame, x: str, y: str, names: Sequence[str], **options: Any) -> None:
    """Draw the curve of each model, with a band from `low` to `high` where the frame has these."""
    import seaborn

    marks = [mark_of(place) for place in range(len(names))]
    for name, mark in zip(names if "low" in frame else (), marks, strict=False):
        own = frame[frame["model"] == name]
        axes.fill_between(own[x], own["low"], own["high"], color=mark["color"], alpha=0.18, linewidth=0)
    points = int(frame["model"].value_counts().max())
    look = {"linewidth": 1.0, "markersize": 3.3, "markeredgecolor": "auto", "markeredgewidth": 0,
            "markevery": 1 if points <= MARKED else points // 8}
    axes.set(xlabel=" ", ylabel=" ")  # without labels seaborn examines every tick, which takes long
    seaborn.lineplot(frame, x=x, y=y, hue="model", hue_order=names, palette=[mark["color"] for mark in marks],
                     style="model", style_order=names, markers=[mark["marker"] for mark in marks], dashes=False,
                     estimator=None, errorbar=None, legend=False, ax=axes, **{**look, **options})
    axes.set(xlabel="", ylabel="")
    axes.grid(visible=True, axis="y")  # else a second call on the same axes turns it off


def shades(axes: Axes, value_YX: Any, color: str, strongest: float = 1.0, **options: Any) -> None:
    """Fill axes with squares that are the stronger shaded, the larger their values between 0 and 1."""
    import seaborn
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    ramp = LinearSegmentedColormap.from_list("shades", [(*to_rgb(color), 0.0), (*to_rgb(color), strongest)])
    seaborn.heatmap(value_YX, vmin=0, vmax=1, cmap=ramp, cbar=False, fmt="", ax=axes,
                    **{"xticklabels": False, "yticklabels": False, **options})
    axes.tick_params(length=0, left=False, bottom=False)


def name_lines(axes: Axes, names: Sequence[str]) -> None:
    """Write names down the left of the axes, the first at the top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def keep_within(axes: Axes, along: Literal["x", "y"], low: float | None = 0.0, high: float | None = 100.0) -> None:
    """End an axis at what its values cannot pass, such as 0 and 100 %."""
    start, end = axes.get_xlim() if along == "x" else axes.get_ylim()
    ends = (start if low is None else max(start, low), end if high is None else min(end, high))
    axes.set(**{f"{along}lim": ends})


def log_axis(axes: Axes, along: Literal["x", "y"] = "x") -> None:
    """Make an axis logarithmic, with few and round ticks, at least two."""
    from matplotlib.ticker import Locator, LogLocator, MaxNLocator, ScalarFormatter

    axes.set(**{f"{along}scale": "log"})
    axis = axes.xaxis if along == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    parts = (1, 2, 5) if high < 30 * low else (1, 3) if high < 1000 * low else (1,)
    locator: Locator = LogLocator(subs=parts)
    if sum(low <= tick <= high for tick in locator.tick_values(low, high)) < 2:
        locator = MaxNLocator(4, steps=(1, 2, 5, 10))
    axis.set_major_locator(locator)
    axis.set_major_formatter(
        (lambda value, _: written(value, "setting")) if high > 2 * low else ScalarFormatter(useOffset=False))
    axes.minorticks_off()


def dodge(names: Sequence[str], models: Any, room: float = 0.7) -> Any:
    """Return how far the mark of each model stands from the middle of its place, so that marks do not overlap."""
    places = np.array([names.index(name) for name in models])
    return room * ((places + 0.5) / len(names) - 0.5)
