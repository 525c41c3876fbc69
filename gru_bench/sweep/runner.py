"""Conduct a sweep: begin one run after the other, and see what becomes of each.

The search of each model comes first, then its best settings are trained again on the confirm seeds and scored
on the test split. Then come the runs of the ablations, scored on validation reviews, and the stages after those.

This process does all asking, telling and logging for its own workers, which only train. Any number of such
processes may work on one study, on one machine or on many: each trial, and each of the other runs, is claimed by one
of them, and what one that died has left, another takes up.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from optuna.exceptions import UpdateFinishedTrialError

from gru_bench.config import RunConfig, Scalar
from gru_bench.data.corpus import Corpus
from gru_bench.data.embeddings import Vectors
from gru_bench.errors import RunError, UsageError
from gru_bench.evaluation.metrics import correct
from gru_bench.results.runs import Baseline, EpochRecord, Predictions, RunResult, StepReport, StudySummary, WindowLoss
from gru_bench.sweep.console.console_log import result_lines, window_line
from gru_bench.sweep.console.interrupt import Interrupt
from gru_bench.sweep.console.progress import Display, described, several
from gru_bench.sweep.followups import TIMINGS, Stage, stages, timings_of
from gru_bench.sweep.planner import ModelState, Planner, Trial, Work
from gru_bench.sweep.run_log import RunLog
from gru_bench.sweep.search import RUN, Search
from gru_bench.sweep.sharing.claims import ATTEMPTS
from gru_bench.sweep.sharing.leases import LEASE_SECONDS
from gru_bench.sweep.spec import StudySpec
from gru_bench.sweep.summary import Confirmed, confirmed, data_summary, study_metrics, study_summary
from gru_bench.sweep.workers.local import (
    Again,
    EpochDone,
    Failed,
    Finished,
    Job,
    Message,
    Note,
    Resumed,
    WasPruned,
    Workers,
)
from gru_bench.sweep.workers.tasks import Check, MeasureBaselines, Train
from gru_bench.tracking import RunWriter, Store

POLL_SECONDS = 0.5
TAKE_OVER_SECONDS = 2.0
"""Between two looks for what a dead process has left."""
CHECK, BASELINES = "check", "baselines"
MOST_FAILURES = 3
"""Trials that may fail one after another before a search is given up."""
TAKEN = "given to another process, because this one seemed to have died"


@dataclass
class _Live:
    """A run under way in this process."""

    work: Work
    writer: RunWriter
    best: list[float] = field(default_factory=list)
    """Validation accuracy of each epoch so far."""
    taken: bool = False
    """Whether another process has it by now."""
    noted: str = ""
    """The id of its run as the search knows it."""

    @property
    def search(self) -> Search:
        """Its model's search."""
        return self.work.state.search


