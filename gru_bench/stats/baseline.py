"""Baselines for comparison: guessing the most frequent class, and two linear models of words and their sequences.

- TF-IDF of words and pairs of words, with logistic regression;
- n-grams of one to three words, each weighted by how much it tells in naive Bayes, with logistic regression (Wang and
  Manning 2012), which is hard to beat on sentiment.

They are fitted on the training split. The regularization of a linear model is chosen on the validation split. Then it
is fitted again on both splits, and the test split is scored once. Its validation scores are those of the first fit.
Models are compared with the linear one that is better on validation (`results.runs.compared_baseline`).

Shapes: `N` examples of a split, `F` features, `C` classes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.data.cache import cached_folder, default_cache
from gru_bench.data.corpus import Corpus, Split
from gru_bench.results.runs import BASELINES, MAJORITY, Baseline, packed
from gru_bench.stats.metrics import correct, scores

INVERSE_REGULARIZATION = (0.25, 1.0, 4.0, 16.0, 64.0)
"""C of logistic regression on TF-IDF: values that are tried. Without a validation split it is the middle one."""
WEIGHTED_REGULARIZATION = (0.015625, 0.0625, 0.25, 1.0, 4.0)
"""The same on weighted n-grams."""
SMOOTHING = (0.001, 0.01, 0.1, 1.0, 10.0)
"""The same of naive Bayes: alpha."""
SMALLEST_COUNT = 2
"""Number of reviews that must contain a word or an n-gram before it becomes a feature."""
MOST_REGRESSIONS = 50
"""Largest number of classes with a logistic regression. More would take hours: they get naive Bayes on the words and
n-grams that are most frequent."""
MOST_FEATURES = 50_000
"""Their number then."""
_FORMAT = "6"
"""Part of the cache key. Raise it when the baselines or what is kept of them change."""

Models = Sequence[tuple[float, Any]]
"""The models that are fitted, each after its regularization, which rises or falls along the list."""


class WeightedRegression:
    """Logistic regression on n-grams that are weighted by their log-count ratios (Wang and Manning 2012).

    With more than two classes, each has a separate regression against the rest.
    """

    def __init__(self, inverse_regularization: float) -> None:
        """Set C of the logistic regression."""
        self.inverse_regularization = inverse_regularization
        self.classes_: NDArray[Any] = np.zeros(0, int)

    def fit(self, found_NF: Any, label_N: NDArray[Any]) -> WeightedRegression:
        """Fit it to which n-grams are found in which text (a sparse matrix of 0 and 1)."""
        self.classes_ = np.unique(label_N)
        own = self.classes_[1:] if len(self.classes_) == 2 else self.classes_
        self._parts = [self._fitted(found_NF, label_N == one) for one in own]
        return self

    def _fitted(self, found_NF: Any, own_N: NDArray[np.bool_]) -> tuple[NDArray[np.float32], Any]:
        from sklearn.linear_model import LogisticRegression

        own_F, rest_F = (1 + np.asarray(found_NF[one_N].sum(axis=0)).ravel() for one_N in (own_N, ~own_N))
        ratio_F = np.log(own_F / own_F.sum() / (rest_F / rest_F.sum())).astype(np.float32)
        model = LogisticRegression(C=self.inverse_regularization, solver="liblinear", dual=True, random_state=0)
        return ratio_F, model.fit(found_NF.multiply(ratio_F).tocsr(), own_N)

    def predict_proba(self, found_NF: Any) -> NDArray[Any]:
        """Return the probability of each class."""
        own_NC = np.stack([model.predict_proba(found_NF.multiply(ratio_F).tocsr())[:, 1]
                           for ratio_F, model in self._parts], axis=1)
        return np.hstack([1 - own_NC, own_NC]) if len(self._parts) == 1 else own_NC / own_NC.sum(axis=1, keepdims=True)

    def score(self, found_NF: Any, label_N: NDArray[Any]) -> float:
        """Return the accuracy."""
        return float((self.classes_[self.predict_proba(found_NF).argmax(axis=1)] == label_N).mean())


def baselines(corpus: Corpus) -> tuple[Baseline, ...]:
    """Return the baselines of a corpus. They are measured once for each data and split, then read from the cache."""
    def measure(folder: Path) -> None:
        measured = [asdict(one(corpus)) for one in (_majority, _tfidf, _weighted)]
        (folder / BASELINES).write_text(json.dumps(measured), encoding="utf-8")

    folder = cached_folder(default_cache(), "baselines", f"{_FORMAT}-{corpus.fingerprint}", measure)
    return tuple(Baseline(**values) for values in json.loads((folder / BASELINES).read_text(encoding="utf-8")))


def _majority(corpus: Corpus) -> Baseline:
    started = time.perf_counter()
    share_C = np.bincount(corpus.train.label_N, minlength=len(corpus.classes)) / len(corpus.train)
    validation, test = (np.tile(share_C, (len(split), 1)) for split in (corpus.validation, corpus.test))
    return _scored(MAJORITY, corpus, validation, test, time.perf_counter() - started)


def _tfidf(corpus: Corpus) -> Baseline:
    from sklearn.feature_extraction.text import TfidfVectorizer

    few = len(corpus.classes) <= MOST_REGRESSIONS
    return _linear(
        corpus, f"TF-IDF + {'logistic regression' if few else 'naive Bayes'}",
        lambda: TfidfVectorizer(
            ngram_range=(1, 2), min_df=SMALLEST_COUNT, sublinear_tf=True, analyzer="word", lowercase=False,
            token_pattern=r"\S+", dtype=np.float32, max_features=None if few else MOST_FEATURES),
        lambda: _models(len(corpus.classes)))


def _weighted(corpus: Corpus) -> Baseline:
    from sklearn.feature_extraction.text import CountVectorizer

    few = len(corpus.classes) <= MOST_REGRESSIONS
    return _linear(
        corpus, "NB-weighted n-grams + logistic regression" if few else "n-grams + naive Bayes",
        lambda: CountVectorizer(
            ngram_range=(1, 3), min_df=SMALLEST_COUNT, binary=True, analyzer="word", lowercase=False,
            token_pattern=r"\S+", dtype=np.float32, max_features=None if few else MOST_FEATURES),
        lambda: [(c, WeightedRegression(c)) for c in WEIGHTED_REGULARIZATION] if few else _models(len(corpus.classes)))


def _linear(
    corpus: Corpus, name: str, new_vectorizer: Callable[[], Any], new_models: Callable[[], Models]
) -> Baseline:
    """Return a linear baseline.

    Args:
        corpus: The data.
        name: Name of the baseline.
        new_vectorizer: Makes what turns texts into features.
        new_models: Makes the models that are tried.
    """
    started = time.perf_counter()
    words = np.array(corpus.words, dtype=object)
    vectorizer, documents, label_N = new_vectorizer(), _documents(corpus.train, words), corpus.train.label_N
    models = new_models()
    middle, validation_NC = len(models) // 2, np.empty((0, len(corpus.classes)))
    place = middle
    if len(corpus.validation):
        train = vectorizer.fit_transform(documents)
        more = _documents(corpus.validation, words)
        validation = vectorizer.transform(more)
        right = [float(model.fit(train, label_N).score(validation, corpus.validation.label_N)) for _, model in models]
        # Of values that do equally well, the one nearest to the middle is taken.
        place = min(range(len(models)), key=lambda one: (-right[one], abs(one - middle)))
        known = models[place][1]
        validation_NC = _of_all(known, known.predict_proba(validation), len(corpus.classes))
        documents, label_N = [*documents, *more], np.concatenate([label_N, corpus.validation.label_N])
        vectorizer = new_vectorizer()
    value, best = new_models()[place]
    best.fit(vectorizer.fit_transform(documents), label_N)
    test = vectorizer.transform(_documents(corpus.test, words))
    test_NC = _of_all(best, best.predict_proba(test), len(corpus.classes))
    found = _scored(name, corpus, validation_NC, test_NC, time.perf_counter() - started)
    right_N = correct(corpus.test.label_N, test_NC)
    return replace(found, right=packed(right_N[np.argsort(corpus.test.example_id_N, kind="stable")]),
                   regularization=value, is_at_end=len(corpus.validation) > 0 and place in (0, len(models) - 1))


def _models(classes: int) -> Models:
    """Return models of TF-IDF, and of any features of many classes.

    With several classes, each has a separate regression against the rest.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.naive_bayes import MultinomialNB

    if classes > MOST_REGRESSIONS:
        return [(alpha, MultinomialNB(alpha=alpha)) for alpha in SMOOTHING]
    models = [(c, LogisticRegression(C=c, solver="liblinear", dual=True, random_state=0))
              for c in INVERSE_REGULARIZATION]
    return models if classes == 2 else [(c, OneVsRestClassifier(model)) for c, model in models]


def _of_all(model: Any, known_NC: np.ndarray, classes: int) -> np.ndarray:
    """Return the probabilities of all classes: 0 for those without training reviews, which the model does not know."""
    probability_NC = np.zeros((len(known_NC), classes))
    probability_NC[:, model.classes_] = known_NC
    return probability_NC


def _scored(
    name: str, corpus: Corpus, validation_NC: np.ndarray, test_NC: np.ndarray, seconds: float
) -> Baseline:
    return Baseline(name, len(test_NC), seconds, {
        split: scores(corpus.split(split).label_N, probability_NC)
        for split, probability_NC in (("validation", validation_NC), ("test", test_NC)) if len(probability_NC)})


def _documents(split: Split, words: np.ndarray) -> list[str]:
    return [" ".join(words[split.ids[start:end]]) for start, end in pairwise(split.offsets_N1)]
