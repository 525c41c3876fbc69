"""The tasks of the workers. A task is plain data: the parent sends it, and a worker calls it.

Heavy imports happen inside the calls, in the worker, so that the parent stays light. Each process keeps its corpus and
vectors loaded; they are memory-mapped, so that workers share them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gru_bench.config import DataConfig, EmbeddingConfig, MetricName, RunConfig
from gru_bench.errors import DataError, MachineError
from gru_bench.results.baselines import BaselineResult
from gru_bench.results.runs import RunResult
from gru_bench.train.listener import Listener

if TYPE_CHECKING:
    from gru_bench.data.corpus import Corpus
    from gru_bench.data.vectors import Vectors

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
    diagnostics: bool = False
    """Whether the result has diagnostics."""
    texts: bool = False
    """Whether the diagnostics may hold words of a text."""

    def __call__(self, listener: Listener) -> RunResult:
        """Train the run, from its checkpoint if there is one, and return its result."""
        from gru_bench.models.saved import with_model
        from gru_bench.train.loop import train_resumably
        from gru_bench.train.placement import place

        config, placement = self.config, place(self.config)
        vectors = vectors_of(config.embedding, config.data)
        result = train_resumably(config, corpus_of(config.data), vectors, listener, placement=placement,
                                 score_test=self.score_test, checks_per_epoch=self.checks)
        if self.diagnostics:
            result = self._diagnosed(result, vectors, listener)
        # The weights of a trial are not stored, so they are not sent through the pipe.
        return with_model(result, vectors) if self.score_test else replace(result, weights={})

    def _diagnosed(self, result: RunResult, vectors: Vectors, listener: Listener) -> RunResult:
        """Return the result with its diagnostics; without them, and with a note, where the texts allow none."""
        from gru_bench.diagnose.compute import run_diagnostics
        from gru_bench.models.trained import TrainedModel

        try:
            found = run_diagnostics(
                TrainedModel.of(result, vectors), corpus_of(self.config.data), vectors, texts=self.texts)
        except DataError as error:
            listener.note(f"There are no diagnostics of {self.config.model.name}: {error}.")
            return result
        return replace(result, diagnostics=found.to_json())


@dataclass(frozen=True)
class TrySettings:
    """Refuse settings that no run can be trained with on this machine: device, backend, selection, data."""

    configs: tuple[RunConfig, ...]

    def __call__(self, _: Listener) -> None:
        """Try the config of each run, and load its word vectors.

        Raises:
            GruBenchError: A run cannot be trained here, or its vectors cannot be loaded.
        """
        from gru_bench.train.loop import check_settings
        from gru_bench.train.placement import place

        for config in self.configs:
            place(config)
            check_settings(config, corpus_of(config.data))
            vectors_of(config.embedding, config.data)


@dataclass(frozen=True)
class MeasureBaselines:
    """Measure the baselines, which are no GRUs, on the same splits."""

    data: DataConfig
    metric: MetricName
    """Score on validation texts that chooses the settings of linear models."""
    names: tuple[str, ...]
    """Which baselines."""
    weights: bool = False
    """Whether the results have the weights."""

    def __call__(self, _: Listener) -> tuple[BaselineResult, ...]:
        """Fit and score the baselines."""
        from gru_bench.stats.baseline import baselines

        return baselines(corpus_of(self.data), self.metric, self.names, weights=self.weights)


def materials(task: Task) -> tuple[Material, ...]:
    """Return the data that a task reads with `corpus_of` and `vectors_of`."""
    match task:
        case Train(config):
            return ((config.data, config.embedding),)
        case TrySettings(configs):
            return tuple(dict.fromkeys((config.data, config.embedding) for config in configs))
        case MeasureBaselines(data):
            return ((data, None),)
    raise AssertionError(f"{task} must name the data that it reads")


_corpora: dict[DataConfig, Corpus] = {}
_vectors: dict[Material, Vectors] = {}
_required = ContextVar("_required", default="")


@contextmanager
def requiring(fingerprint: str) -> Iterator[None]:
    """Let `corpus_of` refuse data with another fingerprint inside the context; none if it is empty."""
    token = _required.set(fingerprint)
    try:
        yield
    finally:
        _required.reset(token)


def corpus_of(data: DataConfig) -> Corpus:
    """Return the corpus; each process loads it once.

    Raises:
        MachineError: A file was changed after the sweep had read it.
    """
    from gru_bench.data.corpus import load_corpus

    required = _required.get()
    if data not in _corpora or required not in ("", _corpora[data].fingerprint):
        for material in [material for material in _vectors if material[0] == data]:
            del _vectors[material]
        _corpora[data] = load_corpus(data)
    found = _corpora[data]
    if required not in ("", found.fingerprint):
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
