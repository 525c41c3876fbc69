"""The runs of a study in the tracking store: what holds when a study goes on or a store is lost."""

from __future__ import annotations

import io
import platform
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import chdir, suppress
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout
from mlflow import MlflowClient
from rich.console import Console

from gru_bench.config import RunConfig
from gru_bench.data.corpus import load_corpus
from gru_bench.errors import ExitCode, RunError, UsageError
from gru_bench.platforms import machine
from gru_bench.results.runs import StudySummary
from gru_bench.sweep import runner
from gru_bench.sweep import study as study_module
from gru_bench.sweep.__main__ import _show_next, app
from gru_bench.sweep.followups import FollowUp
from gru_bench.sweep.run_log import RunLog
from gru_bench.sweep.runner import Sweep
from gru_bench.sweep.sharing.leases import LEASE_SECONDS, LeaseWatch, this_process
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.sharing.trials import StoredTrial
from gru_bench.sweep.spec import load_study
from gru_bench.sweep.start import logged_so_far
from gru_bench.sweep.study import StudyRecord
from gru_bench.sweep.summary import Confirmed, conclusion
from gru_bench.sweep.workers.local import Message
from gru_bench.tracking import Store, StudyPlan, open_reader, waiting
from gru_bench.tracking import store as tracking_store
from gru_bench.tracking.record import RunRecord
from gru_bench.tracking.upload import upload_all
from tests.support.commands import completed, mentions
from tests.support.mlflow_stores import client_of
from tests.support.runs import result
from tests.support.servers import Gate
from tests.support.workers import STUDY as STUDY_FILE
from tests.support.workers import WELL, Script, states, swept
from tests.support.writes import STUDY, TRIAL, left

pytestmark = pytest.mark.usefixtures("database")


@pytest.mark.parametrize("beside", [True, False], ids=["while one works on the study", "alone"])
def test_a_start_with_another_tracking_store_is_refused(easy_csv: Path, empty_database: Path, beside: bool) -> None:
    swept(easy_csv, lambda _: WELL, trials=1)
    refused = list[str]()

    def other() -> None:
        with pytest.raises(RunError) as error:
            swept(easy_csv, lambda _: WELL, trials=2, uri="sqlite:///other.db")
        refused.append(str(error.value))

    def says(_: RunConfig) -> Sequence[Message]:
        if beside:
            other()
        return WELL

    if not beside:
        other()
    assert states(swept(easy_csv, says, trials=2)) == {"complete": 2}
    mentions(refused[0], "'study'", "mlflow.db", "other.db", "tracking_uri")
    assert not Path("other.db").exists()
    shutil.copy(empty_database, "other.db")
    checked = completed(app, "--study", "study.toml", "--data", str(easy_csv), "--trials", "2", "--check",
                        "--tracking-uri", "sqlite:///other.db")
    assert checked.returncode == ExitCode.NO
    mentions(checked.stderr, "'study'", "mlflow.db", "other.db", "--tracking-uri")


