"""The tracking store for writing and reading: records go to an outbox on disk, from which a thread uploads them.

An experiment is a data set. A study is a parent run whose children are its trials and confirmation runs.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, TypeVar, cast

from gru_bench.config import RunConfig, flat
from gru_bench.errors import GruBenchError, RunError, first_line, without_passwords
from gru_bench.platforms import user
from gru_bench.tracking.client import ROWS_TAG, replace_artifacts, require_folder, require_tables
from gru_bench.tracking.failures import brief, is_away, meaning
from gru_bench.tracking.outbox import FOLDER, Entry, Outbox, RecordState, abandoned, sync_in
from gru_bench.tracking.provenance import provenance
from gru_bench.tracking.reader import FORMAT, FORMAT_TAG, Reader
from gru_bench.tracking.record import RunRecord, new_id, now
from gru_bench.tracking.source import Source
from gru_bench.tracking.upload import STOP_SECONDS, Uploader
from gru_bench.tracking.writer import RunWriter

T = TypeVar("T")

ATTACHED = "report"
"""Folder among a run's artifacts with a report, which was computed from the runs."""
LAST_SECONDS = 2.0
"""Seconds to continue uploading when a command ends by an error or Ctrl-C."""
MOST_SECONDS = 600.0
"""Seconds to wait for a server whose answer a command needs to continue or to end."""


