"""What a worker may be asked to do: each task is plain data that can be sent, and called where it is done.

Heavy imports happen inside the calls, in the worker, so that the parent stays light. Corpus and vectors of a
process are kept (memory-mapped, so that workers share them).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from gru_bench.config import DataConfig, EmbeddingConfig, RunConfig, with_settings
from gru_bench.data.cache import default_cache
from gru_bench.results.runs import Baseline, EpochRecord, RunResult, StepReport, Timing, WindowLoss

if TYPE_CHECKING:
    from gru_bench.data.corpus import Corpus, Split
    from gru_bench.data.embeddings import Vectors
    from gru_bench.results.diagnostics import Diagnostics, RecallCurve


@dataclass(frozen=True)
class Listener:
    """Whom a task tells how it goes."""

    step: Callable[[StepReport], None]
    window: Callable[[WindowLoss], None]
    epoch: Callable[[EpochRecord], bool]
    """Answers whether to go on."""
    again: Callable[[str], None]
    """Told why the task begins anew."""
    note: Callable[[str], None]
    """Takes what a user should know once, however many runs find it."""
    resumed: Callable[[int | None], None]
    """Told of the epoch that a run goes on with from its checkpoint, or None, before its epochs so far are told."""


Material = tuple[DataConfig, EmbeddingConfig | None]
"""Reviews, and the word vectors for them where any are needed."""


class Task(Protocol):
    """What is done."""

    @property
    def materials(self) -> tuple[Material, ...]:
        """Return what it reads by `corpus_of` and `vectors_of`."""

    def __call__(self, listener: Listener, /) -> object:
        """Return its outcome, or raise `train.loop.Pruned` where it was told to end."""


@dataclass(frozen=True)
class Train:
    """Train one run; its weights come back where it is scored on the test split."""

    config: RunConfig
    score_test: bool = False

    @property
    def materials(self) -> tuple[Material, ...]:
        """Return what it reads."""
        return ((self.config.data, self.config.embedding),)

    def __call__(self, listener: Listener) -> RunResult:
        """Train it, from its checkpoint where there is one."""
        from torch import OutOfMemoryError
        from torch.cuda import empty_cache

        from gru_bench.models.classifier import fallback
        from gru_bench.train.loop import Pruned, checkpoint_name, choose_device, train

        def on_epoch(record: EpochRecord) -> None:
            if not listener.epoch(record):
                raise Pruned

        slower = fallback(self.config.model, choose_device(self.config.training.device))
        if slower is not None:
            listener.note(slower)
        corpus = corpus_of(self.config.data)

        def trained(config: RunConfig) -> RunResult:
            return train(
                config, corpus, vectors_of(config.embedding, config.data), on_epoch, score_test=self.score_test,
                checkpoint=default_cache() / "checkpoints" / checkpoint_name(config, corpus),
                on_step=listener.step, on_window=listener.window, on_resume=listener.resumed)

        result = None
        size, smaller = self.config.training.batch_size, 2 * self.config.training.micro_batches
        try:
            result = trained(self.config)
        except OutOfMemoryError:  # of a graphics card; what it holds is free once this clause is left
            if size < smaller:
                raise
        if result is None:
            listener.again(f"the graphics card's memory ran out at a batch of {size} reviews; done again in "
                           f"{smaller} micro-batches, their gradients added")
            empty_cache()
            result = trained(with_settings(self.config, {"training.micro_batches": smaller}))
        # Nobody keeps the weights of a trial: they are not worth their way through the pipe.
        return result if self.score_test else replace(result, weights={})


@dataclass(frozen=True)
class Check:
    """Find out whether runs can be trained here at all: device, backend, selection, data."""

    configs: tuple[RunConfig, ...]

    @property
    def materials(self) -> tuple[Material, ...]:
        """Return what it reads."""
        return tuple(dict.fromkeys((config.data, config.embedding) for config in self.configs))

    def __call__(self, _: Listener) -> None:
        """Prepare each run, and no more.

        Raises:
            GruBenchError: for the first that cannot be trained.
        """
        from gru_bench.train.loop import check

        for config in self.configs:
            check(config, corpus_of(config.data), vectors_of(config.embedding, config.data))


@dataclass(frozen=True)
class MeasureBaselines:
    """Measure what is no GRU on the same splits."""

    data: DataConfig

    @property
    def materials(self) -> tuple[Material, ...]:
        """Return what it reads."""
        return ((self.data, None),)

    def __call__(self, _: Listener) -> tuple[Baseline, ...]:
        """Fit and score the baselines."""
        from gru_bench.evaluation.baseline import baselines

        return baselines(corpus_of(self.data))


@dataclass(frozen=True)
class TimeModel:
    """Time a model over a few iterations, on reviews of all lengths: the same ones whatever the model and backend."""

    config: RunConfig
    iterations: int

    @property
    def materials(self) -> tuple[Material, ...]:
        """Return what it reads."""
        return ((self.config.data, self.config.embedding),)

    def __call__(self, _: Listener) -> Timing:
        """Train two passes over the timing; the first compiles and warms up, the second is timed."""
        from gru_bench.data.batching import iterations_of_epoch
        from gru_bench.train.loop import train

        training = self.config.training
        corpus = corpus_of(self.config.data)
        spread = evenly_by_length(corpus.train, self.iterations * training.batch_size)
        timing = replace(corpus, train=spread, validation=corpus.validation.taken(np.zeros(0, np.int64)))
        config = with_settings(self.config, {
            "training.epochs": 2, "training.selection": "lowest_train_window", "training.log_every": 1})
        result = train(config, timing, vectors_of(self.config.embedding, self.config.data))
        assert training.threads is not None
        return Timing(
            model=config.model.name, backend=result.backend, threads=training.threads,
            iterations=iterations_of_epoch(len(spread), training), seconds=result.epochs[-1].seconds,
            protocol_iterations=training.epochs * iterations_of_epoch(len(corpus.train), training))


@dataclass(frozen=True)
class Diagnose:
    """Look into one run of each model, all of the same data and vectors."""

    kept: Mapping[str, tuple[str, RunConfig, Mapping[str, NDArray[np.generic]]]]
    """Model -> its run, and the run's config and weights."""
    texts: bool = False
    """Whether the words of a review may be kept."""

    @property
    def materials(self) -> tuple[Material, ...]:
        """Return what it reads."""
        first = self._first
        return ((first.data, first.embedding),)

    @property
    def _first(self) -> RunConfig:
        return next(config for _, config, _ in self.kept.values())

    def __call__(self, _: Listener) -> Diagnostics:
        """Follow gradients, open gates, weigh words."""
        from gru_bench.diagnose.compute import Kept, study_diagnostics

        first = self._first
        return study_diagnostics(
            {model: Kept(*one) for model, one in self.kept.items()}, corpus_of(first.data),
            vectors_of(first.embedding, first.data), texts=self.texts)


