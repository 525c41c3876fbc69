"""The pruners that a search may have: their names, their words, and what they are in Optuna."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

PrunerName = Literal["halving", "median", "none"]


@dataclass(frozen=True)
class Pruner:
    """A rule by which a search ends trials early."""

    label: str
    """How a report calls it."""
    reason: str
    """Why it ends a trial."""
    optuna: str
    """Its class in `optuna.pruners`."""
    options: Mapping[str, float] = field(default_factory=dict)
    """Arguments of the class."""
    checks: int = 0
    """Number of checks in each epoch that it decides by; 0: it decides after whole epochs."""


CHECKS = 4
"""Checks in each epoch of a trial whose pruner decides by checks."""
PRUNERS: Mapping[str, Pruner] = {
    # Optuna's form is asynchronous (Li et al. 2020): a trial is compared with those that came to the same check before.
    "halving": Pruner("successive-halving pruner",
                      "its score at this check was not in the better half of the trials so far",
                      "SuccessiveHalvingPruner", {"min_resource": 2, "reduction_factor": 2}, checks=CHECKS),
    # The first trial that may be pruned is the fifth, and it is trained for an epoch at least.
    "median": Pruner("median pruner", "its best validation score was worse than the median of earlier trials",
                     "MedianPruner", {"n_startup_trials": 4, "n_warmup_steps": 1}),
    "none": Pruner("none pruned", "", "NopPruner"),
}
