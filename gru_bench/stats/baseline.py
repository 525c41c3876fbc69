"""Baselines for comparison: guessing the most frequent class, and linear models of words and their sequences.

The linear models are the rows of `results.baselines.LINEAR`:

- `tfidf`: TF-IDF of words and pairs of words;
- `ngrams`: n-grams of one to three words, each weighted by how much it tells in naive Bayes (Wang and Manning 2012),
  which is hard to beat on sentiment.

They learn from the training split alone, as GRUs do. The study's metric on the validation split chooses between
logistic regression and a linear support vector machine, the regularization, and where classes are uneven whether a rare
class weighs as much as a frequent one; the test split is scored once. Without a validation split it is logistic
regression with the middle of its grid. Models are compared with the linear one that is better on validation
(`results.baselines.compared_baseline`).

Shapes: `N` examples of a split, `F` features, `C` classes, `K` columns of weights.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import MetricName, Scalar
from gru_bench.data.cache import cached_folder, default_cache, reading_cache
from gru_bench.data.corpus import Corpus, Split
from gru_bench.results.baselines import (
    BALANCED,
    CLASSIFIER,
    CONVERGED,
    IS_AT_END,
    LINEAR,
    MAJORITY,
    REGRESSION,
    REGULARIZATION,
    SVM,
    BaselineResult,
    Linear,
    baseline_names,
)
from gru_bench.results.logged_metrics import PARAMETERS, PREDICT_SECONDS, SPLIT_NAMES, TRAIN_SECONDS
from gru_bench.results.runs import Predictions
from gru_bench.stats.calibration import temperature
from gru_bench.stats.classes import are_uneven
from gru_bench.stats.linear import LinearModel
from gru_bench.stats.scores import compared, score, scores, value_of

MIDDLE = 2
"""Index of the middle one of the values of C that are tried."""
SMALLEST_COUNT = 2
"""Number of texts that must contain a word or an n-gram before it becomes a feature."""
MOST_REGRESSIONS = 50
"""Largest number of classes for which logistic regressions are tried. With more, support vector machines are, and the
features are the `MOST_FEATURES` most frequent words and n-grams: all else would take hours."""
MOST_FEATURES = 50_000
ITERATIONS = (100, 2000)
"""Most iterations of a fit: at first, and where it has not converged by then."""
_FORMAT = "12"
"""Part of the cache key. Raise it when the baselines or what is kept of them change."""
_RECORD, _PROBABILITIES, _WEIGHTS = "baseline.json", "probabilities.npz", "linear.npz"


@dataclass(frozen=True)
class _Settings:
    """How a linear model is fitted."""

    classifier: str
    balanced: bool
    """Whether classes have weights that are inverse to their frequencies."""
    regularization: float
    """C."""
    from_middle: int
    """Distance of C from the middle of its grid, in steps."""


def baselines(
    corpus: Corpus, metric: MetricName, names: Sequence[str] | None = None, *, weights: bool = False
) -> tuple[BaselineResult, ...]:
    """Return the baselines of a corpus. They are fitted once for each data and split, then read from the cache.

    Args:
        corpus: The data.
        metric: Score on validation texts that chooses the settings of linear models.
        names: Which baselines. None: all that there are.
        weights: Whether the results have the weights.
    """
    found = [(_folder(corpus, name, metric), name) for name in names or baseline_names()]
    return tuple(_read(folder, name, corpus, weights=weights) for folder, name in found)


def _folder(corpus: Corpus, name: str, metric: MetricName) -> Path:
    def fit(folder: Path) -> None:
        started = time.perf_counter()
        model, settings = _majority(corpus) if name == MAJORITY else _linear(corpus, LINEAR[name], metric)
        fitted = time.perf_counter()
        words = np.array(corpus.words, dtype=object)
        probability = {split: model.probabilities([words[ids].tolist() for ids in _texts(corpus.split(split))])
                       for split in SPLIT_NAMES}
        texts = sum(len(corpus.split(split)) for split in SPLIT_NAMES)
        cost = {TRAIN_SECONDS.key: fitted - started,
                PREDICT_SECONDS.key: 1000 * (time.perf_counter() - fitted) / texts,
                PARAMETERS.key: float(model.weight_FK.size + model.bias_K.size)}
        # mypy takes the arrays for allow_pickle.
        np.savez(folder / _PROBABILITIES, **probability)  # type: ignore[arg-type]
        np.savez_compressed(folder / _WEIGHTS, **model.arrays())  # type: ignore[arg-type]
        (folder / _RECORD).write_text(json.dumps({"cost": cost, "settings": settings}), encoding="utf-8")

    return cached_folder(default_cache(), "baselines", f"{_FORMAT}-{name}-{metric}-{corpus.fingerprint}", fit)


def _read(folder: Path, name: str, corpus: Corpus, *, weights: bool) -> BaselineResult:
    with reading_cache(folder):
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        with np.load(folder / _PROBABILITIES, allow_pickle=False) as arrays:
            found = {split: _predictions(corpus.split(split), arrays[split]) for split in SPLIT_NAMES}
        found = {split: one for split, one in found.items() if len(one)}
        return BaselineResult(name, corpus.classes, record["settings"], record["cost"] | {
            score(key, SPLIT_NAMES[split]).key: value for split, one in found.items()
            for key, value in scores(one.label_N, one.probability_NC).items()}, found,
            _arrays(folder / _WEIGHTS) if weights else {})


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


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


def _linear(corpus: Corpus, row: Linear, metric: MetricName) -> tuple[LinearModel, dict[str, Scalar]]:
    """Return a linear model, and its settings."""
    from sklearn.feature_extraction import text

    words, few = np.array(corpus.words, dtype=object), len(corpus.classes) <= MOST_REGRESSIONS
    vectorizer = getattr(text, row.vectorizer)(
        **row.options, ngram_range=(1, row.longest), analyzer="word", lowercase=False, token_pattern=r"\S+",
        dtype=np.float32, **(
            {"vocabulary": _common(corpus.train, words, row.longest)} if few else
            {"min_df": SMALLEST_COUNT, "max_features": MOST_FEATURES}))
    train, validation = corpus.train, corpus.validation
    train_NF = vectorizer.fit_transform(_documents(train, words))
    validation_NF: Any = vectorizer.transform(_documents(validation, words)) if len(validation) else None
    ngrams_F = tuple(vectorizer.get_feature_names_out())
    idf_F = vectorizer.idf_.astype(np.float32) if hasattr(vectorizer, "idf_") else None

    def fitted(settings: _Settings) -> tuple[_Settings, LinearModel, bool]:
        known_C, weight_FK, bias_K, converged = _fit(train_NF, train.label_N, settings, weighted=row.by_class)
        model = LinearModel(
            len(corpus.classes), known_C, row.longest, ngrams_F, weight_FK.astype(np.float32), bias_K, idf_F,
            softmax=settings.classifier == SVM and len(known_C) > 2)
        if settings.classifier == SVM:  # its margins are no log-odds
            scale = 1 / (temperature(validation.label_N, on_validation(model)) or 1)
            model = replace(model, weight_FK=np.float32(scale) * model.weight_FK, bias_K=scale * bias_K)
        return settings, model, converged

    def on_validation(model: LinearModel) -> NDArray[np.float64]:
        score_NK: NDArray[np.float64] = validation_NF @ model.weight_FK + model.bias_K
        return model.linked(score_NK)

    def rank(found: tuple[_Settings, LinearModel, bool]) -> tuple[float, int]:
        """Of settings that do equally well, those nearest to the middle of their grid are taken."""
        value = value_of(metric, validation.label_N, on_validation(found[1])) if len(validation) else 0.0
        return -value if compared(metric, "val").higher_is_better else value, found[0].from_middle

    in_advance = _Settings(REGRESSION, False, row.grid[REGRESSION][MIDDLE], 0)
    tried = [_Settings(classifier, balanced, value, abs(index - MIDDLE))
             for classifier in ((REGRESSION, SVM) if few else (SVM,))
             for balanced in ((False, True) if are_uneven(np.bincount(train.label_N).tolist()) else (False,))
             for index, value in enumerate(row.grid[classifier])]
    best, model, converged = min(map(fitted, tried if len(validation) else (in_advance,)), key=rank)
    return model, {CLASSIFIER: best.classifier, BALANCED: best.balanced, REGULARIZATION: best.regularization,
                   IS_AT_END: best.from_middle == MIDDLE, CONVERGED: converged}


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


def _fit(
    features_NF: Any, label_N: NDArray[Any], settings: _Settings, *, weighted: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], bool]:
    """Fit a model; with more than two classes, each has a separate one against the rest.

    Args:
        features_NF: The features, a sparse matrix.
        label_N: Positions of the classes.
        settings: How it is fitted.
        weighted: Whether each feature, 0 or 1, is multiplied by its log-count ratio (Wang and Manning 2012).

    Returns:
        The classes in training texts, the weights (F x K), the biases (K), and whether all fits have converged.
    """
    known_C, count_C = np.unique(label_N, return_counts=True)
    weight_C = len(label_N) / (len(known_C) * count_C)
    parts = []
    for place in range(1, 2) if len(known_C) == 2 else range(len(known_C)):
        own_N = label_N == known_C[place]
        ratio_F = _ratios(features_NF, own_N) if weighted else np.ones(features_NF.shape[1], np.float32)
        class_weight = {True: weight_C[place], False: weight_C[0] if len(known_C) == 2 else 1.0}
        model, converged = _converged(features_NF.multiply(ratio_F).tocsr() if weighted else features_NF, own_N,
                                      settings, class_weight if settings.balanced else None)
        parts.append((ratio_F * model.coef_[0], float(model.intercept_[0]), converged))
    return (known_C.astype(np.int64), np.stack([weight_F for weight_F, _, _ in parts], axis=1),
            np.array([bias for _, bias, _ in parts]), all(converged for _, _, converged in parts))


def _ratios(found_NF: Any, own_N: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the log-count ratio of each n-gram, from which n-grams are found in which text."""
    own_F, rest_F = (1 + np.asarray(found_NF[one_N].sum(axis=0)).ravel() for one_N in (own_N, ~own_N))
    ratio_F: NDArray[np.float32] = np.log(own_F / own_F.sum() / (rest_F / rest_F.sum())).astype(np.float32)
    return ratio_F


def _converged(
    features_NF: Any, own_N: NDArray[np.bool_], settings: _Settings, class_weight: dict[bool, float] | None
) -> tuple[Any, bool]:
    """Return a fitted model, with more iterations where few are not enough, and whether it has converged."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    for most in ITERATIONS:
        about: dict[str, Any] = {"C": settings.regularization, "class_weight": class_weight, "dual": True,
                                 "random_state": 0, "max_iter": most}
        model = (LinearSVC(**about) if settings.classifier == SVM else
                 LogisticRegression(solver="liblinear", **about))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(features_NF, own_N)
        if np.max(model.n_iter_) < most:
            return model, True
    return model, False


def _documents(split: Split, words: NDArray[Any]) -> list[str]:
    return [" ".join(words[ids]) for ids in _texts(split)]


def _texts(split: Split) -> Iterator[NDArray[Any]]:
    """Yield the positions of the words of each text."""
    return (split.ids[start:end] for start, end in pairwise(split.offsets_N1))
