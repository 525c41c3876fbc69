"""Where searches live, and the locks that make a step of several writes one step for all processes.

A journal file serves one machine (or machines that share its folder), a database any number of them. Optuna makes
single writes safe, but "count the trials, then begin one" are several: `lock_for` holds everybody else back meanwhile.
A lock is let go when its holder dies, in whatever way.

A journal holds one entry on each line. A last line that is none was broken off by a kill or a power cut: it is cut, and
kept in a file beside. Any other damage is refused, and nothing is appended to it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

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


def open_storage(
    url: str | None, *, create: bool = True, say: Callable[[str], None] | None = None
) -> optuna.storages.BaseStorage:
    """Open where searches live: a journal file in the working directory, or a database by its URL.

    Args:
        url: of the storage; None means the journal file of the working directory.
        create: whether to write; otherwise a missing journal is an error, and a read-only folder is none.
        say: told in a sentence when a journal is mended.

    Raises:
        UsageError: for a URL that names no database.
        RunError: for a store that does not answer or is damaged.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if url is None or url.endswith(".journal"):
        return JournalFile(Path(url or JOURNAL), create=create, say=say)
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
def wrapped_errors(url: str | None) -> Iterator[None]:
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
    """Optuna's journal in a file that survives a kill in the middle of a write, and is refused where it is damaged."""

    def __init__(self, path: Path, *, create: bool = True, say: Callable[[str], None] | None = None) -> None:
        """Open the file, made where it does not exist and `create` is set; `say` is told when it is mended.

        Raises:
            UsageError: where there is no folder for it.
            RunError: where it is missing, no file, or damaged.
        """
        self.path = path
        self._damage: RunError | None = None
        if not path.parent.is_dir():
            raise UsageError(f"--storage must name a file in a folder that exists, but got {str(path)!r}: make "
                             f"{path.parent} first")
        if path.exists() and not path.is_file():
            raise RunError(f"the search must be in a file, but {str(path)!r} is none: move it away, or name another "
                           "with --storage FILE.journal")
        if not create and not path.exists():
            raise RunError(f"the search must be in {str(path)!r}, but there is no such file: run this in the sweep's "
                           "directory, or name --storage. If it is lost, the sweep command begins the search anew "
                           "and sets the runs of the lost one aside")
        self._journal = _Journal(path, say or (lambda _: None))
        if create or os.access(path.parent, os.W_OK):
            self._journal.mend()
        elif say is not None and not self._journal.is_whole:
            say(f"the last line of {path} is no whole entry, as after a kill: it is left out")
        super().__init__(self._journal)

    def _write_log(self, op_code: int, extra_fields: dict[str, Any]) -> None:
        if self._damage is not None:
            raise self._damage
        super()._write_log(op_code, extra_fields)

    def _sync_with_backend(self) -> None:
        if self._damage is not None:
            raise self._damage
        replay = self._replay_result
        try:
            replay.apply_logs(map(self._sound, self._journal.read_logs(replay.log_number_read)))
        except RunError as error:
            self._damage = error
            raise
        except Exception as error:
            if self._journal.latest.get("worker_id") == replay.worker_id:
                raise  # what this process asks for cannot be, such as to end a trial that has ended
            self._damage = _damaged(self.path, self._journal.line, f"{type(error).__name__}: {error}")
            raise self._damage from error

    def _sound(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Return an entry, unless it tells of what no entry before it has begun, which Optuna would pass over."""
        replay = self._replay_result
        trial, study = entry.get("trial_id", 0), entry.get("study_id", 0)
        if entry["worker_id"] != replay.worker_id and (
                ("trial_id" in entry and trial not in replay._trials)
                or ("study_id" in entry and not 0 <= study < replay._next_study_id)):
            raise _damaged(self.path, self._journal.line, "it tells of a trial that no line before it begins")
        return entry


class _Journal(JournalFileBackend):
    """The lines of a journal file."""

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self._path, self._say = path, say
        self._next = (0, 0)
        """Number and offset of the first entry that was not read yet."""
        self.latest: dict[str, Any] = {}
        """The entry read last."""
        super().__init__(str(path), lock_obj=_AppendLock(path, self._mend))
        self._opened = os.open(path, os.O_RDONLY)  # while it is open, no other file gets its number
        weakref.finalize(self, os.close, self._opened)

    @property
    def line(self) -> int:
        """The number of the line read last, from 1."""
        return self._next[0]

    @property
    def is_whole(self) -> bool:
        """Whether the last line is an entry, or there is none."""
        with self._path.open("rb") as file:
            return _is_entry(_last_line(file))

    def mend(self) -> None:
        """Cut a last line that is no entry."""
        self._lock.acquire()
        self._lock.release()

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]  # a generator
        """Yield the entries from that number on; a last line that is none is left to whoever appends next."""
        self._require_same()
        number, offset = self._next if self._next[0] == log_number_from else (0, 0)
        with self._path.open("rb") as file:
            file.seek(offset)
            *lines, rest = file.read().split(b"\n")
        for place, line in enumerate(lines, 1):
            try:
                entry = _entry(line)
            except ValueError as error:
                if place == len(lines) and not rest:
                    return
                raise _damaged(self._path, number + 1, str(error)) from error
            number, offset = number + 1, offset + len(line) + 1
            self._next, self.latest = (number, offset), entry
            if number > log_number_from:
                yield entry

    def _mend(self) -> None:
        """Make the file end with a whole entry: what is appended to another line would never be read again."""
        self._require_same()
        with self._path.open("rb+") as file:
            last = _last_line(file)
            end = file.seek(0, 2)
            if not _is_entry(last):
                self._cut(end - len(last), last)
                file.truncate(end - len(last))
            elif last and not last.endswith(b"\n"):
                file.write(b"\n")

    def _cut(self, offset: int, line: bytes) -> None:
        """Keep a line that is to be cut, unless there is damage before it: then nothing is touched."""
        before = self._path.read_bytes()[:offset].split(b"\n")[:-1]
        for number, entry in enumerate(before, 1):
            try:
                _entry(entry)
            except ValueError as error:
                raise _damaged(self._path, number, str(error)) from error
        kept = self._path.with_name(f"{self._path.name}.cut")
        with kept.open("ab") as file:
            file.write(line if line.endswith(b"\n") else line + b"\n")
        self._say(f"the last line of {self._path} ({len(before) + 1}) was no whole entry, as after a kill or a power "
                  f"cut: it is cut, and kept in {kept.name}")

    def _require_same(self) -> None:
        """Find out whether the file is still the one that was opened.

        Raises:
            RunError: where it was removed, replaced or cut meanwhile.
        """
        found = None
        with suppress(FileNotFoundError):
            found = self._path.stat()
        if found is None or not os.path.samestat(found, os.fstat(self._opened)) or found.st_size < self._next[1]:
            raise RunError(f"the search must stay in {str(self._path)!r} while a command works on it, but the file was "
                           "removed or replaced: put it back, then the same command goes on; without it the search "
                           "begins anew, and the runs of the lost one are set aside")


def _last_line(file: BinaryIO) -> bytes:
    begin, last = file.seek(0, 2), b""
    while begin and b"\n" not in last[:-1]:
        step = min(begin, 1 << 16)
        begin = file.seek(begin - step)
        last = file.read(step) + last
    return last[last[:-1].rfind(b"\n") + 1:]


def _is_entry(line: bytes) -> bool:
    try:
        _entry(line)
    except ValueError:
        return not line
    return True


def _entry(line: bytes) -> dict[str, Any]:
    """Return the entry of a journal's line.

    Raises:
        ValueError: for a line that is none, with the reason.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is no JSON") from error
    if not (isinstance(found, dict) and type(found.get("op_code")) is int and isinstance(found.get("worker_id"), str)):
        raise ValueError("it is JSON, but no entry of a search")
    if isinstance(found.get("values"), list) and len(found["values"]) > 1:
        raise ValueError("it gives a trial several values, and a search here has one objective")
    return found


def _damaged(path: Path, line: int, reason: str) -> RunError:
    file = shlex.quote(str(path))
    return RunError(
        f"each line of {str(path)!r} must be an entry of a search, but line {line} is damaged ({reason}). Put back a "
        f"copy of the file, or go on from what stands before that line: head -n {line - 1} {file} > kept && mv kept "
        f"{file}. The same sweep command then does again what was cut")


class _AppendLock(JournalFileSymlinkLock):
    """Lets one process append: no line is torn, and no dead process keeps the others waiting.

    Optuna's own lock, a file that its holder removes, is taken inside, for programs that know no other.
    """

    def __init__(self, path: Path, mend: Callable[[], None]) -> None:
        """Lock the file at `path`, and `mend` it whenever it is locked."""
        self._mend = mend
        self._ours = FileLock(f"{path}.append.lock")
        self._optunas = JournalFileSymlinkLock(str(path), grace_period=STALE_SECONDS)

    def acquire(self) -> bool:
        self._ours.acquire()
        try:
            self._optunas.acquire()
            try:
                self._mend()
            except BaseException:
                self._optunas.release()
                raise
        except BaseException:
            self._ours.release()
            raise
        return True

    def release(self) -> None:
        self._optunas.release()
        self._ours.release()


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
