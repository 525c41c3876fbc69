"""Near-duplicates across splits: those of all pairs are found, counted, and removed if asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gru_bench.data.corpus import NEAR_EXAMPLES, SPLITS
from gru_bench.data.near import JACCARD, jaccard, near_duplicates, ngrams
from gru_bench.errors import DataError
from tests.support.reviews import load, reviews, write


def texts(count: int, length: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 5_000, length, dtype=np.int32) for _ in range(count)]


def changed(text: np.ndarray, words: int, seed: int) -> np.ndarray:
    """Return a text with other words in so many places."""
    found = text.copy()
    found[np.random.default_rng(seed).choice(len(text), words, replace=False)] = 6_000 + seed
    return found


def test_the_jaccard_index_is_that_of_the_sets_of_ngrams() -> None:
    one, other = np.array([1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5], np.int32), np.array([1, 2, 3, 4, 5, 7, 8, 9], np.int32)
    assert len(ngrams(one)) == 6  # 7, of which one occurs twice
    assert jaccard(one, other) == pytest.approx(1 / 9)
    assert jaccard(one[:3], one[:3]) == 1
    assert jaccard(one[:3], one[:4]) == 0
    assert jaccard(one[:0], one[:0]) == 0
    assert jaccard(one[:2], one[1::-1]) == 0  # the order counts


def test_all_pairs_above_the_limit_are_found_and_no_others() -> None:
    train = texts(400, 120)
    scored = [changed(text, n % 8, n) for n, text in enumerate(train[:200])] + texts(100, 120, 1)
    of_scored, of_train = near_duplicates(scored, train)
    wanted = {n for n in range(200) if jaccard(scored[n], train[n]) >= JACCARD}
    assert 50 < len(wanted) < 150
    assert set(of_scored) == set(of_train) == wanted
    assert all(of_scored[n] == of_train[n] == n for n in wanted)


def test_short_texts_are_near_if_their_words_are_equal() -> None:
    assert near_duplicates([np.array([7, 8], np.int32)], [np.array([8, 7], np.int32), np.array([7, 8], np.int32)]) == (
        {0: 1}, {1: 0})
    assert near_duplicates([np.zeros(0, np.int32)], [np.zeros(0, np.int32)]) == ({}, {})


def test_progress_reaches_the_number_of_texts() -> None:
    told: list[tuple[int, int]] = []
    near_duplicates(texts(1_500, 8), texts(2_500, 8, 1), lambda done, total: told.append((done, total)))
    assert told == [(0, 4_000), (1_000, 4_000), (1_500, 4_000), (2_500, 4_000), (3_500, 4_000)]


def repeated() -> list[tuple[str, int]]:
    """Return 300 reviews, of which the last 100 repeat the first 100 but for their last word."""
    rng = np.random.default_rng(0)
    rows = [(" ".join(f"w{word}" for word in rng.integers(0, 500, 60)), n % 2) for n in range(200)]
    return [*rows, *((f"{text} anew", label) for text, label in rows[:100])]


def test_a_corpus_counts_them_and_shows_some(tmp_path: Path) -> None:
    corpus = load(write(tmp_path / "a.csv", repeated()), tmp_path / "cache")
    first = {text.removesuffix(" anew"): [] for text, _ in repeated()}  # type: dict[str, list[str]]
    for split in SPLITS:
        for text in corpus.texts(split):
            first[text.removesuffix(" anew")].append(split)
    across = [parts for parts in first.values() if len(parts) == 2 and "train" in parts and parts != ["train", "train"]]
    assert corpus.near is not None
    assert len(across) == corpus.near.train == corpus.near.validation + corpus.near.test > 10
    assert sum("test" in parts for parts in across) == corpus.near.test
    assert len(corpus.near_examples) == NEAR_EXAMPLES
    for scored, train in corpus.near_examples:
        assert scored[:60] == train[:60]
        assert scored != train
    assert f"{corpus.near.train} near-dup" not in corpus.sizes


def test_they_are_removed_from_training_if_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", repeated())
    kept, corpus = load(path, tmp_path / "cache"), load(path, tmp_path / "cache", near_duplicates="remove")
    assert kept.near is not None
    assert len(corpus.train) == len(kept.train) - kept.near.train
    assert corpus.near_removed == kept.near.train
    assert corpus.held_back == kept.held_back == 0
    assert f"{kept.near.train} near-duplicates removed from training" in corpus.sizes
    for split in ("validation", "test"):
        assert corpus.texts(split) == kept.texts(split)
    again = near_duplicates([corpus.test.ids[a:b] for a, b in zip(
        corpus.test.offsets_N1[:-1], corpus.test.offsets_N1[1:], strict=True)], [corpus.train.ids[a:b] for a, b in zip(
            corpus.train.offsets_N1[:-1], corpus.train.offsets_N1[1:], strict=True)])
    assert again == ({}, {})
    assert set(corpus.words) <= set(kept.words)
    counts = np.bincount(np.concatenate([corpus.split(split).ids for split in SPLITS]), minlength=len(corpus.words))
    assert counts.min() > 0
    assert (np.diff(counts) <= 0).all()
    assert corpus.fingerprint != kept.fingerprint


def test_nothing_to_remove_changes_no_fingerprint(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", reviews(100))
    assert load(path, tmp_path / "cache").fingerprint == load(
        path, tmp_path / "cache", near_duplicates="remove").fingerprint


def test_training_reviews_that_are_all_near_duplicates_are_refused(tmp_path: Path) -> None:
    rows = repeated()[:100]
    test = write(tmp_path / "test.csv", [(f"{text} anew", label) for text, label in rows])
    with pytest.raises(DataError, match=r"data\.near_duplicates"):
        load(write(tmp_path / "a.csv", rows), tmp_path / "cache", test_name=test, validation_share=0,
             near_duplicates="remove")


def test_made_up_data_have_none(tmp_path: Path) -> None:
    assert load("recall:k=5,n=200", tmp_path / "cache").near is None
