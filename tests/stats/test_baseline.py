"""The baselines: fitted on training reviews alone, chosen on validation, scored once on test, fitted once."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import MultinomialNB

import gru_bench.stats.baseline as baseline_module
from gru_bench.config import DataConfig
from gru_bench.data.corpus import Corpus, Split, load_corpus
from gru_bench.results.baselines import (
    BASELINES,
    BAYES,
    CLASSIFIER,
    CONVERGED,
    IS_AT_END,
    NGRAMS,
    REGRESSION,
    REGULARIZATION,
    TFIDF,
    BaselineResult,
    baseline_label,
    compared_baseline,
)
from gru_bench.stats.baseline import INVERSE_REGULARIZATION, SMOOTHING, _common, _Fit, baselines
from gru_bench.stats.metrics import scores
from tests.support.runs import baseline


@pytest.fixture
def corpus(easy_csv: Path) -> Corpus:
    return load_corpus(DataConfig(name=str(easy_csv)))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline_module, "default_cache", lambda: tmp_path / "baselines")


def test_the_majority_class_and_two_linear_models_are_scored_on_both_splits(corpus: Corpus) -> None:
    found = baselines(corpus)
    assert [one.model for one in found] == list(BASELINES)
    assert [one.settings.get(CLASSIFIER) for one in found] == [None, REGRESSION, REGRESSION]
    commoner = int(corpus.train.label_N.mean() >= 0.5)
    for split, short in (("validation", "val"), ("test", "test")):
        own = corpus.split(split)
        assert found[0].metrics[f"score/{short}_accuracy"] == np.mean(own.label_N == commoner)
        for one in found:
            predictions = one.predictions[split]
            assert predictions.example_id_N.tolist() == own.example_id_N.tolist()
            assert predictions.label_N.tolist() == own.label_N.tolist()
            assert predictions.tokens_N.tolist() == np.diff(own.offsets_N1).tolist()
            for key, value in scores(predictions.label_N, predictions.probability_NC).items():
                assert one.metrics[f"score/{short}_{key}"] == value
    for one in found[1:]:
        assert one.metrics["score/test_accuracy"] > 0.9 > found[0].metrics["score/test_accuracy"]
        assert one.settings[CONVERGED] is True


def test_linear_models_learn_from_training_texts_alone(corpus: Corpus) -> None:
    """Other validation and test texts change nothing but which regularization is chosen, which is fixed here."""
    first = baseline_module._linear(corpus, NGRAMS)[0]
    half = np.arange(len(corpus.validation) // 2)
    other = baseline_module._linear(
        replace(corpus, validation=corpus.validation.select(half), test=corpus.test.select(half)), NGRAMS)[0]
    known = {" ".join(words) for words in _texts(corpus, "train")}
    assert first.ngrams_F == other.ngrams_F
    assert np.array_equal(first.weight_FK, other.weight_FK)
    assert all(any(ngram in text for text in known) for ngram in first.ngrams_F)


def _texts(corpus: Corpus, split: str) -> list[list[str]]:
    own = corpus.split(split)
    return [[corpus.words[place] for place in own.ids[start:end]]
            for start, end in zip(own.offsets_N1[:-1], own.offsets_N1[1:], strict=True)]


@pytest.mark.parametrize("name", [TFIDF, NGRAMS])
@pytest.mark.parametrize("kind", ["two classes", "three classes", "naive Bayes"])
def test_probabilities_are_those_of_scikit_learn(
    name: str, kind: str, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The linear models as scikit-learn's own classes fit and ask them."""
    classes = 2
    if kind == "three classes":
        classes, whole = 3, corpus.train
        label_N = (whole.label_N + (np.arange(len(whole)) % 5 == 0) * (2 - whole.label_N)).astype(np.int8)
        corpus = replace(corpus, classes=("bad", "good", "odd"), train=replace(whole, label_N=label_N))
    if kind == "naive Bayes":
        monkeypatch.setattr(baseline_module, "MOST_REGRESSIONS", 1)
    train, test = ([" ".join(text) for text in _texts(corpus, split)] for split in ("train", "test"))
    words: dict[str, Any] = {"min_df": 2, "lowercase": False, "token_pattern": r"\S+"}
    vectorizer: Any = (TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, **words) if name == TFIDF else
                       CountVectorizer(ngram_range=(1, 3), binary=True, **words))
    train_NF, label_N = vectorizer.fit_transform(train), corpus.train.label_N
    test_NF = vectorizer.transform(test)
    (found,) = (one for one in baselines(corpus) if one.model == name)
    value = float(found.settings[REGULARIZATION] or 0)
    if kind == "naive Bayes":
        expected_NC = MultinomialNB(alpha=value).fit(train_NF, label_N).predict_proba(test_NF)
        assert (found.settings[CLASSIFIER], value in SMOOTHING) == (BAYES, True)
        assert "naive Bayes" in baseline_label(name, found.settings)
    else:
        expected_NC = _regression(train_NF, label_N, test_NF, value, classes, weighted=name == NGRAMS)
    assert found.predictions["test"].probability_NC == pytest.approx(expected_NC, abs=1e-5)


