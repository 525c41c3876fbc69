"""Readers of a report: the numbers and words that its sections, its sentences, its page and its document show."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from bs4 import BeautifulSoup

from gru_bench.document.blocks import Bullets, Details, Heading, Paragraph, Table, numbers_in, parts_in
from gru_bench.document.figure import Figure
from gru_bench.document.numbers import MISSING
from gru_bench.document.report import Report, Section
from gru_bench.document.sentences import Sentence, in_text
from gru_bench.document.style import theme
from gru_bench.tracking import LoggedStudy
from tests.support.fake_store import FakeStore


class Built(NamedTuple):
    """A report with the store and the studies that it was computed from."""

    store: FakeStore
    studies: list[LoggedStudy]
    report: Report


class Rendered(NamedTuple):
    """A report with its page and the files of its LaTeX document: path -> content."""

    report: Report
    page: str
    files: dict[str, str]


class Written(NamedTuple):
    """A store, and the folder of the report that was written from it."""

    store: FakeStore
    folder: Path
    report: Report


@contextmanager
def without_drawing() -> Iterator[None]:
    """Show a digest of its values in place of each figure: other values still give another figure."""

    def digest(figure: Figure) -> str:
        return f"values {sha256(figure.values.csv().encode()).hexdigest()}"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "svg", property(lambda figure: f"<svg>{digest(figure)}</svg>"))
        patch.setattr(Figure, "pdf", property(lambda figure: f"%PDF-1.4\n{digest(figure)}\n".encode()))
        yield


def section_of(report: Report, name: str) -> Section:
    """Return a section of a report."""
    return next(section for section in report.sections if section.name == name)


def table_of(report: Report, key: str) -> Any:
    """Return the table that has this key; what a cell of it holds, its test knows."""
    return next(block for section in report.sections for block in parts_in(section.blocks)
                if isinstance(block, Table) and block.key == key)


def column_of(report: Report, key: str, heading: str) -> list[Any]:
    """Return the cells of a column of a table."""
    table = table_of(report, key)
    place = [column.heading for column in table.columns].index(heading)
    return [row[place] for row in table.rows]


def number_in(cell: Any) -> Any:
    """Return the first number of a cell, whatever stands below it."""
    return next(numbers_in(cell))


def figure_of(report: Report, name: str) -> Any:
    """Return a figure of a report by its name."""
    return next(block for section in report.sections for block in parts_in(section.blocks)
                if isinstance(block, Figure) and block.name == name)


def drawing_of(figure: Figure) -> Any:
    """Return a figure as matplotlib's object, laid out."""
    with theme():
        drawn = figure.draw(figure.values.frame())
        drawn.draw_without_rendering()
    return drawn


def curves_in(axes: Any) -> list[list[tuple[float, float]]]:
    """Return the points of each curve of axes, in the order in which they were drawn."""
    return [[(float(x), float(y)) for x, y in line.get_xydata()] for line in axes.lines if line not in marks_in(axes)]


def marks_in(axes: Any) -> list[Any]:
    """Return the marks without a line of axes, those of a model together, in the order in which they were drawn."""
    return [line for line in axes.lines if line.get_linestyle() == "None" and len(line.get_xydata())]


def words_of(report: Report, name: str) -> str:
    """Return all the words of a section but for its tables and figures, a paragraph or an item a line."""
    parts = []
    for block in parts_in(section_of(report, name).blocks):
        match block:
            case Heading(text):
                parts.append(text)
            case Paragraph(text, lead):
                parts.append(f"{lead} {said(text)}".strip())
            case Bullets(items):
                parts += [f"{lead} {said(text)}".strip() for lead, text in items]
            case Details(summary):
                parts.append(summary)
    return "\n".join(parts)


def said(sentence: Sentence) -> str:
    """Return a sentence as plain text, with its numbers as they are shown."""
    return in_text(sentence)


def all_said(sentences: Iterable[Sentence]) -> str:
    """Return sentences as plain text, one a line."""
    return "\n".join(said(sentence) for sentence in sentences)


@lru_cache(maxsize=8)
def soup_of(page: str) -> Any:
    """Return a page as BeautifulSoup reads it, the same each time: no one may change it.

    It has no type, since a search of bs4's may find nothing.
    """
    return BeautifulSoup(page, "html.parser")


def html_numbers(page: str) -> dict[str, tuple[str, str]]:
    """Return key -> (text, value) of the numbers on a page; a key shown twice must read the same."""
    found: dict[str, tuple[str, str]] = {}
    for element in soup_of(page).find_all("data"):
        shown = (element.get_text(), str(element["value"]))
        assert found.setdefault(str(element["data-key"]), shown) == shown
    return found


def tex_numbers(files: Mapping[str, str]) -> dict[str, str]:
    r"""Return key -> text of the numbers in a LaTeX document's files; a key shown twice must read the same.

    A number stands there as `\val{key}{text}`. Its text is returned as the page shows it.
    """
    found: dict[str, str] = {}
    for text in files.values():
        for key, shown in re.findall(r"\\val\{([a-z0-9.-]+)\}\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}", text):
            plain = shown.replace(r"\ensuremath{-}", "−").replace(r"\ensuremath{<}", "<")
            plain = plain.replace(r"\textemdash{}", MISSING).replace("{,}", ",").replace(r"\allowbreak{}", "")
            assert found.setdefault(key, plain) == plain
    return found


def visible_text(page: str) -> str:
    """Return what a page says beside its numbers, its code and its figures."""
    soup = BeautifulSoup(page, "html.parser")
    for element in soup.find_all(["style", "svg", "data", "code", "title", "script"]):
        element.decompose()
    return soup.get_text(" ")
