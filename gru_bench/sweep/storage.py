"""Where searches live, and the locks that make a step of several writes one step for all processes.

A journal file serves one machine (or machines that share its folder), a database any number of them. Optuna makes
single writes safe, but "count the trials, then begin one" are several: `lock_for` holds everybody else back meanwhile.
A lock is let go when its holder dies, in whatever way.
"""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import optuna
from filelock import FileLock
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from gru_bench.errors import RunError, UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

JOURNAL = "optuna.journal"
STORAGE_KINDS = "a database URL such as postgresql://user@host/name, or a file that ends in .journal"
STALE_SECONDS = 3
"""Age at which Optuna's own lock file is taken for one that a kill has left: it guards a single write."""
HELD_AT_MOST = 60
"""Seconds after which a database ends a session that holds a lock and says nothing: its machine is gone."""


def open_storage(url: str | None) -> optuna.storages.BaseStorage:
    """Open where searches live: a journal file in the working directory, or a database by its URL.

    Raises:
        UsageError: for a URL that names no database.
        RunError: for a store that does not answer.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if url is None or url.endswith(".journal"):
        return JournalFile(Path(url or JOURNAL))
    if "://" not in url:
        raise UsageError(f"--storage must be {STORAGE_KINDS}, but got {url!r}")
    try:
        return _open_database(url)
    except UsageError:
        raise
    except ImportError as error:
        raise UsageError(f"--storage {_without_password(url)} needs a driver that is not installed here ({error}): "
                         "pip install 'gru-bench[postgresql]' for PostgreSQL") from error
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise RunError(f"the search's storage must answer, but {_without_password(url)!r} does not: {lines[0]}. Start "
                       "its server, or leave --storage out to use optuna.journal in this directory") from error


@contextmanager
def told(url: str | None) -> Iterator[None]:
    """Tell failures of a storage in use as ours.

    Raises:
        RunError: where the storage does not answer any more.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = str(error.__cause__ or error).strip().splitlines()[0]
        raise RunError(f"the search's storage must answer, but {_without_password(url or JOURNAL)!r} does not any "
                       f"more: {cause}. Nothing is lost: the same command goes on once it does") from error


def lock_for(storage: optuna.storages.BaseStorage, name: str) -> AbstractContextManager[object]:
    """Return the lock of everything called `name` in a storage; its holder may take it again.

    Raises:
        UsageError: for a database without locks of that kind.
    """
    if isinstance(storage, JournalFile):
        return FileLock(f"{storage.path}.step.lock", is_singleton=True)
    if isinstance(storage, optuna.storages.RDBStorage):
        return _database_lock(storage.engine, name)
    raise UsageError(f"--storage must be {STORAGE_KINDS}, but got a {type(storage).__name__}")


class JournalFile(optuna.storages.JournalStorage):
    """Optuna's journal in a file that survives a kill in the middle of a write."""

    def __init__(self, path: Path) -> None:
        """Open the file, made where it does not exist."""
        self.path = path
        super().__init__(JournalFileBackend(str(path), lock_obj=_AppendLock(path)))


class _AppendLock(JournalFileSymlinkLock):
    """Lets one process append: no line is torn, and no dead process keeps the others waiting.

    Optuna's own lock, a file that its holder removes, is taken inside, for programs that know no other.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ours = FileLock(f"{path}.append.lock")
        self._optunas = JournalFileSymlinkLock(str(path), grace_period=STALE_SECONDS)
        self.acquire()
        self.release()

    def acquire(self) -> bool:
        self._ours.acquire()
        try:
            self._optunas.acquire()
            self._mend()
        except BaseException:
            self._ours.release()
            raise
        return True

    def release(self) -> None:
        self._optunas.release()
        self._ours.release()

    def _mend(self) -> None:
        """Cut a last line that a kill left unfinished: what is appended to it would never be read again."""
        if not self._path.exists() or not self._path.stat().st_size:
            return
        with self._path.open("rb+") as file:
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)


class _DatabaseLock:
    """A lock that a database's session holds: gone with its connection, and with the session of a silent machine."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine, self._digest = engine, hashlib.sha256(name.encode()).digest()
        self._connection: Connection | None = None
        self._depth = 0

    def __enter__(self) -> None:
        if self._depth == 0:
            self._connection = self._engine.connect()
            try:
                self._take(self._connection)
            except BaseException:
                self._connection.close()
                raise
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth == 0 and self._connection is not None:
            try:
                self._release(self._connection)
            finally:
                self._connection.close()

    def _take(self, connection: Connection) -> None:
        """Wait for the advisory lock of a transaction, as PostgreSQL has it."""
        from sqlalchemy import text

        key = int.from_bytes(self._digest[:8], "big", signed=True)
        connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{HELD_AT_MOST}s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})

    def _release(self, connection: Connection) -> None:
        connection.commit()


class _NamedLock(_DatabaseLock):
    """The named lock of a session, as MySQL and MariaDB have it."""

    def _take(self, connection: Connection) -> None:
        from sqlalchemy import text

        connection.execute(text(f"SET SESSION wait_timeout = {HELD_AT_MOST}"))
        connection.execute(text("SELECT GET_LOCK(:name, -1)"), {"name": self._digest.hex()[:60]})

    def _release(self, connection: Connection) -> None:
        connection.invalidate()  # not back into the pool: the session ends, and the lock with it


def _database_lock(engine: Engine, name: str) -> AbstractContextManager[object]:
    match engine.dialect.name:
        case "postgresql":
            return _DatabaseLock(engine, name)
        case "mysql" | "mariadb":
            return _NamedLock(engine, name)
        case "sqlite":
            return FileLock(f"{engine.url.database}.step.lock", is_singleton=True)
        case other:
            raise UsageError(f"--storage must be on PostgreSQL, MySQL, MariaDB or SQLite, whose locks let several "
                             f"machines share a study, but got {other!r}")


def _open_database(url: str) -> optuna.storages.RDBStorage:
    """Open a database; several processes that make its tables at once would fail but for one."""
    import sqlalchemy

    settings: dict[str, Any] = {} if url.startswith("sqlite") else {"pool_pre_ping": True}
    engine = sqlalchemy.create_engine(url, **settings)
    try:
        with _database_lock(engine, "tables"):
            storage = optuna.storages.RDBStorage(url, engine_kwargs=settings)
    finally:
        engine.dispose()
    weakref.finalize(storage, storage.engine.dispose)  # its connections end with it
    return storage


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
