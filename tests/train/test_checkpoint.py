"""A run that was interrupted resumes from its checkpoint as if it never had been."""

from __future__ import annotations

import errno
import io
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gru_bench import platforms
from gru_bench.config import RunConfig, Scalar, with_settings
from gru_bench.data.cache import CHECKPOINTS
from gru_bench.data.corpus import Corpus
from gru_bench.data.vectors import Vectors
from gru_bench.errors import MachineError, RunError
from gru_bench.results.runs import EpochRecord, RunResult, StepReport
from gru_bench.sweep.workers.local import run_job
from gru_bench.sweep.workers.messages import Finished, Job, Restarted
from gru_bench.sweep.workers.tasks import Train, provide
from gru_bench.train import loop
from gru_bench.train.checkpoint import checkpoint_name
from gru_bench.train.listener import Listener
from gru_bench.train.loop import train, train_resumably
from gru_bench.train.placement import Placement, place
from tests.support.commands import mentions
from tests.support.runs import losses, windows


@pytest.fixture(scope="module")
def varied(config: RunConfig) -> RunConfig:
    """Settings that use everything a checkpoint has to hold: both moments, rows of vectors, averages and dropout."""
    return with_settings(config, {
        "model.name": "bidirectional", "model.layers": 2, "model.dropout": 0.3, "embedding.trainable": True,
        "training.optimizer": "adamw", "training.weight_decay": 0.1,
        "training.schedule": "linear", "training.average": 0.9})


@pytest.fixture(scope="module")
def whole_varied(varied: RunConfig, corpus: Corpus, vectors: Vectors) -> RunResult:
    return train(varied, corpus, vectors)


def stop_after(epoch: int) -> Callable[[EpochRecord], None]:
    """Return what interrupts a run once this epoch is done."""
    def stop(record: EpochRecord) -> None:
        if record.epoch == epoch:
            raise KeyboardInterrupt

    return stop


def check_same(resumed: RunResult, whole: RunResult) -> None:
    """Check that two runs are the same to the bit."""
    assert losses(resumed) == losses(whole)
    assert windows(resumed) == windows(whole)
    assert resumed.best_epoch == whole.best_epoch
    assert resumed.weights.keys() == whole.weights.keys()
    for name, weights in whole.weights.items():
        np.testing.assert_array_equal(weights, resumed.weights[name])


@pytest.mark.parametrize(("stopped", "following"), [(2, 3), (3, None)])
def test_a_run_resumes_after_an_epoch_as_if_it_had_never_stopped(
    stopped: int, following: int | None, varied: RunConfig, corpus: Corpus, vectors: Vectors, whole_varied: RunResult,
    tmp_path: Path
) -> None:
    checkpoint, stop = tmp_path / "run.pt", stop_after(stopped)
    epochs: list[EpochRecord] = []

    def on_epoch(record: EpochRecord) -> None:
        epochs.append(record)
        stop(record)

    with pytest.raises(KeyboardInterrupt):
        train(varied, corpus, vectors, Listener(epoch=on_epoch), checkpoint=checkpoint)
    assert checkpoint.exists()
    replayed: list[EpochRecord] = []
    next_epoch: list[int | None] = []

    def on_resume(epoch: int | None) -> None:
        assert not replayed
        next_epoch.append(epoch)

    resumed = train(
        varied, corpus, vectors, Listener(epoch=replayed.append, resumed=on_resume), checkpoint=checkpoint)
    assert next_epoch == [following]
    assert replayed[:stopped] == epochs
    check_same(resumed, whole_varied)
    assert not checkpoint.exists()


def test_a_run_resumes_within_an_epoch_as_if_it_had_never_stopped(
    varied: RunConfig, corpus: Corpus, vectors: Vectors, whole_varied: RunResult, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "REFRESH_SECONDS", 0.0)
    checkpoint = tmp_path / "run.pt"
    steps = Counter[int]()

    def cut_off(report: StepReport) -> None:
        steps[report.epoch] += 1
        if steps[2] == 2 * varied.training.log_every:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(varied, corpus, vectors, Listener(step=cut_off), checkpoint=checkpoint)
    begun = torch.load(checkpoint, weights_only=False)["progress"].begun
    assert begun.batches == 2 * varied.training.log_every
    check_same(train(varied, corpus, vectors, checkpoint=checkpoint), whole_varied)


