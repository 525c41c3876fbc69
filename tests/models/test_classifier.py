"""Classifiers: size, first weights, pooling, dropout and directions."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from gru_bench.config import POOLING_PARTS, Backend, ModelConfig, ModelName, Pooling
from gru_bench.models.classifier import Classifier
from gru_bench.models.pooling import pool
from tests.support.sequences import generator, table


class TestClassifier:
    @pytest.mark.parametrize(("name", "tensors", "parameters"), [
        ("scratch", 6, 120_802), ("torch", 6, 120_802), ("bidirectional", 10, 241_602)])
    def test_a_model_has_as_many_weights_as_that_of_the_homework(
        self, name: ModelName, tensors: int, parameters: int
    ) -> None:
        model = Classifier(ModelConfig(name=name), table(300), generator())
        assert [len(list(model.parameters())), sum(p.numel() for p in model.parameters())] == [tensors, parameters]

    @pytest.mark.parametrize("name", ["scratch", "torch", "bidirectional"])
    def test_first_weights_are_uniform_and_drawn_from_the_generator(self, name: ModelName) -> None:
        model = Classifier(ModelConfig(name=name, hidden_size=25), table(10), generator())
        values = torch.cat([p.flatten() for p in model.parameters()])
        assert values.abs().max() <= 0.2
        assert values.std().item() == pytest.approx(0.2 / math.sqrt(3), rel=0.05)
        again = Classifier(ModelConfig(name=name, hidden_size=25), table(10), generator())
        other = Classifier(ModelConfig(name=name, hidden_size=25), table(10), generator(1))
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
        assert not torch.equal(next(model.parameters()), next(other.parameters()))

    def test_building_leaves_the_global_generator_alone(self) -> None:
        before = torch.get_rng_state()
        Classifier(ModelConfig(name="bidirectional"), table(7), generator())
        assert torch.equal(torch.get_rng_state(), before)

    @pytest.mark.parametrize("pooling", POOLING_PARTS)
    @pytest.mark.parametrize("backend", ["reference", "torch", "fused"])
    def test_padding_never_changes_a_prediction(self, pooling: Pooling, backend: Backend) -> None:
        config = ModelConfig(name="bidirectional", pooling=pooling, hidden_size=6, layers=2)
        model = Classifier(config, table(5), generator()).eval()
        rows_UE = torch.randn(4, 5, generator=generator(2))
        index_BT = torch.tensor([[1, 2, 3, 1], [3, 0, 0, 0], [2, 1, 0, 0]])
        length_B = torch.tensor([4, 1, 2])
        together = model(rows_UE, index_BT, length_B, backend=backend)
        for b, n in enumerate(length_B.tolist()):
            single = model(rows_UE, index_BT[b:b + 1, :n], length_B[b:b + 1], backend=backend)
            # Float32: products of other shapes may sum in another order.
            torch.testing.assert_close(together[b:b + 1], single, rtol=0, atol=2e-6)

    def test_dropout_follows_its_generator(self) -> None:
        model = Classifier(ModelConfig(name="torch", dropout=0.5, hidden_size=8, layers=2), table(5), generator())
        batch = torch.randn(3, 5), torch.tensor([[0, 1, 2]]), torch.tensor([3])

        def run(seed: int) -> Tensor:
            log_BC: Tensor = model(*batch, backend="reference", generator=generator(seed))
            return log_BC

        assert torch.equal(run(1), run(1))
        assert not torch.equal(run(1), run(2))
        model.eval()
        assert torch.equal(run(1), run(2))


def test_a_relu_comes_between_the_pooling_and_the_linear_layer() -> None:
    output_BTD, length_B = torch.randn(2, 3, 4, generator=generator(2)), torch.tensor([3, 1])
    features_BF = pool(output_BTD, length_B, "final", bidirectional=False)
    assert (features_BF < 0).any()
    for relu, passed_on_BF in ((False, features_BF), (True, features_BF.clamp(min=0))):
        model = Classifier(ModelConfig(name="torch", hidden_size=4, relu=relu), table(5), generator())
        expected_BC = torch.log_softmax(model.linear(passed_on_BF), dim=1)
        torch.testing.assert_close(model.decide(output_BTD, length_B), expected_BC)


class TestDirection:
    def test_one_setting_makes_any_model_bidirectional(self) -> None:
        """With the same generator it draws the same weights, whatever its name."""
        named, torchs, ours = (
            Classifier(config, table(7), generator()) for config in (
                ModelConfig(name="bidirectional"), ModelConfig(name="torch", bidirectional=True),
                ModelConfig(name="scratch", bidirectional=True)))
        expected = named.state_dict()
        assert {"gru.weight_hh_l0_reverse", "linear.weight"} < expected.keys()
        for model in (torchs, ours):
            assert list(model.state_dict()) == list(expected)
            assert all(torch.equal(value, expected[key]) for key, value in model.state_dict().items())

    @pytest.mark.parametrize("name", ["scratch", "torch", "bidirectional"])
    def test_the_names_of_saved_weights_begin_with_the_cell(self, name: ModelName) -> None:
        model = Classifier(ModelConfig(name=name), table(7), generator())
        assert {key.partition(".")[0] for key in model.state_dict()} == {"gru", "linear"}

    def test_word_vectors_are_weights_only_where_they_are_trained(self) -> None:
        for trainable, tensors in ((False, 6), (True, 7)):
            model = Classifier(ModelConfig(name="torch"), table(5), generator(), trainable=trainable)
            assert len(list(model.parameters())) == len(model.state_dict()) == tensors
            assert ("embedding.table" in model.state_dict()) == trainable
            assert model.double().table_VE.dtype == torch.float64

    @pytest.mark.parametrize(("name", "both"), [
        ("scratch", False), ("torch", False), ("bidirectional", True)])
    def test_the_direction_that_a_name_implies_may_be_repeated(self, name: ModelName, both: bool) -> None:
        config = ModelConfig(name=name)
        assert config.is_bidirectional == both
        repeated = Classifier(ModelConfig(name=name, bidirectional=both), table(7), generator())
        assert all(map(torch.equal, repeated.parameters(), Classifier(config, table(7), generator()).parameters()))


@pytest.mark.slow
def test_building_a_model_does_not_load_symbolic_algebra() -> None:
    """Which torch's own way to draw weights of a module on the meta device does, for half a second."""
    code = ("import sys, torch\nfrom gru_bench.config import ModelConfig\n"
            "from gru_bench.models.classifier import Classifier\n"
            "Classifier(ModelConfig(name='bidirectional'), torch.zeros(1, 5), torch.Generator().manual_seed(3))\n"
            "assert 'sympy' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True)
