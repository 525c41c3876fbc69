"""The table of scores: a row for each, from its name in MLflow to how models are compared by it.

`of_run` computes a score from the labels, the predicted classes and the probabilities of one run (`metrics.py`). The
rows with a `comparison` are those that a study may be about, `training.metric`. The keys stand in the stores of users
and must not change.

Shapes: `R` runs (seeds) of a model, `N` examples, `C` classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import MetricName
from gru_bench.results.logged_metrics import ACCURACY_VAL, LOSS_VAL, SPLITS, Metric, Split, Unit
from gru_bench.stats import metrics
from gru_bench.stats.metrics import Floats, Labels, predicted
from gru_bench.stats.values import Values, f1_values, mean_of

Needs = Literal["right answers", "predicted classes", "probabilities", "all probabilities"]
"""What must be known of the answers of a run. Of many classes, a run logs the probabilities of some."""


@dataclass(frozen=True)
class Comparison:
    """How models are compared by a score."""

    metric: MetricName
    """Its name as `training.metric`."""
    per_example: Callable[[Scored], Values]
    """What each run of a model scores on each example."""
    guessing: Callable[[NDArray[np.float64], int], float]
    """Fraction of each class, number of classes -> the score of guessing (`guessing`)."""


@dataclass(frozen=True)
class Score:
    """A score of a run on a split."""

    name: str
    """Name in `scores` and, with its split, in MLflow."""
    label: str
    """Name in texts and tables."""
    unit: Unit
    digits: int
    """Number of decimals that are shown. For a share: decimals of the percentage."""
    higher_is_better: bool
    needs: Needs
    of_run: Callable[[Labels, Labels, Floats], float | None]
    """Labels, predicted classes, probabilities (N x C, NaN where they are not known) -> the score. None where it is
    undefined."""
    heading: str = ""
    """Heading of its column where that is not the label."""
    short: str = ""
    """Heading on paper, where the whole one takes too much room."""
    comparison: Comparison | None = None
    """None: models are not compared by it."""


def _counted(score: Callable[[NDArray[np.int_]], float | None]) -> Callable[[Labels, Labels, Floats], float | None]:
    """Return a score of a run, from a score of its confusion matrix."""
    return lambda label_N, predicted_N, probability_NC: score(
        metrics.counts(label_N, predicted_N, probability_NC.shape[1]))


def _cell(row: int, column: int, count_CC: NDArray[np.int_]) -> float | None:
    return float(count_CC[row, column]) if len(count_CC) == 2 else None


def _of_positive(name: str, count_CC: NDArray[np.int_]) -> float | None:
    """Return a score of the positive one of two classes."""
    return float(getattr(metrics.class_scores(count_CC)[1], name)) if len(count_CC) == 2 else None


def _entropy(share_C: NDArray[np.float64], classes: int) -> float:
    known = share_C[share_C > 0]
    return float(-(known * np.log(known)).sum())


SCORES: dict[str, Score] = {one.name: one for one in (
    Score("accuracy", "accuracy", "share", 1, True, "right answers",
          lambda label_N, predicted_N, _: float(np.mean(predicted_N == label_N)),
          comparison=Comparison("accuracy", lambda scored: Values.of_correct(scored.correct_RN),
                                lambda share_C, _: float(share_C.max()))),
    Score("precision", "precision", "share", 1, True, "predicted classes",
          _counted(partial(_of_positive, "precision"))),
    Score("recall", "recall", "share", 1, True, "predicted classes", _counted(partial(_of_positive, "recall"))),
    Score("f1", "F1", "share", 1, True, "predicted classes", _counted(partial(_of_positive, "f1"))),
    Score("macro_f1", "macro F1", "share", 1, True, "predicted classes", _counted(metrics.macro_f1),
          comparison=Comparison("macro_f1", lambda scored: mean_of([
              f1_values(scored.label_N == place, scored.predicted_RN == place, scored.group_N)
              for place in scored.averaged]), lambda _, classes: 1 / classes)),
    Score("roc_auc", "ROC AUC", "", 3, True, "all probabilities",
          lambda label_N, _, probability_NC: metrics.macro(metrics.roc_auc, label_N, probability_NC)),
    Score("average_precision", "average precision", "", 3, True, "all probabilities",
          lambda label_N, _, probability_NC: metrics.macro(metrics.average_precision, label_N, probability_NC),
          short="AP"),
    Score("loss", "log loss", "nats per text", 3, False, "probabilities",
          lambda label_N, _, probability_NC: metrics.log_loss(label_N, probability_NC), heading="Loss",
          comparison=Comparison("log_loss", lambda scored: Values(scored.loss_RN, (0.0, math.inf)), _entropy)),
    Score("calibration_error", "calibration error", "share", 1, False, "probabilities",
          lambda label_N, _, probability_NC: metrics.expected_calibration_error(label_N, probability_NC),
          short="Calibration"),
    Score("true_negative", "true negatives", "count", 0, True, "predicted classes", _counted(partial(_cell, 0, 0))),
    Score("false_positive", "false positives", "count", 0, False, "predicted classes", _counted(partial(_cell, 0, 1))),
    Score("false_negative", "false negatives", "count", 0, False, "predicted classes", _counted(partial(_cell, 1, 0))),
    Score("true_positive", "true positives", "count", 0, True, "predicted classes", _counted(partial(_cell, 1, 1))),
)}
"""Name -> row."""


def score_of(metric: MetricName) -> Score:
    """Return the row of a score that models are compared by."""
    return next(one for one in SCORES.values() if one.comparison is not None and one.comparison.metric == metric)


def comparison_of(metric: MetricName) -> Comparison:
    """Return how models are compared by a score."""
    return next(one.comparison for one in SCORES.values()
                if one.comparison is not None and one.comparison.metric == metric)


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
    def loss_RN(self) -> NDArray[np.float64]:
        """Return the losses in nats."""
        return np.stack([metrics.losses(self.label_N, one) for one in self.probability_RNC])

    def values(self, metric: MetricName) -> Values:
        """Return what each run scores on each example.

        Raises:
            ValueError: for fewer than 2 examples, and several runs of a model that is fitted once.
        """
        return replace(comparison_of(metric).per_example(self), is_fitted_once=self.is_fitted_once)

    def scores(self, metric: MetricName) -> list[float]:
        """Return the score of each run."""
        if self.unused:
            return [float(one) for one in self.values(metric).value_RN.mean(axis=1)]
        return [_value(metric, self.label_N, *run)
                for run in zip(self.predicted_RN, self.probability_RNC, strict=True)]


def scores(
    label_N: Labels, probability_NC: Floats, predicted_N: Labels | None = None, *, whole: bool = True
) -> dict[str, float]:
    """Return all scores that are known of a run, by name.

    Two classes have scores of the positive class as well, and the confusion matrix as `true_negative`,
    `false_positive`, `false_negative` and `true_positive`. More classes have areas that are means over the
    classes, each against the rest. A score that is undefined is left out, such as the ROC AUC where a class is absent.

    Args:
        label_N: Labels.
        probability_NC: Probabilities.
        predicted_N: Predicted classes, where they alone are known. None: they follow from the probabilities.
        whole: Whether the probabilities of all classes are known. Areas need them.

    Raises:
        ValueError: as `metrics.correct`.
    """
    known: list[Needs] = ["right answers", "predicted classes"]
    if predicted_N is None:
        label_N, probability_NC = metrics.checked(label_N, probability_NC)
        predicted_N = predicted(probability_NC)
        known += ["probabilities", "all probabilities"] if whole else ["probabilities"]
    found = {name: one.of_run(label_N, predicted_N, probability_NC)
             for name, one in SCORES.items() if one.needs in known}
    return {name: value for name, value in found.items() if value is not None}


def value_of(metric: MetricName, label_N: Labels, probability_NC: Floats) -> float:
    """Return the score that a study is about, `training.metric`.

    Raises:
        ValueError: as `metrics.correct`.
    """
    label_N, probability_NC = metrics.checked(label_N, probability_NC)
    return _value(metric, label_N, predicted(probability_NC), probability_NC)


def _value(metric: MetricName, label_N: Labels, predicted_N: Labels, probability_NC: Floats) -> float:
    value = score_of(metric).of_run(label_N, predicted_N, probability_NC)
    return math.nan if value is None else value


def guessing(metric: MetricName, label_N: NDArray[np.integer[Any]], classes: int) -> float:
    """Return the score of guessing without a look at the text, by someone who knows how frequent each class is.

    Accuracy: always the most frequent class. Macro F1: at random in proportion to the classes, which reaches 1/C and so
    at least as much as always the most frequent class. Log loss: the frequencies of the classes as probabilities.

    Args:
        metric: The score.
        label_N: Labels, positions of the classes.
        classes: C.
    """
    return comparison_of(metric).guessing(np.bincount(label_N, minlength=classes) / len(label_N), classes)


def best(metric: MetricName, values: Iterable[float]) -> float:
    """Return the best of one or more values of a score."""
    return max(values) if score_of(metric).higher_is_better else min(values)


def as_difference(margin: float, metric: MetricName) -> float:
    """Return an equivalence margin as differences of a score are computed, such as 0.01 for one point.

    Args:
        margin: The margin in the unit of the score: percentage points, or nats of log loss.
        metric: The score.
    """
    return margin / 100 if score_of(metric).unit == "share" else margin


# ---------------------------------------------------------------- as metrics in MLflow


def score(name: str, split: Split) -> Metric:
    """Return the metric for a score of the best checkpoint on a split.

    Raises:
        KeyError: for a score that is not in the table.
    """
    return _metric(SCORES[name], f"score/{split}_{name}", f"{SPLITS[split]} {SCORES[name].label}")


def compared(metric: MetricName, split: Split) -> Metric:
    """Return the metric for the score that a study is about, `training.metric`, on a split."""
    return score(score_of(metric).name, split)


def curve(metric: MetricName) -> Metric | None:
    """Return the metric for this validation score by epoch. None where the curves of every run hold it."""
    one = score_of(metric)
    found = _metric(one, f"{one.name}/val", f"validation {one.label}")
    return None if found.key in (ACCURACY_VAL.key, LOSS_VAL.key) else found


def best_trial(model: str, metric: MetricName = "accuracy") -> Metric:
    """Return the metric for the objective of the best trial of a model."""
    return _metric(score_of(metric), f"search/best_{model}", f"best trial of {model}")


def over_seeds(model: str, metric: MetricName, part: str) -> Metric:
    """Return the metric for the test score of a model over its seeds.

    Args:
        model: The model.
        metric: The score.
        part: `mean`, `low` or `high` (of the 95 % interval), or `seeds` for their number.
    """
    if part == "seeds":
        return Metric(f"result/{model}/seeds", f"seeds of {model}", "count", 0)
    return _metric(score_of(metric), f"result/{model}/{part}", f"test {score_of(metric).label} of {model}, {part}")


def _metric(one: Score, key: str, label: str) -> Metric:
    return Metric(key, label, one.unit, one.digits, one.higher_is_better)
