"""Tiles: blocks of a matrix product whose results stay in registers while the products are summed.

That reaches the peak speed of a core. Each size of tile has its own loop, emitted for the registers of this machine.
"""

# numba derives the types of compiled functions from their arguments.
# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs

from __future__ import annotations

from functools import lru_cache
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gru_bench.kernels.compiler import callback
from gru_bench.kernels.machine import REGISTERS
from gru_bench.kernels.vectors import LANES, LLVM_VECTOR, NAME, POINTER, broadcast, vector_pointer

# Rows of the largest tile, which is the largest number of sequences that share one pass over the recurrent weights.
# With 16 registers 6 x 2 vectors: the panels of 4 x 3 would push the rows out of the first-level cache.
TILE_ROWS = 8 if REGISTERS == 32 else 6
# Width of the widest tile in vectors, by its rows: sums, a row of the second factor and a broadcast fit the registers.
WIDEST = np.array([0] + [max(1, min(8, (REGISTERS - 1) // (m + 1))) for m in range(1, TILE_ROWS + 1)])


_SIGNATURE: Any = types.void(POINTER, types.intp, types.intp, POINTER, POINTER, *[types.intp] * 5)

tile = types.ExternalFunction("gru_bench_tile", _SIGNATURE)
"""tile(left, left_row, left_column, panel, result, result_row, rows, width, depth, add):
result[rows, width vectors] = (result +) left[rows, depth] panel[depth, width vectors].

All are pointers. left[i, k] is left[i * left_row + k * left_column], rows of `result` are `result_row` apart, and those
of `panel` follow each other. rows: at most TILE_ROWS; width: at most WIDEST[rows].

It is a symbol: linked into each function that multiplies, the tiles would be compiled a dozen times."""


@lru_cache  # which also keeps the code that the symbol points to from being freed
def prepare() -> Any:
    """Compile the tiles once, and define their symbol. All other compiled code calls it."""
    compiled = callback(_SIGNATURE, _every_tile)
    llvm.add_symbol(tile.symbol, compiled.address)
    return compiled


def _every_tile(left, left_row, left_column, panel, result, result_row, rows, width, depth, add):
    _select_tile(left, left_row, left_column, panel, result, result_row, rows, width, depth, add)


@intrinsic
def _select_tile(
    typing: Any, left: Any, left_row: Any, left_column: Any, panel: Any, result: Any, result_row: Any,
    rows: Any, width: Any, depth: Any, add: Any,
) -> Any:
    """A switch over all sizes of tile, and the loop of each."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, width = arguments[6:8]
        done = builder.append_basic_block("done")
        size = builder.add(builder.mul(rows, ir.Constant(rows.type, 16)), width)
        choice = builder.switch(size, done)
        for m in range(1, TILE_ROWS + 1):
            for n in range(1, int(WIDEST[m]) + 1):
                start = builder.append_basic_block(f"tile{m}x{n}")
                choice.add_case(ir.Constant(size.type, 16 * m + n), start)
                builder.position_at_end(start)
                _emit_tile(builder, m, n, arguments)
                builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return _SIGNATURE, generate


def _emit_tile(builder: ir.IRBuilder, rows: int, width: int, arguments: list[ir.Value]) -> None:
    """Emit the loop of one size of tile: for each k, sums[i, j] += left[i, k] * panel[k, j]."""
    left, left_row, left_column, panel, result, result_row, _, _, depth, add = arguments
    places = [(i, j) for i in range(rows) for j in range(width)]
    start = builder.block
    loop, summed, fetch, write = (builder.append_basic_block(name) for name in ("loop", "summed", "fetch", "write"))
    kind = ir.FunctionType(LLVM_VECTOR, [LLVM_VECTOR] * 3)
    multiply_add = builder.module.declare_intrinsic(f"llvm.fmuladd.{NAME}", fnty=kind)

    def number(value: int) -> ir.Constant:
        return ir.Constant(depth.type, value)

    row_starts = [builder.mul(left_row, number(i)) for i in range(rows)]
    builder.branch(loop)

    builder.position_at_end(loop)
    k = builder.phi(depth.type)
    sums = {place: builder.phi(LLVM_VECTOR) for place in places}
    panel_start, column_start = builder.mul(k, number(width * LANES)), builder.mul(k, left_column)
    factors = [
        builder.load(vector_pointer(builder, panel, builder.add(panel_start, number(j * LANES))), align=4)
        for j in range(width)
    ]
    values = [
        broadcast(builder, builder.load(builder.gep(left, [builder.add(column_start, row_start)])))
        for row_start in row_starts
    ]
    totals = {(i, j): builder.call(multiply_add, [values[i], factors[j], sums[i, j]]) for i, j in places}
    following = builder.add(k, number(1))
    for phi, next_value in [(k, following), *((sums[place], totals[place]) for place in places)]:
        phi.add_incoming(ir.Constant(phi.type, 0 if phi is k else None), start)
        phi.add_incoming(next_value, loop)
    builder.cbranch(builder.icmp_signed("<", following, depth), loop, summed)

    builder.position_at_end(summed)
    targets = {
        (i, j): vector_pointer(
            builder, result, builder.add(builder.mul(result_row, number(i)), number(j * LANES)))
        for i, j in places
    }
    builder.cbranch(builder.icmp_signed("!=", add, number(0)), fetch, write)

    builder.position_at_end(fetch)
    grown = {place: builder.fadd(totals[place], builder.load(targets[place], align=4)) for place in places}
    builder.branch(write)

    builder.position_at_end(write)
    for place in places:
        final = builder.phi(LLVM_VECTOR)
        final.add_incoming(totals[place], summed)
        final.add_incoming(grown[place], fetch)
        totals[place] = final
    for place in places:
        builder.store(totals[place], targets[place], align=4)
