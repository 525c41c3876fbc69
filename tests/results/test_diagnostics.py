"""Diagnostics come back from JSON as they were, and lists of different lengths are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gru_bench.results.diagnostics import Attribution, Diagnostics, GateMap, GradientFlow

FLOW = GradientFlow(
    model="scratch", direction="forward", state="trained", pooling="final", reviews=3, steps_back=(0, 1),
    norm=(1.0, 0.5), low=(0.9, 0.4), high=(1.1, 0.6), decay=None, fitted=(5, 50))
GATES = GateMap("scratch", "forward", ("a", "word"), ((0.5,), (0.2,)), ((0.1,), (1.0,)))
WHOLE = Diagnostics(
    (FLOW,), (GATES,),
    (Attribution("scratch", ("a", "word"), (0.3, -0.1), 0.6, "positive", "negative"),),
    "validation")


def test_diagnostics_come_back_from_json_as_they_were() -> None:
    assert Diagnostics.from_json(WHOLE.to_json()) == WHOLE


def test_without_a_review_nothing_holds_its_words() -> None:
    assert WHOLE.without_review() == replace(WHOLE, gates=(), attributions=(), review="")
    of_no_review = replace(WHOLE, review="")
    assert of_no_review.without_review() == of_no_review


@pytest.mark.parametrize(("damaged", "message"), [
    (replace(WHOLE, flows=(replace(FLOW, norm=(1.0,)),)), "norms.*steps"),
    (replace(WHOLE, gates=(replace(GATES, update=((0.5,),)),)), "gates.*row.*token"),
    (replace(WHOLE, gates=(replace(GATES, update=((0.5,), (0.2, 0.3))),)), "gates.*row.*token"),
])
def test_lists_of_different_lengths_are_refused(damaged: Diagnostics, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Diagnostics.from_json(damaged.to_json())
