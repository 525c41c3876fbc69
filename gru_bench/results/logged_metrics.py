"""The logged metrics that are no scores: MLflow key, label, unit, digits, and whether higher is better.

`stats/scores.py` has the table of scores.

MLflow sorts the groups of its charts by name. The names of the groups give the order that a reader wants: accuracy and
loss by epoch, then the scores of the best checkpoint, then the search, sizes and times. The keys stand in the stores of
users and must not change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Unit = Literal["share", "nats per text", "count", "bytes", "seconds", "tokens per second", "epoch", ""]
Split = Literal["val", "test"]


@dataclass(frozen=True)
class Metric:
    """One metric of a run or of a study."""

    key: str
    """Key in MLflow, of the form `group/name`."""
    label: str
    """Name in texts and tables."""
    unit: Unit
    digits: int
    """Number of decimals that are shown. For a share: decimals of the percentage."""
    higher_is_better: bool | None = None
    """None where neither direction is better."""

    def written(self, value: float) -> str:
        """Return a value as text for the console, such as `88.6 %` or `0.2931`."""
        return f"{100 * value:.{self.digits}f} %" if self.unit == "share" else f"{value:,.{self.digits}f}"


ACCURACY_VAL = Metric("accuracy/val", "validation accuracy", "share", 1, True)
LOSS_TRAIN = Metric("loss/train", "train loss", "nats per text", 4, False)
LOSS_TRAIN_WINDOW = Metric("loss/train_window", "train loss by window", "nats per text", 4, False)
LOSS_VAL = Metric("loss/val", "validation loss", "nats per text", 4, False)
CHECK = Metric("search/check", "score at a check", "", 4)
BEST_EPOCH = Metric("score/best_epoch", "epoch of the best checkpoint", "epoch", 0)
PARAMETERS = Metric("size/parameters", "parameters", "count", 0)
PARAMETER_TENSORS = Metric("size/parameter_tensors", "parameter tensors", "count", 0)
PEAK_MEMORY = Metric("size/peak_memory_bytes", "peak memory", "bytes", 0, False)
EPOCH_SECONDS = Metric("time/epoch_seconds", "training time of an epoch", "seconds", 1, False)
EPOCH_TOKENS_PER_SECOND = Metric("time/epoch_tokens_per_second", "speed of an epoch", "tokens per second", 0, True)
PREDICT_SECONDS = Metric("time/predict_seconds", "time to predict 1,000 texts", "seconds", 1, False)
SEARCH_SECONDS = Metric("time/search_seconds", "time of the search", "seconds", 1, False)
STUDY_SECONDS = Metric("time/study_seconds", "time of the study", "seconds", 1, False)
TOKENS_PER_SECOND = Metric("time/tokens_per_second", "training speed", "tokens per second", 0, True)
TRAIN_SECONDS = Metric("time/train_seconds", "training time", "seconds", 1, False)
WINDOW_SECONDS = Metric("time/window_end_seconds", "time at a window's end", "seconds", 1)

SPLITS: Mapping[Split, str] = {"val": "validation", "test": "test"}
"""Short name of a split in a key -> its name."""
SPLIT_NAMES: Mapping[str, Split] = {"validation": "val", "test": "test"}
"""Name of a split of a corpus -> its short name in a key."""


def trials_in(state: str) -> Metric:
    """Return the metric for the number of trials in a state: complete, pruned or failed."""
    return Metric(f"search/{state}", f"{state} trials", "count", 0)


def importance(model: str, setting: str) -> Metric:
    """Return the metric for the importance of a setting in the search of a model."""
    return Metric(f"search/importance/{model}/{setting}", f"importance of {setting} for {model}", "share", 0)
