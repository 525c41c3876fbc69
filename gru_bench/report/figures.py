"""The figures of a write-up, drawn from its numbers: SVG for a page, PDF for paper.

On a page the figures take their colours and letters from the page's style sheet, so that they follow its
light and dark schemes; on paper they have the serif letters of the document and the width of its column.
Series are told apart by colour and by marker, and labelled where they stand.
"""

from __future__ import annotations

import io
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from gru_bench.report.contents import CategoryTable, Curve, Epoch, Writeup
from gru_bench.report.numbers import Number

COLOURS = ("#0b6fb0", "#c05a00", "#00795a", "#a8417f", "#7a5c1e", "#5b5bd6")
"""Each at least 4.5 : 1 against white, and apart from one another without red-green vision."""
MARKERS = ("o", "s", "D", "^", "v", "P")
PANELS = 12
LINES = 30
"""Small multiples, and lines of a figure, that are drawn at most; the tables hold the rest."""
LABELS = 4
"""Points that still have room for their names beside them."""


@dataclass(frozen=True)
class Style:
    """What sets a page apart from paper."""

    width: float
    """Inches."""
    size: float
    """Of letters, in points."""
    ink: str
    faint: str
    grid: str
    colours: tuple[str, ...]
    settings: dict[str, Any]

    def colour(self, place: int) -> str:
        """Return the colour of a series."""
        return self.colours[place % len(self.colours)]


# Colours that no one else uses: each is put back as a variable of the page's style sheet.
_VARIABLES = {"#010203": "ink", "#020304": "faint", "#030405": "grid"} | {
    f"#0{place}0a0b": f"series-{place}" for place in range(1, len(COLOURS) + 1)
}
_COMMON: dict[str, Any] = {
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
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
    width=6.9, size=9.5, ink="#010203", faint="#020304", grid="#030405", colours=tuple(list(_VARIABLES)[3:]),
    settings={"svg.fonttype": "none", "font.family": ["DejaVu Sans"]},
)  # fmt: skip
PAPER = Style(
    width=4.8, size=8, ink="#000000", faint="#555555", grid="#dddddd", colours=COLOURS,
    settings={"pdf.fonttype": 42, "font.family": ["STIXGeneral", "DejaVu Sans"]},
)  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """One figure: how to draw it, and what it says in words."""

    name: str
    caption: str
    alternative: str
    """The numbers it shows, for those who do not see it."""
    draw: Callable[[Style], Figure]

    def svg(self) -> str:
        """Return the figure as an SVG element; ids begin with the figure's name, colours are variables."""
        with _drawing(PAGE, {"svg.hashsalt": self.name}):
            buffer = io.StringIO()
            self.draw(PAGE).savefig(
                buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
            )
        return _for_page(buffer.getvalue(), self.name)

    def pdf(self) -> bytes:
        """Return the figure as a PDF file."""
        with _drawing(PAPER, {}):
            buffer = io.BytesIO()
            self.draw(PAPER).savefig(
                buffer, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None}
            )
        return buffer.getvalue()


def pictures(writeup: Writeup) -> list[Picture]:
    """Return the figures that a write-up has numbers for."""
    found = [
        Picture(
            "accuracy",
            f"Test accuracy{_with_intervals([row.accuracy for row in writeup.rows])}; small marks are single seeds, "
            "dashed lines are baselines.",
            _accuracy_words(writeup),
            lambda style: _accuracy(writeup, style),
        )
    ]
    if writeup.comparisons:
        found.append(Picture(
            "differences",
            "Difference in test accuracy for each pair"
            f"{_with_intervals([pair.difference for pair in writeup.comparisons], 'unadjusted ')}. In the shaded band "
            "a difference has no practical weight.",
            _difference_words(writeup),
            lambda style: _differences(writeup, style),
        ))  # fmt: skip
    curves = [curve for curve in writeup.curves if curve.epochs]
    if curves:
        found.append(Picture(
            "curves",
            "Training loss (line) and validation loss (dashed, marked at each epoch), in nats per review: mean over "
            "seeds, the band from the lowest to the highest seed.",
            _curve_words(curves),
            lambda style: _curves(curves[:PANELS], style),
        ))  # fmt: skip
    found.append(Picture(
        "confusion",
        "Test reviews by label and prediction: mean count over seeds ± standard deviation over seeds.",
        _confusion_words(writeup),
        lambda style: _confusion(writeup, style),
    ))  # fmt: skip
    for table in writeup.category_tables:
        found.append(Picture(
            table.key,
            f"Test accuracy by category{_with_intervals([n for c in table.categories for n in c.accuracy])}.",
            _category_words(table),
            partial(_categories, table),
        ))  # fmt: skip
    if sum(bool(row.train_seconds.value) for row in writeup.rows) > 1:
        found.append(Picture(
            "cost",
            f"Test accuracy{_with_intervals([row.accuracy for row in writeup.rows])}, against the seconds of training; "
            "the engine is named.",
            _cost_words(writeup), lambda style: _cost(writeup, style),
        ))  # fmt: skip
    return found


