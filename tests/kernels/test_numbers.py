"""What the fused kernel computes equals torch.nn.GRU in float64."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from gru_bench.config import Pooling
from gru_bench.kernels import fused as kernels
from gru_bench.kernels.fused import fused_gru, fused_gru_states, set_threads
from gru_bench.models.pooling import pool
from tests.support.batches import BOUND_32, Batch, by_kernel, by_torch, error, make_batch


def check(batch: Batch) -> None:
    assert error(by_kernel(batch), by_torch(batch)) < BOUND_32


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("hidden", "layers"), [(1, 1), (3, 2), (16, 3), (100, 1), (130, 2), *(
    pytest.param(hidden, layers, marks=pytest.mark.slow) for hidden, layers in (
        (1, 2), (1, 3), (3, 1), (3, 3), (16, 1), (16, 2), (100, 2), (100, 3), (130, 1), (130, 3)))])
def test_equals_torch_gru_on_each_sequence_alone(hidden: int, layers: int, bidirectional: bool) -> None:
    check(make_batch(7, 25, 60, 21, hidden, layers, bidirectional))


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
    check(batch)


# Narrower, all sums of a kind may cancel at once, and no bound in proportion to the largest holds in float32, not
# even for torch's own; narrow shapes stand above, with draws that do not.
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
    check(make_batch(sequences, steps, rows, inputs, hidden, layers, bidirectional, seed))


class TestStates:
    """The states before the first step, which `tests/kernels/test_module.py` compares with torch, and the last ones."""

    @pytest.mark.parametrize("hidden", [1, 16, 100])
    def test_a_sequence_continues_from_the_state_of_its_first_part(self, hidden: int) -> None:
        batch = make_batch(6, 150, 30, 8, hidden, 2, lengths=[150, 41, 140, 45, 80, 150])
        rows, weights, _ = batch.to(torch.float32)

        def run(index: Tensor, lengths: Tensor, initial: Tensor | None) -> tuple[Tensor, Tensor]:
            return fused_gru_states(rows, index, lengths, weights, bidirectional=False, initial_SBH=initial)

        whole = run(batch.index_BT, batch.lengths_B, None)[1]
        first = run(batch.index_BT[:, :40], torch.full((6,), 40), None)[1]
        second = run(batch.index_BT[:, 40:], batch.lengths_B - 40, first)[1]
        tensors = [rows, *weights]
        expected, got = (torch.autograd.grad(state.square().sum(), tensors) for state in (whole, second))
        exact = [tensor.double() for tensor in expected]
        assert error((second.detach(), list(got)), (whole.detach().double(), exact)) < BOUND_32

    def test_no_initial_states_are_zeros(self) -> None:
        batch = make_batch(6, 20, 30, 8, 20, 2, True)
        rows, weights, _ = batch.to(torch.float32)
        zeros = torch.zeros(4, 6, 20)
        first, second = (fused_gru_states(
            rows, batch.index_BT, batch.lengths_B, weights, bidirectional=True, initial_SBH=initial)
            for initial in (None, zeros))
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
        padded = fused_gru(rows, batch.index_BT, batch.lengths_B, weights, bidirectional=True)
        assert torch.equal(first[0], padded[torch.arange(20) < batch.lengths_B.unsqueeze(1)])

    def test_refuses_initial_states_that_do_not_fit(self) -> None:
        batch = make_batch(6, 20, 30, 8, 20, 2, True)
        rows, weights, _ = batch.to(torch.float32)
        for wrong in (torch.zeros(2, 6, 20), torch.zeros(4, 6, 20, dtype=torch.float64)):
            with pytest.raises(ValueError, match=r"initial_SBH.*float32.*\(4, 6, 20\)"):
                fused_gru_states(
                    rows, batch.index_BT, batch.lengths_B, weights, bidirectional=True, initial_SBH=wrong)


@pytest.mark.parametrize("threads", [1, 2])
def test_repeats_bit_for_bit(threads: int) -> None:
    set_threads(threads)
    batch = make_batch(33, 50, 300, 40, 100, 2, True)
    first, again = (by_kernel(batch) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip([first[0], *first[1]], [again[0], *again[1]], strict=True))


POOLINGS: tuple[Pooling, ...] = ("last", "final", "mean", "max", "meanmax")


def test_the_kernel_has_every_pooling_and_refuses_any_other() -> None:
    assert set(kernels.POOLINGS) == set(get_args(Pooling)) == set(POOLINGS)
    with pytest.raises(ValueError, match=r"pooling.*'last'.*'first'"):
        kernels._parts("first", 5, 5)


def check_pooling(batch: Batch, pooling: Pooling) -> None:
    """The features, and the gradients that reach rows and parameters through them, against plain torch in float64."""
    output = by_torch(batch)[0].requires_grad_()
    features = pool(output, batch.lengths_B, pooling, bidirectional=batch.bidirectional)
    grad_BF = torch.randn(features.shape, generator=torch.Generator().manual_seed(5)).double()
    (grad_BTD,) = torch.autograd.grad(features, output, grad_BF)
    expected = features.detach(), by_torch(Batch(**{**batch.__dict__, "grad_BTD": grad_BTD}))[1]
    rows, weights, _ = batch.to(torch.float32)
    got = fused_gru(rows, batch.index_BT, batch.lengths_B, weights, bidirectional=batch.bidirectional, pooling=pooling)
    ours = got.detach(), list(torch.autograd.grad(got, [rows, *weights], grad_BF.float()))
    assert error(ours, expected) < BOUND_32


@pytest.mark.parametrize("pooling", POOLINGS)
class TestPooling:
    @pytest.mark.parametrize("bidirectional", [False, True])
    @pytest.mark.parametrize(("hidden", "layers"), [(3, 2), (16, 1), (100, 1)])
    def test_equals_plain_torch(self, hidden: int, layers: int, bidirectional: bool, pooling: Pooling) -> None:
        lengths = [25, 1, 2, 9, 25, 17, 3]
        check_pooling(make_batch(7, 25, 60, 21, hidden, layers, bidirectional, lengths=lengths), pooling)

    def test_splits_the_gradient_of_a_value_that_several_tokens_reach(self, pooling: Pooling) -> None:
        batch = make_batch(3, 6, 8, 5, 4, lengths=[6, 1, 4])
        zeros = [torch.zeros_like(w) for w in batch.weights]
        check_pooling(Batch(**{**batch.__dict__, "weights": zeros}), pooling)

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

    def test_a_nan_stays_a_nan(self, pooling: Pooling) -> None:
        batch = make_batch(2, 5, 4, 3, 20, lengths=[5, 5])
        rows, weights, _ = batch.to(torch.float32)
        with torch.no_grad():
            rows[batch.index_BT[0, 2]] = float("nan")
        features = fused_gru(rows, batch.index_BT, batch.lengths_B, weights, bidirectional=False, pooling=pooling)
        assert features[0].isnan().all()
        features.sum().backward()
        assert all(weight.grad is not None and weight.grad.isnan().any() for weight in weights)


def test_what_the_index_holds_beyond_an_end_does_not_matter() -> None:
    batch = make_batch(6, 20, 30, 8, 20, 1, True)
    behind = torch.arange(20) >= batch.lengths_B.unsqueeze(1)
    other = Batch(**{**batch.__dict__, "index_BT": torch.where(behind, 0, batch.index_BT)})
    first, second = by_kernel(batch), by_kernel(other)
    assert all(torch.equal(a, b) for a, b in zip([first[0], *first[1]], [second[0], *second[1]], strict=True))
    assert not first[0][behind].any()


def test_a_nan_stays_a_nan() -> None:
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
    output, grads = by_kernel(large)
    assert (output - expected).abs().max() < BOUND_32
    assert all(grad.isfinite().all() for grad in grads)
