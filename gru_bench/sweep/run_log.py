"""The runs of a study in the tracking store: the parent run, its children, and the clean-up after dead processes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial

from gru_bench.config import RunConfig, Scalar
from gru_bench.data.corpus import Corpus
from gru_bench.errors import RunError, UsageError, argument, without_passwords
from gru_bench.results.baselines import BaselineResult, baseline_label
from gru_bench.results.runs import DATA, DataSummary
from gru_bench.stats.scores import compared
from gru_bench.sweep.active_run import REASSIGNED, Assignment
from gru_bench.sweep.console.description import run_description
from gru_bench.sweep.plan import StudyState
from gru_bench.sweep.search import Search
from gru_bench.sweep.sharing.trials import Trials
from gru_bench.sweep.sharing.work import baseline_key, digest, run_key
from gru_bench.sweep.spec import StudySpec
from gru_bench.sweep.study import StudyRecord
from gru_bench.tracking import AGAIN, INTERRUPTED, NOTE, PARENT_TAG, LoggedRun, Reader, RunWriter, Store

DIED = "its process ended unexpectedly"
"""Why a run of a dead start has no result."""
OWNER = "gru_bench.owner"
"""Tag with the id of the start that trains a run."""
SUPERSEDED = {"gru_bench.role": "superseded"}
"""Tag of a run that is no longer part of its study; reports leave it out."""


class StoresError(RunError):
    """The two stores of a study do not belong together, or its own run was deleted in MLflow."""


class RunLog:
    """Writes the runs of one study to the tracking store, for one of the processes that work on the study."""

    def __init__(
        self, record: StudyRecord, corpus: Corpus, store: Store, *, command: str, texts: bool, data: DataSummary,
        own: Mapping[str, str],
    ) -> None:
        """Begin the study's own run, or continue it.

        Args:
            record: The record of the study.
            corpus: The texts of the study.
            store: The tracking store that the runs are logged to.
            command: The command as the user typed it; it is logged.
            texts: Whether texts may be stored: the test split, and the text used in the diagnostics.
                A study that was begun without texts never stores any.
            data: Summary of the data, which is logged.
            own: Artifact of the parent run -> its text, of models of the user's own. It is logged.

        Raises:
            UsageError: `texts` is false, but the study has stored texts already.
            RunError: The study's own run was deleted in MLflow, or the two stores do not belong together.
        """
        self.record, self.corpus, self.store = record, corpus, store
        self.experiment, self.command, self.data = corpus.name, command, data
        known = self._known_study()
        begins = record.begin_run(uuid.uuid4().hex, texts=texts)
        self.texts = record.state().texts
        """Whether texts are stored."""
        if self.texts and not texts:
            raise UsageError(f"the study {self.spec.name!r} was started without --no-texts and has stored "
                             f"texts: leave it out, or choose another study name ({argument('name')})")
        self.is_new = known is None
        """Whether the tracking store does not have the study's own run yet."""
        self.study = store.writer(record.run_id) if known is not None else store.patiently(self._begun)
        if begins or (known is not None and not known.is_described and not record.lease.has_others()):
            self._describe()  # the start that began it died
        for path, text in own.items():
            self.study.text(path, text)
        record.note_logged(without_passwords(store.uri))

    def _begun(self) -> RunWriter:
        """Begin the study's own run, which only one of several starts creates."""
        with self.record.lock:
            return self.store.start(
                self.experiment, self.spec.name, role="study", study=self.spec.name, model=",".join(self.spec.models),
                command=self.command, fingerprint=self.corpus.fingerprint, rows=self.corpus.rows,
                run_id=self.record.run_id)

    @property
    def spec(self) -> StudySpec:
        """The study."""
        return self.record.spec

    def _known_study(self) -> LoggedRun | None:
        """Return the study's own run; None if the tracking store does not have it, or not yet."""
        experiment = experiment_of(self.record, self.store, self.experiment, self.corpus.fingerprint)
        if experiment is None:
            return None
        self.experiment = experiment  # a user may have renamed it
        return self.own_run()

    def describe_if_lost(self) -> None:
        """Describe the study if the start that began it died before it did so, while this one worked already."""
        if (study := self.own_run()) is not None and not study.is_described:
            self._describe()

    @property
    def is_complete(self) -> bool:
        """Whether a start has completed the study."""
        return (study := self.own_run()) is not None and study.complete

    def own_run(self) -> LoggedRun | None:
        """Return the study's own run; None while MLflow does not have it."""
        return self.store.run(self.record.run_id)

    def _describe(self) -> None:
        spec, corpus = self.spec, self.corpus
        self.study.params({"texts": self.texts})
        if self.texts:
            self.study.texts("test", corpus.test.example_id_N, corpus.texts("test"))
        # Params are logged last: their presence tells that the description is complete.
        self.study.params({"study": spec.name, "models": ",".join(spec.models), "trials": spec.trials,
                           "confirm": spec.confirm, "search_seed": spec.seed, "data": corpus.name,
                           "margin": spec.margin_in_hundredths, "metric": spec.metric})

    def baseline(self, number: int, result: BaselineResult) -> None:
        """Log a baseline as a run of the study, and end its trial."""
        work = self.record.work
        writer = self._start_child(f"{self.spec.name} {result.model}", "baseline", result.model,
                                   {NOTE: baseline_label(result.model, result.settings)})
        work.note_run(number, writer.run_id)
        writer.baseline(result if self.texts else replace(result, weights={}))  # n-grams are fragments of texts
        score = result.metrics[compared(self.spec.metric, "test").key]
        if not self.store.patiently(lambda: work.complete(number, score, writer.complete)):
            self.store.patiently(lambda: work.close(number, writer.run_id, lambda: writer.kill(REASSIGNED)))

    def begin(self, run: Assignment) -> RunWriter:
        """Begin a child run of the study and return its writer.

        Its name in MLflow has its study, its model where the study has several, and its trial or seed.
        """
        label = run.label.removeprefix(f"{run.model} ") if len(self.spec.models) == 1 else run.label
        repeats = None if run.search is None else run.search.repeats(run.number)
        return self._start_child(f"{self.spec.name} {label}", run.role, run.model, {
            "gru_bench.settings": digest(run.settings), NOTE: run_description(run.role, run.settings, repeats),
            **({} if run.search is None else {"gru_bench.trial": str(run.number)}),
            **({AGAIN: self.spec.again} if self.spec.again else {})}, run.config)

    def _start_child(
        self, name: str, role: str, model: str, tags: Mapping[str, str], config: RunConfig | None = None
    ) -> RunWriter:
        return self.store.start(
            self.experiment, name, role=role, study=self.spec.name, model=model, command=self.command, config=config,
            fingerprint=self.corpus.fingerprint, rows=self.corpus.rows, parent=self.study.run_id,
            tags={OWNER: self.record.lease.owner, **tags})

    def runs(self) -> list[LoggedRun]:
        """Return the runs of the study, as MLflow has them."""
        return self.store.runs(self.experiment, (PARENT_TAG, self.study.run_id))

    def resume(self) -> list[str]:
        """Clean up what earlier starts have left, then mark the study as running again.

        Returns:
            Notes for the readers of the study.
        """
        notes = list[str]()
        if not self.is_new:
            runs = self.runs()
            self._require_known(runs)
            notes = self._retrain_deleted(runs)
        self.take_over(self.record.state(), first=not self.is_new)
        self.study.reopen(self.command)
        self.store.save_view(self.study.run_id, self.spec.metric)
        self.study.text(DATA, json.dumps(asdict(self.data), indent=1))
        return notes

    def _require_known(self, runs: Sequence[LoggedRun]) -> None:
        """Check that the search's storage knows those of the runs that have ended, before new ones get the same
        numbers."""
        ended = [run for run in runs
                 if run.status != "RUNNING" or self.record.lease.is_dead(run.tags.get(OWNER, ""))]
        # The searches are read after the runs, because a trial begins before its run.
        if unknown := unknown_runs(self.record.state(), ended):
            raise of_other_stores(self.spec.name, self.store.uri,
                                  f"{len(unknown)} of them, such as {unknown[-1].name!r}")

    def _retrain_deleted(self, runs: Sequence[LoggedRun]) -> list[str]:
        """Queue the runs again that a user has deleted in MLflow, for example because they were damaged."""
        there = {run.run_id for run in runs}
        work = self.record.work
        deleted = [(key, trial.run_id) for key, trial in work.latest().items()
                   if trial.state == "complete" and trial.run_id and trial.run_id not in there
                   and self.store.is_deleted(trial.run_id)]
        for key, run_id in deleted:
            work.reopen(key, run_id)
        if not deleted:
            return []
        return [f"Runs of earlier starts that were deleted in MLflow and are trained again: {len(deleted)}."]

    def take_over(self, state: StudyState, *, first: bool = False) -> None:
        """Take over the trials of dead starts: adopt those whose runs are complete, and queue the others again.

        Args:
            state: The study as it has just been read.
            first: Whether to look for unclosed runs even when no trial belongs to a dead start.
        """
        record = self.record
        orphans: list[tuple[Trials, int]] = [(record.work, number) for number in record.work.orphans()]
        for model, search in state.searches.items():
            orphans += [(record.searches[model], number) for number in record.searches[model].orphans(search.trials)]
        if orphans:
            runs = {run.run_id: run for run in self.runs()}
            for trials, number in orphans:
                self.store.patiently(partial(self._recover, trials, number, runs))
        if first or orphans:
            self._close_runs()

    def _recover(self, trials: Trials, number: int, runs: Mapping[str, LoggedRun]) -> None:
        """End a trial of a dead start as its run in MLflow has ended, or queue it again."""
        with self.record.lock:
            if number not in trials.orphans():  # another start was faster
                return
            run = runs.get(trials.run_id(number))
            if run is not None and run.complete:
                score = run.metrics[compared(self.spec.metric, "val" if isinstance(trials, Search) else "test").key]
                trials.complete(number, score, self.store.writer(run.run_id).complete)  # sets its status too
            elif run is not None and run.state == "pruned" and isinstance(trials, Search):
                trials.prune(number, partial(self.store.writer(run.run_id).prune, run.reason))
            else:
                trials.give_up(number, DIED)

    def _close_runs(self) -> None:
        """Close the runs of dead starts in MLflow: those that are open, and those that are not the run of a trial."""
        for run in self.runs():
            if (run.status == "RUNNING" or run.state in ("complete", "pruned")) and (
                    self.record.lease.is_dead(run.tags.get(OWNER, ""))):
                self.store.patiently(partial(self._close, run.run_id))

    def _close(self, run_id: str) -> None:
        """Close a run of a dead start, unless a trial has ended well with it or another start is about to adopt it."""
        with self.record.lock:
            trials = [trial for trials in (*self.record.searches.values(), self.record.work) for trial in trials.stored]
            if run_id not in {trial.run_id for trial in trials if trial.state in ("complete", "pruned", "running")}:
                writer = self.store.writer(run_id)
                writer.describe(INTERRUPTED)
                writer.kill(DIED)

    def supersede(self, runs: Sequence[LoggedRun], model: str, tuned: Mapping[str, Scalar]) -> list[str]:
        """Supersede the confirmation runs of earlier starts whose settings are not the best ones any more.

        Args:
            runs: The runs of the study, as MLflow has them.
            model: Model whose search has ended.
            tuned: Best settings of that search.

        Returns:
            Notes for the readers of the study.
        """
        notes = []
        for run in runs:
            if run.model == model and run.role == "confirm" and run.complete and (
                    run.tags.get("gru_bench.settings") != digest(tuned)):
                self.store.writer(run.run_id).tags(SUPERSEDED)
                notes = [f"The search of {model} continued after its best settings had been scored on the test split; "
                         "those runs are ignored."]
        return notes


