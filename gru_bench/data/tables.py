"""Files -> rows. `open_table` yields the rows of a table one after another, `read_files` returns all of a data set.

CSV is read by Python's strict `csv` reader, JSON Lines by `json`, Parquet by pyarrow. (The faster readers of pandas and
pyarrow fill up short rows or swallow what follows an open quote, and turn the id 7 into 7.0 and texts into dates.)

Every value is checked here, so that each row has a text, a class and, if a split column is given, a known split.
`labels` says which classes there are, and `corpus` does the cleaning, the tokens and the splits. Half a character (a
lone surrogate, such as half an emoji) becomes U+FFFD here, because UTF-8 cannot store it.

Shapes: `N` rows of all files.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO, cast

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import MOST_NAME
from gru_bench.data.columns import Columns
from gru_bench.data.files import PARTS, PICKLE, TEXT, DataFile, is_gzipped, kind_of, opened_text, reading
from gru_bench.data.labels import MISSING, classes_of, label_of
from gru_bench.data.pickles import reviews
from gru_bench.errors import DataError, GruBenchError, first_line, shown

_BATCH = 512
"""Largest number of rows of a Parquet file that are read at once."""
_BUFFER = 1 << 16
"""Bytes of a Parquet file that are read at once. Otherwise whole groups of rows are in memory."""
_FIRST_OBJECTS = 100
"""Number of JSON Lines objects whose keys are the columns of a file: an object may leave a key out."""
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars", ",": "commas"}


def storable(text: str) -> str:
    """Return a text that UTF-8 can store: halves of characters become U+FFFD."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


# ---------------------------------------------------------------- one table


@dataclass(frozen=True)
class Table:
    """An open table. Its rows can be read once."""

    path: Path
    names: list[str]
    """Names of the columns, at least one."""
    rows: Callable[[Sequence[str]], Iterator[tuple[Any, ...]]]
    """Function that yields the values of each row in the columns of these names. It raises DataError for a damaged row.
    """
    fraction: Callable[[], float | None]
    """Function that returns which fraction of the file has been read. None for gzipped files."""

    def columns(self, names: Sequence[str]) -> list[list[Any]]:
        """Return all values of the columns of these names.

        Raises:
            DataError: for a damaged row, and for a table without rows.
        """
        columns: list[list[Any]] = [[] for _ in names]
        rows = self.rows(names)
        while some := list(islice(rows, _BATCH)):
            for column, values in zip(columns, zip(*some, strict=True), strict=True):
                column.extend(values)
        if not any(columns):
            raise DataError(f"{self.path} has no rows: create or copy it again")
        return columns


@contextmanager
def open_table(path: Path, encoding: str | None = None) -> Iterator[Table]:
    """Open a CSV, TSV, JSON Lines, Parquet or text file. A text file has a row, its text, on each line.

    Args:
        path: The file. The ending of its name shows its kind.
        encoding: Encoding of a text file. None: UTF-8, and no option names another.

    Raises:
        UsageError: for the ending of an unsupported kind of file.
        DataError: for a damaged file, and for one without columns.
    """
    kind = kind_of(path)
    if kind == ".parquet":
        with reading(path), _parquet(path) as table:
            yield table
        return
    with reading(path, encoding), opened_text(path, encoding or "utf-8") as text:
        read = {TEXT: _lines, ".csv": _separated, ".tsv": _separated}.get(kind, _json_lines)
        records = read(path, text)
        names: list[str] = next(records)
        if not names:
            raise DataError(f"{path} must begin with column names or a row, but the first line is empty: create or "
                            "copy it again")

        def rows(wanted: Sequence[str]) -> Iterator[tuple[Any, ...]]:
            if read is _json_lines:
                return (tuple(map(record.get, wanted)) for record in records)
            places = list(map(names.index, wanted))
            return (tuple([record[place] for place in places]) for record in records)

        size = None if is_gzipped(path) else path.stat().st_size
        yield Table(path, names, rows, lambda: None if size is None else text.buffer.tell() / size)


def _lines(path: Path, text: TextIO) -> Iterator[Any]:
    """Yield the name of the only column of a text file, and its lines."""
    yield ["text"]
    for line in text:
        yield [line.rstrip("\r\n")]


def _separated(path: Path, text: TextIO) -> Iterator[Any]:
    """Yield the names of the columns of a CSV file, and its rows.

    What separates the columns is the usual character, or else the first other one in the line of names.
    """
    csv.field_size_limit(2**31 - 1)
    first = text.readline()
    usual = "\t" if kind_of(path) == ".tsv" else ","
    unquoted = re.sub('"[^"]*"?', "", first)
    separator = next((one for one in (usual, *_SEPARATORS) if one in unquoted), usual)
    reader = csv.reader(chain([first], text), delimiter=separator, strict=True)
    count, begins = None, 1
    try:
        for row in reader:
            count = len(row) if count is None else count
            if len(row) == count:
                yield row
            elif row:
                raise DataError(f"{path} must have {count} values in each row, as in its first line, but the row that "
                                f"begins at line {begins:,} has {len(row)}: quote texts that contain "
                                f"{_SEPARATORS[separator]} or line breaks")
            begins = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path} is malformed in the row that begins at line {begins:,} ({shown(str(error), '')}): "
                        "close each quote, and double quotes inside a quoted text"
                        ) from error


