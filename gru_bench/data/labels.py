"""Labels as they stand in the data -> classes with names, in one order.

Labels may be words, numbers or booleans. If all of them are numbers, the classes are in numeric order, and 1, 1.0 and
"1" are one class, 1, as is true beside numbers. Otherwise they are in alphabetical order, and each is named as it is
spelled.

Shapes: `N` rows, `K` classes.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import MOST_CLASSES, MOST_NAME, as_number
from gru_bench.errors import DataError, shown

MOST_DECIMALS = 20
"""Most classes of data whose labels are numbers with decimals. Beyond, they look like numbers to predict."""
MOST_SHOWN = 10
"""Most classes that a message lists."""
_TRUTHS = {"false": False, "true": True}
MISSING = ("NaN", "nan", "None", "null", "NULL", "<NA>")
"""What programs write for a missing value into a column of texts."""


@dataclass(frozen=True)
class Classes:
    """The classes of some data, and the class of each row."""

    names: tuple[str, ...]
    """Names of the K classes that occur, in their order."""
    label_N: NDArray[np.int16]
    """Position of each row's class in `names`."""
    plain: bool
    """Whether the data itself holds 0 and 1, and in this order."""


def classes_of(spelling_N: Sequence[str], what: str, remedy: str) -> Classes:
    """Return the classes of all rows.

    Args:
        spelling_N: The labels as `label_of` spells them.
        what: What holds the labels, for error messages, such as `column 'label' of a.csv`.
        remedy: What to do about labels that look like anything but classes.

    Raises:
        DataError: where the labels look like numbers to predict, ids or texts.
    """
    spellings = list(dict.fromkeys(spelling_N))
    truths = [_TRUTHS.get(spelling.lower()) for spelling in spellings]
    values: list[Any] = [as_number(spelling) if truth is None else int(truth)
                         for spelling, truth in zip(spellings, truths, strict=True)]
    values = spellings if None in values else values
    _require_classes(values, len(spelling_N), what, remedy)
    ordered = sorted(set(values))
    class_of = {spelling: ordered.index(value) for spelling, value in zip(spellings, values, strict=True)}
    label_N = np.fromiter(map(class_of.__getitem__, spelling_N), np.int16, len(spelling_N))
    names = ordered if None in truths else [str(bool(value)).lower() for value in ordered]
    return Classes(tuple(map(str, names)), label_N, plain=set(values) <= {0, 1})


def label_of(value: object) -> str:
    """Return a label as text without white space at its ends; empty for a missing one, and for what is no label."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        spelling = value.replace("\0", "").strip()
        return "" if spelling in MISSING else spelling
    if not isinstance(value, int | float | Decimal) or not math.isfinite(value):
        return ""
    return str(value or 0)  # -0.0 is 0, too


def as_given(names: Sequence[str], *, are_texts: bool) -> NDArray[Any]:
    """Return the names of classes as the values that the data has for them, of one type.

    Args:
        names: The names.
        are_texts: Whether the labels of the data are texts, also where these look like numbers or truth values.
    """
    for values in (list(map(_TRUTHS.get, names)), list(map(as_number, names))):
        if not are_texts and None not in values:
            return np.array(values)
    return np.array(names, dtype=object)


def listed(names: Iterable[str], counts: Iterable[int] | None = None) -> str:
    """Return the names of classes as a message shows them, with counts if given: `'a' (20), 'b' (9) and 3 more`."""
    words = [shown(name, most=40) for name in names]
    if counts is not None:
        words = [f"{word} ({count:,})" for word, count in zip(words, counts, strict=True)]
    more = len(words) - MOST_SHOWN
    return ", ".join(words[:MOST_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def alike(names: Iterable[str]) -> list[list[str]]:
    """Return the groups of names that differ only in case, spaces or the Unicode form of their characters."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(unicodedata.normalize("NFC", "".join(name.split())).casefold(), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _require_classes(values: Sequence[Any], rows: int, what: str, remedy: str) -> None:
    """Raise DataError for labels that look like numbers to predict, ids or texts."""
    longest, count = max(map(str, values), key=len), len(set(values))
    most, kind = MOST_CLASSES, f"names of at most {MOST_NAME} characters"
    if any(isinstance(value, float) for value in values):
        most, kind = MOST_DECIMALS, "numbers with decimals"
    if len(longest) > MOST_NAME or count > min(most, max(MOST_DECIMALS, rows / 2)):
        raise DataError(
            f"labels in {what} must be classes, at most {most:,} {kind} and far fewer than rows, but there are "
            f"{count:,} different ones in {rows:,} rows, such as {shown(longest, most=40)}. They look like numbers to "
            f"predict, ids or texts: {remedy}")
