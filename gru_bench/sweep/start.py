"""A start of a study, from its data to its end: its stores, searches and workers, put together.

The command and the Python API run it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gru_bench import cli
from gru_bench.sweep.console.interrupt import Interrupt
from gru_bench.sweep.console.progress import ALL_DONE
from gru_bench.sweep.sharing import JOURNAL

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from gru_bench.checks import Outcome
    from gru_bench.data.corpus import Corpus
    from gru_bench.results.runs import DataSummary
    from gru_bench.sweep.end import StudyEnd
    from gru_bench.sweep.plan import StudyState
    from gru_bench.sweep.spec import StudySpec
    from gru_bench.sweep.workers.messages import Workers


@dataclass(frozen=True, kw_only=True)
class Start:
    """What a start is given beside the study: it changes no result."""

    command: str
    """What the user typed, for the record."""
    storage: str | None = None
    """Optuna storage, or None for the usual file in the working directory."""
    tracking_uri: str | None = None
    """MLflow store, or None for the usual file in the working directory."""
    workers: int | None = None
    """Number of worker processes, or None for as many as suit the machine."""
    cluster: str | None = None
    """Address of a Ray cluster, or None for this machine."""
    gpus_per_trial: float | None = None
    """Graphics cards of the cluster for each trial."""
    timeout: float | None = None
    """Seconds after which no new trial begins, or None."""
    texts: bool = True
    """Whether texts may be stored."""


@contextmanager
def completed(spec: StudySpec, start: Start, console: Any, interrupt: Interrupt) -> Iterator[StudyEnd]:
    """Run what is left of a study, and yield its end while its stores are open. Where nothing is left, no worker starts
    and nothing is written.

    Args:
        spec: The study.
        start: How this start works on it.
        console: Where to print.
        interrupt: What handles Ctrl-C, already entered.

    Raises:
        UsageError: The study began with other settings.
        GruBenchError: The data, a store or a run fails.
        KeyboardInterrupt: The user has interrupted the sweep. The next start continues it.
    """
    console.print(f"study {spec.name}: {spec.purpose}" if spec.purpose else f"study {spec.name}", markup=False)
    opening = _Opening(spec, start, console)
    if (done := opening.done()) is not None:
        yield done
        return
    threads, start_workers = choose_workers(start, spec.base.training.device, searching=spec.trials > 0)
    # The workers start first: they import what they need while this process reads the texts and imports optuna.
    with start_workers() as pool:
        yield opening.swept(pool, threads, interrupt)


class _Opening:
    """The steps of a start. What they read is read once, when it is first needed."""

    def __init__(self, spec: StudySpec, start: Start, console: Any) -> None:
        self.spec, self.start, self.console = spec, start, console

    @cached_property
    def corpus(self) -> Corpus:
        """The texts of the study."""
        from gru_bench.data.corpus import load_corpus

        with cli.reading_texts(self.console) as progress:
            return load_corpus(self.spec.base.data, on_progress=progress)

    @cached_property
    def storage(self) -> BaseStorage:
        """The Optuna storage."""
        from gru_bench.sweep.sharing.storage import open_storage

        return open_storage(self.start.storage)

    @cached_property
    def stored(self) -> StudyState:
        """The study as its last start has left it, which this one may continue."""
        from gru_bench.sweep.study import stored_study

        return stored_study(self.spec, self.corpus, self.storage)

    def done(self) -> StudyEnd | None:
        """Return the end of a study that is done, and show it; None where something is left to do."""
        name = self.start.storage or JOURNAL
        if name.endswith(".journal") and not Path(name).is_file():
            return None
        from gru_bench.sweep.console.opening import data_lines, record_lines
        from gru_bench.sweep.end import end_of
        from gru_bench.sweep.sharing.storage import wrapped_errors
        from gru_bench.sweep.study import attributes_of
        from gru_bench.tracking import Reader

        with wrapped_errors(self.start.storage):
            if not attributes_of(self.spec.name, self.storage):
                return None
            end = end_of(self.stored, self.corpus, Reader(self.start.tracking_uri))
        if end is not None:
            self._say(*data_lines(self.corpus, texts=self.start.texts), *record_lines(end.state), ALL_DONE)
        return end

    def swept(self, pool: Workers, threads: int, interrupt: Interrupt) -> StudyEnd:
        """Run what is left of the study, and return its end. Nothing is stored of a study that cannot run."""
        from gru_bench.data.vectors import load_vectors
        from gru_bench.sweep.console.opening import data_lines, record_lines, settings_lines, warning_lines
        from gru_bench.sweep.console.progress import ProgressDisplay
        from gru_bench.sweep.own import checked_models
        from gru_bench.sweep.runner import conduct
        from gru_bench.sweep.sharing.storage import wrapped_errors
        from gru_bench.sweep.study import StudyRecord
        from gru_bench.sweep.summary import data_summary
        from gru_bench.tracking import Store

        start, console, corpus, say = self.start, self.console, self.corpus, self._say
        say(*data_lines(corpus, texts=start.texts))
        need_windows(self.spec.fitted(len(corpus.train)), corpus)
        with console.status("opening the stores"), wrapped_errors(start.storage):
            spec = self.stored.spec
        say(*settings_lines(spec, len(corpus.train)))
        own = checked_models(self.stored, console)
        with console.status("preparing the word vectors"):
            vectors = load_vectors(spec.base.embedding, corpus, on_progress=say)
        with console.status("opening the stores"):
            store = Store(start.tracking_uri, say=say)
            with wrapped_errors(start.storage):
                record = StudyRecord(spec, self.storage, corpus.fingerprint, corpus.name)
        say(*record_lines(record.state()))
        data = data_summary(spec, corpus, vectors)
        for outcome in start_warnings(spec, data):
            outcome.show(console)
        say(*warning_lines(spec, data))
        with wrapped_errors(start.storage):
            return conduct(
                record, corpus, data, store, pool, command=start.command, threads=threads, timeout=start.timeout,
                texts=start.texts, display=ProgressDisplay(console, spec.metric), interrupt=interrupt, own=own)

    def _say(self, *lines: str) -> None:
        for line in lines:
            self.console.print(line, markup=False)


def start_warnings(spec: StudySpec, data: DataSummary) -> list[Outcome]:
    """Return what the checks of a study's settings and data find."""
    from gru_bench.checks import LoggedData, Subject, outcomes

    return outcomes(Subject(spec, [LoggedData(data)]))


def need_windows(spec: StudySpec, corpus: Corpus) -> None:
    """Check before a study begins that all its runs have enough texts for a window of the training loss.

    Raises:
        UsageError: When a run has too few.
    """
    from gru_bench.data.batches import check_window

    for model in spec.models:
        check_window(spec.config(model, {}, spec.seed).training, len(corpus.train))


def choose_workers(
    start: Start, device: str, *, searching: bool
) -> tuple[int, Callable[[], AbstractContextManager[Workers]]]:
    """Return the threads of each trial, and a function that starts the workers."""
    if start.cluster is None:
        from gru_bench.sweep.workers.local import Pool, cards, default_workers, fair_threads

        shared = cards(device)
        count = cli.checked_workers(start.workers) or default_workers(device, shared, searching=searching)
        return fair_threads(count), partial(Pool, count, shared)
    from gru_bench.sweep.workers.ray import Cluster, ClusterPool, shared_out

    connected = Cluster(start.cluster)
    share = shared_out(connected.nodes(), start.workers, start.gpus_per_trial, device)
    return share.threads, partial(ClusterPool, connected, share)
