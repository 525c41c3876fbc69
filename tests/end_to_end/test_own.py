"""Classes of the user's own in one study with the built-in models: from the sweep to another machine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.commands import command, mentions
from tests.support.own import written

pytestmark = pytest.mark.slow
STUDY = '''
base = "smoke"
models = ["scratch", "torch", "bidirectional", "homework.py:BatchFirst", "homework.py:Cell", "homework.py:OutputsAlone"]
[model]
pooling = "final"
'''
SMALL = ("--trials", "1", "--confirm", "2", "--epochs", "1")


def ran(folder: Path, *words: str, code: int = 0) -> str:
    done = command("-m", "gru_bench", *words, cwd=folder, timeout=1200)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_own_classes_are_trained_reported_copied_and_run_elsewhere_only_where_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    homework = written(here)
    (here / "mine.toml").write_text(STUDY, encoding="utf-8")
    said = ran(here, "sweep", "--study", "mine.toml", *SMALL)
    mentions(said, "homework.py:Cell: a cell", "gru-check: a GRU")
    reported = ran(here, "report", "--study", "mine", "--out", "report")
    decision = next(line.removeprefix("- ") for line in reported.splitlines() if line.startswith("- "))
    assert decision in said.splitlines()
    page = (here / "report" / "report.html").read_text(encoding="utf-8")
    mentions(page, "BatchFirst (homework.py)", "gru-check:", "SHA-256")
    assert "all" in ran(here, "report", "--verify", "report")
    ran(here, "sweep", "--study", "mine.toml", *SMALL, "--check")
    mine = ("predict", "--study", "mine", "--model", "homework.py:BatchFirst", "A wonderful film.")
    ran(here, *mine)
    ran(here, "save-model", "--study", "mine", "--model", "homework.py:Cell", "saved")
    homework.write_text(homework.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
    mentions(ran(here, "sweep", "--study", "mine.toml", *SMALL, code=2), "homework.py", "changed", "name")
    mentions(ran(here, "sweep", "--study", "smoke", "--model", "homework.py:TimeFirst", code=2), "first axis")

    caches = tmp_path / "caches"
    monkeypatch.setenv("GRU_BENCH_CACHE", str(caches))
    shutil.copytree(here, there)
    (there / "homework.py").unlink()
    assert "all" in ran(there, "report", "--verify", str(here / "report"), "--tracking-uri", "sqlite:///mlflow.db")
    mentions(ran(there, *mine, code=2), "homework.py:BatchFirst", "--run-code")
    mentions(ran(there, "predict", "--model", str(here / "saved"), "Fine.", code=2), "homework.py:Cell", "--run-code")
    ran(there, *mine, "--run-code")
    ran(there, *mine)
