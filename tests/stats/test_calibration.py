"""Temperatures agree with cases by hand and with a slow search, and no answer changes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gru_bench.stats import metrics
from gru_bench.stats.calibration import HIGHEST, LOWEST, SMALLEST, calibrated, temperature
from gru_bench.stats.metrics import Floats

Case = tuple[np.ndarray, np.ndarray]


def overconfident(truth_KC: list[list[float]], by: float, copies: int = 10) -> Case:
    """Labels that have exactly these frequencies, and probabilities whose log-odds are so many times too large."""
    label_N = np.concatenate([np.repeat(np.arange(len(row)), np.rint(copies * np.array(row)).astype(int))
                              for row in truth_KC])
    raised_KC = np.array(truth_KC) ** by
    return label_N, np.repeat(raised_KC / raised_KC.sum(axis=1, keepdims=True), copies, axis=0)


@pytest.mark.parametrize("by", [2.5, 1.0, 0.4])
@pytest.mark.parametrize("truth_KC", [
    [[0.6, 0.4], [0.2, 0.8], [0.9, 0.1]], [[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.3, 0.6, 0.1]]])
def test_the_temperature_of_a_made_model_is_how_many_times_too_large_its_log_odds_are(
    truth_KC: list[list[float]], by: float
) -> None:
    label_N, probability_NC = overconfident(truth_KC, by)
    assert temperature(label_N, probability_NC) == pytest.approx(by, rel=1e-9)
    np.testing.assert_allclose(calibrated(probability_NC, by), np.repeat(truth_KC, 10, axis=0), rtol=1e-12)
    logged = temperature(label_N, probability_NC.astype(np.float32))
    assert logged == pytest.approx(by, rel=1e-5)  # of probabilities in 32 bits


@st.composite
def cases(draw: st.DrawFn) -> Case:
    size, classes = draw(st.integers(2, 30)), draw(st.integers(2, 4))
    label_N = draw(hnp.arrays(np.int8, size, elements=st.integers(0, classes - 1)))
    weight_NC = draw(hnp.arrays(np.float64, (size, classes), elements=st.floats(0, 1)))
    assume((weight_NC.sum(axis=1) > 0.01).all())
    return label_N, weight_NC / weight_NC.sum(axis=1, keepdims=True)


@given(cases())
def test_no_temperature_has_a_lower_log_loss(case: Case) -> None:
    """The log loss in plain Python, at the temperature found and at others."""
    label_N, probability_NC = case
    found = temperature(label_N, probability_NC)
    if found is None:
        assert metrics.correct(label_N, probability_NC).all()
        return

    def loss(value: float) -> float:
        total = 0.0
        for label, row in zip(label_N.tolist(), probability_NC.tolist(), strict=True):
            powers = [max(p, SMALLEST) ** (1 / value) for p in row]
            total -= math.log(powers[label] / sum(powers))
        return total

    assert LOWEST <= found <= HIGHEST
    others = [*np.geomspace(LOWEST, HIGHEST, 25), max(LOWEST, 0.99 * found), min(HIGHEST, 1.01 * found)]
    assert all(loss(found) <= loss(float(other)) + 1e-9 * (1 + loss(found)) for other in others)


@given(cases(), st.floats(LOWEST, HIGHEST))
def test_no_answer_changes(case: Case, value: float) -> None:
    _, probability_NC = case
    for kind in (np.float64, np.float32):
        raw_NC: Floats = probability_NC.astype(kind)
        found_NC = calibrated(raw_NC, value)
        assert (metrics.predicted(found_NC) == metrics.predicted(raw_NC)).all()
        np.testing.assert_allclose(found_NC.sum(axis=1), 1, rtol=1e-12)


@pytest.mark.parametrize("row", [
    [np.nextafter(0.5, 1), np.nextafter(0.5, 0)], [0.5, 0.5], [np.nextafter(0.5, 0), np.nextafter(0.5, 1)],
    [0.4, np.nextafter(0.4, 1), 0.2], [0.4, 0.4, 0.2], [0.2, np.nextafter(0.4, 0), 0.4], [0.0, 0.0, 1.0]])
@pytest.mark.parametrize("value", [HIGHEST, 3.0, LOWEST])
def test_the_answer_stays_where_two_classes_are_almost_equal(row: list[float], value: float) -> None:
    raw_NC = np.array([row])
    assert metrics.predicted(calibrated(raw_NC, value)) == metrics.predicted(raw_NC)


def test_there_is_no_temperature_where_no_answer_is_wrong() -> None:
    assert temperature(np.array([0, 1]), metrics.of_two(np.array([0.2, 0.9]))) is None
    raw_NC = metrics.of_two(np.array([0.2, 0.9], np.float32))
    assert np.array_equal(calibrated(raw_NC, None), raw_NC.astype(np.float64))


def test_the_temperature_ends_where_its_range_does() -> None:
    wrong_N, right_N = np.array([1, 1]), np.array([0] * 99 + [1])
    sure_NC = metrics.of_two(np.array([0.1, 0.2]))
    assert temperature(wrong_N, sure_NC) == HIGHEST  # each answer is wrong
    assert temperature(right_N, metrics.of_two(np.full(100, 0.499))) == LOWEST


def test_refuses_what_cannot_be_scored() -> None:
    with pytest.raises(ValueError, match="at least 1 example"):
        temperature(np.array([], int), np.zeros((0, 2)))
