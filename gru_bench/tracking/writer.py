"""Writing runs to the tracking store as they happen: `Store` begins runs, a `RunWriter` writes one run.

An experiment is a data set. A study is a parent run whose children are its trials and confirm runs. A run is tagged
`gru_bench.complete` last, so that readers can tell complete runs from interrupted ones.
"""

from __future__ import annotations

import atexit
import io
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import numpy as np

from gru_bench.config import MetricName, RunConfig, flat
from gru_bench.errors import GruBenchError, RunError, given_as, same_command, unknown, without_passwords
from gru_bench.models.saved import SHARED
from gru_bench.platforms import user
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
from gru_bench.results.runs import Check, EpochRecord, RunResult, digest_of_examples
from gru_bench.stats.metrics import scores
from gru_bench.tracking.artifacts import class_table, prediction_table
from gru_bench.tracking.client import brief, first_line, is_away, replace_artifacts, require_folder
from gru_bench.tracking.provenance import provenance
from gru_bench.tracking.queue import FOLDER, LOCAL, Beginning, Operation, WriteQueue, abandoned_queues, new_run, waiting
from gru_bench.tracking.reader import FORMAT, FORMAT_TAG, TEST_SET, LoggedRun, Reader
from gru_bench.tracking.sync import STOP_SECONDS, Sync, experiment, find, require_active, start_syncs

if TYPE_CHECKING:
    import pyarrow as pa

Item = TypeVar("Item")

ATTACHED = "report"
"""Folder among a run's artifacts that holds a report. It was computed from the runs, so archives leave it out."""
NOTE = "mlflow.note.content"
"""Tag that MLflow shows as the description of a run, as Markdown."""
COMPLETE = {"gru_bench.state": "complete", "gru_bench.complete": "true"}
ANSWER_SECONDS = 10.0
"""Seconds to wait until a server has created a run. After that, the run goes on under its local id."""
LAST_SECONDS = 2.0
"""Seconds to go on syncing when a command ends by an error or Ctrl-C."""
MOST_SECONDS = 600.0
"""Seconds to wait for a server whose answer a command needs to go on or to end."""
OTHERS_SECONDS = 60.0
"""Seconds to wait for writes of other processes: dead ones (other stores) and running ones (this store)."""
POLL_SECONDS = 0.5
_TABLES = "SELECT 1 FROM experiments, runs, tags, params, metrics, latest_metrics LIMIT 0"


