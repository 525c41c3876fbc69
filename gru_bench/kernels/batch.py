"""The tokens of a batch, numbered one after another, and the work of each thread.

Sequences of different lengths need no padding. They run in groups of similar length, and a sequence leaves its group
where it ends. Work is divided among the workers by a fixed rule, and no two workers add to the same number. So with a
given number of workers, results repeat bit for bit.

Shapes: B sequences, N tokens of all of them, U rows of input.
"""

# numba derives the types of compiled functions from their arguments.
# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs

from __future__ import annotations

import numpy as np
from numba import njit

from gru_bench.kernels.compiler import jit


@jit(nogil=True)
def extent(lengths):
    """Return the smallest, the largest and the sum of the lengths. For few lengths numpy takes ten times as long."""
    shortest, longest, total = lengths[0], lengths[0], 0
    for length in lengths:
        shortest, longest = min(shortest, length), max(longest, length)
        total += length
    return shortest, longest, total


@jit(nogil=True)
def plan(index, lengths, steps, rows, order, starts, tokens):
    """Number the tokens of a batch: sequences by falling length, the first token and the row of each.

    Fills order (B,), starts (B + 1,) and tokens (N,). index is B * steps flat. Returns the smallest and the
    largest row that a token names.
    """
    sequences = lengths.size
    counts = np.zeros(steps + 2, np.int64)
    for b in range(sequences):
        counts[steps - lengths[b] + 1] += 1
    for i in range(steps + 1):
        counts[i + 1] += counts[i]
    least, most, n = rows, -1, 0
    for b in range(sequences):
        place = steps - lengths[b]
        order[counts[place]] = b
        counts[place] += 1
        starts[b] = n
        for t in range(lengths[b]):
            row = np.int64(index[b * steps + t])
            tokens[n] = row
            least = min(least, row)
            most = max(most, row)
            n += 1
    starts[sequences] = n
    return least, most


@jit(nogil=True)
def gather_plan(tokens, rows, first, members):
    """List the tokens of each row: those of row u are members[first[u] : first[u + 1]], ascending."""
    for u in range(rows + 1):
        first[u] = 0
    for p in range(tokens.size):
        first[tokens[p] + 1] += 1
    for u in range(rows):
        first[u + 1] += first[u]
    for p in range(tokens.size):
        u = tokens[p]
        members[first[u]] = p
        first[u] += 1
    for u in range(rows, 0, -1):
        first[u] = first[u - 1]
    first[0] = 0


@njit
def share_of(count, worker, workers):
    """Return the range of `count` items that a worker handles."""
    return count * worker // workers, count * (worker + 1) // workers


@njit
def task_of(i, worker, workers):
    """Return the i-th task of a worker. Tasks are dealt forth and back, so that long and short ones balance."""
    return i * workers + (worker if i % 2 == 0 else workers - 1 - worker)


@njit
def length_of(starts, b):
    """Return the number of tokens of sequence b."""
    return starts[b + 1] - starts[b]


@njit
def position_of(starts, b, s, direction):
    """Return the position in sequence b of its step s. Direction 1 starts at the last token."""
    return s if direction == 0 else starts[b + 1] - starts[b] - 1 - s
