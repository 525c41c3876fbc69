"""What goes wrong in a worker, and whose fault it is; and the second try of a run that does not fit on a card."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from gru_bench import platforms
from gru_bench.config import RunConfig, with_settings
from gru_bench.errors import DataError, MachineError, RunError, UsageError
from gru_bench.platforms import cores
from gru_bench.results.runs import RunResult, Timing
from gru_bench.sweep.workers.local import (
    CheckDone,
    EpochDone,
    Failed,
    Finished,
    Job,
    Pool,
    Restarted,
    cards,
    default_workers,
    fair_threads,
    run_job,
)
from gru_bench.sweep.workers.tasks import CheckConfigs, Listener, Material, MeasureTiming, Train
from gru_bench.train import loop


class Pipe:
    """Keeps what a worker says, and lets it go on."""

    def __init__(self) -> None:
        self.said: list[object] = []

    def send(self, message: object) -> None:
        self.said.append(message)

    def recv(self) -> bool:
        return True


@dataclass(frozen=True)
class Raising:
    """A task that fails."""

    error: Exception

    @property
    def materials(self) -> tuple[Material, ...]:
        return ()

    def __call__(self, listener: Listener, /) -> object:
        raise self.error


@pytest.mark.parametrize(("error", "kind", "reason"), [
    (RunError("the training loss must stay finite"), "run", "must stay finite"),
    (MemoryError(), "run", "memory ran out: lower training.batch_size"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory: out of memory"), "run", "memory ran out"),
    (torch.OutOfMemoryError("CUDA out of memory"), "run", "memory ran out"),
    (UsageError("device must be"), "settings", "device must be"),
    (DataError("no reviews"), "settings", "no reviews"),
    (MachineError("the checkpoint must be written"), "machine", "the checkpoint must be written"),
    (OSError(errno.ENOSPC, "No space left on device", "/x"), "machine", "no space is left on the disk of /x"),
])
def test_whose_fault_it_is(error: Exception, kind: str, reason: str) -> None:
    how = run_job(Job("job", Raising(error)), Pipe())
    assert isinstance(how, Failed)
    assert how.kind == kind
    assert reason in how.reason


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), OSError(errno.EIO, "broken"), KeyError("x")])
def test_an_error_of_ours_is_not_hidden(error: Exception) -> None:
    with pytest.raises(type(error)):
        run_job(Job("job", Raising(error)), Pipe())


def test_a_worker_that_died_with_nothing_to_do_is_replaced() -> None:
    with Pool(1) as pool:
        (worker,) = pool._workers
        worker.process.kill()
        worker.process.join()
        job = Job("check", CheckConfigs(()))
        pool.submit(job)
        assert list(pool.messages(60.0)) == [(job, Finished(None))]


@dataclass(frozen=True)
class Look:
    """A task that returns what its process sees of the cards, and its number of threads."""

    @property
    def materials(self) -> tuple[Material, ...]:
        return ()

    def __call__(self, listener: Listener, /) -> object:
        return os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ["OMP_NUM_THREADS"]


class TestCards:
    def test_each_worker_sees_one_card_and_all_cards_are_used_evenly(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,GPU-8a")
        with Pool(3, ["0", "GPU-8a"]) as pool:
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,GPU-8a"
            for number in range(3):
                pool.submit(Job(f"look {number}", Look()))
            seen: list[Any] = []
            while pool.busy:
                seen += [message.outcome for _, message in pool.messages(60.0) if isinstance(message, Finished)]
        assert sorted(card for card, _ in seen) == ["0", "0", "GPU-8a"]
        assert {threads for _, threads in seen} == {str(fair_threads(3))}

    def test_a_worker_that_takes_the_place_of_another_has_its_card(self) -> None:
        with Pool(2, ["3", "5"]) as pool:
            worker = pool._workers[1]
            worker.process.kill()
            worker.process.join()
            pool.submit(Job("first", CheckConfigs(())))
            pool.submit(Job("look", Look()))
            done: dict[str, object] = {}
            while pool.busy:
                done |= {job.key: message for job, message in pool.messages(60.0)}
        assert done["look"] == Finished(("5", str(fair_threads(2))))

    @pytest.mark.parametrize(("device", "found", "searching", "workers"), [
        ("auto", ["0", "1", "2"], True, 3), ("cuda", ["0"], False, 1), ("cuda:1", [], True, 1), ("mps", [], True, 1),
        ("cpu", [], False, cores()), ("auto", [], True, min(cores(), 4)),
    ])
    def test_one_run_on_each_card(self, device: str, found: list[str], searching: bool, workers: int) -> None:
        assert default_workers(device, found, searching=searching) == workers

    @pytest.mark.parametrize(("device", "shared"), [
        ("auto", ["0", "1"]), ("cuda", ["0", "1"]), ("cuda:1", []), ("cpu", []), ("mps", [])])
    def test_a_card_with_a_number_is_not_shared_out(
        self, device: str, shared: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gru_bench.sweep.workers.local.visible", lambda: ["0", "1"])
        assert cards(device) == shared


def test_a_timing_waits_for_a_card_once_in_an_epoch(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the end of a window, the host waits. The timed epoch has one."""
    closed: list[int] = []
    real = loop._Run._close_window

    def close(run: loop._Run, number: int, mean: float) -> None:
        closed.append(number)
        real(run, number, mean)

    monkeypatch.setattr(loop._Run, "_close_window", close)
    how = run_job(Job("timing", MeasureTiming(config, 5)), Pipe())
    assert isinstance(how, Finished)
    assert isinstance(how.outcome, Timing)
    assert (how.outcome.iterations, closed) == (5, [1, 2])


