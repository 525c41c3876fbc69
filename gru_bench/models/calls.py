"""How an unknown recurrent object is called: a cell or a layer, the order of axes, token ids, a first state.

The object may be a module or a function. `forms` yields the ways to call it that its arguments and parameters allow,
likely ones first; who tries them finds out which one it takes. `find_use` does so for whole batches of vectors.

Shapes here: x is T x B x E and h is B x H, whatever the object's own layout is.
"""

from __future__ import annotations

import inspect
import itertools
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from gru_bench.errors import shown

_LENGTHS = re.compile(r"len|seq_?l|sizes")
_MASK = re.compile(r"mask|^pad")
_STATE = re.compile(r"^h|hid|stat|prev|init|^s$|^s_|last|memory")

_BY_NAME = (
    ("L", r"^(num_|n_)?layers?(_num)?$|^n_?layers?$|^depth$|^num_?l$"),
    ("V", r"vocab|n_?words|num_?emb|n_?tokens|dict"),
    ("C", r"out|class|label|target|tag|categor|^c$|^k$|^o$|_y$|^y_?"),
    ("H", r"hid|^h$|^nh$|_h$|units|state|^h_?dim|^n_?h$|rnn_?size|^d_?h$"),
    ("E", r"inp|emb|^e$|^in$|^in_|feat|^n_?in|^x_?|_x$|_in$|^d_?x$|^d_?in|^i$|^d$|word|vec|d_?model"),
    ("B", r"batch_?size|^bs$|^b$"),
    ("T", r"len|steps|^t$"),
)
_A_SIZE = re.compile(
    r"[a-z]\d?|\w*(size|sz|dim|dims|width|units|features|channels)|(n|nb|num|d|dim|size)_?\w{1,3}|\w+_(n|d)|d_\w+")


