"""Recurrences: layers, directions and padding of any cell, on three backends. `gru.py` and `rnn.py` hold the cells.

    reference  a plain torch loop over the equation of the cell
    torch      the kernels of torch.nn.GRU and torch.nn.RNN (cuDNN on an NVIDIA card)
    fused      our kernel (kernels/), for a GRU on a CPU

Shapes: `U` distinct tokens of a batch, `B` sequences, `T` steps, `E` input width, `H` hidden width, `D` = H times
directions. Weights have the names, the order and the layout of `torch.nn`: for each layer and direction weight_ih
(rows x input width), weight_hh (rows x H), bias_ih and bias_hh (rows).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from gru_bench.config import Pooling
from gru_bench.kernels import fused as kernels
from gru_bench.models.pooling import pool

Backend = Literal["reference", "torch", "fused"]
Step = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""One step: (W x + b for all rows of `weight_ih`, state (B x H), weight_hh, bias_hh) -> next state (B x H)."""
Gates = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
"""The reset gate, the update gate and the candidate of one step, each B x H. The arguments are those of a `Step`."""
Kernel = Callable[..., tuple[Tensor, Tensor]]
"""`torch.gru` or `torch.rnn_tanh`, which take the same arguments."""
Between = Callable[[Tensor], Tensor]
"""Function for the output of every layer except the last, such as dropout."""


@dataclass(frozen=True)
class Cell:
    """A cell: the equation of one step, its weights, and what computes it on each backend."""

    step: Step
    rows: int
    """Rows of each weight for each hidden unit: one for each gate and one for the new state."""
    torch: Kernel | str
    """torch's kernel, or the reason why it has none."""
    fused: Callable[..., Tensor] | str
    """Our kernel, or the reason why we have none."""
    module: Callable[..., nn.Module] | None = None
    """The module of `torch.nn` that computes the same. None: it has none."""
    gates: Gates | None = None
    """Gates of a step. None: the cell has none."""

    @property
    def backends(self) -> dict[Backend, Callable[..., Any] | str]:
        """Return backend -> what computes the cell there, or the reason why nothing does. The fastest comes first."""
        return {"fused": self.fused, "torch": self.torch, "reference": self.step}


def run_cell(
    cell: Cell,
    weights: Sequence[Tensor],
    rows_UE: Tensor,
    index_BT: Tensor,
    length_B: Tensor,
    *,
    bidirectional: bool,
    backend: Backend,
    between: Between | None = None,
    pooling: Pooling | None = None,
    bf16: bool = False,
    equal_lengths: bool = False,
) -> Tensor:
    """Run all layers of a recurrence on one of the backends.

    Args:
        cell: The cell.
        weights: Weights of all layers and directions.
        rows_UE: Vectors of the distinct tokens of the batch.
        index_BT: Row of `rows_UE` for each token. Entries beyond the length of a sequence have no effect.
        length_B: Number of tokens of each sequence, 1 to T, in any order.
        bidirectional: Whether each layer runs in both directions, with the outputs side by side.
        backend: Implementation that runs.
        between: Function for the output of every layer except the last.
        pooling: Reduction of the output over time (`pool`).
        bf16: Whether the backends `fused` and `torch` compute products in bfloat16. The backend `reference` follows
            `torch.autocast`.
        equal_lengths: Whether all sequences are known to have T tokens. A graphics card cannot find out without making
            the host wait.

    Returns:
        The output of the last layer, B x T x D, zero beyond each length, or with a `pooling` its features.

    Raises:
        ValueError: for a backend that cannot compute the cell.
    """
    compute = cell.backends[backend]
    if isinstance(compute, str):
        raise ValueError(f"the backend must be able to compute this cell, but got {backend!r}: {compute}")
    pooled: Pooling | None = None
    output: Tensor
    if backend == "fused":
        pooled = pooling if pooling in kernels.POOLINGS else None
        output = compute(rows_UE, index_BT, length_B, weights, bidirectional=bidirectional, between=between,
                         pooling=pooled, bf16=bf16)
    else:
        x_BTE = embedding(index_BT, rows_UE)
        if backend == "torch":
            output = torch_layers(x_BTE, length_B, weights, compute, bidirectional=bidirectional, between=between,
                                  bf16=bf16, equal_lengths=equal_lengths)
        else:
            output = reference_layers(
                x_BTE, length_B, weights, compute, bidirectional=bidirectional, between=between)
    if pooling is None or pooling == pooled:
        return output
    return pool(output, length_B, pooling, bidirectional=bidirectional)


