"""The baselines: fitted on training reviews, chosen on validation, scored once on test, measured once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

import gru_bench.stats.baseline as baseline_module
from gru_bench.config import DataConfig
from gru_bench.data.corpus import load_corpus
from gru_bench.results.runs import MAJORITY, Baseline, compared_baseline, parsed, unpacked
from gru_bench.stats.baseline import WeightedRegression, baselines
from tests.support.runs import baseline
from tests.support.values import present


def test_the_majority_class_and_two_linear_models_are_scored_on_test(easy_csv: Path) -> None:
    corpus = load_corpus(DataConfig(name=str(easy_csv)))
    majority, linear, weighted = baselines(corpus)
    commoner = int(corpus.train.label_N.mean() >= 0.5)
    assert majority.scores["test"]["accuracy"] == np.mean(corpus.test.label_N == commoner)
    assert majority.scores["validation"]["accuracy"] == np.mean(corpus.validation.label_N == commoner)
    for one in (linear, weighted):
        accuracy = one.scores["test"]["accuracy"]
        assert accuracy > 0.9 > majority.scores["test"]["accuracy"]
        assert one.test_size == len(corpus.test)
        assert present(unpacked(one.right, one.test_size)).mean() == accuracy
    assert majority.name == MAJORITY


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
        baseline_module._tfidf(replace(corpus, test=test))
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
    found = baseline_module._tfidf(corpus)
    assert (found.regularization, found.is_at_end) == (chosen, is_at_end)


def test_a_baseline_of_an_earlier_version_is_read() -> None:
    found = parsed(Baseline, '{"name": "majority class", "test_size": 10, "seconds": 0.1, "scores": {}}')
    assert (found.regularization, found.is_at_end) == (None, False)


def test_is_measured_once_for_each_data_set(easy_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = load_corpus(DataConfig(name=str(easy_csv), split_seed=3))
    first = baselines(corpus)
    monkeypatch.setattr(baseline_module, "_weighted", lambda _: pytest.fail("measured again"))
    assert baselines(corpus) == first
    with pytest.raises(pytest.fail.Exception, match="measured again"):
        baselines(load_corpus(DataConfig(name=str(easy_csv), split_seed=4)))


def test_has_no_validation_accuracy_without_a_validation_split(easy_csv: Path) -> None:
    corpus = load_corpus(DataConfig(name=str(easy_csv), validation_share=0.0))
    found = baselines(corpus)
    assert [one.score("validation", "accuracy") for one in found] == [None, None, None]
    assert [(one.regularization, one.is_at_end) for one in found[1:]] == [(4.0, False), (0.25, False)]
    assert compared_baseline(found) is found[1]


def test_ngrams_are_weighted_by_the_ratios_of_their_counts() -> None:
    """Wang and Manning 2012: r = log((1 + sum of f over class 1)/norm / ((1 + sum of f over the rest)/norm))."""
    found_NF = sparse.csr_matrix(np.array([[1, 0, 1], [1, 0, 0], [0, 1, 1], [0, 1, 0]], np.float32))
    label_N = np.array([1, 1, 0, 0])
    model = WeightedRegression(1.0).fit(found_NF, label_N)
    ratio_F = np.log(np.array([3, 1, 2]) / 6) - np.log(np.array([1, 3, 2]) / 6)
    wanted = LogisticRegression(C=1.0, solver="liblinear", dual=True, random_state=0).fit(
        found_NF.toarray() * ratio_F, label_N)
    assert model.predict_proba(found_NF) == pytest.approx(wanted.predict_proba(found_NF.toarray() * ratio_F), abs=1e-6)
    assert model.score(found_NF, label_N) == 1.0


def test_of_several_classes_each_has_its_own_weights() -> None:
    label_N = np.arange(60) % 3
    found_NF = sparse.csr_matrix(np.hstack([np.eye(3)[label_N], np.ones((60, 1))]).astype(np.float32))
    model = WeightedRegression(1.0).fit(found_NF, label_N + 4)
    probability_NC = model.predict_proba(found_NF)
    assert model.classes_.tolist() == [4, 5, 6]
    assert probability_NC.sum(axis=1) == pytest.approx(1)
    assert (probability_NC.argmax(axis=1) == label_N).all()


def test_many_classes_get_naive_bayes_twice(easy_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline_module, "MOST_REGRESSIONS", 1)
    corpus = load_corpus(DataConfig(name=str(easy_csv)))
    found = [baseline_module._tfidf(corpus), baseline_module._weighted(corpus)]
    assert all("naive Bayes" in one.name and one.scores["test"]["accuracy"] > 0.9 for one in found)
    assert all(one.regularization in baseline_module.SMOOTHING for one in found)


@pytest.mark.parametrize(("first", "second", "chosen"), [(0.8, 0.9, 2), (0.9, 0.8, 1), (0.9, 0.9, 1), (None, None, 1)])
def test_models_are_compared_with_the_linear_baseline_that_is_better_on_validation(
    first: float | None, second: float | None, chosen: int
) -> None:
    found = tuple(baseline(name, value, test) for name, value, test in (
        (MAJORITY, 0.99, 0.5), ("a", first, 0.9), ("b", second, 0.95)))
    assert compared_baseline(found) is found[chosen]
    assert compared_baseline(found[:1]) is None


def test_a_score_where_lower_is_better_chooses_the_lower_one() -> None:
    found = tuple(Baseline(name, 100, 1.0, {"validation": {"log_loss": loss}})
                  for name, loss in (("a", 0.4), ("b", 0.3)))
    assert compared_baseline(found, "log_loss", higher_is_better=False) is found[1]
