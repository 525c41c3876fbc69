"""Which runs a study's ablations need: each side once on each seed, also where several ablations share it.

Where the other side is to be tuned, each candidate is tried once before, and what was found is the other side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gru_bench.config import LARGEST_SEED, RunConfig, Scalar, flat
from gru_bench.results.runs import Ablation
from gru_bench.sweep.spec import StudySpec

Side = Literal["usual", "other", "tuning"]
Settings = Mapping[str, Scalar]


@dataclass(frozen=True)
class AblationRun:
    """One run to train."""

    side: Side
    ablations: tuple[str, ...]
    """Names of those that it belongs to."""
    settings: Settings
    """In which it differs from a confirm run of the study."""
    config: RunConfig
    candidate: Settings
    """What it tries, where the ablation is tuned and this is not its usual side; else empty."""

    @property
    def name(self) -> str:
        """Return what to call it: `usual`, or the ablation on whose other side it is, with what it tries."""
        return "usual" if self.side == "usual" else " ".join(map(str, (self.ablations[0], *self.candidate.values())))


def ablations_of(spec: StudySpec, tuned: Settings, found: Mapping[str, Settings]) -> tuple[Ablation, ...]:
    """Return the ablations of a study, without those whose other side is what the study does anyway.

    Args:
        spec: the study.
        tuned: what its search has found for the ablations' model.
        found: ablation -> the best of the candidates that were tried for it; one that is to be tuned and is not
            here is left out.
    """
    asked = spec.ablations
    if asked is None:
        return ()
    usual = _usual(spec, tuned)
    ablations = []
    for name, other in asked.other.items():
        settings = other.settings or found.get(name, {})
        own = {key: usual[key] for key in settings}
        if settings and (other.tune or settings != own):
            ablations.append(Ablation(name=name, question=other.question, model=asked.model, tuned=bool(other.tune),
                                      backend=str(usual["model.backend"]), usual=own, other=dict(settings)))
    return tuple(ablations)


def tuning_runs(spec: StudySpec, tuned: Settings) -> dict[str, list[AblationRun]]:
    """Return for each ablation that is to be tuned one run for each candidate, the study's own settings first.

    They have the seed of the search. Where the test reviews are a file of their own, they also have another cut of
    the training file, so that few reviews judge both which candidate is best and how good it is. Where they are not,
    another cut would train on test reviews.
    """
    asked = spec.ablations
    if asked is None:
        return {}
    usual = _usual(spec, tuned)
    data = spec.config(asked.model, asked.settings, spec.seed).data
    another = (data.split_seed + 1) % (LARGEST_SEED + 1)
    cut: Settings = {"data.split_seed": another} if data.test_name is not None else {}
    return {
        name: [AblationRun("tuning", (name,), settings, spec.config(asked.model, {**tuned, **settings}, spec.seed),
                           candidate)
               for candidate in other.candidates(usual) for settings in [{**asked.settings, **cut, **candidate}]]
        for name, other in asked.other.items() if other.tune}


def ablation_runs(spec: StudySpec, tuned: Settings, found: Mapping[str, Settings]) -> list[AblationRun]:
    """Return the runs of both sides of all ablations, seed by seed and the usual side first.

    Args:
        spec: the study.
        tuned: what its search has found for the ablations' model.
        found: ablation -> the best of the candidates that were tried for it, empty where none ended well; the
            other side of one that is to be tuned and is not here is not among the runs yet.
    """
    asked = spec.ablations
    if asked is None:
        return []
    ablations = ablations_of(spec, tuned, found)
    waiting = {name for name, other in asked.other.items() if other.tune and name not in found}
    sides: list[tuple[Side, tuple[str, ...], Settings, Settings]] = [
        ("other", (ablation.name,), {**asked.settings, **ablation.other}, ablation.other if ablation.tuned else {})
        for ablation in ablations if ablation.other != ablation.usual]
    if sides or waiting:
        known = waiting | {ablation.name for ablation in ablations}  # the same before and after tuning
        sides.insert(0, ("usual", tuple(name for name in asked.other if name in known), dict(asked.settings), {}))
    return [
        AblationRun(side, names, settings, spec.config(asked.model, {**tuned, **settings}, seed), candidate)
        for seed in spec.ablation_seeds for side, names, settings, candidate in sides]


def _usual(spec: StudySpec, tuned: Settings) -> dict[str, Scalar]:
    """Return all settings of the study's own side."""
    assert spec.ablations is not None
    return flat(spec.config(spec.ablations.model, {**tuned, **spec.ablations.settings}, 0))
