"""A small sweep, in this process or in one as a user starts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from gru_bench.sweep.__main__ import app
from gru_bench.tracking import LoggedStudy, Store
from tests.support.commands import ROOT, completed

STUDY = """
purpose = "Which learning rate?"
models = ["torch"]
trials = 3
confirm = 2
[embedding]
dimension = 12
[model]
hidden_size = 8
[training]
epochs = 2
batch_size = 16
log_every = 5
[space]
training.lr = { low = 1e-3, high = 1e-1, log = true }
"""


SCRIPT = str(ROOT / "sweeps" / "run.py")


def sweep(directory: Path, csv: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A sweep in this process. Its workers are processes of their own."""
    (directory / "quick.toml").write_text(STUDY, encoding="utf-8")
    return completed(app, "--study", "quick.toml", "--data", str(csv), *options, cwd=directory, program=SCRIPT)


def started(directory: Path, csv: Path, *options: str, until: str) -> subprocess.Popen[str]:
    """Start a sweep and return its process once it has printed a line that holds `until`."""
    (directory / "quick.toml").write_text(STUDY, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "--study", "quick.toml", "--data", str(csv), *options],
        cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert any(until in line for line in process.stdout)
    return process


def only_study(directory: Path) -> LoggedStudy:
    store = Store(f"sqlite:///{directory / 'mlflow.db'}", create=False)
    (study,) = store.studies("easy")
    return study
