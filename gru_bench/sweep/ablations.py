"""The runs of a study's ablations: each side is trained once per seed, even if several ablations share it.

If the other side is tuned, each candidate is trained once first, and the best candidate becomes the other side.
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
    """One run of an ablation."""

    side: Side
    ablations: tuple[str, ...]
    """Names of the ablations that the run belongs to."""
    settings: Settings
    """Settings that differ from a confirm run of the study."""
    config: RunConfig
    candidate: Settings
    """Candidate settings of a tuned ablation; empty on the usual side and for ablations without tuning."""

    @property
    def name(self) -> str:
        """Name of the run: `usual`, or the name of the ablation followed by the values of the candidate."""
        return "usual" if self.side == "usual" else " ".join(map(str, (self.ablations[0], *self.candidate.values())))


def ablations_of(spec: StudySpec, tuned: Settings, found: Mapping[str, Settings]) -> tuple[Ablation, ...]:
    """Return the ablations of a study, without those whose other side equals the usual one.

    Args:
        spec: The study.
        tuned: Best settings of the search of the ablations' model.
        found: Ablation -> its best candidate. An ablation whose tuning has not ended is missing here and left out.
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
    """Return the tuning runs: ablation -> one run per candidate, the study's own settings first.

    The runs have the seed of the search. If the test reviews are in a file of their own, the runs also split the
    training file differently, so that few reviews serve both to choose a candidate and to score it. Otherwise another
    split would train on test reviews.
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
    """Return the runs of both sides of all ablations, seed by seed, the usual side first.

    Args:
        spec: The study.
        tuned: Best settings of the search of the ablations' model.
        found: Ablation -> its best candidate, empty if all candidates failed. An ablation whose tuning has not ended
            is missing here, and so are the runs of its other side.
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
        known = waiting | {ablation.name for ablation in ablations}  # the same names before and after tuning
        sides.insert(0, ("usual", tuple(name for name in asked.other if name in known), dict(asked.settings), {}))
    return [
        AblationRun(side, names, settings, spec.config(asked.model, {**tuned, **settings}, seed), candidate)
        for seed in spec.ablation_seeds for side, names, settings, candidate in sides]


def _usual(spec: StudySpec, tuned: Settings) -> dict[str, Scalar]:
    """Return all settings of the usual side."""
    assert spec.ablations is not None
    return flat(spec.config(spec.ablations.model, {**tuned, **spec.ablations.settings}, 0))
