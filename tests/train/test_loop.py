"""Training: it learns, repeats itself to the bit, goes on where it was cut off, and says when it cannot."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gru_bench.config import RunConfig, with_settings
from gru_bench.data.batching import Batch, micro_batches_of
from gru_bench.data.corpus import Corpus, load_corpus
from gru_bench.data.embeddings import Vectors, load_vectors
from gru_bench.errors import DataError, RunError, UsageError
from gru_bench.kernels import fused as kernels
from gru_bench.kernels.fused import no_bf16
from gru_bench.results.runs import EpochRecord, RunResult, WindowLoss
from gru_bench.train import loop
from gru_bench.train.loop import Pruned, best_epoch, choose_device, train
from gru_bench.train.optimizer import Optimizer, RowAdam


@pytest.fixture(scope="module")
def config(easy_csv: Path) -> RunConfig:
    return with_settings(RunConfig(), {
        "data.name": str(easy_csv), "data.category_column": "kind", "embedding.dimension": 12, "model.name": "scratch",
        "model.hidden_size": 10, "training.batch_size": 16, "training.epochs": 3, "training.lr": 0.02,
        "training.log_every": 5, "training.threads": 1})


@pytest.fixture(scope="module")
def corpus(config: RunConfig) -> Corpus:
    return load_corpus(config.data)


@pytest.fixture(scope="module")
def vectors(config: RunConfig, corpus: Corpus) -> Vectors:
    return load_vectors(config.embedding, corpus)


def windows(result: RunResult) -> list[tuple[int, float]]:
    return [(point.iteration, point.loss) for point in result.window_losses]


def losses(result: RunResult) -> list[tuple[float, float | None, float | None]]:
    return [(e.train_loss, e.validation_loss, e.validation_accuracy) for e in result.epochs]


@pytest.mark.parametrize("model", ["scratch", "torch", "bidirectional"])
def test_learns(model: str, config: RunConfig, corpus: Corpus, vectors: Vectors) -> None:
    config = with_settings(config, {"model.name": model, "training.epochs": 8})
    result = train(config, corpus, vectors, score_test=True)
    test = result.predictions["test"]
    assert ((test.probability_N > 0.5) == (test.label_N == 1)).mean() > 0.9
    assert result.backend == "fused"
    assert len(result.epochs) == 8
    assert set(test.category_N) == {"books", "music"}
    assert (test.example_id_N == corpus.test.example_id_N).all()


@pytest.mark.parametrize("settings", [
    {}, {"model.name": "bidirectional", "model.layers": 2, "model.dropout": 0.3},
    {"embedding.trainable": True, "training.schedule": "linear"}])
class TestRepeats:
    def test_same_seed_same_bits(
        self, settings: dict, config: RunConfig, corpus: Corpus, vectors: Vectors
    ) -> None:
        config = with_settings(config, {**settings, "training.epochs": 2})
        one, two = train(config, corpus, vectors), train(config, corpus, vectors)
        assert losses(one) == losses(two)
        assert [p.loss for p in one.window_losses] == [p.loss for p in two.window_losses]
        for name, weights in one.weights.items():
            np.testing.assert_array_equal(weights, two.weights[name])

    def test_another_seed_is_another_run(
        self, settings: dict, config: RunConfig, corpus: Corpus, vectors: Vectors
    ) -> None:
        config = with_settings(config, {**settings, "training.epochs": 1})
        one, two = train(config, corpus, vectors), train(with_settings(config, {"seed": 1}), corpus, vectors)
        assert losses(one) != losses(two)

    def test_goes_on_from_a_checkpoint_as_if_never_cut_off(
        self, settings: dict, config: RunConfig, corpus: Corpus, vectors: Vectors, tmp_path: Path
    ) -> None:
        config = with_settings(config, settings)
        whole = train(config, corpus, vectors)
        checkpoint = tmp_path / "run.pt"
        epochs = []

        def cut_off(record: EpochRecord) -> None:
            epochs.append(record)
            if record.epoch == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(config, corpus, vectors, cut_off, checkpoint=checkpoint)
        assert checkpoint.exists()
        replayed: list[EpochRecord] = []
        goes_on: list[int | None] = []

        def on_resume(epoch: int | None) -> None:
            assert not replayed
            goes_on.append(epoch)

        resumed = train(config, corpus, vectors, replayed.append, checkpoint=checkpoint, on_resume=on_resume)
        assert goes_on == [3]
        assert losses(resumed) == losses(whole)
        assert replayed[:2] == epochs
        assert windows(resumed) == windows(whole)
        for name, weights in whole.weights.items():
            np.testing.assert_array_equal(weights, resumed.weights[name])
        assert not checkpoint.exists()

    def test_goes_on_within_an_epoch(
        self, settings: dict, config: RunConfig, corpus: Corpus, vectors: Vectors, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = with_settings(config, {**settings, "training.epochs": 2, "training.log_every": 3})
        whole = train(config, corpus, vectors)
        cut_at = next(place for place, point in enumerate(whole.window_losses) if point.epoch == 2) + 2
        assert whole.window_losses[cut_at].epoch == 2
        told: list[WindowLoss] = []

        def cut_off(point: WindowLoss) -> None:
            if len(told) == cut_at:
                raise KeyboardInterrupt
            told.append(point)

        monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
        checkpoint = tmp_path / "run.pt"
        with pytest.raises(KeyboardInterrupt):
            train(config, corpus, vectors, checkpoint=checkpoint, on_window=cut_off)
        resumed = train(config, corpus, vectors, checkpoint=checkpoint, on_window=told.append)
        assert losses(resumed) == losses(whole)
        assert windows(resumed) == windows(whole)
        assert told == list(resumed.window_losses)  # each once
        for name, weights in whole.weights.items():
            np.testing.assert_array_equal(weights, resumed.weights[name])


def test_bfloat16_learns_as_much_and_repeats(config: RunConfig, corpus: Corpus, vectors: Vectors) -> None:
    """Factors keep 8 bits: the losses of 40 steps differ by 1e-3 or so, never by 0.02, and what is learnt is learnt."""
    if (reason := no_bf16()) is not None:
        pytest.skip(reason)
    settings = {"model.name": "bidirectional", "training.epochs": 2, "training.device": "cpu"}
    full, rounded, again = (
        train(with_settings(config, {**settings, "training.bf16": bf16}), corpus, vectors)
        for bf16 in (False, True, True))
    assert losses(rounded) == losses(again)
    assert losses(rounded) != losses(full)
    np.testing.assert_allclose(
        [e.train_loss for e in rounded.epochs], [e.train_loss for e in full.epochs], rtol=0, atol=0.02)


@pytest.mark.parametrize("model", ["scratch", "bidirectional"])
def test_backends_train_alike(model: str, config: RunConfig, corpus: Corpus, vectors: Vectors) -> None:
    """40 steps in float32: rounding differs between backends and grows a little, to 1e-6 here; not to 1e-4."""
    settings = {"model.name": model, "training.epochs": 2}
    results = [
        train(with_settings(config, {**settings, "model.backend": backend}), corpus, vectors)
        for backend in ("reference", "torch", "fused")]
    for result in results[1:]:
        np.testing.assert_allclose(
            [e.train_loss for e in result.epochs], [e.train_loss for e in results[0].epochs], rtol=0, atol=1e-4)


@pytest.mark.parametrize("trainable", [False, True])
def test_a_batch_in_parts_is_the_same_step(
    trainable: bool, config: RunConfig, corpus: Corpus, vectors: Vectors
) -> None:
    whole = with_settings(config, {"embedding.trainable": trainable, "training.batch_size": 16})
    expected, found = (losses(train(with_settings(whole, {"training.micro_batches": parts}), corpus, vectors))
                       for parts in (1, 3))
    # The same sums in another order, in float32: after two epochs they differ in the last digits.
    np.testing.assert_allclose(np.array(found, float), np.array(expected, float), rtol=2e-4)


def test_long_batches_are_worked_on_in_parts_on_a_processor(
    config: RunConfig, corpus: Corpus, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here batches of 16 reviews of 5 to 22 tokens, in parts of at most 100."""
    whole = with_settings(config, {"embedding.trainable": True, "training.batch_size": 16})
    expected = losses(train(whole, corpus, vectors))
    counts: set[int] = set()

    def noted(batch: Batch, count: int) -> Iterator[Batch]:
        counts.add(count)
        yield from micro_batches_of(batch, count)

    monkeypatch.setattr(loop, "MICRO_BATCH_TOKENS", 100)
    monkeypatch.setattr(loop, "micro_batches_of", noted)
    found = losses(train(whole, corpus, vectors))
    assert {2, 3} <= counts
    np.testing.assert_allclose(np.array(found, float), np.array(expected, float), rtol=2e-4)


