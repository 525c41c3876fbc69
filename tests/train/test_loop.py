"""Training: it learns, repeats itself to the bit, selects the best epoch, and refuses what it cannot do."""

from __future__ import annotations

import itertools
import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gru_bench.config import Backend, MetricName, RunConfig, Scalar, with_settings
from gru_bench.data.batches import Batch
from gru_bench.data.code import own_model
from gru_bench.data.corpus import Corpus, Split, load_corpus
from gru_bench.data.vectors import Vectors, load_vectors
from gru_bench.errors import DataError, RunError, UsageError
from gru_bench.results.runs import EpochRecord, RunResult, StepReport
from gru_bench.stats.metrics import correct, predicted
from gru_bench.stats.scores import best, value_of
from gru_bench.train import loop, network
from gru_bench.train.listener import Listener, Pruned
from gru_bench.train.loop import best_epoch, train
from gru_bench.train.optimizer import Optimizer
from gru_bench.train.placement import Placement, choose_device, place
from tests.support.commands import mentions
from tests.support.own import written
from tests.support.runs import losses, windows


@pytest.mark.parametrize("settings", [
    {}, {"model.name": "bidirectional", "embedding.trainable": True, "training.optimizer": "adamw",
         "training.weight_decay": 0.1}])
def test_every_backend_learns_the_same(
    settings: dict[str, Scalar], config: RunConfig, corpus: Corpus, vectors: Vectors
) -> None:
    """60 steps in float32: rounding differs between backends and grows a little, to 1e-6 here; not to 1e-4."""
    results = [
        train(with_settings(config, {**settings, "training.epochs": 6, "model.backend": backend}), corpus, vectors,
              score_test=True)
        for backend in ("reference", "torch", "auto")]
    assert [result.backend for result in results] == ["reference", "torch", "fused"]
    for result in results:
        test = result.predictions["test"]
        assert ((test.probability_NC[:, 1] > 0.5) == (test.label_N == 1)).mean() > 0.9
        assert set(test.category_N) == {"books", "music"}
        assert (test.example_id_N == corpus.test.example_id_N).all()
        np.testing.assert_allclose(
            [e.train_loss for e in result.epochs], [e.train_loss for e in results[0].epochs], rtol=0, atol=1e-4)


def test_learns_several_classes(config: RunConfig, corpus: Corpus, vectors: Vectors) -> None:
    """Label and kind together are four classes, of which the label can be learnt and the kind only guessed."""
    def of_four(split: Split) -> Split:
        return replace(split, label_N=(split.label_N + 2 * (split.category_N == "music")).astype(np.int8))

    four = replace(corpus, train=of_four(corpus.train), validation=of_four(corpus.validation),
                   test=of_four(corpus.test), classes=("bad book", "good book", "bad tune", "good tune"))
    result = train(with_settings(config, {"training.epochs": 8}), four, vectors, score_test=True)
    test = result.predictions["test"]
    assert result.classes == four.classes
    assert test.probability_NC.shape == (len(four.test), 4)
    np.testing.assert_allclose(test.probability_NC.sum(axis=1), 1, atol=1e-5)
    assert (predicted(test.probability_NC) % 2 == test.label_N % 2).mean() > 0.9
    assert correct(test.label_N, test.probability_NC).mean() > 0.5


