"""The compiled parts of the fused kernel: a GRU layer on a CPU, forward and backward, and Adam on the rows it reads.

numba compiles this module. It has two building blocks. A *vector* is one register of numbers: the recurrence is
computed for a vector of hidden units at a time, with the operators of Python. A *tile* is a block of a matrix product
whose results stay in registers while the products are summed, which reaches the peak speed of a core. Every product of
the layer is made of tiles, the input projection and the weight gradients included, so that no other library runs
threads beside ours. Both are emitted as LLVM vectors of the width of this machine.

Sequences of different lengths need no padding: the tokens of a batch are numbered one after another, sequences run in
groups of similar length, and a sequence leaves its group where it ends. Work is divided among the workers by a fixed
rule, and no two workers add to the same number. So with a given number of workers, results repeat bit for bit.

Shapes: B sequences, N tokens of all of them, U distinct rows of input, E input width, H hidden units,
D = directions * H, G = directions * 3 * H, K depth of a product. Gates come as r, z, n in weights; the saved
values of a token are n, r, z, q, where q is U_n h + b_hn (reset after) or r * h (reset before), and the
backward pass writes their gradients in the same places. Arrays are flat and addressed by offsets.

All of it is one file because numba caches a compiled function by the age of its own file: a function that calls one of
another file would not be compiled again when that file changes.
"""

# numba derives the types of compiled functions from their arguments.
# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs, allow-subclassing-any

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import cfunc, njit, types
from numba.core import cgutils
from numba.extending import intrinsic as _untyped_intrinsic
from numba.extending import models, overload, register_model

intrinsic: Any = _untyped_intrinsic

# --- The registers of this machine -----------------------------------------------------------------------------


def _machine() -> tuple[int, int]:
    """Return the size in bytes and the number of the vector registers of this machine."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 64, 32
    if features.get("avx2"):
        return 32, 16
    return 16, 32 if features.get("neon") else 16


VECTOR_BYTES, REGISTERS = _machine()
# Whether two bfloat16 products can be added to a float32 sum by one instruction.
BF16 = VECTOR_BYTES == 64 and bool(llvm.get_host_cpu_features().get("avx512bf16"))
# Rows of the largest tile, which is the largest number of sequences that share one pass over the recurrent weights.
TILE_ROWS = 8 if REGISTERS == 32 else 4
# Width of the widest tile in vectors, by its rows: sums, a row of the second factor and a broadcast fit the registers.
_WIDEST = np.array([0] + [max(1, min(8, (REGISTERS - 1) // (m + 1))) for m in range(1, TILE_ROWS + 1)])
# The same for pairs of bfloat16 values. In wider tiles the compiler runs out of registers, which also hold the rows.
_WIDEST_PAIRS = 2
# Depth of a product that is computed at a time, so that both factors stay in the second-level cache of a core.
CHUNK = 128
# Without "nnan": a NaN must stay a NaN.
_FAST = {"contract", "nsz"}
_INLINE: Any = {"fastmath": _FAST, "forceinline": True}


def _jit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles with numba and caches on disk, or in memory if no folder is writable."""

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:  # numba found no place for its cache
            return njit(**options)(function)

    return decorate


# --- Vectors -------------------------------------------------------------------------------------------


class Vector(types.Type):
    """The numba type of a vector: one register of values."""

    def __init__(self, scalar: types.Float) -> None:
        """Hold `scalar` values."""
        super().__init__(name=f"Vector({scalar})")
        self.scalar = scalar
        self.lanes = VECTOR_BYTES * 8 // scalar.bitwidth


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, _llvm_vector(kind.scalar))


def _llvm_vector(scalar: types.Float) -> ir.VectorType:
    number = ir.FloatType() if scalar.bitwidth == 32 else ir.DoubleType()
    return ir.VectorType(number, VECTOR_BYTES * 8 // scalar.bitwidth)


def _broadcast(builder: ir.IRBuilder, value: ir.Value, vector: ir.VectorType) -> ir.Value:
    nothing = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
    return builder.shuffle_vector(first, nothing, zeros)


def _vector_pointer(builder: ir.IRBuilder, data: ir.Value, offset: ir.Value, vector: ir.VectorType) -> ir.Value:
    return builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())


def _data(context: Any, builder: ir.IRBuilder, kind: types.Array, value: ir.Value) -> ir.Value:
    return context.make_array(kind)(context, builder, value).data


def _mask(builder: ir.IRBuilder, count: ir.Value, lanes: int) -> ir.Value:
    """Return a mask of the lanes below `count`."""
    numbers = ir.VectorType(ir.IntType(64), lanes)
    return builder.icmp_signed("<", ir.Constant(numbers, list(range(lanes))), _broadcast(builder, count, numbers))


def _intrinsic_name(vector: ir.VectorType) -> str:
    return f"v{vector.count}f{64 if isinstance(vector.element, ir.DoubleType) else 32}"


@intrinsic
def lanes_of(typing: Any, array: Any) -> Any:
    """How many values of the array's type a vector holds."""
    lanes = VECTOR_BYTES * 8 // array.dtype.bitwidth

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.get_constant(types.intp, lanes)

    return types.intp(array), generate


