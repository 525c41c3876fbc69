"""The texts that one of two models classifies correctly and the other does not, and the n-grams typical of each side.

Shapes: `R`, `S` runs of the two models, `N` examples, `W` n-grams, `P` shuffles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEWEST_TEXTS = 10
"""Texts that each side needs for n-grams to be counted."""
FEWEST = 3
"""Texts that an n-gram must be in."""
SHUFFLES = 200


@dataclass(frozen=True)
class Ngram:
    """A word or a pair of words that is more frequent on one side."""

    text: str
    here: int
    """Number of texts of its own side that contain it."""
    there: int
    """Number of texts of the other side that contain it."""
    beyond_chance: bool
    """Whether it differs more than any n-gram does in 95 of 100 random divisions of the same texts."""


def one_sided(right_RN: NDArray[np.bool_], right_SN: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the examples that only the first model gets right, and those that only the second does.

    A model gets an example right if more than half of its runs do.

    Args:
        right_RN: Whether each run of the first model is right, R x N.
        right_SN: Whether each run of the second model is right, S x N.
    """
    first_N, second_N = (2 * right.sum(axis=0) > len(right) for right in (right_RN, right_SN))
    return np.flatnonzero(first_N & ~second_N), np.flatnonzero(second_N & ~first_N)


def typical_ngrams(
    first: Sequence[str], second: Sequence[str], most: int, seed: int = 0
) -> tuple[list[Ngram], list[Ngram]]:
    """Return the words and pairs of words most typical of each of two sets of texts, the strongest first.

    They are ordered by the log-odds ratio of their frequencies over its standard error, with an informative prior
    (Monroe, Colaresi, Quinn 2008, equations 16 to 22): as many texts as both sets have, in which each n-gram is as
    frequent as in both sets together. An n-gram counts once a text. Thousands of n-grams are compared, so each is also
    compared with the largest difference among all n-grams when the texts are divided at random.

    Args:
        first: The texts of one side.
        second: Those of the other side.
        most: Most n-grams returned of each side.
        seed: Seed of the random divisions.

    Returns:
        Those typical of the first side and those typical of the second. Both are empty if a side has fewer than
        `FEWEST_TEXTS` texts, or no n-gram is in `FEWEST` texts but not in all.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    if min(len(first), len(second)) < FEWEST_TEXTS:
        return [], []
    vectorizer = CountVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", binary=True, min_df=FEWEST,
                                 max_df=len(first) + len(second) - 1)  # what every text contains is typical of none
    try:
        contains = vectorizer.fit_transform([*first, *second])
    except ValueError:  # no n-gram is left
        return [], []
    is_first = np.arange(contains.shape[0]) < len(first)
    total_W = np.asarray(contains.sum(axis=0)).ravel()
    first_W = _sums(is_first[None], contains)[0]
    score_W = _scores(first_W, total_W, len(first), len(second))
    shuffled_PN = np.random.default_rng(seed).permuted(np.tile(is_first, (SHUFFLES, 1)), axis=1)
    largest_P = np.abs(_scores(_sums(shuffled_PN, contains), total_W, len(first), len(second))).max(axis=1)
    chance = float(np.quantile(largest_P, 0.95))
    names = vectorizer.get_feature_names_out()
    second_W = total_W - first_W

    def side(score_W: NDArray[np.float64], here_W: NDArray[Any], there_W: NDArray[Any]) -> list[Ngram]:
        order = [place for place in np.argsort(-score_W, kind="stable")[:most] if score_W[place] > 0]
        return [Ngram(str(names[place]), int(here_W[place]), int(there_W[place]), bool(score_W[place] > chance))
                for place in order]

    return side(score_W, first_W, second_W), side(-score_W, second_W, first_W)


def _sums(chosen_PN: NDArray[np.bool_], contains: Any) -> NDArray[np.float64]:
    """Return how many of the chosen texts contain each n-gram, P x W."""
    sums: NDArray[np.float64] = contains.T.dot(chosen_PN.T.astype(np.float64)).T
    return sums


def _scores(
    first_W: NDArray[np.float64], total_W: NDArray[Any], first_size: int, second_size: int
) -> NDArray[np.float64]:
    """Return the log-odds ratio of each n-gram over its standard error; the counts may have leading axes."""
    size = first_size + second_size
    a_W, b_W = first_W + total_W, total_W - first_W + total_W
    odds_W = np.log(a_W / (first_size + size - a_W)) - np.log(b_W / (second_size + size - b_W))
    scores: NDArray[np.float64] = odds_W / np.sqrt(1 / a_W + 1 / b_W)
    return scores
