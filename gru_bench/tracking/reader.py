"""Reading runs from the tracking store: runs, studies, metric histories and artifacts."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from gru_bench import cli
from gru_bench.config import (
    SECTIONS,
    MetricName,
    RunConfig,
    is_valid_setting,
    with_settings,
)
from gru_bench.errors import RunError, UsageError, argument, first_line, unknown, without_passwords
from gru_bench.models.saved import SHARED, Origin, SharedVectors, artifact, read
from gru_bench.models.trained import TrainedModel
from gru_bench.results.runs import Predictions, StudySummary
from gru_bench.tracking.artifacts import predictions_of, texts_of
from gru_bench.tracking.client import (
    AGAIN,
    DEFAULT_DATABASE,
    ID_TAG,
    PARENT_TAG,
    TEST_SET,
    open_client,
    require_tables,
    require_uri,
    sqlite_path,
)
from gru_bench.tracking.failures import AwayError, brief, is_away
from gru_bench.tracking.file import FileSource
from gru_bench.tracking.source import Found, RawRun, Source
from gru_bench.tracking.view import TRAINING, view_page, view_tag

if TYPE_CHECKING:
    from mlflow import MlflowClient

FORMAT_TAG, FORMAT = "gru_bench.format", "3"
"""Tag and version of a run's format: the names and meaning of its keys. Runs of another format are refused."""
FILE = "file"
"""Role of a run that is in no store: a file has its predictions."""
_SECTIONS = tuple(f"{section}." for section in SECTIONS)
"""Prefixes of the params that are settings, together with `seed`."""
LATEST = 253_402_300_799_999
"""The end of the year 9999 in milliseconds since 1970. No later time can be shown."""
T = TypeVar("T")


