"""Estimates of any score that a study is about: accuracy, log loss, F1, macro F1 or ROC area, each with its interval.

Accuracy and log loss are means over examples, so `estimate.py` has a closed form for them. The other scores are not:
seeds and examples are drawn with replacement (Sellam et al. 2022), the standard error of the draws is multiplied by
sqrt(R/(R - 1)), and the degrees of freedom are those of the accuracy of the same runs. Both models of a difference get
the same examples in each draw. These intervals are conservative.

Where few examples decide, the interval of one model is blended with Wilson's, as that of an accuracy is. How much an
example decides is its influence, the derivative of the score by the weight of the example. A mean over classes has the
number of examples n with 1/n = (sum_c 1/n_c)/C^2, where n_c counts the examples that the score of class c rests on.

Shapes: `R` runs (seeds) of a model, `N` examples, `C` classes, `B` bootstrap draws.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import MetricName
from gru_bench.stats import metrics
from gru_bench.stats.estimate import (
    METHOD_BOOTSTRAP,
    METHOD_BOOTSTRAP_EXAMPLES,
    METHOD_FEW,
    Estimate,
    Floats,
    Values,
    WilsonBlend,
    accuracy_difference,
    accuracy_interval,
    deciding_examples,
    estimate,
    f1_interval,
    wilson_weight,
)
from gru_bench.stats.estimate import deviation as without_noise
from gru_bench.stats.metrics import mean_probability

DRAWS = 1000
AT_ONCE = 250
"""Draws whose weights are held in memory at once."""


@dataclass(frozen=True)
class Scored:
    """What the runs of one model predict for the same examples."""

    label_N: NDArray[np.integer]
    probability_RNC: NDArray[np.floating]
    """Probability of each class."""

    @property
    def classes(self) -> int:
        """Return C."""
        return int(self.probability_RNC.shape[2])

    @cached_property
    def predicted_RN(self) -> NDArray[np.int_]:
        """Return the predicted classes, as positions."""
        return np.stack([metrics.predicted(one) for one in self.probability_RNC])

    @cached_property
    def correct_RN(self) -> NDArray[np.bool_]:
        """Return whether seed r answers example i correctly."""
        return np.asarray(self.predicted_RN == self.label_N)

    @cached_property
    def loss_RN(self) -> Floats:
        """Return the losses in nats."""
        return np.stack([metrics.losses(self.label_N, one) for one in self.probability_RNC])

    @cached_property
    def together(self) -> Scored:
        """Return what the runs predict together, as if they were one run: the mean of their probabilities."""
        return Scored(self.label_N, mean_probability(self.probability_RNC)[None])

    def values(self, metric: Literal["accuracy", "log_loss"]) -> Values:
        """Return what each run scores on each example."""
        if metric == "log_loss":
            return Values(self.loss_RN, (0.0, math.inf))
        return Values.of_correct(self.correct_RN)

    def scores(self, metric: MetricName) -> list[float]:
        """Return the score of each run.

        Raises:
            ValueError: for a ROC area where a class is absent.
        """
        found = [metrics.value_of(metric, self.label_N, one) for one in self.probability_RNC]
        known = [value for value in found if value is not None]
        if len(known) < len(found):
            raise ValueError("a ROC area needs examples of every class")
        return known


def interval(metric: MetricName, model: Scored, confidence: float = 0.95) -> Estimate:
    """Return the mean score of a model over seeds with its interval over new seeds and new examples.

    Raises:
        ValueError: for fewer than 2 examples, and for a ROC area where a class is absent.
    """
    if metric in ("accuracy", "log_loss"):
        return estimate(model.values(metric), confidence=confidence)
    if metric == "f1":
        return f1_interval(model.predicted_RN, model.label_N, _generator(model), confidence)
    like = accuracy_interval(model.correct_RN, confidence)
    kind = _kind(metric, model)
    mean = float(np.mean(model.scores(metric)))
    variance, method = _variance([kind], _generator(model)), _method(model)
    wilson = None
    if weight := wilson_weight(deciding_examples(kind.influence_RN.mean(0))):
        of_c, size_c = kind.by_class
        size = max(1.0, len(size_c) ** 2 / float(np.sum(1 / size_c)))
        single = float(np.sum(of_c * (1 - of_c) / size_c)) / len(size_c) ** 2
        below = like.wilson.seeds_below if like.wilson is not None else 0.0
        wilson = WilsonBlend(weight, size, variance, single, like.examples - 1, below)
        method += METHOD_FEW
    return replace(like, estimate=mean, variance=variance, method=method, wilson=wilson).at(confidence)


def interval_together(metric: MetricName, model: Scored, confidence: float = 0.95) -> Estimate:
    """Return the score of all runs together with its interval over new examples only.

    It is about these very runs together. Fresh seeds together may have another score, and no interval here covers that.

    Raises:
        ValueError: as `interval`.
    """
    found = interval(metric, model.together, confidence)
    return replace(found, method=found.method.replace("one seed", f"these {len(model.probability_RNC)} seeds together"))


def difference(metric: MetricName, a: Scored, b: Scored, confidence: float = 0.95) -> Estimate:
    """Return the score of A minus the score of B, with interval and p, over new seeds and new examples.

    Args:
        metric: The score. Of a log loss, the better model has the lower one.
        a: Predictions of A.
        b: Predictions of B, for the same examples in the same order.
        confidence: Confidence of the interval, between 0 and 1.

    Raises:
        ValueError: for different examples, and as `interval`.
    """
    if metric in ("accuracy", "log_loss"):
        return estimate(a.values(metric), b.values(metric), confidence)
    like = accuracy_difference(a.correct_RN, b.correct_RN, confidence)
    mean = float(np.mean(a.scores(metric))) - float(np.mean(b.scores(metric)))
    variance = _variance([_kind(metric, a), _kind(metric, b)], _generator(a, b))
    return replace(like, estimate=mean, variance=variance, method=_method(a, b), wilson=None).at(confidence)


def deviation(metric: MetricName, model: Scored) -> float | None:
    """Return the standard deviation of a score between seeds. None for one seed.

    Of accuracy and log loss, the noise of the test set is taken out of it. The other scores keep it.
    """
    if metric in ("accuracy", "log_loss"):
        return without_noise(model.values(metric))
    found = model.scores(metric)
    return float(np.std(found, ddof=1)) if len(found) > 1 else None


def _method(*models: Scored) -> str:
    several = min(len(model.probability_RNC) for model in models) > 1
    return METHOD_BOOTSTRAP if several else METHOD_BOOTSTRAP_EXAMPLES


def _generator(*models: Scored) -> np.random.Generator:
    """Return a generator that depends on the predictions alone: a study has the same numbers wherever it is carried."""
    seeds = [zlib.crc32((model.probability_RNC[:, :, 1] if model.classes == 2 else model.probability_RNC).tobytes())
             for model in models]
    return np.random.default_rng(seeds if len(seeds) > 1 else seeds[0])


def _kind(metric: MetricName, model: Scored) -> _F1 | _Areas:
    if metric == "roc_auc":
        return _Areas(model)
    return _F1(model, (1,) if metric == "f1" else tuple(range(model.classes)))


def _variance(models: Sequence[_F1 | _Areas], rng: np.random.Generator) -> float:
    """Return the variance of the mean score over seeds, or of the difference of two, by a two-level bootstrap."""
    examples = models[0].examples
    value_B = np.zeros(DRAWS)
    for start in range(0, DRAWS, AT_ONCE):
        drawn_BN = rng.integers(0, examples, (AT_ONCE, examples)) + examples * np.arange(AT_ONCE)[:, None]
        weight_BN = np.bincount(drawn_BN.ravel(), minlength=AT_ONCE * examples).reshape(AT_ONCE, examples)
        for sign, model in zip((1, -1), models, strict=False):
            score_BR = model.weighted(weight_BN.astype(np.float32))
            seeds = score_BR.shape[1]
            share_BR = rng.multinomial(seeds, np.full(seeds, 1 / seeds), AT_ONCE) / seeds
            value_B[start:start + AT_ONCE] += sign * (share_BR * score_BR).sum(1)
    fewest = min(model.seeds for model in models)
    return float(value_B.var(ddof=1)) * (fewest / (fewest - 1) if fewest > 1 else 1.0)


class _F1:
    """The mean F1 of some classes: F1 of class c is 2 hit / named, where `named` counts true and predicted ones."""

    def __init__(self, model: Scored, places: Sequence[int]) -> None:
        self.places, self._model = places, model
        self.seeds, self.examples = model.predicted_RN.shape

    def _counts(self, place: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        named_RN, true_N = self._model.predicted_RN == place, self._model.label_N == place
        return (named_RN & true_N).T.astype(np.float32), (named_RN.astype(np.int8) + true_N).T.astype(np.float32)

    def weighted(self, weight_BN: NDArray[np.float32]) -> Floats:
        """Return the score of each run where example i counts so many times, B x R."""
        total_BR = np.zeros((len(weight_BN), self.seeds))
        for place in self.places:
            hit_NR, named_NR = self._counts(place)
            below_BR = weight_BN @ named_NR
            total_BR += np.divide(2 * (weight_BN @ hit_NR), below_BR, out=np.zeros_like(below_BR), where=below_BR > 0)
        return total_BR / len(self.places)

    @cached_property
    def influence_RN(self) -> Floats:
        """Return the derivative of the score of run r by the weight of example i."""
        total_RN = np.zeros((self.seeds, self.examples))
        for place in self.places:
            hit_NR, named_NR = self._counts(place)
            named_R = np.maximum(named_NR.sum(0), 1)
            total_RN += ((2 * hit_NR - 2 * hit_NR.sum(0) / named_R * named_NR) / named_R).T
        return total_RN / len(self.places)

    @property
    def by_class(self) -> tuple[Floats, Floats]:
        """Return the F1 of each class, and the number of examples that are of the class or are named so, over runs."""
        of_c, size_c = [], []
        for place in self.places:
            hit_NR, named_NR = self._counts(place)
            named_R = np.maximum(named_NR.sum(0), 1)
            of_c.append(float((2 * hit_NR.sum(0) / named_R).mean()))
            size_c.append(max(1.0, float((named_NR > 0).sum(0).mean())))
        return np.array(of_c), np.array(size_c)


class _Areas:
    """The mean ROC area of all classes, each against the rest; of two classes that of class 1."""

    def __init__(self, model: Scored) -> None:
        self._model = model
        self.seeds, self.examples = model.predicted_RN.shape
        self._places = (1,) if model.classes == 2 else tuple(range(model.classes))

    def _ranked(self, run: int, place: int) -> tuple[NDArray[np.int_], NDArray[np.int_], NDArray[np.bool_]]:
        """Return the examples by rising score, where each group of equal scores begins, and which are the class's."""
        score_N = self._model.probability_RNC[run, :, place]
        order_N = np.argsort(score_N, kind="stable")
        first_G = np.flatnonzero(np.diff(score_N[order_N], prepend=-1.0))
        return order_N, first_G, np.asarray(self._model.label_N[order_N] == place)

    def weighted(self, weight_BN: NDArray[np.float32]) -> Floats:
        """Return the score of each run where example i counts so many times, B x R."""
        total_BR = np.zeros((len(weight_BN), self.seeds))
        for run in range(self.seeds):
            for place in self._places:
                order_N, first_G, own_N = self._ranked(run, place)
                ranked_BN = weight_BN[:, order_N].astype(np.float64)
                own_BG = np.add.reduceat(ranked_BN * own_N, first_G, axis=1)
                rest_BG = np.add.reduceat(ranked_BN * ~own_N, first_G, axis=1)
                below_BG = np.cumsum(rest_BG, axis=1) - rest_BG / 2  # ties count half
                pairs_B = own_BG.sum(1) * rest_BG.sum(1)
                area_B = np.divide((own_BG * below_BG).sum(1), pairs_B, out=np.full(len(pairs_B), 0.5),
                                   where=pairs_B > 0)
                total_BR[:, run] += area_B
        return total_BR / len(self._places)

    @cached_property
    def influence_RN(self) -> Floats:
        """Return the derivative of the score of run r by the weight of example i (DeLong et al. 1988)."""
        total_RN = np.zeros((self.seeds, self.examples))
        for run in range(self.seeds):
            for place in self._places:
                order_N, first_G, own_N = self._ranked(run, place)
                group_N = np.repeat(np.arange(len(first_G)), np.diff(first_G, append=len(order_N)))
                own_G, rest_G = (np.bincount(group_N, some).astype(np.float64) for some in (own_N, ~own_N))
                below_N = (np.cumsum(rest_G) - rest_G / 2)[group_N] / rest_G.sum()
                above_N = (own_G.sum() - np.cumsum(own_G) + own_G / 2)[group_N] / own_G.sum()
                area = below_N[own_N].mean()
                total_RN[run, order_N] += np.where(
                    own_N, (below_N - area) / own_G.sum(), (above_N - area) / rest_G.sum())
        return total_RN / len(self._places)

    @property
    def by_class(self) -> tuple[Floats, Floats]:
        """Return the area of each class, and the size of the smaller side of its pairs."""
        of_c, size_c = [], []
        for place in self._places:
            own_N = (self._model.label_N == place).astype(np.int8)
            areas = [metrics.roc_auc(own_N, one) for one in self._model.probability_RNC[:, :, place]]
            of_c.append(float(np.mean([area for area in areas if area is not None])))
            size_c.append(float(min(own_N.sum(), (1 - own_N).sum())))
        return np.array(of_c), np.array(size_c)
