"""Which runs a study's contrasts need: each side once on each seed, also where several contrasts share it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gru_bench.config import RunConfig, Scalar, flat
from gru_bench.results import Contrast
from gru_bench.sweep.spec import StudySpec

Side = Literal["usual", "other"]


@dataclass(frozen=True)
class ContrastRun:
    """One run to train."""

    side: Side
    contrasts: tuple[str, ...]
    """Names of those that it belongs to."""
    settings: Mapping[str, Scalar]
    """In which it differs from a confirm run of the study."""
    config: RunConfig

    @property
    def name(self) -> str:
        """Return what to call it: `usual`, or the contrast on whose other side it is."""
        return "usual" if self.side == "usual" else self.contrasts[0]


def contrasts_of(spec: StudySpec, tuned: Mapping[str, Scalar]) -> tuple[Contrast, ...]:
    """Return the contrasts of a study, without those whose other side is what the study does anyway.

    Args:
        spec: the study.
        tuned: what its search has found for the contrasts' model.
    """
    asked = spec.contrasts
    if asked is None:
        return ()
    usual = flat(spec.config(asked.model, {**tuned, **asked.settings}, 0))
    return tuple(
        Contrast(
            name=name, question=other.question, model=asked.model, engine=str(usual["model.engine"]),
            usual={key: usual[key] for key in other.settings}, other=dict(other.settings))
        for name, other in asked.other.items() if any(usual[key] != value for key, value in other.settings.items()))


def contrast_runs(spec: StudySpec, tuned: Mapping[str, Scalar]) -> list[ContrastRun]:
    """Return the runs of all contrasts, seed by seed and the usual side first."""
    asked = spec.contrasts
    if asked is None:
        return []
    contrasts = contrasts_of(spec, tuned)
    sides: list[tuple[Side, tuple[str, ...], dict[str, Scalar]]] = []
    if contrasts:
        sides.append(("usual", tuple(contrast.name for contrast in contrasts), dict(asked.settings)))
    sides += [("other", (contrast.name,), {**asked.settings, **contrast.other}) for contrast in contrasts]
    return [
        ContrastRun(side, names, settings, spec.config(asked.model, {**tuned, **settings}, seed))
        for seed in spec.contrast_seeds for side, names, settings in sides]
