"""Denormal numbers, which are taken for 0 while a model is computed.

Gradients of early steps become denormal: in float32 below 1.2e-38. Some processors compute with such numbers many times
slower than with others.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_SMALLEST_NORMAL = sys.float_info.min


@contextmanager
def flushed(*, torch_threads: bool = False) -> Iterator[None]:
    """Take denormal numbers for 0 in this thread, until the context ends.

    Threads that are started within the context begin with its setting. Where denormal numbers are 0 already, nothing is
    changed.

    Args:
        torch_threads: Whether to do so in torch's threads for one operation, too. They end and start again with the
            context. A backward pass on a CPU runs in the thread that asks for it.
    """
    if _SMALLEST_NORMAL * 0.5 == 0.0:
        yield
        return
    restart = _end_torch_threads if torch_threads and torch.get_num_threads() > 1 else lambda: None
    torch.set_flush_denormal(True)
    restart()
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        restart()


def _end_torch_threads() -> None:
    """End the threads that torch keeps for the operations of this thread; the next operation starts them again.

    With GNU's OpenMP, a thread keeps the setting of its start. With those of Intel and LLVM, which torch has on Windows
    and macOS, it takes over that of its caller.
    """
    if sys.platform == "linux":
        end = getattr(ctypes.CDLL(None), "omp_pause_resource_all", None)
        if end is not None:
            end(1)  # omp_pause_soft: settings are kept
