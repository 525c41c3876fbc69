"""Export of a study from its stores to an archive, and its import into other stores.

    optuna.journal      the record of the study and its searches
    NUMBER-RUN/         each run as an outbox has it (`gru_bench.tracking.outbox`), the study's own run last

No file is a pickle. An import unpacks the runs into an outbox, checks the form of all files, writes the searches, and
only then lets the runs be uploaded. So it happens or leaves nothing, and what an outage interrupts is uploaded later.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gru_bench.archive.container import packed, unpack
from gru_bench.config import checked_study
from gru_bench.errors import DataError, RunError, UsageError, first_line, unknown
from gru_bench.models.saved import ABOUT, about_of
from gru_bench.results.diagnostics import DIAGNOSTICS, RECALL, Diagnostics, RecallCurve
from gru_bench.results.own import OWN, own_model_of
from gru_bench.results.runs import (
    DATA,
    NEAR,
    SEARCH,
    DataSummary,
    NearExamples,
    SearchPlan,
    StudySummary,
    parsed,
)
from gru_bench.sweep import export as sweep_export
from gru_bench.sweep.followups import TIMINGS, timings_of
from gru_bench.sweep.sharing.storage import lock_for
from gru_bench.sweep.study import IMPORTING, attributes_of, need_format
from gru_bench.tracking import LoggedRun, Store
from gru_bench.tracking import export as tracking_export
from gru_bench.tracking.artifacts import MORE, factor, predictions_of, texts_of
from gru_bench.tracking.outbox import FILES, RUN, Outbox
from gru_bench.tracking.reader import RESTORE, Reader, damaged
from gru_bench.tracking.record import RunRecord
from gru_bench.tracking.store import ATTACHED

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

JOURNAL = "optuna.journal"
TEXTS = "texts/"
"""Prefix of the artifacts with texts."""
WEIGHTS = ".safetensors"
"""Suffix of the artifacts with weights and word vectors."""
SUMMARY = "study.json"
MOST_BYTES = 256 << 20
"""Most bytes of the journal and the records of an archive; a run takes about 10,000 bytes."""
AGAIN = ": export the study again"
_MEMBERS = re.compile(rf"{re.escape(JOURNAL)}|\d{{6,9}}-[0-9a-f]{{32}}/({RUN}|{FILES}/.+)")
"""Names of the members of an archive."""
_NEEDED = {"study": SUMMARY, "confirm": "predictions/test.parquet", "baseline": "predictions/test.parquet",
           "ablation": "predictions/validation.parquet"}
"""Role -> artifact that every complete run of this role must have."""
_PARSERS: Mapping[str, Callable[[bytes], object]] = {
    "predictions/test.parquet": predictions_of, "predictions/validation.parquet": predictions_of,
    "texts/test.parquet": texts_of, NEAR: partial(parsed, NearExamples), SUMMARY: StudySummary.from_json,
    DATA: partial(parsed, DataSummary), SEARCH: partial(parsed, SearchPlan), DIAGNOSTICS: Diagnostics.from_json,
    RECALL: RecallCurve.from_json, TIMINGS: timings_of,
    f"model/{ABOUT}": lambda content: about_of(content, "a model of the study")}


@dataclass(frozen=True)
class Transfer:
    """The result of an export or import."""

    study: str
    experiment: str
    runs: int
    trials: int
    values: int
    """Number of points of metrics."""
    remarks: tuple[str, ...] = ()
    """Sentences for the user."""
    already: bool = False
    """Whether the archive was imported before, so that nothing is written now."""
    weights: int = 0
    """Bytes of the weights of the models."""


def export_study(
    store: Reader, storage: BaseStorage, study: str, file: Path, *, experiment: str | None, texts: bool,
    weights: bool = True,
) -> Transfer:
    """Write a study to an archive.

    Args:
        store: Tracking store that has its runs.
        storage: Optuna storage that has its searches.
        study: Name of the study.
        file: The archive.
        experiment: MLflow experiment of the study; None searches all experiments.
        texts: Whether to include logged texts, and results that show words of them.
        weights: Whether to include the weights of the models, which reports do not need.

    Raises:
        UsageError: One of the stores does not have the study.
        RunError: Something of the study is missing or damaged.
    """
    parent, place, remarks = _parent(store, storage, study, experiment)
    runs = [*sorted((run for run in store.runs(place) if run.parent_id == parent.run_id),
                    key=lambda run: (run.started, run.run_id)), parent]
    if any(run.status == "RUNNING" for run in runs):
        remarks.append("the study is still running: what it has logged so far is exported")
    paths = {run.run_id: tracking_export.paths_of(store, run) for run in runs}
    records = list(tracking_export.records_of(store, runs, paths, place, weights=weights))
    weight = 0
    if not texts:  # nor must a study that is continued from the archive store texts
        records[-1] = replace(records[-1], params={**records[-1].params, "texts": "False"})
        remarks.append("texts, and the diagnostics of a single text, are left out")
    with tempfile.TemporaryDirectory() as temporary:
        journal = Path(temporary) / JOURNAL
        sweep_export.export_searches(storage, study, journal, texts=texts)
        try:
            searches = sweep_export.read_searches(journal, study)
            for record in records:
                tracking_export.checked(record.to_json().encode())
        except ValueError as error:
            raise RunError("an export must contain only values that an import accepts, but this one has others: "
                           f"{sweep_export.reason(error)}. Correct it in the stores first") from error
        trials, lines = sweep_export.count_trials(searches, study), journal.read_bytes()
    transfer = Transfer(study, place, len(runs), trials, sum(len(record.points) for record in records))
    with packed(file, {"study": study, "experiment": place, "runs": transfer.runs, "trials": trials,
                       "metric values": transfer.values}) as add:
        add(JOURNAL, lines)
        for number, (run, record) in enumerate(zip(runs, records, strict=True), 2):  # an import adds the first one
            files = _artifacts(store, run, paths[run.run_id], texts=texts, weights=weights)
            if path := _missing(record, files):
                raise RunError(f"the export would be incomplete: the run {run.run_id} has no {path}{RESTORE}")
            for path, content in files.items():
                add(f"{number:06d}-{run.run_id}/{FILES}/{path}", content)
            add(f"{number:06d}-{run.run_id}/{RUN}", record.to_json().encode())
            weight += sum(len(content) for path, content in files.items() if path.endswith(WEIGHTS))
    return replace(transfer, remarks=tuple(remarks), weights=weight)


def import_study(file: Path, store: Store, opened: Callable[[], BaseStorage], study: str | None) -> Transfer:
    """Import the study in an archive: all of it, or nothing.

    When this returns, the searches are written, and the runs wait in an outbox of `store`, which uploads them.

    Args:
        file: The archive.
        store: Tracking store for its runs.
        opened: Opens the Optuna storage for its searches; called once the archive is known to be undamaged.
        study: New name of the study; None keeps its name.

    Raises:
        DataError: The archive is damaged, or a file in it has another form.
        UsageError: Another study has the name already, or the name is not valid.
        RunError: One of the stores does not answer.
    """
    try:
        name = None if study is None else checked_study(study)
    except ValueError as error:
        raise UsageError(f"--study-name {error}, but got {study!r}: choose another") from None
    with store.receive() as outbox:
        journal = outbox.folder / JOURNAL
        archive = unpack(file, outbox.folder, _MEMBERS)
        records, remarks = read(outbox)
        parent = records[-1]
        searches = _searches(journal, parent)
        name = name or parent.study
        if name != parent.study:
            records = _rename(outbox, journal, name)
            searches = _searches(journal, parent)
        trials = sweep_export.count_trials(searches, parent.study)
        transfer = Transfer(name, parent.experiment, len(records), trials,
                            sum(len(record.points) for record in records), tuple(remarks))
        store.require()
        storage = opened()
        with lock_for(storage, name):
            known = attributes_of(name, storage)
            has_searches = known.get(sweep_export.ARCHIVE) == archive and not known.get(IMPORTING)
            if has_searches and store.run(records[-1].run_id) is not None:
                return replace(transfer, already=True)
            _require_free(store, records[-1], {} if has_searches else known)
            if not has_searches:
                sweep_export.import_searches(searches, parent.study, storage, name, archive)
        # The study is not complete in MLflow before all of its runs are there.
        outbox.put(replace(records[-1], tags={}, points=(), model="", status="", ended=None))
        outbox.reveal()
        sweep_export.finish_import(storage, name)
    return transfer


def _parent(
    store: Reader, storage: BaseStorage, study: str, experiment: str | None
) -> tuple[LoggedRun, str, list[str]]:
    """Return the study's own run that belongs to the searches, its experiment, and remarks for the user.

    Raises:
        UsageError: A store does not have the study, or runs and searches have different data.
    """
    found = [(run, place) for place in ([experiment] if experiment else store.experiments())
             for run in store.runs(place) if run.role == "study"]
    named = [(run, place) for run, place in found if run.study == study]
    if not named:
        raise unknown("study", study, {run.study for run, _ in found}) if found else UsageError(
            f"there is no study in {store.uri}: give the right --tracking-uri")
    need_format(study, storage)
    data = sweep_export.data_of(storage, study)
    if not data:
        raise UsageError(f"an export needs the searches of the study, but the storage has none of {study!r}: give the "
                         "right --storage, or run this in the directory of optuna.journal")
    matching = [(run, place) for run, place in named if run.fingerprint in data]
    if not matching:
        raise UsageError(f"runs and searches must be of the same study, but those of {study!r} used different data: "
                         "give the --storage and the --tracking-uri that the study was run with")
    run, place = matching[0]
    others = len(named) - 1
    remarks = [f"{others} other {'studies' if others > 1 else 'study'} of that name left out: of other data, or older"
               ] if others else []
    return run, place, remarks


def _artifacts(
    store: Reader, run: LoggedRun, paths: Sequence[str], *, texts: bool, weights: bool
) -> dict[str, bytes]:
    """Return path -> content of those artifacts of a run that go into an archive.

    Raises:
        RunError: One of them cannot be read.
    """
    found = {}
    # N-grams of a linear model are fragments of texts, and many.
    left_out = (f"{ATTACHED}/", *(() if texts else (TEXTS,)), *(("model/",) if run.role == "baseline" else ()))
    for path in paths:
        if path.startswith(left_out) or (path.endswith(WEIGHTS) and not weights):
            continue
        content = store._artifact(run.run_id, path)
        try:
            _parse(path, content)
        except ValueError as error:
            raise damaged(run.run_id, path, error) from error
        if path == DIAGNOSTICS and not texts:
            content = Diagnostics.from_json(content.decode()).without_review().to_json().encode()
        found[path] = content
    return found


def _parse(path: str, content: bytes) -> None:
    parse = own_model_of if path.startswith(f"{OWN}/") and path.endswith(".json") else _PARSERS.get(path)
    if parse is not None:
        parse(content)


def _missing(record: RunRecord, files: Collection[str]) -> str:
    """Return the artifact that a complete run must have, but does not have; empty if nothing is missing."""
    needed = _NEEDED.get(record.first_tags["gru_bench.role"], "")
    return needed if record.tags.get("gru_bench.complete") == "true" and needed not in files else ""


def read(outbox: Outbox) -> tuple[list[RunRecord], list[str]]:
    """Return the records in an outbox that an archive was unpacked to, and remarks, after checking all of their files.

    Raises:
        DataError: A file has another form.
    """
    entries, records, remarks = outbox.entries(), [], []
    files = [outbox.folder / JOURNAL, *(entry.folder / RUN for entry in entries)]
    if missing := next((file for file in files if not file.is_file()), None):
        raise DataError(f"an archive must contain a study, but this one has no "
                        f"{missing.relative_to(outbox.folder).as_posix()}{AGAIN}")
    if (size := sum(file.stat().st_size for file in files)) > (most := int(MOST_BYTES * factor())):
        raise DataError(f"{JOURNAL} and the records of an archive must have at most {most:,} bytes, but have {size:,}: "
                        f"if you trust the file, {MORE}")
    for entry in entries:
        try:
            record = tracking_export.checked((entry.folder / RUN).read_bytes())
            if record.run_id != entry.run_id:
                raise ValueError("it must be of the run that its folder names")
        except ValueError as error:
            raise DataError(f"{entry.folder.name}/{RUN} of the archive has the wrong format "
                            f"({sweep_export.reason(error)}){AGAIN}") from error
        for path, file in entry.files().items():
            try:
                _parse(path, file.read_bytes())
            except ValueError as error:
                raise DataError(f"{path} of the run {entry.run_id} cannot be read "
                                f"({first_line(error)}){AGAIN}") from error
        if path := _missing(record, entry.files()):
            remarks.append(f"the archive has no {path} of the run {entry.run_id}: reports cannot use that run")
        records.append(record)
    ids = [record.run_id for record in records]
    if not ids or len(set(ids)) < len(ids):
        raise DataError(f"the archive does not contain each run exactly once{AGAIN}")
    roles = [(record.first_tags["gru_bench.role"] == "study", record.parent) for record in records]
    if roles != [*[(False, ids[-1])] * (len(ids) - 1), (True, None)]:
        raise DataError(f"an archive must contain the runs of one study, its own run last, but has others{AGAIN}")
    return records, remarks


def _searches(journal: Path, parent: RunRecord) -> BaseStorage:
    """Return the searches of a study, checked.

    Raises:
        DataError: Something in the journal has another form, or is of other data.
    """
    try:
        checked_study(parent.study)
        found = sweep_export.read_searches(journal, parent.study)
        if sweep_export.data_of(found, parent.study) != {parent.first_tags.get("gru_bench.data_fingerprint", "")}:
            raise ValueError("it must be of the same data as the runs")
    except ValueError as error:
        raise DataError(f"{JOURNAL} of the archive has the wrong format "
                        f"({sweep_export.reason(error)}){AGAIN}") from error
    return found


def _rename(outbox: Outbox, journal: Path, study: str) -> list[RunRecord]:
    """Give the runs in an outbox other ids, as those of a study with another name; return their records."""
    records, ids = [], {}
    for entry in outbox.entries():
        record = tracking_export.renamed(entry.record(), study)
        (entry.folder / RUN).write_text(record.to_json(), encoding="utf-8")
        summary = entry.folder / FILES / SUMMARY
        if summary.is_file():
            summary.write_text(replace(StudySummary.from_json(summary.read_bytes()), name=study).to_json(),
                               encoding="utf-8")
        entry.folder.rename(entry.folder.with_name(f"{entry.number:06d}-{record.run_id}"))
        ids[entry.run_id.encode()] = record.run_id.encode()
        records.append(record)
    journal.write_bytes(re.sub(rb"\b[0-9a-f]{32}\b", lambda found: ids.get(found[0], found[0]), journal.read_bytes()))
    return records


def _require_free(store: Store, parent: RunRecord, known: Mapping[str, Any]) -> None:
    """Check that no other study has the name of an imported one.

    Raises:
        UsageError: Another study has it, or the study's own run was deleted.
    """
    unfinished = known.get(IMPORTING)
    named = [run for run in store.runs(parent.experiment) if run.role == "study" and run.study == parent.study] if (
        parent.experiment in store.experiments()) else []
    if store.is_deleted(parent.run_id) or (not unfinished and (known or named)) or any(
            run.run_id != parent.run_id for run in named):
        raise UsageError(f"another study {parent.study!r} exists or was deleted: import this one under another name "
                         "(--study-name NAME)")
