"""What is to be written to MLflow, on disk first: nothing is lost when a server goes away or this process is killed.

Each process that logs runs has a folder of its own under `.gru-bench/queue` beside the database file, or where the
store is a server in the working directory: there the next start looks, whatever its study, and there it is seen (a
cache may be emptied, or be another on the next machine of a cluster).

    owner.json           the tracking URI (without a password), and whose folder this is
    lock                 held by whoever writes or feeds the folder; the system frees it when that process dies. (A
                         network drive may not show it to other machines: those look at the time of the last touch.)
    operations.jsonl     one operation a line, in order
    files/               the artifacts of operations that MLflow does not have yet (a server's: of all)
    applied.jsonl        up to which byte MLflow has the operations, and the ids it gave to runs
    refused.jsonl        operations that MLflow would not take, and why

An operation is one write to the file, made before the call that asks for it returns, so that it outlives a killed
process. It is on the disk itself (fsync) where it begins or ends a run: a power cut may cost epochs of runs that
were under way, and no more. A last line that was broken off is cut.
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

from gru_bench.errors import RunError
from gru_bench.tracking.client import sqlite_path, without_password

if TYPE_CHECKING:
    from filelock import BaseFileLock

FOLDER = Path(".gru-bench") / "queue"
LOCAL = "local-"
"""How the id of a run begins that MLflow has not given one yet."""
_OWNER, _LOCK, _OPERATIONS, _FILES = "owner.json", "lock", "operations.jsonl", "files"
_APPLIED, _REFUSED = "applied.jsonl", "refused.jsonl"
TOUCH_SECONDS = 10.0
SILENT_SECONDS = 300.0
"""After which a folder of another machine is taken for left."""
DIED = "its process ended without a word"
_SET_ASIDE = ".refused"
"""Ending of a folder that holds nothing more but what MLflow refused."""


@dataclass(frozen=True)
class Beginning:
    """The beginning of a run."""

    experiment: str
    """Its name."""
    parent: str | None
    """The id of the run above it, MLflow's or a local one."""


@dataclass(frozen=True)
class Operation:
    """What one call adds to a run: all of it reaches MLflow, or all of it waits."""

    run: str
    """MLflow's id, or a local one."""
    time: int
    """Milliseconds since the epoch."""
    beginning: Beginning | None = None
    dataset: tuple[str, str] | None = None
    """Name and fingerprint of what the run trains on."""
    artifacts: Mapping[str, str] = field(default_factory=dict)
    """Path among the run's artifacts -> path among the queue's files."""
    metrics: tuple[tuple[str, float, int], ...] = ()
    """Key, value and step of each point."""
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    status: str | None = None
    """MLflow's, which the run has from then on."""

    def to_json(self) -> str:
        """Return the operation as one line."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        if self.beginning is not None:
            values["beginning"] = asdict(self.beginning)
        return json.dumps({name: value for name, value in values.items() if value})

    @classmethod
    def from_json(cls, text: str | bytes) -> Operation:
        """Rebuild an operation from `to_json`'s text.

        Raises:
            ValueError, TypeError, KeyError: for another text.
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
    """What waits in a queue's folder for its tracking store."""

    uri: str
    operations: int
    runs: int

    def __str__(self) -> str:
        """Return it in words."""
        return (f"{self.operations} write{'s' * (self.operations != 1)} of {self.runs} run{'s' * (self.runs != 1)} "
                f"wait{'s' * (self.operations == 1)} in {FOLDER} for {self.uri}")


