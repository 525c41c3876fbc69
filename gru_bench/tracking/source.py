"""What is read from a tracking store, as MLflow has it: through its client, which works for any store.

`FileSource` reads a database file faster.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gru_bench.tracking.client import ID_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

RawRun = tuple[str, str, str | None, str, int | None, int | None, Mapping[str, str], Mapping[str, str], Mapping[
    str, float]]
"""A run as MLflow has it: its id, its experiment's id, name, status, begin and end in milliseconds since 1970, tags,
params and metrics."""
RawPoint = tuple[str, str, int, float, int]
"""MLflow's id of a run, metric, step, value and time in milliseconds since 1970."""
PAGE = 1000
"""Most runs in one answer of MLflow."""


@dataclass(frozen=True)
class Found:
    """Where a run is in MLflow."""

    run_id: str
    """MLflow's id."""
    experiment: str
    """Name of its experiment."""
    is_deleted: bool


class Source:
    """What a reader asks of a tracking store. Runs are named by MLflow's ids, except in `find`."""

    def __init__(self, client: Callable[[], MlflowClient]) -> None:
        """Read from a store; `client` returns its client, which is opened when it is first needed."""
        self._open = client

    @property
    def _client(self) -> MlflowClient:
        return self._open()

    def experiments(self) -> list[str]:
        """Return the names of the experiments with runs of gru-bench, the most recent first."""
        latest: dict[str, int] = {}
        for experiment in self._experiments():
            runs = self._client.search_runs(
                [experiment.experiment_id], filter_string="tags.`gru_bench.complete` LIKE '%'", max_results=1,
                order_by=["attributes.start_time DESC"])
            if runs:
                latest[experiment.name] = runs[0].info.start_time
        return sorted(latest, key=lambda name: latest[name], reverse=True)

    def runs(self, experiment: str, tag: tuple[str, str] | None = None) -> list[RawRun] | None:
        """Return the runs of an experiment, newest first; None if it does not exist.

        Args:
            experiment: Name of the experiment.
            tag: Key and value of a tag that they have; None for all runs.
        """
        found = self._client.get_experiment_by_name(experiment)
        if found is None:
            return None
        query = "" if tag is None else f"tags.`{tag[0]}` = '{tag[1]}'"
        return list(map(_raw, self._search([found.experiment_id], query)))

    def run(self, run_id: str) -> RawRun:
        """Return a run."""
        return _raw(self._client.get_run(run_id))

    def tagged_runs(self, tag: str, value: str) -> Iterable[tuple[str, int | None, Mapping[str, str]]]:
        """Yield id, begin and tags of the runs of all experiments that have this value of a tag."""
        places = [experiment.experiment_id for experiment in self._experiments()]
        for run in self._search(places, f"tags.`{tag}` = '{value}'"):
            yield run.info.run_id, run.info.start_time, run.data.tags

    def points(self, run_ids: Sequence[str], metrics: Sequence[str]) -> Iterator[RawPoint]:
        """Yield the points of some metrics."""
        for metric in metrics:
            for run_id in sorted(set(run_ids)):
                for point in self._client.get_metric_history(run_id, metric):
                    yield run_id, metric, point.step, point.value, point.timestamp

    def find(self, run_id: str) -> Found | None:
        """Return where the run with one of our ids is, even if it was deleted; None if the store does not have it."""
        from mlflow.entities import ViewType

        # With an experiment, its runs are deleted.
        names = {experiment.experiment_id: experiment.name for experiment in self._experiments(deleted=True)}
        runs = self._client.search_runs(
            list(names), f"tags.`{ID_TAG}` = '{run_id}'", run_view_type=ViewType.ALL,
            order_by=["attributes.start_time ASC"]) if names else []
        found = [Found(run.info.run_id, names[run.info.experiment_id], run.info.lifecycle_stage == "deleted")
                 for run in runs]
        return min(found, key=lambda one: one.is_deleted, default=None)

    def tagged(self, experiment: str, key: str) -> str | None:
        """Return the id of the experiment of that name if it has a tag."""
        found = self._client.get_experiment_by_name(experiment)
        return None if found is None or key not in found.tags else str(found.experiment_id)

    def artifact(self, run_id: str, path: str) -> bytes:
        """Return the content of an artifact."""
        with tempfile.TemporaryDirectory() as folder:
            return Path(self._client.download_artifacts(run_id, path, folder)).read_bytes()

    def artifacts(self, run_id: str) -> Path | None:
        """Return the folder of a run's artifacts; None if it is not known to be a local path."""
        del run_id
        return None

    def paths(self, run_id: str) -> list[str]:
        """Return the paths of a run's artifacts."""
        return list(self._below(run_id, None))

    def _below(self, run_id: str, folder: str | None) -> Iterator[str]:
        for entry in self._client.list_artifacts(run_id, folder):
            if entry.is_dir:
                yield from self._below(run_id, entry.path)
            else:
                yield entry.path

    def _experiments(self, *, deleted: bool = False) -> Iterator[Experiment]:
        """Yield all experiments page by page, with `deleted` also those that were deleted."""
        from mlflow.entities import ViewType

        view, token = ViewType.ALL if deleted else ViewType.ACTIVE_ONLY, None
        while True:
            page = self._client.search_experiments(view, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _search(self, places: Sequence[str], query: str) -> Iterator[Run]:
        """Yield the runs that a query finds in some experiments, newest first, page by page."""
        token = None
        while True:
            page = self._client.search_runs(list(places), query, max_results=PAGE, page_token=token,
                                            order_by=["attributes.start_time DESC"])
            yield from page
            token = page.token
            if not token:
                return


def _raw(run: Run) -> RawRun:
    return (run.info.run_id, run.info.experiment_id, run.info.run_name, run.info.status, run.info.start_time,
            run.info.end_time, run.data.tags, run.data.params, run.data.metrics)
