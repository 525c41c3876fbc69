"""Upper limits for data files, so that a small file cannot fill the memory or keep a machine busy for hours.

| what | limit |
|---|---|
| a row: a line, a row of a table, a review of a pickle | 4 million characters |
| a file, or all files of a data set | 250 MB of memory, or 100 times their own size, whichever is more |
| a word vector | 100,000 numbers |
| a table that a run keeps | 256 MB of memory, or 64 times its own size, whichever is more |
| an archive of a study | 2 million values of metrics, and 256 MB for each of its lists |

Ordinary data stays far below these limits: ten million reviews of 1,000 characters take 11 GB of memory, while their
file of 10 GB may take 1,000 GB, and gzipped to 3 GB it may take 300 GB. The count of a file is the number of characters
that are read, plus 100 bytes for each line or row, or 64 bytes for each instruction of a pickle.

`GRU_BENCH_LIMITS=10` in the environment multiplies all limits by ten.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gru_bench.errors import DataError, UsageError

ROW = 4_000_000
"""Largest number of characters in a row."""
MEMORY = 250_000_000
"""Number of bytes that every file may take, however small it is."""
GROWTH = 100
"""Number of bytes that a file may take for each byte of its size."""
NUMBERS = 100_000
"""Largest length of a word vector."""
ROW_COST = 100
"""Number of bytes that a row or a line counts in addition to its characters."""

_SETTING = "GRU_BENCH_LIMITS"
MORE = f"{_SETTING}=10 in the environment allows ten times as much"


def factor() -> float:
    """Return the factor of all limits: the value of GRU_BENCH_LIMITS, or 1.

    Raises:
        UsageError: where it is set and is not a number of at least 1.
    """
    text = os.environ.get(_SETTING, "").strip() or "1"
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 1 <= number <= 1e6:
        raise UsageError(f"{_SETTING} must be a number from 1 to 1,000,000, but got {text[:40]!r}: leave it out, or "
                         "set it to 10 for limits ten times as high")
    return number


class Budget:
    """The memory that a file, or the files of one data set together, may still take."""

    def __init__(self, path: Path, size: int | None = None) -> None:
        """Start with the full amount.

        Args:
            path: The file, or what names the data set in error messages.
            size: Bytes of all files together. None: the size of the file.

        Raises:
            UsageError: where GRU_BENCH_LIMITS is not a valid factor.
        """
        times = factor()
        self._path = path
        self.file = path
        """The file that is being read, for error messages about a row."""
        self.row = int(ROW * times)
        """Largest number of characters in a row."""
        self.numbers = int(NUMBERS * times)
        """Largest length of a word vector."""
        self.left = self._most = int(
            max(MEMORY, GROWTH * (path.stat().st_size if size is None else size)) * times)
        """Number of bytes that may still be taken."""

    def spend(self, size: int) -> None:
        """Count `size` bytes.

        Raises:
            DataError: where the file takes more than its limit.
        """
        self.require(size)
        self.left -= size

    def require(self, size: int) -> None:
        """Check that `size` more bytes may be taken, without counting them.

        Raises:
            DataError: where the file would take more than its limit.
        """
        if size > self.left:
            raise DataError(f"{self._path} must not unpack to more than {self._most / 1e6:,.0f} MB (250 MB, or "
                            f"{GROWTH} times its size), but it does: check where it comes from; {MORE}")

    def row_too_long(self, where: str) -> DataError:
        """Return the error for a row with too many characters. `where` says which row it is."""
        return DataError(f"{self.file} must have rows of at most {self.row:,} characters, but {where} has more: look "
                         f"for a missing quote or line break there; {MORE}")


@contextmanager
def in_memory(what: object) -> Iterator[None]:
    """Replace a MemoryError within the context by a message about `what`.

    Raises:
        DataError: instead of a MemoryError.
    """
    try:
        yield
    except MemoryError as error:
        raise DataError(f"{what} must fit into the memory of this machine, but it does not: close other programs, or "
                        "use fewer reviews or words") from error
