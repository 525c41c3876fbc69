"""The vanilla RNN from scratch. It shows the problem that the gates of a GRU solve.

x is the input at one step, h the state before the step, and h' the state after it (Elman 1990):

    h' = tanh(W_i x + b_i + W_h h + b_h)

Each step back in time multiplies a gradient by W_h^T and by tanh' <= 1. So over many steps the gradient shrinks or
grows exponentially (Bengio, Simard and Frasconi 1994).

Shapes: `B` sequences, `H` hidden width, `G` = H: there are no gates, so that each weight has H rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gru_bench.models.gru import GRU


class RNN(GRU):
    """A vanilla RNN with the parameters of `torch.nn.RNN`. Layers, directions and padding are those of the GRU."""

    blocks = 1

    def step(self, input_BG: Tensor, h_BH: Tensor, weight_hh: Tensor, bias_hh: Tensor) -> Tensor:
        """Return the state after one step, B x H.

        Args:
            input_BG: W_i x + b_i.
            h_BH: State before the step.
            weight_hh: W_h, H x H.
            bias_hh: b_h, H.
        """
        return torch.tanh(input_BG + h_BH @ weight_hh.T + bias_hh)
