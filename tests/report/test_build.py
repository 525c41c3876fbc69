"""A report as a whole: what it reads, which sections it has, and what it is computed from."""

from __future__ import annotations

from itertools import chain

import pytest

from gru_bench.errors import RunError
from tests.support.fake_store import FakeStore, TestSet, add_study, three_models
from tests.support.renderings import Built, said
from tests.support.reports import build


def test_sections_stand_in_the_order_of_the_contents(built: Built) -> None:
    usual = [section.name for section in built.report.sections]
    assert usual[:3] == ["summary", "results", "comparisons"]
    assert usual[-3:] == ["runs", "methods", "checklist"]


def test_captions_are_the_same_whatever_the_number_of_seeds() -> None:
    captions = []
    for seeds in (1, 2, 5):
        store = FakeStore()
        study = add_study(store, "one", {"scratch": 0.0, "torch": 0.0}, seeds=seeds, test_set=TestSet.draw(100))
        report = build([study], store)
        captions.append({table.key: said(table.caption) for table in report.tables})
    common = captions[0].keys() & captions[1].keys() & captions[2].keys()
    assert {"results", "comparisons", "scores", "cost", "search", "settings"} <= common
    assert all(captions[0][key] == captions[1][key] == captions[2][key] for key in common)


def test_refuses_a_study_without_a_complete_run() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=0, failed=2, search=False)
    with pytest.raises(RunError, match="gru-bench sweep --study smoke"):
        build([study], store)


def test_histories_are_read_once_and_predictions_of_complete_confirm_runs_alone() -> None:
    store, studies = three_models(test_set=TestSet.draw(60), trials=5)
    build(studies, store)
    confirmed = [[run.run_id for run in study.confirms if run.complete] for study in studies]
    baselines = [run.run_id for run in studies[0].baselines]  # those of the same data are read once
    # Predictions of validation examples are looked for too; all are missing here.
    assert sorted(store.reads) == sorted([
        "histories", *chain(*confirmed), *chain(*confirmed), *baselines, *baselines[1:]])
