"""Conduct a sweep: which job next, and what becomes of its outcome.

The search of each model comes first, then its best settings are trained again on the confirm seeds and scored
on the test split. Then come the runs of the contrasts, scored on validation reviews, and the stages after those.

This process does all asking, telling and logging for its own workers, which only train. Any number of such
processes may work on one study, on one machine or on many: each trial, and each of the other runs, is claimed by one
of them, and what one that died has left, another takes up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from typing import Literal

from gru_bench.config import RunConfig, Scalar
from gru_bench.corpus import Corpus
from gru_bench.embeddings import Vectors
from gru_bench.errors import RunError, UsageError
from gru_bench.metrics import correct
from gru_bench.results import Baseline, EpochRecord, Predictions, RunResult, StepReport, StudySummary, TracePoint
from gru_bench.statistics import Estimate
from gru_bench.sweep.claims import digest, run_key
from gru_bench.sweep.contrasts import contrast_runs
from gru_bench.sweep.display import Display
from gru_bench.sweep.interrupt import Interrupt
from gru_bench.sweep.logbook import Logbook
from gru_bench.sweep.spec import StudySpec
from gru_bench.sweep.stages import STRETCHES, Stage, stages, stretches_of
from gru_bench.sweep.study import RETRIES, RUN, Search
from gru_bench.sweep.summary import accuracy_over_seeds, data_summary, study_metrics, study_summary
from gru_bench.sweep.tasks import Check, MeasureBaselines, Train
from gru_bench.sweep.transcript import result_lines, window_line
from gru_bench.sweep.workers import (
    Again,
    EpochDone,
    Failed,
    Finished,
    Job,
    Message,
    WasPruned,
    Workers,
)
from gru_bench.tracking import RunWriter, Store

POLL_SECONDS = 0.5
TAKE_OVER_SECONDS = 2.0
"""Between two looks for what a dead process has left."""
BASELINES = "baselines"
MOST_FAILURES = 3
"""Trials that may fail one after another before a search is given up."""
TAKEN = "given to another process, because this one seemed to have died"

Role = Literal["trial", "confirm", "contrast"]


@dataclass
class _ModelState:
    """One model's way through the study."""

    model: str
    search: Search
    tuned: dict[str, Scalar] | None = None
    """The settings that are confirmed; None while the search goes on."""
    planned: list[_Planned] = field(default_factory=list)
    """What is to be trained once the search has ended, by whichever process."""
    due: list[_Trial] = field(default_factory=list)
    """Trials between two of their seeds."""
    failed_in_row: int = 0


@dataclass(frozen=True)
class _Trial:
    """A trial under way in this process."""

    number: int
    settings: Mapping[str, Scalar]
    seeds_done: tuple[float, ...] = ()
    """Validation accuracy of the seeds it was trained on so far; of a study of one seed a trial: empty."""


@dataclass(frozen=True)
class _Planned:
    """A run to train, in the order of seeds, so that a study broken off holds whole seeds."""

    state: _ModelState
    role: Role
    config: RunConfig
    settings: Mapping[str, Scalar]
    """In which it differs from the study's own; by these it is found again."""
    name: str = ""
    """The contrast run's."""
    side: str = ""
    contrasts: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """By which it is claimed."""
        return run_key(self.role, digest(self.settings), self.config.seed, self.side)

    @property
    def rank(self) -> tuple[bool, int, float]:
        """Confirm runs first, seed by seed; of one seed the longest first, so that no worker is left with it."""
        return (self.role == "contrast", self.config.seed, -step_cost(self.config) if self.role == "confirm" else 0.0)


@dataclass
class _Live:
    """A job under way in this process."""

    state: _ModelState
    writer: RunWriter
    role: Role
    trial: _Trial | None
    """None for any other run."""
    claim: str
    """The key of any other run; empty for a trial."""
    seed: int
    best: list[float] = field(default_factory=list)
    """Validation accuracy of each epoch so far."""
    taken: bool = False
    """Whether another process has it by now."""


