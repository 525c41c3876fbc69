"""Records reach MLflow exactly once, whatever is killed or unreachable meanwhile."""

from __future__ import annotations

import errno
import io
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, TEMPORARILY_UNAVAILABLE

from gru_bench.errors import ExitCode, RunError
from gru_bench.report.__main__ import app as report_app
from gru_bench.tracking import DIED, LoggedRun, Reader, Store, open_reader, refused, upload, waiting
from gru_bench.tracking.__main__ import app as sync_app
from gru_bench.tracking.file import FileSource
from gru_bench.tracking.outbox import FOLDER, RUN, Outbox, RecordState, abandoned
from gru_bench.tracking.record import Point, RunRecord, now
from gru_bench.tracking.upload import Uploader, upload_all
from tests.support.commands import completed, mentions
from tests.support.mlflow_stores import client_of
from tests.support.runs import modeled, predictions, result, summary
from tests.support.servers import Gate
from tests.support.undrawn import draw_nothing
from tests.support.values import present
from tests.support.writes import NOBODY, STUDY, TRIAL, left, records, release, root


@pytest.fixture(autouse=True)
def _no_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(upload, "BACK_OFF_SECONDS", (0.01,))


def count(database: Path, rows: str, *values: str) -> int:
    """How many rows the database has."""
    with closing(sqlite3.connect(database)) as connection:
        return int(connection.execute(f"SELECT COUNT(*) FROM {rows}", values).fetchone()[0])


def points(database: Path, run: LoggedRun) -> int:
    """How many points of a run the database holds, repeats included."""
    return count(database, "metrics WHERE run_uuid = ?", run.mlflow_id)


