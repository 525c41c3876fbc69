"""Near-duplicates: texts of training that nearly repeat one that is scored.

Two texts are near-duplicates if their sets of word 5-grams have a Jaccard index (common ones of all) of at least 0.8.
A text of fewer words is one such n-gram. Near-duplicates have at least four fifths of each one's n-grams in common. So
of any n-grams of a text that are more than a fifth, its near-duplicates contain one: those that are rarest among the
other texts lead to few candidates (prefix filtering: Bayardo, Ma and Srikant 2007, Scaling up all pairs similarity
search), and each candidate is checked exactly.

Many n-grams of texts made from a template always occur together. Such n-grams are a class: a text contains all of them
or none, so a class is looked up and compared once, with its number of n-grams as its weight.

Where even the rarest n-grams are common, a text is compared with a limited number of candidates: those that contain its
very rarest n-grams. So the time grows in proportion to the number of texts. Only a text with few near-duplicates among
many texts that share these n-grams too can be missed.

Shapes: `N` texts, the scored ones first; `M` n-grams or classes of each text, one text after the other; `V` distinct
n-grams; `C` classes; `B` texts that are looked up together; `K` pairs of one of them and a candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

JACCARD = 0.8
WORDS = 5
_CANDIDATES = 500
"""Most candidates of a text, where one with several classes of its rarest n-grams counts several times."""
_FIRST = 8
"""Number of candidates that are checked before all others: among texts made from a template, these often suffice."""
_HASHED = 1_000
"""Number of texts whose n-grams are hashed together."""
_BITS = 54
"""Bits of the hash of an n-gram. The other bits of 64 are the number of one of these texts."""
_LOOKED_UP = 64
"""Number of texts that are looked up together. Each is one bit of an integer."""
_FACTORS = np.random.default_rng(0).integers(1 << 63, size=WORDS, dtype=np.uint64) * 2 + 1
"""Factors of a multiplicative hash of the ids of an n-gram's words."""


def near_duplicates(
    scored: Sequence[NDArray[np.int32]], train: Sequence[NDArray[np.int32]],
    on_progress: Callable[[int, int], object] = lambda done, total: None,
) -> tuple[dict[int, int], dict[int, int]]:
    """Return the scored texts that have near-duplicates in training, and the training texts that have some among those.

    Args:
        scored: Ids of the words of each text that is scored.
        train: The same of each training text.
        on_progress: Is told how many steps are done, of how many, at least once in a thousand. Each text takes two.

    Returns:
        Position of a scored text -> that of one of its near-duplicates in `train`, and position in `train` -> that of
        one in `scored`.
    """
    texts = [*scored, *train]
    total, hashed = len(texts), []
    for begin in range(0, total, _HASHED):
        on_progress(begin, 2 * total)
        hashed.append(_ngrams(texts[begin:begin + _HASHED]))
    of_scored: dict[int, int] = {}
    of_train: dict[int, int] = {}
    if not (scored and train):
        return of_scored, of_train
    hash_M, size_N = (np.concatenate(parts) for parts in zip(*hashed, strict=True))
    del hashed
    is_taken_M = _are_shared(hash_M, int(size_N[:len(scored)].sum()))
    shared_N = np.diff(np.concatenate([[0], np.cumsum(is_taken_M)])[np.cumsum(size_N)], prepend=0)
    is_kept_N = (size_N > 0) & (5 * shared_N >= 4 * size_N)
    kept_N = np.flatnonzero(is_kept_N)
    sides = np.split(np.arange(len(kept_N)), [np.count_nonzero(is_kept_N[:len(scored)])])
    if not all(map(len, sides)):
        return of_scored, of_train
    is_taken_M &= np.repeat(is_kept_N, size_N)
    hash_M = hash_M[is_taken_M]
    index = _Index(hash_M, shared_N[kept_N], size_N[kept_N], len(sides[0]))
    done = 2 * total - len(kept_N)
    for side in sides:
        left = [number for number in side.tolist() if kept_N[number] - len(scored) not in of_train]
        done += len(side) - len(left)
        for begin in range(0, len(left), _LOOKED_UP):
            on_progress(done + begin, 2 * total)
            text_B = np.array(left[begin:begin + _LOOKED_UP])
            found_B = index.near_duplicates(text_B)
            pairs = np.sort(kept_N[np.stack([text_B, found_B])[:, found_B >= 0]], axis=0)
            for one, duplicate in pairs.T.tolist():
                of_scored.setdefault(one, duplicate - len(scored))
                of_train.setdefault(duplicate - len(scored), one)
        done += len(left)
    return of_scored, of_train


