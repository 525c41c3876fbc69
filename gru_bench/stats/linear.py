"""A linear model of n-grams: from tokens to the probabilities of classes, by sums of weights.

It is stored as arrays of numbers. The n-grams are one of them: their UTF-8 text, one on each line.

Shapes: `N` texts, `F` n-grams, `M` n-grams of a text, `C` classes, `K` columns of weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DTYPES = {"form": np.int64, "known": np.int64, "ngrams": np.uint8, "weight": np.float32, "bias": np.float64,
           "idf": np.float32}


@dataclass(frozen=True)
class LinearModel:
    """A linear model of the n-grams of a text, as it was fitted."""

    classes: int
    """C."""
    known_C: NDArray[np.int64]
    """Positions of the classes that it knows. The others have no training texts, and probability 0."""
    longest: int
    """Number of tokens of its longest n-grams."""
    ngrams_F: Sequence[str]
    """Each n-gram as its tokens with a space between them."""
    weight_FK: NDArray[np.float32]
    """Weights of an n-gram: of the second class where two are known, else of each known class."""
    bias_K: NDArray[np.float64]
    idf_F: NDArray[np.float32] | None
    """Inverse document frequency of each n-gram. None: an n-gram counts 1 wherever it occurs in a text."""
    softmax: bool = False
    """Whether the probabilities are the softmax of the scores. Otherwise each is a logistic function of its score, and
    they are divided by their sum."""

    def probabilities(self, texts: Sequence[Sequence[str]]) -> NDArray[np.float64]:
        """Return the probability of each class for texts, given by their tokens, N x C."""
        score_NK = np.array([self._scores(*self.features(tokens)) for tokens in texts]).reshape(-1, len(self.bias_K))
        return self.linked(score_NK)

    def known(self, tokens: Sequence[str]) -> int:
        """Return how many of these tokens have weights of their own."""
        return sum(token in self._column_of for token in tokens)

    def parts(self, tokens: Sequence[str], label: int) -> tuple[list[str], NDArray[np.float64]]:
        """Return the n-grams of a text that the model knows, and what each adds to the score of a class.

        The score is the log-odds of the class, for `softmax` against the mean of the other scores: the parts and the
        bias add up to it.
        """
        column_M, value_M = self.features(tokens)
        weight_MK = self.weight_FK[column_M].astype(np.float64)
        place = int(np.flatnonzero(self.known_C == label)[0])
        if self.softmax:
            weight_M = weight_MK[:, place] - np.delete(weight_MK, place, axis=1).mean(axis=1)
        else:
            weight_M = weight_MK[:, 0] * (2 * place - 1) if len(self.known_C) == 2 else weight_MK[:, place]
        return [self.ngrams_F[column] for column in column_M], value_M * weight_M

    def features(self, tokens: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the positions of the n-grams of a text that the model knows, and the value of each."""
        column_of = self._column_of.get
        found = Counter(
            column for size in range(1, self.longest + 1) for start in range(len(tokens) - size + 1)
            if (column := column_of(" ".join(tokens[start:start + size]))) is not None)
        column_M = np.fromiter(found, np.int64, len(found))
        if self.idf_F is None:
            return column_M, np.ones(len(found))
        value_M = (1 + np.log(np.fromiter(found.values(), np.float64, len(found)))) * self.idf_F[column_M]
        return column_M, value_M / (np.sqrt(value_M @ value_M) or 1.0)

    def linked(self, score_NK: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probabilities of all classes for scores, N x C."""
        if self.softmax:
            known_NC = np.exp(score_NK - score_NK.max(axis=1, keepdims=True))
        else:
            known_NC = np.exp(-np.logaddexp(0.0, -score_NK))
            if len(self.known_C) == 2:
                known_NC = np.hstack([1 - known_NC, known_NC])
        probability_NC = np.zeros((len(score_NK), self.classes))
        probability_NC[:, self.known_C] = known_NC / known_NC.sum(axis=1, keepdims=True)
        return probability_NC

    def _scores(self, column_M: NDArray[np.int64], value_M: NDArray[np.float64]) -> NDArray[np.float64]:
        scores: NDArray[Any] = value_M @ self.weight_FK[column_M].astype(np.float64) + self.bias_K
        return scores

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the model as arrays of numbers, by their names."""
        return {"form": np.array([self.classes, self.longest, self.softmax], np.int64), "known": self.known_C,
                "ngrams": np.frombuffer("\n".join(self.ngrams_F).encode(), np.uint8), "weight": self.weight_FK,
                "bias": self.bias_K, **({} if self.idf_F is None else {"idf": self.idf_F})}

    @classmethod
    def of_arrays(cls, array: Mapping[str, NDArray[Any]]) -> LinearModel:
        """Return the model of arrays that `arrays` gave.

        Raises:
            ValueError: An array is missing or damaged, or they do not fit together.
        """
        try:
            classes, longest, softmax = array["form"].tolist()
            text = array["ngrams"].tobytes().decode()
            known_C, weight_FK, bias_K, idf_F = array["known"], array["weight"], array["bias"], array.get("idf")
        except (KeyError, TypeError) as error:
            raise ValueError(f"its arrays are not those of a linear model ({error})") from error
        ngrams_F = text.split("\n") if text else []
        columns = 1 if not softmax and len(known_C) == 2 else len(known_C)
        if not array.keys() <= _DTYPES.keys() or any(
                found.dtype != _DTYPES[name] or (found.dtype.kind == "f" and not np.isfinite(found).all())
                for name, found in array.items()):
            raise ValueError("its arrays must have finite numbers of the types that they are written with")
        if known_C.ndim != 1 or len(known_C) < 1 or (np.diff(known_C) <= 0).any() or known_C[0] < 0 or (
                known_C[-1] >= classes or weight_FK.shape != (len(ngrams_F), columns) or bias_K.shape != (columns,)
                or (idf_F is not None and idf_F.shape != (len(ngrams_F),))):
            raise ValueError("its arrays do not fit together")
        return cls(classes, known_C, longest, ngrams_F, weight_FK, bias_K, idf_F, bool(softmax))

    @cached_property
    def _column_of(self) -> dict[str, int]:
        return {ngram: column for column, ngram in enumerate(self.ngrams_F)}
