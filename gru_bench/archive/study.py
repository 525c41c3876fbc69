"""Export of a study from its stores to a folder of files, and import of such a folder.

    searches.json     the searches: trials with states, settings, values and attributes
    runs.json         the runs, the study's parent run first: params, tags, times, data sets
    metrics.parquet   every point of every metric; run and key are indices into runs.json
    artifacts/RUN/    the artifacts of each run

No file is a pickle. An import checks the form of all files before it writes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from gru_bench.config import checked_name
from gru_bench.errors import DataError, GruBenchError, RunError, UsageError, unknown
from gru_bench.models.saved import ABOUT, about_of
from gru_bench.results.diagnostics import DIAGNOSTICS, RECALL, Diagnostics, RecallCurve
from gru_bench.results.own import OWN, own_model_of
from gru_bench.results.runs import (
    BASELINES,
    DATA,
    NEAR,
    SEARCH,
    StudySummary,
    baselines_of,
    data_of,
    near_examples_of,
    search_of,
)
from gru_bench.sweep import export as sweep_export
from gru_bench.sweep.export import StudyCopy
from gru_bench.sweep.followups import TIMINGS, timings_of
from gru_bench.tracking import LoggedRun, Store
from gru_bench.tracking import export as tracking_export
from gru_bench.tracking.artifacts import MORE, factor, predictions_of, texts_of
from gru_bench.tracking.client import first_line
from gru_bench.tracking.export import Key, Name, Point, RunCopy
from gru_bench.tracking.reader import LATEST, RESTORE, damaged
from gru_bench.tracking.writer import ATTACHED

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

SEARCHES, RUNS, METRICS, ARTIFACTS = "searches.json", "runs.json", "metrics.parquet", "artifacts"
TEXTS = "texts/"
"""Prefix of the artifacts that hold reviews."""
WEIGHTS = ".safetensors"
"""Suffix of the artifacts that hold weights and word vectors."""
SUMMARY = "study.json"
MOST_VALUES = 2_000_000
"""Most points of metrics in an archive. MLflow needs minutes to write that many; a run has hundreds."""
MOST_JSON_BYTES = 256 << 20
"""Most bytes of `runs.json` and of `searches.json`; a run takes about 3,500 bytes."""
_READ: Mapping[str, Callable[[bytes], object]] = {
    "predictions/test.parquet": predictions_of, "predictions/validation.parquet": predictions_of,
    "texts/test.parquet": texts_of, NEAR: near_examples_of, SUMMARY: StudySummary.from_json, DATA: data_of,
    BASELINES: baselines_of, SEARCH: search_of, DIAGNOSTICS: Diagnostics.from_json, RECALL: RecallCurve.from_json,
    TIMINGS: timings_of,
    f"model/{ABOUT}": lambda content: about_of(content, "a model of the study")}
"""Artifact -> its parser, which checks it."""
_NEEDED = {"study": SUMMARY, "confirm": "predictions/test.parquet", "ablation": "predictions/validation.parquet"}
"""Role -> artifact that every complete run of this role must have."""
AGAIN = ": export the study again"
_COLUMNS = {"run": "int32", "key": "int32", "value": "double", "step": "int64", "timestamp": "int64"}

T = TypeVar("T", bound=BaseModel)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, ser_json_inf_nan="constants")


class _Runs(_Record):
    study: Name
    experiment: Name
    metrics: tuple[Key, ...]
    runs: tuple[RunCopy, ...]


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

    def about(self) -> dict[str, Any]:
        """Return the description for the manifest."""
        return {"study": self.study, "experiment": self.experiment, "runs": self.runs, "trials": self.trials,
                "metric values": self.values}


def export_study(
    store: Store, storage: BaseStorage, study: str, folder: Path, *, experiment: str | None, texts: bool,
    weights: bool = True,
) -> Transfer:
    """Write a study to `folder`.

    Args:
        store: Tracking store that holds its runs.
        storage: Optuna storage that holds its searches.
        study: Name of the study.
        folder: An empty folder.
        experiment: MLflow experiment of the study; None searches all experiments.
        texts: Whether to include logged reviews, and results that show words of them.
        weights: Whether to include the weights of the models, which reports do not need.

    Raises:
        UsageError: One of the stores does not have the study.
        RunError: Something of the study is missing or damaged.
    """
    copy = sweep_export.read_study_copy(storage, study)
    parent, place, remarks = _parent(store, study, experiment, copy)
    assert copy is not None
    runs = tracking_export.read_runs(store, parent.experiment_id, parent.run_id)
    if any(run.status == "RUNNING" for run in runs):
        remarks.append("the study is still running: what it has logged so far is exported")
    (folder / ARTIFACTS).mkdir()
    for run in runs:
        tracking_export.read_artifacts(
            store, run.run_id, folder / ARTIFACTS / run.run_id,
            lambda path: (texts or not path.startswith(TEXTS)) and (weights or not path.endswith(WEIGHTS))
            and not path.startswith(f"{ATTACHED}/"))
    for run, path, wrong in _incomplete(runs, folder / ARTIFACTS):
        if wrong is not None:
            raise damaged(run.run_id, path, wrong)
        raise RunError(f"an export must be complete, but the run {run.run_id} has no {path}{RESTORE}")
    if not texts:
        remarks += _without_review_words(folder / ARTIFACTS / parent.run_id / DIAGNOSTICS)
        # A study that is continued from the archive must not store reviews either.
        runs[0] = runs[0].model_copy(update={"params": {**runs[0].params, "texts": "False"}})
    keys, values = _write_metrics(store, runs, folder / METRICS)
    (folder / SEARCHES).write_text(copy.model_dump_json(indent=1), encoding="utf-8")
    record = _Runs.model_construct(study=study, experiment=place, metrics=tuple(keys), runs=tuple(runs))
    (folder / RUNS).write_text(record.model_dump_json(indent=1), encoding="utf-8")
    members = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    try:
        _read(folder, members, most=values)
    except DataError as error:
        raise RunError("an export must hold only values that an import accepts, but this one has others: "
                       f"{str(error).removesuffix(AGAIN)}. Correct it in the stores first") from error
    if values > MOST_VALUES:
        remarks.append(f"an import accepts up to {MOST_VALUES:,} values of metrics; {MORE}")
    trials = sum(len(search.trials) for search in copy.searches)
    return Transfer(study, place, len(runs), trials, values, tuple(remarks))


def import_study(
    folder: Path, members: Iterable[str], archive: str, store: Store, storage: BaseStorage, study: str | None,
) -> Transfer:
    """Read the study that `export_study` has written to `folder`, and write all of it, or nothing, to other stores.

    Args:
        folder: Folder of the files.
        members: Names of the files, from the archive's manifest.
        archive: Digest of the archive's content, by which a second import is recognized.
        store: Tracking store for its runs.
        storage: Optuna storage for its searches.
        study: New name of the study; None keeps its name.

    Raises:
        DataError: A file has another form.
        UsageError: Another study has the name already, or the name is not valid.
    """
    try:
        name = None if study is None else checked_name(study)
    except ValueError as error:
        raise UsageError(f"--study-name {error}, but got {study!r}: choose another") from None
    found, copy, values = _read(folder, set(members))
    name = name or found.study
    remarks = []
    for run, path, wrong in _incomplete(found.runs, folder / ARTIFACTS):
        if wrong is not None:
            raise DataError(f"an archive must hold what was logged, but {path} of the run {run.run_id} cannot be read "
                            f"({first_line(wrong)}){AGAIN}")
        remarks.append(f"the archive has no {path} of the run {run.run_id}: reports cannot use that run")
    trials = sum(len(search.trials) for search in copy.searches)
    transfer = Transfer(name, found.experiment, len(found.runs), trials, values, tuple(remarks))
    edited = _renamed_summary(folder / ARTIFACTS / found.runs[0].run_id / SUMMARY, name) if name != found.study else {}
    here = tracking_export.imported_as(store, found.experiment, name)
    if archive in here.values():
        sweep_export.finish_import(storage, name)
        return replace(transfer, already=True)
    broken_off = sweep_export.unfinished_import(storage, name)
    if here or (broken_off is None and name in sweep_export.study_names(storage)):
        raise UsageError(f"an imported study needs a name that is free, but there is another study {name!r} already: "
                         "give the imported one another name (--study-name NAME)")
    for begun in {archive, broken_off} - {None}:
        tracking_export.remove_import(store, found.experiment, name, str(begun))
    if broken_off is not None:
        sweep_export.remove_study(storage, name)
    try:
        renamed = tracking_export.write_runs(
            store, found.experiment, found.runs, _points_of(found, folder / METRICS), folder / ARTIFACTS,
            archive=archive, study=name, edited=edited)
        sweep_export.write_study(storage, name, copy, archive=archive, renamed=renamed)
        tracking_export.reveal(store, found.runs, renamed)
    except BaseException:
        with suppress(GruBenchError, OSError):  # the next import removes what cannot be removed now
            sweep_export.remove_study(storage, name)
            tracking_export.remove_import(store, found.experiment, name, archive)
        raise
    sweep_export.finish_import(storage, name)
    return transfer


def _parent(
    store: Store, study: str, experiment: str | None, copy: StudyCopy | None
) -> tuple[LoggedRun, str, list[str]]:
    """Return the parent run that belongs to the searches, its experiment, and remarks for the user.

    Raises:
        UsageError: A store does not have the study, or runs and searches have different data.
    """
    found = [(run, place) for place in ([experiment] if experiment else store.experiments())
             for run in store.runs(place) if run.role == "study"]
    named = [(run, place) for run, place in found if run.study == study]
    if not named:
        raise unknown("study", study, {run.study for run, _ in found}) if found else UsageError(
            f"--study must name a study that was run, but {store.uri} holds none: name the right --tracking-uri")
    if copy is None or not copy.searches:
        raise UsageError(f"an export needs the searches of the study, but the storage has none of {study!r}: name the "
                         "right --storage, or run this in the directory of optuna.journal")
    data = {identity.get("data") for identity in copy.identities}
    matching = [(run, place) for run, place in named if run.fingerprint in data]
    if not matching:
        raise UsageError(f"runs and searches must be of the same study, but those of {study!r} used different data: "
                         "name the --storage and the --tracking-uri that the study was run with")
    run, place = matching[0]
    others = len(named) - 1
    remarks = [f"{others} other {'studies' if others > 1 else 'study'} of that name left out: of other data, or older"
               ] if others else []
    return run, place, remarks


def _incomplete(runs: Iterable[RunCopy], folder: Path) -> Iterator[tuple[RunCopy, str, ValueError | None]]:
    """Yield (run, artifact, error) for each artifact that cannot be read; the error is None if it is missing."""
    for run in runs:
        own = sorted(tracking_export.inside(folder, f"{run.run_id}/{OWN}").glob("*.json"))
        for path, read in {**_READ, **{f"{OWN}/{file.name}": own_model_of for file in own}}.items():
            file = tracking_export.inside(folder, f"{run.run_id}/{path}")
            try:
                if file.is_file():
                    read(file.read_bytes())
                elif run.complete and _NEEDED.get(run.tags[tracking_export.ROLE]) == path:
                    yield run, path, None
            except ValueError as error:
                yield run, path, error


def _without_review_words(path: Path) -> list[str]:
    """Remove the words of a review from the diagnostics of a study; return remarks for the user."""
    if not path.is_file() or not (whole := Diagnostics.from_json(path.read_text(encoding="utf-8"))).review:
        return []
    path.write_text(whole.without_review().to_json(), encoding="utf-8")
    return ["the diagnostics of a single text, which show its words, are left out"]


def _write_metrics(store: Store, runs: Sequence[RunCopy], path: Path) -> tuple[list[str], int]:
    """Write the points of all metrics; return the names of the metrics and the number of points."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    places: dict[str, int] = {}
    schema = pa.schema(list(_COLUMNS.items()))
    total = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for number, run in enumerate(runs):
            points = list(tracking_export.read_points(store, run.run_id))
            total += len(points)
            writer.write_table(pa.table([
                [number] * len(points), [places.setdefault(point.key, len(places)) for point in points],
                [point.value for point in points], [point.step for point in points],
                [point.timestamp for point in points]], schema=schema))
    return list(places), total


