"""Published facts about the homework: its settings, and the results that are shown beside measured ones.

Nothing here was measured by this package, and no measured number uses it.
"""

from __future__ import annotations

from collections.abc import Mapping

from gru_bench.report.document.numbers import Kind, Number

ACCURACY: Mapping[str, float] = {"scratch": 0.841, "torch": 0.842, "bidirectional": 0.853}
"""Test accuracy, of one run each."""
SECONDS: Mapping[str, float] = {"scratch": 8075, "torch": 388, "bidirectional": 476}
"""Training time, of one run each, on a graphics card."""
REVIEWS = 3560
"""Approximate number of test reviews."""
OTHERS = (0.827, 0.877)
"""Lowest and highest accuracy of other students' published solutions."""
SETTINGS: Mapping[str, str | float | bool | None] = {
    "embedding.trainable": False,
    "model.hidden_size": 100,
    "model.layers": 1,
    "model.reset": "after",
    "model.pooling": "last",
    "training.epochs": 5,
    "training.batch_size": 1,
    "training.bucket": False,
    "training.drop_last": True,
    "training.lr": 1e-4,
    "training.beta1": 0.9,
    "training.beta2": 0.999,
    "training.clip_norm": None,
    "training.log_every": 800,
    "training.selection": "lowest_train_window",
    "data.validation_share": 0.0,
    "data.max_length": None,
    "data.limit": None,
}
"""The settings of its protocol; `RELU` holds the ReLU before the last layer by model."""
DIMENSION = 300
"""Dimension of a word vector."""
RELU: Mapping[str, bool] = {"scratch": False, "torch": True, "bidirectional": True}
LABEL = "published in the homework's report; not measured here"
"""How a published number is marked."""


def number(name: str, value: float, kind: Kind) -> Number:
    """Return a published number, marked as one that was not measured here."""
    return Number(f"published.{name}", value, kind, method=LABEL)
