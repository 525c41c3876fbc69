"""Progress display of a sweep: a live table of its runs on a terminal, lines of text elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from gru_bench.config import MetricName, Scalar
from gru_bench.results.logged_metrics import best, compared
from gru_bench.results.runs import EpochRecord, StepReport
from gru_bench.sweep.console.eta import seconds_left

if TYPE_CHECKING:
    from gru_bench.sweep.sharing.trials import StoredTrial

STOPPED_SECONDS = 30.0
"""Seconds without a sign of the sweep after which it counts as stopped meanwhile."""
STATUS_SECONDS, MOST_STATUS_SECONDS = 60.0, 900.0
"""Seconds between two status lines where there is no terminal: at first, and at most (the time doubles)."""


@dataclass
class _Row:
    """A run that is being trained: one row of the table."""

    kind: str
    """trial, confirm or ablation; empty for other tasks."""
    label: str
    settings: Mapping[str, Scalar]
    began: float
    before: float
    """Seconds that earlier seeds of the trial took."""
    step: StepReport | None = None
    """Latest step report of the epoch under way, if any: short epochs may send none."""
    first_step: StepReport | None = None
    """The first one."""
    reported: float = 0.0
    """When it came."""
    epoch: EpochRecord | None = None
    """Latest epoch that has ended."""
    first_epoch: EpochRecord | None = None
    """The first one that this start has trained."""
    first_number: int = 1
    """Number of that epoch: earlier ones come from a checkpoint."""
    score: float | None = None
    """Best validation score so far."""

    @property
    def what(self) -> str:
        """Its label and its settings."""
        return "  ".join(filter(None, (self.label, described(self.settings))))

    @property
    def done(self) -> float:
        """Share of the training that is done, from 0 to 1."""
        if self.step is not None:
            return self.step.reviews / self.step.reviews_total
        return self.epoch.epoch / self.first_step.epochs if self.epoch and self.first_step else 0.0

    def report(self, step: StepReport) -> None:
        """Take a step report."""
        self.step = step
        if self.first_step is None:
            self.first_step, self.reported = step, time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds of it so far, without those of compiling the kernel, which the first epoch of a worker contains."""
        now, compiled = time.monotonic(), 0.0
        if self.epoch and self.first_epoch and self.first_epoch is not self.epoch:
            compiled = max(0.0, self.first_epoch.seconds - self.epoch.seconds)
        elif self.first_step is not None:
            compiled = self.reported - self.began
        return self.before + max(0.0, now - self.began - compiled)

    @property
    def speed_and_left(self) -> tuple[str, str]:
        """Texts per second and time left, as text, from the second step report on."""
        step, first = self.step, self.first_step
        if step is None or first is None:
            return "", ""
        reviews, seconds = step.reviews - first.reviews, step.seconds - first.seconds
        if reviews <= 0 or seconds <= 0:  # no second report yet, or the run has begun again
            return "", ""
        since = time.monotonic() - self.reported
        return f"{reviews / seconds:,.0f}", duration(since * (step.reviews_total - step.reviews) / reviews)


