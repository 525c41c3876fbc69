"""Blocks: running text, and tables that are split and captioned in the same way for all formats."""

from __future__ import annotations

from gru_bench.document.blocks import (
    Bullets,
    Column,
    Details,
    Heading,
    Paragraph,
    Table,
    numbers_in,
    parts_in,
    sentences,
)
from gru_bench.document.numbers import Number
from gru_bench.document.sentences import Aside, Ends, in_text, joined
from gru_bench.wording import listed

SURE = Number("k", 0.5, "percent", low=0.4, high=0.6)
PLAIN = Number("l", 0.5, "percent")


def table(models: int) -> Table:
    """Return a table of so many models between two other columns."""
    return Table(
        "t", "T", ("Of models.",),
        (Column("Part"), *(Column(f"m{n}", named=True) for n in range(models)), Column("All")),
        (("a", *(str(n) for n in range(models)), "z"),))


def test_empty_sentences_are_skipped_and_numbers_are_shown_as_text() -> None:
    assert joined([("a", PLAIN), (), ("b",)]) == ("a", PLAIN, " ", "b")
    assert in_text(("a ", PLAIN, Aside((" of ", SURE)))) == "a 50.0 of 50.0"
    assert [listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
    assert sentences([]) == []
    assert sentences([("a",)]) == [Bullets((("", ("a",)),))]


def test_a_table_of_many_models_is_split_into_parts_that_keep_its_other_columns() -> None:
    assert list(table(5).parts(5)) == [table(5)]
    parts = list(table(7).parts(3))
    assert [[column.heading for column in part.columns] for part in parts] == [
        ["Part", "m0", "m1", "m2", "All"], ["Part", "m3", "m4", "m5", "All"], ["Part", "m6", "All"]]
    assert [part.rows for part in parts] == [
        (("a", "0", "1", "2", "z"),), (("a", "3", "4", "5", "z"),), (("a", "6", "z"),)]
    assert [part.title for part in parts] == ["T", "T, continued (2)", "T, continued (3)"]
    assert {part.caption for part in parts} == {table(7).caption}


def test_a_heading_has_its_unit_and_may_be_short_on_paper() -> None:
    column = Column("Accuracy", "%", "Acc.")
    assert [column.shown(on_paper) for on_paper in (False, True)] == ["Accuracy, %", "Acc., %"]


def test_a_table_of_more_than_four_columns_of_intervals_is_dense() -> None:
    for intervals, dense in ((4, False), (5, True)):
        found = Table("t", "T", (), tuple(Column(str(n)) for n in range(7)),
                      (("a", *[SURE] * intervals, *[PLAIN] * (6 - intervals)), ("b", *[PLAIN] * 6)))
        assert found.mixed == (False, *[True] * intervals, *[False] * (6 - intervals))
        assert found.dense is dense


def test_nested_blocks_and_numbers_are_found_in_order() -> None:
    inner = Heading("inner", "inner")
    folded = Details("more", (Details("deeper", (inner, Paragraph((Aside((PLAIN,)), Ends(SURE))))),))
    assert list(parts_in((folded,)))[:3] == [folded, folded.blocks[0], inner]
    assert list(numbers_in(folded)) == [PLAIN, *SURE.ends, SURE]
