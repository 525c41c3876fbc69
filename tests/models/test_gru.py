"""Our GRU is that of torch, to the last gradient, and that of the equations by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gru_bench.config import Reset
from gru_bench.models.classifier import torch_gru
from gru_bench.models.gru import GRU, reference_gru
from tests.support.sequences import LENGTHS, TOLERANCE, alone, generator, gradients, sequences


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 3])
class TestSameAsTorch:
    """Outputs and every gradient, with the weights loaded from nn.GRU and back."""

    def test_scratch(self, layers: int, bidirectional: bool, lengths: list[int]) -> None:
        theirs = nn.GRU(5, 4, layers, bidirectional=bidirectional, batch_first=True, dtype=torch.float64)
        ours = GRU(5, 4, layers, bidirectional=bidirectional, generator=generator()).double()
        ours.load_state_dict(theirs.state_dict())
        x_BTE, length_B = sequences(lengths)
        x_BTE.requires_grad_()
        expected, got = alone(theirs, x_BTE, length_B), ours(x_BTE, length_B)
        torch.testing.assert_close(got, expected, rtol=0, atol=TOLERANCE)
        expected_gradients = gradients(expected, [x_BTE, *theirs.parameters()])
        for mine, wanted in zip(gradients(got, [x_BTE, *ours.parameters()]), expected_gradients, strict=True):
            torch.testing.assert_close(mine, wanted, rtol=0, atol=TOLERANCE)

    def test_weights_load_back(self, layers: int, bidirectional: bool, lengths: list[int]) -> None:
        ours = GRU(5, 4, layers, bidirectional=bidirectional, generator=generator()).double()
        theirs = nn.GRU(5, 4, layers, bidirectional=bidirectional, batch_first=True, dtype=torch.float64)
        theirs.load_state_dict(ours.state_dict())
        assert list(ours.state_dict()) == list(theirs.state_dict())
        x_BTE, length_B = sequences(lengths)
        torch.testing.assert_close(ours(x_BTE, length_B), alone(theirs, x_BTE, length_B), rtol=0, atol=TOLERANCE)

    def test_torch_kernels_unpacked(self, layers: int, bidirectional: bool, lengths: list[int]) -> None:
        gru = nn.GRU(5, 4, layers, bidirectional=bidirectional, batch_first=True, dtype=torch.float64)
        x_BTE, length_B = sequences(lengths)
        x_BTE.requires_grad_()
        got = torch_gru(x_BTE, length_B, list(gru.parameters()), bidirectional=bidirectional)
        packed = nn.utils.rnn.pack_padded_sequence(x_BTE, length_B, batch_first=True, enforce_sorted=False)
        expected = nn.utils.rnn.pad_packed_sequence(gru(packed)[0], batch_first=True)[0]
        torch.testing.assert_close(got, expected, rtol=0, atol=TOLERANCE)
        expected_gradients = gradients(expected, [x_BTE, *gru.parameters()])
        for mine, wanted in zip(gradients(got, [x_BTE, *gru.parameters()]), expected_gradients, strict=True):
            torch.testing.assert_close(mine, wanted, rtol=0, atol=TOLERANCE)


def test_reset_before_the_product_by_hand() -> None:
    gru = GRU(1, 1, reset="before", generator=generator()).double()
    values = {"weight_ih_l0": [[0.5], [-0.3], [0.8]], "weight_hh_l0": [[0.2], [0.7], [-0.4]],
              "bias_ih_l0": [0.1, 0.0, -0.2], "bias_hh_l0": [0.0, 0.3, 0.05]}
    gru.load_state_dict({name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()})
    h = 0.0
    for x in (1.0, -2.0):
        r = 1 / (1 + math.exp(-(0.5 * x + 0.1 + 0.2 * h)))
        z = 1 / (1 + math.exp(-(-0.3 * x + 0.7 * h + 0.3)))
        n = math.tanh(0.8 * x - 0.2 + -0.4 * (r * h) + 0.05)
        h = z * h + (1 - z) * n
    got = gru(torch.tensor([[[1.0], [-2.0]]], dtype=torch.float64), torch.tensor([2]))
    assert got[0, 1, 0].item() == pytest.approx(h, abs=1e-14)


def test_the_two_resets_differ() -> None:
    x_BTE, length_B = sequences([6])
    weights = GRU(5, 4, generator=generator()).double().weights()
    after = reference_gru(x_BTE, length_B, weights, bidirectional=False, reset="after")
    before = reference_gru(x_BTE, length_B, weights, bidirectional=False, reset="before")
    assert (after - before).abs().max() > 1e-3


@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(1, 8), min_size=1, max_size=5), bidirectional=st.booleans(),
       reset=st.sampled_from(["after", "before"]), seed=st.integers(0, 99))
def test_padding_and_order_change_nothing(
    lengths: list[int], bidirectional: bool, reset: Reset, seed: int
) -> None:
    x_BTE, length_B = sequences(lengths, seed=seed)
    weights = GRU(5, 3, 2, bidirectional=bidirectional, generator=generator(seed)).double().weights()
    together = reference_gru(x_BTE, length_B, weights, bidirectional=bidirectional, reset=reset)
    for b, n in enumerate(lengths):
        single = reference_gru(
            x_BTE[b:b + 1, :n], length_B[b:b + 1], weights, bidirectional=bidirectional, reset=reset)
        torch.testing.assert_close(together[b:b + 1, :n], single, rtol=0, atol=TOLERANCE)
        assert not together[b, n:].any()
