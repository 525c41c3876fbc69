"""A student's object, with weights of ours, that is called again and again from the same condition.

Shapes: `N` sequences, `T` steps, `E` input width, `H` hidden width. x is T x N x E, of a cell N x E; h is N x H.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from gru_bench.gru_check.forms import Form, arguments, bound, weights_of
from gru_bench.gru_check.load import Source
from gru_bench.gru_check.watch import Watch, flat, settings_kept

STEPS = 6
"""Steps of a sequence. No usual size of a student's object is the same."""


class Subject:
    """A student's object, with weights of ours."""

    def __init__(self, source: Source) -> None:
        """Give the object random weights of float64, so that no two are alike and none is zero."""
        self.source, self.built = source, getattr(source.built, "_orig_mod", source.built)
        self.taken = arguments(self.built)
        if isinstance(self.built, nn.Module):
            self.built.eval().double()
        generator = torch.Generator().manual_seed(17)
        weights = weights_of(self.built).values()
        self.zero_at_first = {id(tensor) for tensor in weights if not bool((tensor != 0).any())}
        for tensor in weights:
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

    def vectors(self, form: Form, x: Tensor) -> Tensor:
        """Return the vectors that a recurrence reads, T x N x E, where the object is given x."""
        if form.vocabulary:
            return self.tables[0].weight.detach()[x]
        return x[None] if form.kind == "cell" else x

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

    def results(self, form: Form, x: Tensor, h: Tensor | None, watch: Watch | None = None) -> list[Tensor]:
        """Return the results of N sequences, N x ... or N x T x ... each, in as many calls as their batches take."""
        axis, parts = (0 if form.kind == "cell" else 1), []
        for first in range(0, x.shape[axis], form.batch):
            given = None if h is None else h[first:first + form.batch]
            parts.append([by_sequence(one, form, x.shape[0]) for one in self.call(
                form, x.narrow(axis, first, form.batch), given, watch=watch)])
        return [torch.cat(one) for one in zip(*parts, strict=True) if all(part is not None for part in one)]


def by_sequence(result: Tensor, form: Form, steps: int) -> Tensor | None:
    """Return a result with its sequences first, and its steps second if it has any. None: it has no axis for them."""
    shape = list(result.shape)
    if form.batch == 1:
        own = [size for size in shape if size > 1]
        timed = form.kind == "layer" and len(own) > 1 and own[0] == steps
        return result.reshape(1, steps, -1) if timed else result.reshape(1, -1)
    if form.batch not in shape:
        return None
    result = result.movedim(shape.index(form.batch), 0)
    return result.flatten(2) if result.dim() >= 3 and result.shape[1] == steps else result.reshape(form.batch, -1)


def sample(form: Form, count: int, steps: int = STEPS, seed: int = 0) -> Tensor:
    """Return an input of N sequences: T x N x E, of token ids T x N, of a cell N x E."""
    generator = torch.Generator().manual_seed(seed)
    if form.vocabulary:
        return torch.randint(1, form.vocabulary, (steps, count), generator=generator)
    shape = (count, form.width) if form.kind == "cell" else (steps, count, form.width)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def state_of(form: Form, count: int) -> Tensor | None:
    """Return a state for N sequences, N x H. None: the form passes none."""
    if not form.state:
        return None
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, form.hidden, generator=generator, dtype=torch.float64) * 1.6 - 0.8
