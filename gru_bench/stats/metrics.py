"""Scores of one run: accuracy, F1, log loss and others, from labels and predicted probabilities.

Labels are the positions of the classes. A run predicts a probability of each class, N x C, and the likeliest class, the
first one of equals. With two classes, all scores are computed from the probability of class 1, the positive one, which
is predicted from 0.5 on. Functions with `probability_N` score one class against the rest, whose label is 1.

Shapes: `N` examples, `C` classes, `K` thresholds, `G` places at which a curve is read off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

THRESHOLD = 0.5
Labels = NDArray[Any]
Floats = NDArray[np.floating[Any]]


def predicted(probability_NC: Floats) -> NDArray[np.int_]:
    """Return the predicted class of each example, as its position."""
    two = probability_NC.shape[1] == 2
    found_N = probability_NC[:, 1] >= THRESHOLD if two else probability_NC.argmax(axis=1)
    return np.asarray(found_N, dtype=np.int_)


def confidence(probability_NC: Floats) -> NDArray[np.float64]:
    """Return the probability of the predicted class of each example."""
    values_NC = probability_NC.astype(np.float64)
    if values_NC.shape[1] == 2:
        return np.asarray(np.where(predicted(probability_NC), values_NC[:, 1], 1 - values_NC[:, 1]))
    return np.asarray(values_NC.max(axis=1))


def correct(label_N: Labels, probability_NC: Floats) -> NDArray[np.bool_]:
    """Return for each example whether the prediction is correct.

    Raises:
        ValueError: for no examples, different lengths, labels that are no positions of classes, or probabilities
            outside [0, 1].
    """
    label_N, probability_NC = checked(label_N, probability_NC)
    return np.asarray(predicted(probability_NC) == label_N, dtype=np.bool_)


def of_two(probability_N: Floats) -> Floats:
    """Return the probabilities of both classes, with a last axis of 2, from those of class 1."""
    return np.stack([1 - probability_N, probability_N], axis=-1)


def counts(label_N: Labels, predicted_N: Labels, classes: int) -> NDArray[np.int_]:
    """Return the confusion matrix of any number of classes, C x C: a row for each true class, a column for each
    predicted one."""
    flat_N = np.asarray(label_N, dtype=np.int_) * classes + predicted_N
    return np.bincount(flat_N, minlength=classes * classes).reshape(classes, classes)


def log_loss(label_N: Labels, probability_NC: Floats) -> float:
    """Return the mean negative log-likelihood in nats: the mean of `losses`."""
    return float(losses(label_N, probability_NC).mean())


def losses(label_N: Labels, probability_NC: Floats) -> NDArray[np.float64]:
    """Return the negative log-likelihood of each example in nats.

    Probabilities are clipped to [eps, 1 - eps], where eps is the machine epsilon of 32-bit numbers, or of their type if
    it is larger. So one confident mistake costs much, but not infinity.

    Raises:
        ValueError: as `correct`.
    """
    label_N, probability_NC = checked(label_N, probability_NC)
    kind = probability_NC.dtype if probability_NC.dtype.kind == "f" else np.dtype(np.float64)
    step = float(max(np.finfo(kind).eps, np.finfo(np.float32).eps))
    clipped_NC = np.clip(probability_NC.astype(np.float64), step, 1 - step)
    if clipped_NC.shape[1] == 2:
        return np.asarray(-np.where(label_N == 1, np.log(clipped_NC[:, 1]), np.log1p(-clipped_NC[:, 1])))
    return np.asarray(-np.log(clipped_NC[np.arange(len(label_N)), label_N]))


def roc_auc(label_N: Labels, probability_N: Floats) -> float | None:
    """Return the area under the ROC curve. None where one of the classes is absent.

    It is the chance that a random example of label 1 gets a higher probability than one of label 0, where ties count
    half.

    Raises:
        ValueError: as `correct`.
    """
    true_K, false_K = _at_thresholds(label_N, probability_N)
    if not true_K[-1] or not false_K[-1]:
        return None
    # Twice the area, by trapezoids: a whole number.
    area = int((np.diff(false_K) * (true_K[1:] + true_K[:-1])).sum())
    return area / (2 * int(true_K[-1]) * int(false_K[-1]))


def average_precision(label_N: Labels, probability_N: Floats) -> float | None:
    """Return the average precision: the sum over thresholds k of (R_k - R_{k-1}) P_k, without interpolation.

    R_k and P_k are recall and precision. None where no example has label 1.

    Raises:
        ValueError: as `correct`.
    """
    true_K, false_K = _at_thresholds(label_N, probability_N)
    if not true_K[-1]:
        return None
    precision_K = true_K[1:] / (true_K + false_K)[1:]
    return float((np.diff(true_K) * precision_K).sum() / true_K[-1])


def expected_calibration_error(label_N: Labels, probability_NC: Floats, bins: int = 10) -> float:
    """Return the expected calibration error: sum_b n_b/N |accuracy_b - mean confidence_b| over the bins b.

    The bins are those of `reliability` (Guo et al. 2017, equation 3, over the confidences that are possible with C
    classes).

    Args:
        label_N: Labels.
        probability_NC: Probabilities.
        bins: Number of bins.
    """
    found = reliability(label_N, probability_NC, bins)
    return sum(part.examples * abs(part.accuracy - part.confidence) for part in found) / len(label_N)


@dataclass(frozen=True)
class ConfidenceBin:
    """One bin of a reliability diagram: the examples with a confidence above `low` and up to `high`."""

    low: float
    high: float
    examples: int
    confidence: float
    """Mean probability of the predicted class. The middle of the bin if it holds no example."""
    accuracy: float
    """Share of correct predictions. The middle of the bin if it holds no example."""


def reliability(label_N: Labels, probability_NC: Floats, bins: int = 10) -> list[ConfidenceBin]:
    """Return the bins of a reliability diagram (Guo et al. 2017): the accuracy of the predictions by confidence.

    Confidence is the probability of the predicted class, in [1/C, 1]. This range is cut into bins of equal width,
    closed on the right. A calibrated model has accuracy equal to confidence in each bin.

    Args:
        label_N: Labels.
        probability_NC: Probabilities.
        bins: Number of bins.

    Raises:
        ValueError: for fewer than 1 bin, and as `correct`.
    """
    if bins < 1:
        raise ValueError(f"bins must be at least 1, but got {bins}")
    label_N, probability_NC = checked(label_N, probability_NC)
    confidence_N = confidence(probability_NC)
    right_N = correct(label_N, probability_NC)
    least = 1 / probability_NC.shape[1]
    bin_N = np.clip(np.ceil((confidence_N - least) / (1 - least) * bins).astype(int) - 1, 0, bins - 1)
    count_b = np.bincount(bin_N, minlength=bins)
    edge_b = least + np.arange(bins + 1) * (1 - least) / bins
    middle_b = (edge_b[1:] + edge_b[:-1]) / 2
    mean_b, share_b = (
        np.where(count_b > 0, np.bincount(bin_N, value_N, minlength=bins) / np.maximum(count_b, 1), middle_b)
        for value_N in (confidence_N, right_N)
    )
    return [ConfidenceBin(float(edge_b[b]), float(edge_b[b + 1]), int(count_b[b]), float(mean_b[b]), float(share_b[b]))
            for b in range(bins)]


def by_class(score: Callable[[Labels, Floats], float | None], label_N: Labels,
             probability_NC: Floats) -> list[float | None]:
    """Return a score of two classes for each of C classes against the rest, such as `roc_auc`."""
    return [score((label_N == place).astype(np.int8), probability_NC[:, place])
            for place in range(probability_NC.shape[1])]


def macro(score: Callable[[Labels, Floats], float | None], label_N: Labels, probability_NC: Floats) -> float | None:
    """Return the unweighted mean of `by_class`, or the score itself for two classes. None where it is undefined for a
    class."""
    if probability_NC.shape[1] == 2:
        return score(label_N, probability_NC[:, 1])
    found = by_class(score, label_N, probability_NC)
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if len(known) == len(found) else None


@dataclass(frozen=True)
class ClassScores:
    """Scores of one class against all others."""

    examples: int
    """Number of examples of this class."""
    predicted: int
    """Number of examples that are predicted to be of this class."""
    precision: float
    """Share of correct ones among the predicted. 0 where none is predicted."""
    recall: float
    """Share of the class that is found. 0 where the class is absent."""
    f1: float
    """Harmonic mean of precision and recall. 0 where the class is absent and never predicted."""


def class_scores(count_CC: NDArray[np.int_]) -> list[ClassScores]:
    """Return the scores of each class, from the confusion matrix of `counts`."""
    hit_C, true_C, predicted_C = (values.tolist() for values in (
        np.diag(count_CC), count_CC.sum(axis=1), count_CC.sum(axis=0)))
    return [ClassScores(true, named, _ratio(hit, named), _ratio(hit, true), _f1(hit, named - hit, true - hit))
            for hit, true, named in zip(hit_C, true_C, predicted_C, strict=True)]


def macro_f1(count_CC: NDArray[np.int_]) -> float:
    """Return the unweighted mean of the F1 of all classes, from the confusion matrix of `counts`."""
    return float(np.mean([one.f1 for one in class_scores(count_CC)]))


def mean_probability(probability_RNC: ArrayLike) -> NDArray[np.floating[Any]]:
    """Return the mean probability over seeds of each class for each text, N x C.

    It is summed in float64 and has the type of the probabilities. So the log loss of the seeds together clips a
    confident mistake where that of a single seed does. Of two classes, it is the mean of class 1 and its complement.

    Args:
        probability_RNC: Probability that each seed gives to each class of each text. All of them must be known.

    Raises:
        ValueError: for no seed, another shape, or values outside [0, 1].
    """
    found = np.asarray(probability_RNC)
    if found.ndim != 3 or not len(found):
        raise ValueError(f"probabilities must have the shape (R, N, C) with R >= 1 seeds, but have {found.shape}: "
                         "stack those of the seeds")
    inside = (found >= 0) & (found <= 1)
    if not inside.all():
        raise ValueError(f"probabilities must be between 0 and 1, but got {found[~inside][0]}")
    kind = found.dtype if found.dtype.kind == "f" else np.dtype(np.float64)
    mean_NC = found.mean(axis=0, dtype=np.float64).astype(kind)
    return of_two(mean_NC[:, 1]) if mean_NC.shape[1] == 2 else np.asarray(mean_NC)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _f1(hits: int, false_alarms: int, misses: int) -> float:
    return _ratio(2 * hits, 2 * hits + false_alarms + misses)


def checked(label_N: Labels, probability_NC: Floats) -> tuple[Labels, Floats]:
    """Return labels and probabilities as arrays.

    Raises:
        ValueError: as `correct`.
    """
    label_N, probability_NC = np.asarray(label_N), np.asarray(probability_NC)
    if label_N.ndim != 1 or probability_NC.ndim != 2 or len(label_N) != len(probability_NC):
        raise ValueError(f"labels must have the shape (N,) and probabilities (N, C), but have {label_N.shape} and "
                         f"{probability_NC.shape}")
    if probability_NC.shape[1] < 2:
        raise ValueError(f"there must be at least 2 classes, but got {probability_NC.shape[1]}")
    _in_range(label_N, probability_NC, probability_NC.shape[1])
    return label_N, probability_NC


def _at_thresholds(label_N: Labels, probability_N: Floats) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Return how many examples of label 1, and of label 0, have a probability of at least each threshold.

    The thresholds are one that no example reaches, and the distinct probabilities from the highest down: K in all.

    Raises:
        ValueError: as `correct`.
    """
    label_N, probability_N = np.asarray(label_N), np.asarray(probability_N)
    if label_N.ndim != 1 or label_N.shape != probability_N.shape:
        raise ValueError(f"labels and probabilities of one class must have the shape (N,), but have {label_N.shape} "
                         f"and {probability_N.shape}")
    _in_range(label_N, probability_N, 2)
    order_N = np.argsort(-probability_N, kind="stable")
    last_K = np.append(np.flatnonzero(np.diff(probability_N[order_N])), label_N.size - 1)
    true_K = np.append(0, np.cumsum(label_N[order_N], dtype=np.int_)[last_K])
    return true_K, np.append(0, last_K + 1) - true_K


def _in_range(label_N: Labels, probabilities: Floats, classes: int) -> None:
    if not label_N.size:
        raise ValueError("scores need at least 1 example, but got 0")
    known_N = np.isin(label_N, np.arange(classes))
    if not known_N.all():
        names = "0 or 1" if classes == 2 else f"0 to {classes - 1}"
        raise ValueError(f"labels must be {names}, but got {label_N[~known_N][0]!r}")
    inside = (probabilities >= 0) & (probabilities <= 1)
    if not inside.all():
        raise ValueError(f"probabilities must be between 0 and 1, but got {probabilities[~inside][0]!r}")
