"""Compiling the document: which program is called and how, and what is said where none is there or it stops."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from gru_bench import platforms
from gru_bench.errors import IncompleteError, RunError
from gru_bench.report.render.pdf import first_error, pdf

FAILED = r"""This is pdfTeX, Version 3.14
(./report.tex
LaTeX2e <2024-11-01>

./report.tex:12: Undefined control sequence.
l.12 \oops
          {x}
The control sequence at the end of the top line
./report.tex:13: Missing $ inserted.
"""


pytestmark = pytest.mark.skipif(platforms.WINDOWS, reason="Windows runs no scripts of sh")


def program(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho {name} \"$@\" >> '{folder}/calls'\n{body}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr("shutil.which", lambda name: str(folder / name) if (folder / name).exists() else None)
    return folder


@pytest.fixture
def report(tmp_path: Path) -> Path:
    folder = tmp_path / "report"
    folder.mkdir()
    return folder


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text(encoding="utf-8").splitlines()


def test_without_a_tex_it_says_how_to_get_one(bin_folder: Path, report: Path) -> None:
    with pytest.raises(IncompleteError, match=r"was not found; all other files in .* are written: .*texlive") as hit:
        pdf(report)
    assert hit.value.exit_code == 3


def test_pdflatex_runs_until_references_settle(bin_folder: Path, report: Path) -> None:
    program(bin_folder, "pdflatex", f"touch report.pdf; [ $(wc -l < '{bin_folder}/calls') -lt 3 ] && "
            "echo 'Table widths have changed. Rerun LaTeX.' > report.log || echo fine > report.log")
    assert pdf(report) == report / "report.pdf"
    assert len(calls(bin_folder)) == 3
    assert all("-no-shell-escape" in call for call in calls(bin_folder))


def test_pdflatex_runs_twice_at_least_and_not_for_ever(bin_folder: Path, report: Path) -> None:
    program(bin_folder, "pdflatex", "touch report.pdf; echo '(/texmf/rerunfilecheck.sty)' > report.log")
    pdf(report)
    assert len(calls(bin_folder)) == 2
    program(bin_folder, "pdflatex", "touch report.pdf; echo Rerun to get outlines right > report.log")
    pdf(report)
    assert len(calls(bin_folder)) == 2 + 4


def test_the_first_error_is_shown(bin_folder: Path, report: Path) -> None:
    (bin_folder / "failed").write_text(FAILED, encoding="utf-8")
    program(bin_folder, "pdflatex", f"cat '{bin_folder}/failed' > report.log; exit 1")
    with pytest.raises(RunError, match=r"report\.tex: \./report\.tex:12: Undefined control sequence\. See") as hit:
        pdf(report)
    assert str(report / "report.log") in str(hit.value)


def test_the_log_of_an_earlier_run_is_not_taken_for_this_one(bin_folder: Path, report: Path) -> None:
    (report / "report.log").write_text(FAILED, encoding="utf-8")
    program(bin_folder, "pdflatex", "echo it will not start >&2; exit 1")
    with pytest.raises(RunError, match="it will not start"):
        pdf(report)


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("fine\n", ""),
        ("x\n! Undefined control sequence.\nl.3 \\a\n", "Undefined control sequence"),
        ("! LaTeX Error: File `a.sty' not found.\n\nType X to quit\n", "LaTeX Error: File `a.sty' not found"),
        (f"{'./tables/data.tex:1: '.ljust(79, 'a')}\nbc.\nl.1 x\n", "./tables/data.tex:1: ".ljust(79, "a") + "bc"),
        (FAILED, "./report.tex:12: Undefined control sequence"),
    ],
)
def test_first_error(log: Any, expected: str) -> None:
    assert first_error(log) == expected
