"""Export and import of a study's runs: from a tracking store to plain values and files, and into another store.

Values of an archive are checked before they are used: ids, times, names and tags must have the form that MLflow and our
readers accept. Paths are made of checked values only.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from shutil import rmtree
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from gru_bench.config import MOST_NAME, checked_name
from gru_bench.errors import DataError, RunError
from gru_bench.results.runs import digest_of_examples
from gru_bench.tracking.artifacts import predictions_of
from gru_bench.tracking.reader import EARLIER_IDS, FORMAT, FORMAT_TAG, LATEST, RUN_TAG, TEST_SET, metric_of
from gru_bench.tracking.registry import log_model
from gru_bench.tracking.sync import BATCH
from gru_bench.tracking.view import moved, save_view
from gru_bench.tracking.writer import NOTE, Store

ARCHIVE = "gru_bench.archive"
"""Tag of an imported run: digest of the archive that it comes from."""
ROLE = "gru_bench.role"
"""Tag without which readers ignore a run; an imported run gets it last."""
BROKEN_OFF = "it was running when its study was exported"
"""Reason that is given to a trial or run that was running during an export."""
MOST_PARAMS = 100
"""Most params in one call to MLflow."""
MOST_EARLIER = 100
"""Most earlier ids that are stored for a run: the first one, and the latest of the others."""
_PAGE = 1000
_ID = "[0-9a-f]{32}"
_TAGS = {
    "gru_bench.seed": "-?[0-9]{1,20}", "gru_bench.trial": "[0-9]{1,9}", "gru_bench.complete": "true|false",
    "mlflow.parentRunId": _ID, TEST_SET: "[0-9a-f]{16}", RUN_TAG: "[A-Za-z0-9-]{1,60}", ARCHIVE: "[0-9a-f]{64}",
    EARLIER_IDS: f"{_ID}( {_ID}){{0,{MOST_EARLIER - 1}}}",
    ROLE: "study|trial|confirm|ablation|superseded",
    "gru_bench.state": "running|complete|pruned|failed|killed",
}
"""Tag that readers rely on -> regular expression for its value."""


def _key(text: str) -> str:
    if not re.fullmatch(r"[\w.\-: /]+", text) or posixpath.normpath(text) != text or text.startswith(("/", "..")):
        raise ValueError("MLflow does not accept this name")
    return text


Id = Annotated[str, Field(pattern=f"^{_ID}$")]
Moment = Annotated[int, Field(ge=0, le=LATEST)]
"""Milliseconds since 1970, up to the year 9999."""
Key = Annotated[str, Field(max_length=MOST_NAME), AfterValidator(_key)]
Name = Annotated[str, AfterValidator(checked_name)]
Text = Annotated[str, Field(max_length=8000, pattern=r"^[^\x00]*$")]
"""A value that MLflow accepts."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class InputCopy(_Record):
    """A data set that a run was trained on, as plain values."""

    name: Annotated[Text, Field(max_length=500)]
    digest: Annotated[Text, Field(max_length=36)]
    source_type: Annotated[Text, Field(max_length=36)]
    source: Annotated[str, Field(max_length=65_535, pattern=r"^[^\x00]*$")]
    tags: dict[Key, Annotated[Text, Field(max_length=500)]]


class RunCopy(_Record):
    """A run without its metrics and artifacts, as plain values."""

    run_id: Id
    status: Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]
    started: Moment
    ended: Moment | None
    params: dict[Key, Annotated[Text, Field(max_length=6000)]]
    tags: dict[Key, Text]
    inputs: tuple[InputCopy, ...]

    @model_validator(mode="after")
    def _known_tags(self) -> Self:
        for key, form in _TAGS.items():
            if key in self.tags and not re.fullmatch(form, self.tags[key]):
                raise ValueError(f"its tag {key} must not be {self.tags[key][:40]!r}")
        if ROLE in self.tags and self.tags.get(FORMAT_TAG) != FORMAT:
            raise ValueError(f"its tag {FORMAT_TAG} must be {FORMAT!r}")
        return self

    @property
    def complete(self) -> bool:
        """Whether the run has ended and is tagged complete."""
        return self.tags.get("gru_bench.complete") == "true"


class Point(NamedTuple):
    """One value of a metric."""

    key: str
    value: float
    step: int
    timestamp: int
    """Milliseconds since 1970."""


