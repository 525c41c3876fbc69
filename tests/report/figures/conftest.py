"""Drawing is what the tests of this folder test, so figures are drawn here."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _draw(drawn: None) -> None:
    del drawn
