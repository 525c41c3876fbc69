"""The files of a data set: how they are found and opened, and what an error about a damaged one says.

A data set is a file or a folder. A folder is read by what is in it:

- texts: a folder for each class, with one .txt file for each text;
- tables: CSV, TSV, JSON Lines or Parquet files of the same columns, together one data set;
- splits: folders named train, validation and test, which hold texts or tables.

Tables in a folder whose names begin with train, validation or test, such as train-00000-of-00002.parquet, belong to
that split.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import importlib.util
import io
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from gru_bench.errors import DataError, UsageError, no_file, shown

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
PICKLES = (".pkl", ".pickle", ".tar.gz", ".pkl.gz", ".pickle.gz")
KINDS = "CSV (.csv), TSV (.tsv), JSON Lines (.jsonl), Parquet (.parquet) or a pickle (.pkl.gz, .tar.gz)"
TEXT, PICKLE = ".txt", "pickle"
PARTS = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test",
}
"""Name of a split, in lower case -> ours."""
_REMEDIES = {
    (".xlsx", ".xls", ".xlsm", ".ods", ".numbers"): "open it and save it as CSV (UTF-8)",
    (".json",): "write one object on each line, and name it .jsonl",
    (".zip", ".tar", ".7z", ".rar", ".bz2", ".xz", ".zst"): "unpack it, and use the file inside",
}
"""Endings of other kinds of files -> what to do with such a file."""
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True)
class DataFile:
    """A file of a data set."""

    path: Path
    split: str | None = None
    """train, validation or test, for all rows of the file. None: a column says it, or nothing does."""
    label: str | None = None
    """The class of a text file, which is one text. None for files of any other kind."""
    root: Path | None = None
    """The folder in which it was found. None: its own folder."""

    @property
    def name(self) -> str:
        """Return the name by which its rows are called: its path in `root`."""
        return self.path.relative_to(self.root or self.path.parent).as_posix()


@dataclass(frozen=True)
class Found:
    """The files of a data set, in the order of their rows."""

    files: tuple[DataFile, ...]
    left_out: tuple[str, ...] = ()
    """Sentences on folders that are left out."""


def kind_of(path: Path) -> str:
    """Return the kind of a file: its ending in `TABLES`, without .gz, or `TEXT`, or `PICKLE`.

    Raises:
        UsageError: for the ending of an unsupported kind of file.
    """
    name = path.name.lower()
    if name.endswith(PICKLES):
        return PICKLE
    for ending in (*TABLES, TEXT):
        if name.endswith((ending, f"{ending}.gz")) and not name.endswith(".parquet.gz"):
            return ending
    raise _unsupported(path)


def _unsupported(path: Path) -> UsageError:
    name = path.name.lower()
    remedy = next((remedy for endings, remedy in _REMEDIES.items() if name.endswith(endings)),
                  "convert it, or rename it if it already is one of these")
    return UsageError(f"the data must be {KINDS}, but got {shown(path.name)}: {remedy}")


def named_path(name: str, what: str) -> Path:
    """Return the path of a file, with `~` replaced by the home folder.

    Args:
        name: Path as it was typed.
        what: What the file holds, for error messages, such as `the data`.

    Raises:
        UsageError: for a web address, and for a name that no file can have.
    """
    if _ADDRESS.match(name):
        raise UsageError(f"{what} must be a file on this machine, but {shown(name)} is a URL: download it first")
    try:
        name.encode()
        path = Path(name).expanduser()
        path.exists()
    except (UnicodeEncodeError, RuntimeError, OSError) as error:  # such as a folder that may not be entered
        raise UsageError(f"{what} must be a path that can be read, but {shown(name)} is not "
                         f"({shown(getattr(error, 'strerror', None) or str(error), '')}): check the path") from error
    return path


def packaged(package: str, name: str) -> Path | None:
    """Return a file in the folder `data` of an installed package; None if it is not there.

    The package is not imported, because packages of data read all of it then.
    """
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(place) / "data" / name).is_file():
            return path
    return None


# ---------------------------------------------------------------- folders


def files_of(path: Path) -> Found:
    """Return the files of a data set.

    Raises:
        UsageError: for a folder that is none of those described above, and for files of which only some are named after
            a split.
    """
    if not path.is_dir():
        return Found((DataFile(path),))
    with reading(path):
        return _folder(path)


def check_files(files: Sequence[DataFile]) -> None:
    """Check that files can be read, before any of them is opened: a pipe or a device would keep the reader waiting.

    Raises:
        UsageError: A path is not a file, or its kind is not supported.
        DataError: A file is empty.
    """
    for file in files:
        path = file.path
        if not path.is_file():
            raise no_file(path)
        if kind_of(path) == TEXT and file.label is None:
            raise _unsupported(path)
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty (0 bytes): create or copy it again")


def _folder(path: Path) -> Found:
    """Return the tables and the folders of texts in a folder, or in its folders of splits.

    A folder that is named after a split and holds texts itself is a class, if another class stands beside it.
    """
    here = {one: _texts(one) for one in _visible(path)}
    are_classes = any(texts and one.name.lower() not in PARTS for one, texts in here.items())
    splits = {one: PARTS[one.name.lower()] for one, texts in here.items()
              if one.is_dir() and one.name.lower() in PARTS and not (are_classes and texts)}
    files: list[DataFile] = []
    left_out: dict[str, list[str]] = {}
    for folder in (path, *splits):
        for one, texts in (here if folder == path else {one: _texts(one) for one in _visible(folder)}).items():
            if one in splits:
                continue
            if one.name.lower().removesuffix(".gz").endswith(TABLES) and not one.is_dir():
                files.append(DataFile(one, _split_of(one, path), root=path))
            elif texts and not (splits and folder == path):
                files += [DataFile(text, splits.get(folder), label=one.name, root=path) for text in texts]
            elif one.is_dir():
                reason = "are not in the folder of a split" if texts else "contain no labeled texts"
                left_out.setdefault(reason, []).append(one.relative_to(path).as_posix())
    _require_one_kind(path, files)
    return Found(_of_splits(path, files), tuple(
        f"left out, because they {reason}: {', '.join(names)}" for reason, names in left_out.items()))


def _split_of(table: Path, root: Path) -> str | None:
    """Return the split that a table in the folder `root` belongs to, by its own folder there or else by its name."""
    own = PARTS.get(table.parent.name.lower()) if table.parent != root else None
    return own or PARTS.get(_first_word(table))


def _first_word(path: Path) -> str:
    return re.split(r"[-_.]", path.name.lower())[0]


def _texts(folder: Path) -> list[Path]:
    """Return the text files in a folder; none if it is no folder."""
    return [path for path in _visible(folder) if path.name.lower().endswith(TEXT)] if folder.is_dir() else []


def _visible(folder: Path) -> list[Path]:
    """Return what is in a folder, by name, without hidden files."""
    return sorted((one for one in folder.iterdir() if not one.name.startswith((".", "__MACOSX"))), key=str)


def _require_one_kind(path: Path, files: Sequence[DataFile]) -> None:
    """Check that a folder contains either texts or tables."""
    if not files:
        raise UsageError(f"a folder of data must contain tables ({', '.join(TABLES)}), or a folder for each class with "
                         f"{TEXT} files in it, but {path} contains neither: choose a file, or another folder")
    first = {file.label is None: file.path.relative_to(path) for file in reversed(files)}
    if len(first) == 2:
        raise UsageError(f"a folder of data must contain either folders of texts or tables, but {path} contains both, "
                         f"such as {first[False]} and {first[True]}: move one of them")


def _of_splits(path: Path, files: Sequence[DataFile]) -> tuple[DataFile, ...]:
    """Return files of several splits, or of none: one split alone is to be split."""
    named = {file.split is not None: file.path.name for file in reversed(files)}
    if len(named) == 2:
        raise UsageError(f"either all files of {path} must be named after a split, or none, but {named[True]} is and "
                         f"{named[False]} is not: rename it, or move it to another folder")
    is_one = len({file.split for file in files}) == 1
    return tuple(replace(file, split=None if is_one else file.split) for file in files)


# ---------------------------------------------------------------- reading


def opened(path: Path) -> io.BufferedReader:
    """Open a file for reading bytes. Gzipped content is unpacked, whatever the name of the file."""
    return io.BufferedReader(gzip.open(path, "rb")) if is_gzipped(path) else path.open("rb")


def is_gzipped(path: Path) -> bool:
    """Return whether the content of a file is gzipped, whatever its name."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


