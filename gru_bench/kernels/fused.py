"""The recurrence of a GRU as one fused torch operation on a CPU.

`fused_gru` computes the same as `torch.nn.GRU` on each sequence of a batch of different lengths. It does no work on
padding and projects each distinct token of the batch once. `fused_gru_states` also starts from given states and returns
the last ones. `adam_rows` trains the vectors of those tokens. All loops
are in the other modules of this folder, which numba compiles and which are imported on first use. `unavailable` says
whether the kernel can run on this machine.

Threads. The kernel computes all products itself, on its own threads, and no torch operation runs inside it.
`set_threads` sets their number, which by default is that of torch. While a model trains on this kernel, torch has
little to do: give it one thread (`torch.set_num_threads(1)`), because threads of torch that wait for work keep cores
busy.

Shapes: U distinct rows, E input width, B sequences, T longest allowed length, N tokens of all sequences,
H hidden units, D = H * directions, F features, S = layers * directions.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_sequence, unpack_sequence

from gru_bench.config import POOLING_PARTS, Part, Pooling, Reset

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

__all__ = ["adam_rows", "fused_gru", "fused_gru_states", "release", "set_threads", "unavailable"]

_PARTS: tuple[tuple[Part, ...], ...] = (("last",), ("final",), ("mean",), ("max",), ("mean", "max"))
"""Parts of a pooling that the kernel computes together, forward and backward."""
_POOLINGS: Mapping[str, tuple[Part, ...]] = {
    pooling: parts for pooling, parts in POOLING_PARTS.items() if parts in _PARTS}
POOLINGS = tuple(_POOLINGS)
"""Poolings that the kernel computes."""
Form = Literal["padded", "tokens"] | Pooling
"""What a layer returns: its output with padding (B, T, D), or without padding (N, D), or pooled features (B, F)."""

_threads: int | None = None


@lru_cache(maxsize=1)
def unavailable() -> str | None:
    """Return None if the fused kernel can run on this machine, or else the reason as a sentence.

    The check runs once per process: it imports numba, and compiles or loads a function of a few lines.
    """
    try:
        from gru_bench.kernels.products import check

        check()
    except ImportError as error:
        return f"the fused kernel needs numba, which cannot be imported: {error}."
    except Exception as error:
        first = (str(error) or type(error).__name__).strip().splitlines()[0]
        return f"the fused kernel cannot be compiled by numba on this machine: {first}."
    return None


def set_threads(n: int) -> None:
    """Set the number of threads of the kernel. It never uses more than the processors of this process.

    Raises:
        ValueError: for n below 1.
    """
    global _threads
    if n < 1:
        raise ValueError(f"the number of threads must be at least 1, but got {n}")
    _threads = n


LEAST_WORK = 50_000_000
"""Smallest number of multiplications per thread in the forward pass of a layer. Below it, starting the thread costs
more than it gains."""


def _workers(rows_UE: Tensor, plan: _Plan, weights: Sequence[Tensor]) -> int:
    """Return the number of threads for a layer: all of them, or fewer if the layer has little work."""
    hidden = weights[1].shape[1]
    work: int = len(weights) // 4 * 3 * hidden * (rows_UE.shape[0] * rows_UE.shape[1] + plan.count * hidden)
    return max(1, min(_threads_there(), work // LEAST_WORK))


def _threads_there() -> int:
    return min(torch.get_num_threads() if _threads is None else _threads, _processors())


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Crew:
    """A pool of threads that run one compiled function together with the caller, and sleep in between.

    Compiled functions release the interpreter's lock. Starting them takes some 15 microseconds, half of the time of
    numba's own pools. No thread waits by spinning, as OpenMP threads do, which costs a busy machine more than it saves.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._members: list[_Member] = []

    def run(self, workers: int, function: Callable[..., None], *arguments: Any) -> None:
        """Call function(worker, workers, *arguments) in all workers at the same time. Worker 0 is the caller."""
        if workers == 1:
            function(0, 1, *arguments)
            return
        with self._turn:
            while len(self._members) < workers - 1:
                self._members.append(_Member())
            others = self._members[: workers - 1]
            for worker, member in enumerate(others, 1):
                member.start(function, worker, workers, *arguments)
            try:
                function(0, workers, *arguments)
            finally:
                errors = [member.wait() for member in others]
        for error in errors:
            if error is not None:
                raise error


