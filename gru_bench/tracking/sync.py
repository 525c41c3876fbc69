"""Sync of write queues to MLflow: each operation is applied once and in order, and the sync resumes after an outage.

A process may be killed after it has applied an operation, but before it has recorded that. Applying an operation twice
is harmless: a point is one row for its key, step, time and value; tags, params, artifacts and the status are
overwritten by the same values; a logged model is looked up by its run, and a run by the tag that holds its local id.
"""

from __future__ import annotations

import errno
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import copy_context
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gru_bench.errors import GruBenchError, RunError, UsageError, named, same_command, without_passwords
from gru_bench.models.saved import SHARED
from gru_bench.tracking.client import (
    TRY_LATER,
    brief,
    first_line,
    open_client,
    sqlite_path,
    status,
)
from gru_bench.tracking.queue import FOLDER, LOCAL, TOUCH_SECONDS, Operation, Waiting, WriteQueue, abandoned_queues
from gru_bench.tracking.reader import RUN_TAG
from gru_bench.tracking.registry import log_model
from gru_bench.tracking.view import save_view

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
"""Seconds that a sync has to finish its current operation when it is stopped."""
MOST_ATTEMPTS = 5
"""Most attempts at an operation that fails although the store answers other requests."""
NOT_NOW = {*TRY_LATER, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
"""HTTP statuses after which an operation is tried again. (An expired token, for example, may be renewed.)"""


class Sync:
    """A thread that writes the operations of queues to one tracking store, one queue after the other."""

    def __init__(self, uri: str, client: MlflowClient | None = None, away: str = "") -> None:
        """Start the thread without any queue.

        Args:
            uri: MLflow's tracking URI.
            client: Client for that URI, if one is open already.
            away: Why the store does not answer, if that is known already; otherwise empty.
        """
        self.uri, self.database, self.away = uri, sqlite_path(uri), away
        self._shown = without_passwords(uri)
        self.remarks: list[str] = []
        """Sentences for the user about the queues of dead processes."""
        self._queues: list[WriteQueue] = []
        self._inherited: set[int] = set()
        self._client = client
        self._experiments: dict[str, str] = {}
        self._failure: GruBenchError | None = None
        self._broken = False
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=copy_context().run, args=(self._run_sync,), name="sync MLflow",
                                        daemon=True)
        self._thread.start()

    def add(self, queue: WriteQueue, *, inherited: bool = False) -> None:
        """Add a queue after the others.

        Args:
            queue: The queue.
            inherited: Whether the queue was left by a process that has died.
        """
        with self._changed:
            self._queues.append(queue)
            if inherited:
                self._inherited.add(id(queue))
            self._changed.notify_all()

    def notify(self) -> None:
        """Wake the thread because a queue has a new operation.

        Raises:
            RunError: An earlier operation could not be written.
        """
        with self._changed:
            self._changed.notify_all()
            self._raise()

    def check(self) -> None:
        """Raise the error of an operation that could not be written; each error is raised once.

        Raises:
            RunError: An operation could not be written.
        """
        with self._changed:
            self._raise()

    @property
    def is_open(self) -> bool:
        """Whether MLflow has been loaded and opened the store."""
        return self._client is not None

    @property
    def is_synced(self) -> bool:
        """Whether the store has all operations of all queues."""
        return all(queue.is_synced for queue in self._queues)

    def waiting(self) -> Waiting:
        """Return the number of writes that wait in all queues."""
        each = [queue.waiting() for queue in self._queues]
        return Waiting(self._shown, sum(one.operations for one in each), sum(one.runs for one in each))

    def catch_up(self, seconds: float | None = None) -> bool:
        """Wait until the store has all operations; return False if it is away, or after `seconds`.

        Raises:
            RunError: An operation could not be written.
        """
        self._wait(lambda: self.is_synced, seconds)
        return self.is_synced

    def wait_for_answer(self, seconds: float | None = None) -> bool:
        """Wait until a store that is away answers, for at most `seconds`; return whether it answers.

        Raises:
            RunError: An operation could not be written.
        """
        self._wait_for(lambda: not self.away, seconds)
        return not self.away

    def mark_offline(self, reason: str) -> None:
        """Mark the store as away, for a reason that is shown to the user."""
        self._set_away(reason)

    def identify(self, queue: WriteQueue, run: str, seconds: float | None) -> None:
        """Wait until MLflow has created a run and its id is known, for at most `seconds` or until the store is away.

        Raises:
            RunError: The run cannot be created.
        """
        self._wait(lambda: run in queue.ids, seconds)

    def stop(self, seconds: float) -> None:
        """Stop the thread, which has `seconds` to finish its current operation, and close the queues."""
        with self._changed:
            self._stopping.set()
            self._changed.notify_all()
        self._thread.join(seconds)
        if not self._thread.is_alive():
            # Otherwise the folders stay locked until this process ends.
            for queue in self._queues:
                queue.close()

    def _wait(self, done: Callable[[], bool], seconds: float | None) -> None:
        """Wait until `done` is true, the store is away, `seconds` have passed, or an operation failed.

        Raises:
            RunError: An operation could not be written.
        """
        self._wait_for(lambda: done() or bool(self.away), seconds)

    def _wait_for(self, done: Callable[[], bool], seconds: float | None) -> None:
        """Wait until `done` is true, `seconds` have passed, or an operation failed; wake the thread before.

        Raises:
            RunError: An operation could not be written.
        """
        until = None if seconds is None else time.monotonic() + seconds
        with self._changed:
            self._changed.notify_all()
            # Many short waits: on Windows, Ctrl-C cannot end a long one.
            while not (done() or self._failure is not None or (until is not None and time.monotonic() >= until)):
                left = WAIT_SECONDS if until is None else until - time.monotonic()
                self._changed.wait(max(0.0, min(WAIT_SECONDS, left)))
            self._raise()

    def _raise(self) -> None:
        failure = self._failure
        if failure is not None:
            if not self._broken:
                self._failure = None
            raise failure

    def _run_sync(self) -> None:
        try:
            while self._sync_one():
                pass
        except Exception as error:
            self._break(error)

    def _sync_one(self) -> bool:
        """Write the pending operations of one queue, or wait for new ones; return False if the thread must stop."""
        with self._changed:
            while self.is_synced and not self.away and not self._stopping.is_set():
                self._changed.wait(TOUCH_SECONDS)
                self._touch()
            if self._stopping.is_set():
                return False
            queue = next((queue for queue in self._queues if not queue.is_synced), None)
        if queue is None:
            self._pause(len(BACK_OFF_SECONDS))
            if self._answers():
                self._set_away("")
            return True
        attempts = 0
        for upto, line in queue.pending():
            while not self._stopping.is_set() and not self._sync_line(queue, upto, line, attempts):
                attempts += 1
                self._pause(attempts)
            if self._stopping.is_set():
                return False
            attempts = 0
        return True

    def _sync_line(self, queue: WriteQueue, upto: int, line: bytes, attempts: int) -> bool:
        """Apply the operation on one line of a queue; return False if it must be tried again."""
        try:
            operation = Operation.from_json(line)
        except (ValueError, TypeError, KeyError) as error:
            self._refuse(queue, upto, line, f"its line is damaged ({first_line(error)})")
            return True
        try:
            if self._client is None:
                self._client = open_client(self.uri, self.database)
            self._apply(self._client, queue, operation)
        except Exception as error:
            if self._is_beyond_repair(error):
                raise
            if not _is_definite(error) and (attempts + 1 < MOST_ATTEMPTS or not self._answers()):
                self._set_away(brief(error))
                return False
            self._refuse(queue, upto, line, first_line(error), _as_ours(error, self._shown))
            return True
        queue.mark(upto, operation)
        self._set_away("")
        return True

    def _is_beyond_repair(self, error: Exception) -> bool:
        """Return whether the store is broken or the disk is full, so that all operations wait for the next start."""
        if isinstance(error, UsageError) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            return True
        cause: Any = _cause(error)
        failed = (self._client is None or isinstance(cause, sqlite3.Error)
                  or getattr(cause, "error_code", "") == "TEMPORARILY_UNAVAILABLE")
        return self.database is not None and failed and "locked" not in str(cause)

    def _break(self, error: Exception) -> None:
        with self._changed:
            self._broken, self._failure = True, _as_ours(error, self._shown)
            self._changed.notify_all()

    def _refuse(
        self, queue: WriteQueue, upto: int, line: bytes, reason: str, failure: GruBenchError | None = None
    ) -> None:
        queue.refuse(upto, line, reason)
        with self._changed:
            if id(queue) in self._inherited:
                self.remarks.append(f"{self._shown} refuses a write of an earlier start: {reason}. The write is saved "
                                    f"in {queue.folder.name}.refused")
            else:
                self._failure = failure
            self.away = ""
            self._changed.notify_all()

    def _answers(self) -> bool:
        """Return whether the store answers a simple request."""
        try:
            if self._client is None:
                self._client = open_client(self.uri, self.database)
            self._client.search_experiments(max_results=1)
        except Exception:
            return False
        return True

    def _set_away(self, away: str) -> None:
        with self._changed:
            self.away = away
            self._changed.notify_all()

    def _pause(self, attempts: int) -> None:
        until = time.monotonic() + BACK_OFF_SECONDS[min(attempts, len(BACK_OFF_SECONDS)) - 1]
        with self._changed:
            while not self._stopping.is_set() and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            self._touch()

    def _touch(self) -> None:
        for queue in self._queues:
            queue.touch()

    def _apply(self, client: MlflowClient, queue: WriteQueue, operation: Operation) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

        if operation.beginning is not None:
            self._begin(client, queue, operation)
        run_id = self._identified(client, queue, operation.run)
        if id(queue) in self._inherited and operation.status is not None:
            ended = client.get_run(run_id).info.end_time
            if ended is not None and ended > operation.time:  # another process has ended the run of the dead one
                operation = replace(operation, tags={}, status=None)
        if operation.dataset is not None:
            name, fingerprint = operation.dataset
            entry = Dataset(name=name, digest=fingerprint[:36], source_type="local", source=json.dumps({"name": name}))
            client.log_inputs(run_id, [DatasetInput(entry, [InputTag("mlflow.data.context", "training")])])
        for path, place in operation.artifacts.items():
            if not (path.startswith(SHARED) and _has(client, run_id, path, queue.path(place))):
                client.log_artifact(run_id, str(queue.path(place)), path.rpartition("/")[0])
        if operation.model:
            log_model(client, run_id, operation.model)
        metrics = [Metric(key, value, operation.time, step) for key, value, step in operation.metrics]
        params = [Param(key, value) for key, value in operation.params.items()]
        # Tags come last, because `gru_bench.complete` is one of them. A run that begins has its tags already.
        tags = [] if operation.beginning else [RunTag(key, value) for key, value in operation.tags.items()]
        while len(metrics) + len(params) + len(tags) > BATCH:
            client.log_batch(run_id, metrics=metrics[:BATCH])
            metrics = metrics[BATCH:]
        if metrics or params or tags:
            client.log_batch(run_id, metrics=metrics, params=params, tags=tags)
        if operation.status == "RUNNING":
            client.update_run(run_id, status="RUNNING")
        elif operation.status is not None:
            client.set_terminated(run_id, operation.status, operation.time)
        if operation.view is not None:
            save_view(client, self.uri, client.get_run(run_id).info.experiment_id, operation.view, operation.time)

    def _begin(self, client: MlflowClient, queue: WriteQueue, operation: Operation) -> None:
        assert operation.beginning is not None
        if operation.run in queue.ids:
            return
        name, parent = operation.beginning.experiment, operation.beginning.parent
        if name not in self._experiments:
            self._experiments[name] = experiment(client, self.database, name)
        run_id = find(client, operation.run, [self._experiments[name]]) if queue.attempt(operation.run) else None
        if run_id is None:
            tags = {**operation.tags, RUN_TAG: operation.run}
            if parent is not None:
                tags["mlflow.parentRunId"] = self._identified(client, queue, parent)
            made = client.create_run(self._experiments[name], start_time=operation.time, tags=tags)
            run_id = str(made.info.run_id)
        with self._changed:
            queue.identify(operation.run, run_id)
            self.away = ""
            self._changed.notify_all()

    def _identified(self, client: MlflowClient, queue: WriteQueue, run: str) -> str:
        """Return MLflow's id of a run, which may be named by a local id of any process."""
        if run not in queue.ids and run.startswith(LOCAL):
            run_id = find(client, run)
            if run_id is None:
                raise _MissingRun(f"MLflow must have the run {run} to write to it, but it does not")
            queue.identify(run, run_id)
        return queue.ids.get(run, run)


