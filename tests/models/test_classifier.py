"""The recurrence on every backend against torch.nn.GRU run on each sequence alone, in float64."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gru_bench.config import ModelConfig
from gru_bench.errors import UsageError
from gru_bench.models.classifier import build_model, choose_backend, fallback, pool, run_gru, run_rnn, torch_gru
from gru_bench.models.gru import GRU, reference_gru
from gru_bench.models.rnn import RNN

TOLERANCE = 1e-10
"""Float64 has 1e-16; 10 steps of sums over 20 terms lose two digits or three, never six."""


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sequences(lengths: list[int], width: int = 5, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Padded inputs whose padding is large, so that any leak shows."""
    x_BTE = torch.randn(len(lengths), max(lengths), width, dtype=torch.float64, generator=generator(seed))
    length_B = torch.tensor(lengths)
    x_BTE[torch.arange(max(lengths)) >= length_B[:, None]] = 100.0
    return x_BTE, length_B


def alone(gru: nn.GRU, x_BTE: Tensor, length_B: Tensor) -> Tensor:
    """torch.nn.GRU on each sequence by itself: no padding, no packing."""
    outputs = [gru(x_BTE[b:b + 1, :n])[0][0] for b, n in enumerate(length_B.tolist())]
    return nn.utils.rnn.pad_sequence(outputs, batch_first=True)


def gradients(output: Tensor, wrt: list[Tensor]) -> list[Tensor]:
    weight = torch.randn(output.shape, dtype=output.dtype, generator=generator(9))
    return list(torch.autograd.grad((output * weight).sum(), wrt))


LENGTHS = [[1], [1, 1], [7], [3, 7, 1, 5], [2, 2, 9]]


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


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("backend", ["reference", "torch"])
def test_the_vanilla_rnn_is_that_of_torch(backend: str, layers: int, bidirectional: bool, lengths: list[int]) -> None:
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
    lengths: list[int], bidirectional: bool, reset: str, seed: int
) -> None:
    x_BTE, length_B = sequences(lengths, seed=seed)
    weights = GRU(5, 3, 2, bidirectional=bidirectional, generator=generator(seed)).double().weights()
    together = reference_gru(x_BTE, length_B, weights, bidirectional=bidirectional, reset=reset)
    for b, n in enumerate(lengths):
        single = reference_gru(
            x_BTE[b:b + 1, :n], length_B[b:b + 1], weights, bidirectional=bidirectional, reset=reset)
        torch.testing.assert_close(together[b:b + 1, :n], single, rtol=0, atol=TOLERANCE)
        assert not together[b, n:].any()


class TestClassifier:
    @pytest.mark.parametrize(("name", "tensors", "parameters"), [
        ("scratch", 6, 120_802), ("torch", 6, 120_802), ("bidirectional", 10, 241_602)])
    def test_size_of_the_homework(self, name: str, tensors: int, parameters: int) -> None:
        model = build_model(ModelConfig(name=name), 300, generator())
        assert [len(list(model.parameters())), sum(p.numel() for p in model.parameters())] == [tensors, parameters]

    @pytest.mark.parametrize("name", ["scratch", "torch", "bidirectional"])
    def test_initial_weights(self, name: str) -> None:
        model = build_model(ModelConfig(name=name, hidden_size=25), 10, generator())
        values = torch.cat([p.flatten() for p in model.parameters()])
        assert values.abs().max() <= 0.2
        assert values.std().item() == pytest.approx(0.2 / math.sqrt(3), rel=0.05)
        again = build_model(ModelConfig(name=name, hidden_size=25), 10, generator())
        other = build_model(ModelConfig(name=name, hidden_size=25), 10, generator(1))
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
        assert not torch.equal(next(model.parameters()), next(other.parameters()))

    def test_building_leaves_the_global_generator_alone(self) -> None:
        before = torch.get_rng_state()
        build_model(ModelConfig(name="bidirectional"), 7, generator())
        assert torch.equal(torch.get_rng_state(), before)

    @pytest.mark.parametrize("pooling", ["last", "final", "mean", "max", "meanmax"])
    @pytest.mark.parametrize("name", ["scratch", "torch", "bidirectional"])
    @pytest.mark.parametrize("backend", ["reference", "torch", "fused"])
    def test_padding_never_changes_a_prediction(self, name: str, pooling: str, backend: str) -> None:
        config = ModelConfig(name=name, pooling=pooling, hidden_size=6, layers=2)
        model = build_model(config, 5, generator()).eval()
        rows_UE = torch.randn(4, 5, generator=generator(2))
        index_BT = torch.tensor([[1, 2, 3, 1], [3, 0, 0, 0], [2, 1, 0, 0]])
        length_B = torch.tensor([4, 1, 2])
        together = model(rows_UE, index_BT, length_B, backend=backend)
        for b, n in enumerate(length_B.tolist()):
            single = model(rows_UE, index_BT[b:b + 1, :n], length_B[b:b + 1], backend=backend)
            # Float32: products of other shapes may sum in another order.
            torch.testing.assert_close(together[b:b + 1], single, rtol=0, atol=2e-6)

    def test_dropout_follows_its_generator(self) -> None:
        model = build_model(ModelConfig(name="torch", dropout=0.5, hidden_size=8, layers=2), 5, generator())
        batch = torch.randn(3, 5), torch.tensor([[0, 1, 2]]), torch.tensor([3])

        def run(seed: int) -> Tensor:
            return model(*batch, backend="reference", generator=generator(seed))

        assert torch.equal(run(1), run(1))
        assert not torch.equal(run(1), run(2))
        model.eval()
        assert torch.equal(run(1), run(2))


