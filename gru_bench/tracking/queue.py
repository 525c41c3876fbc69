"""Write queue on disk for MLflow: no write is lost when a server goes away or this process is killed.

Each process that logs runs has a folder of its own under `.gru-bench/queue`, beside the database file or, if the store
is a server, in the working directory. The next start looks there, whatever its study. (A cache folder would be
wrong: it may be emptied, and each machine of a cluster may have its own.)

    owner.json           the tracking URI (without a password), and whose folder this is
    lock                 held by the process that writes or syncs the folder; the system releases it when that process
                         dies. (A network drive may hide it from other machines: they use the time of the last touch.)
    operations.jsonl     the operations in order, one per line
    files/               artifacts of operations that MLflow does not have yet (for a server: of all operations)
    applied.jsonl        the byte up to which MLflow has the operations, and the ids that it gave to runs
    refused.jsonl        operations that MLflow refused, with the reason

An operation is written to the file before the call that asks for it returns, so that it survives a killed process. If
it begins or ends a run or has artifacts, it is also flushed to the disk (fsync): a power cut can cost epochs of running
runs, but no more. An incomplete last line is removed.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import shutil
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gru_bench import platforms
from gru_bench.config import MetricName
from gru_bench.errors import RunError, same_command, without_passwords
from gru_bench.tracking.client import sqlite_path

if TYPE_CHECKING:
    from filelock import BaseFileLock

FOLDER = Path(".gru-bench") / "queue"
LOCAL = "local-"
"""Prefix of a local run id, which a run has until MLflow gives it an id."""
_OWNER, _LOCK, _OPERATIONS, _FILES = "owner.json", "lock", "operations.jsonl", "files"
_APPLIED, _REFUSED = "applied.jsonl", "refused.jsonl"
TOUCH_SECONDS = 10.0
"""Seconds between two touches of a folder, which show that its process lives."""
SILENT_SECONDS = 300.0
"""Seconds without a touch after which a folder of another machine counts as abandoned."""
DIED = "its process ended without a word"
_SET_ASIDE = ".refused"
"""Suffix of a folder that holds only what MLflow refused."""


@dataclass(frozen=True)
class Beginning:
    """The part of an operation that begins a run."""

    experiment: str
    """Name of the experiment."""
    parent: str | None
    """Id of the parent run, MLflow's or a local one."""


