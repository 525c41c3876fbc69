"""The optimizer makes the same steps as torch's Adam, for whole weights and for rows of a table."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gru_bench.kernels import fused as kernels
from gru_bench.train.optimizer import Optimizer, RowAdam


class TestOptimizer:
    def test_same_bits_as_torch_and_after_its_state_was_stored(self) -> None:
        generator = torch.Generator().manual_seed(1)
        ours, theirs = nn.Linear(5, 3), nn.Linear(5, 3)
        theirs.load_state_dict(ours.state_dict())
        optimizer = Optimizer(ours, None, lr=0.01, betas=(0.9, 0.99), clip_norm=0.5)
        adam = torch.optim.Adam(theirs.parameters(), lr=0.01, betas=(0.9, 0.99), eps=1e-8, fused=True)
        for step in range(6):
            for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
                mine.grad = torch.randn(mine.shape, generator=generator)
                other.grad = mine.grad.clone()
            nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
            optimizer.step(torch.tensor([0]), torch.zeros(1, 5))
            adam.step()
            assert all(torch.equal(mine, other) for mine, other
                       in zip(ours.parameters(), theirs.parameters(), strict=True))
            assert all(parameter.grad is None for parameter in ours.parameters())
            if step == 2:
                stored = optimizer.state_dict()
                optimizer = Optimizer(ours, None, lr=0.01, betas=(0.9, 0.99), clip_norm=0.5)
                optimizer.load_state_dict(stored)

    def test_a_new_rate_counts_from_the_next_step(self) -> None:
        model = nn.Linear(1, 1, bias=False)
        optimizer = Optimizer(model, None, lr=0.01, betas=(0.9, 0.999), clip_norm=None)
        before = model.weight.item()
        optimizer.set_rate(0.5)
        model.weight.grad = torch.ones(1, 1)
        optimizer.step(torch.tensor([0]), torch.zeros(1, 1))
        assert before - model.weight.item() == pytest.approx(0.5, rel=1e-5)

    @pytest.mark.parametrize("fused", [False, True])
    def test_rows_as_dense_adam_when_each_batch_holds_all(self, fused: bool) -> None:
        generator = torch.Generator().manual_seed(1)
        table = torch.randn(4, 3, generator=generator, dtype=torch.float64)
        table[0] = 0
        dense = nn.Parameter(table.clone())
        adam = torch.optim.Adam([dense], lr=0.01, betas=(0.9, 0.99))
        rows = RowAdam(table, lr=0.01, betas=(0.9, 0.99), fused=fused)
        rows.steps_V = rows.steps_V.double()
        for _ in range(5):
            gradient = torch.randn(4, 3, generator=generator, dtype=torch.float64)
            gradient[0] = 0
            dense.grad = gradient.clone()
            adam.step()
            rows.step(torch.arange(4), gradient)
        torch.testing.assert_close(table, dense.detach(), rtol=0, atol=1e-12)

    @pytest.mark.parametrize("fused", [False, True])
    def test_an_absent_row_rests_and_padding_stays_zero(self, fused: bool) -> None:
        table = torch.ones(3, 2)
        table[0] = 0
        rows = RowAdam(table, lr=0.1, betas=(0.9, 0.999), fused=fused)
        rows.step(torch.tensor([0, 1]), torch.ones(2, 2))
        assert table.tolist() == [[0, 0], pytest.approx([0.9, 0.9], abs=1e-6), [1, 1]]
        rows.step(torch.tensor([2]), torch.ones(1, 2))
        # A word's first step is as long as any other's, however late it comes.
        assert table[2].tolist() == pytest.approx([0.9, 0.9], abs=1e-6)

    @pytest.mark.parametrize("threads", [1, 2])
    @pytest.mark.parametrize("width", [1, 16, 300])
    def test_the_kernel_moves_rows_as_torch_does(
        self, width: int, threads: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(kernels, "LEAST_VALUES", 1)
        monkeypatch.setattr(kernels, "_threads", threads)
        generator = torch.Generator().manual_seed(3)
        table = torch.randn(60, width, generator=generator)
        table[0] = 0
        plain, fused = (RowAdam(table.clone(), lr=0.01, betas=(0.9, 0.999), fused=fused) for fused in (False, True))
        for size in (20, 1, 60, 33):
            distinct = torch.randperm(60, generator=generator)[:size].sort().values
            gradient = torch.randn(size, width, generator=generator)
            for rows in (plain, fused):
                rows.step(distinct, gradient)
        torch.testing.assert_close(fused.table_VE, plain.table_VE, rtol=0, atol=1e-6)
        for name in ("first_VE", "second_VE", "steps_V"):
            torch.testing.assert_close(getattr(fused, name), getattr(plain, name), rtol=1e-5, atol=1e-7)

    def test_clips_weights_and_rows_by_one_norm(self) -> None:
        model = nn.Linear(2, 1, bias=False)
        table = torch.ones(2, 2)
        rows = table[torch.tensor([1])].requires_grad_()
        optimizer = Optimizer(model, table, lr=1e-3, betas=(0.0, 0.0), clip_norm=1.0)
        model.weight.grad, rows.grad = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 4.0]])
        optimizer.step(torch.tensor([1]), rows)
        # Without decay the first moment is the gradient.
        torch.testing.assert_close(optimizer.first[0], torch.tensor([[0.6, 0.0]]), rtol=1e-5, atol=0)
        torch.testing.assert_close(rows.grad, torch.tensor([[0.0, 0.8]]), rtol=1e-5, atol=0)
