"""Several machines on one study, through a PostgreSQL and an MLflow server: the same command on each."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest

from gru_bench.errors import UsageError
from gru_bench.report.__main__ import app as report_app
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.tracking import LoggedStudy, open_reader
from tests.support.commands import ROOT, completed
from tests.support.servers import MlflowServer
from tests.support.sweeps import STUDY

TRIALS, SEEDS = 4, (10_000, 10_001)


def machine(folder: Path, csv: Path, storage: str, tracking: str) -> subprocess.Popen[str]:
    """Start the command in a new directory, as on another machine."""
    folder.mkdir()
    (folder / "quick.toml").write_text(STUDY, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, str(ROOT / "sweeps" / "run.py"), "--study", "quick.toml", "--data", str(csv), "--trials",
         str(TRIALS), "--epochs", "10", "--workers", "1", "--storage", storage, "--tracking-uri", tracking],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def check_complete(storage: str, tracking: str) -> LoggedStudy:
    """Check that the study has each trial and each confirmation seed once, in both stores."""
    search = optuna.load_study(study_name="quick/torch", storage=open_storage(storage))
    done = [trial for trial in search.trials if trial.state.name in ("COMPLETE", "PRUNED")]
    assert len(done) == TRIALS
    assert len({trial.params["training.lr"] for trial in done}) == TRIALS
    assert not [trial for trial in search.trials if trial.state.name in ("RUNNING", "WAITING")]
    (study,) = open_reader(tracking).studies("easy")
    runs = {run.run_id: run for run in study.trials}
    for trial in done:
        run = runs[trial.user_attrs["run_id"]]
        assert (run.tags["gru_bench.state"], run.status) == (trial.state.name.lower(), "FINISHED")
    assert sorted(run.seed or 0 for run in study.confirms if run.complete) == list(SEEDS)
    assert not [run for run in (study.run, *study.trials, *study.confirms) if run.status == "RUNNING"]
    return study


def numbers(folder: Path, tracking: str, study: LoggedStudy) -> dict[str, Any]:
    """What a report of the study says, with runs named by their labels."""
    done = completed(report_app, "--study", "quick", "--tracking-uri", tracking, "--out", str(folder))
    assert done.returncode == 0, done.stderr
    text = (folder / "numbers.json").read_text(encoding="utf-8")
    for run in (study.run, *study.trials, *study.confirms):
        text = text.replace(run.run_id, run.name)
    found = json.loads(text)["numbers"]
    for number in found.values():
        number["runs"].sort()
    return dict(found)


@pytest.mark.service
@pytest.mark.timeout(600)
def test_machines_share_a_study_that_outlives_one_of_them(
    tmp_path: Path, few_reviews: Path, empty_database: Path, postgres_url: str, tracking_server: MlflowServer
) -> None:
    stores = postgres_url, tracking_server.uri
    dies = machine(tmp_path / "dies", few_reviews, *stores)
    assert dies.stdout is not None
    assert any(" to do" in line for line in dies.stdout)
    machines = [machine(tmp_path / name, few_reviews, *stores) for name in ("one", "two")]
    dies.send_signal(signal.SIGKILL)
    dies.communicate()
    shown = [process.communicate(timeout=500) for process in machines]
    assert [process.returncode for process in machines] == [0, 0], shown
    for out, _ in shown:
        assert "confirmed on fresh seeds" in out
    study = check_complete(*stores)
    assert all("its process ended" in run.reason for run in study.trials if run.status == "KILLED")


def test_a_missing_driver_is_named_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for driver in ("psycopg", "psycopg2"):
        monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(UsageError, match=r'storage postgresql://me@host/gru needs .*"psycopg\[binary\]"'):
        open_storage("postgresql://me:secret@host/gru")
