"""The tokenizer follows its stated rules, and is quick and clean on any text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gru_bench.data.tokenizer import tokenize


@pytest.mark.parametrize(("text", "tokens"), [
    ("Good, GOOD film!", ["good", "good", "film", "!"]),
    ("one<br /><br />two<BR>three", ["one", "two", "three"]),
    ("a <i>very</i> <a href='x'>long</a> one?", ["a", "very", "long", "one", "?"]),
    ("3 < 4 and 5 > 2, I <3 it", ["3", "4", "and", "5", "2", "i", "3", "it"]),
    ("Tom &amp; Jerry&#39;s &lt;br&gt; caf&eacute;", ["tom", "jerry", "'s", "br", "caf\u00e9"]),
    ("don't can't won\u2019t isn`t", ["do", "n't", "ca", "n't", "wo", "n't", "is", "n't"]),
    ("It's I'm we\u2019re they've you\u00b4ll he'd", ["it", "'s", "i", "'m", "we", "'re", "they", "'ve", "you", "'ll",
                                                      "he", "'d"]),
    ("O'Brien's 'quoted' rock'n'roll", ["o", "brien", "'s", "quoted", "rock", "n", "roll"]),
    ("well-made_film 8/10 9.5", ["well", "made", "film", "8", "10", "9", "5"]),
    ("\uff21\uff22 \ufb01ne e\u0301t\u00c9", ["ab", "fine", "\u00e9t\u00e9"]),
    ("\u4f60\u597d \u041f\u0440\u0438\u0432\u0435\u0442", ["\u4f60\u597d", "\u043f\u0440\u0438\u0432\u0435\u0442"]),
    ("... --- ''", []),
])
def test_tokens_follow_the_stated_rules(text: str, tokens: list[str]) -> None:
    assert tokenize(text) == tokens


@given(st.text())
def test_tokens_of_any_text_are_clean(text: str) -> None:
    tokens = tokenize(text)
    assert all(token and not any(c.isspace() or c == "_" for c in token) for token in tokens)
    assert tokens == [token.lower() for token in tokens] or not text.isascii()
    assert tokenize(text + "<br />" + text) == tokens * 2 or "<" in text or "&" in text


@given(st.lists(st.text(st.characters(codec="ascii", categories=["Ll", "Nd"]), min_size=1)))
def test_plain_words_are_their_own_tokens(words: list[str]) -> None:
    assert tokenize(" , ".join(words)) == words


def test_a_character_reference_whose_number_is_too_large_is_dropped() -> None:
    assert tokenize("a &#" + "1" * 5000 + "; b &#65;") == ["a", "b", "a"]


def test_letters_under_very_many_marks_are_read_in_linear_time() -> None:
    marks = "\u0300\u0316" * 200_000  # in order, the latter come first: sorting them takes the square of their number
    assert tokenize(f"a na\u00efve e{marks} b") == ["a", "na\u00efve", "\u00e8", "b"]
