"""A figure of a report: caption, alternative text, and how to draw the table of values behind it.

The script of the page can switch series on and off and read values off. For that they are marked in the SVG and
described by `Figure.series` and `Figure.panels`. The drawing library is loaded when a figure is drawn.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from gru_bench.report.document.numbers import Number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

    from gru_bench.report.figures.style import Style

Value = str | float | Number | None


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

    def distinct(self, column: str) -> list[Any]:
        """Return the values of a column, each once, in order."""
        return list(dict.fromkeys(self.column(column)))

    def column(self, name: str) -> list[Any]:
        """Return the values of a column."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]

    def groups(self, *columns: str) -> dict[tuple[Any, ...], Values]:
        """Return the rows with equal values in some columns as tables of their own, by these values, in order."""
        places = [self.columns.index(name) for name in columns]
        found: dict[tuple[Any, ...], list[tuple[Value, ...]]] = {}
        for row in self.rows:
            found.setdefault(tuple(row[place] for place in places), []).append(row)
        return {shared: Values(self.columns, tuple(rows), self.intervals) for shared, rows in found.items()}

    def csv(self) -> str:
        """Return the table as comma-separated text, whole numbers and shares unrounded."""
        heads = [name for column in self.columns
                 for name in (column, *(("low", "high") if column in self.intervals else ()))]
        rows = [[cell for column, value in zip(self.columns, row, strict=True)
                 for cell in _cells(value, column in self.intervals)] for row in self.rows]
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\r\n").writerows([heads, *rows])
        return buffer.getvalue()


@dataclass(frozen=True)
class Series:
    """Lines and marks that are switched on and off together."""

    name: str
    place: int | None
    """Index of its color and marker; None where it has several."""


@dataclass(frozen=True)
class Line:
    """A curve as it is drawn: a mean and the lowest and highest at each `x`."""

    series: int
    x: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    dense: bool = False
    """Whether it has too many points for a mark each."""


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
class Figure:
    """One figure: a function of `figures/` makes it from its table of values."""

    kind: ClassVar[str] = "figure"
    name: str
    caption: str
    alternative: str
    """The numbers it shows, for readers who do not see it."""
    values: Values
    draw: Callable[[Style], Drawing]
    series: tuple[Series, ...] = ()
    panels: tuple[Panel, ...] = ()
    """Curves that can be read off: one panel for each pair of axes, in their order."""

    def csv(self) -> str:
        """Return the values as comma-separated text."""
        return self.values.csv()

    def svg(self) -> str:
        """Return the figure as an SVG element; ids begin with the figure's name, colors are variables."""
        from gru_bench.report.figures.style import PAGE

        return self._drawn(PAGE)[0]

    def for_page(self) -> tuple[str, str]:
        """Return the SVG elements, for wide and for narrow windows, and what the page's script needs of them, as JSON.

        The JSON is empty where there is nothing to switch and nothing to read off.
        """
        from gru_bench.report.figures.style import NARROW, PAGE

        (wide, on_page), (narrow, on_phone) = self._drawn(PAGE), self._drawn(NARROW)
        if not self.series and not self.panels:
            return f"{wide}\n{narrow}", ""
        live = json.dumps({
            "series": [{"name": one.name, "place": one.place} for one in self.series],
            "panels": [_values(panel) | _placed(axes)
                       for panel, axes in zip(self.panels, on_page.axes, strict=False)],
            "cut": _legend(on_page),
            "narrow": {"panels": [_placed(axes) for _, axes in zip(self.panels, on_phone.axes, strict=False)],
                       "cut": _legend(on_phone)},
        }, ensure_ascii=False, separators=(",", ":"))
        return f"{wide}\n{narrow}", live

    def _drawn(self, style: Style) -> tuple[str, Drawing]:
        from gru_bench.report.figures.style import drawing, for_page

        with drawing(style, {"svg.hashsalt": self.name}):
            buffer = io.StringIO()
            figure = self.draw(style)
            figure.savefig(
                buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
            )
        name = f"{self.name}-narrow" if style.narrow else self.name
        return for_page(buffer.getvalue(), name, "narrow" if style.narrow else "wide"), figure

    def pdf(self) -> bytes:
        """Return the figure as a PDF file."""
        from gru_bench.report.figures.style import PAPER, drawing

        with drawing(PAPER):
            buffer = io.BytesIO()
            self.draw(PAPER).savefig(
                buffer, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None}
            )
        return buffer.getvalue()

    def alone(self, kind: Literal["png", "svg"]) -> bytes:
        """Return the figure as an image file of its own."""
        from gru_bench.report.figures.style import SCREEN, drawing

        with drawing(SCREEN, {"svg.hashsalt": self.name}):
            buffer = io.BytesIO()
            self.draw(SCREEN).savefig(
                buffer, format=kind, dpi=150, metadata={"Date": None, "Creator": None} if kind == "svg" else None
            )
        return buffer.getvalue()


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


def of_models(labels: Sequence[str]) -> tuple[Series, ...]:
    """Return one series for each model; none for a single model, which needs no switch."""
    return tuple(Series(label, place) for place, label in enumerate(labels)) if len(labels) > 1 else ()


def with_intervals(numbers: Sequence[Number], kind: str = "") -> str:
    """Return the words of a caption on the intervals that are drawn, if any are."""
    return f", with {kind}95 % intervals" if any(number.low is not None for number in numbers) else ""


def with_interval(number: Number) -> str:
    """Return a number and its interval in words."""
    if number.low is None:
        return number.text
    low, high = number.ends
    return f"{number.text} ({low.text} to {high.text})"


def _cells(value: Value, interval: bool) -> list[str]:
    """Return the cells of a value in a file: three where its column has intervals."""
    if isinstance(value, Number):
        return [csv_cell(end) for end in ((value.value, value.low, value.high) if interval else (value.value,))]
    return [csv_cell(value), *([""] * (2 * interval))]


def csv_cell(value: str | float | None) -> str:
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


def _legend(figure: Drawing) -> float:
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
