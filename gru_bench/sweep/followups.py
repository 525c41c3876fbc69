"""The follow-ups of a study after its confirmation stage: timing benchmark, diagnostics and recall task.

A follow-up is a set of tasks for the workers and one artifact on the study's parent run, which holds the result. It is
done once for each state of its inputs, as a trial whose key holds a digest of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from gru_bench.config import RunConfig, Scalar, flat
from gru_bench.models.trained import TrainedModel
from gru_bench.results.diagnostics import DIAGNOSTICS, RECALL, RecallCurve
from gru_bench.results.runs import Timing, parsed
from gru_bench.sweep.console.progress import several
from gru_bench.sweep.sharing.trials import Trials, digest
from gru_bench.sweep.spec import StudySpec
from gru_bench.sweep.workers.local import Failed, Finished
from gru_bench.sweep.workers.tasks import Diagnose, MeasureRecall, MeasureTiming, Task
from gru_bench.tracking import RunWriter

TIMINGS = "timings.json"
Here = Callable[[RunConfig], RunConfig]
"""Sets the settings of a config that depend on the machine, such as threads."""
ReadModels = Callable[[Mapping[str, str]], Mapping[str, TrainedModel]]
"""From model -> run id to model -> what that run has trained."""


@dataclass(frozen=True)
class FollowUp:
    """One step of a study that begins after all runs have ended."""

    name: str
    artifact: str
    """Artifact of the study's parent run that holds the result."""
    depends_on: Any
    """Inputs of the follow-up, as JSON values. When they change, the follow-up is done again."""
    tasks: Callable[[Here, ReadModels], Mapping[str, Task]]
    """Returns label -> task."""
    combine: Callable[[Sequence[Any]], str]
    """Turns the outcomes of the tasks into the text of the artifact."""
    exclusive: bool = False
    """Whether the tasks run one at a time, with no other work beside them."""

    @property
    def key(self) -> str:
        """Key of the follow-up's trial."""
        return f"follow-up {self.name} {digest(self.depends_on)}"


def follow_ups(spec: StudySpec, confirmed: Mapping[str, str], *, texts: bool) -> list[FollowUp]:
    """Return the follow-ups of a study in their order.

    Args:
        spec: The study.
        confirmed: Model -> run id of one of its confirmation runs.
        texts: Whether the words of a text may be stored.
    """
    return [*_timings(spec), *_diagnostics(spec, confirmed, texts), *_recall(spec)]


def _timings(spec: StudySpec) -> list[FollowUp]:
    if spec.timings is None:
        return []
    configs = {
        f"{model} on {backend}": spec.config(model, {"model.backend": backend}, spec.seed)
        for model, backends in spec.timings.backends.items() for backend in backends}
    iterations = spec.timings.iterations
    return [FollowUp(
        "timings", TIMINGS, [iterations, {label: _settings(config) for label, config in configs.items()}],
        lambda here, _: {label: MeasureTiming(here(config), iterations) for label, config in configs.items()},
        lambda outcomes: json.dumps([asdict(timing) for timing in outcomes]), exclusive=True)]


def _diagnostics(spec: StudySpec, confirmed: Mapping[str, str], texts: bool) -> list[FollowUp]:
    if not spec.diagnostics or not confirmed:
        return []
    return [FollowUp(
        "diagnostics", DIAGNOSTICS, {**confirmed, "review": True} if texts else dict(confirmed),
        lambda _, read: {"diagnostics": Diagnose(read(confirmed), texts)},
        lambda outcomes: str(outcomes[0].to_json()))]


def _recall(spec: StudySpec) -> list[FollowUp]:
    asked = spec.recall
    if asked is None:
        return []
    # The longest tasks begin first, so that none is left running alone at the end.
    tasks = {f"recall over {steps} steps": MeasureRecall(steps, asked.seeds, asked.sequences)
             for steps in sorted(asked.steps, reverse=True)}
    return [FollowUp("recall", RECALL, asked.model_dump(), lambda *_: tasks, _merged_curves)]


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


class ActiveFollowUp:
    """A follow-up that this process does: the tasks that wait for a worker, and how others have ended."""

    def __init__(self, follow_up: FollowUp, number: int, tasks: Mapping[str, Task]) -> None:
        """Begin with all tasks waiting.

        Args:
            follow_up: The follow-up.
            number: Number of its trial.
            tasks: Label -> task.
        """
        self.follow_up, self.number = follow_up, number
        self.waiting = list(enumerate(tasks.items()))
        self.ended: dict[int, Finished | Failed] = {}
        """Index of a task -> how it has ended."""
        self._count = len(tasks)

    @property
    def has_ended(self) -> bool:
        """Whether all tasks have ended."""
        return len(self.ended) == self._count

    def end(self, work: Trials, study: RunWriter) -> None:
        """Log the result, then end the trial.

        Args:
            work: The planned work of the study.
            study: Writer of the study's parent run.
        """
        outcomes = [end.outcome for _, end in sorted(self.ended.items()) if isinstance(end, Finished)]
        if outcomes:
            study.text(self.follow_up.artifact, self.follow_up.combine(outcomes))
        if failed := self._count - len(outcomes):
            work.fail(self.number, f"{several(failed, 'task')} of {self._count} failed")
        else:
            work.complete(self.number, self._count)
