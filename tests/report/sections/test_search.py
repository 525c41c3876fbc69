"""What a search found, and what fresh seeds reach with its settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gru_bench.document.numbers import MISSING
from gru_bench.report.sections.search import search
from gru_bench.results.runs import TrialSummary
from gru_bench.tracking import LoggedStudy
from tests.support.commands import mentions
from tests.support.fake_store import BEST, FakeStore, TestSet, add_study, summarized
from tests.support.renderings import Built, all_said, column_of, number_in, said, table_of
from tests.support.sections import build_only


def with_trials(
    study: LoggedStudy, values: list[float], sampler: str = "random", states: list[str] | None = None
) -> LoggedStudy:
    states = states or ["complete"] * len(values)
    trials = tuple(TrialSummary(n, "torch", state, value, 3, BEST)
                   for n, (value, state) in enumerate(zip(values, states, strict=True)))
    return summarized(study, trials=trials, sampler=sampler)


@pytest.fixture
def torch() -> tuple[FakeStore, LoggedStudy]:
    store = FakeStore()
    return store, add_study(store, "torch", {"torch": 0.0}, seeds=2, test_set=TestSet.draw(50))


@pytest.mark.parametrize(("methods", "named"), [
    (("", "PED-ANOVA"), "(PED-ANOVA)"),
    (("PED-ANOVA", ""), "(PED-ANOVA)"),
    (("PED-ANOVA", "PED-ANOVA"), "(PED-ANOVA)"),
    (("PED-ANOVA", "fANOVA"), "(PED-ANOVA, fANOVA)"),
    (("", ""), ""),
])
def test_the_caption_names_the_methods_of_importance_that_were_used(
    torch: tuple[FakeStore, LoggedStudy], methods: tuple[str, ...], named: str
) -> None:
    store, study = torch
    other = add_study(store, "other", {"torch": 0.0}, seeds=2, test_set=TestSet.draw(50))
    shares = {"torch": {"training.lr": 0.7, "model.hidden_size": 0.3}}
    report = build_only([summarized(one, importance=shares if method else {}, importance_method=method)
                         for one, method in zip((study, other), methods, strict=True)], store, search)
    caption = said(table_of(report, "settings").caption)
    assert f"Importance {named or '(not computed)'}: " in caption
    assert [share.text for share in column_of(report, "settings", "Importance")[:2]] == (
        ["70", "30"] if methods[0] else ["—", "—"])


@pytest.mark.parametrize(("pruner", "name"), [
    ("halving", "successive-halving pruner"), ("none", "none pruned")])
def test_the_table_names_the_sampler_the_pruner_and_the_objective(
    torch: tuple[FakeStore, LoggedStudy], pruner: str, name: str
) -> None:
    store, study = torch
    (cell,) = column_of(build_only([summarized(study, pruner=pruner)], store, search), "search", "Search")
    mentions(said(cell), "TPE", name, "validation accuracy of the best epoch")


@pytest.mark.parametrize(("name", "range_", "value", "edge"), [
    ("model.layers", {"low": 1, "high": 3}, 1, ""),
    ("model.layers", {"low": 1, "high": 4}, 4, "high"),
    ("model.layers", {"low": 2, "high": 5}, 2, "low"),
    ("model.pooling", {"choices": ["mean", "max"]}, "mean", ""),
])
def test_a_best_value_at_an_end_of_its_range_is_marked_unless_the_setting_allows_no_more(
    torch: tuple[FakeStore, LoggedStudy], name: str, range_: Any, value: float | str, edge: str
) -> None:
    store, study = torch
    space = {"training.lr": {"low": 1e-3, "high": 1e-2, "log": True}, name: range_}
    found = summarized(study, space=space, best={"torch": {"training.lr": 0.002, name: value}})
    report = build_only([found], store, search)
    assert column_of(report, "settings", "At an end") == [MISSING, edge or MISSING]
    assert ("at an end" in all_said(report.warnings)) == bool(edge)


def test_the_warning_lists_all_settings_whose_best_value_is_at_an_end(torch: tuple[FakeStore, LoggedStudy]) -> None:
    store, study = torch
    ranges = {"model.layers": {"low": 1, "high": 4}, "model.hidden_size": {"low": 8, "high": 16},
              "training.batch_size": {"low": 16, "high": 64}}
    best = {"model.layers": 4, "model.hidden_size": 8, "training.batch_size": 64}
    report = build_only([summarized(study, space=ranges, best={"torch": best})], store, search)
    mentions(all_said(report.warnings), "layers, 4", "hidden size, 8", "batch size, 64", "at an end", "GRU001")


def test_the_table_compares_the_best_trial_with_fresh_seeds_on_validation_and_test(built: Built) -> None:
    _, studies, report = built
    runs = studies[0].confirms
    assert column_of(report, "search", "Best trial")[0].value == 0.872
    assert number_in(column_of(report, "search", "Confirmed")[0]).value == pytest.approx(
        np.mean([run.metrics["score/val_accuracy"] for run in runs]))
    rows = [row for row in table_of(report, "settings").rows if row[0] == "Scratch GRU"]
    assert {row[1]: row[-1] for row in rows} == {
        "learning rate": MISSING, "hidden size": "high", "pooling": MISSING, "dropout": MISSING,
    }
    assert [row[2] for row in rows] == ["0.0001 to 0.01, log scale", "32 to 256", "final, mean, meanmax", "0 to 0.5"]
    assert "(PED-ANOVA over complete trials)" in said(table_of(report, "settings").caption)


def test_the_validation_accuracy_of_the_best_epoch_is_read_from_the_history_if_it_was_not_logged(
    torch: tuple[FakeStore, LoggedStudy]
) -> None:
    store, study = torch
    bare = [replace(run, metrics={key: value for key, value in run.metrics.items() if key != "score/val_accuracy"})
            for run in study.confirms]
    report = build_only([replace(study, confirms=tuple(bare))], store, search)
    expected = np.mean([dict(store.metrics[run.run_id]["accuracy/val"])[3] for run in bare])
    assert number_in(column_of(report, "search", "Confirmed")[0]).value == pytest.approx(expected)


def test_a_study_without_a_search_has_no_such_section() -> None:
    store = FakeStore()
    study = add_study(store, "homework", {"torch": 0.0}, seeds=2, search=False, test_set=TestSet.draw(50))
    assert build_only([study], store, search).sections[1:] == ()
