"""What a sweep shows while it runs: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from gru_bench.config import Scalar
from gru_bench.results import EpochRecord, StepReport


class Display:
    """Told of each event of a sweep."""

    def __init__(self, console: Console) -> None:
        """Print to `console`."""
        self.console = console
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=18), TextColumn("{task.fields[state]}"), _Left(),
            console=console, transient=True, disable=not console.is_terminal)
        self._tasks: dict[str, TaskID] = {}
        self._best: float | None = None
        self._runs_left = 0
        self._ended: list[float] = []
        self._began: dict[str, float] = {}
        self._total: TaskID | None = None

    def begin(self, trials: int, confirms: int, contrasts: int) -> None:
        """Show that so many runs are to be done."""
        self._runs_left = trials + confirms + contrasts
        self._total = self._progress.add_task("sweep", total=max(1, self._runs_left), state="")
        self._progress.start()
        if not self.console.is_terminal:
            more = f", and {contrasts} to contrast" if contrasts else ""
            self.console.print(f"{trials} trials and up to {confirms} confirm runs to do{more}")

    def end(self) -> None:
        """Take the bars away."""
        self._progress.stop()

    def note(self, text: str) -> None:
        """Print a line."""
        self.console.print(text, markup=False)

    def tick(self) -> None:
        """Bring the estimate of the time left up to date."""
        if self._total is None or not self._ended:
            return
        side_by_side = max(1, len(self._tasks))
        seconds = self._runs_left * sum(self._ended) / len(self._ended) / side_by_side
        best = f"best {self._best:.4f}  " if self._best is not None else ""
        self._progress.update(self._total, state=f"{best}about {duration(seconds)} left")

    def job_started(self, label: str, settings: Mapping[str, Scalar]) -> None:
        """Show a run that begins."""
        what = f"{label}  {described(settings)}" if settings else label
        self._tasks[label] = self._progress.add_task(what, total=1.0, state="")
        self._began[label] = time.monotonic()

    def job_step(self, label: str, step: StepReport) -> None:
        """Show where a run stands."""
        rate = step.reviews / step.seconds if step.seconds else 0.0
        self._progress.update(
            self._tasks[label], completed=step.reviews, total=step.reviews_total,
            state=f"epoch {step.epoch}/{step.epochs}  loss {step.loss:.3f}  {rate:,.0f} reviews/s")

    def job_epoch(self, label: str, record: EpochRecord) -> None:
        """Show the validation of an epoch."""
        if record.validation_accuracy is not None and not self.console.is_terminal:
            self.note(f"  {label}: epoch {record.epoch}  train loss {record.train_loss:.4f}  validation loss "
                      f"{record.validation_loss:.4f}  accuracy {record.validation_accuracy:.4f}  "
                      f"({record.seconds:.1f} s)")

    def job_ended(self, label: str, outcome: str, value: float | None, reason: str = "") -> None:
        """Print how a run ended."""
        task = self._tasks.pop(label)
        description = self._progress.tasks[self._progress.task_ids.index(task)].description
        self._progress.remove_task(task)
        seconds = time.monotonic() - self._began.pop(label)
        self._ended.append(seconds)
        self._runs_left = max(0, self._runs_left - 1)
        if self._total is not None:
            self._progress.advance(self._total)
        if value is not None and outcome in ("complete", "pruned"):
            self._best = max(value, self._best or 0.0)
        split = "test" if outcome == "tested" else "validation"
        score = f"{split} accuracy {value:.4f}" if value is not None else reason
        self.note(f"{description}  {outcome}  {score}  ({duration(seconds)})")

    def search_ended(self, model: str, best: tuple[Mapping[str, Scalar], float] | None) -> None:
        """Print what a search found."""
        if best is not None:
            self.note(f"{model}: best of the search {described(best[0])}  validation accuracy {best[1]:.4f}; "
                      "now its confirm seeds")


class _Left(ProgressColumn):
    """Time left of one run."""

    def render(self, task: Task) -> Text:
        left = task.time_remaining
        return Text(f"{duration(left)} left" if left is not None and task.fields["state"][:4] == "epoc" else "")


def described(settings: Mapping[str, Scalar]) -> str:
    """Return settings in one line: `lr 0.00123  hidden_size 96`."""
    return "  ".join(f"{key.rpartition('.')[2]} {_value(value)}" for key, value in settings.items())


def duration(seconds: float) -> str:
    """Return a time for people: `8 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _value(value: Scalar) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
