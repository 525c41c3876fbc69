"""The settings that a study file leaves out: those of a study that comes with gru-bench, or chosen by the data.

A file inherits from the study that it names as `base`. Without a base it inherits the settings of `RECIPE` alone, not
its models, search and budget. The epochs and the window of the training loss follow the number of training texts, and
the weights of classes the metric.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from gru_bench.config import TrainingConfig
from gru_bench.data.batches import iterations_of_epoch

RECIPE = "scratch"
"""The study whose settings are the defaults of a study file without a base."""
NO_BASE = "none"
"""Base of a study file whose defaults are those of `RunConfig`."""
BY_SIZE: Mapping[str, int] = {"training.epochs": 2, "training.log_every": 100}
"""Settings that follow the number of training texts -> their values on the default data."""
FOR_MACRO_F1: Mapping[str, str] = {"training.class_weight": "balanced"}
"""Settings of a study whose metric is macro F1 (docs/recipe.md has the measurement)."""
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


@dataclass
class Parts:
    """The parts of a study file."""

    keys: dict[str, Any]
    """The keys at its top. `space` and `first` have dotted names."""
    settings: dict[str, Any]
    """The settings of all sections, with dotted names."""
    own: dict[str, dict[str, Any]]
    """Model -> dotted settings for this model only."""

    def drop_search(self) -> None:
        """Search no setting: those of the first trial have its values, unless the file sets them."""
        self.settings = {**self.keys.get("first", {}), **self.settings}
        self.keys |= {"space": {}, "first": {}}


def inherit(file: Parts, base: Parts | None, typed: Mapping[str, Any], *, whole: bool) -> frozenset[str]:
    """Add to a study file what it inherits; return the names of the settings that follow the number of training texts.

    Args:
        file: The file.
        base: The study that it inherits from; None for nothing.
        typed: The settings that the user typed.
        whole: Whether the file names its base, and inherits its models, search and budget as well.
    """
    if base is None:
        return frozenset()
    given = {*file.settings, *typed}
    inherited = {key: value for key, value in {**base.settings, **base.keys.get("first", {})}.items()
                 if key not in given and key not in file.keys.get("space", {})}
    metric = {**inherited, **file.settings, **typed}.get("training.metric")
    suitable = {**BY_SIZE, **(FOR_MACRO_F1 if metric == "macro_f1" else {})}
    chosen = {} if base.keys.get("base") == NO_BASE else {
        key: value for key, value in suitable.items()
        if key not in {*given, *inherited, *file.keys.get("space", {})}}
    file.settings |= {**chosen, **inherited}
    if whole:
        _inherit_study(file, base, given)
    return frozenset(BY_SIZE.keys() & chosen.keys())


def _inherit_study(file: Parts, base: Parts, given: Collection[str]) -> None:
    """Add to a file the models, search, budget and settings of single models of its base, except what is given."""
    models = file.keys.get("models", base.keys["models"])
    for model, settings in base.own.items():
        if isinstance(models, list) and model in models:
            inherited = {key: value for key, value in settings.items() if key not in given}
            file.own[model] = {**inherited, **file.own.get(model, {})}
    if "space" not in file.keys:  # a setting that the file gives is not searched
        fixed = {*given, *(key for settings in file.own.values() for key in settings)}
        for table in ("space", "first"):
            file.keys.setdefault(table, {key: value for key, value in base.keys.get(table, {}).items()
                                         if key not in fixed})
    else:
        file.keys.setdefault("first", {})
    for key, value in base.keys.items():
        if key not in NOT_INHERITED:
            file.keys.setdefault(key, value)
