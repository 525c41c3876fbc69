"""Our GRU is that of its equations by hand."""

from __future__ import annotations

import math

import pytest
import torch

from gru_bench.models.gru import CELLS
from gru_bench.models.recurrence import Weights, reference_layers
from tests.support.sequences import generator, sequences


def test_reset_before_the_product_by_hand() -> None:
    gru = Weights(CELLS["before"], 1, 1, generator=generator()).double()
    values = {"weight_ih_l0": [[0.5], [-0.3], [0.8]], "weight_hh_l0": [[0.2], [0.7], [-0.4]],
              "bias_ih_l0": [0.1, 0.0, -0.2], "bias_hh_l0": [0.0, 0.3, 0.05]}
    gru.load_state_dict({name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()})
    h = 0.0
    for x in (1.0, -2.0):
        r = 1 / (1 + math.exp(-(0.5 * x + 0.1 + 0.2 * h)))
        z = 1 / (1 + math.exp(-(-0.3 * x + 0.7 * h + 0.3)))
        n = math.tanh(0.8 * x - 0.2 + -0.4 * (r * h) + 0.05)
        h = z * h + (1 - z) * n
    got = reference_layers(torch.tensor([[[1.0], [-2.0]]], dtype=torch.float64), torch.tensor([2]),
                           list(gru.parameters()), CELLS["before"].step, bidirectional=False)
    assert got[0, 1, 0].item() == pytest.approx(h, abs=1e-14)


def test_the_two_resets_differ() -> None:
    x_BTE, length_B = sequences([6])
    weights = list(Weights(CELLS["after"], 5, 4, generator=generator()).double().parameters())
    after, before = (
        reference_layers(x_BTE, length_B, weights, cell.step, bidirectional=False) for cell in CELLS.values())
    assert (after - before).abs().max() > 1e-3
