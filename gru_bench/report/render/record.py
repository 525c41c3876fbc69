"""The numbers of a report as data: `numbers.json`.

This record holds every number with its value, n, interval, method and runs, a digest of each other file, and what is
needed to compute the numbers again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from gru_bench._version import __version__
from gru_bench.cli import line
from gru_bench.document.numbers import Number
from gru_bench.document.report import Report, Source
from gru_bench.errors import DataError, UsageError
from gru_bench.results.runs import parsed

NAME = "numbers.json"
FORMAT = 8


@dataclass(frozen=True)
class Entry:
    """A number in the record."""

    value: float | None
    text: str
    """As it is shown."""
    kind: str
    n: int | None
    """Number of examples that it was computed from; None where no examples enter."""
    interval: tuple[float, float] | None
    interval_text: tuple[str, str] | None
    method: str
    runs: tuple[str, ...]
    """Ids of the runs that it was computed from."""
    range: tuple[float, float] | None = None
    """The lowest and the highest run."""
    range_text: tuple[str, str] | None = None

    @classmethod
    def of(cls, number: Number) -> Entry:
        """Return the entry of a number."""
        low, high = (_finite(end.value) for end in number.ends)
        ends = None if low is None or high is None else (low, high)
        texts = None if ends is None else (number.ends[0].text, number.ends[1].text)
        interval, of_runs = ((None, None), (ends, texts)) if number.is_range else ((ends, texts), (None, None))
        return cls(_finite(number.value), number.text, number.kind, number.examples, *interval, number.method,
                   number.runs, *of_runs)

    @property
    def written(self) -> dict[str, Any]:
        """Return it as JSON holds it: without a range where there is none."""
        return {name: value for name, value in vars(self).items() if value is not None or not name.startswith("range")}


@dataclass(frozen=True, kw_only=True)
class Record(Source):
    """The content of `numbers.json`."""

    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)]
    numbers: Mapping[str, Entry]
    digests: Mapping[Annotated[str, Field(pattern=r"^(\w[\w.-]*/)?\w[\w.-]*$")], str]
    """File of the report, without this one -> the SHA-256 of its content."""

    @property
    def runs(self) -> tuple[str, ...]:
        """Return the ids of all runs that its numbers were computed from."""
        return tuple(sorted({run for number in self.numbers.values() for run in number.runs}))


def recorded(report: Report, files: Mapping[str, bytes]) -> bytes:
    """Return the content of `numbers.json`.

    Args:
        report: The report.
        files: Its other files by their names, with their content.
    """
    found = {
        "format": FORMAT,
        "gru_bench": __version__,
        "title": report.title,
        **asdict(report.source),
        "numbers": {key: Entry.of(number).written for key, number in report.numbers.items()},
        "digests": {name: digest(content) for name, content in files.items()},
    }
    if not report.source.files:
        del found["files"]
    return f"{json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False)}\n".encode()


def digest(content: bytes) -> str:
    """Return the digest of a file."""
    return sha256(content).hexdigest()


def read(folder: Path) -> Record:
    """Return a report's record.

    Raises:
        UsageError: if the folder holds no report, or one on files of predictions.
        DataError: if the record is damaged or of another format.
    """
    path = folder / NAME
    if not path.is_file():
        raise UsageError(f"No report in {folder}: {NAME} is missing; write a report first (gru-bench report --out "
                         f"{line([str(folder)])})")
    try:
        found = parsed(Record, path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path} is damaged, or in another format ({error}): write the report again with gru-bench "
                        f"report --out {line([str(folder)])}") from None
    if found.files:
        raise UsageError(f"--verify is for reports on studies, but {folder} is on files of predictions: run its "
                         f"gru-bench compare again with another folder, and compare {NAME} of both")
    return found


def is_report(folder: Path) -> bool:
    """Return whether a folder contains a report, of any version of gru-bench."""
    try:
        found = json.loads((folder / NAME).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and {"format", "gru_bench", "numbers"} <= found.keys()


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
