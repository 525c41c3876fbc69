"""The gradients of a GRU layer: the recurrence backward, then those of the weights and of the rows.

With d the gradient of the state that a token ends with, and h the state before it:

    dn = d (1 - z) (1 - n^2)          dz = d (h - n) z (1 - z)
    dr = dn q r (1 - r)               dq = dn r                 with q = U_n h + b_hn

The gradients of the sums of n, r and z take the places of the gates that the forward pass has kept. What h receives
is d z, and the hidden weights times dr, dz and dq.
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
from gru_bench.kernels.vectors import LANES, accumulate, at, clear, copy, for_vectors, load, prefetch, store

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


class RecurrenceBuffers(NamedTuple):
    """The working memory of `recur_backward`: a row for each worker."""

    panels: Array
    """(workers, 3H * H+): hidden weights."""
    gradients: Array
    """(workers, CHUNK * 3H): dr, dz and dq."""
    states: Array
    """(workers, CHUNK * H+): the state before each token."""
    factors: Array
    """(workers, CHUNK * (H + 1)+): packed states."""
    state_gradients: Array
    """(workers, group * H+): d of each sequence of the group."""
    zeros: Array
    """(workers, H+): the state before the first token."""
    sums: Array
    """(workers * directions * 3H, (H + 1)+): the gradient of the hidden weights and, in column H, of their biases, from
    the worker's own sequences."""


class WeightBuffers(NamedTuple):
    """The working memory of `weight_gradients`."""

    panels: Array
    """(workers, CHUNK * (E + 1)+)."""
    gradients: Array
    """(workers, CHUNK * 3H)."""
    sums: Array
    """(directions * 3H, (E + 1)+): the gradients of the input weights, and in column E those of the biases."""


class RowBuffers(NamedTuple):
    """The working memory of `row_gradients`."""

    panels: Array
    """(workers, directions * 3H * E+)."""
    products: Array
    """(workers, CHUNK * E+)."""


# The equations, for the hidden units j to j + count of one token. Callers leave out j and count: `for_vectors` computes
# all units. `gradient` is that of the token's output, `previous` the state before, and d what h receives from the next
# token and then what the previous one receives through z.


@for_vectors
def _step(j, count, hidden, gradient, previous, gates, gradients, state, d):
    n = load(gates, j, count)
    r = load(gates, hidden + j, count)
    z = load(gates, 2 * hidden + j, count)
    q = load(gates, 3 * hidden + j, count)
    h = load(previous, j, count)
    dh = load(d, j, count) + load(gradient, j, count)
    dn = dh * (1.0 - z) * (1.0 - n * n)
    dz = dh * (h - n) * z * (1.0 - z)
    dr = dn * q * r * (1.0 - r)
    store(gates, j, dn, count)
    store(gates, hidden + j, dr, count)
    store(gates, 2 * hidden + j, dz, count)
    store(gradients, j, dr, count)
    store(gradients, hidden + j, dz, count)
    store(gradients, 2 * hidden + j, dn * r, count)
    store(state, j, h, count)
    store(d, j, dh * z, count)


