"""Estimates of any score that a study is about, each with its interval over new seeds and new examples."""

from __future__ import annotations

from dataclasses import replace

from gru_bench.config import MetricName
from gru_bench.stats.estimate import Estimate, estimate
from gru_bench.stats.scores import Scored
from gru_bench.stats.values import f1_values


def interval(metric: MetricName, model: Scored) -> Estimate:
    """Return the mean score of a model over seeds with its 95 % interval over new seeds and new examples.

    Raises:
        ValueError: as `Scored.values`.
    """
    return estimate(model.values(metric), None, model.group_N, model.stratum_N)


def f1_interval(model: Scored) -> Estimate:
    """Return the mean F1 of class 1 over seeds with its interval, as `interval`."""
    values = f1_values(model.label_N == 1, model.predicted_RN == 1, model.group_N)
    return estimate(replace(values, is_fitted_once=model.is_fitted_once), None, model.group_N, model.stratum_N)


def difference(metric: MetricName, a: Scored, b: Scored) -> Estimate:
    """Return the score of A minus the score of B, with its 95 % interval and p, over new seeds and new examples.

    Args:
        metric: The score. Of a log loss, the better model has the lower one.
        a: Predictions of A.
        b: Predictions of B, for the same examples in the same order.

    Raises:
        ValueError: for different examples, and as `Scored.values`.
    """
    return estimate(a.values(metric), b.values(metric), a.group_N, a.stratum_N)
