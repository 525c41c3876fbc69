"""Reports on studies of several data sets, each in an experiment of its own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import gru_bench.tracking
from gru_bench.report.__main__ import app
from gru_bench.report.build import build
from gru_bench.report.choice import choose_from
from gru_bench.report.evidence.collect import Evidence, collect
from gru_bench.report.evidence.data_sets import LINEAR
from gru_bench.report.sections import paper
from gru_bench.stats.verdict import Finding, holm
from tests.support.commands import completed, mentions
from tests.support.fake_store import FakeStore, TestSet, add_study, with_data
from tests.support.renderings import column_of, words_of

SIZES = {"films": 300, "books": 450, "shops": 600, "news": 250, "mails": 350}


def store_of(sizes: dict[str, int], **more: float) -> FakeStore:
    """Return a store with the study `two` on each data set, of two models and others with their skills."""
    store = FakeStore()
    for place, (name, size) in enumerate(sizes.items()):
        add_study(store, f"two-{name}", {"torch": 0.3, "scratch": 0.0, **more}, seeds=3, experiment=name,
                  fingerprint=name, seed=place, test_set=TestSet.draw(size, seed=place))
        study, = store.by_experiment[name]
        study = with_data(study, name=name)
        store.by_experiment[name] = [replace(study, run=replace(study.run, study="two"))]
    return store


def evidence(sizes: dict[str, int]) -> Evidence:
    store = store_of(sizes)
    return collect(choose_from(store, list(sizes), []).studies, store)


def test_models_are_compared_on_each_data_set_and_over_them() -> None:
    found = evidence(SIZES)
    assert list(found.data_sets) == list(SIZES)
    assert (len(found.compared), len(found.against), found.not_compared) == (5, 10, [])
    assert {pair.family for pair in found.compared} == {5}
    assert {pair.family for pair in found.against} == {10}
    raw = [pair.difference.p for pair in found.against]
    assert [pair.tests and pair.tests.different for pair in found.against] == pytest.approx(holm(raw), abs=1e-12)
    over = {one.names: one for one in found.over_data_sets}
    assert list(over) == [("Torch GRU", "Scratch GRU"), ("Torch GRU", LINEAR), ("Scratch GRU", LINEAR)]
    assert [one.family for one in over.values()] == [1, 2, 2]
    own = over["Torch GRU", "Scratch GRU"]
    theta_D = np.array([pair.difference.estimate for pair in own.parts])
    assert own.difference.p == pytest.approx(float(stats.ttest_1samp(theta_D, 0).pvalue), rel=1e-12)


def test_fewer_than_five_data_sets_have_no_verdict_and_those_with_common_texts_are_none() -> None:
    few = evidence(dict(list(SIZES.items())[:3]))
    assert {one.verdict.finding for one in few.over_data_sets} == {Finding.TOO_FEW_DATA_SETS}
    store = store_of(dict(list(SIZES.items())[:2]))
    first, second = (store.by_experiment[name][0] for name in ("films", "books"))
    for run in second.confirms:
        one = store.predicted[run.run_id, "test"]
        ids = one.example_id_N.copy()
        ids[0] = store.predicted[first.confirms[0].run_id, "test"].example_id_N[0]
        store.predicted[run.run_id, "test"] = replace(one, example_id_N=ids)
    assert collect([first, second], store).data_sets == {}


def test_each_pair_over_data_sets_is_in_the_table_that_the_paragraph_for_a_paper_names(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paper, "FEW", 2)
    sizes = dict(list(SIZES.items())[:2])
    store = store_of(sizes, bidirectional=0.5)
    found = collect(choose_from(store, list(sizes), []).studies, store)
    report = build(found)
    assert len(found.over_data_sets) == 6
    assert column_of(report, "verdicts", "Pair") == [one.label for one in found.over_data_sets]
    mentions(words_of(report, "paper"), "other 4 pairs are in the table of verdicts")


def test_a_report_on_several_experiments_can_be_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    some = dict(list(SIZES.items())[:2])
    store = store_of(some)
    monkeypatch.setattr(gru_bench.tracking, "open_reader", lambda uri: store)
    asked = [word for name in some for word in ("--experiment", name)]
    done = completed(app, *asked, "--no-attach", "--out", "out")
    assert done.returncode == 0, done.stderr
    page = Path("out/report.md").read_text("utf-8")
    mentions(page, "Torch GRU (two, films)", "Torch GRU (two, books)", "| films | 300 |")
    assert completed(app, "--verify", "out").returncode == 0
    found = json.loads(completed(app, *asked, "--study", "two", "--json").stdout)
    assert found["pairs"][-1]["data_sets"] == ["films", "books"]
    mentions(completed(app, *asked, "--study", "tow").stderr, "'tow'", "two")
