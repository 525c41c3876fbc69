"""The model behind `mlflow models serve`: MLflow runs this file, which loads the saved model beside it.

A request holds texts in a column `text`. The answer holds a row for each: its label, the probability of each class, and
the share of its words that the model knows.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

try:
    from pathlib import Path

    from gru_bench.inference.files import column_names, rows_of
    from gru_bench.inference.predictor import Predictor
    from gru_bench.models.saved import load
except ImportError as error:
    raise ImportError("this model needs gru-bench, which the environment that MLflow has made does not contain: serve "
                      "it where gru-bench is installed, with --env-manager local") from error


class ServedModel(PythonModel):
    """The saved model of a study, as MLflow calls it."""

    def load_context(self, context: Any) -> None:
        """Load the saved model."""
        self.predictor = Predictor(load(Path(context.artifacts["model"]))[0])

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Return the predictions for the column `text`, in the order of its rows."""
        texts = model_input["text"].astype(str).tolist()
        rows = rows_of(texts, self.predictor.predict(texts))
        return pd.DataFrame(rows, columns=column_names(self.predictor.model.classes)).drop(columns="id")


set_model(ServedModel())
