"""Labels as they stand in the data -> classes with names, in one order.

Labels may be words, numbers or booleans. If all of them are numbers, the classes are in numeric order, and 1, 1.0 and
"1" are one class, 1. Otherwise they are in alphabetical order, and each is named as it is spelled.

Shapes: `N` rows, `K` classes, `D` different spellings.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import MOST_CLASS_NAME, MOST_CLASSES, as_number
from gru_bench.errors import DataError, shown

MOST_DECIMALS = 20
"""Most classes of data whose labels are numbers with decimals. Beyond, they look like numbers to predict."""
MOST_SHOWN = 10
"""Most classes that a message lists."""
NEGATIVE_POSITIVE = ("negative", "positive")
_ZERO_ONE = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
MISSING = ("NaN", "nan", "None", "null", "NULL", "<NA>")
"""What programs write for a missing value into a column of texts."""
_SMALL = 128
"""Most classes whose positions fit into 8 bits."""
LabelArray = NDArray[Any]
"""Positions of classes: in 8 bits up to 128 classes, in 16 bits beyond."""


@dataclass(frozen=True)
class Classes:
    """The classes of some data, and the class of each row."""

    names: tuple[str, ...]
    label_N: LabelArray
    """Position of each row's class in `names`."""
    plain: bool
    """Whether the data itself holds 0 and 1, and in this order."""


def classes_of(spelling_N: Sequence[str], names: Sequence[str], what: str, remedy: str) -> Classes:
    """Return the classes of all rows.

    Args:
        spelling_N: The labels as `label_of` spells them.
        names: Names of the classes 0, 1, 2 and so on, which a file holds apart from its rows. May be empty.
        what: What holds the labels, for error messages, such as `column 'label' of a.csv`.
        remedy: What to do about labels that look like anything but classes.

    Raises:
        DataError: where the labels look like numbers to predict or like texts.
    """
    spellings = list(dict.fromkeys(spelling_N))
    rows = len(spelling_N)
    numbers = [number for number in map(as_number, spellings) if number is not None]
    plain = all(spelling.lower() in _ZERO_ONE for spelling in spellings)
    if names:
        ordered, class_D = _called(spellings, names, what)
    elif plain:
        words = {spelling.lower() for spelling in spellings} <= {"false", "true"}
        ordered, class_D = ("false", "true") if words else ("0", "1"), [_ZERO_ONE[one.lower()] for one in spellings]
    else:
        values: Sequence[str | int | float] = numbers if len(numbers) == len(spellings) else spellings
        _refuse_others(values, rows, what, remedy)
        ordered, class_D = _ordered(values)
    class_of = dict(zip(spellings, class_D, strict=True))
    label_N = np.fromiter(map(class_of.__getitem__, spelling_N), np.int64, rows)
    return Classes(ordered, small(label_N, len(ordered)), plain)


def _ordered(values: Sequence[Any]) -> tuple[tuple[str, ...], list[int]]:
    """Return distinct values as names in their order, and for each value its position among them."""
    ordered = sorted(set(values))
    place_of = {value: place for place, value in enumerate(ordered)}
    return tuple(map(str, ordered)), [place_of[value] for value in values]


def label_of(value: object) -> str:
    """Return a label as it is spelled; empty for a missing one, and for what is no word, number or truth value."""
    spelling = spelled(value)
    return "" if spelling in MISSING else spelling


def small(label_N: NDArray[Any], classes: int) -> LabelArray:
    """Return labels in 8 bits up to 128 classes, and in 16 bits beyond."""
    return label_N.astype(np.int8) if classes <= _SMALL else label_N.astype(np.int16)


def spelled(value: object) -> str:
    """Return a label as text without white space at its ends; empty for what is no label."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value.replace("\0", "").strip()
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        return ""
    if value == 0:
        return "0"  # of -0.0, too
    return str(value) if isinstance(value, int | float | Decimal) else ""


def listed(names: Iterable[str], counts: Iterable[int] | None = None) -> str:
    """Return the names of classes as a message shows them, with counts if given: `'a' (20), 'b' (9) and 3 more`."""
    words = [shown(name, most=40) for name in names]
    if counts is not None:
        words = [f"{word} ({count:,})" for word, count in zip(words, counts, strict=True)]
    more = len(words) - MOST_SHOWN
    return ", ".join(words[:MOST_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def alike(names: Iterable[str]) -> list[list[str]]:
    """Return the groups of names that differ only in case or spaces."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault("".join(name.split()).casefold(), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _called(spellings: Sequence[str], names: Sequence[str], what: str) -> tuple[tuple[str, ...], list[int]]:
    """Return the names that occur, in their own order, and the class of each spelling: a name, or its position."""
    known, found = set(names), []
    for spelling in spellings:
        position = _ZERO_ONE.get(spelling.lower(), as_number(spelling))
        if spelling not in known and not (isinstance(position, int) and 0 <= position < len(names)):
            raise DataError(f"labels in {what} must be classes that it names ({listed(names)}) or their numbers, 0 to "
                            f"{len(names) - 1}, but some are {shown(spelling)}: leave such rows out")
        found.append(spelling if spelling in known else names[int(position or 0)])
    occurs = set(found)
    occurring = tuple(name for name in names if name in occurs)
    return occurring, [occurring.index(name) for name in found]


def _refuse_others(values: Sequence[str | int | float], rows: int, what: str, remedy: str) -> None:
    """Raise DataError for labels that look like numbers to predict, ids or texts."""
    different = list(dict.fromkeys(values))
    decimals = [value for value in different if isinstance(value, float)]
    long = [value for value in different if isinstance(value, str) and len(value) > MOST_CLASS_NAME]
    most = MOST_DECIMALS if decimals else MOST_CLASSES
    if long or len(different) > most or len(different) > max(MOST_DECIMALS, rows / 2):
        rule = (f"names of at most {MOST_CLASS_NAME} characters" if long else
                f"at most {most:,}{' numbers with decimals' if decimals else ''}, and far fewer than rows")
        raise DataError(
            f"labels in {what} must be classes, {rule}, but there are {len(different):,} different ones in {rows:,} "
            f"rows, such as {shown((long or decimals or different)[0], most=40)}. They look like numbers to predict, "
            f"ids or texts: {remedy}{', or round the numbers' if decimals else ''}")
