"""Time of one training step: the fused kernel against torch.nn.GRU and a loop over cells.

    python benchmarks/train_step.py --quick     four minutes
    python benchmarks/train_step.py             every size, an hour

A step is what a classifier of reviews does: look up frozen 300-d vectors, run one GRU layer, apply
log-softmax(linear(output at the last token)), take the loss, go backward, update with fused Adam. Ours does so with
the project's own parts, and finds the distinct tokens of the batch within the step, which the trainer does before it.
Contenders run in separate processes, which take turns: a round is the same batches once through each of them,
a ratio is the median over rounds of baseline / ours. A round has 4 batches (32 batches at B = 1).
Before anything is timed, all must report the same losses, to 1e-4, on all batches.

Where only the last state is read, gradients of early steps become denormal numbers, which some processors compute many
times slower. Ours takes them for 0. Each contender runs as it is and "flushed", after `torch.set_flush_denormal(True)`
at its start, as a user can do too: "10.3 / 9.8" is the ratio of both. "ours as it is" is the kernel kept from doing so.

Batches are drawn once, by seed: lengths log-normal as in reviews (median 150, cut at 400), sorted and cut into
batches, so that padding is slight; for a bidirectional GRU all sequences of a batch have the same length, which
is what nn.GRU needs to run without packing. Token ids follow a Zipf law over 41,000 words; the share of distinct
tokens in a batch is printed (in real reviews, 0.72 at B = 1, 0.41 at 32, 0.34 at 64 and 0.29 at 128).

Contenders: `padded`, nn.GRU on padded batches; `packed`, nn.GRU on packed sequences; `cells`, a scratch GRU
that loops over time in plain torch, as in a homework. Shapes: B sequences, T longest, E = 300, H hidden.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from contenders import Process, alternated, ratio, serve

VOCABULARY, WIDTH = 41_000, 300
CONTENDERS = {False: ("padded", "packed", "cells"), True: ("padded", "packed")}
FLUSHED = " flushed"
"""At the end of the name of a contender that takes denormal numbers for 0."""
OURS = f"ours{FLUSHED}"


def batches_of(sequences: int) -> int:
    """Return the number of batches in a round. Small batches need many, because each turn begins with cold caches."""
    return max(4, 32 // sequences)


def draw_batches(sequences: int, equal: bool) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return (ids_BT, lengths_B, labels_B) of every batch; ids after the end of a sequence are 0."""
    random, count = np.random.default_rng(sequences), batches_of(sequences)
    lengths = np.clip(random.lognormal(np.log(150), 0.5, count * 8 * sequences), 5, 400).astype(np.int64)
    lengths.sort()
    rank = np.arange(VOCABULARY)
    share = 1 / (rank + 3.0) ** 1.08
    share /= share.sum()
    batches = []
    for i in range(count):
        # Batches spread evenly over the lengths: each is taken from the middle of its part.
        start = (2 * i + 1) * 4 * sequences
        mine = lengths[start : start + sequences].copy()
        if equal:
            mine[:] = mine[sequences // 2]
        ids = random.choice(VOCABULARY, (sequences, mine.max()), p=share)
        ids[np.arange(mine.max()) >= mine[:, None]] = 0
        shuffled = random.permutation(sequences)
        batches.append((ids[shuffled], mine[shuffled], random.integers(0, 2, sequences)))
    return batches


def at_last(output: Any, lengths: Any) -> Any:
    """Return the output at each sequence's last token."""
    import torch

    return output[torch.arange(len(lengths)), lengths - 1]


class Contender:
    """One way to run the step; lives in a process of its own."""

    def __init__(self, name: str, sequences: int, hidden: int, threads: int, bidirectional: bool) -> None:
        import torch

        name, flushed, _ = name.partition(FLUSHED)
        self.bidirectional = bidirectional
        torch.set_flush_denormal(bool(flushed))  # before torch has threads, which take it over
        torch.set_num_threads(threads)
        if name == "ours":
            if not flushed:
                torch.set_flush_denormal = lambda arg: False
            from gru_bench.kernels import fused as kernels

            reason = kernels.unavailable()
            if reason is not None:
                raise SystemExit(reason)
            kernels.set_threads(threads)
            torch.set_num_threads(1)
        torch.manual_seed(0)
        self.table = torch.randn(VOCABULARY, WIDTH)
        self.gru = torch.nn.GRU(WIDTH, hidden, batch_first=True, bidirectional=bidirectional)
        self.head = torch.nn.Linear(hidden * (2 if bidirectional else 1), 2)
        parameters = [*self.gru.parameters(), *self.head.parameters()]
        if name == "ours":
            from gru_bench.config import TrainingConfig
            from gru_bench.data.batches import Distinct
            from gru_bench.train.optimizer import Optimizer

            self.distinct = Distinct(VOCABULARY)
            optimizer = Optimizer(
                torch.nn.ModuleList([self.gru, self.head]), None, TrainingConfig(lr=1e-4))
            self.update: Callable[[], object] = lambda: optimizer.step(torch.tensor([]), torch.tensor([]))
        else:
            adam = torch.optim.Adam(parameters, lr=1e-4, betas=(0.9, 0.999), fused=True)
            self.update = lambda: (adam.step(), adam.zero_grad(set_to_none=True))
        self.batches = [
            tuple(torch.from_numpy(part) for part in batch)
            for batch in draw_batches(sequences, bidirectional)
        ]
        self.run: Callable[..., Any] = getattr(self, name)

    def ours(self, ids: Any, lengths: Any) -> Any:
        import torch

        from gru_bench.kernels.fused import fused_gru

        distinct, index = (torch.from_numpy(part) for part in self.distinct(ids.numpy()))
        rows = self.table.index_select(0, distinct)
        return fused_gru(
            rows, index, lengths, list(self.gru.parameters()), bidirectional=self.bidirectional, pooling="last")

    def padded(self, ids: Any, lengths: Any) -> Any:
        import torch

        return at_last(self.gru(torch.nn.functional.embedding(ids, self.table))[0], lengths)

    def packed(self, ids: Any, lengths: Any) -> Any:
        import torch
        from torch.nn.utils import rnn

        x = torch.nn.functional.embedding(ids, self.table)
        packed = rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return at_last(rnn.pad_packed_sequence(self.gru(packed)[0], batch_first=True)[0], lengths)

    def cells(self, ids: Any, lengths: Any) -> Any:
        import torch

        x = torch.nn.functional.embedding(ids, self.table)
        w, u, b, c = self.gru.parameters()
        (wr, wz, wn), (ur, uz, un), (br, bz, bn), (cr, cz, cn) = (p.chunk(3) for p in (w, u, b, c))
        h = x.new_zeros(ids.shape[0], self.gru.hidden_size)
        states = []
        for t in range(ids.shape[1]):
            now = x[:, t]
            r = torch.sigmoid(now @ wr.T + br + h @ ur.T + cr)
            z = torch.sigmoid(now @ wz.T + bz + h @ uz.T + cz)
            n = torch.tanh(now @ wn.T + bn + r * (h @ un.T + cn))
            h = z * h + (1 - z) * n
            states.append(h)
        return at_last(torch.stack(states, 1), lengths)

    def check(self) -> list[float]:
        """Train on every batch once; return the losses."""
        import torch

        losses = []
        for ids, lengths, labels in self.batches:
            loss = torch.nn.functional.nll_loss(torch.log_softmax(self.head(self.run(ids, lengths)), -1), labels)
            loss.backward()
            self.update()
            losses.append(loss.item())
        return losses

    def turn(self) -> float:
        """Train on every batch once; return the seconds."""
        start = time.perf_counter()
        self.check()
        return time.perf_counter() - start


def compare(processes: dict[str, Process], size: dict[str, object], rounds: int) -> dict[str, list[float]]:
    """Return each contender's seconds per round, after checking that all compute the same."""
    losses = {name: process.ask(size) for name, process in processes.items()}
    first, expected = next(iter(losses.items()))
    for name, theirs in losses.items():
        if not np.allclose(theirs, expected, rtol=0, atol=1e-4):
            raise SystemExit(f"{name} and {first} differ at {size}: {theirs} and {expected}")
    return alternated(processes, rounds)


def main() -> None:
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(description="Time a training step against nn.GRU and a loop over cells.")
    parser.add_argument("--quick", action="store_true", help="B = 1 and 64, hidden 100 only")
    parser.add_argument("--rounds", type=int, default=7, help="rounds per size (default 7)")
    parser.add_argument("--hidden", type=int, nargs="+", help="hidden sizes (default 64 100 256)")
    parser.add_argument("--batch", type=int, nargs="+", help="sequences per batch (default 1 8 32 64 128)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="threads (default 1 2)")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(lambda size: Contender(asked.serve, **size))
        return
    hidden = asked.hidden or ([100] if asked.quick else [64, 100, 256])
    batch = asked.batch or ([1, 64] if asked.quick else [1, 8, 32, 64, 128])
    processes = {
        name: Process(__file__, name) for both in ("ours", *CONTENDERS[False]) for name in (both + FLUSHED, both)}
    for bidirectional, others in CONTENDERS.items():
        table = Table(title=f"{'bidirectional' if bidirectional else 'one direction'}: milliseconds, then baseline / "
                            "ours, of the baseline as it is / flushed")
        for column in ("B", "H", "threads", "distinct", "ours ms", "ours as it is", "padded ms", *others):
            table.add_column(column, justify="right")
        for sequences in batch:
            drawn = draw_batches(sequences, bidirectional)
            distinct = sum(len(np.unique(ids)) for ids, _, _ in drawn) / sum(lengths.sum() for _, lengths, _ in drawn)
            for size in hidden:
                for threads in asked.threads:
                    what = {"sequences": sequences, "hidden": size, "threads": threads, "bidirectional": bidirectional}
                    timed = {name: process for name, process in processes.items()
                             if name.partition(FLUSHED)[0] in ("ours", *others)}
                    seconds = compare(timed, what, asked.rounds)
                    per_step = 1e3 / batches_of(sequences)
                    table.add_row(
                        *(str(v) for v in (sequences, size, threads)),
                        f"{distinct:.2f}",
                        *(f"{median(seconds[name]) * per_step:.2f}" for name in (OURS, "ours", "padded")),
                        *(" / ".join(f"{ratio(seconds[name], seconds[OURS]):.1f}" for name in (other, other + FLUSHED))
                          for other in others),
                    )
        Console(width=140).print(table)


if __name__ == "__main__":
    main()