@intrinsic
def load(typing: Any, array: Any, offset: Any, count: Any) -> Any:
    """Read a vector at array[offset], its first `count` lanes; the other lanes are 0."""
    kind = Vector(array.dtype)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = _llvm_vector(kind.scalar)
        pointer = _vector_pointer(
            builder, _data(context, builder, signature.args[0], arguments[0]), arguments[1], vector
        )
        flags = ir.VectorType(ir.IntType(1), vector.count)
        read = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(vector, [vector.as_pointer(), ir.IntType(32), flags, vector]),
            f"llvm.masked.load.{_intrinsic_name(vector)}.p0",
        )
        align = ir.Constant(ir.IntType(32), kind.scalar.bitwidth // 8)
        mask = _mask(builder, arguments[2], vector.count)
        return builder.call(read, [pointer, align, mask, ir.Constant(vector, None)])

    return kind(array, types.intp, types.intp), generate


@intrinsic
def store(typing: Any, array: Any, offset: Any, value: Any, count: Any) -> Any:
    """Write the first `count` lanes of a vector at array[offset]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = _llvm_vector(value.scalar)
        pointer = _vector_pointer(
            builder, _data(context, builder, signature.args[0], arguments[0]), arguments[1], vector
        )
        flags = ir.VectorType(ir.IntType(1), vector.count)
        write = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [vector, vector.as_pointer(), ir.IntType(32), flags]),
            f"llvm.masked.store.{_intrinsic_name(vector)}.p0",
        )
        align = ir.Constant(ir.IntType(32), value.scalar.bitwidth // 8)
        builder.call(write, [arguments[2], pointer, align, _mask(builder, arguments[3], vector.count)])
        return context.get_dummy_value()

    return types.void(array, types.intp, value, types.intp), generate


@intrinsic
def _turn_square(typing: Any, a: Any, at: Any, row: Any, b: Any, bt: Any, width: Any) -> Any:
    """b[bt + k * width + c] = a[at + c * row + k], for as many c and k as a vector has lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind, _, _, target, *_ = signature.args
        a, at, row, b, bt, width = arguments
        vector = _llvm_vector(kind.dtype)
        lanes, align = vector.count, kind.dtype.bitwidth // 8
        number = ir.IntType(64)
        source, result = _data(context, builder, kind, a), _data(context, builder, target, b)

        def pointer(data: ir.Value, start: ir.Value, line: ir.Value, i: int) -> ir.Value:
            offset = builder.add(start, builder.mul(line, ir.Constant(number, i)))
            return _vector_pointer(builder, data, offset, vector)

        lines = [builder.load(pointer(source, at, row, i), align=align) for i in range(lanes)]
        # Each round exchanges one bit of a value's line with the same bit of its lane.
        bit = 1
        while bit < lanes:
            numbers = range(lanes)
            low = [lane if not lane & bit else lanes + (lane ^ bit) for lane in numbers]
            high = [lane | bit if not lane & bit else lanes + lane for lane in numbers]
            low_mask, high_mask = (ir.Constant(ir.VectorType(ir.IntType(32), lanes), mask) for mask in (low, high))
            for i in numbers:
                if not i & bit:
                    pair = lines[i], lines[i | bit]
                    lines[i] = builder.shuffle_vector(*pair, low_mask)
                    lines[i | bit] = builder.shuffle_vector(*pair, high_mask)
            bit *= 2
        for i, line in enumerate(lines):
            builder.store(line, pointer(result, bt, width, i), align=align)
        return context.get_dummy_value()

    i = types.intp
    return types.void(a, i, i, b, i, i), generate


@intrinsic
def _prefetch_line(typing: Any, array: Any, offset: Any) -> Any:
    """Prefetch the cache line of array[offset]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = builder.gep(_data(context, builder, signature.args[0], arguments[0]), [arguments[1]])
        number = ir.IntType(32)
        fetch = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [address.type, *[number] * 3]), "llvm.prefetch.p0"
        )
        builder.call(fetch, [address, *(ir.Constant(number, v) for v in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


def _arithmetic(symbol: Callable[[Any, Any], Any], instruction: str) -> None:
    """Define the operator `symbol` for vectors, also with a number on either side."""

    @intrinsic
    def apply(typing: Any, left: Any, right: Any) -> Any:
        kind = left if isinstance(left, Vector) else right

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            vector = _llvm_vector(kind.scalar)
            sides = []
            for side, value in zip(signature.args, arguments, strict=True):
                if not isinstance(side, Vector):
                    value = _broadcast(builder, context.cast(builder, value, side, kind.scalar), vector)
                sides.append(value)
            return getattr(builder, instruction)(*sides, flags=("contract", "nsz"))

        return kind(left, right), generate

    @overload(symbol, jit_options=_INLINE)
    def operate(left, right):
        if isinstance(left, Vector) or isinstance(right, Vector):
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
        vector = _llvm_vector(value.scalar)
        high = _broadcast(builder, context.cast(builder, arguments[1], signature.args[1], value.scalar), vector)
        low = builder.fneg(high)
        below = builder.select(builder.fcmp_ordered(">", arguments[0], high), high, arguments[0])
        return builder.select(builder.fcmp_ordered("<", below, low), low, below)

    return value(value, bound), generate


@intrinsic
def _larger(typing: Any, left: Any, right: Any) -> Any:
    """The larger value of every lane. A NaN on either side stays NaN."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first, second = arguments
        replaced = builder.or_(builder.fcmp_ordered(">", first, second), builder.fcmp_unordered("uno", first, first))
        return builder.select(replaced, first, second)

    return left(left, right), generate


@intrinsic
def _where_equal(typing: Any, left: Any, right: Any, value: Any) -> Any:
    """`value`, a vector or a number, in the lanes in which the first two are equal; 0 in the others."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = _llvm_vector(left.scalar)
        given = arguments[2]
        if not isinstance(value, Vector):
            given = _broadcast(builder, context.cast(builder, given, value, left.scalar), vector)
        equal = builder.fcmp_ordered("==", arguments[0], arguments[1])
        return builder.select(equal, given, ir.Constant(vector, None))

    return left(left, right, value), generate


@intrinsic
def _root(typing: Any, value: Any) -> Any:
    """The square root of every lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = _llvm_vector(value.scalar)
        root = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector]), f"llvm.sqrt.{_intrinsic_name(vector)}"
        )
        return builder.call(root, arguments)

    return value(value), generate


@intrinsic
def _each_tanh(typing: Any, value: Any) -> Any:
    """The C library's tanh of every lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        single = context.typing_context.resolve_function_type(
            context.typing_context.resolve_value_type(math.tanh), (value.scalar,), {}
        )
        function = context.get_function(math.tanh, single)
        result = arguments[0]
        for lane in range(value.lanes):
            at = ir.Constant(ir.IntType(32), lane)
            number = function(builder, [builder.extract_element(arguments[0], at)])
            result = builder.insert_element(result, number, at)
        return result

    return value(value), generate


# tanh x = x P(x^2) / Q(x^2), fitted for the smallest relative error (6e-9 before rounding) up to the bound, where
# tanh differs from 1 by less than three units of the last place. In float32 its error is at most 4e-7.
_BOUND = 7.9
_P = (0.999999994, 0.134506111, 0.00357898048, 2.20230383e-05, 1.54276423e-08)
_Q = (0.467839391, 0.0261921949, 0.000342363101, 8.59865494e-07)
_P0, _P1, _P2, _P3, _P4 = _P
_Q1, _Q2, _Q3, _Q4 = _Q


def tanh(value):
    """Return tanh of a vector: a rational approximation in float32, the C library's in float64."""
    raise NotImplementedError("called from compiled code only")


@overload(tanh, jit_options=_INLINE)
def _tanh(value):
    if value.scalar.bitwidth == 64:
        return lambda value: _each_tanh(value)

    def rational(value):
        x = _clamp(value, _BOUND)
        y = x * x
        top = (((_P4 * y + _P3) * y + _P2) * y + _P1) * y + _P0
        bottom = (((_Q4 * y + _Q3) * y + _Q2) * y + _Q1) * y + 1.0
        return x * top / bottom

    return rational


def sigmoid(value):
    """Return 1 / (1 + exp(-x)) of a vector, computed by tanh, with half the error of tanh."""
    raise NotImplementedError("called from compiled code only")


@overload(sigmoid, jit_options=_INLINE)
def _sigmoid(value):
    return lambda value: 0.5 + 0.5 * tanh(0.5 * value)


# --- Pairs of bfloat16 values ----------------------------------------------------------------------------
# Two of them take the place of one float32 value: the two that follow each other in the depth of a product.


