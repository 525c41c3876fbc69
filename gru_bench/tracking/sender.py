"""How a record is written to MLflow, so that writing it again is harmless.

A run is found by the tag with its id, except at the first attempt of the process that has made its record; a point is
one row for its key, step, time and value; tags, params, artifacts and the status are overwritten by the same values; a
logged model is looked up by its run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gru_bench.errors import argument
from gru_bench.models.saved import SHARED
from gru_bench.tracking.client import ARTIFACTS, ID_TAG, PARENT_TAG, ROWS_TAG
from gru_bench.tracking.failures import MissingError
from gru_bench.tracking.outbox import FOLDER
from gru_bench.tracking.reader import Reader
from gru_bench.tracking.record import RunRecord
from gru_bench.tracking.registry import log_model
from gru_bench.tracking.view import save_view

if TYPE_CHECKING:
    from mlflow import MlflowClient

BATCH = 1000
"""Most points, params and tags in one call to MLflow."""
BEGIN_SECONDS = 5.0
"""Seconds to wait for another process that creates a run, before the next attempt."""


@dataclass
class _Sent:
    """What this process has written of a run."""

    mlflow_id: str
    experiment: str = ""
    """MLflow's id of its experiment, once that was asked for."""
    points: int = 0
    """How many of its points, counted from the first one."""
    has_dataset: bool = False
    """Whether its data set was logged."""
    params: set[str] = field(default_factory=set)
    """Names of its params. Those of a baseline are known at its end alone."""
    tags: dict[str, str] = field(default_factory=dict)


