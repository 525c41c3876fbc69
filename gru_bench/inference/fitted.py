"""A fitted model, whatever it is, with the methods of a classifier of scikit-learn.

Shapes: `N` texts, `C` classes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.data.columns import USUAL
from gru_bench.data.frames import as_pandas, is_frame
from gru_bench.data.groups import plain_name
from gru_bench.data.labels import as_given, listed
from gru_bench.errors import UsageError, shown, visible
from gru_bench.inference.files import column_names, texts_of
from gru_bench.inference.predictor import Predictor
from gru_bench.inference.shown import Effects
from gru_bench.models.trained import TrainedModel
from gru_bench.stats.metrics import predicted

if TYPE_CHECKING:
    import pandas as pd

    from gru_bench.inference.prediction import Prediction


class FittedModel:
    """A fitted classifier of texts, as `Study.model` and `load_model` return it.

    Texts `X` are a list, an array, a pandas Series or a column of another data frame. One text may be given alone. All
    seeds of the model answer together.
    """

    def __init__(self, model: TrainedModel, *, run_code: bool = False) -> None:
        """Take a model; `run_code` lets this machine run the code of a class of somebody's own from now on."""
        if run_code:
            model.allow_code()
        self._model = model

    @cached_property
    def _predictor(self) -> Predictor:
        return Predictor(self._model)

    @cached_property
    def classes_(self) -> NDArray[Any]:
        """The C classes, as the data has them: numbers are numbers."""
        return as_given(self._model.classes, are_texts=self._model.text_labels)

    def predict(self, X: Iterable[str]) -> Any:
        """Return the predicted class of each text: an array of N, or for a pandas Series one with the same index.

        Raises:
            GruBenchError: Something is no text, or the model cannot be read.
        """
        found = self._found(X)
        label_N = self._labels(found)
        if (index := _index(X)) is None:
            return label_N
        import pandas as pd

        return pd.Series(label_N, index=index)

    def predict_proba(self, X: Iterable[str]) -> NDArray[np.float64]:
        """Return the probability of each class for each text, N x C, in the order of `classes_`."""
        return self._found(X).probability_NC

    def predict_frame(self, X: Iterable[str]) -> pd.DataFrame:
        """Return a pandas data frame with a row for each text: text, label, the probability of each class, and the
        fraction of its words that the model knows. A text without any is answered all the same. The index of a pandas
        Series is kept.
        """
        import pandas as pd

        texts = self._texts(X)
        found = self._predictor.predict(texts)
        values = [texts, self._labels(found), *found.probability_NC.T, found.known_share_N]
        names = ["text", *column_names(self._model.classes)[1:]]
        return pd.DataFrame(dict(zip(names, values, strict=True)), index=_index(X))

    def score(self, X: Iterable[str], y: Iterable[object]) -> float:
        """Return the accuracy on texts with the true classes `y`.

        Raises:
            UsageError: There is not one true class for each text, or none of them is a class of the model.
        """
        label_N, true_N = self._labels(self._found(X)), list(_values(y))
        if not all(isinstance(one, Hashable) for one in true_N):
            raise UsageError("y must have one class for each text, but its rows are lists, such as "
                             f"{shown(true_N[0])}: pass one column, such as y[:, 0]")
        if len(true_N) != len(label_N) or not true_N:
            raise UsageError(f"y must have a class for each of the {len(label_N):,} texts, but has {len(true_N):,} "
                             "values")
        if not set(true_N) & set(self.classes_.tolist()):
            raise UsageError(f"y must have classes of the model ({listed(self._model.classes)}, of type "
                             f"{type(self.classes_.tolist()[0]).__name__}), but has {shown(true_N[0])} of type "
                             f"{type(true_N[0]).__name__}: convert it")
        return float(np.mean([one == true for one, true in zip(label_N.tolist(), true_N, strict=True)]))

    def explain(self, text: str) -> Effects:
        """Return what each word of a text adds to its predicted class."""
        one, = self._texts([text])
        found = self._predictor.explain(one)
        return Effects(one, self.classes_[self._model.classes.index(found.label)], found)

    def __repr__(self) -> str:
        """Return what the model is."""
        model = self._model
        count = len(model.seeds)
        seeds = f", {count} seed{'s' * (count > 1)}" if count else ""
        return visible(f"{model.name} of the study {model.study}{seeds}, classes {', '.join(model.classes)}")

    def _found(self, X: Iterable[str]) -> Prediction:
        return self._predictor.predict(self._texts(X))

    def _labels(self, found: Prediction) -> NDArray[Any]:
        return self.classes_[predicted(found.probability_NC)]

    def _texts(self, X: Iterable[str]) -> list[str]:
        rule = "texts must be a text or a list of texts"
        if not isinstance(X, str) and is_frame(X):
            columns = list(map(str, as_pandas(X)))
            own = self._model.data.text_column
            usual = next((name for name in columns if plain_name(name) in USUAL["text"].split()), "NAME")
            raise UsageError(f"{rule}, but got a data frame with the columns {listed(columns)}: pass the column of "
                             f"texts, such as frame[{own if own in columns else usual!r}]")
        if not isinstance(X, Iterable):
            raise UsageError(f"{rule}, but got {shown(X)} of type {type(X).__name__}")
        return texts_of([X] if isinstance(X, str) else _values(X), "the texts")


def _values(column: Iterable[Any]) -> Iterable[Any]:
    """Return the values of a column, which pyarrow wraps."""
    return column.to_pylist() if hasattr(column, "to_pylist") else column


def _index(X: object) -> Any:
    """Return the index of a pandas Series; None for anything else."""
    return getattr(X, "index", None) if hasattr(X, "iloc") else None
