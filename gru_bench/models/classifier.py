"""The classifiers. Each is a cell, one direction or both, a pooling, and a head that is the same for all.

`PRESETS` in `config.py` says what the name of a model stands for. A model reads a batch as the vectors of its distinct
tokens and an index into them. `recurrence.py` says on which backends it runs.

Shapes: `U` distinct tokens of a batch, `B` sequences, `T` steps, `E` vector width, `D` = hidden width times directions,
`F` = D times the parts of the pooling, `C` classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TypeVar

import torch
from torch import Tensor, nn

from gru_bench.config import POOLING_PARTS, ModelConfig, Reset
from gru_bench.errors import UsageError
from gru_bench.kernels import fused as kernels
from gru_bench.models.pooling import pool
from gru_bench.models.recurrence import Backend, Cell, Weights, run_cell

Module = TypeVar("Module", bound=nn.Module)


def cell_of(config: ModelConfig) -> Cell:
    """Return the cell of a model.

    Raises:
        UsageError: where the model does not support a setting, such as `reset` 'before' in nn.GRU.
    """
    preset = config.preset
    if preset.bidirectional and not config.is_bidirectional:
        raise UsageError(f"model.bidirectional must be true or left out for the model {config.name!r}, but got false: "
                         "choose a model that reads in one direction, such as 'torch'")
    cells: Mapping[Reset, Cell] = import_module(f"gru_bench.models.{preset.cell}").CELLS
    if config.reset not in cells:
        raise UsageError(f"model.reset must be left at 'after' for the model {config.name!r}, which has no reset gate, "
                         f"but got {config.reset!r}: leave it out")
    cell = cells[config.reset]
    if preset.from_torch and cell.module is None:
        raise UsageError(f"model.reset must be 'after' for the model {config.name!r}, whose torch.nn.GRU has no "
                         f"other, but got {config.reset!r}: choose the model 'scratch'")
    return cell


def choose_backend(config: ModelConfig, device: torch.device) -> Backend:
    """Return the backend that will run: the one in the settings, or for `auto` the fastest one that supports the model.

    Raises:
        UsageError: where the model does not support a setting, or where the backend in the settings cannot run this
            model on this device. The message says why.
    """
    backends = cell_of(config).backends
    if not isinstance(backends["fused"], str):
        no_fused = f"it runs on a CPU, not on {device.type}" if device.type != "cpu" else kernels.unavailable()
        backends["fused"] = no_fused or backends["fused"]
    if config.backend == "auto":
        return next(backend for backend, compute in backends.items() if not isinstance(compute, str))
    if isinstance(reason := backends[config.backend], str):
        raise UsageError(f"model.backend must be able to run here, but got {config.backend!r}: {reason}; "
                         "try --set model.backend=auto")
    return config.backend


def fallback(config: ModelConfig, device: torch.device) -> str | None:
    """Return the reason, as a sentence, why `auto` takes a slower backend than our kernel on this CPU. None where it
    does not."""
    if config.backend != "auto" or isinstance(cell_of(config).fused, str) or device.type != "cpu":
        return None
    reason = kernels.unavailable()
    if reason is None:
        return None
    return f"training takes several times as long here, on the backend {choose_backend(config, device)!r}: {reason}"


class Classifier(nn.Module):
    """A classifier: recurrence, pooling, dropout, ReLU if set, and a linear layer with log-softmax."""

    def __init__(self, config: ModelConfig, input_size: int, generator: torch.Generator, classes: int = 2) -> None:
        """Draw the weights uniformly in +-1/sqrt(hidden_size).

        Args:
            config: Settings of the model.
            input_size: Length of the word vectors, E.
            generator: Source of the weights. The global generator of torch is not used.
            classes: Number of classes, C.

        Raises:
            UsageError: where the model does not support a setting.
        """
        super().__init__()
        self.config, self.cell = config, cell_of(config)
        bound = 1 / math.sqrt(config.hidden_size)
        both = config.is_bidirectional
        sizes = input_size, config.hidden_size, config.layers
        recurrence: nn.Module
        module = self.cell.module if config.preset.from_torch else None
        if module is None:
            recurrence = Weights(self.cell, *sizes, bidirectional=both, generator=generator)
        else:
            recurrence = _drawn(bound, generator, lambda: module(*sizes, bidirectional=both, batch_first=True))
        self.add_module(config.preset.cell, recurrence)
        features = config.hidden_size * config.directions * len(POOLING_PARTS[config.pooling])
        self.linear = _drawn(bound, generator, lambda: nn.Linear(features, classes))

    @property
    def recurrence(self) -> nn.Module:
        """Return the module that holds the weights of the recurrence. Saved weights begin with the name of its cell."""
        return self.get_submodule(self.config.preset.cell)

    def forward(
        self,
        rows_UE: Tensor,
        index_BT: Tensor,
        length_B: Tensor,
        *,
        backend: Backend,
        generator: torch.Generator | None = None,
        bf16: bool = False,
        equal_lengths: bool = False,
    ) -> Tensor:
        """Return log-probabilities, B x C.

        Args:
            rows_UE: Vectors of the distinct tokens of the batch.
            index_BT: Row of `rows_UE` for each token. Entries beyond the length of a review have no effect.
            length_B: Number of tokens of each review, 1 to T.
            backend: Implementation of the recurrence that runs.
            generator: Source of the dropout masks. It is needed in training mode where dropout is above 0.
            bf16: Whether the backends `fused` and `torch` compute products in bfloat16. The backend `reference` follows
                `torch.autocast`.
            equal_lengths: Whether all reviews are known to have T tokens. A graphics card cannot find out without
                making the host wait.
        """
        share = self.config.dropout if self.training else 0.0

        def drop(values: Tensor) -> Tensor:
            return dropped_out(values, share, generator)

        features_BF = run_cell(
            self.cell, list(self.recurrence.parameters()), rows_UE, index_BT, length_B,
            bidirectional=self.config.is_bidirectional, backend=backend, between=drop if share else None,
            pooling=self.config.pooling, bf16=bf16, equal_lengths=equal_lengths)
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


def _drawn(bound: float, generator: torch.Generator, make: Callable[[], Module]) -> Module:
    """Return a torch module with parameters drawn uniformly in +-bound from `generator`, not from the global one."""
    with torch.device("meta"):
        module = make()
    for owner in module.modules():
        for name, meta in list(owner.named_parameters(recurse=False)):
            # Not `to_empty`, whose first call on a meta tensor loads half a second of torch's symbolic algebra.
            setattr(owner, name, nn.Parameter(torch.empty(meta.shape).uniform_(-bound, bound, generator=generator)))
    return module
