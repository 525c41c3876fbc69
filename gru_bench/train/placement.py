"""What runs where: the device and the backend of a model, decided once before its data are read.

`place` is the only place that decides. It refuses what a model or this machine cannot do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import torch

from gru_bench import platforms
from gru_bench.config import ModelConfig, RunConfig
from gru_bench.errors import UsageError
from gru_bench.kernels import fused as kernels
from gru_bench.models import own
from gru_bench.models.backends import Backend, unsupported
from gru_bench.train import card


@dataclass(frozen=True)
class Placement:
    """The device and the backend on which a model runs."""

    device: torch.device
    backend: Backend
    note: str | None = None
    """Why `auto` took another backend than the fastest one, as a sentence. None: it did not."""

    def prepare(self, threads: int | None) -> None:
        """Set what holds for the whole process while a run trains: threads, and how a card is used."""
        use_threads(threads, self.backend)
        if self.device.type == "cuda":
            card.prepare(self.device)


def place(config: RunConfig) -> Placement:
    """Return where a run trains on this machine.

    The backend is the one in the settings, or for `auto` the fastest one that can run.

    Raises:
        UsageError: for settings that do not fit the model or this machine, such as a device that is missing.
    """
    device, model = choose_device(config.training.device), config.model
    check_model(model)
    if model.preset.cell == "own":
        return Placement(device, "own")
    if model.backend != "auto":
        if (reason := _refused(model.backend, model, device)) is not None:
            raise UsageError(f"model.backend {model.backend!r} cannot run here: {reason.rstrip('.')}; try "
                             "model.backend=auto")
        return Placement(device, model.backend)
    backend = next(backend for backend in get_args(Backend) if _refused(backend, model, device) is None)
    note = None
    if device.type == "cpu" and (reason := _refused("fused", model, device)) is not None:
        note = f"training is several times slower here, on the backend {backend!r}: {reason.rstrip('.')}."
    return Placement(device, backend, note)


def check_model(config: ModelConfig) -> None:
    """Check that a model supports its settings.

    Raises:
        UsageError: where it does not, such as `reset` 'before' in nn.GRU.
    """
    preset = config.preset
    if preset.cell == "own":
        for setting, usual in (("reset", "after"), ("backend", "auto")):
            if (value := getattr(config, setting)) != usual:
                raise UsageError(f"model.{setting} must be left at {usual!r} for the model {config.name!r}, which is a "
                                 f"class of your own, but got {value!r}: leave it out")
        own.kind_of(config.name, config.source)
        return
    if preset.bidirectional and not config.is_bidirectional:
        raise UsageError(f"model.bidirectional must be true or left out for the model {config.name!r}, but got false: "
                         "choose a model that reads in one direction, such as 'torch'")
    if config.reset == "before" and preset.from_torch:
        raise UsageError(f"model.reset must be 'after' for the model {config.name!r}, because torch.nn.GRU supports no "
                         f"other, but got {config.reset!r}: choose the model 'scratch'")


def _refused(backend: Backend, model: ModelConfig, device: torch.device) -> str | None:
    """Return why a backend cannot run a preset on this device, or None where it can."""
    reason = unsupported(backend, model.reset)
    if reason is not None or backend != "fused":
        return reason
    return f"it runs on a CPU, not on {device.type}" if device.type != "cpu" else kernels.unavailable()


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
        raise UsageError(f"device must be auto or a device of this machine ({', '.join(found)}), but got {name!r}")
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
