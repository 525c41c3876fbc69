"""What a search promised, and what its budget was worth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gru_bench.evaluation import statistics
from gru_bench.report.build import build
from gru_bench.report.figures.accuracy import pictures
from gru_bench.report.render import html_latex as render
from gru_bench.report.render.markdown import markdown
from gru_bench.results.runs import TrialSummary
from gru_bench.tracking import LoggedStudy
from tests.support.fake_store import BEST, FakeStore, TestSet, add_study, three_models
from tests.support.renderings import Built, all_said, html_numbers, said, soup_of, tex_numbers
from tests.support.values import present


def with_trials(
    study: LoggedStudy, values: list[float], sampler: str = "random", states: list[str] | None = None
) -> LoggedStudy:
    states = states or ["complete"] * len(values)
    trials = tuple(TrialSummary(n, "torch", state, value, 3, BEST)
                   for n, (value, state) in enumerate(zip(values, states, strict=True)))
    return replace(study, summary=replace(present(study.summary), trials=trials, sampler=sampler))


@pytest.fixture
def torch() -> tuple[FakeStore, LoggedStudy]:
    store = FakeStore()
    return store, add_study(store, "torch", {"torch": 0.0}, test_set=TestSet.draw(300))


def test_the_expected_best_of_random_trials(torch: tuple[FakeStore, LoggedStudy]) -> None:
    store, study = torch
    values = list(np.random.default_rng(0).uniform(0.8, 0.9, 20))
    report = build([with_trials(study, values)], store)
    (best,) = report.expected_best
    assert report.no_expected_best == ()
    expected = {found.trials: found for found in statistics.expected_best(values)}
    assert [point.trials.value for point in best.points] == [1, 2, 3, 5, 8, 12, 16, 20]
    for point in best.points:
        found = expected[int(present(point.trials.value))]
        assert (point.best.value, point.best.low, point.best.high) == (found.mean, found.low, found.high)
    page, files = render.html(report), render.tex(report)
    picture = next(picture for picture in pictures(report) if picture.name == "expected-best")
    (line,) = picture.panels[0].lines
    assert list(line.x) == [1, 2, 3, 5, 8, 12, 16, 20]
    assert line.mean == tuple(100 * present(point.best.value) for point in best.points)
    assert all(low < mean < high for low, mean, high in zip(line.low, line.mean, line.high, strict=True))
    assert [row[2:] for row in picture.table[1:]] == [
        (point.best.value, point.best.low, point.best.high) for point in best.points]
    assert f"{best.points[-1].best.text} ({best.points[-1].best.ends[0].text} to" in picture.alternative
    assert soup_of(page).find("a", download="expected-best.csv")
    assert "\\drawn{expected-best}" in files["report.tex"]
    for text in (picture.caption, page, markdown(report), files["tables/expected-best.tex"].replace("\\,\\%", " %")):
        assert "fresh random trials" in text
        assert "80 % interval of that expectation" in text
    last = best.points[-1]
    ends = ", ".join(end.text for end in last.best.ends)
    assert f"| Torch GRU | 20 | {last.best.text} [{ends}] |" in markdown(report)
    assert {key: text for key, (text, _) in html_numbers(page).items()} == tex_numbers(files)


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
    assert report.expected_best == ()
    assert "expected-best" not in {picture.name for picture in pictures(report)}
    assert reason in all_said(report.no_expected_best)
    assert reason in markdown(report)
    assert "Torch GRU: the expected best of fewer trials is not shown" in all_said(report.no_expected_best)


def importance_of(study: LoggedStudy, method: str) -> LoggedStudy:
    """The same search, with the shares of importance that a method gives, or none."""
    shares = {"torch": {"training.lr": 0.7, "model.hidden_size": 0.3}} if method else {}
    return replace(study, summary=replace(present(study.summary), importance=shares, importance_method=method))


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
    report = build([importance_of(one, method) for one, method in zip((study, other), methods, strict=True)], store)
    for text in (render.html(report), render.tex(report)["tables/search.tex"].replace(r"\allowbreak{}", "")):
        text = text.replace("{-}", "-").replace("{,}", ",")
        assert ("Importance measures how much" in text) == bool(named)
        assert f"over all settings {named}." in text or not named


@pytest.mark.parametrize(("pruner", "words"), [
    ("median", "median pruner"), ("wilcoxon", "Wilcoxon pruner"), ("none", "none pruned")])
def test_every_pruner_has_its_words(torch: tuple[FakeStore, LoggedStudy], pruner: str, words: str) -> None:
    store, study = torch
    (search,) = build([replace(study, summary=replace(present(study.summary), pruner=pruner))], store).searches
    assert search.pruner == words


def space_of(study: LoggedStudy, name: str, range_: dict[str, Any], value: Any) -> LoggedStudy:
    best = {"training.lr": 0.002, name: value}
    space = {"training.lr": {"low": 1e-3, "high": 1e-2, "log": True}, name: range_}
    return replace(study, summary=replace(present(study.summary), space=space, best={"torch": best}))


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
    (search,) = build([space_of(study, name, range_, value)], store).searches
    assert search.space[1].edge == edge
    assert bool(search.edges) == bool(edge)


def test_several_ends_are_listed(torch: tuple[FakeStore, LoggedStudy]) -> None:
    store, study = torch
    ranges = {"model.layers": {"low": 1, "high": 3}, "model.hidden_size": {"low": 8, "high": 16},
              "training.batch_size": {"low": 16, "high": 64}}
    best = {"model.layers": 3, "model.hidden_size": 8, "training.batch_size": 64}
    wide = replace(study, summary=replace(present(study.summary), space=ranges, best={"torch": best}))
    assert said(build([wide], store).searches[0].edges) == (
        "The best values of layers, hidden size and batch size lie at an end of the ranges searched; a wider range "
        "may hold a better one.")


@pytest.mark.parametrize(("trials", "unstable"), [(6, True), (19, True), (20, False)])
def test_importance_says_what_it_compares_and_where_it_is_unstable(
    torch: tuple[FakeStore, LoggedStudy], trials: int, unstable: bool
) -> None:
    store, study = torch
    values = list(np.random.default_rng(0).uniform(0.8, 0.9, trials))
    report = build([with_trials(study, values)], store)
    page, paper = render.html(report), render.tex(report)
    said_so = " ".join(said(search.importance_caution) for search in report.searches)
    assert (f"the best tenth of {trials} completed trials, which is {1 if trials < 11 else 2}, with all" in said_so
            ) == unstable
    for text in (page, paper["report.tex"]):
        assert ("such shares are unstable" in text) == unstable
    for text in (page, paper["tables/search.tex"]):
        assert "how much the best tenth of the completed trials differ from all completed trials in a setting" in text
        assert "a setting explains" not in text


def test_search_shows_promise_confirmation_and_test(built: Built) -> None:
    _, studies, report = built
    search = report.searches[0]
    runs = studies[0].confirms
    assert search.best.value == 0.872
    assert search.confirmed.value == pytest.approx(np.mean([run.metrics["score/val_accuracy"] for run in runs]))
    assert search.test == report.rows[0].accuracy
    assert "the best trial reached 87.2 % on validation; fresh seeds" in said(search.gap)
    assert {d.name: d.edge for d in search.space} == {
        "learning rate": "", "hidden size": "high", "pooling": "", "dropout": "",
    }
    assert said(search.edges).startswith("The best value of hidden size lies at an end of the range searched; a")
    assert search.importance_method.startswith("PED-ANOVA")


def test_validation_of_the_best_epoch_is_found_in_the_history_too() -> None:
    store, (study, *_) = three_models()
    bare = [replace(run, metrics={key: value for key, value in run.metrics.items() if key != "score/val_accuracy"})
            for run in study.confirms]
    search = build([replace(study, confirms=tuple(bare))], store).searches[0]
    expected = np.mean([dict(store.metrics[run.run_id]["accuracy/val"])[3] for run in bare])
    assert search.confirmed.value == pytest.approx(expected)


def test_unequal_budgets_are_said() -> None:
    store = FakeStore()
    add_study(store, "scratch", {"scratch": 0.0}, trials=16)
    add_study(store, "torch", {"torch": 0.0}, trials=16)
    studies = store.by_experiment["movie-reviews"]
    assert build(studies, store).budgets == ()
    add_study(store, "bidirectional", {"bidirectional": 0.1}, trials=40)
    text = said(build(store.by_experiment["movie-reviews"], store).budgets)
    assert "had unequal budgets" in text
    # Of forty, as many failed as in the other studies of sixteen.
    assert "bidirectional had 32 finished trials of up to 4 epochs over 4 settings" in text


def test_budgets_are_the_trials_that_finished_whatever_was_typed_last() -> None:
    store = FakeStore()
    one = add_study(store, "one", {"scratch": 0.0, "torch": 0.0}, trials=5)
    two = add_study(store, "two", {"bidirectional": 0.1}, trials=5)
    lowered = replace(one, summary=replace(present(one.summary), trials_asked=0))
    # Of five trials of each model one failed; neither a number lowered later nor a second model changes that.
    report = build([lowered, two], store)
    assert report.budgets == ()
    assert "Search trials used training and validation reviews only" in all_said(report.methods)
    three = add_study(store, "three", {"rnn": 0.0}, trials=16)
    text = said(build([lowered, two, three], store).budgets)
    assert "one had 4 finished trials for each model of up to 4 epochs over 4 settings" in text
    assert "two had 4 finished trials of up to 4 epochs" in text
    assert "three had 13 finished trials of up to 4 epochs" in text
    fewer = tuple(trial for trial in present(one.summary).trials if trial.model == "scratch" or trial.number == 0)
    uneven = replace(one, summary=replace(present(one.summary), trials=fewer))
    assert "one had 4 (Scratch GRU) and 1 (Torch GRU) finished trials of up to" in said(build([uneven], store).budgets)
    fixed = add_study(store, "fixed", {"rnn": 0.0}, search=False)
    assert said(build([two, fixed], store).budgets).endswith("settings; fixed had no search.")
    # Models on other data are not compared.
    there = add_study(store, "there", {"torch": 0.0}, trials=16, fingerprint="other", test_set=TestSet.draw(seed=1))
    assert build([two, there], store).budgets == ()


def test_a_study_of_several_models_without_a_search() -> None:
    store = FakeStore()
    study = add_study(store, "homework", {"scratch": 0.0, "torch": 0.0, "bidirectional": 0.1}, search=False)
    report = build([study], store)
    assert len(report.rows) == 3
    assert report.searches == ()
    assert [setting.name for setting in report.rows[0].settings] == [
        "learning rate", "hidden size", "layers", "pooling",
    ]
    assert report.budgets == ()