class Sender:
    """Writes records to a tracking store."""

    def __init__(self, store: Reader) -> None:
        """Write to a store."""
        self._store = store
        self.may_create: Callable[[str], bool] = lambda _: True
        """Return whether this process creates the run with an id; several starts of a study may ask for its own run,
        and it is one of them until it dies. Each call renews that, so it is asked before each call to MLflow."""
        self._sent: dict[str, _Sent] = {}
        self._tried = set[str]()
        """Ids of the runs that this process has tried to create."""

    def send(
        self, record: RunRecord, files: Mapping[str, Path], *, late: bool = False, ours: bool = False
    ) -> None:
        """Write what MLflow does not have yet of a record and its artifacts.

        Args:
            record: The record.
            files: Path of an artifact in the run -> its file.
            late: Whether a dead process has left the record. If another one has ended the run since, the record says no
                longer whether it runs.
            ours: Whether this process has made the record, so that no other can have created its run.

        Raises:
            MissingError: The run or its experiment was deleted, or MLflow does not have what the record adds to.
            RunError, OSError: The store fails, or another start creates the run of the study.
        """
        from mlflow.entities import Metric, Param, RunTag

        client = self._store.client
        whole = bool(record.first_tags)  # otherwise it is added to a run, and all of its points are new
        sent = self._sent.get(record.run_id)
        if sent is None:
            sent = self._sent[record.run_id] = _Sent(self._created(record, ours=ours))
        run_id = sent.mlflow_id
        if late and not whole and record.status and (client.get_run(run_id).info.end_time or 0) > record.time:
            record = replace(record, status="", tags={}, view=None)
        for path, file in files.items():
            if not (path.startswith(SHARED) and _has(client, run_id, path, file)):
                client.log_artifact(run_id, str(file), path.rpartition("/")[0])
        if record.model:
            log_model(client, run_id, record.model)
        known = sent.points if whole else 0
        metrics = [Metric(point.key, point.value, point.time, point.step) for point in record.points[known:]]
        params = [Param(key, value) for key, value in record.params.items() if not whole or key not in sent.params]
        # Tags come last, because `gru_bench.complete` is one of them.
        tags = [RunTag(key, value) for key, value in record.tags.items() if sent.tags.get(key) != value]
        if record.dataset is not None and not sent.has_dataset:
            _log_dataset(client, run_id, *record.dataset, record.first_tags.get(ROWS_TAG))
        while len(metrics) + len(params) + len(tags) > BATCH:
            client.log_batch(run_id, metrics=metrics[:BATCH])
            metrics = metrics[BATCH:]
        if metrics or params or tags:
            client.log_batch(run_id, metrics=metrics, params=params, tags=tags)
        sent.tags |= record.tags
        sent.params |= record.params.keys()
        if whole:
            sent.points, sent.has_dataset = len(record.points), True
        if record.status == "RUNNING":
            client.update_run(run_id, status="RUNNING")
        elif record.status:
            client.set_terminated(run_id, record.status, record.ended)
        if record.view is not None:
            save_view(client, self._store.uri, client.get_run(run_id).info.experiment_id, record.view, record.time)
        if whole and record.ended is not None:
            del self._sent[record.run_id]

    def _created(self, record: RunRecord, *, ours: bool) -> str:
        """Return MLflow's id of the run of a record; the run is created if it does not exist.

        Raises:
            ConnectionError: Another start creates the run of the study.
        """
        client = self._store.client
        # Several starts begin the run of a study, which has no parent.
        is_first = ours and bool(record.first_tags) and record.parent is not None and record.run_id not in self._tried
        self._tried.add(record.run_id)
        if not is_first and (found := self._found(record)) is not None:
            return found
        tags = {**record.first_tags, ID_TAG: record.run_id}
        if record.parent is not None:
            parent = self._parent(record.parent)
            place = parent.experiment = parent.experiment or client.get_run(parent.mlflow_id).info.experiment_id
            tags |= {PARENT_TAG: record.parent, "mlflow.parentRunId": parent.mlflow_id}
        else:
            place = self._experiment(record.experiment)
        with nullcontext() if record.parent is not None else _begin_lock(self._store.home):
            if record.parent is None:
                self._require_turn(record.run_id)
                if (found := self._found(record)) is not None:  # another one has created it meanwhile
                    return found
                self._require_turn(record.run_id)
            return str(client.create_run(place, start_time=record.time, tags=tags).info.run_id)

    def _require_turn(self, run_id: str) -> None:
        if not self.may_create(run_id):
            raise ConnectionError("another start creates the run of the study")

    def _found(self, record: RunRecord) -> str | None:
        """Return MLflow's id of the run of a record; None if it does not exist and the record is all of it."""
        found = self._store.find(record.run_id)
        if found is not None and found.is_deleted:
            raise MissingError(f"the run {found.run_id} was deleted in MLflow")
        if found is None and not record.first_tags:
            raise MissingError(f"the run {record.run_id} is missing in MLflow")
        return None if found is None else found.run_id

    def _parent(self, run_id: str) -> _Sent:
        if run_id not in self._sent:
            found = self._store.find(run_id)
            if found is None:
                raise MissingError(f"the parent run {run_id} is missing in MLflow")
            self._sent[run_id] = _Sent(found.run_id)
        return self._sent[run_id]

    def _experiment(self, name: str) -> str:
        """Return the id of the experiment called `name`, which is created if it does not exist."""
        from filelock import FileLock

        client, database = self._store.client, self._store.database
        with nullcontext() if database is None else FileLock(f"{database}.lock"):
            found = client.get_experiment_by_name(name)
            if found is None:
                location = None if database is None else (database.parent / ARTIFACTS).resolve().as_uri()
                return str(client.create_experiment(name, artifact_location=location))
            if found.lifecycle_stage == "deleted":
                raise MissingError(
                    f"the experiment {name!r} was deleted: restore it (mlflow experiments restore --experiment-id "
                    f"{found.experiment_id}), or use another store ({argument('tracking_uri')})")
            return str(found.experiment_id)


def _begin_lock(home: Path) -> AbstractContextManager[object]:
    """Return the lock under which a process creates a run that others in its directory may have a record of, too."""
    from filelock import FileLock

    return FileLock(home / FOLDER / ".begin", timeout=BEGIN_SECONDS)


def _log_dataset(client: MlflowClient, run_id: str, name: str, fingerprint: str, profile: str | None) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    entry = Dataset(name=name, digest=fingerprint[:36], source_type="local", source=json.dumps({"name": name}),
                    profile=profile)
    client.log_inputs(run_id, [DatasetInput(entry, [InputTag("mlflow.data.context", "training")])])


def _has(client: MlflowClient, run_id: str, path: str, file: Path) -> bool:
    """Return whether a run has an artifact of this size already: another process of its study may have logged it."""
    return any(entry.path == path and entry.file_size == file.stat().st_size
               for entry in client.list_artifacts(run_id, path.rpartition("/")[0]))
