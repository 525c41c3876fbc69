"""The weights of a student's object, cut by their shapes into what each gate may use: matrices and biases.

Shapes: `E` input width, `H` hidden width.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Block:
    """A part of a tensor: a matrix of H rows, or a bias of H numbers."""

    tensor: Tensor
    number: int
    """How many such parts of the tensor come before."""
    value: Tensor
    """A view of the part, by which it is changed too."""


@dataclass(frozen=True, eq=False)
class Cell:
    """The matrices of one recurrence."""

    x: Sequence[Block]
    """Matrices of the input, H x E."""
    h: Sequence[Block]
    """Matrices of the state, H x H."""
    kinds: Sequence[str]
    """What each of its tensors is for: x, h, or xh for both."""
    width: int
    """Width of its input."""
    hidden: int
    """Width of its state."""

    def matrices(self, own: Tensor) -> tuple[Tensor, Tensor]:
        """Return the matrices that assignments choose, of the input, A x 3 x H x E, and of the state, A x 3 x H x H.

        Args:
            own: Numbers of those for r, z and n, of the input first, A x 6. -1: zeros.
        """
        def chosen(blocks: Sequence[Block], own: Tensor) -> Tensor:
            every = torch.stack([block.value for block in blocks])
            return torch.cat([every, torch.zeros_like(every[:1])])[own]

        return chosen(self.x, own[:, :3]), chosen(self.h, own[:, 3:])


@dataclass(frozen=True)
class Cutting:
    """How matrices are to be read where their shapes leave it open."""

    width: int
    hidden: int
    rows: bool
    """Whether a square matrix stands before its vector, U h. Otherwise it stands behind it, h U."""
    state_first: bool
    """Whether a matrix for both reads the state before the input."""


def cells(weights: Mapping[str, Tensor], how: Cutting) -> list[Cell]:
    """Return the recurrences of an object. Empty: there is none.

    The first has all matrices up to the third one of the input and the third one of the state, and the others are like
    it. What follows belongs to a head.
    """
    widths = [replace(how, width=width) for width in (how.width, how.hidden, 2 * how.hidden)]
    matrices = [(name, one) for name, one in weights.items() if any(_kind(name, one, own) for own in widths)]
    for size in range(1, len(matrices) + 1):
        first = _cell(matrices[:size], how)
        if min(len(first.x), len(first.h)) >= 3 or (size == len(matrices) and first.x and first.h):
            break
    else:
        return []
    made = [first]
    while part := matrices[len(made) * size:][:size]:
        alike = [cell for own in widths if (cell := _cell(part, own, first.kinds)).kinds == first.kinds
                 and (len(cell.x), len(cell.h)) == (len(first.x), len(first.h))]
        if not alike:
            break
        made.append(alike[0])
    return made


def _cell(named: Sequence[tuple[str, Tensor]], how: Cutting, known: Sequence[str] = ()) -> Cell:
    """Return the matrices of these tensors. `known` is what each is for, as far as its shape leaves that open."""
    x: list[Block] = []
    h: list[Block] = []
    kinds = []
    for place, (name, tensor) in enumerate(named):
        kind = _kind(name, tensor, how, known[place] if known else "")
        kinds.append(kind)
        if not kind:
            continue
        whole = tensor.detach().squeeze()
        whole = whole if _before(whole.shape, how) else whole.mT
        sides = sorted(kind, reverse=not how.state_first)
        widths = [how.width if side == "x" else how.hidden for side in sides]
        for number, part in enumerate(whole if whole.dim() == 3 else whole.split(how.hidden)):
            for side, columns in zip(sides, part.split(widths, -1), strict=True):
                (x if side == "x" else h).append(Block(tensor, number, columns))
    return Cell(x, h, kinds, how.width, how.hidden)


def _before(shape: Sequence[int], how: Cutting) -> bool:
    """Return whether matrices of this shape stand before their vectors."""
    return next((rows for rows in (how.rows, not how.rows) if _wide(shape, how, rows)), how.rows)


def _wide(shape: Sequence[int], how: Cutting, rows: bool) -> int:
    """Return how many numbers a matrix of this shape reads, one or several of H rows. 0: it is none."""
    high, wide = shape[-2:] if rows else (shape[-1], shape[-2])
    fits = high == how.hidden if len(shape) == 3 else high % how.hidden == 0
    return wide if fits and wide in (how.width, how.hidden, how.width + how.hidden) else 0


def _kind(name: str, tensor: Tensor, how: Cutting, known: str = "") -> str:
    """Return what a tensor is for: x, h, or xh for both. Empty: it holds no matrices of a gate."""
    shape = tensor.squeeze().shape
    if len(shape) not in (2, 3) or not (wide := _wide(shape, how, _before(shape, how))):
        return ""
    if wide == how.width + how.hidden:
        return "xh"
    if how.width != how.hidden:
        return "x" if wide == how.width else "h"
    return known if known in ("x", "h") else _by_name(name)


def _by_name(name: str) -> str:
    """Return what a square matrix is for where input and state have the same width."""
    return "h" if re.search(r"hh|h2h|(^|[._])u|rec|hid|state|(^|[._w])h", name.lower().removesuffix(".weight")) else "x"


def biases(weights: Mapping[str, Tensor], how: Cutting) -> list[Block]:
    """Return all parts of tensors that may be the bias of a gate or a first state."""
    found: list[Block] = []
    for name, tensor in weights.items():
        shape = tensor.squeeze().shape
        # A matrix with one row, or with few, may be that of a head.
        is_bias = tensor.dim() != 2 or re.match(r"b|h|init|start|state", name.rpartition(".")[2].lower()) is not None
        if is_bias and tensor.numel() % how.hidden == 0 and (len(shape) == 1 or (
                len(shape) == 2 and shape[1] == how.hidden and shape[0] not in (how.width, how.hidden))):
            found += [Block(tensor, k, part) for k, part in enumerate(tensor.detach().reshape(-1, how.hidden))]
    return found
