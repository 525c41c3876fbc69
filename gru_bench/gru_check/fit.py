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
from functools import cache

import torch
from torch import Tensor

from gru_bench.gru_check.codes import Finding
from gru_bench.gru_check.family import RIGHT, Member, wrong_members
from gru_bench.gru_check.weights import Cell

NEAR = 1e-8
"""Largest difference of an affine function, relative to the largest number."""
SAME = 3e-12
"""Largest difference of what is equal, relative to the largest number where that is above one."""
ACTIVE = 5
"""So many units of a layer have weights. The states of the others are the same for all sequences."""
_MOST_BLOCKS = 7
"""Most matrices whose assignments are few enough to try."""
_MOST = 144
"""Most assignments that are tried with each mistake."""
_MOST_MISTAKES = 5
"""Most mistakes of an assignment that is tried."""
_GATES = ("reset gate", "update gate", "candidate")


@dataclass(frozen=True)
class Layout:
    """How cells are put together: layers of one cell for each direction, with whether it reads backwards."""

    layers: Sequence[Sequence[tuple[Cell, bool]]]
    findings: tuple[Finding, ...] = ()
    carried: bool = True
    """Whether each step gets the state of the step before."""
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
    goals: Sequence[Sequence[Tensor]]
    """For each result what may be an affine function of the states, as `goals` returns it. One must be."""
    values: Tensor | None
    """What must contain the last states, K x N x H or the first units of them. None: the results need not."""


@dataclass(frozen=True)
class Guess:
    """How an object may compute: a cell of the family, in a layout, with `A` assignments of its matrices."""

    member: Member
    layout: Layout
    own: Tensor
    """Numbers of the blocks for the gates, as `Cell.matrices` takes them: A x 6."""
    biases: Mapping[Cell, Tensor]
    """What is added in the sums of each cell: 4 x H."""

    @property
    def findings(self) -> list[Finding]:
        """Return the mistakes and conventions of the first assignment."""
        return [*self.layout.findings, *structure(self.own[0].tolist(), self.member), *self.member.findings]

    def states(self, inputs: Tensor, given: Tensor | None) -> list[list[Tensor]]:
        """Return the states of each layer and direction in the order of reading, each A x N x T x H."""
        made: list[list[Tensor]] = []
        below = inputs[:, None]
        for number, layer in enumerate(self.layout.layers):
            begin = self.layout.begin(number, given, inputs.shape[1])
            ways = []
            for cell, backwards in layer:
                w, u = cell.matrices(self.own)
                h, out = begin, []
                for x in below.flip(0) if backwards else below:
                    h = self.member.step(x, w, u, self.biases[cell], h if self.layout.carried else begin)["new"]
                    out.append(h)
                ways.append(torch.stack(out, 2))
            made.append(ways)
            below = torch.cat([states.flip(2) if backwards else states
                               for states, (_, backwards) in zip(ways, layer, strict=True)], -1).permute(2, 0, 1, 3)
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
        for goal in itertools.chain(*seen.goals) if seen.values is None else ():
            fits |= distance(goal.flatten(1), features(made)) < NEAR
        return fits

    def inner(self, inputs: Tensor, given: Tensor | None) -> Mapping[str, Tensor]:
        """Return the quantities of a step, N x H each: the second of a layer, where the state is not zero.

        `inputs` is T x N x E, of a cell 1 x N x E.
        """
        (cell, backwards), *_ = self.layout.layers[0]
        h = self.layout.begin(0, given, inputs.shape[1])
        for x in (inputs.flip(0) if backwards else inputs)[:2]:
            begin = h
            step = self.member.step(x[None], *cell.matrices(self.own), self.biases[cell], begin)
            step = {name: value.expand(1, *begin.shape)[0] for name, value in step.items()}
            h = step["new"] if self.layout.carried else begin
        return step | {"x": x, "h": begin, "ones": torch.ones_like(begin)}


def layouts(cells: Sequence[Cell]) -> Iterator[Layout]:
    """Yield how cells may be put together, the right way first."""
    first = cells[0]
    above = [cell for cell in cells if cell.width != first.width]
    if len(cells) - len(above) == 2 and all(cell.width == 2 * first.hidden for cell in above):
        pairs = list(zip(cells[::2], cells[1::2], strict=True))
        yield Layout([[(one, False), (two, True)] for one, two in pairs])
        yield Layout([[(one, False), (two, False)] for one, two in pairs], (Finding(
            "backward-end", "Both directions read from the start."),))
    stack = [[(cell, False)] for cell in (first, *above) if cell is first or cell.width == first.hidden]
    yield Layout(stack)
    yield Layout(stack, (Finding("initial-state", "Each step begins with the first state again, and does not read that "
                                 "of the step before."),), carried=False)
    yield Layout([[(cell, True)] for ((cell, _),) in stack], (Finding(
        "read-backwards", "It reads the last step first."),))
    if len(stack) > 1:
        yield Layout([*stack, stack[-1]], (Finding("shared-layers", "Two layers use the same weights."),))
    elif not above:
        yield Layout([[(first, False), (first, True)]], (Finding(
            "shared-layers", "Both directions use the same weights."),))


