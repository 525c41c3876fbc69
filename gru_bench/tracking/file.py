"""A tracking store that is a database file, read without mlflow, by a few queries for any number of runs.

MLflow's client gives the same answers, but takes 28 times as long for a thousand runs.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gru_bench.tracking.client import ID_TAG, folder_of, reading
from gru_bench.tracking.source import Found, RawPoint, RawRun, Source

if TYPE_CHECKING:
    from mlflow import MlflowClient

MOST_IDS = 500
"""Most runs that are named in one query."""
_UNFINISHED = ".artifact.uploading."
"""Beginning of the name of a file that MLflow is writing, or was when its process died."""


class FileSource(Source):
    """The `Source` of a database file, which is read without MLflow except for what is asked of few runs."""

    def __init__(self, database: Path, client: Callable[[], MlflowClient]) -> None:
        """Read from `database`; `client` returns MLflow's client for it."""
        super().__init__(client)
        self._database = database

    def experiments(self) -> list[str]:
        """Return the names of the experiments with runs of gru-bench, the most recent first."""
        return [name for name, _ in self._rows(
            "SELECT experiments.name, MAX(runs.start_time) AS latest FROM experiments JOIN runs USING "
            "(experiment_id) JOIN tags USING (run_uuid) WHERE tags.key = 'gru_bench.complete' "
            "AND runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active' "
            "GROUP BY experiments.experiment_id ORDER BY latest DESC")]

    def runs(self, experiment: str, tag: tuple[str, str] | None = None) -> list[RawRun] | None:
        """Return the runs of an experiment that have a tag, or all; None if it does not exist."""
        found = self._rows("SELECT experiment_id FROM experiments WHERE name = ?", experiment)
        if not found:
            return None
        condition = "experiment_id = ? AND lifecycle_stage = 'active'"
        if tag is None:
            return self._runs(condition, *found[0])
        tagged = [run_id for run_id, in self._rows("SELECT run_uuid FROM tags WHERE key = ? AND value = ?", *tag)]
        if len(tagged) > MOST_IDS:  # reading all is faster than looking up so many
            return self._runs(condition, *found[0], among=frozenset(tagged))
        return self._runs(f"{condition} AND run_uuid IN ({','.join('?' * len(tagged))})", *found[0], *tagged)

    def run(self, run_id: str) -> RawRun:
        """Return a run."""
        return self._runs("run_uuid = ?", run_id)[0]

    def _runs(self, condition: str, *values: object, among: Container[str] | None = None) -> list[RawRun]:
        """Return the runs that meet a condition, and are among some, by four queries."""
        with reading(self._database) as connection:
            connection.execute("BEGIN")  # all queries see the store as it is at the first
            rows = connection.execute(
                f"SELECT run_uuid, experiment_id, name, status, start_time, end_time FROM runs WHERE {condition} "
                "ORDER BY start_time DESC, run_uuid", values).fetchall()
            rows = [row for row in rows if among is None or row[0] in among]
            kinds: list[dict[str, dict[str, Any]]] = []
            for columns in ("tags.key, tags.value FROM tags", "params.key, params.value FROM params",
                            "m.key, CASE WHEN m.is_nan THEN NULL ELSE m.value END FROM latest_metrics m"):
                by_run: dict[str, dict[str, Any]] = {run_id: {} for run_id, *_ in rows}
                for run_id, key, value in connection.execute(
                        f"SELECT run_uuid, {columns} JOIN runs USING (run_uuid) WHERE {condition}", values):
                    if run_id in by_run:
                        by_run[run_id][key] = value
                kinds.append(by_run)
        tags, params, metrics = kinds
        return [(run_id, str(experiment), name, status, begin, end, tags[run_id], params[run_id], {
            key: float("nan") if value is None else float(value) for key, value in metrics[run_id].items()})
            for run_id, experiment, name, status, begin, end in rows]

    def tagged_runs(self, tag: str, value: str) -> list[tuple[str, int | None, Mapping[str, str]]]:
        """Return id, begin and tags of the runs of all experiments that have this value of a tag."""
        by_run: dict[tuple[str, int | None], dict[str, str]] = {}
        for run_id, begin, key, found in self._rows(
            "SELECT run_uuid, start_time, key, value FROM tags JOIN runs USING (run_uuid) JOIN experiments USING "
            "(experiment_id) WHERE runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active' AND "
            "run_uuid IN (SELECT run_uuid FROM tags WHERE key = ? AND value = ?)", tag, value):
            by_run.setdefault((run_id, begin), {})[key] = found
        return [(*run, tags) for run, tags in by_run.items()]

    def points(self, run_ids: Sequence[str], metrics: Sequence[str]) -> Iterator[RawPoint]:
        """Yield the points of some metrics, in a few queries: one for each run and metric would take minutes."""
        marks = ",".join("?" * len(metrics))
        with reading(self._database) as connection:
            for start in range(0, len(run_ids), MOST_IDS):
                some = run_ids[start:start + MOST_IDS]
                for run_id, key, step, value, timestamp in connection.execute(
                        "SELECT run_uuid, key, step, CASE WHEN is_nan THEN NULL ELSE value END, timestamp FROM metrics "
                        f"WHERE key IN ({marks}) AND run_uuid IN ({','.join('?' * len(some))})", [*metrics, *some]):
                    yield run_id, key, step, float("nan") if value is None else value, timestamp

    def find(self, run_id: str) -> Found | None:
        """Return where the run with one of our ids is, even if it was deleted."""
        rows = self._rows(
            "SELECT run_uuid, experiments.name, runs.lifecycle_stage FROM runs JOIN tags USING (run_uuid) JOIN "
            "experiments USING (experiment_id) WHERE key = ? AND value = ? ORDER BY runs.lifecycle_stage, start_time",
            ID_TAG, run_id)
        return next((Found(mlflow_id, place, stage == "deleted") for mlflow_id, place, stage in rows), None)

    def tagged(self, experiment: str, key: str) -> str | None:
        """Return the id of the experiment of that name if it has a tag."""
        found = self._rows("SELECT experiment_id FROM experiments JOIN experiment_tags USING (experiment_id) WHERE "
                           "name = ? AND key = ?", experiment, key)
        return str(found[0][0]) if found else None

    def artifact(self, run_id: str, path: str) -> bytes:
        """Return the content of an artifact."""
        folder = self.artifacts(run_id)
        return super().artifact(run_id, path) if folder is None else (folder / path).read_bytes()

    def artifacts(self, run_id: str) -> Path | None:
        """Return the folder of a run's artifacts; None if it is not a local path.

        Raises:
            FileNotFoundError: The folder is missing, where the run was logged and beside the database.
        """
        found = self._rows("SELECT artifact_uri FROM runs WHERE run_uuid = ?", run_id)
        return folder_of(found[0][0] or "", self._database.parent) if found else None

    def paths(self, run_id: str) -> list[str]:
        """Return the paths of a run's artifacts."""
        folder = self.artifacts(run_id)
        if folder is None:
            return super().paths(run_id)
        return [file.relative_to(folder).as_posix() for file in sorted(folder.rglob("*"))
                if file.is_file() and not file.name.startswith(_UNFINISHED)]

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with reading(self._database) as connection:
            return connection.execute(query, values).fetchall()