def test_poolings_by_hand() -> None:
    output_BTD = torch.tensor([[[1.0, 10.0], [3.0, 30.0], [0.0, 0.0]], [[-1.0, -2.0], [-3.0, -4.0], [-5.0, -1.0]]])
    length_B = torch.tensor([2, 3])
    expected = {
        "last": [[3, 30], [-5, -1]], "final": [[3, 10], [-5, -2]], "mean": [[2, 20], [-3, -7 / 3]],
        "max": [[3, 30], [-1, -1]], "meanmax": [[2, 20, 3, 30], [-3, -7 / 3, -1, -1]],
    }
    for pooling, values in expected.items():
        got = pool(output_BTD, length_B, pooling, bidirectional=True)
        torch.testing.assert_close(got, torch.tensor(values, dtype=torch.float32))


class TestEngines:
    def test_each_runs_all_weights_alike(self) -> None:
        gru = GRU(5, 4, 2, bidirectional=True, generator=generator())
        rows_UE, index_BT = torch.randn(6, 5, generator=generator(3)), torch.tensor([[0, 5, 2], [4, 1, 0]])
        length_B = torch.tensor([3, 2])
        reference = run_gru(gru, rows_UE, index_BT, length_B, backend="reference")
        for backend in ("torch", "fused"):
            got = run_gru(gru, rows_UE, index_BT, length_B, backend=backend)
            torch.testing.assert_close(got, reference, rtol=0, atol=1e-6)

    def test_auto_takes_ours_on_a_cpu(self) -> None:
        assert choose_backend(ModelConfig(name="torch"), torch.device("cpu")) == "fused"

    def test_auto_takes_torch_where_ours_cannot_load_and_says_why(self, monkeypatch: pytest.MonkeyPatch) -> None:
        cpu = torch.device("cpu")
        assert fallback(ModelConfig(), cpu) is None
        monkeypatch.setattr("gru_bench.kernels.fused.unavailable", lambda: "no kernel today.")
        assert choose_backend(ModelConfig(), cpu) == "torch"
        assert choose_backend(ModelConfig(name="scratch", reset="before"), cpu) == "reference"
        assert fallback(ModelConfig(), cpu) == (
            "training takes several times as long here, on the backend 'torch': no kernel today.")
        # Whoever asks for a backend, or whose model or device never had ours, is told nothing.
        assert fallback(ModelConfig(backend="torch"), cpu) is None
        assert fallback(ModelConfig(name="rnn"), cpu) is None
        assert fallback(ModelConfig(), torch.device("cuda")) is None
        with pytest.raises(UsageError, match=r"but got 'fused': no kernel today\."):
            choose_backend(ModelConfig(backend="fused"), cpu)

    def test_auto_takes_torch_on_a_card(self) -> None:
        assert choose_backend(ModelConfig(name="scratch"), torch.device("cuda")) == "torch"
        assert choose_backend(ModelConfig(name="scratch", reset="before"), torch.device("cuda")) == "reference"

    def test_an_backend_that_cannot_run_is_refused(self) -> None:
        with pytest.raises(UsageError, match=r"model\.backend must be able to run here, but got 'fused': it runs on"):
            choose_backend(ModelConfig(backend="fused"), torch.device("cuda"))
        with pytest.raises(UsageError, match="no GRU whose reset gate acts before"):
            choose_backend(ModelConfig(name="scratch", backend="torch", reset="before"), torch.device("cpu"))
        with pytest.raises(UsageError, match=r"model\.reset must be 'after' for the model 'torch'"):
            build_model(ModelConfig(name="torch", reset="before"), 5, generator())


def test_building_a_model_does_not_load_symbolic_algebra() -> None:
    """Which torch's own way to draw weights of a module on the meta device does, for half a second."""
    code = ("import sys, torch\nfrom gru_bench.config import ModelConfig\n"
            "from gru_bench.models.classifier import build_model\n"
            "model = build_model(ModelConfig(name='bidirectional'), 5, torch.Generator().manual_seed(3))\n"
            "assert model.gru._flat_weights[0] is model.gru.weight_ih_l0\nassert 'sympy' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True)
