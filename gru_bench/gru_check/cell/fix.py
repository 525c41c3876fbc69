"""The one change of a student's step that makes a GRU of it, for cells that no member of the family equals.

Each call of the step is changed in turn: another function in its place or after it, one of its arguments in place of
its result, the state in place of an argument, and a right mixture in place of the new state. Where what results is a
right GRU, the change names the mistake and its line.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any

import torch
from torch import Tensor

from gru_bench.gru_check.cell.blocks import examples
from gru_bench.gru_check.cell.family import Member
from gru_bench.gru_check.codes import Finding
from gru_bench.gru_check.states import Step, as_made, by_rows
from gru_bench.gru_check.trace import STATE, Call, Edit, Site

_SUMS = {"add", "sub", "__add__", "__radd__", "__sub__", "__iadd__", "linear", "addmm", "baddbmm", "rsub", "__rsub__"}
_PRODUCTS = {"mul", "__mul__", "__rmul__", "__imul__", "mul_", "multiply"}
_MOVES = {"view", "reshape", "chunk", "split", "unbind", "__getitem__", "select", "narrow", "cat", "stack", "unsqueeze",
          "squeeze", "transpose", "t", "permute", "expand", "contiguous", "clone", "detach", "zeros", "zeros_like",
          "new_zeros", "concat", "hstack", "linear", "matmul", "__matmul__", "mm", "bmm", "einsum", "addmm", "mv",
          "to", "type", "double", "tensor", "T", "__get__", "flatten", "embedding"}
"""Functions that do no arithmetic on single units."""
_NORMS = {"layer_norm", "group_norm", "instance_norm", "batch_norm", "norm", "div", "__truediv__", "div_"}
_WEIGHINGS = {"linear", "matmul", "__matmul__", "mm", "addmm", "cat", "concat", "einsum", "lerp", "where"}
_SECONDS = 30
"""Most processor time for all changes of a cell. Those of a small cell take two seconds."""
_NAMES = {"tanh": torch.tanh, "sigmoid": torch.sigmoid}
_CODES = {"tanh": "candidate-activation", "sigmoid": "gate-activation"}
_ROLES = {"tanh": "candidate", "sigmoid": "gate"}


@dataclass(frozen=True)
class _Change:
    edits: Mapping[int, Edit]
    kind: str
    """apart, tanh, sigmoid, argument, state or mixture."""
    number: int
    """Of the call that is changed."""
    sites: tuple[Site, ...] = ()
    """Of a mixture: those of z and of n."""
    which: int = 0
    """Number of the argument."""
    fresh: tuple[Tensor, ...] = ()
    """Parameters that it adds."""
    function: bool = False
    """Whether the call is a function of one tensor, other than a sum or product with a number."""


def fixed(
    step: Step, leaves: Sequence[Tensor], right: Callable[[Step, Sequence[Tensor]], Member | None]
) -> tuple[Member, Finding] | None:
    """Return the right GRU that one change makes of a step, and what the change says; None where none is found.

    Args:
        step: The step.
        leaves: All tensors that may be its parameters.
        right: Returns the member that a step of some parameters equals, if it is a right GRU, or else None.
    """
    x, h = examples(step, 1, seed=31)
    with torch.no_grad():
        calls = step.record(x[0], h[0]).calls
        new = as_made(step.run(x[0], h[0], False), step.columns).reshape(-1)
    last = next((n for n, call in enumerate(calls) if _holds(call, new) is not None), None)
    if last is None:
        return None
    size = step.batch * step.hidden
    own = _own(step, calls, last)
    if not own:
        return None
    until = time.process_time() + _SECONDS
    for change in chain(_apart(calls, own[0], last, leaves), _changes(calls, last, size, own)):
        if time.process_time() > until:
            return None
        try:
            edited = step.edited(change.edits)
            member = right(edited, [*leaves, *change.fresh])
            if member is not None and (finding := _named(step, calls, change, member)) is not None:
                return member, finding
        except Exception:  # what was changed does not fit there
            continue
    return None


def _holds(call: Call, value: Tensor) -> int | None:
    """Return the place of a value among a call's results."""
    return next((place for place, own in enumerate(call.values) if own.shape == value.shape and torch.equal(own, value)
                 ), None)


def _own(step: Step, calls: Sequence[Call], last: int) -> list[int]:
    """Return the calls of the step alone: those up to the new state that another state or input changes."""
    x, h = examples(step, 2, seed=37)
    with torch.no_grad():
        one, other = (step.record(x[m], h[m]).calls for m in range(2))
    return [n for n in range(last + 1) if n < len(one) and n < len(other) and any(
        u.shape != v.shape or not torch.equal(u, v) for u, v in zip(one[n].values, other[n].values, strict=False))]


# ---------------------------------------------------------------- changes


