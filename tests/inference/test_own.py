"""A trained class of the user's own predicts where it was trained, and elsewhere only where its code is allowed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gru_bench.config import DataConfig, EmbeddingConfig, RunConfig, with_settings
from gru_bench.data.code import own_model
from gru_bench.data.corpus import load_corpus
from gru_bench.data.vectors import load_vectors
from gru_bench.errors import DataError, UsageError
from gru_bench.inference.predictor import Predictor
from gru_bench.models import saved
from gru_bench.models.own import _module, kind_of
from gru_bench.models.trained import TrainedModel
from gru_bench.train.loop import train
from tests.support.own import OWN, written
from tests.support.reviews import reviews, write


def test_a_saved_class_runs_elsewhere_only_where_it_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRU_BENCH_CACHE", str(tmp_path / "here"))
    name, source = own_model(f"{written(tmp_path)}:Cell") or ("", "")
    data = DataConfig(name=write(tmp_path / "a.csv", reviews(60)))
    config = with_settings(RunConfig(data=data, embedding=EmbeddingConfig(name="random", dimension=4)), {
        "model.name": name, "model.source": source, "model.hidden_size": 3, "training.epochs": 1,
        "training.batch_size": 8, "training.log_every": 1, "training.device": "cpu", "training.threads": 1})
    corpus = load_corpus(data)
    vectors = load_vectors(config.embedding, corpus)
    result = train(config, corpus, vectors)
    assert result.backend == "own"
    saved.save(TrainedModel.of(result, vectors), tmp_path / "model", "", {})
    assert (tmp_path / "model" / saved.CODE).read_text(encoding="utf-8") == OWN
    texts = [text for text, _ in reviews(3)]
    here = Predictor(saved.load(tmp_path / "model")[0]).predict(texts).probability_NC

    monkeypatch.setenv("GRU_BENCH_CACHE", str(tmp_path / "there"))
    _module.cache_clear()
    kind_of.cache_clear()
    found = saved.load(tmp_path / "model")[0]
    with pytest.raises(UsageError, match=r"homework\.py:Cell.*run_code"):
        Predictor(found)
    found.allow_code()
    np.testing.assert_array_equal(Predictor(found).predict(texts).probability_NC, here)
    (tmp_path / "model" / saved.CODE).write_text("print()\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"code\.py"):
        saved.load(tmp_path / "model")
