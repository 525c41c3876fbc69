"""Files of labelled reviews -> rows: CSV, TSV, JSON Lines, Parquet, and gzipped pickles of token lists.

Reading only: what a row means (cleaning, tokens, splits) is `corpus`'s. Every value is checked here, so
that a row which comes out has a text, a label 0 or 1 and, where asked for, a known split.

A pickle may run any code while it is read. `Unpickler` therefore builds lists, tuples, dicts, sets,
strings and numbers, and refuses every other thing by its name before it is looked up.

Shapes: `N` rows of the file.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import pickle
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gru_bench.errors import DataError, UsageError, unknown

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
PICKLES = (".pkl", ".pickle", ".tar.gz", ".pkl.gz", ".pickle.gz")
KINDS = "CSV (.csv), TSV (.tsv), JSON Lines (.jsonl), Parquet (.parquet) or a pickle (.pkl.gz, .tar.gz)"
_SHOWN = 5
"""Rows or values an error names before it stops."""

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
    """Names of the columns to read; a pickle has none and ignores them."""

    text: str = "text"
    label: str = "label"
    category: str | None = None
    split: str | None = None


@dataclass(frozen=True)
class Rows:
    """What a file holds, in its order."""

    text_N: list[str]
    """As in the file; for a pickle, the tokens joined by spaces."""
    label_N: NDArray[np.int8]
    category_N: list[str]
    """Empty strings where the file has no categories."""
    split_N: list[str] | None = None
    """train, validation or test; None where the file does not say."""
    tokens_N: list[list[str]] | None = None
    """None where the file holds texts and not tokens."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.text_N)


def read_rows(path: Path, columns: Columns) -> Rows:
    """Read all rows of a file, whose kind its name's ending tells.

    Raises:
        UsageError: where there is no such file, kind of file or column.
        DataError: where the file is empty, damaged, not UTF-8, or a row lacks a text or a label 0 or 1.
    """
    if not path.exists():
        raise UsageError(f"the data must be a file, but {path} does not exist: check the path")
    if not path.is_file():
        raise UsageError(f"the data must be a file, but {path} is a folder: name a file in it")
    kind = kind_of(path)
    with reading(path):
        if path.stat().st_size == 0:
            raise DataError(f"{path} must hold reviews, but it is empty (0 bytes): write or copy it again")
        if kind == "pickle":
            return _pickled(path)
        if kind == ".parquet":
            return _checked(path, columns, _parquet(path, columns))
        with opened(path) as binary, io.TextIOWrapper(binary, encoding="utf-8-sig", newline="") as text:
            if kind in (".csv", ".tsv"):
                table = _separated(path, text, "," if kind == ".csv" else "\t", columns)
            else:
                table = _json_lines(path, text, columns)
        return _checked(path, columns, table)


def kind_of(path: Path) -> str:
    """Return the ending in `TABLES` that `path` has, .gz aside, or `pickle`.

    Raises:
        UsageError: for an ending that tells no kind we read.
    """
    name = path.name.lower()
    if name.endswith(PICKLES):
        return "pickle"
    for ending in TABLES:
        if name.endswith((ending, f"{ending}.gz")) and not name.endswith(".parquet.gz"):
            return ending
    raise UsageError(f"a data file must be {KINDS}, but got {path.name!r}: convert or rename it")


# ---------------------------------------------------------------- files


