"""A store with an empty database."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gru_bench.errors import RunError
from gru_bench.tracking import Store


@pytest.fixture
def store(tmp_path: Path, empty_database: Path) -> Iterator[Store]:
    shutil.copy(empty_database, tmp_path / "runs.db")
    store = Store(f"sqlite:///{tmp_path / 'runs.db'}")
    yield store
    with suppress(RunError):  # of a test that broke it
        store.close()
