"""What a section may be made of where it is written in code: text with numbers and formulas, figures and tables.

`templates/blocks.html.j2`, `blocks.tex.j2` and `blocks.md.j2` show each kind, so that a section that consists of
blocks is written once for all three.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gru_bench.report.document.numbers import Math, Number, Sentence

Cell = Number | str | Sentence


def prose(text: str) -> Sentence:
    """Return running text as a sentence: its lines joined, what stands between dollar signs as formulas."""
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
    """Words before it that stand out."""


@dataclass(frozen=True)
class Bullets:
    """A list; a point may begin with a few words that stand out."""

    kind: ClassVar[str] = "bullets"
    items: tuple[tuple[str, Sentence], ...]


@dataclass(frozen=True)
class Equation:
    """One line of mathematics in TeX, cut before the relation at which lines are aligned."""

    left: str
    right: str
    label: str = ""
    """Its number, without brackets."""
    meaning: str = ""


@dataclass(frozen=True)
class Equations:
    """Lines of mathematics under one another."""

    kind: ClassVar[str] = "equations"
    about: str
    """What they are, for those who hear the page."""
    lines: tuple[Equation, ...]


@dataclass(frozen=True)
class FigureReference:
    """One of the section's figures."""

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
    """What it is, in a few words."""
    caption: Sentence
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    context: tuple[tuple[Cell, ...], ...] = ()
    """Rows that stand apart because they are not from these runs."""


Block = Heading | Paragraph | Bullets | Equations | FigureReference | Table


@dataclass(frozen=True)
class Blocks:
    """The content of a section."""

    blocks: tuple[Block, ...]
