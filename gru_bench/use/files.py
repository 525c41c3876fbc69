"""Files of texts and files of predictions, read and written in parts, so that any number of rows needs little memory.

A text that cannot be read ends the reading with the number of its line. The output is written beside its final place
and moved there when it is whole.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pydantic import ValidationError

from gru_bench.config import DataConfig
from gru_bench.data.columns import Columns
from gru_bench.data.readers import TABLES, kind_of, opened, reading
from gru_bench.errors import DataError, UsageError, shown, unknown
from gru_bench.platforms import remove, replace
from gru_bench.use.predictor import Prediction

CHUNK = 2_048
"""Number of texts that are predicted at once. More need more memory and are not faster."""
ID_COLUMNS = ("id", "example_id", "review_id", "text_id")
"""Usual names of the column that identifies a row, in lower case."""
LINES = (".txt", ".txt.gz")
"""Endings of files that hold one text on each line."""
OUTPUTS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")


@dataclass(frozen=True)
class Part:
    """Some rows of a file, one after another."""

    ids: list[Any]
    """Values of the id column, or the numbers of the rows counted from 1."""
    texts: list[str]
    position: int
    """Bytes of the file that have been read, or rows of a Parquet file."""


@dataclass(frozen=True)
class TextFile:
    """A file of texts: CSV, TSV, JSON Lines, Parquet, or a text on each line (.txt)."""

    path: Path
    text_column: str | None = None
    """None: `text`, or the one column of a usual name."""
    id_column: str | None = None
    """None: the column of a usual name, if there is one."""
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        """Check that the file is there.

        Raises:
            UsageError: for a path that is no file, a file of an unsupported kind, or an unknown encoding.
            DataError: for an empty file.
        """
        try:
            _ = self._codec
        except ValidationError as error:
            raise UsageError("--encoding must be an encoding of text, such as utf-8, cp1252 (Windows), latin-1 or "
                             f"utf-16, but got {shown(self.encoding)}: choose one") from error
        if not self.path.is_file():
            raise UsageError(f"--file must name a file of texts, but there is none at {str(self.path)!r}: check the "
                             "path")
        if self._kind == "pickle":
            raise UsageError(f"--file must be one of {', '.join((*TABLES, '.txt'))}, but got {self.path.name!r}: "
                             "write the texts to one of these")
        if self.path.stat().st_size == 0:
            raise self._empty("it is empty (0 bytes)")

    @property
    def _kind(self) -> str:
        return ".txt" if self.path.name.lower().endswith(LINES) else kind_of(self.path)

    @property
    def _codec(self) -> str:
        """Return Python's name of the encoding. The mark at the beginning of some UTF-8 files is left out."""
        name = DataConfig(encoding=self.encoding).encoding
        return "utf-8-sig" if name == "utf-8" else name

    @property
    def size(self) -> int | None:
        """Return the position at the end of the file. None for a gzipped file, whose end is not known before."""
        if self._kind == ".parquet":
            import pyarrow.parquet as pq

            with reading(self.path), _arrow_errors(self.path):
                return int(pq.read_metadata(self.path).num_rows)
        with self.path.open("rb") as file:
            return None if file.read(2) == b"\x1f\x8b" else self.path.stat().st_size

    def parts(self, count: int = CHUNK) -> Iterator[Part]:
        """Yield the rows in parts of `count`.

        Raises:
            UsageError: for a column that the file lacks. The error lists its columns.
            DataError: for a file without rows, and for a row that cannot be read. The error has its line.
        """
        parts = self._parquet(count) if self._kind == ".parquet" else self._text(count)
        first = next(parts, None)
        if first is None:
            raise self._empty("it has no row")
        yield first
        yield from parts

    def _text(self, count: int) -> Iterator[Part]:
        with reading(self.path, self.encoding), opened(self.path) as binary, \
                io.TextIOWrapper(binary, encoding=self._codec, newline="") as text:
            rows = {".csv": self._separated, ".tsv": self._separated, ".txt": self._lines}.get(
                self._kind, self._json_lines)(text)
            try:
                yield from _chunks(rows, count, binary.tell)
            except UnicodeDecodeError as error:
                raise DataError(f"{self.path} must be {self.encoding.upper()} text, but line "
                                f"{self._line_of_wrong_byte():,} is not (byte {error.object[error.start]:#04x}): "
                                "save it as UTF-8, or name its encoding, such as --encoding cp1252") from error

    def _line_of_wrong_byte(self) -> int:
        """Return the number of the first line that cannot be decoded. The file is read again, up to this line."""
        decoder = codecs.getincrementaldecoder(self._codec)()
        line = 1
        with opened(self.path) as binary:
            while block := binary.read(1 << 16):
                try:
                    line += decoder.decode(block).count("\n")
                except UnicodeDecodeError as error:
                    return line + error.object[:error.start].decode(self._codec, "replace").count("\n")
        return line

    def _lines(self, text: IO[str]) -> Iterator[tuple[Any, str]]:
        for number, line in enumerate(text, start=1):
            yield number, line.rstrip("\r\n")

    def _separated(self, text: IO[str]) -> Iterator[tuple[Any, str]]:
        comma = "," if self._kind == ".csv" else "\t"
        csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
        rows = csv.reader(text, delimiter=comma, strict=True)
        number, begins = 0, 1
        try:
            header = next(rows, None)
            if header is None:
                return
            at, id_at = self._places(header)
            begins = rows.line_num + 1
            for row in rows:
                if len(row) == len(header):
                    number += 1
                    yield number if id_at is None else row[id_at], row[at]
                elif row:
                    raise self._wrong(begins, f"{len(row)} values where the first line names {len(header)} columns")
                begins = rows.line_num + 1
        except csv.Error as error:
            raise self._wrong(begins, f"a row that is not well-formed ({error})") from error

    def _json_lines(self, text: IO[str]) -> Iterator[tuple[Any, str]]:
        number = 0
        for line_number, line in enumerate(text, start=1):
            if not line.strip():
                continue
            number += 1
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise self._wrong(line_number, f"no JSON ({str(error)[:100]})") from error
            if not isinstance(row, dict):
                raise self._wrong(line_number, f"{shown(row)}, which is no JSON object")
            if number == 1:
                columns = list(row)
                at, id_at = (None if place is None else columns[place] for place in self._places(columns))
            value = row.get(at)
            if not isinstance(value, str):
                raise self._wrong(line_number, f"{shown(value)} as its {shown(at)}, which is no text"
                                  if at in row else f"no {shown(at)}")
            ident = number if id_at is None else row.get(id_at)
            yield _printable(ident), value

    def _parquet(self, count: int) -> Iterator[Part]:
        import pyarrow.parquet as pq

        done = 0
        with reading(self.path), _arrow_errors(self.path), pq.ParquetFile(self.path) as file:
            columns = list(file.schema_arrow.names)
            at, id_at = self._places(columns)
            wanted = [columns[at], *([columns[id_at]] if id_at not in (None, at) else [])]
            for batch in file.iter_batches(count, columns=wanted):
                texts = batch.column(columns[at]).to_pylist()
                wrong = next((place for place, text in enumerate(texts) if not isinstance(text, str)), None)
                if wrong is not None:
                    raise DataError(f"{self.path} must hold a text in each row, but row {done + wrong + 1:,} has "
                                    f"{shown(texts[wrong])}: mend the row, or leave it out")
                ids = (list(range(done + 1, done + len(texts) + 1)) if id_at is None
                       else batch.column(columns[id_at]).to_pylist())
                done += len(texts)
                yield Part(ids, texts, done)

    def _places(self, columns: list[str]) -> tuple[int, int | None]:
        """Return the positions of the text and of the id.

        Raises:
            UsageError: for a column that the file lacks.
            DataError: for two columns of one name.
        """
        text = self.text_column or Columns().found_in(columns).text
        ident = self.id_column or next((name for name in columns if name.lower() in ID_COLUMNS), None)
        for name, role in ((text, "text"), (ident, "id")):
            if name is None:
                continue
            if name not in columns:
                raise unknown(f"column of {self.path.name}", name, columns,
                              f"Name the one of the {role}s by --{role}-column.")
            if columns.count(name) > 1:
                raise DataError(f"{self.path} must have one column {shown(name)}, but it has {columns.count(name)} of "
                                "that name: rename the others")
        return columns.index(text), None if ident is None else columns.index(ident)

    def _empty(self, why: str) -> DataError:
        return DataError(f"{self.path} must hold texts, but {why}: write or copy it again")

    def _wrong(self, line: int, what: str) -> DataError:
        return DataError(f"{self.path} must hold a text in each row, but line {line:,} has {what}: mend the line, or "
                         "leave it out")


