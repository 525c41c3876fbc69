"""The theme of all figures, on a page and on paper, and the marks, curves and maps that figures share.

On a page a figure takes its colors and letters from the page's style sheet, so that it follows the light and
dark schemes. On paper it has the serif letters and the text width of the document. Series differ in color and in
marker.
seaborn draws what it is given and estimates nothing: means and intervals are columns of the frame.
"""

from __future__ import annotations

import re
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gru_bench.report.document.numbers import written

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

COLORS = ("#0b6fb0", "#c05a00", "#00795a", "#a8417f", "#7a5c1e", "#5b5bd6")
"""Each has a contrast of at least 4.5 : 1 to white; all can be told apart without red-green vision."""
MARKERS = ("o", "s", "D", "^", "v", "P")
PANELS = 12
LINES = 30
"""Most panels and most lines of a figure; the tables hold the rest."""
NAMES = 3
"""Most names of series in a line above the axes."""
MARKED = 24
"""Most points of a curve that get a mark each."""
AREA = 42.0
"""Area of a mark, in square points."""


@dataclass(frozen=True)
class Style:
    """A style of figures: sizes, colors and matplotlib settings."""

    width: float
    """Inches."""
    size: float
    """Of letters, in points."""
    ink: str
    faint: str
    grid: str
    colors: tuple[str, ...]
    settings: dict[str, Any]

    def color(self, place: int) -> str:
        """Return the color of a series."""
        return self.colors[place % len(self.colors)]

    def mark(self, place: int) -> dict[str, Any]:
        """Return the color and the marker of a series, as options of a line."""
        return {"color": self.color(place), "marker": MARKERS[place % len(MARKERS)]}

    def series(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the colors and the markers of all series, as options of seaborn."""
        marks = [self.mark(place) for place in range(len(names))]
        return {"hue_order": names, "palette": [mark["color"] for mark in marks],
                "style_order": names, "markers": [mark["marker"] for mark in marks], "legend": False}


# Colors that no one else uses: each is put back as a variable of the page's style sheet.
_VARIABLES = {"#010203": "ink", "#020304": "faint", "#030405": "grid"} | {
    f"#0{place}0a0b": f"series-{place}" for place in range(1, len(COLORS) + 1)
}
_COMMON: dict[str, Any] = {
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.titlelocation": "left",
    "lines.solid_capstyle": "round",
    "patch.edgecolor": "w",
    "patch.force_edgecolor": True,
    "axes.unicode_minus": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "legend.handletextpad": 0.2,
    "lines.linewidth": 1.4,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "savefig.transparent": True,
}
PAGE = Style(
    width=6.9, size=9.5, ink="#010203", faint="#020304", grid="#030405", colors=tuple(list(_VARIABLES)[3:]),
    settings={"svg.fonttype": "none", "font.family": ["DejaVu Sans"]},
)
PAPER = Style(
    width=4.8, size=8, ink="#000000", faint="#555555", grid="#dddddd", colors=COLORS,
    settings={"pdf.fonttype": 42, "font.family": ["STIXGeneral", "DejaVu Sans"]},
)
SCREEN = replace(PAGE, ink="#1c1b19", faint="#635f58", grid="#d9d5cc", colors=COLORS, settings={
    "font.family": ["DejaVu Sans"], "figure.facecolor": "#ffffff", "savefig.facecolor": "#ffffff",
    "savefig.transparent": False, "savefig.dpi": 150, "svg.fonttype": "path"})
"""A figure in a file of its own: the size of a page's figure, with fixed colors."""


@contextmanager
def drawing(style: Style, more: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Set the global settings of matplotlib while a figure is drawn and written."""
    from matplotlib import rc_context

    colors = {
        "text.color": style.ink, "axes.labelcolor": style.ink, "xtick.color": style.faint,
        "ytick.color": style.faint, "xtick.labelcolor": style.ink, "ytick.labelcolor": style.ink,
        "axes.edgecolor": style.faint, "axes.titlecolor": style.faint, "grid.color": style.grid,
        "font.size": style.size, "axes.labelsize": style.size, "axes.titlesize": style.size,
        "figure.labelsize": style.size, "xtick.labelsize": style.size - 0.5, "ytick.labelsize": style.size - 0.5,
        "legend.fontsize": style.size - 0.5,
    }
    settings: Any = {**_COMMON, **colors, **style.settings, **(more or {})}
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
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, f"var(--{variable})")
    return re.sub(r' (?:width|height)="[^"]*"', "", svg, count=2)


def short(text: str, width: int = 24, lines: int = 2) -> str:
    """Return a name on at most `lines` lines; what does not fit ends in an ellipsis."""
    text = " ".join(text.split())  # textwrap knows fewer kinds of white space
    found = textwrap.wrap(text, width, max_lines=lines, placeholder="…") or [""]
    if found[-1] == "…":  # in place of a word longer than the line, whose beginning tells more
        found[-1] = f"{textwrap.wrap(text, width)[len(found) - 1][:width - 1]}…"
    return "\n".join(found)


def told_apart(names: Sequence[str], width: int) -> list[str]:
    """Return different names on one line each; those that would look the same when shortened also keep their ends."""
    shown = [short(name, width, 1) for name in names]
    begun, ending = width // 2, (width - 1) // 2
    return [one if shown.count(one) == 1 else f"{name[:begun].rstrip()}…{name[-ending:].lstrip()}"
            for one, name in zip(shown, (" ".join(name.split()) for name in names), strict=True)]


def in_two_lines(pair: str, width: int) -> str:
    """Return `A less B` with each name on a line of its own."""
    return "\nless ".join(short(name, width, 1) for name in pair.split(" less ", 1))


def new_figure(
    style: Style, height: float, panels: int = 1, columns: int = 1, **options: Any
) -> tuple[Figure, list[Axes]]:
    """Return a figure of a style's width, and the axes of its panels.

    Args:
        style: The style.
        height: Inches on a page of each row of panels, with what stands around it.
        panels: Number of pairs of axes.
        columns: Most of them beside one another.
        options: For the axes.
    """
    from matplotlib.figure import Figure

    rows = -(-panels // columns)
    # Smaller letters take flatter figures, of which two and a table share a sheet.
    scale = 0.1 + 0.9 * style.width / PAGE.width
    figure = Figure(figsize=(style.width, min(max(1.1, height * rows), 11) * scale), layout="constrained")
    axes = list(figure.subplots(rows, min(columns, panels), squeeze=False, **options).flat)
    for left_over in axes[panels:]:
        left_over.set_visible(False)
    return figure, axes[:panels]


def name_series(figure: Figure, names: Sequence[str], style: Style, beside: bool = False) -> None:
    """Put the names and marks of the series above the axes, or beside them, where there are several."""
    from matplotlib.lines import Line2D

    if len(names) > 1:
        handles = [Line2D([], [], linestyle="none", markersize=5, **style.mark(place)) for place in range(len(names))]
        if not beside:
            figure.set_figheight(figure.get_figheight() + 0.2 * -(-len(names) // NAMES))
        figure.legend(handles, told_apart(names, 30), loc="outside right upper" if beside else "outside upper left",
                      ncols=1 if beside else NAMES)


def dots(axes: Axes, frame: DataFrame, x: str, y: str, style: Style, names: Sequence[str], **options: Any) -> Any:
    """Draw a mark for each row, in the color and with the marker of its model, and return the marks."""
    import seaborn

    look = {"s": AREA, "edgecolor": "none", "linewidth": 0, "hue": "model", "style": "model", **style.series(names)}
    if "marker" in options:
        del look["style"], look["style_order"], look["markers"], look["edgecolor"]
    axes.set(xlabel=" ", ylabel=" ")  # without labels seaborn looks at every tick, which takes long
    seaborn.scatterplot(frame, x=x, y=y, ax=axes, clip_on=False, zorder=2.5, **{**look, **options})
    axes.set(xlabel="", ylabel="")
    return axes.collections[-1]


def intervals(
    axes: Axes, frame: DataFrame, x: str, y: str, style: Style, names: Sequence[str],
    along: Literal["x", "y"] = "x",
) -> Any:
    """Draw the estimate and the interval, from `low` to `high` along an axis, of each row, and return the marks."""
    colors = [style.color(names.index(name)) for name in frame["model"]]
    lines, at = (axes.hlines, y) if along == "x" else (axes.vlines, x)
    lines(frame[at], frame["low"], frame["high"], colors, linewidth=2.2, capstyle="round", clip_on=False)
    return dots(axes, frame, x, y, style, names)


def curves(axes: Axes, frame: DataFrame, x: str, y: str, style: Style, names: Sequence[str], **options: Any) -> None:
    """Draw the curve of each model, with a band from `low` to `high` where the frame has these."""
    import seaborn

    for place, name in enumerate(names if "low" in frame else ()):
        own = frame[frame["model"] == name]
        axes.fill_between(own[x], own["low"], own["high"], color=style.color(place), alpha=0.18, linewidth=0)
    points = int(frame["model"].value_counts().max())
    look = {"linewidth": 1.3, "markersize": 4.2, "markeredgecolor": "auto", "markeredgewidth": 0,
            "markevery": 1 if points <= MARKED else points // 8, **style.series(names)}
    axes.set(xlabel=" ", ylabel=" ")
    seaborn.lineplot(frame, x=x, y=y, hue="model", style="model", dashes=False, estimator=None, errorbar=None, ax=axes,
                     **{**look, **options})
    axes.set(xlabel="", ylabel="")
    axes.grid(axis="y")


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


def whole_ticks(axes: Axes) -> None:
    """Put ticks of the x axis at whole numbers only."""
    axes.locator_params(axis="x", integer=True)


def log_axis(axes: Axes, along: Literal["x", "y"] = "x") -> None:
    """Make an axis logarithmic, with few and round ticks."""
    from matplotlib.ticker import LogLocator, ScalarFormatter

    axes.set(**{f"{along}scale": "log"})
    axis = axes.xaxis if along == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    parts = (1, 2, 5) if high < 30 * low else (1, 3) if high < 1000 * low else (1,)
    axis.set_major_locator(LogLocator(subs=parts))
    axis.set_major_formatter(
        (lambda value, _: written(value, "setting")) if high > 2 * low else ScalarFormatter(useOffset=False))
    axes.minorticks_off()


def dodge(names: Sequence[str], models: Any, room: float = 0.7) -> Any:
    """Return how far the mark of each model stands from the middle of its place, so that marks do not overlap."""
    places = np.array([names.index(name) for name in models])
    return room * ((places + 0.5) / len(names) - 0.5)
