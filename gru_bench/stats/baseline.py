"""Baselines for comparison: guessing the most frequent class, and two linear models of words and their sequences.

- `tfidf`: TF-IDF of words and pairs of words, with logistic regression;
- `ngrams`: n-grams of one to three words, each weighted by how much it tells in naive Bayes, with logistic regression
  (Wang and Manning 2012), which is hard to beat on sentiment.

They learn from the training split alone, as GRUs do. The regularization of a linear model is chosen on the validation
split, and the test split is scored once. Models are compared with the linear one that is better on validation
(`results.baselines.compared_baseline`).

Shapes: `N` examples of a split, `F` features, `C` classes, `K` columns of weights.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import Scalar
from gru_bench.data.cache import cached_folder, default_cache, reading_cache
from gru_bench.data.corpus import Corpus, Split
from gru_bench.results.baselines import (
    BASELINES,
    BAYES,
    CLASSIFIER,
    CONVERGED,
    IS_AT_END,
    MAJORITY,
    NGRAMS,
    REGRESSION,
    REGULARIZATION,
    TFIDF,
    BaselineResult,
)
from gru_bench.results.logged_metrics import SPLIT_NAMES, score
from gru_bench.results.runs import Predictions
from gru_bench.stats.linear import LinearModel
from gru_bench.stats.metrics import scores

INVERSE_REGULARIZATION = {TFIDF: (0.25, 1.0, 4.0, 16.0, 64.0), NGRAMS: (0.015625, 0.0625, 0.25, 1.0, 4.0)}
"""C of logistic regression of each linear model: values that are tried. Without a validation split it is the middle
one."""
SMOOTHING = (0.001, 0.01, 0.1, 1.0, 10.0)
"""The same of naive Bayes: alpha."""
LONGEST = {TFIDF: 2, NGRAMS: 3}
"""Number of words of the longest n-grams."""
SMALLEST_COUNT = 2
"""Number of texts that must contain a word or an n-gram before it becomes a feature."""
MOST_REGRESSIONS = 50
"""Largest number of classes with a logistic regression. More would take hours: they get naive Bayes on the words and
n-grams that are most frequent."""
MOST_FEATURES = 50_000
"""Their number then."""
ITERATIONS = (100, 2000)
"""Most iterations of a logistic regression: at first, and where it has not converged by then."""
_FORMAT = "8"
"""Part of the cache key. Raise it when the baselines or what is kept of them change."""
_RECORD, _PROBABILITIES, _WEIGHTS = "baseline.json", "probabilities.npz", "linear.npz"


@dataclass(frozen=True)
class _Fit:
    """What was fitted to features of training texts."""

    known_C: NDArray[np.int64]
    weight_FK: NDArray[np.float64]
    bias_K: NDArray[np.float64]
    converged: bool = True

    def right(self, features_NF: Any, label_N: NDArray[Any]) -> float:
        """Return the accuracy on a split."""
        score_NK = features_NF @ self.weight_FK + self.bias_K
        place_N = (score_NK[:, 0] > 0).astype(int) if score_NK.shape[1] == 1 else score_NK.argmax(axis=1)
        return float((self.known_C[place_N] == label_N).mean())


def baselines(corpus: Corpus, *, weights: bool = False) -> tuple[BaselineResult, ...]:
    """Return the baselines of a corpus. They are fitted once for each data and split, then read from the cache.

    Args:
        corpus: The data.
        weights: Whether the results have the weights.
    """
    found = [(_folder(corpus, name), name) for name in BASELINES]
    return tuple(_read(folder, name, corpus, weights=weights) for folder, name in found)


def _folder(corpus: Corpus, name: str) -> Path:
    def fit(folder: Path) -> None:
        started = time.perf_counter()
        model, settings = _majority(corpus) if name == MAJORITY else _linear(corpus, name)
        words = np.array(corpus.words, dtype=object)
        probability = {split: model.probabilities([words[ids].tolist() for ids in _texts(corpus.split(split))])
                       for split in SPLIT_NAMES}
        np.savez(folder / _PROBABILITIES, **probability)  # type: ignore[arg-type]  # mypy takes them for allow_pickle
        (folder / _WEIGHTS).write_bytes(model.to_bytes())
        (folder / _RECORD).write_text(
            json.dumps({"seconds": time.perf_counter() - started, "settings": settings}), encoding="utf-8")

    return cached_folder(default_cache(), "baselines", f"{_FORMAT}-{name}-{corpus.fingerprint}", fit)


def _read(folder: Path, name: str, corpus: Corpus, *, weights: bool) -> BaselineResult:
    with reading_cache(folder):
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        with np.load(folder / _PROBABILITIES, allow_pickle=False) as arrays:
            found = {split: _predictions(corpus.split(split), arrays[split]) for split in SPLIT_NAMES}
        found = {split: one for split, one in found.items() if len(one)}
        return BaselineResult(name, corpus.classes, record["settings"], record["seconds"], {
            score(key, SPLIT_NAMES[split]).key: value for split, one in found.items()
            for key, value in scores(one.label_N, one.probability_NC).items()}, found,
            (folder / _WEIGHTS).read_bytes() if weights else b"")


def _predictions(split: Split, probability_NC: NDArray[np.float64]) -> Predictions:
    return Predictions(
        example_id_N=split.example_id_N, label_N=split.label_N, probability_NC=probability_NC,
        category_N=split.category_N, tokens_N=np.diff(split.offsets_N1).astype(np.int32),
        dropped_N=np.zeros(len(split), np.int32), name_N=split.name_N, group_N=split.group_N)


def _majority(corpus: Corpus) -> tuple[LinearModel, dict[str, Scalar]]:
    count_C = np.bincount(corpus.train.label_N, minlength=len(corpus.classes))
    known_C = np.flatnonzero(count_C)
    return LinearModel(len(corpus.classes), known_C, 0, (), np.zeros((0, len(known_C)), np.float32),
                       np.log(count_C[known_C] / len(corpus.train)), None, softmax=True), {}


def _linear(corpus: Corpus, name: str) -> tuple[LinearModel, dict[str, Scalar]]:
    """Return a linear model, and its settings."""
    words, few = np.array(corpus.words, dtype=object), len(corpus.classes) <= MOST_REGRESSIONS
    longest = LONGEST[name]
    vectorizer = _vectorizer(name, ngram_range=(1, longest), **(
        {"vocabulary": _common(corpus.train, words, longest)} if few else
        {"min_df": SMALLEST_COUNT, "max_features": MOST_FEATURES}))
    documents, label_N = _documents(corpus.train, words), corpus.train.label_N
    train_NF = vectorizer.fit_transform(documents)
    grid = INVERSE_REGULARIZATION[name] if few else SMOOTHING
    middle = len(grid) // 2

    def fitted(value: float) -> _Fit:
        return _regression(train_NF, label_N, value, weighted=name == NGRAMS) if few else (
            _bayes(train_NF, label_N, value))

    if len(corpus.validation):
        fits = list(map(fitted, grid))
        validation_NF = vectorizer.transform(_documents(corpus.validation, words))
        right = [fit.right(validation_NF, corpus.validation.label_N) for fit in fits]
        # Of values that do equally well, the one nearest to the middle is taken.
        place = min(range(len(grid)), key=lambda one: (-right[one], abs(one - middle)))
        best = fits[place]
    else:
        place, best = middle, fitted(grid[middle])
    model = LinearModel(
        len(corpus.classes), best.known_C, longest, tuple(vectorizer.get_feature_names_out()),
        best.weight_FK.astype(np.float32), best.bias_K,
        vectorizer.idf_.astype(np.float32) if name == TFIDF else None, softmax=not few)
    return model, {CLASSIFIER: REGRESSION if few else BAYES, REGULARIZATION: grid[place],
                   IS_AT_END: len(corpus.validation) > 0 and place in (0, len(grid) - 1), CONVERGED: best.converged}


def _vectorizer(name: str, **settings: Any) -> Any:
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

    settings |= {"analyzer": "word", "lowercase": False, "token_pattern": r"\S+", "dtype": np.float32}
    return TfidfVectorizer(sublinear_tf=True, **settings) if name == TFIDF else CountVectorizer(binary=True, **settings)


def _common(split: Split, words: NDArray[Any], longest: int) -> list[str]:
    """Return the n-grams of up to `longest` words that at least `SMALLEST_COUNT` texts contain, sorted.

    A vectorizer finds the same with `min_df`, but holds all n-grams as strings until then: here most are in one text,
    and would take a third of the memory of a study.
    """
    text_of = np.repeat(np.arange(len(split)), np.diff(split.offsets_N1))
    found: list[str] = []
    gram = np.zeros(len(split.ids), np.int64)
    """The number of the n-gram that begins at each place; it may go on in the next text."""
    for length in range(1, longest + 1):
        last = split.ids[length - 1:]
        _, gram = np.unique(gram[:len(last)] * len(words) + last, return_inverse=True)
        place = np.flatnonzero(text_of[:len(last)] == text_of[length - 1:])
        pairs, first = np.unique(gram[place] * len(split) + text_of[place], return_index=True)
        _, start, count = np.unique(pairs // len(split), return_index=True, return_counts=True)
        found += [" ".join(words[split.ids[begin:begin + length]])
                  for begin in place[first[start[count >= SMALLEST_COUNT]]].tolist()]
    return sorted(found)


def _regression(features_NF: Any, label_N: NDArray[Any], inverse_regularization: float, *, weighted: bool) -> _Fit:
    """Return logistic regression; with more than two classes, each has a separate one against the rest.

    Args:
        features_NF: The features, a sparse matrix.
        label_N: Positions of the classes.
        inverse_regularization: C.
        weighted: Whether each feature, 0 or 1, is multiplied by its log-count ratio (Wang and Manning 2012).
    """
    known_C = np.unique(label_N).astype(np.int64)
    parts = []
    for one in known_C[1:] if len(known_C) == 2 else known_C:
        own_N = label_N == one
        ratio_F = _ratios(features_NF, own_N) if weighted else np.ones(features_NF.shape[1], np.float32)
        model, converged = _converged(features_NF.multiply(ratio_F).tocsr() if weighted else features_NF, own_N,
                                      inverse_regularization)
        parts.append((ratio_F * model.coef_[0], float(model.intercept_[0]), converged))
    return _Fit(known_C, np.stack([weight_F for weight_F, _, _ in parts], axis=1),
                np.array([bias for _, bias, _ in parts]), all(converged for _, _, converged in parts))


def _ratios(found_NF: Any, own_N: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the log-count ratio of each n-gram, from which n-grams are found in which text."""
    own_F, rest_F = (1 + np.asarray(found_NF[one_N].sum(axis=0)).ravel() for one_N in (own_N, ~own_N))
    ratio_F: NDArray[np.float32] = np.log(own_F / own_F.sum() / (rest_F / rest_F.sum())).astype(np.float32)
    return ratio_F


def _converged(features_NF: Any, own_N: NDArray[np.bool_], inverse_regularization: float) -> tuple[Any, bool]:
    """Return a fitted logistic regression, with more iterations where few are not enough, and whether it converged."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    for most in ITERATIONS:
        model = LogisticRegression(
            C=inverse_regularization, solver="liblinear", dual=True, random_state=0, max_iter=most)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(features_NF, own_N)
        if model.n_iter_[0] < most:
            return model, True
    return model, False


def _bayes(features_NF: Any, label_N: NDArray[Any], smoothing: float) -> _Fit:
    from sklearn.naive_bayes import MultinomialNB

    model = MultinomialNB(alpha=smoothing).fit(features_NF, label_N)
    return _Fit(model.classes_.astype(np.int64), model.feature_log_prob_.T, model.class_log_prior_)


def _documents(split: Split, words: NDArray[Any]) -> list[str]:
    return [" ".join(words[ids]) for ids in _texts(split)]


def _texts(split: Split) -> Iterator[NDArray[Any]]:
    """Yield the positions of the words of each text."""
    return (split.ids[start:end] for start, end in pairwise(split.offsets_N1))
