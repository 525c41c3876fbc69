"""A statement is a template with fields: its sentence shows each field once, in its slot."""

from __future__ import annotations

import pytest

from gru_bench.report.document.numbers import NBSP, Number
from gru_bench.report.document.sentences import in_text, say
from gru_bench.report.evidence.gaps import SENTENCES, gap


def seeds(count: int) -> Number:
    return Number("seeds", count, "count", ("run",))


@pytest.mark.parametrize(("count", "text"), [(1, "1 seed is lost"), (2, "2 seeds are lost"), (0, "0 seeds are lost")])
def test_words_follow_the_number_of_a_field(count: int, text: str) -> None:
    assert say("{n} {n:seed is|seeds are} lost", n=seeds(count)).text == text


def test_a_number_stays_a_number_and_neighboring_texts_become_one() -> None:
    number = seeds(3)
    said = say("{study}: {n}{unit} of {names}.", study="a {b}", n=number, unit=f"{NBSP}%", names=("x", "y"))
    assert said.sentence == ("a {b}: ", number, f"{NBSP}% of xy.")
    assert said.text == "a {b}: 3 % of xy."


def test_only_a_warning_shows_a_code() -> None:
    assert in_text(say("It is so.").coded) == "It is so."
    assert in_text(say("It is so.", "GRU001").coded) == "It is so. (GRU001)"


def test_a_gap_without_one_of_its_fields_is_an_error() -> None:
    assert gap("no-trial", model="Torch GRU").text == "Torch GRU has no complete trial yet."
    with pytest.raises(KeyError, match="model"):
        _ = gap("no-trial").sentence
    assert all(code == code.lower() for code in SENTENCES)
