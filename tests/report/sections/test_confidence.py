"""Temperatures, and scores of the probabilities before and after, recomputed from the predictions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gru_bench.report.sections.confidence import confidence
from gru_bench.stats import metrics
from gru_bench.stats.calibration import calibrated, temperature
from gru_bench.stats.metrics import of_two
from gru_bench.tracking import LoggedStudy
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study
from tests.support.renderings import column_of, number_in, words_of
from tests.support.sections import build_only
from tests.support.values import present

LABELS = ("Scratch GRU", "Torch GRU", "Bidirectional GRU")


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


def test_a_model_without_validation_reviews_is_not_calibrated_and_it_is_said() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0, "scratch": 0.1}, seeds=2, test_set=TestSet.draw(50))
    said = words_of(build_only([study], store, confidence), "confidence")
    mentions(said, "Torch GRU: not calibrated", "Scratch GRU: not calibrated", "validation")
    with_validation(store, replace(study, confirms=tuple(run for run in study.confirms if run.model == "torch")))
    report = build_only([study], store, confidence)
    assert column_of(report, "calibration", "Model") == ["Torch GRU", "Torch GRU, ensemble"]
    assert "Torch GRU: not calibrated" not in words_of(report, "confidence")
