"""What is to be done next in a study: trials while its searches go on, then the runs that follow from what they found.

Confirm runs and ablation runs are planned once a search has ended, and each is claimed by one of the processes that
work on the study.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from gru_bench.config import RunConfig, Scalar
from gru_bench.errors import RunError
from gru_bench.sweep.ablations import AblationRun, ablation_runs, tuning_runs
from gru_bench.sweep.search import Search
from gru_bench.sweep.sharing.claims import Claim, digest, run_key
from gru_bench.sweep.spec import StudySpec

Role = Literal["trial", "confirm", "ablation"]


@dataclass
class ModelState:
    """One model's way through the study."""

    model: str
    search: Search
    tuned: dict[str, Scalar] | None = None
    """The settings that are confirmed; None while the search goes on."""
    planned: list[Planned] = field(default_factory=list)
    """What is to be trained once the search has ended, by whichever process."""
    tuning: dict[str, list[Planned]] = field(default_factory=dict)
    """Ablation -> the tuning runs that decide on its other side."""
    found: dict[str, Mapping[str, Scalar]] = field(default_factory=dict)
    """Ablation -> what its tuning runs have found, once all have ended; empty where none ended well."""
    due: list[Trial] = field(default_factory=list)
    """Trials of this process between two of their seeds."""
    failed_in_row: int = 0

    @property
    def waiting(self) -> set[str]:
        """The ablations whose other side is not known yet."""
        return self.tuning.keys() - self.found.keys()

    @property
    def unconfirmed(self) -> int:
        """How many of the confirm seeds nobody has begun."""
        return len(self.search.claims.free(run.key for run in self.planned if run.role == "confirm"))

    @property
    def failed(self) -> list[str]:
        """The keys of the planned runs that failed."""
        claims = self.search.claims.all()
        return [run.key for run in self.planned if run.key in claims and claims[run.key].state == "failed"]

    @property
    def confirmed(self) -> list[str]:
        """The runs of the confirm seeds that are done, in the order of the seeds, whoever did them."""
        return [claim.run_id for claim in self._confirm_claims]

    @property
    def confirmed_elsewhere(self) -> list[str]:
        """Those of them that other processes did."""
        return [claim.run_id for claim in self._confirm_claims if not self.search.claims.is_ours(claim)]

    @property
    def _confirm_claims(self) -> list[Claim]:
        claims = [self.search.claims.get(run.key) for run in self.planned if run.role == "confirm"]
        return [claim for claim in claims if claim is not None and claim.state == "done"]


@dataclass(frozen=True)
class Trial:
    """A trial under way in this process."""

    number: int
    settings: Mapping[str, Scalar]
    seeds_done: tuple[float, ...] = ()
    """Validation accuracy of the seeds it was trained on so far; of a study of one seed a trial: empty."""


@dataclass(frozen=True)
class Planned:
    """A run other than a trial."""

    model: str
    role: Role
    config: RunConfig
    settings: Mapping[str, Scalar]
    """In which it differs from the study's own; by these it is found again."""
    name: str = ""
    """The ablation run's."""
    side: str = ""
    ablations: tuple[str, ...] = ()
    candidate: Mapping[str, Scalar] = field(default_factory=dict)
    """What it tries, where its ablation is tuned."""

    @property
    def key(self) -> str:
        """By which it is claimed."""
        return run_key(self.role, digest(self.settings), self.config.seed, self.side)

    @property
    def rank(self) -> tuple[bool, int, float]:
        """Confirm runs first, seed by seed; of one seed the longest first, so that no worker is left with it."""
        return (self.role == "ablation", self.config.seed, -step_cost(self.config) if self.role == "confirm" else 0.0)

    @property
    def tags(self) -> dict[str, str]:
        """To log with it."""
        if self.role != "ablation":
            return {}
        return {"gru_bench.side": self.side, "gru_bench.ablation": ",".join(self.ablations)}


