"""Pruning: how a search ends the trials that fall behind, and how a report calls it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

PrunerName = Literal["halving", "none"]
PRUNERS: Mapping[str, str] = {"halving": "successive-halving pruner", "none": "none pruned"}
"""Name of a pruner -> how a report calls it."""
CHECKS = 4
"""Checks in each epoch of a trial that may be pruned."""
HALVING: Mapping[str, int] = {"min_resource": 2, "reduction_factor": 2}
"""Options of Optuna's form of successive halving. It is asynchronous (Li et al. 2020): a trial is compared with those
that came to the same check before."""
REASON = "its score at this check was not in the better half of the trials so far"
"""Why a trial is pruned."""
