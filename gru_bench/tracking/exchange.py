"""A study's runs as plain values and files: out of one tracking store, into another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from gru_bench.tracking.feeding import BATCH
from gru_bench.tracking.reading import RUN_TAG
from gru_bench.tracking.writing import Store

ARCHIVE = "gru_bench.archive"
"""Tag of an imported run: the archive it came from."""
ROLE = "gru_bench.role"
"""Readers take runs that have a role: an imported one gets it last."""
BROKEN_OFF = "it was under way when its study was exported"
MOST_PARAMS = 100
"""Params MLflow takes in one call."""
_PAGE = 1000


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class InputCopy(_Record):
    """A data set that a run has read."""

    name: str
    digest: str
    source_type: str
    source: str
    tags: dict[str, str]


class RunCopy(_Record):
    """One run but for its metrics and artifacts."""

    run_id: str
    status: Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]
    started: int
    """Milliseconds since 1970."""
    ended: int | None
    params: dict[str, str]
    tags: dict[str, str]
    inputs: tuple[InputCopy, ...]


class Point(NamedTuple):
    """One value of a metric."""

    key: str
    value: float
    step: int
    timestamp: int
    """Milliseconds since 1970."""


def read_runs(store: Store, experiment_id: str, parent: str) -> list[RunCopy]:
    """Return a study's own run and then its children, the oldest first."""
    children = _search(store, experiment_id, f"tags.`mlflow.parentRunId` = '{parent}'")
    # One by one, because a search tells no inputs.
    found = (_copied(store._client.get_run(run_id)) for run_id in [parent, *children])
    return [run for run in found if ROLE in run.tags]


def read_points(store: Store, run_id: str) -> Iterator[Point]:
    """Yield all values of all metrics of a run."""
    for key in sorted(store._client.get_run(run_id).data.metrics):
        for point in store._client.get_metric_history(run_id, key):
            yield Point(key, point.value, point.step, point.timestamp)


def read_artifacts(store: Store, run_id: str, folder: Path, keep: Callable[[str], bool]) -> None:
    """Write a run's artifacts below `folder`, those whose path `keep` takes."""
    for path in _paths(store, run_id, ""):
        if keep(path):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(store._artifact(run_id, path))


def write_runs(
    store: Store, experiment: str, runs: Sequence[RunCopy], points: Callable[[str], Iterable[Point]], folder: Path,
    *, archive: str, study: str, edited: Mapping[str, bytes],
) -> dict[str, str]:
    """Write runs, the parent first, out of every reader's sight until `reveal`; return old id -> new id (and
    local id -> new id).

    Args:
        store: to write to.
        experiment: its name, made where it does not exist.
        runs: a study's own run and its children.
        points: gives the values of a run's metrics.
        folder: holds the artifacts of each run in a folder of its id.
        archive: marks what is written.
        study: name of the study here.
        edited: artifact of the study's own run -> its content here.
    """
    from mlflow.entities import Metric, Param

    client, experiment_id = store._client, store.experiment(experiment)
    renamed: dict[str, str] = {}
    local: dict[str, str] = {}
    for run in runs:
        tags = _tags(run, renamed, study) | {ARCHIVE: archive}
        tags.pop(ROLE, None)
        name = tags.pop(RUN_TAG, None)
        run_id = client.create_run(experiment_id, start_time=run.started, tags=tags).info.run_id
        renamed[run.run_id] = run_id
        if name is not None:
            local[name] = run_id
        params = [Param(key, study if key == "study" else value) for key, value in run.params.items()]
        for start in range(0, len(params), MOST_PARAMS):
            client.log_batch(run_id, params=params[start:start + MOST_PARAMS])
        metrics = [Metric(point.key, point.value, point.timestamp, point.step) for point in points(run.run_id)]
        for start in range(0, len(metrics), BATCH):
            client.log_batch(run_id, metrics=metrics[start:start + BATCH])
        _log_inputs(client, run_id, run.inputs)
        if (folder / run.run_id).is_dir():
            client.log_artifacts(run_id, str(folder / run.run_id))
        if len(renamed) == 1:
            for path, content in edited.items():
                client.log_text(run_id, content.decode(), path)
        over = run.status in ("FINISHED", "FAILED", "KILLED")
        client.set_terminated(run_id, run.status if over else "KILLED", run.ended or run.started)
    return renamed | local


def reveal(store: Store, runs: Sequence[RunCopy], renamed: Mapping[str, str]) -> None:
    """Let readers see what `write_runs` wrote, the study's own run last."""
    for run in [*runs[1:], runs[0]]:
        store._client.set_tag(renamed[run.run_id], ROLE, run.tags[ROLE])


def imported_as(store: Store, experiment: str, study: str) -> dict[str, str]:
    """Return run -> archive (empty where it was not imported) of the study runs of that name."""
    if experiment not in store.experiments():
        return {}
    return {run.run_id: run.tags.get(ARCHIVE, "") for run in store.runs(experiment)
            if run.role == "study" and run.study == study}


def remove_import(store: Store, experiment: str, study: str, archive: str) -> None:
    """Remove all that an import has written."""
    found = store._client.get_experiment_by_name(experiment)
    if found is None:
        return
    mark = f"tags.`{ARCHIVE}` = '{archive}'"
    for run_id in _search(store, found.experiment_id, mark, of_study=study):
        store._client.delete_run(run_id)


def _search(store: Store, experiment_id: str, query: str, of_study: str | None = None) -> list[str]:
    found: list[str] = []
    token = None
    while True:
        page = store._client.search_runs(
            [experiment_id], query, max_results=_PAGE, page_token=token, order_by=["attributes.start_time ASC"])
        found += [run.info.run_id for run in page
                  if of_study is None or run.data.tags.get("gru_bench.study") == of_study]
        token = page.token
        if not token:
            return found


def _paths(store: Store, run_id: str, folder: str) -> Iterator[str]:
    for entry in store._client.list_artifacts(run_id, folder or None):
        if entry.is_dir:
            yield from _paths(store, run_id, entry.path)
        else:
            yield entry.path


def _copied(run: Any) -> RunCopy:
    inputs = run.inputs.dataset_inputs if run.inputs is not None else ()
    return RunCopy(
        run_id=run.info.run_id, status=run.info.status, started=run.info.start_time, ended=run.info.end_time,
        params=dict(run.data.params), tags=dict(run.data.tags), inputs=tuple(
            InputCopy(name=entry.dataset.name, digest=entry.dataset.digest, source_type=entry.dataset.source_type,
                      source=entry.dataset.source, tags={tag.key: tag.value for tag in entry.tags})
            for entry in inputs))


def _tags(run: RunCopy, renamed: Mapping[str, str], study: str) -> dict[str, str]:
    tags = {key: renamed.get(value, value) for key, value in run.tags.items()}
    before, name = run.tags.get("gru_bench.study", ""), run.tags.get("mlflow.runName", "")
    if before and (name == before or name.startswith(f"{before}: ")):
        tags["mlflow.runName"] = study + name.removeprefix(before)
    tags["gru_bench.study"] = study
    if run.status == "RUNNING":
        tags |= {"gru_bench.state": "killed", "gru_bench.reason": BROKEN_OFF}
    return tags


def _log_inputs(client: Any, run_id: str, inputs: Sequence[InputCopy]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    if inputs:
        client.log_inputs(run_id, [
            DatasetInput(
                Dataset(name=entry.name, digest=entry.digest, source_type=entry.source_type, source=entry.source),
                [InputTag(key, value) for key, value in entry.tags.items()]) for entry in inputs])
