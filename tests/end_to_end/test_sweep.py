"""Whole sweeps, some in processes as a user starts them: what they log, how they go on, and how they end badly."""

from __future__ import annotations

import csv
import html
import os
import re
import shlex
import shutil
import signal
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import psutil
import pytest

from gru_bench import cli, platforms
from gru_bench.archive.__main__ import app as archive_app
from gru_bench.errors import ExitCode, UsageError
from gru_bench.evaluation.metrics import scores
from gru_bench.report.__main__ import app as report_app
from gru_bench.report.evidence.progress import study_baselines, study_data
from gru_bench.sweep.__main__ import app as sweep_app
from gru_bench.sweep.search import Search
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.spec import load_study
from gru_bench.tracking import Store
from gru_bench.tracking.sync import sync_all
from tests.support.commands import ROOT, command, completed, typed
from tests.support.sweeps import SCRIPT, STUDY, only_study, started, sweep
from tests.support.values import present


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, easy_csv: Path, empty_database: Path) -> Path:
    """A directory in which a study has been run to its end."""
    directory = tmp_path_factory.mktemp("swept")
    shutil.copy(empty_database, directory)
    (directory / "quick.toml").write_text(STUDY, encoding="utf-8")
    done = command(SCRIPT, "--study", "quick.toml", "--data", str(easy_csv), "--category-column", "kind", "--workers",
                   "2", cwd=directory)
    assert done.returncode == 0, done.stderr
    assert "confirmed on fresh seeds" in done.stdout
    assert "gru-bench report --study quick" in done.stdout
    return directory


def copied(swept: Path, tmp_path: Path) -> Path:
    """A copy to change; the artifacts stay where their runs say."""
    shutil.copytree(swept, tmp_path / "copy")
    return tmp_path / "copy"


