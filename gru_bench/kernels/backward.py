"""The gradients of a GRU layer: the recurrence backward, then those of the weights and of the rows.

Shapes: N tokens of all sequences of the batch, U distinct rows of input, E input width, H hidden units,
D = directions * H, G = directions * 3 * H. The gradients of n, r and z take the places of the values that the forward
pass saved. Arrays are flat and addressed by offsets.
"""

# numba derives the types of compiled functions from their arguments.
# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs

from __future__ import annotations

from numba import njit

from gru_bench.kernels.batch import length_of, position_of, share_of, task_of
from gru_bench.kernels.compiler import FAST, INLINE, jit
from gru_bench.kernels.products import CHUNK, multiply, pack, vectors_for
from gru_bench.kernels.tiles import TILE_ROWS, WIDEST
from gru_bench.kernels.vectors import accumulate, clear, copy, lanes_of, load, prefetch, store


@njit(**INLINE)
def _back_after(grad, gt, out, pt, inside, saved, st, a, at, states, rt, dh, ht, j, hidden, count):
    """Turn one vector of one token's saved n, r and z into gradients, reset after the product.

    `a` receives the gradients of r, z and q, in this order, `states` the state before, and dh what reaches it
    through z.
    """
    n = load(saved, st + j, count)
    r = load(saved, st + hidden + j, count)
    z = load(saved, st + 2 * hidden + j, count)
    q = load(saved, st + 3 * hidden + j, count)
    previous = load(out, pt + j, count if inside else 0)
    d = load(dh, ht + j, count) + load(grad, gt + j, count)
    dn = d * (1.0 - z) * (1.0 - n * n)
    dz = d * (previous - n) * z * (1.0 - z)
    dr = dn * q * r * (1.0 - r)
    store(saved, st + j, dn, count)
    store(saved, st + hidden + j, dr, count)
    store(saved, st + 2 * hidden + j, dz, count)
    store(a, at + j, dr, count)
    store(a, at + hidden + j, dz, count)
    store(a, at + 2 * hidden + j, dn * r, count)
    store(states, rt + j, previous, count)
    store(dh, ht + j, d * z, count)


@njit(**INLINE)
def _back_before(grad, gt, out, pt, inside, saved, st, a, at, states, rt, resets, qt, dh, ht, j, hidden, count):
    """The gradients of n and z of one vector of one token, reset before the product; `resets` receives r * h."""
    n = load(saved, st + j, count)
    z = load(saved, st + 2 * hidden + j, count)
    previous = load(out, pt + j, count if inside else 0)
    d = load(dh, ht + j, count) + load(grad, gt + j, count)
    dn = d * (1.0 - z) * (1.0 - n * n)
    dz = d * (previous - n) * z * (1.0 - z)
    store(saved, st + j, dn, count)
    store(saved, st + 2 * hidden + j, dz, count)
    store(a, at + hidden + j, dz, count)
    store(a, at + 2 * hidden + j, dn, count)
    store(states, rt + j, previous, count)
    store(resets, qt + j, load(saved, st + 3 * hidden + j, count), count)
    store(dh, ht + j, d * z, count)


@njit(**INLINE)
def _back_reset(saved, st, a, at, states, rt, c, ct, dh, ht, j, hidden, count):
    """The gradient of r of one vector of one token; `c` holds that of r * h."""
    r = load(saved, st + hidden + j, count)
    d = load(c, ct + j, count)
    dr = d * load(states, rt + j, count) * r * (1.0 - r)
    store(saved, st + hidden + j, dr, count)
    store(a, at + j, dr, count)
    store(dh, ht + j, load(dh, ht + j, count) + d * r, count)


@njit(fastmath=FAST)
def _row_back_after(grad, gt, out, pt, inside, saved, st, scratch, at, rt, ht, hidden):
    lanes = lanes_of(saved)
    whole = hidden - hidden % lanes
    for j in range(0, whole, lanes):
        _back_after(grad, gt, out, pt, inside, saved, st, scratch, at, scratch, rt, scratch, ht, j, hidden, lanes)
    if whole < hidden:
        rest = hidden - whole
        _back_after(grad, gt, out, pt, inside, saved, st, scratch, at, scratch, rt, scratch, ht, whole, hidden, rest)


@njit(fastmath=FAST)
def _row_back_before(grad, gt, out, pt, inside, saved, st, scratch, at, rt, qt, ht, hidden):
    lanes = lanes_of(saved)
    for j in range(0, hidden, lanes):
        n = min(lanes, hidden - j)
        _back_before(
            grad, gt, out, pt, inside, saved, st, scratch, at, scratch, rt, scratch, qt, scratch, ht, j, hidden, n
        )


