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

Shapes: `B` sequences, `T` steps, `E` input width, `H` hidden width, `G` = 3H (the gates r, z, n side by side), `D` = H
times directions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from gru_bench.config import Reset

Step = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""The arguments and the result are those of `GRU.step`."""


class GRU(nn.Module):
    """A GRU of any number of layers, in one direction or both, with the parameters of `torch.nn.GRU`: the same names,
    order and shapes, so that each can load the weights of the other."""

    blocks: ClassVar[int] = 3
    """Blocks of H rows in each weight: one for each gate."""

    def __init__(
        self, input_size: int, hidden_size: int, layers: int = 1, *, bidirectional: bool = False,
        reset: Reset = "after", generator: torch.Generator | None = None,
    ) -> None:
        """Draw all weights uniformly in +-1/sqrt(hidden_size).

        Args:
            input_size: Input width, E.
            hidden_size: Hidden width, H.
            layers: Number of layers.
            bidirectional: Whether each layer runs in both directions, with their outputs side by side.
            reset: Whether the reset gate acts after or before the hidden product.
            generator: Source of the weights. None: the global generator of torch.
        """
        super().__init__()
        self.hidden_size, self.layers, self.bidirectional, self.reset = hidden_size, layers, bidirectional, reset
        bound, rows = 1 / math.sqrt(hidden_size), self.blocks * hidden_size
        for layer in range(layers):
            width = input_size if layer == 0 else hidden_size * self.directions
            for end in ("", "_reverse")[:self.directions]:
                for name, shape in (
                    ("weight_ih", (rows, width)), ("weight_hh", (rows, hidden_size)), ("bias_ih", (rows,)),
                    ("bias_hh", (rows,)),
                ):
                    drawn = torch.empty(shape).uniform_(-bound, bound, generator=generator)
                    self.register_parameter(f"{name}_l{layer}{end}", nn.Parameter(drawn))

    @property
    def directions(self) -> int:
        """Return the number of directions, 1 or 2."""
        return 2 if self.bidirectional else 1

    def weights_of(self, layer: int, direction: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return weight_ih (G x E, above the first layer G x D), weight_hh (G x H), bias_ih (G) and bias_hh (G) of one
        layer and direction: 0 is forward, 1 backward."""
        start = 4 * (layer * self.directions + direction)
        weight_ih, weight_hh, bias_ih, bias_hh = list(self.parameters())[start:start + 4]
        return weight_ih, weight_hh, bias_ih, bias_hh

    def gates(
        self, input_BG: Tensor, h_BH: Tensor, weight_hh: Tensor, bias_hh: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return r, z and n of one step, each B x H.

        Args:
            input_BG: W_i x + b_i of all gates.
            h_BH: State before the step.
            weight_hh: W_h of all gates, G x H.
            bias_hh: b_h of all gates, G.
        """
        r_in, z_in, n_in = input_BG.chunk(3, dim=1)
        if self.reset == "after":
            r_h, z_h, n_h = (h_BH @ weight_hh.T + bias_hh).chunk(3, dim=1)
            r, z = torch.sigmoid(r_in + r_h), torch.sigmoid(z_in + z_h)
            n = torch.tanh(n_in + r * n_h)
        else:
            w_r, w_z, w_n = weight_hh.chunk(3)
            b_r, b_z, b_n = bias_hh.chunk(3)
            r, z = torch.sigmoid(r_in + h_BH @ w_r.T + b_r), torch.sigmoid(z_in + h_BH @ w_z.T + b_z)
            n = torch.tanh(n_in + (r * h_BH) @ w_n.T + b_n)
        return r, z, n

    def step(self, input_BG: Tensor, h_BH: Tensor, weight_hh: Tensor, bias_hh: Tensor) -> Tensor:
        """Return the state after one step, B x H. The arguments are those of `gates`."""
        _, z, n = self.gates(input_BG, h_BH, weight_hh, bias_hh)
        return z * h_BH + (1 - z) * n

    def forward(
        self, x_BTE: Tensor, length_B: Tensor, *, between: Callable[[Tensor], Tensor] | None = None,
        step: Step | None = None,
    ) -> Tensor:
        """Return the output of the last layer, B x T x D: its states, and zero beyond each length.

        The state does not change on padding. So the backward direction, which meets the padding first, starts with a
        zero state at the last token of each sequence.

        Args:
            x_BTE: Input.
            length_B: Number of tokens of each sequence, 1 to T.
            between: Function for the output of every layer except the last, such as dropout.
            step: Function in place of `step`, so that a caller can observe each step.
        """
        step = step or self.step
        batch, steps, _ = x_BTE.shape
        inside_BT1 = (torch.arange(steps, device=x_BTE.device) < length_B[:, None])[..., None]
        for layer in range(self.layers):
            outputs = []
            for direction in range(self.directions):
                weight_ih, weight_hh, bias_ih, bias_hh = self.weights_of(layer, direction)
                input_BTG = x_BTE @ weight_ih.T + bias_ih
                h_BH = x_BTE.new_zeros(batch, self.hidden_size)
                output_T = [h_BH] * steps
                for t in range(steps) if direction == 0 else reversed(range(steps)):
                    inside_B1 = inside_BT1[:, t]
                    h_BH = torch.where(inside_B1, step(input_BTG[:, t], h_BH, weight_hh, bias_hh), h_BH)
                    output_T[t] = torch.where(inside_B1, h_BH, 0.0)
                outputs.append(torch.stack(output_T, dim=1))
            x_BTE = torch.cat(outputs, dim=2) if self.bidirectional else outputs[0]
            if between is not None and layer < self.layers - 1:
                x_BTE = between(x_BTE)
        return x_BTE
