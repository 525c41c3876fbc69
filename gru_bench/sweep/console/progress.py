"""Progress of a sweep: bars on a terminal, and everywhere a line for each run that has ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column

from gru_bench.config import MetricName, Scalar
from gru_bench.results.runs import EpochRecord, StepReport
from gru_bench.stats.scores import best, compared
from gru_bench.wording import duration, several

if TYPE_CHECKING:
    from gru_bench.sweep.sharing.work import StoredTrial

Kind = tuple[str, str]
"""Model and role (trial or confirm) of runs."""
ALL_DONE = "all runs of the study are done"
SPEED_SECONDS = 1800.0
"""Seconds over whose speed the time left is estimated."""


@dataclass
class _Run:
    """A run that is being trained."""

    bar: TaskID
    what: str
    """Its label and its settings."""
    epochs: int
    began: float
    done: float = 0.0
    """Fraction of the training that is done."""
    score: float | None = None
    """Best validation score so far."""


class ProgressDisplay:
    """Shows the progress of a sweep; the sweep calls a method for each event."""

    def __init__(self, console: Console, metric: MetricName = "accuracy") -> None:
        """Prepare the display.

        Args:
            console: Where to print.
            metric: Score that the study is about.
        """
        self.console, self._metric = console, metric
        self._validation, self._test = compared(metric, "val"), compared(metric, "test")
        self.bars = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(bar_width=12),
            TextColumn("{task.fields[state]}", table_column=Column(no_wrap=True, ratio=1)),
            console=console, refresh_per_second=2, speed_estimate_period=SPEED_SECONDS, transient=True,
            disable=not console.is_terminal, expand=True)
        """A bar for the study, and one for each run that is being trained."""
        self._study = self.bars.add_task("all runs", total=None, state="")
        self._runs: dict[str, _Run] = {}
        self._best: float | None = None
        self._outcomes = Counter[str]()
        self._to_begin = self._to_do = 0
        """Runs that no process has begun, now and at the beginning."""
        self.notes: list[str] = []
        """What the study tells its readers at its end, each note once."""
        self.shown_notes: set[str] = set()
        """Those that the user has seen already."""

    def begin(self, to_begin: Mapping[Kind, int], *, done: bool = False) -> None:
        """Start the display and print how many runs are to do.

        Args:
            to_begin: Kind -> number of runs that no process has begun.
            done: Whether all runs of the study have ended.
        """
        counts = Counter[str]()
        for (_, role), count in to_begin.items():
            counts[role] += count
        most = "up to " if counts["trial"] else ""  # runs of an earlier search may be used again
        parts = [f"{prefix}{several(counts[role], what)}" for prefix, role, what in (
            ("", "trial", "trial"), (most, "confirm", "confirmation run")) if counts[role]]
        nothing = ALL_DONE if done else "other processes train the remaining runs"
        self.note(f"{', '.join(parts)} to do" if parts else nothing)
        self._to_do = counts.total()
        self.bars.update(self._study, total=self._to_do)
        self.bars.start()
        self.tick(to_begin)

    def end(self) -> None:
        """Stop the display and remove the bars."""
        if self.bars.live.is_started:
            self.bars.stop()

    def note(self, text: str) -> None:
        """Print a line."""
        self.console.print(text, markup=False)

    def add_notes(self, *notes: str) -> None:
        """Add notes that are shown at the end."""
        self.notes += (note for note in notes if note not in self.notes)

    def show_note(self, note: str) -> None:
        """Add a note, and show it now."""
        if note not in self.notes:
            self.notes.append(note)
            self.shown_notes.add(note)
            self.note(f"note: {note}")

    def tick(self, to_begin: Mapping[Kind, int]) -> None:
        """Update the number of runs of each kind that no process has begun."""
        self._to_begin = sum(to_begin.values())
        self._update_study()

    def _update_study(self) -> None:
        """Update the bar of the study. Its total stays, whoever begins its runs: rich would begin its estimate anew."""
        left = self._to_begin + sum(1 - run.done for run in self._runs.values())
        self.bars.update(self._study, completed=self._to_do - left)
        self.bars.update(self._study, state=self.status())

    def job_started(self, key: str, label: str, settings: Mapping[str, Scalar], epochs: int) -> None:
        """Add a run that begins.

        Args:
            key: Key of the job.
            label: Name under which the run is shown.
            settings: Settings to show.
            epochs: Number of its epochs.
        """
        bar = self.bars.add_task(label, total=1.0, state="")
        what = "  ".join(filter(None, (label, described(settings))))
        self._runs[key] = _Run(bar, what, epochs, self.bars.get_time())
        self._to_begin = max(0, self._to_begin - 1)  # until it is read again

    def job_step(self, key: str, step: StepReport) -> None:
        """Update the step of a run."""
        self._update(self._runs[key], step.texts / step.texts_total, step.epoch, step.loss)

    def job_resumed(self, key: str, epoch: int | None) -> None:
        """Show that a run resumes at `epoch` from a checkpoint; None means that all its epochs were trained."""
        if epoch != 1:
            self.note(f"  {self._runs[key].what}: " + (
                "all epochs were already trained by an earlier start" if epoch is None else
                f"resumed at epoch {epoch} from the checkpoint of an earlier start"))

    def job_epoch(self, key: str, record: EpochRecord) -> None:
        """Update the latest epoch of a run and its best score."""
        run, score = self._runs[key], record.score(self._metric)
        if score is not None:
            run.score = score if run.score is None else best(self._metric, (score, run.score))
        self._update(run, record.epoch / run.epochs, record.epoch, record.train_loss)

    def _update(self, run: _Run, done: float, epoch: int, loss: float) -> None:
        run.done = max(run.done, done)
        score = f"  {self._validation.label} {self._validation.written(run.score)}" if run.score is not None else ""
        self.bars.update(run.bar, completed=run.done, state=f"epoch {epoch}/{run.epochs}{score}  loss {loss:.3f}")
        self._update_study()

    def job_ended(self, key: str, outcome: str, value: float | None, reason: str = "") -> None:
        """Remove a run that has ended, and print its result and the time left.

        Args:
            key: Key of the job.
            outcome: How it ended, in one or two words such as `complete`.
            value: Score that it reached, or None.
            reason: Printed where there is no value.
        """
        run = self._runs.pop(key)
        self.bars.remove_task(run.bar)
        self._outcomes[outcome] += 1
        if value is not None and outcome == "complete":  # a search chooses among these alone
            self._best = value if self._best is None else best(self._metric, (value, self._best))
        self._update_study()
        shown = self._test if outcome == "tested" else self._validation
        score = f"{shown.label} {shown.written(value)}" if value is not None else reason
        times = "; ".join(filter(None, (duration(self.bars.get_time() - run.began), self._left())))
        self.note("  ".join(filter(None, (run.what, outcome, score, f"({times})"))))

    def search_ended(self, model: str, best: StoredTrial | None, confirm: int) -> None:
        """Print the best settings of a search and how many confirmation runs follow."""
        if best is not None and best.value is not None:
            more = f"; now {several(confirm, 'confirmation run')}" if confirm else ""
            score = f"{self._validation.label} {self._validation.written(best.value)}"
            self.note(f"{model}: best of the search {described(best.settings)}  {score}{more}")

    def status(self) -> str:
        """Return the status of the sweep in one line."""
        return "  ".join(filter(None, (
            self._left(),
            f"best {self._validation.label} {self._validation.written(self._best)}" if self._best is not None else "",
            *(f"{count} {outcome}" for outcome, count in self._outcomes.items()),
            f"{self._to_begin} to begin")))

    def _left(self) -> str:
        """Return the time that all runs still take, as text; empty before that is known."""
        seconds = self.bars.tasks[0].time_remaining
        return f"about {duration(seconds)} left" if seconds else ""


def described(settings: Mapping[str, Scalar]) -> str:
    """Return settings as one line of text: `lr 0.00123  hidden_size 96`."""
    return "  ".join(f"{key.rpartition('.')[2]} {_value(value)}" for key, value in settings.items())


def _value(value: Scalar) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
