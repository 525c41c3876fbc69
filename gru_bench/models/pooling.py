"""The poolings: what a classifier's head reads of the outputs over time. `kernels/` computes the same for its backend.

Shapes: `B` sequences, `T` steps, `D` width of an output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from gru_bench.config import POOLING_PARTS, Part, Pooling


def pool(output_BTD: Tensor, length_B: Tensor, pooling: Pooling, *, bidirectional: bool) -> Tensor:
    """Return the features of each text: the parts of the pooling side by side, each B x D."""
    parts = [_PARTS[part](output_BTD, length_B, bidirectional) for part in POOLING_PARTS[pooling]]
    return torch.cat(parts, dim=1)


def _last(output_BTD: Tensor, length_B: Tensor, _: bool) -> Tensor:
    """Return the output at the last token, as in the homework. The backward half of a bidirectional model has then seen
    this one token only."""
    rows_B = torch.arange(output_BTD.shape[0], device=output_BTD.device)
    return output_BTD[rows_B, length_B - 1]


def _final(output_BTD: Tensor, length_B: Tensor, bidirectional: bool) -> Tensor:
    """Return the final state of each direction. The backward direction ends at the first token."""
    last_BD = _last(output_BTD, length_B, bidirectional)
    if not bidirectional:
        return last_BD
    half = output_BTD.shape[2] // 2
    return torch.cat([last_BD[:, :half], output_BTD[:, 0, half:]], dim=1)


def _mean(output_BTD: Tensor, length_B: Tensor, _: bool) -> Tensor:
    """Return the mean over the tokens. The output is zero beyond each length."""
    return output_BTD.sum(dim=1) / length_B[:, None]


def _max(output_BTD: Tensor, length_B: Tensor, _: bool) -> Tensor:
    """Return the maximum over the tokens, for each feature."""
    at_T = torch.arange(output_BTD.shape[1], device=output_BTD.device)
    outside_BT1 = (at_T >= length_B[:, None])[..., None]
    return output_BTD.masked_fill(outside_BT1, -torch.inf).amax(dim=1)


_PARTS: Mapping[Part, Callable[[Tensor, Tensor, bool], Tensor]] = {
    "last": _last, "final": _final, "mean": _mean, "max": _max}
