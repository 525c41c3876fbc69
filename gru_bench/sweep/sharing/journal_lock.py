"""The locks of a journal: for one write, and for several writes as one step.

The system releases a lock when its holder dies, but not when its holder is stopped (Ctrl-Z, SIGSTOP). A process that
waits says who holds the lock. A holder on the same machine that has been stopped for as long as a lease lasts loses the
lock: the file is moved away and a new one is locked. When that holder runs again, it ends with an error.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from gru_bench.errors import RunError
from gru_bench.platforms import is_alive, is_stopped, machine, replace
from gru_bench.sweep.sharing.leases import LEASE_SECONDS, this_process

QUIET_SECONDS = 5.0
"""Seconds to wait before the user is told who holds the lock."""
RECORD_LENGTH = 500
"""Bytes of the file that names the holder. A longer name of a machine is written as it is."""
POLL_SECONDS = 1.0
"""Seconds between two looks at whether the holder is stopped."""


class JournalLock:
    """A reentrant lock of a journal. Its holder writes its name beside it."""

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        """Use the lock at `path`; `say` is called with a sentence for the user when another process keeps it."""
        self._path, self._say = path, say
        self._holder = path.with_name(f"{path.name}.holder")
        self._lock = FileLock(path, is_singleton=True)
        self._number: int | None = None
        """Number of the file that this process has locked; None while it holds no lock."""

    def __enter__(self) -> JournalLock:
        """Acquire the lock."""
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Release the lock."""
        self.release()

    def acquire(self) -> None:
        """Wait for the lock and take it."""
        try:
            self._lock.acquire(timeout=QUIET_SECONDS)
        except Timeout:
            self._wait()
        if self._lock.lock_counter == 1:
            self._number = self._path.stat().st_ino
            self._sign(f"{self._number} {this_process()}")

    def release(self) -> None:
        """Release the lock.

        Raises:
            RunError: It was lost while it was held.
        """
        try:
            self.require()
        finally:
            if self._lock.lock_counter == 1:
                self._number = None
            self._lock.release()

    @property
    def is_lost(self) -> bool:
        """Whether another process has taken the lock from this one, which was stopped."""
        return self._number is not None and self._number != self._file_number()

    def require(self) -> None:
        """Check that this process may write.

        Raises:
            RunError: It held the lock and has lost it.
        """
        if self.is_lost:
            raise RunError(f"this process must not be stopped for more than {LEASE_SECONDS:g} seconds while it writes "
                           "to the search, but it was, and another one has taken its place: run the same command again")

    def _sign(self, record: str) -> None:
        """Write who holds the lock, in one write: the file is never empty, even if this process is stopped here."""
        file = os.open(self._holder, os.O_WRONLY | os.O_CREAT, 0o666)
        try:
            os.write(file, record.ljust(RECORD_LENGTH).encode())
        finally:
            os.close(file)

    def _wait(self) -> None:
        """Wait until the holder releases the lock, or until it has been stopped for as long as a lease lasts."""
        told, stopped, since = set[str](), "", 0.0
        while True:
            record = self._record()
            if (said := _described(record)) not in told:
                told.add(said)
                self._say(said)
            if not _is_stopped(record):
                stopped = ""
            elif record != stopped:
                stopped, since = record, time.monotonic()
            elif time.monotonic() - since > LEASE_SECONDS:
                self._take_from(record)
            with suppress(Timeout):
                self._lock.acquire(timeout=POLL_SECONDS)
                return

    def _take_from(self, record: str) -> None:
        """Move the locked file away, unless the holder has changed."""
        with FileLock(f"{self._path}.break"):  # of several that wait, the first one moves it
            locked = record.partition(" ")[0] == str(self._file_number())
            if locked and self._record() == record and _is_stopped(record):
                with suppress(PermissionError):  # Windows does not move a file that is open
                    replace(self._path, self._path.with_name(f"{self._path.name}.lost"))

    def _record(self) -> str:
        with suppress(FileNotFoundError):
            return self._holder.read_text(encoding="utf-8").strip()
        return ""

    def _file_number(self) -> int | None:
        with suppress(FileNotFoundError):
            return self._path.stat().st_ino
        return None


def _is_stopped(record: str) -> bool:
    """Return whether the holder that a record names is stopped, as far as this machine knows."""
    if not record:
        return False
    name, pid, start = record.partition(" ")[2].rsplit(" ", 2)
    return name == machine() and is_alive(int(pid), start) and is_stopped(int(pid))


def _described(record: str) -> str:
    if not record:
        return "waiting for another process, which holds the lock of the search"
    name, pid, _ = record.partition(" ")[2].rsplit(" ", 2)
    host = name.partition("/")[0]
    if _is_stopped(record):
        return (f"waiting for process {pid} on {host}, which is stopped and holds the lock of the search: continue it "
                f"(fg, or kill -CONT {pid}) or end it; otherwise this one goes on in {LEASE_SECONDS:g} seconds")
    return f"waiting for process {pid} on {host}, which holds the lock of the search"
