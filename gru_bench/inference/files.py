"""Files of texts and files of predictions, read and written in parts, so that any number of rows needs little memory.

A text that cannot be read ends the reading with the number of its row. The output is written beside its final place and
moved there when it is whole.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from gru_bench.config import DataConfig, validated
from gru_bench.data.columns import Columns
from gru_bench.data.files import PICKLE, TABLES, TEXT, check_writable, kind_of
from gru_bench.data.tables import open_table, storable
from gru_bench.errors import DataError, UsageError, no_file, shown
from gru_bench.inference.prediction import CHUNK, Prediction
from gru_bench.platforms import replacing
from gru_bench.wording import csv_cell

_CHARACTERS = 4_000_000
"""Number of characters of texts that are predicted at once."""
OUTPUTS = (".csv", ".parquet")


@dataclass(frozen=True)
class Part:
    """Some rows of a file, one after another."""

    ids: list[Any]
    """Values of the id column, or the numbers of the rows counted from 1."""
    texts: list[str]
    fraction: float | None
    """Fraction of the file that has been read. None for a gzipped file, whose end is not known before."""


@dataclass(frozen=True)
class TextFile:
    """A file of texts: CSV, TSV, JSON Lines, Parquet, or a text on each line (.txt)."""

    path: Path
    text_column: str | None = None
    """None: `text`, or the one column of a usual name."""
    id_column: str | None = None
    """None: the column of a usual name, if there is one."""
    encoding: str = "utf-8"
    trained_on: DataConfig = field(default_factory=DataConfig)
    """The data of the model: columns of their names come before usual ones."""

    def __post_init__(self) -> None:
        """Check that the file is there.

        Raises:
            UsageError: for a path that is no file, a file of an unsupported kind, or an unknown encoding.
            DataError: for an empty file.
        """
        validated(DataConfig, {"encoding": self.encoding})
        if not self.path.is_file():
            raise no_file(self.path)
        if kind_of(self.path) == PICKLE:
            raise UsageError(f"--file must be one of {', '.join((*TABLES, TEXT))}, but got {self.path.name!r}: convert "
                             "it")
        if self.path.stat().st_size == 0:
            raise self._empty("it is empty (0 bytes)")

    def parts(self, count: int = CHUNK) -> Iterator[Part]:
        """Yield the rows in parts of `count`, or of fewer where the texts are long.

        Raises:
            UsageError: for a column that the file lacks. The error lists its columns.
            DataError: for a file without rows, and for a row that cannot be read. The error has the row or its line.
        """
        encoding = DataConfig(encoding=self.encoding).encoding
        ids: list[Any] = []
        texts: list[str] = []
        characters = number = 0
        with open_table(self.path, encoding) as table:
            text, ident = (one if one in table.names else None
                           for one in (self.trained_on.text_column, self.trained_on.id_column))
            found = Columns(text=self.text_column or text or "text", label=None,
                            id=self.id_column or ident or "").found_in(table.names, self.path)
            where = f"column {shown(found.text)} of {self.path}"
            for number, row in enumerate(table.rows(list(found.names.values())), start=1):
                key = row[1] if found.id else number
                ids.append(storable(key) if isinstance(key, str) else key)
                texts += texts_of(row[:1], where, number)
                characters += len(texts[-1])
                if len(texts) == count or characters > _CHARACTERS:
                    yield Part(ids, texts, table.fraction())
                    ids, texts, characters = [], [], 0
            if texts:
                yield Part(ids, texts, 1.0)
        if not number:
            raise self._empty("it has no rows")

    def _empty(self, why: str) -> DataError:
        return DataError(f"{self.path} has no texts, because {why}: create or copy it again")


def texts_of(values: Iterable[object], where: str, first: int = 1) -> list[str]:
    """Return values as texts that a model reads, as commands, Python and served models do.

    Args:
        values: The values.
        where: What contains them, for messages.
        first: Number of the row of the first one.

    Raises:
        DataError: for a value that is no text, such as a missing value, a number or a list. The error has its row.
    """
    found = []
    for row, value in enumerate(values, start=first):
        if not isinstance(value, str):
            raise DataError(f"each row of {where} must be a text, but row {row:,} has {shown(value)}: correct the "
                            "row, or leave it out")
        found.append(storable(value))
    return found


# ---------------------------------------------------------------- predictions


def column_names(classes: Sequence[str]) -> list[str]:
    """Return the names of the columns of predictions: id, label, a probability for each class, share of known words."""
    return ["id", "label", *(f"probability_{name}" for name in classes), "known_words"]


def rows_of(ids: Sequence[Any], prediction: Prediction) -> Iterator[dict[str, Any]]:
    """Yield the rows of predictions, with the columns of `column_names`."""
    names = column_names(prediction.classes)
    known_N = prediction.known_share_N.tolist()
    for ident, label, probability_C, known in zip(
            ids, prediction.label_N, prediction.probability_NC.tolist(), known_N, strict=True):
        yield dict(zip(names, (ident, label, *(round(value, 6) for value in probability_C), round(known, 4)),
                       strict=True))


@contextmanager
def writing(path: Path, classes: Sequence[str]) -> Iterator[Callable[[Sequence[Any], Prediction], None]]:
    """Yield a function that writes predictions to a file, whose ending shows its kind. All are written, or none.

    `check_output` has checked the file.
    """
    with replacing(path) as file:
        if path.suffix.lower() == ".parquet":
            with _parquet_writer(file, classes) as write:
                yield write
        else:
            yield _csv_writer(file, classes)


def check_output(path: Path, *, force: bool = False, inputs: Sequence[Path] = ()) -> None:
    """Check that predictions can be written to a file.

    Args:
        path: The file.
        force: Whether predictions in it are replaced.
        inputs: The files that the command reads.

    Raises:
        UsageError: for a file that exists, unless `force` replaces predictions, is in no folder, or is of an
            unsupported kind.
    """
    if path.suffix.lower() not in OUTPUTS:
        raise UsageError(f"--to must end in {', '.join(OUTPUTS)}, but got {path.name!r}: choose one")
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"--to must be a file in an existing folder, but got {str(path)!r}")
    if path.exists() and not force:
        raise UsageError(f"{str(path)!r} already exists: choose another file, or overwrite it with --force")
    check_writable(path, "--to", "predictions", are_predictions, inputs=inputs)


def are_predictions(path: Path) -> bool:
    """Return whether a file contains predictions, as its columns show."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.suffix.lower() == ".parquet":
            names = pq.read_schema(path).names
        else:
            with path.open(encoding="utf-8", newline="") as file:
                names = next(csv.reader(file), [])
    except (ValueError, csv.Error, pa.ArrowException):
        return False
    classes = [name.removeprefix("probability_") for name in names[2:-1]]
    return list(names) == column_names(classes)


