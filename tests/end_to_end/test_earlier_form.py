"""Stores of an earlier form are refused by name with what to do, and left as they are.

`tests/support/earlier_form` holds what a small study left when metrics, settings and roles had other names: MLflow's
database, the search's journal, and the study's archive.
"""

from __future__ import annotations

import gzip
from importlib import import_module
from pathlib import Path

import pytest

from tests.support.commands import ROOT, completed, mentions
from tests.support.sweeps import without_worker_processes

EARLIER = ROOT / "tests" / "support" / "earlier_form"
STUDY = """
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


def put(name: str) -> Path:
    """Lay a store of the earlier form into the working directory."""
    if name == "mlflow.db":
        Path(name).write_bytes(gzip.decompress((EARLIER / f"{name}.gz").read_bytes()))
    else:
        Path(name).write_bytes((EARLIER / name).read_bytes())
    return Path(name)


@pytest.mark.parametrize(("store", "arguments", "parts"), [
    ("mlflow.db", ["gru_bench.report"],
     ["an earlier one", "--tracking-uri", "--storage"]),
    ("mlflow.db", ["gru_bench.diagnose"], ["an earlier one"]),
    ("mlflow.db", ["gru_bench.train", "--data", "{easy}", "--model", "scratch", "--hidden-size", "2",
                   "--embedding", "random", "--epochs", "1"], ["an earlier one", "begin anew"]),
    ("mlflow.db", ["gru_bench.sweep", "--study", "earlier.toml", "--data", "{easy}"],
     ["an earlier one", "begin anew"]),
    ("optuna.journal", ["gru_bench.sweep", "--study", "earlier.toml", "--data", "{easy}"],
     ["'earlier'", "an earlier one", "--study-name NAME"]),
    ("optuna.journal", ["gru_bench.sweep", "--study", "earlier.toml", "--data", "{easy}", "--check"],
     ["'earlier'", "an earlier one"]),
    ("earlier.study", ["gru_bench.archive", "import", "earlier.study"],
     ["version 3", "version 1", "train the study again"]),
])
def test_a_store_of_an_earlier_form_is_refused(
    store: str, arguments: list[str], parts: list[str], easy_csv: Path
) -> None:
    Path("earlier.toml").write_text(STUDY, encoding="utf-8")
    data = Path("small.csv")  # the experiment is called after it
    data.write_bytes(easy_csv.read_bytes())
    before = put(store).read_bytes()
    module, *words = (word.replace("{easy}", str(data)) for word in arguments)
    with without_worker_processes():
        done = completed(import_module(f"{module}.__main__").app, *words)
    assert done.returncode in (1, 3), done.stdout + done.stderr
    mentions(done.stderr, *parts)
    if store != "mlflow.db":
        assert Path(store).read_bytes() == before
