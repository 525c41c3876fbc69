"""Near-duplicates: texts of training that nearly repeat one that is scored.

Two texts are near-duplicates if their sets of word 5-grams have a Jaccard index (common ones of all) of at least 0.8.
A text of fewer words is one such n-gram. MinHash finds candidates (Broder 1997; Leskovec, Rajaraman and Ullman, Mining
of Massive Datasets, chapter 3), and each of them is then checked exactly. With 16 bands of 4 rows, a pair with an index
of 0.8 is missed with a chance of 0.02 %.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

JACCARD = 0.8
WORDS = 5
_BANDS, _ROWS = 16, 4
_FACTORS = np.random.default_rng(0).integers(1 << 63, size=WORDS, dtype=np.uint64) * 2 + 1
"""Factors of a multiplicative hash of the ids of an n-gram's words."""


def ngrams(ids: NDArray[np.int32]) -> NDArray[np.uint64]:
    """Return hashes of the distinct 5-grams of a text, which is given by the ids of its words."""
    if not len(ids):
        return np.zeros(0, np.uint64)
    size = min(WORDS, len(ids))
    windows = np.lib.stride_tricks.sliding_window_view(ids, size).astype(np.uint64) + 1
    return np.unique((windows * _FACTORS[:size]).sum(axis=1, dtype=np.uint64))


def jaccard(one: NDArray[np.int32], other: NDArray[np.int32]) -> float:
    """Return the Jaccard index of the 5-grams of two texts."""
    a, b = ngrams(one), ngrams(other)
    common = len(np.intersect1d(a, b, assume_unique=True))
    return common / max(1, len(a) + len(b) - common)


def near_duplicates(
    scored: Sequence[NDArray[np.int32]], train: Sequence[NDArray[np.int32]],
    on_progress: Callable[[int, int], object] = lambda done, total: None,
) -> tuple[dict[int, int], dict[int, int]]:
    """Return the scored texts that have near-duplicates in training, and the training texts that have some among those.

    Args:
        scored: Ids of the words of each text that is scored.
        train: The same of each training text.
        on_progress: Is told how many texts are done, of how many, after every thousand.

    Returns:
        Position of a scored text -> that of one of its near-duplicates in `train`, and position in `train` -> that of
        one in `scored`.
    """
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=_BANDS * _ROWS, params=(_BANDS, _ROWS))
    total = len(scored) + len(train)
    # MinHash takes hashes of 32 bits: the upper half, which depends on all bits of the ids.
    hashed = MinHash.generator(((ngrams(ids) >> np.uint64(32)).tolist() for ids in chain(scored, train)),
                               num_perm=_BANDS * _ROWS, hashfunc=int)
    for place, one in enumerate(islice(hashed, len(scored))):
        index.insert(place, one, check_duplication=False)
        if place % 1_000 == 0:
            on_progress(place, total)
    of_scored: dict[int, int] = {}
    of_train: dict[int, int] = {}
    for place, one in enumerate(hashed):
        for other in index.query(one):
            if (other not in of_scored or place not in of_train) and jaccard(scored[other], train[place]) >= JACCARD:
                of_scored.setdefault(other, place)
                of_train.setdefault(place, other)
        if place % 1_000 == 0:
            on_progress(len(scored) + place, total)
    return of_scored, of_train
