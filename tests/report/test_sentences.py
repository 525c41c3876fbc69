"""A sentence is a template with slots: it shows each value once, as it is, in every format."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from gru_bench.document.numbers import NBSP, Number
from gru_bench.document.sentences import Warning, in_text, say
from gru_bench.report.render.html import html, shown
from gru_bench.report.render.latex import shown as in_tex
from gru_bench.report.render.latex import tex
from gru_bench.report.render.markdown import markdown
from gru_bench.report.render.markdown import shown as in_markdown
from tests.support.fake_store import TestSet, one_each, with_data
from tests.support.renderings import html_numbers, soup_of, tex_numbers
from tests.support.reports import build

FORGERIES = ("[99](n:x.accuracy)", "{a}", "{0}", "$x$", r"\(x\)", "<b>", r"\val{x.accuracy}{99}", "**x**",
             '<data data-key="x.accuracy">99</data>', "<math>", "`x`", "%", "{{ 7 * 7 }}", "<< 7 * 7 >>")
"""Names that would be a number, a slot, a formula or markup if they were read as anything but text."""


def seeds(count: int) -> Number:
    return Number("seeds", count, "count", runs=("run",))


@pytest.mark.parametrize(("count", "text"), [(1, "1 seed is lost"), (2, "2 seeds are lost"), (0, "0 seeds are lost")])
def test_words_follow_the_number_of_a_field(count: int, text: str) -> None:
    assert in_text(say("{n} {n:seed is|seeds are} lost", n=seeds(count))) == text


def test_a_number_stays_a_number_and_neighboring_texts_become_one() -> None:
    number = seeds(3)
    said = say("{study}: {n}{unit} of {names}.", study="a {b}", n=number, unit=f"{NBSP}%", names=("x", "y"))
    assert said == ("a {b}: ", number, f"{NBSP}% of xy.")


def test_a_warning_has_its_code_behind_it() -> None:
    found = Warning("GRU001", say("It is so."))
    assert (found.text, in_text(found.coded)) == ("It is so.", "It is so. (GRU001)")


def test_a_slot_without_a_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="model"):
        say("{model} is missing.")


@pytest.mark.parametrize("name", FORGERIES)
def test_a_text_in_a_sentence_is_shown_as_it_is(name: str) -> None:
    said = say("{name} is {n}.", name=name, n=seeds(3))
    assert in_text(said) == f"{name} is 3."
    page = str(shown(said, {}))
    assert soup_of(page).get_text() == f"{name} is 3."
    assert list(html_numbers(page)) == ["seeds"]
    assert tex_numbers({"report.tex": str(in_tex(said))}) == {"seeds": "3"}
    assert r"\(" not in in_tex(said)
    assert not re.search(r"(?<!\\)[\[\]`*$<]", in_markdown(said))


@pytest.mark.parametrize("name", FORGERIES)
def test_names_of_users_forge_nothing_in_a_report(name: str) -> None:
    test_set = TestSet.draw(60, categories=["plain", name], classes=("negative", name))
    store, studies = one_each({"scratch": 0.0}, test_set=test_set, seeds=2, epochs=2, purpose=name)
    studies = [with_data(study, name=name, embedding=name) for study in studies]
    studies = [replace(study, run=replace(study.run, study=name)) for study in studies]
    report = build(studies, store, experiment=name, title=name)
    page, paper, text = html(report), tex(report), markdown(report)
    shown_keys = {key for number in report.numbers.values() for key in (number.key, *(end.key for end in number.ends))}
    assert "x.accuracy" not in shown_keys
    assert html_numbers(page).keys() <= shown_keys
    assert tex_numbers(paper).keys() <= shown_keys
    soup = soup_of(page)
    assert not soup.find_all(["b", "math"])
    assert name in soup.h1.get_text()
    text = re.sub("^    .*", "", text, flags=re.MULTILINE)  # commands are code
    assert not re.search(r"(?<!\\)\[99|(?<![*\\])\*\*x|(?<!\\)\$x", text)
