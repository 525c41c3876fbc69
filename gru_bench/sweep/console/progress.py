"""Progress of a sweep: bars on a terminal, and everywhere a line for each run that has ended."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from statistics import fmean
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column

from gru_bench.config import MetricName, Scalar
from gru_bench.results.logged_metrics import best, compared
from gru_bench.results.runs import EpochRecord, StepReport

if TYPE_CHECKING:
    from gru_bench.sweep.sharing.trials import StoredTrial

Kind = tuple[str, str]
"""Model and role (trial, confirm or ablation) of runs, which take about the same time."""
ALL_DONE = "all runs of the study are done"
STOPPED_SECONDS = 30.0
"""Seconds without a sign of the sweep after which it counts as stopped meanwhile."""


@dataclass
class _Run:
    """A run that is being trained."""

    bar: TaskID
    kind: Kind | None
    """None for other tasks."""
    what: str
    """Its label and its settings."""
    epochs: int
    is_first: bool
    """Whether it is the first of its worker."""
    began: float
    before: float
    """Seconds that earlier seeds of the trial took."""
    done: float = 0.0
    """Fraction of the training that is done."""
    first: tuple[float, float] | None = None
    """When its first step report came, and how much was done. The kernel was compiled before."""
    score: float | None = None
    """Best validation score so far."""

    def seconds(self, now: float) -> float:
        """Return the seconds that it has taken, without compiling: all of it at the speed since its first report."""
        if self.first is None or self.done <= self.first[1]:
            return self.before + now - self.began
        since, done = self.first
        return self.before + (now - since) * self.done / (self.done - done)


class ProgressDisplay:
    """Shows the progress of a sweep; the sweep calls a method for each event."""

    def __init__(
        self, console: Console, workers: int = 1, metric: MetricName = "accuracy", expected: Mapping[str, float] = {}
    ) -> None:
        """Prepare the display.

        Args:
            console: Where to print.
            workers: Number of runs that are trained side by side.
            metric: Score that the study is about.
            expected: Model -> seconds that a run takes, where that is known before the first has ended.
        """
        self.console, self.workers, self._metric, self._expected = console, workers, metric, expected
        self._validation, self._test = compared(metric, "val"), compared(metric, "test")
        self.bars = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(bar_width=12),
            TextColumn("{task.fields[state]}", table_column=Column(no_wrap=True, ratio=1)),
            console=console, refresh_per_second=2, transient=True, disable=not console.is_terminal, expand=True)
        """A bar for the study, and one for each run that is being trained."""
        self._study = self.bars.add_task("all runs", total=None, state="")
        self._runs: dict[str, _Run] = {}
        self._first, self._ended = defaultdict[Kind, list[float]](list), defaultdict[Kind, list[float]](list)
        """Kind -> seconds of each run that has ended: of the first of each worker, which also loads much; of others."""
        self._begun = 0
        self._seeds_done: dict[str, float] = {}
        """Key -> seconds of a trial whose next seed follows."""
        self._best: float | None = None
        self._outcomes = Counter[str]()
        self._to_begin: Mapping[Kind, int] = {}
        self._alive, self._stopped = time.monotonic(), 0.0

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
            ("", "trial", "trial"), (most, "confirm", "confirmation run"), (most, "ablation", "ablation run"))
            if counts[role]]
        nothing = ALL_DONE if done else "other processes train the remaining runs"
        self.note(f"{', '.join(parts)} to do" if parts else nothing)
        self.bars.start()
        self.tick(to_begin)

    def end(self) -> None:
        """Stop the display and remove the bars."""
        if self.bars.live.is_started:
            self.bars.stop()

    def note(self, text: str) -> None:
        """Print a line."""
        self.console.print(text, markup=False)

    def alive(self) -> None:
        """Note that the sweep runs. Time in which it did not, as after Ctrl-Z, counts for none of its runs."""
        now = time.monotonic()
        if now - self._alive > STOPPED_SECONDS:
            self._stopped += now - self._alive
        self._alive = now

    def tick(self, to_begin: Mapping[Kind, int]) -> None:
        """Update the number of runs of each kind that no process has begun."""
        self._to_begin = to_begin
        ended = self._outcomes.total()
        self.bars.update(self._study, completed=ended, state=self.status(),
                         total=ended + len(self._runs) + sum(to_begin.values()))

    def job_started(
        self, key: str, label: str, settings: Mapping[str, Scalar], kind: Kind | None = None, epochs: int | None = None
    ) -> None:
        """Add a run that begins.

        Args:
            key: Key of the job.
            label: Name under which the run is shown.
            settings: Settings to show.
            kind: Its model and role; None for other tasks.
            epochs: Number of its epochs; None for other tasks.
        """
        bar = self.bars.add_task(label, total=1.0 if epochs else None, state="")
        what = "  ".join(filter(None, (label, described(settings))))
        self._runs[key] = _Run(bar, kind, what, epochs or 1, self._begun < self.workers, self._now(),
                               self._seeds_done.pop(key, 0.0))
        self._begun += bool(kind)

    def job_step(self, key: str, step: StepReport) -> None:
        """Update the step of a run."""
        run, done = self._runs[key], step.texts / step.texts_total
        run.first = run.first or (self._now(), done)
        self._update(run, done, step.epoch, step.loss)

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

    def job_ended(self, key: str, outcome: str, value: float | None, reason: str = "") -> None:
        """Remove a run that has ended, and print its result and the time left.

        Args:
            key: Key of the job.
            outcome: How it ended, in one or two words such as `complete`.
            value: Score that it reached, or None.
            reason: Printed where there is no value.
        """
        run, now = self._runs.pop(key), self._now()
        self.bars.remove_task(run.bar)
        if outcome == "seed done":
            self._seeds_done[key] = run.seconds(now)
        elif value is not None and run.kind is not None:
            (self._first if run.is_first else self._ended)[run.kind].append(run.seconds(now))
        self._outcomes[outcome] += 1
        if value is not None and outcome == "complete":  # a search chooses among these alone
            self._best = value if self._best is None else best(self._metric, (value, self._best))
        shown = self._test if outcome == "tested" else self._validation
        score = f"{shown.label} {shown.written(value)}" if value is not None else reason
        times = "; ".join(filter(None, (duration(now - run.began), self._left())))
        self.note("  ".join(filter(None, (run.what, outcome, score, f"({times})"))))
        self.tick(self._to_begin)

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
            f"{sum(self._to_begin.values())} to begin")))

    def _left(self) -> str:
        """Return the time that all runs still take, as text; empty before the first has ended.

        Runs of a kind take about the same time, and pruned ones count: later ones are pruned about as often. The first
        of each worker counts until another has ended. Of a kind of which none has ended, those that are trained count
        from a tenth of their training on: confirmation runs may have a slower backend than trials. Before, a run is
        taken for one of its model, or else of any.
        """
        known = [*chain(*self._ended.values())] or [*chain(*self._first.values())] or [*self._expected.values()]
        if not known:
            return ""

        now = self._now()

        def expected(kind: Kind) -> float:
            model, _ = kind
            trained = [
                run.seconds(now) / run.done for run in self._runs.values() if run.kind == kind and run.done > 0.1]
            others = [chain(*(times for (of, _), times in ended.items() if of == model))
                      for ended in (self._ended, self._first)]
            return fmean(self._ended[kind] or self._first[kind] or trained or [*others[0]] or [*others[1]]
                         or ([self._expected[model]] if model in self._expected else known))

        work = sum(count * expected(kind) for kind, count in self._to_begin.items())
        work += sum(max(0.0, expected(run.kind) - run.seconds(now)) for run in self._runs.values() if run.kind)
        return f"about {duration(work / self.workers)} left" if work else ""

    def _now(self) -> float:
        """Return the time, which stands still while the sweep is stopped."""
        return time.monotonic() - self._stopped


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
