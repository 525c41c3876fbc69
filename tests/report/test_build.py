"""A report as a whole: what it reads, which sections it has, and what it is computed from."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import chain

import pytest

from gru_bench.errors import RunError
from gru_bench.report.sections.errors import errors
from gru_bench.report.sections.evaluation import evaluation
from gru_bench.report.sections.learning import learning
from gru_bench.report.sections.search import search
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study, class_names, three_models
from tests.support.homework_study import homework
from tests.support.renderings import Built, all_said, column_of, said, words_of
from tests.support.reports import build
from tests.support.sections import build_only


def test_sections_stand_in_the_order_of_the_contents(built: Built) -> None:
    usual = [section.name for section in built.report.sections]
    assert usual[:3] == ["summary", "results", "comparisons"]
    store, _ = homework()
    add_study(store, "tuned", {"torch": 0.0}, test_set=TestSet.draw(60))
    # One study of the homework's protocol is enough, wherever it stands.
    both = [section.name for section in build(store.by_experiment["movie-reviews"][::-1], store).sections]
    assert [name for name in both if name in usual] == usual
    assert [name for name in both if name not in usual] == [
        "protocol", "ablations", "discussion"]
    assert both[:6] == ["summary", "results", "comparisons", "protocol", "ablations", "discussion"]
    assert both[-3:] == ["runs", "methods", "checklist"]


def test_captions_speak_of_what_is_there_alone() -> None:
    """A model of two seeds has no interval, but a difference has one; one pair has no correction."""
    store = FakeStore()
    study = add_study(store, "two seeds", {"scratch": 0.0, "torch": 0.0}, seeds=2, test_set=TestSet.draw(100))
    report = build([replace(study, baselines=())], store)
    assert report.numbers["two-seeds-torch.accuracy"].low is None
    # Those of the seeds together are over reviews alone, so that two seeds have one.
    assert all(cell.low is not None for cell in column_of(report, "together", "Accuracy"))
    tables = [table for table in report.tables if table.key != "together"]
    captions = [*(said(table.captioned(on_paper)) for table in tables for on_paper in (False, True)),
                *(figure.caption for figure in report.figures)]
    assert len(captions) > 10
    assert [caption for caption in captions if any(word in caption for word in ("Holm", "bootstrap"))] == []
    assert {caption.split()[0] for caption in captions if "95 %" in caption} == {"Difference", "Each"}
    assert "bootstrap" not in words_of(report, "methods")


def test_a_single_run_is_no_mean_over_seeds() -> None:
    store = FakeStore()
    study = add_study(store, "one seed", {"torch": 0.0}, seeds=1, test_set=TestSet.draw(100, classes=class_names(4)))
    report = build_only([study], store, evaluation, learning, search, errors)
    texts = [*(said(table.caption) for table in report.tables),
             *(words_of(report, section.name) for section in report.sections), all_said(report.warnings)]
    assert [text for text in texts if re.search("means? over seeds|average over seeds|fresh seeds of", text)] == []
    mentions("\n".join(texts), "one run of each model", "a fresh seed of the same configuration reaches",
             "of one run", "It comes from epoch 3.0")


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
    # Predictions of validation examples are looked for too; those of the first run of each model are missing here.
    assert sorted(store.reads) == sorted([
        "histories", *chain(*confirmed), *baselines, *(first for first, *_ in confirmed)])