class _BFloat16(ir.types.Type):
    """The LLVM type bfloat, which llvmlite does not have."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat16)

    def __hash__(self) -> int:
        return hash(_BFloat16)


_PAIRS = ir.VectorType(_BFloat16(), 2 * VECTOR_BYTES // 4)


def _rounding(combine: Callable[[Any, Any, Any, Any], Any]) -> Any:
    """Return a function of two vectors, both rounded to bfloat16 (to nearest, ties to even), then combined to one.

    On a machine without bfloat16 the function returns the first vector, and it is never called.
    """

    @intrinsic
    def combined(typing: Any, first: Any, second: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            if not BF16 or first.scalar.bitwidth == 64:
                return arguments[0]
            vector = _llvm_vector(first.scalar)
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
_ONES = float(np.array(0x3F803F80, np.uint32).view(np.float32))


# --- Tiles ---------------------------------------------------------------------------------------------


def _multiply_add(builder: ir.IRBuilder, vector: ir.VectorType, pairs: bool) -> Callable[[Any, Any, Any], Any]:
    """Return a function that emits total + a * b for each lane. For pairs, both products are added."""
    if not pairs:
        name = f"llvm.fmuladd.{_intrinsic_name(vector)}"
        single = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), name)
        return lambda total, a, b: builder.call(single, [a, b, total])
    kind = ir.FunctionType(vector, [vector, _PAIRS, _PAIRS])
    double = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512bf16.dpbf16ps.512")
    return lambda total, a, b: builder.call(double, [total, builder.bitcast(a, _PAIRS), builder.bitcast(b, _PAIRS)])


def _tiles_of(pairs: bool) -> Any:
    """Return `_tile` with pointers. Each size of tile has its own loop, which a jump selects."""

    @intrinsic
    def every_tile(
        typing: Any, a: Any, row: Any, col: Any, b: Any, c: Any, crow: Any, m: Any, n: Any, depth: Any, add: Any
    ) -> Any:
        return _tile_signature(a.dtype), _tile_generator(a.dtype, pairs)

    return every_tile


_every_tile, _every_pair_tile = _tiles_of(False), _tiles_of(True)


def _tile_generator(scalar: types.Float, pairs: bool) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first, row, col, second, result, crow, m, n, depth, add = arguments
        vector = _llvm_vector(scalar)
        lanes, index, align = vector.count, ir.IntType(64), scalar.bitwidth // 8
        multiply_add = _multiply_add(builder, vector, pairs)

        def number(value: int) -> ir.Constant:
            return ir.Constant(index, value)

        adding = builder.icmp_signed("!=", add, number(0))
        done = builder.append_basic_block("done")
        choice = builder.switch(builder.add(builder.mul(m, number(16)), n), done)
        for rows in range(1, TILE_ROWS + 1):
            for width in range(1, (_WIDEST_PAIRS if pairs else int(_WIDEST[rows])) + 1):
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
                        _vector_pointer(builder, second, builder.add(b_at, number(j * lanes)), vector), align=align
                    )
                    for j in range(width)
                ]
                values = [
                    _broadcast(builder, builder.load(builder.gep(first, [builder.add(a_at, a_rows[i])])), vector)
                    for i in range(rows)
                ]
                totals = {(i, j): multiply_add(sums[i, j], values[i], bs[j]) for i, j in places}
                following = builder.add(k, number(1))
                for phi, next_value in [(k, following), *((sums[place], totals[place]) for place in places)]:
                    phi.add_incoming(ir.Constant(phi.type, 0 if phi is k else None), start)
                    phi.add_incoming(next_value, loop)
                builder.cbranch(builder.icmp_signed("<", following, depth), loop, summed)

                builder.position_at_end(summed)
                targets = {
                    (i, j): _vector_pointer(
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


def _pair_tile_function(a, row, col, b, c, crow, m, n, depth, add):
    _every_pair_tile(a, row, col, b, c, crow, m, n, depth, add)


def _compiled(scalar: types.Float, function: Callable[..., None]) -> int:
    """Compile a function of tiles and return its address."""
    try:
        compiled = cfunc(_tile_signature(scalar), cache=True)(function)
    except RuntimeError:  # numba found no place for its cache
        compiled = cfunc(_tile_signature(scalar))(function)
    _tiles.append(compiled)
    assert compiled.address is not None
    return int(compiled.address)


@lru_cache
def pair_tiles() -> int:
    """Return the address of the tiles that multiply pairs of bfloat16 values. `BF16` must be true."""
    return _compiled(types.float32, _pair_tile_function)


@lru_cache
def prepare(dtype: np.dtype[Any]) -> None:
    """Compile the tiles for float32 or float64 once, as a symbol that all other compiled code calls.

    If they were linked into each function that multiplies, they would be compiled a dozen times.
    """
    scalar = types.float32 if dtype.itemsize == 4 else types.float64
    llvm.add_symbol(_tile_symbol(scalar), _compiled(scalar, _tile_function))


# References to the code that compiled functions point to, so that it is not freed.
_tiles: list[Any] = []


@intrinsic
def _tile(
    typing: Any, a: Any, at: Any, row: Any, col: Any, b: Any, bt: Any, c: Any, ct: Any, crow: Any,
    m: Any, n: Any, depth: Any, add: Any, tiles: Any,
) -> Any:
    """c[m, n vectors] = (c +) a[m, depth] b[depth, n vectors]; a[i, k] lies at at + i * row + k * col.

    tiles: 0, or the address of tiles other than those of the type of the array.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, at, row, col, b, bt, c, ct, crow, m, n, depth, add, tiles = arguments
        first, second, result = (
            builder.gep(_data(context, builder, kind, array), [offset])
            for kind, array, offset in ((first_kind, a, at), (second_kind, b, bt), (result_kind, c, ct))
        )
        values = [first, row, col, second, result, crow, m, n, depth, builder.zext(add, ir.IntType(64))]
        tile = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [v.type for v in values]), _tile_symbol(first_kind.dtype)
        )
        others = builder.inttoptr(tiles, tile.type)
        given = builder.icmp_signed("!=", tiles, ir.Constant(tiles.type, 0))
        builder.call(builder.select(given, others, tile), values)
        return context.get_dummy_value()

    first_kind, second_kind, result_kind = a, b, c
    i = types.intp
    return types.void(a, i, i, i, b, i, c, i, i, i, i, i, types.boolean, i), generate


@njit
def _vectors(columns, lanes):
    return (columns + lanes - 1) // lanes


@njit
def _panel(p, vectors, widest):
    """Return the first vector and the width of panel p: all panels are as wide as `widest`, or one less."""
    panels = (vectors + widest - 1) // widest
    base, extra = vectors // panels, vectors % panels
    return p * base + min(p, extra), base + (1 if p < extra else 0)


@njit
def _prefetch(a, at, count):
    """Prefetch a[at : at + count], which is needed later."""
    line = 64 // a.itemsize
    for i in range(0, count, line):
        _prefetch_line(a, at + i)
    _prefetch_line(a, at + count - 1)


# Below, whole vectors are handled apart from the rest: a value stored without a mask is forwarded to the next load, and
# a masked load of a value that is in no cache takes several times as long.


@njit
def _clear(a, at, count):
    for i in range(count):
        a[at + i] = 0.0


@njit
def _copy(a, at, b, bt, count):
    lanes = lanes_of(a)
    whole = count - count % lanes
    for c in range(0, whole, lanes):
        store(b, bt + c, load(a, at + c, lanes), lanes)
    if whole < count:
        store(b, bt + whole, load(a, at + whole, count - whole), count - whole)


@njit
def _accumulate(a, at, b, bt, count):
    lanes = lanes_of(a)
    whole = count - count % lanes
    for c in range(0, whole, lanes):
        store(b, bt + c, load(b, bt + c, lanes) + load(a, at + c, lanes), lanes)
    if whole < count:
        rest = count - whole
        store(b, bt + whole, load(b, bt + whole, rest) + load(a, at + whole, rest), rest)


@njit
def _turn(a, at, row, depth, columns, b, bt, width):
    """b[bt + k * width + c] = a[at + c * row + k] for k < depth and c < columns."""
    lanes = lanes_of(a)
    for c in range(0, columns, lanes):
        some = min(lanes, columns - c)
        whole = depth - depth % lanes if some == lanes else 0
        for k in range(0, whole, lanes):
            _turn_square(a, at + c * row + k, row, b, bt + k * width + c, width)
        for k in range(whole, depth):
            for i in range(c, c + some):
                b[bt + k * width + i] = a[at + i * row + k]


