"""Workers as tasks on a Ray cluster; the only module that imports ray.

`ClusterPool` does on a cluster what `local.Pool` does on this machine. Corpus and vectors are sent once to each node,
into its object store, from which all tasks of the node read them without a copy. So nodes need neither a shared disk
nor the data files, and all train on the data that this process has read. Epochs and answers pass through one actor; a
result is the value of its task.

Ray does not retry: a task whose node or process is lost ends as `Failed`, like that of a local worker, and the sweep
submits the job again. If all nodes share the cache folder, the job resumes from its checkpoint.
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

from gru_bench._version import __version__
from gru_bench.errors import RunError, UsageError, first_line
from gru_bench.platforms import cores
from gru_bench.sweep.workers.local import MOST_WORKERS, run_job
from gru_bench.sweep.workers.messages import End, Failed, Job, Message
from gru_bench.sweep.workers.tasks import Material, MeasureBaselines, corpus_of, materials, provide, vectors_of
from gru_bench.train.card import pinned

if TYPE_CHECKING:
    from gru_bench.data.corpus import Corpus, Split

ADDRESSES = "auto, local, HOST:PORT or ray://HOST:PORT"
_UNANSWERED = ("the Ray cluster {!r} does not respond: {}. Start it (ray start --head), give another --cluster, or "
               "leave it out")
CONNECT_SECONDS = 5.0
"""Seconds for a machine to accept a connection."""
NODE_CHECK_SECONDS = 10.0
"""Seconds between two checks of which nodes are alive."""


@dataclass(frozen=True)
class Node:
    """The resources of a node."""

    cpus: int
    gpus: float


@dataclass(frozen=True)
class Share:
    """The resources of a cluster that each trial gets."""

    workers: int
    """Most trials side by side."""
    threads: int
    """CPU threads (and Ray CPUs) per trial."""
    gpus: float
    """Graphics cards per trial; 0.5 means that two trials share one."""

    def room(self, nodes: Sequence[Node]) -> int:
        """Return how many trials fit on these nodes at once."""
        return min(self.workers, sum(_fit(node, self.threads, self.gpus) for node in nodes))


def shared_out(nodes: Sequence[Node], workers: int | None, gpus_per_trial: float | None, device: str) -> Share:
    """Return the share of each trial, with as many threads as possible while all trials fit at once.

    Args:
        nodes: Nodes of the cluster.
        workers: Trials side by side. None means as many as fit, but at most four per node without graphics cards.
        gpus_per_trial: Graphics cards per trial. None means one, if the cluster has any.
        device: The setting training.device of the trials.

    Raises:
        UsageError: No node has what a trial needs.
    """
    most = max((node.gpus for node in nodes), default=0.0)
    gpus = gpus_per_trial if gpus_per_trial is not None else float(most >= 1 and device != "cpu")
    if not 0 <= gpus <= 1:
        raise UsageError("--gpus-per-trial must be between 0 and 1, because a trial trains on one GPU, but got "
                         f"{gpus:g}: try --gpus-per-trial 0.5")
    if gpus > most:
        raise UsageError(f"--gpus-per-trial must be at most the GPUs of a node, but got {gpus:g} and the best of its "
                         f"{len(nodes)} nodes has {most:g}: start nodes with GPUs, or leave it out")
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
        """Connect to the cluster; `local` starts one on this machine that ends with this process.

        Raises:
            UsageError: Ray is not installed, or the address is not valid.
            RunError: No cluster answers.
        """
        # A host without a port is refused here: Ray would take it for a name of its own and wait.
        if address not in ("auto", "local") and not address.rpartition(":")[2].isdecimal():
            raise UsageError(f"--cluster must be {ADDRESSES}, but got {address!r}")
        self.ray = _ray()
        _require_listener(address)
        options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": "ERROR"}
        if address == "local":
            options |= {"num_cpus": cores(), "include_dashboard": False}
        # Ray installs its own handler of SIGTERM, but the sweep handles signals itself.
        before = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}
        try:
            self.ray.init(**options)
        except (ConnectionError, ValueError, RuntimeError, self.ray.exceptions.RayError) as error:
            raise RunError(_UNANSWERED.format(address, first_line(error))) from error
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)

    def nodes(self) -> list[Node]:
        """Return the nodes that are alive."""
        return [Node(int(node["Resources"].get("CPU", 0)), float(node["Resources"].get("GPU", 0)))
                for node in self.ray.nodes() if node["Alive"]]

    def close(self) -> None:
        """Disconnect from the cluster; a local cluster ends."""
        self.ray.shutdown()


def _require_listener(address: str) -> None:
    """Check within seconds that something listens at HOST:PORT; Ray itself would try for most of a minute."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise RunError(_UNANSWERED.format(address, getattr(error, "strerror", None) or error)) from error


