"""A tracking store is opened or refused in a sentence, and histories are read from a server in bulk."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from gru_bench.errors import RunError, UsageError
from gru_bench.tracking import Store, client
from gru_bench.tracking import reader as reading
from gru_bench.tracking.client import is_away
from tests.support.commands import command
from tests.support.runs import result
from tests.support.servers import MlflowServer


def test_concurrent_first_use_leaves_a_whole_store(tmp_path: Path) -> None:
    code = ("from gru_bench.tracking import Store\n"
            "Store().start('reviews', 'r', role='single').kill('done')\n")
    processes = [subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path) for _ in range(3)]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    assert len(Store(f"sqlite:///{tmp_path / 'mlflow.db'}").runs("reviews")) == 3
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection, connection:
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

    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "runs.db").write_bytes(b"not a database, but long enough to be looked at" * 100)
        with pytest.raises((RunError, UsageError), match=r"runs\.db"):
            Store(f"sqlite:///{tmp_path / 'runs.db'}")

    def test_reading_a_database_of_something_else(self, tmp_path: Path) -> None:
        with closing(sqlite3.connect(tmp_path / "runs.db")) as connection, connection:
            connection.execute("CREATE TABLE runs (name TEXT)")
        with pytest.raises(RunError, match=r"must be an MLflow database, but '.*' cannot be read \(no such"):
            Store(f"sqlite:///{tmp_path / 'runs.db'}", create=False)


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
        with pytest.raises(RunError, match=r"must be an MLflow database, but '.*mlflow\.db' cannot be read \(.*\): "
                                           "restore a copy of it, move it away to begin a new one"):
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


def test_a_database_is_read_where_nothing_can_be_written(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    # SQLite opens no database of this kind without the files beside it, which it cannot make in such a folder.
    connect = sqlite3.connect

    def in_read_only_folder(database: str, **more: Any) -> sqlite3.Connection:
        path = database if "immutable" in database else "file:/no/such?mode=ro"
        connection: sqlite3.Connection = connect(path, **more)
        return connection

    monkeypatch.setattr("gru_bench.tracking.client.sqlite3.connect", in_read_only_folder)
    with pytest.raises(RunError, match="unable to open database file"):
        Store(create=False)
    monkeypatch.setattr("os.access", lambda *_: False)
    assert Store(create=False).experiments() == []
    (tmp_path / "mlflow.db-wal").write_bytes(b"changes")
    with pytest.raises(RunError, match=rf"must be merged with mlflow\.db-wal .*, but .* {tmp_path} is read-only: copy"):
        Store(create=False)


@pytest.mark.service
@pytest.mark.timeout(600)
def test_histories_of_many_runs(tracking_server: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few requests whatever the number of runs; the same points as one request for each run and metric."""
    store = Store(tracking_server.uri)
    writers = [store.start("reviews", f"r{n}", role="single") for n in range(7)]
    for n, writer in enumerate(writers):
        for record in result().epochs:
            writer.epoch(replace(record, train_loss=record.train_loss + n))
        writer.metrics({"loss/train_window": float("nan")}, step=3)
    writers[3].epoch(replace(result().epochs[0], train_loss=0.99))
    ids = [writer.run_id for writer in writers]
    metrics = ["loss/train", "loss/train_window", "absent"]
    with monkeypatch.context() as patch:
        patch.setattr(reading, "bulk_history", lambda *_: None)
        slow = store.histories(ids, metrics)
    asked = []

    def told(uri: str, run_ids: list[str], metric: str) -> list[dict[str, object]] | None:
        asked.append(len(run_ids))
        return client.bulk_history(uri, run_ids, metric)

    monkeypatch.setattr(reading, "bulk_history", told)
    assert repr(store.histories(ids, metrics)) == repr(slow)
    assert asked == [7, 7, 7]
    assert slow[ids[3]]["loss/train"] == [(1, 0.99), (2, 0.5 + 3)]
    assert repr(slow[ids[0]]["loss/train_window"]) == "[(3, nan)]"

    asked.clear()
    monkeypatch.setattr(reading, "BULK_RUNS", 3)
    assert repr(store.histories(ids, metrics)) == repr(slow)
    assert asked == [3, 3, 1] * 3

    monkeypatch.setattr(reading, "BULK_POINTS", 4)
    monkeypatch.setattr(client, "BULK_POINTS", 4)
    assert repr(store.histories(ids, metrics)) == repr(slow)


@pytest.mark.service
def test_a_server_without_the_route(tracking_server: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tracking_server.uri)
    writer = store.start("reviews", "r", role="single")
    writer.metrics({"loss/train": 0.5}, step=1)
    monkeypatch.setattr(client, "BULK_ROUTE", "/ajax-api/2.0/mlflow/metrics/no-such-thing")
    assert client.bulk_history(store.uri, [writer.run_id], "loss/train") is None
    assert store.histories([writer.run_id], ["loss/train"]) == {writer.run_id: {"loss/train": [(1, 0.5)]}}
    with pytest.raises(RunError, match=r"must hold the artifact predictions/test\.parquet"):
        store.predictions(writer.run_id, "test")


@pytest.mark.parametrize("error", [
    requests.exceptions.ChunkedEncodingError("Connection broken: IncompleteRead(10 bytes read, 90 more expected)"),
    requests.ConnectionError("refused"), ConnectionResetError("reset by peer")])
def test_a_server_that_dies_in_the_midst_of_an_answer_is_away(error: Exception) -> None:
    told = RunError("the tracking store must answer requests")
    told.__cause__ = RuntimeError(f"API request failed with exception {error}")
    told.__cause__.__context__ = error  # as MLflow wraps it
    assert is_away(told)
    assert not is_away(RunError("the tracking store will not"))
