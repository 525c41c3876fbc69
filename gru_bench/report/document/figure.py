"""A figure of a report: caption, alternative text, and how to draw the table of values behind it.

The script of the page can switch series on and off and read values off. For that they are marked in the SVG and
described by `Figure.series` and `Figure.panels`. The drawing library is loaded when a figure is drawn.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from gru_bench.config import as_number
from gru_bench.report.document.numbers import Number
from gru_bench.report.figures.style import NARROW, PAGE, PAPER, SCREEN, Style, drawing, for_page

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

Form = Literal["svg", "pdf", "png"]
Value = str | float | Number | None

METADATA: Mapping[Form, Sequence[str]] = {
    "svg": ("Date", "Creator", "Format", "Type"), "pdf": ("CreationDate", "Creator", "Producer"), "png": ()}
"""What a file does not tell, so that it is the same each time."""


@dataclass(frozen=True)
class Values:
    """The tidy table behind a figure: a row for each mark or point that is drawn."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    intervals: tuple[str, ...] = ()
    """Columns whose numbers have an interval: in a file two columns follow each, with its low and high end."""

    def records(self) -> list[dict[str, Any]]:
        """Return the rows as column -> value."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def column(self, name: str) -> list[Any]:
        """Return the values of a column."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]

    def groups(self, *columns: str) -> dict[Any, Values]:
        """Return the rows with equal values in some columns as tables of their own, in order.

        Their keys are the values: a tuple where there are several columns.
        """
        places = [self.columns.index(name) for name in columns]
        found: dict[Any, list[tuple[Value, ...]]] = {}
        for row in self.rows:
            shared = tuple(row[place] for place in places)
            found.setdefault(shared if len(columns) > 1 else shared[0], []).append(row)
        return {shared: Values(self.columns, tuple(rows), self.intervals) for shared, rows in found.items()}

    def csv(self) -> str:
        """Return the table as comma-separated text, whole numbers and shares unrounded."""
        widths = [3 if column in self.intervals else 1 for column in self.columns]
        heads = [name for column, width in zip(self.columns, widths, strict=True)
                 for name in (column, "low", "high")[:width]]
        rows = [[csv_cell(part) for value, width in zip(row, widths, strict=True) for part in _parts(value)[:width]]
                for row in self.rows]
        buffer = io.StringIO()
        csv.writer(buffer).writerows([heads, *rows])
        return buffer.getvalue()


@dataclass(frozen=True)
class Line:
    """A curve as it is drawn: a mean and the lowest and highest at each `x`."""

    series: int
    x: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Panel:
    """The curves of one pair of axes."""

    title: str
    lines: tuple[Line, ...]
    axis: str
    """Name of the x axis."""


@dataclass(frozen=True)
class Figure:
    """One figure: a function of `figures/` makes it from its table of values."""

    kind: ClassVar[str] = "figure"
    name: str
    caption: str
    alternative: str
    """The numbers it shows, for readers who do not see it."""
    values: Values
    draw: Callable[[Style], Drawing]
    series: tuple[str, ...] = ()
    """Names of the series, which can be switched on and off where there are several."""
    panels: tuple[Panel, ...] = ()
    """Curves that can be read off: one panel for each pair of axes, in their order."""

    def csv(self) -> str:
        """Return the values as comma-separated text."""
        return self.values.csv()

    def svg(self) -> str:
        """Return the figure as an SVG element; ids begin with the figure's name, colors are variables."""
        return self._on_page(PAGE)[0]

    def for_page(self) -> tuple[str, str]:
        """Return the SVG elements, for wide and for narrow windows, and what the page's script needs of them, as JSON.

        The JSON is empty where there is nothing to switch and nothing to read off.
        """
        (wide, places), (narrow, on_phone) = self._on_page(PAGE), self._on_page(NARROW)
        live = ""
        if len(self.series) > 1 or self.panels:
            panels = [_values(panel) | place for panel, place in zip(self.panels, places["panels"], strict=True)]
            live = json.dumps({"series": self.series, **places, "panels": panels, "narrow": on_phone},
                              ensure_ascii=False, separators=(",", ":"))
        return f"{wide}\n{narrow}", live

    def pdf(self) -> bytes:
        """Return the figure as a PDF file."""
        return self._drawn(PAPER, "pdf")[0]

    def alone(self, form: Form) -> bytes:
        """Return the figure as an image file of its own."""
        return self._drawn(SCREEN, form)[0]

    def _on_page(self, style: Style) -> tuple[str, dict[str, Any]]:
        """Return the SVG element, and where it has its axes and names."""
        svg, figure = self._drawn(style, "svg")
        name, kind = (f"{self.name}-narrow", "narrow") if style.narrow else (self.name, "wide")
        return for_page(svg.decode(), name, kind), _places(figure, self.panels)

    def _drawn(self, style: Style, form: Form) -> tuple[bytes, Drawing]:
        with drawing(style, {"svg.hashsalt": self.name}):
            buffer = io.BytesIO()
            figure = self.draw(style)
            figure.savefig(buffer, format=form, metadata=dict.fromkeys(METADATA[form]))
        return buffer.getvalue(), figure


