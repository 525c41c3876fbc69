"""The settings of a recipe, each against a plain computation of what it says; and the checks within an epoch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from gru_bench.config import RunConfig, with_settings
from gru_bench.data.batches import encode, make_batches
from gru_bench.data.corpus import Corpus
from gru_bench.data.vectors import Vectors
from gru_bench.results.runs import Check, EpochRecord, RunResult
from gru_bench.train import loop
from gru_bench.train.listener import Listener, Pruned
from gru_bench.train.loop import train
from gru_bench.train.optimizer import AVERAGED_EVERY, Optimizer
from gru_bench.train.placement import Placement
from tests.support.runs import losses, windows

ALL = {"embedding.trainable": True, "training.class_weight": "balanced",
       "training.average": 0.9, "training.schedule": "linear"}
RunOf = Callable[..., Any]


@pytest.fixture
def run_of(config: RunConfig, corpus: Corpus, vectors: Vectors) -> RunOf:
    """Return a run with some settings, before its first step."""
    def made(settings: dict[str, Any]) -> Any:
        return loop._Run(with_settings(config, settings), corpus, vectors, Placement(torch.device("cpu"), "torch"))

    return made


def first_batch(run: Any, size: int = 16) -> Any:
    batch = next(iter(make_batches(run.train_split, [np.arange(size)])))
    return batch, run.model.table_VE.index_select(0, batch.distinct_U).requires_grad_()


def gradients(run: Any) -> list[torch.Tensor]:
    return [parameter.grad.clone() for parameter in run.optimizer.parameters]


def of_step(run: Any, batch: Any, patch: pytest.MonkeyPatch) -> tuple[torch.Tensor, list[torch.Tensor], torch.Tensor]:
    """Return the loss of a step, and the gradients of the weights and of the rows with which the optimizer moves."""
    seen: list[Any] = []
    patch.setattr(run.optimizer, "step", lambda _, rows_UE: seen.extend((gradients(run), rows_UE.grad)))
    loss = run.step(batch, torch.Generator())
    return loss, *seen


class TestClassWeights:
    def test_the_gradient_is_that_of_the_weighted_losses_and_the_logged_loss_is_not_weighted(
        self, run_of: RunOf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = run_of({"training.class_weight": "balanced", "training.clip_norm": None})
        assert len(set(run.weight_C.tolist())) == 2
        batch, rows_UE = first_batch(run)
        logged, found, _ = of_step(run, batch, monkeypatch)
        run.model.zero_grad()
        log_BC = run.model(rows_UE, batch.index_BT, batch.length_B, backend="torch")
        loss_B = cross_entropy(log_BC, batch.label_B, reduction="none")
        (loss_B * run.weight_C[batch.label_B]).mean().backward()
        torch.testing.assert_close(found, gradients(run))
        torch.testing.assert_close(logged, loss_B.mean().detach())


class TestClipping:
    @pytest.mark.parametrize("factor", [0.5, 2.0])
    def test_the_gradients_of_weights_and_rows_are_scaled_down_to_one_norm(
        self, factor: float, run_of: RunOf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plain = run_of({"embedding.trainable": True, "training.clip_norm": None})
        batch, _ = first_batch(plain)
        _, weights, rows_UE = of_step(plain, batch, monkeypatch)
        norm = torch.cat([values.flatten() for values in (*weights, rows_UE)]).norm()
        clipped = run_of({"embedding.trainable": True, "training.clip_norm": float(norm) * factor})
        _, *found = of_step(clipped, batch, monkeypatch)
        expected = [[values * min(factor, 1.0) for values in weights], rows_UE * min(factor, 1.0)]
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-8)


class TestAverage:
    def test_it_is_the_weighted_mean_of_earlier_weights_and_rows(self, config: RunConfig) -> None:
        decay = 0.9 ** AVERAGED_EVERY
        model, table_VE = torch.nn.Linear(3, 2), torch.randn(5, 3)
        training = config.training.model_copy(update={"average": 0.9})
        optimizer = Optimizer(model, table_VE, training)
        seen, generator = [], torch.Generator().manual_seed(0)
        for step in range(3 * AVERAGED_EVERY + 2):
            for parameter in model.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            rows_UE = table_VE[[1, 3]].clone().requires_grad_()
            rows_UE.grad = torch.randn(2, 3, generator=generator)
            optimizer.step(torch.tensor([1, 3]), rows_UE)
            if (step + 1) % AVERAGED_EVERY == 0:
                seen.append((model.weight.detach().clone(), table_VE.clone()))
        last = model.weight.detach().clone(), table_VE.clone()
        shares = torch.tensor([decay**2, decay, 1.0])
        with optimizer.averaged():
            for found, values in ((model.weight, [one for one, _ in seen]), (table_VE, [one for _, one in seen])):
                expected = sum(share * value for share, value in zip(shares / shares.sum(), values, strict=True))
                torch.testing.assert_close(found.detach(), expected)
        torch.testing.assert_close((model.weight.detach(), table_VE), last, rtol=0, atol=0)

    def test_before_the_first_update_nothing_changes(self, config: RunConfig) -> None:
        model = torch.nn.Linear(3, 2)
        before = model.weight.detach().clone()
        with Optimizer(model, None, config.training.model_copy(update={"average": 0.9})).averaged():
            assert torch.equal(model.weight, before)

    def test_the_average_is_validated_and_kept_and_training_does_not_change(
        self, config: RunConfig, corpus: Corpus, vectors: Vectors, whole: RunResult
    ) -> None:
        averaged = train(with_settings(config, {"training.average": 0.99}), corpus, vectors)
        assert windows(averaged) == windows(whole)
        assert averaged.epochs[-1].validation_loss != whole.epochs[-1].validation_loss
        assert not np.allclose(averaged.weights["linear.weight"], whole.weights["linear.weight"], atol=1e-3)


class TestRates:
    @pytest.mark.parametrize(("schedule", "rates"), [("constant", [0.02, 0.02, 0.02]), ("linear", [0.02, 0.01, 0.0])])
    def test_the_rate_at_the_start_in_the_middle_and_at_the_end(
        self, run_of: RunOf, schedule: str, rates: list[float]
    ) -> None:
        run = run_of({"training.schedule": schedule})
        steps = 3 * -(-len(run.train_split) // 16)
        found = []
        for iteration in (0, steps / 2, steps):
            run.progress.iteration = iteration
            found.append(run._rate())
        assert found == pytest.approx(rates)

    @pytest.mark.parametrize("fused", [True, False])
    def test_the_first_step_of_a_row_is_as_long_as_its_rate(self, config: RunConfig, *, fused: bool) -> None:
        table_VE, rows_UE = torch.zeros(3, 4), torch.zeros(1, 4, requires_grad=True)
        rows_UE.grad = torch.full((1, 4), 0.7)
        model = torch.nn.Linear(4, 2)
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer = Optimizer(model, table_VE, config.training, fused=fused)
        optimizer.step(torch.tensor([2]), rows_UE)
        torch.testing.assert_close(table_VE[2], torch.full((4,), -config.training.lr), rtol=1e-4, atol=0)


def test_micro_batches_with_all_settings_are_the_same_step(
    config: RunConfig, corpus: Corpus, vectors: Vectors
) -> None:
    one, four = (train(with_settings(config, {**ALL, "training.epochs": 1, "training.micro_batches": count}), corpus,
                       vectors) for count in (1, 4))
    for name, weights in one.weights.items():
        np.testing.assert_allclose(
            four.weights[name].astype(np.float64), weights.astype(np.float64), rtol=2e-3, atol=2e-4)


class TestChecks:
    def test_checks_change_no_loss_and_no_weight(self, config: RunConfig, corpus: Corpus, vectors: Vectors) -> None:
        varied = with_settings(config, {**ALL, "model.dropout": 0.3})
        seen: list[Check] = []
        plain = train(varied, corpus, vectors)
        checked = train(varied, corpus, vectors, Listener(check=seen.append), checks_per_epoch=4)
        assert windows(checked) == windows(plain)
        assert losses(checked) == losses(plain)
        for name, weights in plain.weights.items():
            np.testing.assert_array_equal(checked.weights[name], weights)
        assert [check.number for check in seen] == list(range(1, 13))
        assert [check.epochs for check in seen][3::4] == pytest.approx([1, 2, 3])
        assert np.all(np.diff([check.epochs for check in seen]) > 0.1)

    def test_at_most_so_many_reviews_are_checked(
        self, config: RunConfig, corpus: Corpus, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(loop, "CHECK_TEXTS", 7)
        run = loop._Run(config, corpus, vectors, Placement(torch.device("cpu"), "torch"), checks_per_epoch=3)
        chosen = np.sort(np.argsort(corpus.validation.example_id_N)[:7])
        expected = encode(corpus.validation.select(chosen), vectors, config.data.max_length)
        assert len(run.check_split) == 7
        np.testing.assert_array_equal(run.check_split.rows, expected.rows)

    def test_a_check_may_end_a_run_and_its_checkpoint(
        self, config: RunConfig, corpus: Corpus, vectors: Vectors, tmp_path: Path
    ) -> None:
        def prune(check: Check) -> None:
            if check.number == 2:
                raise Pruned

        with pytest.raises(Pruned):
            train(config, corpus, vectors, Listener(check=prune), checks_per_epoch=4, checkpoint=tmp_path / "run.pt")
        assert not list(tmp_path.iterdir())

    def test_the_last_check_of_an_epoch_is_its_validation_and_a_resumed_run_reports_all_checks_again(
        self, config: RunConfig, corpus: Corpus, vectors: Vectors, tmp_path: Path
    ) -> None:
        def cut_off(record: EpochRecord) -> None:
            if record.epoch == 2:
                raise KeyboardInterrupt

        complete, first, again = list[Check](), list[Check](), list[Check]()
        found = train(config, corpus, vectors, Listener(check=complete.append), checks_per_epoch=2)
        assert [check.score for check in complete[1::2]] == pytest.approx(
            [record.validation_accuracy for record in found.epochs])
        with pytest.raises(KeyboardInterrupt):
            train(config, corpus, vectors, Listener(epoch=cut_off, check=first.append), checks_per_epoch=2,
                  checkpoint=tmp_path / "run.pt")
        train(config, corpus, vectors, Listener(check=again.append), checks_per_epoch=2, checkpoint=tmp_path / "run.pt")
        assert again == complete
        assert first == complete[:4]

    def test_an_iteration_has_at_most_one_check(
        self, config: RunConfig, corpus: Corpus, vectors: Vectors
    ) -> None:
        seen: list[Check] = []
        few = with_settings(config, {"training.batch_size": len(corpus.train), "training.log_every": 1})
        train(few, corpus, vectors, Listener(check=seen.append), checks_per_epoch=5)
        assert [check.epochs for check in seen] == pytest.approx([1, 2, 3])
