"""How numbers are written where rounding could mislead: p values, and values close to a landmark."""

from __future__ import annotations

import math
from collections.abc import Sequence


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


def decimals_apart(values: Sequence[float], landmarks: Sequence[float], factor: float, usual: int) -> int:
    """Return the fewest decimals, at most three more than usual, at which no value looks equal to a landmark.

    Args:
        values: Values, such as the ends of an interval.
        landmarks: Values that a sentence is about: 0 and the margin, on both sides. Values equal to one may look so.
        factor: What both are multiplied by before they are shown: 100 for shares in per cent.
        usual: Fewest decimals.
    """
    apart = [(factor * value, factor * mark) for value in values for mark in landmarks
             if not math.isclose(value, mark, abs_tol=1e-12)]
    return next((decimals for decimals in range(usual, usual + 3)
                 if all(round(value, decimals) != round(mark, decimals) for value, mark in apart)), usual + 3)
