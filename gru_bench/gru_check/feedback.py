"""Texts for students on what was found in their GRUs. Each needs no other page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from gru_bench.cli import check_folder
from gru_bench.data.files import check_writable
from gru_bench.gru_check.codes import KINDS
from gru_bench.gru_check.folder import NOT_CHECKED, Row, student_of

_BEGIN = "gru-check: "
"""How each text begins."""


def explained(code: str) -> list[str]:
    """Return the lines that explain a finding: why it matters, how to see it, what to do, and the equations."""
    kind = KINDS[code]
    return [f"Why: {kind.why}", f"How to see it: {kind.see}", f"What to do: {kind.remedy}", "",
            *(f"    {line}" for line in kind.equation.splitlines()), ""]


def feedback(rows: Sequence[Row]) -> str:
    """Return the text for a student, who has these rows."""
    return "\n".join(line for row in rows for line in _lines(row))


def _lines(row: Row) -> list[str]:
    lines = [f"{_BEGIN}{row.file}: {row.verdict}", "", *([f"Checked: {row.name}, {row.form}."] if row.name else [])]
    if row.verdict == NOT_CHECKED:
        return [*lines, f"Why: {row.note}", ""]
    lines += [f"Where: {row.line}: {row.statement}"] if row.line else []
    lines += [f"What was seen: {row.note}"] if row.note else []
    for code in filter(None, (*row.codes.split(", "), *row.convention.split(", "))):
        lines += ["", f"[{code}] {KINDS[code].meaning}", "", *explained(code)]
    return lines


def check_feedback(folder: Path, files: Iterable[str]) -> None:
    """Check that the texts on submissions can be written into a folder.

    Raises:
        UsageError: A file is in the way that this command has not written.
    """
    check_folder("--feedback", folder)
    for student in dict.fromkeys(map(student_of, files)):
        check_writable(folder / f"{student}.txt", "--feedback", "a folder of such texts", lambda path: path.read_text(
            encoding="utf-8", errors="replace").startswith(_BEGIN))


def write_feedback(folder: Path, rows: Iterable[Row]) -> int:
    """Write a text for each student into a folder, named by the student. Return the number of texts."""
    by_student: dict[str, list[Row]] = {}
    for row in rows:
        by_student.setdefault(row.student, []).append(row)
    folder.mkdir(parents=True, exist_ok=True)
    for student, own in by_student.items():
        (folder / f"{student}.txt").write_text(feedback(own), encoding="utf-8")
    return len(by_student)
