"""What a run and a study leave behind: the contract between training, tracking and report.

Plain frozen values (numpy at most, never torch), so that a report can read them anywhere.

Shapes: `N` examples of a split.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from gru_bench.config import Protocol, RunConfig, Scalar

DATA, BASELINES = "data.json", "baselines.json"
"""Artifacts of a study's own run: what is known before the study has come to its end."""

T = TypeVar("T")


@cache
def _reader(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def parsed(kind: type[T], text: str | bytes) -> T:
    """Rebuild a frozen value from the JSON text of its fields.

    Raises:
        ValueError: where a field is missing or of another type, naming it in its first line.
    """
    try:
        return cast("T", _reader(cast("Any", kind)).validate_json(text, strict=True))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"][:6])[:100]
        raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from None


@dataclass(frozen=True)
class EpochRecord:
    """One pass over the training split, and the validation after it."""

    epoch: int
    """Counted from 1."""
    train_loss: float
    """Mean negative log-likelihood, in nats per review, over the batches as they were trained on."""
    validation_loss: float | None
    validation_accuracy: float | None
    """None where a run has no validation split."""
    seconds: float
    """Training alone, without the validation."""
    tokens_per_second: float


@dataclass(frozen=True)
class StepReport:
    """Where a run stands, for a progress line."""

    epoch: int
    epochs: int
    reviews: int
    """Trained on so far, over all epochs."""
    reviews_total: int
    loss: float
    """Mean over the epoch so far, nats per review."""
    seconds: float
    """Spent training in this process."""


@dataclass(frozen=True)
class WindowLoss:
    """The training loss averaged over one window of `log_every` iterations."""

    iteration: int
    """Of the whole run, at the window's end, counted from 1."""
    epoch: int
    seconds: float
    """Since training began."""
    loss: float


@dataclass(frozen=True)
class Predictions:
    """What the kept weights say of each example of a split."""

    example_id_N: NDArray[np.str_]
    label_N: NDArray[np.int8]
    probability_N: NDArray[np.float32]
    """Of the label 1."""
    category_N: NDArray[np.str_]
    """Empty strings where the data has no categories."""
    tokens_N: NDArray[np.int32]
    """Tokens the model read."""
    dropped_N: NDArray[np.int32]
    """Tokens without a word vector, left out before the review was cut to `max_length`."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.label_N)


@dataclass(frozen=True)
class RunResult:
    """One run: what was asked for, and what came of it."""

    config: RunConfig
    backend: str
    """The backend that ran: reference, torch or fused; never `auto`."""
    device: str
    epochs: tuple[EpochRecord, ...]
    window_losses: tuple[WindowLoss, ...]
    best_epoch: int
    """The epoch whose weights were kept, counted from 1."""
    parameters: int
    parameter_tensors: int
    train_seconds: float
    peak_memory_bytes: int
    predictions: Mapping[str, Predictions]
    """By split: `validation`, and `test` only where the run was to be scored on it."""
    weights: Mapping[str, NDArray[np.generic]]
    """The kept weights by parameter name."""
    stopped_early: bool = False
    backend_note: str | None = None
    """Why it was a slower backend than it might have been, where that is so."""


@dataclass(frozen=True)
class DataSummary:
    """What data a study saw, as far as a report tells of it."""

    name: str
    fingerprint: str
    train: int
    validation: int
    test: int
    positive_share: float
    categories: Mapping[str, int]
    """Examples by category over all splits; empty where the data has no categories."""
    repeats_removed: int
    """Exact repeats within the data."""
    test_repeats_removed: int
    """Training rows removed because the test file holds the same text."""
    vocabulary: int
    """Distinct words of all splits."""
    embedding: str
    embedding_dimension: int
    covered_words: int
    """Distinct words that have a vector."""
    dropped_share: float
    """Share of all tokens that have no vector and are dropped."""
    max_length: int | None
    cut_share: float
    """Share of the reviews cut to `max_length`."""
    wordless: Mapping[str, int] = field(default_factory=dict)
    """Split -> reviews without one word that has a vector: each is read as one step of padding, and counted."""
    available: int | None = None
    """Reviews that the data holds, each text once: those of the splits, and those that a limit holds back. None where
    it was not logged."""


@dataclass(frozen=True)
class Baseline:
    """A model that is no GRU, on the same split, for scale."""

    name: str
    validation_accuracy: float | None
    """None where there is no validation split."""
    test_accuracy: float
    test_f1: float
    test_size: int
    seconds: float


def data_of(text: str | bytes) -> DataSummary:
    """Rebuild the facts of the data from their artifact."""
    return parsed(DataSummary, text)


def baselines_of(text: str | bytes) -> tuple[Baseline, ...]:
    """Rebuild the baselines from their artifact."""
    return parsed(tuple[Baseline, ...], text)


@dataclass(frozen=True)
class TrialSummary:
    """One trial of a search, as the search saw it."""

    number: int
    model: str
    state: str
    """complete, pruned or failed."""
    value: float | None
    """The objective: the best validation accuracy over its epochs; None where it has none."""
    epochs: int
    settings: Mapping[str, Scalar]
    reason: str = ""


@dataclass(frozen=True)
class Timing:
    """A model trained alone for a short timing, nothing beside it: for run times that can be compared."""

    model: str
    backend: str
    threads: int
    iterations: int
    """Of the timing; every model and backend of a study has the same reviews."""
    seconds: float
    """Training alone, once compiled and warm."""
    protocol_iterations: int
    """Of a whole run of the study: its epochs times its batches of an epoch."""


@dataclass(frozen=True)
class Ablation:
    """Two ways to train one model that differ in some settings, scored on validation reviews alone."""

    name: str
    question: str
    model: str
    backend: str
    usual: Mapping[str, Scalar]
    """Settings of the study's own protocol."""
    other: Mapping[str, Scalar]
    """What the same settings are on the other side; the usual ones where tuning found nothing better."""
    tuned: bool = False
    """Whether the other side was found by runs that tried several, with a seed of their own."""


@dataclass(frozen=True)
class StudySummary:
    """A study whole: question, space, budget, and what the search found."""

    name: str
    purpose: str
    models: tuple[str, ...]
    space: Mapping[str, Mapping[str, Any]]
    """Setting -> its range, such as `{"low": 1e-4, "high": 1e-2, "log": true}` or `{"choices": [...]}`."""
    sampler: str
    pruner: str
    objective: str
    trials_asked: int
    """Of each model: what was asked for last, or what had finished before, where that is more."""
    epochs: int
    search_seed: int
    confirm_seeds: tuple[int, ...]
    trials: tuple[TrialSummary, ...]
    best: Mapping[str, Mapping[str, Scalar]]
    """Model -> the tuned settings of its best trial; empty without a search."""
    best_value: Mapping[str, float]
    importance: Mapping[str, Mapping[str, float]]
    """Model -> setting -> share, as `importance_method` measures it; empty where there are too few complete trials."""
    importance_method: str
    data: DataSummary
    baselines: tuple[Baseline, ...]
    seconds: float
    notes: tuple[str, ...] = field(default=())
    protocol: Protocol = "tuning"
    """What the study is: a model tuned and confirmed, or the homework reproduced."""
    timings: tuple[Timing, ...] = ()
    ablations: tuple[Ablation, ...] = ()
    ablation_seeds: tuple[int, ...] = ()
    """Seeds of the ablations' runs; neither the search nor the confirm stage trains with them."""

    def to_json(self) -> str:
        """Return the summary as JSON text."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> StudySummary:
        """Rebuild a summary from `to_json`'s text."""
        return parsed(cls, text)
