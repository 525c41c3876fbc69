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
from numba.core import cgutils
from numba.extending import intrinsic

from gru_bench.kernels.compiler import callback
from gru_bench.kernels.machine import REGISTERS
from gru_bench.kernels.vectors import broadcast, data_pointer, intrinsic_name, llvm_vector, vector_pointer

# Rows of the largest tile, which is the largest number of sequences that share one pass over the recurrent weights.
# With 16 registers 6 x 2 vectors: the panels of 4 x 3 would push the rows out of the first-level cache.
TILE_ROWS = 8 if REGISTERS == 32 else 6
# Width of the widest tile in vectors, by its rows: sums, a row of the second factor and a broadcast fit the registers.
WIDEST = np.array([0] + [max(1, min(8, (REGISTERS - 1) // (m + 1))) for m in range(1, TILE_ROWS + 1)])


@intrinsic
def _every_tile(
    typing: Any, a: Any, row: Any, col: Any, b: Any, c: Any, crow: Any, m: Any, n: Any, depth: Any, add: Any
) -> Any:
    """Do the same as `tile` for pointers. Each size of tile has its own loop, which a jump selects."""
    return _tile_signature(a.dtype), _tile_generator(a.dtype)


def _tile_generator(scalar: types.Float) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first, row, col, second, result, crow, m, n, depth, add = arguments
        vector = llvm_vector(scalar)
        lanes, index, align = vector.count, ir.IntType(64), scalar.bitwidth // 8
        multiply_add = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fmuladd.{intrinsic_name(vector)}")

        def number(value: int) -> ir.Constant:
            return ir.Constant(index, value)

        adding = builder.icmp_signed("!=", add, number(0))
        done = builder.append_basic_block("done")
        choice = builder.switch(builder.add(builder.mul(m, number(16)), n), done)
        for rows in range(1, TILE_ROWS + 1):
            for width in range(1, int(WIDEST[rows]) + 1):
                start = builder.append_basic_block(f"tile{rows}x{width}")
                loop, summed, fetch, write = (
                    builder.append_basic_block(name) for name in ("loop", "summed", "fetch", "write")
                )
                places = [(i, j) for i in range(rows) for j in range(width)]
                choice.add_case(number(rows * 16 + width), start)

                builder.position_at_end(start)
                a_rows = [builder.mul(row, number(i)) for i in range(rows)]
                builder.branch(loop)

                builder.position_at_end(loop)
                k = builder.phi(index)
                sums = {place: builder.phi(vector) for place in places}
                b_at, a_at = builder.mul(k, number(width * lanes)), builder.mul(k, col)
                bs = [
                    builder.load(
                        vector_pointer(builder, second, builder.add(b_at, number(j * lanes)), vector), align=align
                    )
                    for j in range(width)
                ]
                values = [
                    broadcast(builder, builder.load(builder.gep(first, [builder.add(a_at, a_rows[i])])), vector)
                    for i in range(rows)
                ]
                totals = {(i, j): builder.call(multiply_add, [values[i], bs[j], sums[i, j]]) for i, j in places}
                following = builder.add(k, number(1))
                for phi, next_value in [(k, following), *((sums[place], totals[place]) for place in places)]:
                    phi.add_incoming(ir.Constant(phi.type, 0 if phi is k else None), start)
                    phi.add_incoming(next_value, loop)
                builder.cbranch(builder.icmp_signed("<", following, depth), loop, summed)

                builder.position_at_end(summed)
                targets = {
                    (i, j): vector_pointer(
                        builder, result, builder.add(builder.mul(crow, number(i)), number(j * lanes)), vector
                    )
                    for i, j in places
                }
                builder.cbranch(adding, fetch, write)

                builder.position_at_end(fetch)
                grown = {
                    place: builder.fadd(totals[place], builder.load(targets[place], align=align)) for place in places
                }
                builder.branch(write)

                builder.position_at_end(write)
                finals = {place: builder.phi(vector) for place in places}
                for place, phi in finals.items():
                    phi.add_incoming(totals[place], summed)
                    phi.add_incoming(grown[place], fetch)
                for place, phi in finals.items():
                    builder.store(phi, targets[place], align=align)
                builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return generate


def _tile_signature(scalar: types.Float) -> Any:
    i, pointer = types.intp, types.CPointer(scalar)
    return types.void(pointer, i, i, pointer, pointer, i, i, i, i, i)


def _tile_symbol(scalar: types.Float) -> str:
    return f"gru_bench_tile_{scalar}"


def _tile_function(a, row, col, b, c, crow, m, n, depth, add):
    _every_tile(a, row, col, b, c, crow, m, n, depth, add)


@lru_cache  # which also keeps the code that the symbol points to from being freed
def prepare(dtype: np.dtype[Any]) -> Any:
    """Compile the tiles for float32 or float64 once, as a symbol that all other compiled code calls.

    If they were linked into each function that multiplies, they would be compiled a dozen times.
    """
    scalar = types.float32 if dtype.itemsize == 4 else types.float64
    compiled = callback(_tile_signature(scalar), _tile_function)
    llvm.add_symbol(_tile_symbol(scalar), compiled.address)
    return compiled


@intrinsic
def tile(
    typing: Any, a: Any, at: Any, row: Any, col: Any, b: Any, bt: Any, c: Any, ct: Any, crow: Any,
    m: Any, n: Any, depth: Any, add: Any,
) -> Any:
    """c[m, n vectors] = (c +) a[m, depth] b[depth, n vectors]; a[i, k] lies at at + i * row + k * col."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, at, row, col, b, bt, c, ct, crow, m, n, depth, add = arguments
        first, second, result = (
            builder.gep(data_pointer(context, builder, kind, array), [offset])
            for kind, array, offset in ((first_kind, a, at), (second_kind, b, bt), (result_kind, c, ct))
        )
        values = [first, row, col, second, result, crow, m, n, depth, builder.zext(add, ir.IntType(64))]
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [v.type for v in values]), _tile_symbol(first_kind.dtype)
        )
        builder.call(function, values)
        return context.get_dummy_value()

    first_kind, second_kind, result_kind = a, b, c
    i = types.intp
    return types.void(a, i, i, i, b, i, c, i, i, i, i, i, types.boolean), generate
