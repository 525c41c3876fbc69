"""The ensemble of the seeds: the mean of their probabilities, and its interval."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import numpy as np
import pytest

from gru_bench.stats.metrics import mean_probability, of_two
from gru_bench.stats.scores import Scored


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
