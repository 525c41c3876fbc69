"""How a student's object is called, found by trying: a cell or a layer, the order of axes, token ids, a first state.

Shapes here: x is T x B x E and h is B x H, whatever the student's own layout is.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import itertools
import re
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from gru_bench.errors import RunError
from gru_bench.teach.load import Source, failure, parameters_of, settings_kept
from gru_bench.teach.trace import Recorder

_LENGTHS = re.compile(r"len|seq_?l|sizes")
_MASK = re.compile(r"mask|^pad")
_DICTS = (dict, OrderedDict, defaultdict)
_OWN = {*vars(nn.Module()), "__builtins__", "__annotations__"}
"""Names of what is Python's and torch's own."""
_STATE = re.compile(r"^h|hid|stat|prev|init|^s$|^s_|last|memory")


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
    """One argument of the student's forward."""

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


class Caller:
    """A student's object that can be called again and again from the same condition."""

    def __init__(self, source: Source, nonzero: frozenset[int] = frozenset()) -> None:
        """Put the object into evaluation and float64, and remember all that a call could change.

        Args:
            source: The object.
            nonzero: Keys (id) of the parameters that do not begin as zeros.
        """
        self.source = source
        self.file = str(source.path)
        self.nonzero = nonzero
        self.masks: str | None = None
        """What random masks hold: see `Recorder.masks`."""
        self.masked = False
        """Whether a call drew a random mask."""
        self.calm = True
        """Whether random functions may be replaced by zeros: see `Recorder.calm`."""
        self.built = source.built
        self.arguments = arguments(self.built)
        if isinstance(self.built, nn.Module):
            self.built.eval()
            self.built.double()
        for tensor in parameters_of(self.built):
            if tensor.is_leaf and tensor.dtype in (torch.float32, torch.float16):
                tensor.data = tensor.data.double()
        self.snapshot = self._state()

    def _state(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        spaces: list[dict[str, Any]] = [self.source.module.__dict__]
        if isinstance(self.built, nn.Module):
            for part in self.built.modules():
                spaces += [vars(part), part._buffers]
        elif hasattr(self.built, "__dict__"):
            spaces.append(vars(self.built))
        return [(space, {key: _copied(value) if key not in _OWN else value for key, value in space.items()})
                for space in spaces]

    def remember(self) -> None:
        """Take the present condition, after undoing what calls changed, as the one to go back to."""
        self.restore()
        self.snapshot = self._state()

    def restore(self) -> None:
        """Undo what calls changed besides parameters: kept states."""
        for space, before in self.snapshot:
            for key in [key for key in space if key not in before]:
                del space[key]
            for key, value in before.items():
                if isinstance(value, Tensor) and not value.requires_grad and isinstance(space.get(key), Tensor):
                    kept = space[key]
                    if kept is value or kept.shape != value.shape or not torch.equal(kept, value):
                        space[key] = value if kept is value else _restored(kept, value)
                elif isinstance(value, list) and not isinstance(value, nn.Module):
                    space[key] = list(value)
                elif type(value) in _DICTS and key not in _OWN:
                    space[key] = copy.copy(value)
                elif space.get(key) is not value and not isinstance(value, dict):
                    space[key] = value

    def call(
        self, form: Form, x: Tensor, h: Tensor | None = None, recorder: Recorder | None = None, *,
        fresh: bool = True, lengths: Sequence[int] | None = None, mask: Tensor | None = None,
    ) -> list[Tensor]:
        """Call the object once, and return all tensors that it returns.

        Args:
            form: How it is called.
            x: Input, T x B x E; of a cell B x E. With token ids: ids, T x B.
            h: State, B x H, or one for each layer.
            recorder: What records the call.
            fresh: Whether to undo first what earlier calls changed.
            lengths: Lengths of the sequences. By default all are T.
            mask: T x B, true inside. By default true everywhere.
        """
        if fresh:
            self.restore()
        steps = x.shape[0]
        given: dict[str, Any] = {"x": arranged(x, form).clone()}  # a call may change its arguments
        if form.state and h is not None:
            given["state"] = _state_arranged(h, form.state).clone()
        if any(a.role == "lengths" and (a.required or lengths is not None) for a in self.arguments):
            given["lengths"] = torch.tensor(lengths or [steps] * form.batch)
        if any(a.role == "mask" and (a.required or mask is not None) for a in self.arguments):
            inside = torch.ones(steps, form.batch, dtype=torch.bool) if mask is None else mask
            given["mask"] = inside.T if form.layout.startswith("BT") else inside
        positional: list[Any] = []
        named: dict[str, Any] = {}
        for argument in self.arguments:
            if argument.role in given:
                value = given.pop(argument.role)
                if named or len(positional) < self.arguments.index(argument):
                    named[argument.name] = value
                else:
                    positional.append(value)
        if "state" in given:
            positional.append(given["state"])
        with settings_kept(), contextlib.redirect_stdout(io.StringIO()):
            if recorder is None:
                result = self.built(*positional, **named)
            else:
                recorder.masks = self.masks
                recorder.calm = recorder.calm and self.calm
                try:
                    with recorder:
                        result = self.built(*positional, **named)
                finally:
                    self.masked = self.masked or bool(recorder.masked)
        return flat(result)


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor) and not value.requires_grad:
        return value.clone()
    if isinstance(value, list):
        return list(value)
    return copy.copy(value) if type(value) in _DICTS else value


