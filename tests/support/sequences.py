"""Sequences of several lengths, and torch's own networks on each of them alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

TOLERANCE = 1e-10
"""Float64 has 1e-16; 10 steps of sums over 20 terms lose two digits or three, never six."""


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sequences(lengths: list[int], width: int = 5, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Padded inputs whose padding is large, so that any leak shows."""
    x_BTE = torch.randn(len(lengths), max(lengths), width, dtype=torch.float64, generator=generator(seed))
    length_B = torch.tensor(lengths)
    x_BTE[torch.arange(max(lengths)) >= length_B[:, None]] = 100.0
    return x_BTE, length_B


def alone(network: nn.GRU | nn.RNN, x_BTE: Tensor, length_B: Tensor) -> Tensor:
    """torch's network on each sequence by itself: no padding, no packing."""
    outputs = [network(x_BTE[b:b + 1, :n])[0][0] for b, n in enumerate(length_B.tolist())]
    return nn.utils.rnn.pad_sequence(outputs, batch_first=True)


def gradients(output: Tensor, wrt: list[Tensor]) -> list[Tensor]:
    weight = torch.randn(output.shape, dtype=output.dtype, generator=generator(9))
    return list(torch.autograd.grad((output * weight).sum(), wrt))


LENGTHS = [[1], [4, 4], [3, 7, 1, 5]]
