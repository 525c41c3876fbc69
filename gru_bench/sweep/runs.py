"""The runs of a start: each begins in MLflow and at a worker, is logged, and ends in MLflow and in Optuna."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import replace

from gru_bench.config import RunConfig
from gru_bench.errors import RunError, UsageError
from gru_bench.results.baselines import baseline_label
from gru_bench.results.pruners import CHECKS
from gru_bench.results.runs import Check, EpochRecord, StepReport
from gru_bench.stats.scores import compared
from gru_bench.sweep.active_run import ActiveRun, Assignment
from gru_bench.sweep.console.progress import ProgressDisplay
from gru_bench.sweep.plan import StudyState
from gru_bench.sweep.run_log import RunLog
from gru_bench.sweep.sharing.work import baseline_key
from gru_bench.sweep.workers.jobs import Jobs
from gru_bench.sweep.workers.messages import End, Failed, Finished, Job, Message, Note, Restarted, Resumed
from gru_bench.sweep.workers.tasks import MeasureBaselines, Train

BASELINES = "baselines"
"""Key of the job that fits the baselines."""
MOST_FAILURES = 3
"""Failed trials in a row after which the search ends with an error."""


class Runs:
    """The runs that this process trains now, and the baselines that it fits."""

    def __init__(self, log: RunLog, jobs: Jobs, display: ProgressDisplay, threads: int) -> None:
        """Begin with none; `threads`: CPU threads of each run whose config does not set them."""
        self.log, self.spec, self.jobs, self.display, self._threads = log, log.spec, jobs, display, threads
        self.active: dict[str, ActiveRun] = {}
        """Key of a run that is trained -> the run."""
        self.fitting: dict[str, int] = {}
        """Baseline that is fitted -> number of its trial."""
        self._failed_in_row: Counter[str] = Counter()
        """Model -> how many of its trials have failed since one ended well."""

    def begin(self, run: Assignment) -> None:
        """Begin a run."""
        run = replace(run, config=with_threads(run.config, self._threads))
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
        self.jobs.submit(run.key, task, self._receive)

    def _receive(self, job: Job, message: Message) -> None:
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
                self.display.show_note(text)
            case Check():
                self.jobs.pool.answer(job, go_on=active.check(message))
            case EpochRecord():
                self.jobs.pool.answer(job, go_on=active.report(message))
                active.writer.epoch(message, self.spec.metric)
                self.display.job_epoch(job.key, message)
            case _:
                self._end(job.key, message)

    def _end(self, key: str, message: End) -> None:
        active = self.active[key]
        outcome, run = active.end(message), active.run
        del self.active[key]
        self.display.job_ended(key, outcome.state, outcome.value, outcome.reason)
        if outcome.state not in ("failed", "left"):
            self._failed_in_row[run.model] = 0
        if not isinstance(message, Failed):
            return
        if message.kind in ("settings", "machine"):
            raise (UsageError if message.kind == "settings" else RunError)(message.reason)
        if outcome.again:  # such as where the worker has died
            return
        if run.role != "trial":
            self.display.add_notes(f"The {run.role} run {run.label!r} failed: {message.reason}")
            return
        self._failed_in_row[run.model] += 1
        if self._failed_in_row[run.model] >= MOST_FAILURES:
            raise RunError(f"the last {MOST_FAILURES} trials of {run.model} failed in a row, the last because "
                           f"{message.reason}")

    def fit_baselines(self, state: StudyState) -> None:
        """Fit the baselines that no process has begun to fit, and log them."""
        work = self.log.record.work
        with work.lock:  # all of them, or none
            for name in state.free_baselines:
                if (number := work.take(baseline_key(name))) is not None:
                    self.fitting[name] = number
        if self.fitting:
            task = MeasureBaselines(self.spec.base.data, self.spec.metric, (*self.fitting,), weights=self.log.texts)
            self.jobs.submit_task(BASELINES, task, self._end_baselines)

    def _end_baselines(self, message: Finished | Failed) -> None:
        match message:
            case Finished(outcome):
                assert isinstance(outcome, tuple)
                for result in outcome:
                    self.log.baseline(self.fitting[result.model], result)
                metric = compared(self.spec.metric, "test")
                self.display.note(f"baselines, {metric.label}: " + ", ".join(
                    f"{baseline_label(result.model, result.settings)} {metric.written(result.metrics[metric.key])}"
                    for result in outcome if metric.key in result.metrics))
            case Failed(_, reason):
                for number in self.fitting.values():
                    self.log.record.work.fail(number, reason)
                self.display.show_note(f"The baselines could not be measured: {reason}")
        self.fitting.clear()

    def break_off(self, reason: str) -> None:
        """End all runs and queue them again for the next start, as far as the stores still respond."""
        for active in self.active.values():
            with suppress(Exception):  # the next start finds out what is not noted here
                active.break_off(reason)
        for number in self.fitting.values():
            with suppress(Exception):
                self.log.record.work.give_up(number, reason, fault=False)


def with_threads(config: RunConfig, threads: int) -> RunConfig:
    """Return a config with its number of threads set: the exact result depends on it."""
    threads = config.training.threads or threads
    return config.model_copy(update={"training": config.training.model_copy(update={"threads": threads})})
