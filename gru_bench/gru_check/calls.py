"""How a student's object is called: found by trying, likely forms first.

A form must run, must keep sequences apart, its results must depend on the input, and those at one end of a sequence on
the input at the other. What meets fewer of these is kept, since it says what is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gru_bench.errors import RunError
from gru_bench.gru_check.forms import Form, bound, forms
from gru_bench.gru_check.load import failure, lines_of
from gru_bench.gru_check.subject import STEPS, Subject, by_sequence, sample, state_of

BATCH = 7
"""Sequences of a call. No usual size of a student's object is the same."""
_FIXED = [2, 3, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100, 128, 1]
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
    reads: bool
    """Whether results depend on the input."""
    passes: bool
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
    furthest: tuple[list[int], Form, Exception] | None = None
    mixed: set[str] = set()
    own = list(forms(subject.built, subject.source.sizes))
    for forms_of in (_usual, _fixed):
        for form in forms_of(own, subject.source.sizes) if best is None else ():
            if form.batch == 1 and form.layout in mixed and forms_of is _usual:
                continue
            try:
                called = _called(subject, form)
            except Exception as error:
                returns = isinstance(error, NoRowsError)
                if returns:
                    mixed.add(form.layout)
                lines = [sys.maxsize] if returns else lines_of(error, subject.source.path)
                if furthest is None or lines > furthest[0]:
                    furthest = lines, form, error
                continue
            if not called.apart:
                mixed.add(form.layout)
            if best is None or called.rank < best.rank:
                best = called
                if not best.rank or (form.batch > 1 and form.kind == "cell" and best.apart and best.reads):
                    return best
    if best is None:
        assert furthest is not None
        raise _refused(subject, *furthest[1:])
    return best


def _refused(subject: Subject, form: Form, error: Exception) -> RunError:
    """Return the error for a call: what was called, what came back, and what is needed."""
    positional, named = bound(subject.taken, form, sample(form, form.batch), state_of(form, form.batch))
    given = dict(zip((one.name for one in subject.taken), positional, strict=False)) | named
    shapes = " and ".join(f"{name} of shape {tuple(value.shape)}" for name, value in given.items())
    did = f"{subject.source.written}({', '.join(given)}) with {shapes}"
    if isinstance(error, NoRowsError):
        return RunError(f"{subject.source.path.name}: {did} returned no tensor with a row for each "
                        f"sequence. {NEEDED}")
    return failure(error, subject.source.path, did, NEEDED)


def _usual(own: Sequence[Form], sizes: Mapping[str, int]) -> Iterator[Form]:
    """Yield forms with a batch of any size, and with one sequence."""
    yield from (replace(form, batch=BATCH) for form in own if form.batch > 1)
    yield from (replace(form, fixed=True) for form in own if form.batch == 1 and form.layout[0] != "B")


def _fixed(own: Sequence[Form], sizes: Mapping[str, int]) -> Iterator[Form]:
    """Yield forms with a batch of a size that a student's object may have fixed."""
    for batch in ([sizes["B"]] if "B" in sizes else []) + _FIXED:
        yield from (replace(form, batch=batch, fixed=True) for form in own if (form.batch > 1) == (batch > 1))


def _called(subject: Subject, form: Form) -> Called:
    """Return what the results of a form depend on."""
    x, h = sample(form, form.batch), state_of(form, form.batch)
    axis = 0 if form.kind == "cell" else 1

    def results(x: Tensor, h: Tensor | None) -> list[Tensor]:
        with torch.no_grad():
            made = [by_sequence(one, form, STEPS) for one in subject.call(form, x, h)]
        return [one for one in made if one is not None]

    def changed(place: int | slice) -> Tensor:
        """Change the first sequence."""
        other = x.clone()
        other.narrow(axis, 0, 1)[place] = (x.narrow(axis, 0, 1)[place] % (form.vocabulary - 1) + 1
                                           if form.tokens else x.narrow(axis, 0, 1)[place] + 0.5)
        return other

    base = results(x, h)
    if not base or (form.kind == "cell" and all(one.shape != (form.batch, form.hidden) for one in base)):
        raise NoRowsError
    whole = results(changed(slice(None)), h)
    apart = _same(base, whole, slice(1, None))
    reads = not _same(base, whole, slice(0, 1))
    if h is not None and apart:
        moved = h.clone()
        moved[0] += 0.5
        by_state = results(x, moved)
        apart = _same(base, by_state, slice(1, None))
        if form.kind == "cell":
            return Called(form, apart, reads, reads and not _same(base, by_state, slice(0, 1)))
    passes = any(not _near(*(part[0, at] if part.dim() == 3 else part[0] for part in pair))
                 for place, at in ((0, -1), (-1, 0)) for pair in zip(base, results(changed(place), h), strict=True))
    return Called(form, apart, reads, passes)


def _same(one: Sequence[Tensor], other: Sequence[Tensor], rows: slice) -> bool:
    return len(one) == len(other) and all(
        a.shape == b.shape and _near(a[rows], b[rows]) for a, b in zip(one, other, strict=True))


def _near(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=0, atol=1e-13, equal_nan=True)