def _with_intervals(numbers: Sequence[Number], kind: str = "") -> str:
    """Return the words of a caption on the intervals that are drawn, if any are."""
    return f", with {kind}95 % intervals" if any(number.low is not None for number in numbers) else ""


@contextmanager
def _drawing(style: Style, more: dict[str, Any]) -> Iterator[None]:
    """Set what matplotlib keeps globally for as long as a figure is drawn and written."""
    colours = {
        "text.color": style.ink, "axes.labelcolor": style.ink, "xtick.color": style.faint,
        "ytick.color": style.faint, "xtick.labelcolor": style.ink, "ytick.labelcolor": style.ink,
        "axes.edgecolor": style.faint, "grid.color": style.grid, "font.size": style.size,
        "axes.labelsize": style.size, "axes.titlesize": style.size, "xtick.labelsize": style.size - 0.5,
        "ytick.labelsize": style.size - 0.5,
    }  # fmt: skip
    settings = sns.axes_style("ticks") | _COMMON | colours | style.settings | more
    with mpl.rc_context(settings), warnings.catch_warnings():
        # A name may hold letters that no font at hand has; they are drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        warnings.filterwarnings("ignore", message="constrained_layout not applied", category=UserWarning)
        yield


def _for_page(svg: str, name: str) -> str:
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]+", r"font: \1px var(--figure-font)", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return re.sub(r'(<svg\b[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", svg, count=1),
                  count=1)  # fmt: skip


def _short(text: str, width: int = 24, lines: int = 2) -> str:
    """Return a name on at most `lines` lines; what does not fit ends in an ellipsis."""
    return "\n".join(textwrap.wrap(text, width, max_lines=lines, placeholder="…") or [""])


def _figure(style: Style, height: float, columns: int = 1, rows: int = 1, **options: Any) -> tuple[Figure, Any]:
    scale = style.width / PAGE.width
    inches = min(max(1.1, height * (0.35 + 0.65 * scale)), 11 * scale)
    figure = Figure(figsize=(style.width, inches), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def _percent_axis(axis: Any) -> None:
    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))


def _interval_marks(axes: Axes, y: float, number: Number, style: Style, place: int, label: bool = True) -> None:
    """Draw an estimate and its interval along x, with its value above."""
    value = 100 * (number.value or 0)
    if number.low is not None and number.high is not None:
        axes.plot([100 * number.low, 100 * number.high], [y, y], color=style.colour(place), linewidth=2.2,
                  solid_capstyle="round")  # fmt: skip
    axes.plot([value], [y], MARKERS[place % len(MARKERS)], color=style.colour(place), markersize=6.5)
    if label:
        axes.annotate(number.text, (value, y), (0, 6), textcoords="offset points", ha="center", va="bottom")