class TestWhole:
    def test_trials_and_confirm_runs(self, swept: Path) -> None:
        study = only_study(swept)
        assert study.summary is not None
        assert len(study.trials) == 3
        assert [trial.state for trial in study.summary.trials].count("failed") == 0
        assert list(study.summary.confirm_seeds) == [10_000, 10_001]
        assert sorted(present(run.seed) for run in study.confirms) == [10_000, 10_001]
        assert all(run.complete for run in study.confirms)
        assert all(run.status == "FINISHED" for run in (study.run, *study.trials, *study.confirms))
        assert study.run.tags["gru_bench.data_fingerprint"] == study.summary.data.fingerprint

    def test_the_search_never_sees_the_test_split(self, swept: Path) -> None:
        study = only_study(swept)
        assert {run.seed for run in study.trials} == {0}
        assert not any(key.startswith("score/test_") for run in study.trials for key in run.metrics)
        assert all("score/test_accuracy" in run.metrics for run in study.confirms)

    def test_the_best_complete_trial_is_confirmed(self, swept: Path) -> None:
        study = only_study(swept)
        assert study.summary is not None
        complete = [trial for trial in study.summary.trials if trial.state == "complete"]
        best = max(complete, key=lambda trial: trial.value or 0.0)
        assert study.summary.best == {"torch": best.settings}
        assert study.summary.best_value == {"torch": best.value}
        assert {run.params["training.lr"] for run in study.confirms} == {str(best.settings["training.lr"])}

    def test_both_stores_agree(self, swept: Path) -> None:
        study = only_study(swept)
        search = optuna.load_study(study_name="quick/torch", storage=open_storage(str(swept / "optuna.journal")))
        runs = {run.run_id: run for run in study.trials}
        for trial in search.trials:
            run = runs.pop(trial.user_attrs["run_id"])
            assert float(run.params["training.lr"]) == trial.params["training.lr"]
            assert run.tags["gru_bench.state"] == trial.state.name.lower()
        assert not runs

    def test_baselines_and_data_are_logged(self, swept: Path) -> None:
        summary = only_study(swept).summary
        assert summary is not None
        assert [baseline.name for baseline in summary.baselines] == ["majority class", "TF-IDF + logistic regression"]
        assert summary.baselines[1].test_accuracy > 0.9
        assert summary.data.categories == {"books": 266, "music": 134}
        assert summary.data.train + summary.data.validation + summary.data.test == summary.data.available == 400

    def test_what_is_known_early_lies_on_the_studys_own_run(self, swept: Path) -> None:
        study = only_study(swept)
        store = Store(f"sqlite:///{swept / 'mlflow.db'}", create=False)
        early = replace(study, summary=None)
        assert study.summary is not None
        assert study_data(early, store) == study.summary.data
        assert study_baselines(early, store) == study.summary.baselines
        assert (study.run.params["margin"], study.run.params["contents"]) == ("1.0", "search")

    def test_workers_split_the_cores(self, swept: Path) -> None:
        share = max(1, platforms.cores() // 2)
        assert {run.params["training.threads"] for run in only_study(swept).confirms} == {str(share)}

    def test_the_report_needs_the_store_alone(self, swept: Path, tmp_path: Path) -> None:
        done = completed(report_app, "--tracking-uri", f"sqlite:///{swept / 'mlflow.db'}", "--out",
                         str(tmp_path / "out"))
        assert done.returncode == 0, done.stderr
        page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
        for run in only_study(swept).confirms:
            assert run.run_id in page


class TestGoesOn:
    def test_nothing_left_to_do_adds_nothing(self, swept: Path, tmp_path: Path, easy_csv: Path) -> None:
        directory = copied(swept, tmp_path)
        done = sweep(directory, easy_csv, "--category-column", "kind", "--trials", "2")
        assert done.returncode == 0, done.stderr
        assert "the study already has more trials (3 of torch) than the 2 asked for: none is added" in done.stdout
        assert "all runs of the study are done" in done.stdout
        assert re.search(r"the study quick is done; this start took \d+ s, all starts (?:\d+ min )?\d+ s, "
                         r"of which the search (?:\d+ min )?\d+ s; next:",
                         done.stdout)
        for announced in ("to do", "; now", "to begin"):
            assert announced not in done.stdout
        study, before = only_study(directory), only_study(swept)
        assert study.run.run_id == before.run.run_id
        assert [run.run_id for run in study.trials] == [run.run_id for run in before.trials]
        assert [run.run_id for run in study.confirms] == [run.run_id for run in before.confirms]
        assert study.summary is not None
        assert (study.summary.trials_asked, len(study.summary.trials)) == (3, 3)

    def test_a_run_that_was_deleted_in_mlflow_is_trained_again(
        self, swept: Path, tmp_path: Path, easy_csv: Path
    ) -> None:
        directory = copied(swept, tmp_path)
        before = sorted(only_study(directory).confirms, key=lambda run: run.seed or 0)
        Store(f"sqlite:///{directory / 'mlflow.db'}")._client.delete_run(before[0].run_id)
        done = sweep(directory, easy_csv, "--category-column", "kind")
        assert done.returncode == 0, done.stderr
        assert "note: Runs of earlier starts were deleted in MLflow: 1 are trained again." in done.stdout
        after = sorted(only_study(directory).confirms, key=lambda run: run.seed or 0)
        assert [run.seed for run in after] == [run.seed for run in before]
        assert after[0].run_id != before[0].run_id
        assert after[1:] == before[1:]
        assert after[0].metrics["score/test_accuracy"] == before[0].metrics["score/test_accuracy"]

    def test_check_tells_of_predictions_that_are_gone(self, swept: Path, tmp_path: Path, easy_csv: Path) -> None:
        directory = copied(swept, tmp_path)
        run_id = only_study(directory).confirms[0].run_id
        with closing(sqlite3.connect(directory / "mlflow.db")) as connection:
            connection.execute("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", (str(tmp_path / "no"), run_id))
            connection.commit()
        done = sweep(directory, easy_csv, "--category-column", "kind", "--check")
        assert done.returncode == 4, done.stderr
        assert "delete the runs in MLflow, and the same command trains them again" in " ".join(done.stdout.split())
        assert f"but the run {run_id} must hold the artifact predictions/test.parquet, but" in " ".join(
            done.stdout.split())
        assert "all is done" not in done.stdout

    def test_a_check_of_stores_that_disagree_is_answered_no(
        self, swept: Path, tmp_path: Path, easy_csv: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(copied(swept, tmp_path))
        words = ["--study", "quick.toml", "--data", str(easy_csv), "--category-column", "kind", "--check"]
        assert typed(sweep_app, *words) == ExitCode.DONE
        assert typed(sweep_app, *words, "--trials", "4") == ExitCode.INCOMPLETE
        assert "the two stores do not belong together" not in capsys.readouterr().out
        present(Store()._client).delete_run(only_study(Path.cwd()).trials[0].run_id)
        assert typed(sweep_app, *words) == ExitCode.NO
        assert "the two stores do not belong together" in capsys.readouterr().out

    def test_a_sweep_that_its_timeout_ends_is_not_complete(
        self, swept: Path, tmp_path: Path, easy_csv: Path
    ) -> None:
        directory = copied(swept, tmp_path)
        done = sweep(directory, easy_csv, "--category-column", "kind", "--trials", "5", "--timeout", "0.001s")
        assert done.returncode == ExitCode.INCOMPLETE, done.stderr
        assert "is not done yet (--timeout ended the search before all trials were begun): the same" in done.stdout
        assert len(only_study(directory).trials) == 3

    def test_more_trials_and_seeds_are_totals(self, swept: Path, tmp_path: Path, easy_csv: Path) -> None:
        directory = copied(swept, tmp_path)
        done = sweep(directory, easy_csv, "--category-column", "kind", "--trials", "5", "--confirm", "3")
        assert done.returncode == 0, done.stderr
        study = only_study(directory)
        assert study.summary is not None
        assert len(study.trials) == len(study.summary.trials) == 5
        assert sorted(present(run.seed) for run in study.confirms) == [10_000, 10_001, 10_002]
        lrs = [trial.settings["training.lr"] for trial in study.summary.trials]
        assert len(set(lrs)) == 5

    @pytest.mark.service
    def test_what_was_carried_to_another_machine(
        self, swept: Path, tmp_path: Path, easy_csv: Path, empty_database: Path
    ) -> None:
        file, there = tmp_path / "quick.zip", tmp_path / "there"
        there.mkdir()
        shutil.copy(empty_database, there)
        for words, directory in ((("export", "--study", "quick"), swept), (("import",), there)):
            done = completed(archive_app, *words, str(file), cwd=directory)
            assert done.returncode == 0, done.stderr
        done = sweep(there, easy_csv, "--category-column", "kind", "--trials", "4")
        assert done.returncode == 0, done.stderr
        study, before = only_study(there), only_study(swept)
        assert len(study.trials) == 4
        assert [run.metrics["loss/val"] for run in study.trials[:3]] == [
            run.metrics["loss/val"] for run in before.trials]
        assert sum(run.complete for run in study.confirms) == 2
        assert sweep(there, easy_csv, "--trials", "4", "--check").returncode == 0

    @pytest.mark.parametrize(("options", "what"), [
        (["--set", "training.batch_size=8"], "training.batch_size was 16 and is now 8"),
        (["--seed", "4"], "search seed was 0 and is now 4"),
        (["--limit", "200"], "data.limit was none and is now 200"),
    ])
    def test_another_question_under_the_same_name_is_refused(
        self, swept: Path, tmp_path: Path, easy_csv: Path, options: list[str], what: str,
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(copied(swept, tmp_path))
        monkeypatch.setattr(sys, "argv", [
            SCRIPT, "--study", "quick.toml", "--data", str(easy_csv), "--category-column", "kind", *options])
        assert cli.ended(sweep_app) == 2
        said = capsys.readouterr().err
        assert "the study 'quick' must go on as it began" in said
        assert what in said
        assert "--study-name" in said
        assert len(only_study(Path.cwd()).trials) == 3

    def test_data_of_its_own_beside_another_study(self, swept: Path, tmp_path: Path, easy_csv: Path) -> None:
        """What the refusal prints can be typed."""
        directory = copied(swept, tmp_path)
        lines = easy_csv.read_text(encoding="utf-8").splitlines(keepends=True)
        (directory / "my own.csv").write_text("".join(lines[:300]), encoding="utf-8")
        words = ["--study", "quick.toml", "--data", "my own.csv", "--trials", "1", "--confirm", "1", "--epochs", "1"]
        done = completed(sweep_app, "--study-name=quick", *words, cwd=directory, program=SCRIPT)
        assert done.returncode == 2
        assert f"data was {easy_csv} and is now \"my own.csv\"" in done.stderr
        typed = shlex.split(done.stderr.splitlines()[-1])
        assert typed == ["python", SCRIPT, *words, "--study-name", "quick-my-own"]
        begun = command(*typed[1:], cwd=directory)
        assert begun.returncode == 0, begun.stderr

    def test_a_changed_space_is_refused(self, swept: Path, tmp_path: Path) -> None:
        text = STUDY.replace("high = 1e-1", "high = 2e-1")
        (tmp_path / "quick.toml").write_text(text, encoding="utf-8")
        identity = {"data": "x"}
        storage = open_storage(str(tmp_path / "optuna.journal"))
        Search(load_study(str(tmp_path / "quick.toml")), "torch", storage, identity["data"])
        (tmp_path / "quick.toml").write_text(STUDY, encoding="utf-8")
        with pytest.raises(Exception, match=r"space of training\.lr was .*0\.2.* and is now .*0\.1"):
            Search(load_study(str(tmp_path / "quick.toml")), "torch", storage, identity["data"])

    def test_a_study_goes_on_when_gru_bench_has_learnt_a_new_setting(self, tmp_path: Path) -> None:
        (tmp_path / "quick.toml").write_text(STUDY, encoding="utf-8")
        spec, storage = load_study(str(tmp_path / "quick.toml")), open_storage(str(tmp_path / "optuna.journal"))
        began = Search(spec, "torch", storage, "data").study
        identity = dict(began.user_attrs["identity"])
        assert identity.pop("training.bf16") is False
        began.set_user_attr("identity", identity)
        assert Search(spec, "torch", storage, "data").study.study_name == began.study_name
        changed = load_study(str(tmp_path / "quick.toml"), settings={"training.bf16": True})
        with pytest.raises(UsageError, match=r"training\.bf16 was false and is now true"):
            Search(changed, "torch", storage, "data")

    @pytest.mark.skipif(platforms.WINDOWS, reason="Windows sends no signal to one process")
    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
    def test_an_interrupted_sweep_loses_nothing(
        self, tmp_path: Path, easy_csv: Path, empty_database: Path, how: signal.Signals
    ) -> None:
        shutil.copy(empty_database, tmp_path)
        process = started(tmp_path, easy_csv, "--epochs", "400", "--workers", "1", until="epoch 2")
        process.send_signal(how)
        _, complaint = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "interrupted; the same command continues from here" in complaint
        list(sync_all(tmp_path))  # a busy machine may have left writes behind
        study = only_study(tmp_path)
        assert {run.status for run in (study.run, *study.trials)} == {"KILLED"}
        search = optuna.load_study(study_name="quick/torch", storage=open_storage(str(tmp_path / "optuna.journal")))
        broken, queued = search.trials
        assert (broken.state.name, queued.state.name) == ("FAIL", "WAITING")
        assert queued.system_attrs["fixed_params"] == broken.params
        assert list(Path(os.environ["GRU_BENCH_CACHE"], "checkpoints").iterdir())


TOPICS = """
models = ["torch"]
metric = "macro_f1"
trials = 1
confirm = 3
[embedding]
dimension = 12
[model]
hidden_size = 8
[training]
epochs = 4
batch_size = 16
lr = 0.02
log_every = 5
class_weight = "balanced"
[space]
training.lr = { low = 1e-2, high = 1e-1, log = true }
"""


def test_several_classes_by_their_macro_f1(tmp_path: Path, empty_database: Path) -> None:
    """Columns are found by their names, classes by their labels; the report is about the score of the study."""
    shutil.copy(empty_database, tmp_path)
    (tmp_path / "topics.toml").write_text(TOPICS, encoding="utf-8")
    generator = np.random.default_rng(3)
    classes = ["Bücher & more", "films, tv", "🎵"]
    with (tmp_path / "topics.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["review", "topic"])
        for n in range(360):
            place = n % 7 % 3  # uneven
            own = [f"own{place}{i}" for i in range(6)]
            writer.writerow([" ".join([*generator.choice(own, 6), *generator.choice(["a", "b"], 2), f"id{n}"]),
                             classes[place]])
    done = completed(sweep_app, "--study", "topics.toml", "--data", "topics.csv")
    assert done.returncode == 0, done.stderr
    assert "column 'review'" in done.stdout
    assert "column 'topic'" in done.stdout
    assert "test macro F1" in done.stdout
    (study,) = Store(f"sqlite:///{tmp_path / 'mlflow.db'}", create=False).studies("topics")
    summary = present(study.summary)
    assert (summary.metric, summary.data.classes) == ("macro_f1", tuple(classes))
    assert sum(summary.data.class_counts) == 360
    assert "validation macro F1" in summary.objective
    for run in study.confirms:
        predictions = Store(f"sqlite:///{tmp_path / 'mlflow.db'}", create=False).predictions(run.run_id, "test")
        assert predictions.probability_N.shape == (summary.data.test, 3)
        found = scores(predictions.label_N, predictions.probability_N)
        assert {name: run.metrics[f"score/test_{name}"] for name in found} == pytest.approx(found)
        assert found["macro_f1"] > 0.35
    report = completed(report_app)
    assert report.returncode == 0, report.stderr
    page = (tmp_path / "reports" / "topics" / "report.html").read_text(encoding="utf-8")
    assert "Test macro F1" in page
    assert all(html.escape(name) in page for name in classes)
    assert completed(report_app, "--verify", "reports/topics").returncode == 0


def test_several_models_without_a_search_or_a_validation_split(
    tmp_path: Path, easy_csv: Path, empty_database: Path
) -> None:
    shutil.copy(empty_database, tmp_path)
    (tmp_path / "plain.toml").write_text("""
models = ["scratch", "torch"]
confirm = 2
[data]
validation_share = 0.0
[embedding]
dimension = 6
[model]
hidden_size = 4
[training]
epochs = 1
batch_size = 16
selection = "lowest_train_window"
log_every = 5
""", encoding="utf-8")
    done = completed(sweep_app, "--study", "plain.toml", "--data", str(easy_csv))
    assert done.returncode == 0, done.stderr
    study = only_study(tmp_path)
    assert study.summary is not None
    assert (study.summary.trials, study.summary.best, study.summary.data.validation) == ((), {}, 0)
    assert sorted((run.model, run.seed) for run in study.confirms) == [
        (model, seed) for model in ("scratch", "torch") for seed in (10_000, 10_001)]
    assert completed(report_app).returncode == 0


@pytest.mark.service
def test_sweeps_at_once_in_one_directory_one_of_which_is_killed(
    tmp_path: Path, easy_csv: Path, empty_database: Path
) -> None:
    shutil.copy(empty_database, tmp_path)
    options = ("--workers", "1", "--trials", "4", "--epochs", "6", "--confirm", "1")
    killed = started(tmp_path, easy_csv, *options, until="epoch 2")
    others = [started(tmp_path, easy_csv, *options, *more, until="study")
              for more in ((), ("--study-name", "other"))]
    killed.kill()
    killed.communicate()
    for process in others:
        _, complaint = process.communicate(timeout=200)
        assert process.returncode == 0, complaint
    studies = Store(f"sqlite:///{tmp_path / 'mlflow.db'}", create=False).studies("easy")
    assert sorted(study.run.study for study in studies) == ["other", "quick"]
    for study in studies:
        assert study.summary is not None
        states = [trial.state for trial in study.summary.trials]
        assert len(states) - states.count("failed") == 4
        assert [run.seed for run in study.confirms if run.complete] == [10_000]  # the killed one may have begun it
        assert {run.status for run in (study.run, *study.trials, *study.confirms)} <= {"FINISHED", "KILLED"}
        checked = sweep(tmp_path, easy_csv, "--study-name", study.run.study, *options, "--check")
        assert checked.returncode == 0, checked.stdout
        assert "all is done, and Optuna and MLflow agree" in checked.stdout
    more = sweep(tmp_path, easy_csv, *options, "--trials", "5", "--check")
    assert more.returncode == 3
    assert "but torch: 4 of 5 trials are finished" in more.stdout


@pytest.mark.service
def test_trials_of_several_seeds(tmp_path: Path, easy_csv: Path, empty_database: Path) -> None:
    shutil.copy(empty_database, tmp_path)
    options = ("--workers", "2", "--trials", "3", "--epochs", "2", "--confirm", "1", "--seeds-per-trial", "2")
    process = started(tmp_path, easy_csv, *options, until="seed done")
    process.kill()
    process.communicate()
    done = sweep(tmp_path, easy_csv, *options)
    assert done.returncode == 0, done.stderr
    study = only_study(tmp_path)
    assert study.summary is not None
    assert study.summary.objective == "validation accuracy, mean over 2 seeds, maximized"
    complete = [trial for trial in study.summary.trials if trial.state == "complete"]
    assert len(complete) == 3
    # Each seed once: what was done before the kill is kept.
    runs = [run for run in study.trials if run.complete]
    assert sorted((run.params["training.lr"], run.seed) for run in runs) == sorted(
        (str(trial.settings["training.lr"]), seed) for trial in complete for seed in (0, 1))
    for trial in complete:
        best = [max(value for _, value in store_history(tmp_path, run.run_id)) for run in runs
                if run.params["training.lr"] == str(trial.settings["training.lr"])]
        assert trial.value == pytest.approx(sum(best) / 2)
    assert sweep(tmp_path, easy_csv, *options, "--check").returncode == 0


def store_history(directory: Path, run_id: str) -> list[tuple[int, float]]:
    """The validation accuracy of a run, by epoch."""
    store = Store(f"sqlite:///{directory / 'mlflow.db'}", create=False)
    return store.histories([run_id], ["accuracy/val"])[run_id]["accuracy/val"]


def test_without_numba_all_runs_and_it_is_said_once(tmp_path: Path, easy_csv: Path, empty_database: Path) -> None:
    shutil.copy(empty_database, tmp_path)
    (tmp_path / "hidden" / "numba").mkdir(parents=True)
    (tmp_path / "hidden" / "numba" / "__init__.py").write_text("raise ImportError('hidden')", encoding="utf-8")
    (tmp_path / "quick.toml").write_text("""
models = ["scratch"]
confirm = 2
[embedding]
dimension = 6
[model]
hidden_size = 4
[training]
epochs = 1
""", encoding="utf-8")
    done = command(
        str(ROOT / "sweeps" / "run.py"), "--study", "quick.toml", "--data", str(easy_csv), "--workers", "2",
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "hidden"), str(ROOT)])})
    assert done.returncode == 0, done.stderr
    said = "takes several times as long here, on the backend 'torch': the fused kernel needs numba"
    assert done.stdout.count(said) == 1
    study = only_study(tmp_path)
    assert study.summary is not None
    assert [said in note for note in study.summary.notes] == [True]
    noted = [(run.backend, said in run.tags["gru_bench.backend_note"]) for run in study.confirms]
    assert noted == [("torch", True)] * 2


