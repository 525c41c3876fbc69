"""Estimates of any score that a study is about: accuracy, log loss, F1, macro F1 or ROC AUC, each with its interval.

Every score enters the variance sum of `estimate.py` by what run s scores on example i, Y_si. For accuracy that is
whether the answer is correct, for log loss the loss of the example. The other scores are no means over examples. They
enter with

    Y_si = score_s + N d_si

where the influence d_si is the derivative of the score of run s by the weight of example i, which sums to 0 over
examples. So the mean of Y_si over examples is the score, and its variance is that of the score to first order.

F1 of class c is 2 hit/named, where `named` counts the examples of the class and those predicted so; its influence is
(2 hit_i - F1 named_i)/named. The influence on ROC AUC is the share of the other side that the example is ranked rightly
against, less the AUC, over the size of its own side (DeLong et al. 1988).

Where few examples decide, the interval leans on Wilson's with n_c, the number of examples of which a share of right
answers would vary as much as the score of class c does: named/(2 - F1) for F1, and A (1 - A)/var for an AUC of A. Of
few examples of a class, the variance of its AUC is known badly: most often it is far too small, because all but some
are ranked above the others. So n_c is at most what Newcombe (2006, method 5) expects for an AUC of A with m examples of
the class and n others,

    n_c <= m n/(1 + (N/2 - 1) ((1 - A)/(2 - A) + A/(1 + A)))

A mean of the AUCs of C classes has n with 1/n = (sum_c 1/n_c)/C^2. A wrong answer lowers the F1 of two classes, its own
and the predicted one, so macro F1 has 1/n = 2 (sum_c 1/n_c)/C^2: a bound, because (a + b)^2 <= 2 (a^2 + b^2). The
difference of two AUCs does not lean, because one example may move it by any amount. Like that of two losses, it shows
equivalence only where enough examples decide.

Shapes: `R` runs (seeds) of a model, `N` examples, `C` classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import ComparedName
from gru_bench.stats import metrics
from gru_bench.stats.estimate import Estimate, Floats, Values, estimate


@dataclass(frozen=True, eq=False)
class Scored:
    """What the runs of one model predict for the same examples, or how each of their answers is scored."""

    label_N: NDArray[np.integer]
    probability_RNC: NDArray[np.floating]
    """Probability of each class. NaN where the predicted classes alone are known, and of no class where the scores
    alone are."""
    group_N: NDArray[Any] | None = None
    """Name of each example's group. None: each example is a group of its own."""
    named_RN: NDArray[np.int_] | None = None
    """Predicted classes, as positions, where they are known by themselves. None: they follow from the probabilities."""
    score_RN: Floats | None = None
    """Score of each answer, where neither labels nor predictions are known."""
    unused: tuple[int, ...] = ()
    """Classes, as positions, that means over classes leave out, because no example is of them."""
    is_fitted_once: bool = False
    """Whether the model has no seed, and so one run. It enters with an infinite number of seeds."""

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
        """Return whether seed r answers example i correctly. Of scores: whether it has a score of 1."""
        if self.score_RN is not None:
            return np.asarray(self.score_RN == 1)
        return np.asarray(self.predicted_RN == self.label_N)

    @property
    def has_probabilities(self) -> bool:
        """Return whether the probabilities are known."""
        return self.probability_RNC.size > 0 and not np.isnan(self.probability_RNC.flat[0])

    @cached_property
    def loss_RN(self) -> Floats:
        """Return the losses in nats."""
        return np.stack([metrics.losses(self.label_N, one) for one in self.probability_RNC])

    @cached_property
    def together(self) -> Self:
        """Return what the runs predict together, as if they were one run: the mean of their probabilities."""
        return replace(self, probability_RNC=metrics.mean_probability(self.probability_RNC)[None], named_RN=None)

    def values(self, metric: ComparedName) -> Values:
        """Return what each run scores on each example.

        Raises:
            ValueError: for fewer than 2 examples, several runs of a model that is fitted once, and a ROC AUC where a
                class is absent.
        """
        found = self._values(metric)
        return replace(found, is_fitted_once=True) if self.is_fitted_once else found

    def _values(self, metric: ComparedName) -> Values:
        match metric:
            case "accuracy":
                return Values.of_correct(self.correct_RN)
            case "score":
                assert self.score_RN is not None, "these runs have no scores"
                return Values(self.score_RN, (-math.inf, math.inf))
            case "log_loss":
                return Values(self.loss_RN, (0.0, math.inf))
            case "roc_auc":
                return _mean([_area(self.label_N == place, self.probability_RNC[:, :, place])
                              for place in ((1,) if self.class_count == 2 else self.averaged)])
            case "f1":
                return f1_values(self.label_N == 1, self.predicted_RN == 1)
            case "macro_f1":
                return _mean([f1_values(self.label_N == place, self.predicted_RN == place) for place in self.averaged])

    def scores(self, metric: ComparedName) -> list[float]:
        """Return the score of each run.

        Raises:
            ValueError: for a ROC AUC where a class is absent.
        """
        if metric == "score" or self.unused:
            return [float(one) for one in self.values(metric).value_RN.mean(axis=1)]
        if metric == "accuracy":
            return [float(one) for one in self.correct_RN.mean(axis=1)]
        if metric in ("f1", "macro_f1"):
            return [metrics.f1_of(metric, metrics.counts(self.label_N, one, self.class_count))
                    for one in self.predicted_RN]
        found = [metrics.value_of(metric, self.label_N, one) for one in self.probability_RNC]
        known = [value for value in found if value is not None]
        if len(known) < len(found):
            raise ValueError("a ROC AUC needs examples of every class")
        return known


