"""What was published is marked, and stands apart from our own numbers."""

from __future__ import annotations

from gru_bench.report.document.blocks import numbers_in
from gru_bench.report.homework import published
from tests.support.renderings import Built, table_of


def test_what_was_published_is_marked_and_never_mixed_with_ours(made: Built) -> None:
    for key, number in made.report.numbers.items():
        marked = number.method == published.LABEL
        assert marked == key.startswith("published.")
        assert not (marked and number.runs)
    shown = {key: number.text for key, number in made.report.numbers.items() if key.startswith("published.")}
    assert shown == {
        "published.scratch.accuracy": "84.1", "published.torch.accuracy": "84.2",
        "published.bidirectional.accuracy": "85.3", "published.scratch.seconds": "8,075",
        "published.torch.seconds": "388", "published.bidirectional.seconds": "476",
    }


def test_published_rows_are_separate_from_ours(made: Built) -> None:
    table = table_of(made.report, "of-homework-published")
    for row in table.rows:
        methods = {number.method for number in numbers_in(row)}
        assert methods == {published.LABEL} if "published" in row[0] else published.LABEL not in methods
    assert len(table.rows) == 6
