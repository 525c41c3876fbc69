"""How long a sweep will still take, learnt from the runs that have ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Running:
    """A run under way."""

    kind: str
    """trial, confirm or ablation: runs of a kind take about as long as each other."""
    seconds: float
    """Since it began."""
    done: float
    """Share of its reviews that it has been trained on, 0 to 1."""


@dataclass
class Eta:
    """Times of the runs that have ended, by kind."""

    ended: dict[str, list[float]] = field(default_factory=dict)
    """Kind -> seconds of each run, pruned ones among them: those to come are pruned as often."""

    def add(self, kind: str, seconds: float) -> None:
        """Take note of a run that has ended."""
        self.ended.setdefault(kind, []).append(seconds)

    def seconds_left(self, to_begin: Mapping[str, int], running: Sequence[Running], workers: int) -> float | None:
        """Return the time until all is done, or None where nothing is known yet.

        Args:
            to_begin: kind -> runs that nobody has begun.
            running: under way in this process.
            workers: runs side by side.
        """
        expected = {kind: self._expected(kind, running) for kind in {*to_begin, *(run.kind for run in running)}}
        work = 0.0
        for kind, seconds in expected.items():
            if seconds is None:
                return None
            work += to_begin.get(kind, 0) * seconds
            work += sum(max(0.0, seconds - run.seconds) for run in running if run.kind == kind)
        return work / max(1, workers)

    def _expected(self, kind: str, running: Sequence[Running]) -> float | None:
        """Return the seconds of a run of a kind: as others of it took, else as any took, else as those under way go."""
        known = self.ended.get(kind) or [seconds for times in self.ended.values() for seconds in times]
        known = known or [run.seconds / run.done for run in running if run.done > 0]
        return sum(known) / len(known) if known else None
