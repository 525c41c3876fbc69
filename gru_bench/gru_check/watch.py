"""What is seen while a student's code runs, and how it is kept to float64, to the CPU and away from chance."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_RANDOM = re.compile(r"^rand|normal_?$|(uniform|bernoulli|exponential|orthogonal)_?$|gumbel")
_CUTS = {"detach", "detach_", "_set_grad_enabled"}
_DATA = torch.Tensor.data.__get__  # type: ignore[attr-defined]  # a Tensor to mypy, a descriptor in truth
_NARROW = (torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Value:
    """A tensor that the student's code computed."""

    line: int
    tensor: Tensor

    def has(self, wanted: Tensor) -> bool:
        """Return whether it is a matrix, N x H or H x N in whatever shape."""
        return self.tensor.numel() == wanted.numel() and any(
            torch.allclose(self.tensor.reshape(-1), own.reshape(-1), rtol=0, atol=1e-9) for own in (wanted, wanted.t()))


class Watch(TorchFunctionMode):
    """A mode under which a student's code runs in float64 and on the CPU, whatever it names.

    It also notes where dropout is active, where random numbers are drawn and where gradients are cut.
    """

    def __init__(self, file: Path, *, random: bool = False, values: bool = False) -> None:
        """Prepare a run.

        Args:
            file: The student's file.
            random: Whether dropout drops, and random numbers are random. Otherwise they are zeros.
            values: Whether to keep what is computed.
        """
        super().__init__()
        self.file, self.random, self.keeps = str(file), random, values
        self.values: list[Value] = []
        self.dropped: list[int] = []
        self.drawn: list[tuple[int, int]] = []
        """Lines that draw random numbers, and how many."""
        self.cuts: list[int] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one function."""
        name = getattr(func, "__name__", "")
        if name in ("cuda", "cpu"):
            return args[0]
        if name in ("float", "half", "bfloat16"):
            return args[0].double()
        args = tuple(map(_plain, args))
        kwargs = {key: _plain(value) for key, value in (kwargs or {}).items()}
        if "dropout" in name and kwargs.get("training", next((a for a in args[1:] if isinstance(a, bool)), True)):
            self.dropped.append(self.line())
            if not self.random:
                return args[0]
        if (name in _CUTS and not (name == "_set_grad_enabled" and args[0])) or func is _DATA:
            self.cuts.append(self.line())
        result = func(*args, **kwargs)
        if _RANDOM.search(name) and isinstance(result, Tensor) and kwargs.get("generator") is None:
            self.drawn.append((self.line(), result.numel()))
            if not self.random:
                result = result.zero_() if name.endswith("_") else torch.zeros_like(result)
        if self.keeps:
            line = self.line()
            self.values += [Value(line, one.detach().clone()) for one in flat(result)]
        return result

    def line(self) -> int:
        """Return the line of the student's file that runs. 0: none of its lines does."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename != self.file:
            frame = frame.f_back
        return 0 if frame is None else frame.f_lineno


def _plain(value: Any) -> Any:
    """Return an argument with float64 in place of narrower types, and the CPU in place of other devices."""
    if isinstance(value, torch.dtype):
        return torch.float64 if value in _NARROW else value
    if isinstance(value, torch.device) or (isinstance(value, str) and re.fullmatch(r"(cuda|mps|xpu)(:\d+)?", value)):
        return torch.device("cpu")
    return value


def flat(result: Any) -> list[Tensor]:
    """Return all floating tensors of a result, however nested. A list of alike ones is one of them."""
    if isinstance(result, Tensor):
        return [result] if result.is_floating_point() else []
    if isinstance(result, list) and len(result) > 1 and all(
            isinstance(one, Tensor) and one.shape == result[0].shape for one in result):
        return [torch.stack(result)]
    if isinstance(result, Mapping):
        result = list(result.values())
    return [tensor for one in result for tensor in flat(one)] if isinstance(result, (tuple, list)) else []


@contextmanager
def settings_kept() -> Iterator[None]:
    """Undo what a student's code does to settings of torch that the check depends on."""
    dtype, grad, device = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_default_device()
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        if torch.get_default_device() != device:
            torch.set_default_device(None if device.type == "cpu" else device)