class ClusterPool:
    """Workers as tasks on the nodes of a cluster. Use it as a context, which ends the tasks."""

    def __init__(self, cluster: Cluster, share: Share) -> None:
        """Start the mailbox; no task is started yet."""
        ray = self._ray = cluster.ray
        self._cluster, self._share = cluster, share
        self._sent: dict[object, Any] = {}
        """The data of a corpus, or the material of word vectors -> a reference to them in the object store."""
        # The mailbox runs on the node of this process (or of the server it talks to), so that it survives all others.
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False)
        self._mailbox = ray.remote(Mailbox).options(
            num_cpus=0, max_concurrency=1000, scheduling_strategy=here).remote()
        self._next_mail = self._mailbox.take.remote()
        self._run_task = ray.remote(_run_task)
        self._tasks: dict[Any, tuple[int, Job]] = {}
        """Ray's reference to a task -> its ticket and job. A ticket numbers a task."""
        self._tickets = 0
        self._room, self._room_checked = share.room(cluster.nodes()), time.monotonic()

    def __enter__(self) -> ClusterPool:
        """Return the pool."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the tasks; the checkpoints of the last complete epochs stay in the cache."""
        for task in self._tasks:
            with suppress(self._ray.exceptions.RayError, ValueError):
                self._ray.cancel(task, force=True)
        self._cluster.close()

    @property
    def idle(self) -> bool:
        """Whether the cluster has room for another job. If all nodes are lost, one job waits for a new node."""
        return len(self._tasks) < max(1, self._room)

    def submit(self, job: Job) -> None:
        """Start a job on a node that has room."""
        self._tickets += 1
        gpus = 0 if isinstance(job.task, MeasureBaselines) else self._share.gpus
        task = self._run_task.options(
            num_cpus=self._share.threads, num_gpus=gpus, max_retries=0, name=f"gru-bench: {job.key}",
        ).remote(
            job, self._tickets, self._mailbox, __version__, os.environ.get("GRU_BENCH_CACHE"), gpus > 0,
            # Ray resolves object references only if each is an argument of its own.
            *(part for material in materials(job.task) for part in (material, *self._send(material))))
        self._tasks[task] = (self._tickets, job)

    def _send(self, material: Material) -> tuple[Any, Any]:
        """Put texts and vectors into the object store, once, and return references to them."""
        data, embedding = material
        if data not in self._sent:
            self._sent[data] = self._ray.put(_in_memory(corpus_of(data)))
        if embedding is not None and material not in self._sent:
            vectors = vectors_of(embedding, data)
            self._sent[material] = self._ray.put(replace(vectors, table_VE=np.asarray(vectors.table_VE)))
        return self._sent[data], self._sent.get(material)

    def answer(self, job: Job, *, go_on: bool) -> None:
        """Answer a `Check` or an `EpochRecord`."""
        for ticket, its_job in self._tasks.values():
            if its_job is job:
                self._mailbox.answer.remote(ticket, go_on)

    def messages(self, timeout: float) -> Iterator[tuple[Job, Message]]:
        """Yield the messages that arrive within `timeout` seconds.

        Raises:
            RunError: The mailbox is lost, and with it the connection to the cluster.
        """
        waiting = [self._next_mail, *self._tasks]
        ready, _ = self._ray.wait(waiting, num_returns=1, timeout=timeout)
        if ready:
            ready, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0)
        if self._next_mail in ready:
            yield from self._mail()
        for task in ready:
            if task in self._tasks:
                message = self._ended(task)
                _, job = self._tasks.pop(task)
                yield job, message
        if time.monotonic() - self._room_checked > NODE_CHECK_SECONDS:
            self._update_room()

    def _mail(self) -> Iterator[tuple[Job, Message]]:
        try:
            messages = self._ray.get(self._next_mail)
        except self._ray.exceptions.RayError as error:
            raise RunError(f"the connection to the Ray cluster is lost: {first_line(error)}. The same command "
                           "continues from here") from error
        self._next_mail = self._mailbox.take.remote()
        jobs = dict(self._tasks.values())
        for ticket, message in messages:
            if ticket in jobs:  # otherwise the task was lost meanwhile
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
            self._update_room()
            return Failed("worker", "its node was lost")
        except errors.RayError as error:
            self._update_room()
            return Failed("worker", f"its process was lost: {first_line(error)}")

    def _update_room(self) -> None:
        self._room, self._room_checked = self._share.room(self._cluster.nodes()), time.monotonic()


