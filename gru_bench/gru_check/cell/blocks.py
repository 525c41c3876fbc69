"""The parameters of a cell, taken apart into the matrices and biases of its gates by how the new state depends on them.

The gradient of the new state with respect to a matrix W in W x is, for one example, an outer product: what reaches the
row (its sensitivity) times the input x. So the factor x, h or 1 tells what a part of a tensor is multiplied by, along
which axis. Parts with the same sensitivity belong to the same sum. No name and no layout is needed.

Shapes: M examples, H hidden width, E input width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from gru_bench.gru_check.states import Step

EXAMPLES = 4
_SAME = 1e-7


@dataclass(frozen=True, eq=False)
class Block:
    """A matrix or bias of one gate, cut out of a parameter."""

    leaf: int
    """Number of the parameter."""
    place: int
    """Number of the gate's block along the stacked axis."""
    source: str
    """What it is multiplied by: x, h, or 1 for a bias."""
    value: Tensor
    """H x E, H x H or H."""
    sense: Tensor
    """M x H: the sensitivity of its rows."""
    vector: Tensor | None = None
    """M x H: the factor, where it is the state after something has acted on it. Its scale is not known."""
    twice: bool = False
    """Whether the same matrix also has a changed state for its factor. Its sensitivity is then not known."""

    @property
    def moved(self) -> bool:
        """Return whether something has acted on the state before the product."""
        return self.vector is not None


Group = Sequence[Block]
"""Blocks whose products are summed: W x + U h + b."""


@dataclass
class Parts:
    """What the parameters of a cell were found to be."""

    groups: Sequence[Group] = ()
    shared: list[Block] = field(default_factory=list)
    """Blocks that stand in two groups."""
    odd: list[int] = field(default_factory=list)
    """Parameters that are none of these."""
    spare: bool = False
    """Whether a gate has matrices that have no effect."""
    x: Tensor = field(default_factory=lambda: torch.zeros(0))
    """M x E: the examples at which sensitivities were taken."""
    h: Tensor = field(default_factory=lambda: torch.zeros(0))
    new: Tensor = field(default_factory=lambda: torch.zeros(0))
    """M x H."""
    weight: Tensor = field(default_factory=lambda: torch.zeros(0))
    """M x H: the weights of the units of h' in the sum whose gradient was taken."""


def examples(step: Step, count: int, seed: int = 3) -> tuple[Tensor, Tensor]:
    """Return random inputs, count x B x E, and states, count x B x H."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, step.batch, step.width, generator=generator, dtype=torch.float64)
    h = torch.rand(count, step.batch, step.hidden, generator=generator, dtype=torch.float64) * 1.8 - 0.9
    return x, h


def outcomes(step: Step) -> tuple[Tensor, Tensor, Tensor]:
    """Return three random inputs and states, and the states that a step makes of them, each 3 x B x E or H."""
    x, h = examples(step, 3, seed=11)
    with torch.no_grad():
        return x, h, torch.stack([step.run(own_x, own_h, False) for own_x, own_h in zip(x, h, strict=True)])


def take_apart(step: Step, leaves: Sequence[Tensor]) -> Parts:
    """Return the blocks of a cell's parameters, grouped."""
    x, h = examples(step, EXAMPLES)
    generator = torch.Generator().manual_seed(5)
    weight = torch.rand(EXAMPLES, step.hidden, generator=generator, dtype=torch.float64) + 0.5
    gradients: list[list[Tensor]] = [[] for _ in leaves]
    news = []
    for m in range(EXAMPLES):
        new = step.run(x[m], h[m], False)
        news.append(new[0].detach())
        got = torch.autograd.grad((weight[m] * new[0]).sum(), leaves, materialize_grads=True
                                  ) if new.requires_grad else map(torch.zeros_like, leaves)
        for own, gradient in zip(gradients, got, strict=True):
            own.append(gradient.detach())
    parts = Parts(x=x[:, 0], h=h[:, 0], new=torch.stack(news), weight=weight)
    blocks: list[Block] = []
    for number, (leaf, own) in enumerate(zip(leaves, gradients, strict=True)):
        gradient = torch.stack(own)
        if float(gradient.abs().max()) == 0:
            continue
        found = _blocks(number, leaf.detach(), gradient, x[:, 0], h[:, 0])
        if found is None:
            parts.odd.append(number)
        else:
            blocks += found
    most = max((float(block.sense.abs().max()) for block in blocks), default=0.0)
    _group(parts, [block for block in blocks if float(block.sense.abs().max()) > 1e-13 * most])
    return parts