def _regression(
    train_NF: Any, label_N: np.ndarray, test_NF: Any, value: float, classes: int, *, weighted: bool
) -> np.ndarray:
    def new() -> LogisticRegression:
        return LogisticRegression(C=value, solver="liblinear", dual=True, random_state=0, max_iter=2000)

    if not weighted:
        model = new() if classes == 2 else OneVsRestClassifier(new())
        return np.asarray(model.fit(train_NF, label_N).predict_proba(test_NF))
    parts = []
    for one in range(1, classes) if classes == 2 else range(classes):
        # Wang and Manning 2012: r = log((1 + sum of f over the class)/norm / ((1 + sum of f over the rest)/norm))
        own_F, rest_F = (1 + np.asarray(train_NF[label_N == own if own >= 0 else label_N != one].sum(axis=0)).ravel()
                         for own in (one, -1))
        ratio_F = np.log(own_F / own_F.sum()) - np.log(rest_F / rest_F.sum())
        model = new().fit(sparse.csr_matrix(train_NF.multiply(ratio_F)), label_N == one)
        parts.append(model.predict_proba(sparse.csr_matrix(test_NF.multiply(ratio_F)))[:, 1])
    own_NC = np.stack(parts, axis=1)
    return np.hstack([1 - own_NC, own_NC]) if classes == 2 else own_NC / own_NC.sum(axis=1, keepdims=True)


@given(st.lists(st.lists(st.integers(0, 4), max_size=6), min_size=1, max_size=8), st.integers(1, 4))
def test_the_ngrams_of_several_texts_are_those_that_a_vectorizer_finds(texts: list[list[int]], longest: int) -> None:
    words, count = np.array(list("edcba"), dtype=object), len(texts)
    ids = np.array([word for text in texts for word in text], np.int32)
    name_N = np.arange(count).astype(str)
    split = Split(ids, np.cumsum([0, *map(len, texts)]), np.zeros(count, np.int64), name_N, name_N, name_N)
    documents = [" ".join(words[text]) for text in texts]
    reference = CountVectorizer(ngram_range=(1, longest), min_df=2, token_pattern=r"\S+")
    try:
        expected = reference.fit(documents).get_feature_names_out().tolist()
    except ValueError:  # there are none
        expected = []
    assert _common(split, words, longest) == expected