def reference_layers(
    x_BTE: Tensor, length_B: Tensor, weights: Sequence[Tensor], step: Step, *, bidirectional: bool,
    between: Between | None = None,
) -> Tensor:
    """Return the output of the last layer, computed step by step. The arguments are those of `run_cell`.

    The state does not change on padding. So the backward direction, which meets the padding first, starts with a zero
    state at the last token of each sequence.
    """
    batch, steps = x_BTE.shape[:2]
    inside_BT1 = (torch.arange(steps, device=x_BTE.device) < length_B[:, None])[..., None]

    def one_direction(x_BTE: Tensor, own: Sequence[Tensor], backward: bool) -> Tensor:
        weight_ih, weight_hh, bias_ih, bias_hh = own
        gates_BTG = x_BTE @ weight_ih.T + bias_ih
        h_BH = x_BTE.new_zeros(batch, weight_hh.shape[1])
        outputs: list[Tensor] = [h_BH] * steps
        for t in reversed(range(steps)) if backward else range(steps):
            inside_B1 = inside_BT1[:, t]
            h_BH = torch.where(inside_B1, step(gates_BTG[:, t], h_BH, weight_hh, bias_hh), h_BH)
            outputs[t] = torch.where(inside_B1, h_BH, 0.0)
        return torch.stack(outputs, dim=1)

    return _all_layers(x_BTE, weights, one_direction, bidirectional, between)


def torch_layers(
    x_BTE: Tensor, length_B: Tensor, weights: Sequence[Tensor], kernel: Kernel, *, bidirectional: bool,
    between: Between | None = None, bf16: bool = False, equal_lengths: bool = False,
) -> Tensor:
    """Return the output of the last layer from one of torch's own kernels, without packing the sequences.

    Padding stands at the end, where it cannot reach a forward state. For the backward direction each sequence
    is reversed by its own length, read forward, and reversed again: the same function as a packed sequence's,
    without the loss of cuDNN's fastest algorithm. Without padding torch runs all layers and directions at once.
    The arguments are those of `run_cell`.
    """
    layers = len(weights) // (8 if bidirectional else 4)
    steps = x_BTE.shape[1]
    # On a graphics card this check would make the host wait for the card.
    equal_lengths = equal_lengths or (length_B.device.type == "cpu" and int(length_B.min()) == steps)
    if equal_lengths and (between is None or layers == 1):
        return _run_kernel(kernel, x_BTE, weights, layers, bidirectional, bf16=bf16)
    at_T = torch.arange(steps, device=x_BTE.device)
    inside_BT1 = (at_T < length_B[:, None])[..., None]
    reversed_BT1 = torch.where(inside_BT1[..., 0], length_B[:, None] - 1 - at_T, at_T)[..., None]

    def one_direction(x_BTE: Tensor, own: Sequence[Tensor], backward: bool) -> Tensor:
        if backward:
            output = _run_kernel(kernel, x_BTE.gather(1, reversed_BT1.expand_as(x_BTE)), own, bf16=bf16)
            output = output.gather(1, reversed_BT1.expand_as(output))
        else:
            output = _run_kernel(kernel, x_BTE, own, bf16=bf16)
        return torch.where(inside_BT1, output, 0.0)

    return _all_layers(x_BTE, weights, one_direction, bidirectional, between)


