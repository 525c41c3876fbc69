"""Accuracy by confidence, and ROC and precision-recall curves, recomputed from the predictions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gru_bench.report.document.report import Report
from gru_bench.report.evidence.collect import collect
from gru_bench.report.figures.curves import CHANCE
from gru_bench.report.sections.confidence import confidence
from gru_bench.results.runs import Predictions
from gru_bench.stats import metrics
from gru_bench.stats.calibration import calibrated, temperature
from gru_bench.stats.metrics import of_two
from gru_bench.tracking import LoggedStudy
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study, many_studies, three_models
from tests.support.renderings import Built, column_of, drawing_of, figure_of, number_in, section_of, words_of
from tests.support.sections import build_only
from tests.support.values import present

LABELS = ("Scratch GRU", "Torch GRU", "Bidirectional GRU")


def at_thresholds(predictions: Predictions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the false positive rate, the recall and the precision at each threshold, from the highest one down."""
    label_N, probability_N = predictions.label_N, predictions.probability_NC[:, 1]
    named_KN = probability_N >= np.unique(probability_N)[::-1, None]
    precision_K = (named_KN & (label_N == 1)).sum(axis=1) / named_KN.sum(axis=1)
    return named_KN[:, label_N == 0].mean(axis=1), named_KN[:, label_N == 1].mean(axis=1), precision_K


def test_a_range_of_confidence_without_a_prediction_is_left_out() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=2, test_set=TestSet.draw(200))
    for key, p in store.predicted.items():
        one_N = np.where(p.label_N == 1, 0.62, 0.45).astype(np.float32)
        store.predicted[key] = replace(p, probability_NC=of_two(one_N))
    assert ends_of(build_only([study], store, confidence), "Torch GRU") == [("50", "60"), ("60", "70")]


def ends_of(report: Report, model: str) -> list[tuple[str, str]]:
    """Return the ends of the ranges of confidence of a model."""
    return [(row["probability from"].text, row["probability to"].text)
            for row in figure_of(report, "reliability").values.records() if row["model"] == model]


def test_reliability_agrees_with_the_predictions(built: Built) -> None:
    store, studies, report = built
    for study, label in zip(studies, LABELS, strict=True):
        found = [row for row in figure_of(report, "reliability").values.records() if row["model"] == label]
        assert sum(row["fraction of predictions"].value for row in found) == pytest.approx(1)
        assert ends_of(report, label) == [("50", "60"), ("60", "70"), ("70", "80"), ("80", "90"), ("90", "100")]
        last = found[-1]["accuracy"]
        means = []
        for run in study.confirms:
            if run.complete:
                p = store.predicted[run.run_id, "test"]
                inside_N = p.probability_NC.max(axis=1).astype(float) > 0.9
                means.append(((p.probability_NC[:, 1] >= 0.5) == (p.label_N == 1))[inside_N].mean())
        assert last.value == pytest.approx(np.mean(means))
        assert [last.low, last.high] == pytest.approx([min(means), max(means)])


def with_validation(store: FakeStore, study: LoggedStudy) -> None:
    """Add predictions of validation reviews, of a model that is too sure of itself."""
    rng, reviews = np.random.default_rng(0), TestSet.draw(300, seed=1)
    for run in study.confirms:
        drawn = reviews.predictions(rng, np.zeros(300), 0.0)
        odds_N = np.log(drawn.probability_NC[:, 1] / drawn.probability_NC[:, 0])
        store.predicted[run.run_id, "validation"] = replace(
            drawn, probability_NC=of_two((1 / (1 + np.exp(-3 * odds_N))).astype(np.float32)))


def test_probabilities_are_shown_before_and_after_calibration() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=3, test_set=TestSet.draw(400))
    with_validation(store, study)
    report = build_only([study], store, confidence)
    read = [[store.predicted[run.run_id, split] for run in study.confirms] for split in ("validation", "test")]
    fitted = [temperature(one.label_N, one.probability_NC) for one in read[0]]
    mean_NC, scored_NC = (metrics.mean_probability([one.probability_NC for one in part]) for part in read)
    fitted_together = temperature(read[0][0].label_N, mean_NC)
    assert all(value > 1.5 for value in (*map(present, fitted), present(fitted_together)))
    label_N = read[1][0].label_N
    for row, values, probabilities in (
        (0, fitted, [one.probability_NC for one in read[1]]), (1, [fitted_together], [scored_NC])):
        shown = [number_in(column_of(report, "calibration", heading)[row]).value for heading in (
            "Temperature", "Loss before", "Loss after", "Calibration error before", "Calibration error after")]
        after = [calibrated(each, value) for each, value in zip(probabilities, values, strict=True)]
        expected = [np.mean(values)]  # type: ignore[arg-type]
        for score in (metrics.log_loss, metrics.expected_calibration_error):
            expected += [np.mean([score(label_N, each) for each in part]) for part in (probabilities, after)]
        assert shown == pytest.approx(expected, rel=1e-5)
    rows = figure_of(report, "reliability").values.groups("probabilities")
    assert list(rows) == ["as trained", "calibrated"]
    last = rows["calibrated"].records()[-1]
    bins = [metrics.reliability(label_N, calibrated(one.probability_NC, value), 5)[-1]
            for one, value in zip(read[1], fitted, strict=True)]
    assert last["confidence"].value == pytest.approx(np.mean([found.confidence for found in bins]))
    assert len(drawing_of(figure_of(report, "reliability")).axes) == 2


