"""The figures of a write-up, drawn from its numbers: SVG for a page, PDF for paper.

On a page the figures take their colours and letters from the page's style sheet, so that they follow its
light and dark schemes; on paper they have the serif letters of the document and the width of its column.
Series are told apart by colour and by marker, and labelled where they stand. What a page's script switches on
and off or reads off by pointer is marked in the SVG and described by `Picture.series` and `Picture.panels`.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from gru_bench.report.contents import CategoryTable, Curve, Epoch, LengthTable, Reliability, Row, Writeup
from gru_bench.report.numbers import Number

COLOURS = ("#0b6fb0", "#c05a00", "#00795a", "#a8417f", "#7a5c1e", "#5b5bd6")
"""Each at least 4.5 : 1 against white, and apart from one another without red-green vision."""
MARKERS = ("o", "s", "D", "^", "v", "P")
PANELS = 12
LINES = 30
"""Small multiples, and lines of a figure, that are drawn at most; the tables hold the rest."""
LABELS = 4
"""Points that still have room for their names beside them."""
OVERLAID = 6
"""Models whose curves share their axes; more have small axes of their own."""


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


Cell = str | float | None


@dataclass(frozen=True)
class Series:
    """What can be switched on and off together."""

    name: str
    place: int | None
    """Of its colour and marker; None where it has several."""


@dataclass(frozen=True)
class Line:
    """A curve as it is drawn: a mean and the lowest and highest at each `x`."""

    series: int
    x: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    dense: bool = False
    """Many points, which get no mark each."""


@dataclass(frozen=True)
class Panel:
    """The curves of one pair of axes."""

    title: str
    lines: tuple[Line, ...]
    digits: int
    """Decimals with which values are read off."""
    axis: str = "epoch"
    """What lies along x."""


@dataclass(frozen=True)
class Picture:
    """One figure: how to draw it, what it says in words, and the values behind it."""

    name: str
    caption: str
    alternative: str
    """The numbers it shows, for those who do not see it."""
    draw: Callable[[Style], Figure]
    table: Sequence[Sequence[Cell]]
    """The values drawn, under a line of headings."""
    series: tuple[Series, ...] = ()
    panels: tuple[Panel, ...] = ()
    """What can be read off; one for each pair of axes, in their order."""

    def svg(self) -> str:
        """Return the figure as an SVG element; ids begin with the figure's name, colours are variables."""
        return self.for_page()[0]

    def for_page(self) -> tuple[str, str]:
        """Return the SVG element, and as JSON what a script needs to switch and read its series."""
        with _drawing(PAGE, {"svg.hashsalt": self.name}):
            buffer = io.StringIO()
            figure = self.draw(PAGE)
            figure.savefig(
                buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
            )
            placed = [_placed(panel, axes) for panel, axes in zip(self.panels, figure.axes, strict=False)]
        series = [{"name": one.name, "place": one.place} for one in self.series]
        live = json.dumps({"series": series, "panels": placed}, ensure_ascii=False, separators=(",", ":"))
        return _for_page(buffer.getvalue(), self.name), live

    def csv(self) -> str:
        """Return the values as comma-separated text, whole numbers and shares unrounded."""
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\r\n").writerows([_cell(value) for value in row] for row in self.table)
        return buffer.getvalue()

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
            _accuracy_table(writeup),
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
            [("pair", "difference", "low", "high"), *(
                (f"{pair.a} less {pair.b}", *_value_and_ends(pair.difference)) for pair in writeup.comparisons)],
        ))  # fmt: skip
    curves = [curve for curve in writeup.curves if curve.epochs]
    if curves:
        found.append(_curve_picture(curves))
    found.append(Picture(
        "confusion",
        "Test reviews by label and prediction: mean count over seeds ± standard deviation over seeds.",
        _confusion_words(writeup),
        lambda style: _confusion(writeup, style),
        [("model", "label", "predicted", "mean count", "standard deviation"), *(
            (row.label, *divmod(cell, 2), number.value, row.confusion_spread[cell].value)
            for row in writeup.rows for cell, number in enumerate(row.confusion))],
    ))  # fmt: skip
    for table in writeup.category_tables:
        found.append(Picture(
            table.key,
            f"Test accuracy by category{_with_intervals([n for c in table.categories for n in c.accuracy])}.",
            _category_words(table),
            partial(_categories, table),
            [("category", "reviews", "model", "accuracy", "low", "high"), *(
                (category.name, category.examples.value, label, *_value_and_ends(number))
                for category in table.categories
                for label, number in zip(table.labels, category.accuracy, strict=True))],
            _of_models(table.labels),
        ))  # fmt: skip
    for lengths in writeup.length_tables:
        found.append(Picture(
            lengths.key,
            "Test accuracy by the number of tokens read"
            f"{_with_intervals([n for part in lengths.bins for n in part.accuracy])}.",
            _length_words(lengths),
            partial(_lengths, lengths),
            [("tokens from", "tokens to", "reviews", "model", "accuracy", "low", "high"), *(
                (part.low.value, part.high.value, part.examples.value, label, *_value_and_ends(number))
                for part in lengths.bins for label, number in zip(lengths.labels, part.accuracy, strict=True))],
            _of_models(lengths.labels),
        ))  # fmt: skip
    sure = [model for model in writeup.reliability if any(part.accuracy.value is not None for part in model.bins)]
    if sure:
        found.append(_reliability_picture(sure[:PANELS]))
    if sum(bool(row.train_seconds.value) for row in writeup.rows) > 1:
        found.append(Picture(
            "cost",
            f"Test accuracy{_with_intervals([row.accuracy for row in writeup.rows])}, against the seconds of training; "
            "the engine is named.",
            _cost_words(writeup), lambda style: _cost(writeup, style),
            [("model", "engine", "training seconds", "accuracy", "low", "high"), *(
                (row.label, row.engine, row.train_seconds.value, *_value_and_ends(row.accuracy))
                for row in writeup.rows)],
        ))  # fmt: skip
    return found


