"""Labels as they stand in the data -> classes with names, in one order.

Labels may be words, numbers or booleans. If all of them are numbers, the classes are in numeric order, and 1, 1.0 and
"1" are one class, 1. Otherwise they are in alphabetical order, and each is named as it is spelled.

Shapes: `N` rows, `K` classes, `D` different spellings.
"""

from __future__ import annotations

import math
from array import array
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
_MISSING = ("NaN", "nan", "None", "null", "NULL", "<NA>")
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


class Labels:
    """Collects the labels of all rows of some data."""

    def __init__(self) -> None:
        """Start without rows."""
        self._places: dict[str, int] = {}
        """Spelling -> its place among all D spellings."""
        self._place_N = array("i")
        self._names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        """Return N."""
        return len(self._place_N)

    def add(self, value: object) -> bool:
        """Add the label of a row, and return whether it is one: a word, a number, true or false."""
        spelling = spelled(value)
        if not spelling or spelling in _MISSING:
            return False
        self._place_N.append(self._places.setdefault(spelling, len(self._places)))
        return True

    def call(self, names: Sequence[str], where: str) -> None:
        """Give the names of the classes 0, 1, 2 and so on, which a file holds apart from its rows.

        Raises:
            DataError: where another file has given other names.
        """
        if self._names is not None and self._names != tuple(names):
            raise DataError(f"all files must have the same classes, but {where} has {listed(names)}, and another has "
                            f"{listed(self._names)}: read them one by one")
        self._names = tuple(names)

    def classes(self, what: str, remedy: str) -> Classes:
        """Return the classes of all rows.

        Args:
            what: What holds the labels, for error messages, such as `column 'label' of a.csv`.
            remedy: What to do about labels that look like anything but classes.

        Raises:
            DataError: where the labels look like numbers to predict or like texts.
        """
        plain = all(spelling.lower() in _ZERO_ONE for spelling in self._places)
        names, class_D = self._named(what, remedy, plain=plain)
        place_N = np.frombuffer(self._place_N, np.intc) if self._place_N else np.zeros(0, np.intc)
        label_N = np.asarray(class_D, np.int64)[place_N]
        return Classes(names, small(label_N, len(names)), plain)

    def _named(self, what: str, remedy: str, *, plain: bool) -> tuple[tuple[str, ...], list[int]]:
        """Return the names of the classes, and the class of each spelling."""
        spellings = list(self._places)
        if self._names is not None:
            return _called(spellings, self._names, what)
        if plain:
            words = {spelling.lower() for spelling in spellings} <= {"false", "true"}
            return ("false", "true") if words else ("0", "1"), [_ZERO_ONE[one.lower()] for one in spellings]
        numbers = [number for number in map(as_number, spellings) if number is not None]
        if len(numbers) == len(spellings):
            _refuse_measured(numbers, len(self), what, remedy)
            ordered = sorted(set(numbers))
            place = {number: position for position, number in enumerate(ordered)}
            return tuple(map(str, ordered)), [place[number] for number in numbers]
        _refuse_texts(spellings, len(self), what, remedy)
        words_in_order = sorted(spellings)
        place_of = {word: position for position, word in enumerate(words_in_order)}
        return tuple(words_in_order), [place_of[spelling] for spelling in spellings]


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


def listed(names: Iterable[str]) -> str:
    """Return the names of classes as a message shows them: `'a', 'b' and 3 more`."""
    words = [shown(name, most=40) for name in names]
    more = len(words) - MOST_SHOWN
    return ", ".join(words[:MOST_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


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


def _refuse_measured(numbers: Sequence[int | float], rows: int, what: str, remedy: str) -> None:
    """Raise DataError for numbers that look like measurements or ids."""
    different = sorted(set(numbers))
    with_decimals = [number for number in different if isinstance(number, float)]
    if with_decimals and len(different) > MOST_DECIMALS:
        raise DataError(f"labels in {what} must be classes, at most {MOST_DECIMALS} numbers with decimals, but there "
                        f"are {len(different):,} different ones, such as {with_decimals[0]}: this looks like a number "
                        f"to predict: {remedy}, or round the numbers")
    if _too_many(len(different), rows):
        raise DataError(f"labels in {what} must be at most {MOST_CLASSES:,} classes, far fewer than rows, but there "
                        f"are {len(different):,} different numbers in {rows:,} rows, such as {different[0]}: this "
                        f"looks like a number to predict, or like an id: {remedy}")


def _refuse_texts(spellings: Sequence[str], rows: int, what: str, remedy: str) -> None:
    """Raise DataError for labels that look like texts."""
    if (longest := max(spellings, key=len, default="")) and len(longest) > MOST_CLASS_NAME:
        raise DataError(f"labels in {what} must have at most {MOST_CLASS_NAME} characters, but one is "
                        f"{shown(longest, most=40)}: this looks like a text: {remedy}")
    if _too_many(len(spellings), rows):
        raise DataError(f"labels in {what} must be at most {MOST_CLASSES:,} classes, far fewer than rows, but there "
                        f"are {len(spellings):,} different ones in {rows:,} rows, such as "
                        f"{shown(spellings[0], most=40)}: this looks like a text: {remedy}")


def _too_many(different: int, rows: int) -> bool:
    return different > MOST_CLASSES or (different > MOST_DECIMALS and different > rows / 2)