class TestUploadedOnce:
    @pytest.mark.parametrize("call", range(1, 9))
    def test_a_kill_after_a_call_repeats_nothing(
        self, database: Path, monkeypatch: pytest.MonkeyPatch, call: int
    ) -> None:
        """The upload is cut off after each of its calls that change something in turn."""
        uri = f"sqlite:///{database}"
        own = Outbox.begin(root(), uri)
        for record in records():
            own.put(record)
        seen = 0

        def cut_off(called: Callable[..., Any]) -> Callable[..., Any]:
            def then(*arguments: Any, **named: Any) -> Any:
                nonlocal seen
                found = called(*arguments, **named)
                seen += 1
                if seen >= call:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return found

            return then

        with monkeypatch.context() as patch:
            for name in ("create_run", "log_batch", "log_inputs", "set_terminated"):
                patch.setattr(MlflowClient, name, cut_off(getattr(MlflowClient, name)))
            uploader = Uploader(Reader(uri))
            uploader.add(own)
            if call <= 7:
                with pytest.raises(RunError, match=f"no space left on the disk .*'{uri}'.*run this again"):
                    uploader.catch_up()
            else:
                assert uploader.catch_up()
            uploader.outboxes.clear()
            uploader.stop(5)
        release(own)

        store = Store(uri)
        assert store.catch_up()
        child, parent = store.runs("reviews")
        assert (parent.run_id, parent.status, child.run_id, child.status) == (STUDY, "KILLED", TRIAL, "FINISHED")
        assert child.tags["mlflow.parentRunId"] == parent.mlflow_id
        assert (parent.params, child.complete, child.parent_id) == ({"a": "1"}, True, STUDY)
        assert points(database, child) == 3
        assert repr(store.histories([TRIAL], ["loss/train"])[TRIAL]["loss/train"]) == "[(1, 0.5), (2, nan)]"
        assert count(database, "runs, inputs WHERE run_uuid = destination_id") == 1
        store.close()
        assert waiting(Path.cwd()) == []
        assert abandoned(root()) == []

    @pytest.mark.parametrize(("lost", "asked"), [(0, 0), (1, 1), (2, 2)])
    def test_a_new_run_is_looked_for_only_after_a_first_attempt(
        self, database: Path, monkeypatch: pytest.MonkeyPatch, lost: int, asked: int
    ) -> None:
        """The answers to some requests are lost, which then have created the run or not."""
        find, create_run, left, found = FileSource.find, MlflowClient.create_run, lost, list[str]()

        def counted(source: FileSource, run_id: str) -> Any:
            found.append(run_id)
            return find(source, run_id)

        def created(client: MlflowClient, *arguments: Any, **options: Any) -> Any:
            nonlocal left
            if "gru_bench.parent" in options["tags"] and left:
                left -= 1
                if left == 0:  # its answer alone is lost
                    create_run(client, *arguments, **options)
                raise ConnectionResetError("reset by peer")
            return create_run(client, *arguments, **options)

        monkeypatch.setattr(FileSource, "find", counted)
        monkeypatch.setattr(MlflowClient, "create_run", created)
        with Store(f"sqlite:///{database}") as store:
            parent = store.start("reviews", "s", role="study", study="s", run_id=STUDY)
            store.start("reviews", "t", role="trial", study="s", parent=parent.run_id, run_id=TRIAL).prune("slow")
            while not store.catch_up():
                time.sleep(0.01)
            assert found.count(TRIAL) == asked
            assert [run.run_id for run in store.runs("reviews")] == [TRIAL, STUDY]

    def test_the_experiment_of_a_study_is_asked_for_once(self, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []
        get_run = MlflowClient.get_run

        def counted(client: MlflowClient, run_id: str) -> Any:
            asked.append(run_id)
            return get_run(client, run_id)

        monkeypatch.setattr(MlflowClient, "get_run", counted)
        with Store(f"sqlite:///{database}") as store:
            first, *_ = records()
            store.put(first)
            for digit in "abc":
                store.put(replace(records()[1], run_id=digit * 32))
            assert store.catch_up()
            assert asked.count(store.mlflow_id(STUDY)) == 1
            assert len({run.experiment_id for run in store.runs("reviews")}) == 1

    def test_the_next_start_uploads_what_a_killed_process_has_left(self, database: Path) -> None:
        code = ("import os\nfrom gru_bench.tracking import Store, upload\n"
                "upload.Sender.send = lambda *_: (_ for _ in ()).throw(ConnectionError('not now'))\n"
                "store = Store()\nwriter = store.start('reviews', 'r', role='single')\n"
                "writer.metrics({'loss/train': 0.5}, step=1)\nwriter.text('notes.txt', 'a text')\n"
                "writer.kill('for a reason')\nstore.start('reviews', 'open', role='single')\n"
                "print(writer.run_id, flush=True)\nos.kill(os.getpid(), 9)\n")
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
        assert abs(done.returncode) == 9, done.stderr
        said: list[str] = []
        with Store(say=said.append) as store:
            runs = {run.name: run for run in store.runs("reviews")}
        (line,) = said
        mentions(line, "2 runs wait", str(FOLDER), f"sqlite:///{database}")
        run = runs["r"]
        assert (run.status, run.reason, run.metrics) == ("KILLED", "for a reason", {"loss/train": 0.5})
        assert (run.run_id, runs["open"].status, runs["open"].reason) == (done.stdout.strip(), "KILLED", DIED)
        assert store.text(run.run_id, "notes.txt") == "a text"
        assert list(root().glob("2*")) == []

    def test_the_held_record_of_a_dead_process_waits_for_its_study(self, database: Path) -> None:
        own = Outbox.begin(root(), f"sqlite:///{database}")
        own.put(records()[0])
        own.put(records()[1], state="held")
        release(own)
        said: list[str] = []
        with Store(say=said.append) as other:
            other.adopt("another study")
            assert other.experiments() == []
        done = completed(sync_app)
        assert done.returncode == ExitCode.INCOMPLETE
        mentions(done.stderr, "1 run waits", "start their sweep again")
        for answer, status in (({}, None), ({TRIAL: False}, "KILLED")):
            with Store() as store:
                store.adopt("s")
                store.settle(answer.get, "why")
                found = {run.run_id: run for run in store.runs("reviews")}
            assert (found[TRIAL].status if TRIAL in found else None) == status
        assert (found[TRIAL].complete, found[TRIAL].reason) == (False, "why")
        assert waiting(Path.cwd()) == []

    def test_a_late_record_does_not_open_a_run_again_that_another_process_has_ended_since(
        self, database: Path
    ) -> None:
        with Store() as store:
            store.put(records()[0])
            store.writer(STUDY).complete()
        for written, status in ((1, "FINISHED"), (now() + 1000, "RUNNING")):
            left(f"sqlite:///{database}", RunRecord(
                STUDY, written, tags={"gru_bench.complete": "false"}, params={status: "1"}, status="RUNNING"))
            list(upload_all(Path.cwd()))
            (run,) = open_reader().runs("reviews")
            assert (run.status, run.complete, run.params[status]) == (status, status == "FINISHED", "1")

    def test_a_run_that_two_processes_upload_at_once_is_created_once(
        self, database: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        create = MlflowClient.create_run

        def slowly(*arguments: Any, **named: Any) -> Any:
            time.sleep(0.3)
            return create(*arguments, **named)

        monkeypatch.setattr(MlflowClient, "create_run", slowly)
        left(f"sqlite:///{database}", records()[0])
        with Store() as store:
            store.put(records()[0])
        assert count(database, "runs") == 1

    @pytest.mark.parametrize("state", ["open", "held"])
    def test_a_damaged_record_of_a_dead_process_is_set_aside_and_the_others_are_uploaded(
        self, database: Path, state: RecordState
    ) -> None:
        own = Outbox.begin(root(), f"sqlite:///{database}")
        own.put(records()[0])
        damaged = own.put(records()[1], state=state)
        (damaged.folder / RUN).write_text("{", encoding="utf-8")
        release(own)
        remarks = list(upload_all(Path.cwd()))
        mentions(remarks[-1], "rejected a record")
        assert [run.run_id for run in open_reader().runs("reviews")] == [STUDY]
        assert waiting(Path.cwd()) == []

    @pytest.mark.parametrize("name", ["owner.json", "lock"])
    def test_a_failing_file_system_loses_no_record(
        self, database: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        own = left(f"sqlite:///{database}")

        def stale(path: Any, *arguments: Any, **named: Any) -> Any:
            if str(path).endswith(name) and str(path).startswith(str(own.folder)):
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
            return opened(path, *arguments, **named)

        target, opened = ("io.open", io.open) if name == "owner.json" else ("os.open", os.open)
        with monkeypatch.context() as patch:
            patch.setattr(target, stale)
            assert abandoned(root()) == []
        assert len(own.entries("waiting")) == 3

    def test_records_for_another_store_are_uploaded_there(self, database: Path, empty_database: Path) -> None:
        other = Path(shutil.copy(empty_database, Path.cwd() / "other.db"))
        left(f"sqlite:///{other}", records()[0])
        with Store() as store:
            assert store.experiments() == []
        assert [one.uri for one in waiting(Path.cwd())] == [f"sqlite:///{other}"]
        assert completed(sync_app).returncode == 0
        assert [run.role for run in open_reader(f"sqlite:///{other}").runs("reviews")] == ["study"]

    def test_the_command_exits_incomplete_while_a_server_is_away(
        self, database: Path
    ) -> None:
        left("http://127.0.0.1:9")
        done = completed(sync_app)
        assert done.returncode == ExitCode.INCOMPLETE
        mentions(done.stderr, "start the server")
        assert waiting(Path.cwd()) != []

    def test_a_database_that_has_become_a_folder_keeps_no_other_runs_waiting(self, database: Path) -> None:
        Path("folder.db").mkdir()
        left(f"sqlite:///{Path('folder.db').resolve()}", records()[0])
        left(f"sqlite:///{database}")
        mentions(" ".join(upload_all(Path.cwd())), "folder.db", "now has all runs")
        assert len(open_reader().runs("reviews")) == 2
        assert len(waiting(Path.cwd())) == 1

    def test_the_command_uploads_what_waits(self, database: Path) -> None:
        left(f"sqlite:///{database}")
        done = completed(sync_app)
        assert done.returncode == 0, done.stderr
        mentions(done.stdout, "2 runs wait", f"sqlite:///{database} now has all runs", "no waiting runs")
        assert len(open_reader().runs("reviews")) == 2


class TestRefused:
    def test_the_owner_of_a_refused_record_is_told_and_the_rest_is_uploaded(self, database: Path) -> None:
        store = Store()
        writer = store.start("reviews", "r", role="single")
        writer.params({"a": 1})
        writer.kill("done")
        store.put(RunRecord(writer.run_id, 1, params={"a": "2"}))
        with pytest.raises(RunError, match=r"log_batch: .*Changing param values"):
            store.catch_up()
        store.put(RunRecord(writer.run_id, 2, points=(Point("loss/train", 0.5, 1, 2),)))
        store.close()
        (run,) = open_reader().runs("reviews")
        assert (run.params, run.metrics["loss/train"]) == ({"a": "1"}, 0.5)
        (refused,) = root().glob("*.refused")
        assert "Changing param values" in (refused / "refused.txt").read_text(encoding="utf-8")
        assert abandoned(root()) == []
        assert waiting(Path.cwd()) == []

    def test_a_later_start_is_told_of_a_refused_record_and_uploads_the_rest(self, database: Path) -> None:
        left(f"sqlite:///{database}", RunRecord("f" * 32, 1, points=(Point("a", 1.0, 1, 1),)), records()[0])
        lines = list(upload_all(Path.cwd()))
        for line, part in zip(lines, ("2 runs wait", "rejected a record"), strict=True):
            mentions(line, f"sqlite:///{database}", part)
        assert "f" * 32 in lines[1]
        assert len(open_reader().runs("reviews")) == 1

    def test_a_record_whose_cause_is_gone_is_uploaded_by_the_command(self, database: Path) -> None:
        with Store() as store:
            store.start("reviews", "r", role="single").kill("done")
            experiment = store.runs("reviews")[0].experiment_id
            client_of(store).delete_experiment(experiment)
        left(f"sqlite:///{database}")
        done = completed(sync_app)
        assert done.returncode == ExitCode.INCOMPLETE
        mentions(done.stderr, "'reviews' was deleted", "gru-bench sync")
        (first, *rest) = refused(Path.cwd(), f"sqlite:///{database}")
        assert (first.entry.run_id, first.study, len(rest)) == (STUDY, "s", 2)
        assert refused(Path.cwd(), NOBODY) == []
        client_of(store).restore_experiment(experiment)
        assert completed(sync_app).returncode == 0
        assert refused(Path.cwd()) == []
        assert {run.run_id: run.status for run in open_reader().runs("reviews")}.items() >= {
            STUDY: "KILLED", TRIAL: "FINISHED"}.items()

    @pytest.mark.parametrize(("text", "cause"), [
        ("database is locked", sqlite3.OperationalError("database is locked")),
        ("API request failed with timeout", requests.ReadTimeout("read timed out"))])
    def test_a_store_that_answers_again_at_the_moment_when_it_is_asked_refuses_nothing(
        self, database: Path, monkeypatch: pytest.MonkeyPatch, text: str, cause: Exception
    ) -> None:
        """Another process locks the file, or the server is slow, until the store is asked whether it answers."""
        log_batch, calls = MlflowClient.log_batch, 0
        most = 2 * upload.MOST_ATTEMPTS

        def locked(*arguments: Any, **named: Any) -> None:
            nonlocal calls
            calls += 1
            if calls < most:
                raise MlflowException(text, TEMPORARILY_UNAVAILABLE) from cause
            log_batch(*arguments, **named)

        monkeypatch.setattr(MlflowClient, "log_batch", locked)
        left(f"sqlite:///{database}")
        with Store() as store:
            while not store.is_caught_up:
                time.sleep(0.01)
        assert refused(Path.cwd()) == []
        assert [run.run_id for run in open_reader().runs("reviews")] == [TRIAL, STUDY]

    def test_no_run_is_logged_to_a_deleted_experiment(self, database: Path) -> None:
        with Store() as store:
            store.start("reviews", "r", role="single").kill("done")
            client_of(store).delete_experiment(store.runs("reviews")[0].experiment_id)
        store = Store()
        store.put(records()[0])
        with pytest.raises(RunError, match=r"'reviews' was deleted: .*mlflow experiments restore"):
            store.catch_up()
        store.close()

    def test_a_data_set_that_two_processes_log_at_the_same_moment_is_logged_again(
        self, database: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log_inputs, failures = MlflowClient.log_inputs, [1]

        def racing(*arguments: Any, **named: Any) -> None:
            if failures and failures.pop():
                raise MlflowException("(sqlite3.IntegrityError) UNIQUE constraint failed: datasets.name", BAD_REQUEST)
            log_inputs(*arguments, **named)

        monkeypatch.setattr(MlflowClient, "log_inputs", racing)
        left(f"sqlite:///{database}")
        with Store() as store:
            assert len(store.runs("reviews")) == 2
        assert count(database, "inputs") == 1
        assert list(root().glob("*.refused")) == []

    @pytest.mark.parametrize("read", [
        lambda store: None, lambda store: store.text("other", "note.txt"), lambda store: store.texts("other", "test"),
        lambda store: store.is_deleted("other")])
    def test_a_run_that_was_deleted_in_mlflow_is_not_created_again(
        self, read: Callable[[Store], object], database: Path
    ) -> None:
        """Reads of a run leave the error to what waits for the upload."""
        with Store() as store:
            store.start("reviews", "r", role="single").kill("done")
            (run,) = store.runs("reviews")
            client_of(store).delete_run(run.mlflow_id)
            assert store.is_deleted(run.run_id)
        with Store() as store:
            store.writer(run.run_id).tags({"a": "b"})
            while present(store._uploader)._failure is None:
                time.sleep(0.01)
            read(store)
            with pytest.raises(RunError, match="was deleted in MLflow"):
                store.catch_up()


def test_a_database_of_another_version_of_mlflow_is_refused_while_a_run_is_logged(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'older'")
    store = Store()
    store.start("reviews", "r", role="single")
    with suppress(RunError):
        while True:
            store.check()
            time.sleep(0.01)
    for call in (store.check, store.close):
        with pytest.raises(RunError, match="tracking store"):
            call()


def test_a_run_is_shown_while_it_is_under_way_and_its_end_only_once_it_is_released(database: Path) -> None:
    with Store() as store:
        writer = store.start("reviews", "r", role="trial", study="s")
        writer.epoch(result().epochs[0])
        (run,) = store.runs("reviews")
        assert (run.status, run.metrics["loss/train"]) == ("RUNNING", 0.7)
        writer.finish(result(), held=True)
        (run,) = store.runs("reviews")
        assert (run.status, run.complete) == ("RUNNING", False)
        assert len(store.predictions(run.run_id, "test")) == 4
        writer.release()
        (run,) = store.runs("reviews")
        assert (run.status, run.complete) == ("FINISHED", True)


class TestOutage:
    @pytest.fixture
    def said(self) -> list[str]:
        return []

    @pytest.fixture
    def gate(self, database: Path) -> Gate:
        return Gate(client_of(open_reader()))

    @pytest.fixture
    def patience(self) -> float | None:
        """Seconds to wait at the end for a server that is away."""
        return None

    @pytest.fixture
    def store(
        self, database: Path, gate: Gate, said: list[str], patience: float | None, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Store]:
        """A store over that wire, which takes itself for a server's."""
        monkeypatch.setattr("gru_bench.tracking.reader.open_client", lambda *_: gate)
        monkeypatch.setattr("gru_bench.tracking.reader.sqlite_path", lambda _: None)
        store = Store(f"sqlite:///{database}", say=said.append, patience=patience)
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
        assert runs["c1"].run_id == second.run_id
        assert {runs[name].parent_id for name in ("c0", "c1")} == {parent.run_id}
        assert store.predictions(second.run_id, "test").example_id_N.size == 4
        assert points(database, runs["c0"]) == 5 * 2 + points(database, runs["c1"])

    def test_the_next_start_sends_what_a_closed_store_left(self, store: Store, gate: Gate, said: list[str]) -> None:
        writer = store.start("reviews", "r", role="single")
        gate.cut = True
        writer.kill("interrupted")
        store.close(0.2)
        mentions(said[-1], "1 run waits", ".gru-bench/outbox", "next start")
        gate.cut = False
        with Store(store.uri) as again:
            (run,) = again.runs("reviews")
        assert run.status == "KILLED"

    def test_reading_waits_for_the_store_to_answer(self, store: Store, gate: Gate, said: list[str]) -> None:
        store.start("reviews", "r", role="single").kill("why not")
        store.require()
        assert said == []
        gate.cut = True
        renewed = list[str]()

        def renew() -> None:
            renewed.append(store.away)
            gate.cut = len(renewed) < 3

        store.stay_alive(renew)
        assert [run.status for run in store.runs("reviews")] == ["KILLED"]
        assert "the wire is cut" in renewed
        assert len(said) <= 1

    @pytest.mark.parametrize("patience", [0.1])
    def test_closing_gives_up_after_a_while(self, store: Store, gate: Gate, said: list[str]) -> None:
        gate.cut = True
        store.start("reviews", "r", role="single").kill("why not")
        with pytest.raises(RunError, match="0 seconds: start its server"):
            store.close()
        mentions(said[-1], "1 run waits")

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


def test_a_server_that_is_away_at_the_start_is_named_and_runs_wait() -> None:
    said: list[str] = []
    store = Store(NOBODY, say=said.append)
    writer = store.start("reviews", "r", role="single")
    assert store.experiments() == []
    writer.kill("nobody there")
    store.close(0.1)
    mentions(said[0], NOBODY, "Connection refused", ".gru-bench/outbox")
    mentions(said[1], NOBODY, "1 run waits")


def test_a_report_counts_the_runs_that_wait_and_names_a_run_that_it_leaves_out(
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
        client_of(store).set_tag(store.mlflow_id(odd.run_id), "gru_bench.seed", "zzz")
        odd_id = store.mlflow_id(odd.run_id)
    left(f"sqlite:///{database}", records()[0])
    done = completed(report_app)
    mentions(done.stdout, f"1 run waits in .gru-bench/outbox for sqlite:///{database}", f"{odd_id} is left out")


def test_an_outbox_that_is_removed_during_a_command_is_named(database: Path) -> None:
    store = Store(f"sqlite:///{database}")
    store.start("reviews", "s", role="single")
    assert store.catch_up()
    shutil.rmtree(root().parent)
    with pytest.raises(RunError, match=r"outbox .*removed"):
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
