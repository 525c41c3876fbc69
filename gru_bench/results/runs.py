"""The results of a run and of a study: the data that training, tracking and report exchange.

All are frozen values that need numpy at most and never torch, so that a report can read them anywhere.

Shapes: `N` examples of a split, `C` classes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from hashlib import sha256
from typing import Annotated, Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError

from gru_bench.config import MetricName, RunConfig, Scalar

DATA = "data.json"
"""Name of the artifact with its data that a study logs on its own run before it ends."""

MOST_WHOLE = 50
"""Largest number of classes whose probabilities are all kept, and so the largest with areas below curves."""

T = TypeVar("T")


@cache
def _reader(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def parsed(kind: type[T], text: str | bytes) -> T:
    """Return a frozen value from the JSON text of its fields.

    Args:
        kind: Class of the value.
        text: JSON text.

    Raises:
        ValueError: where a field is missing or has another type. The first line of the message names the field.
    """
    try:
        return cast("T", _reader(cast("Any", kind)).validate_json(text, strict=True))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"][:6])[:100]
        raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from None


@dataclass(frozen=True)
class EpochRecord:
    """Result of one epoch: a pass over the training split and the validation after it."""

    epoch: int
    """Number of the epoch, counted from 1."""
    train_loss: float
    """Mean negative log-likelihood in nats per text, computed on each batch before its step."""
    validation_loss: float | None
    validation_accuracy: float | None
    """Loss and accuracy are None where a run has no validation split."""
    seconds: float
    """Training time, without the validation."""
    tokens_per_second: float
    validation_score: float | None = None
    """Validation score that decides, `training.metric`. None where it is the accuracy, or without a validation
    split."""

    def score(self, metric: MetricName) -> float | None:
        """Return the validation score that decides. None without a validation split."""
        return self.validation_accuracy if metric == "accuracy" else self.validation_score


@dataclass(frozen=True)
class Check:
    """An early look at a run: its score on a fixed part of the validation split, for pruning only."""

    number: int
    """Number of the check, counted from 1 over the whole run."""
    epochs: float
    """Epochs trained so far, such as 0.25."""
    score: float
    """Score that decides, `training.metric`, of the current weights."""


@dataclass(frozen=True)
class StepReport:
    """Progress of a run, for a progress line."""

    epoch: int
    epochs: int
    texts: int
    """Texts trained on so far, over all epochs."""
    texts_total: int
    loss: float
    """Mean training loss of the epoch so far, in nats per text."""
    seconds: float
    """Training time so far, including the time before a resume."""


@dataclass(frozen=True)
class WindowLoss:
    """Mean training loss over one window of `log_every` iterations."""

    iteration: int
    """Last iteration of the window, counted from 1 over the whole run."""
    epoch: int
    seconds: float
    """Training time up to the end of the window."""
    loss: float


@dataclass(frozen=True)
class Predictions:
    """Predictions of the best checkpoint for the examples of a split."""

    example_id_N: NDArray[np.str_]
    label_N: NDArray[np.integer[Any]]
    """Positions of the classes."""
    probability_NC: NDArray[np.floating[Any]]
    """Probability of each class, of linear models in float64. Of two, class 0 has 1 less that of class 1, which alone
    is logged."""
    category_N: NDArray[np.str_]
    """Empty strings where the data has no categories."""
    tokens_N: NDArray[np.int32]
    """Number of tokens that the model read."""
    dropped_N: NDArray[np.int32]
    """Number of tokens without a word vector. They are left out before the text is cut to `max_length`."""
    whole: bool = True
    """Whether all probabilities are known. Otherwise those of the true class and of the likeliest ones are, and the
    others are 0."""
    name_N: NDArray[np.str_] | None = None
    """Names of the rows in the user's files: values of the column of ids, or numbers. None where none were logged."""
    group_N: NDArray[np.str_] | None = None
    """Name of each example's group. None where the data have no groups."""

    def of(self, place_K: NDArray[np.integer[Any]]) -> Predictions:
        """Return the predictions for the examples at these positions, in this order."""
        return replace(self, **{one.name: values[place_K] for one in fields(self)
                                if isinstance(values := getattr(self, one.name), np.ndarray)})

    def by_id(self) -> Predictions:
        """Return the predictions in the order of the examples' ids, which is the same for all runs on a split."""
        return self.of(np.argsort(self.example_id_N, kind="stable"))

    def __len__(self) -> int:
        """Return N."""
        return len(self.label_N)


def digest_of_examples(example_id_N: NDArray[np.str_]) -> str:
    """Return 16 hex digits that stand for a set of examples, whatever their order: of SHA-256 over the sorted ids."""
    return sha256("\0".join(sorted(map(str, example_id_N))).encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True)
class RunResult:
    """Result of one run, with its settings."""

    config: RunConfig
    backend: str
    """The backend that ran: reference, torch, fused or own, never `auto`."""
    device: str
    epochs: tuple[EpochRecord, ...]
    window_losses: tuple[WindowLoss, ...]
    best_epoch: int
    """Epoch of the best checkpoint, counted from 1."""
    parameters: int
    parameter_tensors: int
    train_seconds: float
    predict_seconds: float | None
    """Seconds to predict 1,000 texts. None where no split is predicted."""
    peak_memory_bytes: int
    predictions: Mapping[str, Predictions]
    """Split -> predictions: `validation`, and `test` only where the run is scored on the test split."""
    weights: Mapping[str, NDArray[np.generic]]
    """Name of a parameter -> its values in the best checkpoint."""
    model_files: Mapping[str, bytes] = field(default_factory=dict)
    """Path of an artifact -> its content, as `models.saved.with_model` makes them. Empty where no model is logged."""
    diagnostics: str = ""
    """JSON text that `Diagnostics.from_json` reads. Empty where none were asked for, or none could be computed."""
    stopped_early: bool = False
    backend_note: str | None = None
    """Why `auto` took another backend than the fastest one, if so."""
    card: Mapping[str, str] = field(default_factory=dict)
    """Property of the graphics card, its driver and its libraries -> value. Empty for a run without a card."""
    classes: tuple[str, ...] = field(kw_only=True)
    """Names of the classes, in the order of their positions."""


