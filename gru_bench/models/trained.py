"""The trained model of a run, of the confirmation seeds of a study, or of its baseline, with all that is needed to read
a text. What a study takes is one of these, too: the average of the two kinds has both.

Shapes: `V` rows of the vector table, `E` vector width, `S` seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from gru_bench.config import DataConfig, RunConfig, Scalar
from gru_bench.data.code import keep, kept
from gru_bench.errors import DataError, argument
from gru_bench.results.runs import RunResult
from gru_bench.stats.linear import LinearModel

if TYPE_CHECKING:
    from gru_bench.data.vectors import Vectors

TABLE = "embedding.table"
"""Name of the vector table among the weights of a seed that has its own."""

Weights = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class TrainedLinear:
    """The linear model of a trained model."""

    name: str
    """Name of the baseline, such as `ngrams`."""
    weights: LinearModel
    settings: Mapping[str, Scalar] = field(default_factory=dict)
    """Settings of its fit, as its run has them (`results.baselines`)."""
    temperature: float | None = None
    """Temperature of its probabilities in an average. None: T is 1."""


@dataclass(frozen=True)
class TrainedModel:
    """A network that was trained on one seed or on several, a linear model, or both, whose average it is then."""

    study: str
    name: str
    """Name of the model, such as `bidirectional`, `ngrams` or `average`."""
    config: RunConfig
    """Settings of the first seed. The others differ in the seed alone. Without seeds, only the columns of the data."""
    seeds: tuple[int, ...]
    """Empty for a linear model alone."""
    classes: tuple[str, ...]
    words_V: Sequence[str] = ()
    """The word of each row of the vector table. Row 0 stands for padding and has the empty word."""
    table_VE: NDArray[Any] | None = None
    """Word vectors that all seeds share. None where each seed has its own, which is `TABLE` of its weights."""
    weights_S: tuple[Weights, ...] = ()
    run_ids: tuple[str, ...] = ()
    """The run of each seed, then that of the linear model."""
    temperature: float | None = None
    """Temperature of the probabilities of all seeds together (`stats.calibration`). None: they are not calibrated."""
    code: str | None = None
    """The file of a class of the user's own. None for a preset."""
    text_labels: bool = False
    """Whether the classes are texts in a file whose values have types."""
    linear: TrainedLinear | None = None

    @classmethod
    def of(cls, result: RunResult, vectors: Vectors) -> TrainedModel:
        """Return the model of a run that has read these word vectors."""
        config = result.config
        return cls(study="", name=config.model.name, config=config, seeds=(config.seed,), classes=result.classes,
                   words_V=vectors.words_V, table_VE=None if config.embedding.trainable else vectors.table_VE,
                   weights_S=(result.weights,),
                   code=None if config.model.source is None else kept(config.model.name, config.model.source))

    @classmethod
    def of_seeds(cls, models: Sequence[TrainedModel], *, study: str, run_ids: Sequence[str]) -> TrainedModel:
        """Return the models of single seeds as one.

        Args:
            models: The models, which differ in seed, weights and vectors alone.
            study: Name of their study.
            run_ids: The run of each.

        Raises:
            DataError: where they know different words.
        """
        first = models[0]
        if any(one.words_V != first.words_V for one in models):
            raise DataError(f"all seeds of a model must have the same vocabulary, but those of {first.name} in the "
                            f"study {study!r} differ: run the study again under another name ({argument('name')})")
        weights_S = [one.weights_S[0] for one in models]
        shared = all(one.table_VE is first.table_VE for one in models)
        if not shared:  # they were trained on several machines, each with its own vectors
            weights_S = [{**own, TABLE: one.table(0)} for own, one in zip(weights_S, models, strict=True)]
        return replace(
            first, study=study, seeds=tuple(one.seeds[0] for one in models), weights_S=tuple(weights_S),
            table_VE=first.table_VE if shared else None, run_ids=tuple(run_ids))

    @property
    def data(self) -> DataConfig:
        """Return the settings of the data that it was trained on."""
        return self.config.data

    def table(self, place: int) -> NDArray[Any]:
        """Return the word vectors of the seed at this position, V x E."""
        return self.weights_S[place][TABLE] if self.table_VE is None else self.table_VE

    def allow_code(self) -> None:
        """Let this machine run the code of the model, if it has any, from now on."""
        if self.code is not None:
            keep(self.code)

    def rows(self, tokens: Iterable[str]) -> list[int]:
        """Return the rows of the vector table of those tokens that have a vector. The model reads the first of them, up
        to `data.max_length`."""
        row_of = self._row_of.get
        return [row for row in map(row_of, tokens) if row is not None]

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {word: row for row, word in enumerate(self.words_V) if row}
