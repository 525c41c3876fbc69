"""Blocks of running text."""

from __future__ import annotations

from gru_bench.report.document.blocks import prose
from gru_bench.report.document.numbers import Math


def test_running_text_becomes_a_sentence() -> None:
    assert prose("""
        Of $x_t$ and
        $y$.
    """) == ("Of ", Math("x_t"), " and ", Math("y"), ".")