class Store(Reader):
    """A tracking store for reading and writing. Records go to an outbox on disk, from which a thread uploads them.

    Lists of experiments and runs are read after the upload, so that this process reads what it has written. While a
    server is away, they are those of its last answer, or empty if there was none and `require` was not called. What is
    asked of one run waits for the server.

    Use it as a context. A normal end waits until MLflow has all records; an end by an error waits only for a moment and
    leaves the rest to the next start.
    """

    def __init__(
        self, uri: str | None = None, *, say: Callable[[str], None] | None = None, patience: float | None = None,
    ) -> None:
        """Open the store; a new database file is created at the first write.

        From now on, what dead processes have left in its directory is uploaded too. A server that does not answer is
        not an error: `away` gives the reason, and records wait in the outbox.

        Args:
            uri: MLflow's tracking URI; None means the file `mlflow.db` in the working directory.
            say: Called with sentences for the user, such as that the server is away.
            patience: Seconds to wait at the end for a server that is away. None: `MOST_SECONDS`, because a machine may
                be rented.

        Raises:
            UsageError: The URI is not valid for MLflow.
            RunError: The store is damaged, or refuses access.
        """
        super().__init__(uri)
        self._shown = without_passwords(self.uri)
        self._say = say or (lambda _: None)
        self._patience = MOST_SECONDS if patience is None else patience
        self._root = self.home / FOLDER
        self._own: Outbox | None = None
        self._uploader: Uploader | None = None
        self._known: dict[str, Any] = {}
        self._shared: set[tuple[str, str]] = set()
        """Run id and path of each artifact that was logged for the children of a run."""
        self._was_new = False
        """Whether the database file did not exist when that was last looked at."""
        self._required = False
        self._begin_upload()

    def __enter__(self) -> Self:
        """Return the store."""
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        """Wait until MLflow has all writes; after an error, wait for a moment only."""
        if error is None:
            self.close()
        else:
            self._at_exit()

    @property
    def away(self) -> str:
        """Why the store does not answer at present; empty if it answers."""
        return self._uploader.away if self._uploader is not None else ""

    def require(self) -> None:
        """Wait until the store answers, now and at each later read, because the command needs its runs.

        Raises:
            RunError: The store has not answered for `MOST_SECONDS`.
            KeyboardInterrupt: The user has interrupted the wait.
        """
        self._required = True
        self._wait_while_away()

    def adopt(self, study: str | None = None) -> None:
        """Take over the outboxes for this store of processes that have died since the last call, and upload them.

        Args:
            study: Study whose held records may be taken over too, because `settle` is called for it. Other outboxes
                with held records are left to the next start of their study.
        """
        def wanted(outbox: Outbox) -> bool:
            return outbox.uri == self._shown and all(
                study is not None and entry.record().study == study for entry in outbox.entries("held"))

        assert self._uploader is not None
        for outbox in abandoned(self._root, wanted, self._say):
            if (left := outbox.waiting()).runs:
                self._say(f"{left}, left by an earlier start: uploading")
            self._uploader.add(outbox)

    def settle(self, is_ended: Callable[[str], bool | None], reason: str) -> None:
        """Upload the held records of dead processes, once it is known whether their trials have ended.

        Args:
            is_ended: Returns whether the trial of a run has ended with this run. If not, the run is uploaded as one
                that was interrupted. None: not known yet.
            reason: Why such a run was interrupted.
        """
        for outbox in self._uploader.outboxes if self._uploader is not None else ():
            for entry in outbox.entries("held") if outbox is not self._own else ():
                match is_ended(entry.run_id):
                    case True:
                        outbox.release(entry)
                    case False:
                        outbox.supersede(entry, reason)

    def check(self) -> None:
        """Raise the error of a record that could not be uploaded, if there is one.

        Raises:
            RunError: A record could not be uploaded.
        """
        if self._uploader is not None:
            self._uploader.check()

    @property
    def is_caught_up(self) -> bool:
        """Whether MLflow has all records."""
        return self._uploader is None or self._uploader.is_done

    def catch_up(self) -> bool:
        """Wait until MLflow has all records; return False if it is away.

        Raises:
            RunError: A record could not be uploaded.
        """
        return self._uploader is None or self._uploader.catch_up()

    def close(self, seconds: float | None = None) -> None:
        """Wait until MLflow has all records, also those that processes have left which died meanwhile; stop the upload.

        Args:
            seconds: Most seconds to wait. None waits as long as the store answers. If it is away, the wait ends after
                the store's patience.

        Raises:
            RunError: A record could not be uploaded, or the store has not answered for so long.
            KeyboardInterrupt: The user has interrupted the wait; the next start uploads the rest.
        """
        if self._uploader is not None and seconds is None:
            self.adopt()
        uploader, self._uploader = self._uploader, None
        if uploader is None:
            return
        atexit.unregister(self._at_exit)
        try:
            if not uploader.catch_up(seconds) and seconds is None:
                self._say(f"waiting for {self._shown}, which does not respond ({uploader.away}): {uploader.waiting()}. "
                          "Ctrl-C leaves them there for the next start in this directory")
                while not uploader.catch_up():
                    if not uploader.wait_for_answer(self._patience):
                        raise RunError(f"the tracking store {self._shown} has not responded for {self._patience:.0f} "
                                       f"seconds: start its server, then run {sync_in(self.home)}, which uploads the "
                                       "waiting runs")
        finally:
            left = uploader.waiting()
            uploader.stop(STOP_SECONDS)
            for remark in uploader.remarks:
                self._say(remark)
            if left.runs:
                self._say(f"{left}: the next start with this store uploads them, and so does {sync_in(self.home)}")
            self._own = None

    def start(
        self, experiment: str, name: str, *, role: str, study: str = "", model: str = "", command: str = "",
        config: RunConfig | None = None, fingerprint: str = "", rows: Mapping[str, int] | None = None,
        parent: str | None = None, tags: Mapping[str, str] | None = None, run_id: str | None = None,
    ) -> RunWriter:
        """Begin a run, log its config and provenance, and return its writer.

        Args:
            experiment: Name of the experiment.
            name: Name of the run in MLflow.
            role: Role of the run: study, trial, confirm, ablation, baseline or single.
            study: Name of its study.
            model: Name of its model.
            command: The command as the user typed it.
            config: Config of the run; its settings are logged as params.
            fingerprint: Fingerprint of the data, which MLflow shows as a data set with the experiment's name.
            rows: Split -> number of texts, which MLflow shows with the data set; None: not known.
            parent: Id of the parent run.
            tags: Further tags.
            run_id: Id of the run of a study, which another process may begin too. None: a new id.

        Raises:
            RunError: The disk is full.
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
            **({ROWS_TAG: json.dumps({"num_rows": sum(rows.values()), **rows})} if rows is not None else {}),
            **provenance(),
            **(tags or {}),
        }
        if config is not None:
            all_tags["gru_bench.seed"] = str(config.seed)
        params = {key: str(value) for key, value in flat(config).items()} if config is not None else {}
        record = RunRecord(
            run_id or new_id(), now(), experiment, parent, first_tags=all_tags, params=params,
            dataset=(experiment, fingerprint) if fingerprint else None)
        if role == "study":
            self.put(record)
            return self.writer(record.run_id)
        writer = RunWriter(self, record, self.put(record, state="open"))
        writer.show()
        return writer

    def writer(self, run_id: str) -> RunWriter:
        """Return a writer for a run that exists."""
        return RunWriter(self, RunRecord(run_id, now()))

    def put(self, record: RunRecord, files: Mapping[str, bytes] | None = None, state: RecordState = "waiting") -> Entry:
        """Put a record into the outbox of this process; it is on the disk when this returns.

        Raises:
            RunError: The disk is full.
        """
        outbox, uploader = self.writing()
        entry = outbox.put(record, files, state)
        uploader.notify()
        return entry

    def share(self, run_id: str, files: Mapping[str, bytes]) -> None:
        """Log artifacts of a run whose names say what is in them, unless this process has logged them already."""
        new = {path: content for path, content in files.items() if (run_id, path) not in self._shared}
        if new:
            self.put(RunRecord(run_id, now()), new)
            self._shared |= {(run_id, path) for path in new}

    def create_if(self, may_create: Callable[[str], bool]) -> None:
        """Let only one of several processes create a run: the one for which `may_create` of its id is true."""
        self.writing()[1].sender.may_create = may_create

    def pause(self, seconds: float) -> None:
        """Wait for what other processes upload."""
        if self._uploader is not None:
            self._uploader.while_waiting()
        time.sleep(seconds)

    def stay_alive(self, renew: Callable[[], None]) -> None:
        """Call a function again and again, at least twice a second, while this process waits for the store."""
        if self._uploader is not None:
            self._uploader.while_waiting = renew

    def _read(self, read: Callable[[Source], T]) -> T | None:
        while not self._is_new():
            try:
                return super()._read(read)
            except (RunError, OSError) as error:
                if not self._went_away(error):
                    raise
                self._wait_while_away()
        return None

    def _read_list(self, read: Callable[[Source], T], name: str) -> T | None:
        while True:
            if self.catch_up():
                if self._is_new():
                    return None
                try:
                    answer = super()._read(read)
                except (RunError, OSError) as error:
                    if not self._went_away(error):
                        raise
                else:
                    self._known[name] = answer
                    return answer
            if self.database is None and (name in self._known or not self._required):
                return cast("T | None", self._known.get(name))
            self._wait_while_away()

    def _went_away(self, error: RunError | OSError) -> bool:
        """Return whether an error means that the server went away; the upload then waits for it too."""
        if self._uploader is None or self.database is not None or not is_away(error):
            return False
        self._uploader.set_away(brief(error))
        return True

    def _wait_while_away(self) -> None:
        if self._uploader is None or not self._uploader.away:
            return
        self._say(f"waiting for {self._shown}, whose runs are needed to continue, but which does not respond "
                  f"({self._uploader.away}). Ctrl-C stops the command; run it again later to continue")
        if not self._uploader.wait_for_answer(MOST_SECONDS):
            raise RunError(f"the tracking store {self._shown}, whose runs are needed to continue, has not responded "
                           f"for {MOST_SECONDS / 60:.0f} minutes: start its server, then run this again")

    def _artifact(self, run_id: str, path: str) -> bytes:
        if self._own is not None:
            file = self._own.file(run_id, path)
            with suppress(FileNotFoundError):  # MLflow has the artifact by now
                if file is not None:
                    return file.read_bytes()
        return super()._artifact(run_id, path)

    def _begin_upload(self) -> None:
        # No retries by MLflow: the upload retries by itself, and first checks whether the run was created after all.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        away, sending = "", Reader(self.uri)
        if self.database is not None:
            require_folder(self.database)
            self._was_new = True
        # The upload's thread imports MLflow, which takes as long as importing torch, unless an error may show now.
        if not (self._is_new() or self._has_tables()):
            try:
                assert sending.client is not None  # opened now, so that errors of the store are raised now
            except RunError as error:
                if self.database is not None or meaning(error) not in ("away", "busy"):
                    raise
                away = brief(error)
                self._say(f"{self._shown} does not respond ({away}): runs are stored in {FOLDER} until it does")
        self._uploader = Uploader(sending, away)
        self.adopt()
        atexit.register(self._at_exit)

    def _is_new(self) -> bool:
        """Whether the store is a file that does not exist yet, so that it has no runs."""
        if self._was_new and self.database is not None:
            self._was_new = not self.database.exists()
        return self._was_new

    def _has_tables(self) -> bool:
        """Whether the store is a database file with MLflow's tables."""
        with suppress(RunError):
            if self.database is not None:
                require_tables(self.database)
                return True
        return False

    def writing(self) -> tuple[Outbox, Uploader]:
        """Return the outbox of this process and its upload, which are begun if needed.

        Raises:
            RunError: The outbox cannot be written.
        """
        assert self._uploader is not None
        if self._own is None:
            self._own = Outbox.begin(self._root, self.uri, say=self._say)
            self._uploader.add(self._own)
        return self._own, self._uploader

    def _at_exit(self) -> None:
        with suppress(GruBenchError):
            self.close(LAST_SECONDS)


def attach(store: Reader, run_id: str, folder: Path) -> str:
    """Attach the files of a folder to a run, in place of what was attached before: now, and not by the outbox.

    They become artifacts below `ATTACHED`, which no reader uses.

    Returns:
        Why they could not be attached; empty if they are.
    """
    try:
        mlflow_id = store.mlflow_id(run_id)
        if (artifacts := store.source.artifacts(mlflow_id)) is not None:  # it takes MLflow two seconds to load
            shutil.rmtree(artifacts / ATTACHED, ignore_errors=True)
            shutil.copytree(folder, artifacts / ATTACHED, dirs_exist_ok=True)
        else:
            replace_artifacts(store.uri, store.client.get_run(mlflow_id).info.artifact_uri, folder, ATTACHED)
    except Exception as error:  # of MLflow, of its database, of the file system, of a cloud
        return first_line(error)
    return ""
