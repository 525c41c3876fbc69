"""The only module that imports ray: workers as tasks on the nodes of a cluster.

`ClusterPool` is to a cluster what `workers.Pool` is to this machine. Corpus and vectors travel once to each node, into
its object store, from which all its tasks read them without a copy: nodes need neither a shared disk nor the data's
files, and what they train on is by construction what this process has read. Epochs, and the answers whether to go on,
pass through one small actor; a result comes back as the value of its task.

Ray is told not to retry: a task whose node or process is lost ends as `Failed`, as that of a local worker does, and
the sweep hands its job out again. Where all nodes share the cache's folder it goes on from its checkpoint.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gru_bench import __version__
from gru_bench.errors import RunError, UsageError
from gru_bench.sweep.workers.local import MOST_WORKERS, Failed, Finished, Job, Message, WasPruned, cores, outcome
from gru_bench.sweep.workers.tasks import Material, MeasureBaselines, corpus_of, provide, vectors_of

if TYPE_CHECKING:
    from gru_bench.data.corpus import Corpus, Split

ADDRESSES = "auto, local, HOST:PORT or ray://HOST:PORT"
_UNANSWERED = ("the Ray cluster must answer, but {!r} does not: {}. Start it (ray start --head), name another "
               "--cluster, or leave it out")
KNOCK_SECONDS = 5.0
"""For a machine to answer at all."""
LOOK_SECONDS = 10.0
"""Between two looks at which nodes are there."""


@dataclass(frozen=True)
class Node:
    """What a node offers."""

    cpus: int
    gpus: float


@dataclass(frozen=True)
class Share:
    """How a cluster is shared out."""

    workers: int
    """Trials side by side, at most."""
    threads: int
    """CPU threads, and CPUs of Ray's, for each."""
    gpus: float
    """Graphics cards for each: a half means that two trials share one."""

    def room(self, nodes: Sequence[Node]) -> int:
        """Return how many trials fit on these nodes at once."""
        return min(self.workers, sum(_fit(node, self.threads, self.gpus) for node in nodes))


def shared_out(nodes: Sequence[Node], workers: int | None, gpus_per_trial: float | None, device: str) -> Share:
    """Return what each trial gets: as many threads as leave room for all trials at once.

    Args:
        nodes: of the cluster.
        workers: trials side by side; None means as many as fit, on nodes without graphics cards at most four each.
        gpus_per_trial: None means one, on a cluster that has any.
        device: that trials ask for.

    Raises:
        UsageError: where no node has what a trial needs.
    """
    most = max((node.gpus for node in nodes), default=0.0)
    gpus = gpus_per_trial if gpus_per_trial is not None else float(most >= 1 and device != "cpu")
    if not 0 <= gpus <= 1:
        raise UsageError("--gpus-per-trial must be between 0 and 1, because a trial trains on one card, but got "
                         f"{gpus:g}: try --gpus-per-trial 0.5")
    if gpus > most:
        raise UsageError(f"--gpus-per-trial must be what a node of the cluster has, but got {gpus:g} and the best of "
                         f"its {len(nodes)} nodes has {most:g}: start nodes with graphics cards, or leave it out")
    if workers is None:
        limit = MOST_WORKERS if gpus == 0 else None
        workers = max(1, sum(min(_fit(node, 1, gpus), limit or node.cpus) for node in nodes))
    most_threads = max((node.cpus for node in nodes), default=1)
    threads = max((count for count in range(1, most_threads + 1)
                   if sum(_fit(node, count, gpus) for node in nodes) >= workers), default=1)
    return Share(workers, threads, gpus)


def _fit(node: Node, threads: int, gpus: float) -> int:
    by_cpu = node.cpus // threads
    return by_cpu if gpus == 0 else min(by_cpu, int(node.gpus) * int(1 / gpus + 1e-9))


