"""Our vanilla RNN is that of torch, and that of its equation by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from gru_bench.config import ModelConfig
from gru_bench.errors import UsageError
from gru_bench.models.classifier import Backend, build_model, choose_backend, run_rnn
from gru_bench.models.rnn import RNN
from tests.support.sequences import LENGTHS, TOLERANCE, alone, generator, gradients, sequences


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_the_vanilla_rnn_is_that_of_torch(
    backend: Backend, layers: int, bidirectional: bool, lengths: list[int]
) -> None:
    """Outputs and every gradient, with the weights loaded from nn.RNN and back."""
    theirs = nn.RNN(5, 4, layers, bidirectional=bidirectional, batch_first=True, dtype=torch.float64)
    ours = RNN(5, 4, layers, bidirectional=bidirectional, generator=generator()).double()
    theirs.load_state_dict(ours.state_dict())
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x_BTE, length_B = sequences(lengths)
    x_BTE.requires_grad_()
    expected, got = alone(theirs, x_BTE, length_B), run_rnn(ours, x_BTE, length_B, backend=backend)
    torch.testing.assert_close(got, expected, rtol=0, atol=TOLERANCE)
    expected_gradients = gradients(expected, [x_BTE, *theirs.parameters()])
    for mine, wanted in zip(gradients(got, [x_BTE, *ours.parameters()]), expected_gradients, strict=True):
        torch.testing.assert_close(mine, wanted, rtol=0, atol=TOLERANCE)


def test_the_vanilla_rnn_by_hand() -> None:
    rnn = RNN(1, 1, generator=generator()).double()
    rnn.load_state_dict({name: torch.tensor(value, dtype=torch.float64) for name, value in {
        "weight_ih_l0": [[0.5]], "weight_hh_l0": [[-0.7]], "bias_ih_l0": [0.1], "bias_hh_l0": [0.2]}.items()})
    h = math.tanh(-0.7 * math.tanh(0.5 + 0.1 + 0.2) + 0.5 * -2 + 0.1 + 0.2)
    got = rnn(torch.tensor([[[1.0], [-2.0]]], dtype=torch.float64), torch.tensor([2]))
    assert got[0, 1, 0].item() == pytest.approx(h, abs=1e-15)


def test_the_vanilla_rnn_as_a_classifier() -> None:
    model = build_model(ModelConfig(name="rnn"), 300, generator())
    assert sum(p.numel() for p in model.parameters()) == 100 * 300 + 100 * 100 + 2 * 100 + 202
    assert choose_backend(ModelConfig(name="rnn"), torch.device("cpu")) == "torch"
    with pytest.raises(UsageError, match=r"model.backend must be able to run here, but got 'fused': it computes gates"):
        choose_backend(ModelConfig(name="rnn", backend="fused"), torch.device("cpu"))
    with pytest.raises(UsageError, match=r"model.reset must be left at 'after' for the model 'rnn', which has"):
        build_model(ModelConfig(name="rnn", reset="before"), 300, generator())
    rows_UE, index_BT, length_B = torch.randn(4, 300), torch.tensor([[1, 2, 3], [2, 0, 0]]), torch.tensor([3, 1])
    one, other = (model(rows_UE, index_BT, length_B, backend=backend) for backend in ("reference", "torch"))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="must run on the backend 'reference' or 'torch'"):
        model(rows_UE, index_BT, length_B, backend="fused")
