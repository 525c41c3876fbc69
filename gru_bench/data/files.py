"""Data files: how they are named, opened and read, and what an error about a damaged one says."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gru_bench.config import path_name
from gru_bench.data.limits import in_memory
from gru_bench.errors import DataError, UsageError, shown

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
PICKLES = (".pkl", ".pickle", ".tar.gz", ".pkl.gz", ".pickle.gz")
KINDS = "CSV (.csv), TSV (.tsv), JSON Lines (.jsonl), Parquet (.parquet) or a pickle (.pkl.gz, .tar.gz)"
_REMEDIES = {
    (".xlsx", ".xls", ".xlsm", ".ods", ".numbers"): "open it and save it as CSV (UTF-8)",
    (".json",): "write one object on each line, and name it .jsonl",
    (".zip", ".tar", ".7z", ".rar", ".bz2", ".xz", ".zst"): "unpack it, and name the file inside",
}
"""Endings of other kinds of files -> what to do with such a file."""
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


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
        wrong = (f"line {_line_of_wrong_byte(path, encoding):,} is not (byte {error.object[error.start]:#04x})"
                 if isinstance(error, UnicodeDecodeError) else f"it is not ({shown(str(error), '')})")
        raise DataError(f"{path} must be {encoding.upper()} text, but {wrong}: save it as UTF-8, or name its encoding, "
                        "such as --encoding cp1252") from error
    except OSError as error:
        raise DataError(f"{path} must be readable, but: {shown(error.strerror or str(error), '', 200)}") from error


def _line_of_wrong_byte(path: Path, encoding: str) -> int:
    """Return the number of the first line that cannot be decoded. The file is read again, up to this line."""
    decoder = codecs.getincrementaldecoder(_codec(encoding))()
    line = 1
    with suppress(EOFError, zlib.error, OSError), opened(path) as binary:  # of damaged gzip data, some lines later
        while block := binary.read(1 << 16):
            try:
                line += decoder.decode(block).count("\n")
            except UnicodeDecodeError as error:
                return line + error.object[:error.start].decode(_codec(encoding), "replace").count("\n")
    return line
