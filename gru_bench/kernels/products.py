"""Matrix products: the second factor is packed into panels, which are then multiplied tile by tile.

Every product of a layer is computed here, the input projection and the weight gradients included, so that no other
library runs threads beside ours. Arrays are flat and addressed by offsets.
"""

# numba derives the types of compiled functions from their arguments.
# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs

from __future__ import annotations

import numpy as np
from numba import njit

from gru_bench.kernels.compiler import jit
from gru_bench.kernels.machine import VECTOR_BYTES
from gru_bench.kernels.tiles import TILE_ROWS, prepare, tile
from gru_bench.kernels.vectors import copy, lanes_of, prefetch, transpose_square

# Depth of a product that is computed at a time, so that both factors stay in the second-level cache of a core.
CHUNK = 128


@njit
def vectors_for(columns, lanes):
    """Return the number of vectors that hold `columns` values."""
    return (columns + lanes - 1) // lanes


@njit
def panel(p, vectors, widest):
    """Return the first vector and the width of panel p: all panels are as wide as `widest`, or one less."""
    panels = (vectors + widest - 1) // widest
    base, extra = vectors // panels, vectors % panels
    return p * base + min(p, extra), base + (1 if p < extra else 0)


@njit
def transpose(a, at, row, depth, columns, b, bt, width):
    """b[bt + k * width + c] = a[at + c * row + k] for k < depth and c < columns."""
    lanes = lanes_of(a)
    for c in range(0, columns, lanes):
        some = min(lanes, columns - c)
        whole = depth - depth % lanes if some == lanes else 0
        for k in range(0, whole, lanes):
            transpose_square(a, at + c * row + k, row, b, bt + k * width + c, width)
        for k in range(whole, depth):
            for i in range(c, c + some):
                b[bt + k * width + i] = a[at + i * row + k]


@njit
def pack(a, at, row, col, depth, columns, ones, vectors, widest, b, bt, total, before):
    """Lay out the second factor of a product for tiles: panels of vectors, each [total depth, width].

    Element (k, c) is a[at + k * row + c * col] for c < columns, where row or col is 1, and goes to depth
    `before` + k. Column `columns` becomes 1 if `ones` (its product is then the sum over the depth), and
    the columns behind it become 0.
    """
    lanes = lanes_of(a)
    panels = (vectors + widest - 1) // widest
    if col == 1:
        for k in range(depth):
            if k + 2 < depth:
                prefetch(a, at + (k + 2) * row, columns)
            for p in range(panels):
                first, width = panel(p, vectors, widest)
                start, width = first * lanes, width * lanes
                inside = min(width, columns - start)
                if inside > 0:
                    copy(a, at + k * row + start, b, bt + start * total + (before + k) * width, inside)
    for p in range(panels):
        first, width = panel(p, vectors, widest)
        width *= lanes
        start = first * lanes
        to = bt + start * total + before * width
        inside = max(0, min(width, columns - start))
        if col != 1:
            transpose(a, at + start * col, col, depth, inside, b, to, width)
        for c in range(inside, width):
            filler = 1.0 if ones and start + c == columns else 0.0
            for k in range(depth):
                b[to + k * width + c] = filler


@njit
def multiply(a, at, row, col, rows, b, bt, depth, vectors, widest, first_panel, last_panel, c, ct, crow, add):
    """c[rows, .] = (c +) a[rows, depth] b, for the panels [first_panel, last_panel) of a packed b."""
    lanes = lanes_of(a)
    for p in range(first_panel, last_panel):
        first, width = panel(p, vectors, widest)
        for i in range(0, rows, TILE_ROWS):
            m = min(TILE_ROWS, rows - i)
            tile(
                a, at + i * row, row, col, b, bt + first * lanes * depth, c, ct + i * crow + first * lanes, crow,
                m, width, depth, add,
            )


@jit()
def _smallest(values):
    pack(values, 0, 1, 1, 1, 1, False, 1, 1, values, 0, 1, 0)
    return values[0]


def check() -> None:
    """Compile or load the tiles and a small function. An error of numba is passed on."""
    prepare(np.dtype(np.float32))
    _smallest(np.ones(VECTOR_BYTES // 4, np.float32))
