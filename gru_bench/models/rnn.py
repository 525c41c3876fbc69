"""The vanilla RNN from scratch. It shows the problem that the gates of a GRU solve.

x is the input at one step, h the state before the step, and h' the state after it (Elman 1990):

    h' = tanh(W_i x + b_i + W_h h + b_h)

Each step back in time multiplies a gradient by W_h^T and by tanh' <= 1. So over many steps the gradient shrinks or
grows exponentially (Bengio, Simard and Frasconi 1994).

Shapes: `B` sequences, `H` hidden width.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor


class RNNCell:
    """The equation of a vanilla RNN. Its weights are arguments, with the shapes of those of `torch.nn.RNN`."""

    blocks: ClassVar[int] = 1
    """Blocks of H rows in each weight: there are no gates."""

    def step(self, input_BH: Tensor, h_BH: Tensor, weight_hh: Tensor, bias_hh: Tensor) -> Tensor:
        """Return the state after one step, B x H.

        Args:
            input_BH: W_i x + b_i.
            h_BH: State before the step.
            weight_hh: W_h, H x H.
            bias_hh: b_h, H.
        """
        return torch.tanh(input_BH + h_BH @ weight_hh.T + bias_hh)