def test_the_test_split_stays_closed(config: RunConfig, corpus: Corpus, vectors: Vectors) -> None:
    class Closed:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(f"a run that is not to be scored on test read its {name}")

    result = train(with_settings(config, {"training.epochs": 1}), replace(corpus, test=Closed()), vectors)
    assert set(result.predictions) == {"validation"}


def test_each_epoch_is_reported_and_the_best_is_kept(config: RunConfig, corpus: Corpus, vectors: Vectors) -> None:
    seen: list[EpochRecord] = []
    result = train(config, corpus, vectors, seen.append)
    assert tuple(seen) == result.epochs
    kept = best_epoch(list(result.epochs))
    assert result.best_epoch == kept.epoch
    validation = result.predictions["validation"]
    assert ((validation.probability_N >= 0.5) == (validation.label_N == 1)).mean() == kept.validation_accuracy


def test_best_epoch_by_accuracy_then_loss_then_first() -> None:
    def record(epoch: int, loss: float, accuracy: float) -> EpochRecord:
        return EpochRecord(epoch, 1.0, loss, accuracy, 1.0, 1.0)

    assert best_epoch([record(1, 0.5, 0.8), record(2, 0.6, 0.9), record(3, 0.4, 0.9), record(4, 0.4, 0.9)]).epoch == 3