def _read(
    folder: Path, members: set[str], most: int | None = None
) -> tuple[_Runs, StudyCopy, int]:
    """Return the runs, the study in Optuna and the number of points, after checking the form of all files.

    Args:
        folder: Folder of the files.
        members: Names of the files.
        most: Most points that are accepted; None means `MOST_VALUES`.

    Raises:
        DataError: A file has another form.
    """
    if missing := sorted({SEARCHES, RUNS, METRICS} - members):
        raise DataError(f"an archive must hold a study, but this one has no {missing[0]}{AGAIN}")
    found, copy = _parsed(_Runs, folder / RUNS), _parsed(StudyCopy, folder / SEARCHES)
    ids = [run.run_id for run in found.runs]
    wrong = ""
    if not ids or len(set(ids)) < len(ids):
        wrong = "no run, or the same run twice"
    elif found.runs[0].tags.get(tracking_export.ROLE) != "study" or any(
        run.tags.get(tracking_export.ROLE, "study") == "study" or run.tags.get("mlflow.parentRunId") != ids[0]
        for run in found.runs[1:]):
        wrong = "runs that do not belong to one study"
    elif not copy.searches or len({search.model for search in copy.searches}) < len(copy.searches):
        wrong = "no search, or the same search twice"
    elif strange := sorted(name for name in members - {SEARCHES, RUNS, METRICS}
                           if not name.startswith(tuple(f"{ARTIFACTS}/{run_id}/" for run_id in ids))):
        wrong = f"{strange[0]!r}, which belongs to none of its runs"
    elif (refused := sweep_export.wrong_trial(copy)):
        wrong = refused
    elif {identity.get("data", "") for identity in copy.identities} != {
            found.runs[0].tags.get("gru_bench.data_fingerprint", "")}:
        wrong = "runs and searches of different data"
    if wrong:
        raise DataError(f"an archive must hold one complete study, but this one has {wrong}{AGAIN}")
    return found, copy, _count_metrics(
        folder / METRICS, len(ids), len(found.metrics), int(MOST_VALUES * factor()) if most is None else most)


