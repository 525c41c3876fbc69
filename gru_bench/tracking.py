"""The only module that imports mlflow: write runs as they happen, read them back for a write-up.

An experiment is a data set; a study is a parent run whose children are its trials and confirm runs. A run is
tagged `gru_bench.complete` last, so that readers can tell a whole one from one that broke off.

mlflow is imported when a store is first asked for something that only it can do: that takes a second, and it
reads its settings from the environment then. A local database file is read without it, by a handful of queries
on MLflow's tables, whatever the number of runs.
"""

from __future__ import annotations

import getpass
import io
import json
import os
import platform
import sqlite3
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np

from gru_bench.config import RunConfig, flat
from gru_bench.errors import RunError, UsageError, unknown
from gru_bench.metrics import scores
from gru_bench.results import EpochRecord, Predictions, RunResult, StudySummary

if TYPE_CHECKING:
    from mlflow import MlflowClient

DEFAULT_DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"
URI_KINDS = "a file such as sqlite:///mlflow.db, or a server such as http://127.0.0.1:5000"
PAGE = 1000
BATCH = 1000
"""Points MLflow takes in one call."""


@dataclass(frozen=True)
class LoggedRun:
    """One MLflow run as a reader finds it."""

    run_id: str
    experiment_id: str
    name: str
    role: str
    """study, trial, confirm, contrast or single."""
    study: str
    model: str
    engine: str
    seed: int | None
    status: str
    """MLflow's: RUNNING, FINISHED, FAILED or KILLED."""
    complete: bool
    reason: str
    """Why it was pruned or failed; empty otherwise."""
    params: Mapping[str, str]
    """The flattened config: `model.hidden_size` -> `"100"`."""
    metrics: Mapping[str, float]
    """Last value of each: `test/accuracy`, `test/f1`, `time/train_seconds`, `time/tokens_per_second`, ..."""
    tags: Mapping[str, str]
    started: float
    """Seconds since the epoch."""


@dataclass(frozen=True)
class LoggedStudy:
    """A study's parent run and its children; `summary` is None until its search and confirm stage ended."""

    run: LoggedRun
    summary: StudySummary | None
    trials: tuple[LoggedRun, ...]
    confirms: tuple[LoggedRun, ...]
    contrasts: tuple[LoggedRun, ...] = ()

    def side(self, contrast: str, side: str) -> tuple[LoggedRun, ...]:
        """Return the runs of one side of a contrast, `usual` or `other`; several contrasts may share a usual run."""
        return tuple(run for run in self.contrasts if run.tags.get("gru_bench.side") == side
                     and contrast in run.tags.get("gru_bench.contrast", "").split(","))


