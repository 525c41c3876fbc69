"""The styles of figures on a page and on paper, and the axes, marks and lines that figures share.

On a page a figure takes its colors and letters from the page's style sheet, so that it follows the light and
dark schemes, and is drawn a second time for narrow windows. On paper it has the serif letters and the text width of the
document. Series differ in color and in marker, and are labeled where they are drawn.

Shapes: `X` columns and `Y` rows of a map of squares.
"""

from __future__ import annotations

import math
import re
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from gru_bench.report.document.numbers import FORMATS, Number, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#0b6fb0", "#c05a00", "#00795a", "#a8417f", "#7a5c1e", "#5b5bd6")
"""Each has a contrast of at least 4.5 : 1 to white; all can be told apart without red-green vision."""
MARKERS = ("o", "s", "D", "^", "v", "P")
PANELS = 12
LINES = 30
"""Most panels and most lines of a figure; the tables hold the rest."""
SHADES = 25
"""Different shades of a map."""
NAMES = 3
"""Most names of series in a line above the axes."""


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
    narrow: bool = False
    """Whether names stand above their lines and panels below one another, as on a phone."""

    def color(self, place: int) -> str:
        """Return the color of a series."""
        return self.colors[place % len(self.colors)]

    def mark(self, place: int) -> dict[str, Any]:
        """Return the color and the marker of a series, as options of a line."""
        return {"color": self.color(place), "marker": MARKERS[place % len(MARKERS)]}


# Colors that no one else uses: each is put back as a variable of the page's style sheet.
_VARIABLES = {"#010203": "ink", "#020304": "faint", "#030405": "grid"} | {
    f"#0{place}0a0b": f"series-{place}" for place in range(1, len(COLORS) + 1)
}
_COMMON: dict[str, Any] = {
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "axes.axisbelow": True,
    "lines.solid_capstyle": "round",
    "patch.edgecolor": "w",
    "patch.force_edgecolor": True,
    "axes.unicode_minus": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
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
NARROW = replace(PAGE, width=3.4, narrow=True)
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
        "axes.edgecolor": style.faint, "grid.color": style.grid, "font.size": style.size,
        "axes.labelsize": style.size, "axes.titlesize": style.size, "xtick.labelsize": style.size - 0.5,
        "ytick.labelsize": style.size - 0.5,
    }
    settings: Any = {**_COMMON, **colors, **style.settings, **(more or {})}
    with rc_context(settings), warnings.catch_warnings():
        # A name may hold letters that no font at hand has; they are drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        warnings.filterwarnings("ignore", message="constrained_layout not applied", category=UserWarning)
        yield


def for_page(svg: str, name: str, kind: str = "") -> str:
    """Return an SVG as an element of a page, of the class `kind` where there is one.

    Its ids begin with `name`, its colors are the page's variables.
    """
    svg = svg[svg.index("<svg"):]
    if kind:
        svg = svg.replace("<svg", f'<svg class="{kind}"', 1)
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="series-(\d+)"', r'data-series="\1"', svg)
    svg = svg.replace('id="series-names"', 'data-names=""')
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


