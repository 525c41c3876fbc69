"""The numbers of a report as data: `numbers.json`.

This record holds every number with its value, n, interval, method and runs, a digest of each drawing, and what is
needed to compute the report again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from gru_bench import __version__
from gru_bench.cli import quoted
from gru_bench.errors import DataError, UsageError
from gru_bench.report.document.numbers import Number
from gru_bench.report.document.report import Report, Source
from gru_bench.results.runs import parsed

NAME = "numbers.json"
FORMAT = 6


@dataclass(frozen=True, kw_only=True)
class Record(Source):
    """The content of `numbers.json`."""

    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)]
    title: str
    runs: tuple[str, ...]
    numbers: Mapping[str, Any]
    """Key -> what `entry` returns."""
    drawings: Mapping[str, Any]
    """Figure -> the digests of its drawings."""
    pages: Mapping[str, str] = field(default_factory=dict)
    """Run -> its page."""


def recorded(report: Report) -> str:
    """Return the content of `numbers.json`, for which the figures are drawn."""
    drawings = {figure.name: {"page": digest(figure.svg), "paper": digest(figure.pdf)} for figure in report.figures}
    return json.dumps(record(report) | {"drawings": drawings}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def record(report: Report) -> dict[str, Any]:
    """Return every number, and what is needed to compute them again, as JSON values."""
    numbers = report.numbers
    found = {
        "format": FORMAT,
        "gru_bench": __version__,
        "title": report.title,
        **asdict(report.source),
        "runs": sorted({run for number in numbers.values() for run in number.runs}),
        "pages": {run.run_id: run.url for run in report.runs if run.url is not None},
        "numbers": {key: entry(number) for key, number in numbers.items()},
    }
    return {key: value for key, value in found.items() if value or key not in ("files", "pages")}


def entry(number: Number) -> dict[str, Any]:
    """Return one number: value, text as rendered, unit, n (examples), interval, method and runs."""
    ends = [_finite(end.value) for end in number.ends]
    return {
        "value": _finite(number.value),
        "text": number.text,
        "kind": number.kind,
        "n": number.examples,
        "interval": None if None in ends else ends,
        "interval_text": None if None in ends else [end.text for end in number.ends],
        "method": number.method,
        "runs": list(number.runs),
    }


def digest(drawing: str | bytes) -> str:
    """Return the digest of a drawing as it is in a file: no other machine need draw it in the same way."""
    return sha256(drawing.strip().encode() if isinstance(drawing, str) else drawing).hexdigest()


def read(folder: Path) -> Record:
    """Return a report's record.

    Raises:
        UsageError: if the folder holds no report, or one on files of predictions.
        DataError: if the record is damaged or of another format.
    """
    path = folder / NAME
    if not path.is_file():
        raise UsageError(f"--verify must name the folder of a report, but there is no {path}: write one first "
                         f"(gru-bench report --out {quoted(str(folder))})")
    try:
        found = parsed(Record, path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path} must be a record that a report left, but is not ({error}): write it again with "
                        f"gru-bench report --out {quoted(str(folder))}") from None
    if found.files:
        raise UsageError(f"--verify must name the folder of a report on studies, but {folder} is on files of "
                         f"predictions: repeat its gru-bench compare into another folder, and compare {NAME} of both")
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
