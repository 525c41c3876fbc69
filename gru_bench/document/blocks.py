"""The blocks that sections are made of. Each format has one template that renders every kind of block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any, ClassVar, Literal, TypeVar

from gru_bench.document.figure import Figure
from gru_bench.document.numbers import Number
from gru_bench.document.sentences import Anchor, Aside, Ends, Sentence

T = TypeVar("T")
Cell = Number | str | Sentence
"""A number stands with its interval where it has one."""


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    kind: ClassVar[str] = "heading"
    text: str
    key: str
    """Its id on a page: lower-case words joined by hyphens."""


@dataclass(frozen=True)
class Paragraph:
    """A paragraph."""

    kind: ClassVar[str] = "paragraph"
    text: Sentence
    lead: str = ""
    """Bold words at its start."""


@dataclass(frozen=True)
class Bullets:
    """A bulleted list."""

    kind: ClassVar[str] = "bullets"
    items: tuple[tuple[str, Sentence], ...]
    """Each may begin with a few bold words, or with a quotation."""
    quoted: bool = False
    """Whether each begins with the quotation of a text."""


@dataclass(frozen=True)
class Column:
    """A column of a table, named once for all formats."""

    heading: str
    unit: str = ""
    """Stands behind the heading: `%` makes `Accuracy, %`."""
    short: str = ""
    """The heading on paper, where the whole one takes too much room."""
    align: Literal["left", "right"] = "right"
    width: float | None = None
    """Centimeters on paper, for text that is broken into lines; None for numbers."""
    named: bool = False
    """Whether the heading is the name of a model. A table with many of these is cut into parts."""

    def shown(self, on_paper: bool = False) -> str:
        """Return the heading with its unit."""
        return (self.short if on_paper and self.short else self.heading) + (f", {self.unit}" if self.unit else "")


@dataclass(frozen=True)
class Table:
    """A table whose first column names its rows."""

    kind: ClassVar[str] = "table"
    key: str
    """Unique in a report: the name of its LaTeX file, and its label there."""
    title: str
    """A short description, for screen readers; unique in a report."""
    caption: Sentence
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    grouped: bool = False
    """Whether rows with the same first cell follow one another, so that paper shows it once."""

    @classmethod
    def of(
        cls, key: str, title: str, caption: Sentence, things: Sequence[T], *columns: tuple[Column, Callable[[T], Cell]],
    ) -> Table:
        """Return a table with a row for each thing, from its columns and what each of them shows of a thing."""
        rows = tuple(tuple(shown(thing) for _, shown in columns) for thing in things)
        return cls(key, title, caption, tuple(column for column, _ in columns), rows)

    def parts(self, most: int) -> Iterator[Table]:
        """Yield the table, or parts of it that have at most `most` columns of models each, with the other columns."""
        named = [place for place, column in enumerate(self.columns) if column.named]
        if len(named) <= most:
            yield self
            return
        for start in range(0, len(named), most):
            shown = [not column.named or place in named[start:start + most]
                     for place, column in enumerate(self.columns)]
            yield replace(
                self, title=f"{self.title}, continued ({start // most + 1})" if start else self.title,
                columns=tuple(compress(self.columns, shown)),
                rows=tuple(tuple(compress(row, shown)) for row in self.rows))

    @property
    def mixed(self) -> tuple[bool, ...]:
        """Return for each column whether some of its cells are numbers with an interval."""
        return tuple(any(has_interval(row[place]) for row in self.rows)
                     for place in range(len(self.columns)))

    @property
    def dense(self) -> bool:
        """Return whether it has too many columns of intervals to set each next to its number."""
        return sum(self.mixed) > 4


@dataclass(frozen=True)
class Details:
    """Blocks that a page folds under a line."""

    kind: ClassVar[str] = "details"
    summary: str
    blocks: tuple[Block, ...]
    opened: bool = False


Block = Heading | Paragraph | Bullets | Table | Figure | Details


def parts_in(shown: Any) -> Iterator[Any]:
    """Yield what is shown (a block, a sentence, a cell, or several), and the parts inside of each, in order."""
    if isinstance(shown, tuple):
        for one in shown:
            yield from parts_in(one)
        return
    yield shown
    match shown:
        case Paragraph():
            yield from parts_in(shown.text)
        case Bullets():
            yield from parts_in(shown.items)
        case Table():
            yield from parts_in((shown.caption, shown.rows))
        case Figure():
            yield from parts_in(shown.values.rows)
        case Details():
            yield from parts_in(shown.blocks)
        case Aside() | Anchor():
            yield from parts_in(shown.parts)
        case Ends():  # the ends of a range belong to their number, as those of an interval in a cell do
            yield from (() if shown.number.is_range else shown.number.ends)
            yield shown.number


def numbers_in(shown: Any) -> Iterator[Number]:
    """Yield every number that is shown, in order; where only its ends are, also these."""
    return (part for part in parts_in(shown) if isinstance(part, Number))


def has_interval(cell: Cell) -> bool:
    """Return whether a cell is a number with an interval."""
    return isinstance(cell, Number) and cell.has_interval


def with_range(number: Number) -> Cell:
    """Return a mean over runs as a cell, with the lowest and the highest run below it where they differ."""
    return (number, Aside((Ends(number),), below=True)) if number.is_range and number.low != number.high else number


def sentences(items: Sequence[Sentence]) -> list[Block]:
    """Return sentences as a bulleted list; nothing for none."""
    return [Bullets(tuple(("", item) for item in items))] if items else []
