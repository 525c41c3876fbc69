"""Files -> rows. Training reads all rows of a data set (`read_files`), prediction one after another (`Table`).

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
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, Generic, TextIO, TypeVar, cast

from gru_bench.config import MOST_CLASS_NAME, MOST_NAME
from gru_bench.data.columns import Choice, Columns
from gru_bench.data.files import (
    PARTS,
    PICKLE,
    TEXT,
    DataFile,
    is_gzipped,
    kind_of,
    opened_text,
    reading,
)
from gru_bench.data.labels import MISSING, NEGATIVE_POSITIVE, LabelArray, classes_of, label_of, listed, spelled
from gru_bench.data.pickles import reviews
from gru_bench.errors import DataError, UsageError, shown

_SHOWN = 5
"""Largest number of rows or values that an error message lists."""
_BATCH = 512
"""Largest number of rows of a Parquet file that are read at once."""
_BUFFER = 1 << 16
"""Bytes of a Parquet file that are read at once. Otherwise whole groups of rows are in memory."""
_FIRST_OBJECTS = 100
"""Number of JSON Lines objects whose keys are the columns of a file: an object may leave a key out."""
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars", ",": "commas"}

Row = tuple[Any, ...]
"""The values of a row as in the file, in the order of the roles: of `Columns` text, label, category, split, id and
group. None for a column that is not read."""
C = TypeVar("C", bound=Choice)


def storable(text: str) -> str:
    """Return a text that UTF-8 can store: halves of characters become U+FFFD."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


