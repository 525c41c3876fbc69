"""How an unknown recurrent object is called: a cell or a layer, the order of axes, token ids, a first state.

The object may be a module or a function. `forms` yields the ways to call it that its arguments and parameters allow,
likely ones first; who tries them finds out which one it takes.

Shapes here: x is T x B x E and h is B x H, whatever the object's own layout is.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

_LENGTHS = re.compile(r"len|seq_?l|sizes")
_MASK = re.compile(r"mask|^pad")
_STATE = re.compile(r"^h|hid|stat|prev|init|^s$|^s_|last|memory")

_BY_NAME = (
    ("L", r"^(num_|n_)?layers?(_num)?$|^n_?layers?$|^depth$|^num_?l$"),
    ("V", r"vocab|chars|n_?words|num_?emb|n_?tokens|dict"),
    ("C", r"(?<!drop)out|class|label|target|tag|categor|^c$|^k$|^o$|_y$|^y_?"),
    ("H", r"hid|^h$|^nh$|_h$|units|state|^h_?dim|^n_?h$|rnn_?size|^d_?h$"),
    ("E", r"inp|emb|^e$|^in$|^in_|feat|^n_?in|^x_?|_x$|_in$|^d_?x$|^d_?in|^i$|^d$|word|vec|d_?model"),
    ("B", r"batch_?size|^bs$|^b$"),
    ("T", r"len|steps|^t$"),
)
_USUAL = ((r"bidir|batch_first|^bi$", False), (r"^bias$", True), (r"drop|^p$", 0.0), (r"device", "cpu"))
"""Values of other arguments that a constructor requires, by their names."""
_A_SIZE = re.compile(
    r"[a-z]\d?|\w*(size|sz|dim|dims|width|units|features|channels)|(n|nb|num|d|dim|size)_?\w{1,3}|\w+_(n|d)|d_\w+")


@dataclass(frozen=True)
class Form:
    """One way to call the object."""

    kind: str
    """cell or layer."""
    layout: str
    """Axes of the input: of a cell BE, E or E1; of a layer BTE, TBE or TE; of token ids BT, TB or T."""
    batch: int
    """Sequences of a call."""
    width: int
    """E."""
    hidden: int = 0
    """H. 0: not known yet."""
    state: str = ""
    """Axes of the state that is passed, such as BH, 1BH, H. Empty: none is passed."""
    swapped: bool = False
    """Whether the state comes before the input."""
    tokens: bool = False
    vocabulary: int = 0
    """Number of token ids, where `tokens` is set."""
    fixed: bool = False
    """Whether a call takes this number of sequences alone."""

    @property
    def words(self) -> str:
        """Return the form in words."""
        if self.kind == "cell":
            return "a cell, forward(h, x)" if self.swapped else "a cell, forward(x, h)"
        axes = {"BTE": "batch first", "TBE": "time first", "TE": "one sequence at a time",
                "BT": "token ids, batch first", "TB": "token ids, time first", "T": "token ids, one sequence at a time"}
        return f"a layer, forward({'x, h0' if self.state else 'x'}), {axes[self.layout]}"


@dataclass(frozen=True)
class Argument:
    """One argument of the object's forward."""

    name: str
    role: str
    """x, state, lengths, mask or other."""
    required: bool


