"""A study as a sweep logs it, and its way through an archive into other stores."""

from __future__ import annotations

import json
import lzma
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from gru_bench.archive.container import MANIFEST, packed
from gru_bench.archive.study import JOURNAL, Transfer, export_study, import_study
from gru_bench.config import RunConfig
from gru_bench.report.render.record import recorded
from gru_bench.results.diagnostics import DIAGNOSTICS, Attribution, Diagnostics, GateMap
from gru_bench.results.runs import EpochRecord
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.study import FORMAT
from gru_bench.tracking import LoggedStudy, Store, open_reader
from tests.support.fake_store import TestSet
from tests.support.reports import build
from tests.support.runs import modeled, result, summary

IDENTITY = {"data": "abc", "objective": "accuracy"}


START = {"owner": "a machine 7 99", "lease": 3, "seconds": 1.5, "models": ["torch"],
         "searching": ["torch"], "ended": False}


RANGE = {"training.lr": optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True),
         "model.pooling": optuna.distributions.CategoricalDistribution(["mean", None])}


ROWS = {"train": 700, "validation": 100, "test": 200}


DIAGNOSED = Diagnostics(
    (), (GateMap("torch", "forward", "run", ("review", "seven"), ((0.5,), (0.2,)), ((0.1,), (1.0,))),),
    (Attribution("torch", "run", ("review", "seven"), (0.3, -0.1), 0.6,
                 "positive", "negative"),),
    "validation")


def fill(directory: Path) -> None:
    """Log a study as a sweep does: a trial of each state, three confirmation runs, and what hangs on them."""
    store = Store(f"sqlite:///{directory / 'mlflow.db'}")
    storage = open_storage(str(directory / "optuna.journal"))
    study, search = (optuna.create_study(study_name=name, storage=storage, direction="maximize")
                     for name in ("quick", "quick/torch"))
    study.set_user_attr("format", FORMAT)
    study.set_user_attr("search torch", {"identity": IDENTITY})
    study.set_user_attr("start 1", START)
    for ended, value in ((optuna.trial.TrialState.COMPLETE, 0.75), (optuna.trial.TrialState.RUNNING, None)):
        study.add_trial(optuna.trial.create_trial(state=ended, value=value, user_attrs={
            "key": f"confirm {ended.name}", "owner": "a machine 7 99"}))
    parent = store.start("easy", "quick", role="study", study="quick", model="torch", fingerprint="abc", rows=ROWS,
                         command="run.py --study quick")
    parent.params({"study": "quick", "confirm": 3})

    def begin(role: str, label: str, seed: int) -> Any:
        return store.start("easy", f"quick: torch {label}", role=role, study="quick", model="torch", fingerprint="abc",
                           rows=ROWS, config=RunConfig(seed=seed), parent=parent.run_id)

    search.enqueue_trial({"training.lr": 1e-3, "model.pooling": None}, user_attrs={"attempt": 2})
    for number, state in enumerate(("COMPLETE", "PRUNED", "FAIL", "RUNNING")):
        trial, writer = search.ask(RANGE), begin("trial", f"trial {number}", 0)
        trial.set_user_attr("run_id", writer.run_id)
        trial.set_user_attr("owner", "a machine 7 99")
        trial.report([0.1 + 0.2, float("nan")][number % 2], 1)
        writer.epoch(EpochRecord(1, 1 / 3, 0.6, 0.7, 2.0, 100.0))
        match state:
            case "COMPLETE":
                search.tell(trial, 0.1 + 0.2)
                writer.finish(result())
            case "PRUNED":
                search.tell(trial, state=optuna.trial.TrialState.PRUNED)
                writer.prune("below the median")
            case "FAIL":
                search.tell(trial, state=optuna.trial.TrialState.FAIL)
                writer.metrics({"loss/train": float("nan")}, step=2)
                writer.fail("the loss is not finite")
    search.enqueue_trial({"training.lr": 2e-3, "model.pooling": "mean"})
    test_set, rng = TestSet.draw(120), np.random.default_rng(3)
    for seed in (10_000, 10_001, 10_002):
        writer = begin("confirm", f"seed {seed}", seed)
        lean_N = 0.3 * rng.normal(size=120)
        writer.epoch(EpochRecord(1, 0.7, 0.6, 0.75, 2.0, 100.0))
        writer.finish(modeled(replace(result(), predictions={"test": test_set.predictions(rng, lean_N, 0.1)})))
        study.set_user_attr(f"seen {seed}", {"run_id": writer.run_id, "others": [writer.run_id, "none"]})
    parent.texts("test", test_set.id_N, [f"review {name}" for name in test_set.id_N])
    parent.text(DIAGNOSTICS, DIAGNOSED.to_json())
    parent.text("study.json", replace(summary(), name="quick").to_json())
    parent.describe("described")
    parent.text("report/report.md", "attached")
    parent.complete()
    store.close()
    shutil.rmtree(directory / ".gru-bench")  # otherwise the next start would close the run under way


