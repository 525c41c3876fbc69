"""Near-duplicates: texts of training that nearly repeat one that is scored.

Two texts are near-duplicates if their sets of word 5-grams have a Jaccard index (common ones of all) of at least 0.8.
A text of fewer words is one such n-gram. Near-duplicates have at least four fifths of each one's n-grams in common. So
of any n-grams of a text that are more than a fifth, its near-duplicates contain one: those that are rarest among the
other texts lead to few candidates (prefix filtering: Bayardo, Ma and Srikant 2007, Scaling up all pairs similarity
search), and each candidate is checked exactly.

Where even these n-grams are common, as in texts made from a template, a text is compared with a limited number of
candidates: those that contain its very rarest n-grams. So the time grows in proportion to the number of texts. Only a
text with few near-duplicates among many texts that share these n-grams too can be missed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

JACCARD = 0.8
WORDS = 5
_CANDIDATES = 500
"""Most candidates of a text, where one with several of its rarest n-grams counts several times."""
_FIRST = 8
"""Number of candidates that are checked before all others: among texts made from a template, these often suffice."""
_FACTORS = np.random.default_rng(0).integers(1 << 63, size=WORDS, dtype=np.uint64) * 2 + 1
"""Factors of a multiplicative hash of the ids of an n-gram's words."""


def ngrams(ids: NDArray[np.int32]) -> NDArray[np.uint64]:
    """Return hashes of the distinct 5-grams of a text, which is given by the ids of its words."""
    if not len(ids):
        return np.zeros(0, np.uint64)
    size = min(WORDS, len(ids))
    windows = np.lib.stride_tricks.sliding_window_view(ids, size).astype(np.uint64) + 1
    return np.unique((windows * _FACTORS[:size]).sum(axis=1, dtype=np.uint64))


def near_duplicates(
    scored: Sequence[NDArray[np.int32]], train: Sequence[NDArray[np.int32]],
    on_progress: Callable[[int, int], object] = lambda done, total: None,
) -> tuple[dict[int, int], dict[int, int]]:
    """Return the scored texts that have near-duplicates in training, and the training texts that have some among those.

    Args:
        scored: Ids of the words of each text that is scored.
        train: The same of each training text.
        on_progress: Is told how many steps are done, of how many, after every thousand. Each text takes two.

    Returns:
        Position of a scored text -> that of one of its near-duplicates in `train`, and position in `train` -> that of
        one in `scored`.
    """
    total = len(scored) + len(train)
    hashes = []
    for place, ids in enumerate(chain(scored, train)):
        hashes.append(ngrams(ids))
        if place % 1_000 == 0:
            on_progress(place, 2 * total)
    of_scored: dict[int, int] = {}
    of_train: dict[int, int] = {}
    kept = _with_common_ngrams(hashes, len(scored))
    if not kept:
        return of_scored, of_train
    index = _Index([hashes[place] for place in kept], sum(place < len(scored) for place in kept))
    for number, place in enumerate(kept):
        if number % 1_000 == 0:
            on_progress(2 * total - len(kept) + number, 2 * total)
        if place - len(scored) not in of_train and (other := index.near_duplicate(number)) is not None:
            one, duplicate = sorted((place, kept[other]))
            of_scored.setdefault(one, duplicate - len(scored))
            of_train.setdefault(duplicate - len(scored), one)
    return of_scored, of_train


def _with_common_ngrams(hashes: Sequence[NDArray[np.uint64]], scored: int) -> list[int]:
    """Return the positions of the texts that have four fifths of their n-grams in common with texts of the other side.

    Some bits of each hash tell n-grams apart here, so a few other texts may be among them.

    Args:
        hashes: N-grams of each text, those of the scored texts first.
        scored: Number of scored texts.
    """
    bits = 1 + sum(map(len, hashes)).bit_length()
    rest = np.uint64(64 - bits)
    sides = np.zeros(1 << bits, np.uint8)
    for place, found in enumerate(hashes):
        sides[found >> rest] |= 1 if place < scored else 2
    return [place for place, found in enumerate(hashes)
            if len(found) and 5 * np.count_nonzero(sides[found >> rest] == 3) >= 4 * len(found)]


class _Index:
    """The texts that contain each n-gram.

    Shapes: `N` texts, the scored ones first; `V` distinct n-grams; `K` candidates of a text.
    """

    def __init__(self, hashes: Sequence[NDArray[np.uint64]], scored: int) -> None:
        """Take the n-grams of each text, those of the scored texts first, and the number of scored texts."""
        self._scored = scored
        sizes = [len(found) for found in hashes]
        self._size_N = np.array(sizes)
        distinct_V, gram = np.unique(np.concatenate(hashes), return_inverse=True)
        self._grams = np.split(gram, np.cumsum(sizes)[:-1])
        self._texts = np.repeat(np.arange(len(sizes)), sizes)[np.argsort(gram, kind="stable")]
        self._end_V = np.cumsum(np.bincount(gram))
        self._begin_V = np.concatenate([[0], self._end_V[:-1]])
        self._middle_V = self._begin_V + np.bincount(gram[:sum(sizes[:scored])], minlength=len(distinct_V))
        self._is_own_V = np.zeros(len(distinct_V), np.uint8)

    def near_duplicate(self, text: int) -> int | None:
        """Return the first near-duplicate of a text on the other side, or None."""
        candidates_K = self._candidates(text)
        for others_K in (candidates_K[:_FIRST], candidates_K[_FIRST:]):
            if len(near := others_K[self._jaccard(text, others_K) >= JACCARD]):
                return int(near[0])
        return None

    def _jaccard(self, text: int, others_K: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the Jaccard index of a text with each of some others."""
        if not len(others_K):
            return np.zeros(0)
        own, size_K = self._grams[text], self._size_N[others_K]
        self._is_own_V[own] = 1
        is_common = self._is_own_V[np.concatenate([self._grams[other] for other in others_K])]
        self._is_own_V[own] = 0
        common_K = np.add.reduceat(is_common, np.cumsum(size_K) - size_K, dtype=np.int64)
        jaccard_K: NDArray[np.float64] = common_K / (len(own) + size_K - common_K)
        return jaccard_K

    def _candidates(self, text: int) -> NDArray[np.int64]:
        """Return the texts of the other side that contain one of the rarest n-grams of a text, in ascending order."""
        own = self._grams[text]
        begin, end = (self._middle_V, self._end_V) if text < self._scored else (self._begin_V, self._middle_V)
        begin, end = begin[own], end[own]
        rarest = np.argsort(end - begin, kind="stable")[:len(own) // 5 + 1]
        found, room = [], _CANDIDATES
        for first, last in zip(begin[rarest].tolist(), end[rarest].tolist(), strict=True):
            found.append(self._texts[first:min(last, first + room)])
            room -= len(found[-1])
        return np.unique(np.concatenate(found))
