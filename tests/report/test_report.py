"""Every number of a report has its method, its runs and its number of examples."""

from __future__ import annotations

from tests.support.renderings import Built
from tests.support.values import present


def test_every_number_has_its_method_its_runs_and_its_number_of_examples(built: Built) -> None:
    _, _, report = built
    numbers = report.numbers
    assert len(numbers) > 200
    for key, number in numbers.items():
        assert key == number.key
        assert set(key) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")
        assert number.method or number.kind == "count", key
        # Numbers from test reviews have their number.
        if key.startswith(("categories-", "lengths-", "reviews-", "pair.")) and not key.endswith(
                (".margin", ".family", ".equivalence-examples")):
            assert number.examples, key
        if number.kind == "count" and key.startswith(("categories-", "lengths-", "reviews-", "pair.")):
            assert number.method, key
        if number.low is not None:
            assert number.low <= present(number.value) <= present(number.high)
            assert number.method
            assert number.runs
