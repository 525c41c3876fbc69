"""The fused kernel against torch.nn.GRU and a plain loop in float64, and what it promises besides.

In float64 the same code must agree to 1e-10. In float32 an error is measured against the largest value of its kind
in the reference: each number is a sum of up to K products, summed in float32 in blocks, and rounding
errors of 2^-24 grow like sqrt(K); K is at most some 2,000 tokens here. 64 * 2^-24 = 3.8e-6 allows for that
growth. torch's own float32 GRU is off by as much on the same cases.

Shapes: U rows, E input width, B sequences, T longest, H hidden, D = H * directions.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from gru_bench.config import Pooling, Reset
from gru_bench.kernels import fused as kernels
from gru_bench.kernels.fused import fused_gru, set_threads
from gru_bench.models.classifier import pool

# The worst observed over all cases of this file is 1.4e-6.
BOUND_32 = 64 * 2.0**-24
BOUND_64 = 1e-10


@pytest.fixture(autouse=True)
def _two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for batches so small that one would do."""
    monkeypatch.setattr(kernels, "LEAST_WORK", 1)
    set_threads(2)


@dataclass(frozen=True)
class Batch:
    """Everything that goes in, in float64, and a gradient for what comes out."""

    rows_UE: Tensor
    index_BT: Tensor
    lengths_B: Tensor
    weights: list[Tensor]
    grad_BTD: Tensor
    layers: int
    hidden: int
    bidirectional: bool

    def to(self, dtype: torch.dtype) -> tuple[Tensor, list[Tensor], Tensor]:
        rows = self.rows_UE.to(dtype).requires_grad_()
        return rows, [w.to(dtype).requires_grad_() for w in self.weights], self.grad_BTD.to(dtype)


def make_batch(
    sequences: int,
    steps: int,
    rows: int,
    inputs: int,
    hidden: int,
    layers: int = 1,
    bidirectional: bool = False,
    seed: int = 0,
    lengths: Sequence[int] | None = None,
) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    directions = 2 if bidirectional else 1

    def uniform(*shape: int) -> Tensor:
        # Whatever float32 can hold exactly: both precisions then compute the same function.
        bound = 1 / hidden**0.5
        return (torch.rand(*shape, generator=draw) * 2 * bound - bound).double()

    weights: list[Tensor] = []
    for layer in range(layers):
        width = inputs if layer == 0 else hidden * directions
        for _ in range(directions):
            weights += [
                uniform(3 * hidden, width),
                uniform(3 * hidden, hidden),
                uniform(3 * hidden),
                uniform(3 * hidden),
            ]
    return Batch(
        torch.randn(rows, inputs, generator=draw).double(),
        torch.randint(0, rows, (sequences, steps), generator=draw),
        torch.tensor(lengths) if lengths else torch.randint(1, steps + 1, (sequences,), generator=draw),
        weights,
        torch.randn(sequences, steps, hidden * directions, generator=draw).double(),
        layers,
        hidden,
        bidirectional,
    )


def by_torch(batch: Batch) -> tuple[Tensor, list[Tensor]]:
    """nn.GRU in float64 on each sequence alone."""
    rows, weights, grad = batch.to(torch.float64)
    directions = 2 if batch.bidirectional else 1
    output = torch.zeros_like(grad)
    for b, length in enumerate(batch.lengths_B.tolist()):
        state = torch.zeros(batch.layers * directions, batch.hidden, dtype=torch.float64)
        output[b, :length] = torch.gru(
            rows[batch.index_BT[b, :length]].unsqueeze(0),
            state.unsqueeze(1),
            weights,
            True,
            batch.layers,
            0.0,
            False,
            batch.bidirectional,
            True,
        )[0][0]
    return output.detach(), list(torch.autograd.grad((output * grad).sum(), [rows, *weights]))


