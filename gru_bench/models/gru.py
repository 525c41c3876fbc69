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

A cell computes one step. `stack.py` runs cells over time, layers and directions.

Shapes: `B` sequences, `E` input width, `H` hidden width, `G` = 3H (the gates r, z, n side by side).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gru_bench.config import Reset


@dataclass(frozen=True)
class GRUCell:
    """One step of a GRU: `cell(x, h)`. Its weights are those of `torch.nn.GRUCell`, with the same names and shapes."""

    weight_ih: Tensor
    """W_i of all gates, G x E."""
    weight_hh: Tensor
    """W_h of all gates, G x H."""
    bias_ih: Tensor
    """b_i of all gates, G."""
    bias_hh: Tensor
    """b_h of all gates, G."""
    reset: Reset = "after"
    """Whether the reset gate acts after or before the hidden product."""

    def __call__(self, x_BE: Tensor, h_BH: Tensor) -> Tensor:
        """Return the state after one step, B x H.

        Args:
            x_BE: Input of the step.
            h_BH: State before the step.
        """
        return self.step(self.project(x_BE), h_BH)

    def project(self, x_BE: Tensor) -> Tensor:
        """Return W_i x + b_i of all gates, B x G: what a step needs of its input. There may be more axes than B."""
        return x_BE @ self.weight_ih.T + self.bias_ih

    def step(self, input_BG: Tensor, h_BH: Tensor) -> Tensor:
        """Return the state after one step, B x H, with `input_BG` from `project`."""
        _, z, n = self.gates(input_BG, h_BH)
        return z * h_BH + (1 - z) * n

    def gates(self, input_BG: Tensor, h_BH: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return r, z and n of one step, each B x H. The arguments are those of `step`."""
        r_in, z_in, n_in = input_BG.chunk(3, dim=1)
        if self.reset == "after":
            r_h, z_h, n_h = (h_BH @ self.weight_hh.T + self.bias_hh).chunk(3, dim=1)
            r = torch.sigmoid(r_in + r_h)
            z = torch.sigmoid(z_in + z_h)
            n = torch.tanh(n_in + r * n_h)
        else:
            w_r, w_z, w_n = self.weight_hh.chunk(3)
            b_r, b_z, b_n = self.bias_hh.chunk(3)
            r = torch.sigmoid(r_in + h_BH @ w_r.T + b_r)
            z = torch.sigmoid(z_in + h_BH @ w_z.T + b_z)
            n = torch.tanh(n_in + (r * h_BH) @ w_n.T + b_n)
        return r, z, n
