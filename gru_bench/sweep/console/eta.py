"""Estimate of the remaining time of a sweep (ETA), from the durations of the runs that have ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean


def seconds_left(
    ended: Mapping[str, Sequence[float]], running: Iterable[tuple[str, float]], to_begin: Mapping[str, int],
    workers: int,
) -> float | None:
    """Return the seconds until all runs are done; None before the first has ended.

    Runs of a kind take about the same time. A run of a kind of which none has ended is taken for one of any kind.

    Args:
        ended: Kind (trial, confirm or ablation) -> seconds of each run that has ended. Pruned runs count: later ones
            are pruned about as often.
        running: Kind and seconds so far of each run that this process trains.
        to_begin: Kind -> number of runs that no process has begun.
        workers: Number of runs that are trained side by side.
    """
    known = [seconds for times in ended.values() for seconds in times]
    if not known:
        return None

    def expected(kind: str) -> float:
        return fmean(ended.get(kind) or known)

    work = sum(count * expected(kind) for kind, count in to_begin.items())
    work += sum(max(0.0, expected(kind) - seconds) for kind, seconds in running)
    return work / max(1, workers)
