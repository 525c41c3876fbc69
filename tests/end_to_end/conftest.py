"""Data for whole sweeps, and a server that may be stopped."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from gru_bench.data.vectors import MOST_PASSES
from tests.support.servers import MlflowServer


@pytest.fixture(scope="module", autouse=True)
def all_passes() -> Iterator[None]:
    """Train word vectors as users do: this process must have those that a worker process trained."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gru_bench.data.vectors.MOST_PASSES", MOST_PASSES)
        yield


@pytest.fixture(scope="session")
def few_reviews(tmp_path_factory: pytest.TempPathFactory, easy_csv: Path) -> Path:
    """The first 120 of the made-up reviews, in a file of the same name."""
    path = tmp_path_factory.mktemp("few") / easy_csv.name
    with easy_csv.open(encoding="utf-8") as file:
        path.write_text("".join(islice(file, 121)), encoding="utf-8")
    return path


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[MlflowServer]:
    """An MLflow server without runs that is not shared: the test starts and stops it."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_database, folder)
    server = MlflowServer(folder, folder / empty_database.name)
    yield server
    server.stop()
