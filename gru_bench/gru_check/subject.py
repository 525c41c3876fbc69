"""A student's object that is called again and again from the same condition, and what is seen while it runs.

Shapes: `N` sequences, `T` steps, `E` input width, `H` hidden width. x is T x N x E, of a cell N x E; h is N x H.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gru_bench.gru_check.forms import Form, arguments, bound, flat, weights_of
from gru_bench.gru_check.load import Source, on_cpu, settings_kept

STEPS = 6
"""Steps of a sequence. No usual size of a student's object is the same."""
_DROPOUTS = {"dropout", "dropout_", "alpha_dropout", "feature_dropout", "dropout1d", "dropout2d", "dropout3d",
             "feature_alpha_dropout"}
_RANDOM = {"rand", "randn", "normal", "rand_like", "randn_like", "bernoulli", "normal_", "uniform_", "bernoulli_",
           "exponential_", "trunc_normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_",
           "kaiming_normal_", "orthogonal_", "gumbel_softmax", "randint", "randperm"}
_CUTS = {"detach", "detach_", "_set_grad_enabled"}
_DATA = torch.Tensor.data.__get__  # type: ignore[attr-defined]  # a Tensor to mypy, a descriptor in truth
_NARROW = (torch.float32, torch.float16, torch.bfloat16)
_NARROWING = {"float", "half", "bfloat16"}
_PLAIN = {"size", "dim", "numel", "stride", "is_floating_point", "__len__", "__bool__", "__repr__", "item"}


@dataclass(frozen=True)
class Value:
    """A tensor that the student's code computed."""

    line: int
    tensor: Tensor

    def has(self, wanted: Tensor) -> bool:
        """Return whether it is a matrix, N x H or H x N in whatever shape."""
        return self.tensor.numel() == wanted.numel() and any(
            torch.allclose(self.tensor.reshape(-1), own.reshape(-1), rtol=0, atol=1e-9) for own in (wanted, wanted.t()))


class Watch(TorchFunctionMode):
    """A mode under which a student's code runs once: in float64, on the CPU, and without chance.

    It also notes where dropout is active, where random numbers are drawn and where gradients are cut.
    """

    def __init__(self, file: Path, *, dropout: bool = False, chance: bool = False, values: bool = False) -> None:
        """Prepare a run.

        Args:
            file: The student's file.
            dropout: Whether dropout drops.
            chance: Whether random numbers are random. Otherwise they are zeros.
            values: Whether to keep what is computed.
        """
        super().__init__()
        self.file, self.dropout, self.chance, self.keeps = str(file), dropout, chance, values
        self.values: list[Value] = []
        self.dropped: list[int] = []
        self.drawn: list[tuple[int, int]] = []
        """Lines that draw random numbers, and how many."""
        self.cuts: list[int] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one function."""
        name = getattr(func, "__name__", "")
        if name in _PLAIN:
            return func(*args, **(kwargs or {}))
        if name in ("cuda", "cpu"):
            return args[0]
        if name in _NARROWING:
            return args[0].double()
        args = tuple(map(_plain, args))
        kwargs = {key: _plain(value) for key, value in (kwargs or {}).items()}
        if name in _DROPOUTS and kwargs.get("training", next((a for a in args[1:] if isinstance(a, bool)), True)):
            self.dropped.append(self.line())
            if not self.dropout:
                return args[0]
        if (name in _CUTS and not (name == "_set_grad_enabled" and args[0])) or func is _DATA:
            self.cuts.append(self.line())
        result = func(*args, **kwargs)
        if name in _RANDOM and isinstance(result, Tensor) and kwargs.get("generator") is None:
            self.drawn.append((self.line(), result.numel()))
            if not self.chance:
                result = result.zero_() if name.endswith("_") else torch.zeros_like(result)
        if self.keeps:
            line = self.line()
            self.values += [Value(line, one.detach().clone()) for one in flat(result)]
        return result

    def line(self) -> int:
        """Return the line of the student's file that runs. 0: none of its lines does."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename != self.file:
            frame = frame.f_back
        return 0 if frame is None else frame.f_lineno


def _plain(value: Any) -> Any:
    """Return an argument with float64 in place of narrower types, and the CPU in place of other devices."""
    if isinstance(value, torch.dtype):
        return torch.float64 if value in _NARROW else value
    return on_cpu(value)


