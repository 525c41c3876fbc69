"""The storage of the searches, and locks under which a process makes several writes as one step.

A journal file serves one machine, or machines that share its folder; a database serves any number of machines. Optuna
makes single writes safe, but "count the trials, then begin one" takes several writes: `lock_for` keeps other processes
out meanwhile. A lock is released when its holder dies, however it dies.

A journal holds one entry per line. An incomplete last line comes from a kill or a power cut: it is removed and saved in
a file beside the journal. A journal with any other damage is refused, and nothing is appended to it.
"""

from __future__ import annotations

import hashlib
import json
import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

import optuna
from filelock import FileLock
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from gru_bench.errors import RunError, UsageError, without_passwords
from gru_bench.platforms import WINDOWS, patiently
from gru_bench.sweep.sharing.journal_lock import JournalLock

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

JOURNAL = "optuna.journal"
STORAGE_KINDS = "a database URL such as postgresql://user@host/name, or a file that ends in .journal"
STALE_SECONDS = 3
"""Age at which Optuna's own lock file, which protects a single write, counts as left by a killed process."""
MOST_IDLE_SECONDS = 60
"""Seconds after which a database ends an idle session that holds a lock, for example if its machine is gone."""


def open_storage(
    url: str | None, *, create: bool = True, say: Callable[[str], None] | None = None
) -> optuna.storages.BaseStorage:
    """Return the storage of the searches, opened: a journal file or a database.

    Args:
        url: Path of a .journal file or URL of a database; None means `optuna.journal` in the working directory.
        create: Whether the storage will be written to. If not, a missing journal is an error, and its folder may be
            read-only.
        say: Called with a sentence for the user when a journal is repaired.

    Raises:
        UsageError: The URL does not name a database, or a driver is not installed.
        RunError: The storage does not answer, is missing or is damaged.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if url is None or url.endswith(".journal"):
        return JournalFile(Path(url or JOURNAL), create=create, say=say)
    with _opening(url):
        return _open_database(url)


def stored_names(url: str | None) -> list[str] | None:
    """Return the names of Optuna's studies in a storage; None where the storage does not exist yet.

    Nothing is created or repaired: `open_storage` may repair a journal, and creates the tables of a database.

    Args:
        url: As in `open_storage`.

    Raises:
        UsageError: As in `open_storage`.
        RunError: The storage does not answer or is damaged.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if url is None or url.endswith(".journal"):
        path = Path(url or JOURNAL)
        if path.parent.is_dir() and not path.exists():
            return None
        return optuna.get_all_study_names(JournalFile(path, create=False, mend=False))
    with _opening(url):
        import sqlalchemy

        engine = sqlalchemy.create_engine(url)
        try:
            if engine.dialect.name == "sqlite" and not Path(engine.url.database or "").is_file():
                return None  # to connect would create the file
            with engine.connect() as connection:
                if not sqlalchemy.inspect(connection).has_table("studies"):
                    return None
                return list(connection.execute(sqlalchemy.text("SELECT study_name FROM studies")).scalars())
        finally:
            engine.dispose()


@contextmanager
def _opening(url: str) -> Iterator[None]:
    """Turn errors of opening a database into ours.

    Raises:
        UsageError: The URL does not name a database, or a driver is not installed.
        RunError: The storage does not answer.
    """
    if "://" not in url:
        raise UsageError(f"--storage must be {STORAGE_KINDS}, but got {url!r}")
    try:
        yield
    except UsageError:
        raise
    except ImportError as error:
        raise UsageError(f"--storage {without_passwords(url)} needs a driver that is not installed here ({error}): "
                         "pip install \"gru-bench[postgresql]\" for PostgreSQL") from error
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise RunError(f"the search's storage must answer, but {without_passwords(url)!r} does not: {lines[0]}. Start "
                       "its server, or leave --storage out to use optuna.journal in this directory") from error


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
        raise RunError(f"the search's storage must answer, but {without_passwords(url or JOURNAL)!r} no longer "
                       f"does: {cause}. Nothing is lost: run the same command again when it answers") from error


def lock_for(storage: optuna.storages.BaseStorage, name: str) -> AbstractContextManager[object]:
    """Return the reentrant lock called `name` in a storage; a journal has one lock for all names.

    Raises:
        UsageError: The database has no such locks.
    """
    if isinstance(storage, JournalFile):
        return storage.step_lock
    if isinstance(storage, optuna.storages.RDBStorage):
        return _database_lock(storage.engine, name)
    raise UsageError(f"--storage must be {STORAGE_KINDS}, but got a {type(storage).__name__}")