@njit(fastmath=FAST)
def _row_back_reset(saved, st, scratch, at, rt, ct, ht, hidden):
    lanes = lanes_of(saved)
    for j in range(0, hidden, lanes):
        _back_reset(saved, st, scratch, at, scratch, rt, scratch, ct, scratch, ht, j, hidden, min(lanes, hidden - j))


@njit
def _add_lines(a, at, row, rows, columns, sums, ct, crow, spare):
    """Add to sums[ct + c * crow] the sum of column c over `rows` lines of a; columns fill vectors, one fits `spare`."""
    lanes = lanes_of(a)
    for c in range(0, columns, lanes):
        total = load(a, at + c, lanes)
        for k in range(1, rows):
            total = total + load(a, at + k * row + c, lanes)
        store(a, spare, total, lanes)
        for i in range(lanes):
            sums[ct + (c + i) * crow] += a[spare + i]


@njit
def _add_products(scratch, rows, hidden, before, a, states, resets, packed, sums, ct):
    """Add to sums (3H, H + 1 rounded up to vectors) the products of `rows` lines of gradients with their states.

    Column H adds up the gradients alone: by a factor of 1 where a vector has room for it beside the states.
    """
    lanes = lanes_of(scratch)
    widest = WIDEST[TILE_ROWS]
    vectors = vectors_for(hidden, lanes)
    room = hidden % lanes != 0
    panels = (vectors + widest - 1) // widest
    narrow = vectors * lanes
    crow = vectors_for(hidden + 1, lanes) * lanes
    if not room:
        _add_lines(scratch, a, 3 * hidden, rows, 3 * hidden, sums, ct + hidden, crow, packed)
    outputs = (2 if before else 3) * hidden
    pack(scratch, states, narrow, 1, rows, hidden, room, vectors, widest, scratch, packed, rows, 0)
    multiply(
        scratch, a, 1, 3 * hidden, outputs, scratch, packed, rows, vectors, widest, 0, panels, sums, ct, crow, True,
    )
    if before:
        pack(scratch, resets, narrow, 1, rows, hidden, room, vectors, widest, scratch, packed, rows, 0)
        multiply(
            scratch, a + outputs, 1, 3 * hidden, hidden, scratch, packed, rows, vectors, widest, 0, panels,
            sums, ct + outputs * crow, crow, True,
        )


@njit(fastmath=FAST)
def _backward_group(
    grad, order, starts, places, initial, first, count, direction, hidden, before, saved, out, width, widest,
    scratch, packed, packed_n, a, states, resets, dh, c, factors, sums, ct, initial_grad,
):
    """Run the gradient of `_forward_group`, from the last step to the first.

    Gradients and the states before them gather in `a`, `states` and `resets`, up to CHUNK tokens, until they are
    multiplied while still in the cache.
    """
    lanes = lanes_of(saved)
    few = vectors_for(hidden, lanes)
    panels = (few + widest - 1) // widest
    a_row, h_row = 3 * hidden, few * lanes
    depth = (2 if before else 3) * hidden
    clear(scratch, dh, count * h_row)
    from_zeros = initial.size == 0
    active = 0
    held = 0
    for s in range(length_of(starts, order[first]) - 1, -1, -1):
        while active < count and length_of(starts, order[first + active]) > s:
            active += 1
        if held + active > CHUNK:
            _add_products(scratch, held, hidden, before, a, states, resets, factors, sums, ct)
            held = 0
        earlier = out if s > 0 else initial
        inside = s > 0 or not from_zeros
        for half in range(2 if before else 1):
            if half == 1:
                multiply(
                    scratch, a + held * a_row + 2 * hidden, a_row, 1, active, scratch, packed_n, hidden, few, widest,
                    0, panels, scratch, c, h_row, False,
                )
            for k in range(active):
                b = order[first + k]
                t = position_of(starts, b, s, direction)
                st = (direction * starts[-1] + starts[b] + t) * 4 * hidden
                gt = (places[b] + t) * width + direction * hidden
                pt = gt - width if direction == 0 else gt + width
                if s == 0:
                    pt = (direction * order.size + b) * hidden
                at, ht = a + (held + k) * a_row, dh + k * h_row
                rt, qt = states + (held + k) * h_row, resets + (held + k) * h_row
                if half == 0 and s > 0:
                    # The step before this one, while the product keeps the core busy.
                    following = -1 if direction == 0 else 1
                    prefetch(saved, st + following * 4 * hidden, 4 * hidden)
                    prefetch(grad, gt + following * width, hidden)
                if not before:
                    _row_back_after(grad, gt, earlier, pt, inside, saved, st, scratch, at, rt, ht, hidden)
                elif half == 0:
                    _row_back_before(grad, gt, earlier, pt, inside, saved, st, scratch, at, rt, qt, ht, hidden)
                else:
                    _row_back_reset(saved, st, scratch, at, rt, c + k * h_row, ht, hidden)
        if inside:
            multiply(
                scratch, a + held * a_row, a_row, 1, active, scratch, packed, depth, few, widest, 0, panels,
                scratch, dh, h_row, True,
            )
        held += active
    if not from_zeros:
        for k in range(count):
            copy(scratch, dh + k * h_row, initial_grad, (direction * order.size + order[first + k]) * hidden, hidden)
    _add_products(scratch, held, hidden, before, a, states, resets, factors, sums, ct)


