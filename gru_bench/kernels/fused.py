"""The recurrence of a GRU as one fused torch operation on a CPU.

`fused_gru` computes the same as `torch.nn.GRU` on each sequence of a batch of different lengths. It does no work on
padding and projects each distinct token of the batch once. `fused_gru_states` also starts from given states and returns
the last ones. `adam_rows` trains the vectors of those tokens. All loops are in the other modules of this folder, which
numba compiles and which are imported on first use. `unavailable` says whether the kernel can run on this machine.
The equations of the GRU are in forward.py and backward.py. `gru_bench.kernels` says in which order to read the modules,
and what to change for another activation.

Shapes: U distinct rows, E input width, B sequences, T longest allowed length, N tokens of all sequences,
H hidden units, D = H * directions, F features, S = layers * directions.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from gru_bench.config import POOLING_PARTS, Part, Pooling
from gru_bench.kernels.denormals import flushed
from gru_bench.kernels.threads import run_together, set_threads, threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gru_bench.kernels import backward, forward
    from gru_bench.kernels.layer import Batch, Layer, States, Weights
    from gru_bench.kernels.pooling import Parts

    Array = NDArray[Any]

Buffers = TypeVar("Buffers")

__all__ = ["adam_rows", "flushed", "fused_gru", "fused_gru_states", "release", "set_threads", "unavailable"]

_PARTS: tuple[tuple[Part, ...], ...] = (("last",), ("final",), ("mean",), ("max",), ("mean", "max"))
"""Parts of a pooling that the kernel computes together, forward and backward."""
_POOLINGS: Mapping[str, tuple[Part, ...]] = {
    pooling: parts for pooling, parts in POOLING_PARTS.items() if parts in _PARTS}
POOLINGS = tuple(_POOLINGS)
"""Poolings that the kernel computes."""
Form = Literal["padded", "tokens"] | Pooling
"""What a layer returns: its output with padding (B, T, D), or without padding (N, D), or pooled features (B, F)."""


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


LEAST_WORK = 50_000_000
"""Smallest number of multiplications per thread in the forward pass of a layer. Below it, starting the thread costs
more than it gains."""


def release() -> None:
    """Free the memory that is reserved for the next training step."""
    _pool.clear()
    _buffers.cache_clear()


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

    def take(self, *shapes: tuple[int, int]) -> list[Array]:
        """Return a block, and float32 matrices of these shapes in it, uninitialized and aligned to 64 bytes."""
        ends = list(accumulate(-(-4 * rows * columns // 64) * 64 for rows, columns in shapes))
        need = max(ends[-1], 64)
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
        return [block, *(np.ndarray(shape, np.float32, block, start)
                         for start, shape in zip([0, *ends], shapes, strict=False))]

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


def _number_tokens(index_BT: Tensor, lengths_B: Tensor, rows: int) -> Batch:
    """Return the tokens of a batch.

    Raises:
        ValueError: for a length that the index does not have.
        IndexError: for a token without a row.
    """
    from gru_bench.kernels.layer import Batch, list_members

    lengths = lengths_B.detach().numpy().astype(np.int64)
    steps = index_BT.shape[1]
    if lengths.min() < 1 or lengths.max() > steps:
        raise ValueError(
            f"every length must be from 1 to {steps}, the columns of index_BT, but they range from {lengths.min()} to "
            f"{lengths.max()}")
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    row_of_token = index_BT.detach().numpy()[np.arange(steps) < lengths[:, None]]
    batch = Batch(np.argsort(-lengths, kind="stable"), starts, row_of_token, np.empty(rows + 1, np.int64),
                  np.empty(len(row_of_token), np.int64))
    if not list_members(batch.rows, batch.first, batch.members):
        raise IndexError(f"every token must name one of the {rows} rows, but they range from {row_of_token.min()} to "
                         f"{row_of_token.max()}")
    return batch


def _of_next_layer(batch: Batch) -> Batch:
    """Return the batch as the next layer reads it: each token has a row of its own."""
    token_N = np.arange(len(batch.rows))
    return batch._replace(rows=token_N, first=np.arange(len(token_N) + 1), members=token_N)


def _weights(tensors: Sequence[Tensor]) -> Weights:
    """Return the weights of a layer: each as a pair of both directions, or twice the only one."""
    from gru_bench.kernels.layer import Weights

    arrays = [t.detach().numpy() if t.is_contiguous() else t.detach().contiguous().numpy() for t in tensors]
    return Weights(*((arrays[i], arrays[i - 4]) for i in range(4)))


class _Layer(torch.autograd.Function):
    """One layer with all its directions: from rows_UE, the weights and, if given, the states before the first step
    (directions, B, H) to output_BTD, output_ND or features_BF."""

    @staticmethod
    def forward(ctx: Any, rows_UE: Tensor, initial: Tensor | None, task: _Task, *weights: Tensor) -> Tensor:
        result, forward = _run_forward(rows_UE, initial, task, weights)
        if task.training:
            # With the result: torch notices if it is overwritten.
            ctx.save_for_backward(rows_UE, initial, result, *weights)
            ctx.forward_pass = forward
        else:
            forward.give_back()
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows_UE, initial, _, *weights = ctx.saved_tensors
        if torch.is_grad_enabled():
            raise RuntimeError("create_graph must be False for a gradient of the fused kernel, which has no second "
                               "derivatives, but it is True: for a gradient penalty, use torch.nn.GRU")
        forward: _Forward = ctx.forward_pass
        if forward.block is None:  # a second backward pass: the first one wrote over the gates
            _, forward = _run_forward(rows_UE, initial, forward.task, weights)
        row_grad, initial_grad, grads = _run_backward(grad.contiguous(), rows_UE, initial, forward,
                                                      ctx.needs_input_grad[0], weights)
        forward.give_back()
        return (row_grad, initial_grad, None, *grads)


@dataclass(frozen=True)
class _Task:
    """What a layer computes: of which batch, and how."""

    batch: Batch
    steps: int
    """T, with padding."""
    form: Form
    training: bool = False
    """Whether a backward pass may follow."""


@dataclass
class _Forward:
    """What the gradient of a layer needs of its forward pass."""

    task: _Task
    layer: Layer
    workers: int
    rows: Array
    weights: Weights
    states: States
    parts: Parts | None
    """What the features consist of. None: the output is not pooled."""
    features: Array
    """Pooled features, or the output."""
    block: Array | None
    """Memory block of the gates and, with a pooling, of the output. None once it is given back."""

    def give_back(self) -> None:
        """Give the memory block back to the pool."""
        if self.block is not None:
            _pool.give(self.block)
            self.block = None


def _split(rows_UE: Tensor, task: _Task, weights: Sequence[Tensor]) -> tuple[Layer, int]:
    """Return the sizes of a layer, and the number of its workers: all threads, or fewer if it has little work.

    Sequences run in groups as large as a tile, or smaller so that every worker has one.
    """
    from gru_bench.kernels.layer import Layer
    from gru_bench.kernels.tiles import TILE_ROWS

    directions, hidden, (rows, inputs) = len(weights) // 4, weights[1].shape[1], rows_UE.shape
    work = directions * 3 * hidden * (rows * inputs + len(task.batch.rows) * hidden)
    workers = max(1, min(threads(), work // LEAST_WORK))
    group = max(1, min(TILE_ROWS, -(-len(task.batch.order) * directions // workers)))
    return Layer(directions, inputs, hidden, group, task.training), workers


def _rounded_up(size: int) -> int:
    """Return a number of values rounded up to whole vectors."""
    from gru_bench.kernels.vectors import LANES

    return -(-size // LANES) * LANES


def _named(kind: Callable[..., Buffers], **shapes: tuple[int, int]) -> Buffers:
    """Return a named tuple of matrices in memory of their own."""
    return kind(**dict(zip(shapes, _pool.take(*shapes.values())[1:], strict=True)))


@lru_cache(maxsize=8)
def _buffers(thread: int, workers: int, directions: int, inputs: int, hidden: int) -> tuple[
    forward.ProjectionBuffers, forward.RecurrenceBuffers, backward.RecurrenceBuffers, backward.WeightBuffers,
    backward.RowBuffers, Array,
]:
    """Return the working memory whose size does not depend on the batch; the array is for the gradient of the pooling.

    Each thread keeps its own for its next call. To take it from the pool would cost 3 % of a step with one text.
    """
    from gru_bench.kernels import backward, forward
    from gru_bench.kernels.products import CHUNK
    from gru_bench.kernels.tiles import TILE_ROWS

    gates = 3 * hidden
    gates_row, state_row, sums_row, input_row, input_sums_row = (
        _rounded_up(size) for size in (gates, hidden, hidden + 1, inputs, inputs + 1))
    return (
        _named(
            forward.ProjectionBuffers,
            panels=(workers, inputs * gates_row),
            bias=(workers, gates)),
        _named(
            forward.RecurrenceBuffers,
            panels=(workers, hidden * gates_row),
            states=(workers, TILE_ROWS * state_row),
            sums=(workers, TILE_ROWS * gates_row)),
        _named(
            backward.RecurrenceBuffers,
            panels=(workers, gates * state_row),
            gradients=(workers, CHUNK * gates),
            states=(workers, CHUNK * state_row),
            factors=(workers, CHUNK * sums_row),
            state_gradients=(workers, TILE_ROWS * state_row),
            zeros=(workers, state_row),
            sums=(workers * directions * gates, sums_row)),
        _named(
            backward.WeightBuffers,
            panels=(workers, CHUNK * input_sums_row),
            gradients=(workers, CHUNK * gates),
            sums=(directions * gates, input_sums_row)),
        _named(
            backward.RowBuffers,
            panels=(workers, directions * gates * input_row),
            products=(workers, CHUNK * input_row)),
        _pool.take((workers, 2 * directions * hidden))[1])


@flushed()
def _run_forward(
    rows_UE: Tensor, initial: Tensor | None, task: _Task, tensors: Sequence[Tensor]
) -> tuple[Tensor, _Forward]:
    """Return the result of a layer, and what its gradient needs."""
    from gru_bench.kernels import forward
    from gru_bench.kernels.layer import States
    from gru_bench.kernels.tiles import prepare

    batch, weights, rows = task.batch, _weights(tensors), rows_UE.detach().contiguous().numpy()
    prepare()
    layer, workers = _split(rows_UE, task, tensors)
    directions, hidden = layer.directions, layer.hidden
    projection, recurrence, *_ = _buffers(threading.get_ident(), workers, directions, layer.inputs, hidden)
    width, sequences, tokens = directions * hidden, len(batch.order), len(batch.rows)
    parts = None if task.form in ("padded", "tokens") else _parts(task.form, width, hidden)
    output_rows, padded_to = batch.starts[:-1], 0
    if task.form == "padded":
        output_rows, padded_to = np.arange(sequences) * task.steps, task.steps
        result = torch.empty(sequences, task.steps, width, dtype=torch.float32)
    elif parts is None:
        result = torch.empty(tokens, width, dtype=torch.float32)
    else:
        result = torch.empty(sequences, width * sum(map(bool, parts)), dtype=torch.float32)
    features = result.view(-1, result.shape[-1]).numpy()
    kept, gates, output = _pool.take(
        (directions * tokens if task.training else 0, 4 * hidden), (tokens if parts else 0, width))
    block, projected = _pool.take((directions * len(rows), _rounded_up(3 * hidden)))
    before = np.empty(0, np.float32) if initial is None else initial.detach().contiguous().view(-1).numpy()
    states = States(before, features if parts is None else output, output_rows, padded_to, gates)
    run_together(workers, forward.project, layer, weights, rows, projection, projected)
    run_together(workers, forward.recur, layer, batch, weights, projected, states, recurrence)
    _pool.give(block)
    if parts is not None:
        from gru_bench.kernels.pooling import pool

        run_together(workers, pool, batch, parts, output, features)
    return result, _Forward(task, layer, workers, rows, weights, states, parts, features, kept)


@lru_cache
def _parts(pooling: str, width: int, hidden: int) -> Parts:
    """Return the parts of a pooling, from D and H.

    Raises:
        ValueError: for a pooling that the kernel does not have: it would leave the features unwritten.
    """
    from gru_bench.kernels.pooling import Parts

    if pooling not in _POOLINGS:
        raise ValueError(f"pooling must be one of {', '.join(map(repr, POOLINGS))}, but got {pooling!r}")
    parts = _POOLINGS[pooling]
    return Parts(width if "last" in parts else hidden if "final" in parts else 0, "mean" in parts, "max" in parts)


@flushed()
def _run_backward(
    grad: Tensor, rows_UE: Tensor, initial: Tensor | None, forward: _Forward, want_rows: bool, tensors: Sequence[Tensor]
) -> tuple[Tensor | None, Tensor | None, list[Tensor]]:
    """Return the gradients of the rows, if wanted, of the states before the first step, if given, and of the weights.

    The gates are overwritten.
    """
    from gru_bench.kernels import backward

    batch, states, rows, layer, workers = (
        forward.task.batch, forward.states, forward.rows, forward.layer, forward.workers)
    width, gates = layer.directions * layer.hidden, layer.directions * 3 * layer.hidden
    tokens, gathered_rows = len(batch.rows), len(rows) if want_rows else 0
    _, _, recurrence, weight_buffers, row_buffers, pooling = _buffers(
        threading.get_ident(), workers, layer.directions, layer.inputs, layer.hidden)
    block, memory = _pool.take((1, max(tokens * width if forward.parts else 0, gathered_rows * gates)))
    grads = [torch.empty_like(w, memory_format=torch.contiguous_format) for w in tensors]
    initial_grad = None if initial is None else torch.empty_like(initial, memory_format=torch.contiguous_format)
    row_grad = torch.empty_like(rows_UE, memory_format=torch.contiguous_format) if want_rows else None
    output_gradient = grad.view(-1, grad.shape[-1]).numpy()
    if forward.parts is not None:
        from gru_bench.kernels.pooling import pool_gradient

        given, output_gradient = output_gradient, memory[0, : tokens * width].reshape(tokens, width)
        run_together(workers, pool_gradient, batch, forward.parts, given, states.output, forward.features, pooling,
                     output_gradient)
    run_together(workers, backward.recur_backward, layer, batch, forward.weights, output_gradient, states, recurrence,
                 states.initial if initial_grad is None else initial_grad.view(-1).numpy())
    # In the place of the output's gradient, which is no longer needed.
    gathered = memory[0, : gathered_rows * gates].reshape(gathered_rows, gates)
    run_together(workers, backward.weight_gradients, layer, batch, rows, states.gates, recurrence.sums, gathered,
                 weight_buffers, _weights(grads))
    if row_grad is not None:
        run_together(workers, backward.row_gradients, layer, forward.weights, gathered, row_buffers, row_grad.numpy())
    _pool.give(block)
    return row_grad, initial_grad, grads


def _check(
    rows_UE: Tensor, index_BT: Tensor, lengths_B: Tensor, weights: Sequence[Tensor], directions: int,
    pooling: str | None,
) -> None:
    """Raise ValueError for arguments that do not fit together."""
    if rows_UE.dim() != 2 or rows_UE.shape[0] == 0:
        raise ValueError(f"rows_UE must be a matrix with at least one row, but has shape {tuple(rows_UE.shape)}")
    if rows_UE.dtype != torch.float32:
        raise ValueError(f"rows_UE must be float32, but is {rows_UE.dtype}")
    if index_BT.dim() != 2 or index_BT.dtype != torch.int64:
        raise ValueError(
            f"index_BT must be a matrix of int64, but is {index_BT.dtype} of shape {tuple(index_BT.shape)}"
        )
    if lengths_B.shape != index_BT.shape[:1] or lengths_B.numel() == 0:
        raise ValueError(
            f"lengths_B must contain one length for each of the {index_BT.shape[0]} rows of index_BT, and at least "
            f"one, but has shape {tuple(lengths_B.shape)}"
        )
    if pooling is not None and pooling not in POOLINGS:
        raise ValueError(f"pooling must be None or one of {', '.join(map(repr, POOLINGS))}, but got {pooling!r}")
    if not weights or len(weights) % (4 * directions):
        raise ValueError(f"weights must contain {4 * directions} tensors for every layer, but contains {len(weights)}")
    hidden = weights[1].shape[-1]
    width = rows_UE.shape[1]
    for layer in range(len(weights) // (4 * directions)):
        shapes = [(3 * hidden, width), (3 * hidden, hidden), (3 * hidden,), (3 * hidden,)] * directions
        for i, shape in enumerate(shapes, 4 * directions * layer):
            if tuple(weights[i].shape) != shape or weights[i].dtype != torch.float32:
                raise ValueError(
                    f"weights[{i}] must be float32 of shape {shape}, but is {weights[i].dtype} of shape "
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
    between: Callable[[Tensor], Tensor] | None = None,
    pooling: Pooling | None = None,
) -> Tensor:
    """Return the output of a GRU with any number of layers over sequences of different lengths.

    The operation can be differentiated once. The backward direction starts at the last token of each sequence. All
    numbers are float32, are summed in float32, and sigmoid and tanh have errors of at most 4e-7. With the same number
    of threads, the result and its gradients repeat bit for bit.

    Args:
        rows_UE: Vectors of the distinct tokens of the batch. They get a gradient if they need one.
        index_BT: Row of each token, int64. Values beyond the end of a sequence do not matter.
        lengths_B: Number of tokens of each sequence, from 1 to T, in any order.
        weights: Weights in the order of nn.GRU: for each layer and direction weight_ih (3H, E or D), weight_hh (3H, H),
            bias_ih (3H,) and bias_hh (3H,), with the gates r, z, n.
        bidirectional: Whether each layer runs in both directions.
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
    _check(rows_UE, index_BT, lengths_B, weights, directions, pooling)
    task = _Task(_number_tokens(index_BT, lengths_B, len(rows_UE)), index_BT.shape[1], pooling or "padded")
    for output in _layers(rows_UE, None, task, weights, directions, between):  # noqa: B007  # earlier ones are not kept
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
    between: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the output of a GRU without padding, and the last states of all its layers, as `torch.nn.GRU` does.

    Everything that `fused_gru` says holds here too.

    Args:
        rows_UE: As for `fused_gru`.
        index_BT: As for `fused_gru`.
        lengths_B: As for `fused_gru`.
        weights: As for `fused_gru`.
        bidirectional: As for `fused_gru`.
        initial_SBH: States before the first step of each sequence. They get a gradient if they need one. None: zeros.
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
    _check(rows_UE, index_BT, lengths_B, weights, directions, None)
    hidden = weights[1].shape[1]
    if initial_SBH is not None:
        shape = len(weights) // 4, len(lengths_B), hidden
        if tuple(initial_SBH.shape) != shape or initial_SBH.dtype != torch.float32 or initial_SBH.device.type != "cpu":
            raise ValueError(
                f"initial_SBH must be float32 of shape {shape} on the CPU, but is {initial_SBH.dtype} of shape "
                f"{tuple(initial_SBH.shape)} on {initial_SBH.device}"
            )
    task = _Task(_number_tokens(index_BT, lengths_B, len(rows_UE)), index_BT.shape[1], "tokens")
    starts = torch.from_numpy(task.batch.starts)
    states = []
    for output_ND in _layers(rows_UE, initial_SBH, task, weights, directions, between):
        states.append(output_ND[:, :hidden].index_select(0, starts[1:] - 1))
        if bidirectional:
            states.append(output_ND[:, hidden:].index_select(0, starts[:-1]))
    return output_ND, torch.stack(states)


