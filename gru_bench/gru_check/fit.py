"""Which cell of the family explains an object's results, with which matrices for which gate.

All biases are zero meanwhile, so that only matrices are to be assigned; all assignments are computed at once. A layer's
results need not be its states: they must be an affine function of them, such as a linear head, and log-probabilities
after it.

Shapes: `A` assignments, `N` sequences, `T` steps, `H` hidden width, `D` numbers of a result, `S` numbers of states.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from gru_bench.gru_check.codes import Finding
from gru_bench.gru_check.family import CANDIDATES, RIGHT, RIGHT_BY_SIGN, Member, wrong_members
from gru_bench.gru_check.weights import Cell

NEAR = 1e-9
"""Largest difference, relative to the largest number, of what is equal."""
ACTIVE = 5
"""So many units of a layer have weights. The states of the others are the same for all sequences."""
MOST_BLOCKS = 5
"""Most matrices of one kind whose assignments are few enough to try."""
CONSTANTS = (1.0, -1.0, 2.0, 0.5)
"""Numbers in the sum of a gate that are looked for."""
_MOST = 144
"""Assignments that are tried at once."""
_ACTING = tuple(itertools.product((1.0, -1.0), repeat=6))
"""Signs with which six matrices may act."""


@dataclass(frozen=True)
class Layout:
    """How cells are put together: layers of one cell for each direction, with whether it reads backwards."""

    layers: Sequence[Sequence[tuple[Cell, bool]]]
    findings: tuple[Finding, ...] = ()
    carried: bool = True
    """Whether each step gets the state of the step before."""
    handed: bool = False
    """Whether the second direction begins with the state in which the first one ended."""

    @property
    def first(self) -> Cell:
        """Return the first cell."""
        return self.layers[0][0][0]


@dataclass
class Found:
    """What explains an object's results."""

    member: Member
    layout: Layout
    own: Tensor
    """Numbers of the blocks for the gates, 1 x 6 or 1 x 7."""
    signs: Tensor
    """Of the blocks, 1 x 6 or 1 x 7."""
    start: Sequence[Tensor | None]
    """First states of each layer. None: zeros."""
    constants: Tensor
    """Numbers in the sums of r, z and n, and in the product with the state: 4 x 1."""
    findings: list[Finding] = field(default_factory=list)
    biases: dict[int, Tensor] = field(default_factory=dict)
    """Biases of each cell, by its id: 4 x H."""

    def bias(self, cell: Cell) -> Tensor:
        """Return all that is added in the sums of a cell, 4 x H."""
        hidden = cell.h[0].value.shape[0]
        return self.biases.get(id(cell), torch.zeros(4, hidden)) + self.constants

    def states(self, inputs: Tensor, given: Tensor | None = None) -> list[list[Tensor]]:
        """Return the states of each layer and direction in the order of reading, each N x T x H."""
        start = self.start if given is None else [given] * len(self.layout.layers)
        return [[one[0] for one in layer] for layer in states(
            self.member, self.layout, self.own, self.signs, inputs, start,
            {id(cell): self.bias(cell) for layer in self.layout.layers for cell, _ in layer})]


def states(
    member: Member, layout: Layout, own: Tensor, signs: Tensor, inputs: Tensor, start: Sequence[Tensor | None],
    bias: Mapping[int, Tensor],
) -> list[list[Tensor]]:
    """Return the states of each layer and direction in the order of reading, each A x N x T x H."""
    made: list[list[Tensor]] = []
    below = [inputs[:, None]]
    for number, layer in enumerate(layout.layers):
        found: list[Tensor] = []
        for way, (cell, backwards) in enumerate(layer):
            u = cell.matrices(own[:, 3:]) * signs[:, 3:, None, None]
            x = torch.cat(below, -1) if below[0].shape[-1] != cell.width else below[min(way, len(below) - 1)]
            x = x.flip(0) if backwards else x
            first = start[min(number, len(start) - 1)]
            begin = torch.zeros(1, x.shape[2], u.shape[-1]) if first is None else first.expand(x.shape[2], -1)[None]
            wx = chosen(cell.products(x), own, signs)
            if way and layout.handed:
                begin = found[0][:, :, -1]
            h, out = begin, []
            for x_t in wx:
                h = member.step(x_t, u, bias[id(cell)], h if layout.carried else begin)["new"]
                out.append(h.expand(len(own), -1, -1))
            found.append(torch.stack(out, 2))
        made.append(found)
        below = [(one.flip(2) if backwards else one).permute(2, 0, 1, 3)
                 for one, (_, backwards) in zip(found, layer, strict=True)]
    return made


