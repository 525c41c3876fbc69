"""The vanilla RNN from scratch. It shows the problem that the gates of a GRU solve.

x is the input at one step, h the state before the step, and h' the state after it (Elman 1990):

    h' = tanh(W x + b + U h + b')

Each step back in time multiplies a gradient by U^T and by tanh' <= 1. So over many steps the gradient shrinks or grows
exponentially (Bengio, Simard and Frasconi 1994).

Shapes: `B` sequences, `H` hidden width. Weights have the layout of `torch.nn.RNN`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gru_bench.config import Reset
from gru_bench.models.recurrence import Cell


def step(input_BH: Tensor, h_BH: Tensor, weight_hh: Tensor, bias_hh: Tensor) -> Tensor:
    """Return the state after one step.

    Args:
        input_BH: W x + b.
        h_BH: State before the step.
        weight_hh: U, H x H.
        bias_hh: b', H.
    """
    return torch.tanh(input_BH + h_BH @ weight_hh.T + bias_hh)


CELLS: Mapping[Reset, Cell] = {"after": Cell(
    step=step,
    rows=1,
    torch=torch.rnn_tanh,
    fused="it computes gates, and a vanilla RNN has none",
    module=nn.RNN)}
"""The default only, because there is no reset gate."""
