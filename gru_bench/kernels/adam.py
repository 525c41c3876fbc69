"""Adam on the rows of a table.

Shapes: U distinct rows, V rows of the table. Arrays are flat and addressed by offsets.
"""

# numba derives the types of compiled functions from their arguments.
# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs

from __future__ import annotations

from gru_bench.kernels.batch import share_of
from gru_bench.kernels.compiler import jit
from gru_bench.kernels.vectors import clear, lanes_of, load, prefetch, square_root, store


@jit(nogil=True)
def adam_rows(worker, workers, distinct, grad, table, first, second, steps, width, lr, beta1, beta2, epsilon):
    """Move the rows `distinct` of the table and of both moments by one step of Adam, each with its own bias correction.

    distinct (U,): different rows; grad: U * width flat; table, first, second: V * width flat; steps (V,).
    Row 0 of the table becomes 0.
    """
    lanes = lanes_of(table)
    low, high = share_of(distinct.size, worker, workers)
    for u in range(low, high):
        if u + 1 < high:
            following = distinct[u + 1] * width
            prefetch(table, following, width)
            prefetch(first, following, width)
            prefetch(second, following, width)
        row = distinct[u]
        steps[row] += 1
        step = lr / (1.0 - beta1 ** steps[row])
        correction = 1.0 / (1.0 - beta2 ** steps[row])
        at, gt = row * width, u * width
        for c in range(0, width, lanes):
            some = min(lanes, width - c)
            g, m, v = load(grad, gt + c, some), load(first, at + c, some), load(second, at + c, some)
            m = m + (g - m) * (1.0 - beta1)
            v = v * beta2 + g * g * (1.0 - beta2)
            store(first, at + c, m, some)
            store(second, at + c, v, some)
            moved = load(table, at + c, some) - m * step / (square_root(v * correction) + epsilon)
            store(table, at + c, moved, some)
        if row == 0:
            clear(table, 0, width)
