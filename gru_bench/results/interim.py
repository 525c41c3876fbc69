"""Interim analyses of a confirmation stage: the plan that is fixed before its first run, and what each found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from gru_bench.config import MetricName
from gru_bench.results.runs import parsed

PLAN, INTERIM = "plan.json", "interim.json"
"""Names of the artifacts of a study that hold its plan of interim analyses and what they found."""
MIXTURE = "mixture"
"""Name of the mixture of a study (`stats.mixture`) among its models."""
SPENDING = "Lan-DeMets, O'Brien-Fleming kind: 2 (1 - Phi(z(1 - alpha/2) / sqrt(t)))"
FRACTIONS = "variance expected at the last interim analysis / variance at this one, both estimated at this one"


@dataclass(frozen=True)
class InterimPlan:
    """What is fixed before the first run of a study with interim analyses."""

    study: str
    models: tuple[str, ...]
    metric: MetricName
    """accuracy or log_loss."""
    margin: float
    """Largest difference of no practical weight: a share, where 0.01 is one percentage point, or nats."""
    interim: tuple[int, ...]
    """Seeds of each model at each interim analysis, rising."""
    seeds: tuple[int, ...]
    """The confirmation seeds, in the order in which they are added."""
    data: str
    """Fingerprint of the data."""
    alpha: float = 0.05
    """Two-sided error of a family's tests for a difference over all analyses. Equivalence has as much on each side."""
    spending: str = SPENDING
    fractions: str = FRACTIONS
    is_with_linear: bool = False
    """Whether each model is compared with the linear model that is better on validation too, as a second family."""
    is_with_mixture: bool = False
    """Whether the mixture is compared with its two parts too, as a third family. No seeds are added for its sake."""

    def families(
        self, linear: str | None, trained: str | None = None
    ) -> tuple[tuple[tuple[str, str], ...], ...]:
        """Return the pairs that are tested together: those of its models, each model with the linear one, and the
        mixture with its parts.

        Args:
            linear: Name of the linear model. None: it is not known.
            trained: Name of the model that the mixture is of. None: there is no mixture.
        """
        second = tuple((model, linear) for model in self.models) if self.is_with_linear and linear is not None else ()
        third = ((MIXTURE, linear), (MIXTURE, trained)) if (
            self.is_with_mixture and linear is not None and trained is not None) else ()
        return tuple(combinations(self.models, 2)), second, third

    def family_of(self, pair: tuple[str, str]) -> int:
        """Return the number of pairs that a pair is tested with."""
        if MIXTURE in pair:
            return 2
        return len(self.families(None)[0]) if {*pair} <= {*self.models} else len(self.models)

    def to_json(self) -> str:
        """Return the plan as it is logged, with its digest."""
        return json.dumps({**asdict(self), "digest": self.digest}, indent=1)

    @property
    def digest(self) -> str:
        """Return a digest of all that the plan fixes."""
        # A family that is not planned has no part in it: plans of versions that did not know it keep their digest.
        fixed = {key: value for key, value in asdict(self).items() if value is not False}
        return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()[:16]

    @classmethod
    def from_json(cls, text: str) -> tuple[InterimPlan, str]:
        """Return a plan that was logged, and the digest that was logged with it.

        Raises:
            ValueError: as `parsed`.
        """
        plan, digest = parsed(cls, text), parsed(dict[str, Any], text).get("digest")
        if not isinstance(digest, str):
            raise ValueError(f"digest must be a text, but got {digest!r}")
        return plan, digest


@dataclass(frozen=True)
class InterimAnalysis:
    """One interim analysis: the runs that it rests on, and what it decided."""

    planned: int
    """Seeds of each model that were planned for it."""
    seeds: Mapping[str, tuple[int, ...]]
    """Model -> the seeds that had a complete run."""
    settled: tuple[str, ...] = ()
    """Pairs that it settled, or an earlier interim analysis: `A, B: better`."""
    stops: bool = False
    """Whether the confirmation stage ended with it."""


def interim_json(analyses: Sequence[InterimAnalysis]) -> str:
    """Return interim analyses as they are logged."""
    return json.dumps([asdict(analysis) for analysis in analyses], indent=1)
