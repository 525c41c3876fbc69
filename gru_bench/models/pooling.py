"""The poolings: what a classifier's head reads of the outputs over time. `kernels/` computes the same for its backend.

Shapes: `B` sequences, `T` steps, `D` width of an output.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gru_bench.config import Pooling


def pool(output_BTD: Tensor, length_B: Tensor, pooling: Pooling, *, bidirectional: bool) -> Tensor:
    """Return the features of each review, B x D (for `meanmax` B x 2D): the output, reduced over time.

    last     the output at the last token, as in the homework. The backward half of a bidirectional model has
             then seen this one token only.
    final    the final state of each direction. The backward direction ends at the first token.
    mean     the mean over the tokens.
    max      the maximum over the tokens, for each feature.
    meanmax  mean and max, side by side.
    """
    if pooling in ("last", "final"):
        rows_B = torch.arange(output_BTD.shape[0], device=output_BTD.device)
        last_BD = output_BTD[rows_B, length_B - 1]
        if pooling == "last" or not bidirectional:
            return last_BD
        half = output_BTD.shape[2] // 2
        return torch.cat([last_BD[:, :half], output_BTD[:, 0, half:]], dim=1)
    parts = []
    if pooling in ("mean", "meanmax"):
        parts.append(output_BTD.sum(dim=1) / length_B[:, None])
    if pooling in ("max", "meanmax"):
        at_T = torch.arange(output_BTD.shape[1], device=output_BTD.device)
        outside_BT1 = (at_T >= length_B[:, None])[..., None]
        parts.append(output_BTD.masked_fill(outside_BT1, -torch.inf).amax(dim=1))
    return torch.cat(parts, dim=1)
