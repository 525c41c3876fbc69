"""The ensemble of the seeds: the mean of their probabilities, and its interval."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import numpy as np
import pytest

from gru_bench.config import MetricName
from gru_bench.stats.estimate import wilson_interval
from gru_bench.stats.intervals import Scored, interval, interval_together
from gru_bench.stats.metrics import mean_probability, of_two


def drawn(classes: int = 2, *, runs: int = 5, size: int = 300) -> Scored:
    """Return what some runs predict, with more right answers than wrong ones."""
    rng = np.random.default_rng(classes)
    label_N = rng.integers(0, classes, size)
    score_RNC = rng.normal(size=(runs, size, classes)) + 1.0 * np.eye(classes)[label_N]
    probability_RNC = np.exp(score_RNC) / np.exp(score_RNC).sum(-1, keepdims=True)
    probability_RNC = probability_RNC.astype(np.float32)
    return Scored(label_N, of_two(probability_RNC[..., 1]) if classes == 2 else probability_RNC)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_ensemble_is_the_mean_over_seeds(classes: int) -> None:
    probability_RNC = drawn(classes).probability_RNC
    found = mean_probability(probability_RNC)
    assert found.shape == probability_RNC.shape[1:]
    assert found.dtype == probability_RNC.dtype
    for place in np.ndindex(*found.shape):
        assert found[place] == pytest.approx(fmean(float(one[place]) for one in probability_RNC), rel=1e-6)
    assert np.array_equal(found, mean_probability(probability_RNC[::-1]))
    assert np.array_equal(mean_probability(probability_RNC[:1]), probability_RNC[0])
    assert mean_probability([[[1, 0], [0, 1]], [[0, 1], [0, 1]]]).tolist() == [[0.5, 0.5], [0.0, 1.0]]


@pytest.mark.parametrize(("wrong", "said"), [
    (np.zeros((3, 2)), r"\(R, N, C\).*\(3, 2\).*stack"),
    (np.zeros((0, 3, 2)), r"\(0, 3, 2\)"),
    ([[[0.2, 1.5]]], "between 0 and 1.*1.5"),
    ([[[0.2, float("nan")]]], "between 0 and 1.*nan"),
])
def test_refuses_values_that_are_no_probabilities_of_seeds(wrong: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        mean_probability(wrong)


@pytest.mark.parametrize(("metric", "classes"), [
    ("accuracy", 2), ("log_loss", 2), ("macro_f1", 2), ("accuracy", 4), ("log_loss", 4), ("macro_f1", 4)])
def test_the_ensemble_is_scored_as_one_run(metric: MetricName, classes: int) -> None:
    model = drawn(classes)
    found = interval_together(metric, model)
    mean_NC = model.probability_RNC.astype(float).mean(0).astype(np.float32)
    alone = interval(metric, Scored(model.label_N, mean_NC[None]))
    assert (found.estimate, found.low, found.high) == (alone.estimate, alone.low, alone.high)
    assert found.low < found.estimate < found.high
    assert "one seed" in alone.method
    assert "5 seeds" in found.method
    # It errs where most seeds err: better than the mean of single seeds, whose errors differ.
    single = interval(metric, model).estimate
    assert found.estimate < single if metric == "log_loss" else found.estimate > single


def test_a_mean_may_be_right_where_most_seeds_are_wrong() -> None:
    model = Scored(np.array([1, 0]), of_two(np.array([[0.49, 0.1], [0.49, 0.1], [0.9, 0.1]])))
    assert model.correct_RN[:, 0].mean() < 0.5
    assert interval_together("accuracy", model).estimate == 1.0


def test_an_interval_where_every_answer_is_right_has_a_width() -> None:
    label_N = np.arange(31) % 2
    model = Scored(label_N, of_two(np.stack([np.where(label_N == 1, 0.9, 0.1)] * 10)))
    found = interval_together("accuracy", model)
    assert found.estimate == found.high == 1.0
    assert found.low < wilson_interval(31, 31)[0] < 0.9
