"""The runs of a study in the tracking store: what holds when a study goes on or a store is lost."""

from __future__ import annotations

import io
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from typing import Any

import optuna
import pytest
from rich.console import Console

from gru_bench.config import RunConfig
from gru_bench.data.corpus import load_corpus
from gru_bench.errors import ExitCode, RunError, UsageError
from gru_bench.sweep.__main__ import app
from gru_bench.sweep.active_run import ActiveRun
from gru_bench.sweep.run_log import RunLog
from gru_bench.sweep.runner import Conductor
from gru_bench.sweep.sharing import trials
from gru_bench.sweep.sharing.leases import LeaseWatch
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.spec import load_study
from gru_bench.sweep.study import StudyRecord
from gru_bench.sweep.workers.messages import Message, WasPruned
from gru_bench.sweep.workers.tasks import Train
from gru_bench.tracking import RunWriter, Store, StudyPlan, open_reader
from gru_bench.tracking.patience import PatientReader
from gru_bench.tracking.pending import PendingRun
from tests.support.commands import completed, mentions
from tests.support.mlflow_stores import client_of
from tests.support.values import present
from tests.support.workers import WELL, Script, checked, states, swept

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


class DiedError(BaseException):
    """The process has died."""


@pytest.mark.parametrize("ending", range(1, 7))
def test_a_run_that_is_complete_although_its_trial_has_not_ended_is_adopted(
    easy_csv: Path, ending: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between the two: after a baseline, a complete trial, a pruned one, or a confirmation run."""
    trained = Counter[tuple[int, float]]()

    def says(config: RunConfig) -> Sequence[Message]:
        trained[config.seed, config.training.lr] += 1
        if config.seed >= 10_000:
            return WELL
        return (*checked(*[0.5] * 4), *WELL) if len(trained) == 1 else (*checked(0.5), WasPruned())

    def tell(*arguments: Any, told: Iterator[int] = count(1), **named: Any) -> Any:
        if next(told) == ending:
            raise DiedError
        return told_by_optuna(*arguments, **named)

    told_by_optuna = optuna.Study.tell
    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "tell", tell)
        patch.setattr(Conductor, "_stop_early", lambda *_: None)
        with pytest.raises(DiedError):
            swept(easy_csv, says, trials=2, confirm=1)
    summary = swept(easy_csv, says, trials=2, confirm=1)
    assert states(summary) == {"complete": 1, "pruned": 1}
    assert list(trained.values()) == [1, 1, 1]
    (study,) = open_reader().studies("easy")
    assert sorted(run.state for run in study.runs) == ["complete"] * 6 + ["pruned"]
    assert {run.status for run in study.runs} == {"FINISHED"}
    complete = next(run for run in study.trials if run.complete)
    assert present(summary.best_value)["torch"] == complete.metrics["score/val_accuracy"]
    searched = optuna.load_study(study_name="study/torch", storage=open_storage(None)).trials
    assert [(trial.state.name, max(trial.intermediate_values)) for trial in searched] == [
        ("COMPLETE", 4), ("PRUNED", 1)]


def test_a_start_whose_trial_was_taken_over_leaves_no_complete_run(
    easy_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was paused before its run was complete, and goes on after another start has trained it."""
    result = RunWriter.result

    def paused(writer: RunWriter, *arguments: Any, **named: Any) -> None:
        result(writer, *arguments, **named)
        with monkeypatch.context() as patch:
            patch.setattr(RunWriter, "result", result)
            patch.setattr(LeaseWatch, "is_dead", lambda *_: True)  # the first start is paused for more than a minute
            swept(easy_csv, lambda _: WELL, trials=1)

    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "result", paused)
        swept(easy_csv, lambda _: WELL, trials=1)
    (study,) = open_reader().studies("easy")
    assert sorted(run.state for run in study.trials) == ["complete", "killed"]
    searched = optuna.load_study(study_name="study/torch", storage=open_storage(None)).trials
    assert [trial.state.name for trial in searched] == ["FAIL", "COMPLETE"]
    assert [run.run_id for run in study.trials if run.complete] == [searched[1].user_attrs["run_id"]]


@pytest.mark.parametrize(("run", "ends"), [
    ("tfidf", "complete"), ("trial", "complete"), ("trial", "pruned"), ("confirm", "complete"),
    ("confirm", "interrupted")])
def test_a_run_that_another_start_has_adopted_is_left_alone(
    easy_csv: Path, run: str, ends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end reached MLflow, but the answer was lost, and the first start was paused for more than a minute then."""
    says = Script((*checked(0.5), WasPruned()) if ends == "pruned" else WELL, WELL, WELL)

    def lost(pending: PendingRun) -> None:
        send(pending)
        found = present(open_reader().run(pending.run_id))
        if run in (found.role, found.model) and found.state in ("complete", "pruned"):
            raise ConnectionError("the answer was lost")

    def paused(*arguments: Any) -> float:
        with monkeypatch.context() as patch:
            patch.setattr(PendingRun, "send", send)
            patch.setattr(LeaseWatch, "is_dead", lambda *_: True)
            swept(easy_csv, says, trials=2, confirm=1)
        monkeypatch.setattr(PendingRun, "send", send)
        if ends == "interrupted":
            raise KeyboardInterrupt
        return wait(*arguments)

    send, wait = PendingRun.send, PatientReader._wait
    monkeypatch.setattr(PendingRun, "send", lost)
    monkeypatch.setattr(PatientReader, "_wait", paused)
    with pytest.raises(KeyboardInterrupt) if ends == "interrupted" else nullcontext():
        swept(easy_csv, says, trials=2, confirm=1)
    (study,) = open_reader().studies("easy")
    assert study.run.complete
    assert [one.state for one in study.runs if run in (one.role, one.model)] == (
        ["pruned", "complete"] if ends == "pruned" else ["complete"] * (2 if run == "trial" else 1))


def test_the_run_of_a_trial_that_was_tried_too_often_is_closed(
    easy_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "MOST_ATTEMPTS", 1)

    def died(*_: object) -> None:
        raise DiedError

    with monkeypatch.context() as patch:
        patch.setattr(Conductor, "_stop_early", lambda *_: None)
        patch.setattr(ActiveRun, "report", died)
        with pytest.raises(DiedError):
            swept(easy_csv, lambda _: WELL, trials=2)
    assert states(swept(easy_csv, lambda _: WELL, trials=2)) == {"failed": 1, "complete": 1}
    (study,) = open_reader().studies("easy")
    assert sorted((run.state, run.status) for run in study.trials) == [("complete", "FINISHED"), ("killed", "KILLED")]


def test_the_next_start_in_a_process_goes_on_where_one_was_cut_off_in_its_end(
    easy_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after two Ctrl-C in a notebook: the first ends the runs in order, and the second ends that at once."""
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Conductor, "_stop_early", interrupted)
        patch.setattr(ActiveRun, "report", interrupted)
        with pytest.raises(KeyboardInterrupt):
            swept(easy_csv, lambda _: WELL, trials=1)
    assert states(swept(easy_csv, lambda _: WELL, trials=1)) == {"complete": 1}


