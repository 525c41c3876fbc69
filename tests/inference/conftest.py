"""A study of one model on two seeds, which tests read and do not change."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from gru_bench.data.corpus import load_corpus
from gru_bench.results.runs import RunResult
from gru_bench.tracking import Reader, open_reader
from tests.support.trained_study import database, log_study


@dataclass(frozen=True)
class Studied:
    directory: Path
    csv: Path
    results: list[RunResult]
    """Of each seed."""
    texts: dict[str, str]
    """Example id -> text of the test reviews."""

    @property
    def uri(self) -> str:
        return database(self.directory)

    def store(self) -> Reader:
        return open_reader(self.uri)

    def copied(self, directory: Path) -> Reader:
        """Copy the study to a directory where its artifacts may be changed."""
        shutil.copytree(self.directory, directory, dirs_exist_ok=True)
        return open_reader(database(directory))


@pytest.fixture(scope="session")
def studied(easy_csv: Path, empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Studied:
    directory = tmp_path_factory.mktemp("studied")
    shutil.copy(empty_database, directory)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        results = log_study(directory, easy_csv)
    corpus = load_corpus(results["torch"][0].config.data)
    texts = dict(zip(corpus.test.example_id_N.tolist(), corpus.texts("test"), strict=True))
    return Studied(directory, easy_csv, results["torch"], texts)
