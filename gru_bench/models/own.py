"""A class of the user's own as the recurrence of a classifier, called in the way that is found by trying.

The class takes an input width and a hidden width, and maps a batch of sequences to the outputs of all steps or to a
final state; or it is a cell, which maps the input and the state of one step to the next state. It need not know of
lengths: padding stands after each sequence, where it cannot reach an earlier output, and is cut off. A final state
alone would have read the padding, so sequences of each length are then read by themselves. Layers and directions are
copies of the class, one for each; the backward direction reads each sequence reversed by its own length.

Shapes: `B` sequences, `T` steps, `E` input width, `H` hidden width, `D` = H times directions.
"""

from __future__ import annotations

import linecache
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from types import ModuleType

import torch
from torch import Tensor, nn

from gru_bench.config import ModelConfig
from gru_bench.data.code import kept
from gru_bench.errors import RunError, UsageError, shown
from gru_bench.models.calls import (
    Argument,
    Form,
    arguments,
    arguments_of,
    bound,
    constructor,
    flat,
    forms,
    letters_of,
)

TRIED: Mapping[str, int] = {"E": 5, "H": 4, "C": 4, "L": 1, "B": 3, "T": 7, "V": 60}
"""Sizes with which a class is built to find out how it is called."""
BATCH, STEPS = 3, 7
OTHERS = ((1, 1), (1, 6), (5, 2))
"""Further batches, sequences and steps, that a class must take."""


@dataclass(frozen=True)
class Use:
    """How a class is called."""

    form: Form
    gives: str
    """Axes of what it gives: BTH or TBH for the outputs of all steps, BH for a final state or the next state."""

    @property
    def words(self) -> str:
        """Return it in words."""
        what = {"BTH": "outputs, batch first", "TBH": "outputs, time first"}.get(
            self.gives, "the next state" if self.form.kind == "cell" else "a final state")
        return f"{self.form.words}, that gives {what}"


class _Refused(Exception):
    """Why a class is not called in some way. A later stage of the trial tells more."""

    def __init__(self, stage: int, why: str) -> None:
        super().__init__(why)
        self.stage = stage


