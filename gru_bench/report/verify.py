"""Checks that a report says what its runs say.

The numbers of its record are computed again from the runs and compared by their keys. Each file must have the digest
that the record has of it, so that changed numbers, words and drawings of a file are found, too. Unrounded values may
differ by rounding, as other machines compute them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from gru_bench.document.report import SourceStudy
from gru_bench.errors import RunError, UsageError
from gru_bench.evidence.collect import collect
from gru_bench.evidence.store import StudyStore
from gru_bench.report.build import build
from gru_bench.report.render.record import NAME, Entry, Record, digest
from gru_bench.tracking import LoggedStudy

TOLERANCE = 1e-9
"""Relative difference of two values that may be due to the machine."""


def differences(folder: Path, found: Record, store: StudyStore) -> list[str]:
    """Compute the numbers of a report again and return every difference of its files, as sentences.

    Args:
        folder: Folder of the report.
        found: Record of the report, as `read` returns it.
        store: Store that holds its runs.
    """
    told = list(_changed_files(folder, found.digests))
    known = store.experiments()
    places = [one for one in known if one == found.experiment] or [one for one in known if one in found.experiment]
    try:
        here = [study for place in places or [found.experiment] for study in store.studies(place)]
    except UsageError as error:
        return [*told, f"the experiment is gone: {error}"]
    studies = []
    for source in found.studies:
        study = _found(source, here)
        if study is None:
            told.append(f"the run {source.run} of the study {source.name} is gone")
        else:
            studies.append(study)
            told += [study.damaged] if study.damaged else []
    ids = {run.run_id for study in studies for run in study.runs}
    gone = {source.run for source in found.studies}
    told += [f"the run {run} is gone" for run in found.runs if run not in ids and run not in gone]
    try:
        evidence = collect(studies, store, found.margin, found.on_test)
        report = build(evidence, experiment=found.experiment, tracking_uri=found.tracking_uri,
                       warnings=[(text,) for text in found.warnings_before])
    except (RunError, UsageError) as error:
        return [*told, f"it cannot be recomputed: {error}"]
    fresh = {key: Entry.of(number) for key, number in report.numbers.items()}
    for key in dict.fromkeys((*fresh, *found.numbers)):
        if said := _difference(found.numbers.get(key), fresh.get(key)):
            told.append(f"{NAME}: {key} {said}")
    return told


def _changed_files(folder: Path, digests: Mapping[str, str]) -> Iterator[str]:
    for name, right in digests.items():
        if not (folder / name).is_file():
            yield f"{name} is missing"
        elif digest((folder / name).read_bytes()) != right:
            yield f"{name} does not match its digest in {NAME}"


def _found(source: SourceStudy, here: Sequence[LoggedStudy]) -> LoggedStudy | None:
    """Return the study that a report names."""
    return next((study for study in here if source.run == study.run.run_id), None)


def _difference(was: Entry | None, now: Entry | None) -> str:
    """Return the first part in which two entries of a number differ; empty if none does.

    Args:
        was: As the record has it; None where it lacks the number.
        now: As it is computed again; None where the runs do not give it.
    """
    if was is None or now is None:
        return "is missing" if was is None else "cannot be computed from the runs"
    for part in fields(Entry):
        old, new = getattr(was, part.name), getattr(now, part.name)
        if part.name == "runs":
            old, new = set(old), set(new)
        if not _equal(old, new):
            return f"has the {part.name} {old!a}, but the runs give {new!a}"
    return ""


def _equal(old: Any, new: Any) -> bool:
    if isinstance(old, tuple) and isinstance(new, tuple):
        return len(old) == len(new) and all(map(_equal, old, new))
    if isinstance(old, float) and isinstance(new, float):
        return math.isclose(old, new, rel_tol=TOLERANCE, abs_tol=1e-12)
    return bool(old == new)