def _apart(calls: Sequence[Call], first: int, last: int, leaves: Sequence[Tensor]) -> Iterator[_Change]:
    """Yield the change that gives every further use of a parameter in the step a parameter of its own."""
    known = {id(leaf) for leaf in leaves}
    uses: dict[int, list[int]] = {}
    for n in range(max(0, first - 2), last + 1):
        for key in calls[n].leaves:
            if key in known:
                uses.setdefault(key, []).append(n)
    generator = torch.Generator().manual_seed(29)
    fresh: dict[int, dict[int, Tensor]] = {}
    for leaf in leaves:
        for n in uses.get(id(leaf), [])[1:]:
            own = torch.randn(leaf.shape, generator=generator, dtype=torch.float64) * 0.4
            fresh.setdefault(n, {})[id(leaf)] = own.requires_grad_()

    def edit(others: Mapping[int, Tensor]) -> Edit:
        def given(arg: Any) -> Any:
            return others.get(id(arg), arg)

        return lambda func, args, kwargs, live: func(*map(given, args), **{k: given(v) for k, v in kwargs.items()})

    if fresh:
        yield _Change({n: edit(others) for n, others in fresh.items()}, "apart", min(fresh),
                      fresh=tuple(own for others in fresh.values() for own in others.values()))


def _changes(calls: Sequence[Call], last: int, size: int, own: Sequence[int]) -> Iterator[_Change]:
    gates = [(n, place) for n in own for place, value in enumerate(calls[n].values)
             if value.numel() == size and bool(((value > 0) & (value < 1)).all())]
    states = [(n, place) for n in own for place, value in enumerate(calls[n].values)
              if value.numel() == size and calls[n].name in ("tanh", "tanh_")]
    place = len(calls[last].values) - 1
    pointwise = [n for n in own if calls[n].name not in _MOVES]
    functions = [n for n in pointwise if len(calls[n].inputs) == 1 and calls[n].name not in _SUMS | _PRODUCTS]
    for name, function in _NAMES.items():
        for n in pointwise:
            if n != last:
                yield _Change({n: _other(function)}, name, n)
    for n in own:
        for which in range(2 if calls[n].name in _SUMS | _PRODUCTS | _WEIGHINGS else 0):
            yield _Change({n: _with_state(which)}, "state", n)
    for used in sorted({calls[n].name for n in functions}):
        both = [n for n in functions if calls[n].name == used and n != last]
        if len(both) == 2:
            yield _Change(dict.fromkeys(both, _other(torch.sigmoid)), "sigmoid", both[0])
    for n in own:
        if n == last or calls[n].name not in _SUMS | _PRODUCTS:
            continue
        near = [m for m in _near(calls, n) if m in functions]
        for left_out in chain.from_iterable(combinations(near, count) for count in range(min(3, len(near)) + 1)):
            for name, function in _NAMES.items():
                yield _Change({**{m: _argument(0) for m in left_out}, n: _after(function)}, name, n)
    for n in pointwise:
        for which in range(2 if n != last else 0):
            yield _Change({n: _argument(which)}, "argument", n, which=which, function=n in functions)
    if last in functions:
        for n in own:
            if n != last:
                yield _Change({last: _argument(0), n: _after(torch.tanh)}, "tanh", n)
    for z in gates if last not in functions else ():
        for candidate in states:
            for inverted in (False, True):
                yield _Change({last: _mixture(z, candidate, inverted, place)}, "mixture", last, sites=(z, candidate))


def _near(calls: Sequence[Call], number: int) -> list[int]:
    """Return the calls whose results a call takes, at once or by way of one other call."""
    direct = [site[0] for site in calls[number].inputs]
    return list(dict.fromkeys([*direct, *(site[0] for n in direct for site in calls[n].inputs)]))


def _tensors(args: Sequence[Any]) -> list[Tensor]:
    return [arg for arg in args if isinstance(arg, Tensor)]


def _other(function: Callable[[Tensor], Tensor]) -> Edit:
    return lambda func, args, kwargs, live: function(_tensors(args)[0])


def _after(function: Callable[[Tensor], Tensor]) -> Edit:
    return lambda func, args, kwargs, live: function(func(*args, **kwargs))


def _argument(which: int) -> Edit:
    def edit(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], live: Mapping[Site, Tensor]) -> Tensor:
        result = func(*args, **kwargs)
        return _tensors(args)[which].reshape(result.shape)

    return edit


def _with_state(which: int) -> Edit:
    def edit(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], live: Mapping[Site, Tensor]) -> Any:
        places = [place for place, arg in enumerate(args) if isinstance(arg, Tensor)]
        given = list(args)
        given[places[which]] = live[STATE].reshape(args[places[which]].shape)
        return func(*given, **kwargs)

    return edit


def _mixture(z: Site, n: Site, inverted: bool, place: int) -> Edit:
    def edit(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], live: Mapping[Site, Tensor]) -> Any:
        result = func(*args, **kwargs)
        own = result if isinstance(result, Tensor) else result[place]
        gate, state, new = (live[site].reshape(own.shape) for site in (z, STATE, n))
        mixed = (1 - gate) * state + gate * new if inverted else gate * state + (1 - gate) * new
        return mixed if isinstance(result, Tensor) else (*result[:place], mixed)

    return edit


# ---------------------------------------------------------------- names


