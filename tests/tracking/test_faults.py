"""A process that ends or is paused before or after any of its calls into MLflow or the search's storage loses no run.

After each such end, the same command completes the study: each trial once, each run in MLflow once, with each of its
points once, and nothing is left running.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import chdir, closing
from functools import wraps
from pathlib import Path
from typing import Any, Literal

import optuna
import psutil
import pytest
from mlflow import MlflowClient
from mlflow.store.db import utils
from optuna.storages.journal import JournalFileBackend

from gru_bench.platforms import WINDOWS
from gru_bench.results.baselines import baseline_names
from gru_bench.sweep.consistency import compare_stores
from gru_bench.sweep.sharing import leases
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.sharing.trials import Trials
from gru_bench.sweep.spec import load_study
from gru_bench.sweep.study import read_study
from gru_bench.tracking import Reader
from tests.support.runs import modeled, result
from tests.support.servers import MlflowServer
from tests.support.workers import swept, well

When = Literal["before", "after", "paused before"]
Kind = Literal["mlflow", "search", "ends"]
"""What is counted: calls of MLflow's client, writes to the search's storage, or trials that are about to end, whose
results are in MLflow."""
TRIALS, CONFIRM = 1, 1
ENDED = 77
"""Exit code of a process that ends as if it was killed."""
LIBRARIES = ["tests.support.workers", "mlflow.store.tracking.sqlalchemy_store", "scipy.stats", "safetensors.numpy"]
"""What the processes would otherwise import one after the other, which takes longer than the study."""
pytestmark = pytest.mark.skipif(WINDOWS, reason="the processes are forked")


def end_at(kind: Kind, number: int, when: When) -> None:
    """Let this process end before or after its n-th call of a kind, from 1, or be paused before it."""
    seen = 0

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def ending(*arguments: Any, **named: Any) -> Any:
            nonlocal seen
            seen += 1
            is_last = seen == number
            if is_last and when == "before":
                os._exit(ENDED)
            if is_last and when == "paused before":
                os.kill(os.getpid(), signal.SIGSTOP)
            returned = call(*arguments, **named)
            if is_last and when == "after":
                os._exit(ENDED)
            return returned

        return ending

    match kind:
        case "mlflow":
            for name, call in list(vars(MlflowClient).items()):
                if callable(call) and not name.startswith("_"):
                    setattr(MlflowClient, name, counted(call))
        case "search":
            setattr(JournalFileBackend, "append_logs", counted(JournalFileBackend.append_logs))  # noqa: B010
        case "ends":
            setattr(Trials, "complete", counted(Trials.complete))  # noqa: B010


def start(folder: Path, csv: Path, uri: str | None, revision: str, end: tuple[Kind, int, When] | None) -> None:
    """Start the study in a folder, in a process that may end at its n-th call of a kind."""
    leases.LEASE_SECONDS = 1.0
    utils._get_latest_schema_revision = lambda: revision  # takes longer to read than the study to run
    if end is not None:
        end_at(*end)
    with chdir(folder):
        swept(csv, lambda _: well(modeled(result())), uri=uri, trials=TRIALS, confirm=CONFIRM)


def faults(folder: Path, csv: Path, uri: str | None, database: Path) -> Iterator[str]:
    """Yield what is wrong with the study in a folder, which must be complete."""
    with chdir(folder):
        spec = load_study("study.toml", settings={"data.name": str(csv)}, trials=TRIALS, confirm=CONFIRM)
        storage, reader = open_storage(None), Reader(uri)
        studies = reader.studies(csv.stem)
        logged = [run for study in studies for run in study.runs]
        yield from compare_stores(read_study(spec, storage), logged).faults
        for name in optuna.get_all_study_names(storage):
            states = Counter(trial.state.name for trial in optuna.load_study(study_name=name, storage=storage).trials)
            done = TRIALS if "/" in name else CONFIRM + len(baseline_names())
            if states["COMPLETE"] != done or states["RUNNING"] or states["WAITING"]:
                yield f"{name}: {dict(states)}"
        complete = [run for run in logged if run.complete and run.role != "study"]
        if [run.role for run in complete] != ["trial", "confirm", *["baseline"] * len(baseline_names())]:
            yield f"complete are {[run.role for run in complete]}"
        for run in complete:
            if reader.predictions(run.run_id, "test").example_id_N.size != 4:
                yield f"{run.name} has other predictions"
            if run.role == "confirm":
                reader.models([run.run_id], studies[0].run.run_id)
    with closing(sqlite3.connect(database)) as connection:
        # The study's own run gets its summary anew at the end of each start, so only the others are counted.
        points = Counter(connection.execute(
            "SELECT runs.run_uuid, metrics.key, step FROM metrics JOIN runs USING (run_uuid) JOIN experiments USING "
            "(experiment_id) JOIN tags USING (run_uuid) WHERE experiments.name = ? AND tags.key = 'gru_bench.role' "
            "AND tags.value != 'study'", [csv.stem]))
        yield from (f"the point {point} is there {count} times" for point, count in points.items() if count > 1)
        counts = Counter(run_id for run_id, key, _ in points if key.startswith(("loss/", "accuracy/", "time/")))
        ended = connection.execute(
            "SELECT run_uuid FROM runs JOIN tags USING (run_uuid) JOIN experiments USING (experiment_id) WHERE "
            "experiments.name = ? AND key = 'gru_bench.complete' AND tags.value = 'true' AND run_uuid IN (SELECT "
            "run_uuid FROM tags WHERE key = 'gru_bench.role' AND value IN ('trial', 'confirm'))", [csv.stem]).fetchall()
        if len({counts[run_id] for run_id, in ended}) != 1 or not ended:
            yield f"the runs have {[counts[run_id] for run_id, in ended]} points"


class Injection:
    """Studies that are started, ended at a call, and started again, each in a folder and an experiment of its own."""

    def __init__(self, csv: Path, empty_database: Path, server: MlflowServer | None) -> None:
        """Log to a new file for each study, or to a server."""
        self._csv, self._empty, self._server = csv, empty_database, server
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(LIBRARIES)
        self._revision = utils._get_latest_schema_revision()

    def run(self, kind: Kind, number: int, when: When = "before") -> tuple[bool, list[str]]:
        """Return whether a process ended at its n-th call of a kind, and what is wrong after the next start."""
        folder, csv, database = self.place(f"{when}-{kind}-{number}")
        uri = None if self._server is None else self._server.uri
        codes = list[int | None]()
        for end in ((kind, number, when), None):
            process = self.begun(folder, csv, uri, end)
            process.join()
            codes.append(process.exitcode)
        assert codes[0] in (0, ENDED)
        assert codes[1] == 0, f"the start after an end {when} call {number} ({kind}) failed"
        return codes[0] == ENDED, list(faults(folder, csv, uri, database))

    def place(self, name: str) -> tuple[Path, Path, Path]:
        """Return a new folder for a study, its data, and the database that it is logged to."""
        folder = Path(name).absolute()
        folder.mkdir()
        csv = Path(shutil.copy(self._csv, folder / f"{folder.parent.name}-{name}.csv"))
        database = Path(shutil.copy(self._empty, folder)) if self._server is None else self._server.database
        return folder, csv, database

    def begun(
        self, folder: Path, csv: Path, uri: str | None, end: tuple[Kind, int, When] | None
    ) -> multiprocessing.process.BaseProcess:
        """Start the study in a folder, in a process that may end."""
        process = self._processes.Process(target=start, args=(folder, csv, uri, self._revision, end))
        process.start()
        return process

    def run_all(self, kind: Kind, when: When, step: int = 1) -> dict[int, list[str]]:
        """Return call -> what is wrong, for all calls of a kind, or each `step`th one; empty if nothing is."""
        number, wrong = 1, dict[int, list[str]]()
        while True:
            ended, found = self.run(kind, number, when)
            if found:
                wrong[number] = found
            if not ended:
                break
            number += step
        assert number > 10
        return wrong


@pytest.mark.parametrize(("kind", "number", "when"), [
    ("mlflow", 9, "after"), *(pytest.param(*call, marks=pytest.mark.slow) for call in (
        ("mlflow", 4, "before"), ("search", 14, "before"), ("ends", 1, "before"), ("ends", 2, "before"),
        ("ends", 2, "after")))])
def test_a_start_completes_the_study_of_one_that_ended_at_a_call(
    kind: Kind, number: int, when: When, easy_csv: Path, empty_database: Path
) -> None:
    assert Injection(easy_csv, empty_database, None).run(kind, number, when) == (True, [])


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 4, 5], ids=["of a baseline", "of a trial", "of a confirmation run"])
def test_one_run_counts_where_a_start_is_paused_before_its_end_until_another_has_done_it_again(
    number: int, easy_csv: Path, empty_database: Path
) -> None:
    injection = Injection(easy_csv, empty_database, None)
    folder, csv, database = injection.place("paused")
    paused = injection.begun(folder, csv, None, ("ends", number, "paused before"))
    while psutil.Process(paused.pid).status() != psutil.STATUS_STOPPED:
        time.sleep(0.05)
    other = injection.begun(folder, csv, None, None)
    other.join()
    assert other.exitcode == 0
    assert list(faults(folder, csv, None, database)) == []
    assert paused.pid is not None
    os.kill(paused.pid, signal.SIGCONT)
    paused.join()
    assert paused.exitcode == 0
    assert list(faults(folder, csv, None, database)) == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("kind", "when"), [("mlflow", "before"), ("mlflow", "after"), ("search", "before")])
def test_a_start_completes_the_study_of_one_that_ended_at_any_call(
    kind: Kind, when: When, easy_csv: Path, empty_database: Path
) -> None:
    """Every call was tried once; here it is each third one."""
    assert Injection(easy_csv, empty_database, None).run_all(kind, when, step=3) == {}


@pytest.mark.service
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("kind", "number"), [
    ("mlflow", 4), ("mlflow", 17), ("mlflow", 31), ("mlflow", 45), ("search", 14)])
def test_a_start_completes_the_study_of_one_that_ended_at_a_call_over_http(
    kind: Kind, number: int, easy_csv: Path, empty_database: Path, tracking_server: MlflowServer
) -> None:
    assert Injection(easy_csv, empty_database, tracking_server).run(kind, number) == (True, [])