def test_what_another_start_has_not_sent_is_waited_for_and_named_and_nothing_is_trained_twice(
    easy_csv: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server was away for the first start, whose user has ended it; the second is in another directory."""
    gate, storage = Gate(client_of(open_reader())), open_storage(str(Path("optuna.journal").absolute()))
    monkeypatch.setattr("gru_bench.tracking.reader.open_client", lambda *_: gate)
    monkeypatch.setattr("gru_bench.tracking.reader.sqlite_path", lambda _: None)  # that of a server
    monkeypatch.setattr(tracking_store, "MOST_SECONDS", 0.1)
    monkeypatch.setattr(runner, "OTHERS_SECONDS", 0.5)
    monkeypatch.setattr(RunLog.await_runs, "__defaults__", (0.5,))
    shown = io.StringIO()
    trained, scored, end = list[int](), list[Mapping[str, Confirmed]](), Sweep._end

    def ending(sweep: Sweep) -> StudySummary:
        summary = end(sweep)
        if not gate.cut:
            evidence = logged_so_far(sweep).evidence
            scored.append({} if evidence is None else conclusion(evidence).scores)  # as the command shows them
            _show_next(Console(file=shown, width=500), sweep, summary, None, None, has_report=False)
        return summary

    monkeypatch.setattr(Sweep, "_end", ending)

    def says(config: RunConfig) -> Sequence[Message]:
        trained.append(config.seed)
        return WELL

    def start(folder: str) -> None:
        Path(folder).mkdir(exist_ok=True)
        with chdir(folder):
            swept(easy_csv, says, uri=f"sqlite:///{database}", storage=storage, trials=2, confirm=1)

    def checked() -> subprocess.CompletedProcess[str]:
        return completed(app, "--study", "study.toml", "--data", str(easy_csv), "--trials", "2", "--confirm", "1",
                         "--check", "--storage", "../optuna.journal", "--tracking-uri", f"sqlite:///{database}",
                         cwd=Path("there"))

    gate.cut = True
    with pytest.raises(RunError, match="gru-bench sync"):
        start("here")
    gate.cut = False
    monkeypatch.setattr(runner, "this_process", lambda: "there 1 1")
    start("there")
    (study,) = open_reader(f"sqlite:///{database}").studies("easy")
    assert (study.run.complete, study.trials, study.confirms) == (False, (), ())
    mentions(study.run.reason, "6 runs", "gru-bench sync", f"on {platform.node()}")
    assert scored[-1] == {}
    mentions(shown.getvalue(), "study is not done yet", "gru-bench sync")
    waits = checked()
    assert waits.returncode == ExitCode.INCOMPLETE
    mentions(waits.stdout, "6 runs", "gru-bench sync", f"on {platform.node()}")
    assert "belong together" not in waits.stdout
    assert any("all runs" in line for line in upload_all(Path("here").absolute()))
    start("there")
    (study,) = open_reader(f"sqlite:///{database}").studies("easy")
    assert [run.complete for run in study.runs] == [True] * 7
    assert list(scored[-1]) == ["torch", "mixture"]
    mentions(shown.getvalue(), "study is done")
    assert checked().returncode == ExitCode.DONE
    assert trained == [0, 0, 10_000]


@pytest.mark.parametrize("lost", ["journal", "its end", "confirmation runs"])
def test_a_search_that_does_not_know_the_runs_in_mlflow_is_refused(easy_csv: Path, lost: str) -> None:
    journal, script, trials = Path("optuna.journal"), Script(*[WELL] * 4), 0 if lost == "confirmation runs" else 2
    swept(easy_csv, script, trials=trials, confirm=1)
    whole = journal.read_bytes()
    lines = whole.splitlines(keepends=True)
    begins = [place for place, line in enumerate(lines) if b'"op_code":4,' in line]  # a trial's first line
    left = b"" if lost == "journal" else b"".join(lines[:begins[1 if trials else 0]])
    journal.write_bytes(left.replace(this_process().encode(), f"{machine()} 999999999 1".encode()))
    with pytest.raises(RunError, match=r"do not match.*storage.*another name"):
        swept(easy_csv, script, trials=trials, confirm=1)
    checked = completed(app, "--study", "study.toml", "--data", str(easy_csv), "--check", "--trials", str(trials),
                        "--confirm", "1")
    assert checked.returncode == ExitCode.NO
    mentions(checked.stdout, "MLflow: 1 run of the study", f"{trials} of trials", "do not match")
    journal.write_bytes(whole.replace(this_process().encode(), f"{machine()} 999999999 1".encode()))
    assert swept(easy_csv, script, trials=trials, confirm=1).notes == ()
    (study,) = open_reader().studies("easy")
    assert [run.complete for run in study.runs] == [True] * (trials + 5)


def test_a_study_begun_without_reviews_never_stores_any(easy_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, asked = open_storage("optuna.journal"), list[bool]()

    def noted(*_: object, texts: bool) -> list[FollowUp]:
        asked.append(texts)
        return []

    monkeypatch.setattr("gru_bench.sweep.plan.follow_ups", noted)
    swept(easy_csv, Script(WELL), storage=storage, trials=1)
    printed = io.StringIO()
    swept(easy_csv, Script(), storage=storage, texts=True, console=Console(file=printed, width=200), trials=1)
    mentions(printed.getvalue(), "no texts are stored", "no_texts")
    assert asked
    assert not any(asked)
    store, spec = Store(), load_study("study.toml", trials=1)
    (study,) = store.studies(store.experiments()[0])
    assert study.plan() == StudyPlan(
        models=tuple(spec.models), trials=1, confirm=0, margin=0.01, contents=("search",), protocol=spec.protocol)
    assert study.run.params["texts"] == "False"
    assert store.texts(study.run.run_id, "test") is None


def test_refuses_no_texts_once_a_study_holds_reviews(easy_csv: Path) -> None:
    storage = open_storage("optuna.journal")
    swept(easy_csv, Script(WELL), storage=storage, texts=True, trials=1)
    store = Store()
    (before,) = store.studies(store.experiments()[0])
    assert store.texts(before.run.run_id, "test") is not None
    with pytest.raises(UsageError, match=r"'study'.*no_texts.*has stored texts.*name"):
        swept(easy_csv, Script(), storage=storage, trials=1)
    assert Store().studies(store.experiments()[0]) == [before]


def test_only_the_start_that_holds_its_creation_creates_the_run_of_a_study(
    easy_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another start takes over once the first has died, or has not asked for a minute."""
    storage, clock = open_storage("optuna.journal"), [0.0]
    monkeypatch.setattr(study_module, "LeaseWatch", lambda: LeaseWatch(lambda: clock[0]))
    Path("study.toml").write_text(STUDY_FILE, encoding="utf-8")
    spec = load_study("study.toml", settings={"data.name": str(easy_csv)})

    def start(process: str) -> Callable[[], bool]:
        record = StudyRecord(spec, storage, "data")

        def may_create() -> bool:
            with monkeypatch.context() as patch:
                patch.setattr(study_module, "this_process", lambda: process)
                return record.may_create_run()

        return may_create

    here, there, dead = start("here 1 1"), start("there 2 2"), start(f"{machine()} 999999999 1")
    assert [here(), there(), here(), there()] == [True, False, True, False]
    clock[0] += LEASE_SECONDS / 2
    assert [here(), there()] == [True, False]
    clock[0] += LEASE_SECONDS + 1
    assert [there(), here(), dead()] == [True, False, False]
    clock[0] += LEASE_SECONDS + 1
    assert [dead(), here(), there(), dead()] == [True, True, False, False]


def test_no_lock_of_the_study_is_held_while_its_run_is_created(
    easy_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, tried = MlflowClient.create_run, list[bool]()

    def tries_the_lock(*arguments: Any, **named: Any) -> Any:
        lock = FileLock("optuna.journal.step.lock")
        with suppress(Timeout), lock.acquire(timeout=5):
            tried.append(True)
        return create(*arguments, **named)

    monkeypatch.setattr(MlflowClient, "create_run", tries_the_lock)
    swept(easy_csv, Script(WELL), trials=1)
    assert tried == [True] * 5


def test_what_other_starts_have_left_or_still_upload_is_in_mlflow_at_the_end(
    easy_csv: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await_runs, end = RunLog.await_runs, Sweep._end
    runs: list[str] = []

    def await_more(log: RunLog, trials: Sequence[StoredTrial], seconds: float = 60.0) -> list[StoredTrial]:
        if not runs:
            alive, dead = Store(), left(f"sqlite:///{database}")
            assert await_runs(log, []) == []
            assert dead.is_empty
            writer = alive.start(log.experiment, "r", role="confirm", study="study")
            trial = StoredTrial(0, "complete", {}, run_id=writer.run_id)
            writer.metrics({"loss/train": 0.5}, step=1)
            assert alive.catch_up()
            assert await_runs(log, [trial], seconds=0.0) == [trial]
            threading.Timer(0.1, lambda: writer.finish(result())).start()
            assert await_runs(log, [trial]) == []
            assert len(log.store.predictions(writer.run_id, "test")) == 4
            alive.close()
            left(f"sqlite:///{database}", RunRecord(writer.run_id, 1, params={"late": "1"}))
            runs.append(writer.run_id)
        return await_runs(log, trials, seconds)

    def end_before_others(sweep: Sweep) -> StudySummary:
        summary = end(sweep)
        left(f"sqlite:///{database}", RunRecord(runs[0], 2, params={"later": "1"}))
        return summary

    monkeypatch.setattr(RunLog, "await_runs", await_more)
    monkeypatch.setattr(Sweep, "_end", end_before_others)
    swept(easy_csv, Script(WELL), trials=1)
    assert waiting(Path.cwd()) == []
    store = open_reader()
    assert [(run.params["late"], run.params["later"]) for run in store.runs("easy") if run.role == "confirm"] == [
        ("1", "1")]
    assert {run.run_id for run in store.runs("reviews")} == {STUDY, TRIAL}


def test_a_study_is_completed_while_another_start_lives_that_has_nothing_to_do(easy_csv: Path) -> None:
    storage = open_storage("optuna.journal")
    swept(easy_csv, Script(WELL), storage=storage, trials=1)
    spec = load_study("study.toml", settings={"data.name": str(easy_csv)}, trials=1)
    StudyRecord(spec, storage, load_corpus(spec.base.data).fingerprint)
    swept(easy_csv, Script(WELL), storage=storage, trials=1)
    (study,) = open_reader().studies("easy")
    assert (study.run.status, study.run.complete) == ("FINISHED", True)


def test_a_study_is_described_at_the_end_if_the_start_that_began_it_died_before_it_did_so(
    easy_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe, calls = RunLog._describe, list[RunLog]()

    def second(log: RunLog) -> None:
        calls.append(log)
        if len(calls) == 2:
            describe(log)

    monkeypatch.setattr(RunLog, "_describe", second)
    swept(easy_csv, Script(WELL), trials=1)
    (study,) = open_reader().studies("easy")
    assert (study.run.params["study"], study.run.params["trials"]) == ("study", "1")


def test_what_waits_of_another_study_is_no_fault_of_this_one(easy_csv: Path, database: Path) -> None:
    swept(easy_csv, Script(WELL), trials=1)
    check = ("--study", "study.toml", "--data", str(easy_csv), "--trials", "1", "--check")
    left(f"sqlite:///{database}")  # a run of the study s, its trial, and a part of the run, which names no study
    assert completed(app, *check).returncode == ExitCode.DONE
    (study,) = open_reader().studies("easy")
    left(f"sqlite:///{database}", RunRecord(study.run.run_id, 1, params={"late": "1"}))
    found = completed(app, *check)
    assert found.returncode == ExitCode.INCOMPLETE
    mentions(found.stdout, "1 run waits")


class TestAChangedStore:
    """What is in the tracking store was renamed or deleted, and the same command is typed again."""

    @pytest.mark.parametrize("trials", [0, 1], ids=["confirmation runs alone", "a search"])
    def test_a_study_goes_on_in_an_experiment_that_was_renamed(self, easy_csv: Path, trials: int) -> None:
        swept(easy_csv, Script(WELL, WELL), trials=trials, confirm=2, storage=open_storage("optuna.journal"))
        store = open_reader()
        (before,) = store.studies("easy")
        client_of(store).rename_experiment(before.run.experiment_id, "reviews of products")
        assert swept(easy_csv, Script(), trials=trials, confirm=2, storage=open_storage("optuna.journal")).notes == ()
        assert store.experiments() == ["reviews of products"]
        (after,) = store.studies("reviews of products")
        assert [run.run_id for run in after.runs] == [run.run_id for run in before.runs]

    def test_a_study_whose_own_run_was_deleted_is_refused_until_it_is_restored(self, easy_csv: Path) -> None:
        swept(easy_csv, Script(WELL, WELL), trials=1, confirm=2, storage=open_storage("optuna.journal"))
        store = open_reader()
        (before,) = store.studies("easy")
        deleted = before.run.mlflow_id
        client_of(store).delete_run(deleted)
        with pytest.raises(RunError, match=rf"'study'.*mlflow runs restore --run-id {deleted}.*name"):
            swept(easy_csv, Script(), trials=1, confirm=2, storage=open_storage("optuna.journal"))
        checked = completed(app, "--study", "study.toml", "--check", "--trials", "1", "--confirm", "2")
        assert checked.returncode == ExitCode.NO
        mentions(checked.stderr, deleted, "mlflow runs restore")
        client_of(store).restore_run(deleted)
        swept(easy_csv, Script(), trials=1, confirm=2, storage=open_storage("optuna.journal"))
        (after,) = store.studies("easy")
        assert [run.run_id for run in after.runs] == [run.run_id for run in before.runs]
