"""Whole sweeps on a few reviews: what they log, how they resume, how they fail, and what is made of them."""

from __future__ import annotations

import csv
import html
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import psutil
import pytest
from mlflow.tracking._tracking_service import utils

from gru_bench import platforms
from gru_bench.__main__ import app
from gru_bench.data.vectors import MOST_PASSES
from gru_bench.errors import ExitCode, UsageError
from gru_bench.evidence.progress import baseline_runs, study_data
from gru_bench.results.baselines import baseline_names
from gru_bench.stats.scores import scores
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.spec import load_study
from gru_bench.sweep.study import StudyRecord
from gru_bench.tracking import NOTE, Store, open_reader
from gru_bench.tracking.client import ROWS_TAG
from tests.support.commands import ROOT, command, completed, mentions
from tests.support.mlflow_stores import client_of
from tests.support.sweeps import SCRIPT, STUDY, only_study, started, sweep, without_worker_processes
from tests.support.values import present

CATEGORIES = ("--category-column", "kind")


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, few_reviews: Path, empty_database: Path) -> Path:
    """A directory in which a study was run to its end, by a worker process."""
    directory = tmp_path_factory.mktemp("swept")
    shutil.copy(empty_database, directory)
    (directory / "quick.toml").write_text(STUDY, encoding="utf-8")
    done = completed(app, "sweep", "--study", "quick.toml", "--data", str(few_reviews), *CATEGORIES, "--workers", "1",
                     cwd=directory)
    assert done.returncode == 0, done.stderr
    mentions(done.stdout, "confirmed on fresh seeds", "the study quick is done", "gru-bench report --study quick")
    return directory


@pytest.fixture
def copy(swept: Path, tmp_path: Path) -> Path:
    """A copy of the study to change. Within a process, MLflow remembers where the artifacts of a run are."""
    utils._artifact_repos_cache.clear()
    shutil.copytree(swept, tmp_path / "copy")
    return tmp_path / "copy"