class TestEndsBadly:
    def test_a_setting_that_cannot_run_stops_before_any_trial(
        self, tmp_path: Path, easy_csv: Path, empty_database: Path
    ) -> None:
        shutil.copy(empty_database, tmp_path)
        done = sweep(tmp_path, easy_csv, "--device", "cuda:7", "--workers", "1")
        assert done.returncode == 2
        assert "device must be auto or one that this machine has (cpu), but got 'cuda:7'" in done.stderr
        assert Store(f"sqlite:///{tmp_path / 'mlflow.db'}", create=False).experiments() == []
        search = optuna.load_study(study_name="quick/torch", storage=open_storage(str(tmp_path / "optuna.journal")))
        assert search.trials == []

    def test_a_trial_that_explodes_fails_with_its_reason(
        self, tmp_path: Path, easy_csv: Path, empty_database: Path
    ) -> None:
        shutil.copy(empty_database, tmp_path)
        text = STUDY.replace("low = 1e-3, high = 1e-1", "low = 1e3, high = 1e5") + "\n"
        (tmp_path / "wild.toml").write_text(text.replace("log_every = 5", "log_every = 5\nclip_norm = 1e9"))
        done = completed(sweep_app, "--study", "wild.toml", "--data", str(easy_csv))
        assert done.returncode == 1
        assert "the last 3 of torch failed" in done.stderr or "has none" in done.stderr
        assert "must stay finite" in done.stderr
        assert "Traceback" not in done.stderr
        study = only_study(tmp_path)
        assert {run.status for run in (study.run, *study.trials)} == {"FAILED"}
        assert all("must stay finite" in run.reason for run in study.trials)

    def test_a_worker_that_is_killed_is_replaced_and_its_trial_done_again(
        self, tmp_path: Path, easy_csv: Path, empty_database: Path
    ) -> None:
        shutil.copy(empty_database, tmp_path)
        process = started(tmp_path, easy_csv, "--epochs", "12", "--workers", "1", until="epoch 1")
        workers = [child for child in psutil.Process(process.pid).children()
                   if "spawn_main" in " ".join(child.cmdline())]
        workers[0].kill()
        shown, complaint = process.communicate(timeout=200)
        assert process.returncode == 0, complaint
        assert "its worker process ended by" in shown
        study = only_study(tmp_path)
        assert study.summary is not None
        states = [trial.state for trial in study.summary.trials]
        assert len(states) == 4
        assert states.count("failed") == 1
        assert not any(run.status == "RUNNING" for run in study.trials)