class Own(nn.Module):
    """A recurrence of any number of layers, in one direction or both, whose parts are objects of the user's class."""

    def __init__(
        self, config: ModelConfig, input_size: int, *, generator: torch.Generator | None = None
    ) -> None:
        """Build an object for each layer and direction.

        Args:
            config: Settings of the model, with the SHA-256 of the file of its class.
            input_size: Input width, E.
            generator: Source of the seed with which the class draws its weights.

        Raises:
            UsageError: where this machine does not keep the file, and for a class that cannot be used.
        """
        super().__init__()
        self.hidden_size, self.layers, self.bidirectional = config.hidden_size, config.layers, config.is_bidirectional
        self.use = check(config)
        seed = int(torch.randint(2**62, (), generator=generator))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.parts = nn.ModuleList(
                _built(config.name, config.source, input_size if layer == 0 else self.hidden_size * self.directions,
                       self.hidden_size)
                for layer in range(self.layers) for _ in range(self.directions))

    @property
    def directions(self) -> int:
        """Return the number of directions, 1 or 2."""
        return 2 if self.bidirectional else 1

    def forward(
        self, x_BTE: Tensor, length_B: Tensor, *, between: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """Return the output of the last layer, B x T x D, zero beyond each length.

        Of a class that gives a final state alone, all other outputs are zero too.

        Args:
            x_BTE: Input.
            length_B: Number of tokens of each sequence, 1 to T.
            between: Function for the output of every layer except the last, such as dropout.

        Raises:
            RunError: where the class fails.
        """
        at_T = torch.arange(x_BTE.shape[1], device=x_BTE.device)
        inside_BT1 = (at_T < length_B[:, None])[..., None]
        reversed_BT1 = torch.where(inside_BT1[..., 0], length_B[:, None] - 1 - at_T, at_T)[..., None]
        for layer in range(self.layers):
            outputs = []
            for direction in range(self.directions):
                part = self.parts[layer * self.directions + direction]
                if direction == 0:
                    output = self._read(part, x_BTE, length_B)
                else:
                    output = self._read(part, x_BTE.gather(1, reversed_BT1.expand_as(x_BTE)), length_B)
                    output = output.gather(1, reversed_BT1.expand_as(output))
                outputs.append(torch.where(inside_BT1, output, 0.0))
            x_BTE = torch.cat(outputs, dim=2) if self.bidirectional else outputs[0]
            if between is not None and layer < self.layers - 1:
                x_BTE = between(x_BTE)
        return x_BTE

    def _read(self, part: nn.Module, x_BTE: Tensor, length_B: Tensor) -> Tensor:
        """Return the outputs of one layer and direction, B x T x H, of any value beyond each length."""
        try:
            with _like(x_BTE):
                if self.use.gives != "BH" or self.use.form.kind == "cell":
                    return _outputs(part, self.use, x_BTE, self.hidden_size)
                output_BTH = x_BTE.new_zeros(*x_BTE.shape[:2], self.hidden_size)
                for length in set(length_B.tolist()):
                    row_b = (length_B == length).nonzero()[:, 0]
                    state_bH = _outputs(part, self.use, x_BTE[row_b, :length], self.hidden_size)
                    output_BTH = output_BTH.index_put((row_b, length_B[row_b] - 1), state_bH)
                return output_BTH
        except _Refused as error:
            raise RunError(f"the model's class must give the same shape for each batch, but {error}") from error
        except (TypeError, ValueError, IndexError, AttributeError, NotImplementedError) as error:
            raise RunError(f"the model's class failed: {_said(error)}") from error


def check(config: ModelConfig) -> Use:
    """Return how the class of a model is called.

    Raises:
        UsageError: for a class that cannot be used, or a setting that it does not have. The error says what was tried.
    """
    use = use_of(config.name, config.source)
    if use.gives == "BH" and use.form.kind == "layer":
        _check_final_state(config)
    return use


def seconds_of_batch(
    config: ModelConfig, input_size: int, batch: int, steps: int, *, threads: int, trainable: bool
) -> float:
    """Return the seconds that the recurrence of a model takes for a batch, forward and backward, on the CPU.

    Args:
        config: Settings of the model.
        input_size: Input width, E.
        batch: Number of sequences.
        steps: Number of steps of each.
        threads: CPU threads.
        trainable: Whether the input has gradients too, which a loop over its steps may compute slowly.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        recurrence = Own(config, input_size, generator=torch.Generator().manual_seed(0))
        x_BTE, length_B = torch.randn(batch, steps, input_size, requires_grad=trainable), torch.full((batch,), steps)
        times = []
        for _ in range(2):  # the first one prepares
            began = time.perf_counter()
            torch.autograd.backward(recurrence(x_BTE, length_B).sum())
            times.append(time.perf_counter() - began)
        return min(times)
    finally:
        torch.set_num_threads(before)


def _check_final_state(config: ModelConfig) -> None:
    if config.layers > 1 or config.pooling not in ("last", "final"):
        setting, value = ("layers", config.layers) if config.layers > 1 else ("pooling", config.pooling)
        raise UsageError(f"model.{setting} must be {1 if config.layers > 1 else 'final or last'} for {config.name}, "
                         f"which gives its final state alone, but got {value}: let it return the outputs of all steps "
                         "too")


# ---------------------------------------------------------------- the file


@lru_cache(maxsize=64)
def _module(model: str, digest: str | None) -> ModuleType:
    """Run the file of a model, once in this process.

    Raises:
        UsageError: where this machine does not keep it, or it fails.
    """
    file = model.rpartition(":")[0]
    text = kept(model, digest)
    module = ModuleType(f"_own_{str(digest)[:12]}")
    module.__file__ = file
    sys.modules[module.__name__] = module
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    try:
        exec(compile(text, file, "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:
        raise UsageError(f"{file} must run by itself, but failed: {_said(error, file)}. What it imports must be "
                         "installed; what trains or reads files belongs under if __name__ == \"__main__\":") from error
    return module


def _built(model: str, digest: str | None, width: int, hidden: int) -> nn.Module:
    file, _, name = model.rpartition(":")
    target = getattr(_module(model, digest), name)
    letters = letters_of(constructor(target))
    chosen = {p: 1 for p, letter in letters.items() if letter == "L"}
    positional, named, used, guessed = arguments_of(target, {**TRIED, "E": width, "H": hidden, "C": hidden}, chosen)
    if guessed or not {"E", "H"} <= used.keys():
        needed = ", ".join(p.name for p in constructor(target))
        why = f"{', '.join(guessed)} cannot be guessed" if guessed else "no argument is known to be such a width"
        raise UsageError(f"{name}({needed}) of {file} must take its sizes as input_size and hidden_size, but {why}: "
                         "name them so, and give all others a default")
    try:
        built = target(*positional, **named)
    except Exception as error:
        raise UsageError(f"{name} of {file} must be built by {name}({', '.join(map(str, (*positional, *named)))}), but "
                         f"failed: {_said(error, file)}") from error
    if not isinstance(built, nn.Module) or not any(p.requires_grad for p in built.parameters()):
        raise UsageError(f"{name} of {file} must be a torch.nn.Module with parameters, but "
                         f"{'has none: make each weight a torch.nn.Parameter' if isinstance(built, nn.Module) else ''}"
                         f"{'' if isinstance(built, nn.Module) else f'it is a {type(built).__name__}'}")
    return built


# ---------------------------------------------------------------- how it is called


@lru_cache(maxsize=64)
def use_of(model: str, digest: str | None) -> Use:
    """Return how the class of a model is called, which is tried once in this process.

    Raises:
        UsageError: where this machine does not keep the file, and for a class that cannot be used.
    """
    file, _, name = model.rpartition(":")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        built = _built(model, digest, TRIED["E"], TRIED["H"]).eval()
        furthest = _Refused(0, "it takes no input")
        tried = []
        for form in _forms(built):
            tried.append(form.words)
            try:
                return _use(built, form)
            except _Refused as refused:
                furthest = max(furthest, refused, key=lambda one: one.stage)
            except Exception as error:
                failed = _Refused(1, f"it failed with {_said(error, file)}")
                furthest = max(furthest, failed, key=lambda one: one.stage)
    raise UsageError(f"{name} of {file} must map sequences, B x T x E or T x B x E, to outputs or a final state of "
                     f"width hidden_size, or be such a cell, but {furthest}. Tried: {'; '.join(dict.fromkeys(tried))}")


def _forms(built: nn.Module) -> Iterator[Form]:
    """Yield the ways to call an object with whole batches of vectors."""
    for form in forms(built, {"E": TRIED["E"], "H": TRIED["H"]}):
        if (form.layout in ("BTE", "TBE", "BE") and form.batch > 1 and not form.tokens and form.width == TRIED["E"]
                and form.hidden in (0, TRIED["H"]) and form.state in ("", "BH", "1BH")):
            yield replace(form, batch=BATCH)


def _use(built: nn.Module, form: Form) -> Use:
    """Return how an object is called in this form.

    Raises:
        _Refused: It is not.
    """
    hidden = TRIED["H"]
    x_BTE = torch.randn(BATCH, STEPS, TRIED["E"])
    use = Use(form, "BH")
    if form.kind == "layer":
        found = [tuple(tensor.shape) for tensor in _called(built, use, x_BTE, hidden)]
        axes = {(BATCH, STEPS, hidden): "BTH", (STEPS, BATCH, hidden): "TBH", (BATCH, hidden): "BH",
                (1, BATCH, hidden): "BH"}
        gives = [axes[shape] for shape in found if shape in axes]
        if not gives:
            raise _Refused(2, f"for {BATCH} sequences of {STEPS} steps and hidden_size {hidden} it gives "
                              f"{' and '.join(map(str, found)) or 'no tensor of floats'}")
        use = Use(form, min(gives, key=("BTH", "TBH", "BH").index))
    given = _outputs(built, use, x_BTE, hidden)
    if not given.isfinite().all():
        raise _Refused(5, "it gives values that are not finite")
    if not torch.equal(_outputs(built, use, x_BTE, hidden), given):
        raise _Refused(6, "it gives other values for the same input again: it keeps a state between calls, or draws at "
                          "random in evaluation")
    first_BTE, late_BTE = x_BTE.clone(), x_BTE.clone()
    first_BTE[0, 0] += 1
    late_BTE[0, -1] += 1
    by_first, by_late = (_outputs(built, use, changed, hidden) for changed in (first_BTE, late_BTE))
    if not torch.allclose(by_first[1:], given[1:]):
        raise _Refused(3, "a sequence changes the outputs of another one")
    if torch.equal(by_first[0], given[0]) or (given.dim() == 3 and torch.equal(by_first[0, -1], given[0, -1])):
        raise _Refused(4, "its last output does not depend on the first step")
    if given.dim() == 3 and not torch.allclose(by_late[0, :-1], given[0, :-1]):
        raise _Refused(4, "an output depends on later steps: let it read forwards only; model.bidirectional = true "
                          "reads both ways")
    for batch, steps in OTHERS:
        shape = _outputs(built, use, torch.randn(batch, steps, TRIED["E"]), hidden).shape
        if shape != ((batch, steps, hidden) if given.dim() == 3 else (batch, hidden)):
            raise _Refused(7, f"for {batch} sequences of {steps} steps it gives the shape {tuple(shape)}")
    torch.autograd.backward(_outputs(built, use, x_BTE, hidden).sum())
    if all(p.grad is None or not p.grad.any() for p in built.parameters()):
        raise _Refused(8, "no gradient reaches its parameters: remove detach(), .data and torch.no_grad()")
    return use


def _outputs(part: nn.Module, use: Use, x_BTE: Tensor, hidden: int) -> Tensor:
    """Return the outputs, B x T x H; of a class that gives its final state alone, that, B x H."""
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
    raise _Refused(2, f"it gives {given} instead of {shape}")


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


@contextmanager
def _like(x: Tensor) -> Iterator[None]:
    """Let new tensors of the user's code have the type and the device of x."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(x.dtype if x.is_floating_point() else before)
    try:
        with nullcontext() if x.device.type == "cpu" else x.device:
            yield
    finally:
        torch.set_default_dtype(before)


def _said(error: BaseException, file: str = "") -> str:
    """Return what an error of the user's code says, with the line of its file."""
    frames = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)
              if frame.filename == file or (not file and frame.filename.endswith(".py")
                                            and not frame.filename.startswith(("/", "<")))]
    first = (str(error).strip() or "no message").splitlines()[0]
    return f"{type(error).__name__}: {shown(first, '', 200)}" + (f" (line {frames[-1]})" if frames else "")
