"""The sections on a study of the homework's protocol, and on several or unfinished ones."""

from __future__ import annotations

from gru_bench.report.homework.discussion import discussion
from gru_bench.report.homework.protocol import protocol
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet
from tests.support.homework_study import add_homework, conclusions_of
from tests.support.renderings import table_of, words_of
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


