"""The GRU from scratch: the equations, in plain torch, meant to be read.

With x the input at one step, h the state before it and h' the state after it:

    r  = sigmoid(W_ir x + b_ir + W_hr h + b_hr)                reset gate
    z  = sigmoid(W_iz x + b_iz + W_hz h + b_hz)                update gate
    n  = tanh(W_in x + b_in + r * (W_hn h + b_hn))             candidate, reset after the product
    n  = tanh(W_in x + b_in + W_hn (r * h) + b_hn)             candidate, reset before the product
    h' = z * h + (1 - z) * n

Reset before the product is the form of Cho et al. 2014, equations 5-8; reset after it is the form of cuDNN
and PyTorch, the only one that can match `torch.nn.GRU` weight for weight. Cho et al. use the same sign of z;
texts that write h' = (1 - z) * h + z * n have z and 1 - z swapped, which is the same model with the update
gate's weights negated.

Shapes: `B` sequences, `T` steps, `E` input width, `H` hidden width, `D` = H times directions. Weights lie as in
`torch.nn.GRU`: the rows of each are the gates r, z, n, in this order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from gru_bench.config import Reset

Cell = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""W x + b for all rows of `weight_ih`, the state (B x H), weight_hh and bias_hh -> the next state (B x H)."""


def gates(
    input_gates_BG: Tensor, h_BH: Tensor, weight_hh: Tensor, bias_hh: Tensor, reset: Reset
) -> tuple[Tensor, Tensor, Tensor]:
    """Return r, z and n of one step, each B x H.

    Args:
        input_gates_BG: W_i x + b_i for the three gates, G = 3H.
        h_BH: the state before the step.
        weight_hh: 3H x H.
        bias_hh: 3H.
        reset: where the reset gate acts.
    """
    r_in, z_in, n_in = input_gates_BG.chunk(3, dim=1)
    if reset == "after":
        r_h, z_h, n_h = (h_BH @ weight_hh.T + bias_hh).chunk(3, dim=1)
        r, z = torch.sigmoid(r_in + r_h), torch.sigmoid(z_in + z_h)
        n = torch.tanh(n_in + r * n_h)
    else:
        w_r, w_z, w_n = weight_hh.chunk(3)
        b_r, b_z, b_n = bias_hh.chunk(3)
        r, z = torch.sigmoid(r_in + h_BH @ w_r.T + b_r), torch.sigmoid(z_in + h_BH @ w_z.T + b_z)
        n = torch.tanh(n_in + (r * h_BH) @ w_n.T + b_n)
    return r, z, n


def step(input_gates_BG: Tensor, h_BH: Tensor, weight_hh: Tensor, bias_hh: Tensor, reset: Reset) -> Tensor:
    """Return the state after one step; the arguments are those of `gates`."""
    _, z, n = gates(input_gates_BG, h_BH, weight_hh, bias_hh, reset)
    return z * h_BH + (1 - z) * n


def one_direction(
    x_BTE: Tensor, length_B: Tensor, weights: Sequence[Tensor], cell: Cell, *, backward: bool
) -> Tensor:
    """Run one layer in one direction and return its output, B x T x H, zero beyond each length.

    A sequence's state stays as it is on its padding. So the backward direction, which meets the padding
    first, starts with a zero state at each sequence's own last token.
    """
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    gates_BTG = x_BTE @ weight_ih.T + bias_ih
    batch, steps = x_BTE.shape[:2]
    h_BH = x_BTE.new_zeros(batch, weight_hh.shape[1])
    inside_BT1 = (torch.arange(steps, device=x_BTE.device) < length_B[:, None])[..., None]
    outputs: list[Tensor] = [h_BH] * steps
    for t in reversed(range(steps)) if backward else range(steps):
        inside_B1 = inside_BT1[:, t]
        h_BH = torch.where(inside_B1, cell(gates_BTG[:, t], h_BH, weight_hh, bias_hh), h_BH)
        outputs[t] = torch.where(inside_B1, h_BH, 0.0)
    return torch.stack(outputs, dim=1)


