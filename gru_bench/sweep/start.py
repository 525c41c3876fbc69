"""A start of a study, from its data to its end: its stores, searches and workers, put together.

The command and the Python API run it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from gru_bench import cli
from gru_bench.errors import ChangedStudyError, given_as, shown
from gru_bench.sweep.console.interrupt import Interrupt

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from gru_bench.checks import Outcome
    from gru_bench.config import Scalar
    from gru_bench.data.corpus import Corpus
    from gru_bench.results.runs import DataSummary, StudySummary
    from gru_bench.sweep.console.progress import ProgressDisplay
    from gru_bench.sweep.runner import Sweep
    from gru_bench.sweep.search import Search
    from gru_bench.sweep.spec import StudySpec
    from gru_bench.sweep.workers.local import Workers


@contextmanager
def completed(
    spec: StudySpec, console: Any, *, command: str, storage: str | None = None, tracking_uri: str | None = None,
    workers: int | None = None, cluster: str | None = None, gpus_per_trial: float | None = None,
    timeout: float | None = None, texts: bool = True, interrupt: Interrupt | None = None,
) -> Iterator[tuple[Sweep, StudySummary]]:
    """Run what is left of a study, and yield it with its summary while its stores are open.

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
        texts: Whether reviews may be stored.
        interrupt: What handles Ctrl-C, or None for what suits a command.

    Raises:
        ChangedStudyError: The study began with other settings.
        GruBenchError: The data, a store or a run fails.
        KeyboardInterrupt: The user has interrupted the sweep. The next start continues it.
    """
    count, threads, start_workers = choose_workers(
        workers, cluster, gpus_per_trial, device_of(spec), searching=spec.trials > 0)
    # The workers start first: they import what they need while this process reads the reviews and imports optuna.
    with start_workers() as pool:
        from gru_bench.sweep.console.progress import ProgressDisplay
        from gru_bench.sweep.sharing.storage import wrapped_errors

        prepared = prepare(
            spec, console, storage, tracking_uri, pool, threads, ProgressDisplay(console, count, spec.metric), timeout,
            texts, command, interrupt)
        with prepared.store:
            with wrapped_errors(storage):
                summary = prepared.run()
            yield prepared, summary


def prepare(
    spec: StudySpec, console: Any, storage: str | None, tracking_uri: str | None, pool: Workers, threads: int,
    display: ProgressDisplay, timeout: float | None, texts: bool, command: str, interrupt: Interrupt | None = None,
) -> Sweep:
    """Return a start of a study that has read its data and opened its stores."""
    from gru_bench.data.corpus import load_corpus
    from gru_bench.data.vectors import load_vectors
    from gru_bench.sweep.runner import Sweep
    from gru_bench.sweep.search import begun_with
    from gru_bench.sweep.sharing.storage import open_storage, wrapped_errors
    from gru_bench.tracking import Store

    console.print(f"study {spec.name}: {spec.purpose}" if spec.purpose else f"study {spec.name}", markup=False)
    with cli.reading_reviews(console) as progress:
        corpus = load_corpus(spec.base.data, on_progress=progress)
    console.print(f"{corpus.name}: {corpus.sizes}", markup=False)
    for note in corpus.notes:
        console.print(f"note: {note}", markup=False)
    need_windows(spec.fitted(len(corpus.train)), corpus)  # nothing is stored of a study that cannot run
    with console.status("opening the stores"):
        opened = open_storage(storage, say=lambda text: console.print(text, markup=False))
        with wrapped_errors(storage):
            begun = begun_with(spec, opened, corpus.fingerprint)
    spec = spec.fitted(len(corpus.train), begun).with_stored()
    if spec.defaults:
        console.print(defaults_line(spec, begun, len(corpus.train)), markup=False)
    if note := backend_note(spec):
        console.print(f"note: {note}", markup=False)
    with console.status("preparing the word vectors"):
        vectors = load_vectors(spec.base.embedding, corpus, on_progress=lambda text: console.print(text, markup=False))
    with console.status("opening the stores"):
        store = Store(tracking_uri, say=lambda text: console.print(text, markup=False))
        with wrapped_errors(storage):
            searches = _searches(spec, opened, corpus)
    spec = next(iter(searches.values())).spec  # with the models of earlier starts
    if spec.only != spec.models:
        console.print(f"this start works on {' and '.join(spec.active_models)}, of the models {', '.join(spec.models)} "
                      "of the study", markup=False)
    if any(search.counted > spec.trials for search in searches.values()):
        had = " and ".join(f"{search.counted} of {model}" for model, search in searches.items())
        console.print(f"note: the study already has more trials ({had}) than the {spec.trials} asked for: none is "
                      "added", markup=False)
    if any(search.lease.start > 1 for search in searches.values()):
        store.require()  # to read what earlier starts have done
    sweep = Sweep(
        spec, corpus, vectors, store, searches, pool, experiment=corpus.name, command=command,
        threads=threads, timeout=timeout, texts=texts, display=display, interrupt=interrupt)
    for one in start_warnings(spec, sweep.data):
        one.show(console)
    for scored, train in corpus.near_examples if texts else ():
        console.print(f"near-duplicate: {shown(scored, most=100)} in test or validation, {shown(train, most=100)} in "
                      "training", markup=False)
    return sweep


def defaults_line(spec: StudySpec, begun: Mapping[str, Scalar], examples: int) -> str:
    """Return a line of the settings that nobody gave: those that follow the data, then those of the recipe.

    Args:
        spec: The study.
        begun: The settings that it began with, if it is continued.
        examples: Number of training reviews.
    """
    from gru_bench.config import assignment
    from gru_bench.sweep.defaults import BY_SIZE

    followed, others = (
        ", ".join(assignment(key, value) for key, value in spec.defaults.items() if (key in BY_SIZE) == follows)
        for follows in (True, False))
    why = "as it began" if begun else f"for {examples:,} training reviews"
    return "settings by default: " + "; ".join(filter(None, (followed and f"{followed} ({why})", others)))


def start_warnings(spec: StudySpec, data: DataSummary) -> list[Outcome]:
    """Return what the checks of a study's settings and data find."""
    from gru_bench.checks import LoggedData, Subject, outcomes

    return outcomes(Subject([spec], data.train, [LoggedData(data)]))


