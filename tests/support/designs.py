"""Designs of comparisons, by how often runs disagree."""

from __future__ import annotations

from typing import Any

from gru_bench.stats.estimate import Design


def design_of(deviation: float, within: float, between: float, **more: Any) -> Design:
    """A design of two models of accuracy with one deviation between seeds.

    Two seeds of a model disagree on the share `within` of examples, two runs of both models on `between`.
    """
    return Design(seed=(deviation**2,) * 2, noise=(within / 2,) * 2, floor=between - within, **more)
