"""Small data that can be learnt, the settings to learn it, and the run that they make."""

from __future__ import annotations

from pathlib import Path

import pytest

from gru_bench.config import RunConfig, with_settings
from gru_bench.data.corpus import Corpus, load_corpus
from gru_bench.data.vectors import Vectors, load_vectors
from gru_bench.results.runs import RunResult
from gru_bench.train.loop import train


@pytest.fixture(scope="session")
def config(easy_csv: Path) -> RunConfig:
    return with_settings(RunConfig(), {
        "data.name": str(easy_csv), "data.category_column": "kind", "data.limit": 200, "embedding.name": "random",
        "embedding.dimension": 12, "model.name": "scratch", "model.hidden_size": 10, "model.backend": "torch",
        "training.batch_size": 16, "training.epochs": 3, "training.lr": 0.02, "training.log_every": 3,
        "training.threads": 1, "training.device": "cpu"})


@pytest.fixture(scope="session")
def corpus(config: RunConfig) -> Corpus:
    return load_corpus(config.data)


@pytest.fixture(scope="session")
def vectors(config: RunConfig, corpus: Corpus) -> Vectors:
    return load_vectors(config.embedding, corpus)


@pytest.fixture(scope="session")
def whole(config: RunConfig, corpus: Corpus, vectors: Vectors) -> RunResult:
    """The run of these settings, which was never stopped."""
    return train(config, corpus, vectors, score_test=True)