class WriteQueue:
    """The folder of one owner. One thread appends, one feeds."""

    def __init__(self, folder: Path, lock: BaseFileLock | None = None, *, keep_files: bool = False) -> None:
        """Open what is in `folder`.

        Args:
            folder: of the queue.
            lock: of the folder, which is held; without it the folder is only looked at.
            keep: whether artifacts stay until the queue is closed, to be read while the store is away.
        """
        self.folder, self._lock, self._keep_files = folder, lock, keep_files
        owner = json.loads((folder / _OWNER).read_text())
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
            os.truncate(path, self.written)

    @classmethod
    def begin(cls, root: Path, uri: str, *, keep_files: bool = False) -> WriteQueue:
        """Make the folder of this process in `root`, for writes to `uri`; `keep` as for the queue.

        Raises:
            RunError: where it cannot be written.
        """
        folder = root / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        try:
            root.mkdir(parents=True, exist_ok=True)
            (root.parent / ".gitignore").write_text("*\n")
            with _root_lock(root):
                folder.mkdir()
                owner = {"uri": _portable(uri, root), "host": platform.node(), "pid": os.getpid()}
                (folder / _OWNER).write_text(json.dumps(owner))
                lock = _folder_lock(folder)
                lock.acquire()
        except OSError as error:
            raise _unwritable(folder, error) from error
        return cls(folder, lock, keep_files=keep_files)

    def append(self, operation: Operation, files: Mapping[str, bytes] | None = None) -> None:
        """Add an operation, with the content of each of its artifacts by path; it is on disk when this returns.

        Its time is moved on where it is not later than that of the last: of two points at a step the later one holds.

        Raises:
            RunError: where the disk is full or fails; then nothing was added.
        """
        lasting = operation.beginning is not None or operation.status is not None
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
            # What was begun must not stand before what comes next.
            if path.exists():
                os.truncate(path, begin)
            self._remove(f"{begin}-{number}" for number in range(len(files or {})))
            raise _unwritable(self.folder, error) from error
        with self._changing:
            self._artifact_files |= {(operation.run, artifact): self.folder / _FILES / place
                            for artifact, place in places.items()}
            self.written = begin + len(line)
        self._latest = operation.time

    def file(self, run_id: str, artifact: str) -> Path | None:
        """Return the file of an artifact that this process has added, while it is here."""
        with self._changing:
            names = [run_id, *(local for local, known in self.ids.items() if known == run_id)]
            found = (self._artifact_files.get((name, artifact)) for name in names)
            return next((file for file in found if file is not None), None)

    def pending(self) -> Iterator[tuple[int, bytes]]:
        """Yield the lines that MLflow does not have yet, each with the offset of its end."""
        yield from self._lines(self.applied)

    def _lines(self, offset: int) -> Iterator[tuple[int, bytes]]:
        if offset >= self.written:
            return
        try:
            opened = (self.folder / _OPERATIONS).open("rb")
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
        """End the runs that their process, which has died, has left open; but not a study's own, which others share.

        Raises:
            RunError: where that cannot be written.
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
            # At the time of the last sign of life: whoever has ended the run since then is right.
            self.append(Operation(run, self._latest + 1, status="KILLED", tags={
                "gru_bench.state": "killed", "gru_bench.reason": DIED}))

    def touch(self) -> None:
        """Show other machines that this process lives."""
        now = time.monotonic()
        if now - self._touched > TOUCH_SECONDS:
            self._touched = now
            with suppress(OSError):
                (self.folder / _LOCK).touch()

    def seconds_since_touch(self) -> float:
        """Return the seconds since the folder was touched last, by the clock of the drive it is on."""
        clock = self.folder.parent / ".clock"
        clock.touch()
        times = [path.stat().st_mtime for name in (_OWNER, _LOCK, _OPERATIONS, _APPLIED)
                 if (path := self.folder / name).exists()]
        return clock.stat().st_mtime - max(times)

    @property
    def is_synced(self) -> bool:
        """Whether MLflow has all."""
        return self.applied >= self.written

    def waiting(self) -> Waiting:
        """Return what waits here."""
        runs, count = set(), 0
        for _, line in self.pending():
            count += 1
            try:
                runs.add(Operation.from_json(line).run)
            except (ValueError, TypeError, KeyError):
                continue
        return Waiting(self.uri, count, len(runs))

    def attempt(self, run: str) -> bool:
        """Note that a run is about to be made in MLflow; return whether that was noted before."""
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
        """Set aside the operation whose line ends at `upto`, which MLflow will not take; its files stay."""
        note = {"reason": reason, "line": line.decode(errors="replace")}
        _write(self.folder / _REFUSED, json.dumps(note).encode() + b"\n", lasting=True)
        self.mark(upto, None)

    def close(self) -> None:
        """Give the folder up; it goes away where MLflow has all."""
        with _root_lock(self.folder.parent):
            if self._lock is not None:
                self._lock.release()
                self._lock = None
            if not self.is_synced:
                return
            if (self.folder / _REFUSED).exists():
                self.folder.rename(self.folder.with_name(self.folder.name + _SET_ASIDE))
            else:
                shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, place: str) -> Path:
        """Return where one of an operation's files lies."""
        return self.folder / _FILES / place

    def _remove(self, places: Iterator[str]) -> None:
        for place in places:
            shutil.rmtree(self.folder / _FILES / place, ignore_errors=True)

    def _note(self, **note: Any) -> None:
        _write(self.folder / _APPLIED, json.dumps(note).encode() + b"\n", lasting=False)


