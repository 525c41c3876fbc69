"""What a sweep and its workers say to each other, and what both kinds of workers have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from gru_bench.results.runs import Check, EpochRecord, StepReport
from gru_bench.sweep.workers.tasks import Task


@dataclass(frozen=True)
class Job:
    """A task with a unique key."""

    key: str
    task: Task
    fingerprint: str = ""
    """Fingerprint that the sweep has of the data that the task reads; empty for any."""
    code: tuple[str, ...] = ()
    """Files of classes of the user's own, which the worker keeps."""


@dataclass(frozen=True)
class Resumed:
    """The job resumes from a checkpoint; the epochs trained before are reported again."""

    epoch: int | None
    """First epoch that is still to be trained; None if all are trained."""


@dataclass(frozen=True)
class Restarted:
    """The job begins again: its checkpoint is damaged, or it needs other settings of the machine, such as smaller
    micro-batches."""

    reason: str


@dataclass(frozen=True)
class Finished:
    """The job is done."""

    outcome: object


@dataclass(frozen=True)
class WasPruned:
    """The job was pruned: it ended because the answer to an epoch was not to go on."""


@dataclass(frozen=True)
class Failed:
    """The job failed."""

    kind: Literal["run", "settings", "worker", "machine"]
    """The cause. run: this job only. settings: all jobs would fail. worker: its process died. machine: the machine,
    for example because its disk is full."""
    reason: str


@dataclass(frozen=True)
class Note:
    """A sentence to show to the user once; several workers may send the same."""

    text: str


End = Finished | WasPruned | Failed
"""The last message of a job."""
Message = StepReport | Check | EpochRecord | Resumed | Restarted | Note | End
"""What a worker sends. After a `Check` or an `EpochRecord` it waits for the answer whether to continue."""


class Workers(Protocol):
    """A pool of workers: processes of this machine (`local.Pool`), or tasks on a cluster (`ray.ClusterPool`)."""

    @property
    def idle(self) -> bool:
        """Whether a job may be submitted."""

    def submit(self, job: Job) -> None:
        """Begin a job."""

    def answer(self, job: Job, *, go_on: bool) -> None:
        """Answer a `Check` or an `EpochRecord`."""

    def messages(self, timeout: float) -> Iterator[tuple[Job, Message]]:
        """Yield the messages that arrive within `timeout` seconds. The last one of a job is an `End`."""


class Channel(Protocol):
    """A worker's connection to its sweep."""

    def send(self, message: Any, /) -> None:
        """Send a message."""

    def recv(self) -> Any:
        """Wait for the answer to a `Check` or an `EpochRecord`."""