# ---------------------------------------------------------------- affine functions


def goals(result: Tensor) -> list[Tensor]:
    """Return what may be an affine function of states: a result, and what it is before a softmax or a sigmoid.

    Each is N x D or N x T x D. What is the same for all sequences is left out.
    """
    found = [result]
    inside = bool(((result > 0) & (result < 1)).all())
    logs = result.log() if inside else result
    if result.shape[-1] > 1 and torch.allclose(logs.exp().sum(-1), torch.ones(())):
        found.insert(0, logs[..., 1:] - logs[..., :1])
    elif inside:
        found.append(torch.logit(result))
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


STAGES = ("right", "wrong", "shared")
"""In the order in which they are tried: a GRU, one mistake, gates that share or lack matrices."""


def search(cells: Sequence[Cell], stage: str, seen: Seen) -> Guess | None:
    """Return what explains an object with these recurrences, in one of `STAGES`."""
    for layout, member, own in _attempts(cells, stage, seen):
        guess = Guess(member, layout, own, {cell: torch.zeros(4, cell.hidden) for cell in cells})
        if (fitting := guess.explains(seen).nonzero().flatten()).numel():
            return replace(guess, own=own[fitting[:1]])
    return None


def _attempts(cells: Sequence[Cell], stage: str, seen: Seen) -> Iterator[tuple[Layout, Member, Tensor]]:
    """Yield layouts, members, and the assignments that are tried with both at once."""
    layout, assignments = next(layouts(cells)), _assignments(len(cells[0].x), len(cells[0].h))
    for number, (mistakes, own) in enumerate(assignments):
        if stage == "right" and not mistakes:
            yield from ((other, member, own) for other in (*layouts(cells), *_wrong_starts(cells, seen))
                        for member in RIGHT)
        elif stage == "wrong" and not number and len(own) <= _MOST:
            yield from ((layout, member, own) for member in wrong_members())
        elif stage == "shared" and mistakes:
            yield from ((layout, member, own) for member in RIGHT[:4])


def _wrong_starts(cells: Sequence[Cell], seen: Seen) -> Iterator[Layout]:
    """Yield layouts with wrong first states."""
    layout, zeros, ones = next(layouts(cells)), torch.zeros(cells[0].hidden), torch.ones(cells[0].hidden)
    if seen.given is not None:
        yield replace(layout, start=[zeros], findings=(Finding(
            "initial-state", "The state that it is given is ignored."),))
        return
    for start in list(itertools.product((zeros, ones), repeat=len(layout.layers)))[1:]:
        yield replace(layout, start=start, findings=(Finding(
            "initial-state", "The state before the first step is ones.", quantity="ones"),))


@cache
def _assignments(x: int, h: int) -> list[tuple[int, Tensor]]:
    """Return all ways to give x and h matrices to gates, -1 for none, by the number of their mistakes."""
    if x + h > _MOST_BLOCKS:
        return []
    found: dict[int, list[tuple[int, ...]]] = {}
    for own in itertools.product(*[range(-1, x)] * 3, *[range(-1, h)] * 3):
        missing = own.count(-1)
        mistakes = 2 * missing + 6 - len({*own[:3]} - {-1}) - len({*own[3:]} - {-1})
        if missing < 2 and mistakes <= _MOST_MISTAKES:
            found.setdefault(mistakes, []).append(own)
    return [(mistakes, torch.tensor(found[mistakes])) for mistakes in sorted(found)]


def structure(own: Sequence[int], member: Member) -> list[Finding]:
    """Return the mistakes that an assignment shows, of what the member uses."""
    found = []
    for kind, part, product in (("input", own[:3], "Wx"), ("state", own[3:], "U")):
        used = [gate for gate, name in enumerate("rzn") if name in member.uses and (
            name != "n" or product in member.uses)]
        for one, two in itertools.combinations(used, 2):
            if part[one] == part[two] >= 0:
                found.append(Finding("shared-matrices", f"The {_GATES[one]} and the {_GATES[two]} use the same matrix "
                                     f"of the {kind}.", quantity="n" if two == 2 else ""))
        found += [Finding("gate-without-state" if kind == "state" else "wrong-candidate",
                          f"The {_GATES[gate]} does not see the {kind}.", quantity="rzn"[gate])
                  for gate in used if part[gate] == -1]
    return found
