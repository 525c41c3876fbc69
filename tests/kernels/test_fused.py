"""The fused kernel as an operation of torch: gradients, threads, memory and refusals."""

from __future__ import annotations

import gc
import os
import re
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gru_bench.kernels import fused as kernels
from gru_bench.kernels.fused import fused_gru, set_threads, unavailable
from gru_bench.kernels.threads import run_together
from tests.support.batches import BOUND_32, Batch, by_kernel, by_torch, error, make_batch
from tests.support.commands import mentions, printed
from tests.support.values import present


@pytest.mark.parametrize(("sequences", "threads"), [(1, 1), (16, 2)])
def test_a_batch_of_little_work_gets_fewer_threads(
    sequences: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "LEAST_WORK", 500_000)
    batch = make_batch(sequences, 40, 40 * sequences, 30, 20)
    rows, weights, _ = batch.to(torch.float32)
    taken = []

    def noted(workers: int, *rest: Any) -> None:
        taken.append(workers)
        run_together(workers, *rest)

    monkeypatch.setattr(kernels, "run_together", noted)
    torch.autograd.grad(fused_gru(rows, batch.index_BT, batch.lengths_B, weights, bidirectional=False).sum(), weights)
    assert set(taken) == {min(threads, len(os.sched_getaffinity(0)))}


def test_takes_other_strides() -> None:
    batch = make_batch(6, 20, 30, 8, 20)
    expected = by_kernel(batch)
    strided = batch.index_BT.t().contiguous().t()
    rows, weights, grad = batch.to(torch.float32)
    wide = torch.zeros(30, 16)
    wide[:, ::2] = rows.detach()
    output = fused_gru(wide[:, ::2], strided, batch.lengths_B, weights, bidirectional=False)
    grads = torch.autograd.grad(output, weights, grad)
    assert torch.equal(output, expected[0])
    assert all(torch.equal(a, b) for a, b in zip(grads, expected[1][1:], strict=True))


def test_two_forwards_before_one_backward() -> None:
    first, second = make_batch(6, 20, 30, 8, 20, seed=1), make_batch(6, 20, 30, 8, 20, seed=2)
    expected = [by_kernel(b) for b in (first, second)]
    inputs = [b.to(torch.float32) for b in (first, second)]
    outputs = [
        fused_gru(i[0], b.index_BT, b.lengths_B, i[1], bidirectional=False)
        for b, i in zip((first, second), inputs, strict=True)
    ]
    torch.autograd.backward([(o * i[2]).sum() for o, i in zip(outputs, inputs, strict=True)])
    for (rows, weights, _), (_, grads) in zip(inputs, expected, strict=True):
        assert all(torch.equal(present(t.grad), g) for t, g in zip([rows, *weights], grads, strict=True))


def test_a_graph_that_is_kept_gives_the_same_gradient_again() -> None:
    batch = make_batch(6, 20, 30, 8, 20, 2, True)
    rows, weights, grad = batch.to(torch.float32)
    output = fused_gru(rows, batch.index_BT, batch.lengths_B, weights, bidirectional=True)
    first = torch.autograd.grad(output, [rows, *weights], grad, retain_graph=True)
    again = torch.autograd.grad(output, [rows, *weights], grad)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_frozen_rows_get_no_gradient_and_change_no_other() -> None:
    batch = make_batch(6, 20, 30, 8, 20, 2)
    _, (_, *expected) = by_kernel(batch)
    rows, weights, grad = batch.to(torch.float32)
    output = fused_gru(rows.detach(), batch.index_BT, batch.lengths_B, weights, bidirectional=False)
    assert all(torch.equal(a, b) for a, b in zip(torch.autograd.grad(output, weights, grad), expected, strict=True))


def test_a_function_between_layers_sees_tokens_without_padding_and_gets_its_gradient() -> None:
    batch = make_batch(6, 20, 30, 8, 20, 2, True)
    rows, weights, grad = batch.to(torch.float32)
    seen = []

    def halve(x_ND: Tensor) -> Tensor:
        seen.append(tuple(x_ND.shape))
        return x_ND / 2

    output = fused_gru(rows, batch.index_BT, batch.lengths_B, weights, bidirectional=True, between=halve)
    grads = torch.autograd.grad(output, [rows, *weights], grad)
    halved = [w / 2 if i in (8, 12) else w for i, w in enumerate(batch.weights)]
    expected, changed = by_torch(Batch(**{**batch.__dict__, "weights": halved}))
    assert seen == [(int(batch.lengths_B.sum()), 40)]
    # Halving the input and halving its weights is the same; the gradient of the weights is then halved too.
    ours = [2 * g if i in (9, 13) else g for i, g in enumerate(grads)]
    assert error((output.detach(), ours), (expected, changed)) < BOUND_32


def test_evaluation_keeps_nothing() -> None:
    batch = make_batch(8, 40, 30, 8, 64)
    rows, weights, _ = batch.to(torch.float32)
    with torch.no_grad():
        output = fused_gru(rows, batch.index_BT, batch.lengths_B, weights, bidirectional=False)
    assert output.grad_fn is None
    assert torch.equal(output, by_kernel(batch)[0])
    kept = {id(a.base if a.base is not None else a) for a in kernels._pool._free}
    for _ in range(5):
        with torch.no_grad():
            fused_gru(rows, batch.index_BT, batch.lengths_B, weights, bidirectional=False)
    gc.collect()
    assert 0 < len(kernels._pool._free) <= kernels._pool.keep
    assert len(kernels._pool._free) == len(kept)
    kernels.release()
    assert not kernels._pool._free