def by_loop(batch: Batch) -> tuple[Tensor, list[Tensor]]:
    """The equations with reset before the product, one token of one sequence at a time, in float64."""
    rows, weights, grad = batch.to(torch.float64)
    directions = 2 if batch.bidirectional else 1
    output = torch.zeros_like(grad)
    for b, length in enumerate(batch.lengths_B.tolist()):
        x_TE = rows[batch.index_BT[b, :length]]
        for layer in range(batch.layers):
            sides = []
            for d in range(directions):
                w, u, bi, bh = weights[4 * (layer * directions + d) :][:4]
                (wr, wz, wn), (ur, uz, un) = w.chunk(3), u.chunk(3)
                (br, bz, bn), (cr, cz, cn) = bi.chunk(3), bh.chunk(3)
                h = torch.zeros(batch.hidden, dtype=torch.float64)
                states = []
                for x in x_TE if d == 0 else x_TE.flip(0):
                    r = torch.sigmoid(wr @ x + br + ur @ h + cr)
                    z = torch.sigmoid(wz @ x + bz + uz @ h + cz)
                    n = torch.tanh(wn @ x + bn + un @ (r * h) + cn)
                    h = z * h + (1 - z) * n
                    states.append(h)
                sides.append(torch.stack(states if d == 0 else states[::-1]))
            x_TE = torch.cat(sides, 1)
        output[b, :length] = x_TE
    return output.detach(), list(torch.autograd.grad((output * grad).sum(), [rows, *weights]))


def by_kernel(batch: Batch, dtype: torch.dtype, reset: Reset = "after") -> tuple[Tensor, list[Tensor]]:
    rows, weights, grad = batch.to(dtype)
    output = fused_gru(
        rows,
        batch.index_BT,
        batch.lengths_B,
        weights,
        bidirectional=batch.bidirectional,
        reset=reset,
    )
    return output.detach(), list(torch.autograd.grad((output * grad).sum(), [rows, *weights]))


def error(ours: tuple[Tensor, list[Tensor]], theirs: tuple[Tensor, list[Tensor]]) -> float:
    """The largest error of any value, relative to the largest value of its kind.

    The four parameters of a layer and direction are one kind: their gradients are sums over the same tokens, and
    the error of a sum is in proportion to what was added, which may cancel in one of them and not in the others.
    """
    (output, (rows, *parameters)), (_, (_, *references)) = theirs, ours
    kinds = [[(ours[0], output)], [(ours[1][0], rows)]]
    pairs = list(zip(references, parameters, strict=True))
    kinds += [pairs[i : i + 4] for i in range(0, len(pairs), 4)]
    worst = 0.0
    for kind in kinds:
        scale = max(float(reference.abs().max()) for _, reference in kind) or 1.0  # where all of it must be 0
        for value, reference in kind:
            assert value.shape == reference.shape
            worst = max(worst, float((value.double() - reference).abs().max()) / scale)
    return worst


def check(batch: Batch, reference: Callable[[Batch], tuple[Tensor, list[Tensor]]], reset: Reset) -> None:
    expected = reference(batch)
    assert error(by_kernel(batch, torch.float64, reset), expected) < BOUND_64
    assert error(by_kernel(batch, torch.float32, reset), expected) < BOUND_32


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("hidden", [1, 3, 16, 100, 130])
def test_equals_torch_gru_on_each_sequence_alone(hidden: int, layers: int, bidirectional: bool) -> None:
    check(make_batch(7, 25, 60, 21, hidden, layers, bidirectional), by_torch, "after")


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("hidden", "layers"), [(1, 1), (3, 2), (16, 3), (100, 1), (130, 2)])
def test_equals_the_equations_with_reset_before(hidden: int, layers: int, bidirectional: bool) -> None:
    check(make_batch(5, 12, 20, 7, hidden, layers, bidirectional), by_loop, "before")


@pytest.mark.parametrize(
    "batch",
    [
        pytest.param(make_batch(1, 1, 1, 1, 1), id="one-of-everything"),
        pytest.param(make_batch(1, 150, 100, 300, 100, lengths=[150]), id="one-long-review"),
        pytest.param(make_batch(7, 1, 3, 5, 100, 2, True), id="one-step"),
        pytest.param(make_batch(9, 30, 1, 5, 16, 2, True), id="one-row-for-all-tokens"),
        pytest.param(make_batch(4, 300, 900, 16, 64, 1, True, lengths=[1, 300, 129, 128]), id="longer-than-a-chunk"),
        pytest.param(make_batch(64, 60, 700, 300, 100), id="many-sequences"),
        pytest.param(make_batch(70, 9, 50, 8, 5, 1, True), id="many-short-sequences"),
        pytest.param(make_batch(8, 20, 40, 10, 16, lengths=[1, 20, 2, 19, 3, 18, 4, 17]), id="unsorted"),
    ],
)
def test_equals_torch_gru_for_shape(batch: Batch) -> None:
    check(batch, by_torch, "after")


