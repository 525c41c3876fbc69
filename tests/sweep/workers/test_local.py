"""Workers of this machine: their GPUs, and what goes wrong in one."""

from __future__ import annotations

import errno
import multiprocessing
import os
import sys
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from multiprocessing.connection import Connection
from multiprocessing.spawn import get_preparation_data
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch

from gru_bench import platforms
from gru_bench.config import RunConfig, with_settings
from gru_bench.errors import DataError, MachineError, RunError, UsageError
from gru_bench.platforms import cores
from gru_bench.results.diagnostics import Diagnostics
from gru_bench.results.runs import Check, EpochRecord, RunResult
from gru_bench.sweep.workers import local, tasks
from gru_bench.sweep.workers.local import Pool, cards, default_workers, fair_threads, run_job
from gru_bench.sweep.workers.messages import Failed, Finished, Job, Note
from gru_bench.sweep.workers.tasks import Train, TrySettings, corpus_of
from gru_bench.train import loop
from gru_bench.train.listener import Listener
from tests.support.commands import mentions


class Pipe:
    """Keeps what a worker sends, and lets it go on."""

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

    def __call__(self, listener: Listener, /) -> object:
        raise self.error


@pytest.mark.parametrize(("error", "kind", "reason"), [
    (RunError("the training loss must stay finite"), "run", "must stay finite"),
    (MemoryError(), "run", "training.batch_size"),
    (ImportError("_ufuncs.so: failed to map segment from shared object"), "machine", "out of memory"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), "run",
     "memory ran out"),
    (torch.OutOfMemoryError("CUDA out of memory"), "run", "memory ran out"),
    (UsageError("device must be"), "settings", "device must be"),
    (DataError("no reviews"), "settings", "no reviews"),
    (MachineError("cannot write the checkpoint"), "machine", "cannot write the checkpoint"),
    (OSError(errno.ENOSPC, "No space left on device", "/x"), "machine", "disk of /x"),
    (OSError(errno.EFBIG, "File too large", "/x"), "machine", "disk of /x"),
])
def test_an_error_is_the_runs_the_settings_or_the_machines(error: Exception, kind: str, reason: str) -> None:
    how = run_job(Job("job", Raising(error)), Pipe())
    assert isinstance(how, Failed)
    assert how.kind == kind
    assert reason in how.reason


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), OSError(errno.EIO, "broken"), KeyError("x")])
def test_an_unexpected_error_is_not_hidden(error: Exception) -> None:
    with pytest.raises(type(error)):
        run_job(Job("job", Raising(error)), Pipe())


class FakeProcess:
    """A worker process that is never started. It keeps the environment that it would have had."""

    exitcode = -9
    started: ClassVar[list[FakeProcess]] = []

    def __init__(self, *, target: object, args: tuple[Connection], daemon: bool) -> None:
        del target, daemon
        self.pipe = Connection(os.dup(args[0].fileno()))  # the pool closes its own copy

    def start(self) -> None:
        self.environment = dict(os.environ)
        self.started.append(self)

    def is_alive(self) -> bool:
        return False

    def join(self, timeout: float | None = None) -> None:
        del timeout

    def terminate(self) -> None:
        self.pipe.close()

    close = terminate


