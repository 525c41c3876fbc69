"""What a model answers: the predicted classes of texts, and what speaks for one of them.

Shapes: `N` texts, `C` classes, `T` tokens of a text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gru_bench.stats.metrics import predicted

CHUNK = 2_048
"""Number of texts that are predicted at once. More need more memory and are not faster."""


@dataclass(frozen=True)
class Prediction:
    """The predicted classes of N texts."""

    classes: tuple[str, ...]
    probability_NC: NDArray[np.float64]
    """Probability of each class, in the order of `classes`."""
    tokens_N: NDArray[np.int64]
    """Number of tokens of the whole text."""
    known_N: NDArray[np.int64]
    """Number of its tokens that the model knows: those with a word vector, or with a weight."""
    read_N: NDArray[np.int64]
    """Number of its tokens that the model reads: the first known ones, up to `data.max_length`."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.tokens_N)

    @property
    def label_N(self) -> list[str]:
        """Return the name of the predicted class of each text."""
        return [self.classes[place] for place in predicted(self.probability_NC)]

    @property
    def known_share_N(self) -> NDArray[np.float64]:
        """Return the share of the tokens of each text that the model knows. 0 for a text without tokens."""
        return self.known_N / np.maximum(self.tokens_N, 1)


@dataclass(frozen=True)
class Explanation:
    """What each word of a text adds to the predicted class."""

    label: str
    words_T: tuple[str, ...]
    """The tokens that were read, at most `predictor.EXPLAINED`; of a linear model, all n-grams that it knows."""
    weight_T: NDArray[np.float64]
    """What the log-odds of the class lose where the token is left out. Above 0, it speaks for the class. Of a linear
    model: what the n-gram adds to the score of the class, which is exact."""
    left_out: int
    """Number of further tokens that were read, but are not explained."""
    meaning: str = "what the log-odds of the class lose without it"
    """What the number of a word is."""

    def strongest(self, count: int) -> list[tuple[str, float]]:
        """Return the words of largest effect with their effects, the largest first. A word appears once."""
        found: dict[str, float] = {}
        for word, weight in zip(self.words_T, self.weight_T.tolist(), strict=True):
            if word not in found or abs(weight) > abs(found[word]):
                found[word] = weight
        return sorted(found.items(), key=lambda one: -abs(one[1]))[:count]
