"""Small data that can be learnt, and the settings to learn it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gru_bench.config import RunConfig, with_settings
from gru_bench.data.corpus import Corpus, load_corpus
from gru_bench.data.embeddings import Vectors, load_vectors


@pytest.fixture(scope="session")
def config(easy_csv: Path) -> RunConfig:
    return with_settings(RunConfig(), {
        "data.name": str(easy_csv), "data.category_column": "kind", "embedding.dimension": 12, "model.name": "scratch",
        "model.hidden_size": 10, "training.batch_size": 16, "training.epochs": 3, "training.lr": 0.02,
        "training.log_every": 5, "training.threads": 1, "training.device": "cpu"})


@pytest.fixture(scope="session")
def corpus(config: RunConfig) -> Corpus:
    return load_corpus(config.data)


@pytest.fixture(scope="session")
def vectors(config: RunConfig, corpus: Corpus) -> Vectors:
    return load_vectors(config.embedding, corpus)
