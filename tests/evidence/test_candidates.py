"""The candidates of a study: what each predicts, which one is taken, and how the others are compared with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gru_bench.errors import ExitCode
from gru_bench.evidence.candidates import study_candidates
from gru_bench.evidence.collect import collect
from gru_bench.report.findings import findings_of, judged
from gru_bench.stats.verdict import holm
from gru_bench.tracking import LoggedStudy
from tests.support import by_hand
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study, answered, with_validation
from tests.support.reports import build
from tests.support.values import present

MODELS = {"torch": 0.0, "bidirectional": 0.1}


def studied(examples: int = 2000, **options: Any) -> tuple[FakeStore, LoggedStudy]:
    store = FakeStore()
    study = add_study(store, "one", MODELS, test_set=TestSet.draw(examples), **options)
    return store, with_validation(store, study)


def read_by_hand(store: FakeStore, study: LoggedStudy, split: str) -> by_hand.Split:
    """Return what the runs of a study logged, as the script that computes candidates by hand reads it."""
    found: by_hand.Split = {}
    for run in (*study.confirms, *study.baselines[1:]):
        known = store.predicted[run.run_id, split].by_id()
        found["label"], found["group"], found["stratum"] = (
            known.label_N, known.example_id_N, np.zeros(len(known.label_N)))
        row = known.probability_NC[None, :, 1].astype(np.float64)
        found[run.model] = np.concatenate([found[run.model], row]) if run.model in found else row
    return found


def test_predictions_scores_choice_and_differences_are_those_computed_by_hand() -> None:
    store, study = studied()
    validation, test = (read_by_hand(store, study, split) for split in ("validation", "test"))
    on_validation, on_test = by_hand.candidates(validation, test)
    found = study_candidates(study, store)
    assert {one.model for one in found.every} == on_test.keys() == {"torch", "bidirectional", "tfidf", "average"}
    for one in found.every:
        odds_N = on_test[one.model]
        assert one.score.value == pytest.approx(by_hand.accuracy(test["label"], odds_N), abs=1e-12)
        calibrated_N = odds_N if one.model != "tfidf" else by_hand.log_odds(test["tfidf"][0])
        assert one.probability_RNC[0, :, 1] == pytest.approx(1 / (1 + np.exp(-calibrated_N)), abs=1e-6)
    chosen = present(found.chosen)
    assert chosen.model == by_hand.best(validation["label"], on_validation)
    pairs = collect([study], store).taken
    expected = {pair.b.model: by_hand.difference(test, on_test[chosen.model], on_test[pair.b.model]) for pair in pairs}
    for pair in pairs:
        theta, variance, p, _ = expected[pair.b.model]
        assert (pair.difference.estimate, pair.difference.variance, pair.difference.p) == pytest.approx(
            (theta, variance, p), rel=1e-9)
    adjusted = holm([expected[pair.b.model][2] for pair in pairs])
    assert [present(pair.tests).different for pair in pairs] == pytest.approx(adjusted)
    assert [pair.family for pair in pairs] == [3, 3, 3]


def with_accuracies(store: FakeStore, study: LoggedStudy, right: dict[str, float], split: str = "validation") -> None:
    """Let each run answer so many texts of a split rightly, the first ones."""
    for run in (*study.confirms, *study.baselines[1:]):
        known = store.predicted[run.run_id, split]
        store.predicted[run.run_id, split] = answered(
            known, np.arange(len(known.label_N)) < right[run.model] * len(known.label_N))


@pytest.mark.parametrize(("right", "expected"), [
    ({"torch": 0.9, "bidirectional": 0.7, "tfidf": 0.6}, "torch"),
    ({"torch": 0.7, "bidirectional": 0.9, "tfidf": 0.6}, "bidirectional"),
    ({"torch": 0.7, "bidirectional": 0.6, "tfidf": 0.9}, "tfidf"),
])
def test_the_best_on_validation_is_taken_whatever_the_test_texts_show(right: dict[str, float], expected: str) -> None:
    store, study = studied(500)
    with_accuracies(store, study, right)
    with_accuracies(store, study, {model: 1.4 - value for model, value in right.items()}, "test")
    found = study_candidates(study, store)
    # The average answers as the better part does here, and of equals the simpler one is taken where losses are equal.
    assert present(found.chosen).model in (expected, "average")
    ranked = min((one for one in found.every if one.model != "average"), key=lambda one: one.validation_rank)
    assert ranked.model == expected


def test_ties_go_to_the_lower_loss_then_to_the_simpler_one() -> None:
    store, study = studied(500)
    with_accuracies(store, study, {"torch": 0.8, "bidirectional": 0.8, "tfidf": 0.8})
    found = study_candidates(study, store)
    assert present(found.chosen).validation_rank == min(one.validation_rank for one in found.every)
    assert {round(one.validation_rank[0], 9) for one in found.every} == {-0.8}


def test_several_studies_share_a_linear_model_and_have_an_average_each() -> None:
    store = FakeStore()
    studies = [with_validation(store, add_study(store, name, {"torch": 0.0}, test_set=TestSet.draw(300)))
               for name in ("one", "two")]
    found = collect(studies, store).candidates
    assert [one.model for one in found.every] == ["torch", "torch", "tfidf", "average", "average"]
    assert [one.label for one in found.every[-2:]] == ["average (one)", "average (two)"]
    assert len({one.key for one in found.every}) == 5
    assert build(studies, store).numbers


@pytest.mark.parametrize(("spoil", "models", "missing"), [
    ("validation", ["torch", "bidirectional", "tfidf"], "validation texts by TF-IDF"),
    ("texts", ["torch", "bidirectional"], ""),
    ("whole", ["torch", "bidirectional", "tfidf"], "")])
def test_without_what_it_takes_there_is_no_average(spoil: str, models: list[str], missing: str) -> None:
    store, study = studied(300)
    linear = study.baselines[-1].run_id
    if spoil == "validation":
        store.predicted.pop((linear, "validation"))
    elif spoil == "texts":
        store.predicted[linear, "test"] = store.predicted[linear, "test"].of(np.arange(299))
    else:
        store.predicted[linear, "test"] = replace(store.predicted[linear, "test"], whole=False)
    found = study_candidates(study, store)
    assert [one.model for one in found.every] == models
    assert found.missing.endswith(missing)
    assert (found.chosen is None) == bool(missing)


def test_where_all_validation_texts_are_correct_the_temperature_is_one() -> None:
    store, study = studied(300)
    with_accuracies(store, study, {"torch": 0.8, "bidirectional": 0.9, "tfidf": 1.0})
    found = {one.model: one for one in study_candidates(study, store).every}
    assert found["tfidf"].temperatures == (None,)
    assert found["average"].temperatures == (found["bidirectional"].temperatures[0], None)


def test_findings_and_claims_know_the_candidates() -> None:
    store, study = studied()
    evidence = collect([study], store)
    found = findings_of(evidence)
    chosen = present(evidence.candidates.chosen)
    assert found.chosen == chosen.label
    assert [(one.label, one.score, one.low) for one in found.candidates] == [
        (one.label, one.score.value, one.score.low) for one in evidence.candidates.every]
    assert len(found.taken) == 3
    (pair,) = [one for one in found.taken if "average" in one.models]
    code, lines = judged(f"{pair.models[0]} > {pair.models[1]}", found)
    assert (code is ExitCode.DONE) == (pair.better == chosen.label)
    mentions(lines[0], pair.a, pair.b)
