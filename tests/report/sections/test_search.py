"""What a search promised, what fresh seeds reached, and what its budget was worth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gru_bench.evaluation import statistics
from gru_bench.report.build import build
from gru_bench.report.document.blocks import Heading
from gru_bench.report.document.report import Report
from gru_bench.results.runs import TrialSummary
from gru_bench.tracking import LoggedStudy
from tests.support.fake_store import BEST, FakeStore, TestSet, add_study, summarized, three_models
from tests.support.renderings import Built, column_of, figure_of, said, section_of, table_of, words_of


def with_trials(
    study: LoggedStudy, values: list[float], sampler: str = "random", states: list[str] | None = None
) -> LoggedStudy:
    states = states or ["complete"] * len(values)
    trials = tuple(TrialSummary(n, "torch", state, value, 3, BEST)
                   for n, (value, state) in enumerate(zip(values, states, strict=True)))
    return summarized(study, trials=trials, sampler=sampler)


def names(report: Report) -> set[str]:
    """Return the names of the figures of a report."""
    return {figure.name for figure in report.figures}


@pytest.fixture
def torch() -> tuple[FakeStore, LoggedStudy]:
    store = FakeStore()
    return store, add_study(store, "torch", {"torch": 0.0}, test_set=TestSet.draw(300))


def test_the_expected_best_of_random_trials(torch: tuple[FakeStore, LoggedStudy]) -> None:
    store, study = torch
    values = list(np.random.default_rng(0).uniform(0.8, 0.9, 20))
    report = build([with_trials(study, values)], store)
    best = column_of(report, "expected-best", "Best of them")
    assert "expected best of fewer trials" not in words_of(report, "search")
    expected = {found.trials: found for found in statistics.expected_best(values)}
    trials = [int(number.value) for number in column_of(report, "expected-best", "Trials")]
    assert trials == [1, 2, 3, 5, 8, 12, 16, 20]
    for number, count in zip(best, trials, strict=True):
        found = expected[count]
        assert (number.value, number.low, number.high) == (found.mean, found.low, found.high)
    figure = figure_of(report, "expected-best")
    (line,) = figure.panels[0].lines
    assert list(line.x) == trials
    assert line.mean == tuple(100 * number.value for number in best)
    assert all(low < mean < high for low, mean, high in zip(line.low, line.mean, line.high, strict=True))
    assert figure.csv().splitlines()[0] == "model,trials,expected best,low,high"
    assert figure.csv().splitlines()[1].endswith(",".join(map(repr, (best[0].value, best[0].low, best[0].high))))
    assert f"{best[-1].text} ({best[-1].ends[0].text} to" in figure.alternative
    for text in (figure.caption, said(table_of(report, "expected-best").captioned())):
        assert "fresh random trials" in text
        assert "80 % interval of that expectation" in text


@pytest.mark.parametrize(("sampler", "states", "reason"), [
    ("tpe", ["complete"] * 3, "but TPE chose each trial by the earlier ones"),
    ("random", ["complete", "pruned", "complete"], "but some trials were pruned"),
    ("random", ["complete", "failed", "complete"], "but some trials failed"),
])
def test_no_expected_best_where_trials_were_not_independent(
    torch: tuple[FakeStore, LoggedStudy], sampler: str, states: list[str], reason: str
) -> None:
    store, study = torch
    report = build([with_trials(study, [0.8, 0.81, 0.82], sampler, states)], store)
    assert "expected-best" not in names(report) | {table.key for table in report.tables}
    assert not any(isinstance(block, Heading) for block in section_of(report, "search").blocks)
    words = words_of(report, "search")
    assert reason in words
    assert "Torch GRU: the expected best of fewer trials is not shown" in words


@pytest.mark.parametrize(("methods", "named"), [
    (("", "PED-ANOVA"), "(PED-ANOVA)"),
    (("PED-ANOVA", ""), "(PED-ANOVA)"),
    (("PED-ANOVA", "PED-ANOVA"), "(PED-ANOVA)"),
    (("PED-ANOVA", "fANOVA"), "(PED-ANOVA, fANOVA)"),
    (("", ""), ""),
])
def test_the_method_of_importance_is_named_wherever_there_is_one(
    torch: tuple[FakeStore, LoggedStudy], methods: tuple[str, ...], named: str
) -> None:
    store, study = torch
    other = add_study(store, "other", {"torch": 0.0}, test_set=TestSet.draw(300))
    shares = {"torch": {"training.lr": 0.7, "model.hidden_size": 0.3}}
    report = build([summarized(one, importance=shares if method else {}, importance_method=method)
                    for one, method in zip((study, other), methods, strict=True)], store)
    caption = said(table_of(report, "settings").captioned())
    assert ("Importance measures how much the best tenth of the completed trials differ from all completed trials in a "
            "setting" in caption) == bool(named)
    assert caption.endswith(f"over all settings {named}." if named else "The settings searched.")
    assert [share.text for share in column_of(report, "settings", "Importance")[:2]] == (
        ["70", "30"] if methods[0] else ["—", "—"])


@pytest.mark.parametrize(("pruner", "words"), [
    ("median", "median pruner"), ("wilcoxon", "Wilcoxon pruner"), ("none", "none pruned")])
def test_every_pruner_has_its_words(torch: tuple[FakeStore, LoggedStudy], pruner: str, words: str) -> None:
    store, study = torch
    (cell,) = column_of(build([summarized(study, pruner=pruner)], store), "search", "Search")
    assert said(cell) == f"TPE, {words}by validation accuracy of the best epoch"


@pytest.mark.parametrize(("name", "range_", "value", "edge"), [
    ("model.layers", {"low": 1, "high": 3}, 1, ""),
    ("model.layers", {"low": 1, "high": 3}, 3, "high"),
    ("model.layers", {"low": 2, "high": 3}, 2, "low"),
    ("model.hidden_size", {"low": 1, "high": 90}, 2, ""),
    ("model.hidden_size", {"low": 8, "high": 32, "step": 8}, 8, "low"),
    ("model.hidden_size", {"low": 8, "high": 32, "step": 8}, 16, ""),
    ("model.dropout", {"low": 0.0, "high": 0.5}, 0.01, ""),
    ("model.dropout", {"low": 0.0, "high": 0.5}, 0.5, "high"),
    ("model.dropout", {"low": 0.5, "high": np.nextafter(1.0, 0.0)}, 0.99, ""),
    ("training.clip_norm", {"low": 1e-6, "high": 1.0, "log": True}, 1e-6, "low"),
    ("training.patience", {"low": 1, "high": 3}, 1, ""),
    ("training.epochs", {"low": 1, "high": 3}, 1, ""),
    ("model.pooling", {"choices": ["mean", "max"]}, "mean", ""),
    ("model.layers", {"choices": [1, 2, 3]}, 3, ""),
    ("embedding.trainable", {"choices": [False, True]}, True, ""),
    ("model.gone", {"low": 1, "high": 3}, 3, ""),
])
def test_an_end_that_the_setting_cannot_pass_is_no_edge(
    torch: tuple[FakeStore, LoggedStudy], name: str, range_: Any, value: bool | float | str, edge: str
) -> None:
    store, study = torch
    space = {"training.lr": {"low": 1e-3, "high": 1e-2, "log": True}, name: range_}
    report = build([summarized(study, space=space, best={"torch": {"training.lr": 0.002, name: value}})], store)
    assert column_of(report, "settings", "At an end") == ["", edge]
    assert ("at an end of the range searched" in words_of(report, "search")) == bool(edge)


def test_several_ends_are_listed(torch: tuple[FakeStore, LoggedStudy]) -> None:
    store, study = torch
    ranges = {"model.layers": {"low": 1, "high": 3}, "model.hidden_size": {"low": 8, "high": 16},
              "training.batch_size": {"low": 16, "high": 64}}
    best = {"model.layers": 3, "model.hidden_size": 8, "training.batch_size": 64}
    assert (
        "The best values of layers, hidden size and batch size lie at an end of the ranges searched; a wider range "
        "may hold a better one."
    ) in words_of(build([summarized(study, space=ranges, best={"torch": best})], store), "search")


@pytest.mark.parametrize(("trials", "unstable"), [(6, True), (19, True), (20, False)])
def test_importance_says_what_it_compares_and_where_it_is_unstable(
    torch: tuple[FakeStore, LoggedStudy], trials: int, unstable: bool
) -> None:
    store, study = torch
    values = list(np.random.default_rng(0).uniform(0.8, 0.9, trials))
    words = words_of(build([with_trials(study, values)], store), "search")
    assert (f"the best tenth of {trials} completed trials, which is {1 if trials < 11 else 2}, with all" in words
            ) == unstable
    assert ("such shares are unstable" in words) == unstable


def test_search_shows_promise_confirmation_and_test(built: Built) -> None:
    _, studies, report = built
    runs = studies[0].confirms
    assert column_of(report, "search", "Best trial")[0].value == 0.872
    assert column_of(report, "search", "Confirmed")[0].value == pytest.approx(
        np.mean([run.metrics["score/val_accuracy"] for run in runs]))
    assert column_of(report, "search", "Test")[0].value == pytest.approx(
        np.mean([run.metrics["score/test_accuracy"] for run in runs]))
    words = words_of(report, "search")
    assert "Scratch GRU: the best trial reached 87.2 % on validation; fresh seeds" in words
    assert "The best value of hidden size lies at an end of the range searched; a" in words
    rows = [row for row in table_of(report, "settings").rows if row[0] == "Scratch GRU"]
    assert {row[1]: row[-1] for row in rows} == {
        "learning rate": "", "hidden size": "high", "pooling": "", "dropout": "",
    }
    assert [row[2] for row in rows] == ["0.0001 to 0.01, log scale", "32 to 256", "final, mean, meanmax", "0 to 0.5"]
    assert "(PED-ANOVA over complete trials)" in said(table_of(report, "settings").captioned())


@pytest.mark.parametrize(("teachers", "words"), [
    (1, "The fresh seeds learned from 1 teacher each, which trials do not have."),
    (2, "The fresh seeds learned from 2 teachers each, which trials do not have.")])
def test_a_search_that_had_no_teachers_says_so(teachers: int, words: str) -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, test_set=TestSet.draw(300))
    assert "teacher" not in words_of(build([study], store), "search")
    taught = replace(study, confirms=tuple(
        replace(run, params={**run.params, "training.teachers": str(teachers)}) for run in study.confirms))
    assert words in words_of(build([taught], store), "search")


def test_validation_of_the_best_epoch_is_found_in_the_history_too() -> None:
    store, (study, *_) = three_models()
    bare = [replace(run, metrics={key: value for key, value in run.metrics.items() if key != "score/val_accuracy"})
            for run in study.confirms]
    report = build([replace(study, confirms=tuple(bare))], store)
    expected = np.mean([dict(store.metrics[run.run_id]["accuracy/val"])[3] for run in bare])
    assert column_of(report, "search", "Confirmed")[0].value == pytest.approx(expected)


def test_a_study_without_a_search_has_no_such_section() -> None:
    store = FakeStore()
    study = add_study(store, "homework", {"scratch": 0.0, "torch": 0.0, "bidirectional": 0.1}, search=False)
    report = build([study], store)
    assert "search" not in [section.name for section in report.sections]
    assert not any(name.startswith("search") for name in names(report))