def backward_scratch(hidden: int, lanes: int, group: int) -> int:
    """Return the number of scratch values for each worker of `recur_backward`."""
    narrow, summed = -(-hidden // lanes) * lanes, -(-(hidden + 1) // lanes) * lanes
    return 3 * hidden * narrow + CHUNK * (3 * hidden + 2 * narrow + summed) + group * 2 * narrow


@jit(nogil=True, fastmath=FAST)
def recur_backward(
    worker, workers, directions,
    grad, order, starts, places, initial, weights, before, saved, out, width, group, scratch, size, sums,
    initial_grad,
):
    """Run the gradient of `recur`: the n, r and z in `saved` become the gradients of their sums.

    sums: for each worker and direction (3H, H + 1 rounded up to vectors), the gradient of the hidden weights
    and, in column H, of their biases, from the worker's own sequences.
    initial_grad: the gradient of `initial`, of the same size.
    """
    hidden = weights[0].shape[1]
    lanes = lanes_of(saved)
    sequences = order.size
    groups = (sequences + group - 1) // group
    tasks = directions * groups
    few = vectors_for(hidden, lanes)
    each = 3 * hidden * vectors_for(hidden + 1, lanes) * lanes
    widest = WIDEST[min(group, TILE_ROWS)]
    depth = (2 if before else 3) * hidden
    packed = worker * size
    packed_n = packed + depth * few * lanes
    a = packed + 3 * hidden * few * lanes
    states = a + CHUNK * 3 * hidden
    resets = states + CHUNK * few * lanes
    factors = resets + CHUNK * few * lanes
    dh = factors + CHUNK * vectors_for(hidden + 1, lanes) * lanes
    c = dh + group * few * lanes
    ready = -1
    clear(sums, worker * directions * each, directions * each)
    for i in range((tasks + workers - 1) // workers):
        task = task_of(i, worker, workers)
        if task < tasks:
            d, first = task // groups, (task % groups) * group
            count = min(group, sequences - first)
            if d != ready:
                flat = weights[d].reshape(-1)
                pack(flat, 0, hidden, 1, depth, hidden, False, few, widest, scratch, packed, depth, 0)
                if before:
                    pack(
                        flat, depth * hidden, hidden, 1, hidden, hidden, False, few, widest,
                        scratch, packed_n, hidden, 0,
                    )
                ready = d
            _backward_group(
                grad, order, starts, places, initial, first, count, d, hidden, before, saved, out, width, widest,
                scratch, packed, packed_n, a, states, resets, dh, c, factors, sums, (worker * directions + d) * each,
                initial_grad,
            )


@njit
def _gather(saved, at, skip, first, members, low, high, columns, to, tt, row):
    """to[u - low, :columns] = the sum of the saved gradients of the tokens of row u, from column `at`."""
    for u in range(low, high):
        target = tt + (u - low) * row
        for m in range(first[u], first[u + 1]):
            if m + 4 < members.size:
                prefetch(saved, at + members[m + 4] * skip, columns)
            source = at + members[m] * skip
            if m == first[u]:
                copy(saved, source, to, target, columns)
            else:
                accumulate(saved, source, to, target, columns)
        if first[u] == first[u + 1]:
            clear(to, target, columns)


def input_scratch(hidden: int, inputs: int, lanes: int) -> int:
    """Return the number of scratch values for each worker of `weight_gradients`."""
    return CHUNK * (3 * hidden + -(-(inputs + 1) // lanes) * lanes)


@jit(nogil=True, fastmath=FAST)
def weight_gradients(
    worker, workers, directions,
    saved, total, rows, count, inputs, first, members, sums, keep, gathered, products, scratch,
    size, input_weights, hidden_weights, input_biases, hidden_biases,
):
    """Sum up the gradients of the four parameters of each direction, once `recur_backward` has run.

    The gradients of the tokens of a row are added up first, in float32, into `gathered` (U, directions * 3H in the
    order n, r, z) if `keep`; products: scratch of (G, E + 1 rounded up to vectors). Writes the last four arguments.
    """
    hidden = hidden_weights[0].shape[1]
    lanes = lanes_of(saved)
    vectors = vectors_for(inputs + 1, lanes)
    widest = WIDEST[TILE_ROWS]
    panels = (vectors + widest - 1) // widest
    crow = vectors * lanes
    hidden_row = vectors_for(hidden + 1, lanes) * lanes
    blocks = (3 * hidden + TILE_ROWS - 1) // TILE_ROWS
    from_block, to_block = share_of(directions * blocks, worker, workers)
    packed = worker * size
    buffer = packed + CHUNK * crow
    for begin in range(0, count, CHUNK):
        if from_block < to_block:
            end = min(count, begin + CHUNK)
            depth = end - begin
            pack(rows, begin * inputs, inputs, 1, depth, inputs, True, vectors, widest, scratch, packed, depth, 0)
            for d in range(directions):
                low = max(0, from_block - d * blocks) * TILE_ROWS
                high = min(3 * hidden, (to_block - d * blocks) * TILE_ROWS)
                if low < high:
                    at = d * total * 4 * hidden + low
                    if keep:
                        row = directions * 3 * hidden
                        start = begin * row + d * 3 * hidden + low
                        _gather(saved, at, 4 * hidden, first, members, begin, end, high - low, gathered, start, row)
                        multiply(
                            gathered, start, 1, row, high - low, scratch, packed, depth, vectors, widest,
                            0, panels, products, (d * 3 * hidden + low) * crow, crow, begin > 0,
                        )
                    else:
                        row = high - low
                        _gather(saved, at, 4 * hidden, first, members, begin, end, row, scratch, buffer, row)
                        multiply(
                            scratch, buffer, 1, row, row, scratch, packed, depth, vectors, widest,
                            0, panels, products, (d * 3 * hidden + low) * crow, crow, begin > 0,
                        )
    for d in range(directions):
        low = max(0, from_block - d * blocks) * TILE_ROWS
        high = min(3 * hidden, (to_block - d * blocks) * TILE_ROWS)
        for column in range(low, high):
            line = (column + 2 * hidden) % (3 * hidden)
            source = (d * 3 * hidden + column) * crow
            copy(products, source, input_weights[d].reshape(-1), line * inputs, inputs)
            input_biases[d][line] = products[source + inputs]
    low, high = share_of(directions * 3 * hidden, worker, workers)
    for g in range(low, high):
        d, line = g // (3 * hidden), g % (3 * hidden)
        source = g * hidden_row
        for other in range(1, workers):
            accumulate(sums, (other * directions * 3 * hidden + g) * hidden_row, sums, source, hidden_row)
        copy(sums, source, hidden_weights[d].reshape(-1), line * hidden, hidden)
        hidden_biases[d][line] = sums[source + hidden]


def row_scratch(hidden: int, inputs: int, lanes: int, directions: int) -> int:
    """Return the number of scratch values for each worker of `row_gradients`."""
    depth = directions * 3 * hidden
    return (depth + CHUNK) * -(-inputs // lanes) * lanes


@jit(nogil=True, fastmath=FAST)
def row_gradients(worker, workers, directions, gathered, count, weights, scratch, size, out):
    """out (U, E) = the gradient of the distinct rows: what `weight_gradients` gathered, times the weights."""
    outputs, inputs = weights[0].shape
    hidden = outputs // 3
    lanes = lanes_of(gathered)
    vectors = vectors_for(inputs, lanes)
    widest = WIDEST[TILE_ROWS]
    panels = (vectors + widest - 1) // widest
    crow = vectors * lanes
    depth = directions * outputs
    low, high = share_of(count, worker, workers)
    packed = worker * size
    buffer = packed + depth * crow
    if low < high:
        for d in range(directions):
            flat = weights[d].reshape(-1)
            pack(
                flat, 2 * hidden * inputs, inputs, 1, hidden, inputs, False, vectors, widest,
                scratch, packed, depth, d * outputs,
            )
            pack(
                flat, 0, inputs, 1, 2 * hidden, inputs, False, vectors, widest,
                scratch, packed, depth, d * outputs + hidden,
            )
        for begin in range(low, high, CHUNK):
            some = min(CHUNK, high - begin)
            multiply(
                gathered, begin * depth, depth, 1, some, scratch, packed, depth, vectors, widest, 0, panels,
                scratch, buffer, crow, False,
            )
            for u in range(some):
                copy(scratch, buffer + u * crow, out, (begin + u) * inputs, inputs)
