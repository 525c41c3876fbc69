"""The plan: what a start of a study does next.

It is a pure function. A `StudyState` is what was read of the study at one moment; `next_work` names the work that
follows from it. Trials come first. The confirmation runs are planned once a search is over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from gru_bench.config import RunConfig, Scalar
from gru_bench.results.baselines import baseline_names
from gru_bench.sweep.sharing.work import StoredTrial, baseline_key, digest, is_free, run_key
from gru_bench.sweep.spec import StudySpec

Role = Literal["trial", "confirm"]


@dataclass(frozen=True)
class SearchState:
    """The search of one model, over all processes; empty if it has not begun."""

    trials: tuple[StoredTrial, ...] = ()
    exhausted: bool = False
    """Whether no point of the space is left to try."""
    best: StoredTrial | None = None
    """The best complete trial."""
    identity: Mapping[str, Any] = field(default_factory=dict)
    """Settings that it began with; `data` is the fingerprint of its data."""
    asked: int = 0
    """The most trials that a start has asked for."""
    searched_elsewhere: bool = False
    """Whether another process that lives may ask for more trials."""

    @cached_property
    def ended(self) -> int:
        """Number of trials that have ended and are not repeated."""
        return sum(trial.ended for trial in self.trials)

    @cached_property
    def running(self) -> int:
        """Number of trials that are running."""
        return sum(trial.state == "running" for trial in self.trials)

    @cached_property
    def counted(self) -> int:
        """Number of trials that have ended or are running."""
        return sum(trial.counts for trial in self.trials)


@dataclass(frozen=True)
class PlannedRun:
    """A confirmation run that is to be trained once the search has ended."""

    config: RunConfig
    settings: Mapping[str, Scalar]
    """Settings that differ from the study's own; their digest identifies the run."""

    @property
    def key(self) -> str:
        """Key of the run's trial."""
        return run_key(self.config.model.name, digest(self.settings), self.config.seed)

    @property
    def rank(self) -> tuple[int, float]:
        """Sort key: seed by seed, and within a seed the longest run first.

        Long runs begin early so that none is left running alone at the end.
        """
        return self.config.seed, -_step_cost(self.config)


@dataclass(frozen=True)
class ModelPlan:
    """What follows from the results of one model so far."""

    tuned: Mapping[str, Scalar] | None = None
    """The settings to confirm; None while the search goes on."""
    runs: tuple[PlannedRun, ...] = ()
    """The confirmation runs, whichever process trains them."""


@dataclass(frozen=True)
class StudyState:
    """A study as one of its starts has read it, at one moment, or as the last one has left it."""

    spec: StudySpec
    searches: Mapping[str, SearchState]
    """Model -> its search."""
    work: Mapping[str, StoredTrial]
    """Key -> the latest trial of the baselines and planned runs that have begun."""
    start: int = 1
    """Number of the start."""
    began: Sequence[str] = ()
    """The models with which it began; empty before."""
    baselines: Sequence[str] = field(default_factory=baseline_names)
    """The baselines with which it began. Before: those that there are now."""
    in_time: bool = True
    """Whether this start may begin new trials."""
    texts: bool = False
    """Whether the study stores texts."""
    run_id: str = ""
    """Id of the study's own run; empty before it begins."""
    logged_to: str = ""
    """URI of the tracking store that has the study's own run; empty until that is known."""

    @cached_property
    def plans(self) -> Mapping[str, ModelPlan]:
        """Model -> what follows from its results."""
        return {model: _plan(self, model) for model in self.searches}

    @property
    def best_values(self) -> dict[str, float]:
        """Model -> objective value of its best trial, for the models that have a complete one."""
        return {model: search.best.value for model, search in self.searches.items()
                if search.best is not None and search.best.value is not None}

    def confirmed(self, model: str) -> dict[int, StoredTrial]:
        """Return confirmation seed -> the trial of its complete run, from all processes."""
        found = {run.config.seed: self.work.get(run.key) for run in self.plans[model].runs}
        return {seed: trial for seed, trial in found.items() if trial is not None and trial.state == "complete"}

    def free(self, runs: Iterable[PlannedRun]) -> list[PlannedRun]:
        """Return the planned runs that no process has begun, or that are to be done again."""
        return [run for run in runs if is_free(self.work.get(run.key), self.start)]

    def is_open(self, model: str) -> bool:
        """Return whether a model is still to be searched, or one of its planned runs has not ended."""
        plan = self.plans[model]
        return plan.tuned is None or any(not self.has_ended(run.key) for run in plan.runs)

    def has_ended(self, key: str) -> bool:
        """Return whether planned work has ended: no process works on it, and this start does not begin it."""
        trial = self.work.get(key)
        return not is_free(trial, self.start) and trial is not None and trial.state != "running"

    @property
    def free_baselines(self) -> list[str]:
        """The baselines that no process has begun to fit, or that are to be fitted again."""
        return [name for name in self.baselines if is_free(self.work.get(baseline_key(name)), self.start)]

    @property
    def is_complete(self) -> bool:
        """Whether all trials, planned runs and baselines of the study have ended."""
        return not any(map(self.is_open, self.searches)) and all(
            self.has_ended(baseline_key(name)) for name in self.baselines)