class TestMetric:
    @pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "log_loss"])
    def test_the_best_checkpoint_is_that_of_the_best_score(
        self, metric: MetricName, config: RunConfig, corpus: Corpus, vectors: Vectors, whole: RunResult
    ) -> None:
        result = train(with_settings(config, {"training.metric": metric}), corpus, vectors)
        validation = result.predictions["validation"]
        kept = value_of(metric, validation.label_N, validation.probability_NC)
        found = [epoch.score(metric) for epoch in result.epochs]
        assert kept == pytest.approx(result.epochs[result.best_epoch - 1].score(metric))
        assert kept == best(metric, [value for value in found if value is not None])
        # What decides changes no loss.
        assert losses(result) == losses(whole)

    @pytest.mark.parametrize(("metric", "expected"), [("accuracy", 1), ("log_loss", 2)])
    def test_the_epoch_that_is_kept_is_the_best_by_the_metric_of_the_run(
        self, metric: MetricName, expected: int, config: RunConfig, corpus: Corpus, vectors: Vectors,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        validated = iter([(0.5, 0.9, 0.5), (0.4, 0.8, 0.4), (0.6, 0.7, 0.6)])
        monkeypatch.setattr(loop._Run, "_validate", lambda _: next(validated))
        result = train(with_settings(config, {"training.metric": metric, "training.epochs": 3}), corpus, vectors)
        assert result.best_epoch == expected

    def test_of_losses_the_lowest_is_best(self) -> None:
        epochs = [EpochRecord(n, 1.0, loss, accuracy, 1.0, 1.0, loss)
                  for n, (loss, accuracy) in enumerate([(0.5, 0.8), (0.4, 0.7), (0.4, 0.9)], start=1)]
        assert best_epoch(epochs, "log_loss").epoch == 2
        assert best_epoch(epochs).epoch == 3


def with_few_of_class_1(split: Split) -> Split:
    return split.select(np.flatnonzero((split.label_N == 0) | (np.arange(len(split)) % 6 == 0)))


class TestClassWeight:
    def test_weights_are_the_inverse_of_how_often_a_class_occurs(
        self, config: RunConfig, corpus: Corpus, vectors: Vectors
    ) -> None:
        rare = with_few_of_class_1(corpus.train)
        one = with_settings(config, {"training.class_weight": "balanced"})
        run = loop._Run(one, replace(corpus, train=rare), vectors, Placement(torch.device("cpu"), "torch"))
        count_C = np.bincount(rare.label_N)
        weight_C = torch.tensor(len(rare) / (2 * count_C), dtype=torch.float32)
        assert run.weight_C is not None
        torch.testing.assert_close(run.weight_C, weight_C)
        assert float((run.weight_C[rare.label_N.astype(int)]).sum()) == pytest.approx(len(rare))

    def test_micro_batches_are_the_same_step_and_logged_losses_have_no_weights(
            self, config: RunConfig, corpus: Corpus, vectors: Vectors) -> None:
        balanced = {"training.class_weight": "balanced", "training.epochs": 1, "training.log_every": 1}
        weighed, parts = (train(with_settings(config, {**balanced, "training.micro_batches": count}), corpus, vectors)
                          for count in (1, 4))
        for name, weights in weighed.weights.items():
            np.testing.assert_allclose(np.asarray(weights, float), np.asarray(parts.weights[name], float), atol=2e-4)
        # Before the first step both losses are the same plain mean.
        plain = train(with_settings(config, {**balanced, "training.class_weight": "none"}), corpus, vectors)
        assert weighed.window_losses[0].loss == plain.window_losses[0].loss
        assert weighed.window_losses[-1].loss != plain.window_losses[-1].loss

    def test_a_rare_class_is_found_more_often(self, config: RunConfig, corpus: Corpus, vectors: Vectors) -> None:
        rare = with_few_of_class_1(corpus.train)
        found = []
        for weight in ("none", "balanced"):
            one = with_settings(config, {"training.class_weight": weight, "training.epochs": 2})
            test = train(one, replace(corpus, train=rare), vectors, score_test=True).predictions["test"]
            found.append(test.probability_NC[test.label_N == 1, 1].mean())
        assert found[1] > found[0]


@pytest.mark.parametrize("backend", ["torch", "fused"])
def test_one_seed_gives_the_same_bits_and_another_seed_another_run(
    backend: Backend, config: RunConfig, corpus: Corpus, vectors: Vectors
) -> None:
    config = with_settings(config, {
        "model.name": "bidirectional", "model.layers": 2, "model.dropout": 0.3, "model.backend": backend,
        "embedding.trainable": True, "training.epochs": 2})
    one, two, other = (train(with_settings(config, {"seed": seed}), corpus, vectors) for seed in (0, 0, 1))
    assert losses(one) == losses(two)
    assert windows(one) == windows(two)
    for name, weights in one.weights.items():
        np.testing.assert_array_equal(weights, two.weights[name])
    assert losses(one) != losses(other)


def test_long_batches_are_cut_into_micro_batches_on_a_processor(
    config: RunConfig, corpus: Corpus, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here batches of 16 reviews of 5 to 22 tokens, in parts of at most 100."""
    trainable = with_settings(config, {"embedding.trainable": True, "training.epochs": 2})
    expected = losses(train(trainable, corpus, vectors))
    counts: set[int] = set()

    parts = Batch.parts

    def noted(batch: Batch, count: int) -> list[Batch]:
        counts.add(count)
        return parts(batch, count)

    monkeypatch.setattr(loop, "MICRO_BATCH_TOKENS", 100)
    monkeypatch.setattr(Batch, "parts", noted)
    found = losses(train(trainable, corpus, vectors))
    assert {2, 3} <= counts
    # The same sums in another order, in float32: after two epochs they differ in the last digits.
    np.testing.assert_allclose(np.array(found, float), np.array(expected, float), rtol=2e-4)


def test_a_run_that_is_not_scored_on_test_never_reads_the_test_split(
    config: RunConfig, corpus: Corpus, vectors: Vectors
) -> None:
    class Closed:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(f"a run that is not to be scored on test read its {name}")

    closed: Any = Closed()
    result = train(with_settings(config, {"training.epochs": 1}), replace(corpus, test=closed), vectors)
    assert set(result.predictions) == {"validation"}


def test_each_epoch_is_reported_and_the_best_checkpoint_is_returned(
    config: RunConfig, corpus: Corpus, vectors: Vectors
) -> None:
    seen: list[EpochRecord] = []
    result = train(config, corpus, vectors, Listener(epoch=seen.append))
    assert tuple(seen) == result.epochs
    best = best_epoch(list(result.epochs))
    assert result.best_epoch == best.epoch
    validation = result.predictions["validation"]
    assert ((validation.probability_NC[:, 1] >= 0.5) == (validation.label_N == 1)).mean() == best.validation_accuracy


def test_best_epoch_by_accuracy_then_loss_then_first() -> None:
    def record(epoch: int, loss: float, accuracy: float) -> EpochRecord:
        return EpochRecord(epoch, 1.0, loss, accuracy, 1.0, 1.0)

    assert best_epoch([record(1, 0.5, 0.8), record(2, 0.6, 0.9), record(3, 0.4, 0.9), record(4, 0.4, 0.9)]).epoch == 3


def test_each_epoch_begins_a_new_window_of_the_training_loss(
    config: RunConfig, corpus: Corpus, vectors: Vectors
) -> None:
    result = train(with_settings(config, {"training.epochs": 2, "training.log_every": 4}), corpus, vectors)
    per_epoch = math.ceil(len(corpus.train) / 16)
    expected = [epoch * per_epoch + window * 4 for epoch in range(2) for window in range(1, per_epoch // 4 + 1)]
    assert per_epoch % 4
    assert [point.iteration for point in result.window_losses] == expected
    assert all(math.isfinite(point.loss) for point in result.window_losses)


def test_without_a_validation_split_the_weights_of_the_lowest_window_are_kept(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    keep = loop._Run._keep_best

    def noted(run: Any, epoch: int) -> None:
        kept.append(run.progress.iteration)
        keep(run, epoch)

    monkeypatch.setattr(loop._Run, "_keep_best", noted)
    config = with_settings(config, {
        "data.validation_share": 0.0, "training.selection": "lowest_train_window", "training.drop_last": True})
    corpus = load_corpus(config.data)
    result = train(config, corpus, load_vectors(config.embedding, corpus), score_test=True)
    assert result.epochs[0].validation_loss is None
    assert result.best_epoch == min(result.window_losses, key=lambda point: point.loss).epoch
    lowest = itertools.accumulate((point.loss for point in result.window_losses), min)
    assert kept == [
        point.iteration for point, loss in zip(result.window_losses, lowest, strict=True) if point.loss == loss]
    assert set(result.predictions) == {"test"}


def test_patience_ends_a_run(config: RunConfig, corpus: Corpus, vectors: Vectors) -> None:
    result = train(with_settings(config, {"training.lr": 1e-9, "training.epochs": 9, "training.patience": 2}),
                   corpus, vectors)
    assert result.stopped_early
    assert len(result.epochs) == result.best_epoch + 2 < 9


def test_a_linear_schedule_falls_to_nothing(
    config: RunConfig, corpus: Corpus, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    step = Optimizer.step

    def observed(optimizer: Optimizer, *gradients: torch.Tensor) -> None:
        rates.append(optimizer.lr)
        step(optimizer, *gradients)

    monkeypatch.setattr(Optimizer, "step", observed)
    train(with_settings(config, {"training.schedule": "linear", "training.epochs": 2}), corpus, vectors)
    steps = 2 * math.ceil(len(corpus.train) / 16)
    assert rates == pytest.approx([0.02 * (1 - step / steps) for step in range(steps)])


def test_a_listener_may_prune(config: RunConfig, corpus: Corpus, vectors: Vectors, tmp_path: Path) -> None:
    def prune(_: EpochRecord) -> None:
        raise Pruned

    with pytest.raises(Pruned):
        train(config, corpus, vectors, Listener(epoch=prune), checkpoint=tmp_path / "run.pt")
    assert not list(tmp_path.iterdir())


def test_parameters_that_the_loss_does_not_reach_stay_as_they_are_and_are_named_once(
    config: RunConfig, corpus: Corpus, vectors: Vectors, tmp_path: Path
) -> None:
    found = own_model(f"{written(tmp_path)}:LeftOver")
    assert found is not None
    settings: dict[str, Scalar] = {
        "model.name": found[0], "model.source": found[1], "model.backend": "auto", "model.bidirectional": True,
        "training.optimizer": "adamw", "training.weight_decay": 0.1}
    notes: list[str] = []
    first, last = (train(with_settings(config, {**settings, "training.epochs": epochs}), corpus, vectors,
                         listener=Listener(note=notes.append)) for epochs in (1, 3))
    note, again = notes
    assert note == again
    mentions(note, "homework.py:LeftOver", "'head.weight', 'head.bias' of")
    assert "'h.weight'" not in note
    for name, values in last.weights.items():
        assert np.array_equal(values, first.weights[name]) == ("head" in name), name


def test_a_class_that_draws_its_own_masks_repeats_itself_and_resumes(
    config: RunConfig, corpus: Corpus, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It draws them from torch's global generator, which stays as it was."""
    found = own_model(f"{written(tmp_path)}:Stacked")
    assert found is not None
    drawn = with_settings(config, {"model.name": found[0], "model.source": found[1], "model.backend": "auto",
                                   "training.epochs": 2})
    before = torch.get_rng_state()
    first = train(drawn, corpus, vectors)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(5)

    def cut_off(report: StepReport) -> None:
        if report.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "REFRESH_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        train(drawn, corpus, vectors, Listener(step=cut_off), checkpoint=tmp_path / "run.pt")
    again = train(drawn, corpus, vectors, checkpoint=tmp_path / "run.pt")
    assert windows(first) == windows(again)
    assert losses(first) == losses(again)


def test_a_review_without_known_words_is_classified(config: RunConfig, corpus: Corpus, vectors: Vectors) -> None:
    row_of_word = np.array(vectors.row_of_word)
    row_of_word[corpus.test.ids[corpus.test.offsets_N1[0]:corpus.test.offsets_N1[1]]] = -1
    result = train(with_settings(config, {"training.epochs": 1}), corpus, replace(vectors, row_of_word=row_of_word),
                   score_test=True)
    test = result.predictions["test"]
    assert len(test) == len(corpus.test)
    assert test.tokens_N[0] == 0
    assert test.dropped_N[0] == corpus.test.offsets_N1[1]
    assert np.isfinite(test.probability_NC).all()


class TestWhatGoesWrong:
    def test_a_run_whose_loss_explodes_is_ended(
        self, config: RunConfig, corpus: Corpus, vectors: Vectors, tmp_path: Path
    ) -> None:
        wild = with_settings(config, {"training.lr": 1e4, "training.clip_norm": None})
        with pytest.raises(RunError, match=r"loss.* 20 nats.*training\.lr \(now 10000\)"):
            train(wild, corpus, vectors, checkpoint=tmp_path / "run.pt")
        assert not list(tmp_path.iterdir())

    def test_a_loss_that_is_finite_in_training_and_nan_in_validation(
        self, config: RunConfig, corpus: Corpus, vectors: Vectors, tmp_path: Path
    ) -> None:
        wild = with_settings(config, {"training.lr": 1e38, "training.batch_size": len(corpus.train)})
        with pytest.raises(RunError, match=r"probabilities.*nan.*iteration 1: .*training\.lr \(now 1e\+38\)"):
            train(wild, corpus, vectors, checkpoint=tmp_path / "run.pt")
        assert not list(tmp_path.iterdir())

    def test_nan_in_the_predictions_of_the_test_split_ends_a_run(
        self, config: RunConfig, corpus: Corpus, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers = network.predict
        monkeypatch.setattr(loop, "predict", lambda model, encoded, **more: answers(
            model, encoded, **more) * (np.nan if len(encoded) == len(corpus.test) else 1))
        assert len(corpus.test) != len(corpus.validation)
        with pytest.raises(RunError, match=r"probabilities.*nan"):
            train(with_settings(config, {"training.epochs": 1}), corpus, vectors, score_test=True,
                  checkpoint=tmp_path / "run.pt")
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(("card", "device"), [(False, "cpu"), (True, "cuda")])
    def test_auto_never_takes_the_graphics_processor_of_a_mac(
        self, card: bool, device: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: card)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        assert choose_device("auto").type == device
        assert choose_device("mps").type == "mps"

    def test_an_unknown_device_is_refused(self) -> None:
        with pytest.raises(UsageError, match=r"device.*auto.*cpu.*'tpu'"):
            choose_device("tpu")

    def test_selection_by_validation_without_a_validation_split_is_refused(
        self, config: RunConfig, vectors: Vectors
    ) -> None:
        config = with_settings(config, {"data.validation_share": 0.0})
        corpus = load_corpus(config.data)
        with pytest.raises(UsageError, match=r"'best_validation'.*data\.validation_share.*lowest_train_window"):
            train(config, corpus, load_vectors(config.embedding, corpus))

    def test_a_batch_larger_than_the_training_split_is_refused(
        self, config: RunConfig, corpus: Corpus, vectors: Vectors
    ) -> None:
        with pytest.raises(UsageError, match=rf"training\.batch_size.* {len(corpus.train)} .*999"):
            train(with_settings(config, {"training.batch_size": 999, "training.drop_last": True}), corpus, vectors)

    def test_a_window_longer_than_an_epoch_is_refused_where_windows_decide(
        self, config: RunConfig, corpus: Corpus, vectors: Vectors
    ) -> None:
        iterations = -(-len(corpus.train) // config.training.batch_size)
        config = with_settings(config, {"training.selection": "lowest_train_window", "training.epochs": 1,
                                        "training.log_every": iterations + 1})
        with pytest.raises(UsageError, match=rf"training\.log_every .*{iterations}.*{iterations + 1}: "
                                             rf"training\.log_every={max(1, iterations // 10)}"):
            loop.check_settings(config, corpus)
        loop.check_settings(with_settings(config, {"training.log_every": iterations}), corpus)
        loop.check_settings(with_settings(config, {"training.selection": "best_validation"}), corpus)

    def test_a_check_encodes_nothing_and_changes_nothing_in_the_process(
        self, config: RunConfig, corpus: Corpus, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gru_bench.train.placement.use_threads", lambda *_: pytest.fail("threads are set"))
        monkeypatch.setattr(loop, "encode", lambda *_: pytest.fail("a split is encoded"))
        assert place(config) == Placement(torch.device("cpu"), "torch")
        with pytest.raises(UsageError, match=r"model\.reset.*'after'.*'torch'"):
            place(with_settings(config, {"model.name": "torch", "model.reset": "before"}))
        loop.check_settings(config, corpus)

    def test_building_a_run_changes_nothing_in_the_process(
        self, config: RunConfig, corpus: Corpus, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Placement, "prepare", lambda *_: pytest.fail("the process is prepared"))
        threads, filters = torch.get_num_threads(), list(warnings.filters)
        loop._Run(config, corpus, vectors, Placement(torch.device("cpu"), "torch"))
        assert (torch.get_num_threads(), list(warnings.filters)) == (threads, filters)

    def test_an_empty_training_split_is_refused(self, config: RunConfig, corpus: Corpus, vectors: Vectors) -> None:
        empty = replace(corpus.train, ids=corpus.train.ids[:0], offsets_N1=corpus.train.offsets_N1[:1],
                        label_N=corpus.train.label_N[:0], example_id_N=corpus.train.example_id_N[:0],
                        category_N=corpus.train.category_N[:0])
        with pytest.raises(DataError, match=r"training.*data\.test_share"):
            train(config, replace(corpus, train=empty), vectors)


def test_trained_vectors_come_with_the_weights(config: RunConfig, corpus: Corpus, vectors: Vectors) -> None:
    before = np.array(vectors.table_VE)
    result = train(with_settings(config, {"embedding.trainable": True, "training.epochs": 1}), corpus, vectors)
    table = result.weights["embedding.table"]
    assert not table[0].any()
    assert (table != before).any()
    np.testing.assert_array_equal(vectors.table_VE, before)
    assert result.parameters == sum(weights.size for weights in result.weights.values())
