"""Writes a report into a folder: page, document, Markdown, numbers, tables and figures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gru_bench.data.files import check_writable
from gru_bench.document.report import Report
from gru_bench.platforms import replacing
from gru_bench.report.render.html import html
from gru_bench.report.render.latex import MACROS, tex
from gru_bench.report.render.markdown import markdown
from gru_bench.report.render.record import NAME, is_report, recorded


def write(report: Report, folder: Path, *, option: str = "--out", inputs: Iterable[Path] = ()) -> list[Path]:
    """Write all files of a report and return their paths, each replaced as a whole.

    Args:
        report: The report.
        folder: The folder, which is made where it does not exist.
        option: What names the folder, for messages.
        inputs: The files that the report is on.

    Raises:
        UsageError: A file of the report would replace one of `inputs`, or a file in a folder without a report.
    """
    known = is_report(folder)
    inputs = list(inputs)
    drawn = [f"figures/{figure.name}.{kind}" for figure in report.figures for kind in ("pdf", "csv")]
    tables = [f"tables/{table.key}.tex" for table in report.tables]
    others = [f"report.{ending}" for ending in ("html", "tex", "md")]
    for name in (NAME, MACROS, *others, *tables, *drawn):
        check_writable(folder / name, option, "the folder of a report", lambda path: known, inputs=inputs)
    texts = {"report.html": html(report), **tex(report), "report.md": markdown(report)}
    files = {name: text.encode() for name, text in texts.items()}
    for figure in report.figures:
        files[f"figures/{figure.name}.pdf"] = figure.pdf
        files[f"figures/{figure.name}.csv"] = figure.values.csv().encode()
    replace_file(folder / NAME, recorded(report, files))  # the numbers first: they show what folder it is
    return [*(replace_file(folder / name, content) for name, content in files.items()), folder / NAME]


def replace_file(path: Path, content: bytes) -> Path:
    """Replace a file as a whole and return its path."""
    with replacing(path) as file:
        file.write(content)
    return path
