"""The pruners that a search may have: their names, their words, and what they are in Optuna."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

PrunerName = Literal["median", "wilcoxon", "none"]


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


PRUNERS: Mapping[str, Pruner] = {
    # The first trial that may be pruned is the fifth, and it is trained for an epoch at least.
    "median": Pruner("median pruner", "its best validation accuracy was below the median of earlier trials",
                     "MedianPruner", {"n_startup_trials": 4, "n_warmup_steps": 1}),
    "wilcoxon": Pruner("Wilcoxon pruner", "its seeds were worse than those of the best trial, by a signed-rank test",
                       "WilcoxonPruner", {"p_threshold": 0.1}),
    "none": Pruner("none pruned", "", "NopPruner"),
}
