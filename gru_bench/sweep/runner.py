"""Run a sweep: begin one run after the other on the workers, and log how each ends.

The search of each model comes first. Its best settings are then trained again on the confirmation seeds and scored on
the test split.

This process talks to the search and the tracking store; its workers only train. Any number of such processes may work
on one study, on one machine or on many. Each run belongs to one of them, and when a process dies, another one takes up
its runs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress

from gru_bench.config import SOURCE
from gru_bench.data.code import kept
from gru_bench.data.corpus import Corpus
from gru_bench.errors import RunError, UsageError, first_line
from gru_bench.results.runs import DataSummary
from gru_bench.sweep.active_run import Assignment
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
from gru_bench.sweep.run_log import RunLog
from gru_bench.sweep.runs import Runs, with_threads
from gru_bench.sweep.search import Search
from gru_bench.sweep.sharing.leases import LEASE_SECONDS, Lease
from gru_bench.sweep.spec import StudySpec
from gru_bench.sweep.study import StudyRecord
from gru_bench.sweep.summary import Conclusion, conclusion, study_metrics, study_summary
from gru_bench.sweep.workers.jobs import Jobs
from gru_bench.sweep.workers.messages import Failed, Finished, Workers
from gru_bench.sweep.workers.tasks import TrySettings
from gru_bench.tracking import LoggedStudy, Store

POLL_SECONDS = 0.5
"""Seconds between two looks at what the workers and other processes do."""
TAKE_OVER_SECONDS = 2.0
"""Seconds between two checks for runs of dead processes."""
SETTINGS = "settings"
"""Key of the job that tries the settings."""


class Life:
    """How long a start has lived, what other starts see of it, and whether the user has asked it to end."""

    def __init__(self, lease: Lease, interrupt: Interrupt, timeout: float | None) -> None:
        """Begin it; `timeout`: seconds after which no new trial begins, or None."""
        self.lease, self.interrupt, self.timeout = lease, interrupt, timeout
        self.started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since this start began."""
        return time.monotonic() - self.started

    @property
    def in_time(self) -> bool:
        """Whether new trials may begin."""
        return self.timeout is None or self.seconds < self.timeout

    def go_on(self) -> None:
        """Show other starts that this one lives, unless it has signed out: while it works, and while it waits for the
        tracking store.

        Raises:
            KeyboardInterrupt: The user has asked for it.
        """
        self.lease.renew(self.seconds)
        if self.interrupt.asked:
            raise KeyboardInterrupt

    def sign_out(self) -> None:
        """Show other starts that this one does no more work."""
        self.lease.end(self.seconds)


def conduct(
    record: StudyRecord, corpus: Corpus, data: DataSummary, store: Store, pool: Workers, *, command: str, threads: int,
    timeout: float | None, texts: bool, display: ProgressDisplay, interrupt: Interrupt, own: Mapping[str, str],
) -> StudyEnd:
    """Run what is left of a study, from where earlier starts have ended, and return how it ends.

    Args:
        record: The record of the study.
        corpus: The texts of the study.
        data: Summary of its data, which is logged.
        store: The tracking store that runs are logged to.
        pool: The workers. The caller closes them.
        command: The command as the user typed it; it is logged.
        threads: CPU threads of each run whose config does not set them.
        timeout: Seconds after which no new trial begins, or None; the confirmation stage still runs.
        texts: Whether texts may be stored.
        display: Shows the progress.
        interrupt: Handles Ctrl-C.
        own: What to log of models of the user's own: artifact of the study's parent run -> its text.

    Raises:
        UsageError: A setting cannot run on this machine, or the study holds texts but `texts` is false.
        RunError: No trial completes, or a store fails.
        KeyboardInterrupt: The user or the system has interrupted the sweep. Its runs are marked as interrupted.
    """
    spec, life = record.spec, Life(record.lease, interrupt, timeout)
    jobs = Jobs(pool, corpus.fingerprint, [
        kept(model, source) for model in spec.models
        if isinstance(source := spec.own.get(model, {}).get(SOURCE), str)])
    store.while_waiting = life.go_on
    with interrupt.noted():
        try:
            try:
                _try_settings(spec, jobs, life, threads)
                log = RunLog(record, corpus, store, command=command, texts=texts, data=data, own=own)
                if texts and not log.texts:
                    display.note("note: no texts are stored, because the study was started with --no-texts")
            except BaseException:
                with suppress(Exception):  # the first error is shown
                    life.sign_out()
                raise
            conductor = Conductor(log, jobs, life, display, threads)
            conductor.work()
        finally:
            record.lease.leave()  # it is dead now, even if it was cut off before it could say so
            display.end()
        return conductor.end()


