"""The average of two models, and its difference from the one whose seeds it has: both vary together."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gru_bench.stats.average import averaged
from gru_bench.stats.calibration import SMALLEST, calibrated

P, Q = np.array([[0.2, 0.3, 0.5], [0.0, 1.0, 0.0]]), np.array([[0.6, 0.3, 0.1], [0.25, 0.25, 0.5]])


def test_a_average_has_the_mean_of_the_log_odds() -> None:
    found = averaged(P, Q, None, None)
    assert found.sum(axis=1) == pytest.approx([1, 1], abs=1e-15)
    assert found[0] == pytest.approx(np.sqrt(P[0] * Q[0]) / np.sqrt(P[0] * Q[0]).sum(), abs=1e-15)
    ratio = np.log(found[1, 1] / found[1, 0])
    assert ratio == pytest.approx((math.log(1 / SMALLEST) + math.log(1)) / 2)


def test_each_model_has_its_temperature() -> None:
    """It is the average of the calibrated probabilities, where none of these is below the smallest one."""
    assert averaged(P[:1], Q[:1], 2.0, 0.7) == pytest.approx(
        averaged(calibrated(P[:1], 2.0), calibrated(Q[:1], 0.7), None, None), abs=1e-12)
    assert averaged(P[:1], P[:1], 2.0, 2.0) == pytest.approx(calibrated(P[:1], 2.0), abs=1e-15)
