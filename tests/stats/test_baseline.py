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
from scipy import sparse, special
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

import gru_bench.stats.baseline as baseline_module
from gru_bench.config import DataConfig, MetricName
from gru_bench.data.corpus import SPLITS, Corpus, Split, load_corpus
from gru_bench.results.baselines import (
    BALANCED,
    CLASSIFIER,
    CONVERGED,
    IS_AT_END,
    LINEAR,
    NGRAMS,
    REGRESSION,
    REGULARIZATION,
    SVM,
    TFIDF,
    BaselineResult,
    baseline_label,
    baseline_name,
    baseline_names,
    compared_baseline,
)
from gru_bench.stats.baseline import _common, baselines
from gru_bench.stats.calibration import temperature
from gru_bench.stats.linear import LinearModel
from gru_bench.stats.scores import compared, scores
from tests.support.runs import baseline


@pytest.fixture
def corpus(easy_csv: Path) -> Corpus:
    return load_corpus(DataConfig(name=str(easy_csv)))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baseline_module, "default_cache", lambda: tmp_path / "baselines")


def test_the_majority_class_and_two_linear_models_are_scored_on_both_splits(corpus: Corpus) -> None:
    found = baselines(corpus, "accuracy")
    assert [one.model for one in found] == list(baseline_names())
    assert [one.settings.get(CLASSIFIER) in (REGRESSION, SVM) for one in found] == [False, True, True]
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


def test_the_number_of_parameters_is_known_without_the_weights(corpus: Corpus) -> None:
    for one, weighed in zip(baselines(corpus, "accuracy"), baselines(corpus, "accuracy", weights=True), strict=True):
        assert not one.weights
        assert one.metrics["size/parameters"] == weighed.weights["weight"].size + weighed.weights["bias"].size
        if one.model != baseline_names()[0]:
            assert one.metrics["size/parameters"] == bytes(weighed.weights["ngrams"]).count(b"\n") + 2


