"""Run a sweep: begin one run after the other on the workers, and log how each ends.

The search of each model comes first. Its best settings are then trained again on the confirmation seeds and scored on
the test split.

This process talks to the search and the tracking store; its workers only train. Any number of such processes may work
on one study, on one machine or on many. Each run belongs to one of them, and when a process dies, another one takes up
its runs.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from gru_bench.config import SOURCE, RunConfig, Scalar
from gru_bench.data.code import kept
from gru_bench.data.corpus import Corpus
from gru_bench.data.vectors import Vectors
from gru_bench.errors import RunError, UsageError, first_line
from gru_bench.results.baselines import baseline_label
from gru_bench.results.logged_metrics import compared
from gru_bench.results.pruners import CHECKS
from gru_bench.results.runs import (
    Check,
    EpochRecord,
    StepReport,
)
from gru_bench.sweep.active_run import ActiveRun, Assignment
from gru_bench.sweep.console.description import study_description
from gru_bench.sweep.console.interrupt import Interrupt
from gru_bench.sweep.console.progress import ProgressDisplay
from gru_bench.sweep.end import StudyEnd
from gru_bench.sweep.plan import (
    AskTrial,
    FitBaselines,
    ModelPlan,
    NothingToConfirm,
    PlannedRun,
    StudyState,
    TrainPlanned,
    Wait,
    Work,
    next_work,
    to_begin,
)
from gru_bench.sweep.run_log import POLL_SECONDS, RunLog
from gru_bench.sweep.search import Search
from gru_bench.sweep.sharing.leases import LEASE_SECONDS
from gru_bench.sweep.sharing.trials import MOST_ATTEMPTS
from gru_bench.sweep.spec import StudySpec
from gru_bench.sweep.study import StudyRecord
from gru_bench.sweep.summary import (
    Conclusion,
    conclusion,
    data_summary,
    study_metrics,
    study_summary,
)
from gru_bench.sweep.work import baseline_key
from gru_bench.sweep.workers.messages import (
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
from gru_bench.sweep.workers.tasks import MeasureBaselines, Task, Train, TrySettings
from gru_bench.tracking import LoggedStudy, Store

TAKE_OVER_SECONDS = 2.0
"""Seconds between two checks for runs of dead processes."""
SETTINGS, BASELINES = "settings", "baselines"
MOST_FAILURES = 3
"""Failed trials in a row after which the search ends with an error."""


class Sweep:
    """One start of a study. `run` continues from where earlier starts have ended."""

    def __init__(
        self, record: StudyRecord, corpus: Corpus, vectors: Vectors, store: Store, pool: Workers, *, command: str,
        threads: int, timeout: float | None, texts: bool, display: ProgressDisplay, interrupt: Interrupt,
        own: Mapping[str, str],
    ) -> None:
        """Prepare the sweep; nothing is written yet.

        Args:
            record: The record of the study.
            corpus: The texts of the study.
            vectors: The word vectors of the study.
            store: The tracking store that runs are logged to.
            pool: The workers. The caller closes them.
            command: The command as the user typed it; it is logged.
            threads: CPU threads of each run whose config does not set them.
            timeout: Seconds after which no new trial begins, or None; the confirmation stage still runs.
            texts: Whether texts may be stored.
            display: Shows the progress.
            interrupt: Handles Ctrl-C.
            own: What to log of models of the user's own: artifact of the study's parent run -> its text.
        """
        self.record, self.corpus, self.store, self.pool = record, corpus, store, pool
        self.threads, self.timeout, self.texts, self.display = threads, timeout, texts, display
        self.log: RunLog
        """Set when the first thing is logged."""
        self.begun = False
        """Whether `log` is set."""
        self.state: StudyState
        """The study as it was last read."""
        self._is_read = False
        """Whether it was read since the workers' last messages, and this process has begun nothing since."""
        self.active: dict[str, ActiveRun] = {}
        """Key -> run that this process trains."""
        self._receivers: dict[str, Callable[[Job, Message], None]] = {}
        """Key of a job -> what takes its messages."""
        self._deaths: Counter[str] = Counter()
        """Key of a task that is no run -> how many workers have died at it."""
        self._failed_in_row: Counter[str] = Counter()
        """Model -> how many of its trials have failed since one ended well."""
        self._to_supersede: dict[str, Mapping[str, Scalar]] = {}
        """Model -> its best settings, while confirmation runs in MLflow may have others."""
        self._announced: dict[str, ModelPlan] = {}
        """Model -> what was last planned for it, as the user and MLflow know it."""
        self._fitting: dict[str, int] = {}
        """Baseline that this process fits -> number of its trial."""
        self.data = data_summary(record.spec, corpus, vectors)
        self._open_log = partial(
            RunLog, record, corpus, store, command=command, texts=texts, data=self.data, own=own)
        self.notes: list[str] = []
        self.interrupt = interrupt
        self.shown_notes: set[str] = set()
        """The notes that have been shown to the user."""
        self.started = time.monotonic()
        self.last_take_over = -TAKE_OVER_SECONDS
        store.while_waiting = self._live_on

    def run(self) -> StudyEnd:
        """Run what is left of the study and return how it ends.

        Raises:
            UsageError: A setting cannot run on this machine, or the study holds texts but `texts` is false.
            RunError: No trial completes, or a store fails.
            KeyboardInterrupt: The user or the system has interrupted the sweep. Its runs are marked as interrupted.
        """
        with self.interrupt.noted():
            try:
                self._try_settings()
                self._begin()
                self._work()
            except BaseException as error:
                if self.begun:
                    self._stop_early(error)
                else:
                    with suppress(Exception):  # the first error is shown
                        self._sign_out()
                raise
            finally:
                self.record.lease.leave()  # it is dead now, even if it was cut off before it could say so
                self.display.end()
            return self._end()

    def _try_settings(self) -> None:
        """Wait until a worker has found that runs can be trained here, before anything is logged."""
        waiting = True

        def receive(message: Finished | Failed) -> None:
            nonlocal waiting
            match message:
                case Finished():
                    waiting = False
                case Failed("settings", reason):
                    raise UsageError(reason)
                case Failed(_, reason):
                    raise RunError(reason)

        configs = (self.spec.config(model, {}, self.spec.seed) for model in self.spec.models)
        self._submit_task(SETTINGS, TrySettings(tuple(map(self._with_threads, configs))), receive)
        while waiting:
            self._receive()

    def _begin(self) -> None:
        """Begin the study in MLflow, or continue it, and show what is to do."""
        self.log = log = self._open_log()
        self.begun = True
        for note in log.resume():
            self._note(note)
        self._read()
        if self.texts and not log.texts:
            self.display.note("note: no texts are stored, because the study was started with --no-texts")
        work = self._next_work()
        self._describe()
        self.display.begin(to_begin(self.state), done=not isinstance(work, Wait))

    def _work(self) -> None:
        """Do all work that is left."""
        while self._fill() is not None or self._receivers:
            self._receive()

    def _fill(self) -> Work | None:
        """Begin work until no worker is idle or none is left to begin; return what follows, None for nothing."""
        work: Work | None = Wait()
        while self.pool.idle:
            work = self._next_work()
            match work:
                case FitBaselines() if BASELINES not in self._receivers:
                    self._fit_baselines()
                case AskTrial(model):
                    self._ask(self.record.searches[model])
                case TrainPlanned(run):
                    self._take(run)
                case _:
                    break
        return work

    def _next_work(self) -> Work | None:
        """Read the study, do what follows from its results without a worker, and return what is to do next."""
        while True:
            if not self._is_read:
                self._read()
            self._is_read = False
            self.record.note_searching(self.state)
            if self._announce():
                continue
            work = next_work(self.state)
            if isinstance(work, NothingToConfirm):
                raise self._nothing_to_confirm(self.record.searches[work.model])
            return work

    def _read(self) -> None:
        in_time = self.timeout is None or self.seconds < self.timeout
        self.state, self._is_read = self.record.state(in_time=in_time), True

    def _announce(self) -> bool:
        """Tell MLflow and the user what is newly planned; return whether anything is."""
        new = {model: plan for model, plan in self.state.plans.items()
               if plan.tuned is not None and plan != self._announced.get(model)}
        for model, plan in new.items():
            assert plan.tuned is not None
            self._announced[model], self._to_supersede[model] = plan, plan.tuned
            self._search_ended(self.record.searches[model], plan)
        return bool(new)

    def _ask(self, search: Search) -> None:
        """Begin the next trial of a search, if another process has not taken the last one."""
        if (asked := search.ask(self.state.searches[search.model].trials)) is not None:
            number, settings = asked
            # All backends compute the same function, so a search takes the fastest one.
            config = self._with_threads(self.spec.config(
                search.model, {**settings, "model.backend": "auto"}, self.spec.seed))
            self._train(Assignment(
                search, number, "trial", config, settings, f"{search.model} trial {number}",
                {"gru_bench.trial": str(number)}, repeats=search.repeats(number)))

    def _take(self, run: PlannedRun) -> None:
        if (number := self.record.work.take(run.key)) is not None:
            self._train(Assignment(self.record.work, number, "confirm", self._with_threads(run.config), run.settings,
                                   f"{run.config.model.name} seed {run.config.seed}", {}))

    def _fit_baselines(self) -> None:
        """Fit the baselines that no process has begun to fit, and log them."""
        with self.record.lock:  # all of them, or none
            for name in self.state.free_baselines:
                if (number := self.record.work.take(baseline_key(name))) is not None:
                    self._fitting[name] = number
        if not self._fitting:
            return

        def receive(message: Finished | Failed) -> None:
            match message:
                case Finished(outcome):
                    assert isinstance(outcome, tuple)
                    for result in outcome:
                        if result.model in self._fitting:
                            self.log.baseline(self._fitting[result.model], result)
                    metric = compared(self.spec.metric, "test")
                    self.display.note(f"baselines, {metric.label}: " + ", ".join(
                        f"{baseline_label(one.model, one.settings)} {metric.written(one.metrics[metric.key])}"
                        for one in outcome if metric.key in one.metrics))
                case Failed(_, reason):
                    for number in self._fitting.values():
                        self.record.work.fail(number, reason)
                    self._note(f"The baselines could not be measured: {reason}")
            self._fitting.clear()

        self._submit_task(BASELINES, MeasureBaselines(self.spec.base.data, self.spec.metric, self.texts), receive)

    def _submit_task(self, key: str, task: Task, receive: Callable[[Finished | Failed], None]) -> None:
        """Submit a task that trains no run of the study, again if its worker dies; `receive` takes its end."""
        def ended(job: Job, message: Message) -> None:
            match message:
                case Failed("machine", reason):
                    raise RunError(reason)
                case Failed("worker", _) if self._deaths[key] + 1 < MOST_ATTEMPTS:
                    self._deaths[key] += 1
                    self._submit(job, ended)
                case Finished() | Failed():
                    receive(message)

        self._submit(self._job(key, task), ended)

    def _submit(self, job: Job, receive: Callable[[Job, Message], None]) -> None:
        self._receivers[job.key] = receive
        self.pool.submit(job)

    def _job(self, key: str, task: Task) -> Job:
        """Return a job whose worker refuses data that were changed since this process has read them."""
        code = tuple(kept(model, source) for model in self.spec.models
                     if isinstance(source := self.spec.own.get(model, {}).get(SOURCE), str))
        return Job(key, task, self.corpus.fingerprint, code)

    def _receive(self) -> None:
        """Take the workers' messages, then do the periodic work: check the store, renew the lease, take over runs."""
        self._is_read = False
        for job, message in self.pool.messages(POLL_SECONDS):
            receive = self._receivers[job.key]
            if isinstance(message, Finished | WasPruned | Failed):
                del self._receivers[job.key]
            receive(job, message)
        self._live_on()
        if not self.begun:
            return
        self._supersede()
        if self.seconds - self.last_take_over >= TAKE_OVER_SECONDS:
            self.last_take_over = self.seconds
            self._read()
            self.display.tick(to_begin(self.state))
            self.log.take_over(self.state)
            self._is_read = False

    def _live_on(self) -> None:
        """Show other starts that this one lives: while it works, and while it waits for the tracking store.

        Raises:
            KeyboardInterrupt: The user has asked for it.
        """
        self.record.lease.renew(self.seconds)
        if self.interrupt.asked:
            raise KeyboardInterrupt

    @property
    def spec(self) -> StudySpec:
        """The study."""
        return self.record.spec

    @property
    def seconds(self) -> float:
        """Seconds since this start began."""
        return time.monotonic() - self.started

    def _search_ended(self, search: Search, plan: ModelPlan) -> None:
        found = self.state.searches[search.model]
        if found.exhausted and found.counted < self.spec.trials:
            self.notes.append(f"The search of {search.model} has {found.counted} trials instead of {self.spec.trials}: "
                              "its space has no other points.")
        if all(model in self._announced for model in self.spec.models):
            self.record.lease.note_search(self.seconds)
        search.load_importance()
        self._describe()
        self.display.search_ended(search.model, found.best, len(self.state.free(plan.runs)))

    def _nothing_to_confirm(self, search: Search) -> RunError:
        reasons = sorted({trial.reason for trial in search.trials() if trial.state == "failed" and trial.reason})
        return RunError(f"{search.model} has no complete trial to confirm: {'; '.join(reasons) or 'all were pruned'}. "
                        "Widen the search space, or raise trials")

    def _supersede(self) -> None:
        """Supersede the confirmation runs of settings that are not the best ones any more."""
        runs = self.log.runs() if self._to_supersede else []
        while self._to_supersede:
            notes = self.log.supersede(runs, *self._to_supersede.popitem())
            self.notes += (note for note in notes if note not in self.notes)

    def _train(self, run: Assignment) -> None:
        try:
            writer = self.log.begin(run)
        except BaseException as error:  # such as a full disk
            run.trials.give_up(run.number, str(error), fault=False)
            raise
        self.active[run.key] = ActiveRun(run, writer, self.spec)
        self.display.job_started(run.key, run.label, run.settings if run.role == "trial" else {},
                                 run.config.training.epochs)
        checks = CHECKS if run.role == "trial" and self.spec.pruner == "halving" else 0
        is_first = run.role == "confirm" and run.config.seed == self.spec.confirm_seeds[0]
        task = Train(run.config, score_test=run.role == "confirm", checks=checks,
                     diagnostics=self.spec.diagnostics and is_first, texts=self.log.texts)
        self._submit(self._job(run.key, task), self._receive_run)

    def _with_threads(self, config: RunConfig) -> RunConfig:
        """Return the config with its number of threads set: the exact result depends on it."""
        threads = config.training.threads or self.threads
        return config.model_copy(update={"training": config.training.model_copy(update={"threads": threads})})

    def _receive_run(self, job: Job, message: Message) -> None:
        active = self.active[job.key]
        match message:
            case StepReport():
                self.display.job_step(job.key, message)
            case Resumed(epoch):
                self.display.job_resumed(job.key, epoch)
            case Restarted(reason):
                active.restart(reason)
                self.display.note(f"{active.run.label}: {reason}")
            case Note(text):
                self._note(text)
            case Check():
                self.pool.answer(job, go_on=active.check(message))
            case EpochRecord():
                self.pool.answer(job, go_on=active.report(message))
                active.writer.epoch(message, self.spec.metric)
                self.display.job_epoch(job.key, message)
            case _:
                self._end_run(job, active, message)

    def _note(self, text: str) -> None:
        """Show a note now, once, instead of at the end."""
        if text not in self.notes:
            self.notes.append(text)
            self.shown_notes.add(text)
            self.display.note(f"note: {text}")

    def _end_run(self, job: Job, active: ActiveRun, message: Finished | WasPruned | Failed) -> None:
        outcome, run = active.end(message), active.run
        del self.active[job.key]
        self._read()
        self.display.tick(to_begin(self.state))
        self.display.job_ended(job.key, outcome.state, outcome.value, outcome.reason)
        if outcome.state not in ("failed", "left"):
            self._failed_in_row[run.model] = 0
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
        else:
            self._failed_in_row[run.model] += 1
            if self._failed_in_row[run.model] >= MOST_FAILURES:
                raise RunError(f"the last {MOST_FAILURES} trials of {run.model} failed in a row, the last because "
                               f"{message.reason}")

    def _stop_early(self, error: BaseException) -> None:
        """End the active runs and queue them again for the next start, as far as the stores still respond."""
        self.store.patience = 0.0
        interrupted = isinstance(error, KeyboardInterrupt)
        reason = "interrupted" if interrupted else str(error)
        for active in self.active.values():
            with suppress(Exception):  # the next start finds out what is not noted here; the first error is shown
                active.break_off(reason)
        for number in self._fitting.values():
            with suppress(Exception):
                self.record.work.give_up(number, reason, fault=False)
        try:
            self._sign_out()
            self._read()  # another start may have completed the study while this one was paused
            if not self.record.lease.has_others() and not (self.state.is_complete and self.log.is_complete):
                (self.log.study.kill if interrupted else self.log.study.fail)(reason)
                self._describe()
        except Exception as failure:
            self.display.note(f"note: MLflow shows the study as running until its next start ({first_line(failure)})")

    def _end(self) -> StudyEnd:
        """Complete the study's parent run, unless another process still has work to do for it and will complete it."""
        self._sign_out()
        lease, deadline = self.record.lease, time.monotonic() + 2 * LEASE_SECONDS
        while lease.has_others(elsewhere=True) and time.monotonic() < deadline and not self.interrupt.asked:
            # A dead process on another machine cannot complete it, and only its expired lease shows that it is dead.
            time.sleep(POLL_SECONDS)
        self._read()
        self._announce()  # another start may have repeated a failed run meanwhile
        self._supersede()
        study, state = self.log.study, self.state
        summary = study_summary(
            state, self.data, self.record.searches, seconds=lease.seconds(), search_seconds=lease.search_seconds(),
            notes=self.notes)
        # Another start may have nothing to do any more, or die before it completes the study: twice does no harm.
        if state.is_complete or not lease.has_others():
            self.log.describe_if_lost()
            concluded = self._conclusion() if state.is_complete else Conclusion()
            self._describe(concluded)
            study.metrics({**concluded.metrics, **study_metrics(summary)})  # MLflow shows them in this order
            study.text("study.json", summary.to_json())
            study.complete()
        return StudyEnd(state, summary, self.store, self._logged(), self.log.experiment, self.seconds, self.shown_notes)

    def _conclusion(self) -> Conclusion:
        """Return what the study concludes; nothing while MLflow is away."""
        from gru_bench.evidence.collect import collect

        with suppress(Exception):  # a study that has ended is completed all the same; a report shows the error
            if (logged := self._logged()) is not None:
                return conclusion(collect([logged], self.store))
        return Conclusion()

    def _logged(self) -> LoggedStudy | None:
        """Return the study as MLflow has it; None while MLflow does not have it."""
        return self.store.logged_study(self.log.study.run_id)

    def _describe(self, concluded: Conclusion = Conclusion()) -> None:
        """Write the description of the study."""
        self.log.study.describe(study_description(
            self.spec, command=self.log.command, best=self.state.best_values, concluded=concluded))

    def _sign_out(self) -> None:
        self.record.lease.end(self.seconds)