def read_runs(store: Store, experiment_id: str, parent: str) -> list[RunCopy]:
    """Return the parent run of a study and then its children, the oldest first.

    Raises:
        RunError: A run has values that another store would not accept.
    """
    children = _search(store, experiment_id, f"tags.`mlflow.parentRunId` = '{parent}'")
    # The runs are read one by one, because a search does not return their inputs.
    found = (_copied(store._client.get_run(run_id)) for run_id in [parent, *children])
    return [run for run in found if ROLE in run.tags]


def read_points(store: Store, run_id: str) -> Iterator[Point]:
    """Yield all points of all metrics of a run."""
    for key in sorted(store._client.get_run(run_id).data.metrics):
        for point in store._client.get_metric_history(run_id, key):
            yield Point(key, point.value, point.step, point.timestamp)


def read_artifacts(store: Store, run_id: str, folder: Path, keep: Callable[[str], bool]) -> None:
    """Write the artifacts of a run below `folder`, if `keep` returns True for their path."""
    for path in _paths(store, run_id, ""):
        if keep(path):
            target = inside(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(store._artifact(run_id, path))


def inside(folder: Path, path: str) -> Path:
    """Return the path of a file below a folder.

    Raises:
        DataError: The path leads out of the folder.
    """
    target = folder / path
    if not target.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"a file of an archive must lie in its own folder, but {path[:120]!r} does not: export the "
                        "study again")
    return target


def write_runs(
    store: Store, experiment: str, runs: Sequence[RunCopy], points: Callable[[str], Iterable[Point]], folder: Path,
    *, archive: str, study: str, edited: Mapping[str, bytes],
) -> dict[str, str]:
    """Write runs, the parent run first. Readers do not see them until `reveal`.

    Args:
        store: Store to write to.
        experiment: Name of the experiment, which is created if it does not exist.
        runs: The parent run of a study and its children.
        points: Returns the points of a run by its id; called once for each run, in the order of `runs`.
        folder: Folder that holds the artifacts of each run in a folder named by its id.
        archive: Digest of the archive, which marks what is written.
        study: Name of the study in this store.
        edited: Path of an artifact of the parent run -> content that replaces it.

    Returns:
        Old run id -> new run id, and local run id -> new run id.
    """
    from mlflow.entities import Metric, Param

    client, experiment_id = store._client, store.experiment(experiment)
    renamed: dict[str, str] = {}
    local: dict[str, str] = {}
    for run in runs:
        if not renamed:
            save_view(client, store.uri, experiment_id, metric_of(run.params.get("metric", "")), run.started)
        tags = _tags(run, renamed, study, experiment_id) | {ARCHIVE: archive, EARLIER_IDS: _earlier(run)}
        artifacts = inside(folder, run.run_id)
        if TEST_SET not in tags and (digest := _test_set(artifacts / "predictions" / "test.parquet")):
            tags[TEST_SET] = digest
        tags.pop(ROLE, None)
        name = tags.pop(RUN_TAG, None)
        run_id = client.create_run(experiment_id, start_time=run.started, tags=tags).info.run_id
        renamed[run.run_id] = run_id
        if name is not None:
            local[name] = run_id
        params = [Param(key, study if key == "study" else value) for key, value in run.params.items()]
        for start in range(0, len(params), MOST_PARAMS):
            client.log_batch(run_id, params=params[start:start + MOST_PARAMS])
        values = iter(points(run.run_id))
        while metrics := [Metric(point.key, point.value, point.timestamp, point.step)
                          for point in islice(values, BATCH)]:
            client.log_batch(run_id, metrics=metrics)
        _log_inputs(client, run_id, run.inputs)
        if artifacts.is_dir():
            client.log_artifacts(run_id, str(artifacts))
            if any(artifacts.glob("model/*.safetensors")):
                log_model(client, run_id, tags.get("gru_bench.model", ""))
        if len(renamed) == 1:
            for path, content in edited.items():
                client.log_text(run_id, content.decode(), path)
        over = run.status in ("FINISHED", "FAILED", "KILLED")
        client.set_terminated(run_id, run.status if over else "KILLED", run.ended or run.started)
    return renamed | local


def reveal(store: Store, runs: Sequence[RunCopy], renamed: Mapping[str, str]) -> None:
    """Make the runs of `write_runs` visible to readers, the parent run last."""
    for run in [*runs[1:], runs[0]]:
        store._client.set_tag(renamed[run.run_id], ROLE, run.tags[ROLE])


