"""The thread that uploads records to MLflow: those in outboxes, each until MLflow has it, and those of runs under way.

A process may be killed between any two calls to MLflow. The next one uploads the record again, which is harmless.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextvars import copy_context
from pathlib import Path

from gru_bench.errors import GruBenchError, first_line, without_passwords
from gru_bench.tracking.failures import MissingError, brief, failed, meaning
from gru_bench.tracking.outbox import FOLDER, Entry, Outbox, Waiting, abandoned, brings_back
from gru_bench.tracking.reader import Reader
from gru_bench.tracking.record import RunRecord
from gru_bench.tracking.sender import Sender

BACK_OFF_SECONDS = (1.0, 2.0, 5.0, 10.0)
"""Seconds between two attempts while the store is away."""
WAIT_SECONDS = 0.5
"""Most seconds of a single wait for the thread."""
STOP_SECONDS = 0.5
"""Seconds that an upload has to finish its current record when it is stopped."""
MOST_ATTEMPTS = 5
"""Most attempts at a record that fails for a reason that is not clear, although the store answers other requests."""


class Uploader:
    """A thread that uploads the records of outboxes to one tracking store, one outbox after the other.

    While nothing waits in them, it uploads what runs under way have logged so far, so that MLflow shows them.
    """

    def __init__(self, store: Reader, away: str = "") -> None:
        """Start the thread without any outbox.

        Args:
            store: The store, which is opened when the first record is uploaded unless it is open.
            away: Why it does not answer at present; empty if that is not known.
        """
        self._store = store
        self.away = away
        """Why the store did not answer when it was last asked; empty if it did."""
        self.while_waiting: Callable[[], None] = lambda: None
        """Called at least twice a second while a process waits for the store."""
        self._shown = without_passwords(store.uri)
        self.remarks: list[str] = []
        """Sentences for the user about the outboxes of dead processes."""
        self.sender = Sender(store)
        self.outboxes: list[Outbox] = []
        self._live: dict[str, RunRecord] = {}
        """Id of a run under way -> its record so far, if MLflow lacks a part of it."""
        self._failure: GruBenchError | None = None
        self._broken = False
        self._unclear = 0
        """Attempts at the current record that have failed for a reason that is not clear while the store answered."""
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), name="upload to MLflow",
                                        daemon=True)
        self._thread.start()

    def add(self, outbox: Outbox) -> None:
        """Add an outbox after the others."""
        with self._changed:
            self.outboxes.append(outbox)
            self._changed.notify_all()

    def show(self, record: RunRecord) -> None:
        """Upload what a run under way has logged so far, if the store answers."""
        with self._changed:
            self._live[record.run_id] = record
        self.notify()

    def hide(self, run_id: str) -> None:
        """Upload no more of a run until its record is in an outbox."""
        with self._changed:
            self._live.pop(run_id, None)

    def notify(self) -> None:
        """Wake the thread, because an outbox may have a new record."""
        with self._changed:
            self._changed.notify_all()

    def check(self) -> None:
        """Raise the error of a record that could not be uploaded; each error is raised once.

        Raises:
            RunError: A record could not be uploaded.
        """
        with self._changed:
            failure = self._failure
            if not self._broken:
                self._failure = None
            if failure is not None:
                raise failure

    @property
    def is_done(self) -> bool:
        """Whether the store has all records, and what the runs under way have logged."""
        return not self._live and all(outbox.is_empty for outbox in self.outboxes)

    def waiting(self) -> Waiting:
        """Return the number of runs that wait in all outboxes."""
        each = [outbox.waiting() for outbox in self.outboxes]
        return Waiting(self._shown, sum(one.runs for one in each), sum(one.held for one in each))

    def catch_up(self, seconds: float | None = None) -> bool:
        """Wait until the store has all records; return False if it is away, or after `seconds`.

        Raises:
            RunError: A record could not be uploaded.
        """
        self._wait(lambda: self.is_done or bool(self.away), seconds)
        return self.is_done

    def wait_for_answer(self, seconds: float) -> bool:
        """Wait until a store that is away answers, for at most `seconds`; return whether it answers.

        Raises:
            RunError: A record could not be uploaded.
        """
        self._wait(lambda: not self.away, seconds)
        return not self.away

    def stop(self, seconds: float) -> None:
        """Stop the thread, which has `seconds` to finish its current record, and close the outboxes."""
        with self._changed:
            self._stopping.set()
            self._changed.notify_all()
        self._thread.join(seconds)
        if not self._thread.is_alive():
            # Otherwise the folders stay locked until this process ends.
            for outbox in self.outboxes:
                outbox.close()

    def _wait(self, done: Callable[[], bool], seconds: float | None) -> None:
        """Wait until `done` is true, `seconds` have passed, or a record failed; wake the thread before.

        Raises:
            RunError: A record could not be uploaded.
        """
        until = None if seconds is None else time.monotonic() + seconds
        self.notify()
        # Many short waits: on Windows, Ctrl-C cannot end a long one.
        while not (self._failure is not None or done() or (until is not None and time.monotonic() >= until)):
            self.while_waiting()
            left = WAIT_SECONDS if until is None else until - time.monotonic()
            with self._changed:
                if self._failure is None and not done():
                    self._changed.wait(max(0.0, min(WAIT_SECONDS, left)))
        self.check()

    def _run(self) -> None:
        try:
            while self._upload_next():
                pass
        except Exception as error:
            with self._changed:
                self._broken, self._failure = True, self._as_ours(error)
                self._changed.notify_all()

    def _upload_next(self) -> bool:
        """Upload the next record, or wait for one; return False if the thread must stop."""
        with self._changed:
            while self.is_done and not self.away and not self._stopping.is_set():
                self._changed.wait()
            live = next(iter(self._live), None)
        work = next(((outbox, entry) for outbox in self.outboxes for entry in outbox.entries("waiting")), live)
        attempts = self._unclear = 0
        while not self._stopping.is_set():
            # Without any work, the store was away when it was last asked.
            if self._answers() if work is None else self._attempt(work):
                self.set_away("")
                return True
            attempts += 1
            self._stopping.wait(BACK_OFF_SECONDS[min(attempts, len(BACK_OFF_SECONDS)) - 1])
        return False

    def _attempt(self, work: tuple[Outbox, Entry] | str) -> bool:
        """Upload a record, or what the run with an id has logged; return False if it must be tried again.

        What a store does not take because it is away or busy is tried until it takes it: only a store that says no
        refuses a record.
        """
        try:
            if isinstance(work, str):
                self._upload_live(work)
            else:
                outbox, entry = work
                if not entry.is_sound:
                    raise MissingError("the record is damaged")
                self.sender.send(entry.record(), entry.files(), late=outbox.inherited,
                                 ours=not outbox.inherited)
                outbox.mark_sent(entry)
        except Exception as error:
            what = meaning(error)
            if what == "unusable" or (
                    what not in ("busy", "away") and not self._store.is_open and self._store.database is not None):
                raise  # all records wait for the next start
            if what == "unclear" and self._answers():
                self._unclear += 1
            if what in ("busy", "away") or (what == "unclear" and self._unclear < MOST_ATTEMPTS):
                if what != "busy":
                    self.set_away(brief(error))
                return False
            self._refuse(work, error)
        return True

    def _refuse(self, work: tuple[Outbox, Entry] | str, error: Exception) -> None:
        ours: GruBenchError | None = self._as_ours(error)
        if not isinstance(work, str):
            outbox, entry = work
            aside = outbox.refuse(entry, first_line(error))
            if outbox.inherited:
                self.remarks.append(f"{self._shown} rejected a record of an earlier start: {first_line(error)}. The "
                                    f"record is saved in {aside.name}; {brings_back(self._store.home)}")
                ours = None
        with self._changed:
            if isinstance(work, str):
                self._live.pop(work, None)
            self._failure = ours or self._failure
            self._changed.notify_all()

    def _as_ours(self, error: Exception) -> GruBenchError:
        return error if isinstance(error, GruBenchError) else failed(self._shown, "accept a record", error)

    def _answers(self) -> bool:
        """Return whether the store answers a simple request."""
        try:
            self._store.client.search_experiments(max_results=1)
        except Exception:
            return False
        return True

    def set_away(self, away: str) -> None:
        """Note why the store does not answer, for the user; empty if it answers."""
        with self._changed:
            self.away = away
            self._changed.notify_all()

    def _upload_live(self, run_id: str) -> None:
        record = self._live.get(run_id)
        if record is None:  # it has ended meanwhile
            return
        self.sender.send(record, {}, ours=True)
        with self._changed:
            if self._live.get(run_id) is record:
                del self._live[run_id]


def upload_all(directory: Path) -> Iterator[str]:
    """Upload what dead processes have left in a directory; yield sentences about it for the user."""
    by_uri: dict[str, Uploader] = {}
    for outbox in abandoned(directory / FOLDER):
        if (left := outbox.waiting()).runs:
            yield f"{left}, left by an earlier start"
        try:
            if outbox.uri not in by_uri:
                by_uri[outbox.uri] = Uploader(Reader(outbox.uri))
            by_uri[outbox.uri].add(outbox)
        except GruBenchError as error:
            yield str(error)
            outbox.close()
    for uri, uploader in by_uri.items():
        try:
            if uploader.catch_up() and not uploader.remarks:
                yield f"{uri} now has all runs"
        except GruBenchError as error:
            yield str(error)
        finally:
            uploader.stop(STOP_SECONDS)
        yield from uploader.remarks