@dataclass(frozen=True)
class NearDuplicates:
    """Numbers of texts that nearly repeat one on the other side of a split."""

    train: int
    """Training texts with a near-duplicate among the validation or test texts."""
    validation: int
    test: int
    """Validation or test texts with a near-duplicate in training."""
    removed: bool
    """Whether these training texts were removed."""


@dataclass(frozen=True)
class OnTest:
    """What a store had scored on a test set when a report was made."""

    models: tuple[tuple[str, str], ...]
    """The study and the name of each model."""
    studies: Annotated[int, Field(ge=0, le=1_000_000)]
    """Number of studies, when the newest run of the report began."""
    asked: Mapping[str, Annotated[int, Field(ge=2, le=1_000_000)]] = field(default_factory=dict)
    """Id of an original study's own run -> number of studies that ask its question, where several do."""


@dataclass(frozen=True)
class DataSummary:
    """Summary of the data of a study, for the report."""

    name: str
    fingerprint: str
    train: int
    validation: int
    test: int
    positive_share: float
    """Share of class 1 over all splits."""
    categories: Mapping[str, int]
    """Category -> number of examples over all splits. Empty where the data has no categories."""
    repeats_removed: int
    """Number of exact repeats within the data, which are removed."""
    test_repeats_removed: int
    """Number of training rows that are removed because the test file holds the same text."""
    vocabulary: int
    """Number of distinct words in all splits."""
    embedding: str
    embedding_dimension: int
    covered_words: int
    """Number of distinct words that have a vector."""
    dropped_share: float
    """Share of the tokens that are dropped because they have no vector."""
    max_length: int | None
    cut_share: float
    """Share of the texts that are cut to `max_length`."""
    available: int
    """Number of distinct texts in the data, those that `data.limit` leaves out included."""
    classes: tuple[str, ...]
    """Names of the classes, in the order of their positions."""
    class_counts: tuple[int, ...]
    """Number of examples of each class over all splits."""
    vector_norm: float | None = None
    """Mean norm of the word vectors as the models read them, `embedding.scale` included. None where it was not
    logged."""
    vector_cosine: float | None = None
    """Mean cosine of the word vectors of two distinct words. None where it was not logged."""
    vector_passes: int | None = None
    """How often word2vec read the training texts. None for other vectors, and where it was not logged."""
    groups: Mapping[str, int] = field(default_factory=dict)
    """Split -> number of groups of texts. Empty where the data has no groups."""
    group_column: str = ""
    """The column of the groups. Empty where no column tells them."""
    has_strata: bool = False
    """Whether the split drew the groups of test, so that it fixed the share of each class and category there."""
    seen_groups: int = 0
    """Number of groups of test that also have training or validation texts."""
    seen_group_reviews: int = 0
    """Number of test texts of these groups."""
    near: NearDuplicates | None = None
    """Near-duplicates across splits. None where they were not logged."""
    text_labels: bool = False
    """Whether the labels are texts in a file whose values have types."""

    @property
    def taken(self) -> int:
        """Return the number of texts in all splits, and of those that were removed as near-duplicates."""
        removed = self.near.train if self.near is not None and self.near.removed else 0
        return self.train + self.validation + self.test + removed


@dataclass(frozen=True)
class TrialSummary:
    """Summary of one trial of a search."""

    number: int
    model: str
    state: str
    """complete, pruned or failed."""
    value: float | None
    """The objective: the best validation accuracy over the epochs. Of a trial that was pruned before its first epoch
    ended: that at its checks, on a part of the validation split. None where nothing was scored."""
    epochs: float
    settings: Mapping[str, Scalar]
    reason: str = ""


@dataclass(frozen=True)
class StudySummary:
    """Summary of a study: question, search space, budget, and results of the search."""

    name: str
    purpose: str
    models: tuple[str, ...]
    space: Mapping[str, Mapping[str, Any]]
    """Setting -> its range, such as `{"low": 1e-4, "high": 1e-2, "log": true}` or `{"choices": [...]}`."""
    sampler: str
    pruner: str
    objective: str
    epochs: int
    search_seed: int
    confirm_seeds: tuple[int, ...]
    trials: tuple[TrialSummary, ...]
    best: Mapping[str, Mapping[str, Scalar]]
    """Model -> tuned settings of its best trial. Empty without a search."""
    best_value: Mapping[str, float]
    importance: Mapping[str, Mapping[str, float]]
    """Model -> setting -> share, measured by `importance_method`. Empty where too few trials are complete."""
    importance_method: str
    data: DataSummary
    seconds: float
    notes: tuple[str, ...] = field(default=())
    metric: MetricName = "accuracy"
    """Score that the study is about."""
    search_seconds: float | None = None
    """Seconds before the last search had ended. None where it was not logged."""

    def to_json(self) -> str:
        """Return the summary as JSON text."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> StudySummary:
        """Return the summary that `to_json` wrote.

        Raises:
            ValueError: as `parsed`.
        """
        return parsed(cls, text)