def _ngrams(texts: Sequence[NDArray[np.int32]]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return hashes of the distinct 5-grams of each of at most `_HASHED` texts, in ascending order, and their number.

    A text of fewer words is filled up with zeros, which no other one has.
    """
    length_N = np.array([len(ids) for ids in texts])
    gap = np.full(WORDS - 1, -1, np.int32)
    words = np.concatenate([part for ids in texts for part in (ids, gap)]).astype(np.uint64) + 1
    hashes = np.zeros(len(words) - len(gap), np.uint64)
    for place, factor in enumerate(_FACTORS):
        hashes += words[place:place + len(hashes)] * factor
    begin_N = np.cumsum(length_N + len(gap)) - length_N - len(gap)
    count_N = np.minimum(length_N, np.maximum(length_N - len(gap), 1))
    text_M = np.repeat(np.arange(len(texts), dtype=np.uint64) << np.uint64(_BITS), count_N)
    found = np.sort(text_M | hashes[_ranges(begin_N, count_N)] >> np.uint64(64 - _BITS))
    found = found[_are_new(found)]
    number_M = found >> np.uint64(_BITS)
    return found & np.uint64((1 << _BITS) - 1), np.bincount(number_M.astype(np.int64), minlength=len(texts))


def _are_new(sorted_M: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return whether each of some sorted integers differs from the one before it."""
    return np.concatenate([[True], sorted_M[1:] != sorted_M[:-1]])[:len(sorted_M)]


def _ranges(begin_K: NDArray[np.int64], count_K: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the integers of ranges, one range after the other: so many from each `begin` on."""
    return np.repeat(begin_K - np.cumsum(count_K) + count_K, count_K) + np.arange(count_K.sum())


def _are_shared(hash_M: NDArray[np.uint64], scored: int) -> NDArray[np.bool_]:
    """Return whether each n-gram is in texts of both sides; the first `scored` ones are in scored texts.

    Some bits of each hash tell n-grams apart here, so a few others may be among them.
    """
    bits = 1 + len(hash_M).bit_length()
    place_M = hash_M >> np.uint64(_BITS - bits)
    sides = np.zeros(1 << bits, np.uint8)
    sides[place_M[:scored]] = 1
    sides[place_M[scored:]] |= 2
    is_shared_M: NDArray[np.bool_] = sides[place_M] == 3
    return is_shared_M


def _are_near(
    common_K: NDArray[np.int64], size_K: NDArray[np.int64], other_size_K: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return whether texts are near-duplicates, by their numbers of n-grams and of common ones."""
    is_near_K: NDArray[np.bool_] = common_K / (size_K + other_size_K - common_K) >= JACCARD
    return is_near_K


class _Index:
    """The texts that contain each class of n-grams."""

    def __init__(
        self, hash_M: NDArray[np.uint64], shared_N: NDArray[np.int64], size_N: NDArray[np.int64], scored: int
    ) -> None:
        """Take texts of both sides.

        Args:
            hash_M: N-grams of each text, without those that no text of the other side contains.
            shared_N: Their number in each text.
            size_N: Number of all n-grams of each text.
            scored: Number of scored texts.
        """
        order_M = np.argsort(hash_M, kind="stable")
        begin_V = np.flatnonzero(_are_new(hash_M[order_M]))
        text_M = np.repeat(np.arange(len(size_N), dtype=np.int32), shared_N)[order_M]
        # N-grams are in the same texts if the sums of random numbers of their texts are equal.
        random_N = np.random.default_rng(0).integers(1 << 63, size=len(size_N), dtype=np.uint64)
        _, gram_C, weight_C = np.unique(
            np.add.reduceat(random_N[text_M], begin_V), return_index=True, return_counts=True)
        count_C = np.diff(begin_V, append=len(text_M))[gram_C]
        self._texts = text_M[_ranges(begin_V[gram_C], count_C)]
        """Texts of each class in ascending order, one class after the other."""
        begin_C, is_scored = np.cumsum(count_C) - count_C, self._texts < scored
        scored_C = np.add.reduceat(is_scored, begin_C, dtype=np.int64)
        self._scored = scored
        self._others_C = ((begin_C, scored_C), (begin_C + scored_C, count_C - scored_C))
        """For a training text, and for a scored one: where the texts of the other side begin in `_texts`, how many."""

        # From here on, M are the classes of each text, those first that are in the fewest texts of the other side.
        class_M = np.repeat(np.arange(len(count_C), dtype=np.int32), count_C)
        others_M = np.where(is_scored, (count_C - scored_C)[class_M], scored_C[class_M])
        self._class_M = class_M[np.lexsort((others_M, self._texts))]
        self._weight_C = weight_C
        self._count_N = np.bincount(self._texts, minlength=len(size_N))
        self._first_N = np.cumsum(self._count_N) - self._count_N
        weight_M = weight_C[self._class_M]
        rarer_M = np.cumsum(weight_M) - weight_M
        self._rarer_M = rarer_M - np.repeat(rarer_M[self._first_N] - size_N + shared_N, self._count_N)
        """Number of n-grams of the text that are in fewer texts of the other side than the class."""
        is_looked_up_M = 5 * self._rarer_M <= np.repeat(size_N, self._count_N)
        self._looked_up_N = np.add.reduceat(is_looked_up_M, self._first_N, dtype=np.int64)
        self._size_N, self._shared_N = size_N, shared_N
        self._members_C = np.zeros(len(count_C), np.uint64)
        """Which of the texts that are looked up together contain each class."""

    def near_duplicates(self, text_B: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return a near-duplicate on the other side of each of at most `_LOOKED_UP` texts of one side, or -1."""
        none = len(self._size_N)
        found_B = np.full(len(text_B), none)
        own = _ranges(self._first_N[text_B], self._count_N[text_B])
        bit_B = np.uint64(1) << np.arange(len(text_B), dtype=np.uint64)
        np.add.at(self._members_C, self._class_M[own], np.repeat(bit_B, self._count_N[text_B]))
        for most in (_FIRST, _CANDIDATES):
            left = np.flatnonzero(found_B == none)
            row_K, other_K = self._candidates(text_B[left], most)
            row_K = left[row_K]
            for part in (4, 1):  # a quarter of the candidates' classes rules most of them out
                common_K = self._common(bit_B[row_K], other_K, self._count_N[other_K] // part)
                is_left_K = _are_near(common_K, self._size_N[text_B[row_K]], self._size_N[other_K])
                row_K, other_K = row_K[is_left_K], other_K[is_left_K]
            np.minimum.at(found_B, row_K, other_K)
        self._members_C[self._class_M[own]] = 0
        return np.where(found_B == none, -1, found_B)

    def _candidates(self, text_B: NDArray[np.int64], most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return distinct pairs, each the position of a text and a candidate: of each text at most so many."""
        count_B = self._looked_up_N[text_B]
        place = _ranges(self._first_N[text_B], count_B)
        sides = self._others_C[int((text_B < self._scored).all())]
        begin, others = (side_C[self._class_M[place]] for side_C in sides)
        before = np.cumsum(others) - others
        before -= np.repeat(before[np.cumsum(count_B) - count_B], count_B)
        taken = np.clip(most - before, 0, others)
        row_K = np.repeat(np.repeat(np.arange(len(text_B)), count_B), taken)
        other_K = self._texts[_ranges(begin, taken)].astype(np.int64)
        # A candidate has none of the text's rarer n-grams, or was a candidate for one of them.
        size_K, other_size_K = self._size_N[text_B[row_K]], self._size_N[other_K]
        common_K = np.minimum(size_K - np.repeat(self._rarer_M[place], taken), other_size_K)
        is_possible_K = _are_near(common_K, size_K, other_size_K)
        pairs = np.sort(row_K[is_possible_K] * len(self._size_N) + other_K[is_possible_K])
        row_K, other_K = np.divmod(pairs[_are_new(pairs)], len(self._size_N))
        return row_K, other_K

    def _common(
        self, bit_K: NDArray[np.uint64], other_K: NDArray[np.int64], classes_K: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return how many n-grams texts may have in common with others, by so many of the rarest classes of these."""
        place = _ranges(self._first_N[other_K], classes_K)
        classes = self._class_M[place]
        is_missing = self._members_C[classes] & np.repeat(bit_K, classes_K) == 0
        missing = np.concatenate([[0], np.cumsum(self._weight_C[classes] * is_missing)])
        return self._shared_N[other_K] - np.diff(missing[np.cumsum(classes_K)], prepend=0)
