"""The section on classes of the user's own: what gru-check says of each. A damaged record is left out."""

from __future__ import annotations

import pytest

from gru_bench.report.sections.own import own
from gru_bench.results.own import OwnModel, digest_of, own_artifact, own_model_of
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study
from tests.support.renderings import words_of
from tests.support.reports import build
from tests.support.sections import build_only

MINE, THEIRS, CODE = "homework.py:Mine", "homework.py:Theirs", "class Mine: ...\n"
LOGGED = OwnModel(MINE, digest_of(CODE), CODE, "a cell, forward(x, h)", "a GRU", ("It equals torch.nn.GRU.",))


def test_the_verdict_on_each_class_is_shown_and_where_its_file_is() -> None:
    store = FakeStore()
    study = add_study(store, "mine", {"torch": 0.0, MINE: 0.0}, test_set=TestSet.draw(50))
    store.artifacts[study.run.run_id, own_artifact(MINE)] = LOGGED.to_json()
    report = build_only([study], store, own)
    mentions(words_of(report, "own"), "Mine (homework.py)", "a cell, forward(x, h)", "a GRU", "It equals torch.nn.GRU.",
             own_artifact(MINE), digest_of(CODE))
    assert "class Mine" not in words_of(report, "own")


def test_curves_and_confusion_matrices_are_unfolded() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, test_set=TestSet.draw(50))
    found = {section.name: section.is_folded for section in build([study], store).sections}
    assert (found["learning"], found["errors"]) == (False, False)


def test_a_class_whose_record_is_damaged_is_left_out() -> None:
    store = FakeStore()
    study = add_study(store, "mine", {MINE: 0.0, THEIRS: 0.0}, test_set=TestSet.draw(50))
    store.artifacts[study.run.run_id, own_artifact(MINE)] = LOGGED.to_json()
    store.artifacts[study.run.run_id, own_artifact(THEIRS)] = "{"
    report = build_only([study], store, own)
    mentions(words_of(report, "own"), own_artifact(THEIRS), "cannot be read", "gru-check: a GRU")


def test_a_study_without_own_classes_has_no_such_section() -> None:
    store = FakeStore()
    report = build_only([add_study(store, "torch", {"torch": 0.0}, test_set=TestSet.draw(50))], store, own)
    assert "own" not in [section.name for section in report.sections]


def test_a_record_comes_back_from_json_as_it_was_and_must_have_the_digest_of_its_file() -> None:
    assert own_model_of(LOGGED.to_json()) == LOGGED
    with pytest.raises(ValueError, match="SHA-256"):
        own_model_of(LOGGED.to_json().replace("class Mine", "class Other"))
