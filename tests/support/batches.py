"""Batches for the fused kernel, the references it is compared with, and how much it may differ.

An error is measured against the largest value of its kind in the reference: each number is a sum of up to K products,
summed in float32 in blocks, and rounding errors of 2^-24 grow like sqrt(K); K is at most some 2,000 tokens here.
64 * 2^-24 = 3.8e-6 allows for that growth. torch's own float32 GRU is off by as much on the same cases.

Shapes: U rows, E input width, B sequences, T longest, H hidden, D = H * directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gru_bench.kernels.fused import fused_gru

# The worst observed over all cases of this file is 1.4e-6.
BOUND_32 = 64 * 2.0**-24


@dataclass(frozen=True)
class Batch:
    """Everything that goes in, in float64, and a gradient for what comes out."""

    rows_UE: Tensor
    index_BT: Tensor
    lengths_B: Tensor
    weights: list[Tensor]
    grad_BTD: Tensor
    layers: int
    hidden: int
    bidirectional: bool

    def to(self, dtype: torch.dtype) -> tuple[Tensor, list[Tensor], Tensor]:
        rows = self.rows_UE.to(dtype).requires_grad_()
        return rows, [w.to(dtype).requires_grad_() for w in self.weights], self.grad_BTD.to(dtype)


def make_batch(
    sequences: int,
    steps: int,
    rows: int,
    inputs: int,
    hidden: int,
    layers: int = 1,
    bidirectional: bool = False,
    seed: int = 0,
    lengths: Sequence[int] | None = None,
) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    directions = 2 if bidirectional else 1

    def uniform(*shape: int) -> Tensor:
        # Whatever float32 can hold exactly: both precisions then compute the same function.
        bound = 1 / hidden**0.5
        drawn: Tensor = torch.rand(*shape, generator=draw) * 2 * bound - bound
        return drawn.double()

    weights: list[Tensor] = []
    for layer in range(layers):
        width = inputs if layer == 0 else hidden * directions
        for _ in range(directions):
            weights += [
                uniform(3 * hidden, width),
                uniform(3 * hidden, hidden),
                uniform(3 * hidden),
                uniform(3 * hidden),
            ]
    return Batch(
        torch.randn(rows, inputs, generator=draw).double(),
        torch.randint(0, rows, (sequences, steps), generator=draw),
        torch.tensor(lengths) if lengths else torch.randint(1, steps + 1, (sequences,), generator=draw),
        weights,
        torch.randn(sequences, steps, hidden * directions, generator=draw).double(),
        layers,
        hidden,
        bidirectional,
    )


def by_torch(batch: Batch) -> tuple[Tensor, list[Tensor]]:
    """nn.GRU in float64 on each sequence alone."""
    rows, weights, grad = batch.to(torch.float64)
    directions = 2 if batch.bidirectional else 1
    output = torch.zeros_like(grad)
    for b, length in enumerate(batch.lengths_B.tolist()):
        state = torch.zeros(batch.layers * directions, batch.hidden, dtype=torch.float64)
        output[b, :length] = torch.gru(
            rows[batch.index_BT[b, :length]].unsqueeze(0),
            state.unsqueeze(1),
            weights,
            True,
            batch.layers,
            0.0,
            False,
            batch.bidirectional,
            True,
        )[0][0]
    return output.detach(), list(torch.autograd.grad((output * grad).sum(), [rows, *weights]))


def by_kernel(batch: Batch) -> tuple[Tensor, list[Tensor]]:
    rows, weights, grad = batch.to(torch.float32)
    output = fused_gru(rows, batch.index_BT, batch.lengths_B, weights, bidirectional=batch.bidirectional)
    return output.detach(), list(torch.autograd.grad((output * grad).sum(), [rows, *weights]))


def error(ours: tuple[Tensor, list[Tensor]], theirs: tuple[Tensor, list[Tensor]]) -> float:
    """The largest error of any value, relative to the largest value of its kind.

    The four parameters of a layer and direction are one kind: their gradients are sums over the same tokens, and
    the error of a sum is in proportion to what was added, which may cancel in one of them and not in the others.
    """
    (output, (rows, *parameters)), (_, (_, *references)) = theirs, ours
    kinds = [[(ours[0], output)], [(ours[1][0], rows)]]
    pairs = list(zip(references, parameters, strict=True))
    kinds += [pairs[i : i + 4] for i in range(0, len(pairs), 4)]
    worst = 0.0
    for kind in kinds:
        scale = max(float(reference.abs().max()) for _, reference in kind) or 1.0  # where all of it must be 0
        for value, reference in kind:
            assert value.shape == reference.shape
            worst = max(worst, float((value.double() - reference).abs().max()) / scale)
    return worst
