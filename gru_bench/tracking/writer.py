"""Write runs as they happen.

An experiment is a data set; a study is a parent run whose children are its trials and confirm runs. A run is
tagged `gru_bench.complete` last, so that readers can tell a whole one from one that broke off.
"""

from __future__ import annotations

import atexit
import io
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, Self, TypeVar

import numpy as np

from gru_bench.config import RunConfig, flat
from gru_bench.errors import GruBenchError, RunError, unknown
from gru_bench.evaluation.metrics import scores
from gru_bench.results.logged_metrics import (
    ACCURACY_VAL,
    BEST_EPOCH,
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
    score,
)
from gru_bench.results.runs import EpochRecord, Predictions, RunResult
from gru_bench.tracking.client import brief, is_away, require_folder, without_password
from gru_bench.tracking.provenance import provenance, user
from gru_bench.tracking.queue import FOLDER, LOCAL, Beginning, Operation, WriteQueue, abandoned_queues, new_run, waiting
from gru_bench.tracking.reader import FORMAT, FORMAT_TAG, LoggedRun, Reader
from gru_bench.tracking.sync import STOP_SECONDS, Sync, experiment, find, require_active, start_syncs

Item = TypeVar("Item")

COMPLETE = {"gru_bench.state": "complete", "gru_bench.complete": "true"}
ANSWER_SECONDS = 10.0
"""A server that takes longer to make a run is not waited for: the run goes by a local id."""
LAST_SECONDS = 2.0
"""For MLflow to take what it can when a command ends by an error or Ctrl-C."""
MOST_SECONDS = 600.0
"""To wait for an answer that a command cannot go on, or end, without."""
OTHERS_SECONDS = 60.0
"""For what other processes have to feed: earlier starts to other stores, those at work to this one."""
POLL_SECONDS = 0.5
_TABLES = "SELECT 1 FROM experiments, runs, tags, params, metrics, latest_metrics LIMIT 0"


