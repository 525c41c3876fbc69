"""The follow-ups of a study after its confirm stage: timing benchmark, diagnostics and recall task.

A follow-up is a set of tasks for the workers and one artifact on the study's parent run, which holds the result. It is
done once for each state of its inputs, which a digest identifies.
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
from gru_bench.sweep.workers.tasks import Diagnose, MeasureRecall, MeasureTiming, Task

TIMINGS = "timings.json"
ConfigAndWeights = tuple[RunConfig, Mapping[str, NDArray[np.generic]]]


@dataclass(frozen=True)
class FollowUp:
    """One step of a study that begins after all runs have ended."""

    name: str
    artifact: str
    """Artifact of the study's parent run that holds the result."""
    depends_on: Any
    """Inputs of the follow-up, as JSON values. When they change, the follow-up is done again."""
    tasks: Callable[[], Mapping[str, Task]]
    """Returns label -> task."""
    combine: Callable[[Sequence[Any]], str]
    """Turns the outcomes of the tasks into the text of the artifact."""
    exclusive: bool = False
    """Whether the tasks run one at a time, with no other work beside them."""

    @property
    def digest(self) -> str:
        """Digest of the inputs."""
        return hashlib.sha256(json.dumps(self.depends_on, sort_keys=True).encode()).hexdigest()[:16]


def follow_ups(
    spec: StudySpec, here: Callable[[RunConfig], RunConfig], confirmed: Mapping[str, str],
    read: Callable[[str], ConfigAndWeights], *, texts: bool,
) -> list[FollowUp]:
    """Return the follow-ups of a study in their order.

    Args:
        spec: The study.
        here: Sets the machine-dependent settings of a config, such as threads.
        confirmed: Model -> run id of one of its confirm runs.
        read: Returns the config and weights of a run by its id.
        texts: Whether the words of a review may be stored.
    """
    return [*_timings(spec, here), *_diagnostics(spec, confirmed, read, texts), *_recall(spec)]


def _timings(spec: StudySpec, here: Callable[[RunConfig], RunConfig]) -> list[FollowUp]:
    if spec.timings is None:
        return []
    configs = {
        f"{model} on {backend}": spec.config(model, {"model.backend": backend}, spec.seed)
        for model, backends in spec.timings.backends.items() for backend in backends}
    iterations = spec.timings.iterations
    return [FollowUp(
        "timings", TIMINGS, [iterations, {label: _settings(config) for label, config in configs.items()}],
        lambda: {label: MeasureTiming(here(config), iterations) for label, config in configs.items()},
        lambda outcomes: json.dumps([asdict(timing) for timing in outcomes]), exclusive=True)]


def _diagnostics(
    spec: StudySpec, confirmed: Mapping[str, str], read: Callable[[str], ConfigAndWeights], texts: bool
) -> list[FollowUp]:
    if not spec.diagnostics or not confirmed:
        return []
    return [FollowUp(
        "diagnostics", DIAGNOSTICS, {**confirmed, "review": True} if texts else dict(confirmed),
        lambda: {"diagnostics": Diagnose(
            {model: (run_id, *read(run_id)) for model, run_id in confirmed.items()}, texts)},
        lambda outcomes: str(outcomes[0].to_json()))]


def _recall(spec: StudySpec) -> list[FollowUp]:
    asked = spec.recall
    if asked is None:
        return []
    # The longest tasks begin first, so that none is left running alone at the end.
    tasks = {f"recall over {steps} steps": MeasureRecall(steps, asked.seeds, asked.sequences)
             for steps in sorted(asked.steps, reverse=True)}
    return [FollowUp("recall", RECALL, asked.model_dump(), lambda: tasks, _merged_curves)]


def _merged_curves(parts: Sequence[RecallCurve]) -> str:
    """Return one curve, as JSON, of the points of all curves, ordered by model and number of steps."""
    models = list(dict.fromkeys(point.model for part in parts for point in part.points))
    points = sorted((point for part in parts for point in part.points),
                    key=lambda point: (models.index(point.model), point.k))
    return replace(parts[0], points=tuple(points)).to_json()


def _settings(config: RunConfig) -> dict[str, Scalar]:
    """Return the settings that the timing depends on: all but the device, the threads and the data."""
    return {key: value for key, value in flat(config).items()
            if key not in ("training.device", "training.threads") and not key.startswith("data.")}


def timings_of(text: str | bytes) -> tuple[Timing, ...]:
    """Parse the timings from the text of their artifact."""
    return parsed(tuple[Timing, ...], text)
