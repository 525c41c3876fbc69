"""The follow-ups of a study after its confirm stage: timing benchmark, diagnostics and recall task.

A follow-up is a set of tasks for the workers and one artifact on the study's parent run, which holds the result. It is
done once for each state of its inputs, as a trial whose key holds a digest of them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from gru_bench.config import RunConfig, Scalar, flat, with_removed
from gru_bench.errors import RunError
from gru_bench.models.trained import TrainedModel
from gru_bench.results.diagnostics import DIAGNOSTICS, RECALL, RecallCurve
from gru_bench.results.runs import Timing, parsed
from gru_bench.sweep.console.progress import ProgressDisplay, several
from gru_bench.sweep.sharing.trials import MOST_ATTEMPTS, Trials, digest
from gru_bench.sweep.spec import StudySpec
from gru_bench.sweep.workers.local import Failed, Finished, Job, Message, Workers
from gru_bench.sweep.workers.tasks import Diagnose, MeasureRecall, MeasureTiming, Task
from gru_bench.tracking import RunWriter

TIMINGS = "timings.json"
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
    tasks: Callable[[], Mapping[str, Task]]
    """Returns label -> task."""
    combine: Callable[[Sequence[Any]], str]
    """Turns the outcomes of the tasks into the text of the artifact."""
    exclusive: bool = False
    """Whether the tasks run one at a time, with no other work beside them."""

    @property
    def key(self) -> str:
        """Key of the follow-up's trial."""
        return f"follow-up {self.name} {digest(self.depends_on)}"


def follow_ups(
    spec: StudySpec, here: Callable[[RunConfig], RunConfig], confirmed: Mapping[str, str],
    read: ReadModels, *, texts: bool,
) -> list[FollowUp]:
    """Return the follow-ups of a study in their order.

    Args:
        spec: The study.
        here: Sets the machine-dependent settings of a config, such as threads.
        confirmed: Model -> run id of one of its confirm runs.
        read: Reads the models of runs.
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
    spec: StudySpec, confirmed: Mapping[str, str], read: ReadModels, texts: bool
) -> list[FollowUp]:
    if not spec.diagnostics or not confirmed:
        return []
    return [FollowUp(
        "diagnostics", DIAGNOSTICS, {**confirmed, "review": True} if texts else dict(confirmed),
        lambda: {"diagnostics": Diagnose(read(confirmed), texts)},
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
    return {key: value for key, value in with_removed(flat(config)).items()
            if key not in ("training.device", "training.threads") and not key.startswith("data.")}


def timings_of(text: str | bytes) -> tuple[Timing, ...]:
    """Parse the timings from the text of their artifact."""
    return parsed(tuple[Timing, ...], text)


class TaskRunner:
    """Runs tasks that train no run of the study: its follow-ups, and what else the workers measure."""

    def __init__(
        self, pool: Workers, display: ProgressDisplay, notes: list[str], job: Callable[[str, Task], Job]
    ) -> None:
        """Prepare to run tasks.

        Args:
            pool: The workers.
            display: Shows the progress.
            notes: Notes for the readers of the study; failures are added.
            job: Makes a job of a label and a task.
        """
        self._pool, self._display, self._notes, self._job = pool, display, notes, job
        self._deaths: Counter[str] = Counter()
        """Key of a job -> how many workers have died at it."""

    def is_resubmitted(self, job: Job, kind: str) -> bool:
        """Submit a failed job again if its worker died; return False where it did not, or died too often."""
        self._deaths[job.key] += kind == "worker"
        if kind != "worker" or self._deaths[job.key] >= MOST_ATTEMPTS:
            return False
        self._pool.submit(job)
        return True

    def complete(
        self, follow_up: FollowUp, runs: Trials, study: RunWriter, messages: Callable[[], Iterable[tuple[Job, Message]]]
    ) -> None:
        """Do a follow-up, unless it is done already; wait while another process does it.

        Args:
            follow_up: The follow-up.
            runs: The planned work of the study, to which its trial belongs.
            study: Writer of the study's parent run, for the result.
            messages: Returns the next messages of the workers, after waiting a moment for them.
        """
        while runs.unfinished([follow_up.key]):
            if (number := runs.take(follow_up.key)) is None:
                list(messages())
                continue
            try:
                tasks = follow_up.tasks()
                outcomes = self._outcomes(tasks, messages, exclusive=follow_up.exclusive)
                if outcomes:
                    study.text(follow_up.artifact, follow_up.combine(
                        [outcomes[label] for label in tasks if label in outcomes]))
            except BaseException:
                runs.give_up(number, "interrupted", fault=False)
                raise
            if failed := len(tasks) - len(outcomes):
                runs.fail(number, f"{several(failed, 'task')} of {len(tasks)} failed")
            else:
                runs.complete(number, len(tasks))

    def _outcomes(
        self, tasks: Mapping[str, Task], messages: Callable[[], Iterable[tuple[Job, Message]]], *, exclusive: bool
    ) -> dict[str, object]:
        """Run tasks and return label -> outcome, for those that ended well."""
        waiting = list(tasks.items())
        outcomes: dict[str, object] = {}
        while waiting or self._pool.busy:
            while waiting and self._pool.idle and not (exclusive and self._pool.busy):
                label, task = waiting.pop(0)
                self._pool.submit(self._job(label, task))
                self._display.job_started(label, {})
            for job, message in messages():
                match message:
                    case Finished(outcome):
                        outcomes[job.key] = outcome
                        self._display.job_ended(job.key, "done", None)
                    case Failed("machine", reason):
                        raise RunError(reason)
                    case Failed(kind, reason) if not self.is_resubmitted(job, kind):
                        self._notes.append(f"The follow-up {job.key!r} failed: {reason}")
                        self._display.job_ended(job.key, "failed", None, reason)
        return outcomes