def _try_settings(spec: StudySpec, jobs: Jobs, life: Life, threads: int) -> None:
    """Wait until a worker has found that runs can be trained here, before anything is logged."""
    def receive(message: Finished | Failed) -> None:
        if isinstance(message, Failed):
            raise (UsageError if message.kind == "settings" else RunError)(message.reason)

    configs = (with_threads(spec.config(model, {}, spec.seed), threads) for model in spec.models)
    jobs.submit_task(SETTINGS, TrySettings(tuple(configs)), receive)
    while jobs:
        jobs.receive(POLL_SECONDS)
        life.go_on()


class Conductor:
    """What a start does once it is logged: it begins the work that the plan names, until none is left."""

    def __init__(self, log: RunLog, jobs: Jobs, life: Life, display: ProgressDisplay, threads: int) -> None:
        """Take the study over from its start; `threads` as in `conduct`."""
        self.record, self.log, self.jobs, self.life, self.display = log.record, log, jobs, life, display
        self.runs = Runs(log, jobs, display, threads)
        self.state: StudyState
        """The study as it was last read."""
        self._announced: dict[str, ModelPlan] = {}
        """Model -> what was last planned for it, as the user and MLflow know it."""

    def work(self) -> None:
        """Do all work that is left."""
        try:
            self._begin()
            took_over = self.life.seconds
            while self._fill() is not None or self.jobs:
                self.jobs.receive(POLL_SECONDS)
                self.life.go_on()
                if self.life.seconds - took_over >= TAKE_OVER_SECONDS:
                    took_over = self.life.seconds
                    self._take_over()
        except BaseException as error:
            self._stop_early(error)
            raise

    def _begin(self) -> None:
        """Take up what earlier starts have left, and show what is to do."""
        for note in self.log.resume():
            self.display.show_note(note)
        work = self._next()
        self._describe()
        self.display.begin(to_begin(self.state), done=not isinstance(work, Wait))

    def _take_over(self) -> None:
        """Take over the runs of starts that have died meanwhile."""
        self._read()
        self.display.tick(to_begin(self.state))
        self.log.take_over(self.state)

    def _fill(self) -> Work | None:
        """Begin work until no worker is idle or none is left to begin; return what follows, None for nothing.

        Where another process was faster, the study is read again at once: it shows what that one has taken.
        """
        work: Work | None = Wait()
        while self.jobs.pool.idle:
            work = self._next()
            self.display.tick(to_begin(self.state))
            match work:
                case FitBaselines() if not self.runs.fitting:
                    self.runs.fit_baselines(self.state)
                case AskTrial(model):
                    self._ask(self.record.searches[model])
                case TrainPlanned(run):
                    self._take(run)
                case _:
                    break
        return work

    def _next(self) -> Work | None:
        """Read the study, do what follows from its results without a worker, and return what is to do next."""
        while True:
            self._read()
            self.record.note_searching(self.state)
            if not self._announce():
                break
        work = next_work(self.state)
        if isinstance(work, NothingToConfirm):
            raise self._nothing_to_confirm(self.record.searches[work.model])
        return work

    def _read(self) -> None:
        self.state = self.record.state(in_time=self.life.in_time)

    def _announce(self) -> bool:
        """Tell MLflow and the user what is newly planned; return whether anything is."""
        new = {model: plan for model, plan in self.state.plans.items()
               if plan.tuned is not None and plan != self._announced.get(model)}
        runs = self.log.runs() if new else []
        for model, plan in new.items():
            assert plan.tuned is not None
            self._announced[model] = plan
            self._search_ended(self.record.searches[model], plan)
            # Confirmation runs of settings that are not the best ones any more.
            self.display.add_notes(*self.log.supersede(runs, model, plan.tuned))
        return bool(new)

    def _search_ended(self, search: Search, plan: ModelPlan) -> None:
        found, spec = self.state.searches[search.model], self.record.spec
        if found.exhausted and found.counted < spec.trials:
            self.display.add_notes(f"The search of {search.model} has {found.counted} trials instead of {spec.trials}: "
                                   "its space has no other points.")
        if all(model in self._announced for model in spec.models):
            self.record.lease.note_search(self.life.seconds)
        search.load_importance()
        self._describe()
        self.display.search_ended(search.model, found.best, len(self.state.free(plan.runs)))

    def _nothing_to_confirm(self, search: Search) -> RunError:
        reasons = sorted({trial.reason for trial in search.trials() if trial.state == "failed" and trial.reason})
        return RunError(f"{search.model} has no complete trial to confirm: {'; '.join(reasons) or 'all were pruned'}. "
                        "Widen the search space, or raise trials")

    def _ask(self, search: Search) -> None:
        """Begin the next trial of a search, if another process has not taken the last one."""
        if (asked := search.ask(self.state.searches[search.model].trials)) is not None:
            number, settings = asked
            # All backends compute the same function, so a search takes the fastest one.
            config = search.spec.config(search.model, {**settings, "model.backend": "auto"}, search.spec.seed)
            self.runs.begin(Assignment(search, number, config, settings))

    def _take(self, run: PlannedRun) -> None:
        if (number := self.record.work.take(run.key)) is not None:
            self.runs.begin(Assignment(self.record.work, number, run.config, run.settings))

    def _stop_early(self, error: BaseException) -> None:
        """End the active runs and queue them again for the next start, as far as the stores still respond."""
        self.log.store.patience = 0.0
        interrupted = isinstance(error, KeyboardInterrupt)
        reason = "interrupted" if interrupted else str(error)
        self.runs.break_off(reason)
        try:
            self.life.sign_out()
            self._read()  # another start may have completed the study while this one was paused
            if not self.record.lease.has_others() and not (self.state.is_complete and self.log.is_complete):
                (self.log.study.kill if interrupted else self.log.study.fail)(reason)
                self._describe()
        except Exception as failure:
            self.display.note(f"note: MLflow shows the study as running until its next start ({first_line(failure)})")

    def end(self) -> StudyEnd:
        """Complete the study's parent run, unless another process still has work to do for it and will complete it.

        All runs have ended, so there is none to break off if this fails: the next start completes the study.
        """
        self.life.sign_out()
        lease, deadline = self.record.lease, time.monotonic() + 2 * LEASE_SECONDS
        while lease.has_others(elsewhere=True) and time.monotonic() < deadline and not self.life.interrupt.asked:
            # A dead process on another machine cannot complete it, and only its expired lease shows that it is dead.
            time.sleep(POLL_SECONDS)
        self._read()
        self._announce()  # another start may have repeated a failed run meanwhile
        log, state = self.log, self.state
        summary = study_summary(
            state, log.data, self.record.searches, seconds=lease.seconds(), search_seconds=lease.search_seconds(),
            notes=self.display.notes)
        # Another start may have nothing to do any more, or die before it completes the study: twice does no harm.
        if state.is_complete or not lease.has_others():
            log.describe_if_lost()
            concluded = self._conclusion() if state.is_complete else Conclusion()
            self._describe(concluded)
            log.study.metrics({**concluded.metrics, **study_metrics(summary)})  # MLflow shows them in this order
            log.study.text("study.json", summary.to_json())
            log.study.complete()
        return StudyEnd(
            state, summary, log.store, self._logged(), log.experiment, self.life.seconds, self.display.shown_notes)

    def _conclusion(self) -> Conclusion:
        """Return what the study concludes; nothing while MLflow is away."""
        from gru_bench.evidence.collect import collect

        with suppress(Exception):  # a study that has ended is completed all the same; a report shows the error
            if (logged := self._logged()) is not None:
                return conclusion(collect([logged], self.log.store))
        return Conclusion()

    def _logged(self) -> LoggedStudy | None:
        """Return the study as MLflow has it; None while MLflow does not have it."""
        return self.log.store.logged_study(self.log.study.run_id)

    def _describe(self, concluded: Conclusion = Conclusion()) -> None:
        """Write the description of the study."""
        self.log.study.describe(study_description(
            self.record.spec, command=self.log.command, best=self.state.best_values, concluded=concluded))