def _of_models(labels: Sequence[str]) -> tuple[Series, ...]:
    """Return one series a model; a single one is not worth a switch."""
    return tuple(Series(label, place) for place, label in enumerate(labels)) if len(labels) > 1 else ()


def _value_and_ends(number: Number) -> tuple[Cell, Cell, Cell]:
    return number.value, number.low, number.high


def _accuracy_table(writeup: Writeup) -> list[tuple[Cell, ...]]:
    rows: list[tuple[Cell, ...]] = [("model", "what", "accuracy", "low", "high")]
    for row in writeup.rows:
        rows.append((row.label, "mean over seeds", *_value_and_ends(row.accuracy)))
        rows += [(row.label, f"seed {run.seed}", *_value_and_ends(run.accuracy)) for run in row.runs]
    rows += [(baseline.name, "baseline", *_value_and_ends(baseline.accuracy)) for baseline in writeup.baselines]
    return rows


def _cell(value: Cell) -> str:
    """Return a value for a table of text; a name that a spreadsheet would compute is quoted."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value[:1] in set("=+-@\t\r") else value
    return repr(int(value)) if float(value).is_integer() else repr(float(value))


def _placed(panel: Panel, axes: Axes) -> dict[str, Any]:
    """Return a panel's values and where its axes lie: in shares of the figure, from its top left corner."""
    box = axes.get_position()
    return {
        "title": panel.title, "axis": panel.axis, "digits": panel.digits,
        "xlim": axes.get_xlim(), "ylim": axes.get_ylim(),
        "box": [round(share, 5) for share in (box.x0, 1 - box.y1, box.x1, 1 - box.y0)],
        "lines": [
            {"series": line.series, **{
                name: [float(f"{value:.5g}") for value in getattr(line, name)] for name in ("x", "mean", "low", "high")
            }}
            for line in panel.lines
        ],
    }  # fmt: skip


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
    svg = re.sub(r'\bid="series-(\d+)"', r'data-series="\1"', svg)
    svg = svg.replace('id="series-names"', 'data-names=""')
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


def _interval_marks(
    axes: Axes, y: float, number: Number, style: Style, place: int, label: bool = True, gid: str | None = None
) -> None:
    """Draw an estimate and its interval along x, with its value above."""
    value = 100 * (number.value or 0)
    if number.low is not None and number.high is not None:
        axes.plot([100 * number.low, 100 * number.high], [y, y], color=style.colour(place), linewidth=2.2,
                  solid_capstyle="round", gid=gid)  # fmt: skip
    axes.plot([value], [y], MARKERS[place % len(MARKERS)], color=style.colour(place), markersize=6.5, gid=gid)
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