def imported_as(store: Store, experiment: str, study: str) -> dict[str, str]:
    """Return run id -> archive digest of the parent runs of a study name; it is empty for a study not imported."""
    if experiment not in store.experiments():
        return {}
    return {run.run_id: run.tags.get(ARCHIVE, "") for run in store.runs(experiment)
            if run.role == "study" and run.study == study}


def remove_import(store: Store, experiment: str, study: str, archive: str) -> None:
    """Remove all runs of a study that the import of an archive has written."""
    found = store._client.get_experiment_by_name(experiment)
    if found is None:
        return
    mark = f"tags.`{ARCHIVE}` = '{archive}'"
    for run_id in _search(store, found.experiment_id, mark, of_study=study):
        artifacts = store._local_artifacts(run_id)
        store._client.delete_run(run_id)
        if artifacts is not None and artifacts.parent.name == run_id:  # MLflow keeps the files of deleted runs
            with suppress(OSError):
                rmtree(artifacts.parent)


def _search(store: Store, experiment_id: str, query: str, of_study: str | None = None) -> list[str]:
    found: list[str] = []
    token = None
    while True:
        page = store._client.search_runs(
            [experiment_id], query, max_results=_PAGE, page_token=token, order_by=["attributes.start_time ASC"])
        found += [run.info.run_id for run in page
                  if of_study is None or run.data.tags.get("gru_bench.study") == of_study]
        token = page.token
        if not token:
            return found


def _paths(store: Store, run_id: str, folder: str) -> Iterator[str]:
    for entry in store._client.list_artifacts(run_id, folder or None):
        if entry.is_dir:
            yield from _paths(store, run_id, entry.path)
        else:
            yield entry.path


def _copied(run: Any) -> RunCopy:
    inputs = run.inputs.dataset_inputs if run.inputs is not None else ()
    try:
        return RunCopy(
            run_id=run.info.run_id, status=run.info.status, started=run.info.start_time, ended=run.info.end_time,
            params=dict(run.data.params), tags=dict(run.data.tags), inputs=tuple(
                InputCopy(name=entry.dataset.name, digest=entry.dataset.digest, source_type=entry.dataset.source_type,
                          source=entry.dataset.source, tags={tag.key: tag.value for tag in entry.tags})
                for entry in inputs))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"][:6])[:200]
        raise RunError(f"an export must hold only values that an import accepts, but the run {run.info.run_id} has "
                       f"others: {where + ': ' if where else ''}{first['msg']}. Correct it in MLflow, or delete that "
                       "run there") from None


def _earlier(run: RunCopy) -> str:
    """Return the earlier ids of a run together with its current one, the first one first."""
    first, *others = [*run.tags.get(EARLIER_IDS, "").split(), run.run_id]
    return " ".join([first, *others[-(MOST_EARLIER - 1):]])


def _test_set(predictions: Path) -> str:
    """Return the digest of the test examples of a run, which earlier versions did not log; empty without readable
    predictions."""
    try:
        return digest_of_examples(predictions_of(predictions.read_bytes()).example_id_N)
    except (OSError, ValueError):  # readers say what is wrong with them
        return ""


def _tags(run: RunCopy, renamed: Mapping[str, str], study: str, experiment_id: str) -> dict[str, str]:
    tags = {key: renamed.get(value, value) for key, value in run.tags.items()}
    before, name = run.tags.get("gru_bench.study", ""), run.tags.get("mlflow.runName", "")
    if before and (name == before or name.startswith(f"{before}: ")):
        tags["mlflow.runName"] = study + name.removeprefix(before)
    tags["gru_bench.study"] = study
    if NOTE in tags:
        tags[NOTE] = moved(tags[NOTE], experiment_id)
    if run.status == "RUNNING":
        tags |= {"gru_bench.state": "killed", "gru_bench.reason": BROKEN_OFF}
    return tags


def _log_inputs(client: Any, run_id: str, inputs: Sequence[InputCopy]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    if inputs:
        client.log_inputs(run_id, [
            DatasetInput(
                Dataset(name=entry.name, digest=entry.digest, source_type=entry.source_type, source=entry.source),
                [InputTag(key, value) for key, value in entry.tags.items()]) for entry in inputs])