@dataclass(frozen=True)
class Operation:
    """The writes of one call to one run. Either all of them are in MLflow, or all of them wait."""

    run: str
    """Id of the run, MLflow's or a local one."""
    time: int
    """Milliseconds since the epoch."""
    beginning: Beginning | None = None
    dataset: tuple[str, str] | None = None
    """Name and fingerprint of the data that the run trains on."""
    artifacts: Mapping[str, str] = field(default_factory=dict)
    """Path among the run's artifacts -> path among the queue's files."""
    metrics: tuple[tuple[str, float, int], ...] = ()
    """Key, value and step of each point."""
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    status: str | None = None
    """New MLflow status of the run; None changes nothing."""
    model: str = ""
    """Name of the model whose weights are among the artifacts; empty where none are."""
    view: MetricName | None = None
    """Score of the studies that the run's experiment gets a saved view for; None changes nothing."""

    def to_json(self) -> str:
        """Return the operation as one line."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        if self.beginning is not None:
            values["beginning"] = asdict(self.beginning)
        return json.dumps({name: value for name, value in values.items() if value})

    @classmethod
    def from_json(cls, text: str | bytes) -> Operation:
        """Parse an operation from the text of `to_json`.

        Raises:
            ValueError, TypeError, KeyError: The text is not an operation.
        """
        values = json.loads(text)
        if "beginning" in values:
            values["beginning"] = Beginning(**values["beginning"])
        if "dataset" in values:
            values["dataset"] = tuple(values["dataset"])
        values["metrics"] = tuple((key, value, step) for key, value, step in values.get("metrics", ()))
        return cls(**values)


@dataclass(frozen=True)
class Waiting:
    """The number of writes that wait in a queue for its tracking store."""

    uri: str
    operations: int
    runs: int
    studies: frozenset[str] = frozenset()
    """Names of the studies whose parent run waits to be begun."""

    def __str__(self) -> str:
        """Return the numbers as a clause for messages."""
        return (f"{self.operations} write{'s' * (self.operations != 1)} of {self.runs} run{'s' * (self.runs != 1)} "
                f"wait{'s' * (self.operations == 1)} in {FOLDER} for {self.uri}")


class WriteQueue:
    """The write queue of one process, in a folder of its own. One thread appends to it, another one syncs it."""

    def __init__(self, folder: Path, lock: BaseFileLock | None = None, *, keep_files: bool = False) -> None:
        """Open a queue.

        Args:
            folder: Folder of the queue.
            lock: The folder's lock, held by this process; None opens the queue for reading only.
            keep_files: Whether artifacts stay until the queue is closed, so that they can be read while the store is
                away.
        """
        self.folder, self._lock, self._keep_files = folder, lock, keep_files
        owner = json.loads((folder / _OWNER).read_text(encoding="utf-8"))
        self.host: str = owner["host"]
        self.uri = _resolved(owner["uri"], folder.parent)
        self.ids: dict[str, str] = {}
        """Local id -> MLflow's."""
        self._attempted: set[str] = set()
        self._changing = threading.Lock()
        self._artifact_files: dict[tuple[str, str], Path] = {}
        self._latest = 0
        self._touched = time.monotonic()
        self.applied = 0
        for line in _whole_lines(folder / _APPLIED):
            try:
                note = json.loads(line)
            except ValueError:
                continue
            self.applied = note.get("upto", self.applied)
            self.ids |= note.get("ids", {})
            self._attempted |= {note["attempt"]} if "attempt" in note else set()
        path = folder / _OPERATIONS
        content = path.read_bytes() if path.exists() else b""
        self.written = content.rfind(b"\n") + 1
        if lock is not None and self.written < len(content):
            platforms.patiently(lambda: os.truncate(path, self.written))

    @classmethod
    def begin(cls, root: Path, uri: str, *, keep_files: bool = False) -> WriteQueue:
        """Create the queue of this process in `root`, for writes to `uri`.

        Raises:
            RunError: The folder cannot be written.
        """
        folder = root / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        try:
            root.mkdir(parents=True, exist_ok=True)
            ignore = root.parent / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", encoding="utf-8")
            with _root_lock(root):
                folder.mkdir()
                owner = {"uri": _portable(uri, root), "host": platform.node(), "pid": os.getpid()}
                (folder / _OWNER).write_text(json.dumps(owner), encoding="utf-8")
                lock = _folder_lock(folder)
                lock.acquire()
        except OSError as error:
            raise _unwritable(folder, error) from error
        return cls(folder, lock, keep_files=keep_files)

    def append(self, operation: Operation, files: Mapping[str, bytes] | None = None) -> None:
        """Add an operation and its artifacts; they are on disk when this returns.

        Each operation gets a later time than the one before: of two points at one step, MLflow uses the later one.

        Args:
            operation: The operation.
            files: Path of an artifact in the run -> its content.

        Raises:
            RunError: The disk is full or fails; nothing was added.
        """
        lasting = operation.beginning is not None or operation.status is not None or bool(files)
        begin, places = self.written, {}
        path = self.folder / _OPERATIONS
        try:
            for number, (artifact, content) in enumerate((files or {}).items()):
                place = f"{begin}-{number}/{artifact.rpartition('/')[2]}"
                (self.folder / _FILES / place).parent.mkdir(parents=True)
                _write(self.folder / _FILES / place, content, lasting)
                places[artifact] = place
            operation = replace(operation, artifacts=places, time=max(operation.time, self._latest + 1))
            line = operation.to_json().encode() + b"\n"
            _write(path, line, lasting)
        except OSError as error:
            # Remove the incomplete line: the next operation must not follow it.
            if path.exists():
                platforms.patiently(lambda: os.truncate(path, begin))
            self._remove(f"{begin}-{number}" for number in range(len(files or {})))
            raise _unwritable(self.folder, error) from error
        with self._changing:
            self._artifact_files |= {(operation.run, artifact): self.folder / _FILES / place
                            for artifact, place in places.items()}
            self.written = begin + len(line)
        self._latest = operation.time

    def file(self, run_id: str, artifact: str) -> Path | None:
        """Return the file of an artifact that this process has added; None if it is no longer in the queue."""
        with self._changing:
            names = [run_id, *(local for local, known in self.ids.items() if known == run_id)]
            found = (self._artifact_files.get((name, artifact)) for name in names)
            return next((file for file in found if file is not None), None)

    def pending(self) -> Iterator[tuple[int, bytes]]:
        """Yield (offset of its end, line) for each operation that MLflow does not have yet."""
        yield from self._lines(self.applied)

    def _lines(self, offset: int) -> Iterator[tuple[int, bytes]]:
        if offset >= self.written:
            return
        try:
            opened = platforms.patiently(lambda: (self.folder / _OPERATIONS).open("rb"))
        except FileNotFoundError as error:
            raise _unwritable(self.folder, error) from error
        with opened as file:
            file.seek(offset)
            for line in file:
                offset += len(line)
                if offset > self.written:
                    return
                yield offset, line

    def close_runs(self) -> None:
        """Add operations that end the runs that a dead process left open, except the study's parent run.

        Other processes may still work on the study.

        Raises:
            RunError: The operations cannot be written.
        """
        open_runs: set[str] = set()
        for _, line in self._lines(0):
            with suppress(ValueError, TypeError, KeyError):
                operation = Operation.from_json(line)
                self._latest = operation.time
                if operation.beginning is not None and operation.tags.get("gru_bench.role") != "study":
                    open_runs.add(operation.run)
                elif operation.status is not None:
                    open_runs.discard(operation.run)
        for run in sorted(open_runs):
            # Use the time of the last operation: if another process has ended the run since then, its end counts.
            self.append(Operation(run, self._latest + 1, status="KILLED", tags={
                "gru_bench.state": "killed", "gru_bench.reason": DIED}))

    def touch(self) -> None:
        """Touch the lock file from time to time, which shows other machines that this process lives."""
        now = time.monotonic()
        if now - self._touched > TOUCH_SECONDS:
            self._touched = now
            with suppress(OSError):
                (self.folder / _LOCK).touch()

    @property
    def is_synced(self) -> bool:
        """Whether MLflow has all operations."""
        return self.applied >= self.written

    def waiting(self) -> Waiting:
        """Return the number of operations that MLflow does not have yet."""
        runs, studies, count = set(), set(), 0
        for _, line in self.pending():
            count += 1
            try:
                operation = Operation.from_json(line)
            except (ValueError, TypeError, KeyError):
                continue
            runs.add(operation.run)
            if operation.beginning is not None and operation.tags.get("gru_bench.role") == "study":
                studies.add(operation.tags.get("gru_bench.study", ""))
        return Waiting(self.uri, count, len(runs), frozenset(studies))

    def attempt(self, run: str) -> bool:
        """Note that a run is about to be created in MLflow; return whether this had been noted before."""
        before = run in self._attempted
        if not before:
            self._attempted.add(run)
            self._note(attempt=run)
        return before

    def identify(self, run: str, run_id: str) -> None:
        """Note the id that MLflow has given to a run."""
        self._note(ids={run: run_id})
        with self._changing:
            self.ids[run] = run_id

    def mark(self, upto: int, operation: Operation | None) -> None:
        """Note that MLflow has the operation whose line ends at `upto`, and all before it."""
        self._note(upto=upto)
        with self._changing:
            self.applied = upto
        if operation is None or self._keep_files:
            return
        with self._changing:
            for artifact in operation.artifacts:
                self._artifact_files.pop((operation.run, artifact), None)
        self._remove(place.partition("/")[0] for place in operation.artifacts.values())

    def refuse(self, upto: int, line: bytes, reason: str) -> None:
        """Save the operation whose line ends at `upto` as refused by MLflow, and go past it. Its files stay."""
        note = {"reason": reason, "line": line.decode(errors="replace")}
        _write(self.folder / _REFUSED, json.dumps(note).encode() + b"\n", lasting=True)
        self.mark(upto, None)

    def close(self) -> None:
        """Release the folder; it is removed if MLflow has all operations."""
        with _root_lock(self.folder.parent):
            if self._lock is not None:
                self._lock.release()
                self._lock = None
            if not self.is_synced:
                return
            if (self.folder / _REFUSED).exists():
                with suppress(PermissionError):  # held open by another program: a later start sets it aside
                    platforms.replace(self.folder, self.folder.with_name(self.folder.name + _SET_ASIDE))
            else:
                shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, place: str) -> Path:
        """Return the path of a file of an operation."""
        return self.folder / _FILES / place

    def _remove(self, places: Iterator[str]) -> None:
        for place in places:
            shutil.rmtree(self.folder / _FILES / place, ignore_errors=True)

    def _note(self, **note: Any) -> None:
        _write(self.folder / _APPLIED, json.dumps(note).encode() + b"\n", lasting=False)


