"""Guessing reaches what someone reaches who knows the frequencies of the classes and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from gru_bench.config import MetricName
from gru_bench.stats import metrics
from gru_bench.stats.estimate import may_be_guessing
from gru_bench.stats.intervals import interval
from gru_bench.stats.metrics import of_two
from gru_bench.stats.scores import Scored, guessing

TWO = np.repeat([0, 1], [700, 300])
THREE = np.repeat([0, 1, 2], [600, 300, 100])


@pytest.mark.parametrize(("metric", "label_N", "score"), [
    ("accuracy", TWO, 0.7), ("accuracy", THREE, 0.6),
    ("macro_f1", TWO, 1 / 2), ("macro_f1", THREE, 1 / 3), ("log_loss", TWO, 0.610864), ("log_loss", THREE, 0.897946)])
def test_the_score_of_guessing(metric: MetricName, label_N: np.ndarray, score: float) -> None:
    assert guessing(metric, label_N, int(label_N.max()) + 1) == pytest.approx(score, abs=1e-6)


@pytest.mark.parametrize("label_N", [TWO, THREE])
def test_no_guess_is_better(label_N: np.ndarray) -> None:
    """Each way to guess, scored as predictions are, on so many examples that its luck is small."""
    classes = int(label_N.max()) + 1
    label_N = np.tile(label_N, 50)
    share_C = np.bincount(label_N) / label_N.size
    rng = np.random.default_rng(0)
    ways = [np.full(label_N.size, one) for one in range(classes)] + [rng.choice(classes, label_N.size, p=share_C)]
    for said_N in ways:
        count_CC = metrics.counts(label_N, said_N, classes)
        assert np.trace(count_CC) / label_N.size <= guessing("accuracy", label_N, classes) + 1e-9
        assert metrics.macro_f1(count_CC) <= guessing("macro_f1", label_N, classes) + 0.005
    known_NC = np.tile(share_C, (label_N.size, 1))
    loss = metrics.log_loss(label_N, known_NC)
    assert loss == pytest.approx(guessing("log_loss", label_N, classes), abs=1e-6)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "log_loss"])
def test_a_model_is_above_guessing_where_its_whole_interval_is(metric: MetricName) -> None:
    rng = np.random.default_rng(1)
    for signal, guesses in ((0.0, True), (3.0, False)):
        logit_RN = np.log(3 / 7) + signal * (2 * TWO - 1) + 0.05 * rng.normal(size=(5, TWO.size))
        found = interval(metric, Scored(TWO, of_two(1 / (1 + np.exp(-logit_RN)))))
        assert may_be_guessing(metric, found, guessing(metric, TWO, 2)) is guesses