@contextmanager
def opened_text(path: Path, encoding: str) -> Iterator[io.TextIOWrapper[io.BufferedReader]]:
    """Open a file for reading text, with its line breaks as they are.

    Raises:
        DataError: for a ZIP archive.
    """
    with opened(path) as binary, io.TextIOWrapper(binary, encoding=_codec(encoding), newline="") as text:
        if binary.peek(4)[:4] == b"PK\x03\x04":
            raise DataError(f"{path} must be text, but it is a ZIP archive, as spreadsheet files (.xlsx) are: open it "
                            "and save it as CSV (UTF-8)")
        yield text


def _codec(encoding: str) -> str:
    """Return Python's name of an encoding. The mark at the beginning of some UTF-8 files is left out."""
    return "utf-8-sig" if encoding == "utf-8" else encoding


def digest(path: Path) -> str:
    """Return the SHA-256 of the content of a file.

    Raises:
        DataError: where the file cannot be read.
    """
    with reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_writable(
    path: Path, option: str, what: str, is_own: Callable[[Path], bool], *, inputs: Iterable[Path] = ()
) -> None:
    """Check that a command loses no file of the user where it writes one.

    Args:
        path: The file to write.
        option: The option that names it or its folder, for messages.
        what: What gru-bench writes there, for messages.
        is_own: Whether gru-bench has written a file, as its content shows.
        inputs: The files that the command reads.

    Raises:
        UsageError: It is one of `inputs`, a folder, in a folder that is a file, or a file that gru-bench has not
            written.
        DataError: It cannot be read.
    """
    if not path.exists():
        return
    with reading(path):
        is_input = any(path.samefile(one) for one in inputs if one.exists())
        own = not is_input and path.is_file() and is_own(path)
    if not own:
        found = "is read by this command" if is_input else "is another file"
        raise UsageError(f"{option} must be new, or {what} written by gru-bench, but {shown(str(path))} {found}: "
                         "choose another")