def _has(client: MlflowClient, run_id: str, path: str, file: Path) -> bool:
    """Return whether a run has an artifact of this size already: another process of its study may have logged it."""
    return any(entry.path == path and entry.file_size == file.stat().st_size
               for entry in client.list_artifacts(run_id, path.rpartition("/")[0]))


def start_syncs(queues: Sequence[WriteQueue]) -> list[Sync]:
    """Start and return one sync per tracking store, for queues that dead processes have left."""
    by_uri = {uri: Sync(uri) for uri in dict.fromkeys(queue.uri for queue in queues)}
    for queue in queues:
        by_uri[queue.uri].add(queue, inherited=True)
    return list(by_uri.values())


def sync_all(directory: Path) -> Iterator[str]:
    """Sync the queues that dead processes have left in a directory; yield sentences about it for the user."""
    queues = abandoned_queues(directory / FOLDER)
    yield from (f"{waiting}, left by an earlier start" for queue in queues if (waiting := queue.waiting()).operations)
    for sync in start_syncs(queues):
        try:
            if sync.catch_up():
                yield f"{sync.uri} has all writes now"
        except GruBenchError as error:
            yield str(error)
        finally:
            sync.stop(STOP_SECONDS)
        yield from sync.remarks


class _MissingRun(Exception):
    """MLflow does not have a run that an operation writes to."""


