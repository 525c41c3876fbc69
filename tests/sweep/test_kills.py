"""A process that is killed before or after any of its writes to the search: the next start completes the study."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections import Counter
from contextlib import chdir
from pathlib import Path
from typing import Any, Literal

import optuna
import pytest
from mlflow.store.db import utils
from optuna.storages.journal import JournalFileBackend

from gru_bench.platforms import WINDOWS
from gru_bench.results.baselines import baseline_names
from gru_bench.sweep.consistency import compare_stores
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.spec import load_study
from gru_bench.sweep.study import read_study
from gru_bench.tracking import open_reader
from tests.support.workers import WELL, swept

TRIALS, CONFIRM = 2, 1
KILLED = 77
"""Exit code of a process that ends as if it was killed."""
LIBRARIES = ["tests.support.workers", "mlflow.store.tracking.sqlalchemy_store", "scipy.stats", "safetensors.numpy"]
"""What the processes would otherwise import one after the other, which takes longer than the study."""

When = Literal["before", "after"]


def start(folder: Path, csv: Path, revision: str, kill: tuple[int, When] | None) -> None:
    """Start the study in a folder, in a process that may be killed before or after its n-th write, from 1."""
    utils._get_latest_schema_revision = lambda: revision  # takes longer to read than the study to run
    write, written = JournalFileBackend.append_logs, 0

    def append_logs(self: JournalFileBackend, logs: list[dict[str, Any]]) -> None:
        nonlocal written
        written += 1
        if kill == (written, "before"):
            os._exit(KILLED)
        write(self, logs)
        if kill == (written, "after"):
            os._exit(KILLED)

    JournalFileBackend.append_logs = append_logs  # type: ignore[method-assign]  # for this process alone
    with chdir(folder):
        swept(csv, lambda _: WELL, trials=TRIALS, confirm=CONFIRM)


def faults(folder: Path, csv: Path) -> list[str]:
    """What is wrong with the study in a folder, which must be done."""
    with chdir(folder):
        spec = load_study("study.toml", settings={"data.name": str(csv)}, trials=TRIALS, confirm=CONFIRM)
        storage = open_storage(None)
        (study,) = open_reader().studies("easy")
        found = list(compare_stores(read_study(spec, storage), study.runs).faults)
        for name in optuna.get_all_study_names(storage):
            states = Counter(trial.state.name for trial in optuna.load_study(study_name=name, storage=storage).trials)
            done = TRIALS if "/" in name else CONFIRM + len(baseline_names())
            if states["COMPLETE"] != done or states["RUNNING"] or states["WAITING"]:
                found.append(f"{name}: {dict(states)}")
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(WINDOWS, reason="the processes are forked")
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_start_completes_the_study_of_one_that_was_killed_at_any_write(
    when: When, easy_csv: Path, empty_database: Path
) -> None:
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(LIBRARIES)

    def ended(folder: Path, kill: tuple[int, When] | None) -> int | None:
        revision = utils._get_latest_schema_revision()
        process = processes.Process(target=start, args=(folder, easy_csv, revision, kill))
        process.start()
        process.join()
        return process.exitcode

    codes, number, wrong = list[int | None](), 0, dict[int, list[str]]()
    while KILLED in codes[-1:] or not codes:
        number += 1
        folder = Path(f"{number}").absolute()
        folder.mkdir()
        shutil.copy(empty_database, folder)
        codes.append(ended(folder, (number, when)))
        assert ended(folder, None) == 0, f"the start after a kill {when} write {number} failed"
        if found := faults(folder, easy_csv):
            wrong[number] = found
    assert codes == [*[KILLED] * (number - 1), 0]
    assert number > 20
    assert not wrong
