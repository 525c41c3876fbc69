"""The storage of the searches, and locks under which a process makes several writes as one step.

A journal file serves one machine, or machines that share its folder; PostgreSQL serves any number of machines. Optuna
makes single writes safe, but "count the trials, then begin one" takes several writes: `lock_for` keeps other processes
out meanwhile. A lock is released when its holder dies, however it dies.

A journal holds one entry per line. What a killed process has left of a line is removed before the next entry is
appended.
"""

from __future__ import annotations

import hashlib
import os
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import optuna
from filelock import FileLock
from optuna.storages.journal import JournalFileBackend

from gru_bench.errors import RunError, UsageError, argument, without_passwords
from gru_bench.platforms import patiently
from gru_bench.sweep.sharing import JOURNAL

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

STORAGE_KINDS = "a PostgreSQL URL such as postgresql://user@host/name, or a file that ends in .journal"
MOST_IDLE_SECONDS = 60
"""Seconds after which a database ends an idle session that holds a lock, for example if its machine is gone."""


def open_storage(url: str | None, *, create: bool = True) -> optuna.storages.BaseStorage:
    """Return the storage of the searches, opened: a journal file or a PostgreSQL database.

    Args:
        url: Path of a .journal file or URL of a database; None means `optuna.journal` in the working directory.
        create: Whether a missing journal is created. If not, nothing is written, and a missing one is empty.

    Raises:
        UsageError: The URL does not name a PostgreSQL database, or a driver is not installed.
        RunError: The storage does not answer or is damaged.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if url is None or url.endswith(".journal"):
        path = Path(url or JOURNAL)
        is_missing = path.parent.is_dir() and not path.exists()
        return optuna.storages.InMemoryStorage() if is_missing and not create else Journal(path)
    if url.partition("://")[0].partition("+")[0] != "postgresql":
        raise UsageError(f"{argument('storage')} must be {STORAGE_KINDS}, but got {without_passwords(url)!r}")
    try:
        return _open_database(url)
    except ImportError as error:
        raise UsageError(f"the storage {without_passwords(url)} needs a driver that is not installed here "
                         f"({error}): pip install \"psycopg[binary]\"") from error
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise RunError(f"the storage {without_passwords(url)!r} does not respond: {lines[0]}. Start its server, or "
                       f"leave out {argument('storage')} to use optuna.journal in this directory") from error


@contextmanager
def wrapped_errors(url: str | None) -> Iterator[None]:
    """Turn errors of the storage inside the context into RunError.

    Raises:
        RunError: The storage no longer answers.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = str(error.__cause__ or error).strip().splitlines()[0]
        raise RunError(f"the storage {without_passwords(url or JOURNAL)!r} no longer responds: {cause}. Nothing is "
                       "lost: run this again when it does") from error


def lock_for(storage: optuna.storages.BaseStorage, name: str) -> AbstractContextManager[object]:
    """Return the reentrant lock called `name` in a storage; a journal has one lock for all names.

    Raises:
        UsageError: The storage is of another kind and has no such locks.
    """
    if isinstance(storage, Journal):
        return storage.step_lock
    if isinstance(storage, optuna.storages.RDBStorage):
        return _DatabaseLock(storage.engine, name)
    raise UsageError(f"storage must be {STORAGE_KINDS}, but got a {type(storage).__name__}")


class Journal(optuna.storages.JournalStorage):
    """Optuna's journal storage in a file, with a lock for several writes."""

    def __init__(self, path: Path) -> None:
        """Open the file, which is created if it is missing.

        Raises:
            UsageError: The folder does not exist.
            RunError: The journal is not a file, or damaged.
        """
        if not path.parent.is_dir():
            raise UsageError(f"{argument('storage')} must be a file in an existing folder, but got {str(path)!r}: "
                             f"create {path.parent} first")
        if path.exists() and not path.is_file():
            raise RunError(f"{argument('storage')} must be a file, but {str(path)!r} is not: move it away, or give "
                           "another, such as FILE.journal")
        self.step_lock = FileLock(path.with_name(f"{path.name}.step.lock"), is_singleton=True)
        try:
            super().__init__(_Lines(path, FileLock(path.with_name(f"{path.name}.append.lock"), is_singleton=True)))
        except (ValueError, LookupError, TypeError, AssertionError) as error:
            raise RunError(f"Optuna cannot read {str(path)!r} ({error!r}): restore a copy of the file, or start its "
                           "studies again under another name") from error


class _Lines(JournalFileBackend):
    """Optuna's lines of a journal file, appended after what a killed process has left of a line is removed."""

    def __init__(self, path: Path, lock: FileLock) -> None:
        super().__init__(str(path), lock_obj=lock)  # type: ignore[arg-type]  # it has what Optuna uses of a lock
        self._path, self._appending = path, lock

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries."""
        with self._appending:  # it is reentrant
            patiently(self._cut_torn_tail)
            patiently(lambda: super(_Lines, self).append_logs(logs))  # what is refused here is opening the file

    def _cut_torn_tail(self) -> None:
        """Remove what follows the last line break, which no process has read."""
        with self._path.open("rb+") as file:
            begin, tail = file.seek(0, os.SEEK_END), b""
            while begin and b"\n" not in tail:
                step = min(begin, 1 << 16)
                begin = file.seek(begin - step)
                tail = file.read(step) + tail
            file.truncate(begin + tail.rfind(b"\n") + 1)


class _DatabaseLock:
    """PostgreSQL's advisory lock, held by a session; it is released when the connection closes or times out."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        self._connection: Connection | None = None
        self._depth = 0

    def __enter__(self) -> None:
        if self._connection is None:
            self._connection = self._engine.connect()
            try:
                self._take(self._connection)
            except BaseException:
                self._connection.close()
                self._connection = None
                raise
        else:  # before the next write: the database ends the session of a holder that was idle for too long
            self._connection.exec_driver_sql("SELECT 1")
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth == 0 and self._connection is not None:
            connection, self._connection = self._connection, None
            try:
                connection.commit()
            finally:
                connection.close()

    def _take(self, connection: Connection) -> None:
        from sqlalchemy import text

        connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{MOST_IDLE_SECONDS}s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": self._key})


def _open_database(url: str) -> optuna.storages.RDBStorage:
    """Return a database storage; its tables are created under a lock, because only one process may create them."""
    import sqlalchemy

    settings = {"pool_pre_ping": True}
    engine = sqlalchemy.create_engine(url, **settings)
    try:
        with _DatabaseLock(engine, "tables"):
            storage = optuna.storages.RDBStorage(url, engine_kwargs=settings)
    finally:
        engine.dispose()
    weakref.finalize(storage, storage.engine.dispose)  # its connections end with it
    return storage
