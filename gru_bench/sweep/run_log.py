"""A study's runs in the tracking store: its own, those under it, and what processes that died have left of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import asdict
from typing import Protocol

from gru_bench.config import RunConfig, Scalar
from gru_bench.data.corpus import Corpus
from gru_bench.errors import UsageError
from gru_bench.results.logged_metrics import BEST_EPOCH, score
from gru_bench.results.runs import BASELINES, DATA, Baseline, DataSummary
from gru_bench.sweep.search import Search
from gru_bench.sweep.sharing.claims import digest, run_key
from gru_bench.sweep.sharing.leases import owner
from gru_bench.sweep.spec import StudySpec
from gru_bench.sweep.workers.tasks import corpus_of
from gru_bench.tracking import DIED, LoggedRun, RunWriter, Store

VALIDATED = score("accuracy", "val").key
"""The metric by which something may be chosen: the accuracy of a run's best checkpoint on the validation reviews."""
SUPERSEDED = {"gru_bench.role": "superseded"}
"""Tags of a run that is set aside."""


class Planned(Protocol):
    """A run that is to be done once a search has ended."""

    @property
    def key(self) -> str:
        """Return the key by which it is claimed."""

    @property
    def tags(self) -> Mapping[str, str]:
        """Return what is logged with it."""


