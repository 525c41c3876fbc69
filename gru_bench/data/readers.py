"""Readers of files with labeled reviews: CSV, TSV, JSON Lines, Parquet, text files, and gzipped pickles of token lists.

This module only reads; `corpus` does the cleaning, the tokens and the splits. Every value is checked here, so that each
row has a text, a class and, if a split column is given, a known split. `labels` says which classes there are. Half a
character (a lone surrogate, such as half an emoji) becomes U+FFFD here, because UTF-8 cannot store it.

Rows are read one by one, and the files of a data set take no more memory than `limits` allows.

Shapes: `N` rows of the file.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any, BinaryIO

from gru_bench.config import MOST_CLASS_NAME, path_name
from gru_bench.data.columns import Columns
from gru_bench.data.labels import NEGATIVE_POSITIVE, LabelArray, Labels, spelled
from gru_bench.data.limits import ROW_COST, Budget, in_memory
from gru_bench.data.pickles import unpickled
from gru_bench.errors import DataError, UsageError, shown

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
PICKLES = (".pkl", ".pickle", ".tar.gz", ".pkl.gz", ".pickle.gz")
KINDS = "CSV (.csv), TSV (.tsv), JSON Lines (.jsonl), Parquet (.parquet) or a pickle (.pkl.gz, .tar.gz)"
_SHOWN = 5
"""Largest number of rows or values that an error message lists."""
_KEYS = 1_000
"""Largest number of columns of which an error message keeps an example."""
_BATCH = 512
"""Number of rows of a Parquet file that are read at once."""
_PARQUET_LIST = 10_000
"""Largest number of columns, or of row groups, of a Parquet file. Arrow overflows the stack on some 13,000 nested
columns.
"""
_REMEDIES = {
    (".xlsx", ".xls", ".xlsm", ".ods", ".numbers"): "open it and save it as CSV (UTF-8)",
    (".json",): "write one object on each line, and name it .jsonl",
    (".zip", ".tar", ".7z", ".rar", ".bz2", ".xz", ".zst"): "unpack it, and name the file inside",
}
"""Endings of other kinds of files -> what to do with such a file."""
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")

PARTS = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test",
}
"""Name of a split, in lower case -> ours."""


@dataclass(frozen=True)
class DataFile:
    """A file of a data set."""

    path: Path
    split: str | None = None
    """train, validation or test, for all rows of the file. None: a column says it, or nothing does."""
    label: str | None = None
    """The class of a text file, which is one review. None for files of any other kind."""
    names: tuple[str, ...] | None = None
    """Names of the classes 0, 1 and so on, where the file has none and we know them."""


@dataclass(frozen=True)
class Rows:
    """The rows of a data set, in the order of its files."""

    text_N: list[str]
    """Texts as in the file. The text of a pickled review is its tokens joined by spaces."""
    label_N: LabelArray
    """Position of each row's class in `classes`."""
    classes: tuple[str, ...]
    """Names of the classes, in their order."""
    category_N: list[str]
    """Categories. Empty strings where the file has none."""
    split_N: list[str] | None = None
    """train, validation or test for each row. None where the data have no splits."""
    tokens_N: list[list[str]] | None = None
    """Tokens of each review. None where the data hold texts."""
    plain: bool = True
    """Whether the data hold 0 and 1, in this order. Then the names are no part of the fingerprint."""
    notes: tuple[str, ...] = ()
    """What the user should know about how the files were read, a sentence each."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.text_N)


def read_files(files: Sequence[DataFile], columns: Columns, where: Path, encoding: str = "utf-8") -> Rows:
    """Return all rows of several files as one table. The ending of a file's name shows its kind.

    Args:
        files: The files, in the order of the rows.
        columns: The columns to read of each file.
        where: What names the files together in error messages.
        encoding: Encoding of the text files.

    Raises:
        UsageError: for a file that does not exist, an unsupported kind of file, or an unknown column.
        DataError: for a file that is empty, damaged or in another encoding, for a row without a text or a label, and
            for labels that look like anything but classes.
    """
    for file in files:
        if not file.path.exists():
            raise UsageError(f"the data must be a file, but {file.path} does not exist: check the path")
        if not file.path.is_file():
            raise UsageError(f"the data must be a file, but {file.path} is a folder: name a file in it")
        if file.label is None:
            kind_of(file.path)
    budget = Budget(where, sum(file.path.stat().st_size for file in files))
    table = _Table()
    for file in files:
        budget.file = file.path
        before = len(table.texts)
        with reading(file.path, encoding):
            _read(file, columns, encoding, budget, table)
        if file.split is not None:
            table.parts += [file.split] * (len(table.texts) - before)
    # numpy gives each category as many bytes as the longest one.
    budget.spend(4 * len(table.texts) * max(map(len, table.categories), default=0))
    found = (table.labels.classes(f"the folders of {where}", "have a folder for each class")
             if files[0].label is not None else
             table.labels.classes(f"column {shown(table.columns.label)} of {where}",
                                  "name the column of the classes by --label-column"))
    pickled = bool(table.tokens)
    return Rows(
        text_N=table.texts, label_N=found.label_N, classes=found.names, category_N=table.categories,
        split_N=table.parts or None, tokens_N=table.tokens or None, plain=found.plain or pickled,
        notes=tuple(table.notes))


@dataclass
class _Table:
    """The rows that have been read so far."""

    texts: list[str] = field(default_factory=list)
    labels: Labels = field(default_factory=Labels)
    categories: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    tokens: list[list[str]] = field(default_factory=list)
    columns: Columns = field(default_factory=Columns)
    """The columns that are read of the latest file."""
    notes: dict[str, None] = field(default_factory=dict)

    def read_columns(self, wanted: Columns, known: Sequence[str]) -> Columns:
        """Return the columns to read of a file with the `known` ones, and note where usual names stand in."""
        self.columns = wanted.found_in(known)
        if note := wanted.note(self.columns):
            self.notes[note] = None
        return self.columns


def _read(file: DataFile, columns: Columns, encoding: str, budget: Budget, table: _Table) -> None:
    """Add the rows of a file to the table."""
    path = file.path
    if path.stat().st_size == 0:
        raise DataError(f"{path} must hold reviews, but it is empty (0 bytes): write or copy it again")
    if file.names is not None:
        table.labels.call(file.names, path.name)
    if file.label is None and kind_of(path) == "pickle":
        _pickled(path, budget, table)
    elif file.label is None and kind_of(path) == ".parquet":
        _add(path, columns, _parquet(path, columns, budget, table), table)
    else:
        # The mark at the beginning of some UTF-8 files is left out.
        known = "utf-8-sig" if encoding == "utf-8" else encoding
        with opened(path) as binary, io.TextIOWrapper(binary, encoding=known, newline="") as text:
            _refuse_zip(path, binary)
            if file.label is not None:
                _text_file(path, text, file.label, budget, table)
                return
            lines = _Lines(path, text, budget)
            if kind_of(path) in (".csv", ".tsv"):
                rows = _separated(path, lines, "," if kind_of(path) == ".csv" else "\t", columns, table)
            else:
                rows = _json_lines(path, lines, columns, table)
            _add(path, columns, rows, table)


def kind_of(path: Path) -> str:
    """Return the kind of a file: its ending in `TABLES`, without .gz, or `pickle`.

    Raises:
        UsageError: for the ending of an unsupported kind of file.
    """
    name = path.name.lower()
    if name.endswith(PICKLES):
        return "pickle"
    for ending in TABLES:
        if name.endswith((ending, f"{ending}.gz")) and not name.endswith(".parquet.gz"):
            return ending
    remedy = next((remedy for endings, remedy in _REMEDIES.items() if name.endswith(endings)),
                  "convert it, or rename it if it already is one of these")
    raise UsageError(f"a data file must be {KINDS}, but got {shown(path.name)}: {remedy}")


# ---------------------------------------------------------------- files


def named_path(name: str, what: str) -> Path:
    """Return the path of a file, with `~` replaced by the home folder.

    Args:
        name: Path as it was typed.
        what: What the file holds, for error messages, such as `the data`.

    Raises:
        UsageError: for a web address, and for a name that no file can have.
    """
    if _ADDRESS.match(name):
        raise UsageError(f"{what} must be a file on this machine, but {shown(name)} is an address: download it first, "
                         "and name the file")
    try:
        name.encode()
        path = Path(path_name(name)).expanduser()
    except UnicodeEncodeError as error:
        raise UsageError(f"{what} must be a path that can be written as UTF-8, but got {shown(name)}: rename the "
                         "file") from error
    except ValueError as error:
        raise UsageError(f"{what} {error}, but got {shown(name)}: check the path") from error
    try:
        path.exists()
    except OSError as error:  # such as a folder that may not be entered
        raise UsageError(f"{what} must be a path that can be read, but {shown(name)} is not "
                         f"({shown(error.strerror or str(error), '')}): check the path") from error
    return path


def opened(path: Path) -> BinaryIO:
    """Open a file for reading bytes. Gzipped content is unpacked, whatever the name of the file."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return io.BufferedReader(gzip.open(path, "rb")) if zipped else path.open("rb")


