"""The outbox: records of runs on disk that MLflow does not have yet.

Each process that logs runs writes to its own folder below `.gru-bench/outbox`, next to the database file or, for a
server, in the working directory. The next start looks there, whatever its study. (A cache folder would be wrong: it may
be emptied, and each machine of a cluster may have its own.)

    owner.json         the tracking URI (without a password)
    lock               held by the process that writes or uploads the folder; the system releases it when that dies
    NUMBER-ID          a record that waits to be uploaded, in the order of the numbers
    NUMBER-ID.held     a record whose trial may not have ended yet: it waits until that is known
    NUMBER-ID.open     the beginning of a run that has not ended
    NUMBER-ID.new      a record that is being written
    sent/NUMBER-ID     a record that was uploaded, kept for this process to read

A record that MLflow rejected is moved out of the outbox, to a folder next to it whose name ends in .refused, with
the reason in refused.txt and owner.json. `bring_back` puts it into an outbox again.

A record is written under its last name, flushed to the disk and then renamed, so it is there whole or not at all. A
folder without owner.json is nobody's: it is removed once its process has died.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from gru_bench import platforms
from gru_bench.errors import RunError, without_passwords
from gru_bench.tracking.client import sqlite_path
from gru_bench.tracking.record import DIED, RunRecord

if TYPE_CHECKING:
    from filelock import BaseFileLock

FOLDER = Path(".gru-bench") / "outbox"
RecordState = Literal["waiting", "held", "open", "new", "sent"]
RUN, FILES = "run.json", "files"
_SENT = "sent"
"""Folder of the records that were uploaded: there are many, and what waits is listed often."""
_OWNER, _LOCK, _REASON = "owner.json", "lock", "refused.txt"
_NAME = re.compile(rf"(\d+)-([0-9a-f]+)(?:\.({'|'.join(get_args(RecordState)[1:-1])}))?")
_SET_ASIDE = ".refused"
"""Suffix of the folder of a record that MLflow rejected."""
QUIET_SECONDS, MOST_LOCKED_SECONDS = 5.0, 60.0
"""Seconds to wait for another process that creates or takes over outboxes, before and after the user is told."""


@dataclass(frozen=True)
class Entry:
    """A record at rest in an outbox."""

    folder: Path
    number: int
    run_id: str
    state: RecordState

    def record(self) -> RunRecord:
        """Read the record.

        Raises:
            OSError, ValueError, TypeError, KeyError: It is damaged.
        """
        return RunRecord.from_json((self.folder / RUN).read_bytes())

    @property
    def is_sound(self) -> bool:
        """Whether the record can be read."""
        try:
            self.record()
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return False
        return True

    def files(self) -> dict[str, Path]:
        """Return path among the run's artifacts -> file."""
        root = self.folder / FILES
        return {file.relative_to(root).as_posix(): file for file in sorted(root.rglob("*")) if file.is_file()}


@dataclass(frozen=True)
class Waiting:
    """The runs that wait in an outbox for its tracking store."""

    uri: str
    runs: int
    held: int
    """How many of them wait for the next start of their sweep."""

    def __str__(self) -> str:
        """Return the numbers as a clause for messages."""
        text = f"{self.runs} run{'s' * (self.runs != 1)} wait{'s' * (self.runs == 1)} in {FOLDER} for {self.uri}"
        return f"{text} ({self.held} of them until the sweep is started again)" if self.held else text


@dataclass(frozen=True)
class Refused:
    """A record that a tracking store rejected."""

    entry: Entry
    uri: str
    reason: str

    @property
    def study(self) -> str:
        """Name of the study of a run that begins; otherwise empty."""
        return self.entry.record().study if self.entry.is_sound else ""

    def __str__(self) -> str:
        """Return what was refused and what brings it back, as a clause for messages."""
        return (f"{self.uri} rejected {FOLDER / self.entry.folder.name} ({self.reason}): "
                f"{brings_back(self.entry.folder.parents[2])}")


