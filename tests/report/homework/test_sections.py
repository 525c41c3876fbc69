"""A study of the homework's protocol tells its story from its own numbers, with what was published apart."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from markupsafe import escape

from gru_bench.report import verify
from gru_bench.report.build import build
from gru_bench.report.document.blocks import numbers_in
from gru_bench.report.render import record
from gru_bench.report.render.files import write
from tests.support.fake_store import FakeStore, three_models
from tests.support.homework_study import Forms, Made, add_homework, homework
from tests.support.renderings import html_numbers, said, section_of, soup_of, table_of, tex_numbers, words_of
from tests.support.values import present

OURS = ("introduction", "theory", "protocol", "training-loss", "run-times", "ablations", "discussion")


def test_only_a_study_of_the_protocol_has_the_homeworks_sections(made: Made) -> None:
    names = [section.name for section in made[2].sections]
    assert [name for name in names if name in OURS] == list(OURS)
    assert names.index("protocol") < names.index("evaluation") < names.index("training-loss")
    store, studies = three_models()
    others = build(studies, store)
    assert not {section.name for section in others.sections} & set(OURS)


def test_no_two_landmarks_share_a_name(forms: Forms) -> None:
    soup = soup_of(forms[0])
    sections = [soup.find(id=part["aria-labelledby"]).get_text() for part in soup.find_all("section")]
    regions = [part["aria-label"] for part in soup.find_all(role="region")]
    assert len({*sections, *regions}) == len(sections) + len(regions)


def test_page_document_and_markdown_show_the_same_numbers(made: Made, forms: Forms) -> None:
    report = made[2]
    page, files, text = forms
    on_page, on_paper = html_numbers(page), tex_numbers(files)
    assert {key: shown for key, (shown, _) in on_page.items()} == on_paper
    ours = [number for name in OURS for number in numbers_in(section_of(report, name))]
    assert len(ours) > 100
    for number in ours:
        for shown in (number,) if number.key in on_page else number.ends:  # an interval may stand without its number
            assert on_page[shown.key][0] == shown.text
            assert shown.text.replace("<", "&lt;") in text


def test_two_studies_of_the_protocol_are_told_apart() -> None:
    store = FakeStore()
    add_homework(store, name="first")
    add_homework(store, name="second")
    report = build(store.by_experiment["movie-reviews"], store)
    assert [said(sentence)[:25] for sentence in report.summary[-2:]] == ["In the runs of first, by ",
                                                                           "In the runs of second, by"]
    assert table_of(report, "of-second-ablations").title == "Ablations of the protocol, second"
    assert {"of-first.ablation.lr.difference", "of-second.ablation.lr.difference"} <= set(report.numbers())


def test_formulas_are_set_in_each_form(forms: Forms) -> None:
    page, files, text = forms
    soup = soup_of(page)
    for formula in soup.find_all("math"):
        assert "\\" not in formula.get_text()
        ElementTree.fromstring(str(formula))
    assert len(soup.find_all("math")) == len(re.findall(r"\$[^$]+\$", text.replace("$$", "$"))) + 2 * len(
        soup.select(".equations .left")) - len(soup.select(".equations .left"))
    document = "".join(files.values())
    for formula in (r"\odot n_t", r"\tag{4}", r"\operatorname{diag}(z_t)", r"\(W_{hn}\)"):
        assert formula in document
    assert "$W_{hn}$" in text


@pytest.mark.service
def test_what_was_changed_is_found_and_nothing_else(tmp_path: Path, made: Made) -> None:
    store, study, report = made
    one = FakeStore(by_experiment={"reviews": [study]}, metrics=store.metrics, predicted=store.predicted)
    write(report, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    key = "of-homework.ablation.pooling.difference"
    number = report.numbers()[key]
    changed = page.replace(
        f'data-key="{key}" title="{escape(number.source)}">{number.text}<', f'data-key="{key}">+9.9<')
    assert changed != page
    drawing = changed.index('data-name="gru-cell"')
    stroke = changed.index('d="M ', drawing)
    (tmp_path / "report.html").write_text(changed[:stroke] + 'd="M 9' + changed[stroke + 5:], encoding="utf-8")
    found = verify.differences(tmp_path, record.read(tmp_path), one)
    assert found == [
        f"report.html: {key} is +9.9, but the runs give {number.text}",
        "report.html: the figure gru-cell is not what gru-bench brings",
    ]


def test_numbers_of_the_story_rest_on_runs(made: Made) -> None:
    for number in made[2].numbers().values():
        if number.key.startswith("of-homework.") and not number.key.endswith(".margin"):
            assert number.runs


def test_a_homework_under_way_tells_its_story_as_far_as_it_goes() -> None:
    store, (whole,) = homework()
    params = {**whole.run.params, "protocol": "homework", "contents": "ablations,timings"}
    study = replace(whole, run=replace(whole.run, params=params), summary=None, ablations=())
    store.artifacts[study.run.run_id, "data.json"] = json.dumps(asdict(present(whole.summary).data))
    baselines = [asdict(baseline) for baseline in present(whole.summary).baselines]
    store.artifacts[study.run.run_id, "baselines.json"] = json.dumps(baselines)
    store.by_experiment["movie-reviews"] = [study]
    report = build([study], store)
    assert "5 seeds of each model" in words_of(report, "introduction")
    assert "The whole study is not finished." in words_of(report, "run-times")
    assert "There are no ablations." in words_of(report, "ablations")
    assert "the claim that the bidirectional GRU is better" in words_of(report, "discussion")
    assert "What do the networks add?" in words_of(report, "discussion")