def arguments(built: Any) -> list[Argument]:
    """Return the arguments of a call with their roles."""
    function = built.forward if isinstance(built, nn.Module) else built
    try:
        parameters = [p for p in inspect.signature(function).parameters.values()
                      if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    except (TypeError, ValueError):
        return [Argument("x", "x", True), Argument("h", "state", False)]
    roles = [_role(p.name.lower()) for p in parameters]
    for role in ("x", "state"):
        if role not in roles and "" in roles:
            roles[roles.index("")] = role
    if roles and "x" not in roles:
        roles[0] = "x"
    return [Argument(p.name, role or "other", p.default is p.empty)
            for p, role in zip(parameters, roles, strict=True)]


def _role(name: str) -> str:
    """Return the role of an argument of this name. Empty: the name does not tell."""
    if _LENGTHS.search(name) and not name.startswith("h"):
        return "lengths"
    return "mask" if _MASK.search(name) else "state" if _STATE.search(name) else ""


def bound(
    taken: Sequence[Argument], form: Form, x: Tensor, h: Tensor | None = None, *, lengths: Sequence[int] | None = None,
    mask: Tensor | None = None,
) -> tuple[list[Any], dict[str, Any]]:
    """Return the positional and the named arguments of a call.

    Args:
        taken: Arguments that the object takes.
        form: How it is called.
        x: Input, T x B x E; of a cell B x E. With token ids: ids, T x B.
        h: State, B x H.
        lengths: Lengths of the sequences. By default all are T.
        mask: T x B, true inside. By default true everywhere.
    """
    steps = x.shape[0]
    given: dict[str, Any] = {"x": arranged(x, form).clone(memory_format=torch.contiguous_format)}  # calls may change it
    if form.state and h is not None:
        given["state"] = _state_arranged(h, form.state).clone()
    if any(a.role == "lengths" and (a.required or lengths is not None) for a in taken):
        given["lengths"] = torch.tensor(lengths or [steps] * form.batch)
    if any(a.role == "mask" and (a.required or mask is not None) for a in taken):
        inside = torch.ones(steps, form.batch, dtype=torch.bool) if mask is None else mask
        given["mask"] = inside.T if form.layout.startswith("BT") else inside
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for argument in taken:
        if argument.role in given:
            value = given.pop(argument.role)
            if named or len(positional) < taken.index(argument):
                named[argument.name] = value
            else:
                positional.append(value)
    if "state" in given:
        positional.append(given["state"])
    return positional, named


def flat(result: Any) -> list[Tensor]:
    """Return all floating tensors of a result, however nested."""
    if isinstance(result, Tensor):
        return [result] if result.is_floating_point() else []
    if isinstance(result, Mapping):
        result = list(result.values())
    if isinstance(result, (tuple, list)):
        if (isinstance(result, list) and len(result) > 1 and all(isinstance(item, Tensor) for item in result)
                and len({item.shape for item in result}) == 1):
            return [torch.stack(result)]
        return [tensor for item in result for tensor in flat(item)]
    return []


def arranged(x: Tensor, form: Form) -> Tensor:
    """Return an input in the layout of a form."""
    match form.layout:
        case "BTE" | "BT":
            return x.transpose(0, 1)
        case "TE" | "T" | "E":
            return x[:, 0] if form.layout != "E" else x[0]
        case "E1":
            return x[0][:, None]
    return x


def _state_arranged(h: Tensor, layout: str) -> Tensor:
    match layout:
        case "H":
            return h[0]
        case "H1":
            return h[0][:, None]
        case "BH":
            return h
    return h.expand(int(layout[0]), *h.shape)  # 1BH, 2BH


def _widths(built: Any, sizes: Mapping[str, int]) -> tuple[list[int], list[int]]:
    """Return the input widths and hidden widths that may be meant, likely ones first. `sizes` holds E and H where they
    are known."""
    shapes = [tuple(d for d in p.shape if d > 1) for p in weights_of(built).values()]
    dims = {d for shape in shapes for d in shape}
    square = [s[0] for s in shapes if len(s) == 2 and s[0] == s[1]]
    fused = [min(s) for s in shapes if len(s) == 2 and max(s) % min(s) == 0 and max(s) // min(s) in (2, 3)]
    vectors = [d for s in shapes if len(s) == 1 for d in s]
    hidden = list(dict.fromkeys([*([sizes["H"]] if "H" in sizes else []), *square, *fused,
                                 *sorted(vectors), *sorted(dims)]))
    hidden = [h for h in hidden if h >= 1][:8]
    inputs: list[int] = [sizes["E"]] if "E" in sizes else []
    inputs += [s[1] if s[0] % h == 0 else s[0] for s in shapes if len(s) == 2 for h in hidden[:2]
               if s[0] % h == 0 or s[1] % h == 0]
    inputs += sorted(dims)
    inputs += [d - h for d in sorted(dims) for h in hidden[:2] if d > h]
    return list(dict.fromkeys(inputs))[:14], hidden


def forms(built: Any, sizes: Mapping[str, int]) -> Iterator[Form]:
    """Yield the ways in which an object may be called, likely ones first. `sizes` holds E and H where they are
    known."""
    inputs, hidden = _widths(built, sizes)
    taken = arguments(built)
    has_state = any(a.role == "state" for a in taken)
    needs_state = any(a.role == "state" and a.required for a in taken)
    swapped = bool(taken) and taken[0].role == "state"

    def layers(layouts: str, width: int, states: str, vocabulary: int = 0) -> Iterator[Form]:
        for layout in layouts.split():
            form = Form("layer", layout[1:], int(layout[0]), width, tokens=vocabulary > 0, vocabulary=vocabulary)
            if not needs_state:
                yield form
            else:
                yield from (replace(form, hidden=h, state=state) for h in hidden for state in states.split())

    def cells(axes: Sequence[tuple[int, str, str]]) -> Iterator[Form]:
        for (batch, layout, state), width, h in itertools.product(axes if has_state else (), inputs, hidden):
            yield Form("cell", layout, batch, width, h, state, swapped)

    for table in [part for part in built.modules() if isinstance(part, nn.Embedding)][:1] if isinstance(
            built, nn.Module) else ():
        yield from layers("2BT 2TB 1T 1BT 1TB", table.embedding_dim, "1BH BH 2BH H", table.num_embeddings)
    yield from cells([(2, "BE", "BH")])
    for width in inputs:
        yield from layers("2BTE 2TBE 1TE 1BTE 1TBE", width, "1BH BH 2BH H")
    # With one sequence, a layer of one step looks like a cell. So these come last.
    yield from cells([(1, "BE", "BH"), (1, "E", "H"), (1, "E1", "H1")])


def weights_of(built: Any) -> dict[str, Tensor]:
    """Return the parameters of an object and of its parts by their names, and the matrices that it holds otherwise."""
    if not isinstance(built, nn.Module):
        return {key: value for key, value in vars(built).items() if isinstance(value, Tensor)
                and value.is_floating_point()} if hasattr(built, "__dict__") else {}
    found: dict[str, Tensor] = dict(built.named_parameters())
    for prefix, part in _parts(built):
        for key, value in vars(part).items():
            for place, one in enumerate(value) if isinstance(value, (list, tuple)) else [("", value)]:
                if isinstance(one, Tensor) and one.is_floating_point() and one.is_leaf:
                    found[f"{prefix}{key}{place}"] = one
        found |= {f"{prefix}{key}": value for key, value in part.named_parameters()}
    once: dict[int, tuple[str, Tensor]] = {}
    for key, one in found.items():
        once.setdefault(id(one), (key, one))
    return dict(once.values())


def _parts(built: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield a module and its parts with the beginnings of their names, those in a plain list or dictionary too."""
    yield prefix, built
    for key, value in (*built.named_children(), *vars(built).items()):
        held = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else (
            [("", value)])
        if key in ("_modules", "_parameters", "_buffers"):
            continue
        for place, one in held:
            if isinstance(one, nn.Module):
                yield from _parts(one, f"{prefix}{key}.{place}{'.' if place != '' else ''}")


# ---------------------------------------------------------------- how it is built


def constructor(target: Any) -> list[inspect.Parameter]:
    """Return the parameters of a constructor or function. What hands all of its own on to torch.nn.GRU, LSTM or RNN has
    those of a cell."""
    try:
        named = [p for p in inspect.signature(target).parameters.values()
                 if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    except (TypeError, ValueError):
        return []
    is_torchs = isinstance(target, type) and issubclass(target, nn.RNNBase)
    return constructor(nn.GRUCell) if is_torchs and not named else named


def size_of(name: str) -> str | None:
    """Return the letter of the size that a parameter of this name takes, or None."""
    return next((letter for letter, pattern in _BY_NAME if re.search(pattern, name.lower())), None)


def letters_of(parameters: Sequence[inspect.Parameter]) -> dict[str, str]:
    """Return parameter -> the letter of its size. Where names say nothing the order does: input, hidden, classes.

    A default is the value of a size only if it is an integer.
    """
    letters = {p.name: letter for p in parameters
               if (p.default is p.empty or type(p.default) is int) and (letter := size_of(p.name)) is not None}
    for p in parameters:
        left = [letter for letter in "EHC" if letter not in letters.values()]
        if p.default is p.empty and p.name not in letters and left and _A_SIZE.fullmatch(p.name.lower()):
            letters[p.name] = left[0]
    required = [p.name for p in parameters if p.default is p.empty]
    return letters | (dict(zip(required, "EH", strict=True)) if len(required) == 2 and not letters else {})


def arguments_of(
    target: Any, sizes: Mapping[str, int], space: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, int], list[str]]:
    """Return the arguments of a constructor, then the sizes among them, and the names of those that cannot be guessed.

    Args:
        target: The class or function.
        sizes: Size -> value, by the letters of `size_of`.
        space: The names of its module, among which a dataclass of settings may be.
    """
    arguments: dict[str, Any] = {}
    used: dict[str, int] = {}
    guessed: list[str] = []
    letters = letters_of(constructor(target))
    for parameter in constructor(target):
        name, lower, required = parameter.name, parameter.name.lower(), parameter.default is parameter.empty
        letter = letters.get(name)
        usual = [value for pattern, value in _USUAL if required and re.search(pattern, lower)]
        if usual:
            arguments[name] = usual[0]
        elif required and re.search(r"weight|vectors|matrix|embeddings$", lower) and "size" not in lower:
            arguments[name], used["E"] = torch.randn(sizes["V"], sizes["E"]), sizes["E"]
        elif letter is not None and (required or letter in ("E", "H")):
            arguments[name] = used[letter] = sizes[letter]
        elif required and (config := _config(space, sizes)) is not None:
            arguments[name], known = config
            used |= known
        elif required:
            guessed.append(name)
    return arguments, used, guessed


def _config(space: Mapping[str, Any], sizes: Mapping[str, int]) -> tuple[Any, dict[str, int]] | None:
    """Return an object of the one dataclass of a module whose fields all have defaults, with small sizes, and these."""
    found = [value for value in space.values() if isinstance(value, type) and is_dataclass(value)
             and value.__module__ == space.get("__name__")
             and all(one.default is not MISSING or one.default_factory is not MISSING for one in fields(value))]
    if len(found) != 1:
        return None
    letters = {one.name: letter for one in fields(found[0])
               if type(one.default) is int and (letter := size_of(one.name)) in ("E", "H", "V")}
    return (found[0](**{name: sizes[letter] for name, letter in letters.items()}),
            {letter: sizes[letter] for letter in letters.values()})
