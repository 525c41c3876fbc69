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
from gru_bench.errors import ExitCode
from gru_bench.tracking import open_reader
from tests.support.commands import ROOT, mentions
from tests.support.sweeps import STUDY, await_checkpoints, checkpoints
from tests.support.windows import environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600),
              pytest.mark.skipif(platforms.WINDOWS, reason="the other tests are the real thing there")]
TESTED = ("test_platforms.py", "test_cli.py", "test_errors.py", "test_main.py", "test_config.py", "sharing",
          "test_spec.py", "test_work_folder.py", "test_cache.py", "test_store.py",
          "render and test_files.py")
"""Files and folders whose tests are run."""


def words(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.support.windows", *arguments]


def windows(directory: Path, *arguments: str, code: int = 0) -> str:
    """What a command printed that ended with `code`."""
    done = subprocess.run(words(*arguments), cwd=directory, env=environment(), capture_output=True, encoding="cp1252",
                          timeout=500, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout + done.stderr


class TestSweep:
    """Sweeps of data that are named in another script, by a study in a sub-folder."""

    SWEEP = ("gru-bench", "sweep", "--study", "quick.toml", "--data", "отзывы.csv", "--workers", "1")

    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path, few_reviews: Path, database: Path) -> None:
        shutil.copy(few_reviews, tmp_path / "отзывы.csv")
        (tmp_path / "quick.toml").write_text(STUDY, encoding="utf-8")

    def started(self, directory: Path, *options: str, until: str = "") -> subprocess.Popen[str]:
        """A sweep under way, once it has printed a line with `until`; by default, once a run has a checkpoint."""
        before = checkpoints()
        process = subprocess.Popen(
            words(*self.SWEEP, *options), cwd=directory, env=environment(), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, encoding="cp1252", start_new_session=True)
        assert process.stdout is not None
        if until:
            assert any(until in line for line in process.stdout)
        else:
            await_checkpoints(before)
        return process

    def test_a_study_is_run_and_reported_in_the_folder_that_it_was_copied_to(self, tmp_path: Path) -> None:
        shown = windows(tmp_path, *self.SWEEP, "--trials", "1", "--confirm", "1", "--epochs", "1")
        assert r"\u043e\u0442\u0437\u044b\u0432\u044b: " in shown  # its name is not in cp1252
        assert "the study quick is done" in shown
        assert "+-----" in shown  # the lines of tables are not in cp1252
        other = tmp_path / "other"
        shutil.copytree(tmp_path, other)
        assert "quick" in windows(other, "gru-bench", "report", "--study", "quick")
        (folder,) = (other / "reports").iterdir()
        assert "отзывы" in (folder / "report.html").read_text(encoding="utf-8")

    def test_a_sweep_resumes_after_ctrl_c_and_goes_on_beside_one_that_is_killed(self, tmp_path: Path) -> None:
        options = ("--trials", "3", "--epochs", "20")
        process = self.started(tmp_path, *options)
        os.killpg(process.pid, signal.SIGINT)  # it reaches the workers too
        _, complaint = process.communicate(timeout=60)
        assert process.returncode == ExitCode.INTERRUPTED, complaint
        mentions(complaint, "interrupted", "the same command continues")
        assert "Traceback" not in complaint

        killed = self.started(tmp_path, *options)
        process = self.started(tmp_path, *options, until=" training, ")
        killed.kill()
        killed.communicate(timeout=60)
        shown, complaint = process.communicate(timeout=240)
        assert process.returncode == 0, complaint
        assert "Traceback" not in complaint
        assert "the study quick is done" in shown
        (study,) = open_reader(f"sqlite:///{tmp_path / 'mlflow.db'}").studies("отзывы")
        assert len([run for run in study.trials if run.complete or run.tags["gru_bench.state"] == "pruned"]) == 3
        assert sorted(run.seed or 0 for run in study.confirms if run.complete) == [10_000, 10_001]
        assert not any(run.status == "RUNNING" for run in (study.run, *study.trials, *study.confirms))


def test_one_run_is_trained(tmp_path: Path, few_reviews: Path, database: Path) -> None:
    shown = windows(tmp_path, "gru-bench", "train", "--data", str(few_reviews), "--hidden-size", "8", "--epochs", "1",
                    "--set", "embedding.dimension=12", "--set", "model.backend=torch", "--set", "training.threads=1")
    assert "logged as run" in shown


def test_all_tests_are_collected_and_those_of_some_files_pass() -> None:
    shown = windows(ROOT, "pytest", "-n", "0", "-q", "-p", "no:cacheprovider", "--hypothesis-profile", "local", "-k",
                    " or ".join(f"({name})" for name in TESTED), "tests")
    last = shown.splitlines()[-1]
    assert " passed" in last
    assert "failed" not in last
    assert "error" not in last
