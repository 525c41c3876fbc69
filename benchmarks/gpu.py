"""Checks and timings of everything that runs on a graphics card, in one command of at most ten minutes.

    python benchmarks/gpu.py --strict           on a machine with a card; writes gpu.json
    python benchmarks/gpu.py --dry              the same functions on a CPU, at 4 steps and hidden size 8, untimed

Each check has a verdict: ok, FAILED, or SKIPPED with the reason. What is equal must be so to the tolerance that stands
in the check. FAILED makes the exit code 1; with --strict SKIPPED does too. The JSON file holds all values.

Times are medians of CUDA events, after the first calls. A train step is forward, backward, clipping and Adam, from a
batch in the memory of the host. Words are drawn uniformly, so that nothing depends on a data set.

Shapes: `B` reviews of a batch, `T` steps, `E` vector width, `H` hidden width, `V` words.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np

ROOT = Path(__file__).parents[1]
SECONDS = 420.0
"""Time after which no further check begins, so that the last one ends within ten minutes."""
Values = dict[str, Any]


@dataclass(frozen=True)
class Scale:
    """How large everything is, and where it runs."""

    device: str
    timed: bool
    batch: int
    steps: int
    hidden: tuple[int, ...]
    width: int
    words: int
    reviews: int
    trials: int
    workers: tuple[int, ...]
    repeats: int

    def config(self, **settings: Any) -> Any:
        """Return the config of a run of this size; `__` stands for the dot of a setting's name."""
        from gru_bench.config import RunConfig, with_settings

        return with_settings(RunConfig(), {
            "embedding.name": "random", "embedding.dimension": self.width, "model.hidden_size": self.hidden[0],
            "training.batch_size": self.batch, "training.device": self.device, "training.epochs": 1,
            "training.log_every": 5, "data.max_length": self.steps,
            **{name.replace("__", "."): value for name, value in settings.items()}})


CARD = Scale("cuda:0", True, 64, 150, (100, 128, 160, 192, 256), 300, 20_000, 8_000, 8, (1, 4, 8), 20)
DRY = Scale("cpu", False, 4, 4, (8, 9), 6, 50, 40, 2, (1, 2), 1)


class Skipped(Exception):
    """Raised by a check that cannot be made here."""


@dataclass
class Result:
    """What a check found."""

    name: str
    verdict: str
    said: str
    seconds: float = 0.0
    values: list[Values] = field(default_factory=list)


def agree(what: str, got: float, most: float, values: Values) -> None:
    """Note how far two computations differ; fail above `most`."""
    values[f"{what} differs by"] = got
    if not got <= most:
        raise AssertionError(f"{what} must differ by at most {most:g}, but differs by {got:.3g}")


def milliseconds(scale: Scale, call: Callable[[], object]) -> float | None:
    """Return the median time of a call, after warming up; None in a dry run, which calls it once."""
    import torch

    if not scale.timed:
        call()
        return None
    times: list[float] = []
    for turn in range(scale.repeats + 3):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        end.synchronize()
        if turn >= 3:
            times.append(start.elapsed_time(end))
    return median(times)


def wall_milliseconds(scale: Scale, call: Callable[[], object]) -> float | None:
    """Return the median time of a call on the CPU; None in a dry run."""
    times = []
    for _ in range(scale.repeats + 3 if scale.timed else 1):
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return median(times[3:]) if scale.timed else None


def fastest(times: dict[str, float | None]) -> str:
    """Return contender and time, each, for the table."""
    return ", ".join(f"{name} {'not timed' if ms is None else f'{ms:.2f} ms'}" for name, ms in times.items())


# ---------------------------------------------------------------- what is run


