"""The table of all logged metrics: MLflow key, label, unit, digits, and whether higher is better.

MLflow sorts the groups of its charts by name. The names of the groups give the order that a reader wants: accuracy and
loss by epoch, then the scores of the best checkpoint, then the search, sizes and times. The keys stand in the stores of
users and must not change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from gru_bench.config import MetricName

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

_SCORES: Mapping[str, Metric] = {
    one.key: one for one in (
        Metric("accuracy", "accuracy", "share", 1, True),
        Metric("precision", "precision", "share", 1, True),
        Metric("recall", "recall", "share", 1, True),
        Metric("f1", "F1", "share", 1, True),
        Metric("macro_f1", "macro F1", "share", 1, True),
        Metric("roc_auc", "ROC AUC", "", 3, True),
        Metric("average_precision", "average precision", "", 3, True),
        Metric("loss", "log loss", "nats per text", 3, False),
        Metric("calibration_error", "calibration error", "share", 1, False),
        Metric("true_negative", "true negatives", "count", 0, True),
        Metric("false_positive", "false positives", "count", 0, False),
        Metric("false_negative", "false negatives", "count", 0, False),
        Metric("true_positive", "true positives", "count", 0, True),
    )
}
SCORE_NAMES = tuple(_SCORES)
"""Names of the scores that `stats.metrics.scores` returns."""
_SPLITS: Mapping[Split, str] = {"val": "validation", "test": "test"}
SPLIT_NAMES: Mapping[str, Split] = {"validation": "val", "test": "test"}
"""Name of a split of a corpus -> its short name in a key."""


def score(name: str, split: Split) -> Metric:
    """Return the metric for a score of the best checkpoint on a split.

    Raises:
        KeyError: for a score that is not in the table.
    """
    one = _SCORES[name]
    return Metric(f"score/{split}_{name}", f"{_SPLITS[split]} {one.label}", one.unit, one.digits, one.higher_is_better)


def score_name(metric: MetricName) -> str:
    """Return the name among `SCORE_NAMES` of the score that models are compared by."""
    return "loss" if metric == "log_loss" else metric


def compared(metric: MetricName, split: Split) -> Metric:
    """Return the metric for the score that a study is about, `training.metric`, on a split."""
    return score(score_name(metric), split)


def as_difference(margin: float, metric: MetricName) -> float:
    """Return an equivalence margin as differences of a score are computed, such as 0.01 for one point.

    Args:
        margin: The margin in the unit of the score: percentage points, or nats of log loss.
        metric: The score.
    """
    return margin / 100 if compared(metric, "test").unit == "share" else margin


def curve(metric: MetricName) -> Metric | None:
    """Return the metric for this validation score by epoch. None where the curves of every run hold it."""
    if metric in ("accuracy", "log_loss"):
        return None
    one = _SCORES[metric]
    return Metric(f"{metric}/val", f"validation {one.label}", one.unit, one.digits, one.higher_is_better)


def best(metric: MetricName, values: Iterable[float]) -> float:
    """Return the best of one or more values of a score."""
    return max(values) if compared(metric, "val").higher_is_better else min(values)


def trials_in(state: str) -> Metric:
    """Return the metric for the number of trials in a state: complete, pruned or failed."""
    return Metric(f"search/{state}", f"{state} trials", "count", 0)


def best_trial(model: str, metric: MetricName = "accuracy") -> Metric:
    """Return the metric for the objective of the best trial of a model."""
    one = compared(metric, "val")
    return Metric(f"search/best_{model}", f"best trial of {model}", one.unit, one.digits, one.higher_is_better)


def over_seeds(model: str, metric: MetricName, part: str) -> Metric:
    """Return the metric for the test score of a model over its seeds.

    Args:
        model: The model.
        metric: The score.
        part: `mean`, `low` or `high` (of the 95 % interval), or `seeds` for their number.
    """
    one = compared(metric, "test")
    if part == "seeds":
        return Metric(f"result/{model}/seeds", f"seeds of {model}", "count", 0)
    return Metric(f"result/{model}/{part}", f"{one.label} of {model}, {part}", one.unit, one.digits,
                  one.higher_is_better)


def importance(model: str, setting: str) -> Metric:
    """Return the metric for the importance of a setting in the search of a model."""
    return Metric(f"search/importance/{model}/{setting}", f"importance of {setting} for {model}", "share", 0)