# Narrower, all sums of a kind may cancel at once, and no bound in proportion to the largest holds in float32, not
# even for torch's own; narrow shapes stand above, with draws that do not.
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sequences=st.integers(1, 20),
    steps=st.integers(1, 12),
    rows=st.integers(3, 30),
    inputs=st.integers(3, 20),
    hidden=st.integers(3, 40),
    layers=st.integers(1, 2),
    bidirectional=st.booleans(),
    threads=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
def test_equals_torch_gru_for_any_shape(
    sequences: int,
    steps: int,
    rows: int,
    inputs: int,
    hidden: int,
    layers: int,
    bidirectional: bool,
    threads: int,
    seed: int,
) -> None:
    set_threads(threads)
    check(make_batch(sequences, steps, rows, inputs, hidden, layers, bidirectional, seed), by_torch, "after")


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("reset", ["after", "before"])
def test_gradients_equal_finite_differences(reset: Reset, bidirectional: bool) -> None:
    batch = make_batch(3, 4, 5, 3, 4, 2, bidirectional)
    rows, weights, _ = batch.to(torch.float64)

    def run(rows: Tensor, *weights: Tensor) -> Tensor:
        return fused_gru(
            rows,
            batch.index_BT,
            batch.lengths_B,
            weights,
            bidirectional=bidirectional,
            reset=reset,
        )

    assert torch.autograd.gradcheck(run, (rows, *weights))


@pytest.mark.parametrize("reset", ["after", "before"])
@pytest.mark.parametrize("threads", [1, 2])
def test_repeats_bit_for_bit(threads: int, reset: Reset) -> None:
    set_threads(threads)
    batch = make_batch(33, 50, 300, 40, 100, 2, True)
    first, again = (by_kernel(batch, torch.float32, reset) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip([first[0], *first[1]], [again[0], *again[1]], strict=True))