def end_warnings(sweep: Sweep) -> list[Outcome]:
    """Return what the checks of a study that has ended find, without those that warned at its start."""
    from gru_bench.checks import of_logged, outcomes

    logged = sweep.logged()
    warned = [one.check.code for one in start_warnings(sweep.spec, sweep.data) if one.warnings]
    return outcomes(of_logged(logged, sweep.store), ignored=warned) if logged else []


def backend_note(spec: StudySpec) -> str:
    """Return how to train faster where a GRU is set to the backend torch and may run on a CPU; empty elsewhere."""
    configs = [spec.config(model, {}, 0) for model in spec.active_models if model != "rnn"]
    if not any(config.model.backend == "torch" and config.training.device in ("auto", "cpu") for config in configs):
        return ""
    name = f"{spec.name}-quick"
    return ("on a CPU the backend torch takes several times as long as the backend fused; for the same study on the "
            f"fastest backend, add {given_as('model.backend', 'auto')} "
            f"{given_as('--study-name', name, cli.quoted(name))}")


def need_windows(spec: StudySpec, corpus: Corpus) -> None:
    """Check before a study begins that all its runs have enough reviews for a window of the training loss.

    Raises:
        UsageError: When a run has too few.
    """
    from gru_bench.data.batches import check_window
    from gru_bench.sweep.ablations import ablation_runs
    from gru_bench.sweep.workers.tasks import corpus_of

    configs = [spec.config(model, {}, spec.seed) for model in spec.active_models]
    for config in (*configs, *(run.config for run in ablation_runs(spec, {}, {}))):
        own = corpus if config.data == spec.base.data else corpus_of(config.data)  # ablations may split otherwise
        check_window(config.training, len(own.train))


def _searches(spec: StudySpec, storage: BaseStorage, corpus: Corpus) -> dict[str, Search]:
    """Return the searches of a study, by model."""
    from gru_bench.config import DataConfig
    from gru_bench.sweep.export import study_names
    from gru_bench.sweep.search import open_searches, read_trials

    try:
        return open_searches(spec, storage, corpus.fingerprint, corpus.name)
    except ChangedStudyError as error:
        taken = study_names(storage)
        name = next(name for number in itertools.count(2) if (name := f"{spec.name}-{number}") not in taken)
        data = re.sub(r"[^\w.-]+", "-", corpus.name).strip("-")[:40]
        if spec.base.data.name != DataConfig().name and data not in spec.name:
            called = f"{spec.name}-{data}"  # the name of an earlier study of these data, if any
            known = read_trials(spec.model_copy(update={"name": called}), spec.models[0], storage)
            if called not in taken or (known is not None and known.identity.get("data") == corpus.fingerprint):
                name = called
        error.free_name = name
        raise


def device_of(spec: StudySpec) -> str:
    """Return the device of a study's runs, which is `cpu` where `auto` leaves a card unused for every model."""
    from gru_bench.train.card import slower_than_cpu

    device = spec.base.training.device
    configs = [spec.config(model, {}, spec.seed) for model in spec.active_models]
    fixed = spec.space.keys().isdisjoint(("training.batch_size", "model.reset", "model.backend"))
    return "cpu" if device == "auto" and fixed and all(map(slower_than_cpu, configs)) else device


def choose_workers(
    workers: int | None, cluster: str | None, gpus_per_trial: float | None, device: str, *, searching: bool
) -> tuple[int, int, Callable[[], AbstractContextManager[Workers]]]:
    """Return how many trials run at the same time, the threads of each, and a function that starts the workers."""
    if cluster is None:
        from gru_bench.sweep.workers.local import Pool, cards, default_workers, fair_threads

        shared = cards(device)
        count = cli.checked_workers(workers) or default_workers(device, shared, searching=searching)
        return count, fair_threads(count), partial(Pool, count, shared)
    from gru_bench.sweep.workers.ray import Cluster, ClusterPool, shared_out

    connected = Cluster(cluster)
    share = shared_out(connected.nodes(), workers, gpus_per_trial, device)
    return share.workers, share.threads, partial(ClusterPool, connected, share)
