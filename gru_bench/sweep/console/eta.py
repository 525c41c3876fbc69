"""Estimate of the remaining time of a sweep (ETA), from the durations of the runs that have ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class RunningTime:
    """A run that is being trained."""

    kind: str
    """trial, confirm or ablation; runs of the same kind take about the same time."""
    seconds: float
    """Seconds since the run began."""


@dataclass
class EtaEstimator:
    """Estimates the remaining time from the durations of ended runs."""

    ended: dict[str, list[float]] = field(default_factory=dict)
    """Kind -> seconds of each run that has ended. Pruned runs count: later runs are pruned about as often."""

    def add(self, kind: str, seconds: float) -> None:
        """Add the duration of a run that has ended."""
        self.ended.setdefault(kind, []).append(seconds)

    def seconds_left(self, to_begin: Mapping[str, int], running: Sequence[RunningTime], workers: int) -> float | None:
        """Return the seconds until all runs are done, or None if there is nothing to estimate from yet.

        Args:
            to_begin: Kind -> number of runs that no process has begun.
            running: Runs that this process is training.
            workers: Number of runs that are trained side by side.
        """
        expected = {kind: self._expected(kind) for kind in {*to_begin, *(run.kind for run in running)}}
        work = 0.0
        for kind, seconds in expected.items():
            if seconds is None:
                return None
            work += to_begin.get(kind, 0) * seconds
            work += sum(max(0.0, seconds - run.seconds) for run in running if run.kind == kind)
        return work / max(1, workers)

    def _expected(self, kind: str) -> float | None:
        """Return the expected seconds of a run: from ended runs of its kind, else of any kind.

        A run under way tells nothing: the first one also loads the data and compiles the kernel.
        """
        known = self.ended.get(kind) or [seconds for times in self.ended.values() for seconds in times]
        return sum(known) / len(known) if known else None
