"""A store with an empty database."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gru_bench.tracking import Store


@pytest.fixture
def store(tmp_path: Path, empty_database: Path) -> Store:
    shutil.copy(empty_database, tmp_path / "runs.db")
    return Store(f"sqlite:///{tmp_path / 'runs.db'}")
