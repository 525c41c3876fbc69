"""The baselines: fitted on training reviews, chosen on validation, scored once on test, measured once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gru_bench.stats.baseline as baseline_module
from gru_bench.config import DataConfig
from gru_bench.data.corpus import load_corpus
from gru_bench.results.runs import baselines_of, unpacked
from gru_bench.stats.baseline import baselines
from tests.support.values import present


def test_the_majority_class_and_a_linear_model_are_scored_on_test(easy_csv: Path) -> None:
    corpus = load_corpus(DataConfig(name=str(easy_csv)))
    majority, linear = baselines(corpus)
    commoner = int(corpus.train.label_N.mean() >= 0.5)
    assert majority.test_accuracy == np.mean(corpus.test.label_N == commoner)
    assert majority.validation_accuracy == np.mean(corpus.validation.label_N == commoner)
    assert linear.test_accuracy > 0.9 > majority.test_accuracy
    assert linear.test_size == len(corpus.test)
    assert present(unpacked(linear.right, linear.test_size)).mean() == linear.test_accuracy


def test_answers_are_kept_in_the_order_of_ids(easy_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A linear model that knows the first half of the reviews, by id, and is wrong on the others."""
    corpus = load_corpus(DataConfig(name=str(easy_csv), split_seed=5))
    label_N, place_N = corpus.test.label_N, np.argsort(np.argsort(corpus.test.example_id_N))
    says_N = np.where(place_N < len(label_N) // 2, label_N, 1 - label_N)

    class Known:
        classes_ = np.array([0, 1])

        def fit(self, *_: object) -> Known:
            return self

        def score(self, *_: object) -> float:
            return 0.5

        def predict_proba(self, features: np.ndarray) -> np.ndarray:
            return np.eye(2)[says_N if features.shape[0] == len(says_N) else np.zeros(features.shape[0], dtype=int)]

    monkeypatch.setattr(baseline_module, "_models", lambda _: [(1.0, Known())])
    monkeypatch.setattr(baseline_module, "default_cache", lambda: easy_csv.parent)
    right_N = present(unpacked(baselines(corpus)[1].right, len(label_N)))
    assert right_N.tolist() == [place < len(label_N) // 2 for place in range(len(label_N))]


def test_the_linear_model_knows_only_the_words_of_training_reviews(
    easy_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = load_corpus(DataConfig(name=str(easy_csv)))
    shapes: list[tuple[int, int]] = []

    class Guess:
        classes_ = np.array([0, 1])

        def fit(self, features: np.ndarray, _: object) -> Guess:
            shapes.append(features.shape)
            return self

        def score(self, *_: object) -> float:
            return 0.5

        def predict_proba(self, features: np.ndarray) -> np.ndarray:
            return np.full((features.shape[0], 2), 0.5)

    monkeypatch.setattr(baseline_module, "_models", lambda _: [(1.0, Guess())])
    for test in (corpus.test, corpus.test.select(np.arange(2))):
        baseline_module._linear(replace(corpus, test=test))
    assert shapes[:2] == shapes[2:]
    assert [rows for rows, _ in shapes[:2]] == [len(corpus.train), len(corpus.train) + len(corpus.validation)]
    assert shapes[0][1] < shapes[1][1]  # those of validation reviews are known to the second fit alone


@pytest.mark.parametrize(("right", "chosen", "is_at_end"), [
    ([0.5, 0.6, 0.7, 0.6, 0.5], 4.0, False), ([0.9, 0.6, 0.7, 0.6, 0.5], 0.25, True),
    ([0.5, 0.6, 0.7, 0.6, 0.8], 64.0, True), ([0.8, 0.8, 0.8, 0.8, 0.8], 4.0, False),
    ([0.5, 0.8, 0.6, 0.6, 0.8], 1.0, False)])
def test_the_regularization_is_the_best_on_validation_and_its_place_in_the_grid_is_kept(
    easy_csv: Path, monkeypatch: pytest.MonkeyPatch, right: list[float], chosen: float, is_at_end: bool
) -> None:
    corpus = load_corpus(DataConfig(name=str(easy_csv)))

    class Scored:
        classes_ = np.array([0, 1])

        def __init__(self, score: float) -> None:
            self.right = score

        def fit(self, *_: object) -> Scored:
            return self

        def score(self, *_: object) -> float:
            return self.right

        def predict_proba(self, features: np.ndarray) -> np.ndarray:
            return np.full((features.shape[0], 2), 0.5)

    grid = baseline_module.INVERSE_REGULARIZATION
    monkeypatch.setattr(
        baseline_module, "_models", lambda _: [(c, Scored(score)) for c, score in zip(grid, right, strict=True)])
    found = baseline_module._linear(corpus)
    assert (found.regularization, found.is_at_end) == (chosen, is_at_end)


def test_a_baseline_of_an_earlier_version_is_read() -> None:
    (found,) = baselines_of('[{"name": "majority class", "validation_accuracy": null, "test_accuracy": 0.5, '
                            '"test_f1": 0.5, "test_size": 10, "seconds": 0.1}]')
    assert (found.regularization, found.is_at_end) == (None, False)


def test_is_measured_once_for_each_data_set(easy_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = load_corpus(DataConfig(name=str(easy_csv), split_seed=3))
    first = baselines(corpus)
    monkeypatch.setattr(baseline_module, "_linear", lambda _: pytest.fail("measured again"))
    assert baselines(corpus) == first
    with pytest.raises(pytest.fail.Exception, match="measured again"):
        baselines(load_corpus(DataConfig(name=str(easy_csv), split_seed=4)))


def test_has_no_validation_accuracy_without_a_validation_split(easy_csv: Path) -> None:
    corpus = load_corpus(DataConfig(name=str(easy_csv), validation_share=0.0))
    found = baselines(corpus)
    assert [one.validation_accuracy for one in found] == [None, None]
    assert (found[1].regularization, found[1].is_at_end) == (4.0, False)