@pytest.mark.parametrize(("sequences", "threads"), [(1, 1), (16, 2)])
def test_a_batch_has_threads_as_its_work_is_worth_them(
    sequences: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the least work as it is
    set_threads(2)
    batch = make_batch(sequences, 150, 100 * sequences, 300, 100)
    rows, weights, _ = batch.to(torch.float32)
    taken = []
    run = kernels._crew.run
    monkeypatch.setattr(kernels._crew, "run", lambda workers, *rest: (taken.append(workers), run(workers, *rest)))
    torch.autograd.grad(fused_gru(rows, batch.index_BT, batch.lengths_B, weights, bidirectional=False).sum(), weights)
    assert set(taken) == {min(threads, len(os.sched_getaffinity(0)))}


POOLINGS: tuple[Pooling, ...] = ("last", "final", "mean", "max", "meanmax")


def check_pooling(batch: Batch, pooling: Pooling) -> None:
    """The features, and the gradients that reach rows and parameters through them, against plain torch in float64."""
    output = by_torch(batch)[0].requires_grad_()
    features = pool(output, batch.lengths_B, pooling, bidirectional=batch.bidirectional)
    grad_BF = torch.randn(features.shape, generator=torch.Generator().manual_seed(5)).double()
    (grad_BTD,) = torch.autograd.grad(features, output, grad_BF)
    expected = features.detach(), by_torch(Batch(**{**batch.__dict__, "grad_BTD": grad_BTD}))[1]
    for dtype, bound in ((torch.float64, BOUND_64), (torch.float32, BOUND_32)):
        rows, weights, _ = batch.to(dtype)
        got = fused_gru(
            rows, batch.index_BT, batch.lengths_B, weights, bidirectional=batch.bidirectional, pooling=pooling
        )
        ours = got.detach(), list(torch.autograd.grad(got, [rows, *weights], grad_BF.to(dtype)))
        assert error(ours, expected) < bound


@pytest.mark.parametrize("pooling", POOLINGS)
class TestPooling:
    @pytest.mark.parametrize("bidirectional", [False, True])
    @pytest.mark.parametrize(("hidden", "layers"), [(3, 2), (16, 1), (100, 1)])
    def test_equals_plain_torch(self, hidden: int, layers: int, bidirectional: bool, pooling: Pooling) -> None:
        lengths = [25, 1, 2, 9, 25, 17, 3]
        check_pooling(make_batch(7, 25, 60, 21, hidden, layers, bidirectional, lengths=lengths), pooling)

    def test_splits_the_gradient_of_a_value_that_several_tokens_reach(self, pooling: Pooling) -> None:
        batch = make_batch(3, 6, 8, 5, 4, lengths=[6, 1, 4])
        check_pooling(Batch(**{**batch.__dict__, "weights": [torch.zeros_like(w) for w in batch.weights]}), pooling)

    def test_gives_the_same_gradient_again(self, pooling: Pooling) -> None:
        batch = make_batch(6, 20, 30, 8, 20, 2, True)
        rows, weights, _ = batch.to(torch.float32)
        features = fused_gru(rows, batch.index_BT, batch.lengths_B, weights, bidirectional=True, pooling=pooling)
        grad_BF = torch.randn(features.shape, generator=torch.Generator().manual_seed(6))
        first = torch.autograd.grad(features, [rows, *weights], grad_BF, retain_graph=True)
        again = torch.autograd.grad(features, [rows, *weights], grad_BF)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))

    def test_does_not_depend_on_the_number_of_threads(self, pooling: Pooling) -> None:
        batch = make_batch(9, 20, 30, 8, 20, 1, True)
        rows, weights, _ = batch.to(torch.float32)
        results = []
        for threads in (1, 2):
            set_threads(threads)
            results.append(
                fused_gru(rows, batch.index_BT, batch.lengths_B, weights, bidirectional=True, pooling=pooling)
            )
        assert torch.equal(*results)

    def test_not_a_number_comes_out_as_one(self, pooling: Pooling) -> None:
        batch = make_batch(2, 5, 4, 3, 20, lengths=[5, 5])
        rows, weights, _ = batch.to(torch.float32)
        with torch.no_grad():
            rows[batch.index_BT[0, 2]] = float("nan")
            features = fused_gru(
                rows, batch.index_BT, batch.lengths_B, weights, bidirectional=False, pooling=pooling
            )
        assert features[0].isnan().all()


def rounded(values: Tensor) -> Tensor:
    return values.bfloat16().double()


