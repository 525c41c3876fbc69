"""The score of guessing, and whether a model may be guessing.

Shapes: `N` examples, `C` classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import MetricName
from gru_bench.stats.statistics import Estimate


def guessing(metric: MetricName, label_N: NDArray[np.integer[Any]], classes: int) -> float:
    """Return the score of guessing without a look at the text, by someone who knows how frequent each class is.

    Accuracy: always the most frequent class. Macro F1: at random in proportion to the classes, which reaches 1/C and so
    at least as much as always the most frequent class. F1: always the positive class. Log loss: the frequencies of the
    classes as probabilities. ROC AUC: 0.5.

    Args:
        metric: The score.
        label_N: Labels, positions of the classes.
        classes: C.
    """
    share_C = np.bincount(label_N, minlength=classes) / len(label_N)
    match metric:
        case "accuracy":
            return float(share_C.max())
        case "macro_f1":
            return 1 / classes
        case "f1":
            return float(2 * share_C[1] / (1 + share_C[1]))
        case "log_loss":
            known = share_C[share_C > 0]
            return float(-(known * np.log(known)).sum())
        case "roc_auc":
            return 0.5


def may_be_guessing(metric: MetricName, found: Estimate, guess: float) -> bool:
    """Return whether the interval of a score does not lie on the better side of the score of guessing."""
    return found.high >= guess if metric == "log_loss" else found.low <= guess
