"""Reads a report back from its page, its document and its Markdown: the words and tables of each section, in order.

What each format should say is computed from the blocks of the report, and compared with what is read back.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from bs4 import BeautifulSoup

from gru_bench.document.blocks import (
    Block,
    Bullets,
    Cell,
    Column,
    Details,
    Heading,
    Paragraph,
    Table,
)
from gru_bench.document.figure import Figure
from gru_bench.document.numbers import Number
from gru_bench.document.report import Report
from gru_bench.document.sentences import Anchor, Aside, Ends, KnownRun, Sentence
from gru_bench.report.render import latex

Grid = list[list[str]]
"""A table: its heads, then its rows."""
Words = list[str | Grid]
"""What a section says, in order: headings, paragraphs, items, captions and tables."""


@dataclass(frozen=True)
class Form:
    """What a format shows otherwise than the others."""

    on_paper: bool = False
    figures: bool = True
    folds: bool = False
    """Whether details are folded under their summary; otherwise it becomes a bold line, but above a table."""
    quoted: str = "{}"
    """How a review is quoted."""


PAGE = Form(folds=True)
PAPER = Form(on_paper=True)
MARKDOWN = Form(figures=False, quoted="“{}”")


# ---------------------------------------------------------------- what a format should say


def expected(report: Report, form: Form) -> dict[str, Words]:
    """Return title -> words of each section, the summary first."""
    return {one_line(section.title): list(_said(section.blocks, form)) for section in report.sections}


def _said(blocks: Sequence[Block], form: Form) -> Iterator[str | Grid]:
    for block in blocks:
        match block:
            case Heading(text):
                yield one_line(text)
            case Paragraph(text, lead):
                yield one_line(f"{lead} {words(text, form)}")
            case Bullets(items, quoted):
                yield from (one_line(f"{form.quoted.format(lead) if quoted else lead} {words(text, form)}")
                            for lead, text in items)
            case Table():
                yield words(block.caption, form)
                yield [[one_line(column.shown(form.on_paper)) for column in block.columns], *(
                    [_cell(cell, form, first=place == 0) for place, cell in enumerate(row)]
                    for row in block.rows)]
            case Figure():
                if form.figures:
                    yield one_line(block.caption)
            case Details(summary, inner):
                if form.folds or not isinstance(inner[0], Table):
                    yield one_line(summary + "." * (not form.folds))
                yield from _said(inner, form)


def _cell(cell: Cell, form: Form, first: bool) -> str:
    if isinstance(cell, Number) and cell.has_interval and not first:
        return f"{cell.text} [{cell.ends[0].text}, {cell.ends[1].text}]"
    below = " {}" if form.on_paper and not first else " ({})"
    return words(cell if isinstance(cell, tuple) else (cell,), form, below)


def words(sentence: Sentence, form: Form, below: str = " ({})") -> str:
    """Return a sentence as plain text on one line."""
    return one_line("".join(_parts(sentence, form, below)))


def _parts(sentence: Sentence, form: Form, below: str) -> Iterator[str]:
    for part in sentence:
        match part:
            case str():
                yield part
            case Aside(parts, True):
                yield below.format("".join(_parts(parts, form, below)))
            case Aside(parts) | Anchor(_, _, parts):
                yield from _parts(parts, form, below)
            case Ends():
                yield from _parts(part.parts, form, below)
            case Number() | KnownRun():
                yield part.text


def one_line(text: str) -> str:
    """Return text with single spaces, in the composed form of Unicode."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def joined(parts: Sequence[Grid], columns: Sequence[Column]) -> Grid:
    """Return a table from its parts, each of which repeats the columns that are not a model's."""
    fixed = sum(not column.named for column in columns)
    whole: Grid = [[] for _ in parts[0]]
    rest = [(part, place) for part in parts for place in _named_places(len(part[0]) - fixed, columns)]
    for place, column in enumerate(columns):
        if column.named:
            part, there = rest.pop(0)
        else:
            part, there = parts[0], _place_in_part(place, len(parts[0][0]) - fixed, columns)
            # Beside its models, each part says the same.
            for one, two in pairwise(parts):
                assert [row[_place_in_part(place, len(one[0]) - fixed, columns)] for row in one] == [
                    row[_place_in_part(place, len(two[0]) - fixed, columns)] for row in two]
        for row, cells in zip(whole, part, strict=True):
            row.append(cells[there])
    assert not rest
    return whole