class Table(Generic[C]):
    """The rows of a CSV, TSV, JSON Lines, Parquet or text file, one after another. A text file has one on each line."""

    def __init__(self, path: Path, columns: C, encoding: str = "utf-8") -> None:
        """Read nothing yet.

        Args:
            path: The file. The ending of its name shows its kind.
            columns: The columns to read.
            encoding: Encoding of a text file.
        """
        self.columns = columns
        """The columns to read; from the first row on with the names that the file has for them."""
        self.class_names: tuple[str, ...] = ()
        """Names of the classes 0, 1 and so on that a Parquet file holds. They are known with the first row."""
        self.fraction: Callable[[], float | None] = lambda: None
        """Function that returns which fraction of the file has been read. None for gzipped files."""
        self._wanted = columns
        self._path = path
        self._encoding = encoding
        self._kind = kind_of(path)

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows.

        Raises:
            UsageError: for a column that the file lacks.
            DataError: for a damaged file or row.
        """
        if self._kind == ".parquet":
            yield from self._parquet()
            return
        with opened_text(self._path, self._encoding) as text:
            if not is_gzipped(self._path):
                size = self._path.stat().st_size
                self.fraction = lambda: text.buffer.tell() / size
            if self._kind == TEXT:
                for line in text:
                    yield line.rstrip("\r\n"), None, None, None, None, None
            elif self._kind in (".csv", ".tsv"):
                yield from self._separated(text)
            else:
                yield from self._json_lines(text)

    @property
    def note(self) -> str | None:
        """Return a sentence on the columns that are read in place of the default ones; None if there are none."""
        return self._wanted.note(self.columns)

    def _places(self, known: list[str], examples: Callable[[], Iterable[object]]) -> Sequence[int | None]:
        """Find the columns among the `known` ones, and return their positions in the order of a row."""
        self.columns = self._wanted.found_in(known, self._path, examples)
        return [None if name is None else known.index(name) for _, name in self.columns.roles()]

    def _separated(self, text: TextIO) -> Iterator[Row]:
        csv.field_size_limit(2**31 - 1)
        first = text.readline()
        if not first:
            return
        separator = _separator(first, "\t" if self._kind == ".tsv" else ",")
        reader = csv.reader(chain([first], text), delimiter=separator, strict=True)
        begins = 1
        try:
            header = next(reader, [])
            if not header:
                raise DataError(f"{self._path} must begin with a line of column names, but its first line is empty")
            self.columns.require_header(header, self._path, separator)
            begins = reader.line_num + 1
            places = self._places(header, lambda: next(reader, []))
            for row in reader:
                if len(row) == len(header):
                    yield tuple(None if place is None else row[place] for place in places)
                elif row:
                    raise DataError(f"{self._path} must have {len(header)} values in each row, as in its first line, "
                                    f"but the row that begins at line {begins:,} has {len(row)}: quote texts that "
                                    f"contain {_SEPARATORS[separator]} or line breaks")
                begins = reader.line_num + 1
        except csv.Error as error:
            raise DataError(f"{self._path} must be well-formed, but the row that begins at line {begins:,} is not "
                            f"({shown(str(error), '')}): close each quote, and double those inside a quoted text"
                            ) from error

    def _json_lines(self, text: TextIO) -> Iterator[Row]:
        objects = _objects(self._path, text)
        first = list(islice(objects, _FIRST_OBJECTS))
        if not first:
            return
        examples: dict[str, object] = {}
        for row in first:
            for name, value in row.items():
                examples.setdefault(name, value)
        self._places(list(examples), examples.values)
        wanted = [name for _, name in self.columns.roles()]
        for row in chain(first, objects):
            yield tuple(None if name is None else row.get(name) for name in wanted)

    def _parquet(self) -> Iterator[Row]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        path, read = self._path, 0
        try:
            with pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER) as file:
                schema, count = file.schema_arrow, file.metadata.num_rows
                places = self._places(schema.names, lambda: next(
                    ([column[0].as_py() for column in batch.columns] for batch in file.iter_batches(1)), []))
                self.class_names = _class_names(schema.metadata, self.columns.label)
                names = [None if place is None else schema.names[place] for place in places]
                wanted = list(dict.fromkeys(name for name in names if name is not None))
                for name in wanted:
                    kind = schema.field(name).type
                    if pa.types.is_nested(kind):
                        raise DataError(f"column {shown(name)} of {path} must contain single values, but it contains "
                                        f"{shown(str(kind), '')}: name another column")
                self.fraction = lambda: read / count
                for batch in file.iter_batches(_BATCH, columns=wanted):
                    values: dict[str | None, list[Any]] = {name: batch.column(name).to_pylist() for name in wanted}
                    read += len(batch)
                    nothing = [None] * len(batch)
                    yield from zip(*(values.get(name, nothing) for name in names), strict=True)
        except (DataError, UsageError, MemoryError):
            raise
        except Exception as error:
            # A damaged file, and a value that Python cannot express, raise errors of nearly any kind.
            words = shown((str(error).splitlines() or [""])[0], "", 200)
            raise DataError(f"{path} must be a complete Parquet file of values that Python can express, but row "
                            f"{read + 1:,} or a later one cannot be read ({words}): write or copy it again") from error


def _separator(header: str, usual: str) -> str:
    """Return what separates the columns of a file: the usual character, or else the first other one in its header."""
    unquoted = re.sub('"[^"]*"?', "", header)
    return next((one for one in (usual, *_SEPARATORS) if one in unquoted), usual)


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


def _class_names(metadata: Any, column: str | None) -> tuple[str, ...]:
    """Return the names of the classes that Hugging Face `datasets` writes into the metadata of a schema, if any."""
    try:
        content: Any = json.loads((metadata or {})[b"huggingface"])
        names = tuple(content["info"]["features"][column]["names"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()
    clean = [spelled(name) if isinstance(name, str) else "" for name in names]
    usual = len(names) > 1 and all(clean) and len(set(clean)) == len(clean) and max(map(len, clean)) <= MOST_CLASS_NAME
    return tuple(map(storable, clean)) if usual else ()


# ---------------------------------------------------------------- all rows of a data set


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
    name_N: list[str]
    """Name of each row: its value in the column of ids, or its number in its file, from 1 on. Where the splits have
    several files each, the file's name stands before the number."""
    split_N: list[str] | None = None
    """train, validation or test for each row. None where the data have no splits."""
    tokens_N: list[list[str]] | None = None
    """Tokens of each review. None where the data hold texts."""
    group_N: list[str] | None = None
    """Name of each row's group; empty for a row that stands alone. None where the data have no groups."""
    plain: bool = True
    """Whether the data hold 0 and 1, in this order. Then the names are no part of the fingerprint."""
    notes: tuple[str, ...] = ()
    """What the user should know about how the files were read, a sentence each."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.text_N)


@dataclass
class _Read:
    """What has been read so far."""

    texts: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    tokens: list[list[str]] = field(default_factory=list)
    class_names: tuple[str, ...] = ()
    label_column: str | None = None
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
    of_split = Counter(file.split for file in files)
    for file in files:
        kind, rows = kind_of(file.path), len(read.texts)
        with reading(file.path, encoding):
            if kind == TEXT:
                _add_text(file, encoding, read)
            elif kind == PICKLE:
                _add_tokens(file.path, read)
            else:
                _add_table(file.path, Table(file.path, columns, encoding), read)
        if file.names:
            _name_classes(file.names, file.path, read)
        _name_rows(file, where, len(read.texts) - rows, of_split[file.split] > 1, read)
        if file.split is not None:
            read.parts += [file.split] * (len(read.texts) - len(read.parts))
    if files[0].label is not None:
        what, remedy = f"the folders of {where}", "have a folder for each class"
    else:
        what = f"column {shown(read.label_column)} of {where}"
        remedy = "name another label column"
    found = classes_of(read.labels, read.class_names, what, remedy)
    return Rows(
        text_N=read.texts, label_N=found.label_N, classes=found.names, category_N=read.categories,
        name_N=read.names, split_N=read.parts or None, tokens_N=read.tokens or None,
        group_N=read.groups if any(read.groups) else None, plain=found.plain or bool(read.tokens),
        notes=tuple(read.notes))


def _name_rows(file: DataFile, where: Path, count: int, is_one_of_several: bool, read: _Read) -> None:
    """Name the rows of a file that no column has named, and let those without a group stand alone."""
    path = file.path.relative_to(where).as_posix() if file.path.is_relative_to(where) else file.path.name
    if file.label is not None:
        read.names.append(path)
    elif len(read.names) < len(read.texts):
        read.names += [f"{path}:{number}" if is_one_of_several else str(number) for number in range(1, count + 1)]
    read.groups += [""] * (len(read.texts) - len(read.groups))


def _add_text(file: DataFile, encoding: str, read: _Read) -> None:
    with opened_text(file.path, encoding) as text:
        content = text.read()
    if not content.strip():
        raise DataError(f"each text file must contain words, but {file.path} contains white space only: remove it")
    label = label_of(storable(file.label or ""))
    if not label:
        raise DataError(f"each folder of texts must have the name of a class, but {file.path.parent} has "
                        f"{shown(file.label)}: rename it")
    read.texts.append(storable(content))
    read.labels.append(sys.intern(label))
    read.categories.append("")


def _add_tokens(path: Path, read: _Read) -> None:
    before = len(read.texts)
    for tokens, label, category in reviews(path):
        text = " ".join(tokens)
        kept = storable(text)
        read.texts.append(kept)
        read.tokens.append(tokens if kept == text else [storable(token) for token in tokens])
        read.labels.append(label)
        read.categories.append(_category(category))
    if len(read.texts) == before:
        raise DataError(f"{path} must contain texts, but both of its halves are empty")
    _name_classes(NEGATIVE_POSITIVE, path, read)


def _add_table(path: Path, table: Table[Columns], read: _Read) -> None:
    columns: list[tuple[Any, ...]] = list(zip(*table, strict=True))
    if not columns:
        raise DataError(f"{path} must contain texts, but it has no rows: write or copy it again")
    name_of = dict(table.columns.roles())
    values_of = dict(zip(name_of, columns, strict=True))

    def checked(role: str, clean: Callable[[Any], str | None], rule: str, remedy: str) -> list[str]:
        """Return the values of a column; `clean` returns None for one that breaks the rule."""
        values = values_of[role] if name_of[role] else ()
        found = [clean(value) for value in values]
        wrong = {row: value for row, (value, one) in enumerate(zip(values, found, strict=True), 1) if one is None}
        if wrong:
            raise DataError(f"column {shown(name_of[role])} of {path} must contain {rule}, but {_listed(wrong)}: "
                            f"{remedy}")
        return cast(list[str], found)

    read.texts += checked("text", _text, "a text in each row",
                          "remove such rows, or name another text column")
    read.labels += checked("label", _label, "words, numbers, true or false", "fill them in, or remove such rows")
    read.parts += checked("split", lambda value: PARTS.get(str(value).strip().lower()), "train, validation or test",
                          "replace it by one of these")
    read.names += checked("id", lambda value: _name(value) or None, f"a name of at most {MOST_NAME} characters in each "
                          "row", "name another id column")
    read.groups += checked("group", _name, f"names of at most {MOST_NAME} characters",
                           "name another group column")
    read.categories += ["" if value is None else _category(str(value)) for value in values_of["category"]]
    read.label_column = table.columns.label
    if (note := table.note) is not None:
        read.notes[note] = None
    if table.class_names:
        _name_classes(table.class_names, path, read)


def _text(value: object) -> str | None:
    return storable(value) if isinstance(value, str) and value and not value.isspace() else None


def _label(value: object) -> str | None:
    return sys.intern(label_of(storable(value) if isinstance(value, str) else value)) or None


def _name(value: object) -> str | None:
    """Return the name of a row or of a group; empty where it is missing, and None where it is too long."""
    text = "" if value is None or value != value else storable(str(value).replace("\0", "").strip())
    return None if len(text) > MOST_NAME else "" if text in MISSING else sys.intern(text)


def _listed(wrong: Mapping[int, object]) -> str:
    """Return `row 3 holds 'x'`, or `2 rows (3, 7) hold 'x', 'y'`. Rows are counted from 1, without the header."""
    rows = list(islice(wrong, _SHOWN))
    values = ", ".join(dict.fromkeys(shown(wrong[row]) for row in rows))
    if len(wrong) == 1:
        return f"row {rows[0]} contains {values}"
    more = ", ..." if len(wrong) > _SHOWN else ""
    return f"{len(wrong):,} rows ({', '.join(map(str, rows))}{more}) contain {values}{more}"


def _name_classes(names: tuple[str, ...], path: Path, read: _Read) -> None:
    """Give the names of the classes 0, 1, 2 and so on, which a file holds apart from its rows."""
    if read.class_names not in ((), names):
        raise DataError(f"all files must have the same classes, but {path.name} has {listed(names)}, and another has "
                        f"{listed(read.class_names)}: read them one by one")
    read.class_names = names


def _category(value: str) -> str:
    return storable(value.replace("\0", ""))
