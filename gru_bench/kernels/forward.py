"""The forward pass of a GRU layer: the input projection of distinct rows, then the recurrence.

    r = sigmoid(W_r x + b_ir + U_r h + b_hr)
    z = sigmoid(W_z x + b_iz + U_z h + b_hz)
    n = tanh(W_n x + b_in + r * (U_n h + b_hn))
    h = n + z * (h - n)
"""

# numba derives the types of compiled functions from their arguments.
# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from numba import njit

from gru_bench.kernels.compiler import FAST, jit
from gru_bench.kernels.layer import groups_of, length_of, part_of, position_of, row_of, task_of
from gru_bench.kernels.products import CHUNK, matrix, multiply, pack, panels_at, rounded_up
from gru_bench.kernels.tiles import TILE_ROWS, WIDEST
from gru_bench.kernels.vectors import LANES, at, clear, copy, for_vectors, load, sigmoid, store, tanh

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


class ProjectionBuffers(NamedTuple):
    """The working memory of `project`: a row for each worker."""

    panels: Array
    """(workers, E * 3H+)."""
    bias: Array
    """(workers, 3H)."""


class RecurrenceBuffers(NamedTuple):
    """The working memory of `recur`: a row for each worker."""

    panels: Array
    """(workers, H * 3H+): hidden weights."""
    states: Array
    """(workers, group * H+): h of each sequence of the group."""
    sums: Array
    """(workers, group * 3H+): U h."""


@jit(nogil=True, fastmath=FAST)
def project(worker, workers, layer, weights, rows, buffers, projected):
    """Write W x + b of the distinct rows (U, E) to `projected` (directions * U, 3H+).

    The hidden biases of r and z are added here.
    """
    gates = 3 * layer.hidden
    low, high = part_of(rows.shape[0], worker, workers)
    bias = row_of(buffers.bias, worker)
    panels = panels_at(row_of(buffers.panels, worker), layer.inputs, gates, WIDEST[TILE_ROWS])
    for direction in range(layer.directions):
        input_bias, hidden_bias = weights.input_bias[direction], weights.hidden_bias[direction]
        for c in range(gates):
            bias[c] = input_bias[c] + (hidden_bias[c] if c < 2 * layer.hidden else 0.0)
        pack(matrix(at(weights.input[direction], 0), 1, layer.inputs), layer.inputs, gates, False, panels, 0)
        for begin in range(low, high, CHUNK):
            count = min(CHUNK, high - begin)
            for u in range(begin, begin + count):
                copy(bias, row_of(projected, direction * rows.shape[0] + u), gates)
            multiply(
                matrix(row_of(rows, begin), layer.inputs, 1), count, panels,
                row_of(projected, direction * rows.shape[0] + begin), projected.shape[1], True,
            )


# The equations, for the hidden units j to j + count of one token. Callers leave out j and count: `for_vectors` computes
# all units. x points to the token's projected row, sums to U h, h to its state, and gates to what is kept for the
# backward pass.


@for_vectors
def _step(j, count, hidden, x, sums, bias, h, gates, output, training):
    r = sigmoid(load(x, j, count) + load(sums, j, count))
    z = sigmoid(load(x, hidden + j, count) + load(sums, hidden + j, count))
    q = load(sums, 2 * hidden + j, count) + load(bias, 2 * hidden + j, count)
    n = tanh(load(x, 2 * hidden + j, count) + r * q)
    state = n + z * (load(h, j, count) - n)
    store(h, j, state, count)
    store(output, j, state, count)
    if training:
        store(gates, j, n, count)
        store(gates, hidden + j, r, count)
        store(gates, 2 * hidden + j, z, count)
        store(gates, 3 * hidden + j, q, count)


@jit(nogil=True, fastmath=FAST)
def recur(worker, workers, layer, batch, weights, projected, states, buffers):
    """Run the recurrence over every sequence, a group of them at a time.

    Writes `output` of the `States`, zeros for padding included, and `gates` if training.
    """
    hidden = layer.hidden
    widest = WIDEST[min(layer.group, TILE_ROWS)]
    panels = panels_at(row_of(buffers.panels, worker), hidden, 3 * hidden, widest)
    groups = groups_of(layer, batch)
    tasks = layer.directions * groups
    packed = -1
    for i in range((tasks + workers - 1) // workers):
        task = task_of(i, worker, workers)
        if task >= tasks:
            continue
        direction = task // groups
        if direction != packed:
            pack(matrix(at(weights.hidden[direction], 0), 1, hidden), hidden, 3 * hidden, False, panels, 0)
            packed = direction
        group = batch.order[(task % groups) * layer.group : (task % groups + 1) * layer.group]
        for sequence in group:
            for position in range(length_of(batch, sequence), states.padded_to):
                clear(at(row_of(states.output, states.output_rows[sequence] + position), direction * hidden), hidden)
        _run_group(worker, layer, batch, group, direction, weights, projected, states, panels, buffers)


@njit(fastmath=FAST)
def _run_group(worker, layer, batch, group, direction, weights, projected, states, panels, buffers):
    """Run the sequences of a group from the first step to the last."""
    hidden = layer.hidden
    h, sums = row_of(buffers.states, worker), row_of(buffers.sums, worker)
    h_row, sums_row = rounded_up(hidden, LANES), panels.vectors * LANES
    bias = at(weights.hidden_bias[direction], 0)
    tokens, rows = batch.rows.size, projected.shape[0] // layer.directions
    from_zeros = states.initial.size == 0
    clear(h, group.size * h_row)
    if not from_zeros:
        for k in range(group.size):
            copy(at(states.initial, (direction * batch.order.size + group[k]) * hidden), at(h, k * h_row), hidden)
    active = group.size
    for step in range(length_of(batch, group[0])):
        while length_of(batch, group[active - 1]) <= step:
            active -= 1
        if step == 0 and from_zeros:
            clear(sums, active * sums_row)
        else:
            multiply(matrix(h, h_row, 1), active, panels, sums, sums_row, False)
        for k in range(active):
            position = position_of(batch, group[k], step, direction)
            token = batch.starts[group[k]] + position
            x = row_of(projected, direction * rows + batch.rows[token])
            gates = at(states.gates, (direction * tokens + token) * 4 * hidden)
            output = at(row_of(states.output, states.output_rows[group[k]] + position), direction * hidden)
            _step(hidden, x, at(sums, k * sums_row), bias, at(h, k * h_row), gates, output, layer.training)