class Store(Reader):
    """A tracking store to write to as well: what is written goes to a queue, from which a thread feeds MLflow.

    Use it as a context: left in the ordinary way it waits until MLflow has all, left by an error it waits for a moment
    and keeps the rest for the next start.
    """

    def __init__(
        self, uri: str | None = None, *, create: bool = True, say: Callable[[str], None] | None = None
    ) -> None:
        """Open the store; one that is a new file is prepared when it is written to, once, whoever else does so too.

        What processes that died have left in the queue of its directory is fed from now on. A server that
        does not answer is no error: `away` says so, and runs wait for it in the queue.

        Args:
            uri: MLflow's tracking URI; None means the file `mlflow.db` in the working directory.
            create: whether to write; otherwise a missing file and a server that does not answer are errors, and
                nothing is prepared.
            say: told in a sentence what a user should know: that the server is away, that runs wait.

        Raises:
            UsageError: for a URI that MLflow cannot mean.
            RunError: for a store that is missing or damaged, or will not have us.
        """
        super().__init__(uri)
        self._shown = without_password(self.uri)
        self._say = say or (lambda _: None)
        self._root = self.home / FOLDER
        self._own: WriteQueue | None = None
        self._sync: Sync | None = None
        self._others: list[Sync] = []
        self._known: dict[str, list[Any]] = {}
        self._was_new = False
        """Whether the store was a file that nobody had begun when it was opened."""
        self._required = False
        if create:
            self._begin_sync()
            return
        if self.database is None:
            assert self._client is not None  # opened now: what is wrong with the store is told now
            return
        if not self.database.exists():
            if unsynced := waiting(self.home, self.uri):
                raise RunError(f"{unsynced[0]}, which is not there yet: the same sweep or training command again "
                               "writes them, and so does gru-bench sync")
            raise RunError(f"the runs must be in {self.database}, but there is no such file: run a sweep in this "
                           "directory first (gru-bench sweep --study smoke), or name --tracking-uri")
        self._rows(_TABLES)

    def __enter__(self) -> Self:
        """Return the store."""
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        """Wait until MLflow has all, or on an error, which is what is told, for a moment."""
        if error is None:
            self.close()
        else:
            with suppress(GruBenchError):
                self.close(LAST_SECONDS)

    @property
    def away(self) -> str:
        """Why the store does not answer at present; empty where it does."""
        return self._sync.away if self._sync is not None else ""

    def require(self) -> None:
        """Wait until the store answers, and from now on when it is read: what it holds cannot be done without.

        Raises:
            RunError: where it has not answered for `MOST_SECONDS`.
            KeyboardInterrupt: passed on.
        """
        self._required = True
        self._wait_while_away()

    def adopt(self) -> None:
        """Feed what processes that have died since the last look have left in the queue."""
        elsewhere = []
        for queue in abandoned_queues(self._root):
            unsynced = queue.waiting()
            if unsynced.operations:
                self._say(f"{unsynced}, left by an earlier start: sync them now")
            if self._sync is not None and queue.uri == self._shown:
                self._sync.add(queue, inherited=True)
            else:
                elsewhere.append(queue)
        self._others += start_syncs(elsewhere)

    def check(self) -> None:
        """Find out whether all that was written so far could be fed, as far as it was.

        Raises:
            RunError: where something could not be written.
        """
        if self._sync is not None:
            self._sync.check()

    @property
    def is_caught_up(self) -> bool:
        """Whether MLflow has all that was written, or is away, so that `catch_up` would not wait."""
        return self._sync is None or self._sync.is_synced or bool(self._sync.away)

    def catch_up(self) -> bool:
        """Wait until MLflow has all that was written; return False where it is away.

        Raises:
            RunError: where something could not be written.
        """
        return self._sync is None or self._sync.catch_up()

    def close(self, seconds: float | None = None) -> None:
        """Wait until MLflow has all, for at most so many seconds.

        Without a number of seconds, it takes as long as it takes while the store answers; one that does not is waited
        for, which is said, but not for ever: the processors may be lent by the hour.

        Raises:
            RunError: where something could not be written, or the store has not answered for `MOST_SECONDS`.
            KeyboardInterrupt: passed on; what MLflow does not have stays for the next start.
        """
        sync, self._sync = self._sync, None
        if sync is None:
            return
        atexit.unregister(self._at_exit)
        try:
            if not sync.catch_up(seconds) and seconds is None:
                self._say(f"waiting for {self._shown}, which does not answer ({sync.away}): {sync.waiting()}. "
                          "Ctrl-C leaves them there for the next start in this directory")
                while not sync.catch_up():
                    if not sync.wait_for_answer(MOST_SECONDS):
                        raise RunError(f"the tracking store must take what was logged, but {self._shown} has not "
                                       f"answered for {MOST_SECONDS / 60:.0f} minutes: start its server, then this "
                                       "again, or gru-bench sync, which feeds what waits")
            for other in self._others:
                with suppress(GruBenchError):  # it stays in the queue, which is told
                    other.catch_up(OTHERS_SECONDS if seconds is None else 0.0)
        finally:
            unsynced = [one.waiting() for one in (sync, *self._others) if not one.is_synced]
            for one in (sync, *self._others):
                one.stop(STOP_SECONDS)
                for remark in one.remarks:
                    self._say(remark)
            for one_unfed in unsynced:
                self._say(f"{one_unfed}: the next start in this directory feeds them, and so does "
                          "gru-bench sync")
            self._own, self._others = None, []

    def experiment(self, name: str) -> str:
        """Return the id of the experiment called `name`, made where it does not exist yet."""
        return experiment(self._client, self.database, name)

    def start(
        self, experiment: str, name: str, *, role: str, study: str = "", model: str = "", command: str = "",
        config: RunConfig | None = None, fingerprint: str = "", parent: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> RunWriter:
        """Begin a run in the experiment called `experiment`, with its config and where it comes from.

        While the store is away or not open yet, the run goes by a local id, which `LoggedRun.ids` holds once MLflow
        has made it.

        Raises:
            RunError: where the run cannot be made, or the disk is full.
        """
        all_tags = {
            "mlflow.runName": name,
            "mlflow.user": user(),
            "mlflow.source.name": command or "gru-bench",
            "mlflow.source.type": "LOCAL",
            FORMAT_TAG: FORMAT,
            "gru_bench.role": role,
            "gru_bench.study": study,
            "gru_bench.model": model,
            "gru_bench.state": "running",
            "gru_bench.complete": "false",
            "gru_bench.data_fingerprint": fingerprint,
            **provenance(),
            **(tags or {}),
        }
        if config is not None:
            all_tags["gru_bench.seed"] = str(config.seed)
        params = {key: str(value) for key, value in flat(config).items()} if config is not None else {}
        if self.database is not None and not self._begins:  # before MLflow is there to say so
            for row in self._rows("SELECT experiment_id, lifecycle_stage FROM experiments WHERE name = ?", experiment):
                require_active(experiment, *row)
        run = new_run()
        self._write(Operation(run, _now(), Beginning(experiment, parent), params=params, tags=all_tags))
        assert self._sync is not None
        assert self._own is not None
        # A file answers or fails; a server may also do neither. Nobody waits for MLflow to be imported.
        patience = ANSWER_SECONDS if self.database is None else None
        self._sync.identify(self._own, run, patience if self._sync.is_open else 0.0)
        return RunWriter(self._write, run, self._own.ids)

    def writer(self, run_id: str) -> RunWriter:
        """Return a writer for a run that exists."""
        return RunWriter(self._write, run_id, self._own.ids if self._own is not None else {})

    def experiments(self) -> list[str]:
        """Return the experiments that hold runs of ours, the one written last first.

        While the store is away, they are those it held when it answered last.
        """
        return self._read("", lambda: [] if self._is_new() else super(Store, self).experiments())

    def runs(self, experiment: str) -> list[LoggedRun]:
        """Return all runs of ours in an experiment, newest first.

        While the store is away, they are what they were when it answered last.
        """
        def read() -> list[LoggedRun]:
            if self._is_new():
                raise unknown("experiment", experiment, [])
            return super(Store, self).runs(experiment)

        return self._read(experiment, read)

    def await_whole(self, experiment: str, run_ids: Sequence[str], seconds: float = OTHERS_SECONDS) -> bool:
        """Wait until MLflow holds some runs whole: another process that has done one may still be sync it.

        Returns:
            False where it does not after so many seconds; reading them will tell what is missing.
        """
        deadline = time.monotonic() + seconds
        while not set(run_ids) <= {name for run in self.runs(experiment) if run.complete for name in run.ids}:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def histories(
        self, run_ids: Sequence[str], metrics: Sequence[str]
    ) -> dict[str, dict[str, list[tuple[int, float]]]]:
        """Return run -> metric -> (step, value) in order of steps; for a step logged twice the later value."""
        self.catch_up()
        return super().histories(run_ids, metrics)

    def _read(self, key: str, read: Callable[[], list[Item]]) -> list[Item]:
        while True:
            if self.catch_up():
                try:
                    self._known[key] = read()
                    return list(self._known[key])
                except RunError as error:
                    if self.database is None and is_away(error) and not self._needs(key):
                        return list(self._known.get(key, ()))
                    self._wait_out(error)
            elif not self._needs(key):
                return list(self._known.get(key, ()))
            else:
                self._wait_while_away()

    def _needs(self, key: str) -> bool:
        """Return whether what is read must be what the store holds now, or held when it answered last."""
        return self.database is not None or (self._required and key not in self._known)

    def _wait_out(self, error: RunError) -> None:
        """Wait for a server that was found away; raise any other error."""
        if self._sync is None or self.database is not None or not is_away(error):
            raise error
        self._sync.mark_offline(brief(error))
        self._wait_while_away()

    def _wait_while_away(self) -> None:
        if self._sync is None or not self._sync.away:
            return
        self._say(f"waiting for {self._shown}, whose runs are needed to go on and which does not answer "
                  f"({self._sync.away}). Ctrl-C ends this; the same command goes on later")
        if not self._sync.wait_for_answer(MOST_SECONDS):
            raise RunError(f"the tracking store must answer to go on from its runs, but {self._shown} has not for "
                           f"{MOST_SECONDS / 60:.0f} minutes: start its server, then the same command again")

    def _artifact(self, run_id: str, path: str) -> bytes:
        if self._own is not None:
            file = self._own.file(run_id, path)
            with suppress(FileNotFoundError):  # MLflow has it by now
                if file is not None:
                    return file.read_bytes()
        while True:
            try:
                return super()._artifact(self._mlflow_id(run_id), path)
            except RunError as error:
                self._wait_out(error)

    def _mlflow_id(self, run_id: str) -> str:
        """Return MLflow's id of a run, which may be named by a local one."""
        if not run_id.startswith(LOCAL):
            return run_id
        self.catch_up()
        found = self._own.ids.get(run_id) if self._own is not None else None
        found = found or find(self._client, run_id)
        if found is None:
            raise RunError(f"MLflow must know the run {run_id} to read it, but does not: its writes still wait in the "
                           f"{FOLDER} of the directory it was begun in")
        return found

    def _begin_sync(self) -> None:
        # Feeding tries again by itself, and looks first whether a run was made after all.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        away, client = "", None
        if self.database is not None:
            require_folder(self.database)
        found = self._found()
        self._was_new = found == "new"
        if found == "unknown":  # else importing MLflow, which takes as long as torch, is the sync's
            try:
                client = self._client
            except RunError as error:
                if self.database is not None or not is_away(error):
                    raise
                away = brief(error)
                self._say(f"{self._shown} does not answer ({away}): runs are kept in {FOLDER} until it does")
        self._sync = Sync(self.uri, client, away)
        self._others = []
        self.adopt()
        atexit.register(self._at_exit)

    @property
    def _begins(self) -> bool:
        """Whether the store is a file that the sync has yet to prepare."""
        return self._was_new and self._sync is not None and not self._sync.is_open

    def _is_new(self) -> bool:
        """Whether the store is a file that still nobody has begun: it holds nothing."""
        return self._was_new and self._found() == "new"

    def _found(self) -> Literal["new", "prepared", "unknown"]:
        """Return what the store is, as far as can be seen without MLflow: a file that is not there, or one of its."""
        from filelock import FileLock

        if self.database is None:
            return "unknown"
        with FileLock(f"{self.database}.lock"):  # held by whoever prepares it
            if not self.database.exists():
                return "new"
            try:
                self._rows(_TABLES)
            except RunError:
                return "unknown"
            return "prepared"

    def _write(self, operation: Operation, files: Mapping[str, bytes] | None = None) -> None:
        if self._sync is None:
            self._begin_sync()
            assert self._sync is not None
        if self._own is None:
            self._own = WriteQueue.begin(self._root, self.uri, keep_files=self.database is None)
            self._sync.add(self._own)
        self._own.append(operation, files)
        self._sync.notify()

    def _at_exit(self) -> None:
        with suppress(GruBenchError):
            self.close(LAST_SECONDS)


class RunWriter:
    """Writes one run: epochs as they come, then exactly one of `finish`, `prune`, `fail` or `kill`.

    Each raises RunError where the disk is full, or where something of an earlier call could not be written.
    """

    def __init__(
        self, write: Callable[[Operation, Mapping[str, bytes]], None], run: str, ids: Mapping[str, str]
    ) -> None:
        """Write to `run`, named by MLflow's id or a local one, through `write`; `ids` tells MLflow's of a local one."""
        self._write_operation, self._run, self._ids = write, run, ids

    @property
    def run_id(self) -> str:
        """MLflow's id of the run; a local one as long as MLflow has not made it."""
        return self._ids.get(self._run, self._run)

    @property
    def is_made(self) -> bool:
        """Whether MLflow has made the run."""
        return not self.run_id.startswith(LOCAL)

    def epoch(self, record: EpochRecord) -> None:
        """Log one epoch's losses; the epoch is the step."""
        values = {
            LOSS_TRAIN.key: record.train_loss, LOSS_VAL.key: record.validation_loss,
            ACCURACY_VAL.key: record.validation_accuracy, EPOCH_SECONDS.key: record.seconds,
            EPOCH_TOKENS_PER_SECOND.key: record.tokens_per_second,
        }
        self._write(metrics=[(key, value, record.epoch) for key, value in values.items() if value is not None])

    def finish(self, result: RunResult, *, with_model: bool, texts: Mapping[str, Sequence[str]] | None = None) -> None:
        """Log what the best checkpoint reaches, its predictions, and the weights where asked; then tag complete."""
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
        files = {}
        for split, predictions in result.predictions.items():
            for key, value in scores(predictions.label_N, predictions.probability_N).items():
                points.append((score(key, SPLIT_NAMES[split]).key, value, 0))
            files[f"predictions/{split}.parquet"] = _parquet(_prediction_table(predictions))
        for split, split_texts in (texts or {}).items():
            files[f"texts/{split}.parquet"] = _parquet(
                _text_table(result.predictions[split].example_id_N, split_texts))
        if with_model:
            from safetensors.numpy import save

            files["model/weights.safetensors"] = save(dict(result.weights))
            files["model/config.json"] = result.config.model_dump_json(indent=2).encode()
        self._write(files, metrics=points, status="FINISHED", tags={
            "gru_bench.backend": result.backend, "gru_bench.device": result.device,
            "gru_bench.stopped_early": str(result.stopped_early).lower(),
            **({"gru_bench.backend_note": result.backend_note} if result.backend_note else {}), **COMPLETE})

    def texts(self, split: str, example_id_N: Sequence[str] | np.ndarray[Any, Any], texts: Sequence[str]) -> None:
        """Log the reviews of a split in an artifact of their own."""
        self._write({f"texts/{split}.parquet": _parquet(_text_table(example_id_N, texts))})

    def reopen(self, command: str) -> None:
        """Let the run be running again, by the command that was typed for it now."""
        self._write(tags={"gru_bench.state": "running", "gru_bench.complete": "false", "mlflow.source.name": command},
                    status="RUNNING")

    def complete(self) -> None:
        """Tag the run complete, last of all, and end it."""
        self._write(tags=COMPLETE, status="FINISHED")

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
        self._write(tags=dict(tags))

    def params(self, params: Mapping[str, object]) -> None:
        """Log params, in one call."""
        self._write(params={key: str(value) for key, value in params.items()})

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log metrics, in one call."""
        self._write(metrics=[(key, value, step) for key, value in values.items()])

    def dataset(self, name: str, fingerprint: str) -> None:
        """Log which data the run trains on."""
        self._write(dataset=(name, fingerprint))

    def text(self, path: str, text: str) -> None:
        """Log a text as an artifact."""
        self._write({path: text.encode()})

    def _end(self, state: str, status: str, reason: str) -> None:
        self._write(tags={"gru_bench.state": state, "gru_bench.reason": reason[:4000]}, status=status)

    def _write(
        self, files: Mapping[str, bytes] | None = None, *, metrics: Sequence[tuple[str, float, int]] = (), **parts: Any
    ) -> None:
        points = tuple((key, float(value), step) for key, value, step in metrics)
        self._write_operation(Operation(self._run, _now(), metrics=points, **parts), files or {})


def _now() -> int:
    """Return milliseconds since the epoch."""
    return int(time.time() * 1000)


def _parquet(columns: Mapping[str, Any]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), buffer)
    return buffer.getvalue()


def _text_table(example_id_N: Sequence[str] | np.ndarray[Any, Any], texts: Sequence[str]) -> dict[str, Any]:
    return {"example_id": list(example_id_N), "text": list(texts)}


def _prediction_table(predictions: Predictions) -> dict[str, Any]:
    return {
        "example_id": [str(example) for example in predictions.example_id_N],
        "label": predictions.label_N,
        "probability": predictions.probability_N,
        "category": [str(category) for category in predictions.category_N],
        "tokens": predictions.tokens_N,
        "dropped": predictions.dropped_N,
    }