def abandoned_queues(root: Path) -> list[WriteQueue]:
    """Return the queues in `root` that dead processes have left with pending operations, oldest first.

    Each of them is locked for this process.
    """
    from filelock import Timeout

    found: list[WriteQueue] = []
    if not root.is_dir():
        return found
    with _root_lock(root):
        for folder in _folders(root):
            silent = _seconds_since_touch(folder)  # taking the lock may touch it
            lock = _folder_lock(folder)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            try:
                if WriteQueue(folder).host != platform.node() and silent < SILENT_SECONDS:
                    lock.release()
                    continue
                queue = WriteQueue(folder, lock)
                queue.close_runs()
                found.append(queue)
            except RunError:  # the disk is full: leave it to a later start
                lock.release()
            except (OSError, ValueError, KeyError):  # its process was killed before it wrote anything
                lock.release()
                shutil.rmtree(folder, ignore_errors=True)
    for queue in [queue for queue in found if queue.is_synced]:
        found.remove(queue)
        queue.close()
    return found


def _seconds_since_touch(folder: Path) -> float:
    """Return the seconds since the last touch of the folder of a queue, by the clock of its drive."""
    clock = folder.parent / ".clock"
    clock.touch()
    times = [path.stat().st_mtime for name in (_OWNER, _LOCK, _OPERATIONS, _APPLIED)
             if (path := folder / name).exists()]
    return clock.stat().st_mtime - max(times, default=0.0)