class TestBFloat16:
    """Products outside the recurrence with both factors rounded to bfloat16, that is to 8 bits: by up to 2^-9 each."""

    CASES = (
        make_batch(7, 25, 60, 21, 16),
        make_batch(5, 31, 60, 33, 33, 1, True),
        make_batch(9, 40, 300, 300, 100, 1, True),
        make_batch(3, 7, 5, 1, 1),
    )

    @pytest.fixture(autouse=True)
    def _where_there_is_one(self) -> None:
        if (reason := kernels.no_bf16()) is not None:
            pytest.skip(reason)

    @pytest.mark.parametrize("batch", CASES)
    def test_output_equals_that_of_rounded_vectors_and_weights(self, batch: Batch) -> None:
        # With one layer nothing else is rounded on the way forward: the bound is that of float32.
        weights = [rounded(w) if i % 4 == 0 else w for i, w in enumerate(batch.weights)]
        expected = by_torch(Batch(**{**batch.__dict__, "rows_UE": rounded(batch.rows_UE), "weights": weights}))[0]
        rows, weights, _ = batch.to(torch.float32)
        got = fused_gru(
            rows, batch.index_BT, batch.lengths_B, weights, bidirectional=batch.bidirectional, bf16=True)
        assert (got.double() - expected).abs().max() < BOUND_32 * expected.abs().max()

    @pytest.mark.parametrize("reset", ["after", "before"])
    @pytest.mark.parametrize("layers", [1, 2])
    @pytest.mark.parametrize("batch", CASES)
    def test_gradients_differ_by_the_rounding_alone(self, batch: Batch, layers: int, reset: Reset) -> None:
        """Against exact gradients: sums of products that are each off by 2^-8 at most, beside an output as much off.

        The worst observed is 0.013; 2^-5 = 0.031 allows for that and refuses a product that is wrong.
        """
        inputs, directions = batch.rows_UE.shape[1], 2 if batch.bidirectional else 1
        batch = make_batch(*batch.index_BT.shape, len(batch.rows_UE), inputs, batch.hidden, layers, directions == 2)
        expected = (by_torch if reset == "after" else by_loop)(batch)
        rows, weights, grad = batch.to(torch.float32)
        output = fused_gru(
            rows, batch.index_BT, batch.lengths_B, weights, bidirectional=batch.bidirectional, bf16=True,
            reset=reset)
        ours = output.detach(), list(torch.autograd.grad((output * grad).sum(), [rows, *weights]))
        assert 1e-5 < error(ours, expected) < 2**-5

    @pytest.mark.parametrize("threads", [1, 2])
    def test_repeats_bit_for_bit(self, threads: int) -> None:
        set_threads(threads)
        batch = make_batch(33, 50, 300, 40, 100, 2, True)
        rows, weights, grad = batch.to(torch.float32)
        runs = []
        for _ in range(2):
            output = fused_gru(rows, batch.index_BT, batch.lengths_B, weights, bidirectional=True, bf16=True)
            runs.append([output, *torch.autograd.grad(output, [rows, *weights], grad)])
        assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))

    def test_not_a_number_comes_out_as_one(self) -> None:
        batch = make_batch(2, 5, 4, 3, 20, lengths=[5, 5])
        rows, weights, _ = batch.to(torch.float32)
        with torch.no_grad():
            rows[batch.index_BT[0, 2]] = torch.tensor([0x7FFFFFFF]).int().view(torch.float32)  # all bits set
            output = fused_gru(rows, batch.index_BT, batch.lengths_B, weights, bidirectional=False, bf16=True)
        assert output[0, 2:].isnan().all()

    def test_is_for_float32_alone(self) -> None:
        batch = make_batch(2, 5, 4, 3, 20)
        rows, weights, _ = batch.to(torch.float64)
        with pytest.raises(ValueError, match="must be float32 where products are taken in bfloat16"):
            fused_gru(rows, batch.index_BT, batch.lengths_B, weights, bidirectional=False, bf16=True)


def test_what_the_index_holds_behind_an_end_does_not_matter() -> None:
    batch = make_batch(6, 20, 30, 8, 20, 1, True)
    behind = torch.arange(20) >= batch.lengths_B.unsqueeze(1)
    other = Batch(**{**batch.__dict__, "index_BT": torch.where(behind, 0, batch.index_BT)})
    first, second = by_kernel(batch, torch.float32), by_kernel(other, torch.float32)
    assert all(torch.equal(a, b) for a, b in zip([first[0], *first[1]], [second[0], *second[1]], strict=True))
    assert not first[0][behind].any()


def test_takes_int32_and_other_strides() -> None:
    batch = make_batch(6, 20, 30, 8, 20)
    expected = by_kernel(batch, torch.float32)
    strided = torch.empty(20, 6, dtype=torch.int32).t()
    strided.copy_(batch.index_BT)
    rows, weights, grad = batch.to(torch.float32)
    wide = torch.zeros(30, 16)
    wide[:, ::2] = rows.detach()
    output = fused_gru(wide[:, ::2], strided, batch.lengths_B, weights, bidirectional=False)
    grads = torch.autograd.grad(output, weights, grad)
    assert torch.equal(output, expected[0])
    assert all(torch.equal(a, b) for a, b in zip(grads, expected[1][1:], strict=True))