def _json_lines(path: Path, text: TextIO) -> Iterator[Any]:
    """Yield the keys of the first objects of a JSON Lines file, and its objects."""
    objects = _objects(path, text)
    first = list(islice(objects, _FIRST_OBJECTS))
    yield list(dict.fromkeys(chain.from_iterable(first)))
    yield from first
    yield from objects


def _objects(path: Path, lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the objects of JSON Lines. Blank lines are skipped."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            found = "" if isinstance(row, dict) else f"a {type(row).__name__}, {shown(row)}"
        except (ValueError, RecursionError) as error:
            found = f"not JSON ({shown(str(error), '')})"
        if found:
            raise DataError(f"{path} must contain one JSON object on each line, but line {number:,} is {found}: "
                            "correct the line, or leave it out")
        yield row


@contextmanager
def _parquet(path: Path) -> Iterator[Table]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    read = 0

    def rows(wanted: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        nonlocal read
        for name in wanted:
            kind = schema.field(name).type
            if pa.types.is_nested(kind):
                raise DataError(f"column {shown(name)} of {path} must contain single values, but it contains "
                                f"{shown(str(kind), '')}: choose another column")
        for batch in file.iter_batches(_BATCH, columns=list(dict.fromkeys(wanted))):
            values = [batch.column(name).to_pylist() for name in wanted]
            read += len(batch)
            yield from zip(*values, strict=True)

    try:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER) as file:
            schema, count = file.schema_arrow, file.metadata.num_rows
            yield Table(path, schema.names, rows, lambda: read / count)
    except (GruBenchError, MemoryError):
        raise
    except Exception as error:
        # A damaged file, and a value that Python cannot express, raise errors of nearly any kind.
        raise DataError(f"{path} cannot be read as Parquet from row {read + 1:,} on ({first_line(error)}): it is "
                        "damaged, or has values that Python cannot represent; create or copy it again") from error


# ---------------------------------------------------------------- all rows of a data set


@dataclass(frozen=True)
class Rows:
    """The rows of a data set, in the order of its files."""

    text_N: list[str]
    """Texts as in the file. A pickled text is its tokens joined by spaces."""
    label_N: NDArray[np.int16]
    """Position of each row's class in `classes`."""
    classes: tuple[str, ...]
    """Names of the classes, in their order."""
    category_N: list[str]
    """Categories. Empty strings where the file has none."""
    name_N: list[str]
    """Name of each row: its value in the column of ids, or its number in its file, from 1 on. Where the splits have
    several files each, the file's name stands before the number. A text file's name is that of its row."""
    split_N: list[str] | None = None
    """train, validation or test for each row. None where the data have no splits."""
    tokens_N: list[list[str]] | None = None
    """Tokens of each text. None where the data hold texts."""
    group_N: list[str] | None = None
    """Name of each row's group; empty for a row that stands alone. None where the data have no groups."""
    group_column: str = ""
    """The column that tells the groups; empty where no column does."""
    plain: bool = True
    """Whether the data hold 0 and 1, in this order. Then the names are no part of the fingerprint."""
    text_labels: bool = False
    """Whether the labels are texts in a file whose values have types."""
    notes: tuple[str, ...] = ()
    """What the user should know about how the files were read, a sentence each."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.text_N)


@dataclass
class _Read:
    """What has been read so far."""

    values: dict[str, list[str]] = field(default_factory=lambda: {role: [] for role in _RULES})
    """Role -> value of each row. There are none of the splits where nothing tells them."""
    tokens: list[list[str]] = field(default_factory=list)
    label_column: str | None = None
    text_labels: bool = False
    """Whether a file whose values have types has texts as labels."""
    group_column: str = ""
    notes: dict[str, None] = field(default_factory=dict)


def read_files(files: Sequence[DataFile], columns: Columns, where: Path, encoding: str = "utf-8") -> Rows:
    """Return all rows of several files as one table. The ending of a file's name shows its kind.

    Args:
        files: The files, in the order of the rows. `check_files` has checked them.
        columns: The columns to read of each file.
        where: What names the files together in error messages.
        encoding: Encoding of the text files.

    Raises:
        UsageError: for an unsupported kind of file, or an unknown column.
        DataError: for a file that is damaged or in another encoding, for a row without a text or a label, and for
            labels that look like anything but classes.
    """
    read = _Read()
    values = read.values
    of_split = Counter(file.split for file in files)
    for file in files:
        before = len(values["text"])
        with reading(file.path, encoding):
            if file.label is not None:
                _add_text(file, encoding, read)
            elif kind_of(file.path) == PICKLE:
                _add_tokens(file.path, read)
            else:
                _add_table(file.path, columns, encoding, read)
        count = len(values["text"]) - before
        if len(values["id"]) == before:
            several = of_split[file.split] > 1
            values["id"] += [file.name] if file.label is not None else [
                f"{file.name}:{number}" if several else str(number) for number in range(1, count + 1)]
        for role, value in (("category", ""), ("group", ""), ("split", file.split)):
            if value is not None and len(values[role]) == before:
                values[role] += [value] * count
    if files[0].label is not None:
        what, remedy = f"the folders of {where}", "have a folder for each class"
    else:
        what = f"column {shown(read.label_column)} of {where}"
        remedy = "specify another label column"
    found = classes_of(values["label"], what, remedy)
    return Rows(
        text_N=values["text"], label_N=found.label_N, classes=found.names, category_N=values["category"],
        name_N=values["id"], split_N=values["split"] or None, tokens_N=read.tokens or None,
        group_N=values["group"] if any(values["group"]) else None, group_column=read.group_column,
        plain=found.plain or bool(read.tokens), text_labels=read.text_labels,
        notes=tuple(read.notes))


def _add_text(file: DataFile, encoding: str, read: _Read) -> None:
    with opened_text(file.path, encoding) as text:
        content = text.read()
    if not content.strip():
        raise DataError(f"each text file must contain words, but {file.path} contains only white space: remove it")
    label = _label(file.label)
    if label is None:
        raise DataError(f"each folder of texts must be named after a class, but {file.path.parent} is named "
                        f"{shown(file.label)}, which stands for a missing value: rename it")
    read.values["text"].append(storable(content))
    read.values["label"].append(label)


def _add_tokens(path: Path, read: _Read) -> None:
    before = len(read.tokens)
    for tokens, label, category in reviews(path):
        text = " ".join(tokens)
        kept = storable(text)
        read.values["text"].append(kept)
        read.tokens.append(tokens if kept == text else list(map(storable, tokens)))
        read.values["label"].append(label)
        read.values["category"].append(_category(category))
    if len(read.tokens) == before:
        raise DataError(f"{path} must contain texts, but both of its halves are empty")


def _add_table(path: Path, columns: Columns, encoding: str, read: _Read) -> None:
    with open_table(path, encoding) as table:
        found = columns.found_in(table.names, path)
        values = dict(zip(found.names, table.columns([*found.names.values()]), strict=True))
    for role, name in found.names.items():
        clean, rule, remedy = _RULES[role]
        own = values.pop(role)
        cleaned = list(map(clean, own))
        if None in cleaned:
            row = cleaned.index(None)
            raise DataError(f"column {shown(name)} of {path} must contain {rule}, but row {row + 1:,} contains "
                            f"{shown(own[row])} (wrong rows: {cleaned.count(None):,} of {len(own):,}): {remedy}")
        read.values[role] += cast(list[str], cleaned)
        if role == "label" and kind_of(path) not in (TEXT, ".csv", ".tsv"):
            read.text_labels |= any(isinstance(value, str) for value in own)
    read.label_column, read.group_column = found.label or read.label_column, found.group or read.group_column
    if (note := columns.note(found)) is not None:
        read.notes[note] = None


def _text(value: object) -> str | None:
    return storable(value) if isinstance(value, str) and value and not value.isspace() else None


def _label(value: object) -> str | None:
    return sys.intern(label_of(storable(value) if isinstance(value, str) else value)) or None


def _category(value: object) -> str:
    return "" if value is None else storable(str(value).replace("\0", ""))


def _split(value: object) -> str | None:
    return PARTS.get(str(value).strip().lower())


def _name(value: object) -> str | None:
    """Return the name of a row or of a group; empty where it is missing, and None where it is too long."""
    text = "" if value is None or value != value else storable(str(value).replace("\0", "").strip())
    return None if len(text) > MOST_NAME else "" if text in MISSING else sys.intern(text)


_RULES: Mapping[str, tuple[Callable[[object], str | None], str, str]] = {
    "text": (_text, "a text in each row", "remove such rows, or specify another text column"),
    "label": (_label, f"words, numbers, true or false ({', '.join(MISSING)} stand for missing values)",
              "fill them in, or remove such rows"),
    "category": (_category, "categories", "specify another category column"),
    "split": (_split, "train, validation or test", "replace it by one of these"),
    "id": (lambda value: _name(value) or None, f"a name of at most {MOST_NAME} characters in each row",
           "specify another id column"),
    "group": (_name, f"names of at most {MOST_NAME} characters", "specify another group column"),
}
"""Role -> function that returns a value of its column as it is kept, or None for a wrong one; what the values must be;
what to do about others."""
