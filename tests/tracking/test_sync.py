"""Queued writes reach MLflow exactly once, whatever is killed or unreachable meanwhile."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from gru_bench.errors import ExitCode, RunError
from gru_bench.report.__main__ import app as report_app
from gru_bench.tracking import LoggedRun, Store, sync, waiting
from gru_bench.tracking.__main__ import app as sync_app
from gru_bench.tracking.queue import FOLDER, Operation, WriteQueue, abandoned_queues
from gru_bench.tracking.sync import Sync, sync_all
from tests.support.commands import completed, typed
from tests.support.runs import predictions, result
from tests.support.values import present
from tests.support.writes import NOBODY, operations, root


@pytest.fixture(autouse=True)
def _no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(sync, "BACK_OFF_SECONDS", (0.01,))


def points(database: Path, run: LoggedRun) -> int:
    """How many points of a run the database holds, repeats included."""
    with closing(sqlite3.connect(database)) as connection:
        return int(connection.execute("SELECT COUNT(*) FROM metrics WHERE run_uuid = ?", (run.run_id,)).fetchone()[0])


class TestSyncedOnce:
    @pytest.mark.parametrize("step", range(7))
    def test_a_kill_between_applying_and_noting_repeats_nothing(
        self, database: Path, monkeypatch: pytest.MonkeyPatch, step: int
    ) -> None:
        """The sync is cut off at each of its notes in turn, having done in MLflow what it was to note."""
        uri = f"sqlite:///{database}"
        own = WriteQueue.begin(root(), uri)
        for operation in operations():
            own.append(operation)
        seen = 0

        def cut_off(self: WriteQueue, **note: Any) -> None:
            nonlocal seen
            if "attempt" not in note:
                seen += 1
            if seen > step:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            noted(self, **note)

        noted = WriteQueue._note
        with monkeypatch.context() as patch:
            patch.setattr(WriteQueue, "_note", cut_off)
            sync = Sync(uri)
            sync.add(own)
            with pytest.raises(RunError, match=f"free space on the disk for the tracking store '{uri}'"):
                sync.catch_up()
            sync._queues.clear()
            sync.stop(5)
        present(own._lock).release()

        store = Store(uri)
        assert store.catch_up()
        child, parent = store.runs("reviews")
        assert (parent.status, child.status) == ("KILLED", "FINISHED")
        assert child.tags["mlflow.parentRunId"] == parent.run_id
        assert (parent.params, child.complete) == ({"a": "1"}, True)
        assert points(database, child) == 3
        assert repr(store.histories([child.run_id], ["loss/train"])[child.run_id]["loss/train"]) == (
            "[(1, 0.5), (2, nan)]")
        assert store._rows("SELECT COUNT(*) FROM runs, inputs WHERE run_uuid = destination_id") == [(1,)]
        store.close()
        assert waiting(Path.cwd()) == []
        assert abandoned_queues(root()) == []

    def test_what_a_killed_process_left_is_synced_by_the_next_of_any_kind(self, database: Path) -> None:
        code = ("import os\nfrom gru_bench.tracking import Store, sync\n"
                "sync.Sync._apply = lambda *_: (_ for _ in ()).throw(ConnectionError('not now'))\n"
                "store = Store()\nwriter = store.start('reviews', 'r', role='single')\n"
                "writer.metrics({'loss/train': 0.5}, step=1)\nwriter.text('notes.txt', 'a text')\n"
                "writer.kill('for a reason')\nprint(writer.run_id, flush=True)\nos.kill(os.getpid(), 9)\n")
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
        assert abs(done.returncode) == 9, done.stderr
        said: list[str] = []
        with Store(say=said.append) as store:
            (run,) = store.runs("reviews")
        assert said == [f"4 writes of 1 run wait in {FOLDER} for sqlite:///{database}, left by an earlier "
                        "start: they are synced now"]
        assert (run.status, run.reason, run.metrics) == ("KILLED", "for a reason", {"loss/train": 0.5})
        assert run.ids == (run.run_id, done.stdout.strip())
        assert store._artifact(done.stdout.strip(), "notes.txt") == b"a text"
        assert list(root().glob("2*")) == []

    def test_what_a_dead_process_was_at_is_closed_unless_another_has(self, database: Path) -> None:
        own = WriteQueue.begin(root(), f"sqlite:///{database}")
        for operation in operations()[:3]:
            own.append(operation)
        last = operations()[1]
        own.append(Operation("local-3", 4, last.beginning, tags={**last.tags, "mlflow.runName": "ended elsewhere"}))
        sync = Sync(own.uri)
        sync.add(own)
        assert sync.catch_up()
        own.append(Operation("local-3", 5, tags={"gru_bench.reason": "all is well"}, status="FINISHED"))
        present(own._lock).release()
        store = Store()
        assert store.catch_up()
        runs = {run.name: run for run in store.runs("reviews")}
        assert runs.pop("ended elsewhere").reason == "all is well"
        parent = runs.pop("s")
        assert parent.status == "RUNNING"  # it is the study's, which others may go on with
        (run,) = runs.values()
        assert (run.status, run.tags["gru_bench.state"], run.reason) == (
            "KILLED", "killed", "its process ended without a word")

        late = WriteQueue.begin(root(), own.uri)
        late.append(Operation(parent.run_id, 6, tags={"gru_bench.complete": "false"}, status="RUNNING"))
        late.append(Operation(run.run_id, 7, metrics=(("loss/val", 0.5, 1),), tags={"gru_bench.reason": "none"},
                              status="FINISHED"))
        store.writer(parent.run_id).complete()
        assert store.catch_up()
        present(late._lock).release()
        store.adopt()
        assert store.catch_up()
        child, study = (found for found in store.runs("reviews") if found.name in (run.name, "s"))
        assert (study.status, study.complete) == ("FINISHED", True)
        assert (child.status, child.reason, child.metrics["loss/val"]) == (
            "FINISHED", "none", 0.5)
        store.close()

    def test_what_waits_for_another_store_is_synced_there(self, database: Path, empty_database: Path) -> None:
        other = Path(shutil.copy(empty_database, Path.cwd() / "other.db"))
        own = WriteQueue.begin(root(), f"sqlite:///{other}")
        own.append(operations()[0])
        present(own._lock).release()
        with Store() as store:
            assert store.experiments() == []
        assert [run.role for run in Store(f"sqlite:///{other}", create=False).runs("reviews")] == ["study"]

    def test_the_command_is_not_complete_while_a_server_is_away(
        self, database: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        own = WriteQueue.begin(root(), "http://127.0.0.1:9")
        own.append(operations()[0])
        present(own._lock).release()
        assert typed(sync_app) == ExitCode.INCOMPLETE
        assert "start its server and run this again" in capsys.readouterr().err
        assert waiting(Path.cwd()) != []

    def test_the_command_syncs_what_waits(self, database: Path) -> None:
        own = WriteQueue.begin(root(), f"sqlite:///{database}")
        for operation in operations():
            own.append(operation)
        present(own._lock).release()
        done = completed(sync_app)
        assert done.returncode == 0, done.stderr
        assert f"6 writes of 2 runs wait in .gru-bench/queue for sqlite:///{database}, left by" in done.stdout
        assert f"sqlite:///{database} has all writes now" in done.stdout
        assert "no writes wait in this directory" in done.stdout
        assert len(Store(create=False).runs("reviews")) == 2


class TestRefused:
    def test_the_owner_is_told_and_the_rest_is_synced(self, database: Path) -> None:
        store = Store()
        writer = store.start("reviews", "r", role="single")
        writer.params({"a": 1})
        present(store._own).append(Operation(writer._run, 1, params={"a": "2"}))
        present(store._own).append(Operation(writer._run, 2, metrics=(("loss/train", 0.5, 1),)))
        with pytest.raises(RunError, match=r"fails to log_batch: .*Changing param values is not allowed"):
            store.catch_up()
        store.close()
        (run,) = Store(create=False).runs("reviews")
        assert (run.params, run.metrics["loss/train"]) == ({"a": "1"}, 0.5)
        (aside,) = root().glob("*.refused")
        assert '\\"params\\": {\\"a\\": \\"2\\"}' in (aside / "refused.jsonl").read_text(encoding="utf-8")
        assert abandoned_queues(root()) == []
        assert waiting(Path.cwd()) == []

    def test_a_later_start_is_told_and_not_held_up(self, database: Path) -> None:
        own = WriteQueue.begin(root(), f"sqlite:///{database}")
        own.append(Operation("f" * 32, 1, metrics=(("a", 1.0, 1),)))
        own.append(operations()[0])
        present(own._lock).release()
        lines = list(sync_all(Path.cwd()))
        assert lines[:2] == [
            f"2 writes of 2 runs wait in .gru-bench/queue for sqlite:///{database}, left by an earlier start",
            f"sqlite:///{database} has all writes now"]
        assert "refuses a write of an earlier start" in lines[2]
        assert "not found" in lines[2]
        assert len(Store(create=False).runs("reviews")) == 1

    def test_a_deleted_experiment_is_told_at_once(self, database: Path) -> None:
        store = Store()
        store._client.delete_experiment(store.experiment("reviews"))
        with pytest.raises(RunError, match="only to an experiment that exists, but 'reviews' was deleted"):
            store.start("reviews", "r", role="single")
        store.close()


def test_a_store_that_is_there_is_opened_without_mlflow(database: Path) -> None:
    code = "import sys\nfrom gru_bench.tracking import Store\nwith Store(): assert 'mlflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_store_of_another_version_is_told_while_the_run_goes_on(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'older'")
    store = Store()
    store.start("reviews", "r", role="single")
    assert store._sync is not None
    store._sync._thread.join(60)
    with pytest.raises(RunError, match="the tracking store must answer, but"):
        store.check()
    with pytest.raises(RunError, match="the tracking store must answer, but"):
        store.close()


def test_a_run_that_another_process_is_still_syncing_is_waited_for(database: Path) -> None:
    theirs, ours = Store(), Store()
    writer = theirs.start("reviews", "r", role="confirm", study="s")
    writer.metrics({"loss/train": 0.5}, step=1)
    assert theirs.catch_up()
    assert not ours.await_whole("reviews", [writer.run_id], seconds=0.0)
    threading.Timer(0.1, lambda: writer.finish(result(), with_model=False)).start()
    assert ours.await_whole("reviews", [writer.run_id])
    assert len(ours.predictions(writer.run_id, "test")) == 4
    theirs.close()
    ours.close()


class Gate:
    """MLflow's client, behind a wire that can be cut."""

    def __init__(self, client: object) -> None:
        self.client, self.cut = client, False

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            if self.cut:
                raise ConnectionError("the wire is cut")
            return getattr(self.client, name)(*arguments, **named)

        return call


