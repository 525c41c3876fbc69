"""Writing one run: a `RunWriter` turns what a run logs into its record.

A run is tagged `gru_bench.complete` last, so that readers can tell complete runs from interrupted ones.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gru_bench.config import MetricName
from gru_bench.models.linear import artifacts
from gru_bench.models.saved import SHARED
from gru_bench.results.baselines import BaselineResult
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
    SPLIT_NAMES,
    TOKENS_PER_SECOND,
    TRAIN_SECONDS,
    WINDOW_SECONDS,
    curve,
    score,
)
from gru_bench.results.runs import Check, EpochRecord, Predictions, RunResult, digest_of_examples
from gru_bench.stats.metrics import scores
from gru_bench.tracking.artifacts import class_table, prediction_table
from gru_bench.tracking.client import NOTE, TEST_SET
from gru_bench.tracking.outbox import Entry, Outbox, RecordState
from gru_bench.tracking.record import INTERRUPTED, OPEN, Point, RunRecord, now

if TYPE_CHECKING:
    import pyarrow as pa

    from gru_bench.tracking.upload import Uploader

COMPLETE = {"gru_bench.state": "complete", "gru_bench.complete": "true"}


class Records(Protocol):
    """Where a writer puts the records of its run: a `Store`."""

    def put(
        self, record: RunRecord, files: Mapping[str, bytes] | None = None, state: RecordState = "waiting"
    ) -> Entry:
        """Put a record on the disk."""

    def share(self, run_id: str, files: Mapping[str, bytes]) -> None:
        """Log artifacts of a run, once."""

    def writing(self) -> tuple[Outbox, Uploader]:
        """Return the outbox of this process and its upload."""


class RunWriter:
    """Writes one run: its epochs, then exactly one of `finish`, `prune`, `fail` or `kill`.

    What a run logs while it is under way is uploaded as far as the store answers; its record is on the disk once it has
    ended. What is added to a run that exists already, such as that of a study, is on the disk at once.

    Each method raises RunError if the disk is full.
    """

    def __init__(self, store: Records, record: RunRecord, opened: Entry | None = None) -> None:
        """Write to a run.

        Args:
            store: The store.
            record: The record of the run so far.
            opened: The beginning of the run in the outbox; None for a run that exists already.
        """
        self._store, self._record, self._opened = store, record, opened
        self._files: dict[str, bytes] = {}
        self._held: Entry | None = None

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return self._record.run_id

    def show(self) -> None:
        """Upload what the run has logged so far, if the store answers."""
        self._store.writing()[1].show(self._record)

    def epoch(self, record: EpochRecord, metric: MetricName = "accuracy") -> None:
        """Log the metrics of one epoch, with the epoch's number as their step; `metric` is the score that decides."""
        values = {
            LOSS_TRAIN.key: record.train_loss, LOSS_VAL.key: record.validation_loss,
            ACCURACY_VAL.key: record.validation_accuracy, EPOCH_SECONDS.key: record.seconds,
            EPOCH_TOKENS_PER_SECOND.key: record.tokens_per_second,
        }
        if (more := curve(metric)) is not None:
            values[more.key] = record.score(metric)
        self._write(metrics=[(key, value, record.epoch) for key, value in values.items() if value is not None])

    def check(self, check: Check) -> None:
        """Log the score of a check, with its number as the step."""
        self._write(metrics=[(CHECK.key, check.score, check.number)])

    def finish(
        self, result: RunResult, *, texts: Mapping[str, Sequence[str]] | None = None, held: bool = False
    ) -> None:
        """Log the result of a run, tag it complete and end it.

        Args:
            result: The result: scores and predictions of the best checkpoint, times and sizes, and the model if it has
                files.
            texts: Split -> texts to log with the predictions.
            held: Whether the end is not uploaded before `release`, because the trial of the run has not ended yet.
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
        points += [(LOSS_TRAIN_WINDOW.key, point.loss, point.iteration) for point in result.window_losses]
        points += [(WINDOW_SECONDS.key, point.seconds, point.iteration) for point in result.window_losses]
        for split, predictions in result.predictions.items():
            points += [(score(key, SPLIT_NAMES[split]).key, value, 0) for key, value in scores(
                predictions.label_N, predictions.probability_NC).items()]
        files = _predicted(result.predictions, result.classes)
        for split, split_texts in (texts or {}).items():
            files[f"texts/{split}.parquet"] = _parquet(
                _text_table(result.predictions[split].example_id_N, split_texts))
        shared = {path for path in result.model_files if path.startswith(SHARED)} if self._record.parent else set()
        if self._record.parent:  # uploaded before the run is complete: readers of complete runs need them
            self._store.share(self._record.parent, {path: result.model_files[path] for path in sorted(shared)})
        files |= {path: content for path, content in result.model_files.items() if path not in shared}
        model = result.config.model.name if result.model_files else ""
        self._write(files, metrics=points, status="FINISHED", model=model, tags={
            "gru_bench.backend": result.backend, "gru_bench.device": result.device,
            "gru_bench.stopped_early": str(result.stopped_early).lower(),
            **{f"gru_bench.{name}": value for name, value in result.card.items()},
            **({"gru_bench.backend_note": result.backend_note} if result.backend_note else {}),
            **_test_set(result.predictions), **COMPLETE}, held=held)

    def finish_baseline(self, result: BaselineResult, *, held: bool = False) -> None:
        """Log the result of a baseline, tag its run complete and end it; `held` is that of `finish`."""
        metrics = {TRAIN_SECONDS.key: result.seconds, **result.metrics}
        self._write(
            {**_predicted(result.predictions, result.classes), **artifacts(result)},
            metrics=[(key, value, 0) for key, value in metrics.items()], status="FINISHED",
            params={key: str(value) for key, value in result.settings.items()},
            tags={**_test_set(result.predictions), **COMPLETE}, held=held)

    def release(self) -> None:
        """Let the end of a run be uploaded whose trial has ended with it."""
        held, self._held = self._held, None
        if held is not None:
            outbox, uploader = self._store.writing()
            outbox.release(held)
            uploader.notify()

    def texts(self, split: str, example_id_N: Sequence[str] | np.ndarray[Any, Any], texts: Sequence[str]) -> None:
        """Log the texts of a split as an artifact."""
        self._write({f"texts/{split}.parquet": _parquet(_text_table(example_id_N, texts))})

    def reopen(self, command: str, metric: MetricName = "accuracy") -> None:
        """Mark the run of a study about a score as running again, started by `command`, and save a view of all runs."""
        self._write(tags={"gru_bench.state": "running", "gru_bench.complete": "false", "mlflow.source.name": command},
                    status="RUNNING", view=metric)

    def describe(self, text: str) -> None:
        """Set the description of the run, which MLflow shows as Markdown."""
        self._write(tags={NOTE: text})

    def complete(self) -> None:
        """Tag the run complete and end it."""
        self._write(tags=COMPLETE, status="FINISHED")

    def prune(self, reason: str, *, held: bool = False) -> None:
        """End a trial that the pruner has stopped; `held` is that of `finish`."""
        self._end("pruned", "FINISHED", reason, held=held)

    def fail(self, reason: str) -> None:
        """End a run that has failed."""
        self._end("failed", "FAILED", reason)

    def kill(self, reason: str) -> None:
        """End a run that was interrupted, or whose end is held because its trial has not ended with it."""
        held, self._held = self._held, None
        if held is None:
            self._end("killed", "KILLED", reason)
            return
        outbox, uploader = self._store.writing()
        outbox.supersede(held, reason)
        uploader.notify()

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

    def _end(self, state: str, status: str, reason: str, *, held: bool = False) -> None:
        note = {NOTE: INTERRUPTED} if state == "killed" and self._record.parent is not None else {}
        self._write(tags={"gru_bench.state": state, "gru_bench.complete": "false", "gru_bench.reason": reason[:4000],
                          **note}, status=status, held=held)

    def _write(
        self, files: Mapping[str, bytes] | None = None, *, metrics: Sequence[tuple[str, float, int]] = (),
        params: Mapping[str, str] | None = None, tags: Mapping[str, str] | None = None, status: str = "",
        model: str = "", view: MetricName | None = None, held: bool = False,
    ) -> None:
        # Each point gets a later time than the one before: of two points at one step, MLflow uses the later one.
        time = max([now(), *(point.time + 1 for point in self._record.points[-1:])])
        points = tuple(Point(key, float(value), step, time) for key, value, step in metrics)
        record = self._record
        record = replace(record, points=record.points + points, params={**record.params, **(params or {})},
                         tags={**record.tags, **(tags or {})}, model=model or record.model, view=view)
        if self._opened is None:
            ended = now() if status not in OPEN else None
            self._store.put(replace(record, time=now(), status=status, ended=ended), files)
            return
        self._files |= files or {}
        if not status:
            self._record = record
            self.show()
            return
        outbox, uploader = self._store.writing()
        uploader.hide(self.run_id)
        entry = self._store.put(
            replace(record, status=status, ended=now()), self._files, "held" if held else "waiting")
        outbox.drop(self._opened)
        self._record, self._opened, self._held = RunRecord(self.run_id, now()), None, entry if held else None


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