@dataclass(frozen=True)
class LoggedRun:
    """A run as it is read from the tracking store."""

    run_id: str
    """Our id of the run, for life."""
    experiment_id: str
    name: str
    role: str
    """study, trial, confirm, baseline or single; or file, of which a file of predictions is all that is known."""
    study: str
    model: str
    backend: str
    seed: int | None
    status: str
    """MLflow's status: RUNNING, FINISHED, FAILED or KILLED."""
    complete: bool
    reason: str
    """Why it was pruned or failed; empty otherwise."""
    params: Mapping[str, str]
    """The flattened config: `model.hidden_size` -> `"100"`."""
    metrics: Mapping[str, float]
    """Key in `results.logged_metrics` -> latest value."""
    tags: Mapping[str, str]
    started: float
    """Seconds since the epoch."""
    ended: float | None = None
    """Seconds since the epoch; None if the run has not ended."""
    mlflow_id: str = ""
    """MLflow's id of the run in this store."""

    @property
    def parent_id(self) -> str | None:
        """Our id of its parent run; None if it has none."""
        return self.tags.get(PARENT_TAG)

    @property
    def state(self) -> str:
        """How far the run is: running, complete, pruned, failed or killed; empty where none was logged."""
        return self.tags.get("gru_bench.state", "")

    @property
    def is_described(self) -> bool:
        """Return whether all params that describe a study were logged, of which `study` is the last one."""
        return "study" in self.params

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the data and its split; empty where none was logged."""
        return self.tags.get("gru_bench.data_fingerprint", "")

    @property
    def test_set(self) -> str:
        """Digest of the test examples that it was scored on; empty where none was logged."""
        return self.tags.get(TEST_SET, "")

    @property
    def command(self) -> str:
        """The command that began the run or last continued it, as the user typed it; empty where none was logged."""
        return self.tags.get("mlflow.source.name", "")

    def config(self) -> RunConfig:
        """Return the config that was logged with the run. A setting that was not logged has its default.

        Raises:
            RunError: The params are not those of a valid config. The message names the first such setting.
        """
        settings = {  # "None" stays text where a setting is always text
            key: None if text == "None" and is_valid_setting(key, None) else text
            for key, text in self.params.items()
            if key == "seed" or key.startswith(_SECTIONS)}
        try:
            return with_settings(RunConfig(), settings)
        except UsageError as error:
            raise damaged(self.run_id, "its config", error) from error


@dataclass(frozen=True)
class StudyPlan:
    """What a study was to do when it began. A value that was not logged, or cannot be read, is empty or None."""

    models: tuple[str, ...]
    trials: int | None
    """Number of search trials of each model."""
    confirm: int | None
    """Number of confirmation seeds of each model."""
    margin: float | None
    """The largest difference of no practical weight; 0.01 is one point of accuracy."""
    metric: MetricName = "accuracy"
    """Score that the study is about. Accuracy where none was logged."""


@dataclass(frozen=True)
class LoggedStudy:
    """A study: its parent run and its children. `summary` is None until the study has ended."""

    run: LoggedRun
    summary: StudySummary | None
    trials: tuple[LoggedRun, ...]
    confirms: tuple[LoggedRun, ...]
    baselines: tuple[LoggedRun, ...] = ()
    damaged: str = ""
    """Why the summary of a complete study cannot be read; empty otherwise."""

    @property
    def name(self) -> str:
        """The name of the study, or of its run where it is not tagged."""
        return self.run.study or self.run.name

    @property
    def original(self) -> str:
        """Id of the own run of the study whose question it asks again (`gru-bench sweep --again`), or its own."""
        return next((run.tags[AGAIN] for run in self.confirms if AGAIN in run.tags), self.run.run_id)

    @property
    def runs(self) -> tuple[LoggedRun, ...]:
        """All runs, the parent run first."""
        return (self.run, *self.trials, *self.confirms, *self.baselines)

    def plan(self) -> StudyPlan:
        """Return what the study was to do when it began, as its own run logged it."""
        logged = self.run.params
        return StudyPlan(
            models=_listed(logged.get("models", "")), trials=_count(logged.get("trials", "")),
            confirm=_count(logged.get("confirm", "")), margin=_margin(logged.get("margin", "")),
            metric=metric_of(logged.get("metric", "")))


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)


def _count(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else None


def metric_of(text: str) -> MetricName:
    """Return the score that a study is about, as its run logged it; accuracy where none was logged."""
    return next((name for name in get_args(MetricName) if name == text), "accuracy")


def _margin(text: str) -> float | None:
    """Return a margin in points as a fraction; None unless it is above 0 and at most 50 points."""
    try:
        points = float(text)
    except ValueError:
        return None
    return points / 100 if 0 < points <= 50 else None


RESTORE = ": restore it from a copy, or delete the run in MLflow and run its study again"
"""Remedy for an artifact that is damaged or missing, as the end of an error message."""


class _MissingArtifactError(RunError):
    """An artifact is missing, or the store does not return it."""

    def __init__(self, run_id: str, path: str, reason: str) -> None:
        super().__init__(
            f"the run {run_id} must contain the artifact {path}, but it cannot be read ({reason}){RESTORE}")


def damaged(run_id: str, path: str, error: Exception) -> RunError:
    """Return the error for an artifact that cannot be parsed."""
    return RunError(f"the run {run_id} must contain {path} as it was logged, but it cannot be read "
                    f"({first_line(error)}){RESTORE}")


class Reader:
    """Reads the runs of an MLflow tracking store: a database file, a database server, or an MLflow server.

    `open_reader` makes one of a store that must be there; `Store` is the reader that also writes.
    """

    def __init__(self, uri: str | None = None) -> None:
        """Set the tracking URI; nothing is opened.

        Args:
            uri: MLflow's tracking URI; None means the file `mlflow.db` in the working directory.

        Raises:
            UsageError: The URI is not a tracking URI.
        """
        self.uri = uri or f"sqlite:///{Path.cwd() / DEFAULT_DATABASE}"
        require_uri(self.uri)
        self.database = sqlite_path(self.uri)
        if self.database is not None:
            self.uri = f"sqlite:///{self.database}"
        self._is_new = self.database is not None and not self.database.exists()
        """Whether its file does not exist yet."""
        self._mlflow_ids: dict[str, str] = {}
        """Our id -> MLflow's, of the runs that were read."""
        self.odd: dict[str, str] = {}
        """Run id -> reason, for runs that are left out because their values are invalid."""

    @property
    def home(self) -> Path:
        """Directory of the database file; the working directory for a server."""
        return self.database.parent if self.database is not None else Path.cwd()

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's client of the store, which is opened when it is first needed."""
        return open_client(self.uri, self.database)

    @property
    def is_open(self) -> bool:
        """Whether MLflow's client was opened."""
        return "client" in vars(self)

    @property
    def source(self) -> Source:
        """What the store is asked."""
        if self.database is None:
            return Source(lambda: self.client)
        return FileSource(self.database, lambda: self.client)

    def _read(self, read: Callable[[Source], T]) -> T | None:
        """Ask the store something; return None if it does not exist yet, because nothing was written to it."""
        self._is_new &= self.database is not None and not self.database.exists()
        return None if self._is_new else read(self.source)

    def experiments(self) -> list[str]:
        """Return the names of the experiments with runs of gru-bench, the most recent first."""
        return list(self._read(lambda source: source.experiments()) or ())

    def studies(self, experiment: str) -> list[LoggedStudy]:
        """Return the studies of an experiment with their children, newest first.

        Raises:
            UsageError: The experiment does not exist; the message lists those that do.
        """
        runs = self.runs(experiment)
        children: dict[str, list[LoggedRun]] = {}
        for run in runs:
            children.setdefault(run.parent_id or "", []).append(run)
        return [self._study(run, children.get(run.run_id, [])) for run in runs if run.role == "study"]

    def logged_study(self, run_id: str) -> LoggedStudy | None:
        """Return the study whose own run has an id; None where the store does not have it."""
        found, run = self.find(run_id), self.run(run_id)
        return None if found is None or run is None else self._study(
            run, self.runs(found.experiment, (PARENT_TAG, run_id)))

    def _study(self, run: LoggedRun, children: Sequence[LoggedRun]) -> LoggedStudy:
        own = sorted(children, key=lambda child: child.started)
        summary, damaged = None, ""
        try:
            if run.complete:
                summary = self._parsed(run.run_id, "study.json", StudySummary.from_json)
        except RunError as error:
            damaged = str(error)  # the other studies can still be read
        return LoggedStudy(
            run=run, summary=summary, damaged=damaged, trials=tuple(r for r in own if r.role == "trial"),
            confirms=tuple(r for r in own if r.role == "confirm"),
            baselines=tuple(r for r in own if r.role == "baseline"))

    def study(self, name: str) -> LoggedStudy:
        """Return the newest study of this name.

        Raises:
            UsageError: for an unknown study. The error lists the known ones.
        """
        studies = [study for experiment in self.experiments() for study in self.studies(experiment)]
        found = [study for study in studies if study.run.study == name]
        where = without_passwords(self.uri)
        if not found:
            known = {study.run.study for study in studies}
            if not known:
                raise UsageError(f"there is no study in {where} yet: run one "
                                 f"({cli.line(['gru-bench', 'sweep', '--study', 'smoke'])})")
            raise unknown("study", name, known, f"These are the studies in {where}.")
        return max(found, key=lambda study: study.run.started)

    def runs(self, experiment: str, tag: tuple[str, str] | None = None) -> list[LoggedRun]:
        """Return the runs of gru-bench in an experiment, newest first.

        Args:
            experiment: Name of the experiment.
            tag: Key and value of a tag that they have; None for all runs.

        Raises:
            UsageError: The experiment does not exist; the message lists those that do.
        """
        def read(source: Source) -> Iterable[RawRun]:
            found = source.runs(experiment, tag)
            if found is None:
                raise unknown("experiment", experiment, source.experiments())
            return found

        found = self._read(read) or ()
        return list(self._sound(run for run in found if "gru_bench.role" in run[6]))

    def run(self, run_id: str) -> LoggedRun | None:
        """Return a run; None where the store does not have it, or where it was deleted."""
        def read(source: Source) -> Iterable[RawRun]:
            found = source.find(run_id)
            return () if found is None or found.is_deleted else (source.run(found.run_id),)

        return next(self._sound(self._read(read) or ()), None)

    def _sound(self, runs: Iterable[tuple[Any, ...]]) -> Iterator[LoggedRun]:
        """Yield the valid runs, and store the reason for each other run in `odd`."""
        for run_id, *values in runs:
            try:
                run = _logged(run_id, *values)
                self._mlflow_ids[run.run_id] = run_id
                yield run
            except ValueError as error:
                self.odd[run_id] = f"the run {run_id} is left out: {error}"

    def confirmed_models(self, test_set: str) -> list[tuple[str, str]]:
        """Return the study and the name of each model that a complete confirmation run scored on a test set, in all
        experiments.

        A model counts once for each study that confirmed it, and an imported study is the same as its original.

        Args:
            test_set: Digest of the test examples.
        """
        return sorted((study, model) for _, study, model in self._confirmed(TEST_SET, test_set, math.inf))

    def studies_on_test(self, test_set: str, until: float) -> int:
        """Return how many studies of all experiments had scored a test set by a complete confirmation run.

        Args:
            test_set: Digest of the test examples.
            until: Runs that began later do not count. In seconds since the epoch.
        """
        return len({study for study, *_ in self._confirmed(TEST_SET, test_set, until)})

    def studies_again(self, original: str) -> int:
        """Return how many studies of all experiments ask a question again and have a complete confirmation run.

        Args:
            original: `LoggedStudy.original` of these studies.
        """
        return len({study for study, *_ in self._confirmed(AGAIN, original, math.inf)})

    def _confirmed(self, tag: str, value: str, until: float) -> list[tuple[str, str, str]]:
        """Return each model with complete confirmation runs that have a tag and began by a time: study's id, study,
        model."""
        models: dict[tuple[str, str, str], None] = {}
        for _, start_ms, tags in self._read(lambda source: source.tagged_runs(tag, value)) or ():
            if tags.get("gru_bench.role") != "confirm" or tags.get("gru_bench.complete") != "true" or (
                    start_ms or 0) / 1000 > until:
                continue
            parent, study, model = (
                tags.get(key, "") for key in ("mlflow.parentRunId", "gru_bench.study", "gru_bench.model"))
            models[parent, study, model] = None
        return list(models)

    def histories(
        self, run_ids: Sequence[str], metrics: Sequence[str]
    ) -> dict[str, dict[str, list[tuple[int, float]]]]:
        """Return run id -> metric -> (step, value) by step. If a step was logged twice, the later value counts."""
        ours = {self.mlflow_id(run_id): run_id for run_id in run_ids}
        points: dict[str, dict[str, dict[int, tuple[int, float]]]] = {run_id: {} for run_id in run_ids}
        for mlflow_id, metric, step, value, timestamp in self._read(
                lambda source: source.points(list(ours), metrics)) or ():
            steps = points[ours[mlflow_id]].setdefault(metric, {})
            if step not in steps or timestamp >= steps[step][0]:
                steps[step] = (timestamp, value)
        return {
            run_id: {
                metric: [(step, steps[step][1]) for step in sorted(steps)] for metric, steps in by_metric.items()
            }
            for run_id, by_metric in points.items()
        }

    def predictions(self, run_id: str, split: str) -> Predictions:
        """Return the predictions of a run for a split.

        Raises:
            RunError: The run has no such predictions, or they cannot be read.
        """
        return self._parsed(run_id, f"predictions/{split}.parquet", predictions_of)

    def mlflow_id(self, run_id: str) -> str:
        """Return MLflow's id of a run; the same id where MLflow has no run with that id of ours.

        Raises:
            RunError: The store does not answer.
        """
        if run_id not in self._mlflow_ids:
            found = self.find(run_id)
            if found is None:
                return run_id
            self._mlflow_ids[run_id] = found.run_id
        return self._mlflow_ids[run_id]

    def find(self, run_id: str) -> Found | None:
        """Return where a run is in MLflow, even if it was deleted; None if MLflow does not have it.

        Raises:
            RunError: The store does not answer.
        """
        return self._read(lambda source: source.find(run_id))

    def is_deleted(self, run_id: str) -> bool:
        """Return whether a run was deleted in MLflow; False for a run that MLflow does not know."""
        try:
            found = self.find(run_id)
        except RunError:
            return False
        return found is not None and found.is_deleted

    def texts(self, run_id: str, split: str) -> dict[str, str] | None:
        """Return example id -> text of a split from a study's parent run; None if no texts were logged.

        Raises:
            RunError: The texts cannot be read.
        """
        try:
            return self._parsed(run_id, f"texts/{split}.parquet", texts_of)
        except _MissingArtifactError:
            return None

    def models(self, run_ids: Sequence[str], parent: str | None) -> list[TrainedModel]:
        """Return the models that runs have logged, each of one seed or of a baseline. Vectors that several of them
        share are read once.

        Args:
            run_ids: Ids of runs with one parent, or of one run without a parent.
            parent: Id of their parent run.

        Raises:
            DataError: A model was changed.
            RunError: A run has logged no model, or it cannot be read.
        """
        shared: dict[str, SharedVectors] = {}

        def model(run_id: str) -> TrainedModel:
            def file(name: str, digest: str) -> bytes:
                path = artifact(name, digest)
                return self._artifact(parent or run_id if path.startswith(SHARED) else run_id, path)

            origin = Origin(f"the model of the run {run_id}", file, RESTORE.removeprefix(": "))
            return replace(read(origin, shared)[0], run_ids=(run_id,))

        return list(map(model, run_ids))

    def text(self, run_id: str, path: str) -> str | None:
        """Return a text artifact of a run; None if it was not logged."""
        try:
            return self._artifact(run_id, path).decode(errors="replace")
        except _MissingArtifactError:
            return None

    def _parsed(self, run_id: str, path: str, parse: Callable[[bytes], T]) -> T:
        try:
            return parse(self._artifact(run_id, path))
        except ValueError as error:
            raise damaged(run_id, path, error) from error

    def run_url(self, run: LoggedRun, served: str | None = None) -> str | None:
        """Return the URL of a run's page on an MLflow server, without user and password.

        Args:
            run: The run.
            served: Address of a server that may be started for a store that is none. None: such a store has no URL.
        """
        return self.page_url(f"#/experiments/{run.experiment_id}/runs/{run.mlflow_id}?{TRAINING}", served)

    def page_url(self, page: str, served: str | None = None) -> str | None:
        """Return the URL of a page of MLflow, as `run_url` does, from what follows the server's address in it."""
        is_server = self.uri.startswith(("http://", "https://"))
        address = re.sub("://[^/]*@", "://", without_passwords(self.uri)) if is_server else served
        return None if address is None else f"{address.rstrip('/')}/{page}"

    def view(self, experiment: str, metric: MetricName) -> str:
        """Return the page with the saved view of an experiment, for `page_url`; empty where it has none.

        Args:
            experiment: Name of the experiment.
            metric: Score of the studies that the view is for.

        Raises:
            RunError: The store does not answer.
        """
        # It is only a link: a sweep must not stop for it while the server is away.
        found = Reader._read(self, lambda source: source.tagged(experiment, view_tag(metric)))
        return "" if found is None else view_page(found, metric)

    def _artifact(self, run_id: str, path: str) -> bytes:
        try:
            mlflow_id = self.mlflow_id(run_id)
            content = self._read(lambda source: source.artifact(mlflow_id, path))
        except (RunError, OSError) as error:
            if is_away(error):
                raise AwayError(f"the tracking store {without_passwords(self.uri)} does not respond ({brief(error)}): "
                                "run this again when it does") from error
            raise _MissingArtifactError(run_id, path, first_line(error)) from error
        if content is None:
            raise _MissingArtifactError(run_id, path, "MLflow has no run yet")
        return content