def test_linear_models_learn_from_training_texts_alone(corpus: Corpus) -> None:
    """Other validation and test texts change nothing but which regularization is chosen, which is fixed here."""
    first = baseline_module._linear(corpus, LINEAR[NGRAMS], "accuracy")[0]
    half = np.arange(len(corpus.validation) // 2)
    other = baseline_module._linear(
        replace(corpus, validation=corpus.validation.select(half), test=corpus.test.select(half)), LINEAR[NGRAMS],
        "accuracy")[0]
    known = {" ".join(words) for words in _texts(corpus, "train")}
    assert first.ngrams_F == other.ngrams_F
    assert np.array_equal(first.weight_FK, other.weight_FK)
    assert all(any(ngram in text for text in known) for ngram in first.ngrams_F)


def _texts(corpus: Corpus, split: str) -> list[list[str]]:
    own = corpus.split(split)
    return [[corpus.words[place] for place in own.ids[start:end]]
            for start, end in zip(own.offsets_N1[:-1], own.offsets_N1[1:], strict=True)]


@pytest.mark.parametrize("name", [TFIDF, NGRAMS])
@pytest.mark.parametrize("classifier", [REGRESSION, SVM])
@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_are_those_of_scikit_learn(
    name: str, classifier: str, classes: int, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The linear models as scikit-learn's own classes fit and ask them, where one class is rare."""
    def uneven(split: Split, *, odd: bool) -> Split:
        """Return a fifth of the texts of the second class, and where asked another class that no word tells."""
        index_N = np.arange(len(split))
        label_N = np.where(odd & (index_N % 3 == 0), classes - 1, split.label_N)
        return replace(split, label_N=label_N).select(np.flatnonzero((split.label_N == 0) | (index_N % 5 == 0)))

    corpus = replace(corpus, classes=("bad", "good", "odd")[:classes], train=uneven(corpus.train, odd=classes > 2),
                     validation=uneven(corpus.validation, odd=True))  # some of its answers are wrong
    monkeypatch.setattr(baseline_module, "MOST_REGRESSIONS", 50 if classifier == REGRESSION else 1)
    if classifier == REGRESSION:
        monkeypatch.setitem(LINEAR[name].grid, SVM, ())
    words: dict[str, Any] = {"min_df": 2, "lowercase": False, "token_pattern": r"\S+"}
    vectorizer: Any = (TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, **words) if name == TFIDF else
                       CountVectorizer(ngram_range=(1, 3), binary=True, **words))
    train, validation, test = ([" ".join(text) for text in _texts(corpus, split)] for split in SPLITS)
    train_NF, label_N = vectorizer.fit_transform(train), corpus.train.label_N
    (found,) = (one for one in baselines(corpus, "macro_f1") if one.model == name)
    assert found.settings[CLASSIFIER] == classifier

    def scores(texts: list[str]) -> np.ndarray:
        weights = "balanced" if found.settings[BALANCED] else None
        return _decisions(train_NF, label_N, vectorizer.transform(texts), classifier,
                          float(found.settings[REGULARIZATION] or 0), weights, weighted=name == NGRAMS)

    if classifier == REGRESSION:
        probability_NC = special.expit(scores(test))
        expected_NC = probability_NC / probability_NC.sum(axis=1, keepdims=True)
    else:
        # A score of two classes is a difference of log-odds, so each has half of it.
        divisor = temperature(corpus.validation.label_N, special.softmax(scores(validation), axis=1))
        assert divisor is not None
        expected_NC = special.softmax(scores(test) / divisor, axis=1)
    assert found.predictions["test"].probability_NC == pytest.approx(expected_NC, abs=1e-5)


def _decisions(
    train_NF: Any, label_N: np.ndarray, test_NF: Any, classifier: str, value: float, weights: str | None, *,
    weighted: bool
) -> np.ndarray:
    """Return the scores of all classes; of two classes, their difference is the score that was fitted."""
    count_C = np.bincount(label_N)
    classes, parts = len(count_C), []
    for one in range(1, classes) if classes == 2 else range(classes):
        own_N = label_N == one
        # Wang and Manning 2012: r = log((1 + sum of f over the class)/norm / ((1 + sum of f over the rest)/norm))
        own_F, rest_F = (1 + np.asarray(train_NF[rows].sum(axis=0)).ravel() for rows in (own_N, ~own_N))
        ratio_F = np.log(own_F / own_F.sum()) - np.log(rest_F / rest_F.sum()) if weighted else np.ones(len(own_F))
        balanced: Any = weights if classes == 2 or weights is None else {
            True: len(label_N) / (classes * count_C[one]), False: 1}  # as LinearSVC has it for several classes
        about: dict[str, Any] = {"C": value, "dual": True, "random_state": 0, "max_iter": 2000,
                                 "class_weight": balanced}
        model = (LinearSVC(**about) if classifier == SVM else LogisticRegression(solver="liblinear", **about)).fit(
            sparse.csr_matrix(train_NF.multiply(ratio_F)), own_N)
        parts.append(model.decision_function(sparse.csr_matrix(test_NF.multiply(ratio_F))))
    score_NK: np.ndarray = np.stack(parts, axis=1)
    if classes == 2:
        score_NK = np.hstack([-score_NK, score_NK]) / (1 if classifier == REGRESSION else 2)
    return score_NK


def test_several_classes_have_the_class_weights_of_a_linear_svm(corpus: Corpus) -> None:
    """Separate fits with them, and scikit-learn's for all classes at once, give nearly the same scores."""
    generator = np.random.default_rng(0)
    features_NF = sparse.csr_matrix(generator.random((300, 20)) * (generator.random((300, 20)) < 0.3))
    label_N = np.repeat([0, 1, 2], [200, 70, 30])
    known_C, weight_FK, bias_K, converged = baseline_module._fit(
        features_NF, label_N, baseline_module._Settings(SVM, True, 0.5, 0), weighted=False)
    whole = LinearSVC(C=0.5, class_weight="balanced", random_state=0).fit(features_NF, label_N)
    assert (known_C.tolist(), converged) == ([0, 1, 2], True)
    assert features_NF @ weight_FK + bias_K == pytest.approx(whole.decision_function(features_NF), abs=0.01)


@pytest.mark.parametrize(("metric", "balanced"), [("accuracy", False), ("macro_f1", True)])
def test_the_metric_of_the_study_decides_about_class_weights(
    metric: MetricName, balanced: bool, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever always answers the frequent class is right most often, and has a low macro F1."""
    rare = replace(corpus, train=corpus.train.select(np.flatnonzero(
        (corpus.train.label_N == 0) | (np.arange(len(corpus.train)) % 8 == 0))))
    found = iter([0.9] * 5 + [0.8] * 5 if metric == "accuracy" else [0.5] * 5 + [0.6] * 5)

    def value_of(asked: MetricName, *_: Any) -> float:
        assert asked == metric
        return next(found)

    monkeypatch.setattr(baseline_module, "value_of", value_of)
    monkeypatch.setitem(LINEAR[TFIDF].grid, SVM, ())
    assert baseline_module._linear(rare, LINEAR[TFIDF], metric)[1][BALANCED] is balanced


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
    for one in baselines(replace(corpus, classes=(*corpus.classes, "unseen")), "accuracy"):
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
    monkeypatch.setattr(baseline_module, "value_of", lambda *_: next(reached))
    monkeypatch.setitem(LINEAR[TFIDF].grid, SVM, ())
    _, settings = baseline_module._linear(corpus, LINEAR[TFIDF], "accuracy")
    assert (settings[REGULARIZATION], settings[IS_AT_END]) == (chosen, is_at_end)


def test_a_linear_model_is_a_row(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/architecture.md refers to this test as the example."""
    row = replace(LINEAR[TFIDF], name="words", label="words", features="TF-IDF of words", longest=1)
    monkeypatch.setitem(LINEAR, row.name, row)
    found = baselines(corpus, "accuracy")[-1]
    assert found.model == row.name
    assert baseline_name(row.name) == "words"
    assert baseline_label(row.name, found.settings).startswith("TF-IDF of words + ")
    assert found.metrics["score/test_accuracy"] > 0.6
    linear = LinearModel.of_arrays(baselines(corpus, "accuracy", [row.name], weights=True)[0].weights)
    assert {len(ngram.split()) for ngram in linear.ngrams_F} == {1}


def test_a_fit_that_has_not_converged_gets_more_iterations(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a warning of scikit-learn's, which the tests count as an error."""
    whole = baseline_module._linear(corpus, LINEAR[TFIDF], "accuracy")
    monkeypatch.setattr(baseline_module, "ITERATIONS", (1, 2000))
    again = baseline_module._linear(corpus, LINEAR[TFIDF], "accuracy")
    assert again[1][CONVERGED] is True
    assert np.array_equal(whole[0].weight_FK, again[0].weight_FK)
    monkeypatch.setattr(baseline_module, "ITERATIONS", (1, 1))
    assert baseline_module._linear(corpus, LINEAR[TFIDF], "accuracy")[1][CONVERGED] is False


def test_is_fitted_once_for_each_data_set(easy_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = load_corpus(DataConfig(name=str(easy_csv), split_seed=3))
    first = baselines(corpus, "accuracy")
    monkeypatch.setattr(baseline_module, "_linear", lambda *_: pytest.fail("fitted again"))
    for one, two in zip(first, baselines(corpus, "accuracy"), strict=True):
        assert (one.metrics, one.settings) == (two.metrics, two.settings)
        assert np.array_equal(one.predictions["test"].probability_NC, two.predictions["test"].probability_NC)
    with pytest.raises(pytest.fail.Exception, match="fitted again"):
        baselines(load_corpus(DataConfig(name=str(easy_csv), split_seed=4)), "accuracy")


def test_has_no_validation_scores_without_a_validation_split(easy_csv: Path) -> None:
    found = baselines(load_corpus(DataConfig(name=str(easy_csv), validation_share=0.0)), "accuracy")
    assert [list(one.predictions) for one in found] == [["test"]] * 3
    assert not [key for one in found for key in one.metrics if "val" in key.split("/")[1]]
    assert [(one.settings[REGULARIZATION], one.settings[IS_AT_END]) for one in found[1:]] == [
        (LINEAR[one].grid[REGRESSION][2], False) for one in (TFIDF, NGRAMS)]
    assert {one.settings[CLASSIFIER] for one in found[1:]} == {REGRESSION}
    assert compared_baseline(found, compared("accuracy", "val")) is found[1]


@pytest.mark.parametrize(("first", "second", "chosen"), [(0.8, 0.9, 2), (0.9, 0.8, 1), (0.9, 0.9, 1), (None, None, 1)])
def test_models_are_compared_with_the_linear_baseline_that_is_better_on_validation(
    first: float | None, second: float | None, chosen: int
) -> None:
    def measured(model: str, value: float | None) -> BaselineResult:
        one = baseline(model, val_accuracy=0.0 if value is None else value)
        return one if value is not None else replace(one, metrics={})

    found = tuple(measured(*one) for one in zip(baseline_names(), (0.99, first, second), strict=True))
    assert compared_baseline(found, compared("accuracy", "val")) is found[chosen]
    assert compared_baseline(found[:1], compared("accuracy", "val")) is None


def test_a_score_where_lower_is_better_chooses_the_lower_one() -> None:
    found = baseline(TFIDF, val_loss=0.4), baseline(NGRAMS, val_loss=0.3)
    assert compared_baseline(found, compared("log_loss", "val")) is found[1]
    assert math.isfinite(found[0].metrics["score/test_loss"])
