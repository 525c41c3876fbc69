"""Log loss and calibration error of what can be taken, as it is served, recomputed from the predictions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gru_bench.document.numbers import MISSING
from gru_bench.document.sentences import in_text
from gru_bench.report.sections.confidence import confidence
from gru_bench.stats import metrics
from gru_bench.stats.average import averaged
from gru_bench.stats.calibration import calibrated, temperature
from gru_bench.stats.metrics import of_two
from gru_bench.tracking import LoggedStudy
from tests.support.fake_store import FakeStore, TestSet, add_study
from tests.support.renderings import column_of, section_of
from tests.support.sections import build_only
from tests.support.values import present


def with_validation(store: FakeStore, study: LoggedStudy) -> None:
    """Add predictions of validation reviews, of models that are too sure of themselves."""
    rng, reviews = np.random.default_rng(0), TestSet.draw(300, seed=1)
    for run in (*study.confirms, *study.baselines[1:]):
        drawn = reviews.predictions(rng, np.zeros(300), 0.0)
        odds_N = np.log(drawn.probability_NC[:, 1] / drawn.probability_NC[:, 0])
        store.predicted[run.run_id, "validation"] = replace(
            drawn, probability_NC=of_two((1 / (1 + np.exp(-3 * odds_N))).astype(np.float32)))


def test_each_classifier_is_scored_as_it_is_served() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=3, test_set=TestSet.draw(400))
    with_validation(store, study)
    report = build_only([study], store, confidence)
    runs = [[run.run_id for run in study.confirms], [study.baselines[-1].run_id]]
    mean_SM = [[np.mean([store.predicted[one, split].probability_NC.astype(float) for one in of], axis=0)
                for of in runs] for split in ("validation", "test")]
    labels = [store.predicted[runs[0][0], split].label_N for split in ("validation", "test")]
    first, second = (present(temperature(labels[0], mean_NC)) for mean_NC in mean_SM[0])
    assert min(first, second) > 1.5
    trained_NC, linear_NC = mean_SM[1]
    served = {"Torch GRU (all seeds)": calibrated(trained_NC, first), "TF-IDF": linear_NC,
              "average": averaged(trained_NC, linear_NC, first, second)}
    assert column_of(report, "calibration", "Classifier") == list(served)
    shown = [in_text(cell if isinstance(cell, tuple) else (cell,))
             for cell in column_of(report, "calibration", "Temperature")]
    assert shown == [f"{first:.3f}", MISSING, f"{first:.3f} and {second:.3f}"]
    for heading, score in (("Log loss", metrics.log_loss), ("Calibration error", metrics.expected_calibration_error)):
        for number, probability_NC in zip(column_of(report, "calibration", heading), served.values(), strict=True):
            assert number.value == pytest.approx(score(labels[1], probability_NC), rel=1e-5)


def test_a_model_without_validation_reviews_has_no_temperature() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=2, test_set=TestSet.draw(50))
    report = build_only([study], store, confidence)
    assert column_of(report, "calibration", "Temperature") == [MISSING] * 2


def test_where_not_all_probabilities_are_known_there_is_no_section() -> None:
    store = FakeStore()
    study = add_study(store, "torch", {"torch": 0.0}, seeds=2, test_set=TestSet.draw(50))
    for key, found in store.predicted.items():
        store.predicted[key] = replace(found, whole=False)
    report = build_only([study], store, confidence)
    assert "confidence" not in [section.name for section in report.sections]
    assert section_of(report, "summary")