class Mailbox:
    """Ray actor that passes messages and answers between a sweep and its tasks."""

    def __init__(self) -> None:
        """Create an empty mailbox."""
        self._mail: asyncio.Queue[tuple[int, Message]] = asyncio.Queue()
        self._answers: dict[int, asyncio.Queue[bool]] = {}

    async def put(self, ticket: int, message: Message) -> None:
        """Store a message for the sweep."""
        self._mail.put_nowait((ticket, message))

    async def take(self) -> list[tuple[int, Message]]:
        """Wait for a message and return all messages that have arrived."""
        messages = [await self._mail.get()]
        while not self._mail.empty():
            messages.append(self._mail.get_nowait())
        return messages

    async def answer(self, ticket: int, go_on: bool) -> None:
        """Store the sweep's answer for a task."""
        self._answers.setdefault(ticket, asyncio.Queue()).put_nowait(go_on)

    async def answered(self, ticket: int) -> bool:
        """Wait for the sweep's answer to a task and return it."""
        return await self._answers.setdefault(ticket, asyncio.Queue()).get()


class _MailboxChannel:
    """A task's connection to its sweep, through the mailbox."""

    def __init__(self, mailbox: Any, ticket: int) -> None:
        self._mailbox, self._ticket = mailbox, ticket

    def send(self, message: Message) -> None:
        self._mailbox.put.remote(self._ticket, message)

    def recv(self) -> bool:
        return bool(_ray().get(self._mailbox.answered.remote(self._ticket)))


def _run_task(job: Job, ticket: int, mailbox: Any, version: str, cache: str | None, card: bool, *sent: Any) -> End:
    """Do one job on a node of the cluster; `sent` holds a material, its corpus and its vectors in turn."""
    if version != __version__:
        return Failed("settings", f"all nodes need the same version of gru-bench, but a node has {__version__} and "
                                  f"this machine {version}: pip install gru-bench=={version} there")
    if cache is not None:
        os.environ["GRU_BENCH_CACHE"] = cache
    if not card:
        os.environ.update(pinned(""))  # the task was given no card, even if its node has some
    for material, corpus, vectors in zip(*(sent[place::3] for place in range(3)), strict=True):
        provide(material, corpus, vectors)
    return run_job(job, _MailboxChannel(mailbox, ticket))


def _in_memory(corpus: Corpus) -> Corpus:
    """Return the corpus with plain arrays instead of memory-mapped ones, which Ray would copy for each task."""
    def plain(split: Split) -> Split:
        return replace(split, ids=np.asarray(split.ids))

    return replace(corpus, train=plain(corpus.train), validation=plain(corpus.validation), test=plain(corpus.test))


def _ray() -> Any:
    """Import ray with its usage reports and hints switched off."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.exceptions
        import ray.util.scheduling_strategies
    except ImportError as error:
        raise UsageError(
            "--cluster needs ray, which is not installed here: pip install \"ray[client]\"") from error
    return ray


def _cause(error: Exception) -> str:
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {first_line(cause)}"
