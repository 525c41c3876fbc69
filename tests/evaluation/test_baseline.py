"""The baselines: fitted on training reviews, chosen on validation, scored once on test, measured once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gru_bench.evaluation.baseline as baseline_module
from gru_bench.config import DataConfig
from gru_bench.data.corpus import load_corpus
from gru_bench.evaluation.baseline import baselines


def test_majority_and_linear(easy_csv: Path) -> None:
    corpus = load_corpus(DataConfig(name=str(easy_csv)))
    majority, linear = baselines(corpus)
    commoner = int(corpus.train.label_N.mean() >= 0.5)
    assert majority.test_accuracy == np.mean(corpus.test.label_N == commoner)
    assert majority.validation_accuracy == np.mean(corpus.validation.label_N == commoner)
    assert linear.test_accuracy > 0.9 > majority.test_accuracy
    assert linear.test_size == len(corpus.test)


def test_measured_once_for_its_data(easy_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = load_corpus(DataConfig(name=str(easy_csv), split_seed=3))
    first = baselines(corpus)
    monkeypatch.setattr(baseline_module, "_linear", lambda _: pytest.fail("measured again"))
    assert baselines(corpus) == first
    with pytest.raises(pytest.fail.Exception, match="measured again"):
        baselines(load_corpus(DataConfig(name=str(easy_csv), split_seed=4)))


def test_without_a_validation_split(easy_csv: Path) -> None:
    corpus = load_corpus(DataConfig(name=str(easy_csv), validation_share=0.0))
    assert [found.validation_accuracy for found in baselines(corpus)] == [None, None]