class Store:
    """An MLflow tracking store: a database file, a database server, or an MLflow server."""

    def __init__(self, uri: str | None = None, *, create: bool = True) -> None:
        """Open the store, and where it is a file prepare it once, whoever else does so at the same time.

        Args:
            uri: MLflow's tracking URI; None means the file `mlflow.db` in the working directory.
            create: whether a file that is not there is made; otherwise it is an error, and the store is for
                reading: a file is not prepared for writing, and opened at once.

        Raises:
            UsageError: for a URI that MLflow cannot mean, or a missing file that is not to be made.
            RunError: for a store that does not answer or is damaged.
        """
        self.uri = uri or f"sqlite:///{Path.cwd() / DEFAULT_DATABASE}"
        if "://" not in self.uri:
            raise UsageError(f"--tracking-uri must be {URI_KINDS}, but got {self.uri!r}")
        self.database = _sqlite_path(self.uri)
        if self.database is not None:
            self.uri = f"sqlite:///{self.database}"
            if not create and not self.database.exists():
                raise RunError(f"the runs must be in {self.database}, but there is no such file: run a sweep in this "
                               "directory first (python sweeps/run.py --study smoke), or name --tracking-uri")
        if create or self.database is None:
            assert self._client is not None  # opened now: what is wrong with the store is told now
        else:
            self._rows("SELECT 1 FROM experiments, runs, tags, params, metrics, latest_metrics LIMIT 0")

    @cached_property
    def _client(self) -> MlflowClient:
        return cast("MlflowClient", _Plain(self._open(), self.uri))

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Open the database file to read it, and tell its failures as ours."""
        try:
            with closing(sqlite3.connect(f"{cast('Path', self.database).as_uri()}?mode=ro", uri=True)) as connection:
                yield connection
        except sqlite3.Error as error:
            raise RunError(
                f"the tracking store must be a database of MLflow's, but {str(self.database)!r} cannot be read "
                f"({error}): name the right one with --tracking-uri, or run a sweep to begin one") from error

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._reading() as connection:
            return connection.execute(query, values).fetchall()

    def _open(self) -> MlflowClient:
        from filelock import FileLock

        if self.database is None:
            return self._answering_client()
        if not self.database.parent.is_dir():
            raise UsageError(f"--tracking-uri must name a file in a folder that exists, but got {self.uri!r}: "
                             f"make {self.database.parent} first")
        # Processes that prepare a new file at once would break it for good.
        with FileLock(f"{self.database}.lock"):
            client = self._answering_client()
            with closing(sqlite3.connect(self.database)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
        return client

    def _answering_client(self) -> MlflowClient:
        mlflow = _mlflow()
        try:
            client: MlflowClient = mlflow.MlflowClient(tracking_uri=self.uri)
            client.search_experiments(max_results=1)
        except mlflow.exceptions.MlflowException as error:
            raise RunError(f"the tracking store must answer, but {self.uri!r} does not: {_first_line(error)}. Start "
                           "its server, or leave --tracking-uri out to use mlflow.db in this directory") from error
        except Exception as error:
            raise UsageError(f"--tracking-uri must be {URI_KINDS}, but got {self.uri!r}: "
                             f"{_first_line(error)}") from error
        return client

    def experiment(self, name: str) -> str:
        """Return the id of the experiment called `name`, made where it does not exist yet."""
        from filelock import FileLock

        found = self._client.get_experiment_by_name(name)
        if found is not None:
            if found.lifecycle_stage != "active":
                raise RunError(f"the experiment {name!r} must not be deleted to log to it, but it is: restore it "
                               f"(mlflow experiments restore --experiment-id {found.experiment_id}), or use another "
                               "--tracking-uri")
            return str(found.experiment_id)
        tags = {"mlflow.experimentKind": "custom_model_development"}
        if self.database is None:
            return str(self._client.create_experiment(name, tags=tags))
        with FileLock(f"{self.database}.lock"):
            found = self._client.get_experiment_by_name(name)
            if found is not None:
                return str(found.experiment_id)
            location = (self.database.parent / ARTIFACTS).resolve().as_uri()
            return str(self._client.create_experiment(name, artifact_location=location, tags=tags))

    def start(
        self, experiment: str, name: str, *, role: str, study: str = "", model: str = "", command: str = "",
        config: RunConfig | None = None, fingerprint: str = "", parent: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> RunWriter:
        """Begin a run in the experiment called `experiment`, with its config and where it comes from."""
        from mlflow.entities import Param

        all_tags = {
            "mlflow.runName": name,
            "mlflow.user": _user(),
            "mlflow.source.name": command or "gru-bench",
            "mlflow.source.type": "LOCAL",
            "gru_bench.role": role,
            "gru_bench.study": study,
            "gru_bench.model": model,
            "gru_bench.state": "running",
            "gru_bench.complete": "false",
            "gru_bench.data_fingerprint": fingerprint,
            **_provenance(),
            **(tags or {}),
        }
        if parent is not None:
            all_tags["mlflow.parentRunId"] = parent
        if config is not None:
            all_tags["gru_bench.seed"] = str(config.seed)
        run = self._client.create_run(self.experiment(experiment), tags=all_tags)
        if config is not None:
            params = [Param(key, str(value)) for key, value in flat(config).items()]
            self._client.log_batch(run.info.run_id, params=params)
        return RunWriter(self._client, run.info.run_id)

    def writer(self, run_id: str) -> RunWriter:
        """Return a writer for a run that exists."""
        return RunWriter(self._client, run_id)

    def resume(self, run_id: str) -> RunWriter:
        """Return a writer for a run that exists, which is running again."""
        self._client.update_run(run_id, status="RUNNING")
        self._client.set_tag(run_id, "gru_bench.complete", "false")
        self._client.set_tag(run_id, "gru_bench.state", "running")
        return RunWriter(self._client, run_id)

    def experiments(self) -> list[str]:
        """Return the experiments that hold runs of ours, the one written last first."""
        if self.database is not None:
            return [name for name, _ in self._rows(
                "SELECT experiments.name, MAX(runs.start_time) AS latest FROM experiments JOIN runs USING "
                "(experiment_id) JOIN tags USING (run_uuid) WHERE tags.key = 'gru_bench.complete' "
                "AND runs.lifecycle_stage = 'active' AND experiments.lifecycle_stage = 'active' "
                "GROUP BY experiments.experiment_id ORDER BY latest DESC")]
        latest: dict[str, int] = {}
        for experiment in self._client.search_experiments():
            runs = self._client.search_runs(
                [experiment.experiment_id], filter_string="tags.`gru_bench.complete` LIKE '%'", max_results=1,
                order_by=["attributes.start_time DESC"])
            if runs:
                latest[experiment.name] = runs[0].info.start_time
        return sorted(latest, key=lambda name: latest[name], reverse=True)

    def studies(self, experiment: str) -> list[LoggedStudy]:
        """Return the studies of an experiment with their children, newest first.

        Raises:
            UsageError: for an experiment that does not exist, with those that do.
        """
        runs = self.runs(experiment)
        children: dict[str, list[LoggedRun]] = {}
        for run in runs:
            children.setdefault(run.tags.get("mlflow.parentRunId", ""), []).append(run)
        studies = []
        for run in runs:
            if run.role == "study":
                own = sorted(children.get(run.run_id, []), key=lambda child: child.started)
                studies.append(LoggedStudy(
                    run=run, summary=self._summary(run), trials=tuple(r for r in own if r.role == "trial"),
                    confirms=tuple(r for r in own if r.role == "confirm"),
                    contrasts=tuple(r for r in own if r.role == "contrast")))
        return studies

    def runs(self, experiment: str) -> list[LoggedRun]:
        """Return all runs of ours in an experiment, newest first."""
        if self.database is not None:
            return self._runs_of_file(experiment)
        found = self._client.get_experiment_by_name(experiment)
        if found is None:
            raise unknown("experiment", experiment, self.experiments())
        runs: list[LoggedRun] = []
        token = None
        while True:
            page = self._client.search_runs(
                [found.experiment_id], max_results=PAGE, page_token=token, order_by=["attributes.start_time DESC"])
            runs.extend(_logged(
                run.info.run_id, run.info.experiment_id, run.info.run_name, run.info.status, run.info.start_time,
                run.data.tags, run.data.params, run.data.metrics,
            ) for run in page if "gru_bench.role" in run.data.tags)
            token = page.token
            if not token:
                return runs

    def _runs_of_file(self, experiment: str) -> list[LoggedRun]:
        """Return what `runs` does from four queries: a call for each page of runs takes a second at a thousand."""
        with self._reading() as connection:
            found = connection.execute("SELECT experiment_id FROM experiments WHERE name = ?", (experiment,)).fetchone()
            if found is None:
                raise unknown("experiment", experiment, self.experiments())
            rows = connection.execute(
                "SELECT run_uuid, name, status, start_time FROM runs WHERE experiment_id = ? AND lifecycle_stage = "
                "'active' ORDER BY start_time DESC, run_uuid", found).fetchall()
            kinds: list[dict[str, dict[str, Any]]] = []
            for values in ("tags.key, tags.value FROM tags", "params.key, params.value FROM params",
                           "m.key, CASE WHEN m.is_nan THEN NULL ELSE m.value END FROM latest_metrics m"):
                by_run: dict[str, dict[str, Any]] = {run_id: {} for run_id, *_ in rows}
                for run_id, key, value in connection.execute(
                    f"SELECT run_uuid, {values} JOIN runs USING (run_uuid) WHERE experiment_id = ? "
                    "AND lifecycle_stage = 'active'", found):
                    by_run[run_id][key] = value
                kinds.append(by_run)
        tags, params, metrics = kinds
        return [
            _logged(run_id, str(found[0]), name, status, start, tags[run_id], params[run_id], {
                key: float("nan") if value is None else float(value) for key, value in metrics[run_id].items()})
            for run_id, name, status, start in rows if "gru_bench.role" in tags[run_id]
        ]

    def histories(
        self, run_ids: Sequence[str], metrics: Sequence[str]
    ) -> dict[str, dict[str, list[tuple[int, float]]]]:
        """Return run -> metric -> (step, value) in order of steps; for a step logged twice the later value."""
        points: dict[str, dict[str, dict[int, tuple[int, float]]]] = {run_id: {} for run_id in run_ids}
        for run_id, metric, step, value, timestamp in self._points(run_ids, metrics):
            steps = points[run_id].setdefault(metric, {})
            if step not in steps or timestamp >= steps[step][0]:
                steps[step] = (timestamp, value)
        return {
            run_id: {
                metric: [(step, steps[step][1]) for step in sorted(steps)] for metric, steps in by_metric.items()
            }
            for run_id, by_metric in points.items()
        }

    def _points(
        self, run_ids: Sequence[str], metrics: Sequence[str]
    ) -> Iterable[tuple[str, str, int, float, int]]:
        if self.database is None:
            for run_id in run_ids:
                for metric in metrics:
                    for point in self._client.get_metric_history(run_id, metric):
                        yield run_id, metric, point.step, point.value, point.timestamp
            return
        # One read of the file: a call for each run and metric takes minutes at a thousand runs.
        marks = ",".join("?" * len(metrics))
        with self._reading() as connection:
            for start in range(0, len(run_ids), 500):
                some = run_ids[start:start + 500]
                yield from connection.execute(
                    f"SELECT run_uuid, key, step, value, timestamp FROM metrics WHERE key IN ({marks}) "
                    f"AND run_uuid IN ({','.join('?' * len(some))})", [*metrics, *some])

    def predictions(self, run_id: str, split: str) -> Predictions:
        """Return what a run predicted for a split.

        Raises:
            RunError: where the run has logged none.
        """
        column = self._columns(run_id, f"predictions/{split}.parquet")
        return Predictions(
            example_id_N=column["example_id"].astype(np.str_),
            label_N=column["label"].astype(np.int8),
            probability_N=column["probability"].astype(np.float32),
            category_N=column["category"].astype(np.str_),
            tokens_N=column["tokens"].astype(np.int32),
            dropped_N=column["dropped"].astype(np.int32))

    def texts(self, run_id: str, split: str) -> dict[str, str] | None:
        """Return example id -> review of a split, as a study's own run holds them; None where they were not logged."""
        try:
            column = self._columns(run_id, f"texts/{split}.parquet")
        except RunError:
            return None
        return dict(zip(column["example_id"].tolist(), column["text"].tolist(), strict=True))

    def _columns(self, run_id: str, path: str) -> dict[str, np.ndarray[Any, Any]]:
        import pyarrow.parquet as pq

        table = pq.read_table(io.BytesIO(self._artifact(run_id, path)), use_threads=False)
        return {name: table.column(name).to_numpy() for name in table.column_names}

    def run_url(self, run: LoggedRun) -> str | None:
        """Return the page of a run where the store is a server, else None."""
        if not self.uri.startswith(("http://", "https://")):
            return None
        return f"{self.uri.rstrip('/')}/#/experiments/{run.experiment_id}/runs/{run.run_id}"

    def _summary(self, run: LoggedRun) -> StudySummary | None:
        if not run.complete:
            return None
        return StudySummary.from_json(self._artifact(run.run_id, "study.json").decode())

    def _artifact(self, run_id: str, path: str) -> bytes:
        import tempfile

        try:
            local = self._local_artifacts(run_id)
            if local is not None:
                return (local / path).read_bytes()
            with tempfile.TemporaryDirectory() as folder:
                return Path(self._client.download_artifacts(run_id, path, folder)).read_bytes()
        except (RunError, OSError) as error:
            raise RunError(f"the run {run_id} must hold the artifact {path}, but it cannot be read: "
                           f"{_first_line(error)}") from error

    def _local_artifacts(self, run_id: str) -> Path | None:
        """Return the folder of a run's artifacts where it is on this machine and named by the database file."""
        if self.database is None:
            return None
        found = self._rows("SELECT artifact_uri FROM runs WHERE run_uuid = ?", run_id)
        return _local_path(found[0][0] or "") if found else None


