"""The only module that imports mlflow: write runs as they happen, read them back for a write-up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gru_bench.results import StudySummary


@dataclass(frozen=True)
class LoggedRun:
    """One MLflow run as a reader finds it."""

    run_id: str
    experiment_id: str
    name: str
    role: str
    """study, trial, confirm or single."""
    study: str
    model: str
    engine: str
    seed: int | None
    status: str
    """MLflow's: RUNNING, FINISHED, FAILED or KILLED."""
    complete: bool
    reason: str
    """Why it was pruned or failed; empty otherwise."""
    params: Mapping[str, str]
    """The flattened config: `model.hidden_size` -> `"100"`."""
    metrics: Mapping[str, float]
    """Last value of each: `test/accuracy`, `test/f1`, `time/train_seconds`, `time/tokens_per_second`, ..."""
    tags: Mapping[str, str]
    started: float
    """Seconds since the epoch."""


@dataclass(frozen=True)
class LoggedStudy:
    """A study's parent run and its children; `summary` is None until its search and confirm stage ended."""

    run: LoggedRun
    summary: StudySummary | None
    trials: tuple[LoggedRun, ...]
    confirms: tuple[LoggedRun, ...]