@dataclass(frozen=True)
class Work:
    """A run to begin: one of a trial, or a planned one that this process has claimed."""

    state: ModelState
    role: Role
    config: RunConfig
    settings: Mapping[str, Scalar]
    label: str
    """Under which it is shown."""
    trial: Trial | None = None
    claim: str = ""
    """The key of a planned run."""
    tags: Mapping[str, str] = field(default_factory=dict)


class Planner:
    """What one process does next; the others that work on the study have agendas of their own."""

    def __init__(
        self, spec: StudySpec, searches: Mapping[str, Search], in_time: Callable[[], bool],
        search_ended: Callable[[ModelState], None], planned: Callable[[ModelState], None],
    ) -> None:
        """Begin with the searches.

        Args:
            spec: the study.
            searches: one by model.
            in_time: whether new trials may begin.
            search_ended: told of a search that has ended, once what follows from it is planned.
            planned: told of what is planned, before any of it begins.
        """
        self.spec, self._in_time, self._search_ended, self._planned = spec, in_time, search_ended, planned
        self.states = [ModelState(model, searches[model]) for model in spec.models]
        self._ablations: dict[str, int] = {}
        """Model -> runs of its ablations, where each that is to be tuned finds something to compare."""
        if spec.ablations is not None:
            tuning = tuning_runs(spec, {})
            self._ablations[spec.ablations.model] = sum(
                len(runs) + spec.ablations.seeds for runs in tuning.values()) + len(ablation_runs(spec, {}, {}))

    def next(self) -> Work | None:
        """Return the next run to begin, or None where there is none at present.

        Raises:
            RunError: where a search has ended without a complete trial.
        """
        for state in self.states:
            if (work := self._trial(state)) is not None:
                return work
        self.settle()
        return self._claimed()

    def settle(self) -> None:
        """End the searches that are over, and plan what follows from what is known by now.

        Raises:
            RunError: where a search has ended without a complete trial.
        """
        for state in self.states:
            if state.tuned is None and self._is_over(state):
                self._end(state)
        self.decide()

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to be done, by this process or by another."""
        return all(state.tuned is not None and not state.waiting
                   and not state.search.claims.open(run.key for run in state.planned) for state in self.states)

    def to_begin(self) -> dict[str, int]:
        """Return how many runs of each role nobody has begun."""
        counts = {"trial": 0, "confirm": 0, "ablation": 0}
        for state in self.states:
            if state.tuned is None:
                counts["trial"] += max(0, self.spec.trials - state.search.counted) if self._may_ask(state) else 0
                counts["confirm"] += self.spec.confirm
                counts["ablation"] += self._ablations.get(state.model, 0)
            else:
                free = set(state.search.claims.free(run.key for run in state.planned))
                for run in state.planned:
                    counts[run.role] += run.key in free
                # Their other sides, most likely.
                counts["ablation"] += len(state.waiting) * len(self.spec.ablation_seeds)
        return counts

    def _may_ask(self, state: ModelState) -> bool:
        # A first trial is always run: without one there is nothing to confirm.
        return self._in_time() or state.search.counted == 0

    def _trial(self, state: ModelState) -> Work | None:
        if state.due:
            trial = state.due.pop(0)
        elif state.tuned is None and self._may_ask(state) and (asked := state.search.ask()) is not None:
            trial = self._gone_on(state, Trial(*asked))
        else:
            return None
        config = self.spec.config(state.model, trial.settings, self.spec.search_seeds[len(trial.seeds_done)])
        label = f"{state.model} trial {trial.number}"
        if self.spec.seeds_per_trial > 1:
            label += f" seed {config.seed}"
        return Work(state, "trial", config, trial.settings, label, trial=trial,
                    tags={"gru_bench.trial": str(trial.number)})

    def _gone_on(self, state: ModelState, trial: Trial) -> Trial:
        """Let a trial that is tried again keep the seeds that were done, but for the last it may have."""
        if self.spec.seeds_per_trial == 1:
            return trial
        done = tuple(state.search.seeds_done(trial.number)[:self.spec.seeds_per_trial - 1])
        for place, value in enumerate(done):
            state.search.report(trial.number, place, value)
        return replace(trial, seeds_done=done)

    def _is_over(self, state: ModelState) -> bool:
        """Return whether no trial is under way, and nobody may ask for one any more."""
        search = state.search
        if search.counted < self.spec.trials and self._may_ask(state) and not search.exhausted:
            return False
        search.presence.stop_searching()
        return not search.running and not search.presence.others(searching=True)

    def _end(self, state: ModelState) -> None:
        best = state.search.best()
        if self.spec.trials and best is None:
            reasons = sorted({trial.reason for trial in state.search.trials() if trial.reason})
            raise RunError(f"a search must have a complete trial to confirm, but {state.model} has none: "
                           f"{'; '.join(reasons) or 'all were pruned'}. Widen its space or ask for more --trials")
        state.tuned = dict(best[0]) if best is not None else {}
        if self.spec.ablations is not None and self.spec.ablations.model == state.model:
            state.tuning = {name: [_planned(run) for run in runs]
                            for name, runs in tuning_runs(self.spec, state.tuned).items()}
        self._plan(state, state.tuned)
        self._search_ended(state)

    def _plan(self, state: ModelState, tuned: Mapping[str, Scalar]) -> None:
        """Plan what follows from what is known by now, and do again whenever more is."""
        state.planned = [Planned(state.model, "confirm", self.spec.config(state.model, tuned, seed), tuned)
                         for seed in self.spec.confirm_seeds]
        if self.spec.ablations is not None and self.spec.ablations.model == state.model:
            runs = map(_planned, ablation_runs(self.spec, tuned, state.found))
            state.planned += _joined([*(run for tuning in state.tuning.values() for run in tuning), *runs])
        self._planned(state)

    def decide(self) -> None:
        """Plan by what the tuning runs have found up to now."""
        for state in self.states:
            self._decide(state)

    def _decide(self, state: ModelState) -> None:
        """Take the best candidate of each ablation whose tuning runs have all ended; of equals the first.

        A start that begins later may try again what failed, which opens the question anew.
        """
        claims = state.search.claims
        found: dict[str, Mapping[str, Scalar]] = {}
        for name, runs in state.tuning.items():
            if claims.open(run.key for run in runs):
                continue
            reached = {run.key: claim.value for run in runs
                       if (claim := claims.get(run.key)) is not None and claim.value is not None}
            best = max((run for run in runs if run.key in reached), key=lambda run: reached[run.key], default=None)
            found[name] = best.candidate if best is not None else {}
        if found != state.found:
            assert state.tuned is not None
            state.found = found
            self._plan(state, state.tuned)

    def _claimed(self) -> Work | None:
        """Claim the first planned run that nobody has, and return it."""
        free: list[tuple[Planned, ModelState]] = []
        for state in self.states:
            keys = set(state.search.claims.free(run.key for run in state.planned))
            free += ((run, state) for run in state.planned if run.key in keys)
        for run, state in sorted(free, key=lambda pair: pair[0].rank):
            if state.search.claims.take(run.key):
                label = " ".join(filter(None, (run.model, run.name, f"seed {run.config.seed}")))
                return Work(state, run.role, run.config, run.settings, label, claim=run.key, tags=run.tags)
        return None


def _planned(run: AblationRun) -> Planned:
    return Planned(run.config.model.name, "ablation", run.config, run.settings, run.name, run.side, run.ablations,
                   run.candidate)


def _joined(runs: Iterable[Planned]) -> list[Planned]:
    """Plan a run that several ablations ask for once, as a run of them all."""
    joined: dict[str, Planned] = {}
    for run in runs:
        known = joined.setdefault(run.key, run)
        names = tuple(dict.fromkeys((*known.ablations, *run.ablations)))
        joined[run.key] = replace(known, ablations=names)
    return list(joined.values())


def step_cost(config: RunConfig) -> float:
    """Return about how long a training step takes, next to one of one direction on the fused backend."""
    backends = {"auto": 1, "fused": 1, "torch": 8, "reference": 18}
    directions = 2 if config.model.name == "bidirectional" else 1
    return backends[config.model.backend] * directions * config.model.layers * config.model.hidden_size
