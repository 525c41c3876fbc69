"""The runs that follow a search: confirmation runs, and the runs of the ablations.

Each side of an ablation is trained once per seed, even if several ablations share it. If the other side is tuned, each
candidate is trained once first, and the best candidate becomes the other side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gru_bench.config import LARGEST_SEED, RunConfig, Scalar, flat
from gru_bench.results.runs import Ablation
from gru_bench.sweep.sharing.trials import digest, run_key
from gru_bench.sweep.spec import StudySpec

Side = Literal["usual", "other", "tuning"]
Settings = Mapping[str, Scalar]


@dataclass(frozen=True)
class PlannedRun:
    """A confirm or ablation run that is to be trained once the search has ended."""

    config: RunConfig
    settings: Settings
    """Settings that differ from the study's own; their digest identifies the run."""
    side: Side | Literal[""] = ""
    """Side of the ablation; empty for a confirmation run."""
    ablations: tuple[str, ...] = ()
    """Names of the ablations that the run belongs to."""
    candidate: Settings = field(default_factory=dict)
    """Candidate settings of a tuned ablation; empty for all other runs."""

    @property
    def role(self) -> Literal["confirm", "ablation"]:
        """Role of the run."""
        return "ablation" if self.side else "confirm"

    @property
    def name(self) -> str:
        """Name of an ablation run: `usual`, or the name of the ablation followed by the values of the candidate."""
        return self.side if self.side in ("", "usual") else " ".join(
            map(str, (self.ablations[0], *self.candidate.values())))

    @property
    def key(self) -> str:
        """Key of the run's trial."""
        return run_key(self.config.model.name, self.role, digest(self.settings), self.config.seed, self.side)

    @property
    def rank(self) -> tuple[bool, int, float]:
        """Sort key: confirmation runs first, seed by seed, and within a seed the longest run first.

        Long runs begin early so that none is left running alone at the end.
        """
        return (self.role == "ablation", self.config.seed, -_step_cost(self.config) if self.role == "confirm" else 0.0)

    @property
    def tags(self) -> dict[str, str]:
        """Tags to log with the run."""
        if self.role == "confirm":
            return {}
        return {"gru_bench.side": self.side, "gru_bench.ablation": ",".join(self.ablations)}


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


def tuning_runs(spec: StudySpec, tuned: Settings) -> dict[str, list[PlannedRun]]:
    """Return the tuning runs: ablation -> one run per candidate, the study's own settings first.

    The runs have the seed of the search. If the test texts are in a file of their own, the runs also split the
    training file differently, so that few texts serve both to choose a candidate and to score it. Otherwise another
    split would train on test texts.
    """
    asked = spec.ablations
    if asked is None:
        return {}
    usual = _usual(spec, tuned)
    data = spec.config(asked.model, asked.settings, spec.seed).data
    another = (data.split_seed + 1) % (LARGEST_SEED + 1)
    cut: Settings = {"data.split_seed": another} if data.test_name is not None else {}
    return {
        name: [PlannedRun(spec.config(asked.model, {**tuned, **settings}, spec.seed), settings, "tuning", (name,),
                          candidate)
               for candidate in other.candidates(usual) for settings in [{**asked.settings, **cut, **candidate}]]
        for name, other in asked.other.items() if other.tune}


def ablation_runs(spec: StudySpec, tuned: Settings, found: Mapping[str, Settings]) -> list[PlannedRun]:
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
        PlannedRun(spec.config(asked.model, {**tuned, **settings}, seed), settings, side, names, candidate)
        for seed in spec.ablation_seeds for side, names, settings, candidate in sides]


def _usual(spec: StudySpec, tuned: Settings) -> dict[str, Scalar]:
    assert spec.ablations is not None
    return flat(spec.config(spec.ablations.model, {**tuned, **spec.ablations.settings}, 0))


def _step_cost(config: RunConfig) -> float:
    """Return the approximate cost of a training step, relative to one direction on the fused backend.

    It only orders the runs. `auto` counts as fused: this process does not know which backend a worker will take.
    """
    backends = {"auto": 1, "fused": 1, "torch": 8, "reference": 18}
    return backends[config.model.backend] * config.model.directions * config.model.layers * config.model.hidden_size
