"""A study's summary comes back from JSON as it was, and a damaged one is refused with the field's name.

Shapes: `N` examples.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gru_bench.results.runs import StudySummary
from tests.support.runs import summary


def test_a_summary_comes_back_as_it_was() -> None:
    whole = summary()
    for one in (whole, replace(whole, notes=()), replace(whole, best={}, best_value={})):
        assert StudySummary.from_json(one.to_json()) == one


@pytest.mark.parametrize(("change", "message"), [
    (lambda found: found.pop("seconds"), "^seconds: "),
    (lambda found: found.update(confirm_seeds=["x"]), r"^confirm_seeds\.0: "),
    (lambda found: found["trials"][0].update(number="0"), r"^trials\.0\.number: "),
])
def test_a_field_of_another_form_is_named(change: Callable[[dict[str, Any]], object], message: str) -> None:
    found = json.loads(summary().to_json())
    change(found)
    with pytest.raises(ValueError, match=message):
        StudySummary.from_json(json.dumps(found))