@jit(nogil=True, fastmath=FAST)
def recur_backward(worker, workers, layer, batch, weights, gradient, states, buffers, initial_gradient):
    """Run the gradient of `recur`: the n, r and z in `states.gates` become the gradients of their sums.

    gradient: of the output. initial_gradient: of `states.initial`. `buffers.sums` gets those of the hidden weights.
    """
    hidden = layer.hidden
    widest = WIDEST[min(layer.group, TILE_ROWS)]
    panels = panels_at(row_of(buffers.panels, worker), 3 * hidden, hidden, widest)
    own_sums = row_of(buffers.sums, worker * layer.directions * 3 * hidden)
    clear(own_sums, layer.directions * 3 * hidden * buffers.sums.shape[1])
    clear(row_of(buffers.zeros, worker), buffers.zeros.shape[1])
    groups = groups_of(layer, batch)
    tasks = layer.directions * groups
    packed = -1
    for i in range((tasks + workers - 1) // workers):
        task = task_of(i, worker, workers)
        if task >= tasks:
            continue
        direction = task // groups
        if direction != packed:
            pack(matrix(at(weights.hidden[direction], 0), hidden, 1), 3 * hidden, hidden, False, panels, 0)
            packed = direction
        group = batch.order[(task % groups) * layer.group : (task % groups + 1) * layer.group]
        _run_group(
            worker, layer, batch, group, direction, gradient, states, panels, buffers,
            at(own_sums, direction * 3 * hidden * buffers.sums.shape[1]), initial_gradient,
        )


@njit(fastmath=FAST)
def _run_group(worker, layer, batch, group, direction, gradient, states, panels, buffers, sums, initial_gradient):
    """Run the sequences of a group from the last step to the first.

    Gradients and the states before them gather, up to CHUNK tokens, until they are multiplied while still in the cache.
    """
    hidden, tokens = layer.hidden, batch.rows.size
    gradients, before = row_of(buffers.gradients, worker), row_of(buffers.states, worker)
    factors, d = row_of(buffers.factors, worker), row_of(buffers.state_gradients, worker)
    zeros, h_row = row_of(buffers.zeros, worker), rounded_up(hidden, LANES)
    from_zeros = states.initial.size == 0
    clear(d, group.size * h_row)
    active = 0
    held = 0
    for step in range(length_of(batch, group[0]) - 1, -1, -1):
        while active < group.size and length_of(batch, group[active]) > step:
            active += 1
        if held + active > CHUNK:
            _add_products(layer, held, gradients, before, factors, sums)
            held = 0
        new_gradients, new_before = at(gradients, held * 3 * hidden), at(before, held * h_row)
        for k in range(active):
            position = position_of(batch, group[k], step, direction)
            token = batch.starts[group[k]] + position
            row = states.output_rows[group[k]] + position
            earlier = -1 if direction == 0 else 1
            gates = at(states.gates, (direction * tokens + token) * 4 * hidden)
            token_gradient = at(row_of(gradient, row), direction * hidden)
            previous = zeros
            if step > 0:
                previous = at(row_of(states.output, row + earlier), direction * hidden)
                # The step before this one, while the product keeps the core busy.
                prefetch(at(gates, earlier * 4 * hidden), 4 * hidden)
                prefetch(at(row_of(gradient, row + earlier), direction * hidden), hidden)
            elif not from_zeros:
                previous = at(states.initial, (direction * batch.order.size + group[k]) * hidden)
            _step(hidden, token_gradient, previous, gates, at(new_gradients, k * 3 * hidden),
                  at(new_before, k * h_row), at(d, k * h_row))
        if step > 0 or not from_zeros:
            multiply(matrix(new_gradients, 3 * hidden, 1), active, panels, d, h_row, True)
        held += active
    if not from_zeros:
        for k in range(group.size):
            target = at(initial_gradient, (direction * batch.order.size + group[k]) * hidden)
            copy(at(d, k * h_row), target, hidden)
    _add_products(layer, held, gradients, before, factors, sums)


@njit
def _add_products(layer, count, gradients, before, factors, sums):
    """Add to sums (3H, (H + 1)+) the products of the gradients of `count` tokens with the states before them.

    Column H adds up the gradients alone: by a factor of 1 where a vector has room for it beside the states.
    """
    hidden, gates = layer.hidden, 3 * layer.hidden
    h_row, sums_row = rounded_up(hidden, LANES), rounded_up(hidden + 1, LANES)
    room = h_row == sums_row
    if not room:
        clear(factors, gates)
        for k in range(count):
            accumulate(at(gradients, k * gates), factors, gates)
        for c in range(gates):
            sums[c * sums_row + hidden] += factors[c]
    panels = panels_at(factors, count, hidden, WIDEST[TILE_ROWS])
    pack(matrix(before, h_row, 1), count, hidden, room, panels, 0)
    multiply(matrix(gradients, 1, gates), gates, panels, sums, sums_row, True)


@njit
def _gather(batch, gates, row, low, high, columns, target, target_row):
    """target[u - low, :columns] = the sum of gates[token * row], :columns, over the tokens of row u."""
    for u in range(low, high):
        for m in range(batch.first[u], batch.first[u + 1]):
            if m + 4 < batch.members.size:
                prefetch(at(gates, batch.members[m + 4] * row), columns)
            source = at(gates, batch.members[m] * row)
            if m == batch.first[u]:
                copy(source, target, columns)
            else:
                accumulate(source, target, columns)
        if batch.first[u] == batch.first[u + 1]:
            clear(target, columns)
        target = at(target, target_row)


@jit(nogil=True, fastmath=FAST)
def weight_gradients(worker, workers, layer, batch, rows, gates, hidden_sums, gathered, buffers, gradients):
    """Sum up the gradients of the weights, once `recur_backward` has run.

    The gradients of the tokens of a row are added up first. They stay in `gathered` (U, directions * 3H, in the order
    n, r, z) for `row_gradients`, or, where that has no rows, in the cache.
    """
    hidden = layer.hidden
    tokens, width = batch.rows.size, 3 * hidden
    sums_row = buffers.sums.shape[1]
    blocks = (width + TILE_ROWS - 1) // TILE_ROWS
    from_block, to_block = part_of(layer.directions * blocks, worker, workers)
    for begin in range(0, rows.shape[0], CHUNK):
        if from_block == to_block:
            break
        end = min(rows.shape[0], begin + CHUNK)
        panels = panels_at(row_of(buffers.panels, worker), end - begin, layer.inputs + 1, WIDEST[TILE_ROWS])
        pack(matrix(row_of(rows, begin), layer.inputs, 1), end - begin, layer.inputs, True, panels, 0)
        for direction in range(layer.directions):
            low = max(0, from_block - direction * blocks) * TILE_ROWS
            high = min(width, (to_block - direction * blocks) * TILE_ROWS)
            if low >= high:
                continue
            if gathered.size > 0:
                target, target_row = at(row_of(gathered, begin), direction * width + low), gathered.shape[1]
            else:
                target, target_row = row_of(buffers.gradients, worker), high - low
            source = at(gates, direction * tokens * 4 * hidden + low)
            _gather(batch, source, 4 * hidden, begin, end, high - low, target, target_row)
            multiply(
                matrix(target, 1, target_row), high - low, panels, row_of(buffers.sums, direction * width + low),
                sums_row, begin > 0,
            )
    for direction in range(layer.directions):
        low = max(0, from_block - direction * blocks) * TILE_ROWS
        high = min(width, (to_block - direction * blocks) * TILE_ROWS)
        for c in range(low, high):
            line = (c + 2 * hidden) % width
            source = row_of(buffers.sums, direction * width + c)
            copy(source, row_of(gradients.input[direction], line), layer.inputs)
            gradients.input_bias[direction][line] = source[layer.inputs]
    low, high = part_of(layer.directions * width, worker, workers)
    for g in range(low, high):
        direction, line = g // width, g % width
        total = row_of(hidden_sums, g)
        for other in range(1, workers):
            accumulate(row_of(hidden_sums, other * layer.directions * width + g), total, hidden_sums.shape[1])
        copy(total, row_of(gradients.hidden[direction], line), hidden)
        gradients.hidden_bias[direction][line] = total[hidden]


@jit(nogil=True, fastmath=FAST)
def row_gradients(worker, workers, layer, weights, gathered, buffers, gradient):
    """gradient (U, E) = the gradient of the distinct rows: what was gathered, times the input weights."""
    hidden, inputs = layer.hidden, layer.inputs
    depth = layer.directions * 3 * hidden
    low, high = part_of(gathered.shape[0], worker, workers)
    own = panels_at(row_of(buffers.panels, worker), depth, inputs, WIDEST[TILE_ROWS])
    product, product_row = row_of(buffers.products, worker), rounded_up(inputs, LANES)
    for direction in range(layer.directions):
        values, begin = weights.input[direction], direction * 3 * hidden
        pack(matrix(row_of(values, 2 * hidden), inputs, 1), hidden, inputs, False, own, begin)
        pack(matrix(row_of(values, 0), inputs, 1), 2 * hidden, inputs, False, own, begin + hidden)
    for begin in range(low, high, CHUNK):
        count = min(CHUNK, high - begin)
        multiply(matrix(row_of(gathered, begin), depth, 1), count, own, product, product_row, False)
        for u in range(count):
            copy(at(product, u * product_row), row_of(gradient, begin + u), inputs)
