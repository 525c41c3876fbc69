"""Names are shortened to the room that a figure has, and axes get few round ticks."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from gru_bench.document.style import log_axis, short, width_of


@pytest.mark.parametrize(("name", "width", "shown"), [
    ("abcdefgh" * 10, 7, "abcde…defgh"),
    ("abcdefgh" * 10, 6.5, "abcde…efgh"),
    ("m" * 80, 7, "mmm…mmm"),
    ("\N{CJK UNIFIED IDEOGRAPH-4E2D}" * 80, 6, "\N{CJK UNIFIED IDEOGRAPH-4E2D}" * 3 + "…"
     + "\N{CJK UNIFIED IDEOGRAPH-4E2D}" * 2),
    ("Home, kitchen and garden, used, sold by others: part 1", 15, "Home, kitchen…thers: part 1"),
    ("Home, kitchen and garden, used, sold by others: part 2", 15, "Home, kitchen…thers: part 2"),
    ("a\n name", 15, "a name"),
    ("", 15, ""),
])
def test_a_long_name_keeps_its_beginning_and_its_end(name: str, width: float, shown: str) -> None:
    assert short(name, width) == shown


@settings(max_examples=30)
@given(st.text(), st.integers(2, 40))
@example("\x1f00", 2)
def test_a_shortened_name_begins_and_ends_as_the_name_does(name: str, width: int) -> None:
    shown, whole = short(name, width), " ".join(name.split())
    assert width_of(shown) <= width
    begun, mark, ended = shown.rpartition("…") if shown != whole else (shown, "…", "")
    assert mark
    assert whole.startswith(begun)
    assert whole.endswith(ended)


@pytest.mark.parametrize(("low", "high"), [
    (60, 65), (203.1, 204.9), (1.2, 1.9), (30, 300), (0.02, 9000), (5.1, 9.7), (8.9, 14.8), (1e-4, 1e-2),
    (1.1e-3, 7.9e-3), (3e-6, 0.4)])
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
