"""The baselines of a study: the majority class and two linear models, and what one of them has reached."""

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
BASELINES = (MAJORITY, TFIDF, NGRAMS)
"""Names of the baselines, in the order in which they are shown."""
REGRESSION, SVM = "logistic regression", "linear SVM"
_FEATURES = {TFIDF: "TF-IDF", NGRAMS: "NB-weighted n-grams"}
CLASSIFIER, BALANCED, REGULARIZATION, IS_AT_END, CONVERGED = (
    "baseline.classifier", "baseline.balanced", "baseline.regularization", "baseline.is_at_end", "baseline.converged")
"""Params of the run of a linear model, chosen on validation: its kind; whether classes have weights that are inverse to
their frequencies; C; whether that is at an end of the values that were tried; whether the fit has converged."""


NAMES: Mapping[str, str] = {MAJORITY: "majority class", TFIDF: "TF-IDF", NGRAMS: "n-grams"}
"""What a report calls each baseline; `baseline_label` tells what it is."""
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
    if CLASSIFIER not in settings:
        return NAMES.get(model, model)
    balanced = " with class weights" if str(settings.get(BALANCED)) == "True" else ""
    return f"{_FEATURES.get(model, model)} + {settings[CLASSIFIER]}{balanced}"


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