def digest(path: Path) -> str:
    """Return the SHA-256 of the content of a file.

    Raises:
        DataError: where the file cannot be read.
    """
    with reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def reading(path: Path, encoding: str = "utf-8") -> Iterator[None]:
    """Replace errors of the standard library about a damaged or huge file by one message.

    Args:
        path: The file.
        encoding: Encoding in which the file is read, for the message.

    Raises:
        DataError: instead of an error within the context about gzip, the encoding, memory or reading.
    """
    try:
        with in_memory(path):
            yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} must be whole gzip data, but it is cut off or damaged ({error}): "
                        "fetch or copy it again") from error
    except UnicodeError as error:
        byte = (f"byte {error.object[error.start]:#04x} is not" if isinstance(error, UnicodeDecodeError)
                else f"it is not ({shown(str(error), '')})")
        raise DataError(f"{path} must be {encoding.upper()} text, but {byte}: save it as UTF-8, or name its encoding, "
                        "such as --encoding cp1252") from error
    except OSError as error:
        raise DataError(f"{path} must be readable, but: {shown(error.strerror or str(error), '', 200)}") from error


def _refuse_zip(path: Path, binary: BinaryIO) -> None:
    if isinstance(binary, io.BufferedReader) and binary.peek(4)[:4] == b"PK\x03\x04":
        raise DataError(f"{path} must be text, but it is a ZIP archive, as spreadsheet files (.xlsx) are: open it and "
                        "save it as CSV (UTF-8)")


