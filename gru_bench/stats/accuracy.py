"""An accuracy for the console: in per cent, with its interval and the accuracy of guessing.

Shapes: `R` runs (seeds) of a model, `N` examples of a split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gru_bench.results.runs import Predictions


def percent(share: float) -> str:
    """Return a share as text in per cent, such as `58.0 %`."""
    return f"{100 * share:.1f} %"


@dataclass(frozen=True)
class Accuracy:
    """The accuracy of a model on a split, and the accuracy of guessing."""

    share: float
    """Accuracy, as the mean over runs."""
    low: float
    high: float
    """Ends of Wilson's 95 % interval over examples. It does not contain the variance between seeds."""
    guessing: float
    """Share of the most frequent class, which is the accuracy of always guessing it."""
    examples: int

    @classmethod
    def of(cls, runs: Sequence[Predictions]) -> Accuracy:
        """Return the accuracy of R >= 1 runs on the same N >= 1 examples."""
        from gru_bench.stats.metrics import correct
        from gru_bench.stats.statistics import wilson_interval

        label_N = runs[0].label_N
        right = sum(int(correct(run.label_N, run.probability_NC).sum()) for run in runs) / len(runs)
        low, high = wilson_interval(round(right), len(label_N))
        return cls(right / len(label_N), low, high, float(np.bincount(label_N).max()) / len(label_N), len(label_N))

    @property
    def is_guessing(self) -> bool:
        """Whether the model may be guessing: its interval does not lie above the accuracy of guessing."""
        return self.low <= self.guessing

    @property
    def interval(self) -> str:
        """Return the interval as text, such as `52.3 to 63.4 %`."""
        return f"{100 * self.low:.1f} to {percent(self.high)}"

    def __str__(self) -> str:
        """Return a sentence with the accuracy, its interval and the accuracy of guessing."""
        return (f"{percent(self.share)} (95 % interval {self.interval}) on {self.examples:,} reviews; always guessing "
                f"their most frequent class reaches {percent(self.guessing)}")