def _layers(
    rows_UE: Tensor, initial_SBH: Tensor | None, task: _Task, weights: Sequence[Tensor], directions: int,
    between: Callable[[Tensor], Tensor] | None,
) -> Iterator[Tensor]:
    """Yield the output of each layer: of the last one in the form of the task, of the others as output_ND."""
    each = 4 * directions
    layers = len(weights) // each
    batch, output = task.batch, rows_UE
    for layer in range(layers):
        if layer == 1:
            batch = _of_next_layer(batch)
        if between is not None and layer > 0:
            output = between(output)
        own = weights[layer * each : (layer + 1) * each]
        initial = None if initial_SBH is None else initial_SBH[layer * directions : (layer + 1) * directions]
        inputs = [output, *own] if initial is None else [output, initial, *own]
        output = _Layer.apply(  # type: ignore[no-untyped-call]  # torch leaves it untyped
            output, initial,
            replace(task, batch=batch, form=task.form if layer == layers - 1 else "tokens",
                    training=torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)), *own)
        yield output


LEAST_VALUES = 100_000
"""Smallest number of values per thread in `adam_rows`. They take some 0.2 ms, and starting a thread a tenth of that."""


@flushed()
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
        table_VE: Table, float32 like the gradient and the moments.
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

    workers = max(1, min(threads(), gradient_UE.numel() // LEAST_VALUES))
    arrays = [tensor.view(tensor.shape).numpy() for tensor in (gradient_UE, table_VE, first_VE, second_VE)]
    run_together(workers, adam.adam_rows, distinct_U.numpy(), *arrays, steps_V.view(-1).numpy(), lr, *betas, epsilon)
