"""Pairs of bfloat16 values, which take the place of one float32 value.

A pair is two values that follow each other in the depth of a product. Only machines with `BF16` compute with pairs.
"""

# numba derives the types of compiled functions from their arguments.
# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs, allow-subclassing-any

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit
from numba.extending import intrinsic

from gru_bench.kernels.machine import BF16, VECTOR_BYTES
from gru_bench.kernels.vectors import lanes_of, llvm_vector, load, store


class _BFloat16(ir.types.Type):
    """The LLVM type bfloat, which llvmlite does not have."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat16)

    def __hash__(self) -> int:
        return hash(_BFloat16)


PAIRS = ir.VectorType(_BFloat16(), 2 * VECTOR_BYTES // 4)
"""The LLVM type of a vector of pairs."""


def _rounding(combine: Callable[[Any, Any, Any, Any], Any]) -> Any:
    """Return a function of two vectors, both rounded to bfloat16 (to nearest, ties to even), then combined to one.

    On a machine without bfloat16 the function returns the first vector, and it is never called.
    """

    @intrinsic
    def combined(typing: Any, first: Any, second: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            if not BF16 or first.scalar.bitwidth == 64:
                return arguments[0]
            vector = llvm_vector(first.scalar)
            small = ir.VectorType(_BFloat16(), vector.count)
            return builder.bitcast(combine(builder, vector, *(builder.fptrunc(v, small) for v in arguments)), vector)

        return first(first, second), generate

    return combined


def _one_after_the_other(builder: Any, vector: Any, first: Any, second: Any) -> Any:
    order = ir.VectorType(ir.IntType(32), 2 * vector.count)
    return builder.shuffle_vector(first, second, ir.Constant(order, list(range(2 * vector.count))))


def _lane_by_lane(builder: Any, vector: Any, first: Any, second: Any) -> Any:
    bits, wide = (ir.VectorType(ir.IntType(width), vector.count) for width in (16, 32))
    low, high = (builder.zext(builder.bitcast(value, bits), wide) for value in (first, second))
    return builder.or_(low, builder.shl(high, ir.Constant(wide, [16] * vector.count)))


# Lane j holds values 2 j and 2 j + 1 of the two vectors in a row.
_halve_vectors = _rounding(_one_after_the_other)
# Lane j holds lane j of the first and lane j of the second.
_pair_vectors = _rounding(_lane_by_lane)
# As a float32 value, a pair of ones.
ONES = float(np.array(0x3F803F80, np.uint32).view(np.float32))


@njit
def halve(a, at, b, bt, count):
    """Round count values in a row to bfloat16, two for each value of b; a last one alone is paired with 0."""
    lanes = lanes_of(a)
    whole = count - count % (2 * lanes)
    for j in range(0, whole, 2 * lanes):
        store(b, bt + j // 2, _halve_vectors(load(a, at + j, lanes), load(a, at + j + lanes, lanes)), lanes)
    rest = count - whole
    if rest > lanes:
        pair = _halve_vectors(load(a, at + whole, lanes), load(a, at + whole + lanes, rest - lanes))
        store(b, bt + whole // 2, pair, (rest + 1) // 2)
    elif rest > 0:
        store(b, bt + whole // 2, _halve_vectors(load(a, at + whole, rest), load(a, at, 0)), (rest + 1) // 2)


@njit
def pair_rows(a, at, row, depth, columns, b, bt, width):
    """Round rows 2 q and 2 q + 1 of a to bfloat16 into row q of b; a last one alone is paired with 0.

    Rows of b are `width` apart. b may be a itself, where bt is at and width at most row.
    """
    lanes = lanes_of(a)
    whole = columns - columns % lanes
    for k in range(0, depth - 1, 2):
        first, to = at + k * row, bt + k // 2 * width
        for c in range(0, whole, lanes):
            store(b, to + c, _pair_vectors(load(a, first + c, lanes), load(a, first + row + c, lanes)), lanes)
        if whole < columns:
            rest = columns - whole
            pair = _pair_vectors(load(a, first + whole, rest), load(a, first + row + whole, rest))
            store(b, to + whole, pair, rest)
    if depth % 2 == 1:
        first, to = at + (depth - 1) * row, bt + depth // 2 * width
        for c in range(0, columns, lanes):
            some = min(lanes, columns - c)
            store(b, to + c, _pair_vectors(load(a, first + c, some), load(a, first, 0)), some)