def _names_axis(axes: Axes, labels: Sequence[str], padding: float = 0.6) -> None:
    axes.set_yticks(range(len(labels)), [_short(label) for label in labels])
    axes.set_ylim(len(labels) - 1 + padding, -padding)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _accuracy(writeup: Writeup, style: Style) -> Figure:
    rows = writeup.rows[:LINES]
    figure, grid = _figure(style, 0.9 + (0.55 if len(rows) < 9 else 0.36) * len(rows))
    axes: Axes = grid[0, 0]
    lowest = min(min(run.accuracy.value or 1 for run in row.runs) for row in rows)
    for place, row in enumerate(rows):
        _interval_marks(axes, place, row.accuracy, style, place)
        seeds = [100 * (run.accuracy.value or 0) for run in row.runs]
        axes.plot(seeds, [place + 0.24] * len(seeds), "|", color=style.colour(place), markersize=6, alpha=0.8)
    for baseline in writeup.baselines:
        # The majority class lies so far below that the models could no longer be told apart.
        if baseline.accuracy.value is not None and baseline.accuracy.value > lowest - 0.06:
            x = 100 * baseline.accuracy.value
            axes.axvline(x, color=style.faint, linestyle=(0, (4, 3)), linewidth=0.9, zorder=0)
            axes.annotate(
                f"{_short(baseline.name, 30, 1)} {baseline.accuracy.text}", (x, 1), (0, 3),
                xycoords=("data", "axes fraction"), textcoords="offset points", ha="center", va="bottom",
                color=style.faint, fontsize=style.size - 1,
            )  # fmt: skip
    _names_axis(axes, [row.label for row in rows])
    axes.margins(x=0.06)
    _percent_axis(axes.xaxis)
    axes.set_xlabel("test accuracy, %")
    return figure


def _differences(writeup: Writeup, style: Style) -> Figure:
    pairs = writeup.comparisons[:LINES]
    figure, grid = _figure(style, 0.9 + (0.6 if len(pairs) < 9 else 0.36) * len(pairs))
    axes: Axes = grid[0, 0]
    for place, pair in enumerate(pairs):
        _interval_marks(axes, place, pair.difference, style, 0)
    axes.axvline(0, color=style.faint, linewidth=0.9, zorder=0)
    margin = 100 * (writeup.margin.value or 0)
    axes.axvspan(-margin, margin, color=style.grid, alpha=0.45, linewidth=0, zorder=0)
    _names_axis(axes, [f"{pair.a}\nless {pair.b}" for pair in pairs])
    axes.set_yticks(range(len(pairs)), [f"{_short(p.a, 28, 1)}\nless {_short(p.b, 24, 1)}" for p in pairs])
    left, right = axes.get_xlim()
    axes.set_xlim(min(left, -1.3 * margin), max(right, 1.3 * margin))
    _percent_axis(axes.xaxis)
    axes.set_xlabel("difference in test accuracy, points")
    return figure


def _curves(curves: Sequence[Curve], style: Style) -> Figure:
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    figure, grid = _figure(style, 0.5 + 2.1 * rows, columns, rows, sharex=True, sharey=True)
    for place, axes in enumerate(grid.flat):
        if place >= len(curves):
            axes.set_visible(False)
            continue
        curve, colour = curves[place], style.colour(place)
        if curve.trace is not None:
            trace = curve.trace
            axes.fill_between(trace.epoch, trace.low, trace.high, color=colour, alpha=0.2, linewidth=0)
            sns.lineplot(x=trace.epoch, y=trace.mean, ax=axes, color=colour, linewidth=1.0, errorbar=None)
        else:
            _epoch_line(axes, curve.epochs, lambda epoch: epoch.train_loss, colour, "-", None)
        _epoch_line(axes, curve.epochs, lambda epoch: epoch.validation_loss, colour, (0, (3, 2)), "o")
        axes.set_title(_short(curve.label, 26), loc="left")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.grid(axis="y", linewidth=0.5)
        axes.set_xlabel("")
    figure.supxlabel("epoch", fontsize=style.size)
    figure.supylabel("loss", fontsize=style.size)
    first: Axes = grid[0, 0]
    handles = [mpl.lines.Line2D([], [], color=style.faint, label="training"),
               mpl.lines.Line2D([], [], color=style.faint, linestyle=(0, (3, 2)), marker="o", markersize=3.5,
                                label="validation")]  # fmt: skip
    first.legend(handles=handles, frameon=False, fontsize=style.size - 1, handlelength=2.2, loc="upper right")
    return figure


