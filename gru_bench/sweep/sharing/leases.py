"""Leases: they show which starts work on a study and which of them are still alive.

A start is one call of a sweep, and it owns the trials that it has begun. It is dead once it has ended, or once its
process on this machine is gone. In addition, each start renews its lease, a counter, every few seconds. On any machine,
a start whose counter has not changed for `LEASE_SECONDS` counts as dead: it may hang, or its machine may be gone. Only
the observer's clock is used, so the clocks of the machines need not agree.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import Any, Protocol

from gru_bench.platforms import is_alive, machine, process_start

START = "start "
"""Prefix of the attributes that hold the leases, one for each start of the study."""
STARTS = "starts"
"""Attribute that counts the starts of the study."""
RENEW_SECONDS = 10.0
"""Seconds between two renewals of a lease."""
LEASE_SECONDS = 60.0
"""Seconds without a renewal after which a start counts as dead."""
_GOING_ON: set[str] = set()
"""Ids of the starts of this process that go on. One may have been cut off before it could end its lease."""


class Attributes(Protocol):
    """User attributes that all processes see, as an Optuna study has them."""

    @property
    def user_attrs(self) -> dict[str, Any]:
        """Return all attributes."""

    def set_user_attr(self, key: str, value: Any) -> None:
        """Set one attribute."""


def this_process() -> str:
    """Return the name of this process: `machine pid start`."""
    return _process_name(os.getpid())


def is_local(name: str) -> bool:
    """Return whether the process called `name` is on this machine."""
    return name.startswith(f"{machine()} ")


class LeaseWatch:
    """Watches leases over time to find out which starts are dead."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin to watch; `clock` returns the time in seconds."""
        self._clock = clock
        self._seen: dict[str, tuple[int, float]] = {}

    def is_dead(self, lease: Mapping[str, Any]) -> bool:
        """Return whether the start with a lease is dead."""
        start, process = lease["start"], lease["process"]
        if lease["ended"]:
            return True
        if process == this_process():
            return start not in _GOING_ON
        if is_local(process) and not _is_alive(process):
            return True
        before, since = self._seen.get(start, (None, 0.0))
        if before != lease["lease"]:
            self._seen[start] = (lease["lease"], self._clock())
            return False
        return self._clock() - since > LEASE_SECONDS


class Lease:
    """The lease of a start on a study. It also shows which other starts work on the study and are alive."""

    def __init__(self, study: Attributes) -> None:
        """Count a start of the study and take its lease; the caller holds the study's lock.

        Args:
            study: Optuna study that holds the leases as user attributes.
        """
        self._study = study
        self.owner = uuid.uuid4().hex
        """Id of this start, which owns the trials that it begins."""
        self.start = self.starts + 1
        """Number of this start, from 1."""
        study.set_user_attr(STARTS, self.start)
        self._watch = LeaseWatch()
        self._record: dict[str, Any] = {
            "start": self.owner, "process": this_process(), "lease": 0, "seconds": 0.0, "searching": [],
            "ended": False}
        self._renewed = 0.0
        _GOING_ON.add(self.owner)
        self._put()

    @property
    def starts(self) -> int:
        """Number of starts of the study so far."""
        return int(self._study.user_attrs.get(STARTS, 0))

    def renew(self, seconds: float) -> None:
        """Renew the lease if `RENEW_SECONDS` have passed; `seconds` is the time since this start began."""
        if seconds - self._renewed >= RENEW_SECONDS and not self._record["ended"]:
            self._renewed = seconds
            self._put(lease=self._record["lease"] + 1, seconds=seconds)

    def note_searching(self, models: Sequence[str]) -> None:
        """Record the models that this start may ask more trials of."""
        if self._record["searching"] != list(models):
            self._put(searching=list(models))

    def note_search(self, seconds: float) -> None:
        """Record that all searches have ended; `seconds` is the time since this start began."""
        self._put(search_seconds=seconds)

    def end(self, seconds: float) -> None:
        """End the lease; `seconds` is the time since this start began."""
        self._put(seconds=seconds, searching=[], ended=True)

    def leave(self) -> None:
        """Let other starts of this process know that this one does not go on, even if its lease could not be ended."""
        _GOING_ON.discard(self.owner)

    def is_dead(self, owner: str) -> bool:
        """Return whether the start with an id is dead."""
        return bool(self.dead([owner]))

    def dead(self, owners: Collection[str]) -> set[str]:
        """Return which of the starts with these ids are dead."""
        alive = {lease["start"] for lease in self._records().values()
                 if lease["start"] in owners and not self._watch.is_dead(lease)} if owners else set()
        return set(owners) - alive

    def others(self, attributes: Mapping[str, Any] | None = None) -> dict[int, Mapping[str, Any]]:
        """Return start number -> lease record, of the other starts that still work on the study.

        Args:
            attributes: The study's attributes, where they have just been read.
        """
        return {number: record for number, record in self._records(attributes).items()
                if number != self.start and not self._watch.is_dead(record)}

    def has_others(self, *, elsewhere: bool = False) -> bool:
        """Return whether other starts still work on the study; `elsewhere` counts only those on other machines."""
        return any(not (elsewhere and is_local(record["process"])) for record in self.others().values())

    def seconds(self) -> float:
        """Return the seconds that all starts have taken together; a killed start counts up to its last renewal."""
        return sum(float(record["seconds"]) for record in self._records().values())

    def search_seconds(self) -> float:
        """Return how many of these seconds passed before the last search had ended."""
        return sum(float(record.get("search_seconds", record["seconds"])) for record in self._records().values())

    def _records(self, attributes: Mapping[str, Any] | None = None) -> dict[int, dict[str, Any]]:
        attributes = self._study.user_attrs if attributes is None else attributes
        return {int(key.removeprefix(START)): record for key, record in attributes.items() if key.startswith(START)}

    def _put(self, **changes: object) -> None:
        self._record |= changes
        self._study.set_user_attr(f"{START}{self.start}", self._record)


def _is_alive(name: str) -> bool:
    _, pid, start = name.rsplit(" ", 2)
    return is_alive(int(pid), start)


@cache
def _process_name(pid: int) -> str:
    return f"{machine()} {pid} {process_start(pid)}"
