"""Which process a piece of work belongs to, and whether that process still lives.

On its own machine a process is looked up by its id. Each renews its lease besides, a counter, every few seconds;
whoever has watched the counter of another stand still for `LEASE_SECONDS` takes that process for dead, wherever it is:
it may be gone with its machine, or hang. Only the watcher's own clock counts, so that clocks need not agree.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Protocol

START = "start "
"""How the keys of the records of starts begin."""
RENEW_SECONDS = 10.0
LEASE_SECONDS = 60.0


class Attributes(Protocol):
    """Where a study keeps small records for all processes to see: an Optuna study."""

    @property
    def user_attrs(self) -> dict[str, Any]:
        """Return all of them."""

    def set_user_attr(self, key: str, value: Any) -> None:
        """Set one."""


def machine() -> str:
    """Return what tells this machine, since its last start, from any other; containers count as machines."""
    parts = [platform.node()]
    for path in (Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")):
        try:
            parts.append(str(path.readlink()) if path.is_symlink() else path.read_text().strip())
        except OSError:
            continue
    return "/".join(parts)


def owner() -> str:
    """Return the name of this process: `machine pid start`."""
    return _named(os.getpid())


class Watch:
    """Watches owners over time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the time, in seconds, from `clock`."""
        self._clock = clock
        self._seen: dict[str, tuple[int, float]] = {}

    def is_dead(self, name: str, lease: int) -> bool:
        """Return whether the owner called `name`, whose lease now stands at `lease`, has died."""
        if name == owner():
            return False
        if name.startswith(f"{machine()} ") and not _lives(name):
            return True
        before, since = self._seen.get(name, (None, 0.0))
        if before != lease:
            self._seen[name] = (lease, self._clock())
            return False
        return self._clock() - since > LEASE_SECONDS


class Presence:
    """The starts of a study: which processes work on it, since when, and whether they still live."""

    def __init__(self, study: Attributes, start: int) -> None:
        """Sign in as the start of that number."""
        self._study, self._start = study, start
        self._watch = Watch()
        self._record: dict[str, Any] = {
            "owner": owner(), "lease": 0, "seconds": 0.0, "searching": True, "ended": False}
        self._renewed = 0.0
        self._put()

    def renew(self, seconds: float) -> None:
        """Say every few seconds that this process lives; it has taken so many `seconds` in all."""
        if seconds - self._renewed >= RENEW_SECONDS:
            self._renewed = seconds
            self._put(lease=self._record["lease"] + 1, seconds=seconds)

    def stop_searching(self) -> None:
        """Say that this process asks for no more trials."""
        if self._record["searching"]:
            self._put(searching=False)

    def end(self, seconds: float) -> None:
        """Sign out."""
        self._put(seconds=seconds, searching=False, ended=True)

    def is_dead(self, name: str) -> bool:
        """Return whether the owner called `name` has died."""
        leases = {record["owner"]: record["lease"] for record in self._records().values()}
        return self._watch.is_dead(name, leases.get(name, 0))

    def others(self, *, searching: bool = False, elsewhere: bool = False) -> bool:
        """Return whether other processes work on the study (and still ask for trials, or are on another machine)."""
        return any(
            number != self._start and not record["ended"] and (record["searching"] or not searching)
            and not (elsewhere and record["owner"].startswith(f"{machine()} "))
            and not self._watch.is_dead(record["owner"], record["lease"])
            for number, record in self._records().items())

    def seconds(self) -> float:
        """Return the time that all starts have taken, in seconds; of one that was killed, up to its last sign."""
        return sum(float(record["seconds"]) for record in self._records().values())

    def _records(self) -> dict[int, dict[str, Any]]:
        """Return number -> record of each start, in their order."""
        found = {int(key.removeprefix(START)): record for key, record in self._study.user_attrs.items()
                 if key.startswith(START)}
        return dict(sorted(found.items()))

    def _put(self, **changes: object) -> None:
        self._record |= changes
        self._study.set_user_attr(f"{START}{self._start}", self._record)


def _lives(name: str) -> bool:
    pid = int(name.split()[-2])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _started(pid) in (name.split()[-1], "?")


@cache
def _named(pid: int) -> str:
    return f"{machine()} {pid} {_started(pid)}"


def _started(pid: int) -> str:
    """Return when a process began, in ticks since the machine did; `ended` for one that only waits to be collected.

    Process ids are used again. Where there is no /proc, only the id tells processes apart.
    """
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "?"
    return "ended" if state in "ZX" else fields[18]
