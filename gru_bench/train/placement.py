"""Where a run trains: its device, its backend, and why these, decided once before its data are read."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gru_bench import platforms
from gru_bench.config import RunConfig
from gru_bench.errors import UsageError
from gru_bench.kernels import fused as kernels
from gru_bench.models.recurrence import Backend, choose_backend, fallback
from gru_bench.train import card


@dataclass(frozen=True)
class Placement:
    """The device and the backend on which a run trains."""

    device: torch.device
    backend: Backend
    note: str | None = None
    """Why a slower backend runs than the fastest one, as a sentence. None: the fastest one runs."""

    def prepare(self, threads: int | None) -> None:
        """Set what holds for the whole process while a run trains: threads, and how a card is used."""
        use_threads(threads, self.backend)
        if self.device.type == "cuda":
            card.prepare(self.device)


def place(config: RunConfig) -> Placement:
    """Return where a run trains on this machine.

    Raises:
        UsageError: for settings that do not fit the model or this machine, such as a device that is missing.
    """
    device = choose_device(config.training.device)
    return Placement(device, choose_backend(config.model, device), fallback(config.model, device))


def choose_device(name: str) -> torch.device:
    """Return the device with this name. `auto` takes cuda if this machine has it, and otherwise cpu.

    It never takes mps: Apple's graphics processors train a GRU many times slower than the processor beside them.

    Raises:
        UsageError: for a device that is unknown or missing on this machine.
    """
    found = ["cpu"]
    if torch.backends.mps.is_available():
        found.append("mps")
    if torch.cuda.is_available():
        found = [f"cuda:{i}" for i in range(torch.cuda.device_count())] + found
        found.insert(0, "cuda")
    if name == "auto":
        return torch.device(found[0])
    if name not in found:
        raise UsageError(f"device must be auto or one that this machine has ({', '.join(found)}), but got {name!r}")
    return torch.device(name)


def use_threads(count: int | None, backend: Backend) -> None:
    """Set the number of CPU threads of this process.

    With the fused backend, torch gets one thread: its share of a step is small, and its waiting threads would keep
    cores busy that the kernel needs.

    Args:
        count: Number of threads. None: all cores that this process may use.
        backend: Backend that will run.
    """
    threads = count or platforms.cores()
    kernels.set_threads(threads)
    torch.set_num_threads(1 if backend == "fused" else threads)
