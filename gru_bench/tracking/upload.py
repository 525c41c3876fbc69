"""Upload of records to MLflow, by a thread: those in outboxes, each until MLflow has it, and those of runs under way.

A process may be killed between any two calls to MLflow. The next one uploads the record again, which is harmless: a run
is found by the tag that holds its id; a point is one row for its key, step, time and value; tags, params, artifacts and
the status are overwritten by the same values; a logged model is looked up by its run.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gru_bench.errors import GruBenchError, first_line, named, without_passwords
from gru_bench.models.saved import SHARED
from gru_bench.tracking.client import ID_TAG, PARENT_TAG, open_client, sqlite_path
from gru_bench.tracking.failures import MissingError, brief, failed, meaning
from gru_bench.tracking.outbox import FOLDER, Entry, Outbox, Waiting, abandoned
from gru_bench.tracking.record import RunRecord
from gru_bench.tracking.registry import log_model
from gru_bench.tracking.server import source_of
from gru_bench.tracking.source import Found
from gru_bench.tracking.view import NOTE, moved, save_view

if TYPE_CHECKING:
    from mlflow import MlflowClient

ARTIFACTS = "mlartifacts"
BATCH = 1000
"""Most points, params and tags in one call to MLflow."""
BACK_OFF_SECONDS = (1.0, 2.0, 5.0, 10.0)
"""Seconds between two attempts while the store is away."""
WAIT_SECONDS = 0.5
"""Most seconds of a single wait for the thread."""
STOP_SECONDS = 0.5
"""Seconds that an upload has to finish its current record when it is stopped."""
MOST_ATTEMPTS = 5
"""Most attempts at a record that fails although the store answers other requests."""


@dataclass
class _Sent:
    """What this process has uploaded of a run."""

    mlflow_id: str
    points: int = 0
    """How many of its points, counted from the first one."""
    described: bool = False
    """Whether its params and its data set were logged."""
    tags: dict[str, str] = field(default_factory=dict)


class Uploader:
    """A thread that uploads the records of outboxes to one tracking store, one outbox after the other.

    While nothing waits in them, it uploads what runs under way have logged so far, so that MLflow shows them.
    """

    def __init__(self, uri: str, client: MlflowClient | None = None, away: str = "") -> None:
        """Start the thread without any outbox.

        Args:
            uri: MLflow's tracking URI.
            client: Client for that URI, if one is open already.
            away: Why the store does not answer, if that is known already; otherwise empty.
        """
        self.uri, self.database, self.away = uri, sqlite_path(uri), away
        self._shown = without_passwords(uri)
        self.remarks: list[str] = []
        """Sentences for the user about the outboxes of dead processes."""
        self.begin_study: AbstractContextManager[object] = nullcontext()
        """Held while the run of a study is created, so that only one process creates it."""
        self.outboxes: list[Outbox] = []
        self._inherited: set[int] = set()
        self._live: dict[str, Callable[[], RunRecord]] = {}
        """Id of a run under way with new values -> what returns its record so far."""
        self._ended: set[str] = set()
        """Ids of the runs that are no longer under way."""
        self._busy = False
        """Whether the thread uploads a part of a run under way."""
        self._sent: dict[str, _Sent] = {}
        self._client = client
        self._experiments: dict[str, str] = {}
        self._failure: GruBenchError | None = None
        self._broken = False
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), name="upload to MLflow",
                                        daemon=True)
        self._thread.start()

    def add(self, outbox: Outbox, *, inherited: bool = False) -> None:
        """Add an outbox after the others.

        Args:
            outbox: The outbox.
            inherited: Whether it was left by a process that has died.
        """
        with self._changed:
            self.outboxes.append(outbox)
            if inherited:
                self._inherited.add(id(outbox))
            self._changed.notify_all()

    def show(self, run_id: str, record: Callable[[], RunRecord]) -> None:
        """Upload what a run under way has logged so far, if the store answers.

        Raises:
            RunError: An earlier record could not be uploaded.
        """
        with self._changed:
            self._live[run_id] = record
            self._changed.notify_all()
            self._raise()

    def hide(self, run_id: str) -> None:
        """Upload no more of a run until its record is in an outbox."""
        with self._changed:
            self._live.pop(run_id, None)
            self._ended.add(run_id)

    def notify(self) -> None:
        """Wake the thread because an outbox has a new record.

        Raises:
            RunError: An earlier record could not be uploaded.
        """
        with self._changed:
            self._changed.notify_all()
            self._raise()

    def check(self) -> None:
        """Raise the error of a record that could not be uploaded; each error is raised once.

        Raises:
            RunError: A record could not be uploaded.
        """
        with self._changed:
            self._raise()

    @property
    def is_done(self) -> bool:
        """Whether the store has all records, and what the runs under way have logged."""
        return not (self._live or self._busy) and all(outbox.is_empty for outbox in self.outboxes)

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

    def wait_for_answer(self, seconds: float | None = None) -> bool:
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
        with self._changed:
            self._changed.notify_all()
            # Many short waits: on Windows, Ctrl-C cannot end a long one.
            while not (self._failure is not None or done() or (until is not None and time.monotonic() >= until)):
                left = WAIT_SECONDS if until is None else until - time.monotonic()
                self._changed.wait(max(0.0, min(WAIT_SECONDS, left)))
            self._raise()

    def _raise(self) -> None:
        failure = self._failure
        if failure is not None:
            if not self._broken:
                self._failure = None
            raise failure

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
        found = next(((outbox, entry) for outbox in self.outboxes for entry in outbox.entries("waiting")), None)
        attempts = 0
        while not self._stopping.is_set():
            if found is not None:
                uploaded = self._attempt(lambda client: self._upload(client, *found), attempts, found)
            elif live is not None:
                uploaded = self._attempt(lambda client: self._upload_live(client, live), attempts, live)
            else:  # the store was away when it was last asked
                uploaded = self._answers()
            if uploaded:
                self.set_away("")
                return True
            attempts += 1
            self._pause(attempts)
        return False

    def _attempt(
        self, upload: Callable[[MlflowClient], None], attempts: int, what: tuple[Outbox, Entry] | str
    ) -> bool:
        """Upload something; return False if it must be tried again."""
        try:
            if self._client is None:
                self._client = open_client(self.uri, self.database)
            upload(self._client)
        except Exception as error:
            what_now = meaning(error)
            never_opened = self._client is None and self.database is not None
            if what_now == "unusable" or (never_opened and what_now != "busy"):
                raise  # all records wait for the next start
            if what_now != "refused" and (attempts + 1 < MOST_ATTEMPTS or not self._answers()):
                if what_now != "busy":
                    self.set_away(brief(error))
                return False
            self._refuse(what, error)
        return True

    def _refuse(self, what: tuple[Outbox, Entry] | str, error: Exception) -> None:
        reason = first_line(error)
        if not isinstance(what, str):
            outbox, entry = what
            outbox.refuse(entry, reason)
        with self._changed:
            if isinstance(what, str):
                self._live.pop(what, None)
            if not isinstance(what, str) and id(what[0]) in self._inherited:
                self.remarks.append(f"{self._shown} refuses a record of an earlier start: {reason}. The record is "
                                    f"saved in {what[0].folder.name}.refused")
            else:
                self._failure = self._as_ours(error)
            self._changed.notify_all()

    def _as_ours(self, error: Exception) -> GruBenchError:
        return error if isinstance(error, GruBenchError) else failed(self._shown, "take a record", error)

    def _answers(self) -> bool:
        """Return whether the store answers a simple request."""
        try:
            if self._client is None:
                self._client = open_client(self.uri, self.database)
            self._client.search_experiments(max_results=1)
        except Exception:
            return False
        return True

    def set_away(self, away: str) -> None:
        """Note why the store does not answer, for the user; empty if it answers."""
        with self._changed:
            self.away = away
            self._changed.notify_all()

    def _pause(self, attempts: int) -> None:
        until = time.monotonic() + BACK_OFF_SECONDS[min(attempts, len(BACK_OFF_SECONDS)) - 1]
        with self._changed:
            while not self._stopping.is_set() and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)

    def _upload(self, client: MlflowClient, outbox: Outbox, entry: Entry) -> None:
        record = entry.record()
        self._send(client, record, entry.files())
        outbox.mark_sent(entry)
        if record.ended is not None and record.first_tags:
            self._sent.pop(record.run_id, None)

    def _upload_live(self, client: MlflowClient, run_id: str) -> None:
        with self._changed:
            read = self._live.pop(run_id, None)
            self._busy = read is not None
        if read is None:
            return
        try:
            self._send(client, read(), {})
        except BaseException:
            with self._changed:
                if run_id not in self._ended:
                    self._live.setdefault(run_id, read)
            raise
        finally:
            self._busy = False

    def _send(self, client: MlflowClient, record: RunRecord, files: Mapping[str, Path]) -> None:
        """Write to MLflow what it does not have yet of a record."""
        from mlflow.entities import Metric, Param, RunTag

        sent = self._sent.get(record.run_id)
        if sent is None:
            sent = self._sent[record.run_id] = _Sent(self._created(client, record))
        run_id = sent.mlflow_id
        for path, file in files.items():
            if not (path.startswith(SHARED) and _has(client, run_id, path, file)):
                client.log_artifact(run_id, str(file), path.rpartition("/")[0])
        if record.model:
            log_model(client, run_id, record.model)
        whole = bool(record.first_tags)  # a part has points of its own
        known = sent.points if whole else 0
        metrics = [Metric(point.key, point.value, point.time, point.step) for point in record.points[known:]]
        params = [] if whole and sent.described else [Param(key, value) for key, value in record.params.items()]
        # Tags come last, because `gru_bench.complete` is one of them.
        tags = [RunTag(key, value) for key, value in record.tags.items() if sent.tags.get(key) != value]
        if record.dataset is not None and not sent.described:
            _log_dataset(client, run_id, *record.dataset)
        while len(metrics) + len(params) + len(tags) > BATCH:
            client.log_batch(run_id, metrics=metrics[:BATCH])
            metrics = metrics[BATCH:]
        if metrics or params or tags:
            client.log_batch(run_id, metrics=metrics, params=params, tags=tags)
        if whole:
            sent.points, sent.described = len(record.points), True
        sent.tags |= record.tags
        if record.status == "RUNNING":
            client.update_run(run_id, status="RUNNING")
        elif record.status:
            client.set_terminated(run_id, record.status, record.ended)
        if record.view is not None:
            save_view(client, self.uri, client.get_run(run_id).info.experiment_id, record.view, record.time)

    def _created(self, client: MlflowClient, record: RunRecord) -> str:
        """Return MLflow's id of the run of a record; the run is created if it does not exist."""
        begins = bool(record.first_tags)
        with self.begin_study if begins and record.parent is None else nullcontext():
            found = self._find(client, record.run_id)
            if found is not None and found.is_deleted:
                raise MissingError(f"only runs that exist can be logged to, but {found.run_id} was deleted in MLflow")
            if found is not None:
                return found.run_id
            if not begins:
                raise MissingError(f"MLflow must have the run {record.run_id} to write to it, but it does not")
            tags = {**record.first_tags, ID_TAG: record.run_id}
            if record.parent is None:
                place = self._experiment(client, record.experiment)
            else:
                parent = self._parent(client, record.parent)
                place = client.get_run(parent).info.experiment_id
                tags |= {PARENT_TAG: record.parent, "mlflow.parentRunId": parent}
            if NOTE in tags:  # its links lead to the experiment that it was written in
                tags[NOTE] = moved(tags[NOTE], place)
            return str(client.create_run(place, start_time=record.time, tags=tags).info.run_id)

    def _find(self, client: MlflowClient, run_id: str) -> Found | None:
        return source_of(self.uri, self.database, lambda: client).find(run_id)

    def _parent(self, client: MlflowClient, run_id: str) -> str:
        if run_id not in self._sent:
            found = self._find(client, run_id)
            if found is None:
                raise MissingError(f"MLflow must have the run {run_id} to log runs below it, but it does not")
            self._sent[run_id] = _Sent(found.run_id)
        return self._sent[run_id].mlflow_id

    def _experiment(self, client: MlflowClient, name: str) -> str:
        if name not in self._experiments:
            self._experiments[name] = experiment(client, self.database, name)
        return self._experiments[name]