class _Plain:
    """MLflow's client, whose failures are told as ours: a full disk, a server that went away."""

    def __init__(self, client: MlflowClient, uri: str) -> None:
        self._client, self._uri = client, uri

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)

        def told(*arguments: Any, **named: Any) -> Any:
            try:
                return call(*arguments, **named)
            except _mlflow().exceptions.MlflowException as error:
                raise RunError(f"the tracking store must do what it is asked, but {self._uri!r} fails to {name}: "
                               f"{_first_line(error)}") from error

        return told


class RunWriter:
    """Writes one run: epochs as they come, then exactly one of `finish`, `prune`, `fail` or `kill`."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        """Write to the run `run_id`."""
        self._client = client
        self.run_id = run_id

    def epoch(self, record: EpochRecord) -> None:
        """Log one epoch's losses; the epoch is the step."""
        values = {
            "train/loss": record.train_loss, "val/loss": record.validation_loss,
            "val/accuracy": record.validation_accuracy, "time/epoch_seconds": record.seconds,
            "time/epoch_tokens_per_second": record.tokens_per_second,
        }
        self._metrics([(key, value, record.epoch) for key, value in values.items() if value is not None])

    def finish(self, result: RunResult, *, with_model: bool, texts: Mapping[str, Sequence[str]] | None = None) -> None:
        """Log what the kept weights reach, their predictions, and the weights where asked; then tag complete."""
        seconds = sum(record.seconds for record in result.epochs)
        tokens = sum(record.seconds * record.tokens_per_second for record in result.epochs)
        points = [
            ("time/train_seconds", result.train_seconds, 0),
            ("time/tokens_per_second", tokens / seconds, 0),
            ("model/parameters", float(result.parameters), 0),
            ("model/parameter_tensors", float(result.parameter_tensors), 0),
            ("memory/peak_bytes", float(result.peak_memory_bytes), 0),
            ("train/best_epoch", float(result.best_epoch), 0),
        ]
        points += [("trace/loss", point.loss, point.iteration) for point in result.trace]
        points += [("trace/seconds", point.seconds, point.iteration) for point in result.trace]
        names = {"validation": "kept", "test": "test"}
        for split, predictions in result.predictions.items():
            for key, value in scores(predictions.label_N, predictions.probability_N).items():
                points.append((f"{names[split]}/{key}", value, 0))
            self._parquet(f"predictions/{split}.parquet", _prediction_table(predictions))
        for split, split_texts in (texts or {}).items():
            self.texts(split, result.predictions[split].example_id_N, split_texts)
        if with_model:
            from safetensors.numpy import save

            self._bytes("model/weights.safetensors", save(dict(result.weights)))
            self.text("model/config.json", result.config.model_dump_json(indent=2))
        self._metrics(points)
        self.tags({"gru_bench.engine": result.engine, "gru_bench.device": result.device,
                   "gru_bench.stopped_early": str(result.stopped_early).lower()})
        self.complete()

    def texts(self, split: str, example_id_N: Sequence[str] | np.ndarray[Any, Any], texts: Sequence[str]) -> None:
        """Log the reviews of a split in an artifact of their own."""
        self._parquet(f"texts/{split}.parquet", {"example_id": list(example_id_N), "text": list(texts)})

    def complete(self) -> None:
        """Tag the run complete, last of all, and end it."""
        self.tags({"gru_bench.state": "complete", "gru_bench.complete": "true"})
        self._client.set_terminated(self.run_id, "FINISHED")

    def prune(self, reason: str) -> None:
        """End a trial that was not worth finishing."""
        self._end("pruned", "FINISHED", reason)

    def fail(self, reason: str) -> None:
        """End a run that went wrong."""
        self._end("failed", "FAILED", reason)

    def kill(self, reason: str) -> None:
        """End a run that was interrupted."""
        self._end("killed", "KILLED", reason)

    def tags(self, tags: Mapping[str, str]) -> None:
        """Set tags, in one call."""
        from mlflow.entities import RunTag

        self._client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def params(self, params: Mapping[str, object]) -> None:
        """Log params, in one call."""
        from mlflow.entities import Param

        self._client.log_batch(self.run_id, params=[Param(key, str(value)) for key, value in params.items()])

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log metrics, in one call."""
        self._metrics([(key, value, step) for key, value in values.items()])

    def dataset(self, name: str, fingerprint: str) -> None:
        """Log which data the run trains on."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        entry = Dataset(name=name, digest=fingerprint[:36], source_type="local", source=json.dumps({"name": name}))
        self._client.log_inputs(self.run_id, [DatasetInput(entry, [InputTag("mlflow.data.context", "training")])])

    def text(self, path: str, text: str) -> None:
        """Log a text as an artifact."""
        self._client.log_text(self.run_id, text, path)

    def _end(self, state: str, status: str, reason: str) -> None:
        self.tags({"gru_bench.state": state, "gru_bench.reason": reason[:4000]})
        self._client.set_terminated(self.run_id, status)

    def _metrics(self, points: Sequence[tuple[str, float, int]]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(key, float(value), now, step) for key, value, step in points]
        for start in range(0, len(metrics), BATCH):
            self._client.log_batch(self.run_id, metrics=metrics[start:start + BATCH])

    def _parquet(self, path: str, columns: Mapping[str, Any]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        buffer = io.BytesIO()
        pq.write_table(pa.table(dict(columns)), buffer)
        self._bytes(path, buffer.getvalue())

    def _bytes(self, path: str, content: bytes) -> None:
        import tempfile

        folder, _, name = path.rpartition("/")
        with tempfile.TemporaryDirectory() as temporary:
            local = Path(temporary) / name
            local.write_bytes(content)
            self._client.log_artifact(self.run_id, str(local), folder)


def _prediction_table(predictions: Predictions) -> dict[str, Any]:
    return {
        "example_id": [str(example) for example in predictions.example_id_N],
        "label": predictions.label_N,
        "probability": predictions.probability_N,
        "category": [str(category) for category in predictions.category_N],
        "tokens": predictions.tokens_N,
        "dropped": predictions.dropped_N,
    }


def _logged(
    run_id: str, experiment_id: str, name: str | None, status: str, start_ms: int | None, tags: Mapping[str, str],
    params: Mapping[str, str], metrics: Mapping[str, float],
) -> LoggedRun:
    seed = tags.get("gru_bench.seed", "")
    return LoggedRun(
        run_id=run_id, experiment_id=experiment_id, name=name or "", role=tags["gru_bench.role"],
        study=tags.get("gru_bench.study", ""), model=tags.get("gru_bench.model", ""),
        engine=tags.get("gru_bench.engine", ""), seed=int(seed) if seed else None, status=status,
        complete=tags.get("gru_bench.complete") == "true", reason=tags.get("gru_bench.reason", ""),
        params=dict(params), metrics=dict(metrics), tags=dict(tags), started=(start_ms or 0) / 1000)


def _mlflow() -> Any:
    """Import mlflow with its look-ups, chatter and progress bars off."""
    for key, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    }.items():
        os.environ.setdefault(key, value)
    import mlflow
    import mlflow.exceptions

    return mlflow


