"""The runs of a study in the tracking store: the parent run, its children, and the clean-up after dead processes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict

from gru_bench.config import DataConfig, MetricName, RunConfig, Scalar, assignment
from gru_bench.data.corpus import Corpus
from gru_bench.errors import RunError, UsageError, given_as, named
from gru_bench.results.logged_metrics import Split, compared
from gru_bench.results.looks import PLAN
from gru_bench.results.runs import BASELINES, DATA, NEAR, SEARCH, Baseline, DataSummary, SearchPlan
from gru_bench.sweep.ablations import PlannedRun
from gru_bench.sweep.console.description import run_description
from gru_bench.sweep.plan import Role
from gru_bench.sweep.sharing.leases import this_process
from gru_bench.sweep.sharing.storage import QUIET_SECONDS
from gru_bench.sweep.sharing.trials import StoredTrial, digest, run_key
from gru_bench.sweep.spec import StudySpec
from gru_bench.sweep.study import StudyRecord
from gru_bench.sweep.workers.tasks import corpus_of
from gru_bench.tracking import DIED, NOTE, LoggedRun, Parent, RunWriter, Store

SCORED: Mapping[str, Split] = {"confirm": "test", "ablation": "val"}
"""Role -> split whose score is the objective value of such a run."""
POLL_SECONDS = 0.5
MOST_LOOKED_UP = 10
"""Most runs of trials that are looked up in MLflow where it has no run of the study."""
SUPERSEDED = {"gru_bench.role": "superseded"}
"""Tag of a run that is no longer part of its study; reports leave it out."""


class RunLog:
    """Writes the runs of one study to the tracking store, for one of the processes that work on the study."""

    def __init__(
        self, record: StudyRecord, corpus: Corpus, store: Store, *, experiment: str, command: str, texts: bool,
        data: DataSummary, own: Mapping[str, str] | None = None, say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Find the study's parent run, which an earlier start or another process may have begun, or begin it.

        Args:
            record: The record of the study.
            corpus: The reviews of the study.
            store: The tracking store that the runs are logged to.
            experiment: Name of the MLflow experiment.
            command: The command as the user typed it; it is logged.
            texts: Whether reviews may be stored: the test split, and the review used in the diagnostics.
                A study that was begun without texts never stores any.
            data: Summary of the data, which is logged.
            own: Artifact of the parent run -> its text, of models of the user's own. It is logged.
            say: Called with a sentence for the user when another process is about to begin the parent run.

        Raises:
            UsageError: `texts` is false, but the study has stored reviews already.
            RunError: The parent run was deleted in MLflow.
        """
        self.record, self.corpus, self.store = record, corpus, store
        self.experiment, self.command, self.data = experiment, command, data
        known = self._known_study(say)
        self.study = self._start_study() if known is None else store.writer(known.run_id)
        self.texts = texts if known is None else self._keeps_texts(known, texts)
        """Whether reviews are stored."""
        if self.texts and not texts:
            raise UsageError(f"{named('--no-texts')} must be given from the first start of a study on, but "
                             f"{self.spec.name!r} was begun without it and has texts: leave "
                             f"{named('--no-texts')} out, or give another {named('--study-name')}")
        if known is None or "texts" not in known.params:
            self.study.params({"texts": self.texts})  # must be logged before any review
        self.is_new = known is None
        """Whether the study was begun here."""
        if known is None or "study" not in known.params:  # the process that began it died before it described it
            self._describe()
        for path, text in (own or {}).items():
            self.study.text(path, text)

    @property
    def spec(self) -> StudySpec:
        """The study, with the models that other starts have added."""
        return self.record.spec

    def _known_study(self, say: Callable[[str], None]) -> LoggedRun | None:
        """Return the study's parent run; None if this start is to begin it.

        A start that finds neither the run nor that it may begin it waits: another process has begun the run, but it
        may take a while until MLflow has it.
        """
        since, said = time.monotonic(), False
        while True:
            ours = self.record.may_begin_parent()  # before MLflow is read, so that what another has begun is found
            self.store.adopt_study(self.spec.name)  # a process that began it may have been killed
            known = next(self._logged_studies(), None) or self._study_elsewhere()
            if known is not None or ours:
                return known
            if not said and time.monotonic() - since > QUIET_SECONDS:
                said = True
                say("waiting for another process, which begins the study in MLflow: if that process is stopped "
                    "(Ctrl-Z), continue it with fg, or end it")
            time.sleep(POLL_SECONDS)

    def _logged_studies(self) -> Iterator[LoggedRun]:
        if self.experiment in self.store.experiments():
            yield from (run for run in self.store.runs(self.experiment)
                        if run.role == "study" and run.study == self.spec.name
                        and run.fingerprint == self.corpus.fingerprint)

    def _study_elsewhere(self) -> LoggedRun | None:
        """Return the study's parent run from an experiment that was renamed; None if the store never held the study."""
        parent = parent_of_study(self.store, [
            trial for trials in (*self.record.searches.values(), self.record.work) for trial in trials.stored])
        if parent is None:
            return None
        if parent.is_deleted:
            raise RunError(deleted(self.spec.name, parent))
        self.experiment = parent.experiment
        return next(self._logged_studies(), None)

    def _keeps_texts(self, known: LoggedRun, texts: bool) -> bool:
        if "texts" in known.params:
            return known.params["texts"] == "True"
        return texts

    def _start_study(self) -> RunWriter:
        self.record.work.forget()  # its runs were logged to another store
        return self.store.start(
            self.experiment, self.spec.name, role="study", study=self.spec.name, model=",".join(self.spec.models),
            command=self.command, fingerprint=self.corpus.fingerprint)

    def _describe(self) -> None:
        spec, corpus = self.spec, self.corpus
        if self.texts:
            self.study.texts("test", corpus.test.example_id_N, corpus.texts("test"))
            self.study.text(NEAR, json.dumps(corpus.near_examples))
        if (plan := spec.plan(corpus.fingerprint)) is not None:
            self.study.text(PLAN, plan.to_json())
            self.study.params({"looks": ",".join(map(str, plan.looks))})
        if spec.defaults:
            self.study.params({"defaults": ", ".join(assignment(*one) for one in spec.defaults.items())})
        # Params are logged last: their presence tells that the description is complete.
        self.study.params({"study": spec.name, "models": ",".join(spec.models), "trials": spec.trials,
                           "confirm": spec.confirm, "search_seed": spec.seed, "data": corpus.name,
                           "margin": spec.margin_in_hundredths, "metric": spec.metric,
                           "contents": ",".join(_contents(spec)), "protocol": spec.protocol})

    def baselines(self, found: Sequence[Baseline]) -> None:
        """Log the baselines; they are logged early so that a report of an unfinished study shows them."""
        self.study.text(BASELINES, json.dumps([asdict(baseline) for baseline in found], indent=1))

    def begin(
        self, label: str, role: Role, config: RunConfig, settings: Mapping[str, Scalar], tags: Mapping[str, str]
    ) -> RunWriter:
        """Begin a child run of the study and return its writer.

        Args:
            label: Name under which the run is shown.
            role: Role of the run: trial, confirm or ablation.
            config: Config of the run.
            settings: Settings that differ from the study's own. Their digest identifies the run later.
            tags: Further tags to log.
        """
        return self.store.start(
            self.experiment, self._run_name(config.model.name, label), role=role, study=self.spec.name,
            model=config.model.name,
            command=self.command, config=config,
            fingerprint=fingerprint_of(config.data, self.spec, self.corpus), parent=self.study.run_id,
            tags={"gru_bench.settings": digest(settings), "gru_bench.owner": this_process(),
                  NOTE: run_description(role, settings), **tags})

    def _run_name(self, model: str, label: str) -> str:
        """Return a run's name in MLflow: its study, its model where the study has several, and its trial or seed."""
        return f"{self.spec.name} {label.removeprefix(f'{model} ') if len(self.spec.models) == 1 else label}"

    def _runs(self) -> list[LoggedRun]:
        return [run for run in self.store.runs(self.experiment)
                if run.tags.get("mlflow.parentRunId") == self.study.run_id]

    def resume(self) -> list[str]:
        """Clean up what earlier starts have left, then mark the study as running again.

        The clean-up comes first: a read after a write waits for MLflow, which is still being imported. A study that
        was just begun reads nothing.

        Returns:
            Notes for the readers of the study.
        """
        notes = self._missing_runs_note() if self.is_new else [*self._supersede_unknown(), *self._retrain_deleted()]
        self.take_over(first=not self.is_new)
        self.study.reopen(self.command, self.spec.metric)
        self.study.text(DATA, json.dumps(asdict(self.data), indent=1))
        if self.spec.trials:
            space = {key: span.described() for key, span in self.spec.space.items()}
            plan = SearchPlan(self.spec.trials, self.spec.seeds_per_trial, space)
            self.study.text(SEARCH, json.dumps(asdict(plan), indent=1))
        return notes

    def _missing_runs_note(self) -> list[str]:
        """Return a note when the searches have trials whose runs this tracking store never held."""
        ended = sum(search.ended for search in self.record.searches.values())
        return [f"The runs of {ended} trials of earlier starts are not in this tracking store: it was lost, or is "
                "another."] if ended else []

    def _supersede_unknown(self) -> list[str]:
        """Supersede the runs of trials that no search knows, before new trials get the same numbers."""
        ended = [run for run in self._runs() if run.role == "trial" and (
            run.status != "RUNNING" or self.record.lease.is_dead(run.tags.get("gru_bench.owner", "")))]
        # The searches are read after the runs, because a trial begins before its run.
        known = {(model, str(number)) for model, search in self.record.searches.items()
                 for number in search.numbers}
        lost = [run for run in ended
                if run.model in self.record.searches and (run.model, run.tags.get("gru_bench.trial", "")) not in known]
        for run in lost:
            self.store.writer(run.run_id).tags(SUPERSEDED)
        return [f"The search's storage was lost, or a part of it: {len(lost)} runs of trials that it does not know are "
                "set aside."] if lost else []

    def _retrain_deleted(self) -> list[str]:
        """Queue the runs again that a user has deleted in MLflow, for example because they were damaged."""
        there = {name for run in self._runs() for name in run.ids}
        work = self.record.work
        deleted = [(key, trial.run_id) for key, trial in work.latest().items()
                   if trial.state == "complete" and trial.run_id and trial.run_id not in there
                   and self.store.is_deleted(trial.run_id)]
        for key, run_id in deleted:
            work.reopen(key, run_id)
        return [f"Runs of earlier starts were deleted in MLflow: {len(deleted)} are trained again."] if deleted else []

    def take_over(self, *, first: bool = False) -> None:
        """Queue again what processes that have died were working on, and close their runs.

        Args:
            first: Whether to look for unclosed runs even when no search knows of a dead process.
        """
        record = self.record
        orphans = [(trials, number) for trials in (*record.searches.values(), record.work)
                   for number in trials.orphans()]
        if orphans:
            self.store.adopt()  # their last writes may not have reached MLflow
            with record.lock:
                for trials, number in orphans:
                    if number in trials.orphans():  # otherwise another process was faster
                        trials.give_up(number, DIED)
        if orphans or first:
            self._close_runs()

    def _close_runs(self) -> None:
        """Close the runs of dead processes: those that are open, and those that ended although their trials did not."""
        record = self.record
        repeated = {trial.run_id for trials in (*record.searches.values(), record.work)
                    for trial in trials.stored if trial.state == "broken off" and trial.run_id}
        for run in self._runs():
            ended = run.state in ("complete", "pruned") and not (self.spec.seeds_per_trial > 1 and run.role == "trial")
            if (run.status == "RUNNING" or (ended and not repeated.isdisjoint(run.ids))) and record.lease.is_dead(
                    run.tags.get("gru_bench.owner", "")):
                close(self.store.writer(run.run_id), DIED)

    def supersede(
        self, model: str, tuned: Mapping[str, Scalar], planned: Mapping[str, PlannedRun], waiting: Set[str]
    ) -> list[str]:
        """Supersede the runs of earlier starts that are no longer planned; keep the others.

        Args:
            model: Model whose search has ended.
            tuned: Best settings of that search.
            planned: Key -> run that is planned for these settings.
            waiting: Ablations whose runs are not all planned yet.

        Returns:
            Notes for the readers of the study.
        """
        notes = []
        for run in self._runs():
            if run.model != model or run.status == "RUNNING":
                continue
            key, tags = _key(run), SUPERSEDED
            if key in planned:
                tags = {"gru_bench.role": _role(run), **planned[key].tags}
                if run.complete and (value := _value(run, self.spec.metric)) is not None:
                    self.record.work.record_done(key, run.run_id, value)
            elif not waiting.isdisjoint(run.ablations):
                continue
            if _role(run) == "ablation" and not tags.items() <= run.tags.items():
                self.store.writer(run.run_id).tags(tags)
            elif run.role == "confirm" and run.complete and run.tags.get("gru_bench.settings") != digest(tuned):
                self.store.writer(run.run_id).tags(tags)
                notes = [f"The search of {model} went on after its best settings had been scored on the test split; "
                         "those runs are set aside."]
        return notes


