"""Trials: pieces of work that are done once, each by one of the processes that share a study.

A trial is asked for, belongs to the process that does it, and ends: complete, pruned or failed. If it is interrupted, a
new trial retries it. The trials of a search have settings that Optuna proposes. Planned work (baselines and
confirmation runs) is part of the study's record. There each trial has a key, such as `torch confirm 3fa9 10000`, and
the latest trial of a key counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import fields, replace

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from gru_bench.sweep.sharing.leases import Lease
from gru_bench.sweep.sharing.work import StoredState, StoredTrial, TrialNotes, is_free, latest_trials

MOST_ATTEMPTS = 4
"""Most attempts at work whose process dies."""
EPOCH = "epoch "
"""Prefix of the attributes of a trial that hold its score after each epoch. Optuna's own values are of checks."""
_NAMES = frozenset(one.name for one in fields(TrialNotes))


class Trials:
    """The trials of one Optuna study, used by one process beside others."""

    def __init__(
        self, study: optuna.Study, lock: AbstractContextManager[object], lease: Lease,
        space: Mapping[str, BaseDistribution] | None = None,
    ) -> None:
        """Use the trials of a study.

        Args:
            study: The Optuna study.
            lock: Reentrant lock under which trials begin and end.
            lease: Lease of this process, which shows what other processes are alive.
            space: Setting -> its distribution. A trial without one of these settings is never queued again.
        """
        self.study, self.lock, self.lease, self.space = study, lock, lease, dict(space or {})
        self._finished: dict[int, StoredTrial] = {}
        """Number -> trial, of those that Optuna lets nobody change any more."""

    @property
    def stored(self) -> list[StoredTrial]:
        """All trials as records."""
        return [self._finished.get(trial.number) or self._stored(trial)
                for trial in self.study.get_trials(deepcopy=False)]

    def _stored(self, trial: FrozenTrial) -> StoredTrial:
        found = stored(trial)
        if trial.state.is_finished():
            self._finished[trial.number] = found
        return found

    def orphans(self, trials: Iterable[StoredTrial] | None = None) -> list[int]:
        """Return the numbers of the running trials whose start is dead.

        Args:
            trials: The trials, where they have just been read. None reads them, which is reliable while the lock is
                held.
        """
        running = [trial for trial in (self.stored if trials is None else trials) if trial.state == "running"]
        dead = self.lease.dead({trial.owner for trial in running})
        # A trial without an owner: its process died between beginning the trial and writing the owner.
        return [trial.number for trial in running if not trial.owner or trial.owner in dead]

    def note_run(self, number: int, run_id: str) -> None:
        """Note the run of a trial; nothing happens if another start has the trial by now."""
        with self.lock, suppress(UpdateFinishedTrialError):
            self._note(number, TrialNotes(run_id=run_id))

    def run_id(self, number: int) -> str:
        """Return the id of the latest run of a trial; empty if it has none."""
        return stored(self._trial(number)).run_id

    def report(self, number: int, epoch: int, score: float) -> bool:
        """Note the score of a trial after an epoch; return False if another start has the trial by now."""
        try:
            self.study._storage.set_trial_user_attr(self._id(number), f"{EPOCH}{epoch}", score)
        except UpdateFinishedTrialError:
            return False
        return True

    def complete(self, number: int, value: float, log: Callable[[], None] = lambda: None) -> bool:
        """End a trial with its objective value; return False if another start has the trial by now.

        Args:
            number: Number of the trial.
            value: The value.
            log: Marks its run as complete. It is called first, unless another start has the trial: so a trial that has
                ended has a complete run, and only its own.
        """
        return self._end(number, TrialState.COMPLETE, float(value), log=log)

    def close(self, number: int, run_id: str, log: Callable[[], None]) -> None:
        """Close a run that its start gives up, unless another start has adopted it: then the trial has ended with it.

        Args:
            number: Number of the trial.
            run_id: Id of the run.
            log: Closes it.
        """
        with self.lock:
            trial = stored(self._trial(number))
            if trial.state not in ("complete", "pruned") or trial.run_id != run_id:
                log()

    def fail(self, number: int, reason: str) -> bool:
        """End a trial that failed by its own fault; return False if another process has the trial by now."""
        return self._end(number, TrialState.FAIL, notes=TrialNotes(failed_at=self.lease.starts, reason=reason))

    def give_up(self, number: int, reason: str, *, fault: bool = True) -> bool:
        """End a trial that was interrupted and queue it again; return False if it was tried too often.

        Args:
            number: Number of the trial.
            reason: Why it was interrupted.
            fault: Whether its process has died, of which the trial itself may be the cause. Only this counts as one of
                its attempts.
        """
        with self.lock:
            trial = self._trial(number)
            known = stored(trial)
            attempt = known.attempt + fault
            again = attempt <= MOST_ATTEMPTS
            if trial.state != TrialState.RUNNING:
                return again
            settings = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
            # The trial is queued first and ended second: if this process dies in between, another one repeats both.
            if again and settings.keys() == self.space.keys() and not self._is_retried(number):
                self.study.enqueue_trial(settings, user_attrs=TrialNotes(
                    key=known.key, retry_of=number, attempt=attempt).written())
            if again:
                self._end(number, TrialState.FAIL, notes=TrialNotes(reason=reason))
            else:
                self.fail(number, reason)
            return again

    def take(self, key: str) -> int | None:
        """Begin planned work; return the number of its trial, or None if it is not free."""
        with self.lock:
            known = self.latest().get(key)
            if not is_free(known, self.lease.start):
                return None
            if known is not None and known.state == "waiting":
                return known.number if self._continue(known.number) else None
            begun = self._begin(TrialNotes(key=key, retry_of=None if known is None else known.number))
            return self.study._storage.get_trial(begun).number

    def reopen(self, key: str, run_id: str) -> None:
        """Queue planned work again that is done, but whose run was deleted in the tracking store."""
        with self.lock:
            known = self.latest().get(key)
            if known is not None and known.state == "complete" and known.run_id == run_id:
                self.study.enqueue_trial({}, user_attrs=TrialNotes(key=key, retry_of=known.number).written())

    def latest(self) -> dict[str, StoredTrial]:
        """Return key -> its latest trial, for all planned work that has begun."""
        return latest_trials(self.stored)

    def _is_retried(self, number: int) -> bool:
        return any(trial.retry_of == number for trial in self.stored)

    def _end(
        self, number: int, state: TrialState, value: float | None = None, notes: TrialNotes = TrialNotes(),
        log: Callable[[], None] = lambda: None,
    ) -> bool:
        with self.lock:
            if self._trial(number).state != TrialState.RUNNING:
                return False
            log()
            self._note(number, notes)
            self.study.tell(number, value, state=state)
            return True

    def _trial(self, number: int) -> FrozenTrial:
        return self.study._storage.get_trial(self._id(number))

    # Optuna has no public way to begin a trial with its attributes, or one of several that wait, to read one trial by
    # its number, or to write to a trial of another process. If _storage and _study_id change, every test of
    # tests/sweep/test_search.py fails.

    def _id(self, number: int) -> int:
        return self.study._storage.get_trial_id_from_study_id_trial_number(self.study._study_id, number)

    def _exists(self, number: int) -> bool:
        """Return whether the study has a trial of this number, without reading the others."""
        with suppress(KeyError):
            self._id(number)
            return True
        return False

    def _begin(self, notes: TrialNotes = TrialNotes()) -> int:
        """Begin a new trial of this process, in one write; return Optuna's id of it."""
        begun = create_trial(state=TrialState.RUNNING, user_attrs=replace(notes, owner=self.lease.owner).written())
        return self.study._storage.create_new_trial(self.study._study_id, begun)

    def _continue(self, number: int) -> bool:
        """Begin a trial that waits, as one of this process; return False if it does not wait any more."""
        if not self.study._storage.set_trial_state_values(self._id(number), state=TrialState.RUNNING):
            return False
        self._note(number, TrialNotes(owner=self.lease.owner))
        return True

    def _note(self, number: int, notes: TrialNotes) -> None:
        for name, value in notes.written().items():
            self.study._storage.set_trial_user_attr(self._id(number), name, value)


def trials_of(study: optuna.Study) -> list[StoredTrial]:
    """Return all trials of a study."""
    return list(map(stored, study.get_trials(deepcopy=False)))


def stored(trial: FrozenTrial) -> StoredTrial:
    """Return a trial of Optuna's as a record."""
    notes = {name: value for name, value in trial.user_attrs.items() if name in _NAMES}
    return StoredTrial(
        trial.number, state_of(trial), dict(trial.params),
        value=trial.value if trial.state == TrialState.COMPLETE else None, **notes)


def state_of(trial: FrozenTrial) -> StoredState:
    """Return the state of a trial of Optuna's, which has one name there for all that failed."""
    match trial.state:
        case TrialState.COMPLETE:
            return "complete"
        case TrialState.PRUNED:
            return "pruned"
        case TrialState.RUNNING:
            return "running"
        case TrialState.WAITING:
            return "waiting"
    return "failed" if "failed_at" in trial.user_attrs else "interrupted"
