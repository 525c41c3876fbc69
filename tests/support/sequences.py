"""Sequences of several lengths, and torch's own networks on each of them alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gru_bench.models.classifier import Classifier
from gru_bench.models.stack import Stack
from tests.support.batches import BOUND_32

TOLERANCE = 1e-10
"""Float64 has 1e-16; 10 steps of sums over 20 terms lose two digits or three, never six."""


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def stack_of(model: Classifier) -> Stack:
    """The recurrence of a preset."""
    assert isinstance(model.recurrence, Stack)
    return model.recurrence


def table(width: int) -> Tensor:
    """A table of word vectors with the padding alone."""
    return torch.zeros(1, width)


def sequences(lengths: list[int], width: int = 5, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Padded inputs whose padding is large, so that any leak shows. float32 can hold each value exactly."""
    x_BTE = torch.randn(len(lengths), max(lengths), width, generator=generator(seed)).double()
    length_B = torch.tensor(lengths)
    x_BTE[torch.arange(max(lengths)) >= length_B[:, None]] = 100.0
    return x_BTE, length_B


def alone(network: nn.GRU | nn.RNN, x_BTE: Tensor, length_B: Tensor) -> Tensor:
    """torch's network on each sequence by itself: no padding, no packing."""
    outputs = [network(x_BTE[b:b + 1, :n])[0][0] for b, n in enumerate(length_B.tolist())]
    return nn.utils.rnn.pad_sequence(outputs, batch_first=True)


def gradients(output: Tensor, wrt: list[Tensor]) -> list[Tensor]:
    weight = torch.randn(output.shape, generator=generator(9)).to(output.dtype)
    return list(torch.autograd.grad((output * weight).sum(), wrt))


def close(ours: Tensor, theirs: Tensor) -> None:
    """Assert that values are those of a computation in float64. Those in float32 may be off by the kernel's bound."""
    if ours.dtype == torch.float64:
        torch.testing.assert_close(ours, theirs, rtol=0, atol=TOLERANCE)
    else:
        largest = max(1.0, float(theirs.detach().abs().max()))
        torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=BOUND_32 * largest)


LENGTHS = [[1], [4, 4], [3, 7, 1, 5]]
