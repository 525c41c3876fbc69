"""What MLflow does not have yet of a run, and how it is written, so that writing it again is harmless.

A run is found by the tag with our id of it, but at the first attempt of the process that begins it; a point is one row
for its key, step, time and value; tags, params, artifacts and the status are overwritten by the same values; a logged
model is looked up by its run.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gru_bench.errors import RunError, argument
from gru_bench.models.saved import SHARED
from gru_bench.tracking.client import ARTIFACTS, ID_TAG, PARENT_TAG, ROWS_TAG
from gru_bench.tracking.reader import Reader
from gru_bench.tracking.registry import log_model

if TYPE_CHECKING:
    from mlflow import MlflowClient

BATCH = 1000
"""Most points, params and tags in one call to MLflow."""


def now() -> int:
    """Return the current time in milliseconds since 1970."""
    return int(time.time() * 1000)


class Point(NamedTuple):
    """One value of a metric."""

    key: str
    value: float
    step: int
    time: int
    """In milliseconds since 1970."""


@dataclass(frozen=True)
class Begin:
    """How a run begins."""

    experiment: str
    """Name of the experiment, for a run without a parent."""
    parent: str | None
    """Id of the parent run."""
    tags: Mapping[str, str]
    started: int = field(default_factory=now)
    """In milliseconds since 1970."""
    fingerprint: str = ""
    """Fingerprint of the data that the run trains on; MLflow shows a data set with the experiment's name."""


class PendingRun:
    """What MLflow does not have yet of a run."""

    def __init__(self, store: Reader, run_id: str, begin: Begin | None = None) -> None:
        """Write to a run.

        Args:
            store: The store.
            run_id: Our id of the run.
            begin: How the run begins; None for a run that the store has.
        """
        self.run_id, self._begin = run_id, begin
        self._store, self._mlflow_id, self._is_tried = store, "", False
        self._data = "" if begin is None else begin.fingerprint
        self._files: dict[str, bytes] = {}
        self._points: list[Point] = []
        self._params: dict[str, str] = {}
        self._tags: dict[str, str] = {}
        self._model = ""
        self._end: tuple[str, int] | None = None
        self._latest = 0
        """Time of the last point."""

    @property
    def parent(self) -> str | None:
        """Id of the parent run of a run that begins."""
        return None if self._begin is None else self._begin.parent

    def add(
        self, files: Mapping[str, bytes], metrics: Sequence[tuple[str, float, int]], params: Mapping[str, str],
        tags: Mapping[str, str], status: str, model: str,
    ) -> None:
        """Add to what is to be written.

        Args:
            files: Path of an artifact -> its content.
            metrics: Key, value and step of points.
            params: Params.
            tags: Tags. They are written after all else, because `gru_bench.complete` is one of them.
            status: New MLflow status of the run; empty changes nothing.
            model: Name of the model whose weights are among the artifacts; empty if there are none.
        """
        # Each point gets a later time than the one before: of two points at one step, MLflow uses the later one.
        self._latest = max(now(), self._latest + 1)
        self._points += [Point(key, float(value), step, self._latest) for key, value, step in metrics]
        self._files |= files
        self._params |= params
        self._tags |= tags
        self._model = model or self._model
        self._end = (status, now()) if status else self._end

    def send(self) -> None:
        """Write all that MLflow does not have. What was written when an error is raised is not written again.

        Raises:
            RunError: The run or its experiment was deleted, or the store fails.
        """
        from mlflow.entities import Metric, Param, RunTag

        client = self._store.client
        run_id = self._mlflow_id = self._mlflow_id or self._created()
        if self._begin is not None and self._data:
            _log_dataset(client, run_id, self._begin.experiment, self._data, self._begin.tags.get(ROWS_TAG))
            self._data = ""
        if self._files:
            _log_artifacts(client, run_id, self._files)
            self._files = {}
        if self._model:
            log_model(client, run_id, self._model)
            self._model = ""
        params = [Param(key, value) for key, value in self._params.items()]
        tags = [RunTag(key, value) for key, value in self._tags.items()]
        while self._points or params or tags:
            points, is_last = self._points[:BATCH], len(self._points) + len(params) + len(tags) <= BATCH
            client.log_batch(run_id, metrics=[Metric(point.key, point.value, point.time, point.step)
                                              for point in points],
                             params=params if is_last else [], tags=tags if is_last else [])
            del self._points[:BATCH]
            if is_last:
                self._params, self._tags, params, tags = {}, {}, [], []
        if self._end is not None:
            status, ended = self._end
            if status == "RUNNING":
                client.update_run(run_id, status=status)
            else:
                client.set_terminated(run_id, status, ended)
            self._end = None

    def _created(self) -> str:
        """Return MLflow's id of the run, which is created if the store does not have it."""
        begin, client = self._begin, self._store.client
        # Several starts may begin the run of a study, which has no parent.
        is_new = begin is not None and begin.parent is not None and not self._is_tried
        self._is_tried = True
        found = None if is_new else self._store.source.find(self.run_id)
        if found is not None:
            if found.is_deleted:
                raise RunError(f"the run {found.run_id} was deleted in MLflow: restore it (mlflow runs restore "
                               f"--run-id {found.run_id})")
            return found.run_id
        if begin is None:
            raise RunError(f"the run {self.run_id} is missing in MLflow")
        tags = {**begin.tags, ID_TAG: self.run_id}
        if begin.parent is None:
            place = _experiment(self._store, begin.experiment)
        else:
            parent = self._store.mlflow_id(begin.parent)
            place = client.get_run(parent).info.experiment_id
            tags |= {PARENT_TAG: begin.parent, "mlflow.parentRunId": parent}
        return str(client.create_run(place, start_time=begin.started, tags=tags).info.run_id)


def _experiment(store: Reader, name: str) -> str:
    """Return the id of the experiment called `name`, which is created if it does not exist."""
    from filelock import FileLock

    client, database = store.client, store.database
    with nullcontext() if database is None else FileLock(f"{database}.lock"):
        found = client.get_experiment_by_name(name)
        if found is None:
            location = None if database is None else (database.parent / ARTIFACTS).resolve().as_uri()
            return str(client.create_experiment(name, artifact_location=location))
        if found.lifecycle_stage == "deleted":
            raise RunError(
                f"the experiment {name!r} was deleted: restore it (mlflow experiments restore --experiment-id "
                f"{found.experiment_id}), or use another {argument('tracking_uri')}")
        return str(found.experiment_id)


def _log_dataset(client: MlflowClient, run_id: str, name: str, fingerprint: str, profile: str | None) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    entry = Dataset(name=name, digest=fingerprint[:36], source_type="local", source=json.dumps({"name": name}),
                    profile=profile)
    client.log_inputs(run_id, [DatasetInput(entry, [InputTag("mlflow.data.context", "training")])])


def _log_artifacts(client: MlflowClient, run_id: str, files: Mapping[str, bytes]) -> None:
    """Log artifacts, but those whose names say what is in them and that the run has already."""
    with tempfile.TemporaryDirectory(prefix="gru-bench-") as temporary:
        folder = Path(temporary)
        for path, content in files.items():
            if path.startswith(SHARED) and _has(client, run_id, path, len(content)):
                continue
            folder.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
            folder.joinpath(path).write_bytes(content)
        client.log_artifacts(run_id, temporary)


def _has(client: MlflowClient, run_id: str, path: str, size: int) -> bool:
    """Return whether a run has an artifact of this size already: another process of its study may have logged it."""
    return any(entry.path == path and entry.file_size == size
               for entry in client.list_artifacts(run_id, path.rpartition("/")[0]))