def _parsed(kind: type[T], path: Path) -> T:
    if path.stat().st_size > (most := int(MOST_JSON_BYTES * factor())):
        raise DataError(f"{path.name} of an archive must have at most {most:,} bytes, but has "
                        f"{path.stat().st_size:,}: {MORE}")
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"][:6])[:200]
        raise DataError(f"{path.name} of an archive must have the form that this gru-bench writes, but {where or 'it'} "
                        f"does not ({first['msg']}){AGAIN}, with this version") from None


def _batches(path: Path) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield the points of metrics in batches of limited size, because a short file may claim any number of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            kinds = {field.name: str(field.type) for field in file.schema_arrow}
            if kinds != _COLUMNS:
                raise ValueError(f"its columns are {kinds}")
            for batch in file.iter_batches(batch_size=1 << 16, use_threads=False):
                yield {name: batch.column(name).to_numpy(zero_copy_only=True) for name in _COLUMNS}
    except (pa.ArrowException, ValueError, OSError, MemoryError) as error:
        raise DataError(f"{path.name} of an archive must be a table as an export writes it, but is not "
                        f"({(str(error).splitlines() or [type(error).__name__])[0][:200]}){AGAIN}") from error


def _count_metrics(path: Path, runs: int, keys: int, most: int) -> int:
    """Return the number of points, after checking all of them.

    Raises:
        DataError: A point is invalid, or there are too many.
    """
    total = last = 0
    for batch in _batches(path):
        if not (rows := len(batch["run"])):
            continue
        total += rows
        if total > most:
            raise DataError(f"{path.name} of an archive must hold at most {most:,} values, but holds more: "
                            f"if you trust the file, {MORE}")
        limits = {"run": (last, runs - 1), "key": (0, keys - 1), "step": (-2**53, 2**53), "timestamp": (0, LATEST)}
        for name, (low, high) in limits.items():
            if not (batch[name].min() >= low and batch[name].max() <= high):
                what = {"run": "refer to its runs, in their order", "key": "refer to its metrics"}.get(
                    name, f"have a {name} from {low} to {high}")
                raise DataError(f"{path.name} of an archive must {what}, but does not{AGAIN}")
        if (np.diff(batch["run"]) < 0).any():
            raise DataError(f"{path.name} of an archive must list points in the order of the runs, but does not{AGAIN}")
        last = int(batch["run"][-1])
    return total


def _points_of(found: _Runs, path: Path) -> Callable[[str], Iterator[Point]]:
    """Return a function that yields the points of a run; it must be called in the order of the runs."""
    places = {run.run_id: place for place, run in enumerate(found.runs)}
    batches = _batches(path)
    ahead: dict[str, NDArray[Any]] = {}

    def points(run_id: str) -> Iterator[Point]:
        nonlocal ahead
        place = places[run_id]
        while True:
            if not ahead or not len(ahead["run"]):
                ahead = next(batches, {})
                if not ahead:
                    return
            ours = int(np.searchsorted(ahead["run"], place, side="right"))
            yield from (Point(found.metrics[key], value, step, timestamp) for key, value, step, timestamp in zip(
                *(ahead[name][:ours].tolist() for name in ("key", "value", "step", "timestamp")), strict=True))
            ahead = {name: values[ours:] for name, values in ahead.items()}
            if len(ahead["run"]):
                return

    return points


def _renamed_summary(path: Path, name: str) -> dict[str, bytes]:
    """Return the summary artifact with another study name in it; empty if the study has not ended."""
    if not path.is_file():
        return {}
    return {SUMMARY: replace(StudySummary.from_json(path.read_bytes()), name=name).to_json().encode()}
