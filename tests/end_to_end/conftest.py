"""Data for whole sweeps."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def few_reviews(tmp_path_factory: pytest.TempPathFactory, easy_csv: Path) -> Path:
    """The first 120 of the made-up reviews, in a file of the same name."""
    path = tmp_path_factory.mktemp("few") / easy_csv.name
    with easy_csv.open(encoding="utf-8") as file:
        path.write_text("".join(islice(file, 121)), encoding="utf-8")
    return path
