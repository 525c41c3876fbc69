"""Trials: pieces of work that are done once, each by one of the processes that share a study.

A trial is asked for, belongs to the process that does it, and ends: complete, pruned or failed. If it is interrupted, a
new trial retries it. The trials of a search have settings that Optuna proposes. Planned work (confirmation runs,
ablation runs and follow-ups) is part of the study's record. There each trial has a key, such as
`torch confirm 3fa9 10000`, and the latest trial of a key counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from gru_bench.config import Scalar
from gru_bench.sweep.sharing.leases import Lease, this_process

MOST_ATTEMPTS = 4
"""Most attempts at work that may itself be the cause of its failures, such as by killing its process."""
KEY = "key"
"""Set on a trial of planned work: what is to be done."""
OWNER = "owner"
"""Set on a trial: the process that does it."""
RUN = "run_id"
"""Set on a trial: its run in the tracking store."""
REASON = "reason"
"""Set on a trial: why it ended early."""
RETRY_OF, ATTEMPT = "retry_of", "attempt"
"""Set on a trial that retries another: the number of the other, and which attempt this one is, from 1."""
REACHED = "reached"
"""Set on a retried trial: the most epochs (or seeds) that an earlier attempt was trained for."""
OWN_FAULT = "own_fault"
"""Set on a trial that made itself fail, such as by a loss that is not finite; it counts as tried."""
FAILED_AT = "failed_at"
"""Set on such a trial: how many starts the study had by then. Planned work may be tried again by later ones."""
DUPLICATE_OF = "duplicate_of"
"""Set on a proposal that equals an earlier trial; it is never trained and does not count."""
FORGOTTEN = "forgotten"
"""Set on a trial that was never begun: all earlier trials of its key are forgotten."""


StoredState = Literal["complete", "pruned", "failed", "interrupted", "duplicate", "forgotten", "running", "waiting"]
ENDED: tuple[StoredState, ...] = ("complete", "pruned", "failed")
"""States of a trial that has ended and is not repeated."""


def digest(values: object) -> str:
    """Return a digest of JSON values such as settings, equal for equal values in any order."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def run_key(model: str, role: str, settings: str, seed: int, side: str = "") -> str:
    """Return the key of a confirm or ablation run.

    Args:
        model: Model of the run.
        role: Role of the run: confirm or ablation.
        settings: Digest of the settings that differ from the study's own.
        seed: Random seed of the run.
        side: Side of the ablation; empty for a confirmation run.
    """
    return f"{model} {role} {settings} {seed} {side}".strip()


