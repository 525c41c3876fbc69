"""Stores of another format are refused by name, with what to do, and left as they are."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import optuna
import pytest

from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.tracking import Store
from tests.support.commands import completed, mentions
from tests.support.sweeps import without_worker_processes
from tests.support.writes import change_format

STUDY = """
base = "none"
models = ["scratch"]
trials = 1
confirm = 1
[embedding]
name = "random"
dimension = 4
[model]
hidden_size = 2
[training]
epochs = 1
[space]
training.lr = { low = 1e-3, high = 1e-2, log = true }
"""


def earlier_database(database: Path) -> None:
    change_format(database, Store(f"sqlite:///{database}"), None)


def earlier_journal(database: Path) -> None:
    del database
    search = optuna.create_study(study_name="earlier/scratch", storage=open_storage(None), direction="maximize")
    search.set_user_attr("format", 3)  # it has no record of the study
    search.set_user_attr("identity", {"data": "abc"})


SWEEP = ["gru_bench.sweep", "--study", "earlier.toml", "--data", "reviews.csv"]


@pytest.mark.parametrize(("make", "arguments", "parts"), [
    (earlier_database, ["gru_bench.report"], ["earlier one", "tracking_uri"]),
    (earlier_database, ["gru_bench.diagnose"], ["earlier one", "tracking_uri"]),
    (earlier_database, ["gru_bench.train", "--data", "reviews.csv", "--model", "scratch", "--hidden-size", "2",
                        "--embedding", "random", "--epochs", "1"], ["earlier one", "tracking_uri"]),
    (earlier_database, SWEEP, ["earlier one", "tracking_uri"]),
    (earlier_journal, SWEEP, ["'earlier'", "earlier version", "name"]),
    (earlier_journal, [*SWEEP, "--check"], ["'earlier'", "earlier version", "name"]),
])
def test_refuses_a_store_of_an_earlier_format(
    make: Callable[[Path], None], arguments: list[str], parts: list[str], easy_csv: Path, database: Path
) -> None:
    Path("earlier.toml").write_text(STUDY, encoding="utf-8")
    Path("reviews.csv").write_bytes(easy_csv.read_bytes())  # the experiment is called after it
    make(database)
    kept = {path: path.read_bytes() for path in (Path("optuna.journal"), Path("earlier.study")) if path.exists()}
    module, *words = arguments
    with without_worker_processes():
        done = completed(import_module(f"{module}.__main__").app, *words)
    assert done.returncode in (1, 3), done.stdout + done.stderr
    mentions(done.stderr, *parts)
    assert all(path.read_bytes() == content for path, content in kept.items())
