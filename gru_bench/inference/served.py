"""The model behind `mlflow models serve`: MLflow runs this file, which loads the saved model beside it.

A request holds texts in a column `text`. The answer holds a row for each: its label, the probability of each class, and
the share of its words that the model knows. A request is refused where a row has no text, and this file keeps MLflow
from making texts of missing values and numbers, or a missing value of the word NA.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import scoring_server
from mlflow.pyfunc.model import PythonModel

try:
    from pathlib import Path

    from gru_bench.errors import DataError
    from gru_bench.inference.files import column_names, rows_of, texts_of
    from gru_bench.inference.predictor import Predictor
    from gru_bench.models.saved import load
except ImportError as error:
    raise ImportError("gru-bench is not installed in the environment created by MLflow: serve the model where "
                      "gru-bench is installed, with --env-manager local") from error


class ServedModel(PythonModel):
    """The saved model of a study, as MLflow calls it."""

    def load_context(self, context: Any) -> None:
        """Load the saved model."""
        self.predictor = Predictor(load(Path(context.artifacts["model"]))[0])

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Return the predictions for the column `text`, in the order of its rows."""
        try:
            texts = texts_of(model_input["text"], "a request")
        except DataError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None
        rows = rows_of(texts, self.predictor.predict(texts))
        return pd.DataFrame(rows, columns=column_names(self.predictor.model.classes)).drop(columns="id")


# MLflow has no public hook between a request and its rows. tests/inference/test_registry.py notices if it calls others.
_mlflow_csv, _mlflow_json = scoring_server.parse_csv_input, scoring_server.infer_and_parse_data


def parse_csv(csv_input: Any, schema: Any = None) -> Any:
    """Return the rows of a request in CSV. For this model each cell is a text."""
    if not _is_ours(schema):
        return _mlflow_csv(csv_input, schema)
    return _rows(pd.read_csv, csv_input, dtype=str, keep_default_na=False)


def parse_json(data: Any, schema: Any = None) -> Any:
    """Return the rows of a request in JSON. Of `inputs` and `instances`, MLflow would make texts of all values."""
    values = data.get("inputs", data.get("instances"))
    if not _is_ours(schema) or values is None or len(data) > 1:
        return _mlflow_json(data, schema)
    found = [values] if isinstance(values, str) else values
    is_column = isinstance(found, list) and not all(isinstance(value, dict) for value in found)
    return _rows(pd.DataFrame, {"text": found} if is_column else found, dtype=object)


def _is_ours(schema: Any) -> bool:
    return schema is not None and schema.input_names() == ["text"]


def _rows(make: Callable[..., pd.DataFrame], content: Any, **settings: Any) -> pd.DataFrame:
    try:
        return make(content, **settings)
    except (ValueError, TypeError) as error:
        raise MlflowException.invalid_parameter_value(
            f"a request needs a column text that can be read ({error})") from None


scoring_server.parse_csv_input, scoring_server.infer_and_parse_data = parse_csv, parse_json
set_model(ServedModel())