@dataclass(frozen=True)
class StoredTrial:
    """A trial as a storage holds it."""

    number: int
    state: StoredState
    """failed: by its own fault, so it counts. interrupted: it was queued again."""
    settings: Mapping[str, Scalar]
    retry_of: int | None = None
    run_id: str = ""
    """Id of its run in the tracking store."""
    value: float | None = None
    """Objective of a complete trial; of a confirmation run, test accuracy; of a follow-up, its number of tasks."""
    key: str = ""
    """What is to be done, for planned work."""
    owner: str = ""
    """The process that does it, or did it last."""
    failed_at: int = 0
    """Number of starts of the study when it failed."""

    @property
    def ended(self) -> bool:
        """Whether it has ended and is not repeated."""
        return self.state in ENDED


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

    @property
    def stored(self) -> list[StoredTrial]:
        """All trials as records."""
        return list(map(stored, self.study.get_trials(deepcopy=False)))

    def is_ours(self, number: int) -> bool:
        """Return whether a trial that this process began is still running, so was not given to another process."""
        return self._trial(number).state == TrialState.RUNNING

    def orphans(self) -> list[int]:
        """Return the numbers of the running trials whose process has died; reliable while the lock is held."""
        return [
            trial.number for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            # A trial without an owner: its process died between beginning the trial and writing the owner.
            if OWNER not in trial.user_attrs or self.lease.is_dead(trial.user_attrs[OWNER])
        ]

    def note_run(self, number: int, run_id: str) -> None:
        """Note the run of a trial; nothing happens if the trial has ended."""
        with suppress(UpdateFinishedTrialError):
            self._note(number, RUN, run_id)

    def note_progress(self, number: int, epoch: int, score: float) -> bool:
        """Note how far planned work got, so that it is not blamed when its process dies; return False if another
        process has its trial by now."""
        try:
            self.study._storage.set_trial_intermediate_value(self._trial(number)._trial_id, epoch, score)
        except UpdateFinishedTrialError:
            return False
        return True

    def complete(self, number: int, value: float) -> bool:
        """End a trial with its objective value; return False if another process has the trial by now."""
        return self._end(number, TrialState.COMPLETE, float(value))

    def fail(self, number: int, reason: str) -> bool:
        """End a trial that failed by its own fault; return False if another process has the trial by now."""
        return self._end(number, TrialState.FAIL, own_fault=True, failed_at=self.lease.starts, reason=reason)

    def give_up(self, number: int, reason: str, *, fault: bool = True) -> bool:
        """End a trial that was interrupted and queue it again; return False if it was tried too often.

        Args:
            number: Number of the trial.
            reason: Why it was interrupted.
            fault: Whether the trial itself may be the cause. This then counts as one of its attempts, unless it got
                further than all earlier ones: a trial that kills its process does so again at the same place.
        """
        with self.lock:
            trial = self._trial(number)
            before, reached = int(trial.user_attrs.get(REACHED, 0)), len(trial.intermediate_values)
            attempt = int(trial.user_attrs.get(ATTEMPT, 1)) + (fault and reached <= before)
            again = attempt <= MOST_ATTEMPTS
            if trial.state != TrialState.RUNNING:
                return again
            settings = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
            # The trial is queued first and ended second: if this process dies in between, another one repeats both.
            if again and settings.keys() == self.space.keys() and not self._is_retried(number):
                self.study.enqueue_trial(settings, user_attrs={
                    **key_of(trial.user_attrs), RETRY_OF: number, ATTEMPT: attempt, REACHED: max(before, reached)})
            if again:
                self._end(number, TrialState.FAIL, reason=reason)
            else:
                self.fail(number, reason)
            return again

    def take(self, key: str) -> int | None:
        """Begin planned work; return the number of its trial, or None if it is not free."""
        with self.lock:
            known = self.latest().get(key)
            if not is_free(known, self.lease.start):
                return None
            if known is None or known.state != "waiting":
                self.study.enqueue_trial({}, user_attrs={KEY: key, **({RETRY_OF: known.number} if known else {})})
                known = self.latest()[key]
            if not self._begin(known.number):
                return None
            self._note(known.number, OWNER, this_process())
            return known.number

    def record_done(self, key: str, run_id: str, value: float) -> None:
        """Record planned work as done whose run is in the tracking store, but which the storage does not know."""
        with self.lock:
            if key not in self.latest():
                self.study.add_trial(create_trial(
                    state=TrialState.COMPLETE, value=value, user_attrs={KEY: key, RUN: run_id, OWNER: this_process()}))

    def reopen(self, key: str, run_id: str) -> None:
        """Queue planned work again that is done, but whose run was deleted in the tracking store."""
        with self.lock:
            known = self.latest().get(key)
            if known is not None and known.state == "complete" and known.run_id == run_id:
                self.study.enqueue_trial({}, user_attrs={KEY: key, RETRY_OF: known.number})

    def forget(self) -> None:
        """Forget all planned work; used when its runs are not in the current tracking store."""
        with self.lock:
            for key, trial in self.latest().items():
                self._end(trial.number, TrialState.FAIL, reason="its tracking store was replaced")
                self.study.add_trial(create_trial(state=TrialState.FAIL, user_attrs={KEY: key, FORGOTTEN: True}))

    def latest(self) -> dict[str, StoredTrial]:
        """Return key -> its latest trial, for all planned work that has begun."""
        return latest_trials(self.study)

    def _is_retried(self, number: int) -> bool:
        return any(trial.user_attrs.get(RETRY_OF) == number for trial in self.study.get_trials(deepcopy=False))

    def _end(
        self, number: int, state: TrialState, value: float | None = None, **notes: str | bool | int
    ) -> bool:
        with self.lock:
            if self._trial(number).state != TrialState.RUNNING:
                return False
            for key, note in notes.items():
                self._note(number, key, note)
            self.study.tell(number, value, state=state)
            return True

    def _trial(self, number: int) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[number]

    # Optuna has no public way to begin one of several waiting trials, or to write to a trial of another process.

    def _begin(self, number: int) -> bool:
        return self.study._storage.set_trial_state_values(self._trial(number)._trial_id, state=TrialState.RUNNING)

    def _note(self, number: int, key: str, value: str | bool | int) -> None:
        self.study._storage.set_trial_user_attr(self._trial(number)._trial_id, key, value)


def is_free(trial: StoredTrial | None, start: int) -> bool:
    """Return whether a start of a study may begin planned work.

    Args:
        trial: The latest trial of the work; None if it has not begun.
        start: Number of the start. It repeats what failed before it began.
    """
    return trial is None or trial.state in ("waiting", "interrupted") or (
        trial.state == "failed" and trial.failed_at < start)


def key_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a trial's user attributes that a retry takes over: its key, if it has one."""
    return {name: value for name, value in attributes.items() if name == KEY}


def latest_trials(study: optuna.Study) -> dict[str, StoredTrial]:
    """Return key -> its latest trial, for the planned work in a study."""
    latest: dict[str, StoredTrial] = {}
    for trial in map(stored, study.get_trials(deepcopy=False)):
        if trial.state == "forgotten":
            latest.pop(trial.key, None)
        else:
            latest[trial.key] = trial
    return latest


def stored(trial: FrozenTrial) -> StoredTrial:
    """Return a trial of Optuna's as a record."""
    notes = trial.user_attrs
    return StoredTrial(
        number=trial.number, state=_state(trial), settings=dict(trial.params), retry_of=notes.get(RETRY_OF),
        run_id=str(notes.get(RUN, "")), value=trial.value if trial.state == TrialState.COMPLETE else None,
        key=str(notes.get(KEY, "")), owner=str(notes.get(OWNER, "")), failed_at=int(notes.get(FAILED_AT, 0)))


def _state(trial: FrozenTrial) -> StoredState:
    match trial.state:
        case TrialState.COMPLETE:
            return "complete"
        case TrialState.PRUNED:
            return "pruned"
        case TrialState.RUNNING:
            return "running"
        case TrialState.WAITING:
            return "waiting"
    if FORGOTTEN in trial.user_attrs:
        return "forgotten"
    if DUPLICATE_OF in trial.user_attrs:
        return "duplicate"
    return "failed" if trial.user_attrs.get(OWN_FAULT) else "interrupted"
