"""The pooling of a layer's output over time, and its gradient.

Shapes: B sequences, N tokens of all of them, D output width, F features.
"""

# numba derives the types of compiled functions from their arguments.
# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gru_bench.kernels.compiler import FAST, jit
from gru_bench.kernels.layer import part_of, row_of
from gru_bench.kernels.vectors import accumulate, at, clear, copy


class Parts(NamedTuple):
    """What features consist of, in this order: D values for each part."""

    last: int
    """Number of columns that are taken from the last token; the others are from the first token. 0: neither."""
    mean: bool
    """Whether they hold the mean over the tokens."""
    largest: bool
    """Whether they hold the largest value of each column."""


@jit(nogil=True, fastmath=FAST)
def pool(worker, workers, batch, parts, output, features):
    """Pool the output (N, D) of each sequence to its features (B, F)."""
    width = output.shape[1]
    low, high = part_of(batch.order.size, worker, workers)
    for sequence in range(low, high):
        begin, end = batch.starts[sequence], batch.starts[sequence + 1]
        feature = row_of(features, sequence)
        if parts.last > 0:
            copy(row_of(output, end - 1), feature, parts.last)
            copy(at(row_of(output, begin), parts.last), at(feature, parts.last), width - parts.last)
            feature = at(feature, width)
        if parts.mean:
            copy(row_of(output, begin), feature, width)
            for token in range(begin + 1, end):
                accumulate(row_of(output, token), feature, width)
            share = np.float32(1.0) / np.float32(end - begin)
            for c in range(width):
                feature[c] *= share
            feature = at(feature, width)
        if parts.largest:
            copy(row_of(output, begin), feature, width)
            for token in range(begin + 1, end):
                state = row_of(output, token)
                for c in range(width):
                    if state[c] > feature[c] or state[c] != state[c]:  # NaN stays NaN
                        feature[c] = state[c]


@jit(nogil=True, fastmath=FAST)
def pool_gradient(worker, workers, batch, parts, features_gradient, output, features, buffer, gradient):
    """Turn the gradient (B, F) of `pool` into that of the output: gradient (N, D).

    Where several tokens share the largest value, each gets the same part of its gradient. buffer: (workers, 2 D).
    """
    width = output.shape[1]
    low, high = part_of(batch.order.size, worker, workers)
    every, some = row_of(buffer, worker), at(row_of(buffer, worker), width)  # gradients of every token, and of some
    for sequence in range(low, high):
        begin, end = batch.starts[sequence], batch.starts[sequence + 1]
        given, feature = row_of(features_gradient, sequence), row_of(features, sequence)
        if parts.last > 0:
            clear(row_of(gradient, begin), (end - begin) * width)
            copy(given, row_of(gradient, end - 1), parts.last)
            copy(at(given, parts.last), at(row_of(gradient, begin), parts.last), width - parts.last)
            given, feature = at(given, width), at(feature, width)
        clear(every, 2 * width)
        if parts.mean:
            share = np.float32(1.0) / np.float32(end - begin)
            for c in range(width):
                every[c] = given[c] * share
            given, feature = at(given, width), at(feature, width)
        if parts.largest:
            for token in range(begin, end):
                state = row_of(output, token)
                for c in range(width):
                    if state[c] == feature[c]:
                        some[c] += 1
            for c in range(width):
                # A largest value that is NaN equals none.
                some[c] = given[c] / max(some[c], np.float32(1.0))
            for token in range(begin, end):
                state, target = row_of(output, token), row_of(gradient, token)
                for c in range(width):
                    target[c] = every[c] + (some[c] if state[c] == feature[c] else np.float32(0.0))
        elif parts.mean:
            for token in range(begin, end):
                copy(every, row_of(gradient, token), width)