def _printable(ident: object) -> object:
    """Return an id that UTF-8 can store: halves of characters, which JSON can hold, become question marks."""
    return ident.encode("utf-8", "replace").decode() if isinstance(ident, str) else ident


def _chunks(rows: Iterator[tuple[Any, str]], count: int, position: Callable[[], int]) -> Iterator[Part]:
    ids: list[Any] = []
    texts: list[str] = []
    for ident, text in rows:
        ids.append(ident)
        texts.append(text)
        if len(texts) == count:
            yield Part(ids, texts, position())
            ids, texts = [], []
    if texts:
        yield Part(ids, texts, position())


@contextmanager
def _arrow_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (DataError, UsageError, MemoryError):
        raise
    except Exception as error:
        # A damaged file makes Arrow raise errors of nearly any kind, from OSError to KeyError.
        raise DataError(f"{path} must be a Parquet file, but cannot be read ({shown(str(error), '', 200)}): copy it "
                        "again") from error


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
def writing(path: Path, classes: Sequence[str], *, force: bool = False) -> Iterator[
        Callable[[Sequence[Any], Prediction], None]]:
    """Yield a function that writes predictions to a file, whose ending shows its kind. All are written, or none.

    Args:
        path: The file.
        classes: Names of the classes.
        force: Whether a file that exists is replaced.

    Raises:
        UsageError: for a file that exists, is in no folder, or is of an unsupported kind.
    """
    check_output(path, force=force)
    begun = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with (_parquet_writer if path.suffix.lower() == ".parquet" else _text_writer)(begun, path, classes) as write:
            yield write
        replace(begun, path)
    finally:
        remove(begun)


