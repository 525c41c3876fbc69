"""Our vanilla RNN is that of its equation by hand."""

from __future__ import annotations

import math

import pytest
import torch

from gru_bench.config import ModelConfig
from gru_bench.errors import UsageError
from gru_bench.models.classifier import Classifier
from gru_bench.models.recurrence import choose_backend
from gru_bench.models.rnn import RNN
from tests.support.sequences import generator, table


def test_two_steps_of_one_unit_are_those_of_the_equation() -> None:
    rnn = RNN(1, 1, generator=generator()).double()
    rnn.load_state_dict({name: torch.tensor(value, dtype=torch.float64) for name, value in {
        "weight_ih_l0": [[0.5]], "weight_hh_l0": [[-0.7]], "bias_ih_l0": [0.1], "bias_hh_l0": [0.2]}.items()})
    h = math.tanh(-0.7 * math.tanh(0.5 + 0.1 + 0.2) + 0.5 * -2 + 0.1 + 0.2)
    got = rnn(torch.tensor([[[1.0], [-2.0]]], dtype=torch.float64), torch.tensor([2]))
    assert got[0, 1, 0].item() == pytest.approx(h, abs=1e-15)


def test_a_classifier_of_vanilla_rnns_has_its_weights_and_refuses_what_needs_gates() -> None:
    model = Classifier(ModelConfig(name="rnn"), table(300), generator())
    assert sum(p.numel() for p in model.parameters()) == 100 * 300 + 100 * 100 + 2 * 100 + 202
    assert choose_backend(ModelConfig(name="rnn"), torch.device("cpu")) == "torch"
    with pytest.raises(UsageError, match=r"model\.backend.*'fused'.*gates"):
        choose_backend(ModelConfig(name="rnn", backend="fused"), torch.device("cpu"))
    with pytest.raises(UsageError, match=r"model\.reset.*'after'.*'rnn'.*'before'"):
        Classifier(ModelConfig(name="rnn", reset="before"), table(300), generator())
