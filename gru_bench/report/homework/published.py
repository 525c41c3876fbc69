"""What was published for the homework: its settings, and the figures that stand as context beside measured ones.

Nothing here was measured by this package, and no number of it enters another.
"""

from __future__ import annotations

from collections.abc import Mapping

ACCURACY: Mapping[str, float] = {"scratch": 0.841, "torch": 0.842, "bidirectional": 0.853}
"""Of one run each."""
SECONDS: Mapping[str, float] = {"scratch": 8075, "torch": 388, "bidirectional": 476}
"""Of one run each, on a graphics card."""
REVIEWS = 3560
"""Test reviews, about."""
OTHERS = (0.827, 0.877)
"""Lowest and highest accuracy of other students' solutions that were published."""
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
"""Its protocol; the ReLU before the last layer is by model."""
DIMENSION = 300
"""Numbers of a word vector."""
RELU: Mapping[str, bool] = {"scratch": False, "torch": True, "bidirectional": True}
LABEL = "published in the homework's report; not measured here"
"""How a published number is marked."""
