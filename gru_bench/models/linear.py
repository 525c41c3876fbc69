"""A linear model of a study as files, without the data and without a pickle.

    model.json      what it is: classes, settings, tokenizer, scores, and the SHA-256 of the other file
    linear.npz      n-grams and weights (`gru_bench.stats.linear`)
    README.md       the model card, for people; it may be edited

It is a folder with these files, or the run of a baseline, which has them as artifacts in `model/`. A study that stores
no texts leaves them out, because n-grams are fragments of texts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gru_bench.config import DataConfig, Scalar
from gru_bench.models import saved
from gru_bench.models.saved import ABOUT, LINEAR, AboutModel, Origin, artifact
from gru_bench.models.trained import TrainedModel
from gru_bench.results.baselines import BaselineResult
from gru_bench.stats.linear import LinearModel

KIND = "gru-bench linear model"
FORMAT = 1
"""Version of the files. Raise it when they change."""


@dataclass(frozen=True)
class TrainedLinear:
    """A linear model of a study, with all that is needed to read a text."""

    study: str
    name: str
    """Name of the model, such as `ngrams`."""
    classes: tuple[str, ...]
    weights: LinearModel
    settings: Mapping[str, Scalar] = field(default_factory=dict)
    """Settings of its fit, as its run has them (`results.baselines`)."""
    run_ids: tuple[str, ...] = ()
    """Its run."""
    text_labels: bool = False
    """Whether the classes look like numbers or truth values, but are texts in the data."""
    data: DataConfig = field(default_factory=DataConfig)
    """Of the data that it was fitted on, the columns of texts and ids alone."""


class About(AboutModel):
    """The content of `model.json` of a linear model."""

    kind: str = KIND
    format: int = FORMAT
    settings: dict[str, str | int | float | bool | None]
    text_column: str = "text"
    id_column: str | None = None


def contents(model: TrainedLinear, scores: Mapping[str, Any] | None = None) -> Iterator[tuple[str, bytes]]:
    """Return the name and the content of each file of a model, `model.json` last."""
    about = About(study=model.study, model=model.name, classes=list(model.classes), run_ids=list(model.run_ids),
                  settings=dict(model.settings), scores=dict(scores or {}), files={}, text_labels=model.text_labels,
                  text_column=model.data.text_column, id_column=model.data.id_column)
    return _files(about, model.weights.to_bytes())


def artifacts(result: BaselineResult) -> dict[str, bytes]:
    """Return path -> content of the artifacts with the model of a run; none where it is not to be kept."""
    about = About(study="", model=result.model, classes=list(result.classes), run_ids=[],
                  settings=dict(result.settings), scores={}, files={})
    return {artifact(name, ""): content for name, content in _files(about, result.weights)} if result.weights else {}


def _files(about: About, weights: bytes) -> Iterator[tuple[str, bytes]]:
    yield LINEAR, weights
    about.files[LINEAR] = hashlib.sha256(weights).hexdigest()
    yield ABOUT, saved.with_digest(json.loads(about.model_dump_json()))


def read(origin: Origin) -> tuple[TrainedLinear, Mapping[str, Any]]:
    """Return a model, and its scores.

    Raises:
        DataError: for a model that was changed, is incomplete, or has another format.
    """
    values = saved.values_of(origin, KIND, FORMAT)
    try:
        about = About.model_validate(values)
        if set(about.files) != {LINEAR}:
            raise ValueError(f"must list only {LINEAR}")
        data = DataConfig(text_column=about.text_column, id_column=about.id_column)
    except ValidationError as error:
        raise origin.refused(f"its {ABOUT} is damaged ({error.errors(include_url=False)[0]['msg']})") from error
    except ValueError as error:
        raise origin.refused(f"its {ABOUT} {error}") from error
    try:
        weights = LinearModel.from_bytes(saved.content_of(origin, about.files, LINEAR))
        if weights.classes != len(about.classes):
            raise ValueError("it has other classes")
    except ValueError as error:
        raise origin.refused(f"its file {LINEAR} cannot be read ({error})") from error
    return TrainedLinear(about.study, about.model, tuple(about.classes), weights, about.settings,
                         tuple(about.run_ids), about.text_labels, data), about.scores


def load(folder: Path) -> tuple[TrainedModel | TrainedLinear, Mapping[str, Any]]:
    """Return the model of a folder, linear or not, and its scores.

    Raises:
        UsageError, DataError: as `saved.load`.
    """
    return read(saved.of_folder(folder)) if saved.is_kind(folder, KIND) else saved.load(folder)
