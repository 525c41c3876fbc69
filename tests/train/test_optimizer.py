"""The optimizers make the same steps as torch's, for whole weights and for rows of a table."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from gru_bench.config import OptimizerName, TrainingConfig
from gru_bench.kernels import fused as kernels
from gru_bench.train.optimizer import Optimizer

SETTINGS = TrainingConfig(lr=0.01, beta1=0.9, beta2=0.99)


def rows_of(table_VE: Tensor, training: TrainingConfig, *, fused: bool) -> Optimizer:
    """An optimizer of the rows of a table alone."""
    return Optimizer(nn.Linear(1, 1), table_VE, training, fused=fused)


def move(optimizer: Optimizer, distinct_U: Tensor, gradient_UE: Tensor) -> None:
    rows_UE = torch.zeros_like(gradient_UE, requires_grad=True)
    rows_UE.grad = gradient_UE.clone()
    for parameter in optimizer.parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step(distinct_U, rows_UE)


class TestWeights:
    @pytest.mark.parametrize("decay", [0.0, 0.3])
    @pytest.mark.parametrize("name", get_args(OptimizerName))
    def test_steps_have_the_same_bits_as_those_of_torch_also_after_the_state_was_stored(
        self, name: OptimizerName, decay: float
    ) -> None:
        training = SETTINGS.model_copy(update={"optimizer": name, "weight_decay": decay})
        generator = torch.Generator().manual_seed(1)
        ours, theirs = nn.Linear(5, 3), nn.Linear(5, 3)
        theirs.load_state_dict(ours.state_dict())
        optimizer = Optimizer(ours, None, training)
        torchs = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name](
            theirs.parameters(), lr=0.01, betas=(0.9, 0.99), eps=1e-8, weight_decay=decay, fused=True)
        for step in range(6):
            for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
                mine.grad = torch.randn(mine.shape, generator=generator)
                other.grad = mine.grad.clone()
            optimizer.step(torch.tensor([0]), torch.zeros(1, 5))
            torchs.step()
            assert all(torch.equal(mine, other) for mine, other
                       in zip(ours.parameters(), theirs.parameters(), strict=True))
            assert all(parameter.grad is None for parameter in ours.parameters())
            if step == 2:
                stored = optimizer.state_dict()
                optimizer = Optimizer(ours, None, training)
                optimizer.load_state_dict(stored)

    @pytest.mark.parametrize("name", get_args(OptimizerName))
    def test_a_parameter_that_the_loss_does_not_reach_stays_and_one_that_it_reaches_late_moves_as_with_torch(
        self, name: OptimizerName
    ) -> None:
        training = SETTINGS.model_copy(update={"optimizer": name, "weight_decay": 0.3})
        ours, theirs = ([nn.Linear(2, 2) for _ in range(3)] for _ in range(2))
        model, other = nn.ModuleList(ours), nn.ModuleList(theirs)
        other.load_state_dict(model.state_dict())
        left_over = ours[2].weight.clone()
        optimizer = Optimizer(model, None, training)
        torchs = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name](
            other.parameters(), lr=0.01, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.3, fused=True)
        for step in range(6):
            for first, second, _ in (ours, theirs):
                loss = first(torch.ones(1, 2)) + (second(torch.ones(1, 2)) if step > 2 else 0)
                torch.autograd.backward(loss.sum())
            optimizer.step(torch.tensor([0]), torch.zeros(1, 2))
            torchs.step()
            torchs.zero_grad()
            assert all(map(torch.equal, model.parameters(), other.parameters()))
        assert torch.equal(ours[2].weight, left_over)

    @pytest.mark.parametrize(("name", "expected"), [("adamw", 2 * (1 - 0.1 * 0.5)), ("adam", 2 - 0.1)])
    def test_weight_decay_moves_a_weight_that_has_no_gradient(self, name: OptimizerName, expected: float) -> None:
        """Decoupled, a step multiplies by 1 - learning rate * decay. An L2 penalty has a gradient, and the first step
        of Adam is as long as the learning rate whatever the gradient."""
        model = nn.Linear(1, 1, bias=False)
        nn.init.constant_(model.weight, 2.0)
        optimizer = Optimizer(model, None, TrainingConfig(optimizer=name, lr=0.1, weight_decay=0.5))
        model.weight.grad = torch.zeros(1, 1)
        optimizer.step(torch.tensor([0]), torch.zeros(1, 1))
        assert model.weight.item() == pytest.approx(expected, rel=1e-6)

    def test_a_new_rate_counts_from_the_next_step(self) -> None:
        model = nn.Linear(1, 1, bias=False)
        optimizer = Optimizer(model, None, TrainingConfig(lr=0.01))
        before = model.weight.item()
        optimizer.lr = 0.5
        model.weight.grad = torch.ones(1, 1)
        optimizer.step(torch.tensor([0]), torch.zeros(1, 1))
        assert before - model.weight.item() == pytest.approx(0.5, rel=1e-5)


def test_steps_of_rows_are_those_of_dense_adam_when_each_batch_holds_all_rows() -> None:
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    table[0] = 0
    dense = nn.Parameter(table.clone())
    adam = torch.optim.Adam([dense], lr=0.01, betas=(0.9, 0.99))
    optimizer = rows_of(table, SETTINGS, fused=False)
    optimizer.rows["steps"] = optimizer.rows["steps"].double()
    for _ in range(5):
        gradient = torch.randn(4, 3, generator=generator, dtype=torch.float64)
        gradient[0] = 0
        dense.grad = gradient.clone()
        adam.step()
        move(optimizer, torch.arange(4), gradient)
    torch.testing.assert_close(table, dense.detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("fused", [False, True])
class TestRows:
    def test_a_row_outside_the_batch_and_the_padding_row_do_not_move(self, fused: bool) -> None:
        table = torch.ones(3, 2)
        table[0] = 0
        optimizer = rows_of(table, TrainingConfig(lr=0.1), fused=fused)
        move(optimizer, torch.tensor([0, 1]), torch.ones(2, 2))
        assert table.tolist() == [[0, 0], pytest.approx([0.9, 0.9], abs=1e-6), [1, 1]]
        move(optimizer, torch.tensor([2]), torch.ones(1, 2))
        # A word's first step is as long as any other's, however late it comes.
        assert table[2].tolist() == pytest.approx([0.9, 0.9], abs=1e-6)

    @pytest.mark.parametrize("name", get_args(OptimizerName))
    def test_a_row_has_no_weight_decay(self, name: OptimizerName, fused: bool) -> None:
        tables = [torch.ones(3, 2) for _ in range(2)]
        for table, decay in zip(tables, (0.0, 0.5), strict=True):
            optimizer = rows_of(table, TrainingConfig(optimizer=name, lr=0.1, weight_decay=decay), fused=fused)
            for _ in range(3):
                move(optimizer, torch.tensor([1]), torch.tensor([[0.0, 1.0]]))
        assert torch.equal(*tables)
        assert tables[1][1:].tolist() == [[1, pytest.approx(0.7, abs=1e-5)], [1, 1]]


@pytest.mark.parametrize(("width", "threads"), [(1, 1), (16, 2), (300, 2)])
def test_the_kernel_moves_rows_as_torch_does(width: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "LEAST_VALUES", 1)
    monkeypatch.setattr("gru_bench.kernels.threads._threads", threads)
    generator = torch.Generator().manual_seed(3)
    table = torch.randn(60, width, generator=generator)
    table[0] = 0
    plain, fused = (rows_of(table.clone(), TrainingConfig(lr=0.01), fused=fused)
                    for fused in (False, True))
    for size in (20, 1, 60, 33):
        distinct = torch.randperm(60, generator=generator)[:size].sort().values
        gradient = torch.randn(size, width, generator=generator)
        for optimizer in (plain, fused):
            move(optimizer, distinct, gradient)
    torch.testing.assert_close(fused.table_VE, plain.table_VE, rtol=0, atol=1e-6)
    for name in ("first", "second", "steps"):
        torch.testing.assert_close(fused.rows[name], plain.rows[name], rtol=1e-5, atol=1e-7)
