"""Run a sweep: begin one run after the other on the workers, and log how each ends.

The search of each model comes first. Its best settings are then trained again on the confirm seeds and scored on the
test split. The runs of the ablations follow, scored on validation reviews, and after them the follow-ups.

This process talks to the search and the tracking store; its workers only train. Any number of such processes may work
on one study, on one machine or on many. Each run belongs to one of them, and when a process dies, another one takes up
its runs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from gru_bench.config import RunConfig, Scalar
from gru_bench.data.corpus import Corpus
from gru_bench.data.vectors import Vectors
from gru_bench.errors import RunError, UsageError, given_as, named, same_command
from gru_bench.models.trained import TrainedModel
from gru_bench.results.logged_metrics import compared, score_name
from gru_bench.results.looks import LOOKS, looks_json
from gru_bench.results.pruners import PRUNERS
from gru_bench.results.runs import Baseline, RunResult, StepReport, StudySummary, WindowLoss, compared_baseline
from gru_bench.stats.intervals import Scored
from gru_bench.sweep.active_run import ActiveRun
from gru_bench.sweep.console.console_log import result_lines, window_line
from gru_bench.sweep.console.description import study_description
from gru_bench.sweep.console.interrupt import Interrupt
from gru_bench.sweep.console.looks import look_lines
from gru_bench.sweep.console.progress import ProgressDisplay, described, several
from gru_bench.sweep.followups import TIMINGS, TaskRunner, follow_ups, timings_of
from gru_bench.sweep.planner import ModelState, NextRun, Planner
from gru_bench.sweep.run_log import RunLog, fingerprint_of
from gru_bench.sweep.search import Search, main_of, stored_models
from gru_bench.sweep.sharing.leases import LEASE_SECONDS
from gru_bench.sweep.sharing.looks import Looks
from gru_bench.sweep.spec import StudySpec
from gru_bench.sweep.summary import Confirmed, confirmed, data_summary, study_metrics, study_summary
from gru_bench.sweep.workers.local import (
    CheckDone,
    EpochDone,
    Failed,
    Finished,
    Job,
    Message,
    Note,
    Restarted,
    Resumed,
    WasPruned,
    Workers,
)
from gru_bench.sweep.workers.tasks import CheckConfigs, MeasureBaselines, Task, Train
from gru_bench.tracking import LoggedStudy, Store

POLL_SECONDS = 0.5
TAKE_OVER_SECONDS = 2.0
"""Seconds between two checks for runs of dead processes."""
CHECK, BASELINES = "check", "baselines"
MOST_FAILURES = 3
"""Failed trials in a row after which the search ends with an error."""


class Sweep:
    """One start of a study. `run` continues from where earlier starts have ended."""

    def __init__(
        self, spec: StudySpec, corpus: Corpus, vectors: Vectors, store: Store, searches: Mapping[str, Search],
        pool: Workers, *, experiment: str, command: str, threads: int, timeout: float | None, texts: bool,
        display: ProgressDisplay, interrupt: Interrupt | None = None,
    ) -> None:
        """Prepare the sweep; nothing is written yet.

        Args:
            spec: The study.
            corpus: The reviews of the study.
            vectors: The word vectors of the study.
            store: The tracking store that runs are logged to.
            searches: Model -> its search, for all models of the study.
            pool: The workers. The caller closes them.
            experiment: Name of the MLflow experiment.
            command: The command as the user typed it; it is logged.
            threads: CPU threads of each run whose config does not set them.
            timeout: Seconds after which no new trial begins, or None; the confirm stage still runs.
            texts: Whether reviews may be stored.
            display: Shows the progress.
            interrupt: Handles Ctrl-C; None for what suits a command.
        """
        self.spec, self.corpus, self.vectors, self.store = spec, corpus, vectors, store
        self.searches, self.pool, self.experiment, self.command = dict(searches), pool, experiment, command
        self.threads, self.timeout, self.texts, self.display = threads, timeout, texts, display
        plan = spec.plan(corpus.fingerprint)
        self.looks = None if plan is None else Looks(plan, main_of(searches).study)
        """The looks of the confirm stage; None for a stage of one size."""
        self.planner = Planner(
            spec, searches, self._in_time, self._search_ended, self._planned, self.looks, self._look)
        self.log: RunLog
        """Set when the first thing is logged."""
        self.begun = False
        """Whether `log` is set and the study is marked as running."""
        self.active: dict[str, ActiveRun] = {}
        """Key -> run that this process trains."""
        self.baselines: tuple[Baseline, ...] = ()
        self.measuring = False
        """Whether the job that measures the baselines was submitted."""
        self.data = data_summary(spec, corpus, vectors)
        self.notes: list[str] = []
        self.tasks = TaskRunner(pool, display, self.notes, self._job)
        self.interrupt = interrupt or Interrupt()
        self.chosen: dict[str, Mapping[str, Scalar]] = {}
        """Ablation -> best candidate that has been shown to the user."""
        self.found: dict[str, Confirmed] = {}
        """Model -> test score of its confirm runs, as far as it was last read."""
        self.view: str | None = None
        """Page with the saved view of the runs in MLflow; empty where there is none, None while that is not known."""
        self.linked = False
        """Whether the saved view was looked for."""
        self._scored: dict[tuple[str, ...], Confirmed] = {}
        """Ids of confirm runs -> their test score."""
        self.first_trials: dict[str, float] = {}
        """Model -> score of its first complete trial, until it is shown beside the baseline."""
        self.shown_notes: set[str] = set()
        """The notes that have been shown to the user."""
        self.started = time.monotonic()
        self.last_take_over = -TAKE_OVER_SECONDS

    def run(self) -> StudySummary:
        """Run what is left of the study and return the summary of the whole study.

        Raises:
            UsageError: A setting cannot run on this machine, or the study holds reviews but `texts` is false.
            RunError: No trial completes, or a store fails.
            KeyboardInterrupt: The user or the system has interrupted the sweep. Its runs are marked as broken off.
        """
        log: RunLog | None = None
        with self.interrupt:
            try:
                self._check()
                self.log = log = RunLog(
                    self.spec, self.corpus, self.store, self.searches, experiment=self.experiment,
                    command=self.command, texts=self.texts, data=self.data)
                self.experiment = log.experiment  # a user may have renamed it
                for note in log.resume():
                    self.notes.append(note)
                    self.shown_notes.add(note)
                    self.display.note(f"note: {note}")
                self.begun = True
                self._note_closed_searches()
                self._log_looks()  # the process that took the last one may have died before it logged it
                if self.texts and not log.texts:
                    self.display.note("note: no reviews are stored, because the study was begun with "
                                      f"{given_as('--no-texts')}")
                self._log_baselines()
                self.planner.update()  # otherwise runs of earlier starts would be announced as still to do
                self._describe(log, "running", read=not log.is_new)
                self.display.begin(self.planner.to_begin(), done=self.planner.is_done)
                self._run_all()
                for state in self.planner.active:
                    if state.tuning:
                        self._planned(state)  # runs that began before an ablation was tuned have outdated tags
                self._join_models(log)
                # The runs of this process are read from its queue, even when the tracking server is away.
                self.store.await_whole(
                    self.experiment, [run for state in self.planner.states for run in state.confirmed_elsewhere])
                if self.planner.is_complete:  # otherwise the start that completes the study does what follows
                    self._follow_up(log)
            except BaseException as error:
                if log is not None:
                    self._stop_early(log, error)
                else:
                    with suppress(Exception):  # the first error is shown
                        self._sign_out()
                raise
            finally:
                self.display.end()
            return self._end(log)

    def _follow_up(self, log: RunLog) -> None:
        """Do what follows the runs of all models, unless another process does it or has done it."""
        first = {state.model: done[0] for state in self.planner.states if (done := state.confirmed)}

        def read(runs: Mapping[str, str]) -> dict[str, TrainedModel]:
            return dict(zip(runs, self.store.models(list(runs.values()), log.study.run_id), strict=True))

        for follow_up in follow_ups(self.spec, self._with_threads, first, read, texts=log.texts):
            self.tasks.complete(follow_up, log.main_search.runs, log.study, self._messages)

    def _join_models(self, log: RunLog) -> None:
        """Read the models that other starts have added to the study meanwhile, and how far all others are."""
        some = next(iter(self.searches.values()))
        spec = self.spec.with_stored(stored_models(self.spec.name, some.storage))
        if new := [model for model in spec.models if model not in self.searches]:
            self.spec = log.spec = spec
            for model in new:
                self.searches[model] = log.searches[model] = some.of(spec, model)
            self.planner.join(spec, self.searches)
        self.planner.read_others()
        self.planner.choose_candidates()  # again: a later start may have retried failed tuning runs

    def _check(self) -> None:
        """Check that runs can be trained here, before anything is logged."""
        configs = (self.spec.config(model, {}, self.spec.seed) for model in self.spec.active_models)
        self.pool.submit(self._job(CHECK, CheckConfigs(tuple(map(self._with_threads, configs)))))
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
                    case Failed(kind, reason) if not self.tasks.is_resubmitted(job, kind):
                        raise RunError(reason)
            if self.interrupt.asked:
                raise KeyboardInterrupt

    def _baselines(self) -> Job:
        return self._job(BASELINES, MeasureBaselines(self.spec.base.data))

    def _job(self, key: str, task: Task) -> Job:
        """Return a job whose worker refuses data that were changed since this process has read them."""
        data = dict.fromkeys(data for data, _ in task.materials)
        return Job(key, task, tuple((one, fingerprint_of(one, self.spec, self.corpus)) for one in data))

    def _run_all(self) -> None:
        if not self.measuring:
            self.pool.submit(self._baselines())
        while True:
            while self.pool.idle and (run := self.planner.next()) is not None:
                self.pool.submit(self._begin(run))
            if not self.pool.busy and self.planner.is_done:
                self.log.admit_others(wait=True)
                return
            for job, message in self._messages():
                self._receive(job, message)

    def _messages(self) -> Iterator[tuple[Job, Message]]:
        """Yield the workers' messages, then do the periodic work: check the store, renew leases, take over runs."""
        yield from self.pool.messages(POLL_SECONDS)
        self.display.alive()
        if self.interrupt.asked:
            raise KeyboardInterrupt
        self.store.check()
        self.log.admit_others()
        if not self.linked and self.store.is_caught_up and not self.store.away:
            self.linked = True
            self._describe(self.log, "running")  # MLflow has the experiment only now
        for state in self.planner.states:
            state.search.lease.renew(self.seconds)
        if self.seconds - self.last_take_over >= TAKE_OVER_SECONDS:
            self.last_take_over = self.seconds
            self.log.take_over()
            self.display.tick(self.planner.to_begin())

    @property
    def seconds(self) -> float:
        """Seconds since this start began."""
        return time.monotonic() - self.started

    def _in_time(self) -> bool:
        return self.timeout is None or self.seconds < self.timeout

    def _search_ended(self, state: ModelState) -> None:
        if state.search.exhausted and state.search.counted < self.spec.trials:
            self.notes.append(f"The search of {state.model} has {state.search.counted} trials instead of "
                              f"{self.spec.trials}: its space has no more points.")
        if all(other.tuned is not None for other in self.planner.active):
            self.log.main_search.lease.note_search(self.seconds)
        state.search.load_importance()
        self._describe(self.log, "running", read=self.store.is_caught_up)
        self.display.search_ended(state.model, state.search.best(), state.unconfirmed)

    def _look(self, place: int) -> None:
        """Take a look of the confirm stage, unless another process has taken it, and show what it found."""
        assert self.looks is not None
        self.log.admit_others(wait=True)
        self.store.await_whole(
            self.experiment, [run for state in self.planner.states for run in state.confirmed_elsewhere])
        plan = self.looks.plan
        with self.log.lock:
            if len(self.looks.taken) > place:
                return
            runs = {state.model: self._scored_by_seed(state) for state in self.planner.states}
            if empty := [model for model, own in runs.items() if not own]:
                raise RunError(f"a look must have a complete confirm run of each model, but all runs of {empty[0]} "
                               f"failed: {same_command()} tries them again, and a study of another name may leave the "
                               "model out")
            look, pairs = self.looks.take(runs)
            self._log_looks()
        for line in look_lines(plan, look, place, pairs):
            self.display.note(line)

    def _note_closed_searches(self) -> None:
        """Say which searches do not go on, because a look at the confirm runs was taken."""
        if self.looks is None or not self.looks.taken:
            return
        self.notes += (
            f"The search of {state.model} stays at {state.search.counted} of {self.spec.trials} trials: a look at its "
            "confirm runs was taken already." for state in self.planner.active if _has_trials_left(self.spec, state))

    def _log_looks(self) -> None:
        """Log the looks taken so far, from all processes and starts."""
        with self.log.lock:
            if self.looks is not None and (taken := self.looks.taken):
                self.log.study.text(LOOKS, looks_json(taken))

    def _scored_by_seed(self, state: ModelState) -> dict[int, Scored]:
        """Return confirm seed -> what its run predicts, for the complete runs, with the reviews in one order."""
        found = {}
        for seed, run_id in state.confirmed_seeds.items():
            test = self.store.predictions(run_id, "test").by_id()
            found[seed] = Scored(test.label_N, test.probability_NC[None], test.group_N)
        return found

    def _planned(self, state: ModelState) -> None:
        assert state.tuned is not None
        notes = self.log.supersede(
            state.model, state.tuned, {run.key: run for run in state.planned}, state.undecided)
        self.notes += (note for note in notes if note not in self.notes)
        for name, settings in state.chosen.items():
            if self.chosen.get(name) != settings:
                self.chosen[name] = settings
                self.display.note(f"ablation {name}: the best candidate is {described(settings)}" if settings
                                  else f"ablation {name}: all candidates failed")

    def _begin(self, run: NextRun) -> Job:
        """Log that a run begins and return the job."""
        config = self._with_threads(run.config)
        writer = self.log.begin(run.label, run.role, config, run.settings, run.tags)
        self.active[run.key] = ActiveRun(run, writer, self.spec)
        self.display.job_started(run.label, run.settings if run.role == "trial" else {}, run.role)
        checks = PRUNERS[self.spec.pruner].checks if run.role == "trial" else 0
        return self._job(run.key, Train(config, score_test=run.role == "confirm", checks=checks))

    def _with_threads(self, config: RunConfig) -> RunConfig:
        """Return the config with its number of threads set: the exact result depends on it."""
        threads = config.training.threads or self.threads
        return config.model_copy(update={"training": config.training.model_copy(update={"threads": threads})})

    def _receive(self, job: Job, message: Message) -> None:
        if job.key == BASELINES:
            self._receive_baselines(job, message)
            return
        active = self.active[job.key]
        label = active.run.label
        if isinstance(message, Finished | WasPruned | Failed) and not active.writer.is_made:
            self.store.catch_up()  # MLflow's id is waited for: a trial that has ended takes no note
        active.note_run()
        match message:
            case StepReport():
                self.display.job_step(label, message)
            case WindowLoss():
                if self._prints_console_log(active):
                    self.display.note(f"{label}: {window_line(message)}")
            case Resumed(epoch):
                self.display.job_resumed(label, epoch)
            case Restarted(reason):
                active.restart(reason)
                self.display.note(f"{label}: {reason}")
            case Note(text):
                if text not in self.notes:
                    self.notes.append(text)
                    self.shown_notes.add(text)
                    self.display.note(f"note: {text}")
            case CheckDone(check):
                self.pool.answer(job, go_on=active.check(check))
                self.display.job_check(label, active.checks[-1])
            case EpochDone(record):
                self.pool.answer(job, go_on=active.report(record))
                active.writer.epoch(record, self.spec.metric)
                self.display.job_epoch(label, record)
            case _:
                self._end_run(job, active, message)

    def _prints_console_log(self, active: ActiveRun) -> bool:
        return self.spec.console_log and active.run.role == "confirm"

    def _end_run(self, job: Job, active: ActiveRun, message: Finished | WasPruned | Failed) -> None:
        outcome, run = active.end(message), active.run
        if isinstance(message, Finished) and outcome.state == "tested" and self._prints_console_log(active):
            assert isinstance(message.outcome, RunResult)
            for line in result_lines(message.outcome):
                self.display.note(f"{run.label}: {line}")
        del self.active[job.key]
        self.display.tick(self.planner.to_begin())
        self.display.job_ended(run.label, outcome.state, outcome.value, outcome.reason)
        if outcome.state not in ("failed", "left"):
            run.state.failed_in_row = 0
        if run.role == "trial" and outcome.state == "complete" and outcome.value is not None:
            if sum(trial.state == "complete" for trial in run.state.search.trials()) == 1:
                self.first_trials[run.state.model] = outcome.value
            self._show_first_trials()
        if outcome.state == "tested" and len(run.state.confirmed) == len(
                self.planner.confirm_seeds(run.state.model)):
            self._describe(self.log, "running")
        if not isinstance(message, Failed):
            return
        if message.kind == "settings":
            raise UsageError(message.reason)
        if message.kind == "machine":
            raise RunError(message.reason)
        if outcome.again:
            return
        if run.role != "trial":
            self.notes.append(f"The {run.role} run {run.label!r} failed: {message.reason}")
        elif message.kind == "run" or not active.scores:
            # A worker that dies during training, after at least one epoch, says nothing about later trials.
            run.state.failed_in_row += 1
            if run.state.failed_in_row >= MOST_FAILURES:
                raise RunError(f"a search must have fewer than {MOST_FAILURES} failed trials in a row, but the last "
                               f"{MOST_FAILURES} of {run.state.model} failed, the last because {message.reason}")

    def _receive_baselines(self, job: Job, message: Message) -> None:
        match message:
            case Finished(outcome):
                assert isinstance(outcome, tuple)
                self.baselines = outcome
                self._log_baselines()
                self._show_first_trials()
                self.display.note("baselines: " + ", ".join(
                    f"{baseline.name} {100 * baseline.test_accuracy:.1f} % on test" for baseline in outcome))
            case Failed("machine", reason):
                raise RunError(reason)
            case Failed(kind, reason) if not self.tasks.is_resubmitted(job, kind):
                self.notes.append(f"The baselines could not be measured: {reason}")
                self.display.note(self.notes[-1])

    def _show_first_trials(self) -> None:
        """Show the first complete trial of each search beside the linear baseline, once both are known."""
        if not self.baselines:
            return
        score, name = compared(self.spec.metric, "val"), score_name(self.spec.metric)
        linear = compared_baseline(self.baselines, name, bool(score.higher_is_better)) or self.baselines[-1]
        reached = linear.on_validation(name)
        for model, value in self.first_trials.items():
            if reached is not None:
                self.display.note(
                    f"{model}: its first trial reached {score.label} {score.written(value)}, {linear.name} (baseline) "
                    f"{score.written(reached)}; from now on Ctrl-C leaves something to report")
        self.first_trials.clear()

    def _log_baselines(self) -> None:
        """Log the baselines once they are measured and the study's parent run exists."""
        if self.begun and self.baselines:
            self.log.baselines(self.baselines)

    def _stop_early(self, log: RunLog, error: BaseException) -> None:
        """End the active runs and queue them again for the next start, as far as the stores still answer."""
        reason = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
        for active in self.active.values():
            with suppress(Exception):  # the next start finds out what is not noted here; the first error is shown
                active.break_off(reason)
        for state in self.planner.states:
            for run in state.between_seeds:
                with suppress(Exception):
                    run.trials.give_up(run.number, reason, fault=False)
        with suppress(Exception), log.lock:
            self._sign_out()
            if not log.main_search.lease.has_others():
                interrupted = isinstance(error, KeyboardInterrupt)
                (log.study.kill if interrupted else log.study.fail)(reason)
                self._describe(log, "interrupted" if interrupted else "failed", read=False)
        log.close()

    def _end(self, log: RunLog) -> StudySummary:
        """Complete the study's parent run, unless another process still works on the study and will complete it.

        Where models of other starts are still to be searched or confirmed, it ends without being complete.
        """
        self._sign_out()
        lease, deadline = log.main_search.lease, time.monotonic() + 2 * LEASE_SECONDS
        while lease.has_others(elsewhere=True) and time.monotonic() < deadline and not self.interrupt.asked:
            # A dead process on another machine cannot complete it, and only its expired lease shows that it is dead.
            time.sleep(POLL_SECONDS)
        with log.lock:
            self._join_models(log)
            timings = self.store.text(log.study.run_id, TIMINGS) if self.spec.timings else None
            summary = study_summary(
                self.spec, self.data, self.searches,
                {state.model: state.tuned for state in self.planner.states if state.tuned is not None},
                {name: settings for state in self.planner.states for name, settings in state.chosen.items()},
                baselines=self.baselines, timings=() if timings is None else timings_of(timings),
                seconds=lease.seconds(), search_seconds=lease.search_seconds(), notes=self.notes,
                confirm_seeds=tuple(sorted({
                    seed for model in self.spec.models for seed in self.planner.confirm_seeds(model)})))
            if not lease.has_others():
                log.study.metrics(study_metrics(summary))
                self._describe(log, "incomplete" if any(self.unfinished()) else "complete",
                               verdicts=self._verdicts() if self.planner.is_complete else ())
                if self.planner.unfinished:
                    log.study.kill("; ".join(self.unfinished()))
                else:
                    log.study.text("study.json", summary.to_json())
                    log.study.complete()
        return summary

    def _verdicts(self) -> list[str]:
        """Return the sentence that a report of the study has on each pair of its models; empty while MLflow is away."""
        from gru_bench.report.evidence.collect import collect
        from gru_bench.report.findings import findings_of

        with suppress(Exception):  # a study that has ended is completed all the same; a report shows the error
            if self.store.catch_up():
                return [pair.sentence for pair in findings_of(collect(self.logged(), self.store)).pairs]
        return []

    def logged(self) -> list[LoggedStudy]:
        """Return the study as MLflow has it; an empty list while MLflow does not have it."""
        return [study for study in self.store.studies(self.experiment) if study.run.run_id == self.log.study.run_id]

    def _describe(self, log: RunLog, state: str, *, read: bool = True, verdicts: Sequence[str] = ()) -> None:
        """Write the description of the study, with the scores that are known.

        Args:
            log: The study's runs.
            state: State of the study, a key of `STATUS`.
            read: Whether to read what is not known yet, which takes a moment.
            verdicts: The sentence on each pair of models.
        """
        if read and not self.store.away:
            with suppress(RunError):  # another process may still be writing its runs
                self.linked = True
                if self.view is None:
                    self.view = self.store.view(self.experiment, self.spec.metric)
                self.found = self.confirmed()
        best = {model: found[1] for model, search in self.searches.items() if (found := search.best()) is not None}
        log.study.describe(study_description(
            self.spec, state, command=self.command, uri=self.store.typed_uri, best=best, found=self.found,
            view=self.view, trials=sum(search.counted for search in self.searches.values()),
            confirmed=sum(len(state.confirmed) for state in self.planner.states), baselines=self.baselines,
            verdicts=verdicts))

    def _sign_out(self) -> None:
        """Record in all searches that this start has ended."""
        for state in self.planner.states:
            state.search.lease.end(self.seconds)

    def confirmed(self) -> dict[str, Confirmed]:
        """Return model -> test accuracy of its confirm runs, for the models that have any."""
        return {state.model: self._score(done) for state in self.planner.states if (done := tuple(state.confirmed))}

    def _score(self, run_ids: tuple[str, ...]) -> Confirmed:
        """Return the test score of confirm runs, which are read once."""
        if run_ids not in self._scored:
            self._scored[run_ids] = confirmed(
                [self.store.predictions(run_id, "test") for run_id in run_ids], self.spec.metric)
        return self._scored[run_ids]

    @property
    def is_confirmed(self) -> bool:
        """Whether a model has a complete confirm run, so that it can be asked."""
        return any(state.confirmed for state in self.planner.states)

    def page(self, served: str) -> str | None:
        """Return the URL of the study's page in MLflow; None while MLflow does not have the study.

        Args:
            served: Address at which a store that is a file would be shown.
        """
        return next((self.store.run_url(run, served) for run in self.store.runs(self.experiment)
                     if run.run_id == self.log.study.run_id), None)

    def view_url(self, served: str) -> str | None:
        """Return the URL of the saved view of the runs; empty where there is none, None while that is not known.

        Args:
            served: Address at which a store that is a file would be shown.
        """
        return self.view and self.store.page_url(self.view, served)

    def unfinished(self) -> Iterator[str]:
        """Yield the reasons why the study is not done although `run` has ended.

        The same command retries it, or where models of other starts are unfinished, the command without --model.
        """
        if not (self.looks and self.looks.taken) and any(
                _has_trials_left(self.spec, state) for state in self.planner.active):
            yield f"{named('--timeout')} ended the search before all trials were begun"
        failed = sum(len(state.failed) for state in self.planner.active)
        if failed:
            yield f"{several(failed, 'confirm or ablation run')} failed"
        if models := self.planner.unfinished:
            yield f"{' and '.join(models)} {'is' if len(models) == 1 else 'are'} still to be searched or confirmed"


def _has_trials_left(spec: StudySpec, state: ModelState) -> bool:
    return state.search.counted < spec.trials and not state.search.exhausted