def test_a_model_without_validation_reviews_is_not_calibrated_and_it_is_said() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0, "scratch": 0.1}, seeds=2, test_set=TestSet.draw(50))
    said = words_of(build_only([study], store, confidence), "confidence")
    mentions(said, "Torch GRU: not calibrated", "Scratch GRU: not calibrated", "validation")
    with_validation(store, replace(study, confirms=tuple(run for run in study.confirms if run.model == "torch")))
    report = build_only([study], store, confidence)
    assert column_of(report, "calibration", "Model") == ["Torch GRU", "Torch GRU, ensemble"]
    assert "Torch GRU: not calibrated" not in words_of(report, "confidence")


@pytest.mark.parametrize(("curve", "area", "start"), [
    ("ROC", "roc_auc", 0), ("precision-recall", "average_precision", 1),
])
def test_the_areas_below_the_mean_curves_are_the_scores(built: Built, curve: str, area: str, start: float) -> None:
    _, studies, report = built
    for study, label in zip(studies, LABELS, strict=True):
        points = [(row["x"], row["mean"]) for row in figure_of(report, "thresholds").values.records()
                  if (row["curve"], row["model"]) == (curve, label)]
        x, y = np.array([(0, start), *points]).T
        scores = [run.metrics[f"score/test_{area}"] for run in study.confirms if run.complete]
        # Between two places a curve that only rises or falls, as these do but for noise, strays from the straight line
        # by half its height times their distance at most: 0.01 / 2 in all where it is steep, 0.1 * 0.05 / 2 where flat.
        below = (np.diff(x) * (y[1:] + y[:-1]) / 2).sum()
        assert below == pytest.approx(np.mean(scores), abs=0.0075)


def test_bands_range_from_the_lowest_to_the_highest_seed(built: Built) -> None:
    store, studies, report = built
    found = [(row["low"], row["mean"], row["high"]) for row in figure_of(report, "thresholds").values.records()
             if (row["curve"], row["model"], row["x"]) == ("ROC", "Torch GRU", 0.1)]
    rates = []
    for run in studies[1].confirms:
        if run.complete:
            false_K, true_K, _ = at_thresholds(store.predicted[run.run_id, "test"])
            rates.append(np.interp(0.1, [0, *false_K], [0, *true_K]))
    assert found == [pytest.approx((min(rates), np.mean(rates), max(rates)))]


def test_test_reviews_with_one_label_only_have_no_curves() -> None:
    store, studies = three_models(seeds=2, test_set=replace(TestSet.draw(100), label_N=np.ones(100, np.int8)))
    assert [figure.name for figure in present(confidence(collect(studies, store))).figures] == ["reliability"]


def test_each_test_set_has_a_figure() -> None:
    store = FakeStore()
    for seed, name in enumerate(("one", "two")):
        add_study(store, name, {"torch": 0.0}, seeds=2, test_set=TestSet.draw(100, seed=seed))
    report = build_only(store.by_experiment["movie-reviews"], store, confidence)
    _, *figures = section_of(report, "confidence").figures
    assert [figure.name for figure in figures] == ["thresholds-1", "thresholds-2"]
    assert ["Torch GRU (one)" in figure.alternative for figure in figures] == [True, False]


def test_more_models_than_can_be_told_apart_are_spread_over_figures() -> None:
    store, studies = many_studies(7, TestSet.draw(60), seeds=2, search=False)
    report = build_only(studies, store, confidence)
    first, second = (figure_of(report, f"thresholds-{place}") for place in (1, 2))
    models = [[name for name in figure.values.groups("model") if name != CHANCE] for figure in (first, second)]
    assert [name for part in models for name in part] == [f"Torch GRU (study {place})" for place in range(7)]
    assert len(models[0]) == 4