@dataclass(frozen=True)
class FitBaselines:
    """Fit the baselines that no process has begun to fit."""


@dataclass(frozen=True)
class AskTrial:
    """Ask the search of a model for a trial, and train it."""

    model: str


@dataclass(frozen=True)
class TrainPlanned:
    """Train a planned run."""

    run: PlannedRun


@dataclass(frozen=True)
class NothingToConfirm:
    """End with an error: a search is over, and none of its trials is complete."""

    model: str


@dataclass(frozen=True)
class Wait:
    """Begin nothing at present: runs are being trained, here or by other processes."""


Work = FitBaselines | AskTrial | TrainPlanned | NothingToConfirm | Wait


def next_work(state: StudyState) -> Work | None:
    """Return what a start of a study does next; None if nothing is left to it."""
    if state.free_baselines:
        return FitBaselines()
    for model in state.searches:
        if may_ask(state, model):
            return AskTrial(model)
    for model in state.searches:
        if _lacks_settings(state, model):
            return NothingToConfirm(model)
    free = state.free(run for plan in state.plans.values() for run in plan.runs)
    if free:
        return TrainPlanned(min(free, key=lambda run: run.rank))
    return None if state.is_complete else Wait()


def left_to_do(state: StudyState) -> Iterator[str]:
    """Yield what the next start of the same command would do, other than wait for what is running.

    Args:
        state: The study after a start.
    """
    why = "" if state.in_time else ", because the timeout ended the search"
    state = replace(state, start=state.start + 1, in_time=True)
    failed = {key for key, trial in state.work.items() if trial.state == "failed"}
    for model in state.searches:
        if may_ask(state, model):
            yield f"{model}: {state.searches[model].ended} of {state.spec.trials} trials are finished{why}"
        elif _lacks_settings(state, model):
            yield f"{model}: no trial is complete, so there is nothing to confirm"
        seeds: dict[str, list[int]] = {}
        for run in state.free(state.plans[model].runs):
            seeds.setdefault("failed" if run.key in failed else "not done", []).append(run.config.seed)
        yield from (f"{model}: confirmation seed {', '.join(map(str, found))} {how}" for how, found in seeds.items())
    for name in state.free_baselines:
        yield f"the baseline {name} {'failed' if baseline_key(name) in failed else 'is not done'}"


def may_ask(state: StudyState, model: str) -> bool:
    """Return whether this start may ask for a trial of a model now."""
    search = state.searches[model]
    return search.counted < state.spec.trials and not search.exhausted and _is_searched(state, model)


def how_far(state: StudyState, again: str) -> str:
    """Return how far a study is after a start, and what continues it, such as the same command."""
    left = "; ".join(left_to_do(state))
    return f"not done yet ({left}): {again} continues it" if left else "done"


def to_begin(state: StudyState) -> Counter[tuple[str, str]]:
    """Return model and role -> number of runs that no process has begun."""
    counts = Counter[tuple[str, str]]()
    for model, plan in state.plans.items():
        if plan.tuned is None:
            left = state.spec.trials - state.searches[model].counted
            counts[model, "trial"] += max(0, left) if _is_searched(state, model) else 0
            counts[model, "confirm"] += len(state.spec.confirm_seeds)
        else:
            counts[model, "confirm"] += len(state.free(plan.runs))
    return counts


def _is_searched(state: StudyState, model: str) -> bool:
    """Return whether trials of a model may still begin, if any are left."""
    # A first trial always runs, even after the time limit: without one there is nothing to confirm.
    return state.in_time or state.searches[model].counted == 0


def _is_over(state: StudyState, model: str) -> bool:
    """Return whether no trial is running and no process may ask for another one."""
    search = state.searches[model]
    return not (may_ask(state, model) or search.running or search.searched_elsewhere)


def _lacks_settings(state: StudyState, model: str) -> bool:
    """Return whether the search of a model is over, and none of its trials is complete."""
    return state.plans[model].tuned is None and _is_over(state, model)


def _plan(state: StudyState, model: str) -> ModelPlan:
    spec, search = state.spec, state.searches[model]
    if (search.best is None and spec.trials) or not _is_over(state, model):
        return ModelPlan()
    tuned = {} if search.best is None else search.best.settings
    return ModelPlan(tuned, tuple(PlannedRun(spec.config(model, tuned, seed), tuned) for seed in spec.confirm_seeds))


def _step_cost(config: RunConfig) -> float:
    """Return the approximate cost of a training step, relative to one direction on the fused backend.

    It only orders the runs. `auto` counts as fused: this process does not know which backend a worker will take.
    """
    backends = {"auto": 1, "fused": 1, "torch": 8, "reference": 18}
    return backends[config.model.backend] * config.model.directions * config.model.layers * config.model.hidden_size
