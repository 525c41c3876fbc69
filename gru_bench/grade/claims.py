"""The files of `gru-bench grade`: claims, predictions and true classes, and how predictions are joined to texts.

Shapes: `R` runs of the reference, `N` test texts.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import as_number
from gru_bench.data.files import TABLES, DataFile, check_files, named_path, opened_text, reading
from gru_bench.data.labels import listed
from gru_bench.data.tables import open_table
from gru_bench.errors import DataError, UsageError, shown
from gru_bench.predictions.columns import PredictionColumns
from gru_bench.predictions.read import class_of, id_of

_NAMES = ("student", "name", "team", "id")
_ACCURACIES = ("accuracy", "claimed_accuracy", "claim", "acc")
_FILES = ("predictions", "prediction", "file", "path")
_NUMBER = re.compile(r"(\d+)(?:[.,](\d+))?\s*(%?)")
_LEAST_DIGIT = 1e-6
"""Least that the last digit of an accuracy counts, as a fraction. Further digits are rounding errors of float32."""


@dataclass(frozen=True)
class Accuracy:
    """An accuracy as it was claimed."""

    value: float
    """As a fraction."""
    last_digit: float
    """What 1 of its last digit is worth, as a fraction, but at least `_LEAST_DIGIT`."""

    def fits(self, found: float) -> bool:
        """Return whether a number, rounded or cut off to as many digits, is this accuracy."""
        return abs(found - self.value) < self.last_digit * (1 + 1e-9)


@dataclass(frozen=True)
class Claim:
    """One row of the claims."""

    student: str
    accuracy: Accuracy | None
    predictions: Path | None
    problem: str = ""
    """Why the row says nothing. Empty: it does."""


@dataclass(frozen=True)
class Truth:
    """The test texts and their true classes."""

    where: str
    """What holds them, for messages."""
    id_N: tuple[str, ...]
    label_N: NDArray[np.int64]
    """Positions of the classes."""
    classes: tuple[str, ...]
    name_N: tuple[str, ...] = ()
    """Names of the rows of the texts in the data, which may be the ids of predictions, too. Empty: not known."""

    def position(self, spelling: str) -> int | None:
        """Return the position of a class by its name, or by its number where no class has such a name."""
        if spelling in self.classes:
            return self.classes.index(spelling)
        lower = [name.lower() for name in self.classes]
        if spelling.lower() in lower:
            return lower.index(spelling.lower())
        number = as_number(spelling)
        if number is None or number != int(number):
            return None
        if str(int(number)) in lower:
            return lower.index(str(int(number)))
        named_by_numbers = all(as_number(name) is not None for name in self.classes)
        return int(number) if not named_by_numbers and 0 <= number < len(self.classes) else None


def read_claims(path: Path) -> list[Claim]:
    """Return the rows of a table of claims: a column of students, and accuracies, files of predictions, or both.

    Raises:
        UsageError: There is no such file.
        DataError: It lacks these columns, has no rows, or a row that cannot be one of a student.
    """
    if not path.is_file():
        raise UsageError(f"CLAIMS.csv must be a file, but there is no {shown(str(path))}: check the path")
    with reading(path), opened_text(path, "utf-8") as text:
        first = text.readline()
        separator = max(",;\t", key=first.count)
        rows = _rows(path, chain([first], text), separator)
        _, header = next(rows, (1, []))
        places = [_place(header, usual) for usual in (_NAMES, _ACCURACIES, _FILES)]
        if places[0] is None or places[1] is places[2] is None:
            raise DataError(f"{path.name} must have a column {_NAMES[0]}, and a column {_ACCURACIES[0]}, a column "
                            f"{_FILES[0]}, or both, but its first line is {shown(first.strip())}: rename its columns")
        claims = []
        for line, row in rows:
            if any(row[len(header):]):
                raise DataError(f"{path.name} must have {len(header)} values in each row, as in its first line, but "
                                f"line {line:,} has {len(row)} ({shown(separator.join(row))}): quote values that "
                                f"contain {shown(separator)}")
            claims.append(_claim(row, places, path.parent))
            if not claims[-1].student:
                raise DataError(f"{path.name} must name a student in each row, but line {line:,} names none "
                                f"({shown(separator.join(row))}): add the name")
    if not claims:
        raise DataError(f"{path.name} must have a row for each student, but it has none: add them")
    student, count = Counter(claim.student for claim in claims).most_common(1)[0]
    if count > 1:
        raise DataError(f"{path.name} must have each student once, but {shown(student)} is there {count} times: give "
                        "each row a name of its own")
    return claims


def _rows(path: Path, lines: Iterable[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each line that is not blank, and its cells.

    No cell has a line break: else a quote that is not closed would hide the students of the next lines.
    """
    for number, line in enumerate(lines, start=1):
        try:
            cells = [cell.strip() for cell in next(csv.reader([line], delimiter=separator, strict=True), [])]
        except csv.Error as error:
            raise DataError(f"{path.name} must have a complete row on each line, but line {number:,} is not one "
                            f"({shown(str(error), '')}): close each quote, and remove line breaks inside quotes"
                            ) from error
        if any(cells):
            yield number, cells


def _place(header: Sequence[str], usual: Sequence[str]) -> int | None:
    plain = [name.strip().lower().replace(" ", "_") for name in header]
    return next((plain.index(name) for name in usual if name in plain), None)


