"""Prediction with an average: texts -> the probabilities of their classes by both parts, and the words behind them.

Shapes: `N` texts, `C` classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gru_bench.data.tokenizer import tokenize
from gru_bench.inference import linear
from gru_bench.inference.linear import LinearPredictor
from gru_bench.inference.prediction import Explanation, Prediction
from gru_bench.models.average import TrainedAverage
from gru_bench.models.linear import TrainedLinear
from gru_bench.models.trained import TrainedModel
from gru_bench.stats.average import averaged
from gru_bench.stats.metrics import predicted

if TYPE_CHECKING:
    from gru_bench.inference.predictor import Predictor

    AnyPredictor: TypeAlias = "Predictor | LinearPredictor | AveragePredictor"


class AveragePredictor:
    """An average that answers for texts, on the CPU: all seeds of its trained model together, with its linear model."""

    def __init__(self, model: TrainedAverage) -> None:
        """Build the networks of all seeds.

        Raises:
            DataError: where the weights do not fit the settings.
        """
        from gru_bench.inference.predictor import Predictor  # it loads torch, which a linear model does not need

        self.model = model
        self._trained = Predictor(replace(model.trained, temperature=None))  # the average applies it
        self._linear = LinearPredictor(model.linear)

    def predict(self, texts: Sequence[str]) -> Prediction:
        """Return the prediction for texts, in their order. Tokens that are known, or read, are counted as by the part
        that has more of them.
        """
        one, other = self._trained.predict(texts), self._linear.predict(texts)
        return Prediction(
            self.model.classes, self._averaged(one.probability_NC, other.probability_NC), one.tokens_N,
            known_N=np.maximum(one.known_N, other.known_N), read_N=np.maximum(one.read_N, other.read_N))

    def explain(self, text: str) -> Explanation:
        """Return what each token of a text adds to the log-odds of its predicted class."""
        from gru_bench.inference.predictor import EXPLAINED, effects

        tokens = tokenize(text)

        def probabilities(rows: Sequence[Sequence[int]]) -> NDArray[np.float64]:
            some = [[tokens[row - 1] for row in own if row] for own in rows]
            return self._averaged(self._trained.probabilities(some), self.model.linear.weights.probabilities(some))

        places = list(range(1, len(tokens) + 1))  # 0 stands for no token
        label = int(predicted(probabilities([places]))[0])
        effect_T = effects(probabilities, places, label)
        return Explanation(self.model.classes[label], tuple(tokens[:EXPLAINED]), effect_T, len(tokens) - len(effect_T))

    def _averaged(self, trained_NC: NDArray[np.float64], linear_NC: NDArray[np.float64]) -> NDArray[np.float64]:
        return averaged(trained_NC, linear_NC, self.model.trained.temperature, self.model.linear_temperature)


def predictor_of(model: TrainedModel | TrainedLinear | TrainedAverage) -> AnyPredictor:
    """Return what answers for texts by a model, whatever it is.

    Raises:
        DataError: where the weights of a model do not fit its settings.
    """
    return AveragePredictor(model) if isinstance(model, TrainedAverage) else linear.predictor_of(model)
