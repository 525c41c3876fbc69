"""Two threads for every batch."""

from __future__ import annotations

import pytest

from gru_bench.kernels import fused as kernels
from gru_bench.kernels.fused import set_threads


@pytest.fixture(autouse=True)
def _two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for batches so small that one would do."""
    monkeypatch.setattr(kernels, "LEAST_WORK", 1)
    set_threads(2)