def test_two_forwards_before_one_backward() -> None:
    first, second = make_batch(6, 20, 30, 8, 20, seed=1), make_batch(6, 20, 30, 8, 20, seed=2)
    expected = [by_kernel(b, torch.float32) for b in (first, second)]
    inputs = [b.to(torch.float32) for b in (first, second)]
    outputs = [
        fused_gru(i[0], b.index_BT, b.lengths_B, i[1], bidirectional=False)
        for b, i in zip((first, second), inputs, strict=True)
    ]
    torch.autograd.backward([(o * i[2]).sum() for o, i in zip(outputs, inputs, strict=True)])
    for (rows, weights, _), (_, grads) in zip(inputs, expected, strict=True):
        assert all(torch.equal(t.grad, g) for t, g in zip([rows, *weights], grads, strict=True))


def test_a_graph_that_is_kept_gives_the_same_gradient_again() -> None:
    batch = make_batch(6, 20, 30, 8, 20, 2, True)
    rows, weights, grad = batch.to(torch.float32)
    output = fused_gru(rows, batch.index_BT, batch.lengths_B, weights, bidirectional=True)
    first = torch.autograd.grad(output, [rows, *weights], grad, retain_graph=True)
    again = torch.autograd.grad(output, [rows, *weights], grad)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_frozen_rows_get_no_gradient_and_change_no_other() -> None:
    batch = make_batch(6, 20, 30, 8, 20, 2)
    _, (_, *expected) = by_kernel(batch, torch.float32)
    rows, weights, grad = batch.to(torch.float32)
    output = fused_gru(rows.detach(), batch.index_BT, batch.lengths_B, weights, bidirectional=False)
    assert all(torch.equal(a, b) for a, b in zip(torch.autograd.grad(output, weights, grad), expected, strict=True))


def test_what_lies_between_layers_sees_tokens_only_and_gets_its_gradient() -> None:
    batch = make_batch(6, 20, 30, 8, 20, 2, True)
    rows, weights, grad = batch.to(torch.float64)
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
    assert error((output.detach(), ours), (expected, changed)) < BOUND_64


def test_evaluation_keeps_nothing() -> None:
    batch = make_batch(8, 40, 30, 8, 64)
    rows, weights, _ = batch.to(torch.float32)
    with torch.no_grad():
        output = fused_gru(rows, batch.index_BT, batch.lengths_B, weights, bidirectional=False)
    assert output.grad_fn is None
    assert torch.equal(output, by_kernel(batch, torch.float32)[0])
    kept = {id(a.base if a.base is not None else a) for a in kernels._pool._free}
    for _ in range(5):
        with torch.no_grad():
            fused_gru(rows, batch.index_BT, batch.lengths_B, weights, bidirectional=False)
    gc.collect()
    assert 0 < len(kernels._pool._free) <= kernels._pool.keep
    assert len(kernels._pool._free) == len(kept)
    kernels.release()
    assert not kernels._pool._free


def test_not_a_number_comes_out_as_one() -> None:
    batch = make_batch(2, 5, 4, 3, 20, lengths=[5, 5])
    rows, weights, _ = batch.to(torch.float32)
    with torch.no_grad():
        rows[batch.index_BT[0, 2]] = float("nan")
        output = fused_gru(rows, batch.index_BT, batch.lengths_B, weights, bidirectional=False)
    assert output[0, 2:].isnan().all()


def test_large_values_saturate() -> None:
    batch = make_batch(2, 5, 4, 3, 20)
    large = Batch(**{**batch.__dict__, "rows_UE": batch.rows_UE * 1e4})
    expected = by_torch(large)[0]
    for dtype, bound in ((torch.float64, BOUND_64), (torch.float32, BOUND_32)):
        output, grads = by_kernel(large, dtype)
        assert (output - expected).abs().max() < bound
        assert all(grad.isfinite().all() for grad in grads)


