"""Prediction: texts -> the probabilities of their classes, by all seeds of a trained model together.

A text is read as in training: tokens without a vector are left out, then it is cut to `data.max_length`. The seeds'
probabilities are averaged, and calibrated by the temperature of the model where it has one. The words behind a decision
are found by leaving each of them out.

Shapes: `N` texts, `S` seeds, `V` rows of the vector table, `E` vector width, `C` classes, `T` tokens of a text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray

from gru_bench.config import with_settings
from gru_bench.data.batches import Encoded
from gru_bench.data.tokenizer import tokenize
from gru_bench.diagnose.occlusion import occlusion
from gru_bench.errors import DataError
from gru_bench.inference.prediction import CHUNK, Explanation, Prediction
from gru_bench.models.trained import TrainedModel
from gru_bench.stats.calibration import calibrated
from gru_bench.stats.metrics import mean_probability, predicted
from gru_bench.train.network import predict, restored
from gru_bench.train.placement import place, use_threads

TOKENS = 65_536
"""Largest number of tokens, padding included, in a batch. A batch projects each of its words once, so that larger ones
take less time. They need more memory, of which prediction has more to spare than training."""
SMALLEST = 1e-7
"""Smallest probability whose logarithm is taken: a smaller one is rounding."""
EXPLAINED = 400
"""Largest number of tokens of a text whose effects are computed. The time grows with its square."""


class Predictor:
    """A trained model that answers for texts, on the CPU."""

    def __init__(self, model: TrainedModel, *, threads: int | None = None) -> None:
        """Build the networks of all seeds.

        Args:
            model: The trained model.
            threads: Number of CPU threads. None: all cores that this process may use.

        Raises:
            DataError: where the weights do not fit the settings.
        """
        self.model = model
        # The backend of the training may not run here, and all compute the same function.
        here = place(with_settings(model.config, {"model.backend": "auto", "training.device": "cpu"}))
        self.backend = here.backend
        self._threads = threads
        self._networks = [restored(model, place) for place in range(len(model.seeds))]

    def predict(self, texts: Sequence[str]) -> Prediction:
        """Return the prediction for texts, in their order."""
        parts = [self._predicted(texts[start:start + CHUNK]) for start in range(0, max(len(texts), 1), CHUNK)]
        return Prediction(self.model.classes, *(np.concatenate([getattr(part, name) for part in parts])
                                                for name in ("probability_NC", "tokens_N", "known_N", "read_N")))

    def probabilities(self, tokens: Sequence[Sequence[str]]) -> NDArray[np.float64]:
        """Return the probability of each class for texts, given by their tokens, N x C."""
        return self._probabilities([self.model.rows(words)[:self._longest] for words in tokens])

    def _predicted(self, texts: Sequence[str]) -> Prediction:
        tokens = [tokenize(text) for text in texts]
        rows = [self.model.rows(words) for words in tokens]
        read = [row[:self._longest] for row in rows]
        probability_NC = self._probabilities(read)
        return Prediction(
            self.model.classes, probability_NC, tokens_N=_lengths(tokens), known_N=_lengths(rows),
            read_N=_lengths(read))

    def explain(self, text: str) -> Explanation:
        """Return what each word of a text adds to the log-odds of its predicted class."""
        rows = self.model.rows(tokenize(text))[:self._longest]
        label = int(predicted(self._probabilities([rows]))[0])
        effect_T = effects(self._probabilities, rows, label)
        return Explanation(
            self.model.classes[label], tuple(self.model.words_V[row] for row in rows[:EXPLAINED]), effect_T,
            len(rows) - len(effect_T))

    @property
    def _longest(self) -> int | None:
        return self.model.config.data.max_length

    def _probabilities(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """Return the mean of the seeds' probabilities, calibrated, N x C."""
        if not rows:
            return np.zeros((0, len(self.model.classes)))
        use_threads(self._threads, self.backend)
        encoded = _encoded(rows, len(self.model.words_V))
        seeds = [predict(network, encoded, backend=self.backend, tokens=TOKENS).astype(np.float64)
                 for network in self._networks]
        if not all(np.isfinite(probability_NC).all() for probability_NC in seeds):
            raise DataError(f"the probabilities of {self.model.name} are not finite, because its weights are too "
                            "large: train it again with a lower training.lr")
        return calibrated(mean_probability(seeds), self.model.temperature)


def effects(
    probabilities: Callable[[Sequence[Sequence[int]]], NDArray[np.float64]], rows: Sequence[int], label: int
) -> NDArray[np.float64]:
    """Return what the log-odds of a class lose without each of the first `EXPLAINED` tokens of a text, T.

    Args:
        probabilities: Returns the probabilities of all classes for texts, each as the numbers of its tokens.
        rows: The number of each token, not 0, which stands for no token.
        label: Position of the class.
    """
    effect_T = occlusion(lambda some: torch.from_numpy(np.log(np.maximum(probabilities(some), SMALLEST))), rows, label,
                         EXPLAINED)
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