def _csv_writer(file: BinaryIO, classes: Sequence[str]) -> Callable[[Sequence[Any], Prediction], None]:
    table = csv.writer(codecs.getwriter("utf-8")(file, "replace"), lineterminator="\n")
    table.writerow(column_names(classes))

    def write(ids: Sequence[Any], prediction: Prediction) -> None:
        for row in rows_of(ids, prediction):
            table.writerow(csv_cell(value) if isinstance(value, str) else value for value in row.values())

    return write


@contextmanager
def _parquet_writer(
    file: BinaryIO, classes: Sequence[str]
) -> Iterator[Callable[[Sequence[Any], Prediction], None]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer: pq.ParquetWriter | None = None

    def write(ids: Sequence[Any], prediction: Prediction) -> None:
        nonlocal writer
        whole = all(map(_is_whole, ids)) if writer is None else pa.types.is_int64(writer.schema.field("id").type)
        if whole and (wrong := next((one for one in ids if not _is_whole(one)), None)) is not None:
            raise DataError("for Parquet, all ids must be whole numbers, like the first ones, but one is "
                            f"{shown(wrong)}: write CSV, or choose another --id-column")
        values = pa.array(ids, pa.int64()) if whole else pa.array(
            [None if one is None else storable(str(one)) for one in ids], pa.string())
        rows = list(rows_of(ids, prediction))
        columns = {name: pa.array([row[name] for row in rows]) for name in column_names(classes)[1:]}
        table = pa.table({"id": values, **columns})
        writer = writer or pq.ParquetWriter(file, table.schema)
        writer.write_table(table)

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()


def _is_whole(ident: object) -> bool:
    """Return whether an id can stand in a column of 64-bit integers. None is a missing value."""
    return ident is None or (isinstance(ident, int) and not isinstance(ident, bool) and -2**63 <= ident < 2**63)