def opened(path: Path) -> BinaryIO:
    """Open a file for reading bytes, through gzip where its content is gzipped, whatever its name."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return io.BufferedReader(gzip.open(path, "rb")) if zipped else path.open("rb")


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's content.

    Raises:
        DataError: where it cannot be read.
    """
    with reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what a damaged file makes the standard library raise into one sentence.

    Raises:
        DataError: in place of what is raised within, where it is about gzip, UTF-8 or reading.
    """
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} must be whole gzip data, but it is cut off or damaged ({error}): "
                        "fetch or copy it again") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} must be UTF-8 text, but byte {error.object[error.start]:#04x} is not: "
                        "save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path} must be readable, but: {error.strerror or error}") from error


# ---------------------------------------------------------------- tables


@dataclass(frozen=True)
class _Table:
    """The raw values of the columns asked for, row by row."""

    text_N: Sequence[Any]
    label_N: Sequence[Any]
    category_N: Sequence[Any] | None
    split_N: Sequence[Any] | None


def _wanted(columns: Columns, known: Sequence[str], path: Path) -> list[str]:
    names = [("text", columns.text), ("label", columns.label),
             ("category", columns.category), ("split", columns.split)]
    for role, name in names:
        if name is not None and name not in known:
            option = "data.split_column with --set" if role == "split" else f"--{role}-column"
            raise unknown(f"{role} column", name, known, f"{path.name} has no other: name it by {option}.")
    return [name for _, name in names if name is not None]


def _table(columns: Columns, values: Mapping[str, Sequence[Any]]) -> _Table:
    return _Table(values[columns.text], values[columns.label],
                  None if columns.category is None else values[columns.category],
                  None if columns.split is None else values[columns.split])


def _separated(path: Path, text: IO[str], separator: str, columns: Columns) -> _Table:
    csv.field_size_limit(sys.maxsize if sys.maxsize <= 2**31 - 1 else 2**31 - 1)
    reader = csv.reader(text, delimiter=separator, strict=True)
    try:
        header = next(reader, None)
        if not header:
            raise DataError(f"{path} must begin with a line of column names, but its first line is empty")
        wanted = _wanted(columns, header, path)
        places = [header.index(name) for name in wanted]
        values: dict[str, list[str]] = {name: [] for name in wanted}
        lists = [values[name] for name in wanted]
        width = len(header)
        for row in reader:
            if len(row) != width:
                if not row:
                    continue
                held = "tabs" if separator == "\t" else "commas"
                raise DataError(f"{path} must have {width} values in each row, as in its header, but the row that "
                                f"ends at line {reader.line_num} has {len(row)}: quote texts that hold {held} or "
                                "line breaks")
            for place, column in zip(places, lists, strict=True):
                column.append(row[place])
    except csv.Error as error:
        raise DataError(f"{path} must be well-formed, but the row that ends at line {reader.line_num} is not "
                        f"({error}): close each quote, and double those inside a quoted text") from error
    return _table(columns, values)


def _json_lines(path: Path, text: IO[str], columns: Columns) -> _Table:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(text, start=1):
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
        rows.append(row)
    if not rows:
        raise DataError(f"{path} must hold reviews, but it has only empty lines")
    known = list(dict.fromkeys(name for row in rows for name in row))
    return _table(columns, {name: [row.get(name) for row in rows] for name in _wanted(columns, known, path)})


def _parquet(path: Path, columns: Columns) -> _Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            wanted = _wanted(columns, file.schema_arrow.names, path)
            table = file.read(columns=wanted)
        return _table(columns, {name: table.column(name).to_pylist() for name in wanted})
    except pa.ArrowException as error:
        raise DataError(f"{path} must be a Parquet file, but it is cut off or damaged "
                        f"({str(error).splitlines()[0]}): write or copy it again") from error


def _checked(path: Path, columns: Columns, table: _Table) -> Rows:
    if not len(table.text_N):
        raise DataError(f"{path} must hold reviews, but it has no rows below its column names")
    texts = list(table.text_N)
    missing = [n for n, text in enumerate(texts, start=1) if text is None or (
        isinstance(text, str) and not text.strip())]
    if missing:
        raise DataError(f"each row of {path} must have a text in column {columns.text!r}, but it is missing "
                        f"in {_rows(missing)}: remove them")
    other = next((n for n, text in enumerate(texts) if not isinstance(text, str)), None)
    if other is not None:
        raise DataError(f"column {columns.text!r} of {path} must hold texts, but row {other + 1} holds "
                        f"{type(texts[other]).__name__} ({texts[other]!r}): name the column of the texts by "
                        "--text-column")
    labels = [_label(value) for value in table.label_N]
    wrong = [n for n, label in enumerate(labels) if label is None]
    if wrong:
        values = list(dict.fromkeys(repr(table.label_N[n]) for n in wrong))
        raise DataError(f"labels in column {columns.label!r} of {path} must be 0 or 1, but "
                        f"{_rows([n + 1 for n in wrong])} hold{'s' if len(wrong) == 1 else ''} "
                        f"{', '.join(values[:_SHOWN])}{', ...' if len(values) > _SHOWN else ''}: "
                        "replace them by 0 (negative) and 1 (positive)")
    return Rows(
        text_N=texts,
        label_N=np.array(labels, dtype=np.int8),
        category_N=[""] * len(texts) if table.category_N is None else [
            "" if value is None else str(value).replace("\0", "") for value in table.category_N],
        split_N=None if table.split_N is None else _parts(path, columns, table.split_N))


def _label(value: object) -> int | None:
    if isinstance(value, str):
        return _LABELS.get(value.strip().lower())
    return _LABELS.get(value) if isinstance(value, bool | int | float) else None


def _parts(path: Path, columns: Columns, values: Sequence[Any]) -> list[str]:
    parts = [_PARTS.get(str(value).strip().lower()) for value in values]
    wrong = [n for n, part in enumerate(parts) if part is None]
    if wrong:
        raise DataError(f"column {columns.split!r} of {path} must hold train, validation or test, but "
                        f"{_rows([n + 1 for n in wrong])} hold{'s' if len(wrong) == 1 else ''} "
                        f"{values[wrong[0]]!r}: rename it")
    return [part for part in parts if part is not None]


def _rows(numbers: Sequence[int]) -> str:
    """Return `row 3` or `2 rows (3, 7)`; rows are counted from 1, without the header."""
    if len(numbers) == 1:
        return f"row {numbers[0]}"
    shown = ", ".join(str(n) for n in numbers[:_SHOWN])
    return f"{len(numbers)} rows ({shown}{', ...' if len(numbers) > _SHOWN else ''})"


# ---------------------------------------------------------------- pickles


_PLAIN = "a pickle of reviews must hold only lists, dicts, texts and numbers"


class Unpickler(pickle.Unpickler):
    """Reads containers, strings and numbers; whatever else a pickle names is refused by that name."""

    _ALLOWED: Mapping[tuple[str, str], type] = {
        (module, kind.__name__): kind for module in ("builtins", "__builtin__") for kind in (set, frozenset)}

    def __init__(self, file: BinaryIO) -> None:
        """Read from `file`."""
        # Python 2 wrote bytes as text: latin1 maps each byte to a character and cannot fail.
        super().__init__(file, fix_imports=False, encoding="latin1")

    def find_class(self, module: str, name: str) -> type:
        """Return `set` or `frozenset`.

        Raises:
            DataError: for any other name, which is not imported.
        """
        allowed = self._ALLOWED.get((module, name))
        if allowed is None:
            raise DataError(f"{_PLAIN}, but it names {module}.{name}, which reading it would import or call: "
                            "do not trust this file")
        return allowed

    def persistent_load(self, pid: Any) -> Any:
        """Refuse references to objects outside the pickle.

        Raises:
            DataError: always.
        """
        raise DataError(f"{_PLAIN}, but it refers to an outside object {pid!r}: do not trust this file")


def _pickled(path: Path) -> Rows:
    """Read `[positive, negative, vocabulary]`, the first two dicts: category -> reviews -> tokens."""
    with opened(path) as file:
        head = file.read(512)
        if head[257:262] == b"ustar":
            raise DataError(f"{path} must be a gzipped pickle, but it is a tar archive: unpack it, and name "
                            "the file inside")
    try:
        with opened(path) as file:
            content = Unpickler(file).load()
            while file.read(1 << 20):
                # gzip checks its checksum at the end of the file, past the pickle's own.
                pass
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except (EOFError, OSError, zlib.error):
        raise
    except Exception as error:
        # A damaged pickle makes the unpickler raise nearly anything, from IndexError to MemoryError.
        raise DataError(f"{path} must be a pickle of reviews, but it cannot be read as one "
                        f"({type(error).__name__}: {error}): fetch or copy it again") from error
    if not isinstance(content, list | tuple) or len(content) != 3:
        size = f" of {len(content)}" if isinstance(content, list | tuple) else ""
        raise _wrong_structure(path, f"it holds one {type(content).__name__}{size}")
    tokens_N: list[list[str]] = []
    category_N: list[str] = []
    label_N: list[int] = []
    for label, name, half in ((1, "positive", content[0]), (0, "negative", content[1])):
        if not isinstance(half, dict):
            raise _wrong_structure(path, f"its {name} half is a {type(half).__name__}")
        for category, reviews in half.items():
            if not isinstance(category, str) or not isinstance(reviews, list | tuple):
                raise _wrong_structure(path, f"{name} category {category!r} maps to "
                                             f"a {type(reviews).__name__}")
            for number, review in enumerate(reviews, start=1):
                if not isinstance(review, list | tuple) or not all(type(token) is str for token in review):
                    raise _wrong_structure(path, f"review {number} of {name} category {category!r} is not a "
                                                 "list of texts")
                tokens_N.append(list(review))
            category_N += [category.replace("\0", "")] * len(reviews)
            label_N += [label] * len(reviews)
    if not tokens_N:
        raise DataError(f"{path} must hold reviews, but both of its halves are empty")
    return Rows(text_N=[" ".join(tokens) for tokens in tokens_N], label_N=np.array(label_N, dtype=np.int8),
                category_N=category_N, tokens_N=tokens_N)


def _wrong_structure(path: Path, found: str) -> DataError:
    return DataError(f"{path} must hold [positive, negative, vocabulary], the first two mapping a category "
                     f"to a list of reviews, each a list of tokens, but {found}")