def test_a_run_resumes_within_a_window_as_if_it_had_never_stopped(
    varied: RunConfig, corpus: Corpus, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_settings(varied, {"training.log_every": 7})
    whole = train(config, corpus, vectors)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "REFRESH_SECONDS", 0.0)
    checkpoint = tmp_path / "run.pt"

    def cut_off(report: StepReport) -> None:
        if report.epoch == 2 and report.texts > len(corpus.train) + 3 * config.training.batch_size:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, corpus, vectors, Listener(step=cut_off), checkpoint=checkpoint)
    begun = torch.load(checkpoint, weights_only=False)["progress"].begun
    assert begun is not None
    assert 0 < begun.batches < config.training.log_every
    check_same(train(config, corpus, vectors, checkpoint=checkpoint), whole)


def test_a_checkpoint_stays_until_the_result_is_stored(
    config: RunConfig, corpus: Corpus, vectors: Vectors, whole: RunResult, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "run.pt"

    def full(_: RunResult) -> None:
        raise RunError("the disk is full")

    with pytest.raises(RunError, match="full"):
        train(config, corpus, vectors, Listener(done=full), checkpoint=checkpoint)
    stored: list[RunResult] = []
    check_same(train(config, corpus, vectors, Listener(done=stored.append), checkpoint=checkpoint), whole)
    assert len(stored) == 1
    assert not checkpoint.exists()


def test_an_epoch_of_less_than_a_minute_has_no_checkpoint_within_it(
    varied: RunConfig, corpus: Corpus, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = loop._Run(varied, corpus, vectors, Placement(torch.device("cpu"), "torch"))
    monkeypatch.setattr(run, "_save", lambda _: pytest.fail("a checkpoint was written"))
    run.epoch()
    assert run.progress.window_losses


def test_each_setting_has_a_checkpoint_of_its_own(config: RunConfig, corpus: Corpus, vectors: Vectors) -> None:
    changes: tuple[dict[str, Scalar], ...] = (
        {}, {"model.bidirectional": True}, {"training.weight_decay": 0.1}, {"seed": 9}, {"data.max_length": 7})
    names = {checkpoint_name(with_settings(config, change), corpus, vectors) for change in changes}
    assert len(names) == len(changes)
    assert checkpoint_name(config, replace(corpus, fingerprint="other"), vectors) not in names


def test_a_run_does_not_resume_with_other_word_vectors(
    config: RunConfig, corpus: Corpus, vectors: Vectors, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The file of vectors was edited after the second epoch."""
    monkeypatch.setenv("GRU_BENCH_CACHE", str(tmp_path))
    edited = replace(vectors, table_VE=vectors.table_VE[::-1].copy())
    with pytest.raises(KeyboardInterrupt):
        train_resumably(config, corpus, vectors, Listener(epoch=stop_after(2)), placement=place(config))
    resumed: list[int | None] = []
    trained = train_resumably(config, corpus, edited, Listener(resumed=resumed.append), placement=place(config))
    assert resumed == []
    check_same(trained, train(config, corpus, edited))
    train_resumably(config, corpus, vectors, Listener(resumed=resumed.append), placement=place(config))
    assert resumed == [3]


def test_a_checkpoint_of_another_run_is_refused(
    config: RunConfig, corpus: Corpus, vectors: Vectors, interrupted: bytes, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "run.pt"
    checkpoint.write_bytes(interrupted)
    with pytest.raises(RunError, match=r"run\.pt .*other settings or data"):
        train(with_settings(config, {"seed": 5}), corpus, vectors, checkpoint=checkpoint)
    assert checkpoint.exists()


@pytest.fixture(scope="module")
def interrupted(
    config: RunConfig, corpus: Corpus, vectors: Vectors, tmp_path_factory: pytest.TempPathFactory
) -> bytes:
    """The checkpoint of a run after its first epoch."""
    checkpoint = tmp_path_factory.mktemp("interrupted") / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        train(config, corpus, vectors, Listener(epoch=stop_after(1)), checkpoint=checkpoint)
    return checkpoint.read_bytes()


class Parent:
    """The sweep's side of a worker's connection: each run goes on, and the reasons to begin again are kept."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def send(self, message: object) -> None:
        if isinstance(message, Restarted):
            self.reasons.append(message.reason)

    def recv(self) -> bool:
        return True


def with_one_bit_changed(content: bytes) -> bytes:
    """Change a bit in the middle of the largest tensor."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        tensor = max((archive.read(name) for name in archive.namelist() if "/data/" in name), key=len)
    changed = bytearray(content)
    changed[content.index(tensor) + len(tensor) // 2] ^= 1
    return bytes(changed)


def of_another_version(content: bytes) -> bytes:
    """Leave out a weight that the model has."""
    state, written = torch.load(io.BytesIO(content), weights_only=False), io.BytesIO()
    del state["model"]["linear.bias"]
    torch.save(state, written)
    return written.getvalue()


@pytest.mark.parametrize(("damage", "score_test"), [
    (with_one_bit_changed, False), (with_one_bit_changed, True), (of_another_version, False), (lambda _: b"", True),
    (lambda content: content[:-1], False), (lambda _: b"no checkpoint", False)],
    ids=["a bit, search trial", "a bit, confirmation run", "another format", "empty", "one byte less", "text"])
def test_a_run_begins_again_where_its_checkpoint_is_damaged(
    damage: Callable[[bytes], bytes], score_test: bool, config: RunConfig, corpus: Corpus, vectors: Vectors,
    whole: RunResult, interrupted: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In a worker of a sweep, as for every run."""
    checkpoint = tmp_path / CHECKPOINTS / checkpoint_name(config, corpus, vectors)
    checkpoint.parent.mkdir()
    checkpoint.write_bytes(damage(interrupted))
    monkeypatch.setenv("GRU_BENCH_CACHE", str(tmp_path))
    provide((config.data, config.embedding), corpus, vectors)
    channel = Parent()
    ended = run_job(Job("run", Train(config, score_test=score_test)), channel)
    assert isinstance(ended, Finished)
    assert isinstance(ended.outcome, RunResult)
    assert losses(ended.outcome) == losses(whole)
    assert windows(ended.outcome) == windows(whole)
    (reason,) = channel.reasons
    aside = checkpoint.with_name(f"{checkpoint.name}.damaged")
    mentions(reason, str(checkpoint), aside.name, "starts again")
    assert [path.name for path in checkpoint.parent.iterdir()] == [aside.name]
    assert aside.read_bytes() == damage(interrupted)


def test_a_full_disk_keeps_the_last_checkpoint(
    config: RunConfig, corpus: Corpus, vectors: Vectors, whole: RunResult, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(MachineError, match=r"run\.pt: no space.*GRU_BENCH_CACHE"):
        train(config, corpus, vectors, Listener(epoch=lambda _: patch.setattr(torch, "save", full)),
              checkpoint=tmp_path / "run.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]
    check_same(train(config, corpus, vectors, checkpoint=tmp_path / "run.pt"), whole)


def test_a_checkpoint_that_a_virus_scanner_holds_open_ends_no_run(
    config: RunConfig, corpus: Corpus, vectors: Vectors, whole: RunResult, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows refuses to replace it: the run continues, and the last checkpoint stays whole."""
    monkeypatch.setattr(platforms, "WINDOWS", True)
    monkeypatch.setattr(platforms, "HELD_SECONDS", 0.01)
    path = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        train(config, corpus, vectors, Listener(epoch=stop_after(2)), checkpoint=path)
    before = path.read_bytes()

    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(13, "used by another process")

    monkeypatch.setattr("os.replace", refuse)
    resumed: list[int | None] = []
    with pytest.raises(KeyboardInterrupt):
        train(config, corpus, vectors, Listener(epoch=stop_after(3), resumed=resumed.append), checkpoint=path)
    assert path.read_bytes() == before
    check_same(train(config, corpus, vectors, Listener(resumed=resumed.append), checkpoint=path), whole)
    assert resumed == [3, 3]
    assert not list(tmp_path.glob("*.part"))
