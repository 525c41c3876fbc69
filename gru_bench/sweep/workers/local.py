"""Local workers: processes of this machine that train runs, each with its share of the cores.

A worker does one job after another. It reports each epoch to its parent and waits for the answer whether to go on.
It knows neither the search nor the tracking store: only the parent writes to them.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from gru_bench import errors
from gru_bench.data.code import keep
from gru_bench.errors import FULL_DISK, GruBenchError, MachineError, RunError, out_of_memory
from gru_bench.platforms import cores, interrupts_held_back, was_killed, worker_per_core
from gru_bench.results.runs import Check, EpochRecord
from gru_bench.sweep.workers.messages import (
    Channel,
    End,
    Failed,
    Finished,
    Job,
    Message,
    Note,
    Restarted,
    Resumed,
    WasPruned,
)
from gru_bench.sweep.workers.tasks import requiring
from gru_bench.train.card import NO_MEMORY, pinned, visible
from gru_bench.train.listener import Listener, Pruned

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
STOP_SECONDS = 3.0
MOST_WORKERS = 4
"""Default limit of workers in a search: trials that run side by side cannot learn from each other."""
_STARTING = threading.Lock()
"""Held while processes start without a script. Studies may run in several threads."""


def cards(device: str) -> list[str]:
    """Return the cards that runs on `device` share out, as `card.pinned` takes them. Empty where each run takes
    `device` itself: a CPU, or a card with a number."""
    return visible() if device in ("auto", "cuda") else []


def default_workers(device: str, cards: Sequence[str] = (), *, searching: bool = True) -> int:
    """Return how many runs to train side by side on `device`.

    On a CPU, runs of one thread each side by side train a third more texts per second than one run on all threads.
    A graphics card trains one run at a time.
    """
    if cards or device not in ("auto", "cpu"):
        return max(1, len(cards))
    return min(worker_per_core(), MOST_WORKERS) if searching else worker_per_core()


def fair_threads(workers: int) -> int:
    """Return the number of threads for each of `workers` processes, at least one."""
    return max(1, cores() // workers)


class Pool:
    """Worker processes of this machine. Use it as a context, which ends the processes."""

    def __init__(self, workers: int, cards: Sequence[str] = ()) -> None:
        """Start processes.

        Args:
            workers: Number of processes.
            cards: Graphics cards that the processes share evenly: each sees one of them only. Empty: each sees all.
        """
        self._context = multiprocessing.get_context("spawn")
        self._threads = fair_threads(workers)
        self._workers = [self._start(cards[number % len(cards)] if cards else None) for number in range(workers)]

    def __enter__(self) -> Pool:
        """Return the pool."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes; the checkpoints of the last complete epochs stay."""
        for worker in self._workers:
            worker.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()
            worker.process.close()

    @property
    def idle(self) -> bool:
        """Whether a worker has no job."""
        return any(worker.job is None for worker in self._workers)

    def submit(self, job: Job) -> None:
        """Give a job to an idle worker."""
        worker = next(worker for worker in self._workers if worker.job is None)
        worker.job = job
        try:
            worker.pipe.send(job)
        except OSError:  # the worker died while idle, so the job is not the cause
            self._replace(worker)
            worker.pipe.send(job)

    def answer(self, job: Job, *, go_on: bool) -> None:
        """Answer a `Check` or an `EpochRecord`."""
        worker = next(worker for worker in self._workers if worker.job is job)
        try:
            worker.pipe.send(go_on)
        except OSError:  # the worker died meanwhile, which `messages` reports
            return

    def messages(self, timeout: float) -> Iterator[tuple[Job, Message]]:
        """Yield the messages that arrive within `timeout` seconds; a worker that died is replaced."""
        for pipe in wait([worker.pipe for worker in self._workers], timeout):
            worker = next(worker for worker in self._workers if worker.pipe is pipe)
            try:
                message: Message = worker.pipe.recv()
            except (EOFError, OSError):
                message = self._replace(worker)
            job = worker.job
            if job is None:
                continue
            if isinstance(message, End):
                worker.job = None
            yield job, message

    def _replace(self, worker: _Worker) -> Message:
        worker.process.join()
        code = worker.process.exitcode
        worker.pipe.close()
        worker.process.close()
        fresh = self._start(worker.card)
        worker.process, worker.pipe = fresh.process, fresh.pipe
        how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        hint = " (out of memory?)" if was_killed(code) else ""
        return Failed("worker", f"its worker process ended by {how}{hint}")

    def _start(self, card: str | None) -> _Worker:
        ours, theirs = self._context.Pipe()
        # Read by the numerical libraries when the new process loads them.
        own = dict.fromkeys(THREAD_VARIABLES, str(self._threads)) | ({} if card is None else pinned(card))
        before = {name: os.environ.get(name) for name in own}
        os.environ.update(own)
        process = self._context.Process(target=_work, args=(theirs,), daemon=True)
        try:
            with interrupts_held_back(), _script_left_out():  # until the worker ignores them
                process.start()
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
        theirs.close()
        return _Worker(process, ours, card)


@contextmanager
def _script_left_out() -> Iterator[None]:
    """Start processes inside this context that do not run the script of this process once more.

    A spawned process imports the main module of its parent by its name or file. A worker needs nothing of it, and a
    script that starts a study would start it again, unless it had a guard.
    """
    main = vars(sys.modules["__main__"])
    with _STARTING:
        known: dict[str, Any] = {name: main[name] for name in ("__spec__", "__file__") if name in main}
        main["__spec__"] = None
        main.pop("__file__", None)
        try:
            yield
        finally:
            main.pop("__spec__")
            main.update(known)


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    card: str | None
    job: Job | None = None


def _work(pipe: Connection) -> None:
    """Do jobs until the parent ends this process or has ended itself."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes, but the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with suppress(ImportError):  # the job shows it
            importlib.import_module("gru_bench.train.loop")  # imports torch while the parent prepares the first job
        while True:
            job: Job = pipe.recv()
            pipe.send(run_job(job, pipe))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _end_with_parent() -> None:
    """End this process as soon as the parent was killed, instead of at the next epoch."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def run_job(job: Job, channel: Channel) -> End:
    """Do a job in this process and return its last message."""
    def ask(message: Check | EpochRecord) -> None:
        channel.send(message)
        if not channel.recv():
            raise Pruned

    listener = Listener(
        step=channel.send, check=ask, epoch=ask,
        restarted=lambda reason: channel.send(Restarted(reason)),
        note=lambda text: channel.send(Note(text)), resumed=lambda epoch: channel.send(Resumed(epoch)))
    try:
        for text in job.code:
            keep(text)
        with requiring(job.fingerprint):
            return Finished(job.task(listener))
    except Pruned:
        return WasPruned()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    except MachineError as error:
        return Failed("machine", str(error))
    except RunError as error:
        return Failed("run", str(error))
    except MemoryError:
        return Failed("run", NO_MEMORY)
    except GruBenchError as error:
        return Failed("settings", str(error))
    except RuntimeError as error:
        if out_of_memory(error):
            return Failed("run", NO_MEMORY)
        raise
    except ImportError as error:
        if out_of_memory(error):
            return Failed("machine", errors.NO_MEMORY)
        raise
    except OSError as error:
        if error.errno in FULL_DISK:
            return Failed("machine", f"no space left on the disk{f' of {error.filename}' if error.filename else ''}")
        raise
