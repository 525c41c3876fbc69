"""Reports whose figures are not drawn: most of the time that a report takes goes into them."""

from __future__ import annotations

import pytest

from gru_bench.document.figure import Figure


def draw_nothing(patch: pytest.MonkeyPatch) -> None:
    """Let figures be empty files."""
    patch.setattr(Figure, "svg", "<svg></svg>")
    patch.setattr(Figure, "pdf", b"")
