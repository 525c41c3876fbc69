"""A run's state on disk after each epoch and now and then within one, from which it goes on with the losses it would
have had.

The streams for batches and dropout are seeded anew for each epoch; within one, the place in its batches and the state
of its dropout masks are stored.
"""

from __future__ import annotations

import errno
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from gru_bench.errors import MachineError, RunError
from gru_bench.results.runs import EpochRecord, WindowLoss
from gru_bench.train.optimizer import Optimizer

FORMAT = 3
"""Raised with each change of what a checkpoint holds: a run does not go on from one of another form."""


@dataclass(frozen=True)
class PartialEpoch:
    """An epoch under way, between two windows of the training loss by window."""

    batches: int
    reviews: int
    tokens: int
    losses: float
    """Sum over the reviews so far."""
    seconds_before: float
    """Spent on the epochs before it."""
    dropout: Tensor
    """State of the generator of dropout masks."""


@dataclass
class Progress:
    """What a run has done so far."""

    epochs: list[EpochRecord] = field(default_factory=list)
    window_losses: list[WindowLoss] = field(default_factory=list)
    iteration: int = 0
    seconds: float = 0.0
    best: dict[str, Tensor] | None = None
    best_epoch: int = 0
    begun: PartialEpoch | None = None


def save_checkpoint(
    path: Path, identity: str, model: nn.Module, optimizer: Optimizer, progress: Progress
) -> None:
    """Write the state beside `path` and put it in place in one step, so that it is never half-written.

    Raises:
        MachineError: where it cannot be written, such as on a full disk; the last one stays.
    """
    state = {
        "identity": identity,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epochs": [asdict(record) for record in progress.epochs],
        "window_losses": [asdict(point) for point in progress.window_losses],
        "iteration": progress.iteration,
        "seconds": progress.seconds,
        "best": progress.best,
        "best_epoch": progress.best_epoch,
        "begun": None if progress.begun is None else vars(progress.begun),
    }
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave an empty file under the final name
        part.replace(path)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        raise MachineError(
            f"the checkpoint must be written as a run goes on, but {path} could not be"
            f"{': no space is left on that disk' if full else f' ({error})'}; free some, or set GRU_BENCH_CACHE to "
            "a folder elsewhere") from error


def load_checkpoint(path: Path, identity: str, model: nn.Module, optimizer: Optimizer) -> Progress:
    """Read what `save_checkpoint` wrote into `model` and `optimizer`.

    Raises:
        RunError: where the file is damaged, or was written by a run with other settings or data.
    """
    try:
        state = torch.load(path, weights_only=True)
    except Exception as error:
        raise RunError(f"a checkpoint must be whole, but {path} cannot be read ({type(error).__name__}): delete it to "
                       "start this run anew") from error
    if state["identity"] != identity:
        raise RunError(f"a checkpoint must belong to the run that goes on from it, but {path} was written with other "
                       "settings or data: delete it, or name another file")
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return Progress(
        epochs=[EpochRecord(**values) for values in state["epochs"]],
        window_losses=[WindowLoss(**values) for values in state["window_losses"]],
        iteration=state["iteration"], seconds=state["seconds"], best=state["best"], best_epoch=state["best_epoch"],
        begun=None if state["begun"] is None else PartialEpoch(**state["begun"]))