@pytest.mark.parametrize("lost", ["journal", "its end", "confirmation runs"])
def test_a_search_that_does_not_know_the_runs_in_mlflow_is_refused(easy_csv: Path, lost: str) -> None:
    journal, script, trials = Path("optuna.journal"), Script(*[WELL] * 4), 0 if lost == "confirmation runs" else 2
    swept(easy_csv, script, trials=trials, confirm=1)
    whole = journal.read_bytes()
    lines = whole.splitlines(keepends=True)
    begins = [place for place, line in enumerate(lines) if b'"op_code":4,' in line]  # a trial's first line
    left = b"" if lost == "journal" else b"".join(lines[:begins[1 if trials else 0]])
    journal.write_bytes(left)
    with pytest.raises(RunError, match=r"do not match.*storage.*another name"):
        swept(easy_csv, script, trials=trials, confirm=1)
    checked = completed(app, "--study", "study.toml", "--data", str(easy_csv), "--check", "--trials", str(trials),
                        "--confirm", "1")
    assert checked.returncode == ExitCode.NO
    counts = [] if lost == "journal" else ["MLflow: 1 run of the study", f"{trials} of trials"]
    mentions(checked.stdout + checked.stderr, "do not match", *counts)
    journal.write_bytes(whole)
    assert swept(easy_csv, script, trials=trials, confirm=1).notes == ()
    (study,) = open_reader().studies("easy")
    assert [run.complete for run in study.runs] == [True] * (trials + 5)


def test_a_study_begun_without_reviews_never_stores_any(easy_csv: Path) -> None:
    storage, submitted = open_storage("optuna.journal"), list[Train]()
    swept(easy_csv, Script(WELL), storage=storage, trials=1)
    printed = io.StringIO()
    swept(easy_csv, Script(WELL), storage=storage, texts=True, console=Console(file=printed, width=200), trials=1,
          confirm=1, diagnostics=True, submitted=submitted)
    mentions(printed.getvalue(), "no texts are stored", "--no-texts")
    assert [(task.diagnostics, task.texts) for task in submitted] == [(True, False)]
    store, spec = Store(), load_study("study.toml", trials=1)
    (study,) = store.studies(store.experiments()[0])
    assert study.plan() == StudyPlan(
        models=tuple(spec.models), trials=1, confirm=0, margin=0.01)
    assert study.run.params["texts"] == "False"
    assert store.texts(study.run.run_id, "test") is None


def test_refuses_no_texts_once_a_study_holds_reviews(easy_csv: Path) -> None:
    storage = open_storage("optuna.journal")
    swept(easy_csv, Script(WELL), storage=storage, texts=True, trials=1)
    store = Store()
    (before,) = store.studies(store.experiments()[0])
    assert store.texts(before.run.run_id, "test") is not None
    with pytest.raises(UsageError, match=r"'study'.*--no-texts.*has stored texts.*name"):
        swept(easy_csv, Script(), storage=storage, trials=1)
    assert Store().studies(store.experiments()[0]) == [before]


def test_a_start_takes_the_run_of_a_study_that_another_has_created_meanwhile(
    easy_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept(easy_csv, lambda _: WELL, trials=1)
    monkeypatch.setattr(RunLog, "_known_study", lambda _: None)  # as when both looked before one of them created it
    swept(easy_csv, lambda _: WELL, trials=2)
    (study,) = open_reader().studies("easy")
    assert (study.run.complete, len(study.trials)) == (True, 2)


def test_a_study_is_completed_while_another_start_lives_that_has_nothing_to_do(easy_csv: Path) -> None:
    storage = open_storage("optuna.journal")
    swept(easy_csv, Script(WELL), storage=storage, trials=1)
    spec = load_study("study.toml", settings={"data.name": str(easy_csv)}, trials=1)
    StudyRecord(spec, storage, load_corpus(spec.base.data).fingerprint, "easy")
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
        checked = completed(app, "--study", "study.toml", "--data", str(easy_csv), "--check", "--trials", "1",
                            "--confirm", "2")
        assert checked.returncode == ExitCode.NO
        mentions(checked.stderr, deleted, "mlflow runs restore")
        client_of(store).restore_run(deleted)
        swept(easy_csv, Script(), trials=1, confirm=2, storage=open_storage("optuna.journal"))
        (after,) = store.studies("easy")
        assert [run.run_id for run in after.runs] == [run.run_id for run in before.runs]
