"""Each check fires on a study made for it, logged or to begin, and on no sound one; the limits of its condition."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import stdtrit

from gru_bench.checks import CHECKS, Check, LoggedData, State, Subject, of_logged, outcomes
from gru_bench.config import MetricName
from gru_bench.document.blocks import numbers_in
from gru_bench.document.sentences import Warning, say
from gru_bench.evidence.settings import end_of_range
from gru_bench.report.sections.search import search
from gru_bench.results.runs import NearDuplicates
from gru_bench.stats.classes import RARE, are_uneven
from gru_bench.stats.scores import compared
from gru_bench.sweep.spec import known_studies, load_study
from gru_bench.tracking import LoggedStudy
from tests.support.checks import warnings_of
from tests.support.commands import ROOT, mentions
from tests.support.fake_store import (
    BEST,
    FakeStore,
    Studies,
    TestSet,
    add_study,
    answered,
    summarized,
    under_way,
    with_answers,
    with_data,
)
from tests.support.renderings import all_said, column_of, words_of
from tests.support.reports import build
from tests.support.sections import build_only
from tests.support.studies import study_file
from tests.support.values import present

INSIDE = BEST | {"model.hidden_size": 128}
"""Best settings, none of them at an end of its range."""


EXAMPLES = 300
SMALL = TestSet.draw(50)


def sound(**options: object) -> Studies:
    """Return a store with one study of two models that nothing is wrong with."""
    store = FakeStore()
    models = {"scratch": 0.4, "torch": 0.4}
    add_study(store, "sound", models, **{"best": INSIDE, "test_set": TestSet.draw(EXAMPLES)} | options)  # type: ignore[arg-type]
    return store, store.by_experiment["movie-reviews"]


def changed(change: Callable[[LoggedStudy], LoggedStudy], **options: object) -> Studies:
    store, (study,) = sound(**options)
    return store, [change(study)]


def right_by_chance(chance: float, store: FakeStore, studies: Sequence[LoggedStudy]) -> Studies:
    """Return the studies with test answers that are right with a chance."""
    for place, run in enumerate(run for study in studies for run in study.confirms):
        predictions = store.predicted[run.run_id, "test"]
        right_N = np.random.default_rng(place).random(len(predictions)) < chance
        store.predicted[run.run_id, "test"] = answered(predictions, right_N)
    return store, list(studies)


def uneven() -> Studies:
    drawn = TestSet.draw(EXAMPLES)
    label_N = (np.arange(EXAMPLES) % 10 == 0).astype(np.int8)
    return right_by_chance(0.98, *sound(test_set=replace(drawn, label_N=label_N)))


def rare() -> Studies:
    """Return a study with 19 test texts of the second class."""
    label_N = (np.arange(EXAMPLES) < RARE - 1).astype(np.int8)
    store, (study,) = right_by_chance(0.98, *sound(test_set=replace(TestSet.draw(EXAMPLES), label_N=label_N)))
    by_macro_f1 = replace(study, run=replace(study.run, params={**study.run.params, "metric": "macro_f1"}))
    return store, [summarized(by_macro_f1, metric="macro_f1")]


def other_budget() -> Studies:
    store, _ = sound()
    add_study(store, "longer", {"bidirectional": 0.4}, best=INSIDE, test_set=TestSet.draw(EXAMPLES), trials=40)
    return store, store.by_experiment["movie-reviews"]


def lost(study: LoggedStudy) -> LoggedStudy:
    trials = tuple(replace(trial, state="failed" if trial.number % 3 else "complete")
                   for trial in present(study.summary).trials)
    return summarized(study, trials=trials)


def no_margin(study: LoggedStudy) -> LoggedStudy:
    params = {key: value for key, value in study.run.params.items() if key != "margin"}
    return replace(study, run=replace(study.run, params=params))


def best_at_once(study: LoggedStudy) -> LoggedStudy:
    """Return the study with runs of a model whose first epoch is the best one."""
    return replace(study, confirms=tuple(
        replace(run, metrics={**run.metrics, "score/best_epoch": 1.0}) if run.model == "scratch" else run
        for run in study.confirms))


def good_linear() -> Studies:
    store, (study,) = sound()
    right_N = np.arange(len(store.predicted[study.confirms[0].run_id, "test"])) > 0
    return store, [with_answers(store, study, right_N)]


def guessed() -> Studies:
    store, studies = right_by_chance(0.53, *sound())
    return store, [replace(studies[0], baselines=())]


MADE: dict[str, tuple[Callable[[], Studies], Sequence[str]]] = {
    "GRU001": (lambda: sound(best=BEST), ("hidden size", "250", "32 to 256")),
    "GRU002": (other_budget, ("sound has 13 finished trials for each model", "longer has 32 finished trials of up to")),
    "GRU003": (lambda: sound(seeds=4), ("Scratch GRU", "4 seeds")),
    "GRU004": (lambda: changed(lambda study: with_data(study, test_repeats_removed=40)),
               ("movie-reviews", "40 training rows", f"{EXAMPLES} test texts")),
    "GRU005": (lambda: changed(lambda study: with_data(study, dropped_share=0.45)), ("55.0 %",)),
    "GRU006": (uneven, ("negative", "90.0 %")),
    "GRU007": (lambda: changed(lost), ("failed: 10 of 16",)),
    "GRU008": (lambda: changed(lambda study: summarized(study, best_value={"scratch": 0.99, "torch": 0.872})),
               ("Scratch GRU", "the best of")),
    "GRU009": (lambda: changed(no_margin), ("no study logged one",)),
    "GRU010": (good_linear, ("Scratch GRU is worse than TF-IDF",)),
    "GRU015": (lambda: guessed(), ("Scratch GRU", "53.", "guessing")),
    "GRU017": (lambda: changed(lambda study: with_data(
        study, groups={"train": 90, "validation": 12, "test": 40}, seen_groups=7, seen_group_reviews=31)),
               ("movie-reviews", f"31 of {EXAMPLES} test texts", "7 groups")),
    "GRU018": (lambda: changed(lambda study: with_data(study, near=NearDuplicates(300, 5, 17, removed=False))),
               ("movie-reviews", f"17 of {EXAMPLES} test texts", "5 of 2,048 validation texts")),
    "GRU021": (lambda: changed(best_at_once), ("Scratch GRU", "the first of 4 epochs", "all of its 5 seeds")),
    "GRU022": (rare, ("1 of 2 classes has fewer than 20 test texts: positive",)),
}


def warned(subject: Subject) -> list[Warning]:
    return [one for outcome in outcomes(subject) for one in outcome.warnings]


def codes(subject: Subject) -> set[str]:
    return {one.code for one in warned(subject)}


def states(subject: Subject, state: State) -> set[str]:
    return {one.check.code for one in outcomes(subject) if one.state is state}


@pytest.mark.parametrize(("difference", "found"), [(0.3, True), (0.001, False)])
def test_a_best_value_at_an_end_is_warned_of_where_no_other_value_is_as_good_up_to_luck(
    difference: float, found: bool
) -> None:
    store, (study,) = sound(best=BEST)
    summary = present(study.summary)
    others = tuple(replace(trial, value=summary.best_value[trial.model] - difference) for trial in summary.trials)
    studies = [summarized(study, trials=others)]
    assert ("GRU001" in codes(of_logged(studies, store))) == found


def test_a_sound_study_has_no_warnings() -> None:
    store, studies = sound()
    subject = of_logged(studies, store)
    assert warned(subject) == []
    assert states(subject, State.NOT_APPLICABLE) == {"GRU017", "GRU018"}  # no groups, near-duplicates not logged


def test_there_is_a_study_and_a_section_of_the_page_for_each_check() -> None:
    assert MADE.keys() == CHECKS.keys()
    assert sorted(CHECKS) == list(CHECKS)
    page = (ROOT / "docs" / "checks.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (GRU\d+)\n\n.+", page, re.MULTILINE) == list(CHECKS)


@pytest.mark.parametrize("code", MADE)
def test_each_check_fires_on_a_study_made_for_it_and_its_report_says_the_same(code: str) -> None:
    make, parts = MADE[code]
    store, studies = make()
    subject = of_logged(studies, store)
    assert states(subject, State.WARNED) == {code}
    found = warned(subject)
    assert any(all(part in one.text for part in parts) for one in found), found
    report = build(studies, store)
    told = all_said(report.warnings).replace("\N{NO-BREAK SPACE}", " ")
    assert set(re.findall(r"\(GRU\d+\)", told)) == {f"({code})"}
    page = words_of(report, "summary").replace("\N{NO-BREAK SPACE}", " ")
    for one in found:
        assert f"{one.text} ({code})" in told
        assert one.text in page
    mentions(page, f"{code} {found[0].text}", CHECKS[code].remedy)


def test_one_function_adds_a_check(monkeypatch: pytest.MonkeyPatch) -> None:
    added = Check("GRU999", "Do so.", lambda subject: iter([say("It is {what}.", what="so")]))
    monkeypatch.setitem(CHECKS, added.code, added)
    store, studies = sound(test_set=TestSet.draw(60))
    assert [(one.code, one.text) for one in warned(of_logged(studies, store))] == [("GRU999", "It is so.")]
    assert "It is so. (GRU999)" in all_said(build(studies, store).warnings)


def test_a_warning_shows_its_numbers() -> None:
    make, _ = MADE["GRU007"]
    store, studies = make()
    one = warned(of_logged(studies, store))[0]
    assert {number.key.rpartition(".")[2]: number.value for number in numbers_in(one.sentence)} == {
        "trials": 16, "failed": 10}
    mentions(one.text, "Scratch GRU")


def test_few_or_removed_near_duplicates_are_not_warned_of() -> None:
    for near in (NearDuplicates(9, 4, 1, removed=False), NearDuplicates(900, 40, 50, removed=True)):
        store, (study,) = sound()
        assert "GRU018" in states(of_logged([with_data(study, near=near)], store), State.PASSED)


def test_a_missing_margin_is_not_warned_of_if_nothing_is_compared() -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.4}, best=INSIDE, test_set=TestSet.draw(EXAMPLES))
    assert "GRU009" in states(of_logged([no_margin(study)], store), State.NOT_APPLICABLE)


def test_uneven_classes_are_not_warned_of_if_another_metric_than_accuracy_decides() -> None:
    store, (study,) = uneven()
    other = replace(study, run=replace(study.run, params={**study.run.params, "metric": "log_loss"}))
    subject = of_logged([summarized(other, metric="log_loss")], store)
    assert "GRU006" in states(subject, State.NOT_APPLICABLE)


def test_a_first_epoch_is_no_early_one_if_there_is_no_other_or_some_seed_has_a_better_one() -> None:
    store, (study,) = changed(best_at_once)
    first, *others = study.confirms
    later = replace(first, metrics={**first.metrics, "score/best_epoch": 2.0})
    assert "GRU021" in states(of_logged([replace(study, confirms=(later, *others))], store), State.PASSED)
    assert "GRU021" in states(of_logged(sound(epochs=1)[1], sound(epochs=1)[0]), State.NOT_APPLICABLE)


def test_unfinished_work_is_not_warned_of() -> None:
    store, (study,) = sound(test_set=TestSet.draw(60))
    begun = replace(under_way(store, study), trials=(), confirms=())
    assert warned(of_logged([begun], store)) == []
    assert warned(of_logged([replace(begun, run=replace(begun.run, run_id="nothing"))], store)) == []
    assert warned(of_logged([replace(study, confirms=())], store)) == []


def budgets(store: FakeStore, studies: Sequence[LoggedStudy]) -> str:
    """Return what the check of the budgets says; empty where they are equal."""
    return " ".join(one.text for one in warnings_of(of_logged(studies, store), "GRU002"))


def searched(store: FakeStore, name: str, *models: str, trials: int = 5) -> LoggedStudy:
    """Return a study of these models; of five trials of each one fails, of sixteen three do."""
    return add_study(store, name, dict.fromkeys(models, 0.0), seeds=2, trials=trials, test_set=SMALL)


def test_a_budget_is_the_number_of_finished_trials_of_each_model() -> None:
    store = FakeStore()
    one, two = searched(store, "one", "scratch", "torch"), searched(store, "two", "bidirectional")
    # A second model does not change the budget.
    assert budgets(store, [one, two]) == ""
    three = searched(store, "three", "bidirectional", trials=16)
    mentions(budgets(store, [one, two, three]), "one has 4 finished trials for each model of up to 4 epochs",
             "two has 4 finished trials", "three has 13 finished trials")


def test_models_of_one_study_with_unequal_budgets_are_named() -> None:
    store = FakeStore()
    one = searched(store, "one", "scratch", "torch")
    fewer = tuple(trial for trial in present(one.summary).trials if trial.model == "scratch" or trial.number == 0)
    mentions(budgets(store, [summarized(one, trials=fewer)]), "one has 4 (Scratch GRU) and 1 (Torch GRU)")


def test_a_study_without_a_search_is_named_only_next_to_one_with_a_search() -> None:
    store = FakeStore()
    fixed = add_study(store, "fixed", {"bidirectional": 0.0}, seeds=2, search=False, test_set=SMALL)
    assert "fixed has no search" in budgets(store, [searched(store, "two", "torch"), fixed])
    assert budgets(store, [fixed]) == ""


def test_budgets_of_studies_on_other_data_are_not_compared() -> None:
    store = FakeStore()
    there = add_study(store, "there", {"torch": 0.0}, trials=16, fingerprint="other", test_set=TestSet.draw(50, seed=1))
    assert budgets(store, [searched(store, "two", "torch"), there]) == ""


SOUND = """
models = ["scratch", "torch"]
trials = 6
confirm = 5
[data]
name = "train.csv"
test_name = "test.csv"
limit = 20000
[training]
epochs = 3
batch_size = 64
log_every = 100
[space]
training.lr = { low = 1e-3, high = 1e-2 }
"""


def test_finds_nothing_before_a_sound_study(tmp_path: Path) -> None:
    assert warned(Subject(load_study(study_file(tmp_path, SOUND)))) == []


@pytest.mark.parametrize(("changed", "to", "code", "parts"), [
    ("confirm = 5", "confirm = 4", "GRU003", ["model of mine", "4 seeds"]),
    ("confirm = 5", "confirm = 1", "GRU003", ["model of mine", "1 seed"]),
])
def test_finds_what_is_wrong_in_a_file(
    tmp_path: Path, changed: str, to: str, code: str, parts: list[str]
) -> None:
    found = warned(Subject(load_study(study_file(tmp_path, SOUND.replace(changed, to)))))
    assert {one.code for one in found} == {code}
    mentions(found[0].text, *parts)


def test_a_search_alone_needs_no_seeds(tmp_path: Path) -> None:
    assert warned(Subject(load_study(study_file(tmp_path, SOUND.replace("confirm = 5", "confirm = 0"))))) == []


def test_before_the_runs_the_data_are_checked_with_the_file(tmp_path: Path) -> None:
    spec = load_study(study_file(tmp_path, SOUND))
    data = present(sound()[1][0].summary).data
    assert warned(Subject(spec, [LoggedData(replace(data, class_counts=(600, 400)))])) == []
    odd = LoggedData(replace(data, class_counts=(900, 100), dropped_share=0.45))
    found = warned(Subject(spec, [odd]))
    assert [one.code for one in found] == ["GRU005", "GRU006"]
    mentions(found[1].text, "negative", "90.0 % of the texts")
    other = load_study(study_file(tmp_path, f'metric = "macro_f1"\n{SOUND}'))
    assert "GRU006" not in codes(Subject(other, [odd]))


def test_the_studies_that_come_with_the_package_are_sound_but_for_smoke() -> None:
    found = {name: [one.code for one in warned(Subject(load_study(name)))] for name in known_studies()}
    assert found.pop("smoke") == ["GRU003"]  # its accuracies mean nothing, and it says so
    assert not any(found.values())


LOG = {"low": 1e-4, "high": 1e-2, "log": True}


@pytest.mark.parametrize(("name", "range_", "value", "end"), [
    ("training.lr", LOG, 1.2e-4, "low"), ("training.lr", LOG, 1.3e-4, ""), ("training.lr", LOG, 9e-3, "high"),
    ("model.hidden_size", {"low": 32, "high": 232}, 41, "low"), ("model.hidden_size", {"low": 32, "high": 232}, 42, ""),
    ("model.layers", {"low": 1, "high": 2}, 1, ""),  # no model has fewer layers
    # The best of three values is at an end more often than not.
    ("model.layers", {"low": 1, "high": 3}, 3, ""), ("model.layers", {"low": 1, "high": 4}, 4, "high"),
    ("model.layers", {"low": 2, "high": 5}, 2, "low"),
    ("model.hidden_size", {"low": 8, "high": 24, "step": 8}, 8, ""),
    ("model.dropout", {"low": 0.1, "high": 0.3, "step": 0.1}, 0.3, ""),
    ("model.dropout", {"low": 0.1, "high": 0.4, "step": 0.1}, 0.4, "high"),
    ("model.hidden_size", {"low": 1, "high": 90}, 2, ""),
    ("model.hidden_size", {"low": 8, "high": 32, "step": 8}, 8, "low"),
    ("model.hidden_size", {"low": 8, "high": 32, "step": 8}, 16, ""),
    ("model.dropout", {"low": 0.0, "high": 0.5}, 0.0, ""),
    ("model.dropout", {"low": 0.0, "high": 0.5}, 0.5, "high"),
    ("model.dropout", {"low": 0.5, "high": math.nextafter(1.0, 0.0)}, 0.99, ""),
    ("training.clip_norm", {"low": 1e-6, "high": 1.0, "log": True}, 1e-6, "low"),
    ("training.patience", {"low": 1, "high": 9}, 1, ""), ("training.epochs", {"low": 1, "high": 9}, 1, ""),
    ("model.layers", {"choices": [1, 2, 3]}, 3, ""), ("embedding.trainable", {"choices": [False, True]}, True, ""),
    ("model.gone", {"low": 1, "high": 3}, 3, ""), ("model.pooling", {"choices": ["mean", "max"]}, "max", ""),
    ("training.lr", LOG, None, ""), ("training.lr", LOG, float("nan"), ""), ("training.lr", LOG, True, ""),
])
def test_finds_a_value_at_an_end_of_its_range(name: str, range_: dict[str, object], value: object, end: str) -> None:
    assert end_of_range(name, range_, value) == end  # type: ignore[arg-type]


@pytest.mark.parametrize(("trials", "lost"), [
    ("ccc", False), ("ccpf", False), ("cppp", False), ("cppfff", False), ("cppffff", True), ("", False), ("fff", True),
])
def test_finds_searches_whose_trials_were_lost(trials: str, lost: bool) -> None:
    words = {"c": "complete", "p": "pruned", "f": "failed"}
    store, (study,) = sound()
    first = present(study.summary).trials[0]
    made = tuple(replace(first, number=place, state=words[one]) for place, one in enumerate(trials))
    subject = of_logged([summarized(study, trials=made)], store)
    assert ("GRU007" in codes(subject)) is lost


@pytest.mark.parametrize(("metric", "better", "warns"), [
    ("accuracy", 1.02, True), ("accuracy", 0.98, False), ("log_loss", 1.02, True), ("log_loss", 0.98, False),
    ("accuracy", -1.0, False),
])
def test_a_best_trial_is_a_surprise_where_it_is_better_than_the_best_of_so_many_is_by_chance(
    metric: MetricName, better: float, warns: bool
) -> None:
    store, (study,) = sound()
    fresh = {"accuracy": (0.91, 0.92, 0.93, 0.92, 0.92), "log_loss": (0.19, 0.2, 0.21, 0.2, 0.2)}[metric]
    seeds = sorted({run.seed or 0 for run in study.confirms})
    key = compared(metric, "val").key
    confirms = tuple(replace(run, metrics={**run.metrics, key: fresh[seeds.index(run.seed or 0)]})
                     for run in study.confirms)
    trials = sum(trial.model == "torch" and trial.state != "failed" for trial in present(study.summary).trials)
    deviation = np.std(fresh, ddof=1)
    expected = deviation * np.sqrt(2 * np.log(trials)) + stdtrit(4, 0.975) * deviation / np.sqrt(5)
    best = float(np.mean(fresh) + (1 if metric == "accuracy" else -1) * better * expected)
    run = replace(study.run, params={**study.run.params, "metric": metric})
    changed_study = summarized(replace(study, run=run, confirms=confirms), metric=metric,
                               best_value={"scratch": best, "torch": best})
    assert ("GRU008" in codes(of_logged([changed_study], store))) is warns
    shown = column_of(build_only([changed_study], store, search), "search", "By chance")
    assert [one.value for one in shown] == pytest.approx([expected] * 2)


@pytest.mark.parametrize(("seeds", "has_interval"), [(1, True), (2, False), (3, True)])
def test_a_model_that_may_be_guessing_is_told_by_an_interval_only_where_it_has_one(
    seeds: int, has_interval: bool
) -> None:
    store, studies = right_by_chance(0.5, *sound(seeds=seeds))
    said = [one.text for one in warned(of_logged(studies, store)) if one.code == "GRU015"]
    assert said
    assert {"95 % interval" in text.replace("\N{NO-BREAK SPACE}", " ") for text in said} == {has_interval}


def test_one_fresh_seed_tells_nothing_of_the_luck_of_the_best_trial() -> None:
    store, (study,) = sound(seeds=1)
    found = outcomes(of_logged([summarized(study, best_value={"scratch": 0.99, "torch": 0.99})], store))
    assert next(one.state for one in found if one.check.code == "GRU008") is State.NOT_APPLICABLE


def test_finds_uneven_classes() -> None:
    assert are_uneven([200, 100])
    assert not are_uneven([199, 100])
    assert not are_uneven([20, 10])  # this happens by chance
    assert not are_uneven([50, 50, 0])


def test_classes_are_uneven_by_all_texts_where_these_are_known() -> None:
    """A class that is rare in a small test split alone is not."""
    store, (study,) = uneven()
    assert "GRU006" in codes(of_logged([study], store))
    assert "GRU006" not in codes(of_logged([with_data(study, class_counts=(600, 500))], store))
    store, (study,) = sound()
    assert "GRU006" in codes(of_logged([with_data(study, class_counts=(900, 100))], store))
