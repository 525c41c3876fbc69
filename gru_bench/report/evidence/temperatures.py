"""The temperatures of a model: of each of its runs, and of all of them together, fitted on their validation texts.

Shapes: `R` runs (seeds) of a model, `N` validation texts, `C` classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gru_bench.errors import RunError
from gru_bench.report.evidence.store import Store
from gru_bench.stats.calibration import temperature
from gru_bench.stats.metrics import mean_probability


@dataclass(frozen=True)
class Temperatures:
    """The temperatures of a model (`stats.calibration`)."""

    run_R: tuple[float | None, ...]
    """Of each run. None where none can be fitted."""
    together: float | None
    """Of the mean probabilities of all runs."""
    missing: str = ""
    """Why there is none at all; empty where there is one."""
    is_known: bool = True
    """Whether validation texts have been read that it could be fitted on, even if all of them are correct."""


def temperatures(store: Store, run_ids: Sequence[str]) -> Temperatures:
    """Return the temperatures of the runs of a model, from the predictions that they logged.

    Args:
        store: Store of the runs.
        run_ids: The runs, which differ in the seed alone.
    """
    try:
        read = [store.predictions(run_id, "validation").by_id() for run_id in run_ids]
    except RunError:
        return _none(run_ids, "no predictions of validation texts can be read")
    if not all(one.whole for one in read):
        return _none(run_ids, "with so many classes, the runs stored only the largest probabilities")
    label_N = read[0].label_N
    if not all(np.array_equal(one.example_id_N, read[0].example_id_N) for one in read):
        return _none(run_ids, "the validation texts of its runs differ")
    run_R = tuple(temperature(label_N, one.probability_NC) for one in read)
    mean_NC = mean_probability(np.stack([one.probability_NC for one in read]))
    together = temperature(label_N, mean_NC) if len(read) > 1 else run_R[0]
    if together is None and not any(run_R):
        return replace(_none(run_ids, "all validation texts are classified correctly"), is_known=True)
    return Temperatures(run_R, together)


def _none(run_ids: Sequence[str], why: str) -> Temperatures:
    return Temperatures((None,) * len(run_ids), None, why, is_known=False)
