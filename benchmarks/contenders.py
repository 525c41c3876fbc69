"""Shared parts of the benchmarks: contenders that take turns in separate processes, and a typical PyTorch program.

A script starts itself once for each contender, `SCRIPT --serve NAME`. This process answers each line of JSON with one
line of JSON. So the imports, the compilation and the memory of one contender cannot affect another, and the number of
threads is set in the environment before any library is loaded.

The peer is a typical PyTorch program: a `Dataset` of lists of ids, a `DataLoader` that pads its batches,
`nn.Embedding.from_pretrained`, `pack_padded_sequence`, `nn.GRU` and Adam.

Shapes: `B` reviews of a batch, `T` its longest, `E` vector width, `D` hidden width times directions.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from gru_bench.config import RunConfig
    from gru_bench.data.batches import Encoded

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def environment(threads: int | None) -> dict[str, str]:
    """Return the environment of this process with `threads` threads for each numerical library (None: unchanged)."""
    values = {key: value for key, value in os.environ.items() if key not in THREAD_VARIABLES}
    return values | (dict.fromkeys(THREAD_VARIABLES, str(threads)) if threads else {})


class Process:
    """The process of a contender, as the benchmark uses it."""

    def __init__(self, script: str, name: str, threads: int | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, script, "--serve", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment(threads))

    def ask(self, question: object) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit("a contender's process has ended; its message is above")
        return json.loads(answer)


def serve(prepared: Callable[[Any], Any]) -> None:
    """Answer each line on standard input: "go" by a turn of the contender, anything else by what a newly prepared one
    has computed before it is timed."""
    contender: Any = None
    for line in sys.stdin:
        asked = json.loads(line)
        contender = contender if asked == "go" else prepared(asked)
        print(json.dumps(contender.turn() if asked == "go" else contender.check()), flush=True)


def alternated(
    processes: Mapping[str, Process], rounds: int, on_turn: Callable[[str], object] = str
) -> dict[str, list[Any]]:
    """Return the answers of each contender over the rounds. Each round begins with another contender."""
    answers: dict[str, list[Any]] = {name: [] for name in processes}
    names = list(processes)
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            on_turn(f"round {turn + 1} of {rounds}: {name}")
            answers[name].append(processes[name].ask("go"))
    return answers


def ratio(baseline: Sequence[float], ours: Sequence[float]) -> float:
    """Return the median over rounds of baseline / ours."""
    return median(a / b for a, b in zip(baseline, ours, strict=True))


# ---------------------------------------------------------------- the peer


def reviews_of(encoded: Encoded) -> list[tuple[list[int], int]]:
    """Return the ids and the label of each review, as plain lists."""
    ids = encoded.rows.tolist()
    return [(ids[start:end], label) for (start, end), label in
            zip(pairwise(encoded.offsets_N1.tolist()), encoded.label_N.tolist(), strict=True)]


def collate(reviews: Sequence[tuple[list[int], int]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return padded ids (B, T), lengths and labels."""
    import torch

    ids = [torch.tensor(review) for review, _ in reviews]
    return (torch.nn.utils.rnn.pad_sequence(ids, batch_first=True), torch.tensor([len(review) for review in ids]),
            torch.tensor([label for _, label in reviews]))


def loader(
    reviews: Sequence[tuple[list[int], int]], batch_size: int, seed: int | None
) -> Iterable[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Return a DataLoader. It is shuffled if a seed is given."""
    import torch
    from torch.utils.data import DataLoader

    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return DataLoader(
        reviews,  # type: ignore[arg-type]  # DataLoader takes any sequence
        batch_size, shuffle=seed is not None, collate_fn=collate, generator=generator)


def peer_model(config: RunConfig, table: Any) -> Any:
    """Return the peer's classifier: called with padded ids (B, T) and lengths, it gives log-probabilities (B, 2) of the
    last states."""
    import torch
    from torch import nn

    shape = config.model
    both = shape.is_bidirectional

    class Peer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding.from_pretrained(
                torch.tensor(table), freeze=not config.embedding.trainable, padding_idx=0)
            self.gru = nn.GRU(
                table.shape[1], shape.hidden_size, shape.layers, batch_first=True, bidirectional=both,
                dropout=shape.dropout if shape.layers > 1 else 0.0)
            self.dropout = nn.Dropout(shape.dropout)
            self.linear = nn.Linear(shape.hidden_size * (1 + both), 2)

        def forward(self, ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            packed = nn.utils.rnn.pack_padded_sequence(
                self.embedding(ids), lengths, batch_first=True, enforce_sorted=False)
            _, state = self.gru(packed)
            features = torch.cat([state[-2], state[-1]], 1) if both else state[-1]
            return torch.log_softmax(self.linear(self.dropout(features)), 1)

    return Peer()


class PeerTrainer:
    """The peer's optimizer and loop."""

    def __init__(self, config: RunConfig, model: Any) -> None:
        import torch

        training = config.training
        self.model, self.clip_norm = model, training.clip_norm
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.adam = torch.optim.Adam(self.parameters, lr=training.lr, betas=(training.beta1, training.beta2))

    def epoch(self, batches: Iterable[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]) -> tuple[float, int, int]:
        """Train on the batches once; return mean loss, reviews and tokens."""
        import torch

        self.model.train()
        total, reviews, tokens = 0.0, 0, 0
        for ids, lengths, labels in batches:
            self.adam.zero_grad()
            loss = torch.nn.functional.nll_loss(self.model(ids, lengths), labels)
            loss.backward()
            if self.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(self.parameters, self.clip_norm)
            self.adam.step()
            total += loss.item() * len(labels)
            reviews += len(labels)
            tokens += int(lengths.sum())
        return total / reviews, reviews, tokens
