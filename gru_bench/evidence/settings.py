"""Settings of runs as a report shows them, and whether the best value of one is at an end of its range."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gru_bench.config import Scalar, is_valid_setting
from gru_bench.document.numbers import Number, Numbers, plain, written

END_SHARE = 0.05
"""Fraction of a range, on its own scale, that counts as its end."""
LEAST_VALUES = 4
"""Fewest values of a range whose ends are told apart from its middle: the best of three is often at an end."""
SETTING_NAMES = {
    "training.lr": "learning rate",
    "training.batch_size": "batch size",
    "training.epochs": "epochs",
    "model.hidden_size": "hidden size",
    "model.layers": "layers",
    "model.pooling": "pooling",
    "model.dropout": "dropout",
    "embedding.name": "word vectors",
    "embedding.trainable": "trained vectors",
}


def setting_name(name: str) -> str:
    """Return the name to show for a dotted setting."""
    return SETTING_NAMES.get(name, plain(name.rpartition(".")[2].replace("_", " ")))


def setting(numbers: Numbers, key: str, value: Scalar) -> Number | str:
    """Return a setting's value as it is shown: a number where it is one."""
    number = as_number(value)
    return _plain(value) if number is None else numbers.add(key, number, "setting", "a setting")


def _plain(value: Scalar) -> str:
    return plain("none" if value is None else str(value))


def as_number(value: Scalar) -> float | None:
    """Return a setting as a finite number; None for text, a switch, or an absent value."""
    if isinstance(value, bool | str) or value is None or not math.isfinite(value):
        return None
    return float(value)


def range_text(range_: Mapping[str, Any]) -> str:
    """Return the range of a setting, or its choices."""
    if "choices" in range_:
        return ", ".join(map(_plain, range_["choices"]))
    low, high = (written(float(range_[end]), "setting") for end in ("low", "high"))
    return f"{low} to {high}{', log scale' if range_.get('log') else ''}"


def end_of_range(name: str, range_: Mapping[str, Any], value: Scalar) -> str:
    """Return `low` or `high` where the best value of a setting (its dotted name) lies in the outer twentieth of its
    range, and the setting can go beyond; empty elsewhere, and where the range has few values."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return ""
    if "low" not in range_ or _values_in(range_) < LEAST_VALUES:
        return ""
    number = float(value)
    low, high = float(range_["low"]), float(range_["high"])
    beyond = {"low": (low - 1, math.nextafter(low, -math.inf)), "high": (high + 1, math.nextafter(high, math.inf))}
    if range_.get("log"):
        low, high, number = math.log(low), math.log(high), math.log(number)
    share = (number - low) / (high - low)
    end = "low" if share < END_SHARE else "high" if share > 1 - END_SHARE else ""
    # Of the two values beyond, whole numbers can have the first, others the second.
    return end if end and any(is_valid_setting(name, one) for one in beyond[end]) else ""


def _values_in(range_: Mapping[str, Any]) -> float:
    """Return how many values a range has; infinity for real numbers without a step."""
    low, high, step = range_["low"], range_["high"], range_.get("step")
    if step is None and isinstance(low, int) and isinstance(high, int):
        step = 1
    return 1 if low == high else math.inf if step is None else math.floor((high - low) / step + 1e-6) + 1
