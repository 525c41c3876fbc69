"""A class of the user's own as the recurrence of a classifier.

CLASS(input_size, hidden_size) builds one of two, which take the batch as first axis:

    a layer    forward(x) returns the outputs of all steps, or a tuple that begins with them
    a cell     forward(x, h) reads one step and returns the state after it

The class need not know of lengths: padding stands after each sequence, where it cannot reach an earlier output, and is
cut off. Layers and directions are copies of the class, one for each; the backward direction reads each sequence
reversed by its own length.

Shapes: `B` sequences, `T` steps, `E` input width, `H` hidden width, `D` = H times directions.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import lru_cache, partial
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gru_bench.config import ModelConfig
from gru_bench.data.code import kept
from gru_bench.errors import GruBenchError, RunError, UsageError, first_line, out_of_memory
from gru_bench.models.stack import Between, read_whole, run_layers

Kind = Literal["layer", "cell"]
CALLED: Mapping[Kind, str] = {"layer": "a layer, forward(x)", "cell": "a cell, forward(x, h)"}
"""What a class may be, in words."""
WIDTH, HIDDEN, BATCH, STEPS = 5, 4, 3, 7
"""Sizes with which a class is tried: E, H, B and T."""


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
            UsageError: where this machine does not keep the file, and for a class that is neither layer nor cell.
        """
        super().__init__()
        self.hidden_size, self.layers, self.bidirectional = config.hidden_size, config.layers, config.is_bidirectional
        self.name, self.kind, self.directions = config.name, kind_of(config.name, config.source), 1 + self.bidirectional
        seed = int(torch.randint(2**62, (), generator=generator))
        widths = [input_size, *[self.hidden_size * self.directions] * (self.layers - 1)]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.parts = nn.ModuleList(
                _built(config.name, config.source, width, self.hidden_size)
                for width in widths for _ in range(self.directions))

    def forward(self, x_BTE: Tensor, length_B: Tensor, *, between: Between | None = None) -> Tensor:
        """Return the output of the last layer, B x T x D, zero beyond each length.

        Args:
            x_BTE: Input.
            length_B: Number of tokens of each sequence, 1 to T.
            between: Function for the output of every layer except the last, such as dropout.

        Raises:
            RunError: where the class fails.
        """
        def read(layer: int, direction: int, x_BTE: Tensor) -> Tensor:
            part = self.parts[layer * self.directions + direction]
            return read_whole(partial(self._outputs, part), x_BTE, length_B, direction)

        return run_layers(read, x_BTE, layers=self.layers, directions=self.directions, between=between)

    def _outputs(self, part: nn.Module, x_BTE: Tensor) -> Tensor:
        try:
            with nullcontext() if x_BTE.device.type == "cpu" else x_BTE.device:  # where it makes its tensors
                return _outputs(part, self.kind, x_BTE, self.hidden_size)
        except Exception as error:
            if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and out_of_memory(error)):
                raise
            raise RunError(f"the model's class failed: {said(error, self.name)}") from error


def _outputs(part: nn.Module, kind: Kind, x_BTE: Tensor, hidden: int) -> Tensor:
    """Return the outputs of an object of the user's class at all steps, B x T x H.

    Each call gets copies, because it may change what it gets.
    """
    batch, steps = x_BTE.shape[:2]
    if kind == "layer":
        found = part(x_BTE.clone())
        return _shaped(found[0] if isinstance(found, tuple) and found else found, (batch, steps, hidden), x_BTE)
    h_BH, output_T = x_BTE.new_zeros(batch, hidden), []
    for t in range(steps):
        h_BH = _shaped(part(x_BTE[:, t].clone(), h_BH.clone()), (batch, hidden), x_BTE[:, t])
        output_T.append(h_BH)
    return torch.stack(output_T, dim=1)


def _shaped(found: object, shape: tuple[int, ...], x: Tensor) -> Tensor:
    """Return what a class has returned for an input x, if it is a tensor of this shape."""
    if isinstance(found, Tensor) and found.shape == shape:
        return found
    returned = tuple(found.shape) if isinstance(found, Tensor) else f"a {type(found).__name__}"
    raise RunError(f"for x of the shape {tuple(x.shape)} it returns {returned} instead of {shape}")


