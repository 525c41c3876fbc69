"""How a student's object is called, found by trying the forms of `forms.py`."""

from __future__ import annotations

import copy
import re
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gru_bench.errors import RunError, first_line
from gru_bench.gru_check.attempts import Attempt, Attempts
from gru_bench.gru_check.forms import Form, arguments, bound, flat, forms, parameters_of, sample_input
from gru_bench.gru_check.load import SIZES, Source, failure, settings_kept
from gru_bench.gru_check.trace import Recorder

STEPS = SIZES["T"]
"""Length of the sequences that are tried."""
_MOST_SEQUENCES = 1024
"""Largest batch that is tried where the object has one of its own."""
_DICTS = (dict, OrderedDict, defaultdict)
_OWN = {*vars(nn.Module()), "__builtins__", "__annotations__"}
"""Names of what is Python's and torch's own."""


class Caller:
    """A student's object that can be called again and again from the same condition."""

    def __init__(self, source: Source, attempts: Attempts, nonzero: frozenset[int] = frozenset()) -> None:
        """Put the object into evaluation and float64, and remember all that a call could change.

        Args:
            source: The object.
            attempts: What was tried so far, to which calls are added.
            nonzero: Keys (id) of the parameters that do not begin as zeros.
        """
        self.source, self.attempts = source, attempts
        self.file = str(source.path)
        self.nonzero = nonzero
        self.library: dict[str, int] = {}
        """Recurrences of torch that calls ran through: see `Recorder.library`."""
        self.is_known = False
        """Whether its cells are members of the family of reference cells."""
        self.calm = True
        """Whether random functions may be replaced by zeros: see `Recorder.calm`."""
        self.built = source.built
        self.arguments = arguments(self.built)
        if isinstance(self.built, nn.Module):
            self.built.eval()
            self.built.double()
        for tensor in parameters_of(self.built):
            if tensor.is_leaf and tensor.dtype in (torch.float32, torch.float16):
                tensor.data = tensor.data.double()
        self.snapshot = self._state()

    def _state(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        spaces: list[dict[str, Any]] = [self.source.module.__dict__]
        if isinstance(self.built, nn.Module):
            for part in self.built.modules():
                spaces += [vars(part), part._buffers]
        elif hasattr(self.built, "__dict__"):
            spaces.append(vars(self.built))
        return [(space, {key: _copied(value) if key not in _OWN else value for key, value in space.items()})
                for space in spaces]

    def remember(self) -> None:
        """Take the present condition, after undoing what calls changed, as the one to go back to."""
        self.restore()
        self.snapshot = self._state()

    def restore(self) -> None:
        """Undo what calls changed besides parameters: kept states."""
        for space, before in self.snapshot:
            for key in [key for key in space if key not in before]:
                del space[key]
            for key, value in before.items():
                if isinstance(value, Tensor) and not value.requires_grad:
                    space[key] = _restored(space.get(key), value)
                elif key not in _OWN or not isinstance(value, dict):
                    space[key] = _copied(value)

    def call(
        self, form: Form, x: Tensor, h: Tensor | None = None, recorder: Recorder | None = None, *,
        fresh: bool = True, lengths: Sequence[int] | None = None, mask: Tensor | None = None,
    ) -> list[Tensor]:
        """Call the object once, and return all tensors that it returns.

        Args:
            form: How it is called.
            x: Input, T x B x E; of a cell B x E. With token ids: ids, T x B.
            h: State, B x H, or one for each layer.
            recorder: What records the call.
            fresh: Whether to undo first what earlier calls changed.
            lengths: Lengths of the sequences. By default all are T.
            mask: T x B, true inside. By default true everywhere.
        """
        if fresh:
            self.restore()
        positional, named = bound(self.arguments, form, x, h, lengths=lengths, mask=mask)
        with settings_kept():
            if recorder is None:
                result = self.built(*positional, **named)
            else:
                recorder.calm = recorder.calm and self.calm
                try:
                    with recorder:
                        result = self.built(*positional, **named)
                finally:
                    self.library = recorder.library | self.library
        return flat(result)

    def call_pair(self, x: Tensor, h: Tensor, c: Tensor) -> list[Tensor]:
        """Call a cell whose state is a pair, and return all tensors that it returns."""
        with settings_kept(), torch.no_grad(), Recorder(self.file):
            return flat(self.built(x, (h, c)))


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor) and not value.requires_grad:
        return value.clone()
    if isinstance(value, list):
        return list(value)
    return copy.copy(value) if type(value) in _DICTS else value


def _restored(kept: Any, value: Tensor) -> Tensor:
    """Return a tensor with its old value: the one that is kept, if possible."""
    if not isinstance(kept, Tensor) or kept.shape != value.shape:
        return value.clone()
    if torch.equal(kept, value):
        return kept
    return kept.copy_(value) if kept.is_leaf and not kept.requires_grad else value.clone()


def sample(form: Form) -> tuple[Tensor, Tensor | None]:
    """Return an input and a state with the shapes of a form; no state (None) if it takes none.

    Calls of this form need not be those of a GRU.
    """
    x = sample_input(replace(form, kind="cell" if form.layout in {"BE", "E", "E1", "11E"} else "layer"), STEPS)
    if form.tokens:  # only ids that its own embedding has, and not 0, which is often padding
        x = x.remainder(max(1, form.vocabulary - 1)) + 1
    return x, torch.full((form.batch, form.hidden), 0.25) if form.state else None


def find_form(caller: Caller, accepts: Callable[[Form], bool]) -> Form:
    """Return the first form that works.

    Args:
        caller: The object.
        accepts: Takes a form whose calls ran, and returns whether they are those of a GRU.

    Raises:
        RunError: When no call works, with the line and the message of the one that came furthest.
    """
    first, empty = len(caller.attempts), False
    ran: Form | None = None
    for usual in forms(caller.built, caller.source.sizes):
        waiting = [usual]
        for form in waiting:
            recorder = Recorder(caller.file)
            results = caller.attempts.run(form.words, partial(caller.call, form, *sample(form), recorder), recorder)
            if results is None:
                waiting += _with_its_own_batch(form, caller.attempts[-1].error) if form is usual else ()
            elif not results:
                empty = True
            elif accepts(form):
                return form
            else:
                ran = ran or form
    if ran is not None:
        return replace(ran, kind="none")
    if empty:
        raise RunError(f"{caller.source.path.name}: {caller.source.name} must return its new state or, for a layer, "
                       "its outputs, but returns no float tensor: check for a missing return")
    furthest = max((one for one in caller.attempts[first:] if one.error is not None), key=lambda one: one.reached,
                   default=Attempt("", TypeError("it takes no input")))
    assert furthest.error is not None
    raise failure(furthest.error, caller.source.path,
                  "in every call that was tried, (x, h) of a cell and (x) of a layer") from furthest.error


def _with_its_own_batch(form: Form, error: Exception | None) -> Iterator[Form]:
    """Yield a form with each batch size that the object may have fixed: the sizes that the error of a call names."""
    for size in dict.fromkeys(map(int, re.findall(r"\d{1,6}", "" if error is None else first_line(error)))):
        if form.batch > 1 < size <= _MOST_SEQUENCES and size != form.batch:
            yield replace(form, batch=size)