class JournalFile(optuna.storages.JournalStorage):
    """Optuna's journal storage in a file that survives a kill during a write, and is refused when it is damaged."""

    def __init__(
        self, path: Path, *, create: bool = True, mend: bool = True, say: Callable[[str], None] | None = None
    ) -> None:
        """Open the file.

        Args:
            path: Path of the journal.
            create: Whether the journal will be written to, and created if it does not exist.
            mend: Whether an incomplete last line is removed where the folder can be written. Otherwise it is ignored.
            say: Called with a sentence for the user when the journal is repaired, or when another process keeps its
                lock.

        Raises:
            UsageError: The folder does not exist.
            RunError: The journal is missing, not a file, or damaged.
        """
        self.path = path
        self._damage: RunError | None = None
        if not path.parent.is_dir():
            raise UsageError(f"--storage must name a file in a folder that exists, but got {str(path)!r}: make "
                             f"{path.parent} first")
        if path.exists() and not path.is_file():
            raise RunError(f"the search must be in a file, but {str(path)!r} is not a file: move it away, or name "
                           "another with --storage FILE.journal")
        if not create and not path.exists():
            raise RunError(f"the search must be in {str(path)!r}, but there is no such file: run this in the sweep's "
                           "directory, or name another file with --storage. If it is lost, the sweep command begins "
                           "a new search and does not use the runs of the lost one")
        say = say or (lambda _: None)
        self.step_lock = JournalLock(path.with_name(f"{path.name}.step.lock"), say)
        self._journal = _Journal(path, say)
        if create or (mend and os.access(path.parent, os.W_OK)):
            self._journal.mend()
        elif not self._journal.is_whole:
            say(f"the last line of {path} is incomplete, as after a kill: it is ignored")
        super().__init__(self._journal)

    def _write_log(self, op_code: int, extra_fields: dict[str, Any]) -> None:
        if self._damage is not None:
            raise self._damage
        self.step_lock.require()
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
        except OSError:
            raise  # the file cannot be read now
        except Exception as error:
            if self._journal.latest.get("worker_id") == replay.worker_id:
                raise  # this process asked for something invalid, such as to end a trial that has ended
            self._damage = _damaged(self.path, self._journal.line, f"{type(error).__name__}: {error}")
            raise self._damage from error

    def _sound(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Return an entry after checking that an earlier entry began the trial or study that it names.

        Optuna would skip such an entry silently.

        Raises:
            RunError: The entry names an unknown trial or study.
        """
        replay = self._replay_result
        trial, study = entry.get("trial_id", 0), entry.get("study_id", 0)
        if entry["worker_id"] != replay.worker_id and (
                ("trial_id" in entry and trial not in replay._trials)
                or ("study_id" in entry and not 0 <= study < replay._next_study_id)):
            raise _damaged(self.path, self._journal.line, "it is about a trial that no earlier line begins")
        return entry


class _Journal(JournalFileBackend):
    """The lines of a journal file."""

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self._path, self._say = path, say
        self._next = (0, 0)
        """Number and byte offset of the first entry that is not read yet."""
        self.latest: dict[str, Any] = {}
        """The latest entry that was read."""
        super().__init__(str(path), lock_obj=_AppendLock(path, self._mend, say))
        self._opened = os.open(path, os.O_RDONLY)  # while it is open, no other file gets its inode number
        weakref.finalize(self, os.close, self._opened)

    @property
    def line(self) -> int:
        """Number of the latest line that was read, from 1."""
        return self._next[0]

    @property
    def is_whole(self) -> bool:
        """Whether the journal is empty or its last line is an entry."""
        with patiently(lambda: self._path.open("rb")) as file:
            return _is_entry(_last_line(file))

    def mend(self) -> None:
        """Remove the last line if it is not an entry."""
        self._lock.acquire()
        self._lock.release()

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries. They are written as a whole or not at all, unless this process is killed meanwhile."""
        patiently(lambda: super(_Journal, self).append_logs(logs))  # what is refused here is opening the file

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]  # a generator
        """Yield the entries from a number on; an incomplete last line is left for the next writer to repair."""
        self._require_same()
        number, offset = self._next if self._next[0] == log_number_from else (0, 0)
        with patiently(lambda: self._path.open("rb")) as file:
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
        """Make the file end with a complete entry; text appended to an incomplete line could not be read again."""
        self._require_same()
        with patiently(lambda: self._path.open("rb+")) as file:
            last = _last_line(file)
            end = file.seek(0, 2)
            if not _is_entry(last):
                self._cut(end - len(last), last)
                file.truncate(end - len(last))
            elif last and not last.endswith(b"\n"):
                file.write(b"\n")

    def _cut(self, offset: int, line: bytes) -> None:
        """Save an incomplete last line in a file beside the journal.

        Raises:
            RunError: An earlier line is damaged; nothing is changed.
        """
        before = self._path.read_bytes()[:offset].split(b"\n")[:-1]
        for number, entry in enumerate(before, 1):
            try:
                _entry(entry)
            except ValueError as error:
                raise _damaged(self._path, number, str(error)) from error
        saved = self._path.with_name(f"{self._path.name}.cut")
        with saved.open("ab") as file:
            file.write(line if line.endswith(b"\n") else line + b"\n")
        self._say(f"the last line of {self._path} ({len(before) + 1}) was incomplete, as after a kill or a power cut: "
                  f"it is removed, and saved in {saved.name}")

    def _require_same(self) -> None:
        """Check that the file is still the one that was opened.

        Raises:
            RunError: The file was removed, replaced or truncated meanwhile.
        """
        found = None
        with suppress(FileNotFoundError):
            found = self._path.stat()
        if found is None or not os.path.samestat(found, os.fstat(self._opened)) or found.st_size < self._next[1]:
            raise RunError(f"the search must stay in {str(self._path)!r} while a command works on it, but the file was "
                           "removed or replaced: put it back and run the same command again; without the file a new "
                           "search begins, which does not use the runs of the lost one")


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
    """Return the entry on a line of a journal.

    Raises:
        ValueError: The line is not an entry; the message gives the reason.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError("it is not JSON") from error
    if not (isinstance(found, dict) and type(found.get("op_code")) is int and isinstance(found.get("worker_id"), str)):
        raise ValueError("it is JSON, but not an entry of a search")
    if isinstance(found.get("values"), list) and len(found["values"]) > 1:
        raise ValueError("it gives a trial several values, but a search here has one objective")
    return found


def _damaged(path: Path, line: int, reason: str) -> RunError:
    return RunError(
        f"each line of {str(path)!r} must be an entry of a search, but line {line} is damaged ({reason}). Restore a "
        f"copy of the file, or remove this line and all after it in an editor, so that {line - 1:,} are left. The same "
        "sweep command then repeats what was removed")


class _AppendLock(JournalFileOpenLock):
    """Lock for appending to a journal: lines are never mixed up, and a dead process never blocks the others.

    Optuna's own lock, a file that its holder removes, is taken as well, because other programs may use the journal.
    It is the one that needs no symbolic link, which Windows allows to few users. It keeps the other one out as well.
    """

    def __init__(self, path: Path, mend: Callable[[], None], say: Callable[[str], None]) -> None:
        """Lock the file at `path`; `mend` is called each time it is locked, and `say` as by a `JournalLock`."""
        self._mend, self._place = mend, Path(f"{path}.lock")
        self._ours = JournalLock(path.with_name(f"{path.name}.append.lock"), say)
        self._optunas = JournalFileOpenLock(str(path), grace_period=STALE_SECONDS)

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
        try:
            patiently(self._release_optunas)
        except PermissionError:
            if not WINDOWS:
                raise  # otherwise a virus scanner holds the file open: it soon counts as left by a killed process
        finally:
            self._ours.release()

    def _release_optunas(self) -> None:
        """Release Optuna's lock.

        Raises:
            PermissionError: Another program holds the lock file open.
            RuntimeError: Another process has removed the lock as stale.
        """
        try:
            self._optunas.release()
        except RuntimeError as error:
            if not isinstance(error.__context__, PermissionError):
                raise
            if self._place.exists():  # otherwise it is renamed, which is enough
                raise error.__context__ from None


class _DatabaseLock:
    """PostgreSQL's advisory lock, held by a session; it is released when the connection closes or times out."""

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
        """Wait for the advisory lock of a transaction."""
        from sqlalchemy import text

        key = int.from_bytes(self._digest[:8], "big", signed=True)
        connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{MOST_IDLE_SECONDS}s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})

    def _release(self, connection: Connection) -> None:
        connection.commit()


class _NamedLock(_DatabaseLock):
    """The named lock of MySQL and MariaDB, held by a session."""

    def _take(self, connection: Connection) -> None:
        from sqlalchemy import text

        connection.execute(text(f"SET SESSION wait_timeout = {MOST_IDLE_SECONDS}"))
        connection.execute(text("SELECT GET_LOCK(:name, -1)"), {"name": self._digest.hex()[:60]})

    def _release(self, connection: Connection) -> None:
        connection.invalidate()  # the session ends instead of returning to the pool, and releases the lock


def _database_lock(engine: Engine, name: str) -> AbstractContextManager[object]:
    match engine.dialect.name:
        case "postgresql":
            return _DatabaseLock(engine, name)
        case "mysql" | "mariadb":
            return _NamedLock(engine, name)
        case "sqlite":
            return FileLock(f"{engine.url.database}.step.lock", is_singleton=True)
        case other:
            raise UsageError("--storage must be on PostgreSQL, MySQL, MariaDB or SQLite, because a shared study needs "
                             f"their locks, but got {other!r}")


def _open_database(url: str) -> optuna.storages.RDBStorage:
    """Return a database storage; its tables are created under a lock, because only one process may create them."""
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
