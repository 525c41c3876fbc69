"""A student's object, with weights of ours, that is called again and again from the same condition.

Shapes: `N` sequences, `T` steps, `E` input width, `H` hidden width. x is T x N x E, of token ids T x N, of a cell
N x E; h is N x H.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gru_bench.gru_check.forms import Form, arguments, bound, weights_of
from gru_bench.gru_check.watch import Watch, flat, settings_kept

STEPS = 6
"""Steps of a sequence. No usual size of a student's object is the same."""
_SAME = 1e-13
"""Largest difference of results that are the same."""


class Subject:
    """A student's object, with weights of ours."""

    form: Form
    """How it is called, as `calls.find` finds out."""

    def __init__(self, path: Path, written: str, built: Any, sizes: Mapping[str, int]) -> None:
        """Give the object random weights of float64, so that no two are alike and none is zero.

        Args:
            path: The student's file.
            written: What was built, as it is written in Python, such as `GRU(5, 4)`.
            built: The object: a module of torch, or a function.
            sizes: Sizes with which it was built, by the names of `build.SIZES`. Empty: it has its own.
        """
        self.path, self.written, self.sizes = path, written, sizes
        self.built = getattr(built, "_orig_mod", built)
        self.taken = arguments(self.built)
        if isinstance(self.built, nn.Module):
            self.built.eval().double()
        generator = torch.Generator().manual_seed(17)
        weights = weights_of(self.built).values()
        self.zero_at_first = {id(tensor) for tensor in weights if not bool((tensor != 0).any())}
        for tensor in weights:
            scale = 0.5 if tensor.dim() < 2 else min(0.7, 1.5 / max(tensor.shape) ** 0.5)
            tensor.data = torch.randn(tensor.shape, generator=generator, dtype=torch.float64) * scale

    def called(self, form: Form) -> Subject:
        """Return the same object, which is called in this way."""
        subject = copy.copy(self)
        subject.form = form
        return subject

    @property
    def hidden(self) -> int:
        """Return the width of its state. 0: it is not known."""
        return self.form.hidden or self.sizes.get("H", 0)

    @property
    def parts(self) -> list[nn.Module]:
        """Return the object and its parts, if it is a module."""
        return list(self.built.modules()) if isinstance(self.built, nn.Module) else []

    @property
    def tables(self) -> list[nn.Embedding]:
        """Return its embeddings."""
        return [part for part in self.parts if isinstance(part, nn.Embedding)]

    def vectors(self, x: Tensor) -> Tensor:
        """Return the vectors that a recurrence reads, T x N x E, where the object is given x."""
        if self.form.vocabulary:
            return self.tables[0].weight.detach()[x]
        return x[None] if self.form.kind == "cell" else x

    def given(self, count: int | None = None, steps: int = STEPS, seed: int = 0) -> tuple[Tensor, Tensor | None]:
        """Return x and h for N sequences, by default for those of one call. The state is None where none is passed."""
        form, count = self.form, count or self.form.batch
        generator = torch.Generator().manual_seed(seed)
        if form.vocabulary:
            x = torch.randint(1, form.vocabulary, (steps, count), generator=generator)
        else:
            shape = (count, form.width) if form.kind == "cell" else (steps, count, form.width)
            x = torch.randn(*shape, generator=generator, dtype=torch.float64)
        if not form.state:
            return x, None
        generator.manual_seed(1)
        return x, torch.rand(count, form.hidden, generator=generator, dtype=torch.float64) * 1.6 - 0.8

    def copy(self) -> Any:
        """Return a copy, which no other call changes."""
        return copy.deepcopy(self.built) if isinstance(self.built, nn.Module) else self.built

    def call(
        self, x: Tensor, h: Tensor | None = None, *, lengths: Sequence[int] | None = None, built: Any = None,
        watch: Watch | None = None, gradients: bool = False,
    ) -> list[Tensor]:
        """Return all floating tensors that a call returns. It is one of a fresh copy, unless an object is given."""
        named = bound(self.taken, self.form, x, h, lengths)
        ordered = [named.pop(one.name) for one in self.taken.values()
                   if one.kind is one.POSITIONAL_ONLY and one.name in named]
        with torch.set_grad_enabled(gradients), settings_kept(), watch or Watch(self.path):
            return flat((self.copy() if built is None else built)(*ordered, **named))

    def results(self, x: Tensor, h: Tensor | None, watch: Watch | None = None) -> list[Tensor]:
        """Return the results of N sequences, N x ... or N x T x ... each, in as many calls as their batches take."""
        axis, parts = (0 if self.form.kind == "cell" else 1), []
        for first in range(0, x.shape[axis], self.form.batch):
            given = None if h is None else h[first:first + self.form.batch]
            parts.append([by_sequence(one, self.form, x.shape[0]) for one in self.call(
                x.narrow(axis, first, self.form.batch), given, watch=watch)])
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


def same(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    """Return whether two calls have the same results."""
    return len(one) == len(other) and all(
        a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=_SAME, equal_nan=True)
        for a, b in zip(one, other, strict=True))