def check_table(path: Path, columns: Sequence[str]) -> None:
    """Check that the option --csv of a command names a new file or a table with the same columns.

    Args:
        path: The file that --csv names.
        columns: The columns of the table.

    Raises:
        UsageError: It is another file, or in no folder.
        DataError: It cannot be read.
    """
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"--csv must be a file in an existing folder, but got {shown(str(path))}")
    check_writable(path, "--csv", f"a table with the columns {', '.join(columns)}", partial(has_columns, columns))


def has_columns(columns: Sequence[str], path: Path, *, more: bool = False) -> bool:
    """Return whether a file is a CSV table with these columns; with `more`, others may follow."""
    head = ",".join(columns).encode()
    with path.open("rb") as file:
        first = file.readline(len(head) + 2).rstrip(b"\r\n")
    return first == head or (more and first.startswith(head + b","))


@contextmanager
def reading(path: Path, encoding: str | None = None) -> Iterator[None]:
    """Replace errors of the standard library about a damaged file by one message.

    Args:
        path: The file.
        encoding: Encoding in which the file is read, for the message. None: UTF-8, and no option names another.

    Raises:
        DataError: instead of an error within the context about gzip, the encoding or reading.
    """
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is truncated or damaged gzip data ({error}): download or copy it again") from error
    except UnicodeError as error:
        used = encoding or "utf-8"
        wrong = (f"line {_line_of_wrong_byte(path, used):,} is not (byte {error.object[error.start]:#04x})"
                 if isinstance(error, UnicodeDecodeError) else f"it is not ({shown(str(error), '')})")
        is_utf16 = isinstance(error, UnicodeDecodeError) and error.object[:2] in (
            codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        other = f", or set its encoding, such as data.encoding={'utf-16' if is_utf16 else 'cp1252'}" if encoding else ""
        raise DataError(f"{path} must be {used.upper()} text, but {wrong}: save it as UTF-8{other}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {shown(error.strerror or str(error), '', 200)}") from error


def _line_of_wrong_byte(path: Path, encoding: str) -> int:
    """Return the number of the first line that cannot be decoded. The file is read again, up to this line."""
    line = 1
    with suppress(UnicodeDecodeError, EOFError, zlib.error, OSError), opened(path) as binary:
        for text in codecs.iterdecode(binary, _codec(encoding)):
            line += text.count("\n")
    return line
