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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from types import ModuleType

import torch
from torch import Tensor, nn

from gru_bench.config import ModelConfig
from gru_bench.data.code import kept
from gru_bench.errors import RunError, UsageError
from gru_bench.kernels import fused as kernels
from gru_bench.models.calls import (
    NotUsable,
    Use,
    arguments_of,
    constructor,
    find_use,
    letters_of,
    outputs,
    said,
)
from gru_bench.models.layers import Between, run_layers

TRIED: Mapping[str, int] = {"E": 5, "H": 4, "C": 4, "L": 1, "B": 3, "T": 7, "V": 60}
"""Sizes with which a class is built to find out how it is called."""


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

    def forward(self, x_BTE: Tensor, length_B: Tensor, *, between: Between | None = None) -> Tensor:
        """Return the output of the last layer, B x T x D, zero beyond each length.

        Of a class that gives a final state alone, all other outputs are zero too.

        Args:
            x_BTE: Input.
            length_B: Number of tokens of each sequence, 1 to T.
            between: Function for the output of every layer except the last, such as dropout.

        Raises:
            RunError: where the class fails.
        """
        def read(layer: int, direction: int, x_BTE: Tensor) -> Tensor:
            return self._read(self.parts[layer * self.directions + direction], x_BTE, length_B)

        return run_layers(read, x_BTE, length_B, layers=self.layers, directions=self.directions, between=between)

    def _read(self, part: nn.Module, x_BTE: Tensor, length_B: Tensor) -> Tensor:
        """Return the outputs of one layer and direction, B x T x H, of any value beyond each length."""
        try:
            with _like(x_BTE):
                if self.use.gives != "BH" or self.use.form.kind == "cell":
                    return outputs(part, self.use, x_BTE, self.hidden_size)
                output_BTH = x_BTE.new_zeros(*x_BTE.shape[:2], self.hidden_size)
                for length in set(length_B.tolist()):
                    row_b = (length_B == length).nonzero()[:, 0]
                    state_bH = outputs(part, self.use, x_BTE[row_b, :length], self.hidden_size)
                    output_BTH = output_BTH.index_put((row_b, length_B[row_b] - 1), state_bH)
                return output_BTH
        except NotUsable as error:
            raise RunError(f"the model's class must give the same shape for each batch, but {error}") from error
        except (TypeError, ValueError, IndexError, AttributeError, NotImplementedError) as error:
            raise RunError(f"the model's class failed: {said(error)}") from error


def check(config: ModelConfig) -> Use:
    """Return how the class of a model is called.

    Raises:
        UsageError: for a class that cannot be used, or a setting that it does not have. The error says what was tried.
    """
    use = use_of(config.name, config.source)
    if use.gives == "BH" and use.form.kind == "layer":
        _check_final_state(config)
    return use


@kernels.flushed(torch_threads=True)
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
        raise UsageError(f"{file} must run by itself, but failed: {said(error, file)}. What it imports must be "
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
                         f"failed: {said(error, file)}") from error
    rule = f"{name} of {file} must be a torch.nn.Module with parameters"
    if not isinstance(built, nn.Module):
        raise UsageError(f"{rule}, but it is a {type(built).__name__}")
    if not any(p.requires_grad for p in built.parameters()):
        raise UsageError(f"{rule}, but has none: make each weight a torch.nn.Parameter")
    return built


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
        try:
            return find_use(built, TRIED["E"], TRIED["H"], file)
        except NotUsable as error:
            raise UsageError(f"{name} of {file} must map sequences, B x T x E or T x B x E, to outputs or a final "
                             f"state of width hidden_size, or be such a cell, but {error}") from error


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
