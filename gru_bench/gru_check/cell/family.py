"""The family of reference cells: every convention and every known mistake, as one small parametric cell.

    r  = g(W_r x + U_r h + b_r)                  reset gate
    z  = g(W_z x + U_z h + b_z)                  update gate
    n  = f(sum of terms W x + U h + b, each times a gate or not)
    h' = a mixture of h and n

`search` finds the member that equals a student's cell on examples. The fewer mistakes a member has, the earlier it is
tried.

Shapes: M examples, B sequences, E input width, H hidden width.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from gru_bench.gru_check.cell.blocks import Block, Group, Parts

Pointwise = Callable[[Tensor], Tensor]

SIGMOIDS: Mapping[str, Pointwise] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "no function": lambda a: a,
    "relu": torch.relu,
    "hardsigmoid": functional.hardsigmoid,
    "clamp(0, 1)": lambda a: a.clamp(0, 1),
    "hard sigmoid, 0.2 a + 0.5": lambda a: (0.2 * a + 0.5).clamp(0, 1),
    "softmax": lambda a: torch.softmax(a, -1),
    "softplus": functional.softplus,
    "exp": torch.exp,
    "sigmoid twice": lambda a: torch.sigmoid(torch.sigmoid(a)),
    "sigmoid of tanh": lambda a: torch.sigmoid(torch.tanh(a)),
    "tanh of sigmoid": lambda a: torch.tanh(torch.sigmoid(a)),
    "leaky_relu": functional.leaky_relu,
    "(tanh + 1) / 2": lambda a: (torch.tanh(a) + 1) / 2,
}
"""Functions of a gate. The first is right."""
TANHS: Mapping[str, Pointwise] = {
    "tanh": torch.tanh,
    "no function": lambda a: a,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "leaky_relu": functional.leaky_relu,
    "leaky_relu(0.1)": lambda a: functional.leaky_relu(a, 0.1),
    "leaky_relu(0.2)": lambda a: functional.leaky_relu(a, 0.2),
    "elu": functional.elu,
    "selu": functional.selu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "softplus": functional.softplus,
    "softsign": functional.softsign,
    "hardtanh": functional.hardtanh,
    "hardsigmoid": functional.hardsigmoid,
    "relu6": functional.relu6,
    "sin": torch.sin,
    "atan": torch.atan,
    "softmax": lambda a: torch.softmax(a, -1),
    "tanh twice": lambda a: torch.tanh(torch.tanh(a)),
    "sigmoid of tanh": lambda a: torch.sigmoid(torch.tanh(a)),
    "tanh of sigmoid": lambda a: torch.tanh(torch.sigmoid(a)),
    "2 sigmoid - 1": lambda a: 2 * torch.sigmoid(a) - 1,
    "clamp(0, 1)": lambda a: a.clamp(0, 1),
}
"""Functions of the candidate. The first is right."""

Mix = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
MIXTURES: Sequence[tuple[str, str, Mix]] = (
    # code, formula, (z, r, h, n, a) -> h'; a is the candidate before its function
    ("", "z * h + (1 - z) * n", lambda z, r, h, n, a: z * h + (1 - z) * n),
    ("update-inverted", "(1 - z) * h + z * n", lambda z, r, h, n, a: (1 - z) * h + z * n),
    ("mixing", "z * h + z * n", lambda z, r, h, n, a: z * h + z * n),
    ("mixing", "(1 - z) * h + (1 - z) * n", lambda z, r, h, n, a: (1 - z) * h + (1 - z) * n),
    ("mixing", "z * h + n", lambda z, r, h, n, a: z * h + n),
    ("mixing", "(1 - z) * h + n", lambda z, r, h, n, a: (1 - z) * h + n),
    ("mixing", "h + (1 - z) * n", lambda z, r, h, n, a: h + (1 - z) * n),
    ("mixing", "h + z * n", lambda z, r, h, n, a: h + z * n),
    ("mixing", "h + n", lambda z, r, h, n, a: h + n),
    ("mixing", "z * h + r * n", lambda z, r, h, n, a: z * h + r * n),
    ("mixing", "r * h + z * n", lambda z, r, h, n, a: r * h + z * n),
    ("mixing", "z * h + (1 - r) * n", lambda z, r, h, n, a: z * h + (1 - r) * n),
    ("mixing", "(1 - r) * h + z * n", lambda z, r, h, n, a: (1 - r) * h + z * n),
    ("mixing", "(1 - z) * h + r * n", lambda z, r, h, n, a: (1 - z) * h + r * n),
    ("mixing", "r * h + (1 - z) * n", lambda z, r, h, n, a: r * h + (1 - z) * n),
    ("mixing", "(1 - z) * h + (1 - r) * n", lambda z, r, h, n, a: (1 - z) * h + (1 - r) * n),
    ("mixing", "(1 - r) * h + (1 - z) * n", lambda z, r, h, n, a: (1 - r) * h + (1 - z) * n),
    ("mixing", "z * h - (1 - z) * n", lambda z, r, h, n, a: z * h - (1 - z) * n),
    ("mixing", "(1 - z) * h - z * n", lambda z, r, h, n, a: (1 - z) * h - z * n),
    ("mixing", "(1 - z) * n - z * h", lambda z, r, h, n, a: (1 - z) * n - z * h),
    ("mixing", "z * n - (1 - z) * h", lambda z, r, h, n, a: z * n - (1 - z) * h),
    ("mixing", "z * h + (1 + z) * n", lambda z, r, h, n, a: z * h + (1 + z) * n),
    ("mixing", "(1 + z) * h + z * n", lambda z, r, h, n, a: (1 + z) * h + z * n),
    ("mixing", "(1 + z) * h + (1 - z) * n", lambda z, r, h, n, a: (1 + z) * h + (1 - z) * n),
    ("mixing", "(1 - z) * h + (1 + z) * n", lambda z, r, h, n, a: (1 - z) * h + (1 + z) * n),
    ("mixing", "z * z * h + (1 - z) * n", lambda z, r, h, n, a: z * z * h + (1 - z) * n),
    ("mixing", "z * h + (1 - z * z) * n", lambda z, r, h, n, a: z * h + (1 - z * z) * n),
    ("mixing", "z * h + (1 - z) ** 2 * n", lambda z, r, h, n, a: z * h + (1 - z) ** 2 * n),
    ("mixing", "(1 - z) * h + z * z * n", lambda z, r, h, n, a: (1 - z) * h + z * z * n),
    ("mixing", "(z * h + (1 - z) * n) / 2", lambda z, r, h, n, a: (z * h + (1 - z) * n) / 2),
    ("mixing", "((1 - z) * h + z * n) / 2", lambda z, r, h, n, a: ((1 - z) * h + z * n) / 2),
    ("mixing", "z * h + (0.5 - z) * n", lambda z, r, h, n, a: z * h + (0.5 - z) * n),
    ("mixing", "(0.5 - z) * h + z * n", lambda z, r, h, n, a: (0.5 - z) * h + z * n),
    ("mixing", "z * h + (2 - z) * n", lambda z, r, h, n, a: z * h + (2 - z) * n),
    ("mixing", "(2 - z) * h + z * n", lambda z, r, h, n, a: (2 - z) * h + z * n),
    ("mixing", "(h + n) / 2", lambda z, r, h, n, a: (h + n) / 2),
    ("mixing", "h + (1 - z) * (n + h)", lambda z, r, h, n, a: h + (1 - z) * (n + h)),
    ("mixing", "(1 - z) * n", lambda z, r, h, n, a: (1 - z) * n),
    ("mixing", "z * n", lambda z, r, h, n, a: z * n),
    ("mixing", "h + z * (h - n)", lambda z, r, h, n, a: h + z * (h - n)),
    ("mixing", "n + z * (n - h)", lambda z, r, h, n, a: n + z * (n - h)),
    ("wrong-candidate", "z * h", lambda z, r, h, n, a: z * h),
    ("wrong-candidate", "(1 - z) * h", lambda z, r, h, n, a: (1 - z) * h),
    ("wrong-candidate", "(1 - z) * h + z * (1 - z) * h", lambda z, r, h, n, a: (1 - z) * (1 + z) * h),
    ("wrong-candidate", "n alone", lambda z, r, h, n, a: n),
    ("wrong-candidate", "z * (r * h) + (1 - z) * n", lambda z, r, h, n, a: z * r * h + (1 - z) * n),
    ("wrong-candidate", "(1 - z) * (r * h) + z * n", lambda z, r, h, n, a: (1 - z) * r * h + z * n),
    ("wrong-candidate", "z * h + (1 - z) * (r * n)", lambda z, r, h, n, a: z * h + (1 - z) * r * n),
    ("wrong-candidate", "(1 - z) * h + z * (r * n)", lambda z, r, h, n, a: (1 - z) * h + z * r * n),
    ("wrong-candidate", "z * a + (1 - z) * n, a before its tanh", lambda z, r, h, n, a: z * a + (1 - z) * n),
    ("wrong-candidate", "(1 - z) * a + z * n, a before its tanh", lambda z, r, h, n, a: (1 - z) * a + z * n),
    ("wrong-candidate", "z * h + (1 - z) * (n * h)", lambda z, r, h, n, a: z * h + (1 - z) * n * h),
    ("wrong-candidate", "(1 - z) * h + z * (n * h)", lambda z, r, h, n, a: (1 - z) * h + z * n * h),
    ("wrong-candidate", "z * n * h + (1 - z) * n", lambda z, r, h, n, a: z * n * h + (1 - z) * n),
    ("wrong-candidate", "z * h' + (1 - z) * n, h' = (1 - z) * n", lambda z, r, h, n, a: (1 + z) * (1 - z) * n),
    ("wrong-candidate", "(1 - z) * h' + z * n, h' = z * n", lambda z, r, h, n, a: (1 - z) * z * n + z * n),
    ("wrong-candidate", "z * h + (1 - z) * h', h' = z * h", lambda z, r, h, n, a: z * h + (1 - z) * z * h),
    ("wrong-candidate", "z * h + (1 - z) * (z * h + n)", lambda z, r, h, n, a: z * h + (1 - z) * (z * h + n)),
    ("wrong-candidate", "z * h + (1 - z) * (h + n)", lambda z, r, h, n, a: z * h + (1 - z) * (h + n)),
    ("wrong-candidate", "(1 - z) * h + z * (h + n)", lambda z, r, h, n, a: (1 - z) * h + z * (h + n)),
    ("wrong-candidate", "z * tanh(h) + (1 - z) * n", lambda z, r, h, n, a: z * torch.tanh(h) + (1 - z) * n),
    ("wrong-candidate", "(1 - z) * tanh(h) + z * n", lambda z, r, h, n, a: (1 - z) * torch.tanh(h) + z * n),
)
"""Mixtures. The first two are right."""

Act = Callable[[Tensor, Tensor], Tensor]
ACTS: Mapping[str, Act] = {
    "1": lambda z, r: torch.ones_like(r),
    "r": lambda z, r: r,
    "z": lambda z, r: z,
    "1 - r": lambda z, r: 1 - r,
    "1 - z": lambda z, r: 1 - z,
    "z * r": lambda z, r: z * r,
    "(1 - z) * r": lambda z, r: (1 - z) * r,
    "r * r": lambda z, r: r * r,
    "r, z": lambda z, r: z,
    "r, 1 - z": lambda z, r: 1 - z,
}
"""What acts on a term of the candidate, or on the state in it. After r and a comma: on the state in a term with r."""


@dataclass(frozen=True)
class Affine:
    """W x + U h + b, of which each may be missing. In front stand examples and sequences: M x B."""

    x: Tensor | None
    """H x E."""
    h: Tensor | None
    """H x H."""
    b: Tensor | None
    """H."""
    moved: bool = False
    """Whether something acts on the state before its product."""
    blocks: tuple[Block, ...] = ()
    moved_x: bool = False
    """Whether something acts on the input before its product."""

    @classmethod
    def of(cls, group: Group) -> Affine:
        """Return the sum that a group of blocks is."""
        def total(source: str) -> Tensor | None:
            values = [block.value for block in group if block.source == source]
            return torch.stack(values).sum(0) if values else None

        moved = {block.source for block in group if block.moved}
        return cls(total("x"), total("h"), total("1"), "h" in moved, tuple(group), "x" in moved)

    def of_input(self, x: Tensor, like: Tensor, gate: Tensor | None = None) -> Tensor:
        """Return W x + b, with a gate on x where something acts on it."""
        total = torch.zeros_like(like)
        if self.x is not None:
            total = total + (x if gate is None or not self.moved_x else gate * x) @ self.x.T
        return total if self.b is None else total + self.b

    def of_state(self, h: Tensor) -> Tensor | None:
        """Return U h."""
        return None if self.h is None else h @ self.h.T


@dataclass(frozen=True)
class Inner:
    """All quantities of one step."""

    r: Tensor
    z: Tensor
    a: Tensor
    """The candidate before its function."""
    n: Tensor
    new: Tensor


@dataclass(frozen=True)
class Member:
    """One cell of the family."""

    reset: Affine | None
    update: Affine | None
    terms: tuple[Affine, ...]
    acts: tuple[str, ...]
    """What acts on each term: on its product, or on the state in it where it is `moved`."""
    reset_function: str = "sigmoid"
    update_function: str = "sigmoid"
    function: str = "tanh"
    after: str = "1"
    """What acts on the candidate after its function."""
    mixture: int = 0
    faults: tuple[tuple[str, str], ...] = ()
    """Code and detail of each mistake."""
    rights: tuple[str, ...] = ()
    """Codes of conventions that show in the equations."""

    def inner(self, x: Tensor, h: Tensor) -> Inner:
        """Return all quantities of one step from input and state."""
        r = _gate(self.reset, SIGMOIDS[self.reset_function], x, h)
        z = _gate(self.update, SIGMOIDS[self.update_function], x, h)
        a = torch.zeros_like(h)
        for term, act in zip(self.terms, self.acts, strict=True):
            a = a + _term(term, act, z, r, x, h)
        n = TANHS[self.function](a)
        if self.after != "1":
            n = n * ACTS[self.after](z, r)
        return Inner(r, z, a, n, MIXTURES[self.mixture][2](z, r, h, n, a))

    def step(self, x: Tensor, h: Tensor) -> Tensor:
        """Return the state after one step."""
        return self.inner(x, h).new


def _gate(affine: Affine | None, function: Pointwise, x: Tensor, h: Tensor) -> Tensor:
    if affine is None:
        return torch.ones_like(h)
    total = affine.of_input(x, h)
    own = affine.of_state(h)
    return function(total if own is None else total + own)


def _term(term: Affine, act: str, z: Tensor, r: Tensor, x: Tensor, h: Tensor) -> Tensor:
    gate = ACTS[act](z, r)
    own = term.of_state(gate * h if term.moved else h)
    total = term.of_input(x, h, gate)
    total = total if own is None else total + own
    if "," in act:
        return r * total
    return total if term.moved or term.moved_x or act == "1" else gate * total


# ---------------------------------------------------------------- the search


@dataclass(frozen=True)
class _Case:
    """A cell's parameters and examples."""

    parts: Parts
    affines: tuple[Affine, ...]
    sharing: bool
    """Whether a group's blocks were put into several others."""
    x: Tensor
    h: Tensor
    new: Tensor


