"""The tasks of the workers. A task is plain data: the parent sends it, and a worker calls it.

Heavy imports happen inside the calls, in the worker, so that the parent stays light. Each process keeps its corpus and
vectors loaded; they are memory-mapped, so that workers share them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from gru_bench.config import DataConfig, EmbeddingConfig, RunConfig, with_settings
from gru_bench.errors import MachineError
from gru_bench.results.baselines import BaselineResult
from gru_bench.results.runs import RunResult, Timing
from gru_bench.train.listener import Listener

if TYPE_CHECKING:
    from gru_bench.data.corpus import Corpus, Split
    from gru_bench.data.vectors import Vectors
    from gru_bench.models.trained import TrainedModel
    from gru_bench.results.diagnostics import Diagnostics, RecallCurve


Material = tuple[DataConfig, EmbeddingConfig | None]
"""The data that a task reads: a corpus, and word vectors where the task needs them."""


Task = Callable[[Listener], object]
"""Does a task and returns its result; raises `train.listener.Pruned` where the listener does."""


@dataclass(frozen=True)
class Train:
    """Train one run. The result has a model only if the run is scored on the test split."""

    config: RunConfig
    score_test: bool = False
    checks: int = 0
    """Number of checks in each epoch."""

    def __call__(self, listener: Listener) -> RunResult:
        """Train the run, from its checkpoint if there is one, and return its result."""
        from gru_bench.models.saved import with_model
        from gru_bench.train.loop import train_resumably
        from gru_bench.train.placement import place

        config, placement = self.config, place(self.config)
        vectors = vectors_of(config.embedding, config.data)
        result = train_resumably(config, corpus_of(config.data), vectors, listener, placement=placement,
                                 score_test=self.score_test, checks=self.checks)
        # The weights of a trial are not stored, so they are not sent through the pipe.
        return with_model(result, vectors) if self.score_test else replace(result, weights={})


@dataclass(frozen=True)
class TrySettings:
    """Refuse settings that no run can be trained with on this machine: device, backend, selection, data."""

    configs: tuple[RunConfig, ...]

    def __call__(self, _: Listener) -> None:
        """Try the config of each run, and load its word vectors.

        Raises:
            GruBenchError: A run cannot be trained here, or its vectors cannot be loaded.
        """
        from gru_bench.train.loop import check
        from gru_bench.train.placement import place

        for config in self.configs:
            place(config)
            check(config, corpus_of(config.data))
            vectors_of(config.embedding, config.data)


@dataclass(frozen=True)
class MeasureBaselines:
    """Measure the baselines, which are no GRUs, on the same splits."""

    data: DataConfig
    weights: bool = False
    """Whether the results have the weights."""

    def __call__(self, _: Listener) -> tuple[BaselineResult, ...]:
        """Fit and score the baselines."""
        from gru_bench.stats.baseline import baselines

        return baselines(corpus_of(self.data), weights=self.weights)


@dataclass(frozen=True)
class MeasureTiming:
    """Time the training of a model over some iterations, on the same texts for all models and backends."""

    config: RunConfig
    iterations: int

    def __call__(self, _: Listener) -> Timing:
        """Train two epochs on a sample of texts of all lengths; the first one warms up, the second one is timed."""
        from gru_bench.data.batches import iterations_of_epoch
        from gru_bench.train.loop import train

        training = self.config.training
        corpus = corpus_of(self.config.data)
        spread = evenly_by_length(corpus.train, self.iterations * training.batch_size)
        sample = replace(corpus, train=spread, validation=corpus.validation.select(np.zeros(0, np.int64)))
        # One window for the whole epoch: at the end of each, the host waits for a graphics card.
        iterations = iterations_of_epoch(len(spread), training)
        config = with_settings(self.config, {
            "training.epochs": 2, "training.selection": "lowest_train_window", "training.log_every": iterations})
        result = train(config, sample, vectors_of(self.config.embedding, self.config.data))
        assert training.threads is not None
        return Timing(
            model=config.model.name, backend=result.backend, threads=training.threads,
            iterations=iterations, seconds=result.epochs[-1].seconds,
            protocol_iterations=training.epochs * iterations_of_epoch(len(corpus.train), training),
            device=result.device)


@dataclass(frozen=True)
class Diagnose:
    """Compute the diagnostics of one run per model, all with the same data and vectors."""

    models: Mapping[str, TrainedModel]
    """Name of a model -> what one of its runs has trained."""
    texts: bool = False
    """Whether the words of a text may be stored."""

    @property
    def config(self) -> RunConfig:
        """Return the config of the first run; all have its data and vectors."""
        return next(iter(self.models.values())).config

    def __call__(self, _: Listener) -> Diagnostics:
        """Compute gradients through time, gate activations and the words that decide."""
        from gru_bench.diagnose.compute import study_diagnostics

        data, embedding = self.config.data, self.config.embedding
        return study_diagnostics(self.models, corpus_of(data), vectors_of(embedding, data), texts=self.texts)


@dataclass(frozen=True)
class MeasureRecall:
    """Measure the recall task: train an RNN and a GRU to recall a token after some steps, on several seeds."""

    steps: int
    seeds: int
    sequences: int

    def __call__(self, _: Listener) -> RecallCurve:
        """Return the points of the recall curve at this number of steps."""
        from gru_bench.diagnose.compute import recall_curve

        return recall_curve(steps=(self.steps,), seeds=tuple(range(self.seeds)), sequences=self.sequences)


def materials(task: Task) -> tuple[Material, ...]:
    """Return the data that a task reads with `corpus_of` and `vectors_of`."""
    match task:
        case Train() | MeasureTiming() | Diagnose():
            return ((task.config.data, task.config.embedding),)
        case TrySettings(configs):
            return tuple(dict.fromkeys((config.data, config.embedding) for config in configs))
        case MeasureBaselines(data, _):
            return ((data, None),)
        case MeasureRecall():  # makes its own sequences
            return ()
    raise AssertionError(f"{task} must name the data that it reads")


def evenly_by_length(split: Split, count: int) -> Split:
    """Return at most `count` examples whose lengths are distributed as in the whole split."""
    count = min(count, len(split))
    order_N = np.argsort(np.diff(split.offsets_N1), kind="stable")
    return split.select(order_N[((np.arange(count) + 0.5) * len(split) / count).astype(np.int64)])


_corpora: dict[DataConfig, Corpus] = {}
_vectors: dict[Material, Vectors] = {}


_required: dict[DataConfig, str] = {}


@contextmanager
def requiring(fingerprints: Mapping[DataConfig, str]) -> Iterator[None]:
    """Let `corpus_of` refuse data with another fingerprint inside the context."""
    _required.update(fingerprints)
    try:
        yield
    finally:
        _required.clear()


def corpus_of(data: DataConfig) -> Corpus:
    """Return the corpus; each process loads it once.

    Raises:
        MachineError: A file was changed after the sweep had read it.
    """
    from gru_bench.data.corpus import load_corpus

    required = _required.get(data)
    if data not in _corpora or required not in (None, _corpora[data].fingerprint):
        for material in [material for material in _vectors if material[0] == data]:
            del _vectors[material]
        _corpora[data] = load_corpus(data)
    found = _corpora[data]
    if required not in (None, found.fingerprint):
        files = " or ".join(filter(None, (data.name, data.test_name)))
        raise MachineError(
            f"{files} was changed during the sweep (fingerprint {required}, now {found.fingerprint}). Restore the file "
            "and run this again, or start a study of the new data under another study name")
    return found


def vectors_of(embedding: EmbeddingConfig, data: DataConfig) -> Vectors:
    """Return the word vectors; each process loads them once."""
    from gru_bench.data.vectors import load_vectors

    if (data, embedding) not in _vectors:
        _vectors[data, embedding] = load_vectors(embedding, corpus_of(data))
    return _vectors[data, embedding]


def provide(material: Material, corpus: Corpus, vectors: Vectors | None) -> None:
    """Provide a corpus and vectors to the tasks of this process, which then do not load them."""
    _corpora[material[0]] = corpus
    if vectors is not None:
        _vectors[material] = vectors
