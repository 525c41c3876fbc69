"""The trained model of a study: the weights of its confirm seeds, with all that is needed to read a text.

Shapes: `V` rows of the vector table, `E` vector width, `S` seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from gru_bench.config import RunConfig

TABLE = "embedding.table"
"""Name of the vector table among the weights of a run that trains its vectors."""

Weights = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class TrainedModel:
    """A model that was trained on one seed or on several."""

    study: str
    name: str
    """Name of the model, such as `bidirectional`."""
    config: RunConfig
    """Settings of the first seed. The others differ in the seed alone."""
    seeds: tuple[int, ...]
    classes: tuple[str, ...]
    words_V: Sequence[str]
    """The word of each row of the vector table. Row 0 stands for padding and has the empty word."""
    table_VE: NDArray[Any] | None
    """Word vectors that all seeds share. None where each seed has trained its own, which is `TABLE` of its weights."""
    weights_S: tuple[Weights, ...]
    run_ids: tuple[str, ...] = ()
    """The run of each seed."""
    best: int = 0
    """Position of the seed with the best validation score."""

    def table(self, place: int) -> NDArray[Any]:
        """Return the word vectors of the seed at this position, V x E."""
        return self.weights_S[place][TABLE] if self.table_VE is None else self.table_VE

    def single(self, place: int) -> TrainedModel:
        """Return the model of one seed alone, the one at this position."""
        config = self.config.model_copy(update={"seed": self.seeds[place]})
        return replace(self, config=config, seeds=(self.seeds[place],), weights_S=(self.weights_S[place],),
                       run_ids=self.run_ids[place:place + 1], best=0)