def waiting(directory: Path, uri: str | None = None) -> list[Waiting]:
    """Return the waiting writes of each queue in a directory, for one tracking URI or all; nothing is changed."""
    root, found = directory / FOLDER, []
    uri = None if uri is None else without_passwords(uri)
    for folder in _folders(root) if root.is_dir() else ():
        try:
            one = WriteQueue(folder).waiting()
        except (RunError, OSError, ValueError, KeyError):  # the folder is being created or removed
            continue
        if one.operations and uri in (None, one.uri):
            found.append(one)
    return found


def new_run() -> str:
    """Return a new local run id."""
    return f"{LOCAL}{uuid.uuid4().hex}"


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.endswith(_SET_ASIDE))


def _root_lock(root: Path) -> BaseFileLock:
    """Return the lock under which folders are created, removed or taken over."""
    from filelock import FileLock

    return FileLock(root / ".lock")


def _folder_lock(folder: Path) -> BaseFileLock:
    from filelock import FileLock

    return FileLock(folder / _LOCK, thread_local=False)


def _portable(uri: str, root: Path) -> str:
    """Return a URI without its password; that of a database in the working directory is made relative to it."""
    database = sqlite_path(uri)
    directory = root.parent.parent
    if database is None or not database.is_relative_to(directory):
        return without_passwords(uri)
    return f"sqlite:///{database.relative_to(directory).as_posix()}"


def _resolved(uri: str, root: Path) -> str:
    path = uri.removeprefix("sqlite:///")
    return uri if path == uri else f"sqlite:///{(root.parent.parent / path).resolve()}"


def _whole_lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []


def _write(path: Path, content: bytes, lasting: bool) -> None:
    """Append to a file, unbuffered; `lasting` also flushes it to the disk."""
    with platforms.patiently(lambda: path.open("ab", buffering=0)) as file:
        left = memoryview(content)
        while left:
            left = left[file.write(left):]
        if lasting:
            os.fsync(file.fileno())


def _unwritable(folder: Path, error: OSError) -> RunError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(f"there must be free space on the disk for what runs log, but none is left in {folder}: free "
                        f"some and run {same_command()} again; what was logged so far is safe")
    if error.errno == errno.ENOENT:
        return RunError(f"the write queue {folder} must stay in place while a command works, but it was removed: "
                        f"run {same_command()} again, which continues from what MLflow has")
    return RunError(f"the write queue {folder} must be writable, but is not ({error.strerror}): run this in a "
                    "directory that you may write to")
