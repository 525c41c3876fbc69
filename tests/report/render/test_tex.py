"""The document compiles: no error, no undefined reference, no box too full, whatever the names."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gru_bench.errors import RunError
from gru_bench.report.render import pdf as typeset
from gru_bench.report.render.files import write
from tests.support.fake_store import (
    HOSTILE_NAMES,
    FakeStore,
    Studies,
    TestSet,
    add_study,
    hostile_studies,
    many_studies,
    three_models,
)
from tests.support.homework_study import homework
from tests.support.renderings import column_of, without_drawing
from tests.support.reports import build

pytestmark = [
    pytest.mark.service,
    pytest.mark.usefixtures("drawn"),
    pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed"),
]


def compiled(folder: Path, name: str = "report") -> str:
    """Compile three times, so that references settle, and return the last log. Only the last one makes a PDF."""
    for form in ("-draftmode", "-draftmode", "-output-format=pdf"):
        done = subprocess.run(
            ["pdflatex", form, "-interaction=nonstopmode", "-halt-on-error", f"{name}.tex"],
            cwd=folder, capture_output=True, check=False, timeout=120,
        )
        log = (folder / f"{name}.log").read_text(encoding="latin1")
        assert done.returncode == 0, re.findall(r"^!.*\n.*\n.*", log, re.MULTILINE)
    return log


def many_models() -> Studies:
    return many_studies(14, TestSet.draw(1200, [f"category {i}" for i in range(40)]), skill=0.02, seeds=2)


def one_model() -> Studies:
    store = FakeStore()
    study = add_study(store, "plain", {"scratch": 0.0}, seeds=1, test_set=TestSet.draw(300, [""]), search=False)
    return store, [study]


def all_right() -> Studies:
    """Three digits before each point: the widest numbers of accuracy that a table can hold."""
    store = FakeStore()
    models = dict.fromkeys(("scratch", "torch", "bidirectional"), 20.0)
    study = add_study(store, "all right", models, seeds=10, test_set=TestSet.draw(30))
    return store, [study]


@pytest.mark.parametrize("studies", [hostile_studies, many_models, all_right, homework])
def test_it_compiles_cleanly(studies: Any, tmp_path: Path) -> None:
    store, logged = studies()
    report = build(logged, store, experiment=HOSTILE_NAMES[0] if studies is hostile_studies else "movie-reviews")
    write(report, tmp_path)
    log = compiled(tmp_path)
    assert re.findall(r"^(?:Overfull .*|.*[Uu]ndefined.*|.*Warning.*)$", log, re.MULTILINE) == []
    shown = subprocess.run(
        ["pdftotext", "-layout", "report.pdf", "-"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.replace("\u2212", "-")
    for accuracy in column_of(report, "results", "Accuracy"):
        assert accuracy.text in shown
    if studies is hostile_studies:
        assert "<script>alert(1)</script>" in re.sub(r"\s", "", shown)
        assert "root:" not in shown


def test_tables_can_be_included_elsewhere(tmp_path: Path) -> None:
    store, logged = three_models()
    report = build(logged, store)
    with without_drawing():
        write(report, tmp_path)
    inputs = "\n".join(rf"\input{{tables/{table.key}}}" for table in report.tables)
    (tmp_path / "paper.tex").write_text(
        "\\documentclass{article}\n\\usepackage[utf8]{inputenc}\\usepackage[T1]{fontenc}\\usepackage{textcomp}\n"
        "\\usepackage[margin=2cm]{geometry}\\usepackage{array,booktabs,longtable,xcolor}\n"
        f"\\begin{{document}}\n{inputs}\n\\end{{document}}\n"
    , encoding="utf-8")
    compiled(tmp_path, "paper")


def test_the_command_compiles_and_tidies_up(tmp_path: Path) -> None:
    store, logged = one_model()
    written = {path.name for path in write(build(logged, store), tmp_path) if path.parent == tmp_path}
    assert typeset.pdf(tmp_path).read_bytes().startswith(b"%PDF")
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == written | {"report.pdf"}
    text = subprocess.run(["pdftotext", "report.pdf", "-"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "??" not in text.stdout


def test_the_command_shows_where_tex_stopped(tmp_path: Path) -> None:
    (tmp_path / "report.tex").write_text("\\documentclass{article}\n\\begin{document}\n\\oops\n\\end{document}\n")
    with pytest.raises(RunError, match=r"report\.tex:3: Undefined control sequence"):
        typeset.pdf(tmp_path)
    assert (tmp_path / "report.log").is_file()


def test_the_command_runs_no_other_program(tmp_path: Path) -> None:
    (tmp_path / "report.tex").write_text(
        "\\documentclass{article}\n\\begin{document}\nx\\immediate\\write18{touch escaped}\n\\end{document}\n"
    , encoding="utf-8")
    typeset.pdf(tmp_path)
    assert not (tmp_path / "escaped").exists()