def _all_layers(
    x_BTE: Tensor, weights: Sequence[Tensor], one_direction: Callable[[Tensor, Sequence[Tensor], bool], Tensor],
    bidirectional: bool, between: Between | None,
) -> Tensor:
    """Return the output of the last layer. `one_direction` computes a layer from its input, its four weights, and
    whether it reads backward."""
    directions = 2 if bidirectional else 1
    layers = len(weights) // (4 * directions)
    layer_input = x_BTE
    for layer in range(layers):
        halves = []
        for direction in range(directions):
            start = 4 * (layer * directions + direction)
            halves.append(one_direction(layer_input, weights[start:start + 4], direction == 1))
        layer_input = torch.cat(halves, dim=2) if bidirectional else halves[0]
        if between is not None and layer < layers - 1:
            layer_input = between(layer_input)
    return layer_input


def _run_kernel(
    kernel: Kernel, x_BTE: Tensor, weights: Sequence[Tensor], layers: int = 1, bidirectional: bool = False, *,
    bf16: bool = False,
) -> Tensor:
    if bf16:
        # torch.autocast runs cuDNN's recurrent layers in float16, whatever type it is asked for.
        half = torch.bfloat16
        with torch.autocast(x_BTE.device.type, enabled=False):
            return _run_kernel(
                kernel, x_BTE.to(half), [w.to(half) for w in weights], layers, bidirectional).to(weights[0].dtype)
    h0 = x_BTE.new_zeros(layers * (2 if bidirectional else 1), x_BTE.shape[0], weights[1].shape[1])
    output_BTD: Tensor = kernel(
        x_BTE, h0, list(weights), has_biases=True, num_layers=layers, dropout=0.0, train=torch.is_grad_enabled(),
        bidirectional=bidirectional, batch_first=True)[0]
    return output_BTD


def in_chunks(parameters: Sequence[nn.Parameter]) -> None:
    """Put the four weights of each layer and direction side by side in memory, in cuDNN's order.

    cuDNN takes weights in one chunk. Where they are not, torch copies them together at each call. `torch.nn.GRU` has
    one chunk for all layers and directions; with padding each is called alone, so each has its own here.
    """
    for start in range(0, len(parameters), 4):
        own = parameters[start:start + 4]
        chunk = torch.cat([parameter.detach().flatten() for parameter in own])
        start_in_chunk = 0
        for parameter in own:
            end = start_in_chunk + parameter.numel()
            parameter.data = chunk[start_in_chunk:end].view_as(parameter)
            start_in_chunk = end


class Weights(nn.Module):
    """The weights of a recurrence of our own. Those of the cell's module in `torch.nn` have the same names and layout,
    so that each can load the other's."""

    def __init__(
        self, cell: Cell, input_size: int, hidden_size: int, layers: int = 1, *, bidirectional: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        """Draw the weights uniformly in +-1/sqrt(hidden_size).

        Args:
            cell: The cell.
            input_size: Input width, E.
            hidden_size: Hidden width, H.
            layers: Number of layers.
            bidirectional: Whether each layer runs in both directions.
            generator: Source of the weights. None: the global generator of torch.
        """
        super().__init__()
        bound = 1 / math.sqrt(hidden_size)
        rows = cell.rows * hidden_size
        for layer in range(layers):
            width = input_size if layer == 0 else hidden_size * (2 if bidirectional else 1)
            for suffix in ("", "_reverse") if bidirectional else ("",):
                for name, shape in (
                    ("weight_ih", (rows, width)), ("weight_hh", (rows, hidden_size)), ("bias_ih", (rows,)),
                    ("bias_hh", (rows,)),
                ):
                    values = torch.empty(shape).uniform_(-bound, bound, generator=generator)
                    self.register_parameter(f"{name}_l{layer}{suffix}", nn.Parameter(values))