class TestPool:
    @pytest.fixture
    def started(self, monkeypatch: pytest.MonkeyPatch) -> list[FakeProcess]:
        """The worker processes in the order in which they were started."""
        processes = SimpleNamespace(Pipe=multiprocessing.Pipe, Process=FakeProcess)
        monkeypatch.setattr(multiprocessing, "get_context", lambda _: processes)
        monkeypatch.setattr(FakeProcess, "started", [])
        return FakeProcess.started

    def test_each_worker_sees_one_gpu_and_all_gpus_are_used_evenly(
        self, started: list[FakeProcess], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,GPU-8a")
        with Pool(3, ["0", "GPU-8a"]):
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,GPU-8a"
        assert [process.environment["CUDA_VISIBLE_DEVICES"] for process in started] == ["0", "GPU-8a", "0"]
        assert {process.environment["OMP_NUM_THREADS"] for process in started} == {str(fair_threads(3))}

    def test_a_worker_that_died_without_a_job_is_replaced(self, started: list[FakeProcess]) -> None:
        with Pool(2, ["3", "5"]) as pool:
            started[0].pipe.close()
            job = Job("settings", TrySettings(()))
            pool.submit(job)
            assert started[2].pipe.recv() == job
            started[2].pipe.send(Finished(None))
            assert list(pool.messages(60.0)) == [(job, Finished(None))]
            assert pool.idle
        assert [process.environment["CUDA_VISIBLE_DEVICES"] for process in started] == ["3", "5", "3"]

    def test_a_job_fails_whose_worker_dies(self, started: list[FakeProcess]) -> None:
        with Pool(1) as pool:
            job = Job("settings", TrySettings(()))
            pool.submit(job)
            assert not pool.idle
            started[0].pipe.close()
            ((ended, message),) = pool.messages(60.0)
            assert (ended, pool.idle, len(started)) == (job, True, 2)
        assert isinstance(message, Failed)
        assert message.kind == "worker"
        assert "signal 9" in message.reason


class TestGpus:
    @pytest.mark.parametrize(("device", "found", "searching", "workers"), [
        ("auto", ["0", "1", "2"], True, 3), ("cuda", ["0"], False, 1), ("cuda:1", [], True, 1), ("mps", [], True, 1),
        ("cpu", [], False, cores()), ("auto", [], True, min(cores(), 4)),
    ])
    def test_one_run_is_trained_on_each_gpu(self, device: str, found: list[str], searching: bool, workers: int) -> None:
        assert default_workers(device, found, searching=searching) == workers

    @pytest.mark.parametrize(("device", "shared"), [
        ("auto", ["0", "1"]), ("cuda", ["0", "1"]), ("cuda:1", []), ("cpu", []), ("mps", [])])
    def test_a_gpu_with_a_number_is_not_shared(
        self, device: str, shared: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gru_bench.sweep.workers.local.visible", lambda: ["0", "1"])
        assert cards(device) == shared


@pytest.fixture(scope="module")
def config(easy_csv: Path) -> RunConfig:
    return with_settings(RunConfig(), {
        "data.name": str(easy_csv), "data.limit": 240, "embedding.dimension": 8, "model.hidden_size": 6,
        "model.backend": "torch", "training.epochs": 2, "training.batch_size": 32, "training.log_every": 2,
        "training.threads": 1})


def test_a_worker_asks_after_each_check_and_each_epoch(config: RunConfig) -> None:
    pipe = Pipe()
    assert isinstance(run_job(Job("job", Train(config, checks=2)), pipe), Finished)
    asked = [message for message in pipe.said if isinstance(message, Check | EpochRecord)]
    assert [type(message) for message in asked] == [Check, Check, EpochRecord] * 2


@pytest.mark.parametrize("texts", [True, False])
def test_a_run_is_diagnosed_if_it_is_asked_to(config: RunConfig, texts: bool) -> None:
    how = run_job(Job("job", Train(config, score_test=True, diagnostics=True, texts=texts)), Pipe())
    assert isinstance(how, Finished)
    assert isinstance(how.outcome, RunResult)
    found = Diagnostics.from_json(how.outcome.diagnostics)
    assert {flow.state for flow in found.flows} == {"initial", "trained"}
    assert found.review == ("validation" if texts else "")
    assert bool(found.attributions) == texts  # the data have no word of the fixed sentence
    assert how.outcome.model_files


def test_a_run_on_texts_that_allow_no_diagnostics_ends_without_them(config: RunConfig) -> None:
    pipe = Pipe()
    short = with_settings(config, {"data.max_length": 3})
    how = run_job(Job("job", Train(short, score_test=True, diagnostics=True)), pipe)
    assert isinstance(how, Finished)
    assert isinstance(how.outcome, RunResult)
    assert how.outcome.diagnostics == ""
    (note,) = (message for message in pipe.said if isinstance(message, Note))
    mentions(note.text, "diagnostics of bidirectional", "at least four known words")


def test_a_run_that_does_not_fit_into_the_memory_of_a_gpu_fails(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(loop, "training_loss", no_memory)
    how = run_job(Job("job", Train(config)), Pipe())
    assert isinstance(how, Failed)
    assert how.kind == "run"
    mentions(how.reason, "memory ran out", "training.batch_size", "training.micro_batches")


class TestCheck:
    def test_accepts_a_run_that_can_be_trained(self, config: RunConfig) -> None:
        assert run_job(Job("settings", TrySettings((config,))), Pipe()) == Finished(None)

    def test_refuses_a_device_that_does_not_exist(self, config: RunConfig) -> None:
        wrong = with_settings(config, {"training.device": "cuda:7"})
        how = run_job(Job("settings", TrySettings((config, wrong))), Pipe())
        assert isinstance(how, Failed)
        assert how.kind == "settings"
        assert "'cuda:7'" in how.reason

    def test_refuses_a_file_that_was_changed_after_the_sweep_had_read_it(
        self, config: RunConfig, tmp_path: Path, easy_csv: Path
    ) -> None:
        """A worker that starts again reads the file again; one that has read it goes on with what it has."""
        path = tmp_path / "reviews.csv"
        rows = easy_csv.read_text(encoding="utf-8")
        path.write_text(rows, encoding="utf-8")
        mine = with_settings(config, {"data.name": str(path), "embedding.name": "random"})
        sweeps = corpus_of(mine.data).fingerprint
        job = Job("settings", TrySettings((mine,)), sweeps)
        flipped = "".join(f"{line.replace(',0,', ',?,').replace(',1,', ',0,').replace(',?,', ',1,')}\n"
                          for line in rows.splitlines())
        assert flipped != rows
        path.write_text(flipped, encoding="utf-8")
        assert run_job(job, Pipe()) == Finished(None)
        tasks._corpora.clear()
        how = run_job(job, Pipe())
        assert isinstance(how, Failed)
        assert how.kind == "machine"
        mentions(how.reason, str(path), "was changed", sweeps, corpus_of(mine.data).fingerprint, "Restore",
                 "name")
        path.write_text(rows, encoding="utf-8")
        assert run_job(job, Pipe()) == Finished(None)


@pytest.mark.parametrize(("searching", "workers"), [(True, 4), (False, 8)])
def test_workers_share_the_cores(searching: bool, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platforms, "cores", lambda: 8)
    assert default_workers("auto", searching=searching) == workers


@pytest.mark.parametrize("started_as", [{"__file__": "script.py"}, {
    "__file__": "script.py", "__spec__": ModuleSpec("script", None)}], ids=["script", "module"])
def test_a_worker_does_not_run_the_script_that_started_it(
    started_as: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    main = ModuleType("__main__")
    vars(main).update(started_as)
    monkeypatch.setitem(sys.modules, "__main__", main)
    run_again = {"init_main_from_name", "init_main_from_path"}
    before = dict(vars(main))
    assert run_again & get_preparation_data("worker").keys()
    with local._script_left_out():
        assert not run_again & get_preparation_data("worker").keys()
    assert vars(main) == before
