"""Our vanilla RNN is that of its equation by hand."""

from __future__ import annotations

import math

import pytest
import torch

from gru_bench.config import ModelConfig
from gru_bench.models.classifier import Classifier
from gru_bench.models.rnn import RNNCell
from gru_bench.models.stack import Stack
from tests.support.sequences import generator, table


def test_two_steps_of_one_unit_are_those_of_the_equation() -> None:
    rnn = Stack(RNNCell(), 1, 1, generator=generator()).double()
    rnn.load_state_dict({name: torch.tensor(value, dtype=torch.float64) for name, value in {
        "weight_ih_l0": [[0.5]], "weight_hh_l0": [[-0.7]], "bias_ih_l0": [0.1], "bias_hh_l0": [0.2]}.items()})
    h = math.tanh(-0.7 * math.tanh(0.5 + 0.1 + 0.2) + 0.5 * -2 + 0.1 + 0.2)
    got = rnn(torch.tensor([[[1.0], [-2.0]]], dtype=torch.float64), torch.tensor([2]))
    assert got[0, 1, 0].item() == pytest.approx(h, abs=1e-15)


def test_a_classifier_of_vanilla_rnns_has_its_weights() -> None:
    model = Classifier(ModelConfig(name="rnn"), table(300), generator())
    assert sum(p.numel() for p in model.parameters()) == 100 * 300 + 100 * 100 + 2 * 100 + 202
