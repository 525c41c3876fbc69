"""A figure of a report: its drawing, caption, alternative text and values, for a page and for paper.

The script of the page can switch series on and off and read values off. For that they are marked in the SVG and
described by `Picture.series` and `Picture.panels`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gru_bench.report.document.numbers import Number
from gru_bench.report.figures.style import NARROW, PAGE, PAPER, SCREEN, Line, Style, drawing, for_page

Cell = str | float | None


@dataclass(frozen=True)
class Series:
    """Lines and marks that are switched on and off together."""

    name: str
    place: int | None
    """Index of its color and marker; None where it has several."""


@dataclass(frozen=True)
class Panel:
    """The curves of one pair of axes."""

    title: str
    lines: tuple[Line, ...]
    digits: int
    """Decimals of the values that are read off."""
    axis: str = "epoch"
    """Name of the x axis."""


@dataclass(frozen=True)
class Picture:
    """One figure: how to draw it, its words, and the values behind it."""

    name: str
    caption: str
    alternative: str
    """The numbers it shows, for readers who do not see it."""
    draw: Callable[[Style], Figure]
    table: Sequence[Sequence[Cell]]
    """The values drawn, below a row of headings; empty for a diagram."""
    series: tuple[Series, ...] = ()
    panels: tuple[Panel, ...] = ()
    """Curves that can be read off: one panel for each pair of axes, in their order."""
    letters: Mapping[str, Any] = field(default_factory=dict)
    """Settings of matplotlib for its letters, where they differ from other figures."""

    def svg(self) -> str:
        """Return the figure as an SVG element; ids begin with the figure's name, colors are variables."""
        return self._drawn(PAGE)[0]

    def for_page(self) -> tuple[str, str]:
        """Return the SVG elements, for wide and for narrow windows, and what the page's script needs of them, as JSON.

        A diagram has one layout, which is narrow already.
        """
        wide, figure = self._drawn(PAGE)
        found, drawn = [wide], {"panels": [
            _values(panel) | _placed(axes) for panel, axes in zip(self.panels, figure.axes, strict=False)
        ], "cut": _legend(figure)}
        if self.table:
            narrow, figure = self._drawn(NARROW)
            found.append(narrow)
            drawn["narrow"] = {
                "panels": [_placed(axes) for _, axes in zip(self.panels, figure.axes, strict=False)],
                "cut": _legend(figure),
            }
        series = [{"name": one.name, "place": one.place} for one in self.series]
        live = json.dumps({"series": series, **drawn}, ensure_ascii=False, separators=(",", ":"))
        return "\n".join(found), live

    def _drawn(self, style: Style) -> tuple[str, Figure]:
        with drawing(style, {"svg.hashsalt": self.name, **self.letters}):
            buffer = io.StringIO()
            figure = self.draw(style)
            figure.savefig(
                buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
            )
        kind = "" if not self.table else "narrow" if style.narrow else "wide"
        return for_page(buffer.getvalue(), f"{self.name}-narrow" if style.narrow else self.name, kind), figure

    def csv(self) -> str:
        """Return the values as comma-separated text, whole numbers and shares unrounded."""
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\r\n").writerows([_cell(value) for value in row] for row in self.table)
        return buffer.getvalue()

    def pdf(self) -> bytes:
        """Return the figure as a PDF file."""
        with drawing(PAPER, dict(self.letters)):
            buffer = io.BytesIO()
            self.draw(PAPER).savefig(
                buffer, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None}
            )
        return buffer.getvalue()

    def alone(self, kind: Literal["png", "svg"]) -> bytes:
        """Return the figure as an image file of its own."""
        with drawing(SCREEN, {"svg.hashsalt": self.name}):
            buffer = io.BytesIO()
            self.draw(SCREEN).savefig(
                buffer, format=kind, dpi=150, metadata={"Date": None, "Creator": None} if kind == "svg" else None
            )
        return buffer.getvalue()


def of_models(labels: Sequence[str]) -> tuple[Series, ...]:
    """Return one series for each model; none for a single model, which needs no switch."""
    return tuple(Series(label, place) for place, label in enumerate(labels)) if len(labels) > 1 else ()


def value_and_ends(number: Number) -> tuple[Cell, Cell, Cell]:
    """Return a number and the ends of its interval as cells."""
    return number.value, number.low, number.high


def _cell(value: Cell) -> str:
    """Return a value for a table of text; a name that a spreadsheet would compute is quoted."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value[:1] in set("=+-@\t\r") else value
    return repr(int(value)) if float(value).is_integer() else repr(float(value))


def _placed(axes: Axes) -> dict[str, Any]:
    """Return the box of axes, in shares of the figure from its top left corner."""
    box = axes.get_position()
    return {
        "xlim": axes.get_xlim(), "ylim": axes.get_ylim(),
        "box": [round(share, 5) for share in (box.x0, 1 - box.y1, box.x1, 1 - box.y0)],
    }


def _legend(figure: Figure) -> float:
    """Return the share of a figure's height, from the top, that the names of its series take."""
    if not any(legend.get_gid() for legend in figure.legends):
        return 0.0
    return round(1 - float(figure.legends[0].get_window_extent().y0 / figure.bbox.height), 5)


def _values(panel: Panel) -> dict[str, Any]:
    return {
        "title": panel.title, "axis": panel.axis, "digits": panel.digits,
        "lines": [
            {"series": line.series, **{
                name: [float(f"{value:.5g}") for value in getattr(line, name)] for name in ("x", "mean", "low", "high")
            }}
            for line in panel.lines
        ],
    }


def with_intervals(numbers: Sequence[Number], kind: str = "") -> str:
    """Return the words of a caption on the intervals that are drawn, if any are."""
    return f", with {kind}95 % intervals" if any(number.low is not None for number in numbers) else ""


def with_interval(number: Number) -> str:
    """Return a number and its interval in words."""
    if number.low is None:
        return number.text
    low, high = number.ends
    return f"{number.text} ({low.text} to {high.text})"
