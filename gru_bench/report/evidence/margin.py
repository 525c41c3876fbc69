"""The margin of a report: fixed by its studies before their first run, or chosen when the report was made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gru_bench.evaluation.statistics import MARGIN
from gru_bench.report.document.numbers import Number
from gru_bench.report.document.sentences import Sentence
from gru_bench.tracking import LoggedStudy


@dataclass(frozen=True)
class Margin:
    """The largest difference of no practical weight, and when it was chosen."""

    value: float
    """0.01 is one point of accuracy."""
    logged: tuple[float | None, ...]
    """What each study logged at its start; None where it logged none."""

    @property
    def beforehand(self) -> bool:
        """Return whether every study fixed this very margin at its start."""
        return bool(self.logged) and all(one is not None and math.isclose(one, self.value) for one in self.logged)

    @property
    def number(self) -> Number:
        """Return the margin as it is shown."""
        return Number("methods.margin", self.value, "percent", method="the largest difference of no practical weight")

    @property
    def said(self) -> Sentence:
        """Return when the margin was chosen, as the end of a sentence that names it."""
        if self.beforehand:
            return (" points, fixed beforehand: the study logged it at its start." if len(self.logged) == 1 else
                    " points, fixed beforehand: each study logged it at its start.",)
        start: Sentence = (" points, chosen when this report was made: ",)
        known = sorted({one for one in self.logged if one is not None})
        if not known:
            return (*start, "no study had logged one at its start.")
        shown = [Number(f"methods.margin-logged-{place}", one, "percent", method="logged at a study's start")
                 for place, one in enumerate(known, start=1)]
        listed: list[str | Number] = [part for one in shown for part in (" and ", one)][1:]
        missing = ", and some had logged none" if None in self.logged else ""
        return (*start, "at their start the studies had logged ", *listed, f"{missing}.")

    @property
    def caution(self) -> Sentence:
        """Return a caution if the margin was not fixed beforehand; else empty."""
        start = "The margin of equivalence was not fixed before the runs: verdicts use a margin of "
        return () if self.beforehand else (start, self.number, *self.said)


def margin_of(studies: Sequence[LoggedStudy], asked: float | None) -> Margin:
    """Return the margin of a report.

    Args:
        studies: Studies of the report.
        asked: Margin that was asked for; None means the one that the studies logged, where they agree, else one point.
    """
    logged = tuple(study.plan().margin for study in studies)
    agreed = logged[0] if logged and len(set(logged)) == 1 else None
    return Margin(asked if asked is not None else MARGIN if agreed is None else agreed, logged)
