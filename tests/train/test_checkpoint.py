"""A run that was cut off goes on from its checkpoint as if it never had been."""

from __future__ import annotations

import errno
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gru_bench import platforms
from gru_bench.config import RunConfig, Scalar, with_settings
from gru_bench.data.corpus import Corpus
from gru_bench.data.embeddings import Vectors
from gru_bench.errors import MachineError, RunError
from gru_bench.results.runs import EpochRecord, WindowLoss
from gru_bench.train import loop
from gru_bench.train.checkpoint import FORMAT
from gru_bench.train.loop import checkpoint_name, train
from tests.support.runs import losses, windows


@pytest.mark.parametrize("settings", [
    {}, {"model.name": "bidirectional", "model.layers": 2, "model.dropout": 0.3},
    {"embedding.trainable": True, "training.schedule": "linear", "training.optimizer": "adamw",
     "training.weight_decay": 0.1}])
class TestRepeats:
    def test_goes_on_from_a_checkpoint_as_if_never_cut_off(
        self, settings: dict[str, Scalar], config: RunConfig, corpus: Corpus, vectors: Vectors, tmp_path: Path
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
        self, settings: dict[str, Scalar], config: RunConfig, corpus: Corpus, vectors: Vectors, tmp_path: Path,
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


def test_a_checkpoint_from_before_a_setting_was_added_still_fits(config: RunConfig, corpus: Corpus) -> None:
    text = config.model_dump_json()
    for added in (',"classes":null,"positive":null,"encoding":"utf-8","unseen":"refuse"', ',"bidirectional":null',
                  '"optimizer":"adam",', '"weight_decay":0.0,',
                  '"metric":"accuracy",', '"class_weight":"none",',
                  '"unknown":"drop",', '"lr_factor":1.0,"dropout":0.0,"word_dropout":0.0,', '"warmup":0.0,',
                  '"label_smoothing":0.0,', '"average":0.0,', '"adversarial":0.0,', '"teachers":0,'):
        assert added in text
        text = text.replace(added, "")
    before = hashlib.sha256(f"{FORMAT} {text} {corpus.fingerprint}".encode()).hexdigest()
    assert checkpoint_name(config, corpus) == f"{before}.pt"
    others = [checkpoint_name(with_settings(config, {key: value}), corpus) for key, value in (
        ("model.bidirectional", True), ("training.optimizer", "adamw"), ("training.weight_decay", 0.1))]
    assert len({*others, f"{before}.pt"}) == 4


class TestWhatGoesWrong:
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


def test_a_full_disk_keeps_the_last_checkpoint(
    config: RunConfig, corpus: Corpus, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = torch.save

    def fill(record: EpochRecord) -> None:
        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(torch, "save", full if record.epoch == 1 else save)

    with pytest.raises(MachineError, match="no space is left on that disk; free some"):
        train(config, corpus, vectors, fill, checkpoint=tmp_path / "run.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]
    monkeypatch.setattr(torch, "save", save)
    records: list[EpochRecord] = []
    resumed = train(config, corpus, vectors, records.append, checkpoint=tmp_path / "run.pt")
    whole = train(config, corpus, vectors)
    assert [record.train_loss for record in resumed.epochs] == [record.train_loss for record in whole.epochs]


def test_a_checkpoint_that_a_virus_scanner_holds_open_ends_no_run(
    config: RunConfig, corpus: Corpus, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows refuses to replace it: the run goes on, and the last checkpoint stays whole."""
    monkeypatch.setattr(platforms, "WINDOWS", True)
    monkeypatch.setattr(platforms, "HELD_SECONDS", 0.01)
    config, path = with_settings(config, {"training.epochs": 3}), tmp_path / "run.pt"
    whole = train(config, corpus, vectors)

    def cut_off(record: EpochRecord) -> None:
        if record.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, corpus, vectors, cut_off, checkpoint=path)
    before = path.read_bytes()

    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(13, "used by another process")

    monkeypatch.setattr("os.replace", refuse)
    resumed: list[int | None] = []
    with pytest.raises(KeyboardInterrupt):
        train(config, corpus, vectors, lambda record: cut_off(replace(record, epoch=record.epoch - 1)),
              checkpoint=path, on_resume=resumed.append)
    assert path.read_bytes() == before
    assert losses(train(config, corpus, vectors, checkpoint=path, on_resume=resumed.append)) == losses(whole)
    assert resumed == [3, 3]
    assert not list(tmp_path.glob("*.part"))
