"""Time of `gru_bench.kernels.GRU` against torch.nn.GRU, forward and backward, by the length of the sequences.

    python benchmarks/gru_module.py --quick                                     two minutes
    python benchmarks/gru_module.py --sequences padded                          five minutes
    python benchmarks/gru_module.py --sequences packed --length 4000 --rounds 1  a quarter of an hour
    python benchmarks/gru_module.py                                             more than an hour

torch's gradient of packed sequences takes time that grows with the square of their length: minutes for 4,000 tokens.

A call is what a program does that has put one class in place of the other: outputs and last states of one layer, a
loss of both, and its gradients of the input and of all parameters. B = 16 sequences, input 300, hidden 100, one
direction or both. `padded` sequences all have T tokens. `packed` ones have lengths spread evenly from T / 4 to T, in
random order. The contenders run in processes of their own, which take turns, and have the same number of threads. A
ratio is the median over rounds of torch / ours. Before anything is timed, the loss and the norm of each gradient must
agree to a part in 10,000.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from contenders import Process, alternated, cores, ratio, serve

SEQUENCES, INPUTS, HIDDEN = 16, 300, 100
TOKENS_IN_A_TURN = 400
"""Of each sequence: short ones are called several times in a turn, because each turn begins with cold caches."""


class Contender:
    """One of the two classes; lives in a process of its own."""

    def __init__(self, name: str, steps: int, bidirectional: bool, packed: bool, threads: int) -> None:
        import torch
        from torch.nn.utils.rnn import pack_padded_sequence

        from gru_bench.kernels import GRU

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        kind = GRU if name == "ours" else torch.nn.GRU
        self.gru = kind(INPUTS, HIDDEN, batch_first=True, bidirectional=bidirectional)
        self.x_BTE = torch.randn(SEQUENCES, steps, INPUTS, requires_grad=True)
        lengths = torch.linspace(max(1, steps / 4), steps, SEQUENCES).long()[torch.randperm(SEQUENCES)]
        self.data: Any = self.x_BTE
        if packed:
            given = pack_padded_sequence(self.x_BTE.detach(), lengths, batch_first=True, enforce_sorted=False)
            self.x_BTE = given.data.requires_grad_()
            self.data = type(given)(self.x_BTE, *given[1:])
        self.calls = max(1, TOKENS_IN_A_TURN // steps)
        output, _ = self.gru(self.data)
        self.weigh = torch.randn(output.data.shape if packed else output.shape)
        if name == "ours" and self.gru.fallback_reason is not None:
            raise SystemExit(self.gru.fallback_reason)

    def call(self) -> list[float]:
        """Return the loss and the norms of the gradients."""
        import torch

        output, state = self.gru(self.data)
        loss = (output.data * self.weigh).sum() + state.sum()
        grads = torch.autograd.grad(loss, [self.x_BTE, *self.gru.parameters()])
        return [loss.item(), *(grad.norm().item() for grad in grads)]

    def seconds(self) -> float:
        """Return the seconds of a call."""
        start = time.perf_counter()
        for _ in range(self.calls):
            self.call()
        return (time.perf_counter() - start) / self.calls


def serve_contender(name: str) -> None:
    contender: Contender | None = None

    def answer(asked: Any) -> object:
        nonlocal contender
        if asked != "go":
            contender = Contender(name, **asked)
            return contender.call()
        assert contender is not None
        return contender.seconds()

    serve(answer)


def main() -> None:
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three lengths, three rounds")
    parser.add_argument("--length", type=int, nargs="+", help="tokens (default 10 40 150 500 1500 4000)")
    parser.add_argument("--sequences", nargs="+", choices=("padded", "packed"), default=["padded", "packed"],
                        help="which sequences (default both)")
    parser.add_argument("--threads", type=int, default=cores(), help="threads of each contender (default all cores)")
    parser.add_argument("--rounds", type=int, help="rounds of each size (default 5)")
    parser.add_argument("--serve", metavar="NAME", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve_contender(asked.serve)
        return
    rounds = asked.rounds or (3 if asked.quick else 5)
    lengths = asked.length or ([10, 150, 1500] if asked.quick else [10, 40, 150, 500, 1500, 4000])
    processes = {name: Process(str(Path(__file__).resolve()), name, asked.threads) for name in ("ours", "torch")}
    console = Console(width=120, highlight=False)
    table = Table(title=f"forward and backward, B = {SEQUENCES}, input {INPUTS}, hidden {HIDDEN}, {asked.threads} "
                        f"threads, median of {rounds} rounds")
    for column in ("directions", "sequences", "tokens", "ours ms", "torch.nn.GRU ms", "torch / ours"):
        table.add_column(column, justify="right")
    with console.status("") as status:
        for bidirectional in (False, True):
            for form in asked.sequences:
                for steps in lengths:
                    names = "both" if bidirectional else "one", form, f"{steps:,}"
                    status.update(", ".join(names))
                    size = {"steps": steps, "bidirectional": bidirectional, "packed": form == "packed",
                            "threads": asked.threads}
                    found = {name: process.ask(size) for name, process in processes.items()}
                    if not np.allclose(found["ours"], found["torch"], rtol=1e-4, atol=1e-3):
                        raise SystemExit(f"ours and torch differ at {size}: {found}")
                    seconds = alternated(processes, rounds)
                    table.add_row(*names, *(f"{1e3 * median(seconds[name]):,.2f}" for name in ("ours", "torch")),
                                  f"{ratio(seconds['torch'], seconds['ours']):.1f}x")
    for process in processes.values():
        process.end()
    console.print(table)


if __name__ == "__main__":
    main()
