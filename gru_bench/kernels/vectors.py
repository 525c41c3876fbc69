"""Pointers to numbers, and vectors: one register of float32, with the operators of Python, tanh and sigmoid.

The recurrence is computed for a vector of hidden units at a time. Vectors are emitted as LLVM vectors of the width of
this machine. Compiled functions hand each other pointers: `at(gates, i)` points to gates[i], as in C. A pointer is one
number, where numba would take an array apart into seven, and compile a function again for each kind of array.
"""

# numba derives the types of compiled functions from their arguments.
# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, models, overload, register_model

from gru_bench.kernels.compiler import FAST, INLINE
from gru_bench.kernels.machine import VECTOR_BYTES

LANES = VECTOR_BYTES // 4
"""How many numbers a vector holds."""
POINTER = types.CPointer(types.float32)
LLVM_VECTOR = ir.VectorType(ir.FloatType(), LANES)
NAME = f"v{LANES}f32"
"""The name of a vector in the names of LLVM's functions."""


class _Vector(types.Type):
    """The numba type of a vector."""


VECTOR = _Vector("Vector")


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: _Vector) -> None:
        super().__init__(manager, kind, LLVM_VECTOR)


def broadcast(builder: ir.IRBuilder, value: ir.Value, vector: ir.VectorType = LLVM_VECTOR) -> ir.Value:
    """Emit a vector whose lanes all hold `value`."""
    nothing = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
    return builder.shuffle_vector(first, nothing, zeros)


def vector_pointer(builder: ir.IRBuilder, values: ir.Value, offset: ir.Value) -> ir.Value:
    """Emit a pointer to the vector that begins at values[offset]."""
    return builder.bitcast(builder.gep(values, [offset]), LLVM_VECTOR.as_pointer())


def _mask(builder: ir.IRBuilder, count: ir.Value) -> ir.Value:
    """Return a mask of the lanes below `count`."""
    numbers = ir.VectorType(ir.IntType(64), LANES)
    return builder.icmp_signed("<", ir.Constant(numbers, list(range(LANES))), broadcast(builder, count, numbers))


@intrinsic
def at(typing: Any, values: Any, offset: Any) -> Any:
    """A pointer to values[offset], where `values` is a pointer or an array without gaps."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start, offset = arguments
        if isinstance(values, types.Array):
            start = context.make_array(values)(context, builder, start).data
        return builder.gep(start, [offset])

    return types.CPointer(values.dtype)(values, types.intp), generate


@intrinsic
def load(typing: Any, values: Any, offset: Any, count: Any) -> Any:
    """The vector at values[offset], its first `count` lanes; the other lanes are 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start, offset, count = arguments
        flags = ir.VectorType(ir.IntType(1), LANES)
        kind = ir.FunctionType(LLVM_VECTOR, [LLVM_VECTOR.as_pointer(), ir.IntType(32), flags, LLVM_VECTOR])
        read = builder.module.declare_intrinsic(f"llvm.masked.load.{NAME}.p0", fnty=kind)
        pointer = vector_pointer(builder, start, offset)
        align, zeros = ir.Constant(ir.IntType(32), 4), ir.Constant(LLVM_VECTOR, None)
        return builder.call(read, [pointer, align, _mask(builder, count), zeros])

    return VECTOR(POINTER, types.intp, types.intp), generate