def experiment(client: MlflowClient, database: Path | None, name: str) -> str:
    """Return the id of the experiment called `name`, which is created if it does not exist.

    Raises:
        RunError: The experiment was deleted.
    """
    from filelock import FileLock

    found = client.get_experiment_by_name(name)
    if found is not None:
        require_active(name, str(found.experiment_id), found.lifecycle_stage)
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


def require_active(name: str, experiment_id: str, stage: str) -> None:
    """Check that an experiment was not deleted.

    Raises:
        RunError: The experiment was deleted.
    """
    if stage != "active":
        raise _Deleted(f"runs can be logged only to an experiment that exists, but {name!r} was deleted: restore it "
                       f"(mlflow experiments restore --experiment-id {experiment_id}), or use another "
                       f"{named('--tracking-uri')}")


class _Deleted(RunError):
    """An experiment that was deleted."""


def find(client: MlflowClient, run: str, experiments: Sequence[str] | None = None) -> str | None:
    """Return MLflow's id of the run with a local id; None if MLflow does not have the run."""
    if experiments is None:
        experiments = [str(found.experiment_id) for found in client.search_experiments()]
    runs = client.search_runs(list(experiments), filter_string=f"tags.`{RUN_TAG}` = '{run}'", max_results=1)
    return str(runs[0].info.run_id) if runs else None


def _is_definite(error: BaseException) -> bool:
    """Return whether an error is final: another attempt would get the same answer."""
    code = status(error)
    return isinstance(error, (_MissingRun, _Deleted)) or (
        code is not None and HTTPStatus.BAD_REQUEST <= code < HTTPStatus.INTERNAL_SERVER_ERROR and code not in NOT_NOW)


def _cause(error: BaseException) -> BaseException:
    """Return the original error that our own errors wrap."""
    while isinstance(error, RunError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _as_ours(error: Exception, uri: str) -> GruBenchError:
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "disk is full" in str(error):
        ours = RunError(f"there must be free space on the disk for the tracking store {uri!r}, but none is left: free "
                        f"some and run {same_command()} again; what was logged so far is safe")
    elif isinstance(error, GruBenchError):
        return error
    else:
        ours = RunError(f"the tracking store must answer requests, but {uri!r} fails: {first_line(error)}")
    ours.__cause__ = error
    return ours
