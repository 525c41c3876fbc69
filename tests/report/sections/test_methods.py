"""The section on how numbers were computed says what was done in the studies at hand, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gru_bench.report.sections.evaluation import evaluation
from gru_bench.report.sections.methods import methods
from gru_bench.tracking import LoggedStudy
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study, with_params
from tests.support.renderings import column_of, words_of
from tests.support.sections import build_only

FEW = TestSet.draw(50)


def methods_of(store: FakeStore, *studies: LoggedStudy) -> str:
    """Return the words of the section of a report of these studies."""
    return words_of(build_only(studies, store, methods), "methods")


def test_the_use_of_trials_is_said_only_where_there_was_a_search() -> None:
    store = FakeStore()
    alone = add_study(store, "one", {"torch": 0.0}, seeds=2, search=False, test_set=FEW)
    assert "Trials of a search" not in methods_of(store, alone)
    searched = add_study(store, "two", {"bidirectional": 0.0}, seeds=2, test_set=FEW)
    mentions(methods_of(store, alone, searched), "Trials of a search used training and validation")


def test_intervals_verdicts_and_reset_gates_are_explained_only_where_they_apply() -> None:
    store = FakeStore()
    few = add_study(store, "few", {"torch": 0.0}, seeds=2, search=False, test_set=FEW)
    said = methods_of(store, few)
    assert "F1 is for the class positive." in said
    assert "compute the same function" not in said
    alone = methods_of(store, replace(few, baselines=()))
    for absent in ("95 % confidence", "Verdicts", "Holm"):
        assert absent not in alone
    store = FakeStore()
    many = add_study(store, "many", {"scratch": 0.0, "torch": 0.0, "bidirectional": 0.0}, search=False, test_set=FEW)
    mentions(methods_of(store, many), "95 % confidence", "equivalence margin is 1.0 points, fixed beforehand",
             "Holm’s procedure over all 3 pairs", "a second family", "0.050", "compute the same function")
    few = add_study(store, "three", {"scratch": 0.0, "torch": 0.0}, seeds=3, search=False, test_set=FEW)
    mentions(methods_of(store, few), "95 % confidence")
    assert "Holm" in methods_of(store, few)
    before = replace(many, confirms=tuple(
        replace(run, params={**run.params, "model.reset": "before"}) for run in many.confirms))
    assert "compute different functions" in methods_of(store, before)
    both = replace(many, confirms=tuple(
        replace(run, params={**run.params, "model.bidirectional": "True"} if run.model == "scratch" else run.params)
        for run in many.confirms))
    assert "the same function" not in methods_of(store, both)
    assert column_of(build_only([both], store, evaluation), "scores", "Model") == [
        "Scratch GRU, both directions", "Torch GRU", "Bidirectional GRU"]


@pytest.mark.parametrize(("asked", "searched"), [("12", True), ("0", False)])
def test_an_unfinished_study_that_asked_for_trials_has_a_search(asked: str, searched: bool) -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, finished=False, test_set=FEW)
    assert ("Trials of a search" in methods_of(store, with_params(study, trials=asked))) == searched


def test_groups_of_test_texts_are_named_where_intervals_are_over_groups() -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0}, search=False, test_set=TestSet.draw(600))
    assert "over seeds and texts," in methods_of(store, study)
    for key, found in store.predicted.items():
        store.predicted[key] = replace(found, group_N=np.array([f"film {n % 60}" for n in range(len(found))]))
    mentions(methods_of(store, study), "groups of test texts were drawn", "over seeds and groups,")
