"""The networks of a trained model: tokens -> the mean of the seeds' probabilities, and what a token adds to them.

Shapes: `N` texts, `C` classes, `T` tokens of a text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gru_bench.config import with_settings
from gru_bench.data.batches import Encoded
from gru_bench.diagnose.occlusion import occlusion
from gru_bench.errors import DataError
from gru_bench.models.trained import TrainedModel
from gru_bench.stats.metrics import mean_probability
from gru_bench.train.network import predict, restored
from gru_bench.train.placement import place, use_threads

TOKENS = 65_536
"""Largest number of tokens, padding included, in a batch. A batch projects each of its words once, so that larger ones
take less time. They need more memory, of which prediction has more to spare than training."""
SMALLEST = 1e-7
"""Smallest probability whose logarithm is taken: a smaller one is rounding."""


class Networks:
    """The networks of all seeds of a trained model, on the CPU."""

    def __init__(self, model: TrainedModel) -> None:
        """Build them.

        Raises:
            DataError: where the weights do not fit the settings.
        """
        self.model = model
        # The backend of the training may not run here, and all compute the same function.
        self.backend = place(with_settings(model.config, {"model.backend": "auto", "training.device": "cpu"})).backend
        self._networks = [restored(model, place) for place in range(len(model.seeds))]

    def probabilities(self, texts: Sequence[Sequence[str]]) -> NDArray[np.float64]:
        """Return the mean of the seeds' probabilities for texts, given by their tokens, N x C, before calibration."""
        if not texts:
            return np.zeros((0, len(self.model.classes)))
        use_threads(None, self.backend)
        longest = self.model.config.data.max_length
        encoded = _encoded([self.model.rows(tokens)[:longest] for tokens in texts], len(self.model.words_V))
        seeds = [predict(network, encoded, backend=self.backend, tokens=TOKENS).astype(np.float64)
                 for network in self._networks]
        if not all(np.isfinite(probability_NC).all() for probability_NC in seeds):
            raise DataError(f"the probabilities of {self.model.name} are not finite, because its weights are too "
                            "large: train it again with a lower training.lr")
        return np.asarray(mean_probability(seeds), np.float64)


def effects(
    probabilities: Callable[[Sequence[Sequence[str]]], NDArray[np.float64]], tokens: Sequence[str], label: int,
    most: int,
) -> NDArray[np.float64]:
    """Return what the log-odds of a class lose without each of the first `most` tokens of a text, T.

    Args:
        probabilities: Returns the probabilities of all classes for texts, given by their tokens.
        tokens: The text.
        label: Position of the class.
        most: Largest number of tokens that are left out in turn.
    """
    def read(texts: Sequence[Sequence[int]]) -> Tensor:
        without = [[tokens[place - 1] for place in places if place] for places in texts]
        return torch.from_numpy(np.log(np.maximum(probabilities(without), SMALLEST)))

    effect_T = occlusion(read, range(1, len(tokens) + 1), label, most)  # 0 stands for no token
    return np.asarray(effect_T.double().numpy())


def _encoded(rows: Sequence[Sequence[int]], table_size: int) -> Encoded:
    """Return rows of the vector table as a split that a model reads. A text without known words has row 0 once."""
    padded = [row or [0] for row in rows]
    lengths_N = _lengths(padded)
    nothing_N = np.zeros(len(rows), np.int32)
    return Encoded(
        rows=np.fromiter(chain.from_iterable(padded), np.int32, int(lengths_N.sum())),
        offsets_N1=np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths_N)]),
        label_N=nothing_N, tokens_N=_lengths(rows).astype(np.int32), dropped_N=nothing_N, cut_N=nothing_N > 0,
        table_size=table_size)


def _lengths(lists: Sequence[Sequence[object]]) -> NDArray[np.int64]:
    return np.array([len(one) for one in lists], np.int64)
