"""The planner decides which run to train next: first the trials of the searches, then confirm and ablation runs.

Confirm runs and ablation runs are planned once a search has ended. Each of them is a trial too, which one of the
processes that work on the study takes. In a study with looks, the confirm runs of a look are planned once the look
before has been taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from gru_bench.config import RunConfig, Scalar
from gru_bench.errors import RunError, named
from gru_bench.sweep.ablations import PlannedRun, ablation_runs, tuning_runs
from gru_bench.sweep.search import Search
from gru_bench.sweep.sharing.leases import this_process
from gru_bench.sweep.sharing.trials import StoredTrial, Trials
from gru_bench.sweep.study import StudyRecord

Role = Literal["trial", "confirm", "ablation"]


@dataclass
class ModelState:
    """Progress of one model in the study."""

    model: str
    search: Search
    work: Trials
    """The planned work of the study."""
    tuned: dict[str, Scalar] | None = None
    """The settings to confirm; None while the search goes on."""
    planned: list[PlannedRun] = field(default_factory=list)
    """The runs that follow the search, whichever process trains them."""
    tuning: dict[str, list[PlannedRun]] = field(default_factory=dict)
    """Ablation -> the tuning runs that decide on its other side."""
    chosen: dict[str, Mapping[str, Scalar]] = field(default_factory=dict)
    """Ablation -> the best candidate, once all its tuning runs have ended; empty where all of them failed."""
    between_seeds: list[NextRun] = field(default_factory=list)
    """Trials of this process that have finished one seed and wait for the next."""
    failed_in_row: int = 0
    """How many trials have failed since one ended well."""

    @property
    def undecided(self) -> set[str]:
        """Names of the ablations whose tuning has not ended."""
        return self.tuning.keys() - self.chosen.keys()

    @property
    def unconfirmed(self) -> int:
        """Number of confirm seeds that no process has begun."""
        return len(self.work.available(run.key for run in self.planned if run.role == "confirm"))

    @property
    def failed(self) -> list[str]:
        """Keys of the planned runs that failed."""
        latest = self.work.latest()
        return [run.key for run in self.planned if run.key in latest and latest[run.key].state == "failed"]

    @property
    def confirmed(self) -> list[str]:
        """Run ids of the confirm seeds that are done, in the order of the seeds, from all processes."""
        return [trial.run_id for trial in self._confirmed]

    @property
    def confirmed_seeds(self) -> dict[int, str]:
        """Confirm seed -> the id of its complete run, from all processes."""
        latest = self.work.latest()
        return {run.config.seed: latest[run.key].run_id for run in self.planned
                if run.role == "confirm" and run.key in latest and latest[run.key].state == "complete"}

    @property
    def confirmed_elsewhere(self) -> list[str]:
        """Run ids of the confirm seeds that other processes have done."""
        return [trial.run_id for trial in self._confirmed if trial.owner != this_process()]

    @property
    def _confirmed(self) -> list[StoredTrial]:
        latest = self.work.latest()
        found = [latest.get(run.key) for run in self.planned if run.role == "confirm"]
        return [trial for trial in found if trial is not None and trial.state == "complete"]


@dataclass(frozen=True)
class NextRun:
    """The next run to train: a trial of the search (or one seed of it), or a planned run."""

    state: ModelState
    role: Role
    config: RunConfig
    settings: Mapping[str, Scalar]
    label: str
    """Name under which the run is shown."""
    trials: Trials
    """The trials that its trial is one of: those of the search, or the planned runs."""
    number: int
    """Number of its trial."""
    tags: Mapping[str, str]
    seeds_done: tuple[float, ...] = ()
    """Validation accuracy of each seed of the trial trained so far; empty in a study of one seed per trial."""

    @property
    def key(self) -> str:
        """Its Optuna study and the number of its trial, by which it is told from the other runs that are trained."""
        return f"{self.trials.study.study_name} {self.number}"


class Planner:
    """Decides what one process trains next. Each process that works on the study has its own planner."""

    def __init__(
        self, record: StudyRecord, in_time: Callable[[], bool], search_ended: Callable[[ModelState], None],
        planned: Callable[[ModelState], None], look: Callable[[int], None] | None = None,
    ) -> None:
        """Begin with the searches.

        Args:
            record: The record of the study.
            in_time: Returns whether new trials may begin.
            search_ended: Called when a search has ended and the runs that follow it are planned.
            planned: Called after planning, before any of the planned runs begins.
            look: Takes the look of a place in the plan, from 0, unless another process has. Called when all runs that
                it rests on have ended.
        """
        self.record, self.looks, self._look, spec = record, record.looks, look, record.spec
        self.spec, self._in_time, self._search_ended, self._planned = spec, in_time, search_ended, planned
        self.states = [ModelState(model, record.searches[model], record.work) for model in spec.models]
        """The models of the study, also those that this start does not work on."""
        self._ablations: dict[str, int] = {}
        """Model -> expected number of its ablation runs, if every tuned ablation finds another side to compare."""
        if spec.ablations is not None:
            tuning = tuning_runs(spec, {})
            self._ablations[spec.ablations.model] = sum(
                len(runs) + spec.ablations.seeds for runs in tuning.values()) + len(ablation_runs(spec, {}, {}))

    @property
    def active(self) -> list[ModelState]:
        """The models that this start works on."""
        return [state for state in self.states if state.model in self.spec.active_models]

    @property
    def others(self) -> list[ModelState]:
        """The models of the study that this start does not work on."""
        return [state for state in self.states if state.model not in self.spec.active_models]

    def join(self) -> None:
        """Add the models that another start has added to the study, with their searches."""
        self.record.join()
        self.spec = self.record.spec
        known = {state.model: state for state in self.states}
        self.states = [known.get(model) or ModelState(model, self.record.searches[model], self.record.work)
                       for model in self.spec.models]

    def next(self) -> NextRun | None:
        """Return the next run to begin, or None if there is none at present.

        Raises:
            RunError: A search has ended without a complete trial.
        """
        for state in self.active:
            if (work := self._trial(state)) is not None:
                return work
        self.update()
        return self._planned_run()

    def update(self) -> None:
        """End the searches that are over, and plan the runs that follow from all results so far.

        Raises:
            RunError: A search has ended without a complete trial.
        """
        for state in self.active:
            if state.tuned is None and self._is_over(state):
                self._end(state)
        self.read_others()
        self.choose_candidates()
        self._look_if_due()

    def read_others(self) -> None:
        """Read how far the models are that this start does not work on, and what is planned for them."""
        for state in self.others:
            tuned = None
            if self._is_over(state):
                best = state.search.best()
                tuned = dict(best[0]) if best is not None else None if self.spec.trials else {}
            if tuned != state.tuned:
                state.planned, state.tuning, state.chosen = [], {}, {}
                self._tune(state, tuned)

    def _look_if_due(self) -> None:
        """Take the next look once all confirm runs that it rests on have ended, then plan those of the one after.

        Another process may take a look at any time, so the runs are planned anew before it is asked what is left.
        """
        if self.looks is None or self._look is None or any(state.tuned is None for state in self.states):
            return
        while True:
            due = len(self.looks.taken)  # read first: where a look is taken from here on, `_look` takes none
            for state in self.states:
                assert state.tuned is not None
                if {run.config.seed for run in state.planned if run.role == "confirm"} != set(
                        self.confirm_seeds(state.model)):
                    self._plan(state, state.tuned)
            if self.looks.ended or any(self._unfinished_seeds(state) for state in self.states):
                return
            self._look(due)

    def _unfinished_seeds(self, state: ModelState) -> bool:
        return bool(self.record.work.unfinished(run.key for run in state.planned if run.role == "confirm"))

    def confirm_seeds(self, model: str) -> tuple[int, ...]:
        """Return the confirm seeds of a model, as far as they are to be trained by now."""
        return self.spec.confirm_seeds if self.looks is None else self.looks.seeds(model)

    @property
    def is_done(self) -> bool:
        """Whether all trials and planned runs of the models of this start have ended, in all processes."""
        return not any(map(self._is_open, self.active)) and not self._awaits_look()

    @property
    def is_complete(self) -> bool:
        """Whether all trials and planned runs of the study have ended, also those of models of other starts."""
        return (self.looks is None or self.looks.ended) and not any(map(self._is_open, self.states))

    @property
    def unfinished(self) -> list[str]:
        """The models of other starts that are still to be searched or confirmed."""
        return [state.model for state in self.others if self._is_open(state)]

    def _is_open(self, state: ModelState) -> bool:
        return bool(state.tuned is None or state.undecided
                    or self.record.work.unfinished(run.key for run in state.planned))

    def _awaits_look(self) -> bool:
        """Return whether a look is due, or will be because other processes train all the runs that it waits for."""
        if self.looks is None or self.looks.ended:
            return False
        return all(self.record.lease.has_others(working=state.model) for state in self.others if self._is_open(state))

    def to_begin(self) -> dict[str, int]:
        """Return role -> number of runs that no process has begun."""
        counts = {"trial": 0, "confirm": 0, "ablation": 0}
        for state in self.active:
            if state.tuned is None:
                counts["trial"] += max(0, self.spec.trials - state.search.counted) if self._may_ask(state) else 0
                counts["confirm"] += len(self.confirm_seeds(state.model))
                counts["ablation"] += self._ablations.get(state.model, 0)
            else:
                free = set(self.record.work.available(run.key for run in state.planned))
                for run in state.planned:
                    counts[run.role] += run.key in free
                # Most likely each of them will add the runs of one other side.
                counts["ablation"] += len(state.undecided) * len(self.spec.ablation_seeds)
        return counts

    def _may_ask(self, state: ModelState) -> bool:
        if self.looks is not None and self.looks.taken:
            return False  # settings may not change once test results were seen
        # A first trial always runs, even after the time limit: without one there is nothing to confirm.
        return self._in_time() or state.search.counted == 0 or state.model not in self.spec.active_models

    def _trial(self, state: ModelState) -> NextRun | None:
        if state.between_seeds:
            run = state.between_seeds.pop(0)
            return self._seed_of(state, run.number, run.settings, run.seeds_done)
        if state.tuned is None and self._may_ask(state) and (asked := state.search.ask()) is not None:
            return self._seed_of(state, *asked, self._earlier_seeds(state.search, asked[0]))
        return None

    def _seed_of(
        self, state: ModelState, number: int, settings: Mapping[str, Scalar], done: tuple[float, ...]
    ) -> NextRun:
        """Return the run of a trial on its next seed."""
        # A search compares settings, so it saves the time of teachers.
        config = self.spec.config(
            state.model, {**settings, "training.teachers": 0}, self.spec.search_seeds[len(done)])
        label = f"{state.model} trial {number}"
        if self.spec.seeds_per_trial > 1:
            label += f" seed {config.seed}"
        return NextRun(state, "trial", config, settings, label, state.search, number,
                       {"gru_bench.trial": str(number)}, done)

    def _earlier_seeds(self, search: Search, number: int) -> tuple[float, ...]:
        """Return the values of the seeds that an earlier try of a trial finished, and report them again.

        At most all seeds but one are taken over, so that the trial still ends in this process.
        """
        if self.spec.seeds_per_trial == 1:
            return ()
        done = tuple(search.seeds_done(number)[:self.spec.seeds_per_trial - 1])
        for place, value in enumerate(done):
            search.report(number, place, value)
        return done

    def _is_over(self, state: ModelState) -> bool:
        """Return whether no trial is running and no process may ask for another one."""
        search = state.search
        if search.counted < self.spec.trials and self._may_ask(state) and not search.exhausted:
            return False
        search.lease.stop_searching(state.model)
        return not search.running and not search.lease.has_others(searching=state.model)

    def _end(self, state: ModelState) -> None:
        best = state.search.best()
        if self.spec.trials and best is None:
            failed = (trial for trial in state.search.trials() if trial.state == "failed")
            reasons = sorted({trial.reason for trial in failed if trial.reason})
            raise RunError(f"a search must have a complete trial to confirm, but {state.model} has none: "
                           f"{'; '.join(reasons) or 'all were pruned'}. Widen its space or ask for more "
                           f"{named('--trials')}")
        self._tune(state, dict(best[0]) if best is not None else {})
        self._search_ended(state)

    def _tune(self, state: ModelState, tuned: dict[str, Scalar] | None) -> None:
        """Take the settings to confirm, and plan the runs that follow from them; None while the search goes on."""
        state.tuned = tuned
        if tuned is None:
            return
        if self.spec.ablations is not None and self.spec.ablations.model == state.model:
            state.tuning = tuning_runs(self.spec, tuned)
        self._plan(state, tuned)

    def _plan(self, state: ModelState, tuned: Mapping[str, Scalar]) -> None:
        """Plan the runs that follow from the results so far; called again when there are more results."""
        state.planned = [PlannedRun(self.spec.config(state.model, tuned, seed), tuned)
                         for seed in self.confirm_seeds(state.model)]
        if self.spec.ablations is not None and self.spec.ablations.model == state.model:
            runs = ablation_runs(self.spec, tuned, state.chosen)
            state.planned += _merged([*(run for tuning in state.tuning.values() for run in tuning), *runs])
        if state.model in self.spec.active_models:  # the runs of other models are tagged by the starts that train them
            self._planned(state)

    def choose_candidates(self) -> None:
        """Choose the other side of each ablation whose tuning runs have ended, and plan its runs."""
        for state in self.states:
            self._choose_candidates(state)

    def _choose_candidates(self, state: ModelState) -> None:
        """Choose the best candidate of each ablation whose tuning runs have all ended; the first among equals.

        A later start may retry failed tuning runs. The ablation is then undecided again.
        """
        trials = self.record.work
        found: dict[str, Mapping[str, Scalar]] = {}
        for name, runs in state.tuning.items():
            if trials.unfinished(run.key for run in runs):
                continue
            latest = trials.latest()
            reached = {run.key: value for run in runs if (value := latest[run.key].value) is not None}
            best = max((run for run in runs if run.key in reached), key=lambda run: reached[run.key], default=None)
            found[name] = best.candidate if best is not None else {}
        if found != state.chosen:
            assert state.tuned is not None
            state.chosen = found
            self._plan(state, state.tuned)

    def _planned_run(self) -> NextRun | None:
        """Take the first planned run that is free, and return it."""
        free: list[tuple[PlannedRun, ModelState]] = []
        for state in self.active:
            keys = set(self.record.work.available(run.key for run in state.planned))
            free += ((run, state) for run in state.planned if run.key in keys)
        for run, state in sorted(free, key=lambda pair: pair[0].rank):
            if (number := self.record.work.take(run.key)) is not None:
                label = " ".join(filter(None, (state.model, run.name, f"seed {run.config.seed}")))
                return NextRun(state, run.role, run.config, run.settings, label, self.record.work, number, run.tags)
        return None


def _merged(runs: Iterable[PlannedRun]) -> list[PlannedRun]:
    """Return the runs without repeats: a run that several ablations need is planned once, with all their names."""
    merged: dict[str, PlannedRun] = {}
    for run in runs:
        known = merged.setdefault(run.key, run)
        names = tuple(dict.fromkeys((*known.ablations, *run.ablations)))
        merged[run.key] = replace(known, ablations=names)
    return list(merged.values())
