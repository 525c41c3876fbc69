"""Each model and the linear model on its data are a pair like any other: its test, its family, its verdict and claims.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gru_bench.checks import of_logged
from gru_bench.config import MetricName
from gru_bench.document.sentences import in_text
from gru_bench.errors import ExitCode, UsageError
from gru_bench.evidence.collect import Evidence, collect
from gru_bench.evidence.pairs import Pair
from gru_bench.report.findings import findings_of, judged
from gru_bench.report.sections.evaluation import evaluation
from gru_bench.results.baselines import NGRAMS, REGULARIZATION, TFIDF
from gru_bench.stats.estimate import accuracy_difference
from gru_bench.stats.intervals import difference
from gru_bench.stats.verdict import Finding, holm
from gru_bench.tracking import LoggedStudy
from tests.support.checks import warnings_of
from tests.support.commands import mentions
from tests.support.fake_store import (
    FakeStore,
    TestSet,
    add_study,
    answered,
    correct,
    measured_as,
    three_models,
    with_answers,
    with_params,
)
from tests.support.renderings import table_of
from tests.support.sections import build_only
from tests.support.values import present

LINEAR = "TF-IDF"


def compared(store: FakeStore, *studies: LoggedStudy) -> list[Pair]:
    return list(collect(studies, store).against)


def shifted(store: FakeStore, size: int, worse: int) -> Evidence:
    """Return the evidence on a model whose seeds all err on so many texts more than the linear model."""
    study = add_study(store, "one", {"torch": 0.0}, test_set=TestSet.draw(size))
    right_N = correct(store, study.confirms)[0]
    less_N = right_N.copy()
    less_N[np.flatnonzero(right_N)[:worse]] = False
    for run in study.confirms:
        store.predicted[run.run_id, "test"] = answered(store.predicted[run.run_id, "test"], less_N)
    return collect([with_answers(store, study, right_N)], store)


def tickets(store: FakeStore, metric: MetricName = "macro_f1") -> Evidence:
    """Return the evidence on two models and a linear one, on texts of eight uneven classes."""
    classes = [f"queue {place}" for place in range(8)]
    study = add_study(store, "tickets", {"torch": -0.3, "bidirectional": 0.4}, test_set=TestSet.draw(
        1911, classes=classes))
    return collect([with_params(study, metric=metric)], store)


def test_a_model_stands_against_the_linear_model() -> None:
    store, studies = three_models()
    evidence = collect(studies, store)
    assert [one.a.label for one in evidence.against] == ["Scratch GRU", "Torch GRU", "Bidirectional GRU"]
    for one in evidence.against:
        assert (one.b.label, one.b.model, one.b.is_fitted_once) == (LINEAR, TFIDF, True)
        assert one.difference.estimate == pytest.approx(present(one.a.score.value) - present(one.b.score.value))
        assert one.difference.low < one.difference.estimate < one.difference.high
    assert evidence.pairs == (*evidence.compared, *evidence.against)


def test_a_linear_model_that_is_better_by_a_negligible_amount_is_equivalent() -> None:
    """8 of 60,000 texts, 0.013 points, are a difference that is real and has no weight."""
    evidence = shifted(FakeStore(), 60_000, 8)
    (pair,) = evidence.against
    assert (pair.verdict.finding, pair.favours) == (Finding.NEGLIGIBLE, -1)
    code, _ = judged("tfidf > torch", findings_of(evidence))
    assert code is ExitCode.DONE
    assert not warnings_of(of_logged(evidence.studies, evidence.store), "GRU010")


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "log_loss"])
def test_every_score_has_a_test_against_the_linear_model(metric: MetricName) -> None:
    evidence = tickets(FakeStore(), metric)
    expected = [difference(metric, group, evidence.against[0].b) for group in evidence.groups]
    p = holm([one.p for one in expected])
    for pair, one, adjusted in zip(evidence.against, expected, p, strict=True):
        assert (pair.difference.low, pair.difference.high) == (one.low, one.high)
        assert present(pair.tests).different == adjusted
        assert pair.family == 2
    torch, bidirectional = evidence.against
    assert torch.favours == -1
    assert bidirectional.favours == 1


@pytest.mark.parametrize(("claim", "code"), [
    ("bidirectional > tfidf", ExitCode.DONE), ("tfidf < bidirectional", ExitCode.DONE),
    ("Bidirectional GRU > TF-IDF", ExitCode.DONE),
    ("torch > tfidf", ExitCode.NO), ("tfidf > torch", ExitCode.DONE)])
def test_a_claim_names_the_linear_model(claim: str, code: ExitCode) -> None:
    found, lines = judged(claim, findings_of(tickets(FakeStore())))
    assert found is code
    assert LINEAR in lines[0]


def test_a_claim_on_a_linear_model_that_is_not_compared_names_those_that_are() -> None:
    with pytest.raises(UsageError, match="torch and tfidf; bidirectional and tfidf"):
        judged("torch > ngrams", findings_of(tickets(FakeStore())))


def test_the_findings_hold_the_baselines_among_the_models() -> None:
    found = findings_of(tickets(FakeStore()))
    assert [(one.model, one.seeds) for one in found.models] == [
        ("torch", 5), ("bidirectional", 5), ("majority", None), ("tfidf", None)]
    assert [(pair.models, pair.seeds) for pair in found.pairs] == [
        (("bidirectional", "torch"), (5, 5)), (("torch", "tfidf"), (5, None)), (("bidirectional", "tfidf"), (5, None))]


@pytest.mark.parametrize(("validation", "chosen"), [((0.8, 0.9), 1), ((0.9, 0.8), 0), ((None, None), 0)])
def test_of_two_linear_models_validation_chooses_and_both_are_shown(
    validation: tuple[float | None, float | None], chosen: int
) -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0}, test_set=TestSet.draw(1000))
    right_N = correct(store, study.confirms)[0]
    majority, *two = with_answers(store, study, right_N, TFIDF, NGRAMS).baselines
    for place, value in enumerate(validation):
        metrics = {key: one for key, one in two[place].metrics.items() if key != "score/val_accuracy"}
        params = {**two[place].params, REGULARIZATION: "1.0"}
        two[place] = replace(two[place], params=params, metrics=metrics if value is None else {
            **metrics, "score/val_accuracy": value})
    study = replace(study, baselines=(majority, *two))
    (found,) = compared(store, study)
    assert found.b.model == (TFIDF, NGRAMS)[chosen]
    table = table_of(build_only([study], store, evaluation), "results")
    below = {row[0][0]: in_text(row[0][1:]) for row in table.rows if isinstance(row[0], tuple)}
    assert (below["TF-IDF"], below["n-grams"]) == (
        "baseline: TF-IDF + logistic regression", "baseline: NB-weighted n-grams + logistic regression")


@pytest.mark.parametrize("better", [0, 1])
def test_the_linear_model_with_the_lower_validation_loss_is_compared(better: int) -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0}, test_set=TestSet.draw(100))
    _, *two = with_answers(store, study, np.arange(100) % 9 > 0, TFIDF, NGRAMS).baselines
    both = [measured_as(run, val_loss=0.3 if place == better else 0.6) for place, run in enumerate(two)]
    (found,) = compared(store, with_params(replace(study, baselines=tuple(both)), metric="log_loss"))
    assert found.b.model == (TFIDF, NGRAMS)[better]


def test_models_are_tested_against_it_as_a_family_of_their_own() -> None:
    store = FakeStore()
    study = add_study(store, "three", {"torch": 0.5, "scratch": 0.0, "bidirectional": 0.2}, test_set=TestSet.draw(1000))
    by_model = {model: correct(store, [run for run in study.confirms if run.model == model])
                for model in ("torch", "scratch", "bidirectional")}
    right_N = by_model["scratch"][0]
    found = compared(store, with_answers(store, study, right_N))
    expected = [accuracy_difference(right_RN, np.stack([right_N] * 5)) for right_RN in by_model.values()]
    for pair, one, p in zip(found, expected, holm([one.p for one in expected]), strict=True):
        assert (pair.difference.low, pair.difference.high) == pytest.approx((one.low, one.high), abs=1e-12)
        assert present(pair.tests).different == pytest.approx(present(p), abs=1e-12)
        assert pair.family == 3


@pytest.mark.parametrize("seeds", [1, 2, 4, 5])
def test_few_seeds_of_the_model_decide_what_may_be_found(seeds: int) -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0}, seeds=seeds, test_set=TestSet.draw(300))
    (found,) = compared(store, with_answers(store, study, np.arange(300) % 3 == 0))
    assert found.favours == 1
    assert found.qualifier == {1: "these runs only", 5: ""}.get(seeds, "few seeds")
    assert found.can_be_claimed == (seeds == 5)


@pytest.mark.parametrize(("groups", "is_tested"), [(12, False), (60, True)])
def test_few_groups_have_no_test(groups: int, is_tested: bool) -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.5}, test_set=TestSet.draw(600))
    study = with_answers(store, study, np.arange(600) % 2 == 0)
    group_N = np.array([f"film {n % groups}" for n in range(600)])
    for key, predictions in store.predicted.items():
        store.predicted[key] = replace(predictions, group_N=group_N)
    (found,) = compared(store, study)
    assert (found.tests is not None, found.verdict.finding is Finding.TOO_FEW_GROUPS) == (is_tested, not is_tested)


def test_a_model_worse_than_the_linear_one_causes_a_warning() -> None:
    store = FakeStore()
    study = add_study(store, "one", {"torch": 0.0}, test_set=TestSet.draw(1000))
    right_N = correct(store, study.confirms)[0]
    right_N[:200] = True
    studies = [with_answers(store, study, right_N)]
    (warning,) = warnings_of(of_logged(studies, store), "GRU010")
    (found,) = compared(store, *studies)
    mentions(warning.text, "Torch GRU", "worse than", LINEAR, in_text((found.number("difference"),)))


@pytest.mark.parametrize("spoil", [
    lambda _: None, lambda first: first.of(np.arange(299)),
    lambda first: replace(first, label_N=1 - first.label_N)])
def test_a_baseline_without_predictions_of_these_texts_is_not_compared(spoil: Any) -> None:
    store = FakeStore()
    study = add_study(store, "low", {"torch": -0.3}, test_set=TestSet.draw(300))
    key = (study.baselines[1].run_id, "test")
    if (spoilt := spoil(store.predicted.pop(key))) is not None:
        store.predicted[key] = spoilt
    evidence = collect([study], store)
    assert not evidence.against
    assert any(LINEAR in in_text(one) for one in (*evidence.gaps, *evidence.not_compared))
