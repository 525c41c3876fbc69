"""The numbers of a report as data: `numbers.json`.

This record holds every number with its value, n, interval, method and runs, a digest of each drawing, and what is
needed to compute the report again.
"""

from __future__ import annotations

import json
import math
from hashlib import sha256
from pathlib import Path
from typing import Any

from gru_bench import __version__
from gru_bench.cli import quoted
from gru_bench.errors import DataError, UsageError
from gru_bench.report.document.numbers import Number
from gru_bench.report.document.report import Report
from gru_bench.results.runs import parsed

NAME = "numbers.json"
FORMAT = 6
MOST_MODELS = 1_000_000
"""Most models on one test set that a record may name."""


def recorded(report: Report) -> str:
    """Return the content of `numbers.json`, for which the figures are drawn."""
    drawings = {figure.name: {"page": digest(figure.svg), "paper": digest(figure.pdf)} for figure in report.figures}
    return json.dumps(record(report) | {"drawings": drawings}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def record(report: Report) -> dict[str, Any]:
    """Return every number, and what is needed to compute them again, as JSON values."""
    numbers, source = report.numbers, report.source
    pages = {run.run_id: run.url for run in report.runs if run.url is not None}
    return {
        "format": FORMAT,
        "gru_bench": __version__,
        "title": report.title,
        "experiment": source.experiment,
        "tracking_uri": source.tracking_uri,
        "margin": source.margin,
        "warnings_before": list(source.warnings_before),
        "known_studies": list(source.known_studies),
        "mcnemar_runs": list(source.mcnemar_runs or ()),
        "on_test": dict(source.on_test),
        "studies": [{"name": name, "run": run} for name, run in source.studies],
        **({"files": [{"name": name, "sha256": digest} for name, digest in source.files]} if source.files else {}),
        "runs": sorted({run for number in numbers.values() for run in number.runs}),
        **({"pages": pages} if pages else {}),
        "numbers": {key: entry(number) for key, number in numbers.items()},
    }


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


def read(folder: Path) -> dict[str, Any]:
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
        found = parsed(dict[str, Any], path.read_bytes())
        if found.get("files"):
            raise UsageError(f"--verify must name the folder of a report on studies, but {folder} is on files of "
                             f"predictions: repeat its gru-bench compare into another folder, and compare {NAME} of "
                             "both")
        kinds = {"experiment": str, "tracking_uri": str, "title": str, "margin": float, "warnings_before": list,
                 "known_studies": list, "mcnemar_runs": list, "on_test": dict, "studies": list, "runs": list,
                 "numbers": dict, "drawings": dict}
        broken = next((key for key, kind in kinds.items() if not isinstance(found[key], kind)), None)
        if broken is not None or found["format"] != FORMAT:
            raise ValueError(f"{broken or 'format'} is {found[broken or 'format']!r}")
        if not all(isinstance(study["run"], str) for study in found["studies"]):
            raise ValueError("a study's run is no text")
        named = found["mcnemar_runs"]
        if not (len(named) in (0, 2) and all(isinstance(run, str) for run in named)):
            raise ValueError(f"mcnemar_runs is {named!r}")
        if not all(isinstance(counts, list) and len(counts) == 2
                   and all(type(count) is int and 0 <= count <= MOST_MODELS for count in counts)
                   for counts in found["on_test"].values()):
            raise ValueError(f"on_test is {found['on_test']!r}")
        if not all(isinstance(page, str) for page in dict(found.get("pages", {})).values()):
            raise ValueError(f"pages is {found['pages']!r}")
        if not 0 < found["margin"] <= 0.5:
            raise ValueError(f"margin is {found['margin']!r}")
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} must be a record that a report left, but is not ({error}): write it again with "
                        f"gru-bench report --out {quoted(str(folder))}") from None
    return dict(found)


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
