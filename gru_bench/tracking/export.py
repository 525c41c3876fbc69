"""The runs of a study as records: read from a tracking store for an archive, and checked when they come out of one."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from pydantic import TypeAdapter

from gru_bench.tracking.client import ID_TAG, NOTE, PARENT_TAG, TEST_SET
from gru_bench.tracking.reader import EARLIER_IDS, FORMAT, FORMAT_TAG, LoggedRun, Reader, metric_of
from gru_bench.tracking.record import Point, RunRecord

NO_WEIGHTS = "gru_bench.no_weights"
"""Tag of a run whose weights were left out of the archive that it comes from."""
BROKEN_OFF = "it was running when its study was exported"
"""Reason that is given to a trial or run that was running during an export."""
MOST_EARLIER = 100
"""Most earlier ids that are stored for a run: the first one, and the latest of the others."""
_GIVEN = {ID_TAG, PARENT_TAG, "mlflow.parentRunId"}
"""Tags that an upload sets, from the ids in a record."""
_LAST = ("gru_bench.state", "gru_bench.complete", "gru_bench.reason")
"""Tags of how a run ended, which are set last."""
_ID = "[0-9a-f]{32}"
_FORMS = {
    "gru_bench.role": "study|trial|confirm|ablation|baseline|superseded", FORMAT_TAG: FORMAT,
    "gru_bench.state": "running|complete|pruned|failed|killed", "gru_bench.complete": "true|false",
    "gru_bench.seed": "(-?[0-9]{1,20})?", "gru_bench.trial": "([0-9]{1,9})?", TEST_SET: "([0-9a-f]{16})?",
    EARLIER_IDS: f"({_ID}( {_ID}){{0,{MOST_EARLIER - 1}}})?"}
"""Tag that readers rely on -> regular expression for its value, which is empty where a run does not have it."""
_RECORD = TypeAdapter(RunRecord)


def records_of(
    store: Reader, runs: Sequence[LoggedRun], paths: Mapping[str, Sequence[str]], experiment: str, *, weights: bool
) -> Iterator[RunRecord]:
    """Yield the records of runs of an experiment. A run that has not ended counts as interrupted.

    Args:
        store: Tracking store that has the runs.
        runs: The runs.
        paths: Run id -> paths of its artifacts.
        experiment: Name of their experiment.
        weights: Whether the weights of their models go with them.
    """
    ids = {run.mlflow_id: run.run_id for run in runs}
    points: dict[str, list[Point]] = {run.run_id: [] for run in runs}
    metrics = sorted({key for run in runs for key in run.metrics})
    for mlflow_id, key, step, value, time in store.source.points(list(ids), metrics):
        points[ids[mlflow_id]].append(Point(key, value, step, time))
    for run in runs:
        tags = {key: value for key, value in run.tags.items() if key not in _GIVEN}
        has_weights = any(path.startswith("model/") and path.endswith(".safetensors") for path in paths[run.run_id])
        if has_weights and not weights:
            tags[NO_WEIGHTS] = "true"
        record = RunRecord(
            run.run_id, round(run.started * 1000), experiment, run.parent_id,
            first_tags={**tags, "gru_bench.state": "running", "gru_bench.complete": "false"},
            tags={key: tags[key] for key in _LAST if key in tags}, params=run.params,
            points=tuple(sorted(points[run.run_id], key=lambda point: (point.time, point.key, point.step))),
            dataset=(experiment, run.fingerprint) if run.fingerprint else None,
            model=run.model if weights and has_weights else "", status=run.status,
            ended=round((run.ended or run.started) * 1000),
            view=metric_of(run.params.get("metric", "")) if run.role == "study" else None)
        yield record.killed(BROKEN_OFF) if run.status == "RUNNING" else record


def paths_of(store: Reader, run: LoggedRun) -> list[str]:
    """Return the paths of the artifacts of a run."""
    return store.source.paths(run.mlflow_id)


def checked(text: bytes) -> RunRecord:
    """Return a record that is a run which has ended, if MLflow and our readers accept all of its values.

    Raises:
        ValueError: They do not. The message names the field.
    """
    record = _RECORD.validate_json(text)
    tags = {**record.first_tags, **record.tags}
    if given := _GIVEN & tags.keys():
        raise ValueError(f"it must not have the tag {min(given)}")
    for key, form in _FORMS.items():
        if not re.fullmatch(form, value := tags.get(key, "")):
            raise ValueError(f"its tag {key} must not be {value[:40]!r}")
    if record.status not in ("FINISHED", "FAILED", "KILLED") or record.ended is None or not record.experiment:
        raise ValueError("it must have an experiment, a status and an end")
    return record


def renamed(record: RunRecord, study: str) -> RunRecord:
    """Return the record of a run that enters a store as one of another study, with another id. It remembers this one.

    The new id follows from the old one and the name of the study, so that an import that is repeated gives the same.
    """
    tags, before = dict(record.first_tags), record.study
    first, *others = [*tags.get(EARLIER_IDS, "").split(), record.run_id]
    name = tags.get("mlflow.runName", "")
    if before and (name == before or name.startswith((f"{before} ", f"{before}: "))):
        tags["mlflow.runName"] = study + name.removeprefix(before)
    command = tags.get("mlflow.source.name", "")
    if command.startswith("gru_bench.run_study("):
        call = re.sub(r", name=('[^']*'|\"[^\"]*\")", "", command[:-1])
        tags["mlflow.source.name"] = f"{call}, name={study!r})"
    elif len(words := _words(command)) > 1:
        kept = [word for last, word in pairwise(["", *words])
                if last != "--study-name" and word.partition("=")[0] != "--study-name"]
        tags["mlflow.source.name"] = shlex.join([*kept, "--study-name", study])
    if record.parent is None and NOTE in tags:
        tags[NOTE] = f"Imported as {study}. This is the description of {before}:\n\n{tags[NOTE]}"
    tags |= {"gru_bench.study": study, EARLIER_IDS: " ".join([first, *others[-(MOST_EARLIER - 1):]])}
    params: Mapping[str, str] = {**record.params, "study": study} if "study" in record.params else record.params
    return replace(record, run_id=renamed_id(record.run_id, study), first_tags=tags, params=params,
                   parent=None if record.parent is None else renamed_id(record.parent, study))


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # it is not a command
        return []


def renamed_id(run_id: str, study: str) -> str:
    """Return the id that a run gets as one of a study with another name."""
    return hashlib.sha256(f"{study}\n{run_id}".encode()).hexdigest()[:32]
