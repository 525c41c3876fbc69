"""Published facts about the homework: its settings, and the results that are shown next to measured ones.

Nothing here was measured by this package, and no measured number uses it.
"""

from __future__ import annotations

from collections.abc import Mapping

from gru_bench.config import RunConfig, Scalar, flat
from gru_bench.report.document.numbers import Kind, Number, Numbers

ACCURACY: Mapping[str, float] = {"scratch": 0.841, "torch": 0.842, "bidirectional": 0.853}
"""Test accuracy, of one run each."""
SECONDS: Mapping[str, float] = {"scratch": 8075, "torch": 388, "bidirectional": 476}
"""Training time, of one run each, on a graphics card."""
PROTOCOL: Mapping[str, tuple[str, Scalar]] = {
    "embedding.trainable": ("vectors trained too", False),
    "model.hidden_size": ("hidden size, each direction", 100),
    "model.layers": ("layers", 1),
    "model.reset": ("reset gate", "after"),
    "model.bidirectional": ("directions", None),
    "model.pooling": ("pooling", "last"),
    "training.epochs": ("epochs", 5),
    "training.batch_size": ("batch size", 1),
    "training.bucket": ("order of the reviews", False),
    "training.drop_last": ("incomplete last batch", True),
    "training.optimizer": ("optimizer", "adam"),
    "training.weight_decay": ("weight decay", 0.0),
    "training.lr": ("learning rate of Adam", 1e-4),
    "training.beta1": ("first beta of Adam", 0.9),
    "training.beta2": ("second beta of Adam", 0.999),
    "training.clip_norm": ("gradient clipping", None),
    "training.log_every": ("iterations in a loss window", 800),
    "training.selection": ("best checkpoint by", "lowest_train_window"),
    "data.validation_share": ("fraction used for validation", 0.0),
    "data.max_length": ("most tokens read of a review", None),
    "data.limit": ("reviews used of the data", None),
}
"""Setting of its protocol -> what a report calls it, and its value; `RELU` holds the ReLU before the last layer."""
UNUSED: Mapping[str, str] = {
    "embedding.unknown": "words without a vector",
    "model.dropout": "dropout",
    "training.schedule": "learning rate over time",
    "training.average": "decay of the weights’ moving average",
    "training.class_weight": "weights of the classes",
    "training.patience": "epochs of patience",
}
"""Setting that its protocol does not use -> what a report calls it. By default it is not used here either."""
SETTINGS = {name: value for name, (_, value) in PROTOCOL.items()}
_DEFAULTS = flat(RunConfig())
OFF = {name: _DEFAULTS[name] for name in UNUSED}
"""Setting that its protocol does not use -> its value where it is not used."""
DIMENSION = 300
"""Dimension of a word vector."""
RELU: Mapping[str, bool] = {"scratch": False, "torch": True, "bidirectional": True}
"""By model."""
LABEL = "published in the homework's report; not measured here"
"""How a published number is marked."""


def number(numbers: Numbers, name: str, value: float, kind: Kind) -> Number:
    """Return a published number, marked as one that was not measured here."""
    return numbers.on(()).add(f"published.{name}", value, kind, LABEL)