_MOST = 2
"""Most mistakes of a member. With more of them, chance equalities are likelier than students."""


def search(parts: Parts, x: Tensor, h: Tensor, new: Tensor) -> Member | None:
    """Return the member with the fewest mistakes that equals a cell on examples, or None.

    Args:
        parts: The cell's parameters.
        x: Inputs, M x B x E.
        h: States, M x B x H.
        new: What the cell makes of them, M x B x H.
    """
    with torch.no_grad():
        for number, (groups, sharing) in enumerate(_arrangements(parts)):
            case = _Case(parts, tuple(Affine.of(group) for group in groups), sharing, x, h, new)
            found = [*_by_parts(case, False)]
            if number == 0 and not any(rank == 0 for rank, _ in found):
                found += _by_parts(case, True)
            if number == 0 and not any(rank < 20 for rank, _ in found):
                found += _as_a_whole(case)
            if found:
                return min(found, key=lambda pair: pair[0])[1]
    return None


def search_right(parts: Parts, x: Tensor, h: Tensor, new: Tensor) -> Member | None:
    """Return the member without mistakes that equals a cell on examples, or None."""
    if parts.shared or parts.odd:
        return None
    with torch.no_grad():
        case = _Case(parts, tuple(Affine.of(group) for group in parts.groups), False, x, h, new)
        return next((member for _, member in _by_parts(case, False, 0) if not member.faults), None)


