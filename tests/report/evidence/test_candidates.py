"""The average of a study: its parts, its predictions, its two pairs, and why there may be none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax

from gru_bench.errors import ExitCode
from gru_bench.report.document.sentences import in_text
from gru_bench.report.evidence.averages import Average
from gru_bench.report.evidence.collect import Evidence, collect
from gru_bench.report.evidence.decision import decision_sentence, recommended
from gru_bench.report.findings import findings_of, judged
from gru_bench.report.sections.evaluation import evaluation
from gru_bench.stats.calibration import SMALLEST, temperature
from gru_bench.stats.estimate import Values, estimate
from gru_bench.stats.intervals import difference
from gru_bench.stats.metrics import correct
from gru_bench.stats.verdict import Finding, holm
from gru_bench.tracking import LoggedRun, LoggedStudy
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study, with_validation
from tests.support.renderings import said, table_of, words_of
from tests.support.reports import build
from tests.support.sections import build_only
from tests.support.values import present

MODELS = {"torch": 0.0, "bidirectional": 0.1}


def studied(examples: int = 2000, **options: Any) -> tuple[FakeStore, LoggedStudy]:
    store = FakeStore()
    study = add_study(store, "one", MODELS, test_set=TestSet.draw(examples), **options)
    return store, with_validation(store, study)


def average_of(evidence: Evidence) -> Average:
    (found,) = evidence.averages
    return found


def fitted(store: FakeStore, run: LoggedRun) -> float:
    found = store.predicted[run.run_id, "validation"]
    return present(temperature(found.label_N, found.probability_NC))


def log_of(store: FakeStore, run: LoggedRun) -> NDArray[np.float64]:
    """Return the logarithms that an average is of."""
    found: NDArray[np.float64] = np.log(np.maximum(
        store.predicted[run.run_id, "test"].probability_NC.astype(float), SMALLEST))
    return found


def test_it_is_the_mean_of_the_calibrated_log_odds_of_each_seed_and_the_linear_model() -> None:
    store, study = studied()
    found = average_of(collect([study], store))
    runs = [run for run in study.confirms if run.model == "bidirectional"]
    linear = study.baselines[-1]
    assert (found.trained.model, found.linear.model) == ("bidirectional", "tfidf")
    assert found.ids == (*[run.run_id for run in runs], linear.run_id)
    log_NC = log_of(store, linear) / fitted(store, linear)
    for run, own_NC in zip(runs, found.probability_RNC, strict=True):
        own = log_of(store, run) / fitted(store, run)
        assert own_NC == pytest.approx(softmax((own + log_NC) / 2, axis=1), abs=1e-12)
    mean_NC = np.mean([store.predicted[run.run_id, "test"].probability_NC.astype(float) for run in runs], axis=0)
    of_mean = present(temperature(store.predicted[runs[0].run_id, "validation"].label_N, np.mean(
        [store.predicted[run.run_id, "validation"].probability_NC.astype(float) for run in runs], axis=0)))
    # The temperature is that of the mean in 32 bits, as runs log probabilities.
    assert found.together.probability_RNC[0] == pytest.approx(
        softmax((np.log(mean_NC) / of_mean + log_NC) / 2, axis=1), abs=1e-7)


def test_its_two_pairs_are_a_family_and_seeds_that_it_shares_are_paired() -> None:
    store, study = studied()
    evidence = collect([study], store)
    average, (first, second) = average_of(evidence), evidence.of_averages
    assert [(pair.a, pair.b) for pair in (first, second)] == [(average, average.linear), (average, average.trained)]
    expected = [difference("accuracy", average, average.linear), estimate(Values(
        average.correct_RN.astype(float) - average.trained.correct_RN, (-1.0, 1.0), is_difference=True))]
    assert [(pair.difference.low, pair.difference.high) for pair in (first, second)] == [
        (one.low, one.high) for one in expected]
    assert [present(pair.tests).different for pair in (first, second)] == holm([one.p for one in expected])
    assert (first.family, second.family, second.difference.seeds) == (2, 2, (5,))
    assert len(evidence.pairs) == 3, "no other family holds them"


def test_it_is_in_table_figure_findings_claims_and_decision() -> None:
    store, study = studied()
    evidence, report = collect([study], store), build([study], store)
    average = average_of(evidence)
    table = table_of(build_only([study], store, evaluation), "results")
    (row,) = [row for row in table.rows if row[0][0] == "Average"]
    mentions(in_text(row[0]), "of Bidirectional GRU and TF-IDF")
    assert row[2] == average.accuracy
    (figure,) = [one for one in report.figures if one.name == "accuracy"]
    assert [row["model"] for row in figure.values.records()].count("Average") == 6
    found = findings_of(evidence)
    assert [(one.label, one.score, one.seeds) for one in found.models if one.model == "average"] == [
        ("Average", average.score.value, 5)]
    assert [pair.models for pair in found.pairs[-2:]] == [("average", "tfidf"), ("average", "bidirectional")]
    code, lines = judged("average > tfidf", found)
    assert (code is ExitCode.DONE) == (found.pairs[-2].better == "Average")
    assert "Average" in lines[0]
    mentions(said(decision_sentence(evidence)), "average of Bidirectional GRU")
    assert all(key.startswith("average.one.") for key in report.numbers.keys() - build(
        [replace(study, baselines=tuple(without_validation(store, study)))], store).numbers.keys())


def without_validation(store: FakeStore, study: LoggedStudy) -> tuple[LoggedRun, ...]:
    """Return the baselines of a study, whose predictions of validation texts are gone from the store."""
    for run in study.baselines:
        store.predicted.pop((run.run_id, "validation"), None)
    return study.baselines


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_take_the_average_needs_both_parts_beaten(share: float) -> None:
    """With half of the errors of the trained model corrected and none of the linear one, it is not shown."""
    store, study = studied(4000)
    linear = study.baselines[-1].run_id
    for run in study.confirms:  # the linear model is undecided where the trained one errs, and right elsewhere
        if run.model == "bidirectional":
            own = store.predicted[run.run_id, "test"]
            right_N = correct(own.label_N, own.probability_NC)
            low_N = np.where(np.random.default_rng(0).random(4000) < share, 0.501, 0.9)
            probability_N = np.where(right_N, 0.8, low_N if share else 0.4)
            store.predicted[linear, "test"] = replace(own, probability_NC=np.stack(
                [np.where(own.label_N == place, probability_N, 1 - probability_N) for place in (0, 1)], axis=1))
            break
    evidence = collect([study], store)
    first, second = evidence.of_averages
    sentence = said(decision_sentence(evidence))
    both = all(pair.verdict.finding is Finding.BETTER and pair.favours == 1
               for pair in (first, second))
    assert ("Take the average" in sentence) == (recommended(evidence) == "average") == both
    if both:
        assert average_of(evidence).numbers.made["average.one.p"].value == max(
            present(pair.tests).different for pair in (first, second))
    else:
        mentions(sentence, "is not shown to be better than both")


@pytest.mark.parametrize(("scores", "model"), [((0.9, 0.8), "Torch GRU"), ((0.8, 0.9), "Bidirectional GRU")])
def test_validation_chooses_which_average_of_several_studies_a_decision_is_about(
    scores: tuple[float, float], model: str
) -> None:
    store, test_set, studies = FakeStore(), TestSet.draw(1000), []
    for (name, skill), accuracy in zip(MODELS.items(), scores, strict=True):
        study = with_validation(store, add_study(store, name, {name: skill}, test_set=test_set))
        studies.append(replace(study, confirms=tuple(
            replace(run, metrics={**run.metrics, "score/val_accuracy": accuracy}) for run in study.confirms)))
    evidence = collect(studies, store)
    assert len(evidence.averages) == 2
    sentence = said(decision_sentence(evidence))
    assert [one for one in ("Torch GRU", "Bidirectional GRU") if f"he average of {one}" in sentence] == [model]


@pytest.mark.parametrize(("spoil", "words"), [
    ("validation", "no predictions of validation texts can be read"), ("scores", "no validation scores"),
    ("texts", "the test texts of Bidirectional GRU and TF-IDF differ"),
    ("whole", "only the largest probabilities")])
def test_without_what_it_takes_there_is_none_and_the_page_says_why(spoil: str, words: str) -> None:
    store, study = studied(300)
    linear = study.baselines[-1].run_id
    if spoil == "validation":
        without_validation(store, study)
    elif spoil == "scores":
        study = replace(study, confirms=tuple(replace(run, metrics={}) for run in study.confirms))
    elif spoil == "texts":
        store.predicted[linear, "test"] = store.predicted[linear, "test"].of(np.arange(299))
    else:
        store.predicted[linear, "test"] = replace(store.predicted[linear, "test"], whole=False)
    evidence = collect([study], store)
    assert not evidence.averages
    mentions(words_of(build([study], store), "results"), "There is no average of the models of one", words)


def test_a_study_without_a_linear_model_has_no_average_and_no_word_of_it() -> None:
    store, study = studied(300)
    evidence = collect([replace(study, baselines=study.baselines[:1])], store)
    assert not evidence.averages
    assert not evidence.not_averaged


def test_where_all_validation_texts_are_correct_the_temperature_is_one() -> None:
    store, study = studied(300)
    for run in study.baselines[-1:]:
        own = store.predicted[run.run_id, "validation"]
        store.predicted[run.run_id, "validation"] = replace(own, probability_NC=np.stack(
            [np.where(own.label_N == place, 0.9, 0.1) for place in (0, 1)], axis=1))
    found = average_of(collect([study], store))
    assert (found.linear_temperature, len(found.temperatures.run_R)) == (None, 5)


def test_several_studies_have_a_average_each() -> None:
    store = FakeStore()
    studies = [with_validation(store, add_study(store, name, {"torch": 0.0}, test_set=TestSet.draw(300)))
               for name in ("one", "two")]
    evidence = collect(studies, store)
    assert [one.label for one in evidence.averages] == ["Average (one)", "Average (two)"]
    assert [pair.family for pair in evidence.of_averages] == [2] * 4
    assert len({pair.numbers.key for pair in evidence.of_averages}) == 4
