"""The baselines of a study: one process fits all that are free, and logs each as a run."""

from __future__ import annotations

from contextlib import suppress

from gru_bench.results.baselines import baseline_label
from gru_bench.results.logged_metrics import compared
from gru_bench.sweep.console.notes import Notes
from gru_bench.sweep.console.progress import ProgressDisplay
from gru_bench.sweep.plan import StudyState
from gru_bench.sweep.run_log import RunLog
from gru_bench.sweep.sharing.work import baseline_key
from gru_bench.sweep.workers.jobs import Jobs
from gru_bench.sweep.workers.messages import Failed, Finished
from gru_bench.sweep.workers.tasks import MeasureBaselines

BASELINES = "baselines"
"""Key of the job."""


class Baselines:
    """The baselines that this process fits."""

    def __init__(self, log: RunLog, jobs: Jobs, notes: Notes, display: ProgressDisplay, *, texts: bool) -> None:
        """Begin with none; `texts`: whether texts may be stored."""
        self.log, self.jobs, self.notes, self.display, self.texts = log, jobs, notes, display, texts
        self._fitting: dict[str, int] = {}
        """Baseline -> number of its trial."""

    def begin(self, state: StudyState) -> None:
        """Fit the baselines that no process has begun to fit."""
        record = self.log.record
        with record.lock:  # all of them, or none
            for name in state.free_baselines:
                if (number := record.work.take(baseline_key(name))) is not None:
                    self._fitting[name] = number
        if self._fitting:
            self.jobs.submit_task(
                BASELINES, MeasureBaselines(record.spec.base.data, record.spec.metric, self.texts), self._receive)

    def _receive(self, message: Finished | Failed) -> None:
        match message:
            case Finished(outcome):
                assert isinstance(outcome, tuple)
                for result in outcome:
                    if result.model in self._fitting:
                        self.log.baseline(self._fitting[result.model], result)
                metric = compared(self.log.spec.metric, "test")
                self.display.note(f"baselines, {metric.label}: " + ", ".join(
                    f"{baseline_label(one.model, one.settings)} {metric.written(one.metrics[metric.key])}"
                    for one in outcome if metric.key in one.metrics))
            case Failed(_, reason):
                for number in self._fitting.values():
                    self.log.record.work.fail(number, reason)
                self.notes.show(f"The baselines could not be measured: {reason}")
        self._fitting.clear()

    def break_off(self, reason: str) -> None:
        """Leave them to the next start, as far as the storage still responds."""
        for number in self._fitting.values():
            with suppress(Exception):
                self.log.record.work.give_up(number, reason, fault=False)
