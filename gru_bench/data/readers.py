"""Readers of files with labelled reviews: CSV, TSV, JSON Lines, Parquet, and gzipped pickles of token lists.

This module only reads; `corpus` does the cleaning, the tokens and the splits. Every value is checked here, so that each
row has a text, a label 0 or 1 and, if a split column is given, a known split. Half a character (a lone surrogate, such
as half an emoji) becomes U+FFFD here, because UTF-8 cannot store it.

Rows are read one by one, and no file takes more memory than `limits` allows.

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
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import path_name
from gru_bench.data.limits import ROW_COST, Budget, in_memory
from gru_bench.data.pickles import unpickled
from gru_bench.errors import DataError, UsageError, shown, unknown

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
PICKLES = (".pkl", ".pickle", ".tar.gz", ".pkl.gz", ".pickle.gz")
KINDS = "CSV (.csv), TSV (.tsv), JSON Lines (.jsonl), Parquet (.parquet) or a pickle (.pkl.gz, .tar.gz)"
_SHOWN = 5
"""Largest number of rows or values that an error message lists."""
_SHOWN_NAMES = 40
"""Largest number of columns that an error message lists."""
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

_LABELS: Mapping[object, int] = {
    0: 0, 1: 1, "0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1,
}
_PARTS = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test",
}


@dataclass(frozen=True)
class Columns:
    """Names of the columns to read. A pickle has no columns and ignores them."""

    text: str = "text"
    label: str = "label"
    category: str | None = None
    split: str | None = None


@dataclass(frozen=True)
class Rows:
    """The rows of a file, in its order."""

    text_N: list[str]
    """Texts as in the file. The text of a pickled review is its tokens joined by spaces."""
    label_N: NDArray[np.int8]
    category_N: list[str]
    """Categories. Empty strings where the file has none."""
    split_N: list[str] | None = None
    """train, validation or test for each row. None where the file has no splits."""
    tokens_N: list[list[str]] | None = None
    """Tokens of each review. None where the file holds texts."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.text_N)


def read_rows(path: Path, columns: Columns) -> Rows:
    """Return all rows of a file. The ending of its name shows its kind.

    Raises:
        UsageError: for a file that does not exist, an unsupported kind of file, or an unknown column.
        DataError: for a file that is empty, damaged or not UTF-8, and for a row without a text or a label 0 or 1.
    """
    if not path.exists():
        raise UsageError(f"the data must be a file, but {path} does not exist: check the path")
    if not path.is_file():
        raise UsageError(f"the data must be a file, but {path} is a folder: name a file in it")
    kind = kind_of(path)
    with reading(path):
        budget = Budget(path)
        if path.stat().st_size == 0:
            raise DataError(f"{path} must hold reviews, but it is empty (0 bytes): write or copy it again")
        if kind == "pickle":
            return _pickled(path, budget)
        if kind == ".parquet":
            return _checked(path, columns, _parquet(path, columns, budget), budget)
        with opened(path) as binary, io.TextIOWrapper(binary, encoding="utf-8-sig", newline="") as text:
            _refuse_zip(path, binary)
            lines = _Lines(path, text, budget)
            if kind in (".csv", ".tsv"):
                rows = _separated(path, lines, "," if kind == ".csv" else "\t", columns)
            else:
                rows = _json_lines(path, lines, columns)
            return _checked(path, columns, rows, budget)


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
def reading(path: Path) -> Iterator[None]:
    """Replace errors of the standard library about a damaged or huge file by one message.

    Raises:
        DataError: instead of an error within the context about gzip, UTF-8, memory or reading.
    """
    try:
        with in_memory(path):
            yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} must be whole gzip data, but it is cut off or damaged ({error}): "
                        "fetch or copy it again") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} must be UTF-8 text, but byte {error.object[error.start]:#04x} is not: "
                        "save it as UTF-8") from error
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


def _roles(columns: Columns) -> list[tuple[str, str | None]]:
    return [("text", columns.text), ("label", columns.label), ("category", columns.category), ("split", columns.split)]


def _places(columns: Columns, known: Sequence[str], path: Path) -> list[int | None]:
    """Return the positions of the four columns among the `known` ones. None for a column that is not read."""
    places: list[int | None] = []
    for role, name in _roles(columns):
        if name is not None and name not in known:
            listed = [shown(other, '') for other in known[:1000]]
            near = get_close_matches(name, listed, n=1)
            more = len(known) - _SHOWN_NAMES
            raise unknown(f"{role} column", name, {*listed[:_SHOWN_NAMES], *near},
                          f"{path.name} has {f'{more:,} more' if more > 0 else 'no other'}: name it by "
                          f"--{role}-column.")
        if name is not None and known.count(name) > 1:
            raise DataError(f"{path} must have one column {shown(name)}, but it has {known.count(name)} of that name: "
                            "rename the others")
        places.append(None if name is None else known.index(name))
    return places


