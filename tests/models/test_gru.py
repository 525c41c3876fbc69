"""Our GRU is that of its equations in plain floats."""

from __future__ import annotations

import math

import pytest
import torch

from gru_bench.config import Reset
from gru_bench.models.gru import GRUCell
from gru_bench.models.stack import Stack
from tests.support.sequences import generator


@pytest.mark.parametrize("reset", ["after", "before"])
def test_two_steps_of_one_unit_are_those_of_the_equations(reset: Reset) -> None:
    gru = Stack(GRUCell(reset), 1, 1, generator=generator()).double()
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