def chosen(products: Tensor, own: Tensor, signs: Tensor) -> Tensor:
    """Return the products of the input that assignments choose for r, z and n: ... x A x 3 x N x H.

    Args:
        products: ... x (1 or A) x N x blocks x H.
        own: Numbers of blocks, A x 6 or more.
        signs: Their signs.
    """
    products = products.transpose(-2, -3).expand(*products.shape[:-4], len(own), -1, -1, -1)
    places = own[:, :3, None, None].expand(-1, -1, *products.shape[-2:]) % products.shape[-3]
    return torch.gather(products, -3, places.expand(*products.shape[:-4], *places.shape)) * signs[:, :3, None, None]


def layouts(cells: Sequence[Cell]) -> Iterator[Layout]:
    """Yield how cells may be put together, right ways first."""
    first, *others = cells
    beside = [cell for cell in others if cell.width == first.width]
    above = [cell for cell in others if cell.width != first.width]
    hidden = first.h[0].value.shape[0]
    wide = [cell for cell in above if cell.width == 2 * hidden]
    if len(beside) == 1 and len(wide) == len(above) and len(above) % 2 == 0:
        pairs = [[first, beside[0]], *([list(pair) for pair in zip(above[::2], above[1::2], strict=True)])]
        yield Layout([[(one, False), (two, True)] for one, two in pairs])
        yield Layout([[(one, False), (two, False)] for one, two in pairs], (Finding(
            "backward-end", "Both directions read from the start."),))
        yield Layout([[(one, False), (two, True)] for one, two in pairs], (Finding(
            "initial-state", "The second direction begins with the state in which the first one ended."),), handed=True)
    if len(beside) == 1 and above and not wide and len(above) % 2 == 0:
        half = len(above) // 2
        for towers in (zip(above[:half], above[half:], strict=True), zip(above[::2], above[1::2], strict=True)):
            yield Layout([[(first, False), (beside[0], True)], *([(one, False), (two, True)] for one, two in towers)])
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


@dataclass(frozen=True)
class Attempt:
    """Assignments that are tried with a member at once."""

    member: Member
    own: Tensor
    signs: Tensor
    constants: Tensor


def attempts(cell: Cell, stage: str) -> Iterator[Attempt]:
    """Yield what is tried for the cells of an object, in stages."""
    x, h = len(cell.x), len(cell.h)
    if not 0 < x <= MOST_BLOCKS or not 0 < h <= MOST_BLOCKS:
        return
    none, plain = torch.zeros(4, 1), torch.ones(1, 6)
    single = _once(x, h, 3) if min(x, h) > 2 else _once(0, 0, 3)
    if stage == "right":
        yield from (Attempt(member, single, plain, none) for member in (*RIGHT, *RIGHT_BY_SIGN) if len(single))
    elif stage == "wrong":
        by_matrices = {count: own for count in (2, 3, 4) if 0 < len(own := _once(x, h, count)) <= _MOST}
        for member in (*(() if len(single) else RIGHT), *wrong_members()):
            if (chosen := by_matrices.get(CANDIDATES[member.candidate].matrices)) is not None:
                yield Attempt(member, chosen, torch.ones(1, chosen.shape[1]), none)
    elif stage == "shared":
        seen = set(map(tuple, single.tolist()))
        every = [own for own in _every(x, h) if own not in seen] if x + h < 2 * MOST_BLOCKS - 2 else []
        yield from (Attempt(member, _tensor(every[first:first + _MOST]), plain, none)
                    for first in range(0, len(every), _MOST) for member in RIGHT)
    elif 0 < len(single) <= _MOST:
        signs = torch.tensor(_ACTING)
        yield from (Attempt(member, single, plain, none.index_fill(0, torch.tensor([place]), number))
                    for number in CONSTANTS for place in range(4) for member in RIGHT)
        yield from (Attempt(member, single.repeat_interleave(len(signs), 0), signs.repeat(len(single), 1), none)
                    for member in RIGHT[:3:2])


STAGES = ("right", "wrong", "shared", "signs")
"""In the order in which they are tried: a GRU, one mistake, gates that share or lack matrices, signs and constants."""


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


def search_cell(cell: Cell, stage: str, x: Tensor, h: Tensor, results: Sequence[Tensor]) -> Found | None:
    """Return what explains a step of a cell: N x E and N x H to N x H."""
    for attempt in attempts(cell, stage):
        u = cell.matrices(attempt.own[:, 3:]) * attempt.signs[:, 3:, None, None]
        wx = chosen(cell.products(x)[None], attempt.own, attempt.signs)
        new = attempt.member.step(wx, u, attempt.constants.expand(4, h.shape[-1]), h)["new"]
        for result in results:
            if result.shape == h.shape:
                off = (new - result).abs().amax((-1, -2)) / max(1.0, float(result.abs().max()))
                if (places := (off < 3e-12).nonzero().flatten()).numel():
                    return _found(attempt, Layout([[(cell, False)]]), int(places[0]), [None])
    return None