def _claim(row: Sequence[str], places: Sequence[int | None], folder: Path) -> Claim:
    student, accuracy, file = (row[place] if place is not None and place < len(row) else ""
                               for place in places)
    path = folder / file if file else None
    try:
        found = parsed_accuracy(accuracy) if accuracy else None
    except UsageError as error:
        return Claim(student, None, path, str(error))
    return Claim(student, found, path, "" if accuracy or file else "neither an accuracy nor predictions")


def parsed_accuracy(text: str) -> Accuracy:
    """Return an accuracy: a fraction such as 0.842, or a percentage such as 84.2, 84,2 or 84.2 %.

    Raises:
        UsageError: It is no such number, or outside 0 to 100 %.
    """
    match = _NUMBER.fullmatch(text.strip())
    if match:
        whole, decimals, percent = match.groups()
        value = float(f"{whole}.{decimals or 0}")
        full = 100 if percent or value > 1 else 1
        if value <= full:
            last_digit = 10.0 ** -len(decimals) / full if decimals else 0.01
            return Accuracy(value / full, max(last_digit, _LEAST_DIGIT))
    raise UsageError("an accuracy must be a fraction such as 0.842 or a percentage such as 84.2, but got "
                     f"{shown(text)}: correct it")


def read_truth(path: Path) -> Truth:
    """Return the true classes of a file with a column of classes and, unless rows are counted, one of ids.

    Raises:
        GruBenchError: The file cannot be read, or names a text twice.
    """
    ids, labels = _read(path, PredictionColumns(is_truth=True))
    classes = tuple(sorted(set(labels), key=lambda name: (as_number(name) is None, as_number(name) or 0, name)))
    where = path.name
    if ids is None:
        ids = [str(number) for number in range(1, len(labels) + 1)]
        where = f"{path.name} (without ids: its rows are counted from 1)"
    _refuse_repeats(path, ids)
    return Truth(where, tuple(ids), np.array([classes.index(label) for label in labels]), classes)


def read_predictions(path: Path, truth: Truth) -> tuple[NDArray[np.int64], str]:
    """Return the class that a file predicts for each test text, and a note on how they were joined.

    Raises:
        GruBenchError: The file cannot be read, or does not hold one class for each text.
    """
    ids, labels = _read(path, PredictionColumns())
    size, note = len(truth.id_N), ""
    if ids is None:
        if len(labels) != size:
            raise DataError(f"{path.name} must have the ids of {truth.where}, or one row for each of its {size:,} "
                            f"texts, but it has {len(labels):,} rows: correct it")
        note = "joined by the order of the rows"
    else:
        _refuse_repeats(path, ids)
        given = set(ids)
        known = [[id_of(one) for one in some] for some in (truth.id_N, truth.name_N)]
        wanted = max(known, key=lambda some: len(given.intersection(some)))
        others = given - set(wanted)
        if missing := set(wanted) - given:
            found = f", and has other ids, such as {shown(min(others))}" if others else ""
            raise DataError(f"{path.name} must have each of the {size:,} texts of {truth.where}, but lacks "
                            f"{len(missing):,}, such as {shown(min(missing))}{found}: write the id and the class of "
                            "each text that was handed out")
        if others:
            note = f"rows of other texts: {len(others):,}"
        label_of = dict(zip(ids, labels, strict=True))
        labels = [label_of[one] for one in wanted]
    position = {label: truth.position(label) for label in set(labels)}
    if wrong := sorted(label for label, place in position.items() if place is None):
        raise DataError(f"{path.name} must predict the classes {listed(truth.classes)}, or their numbers from 0, but "
                        f"has {listed(wrong)}: correct it")
    return np.array([position[label] for label in labels], dtype=np.int64), note


def _read(path: Path, columns: PredictionColumns) -> tuple[list[str] | None, list[str]]:
    """Return the ids and the classes of a file. None: it has no ids."""
    what, roles = ("true classes", ["label"]) if columns.is_truth else ("predictions", ["prediction", "label"])
    path = named_path(str(path), f"a file of {what}")
    if path.is_file() and not path.name.lower().removesuffix(".gz").endswith(TABLES):
        raise UsageError(f"a file of {what} must be CSV, TSV, JSON Lines or Parquet, but got {shown(path.name)}: "
                         "convert it")
    check_files([DataFile(path)], path)
    with open_table(path) as table:
        found = columns.found_in(table.names, path).found
        role = next((one for one in roles if one in found), None)
        if role is None:
            raise UsageError(f"{path.name} must have a column of classes, such as {' or '.join(roles)}, but no column "
                             "has a usual name of one: rename it")
        classes, *ids = table.columns([found[role], *([found["id"]] if "id" in found else [])])
    labels = list(map(class_of, classes))
    if "" in labels:
        raise DataError(f"{path.name} must have a class in each row, but row {labels.index('') + 1:,} has none: "
                        "add it")
    return list(map(id_of, ids[0])) if ids else None, labels


def _refuse_repeats(path: Path, ids: Sequence[str]) -> None:
    if len(set(ids)) < len(ids):
        twice, _ = Counter(ids).most_common(1)[0]
        raise DataError(f"{path.name} must have each id once, but has {shown(twice)} several times: remove the others")


def write_texts(path: Path, texts: Mapping[str, str], ids: Sequence[str]) -> None:
    """Write test texts with their ids, without classes, for those who are to classify them.

    Raises:
        UsageError: The file exists, or does not end in .csv.
    """
    if path.suffix.lower() != ".csv" or path.exists() or not path.parent.is_dir():
        raise UsageError(f"--hand-out must be a new file that ends in .csv, in a folder that exists, but got "
                         f"{shown(str(path))}: name another")
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["id", "text"])
        table.writerows([one, texts[one]] for one in ids)
