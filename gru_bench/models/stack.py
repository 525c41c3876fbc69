"""Layers and directions of a recurrence: how one runs above another, and how padding is kept out.

`run_layers` puts layers and directions together, whatever reads one of them. `Stack` holds the weights of the cells of
all of them and reads step by step. `read_whole` serves what reads whole batches forwards and knows no lengths, such as
torch's kernels.

Shapes: `B` sequences, `T` steps, `E` input width, `H` hidden width, `G` = 3H (the gates side by side), `D` = H times
directions.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from gru_bench.config import Reset
from gru_bench.models.gru import GRUCell

Between = Callable[[Tensor], Tensor]
"""Function for the output of every layer except the last, such as dropout."""
Read = Callable[[int, int, Tensor], Tensor]
"""Layer, direction, input -> the outputs of this layer in this direction, B x T x H, zero beyond each length.

The direction is 0, forwards, or 1, backwards. The input is B x T x E, above the first layer B x T x D.
"""
Step = Callable[[GRUCell, Tensor, Tensor], Tensor]
"""The arguments and the result are those of `GRUCell.step`."""
NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
"""The weights of one layer and direction, in the order of `torch.nn.GRU`."""


def run_layers(
    read: Read, x_BTE: Tensor, *, layers: int, directions: int, between: Between | None = None
) -> Tensor:
    """Return the output of the last layer, B x T x D: its directions side by side.

    Args:
        read: What reads one layer in one direction.
        x_BTE: Input of the first layer.
        layers: Number of layers.
        directions: 1, or 2 for both.
        between: Function for the output of every layer except the last.
    """
    for layer in range(layers):
        outputs = [read(layer, direction, x_BTE) for direction in range(directions)]
        x_BTE = torch.cat(outputs, dim=2) if directions == 2 else outputs[0]
        if between is not None and layer < layers - 1:
            x_BTE = between(x_BTE)
    return x_BTE


def read_whole(network: Callable[[Tensor], Tensor], x_BTE: Tensor, length_B: Tensor, direction: int) -> Tensor:
    """Return the outputs of one direction of a network that reads whole batches forwards, zero beyond each length.

    Padding stands at the end, where it cannot reach an earlier state. For the backward direction each sequence is
    reversed by its own length, read forwards, and reversed again.

    Args:
        network: B x T x E -> its outputs, B x T x H, of any value beyond each length.
        x_BTE: Input.
        length_B: Number of tokens of each sequence, 1 to T.
        direction: 0, forwards, or 1, backwards.
    """
    at_T = torch.arange(x_BTE.shape[1], device=x_BTE.device)
    inside_BT = at_T < length_B[:, None]
    if direction == 0:
        return torch.where(inside_BT[..., None], network(x_BTE), 0.0)
    reversed_BT1 = torch.where(inside_BT, length_B[:, None] - 1 - at_T, at_T)[..., None]
    output_BTH = network(x_BTE.gather(1, reversed_BT1.expand_as(x_BTE)))
    return torch.where(inside_BT[..., None], output_BTH.gather(1, reversed_BT1.expand_as(output_BTH)), 0.0)


class Stack(nn.Module):
    """Cells in any number of layers, in one direction or both, with the parameters of `torch.nn.GRU`: the same names,
    order and shapes, so that each can load the weights of the other."""

    def __init__(
        self, input_size: int, hidden_size: int, layers: int = 1, *, reset: Reset = "after",
        bidirectional: bool = False, generator: torch.Generator | None = None,
    ) -> None:
        """Draw all weights uniformly in +-1/sqrt(hidden_size).

        Args:
            input_size: Input width, E.
            hidden_size: Hidden width, H.
            layers: Number of layers.
            reset: Whether the reset gate acts after or before the hidden product.
            bidirectional: Whether each layer runs in both directions, with their outputs side by side.
            generator: Source of the weights. None: the global generator of torch.
        """
        super().__init__()
        self.hidden_size, self.layers, self.reset, self.bidirectional = hidden_size, layers, reset, bidirectional
        bound, rows = 1 / math.sqrt(hidden_size), 3 * hidden_size
        for layer in range(layers):
            width = input_size if layer == 0 else hidden_size * self.directions
            shapes = (rows, width), (rows, hidden_size), (rows,), (rows,)
            for direction in range(self.directions):
                for name, shape in zip(self._names(layer, direction), shapes, strict=True):
                    drawn = torch.empty(shape).uniform_(-bound, bound, generator=generator)
                    self.register_parameter(name, nn.Parameter(drawn))

    @property
    def directions(self) -> int:
        """Return the number of directions, 1 or 2."""
        return 2 if self.bidirectional else 1

    def weights_of(self, layer: int, direction: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return weight_ih (G x E, above the first layer G x D), weight_hh (G x H), bias_ih (G) and bias_hh (G) of one
        layer and direction: 0 is forward, 1 backward."""
        weight_ih, weight_hh, bias_ih, bias_hh = map(self.get_parameter, self._names(layer, direction))
        return weight_ih, weight_hh, bias_ih, bias_hh

    def cell(self, layer: int, direction: int) -> GRUCell:
        """Return the cell of one layer and direction."""
        return GRUCell(*self.weights_of(layer, direction), self.reset)

    def weights(self) -> list[Tensor]:
        """Return the weights of all layers and directions in the order of `torch.nn.GRU`."""
        return [weight for layer in range(self.layers) for direction in range(self.directions)
                for weight in self.weights_of(layer, direction)]

    @staticmethod
    def _names(layer: int, direction: int) -> list[str]:
        return [f"{name}_l{layer}{'_reverse' if direction else ''}" for name in NAMES]

    def forward(
        self, x_BTE: Tensor, length_B: Tensor, *, between: Between | None = None, step: Step = GRUCell.step
    ) -> Tensor:
        """Return the output of the last layer, B x T x D: its states, and zero beyond each length.

        The state does not change on padding. So the backward direction, which meets the padding first, starts with a
        zero state at the last token of each sequence. W_i x + b_i depends on no state, so it is computed for all steps
        at once.

        Args:
            x_BTE: Input.
            length_B: Number of tokens of each sequence, 1 to T.
            between: Function for the output of every layer except the last.
            step: Function in place of the cell's, so that a caller can observe each step.
        """
        batch, steps, _ = x_BTE.shape
        inside_BT1 = (torch.arange(steps, device=x_BTE.device) < length_B[:, None])[..., None]

        def read(layer: int, direction: int, x_BTE: Tensor) -> Tensor:
            cell = self.cell(layer, direction)
            input_BTG = cell.project(x_BTE)
            h_BH = x_BTE.new_zeros(batch, self.hidden_size)
            output_T = [h_BH] * steps
            for t in range(steps) if direction == 0 else reversed(range(steps)):
                inside_B1 = inside_BT1[:, t]
                h_BH = torch.where(inside_B1, step(cell, input_BTG[:, t], h_BH), h_BH)
                output_T[t] = torch.where(inside_B1, h_BH, 0.0)
            return torch.stack(output_T, dim=1)

        return run_layers(read, x_BTE, layers=self.layers, directions=self.directions, between=between)