class ProgressDisplay:
    """Shows the progress of a sweep; the sweep calls a method for each event."""

    def __init__(self, console: Console, workers: int = 1, metric: MetricName = "accuracy") -> None:
        """Prepare the display.

        Args:
            console: Where to print.
            workers: Number of runs that are trained side by side.
            metric: Score that the study is about.
        """
        self.console, self.workers, self._metric = console, workers, metric
        self._validation, self._test = compared(metric, "val"), compared(metric, "test")
        self._rows: dict[str, _Row] = {}
        self._ended: dict[str, list[float]] = {}
        """Kind -> seconds of each run that has ended."""
        self._seeds_done: dict[str, float] = {}
        """Key -> seconds of a trial whose next seed follows."""
        self._best: float | None = None
        self._outcomes: dict[str, int] = {}
        self._to_begin: Mapping[str, int] = {}
        self._status_shown, self._status_seconds = time.monotonic(), STATUS_SECONDS
        self._alive = time.monotonic()
        self._live = None
        if console.is_terminal:
            self._live = Live(console=console, get_renderable=self.table, refresh_per_second=2, transient=True)

    def begin(self, to_begin: Mapping[str, int], *, done: bool = False) -> None:
        """Start the display and print how many runs are to do.

        Args:
            to_begin: Kind -> number of runs that no process has begun.
            done: Whether all runs of the study have ended.
        """
        self._to_begin = to_begin
        if not any(to_begin.values()):
            self.note("all runs of the study are done" if done else "other processes train the remaining runs")
        if self._live is not None:
            self._live.start()
        elif any(to_begin.values()):
            # "up to": runs of an earlier search may be used again.
            most = "up to " if to_begin.get("trial") else ""
            parts = [f"{prefix}{several(count, what)}" for prefix, kind, what in (
                ("", "trial", "trial"), (most, "confirm", "confirmation run"), (most, "ablation", "ablation run"))
                if (count := to_begin.get(kind, 0))]
            self.note(f"{', '.join(parts)} to do")

    def end(self) -> None:
        """Stop the display and remove the table."""
        if self._live is not None:
            self._live.stop()

    def note(self, text: str) -> None:
        """Print a line."""
        self.console.print(text, markup=False)

    def alive(self) -> None:
        """Note that the sweep runs. Time in which it did not, as after Ctrl-Z, counts for none of its runs."""
        now = time.monotonic()
        if now - self._alive > STOPPED_SECONDS:
            for row in self._rows.values():
                row.began += now - self._alive
                row.reported += now - self._alive
        self._alive = now

    def tick(self, to_begin: Mapping[str, int]) -> None:
        """Update the number of runs of each kind that no process has begun; print a status line when one is due."""
        self._to_begin = to_begin
        if self._live is None and self._rows and time.monotonic() - self._status_shown >= self._status_seconds:
            self._status_seconds = min(2 * self._status_seconds, MOST_STATUS_SECONDS)
            self._status_shown = time.monotonic()
            self.note(f"  {self.status()}")

    def job_started(self, key: str, label: str, settings: Mapping[str, Scalar], kind: str = "") -> None:
        """Add a run that begins.

        Args:
            key: Key of the job.
            label: Name under which the run is shown.
            settings: Settings to show.
            kind: trial, confirm or ablation; empty for other tasks.
        """
        self._rows[key] = row = _Row(
            kind, label, settings, time.monotonic(), self._seeds_done.pop(key, 0.0))
        if self._live is None:
            self.note(f"{row.what}  started")

    def job_step(self, key: str, step: StepReport) -> None:
        """Update the step of a run."""
        self._rows[key].report(step)

    def job_resumed(self, key: str, epoch: int | None) -> None:
        """Show that a run resumes at `epoch` from a checkpoint; None means that all its epochs were trained."""
        self._rows[key].first_number = epoch or sys.maxsize
        if epoch != 1:
            self.note(f"  {self._rows[key].label}: " + (
                "all epochs were trained by an earlier start" if epoch is None else
                f"resumed at epoch {epoch} from the checkpoint of an earlier start"))

    def job_epoch(self, key: str, record: EpochRecord) -> None:
        """Update the latest epoch of a run and its best score."""
        if record.validation_accuracy is None or record.validation_loss is None:
            return
        row = self._rows[key]
        row.epoch = record
        if record.epoch >= row.first_number:
            row.first_epoch = row.first_epoch or record
        if row.step is not None and row.step.epoch < record.epoch:
            row.step = None
        score = record.score(self._metric)
        if score is not None:
            row.score = score if row.score is None else best(self._metric, (score, row.score))

    def job_ended(self, key: str, outcome: str, value: float | None, reason: str = "") -> None:
        """Remove a run that has ended and print its result.

        Args:
            key: Key of the job.
            outcome: How it ended, in one or two words such as `complete`.
            value: Score that it reached, or None.
            reason: Printed where there is no value.
        """
        row = self._rows.pop(key)
        if outcome == "seed done":
            self._seeds_done[key] = row.seconds
        elif value is not None:
            self._ended.setdefault(row.kind, []).append(row.seconds)
        self._outcomes[outcome] = self._outcomes.get(outcome, 0) + 1
        if value is not None and outcome == "complete":  # a search chooses among these alone
            self._best = value if self._best is None else best(self._metric, (value, self._best))
        shown = self._test if outcome == "tested" else self._validation
        score = f"{shown.label} {shown.written(value)}" if value is not None else reason
        self.note(f"{row.what}  {outcome}  {score}  ({duration(time.monotonic() - row.began)})")

    def search_ended(self, model: str, best: StoredTrial | None, confirm: int) -> None:
        """Print the best settings of a search and how many confirmation runs follow."""
        if best is not None and best.value is not None:
            more = f"; now {several(confirm, 'confirmation run')}" if confirm else ""
            score = f"{self._validation.label} {self._validation.written(best.value)}"
            self.note(f"{model}: best of the search {described(best.settings)}  {score}{more}")

    def status(self) -> str:
        """Return the status of the sweep in one line."""
        running = [(row.kind, row.seconds) for row in self._rows.values() if row.kind]
        seconds = seconds_left(self._ended, running, self._to_begin, self.workers)
        parts = [
            *(f"{count} {outcome}" for outcome, count in self._outcomes.items()),
            f"{sum(self._to_begin.values())} to begin",
            f"best {self._validation.label} {self._validation.written(self._best)}" if self._best is not None else "",
            f"about {duration(seconds)} left" if seconds else "",
        ]
        return "  ".join(filter(None, parts))

    def table(self) -> Table:
        """Return a table of the runs that are being trained, with the status as its caption."""
        score = self._validation.label.removeprefix("validation ")
        table = Table("run", "settings", "epoch", "", "loss", score, "texts/s", "left",
                      caption=self.status(), caption_justify="left", box=None, pad_edge=False)
        for row in self._rows.values():
            step = row.step
            epoch = f"{step.epoch}/{step.epochs}" if step else str(row.epoch.epoch) if row.epoch else ""
            loss = step.loss if step else row.epoch.train_loss if row.epoch else None
            table.add_row(
                row.label, described(row.settings), epoch, ProgressBar(total=1.0, completed=row.done, width=12),
                f"{loss:.3f}" if loss is not None else "",
                self._validation.written(row.score) if row.score is not None else "", *row.speed_and_left)
        return table


def described(settings: Mapping[str, Scalar]) -> str:
    """Return settings as one line of text: `lr 0.00123  hidden_size 96`."""
    return "  ".join(f"{key.rpartition('.')[2]} {_value(value)}" for key, value in settings.items())


def several(count: int, what: str) -> str:
    """Return a count with its noun in the singular or plural: `1 trial`, `1,200 trials`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a duration as text: `8 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _value(value: Scalar) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
