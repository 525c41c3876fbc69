"""Who does what, where several processes share a study: each piece of work is claimed by one, and done once.

A claim is a small record under a key, such as `confirm 3fa9 10000`, among the attributes of an Optuna study. It is
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
"""How the keys of claims begin."""
STARTS = "starts"
"""Where the study counts its starts."""
ATTEMPTS = 4
"""A piece of work whose process died is taken up again three times."""


def digest(settings: Mapping[str, Scalar]) -> str:
    """Return what tells one choice of settings from another."""
    return hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode()).hexdigest()[:16]


def run_key(role: str, settings: str, seed: int, side: str = "") -> str:
    """Return the key by which a run other than a trial is claimed.

    Args:
        role: confirm or ablation.
        settings: the digest of those in which it differs from the study's own.
        seed: its.
        side: of an ablation.
    """
    return f"{role} {settings} {seed} {side}".strip()


@dataclass(frozen=True)
class Claim:
    """One piece of work."""

    state: Literal["free", "running", "done", "failed"]
    """free: broken off, to be taken up again; failed: not again by anyone who had begun by then."""
    owner: str
    """The process that has it, or had it last."""
    start: int
    """The number of that process's start, or, of work that failed, of the last start then."""
    attempt: int
    run_id: str = ""
    """The run that holds its record."""
    value: float | None = None
    """The validation accuracy it reached, where something is chosen by that."""


class Claims:
    """The claims of one study, as the process `owner` sees them."""

    def __init__(self, study: Attributes, lock: AbstractContextManager[object], owner: str, start: int) -> None:
        """Keep them among the attributes of `study`; `start` is the number of this process's start."""
        self._study, self._lock, self._owner, self._start = study, lock, owner, start

    def take(self, key: str) -> bool:
        """Claim a piece of work; return False where it is done, failed or another's."""
        with self._lock:
            claim = self.get(key)
            if not self._is_free(claim):
                return False
            attempt = claim.attempt if claim is not None and claim.state == "free" else 1
            self._put(key, Claim("running", self._owner, self._start, attempt))
            return True

    def note_run(self, key: str, run_id: str) -> None:
        """Attach the run that holds the record."""
        self._change(key, run_id=run_id)

    def finish(self, key: str, value: float | None = None) -> bool:
        """End a piece of work, with what it reached; return False where it was given to another meanwhile."""
        return self._change(key, state="done", value=value)

    def fail(self, key: str) -> bool:
        """End what went wrong by itself; a later start of the study may try again."""
        return self._change(key, state="failed", start=self._starts)

    def release(self, key: str, *, fault: bool) -> bool:
        """Give work back, to be taken up again; return False where that was done too often.

        Args:
            key: of the work.
            fault: whether the work may be to blame, so that this counts as one of its attempts.
        """
        with self._lock:
            claim = self.get(key)
            if claim is None or claim.state != "running":
                return True
            if claim.attempt + fault > ATTEMPTS:
                self._put(key, replace(claim, state="failed", start=self._starts))
                return False
            self._put(key, replace(claim, state="free", attempt=claim.attempt + fault))
            return True

    def adopt(self, key: str, run_id: str, value: float | None = None) -> None:
        """End what another process, which is dead, had done but for saying so; the run holds its record."""
        with self._lock:
            claim = self.get(key)
            if claim is not None and claim.state == "running":
                self._put(key, replace(claim, state="done", run_id=run_id, value=value))

    def redo(self, key: str, run_id: str) -> None:
        """Take up again what is done, but whose record, that run, was deleted."""
        with self._lock:
            claim = self.get(key)
            if claim is not None and claim.state == "done" and claim.run_id == run_id:
                self._put(key, Claim("free", claim.owner, claim.start, 1))

    def recall(self, key: str, run_id: str, value: float | None = None) -> None:
        """Take note of what was done before there were claims, or in a study whose claims are lost."""
        with self._lock:
            if self.get(key) is None:
                self._put(key, Claim("done", self._owner, self._start, 1, run_id, value))

    def get(self, key: str) -> Claim | None:
        """Return the claim of a piece of work, or None where nobody has begun it."""
        values = self._study.user_attrs.get(CLAIM + key)
        return Claim(**values) if values else None

    def is_ours(self, claim: Claim) -> bool:
        """Return whether this process has it, or had it last."""
        return claim.owner == self._owner

    def all(self) -> Mapping[str, Claim]:
        """Return key -> claim."""
        return {key.removeprefix(CLAIM): Claim(**values) for key, values in self._study.user_attrs.items()
                if key.startswith(CLAIM) and values}

    def forget(self) -> None:
        """Forget all claims: their records are not in the tracking store in use."""
        with self._lock:
            for key in self.all():
                self._study.set_user_attr(CLAIM + key, None)

    def open(self, keys: Iterable[str]) -> list[str]:
        """Return which pieces of work are still to be done, by this process or by another."""
        claims = self.all()
        return [key for key in keys if self._is_free(claims.get(key)) or claims[key].state == "running"]

    def free(self, keys: Iterable[str]) -> list[str]:
        """Return which pieces of work nobody does or has done, so that `take` may succeed."""
        claims = self.all()
        return [key for key in keys if self._is_free(claims.get(key))]

    def _is_free(self, claim: Claim | None) -> bool:
        return claim is None or claim.state == "free" or (claim.state == "failed" and claim.start < self._start)

    @property
    def _starts(self) -> int:
        """How many starts of the study there were so far."""
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
