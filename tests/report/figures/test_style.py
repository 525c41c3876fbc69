"""Names are shortened to the room that a figure has."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gru_bench.report.figures.style import short


@pytest.mark.parametrize(("text", "width", "lines", "shown"), [
    ("abcdefgh" * 10, 26, 1, "abcdefghabcdefghabcdefgha…"),
    ("abcdefgh" * 10, 10, 2, "abcdefghab\ncdefghabc…"),
    ("a " + "b" * 80, 26, 1, "a…"),
    ("long words of this category and more", 26, 1, "long words of this…"),
    ("short", 26, 1, "short"),
    ("", 26, 1, ""),
])
def test_a_long_name_keeps_its_beginning(text: str, width: int, lines: int, shown: str) -> None:
    assert short(text, width, lines) == shown


@given(st.text(), st.integers(2, 40), st.integers(1, 3))
def test_a_shortened_name_begins_as_the_name_does(text: str, width: int, lines: int) -> None:
    shown = short(text, width, lines).split("\n")
    assert len(shown) <= lines
    assert max(map(len, shown)) <= width
    whole, begun = "".join(text.split()), "".join("".join(shown).split())
    assert whole == begun or (begun.endswith("…") and whole.startswith(begun[:-1]) and len(begun) > 1)
