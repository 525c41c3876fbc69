"""Estimates of any score that a study is about, accuracy, log loss or macro F1, each with its interval.

Every score enters the variance sum of `estimate.py` by what run s scores on example i, Y_si. For accuracy that is
whether the answer is correct, for log loss the loss of the example. F1 is no mean over examples. It enters with the
pseudo-values of the jackknife (Tukey 1958): with score_s(-i) the score of run s without example i,

    Y_si = score_s + P_si - mean_i P_si,    P_si = (N - 1)(score_s - score_s(-i))

so that the mean of Y_si over examples is the score, and for one run var(Y_si)/N is the jackknife's variance. It holds
where classes are rare, which a derivative does not: with 20 classes of sizes after Zipf and 300 examples, p is below
0.05 in 5 instead of 8 of 100 comparisons of equally good models. Examples of a group k leave together: their P_si are
shifted by one number for each group, so that they sum to (N - n_k)(score_s - score_s(-k)).

F1 of class c is 2 hit/named, where `named` counts the examples of the class and those predicted so.

Where few examples decide, the interval leans on Wilson's with n_c, the number of examples of which a share of right
answers would vary as much as the F1 of class c does: named/(2 - F1). A wrong answer lowers the F1 of two classes, its
own and the predicted one, so macro F1 has 1/n = 2 (sum_c 1/n_c)/C^2: a bound, because (a + b)^2 <= 2 (a^2 + b^2). The
difference of two losses does not lean, because one example may move it by any amount: it shows equivalence only where
enough examples decide.

Shapes: `R` runs (seeds) of a model, `N` examples, `C` classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import MetricName
from gru_bench.stats import metrics
from gru_bench.stats.estimate import Estimate, Floats, Values, estimate


@dataclass(frozen=True, eq=False)
class Scored:
    """What the runs of one model predict for the same examples, or whether each of their answers is right."""

    label_N: NDArray[np.integer]
    probability_RNC: NDArray[np.floating]
    """Probability of each class. NaN where the predicted classes alone are known, and of no class where only right and
    wrong are."""
    group_N: NDArray[Any] | None = None
    """Name of each example's group. None: each example is a group of its own."""
    named_RN: NDArray[np.int_] | None = None
    """Predicted classes, as positions, where they are known by themselves; -1 for a wrong answer of no known class.
    None: they follow from the probabilities."""
    unused: tuple[int, ...] = ()
    """Classes, as positions, that means over classes leave out, because no example is of them."""
    is_fitted_once: bool = False
    """Whether the model has no seed, and so one run. It enters with an infinite number of seeds."""
    stratum_N: NDArray[Any] | None = None
    """Name of the stratum of each example's group. None: the split did not fix the share of any."""

    @property
    def class_count(self) -> int:
        """Return C."""
        return int(self.probability_RNC.shape[2])

    @property
    def averaged(self) -> list[int]:
        """Return the classes, as positions, of a mean over classes."""
        return [place for place in range(self.class_count) if place not in self.unused]

    @cached_property
    def predicted_RN(self) -> NDArray[np.int_]:
        """Return the predicted classes, as positions."""
        if self.named_RN is not None:
            return self.named_RN
        return np.stack([metrics.predicted(one) for one in self.probability_RNC])

    @cached_property
    def correct_RN(self) -> NDArray[np.bool_]:
        """Return whether seed r answers example i correctly."""
        return np.asarray(self.predicted_RN == self.label_N)

    @property
    def has_probabilities(self) -> bool:
        """Return whether the probabilities are known."""
        return self.probability_RNC.size > 0 and not np.isnan(self.probability_RNC.flat[0])

    @cached_property
    def loss_RN(self) -> Floats:
        """Return the losses in nats."""
        return np.stack([metrics.losses(self.label_N, one) for one in self.probability_RNC])

    def values(self, metric: MetricName) -> Values:
        """Return what each run scores on each example.

        Raises:
            ValueError: for fewer than 2 examples, and several runs of a model that is fitted once.
        """
        return replace(self._values(metric), is_fitted_once=self.is_fitted_once)

    def _values(self, metric: MetricName) -> Values:
        match metric:
            case "accuracy":
                return Values.of_correct(self.correct_RN)
            case "log_loss":
                return Values(self.loss_RN, (0.0, math.inf))
            case "macro_f1":
                return _mean([f1_values(self.label_N == place, self.predicted_RN == place, self.group_N)
                              for place in self.averaged])

    def scores(self, metric: MetricName) -> list[float]:
        """Return the score of each run."""
        if self.unused:
            return [float(one) for one in self.values(metric).value_RN.mean(axis=1)]
        if metric == "accuracy":
            return [float(one) for one in self.correct_RN.mean(axis=1)]
        if metric == "macro_f1":
            return [metrics.macro_f1(metrics.counts(self.label_N, one, self.class_count)) for one in self.predicted_RN]
        return [metrics.log_loss(self.label_N, one) for one in self.probability_RNC]


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


def f1_values(
    own_N: NDArray[np.bool_], predicted_RN: NDArray[np.bool_], group_N: NDArray[Any] | None = None
) -> Values:
    """Return the values of the F1 of one class. It is 0 where no example is of the class or predicted so.

    Args:
        own_N: Whether an example is of the class.
        predicted_RN: Whether it is predicted so.
        group_N: Name of each example's group. None: each example is a group of its own.
    """
    examples = len(own_N)
    hit_RN, named_RN = (predicted_RN & own_N).astype(np.float64), predicted_RN.astype(np.float64) + own_N
    hits_R1, named_R1 = hit_RN.sum(axis=1, keepdims=True), named_RN.sum(axis=1, keepdims=True)

    def f1(hit: Floats, named: Floats) -> Floats:
        return 2 * hit / np.maximum(named, 1)

    f1_R1 = f1(hits_R1, named_R1)
    rest_RN = (examples - 1) * (f1_R1 - f1(hits_R1 - hit_RN, named_R1 - named_RN))
    if group_N is not None:
        _, group_N, size_K = np.unique(group_N, return_inverse=True, return_counts=True)
        hit_RK, named_RK, rest_RK = (
            np.stack([np.bincount(group_N, one_N) for one_N in one_RN]) for one_RN in (hit_RN, named_RN, rest_RN))
        wanted_RK = (examples - size_K) * (f1_R1 - f1(hits_R1 - hit_RK, named_R1 - named_RK))
        rest_RN += ((wanted_RK - rest_RK) / size_K)[:, group_N]
    value_RN = f1_R1 + rest_RN - rest_RN.mean(axis=1, keepdims=True)
    # To first order, the variance of the F1 of one run is F1 (1 - F1) (2 - F1)/named.
    return Values(value_RN, counted=max(1.0, float((np.maximum(named_R1, 1) / (2 - f1_R1)).mean())))


def _mean(by_class: list[Values]) -> Values:
    """Return the values of the unweighted mean of the scores of all classes."""
    lowered = 1 if len(by_class) == 1 else 2  # classes by one wrong answer
    size = len(by_class) ** 2 / sum(lowered / one.size for one in by_class)
    return Values(np.mean([one.value_RN for one in by_class], axis=0), counted=size)
