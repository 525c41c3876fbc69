"""Training on a graphics card, on fakes: `benchmarks/gpu.py` trains on a real one."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gru_bench.config import RunConfig, with_settings
from gru_bench.data.batches import Batch
from gru_bench.data.corpus import Corpus
from gru_bench.data.vectors import Vectors
from gru_bench.errors import UsageError
from gru_bench.models.backends import Backend
from gru_bench.results.runs import EpochRecord, RunResult
from gru_bench.train import card, loop
from gru_bench.train.checkpoint import PartialEpoch
from gru_bench.train.listener import Listener
from gru_bench.train.loop import train
from gru_bench.train.placement import Placement, place

CARD = torch.device("cuda:1")


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a driver and two cards, as far as torch's answers go."""
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


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
    @pytest.mark.parametrize(("chosen", "names"), [
        (None, ["0", "1"]), ("3, 5", ["3", "5"]), ("GPU-8a,GPU-9b", ["GPU-8a", "GPU-9b"])])
    def test_the_names_are_those_of_the_environment(
        self, chosen: str | None, names: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if chosen is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
        assert card.visible() == names

    def test_a_process_is_pinned_by_what_the_driver_reads(self) -> None:
        assert card.pinned("GPU-8a") == {"CUDA_VISIBLE_DEVICES": "GPU-8a"}


@pytest.mark.usefixtures("two_cards")
class TestPlace:
    @pytest.mark.parametrize(("settings", "device", "backend"), [
        ({}, "cuda", "torch"),
        ({"model.reset": "before"}, "cuda", "reference"),
        ({"training.device": "cuda:1"}, "cuda:1", "torch"),
        ({"training.device": "cpu"}, "cpu", "fused"),
    ])
    def test_auto_is_the_card(self, settings: dict[str, Any], device: str, backend: Backend, config: RunConfig) -> None:
        got = place(with_settings(config, {"model.backend": "auto", "training.device": "auto", **settings}))
        assert got == Placement(torch.device(device), backend)

    @pytest.mark.parametrize("device", ["auto", "cuda:0"])
    def test_a_card_cannot_run_our_kernel(self, device: str, config: RunConfig) -> None:
        with pytest.raises(UsageError, match=r"model\.backend.*'fused'.*CPU"):
            place(with_settings(config, {"model.backend": "fused", "training.device": device}))


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

    def test_a_run_records_the_card_its_driver_and_its_libraries(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"card {device.index}")
        monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91300)
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        monkeypatch.setattr("subprocess.run", lambda *_, **__: SimpleNamespace(stdout="580.1\n"))
        recorded = card.properties(CARD)
        assert "cuDNN" in recorded.pop("card_float32")
        assert recorded == {"card": "card 1", "card_driver": "580.1", "card_cuda": "13.0", "card_cudnn": "91300"}

    def test_a_driver_that_does_not_answer_is_unknown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def missing(*_: object, **__: object) -> None:
            raise FileNotFoundError

        monkeypatch.setattr("subprocess.run", missing)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "card 1")
        assert card.properties(CARD)["card_driver"] == "unknown"


class TestBatchesOnTheirWay:
    @pytest.mark.parametrize(("lengths", "equal"), [([3, 3], True), ([3, 2], False)])
    def test_the_host_knows_the_lengths_of_a_batch_on_a_device(self, lengths: list[int], equal: bool) -> None:
        """Tensors on the device meta have no values, so that looking at one raises."""
        some = torch.arange(2)
        batch = Batch.of(some, torch.zeros(2, 3, dtype=torch.int64), torch.tensor(lengths), some)
        there = batch.to(torch.device("meta"))
        assert [values.device.type for values in (
            there.distinct_U, there.index_BT, there.length_B, there.label_B)] == ["meta"] * 4
        assert (there.equal_lengths, there.tokens) == (equal, sum(lengths))
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
        run.progress.begun = PartialEpoch(
            torch.tensor(11.0), torch.tensor(0.7), 0.0, torch.zeros(16, dtype=torch.uint8), in_window=1, batches=1,
            texts=16, tokens=100)
        assert run.epoch().train_loss > 0
