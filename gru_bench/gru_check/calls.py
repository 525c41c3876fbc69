"""How a student's object is called: found by trying, likely forms first.

A form must run, and its results should be without fault. One with a fault is kept, since that says what is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gru_bench.errors import RunError
from gru_bench.gru_check.forms import bound, forms
from gru_bench.gru_check.load import failure, lines_of
from gru_bench.gru_check.subject import Subject, same

BATCH = 7
"""Sequences of a call. No usual size of a student's object is the same."""
_FIXED = (2, 3, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100, 128, 1)
"""Batch sizes that a student's object may have fixed."""
_NEEDED = ("A layer takes x, may take a first state, and returns its outputs, its last state or class scores; a cell "
           "takes x and the state, and returns the new state")
"""What a class must be that no call fits."""
FAULTS = ("", "state", "input", "mixed", "rows")
"""What may be wrong with results, the worst last: those at one end do not depend on the input at the other, or those of
a cell on the state; they do not depend on the input; sequences influence each other; none has an axis for the
sequences. The first is none of these."""


def find(subject: Subject) -> tuple[Subject, str]:
    """Return an object as it is called, and what is wrong with its results there: the first form with the least of
    `FAULTS`.

    Raises:
        RunError: No form fits. It tells of the call that came furthest.
    """
    found: dict[str, Subject] = {}
    refused: list[tuple[list[int], Subject, Exception]] = []
    mixed: set[str] = set()
    for batch in (BATCH, None, *([subject.sizes["B"]] if "B" in subject.sizes else ()), *_FIXED):
        for form in forms(subject.built, subject.sizes, batch) if not found.keys() - {"rows"} or batch is None else ():
            if batch is None and form.layout.replace("1", "B") in mixed:
                continue
            called = subject.called(form)
            try:
                fault = _fault(called)
            except Exception as error:
                refused.append((lines_of(error, subject.path), called, error))
                continue
            mixed |= {form.layout} if fault in ("mixed", "rows") else set()
            found.setdefault(fault, called)
            if not fault or (form.kind == "cell" and fault == "state"):
                return called, fault
    fault = min(found, key=FAULTS.index, default="")
    if fault == "rows":
        raise RunError(f"{subject.path.name}: {_did(found[fault])} returned no tensor with a row for each sequence. "
                       f"{_NEEDED}")
    if not found:
        _, called, reason = max(refused, key=lambda one: one[0])
        raise failure(reason, subject.path, _did(called), _NEEDED)
    return found[fault], fault


def _did(subject: Subject) -> str:
    """Return a call in words."""
    named = bound(subject.taken, subject.form, *subject.given())
    shapes = " and ".join(f"{name} of shape {tuple(value.shape)}" for name, value in named.items())
    return f"{subject.written}({', '.join(named)}) with {shapes}"


def _fault(subject: Subject) -> str:
    """Return what is wrong with the results of a call, one of `FAULTS`."""
    form, (x, h) = subject.form, subject.given()

    def changed(steps: slice) -> list[Tensor]:
        """Change these steps of the first sequence."""
        other = x.clone()
        where = (slice(0, 1),) if form.kind == "cell" else (steps, slice(0, 1))
        other[where] = x[where] % (form.vocabulary - 1) + 1 if form.vocabulary else x[where] + 0.5
        return subject.results(other, h)

    base = subject.results(x, h)
    if not base or (form.kind == "cell" and all(one.shape != (form.batch, form.hidden) for one in base)):
        return "rows"
    moved = [changed(slice(None))]
    if h is not None:
        moved.append(subject.results(x, torch.cat([h[:1] + 0.5, h[1:]])))
    if not all(_same(base, one, slice(1, None)) for one in moved):
        return "mixed"
    if _same(base, moved[0], slice(0, 1)):
        return "input"
    if form.kind == "cell":
        return "state" if _same(base, moved[1], slice(0, 1)) else ""
    first, last = changed(slice(0, 1)), changed(slice(-1, None))
    ends = [(one[0, at] if one.dim() == 3 else one[0], other[0, at] if one.dim() == 3 else other[0])
            for at, made in ((-1, first), (0, last)) for one, other in zip(base, made, strict=True)]
    return "state" if all(same([one], [other]) for one, other in ends) else ""


def _same(one: Sequence[Tensor], other: Sequence[Tensor], rows: slice) -> bool:
    return same([a[rows] for a in one], [b[rows] for b in other])
