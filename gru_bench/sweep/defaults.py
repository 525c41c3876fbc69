"""The settings that a study file leaves out: those of a study that comes with gru-bench, or chosen by the data.

A file inherits from the study that it names as `base`. Without a base it inherits the settings of `RECIPE` alone, not
its models, search and budget. The epochs and the window of the training loss follow the number of training reviews.
"""

from __future__ import annotations

from collections.abc import Mapping

from gru_bench.config import Scalar, TrainingConfig
from gru_bench.data.batching import iterations_of_epoch

RECIPE = "scratch"
"""The study whose settings are the defaults of a study file without a base."""
NO_BASE = "none"
"""Base of a study file whose defaults are those of `RunConfig`."""
BY_SIZE: Mapping[str, Scalar] = {"training.epochs": 2, "training.log_every": 100}
"""Settings that follow the number of training reviews -> their values on the default data."""
ITERATIONS = 1_674
"""Iterations of a run on the default data: 2 epochs of 837."""
LEAST_EPOCHS, MOST_EPOCHS = 2, 25
MOST_WINDOW, LEAST_WINDOWS = 100, 3
"""Most iterations in a window of the training loss, and fewest windows in an epoch that has as many iterations."""
NOT_INHERITED = ("base", "name", "purpose")
"""Keys that a study file does not inherit."""


def by_size(examples: int, training: TrainingConfig) -> dict[str, Scalar]:
    """Return the settings that follow the number of training examples.

    The epochs have about as many iterations in all as those of the tuned studies on the default data, within bounds.
    """
    iterations = max(1, iterations_of_epoch(examples, training))
    return {
        "training.epochs": min(max(round(ITERATIONS / iterations), LEAST_EPOCHS), MOST_EPOCHS),
        "training.log_every": min(max(iterations // LEAST_WINDOWS, 1), MOST_WINDOW)}
