"""The weights of a student's object, cut by their shapes into what each gate may use: matrices and biases.

Shapes: `E` input width, `H` hidden width.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

_BOTH = 6
"""So many matrices of one kind or more are those of two recurrences."""


@dataclass(frozen=True, eq=False)
class Block:
    """A part of a tensor: a matrix of H rows, or a bias of H numbers."""

    tensor: Tensor
    number: int
    """How many such parts of the tensor come before."""
    value: Tensor
    """A view of the part, by which it is changed too."""


@dataclass
class Cell:
    """The weights of one recurrence."""

    x: list[Block] = field(default_factory=list)
    """Matrices of the input, H x E."""
    h: list[Block] = field(default_factory=list)
    """Matrices of the state, H x H."""
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    """Name of a square matrix -> x or h."""

    @property
    def width(self) -> int:
        """Return the width of its input."""
        return self.x[0].value.shape[-1]

    @property
    def hidden(self) -> int:
        """Return the width of its state."""
        return self.h[0].value.shape[0]

    def matrices(self, own: Tensor) -> tuple[Tensor, Tensor]:
        """Return the matrices that assignments choose, of the input, A x 3 x H x E, and of the state, A x (3 or 4) x H
        x H.

        Args:
            own: Numbers of those for r, z and n, of the input first, A x 6 or 7. -1: zeros.
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


def cut(tensors: Mapping[str, Tensor], how: Cutting, like: Cell | None = None) -> Cell:
    """Return the matrices of a cell. `like` is one with the same layout, which says what square matrices are."""
    cell = Cell(tensors=tensors)
    width, hidden = how.width, how.hidden
    same = like is not None and len(like.tensors) == len(tensors)
    for place, (name, tensor) in enumerate(tensors.items()):
        shape = tuple(d for d in tensor.shape if d > 1)
        if len(shape) not in (2, 3):
            continue
        for rows in (how.rows, not how.rows):
            high, wide = shape[-2:] if rows else (shape[-1], shape[-2])
            kinds = _sides(how, wide)
            if width == hidden and wide == hidden:
                known = like.kinds if like is not None else {}
                own = list(like.tensors)[place] if same and like is not None else name
                kinds = [(known.get(own) or known.get(name) or _by_name(name), 0, hidden)]
            if not kinds or high % hidden or (len(shape) == 3 and high != hidden):
                continue
            whole = tensor.detach().reshape(shape)
            whole = whole if rows else whole.mT
            for number, part in enumerate(whole if len(shape) == 3 else whole.split(hidden)):
                for kind, low, end in kinds:
                    blocks = cell.x if kind == "x" else cell.h
                    blocks.append(Block(tensor, number, part[:, low:end]))
                    cell.kinds[name] = kind
            break
    return cell


def _sides(how: Cutting, wide: int) -> list[tuple[str, int, int]]:
    """Return which columns of a matrix are for the input and which for the state."""
    width, hidden = how.width, how.hidden
    if wide == width:
        return [("x", 0, width)]
    if wide == hidden:
        return [("h", 0, hidden)]
    if wide == width + hidden:
        return ([("h", 0, hidden), ("x", hidden, width + hidden)] if how.state_first
                else [("x", 0, width), ("h", width, width + hidden)])
    return []


def _by_name(name: str) -> str:
    """Return what a square matrix is for where input and state have the same width."""
    return "h" if re.search(r"hh|h2h|(^|[._])u|rec|hid|state|(^|[._w])h", name.lower().removesuffix(".weight")) else "x"


def biases(tensors: Mapping[str, Tensor], how: Cutting) -> list[Block]:
    """Return all parts of tensors that may be the bias of a gate or a first state."""
    found: list[Block] = []
    width, hidden = how.width, how.hidden
    for name, tensor in tensors.items():
        shape = [d for d in tensor.shape if d > 1]
        # A matrix with one row, or with few, may be that of a head.
        is_bias = tensor.dim() != 2 or re.match(r"b|h|init|start|state", name.rpartition(".")[2].lower()) is not None
        if is_bias and tensor.numel() % hidden == 0 and (len(shape) == 1 or (
                len(shape) == 2 and shape[1] == hidden and shape[0] not in (width, hidden))):
            found += [Block(tensor, k, part) for k, part in enumerate(tensor.detach().reshape(-1, hidden))]
    return found


def cells(weights: Mapping[str, Tensor], how: Cutting) -> Iterator[list[Cell]]:
    """Yield ways to take the weights of an object apart into recurrences."""
    groups: list[dict[str, Tensor]] = []
    for prefix in sorted({name[:dot.end()] for name in weights for dot in re.finditer(r"\.|^", name)},
                         key=lambda own: -own.count(".")):
        own = {name.removeprefix(prefix): one for name, one in weights.items() if name.startswith(prefix)}
        taken = {id(one) for group in groups for one in group.values()}
        if len(own) > 2 and _is_cell(own, how) and not any(id(one) in taken for one in own.values()):
            groups.append(own)
    order = {id(one): place for place, one in enumerate(weights.values())}
    groups.sort(key=lambda group: min(order[id(one)] for one in group.values()))
    if not groups and _is_cell(dict(weights), how):
        groups = [dict(weights)]
    if not groups:
        return
    ways = list(_splits(groups[0], how)) if len(groups) == 1 else [
        [part for group in groups for part in next(_splits(group, how))]]
    for number, parts in enumerate(ways):
        first = cut(parts[0], how)
        if first.x and first.h:
            made = [first, *(_above(part, how, first) for part in parts[1:])]
            if all(cell.x and cell.h for cell in made):
                yield made
                if not number and max(len(first.x), len(first.h)) < _BOTH:
                    return


def _above(tensors: Mapping[str, Tensor], how: Cutting, first: Cell) -> Cell:
    """Return a cell beside the first, or above it."""
    for width in (how.width, how.hidden, 2 * how.hidden):
        cell = cut(tensors, replace(how, width=width), first)
        if len(cell.x) == len(first.x) and len(cell.h) == len(first.h):
            return cell
    return Cell()


def _is_cell(tensors: Mapping[str, Tensor], how: Cutting) -> bool:
    """Return whether there are matrices for two gates, at whatever height of a stack."""
    for width in (how.width, how.hidden, 2 * how.hidden):
        cell = cut(tensors, replace(how, width=width))
        if len(cell.x) + len(cell.h) > 4 or (width != how.hidden and len(cell.x) > 1 and cell.h):
            return True
    return False


def _splits(tensors: dict[str, Tensor], how: Cutting) -> Iterator[list[dict[str, Tensor]]]:
    """Yield ways to share tensors among recurrences: by the endings that torch gives to layers and directions, or all
    together; the matrices in halves."""
    endings = list(dict.fromkeys(re.findall(r"_l\d+(?:_reverse)?\b", " ".join(tensors))))
    yield [{name.removesuffix(end): one for name, one in tensors.items() if name.endswith(end)}
           for end in endings] if len(endings) > 1 else [tensors]
    matrices = [(name, one) for name, one in tensors.items() if any(
        cell.x or cell.h for width in (how.width, how.hidden, 2 * how.hidden)
        for cell in [cut({name: one}, replace(how, width=width))])]
    if len(matrices) % 2 == 0:
        half = len(matrices) // 2
        yield [dict(matrices[:half]), dict(matrices[half:])]
