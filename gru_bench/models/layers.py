"""Layers and directions of a recurrence whose parts read whole batches forwards and need no lengths.

Padding stands at the end, where it cannot reach a forward state. For the backward direction each sequence is reversed
by its own length, read forwards, and reversed again.

Shapes: `B` sequences, `T` steps, `E` input width, `H` hidden width, `D` = H times directions.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Between = Callable[[Tensor], Tensor]
"""Function for the output of every layer except the last, such as dropout."""


def run_layers(
    read: Callable[[int, int, Tensor], Tensor], x_BTE: Tensor, length_B: Tensor, *, layers: int, directions: int,
    between: Between | None = None,
) -> Tensor:
    """Return the output of the last layer, B x T x D, zero beyond each length.

    Args:
        read: Function (layer, direction, input) -> its output, B x T x H, of any value beyond each length.
        x_BTE: Input.
        length_B: Number of tokens of each sequence, 1 to T.
        layers: Number of layers.
        directions: 1, or 2 for both.
        between: Function for the output of every layer except the last.
    """
    at_T = torch.arange(x_BTE.shape[1], device=x_BTE.device)
    inside_BT1 = (at_T < length_B[:, None])[..., None]
    reversed_BT1 = torch.where(inside_BT1[..., 0], length_B[:, None] - 1 - at_T, at_T)[..., None]
    for layer in range(layers):
        outputs = []
        for direction in range(directions):
            if direction == 0:
                output = read(layer, direction, x_BTE)
            else:
                output = read(layer, direction, x_BTE.gather(1, reversed_BT1.expand_as(x_BTE)))
                output = output.gather(1, reversed_BT1.expand_as(output))
            outputs.append(torch.where(inside_BT1, output, 0.0))
        x_BTE = torch.cat(outputs, dim=2) if directions == 2 else outputs[0]
        if between is not None and layer < layers - 1:
            x_BTE = between(x_BTE)
    return x_BTE