class _Member:
    """One thread of a crew."""

    def __init__(self) -> None:
        self._called, self._done = threading.Lock(), threading.Lock()
        self._called.acquire()
        self._done.acquire()
        self._call: tuple[Any, ...] = ()
        self._error: BaseException | None = None
        threading.Thread(target=self._serve, name="gru_bench kernel", daemon=True).start()

    def _serve(self) -> None:
        while True:
            self._called.acquire()
            function, *arguments = self._call
            self._call = ()
            try:
                function(*arguments)
            except BaseException as error:
                self._error = error
            del function, arguments
            self._done.release()

    def start(self, *call: Any) -> None:
        """Start call[0](*call[1:]) in this thread."""
        self._call = call
        self._called.release()

    def wait(self) -> BaseException | None:
        """Wait for the end of the call, and return the error that it raised, or None."""
        self._done.acquire()
        error, self._error = self._error, None
        return error


_crew = _Crew()


def release() -> None:
    """Free the memory that is reserved for the next training step."""
    _pool.clear()


def _begin_again() -> None:
    """Forget the threads, because a forked process does not inherit them."""
    global _crew
    _crew = _Crew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_again)


class _Pool:
    """A pool of memory blocks, so that a training step uses memory that is already mapped.

    A block that is never given back is freed with its last reference.
    """

    keep = 4
    """Number of blocks that stay reserved: those that two layers use at once, and one more. Each may grow to the
    longest batch."""

    def __init__(self) -> None:
        self._free: list[Array] = []
        self._lock = threading.Lock()

    def take(self, dtype: np.dtype[Any], *sizes: int) -> tuple[Array, list[Array]]:
        """Return a block, and flat arrays in it of these sizes, uninitialized and aligned to 64 bytes."""
        line = 64 // dtype.itemsize
        ends = list(accumulate(-(-size // line) * line for size in sizes))
        need = max(ends[-1] * dtype.itemsize, 64)
        block = None
        with self._lock:
            for i, free in enumerate(self._free):
                if need <= free.nbytes <= 8 * need + 65536 and (block is None or free.nbytes < block.nbytes):
                    block, place = free, i
            if block is not None:
                del self._free[place]
        if block is None:
            raw = np.empty(need + need // 8 + 128, np.uint8)
            start = -raw.ctypes.data % 64
            block = raw[start : start + (raw.nbytes - 64) // 64 * 64]
        values = block.view(dtype)
        return block, [values[start : start + size] for start, size in zip([0, *ends], sizes, strict=False)]

    def give(self, block: Array) -> None:
        """Put a block back into the pool."""
        with self._lock:
            self._free.append(block)
            if len(self._free) > self.keep:
                del self._free[min(range(len(self._free)), key=lambda i: self._free[i].nbytes)]

    def clear(self) -> None:
        """Free all blocks in the pool."""
        with self._lock:
            self._free.clear()


_pool = _Pool()


class _Plan:
    """The tokens of one batch, numbered from sequence to sequence.

    order (B,): Sequences by falling length.
    starts (B + 1,): Number of the first token of each sequence.
    tokens (N,): Row of each token.
    first (U + 1,), members (N,): Tokens of each row, computed on the first use.
    """

    def __init__(self, index_BT: Tensor, lengths_B: Tensor, rows: int) -> None:
        from gru_bench.kernels.batch import extent, plan

        lengths = lengths_B.detach().to(torch.int64).contiguous().numpy()
        self.sequences, self.steps = index_BT.shape
        shortest, longest, self.count = extent(lengths)
        if shortest < 1 or longest > self.steps:
            raise ValueError(
                f"every length must be from 1 to {self.steps}, the columns of index_BT, but they range from "
                f"{shortest} to {longest}"
            )
        self.rows = rows
        self.order = np.empty(self.sequences, np.int64)
        self.starts = np.empty(self.sequences + 1, np.int64)
        self.tokens = np.empty(self.count, np.int64)
        index = index_BT.detach().contiguous().view(-1).numpy()
        least, most = plan(index, lengths, self.steps, rows, self.order, self.starts, self.tokens)
        if least < 0 or most >= rows:
            raise IndexError(f"every token must name one of the {rows} rows, but they range from {least} to {most}")
        self._members: tuple[Array, Array] | None = None

    def next_layer(self) -> _Plan:
        """Return the plan of the next layer, where each token has a row of its own."""
        plan = _Plan.__new__(_Plan)
        plan.__dict__.update(self.__dict__)
        plan.rows = self.count
        plan.tokens = np.arange(self.count)
        plan._members = np.arange(self.count + 1), plan.tokens
        return plan

    def members(self) -> tuple[Array, Array]:
        """Return `first` and `members`: row u has the tokens members[first[u]:first[u + 1]]."""
        if self._members is None:
            from gru_bench.kernels.batch import gather_plan

            first, members = np.empty(self.rows + 1, np.int64), np.empty(self.count, np.int64)
            gather_plan(self.tokens, self.rows, first, members)
            self._members = first, members
        return self._members


def _pairs(tensors: Sequence[Tensor]) -> list[tuple[Array, ...]]:
    """Return weight_ih, weight_hh, bias_ih and bias_hh, each as a pair: both directions, or twice the only one."""
    arrays = [t.detach().numpy() if t.is_contiguous() else t.detach().contiguous().numpy() for t in tensors]
    return [(arrays[i], arrays[i - 4]) for i in range(4)]


class _Layer(torch.autograd.Function):
    """One layer with all its directions: from rows_UE, the parameters and, if given, the states before the first step
    (directions, B, H) to output_BTD, output_ND or features_BF."""

    @staticmethod
    def forward(
        ctx: Any, rows_UE: Tensor, initial: Tensor | None, plan: _Plan, form: Form, before: bool, keep: bool,
        *weights: Tensor,
    ) -> Tensor:
        result, forward = _run_forward(rows_UE, initial, plan, form, before, keep, weights)
        if keep:
            # With the result: torch notices if it is overwritten.
            ctx.save_for_backward(rows_UE, initial, result, *weights)
            ctx.forward_pass = forward
        else:
            forward.give_back()
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows_UE, initial, _, *weights = ctx.saved_tensors
        forward: _Saved = ctx.forward_pass
        if torch.is_grad_enabled():  # create_graph=True
            return _differentiable_backward(grad, rows_UE, initial, forward, ctx.needs_input_grad, weights)
        if forward.block is None:  # a second backward pass: the first one wrote over the saved values
            _, forward = _run_forward(
                rows_UE, initial, forward.plan, forward.form, forward.before, True, weights)
        row_grad, initial_grad, grads = _run_backward(
            grad.contiguous(), rows_UE, initial, forward, ctx.needs_input_grad[0], weights)
        forward.give_back()
        return (row_grad, initial_grad, None, None, None, None, *grads)


@dataclass
class _Saved:
    """Values of the forward pass of a layer that its gradient needs.

    inputs: Rows and states before the first step, flat, and the pairs of input and hidden weights.
    places (B,): Output row of the first token of each sequence.
    out: Output, flat.
    saved: directions * N * 4H values of gates.
    features: Pooled features, flat. None without a pooling.
    block: Memory block of `saved` and, with a pooling, of `out`. None once it is given back.
    """

    plan: _Plan
    form: Form
    before: bool
    inputs: tuple[Array, Array, tuple[Array, ...], tuple[Array, ...]]
    places: Array
    out: Array
    saved: Array
    features: Array | None
    block: Array | None

    def give_back(self) -> None:
        """Give the memory block back to the pool."""
        if self.block is not None:
            _pool.give(self.block)
            self.block = None


def _group(plan: _Plan, directions: int, workers: int, most: int) -> int:
    """Return the number of sequences that run together: the rows of a tile, or fewer so that every worker has work."""
    return max(1, min(most, -(-plan.sequences * directions // workers)))


def _run_forward(
    rows_UE: Tensor, initial: Tensor | None, plan: _Plan, form: Form, before: bool, keep: bool,
    weights: Sequence[Tensor],
) -> tuple[Tensor, _Saved]:
    """Return the result of a layer and, if `keep`, the values that its gradient needs."""
    from gru_bench.kernels.forward import forward_scratch, project, recur
    from gru_bench.kernels.machine import VECTOR_BYTES
    from gru_bench.kernels.pooling import pool
    from gru_bench.kernels.tiles import TILE_ROWS, prepare

    input_weights, hidden_weights, input_biases, hidden_biases = _pairs(weights)
    directions, hidden = len(weights) // 4, weights[1].shape[1]
    rows = rows_UE.detach().contiguous().view(-1).numpy()
    dtype = rows.dtype
    states = np.empty(0, dtype) if initial is None else initial.detach().contiguous().view(-1).numpy()
    prepare(dtype)
    lanes = VECTOR_BYTES // dtype.itemsize
    workers = _workers(rows_UE, plan, weights)
    group = _group(plan, directions, workers, TILE_ROWS)
    total = directions * 3 * hidden
    stride = -(-total // lanes) * lanes
    width = directions * hidden
    size = forward_scratch(hidden, lanes, group)
    pooling = None if form in ("padded", "tokens") else _pooling_arguments(form, width, hidden)
    block, (projected, packed, bias, scratch) = _pool.take(
        dtype, plan.rows * stride, workers * stride * rows_UE.shape[1], workers * total, workers * size)
    saved_block, (saved, out) = _pool.take(
        dtype, directions * plan.count * 4 * hidden if keep else 1, plan.count * width if pooling else 1)
    places = plan.starts[:-1]
    if form == "padded":
        places = np.arange(plan.sequences) * plan.steps
        result = torch.empty(plan.sequences, plan.steps, width, dtype=rows_UE.dtype)
    elif pooling is None:
        result = torch.empty(plan.count, width, dtype=rows_UE.dtype)
    else:
        result = torch.empty(plan.sequences, width * sum(map(bool, pooling)), dtype=rows_UE.dtype)
    flat = result.view(-1).numpy()
    if pooling is None:
        out = flat
    _crew.run(
        workers, project, directions, rows, plan.rows, input_weights, input_biases, hidden_biases, before, packed,
        bias, projected, stride,
    )
    _crew.run(
        workers, recur, directions, projected, stride, plan.tokens, plan.order, plan.starts,
        places, plan.steps if form == "padded" else 0, states, hidden_weights, hidden_biases, before, keep, saved,
        out, width, group, scratch, size,
    )
    _pool.give(block)
    if pooling is not None:
        _crew.run(workers, pool, out, plan.starts, width, *pooling, flat)
    arrays = rows, states, input_weights, hidden_weights
    features = None if pooling is None else flat
    return result, _Saved(plan, form, before, arrays, places, out, saved, features, saved_block)


def _pooling_arguments(pooling: str, width: int, hidden: int) -> tuple[int, bool, bool]:
    """Return the arguments of a pooling for `pool` and `pool_gradient`, from D and H.

    They are the number of columns of the last token (the other columns are those of the first token; 0: neither),
    whether to take the mean over the tokens, and whether the maximum.

    Raises:
        ValueError: for a pooling that the kernel does not have: it would leave the features unwritten.
    """
    if pooling not in _POOLINGS:
        raise ValueError(f"pooling must be one of {', '.join(map(repr, POOLINGS))}, but got {pooling!r}")
    parts = _POOLINGS[pooling]
    return width if "last" in parts else hidden if "final" in parts else 0, "mean" in parts, "max" in parts


def _run_backward(
    grad: Tensor, rows_UE: Tensor, initial: Tensor | None, forward: _Saved, want_rows: bool, weights: Sequence[Tensor]
) -> tuple[Tensor | None, Tensor | None, list[Tensor]]:
    """Return the gradients of the rows, if wanted, of the states before the first step, if given, and of the
    parameters. `forward.saved` is overwritten."""
    from gru_bench.kernels import backward
    from gru_bench.kernels.machine import VECTOR_BYTES
    from gru_bench.kernels.pooling import pool_gradient
    from gru_bench.kernels.tiles import TILE_ROWS

    plan, saved = forward.plan, forward.saved
    rows, states, input_weights, hidden_weights = forward.inputs
    directions, hidden = len(weights) // 4, weights[1].shape[1]
    dtype, inputs = rows.dtype, rows_UE.shape[1]
    lanes = VECTOR_BYTES // dtype.itemsize
    workers = _workers(rows_UE, plan, weights)
    group = _group(plan, directions, workers, TILE_ROWS)
    total, width = directions * 3 * hidden, directions * hidden
    size = backward.backward_scratch(hidden, lanes, group)
    input_size = backward.input_scratch(hidden * directions, inputs, lanes)
    row_size = backward.row_scratch(hidden, inputs, lanes, directions) if want_rows else 0
    pools = forward.features is not None
    block, (scratch, sums, products, input_scratch, row_space, parts, gathered) = _pool.take(
        dtype, workers * size, workers * total * (-(-(hidden + 1) // lanes) * lanes),
        total * (-(-(inputs + 1) // lanes) * lanes), workers * input_size, workers * row_size, workers * 2 * width,
        max(plan.count * width if pools else 1, plan.rows * total if want_rows else 1))
    grads = [torch.empty_like(w, memory_format=torch.contiguous_format) for w in weights]
    first, members = plan.members()
    row_grad = None
    initial_grad = None if initial is None else torch.empty_like(initial, memory_format=torch.contiguous_format)
    state_grad = states if initial_grad is None else initial_grad.view(-1).numpy()
    output_grad = grad.view(-1).numpy()
    if pools:
        feature_grad, output_grad = output_grad, gathered  # `gathered` gets its own content only later
        _crew.run(
            workers, pool_gradient, feature_grad, forward.out, plan.starts, width,
            *_pooling_arguments(forward.form, width, hidden), forward.features, parts, output_grad,
        )
    _crew.run(
        workers, backward.recur_backward, directions, output_grad, plan.order, plan.starts, forward.places, states,
        hidden_weights, forward.before, saved, forward.out, width, group, scratch, size, sums, state_grad,
    )
    _crew.run(
        workers, backward.weight_gradients, directions, saved, plan.count, rows, plan.rows, inputs, first, members,
        sums, want_rows, gathered, products, input_scratch, input_size, *_pairs(grads),
    )
    if want_rows:
        row_grad = torch.empty_like(rows_UE, memory_format=torch.contiguous_format)
        _crew.run(
            workers, backward.row_gradients, directions, gathered, plan.rows, input_weights, row_space, row_size,
            row_grad.view(-1).numpy(),
        )
    _pool.give(block)
    return row_grad, initial_grad, grads


def _differentiable_backward(
    grad: Tensor, rows_UE: Tensor, initial: Tensor | None, forward: _Saved, needed: Sequence[bool],
    weights: Sequence[Tensor],
) -> tuple[Tensor | None, ...]:
    """Return what `_Layer.backward` does, computed by torch, so that it can be differentiated again.

    Raises:
        RuntimeError: for a layer that torch does not have.
    """
    plan = forward.plan
    if forward.form != "tokens" or forward.before:
        raise RuntimeError(
            "create_graph must be False for a gradient of fused_gru: only fused_gru_states with reset 'after' has "
            "second derivatives"
        )
    sequences = torch.split(rows_UE[torch.from_numpy(plan.tokens)], np.diff(plan.starts).tolist())
    packed = pack_sequence(list(sequences), enforce_sorted=False)
    directions, hidden = len(weights) // 4, weights[1].shape[1]
    h0 = rows_UE.new_zeros(directions, plan.sequences, hidden) if initial is None else initial
    output = torch.gru(
        packed.data, packed.batch_sizes, h0[:, packed.sorted_indices], list(weights), has_biases=True, num_layers=1,
        dropout=0.0, train=True, bidirectional=directions == 2)[0]
    output_ND = torch.cat(unpack_sequence(PackedSequence(output, *packed[1:])))
    inputs = [rows_UE, initial, None, None, None, None, *weights]
    wanted = [tensor for tensor, need in zip(inputs, needed, strict=True) if tensor is not None and need]
    grads = iter(torch.autograd.grad(output_ND, wanted, grad, create_graph=True))
    return tuple(next(grads) if need else None for need in needed)


def _check(
    rows_UE: Tensor, index_BT: Tensor, lengths_B: Tensor, weights: Sequence[Tensor], directions: int, reset: str,
    pooling: str | None,
) -> None:
    """Raise ValueError for arguments that do not fit together."""
    if rows_UE.dim() != 2 or rows_UE.shape[0] == 0:
        raise ValueError(f"rows_UE must be a matrix with at least one row, but has shape {tuple(rows_UE.shape)}")
    if rows_UE.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"rows_UE must be float32 or float64, but is {rows_UE.dtype}")
    if index_BT.dim() != 2 or index_BT.dtype not in (torch.int64, torch.int32):
        raise ValueError(
            f"index_BT must be a matrix of int64 or int32, but is {index_BT.dtype} of shape {tuple(index_BT.shape)}"
        )
    if lengths_B.shape != index_BT.shape[:1] or lengths_B.numel() == 0:
        raise ValueError(
            f"lengths_B must hold one length for each of the {index_BT.shape[0]} rows of index_BT, and at least one, "
            f"but has shape {tuple(lengths_B.shape)}"
        )
    if reset not in ("after", "before"):
        raise ValueError(f"reset must be one of 'after', 'before', but got {reset!r}")
    if pooling is not None and pooling not in POOLINGS:
        raise ValueError(f"pooling must be None or one of {', '.join(map(repr, POOLINGS))}, but got {pooling!r}")
    if not weights or len(weights) % (4 * directions):
        raise ValueError(f"weights must hold {4 * directions} tensors for every layer, but holds {len(weights)}")
    hidden = weights[1].shape[-1]
    width = rows_UE.shape[1]
    for layer in range(len(weights) // (4 * directions)):
        shapes = [(3 * hidden, width), (3 * hidden, hidden), (3 * hidden,), (3 * hidden,)] * directions
        for i, shape in enumerate(shapes, 4 * directions * layer):
            if tuple(weights[i].shape) != shape or weights[i].dtype != rows_UE.dtype:
                raise ValueError(
                    f"weights[{i}] must be {rows_UE.dtype} of shape {shape}, but is {weights[i].dtype} of shape "
                    f"{tuple(weights[i].shape)}"
                )
        width = hidden * directions
    for tensor in (rows_UE, index_BT, lengths_B, *weights):
        if tensor.device.type != "cpu":
            raise ValueError(f"the fused kernel runs on the CPU, but was given a tensor on {tensor.device}")


def fused_gru(
    rows_UE: Tensor,
    index_BT: Tensor,
    lengths_B: Tensor,
    weights: Sequence[Tensor],
    *,
    bidirectional: bool,
    reset: Reset = "after",
    between: Callable[[Tensor], Tensor] | None = None,
    pooling: Pooling | None = None,
) -> Tensor:
    """Return the output of a GRU with any number of layers over sequences of different lengths.

    The operation can be differentiated once. The backward direction starts at the last token of each sequence. float32
    values are summed in float32, and sigmoid and tanh have errors of at most 4e-7. With the same number of threads, the
    result and its gradients repeat bit for bit.

    Args:
        rows_UE: Vectors of the distinct tokens of the batch, float32 or float64. They get a gradient if they need one.
        index_BT: Row of each token, int64 or int32. Values beyond the end of a sequence do not matter.
        lengths_B: Number of tokens of each sequence, from 1 to T, in any order.
        weights: Weights in the order of nn.GRU: for each layer and direction weight_ih (3H, E or D), weight_hh (3H, H),
            bias_ih (3H,) and bias_hh (3H,), with the gates r, z, n.
        bidirectional: Whether each layer runs in both directions.
        reset: "after" computes n = tanh(W_n x + b_in + r * (U_n h + b_hn)), as nn.GRU and cuDNN do. "before" computes
            n = tanh(W_n x + b_in + U_n (r * h) + b_hn), as Cho et al. 2014 (arXiv:1406.1078, equation 8).
        between: Function for the output of every layer except the last, which is given as (N, D) without padding.
        pooling: Reduction of the output over time. Tokens that share the largest value of a column share its gradient.

    Returns:
        output_BTD, with zeros beyond the end of each sequence, or with a pooling features_BF, where F is D times its
        parts.

    Raises:
        ValueError: for shapes, types or lengths that do not fit.
        IndexError: for a token without a row.
        RuntimeError: where the kernel cannot run on this machine.
    """
    reason = unavailable()
    if reason is not None:
        raise RuntimeError(reason)
    directions = 2 if bidirectional else 1
    _check(rows_UE, index_BT, lengths_B, weights, directions, reset, pooling)
    plan = _Plan(index_BT, lengths_B, rows_UE.shape[0])
    for output in _layers(  # noqa: B007  # earlier ones are not kept
        rows_UE, None, plan, weights, directions, pooling or "padded", reset == "before", between
    ):
        pass
    return output


def fused_gru_states(
    rows_UE: Tensor,
    index_BT: Tensor,
    lengths_B: Tensor,
    weights: Sequence[Tensor],
    *,
    bidirectional: bool,
    initial_SBH: Tensor | None = None,
    reset: Reset = "after",
    between: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the output of a GRU without padding, and the last states of all its layers, as `torch.nn.GRU` does.

    Everything that `fused_gru` says holds here too, but that with reset "after" there are second derivatives: torch
    computes a gradient that is taken with `create_graph=True`.

    Args:
        rows_UE: As for `fused_gru`.
        index_BT: As for `fused_gru`.
        lengths_B: As for `fused_gru`.
        weights: As for `fused_gru`.
        bidirectional: As for `fused_gru`.
        initial_SBH: States before the first step of each sequence. They get a gradient if they need one. None: zeros.
        reset: As for `fused_gru`.
        between: As for `fused_gru`.

    Returns:
        output_ND, sequence after sequence, and state_SBH, for each layer and direction the state that it ends with: at
        the last token of a sequence forward, and at the first backward.

    Raises:
        ValueError: for shapes, types or lengths that do not fit.
        IndexError: for a token without a row.
        RuntimeError: where the kernel cannot run on this machine.
    """
    reason = unavailable()
    if reason is not None:
        raise RuntimeError(reason)
    directions = 2 if bidirectional else 1
    _check(rows_UE, index_BT, lengths_B, weights, directions, reset, None)
    hidden = weights[1].shape[1]
    if initial_SBH is not None:
        shape = len(weights) // 4, len(lengths_B), hidden
        if tuple(initial_SBH.shape) != shape or initial_SBH.dtype != rows_UE.dtype or initial_SBH.device.type != "cpu":
            raise ValueError(
                f"initial_SBH must be {rows_UE.dtype} of shape {shape} on the CPU, but is {initial_SBH.dtype} of shape "
                f"{tuple(initial_SBH.shape)} on {initial_SBH.device}"
            )
    plan = _Plan(index_BT, lengths_B, rows_UE.shape[0])
    starts = torch.from_numpy(plan.starts)
    states = []
    for output_ND in _layers(
        rows_UE, initial_SBH, plan, weights, directions, "tokens", reset == "before", between
    ):
        states.append(output_ND[:, :hidden].index_select(0, starts[1:] - 1))
        if bidirectional:
            states.append(output_ND[:, hidden:].index_select(0, starts[:-1]))
    return output_ND, torch.stack(states)


def _layers(
    rows_UE: Tensor, initial_SBH: Tensor | None, plan: _Plan, weights: Sequence[Tensor], directions: int, form: Form,
    before: bool, between: Callable[[Tensor], Tensor] | None,
) -> Iterator[Tensor]:
    """Yield the output of each layer: of the last one in `form`, of the others as output_ND."""
    each = 4 * directions
    layers = len(weights) // each
    output = rows_UE
    for layer in range(layers):
        if layer == 1:
            plan = plan.next_layer()
        if between is not None and layer > 0:
            output = between(output)
        own = weights[layer * each : (layer + 1) * each]
        initial = None if initial_SBH is None else initial_SBH[layer * directions : (layer + 1) * directions]
        inputs = [output, *own] if initial is None else [output, initial, *own]
        keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
        output = _Layer.apply(  # type: ignore[no-untyped-call]  # torch leaves it untyped
            output, initial, plan, form if layer == layers - 1 else "tokens", before, keep, *own)
        yield output


LEAST_VALUES = 100_000
"""Smallest number of values per thread in `adam_rows`. They take some 0.2 ms, and starting a thread a tenth of that."""


def adam_rows(
    distinct_U: Tensor, gradient_UE: Tensor, table_VE: Tensor, first_VE: Tensor, second_VE: Tensor, steps_V: Tensor,
    *, lr: float, betas: tuple[float, float], epsilon: float,
) -> None:
    """Do one step of Adam on rows of a table, in place and in one pass over memory.

    The bias of the moments is corrected by the number of steps of each row (Kingma and Ba 2015, algorithm 1). Row 0,
    the padding, stays zero. `unavailable()` must be None.

    Args:
        distinct_U: Rows to move, int64, from 0 to V - 1, each once. This is not checked.
        gradient_UE: Gradients of these rows.
        table_VE: Table, float32 or float64 like the gradient.
        first_VE: First moments of all rows.
        second_VE: Second moments of all rows.
        steps_V: Number of steps of each row so far, of shape (V,) or (V, 1).
        lr: Learning rate.
        betas: Decay of the first and of the second moment.
        epsilon: Number that is added to the root of the second moment.

    Raises:
        RuntimeError: for a tensor that is not contiguous.
    """
    from gru_bench.kernels import adam

    workers = max(1, min(_threads_there(), gradient_UE.numel() // LEAST_VALUES))
    flat = [tensor.view(-1).numpy() for tensor in (gradient_UE, table_VE, first_VE, second_VE, steps_V)]
    _crew.run(
        workers, adam.adam_rows, distinct_U.numpy(), *flat, table_VE.shape[1], lr, betas[0], betas[1], epsilon)