def experiment_of(record: StudyRecord | StudyState, store: Reader, experiment: str, fingerprint: str) -> str | None:
    """Return the experiment with the own run of a study; None if the tracking store does not have it, or not yet.

    Args:
        record: The study.
        store: The tracking store.
        experiment: Name of the experiment when the study began.
        fingerprint: Fingerprint of its data.

    Raises:
        StoresError: The run was deleted in MLflow, or the two stores do not belong together.
    """
    name = record.spec.name
    if not record.run_id:
        # All runs are read, because an experiment with runs of another format is refused.
        others = [run for run in store.runs(experiment) if run.role == "study" and run.study == name
                  and run.fingerprint == fingerprint] if experiment in store.experiments() else []
        if others and not record.run_id:  # another start may have begun it meanwhile
            raise of_other_stores(name, store.uri, f"the study's own run {others[0].run_id}")
        return None
    found = store.find(record.run_id)
    if found is None and record.logged_to:
        raise StoresError(
            f"the tracking store must contain the runs of the study {name!r}, but {without_passwords(store.uri)} lacks "
            f"its own run, which is in {record.logged_to}: use {argument('tracking_uri', record.logged_to)}, or "
            f"restore the store; or start a new study under another name ({argument('name')})")
    if found is not None and found.is_deleted:
        raise StoresError(
            f"the study {name!r} needs its own run in MLflow, but the run {found.run_id} was deleted: restore it "
            f"(mlflow runs restore --run-id {found.run_id}) and the runs below it that were deleted with it, or start "
            "a new study under another name")
    return None if found is None else found.experiment


def unknown_runs(state: StudyState, runs: Iterable[LoggedRun]) -> list[LoggedRun]:
    """Return the runs of a study that the search's storage must know, but does not."""
    trials = {(model, str(trial.number)) for model, search in state.searches.items() for trial in search.trials}
    return [run for run in runs if (
        (run.model, run.tags.get("gru_bench.trial", "")) not in trials if run.role == "trial" else
        run.complete and run.role in ("confirm", "baseline") and key_of(run) not in state.work)]


def of_other_stores(study: str, uri: str, what: str) -> StoresError:
    """Return the error for runs of a study in a tracking store that the search's storage does not know."""
    return StoresError(
        f"the storage of the search must contain the runs of the study {study!r} in {without_passwords(uri)}, but it "
        f"lacks {what}: the two stores do not match. Restore the original storage, or give it "
        f"({argument('storage')}); or start a new study under another name ({argument('name')})")


def key_of(run: LoggedRun) -> str:
    """Return the key of a baseline or confirmation run; empty for any other run."""
    if run.role == "baseline":
        return baseline_key(run.model)
    settings = run.tags.get("gru_bench.settings")
    if run.role != "confirm" or run.seed is None or settings is None:
        return ""
    return run_key(run.model, settings, run.seed)
