"""A tracking store is opened or refused in a sentence, and histories are read from a server."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow.store.tracking import sqlalchemy_store

from gru_bench.errors import RunError, UsageError
from gru_bench.tracking import Reader, Store, open_reader
from gru_bench.tracking.client import open_client, reading, sqlite_path
from tests.support.runs import result
from tests.support.servers import MlflowServer
from tests.support.values import present


@pytest.mark.slow
def test_processes_that_make_the_same_database_at_once_share_it(tmp_path: Path) -> None:
    code = ("from gru_bench.tracking import Store\n"
            "Store().start('reviews', 'r', role='single').kill('done')\n")
    processes = [subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path) for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    assert len(Store(f"sqlite:///{tmp_path / 'mlflow.db'}").runs("reviews")) == 2
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection, connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_database_is_made_only_when_something_is_written(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'new.db'}")
    assert store.experiments() == []
    assert store.runs("reviews") == []
    assert not (tmp_path / "new.db").exists()
    writer = store.start("reviews", "r", role="single")
    writer.kill("done")
    assert store.experiments() == ["reviews"]
    assert [run.run_id for run in store.runs("reviews")] == [writer.run_id]


def test_a_database_whose_making_was_interrupted_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(uri: str, artifacts: str) -> Any:
        del artifacts
        present(sqlite_path(uri)).write_bytes(b"half of a database")
        raise KeyboardInterrupt

    database = tmp_path / "mlflow.db"
    with monkeypatch.context() as patch:
        patch.setattr(sqlalchemy_store, "SqlAlchemyStore", dies)
        with pytest.raises(KeyboardInterrupt):
            open_client(f"sqlite:///{database}", database)
    assert not database.exists()
    assert [found.name for found in open_client(f"sqlite:///{database}", database).search_experiments()] == ["Default"]
    assert not (tmp_path / "mlflow.db.new").exists()


class TestOpening:
    def test_refuses_a_server_that_does_not_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with pytest.raises(RunError, match=r"'http://127\.0\.0\.1:9' does not"):
            open_reader("http://127.0.0.1:9")

    def test_refuses_a_uri_of_an_unknown_kind(self) -> None:
        with pytest.raises((UsageError, RunError), match=r"'nonsense://x'"):
            Store("nonsense://x")

    def test_refuses_a_file_in_a_folder_that_does_not_exist(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=f"tracking_uri.*create {tmp_path}/absent"):
            Store(f"sqlite:///{tmp_path}/absent/runs.db")

    def test_refuses_a_database_of_another_program(self, tmp_path: Path) -> None:
        with closing(sqlite3.connect(tmp_path / "runs.db")) as connection, connection:
            connection.execute("CREATE TABLE runs (name TEXT)")
        with pytest.raises(RunError, match=r"runs\.db' cannot be read .*\(no such"):
            open_reader(f"sqlite:///{tmp_path / 'runs.db'}")

    @pytest.mark.parametrize("opened", [Store, open_reader])
    def test_refuses_a_folder(self, tmp_path: Path, opened: Callable[..., Reader]) -> None:
        with pytest.raises(UsageError, match=rf"tracking_uri.*is a folder: try sqlite:///{tmp_path}/mlflow\.db"):
            opened(f"sqlite:///{tmp_path}")

    @pytest.mark.parametrize("content", [b"garbage " * 99, b"SQLite format 3\0" + bytes(4000)])
    @pytest.mark.parametrize("opened", [Store, open_reader])
    def test_refuses_a_damaged_database_and_leaves_it_as_it_is(
        self, tmp_path: Path, content: bytes, opened: Callable[..., Reader]
    ) -> None:
        (tmp_path / "mlflow.db").write_bytes(content)
        with pytest.raises(RunError, match=r"mlflow\.db' cannot be read .*restore a copy.*tracking_uri"):
            opened()
        assert (tmp_path / "mlflow.db").read_bytes() == content


@pytest.mark.parametrize("uri", [
    "mlflow.db", "sqlite:x.db", "sqlite:///", "sqlite+pysqlite:///x.db", "http://", "http://[::1", "https:///x"])
def test_refuses_a_text_that_is_no_uri_before_mlflow_tries_it(uri: str) -> None:
    with pytest.raises(UsageError, match=f"tracking_uri must be .*, but got {re.escape(repr(uri))}$"):
        Store(uri)


@pytest.mark.parametrize("kind", ["postgresql", "mysql+pymysql", "mssql+pyodbc"])
@pytest.mark.parametrize("opened", [Store, open_reader])
def test_a_database_on_a_server_needs_mlflow_in_front_of_it(kind: str, opened: Callable[..., Reader]) -> None:
    with pytest.raises(UsageError, match=rf"{re.escape(kind)}://me@host/runs': start .*mlflow server") as refused:
        opened(f"{kind}://me:secret@host/runs")
    assert "secret" not in str(refused.value)


def test_the_log_of_a_removed_database_is_not_merged_into_a_new_one(tmp_path: Path, empty_database: Path) -> None:
    database, log = tmp_path / "mlflow.db", tmp_path / "mlflow.db-wal"
    shutil.copy(empty_database, database)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE lost (name TEXT)")
        connection.commit()
        left = log.read_bytes()
        database.unlink()
    log.write_bytes(left)
    store = Store()
    store.start("reviews", "r", role="single").kill("")
    assert [run.name for run in store.runs("reviews")] == ["r"]
    with reading(database) as connection:
        assert not connection.execute("SELECT name FROM sqlite_master WHERE name = 'lost'").fetchall()
    assert (tmp_path / "mlflow.db.lost-wal").read_bytes() == left


def test_reads_a_database_in_a_read_only_folder(
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
        open_reader()
    monkeypatch.setattr("os.access", lambda *_: False)
    assert open_reader().experiments() == []
    (tmp_path / "mlflow.db-wal").write_bytes(b"changes")
    with pytest.raises(RunError, match=rf"mlflow\.db-wal.*{tmp_path} is read-only: make it writable"):
        open_reader()


@pytest.mark.service
def test_a_server_returns_the_points_that_were_logged(tracking_server: MlflowServer) -> None:
    store = Store(tracking_server.uri)
    writers = [store.start("reviews", f"r{n}", role="single") for n in range(3)]
    for n, writer in enumerate(writers):
        for record in result().epochs:
            writer.epoch(replace(record, train_loss=record.train_loss + n))
        writer.metrics({"loss/train_window": float("nan")}, step=3)
    writers[2].epoch(replace(result().epochs[0], train_loss=0.99))
    ids = [writer.run_id for writer in writers]
    metrics = ["loss/train", "loss/train_window", "absent"]
    found = store.histories(ids, metrics)
    assert found[ids[2]]["loss/train"] == [(1, 0.99), (2, 0.5 + 2)]
    assert repr(found[ids[0]]["loss/train_window"]) == "[(3, nan)]"
    with pytest.raises(RunError, match=r"predictions/test\.parquet"):
        store.predictions(ids[0], "test")


def test_a_store_whose_artifacts_are_neither_here_nor_where_they_were_logged_is_not_written(
    tmp_path: Path, empty_database: Path
) -> None:
    database = Path(shutil.copy(empty_database, tmp_path / "mlflow.db"))
    uri = f"sqlite:///{database}"
    run_id = Store(uri).start("reviews", "r", role="single").run_id
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE experiments SET artifact_location = 'file:///gone/mlartifacts' "
                           "WHERE name = 'reviews'")
    with pytest.raises(RunError, match=rf"/gone/mlartifacts is missing.*{re.escape(str(tmp_path / 'mlartifacts'))}"):
        Store(uri).writer(run_id).complete()
    (tmp_path / "mlartifacts").mkdir()
    Store(uri).writer(run_id).complete()
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT artifact_location FROM experiments WHERE name = 'reviews'").fetchall() == [
            ((tmp_path / "mlartifacts").as_uri(),)]
