"""The classifiers. Each is a table of word vectors, a recurrence, a pooling, and a head that is the same for all.

`PRESETS` in `config.py` says what the name of a model stands for. A model reads a batch as the vectors of its distinct
tokens and an index into them. `backends.py` says what computes its recurrence.

Shapes: `V` rows of the vector table, `U` distinct tokens of a batch, `B` sequences, `T` steps, `E` vector width, `D` =
hidden width times directions, `F` = D times the parts of the pooling, `C` classes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gru_bench.config import POOLING_PARTS, ModelConfig
from gru_bench.models.backends import Backend, recurrence_of, run
from gru_bench.models.own import Own
from gru_bench.models.pooling import pool
from gru_bench.models.stack import Stack


class Embedding(nn.Module):
    """The table of word vectors. Only a table that is trained is among the saved weights of a model."""

    table: Tensor

    def __init__(self, table_VE: Tensor, *, trainable: bool) -> None:
        """Hold a table without a copy of it."""
        super().__init__()
        if trainable:  # without a gradient of the whole table: the optimizer moves the rows of a batch
            self.table = nn.Parameter(table_VE, requires_grad=False)
        else:
            self.register_buffer("table", table_VE, persistent=False)


class Classifier(nn.Module):
    """A classifier: word vectors, recurrence, pooling, dropout, ReLU if set, and a linear layer with log-softmax."""

    def __init__(
        self, config: ModelConfig, table_VE: Tensor, generator: torch.Generator, classes: int = 2, *,
        trainable: bool = False,
    ) -> None:
        """Draw the weights uniformly in +-1/sqrt(hidden_size).

        Args:
            config: Settings of the model.
            table_VE: Word vectors.
            generator: Source of the weights. The global generator of torch is not used.
            classes: Number of classes, C.
            trainable: Whether the word vectors are weights of the model.

        Raises:
            UsageError: for a class of the user's own that cannot be used.
        """
        super().__init__()
        self.config = config
        self.add_module(config.preset.cell, recurrence_of(config, table_VE.shape[1], generator))
        features = config.hidden_size * config.directions * len(POOLING_PARTS[config.pooling])
        self.linear = _linear(features, classes, 1 / math.sqrt(config.hidden_size), generator)
        self.embedding = Embedding(table_VE, trainable=trainable)

    @property
    def recurrence(self) -> Stack | Own:
        """Return the recurrence. The names of its saved weights begin with `gru` or `own`."""
        found = self.get_submodule(self.config.preset.cell)
        assert isinstance(found, Stack | Own)
        return found

    @property
    def table_VE(self) -> Tensor:
        """Return the word vectors."""
        return self.embedding.table

    def forward(
        self,
        rows_UE: Tensor,
        index_BT: Tensor,
        length_B: Tensor,
        *,
        backend: Backend,
        generator: torch.Generator | None = None,
        equal_lengths: bool = False,
    ) -> Tensor:
        """Return log-probabilities, B x C.

        Args:
            rows_UE: Vectors of the distinct tokens of the batch: rows of `table_VE`, or these after dropout.
            index_BT: Row of `rows_UE` for each token. Entries beyond the length of a text have no effect.
            length_B: Number of tokens of each text, 1 to T.
            backend: Implementation of the recurrence that runs.
            generator: Source of the dropout masks. It is needed in training mode where dropout is above 0.
            equal_lengths: Whether all texts are known to have T tokens. A graphics card cannot find out without
                making the host wait.
        """
        share = self.config.dropout if self.training else 0.0

        def drop(values: Tensor) -> Tensor:
            return dropped_out(values, share, generator)

        features_BF = run(
            self.recurrence, backend, rows_UE, index_BT, length_B, between=drop if share else None,
            pooling=self.config.pooling, equal_lengths=equal_lengths)
        return self._head(drop(features_BF))

    def decide(self, output_BTD: Tensor, length_B: Tensor) -> Tensor:
        """Return the log-probabilities, B x C, for the output of the recurrence: pooling and head only, without
        dropout."""
        return self._head(pool(
            output_BTD, length_B, self.config.pooling, bidirectional=self.config.is_bidirectional))

    def _head(self, features_BF: Tensor) -> Tensor:
        if self.config.relu:
            features_BF = torch.relu(features_BF)
        return torch.log_softmax(self.linear(features_BF), dim=1)


def dropped_out(values: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
    """Return the values after dropout: a share of them is 0, and the rest is scaled to keep the mean.

    Args:
        values: Any shape.
        share: Share of the values that is set to 0.
        generator: Source of the mask.
    """
    if share == 0.0:
        return values
    kept = torch.empty_like(values).bernoulli_(1 - share, generator=generator)
    return (values * kept).div_(1 - share)


def _linear(features: int, classes: int, bound: float, generator: torch.Generator) -> nn.Linear:
    """Return a linear layer with weights drawn uniformly in +-bound from `generator`, not from the global one."""
    with torch.device("meta"):  # which draws nothing
        linear = nn.Linear(features, classes)
    linear.weight = nn.Parameter(torch.empty(classes, features).uniform_(-bound, bound, generator=generator))
    linear.bias = nn.Parameter(torch.empty(classes).uniform_(-bound, bound, generator=generator))
    return linear