def _blocks(number: int, leaf: Tensor, gradient: Tensor, x: Tensor, h: Tensor) -> list[Block] | None:
    """Return the blocks of one parameter; None where it is none of these."""
    shape = [d for d in leaf.shape if d != 1] or [1]
    leaf, gradient = leaf.reshape(shape), gradient.reshape(len(gradient), *shape)
    hidden, width = h.shape[1], x.shape[1]
    if len(shape) == 1:
        return _cut(number, leaf, gradient, hidden)
    best: list[Block] | None = None
    for axis in reversed(range(len(shape))):
        value, last = _stacked(torch.movedim(leaf, axis, -1), torch.movedim(gradient, axis + 1, -1), hidden)
        if value is None or last is None:
            continue
        for pieces in _pieces(shape[axis], width, hidden):
            found = [min((one for turned in (False, True)
                          if (one := _factors(last[:, place], pieces, x, h, turned)) is not None),
                         key=lambda one: sum(vector is not None for _, vector in one), default=None)
                     for place in range(len(value))]
            twice = {place: _twice(number, place, value[place], last[:, place], h) for place, one in enumerate(found)
                     if one is None and len(found) > 1 and pieces[0][0] == "h" and len(pieces) == 1}
            if any(one is None and not twice.get(place) for place, one in enumerate(found)):
                continue
            blocks = [Block(number, place, source, value[place][:, start] if source == "1" else
                            value[place][:, start:stop], sense, vector)
                      for place, one in enumerate(found) if one is not None
                      for (source, start, stop), (sense, vector) in zip(pieces, one, strict=True)]
            blocks += [block for own in twice.values() for block in own]
            # Any outer product fits a factor that is not known. So the axis with the most known factors is the one.
            if best is None or sum(b.moved for b in blocks) < sum(b.moved for b in best):
                best = blocks
    if best is not None:
        return best
    if both := _twice(number, 0, leaf, gradient, h) or _twice(
            number, 0, leaf.transpose(0, 1), gradient.transpose(1, 2), h):
        return both
    return _cut(number, leaf.flatten(0, -2), gradient.flatten(1, -2), hidden)  # a bias that is stacked


def _pieces(size: int, width: int, hidden: int) -> list[list[tuple[str, int, int]]]:
    pieces = []
    if size == hidden:
        pieces.append([("h", 0, hidden)])
    if size == width:
        pieces.append([("x", 0, width)])
    if size == width + hidden:
        pieces.append([("x", 0, width), ("h", width, size)])
        pieces.append([("h", 0, hidden), ("x", hidden, size)])
    if size in (hidden + 1, width + 1, width + hidden + 1):  # a bias that is a column
        ones = ("1", size - 1, size)
        pieces += [[*own, ones] for own in _pieces(size - 1, width, hidden)]
        pieces += [[("1", 0, 1), *((source, start + 1, stop + 1) for source, start, stop in own)]
                   for own in _pieces(size - 1, width, hidden)]
    return pieces


def _stacked(value: Tensor, gradient: Tensor, hidden: int) -> tuple[Tensor | None, Tensor | None]:
    """Return a parameter's values, blocks x H x factor, and gradients, M x blocks x H x factor. The factor is last."""
    rest = list(value.shape[:-1])
    if len(rest) == 2 and rest[0] == hidden and rest[1] % hidden:
        value, gradient, rest = value.transpose(0, 1), gradient.transpose(1, 2), rest[::-1]
    if not rest or rest[-1] % hidden:
        return None, None
    return (value.reshape(-1, hidden, value.shape[-1]),
            gradient.reshape(len(gradient), -1, hidden, gradient.shape[-1]))


def _factors(
    gradient: Tensor, pieces: Sequence[tuple[str, int, int]], x: Tensor, h: Tensor, turned: bool = False
) -> list[tuple[Tensor, Tensor | None]] | None:
    """Return the sensitivity of each piece, and its factor where that is neither x nor h. None: the pieces do not fit.

    Args:
        gradient: Of one block, M x H x factor.
        pieces: Source and range of each piece of the factor.
        x: Inputs, M x E.
        h: States, M x H.
        turned: Whether to begin with the state, whose factor then gives the sensitivity.
    """
    known = {"x": x, "h": h, "1": torch.ones(len(x), 1)}
    scale = float(gradient.abs().max())
    found: dict[str, tuple[Tensor, Tensor | None]] = {}
    for source, start, stop in sorted(pieces, key=lambda piece: (piece[0] == "h") != turned):
        part, own = gradient[..., start:stop], known[source]
        sense = torch.einsum("mrn,mn->mr", part, own) / (own * own).sum(1, keepdim=True)
        if float((part - sense[..., None] * own[:, None]).abs().max()) <= _SAME * scale:
            found[source] = (sense, None)
            continue
        if source == "1" or (source == "x" and x.shape[1] != h.shape[1]):
            return None  # no gate has the width of the input
        if found:
            sense, _ = next(iter(found.values()))
        else:
            pivot = part.abs().amax(1).argmax(1)
            sense = part[torch.arange(len(part)), :, pivot]
        norm = (sense * sense).sum(1, keepdim=True)
        vector = torch.einsum("mrn,mr->mn", part, sense) / torch.where(norm == 0, 1.0, norm)
        if float((part - sense[..., None] * vector[:, None]).abs().max()) > _SAME * scale:
            return None
        ratio = vector / own
        if source == "x" and not bool(((ratio > 0).all(1) | (ratio < 0).all(1)).all()):
            return None  # a gate has one sign, and a factor of unknown sign is rather the state
        found[source] = (sense, vector)
    return [found[source] for source, _, _ in pieces]


