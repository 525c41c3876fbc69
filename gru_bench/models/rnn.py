"""The vanilla RNN from scratch. It shows the problem that the gates of a GRU solve.

x is the input at one step, h the state before the step, and h' the state after it (Elman 1990):

    h' = tanh(W x + b + U h + b')

Each step back in time multiplies a gradient by U^T and by tanh' <= 1. So over many steps the gradient shrinks or grows
exponentially (Bengio, Simard and Frasconi 1994).

Shapes: `B` sequences, `T` steps, `E` input width, `H` hidden width, `D` = H times directions. Weights have the
layout of `torch.nn.RNN`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from gru_bench.models.gru import all_layers, draw_weights


def step(input_BH: Tensor, h_BH: Tensor, weight_hh: Tensor, bias_hh: Tensor) -> Tensor:
    """Return the state after one step.

    Args:
        input_BH: W x + b.
        h_BH: State before the step.
        weight_hh: U, H x H.
        bias_hh: b', H.
    """
    return torch.tanh(input_BH + h_BH @ weight_hh.T + bias_hh)


def reference_rnn(
    x_BTE: Tensor,
    length_B: Tensor,
    weights: Sequence[Tensor],
    *,
    bidirectional: bool,
    between: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Return the output of all layers of a vanilla RNN. The arguments are those of
    `gru_bench.models.gru.all_layers`."""
    return all_layers(x_BTE, length_B, weights, step, bidirectional=bidirectional, between=between)


class RNN(nn.Module):
    """The vanilla RNN. Its weights have the names and the layout of `torch.nn.RNN`, so that each can load the
    other's."""

    def __init__(
        self, input_size: int, hidden_size: int, layers: int = 1, *, bidirectional: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        """Draw the weights uniformly in +-1/sqrt(hidden_size). The arguments are those of `draw_weights`."""
        super().__init__()
        self.hidden_size = hidden_size
        self.bidirectional = bidirectional
        self.names = draw_weights(
            self, input_size, hidden_size, layers, rows=hidden_size, bidirectional=bidirectional, generator=generator)

    def weights(self) -> list[Tensor]:
        """Return the weights in the order of `reference_rnn`."""
        return [self.get_parameter(name) for name in self.names]

    def forward(self, x_BTE: Tensor, length_B: Tensor) -> Tensor:
        """Return the output of the last layer, B x T x D, zero beyond each length."""
        return reference_rnn(x_BTE, length_B, self.weights(), bidirectional=self.bidirectional)
