"""Denormal numbers, which some processors compute many times slower than others, are 0 in the kernel alone."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from gru_bench.kernels import GRU
from gru_bench.kernels import fused as kernels
from gru_bench.kernels.threads import run_together
from tests.support.denormals import flushed


@pytest.fixture(autouse=True)
def _not_flushed() -> Iterator[None]:
    assert flushed() == 0
    yield
    torch.set_flush_denormal(False)


def gradients(gradient: float) -> list[Tensor]:
    """Those of 24 sequences and a layer of the kernel, for this gradient of the last states."""
    torch.manual_seed(0)
    gru = GRU(8, 16)
    x = torch.randn(5, 24, 8, requires_grad=True)
    found = torch.autograd.grad(gru(x)[1], [x, *gru.parameters()], torch.full((1, 24, 16), gradient))
    assert gru.fallback_reason is None
    return list(found)


def denormal(values: Tensor) -> int:
    """How many values are denormal: neither 0 nor as large as the smallest normal number, by their bits."""
    magnitude = values.view(torch.int32) & 0x7FFFFFFF
    return int(((magnitude > 0) & (magnitude < 0x00800000)).sum())


def test_gradients_that_would_be_denormal_are_0() -> None:
    """A gradient of 1e-37 is normal, and at the first steps it would be denormal."""
    assert all(value.any() for value in gradients(1e-30))
    assert [denormal(value) for value in gradients(1e-37)] == [0] * 5
    assert flushed() == 0


@pytest.mark.parametrize("before", [False, True])
def test_a_caller_keeps_his_own_setting(before: bool) -> None:
    torch.set_flush_denormal(before)
    gradients(1.0)
    assert flushed() == before
    kernels.adam_rows(torch.arange(3), torch.ones(3, 4), torch.ones(3, 4), torch.ones(3, 4), torch.ones(3, 4),
                      torch.zeros(3, dtype=torch.int64), lr=1.0, betas=(0.9, 0.999), epsilon=1e-8)
    assert flushed() == before


def test_a_caller_keeps_his_own_setting_where_a_call_fails() -> None:
    @kernels.flushed(torch_threads=True)
    def fails() -> float:
        return 1 / int(flushed() - 1)

    with pytest.raises(ZeroDivisionError):
        fails()
    assert flushed() == 0


def test_the_threads_of_the_kernel_flush() -> None:
    """All of them, also those that were started while their starter did not."""
    found: dict[int, float] = {}
    both = threading.Barrier(2)

    def noted(worker: int, workers: int) -> None:
        both.wait(timeout=60)
        found[worker] = flushed()

    run_together(2, noted)
    assert found[1] == 1


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """How many threads torch has."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    assert flushed() == 0  # by all of them, which are started here
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere torch's threads follow the thread that calls them")
def test_the_threads_of_torch_flush_only_within_the_context(threads: int) -> None:
    for _ in range(3):
        with kernels.flushed(torch_threads=True):
            assert flushed() == 1
            with kernels.flushed(torch_threads=True):
                assert flushed() == 1
            assert flushed() == 1
        assert flushed() == 0
    assert torch.get_num_threads() == threads


def test_another_thread_keeps_its_setting() -> None:
    found = []
    begun, asked = threading.Event(), threading.Event()

    def other() -> None:
        begun.set()
        asked.wait(timeout=60)
        found.append(flushed())

    thread = threading.Thread(target=other)
    thread.start()
    begun.wait(timeout=60)
    with kernels.flushed():
        asked.set()
        thread.join()
    assert found == [0]
