"""What is read from a tracking store, as MLflow has it: a database file and a server answer the same questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

RawRun = tuple[str, str, str | None, str, int | None, int | None, Mapping[str, str], Mapping[str, str], Mapping[
    str, float]]
"""A run as MLflow has it: its id, its experiment's id, name, status, begin and end in milliseconds since 1970, tags,
params and metrics."""
RawPoint = tuple[str, str, int, float, int]
"""MLflow's id of a run, metric, step, value and time in milliseconds since 1970."""


@dataclass(frozen=True)
class Found:
    """Where a run is in MLflow."""

    run_id: str
    """MLflow's id."""
    experiment: str
    """Name of its experiment."""
    is_deleted: bool


class Source(Protocol):
    """What a reader asks of a tracking store. Runs are named by MLflow's ids, except in `find`."""

    def experiments(self) -> list[str]:
        """Return the names of the experiments with runs of gru-bench, the most recent first."""

    def runs(self, experiment: str) -> Iterable[RawRun] | None:
        """Return the runs of an experiment, newest first; None if it does not exist."""

    def scored_on(self, test_set: str) -> Iterable[tuple[str, int | None, Mapping[str, str]]]:
        """Return id, begin and tags of the runs of all experiments with this digest of the test examples."""

    def points(self, run_ids: Sequence[str], metrics: Sequence[str]) -> Iterable[RawPoint]:
        """Return the points of some metrics of runs."""

    def find(self, run_id: str) -> Found | None:
        """Return where the run with one of our ids is, even if it was deleted; None if the store does not have it."""

    def tagged(self, experiment: str, key: str) -> str | None:
        """Return the id of the experiment of that name if it has a tag."""

    def artifact(self, run_id: str, path: str) -> bytes:
        """Return the content of an artifact."""