class Sweep:
    """One start of a study: `run` goes on from whatever earlier starts have left."""

    def __init__(
        self, spec: StudySpec, corpus: Corpus, vectors: Vectors, store: Store, searches: Mapping[str, Search],
        pool: Workers, *, experiment: str, command: str, threads: int, timeout: float | None, texts: bool,
        display: Display,
    ) -> None:
        """Prepare; nothing is written yet.

        Args:
            spec: the study.
            corpus: its reviews.
            vectors: its word vectors.
            store: where its runs are logged.
            searches: one by model.
            pool: where jobs are done; it outlives the sweep.
            experiment: name of the MLflow experiment.
            command: as it was typed, for the record.
            threads: CPU threads of each run that does not say otherwise.
            timeout: seconds after which no new trial begins; the confirm stage still runs.
            texts: whether reviews may be stored.
            display: told what happens.
        """
        self.spec, self.corpus, self.vectors, self.store = spec, corpus, vectors, store
        self.searches, self.pool, self.experiment, self.command = searches, pool, experiment, command
        self.threads, self.timeout, self.texts, self.display = threads, timeout, texts, display
        self.planner = Planner(spec, searches, self._in_time, self._search_ended, self._planned)
        self.log: RunLog
        """From the moment that something is to be logged."""
        self.begun = False
        """Whether there is one."""
        self.live: dict[str, _Live] = {}
        self.baselines: tuple[Baseline, ...] = ()
        self.measuring = False
        """Whether the baselines are being measured, or were."""
        self.data = data_summary(spec, corpus, vectors)
        self.notes: list[str] = []
        self.deaths: Counter[str] = Counter()
        """Workers that died at a job of no trial or claim, by its key."""
        self.interrupt = Interrupt()
        self.chosen: dict[str, Mapping[str, Scalar]] = {}
        """Ablation -> what its tuning runs have found, as far as it has been shown."""
        self.told: set[str] = set()
        """Those notes that have been shown already."""
        self.started = time.monotonic()
        self.looked = -TAKE_OVER_SECONDS

    def run(self) -> StudySummary:
        """Run what is left of the study and return it whole.

        Raises:
            UsageError: where a setting cannot run on this machine, or the study has stored reviews and may not.
            RunError: where no trial completes, or the store fails.
            KeyboardInterrupt: where that was asked for, once all that is under way is marked as broken off.
        """
        log: RunLog | None = None
        with self.interrupt:
            try:
                self._check()
                self.log = log = RunLog(
                    self.spec, self.corpus, self.store, self.searches, experiment=self.experiment,
                    command=self.command, texts=self.texts, data=self.data)
                for note in log.resume():
                    self.notes.append(note)
                    self.told.add(note)
                    self.display.note(f"note: {note}")
                self.begun = True
                if self.texts and not log.texts:
                    self.display.note("the study was begun with --no-texts and keeps to that: no reviews are stored")
                self._log_baselines()
                self.planner.settle()  # else what earlier starts have done would be announced as still to do
                self.display.begin(self.planner.to_begin(), done=self.planner.is_done)
                self._conduct()
                for state in self.planner.states:
                    if state.tuning:
                        self._planned(state)  # a run under way when an ablation found its settings bears older tags
                # Our own are read from the queue while the tracking server is away.
                self.store.await_whole(
                    self.experiment, [run for state in self.planner.states for run in state.confirmed_elsewhere])
                first = {state.model: done[0] for state in self.planner.states if (done := state.confirmed)}
                for stage in stages(self.spec, self._here, first, self.store.model, texts=log.texts):
                    self._work_out(stage)
            except BaseException as error:
                if log is not None:
                    self._break_off(log, error)
                raise
            finally:
                self.display.end()
            return self._end(log)

    def _check(self) -> None:
        """Find out before anything is begun whether runs can be trained here."""
        configs = (self.spec.config(model, {}, self.spec.seed) for model in self.spec.models)
        self.pool.submit(Job(CHECK, Check(tuple(map(self._here, configs)))))
        self.measuring = self.pool.idle
        if self.measuring:
            self.pool.submit(self._baselines())
        checked = False
        while not checked:
            for job, message in self.pool.messages(POLL_SECONDS):
                if job.key == BASELINES:
                    self._receive_baselines(job, message)
                    continue
                match message:
                    case Finished():
                        checked = True
                    case Failed("settings", reason):
                        raise UsageError(reason)
                    case Failed(kind, reason) if not self._tried_again(job, kind):
                        raise RunError(reason)
            if self.interrupt.asked:
                raise KeyboardInterrupt

    def _baselines(self) -> Job:
        return Job(BASELINES, MeasureBaselines(self.spec.base.data))

    def _tried_again(self, job: Job, kind: str) -> bool:
        """Submit a job again whose worker died, unless it did so too often: one that belongs to no trial or claim."""
        self.deaths[job.key] += kind == "worker"
        if kind != "worker" or self.deaths[job.key] >= ATTEMPTS:
            return False
        self.pool.submit(job)
        return True

    def _conduct(self) -> None:
        if not self.measuring:
            self.pool.submit(self._baselines())
        while True:
            while self.pool.idle and (work := self.planner.next()) is not None:
                self.pool.submit(self._begin(work))
            if not self.pool.busy and self.planner.is_done:
                self.log.let_in(wait=True)
                return
            for job, message in self._messages():
                self._receive(job, message)

    def _messages(self) -> Iterator[tuple[Job, Message]]:
        """Yield what the workers say, and do what is due now and then.

        Raises:
            KeyboardInterrupt: where that was asked for.
        """
        yield from self.pool.messages(POLL_SECONDS)
        if self.interrupt.asked:
            raise KeyboardInterrupt
        self.store.check()
        self.log.let_in()
        for state in self.planner.states:
            state.search.presence.renew(self.seconds)
        if self.seconds - self.looked >= TAKE_OVER_SECONDS:
            self.looked = self.seconds
            self.log.take_over()
            self.display.tick(self.planner.to_begin())

    @property
    def seconds(self) -> float:
        """How long this start has taken so far."""
        return time.monotonic() - self.started

    def _in_time(self) -> bool:
        return self.timeout is None or self.seconds < self.timeout

    def _search_ended(self, state: ModelState) -> None:
        if state.search.exhausted and state.search.counted < self.spec.trials:
            self.notes.append(f"The space of {state.model} has no more than {state.search.counted} points: all were "
                              f"tried, instead of the {self.spec.trials} trials asked for.")
        state.search.load_importance()
        self.display.search_ended(state.model, state.search.best(), state.unconfirmed)

    def _planned(self, state: ModelState) -> None:
        assert state.tuned is not None
        notes = self.log.set_aside(
            state.model, state.tuned, {run.key: run for run in state.planned}, state.waiting)
        self.notes += (note for note in notes if note not in self.notes)
        for name, settings in state.found.items():
            if self.chosen.get(name) != settings:
                self.chosen[name] = settings
                self.display.note(f"ablation {name}: the best of those tried is {described(settings)}" if settings
                                  else f"ablation {name}: none of those tried ended well")

    def _begin(self, work: Work) -> Job:
        """Log that a run begins and return the job."""
        config = self._here(work.config)
        writer = self.log.begin(work.label, work.role, config, work.settings, work.tags)
        self.live[work.label] = live = _Live(work, writer)
        self._note_run(live)
        self.display.job_started(work.label, work.settings if work.role == "trial" else {}, work.role)
        return Job(work.label, Train(config, score_test=work.role == "confirm"))

    def _note_run(self, live: _Live, *, ends: bool = False) -> None:
        """Tell the search the run's id: until MLflow has made the run a local one, unless it ends before."""
        if ends and not live.writer.is_made:
            self.store.catch_up()  # what has ended cannot be noted on any more
        work, run_id = live.work, live.writer.run_id
        if run_id == live.noted:
            return
        live.noted = run_id
        if work.trial is None:
            live.search.claims.note_run(work.claim, run_id)
            return
        with suppress(UpdateFinishedTrialError):  # by another process, which the trial was given to
            live.search.note(work.trial.number, RUN, run_id)

    def _here(self, config: RunConfig) -> RunConfig:
        """Fix the threads, on which the bits of a result depend."""
        threads = config.training.threads or self.threads
        return config.model_copy(update={"training": config.training.model_copy(update={"threads": threads})})

    def _receive(self, job: Job, message: Message) -> None:
        if job.key == BASELINES:
            self._receive_baselines(job, message)
            return
        live = self.live[job.key]
        self._note_run(live, ends=isinstance(message, (Finished, WasPruned, Failed)))
        match message:
            case StepReport():
                self.display.job_step(job.key, message)
            case WindowLoss():
                if self._transcribed(live):
                    self.display.note(f"{job.key}: {window_line(message)}")
            case Resumed(epoch):
                self.display.job_resumed(job.key, epoch)
            case Again(reason):
                live.best.clear()
                live.writer.tags({"gru_bench.done_again": reason})
                self.display.note(f"{job.key}: {reason}")
            case Note(text):
                if text not in self.notes:
                    self.notes.append(text)
                    self.told.add(text)
                    self.display.note(f"note: {text}")
            case EpochDone(record):
                self.pool.answer(job, go_on=self._epoch(live, record))
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
        return self.spec.protocol == "homework" and live.work.role == "confirm"

    def _epoch(self, live: _Live, record: EpochRecord) -> bool:
        """Take note of an epoch; return whether its run goes on."""
        if record.validation_accuracy is None:
            return True
        live.best.append(record.validation_accuracy)
        if live.work.trial is None:
            return True
        if self.spec.seeds_per_trial > 1:
            live.taken = not live.search.is_ours(live.work.trial.number)
            return not live.taken
        verdict = live.search.report(live.work.trial.number, record.epoch, max(live.best))
        live.taken = verdict == "taken"
        return verdict == "go on" or (verdict == "prune" and record.epoch >= self.spec.base.training.epochs)

    def _finished(self, job: Job, live: _Live, result: RunResult) -> None:
        # Its record first, then its end: whoever takes over in between finds the record whole.
        live.writer.finish(result, with_model=live.work.role == "confirm")
        live.work.state.failed_in_row = 0
        if live.work.trial is not None:
            self._finished_trial(job, live, live.work.trial)
            return
        split = "test" if live.work.role == "confirm" else "validation"
        value = _accuracy(result.predictions[split])
        if not live.search.claims.finish(live.work.claim, value if split == "validation" else None):
            self._taken(job, live)
            return
        if self._transcribed(live):
            for line in result_lines(result):
                self.display.note(f"{job.key}: {line}")
        self._forget(job, "tested" if split == "test" else "validated", value)

    def _finished_trial(self, job: Job, live: _Live, trial: Trial) -> None:
        """End a trial, or one of its seeds."""
        search, value = live.search, max(live.best)
        if self.spec.seeds_per_trial > 1:
            trial = replace(trial, seeds_done=(*trial.seeds_done, value))
            verdict = search.report(trial.number, len(trial.seeds_done) - 1, value)
            if verdict == "go on" and len(trial.seeds_done) < self.spec.seeds_per_trial:
                live.work.state.due.append(trial)
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
        assert live.work.trial is not None
        if not live.taken:
            live.writer.prune(f"pruned after epoch {len(live.best)} by the {self.spec.pruner} pruner: "
                              "behind earlier trials")
            live.taken = not live.search.prune(live.work.trial.number)
        if live.taken:
            self._taken(job, live)
        else:
            live.work.state.failed_in_row = 0
            self._forget(job, "pruned", max(live.best))

    def _taken(self, job: Job, live: _Live) -> None:
        live.writer.kill(TAKEN)
        live.writer.tags({"gru_bench.complete": "false"})  # it may have been recorded whole
        self._forget(job, "left", None, TAKEN)

    def _failed(self, job: Job, live: _Live, kind: str, reason: str) -> None:
        (live.writer.kill if kind in ("worker", "machine") else live.writer.fail)(reason)
        self._forget(job, "failed", None, reason)
        search = live.search
        again = False
        if live.work.trial is None:
            self._failed_claim(live, kind, reason)
        elif kind == "run":
            search.fail(live.work.trial.number, reason)
        else:
            again = search.give_up(live.work.trial.number, reason, fault=kind == "worker")
        if kind == "settings":
            raise UsageError(reason)
        if kind == "machine":
            raise RunError(reason)
        # A worker that dies in the midst of training, not at its start, says nothing of the trials to come.
        if live.work.trial is None or again or (kind == "worker" and live.best):
            return
        state = live.work.state
        state.failed_in_row += 1
        if state.failed_in_row >= MOST_FAILURES:
            raise RunError(f"trials must end well now and then, but the last {MOST_FAILURES} of {state.model} all "
                           f"failed, the last because {reason}")

    def _failed_claim(self, live: _Live, kind: str, reason: str) -> None:
        claims = live.search.claims
        if kind != "run" and claims.release(live.work.claim, fault=kind == "worker"):
            return
        claims.fail(live.work.claim)
        self.notes.append(f"The {live.work.role} run {live.work.label!r} failed: {reason}")

    def _work_out(self, stage: Stage) -> None:
        """Do a stage, unless its result is there, or wait for the process that does it."""
        key, claims = f"stage {stage.name} {stage.digest}", self.log.home.claims
        while claims.open([key]):
            if claims.take(key):
                try:
                    whole = self._worked_out(stage)
                except BaseException:
                    claims.release(key, fault=False)
                    raise
                (claims.finish if whole else claims.fail)(key)
            else:
                list(self._messages())

    def _worked_out(self, stage: Stage) -> bool:
        """Do a stage; return whether all of its tasks ended well."""
        tasks = stage.tasks()
        waiting = list(tasks.items())
        outcomes: dict[str, object] = {}
        while waiting or self.pool.busy:
            while waiting and self.pool.idle and not (stage.alone and self.pool.busy):
                label, task = waiting.pop(0)
                self.pool.submit(Job(label, task))
                self.display.job_started(label, {})
            for job, message in self._messages():
                match message:
                    case Finished(outcome):
                        outcomes[job.key] = outcome
                        self.display.job_ended(job.key, "done", None)
                    case Failed(kind, reason) if not self._tried_again(job, kind):
                        self.notes.append(f"{job.key} could not be worked out: {reason}")
                        self.display.job_ended(job.key, "failed", None, reason)
        if outcomes:
            self.log.study.text(stage.artifact, stage.joined([outcomes[label] for label in tasks if label in outcomes]))
        return len(outcomes) == len(tasks)

    def _receive_baselines(self, job: Job, message: Message) -> None:
        match message:
            case Finished(outcome):
                assert isinstance(outcome, tuple)
                self.baselines = outcome
                self._log_baselines()
                self.display.note("baselines: " + ", ".join(
                    f"{baseline.name} {100 * baseline.test_accuracy:.1f} % on test" for baseline in outcome))
            case Failed(kind, reason) if not self._tried_again(job, kind):
                self.notes.append(f"The baselines could not be measured: {reason}")
                self.display.note(self.notes[-1])

    def _log_baselines(self) -> None:
        """Log the baselines once they are known and there is a run to hold them."""
        if self.begun and self.baselines:
            self.log.baselines(self.baselines)

    def _forget(self, job: Job, outcome: str, value: float | None, reason: str = "") -> None:
        del self.live[job.key]
        self.display.tick(self.planner.to_begin())
        self.display.job_ended(job.key, outcome, value, reason)

    def _break_off(self, log: RunLog, error: BaseException) -> None:
        """Leave a study that the next start goes on with, telling it all that can still be told."""
        interrupted = isinstance(error, KeyboardInterrupt)
        reason = "interrupted" if interrupted else str(error)
        for live in self.live.values():
            with suppress(Exception):  # what cannot be told, the next start finds out; the error at hand is shown
                live.writer.kill(reason)
                if live.work.trial is not None:
                    live.search.give_up(live.work.trial.number, reason, fault=False)
                else:
                    live.search.claims.release(live.work.claim, fault=False)
        for state in self.planner.states:
            for trial in state.due:
                with suppress(Exception):
                    state.search.give_up(trial.number, reason, fault=False)
        with suppress(Exception), log.lock:
            self._sign_out()
            if not log.home.presence.others():
                (log.study.kill if interrupted else log.study.fail)(reason)
        log.close()

    def _end(self, log: RunLog) -> StudySummary:
        """Close the study's own run, unless another process still works on the study and will."""
        self._sign_out()
        deadline = time.monotonic() + 2 * LEASE_SECONDS
        while log.home.presence.others(elsewhere=True) and time.monotonic() < deadline and not self.interrupt.asked:
            # One that died there cannot close it, which only its lease will tell.
            time.sleep(POLL_SECONDS)
        with log.lock:
            self.planner.decide()  # again: a start that began later may have tried again what failed
            timings = self.store.text(log.study.run_id, TIMINGS) if self.spec.timings else None
            summary = study_summary(
                self.spec, self.data, self.searches,
                {state.model: state.tuned for state in self.planner.states if state.tuned is not None},
                {name: settings for state in self.planner.states for name, settings in state.found.items()},
                baselines=self.baselines, timings=() if timings is None else timings_of(timings),
                seconds=log.home.presence.seconds(), notes=self.notes)
            if not log.home.presence.others():
                log.study.text("study.json", summary.to_json())
                log.study.metrics(study_metrics(summary))
                log.study.complete()
        return summary

    def _sign_out(self) -> None:
        """Say that this start has ended."""
        for state in self.planner.states:
            state.search.presence.end(self.seconds)

    def confirmed(self) -> dict[str, Confirmed]:
        """Return model -> what its confirm runs reach, for those that have any."""
        return {state.model: confirmed([self.store.predictions(run_id, "test") for run_id in done])
                for state in self.planner.states if (done := state.confirmed)}

    def left(self) -> Iterator[str]:
        """Yield what of the study is not done once `run` has ended: the same command tries it again."""
        if any(state.search.counted < self.spec.trials and not state.search.exhausted for state in self.planner.states):
            yield "--timeout ended the search before all trials were begun"
        failed = sum(len(state.failed) for state in self.planner.states)
        if failed:
            yield f"{several(failed, 'run')} after the search failed"


def _accuracy(predictions: Predictions) -> float:
    return float(correct(predictions.label_N, predictions.probability_N).mean())
