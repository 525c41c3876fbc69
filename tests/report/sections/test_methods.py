"""The section on statistical methods says what was done in the studies at hand, and nothing else."""

from __future__ import annotations

from dataclasses import replace

from gru_bench.report.build import build
from tests.support.fake_store import FakeStore, TestSet, add_study, with_params
from tests.support.renderings import column_of, words_of


def test_how_often_the_test_reviews_were_looked_at() -> None:
    store = FakeStore()
    one = add_study(store, "one", {"torch": 0.0, "scratch": 0.0}, search=False)
    two = add_study(store, "two", {"bidirectional": 0.0})
    there = add_study(store, "there", {"torch": 0.0}, test_set=TestSet.draw(seed=1), fingerprint="other")
    alone = words_of(build([one], store), "methods")
    assert "only the confirm runs of one study were scored on the test reviews" in alone
    assert "opened once" not in alone
    assert "Search trials" not in alone
    both = words_of(build([one, two], store), "methods")
    assert "The confirm runs of 2 studies (one, two) were scored on the same test reviews." in both
    assert "Search trials used training and validation reviews only" in both
    assert "only the confirm runs of one study were" in words_of(build([one, there], store), "methods")


def test_intervals_pairs_and_resets_are_explained_where_there_are_some() -> None:
    store = FakeStore()
    few = add_study(store, "few", {"torch": 0.0}, seeds=2, search=False)
    said = words_of(build([few], store), "methods")
    assert "F1 is computed for the class positive.\n" in said
    for absent in ("95 % confidence", "Verdicts", "compute the same function"):
        assert absent not in said
    many = add_study(store, "many", {"scratch": 0.0, "torch": 0.0, "bidirectional": 0.0}, search=False)
    said = words_of(build([many], store), "methods")
    assert "Intervals of accuracy have 95 % confidence." in said
    assert "Verdicts use a margin of 1.0 points, fixed beforehand" in said
    assert "Holm's procedure over all 3 pairs decides at the level 0.050" in said
    assert "The scratch GRU and the torch GRU compute the same function" in said
    before = replace(many, confirms=tuple(
        replace(run, params={**run.params, "model.reset": "before"}) for run in many.confirms))
    assert "so it does not compute the same function" in words_of(build([before], store), "methods")
    both = replace(many, confirms=tuple(
        replace(run, params={**run.params, "model.bidirectional": "True"} if run.model == "scratch" else run.params)
        for run in many.confirms))
    report = build([both], store)
    assert "the same function" not in words_of(report, "methods")
    assert column_of(report, "scores", "Model") == ["Scratch GRU, both directions", "Torch GRU", "Bidirectional GRU"]


def test_a_search_of_an_unfinished_study_is_told() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, finished=False)
    for asked, told in (("12", True), ("0", False)):
        words = words_of(build([with_params(study, trials=asked)], store), "methods")
        assert ("Search trials" in words) == told
