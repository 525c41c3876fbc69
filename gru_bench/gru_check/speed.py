"""How long a student's GRU takes for a text, next to torch.nn.GRU and our fused kernel."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from gru_bench.gru_check import load
from gru_bench.gru_check.calls import Caller
from gru_bench.gru_check.forms import Form
from gru_bench.gru_check.states import new_state
from gru_bench.kernels import fused
from gru_bench.models.backends import run
from gru_bench.models.gru import GRUCell
from gru_bench.models.stack import Stack
from gru_bench.results.own import Times

WIDTH, HIDDEN, TOKENS = 300, 100, 60
"""The homework's size, and the length of a text."""
REPEATS = 5


@fused.flushed()
def speed(module: ModuleType, path: Path, name: str, make: str | None, form: Form) -> list[Times]:
    """Return the times of a text forward and backward, the student's own first.

    The student's is built again with the homework's size. One that has sizes of its own keeps them, and the others are
    measured with these too.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        source = load.build(module, path, name, make, sizes={**load.SIZES, "E": WIDTH, "H": HIDDEN, "V": 500})
        if not isinstance(source.built, nn.Module):
            return []
        own = bool(source.sizes)
        width, hidden = (WIDTH, HIDDEN) if own else (form.width, form.hidden)
        built = source.built.float().eval()
        caller = Caller(source)
        built.float()
        rows = torch.randn(TOKENS, 1, width)
        measured = [(f"{name} ({width} -> {hidden})", *_milliseconds(_review(caller, form, rows, hidden)))]
        gru = nn.GRU(width, hidden)
        measured.append(("torch.nn.GRU", *_milliseconds(lambda: gru(rows)[0][-1].sum())))
        reason = fused.unavailable()
        if reason is None:
            ours = Stack(GRUCell(), width, hidden)
            flat_rows = rows[:, 0].clone().requires_grad_()
            index, length = torch.arange(TOKENS)[None], torch.tensor([TOKENS])
            measured.append(("gru-bench, fused kernel", *_milliseconds(lambda: run(
                ours, "fused", flat_rows, index, length)[:, -1].sum())))
        return measured
    finally:
        torch.set_default_dtype(before)


def _review(caller: Caller, form: Form, rows: Tensor, hidden: int) -> Callable[[], Tensor]:
    one = replace(form, batch=1, width=rows.shape[2], hidden=hidden)
    h = torch.zeros(1, hidden)

    def layer() -> Tensor:
        x = torch.arange(1, TOKENS + 1)[:, None] if form.tokens else rows
        return caller.call(one, x, h if form.state else None)[0].sum()

    def cell() -> Tensor:
        state = h
        for x in rows:
            state = new_state(caller.call(one, x, state, fresh=False), one)
        return state.sum()

    return cell if form.kind == "cell" else layer


def _milliseconds(review: Callable[[], Tensor]) -> tuple[float, float, float]:
    times = []
    for repeat in range(REPEATS + 1):
        begin = time.perf_counter()
        total = review()
        if total.requires_grad:
            torch.autograd.backward(total)
        if repeat:  # the first one prepares
            times.append(1e3 * (time.perf_counter() - begin))
    return sorted(times)[REPEATS // 2], min(times), max(times)
