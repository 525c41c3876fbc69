"""Provenance of a run: the git commit, the package versions and the machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gru_bench.platforms import processor


@cache
def provenance() -> dict[str, str]:
    """Return the provenance as MLflow tags: commit, versions and machine."""
    tags = {
        "gru_bench.python": platform.python_version(),
        "gru_bench.platform": platform.platform(),
        "gru_bench.machine": processor(),
        "gru_bench.cores": str(os.cpu_count()),
        "gru_bench.versions": json.dumps({name: _version(name) for name in (
            "gru-bench", "torch", "numba", "numpy", "gensim", "optuna", "mlflow", "scikit-learn")}),
    }
    here = Path(__file__).resolve().parent
    commit = _git(here, "rev-parse", "HEAD")
    if commit and _git(here, "ls-files", "--error-unmatch", Path(__file__).name):
        tags["mlflow.source.git.commit"] = commit
        tags["gru_bench.git_dirty"] = str(bool(_git(here, "status", "--porcelain", "-uno"))).lower()
    return tags


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False,
                              encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