def test_threads_of_python_may_call_at_the_same_time() -> None:
    batches = [make_batch(9, 30, 40, 8, 32, seed=s) for s in range(4)]
    expected = [by_kernel(b) for b in batches]
    found: dict[int, bool] = {}

    def work(i: int) -> None:
        same = True
        for _ in range(5):
            ours = by_kernel(batches[i])
            same &= all(
                torch.equal(a, b) for a, b in zip([ours[0], *ours[1]], [expected[i][0], *expected[i][1]], strict=True)
            )
        found[i] = same

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(4), True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lengths_B": torch.tensor([0, 3])}, "length.*from 1 to 4.*from 0 to 3"),
        ({"lengths_B": torch.tensor([5, 3])}, "length.*from 1 to 4.*from 3 to 5"),
        ({"lengths_B": torch.tensor([3])}, "one length for each of the 2 rows"),
        ({"index_BT": torch.zeros(2, 4, dtype=torch.int32)}, "int64.*int32"),
        ({"rows_UE": torch.zeros(3, 6)}, r"weights\[0\].*float32.*\(15, 6\)"),
        ({"rows_UE": torch.zeros(0, 7)}, "rows_UE.*at least one row"),
        ({"rows_UE": torch.zeros(3, 7, dtype=torch.float64)}, "float32.*float64"),
        ({"weights": []}, "weights.*4 tensors.*0"),
        ({"pooling": "first"}, "pooling.*'last', 'final', 'mean', 'max', 'meanmax'.*'first'"),
    ],
)
def test_refuses_what_does_not_fit(change: dict[str, Any], message: str) -> None:
    given_: dict[str, Any] = {
        "rows_UE": torch.zeros(3, 7),
        "index_BT": torch.zeros(2, 4, dtype=torch.int64),
        "lengths_B": torch.tensor([4, 3]),
        "weights": list(torch.nn.GRU(7, 5).parameters()),
    }
    with pytest.raises(ValueError, match=message):
        fused_gru(**{**given_, **change}, bidirectional=False)


@pytest.mark.parametrize("wrong", [-1, 3])
def test_refuses_a_token_without_a_row(wrong: int) -> None:
    index = torch.tensor([[0, 1, wrong, 2]])
    weights = list(torch.nn.GRU(7, 5).parameters())
    with pytest.raises(IndexError, match=f"3 rows.*{wrong}"):
        fused_gru(torch.zeros(3, 7), index, torch.tensor([4]), weights, bidirectional=False)
    fused_gru(torch.zeros(3, 7), index, torch.tensor([2]), weights, bidirectional=False)


def test_threads_must_be_positive() -> None:
    with pytest.raises(ValueError, match=r"at least 1.*0"):
        set_threads(0)


def test_without_numba_says_so_and_raises_when_it_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gru_bench.kernels.products", None)  # which loads numba
    unavailable.cache_clear()
    try:
        reason = present(unavailable())
        mentions(reason, "numba", "cannot be imported")
        with pytest.raises(RuntimeError, match=re.escape(reason)):
            fused_gru(torch.zeros(1, 1), torch.zeros(1, 1, dtype=torch.int64), torch.ones(1, dtype=torch.int64),
                      list(torch.nn.GRU(1, 1).parameters()), bidirectional=False)
    finally:
        monkeypatch.undo()
        unavailable.cache_clear()


@pytest.mark.slow
def test_is_imported_without_numba() -> None:
    assert printed("import sys, gru_bench.kernels.fused; print('numba' in sys.modules)") == "False"


@pytest.mark.slow
def test_works_where_numba_finds_no_folder_for_its_cache(tmp_path: Path) -> None:
    # A file where the directory should be: nobody can write below it, not even an administrator.
    (tmp_path / "file").write_text("", encoding="utf-8")
    said = printed(
        """
        import numpy
        from gru_bench.kernels.fused import unavailable
        from gru_bench.kernels.layer import list_members
        first = numpy.empty(4, int)
        list_members(numpy.array([2, 0, 2]), first, numpy.empty(3, int))
        print(unavailable(), first.tolist(), list_members.stats.cache_path)
        """,
        NUMBA_CACHE_DIR=str(tmp_path / "file" / "cache"),
        NUMBA_CACHE_LOCATOR_CLASSES="UserProvidedCacheLocator",  # and no other folder
        NUMBA_OPT="0",  # it is compiled for this process alone
    )
    assert said == "None [0, 1, 1, 3] None"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_has_threads_of_its_own() -> None:
    said = printed(
        """
        import os, sys, torch
        from gru_bench.kernels import fused as kernels
        from gru_bench.kernels.fused import fused_gru, set_threads, unavailable
        kernels.LEAST_WORK = 1
        torch.set_num_threads(1)
        set_threads(2)
        gru = torch.nn.GRU(3, 2)
        def run():
            with torch.no_grad():
                return fused_gru(torch.ones(4, 3), torch.zeros(9, 5, dtype=torch.int64), torch.full((9,), 5),
                                 list(gru.parameters()), bidirectional=False).sum().item()
        before = run()
        child = os.fork()
        if child == 0:
            os._exit(0 if run() == before else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """
    )
    assert said == "0"
