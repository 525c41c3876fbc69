"""A figure of a report: caption, alternative text, the table of values behind it, and how to draw that table.

The drawing library is loaded when a figure is drawn.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from gru_bench.document.numbers import FORMATS, Number
from gru_bench.document.style import PAPER_LETTERS, for_page, theme
from gru_bench.wording import csv_cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing
    from pandas import DataFrame

Form = Literal["svg", "pdf", "png"]
Value = str | float | Number | None

BACKENDS: Mapping[Form, str] = {"svg": "svg", "pdf": "pdf", "png": "agg"}
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
    heads: tuple[tuple[str, str], ...] = ()
    """Column -> its heading in a file, where that names the score that is drawn."""

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
        return {shared: replace(self, rows=tuple(rows)) for shared, rows in found.items()}

    def frame(self) -> DataFrame:
        """Return the table with its numbers as they are shown: fractions in percent.

        The column with intervals is followed by `low` and `high`, which are the number itself where it has no interval,
        and `text`.
        """
        from pandas import DataFrame

        found = []
        for row in self.records():
            shown = {name: _shown(value, value.value) if isinstance(value, Number) else value
                     for name, value in row.items()}
            for number in (row[name] for name in self.intervals if isinstance(row[name], Number)):
                low, high = (number.value if end is None else end for end in (number.low, number.high))
                shown |= {"low": _shown(number, low), "high": _shown(number, high), "text": number.text}
            found.append(shown)
        return DataFrame(found)

    def csv(self) -> str:
        """Return the table as comma-separated text, whole numbers and fractions unrounded."""
        widths = [3 if column in self.intervals else 1 for column in self.columns]
        heads = [name for column, width in zip(self.columns, widths, strict=True)
                 for name in (dict(self.heads).get(column, column), "low", "high")[:width]]
        rows = [[csv_cell(part) for value, width in zip(row, widths, strict=True) for part in _parts(value)[:width]]
                for row in self.rows]
        buffer = io.StringIO()
        csv.writer(buffer).writerows([heads, *rows])
        return buffer.getvalue()


@dataclass(frozen=True)
class Figure:
    """One figure: a function of `figures/` makes it from its table of values."""

    kind: ClassVar[str] = "figure"
    name: str
    caption: str
    alternative: str
    """What it shows, for readers who do not see it; the values are in the CSV file."""
    values: Values
    draw: Callable[[DataFrame], Drawing]
    """Draws the frame of the values."""

    @property
    def svg(self) -> str:
        """Return the figure as an SVG element; ids begin with the figure's name, colors are variables."""
        return self._drawn[0]

    @property
    def pdf(self) -> bytes:
        """Return the figure as a PDF file."""
        return self._drawn[1]

    @property
    def png(self) -> bytes:
        """Return the figure as a PNG file, on white."""
        return written_as("png", self.drawing())

    def drawing(self) -> Drawing:
        """Return the figure as one of matplotlib, on white, which notebooks show."""
        with theme(**{"figure.facecolor": "white", "figure.dpi": 216}):
            found = self.draw(self.values.frame())
        setattr(found, "_repr_png_", partial(written_as, "png", found))  # noqa: B010 - matplotlib does not declare it
        return found

    @cached_property
    def _drawn(self) -> tuple[str, bytes]:
        """The figure for a page and for paper: it is drawn and laid out once."""
        with theme(**{"svg.hashsalt": self.name}):
            drawing = self.draw(self.values.frame())
            svg = for_page(written_as("svg", drawing).decode(), self.name)
            drawing.set_layout_engine("none")
            with theme(**PAPER_LETTERS):
                return svg, written_as("pdf", drawing)


def written_as(form: Form, drawing: Drawing) -> bytes:
    """Return the content of a file with a drawing, which is the same each time."""
    buffer = io.BytesIO()
    # Not by `savefig`, which draws everything twice.
    canvas = import_module(f"matplotlib.backends.backend_{BACKENDS[form]}").FigureCanvas(drawing)
    getattr(canvas, f"print_{form}")(buffer, metadata=dict.fromkeys(METADATA[form]))
    return buffer.getvalue()


def _parts(value: Value) -> tuple[str | float | None, float | None, float | None]:
    """Return a value and the ends of its interval."""
    return (value.value, value.low, value.high) if isinstance(value, Number) else (value, None, None)


def _shown(number: Number, value: float | None) -> float | None:
    """Return a value as a number of this kind is shown: a fraction in percent."""
    return None if value is None else value * FORMATS.get(number.kind, (1.0,))[0]
