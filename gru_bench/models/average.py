"""The average of a study as files: both of its parts, each as a saved model in a folder of its own.

    model.json      what it is: classes, scores, temperature of the linear part, SHA-256 of each part's model.json
    trained/        the trained model (`saved`), with its temperatures
    linear/         the linear model (`linear`)
    README.md       the model card, for people; it may be edited
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gru_bench.config import DataConfig
from gru_bench.models import linear, saved
from gru_bench.models.linear import TrainedLinear
from gru_bench.models.saved import ABOUT, PARTS, AboutModel, Origin, Temperature
from gru_bench.models.trained import TrainedModel
from gru_bench.results.baselines import AVERAGE

KIND = "gru-bench average"
FORMAT = 1
"""Version of the files. Raise it when they change."""


@dataclass(frozen=True)
class TrainedAverage:
    """The average of a study, with all that is needed to read a text."""

    trained: TrainedModel
    """The trained model, with its temperatures."""
    linear: TrainedLinear
    linear_temperature: float | None
    """None: T is 1."""
    name: str = AVERAGE

    @property
    def study(self) -> str:
        """Return the name of the study."""
        return self.trained.study

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the classes."""
        return self.trained.classes

    @property
    def text_labels(self) -> bool:
        """Return whether the classes are texts in the data."""
        return self.trained.text_labels

    @property
    def data(self) -> DataConfig:
        """Return the settings of the data that its trained model was trained on."""
        return self.trained.data

    @property
    def seeds(self) -> tuple[int, ...]:
        """Return the seeds of the trained model."""
        return self.trained.seeds

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Return the runs of both parts."""
        return *self.trained.run_ids, *self.linear.run_ids

    def allow_code(self) -> None:
        """Let this machine run the code of the trained model, if it has any, from now on."""
        self.trained.allow_code()


class About(AboutModel):
    """The content of `model.json` of an average."""

    kind: str = KIND
    format: int = FORMAT
    linear_temperature: Temperature | None


def contents(model: TrainedAverage, scores: Mapping[str, Any] | None = None) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each file of an average, `model.json` last."""
    digests = {}
    trained = replace(model.trained, config=saved.without_folders(model.trained.config))
    for part, files in zip(PARTS, (saved.contents(trained), linear.contents(model.linear)), strict=True):
        for name, content in files:
            if name == ABOUT:
                digests[f"{part}/{name}"] = hashlib.sha256(content).hexdigest()
            yield f"{part}/{name}", content
    about = About(study=model.study, model=model.name, classes=list(model.classes), run_ids=list(model.run_ids),
                  linear_temperature=model.linear_temperature, scores=dict(scores or {}), files=digests,
                  text_labels=model.text_labels)
    yield ABOUT, saved.with_digest(json.loads(about.model_dump_json()))


def load(folder: Path) -> tuple[TrainedModel | TrainedLinear | TrainedAverage, Mapping[str, Any]]:
    """Return the model of a folder, whatever it is, and its scores.

    Raises:
        UsageError, DataError: as `saved.load`.
    """
    return _load(folder) if saved.is_kind(folder, KIND) else linear.load(folder)


def _load(folder: Path) -> tuple[TrainedAverage, Mapping[str, Any]]:
    origin = saved.of_folder(folder)
    values = saved.values_of(origin, KIND, FORMAT)
    try:
        about = About.model_validate(values)
        if set(about.files) != {f"{part}/{ABOUT}" for part in PARTS}:
            raise ValueError(f"must list only {ABOUT} of {' and '.join(PARTS)}")
    except ValidationError as error:
        raise origin.refused(f"its {ABOUT} is damaged ({error.errors(include_url=False)[0]['msg']})") from error
    except ValueError as error:
        raise origin.refused(f"its {ABOUT} {error}") from error
    trained, weights = (_part(origin, folder, part, about.files) for part in PARTS)
    model = TrainedAverage(saved.read(trained)[0], linear.read(weights)[0], about.linear_temperature)
    if any(part.classes != tuple(about.classes) for part in (model.trained, model.linear)):
        raise origin.refused("its parts have other classes")
    return model, about.scores


def _part(origin: Origin, folder: Path, part: str, files: Mapping[str, str]) -> Origin:
    """Return where a part is read from, whose `model.json` is the one that the average was saved with."""
    saved.content_of(origin, files, f"{part}/{ABOUT}")
    return saved.of_folder(folder / part)
