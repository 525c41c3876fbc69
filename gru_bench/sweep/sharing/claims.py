"""Claims: if several processes share a study, one of them claims each run or follow-up, so that it is done once.

A claim is a small record among the user attributes of an Optuna study, under a key such as `confirm 3fa9 10000`. It is
changed only while the study's lock is held.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from gru_bench.config import Scalar
from gru_bench.sweep.sharing.leases import Attributes

CLAIM = "claim "
"""Prefix of the attributes that hold claims."""
STARTS = "starts"
"""Attribute that counts the starts of the study."""
MOST_ATTEMPTS = 4
"""Most attempts at a piece of work whose process dies each time."""


def digest(settings: Mapping[str, Scalar]) -> str:
    """Return a digest of settings, equal for equal settings in any order."""
    return hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode()).hexdigest()[:16]


def run_key(role: str, settings: str, seed: int, side: str = "") -> str:
    """Return the key of the claim of a confirm or ablation run.

    Args:
        role: Role of the run: confirm or ablation.
        settings: Digest of the settings that differ from the study's own.
        seed: Random seed of the run.
        side: Side of the ablation; empty for a confirm run.
    """
    return f"{role} {settings} {seed} {side}".strip()


@dataclass(frozen=True)
class Claim:
    """The claim of one piece of work."""

    state: Literal["free", "running", "done", "failed"]
    """free: interrupted, any process may claim it. failed: only starts that begin later may try it again."""
    owner: str
    """The process that has the work, or had it last."""
    start: int
    """Number of the owner's start. For failed work: number of the latest start at the time of the failure."""
    attempt: int
    """Number of the current attempt, from 1."""
    run_id: str = ""
    """Id of the run that holds the result, in the tracking store."""
    value: float | None = None
    """Validation accuracy of the run, if runs are compared by it."""


class Claims:
    """The claims of one study, used by one process."""

    def __init__(self, study: Attributes, lock: AbstractContextManager[object], owner: str, start: int) -> None:
        """Use the claims of a study.

        Args:
            study: Optuna study that holds the claims as user attributes.
            lock: Lock under which claims are changed.
            owner: Name of this process.
            start: Number of this process's start.
        """
        self._study, self._lock, self._owner, self._start = study, lock, owner, start

    def take(self, key: str) -> bool:
        """Claim a piece of work; return False if it is done, has failed, or belongs to another process."""
        with self._lock:
            claim = self.get(key)
            if not self._is_free(claim):
                return False
            attempt = claim.attempt if claim is not None and claim.state == "free" else 1
            self._put(key, Claim("running", self._owner, self._start, attempt))
            return True

    def note_run(self, key: str, run_id: str) -> None:
        """Store the id of the run that holds the result."""
        self._change(key, run_id=run_id)

    def finish(self, key: str, value: float | None = None) -> bool:
        """Mark a piece of work as done, with its value; return False if another process has claimed it since."""
        return self._change(key, state="done", value=value)

    def fail(self, key: str) -> bool:
        """Mark a piece of work as failed; a later start of the study may retry it."""
        return self._change(key, state="failed", start=self._starts)

    def release(self, key: str, *, fault: bool) -> bool:
        """Release a piece of work so that any process may claim it; return False if it was attempted too often.

        Args:
            key: Key of the claim.
            fault: Whether the work itself may be the cause of the release. If so, the attempt counts.
        """
        with self._lock:
            claim = self.get(key)
            if claim is None or claim.state != "running":
                return True
            if claim.attempt + fault > MOST_ATTEMPTS:
                self._put(key, replace(claim, state="failed", start=self._starts))
                return False
            self._put(key, replace(claim, state="free", attempt=claim.attempt + fault))
            return True

    def adopt(self, key: str, run_id: str, value: float | None = None) -> None:
        """Mark work as done that a dead process had finished and logged, but not marked as done."""
        with self._lock:
            claim = self.get(key)
            if claim is not None and claim.state == "running":
                self._put(key, replace(claim, state="done", run_id=run_id, value=value))

    def reopen(self, key: str, run_id: str) -> None:
        """Release work that is done, but whose run was deleted in the tracking store."""
        with self._lock:
            claim = self.get(key)
            if claim is not None and claim.state == "done" and claim.run_id == run_id:
                self._put(key, Claim("free", claim.owner, claim.start, 1))

    def record_done(self, key: str, run_id: str, value: float | None = None) -> None:
        """Mark work as done whose run is in the tracking store, but whose claim was lost."""
        with self._lock:
            if self.get(key) is None:
                self._put(key, Claim("done", self._owner, self._start, 1, run_id, value))

    def get(self, key: str) -> Claim | None:
        """Return the claim of a piece of work, or None if no process has begun it."""
        values = self._study.user_attrs.get(CLAIM + key)
        return Claim(**values) if values else None

    def is_ours(self, claim: Claim) -> bool:
        """Return whether this process has the work, or had it last."""
        return claim.owner == self._owner

    def all(self) -> Mapping[str, Claim]:
        """Return key -> claim, for all claims."""
        return {key.removeprefix(CLAIM): Claim(**values) for key, values in self._study.user_attrs.items()
                if key.startswith(CLAIM) and values}

    def forget(self) -> None:
        """Remove all claims; used when their runs are not in the current tracking store."""
        with self._lock:
            for key in self.all():
                self._study.set_user_attr(CLAIM + key, None)

    def unfinished(self, keys: Iterable[str]) -> list[str]:
        """Return the keys of the work that is not done: no process has begun it, or one is working on it."""
        claims = self.all()
        return [key for key in keys if self._is_free(claims.get(key)) or claims[key].state == "running"]

    def available(self, keys: Iterable[str]) -> list[str]:
        """Return the keys of the work that `take` may claim."""
        claims = self.all()
        return [key for key in keys if self._is_free(claims.get(key))]

    def _is_free(self, claim: Claim | None) -> bool:
        return claim is None or claim.state == "free" or (claim.state == "failed" and claim.start < self._start)

    @property
    def _starts(self) -> int:
        """Number of starts of the study so far."""
        return int(self._study.user_attrs.get(STARTS, 0))

    def _change(self, key: str, **values: Any) -> bool:
        with self._lock:
            claim = self.get(key)
            if claim is None or claim.state != "running" or not self.is_ours(claim):
                return False
            self._put(key, replace(claim, **values))
            return True

    def _put(self, key: str, claim: Claim) -> None:
        self._study.set_user_attr(CLAIM + key, asdict(claim))