def _separated(path: Path, lines: _Lines, separator: str, columns: Columns) -> Iterator[_Row]:
    csv.field_size_limit(sys.maxsize if sys.maxsize <= 2**31 - 1 else 2**31 - 1)  # `lines` has its own limit
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        header = next(reader, None)
        if not header:
            raise DataError(f"{path} must begin with a line of column names, but its first line is empty")
        _refuse_other_separator(path, header, separator, columns)
        places = _places(columns, header, path)
        width = len(header)
        lines.end_row()
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


def _json_lines(path: Path, lines: _Lines, columns: Columns) -> Iterator[_Row]:
    names = [name for _, name in _roles(columns)]
    lacking = {name for name in names if name is not None}
    known: dict[str, None] = {}
    empty = True
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
        empty = False
        if lacking:
            lacking -= row.keys()
            known |= dict.fromkeys(name for name, _ in zip(row, range(1000 - len(known)), strict=False))
        text, label, category, split = (None if name is None else row.get(name) for name in names)
        yield text, label, category, split
    if empty:
        raise DataError(f"{path} must hold reviews, but it has only empty lines")
    _places(columns, [*known, *({name for name in names if name is not None} - lacking - known.keys())], path)


def _parquet(path: Path, columns: Columns, budget: Budget) -> Iterator[_Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, thrift_container_size_limit=_PARQUET_LIST) as file:
            schema = file.schema_arrow
        places = _places(columns, schema.names, path)
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


def _checked(path: Path, columns: Columns, rows: Iterable[_Row], budget: Budget) -> Rows:
    texts: list[str] = []
    labels = array("b")
    categories: list[str] = []
    parts: list[str] = []
    missing, other, wrong_label, wrong_part = _Wrong(), _Wrong(), _Wrong(), _Wrong()
    for number, (text, label, category, part) in enumerate(rows, start=1):
        if text is None or (isinstance(text, str) and (not text or text.isspace())):
            missing.add(number)
        elif isinstance(text, str):
            texts.append(_whole(text))
        else:
            other.add(number, text)
        known = _label(label)
        if known is None:
            wrong_label.add(number, label)
        else:
            labels.append(known)
        if columns.category is not None:
            categories.append("" if category is None else _category(category))
        if columns.split is not None:
            known_part = _PARTS.get(str(part).strip().lower()) if isinstance(part, str) else None
            if known_part is None:
                wrong_part.add(number, part)
            else:
                parts.append(known_part)
    if missing.count:
        raise DataError(f"each row of {path} must have a text in column {shown(columns.text)}, but it is missing "
                        f"in {missing.rows()}: remove these rows")
    if other.count:
        raise DataError(f"column {shown(columns.text)} of {path} must hold texts, but row {other.first[0]} holds "
                        f"{next(iter(other.values))}: name the column of the texts by --text-column")
    if not texts:
        raise DataError(f"{path} must hold reviews, but it has no rows below its column names")
    if wrong_label.count:
        raise DataError(f"labels in column {shown(columns.label)} of {path} must be 0 or 1, but {wrong_label.hold()}: "
                        "replace them by 0 (negative) and 1 (positive)")
    if wrong_part.count:
        raise DataError(f"column {shown(columns.split)} of {path} must hold train, validation or test, but "
                        f"{wrong_part.hold()}: replace it by one of these")
    # numpy gives each category as many bytes as the longest one.
    budget.spend(4 * len(texts) * max(map(len, categories), default=0))
    return Rows(
        text_N=texts,
        label_N=np.frombuffer(labels, dtype=np.int8),
        category_N=[""] * len(texts) if columns.category is None else categories,
        split_N=None if columns.split is None else parts)


def _category(value: object) -> str:
    return _whole(str(value).replace("\0", ""))


def _label(value: object) -> int | None:
    if isinstance(value, str):
        return _LABELS.get(value.strip().lower())
    return _LABELS.get(value) if isinstance(value, bool | int | float) else None


# ---------------------------------------------------------------- pickles


def _content(path: Path, budget: Budget) -> bytes:
    """Return all bytes of a file, unpacked."""
    content = io.BytesIO()
    with opened(path) as file:
        while block := file.read(1 << 20):
            budget.spend(len(block))
            content.write(block)
    return content.getvalue()


def _pickled(path: Path, budget: Budget) -> Rows:
    """Read a pickle of `[positive, negative, vocabulary]`; the first two map a category to its reviews, as tokens."""
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
    texts: list[str] = []
    tokens_N: list[list[str]] = []
    category_N: list[str] = []
    label_N: list[int] = []
    for label, name, half in ((1, "positive", content[0]), (0, "negative", content[1])):
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
                texts.append(whole)
                tokens_N.append(list(review) if whole == text else [_whole(token) for token in review])
            category_N += [_category(category)] * len(reviews)
            label_N += [label] * len(reviews)
    if not tokens_N:
        raise DataError(f"{path} must hold reviews, but both of its halves are empty")
    budget.spend(4 * len(texts) * max(map(len, category_N)))
    return Rows(text_N=texts, label_N=np.array(label_N, dtype=np.int8), category_N=category_N, tokens_N=tokens_N)


def _wrong_structure(path: Path, found: str) -> DataError:
    return DataError(f"{path} must hold [positive, negative, vocabulary], the first two mapping a category "
                     f"to a list of reviews, each a list of tokens, but {found}")