def copied(directory: Path, to: Path) -> Path:
    """Copy the stores of a machine to another directory, where they may be changed."""
    shutil.copytree(directory, to, dirs_exist_ok=True)
    with closing(sqlite3.connect(to / "mlflow.db")) as connection, connection:
        for table, column in (("runs", "artifact_uri"), ("experiments", "artifact_location")):
            connection.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)",
                               (directory.as_uri(), to.as_uri()))
    return to


def stores(directory: Path) -> tuple[Store, optuna.storages.BaseStorage]:
    return Store(f"sqlite:///{directory / 'mlflow.db'}"), open_storage(str(directory / "optuna.journal"))


def exported(directory: Path, file: Path, study: str = "quick", *, texts: bool = True) -> Transfer:
    carried = export_study(*stores(directory), study, file, experiment=None, texts=texts)
    with lzma.open(file) as whole, zipfile.ZipFile(whole) as archive:
        archive.extractall(file.with_suffix(".files"))
    return carried


def imported(file: Path, directory: Path, study: str | None = None) -> Transfer:
    with Store(f"sqlite:///{directory / 'mlflow.db'}") as store:
        return import_study(file, store, lambda: open_storage(str(directory / "optuna.journal")), study)


def packed_again(folder: Path, file: Path) -> Path:
    """Pack the files of an archive that were changed."""
    with packed(file, {}) as add:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name != MANIFEST:
                add(path.relative_to(folder).as_posix(), path.read_bytes())
    return file


def runs_in(folder: Path) -> list[Path]:
    """Return the folders of the runs of an archive, that of the study's own run last."""
    return sorted(path for path in folder.iterdir() if path.is_dir())


def only(directory: Path) -> LoggedStudy:
    (study,) = stores(directory)[0].studies("easy")
    return study


def searched(directory: Path, name: str = "quick/torch") -> optuna.Study:
    return optuna.load_study(study_name=name, storage=stores(directory)[1])


def numbers(directory: Path) -> dict[str, Any]:
    """What numbers.json of a report holds, with runs named by their labels."""
    store = open_reader(f"sqlite:///{directory / 'mlflow.db'}")
    study = only(directory)
    label = {run.run_id: run.name for run in (study.run, *study.trials, *study.confirms)}
    found = json.loads(recorded(build([study], store, experiment="easy", tracking_uri="here"), {}))
    assert len(found["numbers"]) > 20
    renamed = json.dumps(found)
    for run_id, name in label.items():
        renamed = renamed.replace(run_id, name)
    told: dict[str, Any] = json.loads(renamed)
    for number in told["numbers"].values():
        number["runs"].sort()  # by their labels: an order by ids means nothing here
    return told


def changed(far: Path, directory: Path, change: Callable[[Any], object], run: int | None = None) -> Path:
    """Return an archive in which the record of a run, or the list of entries of the journal, is another."""
    folder = directory / "changed"
    shutil.copytree(far / "quick.files", folder)
    if run is None:
        path = folder / JOURNAL
        entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        change(entries)
        path.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries), encoding="utf-8")
    else:
        path = runs_in(folder)[run] / "run.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        change(content)
        path.write_text(json.dumps(content), encoding="utf-8")
    return packed_again(folder, directory / "changed.zip")
