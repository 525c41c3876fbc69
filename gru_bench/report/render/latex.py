"""Renders a `Report` as a LaTeX document, with each table in a file of its own that other documents can include.

Text reaches a document only through `escaped`, which is applied to whatever a template prints. Numbers are printed with
their keys, so that the formats can be compared.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gru_bench.document.blocks import Block, Cell, Column, Heading, Table
from gru_bench.document.numbers import Number, plain
from gru_bench.document.report import Report
from gru_bench.document.sentences import Anchor, Aside, Ends, KnownRun, in_text
from gru_bench.resources import resource

MACROS = "numbers.tex"
"""The file that gives other documents the numbers by their keys."""
MOST_NAMED = 3
"""Most columns of models in a table."""
NAMED_WIDTH = 3.3
"""Centimeters of a column of a model."""
PAGE_LINES = 40
"""Lines of a table from which on it may be broken over pages."""
PER_CENTIMETER = 7
"""Characters in a centimeter of a cell, at least."""
LONG = 16
"""Most characters of a word that are kept together."""


class Tex(Markup):
    """Text that is LaTeX already."""


def tex(report: Report) -> dict[str, str]:
    """Return the document, its tables and its numbers, by file name."""
    environment = Environment(
        loader=FileSystemLoader(resource("templates")), undefined=StrictUndefined, autoescape=True,
        block_start_string="<%", block_end_string="%>", variable_start_string="<<", variable_end_string=">>",
        comment_start_string="<#", comment_end_string="#>", trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, finalize=shown,
    )
    environment.filters["key"] = checked_key
    environment.filters["ascii"] = lambda text: Tex(re.sub(r"[^A-Za-z0-9 .,;:()+/-]", " ", plain(text)))
    environment.filters["room"] = room
    blocks: Any = environment.get_template("blocks.tex.j2").module
    files = {f"tables/{table.key}.tex": str(blocks.table([_Layout(part) for part in table.parts(MOST_NAMED)]))
             for table in report.tables}
    numbers = [part for number in report.numbers.values() if number.value is not None
               for part in ((number, *number.ends) if number.has_interval else (number,))]
    files[MACROS] = environment.get_template("numbers.tex.j2").render(numbers=numbers)
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

    @property
    def columns(self) -> Tex:
        """Return the specification of the columns."""
        return Tex("".join(map(_specification, self.table.columns)))

    @property
    def heads(self) -> Tex:
        """Return the row of headings."""
        return _row([column.shown(on_paper=True) for column in self.table.columns])

    @property
    def lines(self) -> int:
        """Return about how many lines the table takes: 0 where these are too many for one page."""
        longest = (len(_words(cell)) / column.width for row in self.table.rows
                   for column, cell in zip(self.table.columns[1:], row[1:], strict=True) if column.width)
        wraps = self.table.dense or max(longest, default=0) > PER_CENTIMETER or any(
            _divided(cell)[1] is not None for row in self.table.rows for cell in row)
        lines = 7 + (2 if wraps else 1) * len(self.table.rows)
        return lines if lines < PAGE_LINES else 0

    def rows(self) -> Iterator[Tex]:
        """Yield the rows, in a grouped table with a first cell only where it changes.

        What stands below the name of a row, and intervals for which it has no room, follow in lines of their own.
        """
        before: Cell = ""
        for first, *others in self.table.rows:
            same = self.table.grouped and _words(first) == _words(before)
            name, below = ("", None) if same else _divided(first)
            before = first
            cells = [self._stacked(place, cell) for place, cell in enumerate(others, start=1)]
            lines = [_row([name, *(above for above, _ in cells)])]
            if any(under for _, under in cells):
                lines.append(_row(["", *(under for _, under in cells)]))
            if below is not None:
                lines.append(Tex(rf"\belowname{{{len(self.table.columns)}}}{{{shown(below.parts)}}}"))
            yield Tex(" \\\\*\n".join(lines) + r" \\" + "\n\\addlinespace[3pt]" * (len(lines) > 1))

    def _stacked(self, place: int, cell: Cell) -> tuple[Tex, Tex]:
        """Return what a cell holds, and what stands in a line below it: a range of runs, and in a dense table an
        interval."""
        if isinstance(cell, Number):
            return (shown(cell), _ends(cell)) if self.table.dense else (
                _with_ends(cell, self.table.mixed[place]), Tex(""))
        value, below = _divided(cell) if self.table.columns[place].align == "right" else (cell, None)
        return shown(value), Tex("") if below is None else Tex(r"{{\color{{faint}}{}}}").format(shown(below.parts))


def _specification(column: Column) -> str:
    width = column.width or (NAMED_WIDTH if column.named else None)
    if width is None:
        return "r" if column.align == "right" else "l"
    return rf">{{\ragged{'left' if column.align == 'right' else 'right'}\arraybackslash}}p{{{width}cm}}"


def _row(cells: Sequence[Any]) -> Tex:
    return Tex(" & ".join(map(shown, cells)))


def _divided(first: Cell) -> tuple[Cell, Aside | None]:
    """Return the name of a row, and what stands below it in a line of its own."""
    parts = first if isinstance(first, tuple) else ()
    below = next((part for part in parts if isinstance(part, Aside) and part.below), None)
    return (first, None) if below is None else (tuple(part for part in parts if part is not below), below)


def _with_ends(cell: Cell, mixed: bool) -> Tex:
    """Return a cell with the interval of its number, or with room for one where others of its column have one."""
    room = r"\nointerval" if mixed and isinstance(cell, Number) else ""
    return Tex(f"{shown(cell)} {_ends(cell) or room}".rstrip())


def _ends(cell: Cell) -> Tex:
    """Return the interval of a number; empty where there is none."""
    return Tex(r"\interval{{{}}}{{{}}}").format(*map(shown, cell.ends)) if (
        isinstance(cell, Number) and cell.has_interval) else Tex("")


def _words(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell.text if isinstance(cell, Number) else in_text(cell)


def escaped(text: str) -> Tex:
    r"""Return text as LaTeX that prints it: the one way for a string into a document.

    Letters of Latin scripts stay; other characters become the macro that prints them, or their code point
    in a box. Words that may be too long for a line can be broken.
    """
    return Tex("".join(map(_escaped_word, re.split(r"(\s+)", unicodedata.normalize("NFC", text)))))


def _escaped_word(word: str) -> str:
    """Return a word without spaces, or the spaces between two."""
    parts: list[str] = []
    for place, character in enumerate(word, start=1):
        if place > 1 and character in ",-" and word[place - 2] == character:
            parts.append("{}")  # not joined to a quote or a dash
        parts.append(_TEX.get(character) or _tex_character(character))
        if len(word) > LONG and place > 3 and (character in "_-/.,:;=+" or (place > LONG and place % 6 == 0)):
            parts.append(r"\allowbreak{}")
    return "".join(parts)


def shown(value: Any) -> Tex:
    """Return what a template prints for a value."""
    match value:
        case Markup():
            return Tex(value)
        case Number():
            return Tex(rf"\val{{{checked_key(value.key)}}}{{{escaped(value.text)}}}")
        case KnownRun():
            halves = Tex(r"\allowbreak{}".join(escaped(value.run_id[place:place + LONG])
                                               for place in range(0, len(value.run_id), LONG)))
            code = Tex(r"{{\scriptsize\texttt{{{}}}}}").format(halves)
            return Tex(r"\href{{{}}}{{{}}}").format(_address(value.url), code) if value.url else code
        case Aside():
            return Tex(r" {{\color{{faint}}{}}}" if value.below else r"{{\color{{faint}}{}}}").format(
                shown(value.parts))
        case Ends() | Anchor():
            return shown(value.parts)
        case tuple():
            return Tex("".join(map(shown, value)))
        case _:
            return escaped(str(value))


def checked_key(key: str) -> Tex:
    """Return a key unchanged, after a check of its characters."""
    if not re.fullmatch(r"[a-z0-9.-]+", key):
        raise ValueError(f"a key must contain a-z, 0-9, dots and hyphens only, but got {key!r}")
    return Tex(key)


def _address(url: str) -> Tex:
    """Return an address as the first argument of a link, with all but plain characters percent-encoded."""
    encoded = quote(url, safe=":/?=.-@,;+!%#&")
    return Tex(re.sub(r"([%#&])", r"\\\1", encoded))


_TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "^": r"\textasciicircum{}",
    "_": r"\_", "~": r"\textasciitilde{}", "%": r"\%", "<": r"\ensuremath{<}", ">": r"\ensuremath{>}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "'": r"\textquotesingle{}", "`": r"\textasciigrave{}",
    "[": "{[}", "*": "{*}",  # not read as an option of the item or the line end before them
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
    if (character.isascii() and character.isprintable()) or character in _LATIN:
        return character
    if character.isspace():
        return " "
    return rf"\codepoint{{{ord(character):04X}}}"