def close(writer: RunWriter, reason: str) -> None:
    """Close a run that is trained again. It may have been logged as complete."""
    writer.kill(reason)
    writer.tags({"gru_bench.complete": "false"})


def parent_of_study(store: Store, trials: Sequence[StoredTrial]) -> Parent | None:
    """Return the parent of the newest trial whose run MLflow knows; None if there is none, as in another store."""
    noted = [trial.run_id for trial in trials if trial.run_id]
    return next(filter(None, map(store.parent, noted[:-1 - MOST_LOOKED_UP:-1])), None)


def deleted(study: str, parent: Parent) -> str:
    """Return that the parent run of a study was deleted, and what to do."""
    return (f"the study {study!r} must have its own run in MLflow, but the run {parent.run_id} was deleted: restore it "
            f"(mlflow runs restore --run-id {parent.run_id}) and the runs below it that were deleted with it, or begin "
            f"a new study under another name ({given_as('--study-name', 'NAME')})")


def fingerprint_of(data: DataConfig, spec: StudySpec, corpus: Corpus) -> str:
    """Return the fingerprint of data that a study reads; its ablations may split the data differently.

    Args:
        data: The data.
        spec: The study.
        corpus: The reviews of the study.
    """
    return corpus.fingerprint if data == spec.base.data else corpus_of(data).fingerprint


def _contents(spec: StudySpec) -> list[str]:
    return [part for part, planned in (
        ("search", spec.trials > 0), ("ablations", spec.ablations is not None),
        ("timings", spec.timings is not None), ("diagnostics", spec.diagnostics),
        ("recall", spec.recall is not None)) if planned]


def _role(run: LoggedRun) -> str:
    """Return the role that a run was begun with; a superseded ablation run is still an ablation run."""
    return "ablation" if run.side else run.role


def _value(run: LoggedRun, metric: MetricName) -> float | None:
    """Return the objective value of a confirm or ablation run; None if it was not logged."""
    split = SCORED.get(_role(run))
    return None if split is None else run.metrics.get(compared(metric, split).key)


def _key(run: LoggedRun) -> str:
    """Return the key of a confirm or ablation run; empty for any other run."""
    settings = run.tags.get("gru_bench.settings")
    if run.seed is None or settings is None:
        return ""
    return run_key(run.model, _role(run), settings, run.seed, run.side)