class Subject:
    """A student's object, with weights of ours."""

    def __init__(self, source: Source) -> None:
        """Give the object random weights of float64, so that no two are alike and none is zero."""
        self.source, self.built = source, getattr(source.built, "_orig_mod", source.built)
        self.taken = arguments(self.built)
        if isinstance(self.built, nn.Module):
            self.built.eval().double()
        generator = torch.Generator().manual_seed(17)
        self.zero_at_first = {id(tensor) for tensor in self.weights if not bool((tensor != 0).any())}
        for tensor in self.weights:
            scale = 0.5 if tensor.dim() < 2 else min(0.7, 1.5 / max(tensor.shape) ** 0.5)
            tensor.data = torch.randn(tensor.shape, generator=generator, dtype=torch.float64) * scale

    @property
    def parts(self) -> list[nn.Module]:
        """Return the object and its parts, if it is a module."""
        return list(self.built.modules()) if isinstance(self.built, nn.Module) else []

    @property
    def tables(self) -> list[nn.Embedding]:
        """Return its embeddings."""
        return [part for part in self.parts if isinstance(part, nn.Embedding)]

    @property
    def weights(self) -> list[Tensor]:
        """Return the parameters, and the matrices that the object holds otherwise."""
        return list(weights_of(self.built).values())

    def vectors(self, form: Form, x: Tensor) -> Tensor:
        """Return the vectors that a recurrence reads, T x N x E, where the object is given x."""
        if form.kind == "cell":
            return x[None]
        if not form.tokens:
            return x
        return self.tables[0].weight.detach()[x]

    def copy(self) -> Any:
        """Return a copy, which no other call changes."""
        return copy.deepcopy(self.built) if isinstance(self.built, nn.Module) else self.built

    def call(
        self, form: Form, x: Tensor, h: Tensor | None = None, *, built: Any = None, watch: Watch | None = None,
        **more: Any,
    ) -> list[Tensor]:
        """Return all floating tensors that a call returns. It is one of a fresh copy, unless an object is given."""
        positional, named = bound(self.taken, form, x, h, **more)
        with settings_kept(), watch or Watch(self.source.path):
            return flat((self.copy() if built is None else built)(*positional, **named))

    def results(
        self, form: Form, x: Tensor, h: Tensor | None = None, *, values: list[Value] | None = None
    ) -> list[Tensor]:
        """Return the results of N sequences, N x ... or N x T x ... each, in as many calls as their batches take.

        `values` takes what the object computes meanwhile, in the same shape.
        """
        axis, parts, seen = (0 if form.kind == "cell" else 1), [], []
        size = form.batch if form.fixed else x.shape[axis]
        for first in range(0, x.shape[axis], size):
            own = replace(form, batch=size)
            watch = Watch(self.source.path, values=values is not None)
            steps = x.shape[0]
            parts.append([by_sequence(one, own, steps) for one in self.call(
                own, x.narrow(axis, first, size), None if h is None else h[first:first + size], watch=watch)])
            seen.append([(value.line, by_sequence(value.tensor, own, steps)) for value in watch.values])
        if values is not None and len({len(one) for one in seen}) == 1:
            for same in zip(*seen, strict=True):
                tensors = [tensor for _, tensor in same if tensor is not None]
                if len(tensors) == len(same) and len({tensor.shape[1:] for tensor in tensors}) == 1:
                    values.append(Value(same[0][0], torch.cat(tensors)))
        return [torch.cat(one) for one in zip(*parts, strict=True) if all(part is not None for part in one)]


def by_sequence(result: Tensor, form: Form, steps: int) -> Tensor | None:
    """Return a result with its sequences first, and its steps second if it has any. None: it has no axis for them."""
    shape, batch = list(result.shape), form.batch
    if batch == 1:
        own = [d for d in shape if d > 1]
        timed = len(own) > 1 and own[0] == steps and form.kind == "layer"
        return result.reshape(1, steps, -1) if timed else result.reshape(1, -1)
    if batch not in shape:
        return None
    result = result.movedim(shape.index(batch), 0)
    return result.flatten(2) if result.dim() >= 3 and result.shape[1] == steps else result.reshape(batch, -1)


def sample(form: Form, count: int, steps: int = STEPS, seed: int = 0) -> Tensor:
    """Return an input of N sequences: T x N x E, of token ids T x N, of a cell N x E."""
    generator = torch.Generator().manual_seed(seed)
    if form.tokens:
        return torch.randint(1, form.vocabulary, (steps, count), generator=generator)
    shape = (count, form.width) if form.kind == "cell" else (steps, count, form.width)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def state_of(form: Form, count: int) -> Tensor | None:
    """Return a state for N sequences, N x H. None: the form passes none."""
    if not form.state:
        return None
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, form.hidden, generator=generator, dtype=torch.float64) * 1.6 - 0.8