def search_elman(parts: Parts, x: Tensor, h: Tensor, new: Tensor) -> str | None:
    """Return the function of an Elman RNN, h' = f(W x + U h + b), that equals a cell on examples, or None."""
    if len(parts.groups) != 1 or parts.shared or parts.odd:
        return None
    affine = Affine.of(parts.groups[0])
    if affine.x is None or affine.h is None or affine.moved or affine.moved_x:
        return None
    with torch.no_grad():
        total = _gate(affine, lambda a: a, x, h)
        return next((name for name, function in TANHS.items() if torch.allclose(
            function(total), new, rtol=0, atol=1e-10 * max(1.0, float(new.abs().max())))), None)


def _arrangements(parts: Parts) -> Iterator[tuple[Sequence[Group], bool]]:
    """Yield the groups as they are, and then with one group's blocks in several others."""
    yield parts.groups, bool(parts.shared)
    if len(parts.groups) > 7:
        return
    for loose in parts.groups:
        sources = {block.source for block in loose}
        if {"x", "h"} <= sources:
            continue
        source = min(sources - {"1"}, default="1")
        others = [group for group in parts.groups if group is not loose]
        takers = [group for group in others if source == "1" or all(block.source != source for block in group)]
        for count in range(1, len(takers) + 1):
            for chosen in itertools.combinations(takers, count):
                joined = [[*group, *loose] if group in chosen else group for group in others]
                twice = loose[0].twice
                if count >= 2 or twice:
                    yield joined, True
                if not twice:
                    yield [*joined, loose], True


