"""Classifiers: size, first weights, pooling, dropout and backends."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from gru_bench.config import Backend, ModelConfig, ModelName, Pooling
from gru_bench.errors import UsageError
from gru_bench.models.classifier import build_model, choose_backend, fallback, run_gru
from gru_bench.models.gru import GRU
from tests.support.sequences import generator


class TestClassifier:
    @pytest.mark.parametrize(("name", "tensors", "parameters"), [
        ("scratch", 6, 120_802), ("torch", 6, 120_802), ("bidirectional", 10, 241_602)])
    def test_size_of_the_homework(self, name: ModelName, tensors: int, parameters: int) -> None:
        model = build_model(ModelConfig(name=name), 300, generator())
        assert [len(list(model.parameters())), sum(p.numel() for p in model.parameters())] == [tensors, parameters]

    @pytest.mark.parametrize("name", ["scratch", "torch", "bidirectional"])
    def test_initial_weights(self, name: ModelName) -> None:
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
    def test_padding_never_changes_a_prediction(self, name: ModelName, pooling: Pooling, backend: Backend) -> None:
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
            log_BC: Tensor = model(*batch, backend="reference", generator=generator(seed))
            return log_BC

        assert torch.equal(run(1), run(1))
        assert not torch.equal(run(1), run(2))
        model.eval()
        assert torch.equal(run(1), run(2))


class TestBackends:
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

    def test_a_backend_that_cannot_run_is_refused(self) -> None:
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
