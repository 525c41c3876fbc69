"""Tensors stay on the CPU, whatever device the code names."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_DEVICE = re.compile(r"(cuda|mps|xpu)(:\d+)?")


class OnCpu(TorchFunctionMode):
    """A mode under which tensors stay on the CPU, where the check runs, whatever device the code names."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one function."""
        if getattr(func, "__name__", "") == "cuda":
            return args[0]
        return func(*map(on_cpu, args), **{key: on_cpu(value) for key, value in (kwargs or {}).items()})


def on_cpu(arg: Any) -> Any:
    """Return an argument with the CPU in place of another device."""
    if isinstance(arg, torch.device):
        return torch.device("cpu")
    return "cpu" if isinstance(arg, str) and _DEVICE.fullmatch(arg) else arg