def _curve_picture(curves: Sequence[Curve]) -> Picture:
    """Return the learning curves: models over one another while few, else side by side."""
    shown = curves[:PANELS]
    loss = "mean over seeds, the band from the lowest to the highest seed."
    if len(shown) <= OVERLAID:
        series = _of_models([curve.label for curve in shown])
        by_title = {
            "training loss": [_train_line(curve, place) for place, curve in enumerate(shown)],
            "validation loss": [
                _epoch_line(curve, place, lambda epoch: epoch.validation_loss) for place, curve in enumerate(shown)
            ],
            "validation accuracy, %": [
                _epoch_line(curve, place, lambda epoch: epoch.validation_accuracy, 100)
                for place, curve in enumerate(shown)
            ],
        }
        places = list(range(len(shown)))
        caption = f"Losses, in nats per review, and validation accuracy by epoch: {loss}"
    else:
        series = (Series("training", None), Series("validation", None))
        by_title = {
            f"{curve.label}, loss" if count else curve.label: [
                _train_line(curve, 0), _epoch_line(curve, 1, lambda epoch: epoch.validation_loss)]
            for count, curve in enumerate(shown, start=1)
        }  # fmt: skip
        places = []
        caption = f"Training loss (line) and validation loss (dashed), in nats per review, by epoch: {loss}"
    panels = tuple(
        Panel(title, lines, 1 if title.endswith("%") else 3)
        for title, found in by_title.items()
        if (lines := tuple(line for line in found if line.x))
    )
    rows: list[tuple[Cell, ...]] = [("panel", "series", "epoch", "mean", "low", "high")]
    for panel in panels:
        for line in panel.lines:
            name = series[line.series].name if series else shown[0].label
            rows += [(panel.title, name, *point) for point in zip(line.x, line.mean, line.low, line.high, strict=True)]
    return Picture(
        "curves", caption, _curve_words(curves),
        lambda style: _curves(panels, [curve.label for curve in shown], places, style), rows, series, panels,
    )  # fmt: skip


def _train_line(curve: Curve, series: int) -> Line:
    """Return the training loss: within epochs where it was traced, else by epoch."""
    trace = curve.trace
    if trace is None:
        return _epoch_line(curve, series, lambda epoch: epoch.train_loss)
    known = [point for point in zip(trace.epoch, trace.mean, trace.low, trace.high, strict=True)
             if all(map(math.isfinite, point))]  # fmt: skip
    x, mean, low, high = zip(*known, strict=True) if known else ((), (), (), ())
    return Line(series, x, mean, low, high, dense=True)


def _epoch_line(curve: Curve, series: int, pick: Callable[[Epoch], Number], scale: float = 1) -> Line:
    known = [
        (epoch.epoch.value or 0, *(scale * (number.value if end is None else end) for end in (None, *_ends(number))))
        for epoch in curve.epochs
        if (number := pick(epoch)).value is not None and math.isfinite(number.value)
    ]
    x, mean, low, high = zip(*known, strict=True) if known else ((), (), (), ())
    return Line(series, x, mean, low, high)


def _ends(number: Number) -> tuple[float | None, float | None]:
    return number.low, number.high


def _curves(panels: Sequence[Panel], labels: Sequence[str], places: Sequence[int], style: Style) -> Figure:
    """Draw the panels; with `places`, a series is a model's, else each panel is a model's."""
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure, grid = _figure(style, (0.9 if places else 0.6) + 2.1 * rows, columns, rows, sharex=True,
                           sharey="none" if places else "all")  # fmt: skip
    for number, axes in enumerate(grid.flat):
        if number >= len(panels):
            axes.set_visible(False)
            continue
        panel = panels[number]
        for line in panel.lines:
            place = places[line.series] if places else number
            _curve(axes, line, style, place, dashed=not places and line.series == 1)
        title = panel.title if places else _short(labels[number], 26)
        axes.set_title(title, loc="left", color=style.ink if not places else style.faint)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axes.grid(axis="y", linewidth=0.5)
    figure.supxlabel("epoch", fontsize=style.size)
    if not places:
        figure.supylabel("loss", fontsize=style.size)
        first: Axes = grid[0, 0]
        handles = [mpl.lines.Line2D([], [], color=style.faint, label="training"),
                   mpl.lines.Line2D([], [], color=style.faint, linestyle=(0, (3, 2)), marker="o", markersize=3.5,
                                    label="validation")]  # fmt: skip
        first.legend(handles=handles, frameon=False, fontsize=style.size - 1, handlelength=2.2, loc="upper right")
    elif len(places) > 1:
        handles = [mpl.lines.Line2D([], [], color=style.colour(p), marker=MARKERS[p % len(MARKERS)], markersize=4.5,
                                    label=_short(label, 30, 1)) for p, label in zip(places, labels, strict=True)]
        legend = figure.legend(handles=handles, loc="outside upper left", ncols=min(3, len(places)), frameon=False,
                               fontsize=style.size - 0.5, handletextpad=0.5)  # fmt: skip
        legend.set_gid("series-names")
    return figure


