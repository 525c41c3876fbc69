"""Our GRU is that of its equations in plain floats, and its cell that of torch."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from gru_bench.config import Reset
from gru_bench.models.gru import GRUCell
from gru_bench.models.stack import Stack
from tests.support.sequences import generator


@pytest.mark.parametrize("reset", ["after", "before"])
def test_two_steps_of_one_unit_are_those_of_the_equations(reset: Reset) -> None:
    gru = Stack(1, 1, reset=reset, generator=generator()).double()
    values = {"weight_ih_l0": [[0.5], [-0.3], [0.8]], "weight_hh_l0": [[0.2], [0.7], [-0.4]],
              "bias_ih_l0": [0.1, 0.0, -0.2], "bias_hh_l0": [0.0, 0.3, 0.05]}
    gru.load_state_dict({name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()})
    h = 0.0
    for x in (1.0, -2.0):
        r = 1 / (1 + math.exp(-(0.5 * x + 0.1 + 0.2 * h)))
        z = 1 / (1 + math.exp(-(-0.3 * x + 0.7 * h + 0.3)))
        hidden = r * (-0.4 * h + 0.05) if reset == "after" else -0.4 * (r * h) + 0.05
        n = math.tanh(0.8 * x - 0.2 + hidden)
        h = z * h + (1 - z) * n
    got = gru(torch.tensor([[[1.0], [-2.0]]], dtype=torch.float64), torch.tensor([2]))
    assert got[0, 1, 0].item() == pytest.approx(h, abs=1e-14)


def test_a_cell_with_the_weights_of_torchs_cell_makes_the_same_steps() -> None:
    torchs = nn.GRUCell(5, 4).double()
    cell = GRUCell(torchs.weight_ih, torchs.weight_hh, torchs.bias_ih, torchs.bias_hh)
    x_TBE = torch.randn(3, 2, 5, dtype=torch.float64, generator=generator())
    h_BH = expected_BH = torch.zeros(2, 4, dtype=torch.float64)
    for x_BE in x_TBE:
        h_BH, expected_BH = cell(x_BE, h_BH), torchs(x_BE, expected_BH)
        torch.testing.assert_close(h_BH, expected_BH, rtol=0, atol=1e-14)


def test_the_cells_of_a_stack_make_its_steps() -> None:
    gru = Stack(5, 4, bidirectional=True, generator=generator()).double()
    x_BTE = torch.randn(2, 3, 5, dtype=torch.float64, generator=generator())
    output_BTD = gru(x_BTE, torch.tensor([3, 3]))
    for direction, order in enumerate(([0, 1, 2], [2, 1, 0])):
        cell, h_BH = gru.cell(0, direction), torch.zeros(2, 4, dtype=torch.float64)
        for t in order:
            h_BH = cell(x_BTE[:, t], h_BH)
            torch.testing.assert_close(output_BTD[:, t, 4 * direction:][:, :4], h_BH, rtol=0, atol=1e-14)
