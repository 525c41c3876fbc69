"""The blocks of a section that is written in code: text with numbers and formulas, figures and tables.

`templates/sections/blocks.html.j2`, `blocks.tex.j2` and `blocks.md.j2` render each kind of block, so that such a
section is written once for all three formats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gru_bench.report.document.numbers import Math, Number, Sentence

Cell = Number | str | Sentence


def prose(text: str) -> Sentence:
    """Return running text as a sentence: lines joined, text between dollar signs as formulas."""
    parts = " ".join(text.split()).split("$")
    return tuple(Math(part) if place % 2 else part for place, part in enumerate(parts) if part)


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
    """A bulleted list; an item may begin with a few bold words."""

    kind: ClassVar[str] = "bullets"
    items: tuple[tuple[str, Sentence], ...]


@dataclass(frozen=True)
class Equation:
    """One line of mathematics in TeX, split before the relation sign at which lines are aligned."""

    left: str
    right: str
    label: str = ""
    """Its number, without parentheses."""
    meaning: str = ""


@dataclass(frozen=True)
class Equations:
    """Lines of mathematics, one below the other."""

    kind: ClassVar[str] = "equations"
    about: str
    """A short description, for screen readers."""
    lines: tuple[Equation, ...]


@dataclass(frozen=True)
class FigureReference:
    """The place of one of the section's figures."""

    kind: ClassVar[str] = "figure"
    name: str


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    head: str
    width: float | None = None
    """Centimetres on paper, for text that is broken into lines; None for numbers."""


@dataclass(frozen=True)
class Table:
    """A table whose first column names its rows."""

    kind: ClassVar[str] = "table"
    key: str
    about: str
    """A short description, for screen readers."""
    caption: Sentence
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    context: tuple[tuple[Cell, ...], ...] = ()
    """Rows that are set apart because they do not come from these runs."""


Block = Heading | Paragraph | Bullets | Equations | FigureReference | Table


@dataclass(frozen=True)
class Blocks:
    """The content of a section."""

    blocks: tuple[Block, ...]