class Cluster:
    """A connection to a Ray cluster."""

    def __init__(self, address: str) -> None:
        """Connect; `local` starts a cluster of this machine alone, for as long as this process runs.

        Raises:
            UsageError: where ray is not installed, or the address cannot be meant.
            RunError: where no cluster answers.
        """
        # A host without a port is refused here: Ray would take it for a name of its own and wait.
        if address not in ("auto", "local") and not address.rpartition(":")[2].isdecimal():
            raise UsageError(f"--cluster must be {ADDRESSES}, but got {address!r}")
        self.ray = _ray()
        _knock(address)
        options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": "ERROR"}
        if address == "local":
            options |= {"num_cpus": cores(), "include_dashboard": False}
        # Ray takes SIGTERM for itself, but how a sweep ends is for the sweep to say.
        before = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}
        try:
            self.ray.init(**options)
        except (ConnectionError, ValueError, RuntimeError, self.ray.exceptions.RayError) as error:
            raise RunError(_UNANSWERED.format(address, _first_line(error))) from error
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)

    def nodes(self) -> list[Node]:
        """Return the nodes that live."""
        return [Node(int(node["Resources"].get("CPU", 0)), float(node["Resources"].get("GPU", 0)))
                for node in self.ray.nodes() if node["Alive"]]

    def close(self) -> None:
        """Leave the cluster; a local one ends."""
        self.ray.shutdown()


def _knock(address: str) -> None:
    """Find out in seconds that nobody listens at HOST:PORT: Ray tries for most of a minute.

    Raises:
        RunError: where nobody does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise RunError(_UNANSWERED.format(address, getattr(error, "strerror", None) or error)) from error


class ClusterPool:
    """Tasks on a cluster's nodes; use as a context, which ends them however it is left."""

    def __init__(self, cluster: Cluster, share: Share) -> None:
        """Prepare; no task is started yet."""
        ray = self._ray = cluster.ray
        self._cluster, self._share = cluster, share
        self._shipped: dict[Material, tuple[Any, Any]] = {}
        # On the node of this process (or of the server it talks to): no other node may take it along when it goes.
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False)
        self._mailbox = ray.remote(Mailbox).options(
            num_cpus=0, max_concurrency=1000, scheduling_strategy=here).remote()
        self._post = self._mailbox.take.remote()
        self._do = ray.remote(_do)
        self._tasks: dict[Any, tuple[int, Job]] = {}
        """Task -> its ticket and job."""
        self._tickets = 0
        self._room, self._looked = share.room(cluster.nodes()), time.monotonic()

    def __enter__(self) -> ClusterPool:
        """Return the pool."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the tasks: what they train is kept up to its last whole epoch where the cache is shared."""
        for task in self._tasks:
            with suppress(self._ray.exceptions.RayError, ValueError):
                self._ray.cancel(task, force=True)
        self._cluster.close()

    @property
    def idle(self) -> bool:
        """Whether the cluster has room for another job; where all nodes are lost one job waits for the next."""
        return len(self._tasks) < max(1, self._room)

    @property
    def busy(self) -> bool:
        """Whether some job is under way."""
        return bool(self._tasks)

    def submit(self, job: Job) -> None:
        """Start a job on a node that has room."""
        self._tickets += 1
        gpus = 0 if isinstance(job.task, MeasureBaselines) else self._share.gpus
        task = self._do.options(
            num_cpus=self._share.threads, num_gpus=gpus, max_retries=0, name=f"gru-bench: {job.key}",
        ).remote(
            job, self._tickets, self._mailbox, __version__, os.environ.get("GRU_BENCH_CACHE"), gpus > 0,
            # Objects reach a task only as arguments of their own.
            *(part for material in job.task.materials for part in (material, *self._ship(material))))
        self._tasks[task] = (self._tickets, job)

    def _ship(self, material: Material) -> tuple[Any, Any]:
        """Put reviews and vectors where tasks find them, once."""
        if material not in self._shipped:
            data, embedding = material
            known = next((shipped for (its_data, _), (shipped, _) in self._shipped.items() if its_data == data), None)
            corpus = known if known is not None else self._ray.put(_in_memory(corpus_of(data)))
            vectors = None
            if embedding is not None:
                loaded = vectors_of(embedding, data)
                vectors = self._ray.put(replace(loaded, table_VE=np.asarray(loaded.table_VE)))
            self._shipped[material] = corpus, vectors
        return self._shipped[material]

    def answer(self, job: Job, *, go_on: bool) -> None:
        """Answer an `EpochDone`."""
        for ticket, its_job in self._tasks.values():
            if its_job is job:
                self._mailbox.answer.remote(ticket, go_on)

    def messages(self, timeout: float) -> Iterator[tuple[Job, Message]]:
        """Yield what the tasks say within `timeout` seconds.

        Raises:
            RunError: where the actor that carries the messages is lost, and with it the cluster.
        """
        waiting = [self._post, *self._tasks]
        ready, _ = self._ray.wait(waiting, num_returns=1, timeout=timeout)
        if ready:
            ready, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0)
        if self._post in ready:
            yield from self._letters()
        for task in ready:
            if task in self._tasks:
                message = self._ended(task)
                _, job = self._tasks.pop(task)
                yield job, message
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._look()

    def _letters(self) -> Iterator[tuple[Job, Message]]:
        try:
            letters = self._ray.get(self._post)
        except self._ray.exceptions.RayError as error:
            raise RunError("the Ray cluster must hold together, but its connection to this sweep is lost: "
                           f"{_first_line(error)}. The same command goes on from here") from error
        self._post = self._mailbox.take.remote()
        jobs = dict(self._tasks.values())
        for ticket, message in letters:
            if ticket in jobs:  # the task may have been lost meanwhile
                yield jobs[ticket], message

    def _ended(self, task: Any) -> Message:
        errors = self._ray.exceptions
        try:
            message: Message = self._ray.get(task)
            return message
        except errors.RayTaskError as error:
            return Failed("worker", f"its task ended by {_cause(error)}")
        except errors.OutOfMemoryError:
            return Failed("worker", "its node ran out of memory")
        except (errors.NodeDiedError, errors.ObjectLostError):
            self._look()
            return Failed("worker", "its node was lost")
        except errors.RayError as error:
            self._look()
            return Failed("worker", f"its process was lost: {_first_line(error)}")

    def _look(self) -> None:
        self._room, self._looked = self._share.room(self._cluster.nodes()), time.monotonic()


