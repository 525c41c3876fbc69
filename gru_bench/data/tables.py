"""Tables of reviews: the rows of CSV, TSV, JSON Lines and Parquet files, and of text files with a text on each line.

Training and prediction read their files here. The rows come one by one and in the order of the file, so that any number
of them needs little memory, and a small file cannot unpack to more than its `Budget`.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from gru_bench.config import MOST_CLASS_NAME
from gru_bench.data.columns import Columns
from gru_bench.data.files import is_gzipped, kind_of, opened_text
from gru_bench.data.labels import spelled
from gru_bench.data.limits import ROW_COST, Budget
from gru_bench.errors import DataError, UsageError, shown

LINES = (".txt", ".txt.gz")
"""Endings of files that hold one text on each line."""
_KEYS = 1_000
"""Largest number of columns of which an error message keeps an example."""
_BATCH = 512
"""Largest number of rows of a Parquet file that are read at once."""
_BATCH_BYTES = 1_000_000_000
"""Number of bytes that such rows may take, should all of them share the longest text that their group can hold."""
_BUFFER = 1 << 16
"""Bytes of a Parquet file that are read at once. Otherwise whole groups of rows are in memory."""
_PARQUET_LIST = 10_000
"""Largest number of columns, or of row groups, of a Parquet file. Arrow overflows the stack on some 13,000 nested
columns.
"""
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}

Row = tuple[Any, ...]
"""The values of a row as in the file: text, label, category, split and id. None for a column that is not read."""


def storable(text: str) -> str:
    """Return a text that UTF-8 can store: halves of characters become U+FFFD."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