def _as_a_whole(case: _Case) -> list[tuple[int, Member]]:
    """Return members that equal the cell where its gates cannot be told one after the other, each after its rank."""
    # A unit of a softmax depends on all units. Both gates with the same wrong function are one mistake.
    softmax = [("softmax", "sigmoid"), ("sigmoid", "softmax"), ("softmax", "softmax")]
    return [ranked for roles in _roles(case) for ranked in _with_gates(case, roles, "sigmoid", "sigmoid")] or [
        ranked for roles in _roles(case) for names in (softmax if roles[0] != roles[1] else softmax[2:])
        for ranked in _with_gates(case, roles, *names)]


def _by_parts(case: _Case, first: bool, most: int = 1) -> Iterator[tuple[int, Member]]:
    """Yield members that equal the cell: the update gate and the mixture first, then the reset gate and the candidate.

    The new state and its sensitivity to the update gate are two equations for the candidate. Where their answers agree,
    gate and mixture are right, whatever the candidate is.
    """
    for update, z_name, number in _updates(case, first):
        z = _gate(case.affines[update], SIGMOIDS[z_name], case.x, case.h)
        mix = MIXTURES[number][2]
        zero, one = torch.zeros_like(z), torch.ones_like(z)
        at_zero = mix(z, zero, case.h, zero, zero)
        n = (case.new - at_zero) / (mix(z, zero, case.h, one, zero) - at_zero)
        for roles in _roles(case):
            if roles[0] == update and roles[1] != update and roles[2]:
                yield from _with_candidate(case, roles, z_name, number, z, n, first, most)