def _epoch_line(
    axes: Axes, epochs: Sequence[Epoch], pick: Callable[[Epoch], Number], colour: str, line: Any, marker: str | None
) -> None:
    known = [(epoch.epoch.value or 0, n) for epoch in epochs if (n := pick(epoch)).value is not None]
    if not known:
        return
    x = [step for step, _ in known]
    mean = [number.value or 0.0 for _, number in known]
    low = [m if number.low is None else number.low for m, (_, number) in zip(mean, known, strict=True)]
    high = [m if number.high is None else number.high for m, (_, number) in zip(mean, known, strict=True)]
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(x, mean, color=colour, linestyle=line, marker=marker, markersize=3.5)


def _confusion(writeup: Writeup, style: Style) -> Figure:
    shown = writeup.rows[:PANELS]
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    side = min(1.9, 6.0 / columns)
    figure, grid = _figure(style, 0.55 + (side + 0.35) * rows, columns, rows)
    for place, axes in enumerate(grid.flat):
        if place >= len(shown):
            axes.set_visible(False)
            continue
        row = shown[place]
        values = [number.value or 0.0 for number in row.confusion]
        for cell, (number, spread) in enumerate(zip(row.confusion, row.confusion_spread, strict=True)):
            y, x = divmod(cell, 2)
            share = values[cell] / max(1.0, values[2 * y] + values[2 * y + 1])
            axes.add_patch(
                Rectangle((x, y), 0.97, 0.97, color=style.colour(place), alpha=0.06 + 0.5 * share, linewidth=0)
            )
            axes.text(x + 0.485, y + 0.42, number.text, ha="center", va="center", fontsize=style.size + 1)
            if spread.value is not None:
                axes.text(x + 0.485, y + 0.7, f"± {spread.text}", ha="center", va="center", fontsize=style.size - 1.5)
        axes.set(xlim=(0, 2), ylim=(2, 0), aspect="equal")
        axes.set_xticks([0.485, 1.485], ["0", "1"])
        axes.set_yticks([0.485, 1.485], ["0", "1"])
        axes.tick_params(length=0)
        sns.despine(ax=axes, left=True, bottom=True)
        axes.set_title(_short(row.label, 22))
        axes.set_xlabel("predicted" if place >= len(shown) - columns else "")
        axes.set_ylabel("label" if place % columns == 0 else "")
    return figure