def _found(attempt: Attempt, layout: Layout, place: int, start: Sequence[Tensor | None]) -> Found:
    own = attempt.own[place:place + 1]
    signs = attempt.signs.expand(len(attempt.own), -1)[place:place + 1]
    findings = [*layout.findings, *structure(own[0].tolist(), attempt.member), *attempt.member.findings]
    return Found(attempt.member, layout, own, signs, start, attempt.constants, findings)


def search_layer(
    cells: Sequence[Cell], stage: str, inputs: Tensor, h0: Tensor | None, results: Sequence[Tensor],
    values: Sequence[Tensor] = (),
) -> Found | None:
    """Return what explains the results of a layer, each N x D or N x T x D.

    Args:
        cells: Its recurrences.
        stage: One of `STAGES`.
        inputs: Vectors that it reads, T x N x E.
        h0: States that it was given, N x H.
        results: Its results.
        values: What it computed, N x H each; given where its results are no affine function of states. The last states
            must be among them.
    """
    wanted = [goal.flatten(1) for result in results for goal in goals(result)]
    known = torch.stack(list(values)) if values else None
    for start, layout, more in _beginnings(cells, stage, h0):
        for attempt in attempts(layout.first, stage):
            constants = attempt.constants.expand(4, layout.first.h[0].value.shape[0])
            made = states(attempt.member, layout, attempt.own, attempt.signs, inputs, start,
                          {id(cell): constants for cell in cells})[-1]
            if known is not None:
                fits = torch.ones(len(attempt.own), dtype=torch.bool)
                for way in made:
                    last = way[:, None, :, -1]
                    near = (last[:, :, 0] - known[:, 0]).abs().amax(-1) < NEAR
                    for one in near.any(1).nonzero().flatten().tolist():
                        near[one] &= (last[one] - known).abs().amax((-1, -2)) < NEAR
                    fits &= near.any(1)
                if bool(fits.any()):
                    return _found(attempt, replace(layout, findings=(*more, *layout.findings)),
                                  int(fits.nonzero()[0]), start)
                continue
            for goal in wanted:
                near = (distance(goal, features(made)) < NEAR).nonzero().flatten()
                if near.numel():
                    return _found(attempt, replace(layout, findings=(*more, *layout.findings)), int(near[0]), start)
    return None


def _beginnings(
    cells: Sequence[Cell], stage: str, h0: Tensor | None
) -> Iterator[tuple[Sequence[Tensor | None], Layout, tuple[Finding, ...]]]:
    """Yield first states and layouts that a stage tries."""
    every = list(layouts(cells))
    fine = [layout for layout in every if not layout.findings][:1]
    depth = max(len(layout.layers) for layout in every)
    yield from (([h0], layout, ()) for layout in (every if stage == "right" else fine))
    if stage == "right" and h0 is not None:
        yield from (([None], layout, (Finding("initial-state", "The state that it is given is ignored."),))
                    for layout in fine)
    if stage == "right" and h0 is None:
        ones = torch.ones(1, cells[0].h[0].value.shape[0])
        says = (Finding("initial-state", "The state before the first step is ones.", quantity="ones"),)
        for layout in fine:
            yield [ones], layout, says
            if depth > 1:
                yield from (([ones if k == layer else None for k in range(depth)], layout, says)
                            for layer in range(depth))


def inner(found: Found, inputs: Tensor, h: Tensor | None) -> Mapping[str, Tensor]:
    """Return the quantities of a step, N x H each: the second of a layer, where the state is not zero.

    `inputs` is T x N x E, of a cell 1 x N x E.
    """
    (cell, backwards), *_ = found.layout.layers[0]
    u = cell.matrices(found.own[:, 3:]) * found.signs[:, 3:, None, None]
    first = h if h is not None else found.start[0]
    state = torch.zeros(inputs.shape[1], u.shape[-1]) if first is None else first.expand(inputs.shape[1], -1)
    for x in (inputs.flip(0) if backwards else inputs)[:2]:
        begin = state
        made = {name: value.expand(1, *begin.shape)[0]
                for name, value in found.member.step(
                    chosen(cell.products(x)[None], found.own, found.signs), u, found.bias(cell), begin).items()}
        state = made["new"] if found.layout.carried else begin
    return made | {"x": x, "h": begin, "ones": torch.ones_like(begin), "z h": made["z"] * begin}