def new_figure(
    style: Style, height: float, panels: int = 1, columns: int = 1, row: float = 0.0, names: int = 0, **options: Any
) -> tuple[Figure, list[Any]]:
    """Return a figure of a style's width, and the axes of its panels.

    Args:
        style: The style.
        height: Inches on a page, without rows and names.
        panels: Number of pairs of axes.
        columns: Most of them beside one another.
        row: Inches of each row of axes.
        names: Number of series whose names stand above the axes.
        options: For the axes.
    """
    from matplotlib.figure import Figure

    columns = min(columns, panels)
    rows = -(-panels // columns)
    height += row * rows + 0.2 * (names if style.narrow else -(-names // NAMES))
    scale = style.width / PAGE.width
    # Smaller letters take flatter figures, of which two and a table share a sheet.
    inches = min(max(1.1, height * (0.1 + 0.9 * scale)), 11 * scale)
    if style.narrow:
        inches = min(0.86 * height, 18)
    figure = Figure(figsize=(style.width, inches), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, **options).flat)
    for left_over in axes[panels:]:
        left_over.set_visible(False)
    return figure, axes[:panels]


def few_ticks(axis: Any, most: int, whole: bool = False) -> None:
    """Put at most about `most` round ticks on an axis, at whole numbers only where asked."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 5, 10], integer=whole))


def percent_axis(axis: Any, most: int = 6) -> None:
    """Put few and round ticks on an axis, with a true minus sign."""
    from matplotlib.ticker import FuncFormatter

    few_ticks(axis, most)
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))


def share_axis(axes: Axes, *along: Literal["x", "y"], end: float | None = 100.0) -> None:
    """Put few and round ticks on axes of percentages or scores, and end them at 0 and `end`, if it is given."""
    for name in along:
        percent_axis(axes.xaxis if name == "x" else axes.yaxis)
        low, high = axes.get_xlim() if name == "x" else axes.get_ylim()
        axes.set(**{f"{name}lim": (max(low, 0.0), high if end is None else min(high, end))})
    for line in axes.lines:
        line.set_clip_on(False)  # a mark on the edge is whole


def log_axis(axes: Axes, most: int, along: Literal["x", "y"] = "x") -> None:
    """Make an axis logarithmic, with at most about `most` round ticks."""
    axes.set(**{f"{along}scale": "log"})
    ticks = log_ticks(*(axes.get_xlim() if along == "x" else axes.get_ylim()), most)
    axes.set(**{f"{along}ticks": ticks, f"{along}ticklabels": [written(tick, "setting") for tick in ticks]})
    axes.minorticks_off()


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Return at most about `most` round values between two ends, and at least two wherever there are so many."""
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)))
    found: list[float] = []
    for steps in (
        range(10, 100), range(10, 100, 2), range(10, 100, 10), (10, 20, 30, 50), (10, 20, 50), (10, 30), (10,)
    ):
        ticks = [tick for decade in decades for step in steps if low <= (tick := step * 10.0**decade) <= high]
        if not found or len(ticks) > 1:
            found = ticks
        if len(found) <= most:
            break
    return found[::max(1, -(-len(found) // most))]


def in_percent(number: Number) -> tuple[float, float, float]:
    """Return a share and the ends of its interval in percent, or a score and its ends: the value where it has none."""
    factor = FORMATS[number.kind][0]
    value = factor * (number.value or 0.0)
    if number.low is None or number.high is None:
        return value, value, value
    return value, factor * number.low, factor * number.high


def interval_marks(
    axes: Axes, y: float, number: Number, style: Style, place: int, label: bool = True, gid: str | None = None
) -> None:
    """Draw an estimate and its interval along x, with its value above."""
    value, low, high = in_percent(number)
    axes.plot([low, high], [y, y], color=style.color(place), linewidth=2.2, gid=gid)
    axes.plot([value], [y], markersize=6.5, gid=gid, **style.mark(place))
    if label:
        axes.annotate(number.text, (value, y), (0, 6), textcoords="offset points", ha="center", va="bottom")


def names_axis(axes: Axes, labels: Sequence[str], style: Style, padding: float = 0.6) -> None:
    """Write names down the left of the axes, the first at the top; each above its line where there is no room."""
    if style.narrow:
        axes.set_yticks([])
        for place, label in enumerate(labels):
            axes.annotate(label, (0, place - 0.5), (0, -1), xycoords=("axes fraction", "data"),
                          textcoords="offset points", ha="left", va="top", fontsize=style.size - 0.5)
        axes.set_ylim(len(labels) - 0.5, -0.5)
    else:
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 1 + padding, -padding)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def shade(axes: Axes, value_XY: NDArray[np.float64], color: str) -> None:
    """Fill axes with unit squares shaded by their values, those of a shade as one shape, which takes fewer bytes."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    shade_XY = np.rint(value_XY * SHADES).astype(int)
    for level in np.unique(shade_XY[shade_XY > 0]).tolist():
        squares = [Path([(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1), (x, y)], closed=True)
                   for x, y in np.argwhere(shade_XY == level).tolist()]
        axes.add_patch(PathPatch(Path.make_compound_path(*squares), facecolor=color, edgecolor="none", linewidth=0,
                                 alpha=level / SHADES, antialiased=False))
    axes.set(xlim=(0, shade_XY.shape[0]), ylim=(0, shade_XY.shape[1]), yticks=[])


def name_series(figure: Figure, names: Sequence[str], style: Style, line: bool = True) -> None:
    """Put the names and marks of the series above the axes, where there are several: marks on a line, or alone."""
    from matplotlib.lines import Line2D

    if len(names) > 1:
        handles = [Line2D([], [], linestyle="-" if line else "none", markersize=4.5, label=short(name, 30, 1),
                          **style.mark(place)) for place, name in enumerate(names)]
        legend = figure.legend(handles=handles, loc="outside upper left", ncols=1 if style.narrow else NAMES,
                               frameon=False, fontsize=style.size - 0.5, handletextpad=0.4)
        legend.set_gid("series-names")
