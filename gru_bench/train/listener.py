"""What a run reports while it trains: a listener is told each step, check and epoch, and may end the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gru_bench.results.runs import Check, EpochRecord, RunResult, StepReport


class Pruned(Exception):
    """Raised by a listener to end a run that is not worth finishing."""


def _ignore(_: object) -> None:
    pass


@dataclass(frozen=True)
class Listener:
    """Functions that a run calls. Those that are left out do nothing."""

    step: Callable[[StepReport], None] = _ignore
    """Called about twice a second."""
    check: Callable[[Check], None] = _ignore
    """Called after each check within an epoch. It may raise `Pruned`."""
    epoch: Callable[[EpochRecord], None] = _ignore
    """Called after each epoch and its validation. It may raise `Pruned`."""
    resumed: Callable[[int | None], None] = _ignore
    """Called with the first epoch to train when a run resumes from a checkpoint; None if all are trained. The checks
    and epochs of the checkpoint are reported after this call."""
    done: Callable[[RunResult], None] = _ignore
    """Called with the result. The checkpoint stays until this call returns."""
    restarted: Callable[[str], None] = _ignore
    """Called with the reason when a run begins again."""
    note: Callable[[str], None] = _ignore
    """Called with a sentence to show to the user once, even if several runs send it."""


SILENT = Listener()
