"""Logged studies are checked: each check fires on a study made for it, and none on a sound one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from gru_bench.checks.codes import CODES, Remark
from gru_bench.report.build import build
from gru_bench.report.remarks import study_remarks
from gru_bench.results.looks import PLAN, LookPlan
from gru_bench.tracking import LoggedStudy
from tests.support.fake_store import (
    BEST,
    FakeStore,
    Studies,
    TestSet,
    add_study,
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


def sound(**options: object) -> Studies:
    """Return a store with one study of two models that nothing is wrong with."""
    store = FakeStore()
    models = {"scratch": 0.4, "torch": 0.4}
    add_study(store, "sound", models, **{"best": INSIDE, "test_set": TestSet.draw(1000)} | options)  # type: ignore[arg-type]
    return store, store.by_experiment["movie-reviews"]


def changed(change: Callable[[LoggedStudy], LoggedStudy], **options: object) -> Studies:
    store, (study,) = sound(**options)
    return store, [change(study)]


def with_settings(study: LoggedStudy, **settings: str) -> LoggedStudy:
    """Return a study whose confirm runs logged other settings."""
    given = {key.replace("__", "."): value for key, value in settings.items()}
    return replace(study, confirms=tuple(replace(run, params={**run.params, **given}) for run in study.confirms))


def uneven() -> Studies:
    drawn = TestSet.draw(1000)
    label_N = (np.arange(1000) % 10 == 0).astype(np.int8)
    return sound(test_set=replace(drawn, label_N=label_N))


def other_budget() -> Studies:
    store, _ = sound()
    add_study(store, "longer", {"bidirectional": 0.4}, best=INSIDE, test_set=TestSet.draw(1000), trials=40)
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


def other_plan() -> Studies:
    """A study whose looks were to come at other numbers of seeds."""
    store, (study,) = sound(seeds=6)
    followed = with_looks(store, study, (5, 6), 2)
    plan, _ = LookPlan.from_json(store.artifacts[study.run.run_id, PLAN])
    store.artifacts[study.run.run_id, PLAN] = replace(plan, looks=(5, 8)).to_json()
    return store, [followed]


MADE: dict[str, tuple[Callable[[], Studies], str]] = {
    "GRU001": (lambda: sound(best=BEST), "the best value of hidden size is 250, at an end of its range, 32 to 256."),
    "GRU002": (other_budget, "sound had 13 finished trials for each model"),
    "GRU003": (lambda: sound(seeds=4), "Scratch GRU has only 4 seeds: too few for a verdict."),
    "GRU004": (lambda: changed(lambda study: with_data(study, test_repeats_removed=40)),
               "movie-reviews: 40 training rows had the text of a test review, for 1,000 test reviews."),
    "GRU005": (lambda: changed(lambda study: with_data(study, dropped_share=0.45)), "cover 55.0 % of the words"),
    "GRU006": (uneven, "the largest one, negative, has 90.0 % of the test reviews"),
    "GRU007": (lambda: changed(lost), "of 16, 10 failed and 0 were pruned."),
    "GRU008": (lambda: changed(lambda study: summarized(study, best_value={"scratch": 0.99, "torch": 0.872})),
               "Scratch GRU: the search promised more than it kept. Its best trial reached 99.0 % on validation"),
    "GRU009": (lambda: changed(no_margin), "no study had logged one at its start."),
    "GRU010": (lambda: changed(good_baseline), "the baseline TF-IDF + logistic regression (99.0 %)"),
    "GRU011": (lambda: changed(lambda study: with_settings(study, training__log_every="800")),
               "Scratch GRU: a window of the training loss has 800 iterations, but an epoch has 256,"),
    "GRU012": (lambda: changed(lambda study: with_data(study, vector_norm=0.02)), "their mean norm is 0.020"),
    "GRU013": (other_plan, "sound: look 2 was not planned so."),
}


def codes(found: list[Remark]) -> set[str]:
    return {one.code for one in found}


def test_a_sound_study_has_no_remarks() -> None:
    store, studies = sound()
    assert study_remarks(studies, store) == []
    assert study_remarks([with_data(studies[0], vector_norm=2.0)], store) == []


def test_every_check_is_made_for() -> None:
    assert MADE.keys() == CODES.keys()


@pytest.mark.parametrize("code", MADE)
def test_each_check_fires_on_a_study_made_for_it(code: str) -> None:
    make, words = MADE[code]
    store, studies = make()
    found = study_remarks(studies, store)
    assert codes(found) == {code}
    assert any(words in one.sentence for one in found), found
    assert all(one.remedy.endswith(".") for one in found)


@pytest.mark.parametrize("code", ["GRU004", "GRU005", "GRU007", "GRU008", "GRU011", "GRU012"])
def test_what_no_section_says_is_a_caution_of_the_report(code: str) -> None:
    make, words = MADE[code]
    store, studies = make()
    told = [line for line in all_said(build(studies, store).cautions).splitlines() if words in line]
    assert told
    assert all(line.endswith(f" ({code})") for line in told)


def test_vectors_of_another_language() -> None:
    store, studies = changed(lambda study: with_data(study, dropped_share=0.9))
    found = study_remarks(studies, store)
    assert codes(found) == {"GRU005", "GRU012"}
    assert "may be of another language or spelling than movie-reviews: only 10.0 % of the words" in found[1].sentence


def test_a_margin_is_no_matter_where_nothing_is_compared() -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.4}, best=INSIDE, test_set=TestSet.draw(1000))
    assert study_remarks([no_margin(study)], store) == []


def test_uneven_classes_are_no_matter_to_another_metric() -> None:
    store, (study,) = uneven()
    other = replace(study, run=replace(study.run, params={**study.run.params, "metric": "log_loss"}))
    assert "GRU006" not in codes(study_remarks([summarized(other, metric="log_loss")], store))


def test_what_has_not_run_is_no_remark() -> None:
    store, (study,) = sound(test_set=TestSet.draw(100))
    begun = replace(under_way(store, study), trials=(), confirms=())
    assert study_remarks([begun], store) == []
    assert study_remarks([replace(begun, run=replace(begun.run, run_id="nothing"))], store) == []
    searched = searching(store, study)
    assert study_remarks([searched], store) == []


@pytest.mark.parametrize("code", sorted({*CODES} - {"GRU004", "GRU005", "GRU007", "GRU008", "GRU011", "GRU012"}))
def test_what_sections_say_carries_its_code_too(code: str) -> None:
    store, studies = MADE[code][0]()
    report = build(studies, store)
    told = all_said([*report.summary, *report.cautions])
    told += "".join(words_of(report, section.name) for section in report.sections if section.name != "methods")
    assert set(re.findall(r"\(GRU\d+\)", told)) == {f"({code})"}
