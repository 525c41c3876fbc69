"""Pieces of work of a study as they are stored: what is noted of each, and its key.

What is planned of them is a pure function (`gru_bench.sweep.plan`); `sharing.trials` reads and writes them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal

from gru_bench.config import Scalar

StoredState = Literal["complete", "pruned", "failed", "interrupted", "running", "waiting"]
ENDED: tuple[StoredState, ...] = ("complete", "pruned", "failed")
"""States of a trial that has ended and is not repeated."""


def digest(values: object) -> str:
    """Return a digest of JSON values such as settings, equal for equal values in any order."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def run_key(model: str, settings: str, seed: int) -> str:
    """Return the key of a confirmation run.

    Args:
        model: Model of the run.
        settings: Digest of the settings that differ from the study's own.
        seed: Random seed of the run.
    """
    return f"{model} confirm {settings} {seed}"


def baseline_key(name: str) -> str:
    """Return the key of the run of a baseline."""
    return f"{name} baseline"


@dataclass(frozen=True, kw_only=True)
class TrialNotes:
    """What is noted of a trial: Optuna's user attributes of these names."""

    key: str = ""
    """What is to be done, for planned work."""
    owner: str = ""
    """Id of the start that does it, or did it last."""
    run_id: str = ""
    """Id of its latest run in the tracking store."""
    reason: str = ""
    """Why it ended early."""
    retry_of: int | None = None
    """Number of the trial that it retries."""
    attempt: int = 1
    """Which attempt it is, without those that were interrupted."""
    failed_at: int = 0
    """Of a trial that failed and counts as tried, such as by a loss that is not finite: how many starts the study had
    then. Planned work may be tried again by later ones."""

    def written(self) -> dict[str, Any]:
        """Return the notes that differ from their defaults, as user attributes."""
        return {one.name: value for one in fields(TrialNotes) if (value := getattr(self, one.name)) != one.default}


@dataclass(frozen=True)
class StoredTrial(TrialNotes):
    """A trial as a storage holds it."""

    number: int
    state: StoredState
    """failed: by its own fault, so it counts. interrupted: it was queued again."""
    settings: Mapping[str, Scalar]
    value: float | None = field(default=None, kw_only=True)
    """Objective of a complete trial; of a baseline or confirmation run, its test score."""

    @cached_property
    def ended(self) -> bool:
        """Whether it has ended and is not repeated."""
        return self.state in ENDED

    @cached_property
    def point(self) -> tuple[tuple[str, str], ...]:
        """What its settings have in common with equal ones; numbers are compared by 12 digits."""
        return tuple(sorted((key, f"{value:.12g}" if isinstance(value, float) else str(value))
                            for key, value in self.settings.items()))

    @cached_property
    def counts(self) -> bool:
        """Whether it counts as one of those that were asked for: it is running or has ended, by itself."""
        return self.ended or self.state == "running"


def is_free(trial: StoredTrial | None, start: int) -> bool:
    """Return whether a start of a study may begin planned work.

    Args:
        trial: The latest trial of the work; None if it has not begun.
        start: Number of the start. It repeats what failed before it began.
    """
    return trial is None or trial.state in ("waiting", "interrupted") or (
        trial.state == "failed" and trial.failed_at < start)


def latest_trials(trials: Iterable[StoredTrial]) -> dict[str, StoredTrial]:
    """Return key -> its latest trial, for planned work."""
    return {trial.key: trial for trial in trials}