def _updates(case: _Case, first: bool) -> list[tuple[int, str, int]]:
    """Return each sum, function and mixture that may be the update gate's, of those with the fewest mistakes."""
    some, every = range(2), range(2, len(MIXTURES))
    others = [name for name in SIGMOIDS if name != "sigmoid"]
    attempts = [(["sigmoid"], some), (["sigmoid"], every), (others, some)]
    for names, mixes in attempts if first else attempts[:1]:
        if found := _updates_among(case, names, mixes):
            return found
    return []


def _updates_among(case: _Case, names: Sequence[str], mixes: Sequence[int]) -> list[tuple[int, str, int]]:
    parts = case.parts
    found = []
    mixes = [number for number in mixes if not {"r", "a"} & set(re.findall(r"[a-z]+", MIXTURES[number][1]))]
    h, zero, one = parts.h, torch.zeros_like(parts.h), torch.ones_like(parts.h)
    for k, affine in enumerate(case.affines):
        if affine.moved:
            continue
        for name in names:
            with torch.enable_grad():
                total = _gate(affine, lambda a: a, parts.x, h).requires_grad_()
                gate = SIGMOIDS[name](total)
                (slope,) = torch.autograd.grad(gate.sum(), total, allow_unused=True)
            if slope is None or not bool((slope != 0).any()):
                continue
            z = gate.detach()
            for number in mixes:
                mix = MIXTURES[number][2]
                low, high = mix(z, zero, h, zero, zero), mix(z, zero, h, one, zero)
                if not bool((high != low).all()):
                    continue
                n = (parts.new - low) / (high - low)
                # Mixtures are at most quadratic in z, so that this difference is their derivative.
                by_z = (mix(z + 1, zero, h, n, zero) - mix(z - 1, zero, h, n, zero)) / 2
                expected = parts.weight * by_z * slope
                if float((expected - affine.blocks[0].sense).abs().max()) <= 1e-8 * float(expected.abs().max()):
                    found.append((k, name, number))
    return found