def listing(folder: Path) -> list[tuple[str, int]]:
    """Return path and time of change of each file below a folder; empty if it is gone."""
    return sorted((str(path), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file())


class TestComplete:
    def test_logs_all_trials_and_confirmation_runs(self, swept: Path) -> None:
        study = only_study(swept)
        assert study.summary is not None
        assert len(study.trials) == 3
        assert [trial.state for trial in study.summary.trials].count("failed") == 0
        assert list(study.summary.confirm_seeds) == [10_000, 10_001]
        assert sorted(present(run.seed) for run in study.confirms) == [10_000, 10_001]
        assert all(run.complete for run in study.confirms)
        assert all(run.status == "FINISHED" for run in (study.run, *study.trials, *study.confirms))
        assert study.run.tags["gru_bench.data_fingerprint"] == study.summary.data.fingerprint
        data = study.summary.data
        assert "result/average/mean" in study.run.metrics
        assert re.search(r"\n\|\s*average\W", study.run.tags[NOTE])
        for run in study.runs:
            rows = json.loads(run.tags[ROWS_TAG])
            assert (rows["train"], rows["validation"], rows["test"]) == (data.train, data.validation, data.test)

    def test_the_search_never_sees_the_test_split(self, swept: Path) -> None:
        study = only_study(swept)
        assert {run.seed for run in study.trials} == {0}
        assert not any(key.startswith("score/test_") for run in study.trials for key in run.metrics)
        assert all("score/test_accuracy" in run.metrics for run in study.confirms)

    def test_confirms_the_best_complete_trial(self, swept: Path) -> None:
        study = only_study(swept)
        assert study.summary is not None
        complete = [trial for trial in study.summary.trials if trial.state == "complete"]
        best = max(complete, key=lambda trial: trial.value or 0.0)
        assert study.summary.best == {"torch": best.settings}
        assert study.summary.best_value == {"torch": best.value}
        assert {run.params["training.lr"] for run in study.confirms} == {str(best.settings["training.lr"])}

    def test_optuna_and_mlflow_agree(self, swept: Path) -> None:
        study = only_study(swept)
        search = optuna.load_study(study_name="quick/torch", storage=open_storage(str(swept / "optuna.journal")))
        runs = {run.run_id: run for run in study.trials}
        for trial in search.trials:
            run = runs.pop(trial.user_attrs["run_id"])
            assert float(run.params["training.lr"]) == trial.params["training.lr"]
            assert run.tags["gru_bench.state"] == trial.state.name.lower()
        assert not runs

    def test_logs_baselines_and_data_before_the_study_ends(self, swept: Path) -> None:
        study = only_study(swept)
        summary = present(study.summary)
        assert [run.model for run in baseline_runs(study)] == list(baseline_names())
        assert baseline_runs(study)[1].metrics["score/test_accuracy"] > 0.7
        assert study.run.started < min(run.started for run in study.baselines)
        assert max(run.started for run in study.baselines) < min(run.started for run in study.confirms)
        assert summary.data.categories == {"books": 80, "music": 40}
        assert summary.data.train + summary.data.validation + summary.data.test == summary.data.available == 120
        assert summary.data.vector_passes == MOST_PASSES
        assert -1 <= present(summary.data.vector_cosine) <= 1
        early, store = replace(study, summary=None), open_reader(f"sqlite:///{swept / 'mlflow.db'}")
        assert study_data(early, store) == summary.data
        assert study.run.params["margin"] == "1.0"

    def test_a_report_of_the_store_alone_has_the_same_accuracy_in_all_formats(
        self, swept: Path, tmp_path: Path
    ) -> None:
        done = completed(app, "report", "--tracking-uri", f"sqlite:///{swept / 'mlflow.db'}", "--out", "out")
        assert done.returncode == 0, done.stderr
        study = only_study(swept)
        hits = [run.metrics["score/test_accuracy"] for run in study.confirms]
        accuracy = f"{100 * sum(hits) / len(hits):.1f}"
        for name in ("report.html", "report.tex", "report.md"):
            written = Path("out", name).read_text(encoding="utf-8").replace(r"\allowbreak{}", "")
            assert accuracy in written, name
        assert all(run.run_id in Path("out", "report.html").read_text(encoding="utf-8") for run in study.confirms)

    def test_its_winner_predicts(self, swept: Path) -> None:
        done = completed(app, "predict", "--study", "quick", "good1 good2 word3", "bad4", cwd=swept)
        assert done.returncode == 0, done.stderr
        mentions(done.stdout, "good1 good2 word3", "bad4", "%")


class TestResumes:
    def test_a_start_with_nothing_to_do_shows_the_results_without_workers_and_writes_nothing(
        self, copy: Path, few_reviews: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stores = [copy / "mlflow.db", copy / "optuna.journal"]
        before = [path.read_bytes() for path in stores]
        for name in ("sweep.start.choose_workers", "tracking.client.load_mlflow"):
            monkeypatch.setattr(f"gru_bench.{name}", lambda *_, name=name, **__: pytest.fail(f"{name} is called"))
        done = sweep(copy, few_reviews, *CATEGORIES)
        assert done.returncode == 0, done.stderr
        accuracies = [run.metrics["score/test_accuracy"] for run in only_study(copy).confirms]
        mentions(done.stdout, "confirmed on fresh seeds", f"{100 * sum(accuracies) / len(accuracies):.1f}",
                 "majority class (baseline)", "the study quick is done", "the study's page in MLflow",
                 "all its runs in one table")
        assert [path.read_bytes() for path in stores] == before

    def test_a_complete_study_gets_no_more_runs(self, copy: Path, swept: Path, few_reviews: Path) -> None:
        done = sweep(copy, few_reviews, *CATEGORIES, "--trials", "2")
        assert done.returncode == 0, done.stderr
        mentions(done.stdout, "3 of torch", "more than 2 trials", "all runs of the study are done")
        for announced in ("to do", "; now", "to begin"):
            assert announced not in done.stdout
        study, before = only_study(copy), only_study(swept)
        assert study.run.run_id == before.run.run_id
        assert [run.run_id for run in study.trials] == [run.run_id for run in before.trials]
        assert [run.run_id for run in study.confirms] == [run.run_id for run in before.confirms]
        assert study.summary is not None
        assert len(study.summary.trials) == 3

    def test_a_run_that_was_deleted_in_mlflow_is_trained_again(self, copy: Path, few_reviews: Path) -> None:
        before = sorted(only_study(copy).confirms, key=lambda run: run.seed or 0)
        client_of(Store(f"sqlite:///{copy / 'mlflow.db'}")).delete_run(before[0].mlflow_id)
        checked = sweep(copy, few_reviews, *CATEGORIES, "--check")
        assert checked.returncode == ExitCode.INCOMPLETE
        mentions(checked.stdout, str(before[0].seed), "was deleted", before[0].mlflow_id, "the same command")
        done = sweep(copy, few_reviews, *CATEGORIES)
        assert done.returncode == 0, done.stderr
        mentions(done.stdout, "are trained again: 1")
        after = sorted(only_study(copy).confirms, key=lambda run: run.seed or 0)
        assert [run.seed for run in after] == [run.seed for run in before]
        assert after[0].run_id != before[0].run_id
        assert after[1:] == before[1:]
        assert after[0].metrics["score/test_accuracy"] == before[0].metrics["score/test_accuracy"]

    def test_a_check_names_runs_whose_predictions_are_missing(self, copy: Path, few_reviews: Path) -> None:
        run = only_study(copy).confirms[0]
        with closing(sqlite3.connect(copy / "mlflow.db")) as connection:
            connection.execute("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", (str(copy / "no"), run.mlflow_id))
            connection.commit()
        done = sweep(copy, few_reviews, *CATEGORIES, "--check")
        assert done.returncode == ExitCode.NO, done.stderr
        mentions(done.stdout, run.run_id, "predictions/test.parquet", "delete the runs in MLflow")
        assert "everything is done" not in done.stdout

    def test_a_check_answers_by_its_exit_code(self, copy: Path, few_reviews: Path) -> None:
        assert sweep(copy, few_reviews, *CATEGORIES, "--check").returncode == ExitCode.DONE
        unfinished = sweep(copy, few_reviews, *CATEGORIES, "--check", "--trials", "4")
        assert unfinished.returncode == ExitCode.INCOMPLETE
        mentions(unfinished.stdout, "3 of 4 trials")
        assert "do not match" not in unfinished.stdout
        for changed, study in ((["--epochs", "3"], STUDY), ([], STUDY.replace("1e-1", "1e-2"))):
            refused = sweep(copy, few_reviews, *CATEGORIES, *changed, "--check", study=study)
            assert refused.returncode == ExitCode.MISTYPED
            mentions(refused.stderr, "training.epochs was 2 and is now 3" if changed else "space of training.lr was",
                     "name")
        run_id = only_study(copy).trials[0].mlflow_id
        client_of(Store(f"sqlite:///{copy / 'mlflow.db'}")).delete_run(run_id)
        disagreeing = sweep(copy, few_reviews, *CATEGORIES, "--check")
        assert disagreeing.returncode == ExitCode.NO
        mentions(disagreeing.stdout, f"mlflow runs restore --run-id {run_id}")

    def test_a_sweep_that_its_timeout_ends_is_not_complete(self, copy: Path, few_reviews: Path) -> None:
        done = sweep(copy, few_reviews, *CATEGORIES, "--trials", "5", "--timeout", "0.001s")
        assert done.returncode == ExitCode.INCOMPLETE, done.stderr
        mentions(done.stdout, "not done yet", "timeout")
        assert len(only_study(copy).trials) == 3

    def test_the_numbers_of_trials_and_seeds_are_totals(self, copy: Path, few_reviews: Path) -> None:
        done = sweep(copy, few_reviews, *CATEGORIES, "--trials", "5", "--confirm", "3")
        assert done.returncode == 0, done.stderr
        study = only_study(copy)
        assert study.summary is not None
        assert len(study.trials) == len(study.summary.trials) == 5
        assert sorted(present(run.seed) for run in study.confirms) == [10_000, 10_001, 10_002]
        assert len({trial.settings["training.lr"] for trial in study.summary.trials}) == 5

    @pytest.mark.parametrize("is_copy", [False, True])
    def test_a_study_is_resumed_in_the_folder_that_it_was_moved_or_copied_to(
        self, copy: Path, tmp_path: Path, few_reviews: Path, is_copy: bool
    ) -> None:
        there = tmp_path / "with space" / "there"
        before = only_study(copy)
        if is_copy:
            shutil.copytree(copy, there)
        else:
            there.parent.mkdir()
            copy.rename(there)
        listed = listing(copy)
        done = sweep(there, few_reviews, *CATEGORIES, "--trials", "4", "--set", "training.batch_size=8")
        assert done.returncode == ExitCode.MISTYPED
        done = sweep(there, few_reviews, *CATEGORIES, "--trials", "4")
        assert done.returncode == 0, done.stderr
        study = only_study(there)
        assert len(study.trials) == 4
        assert [run.metrics["loss/val"] for run in study.trials[:3]] == [
            run.metrics["loss/val"] for run in before.trials]
        assert sum(run.complete for run in study.confirms) == 2
        for words in (("report", "--study", "quick"), ("predict", "--study", "quick", "a film")):
            done = completed(app, *words, cwd=there)
            assert done.returncode == 0, done.stderr
        assert sweep(there, few_reviews, *CATEGORIES, "--trials", "4", "--check").returncode == ExitCode.DONE
        assert listing(copy) == listed
        client = client_of(open_reader(f"sqlite:///{there / 'mlflow.db'}"))
        for run in study.runs:
            address = client.get_run(run.mlflow_id).info.artifact_uri
            assert address.startswith(f"{(there / 'mlartifacts').as_uri()}/")

    @pytest.mark.parametrize(("options", "change"), [
        (["--set", "training.batch_size=8"], "training.batch_size was 16 and is now 8"),
        (["--seed", "4"], "search seed was 0 and is now 4"),
        (["--limit", "90"], "data.limit was none and is now 90"),
    ])
    def test_refuses_another_question_under_the_same_name(
        self, copy: Path, few_reviews: Path, options: list[str], change: str
    ) -> None:
        done = sweep(copy, few_reviews, *CATEGORIES, *options)
        assert done.returncode == ExitCode.MISTYPED
        mentions(done.stderr, "'quick'", change, "name")
        assert len(only_study(copy).trials) == 3

    def test_refuses_other_data_under_the_same_name(self, copy: Path, few_reviews: Path) -> None:
        lines = few_reviews.read_text(encoding="utf-8").splitlines(keepends=True)
        (copy / "my own.csv").write_text("".join(lines[:100]), encoding="utf-8")
        with without_worker_processes():
            done = completed(app, "sweep", "--study-name=quick", "--study", "quick.toml", "--data", "my own.csv",
                             "--epochs", "1", cwd=copy)
        assert done.returncode == ExitCode.MISTYPED
        mentions(done.stderr, f"data was {few_reviews} and is now \"my own.csv\"", "--study-name")

    def test_refuses_another_space_under_the_same_name(self, tmp_path: Path) -> None:
        wider = load_study(self.study_file(tmp_path, STUDY.replace("high = 1e-1", "high = 2e-1")))
        storage = open_storage(str(tmp_path / "optuna.journal"))
        StudyRecord(wider, storage, "data", "mine")
        with pytest.raises(UsageError, match=r"training\.lr was .*0\.2.* and is now .*0\.1"):
            StudyRecord(load_study(self.study_file(tmp_path, STUDY)), storage, "data", "mine")

    def test_a_study_may_be_resumed_when_gru_bench_has_a_new_setting(self, tmp_path: Path) -> None:
        path = self.study_file(tmp_path, STUDY)
        spec, storage = load_study(path), open_storage(str(tmp_path / "optuna.journal"))
        search = StudyRecord(spec, storage, "data", "mine").searches["torch"]
        identity = search.notes["identity"]
        assert identity.pop("training.drop_last") is False
        search.note(identity=identity)
        again = StudyRecord(spec, storage, "data", "mine").searches["torch"]
        assert again.notes["identity"]["training.drop_last"] is False
        changed = load_study(path, settings={"training.drop_last": True})
        with pytest.raises(UsageError, match=r"training\.drop_last was false and is now true"):
            StudyRecord(changed, storage, "data", "mine")

    @staticmethod
    def study_file(directory: Path, text: str) -> str:
        (directory / "quick.toml").write_text(text, encoding="utf-8")
        return str(directory / "quick.toml")


PLAIN = """
base = "none"
models = ["scratch", "torch"]
confirm = 2
[data]
validation_share = 0.0
[embedding]
dimension = 6
[model]
hidden_size = 4
backend = "torch"
[training]
epochs = 1
batch_size = 16
selection = "lowest_train_window"
log_every = 5
"""


def test_trains_several_models_without_a_search_or_a_validation_split(
    tmp_path: Path, few_reviews: Path, database: Path
) -> None:
    done = sweep(tmp_path, few_reviews, "--workers", "2", study=PLAIN)
    assert done.returncode == 0, done.stderr
    study = only_study(tmp_path)
    assert study.summary is not None
    assert (study.summary.trials, study.summary.best, study.summary.data.validation) == ((), {}, 0)
    assert sorted((run.model, run.seed) for run in study.confirms) == [
        (model, seed) for model in ("scratch", "torch") for seed in (10_000, 10_001)]
    # The workers share out the cores.
    assert {run.params["training.threads"] for run in study.confirms} == {str(max(1, platforms.cores() // 2))}


def test_a_search_whose_loss_is_never_finite_fails_with_this_reason(
    tmp_path: Path, few_reviews: Path, database: Path
) -> None:
    wild = STUDY.replace("low = 1e-3, high = 1e-1", "low = 1e3, high = 1e5")
    done = sweep(tmp_path, few_reviews, study=wild.replace("log_every = 5", "log_every = 5\nclip_norm = 1e9"))
    assert done.returncode == 1
    mentions(done.stderr, "must stay finite")
    assert "Traceback" not in done.stderr
    study = only_study(tmp_path)
    assert {run.status for run in (study.run, *study.trials)} == {"FAILED"}
    assert all("must stay finite" in run.reason for run in study.trials)


TOPICS = """
base = "none"
models = ["torch"]
metric = "macro_f1"
trials = 1
confirm = 3
[embedding]
dimension = 12
[model]
hidden_size = 8
backend = "torch"
[training]
epochs = 4
batch_size = 16
lr = 0.02
log_every = 5
class_weight = "balanced"
[space]
training.lr = { low = 1e-2, high = 1e-1, log = true }
"""


@pytest.mark.slow
def test_compares_several_classes_by_their_macro_f1(tmp_path: Path, database: Path) -> None:
    """The columns are found by their names, the classes by their labels; the report is about the score of the study."""
    generator = np.random.default_rng(3)
    classes = ["Bücher & more", "films, tv", "🎵"]
    with (tmp_path / "easy.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["review", "topic"])
        for n in range(360):
            place = n % 7 % 3  # uneven
            own = [f"own{place}{i}" for i in range(6)]
            writer.writerow([" ".join([*generator.choice(own, 6), *generator.choice(["a", "b"], 2), f"id{n}"]),
                             classes[place]])
    done = sweep(tmp_path, Path("easy.csv"), study=TOPICS)
    assert done.returncode == 0, done.stderr
    mentions(done.stdout, "column 'review'", "column 'topic'", "test macro F1")
    study = only_study(tmp_path)
    summary = present(study.summary)
    assert (summary.metric, summary.data.classes) == ("macro_f1", tuple(classes))
    assert sum(summary.data.class_counts) == 360
    assert "validation macro F1" in summary.objective
    for run in study.confirms:
        predictions = open_reader(f"sqlite:///{tmp_path / 'mlflow.db'}").predictions(run.run_id, "test")
        assert predictions.probability_NC.shape == (summary.data.test, 3)
        found = scores(predictions.label_N, predictions.probability_NC)
        assert {name: run.metrics[f"score/test_{name}"] for name in found} == pytest.approx(found)
        assert found["macro_f1"] > 0.35
    report = completed(app, "report")
    assert report.returncode == 0, report.stderr
    page = (tmp_path / "reports" / "easy" / "report.html").read_text(encoding="utf-8")
    assert "Test macro F1" in page
    assert all(html.escape(name) in page for name in classes)
    assert completed(app, "report", "--verify", "reports/easy").returncode == 0


@pytest.mark.slow
class TestProcesses:
    """Sweeps in processes of their own, as users start them: interrupted, killed, and side by side."""

    @pytest.fixture(autouse=True)
    def _database(self, database: Path) -> None: ...

    @pytest.mark.skipif(platforms.WINDOWS, reason="Windows sends no signal to one process")
    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
    def test_an_interrupted_sweep_ends_in_order_and_the_same_command_resumes_it(
        self, tmp_path: Path, few_reviews: Path, how: signal.Signals
    ) -> None:
        options = ("--trials", "1", "--epochs", "40", "--confirm", "1")
        process = started(tmp_path, few_reviews, *options, "--workers", "1")
        process.send_signal(how)
        _, complaint = process.communicate(timeout=60)
        assert process.returncode == ExitCode.INTERRUPTED
        mentions(complaint, "interrupted", "the same command continues")
        study = only_study(tmp_path)
        assert {run.status for run in (study.run, *study.trials)} == {"KILLED"}
        search = optuna.load_study(study_name="quick/torch", storage=open_storage(str(tmp_path / "optuna.journal")))
        broken, queued = search.trials
        assert (broken.state.name, queued.state.name) == ("FAIL", "WAITING")
        assert queued.system_attrs["fixed_params"] == broken.params
        assert list(Path(os.environ["GRU_BENCH_CACHE"], "checkpoints").iterdir())

        resumed = sweep(tmp_path, few_reviews, *options)
        assert resumed.returncode == 0, resumed.stderr
        study = only_study(tmp_path)
        (done,) = present(study.summary).trials
        assert done.settings == broken.params
        assert [run.seed for run in study.confirms] == [10_000]

    @pytest.mark.skipif(platforms.WINDOWS, reason="Windows sends no signal to one process")
    def test_ctrl_c_before_the_training_ends_a_sweep_that_a_shell_began_in_the_background(
        self, tmp_path: Path, few_reviews: Path
    ) -> None:
        (tmp_path / "quick.toml").write_text(STUDY, encoding="utf-8")
        ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as such a shell does
        try:
            process = subprocess.Popen(
                [sys.executable, SCRIPT, "--study", "quick.toml", "--data", str(few_reviews), "--trials", "1",
                 "--epochs", "400", "--workers", "1"],
                cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        finally:
            signal.signal(signal.SIGINT, ignored)
        while not psutil.Process(process.pid).children():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=60)
        assert process.returncode == ExitCode.INTERRUPTED, complaint

    def test_a_killed_worker_is_replaced_and_its_trial_done_again(self, tmp_path: Path, few_reviews: Path) -> None:
        process = started(tmp_path, few_reviews, "--trials", "1", "--epochs", "40", "--confirm", "1", "--workers", "1")
        workers = [child for child in psutil.Process(process.pid).children()
                   if "spawn_main" in " ".join(child.cmdline())]
        workers[0].kill()
        shown, complaint = process.communicate(timeout=200)
        assert process.returncode == 0, complaint
        mentions(shown, "its worker process ended by")
        study = only_study(tmp_path)
        states = [trial.state for trial in present(study.summary).trials]
        assert states == ["complete"]
        assert not any(run.status == "RUNNING" for run in study.trials)

    def test_a_sweep_beside_one_that_is_killed_completes_the_study_while_a_third_has_another(
        self, tmp_path: Path, few_reviews: Path
    ) -> None:
        options = ("--workers", "1", "--trials", "3", "--epochs", "12", "--confirm", "1")
        killed = started(tmp_path, few_reviews, *options)
        others = [started(tmp_path, few_reviews, *options, *more, until="study")
                  for more in ((), ("--study-name", "other"))]
        killed.kill()
        killed.communicate()
        for process in others:
            _, complaint = process.communicate(timeout=200)
            assert process.returncode == 0, complaint
        studies = open_reader(f"sqlite:///{tmp_path / 'mlflow.db'}").studies("easy")
        assert sorted(study.run.study for study in studies) == ["other", "quick"]
        for study in studies:
            states = [trial.state for trial in present(study.summary).trials]
            assert (len(states), states.count("failed")) == (3, 0)
            # The killed one may have begun its own.
            assert [run.seed for run in study.confirms if run.complete] == [10_000]
            assert {run.status for run in (study.run, *study.trials, *study.confirms)} <= {"FINISHED", "KILLED"}
            checked = sweep(tmp_path, few_reviews, "--study-name", study.run.study, *options, "--check")
            assert checked.returncode == ExitCode.DONE, checked.stdout

    def test_without_numba_a_sweep_runs_on_torch_and_says_so_once(self, tmp_path: Path, few_reviews: Path) -> None:
        (tmp_path / "hidden" / "numba").mkdir(parents=True)
        (tmp_path / "hidden" / "numba" / "__init__.py").write_text("raise ImportError('hidden')", encoding="utf-8")
        (tmp_path / "quick.toml").write_text(
            'base = "none"\nmodels = ["scratch"]\nconfirm = 2\n[embedding]\ndimension = 6\n[model]\nhidden_size = 4\n'
            "[training]\nepochs = 1\nthreads = 1\n", encoding="utf-8")
        done = command(
            SCRIPT, "--study", "quick.toml", "--data", str(few_reviews), "--workers", "1", cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "hidden"), str(ROOT)])})
        assert done.returncode == 0, done.stderr
        reason = "the fused kernel needs numba"
        assert done.stdout.count(reason) == 1
        study = only_study(tmp_path)
        assert [reason in note for note in present(study.summary).notes] == [True]
        assert [(run.backend, reason in run.tags["gru_bench.backend_note"]) for run in study.confirms] == [
            ("torch", True)] * 2