class Store(Reader):
    """A tracking store for reading and writing. Writes go to a queue on disk, from which a thread syncs them to MLflow.

    It overrides the reading methods of `Reader`: they wait for the sync first, so that this process reads what it has
    written. While the store is away, they return what was read last.

    Use it as a context. A normal end waits until MLflow has all writes; an end by an error waits only for a moment and
    leaves the rest to the next start.
    """

    def __init__(
        self, uri: str | None = None, *, create: bool = True, say: Callable[[str], None] | None = None,
        patience: float | None = None,
    ) -> None:
        """Open the store; a new database file is created at the first write.

        From now on, the queues of dead processes in its directory are synced too. A server that does not answer is not
        an error: `away` gives the reason, and writes wait in the queue.

        Args:
            uri: MLflow's tracking URI; None means the file `mlflow.db` in the working directory.
            create: Whether the store will be written to. If not, nothing is created, and a missing file or a server
                that does not answer is an error.
            say: Called with sentences for the user, such as that the server is away.
            patience: Seconds to wait at the end for a server that is away. None: `MOST_SECONDS`, because a machine may
                be rented.

        Raises:
            UsageError: The URI is not valid for MLflow.
            RunError: The store is missing or damaged, or refuses access.
        """
        super().__init__(uri)
        self._shown = without_passwords(self.uri)
        self._say = say or (lambda _: None)
        self._patience = MOST_SECONDS if patience is None else patience
        self._root = self.home / FOLDER
        self._own: WriteQueue | None = None
        self._sync: Sync | None = None
        self._others: list[Sync] = []
        self._known: dict[str, list[Any]] = {}
        self._shared: set[tuple[str, str]] = set()
        """Run id and path of each artifact that was logged for the children of a run."""
        self._was_new = False
        """Whether the database file did not exist when the store was opened."""
        self._required = False
        if create:
            self._begin_sync()
            return
        if self.database is None:
            assert self._client is not None  # opened now, so that errors of the store are raised now
            return
        if not self.database.exists():
            if unsynced := waiting(self.home, self.uri):
                raise RunError(f"{unsynced[0]}, which does not exist yet: run gru-bench sync to write them, or the "
                               "same sweep or training command again")
            raise RunError(f"the runs must be in {self.database}, but there is no such file: run a sweep in this "
                           "directory first (gru-bench sweep --study smoke), or name another file with "
                           f"{given_as('--tracking-uri')}")
        self._rows(_TABLES)

    def __enter__(self) -> Self:
        """Return the store."""
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        """Wait until MLflow has all writes; after an error, wait for a moment only."""
        if error is None:
            self.close()
        else:
            with suppress(GruBenchError):
                self.close(LAST_SECONDS)

    @property
    def away(self) -> str:
        """Why the store does not answer at present; empty if it answers."""
        return self._sync.away if self._sync is not None else ""

    def require(self) -> None:
        """Wait until the store answers, now and at each later read, because the command needs its runs.

        Raises:
            RunError: The store has not answered for `MOST_SECONDS`.
            KeyboardInterrupt: The user has interrupted the wait.
        """
        self._required = True
        self._wait_while_away()

    def adopt(self) -> None:
        """Take over the queues of processes that have died since the last call, and sync them."""
        elsewhere = []
        for queue in abandoned_queues(self._root):
            unsynced = queue.waiting()
            if unsynced.operations:
                self._say(f"{unsynced}, left by an earlier start: they are synced now")
            if self._sync is not None and queue.uri == self._shown:
                self._sync.add(queue, inherited=True)
            else:
                elsewhere.append(queue)
        self._others += start_syncs(elsewhere)

    def adopt_study(self, name: str) -> None:
        """Wait until MLflow has the parent run of a study that a dead process has begun, unless MLflow is away."""
        self.adopt()
        # Another process may have taken over the queue of the dead one.
        deadline = time.monotonic() + OTHERS_SECONDS
        while (not self.away and any(name in one.studies for one in waiting(self.home, self.uri))
               and time.monotonic() < deadline):
            time.sleep(0.1)

    def check(self) -> None:
        """Raise the error of a write that could not be synced, if there is one.

        Raises:
            RunError: A write could not be synced.
        """
        if self._sync is not None:
            self._sync.check()

    @property
    def is_caught_up(self) -> bool:
        """Whether `catch_up` would return at once: MLflow has all writes, or is away."""
        return self._sync is None or self._sync.is_synced or bool(self._sync.away)

    def catch_up(self) -> bool:
        """Wait until MLflow has all writes; return False if it is away.

        Raises:
            RunError: A write could not be synced.
        """
        return self._sync is None or self._sync.catch_up()

    def close(self, seconds: float | None = None) -> None:
        """Wait until MLflow has all writes, then stop the sync.

        Args:
            seconds: Most seconds to wait. None waits as long as the store answers. If it is away, the wait ends after
                the store's patience.

        Raises:
            RunError: A write could not be synced, or the store has not answered for so long.
            KeyboardInterrupt: The user has interrupted the wait; the next start syncs the rest.
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
                    if not sync.wait_for_answer(self._patience):
                        raise RunError(f"the tracking store must take what was logged, but {self._shown} has not "
                                       f"answered for {self._patience:.0f} seconds: start its server, then run "
                                       "gru-bench sync, which sends the waiting writes")
            for other in self._others:
                with suppress(GruBenchError):  # the writes stay in the queue, which is reported below
                    other.catch_up(OTHERS_SECONDS if seconds is None else 0.0)
        finally:
            unsynced = [one.waiting() for one in (sync, *self._others) if not one.is_synced]
            for one in (sync, *self._others):
                one.stop(STOP_SECONDS)
                for remark in one.remarks:
                    self._say(remark)
            for one_waiting in unsynced:
                self._say(f"{one_waiting}: the next start in this directory syncs them, and so does "
                          "gru-bench sync")
            self._own, self._others = None, []

    def experiment(self, name: str) -> str:
        """Return the id of the experiment called `name`, which is created if it does not exist."""
        return experiment(self._client, self.database, name)

    def start(
        self, experiment: str, name: str, *, role: str, study: str = "", model: str = "", command: str = "",
        config: RunConfig | None = None, fingerprint: str = "", parent: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> RunWriter:
        """Begin a run, log its config and provenance, and return its writer.

        While the store is away or not open yet, the run has a local id. `LoggedRun.ids` holds both ids once MLflow has
        created the run.

        Args:
            experiment: Name of the experiment.
            name: Name of the run in MLflow.
            role: Role of the run: study, trial, confirm, ablation or single.
            study: Name of its study.
            model: Name of its model.
            command: The command as the user typed it.
            config: Config of the run; its settings are logged as params.
            fingerprint: Fingerprint of the data, which MLflow shows as a data set with the experiment's name.
            parent: Id of the parent run.
            tags: Further tags.

        Raises:
            RunError: The run cannot be created, or the disk is full.
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
        if self.database is not None and not self._begins:  # checked here, because MLflow may not be loaded yet
            for row in self._rows("SELECT experiment_id, lifecycle_stage FROM experiments WHERE name = ?", experiment):
                require_active(experiment, *row)
        run = new_run()
        dataset = (experiment, fingerprint) if fingerprint else None
        self._write(Operation(run, _now(), Beginning(experiment, parent), dataset, params=params, tags=all_tags))
        assert self._sync is not None
        assert self._own is not None
        # A file answers or fails at once, but a server may hang. Do not wait for the import of MLflow.
        patience = ANSWER_SECONDS if self.database is None else None
        self._sync.identify(self._own, run, patience if self._sync.is_open else 0.0)
        return RunWriter(self._write, run, self._own.ids, partial(self._share, parent or run))

    def writer(self, run_id: str) -> RunWriter:
        """Return a writer for a run that exists."""
        return RunWriter(self._write, run_id, self._own.ids if self._own is not None else {},
                         partial(self._share, run_id))

    def _share(self, run_id: str, files: Mapping[str, bytes]) -> None:
        """Log artifacts of a run whose names say what is in them, unless this process has logged them already."""
        new = {path: content for path, content in files.items() if (run_id, path) not in self._shared}
        if new:
            self._write(Operation(run_id, _now()), new)
            self._shared |= {(run_id, path) for path in new}

    def attach(self, run_id: str, folder: Path) -> str:
        """Attach the files of a folder to a run, in place of what was attached before: now, and not by the queue.

        They become artifacts below `ATTACHED`, which no reader uses.

        Returns:
            Why they could not be attached; empty if they are.
        """
        try:
            replace_artifacts(self.uri, self._client.get_run(run_id).info.artifact_uri, folder, ATTACHED)
        except Exception as error:  # of MLflow, of its database, of the file system, of a cloud
            return first_line(error)
        return ""

    def experiments(self) -> list[str]:
        """Return the names of the experiments with runs of gru-bench, the most recent first.

        While the store is away, these are the experiments of its last answer.
        """
        return self._read("", lambda: [] if self._is_new() else super(Store, self).experiments())

    def runs(self, experiment: str) -> list[LoggedRun]:
        """Return all runs of gru-bench in an experiment, newest first.

        While the store is away, these are the runs of its last answer.
        """
        def read() -> list[LoggedRun]:
            if self._is_new():
                raise unknown("experiment", experiment, [])
            return super(Store, self).runs(experiment)

        return self._read(experiment, read)

    def await_whole(self, experiment: str, run_ids: Sequence[str], seconds: float = OTHERS_SECONDS) -> bool:
        """Wait until MLflow has all of the runs `run_ids`, which other processes may still be syncing.

        Returns:
            False if MLflow does not have them after `seconds`; reading them then raises an error.
        """
        deadline = time.monotonic() + seconds
        while not set(run_ids) <= {name for run in self.runs(experiment) if run.complete for name in run.ids}:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def confirmed_models(self, test_set: str, fingerprints: Collection[str]) -> int:
        """Return how many models were scored on a test set; see `Reader.confirmed_models`."""
        self.catch_up()
        return super().confirmed_models(test_set, fingerprints)

    def studies_on_test(self, test_set: str, fingerprints: Collection[str], until: float) -> int:
        """Return how many studies had scored a test set by a time; see `Reader.studies_on_test`."""
        self.catch_up()
        return super().studies_on_test(test_set, fingerprints, until)

    def histories(
        self, run_ids: Sequence[str], metrics: Sequence[str]
    ) -> dict[str, dict[str, list[tuple[int, float]]]]:
        """Return run id -> metric -> (step, value) by step. If a step was logged twice, the later value counts."""
        self.catch_up()
        return super().histories(run_ids, metrics)

    def view(self, experiment: str, metric: MetricName) -> str:
        """Return where the saved view of an experiment is shown; see `Reader.view`."""
        self.catch_up()
        return super().view(experiment, metric)

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
        """Return whether a read must wait for the store, because there is no earlier answer that may be used."""
        return self.database is not None or (self._required and key not in self._known)

    def _wait_out(self, error: RunError) -> None:
        """Wait for the server if the error means that it is away; raise any other error."""
        if self._sync is None or self.database is not None or not is_away(error):
            raise error
        self._sync.mark_offline(brief(error))
        self._wait_while_away()

    def _wait_while_away(self) -> None:
        if self._sync is None or not self._sync.away:
            return
        self._say(f"waiting for {self._shown}, whose runs are needed to go on, but which does not answer "
                  f"({self._sync.away}). Ctrl-C ends the command; run it again later to go on")
        if not self._sync.wait_for_answer(MOST_SECONDS):
            raise RunError(f"the tracking store must answer, because its runs are needed to go on, but {self._shown} "
                           f"has not answered for {MOST_SECONDS / 60:.0f} minutes: start its server, then run "
                           f"{same_command()} again")

    def _artifact(self, run_id: str, path: str) -> bytes:
        if self._own is not None:
            file = self._own.file(run_id, path)
            with suppress(FileNotFoundError):  # MLflow has the artifact by now
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
            raise RunError(f"MLflow must have the run {run_id} to read it, but it does not: its writes still wait "
                           f"in {FOLDER} of the directory where it began; run gru-bench sync there")
        return found

    def _begin_sync(self) -> None:
        # No retries by MLflow: the sync retries by itself, and first checks whether the run was created after all.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        away, client = "", None
        if self.database is not None:
            require_folder(self.database)
        found = self._found()
        self._was_new = found == "new"
        if found == "unknown":  # otherwise the sync's thread imports MLflow, which takes as long as importing torch
            try:
                client = self._client
            except RunError as error:
                if self.database is not None or not is_away(error):
                    raise
                away = brief(error)
                self._say(f"{self._shown} does not answer ({away}): runs are stored in {FOLDER} until it does")
        self._sync = Sync(self.uri, client, away)
        self._others = []
        self.adopt()
        atexit.register(self._at_exit)

    @property
    def _begins(self) -> bool:
        """Whether the store is a database file that the sync has not created yet."""
        return self._was_new and self._sync is not None and not self._sync.is_open

    def _is_new(self) -> bool:
        """Whether the store is a file that does not exist yet, so that it has no runs."""
        return self._was_new and self._found() == "new"

    def _found(self) -> Literal["new", "prepared", "unknown"]:
        """Return the state of the store, as far as it can be found out without importing MLflow."""
        from filelock import FileLock

        if self.database is None:
            return "unknown"
        with FileLock(f"{self.database}.lock"):  # held while the file is being created
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
    """Writes one run: its epochs, then exactly one of `finish`, `prune`, `fail` or `kill`.

    Each method raises RunError if the disk is full or an earlier write could not be synced.
    """

    def __init__(
        self, write: Callable[[Operation, Mapping[str, bytes]], None], run: str, ids: Mapping[str, str],
        share: Callable[[Mapping[str, bytes]], None],
    ) -> None:
        """Write to a run.

        Args:
            write: Adds an operation and its artifacts to the queue.
            run: Id of the run, MLflow's or a local one.
            ids: Local id -> MLflow's id, filled as MLflow creates the runs.
            share: Adds artifacts to the run's parent or, if it has none, to the run.
        """
        self._write_operation, self._run, self._ids, self._share = write, run, ids, share

    @property
    def run_id(self) -> str:
        """MLflow's id of the run; a local id until MLflow has created the run."""
        return self._ids.get(self._run, self._run)

    @property
    def is_made(self) -> bool:
        """Whether MLflow has created the run."""
        return not self.run_id.startswith(LOCAL)

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

    def finish(self, result: RunResult, *, texts: Mapping[str, Sequence[str]] | None = None) -> None:
        """Log the result of a run, tag it complete and end it.

        Args:
            result: The result: scores and predictions of the best checkpoint, times and sizes, and the model if it has
                files.
            texts: Split -> reviews to log beside the predictions.
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
        files = {}
        for split, predictions in result.predictions.items():
            for key, value in scores(predictions.label_N, predictions.probability_NC).items():
                points.append((score(key, SPLIT_NAMES[split]).key, value, 0))
            files[f"predictions/{split}.parquet"] = _parquet(prediction_table(predictions))
            if len(result.classes) > 2:
                files[f"scores/{split}_classes.csv"] = class_table(predictions, result.classes)
        for split, split_texts in (texts or {}).items():
            files[f"texts/{split}.parquet"] = _parquet(
                _text_table(result.predictions[split].example_id_N, split_texts))
        own = {path: content for path, content in result.model_files.items() if not path.startswith(SHARED)}
        # Before the run is complete: readers of complete runs need them.
        self._share({path: content for path, content in result.model_files.items() if path not in own})
        files |= own
        model = result.config.model.name if own else ""
        self._write(files, metrics=points, status="FINISHED", model=model, tags={
            "gru_bench.backend": result.backend, "gru_bench.device": result.device,
            "gru_bench.stopped_early": str(result.stopped_early).lower(),
            **{f"gru_bench.{name}": value for name, value in result.card.items()},
            **({"gru_bench.backend_note": result.backend_note} if result.backend_note else {}),
            **({TEST_SET: digest_of_examples(test.example_id_N)} if (test := result.predictions.get("test")) else {}),
            **COMPLETE})

    def texts(self, split: str, example_id_N: Sequence[str] | np.ndarray[Any, Any], texts: Sequence[str]) -> None:
        """Log the reviews of a split as an artifact."""
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

    def prune(self, reason: str) -> None:
        """End a trial that the pruner has stopped."""
        self._end("pruned", "FINISHED", reason)

    def fail(self, reason: str) -> None:
        """End a run that has failed."""
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
    """Return the current time in milliseconds since 1970."""
    return int(time.time() * 1000)


def _parquet(table: pa.Table) -> bytes:
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def _text_table(example_id_N: Sequence[str] | np.ndarray[Any, Any], texts: Sequence[str]) -> pa.Table:
    import pyarrow as pa

    return pa.table({"example_id": list(example_id_N), "text": list(texts)})