def check_output(path: Path, *, force: bool = False) -> None:
    """Check that predictions can be written to a file.

    Raises:
        UsageError: for a file that exists, is in no folder, or is of an unsupported kind.
    """
    if path.suffix.lower() not in OUTPUTS:
        raise UsageError(f"--out must end in {', '.join(OUTPUTS)}, but got {path.name!r}: choose one")
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"--out must be a file in a folder that exists, but got {str(path)!r}: name another")
    if path.exists() and not force:
        raise UsageError(f"predictions replace a file only with --force, but {str(path)!r} exists: name another, or "
                         "add --force")


@contextmanager
def _text_writer(
    begun: Path, path: Path, classes: Sequence[str]
) -> Iterator[Callable[[Sequence[Any], Prediction], None]]:
    names = column_names(classes)
    with begun.open("w", encoding="utf-8", newline="", errors="replace") as file:
        write_row: Callable[[Mapping[str, Any]], Any]
        if path.suffix.lower() in (".csv", ".tsv"):
            table = csv.DictWriter(file, names, delimiter="," if path.suffix.lower() == ".csv" else "\t",
                                   lineterminator="\n")
            table.writeheader()
            write_row = table.writerow
        else:
            def write_row(row: Mapping[str, Any]) -> None:
                file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")

        def write(ids: Sequence[Any], prediction: Prediction) -> None:
            for row in rows_of(ids, prediction):
                write_row(row)

        yield write


@contextmanager
def _parquet_writer(
    begun: Path, path: Path, classes: Sequence[str]
) -> Iterator[Callable[[Sequence[Any], Prediction], None]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer: pq.ParquetWriter | None = None

    def write(ids: Sequence[Any], prediction: Prediction) -> None:
        nonlocal writer
        whole = all(map(_is_whole, ids)) if writer is None else pa.types.is_int64(writer.schema.field("id").type)
        if whole and (wrong := next((one for one in ids if not _is_whole(one)), None)) is not None:
            raise DataError("the ids must all be whole numbers, as the first ones are, to be written as Parquet, but "
                            f"one is {shown(wrong)}: write CSV or JSON Lines, or choose another --id-column")
        values = pa.array(ids, pa.int64()) if whole else pa.array(
            [None if one is None else str(one) for one in ids], pa.string())
        rows = list(rows_of(ids, prediction))
        columns = {name: pa.array([row[name] for row in rows]) for name in column_names(classes)[1:]}
        table = pa.table({"id": values, **columns})
        writer = writer or pq.ParquetWriter(begun, table.schema)
        writer.write_table(table)

    try:
        yield write
    finally:
        if writer is not None:
            writer.close()


def _is_whole(ident: object) -> bool:
    """Return whether an id can stand in a column of 64-bit integers. None is a missing value."""
    return ident is None or (isinstance(ident, int) and not isinstance(ident, bool) and -2**63 <= ident < 2**63)
