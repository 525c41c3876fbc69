"""Logged studies are checked: each check fires on a study made for it, and none on a sound one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from gru_bench.checks.codes import CODES, Remark
from gru_bench.report.build import build
from gru_bench.report.remarks import study_remarks
from gru_bench.results.looks import PLAN, LookPlan
from gru_bench.tracking import LoggedStudy
from tests.support.commands import mentions
from tests.support.fake_store import (
    BEST,
    FakeStore,
    Studies,
    TestSet,
    add_study,
    answered,
    searching,
    summarized,
    under_way,
    with_data,
    with_looks,
)
from tests.support.renderings import all_said, words_of
from tests.support.values import present

INSIDE = BEST | {"model.hidden_size": 128}
"""Best settings, none of them at an end of its range."""


EXAMPLES = 300


def sound(**options: object) -> Studies:
    """Return a store with one study of two models that nothing is wrong with."""
    store = FakeStore()
    models = {"scratch": 0.4, "torch": 0.4}
    add_study(store, "sound", models, **{"best": INSIDE, "test_set": TestSet.draw(EXAMPLES)} | options)  # type: ignore[arg-type]
    return store, store.by_experiment["movie-reviews"]


def changed(change: Callable[[LoggedStudy], LoggedStudy], **options: object) -> Studies:
    store, (study,) = sound(**options)
    return store, [change(study)]


def with_settings(study: LoggedStudy, **settings: str) -> LoggedStudy:
    """Return a study whose confirm runs logged other settings."""
    given = {key.replace("__", "."): value for key, value in settings.items()}
    return replace(study, confirms=tuple(replace(run, params={**run.params, **given}) for run in study.confirms))


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


def good_baseline(study: LoggedStudy) -> LoggedStudy:
    majority, linear = present(study.summary).baselines
    return summarized(study, baselines=(majority, replace(linear, test_accuracy=0.99)))


def at_end(study: LoggedStudy) -> LoggedStudy:
    majority, linear = present(study.summary).baselines
    return summarized(study, baselines=(majority, replace(linear, regularization=64.0, is_at_end=True)))


def guessed() -> Studies:
    store, studies = right_by_chance(0.53, *sound())
    return store, [summarized(studies[0], baselines=())]


def other_plan() -> Studies:
    """A study whose looks were to come at other numbers of seeds."""
    store, (study,) = sound(seeds=6)
    followed = with_looks(store, study, (5, 6), 2)
    plan, _ = LookPlan.from_json(store.artifacts[study.run.run_id, PLAN])
    store.artifacts[study.run.run_id, PLAN] = replace(plan, looks=(5, 8)).to_json()
    return store, [followed]


MADE: dict[str, tuple[Callable[[], Studies], Sequence[str]]] = {
    "GRU001": (lambda: sound(best=BEST), ("hidden size", "250", "32 to 256")),
    "GRU002": (other_budget, ("sound", "13 finished trials")),
    "GRU003": (lambda: sound(seeds=4), ("Scratch GRU", "4 seeds")),
    "GRU004": (lambda: changed(lambda study: with_data(study, test_repeats_removed=40)),
               ("movie-reviews", "40 training rows", f"{EXAMPLES} test reviews")),
    "GRU005": (lambda: changed(lambda study: with_data(study, dropped_share=0.45)), ("55.0 %",)),
    "GRU006": (uneven, ("negative", "90.0 %")),
    "GRU007": (lambda: changed(lost), ("of 16, 10 failed and 0 were pruned",)),
    "GRU008": (lambda: changed(lambda study: summarized(study, best_value={"scratch": 0.99, "torch": 0.872})),
               ("Scratch GRU", "99.0 %")),
    "GRU009": (lambda: changed(no_margin), ("no study had logged one",)),
    "GRU010": (lambda: changed(good_baseline), ("TF-IDF + logistic regression", "99.0 %")),
    "GRU011": (lambda: changed(lambda study: with_settings(study, training__log_every="800")),
               ("Scratch GRU", "800 iterations", "256")),
    "GRU012": (lambda: changed(lambda study: with_data(study, vector_norm=0.02)), ("0.020",)),
    "GRU014": (lambda: changed(at_end), ("TF-IDF + logistic regression", "64")),
    "GRU015": (lambda: guessed(), ("Scratch GRU", "53.", "guessing")),
    "GRU016": (lambda: changed(lambda study: with_data(study, vector_cosine=0.87)), ("corpus", "0.870")),
    "GRU013": (other_plan, ("sound", "look 2 was not planned")),
}
FURTHER = {"GRU004", "GRU005", "GRU007", "GRU008", "GRU011", "GRU012", "GRU014", "GRU015", "GRU016"}
"""Checks of which no section speaks."""


def codes(found: list[Remark]) -> set[str]:
    return {one.code for one in found}


def test_a_sound_study_has_no_remarks() -> None:
    store, studies = sound()
    assert study_remarks(studies, store) == []
    assert study_remarks([with_data(studies[0], vector_norm=2.0, vector_cosine=0.1)], store) == []


def test_there_is_a_study_for_each_check() -> None:
    assert MADE.keys() == CODES.keys()


@pytest.mark.parametrize("code", MADE)
def test_each_check_fires_on_a_study_made_for_it_and_stands_in_its_report(code: str) -> None:
    make, parts = MADE[code]
    store, studies = make()
    found = study_remarks(studies, store)
    assert codes(found) == {code}
    assert any(all(part in one.sentence for part in parts) for one in found), found
    report = build(studies, store)
    if code in FURTHER:
        told = all_said(report.cautions)
        assert any(line.endswith(f" ({code})") for line in told.splitlines() if all(part in line for part in parts))
    else:
        told = all_said([*report.summary, *report.cautions])
        told += "".join(words_of(report, section.name) for section in report.sections if section.name != "methods")
        assert set(re.findall(r"\(GRU\d+\)", told)) == {f"({code})"}


def test_vectors_of_another_language_are_a_remark() -> None:
    store, studies = changed(lambda study: with_data(study, dropped_share=0.9))
    found = study_remarks(studies, store)
    assert codes(found) == {"GRU005", "GRU012"}
    mentions(found[1].sentence, "another language", "movie-reviews", "10.0 %")


def test_a_missing_margin_is_no_remark_if_nothing_is_compared() -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.4}, best=INSIDE, test_set=TestSet.draw(EXAMPLES))
    assert study_remarks([no_margin(study)], store) == []


def test_uneven_classes_are_no_remark_if_another_metric_than_accuracy_decides() -> None:
    store, (study,) = uneven()
    other = replace(study, run=replace(study.run, params={**study.run.params, "metric": "log_loss"}))
    assert "GRU006" not in codes(study_remarks([summarized(other, metric="log_loss")], store))


def test_unfinished_work_is_no_remark() -> None:
    store, (study,) = sound(test_set=TestSet.draw(60))
    begun = replace(under_way(store, study), trials=(), confirms=())
    assert study_remarks([begun], store) == []
    assert study_remarks([replace(begun, run=replace(begun.run, run_id="nothing"))], store) == []
    searched = searching(store, study)
    assert study_remarks([searched], store) == []
