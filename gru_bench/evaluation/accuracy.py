"""An accuracy as a console says it: in per cent, with its interval and what guessing reaches.

Shapes: `R` runs (seeds) of a model, `N` examples of a split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gru_bench.results.runs import Predictions


def percent(share: float) -> str:
    """Return a share as `58.0 %`."""
    return f"{100 * share:.1f} %"


@dataclass(frozen=True)
class Accuracy:
    """The share of a split's examples that are answered rightly, and how much of it guessing would reach."""

    share: float
    """Mean over runs."""
    low: float
    high: float
    """Wilson's 95 % interval over examples; how far seeds differ is not in it."""
    guessing: float
    """The share of the commoner label: what always answering it reaches."""
    examples: int

    @classmethod
    def of(cls, runs: Sequence[Predictions]) -> Accuracy:
        """Return the accuracy of R runs on the same N examples, both at least one."""
        from gru_bench.evaluation.metrics import correct
        from gru_bench.evaluation.statistics import wilson_interval

        label_N = runs[0].label_N
        right = sum(int(correct(run.label_N, run.probability_N).sum()) for run in runs) / len(runs)
        positive = float((label_N == 1).mean())
        low, high = wilson_interval(round(right), len(label_N))
        return cls(right / len(label_N), low, high, max(positive, 1 - positive), len(label_N))

    @property
    def is_guessing(self) -> bool:
        """Whether it cannot be told from guessing: its interval does not lie above what that reaches."""
        return self.low <= self.guessing

    @property
    def interval(self) -> str:
        """Return the interval as `52.3 to 63.4 %`."""
        return f"{100 * self.low:.1f} to {percent(self.high)}"

    def __str__(self) -> str:
        """Return it with its interval, and what guessing reaches."""
        return (f"{percent(self.share)} (95 % interval {self.interval}) on {self.examples:,} reviews; always guessing "
                f"their commoner label reaches {percent(self.guessing)}")
