"""Limits that a test can reach at once."""

from __future__ import annotations

import pytest

from gru_bench.data import limits


@pytest.fixture
def low(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a test can reach at once."""
    monkeypatch.setattr(limits, "ROW", 100_000)
    monkeypatch.setattr(limits, "MEMORY", 2_000_000)
