"""How numbers are written, and what becomes of names that stand beside them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gru_bench.platforms import is_reserved
from gru_bench.report.document.numbers import MISSING, Kind, decimals_for, folder_name, plain, slug, written


@pytest.mark.parametrize(
    ("value", "kind", "decimals", "text"),
    [
        (0.86125, "percent", None, "86.1"),
        (0.0062, "percent", 2, "0.62"),
        (0.012, "points", None, "+1.2"),
        (-0.012, "points", None, "−1.2"),
        (0.0, "points", None, "0.0"),
        (-0.00001, "points", None, "0.0"),
        (0.0004, "p", None, "< 0.001"),
        (0.0312, "p", None, "0.031"),
        (0.0499, "p", None, "0.0499"),
        (0.05, "p", None, "0.050"),
        (0.7312, "p", None, "0.73"),
        (1.0, "p", None, "1.00"),
        (120802.0, "count", None, "120,802"),
        (8075.2, "amount", None, "8,080"),
        (61234.0, "amount", None, "61,200"),
        (9.2, "amount", None, "9.2"),
        (0.01, "amount", None, "< 0.1"),
        (0.97, "amount", None, "1.0"),
        (0.34567, "score", None, "0.346"),
        (0.00137, "setting", None, "0.00137"),
        (1e-05, "setting", None, "1e−05"),
        (250.0, "setting", None, "250"),
        (None, "percent", None, MISSING),
        (float("nan"), "count", None, MISSING),
    ],
)
def test_how_numbers_are_written(value: float | None, kind: Kind, decimals: int | None, text: str) -> None:
    assert written(value, kind, decimals) == text


def test_decimals_keep_ends_off_landmarks() -> None:
    assert decimals_for([0.012, 0.034], [0.0, 0.01]) == 1
    assert decimals_for([0.0004, 0.034], [0.0, 0.01]) == 2
    assert decimals_for([0.0102, 0.034], [0.0, 0.01]) == 2
    assert decimals_for([0.0, 0.01], [0.0, 0.01]) == 1  # it is the landmark


@given(st.text())
def test_names_become_harmless(text: str) -> None:
    shown = plain(text)
    assert all(character.isprintable() or character == " " for character in shown if character.isascii())
    assert "\n" not in shown
    assert set(slug(text)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert slug(text)


def test_a_folder_has_the_name_of_the_data() -> None:
    assert folder_name("movie-reviews", "report") == "movie-reviews"
    assert folder_name("My data (2024)", "report") == "my-data-2024"


def test_names_in_another_script_have_folders_of_their_own() -> None:
    names = ["отзывы", "рецензии", "评论", "レビュー", "a отзывы", "a рецензии", "été", "ete", "!", "?"]
    folders = [folder_name(name, "report") for name in names]
    assert len(set(folders)) == len(names)
    assert all(set(folder) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for folder in folders)
    assert folders[0].startswith("report-")
    assert folders[-4].startswith("ete-")


@pytest.mark.parametrize("name", ["con", "NUL", "aux", "Com1"])
def test_no_folder_has_the_name_of_a_device(name: str) -> None:
    assert not is_reserved(folder_name(name, "report"))