def drawn_batch(scale: Scale, batch: int | None = None, *, equal: bool = False) -> Any:
    """Return a batch of reviews whose lengths lie between half of the steps and all of them."""
    import torch

    from gru_bench.data.batches import Batch, Distinct

    random, count = np.random.default_rng(0), batch or scale.batch
    length_B = np.full(count, scale.steps) if equal else random.integers(scale.steps // 2, scale.steps + 1, count)
    length_B[0] = scale.steps
    row_BT = random.integers(1, scale.words, (count, scale.steps))
    row_BT[np.arange(scale.steps) >= length_B[:, None]] = 0
    distinct_U, index_BT = Distinct(scale.words)(row_BT)
    return Batch.of(*map(torch.from_numpy, (
        distinct_U, index_BT, length_B, random.integers(0, 2, count), np.arange(count))))


def table(scale: Scale, device: str) -> Any:
    """Return a table of word vectors; row 0 is padding."""
    import torch

    table_VE = torch.randn(scale.words, scale.width, generator=torch.Generator().manual_seed(0))
    table_VE[0] = 0
    return table_VE.to(device)


class Ours:
    """Our train step on one batch."""

    def __init__(self, scale: Scale, batch: Any, device: str, backend: str = "torch", **settings: Any) -> None:
        import torch

        from gru_bench.models.classifier import Classifier
        from gru_bench.models.recurrence import in_chunks
        from gru_bench.train.optimizer import Optimizer

        self.config = scale.config(training__lr=1e-4, **settings)
        self.device, self.backend, self.batch = torch.device(device), backend, batch
        self.table_VE = table(scale, device)
        self.model = Classifier(self.config.model, self.table_VE, torch.Generator().manual_seed(0)).to(self.device)
        in_chunks(list(self.model.recurrence.parameters()))
        self.optimizer = Optimizer(self.model, None, self.config.training, fused=backend == "fused")

    def loss(self) -> Any:
        """Return the loss of the batch, from which gradients can be taken."""
        from torch.nn.functional import nll_loss

        there = self.batch.to(self.device)
        self.rows_UE, self.distinct_U = self.table_VE.index_select(0, there.distinct_U), there.distinct_U
        log_BC = self.model(self.rows_UE, there.index_BT, there.length_B, backend=self.backend,
                            bf16=self.config.training.bf16, equal_lengths=there.equal_lengths)
        return nll_loss(log_BC.float(), there.label_B)

    def step(self) -> Any:
        """Do one step and return its loss."""
        loss = self.loss()
        loss.backward()
        self.optimizer.step(self.distinct_U, self.rows_UE)
        return loss.detach()


class Peer:
    """The step of a typical program: nn.Embedding, nn.GRU in one direction, padded or packed, and fused Adam."""

    def __init__(self, scale: Scale, ours: Ours, *, packed: bool) -> None:
        import torch
        from torch import nn

        self.packed, self.device = packed, ours.device
        batch = ours.batch
        self.ids_BT, self.length_B, self.label_B = batch.distinct_U[batch.index_BT], batch.length_B, batch.label_B
        self.embedding = nn.Embedding.from_pretrained(ours.table_VE)
        self.gru = nn.GRU(scale.width, ours.config.model.hidden_size, batch_first=True).to(self.device)
        self.gru.load_state_dict(ours.model.recurrence.state_dict())
        self.linear = nn.Linear(ours.config.model.hidden_size, 2).to(self.device)
        self.linear.load_state_dict(ours.model.linear.state_dict())
        self.parameters = [*self.gru.parameters(), *self.linear.parameters()]
        self.adam = torch.optim.Adam(self.parameters, lr=1e-4, fused=True)

    def step(self) -> Any:
        """Do one step and return its loss."""
        import torch
        from torch.nn.utils import rnn

        ids_BT, label_B = self.ids_BT.to(self.device), self.label_B.to(self.device)
        x_BTE = self.embedding(ids_BT)
        if self.packed:
            packed = rnn.pack_padded_sequence(x_BTE, self.length_B, batch_first=True, enforce_sorted=False)
            last_BH = self.gru(packed)[1][-1]
        else:
            last = self.length_B.to(self.device) - 1
            last_BH = self.gru(x_BTE)[0][torch.arange(len(ids_BT), device=self.device), last]
        loss = torch.nn.functional.nll_loss(torch.log_softmax(self.linear(last_BH), 1), label_B)
        self.adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.adam.step()
        return loss.detach()


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Compute float32 products as `ieee` or `tf32` meanwhile."""
    import torch

    products: tuple[Any, ...] = (torch.backends.cudnn.rnn, torch.backends.cuda.matmul)
    before = [product.fp32_precision for product in products]
    for product in products:
        product.fp32_precision = name
    try:
        yield
    finally:
        for product, value in zip(products, before, strict=True):
            product.fp32_precision = value


def made_up_reviews(scale: Scale, folder: Path) -> Path:
    """Write reviews whose label shows in their words, and return the file."""
    random, path = np.random.default_rng(0), folder / "reviews.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for n in range(scale.reviews):
            words = random.integers(0, scale.words // 2, random.integers(scale.steps // 2, scale.steps + 1))
            words = 2 * words + (random.random(len(words)) < 0.5 + 0.1 * (1 - 2 * (n % 2)))
            writer.writerow([" ".join(f"w{word}" for word in words) + f" id{n}", n % 2])
    return path


# ---------------------------------------------------------------- checks


def backends_equal(scale: Scale) -> list[Values]:
    """Losses and gradients of both backends, against float64 on a CPU.

    A rounding is 6e-8 in float32, 5e-4 in TF32 and 2e-3 in bfloat16. At full size on a CPU, gradients then differ by
    3e-7 in float32 and by 0.02 in bfloat16. In a dry run, whose gradients are small, they differ by 5e-6 and 0.1. The
    tolerances leave a factor of two at least for another order of the sums. (No maximum is pooled: which step is the
    largest one changes with the smallest rounding.)
    """
    import torch

    from gru_bench.train.card import no_bf16

    rows = []
    for model, layers in (("scratch", 1), ("bidirectional", 2)):
        batch = drawn_batch(scale)
        shape = {"model__name": model, "model__layers": layers, "model__pooling": "mean"}
        exact = Ours(scale, batch, "cpu", "reference", **shape)
        exact.model.double()
        exact.table_VE = exact.table_VE.double()
        wanted = gradients(exact)
        for kind, backend, most in (
            ("ieee", "torch", 1e-5), ("ieee", "reference", 1e-5), ("tf32", "torch", 5e-2), ("bf16", "torch", 0.2),
        ):
            half = kind == "bf16"
            if half and scale.device != "cpu" and (reason := no_bf16(torch.device(scale.device), backend)):
                rows.append({"model": model, "precision": kind, "said": reason, "skipped": True})
                continue
            with precision("ieee" if half else kind):
                got = gradients(Ours(scale, batch, scale.device, backend, training__bf16=half, **shape))
            row: Values = {"model": model, "precision": kind, "backend": backend}
            agree(f"{model} on {backend} in {kind}", relative(got, wanted), most, row)
            rows.append(row)
    return rows


def gradients(ours: Ours) -> list[Any]:
    """Return the loss and the gradient of each weight, in float64 on the CPU."""
    import torch

    loss = ours.loss() if ours.table_VE.dtype == torch.float32 else exact_loss(ours)
    found = torch.autograd.grad(loss, list(ours.model.parameters()))
    return [values.detach().double().cpu() for values in (loss, *found)]


def exact_loss(ours: Ours) -> Any:
    import torch

    batch = ours.batch
    log_BC = ours.model(ours.table_VE[batch.distinct_U], batch.index_BT, batch.length_B, backend="reference")
    return torch.nn.functional.nll_loss(log_BC, batch.label_B)


def relative(got: list[Any], wanted: list[Any]) -> float:
    """Return the largest norm of a difference, as a share of the norm of what is wanted."""
    return max(float((a - b).norm() / b.norm()) for a, b in zip(got, wanted, strict=True))


def ragged_against_packed(scale: Scale) -> list[Values]:
    """A bidirectional layer on reviews of different lengths: ours, without packing, against a packed nn.GRU."""
    from torch import nn
    from torch.nn.utils import rnn

    from gru_bench.models.gru import GRU
    from gru_bench.models.recurrence import in_chunks, torch_layers

    batch = drawn_batch(scale)
    x_BTE = table(scale, scale.device)[batch.distinct_U[batch.index_BT].to(scale.device)]
    length_B = batch.length_B
    there = length_B.to(scale.device)
    theirs = nn.GRU(scale.width, scale.hidden[0], batch_first=True, bidirectional=True).to(scale.device)
    ours = GRU(scale.width, scale.hidden[0], bidirectional=True).to(scale.device)
    ours.load_state_dict(theirs.state_dict())
    in_chunks(list(ours.parameters()))

    def packed() -> Any:
        packed = rnn.pack_padded_sequence(x_BTE, length_B, batch_first=True, enforce_sorted=False)
        return rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)[0]

    def ragged() -> Any:
        return torch_layers(ours, x_BTE, there)

    row: Values = {}
    with precision("ieee"):
        agree("ragged and packed", float((ragged() - packed()).detach().abs().max()), 1e-4, row)
        row["ms"] = {"ours": milliseconds(scale, lambda: ragged().sum().backward()),
                     "packed": milliseconds(scale, lambda: packed().sum().backward())}
    return [row]


def hidden_sizes(scale: Scale) -> list[Values]:
    """Forward alone, and with backward, at hidden sizes around the limits of cuDNN's kernel for small ones."""
    import torch

    rows = []
    for hidden in scale.hidden:
        for kind in ("ieee", "tf32"):
            ours = Ours(scale, drawn_batch(scale, equal=True), scale.device, model__name="torch",
                        model__hidden_size=hidden)
            with precision(kind):
                with torch.no_grad():
                    forward = milliseconds(scale, ours.loss)
                rows.append({"hidden": hidden, "precision": kind,
                             "ms": {"forward": forward, "step": milliseconds(scale, ours.step)}})
    return rows


def step_against_cudnn(scale: Scale) -> list[Values]:
    """A train step against nn.GRU, padded and packed, with the same losses."""
    rows = []
    for size in (1, scale.batch):
        ours = Ours(scale, drawn_batch(scale, size), scale.device, model__name="torch")
        contenders: dict[str, Ours | Peer] = {
            "ours": ours, "padded": Peer(scale, ours, packed=False), "packed": Peer(scale, ours, packed=True)}
        row: Values = {"batch": size}
        with precision("ieee"):
            losses = {name: [float(one.step()) for _ in range(3)] for name, one in contenders.items()}
            for name in ("padded", "packed"):
                agree(f"the loss of {name} at batch {size}",
                      max(abs(a - b) for a, b in zip(losses["ours"], losses[name], strict=True)), 1e-4, row)
            row["ms"] = {name: milliseconds(scale, one.step) for name, one in contenders.items()}
        rows.append(row)
    return rows


def cpu_kernel_against_card(scale: Scale) -> list[Values]:
    """The choice of `auto`: it leaves batches of one, and the reset before the product, to the kernel on the CPU.

    It is wrong where the other one takes less than half of the time. Which is faster by less depends on the CPU.
    """
    from gru_bench.kernels import fused
    from gru_bench.train.card import slower_than_cpu

    if (reason := fused.unavailable()) is not None:
        raise Skipped(reason)
    rows = []
    for size, reset in ((1, "after"), (scale.batch, "before"), (scale.batch, "after")):
        shape = {"model__name": "scratch", "model__reset": reset, "training__batch_size": size}
        batch = drawn_batch(scale, size)
        cpu = Ours(scale, batch, "cpu", "fused", **shape)
        card = Ours(scale, batch, scale.device, "torch" if reset == "after" else "reference", **shape)
        row: Values = {"batch": size, "reset": reset}
        with precision("ieee"):
            agree("the loss on the card", abs(float(cpu.step()) - float(card.step())), 1e-4, row)
            times = {"CPU kernel": wall_milliseconds(scale, cpu.step), "card": milliseconds(scale, card.step)}
        chosen, other = ("card", "CPU kernel") if slower_than_cpu(card.config) is None else ("CPU kernel", "card")
        row |= {"ms": times, "auto takes": chosen}
        rows.append(row)
        if scale.timed and (times[chosen] or 0.0) > 2 * (times[other] or 0.0):
            raise AssertionError(f"auto must not take what is twice as slow at batch {size}, reset {reset}, but takes "
                                 f"the {chosen}: {fastest(times)}")
    return rows


def no_waiting(scale: Scale) -> list[Values]:
    """The host never waits for the card in a train step. torch raises an error where it does."""

    for equal in (True, False):
        ours = Ours(scale, drawn_batch(scale, equal=equal), scale.device)
        ours.step()
        with waiting_forbidden() if scale.device != "cpu" else nullcontext():
            ours.step()
    return [{"steps without waiting": 2}]


@contextmanager
def waiting_forbidden() -> Iterator[None]:
    import torch

    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def epoch(scale: Scale) -> list[Values]:
    """An epoch with its validation, as `train` does it; the loss is that of a CPU."""
    from gru_bench.data.corpus import load_corpus
    from gru_bench.data.vectors import load_vectors
    from gru_bench.train.loop import train

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = str(made_up_reviews(scale, Path(folder)))
        for model in ("torch", "bidirectional"):
            config = scale.config(data__name=data, model__name=model)
            corpus = load_corpus(config.data)
            vectors = load_vectors(config.embedding, corpus)
            result = train(config, corpus, vectors)
            on_cpu = train(scale.config(data__name=data, model__name=model, training__device="cpu"), corpus, vectors)
            row: Values = {"model": model, "backend": result.backend, **result.card}
            row["seconds"] = result.epochs[0].seconds if scale.timed else None
            row["tokens per second"] = result.epochs[0].tokens_per_second if scale.timed else None
            row["seconds on the CPU"] = on_cpu.epochs[0].seconds if scale.timed else None
            row["peak memory, MB"] = result.peak_memory_bytes / 1e6
            agree(f"the loss of {model}", abs(result.epochs[0].train_loss - on_cpu.epochs[0].train_loss), 2e-3, row)
            rows.append(row)
    return rows


def sweep(scale: Scale) -> list[Values]:
    """Runs side by side: the workers of a sweep, which share the cards."""
    from gru_bench.results.runs import EpochRecord
    from gru_bench.sweep.workers.local import Finished, Job, Pool, cards
    from gru_bench.sweep.workers.tasks import Train

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = str(made_up_reviews(scale, Path(folder)))
        device = "cuda" if scale.device != "cpu" else "cpu"
        shared = cards(device)
        for workers in scale.workers:
            waiting = [Job(f"run {seed}", Train(scale.config(data__name=data, training__device=device, seed=seed)))
                       for seed in range(scale.trials)]
            done: dict[str, Any] = {}
            started = time.perf_counter()
            with Pool(workers, shared) as pool:
                for number in range(workers):  # each process loads its libraries and the reviews
                    pool.submit(Job(f"warm {number}", Train(
                        scale.config(data__name=data, training__device=device, seed=1_000 + number))))
                while waiting or pool.busy:
                    if not pool.busy and len(done) == workers:
                        started = time.perf_counter()
                    while waiting and pool.idle and len(done) >= workers:
                        pool.submit(waiting.pop())
                    for job, message in pool.messages(0.05):
                        if isinstance(message, EpochRecord):
                            pool.answer(job, go_on=True)
                        elif isinstance(message, Finished):
                            done[job.key] = message.outcome
                        elif hasattr(message, "reason"):
                            raise AssertionError(f"{job.key} with {workers} workers: {message.reason}")
            runs = {key: result for key, result in done.items() if key.startswith("run")}
            assert len(runs) == scale.trials
            seconds = time.perf_counter() - started if scale.timed else None
            rows.append({"workers": workers, "cards": len(shared), "runs": len(runs), "seconds": seconds,
                         "loss of run 0": runs["run 0"].epochs[0].train_loss})
            row = rows[-1]
            agree(f"run 0 with {workers} workers", abs(row["loss of run 0"] - rows[0]["loss of run 0"]), 1e-4, row)
    return rows


def memory(scale: Scale) -> list[Values]:
    """A run that does not fit is done again in micro-batches, with the same loss."""
    from gru_bench.data.corpus import load_corpus
    from gru_bench.data.vectors import load_vectors
    from gru_bench.train.listener import Listener
    from gru_bench.train.loop import train, train_resumably
    from gru_bench.train.placement import place

    with tempfile.TemporaryDirectory() as folder:
        config = scale.config(
            data__name=str(made_up_reviews(scale, Path(folder))), training__batch_size=8 * scale.batch)
        corpus = load_corpus(config.data)
        vectors = load_vectors(config.embedding, corpus)
        plenty, said = train(config, corpus, vectors), list[str]()
        with little_memory(scale, plenty.peak_memory_bytes):
            scarce = train_resumably(
                config, corpus, vectors, Listener(restarted=said.append), placement=place(config))
    row: Values = {"peak, MB": plenty.peak_memory_bytes / 1e6,
                   "peak in micro-batches, MB": scarce.peak_memory_bytes / 1e6}
    if len(said) != 1:
        raise AssertionError(f"a run must be done again once, but was {len(said)} times")
    agree("the loss in micro-batches", abs(scarce.epochs[0].train_loss - plenty.epochs[0].train_loss), 1e-3, row)
    return [row]


@contextmanager
def little_memory(scale: Scale, peak: int) -> Iterator[None]:
    """Leave a card too little memory for whole batches. A CPU acts as if it had too little."""
    import torch

    from gru_bench.train import loop

    if scale.device == "cpu":
        real = loop._Run._backward

        def backward(run: Any, batch: Any, *rest: Any) -> Any:
            if len(batch.label_B) > 4 * scale.batch:
                raise torch.OutOfMemoryError("CUDA out of memory (acted)")
            return real(run, batch, *rest)

        with patch.object(loop._Run, "_backward", backward):
            yield
        return
    torch.cuda.empty_cache()
    whole = torch.cuda.get_device_properties(scale.device).total_memory
    torch.cuda.set_per_process_memory_fraction(0.8 * peak / whole, scale.device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, scale.device)


def card_tests(scale: Scale) -> list[Values]:
    """The tests that need a card."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider", "--card", "-k", "OnACard",
         "tests/train/test_card.py"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=150)
    counts = {name: int(count) for count, name in re.findall(r"(\d+) (passed|failed|skipped|error)", done.stdout)}
    if done.returncode:
        raise AssertionError(f"the tests must pass, but: {done.stdout[-2000:]}{done.stderr[-500:]}")
    if not counts.get("passed"):
        raise Skipped(f"{counts.get('skipped', 0)} tests need a card")
    if counts.get("skipped"):
        raise AssertionError(f"no test may be skipped on a card, but {counts['skipped']} were")
    return [dict(counts)]


CHECKS: tuple[Callable[[Scale], list[Values]], ...] = (
    backends_equal, ragged_against_packed, step_against_cudnn, no_waiting, hidden_sizes, cpu_kernel_against_card, epoch,
    memory, card_tests, sweep)
"""In the order of their worth: where the time runs out, the last ones are skipped."""


# ---------------------------------------------------------------- the command


def checked(check: Callable[[Scale], list[Values]], scale: Scale, ends: float) -> Result:
    """Make one check."""
    name, started = check.__name__.replace("_", " "), time.monotonic()
    if started > ends:
        return Result(name, "SKIPPED", "no time is left")
    try:
        values = check(scale)
    except Skipped as reason:
        return Result(name, "SKIPPED", str(reason))
    except Exception as error:  # the other checks are still of use
        return Result(name, "FAILED", f"{type(error).__name__}: {error}", time.monotonic() - started)
    said = "; ".join(row["said"] for row in values if row.get("skipped"))
    return Result(name, "SKIPPED" if said else "ok", said or summary(values), time.monotonic() - started, values)


def summary(values: list[Values]) -> str:
    """Return the rows of a check in words."""
    lines = []
    for row in values:
        words = []
        for key, value in row.items():
            if key == "ms":
                words.append(fastest(value))
            elif isinstance(value, float):
                words.append(f"{key} {value:.3g}")
            elif value is None:
                words.append(f"{key} not timed")
            elif not key.startswith("card_"):
                words.append(f"{key} {value}")
        lines.append(", ".join(words))
    return "\n".join(lines)


def machine(scale: Scale) -> dict[str, str]:
    """Return what the times depend on."""
    import torch

    from gru_bench.tracking.provenance import provenance
    from gru_bench.train import card

    here = {name.removeprefix("gru_bench."): value for name, value in provenance().items()}
    if scale.device != "cpu":
        device = torch.device(scale.device)
        card.prepare(device)
        total = torch.cuda.get_device_properties(device).total_memory
        here |= {**card.properties(device), "card_memory_gb": f"{total / 1e9:.1f}", "cards": str(len(card.visible()))}
    return here


def main(arguments: list[str] | None = None) -> int:
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(description="Check and time everything that runs on a graphics card.")
    parser.add_argument("--dry", action="store_true", help="the same functions on a CPU, tiny and untimed")
    parser.add_argument("--strict", action="store_true", help="exit code 1 where a check was skipped")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="file for all values (default gpu.json)")
    asked = parser.parse_args(arguments)
    console, started = Console(width=150), time.monotonic()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["GRU_BENCH_CACHE"] = cache  # nothing of an earlier start, and nothing is left
        import torch

        scale = DRY if asked.dry else CARD
        if asked.dry or torch.cuda.is_available():
            here = machine(scale)
            results = [checked(check, scale, started + SECONDS) for check in CHECKS]
        else:
            here = machine(DRY)
            results = [Result(check.__name__.replace("_", " "), "SKIPPED", "no graphics card here") for check in CHECKS]
    shown = Table("check", "verdict", "found", "s", title=f"{here.get('card', here['machine'])}: "
                  f"{'dry run on a CPU' if asked.dry else 'checks and timings'}")
    for result in results:
        shown.add_row(result.name, result.verdict, result.said, f"{result.seconds:.0f}", end_section=True)
    console.print(shown)
    asked.out.write_text(json.dumps({"machine": here, "dry": asked.dry, "checks": [asdict(one) for one in results]},
                                    indent=1) + "\n", encoding="utf-8")
    console.print(f"wrote {asked.out}", markup=False)
    verdicts = {result.verdict for result in results}
    return int("FAILED" in verdicts or (asked.strict and "SKIPPED" in verdicts))


if __name__ == "__main__":
    sys.exit(main())
