"""Checkpoints: the state of a run on disk. A resumed run has the same losses as one that was never stopped.

A checkpoint is written after each epoch, and about once a minute within an epoch that takes longer. The random streams
of batches and dropout start with a new seed in each epoch. For a partial epoch, the position in its batches and the
state of the dropout stream are stored.

`torch.save` writes a zip archive with a CRC of each member. `torch.load` does not compare it, so it is compared here.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gru_bench.config import RunConfig
from gru_bench.data.batches import Batch
from gru_bench.data.corpus import Corpus
from gru_bench.data.vectors import Vectors
from gru_bench.errors import FULL_DISK, DataError, MachineError, RunError
from gru_bench.platforms import remove, replace, replace_if_free
from gru_bench.results.runs import Check, EpochRecord, WindowLoss
from gru_bench.train.optimizer import Optimizer

FORMAT = 8
"""Version of the content of a checkpoint. Raise it with each change: a run does not resume from another version."""


@dataclass
class PartialEpoch:
    """What an epoch has trained so far, and its losses."""

    losses: Tensor
    """Sum of the losses of the texts."""
    window: Tensor
    """Sum of the losses of the batches of the window of the training loss that is not complete."""
    seconds_before: float
    """Training time of the epochs before this one."""
    dropout: Tensor
    """State of the generator of the dropout masks. It is set where the epoch is saved."""
    in_window: int = 0
    """Number of batches of the window."""
    batches: int = 0
    texts: int = 0
    tokens: int = 0

    @classmethod
    def new(cls, device: torch.device, seconds_before: float) -> PartialEpoch:
        """Return an epoch before its first batch."""
        losses, window = torch.zeros((), device=device, dtype=_precision(device)), torch.zeros((), device=device)
        return cls(losses, window, seconds_before, torch.empty(0))

    def move(self, device: torch.device) -> None:
        """Move the sums to a device."""
        self.losses, self.window = self.losses.to(device, _precision(device)), self.window.to(device)

    def add(self, batch: Batch, loss: Tensor) -> None:
        """Add a batch and its mean loss, without a wait for the device."""
        self.losses += loss * len(batch)
        self.window += loss
        self.in_window += 1
        self.batches += 1
        self.texts += len(batch)
        self.tokens += batch.tokens

    def mean(self) -> float:
        """Return the mean loss of a text."""
        return float(self.losses) / self.texts

    def close_window(self) -> float:
        """Return the mean loss of the batches of a window, and begin the next one."""
        mean = float(self.window) / self.in_window
        self.window.zero_()
        self.in_window = 0
        return mean


def _precision(device: torch.device) -> torch.dtype:
    """Return the type of a sum over an epoch. Apple's graphics processors have no float64."""
    return torch.float32 if device.type == "mps" else torch.float64


@dataclass
class Progress:
    """Progress of a run."""

    epochs: list[EpochRecord] = field(default_factory=list)
    window_losses: list[WindowLoss] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    iteration: int = 0
    seconds: float = 0.0
    best: dict[str, Tensor] | None = None
    best_epoch: int = 0
    begun: PartialEpoch | None = None


def checkpoint_name(config: RunConfig, corpus: Corpus, vectors: Vectors) -> str:
    """Return the file name of the checkpoint of a run."""
    return f"{identity_of(config, corpus, vectors)}.pt"


def identity_of(config: RunConfig, corpus: Corpus, vectors: Vectors) -> str:
    """Return a text that differs for runs with other settings, data or word vectors, and for checkpoints of another
    format."""
    parts = FORMAT, config.model_dump_json(), corpus.fingerprint, vectors.fingerprint
    return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()


def save_checkpoint(
    path: Path, identity: str, model: nn.Module, optimizer: Optimizer, progress: Progress
) -> None:
    """Write a checkpoint. It replaces the last one in one step, so that no checkpoint is half-written.

    The last one stays where another program keeps it open on Windows.

    Args:
        path: File of the checkpoint.
        identity: Text that identifies the settings and the data of the run.
        model: Model whose weights are saved.
        optimizer: Optimizer whose moments are saved.
        progress: Progress of the run.

    Raises:
        MachineError: where the file cannot be written, such as on a full disk. The last checkpoint stays.
    """
    state = {"identity": identity, "model": model.state_dict(), "optimizer": optimizer.state_dict(),
             "progress": progress}
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())  # otherwise a power failure may leave an empty file under the final name
        replace_if_free(part, path)
    except (OSError, RuntimeError) as error:
        remove(part)
        full = isinstance(error, OSError) and error.errno in FULL_DISK
        raise MachineError(
            f"cannot write the checkpoint {path}{': no space left on that disk' if full else f' ({error})'}; free "
            "some, or set GRU_BENCH_CACHE to another folder") from error


def load_checkpoint(path: Path, identity: str, model: nn.Module, optimizer: Optimizer) -> Progress:
    """Load a checkpoint into `model` and `optimizer`, and return the progress of its run.

    Raises:
        DataError: The file is damaged, or in another format. `model` and `optimizer` may hold a
            part of it.
        RunError: The file was written by a run with other settings or data.
        MachineError: The file cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MachineError(f"the checkpoint {path} cannot be read ({error.strerror}): make it readable, or delete it "
                           "to start this run again") from error
    try:
        state = _intact(content)
        if state["identity"] != identity:
            raise RunError(f"the checkpoint {path} was written with other settings or data: delete it, or choose "
                           "another file")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        progress: Progress = state["progress"]
        return progress
    except (RunError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise DataError(f"the checkpoint {path} is damaged, or in another format "
                        f"({type(error).__name__})") from error


def _intact(content: bytes) -> dict[str, Any]:
    """Return the state in a checkpoint after a comparison of all its CRCs."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if (member := archive.testzip()) is not None:
            raise zipfile.BadZipFile(f"the CRC of {member} differs")
    # On a CPU first: the card that wrote it may not be here, and two copies may not fit on a card.
    with torch.serialization.safe_globals([Progress, PartialEpoch, EpochRecord, WindowLoss, Check]):
        state: dict[str, Any] = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    return state


def set_aside(path: Path) -> Path:
    """Rename a checkpoint that cannot be used, and return its new path.

    Raises:
        MachineError: The file cannot be renamed.
    """
    aside = path.with_name(f"{path.name}.damaged")
    try:
        replace(path, aside)
    except OSError as error:
        raise MachineError(f"the damaged checkpoint {path} cannot be renamed ({error.strerror}): delete it to start "
                           "this run again") from error
    return aside