def test_trace_windows_begin_anew_each_epoch(config: RunConfig, corpus: Corpus, vectors: Vectors) -> None:
    result = train(with_settings(config, {"training.epochs": 2, "training.log_every": 7}), corpus, vectors)
    per_epoch = math.ceil(len(corpus.train) / 16)
    expected = [epoch * per_epoch + window * 7 for epoch in range(2) for window in range(1, per_epoch // 7 + 1)]
    assert [point.iteration for point in result.window_losses] == expected
    assert all(math.isfinite(point.loss) for point in result.window_losses)


def test_lowest_window_is_kept_without_a_validation_split(
    config: RunConfig, vectors: Vectors
) -> None:
    config = with_settings(config, {
        "data.validation_share": 0.0, "training.selection": "lowest_train_window", "training.drop_last": True})
    corpus = load_corpus(config.data)
    result = train(config, corpus, load_vectors(config.embedding, corpus), score_test=True)
    assert result.epochs[0].validation_loss is None
    assert result.best_epoch == min(result.window_losses, key=lambda point: point.loss).epoch
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
    monkeypatch.setattr(Optimizer, "set_rate", lambda _, lr: rates.append(lr))
    train(with_settings(config, {"training.schedule": "linear", "training.epochs": 2}), corpus, vectors)
    steps = 2 * math.ceil(len(corpus.train) / 16)
    assert rates == pytest.approx([0.02 * (1 - step / steps) for step in range(steps)])


def test_a_listener_may_prune(config: RunConfig, corpus: Corpus, vectors: Vectors, tmp_path: Path) -> None:
    def prune(_: EpochRecord) -> None:
        raise Pruned

    with pytest.raises(Pruned):
        train(config, corpus, vectors, prune, checkpoint=tmp_path / "run.pt")
    assert not list(tmp_path.iterdir())


def test_a_review_without_known_words_is_classified(config: RunConfig, corpus: Corpus, vectors: Vectors) -> None:
    row_of_word = np.array(vectors.row_of_word)
    row_of_word[corpus.test.ids[corpus.test.offsets_N1[0]:corpus.test.offsets_N1[1]]] = -1
    result = train(with_settings(config, {"training.epochs": 1}), corpus, replace(vectors, row_of_word=row_of_word),
                   score_test=True)
    test = result.predictions["test"]
    assert len(test) == len(corpus.test)
    assert test.tokens_N[0] == 0
    assert test.dropped_N[0] == corpus.test.offsets_N1[1]
    assert np.isfinite(test.probability_N).all()


class TestWhatGoesWrong:
    def test_exploding_loss(self, config: RunConfig, corpus: Corpus, vectors: Vectors, tmp_path: Path) -> None:
        wild = with_settings(config, {"training.lr": 1e4, "training.clip_norm": None})
        with pytest.raises(RunError, match=r"must stay finite and below 20 nats per review, but became .* lower "
                                           r"training\.lr \(now 10000\)"):
            train(wild, corpus, vectors, checkpoint=tmp_path / "run.pt")
        assert not list(tmp_path.iterdir())

    def test_a_loss_that_is_finite_in_training_and_nan_in_validation(
        self, config: RunConfig, corpus: Corpus, vectors: Vectors, tmp_path: Path
    ) -> None:
        wild = with_settings(config, {"training.lr": 1e38, "training.batch_size": len(corpus.train)})
        with pytest.raises(RunError, match=r"probabilities must stay finite, but became nan at iteration 1: lower "
                                           r"training\.lr \(now 1e\+38\)"):
            train(wild, corpus, vectors, checkpoint=tmp_path / "run.pt")
        assert not list(tmp_path.iterdir())

    def test_nan_in_scoring(
        self, config: RunConfig, corpus: Corpus, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers = loop.predict
        monkeypatch.setattr(loop, "predict", lambda model, table_VE, encoded, **more: answers(
            model, table_VE, encoded, **more) * (np.nan if len(encoded) == len(corpus.test) else 1))
        assert len(corpus.test) != len(corpus.validation)
        with pytest.raises(RunError, match="probabilities must stay finite, but became nan at iteration"):
            train(with_settings(config, {"training.epochs": 1}), corpus, vectors, score_test=True,
                  checkpoint=tmp_path / "run.pt")
        assert not list(tmp_path.iterdir())

    def test_unknown_device(self) -> None:
        with pytest.raises(UsageError, match=r"device must be auto or one .* \(.*cpu\), but got 'tpu'"):
            choose_device("tpu")

    def test_bfloat16_where_there_is_none(
        self, config: RunConfig, corpus: Corpus, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        on_cpu = with_settings(config, {"training.bf16": True, "training.device": "cpu"})
        with pytest.raises(UsageError, match=r"training\.bf16 must be false without .*: the backend 'torch' knows it"):
            train(with_settings(on_cpu, {"model.backend": "torch"}), corpus, vectors)
        monkeypatch.setattr("gru_bench.kernels.fused.no_bf16", lambda: "not today.")
        with pytest.raises(UsageError, match=r"training\.bf16 must be false without .* cpu: not today\. Leave it out"):
            train(on_cpu, corpus, vectors)

    def test_no_validation_to_select_by(self, config: RunConfig, vectors: Vectors) -> None:
        config = with_settings(config, {"data.validation_share": 0.0})
        corpus = load_corpus(config.data)
        with pytest.raises(UsageError, match=r"'best_validation' needs a validation split"):
            train(config, corpus, load_vectors(config.embedding, corpus))

    def test_batch_larger_than_the_data(self, config: RunConfig, corpus: Corpus, vectors: Vectors) -> None:
        with pytest.raises(UsageError, match=r"training\.batch_size must be at most the \d+ training reviews"):
            train(with_settings(config, {"training.batch_size": 999, "training.drop_last": True}), corpus, vectors)

    def test_no_whole_window(self, config: RunConfig, corpus: Corpus, vectors: Vectors) -> None:
        iterations = -(-len(corpus.train) // config.training.batch_size)
        config = with_settings(config, {"training.selection": "lowest_train_window", "training.epochs": 1,
                                        "training.log_every": iterations + 1})
        with pytest.raises(UsageError, match=(
            rf"training\.log_every must be at most {iterations}, the iterations of an epoch of {len(corpus.train)} "
            rf"training reviews, .* but got {iterations + 1}: --set training\.log_every={max(1, iterations // 10)}, or "
        )):
            loop.check(config, corpus, vectors)
        loop.check(with_settings(config, {"training.log_every": iterations}), corpus, vectors)
        loop.check(with_settings(config, {"training.selection": "best_validation"}), corpus, vectors)

    def test_checkpoint_of_another_run(
        self, config: RunConfig, corpus: Corpus, vectors: Vectors, tmp_path: Path
    ) -> None:
        checkpoint = tmp_path / "run.pt"

        def cut_off(_: EpochRecord) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(config, corpus, vectors, cut_off, checkpoint=checkpoint)
        with pytest.raises(RunError, match="was written with other settings or data"):
            train(with_settings(config, {"seed": 5}), corpus, vectors, checkpoint=checkpoint)
        checkpoint.write_bytes(checkpoint.read_bytes()[:100])
        with pytest.raises(RunError, match=r"a checkpoint must be whole, but .* cannot be read"):
            train(config, corpus, vectors, checkpoint=checkpoint)

    def test_empty_training_split(self, config: RunConfig, corpus: Corpus, vectors: Vectors) -> None:
        empty = replace(corpus.train, ids=corpus.train.ids[:0], offsets_N1=corpus.train.offsets_N1[:1],
                        label_N=corpus.train.label_N[:0], example_id_N=corpus.train.example_id_N[:0],
                        category_N=corpus.train.category_N[:0])
        with pytest.raises(DataError, match="must hold at least one review"):
            train(config, replace(corpus, train=empty), vectors)


class TestOptimizer:
    def test_same_bits_as_torch_and_after_its_state_was_stored(self) -> None:
        generator = torch.Generator().manual_seed(1)
        ours, theirs = nn.Linear(5, 3), nn.Linear(5, 3)
        theirs.load_state_dict(ours.state_dict())
        optimizer = Optimizer(ours, None, lr=0.01, betas=(0.9, 0.99), clip_norm=0.5)
        adam = torch.optim.Adam(theirs.parameters(), lr=0.01, betas=(0.9, 0.99), eps=1e-8, fused=True)
        for step in range(6):
            for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
                mine.grad = torch.randn(mine.shape, generator=generator)
                other.grad = mine.grad.clone()
            nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
            optimizer.step(torch.tensor([0]), torch.zeros(1, 5))
            adam.step()
            assert all(torch.equal(mine, other) for mine, other
                       in zip(ours.parameters(), theirs.parameters(), strict=True))
            assert all(parameter.grad is None for parameter in ours.parameters())
            if step == 2:
                stored = optimizer.state_dict()
                optimizer = Optimizer(ours, None, lr=0.01, betas=(0.9, 0.99), clip_norm=0.5)
                optimizer.load_state_dict(stored)

    def test_a_new_rate_counts_from_the_next_step(self) -> None:
        model = nn.Linear(1, 1, bias=False)
        optimizer = Optimizer(model, None, lr=0.01, betas=(0.9, 0.999), clip_norm=None)
        before = model.weight.item()
        optimizer.set_rate(0.5)
        model.weight.grad = torch.ones(1, 1)
        optimizer.step(torch.tensor([0]), torch.zeros(1, 1))
        assert before - model.weight.item() == pytest.approx(0.5, rel=1e-5)

    @pytest.mark.parametrize("fused", [False, True])
    def test_rows_as_dense_adam_when_each_batch_holds_all(self, fused: bool) -> None:
        generator = torch.Generator().manual_seed(1)
        table = torch.randn(4, 3, generator=generator, dtype=torch.float64)
        table[0] = 0
        dense = nn.Parameter(table.clone())
        adam = torch.optim.Adam([dense], lr=0.01, betas=(0.9, 0.99))
        rows = RowAdam(table, lr=0.01, betas=(0.9, 0.99), fused=fused)
        rows.steps_V = rows.steps_V.double()
        for _ in range(5):
            gradient = torch.randn(4, 3, generator=generator, dtype=torch.float64)
            gradient[0] = 0
            dense.grad = gradient.clone()
            adam.step()
            rows.step(torch.arange(4), gradient)
        torch.testing.assert_close(table, dense.detach(), rtol=0, atol=1e-12)

    @pytest.mark.parametrize("fused", [False, True])
    def test_an_absent_row_rests_and_padding_stays_zero(self, fused: bool) -> None:
        table = torch.ones(3, 2)
        table[0] = 0
        rows = RowAdam(table, lr=0.1, betas=(0.9, 0.999), fused=fused)
        rows.step(torch.tensor([0, 1]), torch.ones(2, 2))
        assert table.tolist() == [[0, 0], pytest.approx([0.9, 0.9], abs=1e-6), [1, 1]]
        rows.step(torch.tensor([2]), torch.ones(1, 2))
        # A word's first step is as long as any other's, however late it comes.
        assert table[2].tolist() == pytest.approx([0.9, 0.9], abs=1e-6)

    @pytest.mark.parametrize("threads", [1, 2])
    @pytest.mark.parametrize("width", [1, 16, 300])
    def test_the_kernel_moves_rows_as_torch_does(
        self, width: int, threads: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(kernels, "LEAST_VALUES", 1)
        monkeypatch.setattr(kernels, "_threads", threads)
        generator = torch.Generator().manual_seed(3)
        table = torch.randn(60, width, generator=generator)
        table[0] = 0
        plain, fused = (RowAdam(table.clone(), lr=0.01, betas=(0.9, 0.999), fused=fused) for fused in (False, True))
        for size in (20, 1, 60, 33):
            distinct = torch.randperm(60, generator=generator)[:size].sort().values
            gradient = torch.randn(size, width, generator=generator)
            for rows in (plain, fused):
                rows.step(distinct, gradient)
        torch.testing.assert_close(fused.table_VE, plain.table_VE, rtol=0, atol=1e-6)
        for name in ("first_VE", "second_VE", "steps_V"):
            torch.testing.assert_close(getattr(fused, name), getattr(plain, name), rtol=1e-5, atol=1e-7)

    def test_clips_weights_and_rows_by_one_norm(self) -> None:
        model = nn.Linear(2, 1, bias=False)
        table = torch.ones(2, 2)
        rows = table[torch.tensor([1])].requires_grad_()
        optimizer = Optimizer(model, table, lr=1e-3, betas=(0.0, 0.0), clip_norm=1.0)
        model.weight.grad, rows.grad = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 4.0]])
        optimizer.step(torch.tensor([1]), rows)
        # Without decay the first moment is the gradient.
        torch.testing.assert_close(optimizer.first[0], torch.tensor([[0.6, 0.0]]), rtol=1e-5, atol=0)
        torch.testing.assert_close(rows.grad, torch.tensor([[0.0, 0.8]]), rtol=1e-5, atol=0)


def test_trained_vectors_are_kept_with_the_weights(config: RunConfig, corpus: Corpus, vectors: Vectors) -> None:
    before = np.array(vectors.table_VE)
    result = train(with_settings(config, {"embedding.trainable": True, "training.epochs": 1}), corpus, vectors)
    table = result.weights["embedding.table"]
    assert not table[0].any()
    assert (table != before).any()
    np.testing.assert_array_equal(vectors.table_VE, before)
    assert result.parameters == sum(weights.size for weights in result.weights.values())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA card here")
@pytest.mark.parametrize("model", ["scratch", "torch", "bidirectional"])
def test_on_a_graphics_card(model: str, config: RunConfig, corpus: Corpus, vectors: Vectors) -> None:
    on_card = with_settings(config, {"model.name": model, "training.device": "cuda", "model.layers": 2})
    result = train(on_card, corpus, vectors, score_test=True)
    on_cpu = train(with_settings(on_card, {"training.device": "cpu"}), corpus, vectors, score_test=True)
    assert result.backend == "torch"
    np.testing.assert_allclose(
        [e.train_loss for e in result.epochs], [e.train_loss for e in on_cpu.epochs], rtol=0, atol=1e-2)