class RunLog:
    """The runs of one study, as one of the processes that work on it writes them."""

    def __init__(
        self, spec: StudySpec, corpus: Corpus, store: Store, searches: Mapping[str, Search], *, experiment: str,
        command: str, texts: bool, data: DataSummary,
    ) -> None:
        """Find the study's own run, that of an earlier start or of another process, or begin it.

        Args:
            spec: the study.
            corpus: its reviews.
            store: where its runs are logged.
            searches: one by model.
            experiment: name of the MLflow experiment.
            command: as it was typed, for the record.
            texts: whether reviews may be stored: those of the test split, and one that models are looked into with.
                A study that was begun without stays so.
            data: the facts of its data.

        Raises:
            UsageError: where reviews may not be stored, and the study has stored some.
        """
        self.spec, self.corpus, self.store, self.searches = spec, corpus, store, searches
        self.experiment, self.command, self.data = experiment, command, data
        self.home = searches[min(searches)]
        """Whose presence and claims are those of the study as a whole."""
        self.lock = self.home.study_lock
        self._shut = ExitStack()
        """Holds the lock while MLflow does not know the study that was begun here."""
        with ExitStack() as held:
            held.enter_context(self.lock)
            known = next(self._known(), None)
            self.study = self._begun() if known is None else store.writer(known.run_id)
            self.texts = texts if known is None else self._keeps_texts(known, texts)
            """Whether reviews are stored."""
            if self.texts and not texts:
                raise UsageError(f"a study keeps to what it was begun with, but {spec.name!r} was begun without "
                                 "--no-texts and holds reviews: leave --no-texts out, or give another --study-name")
            if known is None or "texts" not in known.params:
                self.study.params({"texts": self.texts})  # before any review
            self._is_new = known is None
            if known is None or "study" not in known.params:  # where the process that began it died at this
                self._describe()
                self._shut = held.pop_all()

    def let_in(self, *, wait: bool = False) -> None:
        """Let other processes into a study that was begun here, once they can read in MLflow what there is.

        Args:
            wait: until then; otherwise later calls will do it.
        """
        if wait:
            self.store.catch_up()
        if self.store.is_caught_up:
            self.close()

    def close(self) -> None:
        """Let other processes in, whatever they can read."""
        self._shut.close()

    def _known(self) -> Iterator[LoggedRun]:
        if self.experiment in self.store.experiments():
            yield from (run for run in self.store.runs(self.experiment)
                        if run.role == "study" and run.study == self.spec.name
                        and run.tags.get("gru_bench.data_fingerprint") == self.corpus.fingerprint)

    def _keeps_texts(self, known: LoggedRun, texts: bool) -> bool:
        if "texts" in known.params:
            return known.params["texts"] == "True"
        return texts

    def _begun(self) -> RunWriter:
        for search in self.searches.values():
            search.claims.forget()  # what they tell of was logged elsewhere
        return self.store.start(
            self.experiment, self.spec.name, role="study", study=self.spec.name, model=",".join(self.spec.models),
            command=self.command, fingerprint=self.corpus.fingerprint)

    def _describe(self) -> None:
        spec, corpus = self.spec, self.corpus
        self.study.dataset(corpus.name, corpus.fingerprint)
        if self.texts:
            self.study.texts("test", corpus.test.example_id_N, corpus.texts("test"))
        # The params last: they tell that all of it is there.
        self.study.params({"study": spec.name, "models": ",".join(spec.models), "trials": spec.trials,
                           "confirm": spec.confirm, "search_seed": spec.seed, "data": corpus.name,
                           "margin": spec.margin, "contents": ",".join(_contents(spec)), "protocol": spec.protocol})

    def baselines(self, found: Sequence[Baseline]) -> None:
        """Log the baselines: a report of a study under way has them too."""
        self.study.text(BASELINES, json.dumps([asdict(baseline) for baseline in found], indent=1))

    def begin(
        self, label: str, role: str, config: RunConfig, settings: Mapping[str, Scalar], tags: Mapping[str, str]
    ) -> RunWriter:
        """Begin a run under the study's.

        Args:
            label: under which it is shown.
            role: what it is to the study.
            config: its.
            settings: in which it differs from the study's own; by these it is found again.
            tags: more to log.
        """
        return self.store.start(
            self.experiment, _run_name(self.spec.name, config.model.name, label), role=role, study=self.spec.name,
            model=config.model.name,
            command=self.command, config=config, fingerprint=self._fingerprint(config), parent=self.study.run_id,
            tags={"gru_bench.settings": digest(settings), "gru_bench.owner": owner(), **tags})

    def _fingerprint(self, config: RunConfig) -> str:
        """Return the fingerprint of the data a run is trained on: ablations split it in another way."""
        if config.data == self.spec.base.data:
            return self.corpus.fingerprint
        return corpus_of(config.data).fingerprint

    def _runs(self) -> list[LoggedRun]:
        return [run for run in self.store.runs(self.experiment)
                if run.tags.get("mlflow.parentRunId") == self.study.run_id]

    def resume(self) -> list[str]:
        """Put in order what earlier starts have left, then let the study be running again.

        In this order: what is read after a write waits for MLflow, which is still being imported; a study that was
        just begun has nothing to be read.

        Returns:
            What a reader of the study should know of it.
        """
        notes = self._told_of_lost_runs() if self._is_new else [*self._set_lost_aside(), *self._redo_deleted()]
        self.take_over(first=not self._is_new)
        self.study.reopen(self.command)
        self.study.text(DATA, json.dumps(asdict(self.data), indent=1))
        return notes

    def _told_of_lost_runs(self) -> list[str]:
        ended = sum(trial.state.is_finished() for search in self.searches.values()
                    for trial in search.study.get_trials(deepcopy=False))
        return [f"The runs of {ended} trials of earlier starts are not in this tracking store: it was lost, or is "
                "another."] if ended else []

    def _set_lost_aside(self) -> list[str]:
        """Set aside the runs of trials that no search knows, before others get their numbers."""
        ended = [run for run in self._runs() if run.role == "trial" and (
            run.status != "RUNNING" or self.home.presence.is_dead(run.tags.get("gru_bench.owner", "")))]
        # After the runs: a trial begins before its run.
        known = {(model, str(trial.number)) for model, search in self.searches.items()
                 for trial in search.study.get_trials(deepcopy=False)}
        lost = [run for run in ended
                if run.model in self.searches and (run.model, run.tags.get("gru_bench.trial", "")) not in known]
        for run in lost:
            self.store.writer(run.run_id).tags(SUPERSEDED)
        return [f"The search's storage was lost, or a part of it: {len(lost)} runs of trials that it does not know are "
                "set aside."] if lost else []

    def _redo_deleted(self) -> list[str]:
        """Take up again what was done in runs that somebody has deleted in MLflow, as one does with a damaged run."""
        there = {name for run in self._runs() for name in run.ids}
        deleted = [(search.claims, key, claim.run_id) for search in self.searches.values()
                   for key, claim in search.claims.all().items()
                   if claim.state == "done" and claim.run_id and claim.run_id not in there
                   and self.store.is_deleted(claim.run_id)]
        for claims, key, run_id in deleted:
            claims.redo(key, run_id)
        return [f"Runs of earlier starts were deleted in MLflow: {len(deleted)} are trained again."] if deleted else []

    def take_over(self, *, first: bool = False) -> None:
        """Put in order what processes that died have left: end it, and queue it again.

        Args:
            first: whether to look for runs that nobody has closed even where no search knows of a death.
        """
        found = first
        for search in self.searches.values():
            if search.orphans() or search.orphaned_claims():
                found = True
                self.store.adopt()  # what they have done may not have reached MLflow
                with search.lock:
                    self._take_over(search)
        if found:
            for run in self._runs():
                if run.status == "RUNNING" and self.home.presence.is_dead(run.tags.get("gru_bench.owner", "")):
                    self.store.writer(run.run_id).kill(DIED)

    def _take_over(self, search: Search) -> None:
        runs = [run for run in self._runs() if run.model == search.model]
        ended = {run.tags.get("gru_bench.trial", ""): run for run in runs if run.role == "trial"}
        whole = {_key(run): run for run in runs if run.complete and _role(run) in ("confirm", "ablation")}
        for number in search.orphans():
            run = ended.get(str(number))
            state = run.tags.get("gru_bench.state", "") if run is not None else ""
            if run is None or state not in ("complete", "pruned") or self.spec.seeds_per_trial > 1:
                search.give_up(number, DIED)
            elif state == "pruned" or search.knows(number, run.metrics.get(BEST_EPOCH.key)):
                search.adopt(number, state)
            else:  # its storage has lost the end of it
                search.give_up(number, DIED)
                self.store.writer(run.run_id).tags(SUPERSEDED)
        for key in search.orphaned_claims():
            if key in whole:
                search.claims.adopt(key, whole[key].run_id, whole[key].metrics.get(VALIDATED))
            else:
                search.claims.release(key, fault=True)

    def set_aside(
        self, model: str, tuned: Mapping[str, Scalar], planned: Mapping[str, Planned], waiting: Set[str]
    ) -> list[str]:
        """Take over the runs of earlier starts that are still asked for; set the others aside.

        Args:
            model: whose search has ended.
            tuned: what it has found.
            planned: key -> run that follows from it.
            waiting: ablations that may come to ask for more runs.

        Returns:
            What a reader of the study should know of it.
        """
        notes = []
        for run in self._runs():
            if run.model != model or run.status == "RUNNING":
                continue
            key, tags = _key(run), SUPERSEDED
            if key in planned:
                tags = {"gru_bench.role": _role(run), **planned[key].tags}
                if run.complete:
                    self.searches[model].claims.recall(key, run.run_id, run.metrics.get(VALIDATED))
            elif not waiting.isdisjoint(run.tags.get("gru_bench.ablation", "").split(",")):
                continue
            if _role(run) == "ablation" and not tags.items() <= run.tags.items():
                self.store.writer(run.run_id).tags(tags)
            elif run.role == "confirm" and run.complete and run.tags.get("gru_bench.settings") != digest(tuned):
                self.store.writer(run.run_id).tags(tags)
                notes = [f"The search of {model} went on after its best settings had been scored on the test split; "
                         "those runs are set aside."]
        return notes


def _run_name(study: str, model: str, label: str) -> str:
    """Return a run's name in MLflow: that of its study stands before it where the label does not say it already."""
    return label if study == model else f"{study}: {label}"


def _contents(spec: StudySpec) -> list[str]:
    """Return what a study consists of besides confirm runs."""
    return [part for part, planned in (
        ("search", spec.trials > 0), ("ablations", spec.ablations is not None),
        ("timings", spec.timings is not None), ("diagnostics", spec.diagnostics),
        ("recall", spec.recall is not None)) if planned]


def _role(run: LoggedRun) -> str:
    """Return what a run was begun as: an ablation's may have been set aside while the study asked for none."""
    return "ablation" if run.tags.get("gru_bench.side") else run.role


def _key(run: LoggedRun) -> str:
    """Return the key by which a run other than a trial was claimed; empty for one that no sweep has begun."""
    settings = run.tags.get("gru_bench.settings")
    if run.seed is None or settings is None:
        return ""
    return run_key(_role(run), settings, run.seed, run.tags.get("gru_bench.side", ""))