@dataclass(frozen=True)
class Remember:
    """Train an RNN and a GRU to remember a token over some steps, on several seeds."""

    steps: int
    seeds: int
    sequences: int

    @property
    def materials(self) -> tuple[Material, ...]:
        """Return what it reads: nothing, for it makes its sequences itself."""
        return ()

    def __call__(self, _: Listener) -> RecallCurve:
        """Return the points of the curve at this number of steps."""
        from concurrent.futures import ThreadPoolExecutor

        from gru_bench.diagnose.compute import recall_curve

        with ThreadPoolExecutor(1) as executor:  # the other workers have other numbers of steps
            return recall_curve(
                executor, steps=(self.steps,), seeds=tuple(range(self.seeds)), sequences=self.sequences)


def evenly_by_length(split: Split, count: int) -> Split:
    """Return at most `count` examples whose lengths are spread as those of the whole split are."""
    count = min(count, len(split))
    order_N = np.argsort(np.diff(split.offsets_N1), kind="stable")
    return split.taken(order_N[((np.arange(count) + 0.5) * len(split) / count).astype(np.int64)])


_corpora: dict[DataConfig, Corpus] = {}
_vectors: dict[Material, Vectors] = {}


def corpus_of(data: DataConfig) -> Corpus:
    """Return the corpus, loaded once in this process."""
    from gru_bench.data.corpus import load_corpus

    if data not in _corpora:
        _corpora[data] = load_corpus(data)
    return _corpora[data]


def vectors_of(embedding: EmbeddingConfig, data: DataConfig) -> Vectors:
    """Return the word vectors, loaded once in this process."""
    from gru_bench.data.embeddings import load_vectors

    if (data, embedding) not in _vectors:
        _vectors[data, embedding] = load_vectors(embedding, corpus_of(data))
    return _vectors[data, embedding]


def provide(material: Material, corpus: Corpus, vectors: Vectors | None) -> None:
    """Let tasks in this process find material that has been loaded elsewhere."""
    _corpora[material[0]] = corpus
    if vectors is not None:
        _vectors[material] = vectors
