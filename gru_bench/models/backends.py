"""The backends: what computes the states of a recurrence over a batch.

    reference  the equations as `gru.py` writes them, in a plain torch loop (`stack.py`): the only one with both resets
    torch      the kernel of torch.nn.GRU (cuDNN on an NVIDIA card)
    fused      our kernel (kernels/), on a CPU
    own        the user's own class (`own.py`), the only one of such a model

The first three compute the same function of the same weights, and differ by rounding. `train/placement.py` chooses one.

Shapes: `U` distinct tokens of a batch, `B` sequences, `T` steps, `E` input width, `H` hidden width, `D` = H times
directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import embedding

from gru_bench.config import ModelConfig, Pooling, Reset
from gru_bench.kernels import fused as kernels
from gru_bench.models.own import Own
from gru_bench.models.pooling import pool
from gru_bench.models.stack import Between, Stack, read_whole, run_layers

Backend = Literal["fused", "torch", "reference", "own"]
"""The backends, the fastest one first. `own` is chosen for a class of the user's own alone."""


def recurrence_of(config: ModelConfig, input_size: int, generator: torch.Generator) -> Stack | Own:
    """Return the recurrence of a model with newly drawn weights.

    Args:
        config: Settings of the model.
        input_size: Input width, E.
        generator: Source of the weights.

    Raises:
        UsageError: for a class of the user's own that cannot be used.
    """
    if config.preset.cell == "own":
        return Own(config, input_size, generator=generator)
    return Stack(input_size, config.hidden_size, config.layers, reset=config.reset,
                 bidirectional=config.is_bidirectional, generator=generator)


def unsupported(backend: Backend, reset: Reset) -> str | None:
    """Return why a backend cannot compute a GRU of this form on any machine, as a clause. None where it can."""
    if backend == "own":
        return "it is only for classes of your own"
    if backend in ("fused", "torch") and reset == "before":
        return "neither torch nor the kernel has a GRU whose reset gate acts before the product"
    return None


def run(
    recurrence: Stack | Own,
    backend: Backend,
    rows_UE: Tensor,
    index_BT: Tensor,
    length_B: Tensor,
    *,
    between: Between | None = None,
    pooling: Pooling | None = None,
    equal_lengths: bool = False,
) -> Tensor:
    """Run all layers of a recurrence on one of the backends that can compute it.

    Args:
        recurrence: The recurrence.
        backend: Backend that runs.
        rows_UE: Vectors of the distinct tokens of the batch.
        index_BT: Row of `rows_UE` for each token. Entries beyond the length of a sequence have no effect.
        length_B: Number of tokens of each sequence, 1 to T, in any order.
        between: Function for the output of every layer except the last.
        pooling: Reduction of the output over time (`pool`).
        equal_lengths: Whether all sequences are known to have T tokens. A graphics card cannot find out without making
            the host wait.

    Returns:
        The output of the last layer, B x T x D, zero beyond each length, or with a `pooling` its features.
    """
    match recurrence, backend:
        case Stack(reset=reset), _ if reason := unsupported(backend, reset):
            raise ValueError(f"the backend {backend!r} cannot compute this recurrence: {reason}")
        case Stack(), "fused":
            in_kernel = pooling if pooling in kernels.POOLINGS else None
            output = kernels.fused_gru(
                rows_UE, index_BT, length_B, recurrence.weights(), bidirectional=recurrence.bidirectional,
                between=between, pooling=in_kernel)
            if in_kernel is not None:
                return output
        case Stack(), "torch":
            output = torch_layers(recurrence, embedding(index_BT, rows_UE), length_B, between=between,
                                  equal_lengths=equal_lengths)
        case _:
            output = recurrence(embedding(index_BT, rows_UE), length_B, between=between)
    if pooling is None:
        return output
    return pool(output, length_B, pooling, bidirectional=recurrence.bidirectional)


def torch_layers(
    stack: Stack, x_BTE: Tensor, length_B: Tensor, *, between: Between | None = None, equal_lengths: bool = False,
) -> Tensor:
    """Return the output of the last layer from torch's own kernel, without packing the sequences.

    It computes the same as on packed sequences, for which cuDNN has no use of its fastest algorithm. Without padding
    torch runs all layers and directions at once. The arguments are those of `run`.
    """
    # On a graphics card this check would make the host wait for the card.
    equal_lengths = equal_lengths or (length_B.device.type == "cpu" and int(length_B.min()) == x_BTE.shape[1])
    if equal_lengths and (between is None or stack.layers == 1):
        return _run_kernel(stack, x_BTE, stack.weights())

    def read(layer: int, direction: int, x_BTE: Tensor) -> Tensor:
        weights = stack.weights_of(layer, direction)
        return read_whole(lambda x_BTE: _run_kernel(stack, x_BTE, weights), x_BTE, length_B, direction)

    return run_layers(read, x_BTE, layers=stack.layers, directions=stack.directions, between=between)


def _run_kernel(stack: Stack, x_BTE: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Return the output of torch's kernel: of one layer and direction, or of all whose weights are given."""
    one = len(weights) == 4
    h0 = x_BTE.new_zeros(len(weights) // 4, x_BTE.shape[0], stack.hidden_size)
    output_BTD: Tensor = torch.gru(
        x_BTE, h0, list(weights), has_biases=True, num_layers=1 if one else stack.layers, dropout=0.0,
        train=torch.is_grad_enabled(), bidirectional=stack.bidirectional and not one, batch_first=True)[0]
    return output_BTD