def _named(step: Step, calls: Sequence[Call], change: _Change, member: Member) -> Finding | None:
    """Return what a change says; None where it says nothing sure."""
    line = calls[change.number].line
    if change.kind in _CODES:
        return Finding(_CODES[change.kind], f"With {change.kind} in the right place of the {_ROLES[change.kind]} it "
                       "would be a GRU.", line)
    if change.kind == "apart":
        return Finding("shared-matrices", "With a matrix of its own for each product it would be a GRU.", line)
    if change.kind == "state":
        return Finding("wrong-candidate", "With the old state in place of another quantity it would be a GRU.", line)
    if change.kind == "mixture":
        return _mixing(step, change, line)
    return _argument_named(step, change, member, calls[change.number].name, line)


def _argument_named(
    step: Step, change: _Change, member: Member, name: str, line: int
) -> Finding | None:
    """Say what a call was that is better left out. `equal` where it does no harm."""
    seen: list[list[Tensor]] = []

    def look(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], live: Mapping[Site, Tensor]) -> Any:
        seen.append([arg.detach().clone().reshape(-1) for arg in _tensors(args)])
        return change.edits[change.number](func, args, kwargs, live)

    looking = step.edited({**change.edits, change.number: look})
    x, h = examples(step, 2, seed=31)
    with torch.no_grad():
        looking.run(x[0], h[0], False)
        looking.run(x[0], h[1], False)
        inner = member.inner(x[0], h[0])
        calls = step.record(x[0], h[0]).calls
    kept, others = seen[0][change.which], [arg for n, arg in enumerate(seen[0]) if n != change.which]

    def among(value: Tensor, *wanted: Tensor) -> bool:
        return any(value.numel() == own.numel() and torch.allclose(
            value, as_made(own, step.columns).reshape(-1), rtol=0, atol=1e-10) for own in wanted)

    gates = (inner.r, inner.z, 1 - inner.r, 1 - inner.z)
    if any(among(other, *gates) for other in others):
        if torch.equal(kept, seen[1][change.which]):
            return Finding("reset-on-input", "A gate acts on the input in the candidate.", line) if among(
                others[0], inner.r) else Finding("wrong-candidate", "A gate acts on the input in the candidate.", line)
        return Finding("wrong-candidate", "A gate acts where none belongs.", line)
    if others or name in _NORMS:
        return None
    if name in _SUMS | _PRODUCTS and (among(torch.sigmoid(kept), *gates) or among(kept, inner.a)):
        return Finding("equal")  # a number in a sum is as good as other weights
    if among(kept, inner.z, 1 - inner.z) and any(
            number != change.number and not any(among(value, inner.z, 1 - inner.z) for value in call.values)
            and any(among(calls[n].values[place], inner.z, 1 - inner.z) for n, place in call.inputs)
            for number, call in enumerate(calls)):
        return Finding("mixing", "One of the two weights of the mixing is not that of the update gate.", line)
    if among(kept, *gates) or (change.function and among(torch.sigmoid(kept), *gates)):
        return Finding("gate-activation", "Something more than a sigmoid acts on the gate.", line)
    if among(kept, inner.n) or (change.function and among(kept, inner.a)):
        return Finding("candidate-activation", "Something more than tanh acts on the candidate.", line)
    return None


def _mixing(step: Step, change: _Change, line: int) -> Finding | None:
    """Tell weights that do not sum to one from other quantities in the mixture."""
    z, n = change.sites
    x, h = examples(step, 1, seed=31)
    slopes = []
    leaves: dict[Site, Tensor] = {}

    def cut(site: Site) -> Edit:
        def edit(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], live: Mapping[Site, Tensor]) -> Any:
            result = func(*args, **kwargs)
            parts = [result] if isinstance(result, Tensor) else list(result)
            parts[site[1]] = leaves[site] = parts[site[1]].detach().requires_grad_()
            return parts[0] if isinstance(result, Tensor) else tuple(parts)
        return edit

    for seed in (1, 2):
        state = h[0].clone().requires_grad_()
        new = step.edited({z[0]: cut(z), n[0]: cut(n)}).run(x[0], state, False)
        weight = torch.linspace(0.5, 1.5, new.numel()).reshape(new.shape) * seed + seed * seed
        by_h, by_n = torch.autograd.grad((weight * new).sum(), (state, leaves[n]), materialize_grads=True)
        slopes.append((by_h / weight, by_rows(by_n, step.batch, step.columns) / weight))
    (c, d), (a, b) = slopes
    rest = (new - h[0] * a - by_rows(leaves[n], step.batch, step.columns) * b).detach()
    zero_a, zero_b = not bool((a != 0).any()), not bool((b != 0).any())
    alone = torch.allclose(a, c, atol=1e-9) and torch.allclose(b, d, atol=1e-9)
    if alone and not zero_a and not zero_b and float(rest.abs().max()) < 1e-9 and float(
            (a + b - 1).abs().max()) < 1e-9:
        return Finding("gate-activation", "The weights of the old state and of the candidate sum to one, but are not z "
                       "and 1 - z.", line)
    if zero_a or zero_b or not alone:
        return Finding("wrong-candidate", "The mixing uses something other than the old state and the candidate.", line)
    return Finding("mixing", "With z and 1 - z as the weights of the old state and of the candidate it would be a GRU.",
                   line)
