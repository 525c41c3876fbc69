"""The threads of the kernel: how many there are, how they run a compiled function together, and denormal numbers.

The kernel computes all products itself, on its own threads, and no torch operation runs inside it. While a model trains
on this kernel, torch has little to do: give it one thread (`torch.set_num_threads(1)`), because threads of torch that
wait for work keep cores busy.

Gradients of early steps become denormal: in float32 below 1.2e-38. Some processors compute with such numbers many times
slower than with others, so they are taken for 0 (`flushed`).
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch

_threads: int | None = None


def set_threads(n: int) -> None:
    """Set the number of threads of the kernel. It never uses more than the processors of this process.

    Raises:
        ValueError: for n below 1.
    """
    global _threads
    if n < 1:
        raise ValueError(f"the number of threads must be at least 1, but got {n}")
    _threads = n


def threads() -> int:
    """Return the number of threads of the kernel, which by default is that of torch."""
    return min(torch.get_num_threads() if _threads is None else _threads, _processors())


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_together(workers: int, function: Callable[..., None], *arguments: Any) -> None:
    """Call function(worker, workers, *arguments) in all workers at the same time. Worker 0 is the caller.

    Compiled functions release the interpreter's lock, and threads without work sleep. Starting them takes some 30
    microseconds. OpenMP's threads wait by spinning, which costs a busy machine more than it saves.
    """
    if workers == 1:  # which is most calls with one review
        function(0, 1, *arguments)
        return
    others = [_pool().submit(function, worker, workers, *arguments) for worker in range(1, workers)]
    try:
        function(0, workers, *arguments)
    finally:
        wait(others)
    for other in others:
        other.result()


@lru_cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_processors(), "gru_bench kernel", torch.set_flush_denormal, (True,))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process does not inherit threads


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
