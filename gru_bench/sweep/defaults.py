"""The settings that a study file leaves out: those of a study that comes with gru-bench, or chosen by the data.

A file inherits from the study that it names as `base`. Without a base it inherits the settings of `RECIPE` alone, not
its models, search and budget. The epochs and the window of the training loss follow the number of training reviews.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from gru_bench.config import TrainingConfig
from gru_bench.data.batches import iterations_of_epoch

RECIPE = "scratch"
"""The study whose settings are the defaults of a study file without a base."""
NO_BASE = "none"
"""Base of a study file whose defaults are those of `RunConfig`."""
BY_SIZE: Mapping[str, int] = {"training.epochs": 2, "training.log_every": 100}
"""Settings that follow the number of training reviews -> their values on the default data."""
LEAST_EPOCHS, MOST_EPOCHS = 2, 20
USUAL_ITERATIONS = 837
"""Iterations of an epoch of the default data, which get the fewest epochs."""
MOST_WINDOW, LEAST_WINDOWS = 100, 3
"""Most iterations in a window of the training loss, and fewest windows in an epoch that has as many iterations."""
NOT_INHERITED = ("base", "name", "purpose")
"""Keys that a study file does not inherit."""


def by_size(examples: int, training: TrainingConfig) -> dict[str, int]:
    """Return the settings that follow the number of training examples.

    Fewer iterations per epoch get more epochs, but not as many iterations in all: a tenth of them gets three times the
    epochs. With as many, small data are learned by heart, and their validation texts are too few to find the best epoch
    (docs/recipe.md has the measurement).
    """
    iterations = max(1, iterations_of_epoch(examples, training))
    epochs = LEAST_EPOCHS * math.sqrt(USUAL_ITERATIONS / iterations)
    return {
        "training.epochs": min(max(round(epochs), LEAST_EPOCHS), MOST_EPOCHS),
        "training.log_every": min(max(iterations // LEAST_WINDOWS, 1), MOST_WINDOW)}