def _with_candidate(
    case: _Case, roles: Roles, z_name: str, number: int, z: Tensor, n: Tensor, first: bool, most: int
) -> Iterator[tuple[int, Member]]:
    """Yield the members whose update gate, mixture and candidate are known, each after its rank."""
    reset = roles[1]
    names = list(SIGMOIDS) if first and reset is not None else ["sigmoid"]
    gates = torch.stack([_gate(None if reset is None else case.affines[reset], SIGMOIDS[name], case.x, case.h)
                         for name in names])
    tolerance = 1e-9 * max(1.0, float(n.abs().max()))
    for acts, after, a, codes in _candidates(case, roles, z, gates, most):
        for function in TANHS if first else ["tanh"]:
            own = TANHS[function](a)
            if after != "1":
                own = own * ACTS[after](z, gates)
            difference = (own - n).abs().flatten(1).amax(1)
            for which in (difference <= tolerance).nonzero().flatten().tolist():
                if which and all(act == "1" for act in acts) and after == "1":
                    continue  # the gate has no part in it
                yield from _ranked(case, roles, acts, after, z_name, names[which], function, number, codes, _MOST)


def _ranked(
    case: _Case, roles: Roles, acts: tuple[str, ...], after: str, z_name: str, r_name: str, function: str,
    number: int, codes: Sequence[tuple[str, str]], most: int,
) -> Iterator[tuple[int, Member]]:
    """Yield the rank of a member and the member, unless it has more than `most` mistakes.

    Mistakes of its structure, which show in the matrices alone, do not count.
    """
    mistakes = len({z_name, r_name} - {"sigmoid"}) + len(codes) + int(function != "tanh") + int(number > 1)
    if mistakes > most:
        return
    update, reset, rest = roles
    affines = case.affines
    structure = list(_structure(case, roles))
    faults = []
    for gate, name in (("update", z_name), ("reset", r_name)):
        if name != "sigmoid" and not (gate == "reset" and reset in (None, update)) and not (
                name == "(tanh + 1) / 2" and (gate, "gate-without-state") in {(d.split()[1], c) for c, d in structure}):
            faults.append(("gate-activation", f"The {gate} gate goes through {name}."))
    if function != "tanh":
        faults.append(("candidate-activation", f"The candidate goes through {function}."))
    faults += [*codes, *structure]
    if number > 1:
        code, formula, _ = MIXTURES[number]
        faults.append((code, f"It computes h' = {formula}."))
    rights = ["update-inverted"] if number == 1 else []
    if all(code != "wrong-candidate" for code, _ in codes) and any(
            act in ("r", "1 - r") and affines[k].moved for act, k in zip(acts, rest, strict=True)):
        rights.append("reset-before")
    # Of two that are equal, the one with the fewer mistakes in its structure comes first.
    yield 10 * mistakes + len(structure), Member(
        None if reset is None else affines[reset], None if update is None else affines[update],
        tuple(affines[k] for k in rest), acts, r_name, z_name, function, after, number, tuple(faults), tuple(rights))


