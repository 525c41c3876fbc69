"""What follows the confirm stage: each stage is the tasks it gives to workers, and the artifact that keeps its result.

A stage is done once for what it depends on: its result lies on the study's own run, with a digest of that beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import RunConfig, Scalar, flat
from gru_bench.results.diagnostics import DIAGNOSTICS, RECALL, RecallCurve
from gru_bench.results.runs import Timing, parsed
from gru_bench.sweep.spec import StudySpec
from gru_bench.sweep.workers.tasks import Diagnose, Remember, Task, TimeModel

TIMINGS = "timings.json"
Kept = tuple[RunConfig, Mapping[str, NDArray[np.generic]]]


@dataclass(frozen=True)
class Stage:
    """One step of a study that needs its confirm runs to be done, or all else to be quiet."""

    name: str
    artifact: str
    """Where its result is kept, on the study's own run."""
    depends_on: Any
    """As JSON has it: where it has changed, the stage is done again."""
    tasks: Callable[[], Mapping[str, Task]]
    """Prepares them, by the label under which each is shown."""
    joined: Callable[[Sequence[Any]], str]
    """The tasks' outcomes -> the artifact's text."""
    alone: bool = False
    """Whether its tasks run one after the other, with nothing beside them."""

    @property
    def digest(self) -> str:
        """Tell one state of what it depends on from another."""
        return hashlib.sha256(json.dumps(self.depends_on, sort_keys=True).encode()).hexdigest()[:16]


def stages(
    spec: StudySpec, here: Callable[[RunConfig], RunConfig], confirmed: Mapping[str, str],
    read: Callable[[str], Kept], *, texts: bool,
) -> list[Stage]:
    """Return the stages of a study, in their order.

    Args:
        spec: the study.
        here: fixes what depends on this machine, such as threads.
        confirmed: model -> one of its confirm runs.
        read: a run -> its config and weights.
        texts: whether the words of a review may be kept.
    """
    return [*_timings(spec, here), *_diagnostics(spec, confirmed, read, texts), *_recall(spec)]


def _timings(spec: StudySpec, here: Callable[[RunConfig], RunConfig]) -> list[Stage]:
    if spec.timings is None:
        return []
    configs = {
        f"{model} on {backend}": spec.config(model, {"model.backend": backend}, spec.seed)
        for model, backends in spec.timings.backends.items() for backend in backends}
    iterations = spec.timings.iterations
    return [Stage(
        "timings", TIMINGS, [iterations, {label: _settings(config) for label, config in configs.items()}],
        lambda: {label: TimeModel(here(config), iterations) for label, config in configs.items()},
        lambda outcomes: json.dumps([asdict(timing) for timing in outcomes]), alone=True)]


def _diagnostics(
    spec: StudySpec, confirmed: Mapping[str, str], read: Callable[[str], Kept], texts: bool
) -> list[Stage]:
    if not spec.diagnostics or not confirmed:
        return []
    return [Stage(
        "diagnostics", DIAGNOSTICS, {**confirmed, "review": True} if texts else dict(confirmed),
        lambda: {"diagnostics": Diagnose(
            {model: (run_id, *read(run_id)) for model, run_id in confirmed.items()}, texts)},
        lambda outcomes: str(outcomes[0].to_json()))]


def _recall(spec: StudySpec) -> list[Stage]:
    asked = spec.recall
    if asked is None:
        return []
    # The longest first, so that at the end none is left alone.
    tasks = {f"recall over {steps} steps": Remember(steps, asked.seeds, asked.sequences)
             for steps in sorted(asked.steps, reverse=True)}
    return [Stage("recall", RECALL, asked.model_dump(), lambda: tasks, _joined_curves)]


def _joined_curves(parts: Sequence[RecallCurve]) -> str:
    """Put the points of curves that differ in their steps into one, by model and steps."""
    models = list(dict.fromkeys(point.model for part in parts for point in part.points))
    points = sorted((point for part in parts for point in part.points),
                    key=lambda point: (models.index(point.model), point.k))
    return replace(parts[0], points=tuple(points)).to_json()


def _settings(config: RunConfig) -> dict[str, Scalar]:
    """Return what a result depends on: neither where it was worked out nor what a data file is called."""
    return {key: value for key, value in flat(config).items()
            if key not in ("training.device", "training.threads") and not key.startswith("data.")}


def timings_of(text: str | bytes) -> tuple[Timing, ...]:
    """Rebuild the timings from their artifact."""
    return parsed(tuple[Timing, ...], text)
