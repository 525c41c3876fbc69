"""Which cell of the family explains what an object returns, with which matrices for which gate.

All biases are zero meanwhile, so that only matrices are to be assigned; all assignments are computed at once. A layer's
results need not be its states: they must be an affine function of them, such as a linear head, and log-probabilities
after it.

Shapes: `A` assignments, `N` sequences, `T` steps, `H` hidden width, `D` numbers of a result, `S` numbers of states.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gru_bench.gru_check.codes import Finding
from gru_bench.gru_check.family import CANDIDATES, RIGHT, RIGHT_BY_SIGN, Member, wrong_members
from gru_bench.gru_check.weights import Cell

NEAR = 1e-8
"""Largest difference of an affine function, relative to the largest number."""
SAME = 3e-12
"""Largest difference of what is equal, relative to the largest number where that is above one."""
ACTIVE = 5
"""So many units of a layer have weights. The states of the others are the same for all sequences."""
MOST_BLOCKS = 5
"""Most matrices of one kind whose assignments are few enough to try."""
_MOST = 144
"""Assignments that are tried at once."""


@dataclass(frozen=True)
class Layout:
    """How cells are put together: layers of one cell for each direction, with whether it reads backwards."""

    layers: Sequence[Sequence[tuple[Cell, bool]]]
    findings: tuple[Finding, ...] = ()
    carried: bool = True
    """Whether each step gets the state of the step before."""
    handed: bool = False
    """Whether the second direction begins with the state in which the first one ended."""
    start: Sequence[Tensor] | None = None
    """First states of the layers, H each. None: the state that is given, otherwise zeros."""

    @property
    def first(self) -> Cell:
        """Return the first cell."""
        return self.layers[0][0][0]

    def begin(self, layer: int, given: Tensor | None, count: int) -> Tensor:
        """Return the first states of a layer: N x H."""
        if self.start is not None:
            given = self.start[min(layer, len(self.start) - 1)]
        return torch.zeros(count, self.first.hidden) if given is None else given.expand(count, -1)


@dataclass(frozen=True)
class Seen:
    """What an object was given, and what is to be explained."""

    inputs: Tensor
    """Vectors that it reads, T x N x E."""
    given: Tensor | None
    """States that it was given, N x H."""
    goals: Sequence[Tensor]
    """Results, N x D each, of which one must be an affine function of the states."""
    values: Tensor | None
    """What must contain the last states, K x N x H or the first units of them. None: the results need not."""


@dataclass(frozen=True)
class Guess:
    """How an object may compute: a cell of the family, in a layout, with `A` assignments of its matrices."""

    member: Member
    layout: Layout
    own: Tensor
    """Numbers of the blocks for the gates, as `Cell.matrices` takes them: A x 6 or 7."""
    biases: Mapping[int, Tensor]
    """What is added in the sums of each cell, by its id: 4 x H."""

    @property
    def findings(self) -> list[Finding]:
        """Return the mistakes and conventions of the first assignment."""
        return [*self.layout.findings, *structure(self.own[0].tolist(), self.member), *self.member.findings]

    def states(self, inputs: Tensor, given: Tensor | None) -> list[list[Tensor]]:
        """Return the states of each layer and direction in the order of reading, each A x N x T x H."""
        made: list[list[Tensor]] = []
        below = [inputs[:, None]]
        for number, layer in enumerate(self.layout.layers):
            ways: list[Tensor] = []
            for way, (cell, backwards) in enumerate(layer):
                w, u = cell.matrices(self.own)
                x = torch.cat(below, -1) if below[0].shape[-1] != cell.width else below[min(way, len(below) - 1)]
                begin = (ways[0][:, :, -1] if way and self.layout.handed else
                         self.layout.begin(number, given, x.shape[2]))
                h, out = begin, []
                for x_t in x.flip(0) if backwards else x:
                    h = self.member.step(x_t, w, u, self.biases[id(cell)], h if self.layout.carried else begin)["new"]
                    out.append(h)
                ways.append(torch.stack(out, 2))
            made.append(ways)
            below = [(one.flip(2) if backwards else one).permute(2, 0, 1, 3)
                     for one, (_, backwards) in zip(ways, layer, strict=True)]
        return made

    def explains(self, seen: Seen) -> Tensor:
        """Return which assignments explain what was seen: A."""
        made = self.states(seen.inputs, seen.given)[-1]
        fits = torch.full((len(self.own),), seen.values is not None)
        if seen.values is not None:
            most = SAME * max(1.0, float(seen.values.abs().max()))
            for way in made:
                off = (way[:, None, :, -1, :seen.values.shape[-1]] - seen.values).abs().amax((-1, -2))
                fits &= (off < most).any(1)
        for goal in seen.goals if seen.values is None else ():
            fits |= distance(goal, features(made)) < NEAR
        return fits

    def inner(self, inputs: Tensor, given: Tensor | None) -> Mapping[str, Tensor]:
        """Return the quantities of a step, N x H each: the second of a layer, where the state is not zero.

        `inputs` is T x N x E, of a cell 1 x N x E.
        """
        (cell, backwards), *_ = self.layout.layers[0]
        w, u = cell.matrices(self.own)
        state = self.layout.begin(0, given, inputs.shape[1])
        for x in (inputs.flip(0) if backwards else inputs)[:2]:
            begin = state
            step = self.member.step(x[None], w, u, self.biases[id(cell)], begin)
            made = {name: value.expand(1, *begin.shape)[0] for name, value in step.items()}
            state = made["new"] if self.layout.carried else begin
        return made | {"x": x, "h": begin, "ones": torch.ones_like(begin), "z h": made["z"] * begin}


def layouts(cells: Sequence[Cell]) -> Iterator[Layout]:
    """Yield how cells may be put together, right ways first."""
    first, *others = cells
    beside = [cell for cell in others if cell.width == first.width]
    above = [cell for cell in others if cell.width != first.width]
    hidden = first.hidden
    wide = [cell for cell in above if cell.width == 2 * hidden]
    if len(beside) == 1 and len(wide) == len(above) and len(above) % 2 == 0:
        pairs = [[first, beside[0]], *([list(pair) for pair in zip(above[::2], above[1::2], strict=True)])]
        yield Layout([[(one, False), (two, True)] for one, two in pairs])
        yield Layout([[(one, False), (two, False)] for one, two in pairs], (Finding(
            "backward-end", "Both directions read from the start."),))
        yield Layout([[(one, False), (two, True)] for one, two in pairs], (Finding(
            "initial-state", "The second direction begins with the state in which the first one ended."),), handed=True)
    stack = [[(cell, False)] for cell in (first, *(cell for cell in above if cell.width == hidden))]
    yield Layout(stack)
    yield Layout(stack, (Finding("initial-state", "Each step begins with the first state again, and does not read that "
                                 "of the step before."),), carried=False)
    yield Layout([[(cell, True)] for ((cell, _),) in stack], (Finding(
        "read-backwards", "It reads the last step first."),))
    if len(stack) > 1:
        yield Layout(stack[:1])
    if not above:
        yield Layout([[(first, False), (first, True)]], (Finding(
            "shared-layers", "Both directions use the same weights."),))
    if len(stack) > 1:
        yield Layout([*stack, stack[-1]], (Finding("shared-layers", "Two layers use the same weights."),))


# ---------------------------------------------------------------- affine functions


def goals(result: Tensor) -> list[Tensor]:
    """Return what may be an affine function of states: a result, and what it is before a softmax or a sigmoid.

    Each is N x D or N x T x D. What is the same for all sequences is left out.
    """
    found = [result]
    for each in (result, result.flatten(1)) if result.dim() == 3 else (result,):
        inside = bool(((each > 0) & (each < 1)).all())
        if each.shape[-1] > 1 and torch.allclose(each.exp().sum(-1), torch.ones(())):
            found.insert(0, each[..., 1:] - each[..., :1])
        elif each.shape[-1] > 1 and inside and torch.allclose(each.sum(-1), torch.ones(())):
            found.insert(0, each[..., 1:].log() - each[..., :1].log())
        elif inside and each is result:
            found.append(torch.logit(each))
    return [one for one in found if bool(torch.isfinite(one).all()) and float((one - one[:1]).abs().max()) > 1e-7]


def distance(goal: Tensor, by: Tensor) -> Tensor:
    """Return how far a goal, N x D, is from an affine function of features, A x N x S, relative to its numbers: A."""
    scale = by.abs().amax((-1, -2), keepdim=True).clamp(min=1e-300)
    q, _ = torch.linalg.qr(torch.cat([torch.ones(*by.shape[:-1], 1), by / scale], -1))
    goal = goal / max(1e-300, float(goal.abs().max()))
    left = (goal - q @ (q.transpose(-1, -2) @ goal)).abs().amax((-1, -2))
    return torch.where(torch.isfinite(left), left, torch.inf)


def features(ways: Sequence[Tensor]) -> Tensor:
    """Return what differs between sequences in the states of directions, ... x N x T x H each: ... x N x S."""
    return torch.cat(list(ways), -2)[..., :ACTIVE].flatten(-2)


# ---------------------------------------------------------------- the search


def attempts(cell: Cell, stage: str) -> Iterator[tuple[Member, Tensor]]:
    """Yield members, and the assignments that are tried with each at once."""
    x, h = len(cell.x), len(cell.h)
    if not 0 < x <= MOST_BLOCKS or not 0 < h <= MOST_BLOCKS:
        return
    single = _once(x, h, 3) if min(x, h) > 2 else _once(0, 0, 3)
    if stage == "right":
        yield from ((member, single) for member in (*RIGHT, *RIGHT_BY_SIGN) if len(single))
    elif stage == "wrong":
        by_matrices = {count: own for count in (2, 3, 4) if 0 < len(own := _once(x, h, count)) <= _MOST}
        for member in (*(() if len(single) else RIGHT), *wrong_members()):
            if (chosen := by_matrices.get(CANDIDATES[member.candidate].matrices)) is not None:
                yield member, chosen
    else:
        seen = set(map(tuple, single.tolist()))
        every = [own for own in _every(x, h) if own not in seen] if x + h < 2 * MOST_BLOCKS - 2 else []
        yield from ((member, _tensor(every[first:first + _MOST]))
                    for first in range(0, len(every), _MOST) for member in RIGHT)


STAGES = ("right", "wrong", "shared")
"""In the order in which they are tried: a GRU, one mistake, gates that share or lack matrices."""


def _once(x: int, h: int, matrices: int) -> Tensor:
    """Return the assignments in which no matrix is used twice; -1 where there are too few."""
    own = {own for own in itertools.permutations([*range(x), *[-1] * (3 - x)], 3) if own[2] >= 0}
    state = set(itertools.permutations([*range(h), *[-1] * (min(matrices, 3) - h)], matrices))
    return _tensor(sorted((*one, *other, *[-1] * (3 - matrices)) for one in own for other in state))


def _tensor(own: Sequence[Sequence[int]]) -> Tensor:
    return torch.tensor(own, dtype=torch.long).reshape(len(own), -1 if own else 6)


def _every(x: int, h: int) -> Iterator[tuple[int, ...]]:
    """Yield assignments in which gates share matrices or lack one, those with the fewest mistakes first."""
    found = [(*own, *other) for own in itertools.product((*range(x), -1), repeat=3)
             for other in itertools.product((*range(h), -1), repeat=3)
             if own[2] >= 0 and own.count(-1) + other.count(-1) < 2]
    return iter(sorted(found, key=lambda own: 2 * own.count(-1) + 3 - len(set(own[:3]) - {-1})
                       + 3 - len(set(own[3:]) - {-1})))


def structure(own: Sequence[int], member: Member) -> list[Finding]:
    """Return the mistakes that an assignment shows, of what the member uses."""
    found, roles = [], member.roles
    if CANDIDATES[member.candidate].matrices == 2:
        own = [*own[:5], -2]
    for kind, part in (("input", own[:3]), ("state", own[3:6])):
        names = ("reset gate", "update gate", "candidate")
        for one, two in itertools.combinations(range(3), 2):
            if part[one] == part[two] >= 0 and {one, two} <= roles:
                found.append(Finding("shared-matrices", f"The {names[one]} and the {names[two]} use the same matrix of "
                                     f"the {kind}.", quantity="n" if two == 2 else ""))
        for place, number in enumerate(part):
            if place not in roles:
                continue
            if number == -1 and kind == "state":
                found.append(Finding("gate-without-state", f"The {names[place]} does not see the state.",
                                     quantity="rzn"[place]))
            elif number == -1:
                found.append(Finding("wrong-candidate", f"The {names[place]} does not see the input.",
                                     quantity="rzn"[place]))
    return found


def search(cells: Sequence[Cell], stage: str, seen: Seen) -> Guess | None:
    """Return what explains an object with these recurrences, in one of `STAGES`."""
    for layout in _arranged(cells, stage, seen.given is not None):
        for member, own in attempts(layout.first, stage):
            guess = Guess(member, layout, own, {id(cell): torch.zeros(4, cell.hidden) for cell in cells})
            if (fitting := guess.explains(seen).nonzero().flatten()).numel():
                return replace(guess, own=own[fitting[:1]])
    return None


def _arranged(cells: Sequence[Cell], stage: str, given: bool) -> Iterator[Layout]:
    """Yield the layouts that a stage tries, and those with wrong first states."""
    every = list(layouts(cells))
    first = next(layout for layout in every if not layout.findings)
    if stage != "right":
        yield first
        return
    yield from every
    zeros, ones = torch.zeros(first.first.hidden), torch.ones(first.first.hidden)
    if given:
        yield replace(first, start=[zeros], findings=(Finding(
            "initial-state", "The state that it is given is ignored."),))
        return
    depth = max(len(layout.layers) for layout in every)
    for start in ([ones], *([ones if k == layer else zeros for k in range(depth)] for layer in range(depth))):
        yield replace(first, start=start, findings=(Finding(
            "initial-state", "The state before the first step is ones.", quantity="ones"),))