class TestOutage:
    @pytest.fixture
    def said(self) -> list[str]:
        return []

    @pytest.fixture
    def gate(self, database: Path) -> Gate:
        return Gate(Store(create=False)._client)

    @pytest.fixture
    def store(self, database: Path, gate: Gate, said: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
        """A store over that wire, which takes itself for a server's."""
        monkeypatch.setattr("gru_bench.tracking.reader.open_client", lambda *_: gate)
        monkeypatch.setattr("gru_bench.tracking.reader.sqlite_path", lambda _: None)
        monkeypatch.setattr("gru_bench.tracking.sync.sqlite_path", lambda _: None)
        store = Store(f"sqlite:///{database}", say=said.append)
        yield store
        gate.cut = False
        store.close()

    def test_runs_go_on_and_reach_mlflow_when_it_is_back(self, store: Store, gate: Gate, database: Path) -> None:
        parent = store.start("reviews", "s", role="study", study="s")
        first = store.start("reviews", "c0", role="confirm", study="s", parent=parent.run_id)
        assert len(store.runs("reviews")) == 2
        gate.cut = True
        for record in result().epochs:
            first.epoch(record)
        first.finish(result(), with_model=True)
        second = store.start("reviews", "c1", role="confirm", study="s", parent=parent.run_id)
        second.finish(result(), with_model=False)
        assert not store.catch_up()
        assert "the wire is cut" in store.away
        local = second.run_id
        assert local.startswith("local-")
        # What was known is read, and what was logged here.
        assert [run.name for run in store.runs("reviews")] == ["c0", "s"]
        for writer in (first, second):
            assert store.predictions(writer.run_id, "test").example_id_N.tolist() == predictions(
                ).example_id_N.tolist()
        gate.cut = False
        store.require()
        assert store.catch_up()
        assert store.away == ""
        runs = {run.name: run for run in store.runs("reviews")}
        assert [runs[name].complete for name in ("c0", "c1")] == [True, True]
        assert runs["c1"].ids == (second.run_id, local)
        assert {runs[name].tags["mlflow.parentRunId"] for name in ("c0", "c1")} == {parent.run_id}
        for name in runs["c1"].ids:
            assert store.predictions(name, "test").example_id_N.size == 4
        assert points(database, runs["c0"]) == 5 * 2 + points(database, runs["c1"])

    def test_a_run_that_is_left_waits_for_the_next_start(self, store: Store, gate: Gate, said: list[str]) -> None:
        writer = store.start("reviews", "r", role="single")
        gate.cut = True
        writer.kill("interrupted")
        store.close(0.2)
        assert "1 write of 1 run waits in .gru-bench/queue" in said[-1]
        assert "the next start in this directory syncs them" in said[-1]
        gate.cut = False
        with Store(store.uri) as again:
            (run,) = again.runs("reviews")
        assert run.status == "KILLED"

    def test_what_cannot_be_done_without_is_waited_for(self, store: Store, gate: Gate, said: list[str]) -> None:
        store.start("reviews", "r", role="single").kill("why not")
        store.require()
        assert said == []
        gate.cut = True
        threading.Timer(0.1, lambda: setattr(gate, "cut", False)).start()
        assert [run.status for run in store.runs("reviews")] == ["KILLED"]
        assert len(said) <= 1

    def test_the_end_does_not_wait_for_ever(self, store: Store, gate: Gate, said: list[str]) -> None:
        store._patience = 0.1
        gate.cut = True
        store.start("reviews", "r", role="single").kill("why not")
        with pytest.raises(RunError, match="has not answered for 0 seconds: start its server"):
            store.close()
        assert "2 writes of 1 run wait" in said[-1]

    def test_the_end_waits_and_says_so(self, store: Store, gate: Gate, said: list[str]) -> None:
        gate.cut = True
        store.start("reviews", "r", role="single").kill("why not")

        def told(line: str) -> None:
            said.append(line)
            gate.cut = False

        store._say = told
        store.close()
        assert "Ctrl-C leaves them there for the next start" in said[-1]
        assert [run.status for run in store.runs("reviews")] == ["KILLED"]


def test_a_server_that_is_away_at_the_start_is_said_and_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    store = Store(NOBODY, say=said.append)
    writer = store.start("reviews", "r", role="single")
    assert writer.run_id.startswith("local-")
    assert store.experiments() == []
    writer.kill("nobody there")
    store.close(0.1)
    assert said[0] == (
        f"{NOBODY} does not answer (Connection refused): runs are stored in .gru-bench/queue until it does")
    assert said[1].startswith(f"2 writes of 1 run wait in .gru-bench/queue for {NOBODY}")


def test_a_database_server_that_is_away_is_found_out_at_once() -> None:
    pytest.importorskip("psycopg")
    said: list[str] = []
    Store("postgresql://me:secret@127.0.0.1:9/runs", say=said.append).close()
    assert "postgresql://me@127.0.0.1:9/runs does not answer" in said[0]
    with pytest.raises(RunError, match="the tracking store must answer, but 'postgresql://me@127"):
        Store("postgresql://me:secret@127.0.0.1:9/runs", create=False)


def test_a_report_says_what_waits(database: Path) -> None:
    from tests.support.runs import summary

    with Store() as store:
        parent = store.start("reviews", "s", role="study", study="s")
        store.start("reviews", "c", role="confirm", study="s", model="torch", parent=parent.run_id).finish(
            result(), with_model=False)
        parent.text("study.json", summary().to_json())
        parent.complete()
    own = WriteQueue.begin(root(), f"sqlite:///{database}")
    own.append(operations()[0])
    done = completed(report_app)
    assert f"1 write of 1 run waits in .gru-bench/queue for sqlite:///{database}: not in this report" in done.stdout
    own.close()


def test_a_queue_that_is_removed_under_a_command_is_told(database: Path) -> None:
    store = Store(f"sqlite:///{database}")
    store.start("reviews", "s", role="single")
    assert store.catch_up()
    shutil.rmtree(root().parent)
    with pytest.raises(RunError, match=r"the write queue .*queue.* must stay in place .* but it was removed"):
        store.start("reviews", "s", role="single")
    store.close(0.0)
    assert waiting(Path.cwd()) == []


def test_a_full_disk_is_told_without_what_mlflow_logs(database: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Store(f"sqlite:///{database}") as store:
        store.start("reviews", "s", role="single")
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("DROP TABLE metrics")
    with suppress(RunError), Store(f"sqlite:///{database}") as store:
        writer = store.start("reviews", "t", role="single")
        writer.metrics({"loss/train": 1.0})
        store.catch_up()
    printed = capfd.readouterr()
    assert "Traceback" not in printed.out + printed.err
    assert "SQLAlchemy database error" not in printed.out + printed.err