def _restored(kept: Tensor, value: Tensor) -> Tensor:
    if kept.shape == value.shape and kept.is_leaf and not kept.requires_grad:
        kept.copy_(value)
        return kept
    return value.clone()


def flat(result: Any) -> list[Tensor]:
    """Return all floating tensors of a result, however nested."""
    if isinstance(result, Tensor):
        return [result] if result.is_floating_point() else []
    if isinstance(result, Mapping):
        result = list(result.values())
    if isinstance(result, (tuple, list)):
        if result and all(isinstance(item, Tensor) for item in result) and isinstance(result, list) and len(
                {item.shape for item in result}) == 1 and len(result) > 1:
            return [torch.stack(result)]
        return [tensor for item in result for tensor in flat(item)]
    return []


def arranged(x: Tensor, form: Form) -> Tensor:
    """Return an input in the student's layout."""
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


# ---------------------------------------------------------------- trying


@dataclass
class Tries:
    """Calls that failed. The one that came furthest tells most."""

    most: int = -1
    error: BaseException | None = None

    def note(self, error: BaseException, count: int) -> None:
        """Take note of a failed call that ran through `count` torch functions."""
        if count > self.most:
            self.most, self.error = count, error


def widths(source: Source) -> tuple[list[int], list[int]]:
    """Return the input widths and hidden widths that may be meant, likely ones first."""
    shapes = [tuple(d for d in p.shape if d > 1) for p in parameters_of(source.built)]
    dims = {d for shape in shapes for d in shape}
    square = [s[0] for s in shapes if len(s) == 2 and s[0] == s[1]]
    fused = [min(s) for s in shapes if len(s) == 2 and max(s) % min(s) == 0 and max(s) // min(s) in (2, 3)]
    vectors = [d for s in shapes if len(s) == 1 for d in s]
    hidden = list(dict.fromkeys([*([source.sizes["H"]] if "H" in source.sizes else []), *square, *fused,
                                 *sorted(vectors), *sorted(dims)]))
    hidden = [h for h in hidden if h >= 1][:8]
    inputs: list[int] = [source.sizes["E"]] if "E" in source.sizes else []
    inputs += [s[1] if s[0] % h == 0 else s[0] for s in shapes if len(s) == 2 for h in hidden[:2]
               if s[0] % h == 0 or s[1] % h == 0]
    inputs += sorted(dims)
    inputs += [d - h for d in sorted(dims) for h in hidden[:2] if d > h]
    inputs += [d - h - 1 for d in sorted(dims) for h in hidden[:2] if d > h + 1]  # with a column for the bias
    return list(dict.fromkeys(inputs))[:14], hidden


def forms(caller: Caller) -> Iterator[Form]:
    """Yield the ways in which the object may be called, likely ones first."""
    inputs, hidden = widths(caller.source)
    has_state = any(a.role == "state" for a in caller.arguments)
    needs_state = any(a.role == "state" and a.required for a in caller.arguments)
    embeddings = [m for m in _modules(caller.built) if isinstance(m, nn.Embedding)]
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
        swapped = caller.arguments[0].role == "state"
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


def _modules(built: Any) -> list[nn.Module]:
    return list(built.modules()) if isinstance(built, nn.Module) else []


def find_form(caller: Caller, accepts: Callable[[Form], Form | None]) -> Form:
    """Return the first form that works.

    Args:
        caller: The object.
        accepts: Takes a form, and returns it completed, or None where the calls ran but were not those of a GRU.

    Raises:
        RunError: When no call works, with the line and the message of the one that came furthest.
    """
    tries = Tries()
    ran: Form | None = None
    empty = False
    for form in forms(caller):
        recorder = Recorder(caller.file)
        try:
            x = sample_input(form, 6 if form.kind == "layer" else 0)
            if form.tokens:  # only ids that its own embedding has, and not 0, which is often padding
                x = x.remainder(max(1, form.vocabulary - 1)) + 1
            h = torch.full((form.batch, form.hidden), 0.25) if form.state else None
            results = caller.call(form, x, h, recorder)
        except Exception as error:
            tries.note(error, recorder.count)
            continue
        if not results:
            empty = True
            continue
        done = accepts(form)
        if done is not None:
            return done
        ran = ran or form
    if ran is not None:
        return replace(ran, kind="none")
    if empty:
        raise RunError(f"{caller.source.path.name}: {caller.source.name} must return its new state, or as a layer its "
                       "outputs, but returns no tensor of floats: look for a missing return")
    if tries.error is None:
        tries.error = TypeError("it takes no input")
    raise failure(tries.error, caller.source.path,
                  "in every call that was tried, (x, h) of a cell and (x) of a layer") from tries.error


def sample_input(form: Form, steps: int, seed: int = 0) -> Tensor:
    """Return an input of a form: T x B x E, of a cell B x E, of token ids T x B."""
    generator = torch.Generator().manual_seed(seed)
    if form.tokens:
        return torch.arange(1, steps * form.batch + 1).reshape(steps, form.batch)
    shape = (form.batch, form.width) if form.kind == "cell" else (steps, form.batch, form.width)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)
