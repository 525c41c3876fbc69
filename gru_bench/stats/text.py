"""Numbers as text: percentages, p values, and values close to a landmark, where rounding could mislead."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from gru_bench.config import MetricName
from gru_bench.stats.scores import Score, score_of

NBSP = "\u00a0"
"""Keeps a unit on the line of its number."""


def p_text(p: float) -> str:
    """Return a p value with two significant figures, and with more where 0.0499 would look like 0.050."""
    if p < 0.001:
        return "< 0.001"
    if p >= 0.995:
        return f"{p:.2f}"
    for digits in (2, 3, 4, 5):
        text = significant(p, digits)
        # 0.0499 must not be shown as 0.050 beside a verdict that rests on being below it.
        if float(text) != 0.05 or p == 0.05:
            break
    return text


def significant(value: float, digits: int) -> str:
    """Return a value with so many significant figures, and commas between thousands."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits}g}")
    decimals = digits - 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:,.{max(0, decimals)}f}"


Kind = Literal["percent", "points", "p", "count", "tenth", "amount", "score", "change", "signed", "setting"]
"""percent: a share, shown in percent; points: a difference of shares, with sign; tenth: one decimal; amount
(seconds, tokens per second): three significant figures, one decimal below ten; score (losses, areas): three
decimals; change: a difference of scores, with sign; signed: two decimals, with sign."""
FORMATS: Mapping[Kind, tuple[float, str, int]] = {
    "percent": (100, "", 1), "points": (100, "+", 1), "count": (1, ",", 0), "tenth": (1, ",", 1), "score": (1, "", 3),
    "change": (1, "+", 3),
    "signed": (1, "+", 2)}
"""Kind -> factor, sign or separator of thousands, and decimals."""
MINUS = "−"
MISSING = "—"
LARGEST = 1e308


@dataclass(frozen=True)
class Scale:
    """How a score of test texts and its differences are shown."""

    score: str
    """Name of the score, as in `test accuracy`."""
    kind: Kind
    difference: Kind
    unit: str
    """Unit of the score in tables."""
    differences: str
    """Unit of differences, as in ` 1.0 points`."""
    higher_is_better: bool

    @property
    def factor(self) -> float:
        """Return the factor from a value to what is shown."""
        return FORMATS[self.kind][0]

    @property
    def suffix(self) -> str:
        """Return what stands after a score in a sentence: a space and the unit, if it has one."""
        return f"{NBSP}{self.unit}" if self.unit else ""

    @property
    def after(self) -> str:
        """Return what stands after a difference in a sentence: a space and the unit, if it has one."""
        return f" {self.differences}" if self.differences else ""


def scale_of(metric: MetricName) -> Scale:
    """Return how the score that models are compared by is shown."""
    return shown_as(score_of(metric))


def shown_as(one: Score) -> Scale:
    """Return how a score is shown."""
    if one.unit == "share":
        return Scale(one.label, "percent", "points", "%", "points", one.higher_is_better)
    unit = one.unit.removesuffix(" per text")
    return Scale(one.label, "score", "change", unit, unit, one.higher_is_better)


def written(value: float | None, kind: Kind, decimals: int | None = None) -> str:
    """Return a value as text; negative numbers carry a true minus sign."""
    # MLflow keeps what is infinite as the largest number there is, which cannot be rounded.
    if value is None or not math.isfinite(value) or abs(value) >= LARGEST:
        return MISSING
    match kind:
        case "p":
            text = p_text(value)
        case "amount" if 0 < value < 0.05:
            text = "< 0.1"
        case "amount":
            text = f"{value:.1f}" if abs(value) < 10 else significant(value, 3)
        case "setting":
            text = f"{value:,.0f}" if value == round(value) and abs(value) < 1e6 else f"{value:.3g}"
        case _:
            scale, sign, usual = FORMATS[kind]
            text = f"{scale * value:{sign}.{usual if decimals is None else decimals}f}"
    if not text.strip("+-0."):
        text = text.lstrip("+-")  # zero has no sign
    return text.replace("-", MINUS)


@dataclass(frozen=True)
class Number:
    """A number as it is shown, with its source."""

    key: str
    """Lower-case words and digits, joined by - and dots: unique in a report; in a sentence, its last part."""
    value: float | None
    """None where it is unknown: shown as a dash, never as 0."""
    kind: Kind
    method: str = ""
    """How it was computed."""
    low: float | None = None
    """Low end of its interval, or of its range."""
    high: float | None = None
    decimals: int | None = None
    """Decimals shown, where one decimal would round an end to a value that a sentence is about."""
    runs: tuple[str, ...] = ()
    """The ids of the runs it was computed from."""
    examples: int | None = None
    """How many examples it was computed from; None where no examples enter."""
    split: str = ""
    """The split of its examples; empty for those of several splits or of none."""
    is_range: bool = False
    """Whether `low` and `high` are the lowest and the highest run, and not the ends of an interval."""

    @property
    def has_interval(self) -> bool:
        """Return whether `low` and `high` are the ends of an interval."""
        return self.low is not None and not self.is_range

    @property
    def text(self) -> str:
        """Return the number as every format shows it."""
        return written(self.value, self.kind, self.decimals)

    @property
    def ends(self) -> tuple[Number, Number]:
        """Return the ends of the interval, or of the range, as numbers of their own."""
        return (
            replace(self, key=f"{self.key}.low", value=self.low, low=None, high=None, is_range=False),
            replace(self, key=f"{self.key}.high", value=self.high, low=None, high=None, is_range=False),
        )

    @property
    def source(self) -> str:
        """Return the source of the number on one line: runs, examples, interval and method."""
        parts = []
        if self.runs:
            parts.append(f"{len(self.runs)} run{'s' if len(self.runs) > 1 else ''}")
        if self.examples:
            parts.append(" ".join(filter(None, (f"{self.examples:,}", self.split, "examples"))))
        if self.low is not None:
            ends = f"{self.ends[0].text} to {self.ends[1].text}"
            parts.append(f"{ends} ({self.method})" if self.method else ends)
        elif self.method:
            parts.append(self.method)
        return "; ".join(parts)


def decimals_for(values: Sequence[float], landmarks: Sequence[float], kind: Kind = "points") -> int:
    """Return the fewest decimals, at most three more than usual, at which no value looks equal to a landmark.

    Args:
        values: Values, such as the ends of an interval.
        landmarks: Values that a sentence is about: 0 and the margin, on both sides. Values equal to one may look so.
        kind: How the values are shown.
    """
    factor, _, usual = FORMATS[kind]
    apart = [(factor * value, factor * mark) for value in values for mark in landmarks
             if not math.isclose(value, mark, abs_tol=1e-12)]
    return next((decimals for decimals in range(usual, usual + 3)
                 if all(round(value, decimals) != round(mark, decimals) for value, mark in apart)), usual + 3)


def percent(share: float) -> str:
    """Return a share as text in per cent, such as `58.0 %`."""
    return f"{100 * share:.1f} %"
