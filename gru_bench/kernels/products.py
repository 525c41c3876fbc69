"""Matrix products: the second factor is packed into panels, which are then multiplied tile by tile.

Every product of a layer is computed here, the input projection and the weight gradients included, so that no other
library runs threads beside ours.
"""

# numba derives the types of compiled functions from their arguments.
# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from gru_bench.kernels.compiler import jit
from gru_bench.kernels.tiles import TILE_ROWS, prepare, tile
from gru_bench.kernels.vectors import LANES, at, copy, prefetch

# Depth of a product that is computed at a time, so that both factors stay in the second-level cache of a core.
CHUNK = 128


class Matrix(NamedTuple):
    """A matrix in memory: the value in row i and column k is values[i * row + k * column]."""

    values: Any
    row: int
    column: int


class Panels(NamedTuple):
    """The second factor of a product, `depth` rows of `vectors` vectors, as the tiles read it.

    It is cut into panels of up to `widest` vectors. In memory, a panel's rows follow each other without a gap.
    """

    values: Any
    depth: int
    vectors: int
    widest: int


@njit
def matrix(values, row, column):
    """Return a `Matrix`. Its numbers then have one type, also where the caller's are constants."""
    return Matrix(values, row, column)


@njit
def panels_at(values, depth, columns, widest):
    """Return the `Panels` of `columns` columns at a pointer."""
    return Panels(values, depth, rounded_up(columns, LANES) // LANES, widest)


@njit
def rounded_up(count, step):
    """Return the smallest multiple of `step` that is at least `count`."""
    return (count + step - 1) // step * step


@njit
def _number_of_panels(panels):
    return (panels.vectors + panels.widest - 1) // panels.widest


@njit
def _panel(panels, p):
    """Return the first column of panel p, and its width in columns. All are equally wide, or one vector less."""
    base, extra = divmod(panels.vectors, _number_of_panels(panels))
    return (p * base + min(p, extra)) * LANES, (base + (1 if p < extra else 0)) * LANES


@njit
def pack(source, depth, columns, ones, panels, begin):
    """Write the first `depth` rows and `columns` columns of a `Matrix` to the panels, as their rows from `begin` on.

    Column `columns` becomes 1 if `ones`: its product is then the sum over the depth. Columns behind it become 0.
    """
    if source.column == 1:
        for k in range(depth):
            if k + 2 < depth:
                prefetch(at(source.values, (k + 2) * source.row), columns)
            for p in range(_number_of_panels(panels)):
                first, width = _panel(panels, p)
                inside = min(width, columns - first)
                if inside > 0:
                    target = at(panels.values, first * panels.depth + (begin + k) * width)
                    copy(at(source.values, k * source.row + first), target, inside)
    for p in range(_number_of_panels(panels)):
        first, width = _panel(panels, p)
        target = at(panels.values, first * panels.depth + begin * width)
        inside = max(0, min(width, columns - first))
        for k in range(depth):
            if source.column != 1:
                for c in range(inside):
                    target[k * width + c] = source.values[k * source.row + (first + c) * source.column]
            for c in range(inside, width):
                target[k * width + c] = 1.0 if ones and first + c == columns else 0.0


@njit
def multiply(left, rows, panels, result, result_row, add):
    """result = (result +) left panels, for `rows` rows of the `Matrix` left. Rows of the result are `result_row` apart.

    All vectors of a row of the result are written, also where the panels have fewer columns.
    """
    for p in range(_number_of_panels(panels)):
        first, width = _panel(panels, p)
        panel = at(panels.values, first * panels.depth)
        for i in range(0, rows, TILE_ROWS):
            tile(
                at(left.values, i * left.row), left.row, left.column, panel, at(result, i * result_row + first),
                result_row, min(TILE_ROWS, rows - i), width // LANES, panels.depth, add,
            )


@jit()
def _smallest(values):
    copy(at(values, 0), at(values, 1), 1)


def check() -> None:
    """Compile or load the tiles and a small function. An error of numba is passed on."""
    prepare()
    _smallest(np.zeros(2, np.float32))
