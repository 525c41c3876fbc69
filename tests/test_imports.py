"""Which module may load what: each is imported in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"torch", "mlflow", "optuna", "gensim", "sklearn", "seaborn", "matplotlib", "pandas", "numba", "scipy", "ray"}


def loaded(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(("module", "allowed"), [
    ("gru_bench", set()),
    ("gru_bench.config", set()),
    ("gru_bench.results.runs", set()),
    ("gru_bench.evaluation.metrics", set()),
    ("gru_bench.tracking", set()),
    ("gru_bench.data.corpus", set()),
    ("gru_bench.data.embeddings", set()),
    ("gru_bench.data.batching", set()),
    ("gru_bench.evaluation.statistics", {"scipy"}),
    ("gru_bench.sweep.spec", set()),
    ("gru_bench.sweep.workers.local", set()),
    ("gru_bench.sweep.workers.ray", set()),
    ("gru_bench.sweep.console.progress", set()),
    ("gru_bench.report.build", {"scipy"}),
    ("gru_bench.train.__main__", set()),
    ("gru_bench.sweep.__main__", set()),
    ("gru_bench.report.__main__", set()),
    ("gru_bench.archive.__main__", set()),
    ("gru_bench.archive.container", set()),
    ("gru_bench.diagnose", set()),
    ("gru_bench.results.diagnostics", set()),
    ("gru_bench.data.recall_task", set()),
    ("gru_bench.report.sections.diagnostics", {"scipy"}),
])
def test_loads_only(module: str, allowed: set[str]) -> None:
    assert loaded(f"import {module}") & HEAVY <= allowed


def test_the_trainer_knows_neither_search_nor_tracking() -> None:
    assert not loaded("import gru_bench.train.loop") & {"mlflow", "optuna", "gensim", "pandas"}


def test_the_diagnostics_know_neither_search_nor_tracking() -> None:
    assert not loaded("import gru_bench.diagnose.compute") & {"mlflow", "optuna", "gensim", "pandas", "matplotlib"}


def test_the_search_knows_no_torch_and_no_tracking() -> None:
    assert not loaded("import gru_bench.sweep.search") & {"mlflow", "torch"}


def test_the_write_up_reads_through_tracking_alone() -> None:
    got = loaded("import gru_bench.report.render.html_latex, gru_bench.report.figures.results")
    assert not got & {"torch", "optuna", "gensim", "mlflow"}