class Outbox:
    """The outbox of one process. One thread puts records into it, another one uploads them."""

    def __init__(self, folder: Path, uri: str, lock: BaseFileLock | None = None) -> None:
        """Open an outbox.

        Args:
            folder: Its folder.
            uri: MLflow's tracking URI.
            lock: The folder's lock, held by this process; None opens the outbox for reading only.
        """
        self.folder, self.uri, self._lock = folder, uri, lock
        self.inherited = False
        """Whether another process has left it."""
        self._next = 1 + max((entry.number for entry in self.entries()), default=0)

    @classmethod
    def begin(
        cls, root: Path, uri: str, *, say: Callable[[str], None] = lambda _: None
    ) -> Outbox:
        """Create the outbox of this process in `root`, for the tracking store `uri`.

        Args:
            root: Folder of the outboxes.
            uri: MLflow's tracking URI.
            say: Called with a sentence for the user when another process keeps the lock of the outboxes.

        Raises:
            RunError: The folder cannot be written, or another process does not let go of its lock.
        """
        folder = root / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        try:
            root.mkdir(parents=True, exist_ok=True)
            ignore = root.parent / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", encoding="utf-8")
            with _root_lock(root, say):
                folder.mkdir()
                lock = _folder_lock(folder)
                lock.acquire()
                outbox = cls(folder, without_passwords(uri), lock)
                _write(folder / _OWNER, json.dumps({"uri": _portable(outbox.uri, root)}).encode())
        except OSError as error:
            raise _unwritable(folder, error) from error
        return outbox

    @classmethod
    def open(cls, folder: Path, lock: BaseFileLock | None = None) -> Outbox:
        """Open the outbox that a process has left; its lock, if any, is held by this process.

        Raises:
            OSError, ValueError, KeyError: The process was killed before it had begun the outbox.
        """
        owner = json.loads((folder / _OWNER).read_text(encoding="utf-8"))
        outbox = cls(folder, _resolved(owner["uri"], folder.parent), lock)
        outbox.inherited = True
        return outbox

    def entries(self, *states: RecordState) -> list[Entry]:
        """Return the records in some states, or in any, in their order."""
        # Those that were sent come last, so that one which is sent meanwhile is found.
        found = [entry for entry in _listed(self.folder) if not states or entry.state in states]
        if not states or "sent" in states:
            found += [replace(entry, state="sent") for entry in _listed(self.folder / _SENT)]
        return sorted(found, key=lambda entry: entry.number)

    def put(self, record: RunRecord, files: Mapping[str, bytes] | None = None, state: RecordState = "waiting") -> Entry:
        """Add a record and its artifacts; they are on the disk when this returns.

        Args:
            record: The record.
            files: Path of an artifact in the run -> its content.
            state: State of the record.

        Raises:
            RunError: The disk is full or fails; nothing was added.
        """
        number, self._next = self._next, self._next + 1
        name = f"{number:06d}-{record.run_id}"
        folder = self.folder / f"{name}.new"
        try:
            folder.mkdir()
            for artifact, content in (files or {}).items():
                (folder / FILES / artifact).parent.mkdir(parents=True, exist_ok=True)
                _write(folder / FILES / artifact, content)
            _write(folder / RUN, record.to_json().encode())
            return self._renamed(Entry(folder, number, record.run_id, "new"), state)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise _unwritable(self.folder, error) from error

    def release(self, entry: Entry) -> None:
        """Let a held record be uploaded."""
        self._renamed(entry, "waiting")

    def supersede(self, entry: Entry, reason: str) -> None:
        """Let a held record be uploaded as a run that was interrupted."""
        self.put(entry.record().killed(reason), {path: file.read_bytes() for path, file in entry.files().items()})
        self.drop(entry)

    def drop(self, entry: Entry) -> None:
        """Remove a record."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self._renamed(entry, "new").folder, ignore_errors=True)

    def mark_sent(self, entry: Entry) -> None:
        """Note that MLflow has a record. That of a server is kept, so that it can be read while the server is away."""
        if sqlite_path(self.uri) is None:
            self._renamed(entry, "sent")
        else:
            self.drop(entry)

    def refuse(self, entry: Entry, reason: str) -> Path:
        """Set aside a record that MLflow refuses; return its new folder."""
        _write(entry.folder / _REASON, reason.encode())
        shutil.copyfile(self.folder / _OWNER, entry.folder / _OWNER)
        aside = self.folder.with_name(f"{self.folder.name}-{entry.folder.name}{_SET_ASIDE}")
        platforms.patiently(lambda: entry.folder.rename(aside))
        return aside

    def take(self, entry: Entry) -> None:
        """Move a record that was refused into this outbox, after the others."""
        number, self._next = self._next, self._next + 1
        platforms.patiently(lambda: entry.folder.rename(self.folder / f"{number:06d}-{entry.run_id}"))

    def file(self, run_id: str, artifact: str) -> Path | None:
        """Return the file of an artifact; None if it is not in the outbox, or no longer."""
        found = [entry.folder / FILES / artifact for entry in self.entries("waiting", "held", "sent")
                 if entry.run_id == run_id]
        return next((file for file in reversed(found) if file.is_file()), None)

    def close_runs(self) -> None:
        """Let the runs that a dead process left open be uploaded as interrupted.

        Raises:
            RunError: A record cannot be written.
        """
        ended = {entry.run_id for entry in self.entries() if entry.state not in ("open", "new")}
        for entry in self.entries("open", "new"):
            if entry.state == "open" and entry.run_id not in ended:
                self.put(entry.record().killed(DIED))
            self.drop(entry)

    @property
    def is_empty(self) -> bool:
        """Whether no record waits to be uploaded."""
        return not self.entries("waiting")

    def waiting(self) -> Waiting:
        """Return how many runs have records that MLflow does not have yet."""
        held = {entry.run_id for entry in self.entries("held")}
        return Waiting(self.uri, len(held | {entry.run_id for entry in self.entries("waiting")}), len(held))

    def studies(self, known: Mapping[str, str]) -> set[str]:
        """Return the names of the studies that its runs belong to.

        Args:
            known: Run id -> name of its study, for runs that MLflow has: a record of a part does not name the study.

        Raises:
            OSError: The disk fails.
        """
        return {known.get(entry.run_id) or entry.record().study for entry in self.entries() if entry.is_sound} - {""}

    def close(self) -> None:
        """Release the folder; it is removed if nothing in it waits."""
        with _root_lock(self.folder.parent):
            if self._lock is not None:
                self._lock.release()
                self._lock = None
            if self.entries("waiting", "held", "open"):
                return
            shutil.rmtree(self.folder, ignore_errors=True)

    def _renamed(self, entry: Entry, state: RecordState) -> Entry:
        name = entry.folder.name.partition(".")[0]
        folder = self.folder / (name if state == "waiting" else f"{name}.{state}")
        if state == "sent":
            folder = self.folder / _SENT / name
            folder.parent.mkdir(exist_ok=True)
        platforms.patiently(lambda: entry.folder.rename(folder))
        _flush(self.folder)
        return Entry(folder, entry.number, entry.run_id, state)


def abandoned(
    root: Path, wanted: Callable[[Outbox], bool] = lambda _: True, say: Callable[[str], None] = lambda _: None
) -> list[Outbox]:
    """Return the outboxes in `root` that dead processes have left with records, oldest first.

    Each of them is locked for this process.

    Args:
        root: Folder of the outboxes.
        wanted: Whether to take an outbox. The others are left as they are.
        say: Called with a sentence for the user when another process keeps the lock of the outboxes.

    Raises:
        RunError: Another process does not let go of that lock.
    """
    from filelock import Timeout

    found: list[Outbox] = []
    if not root.is_dir():
        return found
    with _root_lock(root, say):
        for folder in _folders(root):
            lock = _folder_lock(folder)
            # Its process lives, the disk is full, or it fails at the moment: the outbox is left as it is.
            with suppress(Timeout, RunError, OSError):
                lock.acquire(timeout=0)
                if (outbox := _opened(folder, lock)) is not None and wanted(outbox):
                    outbox.close_runs()
                    found.append(outbox)
                    continue
            lock.release()
    for outbox in [outbox for outbox in found if not outbox.entries("waiting", "held")]:
        found.remove(outbox)
        outbox.close()
    return found


def _opened(folder: Path, lock: BaseFileLock) -> Outbox | None:
    """Open the outbox of a dead process. One that was killed before it wrote anything is removed, and None returned.

    Raises:
        OSError: The disk fails.
    """
    try:
        outbox = Outbox.open(folder, lock)
    except (FileNotFoundError, ValueError, KeyError):
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)
        return None
    for entry in outbox.entries("open", "held"):
        if not entry.is_sound:
            outbox.release(entry)  # the upload sets it aside, and says so
    return outbox


def sync_in(home: Path) -> str:
    """Return the command that uploads what waits in a directory, which is named unless it is this one."""
    return f"gru-bench sync{'' if home.resolve() == Path.cwd() else f' in {home}'}"


def brings_back(home: Path) -> str:
    """Return what a user can do about a record in a directory that MLflow rejected."""
    return f"fix the cause, then run {sync_in(home)} to upload it"


def waiting(
    directory: Path, uri: str | None = None, wanted: Callable[[Outbox], bool] = lambda _: True
) -> list[Waiting]:
    """Return what waits in each outbox in a directory; nothing is changed.

    Args:
        directory: The directory.
        uri: MLflow's tracking URI; None for all.
        wanted: Whether to count what is in an outbox.
    """
    root, found = directory / FOLDER, []
    uri = None if uri is None else without_passwords(uri)
    for folder in _folders(root) if root.is_dir() else ():
        try:
            outbox = Outbox.open(folder)
            one, is_wanted = outbox.waiting(), wanted(outbox)
        except (OSError, ValueError, KeyError):  # the folder is being created or removed
            continue
        if one.runs and is_wanted and uri in (None, one.uri):
            found.append(one)
    return found


def refused(directory: Path, uri: str | None = None) -> list[Refused]:
    """Return the records in a directory that a store rejected, oldest first.

    Args:
        directory: The directory.
        uri: MLflow's tracking URI; None for all.
    """
    root, found = directory / FOLDER, []
    uri = None if uri is None else without_passwords(uri)
    for folder in sorted(root.glob(f"*{_SET_ASIDE}")):
        name = re.search(rf"-(\d+)-([0-9a-f]+)\{_SET_ASIDE}$", folder.name)
        with suppress(OSError, ValueError, KeyError):  # the folder is being written, or a user has changed it
            owner = _resolved(json.loads((folder / _OWNER).read_text(encoding="utf-8"))["uri"], root)
            reason = (folder / _REASON).read_text(encoding="utf-8")
            if name and uri in (None, owner):
                found.append(Refused(Entry(folder, int(name[1]), name[2], "waiting"), owner, reason))
    return found


def bring_back(directory: Path) -> None:
    """Put the records in a directory that their stores have refused into outboxes again.

    Raises:
        RunError: The folder cannot be written.
    """
    outboxes: dict[str, Outbox] = {}
    for one in refused(directory):
        if one.uri not in outboxes:
            outboxes[one.uri] = Outbox.begin(directory / FOLDER, one.uri)
        outboxes[one.uri].take(one.entry)
    for outbox in outboxes.values():
        outbox.close()


def _listed(folder: Path) -> Iterator[Entry]:
    """Yield the records in a folder, in any order."""
    for path in folder.iterdir() if folder.is_dir() else ():  # a user may have removed it
        if match := _NAME.fullmatch(path.name):
            yield Entry(path, int(match[1]), match[2], match[3] or "waiting")  # type: ignore[arg-type]  # a text to mypy


def _folders(root: Path) -> Iterator[Path]:
    return iter(sorted(path for path in root.iterdir() if path.is_dir() and not path.name.endswith(_SET_ASIDE)))


@contextmanager
def _root_lock(root: Path, say: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Hold the lock under which folders are created, removed or taken over.

    Raises:
        RunError: Another process has kept it for `MOST_LOCKED_SECONDS`.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(root / ".lock")
    held = (f"another process has {root / '.lock'}, the lock of the outbox; if that process is stopped (Ctrl-Z), "
            "continue it with fg, or end it")
    try:
        lock.acquire(timeout=QUIET_SECONDS)
    except Timeout:
        say(f"waiting, because {held}")
        try:
            lock.acquire(timeout=MOST_LOCKED_SECONDS)
        except Timeout as error:
            raise RunError(f"the outbox is locked: {held}, then run this again") from error
    try:
        yield
    finally:
        lock.release()


def _folder_lock(folder: Path) -> BaseFileLock:
    from filelock import FileLock

    return FileLock(folder / _LOCK, thread_local=False)


def _portable(uri: str, root: Path) -> str:
    """Return a URI; that of a database in the working directory is made relative to it."""
    database = sqlite_path(uri)
    directory = root.parent.parent
    if database is None or not database.is_relative_to(directory):
        return uri
    return f"sqlite:///{database.relative_to(directory).as_posix()}"


def _resolved(uri: str, root: Path) -> str:
    path = uri.removeprefix("sqlite:///")
    return uri if path == uri else f"sqlite:///{(root.parent.parent / path).resolve()}"


def _write(path: Path, content: bytes) -> None:
    """Write a file and flush it to the disk."""
    with platforms.patiently(lambda: path.open("wb")) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    """Flush the names in a folder to the disk, on systems that can."""
    if not platforms.WINDOWS:
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _unwritable(folder: Path, error: OSError) -> RunError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(f"no space left on the disk of {folder}: free some and run this again; what was logged so far "
                        "is safe")
    if error.errno == errno.ENOENT:
        return RunError(f"the outbox {folder} was removed while in use: run this again to continue from what MLflow "
                        "has")
    return RunError(f"the outbox {folder} cannot be written ({error.strerror}): run this in a directory that you can "
                    "write to")
