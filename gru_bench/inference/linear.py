"""Prediction with a linear model: texts -> the probabilities of their classes, and the exact weights behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gru_bench.data.tokenizer import tokenize
from gru_bench.inference.prediction import CHUNK, Explanation, Prediction
from gru_bench.models.linear import TrainedLinear
from gru_bench.models.trained import TrainedModel
from gru_bench.stats.metrics import predicted

if TYPE_CHECKING:
    from gru_bench.inference.predictor import Predictor


class LinearPredictor:
    """A linear model that answers for texts."""

    def __init__(self, model: TrainedLinear) -> None:
        """Take the model."""
        self.model = model

    def predict(self, texts: Sequence[str]) -> Prediction:
        """Return the prediction for texts, in their order."""
        parts = [self._predicted(texts[start:start + CHUNK]) for start in range(0, max(len(texts), 1), CHUNK)]
        return Prediction(self.model.classes, *(np.concatenate([getattr(part, name) for part in parts])
                                                for name in ("probability_NC", "tokens_N", "known_N", "read_N")))

    def _predicted(self, texts: Sequence[str]) -> Prediction:
        tokens, weights = [tokenize(text) for text in texts], self.model.weights
        tokens_N = np.array([len(words) for words in tokens], np.int64)
        known_N = np.array([weights.known(words) for words in tokens], np.int64)
        return Prediction(self.model.classes, weights.probabilities(tokens), tokens_N, known_N, read_N=known_N)

    def explain(self, text: str) -> Explanation:
        """Return what each n-gram of a text adds to the score of its predicted class."""
        tokens, weights = tokenize(text), self.model.weights
        label = int(predicted(weights.probabilities([tokens]))[0])
        ngrams, weight_M = weights.parts(tokens, label)
        return Explanation(self.model.classes[label], tuple(ngrams), weight_M, 0,
                           "its weight: what it adds to the log-odds of the class" if not weights.softmax else
                           "its weight: what it adds to the score of the class, less the mean of the other classes")


def predictor_of(model: TrainedModel | TrainedLinear) -> Predictor | LinearPredictor:
    """Return what answers for texts by a model.

    Raises:
        DataError: where the weights of a model do not fit its settings.
    """
    if isinstance(model, TrainedLinear):
        return LinearPredictor(model)
    from gru_bench.inference.predictor import Predictor  # it loads torch, which a linear model does not need

    return Predictor(model)
