"""How numbers are written, and how names become plain text, keys and folders."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gru_bench.document.numbers import (
    MISSING,
    Kind,
    Numbers,
    decimals_for,
    folder_name,
    plain,
    slug,
    written,
)
from gru_bench.platforms import is_reserved


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
def test_each_kind_of_number_has_its_digits(value: float | None, kind: Kind, decimals: int | None, text: str) -> None:
    assert written(value, kind, decimals) == text


@pytest.mark.parametrize(("ends", "decimals"), [
    ([0.012, 0.034], 1), ([0.0004, 0.034], 2), ([0.0102, 0.034], 2), ([0.0, 0.01], 1)])
def test_an_end_close_to_zero_or_to_the_margin_gets_more_decimals(ends: list[float], decimals: int) -> None:
    assert decimals_for(ends, [0.0, 0.01]) == decimals


@settings(max_examples=50)
@given(st.text())
def test_names_lose_control_characters_and_keys_have_letters_digits_and_hyphens_only(text: str) -> None:
    shown = plain(text)
    assert all(character.isprintable() or character == " " for character in shown if character.isascii())
    assert "\n" not in shown
    assert set(slug(text)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert slug(text)


def test_a_folder_has_the_name_of_the_data() -> None:
    assert folder_name("movie-reviews", "report") == "movie-reviews"
    assert folder_name("My data (2024)", "report") == "my-data-2024"


def test_long_names_that_begin_alike_have_different_folders() -> None:
    first, second = (folder_name(f"{'long-' * 12}{end}", "report") for end in ("one", "two"))
    assert first != second
    assert folder_name("a" * 60, "report") == "a" * 60


def test_names_in_other_scripts_have_different_folders() -> None:
    names = ["отзывы", "рецензии", "评论", "レビュー", "a отзывы", "a рецензии", "été", "ete", "!", "?"]
    folders = [folder_name(name, "report") for name in names]
    assert len(set(folders)) == len(names)
    assert all(set(folder) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for folder in folders)
    assert folders[0].startswith("report-")
    assert folders[-4].startswith("ete-")


@pytest.mark.parametrize("name", ["con", "NUL", "aux", "Com1"])
def test_no_folder_has_the_name_of_a_device(name: str) -> None:
    assert not is_reserved(folder_name(name, "report"))


def test_a_number_has_the_runs_and_the_examples_that_are_said_last() -> None:
    model = Numbers().of("model")
    on_test = model.on(["a", "b"], 50)
    found = [on_test.add("x", 1), on_test.of("part").add("", 1), on_test.on(["c"]).add("y", 1),
             on_test.on(["a"], 20, "validation").add("z", 1), model.on(()).add("given", 1)]
    assert [(one.key, one.runs, one.examples, one.split) for one in found] == [
        ("model.x", ("a", "b"), 50, "test"), ("model.part", ("a", "b"), 50, "test"), ("model.y", ("c",), None, ""),
        ("model.z", ("a",), 20, "validation"), ("model.given", (), None, "")]
    assert [one.source for one in found] == [
        "2 runs; 50 test examples", "2 runs; 50 test examples", "1 run", "1 run; 20 validation examples", ""]


def test_no_number_is_made_before_it_is_said_what_it_is_computed_from() -> None:
    with pytest.raises(AssertionError, match=r"model\.x"):
        Numbers().of("model").add("x", 1)


def test_two_numbers_never_share_a_key() -> None:
    numbers = Numbers().on(())
    first = numbers.of("a").add("x", 0.5, "percent", "once")
    assert numbers.add("a.x", 0.5, "percent", "again") is first
    with pytest.raises(AssertionError, match="two keys"):
        numbers.add("a.x", 0.25, "percent")


def test_names_that_look_alike_give_different_keys_each_time_the_same() -> None:
    numbers = Numbers().of("class")
    names = ["Books", "books", "books 2", "書", "本", ""]
    keys = [numbers.named(name).key for name in names]
    assert keys == ["class.books", "class.books-2", "class.books-2-2", "class.unnamed", "class.unnamed-2",
                    "class.unnamed-3"]
    assert [numbers.named(name).key for name in reversed(names)] == keys[::-1]
    assert numbers.of("other").named("books").key == "class.other.books"
    assert [numbers.named("study", same=run).key for run in ("1", "2", "1")] == [
        "class.study", "class.study-2", "class.study"]