def interval(metric: ComparedName, model: Scored) -> Estimate:
    """Return the mean score of a model over seeds with its 95 % interval over new seeds and new examples.

    Raises:
        ValueError: as `Scored.values`.
    """
    return estimate(model.values(metric), group_N=model.group_N)


def interval_together(metric: ComparedName, model: Scored) -> Estimate:
    """Return the score of all runs together with its interval over new examples only.

    It is about these very runs together. Fresh seeds together may have another score, and no interval here covers that.

    Raises:
        ValueError: as `Scored.values`.
    """
    found = interval(metric, model.together)
    seeds = f"the ensemble of these {len(model.probability_RNC)} seeds"
    return replace(found, method=found.method.replace("one seed", seeds))


def difference(metric: ComparedName, a: Scored, b: Scored) -> Estimate:
    """Return the score of A minus the score of B, with its 95 % interval and p, over new seeds and new examples.

    Args:
        metric: The score. Of a log loss, the better model has the lower one.
        a: Predictions of A.
        b: Predictions of B, for the same examples in the same order.

    Raises:
        ValueError: for different examples, and as `Scored.values`.
    """
    return estimate(a.values(metric), b.values(metric), a.group_N)


def paired_difference(metric: ComparedName, a: Scored, b: Scored) -> Estimate:
    """Return the same for two models of which run s of A and run s of B have the same seed, and vary together.

    Raises:
        ValueError: for different numbers of runs too.
    """
    return estimate(a.values(metric).minus(b.values(metric)), group_N=a.group_N)


def f1_values(own_N: NDArray[np.bool_], predicted_RN: NDArray[np.bool_]) -> Values:
    """Return the values of the F1 of one class. It is 0 where no example is of the class or predicted so."""
    hit_RN, named_RN = predicted_RN & own_N, predicted_RN.astype(np.float64) + own_N
    named_R1 = np.maximum(named_RN.sum(axis=1, keepdims=True), 1)
    f1_R1 = 2 * hit_RN.sum(axis=1, keepdims=True) / named_R1
    value_RN = f1_R1 + len(own_N) * (2 * hit_RN - f1_R1 * named_RN) / named_R1
    # To first order, the variance of the F1 of one run is F1 (1 - F1) (2 - F1)/named.
    return Values(value_RN, counted=max(1.0, float((named_R1 / (2 - f1_R1)).mean())))


def _area(own_N: NDArray[np.bool_], score_RN: NDArray[np.floating]) -> Values:
    """Return the values of the ROC AUC of one class against the rest."""
    own, rest = int(own_N.sum()), int((~own_N).sum())
    if not own or not rest:
        raise ValueError("a ROC AUC needs examples of every class")
    value_RN = np.empty(score_RN.shape)
    for value_N, score_N in zip(value_RN, score_RN, strict=True):
        below = _placed(score_N[own_N], score_N[~own_N])
        above = 1 - _placed(score_N[~own_N], score_N[own_N])
        area = below.mean()
        value_N[own_N] = area + len(own_N) * (below - area) / own
        value_N[~own_N] = area + len(own_N) * (above - area) / rest
    mean, variance = float(value_RN.mean()), float(value_RN.var(axis=1).mean())
    expected = own * rest / (1 + (len(own_N) / 2 - 1) * ((1 - mean) / (2 - mean) + mean / (1 + mean)))
    found = len(own_N) * mean * (1 - mean) / variance if variance > 0 else expected
    return Values(value_RN, counted=min(expected, found), is_continuous=True)


def _placed(some: NDArray[np.floating], others: NDArray[np.floating]) -> Floats:
    """Return for each of some scores the share of the others below it, where ties count half."""
    ordered = np.sort(others)
    return (np.searchsorted(ordered, some, "left") + np.searchsorted(ordered, some, "right")) / (2 * len(others))


def _mean(by_class: list[Values]) -> Values:
    """Return the values of the unweighted mean of the scores of all classes."""
    lowered = 1 if by_class[0].is_continuous or len(by_class) == 1 else 2  # classes by one wrong answer
    size = len(by_class) ** 2 / sum(lowered / one.size for one in by_class)
    mean_RN = np.mean([one.value_RN for one in by_class], axis=0)
    return Values(mean_RN, counted=size, is_continuous=by_class[0].is_continuous)
