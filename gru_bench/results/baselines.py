"""The baselines of a study: the majority class and the linear models of a table, and what one of them has reached."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from gru_bench.config import Scalar
from gru_bench.results.logged_metrics import Metric
from gru_bench.results.runs import Predictions

MAJORITY, TFIDF, NGRAMS = "majority", "tfidf", "ngrams"
REGRESSION, SVM = "logistic regression", "linear SVM"
CLASSIFIER, BALANCED, REGULARIZATION, IS_AT_END, CONVERGED = (
    "baseline.classifier", "baseline.balanced", "baseline.regularization", "baseline.is_at_end", "baseline.converged")
"""Params of the run of a linear model, chosen on validation: its kind; whether classes have weights that are inverse to
their frequencies; C; whether that is at an end of the values that were tried; whether the fit has converged."""


@dataclass(frozen=True)
class Linear:
    """A linear model of the words of a text and their sequences."""

    name: str
    label: str
    """What a report calls it."""
    features: str
    """What its features are, in words."""
    longest: int
    """Number of words of the longest sequence that is a feature."""
    vectorizer: str
    """Class of `sklearn.feature_extraction.text` that computes the features."""
    options: Mapping[str, bool]
    """What the class is given beside the length and the number of features."""
    grid: Mapping[str, tuple[float, ...]]
    """Classifier -> the values of C that are tried. Without a validation split it is the middle one."""
    by_class: bool = False
    """Whether each feature, 0 or 1, is multiplied by its log-count ratio in a class (Wang and Manning 2012)."""


LINEAR: dict[str, Linear] = {one.name: one for one in (
    Linear(TFIDF, "TF-IDF", "TF-IDF", 2, "TfidfVectorizer", {"sublinear_tf": True}, {
        REGRESSION: (0.25, 1.0, 4.0, 16.0, 64.0), SVM: (0.015625, 0.0625, 0.25, 1.0, 4.0)}),
    Linear(NGRAMS, "n-grams", "NB-weighted n-grams", 3, "CountVectorizer", {"binary": True}, {
        REGRESSION: (0.015625, 0.0625, 0.25, 1.0, 4.0), SVM: (0.001, 0.004, 0.016, 0.063, 0.25)}, by_class=True),
)}
"""Name -> row, in the order in which they are shown. A study keeps the baselines with which it began."""
AVERAGE = "average"
"""Name of the average of a linear and a trained model (`stats.average`) among the models of a study."""


class Scored(Protocol):
    """A baseline with its scores: a `BaselineResult`, or its run as it was logged."""

    @property
    def model(self) -> str:
        """Its name, one of `BASELINES`."""
        ...

    @property
    def metrics(self) -> Mapping[str, float]:
        """Key in `results.logged_metrics` -> value."""
        ...


T = TypeVar("T", bound=Scored)


@dataclass(frozen=True)
class BaselineResult:
    """A baseline that was fitted to the training texts of a corpus."""

    model: str
    """Its name, one of `BASELINES`."""
    classes: tuple[str, ...]
    settings: Mapping[str, Scalar]
    """Its params (`CLASSIFIER` and those below it)."""
    metrics: Mapping[str, float]
    """Key in `results.logged_metrics` -> value: seconds, number of parameters and scores."""
    predictions: Mapping[str, Predictions] = field(default_factory=dict)
    """Split -> predictions: `validation`, if there is one, and `test`."""
    weights: Mapping[str, NDArray[Any]] = field(default_factory=dict, repr=False)
    """The model, as the arrays of `stats.linear`. Empty where it is not to be kept."""


def baseline_label(model: str, settings: Mapping[str, object]) -> str:
    """Return what a baseline is, from its name and its params, such as `TF-IDF + logistic regression`."""
    if CLASSIFIER not in settings or model not in LINEAR:
        return baseline_name(model)
    balanced = " with class weights" if str(settings.get(BALANCED)) == "True" else ""
    return f"{LINEAR[model].features} + {settings[CLASSIFIER]}{balanced}"


def baseline_names() -> tuple[str, ...]:
    """Return the names of the baselines of a study that begins now, in the order in which they are shown."""
    return (MAJORITY, *LINEAR)


def baseline_name(model: str) -> str:
    """Return what a report calls a baseline; `baseline_label` tells what it is."""
    return LINEAR[model].label if model in LINEAR else "majority class" if model == MAJORITY else model


def compared_baseline(baselines: Sequence[T], deciding: Metric) -> T | None:
    """Return the linear model that models are compared with: the better one on validation, else the first.

    Args:
        baselines: The baselines of a study.
        deciding: Score of the study on the validation split.

    Returns:
        None where there is no linear model.
    """
    linear = [one for one in baselines if one.model != MAJORITY]
    sign = 1 if deciding.higher_is_better else -1
    found = [sign * one.metrics[deciding.key] if deciding.key in one.metrics else -math.inf for one in linear]
    return linear[found.index(max(found))] if linear else None
