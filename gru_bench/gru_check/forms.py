"""How an unknown recurrent object is called: a cell or a layer, the order of axes, token ids, a first state.

The object may be a module or a function. `forms` yields the ways to call it that its arguments and parameters allow,
likely ones first; who tries them finds out which one it takes.

Shapes here: x is T x B x E and h is B x H, whatever the object's own layout is.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_LENGTHS = re.compile(r"len|seq_?l|sizes")
_MASK = re.compile(r"mask|^pad")
_STATE = re.compile(r"^h|hid|stat|prev|init|^s$|^s_|last|memory")


@dataclass(frozen=True)
class Form:
    """One way to call the object."""

    kind: str
    """cell or layer."""
    layout: str
    """Axes of the input, such as BTE, or TB of token ids; 1 for an axis of one. What is missing has one."""
    batch: int
    """Sequences of a call."""
    width: int
    """E."""
    hidden: int = 0
    """H. 0: not known yet."""
    state: str = ""
    """Axes of the state that is passed, such as BH or 2BH. Empty: none is passed."""
    vocabulary: int = 0
    """Number of token ids. 0: it does not read any."""

    @property
    def words(self) -> str:
        """Return the form in words."""
        if self.kind == "cell":
            return "a cell, forward(x, h)"
        order = ("one sequence at a time" if "B" not in self.layout else
                 "batch first" if self.layout[0] == "B" else "time first")
        return f"a layer, forward({'x, h0' if self.state else 'x'}), {'token ids, ' if self.vocabulary else ''}{order}"


def arguments(built: Any) -> dict[str, inspect.Parameter]:
    """Return role -> its first argument of a call: x, state, lengths, mask, or empty for any other."""
    parameters = parameters_of(built.forward if isinstance(built, nn.Module) else built)
    roles = [_role(p.name.lower()) for p in parameters]
    for role in ("x", "state"):
        if role not in roles and "" in roles:
            roles[roles.index("")] = role
    if roles and "x" not in roles:
        roles[0] = "x"
    taken: dict[str, inspect.Parameter] = {}
    for role, parameter in zip(roles, parameters, strict=True):
        taken.setdefault(role, parameter)
    return taken


def parameters_of(function: Any) -> list[inspect.Parameter]:
    """Return the parameters of a function or class that have names."""
    return [parameter for parameter in inspect.signature(function).parameters.values()
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)]


def is_required(parameter: inspect.Parameter) -> bool:
    """Return whether a parameter has no default."""
    return parameter.default is parameter.empty


def _role(name: str) -> str:
    """Return the role of an argument of this name. Empty: the name does not tell."""
    if _LENGTHS.search(name) and not name.startswith("h"):
        return "lengths"
    return "mask" if _MASK.search(name) else "state" if _STATE.search(name) else ""


def bound(
    taken: Mapping[str, inspect.Parameter], form: Form, x: Tensor, h: Tensor | None = None,
    lengths: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Return the arguments of a call by their names.

    Args:
        taken: Role -> argument that the object takes.
        form: How it is called.
        x: Input, T x B x E; of a cell B x E. With token ids: ids, T x B.
        h: State, B x H.
        lengths: Lengths of the sequences. By default all are T, where the object needs them.
    """
    axes = "BE" if form.kind == "cell" else "TB" if form.vocabulary else "TBE"
    given = {"x": _arranged(x, axes, form.layout)}
    if form.state and h is not None:
        given["state"] = _arranged(h, "BH", form.state)
    if lengths or ("lengths" in taken and is_required(taken["lengths"])):
        given["lengths"] = torch.tensor(lengths or [len(x)] * form.batch)
    return {parameter.name: given[role] for role, parameter in taken.items() if role in given}


def _arranged(value: Tensor, axes: str, layout: str) -> Tensor:
    """Return a copy of what has these axes in another layout, where a digit is an axis of so many alike."""
    missing = [place for place, axis in enumerate(axes) if axis not in layout]
    value = value.permute(*missing, *(axes.index(axis) for axis in layout if axis in axes))[(0,) * len(missing)]
    for place, axis in enumerate(layout):
        if axis.isdigit():
            value = value.unsqueeze(place).repeat_interleave(int(axis), place)
    return value.clone(memory_format=torch.contiguous_format)  # calls may change it


def forms(built: Any, sizes: Mapping[str, int], batch: int | None) -> Iterator[Form]:
    """Yield the ways in which an object may be called, likely ones first.

    Args:
        built: The object.
        sizes: E and H, where they are known.
        batch: Sequences of a call. None: one, which has no axis of its own.
    """
    inputs, hidden = _widths(built, sizes)
    taken = arguments(built)

    def layers(layouts: str, width: int, vocabulary: int = 0) -> Iterator[Form]:
        for layout in layouts.split():
            if "state" in taken and is_required(taken["state"]):
                yield from (Form("layer", layout, batch or 1, width, h, state, vocabulary)
                            for h in hidden for state in ("1BH BH 2BH" if batch else "11H 1H 21H H").split())
            else:
                yield Form("layer", layout, batch or 1, width, vocabulary=vocabulary)

    cells = [Form("cell", x, batch or 1, width, h, state)
             for x, state in ((("BE", "BH"),) if batch else (("E", "H"), ("E1", "H1")))
             for width in inputs for h in hidden if "state" in taken]
    for table in [part for part in built.modules() if isinstance(part, nn.Embedding)][:1] if isinstance(
            built, nn.Module) else ():
        yield from layers("BT TB" if batch else "T T1", table.embedding_dim, table.num_embeddings)
    # With one sequence, a layer of one step looks like a cell. So cells come last there.
    yield from cells if batch else ()
    for width in inputs:
        yield from layers("BTE TBE" if batch else "TE T1E", width)
    yield from () if batch else cells


def _widths(built: Any, sizes: Mapping[str, int]) -> tuple[list[int], list[int]]:
    """Return the input widths and hidden widths that may be meant, likely ones first. `sizes` holds E and H where they
    are known."""
    shapes = [p.squeeze().shape for p in weights_of(built).values()]
    dims = sorted({d for shape in shapes for d in shape})
    matrices = [sorted(shape) for shape in shapes if len(shape) == 2]
    gates = [low for low, high in matrices if high in (low, 2 * low, 3 * low)]
    hidden = list(dict.fromkeys([*([sizes["H"]] if "H" in sizes else []), *gates, *dims]))[:8]
    inputs = [*([sizes["E"]] if "E" in sizes else []), *dims, *(d - h for d in dims for h in hidden[:2] if d > h)]
    return list(dict.fromkeys(inputs))[:14], hidden


def weights_of(built: Any) -> dict[str, Tensor]:
    """Return the parameters of an object and of its parts by their names, and the matrices that it holds otherwise."""
    return dict(_weights("", built if isinstance(built, nn.Module) else getattr(built, "__dict__", {}), set()))


def _weights(name: str, value: Any, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors that an object holds, in modules, lists and dictionaries too, each once."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Tensor) and value.is_floating_point() and value.is_leaf:
        yield name, value
    held = (vars(value) if isinstance(value, nn.Module) else value if isinstance(value, dict) else
            dict(enumerate(value)) if isinstance(value, (list, tuple)) else {})
    for key, one in held.items():
        if key != "_buffers":
            yield from _weights(name if key in ("_parameters", "_modules") else f"{name}.{key}", one, seen)
