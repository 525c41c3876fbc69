"""The GRU from scratch: its equations in plain torch.

x is the input at one step, h the state before the step, and h' the state after it:

    r  = sigmoid(W_ir x + b_ir + W_hr h + b_hr)                reset gate
    z  = sigmoid(W_iz x + b_iz + W_hz h + b_hz)                update gate
    n  = tanh(W_in x + b_in + r * (W_hn h + b_hn))             candidate, reset after the product
    n  = tanh(W_in x + b_in + W_hn (r * h) + b_hn)             candidate, reset before the product
    h' = z * h + (1 - z) * n

Reset before the product is the form of Cho et al. 2014, equations 5-8. Reset after the product is the form of cuDNN and
PyTorch, and the only one that can match `torch.nn.GRU` weight for weight. Cho et al. use the same sign of z. Texts that
write h' = (1 - z) * h + z * n swap z and 1 - z, which is the same model with the weights of the update gate negated.

Shapes: `B` sequences, `T` steps, `E` input width, `H` hidden width, `D` = H times directions. Weights have the
layout of `torch.nn.GRU`: their rows belong to the gates r, z, n, in this order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from gru_bench.config import Reset

Cell = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""One step: (W x + b for all rows of `weight_ih`, state (B x H), weight_hh, bias_hh) -> next state (B x H)."""


def gates(
    input_gates_BG: Tensor, h_BH: Tensor, weight_hh: Tensor, bias_hh: Tensor, reset: Reset
) -> tuple[Tensor, Tensor, Tensor]:
    """Return r, z and n of one step, each B x H.

    Args:
        input_gates_BG: W_i x + b_i for the three gates, with G = 3H.
        h_BH: State before the step.
        weight_hh: Hidden weights, 3H x H.
        bias_hh: Hidden biases, 3H.
        reset: Whether the reset gate acts after or before the hidden product.
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
    """Return the state after one step. The arguments are those of `gates`."""
    _, z, n = gates(input_gates_BG, h_BH, weight_hh, bias_hh, reset)
    return z * h_BH + (1 - z) * n


def one_direction(
    x_BTE: Tensor, length_B: Tensor, weights: Sequence[Tensor], cell: Cell, *, backward: bool
) -> Tensor:
    """Run one layer in one direction and return its output, B x T x H, zero beyond each length.

    The state does not change on padding. So the backward direction, which meets the padding first, starts with a zero
    state at the last token of each sequence.
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
    """Return the output of all layers of a GRU. `reset` is that of `gates`, the other arguments those of
    `all_layers`."""
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
    """Return the output of the last layer, B x T x D, zero beyond each length.

    Args:
        x_BTE: Inputs. Values beyond the length of a sequence have no effect.
        length_B: Number of tokens of each sequence, 1 to T, in any order.
        weights: For each layer and direction weight_ih (G x input width), weight_hh (G x H), bias_ih and bias_hh (G).
        cell: Function that computes one step.
        bidirectional: Whether each layer runs in both directions, with the outputs side by side.
        between: Function for the output of every layer except the last, such as dropout.
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
    """Add the weights of all layers and directions to `module`, uniform in +-1/sqrt(hidden_size); return their names.

    Args:
        module: Module that gets the parameters, named and ordered as in `torch.nn`.
        input_size: Input width, E.
        hidden_size: Hidden width, H.
        layers: Number of layers.
        rows: Number of rows of each weight: H for each gate.
        bidirectional: Whether each layer runs in both directions.
        generator: Source of the weights. None: the global generator of torch.
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
    """The scratch GRU. Its weights have the names and the layout of `torch.nn.GRU`, so that each can load the
    other's."""

    def __init__(
        self, input_size: int, hidden_size: int, layers: int = 1, *, bidirectional: bool = False,
        reset: Reset = "after", generator: torch.Generator | None = None,
    ) -> None:
        """Draw the weights uniformly in +-1/sqrt(hidden_size). The arguments are those of `draw_weights` and
        `gates`."""
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
        """Return the output of the last layer, B x T x D, zero beyond each length."""
        return reference_gru(
            x_BTE, length_B, self.weights(), bidirectional=self.bidirectional, reset=self.reset)