class Table:
    """The rows of a file, one after another."""

    def __init__(self, path: Path, columns: Columns, budget: Budget, encoding: str = "utf-8") -> None:
        """Read nothing yet.

        Args:
            path: The file. The ending of its name shows its kind.
            columns: The columns to read.
            budget: The memory that the file may take.
            encoding: Encoding of a text file.
        """
        self.columns = columns
        """The columns to read; from the first row on with the names that the file has for them."""
        self.class_names: tuple[str, ...] = ()
        """Names of the classes 0, 1 and so on that a Parquet file holds. They are known with the first row."""
        self.fraction: Callable[[], float | None] = lambda: None
        """Function that returns which fraction of the file has been read. None for gzipped files."""
        self._lacking: set[str] = set()
        """Columns to read that no object of JSON Lines has had yet."""
        self._seen: dict[str, str] = {}
        """Each key that is seen while a column is lacking, with its first value."""
        self._wanted = columns
        self._path = path
        self._budget = budget
        self._encoding = encoding
        self.kind = kind_of_table(path)

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows.

        Raises:
            UsageError: for a column that the file lacks.
            DataError: for a damaged file or row, and for one that exceeds the limits.
        """
        if self.kind == ".parquet":
            yield from self._parquet()
            return
        with opened_text(self._path, self._encoding) as text:
            if not is_gzipped(self._path):
                size = self._path.stat().st_size
                self.fraction = lambda: text.buffer.tell() / size
            lines = _Lines(text, self._budget)
            if self.kind == ".txt":
                self.columns = self.columns.found_in([])
                yield from _plain(lines)
            elif self.kind in (".csv", ".tsv"):
                yield from self._separated(lines)
            else:
                yield from self._json_lines(lines)

    @property
    def note(self) -> str:
        """Return a sentence on the columns that are read in place of the default ones; empty if there are none."""
        return self._wanted.note(self.columns)

    def check_columns(self) -> None:
        """Check that each column was in one of the rows so far, which objects of JSON Lines may leave out.

        Raises:
            UsageError: for a column that was in none.
        """
        if self._lacking:
            found = {name for _, name in self.columns.roles() if name is not None} - self._lacking
            self.columns.places([*self._seen, *(found - self._seen.keys())], self._path, self._seen.values)

    def _places(self, known: list[str], examples: Callable[[], Iterable[object]]) -> list[int | None]:
        """Find the columns among the `known` ones, and return their positions in the order of a row."""
        self.columns = self.columns.found_in(known)
        return self.columns.places(known, self._path, examples)

    def _separated(self, lines: _Lines) -> Iterator[Row]:
        csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # `lines` has its own limit
        first = next(lines, None)
        if first is None:
            return
        separator = "\t" if self.kind == ".tsv" else _separator(first)
        reader = csv.reader(chain([first], lines), delimiter=separator, strict=True)
        try:
            header = next(reader, [])
            if not header:
                raise DataError(f"{self._path} must begin with a line of column names, but its first line is empty")
            self._refuse_other_separator(header, separator)
            self.columns.require_header(header, self._path, separator)
            lines.end_row()
            places = self._places(header, lambda: next(reader, []))
            for row in reader:
                if len(row) == len(header):
                    yield tuple(None if place is None else row[place] for place in places)
                elif row:
                    raise DataError(f"{self._path} must have {len(header)} values in each row, as in its first line, "
                                    f"but the row that begins at line {lines.row_begins:,} has {len(row)}: quote texts "
                                    f"that hold {_SEPARATORS[separator]} or line breaks")
                lines.end_row()
        except csv.Error as error:
            raise DataError(f"{self._path} must be well-formed, but the row that begins at line {lines.row_begins:,} "
                            f"is not ({shown(str(error), '')}): close each quote, and double those inside a quoted text"
                            ) from error

    def _refuse_other_separator(self, header: list[str], separator: str) -> None:
        """Raise DataError if the header uses another separator than this kind of file."""
        if self.columns.text in header or len(header) > 1:
            return
        other = max(";\t|,", key=header[0].count)
        if other == separator or other not in header[0]:
            return
        remedy = {"\t": "rename it to .tsv", "|": "save it again with commas"}.get(other, "rename it to .csv")
        raise DataError(f"the columns of a {self.kind[1:].upper()} file must be separated by {_SEPARATORS[separator]}, "
                        f"but {self._path} looks separated by {other!r} (its first line is {shown(header[0])}): "
                        f"{remedy}")

    def _json_lines(self, lines: _Lines) -> Iterator[Row]:
        names: list[str | None] = []
        for line in lines:
            number = lines.row_begins
            lines.end_row()
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{self._path} must hold one JSON object on each line, but line {number:,} is not JSON "
                                f"({shown(str(error), '')}): mend the line, or leave it out") from error
            if not isinstance(row, dict):
                raise DataError(f"{self._path} must hold one JSON object on each line, but line {number:,} is a "
                                f"{type(row).__name__}, {shown(row)}: mend the line, or leave it out")
            if not names:
                self.columns = self.columns.found_in(list(row))
                names = [name for _, name in self.columns.roles()]
                self._lacking.update(name for name in names if name is not None)
            if self._lacking:
                self._lacking -= row.keys()
                for name in islice(row, _KEYS - len(self._seen)):
                    self._seen.setdefault(name, shown(row[name], "", 40))
            yield tuple(None if name is None else row.get(name) for name in names)
        self.check_columns()

    def _parquet(self) -> Iterator[Row]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path, budget = self._path, self._budget
        try:
            with pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER,
                                thrift_container_size_limit=_PARQUET_LIST) as file:
                schema, about = file.schema_arrow, file.metadata
                # The groups are asked, because asking a column with damaged statistics ends the process within Arrow.
                sizes = [max(about.row_group(place).total_byte_size, 1) for place in range(about.num_row_groups)]
                budget.require(sum(sizes) + ROW_COST * about.num_rows)
                places = self._places(schema.names, lambda: _first_row(path, file, budget))
                self.class_names = _class_names(schema.metadata, self.columns.label)
                wanted = list(dict.fromkeys(schema.names[place] for place in places if place is not None))
                for name in wanted:
                    kind = schema.field(name).type
                    if pa.types.is_nested(kind):
                        raise DataError(f"column {shown(name)} of {path} must hold single values, but it holds "
                                        f"{shown(str(kind), '')}: name another column")
                read = 0
                self.fraction = lambda: read / about.num_rows
                at_once = min(_BATCH, max(4, _BATCH_BYTES // max(sizes, default=1)))
                for batch in file.iter_batches(at_once, columns=wanted):
                    rows = f"rows {read + 1} to {read + len(batch)}"
                    read += len(batch)
                    budget.spend(ROW_COST * len(batch))
                    nothing = [None] * len(batch)
                    yield from zip(*(
                        nothing if place is None else _values(path, batch.column(schema.names[place]), rows, budget)
                        for place in places), strict=True)
        except (DataError, UsageError, MemoryError):
            raise
        except Exception as error:
            # A damaged file makes Arrow raise errors of nearly any kind, from OSError to KeyError.
            if "Exceeded size limit" in str(error):
                raise DataError(f"{path} must have at most {_PARQUET_LIST:,} columns and as many groups of rows, but "
                                "it has more: write it with fewer columns or larger groups") from error
            words = shown((str(error).splitlines() or [""])[0], "", 200)
            raise DataError(f"{path} must be a Parquet file, but it is cut off or damaged ({words}): "
                            "write or copy it again") from error


def kind_of_table(path: Path) -> str:
    """Return the kind of a file of rows: its ending without .gz.

    Raises:
        UsageError: for the ending of an unsupported kind of file.
    """
    return ".txt" if path.name.lower().endswith(LINES) else kind_of(path)


def _separator(header: str) -> str:
    """Return what separates the columns of a CSV file: semicolons where the header has no comma outside of quotes."""
    unquoted = re.sub('"[^"]*"?', "", header)
    return ";" if ";" in unquoted and "," not in unquoted else ","


def _plain(lines: _Lines) -> Iterator[Row]:
    for line in lines:
        lines.end_row()
        yield line.rstrip("\r\n"), None, None, None, None


class _Lines:
    """The lines of a text file. The lines of one row together must not exceed the limit of a row."""

    def __init__(self, text: IO[str], budget: Budget) -> None:
        self._read = text.readline
        self._budget = budget
        self._number = self.row_begins = 1
        self._left = budget.row

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._read(self._left + 1)
        if not line:
            raise StopIteration
        self._left -= len(line)
        if self._left < 0:
            raise self._budget.row_too_long(f"the one that begins at line {self.row_begins}")
        self._budget.spend(ROW_COST + len(line))
        self._number += 1
        return line

    def end_row(self) -> None:
        """Mark the end of a row: the next line begins a new one."""
        self._left = self._budget.row
        self.row_begins = self._number


def _first_row(path: Path, file: Any, budget: Budget) -> list[object]:
    """Return the first value of each column of a Parquet file, and the type of a column that holds more than values."""
    import pyarrow as pa

    schema = file.schema_arrow
    single = [name for name in schema.names if not pa.types.is_nested(schema.field(name).type)][:_KEYS]
    values: dict[str, object] = {}
    for batch in islice(file.iter_batches(1, columns=single), 1):
        values = {name: _values(path, batch.column(name), "row 1", budget)[0] for name in single}
    return [values.get(name, str(schema.field(name).type)) for name in schema.names]


def _class_names(metadata: Any, column: str | None) -> tuple[str, ...]:
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
    return tuple(map(storable, clean)) if usual else ()


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
    except MemoryError:
        raise
    except Exception as error:
        # Texts in another encoding, and dates out of the range of Python, raise errors of many kinds.
        raise DataError(f"{path} must hold values that Python can express, but one of {rows} holds a {column.type} "
                        f"value that it cannot ({shown(str(error), '')}): remove or replace it") from error
