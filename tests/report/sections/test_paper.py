"""The paragraph for a paper: all that it says comes from the report, in prose and by keys."""

from __future__ import annotations

import re
from pathlib import Path

from gru_bench.report.document.blocks import Paragraph
from gru_bench.report.render.latex import tex
from gru_bench.report.sections.paper import CITED
from gru_bench.resources import resource
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study, three_models
from tests.support.renderings import said, section_of
from tests.support.reports import build


def test_the_paragraph_says_what_was_compared_on_what_and_what_was_found() -> None:
    store, studies = three_models(test_set=TestSet.draw(600), seeds=3)
    report = build(studies, store)
    paragraph, = section_of(report, "paper").blocks
    assert isinstance(paragraph, Paragraph)
    text = said(paragraph.text)
    mentions(text, "Scratch GRU, Torch GRU and Bidirectional GRU with 3 seeds each, and a linear model, on 600 test",
             *(pair.sentence for pair in report.findings.pairs[:3]), "over 3 pairs of trained models",
             "over 3 pairs with a linear model (Holm 1979)")


def test_every_number_of_the_file_for_a_paper_has_a_macro_and_every_method_an_entry() -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0, "scratch": 0.4}, seeds=10, test_set=TestSet.draw(600))
    report = build([study], store)
    files = tex(report)
    paragraph = files["paper.tex"].partition("\n")[2]
    keys = re.findall(r"\\grubench\{([^}]*)\}", paragraph)
    assert keys
    for key in keys:
        assert rf"\grubench@set{{{key}}}" in files["numbers.tex"]
    assert {"holm1979", "schuirmann1987"} <= {
        key for found in re.findall(r"\\cite\{([^}]*)\}", paragraph) for key in found.split(",")}
    assert re.search(r"(?<!\\grubench)\d", re.sub(r"\\(grubenchp?|cite)\{[^}]*\}|95~|80~|90~", "", paragraph)) is None


def test_each_method_has_an_entry_of_its_own() -> None:
    text = Path(str(resource("templates"))).joinpath("paper.bib").read_text("utf-8")
    assert re.findall(r"^@article\{(\w+),", text, re.MULTILINE) == list(CITED.values())


def test_one_model_has_no_paragraph() -> None:
    store = FakeStore()
    study = add_study(store, "alone", {"torch": 0.0}, test_set=TestSet.draw(200), finished=False)
    assert "paper" not in {section.name for section in build([study], store).sections}
