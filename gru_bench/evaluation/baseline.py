"""Baselines for comparison: guessing the more frequent class, and a linear model on words and word pairs.

Both are fitted on the training split. The strength of the regularization of the linear model is chosen on the
validation split, and the test split is scored once.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np

from gru_bench.data.cache import cached_folder, default_cache
from gru_bench.data.corpus import Corpus, Split
from gru_bench.evaluation.metrics import scores
from gru_bench.results.runs import BASELINES, Baseline

INVERSE_REGULARIZATION = (1.0, 4.0, 16.0)
SMALLEST_COUNT = 2
"""Number of reviews that must contain a word or a pair before it becomes a feature."""


def baselines(corpus: Corpus) -> tuple[Baseline, ...]:
    """Return the baselines of a corpus. They are measured once for each data and split, then read from the cache."""
    def measure(folder: Path) -> None:
        measured = [asdict(baseline) for baseline in (_majority(corpus), _linear(corpus))]
        (folder / BASELINES).write_text(json.dumps(measured), encoding="utf-8")

    folder = cached_folder(default_cache(), "baselines", corpus.fingerprint, measure)
    return tuple(Baseline(**values) for values in json.loads((folder / BASELINES).read_text(encoding="utf-8")))


def _majority(corpus: Corpus) -> Baseline:
    started = time.perf_counter()
    share = float(corpus.train.label_N.mean())
    validation_N, test_N = (np.full(len(split.label_N), share, dtype=np.float64)
                            for split in (corpus.validation, corpus.test))
    return _scored("majority class", corpus, validation_N, test_N, time.perf_counter() - started)


def _linear(corpus: Corpus) -> Baseline:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    started = time.perf_counter()
    words = np.array(corpus.words, dtype=object)
    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2), min_df=SMALLEST_COUNT, sublinear_tf=True, analyzer="word", lowercase=False,
        token_pattern=r"\S+", dtype=np.float32)
    train = vectorizer.fit_transform(_documents(corpus.train, words))
    test = vectorizer.transform(_documents(corpus.test, words))
    models = [LogisticRegression(C=c, solver="liblinear", dual=True, random_state=0).fit(train, corpus.train.label_N)
              for c in INVERSE_REGULARIZATION]
    best, validation_N = models[len(models) // 2], np.empty(0)
    if len(corpus.validation):
        validation = vectorizer.transform(_documents(corpus.validation, words))
        best = max(models, key=lambda model: float(model.score(validation, corpus.validation.label_N)))
        validation_N = best.predict_proba(validation)[:, 1]
    return _scored("TF-IDF + logistic regression", corpus, validation_N, best.predict_proba(test)[:, 1],
                   time.perf_counter() - started)


def _scored(
    name: str, corpus: Corpus, validation_N: np.ndarray, test_N: np.ndarray, seconds: float
) -> Baseline:
    test = scores(corpus.test.label_N, test_N)
    validation = (scores(corpus.validation.label_N, validation_N)["accuracy"]
                  if len(validation_N) else None)
    return Baseline(name=name, validation_accuracy=validation, test_accuracy=test["accuracy"], test_f1=test["f1"],
                    test_size=len(test_N), seconds=seconds)


def _documents(split: Split, words: np.ndarray) -> list[str]:
    return [" ".join(words[split.ids[start:end]]) for start, end in pairwise(split.offsets_N1)]
