"""Runs written to MLflow are read back as they were, and one that broke off is never taken for a whole one."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gru_bench.config import RunConfig, flat
from gru_bench.errors import RunError, UsageError
from gru_bench.results.runs import (
    Baseline,
    DataSummary,
    EpochRecord,
    Predictions,
    RunResult,
    StudySummary,
    TrialSummary,
    WindowLoss,
)
from gru_bench.tracking import Reader, Store
from gru_bench.tracking.queue import FOLDER, Beginning, Operation, WriteQueue, new_run
from gru_bench.tracking.reader import _local_path
from tests.support.commands import command
from tests.support.fake_store import logged


def predictions(count: int = 4) -> Predictions:
    return Predictions(
        example_id_N=np.array([f"id{n}" for n in range(count)]), label_N=np.arange(count, dtype=np.int8) % 2,
        probability_N=np.linspace(0.1, 0.9, count, dtype=np.float32), category_N=np.array(["", "a", "b & c", "é"]),
        tokens_N=np.arange(count, dtype=np.int32), dropped_N=np.ones(count, dtype=np.int32))


def result() -> RunResult:
    return RunResult(
        config=RunConfig(seed=3), backend="fused", device="cpu",
        epochs=(EpochRecord(1, 0.7, 0.6, 0.75, 2.0, 100.0), EpochRecord(2, 0.5, 0.65, 0.5, 2.0, 300.0)),
        window_losses=(WindowLoss(10, 1, 0.5, 0.69), WindowLoss(20, 1, 1.0, 0.66)), best_epoch=1, parameters=12,
        parameter_tensors=2, train_seconds=4.5, peak_memory_bytes=1000,
        predictions={"validation": predictions(), "test": predictions()},
        weights={"linear.weight": np.ones((2, 3), dtype=np.float32)})


def summary() -> StudySummary:
    data = DataSummary("d", "f", 8, 1, 1, 0.5, {"a": 10}, 0, 0, 5, "corpus", 3, 4, 0.1, None, 0.0)
    return StudySummary(
        "s", "why", ("torch",), {"training.lr": {"low": 1e-4, "high": 1e-2, "log": True}}, "tpe", "median", "accuracy",
        2, 3, 0, (10000, 10001), (TrialSummary(0, "torch", "complete", 0.8, 3, {"training.lr": 1e-3}),),
        {"torch": {"training.lr": 1e-3}}, {"torch": 0.8}, {"torch": {}}, "PED-ANOVA", data,
        (Baseline("majority class", None, 0.5, 0.0, 10, 0.1),), 12.0, ("a note",))


@pytest.fixture
def store(tmp_path: Path, empty_database: Path) -> Iterator[Store]:
    shutil.copy(empty_database, tmp_path / "runs.db")
    store = Store(f"sqlite:///{tmp_path / 'runs.db'}")
    yield store
    with suppress(RunError):  # of a test that broke it
        store.close()


def test_a_run_is_read_back_as_it_was_written(store: Store) -> None:
    parent = store.start("reviews", "s", role="study", study="s")
    writer = store.start("reviews", "s: torch", role="confirm", study="s", model="torch", config=RunConfig(seed=3),
                         fingerprint="abc", parent=parent.run_id)
    whole = result()
    for record in whole.epochs:
        writer.epoch(record)
    writer.finish(whole, with_model=True)
    parent.text("study.json", summary().to_json())
    parent.complete()

    (study,) = store.studies("reviews")
    assert study.summary == summary()
    (run,) = study.confirms
    assert (run.role, run.model, run.backend, run.seed, run.status, run.complete) == (
        "confirm", "torch", "fused", 3, "FINISHED", True)
    assert run.params == {key: str(value) for key, value in flat(RunConfig(seed=3)).items()}
    assert run.metrics["time/train_seconds"] == 4.5
    assert run.metrics["time/tokens_per_second"] == 200.0
    assert run.metrics["score/test_accuracy"] == run.metrics["score/val_accuracy"] == 0.5
    assert run.tags["gru_bench.data_fingerprint"] == "abc"
    history = store.histories([run.run_id], ["loss/val", "loss/train_window", "absent"])
    assert history == {run.run_id: {"loss/val": [(1, 0.6), (2, 0.65)], "loss/train_window": [(10, 0.69), (20, 0.66)]}}
    read, wanted = store.predictions(run.run_id, "test"), predictions()
    for name in ("example_id_N", "label_N", "probability_N", "category_N", "tokens_N", "dropped_N"):
        np.testing.assert_array_equal(getattr(read, name), getattr(wanted, name))
        assert getattr(read, name).dtype.kind == getattr(wanted, name).dtype.kind


def test_histories_agree_with_mlflow_itself(store: Store) -> None:
    writer = store.start("reviews", "r", role="single")
    for record in result().epochs:
        writer.epoch(record)
    writer.epoch(replace(result().epochs[0], train_loss=0.99))
    assert store.catch_up()
    ours = store.histories([writer.run_id], ["loss/train"])[writer.run_id]["loss/train"]
    store.database, database = None, store.database
    theirs = store.histories([writer.run_id], ["loss/train"])[writer.run_id]["loss/train"]
    store.database = database
    assert ours == theirs == [(1, 0.99), (2, 0.5)]


def test_a_file_read_at_once_holds_what_mlflow_says(store: Store) -> None:
    parent = store.start("reviews", "s", role="study", study="s")
    for seed in range(3):
        writer = store.start("reviews", f"s: torch {seed}", role="confirm", study="s", model="torch",
                             config=RunConfig(seed=seed), fingerprint="abc", parent=parent.run_id)
        writer.epoch(result().epochs[0])
        writer.finish(result(), with_model=False, texts={"test": ["a", "<b>", "c é", "d"]})
    broken = store.start("reviews", "s: torch trial", role="trial", study="s", model="torch", parent=parent.run_id)
    broken.metrics({"loss/train": float("nan"), "loss/val": float("inf")})
    broken.fail("the loss is not finite")
    gone = store.start("reviews", "gone", role="single")
    assert store.catch_up()
    store._client.delete_run(gone.run_id)
    store._client.create_run(store.experiment("reviews"))  # not one of ours
    store.start("other", "r", role="single").prune("why not")
    parent.text("study.json", summary().to_json())
    parent.complete()
    assert store.catch_up()

    reader = Store(store.uri, create=False)
    slow = Store(store.uri)
    slow.database = None  # the way that works for any store
    assert reader.experiments() == slow.experiments()
    for experiment in ("reviews", "other"):
        ours, theirs = reader.runs(experiment), slow.runs(experiment)
        assert len(ours) == len(theirs) == {"reviews": 5, "other": 1}[experiment]
        for one, two in zip(ours, theirs, strict=True):
            for part in fields(one):
                assert repr(getattr(one, part.name)) == repr(getattr(two, part.name)), part.name
        assert repr(reader.studies(experiment)) == repr(slow.studies(experiment))
    run_id = reader.studies("reviews")[0].confirms[0].run_id
    assert repr(reader.predictions(run_id, "test")) == repr(slow.predictions(run_id, "test"))
    assert reader.texts(run_id, "test") == slow.texts(run_id, "test") == {
        "id0": "a", "id1": "<b>", "id2": "c é", "id3": "d"}
    assert reader.texts(broken.run_id, "test") is None
    with pytest.raises(UsageError, match=r"unknown experiment 'three'\. Did you mean 'other'\? It must be one of o"):
        reader.runs("three")


def test_a_file_is_read_without_mlflow_and_left_as_it_is(store: Store) -> None:
    store.start("reviews", "r", role="single").fail("no reason")
    store.close()
    before = sorted(path.name for path in store.database.parent.iterdir())
    code = ("import sys\nfrom gru_bench.tracking import Store\n"
            f"store = Store({store.uri!r}, create=False)\nassert len(store.runs(store.experiments()[0])) == 1\n"
            "assert 'mlflow' not in sys.modules\n")
    subprocess.run([sys.executable, "-c", code], check=True)
    after = {path.name for path in store.database.parent.iterdir()}
    assert after - set(before) <= {"runs.db-wal", "runs.db-shm"}


@pytest.mark.parametrize(("uri", "folder"), [
    ("file:///some/with%20space/artifacts", "/some/with space/artifacts"), ("/plain/path", "/plain/path"),
    ("file://elsewhere/some", None), ("mlflow-artifacts:/1/2", None), ("s3://bucket/key", None), ("", None)])
def test_where_artifacts_are_opened_directly(uri: str, folder: str | None) -> None:
    assert _local_path(uri) == (None if folder is None else Path(folder))


@pytest.mark.parametrize(("end", "state", "status"), [
    ("prune", "pruned", "FINISHED"), ("fail", "failed", "FAILED"), ("kill", "killed", "KILLED")])
def test_a_run_that_broke_off_is_not_complete(store: Store, end: str, state: str, status: str) -> None:
    writer = store.start("reviews", "r", role="trial", config=RunConfig())
    getattr(writer, end)("the reason")
    (run,) = store.runs("reviews")
    assert (run.complete, run.status, run.reason, run.tags["gru_bench.state"]) == (False, status, "the reason", state)


def test_a_study_under_way_has_no_summary(store: Store) -> None:
    store.start("reviews", "s", role="study", study="s").text("study.json", summary().to_json())
    (study,) = store.studies("reviews")
    assert study.summary is None


def test_the_experiment_written_last_comes_first(store: Store) -> None:
    for name in ("one", "two"):
        store.start(name, "r", role="single")
    assert store.experiments() == ["two", "one"]
    with pytest.raises(UsageError, match="unknown experiment 'three': it must be one of one, two"):
        store.runs("three")


def test_artifacts_stay_where_the_store_is(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = store.start("reviews", "r", role="single", config=RunConfig())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    writer.finish(result(), with_model=True, texts={"test": ["a", "b", "c", "d"]})
    store.catch_up()
    files = {str(path.relative_to(tmp_path / "mlartifacts" / writer.run_id / "artifacts"))
             for path in (tmp_path / "mlartifacts" / writer.run_id).rglob("*") if path.is_file()}
    assert files == {"predictions/test.parquet", "predictions/validation.parquet", "texts/test.parquet",
                     "model/weights.safetensors", "model/config.json"}
    assert not list((tmp_path / "elsewhere").iterdir())


def test_concurrent_first_use_leaves_a_whole_store(tmp_path: Path) -> None:
    code = ("from gru_bench.tracking import Store\n"
            "Store().start('reviews', 'r', role='single').kill('done')\n")
    processes = [subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path) for _ in range(3)]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    assert len(Store(f"sqlite:///{tmp_path / 'mlflow.db'}").runs("reviews")) == 3
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_new_file_is_prepared_when_something_is_written(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path / 'new.db'}") as store:
        assert store.experiments() == []
        with pytest.raises(UsageError, match="unknown experiment 'reviews'"):
            store.runs("reviews")
        assert not (tmp_path / "new.db").exists()
        writer = store.start("reviews", "r", role="single")
        writer.kill("done")
        assert store.experiments() == ["reviews"]
        assert writer.is_made
        assert [run.run_id for run in store.runs("reviews")] == [writer.run_id]


def test_a_file_whose_making_was_broken_off_is_made_anew(tmp_path: Path) -> None:
    code = ("from gru_bench.tracking import Store\n"
            "Store().start('reviews', 'r', role='single').kill('done')\n")
    dies = ("import os, mlflow.store.db.utils as utils\n"
            "utils._upgrade_db = lambda backend: os._exit(9)\n")
    assert command("-c", dies + code, cwd=tmp_path).returncode == 9
    assert not (tmp_path / "mlflow.db").exists()
    done = command("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(Store(f"sqlite:///{tmp_path / 'mlflow.db'}").runs("reviews")) == 2
    assert not (tmp_path / "mlflow.db.new").exists()


class TestWhatGoesWrong:
    def test_a_server_that_does_not_answer(self) -> None:
        with pytest.raises(RunError, match=r"the tracking store must answer, but 'http://127\.0\.0\.1:9' does not"):
            Store("http://127.0.0.1:9", create=False)

    def test_a_uri_of_no_kind(self) -> None:
        with pytest.raises((UsageError, RunError), match=r"'nonsense://x'"):
            Store("nonsense://x")

    def test_a_folder_that_does_not_exist(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="must name a file in a folder that exists"):
            Store(f"sqlite:///{tmp_path}/absent/runs.db")

    def test_reading_before_anything_was_run(self) -> None:
        with pytest.raises(RunError, match=r"there is no such file: run a sweep in this directory first"):
            Store(create=False)
        assert not Path("mlflow.db").exists()

    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "runs.db").write_bytes(b"not a database, but long enough to be looked at" * 100)
        with pytest.raises((RunError, UsageError), match=r"runs\.db"):
            Store(f"sqlite:///{tmp_path / 'runs.db'}")

    def test_reading_a_database_of_something_else(self, tmp_path: Path) -> None:
        with sqlite3.connect(tmp_path / "runs.db") as connection:
            connection.execute("CREATE TABLE runs (name TEXT)")
        with pytest.raises(RunError, match=r"must be a database of MLflow's, but '.*' cannot be read \(no such"):
            Store(f"sqlite:///{tmp_path / 'runs.db'}", create=False)

    def test_a_missing_artifact(self, store: Store) -> None:
        writer = store.start("reviews", "r", role="single")
        with pytest.raises(RunError, match=r"must hold the artifact predictions/test\.parquet"):
            store.predictions(writer.run_id, "test")

    def test_a_store_that_fails_under_way(self, store: Store) -> None:
        writer = store.start("reviews", "r", role="single")
        with sqlite3.connect(store.database) as connection:
            connection.execute("DROP TABLE latest_metrics")
        writer.metrics({"loss/train": 1.0})
        with pytest.raises(RunError, match=r"the tracking store must do what it is asked, but .* fails to log_batch"):
            store.catch_up()
        with pytest.raises(RunError, match="fails to log_batch"):
            writer.metrics({"loss/train": 0.5})

    def test_a_deleted_experiment(self, store: Store) -> None:
        identity = store.experiment("reviews")
        store._client.delete_experiment(identity)
        with pytest.raises(RunError, match="the experiment 'reviews' must not be deleted to log to it"):
            store.experiment("reviews")


@pytest.mark.parametrize("uri", [
    "mlflow.db", "sqlite", "sqlite:x.db", "sqlite://", "sqlite:///", "sqlite+pysqlite:///x.db", "http://", "http://:5000",
    "http://[::1", "https:///x"])
def test_what_is_no_tracking_uri_is_told_before_mlflow_tries_it(uri: str) -> None:
    with pytest.raises(UsageError, match=f"--tracking-uri must be a file such as .*, but got {re.escape(repr(uri))}"):
        Store(uri)


def test_a_folder_is_no_tracking_store(tmp_path: Path) -> None:
    for create in (True, False):
        with pytest.raises(UsageError, match=rf"must name a file, but .* is a folder: try sqlite:///{tmp_path}/mlflow"):
            Store(f"sqlite:///{tmp_path}", create=create)


@pytest.mark.parametrize("content", [b"garbage " * 99, b"SQLite format 3\0" + bytes(4000)])
def test_a_damaged_database_is_told_as_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mlflow.db").write_bytes(content)
    for create in (True, False):
        with pytest.raises(RunError, match=r"must be a database of MLflow's, but '.*mlflow\.db' cannot be read \(.*\): "
                                           "put back a copy of it, move it away to begin a new one"):
            Store(create=create)
    assert (tmp_path / "mlflow.db").read_bytes() == content


def test_what_a_removed_database_has_left_does_not_get_into_a_new_one(tmp_path: Path, empty_database: Path) -> None:
    database, log = tmp_path / "mlflow.db", tmp_path / "mlflow.db-wal"
    shutil.copy(empty_database, database)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE lost (name TEXT)")
        connection.commit()
        left = log.read_bytes()
        database.unlink()
    log.write_bytes(left)
    with Store() as store:
        store.start("reviews", "r", role="single").kill("")
        assert [run.name for run in store.runs("reviews")] == ["r"]
        assert not store._rows("SELECT name FROM sqlite_master WHERE name = 'lost'")
    assert (tmp_path / "mlflow.db.lost-wal").read_bytes() == left


def test_a_database_that_is_removed_while_it_is_read_is_told(tmp_path: Path, empty_database: Path) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    store = Store(create=False)
    (tmp_path / "mlflow.db").unlink()
    with pytest.raises(RunError, match=r"must stay in '.*mlflow\.db' while a command works on it, but the file was "):
        store.runs("reviews")


def test_a_database_is_read_where_nothing_can_be_written(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    # SQLite opens no database of this kind without the files beside it, which it cannot make in such a folder.
    connect = sqlite3.connect

    def in_read_only_folder(database: str, **more: Any) -> sqlite3.Connection:
        return connect(database if "immutable" in database else "file:/no/such?mode=ro", **more)

    monkeypatch.setattr("gru_bench.tracking.client.sqlite3.connect", in_read_only_folder)
    with pytest.raises(RunError, match="unable to open database file"):
        Store(create=False)
    monkeypatch.setattr("os.access", lambda *_: False)
    assert Store(create=False).experiments() == []
    (tmp_path / "mlflow.db-wal").write_bytes(b"changes")
    with pytest.raises(RunError, match=rf"without what mlflow\.db-wal holds, .*, but {tmp_path} is read-only: copy"):
        Store(create=False)


def test_runs_that_wait_are_told_where_their_database_is_not_there_yet(tmp_path: Path) -> None:
    queue = WriteQueue.begin(tmp_path / FOLDER, f"sqlite:///{tmp_path / 'mlflow.db'}")
    queue.append(Operation(new_run(), 1, Beginning("reviews", None)))
    queue.close()
    with pytest.raises(RunError, match=r"^1 write of 1 run waits in \.gru-bench/queue for sqlite:.*mlflow\.db, which "
                                       r"is not there yet: the same .* again writes them, and so does python -m"):
        Store(create=False)


def test_a_link_to_a_run_holds_no_password() -> None:
    link = Reader("https://ada:secret@example.org/mlflow/").run_url(logged("1" * 32))
    assert link == f"https://example.org/mlflow/#/experiments/1/runs/{'1' * 32}"
