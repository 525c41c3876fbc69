"""Writes a report into a folder: page, document, Markdown, numbers, tables and figures."""

from __future__ import annotations

from pathlib import Path

from gru_bench.platforms import replacing
from gru_bench.report.document.report import Report
from gru_bench.report.render.drawing import draw
from gru_bench.report.render.html import html
from gru_bench.report.render.latex import tex
from gru_bench.report.render.markdown import markdown
from gru_bench.report.render.record import NAME, recorded


def write(report: Report, folder: Path) -> list[Path]:
    """Write all files of a report and return their paths, each replaced as a whole.

    Args:
        report: The report.
        folder: The folder, which is made where it does not exist.
    """
    draw(report.figures)
    files = {name: text.encode() for name, text in texts(report).items()}
    files[NAME] = recorded(report).encode()
    for figure in report.figures:
        files[f"figures/{figure.name}.pdf"] = figure.pdf
        files[f"figures/{figure.name}.csv"] = figure.values.csv().encode()
    return [replace_file(folder / name, content) for name, content in files.items()]


def texts(report: Report, drawings: bool = True) -> dict[str, str]:
    """Return page, document, tables and Markdown of a report by name; without `drawings` the page has none."""
    return {"report.html": html(report, drawings), **tex(report), "report.md": markdown(report)}


def replace_file(path: Path, content: bytes) -> Path:
    """Replace a file as a whole and return its path."""
    with replacing(path) as file:
        file.write(content)
    return path