def _named_places(models: int, columns: Sequence[Column]) -> range:
    """Return the places of the columns of models in a part with so many of them."""
    start = next((place for place, column in enumerate(columns) if column.named), 0)
    return range(start, start + models)


def _place_in_part(place: int, models: int, columns: Sequence[Column]) -> int:
    """Return the place, in a part with so many models, of a column that is not a model's."""
    before = sum(column.named for column in columns[:place])
    return place - before + (models if before else 0)


# ---------------------------------------------------------------- the page


def page_words(page: str, report: Report) -> dict[str, Words]:
    """Return title -> words of each section of a page."""
    soup: Any = BeautifulSoup(page, "html.parser")
    for element in soup.find_all("span", class_="settings"):
        element.replace_with(f" ({element.get_text()})")
    for element in soup.select("svg, a.values, .sources, [role=group]"):
        element.decompose()
    found: dict[str, Words] = {}
    tables = {one_line(table.title): table for table in report.tables}
    for section in soup.select("main > section"):
        said: Words = []
        grids: list[Grid] = []
        for element in section.find_all(["h3", "p", "li", "caption", "figcaption", "summary", "code", "table"]):
            if element.h2 is not None:  # the heading of a folded section
                continue
            if element.name == "table":
                title, _, more = element.parent["aria-label"].partition(", continued (")
                rows = [*element.thead.find_all("tr"), *(row for body in element.find_all("tbody")
                                                         for row in body.find_all("tr"))]
                grids = [*(grids if more else ()), [
                    [one_line(cell.get_text()) for cell in row.find_all(["th", "td"])] for row in rows]]
                whole = joined_so_far(grids, tables[one_line(title)].columns)
                if more:
                    del said[-1]
                else:
                    said.append(one_line(element.caption.get_text()))
                said.append(whole)
            elif element.name not in ("caption", "code") or element.parent.get("class") in (
                    ["commands"], ["code"]):
                said += [line] if (line := one_line(element.get_text())) else []
        found[one_line(section.h2.get_text())] = said
    return found


def joined_so_far(grids: Sequence[Grid], columns: Sequence[Column]) -> Grid:
    """Return the table of these parts; only the first ones while others are still to come."""
    models = sum(column.named for column in columns)
    shown = sum(len(grid[0]) for grid in grids) - len(grids) * (len(columns) - models)
    return joined(grids, columns) if shown == models else grids[0]


# ---------------------------------------------------------------- the document


def paper_words(files: Mapping[str, str], report: Report) -> dict[str, Words]:
    """Return title -> words of each section of a document."""
    tables = {table.key: table for table in report.tables}
    found: dict[str, Words] = {}
    _, begin, rest = files["report.tex"].partition("\\section{")
    body = begin + rest.partition(r"\end{document}")[0]
    body = re.sub(r"\\begin\{align\*\}.*?\\end\{align\*\}", "", body, flags=re.DOTALL)
    said: Words = []
    for line in body.splitlines():
        if title := re.fullmatch(r"\\section\{(.*)\}", line):
            said = found[plain_tex(title[1])] = []
        elif key := re.fullmatch(r"\\input\{tables/(.*)\}", line):
            said += _paper_table(files[f"tables/{key[1]}.tex"], tables[key[1]])
        elif caption := re.fullmatch(r"\\(?:drawn|diagram)\{[a-z0-9.-]+\}\{(.*)\}", line):
            said.append(plain_tex(caption[1]))
        elif line.strip() and not re.fullmatch(_LAYOUT, line):
            text = plain_tex(re.sub(r"^\\item(?:\[\])? |^\\paragraph|^\\subsection\*|\\par$", "", line))
            said += [text] if text else []
    return found


_LAYOUT = r"\\(?:begin|end)\{points\}|\\appendix|\\Needspace\{\d+\\baselineskip\}"


