"""Windows, simulated (`tests/support/windows`): whole commands, as a user types them in a pipe of cp1252."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gru_bench import platforms
from gru_bench.tracking import LoggedStudy, Store
from tests.support.commands import ROOT
from tests.support.sweeps import STUDY
from tests.support.windows import environment

pytestmark = pytest.mark.skipif(platforms.WINDOWS, reason="the other tests are the real thing there")


def words(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.support.windows", *arguments]


def windows(directory: Path, *arguments: str, code: int = 0) -> str:
    """What a command printed that ended with `code`."""
    done = subprocess.run(words(*arguments), cwd=directory, env=environment(), capture_output=True, encoding="cp1252",
                          timeout=240, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr


class TestSweep:
    """Sweeps of data that are named in another script, by a study in a sub-folder."""

    SWEEP = ("gru-bench", "sweep", "--study", "quick.toml", "--data", "отзывы.csv", "--workers", "2")

    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path, easy_csv: Path, empty_database: Path) -> None:
        shutil.copy(empty_database, tmp_path)
        shutil.copy(easy_csv, tmp_path / "отзывы.csv")
        (tmp_path / "quick.toml").write_text(STUDY, encoding="utf-8")

    def started(self, directory: Path, *options: str, until: str) -> subprocess.Popen[str]:
        """A sweep under way, once it has printed a line with `until`."""
        process = subprocess.Popen(
            words(*self.SWEEP, *options), cwd=directory, env=environment(), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, encoding="cp1252", start_new_session=True)
        assert process.stdout is not None
        assert any(until in line for line in process.stdout)
        return process

    def test_it_is_run_and_reported(self, tmp_path: Path) -> None:
        shown = windows(tmp_path, *self.SWEEP, "--trials", "1", "--confirm", "1", "--epochs", "1")
        assert r"\u043e\u0442\u0437\u044b\u0432\u044b: " in shown  # its name is not in cp1252
        assert "the study quick is done" in shown
        assert "+-----" in shown  # the lines of tables are not in cp1252
        shown = windows(tmp_path, "gru-bench", "report")
        (folder,) = (tmp_path / "reports").iterdir()
        assert folder.name.startswith("report-")
        assert f"{folder.name}" in shown
        assert "отзывы" in (folder / "report.html").read_text(encoding="utf-8")

    @pytest.mark.service
    def test_it_is_carried_to_another_machine(self, tmp_path: Path) -> None:
        windows(tmp_path, *self.SWEEP, "--trials", "1", "--confirm", "1")
        windows(tmp_path, "gru-bench", "archive", "export", "--study", "quick", "study.zip")
        other = tmp_path / "other"
        other.mkdir()
        windows(other, "gru-bench", "archive", "import", str(tmp_path / "study.zip"), "--study-name", "con")
        assert "con" in windows(other, "gru-bench", "report", "--study", "con")
        assert [path.name.partition("-")[0] for path in (other / "reports").iterdir()] == ["con"]
        assert not platforms.is_reserved(next((other / "reports").iterdir()).name)

    @pytest.mark.service
    def test_ctrl_c_ends_it_in_order_and_the_same_command_goes_on(self, tmp_path: Path) -> None:
        process = self.started(tmp_path, "--epochs", "20", until="epoch 2")
        os.killpg(process.pid, signal.SIGINT)  # it reaches the workers too
        shown, complaint = process.communicate(timeout=60)
        assert process.returncode == 130, complaint
        assert "interrupted; the same command continues from here" in complaint
        assert "Traceback" not in complaint
        shown = windows(tmp_path, *self.SWEEP, "--epochs", "20")
        assert "the study quick is done" in shown
        study = self.only(tmp_path)
        assert {run.status for run in study.confirms} == {"FINISHED"}
        assert not any(run.status == "RUNNING" for run in study.trials)

    @pytest.mark.service
    def test_a_killed_one_is_taken_up(self, tmp_path: Path) -> None:
        process = self.started(tmp_path, "--epochs", "20", until="epoch 2")
        process.kill()
        process.communicate(timeout=60)
        shown = windows(tmp_path, *self.SWEEP, "--epochs", "20")
        assert "the study quick is done" in shown
        study = self.only(tmp_path)
        assert sum(run.tags["gru_bench.state"] == "complete" for run in study.trials) == 3
        assert not any(run.status == "RUNNING" for run in (study.run, *study.trials, *study.confirms))

    @pytest.mark.service
    def test_two_share_a_study(self, tmp_path: Path) -> None:
        both = [self.started(tmp_path, "--trials", "6", "--epochs", "6", until="reviews") for _ in range(2)]
        for process in both:
            shown, complaint = process.communicate(timeout=240)
            assert process.returncode == 0, complaint
            assert "Traceback" not in complaint
            assert "done" in shown
        study = self.only(tmp_path)
        assert len([run for run in study.trials if run.complete or run.tags["gru_bench.state"] == "pruned"]) == 6
        assert sorted(run.seed or 0 for run in study.confirms) == [10_000, 10_001]

    def only(self, directory: Path) -> LoggedStudy:
        store = Store(f"sqlite:///{directory / 'mlflow.db'}", create=False)
        (study,) = store.studies("отзывы")
        return study


@pytest.mark.service
def test_one_run_is_trained(tmp_path: Path, easy_csv: Path, empty_database: Path) -> None:
    shutil.copy(empty_database, tmp_path)
    train = ("gru-bench", "train", "--data", str(easy_csv), "--hidden-size", "8", "--epochs", "1",
             "--set", "embedding.dimension=12")
    assert "logged as run" in windows(tmp_path, *train)


@pytest.mark.service
def test_tests_are_collected_and_pass() -> None:
    pytest_there = ("pytest", "-n", "0", "-q", "-p", "no:cacheprovider")
    assert "error" not in windows(ROOT, *pytest_there, "--collect-only", "tests").splitlines()[-1]
    shown = windows(ROOT, *pytest_there, *(f"tests/{name}" for name in (
        "test_platforms.py", "test_cli.py", "test_errors.py", "test_main.py", "test_config.py", "sweep/sharing",
        "sweep/test_spec.py", "archive/test_work_folder.py", "data/test_cache.py", "tracking/test_queue.py",
        "tracking/test_sync.py", "report/render/test_files.py")))
    assert " passed" in shown.splitlines()[-1]
    assert "failed" not in shown.splitlines()[-1]
