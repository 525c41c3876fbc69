"""A study of one model on two seeds, which tests read and do not change."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from gru_bench.results.runs import RunResult
from gru_bench.tracking import Store
from tests.support.archives import copied
from tests.support.trained_study import database, log_study


@dataclass(frozen=True)
class Studied:
    directory: Path
    csv: Path
    results: list[RunResult]
    """Of each seed."""

    @property
    def uri(self) -> str:
        return database(self.directory)

    def store(self) -> Store:
        return Store(self.uri, create=False)

    def copied(self, directory: Path, csv: Path | None = None) -> Store:
        """Copy the study to a directory where its artifacts may be changed, as if it were trained there, on `csv`."""
        copied(self.directory, directory)
        for config in directory.rglob("model/config.json"):
            content = json.loads(config.read_text(encoding="utf-8"))
            content["data"]["name"] = str(csv or self.csv)
            config.write_text(json.dumps(content), encoding="utf-8")
        return Store(database(directory), create=False)


@pytest.fixture(scope="session")
def studied(easy_csv: Path, empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Studied:
    directory = tmp_path_factory.mktemp("studied")
    shutil.copy(empty_database, directory)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        results = log_study(directory, easy_csv)
    return Studied(directory, easy_csv, results["torch"])