def _log_dataset(client: MlflowClient, run_id: str, name: str, fingerprint: str) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    entry = Dataset(name=name, digest=fingerprint[:36], source_type="local", source=json.dumps({"name": name}))
    client.log_inputs(run_id, [DatasetInput(entry, [InputTag("mlflow.data.context", "training")])])


def _has(client: MlflowClient, run_id: str, path: str, file: Path) -> bool:
    """Return whether a run has an artifact of this size already: another process of its study may have logged it."""
    return any(entry.path == path and entry.file_size == file.stat().st_size
               for entry in client.list_artifacts(run_id, path.rpartition("/")[0]))


def upload_all(directory: Path) -> Iterator[str]:
    """Upload what dead processes have left in a directory; yield sentences about it for the user."""
    by_uri: dict[str, Uploader] = {}
    for outbox in abandoned(directory / FOLDER):
        if (left := outbox.waiting()).runs:
            yield f"{left}, left by an earlier start"
        if outbox.uri not in by_uri:
            by_uri[outbox.uri] = Uploader(outbox.uri)
        by_uri[outbox.uri].add(outbox, inherited=True)
    for uploader in by_uri.values():
        try:
            if uploader.catch_up():
                yield f"{uploader.uri} has all runs now"
        except GruBenchError as error:
            yield str(error)
        finally:
            uploader.stop(STOP_SECONDS)
        yield from uploader.remarks


def experiment(client: MlflowClient, database: Path | None, name: str) -> str:
    """Return the id of the experiment called `name`, which is created if it does not exist.

    Raises:
        RunError: The experiment was deleted.
    """
    from filelock import FileLock

    found = client.get_experiment_by_name(name)
    if found is not None:
        if found.lifecycle_stage == "deleted":
            raise MissingError(
                f"runs can be logged only to an experiment that exists, but {name!r} was deleted: restore it (mlflow "
                f"experiments restore --experiment-id {found.experiment_id}), or use another "
                f"{named('--tracking-uri')}")
        return str(found.experiment_id)
    tags = {"mlflow.experimentKind": "custom_model_development"}
    if database is None:
        return str(client.create_experiment(name, tags=tags))
    with FileLock(f"{database}.lock"):
        found = client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        location = (database.parent / ARTIFACTS).resolve().as_uri()
        return str(client.create_experiment(name, artifact_location=location, tags=tags))
