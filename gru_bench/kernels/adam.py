"""Adam on the rows of a table.

Shapes: U distinct rows, V rows of the table, E values each.
"""

# numba derives the types of compiled functions from their arguments.
# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs

from __future__ import annotations

from gru_bench.kernels.compiler import jit
from gru_bench.kernels.layer import part_of, row_of
from gru_bench.kernels.vectors import LANES, clear, load, prefetch, square_root, store


@jit(nogil=True)
def adam_rows(worker, workers, distinct, gradient, table, first, second, steps, lr, beta1, beta2, epsilon):
    """Move the rows `distinct` of the table and of both moments by one step of Adam, each with its own bias correction.

    distinct (U,): different rows; gradient (U, E); table, first, second (V, E); steps (V,).
    Row 0 of the table becomes 0.
    """
    width = table.shape[1]
    low, high = part_of(distinct.size, worker, workers)
    for u in range(low, high):
        if u + 1 < high:
            for array in (table, first, second):
                prefetch(row_of(array, distinct[u + 1]), width)
        row = distinct[u]
        steps[row] += 1
        step = lr / (1.0 - beta1 ** steps[row])
        correction = 1.0 / (1.0 - beta2 ** steps[row])
        values, mean, square = row_of(table, row), row_of(first, row), row_of(second, row)
        for c in range(0, width, LANES):
            count = min(LANES, width - c)
            g, m, v = load(row_of(gradient, u), c, count), load(mean, c, count), load(square, c, count)
            m = m + (g - m) * (1.0 - beta1)
            v = v * beta2 + g * g * (1.0 - beta2)
            store(mean, c, m, count)
            store(square, c, v, count)
            moved = load(values, c, count) - m * step / (square_root(v * correction) + epsilon)
            store(values, c, moved, count)
        if row == 0:
            clear(values, width)