def abandoned_queues(root: Path) -> list[WriteQueue]:
    """Return the queues in `root` whose owners have died with something to do, oldest first, each locked for us."""
    from filelock import Timeout

    found: list[WriteQueue] = []
    if not root.is_dir():
        return found
    with _root_lock(root):
        for folder in _folders(root):
            lock = _folder_lock(folder)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            try:
                there = WriteQueue(folder)
                if there.host != platform.node() and there.seconds_since_touch() < SILENT_SECONDS:
                    lock.release()
                    continue
                queue = WriteQueue(folder, lock)
                queue.close_runs()
                found.append(queue)
            except RunError:  # no space: later
                lock.release()
            except (OSError, ValueError, KeyError):  # killed before it held anything
                lock.release()
                shutil.rmtree(folder, ignore_errors=True)
    for queue in [queue for queue in found if queue.is_synced]:
        found.remove(queue)
        queue.close()
    return found


def waiting(directory: Path, uri: str | None = None) -> list[Waiting]:
    """Return what waits in the queue of a directory, for one tracking URI or for any; nothing is changed."""
    root, found = directory / FOLDER, []
    uri = None if uri is None else without_password(uri)
    for folder in _folders(root) if root.is_dir() else ():
        try:
            one = WriteQueue(folder).waiting()
        except (RunError, OSError, ValueError, KeyError):  # being made, or taken away
            continue
        if one.operations and uri in (None, one.uri):
            found.append(one)
    return found


def new_run() -> str:
    """Return a local id for a run."""
    return f"{LOCAL}{uuid.uuid4().hex}"


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.endswith(_SET_ASIDE))


def _root_lock(root: Path) -> BaseFileLock:
    """Return the lock under which folders come, go and change hands."""
    from filelock import FileLock

    return FileLock(root / ".lock")


def _folder_lock(folder: Path) -> BaseFileLock:
    from filelock import FileLock

    return FileLock(folder / _LOCK, thread_local=False)


def _portable(uri: str, root: Path) -> str:
    """Return a URI without its password; of a database in the working directory, one that holds when that is moved."""
    database = sqlite_path(uri)
    directory = root.parent.parent
    if database is None or not database.is_relative_to(directory):
        return without_password(uri)
    return f"sqlite:///{database.relative_to(directory).as_posix()}"


def _resolved(uri: str, root: Path) -> str:
    path = uri.removeprefix("sqlite:///")
    return uri if path == uri else f"sqlite:///{(root.parent.parent / path).resolve()}"


def _whole_lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []


def _write(path: Path, content: bytes, lasting: bool) -> None:
    """Append to a file without a buffer of our own, and where asked wait for the disk."""
    with path.open("ab", buffering=0) as file:
        left = memoryview(content)
        while left:
            left = left[file.write(left):]
        if lasting:
            os.fsync(file.fileno())


def _unwritable(folder: Path, error: OSError) -> RunError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(f"there must be free space on the disk for what runs log, but none is left in {folder}: free "
                        "some and run the same command again; what was logged so far is kept")
    if error.errno == errno.ENOENT:
        return RunError(f"what runs log must stay in {folder} while a command works, but was removed: what MLflow had "
                        "until then is kept; the same command goes on from there")
    return RunError(f"what runs log must be writable in {folder}, but is not ({error.strerror}): run this in a "
                    "directory of your own")
