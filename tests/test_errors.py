"""Values are shown in short in messages."""

from __future__ import annotations

from typing import Any

import pytest

from gru_bench.errors import shown


@pytest.mark.parametrize(("value", "text"), [
    ("x" * 1000, "'" + "x" * 99 + "... (1,000 characters)"), ("a", "'a'"), (None, "None"), (2.5, "2.5"), (True, "True"),
    (-3, "-3"), (10**5000, "a value of type int"), ([1], "[1]"), ("\ud83d", r"'\ud83d'"), ("a\nb", r"'a\nb'"),
], ids=range(10))
def test_values_are_shown_in_short(value: Any, text: str) -> None:
    assert shown(value) == text


def test_a_name_without_quotes_is_cut_and_cannot_steer_a_screen() -> None:
    assert shown("plain", "") == "plain"
    assert shown("a\x1b[2Jb\n", "") == r"a\x1b[2Jb\n"
    assert shown("x" * 300, "", 200) == "x" * 200 + "... (300 characters)"
    assert shown("\n" * 300, "") == r"\n" * 50 + "... (300 characters)"