def _whole(text: str) -> str:
    """Return a text that UTF-8 can store: halves of characters become U+FFFD."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


# ---------------------------------------------------------------- tables


_Row = tuple[Any, Any, Any, Any]
"""Text, label, category and split as in the file. None for a column that is not read."""


class _Lines:
    """The lines of a text file. The lines of one row together must not exceed the limit of a row."""

    def __init__(self, path: Path, text: IO[str], budget: Budget) -> None:
        self.path = path
        self._read = text.readline
        self._budget = budget
        self._number = self._row_begins = 1
        self._left = budget.row

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._read(self._left + 1)
        if not line:
            raise StopIteration
        self._left -= len(line)
        if self._left < 0:
            raise self._budget.row_too_long(f"the one that begins at line {self._row_begins}")
        self._budget.spend(ROW_COST + len(line))
        self._number += 1
        return line

    def end_row(self) -> None:
        """Mark the end of a row: the next line begins a new one."""
        self._left = self._budget.row
        self._row_begins = self._number


def _separated(path: Path, lines: _Lines, separator: str, columns: Columns, table: _Table) -> Iterator[_Row]:
    csv.field_size_limit(sys.maxsize if sys.maxsize <= 2**31 - 1 else 2**31 - 1)  # `lines` has its own limit
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        header = next(reader, None)
        if not header:
            raise DataError(f"{path} must begin with a line of column names, but its first line is empty")
        _refuse_other_separator(path, header, separator, columns)
        columns.require_header(header, path, separator)
        lines.end_row()
        places = table.read_columns(columns, header).places(header, path, lambda: next(reader, []))
        width = len(header)
        for row in reader:
            lines.end_row()
            if len(row) != width:
                if not row:
                    continue
                held = "tabs" if separator == "\t" else "commas"
                raise DataError(f"{path} must have {width} values in each row, as in its header, but the row that "
                                f"ends at line {reader.line_num} has {len(row)}: quote texts that hold {held} or "
                                "line breaks")
            text, label, category, split = (None if place is None else row[place] for place in places)
            yield text, label, category, split
    except csv.Error as error:
        raise DataError(f"{path} must be well-formed, but the row that ends at line {reader.line_num} is not "
                        f"({error}): close each quote, and double those inside a quoted text") from error


def _refuse_other_separator(path: Path, header: list[str], separator: str, columns: Columns) -> None:
    """Raise DataError if the header uses another separator than this kind of file."""
    if columns.text in header or len(header) > 1:
        return
    other = max(";\t|,", key=header[0].count)
    if other == separator or other not in header[0]:
        return
    kind = "TSV" if separator == "\t" else "CSV"
    remedy = {"\t": "rename it to .tsv", ",": "rename it to .csv"}.get(other, "save it again with commas")
    raise DataError(f"the columns of a {kind} file must be separated by {'tabs' if kind == 'TSV' else 'commas'}, but "
                    f"{path} looks separated by {other!r} (its first line is {shown(header[0])}): {remedy}")


def _json_lines(path: Path, lines: _Lines, columns: Columns, table: _Table) -> Iterator[_Row]:
    names: list[str | None] = []
    lacking: set[str] = set()
    known: dict[str, str] = {}
    """Each key that is seen while a column is lacking, with its first value."""
    for number, line in enumerate(lines, start=1):
        lines.end_row()
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path} must hold one JSON object a line, but line {number} is not JSON: {error}"
                            ) from error
        if not isinstance(row, dict):
            raise DataError(f"{path} must hold one JSON object a line, but line {number} is "
                            f"{type(row).__name__}")
        if not names:
            names = [name for _, name in table.read_columns(columns, list(row)).roles()]
            lacking = {name for name in names if name is not None}
        if lacking:
            lacking -= row.keys()
            for name in islice(row, _KEYS - len(known)):
                known.setdefault(name, shown(row[name], "", 40))
        text, label, category, split = (None if name is None else row.get(name) for name in names)
        yield text, label, category, split
    if not names:
        raise DataError(f"{path} must hold reviews, but it has only empty lines")
    found = {name for name in names if name is not None} - lacking
    table.columns.places([*known, *(found - known.keys())], path, known.values)


def _parquet(path: Path, columns: Columns, budget: Budget, table: _Table) -> Iterator[_Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, thrift_container_size_limit=_PARQUET_LIST) as file:
            schema = file.schema_arrow
        found = table.read_columns(columns, schema.names)
        places = found.places(schema.names, path, lambda: _first_row(path, schema, budget))
        if names := _class_names(schema.metadata, found.label):
            table.labels.call(names, path.name)
        wanted = [schema.names[place] for place in places if place is not None]
        for name in wanted:
            kind = schema.field(name).type
            if pa.types.is_nested(kind):
                raise DataError(f"column {shown(name)} of {path} must hold single values, but it holds "
                                f"{shown(str(kind), '')}: name another column")
        # In a dictionary column, a text that a million rows share takes memory only once.
        with pq.ParquetFile(path, read_dictionary=wanted, thrift_container_size_limit=_PARQUET_LIST) as file:
            _spare(file.metadata, set(wanted), budget)
            read = 0
            for batch in file.iter_batches(batch_size=_BATCH, columns=wanted):
                rows = f"rows {read + 1} to {read + len(batch)}"
                read += len(batch)
                budget.spend(ROW_COST * len(batch))
                nothing = [None] * len(batch)
                yield from zip(*(
                    nothing if place is None else _values(path, batch.column(schema.names[place]), rows, budget)
                    for place in places), strict=True)
    except (DataError, UsageError, MemoryError, UnicodeDecodeError):
        raise
    except Exception as error:
        # A damaged file makes Arrow raise errors of nearly any kind, from OSError to KeyError.
        if "Exceeded size limit" in str(error):
            raise DataError(f"{path} must have at most {_PARQUET_LIST:,} columns and as many groups of rows, but it "
                            "has more: write it with fewer columns or larger groups") from error
        words = shown((str(error).splitlines() or [""])[0], '', 200)
        raise DataError(f"{path} must be a Parquet file, but it is cut off or damaged ({words}): "
                        "write or copy it again") from error


def _first_row(path: Path, schema: Any, budget: Budget) -> list[object]:
    """Return the first value of each column of a Parquet file, and the type of a column that holds more than values."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    single = [name for name in schema.names if not pa.types.is_nested(schema.field(name).type)][:_KEYS]
    values: dict[str, object] = {}
    with pq.ParquetFile(path, thrift_container_size_limit=_PARQUET_LIST) as file:
        _spare(file.metadata, set(single), budget)
        for batch in islice(file.iter_batches(batch_size=1, columns=single), 1):
            values = {name: _values(path, batch.column(name), "row 1", budget)[0] for name in single}
    return [values.get(name, str(schema.field(name).type)) for name in schema.names]


