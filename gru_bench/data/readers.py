"""Readers of files with labeled reviews: tables, text files, and gzipped pickles of token lists.

This module only reads; `corpus` does the cleaning, the tokens and the splits. Every value is checked here, so that each
row has a text, a class and, if a split column is given, a known split. `labels` says which classes there are. Half a
character (a lone surrogate, such as half an emoji) becomes U+FFFD here, because UTF-8 cannot store it.

Rows are read one by one, and the files of a data set take no more memory than `limits` allows.

Shapes: `N` rows of the file.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gru_bench.data.columns import Columns
from gru_bench.data.files import kind_of, opened, opened_text, reading
from gru_bench.data.labels import NEGATIVE_POSITIVE, LabelArray, Labels
from gru_bench.data.limits import ROW_COST, Budget
from gru_bench.data.pickles import unpickled
from gru_bench.data.tables import Table, storable
from gru_bench.errors import DataError, UsageError, shown

_SHOWN = 5
"""Largest number of rows or values that an error message lists."""
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
    check_files(files)
    budget = Budget(where, sum(file.path.stat().st_size for file in files))
    table = _Gathered()
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


def check_files(files: Sequence[DataFile]) -> None:
    """Check that files can be read, before any of them is opened: a pipe or a device would keep the reader waiting.

    Raises:
        UsageError: A path is not a file, or its kind is not supported.
    """
    for file in files:
        if not file.path.is_file():
            found = ("is a folder: name a file in it" if file.path.is_dir() else
                     "is a pipe or a device: remove it, or replace it by a file" if file.path.exists() else
                     "does not exist: check the path")
            raise UsageError(f"the data must be a file, but {file.path} {found}")
        if file.label is None:
            kind_of(file.path)


@dataclass
class _Gathered:
    """The rows that have been read so far."""

    texts: list[str] = field(default_factory=list)
    labels: Labels = field(default_factory=Labels)
    categories: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    tokens: list[list[str]] = field(default_factory=list)
    columns: Columns = field(default_factory=Columns)
    """The columns that are read of the latest file."""
    notes: dict[str, None] = field(default_factory=dict)


def _read(file: DataFile, columns: Columns, encoding: str, budget: Budget, table: _Gathered) -> None:
    """Add the rows of a file to the table."""
    path = file.path
    if path.stat().st_size == 0:
        raise DataError(f"{path} must hold reviews, but it is empty (0 bytes): write or copy it again")
    if file.names is not None:
        table.labels.call(file.names, path.name)
    if file.label is not None:
        _text_file(path, encoding, file.label, budget, table)
    elif kind_of(path) == "pickle":
        _pickled(path, budget, table)
    else:
        _add(path, Table(path, columns, budget, encoding), table)


# ---------------------------------------------------------------- tables


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


def _add(path: Path, rows: Table, table: _Gathered) -> None:
    """Check the rows of a file, and add them to the table."""
    missing, other, wrong_label, wrong_part = _Wrong(), _Wrong(), _Wrong(), _Wrong()
    number = 0
    for number, (text, label, category, part, _) in enumerate(rows, start=1):
        if text is None or (isinstance(text, str) and (not text or text.isspace())):
            missing.add(number)
        elif isinstance(text, str):
            table.texts.append(storable(text))
        else:
            other.add(number, text)
        if not table.labels.add(storable(label) if isinstance(label, str) else label):
            wrong_label.add(number, label)
        table.categories.append("" if category is None else _category(category))
        if rows.columns.split is not None:
            known_part = PARTS.get(str(part).strip().lower()) if isinstance(part, str) else None
            if known_part is None:
                wrong_part.add(number, part)
            else:
                table.parts.append(known_part)
    found = table.columns = rows.columns
    if rows.note:
        table.notes[rows.note] = None
    if rows.class_names:
        table.labels.call(rows.class_names, path.name)
    if missing.count:
        raise DataError(f"each row of {path} must have a text in column {shown(found.text)}, but it is missing "
                        f"in {missing.rows()}: remove these rows")
    if other.count:
        raise DataError(f"column {shown(found.text)} of {path} must hold texts, but row {other.first[0]} holds "
                        f"{next(iter(other.values))}: name the column of the texts by --text-column")
    if not number:
        raise DataError(f"{path} must hold reviews, but it has no rows: write or copy it again")
    if wrong_label.count:
        raise DataError(f"labels in column {shown(found.label)} of {path} must be words, numbers, true or false, but "
                        f"{wrong_label.hold()}: fill them in, or remove these rows")
    if wrong_part.count:
        raise DataError(f"column {shown(found.split)} of {path} must hold train, validation or test, but "
                        f"{wrong_part.hold()}: replace it by one of these")


def _category(value: object) -> str:
    return storable(str(value).replace("\0", ""))


# ---------------------------------------------------------------- text files


def _text_file(path: Path, encoding: str, label: str, budget: Budget, table: _Gathered) -> None:
    """Add a file that holds one review."""
    with opened_text(path, encoding) as text:
        content = text.read(budget.row + 1)
    if len(content) > budget.row:
        raise budget.row_too_long("it")
    budget.spend(ROW_COST + len(content))
    if not content.strip():
        raise DataError(f"each text file must hold a review, but {path} holds white space only: remove it")
    table.texts.append(storable(content))
    if not table.labels.add(storable(label)):
        raise DataError(f"each folder of texts must have the name of a class, but {path.parent} has {shown(label)}: "
                        "rename it")
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


def _pickled(path: Path, budget: Budget, table: _Gathered) -> None:
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
    except MemoryError:
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
                kept = storable(text)
                table.texts.append(kept)
                table.tokens.append(list(review) if kept == text else [storable(token) for token in review])
                table.labels.add(name)
            table.categories += [_category(category)] * len(reviews)
    if len(table.texts) == before:
        raise DataError(f"{path} must hold reviews, but both of its halves are empty")


def _wrong_structure(path: Path, found: str) -> DataError:
    return DataError(f"{path} must hold [positive, negative, vocabulary], the first two mapping a category "
                     f"to a list of reviews, each a list of tokens, but {found}")