@dataclass(frozen=True)
class Diagram:
    """A figure without values, drawn beforehand: NAME.svg and NAME.pdf in a folder."""

    kind: ClassVar[str] = "figure"
    name: str
    caption: str
    alternative: str
    folder: Path

    def csv(self) -> str:
        """Return an empty text: there are no values."""
        return ""

    def svg(self) -> str:
        """Return the diagram as an SVG element for a page."""
        return (self.folder / f"{self.name}.svg").read_text(encoding="utf-8")

    def for_page(self) -> tuple[str, str]:
        """Return the SVG element, which is narrow enough for a phone, and an empty text for the page's script."""
        return self.svg(), ""

    def pdf(self) -> bytes:
        """Return the diagram as a PDF file."""
        return (self.folder / f"{self.name}.pdf").read_bytes()


def with_intervals(numbers: Sequence[Number], kind: str = "") -> str:
    """Return the words of a caption on the intervals that are drawn, if any are."""
    return f", with {kind}95 % intervals" if any(number.low is not None for number in numbers) else ""


def with_interval(number: Number) -> str:
    """Return a number and its interval in words."""
    if number.low is None:
        return number.text
    low, high = number.ends
    return f"{number.text} ({low.text} to {high.text})"


def _parts(value: Value) -> tuple[str | float | None, float | None, float | None]:
    """Return a value and the ends of its interval."""
    return (value.value, value.low, value.high) if isinstance(value, Number) else (value, None, None)


def csv_cell(value: str | float | None) -> str:
    """Return a value for a table of text; a name that a spreadsheet would compute is quoted, unless it is a number."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value[:1] in set("=+-@\t\r") and as_number(value) is None else value
    return repr(int(value)) if float(value).is_integer() else repr(float(value))


def _places(figure: Drawing, panels: Sequence[Panel]) -> dict[str, Any]:
    """Return the ends and the box of the axes of each panel, and where the names of the series end.

    Boxes are in shares of the figure from its top left corner, and `cut` is the share from the top that the names take.
    """
    placed = []
    for axes in figure.axes[:len(panels)]:
        box = axes.get_position()
        placed.append({"xlim": axes.get_xlim(), "ylim": axes.get_ylim(),
                       "box": [round(share, 5) for share in (box.x0, 1 - box.y1, box.x1, 1 - box.y0)]})
    named = [legend.get_window_extent().y0 / figure.bbox.height for legend in figure.legends if legend.get_gid()]
    return {"panels": placed, "cut": round(1 - float(*named), 5) if named else 0.0}


def _values(panel: Panel) -> dict[str, Any]:
    """Return what is read off a panel, with one decimal in percent and three of a loss."""
    lines = [
        {"series": line.series} | {name: [float(f"{value:.5g}") for value in getattr(line, name)]
                                   for name in ("x", "mean", "low", "high")}
        for line in panel.lines]
    return {"title": panel.title, "axis": panel.axis, "digits": 1 if panel.title.endswith("%") else 3, "lines": lines}
