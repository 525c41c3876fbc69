"""The document compiles: no error, no undefined reference, no box too full, whatever the names."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gru_bench.document.blocks import Paragraph
from gru_bench.document.numbers import Numbers
from gru_bench.document.report import Section
from gru_bench.report.render.files import write
from gru_bench.report.render.latex import tex
from tests.support.commands import ROOT, mentions
from tests.support.fake_store import (
    HOSTILE_NAMES,
    FakeStore,
    Studies,
    TestSet,
    add_study,
    hostile_studies,
    many_studies,
    three_models,
    with_validation,
)
from tests.support.homework_study import homework
from tests.support.pages import blocks, text
from tests.support.renderings import Built, column_of, without_drawing
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


def printed(folder: Path, name: str) -> str:
    """Return the text of a PDF, with words one space apart."""
    done = subprocess.run(["pdftotext", "-layout", f"{name}.pdf", "-"], cwd=folder, capture_output=True, text=True,
                          check=True)
    return " ".join(done.stdout.split())


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
    shown = printed(tmp_path, "report")
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


def test_the_document_of_the_docs_shows_numbers_by_their_keys_and_an_unknown_key_in_bold(tmp_path: Path) -> None:
    store = FakeStore()
    study = add_study(store, "smoke", {"scratch": 0.0, "bidirectional": 0.3}, seeds=2, test_set=TestSet.draw(100))
    report = build([with_validation(store, study)], store)
    with without_drawing():
        write(report, tmp_path / "out")
    (thesis,) = blocks(text(ROOT / "reports" / "README.md"), "latex")
    (tmp_path / "thesis.tex").write_text(thesis, encoding="utf-8")
    log = compiled(tmp_path, "thesis")
    assert re.findall(r"^(?:Overfull .*|.*[Uu]ndefined.*|.*Warning.*)$", log, re.MULTILINE) == []
    accuracy, average = (report.numbers[key] for key in (
        "smoke-bidirectional.accuracy", "smoke-bidirectional.average.accuracy"))
    low, high = average.ends
    mentions(printed(tmp_path, "thesis"), f"accuracy of {accuracy.text}", f"reaches {average.text}",
             f"[{low.text}, {high.text}]")
    (tmp_path / "stale.tex").write_text(thesis.replace("{smoke-bidirectional.accuracy}", "{old_key}"), encoding="utf-8")
    done = subprocess.run(["pdflatex", "-interaction=nonstopmode", "stale.tex"], cwd=tmp_path, capture_output=True,
                          check=False, timeout=120)
    assert done.returncode != 0
    assert b"No number has the key old_key" in done.stdout
    assert "accuracy of ??old_key??" in printed(tmp_path, "stale")


@pytest.mark.parametrize(("p", "shown"), [(0.24, "p = 0.24"), (0.0001, "p < 0.001")])
def test_a_p_value_has_its_relation_also_in_a_heading(p: float, shown: str, built: Built, tmp_path: Path) -> None:
    number = Numbers().on(()).add("x.p", p, "p")
    report = replace(built.report, sections=(Section("x", "X", (Paragraph((number,)),)),))
    (tmp_path / "numbers.tex").write_text(tex(report)["numbers.tex"], encoding="utf-8")
    (tmp_path / "one.tex").write_text(
        "\\documentclass{article}\n\\usepackage[T1]{fontenc}\n\\input{numbers}\n\\begin{document}\n"
        "\\tableofcontents\n\\section{Here \\grubenchp{x.p}}\n\\end{document}\n", encoding="utf-8")
    compiled(tmp_path, "one")
    assert printed(tmp_path, "one").count(shown) == 2
