"""The pooling of a layer's output over time, and its gradient.

Shapes: B sequences, N tokens of all of them, D output width, F features. Arrays are flat and addressed by offsets.
"""

# numba derives the types of compiled functions from their arguments.
# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs

from __future__ import annotations

from numba import njit

from gru_bench.kernels.batch import share_of
from gru_bench.kernels.compiler import FAST, jit
from gru_bench.kernels.vectors import accumulate, clear, copy, lanes_of, larger, load, store, where_equal


@njit
def _lift(a, at, b, bt, count):
    """b = the larger of a and b for each value. NaN stays NaN."""
    lanes = lanes_of(a)
    whole = count - count % lanes
    for c in range(0, whole, lanes):
        store(b, bt + c, larger(load(a, at + c, lanes), load(b, bt + c, lanes)), lanes)
    if whole < count:
        rest = count - whole
        store(b, bt + whole, larger(load(a, at + whole, rest), load(b, bt + whole, rest)), rest)


@njit
def _count_equal(a, at, b, bt, c, ct, count):
    """Add 1 to c where a and b are equal."""
    lanes = lanes_of(a)
    whole = count - count % lanes
    for i in range(0, whole, lanes):
        equal = where_equal(load(a, at + i, lanes), load(b, bt + i, lanes), 1.0)
        store(c, ct + i, load(c, ct + i, lanes) + equal, lanes)
    if whole < count:
        rest = count - whole
        equal = where_equal(load(a, at + whole, rest), load(b, bt + whole, rest), 1.0)
        store(c, ct + whole, load(c, ct + whole, rest) + equal, rest)


@njit
def _add_where_equal(a, at, b, bt, c, ct, d, dt, result, rt, count):
    """result = c, plus d where a and b are equal."""
    lanes = lanes_of(a)
    whole = count - count % lanes
    for i in range(0, whole, lanes):
        equal = where_equal(load(a, at + i, lanes), load(b, bt + i, lanes), load(d, dt + i, lanes))
        store(result, rt + i, load(c, ct + i, lanes) + equal, lanes)
    if whole < count:
        rest = count - whole
        equal = where_equal(load(a, at + whole, rest), load(b, bt + whole, rest), load(d, dt + whole, rest))
        store(result, rt + whole, load(c, ct + whole, rest) + equal, rest)


@jit(nogil=True, fastmath=FAST)
def pool(worker, workers, out, starts, width, last, mean, largest, features):
    """Pool the output (N, D) of each sequence to its features: F values, in the order of these arguments.

    last: Number of columns that are taken from the last token; the others are from the first token. 0: neither.
    mean: Whether to take the mean over the tokens.
    largest: Whether to take the maximum over the tokens for each column.
    """
    size = (width if last > 0 else 0) + (width if mean else 0) + (width if largest else 0)
    low, high = share_of(starts.size - 1, worker, workers)
    for b in range(low, high):
        begin, end = starts[b], starts[b + 1]
        ft = b * size
        if last > 0:
            copy(out, (end - 1) * width, features, ft, last)
            copy(out, begin * width + last, features, ft + last, width - last)
            ft += width
        if mean:
            copy(out, begin * width, features, ft, width)
            for t in range(begin + 1, end):
                accumulate(out, t * width, features, ft, width)
            share = features.dtype.type(1.0) / features.dtype.type(end - begin)
            for c in range(width):
                features[ft + c] *= share
            ft += width
        if largest:
            copy(out, begin * width, features, ft, width)
            for t in range(begin + 1, end):
                _lift(out, t * width, features, ft, width)


@jit(nogil=True, fastmath=FAST)
def pool_gradient(worker, workers, grad, out, starts, width, last, mean, largest, features, scratch, result):
    """Turn the gradient (B, F) of `pool` into that of the output: result (N, D).

    Where several tokens share the largest value, each gets the same part of its gradient. scratch: 2 D values for
    each worker.
    """
    size = (width if last > 0 else 0) + (width if mean else 0) + (width if largest else 0)
    low, high = share_of(starts.size - 1, worker, workers)
    part = worker * 2 * width
    count = part + width
    for b in range(low, high):
        begin, end = starts[b], starts[b + 1]
        ft = b * size
        if last > 0:
            clear(result, begin * width, (end - begin) * width)
            copy(grad, ft, result, (end - 1) * width, last)
            copy(grad, ft + last, result, begin * width + last, width - last)
            ft += width
        clear(scratch, part, 2 * width)
        if mean:
            share = features.dtype.type(1.0) / features.dtype.type(end - begin)
            for c in range(width):
                scratch[part + c] = grad[ft + c] * share
            ft += width
        if largest:
            for t in range(begin, end):
                _count_equal(out, t * width, features, ft, scratch, count, width)
            for c in range(width):
                # A largest value that is nan equals none.
                scratch[count + c] = grad[ft + c] / max(scratch[count + c], features.dtype.type(1.0))
            for t in range(begin, end):
                _add_where_equal(
                    out, t * width, features, ft, scratch, part, scratch, count, result, t * width, width
                )
        elif mean:
            for t in range(begin, end):
                copy(scratch, part, result, t * width, width)
