"""Whatever a name holds, the document prints it and runs none of it; short tables stay on one page."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gru_bench.document.numbers import Number
from gru_bench.report.render import latex
from tests.support.renderings import Rendered


def test_no_name_becomes_a_command(hostile: Rendered) -> None:
    _, _, files = hostile
    whole = "\n".join(files.values())
    assert r"\input{/etc" not in whole
    assert r"\textbackslash{}input\{" in whole
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", whole)
    # What remains outside ASCII are letters of Latin scripts.
    assert set(re.findall(r"[^\x00-\x7f]", whole)) <= set("ïé")


SPECIAL = "\\{}$&#^_~%\"'`<>|[]*-,"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\\", r"\textbackslash{}"),
        ("{", r"\{"),
        ("}", r"\}"),
        ("$", r"\$"),
        ("&", r"\&"),
        ("#", r"\#"),
        ("^", r"\textasciicircum{}"),
        ("_", r"\_"),
        ("~", r"\textasciitilde{}"),
        ("%", r"\%"),
        ("<", r"\ensuremath{<}"),
        ("|", r"\textbar{}"),
        ('"', r"\textquotedbl{}"),
        ("--", "-{}-"),
        (",, -", ",{}, -"),
        ("[x]", "{[}x]"),
        ("*", "{*}"),
        ("naïve", "naïve"),
        ("nai\u0308ve", "naïve"),
        ("µ ω −", r"\codepoint{00B5} \ensuremath{\omega} \ensuremath{-}"),
        ("中", r"\codepoint{4E2D}"),
        ("😀", r"\codepoint{1F600}"),
        ("\u2028", " "),
        ("a b", "a b"),
        ("100\u00a0%", r"100~\%"),
    ],
)
def test_latex_escapes(text: str, expected: str) -> None:
    assert latex.escaped(text) == expected


@settings(max_examples=40)
@given(st.text(alphabet=st.one_of(st.sampled_from(SPECIAL), st.characters(exclude_categories=["Cs"]))))
def test_latex_leaves_no_special_character_bare(text: str) -> None:
    escaped = str(latex.escaped(text))
    known = (r"\\(?:textbackslash|textasciicircum|textasciitilde|textbar|textquotedbl|textquotesingle|textasciigrave|"
             r"allowbreak|textendash|textemdash|textquotedblleft|textquotedblright|textquoteleft|textquoteright|dots|"
             r"textperiodcentered|textdegree|texteuro|guillemotleft|guillemotright)\{\}|\\codepoint\{[0-9A-F]+\}|"
             r"\\ensuremath\{(?:\\[A-Za-z]+|[-<>])\}|\\[{}$&#_%]|\{[*\[]\}|\{\}")
    rest = re.sub(known, "", escaped)
    assert not set(rest) & set("\\{}$&#^_%\"'`<>|[*")
    assert "~" not in rest.replace("~", "", text.count("\u00a0"))


def test_long_words_can_be_broken() -> None:
    assert r"\allowbreak{}" in latex.escaped("x" * 40)
    assert r"\allowbreak{}" in latex.escaped("a_long_name_of_a_file.csv")
    ordinary = "an ordinary sentence: of words, well-known, and/or not"
    assert latex.escaped(ordinary) == ordinary


def test_templates_cannot_print_text_unescaped() -> None:
    assert latex.shown("100 % & more") == r"100 \% \& more"
    assert latex.shown(latex.Tex(r"\LaTeX")) == r"\LaTeX"
    assert latex.shown(("a_b ", Number("k", 0.5, "percent"))) == r"a\_b \val{k}{50.0}"
    with pytest.raises(ValueError, match="a key must contain a-z"):
        latex.shown(Number("k}{", 0.5, "percent"))


def test_addresses_are_encoded() -> None:
    url = latex._address("http://host/#/a b%c&d_{e}~\\^é")
    assert url == r"http://host/\#/a\%20b\%c\&d_\%7Be\%7D~\%5C\%5E\%C3\%A9".replace("~", "~")


def test_a_short_table_stays_on_one_page(three: Rendered) -> None:
    _, _, files = three
    for name in ("results", "comparisons", "categories-1", "lengths-1"):
        table = files[f"tables/{name}.tex"]
        (room,) = re.findall(r"^\\Needspace\{(\d+)\\baselineskip\}$", table, re.MULTILINE)
        assert int(room) > table[table.index(r"\endlastfoot"):].count(r"\\")