@lru_cache(maxsize=64)
def kind_of(model: str, digest: str | None) -> Kind:
    """Return what the class of a model is, found by trying it with small sizes, once in this process.

    Args:
        model: Name of the model, `FILE.py:CLASS`.
        digest: SHA-256 of the file.

    Raises:
        UsageError: where this machine does not keep the file, and for a class that is neither layer nor cell. The error
            says what it does instead.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        part, refused = _built(model, digest, WIDTH, HIDDEN).eval(), []
        for kind in CALLED:
            try:
                _check(part, kind)
                return kind
            except Exception as error:
                refused.append(f"as a {kind}, {said(error, model)}")
    file, _, name = model.rpartition(":")
    raise UsageError(f"{name} of {file} must be {', or '.join(CALLED.values())}, for batches of any size, batch first, "
                     "reading forwards only (model.bidirectional = true adds the other direction), but "
                     f"{'; '.join(refused)}")


def _check(part: nn.Module, kind: Kind) -> None:
    """Raise an error for an object that is no recurrence that can be trained and saved."""
    x_BTE = torch.randn(BATCH, STEPS, WIDTH)
    other_BTE, late_BTE = x_BTE.clone(), x_BTE.clone()
    other_BTE[0] += 1
    late_BTE[:, -1] += 1
    given, again, by_other, by_late = (
        _outputs(part, kind, x, HIDDEN) for x in (x_BTE, x_BTE, other_BTE, late_BTE))
    if not all(value.isfinite().all() for value in (given, *part.state_dict().values())):
        raise RunError("its outputs or weights are not finite (a mask is a buffer with persistent=False)")
    if not torch.equal(given, again):
        raise RunError("it returns different values for the same input: it keeps a state between calls, or is random "
                       "in evaluation mode")
    if not torch.allclose(by_other[1:], given[1:]):
        raise RunError("sequences affect each other's outputs, perhaps because time is the first axis")
    if not torch.allclose(by_late[:, :-1], given[:, :-1]):
        raise RunError("an output depends on later steps")
    if given.requires_grad:
        torch.autograd.backward(given.sum())
    if all(p.grad is None or not p.grad.any() for p in part.parameters()):
        raise RunError("no gradient reaches a torch.nn.Parameter of it: remove detach(), .data and torch.no_grad()")


def _built(model: str, digest: str | None, width: int, hidden: int) -> nn.Module:
    """Return an object of the class of a model."""
    file, _, name = model.rpartition(":")
    target: Callable[[int, int], Any] = getattr(_module(model, digest), name)
    try:
        built = target(width, hidden)
    except Exception as error:
        raise UsageError(f"{name} of {file} must be constructed as {name}(input_size, hidden_size), with a default for "
                         f"every other argument, but {name}({width}, {hidden}) fails: {said(error, model)}") from error
    if not isinstance(built, nn.Module):
        raise UsageError(f"{name} of {file} must be a torch.nn.Module, but it is a {type(built).__name__}")
    return built


@lru_cache(maxsize=64)
def _module(model: str, digest: str | None) -> ModuleType:
    """Run the file of a model, once in this process.

    Raises:
        UsageError: where this machine does not keep it, or it fails.
    """
    text, file = kept(model, digest), model.rpartition(":")[0]
    module = sys.modules[f"_own_{digest}"] = ModuleType(f"_own_{digest}")
    module.__file__ = file
    try:
        exec(compile(text, file, "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:
        raise UsageError(f"{file} failed when imported: {said(error, model)}. Install what it imports, and put code "
                         "that trains or reads files under if __name__ == \"__main__\":") from error
    return module


def said(error: BaseException, model: str) -> str:
    """Return what an error of the user's code says, with the line of its file."""
    if isinstance(error, GruBenchError):
        return str(error)
    file = model.rpartition(":")[0]
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{type(error).__name__}: {first_line(error)}" + (f" (line {lines[-1]})" if lines else "")