def test_threads_of_python_may_call_at_the_same_time() -> None:
    batches = [make_batch(9, 30, 40, 8, 32, seed=s) for s in range(4)]
    expected = [by_kernel(b, torch.float32) for b in batches]
    found: dict[int, bool] = {}

    def work(i: int) -> None:
        same = True
        for _ in range(20):
            ours = by_kernel(batches[i], torch.float32)
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
        ({"lengths_B": torch.tensor([0, 3])}, "every length must be from 1 to 4"),
        ({"lengths_B": torch.tensor([5, 3])}, "but they range from 3 to 5"),
        ({"lengths_B": torch.tensor([3])}, "one length for each of the 2 rows"),
        ({"index_BT": torch.zeros(2, 4)}, "int64 or int32, but is torch.float32"),
        ({"rows_UE": torch.zeros(3, 6)}, r"weights\[0\] must be torch.float32 of shape \(15, 6\)"),
        ({"rows_UE": torch.zeros(0, 7)}, "at least one row"),
        ({"rows_UE": torch.zeros(3, 7, dtype=torch.float16)}, "float32 or float64, but is torch.float16"),
        ({"weights": []}, "must hold 4 tensors for every layer, but holds 0"),
        ({"reset": "between"}, "one of 'after', 'before', but got 'between'"),
        ({"pooling": "first"}, "one of 'last', 'final', 'mean', 'max', 'meanmax', but got 'first'"),
    ],
)
def test_says_what_does_not_fit(change: dict[str, object], message: str) -> None:
    given_: dict[str, object] = {
        "rows_UE": torch.zeros(3, 7),
        "index_BT": torch.zeros(2, 4, dtype=torch.int64),
        "lengths_B": torch.tensor([4, 3]),
        "weights": list(torch.nn.GRU(7, 5).parameters()),
    }
    with pytest.raises(ValueError, match=message):
        fused_gru(**{**given_, **change}, bidirectional=False)


@pytest.mark.parametrize("wrong", [-1, 3])
def test_a_token_without_a_row_is_refused(wrong: int) -> None:
    index = torch.tensor([[0, 1, wrong, 2]])
    weights = list(torch.nn.GRU(7, 5).parameters())
    with pytest.raises(IndexError, match="name one of the 3 rows"):
        fused_gru(torch.zeros(3, 7), index, torch.tensor([4]), weights, bidirectional=False)
    fused_gru(torch.zeros(3, 7), index, torch.tensor([2]), weights, bidirectional=False)


def test_threads_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least 1, but got 0"):
        set_threads(0)


def in_a_process(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": str(Path(kernels.__file__).parents[2]), **environment},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_without_numba_says_so_and_raises_only_when_called() -> None:
    said = in_a_process(
        """
        import sys
        class Block:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] == "numba":
                    raise ImportError("blocked")
        sys.meta_path.insert(0, Block())
        import torch
        from gru_bench.kernels.fused import fused_gru, set_threads, unavailable
        set_threads(1)
        print(unavailable())
        try:
            fused_gru(torch.zeros(1, 1), torch.zeros(1, 1, dtype=torch.int64), torch.ones(1, dtype=torch.int64),
                      list(torch.nn.GRU(1, 1).parameters()), bidirectional=False)
        except RuntimeError as error:
            print(error)
        """
    )
    assert said.splitlines() == ["the fused kernel needs numba, which cannot be imported: blocked."] * 2


def test_importing_does_not_import_numba() -> None:
    assert in_a_process("import sys, gru_bench.kernels.fused; print('numba' in sys.modules)") == "False"


def test_works_where_numba_finds_no_place_for_its_cache(tmp_path: Path) -> None:
    # A file where the directory should be: nobody can write below it, not even an administrator.
    (tmp_path / "file").write_text("")
    said = in_a_process(
        """
        import torch
        from gru_bench.kernels.fused import fused_gru, unavailable
        assert unavailable() is None, unavailable()
        gru = torch.nn.GRU(3, 2, batch_first=True)
        rows = torch.randn(4, 3)
        index = torch.tensor([[0, 1, 2, 3]])
        with torch.no_grad():
            ours = fused_gru(rows, index, torch.tensor([4]), list(gru.parameters()), bidirectional=False)
            print(torch.allclose(ours[0], gru(rows.unsqueeze(0))[0][0], atol=1e-6))
        """,
        NUMBA_CACHE_DIR=str(tmp_path / "file" / "cache"),
    )
    assert said == "True"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_has_threads_of_its_own() -> None:
    said = in_a_process(
        """
        import os, sys, torch
        from gru_bench.kernels import fused as kernels
        from gru_bench.kernels.fused import fused_gru, set_threads
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