def _curve(axes: Axes, line: Line, style: Style, place: int, dashed: bool) -> None:
    colour, gid = style.colour(place), f"series-{line.series}"
    # A few marks along a dense curve, not at the same places as its neighbours'.
    every = (len(line.x) * (1 + place % 4) // 20, max(1, len(line.x) // 4)) if line.dense else None
    axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.18, linewidth=0, gid=gid)
    axes.plot(
        line.x, line.mean, color=colour, linestyle=(0, (3, 2)) if dashed else "-", gid=gid,
        linewidth=1.1 if line.dense else 1.4, marker=MARKERS[place % len(MARKERS)],
        markersize=3.6 if line.dense else 4.2, markevery=every,
    )  # fmt: skip


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
            _interval_marks(axes, y + shift, category.accuracy[place], style, place, label=False,
                            gid=f"series-{place}")  # fmt: skip
        axes.plot([], [], MARKERS[place % len(MARKERS)], color=style.colour(place), label=_short(label, 30, 1))
    names = [f"{_short(category.name, 26, 1)}  ({category.examples.text})" for category in categories]
    _names_axis(axes, names, 0.7)
    for y in range(len(names) - 1):
        axes.axhline(y + 0.5, color=style.grid, linewidth=0.5, zorder=0)
    axes.set_yticks(range(len(names)), names)
    axes.margins(x=0.04)
    _percent_axis(axes.xaxis)
    axes.set_xlabel("test accuracy, %")
    _name_series(figure, series, style)
    return figure