@dataclass(frozen=True)
class Form:
    """One way to call the object."""

    kind: str
    """cell or layer."""
    layout: str
    """Axes of the input: of a cell BE, E or E1; of a layer BTE, TBE, TE or TE1; of token ids BT, TB or T."""
    batch: int
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
    result: int = -1
    """Index of the new state among the results of a cell that have its size."""

    @property
    def words(self) -> str:
        """Return the form in words."""
        if self.kind == "cell":
            return "a cell, forward(h, x)" if self.swapped else "a cell, forward(x, h)"
        axes = {"BTE": "batch first", "TBE": "time first", "TE": "one sequence at a time", "TE1": "columns",
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
    found: list[Argument] = []
    for p in parameters:
        name = p.name.lower()
        if _LENGTHS.search(name) and not name.startswith("h"):
            role = "lengths"
        elif _MASK.search(name):
            role = "mask"
        elif _STATE.search(name):
            role = "state"
        elif not any(a.role == "x" for a in found):
            role = "x"
        else:
            role = "other"
        found.append(Argument(p.name, role, p.default is p.empty))
    if not any(a.role == "x" for a in found) and found:
        found[0] = replace(found[0], role="x")
    if not any(a.role == "state" for a in found):
        place = next((i for i, a in enumerate(found) if a.role == "other"), None)
        if place is not None:
            found[place] = replace(found[place], role="state")
    return found


def bound(
    taken: Sequence[Argument], form: Form, x: Tensor, h: Tensor | None = None, *, lengths: Sequence[int] | None = None,
    mask: Tensor | None = None,
) -> tuple[list[Any], dict[str, Any]]:
    """Return the positional and the named arguments of a call.

    Args:
        taken: Arguments that the object takes.
        form: How it is called.
        x: Input, T x B x E; of a cell B x E. With token ids: ids, T x B.
        h: State, B x H, or one for each layer.
        lengths: Lengths of the sequences. By default all are T.
        mask: T x B, true inside. By default true everywhere.
    """
    steps = x.shape[0]
    given: dict[str, Any] = {"x": arranged(x, form).clone()}  # a call may change its arguments
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
        case "TE1":
            return x[:, 0, :, None]
        case "E1":
            return x[0][:, None]
        case "11E":
            return x[None]
    return x


def _state_arranged(h: Tensor, layout: str) -> Tensor:
    match layout:
        case "H":
            return h[0]
        case "H1":
            return h[0][:, None]
        case "BH":
            return h
        case "HB":
            return h.T
        case "B1H":
            return h[:, None]
    layers = int(layout[0])  # 1BH, 2BH, ...
    if h.dim() == 3:
        return h
    return h.expand(layers, *h.shape)


def widths(built: Any, sizes: Mapping[str, int]) -> tuple[list[int], list[int]]:
    """Return the input widths and hidden widths that may be meant, likely ones first. `sizes` holds E and H where they
    are known."""
    shapes = [tuple(d for d in p.shape if d > 1) for p in parameters_of(built)]
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
    inputs += [d - h - 1 for d in sorted(dims) for h in hidden[:2] if d > h + 1]  # with a column for the bias
    return list(dict.fromkeys(inputs))[:14], hidden


def forms(built: Any, sizes: Mapping[str, int]) -> Iterator[Form]:
    """Yield the ways in which an object may be called, likely ones first. `sizes` holds E and H where they are
    known."""
    inputs, hidden = widths(built, sizes)
    taken = arguments(built)
    has_state = any(a.role == "state" for a in taken)
    needs_state = any(a.role == "state" and a.required for a in taken)
    modules = built.modules() if isinstance(built, nn.Module) else ()
    embeddings = [m for m in modules if isinstance(m, nn.Embedding)]
    if embeddings:
        width, vocabulary = embeddings[0].embedding_dim, embeddings[0].num_embeddings
        for batch, layout in ((2, "BT"), (2, "TB"), (1, "T"), (1, "BT"), (1, "TB")):
            yield Form("layer", layout, batch, width, tokens=True, vocabulary=vocabulary)
            if needs_state:
                for h in hidden:
                    for state in ("1BH", "BH", "2BH", "H"):
                        yield Form("layer", layout, batch, width, h, state, tokens=True, vocabulary=vocabulary)
    cells = ((3, "BE", "BH"), (1, "BE", "BH"), (1, "E", "H"), (1, "E1", "H1"), (1, "11E", "1BH"))

    def of_cells(chosen: Sequence[tuple[int, str, str]]) -> Iterator[Form]:
        swapped = taken[0].role == "state"
        for (batch, layout, state), width, h in itertools.product(chosen if has_state else (), inputs, hidden):
            yield Form("cell", layout, batch, width, h, state, swapped)

    yield from of_cells(cells[:1])
    for width in inputs:
        for batch, layout in ((2, "BTE"), (2, "TBE"), (1, "TE"), (1, "BTE"), (1, "TBE"), (1, "TE1")):
            if not needs_state:
                yield Form("layer", layout, batch, width)
            else:
                for h in hidden:
                    for state in ("1BH", "BH", "2BH", "3BH", "B1H", "HB", "H", "H1"):
                        yield Form("layer", layout, batch, width, h, state)
    # With one sequence, a layer of one step looks like a cell. So these come last.
    yield from of_cells(cells[1:])


def sample_input(form: Form, steps: int) -> Tensor:
    """Return an input of a form: T x B x E, of a cell B x E, of token ids T x B."""
    generator = torch.Generator().manual_seed(0)
    if form.tokens:
        return torch.arange(1, steps * form.batch + 1).reshape(steps, form.batch)
    shape = (form.batch, form.width) if form.kind == "cell" else (steps, form.batch, form.width)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def parameters_of(built: Any) -> Sequence[torch.Tensor]:
    """Return the parameters of a module, and the tensors that it holds otherwise."""
    if isinstance(built, nn.Module):
        found: list[torch.Tensor] = [*built.parameters()]
        for part in built.modules():
            found += [value for value in vars(part).values()
                      if isinstance(value, torch.Tensor) and value.is_floating_point()]
        return found
    spaces = [vars(built)] if hasattr(built, "__dict__") and not inspect.isfunction(built) else []
    function = built if inspect.isfunction(built) else inspect.getattr_static(type(built), "__call__", None)
    spaces.append(getattr(function, "__globals__", {}))
    if inspect.isfunction(function):
        spaces.append(dict(inspect.getclosurevars(function).nonlocals))
    return [tensor for space in spaces for value in space.values() for tensor in _held(value)]


def _held(value: Any) -> list[torch.Tensor]:
    """Return the floating tensors that a value is or holds."""
    if isinstance(value, torch.Tensor):
        return [value] if value.is_floating_point() else []
    if isinstance(value, (list, tuple)):
        return [tensor for item in value for tensor in _held(item)]
    return [tensor for item in value.values() for tensor in _held(item)] if type(value) is dict else []


# ---------------------------------------------------------------- how it is built


def constructor(target: Any) -> list[inspect.Parameter]:
    """Return the parameters of a constructor or function."""
    try:
        return [p for p in inspect.signature(target).parameters.values()
                if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    except (TypeError, ValueError):
        return []


def size_of(name: str) -> str | None:
    """Return the letter of the size that a parameter of this name takes, or None."""
    return next((letter for letter, pattern in _BY_NAME if re.search(pattern, name.lower())), None)


def letters_of(parameters: Sequence[inspect.Parameter]) -> dict[str, str]:
    """Return parameter -> the letter of its size. Where names say nothing the order does: input, hidden, classes."""
    letters = {p.name: letter for p in parameters if (letter := size_of(p.name)) is not None}
    for p in parameters:
        left = [letter for letter in "EHC" if letter not in letters.values()]
        if p.default is p.empty and p.name not in letters and left and _A_SIZE.fullmatch(p.name.lower()):
            letters[p.name] = left[0]
    return letters


def arguments_of(
    target: Any, sizes: Mapping[str, int], chosen: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any], dict[str, int], list[str]]:
    """Return the arguments of a constructor: positional ones and named ones, then the sizes among them, and the names
    of those that cannot be guessed.

    Args:
        target: The class or function.
        sizes: Size -> value, by the letters of `size_of`.
        chosen: Arguments to set besides, by name.
    """
    arguments: dict[str, Any] = {}
    positional: list[Any] = []
    used: dict[str, int] = {}
    guessed: list[str] = []
    letters = letters_of(constructor(target))
    for parameter in constructor(target):
        required = parameter.default is parameter.empty
        lower = parameter.name.lower()
        letter = letters.get(parameter.name)
        default = parameter.default
        if parameter.name in chosen:
            value: Any = chosen[parameter.name]
        elif required and re.search(r"bidir|batch_first|^bi$", lower):
            value = False
        elif required and lower == "bias":
            value = True
        elif required and re.search(r"drop|^p$", lower):
            value = 0.0
        elif required and "device" in lower:
            value = "cpu"
        elif required and re.search(r"weight|vectors|matrix|embeddings$", lower) and "size" not in lower:
            value, used["E"] = torch.randn(sizes["V"], sizes["E"]), sizes["E"]
        elif (letter in ("E", "H") and (required or type(default) is int)) or (letter is not None and required):
            value = used[letter] = sizes[letter]
        elif required:
            guessed.append(parameter.name)
            continue
        else:
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY:
            positional.append(value)
        else:
            arguments[parameter.name] = value
    return positional, arguments, used, guessed

# ---------------------------------------------------------------- how it is used


BATCH, STEPS = 3, 7
"""Size of the batch with which a use is tried."""
OTHERS = ((1, 1), (1, 6), (5, 2))
"""Further batches, sequences and steps, that an object must take."""


@dataclass(frozen=True)
class Use:
    """How an object is called with whole batches of vectors, and what it gives."""

    form: Form
    gives: str
    """Axes of what it gives: BTH or TBH for the outputs of all steps, BH for a final state or the next state."""

    @property
    def words(self) -> str:
        """Return it in words."""
        what = {"BTH": "outputs, batch first", "TBH": "outputs, time first"}.get(
            self.gives, "the next state" if self.form.kind == "cell" else "a final state")
        return f"{self.form.words}, that gives {what}"


class NotUsable(Exception):
    """Why an object cannot be used in some way. A later stage of the trial tells more."""

    def __init__(self, stage: int, why: str) -> None:
        """Keep the stage and the reason."""
        super().__init__(why)
        self.stage = stage


def find_use(built: nn.Module, width: int, hidden: int, file: str) -> Use:
    """Return how an object with these widths is called, found by trying.

    Args:
        built: The object, in evaluation.
        width: Its input width, E.
        hidden: Its hidden width, H.
        file: The file of its class, of which the error says a line.

    Raises:
        NotUsable: for one that cannot be used. The error says what came furthest, and all that was tried.
    """
    furthest = NotUsable(0, "it takes no input")
    tried = []
    for form in forms(built, {"E": width, "H": hidden}):
        if (form.layout not in ("BTE", "TBE", "BE") or form.batch == 1 or form.tokens or form.width != width
                or form.hidden not in (0, hidden) or form.state not in ("", "BH", "1BH")):
            continue
        tried.append(form.words)
        try:
            return _use(built, form, hidden)
        except NotUsable as refused:
            furthest = max(furthest, refused, key=lambda one: one.stage)
        except Exception as error:
            failed = NotUsable(1, f"it failed with {said(error, file)}")
            furthest = max(furthest, failed, key=lambda one: one.stage)
    raise NotUsable(furthest.stage, f"{furthest}. Tried: {'; '.join(dict.fromkeys(tried))}")


def _use(built: nn.Module, form: Form, hidden: int) -> Use:
    """Return how an object is used in this form.

    Raises:
        NotUsable: It is not.
    """
    x_BTE = torch.randn(BATCH, STEPS, form.width)
    use = Use(form, "BH")
    if form.kind == "layer":
        found = [tuple(tensor.shape) for tensor in _called(built, use, x_BTE, hidden)]
        axes = {(BATCH, STEPS, hidden): "BTH", (STEPS, BATCH, hidden): "TBH", (BATCH, hidden): "BH",
                (1, BATCH, hidden): "BH"}
        gives = [axes[shape] for shape in found if shape in axes]
        if not gives:
            raise NotUsable(2, f"for {BATCH} sequences of {STEPS} steps and hidden_size {hidden} it gives "
                              f"{' and '.join(map(str, found)) or 'no tensor of floats'}")
        use = Use(form, min(gives, key=("BTH", "TBH", "BH").index))
    given = outputs(built, use, x_BTE, hidden)
    if not given.isfinite().all():
        raise NotUsable(5, "it gives values that are not finite")
    if not torch.equal(outputs(built, use, x_BTE, hidden), given):
        raise NotUsable(6, "it gives other values for the same input again: it keeps a state between calls, or draws "
                           "at random in evaluation")
    first_BTE, late_BTE = x_BTE.clone(), x_BTE.clone()
    first_BTE[0, 0] += 1
    late_BTE[0, -1] += 1
    by_first, by_late = (outputs(built, use, changed, hidden) for changed in (first_BTE, late_BTE))
    if not torch.allclose(by_first[1:], given[1:]):
        raise NotUsable(3, "a sequence changes the outputs of another one")
    if torch.equal(by_first[0], given[0]) or (given.dim() == 3 and torch.equal(by_first[0, -1], given[0, -1])):
        raise NotUsable(4, "its last output does not depend on the first step")
    if given.dim() == 3 and not torch.allclose(by_late[0, :-1], given[0, :-1]):
        raise NotUsable(4, "an output depends on later steps: let it read forwards only; model.bidirectional = true "
                          "reads both ways")
    for batch, steps in OTHERS:
        shape = outputs(built, use, torch.randn(batch, steps, form.width), hidden).shape
        if shape != ((batch, steps, hidden) if given.dim() == 3 else (batch, hidden)):
            raise NotUsable(7, f"for {batch} sequences of {steps} steps it gives the shape {tuple(shape)}")
    torch.autograd.backward(outputs(built, use, x_BTE, hidden).sum())
    if all(p.grad is None or not p.grad.any() for p in built.parameters()):
        raise NotUsable(8, "no gradient reaches its parameters: remove detach(), .data and torch.no_grad()")
    return use


def outputs(part: nn.Module, use: Use, x_BTE: Tensor, hidden: int) -> Tensor:
    """Return what an object computes of a batch: outputs, B x T x H, or a final state, B x H.

    Args:
        part: The object.
        use: How it is called.
        x_BTE: Input.
        hidden: Its hidden width, H.

    Raises:
        NotUsable: for another shape.
    """
    batch, steps = x_BTE.shape[:2]
    if use.form.kind == "cell":
        taken, h_BH, output_T = arguments(part), x_BTE.new_zeros(batch, hidden), []
        for t in range(steps):
            h_BH = _shaped(_called(part, use, x_BTE[:, t], hidden, h_BH, taken), (batch, hidden))
            output_T.append(h_BH)
        return torch.stack(output_T, dim=1)
    found = _called(part, use, x_BTE, hidden)
    if use.gives == "BH":
        return _shaped(found, (batch, hidden))
    if use.gives == "BTH":
        return _shaped(found, (batch, steps, hidden))
    return _shaped(found, (steps, batch, hidden)).transpose(0, 1)


def _shaped(found: list[Tensor], shape: tuple[int, ...]) -> Tensor:
    """Return the first tensor of this shape; a final state may have a first axis of one layer."""
    for tensor in found:
        if tuple(tensor.shape) == shape:
            return tensor
        if len(shape) == 2 and tuple(tensor.shape) == (1, *shape):
            return tensor[0]
    given = " and ".join(str(tuple(tensor.shape)) for tensor in found) or "nothing"
    raise NotUsable(2, f"it gives {given} instead of {shape}")


def _called(
    part: nn.Module, use: Use, x: Tensor, hidden: int, h_BH: Tensor | None = None,
    taken: list[Argument] | None = None,
) -> list[Tensor]:
    """Call an object with x, B x T x E or of a cell B x E, and return all floating tensors that it returns."""
    form = replace(use.form, batch=len(x))
    if form.state and h_BH is None:
        h_BH = x.new_zeros(len(x), hidden)
    positional, named = bound(arguments(part) if taken is None else taken, form,
                              x if form.kind == "cell" else x.transpose(0, 1), h_BH)
    return flat(part(*positional, **named))


def said(error: BaseException, file: str = "") -> str:
    """Return what an error of the user's code says, with the line of its file."""
    frames = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)
              if frame.filename == file or (not file and frame.filename.endswith(".py")
                                            and not frame.filename.startswith(("/", "<")))]
    first = (str(error).strip() or "no message").splitlines()[0]
    return f"{type(error).__name__}: {shown(first, '', 200)}" + (f" (line {frames[-1]})" if frames else "")
