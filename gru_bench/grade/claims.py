"""The files of `gru-bench grade`: claims, and predictions and true classes as `gru-bench compare` reads them.

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

from gru_bench.data.files import opened_text, reading
from gru_bench.data.labels import classes_of, listed
from gru_bench.errors import DataError, UsageError, no_file, shown
from gru_bench.predictions.align import KnownExamples, aligned
from gru_bench.predictions.columns import PredictionColumns
from gru_bench.predictions.read import Read, read_files

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
    """The test texts, and how predictions for them are read."""

    examples: KnownExamples
    is_of_study: bool
    """Whether a study gives the classes their order, so that their numbers from 0 are predictions, too."""
    by_order: bool = False
    """Whether the rows of a file without ids are the texts in their order."""
    refusals_are_wrong: bool = False
    """Whether a prediction that is no class counts as wrong. Otherwise the file is refused."""


def read_claims(path: Path) -> list[Claim]:
    """Return the rows of a table of claims: a column of students, and accuracies, files of predictions, or both.

    Raises:
        UsageError: There is no such file.
        DataError: It lacks these columns, has no rows, or a row that cannot be one of a student.
    """
    if not path.is_file():
        raise no_file(path)
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
                raise DataError(f"{path.name} must have {len(header)} values in each row, like its first line, but "
                                f"line {line:,} has {len(row)} ({shown(separator.join(row))}): quote values that "
                                f"contain {shown(separator)}")
            claims.append(_claim(row, places, path.parent))
            if not claims[-1].student:
                raise DataError(f"{path.name} needs a student in each row, but line {line:,} has none "
                                f"({shown(separator.join(row))}): add a name")
    if not claims:
        raise DataError(f"{path.name} has no rows: add one for each student")
    student, count = Counter(claim.student for claim in claims).most_common(1)[0]
    if count > 1:
        raise DataError(f"{path.name} must have each student once, but {shown(student)} occurs {count} times: use a "
                        "different name in each row")
    return claims


def _rows(path: Path, lines: Iterable[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each line that is not blank, and its cells.

    No cell has a line break: else a quote that is not closed would hide the students of the next lines.
    """
    for number, line in enumerate(lines, start=1):
        try:
            cells = [cell.strip() for cell in next(csv.reader([line], delimiter=separator, strict=True), [])]
        except csv.Error as error:
            raise DataError(f"{path.name} must have a complete row on each line, but line {number:,} is not "
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
                     f"{shown(text)}")


def read_truth(path: Path, *, by_order: bool = False) -> KnownExamples:
    """Return the true classes of a file with a column of classes and one of ids, unless they are known by their order.

    Raises:
        GruBenchError: The file cannot be read.
    """
    read = Read()
    run, = read_files([str(path)], PredictionColumns(is_truth=True, has_groups=False), read, by_order=by_order)
    assert run.label_N is not None
    found = classes_of([read.spellings.names[place] for place in run.label_N.tolist()], (), path.name,
                       "name the column of classes 'label'")
    ids = [read.ids.names[place] for place in run.place_N.tolist()]
    return KnownExamples(path.name, ids, found.label_N.astype(np.int_), found.names)


def read_predictions(path: Path, truth: Truth) -> tuple[NDArray[np.int_], str]:
    """Return the class that a file predicts for each test text, as `gru-bench compare` reads it, and a note.

    A prediction that is no class, if it counts as wrong, is the number after the last class.

    Raises:
        GruBenchError: The file cannot be read, or does not have one class for each text.
    """
    known, read = truth.examples, Read(order=truth.examples.id_N)
    runs = read_files([str(path)], PredictionColumns(truth_is_given=True, has_groups=False), read,
                      by_order=truth.by_order)
    if len(runs) > 1 or "score" in runs[0].has:
        raise UsageError(f"{path.name} must have one run with the predicted class of each text, but it has "
                         f"{f'{len(runs)} runs' if len(runs) > 1 else 'only scores'}: write the classes of one run")
    read.notes = [] if "id" in runs[0].has else ["aligned by the order of the rows"]
    _, (model,) = aligned(read, runs, known.run(read, runs[0]), "accuracy", common=None,
                          classes=known.classes if truth.is_of_study else (),
                          refusals_are_wrong=truth.refusals_are_wrong)
    if count := sum(model.refusals.values()):
        read.notes.append(f"{count:,} predictions are not a class and count as wrong: {listed(model.refusals)}")
    class_N = np.empty(len(known.id_N), np.int_)
    class_N[np.argsort(np.array(known.id_N), kind="stable")] = model.scored.predicted_RN[0]
    return class_N, "; ".join(read.notes)


def write_texts(path: Path, texts: Mapping[str, str], ids: Sequence[str]) -> None:
    """Write test texts with their ids, without classes, for those who are to classify them.

    Raises:
        UsageError: The file exists, or does not end in .csv.
    """
    if path.suffix.lower() != ".csv" or path.exists() or not path.parent.is_dir():
        raise UsageError(f"--hand-out must be a new .csv file in an existing folder, but got {shown(str(path))}")
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["id", "text"])
        table.writerows([one, texts[one]] for one in ids)