def _categories(table: CategoryTable, style: Style) -> Figure:
    series = len(table.labels)
    by_size = sorted(table.categories, key=lambda category: -(category.examples.value or 0))
    categories = [category for category in table.categories if category in by_size[:LINES]]
    figure, grid = _figure(style, 0.8 + (0.16 + 0.12 * series) * len(categories) + 0.2 * -(-series // 3))
    axes: Axes = grid[0, 0]
    step = 0.7 / max(1, series - 1) if series > 1 else 0.0
    for place, label in enumerate(table.labels):
        shift = step * (place - (series - 1) / 2)
        for y, category in enumerate(categories):
            _interval_marks(axes, y + shift, category.accuracy[place], style, place, label=False)
        axes.plot([], [], MARKERS[place % len(MARKERS)], color=style.colour(place), label=_short(label, 30, 1))
    names = [f"{_short(category.name, 26, 1)}  ({category.examples.text})" for category in categories]
    _names_axis(axes, names, 0.7)
    for y in range(len(names) - 1):
        axes.axhline(y + 0.5, color=style.grid, linewidth=0.5, zorder=0)
    axes.set_yticks(range(len(names)), names)
    axes.margins(x=0.04)
    _percent_axis(axes.xaxis)
    axes.set_xlabel("test accuracy, %")
    if series > 1:
        figure.legend(loc="outside upper center", ncols=min(3, series), frameon=False, fontsize=style.size - 0.5,
                      handletextpad=0.3)  # fmt: skip
    return figure


def _cost(writeup: Writeup, style: Style) -> Figure:
    rows = [row for row in writeup.rows if row.train_seconds.value and row.accuracy.value is not None][:LINES]
    figure, grid = _figure(style, 2.9)
    axes: Axes = grid[0, 0]
    for place, row in enumerate(writeup.rows):
        if row not in rows:
            continue
        x, y = row.train_seconds.value or 0, 100 * (row.accuracy.value or 0)
        colour = style.colour(place)
        if row.accuracy.low is not None and row.accuracy.high is not None:
            axes.plot([x, x], [100 * row.accuracy.low, 100 * row.accuracy.high], color=colour, linewidth=2)
        name = f"{_short(row.label, 24, 1)}, {row.engine}"
        axes.plot([x], [y], MARKERS[place % len(MARKERS)], color=colour, markersize=6.5, label=name, linestyle="none")
        if len(rows) <= LABELS:
            axes.annotate(name.replace(", ", "\n"), (x, y), (7, 0), textcoords="offset points", va="center",
                          fontsize=style.size - 1)  # fmt: skip
    if len(rows) > LABELS:
        figure.legend(loc="outside right upper", frameon=False, fontsize=style.size - 1, handletextpad=0.3)
    seconds = np.array([row.train_seconds.value for row in rows], float)
    axes.set_xscale("log")
    # Room for names to the right of their marks.
    left, right = seconds.min() / 1.4, seconds.max() * (2.6 if len(rows) <= LABELS else 1.4)
    axes.set_xlim(left, right)
    ticks = [tick for tick in (m * 10.0**e for e in range(-2, 7) for m in (1, 2, 5)) if left <= tick <= right]
    axes.set_xticks(ticks, [f"{tick:,g}" for tick in ticks])
    axes.minorticks_off()
    axes.margins(y=0.12)
    _percent_axis(axes.yaxis)
    axes.grid(axis="y", linewidth=0.5)
    axes.set_xlabel("training, seconds (log scale)")
    axes.set_ylabel("test accuracy, %")
    return figure


def _with_interval(number: Number) -> str:
    if number.low is None:
        return number.text
    low, high = number.ends
    return f"{number.text} ({low.text} to {high.text})"


def _accuracy_words(writeup: Writeup) -> str:
    parts = [f"{row.label} {_with_interval(row.accuracy)} %" for row in writeup.rows]
    parts += [f"{baseline.name} {baseline.accuracy.text} %" for baseline in writeup.baselines]
    return "Test accuracy: " + "; ".join(parts) + "."


def _difference_words(writeup: Writeup) -> str:
    parts = [f"{pair.a} less {pair.b} {_with_interval(pair.difference)}" for pair in writeup.comparisons]
    return "Differences in test accuracy, in points: " + "; ".join(parts) + "."


def _curve_words(curves: Sequence[Curve]) -> str:
    parts = []
    for curve in curves:
        first, last = curve.epochs[0], curve.epochs[-1]
        parts.append(
            f"{curve.label}: training loss from {first.train_loss.text} to {last.train_loss.text}, validation loss "
            f"from {first.validation_loss.text} to {last.validation_loss.text} over {last.epoch.text} epochs"
        )
    return "Loss by epoch. " + "; ".join(parts) + "."


def _confusion_words(writeup: Writeup) -> str:
    parts = []
    for row in writeup.rows:
        tn, fp, fn, tp = (number.text for number in row.confusion)
        parts.append(f"{row.label}: of label 0, {tn} right and {fp} wrong; of label 1, {tp} right and {fn} wrong")
    return "Mean counts of test reviews. " + ". ".join(parts) + "."


def _category_words(table: CategoryTable) -> str:
    parts = [
        f"{category.name}: " + ", ".join(
            f"{label} {_with_interval(number)} %"
            for label, number in zip(table.labels, category.accuracy, strict=True)
        )
        for category in table.categories
    ]  # fmt: skip
    return "Test accuracy by category. " + "; ".join(parts) + "."


def _cost_words(writeup: Writeup) -> str:
    parts = [
        f"{row.label} {row.accuracy.text} % after {row.train_seconds.text} s of training ({row.engine})"
        for row in writeup.rows
    ]
    return "Accuracy against cost: " + "; ".join(parts) + "."
