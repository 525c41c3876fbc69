"""What the functions of a layer hand each other: its sizes, the tokens of a batch, its weights; and who does what.

Sequences of different lengths need no padding. They run in groups of similar length, and a sequence leaves its group
where it ends. Work is divided among the workers by a fixed rule, and no two workers add to the same number. So with a
given number of workers, results repeat bit for bit.

Shapes, in all modules: B sequences, N tokens of all of them, U distinct rows of input, E input width, H hidden units,
D = directions * H. Arrays are C-contiguous, and `+` marks a dimension that is rounded up to whole vectors.
"""

# numba derives the types of compiled functions from their arguments.
# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from numba import njit

from gru_bench.kernels.compiler import jit
from gru_bench.kernels.vectors import at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
    Pair = tuple[Array, Array]


class Layer(NamedTuple):
    """Sizes of a layer, and whether it is trained."""

    directions: int
    inputs: int
    """E."""
    hidden: int
    """H."""
    group: int
    """Number of sequences that run together: they share one pass over the hidden weights at each step."""
    training: bool
    """Whether the forward pass keeps its gates for the backward pass."""


class Batch(NamedTuple):
    """The tokens of a batch, numbered from sequence to sequence. All arrays are int64."""

    order: Array
    """(B,): the sequences by falling length."""
    starts: Array
    """(B + 1,): the first token of each sequence."""
    rows: Array
    """(N,): the row of input of each token."""
    first: Array
    """(U + 1,): where the tokens of each row begin in `members`."""
    members: Array
    """(N,): the tokens of row u are members[first[u] : first[u + 1]], ascending."""


class Weights(NamedTuple):
    """The weights of a layer, or their gradients: of both directions, or twice those of the only one.

    Rows are the gates r, z, n of H units each.
    """

    input: Pair
    """(3H, E) each."""
    hidden: Pair
    """(3H, H) each."""
    input_bias: Pair
    """(3H,) each."""
    hidden_bias: Pair
    """(3H,) each."""


class States(NamedTuple):
    """The states of a layer and its gates, which the forward pass writes and the backward pass reads."""

    initial: Array
    """(directions, B, H): the states before the first step; of size 0 where they are zeros."""
    output: Array
    """(rows, D): the state of each token, and zeros for padding."""
    output_rows: Array
    """(B,): the row of output of each sequence's first token."""
    padded_to: int
    """Rows of output of each sequence, padding included; 0: no padding."""
    gates: Array
    """(directions, N, 4H): n, r, z, q of each token, where q is U_n h + b_hn. The backward pass replaces n, r and z by
    the gradients of their sums."""


@jit(nogil=True)
def list_members(rows, first, members):
    """Fill `first` and `members` of a `Batch`, and return whether every token has a row.

    numpy's stable sort takes thirty times as long.
    """
    first[:] = 0
    for token in range(rows.size):
        if rows[token] < 0 or rows[token] >= first.size - 1:
            return False
        first[rows[token] + 1] += 1
    for u in range(first.size - 1):
        first[u + 1] += first[u]
    for token in range(rows.size):
        u = rows[token]
        members[first[u]] = token
        first[u] += 1
    for u in range(first.size - 1, 0, -1):
        first[u] = first[u - 1]
    first[0] = 0
    return True


@njit
def row_of(array, i):
    """Return a pointer to row i of a matrix."""
    return at(array, i * array.shape[1])


@njit
def part_of(count, worker, workers):
    """Return the range of `count` items that a worker handles."""
    return count * worker // workers, count * (worker + 1) // workers


@njit
def task_of(i, worker, workers):
    """Return the i-th task of a worker. Tasks are dealt forth and back, so that long and short ones balance."""
    return i * workers + (worker if i % 2 == 0 else workers - 1 - worker)


@njit
def groups_of(layer, batch):
    """Return the number of groups of a direction. Group g holds the sequences order[g * group : (g + 1) * group]."""
    return (batch.order.size + layer.group - 1) // layer.group


@njit
def length_of(batch, sequence):
    """Return the number of tokens of a sequence."""
    return batch.starts[sequence + 1] - batch.starts[sequence]


@njit
def position_of(batch, sequence, step, direction):
    """Return the position in a sequence of its step. Direction 1 starts at the last token."""
    return step if direction == 0 else length_of(batch, sequence) - 1 - step
