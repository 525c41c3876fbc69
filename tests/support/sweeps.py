"""A small sweep, in this process or in one as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import pytest

from gru_bench.sweep.__main__ import app
from gru_bench.sweep.workers.local import run_job
from gru_bench.sweep.workers.messages import End, Failed, Job, Message
from gru_bench.tracking import LoggedStudy, open_reader
from tests.support.commands import ROOT, completed

STUDY = """
base = "none"
purpose = "Which learning rate?"
models = ["torch"]
trials = 3
confirm = 2
[embedding]
dimension = 12
[model]
hidden_size = 8
backend = "torch"
[training]
epochs = 2
batch_size = 16
threads = 1
log_every = 5
[space]
training.lr = { low = 1e-3, high = 1e-1, log = true }
"""


SCRIPT = str(ROOT / "sweeps" / "run.py")


class ThreadPool:
    """Does the jobs of a sweep one after another in a thread of this process, whose libraries are loaded."""

    def __init__(self, workers: int, cards: Sequence[str] = ()) -> None:
        """Take what `local.Pool` takes; there is one worker, whatever their number."""
        self._job: Job | None = None
        self._thread: Thread | None = None
        self._messages: SimpleQueue[Message] = SimpleQueue()
        self._answers: SimpleQueue[bool] = SimpleQueue()

    def __enter__(self) -> ThreadPool:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._answers.put(False)  # a job under way ends at its next epoch
            self._thread.join()

    @property
    def idle(self) -> bool:
        return self._job is None

    def submit(self, job: Job) -> None:
        def work() -> None:
            try:
                self._messages.put(run_job(job, self))
            except Exception as error:
                self._messages.put(Failed("worker", repr(error)))

        self._job, self._thread = job, Thread(target=work)
        self._thread.start()

    def answer(self, job: Job, *, go_on: bool) -> None:
        self._answers.put(go_on)

    def messages(self, timeout: float) -> Iterator[tuple[Job, Message]]:
        try:
            message = self._messages.get(timeout=timeout)
        except Empty:
            return
        assert self._job is not None
        job = self._job
        if isinstance(message, End):
            self._job = None
        yield job, message

    def send(self, message: Any) -> None:
        """Take a message of the job."""
        self._messages.put(message)

    def recv(self) -> bool:
        """Return the answer that the job waits for."""
        return self._answers.get()


@contextmanager
def without_worker_processes() -> Iterator[None]:
    """Let the sweeps that are started inside this context train in a thread of this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gru_bench.sweep.workers.local.Pool", ThreadPool)
        yield


def sweep(directory: Path, data: Path, *options: str, study: str = STUDY) -> subprocess.CompletedProcess[str]:
    """A sweep of the study `quick`, all of it in this process."""
    (directory / "quick.toml").write_text(study, encoding="utf-8")
    with without_worker_processes():
        return completed(app, "--study", "quick.toml", "--data", str(data), *options, cwd=directory, program=SCRIPT)


def started(directory: Path, data: Path, *options: str, until: str = "") -> subprocess.Popen[str]:
    """Start a sweep and return its process once it has printed a line with `until`; by default, once one of its runs
    has a checkpoint."""
    (directory / "quick.toml").write_text(STUDY, encoding="utf-8")
    before = checkpoints()
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "--study", "quick.toml", "--data", str(data), *options],
        cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    if until:
        assert any(until in line for line in process.stdout)
    else:
        await_checkpoints(before)
    return process


def checkpoints() -> set[tuple[str, int]]:
    """The checkpoints of runs that train or were interrupted, as they are now."""
    found = set()
    for file in Path(os.environ["GRU_BENCH_CACHE"], "checkpoints").glob("*.pt"):
        with suppress(FileNotFoundError):  # its run has just ended
            found.add((file.name, file.stat().st_mtime_ns))
    return found


def await_checkpoints(before: set[tuple[str, int]], runs: int = 1) -> None:
    """Wait until so many runs have written a checkpoint, after those of `before`."""
    deadline = time.monotonic() + 200
    while len({name for name, _ in checkpoints() - before}) < runs:
        assert time.monotonic() < deadline, "no run has written a checkpoint"
        time.sleep(0.02)


def only_study(directory: Path) -> LoggedStudy:
    store = open_reader(f"sqlite:///{directory / 'mlflow.db'}")
    (study,) = store.studies("easy")
    return study
