"""Sweeps and reports on servers of MLflow and PostgreSQL, and on servers that go away."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import optuna
import pytest

from gru_bench.errors import ExitCode
from gru_bench.report.__main__ import app as report_app
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.tracking import LoggedStudy, open_reader
from gru_bench.tracking.store import ATTACHED
from tests.support.chromium import PROGRAM, Chromium, chromium
from tests.support.commands import completed, mentions
from tests.support.servers import MlflowServer, mlflow_server
from tests.support.sweeps import SCRIPT, STUDY, sweep

pytestmark = pytest.mark.service
PAGE_SECONDS = 120
"""Most seconds that a page of MLflow may take to fill itself."""


def begun(csv: Path, uri: str) -> subprocess.Popen[str]:
    """A sweep in a process of its own, whose lines can be read as they come."""
    Path("quick.toml").write_text(STUDY, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-u", SCRIPT, "--study", "quick.toml", "--data", str(csv), "--tracking-uri", uri,
         "--workers", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})


def until(process: subprocess.Popen[str], *signs: str) -> list[str]:
    """Read the lines of a process up to the one that holds the last sign, in this order."""
    assert process.stdout is not None
    lines, left = [], list(signs)
    for line in process.stdout:
        lines.append(line)
        if left and left[0] in line:
            left.pop(0)
        if not left:
            return lines
    raise AssertionError(f"{left[0]!r} was not said in:\n{''.join(lines)}")


def end(process: subprocess.Popen[str]) -> str:
    """Wait for a process and return the rest of what it says."""
    assert process.stdout is not None
    with process.stdout:
        said = process.stdout.read()
    process.wait()
    return said


def logged(server: MlflowServer) -> LoggedStudy:
    """The only study, once it is checked: nothing twice, nothing left, and Optuna says the same."""
    with closing(sqlite3.connect(server.database)) as connection:
        counts = connection.execute("SELECT COUNT(*) FROM metrics GROUP BY run_uuid, key, step").fetchall()
    assert set(counts) == {(1,)}
    (study,) = open_reader(server.uri).studies("easy")
    runs = [study.run, *study.trials, *study.confirms]
    assert {run.status for run in runs} == {"FINISHED"}
    assert [run.complete for run in (study.run, *study.confirms)] == [True] * 3
    search = optuna.load_study(study_name="quick/torch", storage=open_storage(None))
    noted = {trial.user_attrs["run_id"]: trial for trial in search.trials}
    assert len(noted) == len(study.trials) == 3
    for run in study.trials:
        assert run.tags["gru_bench.state"] == noted[run.run_id].state.name.lower()
    epochs = open_reader(server.uri).histories([run.run_id for run in runs], ["loss/train"])
    assert all([step for step, _ in epochs[run.run_id]["loss/train"]] == [1, 2] for run in study.confirms)
    models = open_reader(server.uri).models([run.run_id for run in study.confirms], study.run.run_id)
    assert [one.seeds for one in models] == [(run.seed,) for run in study.confirms]
    return study


def reported(uri: str, folder: str) -> dict[str, object]:
    done = completed(report_app, "--tracking-uri", uri, "--out", folder)
    assert done.returncode == 0, done.stderr
    return dict(json.loads((Path(folder) / "numbers.json").read_text(encoding="utf-8")))


@pytest.mark.timeout(600)
def test_a_server_that_goes_away_during_a_sweep_costs_nothing(
    own_server: MlflowServer, few_reviews: Path
) -> None:
    own_server.start()
    process = begun(few_reviews, own_server.uri)
    until(process, " to do")
    own_server.stop()
    until(process, "does not respond")  # a trial ends after its run is complete on the server
    own_server.start()
    rest = end(process)
    assert process.returncode == 0, rest
    assert "confirmed on fresh seeds" in rest
    logged(own_server)


def test_a_sweep_does_not_begin_while_its_server_is_away(own_server: MlflowServer, few_reviews: Path) -> None:
    Path("quick.toml").write_text(STUDY, encoding="utf-8")
    done = sweep(Path.cwd(), few_reviews, "--tracking-uri", own_server.uri)
    assert done.returncode == ExitCode.FAILED
    mentions(done.stderr, own_server.uri, "does not respond", "Start its server")
    own_server.start()
    done = sweep(Path.cwd(), few_reviews, "--tracking-uri", own_server.uri)
    assert done.returncode == 0, done.stderr
    logged(own_server)


def shown(browser: Chromium, address: str, *signs: str) -> str:
    """Return the text of a page of MLflow, which fills itself, once it holds all the signs."""
    browser.look(1900)
    browser.open("about:blank")  # from one address to another that differs after its # nothing is loaded
    browser.open(address)
    deadline, text = time.monotonic() + PAGE_SECONDS, ""
    while missing := [sign for sign in signs if sign not in text]:
        assert time.monotonic() < deadline, f"{missing} not in:\n{text}"
        time.sleep(0.2)
        text = str(browser.run("document.body.innerText"))
    return text


def assert_shown(browser: Chromium, uri: str, study: LoggedStudy) -> None:
    """Check that MLflow's pages show a study's description, and its saved view with the columns and values of runs."""
    store, best = open_reader(uri), study.confirms[0]
    page = store.page_url(store.view("easy", "accuracy"))
    assert page is not None
    shown(browser, page, "gru-bench: runs by validation accuracy", "gru_bench.role", "gru_bench.model",
          "score/test_accuracy", "score/val_accuracy", "training.lr", "model.hidden_size", "seed 10000", "trial 0",
          "confirm", f"{best.metrics['score/test_accuracy']:.6g}", best.params["training.lr"][:8])
    shown(browser, f"{page}&compareRunsMode=CHART", "seed 10000 (accuracy/val)", "trial 0 (loss/train)")
    run = store.run_url(study.run)
    assert run is not None
    text = shown(browser, run, "Decision: ", "seeds, lowest to highest")
    assert "**" not in text
    assert "Evaluation runs" not in text  # the pages are those for training runs


@pytest.mark.timeout(600)
def test_a_report_through_a_server_is_that_of_its_file(tmp_path: Path, few_reviews: Path, database: Path) -> None:
    from mlflow import MlflowClient

    done = sweep(tmp_path, few_reviews)
    assert done.returncode == 0, done.stderr
    with mlflow_server(tmp_path, database) as server:
        through = reported(server.uri, "through")
        (study,) = open_reader(server.uri).studies("easy")
        attached = MlflowClient(server.uri).list_artifacts(study.run.mlflow_id, ATTACHED)
        assert {"report/report.html", "report/numbers.json", "report/figures"} <= {found.path for found in attached}
        if PROGRAM is not None:
            with chromium(tmp_path / "profile") as browser:
                assert_shown(browser, server.uri, study)
    direct = reported(f"sqlite:///{database}", "direct")
    assert through.pop("tracking_uri") != direct.pop("tracking_uri")
    assert through.pop("digests") != direct.pop("digests")  # the page leads to the runs on the server
    assert through == direct