Roles = tuple[int | None, int | None, tuple[int, ...]]
"""Numbers of the update gate's sum, of the reset gate's, and of those in the candidate."""


def _roles(case: _Case) -> Iterator[Roles]:
    """Yield what each sum may be: distinct gates first, then one sum for both, then a missing gate."""
    numbers = range(len(case.affines))
    gates = [n for n in numbers if not case.affines[n].moved and not case.affines[n].moved_x]
    pairs: list[tuple[int | None, int | None]] = list(itertools.permutations(gates, 2))
    # A gate that sees both input and state is the likelier.
    pairs.sort(key=lambda pair: -sum(case.affines[n].x is not None and case.affines[n].h is not None
                                     for n in pair if n is not None))
    pairs += [(n, n) for n in gates] + [(n, None) for n in gates] + [(None, n) for n in gates]
    for update, reset in pairs:
        rest = tuple(n for n in numbers if n not in (update, reset))
        read = [update, reset] if rest else [update]
        if any(n is not None and case.affines[n].x is None for n in read) or (
                rest and all(case.affines[n].x is None for n in rest)):
            continue  # all three read the input
        if len(rest) <= 3 and (rest or len(numbers) <= 2):
            yield update, reset, rest


def _with_gates(case: _Case, roles: Roles, z_name: str, r_name: str) -> Iterator[tuple[int, Member]]:
    """Yield the members with these gates that equal the cell, each after its rank."""
    update, reset, rest = roles
    x, h, new, affines = case.x, case.h, case.new, case.affines
    z = _gate(None if update is None else affines[update], SIGMOIDS[z_name], x, h)
    r = z if update is not None and reset == update else _gate(
        None if reset is None else affines[reset], SIGMOIDS[r_name], x, h)
    if not (bool(torch.isfinite(z).all()) and bool(torch.isfinite(r).all())):
        return
    left = int(z_name == r_name == "sigmoid")
    mixes = MIXTURES if left else MIXTURES[:2]
    tried = [number for number, (_, formula, _) in enumerate(mixes)
             if (update is not None or not re.search(r"\bz\b", formula)) and (rest or "n" not in formula)]
    tolerance = 1e-10 * max(1.0, float(new.abs().max()))
    names = list(TANHS) if left else ["tanh"]
    zero, one = torch.zeros_like(h), torch.ones_like(h)
    # Every mixture is linear in the candidate.
    at_zero = torch.stack([mix(z, r, h, zero, zero) for _, _, mix in mixes])
    slope = torch.stack([mix(z, r, h, one, zero) for _, _, mix in mixes]) - at_zero
    for acts, after, a, codes in _candidates(case, roles, z, r, left):
        n = torch.stack([TANHS[name](a) for name in (names if left > len(codes) else names[:1])])
        if after != "1":
            n = n * ACTS[after](z, r)
        difference = (at_zero[:, None] + slope[:, None] * n - new).abs().flatten(2).amax(2)
        for number in [number for number, (_, formula, _) in enumerate(mixes) if "a before" in formula]:
            difference[number] = (mixes[number][2](z, r, h, n, a) - new).abs().flatten(1).amax(1)
        for number, place in (difference <= tolerance).nonzero().tolist():
            if number in tried:
                yield from _ranked(case, roles, acts, after, z_name, r_name, names[place], number, codes, 1)


