"""The threads of the kernel: how many there are, and how they run a compiled function together.

The kernel computes all products itself, on its own threads, and no torch operation runs inside it. While a model trains
on this kernel, torch has little to do: give it one thread (`torch.set_num_threads(1)`), because threads of torch that
wait for work keep cores busy.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
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
    if workers == 1:  # which is most calls with one text
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
