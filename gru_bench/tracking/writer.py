"""Writing one run: what it logs, under which keys.

A run is tagged `gru_bench.complete` last, so that readers can tell complete runs from interrupted ones.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gru_bench.config import MetricName
from gru_bench.models.saved import SHARED, files_of_baseline
from gru_bench.results.baselines import BaselineResult
from gru_bench.results.diagnostics import DIAGNOSTICS
from gru_bench.results.logged_metrics import (
    ACCURACY_VAL,
    BEST_EPOCH,
    CHECK,
    EPOCH_SECONDS,
    EPOCH_TOKENS_PER_SECOND,
    LOSS_TRAIN,
    LOSS_TRAIN_WINDOW,
    LOSS_VAL,
    PARAMETER_TENSORS,
    PARAMETERS,
    PEAK_MEMORY,
    PREDICT_SECONDS,
    SPLIT_NAMES,
    TOKENS_PER_SECOND,
    TRAIN_SECONDS,
    WINDOW_SECONDS,
)
from gru_bench.results.runs import Check, EpochRecord, Predictions, RunResult, digest_of_examples
from gru_bench.stats.scores import curve, score, scores
from gru_bench.tracking.artifacts import class_table, prediction_table
from gru_bench.tracking.client import NOTE, TEST_SET
from gru_bench.tracking.patience import PatientReader
from gru_bench.tracking.pending import PendingRun

if TYPE_CHECKING:
    import pyarrow as pa


COMPLETE = {"gru_bench.state": "complete", "gru_bench.complete": "true"}


INTERRUPTED = ("Interrupted, so it has no result. The study repeats it in another run, unless it was interrupted too "
               "often.")
"""Description of a run of a study that was interrupted."""


class RunWriter:
    """Writes one run: its epochs, then its result, and how it ends: `complete`, `prune`, `fail` or `kill`.

    What is written is in MLflow when a method returns, but the curves of a run under way: while the store does not
    respond, they wait for the end of the run.

    Each method raises RunError if the store fails, or has not responded for too long.
    """

    def __init__(self, store: PatientReader, pending: PendingRun) -> None:
        """Write to a run in a store."""
        self.store, self._pending = store, pending

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self._pending.run_id

    def epoch(self, record: EpochRecord, metric: MetricName = "accuracy") -> None:
        """Log the metrics of one epoch, with the epoch's number as their step; `metric` is the score that decides."""
        values = {
            LOSS_TRAIN.key: record.train_loss, LOSS_VAL.key: record.validation_loss,
            ACCURACY_VAL.key: record.validation_accuracy, EPOCH_SECONDS.key: record.seconds,
            EPOCH_TOKENS_PER_SECOND.key: record.tokens_per_second,
        }
        if (more := curve(metric)) is not None:
            values[more.key] = record.score(metric)
        self._write(metrics=[(key, value, record.epoch) for key, value in values.items() if value is not None],
                    waits=False)

    def check(self, check: Check) -> None:
        """Log the score of a check, with its number as the step."""
        self._write(metrics=[(CHECK.key, check.score, check.number)], waits=False)

    def result(self, result: RunResult, *, texts: Mapping[str, Sequence[str]] | None = None) -> None:
        """Log the result of a run, which `complete` then ends.

        Args:
            result: The result: scores and predictions of the best checkpoint, times and sizes, its diagnostics if it
                has any, and the model if it has files.
            texts: Split -> texts to log with the predictions.
        """
        seconds = sum(record.seconds for record in result.epochs)
        tokens = sum(record.seconds * record.tokens_per_second for record in result.epochs)
        points = [
            (TRAIN_SECONDS.key, result.train_seconds, 0),
            (TOKENS_PER_SECOND.key, tokens / seconds, 0),
            (PARAMETERS.key, float(result.parameters), 0),
            (PARAMETER_TENSORS.key, float(result.parameter_tensors), 0),
            (PEAK_MEMORY.key, float(result.peak_memory_bytes), 0),
            (BEST_EPOCH.key, float(result.best_epoch), 0),
        ]
        if result.predict_seconds is not None:
            points.append((PREDICT_SECONDS.key, result.predict_seconds, 0))
        points += [(LOSS_TRAIN_WINDOW.key, point.loss, point.iteration) for point in result.window_losses]
        points += [(WINDOW_SECONDS.key, point.seconds, point.iteration) for point in result.window_losses]
        for split, predictions in result.predictions.items():
            points += [(score(key, SPLIT_NAMES[split]).key, value, 0) for key, value in scores(
                predictions.label_N, predictions.probability_NC).items()]
        files = _predicted(result.predictions, result.classes)
        for split, split_texts in (texts or {}).items():
            files[f"texts/{split}.parquet"] = _parquet(
                _text_table(result.predictions[split].example_id_N, split_texts))
        if result.diagnostics:
            files[DIAGNOSTICS] = result.diagnostics.encode()
        shared = {path: content for path, content in result.model_files.items()
                  if path.startswith(SHARED) and self._pending.parent is not None}
        if self._pending.parent is not None and shared:
            RunWriter(self.store, PendingRun(self.store, self._pending.parent))._write(shared)
        files |= {path: content for path, content in result.model_files.items() if path not in shared}
        self._write(files, metrics=points, model=result.config.model.name if result.model_files else "", tags={
            "gru_bench.backend": result.backend, "gru_bench.device": result.device,
            "gru_bench.stopped_early": str(result.stopped_early).lower(),
            **{f"gru_bench.{name}": value for name, value in result.card.items()},
            **({"gru_bench.backend_note": result.backend_note} if result.backend_note else {}),
            **_test_set(result.predictions)})

    def finish(self, result: RunResult, *, texts: Mapping[str, Sequence[str]] | None = None) -> None:
        """Log the result of a run that belongs to no study, and end it; as `result` and `complete`."""
        self.result(result, texts=texts)
        self.complete()

    def baseline(self, result: BaselineResult) -> None:
        """Log the result of a baseline, which `complete` then ends."""
        self._write(
            {**_predicted(result.predictions, result.classes), **files_of_baseline(result)},
            metrics=[(key, value, 0) for key, value in result.metrics.items()],
            params={key: str(value) for key, value in result.settings.items()}, tags=_test_set(result.predictions))

    def texts(self, split: str, example_id_N: Sequence[str] | np.ndarray[Any, Any], texts: Sequence[str]) -> None:
        """Log the texts of a split as an artifact."""
        self._write({f"texts/{split}.parquet": _parquet(_text_table(example_id_N, texts))})

    def reopen(self, command: str) -> None:
        """Mark the run of a study as running again, started by `command`."""
        self._write(tags={"gru_bench.state": "running", "gru_bench.complete": "false", "mlflow.source.name": command},
                    status="RUNNING")

    def describe(self, text: str) -> None:
        """Set the description of the run, which MLflow shows as Markdown."""
        self._write(tags={NOTE: text})

    def complete(self) -> None:
        """Tag the run complete and end it."""
        self._write(tags=COMPLETE, status="FINISHED")

    def prune(self, reason: str) -> None:
        """End a trial that the pruner has stopped."""
        self._end("pruned", "FINISHED", reason)

    def fail(self, reason: str) -> None:
        """End a run that has failed."""
        self._end("failed", "FAILED", reason)

    def kill(self, reason: str) -> None:
        """End a run that was interrupted, or whose trial another process has now."""
        self._end("killed", "KILLED", reason)

    def tags(self, tags: Mapping[str, str]) -> None:
        """Set tags, in one call."""
        self._write(tags=dict(tags))

    def params(self, params: Mapping[str, object]) -> None:
        """Log params, in one call."""
        self._write(params={key: str(value) for key, value in params.items()})

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log metrics, in one call."""
        self._write(metrics=[(key, value, step) for key, value in values.items()])

    def text(self, path: str, text: str) -> None:
        """Log a text as an artifact."""
        self._write({path: text.encode()})

    def _end(self, state: str, status: str, reason: str) -> None:
        note = {NOTE: INTERRUPTED} if state == "killed" and self._pending.parent is not None else {}
        self._write(tags={"gru_bench.state": state, "gru_bench.complete": "false", "gru_bench.reason": reason[:4000],
                          **note}, status=status)

    def _write(
        self, files: Mapping[str, bytes] | None = None, *, metrics: Sequence[tuple[str, float, int]] = (),
        params: Mapping[str, str] | None = None, tags: Mapping[str, str] | None = None, status: str = "",
        model: str = "", waits: bool = True,
    ) -> None:
        self._pending.add(files or {}, metrics, params or {}, tags or {}, status, model)
        (self.store.patiently if waits else self.store.at_once)(self._pending.send)


def _predicted(predictions: Mapping[str, Predictions], classes: Sequence[str]) -> dict[str, bytes]:
    """Return path -> content of the artifacts with the predictions of a run for each split."""
    files = {f"predictions/{split}.parquet": _parquet(prediction_table(one)) for split, one in predictions.items()}
    if len(classes) > 2:
        files |= {f"scores/{split}_classes.csv": class_table(one, classes) for split, one in predictions.items()}
    return files


def _test_set(predictions: Mapping[str, Predictions]) -> dict[str, str]:
    """Return the tag that names the test examples of a run; none for a run that is not scored on them."""
    return {TEST_SET: digest_of_examples(test.example_id_N)} if (test := predictions.get("test")) else {}


def _parquet(table: pa.Table) -> bytes:
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def _text_table(example_id_N: Sequence[str] | np.ndarray[Any, Any], texts: Sequence[str]) -> pa.Table:
    import pyarrow as pa

    return pa.table({"example_id": list(example_id_N), "text": list(texts)})
