"""Near-duplicates across splits: those of all pairs are found, counted, and removed if asked for."""

from __future__ import annotations

import itertools
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from gru_bench.data import near as near_module
from gru_bench.data.corpus import NEAR_EXAMPLES, SPLITS
from gru_bench.data.near import JACCARD, WORDS, near_duplicates
from gru_bench.errors import DataError
from tests.support.reviews import load, reviews, write


def texts(count: int, length: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 5_000, length, dtype=np.int32) for _ in range(count)]


def templated(count: int, fills: int, values: int, words: int = 60, seed: int = 0) -> list[np.ndarray]:
    """Return texts of one template: each has one of so many values, drawn at random, in each of some places."""
    rng = np.random.default_rng(seed)
    template = rng.integers(0, 5_000, words, dtype=np.int32)
    text_NW = np.tile(template, (count, 1))
    places = np.linspace(0, words - 1, fills + 2).astype(int)[1:-1]
    text_NW[:, places] = 5_000 + values * np.arange(fills) + rng.integers(0, values, (count, fills))
    return list(text_NW)


def ngrams(text: np.ndarray) -> set[tuple[int, ...]]:
    """Return the distinct 5-grams of a text: all of its words, if it has fewer."""
    words = tuple(text.tolist())
    return {words[begin:begin + WORDS] for begin in range(max(1, len(words) - WORDS + 1)) if words}


def jaccard(one: np.ndarray, other: np.ndarray) -> float:
    """Return the Jaccard index of the 5-grams of two texts."""
    a, b = ngrams(one), ngrams(other)
    return len(a & b) / max(1, len(a | b))


def near_pairs(scored: list[np.ndarray], train: list[np.ndarray]) -> np.ndarray:
    """Return whether each scored text and each training text are near-duplicates, by comparing all of them."""
    number = defaultdict[tuple[int, ...], int](itertools.count().__next__)
    scored_sets, train_sets = ([{number[gram] for gram in ngrams(text)} for text in each] for each in (scored, train))
    return np.array([[len(a & b) / (len(a) + len(b) - len(a & b)) >= JACCARD for b in train_sets] for a in scored_sets])


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


@pytest.mark.parametrize(("fills", "values", "words"), [
    (1, 10**6, 60),  # all are near-duplicates
    (2, 30, 60),  # those with one equal value in two places are
    (3, 10, 40),  # those with equal values everywhere are
    (4, 10**6, 60),  # none are
])
@pytest.mark.parametrize("edited", [False, True])
def test_no_near_duplicate_among_templated_texts_is_missed(
    fills: int, values: int, words: int, *, edited: bool
) -> None:
    found = templated(800, fills, values, words)
    scored, train = found[:200], found[200:]
    scored += [changed(text, 1, n) for n, text in enumerate(train[:20])]
    if edited:  # so that few n-grams occur always together
        scored, train = ([changed(text[:len(text) - n % 9], n % 2, n) for n, text in enumerate(each)]
                         for each in (scored, train))
    is_near = near_pairs(scored, train)
    of_scored, of_train = near_duplicates(scored, train)
    assert sorted(of_scored) == np.flatnonzero(is_near.any(axis=1)).tolist()
    assert sorted(of_train) == np.flatnonzero(is_near.any(axis=0)).tolist()
    assert all(is_near[n, other] for n, other in of_scored.items())
    assert all(is_near[one, n] for n, one in of_train.items())


@pytest.mark.parametrize(("fills", "values"), [(1, 10**6), (2, 30), (3, 10)])
def test_the_comparisons_with_templated_texts_grow_with_their_number(
    monkeypatch: pytest.MonkeyPatch, fills: int, values: int
) -> None:
    # All texts have most of their n-grams in common, so each could be compared with all others.
    compared = 0

    def counted(index: near_module._Index, bit: np.ndarray, others: np.ndarray, classes: np.ndarray) -> np.ndarray:
        nonlocal compared
        compared += len(others)
        return common(index, bit, others, classes)

    common = near_module._Index._common
    monkeypatch.setattr(near_module._Index, "_common", counted)
    monkeypatch.setattr(near_module, "_CANDIDATES", 100)
    a_text = []
    for count in (2_000, 8_000):
        found, compared = templated(count, fills, values), 0
        near_duplicates(found[:count // 4], found[count // 4:])
        a_text.append(compared / count)
    assert a_text[1] < 1.5 * a_text[0]
    assert a_text[1] < 2 * near_module._CANDIDATES  # by some of their n-grams, then by all


def test_few_near_duplicates_in_a_crowd_are_missed() -> None:
    # Near-duplicates have most of their values in common, but each value is in an eighth of the texts: more than are
    # compared with one.
    found = templated(8_000, 5, 8, 50)
    scored, train = found[:60], found[60:]
    near = set(np.flatnonzero(near_pairs(scored, train).any(axis=1)).tolist())
    of_scored, _ = near_duplicates(scored, train)
    assert set(of_scored) <= near
    assert len(of_scored) >= 0.98 * len(near) > 30


def test_short_texts_are_near_if_their_words_are_equal() -> None:
    assert near_duplicates([np.array([7, 8], np.int32)], [np.array([8, 7], np.int32), np.array([7, 8], np.int32)]) == (
        {0: 1}, {1: 0})
    assert near_duplicates([np.zeros(0, np.int32)], [np.zeros(0, np.int32)]) == ({}, {})


def test_progress_reaches_the_number_of_texts() -> None:
    told: list[tuple[int, int]] = []
    near_duplicates(texts(1_500, 30), texts(2_500, 30, 1), lambda done, total: told.append((done, total)))
    assert told == [(done, 8_000) for done in (0, 1_000, 2_000, 3_000)]
    told.clear()
    found = templated(2_000, 2, 30)
    near_duplicates(found[:500], found[500:], lambda done, total: told.append((done, total)))
    done = [done for done, total in told if total == 4_000]
    assert len(done) == len(told)
    assert done[0] == 0
    assert 0 < np.diff(done).min() <= np.diff([*done, 4_000]).max() <= 1_000


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