def _twice(number: int, place: int, value: Tensor, gradient: Tensor, h: Tensor) -> list[Block]:
    """Return the two blocks of a matrix that is multiplied by the state and by a changed state; none for others.

    The gradient is a sum of two outer products, s h + t v. The part of each row that is not along h gives t and v up to
    a multiple of h in v, which the search does not need.
    """
    if tuple(value.shape) != (h.shape[1], h.shape[1]):
        return []
    along = torch.einsum("mrn,mn->mr", gradient, h) / (h * h).sum(1, keepdim=True)
    rest = gradient - along[..., None] * h[:, None]
    pivot = rest.abs().amax(1).argmax(1)
    sense = rest[torch.arange(len(rest)), :, pivot]
    norm = (sense * sense).sum(1, keepdim=True)
    vector = torch.einsum("mrn,mr->mn", rest, sense) / torch.where(norm == 0, 1.0, norm)
    if float((rest - sense[..., None] * vector[:, None]).abs().max()) > _SAME * float(gradient.abs().max()):
        return []
    return [Block(number, place, "h", value, sense, vector), Block(number, place, "h", value, along, None, True)]


def _cut(number: int, value: Tensor, sense: Tensor, hidden: int) -> list[Block] | None:
    """Return the blocks of a bias."""
    if value.dim() == 2 and value.shape[0] == hidden and value.shape[1] % hidden:
        value, sense = value.T, sense.transpose(1, 2)
    if value.shape[-1] % hidden:
        return None
    value, sense = value.reshape(-1, hidden), sense.reshape(len(sense), -1, hidden)
    return [Block(number, place, "1", own, sense[:, place]) for place, own in enumerate(value)]


# ---------------------------------------------------------------- groups


def _group(parts: Parts, blocks: list[Block]) -> None:
    groups: list[list[Block]] = []
    scale = max((float(block.sense.abs().max()) for block in blocks), default=1.0)

    def same(a: Tensor, b: Tensor) -> bool:
        return float((a - b).abs().max()) <= _SAME * scale

    def is_multiple(a: Tensor, b: Tensor) -> bool:  # such as -1
        ratio = float((a * b).sum() / (b ** 2).sum())
        return same(ratio * b, a) and not same(a, torch.zeros_like(a))

    loose = [block for block in blocks if block.moved and not any(
        other.leaf == block.leaf and not other.moved and not other.twice for other in blocks)]
    for block in blocks:
        if block.twice:
            groups.append([block])
            continue
        if any(block is other for other in loose):
            continue
        home = next((group for alike in (same, is_multiple) for group in groups if alike(block.sense, group[0].sense)),
                    None)
        if home is None:
            groups.append([block])
        else:
            home.append(block)
    groups = [_on_one_scale(group, scale) for group in groups]
    for block in loose:  # its sensitivity is known up to a factor for each example, and its axes may be exchanged
        for candidate in _turned(block):
            home = next((g for g in groups if _parallel(g[0].sense, candidate.sense)), None)
            if home is not None:
                home.append(candidate)
                break
        else:
            groups.append([block])
    for group in [group for group in groups if not {"x", "h"} <= {b.source for b in group} and len(groups) > 2]:
        others = [other for other in groups if other is not group]
        pairs = [(a, b) for i, a in enumerate(others) for b in others[i + 1:]
                 if same(a[0].sense + b[0].sense, group[0].sense)]
        if pairs:
            groups = [[*other, *group] if any(other is one for one in pairs[0]) else other for other in others]
            parts.shared += group
    parts.groups = groups


def _on_one_scale(group: list[Block], scale: float) -> list[Block]:
    """Return blocks whose values hold the numbers by which their products are multiplied.

    The bias is taken for what is not multiplied, or else the matrix of the state.
    """
    if len(group) == 1:
        return group
    anchor = min(group, key=lambda block: "1hx".index(block.source)).sense
    found = []
    for block in group:
        ratio = float((block.sense * anchor).sum() / (anchor ** 2).sum())
        found.append(block if float((block.sense - anchor).abs().max()) <= _SAME * scale else
                     replace(block, value=block.value * ratio, sense=anchor))
    return found


def _parallel(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    dot = (a * b).sum(1) / (b * b).sum(1)
    return float((a - dot[:, None] * b).abs().max()) <= _SAME * float(a.abs().max())


def _turned(block: Block) -> list[Block]:
    """Return a block whose factor is not known, in both orders of its axes."""
    if block.vector is None or block.value.shape[0] != block.value.shape[1]:
        return [block]
    return [block, replace(block, value=block.value.T, sense=block.vector, vector=block.sense)]