def _structure(case: _Case, roles: Roles) -> Iterator[tuple[str, str]]:
    """Yield the mistakes that show in which matrices there are."""
    update, reset, rest = roles
    same = update is not None and reset == update
    for name, number in (("update", update), ("reset", reset)):
        if number is not None and case.affines[number].h is None and not (same and name == "reset"):
            yield "gate-without-state", f"The {name} gate does not see the state."
    if rest and not any(case.affines[k].h is not None for k in rest):
        yield "gate-without-state", "The candidate does not see the state."
    if case.sharing:
        yield "shared-matrices", "A matrix is in the sums of two gates."
    elif same and case.parts.spare:
        yield "reset-unused", "One gate is used in place of the other, which has no effect."
    elif same:
        yield "shared-matrices", "The reset gate and the update gate are the same sum."


def _candidates(
    case: _Case, roles: Roles, z: Tensor, r: Tensor, most: int
) -> Iterator[tuple[tuple[str, ...], str, Tensor, list[tuple[str, str]]]]:
    """Yield what may act on the terms and after them, the candidate before its function, and the mistakes."""
    update, reset, rest = roles
    affines = case.affines
    names = ["1"] if reset is None else ["1", "r", "1 - r", *(["r * r"] if most else [])]
    if update is not None and most:
        names += ["z", "1 - z"]
        if reset is not None:
            names += ["z * r", "(1 - z) * r", "r, z", "r, 1 - z"]
    for acts in itertools.product(names, repeat=len(rest)):
        if any((affines[k].moved and act == "1") or (not affines[k].moved and "," in act)
               for act, k in zip(acts, rest, strict=True)):
            continue
        if len({act for act in acts if act != "1" and not act.startswith("r, ")} | {
                "r" for act in acts if act.startswith("r, ")}) > 1:
            continue
        codes = _acting(affines, rest, acts)
        if len(codes) > most:
            continue
        a = torch.zeros_like(r)
        for k, act in zip(rest, acts, strict=True):
            a = a + _term(affines[k], act, z, r, case.x, case.h)
        yield acts, "1", a, codes
        if most and all(act == "1" for act in acts) and reset is not None:
            yield acts, "r", a, [("reset-on-input", "The reset gate acts on the whole candidate.")]


def _acting(affines: Sequence[Affine], rest: Sequence[int], acts: Sequence[str]) -> list[tuple[str, str]]:
    """Return the mistakes that show in what acts on the terms of the candidate."""
    pairs = list(zip(acts, rest, strict=True))
    acting = {act for act in acts if act != "1"}
    if not any(affines[k].h is not None for k in rest):
        return []
    if not acting:
        return [("reset-unused", "The reset gate does not act on the candidate.")]
    act = max(acting, key=len)
    places = [k for one, k in pairs if one != "1"]
    if act in ("r", "1 - r"):  # r may mean 1 - r, which is the same function of other weights
        if any(affines[k].moved_x or (affines[k].x is not None and not affines[k].moved) for k in places):
            return [("reset-on-input", "The reset gate acts on W_n x.")]
        if all(affines[k].h is None for k in places):
            return [("reset-unused", "The reset gate acts only on a bias.")]
        if any(one == "1" and affines[k].h is not None for one, k in pairs):
            return [("wrong-candidate", "The candidate also uses the state without the reset gate.")]
        if len({affines[k].moved for k in places if affines[k].h is not None}) > 1:
            return [("wrong-candidate", "The reset gate acts before one product with the state and after another.")]
        return []
    if act in ("z", "1 - z"):
        return [("reset-unused", f"{'The update gate' if act == 'z' else act} is where the reset gate belongs.")]
    if "," in act:
        return [("wrong-candidate", f"The candidate uses {act[3:]} times the state instead of the state.")]
    return [("wrong-candidate", f"{act} is where r belongs.")]


def right_members(parts: Parts) -> Iterator[Member]:
    """Yield the right GRUs that a cell's parameters may make up."""
    affines = [Affine.of(group) for group in parts.groups]
    numbers = range(len(affines))
    for update, reset in itertools.permutations(numbers, 2):
        rest = [k for k in numbers if k not in (update, reset)]
        if not rest or len(rest) > 4 or affines[update].moved or affines[reset].moved:
            continue
        acts = tuple("r" if affines[k].moved or affines[k].x is None else "1" for k in rest)
        for mixture in (0, 1):
            yield Member(affines[reset], affines[update], tuple(affines[k] for k in rest), acts, mixture=mixture)
