"""Compiles `report.tex` to `report.pdf` with the installed TeX."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from gru_bench.errors import IncompleteError, RunError
from gru_bench.platforms import remove

INSTALL = (
    "install one (Debian, Ubuntu: apt install texlive-latex-extra texlive-fonts-recommended; "
    "macOS: brew install --cask mactex-no-gui; Windows: https://miktex.org), or compile report.tex elsewhere"
)
OPTIONS = ("-interaction=nonstopmode", "-halt-on-error", "-file-line-error", "-no-shell-escape")
LEFTOVERS = ("aux", "log", "out")
PASSES = 4
"""Most runs of pdfLaTeX: a long table may take three until its columns are stable."""
PATIENCE = 300
"""Most seconds that TeX may take."""


def pdf(folder: Path) -> Path:
    """Compile the document in a folder until its references are stable, and return the PDF. No other program is run.

    Args:
        folder: Folder with `report.tex`, its tables and its figures.

    Raises:
        IncompleteError: if no TeX is found.
        RunError: if TeX fails; the message holds its first error.
    """
    latex = shutil.which("pdflatex")
    if latex is None:
        raise IncompleteError(f"--pdf needs TeX (pdflatex), which was not found; all other files in {folder} are "
                              f"written: {INSTALL}")
    log = folder / "report.log"
    remove(log)
    for turn in range(1, PASSES + 1):
        done = _run([latex, *OPTIONS, "report.tex"], folder)
        if done.returncode != 0 or (turn > 1 and not re.search("Rerun (?:LaTeX|to get)", _text(log))):
            break
    if done.returncode != 0 or not (folder / "report.pdf").is_file():
        said = first_error(_text(log)) or (done.stdout + done.stderr).strip().rpartition("\n")[2] or "no reason given"
        raise RunError(f"TeX failed to compile report.tex: {said}. See {log}")
    for ending in LEFTOVERS:
        remove(folder / f"report.{ending}")
    return folder / "report.pdf"


def first_error(log: str) -> str:
    """Return the first error of a TeX log on one line; empty where there is none.

    Args:
        log: Text of a .log file, whose lines break after 79 characters.
    """
    found = re.search(r"^(?:! |\S*?\.(?:tex|sty|cls):\d+: )[^\n]*(?:\n(?!\n)[^\n]*)?", log, re.MULTILINE)
    if found is None:
        return ""
    first, _, second = found[0].partition("\n")
    return (first + second if len(first) == 79 else first).removeprefix("! ").rstrip(". ")


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, cwd=folder, capture_output=True, encoding="utf-8", errors="replace", check=False,
            timeout=PATIENCE, stdin=subprocess.DEVNULL, env=os.environ | {"max_print_line": "1000"},
        )
    except subprocess.TimeoutExpired as error:
        raise RunError(f"TeX did not finish within {PATIENCE} s: run {command[0]} by hand") from error


def _text(log: Path) -> str:
    return log.read_text(encoding="latin1") if log.is_file() else ""
