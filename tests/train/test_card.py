"""Training on a graphics card: what can be tested without one, on fakes, and what needs one."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gru_bench.config import RunConfig, with_settings
from gru_bench.data.batches import Batch
from gru_bench.data.corpus import Corpus
from gru_bench.data.vectors import Vectors
from gru_bench.errors import RunError, UsageError
from gru_bench.results.runs import EpochRecord, RunResult
from gru_bench.train import card, loop
from gru_bench.train.checkpoint import PartialEpoch
from gru_bench.train.listener import Listener, Pruned
from gru_bench.train.loop import train, train_resumably
from gru_bench.train.placement import Placement, place
from tests.support.commands import mentions

CARD = torch.device("cuda:1")
needs_card = pytest.mark.skipif(not torch.cuda.is_available(), reason="no graphics card here, or without --card")


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a driver and two cards, as far as torch's answers go."""
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)


class TestVisible:
    def test_without_a_driver_torch_is_not_asked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shutil.which", lambda _: None)
        monkeypatch.setattr("os.path.exists", lambda _: False)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: pytest.fail("torch is asked"))
        assert card.visible() == []

    def test_a_torch_that_finds_no_card_has_none_despite_a_driver(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
        assert card.visible() == []

    @pytest.mark.usefixtures("two_cards")
    @pytest.mark.parametrize(("hip", "variables", "names"), [
        (None, {}, ["0", "1"]),
        (None, {"CUDA_VISIBLE_DEVICES": "3, 5"}, ["3", "5"]),
        (None, {"CUDA_VISIBLE_DEVICES": "GPU-8a,GPU-9b"}, ["GPU-8a", "GPU-9b"]),
        (None, {"HIP_VISIBLE_DEVICES": "3,5"}, ["0", "1"]),
        ("6.4", {"HIP_VISIBLE_DEVICES": "3,5"}, ["3", "5"]),
        ("6.4", {"CUDA_VISIBLE_DEVICES": "3,5"}, ["3", "5"]),
    ])
    def test_the_names_are_those_of_the_environment(
        self, hip: str | None, variables: dict[str, str], names: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(torch.version, "hip", hip)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert card.visible() == names

    @pytest.mark.parametrize(("hip", "names"), [
        (None, {"CUDA_VISIBLE_DEVICES"}), ("6.4", {"CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"})])
    def test_a_process_is_pinned_by_what_its_driver_reads(
        self, hip: str | None, names: set[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(torch.version, "hip", hip)
        assert card.pinned("GPU-8a") == dict.fromkeys(names, "GPU-8a")


@pytest.mark.usefixtures("two_cards")
class TestPlace:
    @pytest.mark.parametrize(("settings", "device", "said"), [
        ({}, "cuda", None),
        ({"training.batch_size": 1}, "cpu", "one text in a batch"),
        ({"model.reset": "before"}, "cpu", "reset gate"),
        ({"model.backend": "fused"}, "cpu", None),
        ({"training.batch_size": 1, "model.backend": "torch"}, "cuda", None),
        ({"training.batch_size": 1, "model.name": "rnn"}, "cuda", None),
        ({"training.batch_size": 1, "training.device": "cuda:1"}, "cuda:1", None),
        ({"training.batch_size": 1, "training.device": "cpu"}, "cpu", None),
    ])
    def test_auto_weighs_the_kernel(
        self, settings: dict[str, Any], device: str, said: str | None, config: RunConfig
    ) -> None:
        got = place(with_settings(config, {"model.backend": "auto", "training.device": "auto", **settings}))
        assert str(got.device) == device
        assert (got.note is None) == (said is None)
        if said is not None:
            mentions(got.note or "", "scratch", "CPU", said, "--device cuda")

    def test_a_card_that_was_asked_for_cannot_run_our_kernel(self, config: RunConfig) -> None:
        with pytest.raises(UsageError, match=r"model\.backend.*'fused'.*CPU"):
            place(with_settings(config, {"model.backend": "fused", "training.device": "cuda:0"}))

    def test_without_our_kernel_a_card_is_faster(self, config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("gru_bench.kernels.fused.unavailable", lambda: "not today.")
        one = with_settings(config, {"model.backend": "auto", "training.device": "auto", "training.batch_size": 1})
        assert place(one) == Placement(torch.device("cuda"), "torch")

    def test_a_run_says_why_it_is_on_the_cpu(self, config: RunConfig, corpus: Corpus, vectors: Vectors) -> None:
        one = with_settings(config, {"model.backend": "auto", "training.device": "auto", "model.reset": "before",
                                     "training.epochs": 1})
        result = train(one, corpus, vectors)
        assert (result.device, result.backend, result.card) == ("cpu", "fused", {})
        assert result.backend_note == place(one).note


class TestPrepare:
    @pytest.mark.parametrize(("device", "chosen"), [("cuda:1", [1]), ("cuda", [])])
    def test_a_card_computes_in_full_float32_and_its_peak_memory_is_reset(
        self, device: str, chosen: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        done: list[tuple[str, object]] = []
        for name in ("init", "reset_peak_memory_stats"):
            monkeypatch.setattr(torch.cuda, name, lambda *to, name=name: done.append((name, to)))
        # torch's own function, which takes no device without a number, up to its call of the driver.
        monkeypatch.setattr(torch._C, "_cuda_setDevice", lambda number: done.append(("set", number)), raising=False)
        products: tuple[Any, ...] = (torch.backends.cudnn.rnn, torch.backends.cuda.matmul)
        before = [product.fp32_precision for product in products]
        monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
        monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
        try:
            with warnings.catch_warnings():
                card.prepare(torch.device(device))
            assert [product.fp32_precision for product in products] == ["ieee", "ieee"]
        finally:
            for product, precision in zip(products, before, strict=True):
                product.fp32_precision = precision
        assert done == [("init", ()), *(("set", number) for number in chosen),
                        ("reset_peak_memory_stats", (torch.device(device),))]
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"

    @pytest.mark.parametrize("hip", [None, "6.4"])
    def test_a_run_records_the_card_its_driver_and_its_libraries(
        self, hip: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"card {device.index}")
        monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91300)
        monkeypatch.setattr(torch.version, "hip", hip)
        monkeypatch.setattr(torch.version, "cuda", None if hip else "13.0")
        monkeypatch.setattr(card, "_driver", lambda: "580.1")
        recorded = card.properties(CARD)
        assert "cuDNN" in recorded.pop("card_float32")
        assert recorded == {"card": "card 1", "card_driver": "580.1", "card_cudnn": "91300",
                            **({"card_hip": "6.4"} if hip else {"card_cuda": "13.0"})}

    def test_a_driver_that_does_not_answer_is_unknown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def missing(*_: object, **__: object) -> None:
            raise FileNotFoundError

        monkeypatch.setattr("subprocess.run", missing)
        monkeypatch.setattr(Path, "read_text", missing)
        assert card._driver() == "unknown"


class TestBfloat16:
    @pytest.mark.parametrize(("capability", "cudnn", "hip", "backend", "said"), [
        ((8, 0), 91300, None, "torch", None),
        ((7, 5), 91300, None, "torch", "8.0"),
        ((9, 0), 91002, None, "torch", "91002"),
        ((9, 0), 91002, None, "reference", None),
        ((9, 4), None, "6.4", "torch", "AMD"),
    ])
    def test_a_card_without_bfloat16_says_why(
        self, capability: tuple[int, int], cudnn: int | None, hip: str | None, backend: str, said: str | None,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
        monkeypatch.setattr(torch.backends.cudnn, "version", lambda: cudnn)
        monkeypatch.setattr(torch.version, "hip", hip)
        reason = card.no_bf16(CARD, backend)
        assert reason == said or (said is not None and reason is not None and said in reason)

    @pytest.mark.usefixtures("two_cards")
    def test_bfloat16_is_refused_on_a_card_without_it(
        self, config: RunConfig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
        with pytest.raises(UsageError, match=r"training\.bf16.* cuda"):
            place(with_settings(config, {"training.bf16": True, "training.device": "cuda:1"}))


class TestBatchesOnTheirWay:
    @pytest.mark.parametrize(("lengths", "equal"), [([3, 3], True), ([3, 2], False)])
    def test_the_host_knows_lengths_and_examples_of_a_batch_on_a_device(self, lengths: list[int], equal: bool) -> None:
        """Tensors on the device meta have no values, so that looking at one raises."""
        some = torch.arange(2)
        batch = Batch.of(some, torch.zeros(2, 3, dtype=torch.int64), torch.tensor(lengths), some, some)
        there = batch.to(torch.device("meta"))
        assert [values.device.type for values in (
            there.distinct_U, there.index_BT, there.length_B, there.label_B)] == ["meta"] * 4
        assert (there.equal_lengths, there.tokens, there.example_B.tolist()) == (equal, sum(lengths), [0, 1])
        assert batch.to(torch.device("cpu")) is batch


class TestCheckpointOfACard:
    def stopped(self, config: RunConfig, corpus: Corpus, vectors: Vectors, path: Path) -> None:
        def stop(_: EpochRecord) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(config, corpus, vectors, Listener(epoch=stop), checkpoint=path)

    def test_it_is_continued_on_a_machine_without_a_graphics_card(
        self, config: RunConfig, corpus: Corpus, vectors: Vectors, whole: RunResult, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """torch notes in a file on which device each tensor was."""
        with monkeypatch.context() as on_card:
            on_card.setattr("torch.serialization.location_tag", lambda _: "cuda:0")
            self.stopped(config, corpus, vectors, tmp_path / "run.pt")
        if not torch.cuda.is_available():
            with pytest.raises(RuntimeError, match="CUDA device"):
                torch.load(tmp_path / "run.pt")
        resumed = train(config, corpus, vectors, checkpoint=tmp_path / "run.pt")
        assert [e.train_loss for e in resumed.epochs] == [e.train_loss for e in whole.epochs]

    def test_the_dropout_of_another_kind_of_device_starts_again(
        self, config: RunConfig, corpus: Corpus, vectors: Vectors
    ) -> None:
        """The state of a card's generator has 16 bytes."""
        run = loop._Run(config, corpus, vectors, Placement(torch.device("cpu"), "torch"))
        run.progress.begun = PartialEpoch(1, 16, 100, 11.0, 0.0, torch.zeros(16, dtype=torch.uint8))
        assert run.epoch().train_loss > 0


class TestMemory:
    """`train` is replaced: it fits or does not."""

    @pytest.fixture
    def tried(
        self, config: RunConfig, corpus: Corpus, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[..., tuple[list[int], list[str]]]:
        def outcome(*errors: RuntimeError | None, **more: Any) -> tuple[list[int], list[str]]:
            """Return the micro-batches of each attempt, and the reasons to begin again."""
            sizes, said, left = list[int](), list[str](), list(errors)

            def attempt(config: RunConfig, *_: Any, **__: Any) -> Any:
                sizes.append(config.training.micro_batches)
                if (error := left.pop(0)) is not None:
                    raise error
                return config

            monkeypatch.setattr(loop, "train", attempt)
            settings = {f"training.{name}": value for name, value in more.items()}
            train_resumably(with_settings(config, settings), corpus, vectors, Listener(restarted=said.append),
                            placement=Placement(torch.device("cpu"), "torch"))
            return sizes, said

        return outcome

    def test_a_run_that_fits_is_not_done_again(self, tried: Callable[..., tuple[list[int], list[str]]]) -> None:
        assert tried(None) == ([1], [])

    def test_a_run_that_does_not_fit_begins_again_with_twice_the_micro_batches(
        self, tried: Callable[..., tuple[list[int], list[str]]]
    ) -> None:
        sizes, said = tried(torch.OutOfMemoryError("CUDA out of memory"), None, micro_batches=4)
        assert sizes == [4, 8]
        mentions(said[0], "memory", "batch of 16 texts", "8 micro-batches")

    @pytest.mark.parametrize("error", [
        torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")])
    def test_a_run_that_never_fits_says_what_to_do(
        self, error: RuntimeError, tried: Callable[..., tuple[list[int], list[str]]]
    ) -> None:
        with pytest.raises(RunError, match=r"memory.*training\.batch_size"):
            tried(error, error)
        with pytest.raises(RunError, match="memory"):
            tried(error, batch_size=1)  # a second attempt would find no outcome here

    def test_another_error_is_passed_on(self, tried: Callable[..., tuple[list[int], list[str]]]) -> None:
        with pytest.raises(RuntimeError, match="shape mismatch"):
            tried(RuntimeError("shape mismatch"))


@needs_card
class TestOnACard:
    @pytest.fixture
    def on(self, config: RunConfig) -> Callable[..., RunConfig]:
        def settings(device: str = "cuda:0", **more: Any) -> RunConfig:
            return with_settings(config, {
                "training.device": device, **{name.replace("__", "."): value for name, value in more.items()}})

        return settings

    @pytest.mark.parametrize("bucket", [True, False])
    @pytest.mark.parametrize("model", ["scratch", "torch", "bidirectional", "rnn"])
    def test_losses_are_those_of_a_cpu(
        self, model: str, bucket: bool, on: Callable[..., RunConfig], corpus: Corpus, vectors: Vectors
    ) -> None:
        more = {"model__name": model, "model__layers": 2, "training__bucket": bucket}
        result = train(on(**more), corpus, vectors, score_test=True)
        on_cpu = train(on("cpu", **more), corpus, vectors, score_test=True)
        assert (result.backend, result.device) == ("torch", "cuda:0")
        assert result.card["card"] == torch.cuda.get_device_name(0)
        assert result.card["card_float32"] == "cuDNN ieee, cuBLAS ieee"
        assert result.peak_memory_bytes > 0
        np.testing.assert_allclose(
            [e.train_loss for e in result.epochs], [e.train_loss for e in on_cpu.epochs], rtol=0, atol=1e-3)

    def test_a_run_repeats_its_losses(self, on: Callable[..., RunConfig], corpus: Corpus, vectors: Vectors) -> None:
        first, second = (train(on(model__dropout=0.3, embedding__trainable=True), corpus, vectors) for _ in range(2))
        assert [e.train_loss for e in first.epochs] == [e.train_loss for e in second.epochs]

    def test_batches_of_one_review_have_the_losses_of_a_cpu(
        self, on: Callable[..., RunConfig], corpus: Corpus, vectors: Vectors
    ) -> None:
        more = {"training__batch_size": 1, "training__epochs": 1, "training__lr": 0.002}
        losses = [train(on(device, **more), corpus, vectors).epochs[0].train_loss for device in ("cuda:0", "cpu")]
        assert losses[0] == pytest.approx(losses[1], abs=1e-3)

    def test_bfloat16_is_refused_or_changes_the_losses_little(
        self, on: Callable[..., RunConfig], corpus: Corpus, vectors: Vectors
    ) -> None:
        reason = card.no_bf16(torch.device("cuda:0"), "torch")
        if reason is not None:
            with pytest.raises(UsageError, match=r"training\.bf16 must be false"):
                train(on(training__bf16=True), corpus, vectors)
            return
        losses = [train(on(training__bf16=half), corpus, vectors).epochs[0].train_loss for half in (True, False)]
        assert losses[0] != losses[1]
        assert losses[0] == pytest.approx(losses[1], abs=0.03)

    def test_weights_in_one_chunk_are_not_copied(
        self, on: Callable[..., RunConfig], corpus: Corpus, vectors: Vectors
    ) -> None:
        for model in ("scratch", "torch"):
            train(on(model__name=model, training__epochs=1), corpus, vectors)
            run = loop._Run(on(model__name=model), corpus, vectors, Placement(torch.device("cuda:0"), "torch"))
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                run.epoch()

    @pytest.mark.parametrize("after", ["cuda:0", "cpu"])
    def test_a_run_resumes_from_the_checkpoint_of_a_card(
        self, after: str, on: Callable[..., RunConfig], corpus: Corpus, vectors: Vectors, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """On a CPU, `auto` finds the checkpoint of a card."""
        def stop(_: EpochRecord) -> None:
            raise Pruned

        auto = on("auto", model__dropout=0.3)
        whole = train(auto, corpus, vectors)
        monkeypatch.setattr(loop, "_remove", lambda _: None)
        with pytest.raises(Pruned):
            train(auto, corpus, vectors, Listener(epoch=stop), checkpoint=tmp_path / "run.pt")
        if after == "cpu":
            monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        resumed = train(auto, corpus, vectors, checkpoint=tmp_path / "run.pt")
        assert resumed.device.startswith(after[:3])
        assert len(resumed.epochs) == len(whole.epochs)
        if after != "cpu":
            assert [e.train_loss for e in resumed.epochs] == [e.train_loss for e in whole.epochs]
