"""Names are shortened to the room that a figure has, and axes get few round ticks."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from gru_bench.report.figures.style import log_axis, short, told_apart


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


def test_long_names_with_the_same_beginning_keep_their_ends() -> None:
    long = "Home, kitchen and garden, used, sold by others: part"
    assert told_apart(["Books", f"{long} 1", f"{long} 2", "A name of another beginning, as long"], 26) == [
        "Books", "Home, kitchen…hers: part 1", "Home, kitchen…hers: part 2", "A name of another…"]


@settings(max_examples=30)
@given(st.text(), st.integers(2, 40), st.integers(1, 3))
@example("\x1f00", 2, 1)
def test_a_shortened_name_begins_as_the_name_does(text: str, width: int, lines: int) -> None:
    shown = short(text, width, lines).split("\n")
    assert len(shown) <= lines
    assert max(map(len, shown)) <= width
    whole, begun = "".join(text.split()), "".join("".join(shown).split())
    assert whole == begun or (begun.endswith("…") and whole.startswith(begun[:-1]) and len(begun) > 1)


@pytest.mark.parametrize(("low", "high"), [
    (60, 65), (203.1, 204.9), (1.2, 1.9), (30, 300), (0.02, 9000), (5.1, 9.7), (1e-4, 1e-2), (1.1e-3, 7.9e-3),
    (3e-6, 0.4)])
def test_a_logarithmic_axis_has_a_few_round_ticks(low: float, high: float) -> None:
    axes = Figure((3.0, 2.0)).subplots()
    axes.set_xlim(low, high)
    log_axis(axes)
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert 2 <= len(ticks) <= 8
    assert all(float(f"{tick:.5g}") == pytest.approx(tick) for tick in ticks)
    names = axes.xaxis.get_major_formatter().format_ticks(ticks)
    assert len(set(names)) == len(names)


def test_a_logarithmic_axis_of_two_decades_has_ticks_at_both_ends() -> None:
    axes = Figure().subplots()
    axes.set_xlim(1e-4, 1e-2)
    log_axis(axes)
    ticks = [tick for tick in axes.get_xticks() if 0.99e-4 <= tick <= 1.01e-2]
    assert ticks == pytest.approx([1e-4, 3e-4, 1e-3, 3e-3, 1e-2])