class Sweep:
    """One start of a study: `run` goes on from whatever earlier starts have left."""

    def __init__(
        self, spec: StudySpec, corpus: Corpus, vectors: Vectors, store: Store, searches: Mapping[str, Search], *,
        experiment: str, command: str, workers: Callable[[], AbstractContextManager[Workers]], threads: int,
        timeout: float | None, texts: bool, display: Display,
    ) -> None:
        """Prepare; nothing is written yet.

        Args:
            spec: the study.
            corpus: its reviews.
            vectors: its word vectors.
            store: where its runs are logged.
            searches: one by model.
            experiment: name of the MLflow experiment.
            command: as it was typed, for the record.
            workers: starts where jobs are done.
            threads: CPU threads of each run that does not say otherwise.
            timeout: seconds after which no new trial begins; the confirm stage still runs.
            texts: whether the reviews of the test split are logged.
            display: told what happens.
        """
        self.spec, self.corpus, self.vectors, self.store = spec, corpus, vectors, store
        self.searches, self.experiment, self.command = searches, experiment, command
        self.workers, self.threads, self.timeout, self.texts, self.display = workers, threads, timeout, texts, display
        self.states = [_ModelState(model, searches[model]) for model in spec.models]
        self.log: Logbook
        """From the moment that something is to be logged."""
        self.contrasts: dict[str, int] = (
            {spec.contrasts.model: len(contrast_runs(spec, {}))} if spec.contrasts is not None else {})
        self.live: dict[str, _Live] = {}
        self.baselines: tuple[Baseline, ...] = ()
        self.baselines_lost = 0
        """How often the process that measured them died."""
        self.data = data_summary(spec, corpus, vectors)
        self.notes: list[str] = []
        self.interrupt = Interrupt()
        self.started = time.monotonic()
        self.looked = -TAKE_OVER_SECONDS

    def run(self) -> StudySummary:
        """Run what is left of the study and return it whole.

        Raises:
            UsageError: where a setting cannot run on this machine.
            RunError: where no trial completes, or the store fails.
            KeyboardInterrupt: where that was asked for, once all that is under way is marked as broken off.
        """
        log: Logbook | None = None
        with self.interrupt:
            try:
                with self.workers() as pool:
                    self._check(pool)
                    self.log = log = Logbook(
                        self.spec, self.corpus, self.store, self.searches, experiment=self.experiment,
                        command=self.command, texts=self.texts)
                    log.take_over(first=True)
                    self.display.begin(self._to_begin())
                    self._conduct(pool)
                    first = {state.model: done[0] for state in self.states if (done := self._confirmed(state))}
                    for stage in stages(self.spec, self._here, first, self.store.model):
                        self._work_out(pool, stage)
            except BaseException as error:
                if log is not None:
                    self._break_off(log, error)
                raise
            finally:
                self.display.end()
            return self._end(log)

    def _check(self, pool: Workers) -> None:
        """Find out before anything is begun whether runs can be trained here."""
        configs = (self.spec.config(model, {}, self.spec.seed) for model in self.spec.models)
        pool.submit(Job("check", Check(tuple(map(self._here, configs)))))
        while pool.busy:
            for _, message in pool.messages(POLL_SECONDS):
                match message:
                    case Failed("settings", reason):
                        raise UsageError(reason)
                    case Failed(_, reason):
                        raise RunError(reason)
            if self.interrupt.asked:
                raise KeyboardInterrupt

    def _conduct(self, pool: Workers) -> None:
        pool.submit(Job(BASELINES, MeasureBaselines(self.spec.base.data)))
        while True:
            while pool.idle and (job := self._next_job()) is not None:
                pool.submit(job)
            if not pool.busy and not self._left():
                return
            for job, message in self._messages(pool):
                self._receive(pool, job, message)

    def _messages(self, pool: Workers) -> Iterator[tuple[Job, Message]]:
        """Yield what the workers say, and do what is due now and then.

        Raises:
            KeyboardInterrupt: where that was asked for.
        """
        yield from pool.messages(POLL_SECONDS)
        if self.interrupt.asked:
            raise KeyboardInterrupt
        for state in self.states:
            state.search.presence.renew(self._seconds)
        if self._seconds - self.looked >= TAKE_OVER_SECONDS:
            self.looked = self._seconds
            self.log.take_over(first=False)
            self.display.tick(self._to_begin())

    @property
    def _seconds(self) -> float:
        """How long this start has taken so far."""
        return time.monotonic() - self.started

    def _left(self) -> bool:
        """Return whether a run is still to be done, by this process or by another."""
        return any(state.tuned is None or state.search.claims.open(run.key for run in state.planned)
                   for state in self.states)

    def _next_job(self) -> Job | None:
        for state in self.states:
            if (job := self._trial_job(state)) is not None:
                return job
        for state in self.states:
            if state.tuned is None and self._search_is_over(state):
                self._end_search(state)
        return self._planned_job()

    def _trial_job(self, state: _ModelState) -> Job | None:
        if state.tuned is not None or not (state.due or self._in_time(state)):
            return None
        if state.due:
            trial = state.due.pop(0)
        elif (asked := state.search.ask()) is not None:
            trial = _Trial(*asked)
            if self.spec.seeds_per_trial > 1:
                trial = self._gone_on(state, trial)
        else:
            return None
        config = self._here(self.spec.config(
            state.model, trial.settings, self.spec.search_seeds[len(trial.seeds_done)]))
        seed = f" seed {config.seed}" if self.spec.seeds_per_trial > 1 else ""
        return self._begin(
            state, config, "trial", trial.settings, f"{state.model} trial {trial.number}{seed}", trial=trial)

    def _gone_on(self, state: _ModelState, trial: _Trial) -> _Trial:
        """Let a trial that is tried again keep the seeds that were done, but for the last it may have."""
        done = tuple(state.search.seeds_done(trial.number)[:self.spec.seeds_per_trial - 1])
        for place, value in enumerate(done):
            state.search.report(trial.number, place, value)
        return replace(trial, seeds_done=done)

    def _in_time(self, state: _ModelState) -> bool:
        # A first trial is always run: without one there is nothing to confirm.
        return self.timeout is None or self._seconds < self.timeout or state.search.counted == 0

    def _search_is_over(self, state: _ModelState) -> bool:
        """Return whether no trial is under way, and nobody may ask for one any more."""
        search = state.search
        if search.counted < self.spec.trials and self._in_time(state) and not search.exhausted:
            return False
        search.presence.stop_searching()
        return not search.running and not search.presence.others(searching=True)

    def _end_search(self, state: _ModelState) -> None:
        best = state.search.best()
        if self.spec.trials and best is None:
            reasons = sorted({trial.reason for trial in state.search.trials() if trial.reason})
            raise RunError(f"a search must have a complete trial to confirm, but {state.model} has none: "
                           f"{'; '.join(reasons) or 'all were pruned'}. Widen its space or ask for more --trials")
        state.tuned = dict(best[0]) if best is not None else {}
        if state.search.exhausted and state.search.counted < self.spec.trials:
            self.notes.append(f"The space of {state.model} has no more than {state.search.counted} points: all were "
                              f"tried, instead of the {self.spec.trials} trials asked for.")
        state.planned = list(self._plan(state, state.tuned))
        self.notes += self.log.set_aside(state.model, state.tuned, {run.key: run for run in state.planned})
        self.display.search_ended(state.model, best)

    def _plan(self, state: _ModelState, tuned: Mapping[str, Scalar]) -> Iterator[_Planned]:
        for seed in self.spec.confirm_seeds:
            yield _Planned(state, "confirm", self.spec.config(state.model, tuned, seed), tuned)
        if self.spec.contrasts is not None and self.spec.contrasts.model == state.model:
            for run in contrast_runs(self.spec, tuned):
                yield _Planned(state, "contrast", run.config, run.settings, run.name, run.side, run.contrasts)

    def _planned_job(self) -> Job | None:
        free = {(state.model, key) for state in self.states
                for key in state.search.claims.free(run.key for run in state.planned)}
        for run in sorted((run for state in self.states for run in state.planned), key=lambda run: run.rank):
            if (run.state.model, run.key) in free and run.state.search.claims.take(run.key):
                label = " ".join(filter(None, (run.state.model, run.name, f"seed {run.config.seed}")))
                return self._begin(
                    run.state, self._here(run.config), run.role, run.settings, label, claim=run.key,
                    tags={"gru_bench.side": run.side, "gru_bench.contrast": ",".join(run.contrasts)}
                    if run.role == "contrast" else {})
        return None

    def _begin(
        self, state: _ModelState, config: RunConfig, role: Role, settings: Mapping[str, Scalar],
        label: str, *, trial: _Trial | None = None, claim: str = "", tags: Mapping[str, str] | None = None,
    ) -> Job:
        """Log that a run begins and return the job.

        Args:
            state: of its model.
            config: the run's.
            role: what it is to the study.
            settings: in which it differs from the study's own; by these it is found again.
            label: under which it is shown.
            trial: whose run it is.
            claim: the key of any other run.
            tags: more to log.
        """
        writer = self.log.begin(label, role, config, settings, {
            "gru_bench.trial": "" if trial is None else str(trial.number), **(tags or {})})
        self.live[label] = _Live(state, writer, role, trial, claim, config.seed)
        if trial is not None:
            state.search.note(trial.number, RUN, writer.run_id)
        else:
            state.search.claims.note_run(claim, writer.run_id)
        self.display.job_started(label, settings if role == "trial" else {}, role)
        return Job(label, Train(config, score_test=role == "confirm"))

    def _here(self, config: RunConfig) -> RunConfig:
        """Fix the threads, on which the bits of a result depend."""
        threads = config.training.threads or self.threads
        return config.model_copy(update={"training": config.training.model_copy(update={"threads": threads})})

    def _receive(self, pool: Workers, job: Job, message: Message) -> None:
        if job.key == BASELINES:
            self._receive_baselines(pool, job, message)
            return
        live = self.live[job.key]
        match message:
            case StepReport():
                self.display.job_step(job.key, message)
            case TracePoint():
                if self._transcribed(live):
                    self.display.note(f"{job.key}: {window_line(message)}")
            case Again(reason):
                live.best.clear()
                live.writer.tags({"gru_bench.done_again": reason})
                self.display.note(f"{job.key}: {reason}")
            case EpochDone(record):
                pool.answer(job, go_on=self._epoch(live, record))
                live.writer.epoch(record)
                self.display.job_epoch(job.key, record)
            case Finished(outcome):
                assert isinstance(outcome, RunResult)
                self._finished(job, live, outcome)
            case WasPruned():
                self._pruned(job, live)
            case Failed(kind, reason):
                self._failed(job, live, kind, reason)

    def _transcribed(self, live: _Live) -> bool:
        """Whether this run tells all that the homework's console told."""
        return self.spec.protocol == "homework" and live.role == "confirm"

    def _epoch(self, live: _Live, record: EpochRecord) -> bool:
        """Take note of an epoch; return whether its run goes on."""
        if record.validation_accuracy is None:
            return True
        live.best.append(record.validation_accuracy)
        if live.trial is None:
            return True
        if self.spec.seeds_per_trial > 1:
            live.taken = not live.state.search.is_ours(live.trial.number)
            return not live.taken
        verdict = live.state.search.report(live.trial.number, record.epoch, max(live.best))
        live.taken = verdict == "taken"
        return verdict == "go on" or (verdict == "prune" and record.epoch >= self.spec.base.training.epochs)

    def _finished(self, job: Job, live: _Live, result: RunResult) -> None:
        # Its record first, then its end: whoever takes over in between finds the record whole.
        live.writer.finish(result, with_model=live.role == "confirm")
        live.state.failed_in_row = 0
        if live.trial is not None:
            self._finished_trial(job, live, live.trial)
        elif not live.state.search.claims.finish(live.claim):
            self._taken(job, live)
        elif live.role == "confirm":
            if self._transcribed(live):
                for line in result_lines(result):
                    self.display.note(f"{job.key}: {line}")
            self._forget(job, "tested", _accuracy(result.predictions["test"]))
        else:
            self._forget(job, "validated", _accuracy(result.predictions["validation"]))

    def _finished_trial(self, job: Job, live: _Live, trial: _Trial) -> None:
        """End a trial, or one of its seeds."""
        search, value = live.state.search, max(live.best)
        if self.spec.seeds_per_trial > 1:
            trial = replace(trial, seeds_done=(*trial.seeds_done, value))
            verdict = search.report(trial.number, len(trial.seeds_done) - 1, value)
            if verdict == "go on" and len(trial.seeds_done) < self.spec.seeds_per_trial:
                live.state.due.append(trial)
                self._forget(job, "seed done", value)
                return
            if verdict == "prune" and len(trial.seeds_done) < self.spec.seeds_per_trial and search.prune(trial.number):
                self._forget(job, "pruned", value)
                return
            value = sum(trial.seeds_done) / len(trial.seeds_done)
        if search.complete(trial.number, value):
            self._forget(job, "complete", value)
        else:
            self._taken(job, live)

    def _pruned(self, job: Job, live: _Live) -> None:
        assert live.trial is not None
        if not live.taken:
            live.writer.prune(f"pruned after epoch {len(live.best)}: below the median of earlier trials")
            live.taken = not live.state.search.prune(live.trial.number)
        if live.taken:
            self._taken(job, live)
        else:
            self._forget(job, "pruned", max(live.best))

    def _taken(self, job: Job, live: _Live) -> None:
        live.writer.kill(TAKEN)
        live.writer.tags({"gru_bench.complete": "false"})  # it may have been recorded whole
        self._forget(job, "left", None, TAKEN)

    def _failed(self, job: Job, live: _Live, kind: str, reason: str) -> None:
        (live.writer.kill if kind in ("worker", "machine") else live.writer.fail)(reason)
        self._forget(job, "failed", None, reason)
        search = live.state.search
        again = False
        if live.trial is None:
            self._failed_claim(live, kind, reason)
        elif kind == "run":
            search.fail(live.trial.number, reason)
        else:
            again = search.give_up(live.trial.number, reason, fault=kind == "worker")
        if kind == "settings":
            raise UsageError(reason)
        if kind == "machine":
            raise RunError(reason)
        if live.trial is None or again:
            return
        live.state.failed_in_row += 1
        if live.state.failed_in_row >= MOST_FAILURES:
            raise RunError(f"trials must end well now and then, but the last {MOST_FAILURES} of {live.state.model} all "
                           f"failed, the last because {reason}")

    def _failed_claim(self, live: _Live, kind: str, reason: str) -> None:
        claims = live.state.search.claims
        if kind != "run" and claims.release(live.claim, fault=kind == "worker"):
            return
        claims.fail(live.claim)
        self.notes.append(f"The {live.role} run of {live.state.model} with seed {live.seed} failed: {reason}")

    def _work_out(self, pool: Workers, stage: Stage) -> None:
        """Do a stage, unless its result is there, or wait for the process that does it."""
        key, claims = f"stage {stage.name} {stage.digest}", self.log.home.claims
        while claims.open([key]):
            if claims.take(key):
                try:
                    whole = self._worked_out(pool, stage)
                except BaseException:
                    claims.release(key, fault=False)
                    raise
                (claims.finish if whole else claims.fail)(key)
            else:
                list(self._messages(pool))

    def _worked_out(self, pool: Workers, stage: Stage) -> bool:
        """Do a stage; return whether all of its tasks ended well."""
        tasks = stage.tasks()
        waiting = list(tasks.items())
        outcomes: dict[str, object] = {}
        while waiting or pool.busy:
            while waiting and pool.idle and not (stage.alone and pool.busy):
                label, task = waiting.pop(0)
                pool.submit(Job(label, task))
                self.display.job_started(label, {})
            for job, message in self._messages(pool):
                match message:
                    case Finished(outcome):
                        outcomes[job.key] = outcome
                        self.display.job_ended(job.key, "done", None)
                    case Failed(_, reason):
                        self.notes.append(f"{job.key} could not be worked out: {reason}")
                        self.display.job_ended(job.key, "failed", None, reason)
                    case _:
                        raise AssertionError(message)
        if outcomes:
            self.log.study.text(stage.artifact, stage.joined([outcomes[label] for label in tasks if label in outcomes]))
        return len(outcomes) == len(tasks)

    def _receive_baselines(self, pool: Workers, job: Job, message: Message) -> None:
        match message:
            case Finished(outcome):
                assert isinstance(outcome, tuple)
                self.baselines = outcome
                self.display.note("baselines: " + ", ".join(
                    f"{baseline.name} {100 * baseline.test_accuracy:.1f} % on test" for baseline in outcome))
            case Failed("worker", _) if self.baselines_lost < RETRIES:
                self.baselines_lost += 1
                pool.submit(job)
            case Failed(_, reason):
                self.notes.append(f"The baselines could not be measured: {reason}")
                self.display.note(self.notes[-1])
            case _:
                raise AssertionError(message)

    def _forget(self, job: Job, outcome: str, value: float | None, reason: str = "") -> None:
        del self.live[job.key]
        self.display.tick(self._to_begin())
        self.display.job_ended(job.key, outcome, value, reason)

    def _break_off(self, log: Logbook, error: BaseException) -> None:
        """Leave a study that the next start goes on with, telling it all that can still be told."""
        interrupted = isinstance(error, KeyboardInterrupt)
        reason = "interrupted" if interrupted else str(error)
        for live in self.live.values():
            with suppress(Exception):  # what cannot be told, the next start finds out; the error at hand is shown
                live.writer.kill(reason)
                if live.trial is not None:
                    live.state.search.give_up(live.trial.number, reason, fault=False)
                else:
                    live.state.search.claims.release(live.claim, fault=False)
        for state in self.states:
            for trial in state.due:
                with suppress(Exception):
                    state.search.give_up(trial.number, reason, fault=False)
        with suppress(Exception), log.home.lock:
            if self._sign_out():
                (log.study.kill if interrupted else log.study.fail)(reason)

    def _end(self, log: Logbook) -> StudySummary:
        """Close the study's own run, unless another process still works on the study and will."""
        with log.home.lock:
            last = self._sign_out()
            stretches = self.store.text(log.study.run_id, STRETCHES) if self.spec.stretches else None
            summary = study_summary(
                self.spec, self.data, self.searches,
                {state.model: state.tuned for state in self.states if state.tuned is not None},
                baselines=self.baselines, stretches=() if stretches is None else stretches_of(stretches),
                seconds=log.home.presence.seconds(), notes=self.notes)
            if last:
                log.study.text("study.json", summary.to_json())
                log.study.metrics(study_metrics(summary))
                log.study.complete()
        return summary

    def _sign_out(self) -> bool:
        """Say that this start has ended; return whether no other goes on."""
        for state in self.states:
            state.search.presence.end(self._seconds)
        return not self.log.home.presence.others()

    def _to_begin(self) -> dict[str, int]:
        """Return how many runs of each role nobody has begun."""
        counts = {"trial": 0, "confirm": 0, "contrast": 0}
        for state in self.states:
            if state.tuned is None:
                counts["trial"] += max(0, self.spec.trials - state.search.counted) if self._in_time(state) else 0
                counts["confirm"] += self.spec.confirm
                counts["contrast"] += self.contrasts.get(state.model, 0)
            else:
                free = set(state.search.claims.free(run.key for run in state.planned))
                for run in state.planned:
                    counts[run.role] += run.key in free
        return counts

    def _confirmed(self, state: _ModelState) -> list[str]:
        """Return the runs of the confirm seeds that are done, in the order of the seeds, whoever did them."""
        claims = [state.search.claims.get(run.key) for run in state.planned if run.role == "confirm"]
        return [claim.run_id for claim in claims if claim is not None and claim.state == "done"]

    def confirmed(self) -> dict[str, tuple[Estimate, float | None]]:
        """Return model -> test accuracy over its confirm runs, and the deviation between seeds (None below two)."""
        found = {}
        for state in self.states:
            if (done := self._confirmed(state)):
                found[state.model] = accuracy_over_seeds([self.store.predictions(run_id, "test") for run_id in done])
        return found


def step_cost(config: RunConfig) -> float:
    """Return about how long a training step takes, next to one of one direction on the fused engine."""
    engines = {"auto": 1, "fused": 1, "torch": 8, "reference": 18}
    directions = 2 if config.model.name == "bidirectional" else 1
    return engines[config.model.engine] * directions * config.model.layers * config.model.hidden_size


def _accuracy(predictions: Predictions) -> float:
    return float(correct(predictions.label_N, predictions.probability_N).mean())
