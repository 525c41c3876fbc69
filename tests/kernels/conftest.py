"""Two threads of the kernel for every batch, and one of torch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from gru_bench.kernels import fused as kernels
from gru_bench.kernels.fused import set_threads


@pytest.fixture(autouse=True)
def _threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two threads also for batches so small that one would do. A second thread of torch would wait by spinning, on a
    core that the kernel needs."""
    monkeypatch.setattr(kernels, "LEAST_WORK", 1)
    set_threads(2)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