@intrinsic
def store(typing: Any, values: Any, offset: Any, vector: Any, count: Any) -> Any:
    """Write the first `count` lanes of a vector at values[offset]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start, offset, value, count = arguments
        flags = ir.VectorType(ir.IntType(1), LANES)
        kind = ir.FunctionType(ir.VoidType(), [LLVM_VECTOR, LLVM_VECTOR.as_pointer(), ir.IntType(32), flags])
        write = builder.module.declare_intrinsic(f"llvm.masked.store.{NAME}.p0", fnty=kind)
        pointer = vector_pointer(builder, start, offset)
        builder.call(write, [value, pointer, ir.Constant(ir.IntType(32), 4), _mask(builder, count)])
        return context.get_dummy_value()

    return types.void(POINTER, types.intp, VECTOR, types.intp), generate


@intrinsic
def _prefetch_line(typing: Any, values: Any, offset: Any) -> Any:
    """Prefetch the cache line of values[offset]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = builder.gep(arguments[0], [arguments[1]])
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address.type, *[number] * 3])
        fetch = builder.module.declare_intrinsic("llvm.prefetch.p0", fnty=kind)
        builder.call(fetch, [address, *(ir.Constant(number, v) for v in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(values, types.intp), generate


def _arithmetic(symbol: Callable[[Any, Any], Any], instruction: str) -> None:
    """Define the operator `symbol` for vectors, also with a number on either side."""

    @intrinsic
    def apply(typing: Any, left: Any, right: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            sides = []
            for side, value in zip(signature.args, arguments, strict=True):
                if side != VECTOR:
                    value = broadcast(builder, context.cast(builder, value, side, types.float32))
                sides.append(value)
            return getattr(builder, instruction)(*sides, flags=("contract", "nsz"))

        return VECTOR(left, right), generate

    @overload(symbol, jit_options=INLINE)
    def operate(left, right):
        if VECTOR in (left, right):
            return lambda left, right: apply(left, right)
        return None


for _symbol, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _arithmetic(_symbol, _instruction)


@intrinsic
def _clamp(typing: Any, value: Any, bound: Any) -> Any:
    """Clip every lane to +-bound. NaN stays NaN."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        high = broadcast(builder, context.cast(builder, arguments[1], signature.args[1], types.float32))
        low = builder.fneg(high)
        below = builder.select(builder.fcmp_ordered(">", arguments[0], high), high, arguments[0])
        return builder.select(builder.fcmp_ordered("<", below, low), low, below)

    return value(value, bound), generate


@intrinsic
def square_root(typing: Any, value: Any) -> Any:
    """The square root of every lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(LLVM_VECTOR, [LLVM_VECTOR])
        root = builder.module.declare_intrinsic(f"llvm.sqrt.{NAME}", fnty=kind)
        return builder.call(root, arguments)

    return value(value), generate


# tanh x = x P(x^2) / Q(x^2), fitted for the smallest relative error (6e-9 before rounding) up to the bound, where
# tanh differs from 1 by less than three units of the last place. Its error is at most 4e-7.
_BOUND = 7.9
_P = (0.999999994, 0.134506111, 0.00357898048, 2.20230383e-05, 1.54276423e-08)
_Q = (0.467839391, 0.0261921949, 0.000342363101, 8.59865494e-07)
_P0, _P1, _P2, _P3, _P4 = _P
_Q1, _Q2, _Q3, _Q4 = _Q


@njit(**INLINE)
def tanh(value):
    """Return tanh of a vector: a rational approximation."""
    x = _clamp(value, _BOUND)
    y = x * x
    top = (((_P4 * y + _P3) * y + _P2) * y + _P1) * y + _P0
    bottom = (((_Q4 * y + _Q3) * y + _Q2) * y + _Q1) * y + 1.0
    return x * top / bottom


@njit(**INLINE)
def sigmoid(value):
    """Return 1 / (1 + exp(-x)) of a vector, computed by tanh, with half the error of tanh."""
    return 0.5 + 0.5 * tanh(0.5 * value)


@njit
def prefetch(values, count):
    """Prefetch values[:count], which are needed later."""
    for i in range(0, count, 64 // 4):
        _prefetch_line(values, i)
    _prefetch_line(values, count - 1)


# Below, whole vectors are handled apart from the rest: a value stored without a mask is forwarded to the next load, and
# a masked load of a value that is in no cache takes several times as long.


def for_vectors(step):
    """Return a function of (size, *arguments) that calls step(j, count, size, *arguments) for each vector.

    A vector begins at number j of `size`, and has `count` numbers.
    """
    step = njit(**INLINE)(step)

    @njit(fastmath=FAST)
    def for_all(size, *arguments):
        whole = size - size % LANES
        for j in range(0, whole, LANES):
            step(j, LANES, size, *arguments)
        if whole < size:
            step(whole, size - whole, size, *arguments)

    return for_all


@njit
def clear(values, count):
    """values[:count] = 0."""
    for i in range(count):
        values[i] = 0.0


@njit
def copy(source, target, count):
    """target[:count] = source[:count]."""
    whole = count - count % LANES
    for c in range(0, whole, LANES):
        store(target, c, load(source, c, LANES), LANES)
    if whole < count:
        store(target, whole, load(source, whole, count - whole), count - whole)


@njit
def accumulate(source, target, count):
    """target[:count] += source[:count]."""
    whole = count - count % LANES
    for c in range(0, whole, LANES):
        store(target, c, load(target, c, LANES) + load(source, c, LANES), LANES)
    if whole < count:
        rest = count - whole
        store(target, whole, load(target, whole, rest) + load(source, whole, rest), rest)