def _lengths(table: LengthTable, style: Style) -> Figure:
    figure, grid = _figure(style, 2.9 + 0.2 * -(-len(table.labels) // 3))
    axes: Axes = grid[0, 0]
    step = min(0.12, 0.6 / len(table.labels))
    for place, label in enumerate(table.labels):
        colour, gid = style.colour(place), f"series-{place}"
        shift = step * (place - (len(table.labels) - 1) / 2)
        points = [(x + shift, part.accuracy[place]) for x, part in enumerate(table.bins)]
        for x, number in points:
            if number.low is not None and number.high is not None:
                axes.plot([x, x], [100 * number.low, 100 * number.high], color=colour, linewidth=1.8, gid=gid)
        known = [(x, 100 * number.value) for x, number in points if number.value is not None]
        axes.plot(*zip(*known, strict=True), color=colour, linewidth=0.8, marker=MARKERS[place % len(MARKERS)],
                  markersize=5, label=_short(label, 30, 1), gid=gid)  # fmt: skip
    axes.set_xticks(range(len(table.bins)), [
        f"{part.low.text}–{part.high.text}\n({part.examples.text})" for part in table.bins
    ])  # fmt: skip
    axes.tick_params(axis="x", length=0)
    axes.margins(x=0.04)
    _percent_axis(axes.yaxis)
    axes.grid(axis="y", linewidth=0.5)
    axes.set_xlabel("tokens read (reviews)")
    axes.set_ylabel("test accuracy, %")
    _name_series(figure, len(table.labels), style)
    return figure


def _name_series(figure: Figure, series: int, style: Style) -> None:
    """Put the names of the series above the axes, where there is more than one."""
    if series > 1:
        legend = figure.legend(loc="outside upper left", ncols=min(3, series), frameon=False,
                               fontsize=style.size - 0.5, handletextpad=0.4)  # fmt: skip
        legend.set_gid("series-names")


def _reliability_picture(models: Sequence[Reliability]) -> Picture:
    lines = []
    for place, model in enumerate(models):
        points = [
            (100 * part.confidence.value, *(
                100 * (part.accuracy.value if end is None else end) for end in (None, *_ends(part.accuracy))))
            for part in model.bins
            if part.confidence.value is not None and part.accuracy.value is not None
        ]  # fmt: skip
        x, mean, low, high = zip(*points, strict=True)
        lines.append(Line(place, x, mean, low, high))
    panel = Panel("accuracy, %", tuple(lines), 1, "confidence, %,")
    return Picture(
        "reliability",
        "How often predictions of a given confidence are right: means over seeds, the band from the lowest to the "
        "highest seed. On the dotted line confidence is accuracy; below it a model is too sure of itself.",
        _reliability_words(models),
        lambda style: _reliability(panel, [model.label for model in models], style),
        [("model", "probability from", "probability to", "share of predictions", "confidence", "accuracy", "low",
          "high"), *(
            (model.label, part.low.value, part.high.value, part.share.value, part.confidence.value,
             *_value_and_ends(part.accuracy))
            for model in models for part in model.bins)],
        _of_models([model.label for model in models]), (panel,),
    )  # fmt: skip


def _reliability(panel: Panel, labels: Sequence[str], style: Style) -> Figure:
    figure, grid = _figure(style, 3.3 + 0.2 * -(-len(labels) // 3))
    axes: Axes = grid[0, 0]
    for line, label in zip(panel.lines, labels, strict=True):
        _curve(axes, line, style, line.series, dashed=False)
        axes.lines[-1].set_label(_short(label, 30, 1))
    lowest = min(min(line.low) for line in panel.lines)
    axes.plot([50, 100], [50, 100], color=style.faint, linestyle=(0, (1, 2)), linewidth=1, zorder=0)
    axes.set(xlim=(49.5, 100.5), ylim=(max(0, min(49.5, lowest - 1)), 100.5))
    _percent_axis(axes.xaxis)
    _percent_axis(axes.yaxis)
    axes.grid(axis="y", linewidth=0.5)
    axes.set_xlabel("confidence: probability of the predicted class, %")
    axes.set_ylabel("accuracy, %")
    _name_series(figure, len(labels), style)
    return figure


def _apart(rows: Sequence[Row]) -> bool:
    """Tell whether the marks of accuracy against cost leave room for a name to the right of each."""
    height = max(row.accuracy.high or row.accuracy.value or 0 for row in rows) - min(
        row.accuracy.low or row.accuracy.value or 0 for row in rows
    )
    return all(
        abs(math.log((one.train_seconds.value or 1) / (two.train_seconds.value or 1))) > math.log(2)
        or abs((one.accuracy.value or 0) - (two.accuracy.value or 0)) > 0.2 * height
        for one, two in combinations(rows, 2)
    )


def _cost(writeup: Writeup, style: Style) -> Figure:
    rows = [row for row in writeup.rows if row.train_seconds.value and row.accuracy.value is not None][:LINES]
    figure, grid = _figure(style, 2.9)
    axes: Axes = grid[0, 0]
    beside = len(rows) <= LABELS and _apart(rows)
    for place, row in enumerate(writeup.rows):
        if row not in rows:
            continue
        x, y = row.train_seconds.value or 0, 100 * (row.accuracy.value or 0)
        colour = style.colour(place)
        if row.accuracy.low is not None and row.accuracy.high is not None:
            axes.plot([x, x], [100 * row.accuracy.low, 100 * row.accuracy.high], color=colour, linewidth=2)
        name = f"{_short(row.label, 24, 1)}, {row.engine}"
        axes.plot([x], [y], MARKERS[place % len(MARKERS)], color=colour, markersize=6.5, label=name, linestyle="none")
        if beside:
            axes.annotate(name.replace(", ", "\n"), (x, y), (7, 0), textcoords="offset points", va="center",
                          fontsize=style.size - 1)  # fmt: skip
    if not beside:
        figure.legend(loc="outside right upper", frameon=False, fontsize=style.size - 1, handletextpad=0.3)
    seconds = np.array([row.train_seconds.value for row in rows], float)
    axes.set_xscale("log")
    # Room for names to the right of their marks.
    left, right = seconds.min() / 1.4, seconds.max() * (2.6 if beside else 1.4)
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


def _length_words(table: LengthTable) -> str:
    parts = [
        f"{part.low.text} to {part.high.text} tokens: " + ", ".join(
            f"{label} {_with_interval(number)} %"
            for label, number in zip(table.labels, part.accuracy, strict=True)
        )
        for part in table.bins
    ]  # fmt: skip
    return "Test accuracy by length. " + "; ".join(parts) + "."


def _reliability_words(models: Sequence[Reliability]) -> str:
    parts = [
        f"{model.label}: " + ", ".join(
            f"{part.accuracy.text} % right at {part.confidence.text} %"
            for part in model.bins if part.accuracy.value is not None
        )
        for model in models
    ]  # fmt: skip
    return "Accuracy by confidence. " + "; ".join(parts) + "."


def _cost_words(writeup: Writeup) -> str:
    parts = [
        f"{row.label} {row.accuracy.text} % after {row.train_seconds.text} s of training ({row.engine})"
        for row in writeup.rows
    ]
    return "Accuracy against cost: " + "; ".join(parts) + "."