def open_reader(uri: str | None = None) -> Reader:
    """Return a reader of a store that is there; nothing is created.

    Args:
        uri: MLflow's tracking URI; None means the file `mlflow.db` in the working directory.

    Raises:
        UsageError: The URI is not a tracking URI.
        RunError: The store is missing or damaged, refuses access or does not answer.
    """
    reader = Reader(uri)
    if reader.database is None:
        assert reader.client is not None  # opened now, so that errors of the store are raised now
    elif reader.database.exists():
        require_tables(reader.database)
    else:
        raise RunError(f"No such file: {reader.database}. Run a sweep in this directory first (gru-bench sweep --study "
                       f"smoke), or use another store ({argument('tracking_uri')})")
    return reader


def _logged(
    run_id: str, experiment_id: str, name: str | None, status: str, start_ms: int | None, end_ms: int | None,
    tags: Mapping[str, str], params: Mapping[str, str], metrics: Mapping[str, float],
) -> LoggedRun:
    """Return a run, with its tags checked.

    Raises:
        RunError: The run was logged in another format.
        ValueError: A value of the run is invalid.
    """
    if (logged_format := tags.get(FORMAT_TAG, "")) != FORMAT:
        raise RunError(
            f"the tracking store must contain runs in format {FORMAT}, but the run {run_id} ({(name or '')[:60]!r}) is "
            f"in format {logged_format[:20] or 'none'}: start again in an empty folder, or with another "
            f"{argument('tracking_uri')} and {argument('storage')}")
    seed = tags.get("gru_bench.seed", "")
    if not re.fullmatch("(-?[0-9]{1,20})?", seed):
        raise ValueError(f"its tag gru_bench.seed must be a whole number, but is {seed[:40]!r}")
    if not 0 <= (start_ms or 0) <= LATEST:
        raise ValueError("its start must lie between the years 1970 and 9999, but is "
                         f"{start_ms} milliseconds from 1970")
    return LoggedRun(
        run_id=tags.get(ID_TAG, run_id), mlflow_id=run_id, experiment_id=experiment_id, name=name or "",
        role=tags["gru_bench.role"],
        study=tags.get("gru_bench.study", ""), model=tags.get("gru_bench.model", ""),
        backend=tags.get("gru_bench.backend", ""), seed=int(seed) if seed else None, status=status,
        complete=tags.get("gru_bench.complete") == "true", reason=tags.get("gru_bench.reason", ""),
        params=dict(params), metrics={
            key: math.copysign(math.inf, value) if abs(value) >= sys.float_info.max else value  # as it was logged
            for key, value in metrics.items()}, tags=dict(tags), started=(start_ms or 0) / 1000,
        ended=None if end_ms is None else end_ms / 1000)
