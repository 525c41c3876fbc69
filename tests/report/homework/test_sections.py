"""A study of the homework's protocol tells its story from its own numbers, with what was published apart."""

from __future__ import annotations

from dataclasses import replace

from gru_bench.report.build import build
from tests.support.fake_store import FakeStore, under_way
from tests.support.homework_study import add_homework, homework
from tests.support.renderings import said, table_of, words_of


def test_two_studies_of_the_protocol_are_told_apart() -> None:
    store = FakeStore()
    add_homework(store, name="first")
    add_homework(store, name="second")
    report = build(store.by_experiment["movie-reviews"], store)
    assert [said(sentence)[:25] for sentence in report.summary[-2:]] == ["In the runs of first, by ",
                                                                           "In the runs of second, by"]
    assert "In the runs of first the reset gate acts after the product. In the runs of second" in words_of(
        report, "theory")
    assert table_of(report, "of-second-ablations").title == "Ablations of the protocol, second"
    assert {"of-first.ablation.lr.difference", "of-second.ablation.lr.difference"} <= set(report.numbers())


def test_a_homework_under_way_tells_its_story_as_far_as_it_goes() -> None:
    store, (whole,) = homework()
    begun = under_way(store, whole, protocol="homework", contents="ablations,timings")
    report = build([replace(begun, ablations=())], store)
    assert "5 seeds of each model" in words_of(report, "introduction")
    assert "The whole study is not finished." in words_of(report, "run-times")
    assert "There are no ablations." in words_of(report, "ablations")
    assert "the claim that the bidirectional GRU is better" in words_of(report, "discussion")
    assert "What do the networks add?" in words_of(report, "discussion")