def _paper_table(text: str, table: Table) -> tuple[str, Grid]:
    captions, parts = [], []
    for part in re.findall(r"\\begin\{longtable\}.*?\\end\{longtable\}", text, re.DOTALL):
        captions.append(plain_tex(re.findall(r"^\\caption\{(.*?)\}(?:\\label\{[^}]*\})?\\\\$", part, re.MULTILINE)[0]))
        heads = _cells(part.partition("\\toprule\n")[2].partition(" \\\\\n\\midrule")[0])
        rows: Grid = [heads]
        body = part.partition("\\endlastfoot\n")[2].partition("\\end{longtable}")[0]
        groups = [re.sub(r"^\\addlinespace\[3pt\]\n", "", group, flags=re.MULTILINE)
                  for group in body.split("\\midrule\n")]
        for group in groups:
            before = ""
            for row in re.findall(r"(.*?) \\\\\n", group, re.DOTALL):
                line, *below = row.split(" \\\\*\n")
                cells = _cells(line)
                for more in below:
                    if named := re.fullmatch(r"\\belowname\{\d+\}(.*)", more):
                        cells[0] += f" ({plain_tex(named[1])})"
                    else:
                        cells = [one_line(f"{cell} {end}") for cell, end in zip(cells, _cells(more), strict=True)]
                if table.grouped and not cells[0]:
                    cells[0] = before
                before = cells[0]
                rows.append(cells)
        parts.append(rows)
    assert set(captions) == {captions[0]}
    return captions[0], joined(parts, table.columns)


def _cells(line: str) -> list[str]:
    return [plain_tex(cell) for cell in re.split(r"(?<!\\)&", line)]


_OPEN, _CLOSED = "\ue000", "\ue001"
_PRINTED = {tex: character for character, tex in latex._TEX.items()} | {
    r"\{": _OPEN, r"\}": _CLOSED, r"\allowbreak{}": "", r"\textbackslash{}": "\ue002"}


def plain_tex(text: str) -> str:
    """Return what LaTeX prints, on one line; formulas stand between dollar signs."""
    formulas: list[str] = []

    def kept(match: re.Match[str]) -> str:
        formulas.append(match[1])
        return f"\ue003{len(formulas) - 1}\ue004"

    text = re.sub(r"\\\((.*?)\\\)", kept, text)
    text = re.sub("|".join(map(re.escape, sorted(_PRINTED, key=len, reverse=True))),
                  lambda match: _PRINTED[match[0]], text)
    text = re.sub(r"\\codepoint\{([0-9A-F]+)\}", lambda match: chr(int(match[1], 16)), text)
    text = re.sub(r"\\val\{[a-z0-9.-]+\}|\\href\{[^{}]*\}|\\color\{faint\}|"
                  r"\\(?:nointerval|scriptsize|footnotesize|ttfamily|textbf|textit|texttt)(?![a-z])", "", text)
    text = re.sub(r"\\interval\{\{([^{}]*)\}\}\{\{([^{}]*)\}\}", r"[\1, \2]", text)
    text = text.replace("{", "").replace("}", "").replace(_OPEN, "{").replace(_CLOSED, "}").replace("\ue002", "\\")
    return one_line(re.sub("\ue003(\\d+)\ue004", lambda match: f"${formulas[int(match[1])]}$", text))


# ---------------------------------------------------------------- Markdown


def markdown_words(text: str) -> dict[str, Words]:
    """Return title -> words of each section of a report in Markdown."""
    found: dict[str, Words] = {}
    said: Words = []
    grid: Grid = []
    for line in text.splitlines():
        if line.startswith("|"):
            if not grid:
                said.append(grid)
            if not re.fullmatch(r"\|(?: (?:--:|:--) \|)+", line):
                grid.append([plain_markdown(cell) for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
            continue
        grid = []
        if line.startswith("## "):
            said = found[plain_markdown(line[3:])] = []
        elif line.startswith("    "):
            said += [line.strip()] if line.strip() else []
        elif line.strip() and not line.startswith("$$"):
            said.append(plain_markdown(re.sub("^### |^- ", "", line)))
    return found


def plain_markdown(text: str) -> str:
    """Return what Markdown shows, on one line; formulas stand between dollar signs."""

    def shown(match: re.Match[str]) -> Any:
        return next(part for part in match.groups() if part is not None)

    text = re.sub(r"\\(.)|(\$.*?\$)|\[`([^`]*)`\]\(<[^>]*>\)|`([^`]*)`|(?:\*\*)()", shown, text)
    return one_line(html.unescape(text))