class Mailbox:
    """The actor between a sweep and its tasks."""

    def __init__(self) -> None:
        """Begin empty."""
        self._letters: asyncio.Queue[tuple[int, Message]] = asyncio.Queue()
        self._answers: dict[int, asyncio.Queue[bool]] = {}

    async def put(self, ticket: int, message: Message) -> None:
        """Leave a message for the sweep."""
        self._letters.put_nowait((ticket, message))

    async def take(self) -> list[tuple[int, Message]]:
        """Wait for messages and return all that are there."""
        letters = [await self._letters.get()]
        while not self._letters.empty():
            letters.append(self._letters.get_nowait())
        return letters

    async def answer(self, ticket: int, go_on: bool) -> None:
        """Leave the sweep's answer for a task."""
        self._answers.setdefault(ticket, asyncio.Queue()).put_nowait(go_on)

    async def answered(self, ticket: int) -> bool:
        """Wait for the sweep's answer."""
        return await self._answers.setdefault(ticket, asyncio.Queue()).get()


class _Line:
    """A task's end of the mailbox."""

    def __init__(self, mailbox: Any, ticket: int) -> None:
        self._mailbox, self._ticket = mailbox, ticket

    def send(self, message: Message) -> None:
        self._mailbox.put.remote(self._ticket, message)

    def recv(self) -> bool:
        return bool(_ray().get(self._mailbox.answered.remote(self._ticket)))


def _do(
    job: Job, ticket: int, mailbox: Any, version: str, cache: str | None, card: bool, *shipped: Any
) -> Finished | WasPruned | Failed:
    """Do one job on a node."""
    if version != __version__:
        return Failed("settings", "all nodes must have the gru-bench of this machine, but a node has "
                                  f"{__version__} and this machine {version}: pip install gru-bench=={version} there")
    if cache is not None:
        os.environ["GRU_BENCH_CACHE"] = cache
    if not card:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # it was given none, whatever its node has
    for material, corpus, vectors in zip(*(shipped[place::3] for place in range(3)), strict=True):
        provide(material, corpus, vectors)
    return outcome(job, _Line(mailbox, ticket))


def _in_memory(corpus: Corpus) -> Corpus:
    """Return the corpus with plain arrays, which travel without a copy; memory-mapped ones do not."""
    def plain(split: Split) -> Split:
        return replace(split, ids=np.asarray(split.ids))

    return replace(corpus, train=plain(corpus.train), validation=plain(corpus.validation), test=plain(corpus.test))


def _ray() -> Any:
    """Import ray with its reports on usage and its advice off."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.exceptions
        import ray.util.scheduling_strategies
    except ImportError as error:
        raise UsageError(
            "--cluster needs ray, which is not installed here: pip install 'gru-bench[cluster]'") from error
    return ray


def _cause(error: Exception) -> str:
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {_first_line(cause)}"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]