def _class_names(metadata: Any, column: str) -> tuple[str, ...]:
    """Return the names of the classes that Hugging Face `datasets` writes into a Parquet file; none where it has none.

    Args:
        metadata: Metadata of the file's schema.
        column: The column of the labels.
    """
    try:
        content: Any = json.loads((metadata or {})[b"huggingface"])
        names = tuple(content["info"]["features"][column]["names"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()
    clean = [spelled(name) if isinstance(name, str) else "" for name in names]
    usual = len(names) > 1 and all(clean) and len(set(clean)) == len(clean) and max(map(len, clean)) <= MOST_CLASS_NAME
    return tuple(map(_whole, clean)) if usual else ()


def _spare(metadata: Any, wanted: set[str], budget: Budget) -> None:
    """Raise DataError for a Parquet file that is too large by its metadata, before any row is read."""
    size = ROW_COST * metadata.num_rows
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        chunks = map(group.column, range(group.num_columns))
        size += sum(max(chunk.total_uncompressed_size, 0) for chunk in chunks if chunk.path_in_schema in wanted)
    if size > budget.left:
        budget.spend(size)


def _values(path: Path, column: Any, rows: str, budget: Budget) -> list[Any]:
    """Return the values of an Arrow array as Python objects. `rows` says which rows they are, for error messages."""
    import pyarrow as pa
    import pyarrow.compute as pc

    indices = None
    if pa.types.is_dictionary(column.type):
        column, indices = column.dictionary, column.indices
    if any(test(column.type) for test in (
            pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)):
        # The size of the texts is counted before they are copied.
        sizes = pc.binary_length(column) if indices is None else pc.take(pc.binary_length(column), indices)
        if (pc.max(sizes).as_py() or 0) > budget.row:
            raise budget.row_too_long(f"one of {rows}")
        budget.spend(pc.sum(sizes).as_py() or 0)
    try:
        values: list[Any] = (column if indices is None else column.take(indices)).to_pylist()
        return values
    except (MemoryError, UnicodeDecodeError):
        raise
    except Exception as error:
        # Dates and times out of the range of Python raise errors of many kinds.
        raise DataError(f"{path} must hold values that Python can express, but one of {rows} holds a {column.type} "
                        f"value that it cannot ({shown(str(error), '')}): remove or replace it") from error


@dataclass
class _Wrong:
    """The rows that break a rule: their number, and the first of them."""

    count: int = 0
    first: list[int] = field(default_factory=list)
    values: dict[str, None] = field(default_factory=dict)

    def add(self, row: int, value: object = None) -> None:
        self.count += 1
        if len(self.first) < _SHOWN:
            self.first.append(row)
        if len(self.values) <= _SHOWN:
            self.values[shown(value)] = None

    def rows(self) -> str:
        """Return `row 3` or `2 rows (3, 7)`. Rows are counted from 1, without the header."""
        if self.count == 1:
            return f"row {self.first[0]}"
        return f"{self.count} rows ({', '.join(map(str, self.first))}{', ...' if self.count > _SHOWN else ''})"

    def hold(self) -> str:
        values = list(self.values)
        return (f"{self.rows()} hold{'s' if self.count == 1 else ''} {', '.join(values[:_SHOWN])}"
                f"{', ...' if len(values) > _SHOWN else ''}")


def _add(path: Path, columns: Columns, rows: Iterable[_Row], table: _Table) -> None:
    """Check the rows of a file, and add them to the table."""
    missing, other, wrong_label, wrong_part = _Wrong(), _Wrong(), _Wrong(), _Wrong()
    number = 0
    for number, (text, label, category, part) in enumerate(rows, start=1):
        if text is None or (isinstance(text, str) and (not text or text.isspace())):
            missing.add(number)
        elif isinstance(text, str):
            table.texts.append(_whole(text))
        else:
            other.add(number, text)
        if not table.labels.add(_whole(label) if isinstance(label, str) else label):
            wrong_label.add(number, label)
        table.categories.append("" if category is None else _category(category))
        if columns.split is not None:
            known_part = PARTS.get(str(part).strip().lower()) if isinstance(part, str) else None
            if known_part is None:
                wrong_part.add(number, part)
            else:
                table.parts.append(known_part)
    found = table.columns
    if missing.count:
        raise DataError(f"each row of {path} must have a text in column {shown(found.text)}, but it is missing "
                        f"in {missing.rows()}: remove these rows")
    if other.count:
        raise DataError(f"column {shown(found.text)} of {path} must hold texts, but row {other.first[0]} holds "
                        f"{next(iter(other.values))}: name the column of the texts by --text-column")
    if not number:
        raise DataError(f"{path} must hold reviews, but it has no rows below its column names")
    if wrong_label.count:
        raise DataError(f"labels in column {shown(found.label)} of {path} must be words, numbers, true or false, but "
                        f"{wrong_label.hold()}: fill them in, or remove these rows")
    if wrong_part.count:
        raise DataError(f"column {shown(columns.split)} of {path} must hold train, validation or test, but "
                        f"{wrong_part.hold()}: replace it by one of these")


def _category(value: object) -> str:
    return _whole(str(value).replace("\0", ""))


# ---------------------------------------------------------------- text files


def _text_file(path: Path, text: IO[str], label: str, budget: Budget, table: _Table) -> None:
    """Add a file that holds one review."""
    content = text.read(budget.row + 1)
    if len(content) > budget.row:
        raise budget.row_too_long("it")
    budget.spend(ROW_COST + len(content))
    if not content.strip():
        raise DataError(f"each text file must hold a review, but {path} holds white space only: remove it")
    table.texts.append(_whole(content))
    table.labels.add(_whole(label))
    table.categories.append("")


# ---------------------------------------------------------------- pickles


def _content(path: Path, budget: Budget) -> bytes:
    """Return all bytes of a file, unpacked."""
    content = io.BytesIO()
    with opened(path) as file:
        while block := file.read(1 << 20):
            budget.spend(len(block))
            content.write(block)
    return content.getvalue()


def _pickled(path: Path, budget: Budget, table: _Table) -> None:
    """Add the reviews of a pickle: `[positive, negative, vocabulary]`.

    The first two map a category to its reviews, as tokens.
    """
    with opened(path) as file:
        head = file.read(512)
        if head[257:262] == b"ustar":
            raise DataError(f"{path} must be a gzipped pickle, but it is a tar archive: unpack it, and name "
                            "the file inside")
    encoded = _content(path, budget)
    try:
        content = unpickled(encoded, budget)
    except DataError as error:
        raise error if str(path) in str(error) else DataError(f"{path}: {error}") from None
    except (EOFError, MemoryError):
        raise
    except Exception as error:
        # A damaged pickle makes the unpickler raise errors of nearly any kind, from IndexError to AttributeError.
        raise DataError(f"{path} must be a pickle of reviews, but it cannot be read as one "
                        f"({type(error).__name__}: {shown(str(error), '', 200)}): fetch or copy it again") from error
    del encoded
    if not isinstance(content, list | tuple) or len(content) != 3:
        size = f" of {len(content)}" if isinstance(content, list | tuple) else ""
        raise _wrong_structure(path, f"it holds one {type(content).__name__}{size}")
    before = len(table.texts)
    table.labels.call(NEGATIVE_POSITIVE, path.name)
    for name, half in (("positive", content[0]), ("negative", content[1])):
        if not isinstance(half, dict):
            raise _wrong_structure(path, f"its {name} half is a {type(half).__name__}")
        for category, reviews in half.items():
            if not isinstance(category, str) or not isinstance(reviews, list | tuple):
                raise _wrong_structure(path, f"{name} category {shown(category)} maps to a {type(reviews).__name__}")
            for number, review in enumerate(reviews, start=1):
                where = f"review {number} of {name} category {shown(category)}"
                if not isinstance(review, list | tuple):
                    raise _wrong_structure(path, f"{where} is not a list of texts")
                # A pickle can repeat a review at no cost, so the size is counted before the review is copied.
                budget.spend(ROW_COST + 8 * len(review))
                if not all(type(token) is str for token in review):
                    raise _wrong_structure(path, f"{where} is not a list of texts")
                length = len(review) + sum(map(len, review))
                if length > budget.row:
                    raise budget.row_too_long(where)
                budget.spend(length)
                text = " ".join(review)
                whole = _whole(text)
                table.texts.append(whole)
                table.tokens.append(list(review) if whole == text else [_whole(token) for token in review])
                table.labels.add(name)
            table.categories += [_category(category)] * len(reviews)
    if len(table.texts) == before:
        raise DataError(f"{path} must hold reviews, but both of its halves are empty")


def _wrong_structure(path: Path, found: str) -> DataError:
    return DataError(f"{path} must hold [positive, negative, vocabulary], the first two mapping a category "
                     f"to a list of reviews, each a list of tokens, but {found}")
