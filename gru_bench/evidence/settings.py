"""Settings of runs as a report shows them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gru_bench.config import Scalar
from gru_bench.document.numbers import Number, Numbers, plain, written

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