def test_a_class_without_training_texts_has_probability_0(corpus: Corpus) -> None:
    for one in baselines(replace(corpus, classes=(*corpus.classes, "unseen"))):
        probability_NC = one.predictions["test"].probability_NC
        assert (probability_NC[:, 2] == 0).all()
        assert probability_NC.sum(axis=1) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("right", "chosen", "is_at_end"), [
    ([0.5, 0.6, 0.7, 0.6, 0.5], 4.0, False), ([0.9, 0.6, 0.7, 0.6, 0.5], 0.25, True),
    ([0.5, 0.6, 0.7, 0.6, 0.8], 64.0, True), ([0.8, 0.8, 0.8, 0.8, 0.8], 4.0, False),
    ([0.5, 0.8, 0.6, 0.6, 0.8], 1.0, False)])
def test_the_regularization_is_the_best_on_validation_and_its_place_in_the_grid_is_kept(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, right: list[float], chosen: float, is_at_end: bool
) -> None:
    reached = iter(right)
    monkeypatch.setattr(_Fit, "right", lambda *_: next(reached))
    _, settings = baseline_module._linear(corpus, TFIDF)
    assert (settings[REGULARIZATION], settings[IS_AT_END]) == (chosen, is_at_end)


def test_a_fit_that_has_not_converged_gets_more_iterations(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a warning of scikit-learn's, which the tests count as an error."""
    whole = baseline_module._linear(corpus, TFIDF)
    monkeypatch.setattr(baseline_module, "ITERATIONS", (1, 2000))
    again = baseline_module._linear(corpus, TFIDF)
    assert again[1][CONVERGED] is True
    assert np.array_equal(whole[0].weight_FK, again[0].weight_FK)
    monkeypatch.setattr(baseline_module, "ITERATIONS", (1, 1))
    assert baseline_module._linear(corpus, TFIDF)[1][CONVERGED] is False


def test_is_fitted_once_for_each_data_set(easy_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = load_corpus(DataConfig(name=str(easy_csv), split_seed=3))
    first = baselines(corpus)
    monkeypatch.setattr(baseline_module, "_linear", lambda *_: pytest.fail("fitted again"))
    for one, two in zip(first, baselines(corpus), strict=True):
        assert (one.metrics, one.settings, one.seconds) == (two.metrics, two.settings, two.seconds)
        assert np.array_equal(one.predictions["test"].probability_NC, two.predictions["test"].probability_NC)
    with pytest.raises(pytest.fail.Exception, match="fitted again"):
        baselines(load_corpus(DataConfig(name=str(easy_csv), split_seed=4)))


def test_has_no_validation_scores_without_a_validation_split(easy_csv: Path) -> None:
    found = baselines(load_corpus(DataConfig(name=str(easy_csv), validation_share=0.0)))
    assert [list(one.predictions) for one in found] == [["test"]] * 3
    assert not [key for one in found for key in one.metrics if "val" in key.split("/")[1]]
    assert [(one.settings[REGULARIZATION], one.settings[IS_AT_END]) for one in found[1:]] == [
        (INVERSE_REGULARIZATION[TFIDF][2], False), (INVERSE_REGULARIZATION[NGRAMS][2], False)]
    assert compared_baseline(found, "accuracy") is found[1]


@pytest.mark.parametrize(("first", "second", "chosen"), [(0.8, 0.9, 2), (0.9, 0.8, 1), (0.9, 0.9, 1), (None, None, 1)])
def test_models_are_compared_with_the_linear_baseline_that_is_better_on_validation(
    first: float | None, second: float | None, chosen: int
) -> None:
    def measured(model: str, value: float | None) -> BaselineResult:
        one = baseline(model, val_accuracy=0.0 if value is None else value)
        return one if value is not None else replace(one, metrics={})

    found = tuple(measured(*one) for one in zip(BASELINES, (0.99, first, second), strict=True))
    assert compared_baseline(found, "accuracy") is found[chosen]
    assert compared_baseline(found[:1], "accuracy") is None


def test_a_score_where_lower_is_better_chooses_the_lower_one() -> None:
    found = baseline(TFIDF, val_loss=0.4), baseline(NGRAMS, val_loss=0.3)
    assert compared_baseline(found, "log_loss") is found[1]
    assert math.isfinite(found[0].metrics["score/test_loss"])
