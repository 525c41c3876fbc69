"""Renders a `Report` as a LaTeX document, with each table in a file of its own that other documents can include.

Text reaches a document only through `escaped`, which is applied to whatever a template prints. Numbers are printed with
their keys, so that the formats can be compared.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gru_bench.report.document.blocks import Block, Cell, Column, Heading, Table, has_interval
from gru_bench.report.document.numbers import Number, plain
from gru_bench.report.document.report import Report
from gru_bench.report.document.sentences import Anchor, Aside, Ends, KnownRun, in_text
from gru_bench.resources import resource

MOST_NAMED = 3
"""Most columns of models in a table."""
NAMED_WIDTH = 3.3
"""Centimeters of a column of a model."""
PAGE_LINES = 40
"""Lines of a table from which on it may be broken over pages."""

PER_CENTIMETER = 7
"""Characters in a centimeter of a cell, at least."""


class Tex(Markup):
    """Text that is LaTeX already."""


def tex(report: Report) -> dict[str, str]:
    """Return the document and its tables, by file name."""
    environment = Environment(
        loader=FileSystemLoader(resource("templates")), undefined=StrictUndefined, autoescape=True,
        block_start_string="<%", block_end_string="%>", variable_start_string="<<", variable_end_string=">>",
        comment_start_string="<#", comment_end_string="#>", trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, finalize=shown,
    )
    environment.filters["key"] = checked_key
    environment.filters["ascii"] = lambda text: Tex(re.sub(r"[^A-Za-z0-9 .,;:()+/-]", " ", plain(text)))
    environment.filters["room"] = room
    environment.filters["joined"] = Tex(" & ").join
    blocks: Any = environment.get_template("blocks.tex.j2").module
    files = {f"tables/{table.key}.tex": str(blocks.table([_Layout(part) for part in table.parts(MOST_NAMED)]))
             for table in report.tables}
    files["report.tex"] = environment.get_template("report.tex.j2").render(report=report)
    return files


def room(blocks: Sequence[Block]) -> int:
    """Return about how many lines a table and the headings right above it take, so that none of these ends a page.

    0 where the headings are followed by something else.
    """
    for headings, block in enumerate(blocks):
        if isinstance(block, Table):
            return 3 * headings + (_Layout(next(block.parts(MOST_NAMED))).lines or 9)
        if not isinstance(block, Heading):
            break
    return 0


@dataclass(frozen=True)
class _Layout:
    """A table, or a part of one, as it is laid out on paper."""

    table: Table

    @cached_property
    def aligned(self) -> tuple[bool, ...]:
        """Return for each column whether its numbers are aligned at the decimal point."""
        return tuple(_is_aligned(column, [row[place] for row in (*self.table.rows, *self.table.context)])
                     for place, column in enumerate(self.table.columns))

    @property
    def aligns(self) -> bool:
        """Return whether any column is aligned so."""
        return any(self.aligned)

    @property
    def columns(self) -> Tex:
        """Return the specification of the columns."""
        return Tex("".join(self._column(place, column) for place, column in enumerate(self.table.columns)))

    def _column(self, place: int, column: Column) -> str:
        if self.aligned[place]:
            return f"S[table-format={self._format(place)}]"
        width = column.width or (NAMED_WIDTH if column.named else None)
        if width is None:
            return "r" if column.align == "right" else "l"
        return rf">{{\ragged{'left' if column.align == 'right' else 'right'}\arraybackslash}}p{{{width}cm}}"

    def _format(self, place: int) -> str:
        """Return the most digits before and after the decimal points of a column, as siunitx reads them."""
        cells = [_number(row[place]) for row in (*self.table.rows, *self.table.context)]
        texts = [cell.text for cell in cells if cell is not None]
        found = [match for text in texts if (match := _PARSED.fullmatch(text))]
        before = max((len(match[2].replace(",", "")) for match in found), default=1)
        after = max((len(match[3] or ".") - 1 for match in found), default=0)
        return f"{'<' * any(match[1] for match in found)}{before}.{after}"

    @property
    def separation(self) -> str:
        """Return the space between columns, less where there are many."""
        return "2.5pt" if len(self.table.columns) > 8 else "4pt"

    @property
    def lines(self) -> int:
        """Return about how many lines the table takes: 0 where these are too many for one page."""
        longest = (len(_words(row[place])) / column.width for row in self.table.rows
                   for place, column in enumerate(self.table.columns) if place and column.width)
        wraps = self.table.dense or max(longest, default=0) > PER_CENTIMETER
        each = 2 if wraps or any(map(self.below, self.table.rows)) else 1
        lines = 7 + each * (len(self.table.rows) + len(self.table.context))
        return lines if lines < PAGE_LINES else 0

    def rows(self, context: bool) -> Iterator[tuple[Cell, ...]]:
        """Yield the rows, in a grouped table with a first cell only where it changes."""
        before: Cell = ""
        for row in self.table.context if context else self.table.rows:
            same = self.table.grouped and _words(row[0]) == _words(before)
            yield ("", *row[1:]) if same else row
            before = row[0]

    def below(self, row: tuple[Cell, ...]) -> Aside | None:
        """Return what stands below the name of a row, in a line of its own."""
        first = row[0]
        return next((part for part in first if isinstance(part, Aside) and part.below), None) if isinstance(
            first, tuple) else None

    def cells(self, row: tuple[Cell, ...]) -> list[Tex]:
        """Return the cells of a row as LaTeX, without what stands below its name."""
        first, *others = row
        if isinstance(first, tuple):
            first = tuple(part for part in first if not (isinstance(part, Aside) and part.below))
        return [shown(first), *(self._cell(place, cell) for place, cell in enumerate(others, start=1))]

    def _cell(self, place: int, cell: Cell) -> Tex:
        if self.aligned[place]:
            number = _number(cell)
            return Tex(f"{{{shown(cell)}}}") if number is None else _aligned(number)
        if not isinstance(cell, Number) or self.table.dense:
            return shown(cell)
        if cell.low is None:
            return shown(cell) + Tex(r"\phantom{ [88.8, 88.8]}" if self.table.mixed[place] else "")
        return shown(cell) + Tex(r" {{\color{{faint}}[{}, {}]}}").format(*map(shown, cell.ends))

    def ends(self, row: tuple[Cell, ...]) -> list[Tex]:
        """Return the intervals of a row for the line below it, where there are too many for one line."""
        if not self.table.dense or not any(map(has_interval, row)):
            return []
        return [Tex(r"{{\scriptsize\color{{faint}}[{}, {}]}}").format(*map(shown, cell.ends))
                if isinstance(cell, Number) and cell.low is not None else Tex("") for cell in row]


_PARSED = re.compile(r"(< )?([\d,]+)(\.\d+)?")


def _is_aligned(column: Column, cells: list[Cell]) -> bool:
    """Return whether a column holds plain numbers with different numbers of decimals."""
    numbers = [number for cell in cells if (number := _number(cell)) is not None]
    if column.width or column.named or len(numbers) < 2 or any(map(has_interval, cells)):
        return False
    found = [_PARSED.fullmatch(number.text) for number in numbers if number.value is not None]
    return all(cell == "" or _number(cell) is not None for cell in cells) and None not in found and len(
        {len(match[3] or "") for match in found if match}) > 1


def _number(cell: Cell) -> Number | None:
    """Return the number that is all of a cell, with or without its interval."""
    match cell:
        case (Number() as number) | (Number() as number,):
            return number
        case _:
            return None


def _words(cell: Cell) -> str:
    """Return a cell as plain text."""
    return cell if isinstance(cell, str) else cell.text if isinstance(cell, Number) else in_text(cell)


def escaped(text: str) -> Tex:
    r"""Return text as LaTeX that prints it: the one way for a string into a document.

    Letters of Latin scripts stay; other characters become the macro that prints them, or their code point
    in a box. A line may be broken after punctuation, and inside words too long for a line.
    """
    parts: list[str] = []
    run = 0
    for character in unicodedata.normalize("NFC", text):
        parts.append(_TEX.get(character) or _tex_character(character))
        run = 0 if character.isspace() else run + 1
        if (run > 3 and character in "_-/.,:;=+") or (run > 18 and run % 6 == 0):
            parts.append(r"\allowbreak{}")
    return Tex("".join(parts))


def shown(value: Any) -> Tex:
    """Return what a template prints for a value."""
    match value:
        case Markup():
            return Tex(value)
        case Number():
            return Tex(rf"\val{{{checked_key(value.key)}}}{{{escaped(value.text)}}}")
        case Ends():
            return shown(value.parts)
        case KnownRun():
            code = Tex(r"{{\scriptsize\texttt{{{}}}}}").format(escaped(value.run_id))
            return Tex(r"\href{{{}}}{{{}}}").format(_address(value.url), code) if value.url else code
        case Aside():
            return Tex(r" {{\color{{faint}}{}}}" if value.below else r"{{\color{{faint}}{}}}").format(
                shown(value.parts))
        case Anchor():
            return shown(value.parts)
        case tuple():
            return Tex("").join(shown(part) for part in value)
        case _:
            return escaped(str(value))


def checked_key(key: str) -> Tex:
    """Return a key unchanged, after a check of its characters."""
    if not re.fullmatch(r"[a-z0-9.-]+", key):
        raise ValueError(f"a key must hold a-z, 0-9, dots and hyphens only, but got {key!r}")
    return Tex(key)


def _aligned(number: Number) -> Tex:
    r"""Return a number for an S column of siunitx, which parses it; what is no plain number is kept from that."""
    key = checked_key(number.key)
    if not _PARSED.fullmatch(number.text):
        return Tex(rf"{{\val{{{key}}}{{{escaped(number.text)}}}}}")
    return Tex(rf"\val{{{key}}}{{{number.text}}}")


def _address(url: str) -> Tex:
    """Return an address as the first argument of a link, with all but plain characters percent-encoded."""
    encoded = quote(url, safe=":/?=.-@,;+!%#&")
    return Tex(re.sub(r"([%#&])", r"\\\1", encoded))


_TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "^": r"\textasciicircum{}",
    "_": r"\_", "~": r"\textasciitilde{}", "%": r"\%", "<": r"\ensuremath{<}", ">": r"\ensuremath{>}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "'": r"\textquotesingle{}", "`": r"\textasciigrave{}",
    "-": "{-}", ",": "{,}", "?": "{?}", "!": "{!}",  # not joined to dashes, quotes or upended marks
    "[": "{[}", "]": "{]}", "*": "{*}",  # not read as an option of the line end before them
    "−": r"\ensuremath{-}", "±": r"\ensuremath{\pm}", "×": r"\ensuremath{\times}", "–": r"\textendash{}",
    "—": r"\textemdash{}", "“": r"\textquotedblleft{}", "”": r"\textquotedblright{}", "‘": r"\textquoteleft{}",
    "’": r"\textquoteright{}", "…": r"\dots{}", "·": r"\textperiodcentered{}", "°": r"\textdegree{}",
    "≤": r"\ensuremath{\le}", "≥": r"\ensuremath{\ge}", "→": r"\ensuremath{\to}", "€": r"\texteuro{}",
    "«": r"\guillemotleft{}", "»": r"\guillemotright{}", "\xa0": "~",
} | {
    letter: rf"\ensuremath{{\{name}}}" for letter, name in zip(
        "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ",
        ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu",
         "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega", "Gamma", "Delta", "Theta",
         "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega"], strict=True)
}
# What T1-encoded fonts print: the letters of Latin-1, and of Latin Extended-A those that TeX builds or has.
_LATIN = frozenset("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþÿ"
                   "ĂăĄąĆćČčĎďĐđĘęĚěĞğİıĹĺĽľŁłŃńŇňŐőŒœŔŕŘřŚśŞşŠšŢţŤťŮůŰűŸŹźŻżŽž")


def _tex_character(character: str) -> str:
    if character.isascii() and character.isprintable():
        return character
    if character in _LATIN:
        return character
    if character.isspace():
        return " "
    return rf"\codepoint{{{ord(character):04X}}}"
