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
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

from gru_bench.errors import IN_PYTHON, ExitCode, RunError
from gru_bench.report.__main__ import app as report_app
from gru_bench.tracking import LoggedRun, Store, sync, waiting
from gru_bench.tracking.__main__ import app as sync_app
from gru_bench.tracking.queue import DIED, FOLDER, Operation, WriteQueue, abandoned_queues
from gru_bench.tracking.sync import Sync, sync_all
from tests.support.commands import completed, mentions
from tests.support.runs import modeled, predictions, result, summary
from tests.support.undrawn import draw_nothing
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
    def test_a_kill_between_a_write_and_its_record_repeats_nothing(
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
            in_python = copy_context()
            in_python.run(IN_PYTHON.set, True)
            sync = in_python.run(Sync, uri)  # its thread speaks as the one who starts it
            sync.add(own)
            with pytest.raises(RunError, match=f"free space on the disk for the tracking store '{uri}'.*the same call"):
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

    def test_the_next_start_sends_the_queue_of_a_killed_process(self, database: Path) -> None:
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
        (line,) = said
        mentions(line, "4 writes of 1 run", str(FOLDER), f"sqlite:///{database}")
        assert (run.status, run.reason, run.metrics) == ("KILLED", "for a reason", {"loss/train": 0.5})
        assert run.ids == (run.run_id, done.stdout.strip())
        assert store._artifact(done.stdout.strip(), "notes.txt") == b"a text"
        assert list(root().glob("2*")) == []

    def test_a_run_of_a_dead_process_is_closed_unless_another_process_ended_it(self, database: Path) -> None:
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
        assert (run.status, run.tags["gru_bench.state"], run.reason) == ("KILLED", "killed", DIED)

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

    def test_writes_for_another_store_are_sent_there(self, database: Path, empty_database: Path) -> None:
        other = Path(shutil.copy(empty_database, Path.cwd() / "other.db"))
        own = WriteQueue.begin(root(), f"sqlite:///{other}")
        own.append(operations()[0])
        present(own._lock).release()
        with Store() as store:
            assert store.experiments() == []
        assert [run.role for run in Store(f"sqlite:///{other}", create=False).runs("reviews")] == ["study"]

    def test_the_command_exits_incomplete_while_a_server_is_away(
        self, database: Path
    ) -> None:
        own = WriteQueue.begin(root(), "http://127.0.0.1:9")
        own.append(operations()[0])
        present(own._lock).release()
        done = completed(sync_app)
        assert done.returncode == ExitCode.INCOMPLETE
        mentions(done.stderr, "start the server")
        assert waiting(Path.cwd()) != []

    def test_the_command_sends_what_waits(self, database: Path) -> None:
        own = WriteQueue.begin(root(), f"sqlite:///{database}")
        for operation in operations():
            own.append(operation)
        present(own._lock).release()
        done = completed(sync_app)
        assert done.returncode == 0, done.stderr
        mentions(done.stdout, "6 writes of 2 runs", f"sqlite:///{database} has all writes", "no writes wait")
        assert len(Store(create=False).runs("reviews")) == 2


class TestRefused:
    def test_the_owner_of_a_refused_write_is_told_and_the_rest_is_sent(self, database: Path) -> None:
        store = Store()
        writer = store.start("reviews", "r", role="single")
        writer.params({"a": 1})
        present(store._own).append(Operation(writer._run, 1, params={"a": "2"}))
        present(store._own).append(Operation(writer._run, 2, metrics=(("loss/train", 0.5, 1),)))
        with pytest.raises(RunError, match=r"log_batch: .*Changing param values"):
            store.catch_up()
        store.close()
        (run,) = Store(create=False).runs("reviews")
        assert (run.params, run.metrics["loss/train"]) == ({"a": "1"}, 0.5)
        (aside,) = root().glob("*.refused")
        assert '\\"params\\": {\\"a\\": \\"2\\"}' in (aside / "refused.jsonl").read_text(encoding="utf-8")
        assert abandoned_queues(root()) == []
        assert waiting(Path.cwd()) == []

    def test_a_later_start_is_told_of_a_refused_write_and_sends_the_rest(self, database: Path) -> None:
        own = WriteQueue.begin(root(), f"sqlite:///{database}")
        own.append(Operation("f" * 32, 1, metrics=(("a", 1.0, 1),)))
        own.append(operations()[0])
        present(own._lock).release()
        lines = list(sync_all(Path.cwd()))
        for line, *parts in zip(lines, ("2 writes of 2 runs", "has all writes", "refuses a write"), strict=True):
            mentions(line, f"sqlite:///{database}", *parts)
        assert "not found" in lines[2]
        assert len(Store(create=False).runs("reviews")) == 1

    def test_a_deleted_experiment_is_refused_at_the_start_of_a_run(self, database: Path) -> None:
        store = Store()
        store._client.delete_experiment(store.experiment("reviews"))
        with pytest.raises(RunError, match=r"'reviews' was deleted: .*mlflow experiments restore"):
            store.start("reviews", "r", role="single")
        store.close()


def test_a_database_of_another_version_of_mlflow_is_refused_while_a_run_is_logged(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'older'")
    store = Store()
    store.start("reviews", "r", role="single")
    assert store._sync is not None
    store._sync._thread.join(60)
    for call in (store.check, store.close):
        with pytest.raises(RunError, match="tracking store must answer"):
            call()


def test_waits_for_a_run_that_another_process_still_sends(database: Path) -> None:
    theirs, ours = Store(), Store()
    writer = theirs.start("reviews", "r", role="confirm", study="s")
    writer.metrics({"loss/train": 0.5}, step=1)
    assert theirs.catch_up()
    assert not ours.await_whole("reviews", [writer.run_id], seconds=0.0)
    threading.Timer(0.1, lambda: writer.finish(result())).start()
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

    def test_runs_continue_and_reach_mlflow_when_it_answers_again(
        self, store: Store, gate: Gate, database: Path
    ) -> None:
        parent = store.start("reviews", "s", role="study", study="s")
        first = store.start("reviews", "c0", role="confirm", study="s", parent=parent.run_id)
        assert len(store.runs("reviews")) == 2
        gate.cut = True
        for record in result().epochs:
            first.epoch(record)
        first.finish(modeled(result()))
        second = store.start("reviews", "c1", role="confirm", study="s", parent=parent.run_id)
        second.finish(result())
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

    def test_the_next_start_sends_what_a_closed_store_left(self, store: Store, gate: Gate, said: list[str]) -> None:
        writer = store.start("reviews", "r", role="single")
        gate.cut = True
        writer.kill("interrupted")
        store.close(0.2)
        mentions(said[-1], "1 write of 1 run", ".gru-bench/queue", "next start")
        gate.cut = False
        with Store(store.uri) as again:
            (run,) = again.runs("reviews")
        assert run.status == "KILLED"

    def test_reading_waits_for_the_store_to_answer(self, store: Store, gate: Gate, said: list[str]) -> None:
        store.start("reviews", "r", role="single").kill("why not")
        store.require()
        assert said == []
        gate.cut = True
        threading.Timer(0.1, lambda: setattr(gate, "cut", False)).start()
        assert [run.status for run in store.runs("reviews")] == ["KILLED"]
        assert len(said) <= 1

    def test_closing_gives_up_after_a_while(self, store: Store, gate: Gate, said: list[str]) -> None:
        store._patience = 0.1
        gate.cut = True
        store.start("reviews", "r", role="single").kill("why not")
        with pytest.raises(RunError, match="0 seconds: start its server"):
            store.close()
        mentions(said[-1], "2 writes of 1 run")

    def test_closing_waits_and_says_that_ctrl_c_ends_the_wait(self, store: Store, gate: Gate, said: list[str]) -> None:
        gate.cut = True
        store.start("reviews", "r", role="single").kill("why not")

        def told(line: str) -> None:
            said.append(line)
            gate.cut = False

        store._say = told
        store.close()
        mentions(said[-1], "Ctrl-C")
        assert [run.status for run in store.runs("reviews")] == ["KILLED"]


def test_a_server_that_is_away_at_the_start_is_named_and_runs_are_queued() -> None:
    said: list[str] = []
    store = Store(NOBODY, say=said.append)
    writer = store.start("reviews", "r", role="single")
    assert writer.run_id.startswith("local-")
    assert store.experiments() == []
    writer.kill("nobody there")
    store.close(0.1)
    mentions(said[0], NOBODY, "Connection refused", ".gru-bench/queue")
    mentions(said[1], NOBODY, "2 writes of 1 run")


def test_a_database_server_that_is_away_is_named_without_its_password() -> None:
    pytest.importorskip("psycopg")
    said: list[str] = []
    Store("postgresql://me:secret@127.0.0.1:9/runs", say=said.append).close()
    mentions(said[0], "postgresql://me@127.0.0.1:9/runs does not answer")
    with pytest.raises(RunError, match="'postgresql://me@127"):
        Store("postgresql://me:secret@127.0.0.1:9/runs", create=False)


def test_a_report_counts_the_writes_that_wait_and_names_a_run_that_it_leaves_out(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_nothing(monkeypatch)
    with Store() as store:
        parent = store.start("reviews", "s", role="study", study="s")
        store.start("reviews", "c", role="confirm", study="s", model="torch", parent=parent.run_id).finish(
            result())
        parent.text("study.json", summary().to_json())
        parent.complete()
        odd = store.start("reviews", "odd", role="single")
        assert store.catch_up()
        store._client.set_tag(odd.run_id, "gru_bench.seed", "zzz")
    own = WriteQueue.begin(root(), f"sqlite:///{database}")
    own.append(operations()[0])
    done = completed(report_app)
    mentions(done.stdout, f"1 write of 1 run waits in .gru-bench/queue for sqlite:///{database}",
             f"{odd.run_id} is left out")
    own.close()


def test_a_queue_that_is_removed_during_a_command_is_named(database: Path) -> None:
    store = Store(f"sqlite:///{database}")
    store.start("reviews", "s", role="single")
    assert store.catch_up()
    shutil.rmtree(root().parent)
    with pytest.raises(RunError, match=r"write queue .*removed"):
        store.start("reviews", "s", role="single")
    store.close(0.0)
    assert waiting(Path.cwd()) == []


def test_a_broken_database_prints_nothing_of_what_mlflow_logs(
    database: Path, capfd: pytest.CaptureFixture[str]
) -> None:
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
