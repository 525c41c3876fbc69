"""A start of a study, from its data to its end: its stores, searches and workers, put together.

The command and the Python API run it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gru_bench import cli
from gru_bench.sweep.console.interrupt import Interrupt
from gru_bench.sweep.console.progress import ALL_DONE
from gru_bench.sweep.sharing import JOURNAL

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from gru_bench.checks import Outcome, Subject
    from gru_bench.data.corpus import Corpus
    from gru_bench.results.runs import DataSummary
    from gru_bench.sweep.end import StudyEnd
    from gru_bench.sweep.spec import StudySpec
    from gru_bench.sweep.workers.messages import Workers


@contextmanager
def completed(
    spec: StudySpec, console: Any, *, command: str, storage: str | None = None, tracking_uri: str | None = None,
    workers: int | None = None, cluster: str | None = None, gpus_per_trial: float | None = None,
    timeout: float | None = None, texts: bool = True, interrupt: Interrupt,
) -> Iterator[StudyEnd]:
    """Run what is left of a study, and yield its end while its stores are open. Where nothing is left, no worker starts
    and nothing is written.

    Args:
        spec: The study.
        console: Where to print.
        command: What started it, for the record.
        storage: Optuna storage, or None for the usual file in the working directory.
        tracking_uri: MLflow store, or None for the usual file in the working directory.
        workers: Number of worker processes, or None for as many as suit the machine.
        cluster: Address of a Ray cluster, or None for this machine.
        gpus_per_trial: Graphics cards of the cluster for each trial.
        timeout: Seconds after which no new trial begins, or None.
        texts: Whether texts may be stored.
        interrupt: What handles Ctrl-C, already entered.

    Raises:
        UsageError: The study began with other settings.
        GruBenchError: The data, a store or a run fails.
        KeyboardInterrupt: The user has interrupted the sweep. The next start continues it.
    """
    def say(*lines: str) -> None:
        for line in lines:
            console.print(line, markup=False)

    def read() -> Corpus:
        from gru_bench.data.corpus import load_corpus

        with cli.reading_texts(console) as progress:
            return load_corpus(spec.base.data, on_progress=progress)

    say(f"study {spec.name}: {spec.purpose}" if spec.purpose else f"study {spec.name}")
    corpus: Corpus | None = None
    opened: BaseStorage | None = None
    is_file = storage is None or storage.endswith(".journal")
    if not is_file or Path(storage or JOURNAL).is_file():
        from gru_bench.sweep.console.opening import data_lines, record_lines
        from gru_bench.sweep.end import end_of
        from gru_bench.sweep.sharing.storage import open_storage, wrapped_errors
        from gru_bench.sweep.study import attributes_of, stored_study
        from gru_bench.tracking import Reader

        opened = open_storage(storage)
        with wrapped_errors(storage):
            if attributes_of(spec.name, opened):
                corpus = read()
                end = end_of(stored_study(spec, corpus, opened), corpus, Reader(tracking_uri))
                if end is not None:
                    say(*data_lines(corpus, texts=texts), *record_lines(end.state), ALL_DONE)
                    yield end
                    return
    threads, start_workers = choose_workers(
        workers, cluster, gpus_per_trial, spec.base.training.device, searching=spec.trials > 0)
    # The workers start first: they import what they need while this process reads the texts and imports optuna.
    with start_workers() as pool:
        from gru_bench.data.vectors import load_vectors
        from gru_bench.sweep.console.opening import data_lines, record_lines, settings_lines, warning_lines
        from gru_bench.sweep.console.progress import ProgressDisplay
        from gru_bench.sweep.own import checked_models
        from gru_bench.sweep.runner import Sweep
        from gru_bench.sweep.sharing.storage import open_storage, wrapped_errors
        from gru_bench.sweep.study import StudyRecord, stored_study
        from gru_bench.tracking import Store

        corpus = corpus or read()
        say(*data_lines(corpus, texts=texts))
        spec = spec.fitted(len(corpus.train))
        need_windows(spec, corpus)  # nothing is stored of a study that cannot run
        with console.status("opening the stores"):
            opened = opened or open_storage(storage)
            with wrapped_errors(storage):
                stored = stored_study(spec, corpus, opened)
                spec = stored.spec
        say(*settings_lines(spec, len(corpus.train)))
        own = checked_models(stored, console)
        with console.status("preparing the word vectors"):
            vectors = load_vectors(spec.base.embedding, corpus, on_progress=say)
        with console.status("opening the stores"):
            store = Store(tracking_uri, say=say)
            with wrapped_errors(storage):
                record = StudyRecord(spec, opened, corpus.fingerprint, corpus.name)
        say(*record_lines(record.state()))
        sweep = Sweep(
            record, corpus, vectors, store, pool, command=command, threads=threads,
            timeout=timeout, texts=texts, display=ProgressDisplay(console, spec.metric),
            interrupt=interrupt, own=own)
        for one in start_warnings(record.spec, sweep.data):
            one.show(console)
        say(*warning_lines(record.spec, sweep.data))
        with wrapped_errors(storage):
            end = sweep.run()
        yield end


def start_warnings(spec: StudySpec, data: DataSummary) -> list[Outcome]:
    """Return what the checks of a study's settings and data find."""
    from gru_bench.checks import LoggedData, Subject, outcomes

    return outcomes(Subject(spec, [LoggedData(data)]))


def logged_so_far(end: StudyEnd) -> Subject:
    """Return what a study has logged, for its decision and its checks."""
    from gru_bench.checks import Subject, of_logged

    return Subject() if end.logged is None else of_logged([end.logged], end.store)


def end_warnings(end: StudyEnd, subject: Subject) -> list[Outcome]:
    """Return what the checks of a study that has ended find, without those that warned at its start."""
    from gru_bench.checks import outcomes

    warned = [one.check.code for one in start_warnings(end.state.spec, end.summary.data) if one.warnings]
    return outcomes(subject, ignored=warned)


def need_windows(spec: StudySpec, corpus: Corpus) -> None:
    """Check before a study begins that all its runs have enough texts for a window of the training loss.

    Raises:
        UsageError: When a run has too few.
    """
    from gru_bench.data.batches import check_window

    for model in spec.models:
        check_window(spec.config(model, {}, spec.seed).training, len(corpus.train))


def choose_workers(
    workers: int | None, cluster: str | None, gpus_per_trial: float | None, device: str, *, searching: bool
) -> tuple[int, Callable[[], AbstractContextManager[Workers]]]:
    """Return the threads of each trial, and a function that starts the workers."""
    if cluster is None:
        from gru_bench.sweep.workers.local import Pool, cards, default_workers, fair_threads

        shared = cards(device)
        count = cli.checked_workers(workers) or default_workers(device, shared, searching=searching)
        return fair_threads(count), partial(Pool, count, shared)
    from gru_bench.sweep.workers.ray import Cluster, ClusterPool, shared_out

    connected = Cluster(cluster)
    share = shared_out(connected.nodes(), workers, gpus_per_trial, device)
    return share.threads, partial(ClusterPool, connected, share)
