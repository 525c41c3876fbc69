"""What a file of data may hold at most, so that a small one cannot fill the memory or keep a machine busy for hours.

| of | at most |
|---|---|
| a row: a line, a row of a table, a review of a pickle | 4 million characters |
| a file | 250 MB of memory, or 100 times its own size, whichever is more |
| a word vector | 100,000 numbers |
| a table that a run keeps | 256 MB of memory, or 64 times its own size, whichever is more |
| an archive of a study | 2 million values of metrics; 256 MB for each of its lists |

Ordinary data stays far below: ten million reviews of 1,000 characters take 11 GB of memory, while their file of 10 GB
may take 1,000 GB, and gzipped to 3 GB it may take 300 GB. What is counted is the characters of what is read and 100
bytes for each line or row; in a pickle 64 bytes for each of its instructions.

`GRU_BENCH_LIMITS=10` in the environment multiplies all of this by ten.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gru_bench.errors import DataError, UsageError

ROW = 4_000_000
"""Characters of a row."""
MEMORY = 250_000_000
"""Bytes that any file may take, however small it is."""
GROWTH = 100
"""Times its own size that a file may take."""
NUMBERS = 100_000
"""Numbers of a word vector."""
ROW_COST = 100
"""Bytes that a row or a line counts beside its characters."""

_SETTING = "GRU_BENCH_LIMITS"
MORE = f"{_SETTING}=10 in the environment allows ten times as much"


def factor() -> float:
    """Return the number that all limits are multiplied by: GRU_BENCH_LIMITS, or 1.

    Raises:
        UsageError: where it is set to something else than a number from 1 on.
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
    """What one file may still take."""

    def __init__(self, path: Path) -> None:
        """Begin with all that a file of its size may take.

        Raises:
            UsageError: for a factor that is none.
        """
        times = factor()
        self._path = path
        self.row = int(ROW * times)
        """Characters that a row may have."""
        self.numbers = int(NUMBERS * times)
        """Numbers that a word vector may have."""
        self.left = self._most = int(max(MEMORY, GROWTH * path.stat().st_size) * times)
        """Bytes that may still be taken."""

    def spend(self, size: int) -> None:
        """Take `size` bytes.

        Raises:
            DataError: where they are more than is left.
        """
        self.left -= size
        if self.left < 0:
            raise DataError(f"{self._path} must not unpack to more than {self._most / 1e6:,.0f} MB (250 MB, or "
                            f"{GROWTH} times its size), but it does: check where it comes from; {MORE}")

    def row_too_long(self, where: str) -> DataError:
        """Return the error for a row with too many characters; `where` names it."""
        return DataError(f"{self._path} must have rows of at most {self.row:,} characters, but {where} has more: look "
                         f"for a quote or a line break that is missing there; {MORE}")


@contextmanager
def in_memory(what: object) -> Iterator[None]:
    """Turn running out of memory into one sentence about `what`.

    Raises:
        DataError: in place of a MemoryError that is raised within.
    """
    try:
        yield
    except MemoryError as error:
        raise DataError(f"{what} must fit into the memory of this machine, but it does not: close other programs, or "
                        "use fewer reviews or words") from error
