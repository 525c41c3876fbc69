"""Files of given bytes, and the rows of a single file."""

from __future__ import annotations

import gzip
from pathlib import Path

from gru_bench.data.columns import Columns
from gru_bench.data.files import DataFile, check_files
from gru_bench.data.tables import Rows, read_files


def gzipped(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content))
    return path


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def read_rows(path: Path, columns: Columns, encoding: str = "utf-8") -> Rows:
    files = [DataFile(path)]
    check_files(files)
    return read_files(files, columns, path, encoding)