def reference_gru(
    x_BTE: Tensor,
    length_B: Tensor,
    weights: Sequence[Tensor],
    *,
    bidirectional: bool,
    reset: Reset,
    between: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Run all layers of a GRU; the arguments but `reset` (where the reset gate acts) are those of `all_layers`."""
    return all_layers(
        x_BTE, length_B, weights, partial(step, reset=reset), bidirectional=bidirectional, between=between)


def all_layers(
    x_BTE: Tensor,
    length_B: Tensor,
    weights: Sequence[Tensor],
    cell: Cell,
    *,
    bidirectional: bool,
    between: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Run all layers and return the last one's output, B x T x D, zero beyond each length.

    Args:
        x_BTE: inputs; what stands at or beyond a sequence's length has no effect.
        length_B: tokens of each sequence, 1 to T, in any order.
        weights: for each layer and direction weight_ih (G x in), weight_hh (G x H), bias_ih and bias_hh (G).
        cell: one step.
        bidirectional: whether each layer reads both ways, its outputs side by side.
        between: applied to the output of every layer but the last, such as dropout.
    """
    directions = 2 if bidirectional else 1
    layers = len(weights) // (4 * directions)
    layer_input = x_BTE
    for layer in range(layers):
        halves = []
        for direction in range(directions):
            start = 4 * (layer * directions + direction)
            halves.append(one_direction(
                layer_input, length_B, weights[start:start + 4], cell, backward=direction == 1))
        layer_input = torch.cat(halves, dim=2)
        if between is not None and layer < layers - 1:
            layer_input = between(layer_input)
    return layer_input


def draw_weights(
    module: nn.Module, input_size: int, hidden_size: int, layers: int, *, rows: int, bidirectional: bool,
    generator: torch.Generator | None,
) -> list[str]:
    """Give `module` the weights of all layers and directions, uniform in +-1/sqrt(hidden_size), and return their names.

    Args:
        module: takes the parameters, named and ordered as in `torch.nn`.
        input_size: E.
        hidden_size: H.
        layers: how many.
        rows: of each weight: H for each gate.
        bidirectional: whether each layer reads both ways.
        generator: source of the draws; None means torch's global one.
    """
    bound = 1 / math.sqrt(hidden_size)
    names = []
    for layer in range(layers):
        width = input_size if layer == 0 else hidden_size * (2 if bidirectional else 1)
        for suffix in ("", "_reverse") if bidirectional else ("",):
            for name, shape in (
                (f"weight_ih_l{layer}{suffix}", (rows, width)),
                (f"weight_hh_l{layer}{suffix}", (rows, hidden_size)),
                (f"bias_ih_l{layer}{suffix}", (rows,)),
                (f"bias_hh_l{layer}{suffix}", (rows,)),
            ):
                values = torch.empty(shape).uniform_(-bound, bound, generator=generator)
                module.register_parameter(name, nn.Parameter(values))
                names.append(name)
    return names


class GRU(nn.Module):
    """The scratch GRU's weights, named and laid out as in `torch.nn.GRU`, so that they load both ways."""

    def __init__(
        self, input_size: int, hidden_size: int, layers: int = 1, *, bidirectional: bool = False,
        reset: Reset = "after", generator: torch.Generator | None = None,
    ) -> None:
        """Draw weights uniform in +-1/sqrt(hidden_size)."""
        super().__init__()
        self.hidden_size = hidden_size
        self.bidirectional = bidirectional
        self.reset: Reset = reset
        self.names = draw_weights(
            self, input_size, hidden_size, layers, rows=3 * hidden_size, bidirectional=bidirectional,
            generator=generator)

    def weights(self) -> list[Tensor]:
        """Return the weights in the order of `reference_gru`."""
        return [self.get_parameter(name) for name in self.names]

    def forward(self, x_BTE: Tensor, length_B: Tensor) -> Tensor:
        """Return the last layer's output, B x T x D, zero beyond each length."""
        return reference_gru(
            x_BTE, length_B, self.weights(), bidirectional=self.bidirectional, reset=self.reset)
