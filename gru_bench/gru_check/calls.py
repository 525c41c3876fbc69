"""How a student's object is called: found by trying, likely forms first.

A form must run, and its results should be without fault. One with a fault is kept, since that says what is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

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
FAULTS = ("", "state", "input", "mixed")
"""What may be wrong with results, the worst last: those at one end do not depend on the input at the other, or those of
a cell on the state; they do not depend on the input; sequences influence each other. The first is none of these."""


class NoRowsError(Exception):
    """An object runs, but nothing that it returns has an axis for the sequences."""


def find(subject: Subject) -> tuple[Form, str]:
    """Return how an object is called, and what is wrong with its results there: the first form with the least of
    `FAULTS`.

    Raises:
        RunError: No form fits. It tells of the call that came furthest.
    """
    found: dict[str, Form] = {}
    refused: list[tuple[list[int], Form, Exception]] = []
    mixed: set[str] = set()
    for batch in (BATCH, None, *([subject.source.sizes["B"]] if "B" in subject.source.sizes else ()), *_FIXED):
        for form in forms(subject.built, subject.source.sizes, batch) if not found or batch is None else ():
            if batch is None and form.layout.replace("1", "B") in mixed:
                continue
            try:
                fault = _fault(subject, form)
            except Exception as error:
                returned = isinstance(error, NoRowsError)
                refused.append(([sys.maxsize] if returned else lines_of(error, subject.source.path), form, error))
                mixed |= {form.layout} if returned else set()
                continue
            mixed |= {form.layout} if fault == "mixed" else set()
            found.setdefault(fault, form)
            if not fault or (form.kind == "cell" and fault == "state"):
                return form, fault
    if not found:
        raise _refusal(subject, *max(refused, key=lambda one: one[0])[1:])
    fault = min(found, key=FAULTS.index)
    return found[fault], fault


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


def _fault(subject: Subject, form: Form) -> str:
    """Return what is wrong with the results of a form, one of `FAULTS`."""
    x, h = sample(form, form.batch), state_of(form, form.batch)

    def results(x: Tensor, h: Tensor | None) -> list[Tensor]:
        with torch.no_grad():
            return subject.results(form, x, h)

    def changed(steps: slice) -> list[Tensor]:
        """Change these steps of the first sequence."""
        other = x.clone()
        where = (slice(0, 1),) if form.kind == "cell" else (steps, slice(0, 1))
        other[where] = x[where] % (form.vocabulary - 1) + 1 if form.vocabulary else x[where] + 0.5
        return results(other, h)

    base = results(x, h)
    if not base or (form.kind == "cell" and all(one.shape != (form.batch, form.hidden) for one in base)):
        raise NoRowsError
    moved = [changed(slice(None))]
    if h is not None:
        moved.append(results(x, torch.cat([h[:1] + 0.5, h[1:]])))
    if not all(_same(base, one, slice(1, None)) for one in moved):
        return "mixed"
    if _same(base, moved[0], slice(0, 1)):
        return "input"
    if form.kind == "cell":
        return "state" if _same(base, moved[1], slice(0, 1)) else ""
    first, last = changed(slice(0, 1)), changed(slice(-1, None))
    ends = [(one[0, at] if one.dim() == 3 else one[0], other[0, at] if one.dim() == 3 else other[0])
            for at, made in ((-1, first), (0, last)) for one, other in zip(base, made, strict=True)]
    return "state" if all(_near(*pair) for pair in ends) else ""


def _same(one: Sequence[Tensor], other: Sequence[Tensor], rows: slice) -> bool:
    return len(one) == len(other) and all(
        a.shape == b.shape and _near(a[rows], b[rows]) for a, b in zip(one, other, strict=True))


def _near(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=0, atol=1e-13, equal_nan=True)
