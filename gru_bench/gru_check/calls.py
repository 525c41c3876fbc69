"""How a student's object is called: found by trying, likely forms first.

A form must run, must keep sequences apart, its results must depend on the input, and those at one end of a sequence on
the input at the other. What meets fewer of these is kept, since it says what is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gru_bench.errors import RunError
from gru_bench.gru_check.forms import Form, bound, forms
from gru_bench.gru_check.load import failure, lines_of
from gru_bench.gru_check.subject import Subject, sample, state_of

BATCH = 7
"""Sequences of a call. No usual size of a student's object is the same."""
_FIXED = (2, 3, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100, 128, 1)
"""Batch sizes that a student's object may have fixed."""
NEEDED = ("A layer takes x, may take a first state, and returns its outputs, its last state or class scores; a cell "
          "takes x and the state, and returns the new state")
"""What a class must be that no call fits."""


class NoRowsError(Exception):
    """An object runs, but nothing that it returns has an axis for the sequences."""


@dataclass(frozen=True)
class Called:
    """A form, and what its results depend on."""

    form: Form
    apart: bool
    """Whether sequences do not influence each other."""
    reads: bool = False
    """Whether results depend on the input."""
    passes: bool = False
    """Whether results at one end of a sequence depend on the input at the other; of a cell, on input and state."""

    @property
    def rank(self) -> int:
        """Return 0 for a form that is as it should be, and more for others."""
        return 4 * (not self.apart) + 2 * (not self.reads) + (not self.passes)


def find(subject: Subject) -> Called:
    """Return how an object is called. The first form that is as it should be is taken, otherwise the best.

    Raises:
        RunError: No form fits. It tells of the call that came furthest.
    """
    best: Called | None = None
    refused: list[tuple[list[int], Form, Exception]] = []
    mixed: set[str] = set()
    for batch in (BATCH, None, *([subject.source.sizes["B"]] if "B" in subject.source.sizes else ()), *_FIXED):
        for form in forms(subject.built, subject.source.sizes, batch) if best is None or not batch else ():
            if batch is None and form.layout.replace("1", "B") in mixed:
                continue
            try:
                called = _called(subject, form)
            except Exception as error:
                returned = isinstance(error, NoRowsError)
                mixed |= {form.layout} if returned else set()
                refused.append(([sys.maxsize] if returned else lines_of(error, subject.source.path), form, error))
                continue
            mixed |= set() if called.apart else {form.layout}
            if best is None or called.rank < best.rank:
                best = called
                if not best.rank or (form.kind == "cell" and best.apart and best.reads):
                    return best
    if best is None:
        raise _refusal(subject, *max(refused, key=lambda one: one[0])[1:])
    return best


def _refusal(subject: Subject, form: Form, error: Exception) -> RunError:
    """Return the error for a call: what was called, what came back, and what is needed."""
    positional, named = bound(subject.taken, form, sample(form, form.batch), state_of(form, form.batch))
    given = dict(zip((one.name for one in subject.taken), positional, strict=False)) | named
    shapes = " and ".join(f"{name} of shape {tuple(value.shape)}" for name, value in given.items())
    did = f"{subject.source.written}({', '.join(given)}) with {shapes}"
    if isinstance(error, NoRowsError):
        return RunError(f"{subject.source.path.name}: {did} returned no tensor with a row for each "
                        f"sequence. {NEEDED}")
    return failure(error, subject.source.path, did, NEEDED)


def _called(subject: Subject, form: Form) -> Called:
    """Return what the results of a form depend on."""
    x, h = sample(form, form.batch), state_of(form, form.batch)

    def results(x: Tensor, h: Tensor | None) -> list[Tensor]:
        with torch.no_grad():
            return subject.results(form, x, h)

    def changed(steps: slice) -> Tensor:
        """Change these steps of the first sequence."""
        other = x.clone()
        where = (slice(0, 1),) if form.kind == "cell" else (steps, slice(0, 1))
        other[where] = x[where] % (form.vocabulary - 1) + 1 if form.vocabulary else x[where] + 0.5
        return other

    base = results(x, h)
    if not base or (form.kind == "cell" and all(one.shape != (form.batch, form.hidden) for one in base)):
        raise NoRowsError
    whole = results(changed(slice(None)), h)
    reads = not _same(base, whole, slice(0, 1))
    if not _same(base, whole, slice(1, None)):
        return Called(form, False, reads)
    if h is not None:
        moved = h.clone()
        moved[0] += 0.5
        by_state = results(x, moved)
        if not _same(base, by_state, slice(1, None)):
            return Called(form, False, reads)
        if form.kind == "cell":
            return Called(form, True, reads, reads and not _same(base, by_state, slice(0, 1)))
    passes = any(not _near(*(part[0, at] if part.dim() == 3 else part[0] for part in pair))
                 for steps, at in ((slice(0, 1), -1), (slice(-1, None), 0))
                 for pair in zip(base, results(changed(steps), h), strict=True))
    return Called(form, True, reads, passes)


def _same(one: Sequence[Tensor], other: Sequence[Tensor], rows: slice) -> bool:
    return len(one) == len(other) and all(
        a.shape == b.shape and _near(a[rows], b[rows]) for a, b in zip(one, other, strict=True))


def _near(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=0, atol=1e-13, equal_nan=True)
