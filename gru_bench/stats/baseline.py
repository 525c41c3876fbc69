"""Baselines for comparison: guessing the most frequent class, and a linear model on words and word pairs.

Both are fitted on the training split. The regularization of the linear model is chosen on the validation split. Then it
is fitted again on both splits, and the test split is scored once. Its validation scores are those of the first fit.

Shapes: `N` examples of a split, `C` classes.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from gru_bench.data.cache import cached_folder, default_cache
from gru_bench.data.corpus import Corpus, Split
from gru_bench.results.runs import BASELINES, Baseline, packed
from gru_bench.stats.metrics import correct, scores

INVERSE_REGULARIZATION = (0.25, 1.0, 4.0, 16.0, 64.0)
"""C of logistic regression: values that are tried. Without a validation split it is the middle one."""
SMOOTHING = (0.001, 0.01, 0.1, 1.0, 10.0)
"""The same of naive Bayes: alpha."""
SMALLEST_COUNT = 2
"""Number of reviews that must contain a word or a pair before it becomes a feature."""
MOST_REGRESSIONS = 50
"""Largest number of classes with a logistic regression. More would take hours: they get naive Bayes on the words and
pairs that are most frequent."""
_FORMAT = "4"
"""Part of the cache key. Raise it when the baselines or what is kept of them change."""


def baselines(corpus: Corpus) -> tuple[Baseline, ...]:
    """Return the baselines of a corpus. They are measured once for each data and split, then read from the cache."""
    def measure(folder: Path) -> None:
        measured = [asdict(baseline) for baseline in (_majority(corpus), _linear(corpus))]
        (folder / BASELINES).write_text(json.dumps(measured), encoding="utf-8")

    folder = cached_folder(default_cache(), "baselines", f"{_FORMAT}-{corpus.fingerprint}", measure)
    return tuple(Baseline(**values) for values in json.loads((folder / BASELINES).read_text(encoding="utf-8")))


def _majority(corpus: Corpus) -> Baseline:
    started = time.perf_counter()
    share_C = np.bincount(corpus.train.label_N, minlength=len(corpus.classes)) / len(corpus.train)
    validation, test = (np.tile(share_C, (len(split), 1)) for split in (corpus.validation, corpus.test))
    return _scored("majority class", corpus, validation, test, time.perf_counter() - started)


def _linear(corpus: Corpus) -> Baseline:
    from sklearn.feature_extraction.text import TfidfVectorizer

    started = time.perf_counter()
    words = np.array(corpus.words, dtype=object)
    few = len(corpus.classes) <= MOST_REGRESSIONS

    def new_vectorizer() -> Any:
        return TfidfVectorizer(
            ngram_range=(1, 2), min_df=SMALLEST_COUNT, sublinear_tf=True, analyzer="word", lowercase=False,
            token_pattern=r"\S+", dtype=np.float32, max_features=None if few else 50_000)

    vectorizer, documents, label_N = new_vectorizer(), _documents(corpus.train, words), corpus.train.label_N
    models = _models(len(corpus.classes))
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
    value, best = _models(len(corpus.classes))[place]
    best.fit(vectorizer.fit_transform(documents), label_N)
    test = vectorizer.transform(_documents(corpus.test, words))
    test_NC = _of_all(best, best.predict_proba(test), len(corpus.classes))
    found = _scored(f"TF-IDF + {'logistic regression' if few else 'naive Bayes'}", corpus, validation_NC, test_NC,
                    time.perf_counter() - started)
    right_N = correct(corpus.test.label_N, test_NC)
    return replace(found, right=packed(right_N[np.argsort(corpus.test.example_id_N, kind="stable")]),
                   regularization=value, is_at_end=len(corpus.validation) > 0 and place in (0, len(models) - 1))


def _models(classes: int) -> list[tuple[float, Any]]:
    """Return the models that are fitted, each after its regularization, which rises or falls along the list.

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
    two = len(corpus.classes) == 2
    found = {split: scores(corpus.split(split).label_N, probability_NC)
             for split, probability_NC in (("validation", validation_NC), ("test", test_NC)) if len(probability_NC)}
    test = found["test"]
    return Baseline(
        name=name, validation_accuracy=found["validation"]["accuracy"] if "validation" in found else None,
        test_accuracy=test["accuracy"], test_f1=test["f1" if two else "macro_f1"],
        test_size=len(test_NC), seconds=seconds, scores=found)


def _documents(split: Split, words: np.ndarray) -> list[str]:
    return [" ".join(words[split.ids[start:end]]) for start, end in pairwise(split.offsets_N1)]
