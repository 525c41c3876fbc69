"""The forward pass of a GRU layer: the input projection of distinct rows, then the recurrence.

Shapes: N tokens of all sequences of the batch, U distinct rows of input, E input width, H hidden units,
D = directions * H, G = directions * 3 * H. Gates come as r, z, n in weights. The saved values of a token are n, r, z,
q, where q is U_n h + b_hn (reset after) or r * h (reset before). Arrays are flat and addressed by offsets.
"""

# numba derives the types of compiled functions from their arguments.
# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs

from __future__ import annotations

from numba import njit

from gru_bench.kernels.batch import length_of, position_of, share_of, task_of
from gru_bench.kernels.compiler import FAST, INLINE, jit
from gru_bench.kernels.products import CHUNK, multiply, pack, panel, transpose, vectors_for
from gru_bench.kernels.tiles import TILE_ROWS, WIDEST
from gru_bench.kernels.vectors import clear, copy, lanes_of, load, sigmoid, store, tanh


@jit(nogil=True, fastmath=FAST)
def project(
    worker, workers, directions, rows, count, weights, input_bias, hidden_bias, before, packed, bias, out, stride,
):
    """out[u, .] = W x_u + b of every distinct row, for both directions: (U, G), rows `stride` apart.

    The hidden biases of r and z are added here, and with reset before also that of n.
    weights is a pair of (3H, E), the second unused without a backward direction; packed and bias are scratch.
    """
    outputs, width = weights[0].shape
    lanes = lanes_of(rows)
    total = directions * outputs
    vectors = vectors_for(total, lanes)
    widest = WIDEST[TILE_ROWS]
    panels = (vectors + widest - 1) // widest
    across = min(workers, panels)
    down = workers // across
    hidden = outputs // 3
    for d in range(directions):
        for j in range(outputs):
            both = j < 2 * hidden or before
            bias[worker * total + d * outputs + j] = input_bias[d][j] + (hidden_bias[d][j] if both else 0.0)
    if worker < across * down:
        first_panel, last_panel = share_of(panels, worker % across, across)
        low, high = share_of(count, worker // across, down)
        mine = worker * vectors * lanes * width
        for p in range(first_panel, last_panel):
            first, wide = panel(p, vectors, widest)
            wide *= lanes
            to = mine + first * lanes * width
            for d in range(directions):
                # Of this direction's columns those within the panel.
                begin, end = max(first * lanes, d * outputs), min(first * lanes + wide, (d + 1) * outputs)
                if begin < end:
                    transpose(
                        weights[d].reshape(-1), (begin - d * outputs) * width, width, width, end - begin,
                        packed, to + begin - first * lanes, wide,
                    )
            for c in range(min(wide, total - first * lanes), wide):
                for k in range(width):
                    packed[to + k * wide + c] = 0.0
        from_column = panel(first_panel, vectors, widest)[0] * lanes
        last, wide = panel(last_panel - 1, vectors, widest)
        to_column = min(total, (last + wide) * lanes)
        for u in range(low, high, CHUNK):
            some = min(CHUNK, high - u)
            for v in range(u, u + some):
                copy(bias, worker * total + from_column, out, v * stride + from_column, to_column - from_column)
            multiply(
                rows, u * width, width, 1, some, packed, mine, width, vectors, widest, first_panel, last_panel,
                out, u * stride, stride, True,
            )


@njit(**INLINE)
def _step_after(x, xt, a, at, bias, h, ht, saved, st, out, ot, j, hidden, keep, count):
    """One vector of hidden units of one token, reset after the product; `a` holds U h."""
    r = sigmoid(load(x, xt + j, count) + load(a, at + j, count))
    z = sigmoid(load(x, xt + hidden + j, count) + load(a, at + hidden + j, count))
    q = load(a, at + 2 * hidden + j, count) + load(bias, 2 * hidden + j, count)
    n = tanh(load(x, xt + 2 * hidden + j, count) + r * q)
    state = n + z * (load(h, ht + j, count) - n)
    store(h, ht + j, state, count)
    store(out, ot + j, state, count)
    if keep:
        store(saved, st + j, n, count)
        store(saved, st + hidden + j, r, count)
        store(saved, st + 2 * hidden + j, z, count)
        store(saved, st + 3 * hidden + j, q, count)


@njit(**INLINE)
def _step_gates(x, xt, a, at, h, ht, reset, rt, saved, st, j, hidden, keep, count):
    """r, z and r * h of one vector of one token, reset before the product; z replaces its sum in `a`."""
    r = sigmoid(load(x, xt + j, count) + load(a, at + j, count))
    z = sigmoid(load(x, xt + hidden + j, count) + load(a, at + hidden + j, count))
    q = r * load(h, ht + j, count)
    store(reset, rt + j, q, count)
    store(a, at + hidden + j, z, count)
    if keep:
        store(saved, st + hidden + j, r, count)
        store(saved, st + 2 * hidden + j, z, count)
        store(saved, st + 3 * hidden + j, q, count)


@njit(**INLINE)
def _step_before(x, xt, a, at, c, ct, h, ht, saved, st, out, ot, j, hidden, keep, count):
    """The new state of one vector of one token, reset before the product; `c` holds U_n (r * h)."""
    n = tanh(load(x, xt + 2 * hidden + j, count) + load(c, ct + j, count))
    state = n + load(a, at + hidden + j, count) * (load(h, ht + j, count) - n)
    store(h, ht + j, state, count)
    store(out, ot + j, state, count)
    if keep:
        store(saved, st + j, n, count)


@njit(fastmath=FAST)
def _row_after(x, xt, scratch, at, ht, bias, saved, st, out, ot, hidden, keep):
    lanes = lanes_of(x)
    whole = hidden - hidden % lanes
    for j in range(0, whole, lanes):
        _step_after(x, xt, scratch, at, bias, scratch, ht, saved, st, out, ot, j, hidden, keep, lanes)
    if whole < hidden:
        rest = hidden - whole
        _step_after(x, xt, scratch, at, bias, scratch, ht, saved, st, out, ot, whole, hidden, keep, rest)


@njit(fastmath=FAST)
def _row_gates(x, xt, scratch, at, ht, rt, saved, st, hidden, keep):
    lanes = lanes_of(x)
    for j in range(0, hidden, lanes):
        n = min(lanes, hidden - j)
        _step_gates(x, xt, scratch, at, scratch, ht, scratch, rt, saved, st, j, hidden, keep, n)


@njit(fastmath=FAST)
def _row_before(x, xt, scratch, at, ct, ht, saved, st, out, ot, hidden, keep):
    lanes = lanes_of(x)
    for j in range(0, hidden, lanes):
        n = min(lanes, hidden - j)
        _step_before(x, xt, scratch, at, scratch, ct, scratch, ht, saved, st, out, ot, j, hidden, keep, n)


@njit(fastmath=FAST)
def _forward_group(
    x, stride, tokens, order, starts, places, initial, first, count, direction, hidden, bias, before, keep, saved, out,
    width, widest, scratch, packed, packed_n, a, h, reset, c,
):
    """Run the sequences order[first : first + count] from the first step to the last."""
    lanes = lanes_of(x)
    vectors, few = vectors_for((2 if before else 3) * hidden, lanes), vectors_for(hidden, lanes)
    panels, few_panels = (vectors + widest - 1) // widest, (few + widest - 1) // widest
    a_row, h_row = vectors * lanes, few * lanes
    clear(scratch, h, count * h_row)
    from_zeros = initial.size == 0
    if not from_zeros:
        for k in range(count):
            copy(initial, (direction * order.size + order[first + k]) * hidden, scratch, h + k * h_row, hidden)
    active = count
    for s in range(length_of(starts, order[first])):
        while length_of(starts, order[first + active - 1]) <= s:
            active -= 1
        if s == 0 and from_zeros:
            clear(scratch, a, active * a_row)
            if before:
                clear(scratch, c, active * h_row)
        else:
            multiply(
                scratch, h, h_row, 1, active, scratch, packed, hidden, vectors, widest, 0, panels,
                scratch, a, a_row, False,
            )
        for half in range(2 if before else 1):
            if half == 1 and (s > 0 or not from_zeros):
                multiply(
                    scratch, reset, h_row, 1, active, scratch, packed_n, hidden, few, widest, 0, few_panels,
                    scratch, c, h_row, False,
                )
            for k in range(active):
                b = order[first + k]
                t = position_of(starts, b, s, direction)
                token = starts[b] + t
                xt = tokens[token] * stride + direction * 3 * hidden
                st = (direction * starts[-1] + token) * 4 * hidden
                ot = (places[b] + t) * width + direction * hidden
                at, ht = a + k * a_row, h + k * h_row
                if not before:
                    _row_after(x, xt, scratch, at, ht, bias, saved, st, out, ot, hidden, keep)
                elif half == 0:
                    _row_gates(x, xt, scratch, at, ht, reset + k * h_row, saved, st, hidden, keep)
                else:
                    _row_before(x, xt, scratch, at, c + k * h_row, ht, saved, st, out, ot, hidden, keep)


def forward_scratch(hidden: int, lanes: int, group: int) -> int:
    """Return the number of scratch values for each worker of `recur`."""
    wide, narrow = -(-3 * hidden // lanes) * lanes, -(-hidden // lanes) * lanes
    return hidden * (wide + narrow) + group * (wide + 3 * narrow)


@jit(nogil=True, fastmath=FAST)
def recur(
    worker, workers, directions,
    x, stride, tokens, order, starts, places, end, initial, weights, biases, before, keep, saved, out, width,
    group, scratch, size,
):
    """Run the recurrence over every sequence. Direction 1 starts at the last token of each sequence.

    x: projected rows; tokens: row of each token; places (B,): the output row of each sequence's first token;
    end: rows of output per sequence, to fill with zeros behind its last token, or 0; width = D;
    initial: states before the first step, directions * B * H values, or none for zeros;
    saved: directions * N * 4H values, written if `keep`; scratch: `size` values for each worker.
    """
    hidden = weights[0].shape[1]
    lanes = lanes_of(x)
    sequences = order.size
    groups = (sequences + group - 1) // group
    tasks = directions * groups
    columns = (2 if before else 3) * hidden
    vectors, few = vectors_for(columns, lanes), vectors_for(hidden, lanes)
    widest = WIDEST[min(group, TILE_ROWS)]
    packed = worker * size
    packed_n = packed + hidden * vectors * lanes
    a = packed_n + hidden * few * lanes
    h = a + group * vectors * lanes
    reset = h + group * few * lanes
    c = reset + group * few * lanes
    ready = -1
    for i in range((tasks + workers - 1) // workers):
        task = task_of(i, worker, workers)
        if task < tasks:
            d, first = task // groups, (task % groups) * group
            count = min(group, sequences - first)
            if d != ready:
                flat = weights[d].reshape(-1)
                pack(flat, 0, 1, hidden, hidden, columns, False, vectors, widest, scratch, packed, hidden, 0)
                if before:
                    pack(
                        flat, 2 * hidden * hidden, 1, hidden, hidden, hidden, False, few, widest,
                        scratch, packed_n, hidden, 0,
                    )
                ready = d
            for k in range(count):
                b = order[first + k]
                for t in range(length_of(starts, b), end):
                    clear(out, (places[b] + t) * width + d * hidden, hidden)
            _forward_group(
                x, stride, tokens, order, starts, places, initial, first, count, d, hidden, biases[d], before, keep,
                saved, out, width, widest, scratch, packed, packed_n, a, h, reset, c,
            )
