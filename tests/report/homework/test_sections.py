"""The sections on a study of the homework's protocol, and on several or unfinished ones."""

from __future__ import annotations

from gru_bench.report.homework.discussion import discussion
from gru_bench.report.homework.protocol import protocol
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, under_way
from tests.support.homework_study import add_homework, conclusions_of, homework
from tests.support.renderings import table_of, words_of
from tests.support.reports import build
from tests.support.sections import build_only

FEW = TestSet.draw(100, ["books", "music"])


def test_two_studies_of_the_protocol_are_told_apart_by_their_names() -> None:
    store = FakeStore()
    add_homework(store, name="first", test_set=FEW)
    add_homework(store, name="second", test_set=FEW)
    report = build_only(store.by_experiment["movie-reviews"], store, protocol, discussion)
    for name, sentence in zip(("first", "second"), conclusions_of(report), strict=True):
        assert f"runs of {name}" in sentence
    mentions(words_of(report, "protocol"), "runs of first", "runs of second")
    assert table_of(report, "of-second-published").title.endswith(", second")


def test_an_unfinished_study_of_the_protocol_has_all_sections_of_the_homework() -> None:
    store, (whole,) = homework(test_set=FEW)
    report = build([under_way(store, whole, protocol="homework")], store)
    assert "every setting" in words_of(report, "protocol")
    assert "the bidirectional GRU is better" in words_of(report, "discussion")