@njit
def _pack(a, at, row, col, depth, columns, ones, vectors, widest, b, bt, total, before):
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
                _prefetch(a, at + (k + 2) * row, columns)
            for p in range(panels):
                first, width = _panel(p, vectors, widest)
                start, width = first * lanes, width * lanes
                inside = min(width, columns - start)
                if inside > 0:
                    _copy(a, at + k * row + start, b, bt + start * total + (before + k) * width, inside)
    for p in range(panels):
        first, width = _panel(p, vectors, widest)
        width *= lanes
        start = first * lanes
        to = bt + start * total + before * width
        inside = max(0, min(width, columns - start))
        if col != 1:
            _turn(a, at + start * col, col, depth, inside, b, to, width)
        for c in range(inside, width):
            filler = 1.0 if ones and start + c == columns else 0.0
            for k in range(depth):
                b[to + k * width + c] = filler


@njit
def _halve(a, at, b, bt, count):
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
def _pair_rows(a, at, row, depth, columns, b, bt, width):
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


@njit
def _pack_pairs(a, at, row, depth, columns, ones, vectors, widest, b, bt, total, before):
    """Do the same as `_pack` with pairs of rows. total and before count pairs."""
    lanes = lanes_of(a)
    panels = (vectors + widest - 1) // widest
    for k in range(0, depth, 2):
        for ahead in range(k + 2, min(k + 4, depth)):
            _prefetch(a, at + ahead * row, columns)
        for p in range(panels):
            first, width = _panel(p, vectors, widest)
            start, width = first * lanes, width * lanes
            inside = min(width, columns - start)
            if inside > 0:
                to = bt + start * total + (before + k // 2) * width
                _pair_rows(a, at + k * row + start, row, min(2, depth - k), inside, b, to, width)
    for p in range(panels):
        first, width = _panel(p, vectors, widest)
        width *= lanes
        start = first * lanes
        to = bt + start * total + before * width
        inside = max(0, min(width, columns - start))
        for c in range(inside, width):
            filler = _ONES if ones and start + c == columns else 0.0
            for k in range((depth + 1) // 2):
                b[to + k * width + c] = filler


@njit
def _multiply(a, at, row, col, rows, b, bt, depth, vectors, widest, first_panel, last_panel, c, ct, crow, add):
    """c[rows, .] = (c +) a[rows, depth] b, for the panels [first_panel, last_panel) of a packed b."""
    _multiply_by(a, at, row, col, rows, b, bt, depth, vectors, widest, first_panel, last_panel, c, ct, crow, add, 0)


@njit
def _multiply_by(
    a, at, row, col, rows, b, bt, depth, vectors, widest, first_panel, last_panel, c, ct, crow, add, tiles
):
    """Do the same as `_multiply` with the tiles at an address."""
    lanes = lanes_of(a)
    for p in range(first_panel, last_panel):
        first, width = _panel(p, vectors, widest)
        for i in range(0, rows, TILE_ROWS):
            m = min(TILE_ROWS, rows - i)
            _tile(
                a, at + i * row, row, col, b, bt + first * lanes * depth, c, ct + i * crow + first * lanes, crow,
                m, width, depth, add, tiles,
            )


@_jit()
def _smallest(values):
    _pack(values, 0, 1, 1, 1, 1, False, 1, 1, values, 0, 1, 0)
    return values[0]


def check() -> None:
    """Compile or load the tiles and a small function. An error of numba is passed on."""
    prepare(np.dtype(np.float32))
    _smallest(np.ones(VECTOR_BYTES // 4, np.float32))


# --- Positions of tokens and rows -------------------------------------------------------------------------------


@_jit(nogil=True)
def extent(lengths):
    """Return the smallest, the largest and the sum of the lengths. For few lengths numpy takes ten times as long."""
    shortest, longest, total = lengths[0], lengths[0], 0
    for length in lengths:
        shortest, longest = min(shortest, length), max(longest, length)
        total += length
    return shortest, longest, total


@_jit(nogil=True)
def plan(index, lengths, steps, rows, order, starts, tokens):
    """Number the tokens of a batch: sequences by falling length, the first token and the row of each.

    Fills order (B,), starts (B + 1,) and tokens (N,). index is B * steps flat. Returns the smallest and the
    largest row that a token names.
    """
    sequences = lengths.size
    counts = np.zeros(steps + 2, np.int64)
    for b in range(sequences):
        counts[steps - lengths[b] + 1] += 1
    for i in range(steps + 1):
        counts[i + 1] += counts[i]
    least, most, n = rows, -1, 0
    for b in range(sequences):
        place = steps - lengths[b]
        order[counts[place]] = b
        counts[place] += 1
        starts[b] = n
        for t in range(lengths[b]):
            row = np.int64(index[b * steps + t])
            tokens[n] = row
            least = min(least, row)
            most = max(most, row)
            n += 1
    starts[sequences] = n
    return least, most


@_jit(nogil=True)
def gather_plan(tokens, rows, first, members):
    """List the tokens of each row: those of row u are members[first[u] : first[u + 1]], ascending."""
    for u in range(rows + 1):
        first[u] = 0
    for p in range(tokens.size):
        first[tokens[p] + 1] += 1
    for u in range(rows):
        first[u + 1] += first[u]
    for p in range(tokens.size):
        u = tokens[p]
        members[first[u]] = p
        first[u] += 1
    for u in range(rows, 0, -1):
        first[u] = first[u - 1]
    first[0] = 0


@njit
def _share(count, worker, workers):
    """Return the range of `count` items that a worker handles."""
    return count * worker // workers, count * (worker + 1) // workers


@njit
def _task(i, worker, workers):
    """Return the i-th task of a worker. Tasks are dealt forth and back, so that long and short ones balance."""
    return i * workers + (worker if i % 2 == 0 else workers - 1 - worker)


# --- The input projection ------------------------------------------------------------------------------


@_jit(nogil=True, fastmath=_FAST)
def project(
    worker, workers, directions, rows, count, weights, input_bias, hidden_bias, before, packed, bias, out, stride,
    tiles, halves,
):
    """out[u, .] = W x_u + b of every distinct row, for both directions: (U, G), rows `stride` apart.

    The hidden biases of r and z are added here, and with reset before also that of n.
    weights is a pair of (3H, E), the second unused without a backward direction; packed, bias and halves are scratch.
    With `tiles` other than 0 rows and weights are rounded to bfloat16, in pairs.
    """
    outputs, width = weights[0].shape
    lanes = lanes_of(rows)
    total = directions * outputs
    vectors = _vectors(total, lanes)
    widest = _WIDEST_PAIRS if tiles else _WIDEST[TILE_ROWS]
    panels = (vectors + widest - 1) // widest
    across = min(workers, panels)
    down = workers // across
    hidden = outputs // 3
    depth = (width + 1) // 2 if tiles else width
    mine_halved = worker * (CHUNK + total) * depth
    for d in range(directions):
        for j in range(outputs):
            both = j < 2 * hidden or before
            bias[worker * total + d * outputs + j] = input_bias[d][j] + (hidden_bias[d][j] if both else 0.0)
    if worker < across * down:
        first_panel, last_panel = _share(panels, worker % across, across)
        low, high = _share(count, worker // across, down)
        mine = worker * vectors * lanes * width
        for p in range(first_panel, last_panel):
            first, wide = _panel(p, vectors, widest)
            wide *= lanes
            to = mine + first * lanes * depth
            for d in range(directions):
                # Of this direction's columns those within the panel.
                begin, end = max(first * lanes, d * outputs), min(first * lanes + wide, (d + 1) * outputs)
                if begin < end and not tiles:
                    _turn(
                        weights[d].reshape(-1), (begin - d * outputs) * width, width, width, end - begin,
                        packed, to + begin - first * lanes, wide,
                    )
                elif begin < end:
                    half = mine_halved + CHUNK * depth
                    for line in range(end - begin):
                        at = (begin - d * outputs + line) * width
                        _halve(weights[d].reshape(-1), at, halves, half + line * depth, width)
                    _turn(halves, half, depth, depth, end - begin, packed, to + begin - first * lanes, wide)
            for c in range(min(wide, total - first * lanes), wide):
                for k in range(depth):
                    packed[to + k * wide + c] = 0.0
        from_column = _panel(first_panel, vectors, widest)[0] * lanes
        last, wide = _panel(last_panel - 1, vectors, widest)
        to_column = min(total, (last + wide) * lanes)
        for u in range(low, high, CHUNK):
            some = min(CHUNK, high - u)
            for v in range(u, u + some):
                _copy(bias, worker * total + from_column, out, v * stride + from_column, to_column - from_column)
            if tiles:
                for v in range(some):
                    if u + v + 2 < high:
                        _prefetch(rows, (u + v + 2) * width, width)
                    _halve(rows, (u + v) * width, halves, mine_halved + v * depth, width)
                _multiply_by(
                    halves, mine_halved, depth, 1, some, packed, mine, depth, vectors, widest,
                    first_panel, last_panel, out, u * stride, stride, True, tiles,
                )
            else:
                _multiply(
                    rows, u * width, width, 1, some, packed, mine, width, vectors, widest,
                    first_panel, last_panel, out, u * stride, stride, True,
                )


# --- The recurrence ------------------------------------------------------------------------------------


@njit(**_INLINE)
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


@njit(**_INLINE)
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


@njit(**_INLINE)
def _step_before(x, xt, a, at, c, ct, h, ht, saved, st, out, ot, j, hidden, keep, count):
    """The new state of one vector of one token, reset before the product; `c` holds U_n (r * h)."""
    n = tanh(load(x, xt + 2 * hidden + j, count) + load(c, ct + j, count))
    state = n + load(a, at + hidden + j, count) * (load(h, ht + j, count) - n)
    store(h, ht + j, state, count)
    store(out, ot + j, state, count)
    if keep:
        store(saved, st + j, n, count)


@njit(fastmath=_FAST)
def _row_after(x, xt, scratch, at, ht, bias, saved, st, out, ot, hidden, keep):
    lanes = lanes_of(x)
    whole = hidden - hidden % lanes
    for j in range(0, whole, lanes):
        _step_after(x, xt, scratch, at, bias, scratch, ht, saved, st, out, ot, j, hidden, keep, lanes)
    if whole < hidden:
        rest = hidden - whole
        _step_after(x, xt, scratch, at, bias, scratch, ht, saved, st, out, ot, whole, hidden, keep, rest)


@njit(fastmath=_FAST)
def _row_gates(x, xt, scratch, at, ht, rt, saved, st, hidden, keep):
    lanes = lanes_of(x)
    for j in range(0, hidden, lanes):
        n = min(lanes, hidden - j)
        _step_gates(x, xt, scratch, at, scratch, ht, scratch, rt, saved, st, j, hidden, keep, n)


@njit(fastmath=_FAST)
def _row_before(x, xt, scratch, at, ct, ht, saved, st, out, ot, hidden, keep):
    lanes = lanes_of(x)
    for j in range(0, hidden, lanes):
        n = min(lanes, hidden - j)
        _step_before(x, xt, scratch, at, scratch, ct, scratch, ht, saved, st, out, ot, j, hidden, keep, n)


@njit
def _length(starts, b):
    return starts[b + 1] - starts[b]


@njit
def _position(starts, b, s, direction):
    """Return the position in sequence b of its step s. Direction 1 starts at the last token."""
    return s if direction == 0 else starts[b + 1] - starts[b] - 1 - s


@njit(fastmath=_FAST)
def _forward_group(
    x, stride, tokens, order, starts, places, first, count, direction, hidden, bias, before, keep, saved, out,
    width, widest, scratch, packed, packed_n, a, h, reset, c,
):
    """Run the sequences order[first : first + count] from the first step to the last."""
    lanes = lanes_of(x)
    vectors, few = _vectors((2 if before else 3) * hidden, lanes), _vectors(hidden, lanes)
    panels, few_panels = (vectors + widest - 1) // widest, (few + widest - 1) // widest
    a_row, h_row = vectors * lanes, few * lanes
    _clear(scratch, h, count * h_row)
    active = count
    for s in range(_length(starts, order[first])):
        while _length(starts, order[first + active - 1]) <= s:
            active -= 1
        if s == 0:
            _clear(scratch, a, active * a_row)
            if before:
                _clear(scratch, c, active * h_row)
        else:
            _multiply(
                scratch, h, h_row, 1, active, scratch, packed, hidden, vectors, widest, 0, panels,
                scratch, a, a_row, False,
            )
        for half in range(2 if before else 1):
            if half == 1 and s > 0:
                _multiply(
                    scratch, reset, h_row, 1, active, scratch, packed_n, hidden, few, widest, 0, few_panels,
                    scratch, c, h_row, False,
                )
            for k in range(active):
                b = order[first + k]
                t = _position(starts, b, s, direction)
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


@_jit(nogil=True, fastmath=_FAST)
def recur(
    worker, workers, directions,
    x, stride, tokens, order, starts, places, end, weights, biases, before, keep, saved, out, width,
    group, scratch, size,
):
    """Run the recurrence over every sequence. Direction 1 starts at the last token of each sequence.

    x: projected rows; tokens: row of each token; places (B,): the output row of each sequence's first token;
    end: rows of output per sequence, to fill with zeros behind its last token, or 0; width = D;
    saved: directions * N * 4H values, written if `keep`; scratch: `size` values for each worker.
    """
    hidden = weights[0].shape[1]
    lanes = lanes_of(x)
    sequences = order.size
    groups = (sequences + group - 1) // group
    tasks = directions * groups
    columns = (2 if before else 3) * hidden
    vectors, few = _vectors(columns, lanes), _vectors(hidden, lanes)
    widest = _WIDEST[min(group, TILE_ROWS)]
    packed = worker * size
    packed_n = packed + hidden * vectors * lanes
    a = packed_n + hidden * few * lanes
    h = a + group * vectors * lanes
    reset = h + group * few * lanes
    c = reset + group * few * lanes
    ready = -1
    for i in range((tasks + workers - 1) // workers):
        task = _task(i, worker, workers)
        if task < tasks:
            d, first = task // groups, (task % groups) * group
            count = min(group, sequences - first)
            if d != ready:
                flat = weights[d].reshape(-1)
                _pack(flat, 0, 1, hidden, hidden, columns, False, vectors, widest, scratch, packed, hidden, 0)
                if before:
                    _pack(
                        flat, 2 * hidden * hidden, 1, hidden, hidden, hidden, False, few, widest,
                        scratch, packed_n, hidden, 0,
                    )
                ready = d
            for k in range(count):
                b = order[first + k]
                for t in range(_length(starts, b), end):
                    _clear(out, (places[b] + t) * width + d * hidden, hidden)
            _forward_group(
                x, stride, tokens, order, starts, places, first, count, d, hidden, biases[d], before, keep,
                saved, out, width, widest, scratch, packed, packed_n, a, h, reset, c,
            )


# --- The pooling ---------------------------------------------------------------------------------------


@njit
def _lift(a, at, b, bt, count):
    """b = the larger of a and b for each value. NaN stays NaN."""
    lanes = lanes_of(a)
    whole = count - count % lanes
    for c in range(0, whole, lanes):
        store(b, bt + c, _larger(load(a, at + c, lanes), load(b, bt + c, lanes)), lanes)
    if whole < count:
        rest = count - whole
        store(b, bt + whole, _larger(load(a, at + whole, rest), load(b, bt + whole, rest)), rest)


@njit
def _count_equal(a, at, b, bt, c, ct, count):
    """Add 1 to c where a and b are equal."""
    lanes = lanes_of(a)
    whole = count - count % lanes
    for i in range(0, whole, lanes):
        equal = _where_equal(load(a, at + i, lanes), load(b, bt + i, lanes), 1.0)
        store(c, ct + i, load(c, ct + i, lanes) + equal, lanes)
    if whole < count:
        rest = count - whole
        equal = _where_equal(load(a, at + whole, rest), load(b, bt + whole, rest), 1.0)
        store(c, ct + whole, load(c, ct + whole, rest) + equal, rest)


@njit
def _add_where_equal(a, at, b, bt, c, ct, d, dt, result, rt, count):
    """result = c, plus d where a and b are equal."""
    lanes = lanes_of(a)
    whole = count - count % lanes
    for i in range(0, whole, lanes):
        equal = _where_equal(load(a, at + i, lanes), load(b, bt + i, lanes), load(d, dt + i, lanes))
        store(result, rt + i, load(c, ct + i, lanes) + equal, lanes)
    if whole < count:
        rest = count - whole
        equal = _where_equal(load(a, at + whole, rest), load(b, bt + whole, rest), load(d, dt + whole, rest))
        store(result, rt + whole, load(c, ct + whole, rest) + equal, rest)


@_jit(nogil=True, fastmath=_FAST)
def pool(worker, workers, out, starts, width, last, mean, largest, features):
    """Pool the output (N, D) of each sequence to its features: F values, in the order of these arguments.

    last: Number of columns that are taken from the last token; the others are from the first token. 0: neither.
    mean: Whether to take the mean over the tokens.
    largest: Whether to take the maximum over the tokens for each column.
    """
    size = (width if last > 0 else 0) + (width if mean else 0) + (width if largest else 0)
    low, high = _share(starts.size - 1, worker, workers)
    for b in range(low, high):
        begin, end = starts[b], starts[b + 1]
        ft = b * size
        if last > 0:
            _copy(out, (end - 1) * width, features, ft, last)
            _copy(out, begin * width + last, features, ft + last, width - last)
            ft += width
        if mean:
            _copy(out, begin * width, features, ft, width)
            for t in range(begin + 1, end):
                _accumulate(out, t * width, features, ft, width)
            share = features.dtype.type(1.0) / features.dtype.type(end - begin)
            for c in range(width):
                features[ft + c] *= share
            ft += width
        if largest:
            _copy(out, begin * width, features, ft, width)
            for t in range(begin + 1, end):
                _lift(out, t * width, features, ft, width)


@_jit(nogil=True, fastmath=_FAST)
def pool_gradient(worker, workers, grad, out, starts, width, last, mean, largest, features, scratch, result):
    """Turn the gradient (B, F) of `pool` into that of the output: result (N, D).

    Where several tokens share the largest value, each gets the same part of its gradient. scratch: 2 D values for
    each worker.
    """
    size = (width if last > 0 else 0) + (width if mean else 0) + (width if largest else 0)
    low, high = _share(starts.size - 1, worker, workers)
    part = worker * 2 * width
    count = part + width
    for b in range(low, high):
        begin, end = starts[b], starts[b + 1]
        ft = b * size
        if last > 0:
            _clear(result, begin * width, (end - begin) * width)
            _copy(grad, ft, result, (end - 1) * width, last)
            _copy(grad, ft + last, result, begin * width + last, width - last)
            ft += width
        _clear(scratch, part, 2 * width)
        if mean:
            share = features.dtype.type(1.0) / features.dtype.type(end - begin)
            for c in range(width):
                scratch[part + c] = grad[ft + c] * share
            ft += width
        if largest:
            for t in range(begin, end):
                _count_equal(out, t * width, features, ft, scratch, count, width)
            for c in range(width):
                scratch[count + c] = grad[ft + c] / scratch[count + c]
            for t in range(begin, end):
                _add_where_equal(
                    out, t * width, features, ft, scratch, part, scratch, count, result, t * width, width
                )
        elif mean:
            for t in range(begin, end):
                _copy(scratch, part, result, t * width, width)


# --- Its gradient --------------------------------------------------------------------------------------


@njit(**_INLINE)
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


@njit(**_INLINE)
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


@njit(**_INLINE)
def _back_reset(saved, st, a, at, states, rt, c, ct, dh, ht, j, hidden, count):
    """The gradient of r of one vector of one token; `c` holds that of r * h."""
    r = load(saved, st + hidden + j, count)
    d = load(c, ct + j, count)
    dr = d * load(states, rt + j, count) * r * (1.0 - r)
    store(saved, st + hidden + j, dr, count)
    store(a, at + j, dr, count)
    store(dh, ht + j, load(dh, ht + j, count) + d * r, count)


@njit(fastmath=_FAST)
def _row_back_after(grad, gt, out, pt, inside, saved, st, scratch, at, rt, ht, hidden):
    lanes = lanes_of(saved)
    whole = hidden - hidden % lanes
    for j in range(0, whole, lanes):
        _back_after(grad, gt, out, pt, inside, saved, st, scratch, at, scratch, rt, scratch, ht, j, hidden, lanes)
    if whole < hidden:
        rest = hidden - whole
        _back_after(grad, gt, out, pt, inside, saved, st, scratch, at, scratch, rt, scratch, ht, whole, hidden, rest)


@njit(fastmath=_FAST)
def _row_back_before(grad, gt, out, pt, inside, saved, st, scratch, at, rt, qt, ht, hidden):
    lanes = lanes_of(saved)
    for j in range(0, hidden, lanes):
        n = min(lanes, hidden - j)
        _back_before(
            grad, gt, out, pt, inside, saved, st, scratch, at, scratch, rt, scratch, qt, scratch, ht, j, hidden, n
        )


@njit(fastmath=_FAST)
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
def _add_products(scratch, rows, hidden, before, a, states, resets, packed, sums, ct, tiles):
    """Add to sums (3H, H + 1 rounded up to vectors) the products of `rows` lines of gradients with their states.

    Column H adds up the gradients alone: by a factor of 1 where a vector has room for it beside the states.
    """
    lanes = lanes_of(scratch)
    widest = _WIDEST_PAIRS if tiles else _WIDEST[TILE_ROWS]
    vectors = _vectors(hidden, lanes)
    room = hidden % lanes != 0
    panels = (vectors + widest - 1) // widest
    narrow = vectors * lanes
    crow = _vectors(hidden + 1, lanes) * lanes
    if not room:
        _add_lines(scratch, a, 3 * hidden, rows, 3 * hidden, sums, ct + hidden, crow, packed)
    outputs = (2 if before else 3) * hidden
    depth = (rows + 1) // 2 if tiles else rows
    if tiles:
        _pair_rows(scratch, a, 3 * hidden, rows, 3 * hidden, scratch, a, 3 * hidden)
        _pack_pairs(scratch, states, narrow, rows, hidden, room, vectors, widest, scratch, packed, depth, 0)
    else:
        _pack(scratch, states, narrow, 1, rows, hidden, room, vectors, widest, scratch, packed, rows, 0)
    _multiply_by(
        scratch, a, 1, 3 * hidden, outputs, scratch, packed, depth, vectors, widest, 0, panels, sums, ct, crow, True,
        tiles,
    )
    if before:
        if tiles:
            _pack_pairs(scratch, resets, narrow, rows, hidden, room, vectors, widest, scratch, packed, depth, 0)
        else:
            _pack(scratch, resets, narrow, 1, rows, hidden, room, vectors, widest, scratch, packed, rows, 0)
        _multiply_by(
            scratch, a + outputs, 1, 3 * hidden, hidden, scratch, packed, depth, vectors, widest, 0, panels,
            sums, ct + outputs * crow, crow, True, tiles,
        )


@njit(fastmath=_FAST)
def _backward_group(
    grad, order, starts, places, first, count, direction, hidden, before, saved, out, width, widest,
    scratch, packed, packed_n, a, states, resets, dh, c, factors, sums, ct, tiles,
):
    """Run the gradient of `_forward_group`, from the last step to the first.

    Gradients and the states before them gather in `a`, `states` and `resets`, up to CHUNK tokens, until they are
    multiplied while still in the cache.
    """
    lanes = lanes_of(saved)
    few = _vectors(hidden, lanes)
    panels = (few + widest - 1) // widest
    a_row, h_row = 3 * hidden, few * lanes
    depth = (2 if before else 3) * hidden
    _clear(scratch, dh, count * h_row)
    active = 0
    held = 0
    for s in range(_length(starts, order[first]) - 1, -1, -1):
        while active < count and _length(starts, order[first + active]) > s:
            active += 1
        if held + active > CHUNK:
            _add_products(scratch, held, hidden, before, a, states, resets, factors, sums, ct, tiles)
            held = 0
        for half in range(2 if before else 1):
            if half == 1:
                _multiply(
                    scratch, a + held * a_row + 2 * hidden, a_row, 1, active, scratch, packed_n, hidden, few, widest,
                    0, panels, scratch, c, h_row, False,
                )
            for k in range(active):
                b = order[first + k]
                t = _position(starts, b, s, direction)
                st = (direction * starts[-1] + starts[b] + t) * 4 * hidden
                gt = (places[b] + t) * width + direction * hidden
                pt = gt - width if direction == 0 else gt + width
                inside = s > 0
                at, ht = a + (held + k) * a_row, dh + k * h_row
                rt, qt = states + (held + k) * h_row, resets + (held + k) * h_row
                if half == 0 and inside:
                    # The step before this one, while the product keeps the core busy.
                    following = -1 if direction == 0 else 1
                    _prefetch(saved, st + following * 4 * hidden, 4 * hidden)
                    _prefetch(grad, gt + following * width, hidden)
                if not before:
                    _row_back_after(grad, gt, out, pt, inside, saved, st, scratch, at, rt, ht, hidden)
                elif half == 0:
                    _row_back_before(grad, gt, out, pt, inside, saved, st, scratch, at, rt, qt, ht, hidden)
                else:
                    _row_back_reset(saved, st, scratch, at, rt, c + k * h_row, ht, hidden)
        if s > 0:
            _multiply(
                scratch, a + held * a_row, a_row, 1, active, scratch, packed, depth, few, widest, 0, panels,
                scratch, dh, h_row, True,
            )
        held += active
    _add_products(scratch, held, hidden, before, a, states, resets, factors, sums, ct, tiles)


def backward_scratch(hidden: int, lanes: int, group: int) -> int:
    """Return the number of scratch values for each worker of `recur_backward`."""
    narrow, summed = -(-hidden // lanes) * lanes, -(-(hidden + 1) // lanes) * lanes
    return 3 * hidden * narrow + CHUNK * (3 * hidden + 2 * narrow + summed) + group * 2 * narrow


@_jit(nogil=True, fastmath=_FAST)
def recur_backward(
    worker, workers, directions,
    grad, order, starts, places, weights, before, saved, out, width, group, scratch, size, sums, tiles,
):
    """Run the gradient of `recur`: the n, r and z in `saved` become the gradients of their sums.

    sums: for each worker and direction (3H, H + 1 rounded up to vectors), the gradient of the hidden weights
    and, in column H, of their biases, from the worker's own sequences.
    """
    hidden = weights[0].shape[1]
    lanes = lanes_of(saved)
    sequences = order.size
    groups = (sequences + group - 1) // group
    tasks = directions * groups
    few = _vectors(hidden, lanes)
    each = 3 * hidden * _vectors(hidden + 1, lanes) * lanes
    widest = _WIDEST[min(group, TILE_ROWS)]
    depth = (2 if before else 3) * hidden
    packed = worker * size
    packed_n = packed + depth * few * lanes
    a = packed + 3 * hidden * few * lanes
    states = a + CHUNK * 3 * hidden
    resets = states + CHUNK * few * lanes
    factors = resets + CHUNK * few * lanes
    dh = factors + CHUNK * _vectors(hidden + 1, lanes) * lanes
    c = dh + group * few * lanes
    ready = -1
    _clear(sums, worker * directions * each, directions * each)
    for i in range((tasks + workers - 1) // workers):
        task = _task(i, worker, workers)
        if task < tasks:
            d, first = task // groups, (task % groups) * group
            count = min(group, sequences - first)
            if d != ready:
                flat = weights[d].reshape(-1)
                _pack(flat, 0, hidden, 1, depth, hidden, False, few, widest, scratch, packed, depth, 0)
                if before:
                    _pack(
                        flat, depth * hidden, hidden, 1, hidden, hidden, False, few, widest,
                        scratch, packed_n, hidden, 0,
                    )
                ready = d
            _backward_group(
                grad, order, starts, places, first, count, d, hidden, before, saved, out, width, widest,
                scratch, packed, packed_n, a, states, resets, dh, c, factors, sums, (worker * directions + d) * each,
                tiles,
            )


@njit
def _gather(saved, at, skip, first, members, low, high, columns, to, tt, row):
    """to[u - low, :columns] = the sum of the saved gradients of the tokens of row u, from column `at`."""
    for u in range(low, high):
        target = tt + (u - low) * row
        for m in range(first[u], first[u + 1]):
            if m + 4 < members.size:
                _prefetch(saved, at + members[m + 4] * skip, columns)
            source = at + members[m] * skip
            if m == first[u]:
                _copy(saved, source, to, target, columns)
            else:
                _accumulate(saved, source, to, target, columns)
        if first[u] == first[u + 1]:
            _clear(to, target, columns)


def input_scratch(hidden: int, inputs: int, lanes: int) -> int:
    """Return the number of scratch values for each worker of `weight_gradients`."""
    return CHUNK * (3 * hidden + -(-(inputs + 1) // lanes) * lanes)


@_jit(nogil=True, fastmath=_FAST)
def weight_gradients(
    worker, workers, directions,
    saved, total, rows, count, inputs, first, members, sums, keep, gathered, products, scratch,
    size, tiles, input_weights, hidden_weights, input_biases, hidden_biases,
):
    """Sum up the gradients of the four parameters of each direction, once `recur_backward` has run.

    The gradients of the tokens of a row are added up first, in float32, into `gathered` (U, directions * 3H in the
    order n, r, z) if `keep`; products: scratch of (G, E + 1 rounded up to vectors). Writes the last four arguments.
    """
    hidden = hidden_weights[0].shape[1]
    lanes = lanes_of(saved)
    vectors = _vectors(inputs + 1, lanes)
    widest = _WIDEST_PAIRS if tiles else _WIDEST[TILE_ROWS]
    panels = (vectors + widest - 1) // widest
    crow = vectors * lanes
    hidden_row = _vectors(hidden + 1, lanes) * lanes
    blocks = (3 * hidden + TILE_ROWS - 1) // TILE_ROWS
    from_block, to_block = _share(directions * blocks, worker, workers)
    packed = worker * size
    buffer = packed + CHUNK * crow
    for begin in range(0, count, CHUNK):
        if from_block < to_block:
            end = min(count, begin + CHUNK)
            depth = end - begin
            pairs = (depth + 1) // 2
            if tiles:
                _pack_pairs(
                    rows, begin * inputs, inputs, depth, inputs, True, vectors, widest, scratch, packed, pairs, 0
                )
            else:
                _pack(rows, begin * inputs, inputs, 1, depth, inputs, True, vectors, widest, scratch, packed, depth, 0)
            for d in range(directions):
                low = max(0, from_block - d * blocks) * TILE_ROWS
                high = min(3 * hidden, (to_block - d * blocks) * TILE_ROWS)
                if low < high:
                    at = d * total * 4 * hidden + low
                    if keep:
                        row = directions * 3 * hidden
                        start = begin * row + d * 3 * hidden + low
                        _gather(saved, at, 4 * hidden, first, members, begin, end, high - low, gathered, start, row)
                        if tiles:
                            _pair_rows(gathered, start, row, depth, high - low, scratch, buffer, high - low)
                            _multiply_by(
                                scratch, buffer, 1, high - low, high - low, scratch, packed, pairs, vectors, widest,
                                0, panels, products, (d * 3 * hidden + low) * crow, crow, begin > 0, tiles,
                            )
                        else:
                            _multiply(
                                gathered, start, 1, row, high - low, scratch, packed, depth, vectors, widest,
                                0, panels, products, (d * 3 * hidden + low) * crow, crow, begin > 0,
                            )
                    else:
                        row = high - low
                        _gather(saved, at, 4 * hidden, first, members, begin, end, row, scratch, buffer, row)
                        if tiles:
                            _pair_rows(scratch, buffer, row, depth, row, scratch, buffer, row)
                        _multiply_by(
                            scratch, buffer, 1, row, row, scratch, packed, pairs if tiles else depth, vectors, widest,
                            0, panels, products, (d * 3 * hidden + low) * crow, crow, begin > 0, tiles,
                        )
    for d in range(directions):
        low = max(0, from_block - d * blocks) * TILE_ROWS
        high = min(3 * hidden, (to_block - d * blocks) * TILE_ROWS)
        for column in range(low, high):
            line = (column + 2 * hidden) % (3 * hidden)
            source = (d * 3 * hidden + column) * crow
            _copy(products, source, input_weights[d].reshape(-1), line * inputs, inputs)
            input_biases[d][line] = products[source + inputs]
    low, high = _share(directions * 3 * hidden, worker, workers)
    for g in range(low, high):
        d, line = g // (3 * hidden), g % (3 * hidden)
        source = g * hidden_row
        for other in range(1, workers):
            _accumulate(sums, (other * directions * 3 * hidden + g) * hidden_row, sums, source, hidden_row)
        _copy(sums, source, hidden_weights[d].reshape(-1), line * hidden, hidden)
        hidden_biases[d][line] = sums[source + hidden]


def row_scratch(hidden: int, inputs: int, lanes: int, directions: int) -> int:
    """Return the number of scratch values for each worker of `row_gradients`."""
    depth = directions * 3 * hidden
    return (depth + CHUNK) * -(-inputs // lanes) * lanes + CHUNK * -(-depth // 2)


@_jit(nogil=True, fastmath=_FAST)
def row_gradients(worker, workers, directions, gathered, count, weights, scratch, size, out, tiles):
    """out (U, E) = the gradient of the distinct rows: what `weight_gradients` gathered, times the weights.

    Where H is odd, a pair of bfloat16 values would span two gates: the product is then computed in float32.
    """
    outputs, inputs = weights[0].shape
    hidden = outputs // 3
    lanes = lanes_of(gathered)
    vectors = _vectors(inputs, lanes)
    paired = tiles != 0 and hidden % 2 == 0
    widest = _WIDEST_PAIRS if paired else _WIDEST[TILE_ROWS]
    panels = (vectors + widest - 1) // widest
    crow = vectors * lanes
    depth = directions * outputs
    low, high = _share(count, worker, workers)
    packed = worker * size
    buffer = packed + depth * crow
    halves = buffer + CHUNK * crow
    if low < high:
        for d in range(directions):
            flat = weights[d].reshape(-1)
            if paired:
                half = outputs // 2
                _pack_pairs(
                    flat, 2 * hidden * inputs, inputs, hidden, inputs, False, vectors, widest,
                    scratch, packed, depth // 2, d * half,
                )
                _pack_pairs(
                    flat, 0, inputs, 2 * hidden, inputs, False, vectors, widest,
                    scratch, packed, depth // 2, d * half + hidden // 2,
                )
                continue
            _pack(
                flat, 2 * hidden * inputs, inputs, 1, hidden, inputs, False, vectors, widest,
                scratch, packed, depth, d * outputs,
            )
            _pack(
                flat, 0, inputs, 1, 2 * hidden, inputs, False, vectors, widest,
                scratch, packed, depth, d * outputs + hidden,
            )
        for begin in range(low, high, CHUNK):
            some = min(CHUNK, high - begin)
            if paired:
                for u in range(some):
                    _halve(gathered, (begin + u) * depth, scratch, halves + u * (depth // 2), depth)
                _multiply_by(
                    scratch, halves, depth // 2, 1, some, scratch, packed, depth // 2, vectors, widest, 0, panels,
                    scratch, buffer, crow, False, tiles,
                )
            else:
                _multiply(
                    gathered, begin * depth, depth, 1, some, scratch, packed, depth, vectors, widest, 0, panels,
                    scratch, buffer, crow, False,
                )
            for u in range(some):
                _copy(scratch, buffer + u * crow, out, (begin + u) * inputs, inputs)


# --- Adam on the rows of a table -------------------------------------------------------------------------


@_jit(nogil=True)
def adam_rows(worker, workers, distinct, grad, table, first, second, steps, width, lr, beta1, beta2, epsilon):
    """Move the rows `distinct` of the table and of both moments by one step of Adam, each with its own bias correction.

    distinct (U,): different rows; grad: U * width flat; table, first, second: V * width flat; steps (V,).
    Row 0 of the table becomes 0.
    """
    lanes = lanes_of(table)
    low, high = _share(distinct.size, worker, workers)
    for u in range(low, high):
        if u + 1 < high:
            following = distinct[u + 1] * width
            _prefetch(table, following, width)
            _prefetch(first, following, width)
            _prefetch(second, following, width)
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
            moved = load(table, at + c, some) - m * step / (_root(v * correction) + epsilon)
            store(table, at + c, moved, some)
        if row == 0:
            _clear(table, 0, width)
