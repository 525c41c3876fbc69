"""Prediction: texts -> the probabilities of their classes, by all that a trained model has.

A network reads a text as in training: tokens without a vector are left out, then it is cut to `data.max_length`. The
seeds' probabilities are averaged, and calibrated by the temperature of the model where it has one. A linear model
answers by itself, or in the average with the networks. The words behind a decision are found by leaving each of them
out; a linear model has exact weights.

Shapes: `N` texts, `C` classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gru_bench.data.tokenizer import tokenize
from gru_bench.inference.prediction import CHUNK, Explanation, Prediction
from gru_bench.models.trained import TrainedLinear, TrainedModel
from gru_bench.stats.metrics import predicted

EXPLAINED = 400
"""Largest number of tokens of a text whose effects are computed by networks. The time grows with its square."""


class Predictor:
    """A trained model that answers for texts."""

    def __init__(self, model: TrainedModel) -> None:
        """Build the networks of all seeds.

        Raises:
            DataError: where the weights do not fit the settings.
        """
        self.model = model
        self._networks = None
        if model.seeds:
            from gru_bench.inference.networks import Networks  # it loads torch, which a linear model does not need

            self._networks = Networks(model)

    def predict(self, texts: Sequence[str]) -> Prediction:
        """Return the prediction for texts, in their order. Tokens that are known, or read, are counted as by the part
        of an average that has more of them.
        """
        parts = [self._predicted(texts[start:start + CHUNK]) for start in range(0, max(len(texts), 1), CHUNK)]
        return Prediction(self.model.classes, *(np.concatenate([getattr(part, name) for part in parts])
                                                for name in ("probability_NC", "tokens_N", "known_N", "read_N")))

    def _predicted(self, texts: Sequence[str]) -> Prediction:
        tokens = [tokenize(text) for text in texts]
        counts_N3 = np.array([(len(words), *self._known(words)) for words in tokens], np.int64).reshape(-1, 3)
        return Prediction(self.model.classes, self._probabilities(tokens), *counts_N3.T)

    def _known(self, tokens: Sequence[str]) -> tuple[int, int]:
        """Return the number of tokens that are known, and of those that are read."""
        known, linear = len(self.model.rows(tokens)), self.model.linear
        read = len(range(known)[:self.model.config.data.max_length])
        own = 0 if linear is None else linear.weights.known(tokens)
        return max(known, own), max(read, own)

    def explain(self, text: str) -> Explanation:
        """Return what each word of a text adds to the log-odds of its predicted class; of a linear model, what each
        n-gram adds to its score."""
        tokens, model = tokenize(text), self.model
        label = int(predicted(self._probabilities([tokens]))[0])
        if model.linear is not None and not model.seeds:
            return _of_weights(model.linear, tokens, label, model.classes[label])
        from gru_bench.inference.networks import effects

        words = tokens if model.linear is not None else [
            model.words_V[row] for row in model.rows(tokens)[:model.config.data.max_length]]
        effect_T = effects(self._probabilities, words, label, EXPLAINED)
        return Explanation(model.classes[label], tuple(words[:EXPLAINED]), effect_T, len(words) - len(effect_T))

    def _probabilities(self, texts: Sequence[Sequence[str]]) -> NDArray[np.float64]:
        """Return the probability of each class for texts, given by their tokens, N x C."""
        linear, temperature = self.model.linear, self.model.temperature
        if self._networks is None:
            assert linear is not None
            return linear.weights.probabilities(texts)
        from gru_bench.stats.average import averaged
        from gru_bench.stats.calibration import calibrated

        found_NC = self._networks.probabilities(texts)
        return calibrated(found_NC, temperature) if linear is None else averaged(
            found_NC, linear.weights.probabilities(texts), temperature, linear.temperature)


def _of_weights(linear: TrainedLinear, tokens: Sequence[str], label: int, name: str) -> Explanation:
    ngrams, weight_M = linear.weights.parts(tokens, label)
    return Explanation(name, tuple(ngrams), weight_M, 0,
                       "its weight: what it adds to the log-odds of the class" if not linear.weights.softmax else
                       "its weight: what it adds to the score of the class, less the mean of the other classes")