def _sqlite_path(uri: str) -> Path | None:
    if not uri.startswith("sqlite:///"):
        return None
    return Path(uri.removeprefix("sqlite:///")).resolve()


def _local_path(uri: str) -> Path | None:
    """Return the folder that a `file:` URI or an absolute path names; None for anything else."""
    parts = urlsplit(uri)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(url2pathname(parts.path))
    return Path(uri) if Path(uri).is_absolute() else None


@cache
def _provenance() -> dict[str, str]:
    """Return where a run comes from: commit, versions and machine."""
    tags = {
        "gru_bench.python": platform.python_version(),
        "gru_bench.platform": platform.platform(),
        "gru_bench.machine": _processor(),
        "gru_bench.cores": str(os.cpu_count()),
        "gru_bench.versions": json.dumps({name: _version(name) for name in (
            "gru-bench", "torch", "numba", "numpy", "gensim", "optuna", "mlflow", "scikit-learn")}),
    }
    here = Path(__file__).resolve().parent
    commit = _git(here, "rev-parse", "HEAD")
    if commit and _git(here, "ls-files", "--error-unmatch", Path(__file__).name):
        tags["mlflow.source.git.commit"] = commit
        tags["gru_bench.git_dirty"] = str(bool(_git(here, "status", "--porcelain", "-uno"))).lower()
    return tags


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]
