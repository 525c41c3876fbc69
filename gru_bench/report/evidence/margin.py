"""The margin of a report: fixed by its studies before their first run, or chosen when the report was made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gru_bench.config import MetricName
from gru_bench.report.document.numbers import Number, Numbers, Scale, scale_of
from gru_bench.report.document.sentences import Sentence, joined
from gru_bench.stats.verdict import MARGIN
from gru_bench.tracking import LoggedStudy


@dataclass(frozen=True)
class Margin:
    """The largest difference of no practical weight, and when it was chosen."""

    value: float
    """0.01 is one point of accuracy."""
    logged: tuple[float | None, ...]
    """What each study logged at its start; None where it logged none."""
    numbers: Numbers
    scale: Scale
    """How the score is shown whose differences it bounds."""

    @property
    def beforehand(self) -> bool:
        """Return whether every study fixed this very margin at its start."""
        return bool(self.logged) and all(one is not None and math.isclose(one, self.value) for one in self.logged)

    @property
    def number(self) -> Number:
        """Return the margin as it is shown."""
        return self.numbers.add("methods.margin", self.value, self.scale.kind,
                                "the largest difference of no practical weight")

    @property
    def said(self) -> Sentence:
        """Return when the margin was chosen, as the end of a sentence that names it."""
        if self.beforehand:
            who = "the study" if len(self.logged) == 1 else "each study"
            return (f"{self.scale.after}, fixed beforehand: {who} logged it at its start.",)
        known: list[Sentence] = [
            (self.numbers.add(f"methods.margin-logged-{place}", value, self.scale.kind, "logged at a study's start"),)
            for place, value in enumerate(sorted({one for one in self.logged if one is not None}), start=1)]
        if not known:
            return (f"{self.scale.after}, chosen when this report was made: no study had logged one at its start.",)
        missing = ", and some had logged none" if None in self.logged else ""
        return (f"{self.scale.after}, chosen when this report was made: at their start the studies had logged ",
                *joined(known, " and "), f"{missing}.")


def margin_of(
    studies: Sequence[LoggedStudy], asked: float | None, numbers: Numbers, metric: MetricName = "accuracy"
) -> Margin:
    """Return the margin of a report.

    Args:
        studies: Studies of the report.
        asked: Margin that was asked for; None means the one that the studies logged, where they agree, else one point.
        numbers: Makes the numbers of the report.
        metric: The score whose differences it bounds. Margins of studies about another one do not count.
    """
    logged = tuple(plan.margin if plan.metric == metric else None for study in studies for plan in [study.plan()])
    agreed = logged[0] if logged and len(set(logged)) == 1 else None
    value = asked if asked is not None else MARGIN if agreed is None else agreed
    return Margin(value, logged, numbers, scale_of(metric))