@pytest.fixture(scope="module")
def config(easy_csv: Path) -> RunConfig:
    return with_settings(RunConfig(), {
        "data.name": str(easy_csv), "embedding.dimension": 8, "model.hidden_size": 6, "training.epochs": 2,
        "training.batch_size": 32, "training.log_every": 2, "training.threads": 1})


def test_a_worker_asks_after_each_check_and_each_epoch(config: RunConfig) -> None:
    pipe = Pipe()
    assert isinstance(run_job(Job("job", Train(config, checks=2)), pipe), Finished)
    asked = [message for message in pipe.said if isinstance(message, CheckDone | EpochDone)]
    assert [type(message) for message in asked] == [CheckDone, CheckDone, EpochDone] * 2


class TestMemoryOfACard:
    def test_a_run_that_does_not_fit_is_done_again_in_micro_batches(
        self, config: RunConfig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real, sizes = loop._Run._backward, list[int]()

        def backward(run: loop._Run, batch: loop._DeviceBatch, *rest: Any) -> torch.Tensor:
            sizes.append(len(batch.label_B))
            # The card holds 16 reviews, but for the first epoch, when they are short.
            if len(batch.label_B) > 16 and run.progress.epochs:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return real(run, batch, *rest)

        monkeypatch.setattr(loop._Run, "_backward", backward)
        pipe = Pipe()
        how = run_job(Job("job", Train(config)), pipe)
        assert isinstance(how, Finished)
        result = how.outcome
        assert isinstance(result, RunResult)
        assert result.config.training.micro_batches == 2
        assert max(sizes[-6:]) <= 16
        said = [message for message in pipe.said if isinstance(message, Restarted)]
        assert len(said) == 1
        assert "ran out at a batch of 32 reviews; done again in 2 micro-batches" in said[0].reason
        again = pipe.said.index(said[0])
        epochs = [message.record.epoch for message in pipe.said[again:] if hasattr(message, "record")]
        assert epochs == [1, 2]

    def test_it_is_tried_once_more_and_not_again(self, config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
        def backward(*_: object) -> torch.Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory")

        monkeypatch.setattr(loop._Run, "_backward", backward)
        pipe = Pipe()
        how = run_job(Job("job", Train(config)), pipe)
        assert isinstance(how, Failed)
        assert how == Failed("run", how.reason)
        assert "memory ran out" in how.reason
        assert len([message for message in pipe.said if isinstance(message, Restarted)]) == 1

    def test_a_batch_of_one_has_no_micro_batches(self, config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
        def backward(*_: object) -> torch.Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory")

        monkeypatch.setattr(loop._Run, "_backward", backward)
        pipe = Pipe()
        how = run_job(Job("job", Train(with_settings(config, {"training.batch_size": 1}))), pipe)
        assert isinstance(how, Failed)
        assert not pipe.said


class TestCheck:
    def test_a_run_that_can_be_trained(self, config: RunConfig) -> None:
        assert run_job(Job("check", CheckConfigs((config,))), Pipe()) == Finished(None)

    def test_a_device_that_is_not_there(self, config: RunConfig) -> None:
        wrong = with_settings(config, {"training.device": "cuda:7"})
        how = run_job(Job("check", CheckConfigs((config, wrong))), Pipe())
        assert isinstance(how, Failed)
        assert how.kind == "settings"
        assert "'cuda:7'" in how.reason


@pytest.mark.parametrize(("searching", "workers"), [(True, 4), (False, 8)])
def test_workers_share_the_cores(searching: bool, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platforms, "cores", lambda: 8)
    assert default_workers("auto", searching=searching) == workers
