"""Write runs as they happen.

An experiment is a data set; a study is a parent run whose children are its trials and confirm runs. A run is
tagged `gru_bench.complete` last, so that readers can tell a whole one from one that broke off.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gru_bench.config import RunConfig, flat
from gru_bench.errors import RunError
from gru_bench.metrics import scores
from gru_bench.results import EpochRecord, Predictions, RunResult
from gru_bench.tracking.provenance import provenance, user
from gru_bench.tracking.reading import Reader

if TYPE_CHECKING:
    from mlflow import MlflowClient

ARTIFACTS = "mlartifacts"
BATCH = 1000
"""Points MLflow takes in one call."""


class Store(Reader):
    """A tracking store to write to as well."""

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
        super().__init__(uri)
        if self.database is not None and not create and not self.database.exists():
            raise RunError(f"the runs must be in {self.database}, but there is no such file: run a sweep in this "
                           "directory first (python sweeps/run.py --study smoke), or name --tracking-uri")
        if create or self.database is None:
            assert self._client is not None  # opened now: what is wrong with the store is told now
        else:
            self._rows("SELECT 1 FROM experiments, runs, tags, params, metrics, latest_metrics LIMIT 0")

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
            "mlflow.user": user(),
            "mlflow.source.name": command or "gru-bench",
            "mlflow.source.type": "LOCAL",
            "gru_bench.role": role,
            "gru_bench.study": study,
            "gru_bench.model": model,
            "gru_bench.state": "running",
            "gru_bench.complete": "false",
            "gru_bench.data_fingerprint": fingerprint,
            **provenance(),
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
