"""Two machines: one with a study, one without."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.archives import exported, fill


@pytest.fixture(scope="session")
def far(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    directory = tmp_path_factory.mktemp("far")
    shutil.copy(empty_database, directory)
    fill(directory)
    exported(directory, directory / "quick.zip")
    return directory


@pytest.fixture
def near(tmp_path: Path, empty_database: Path) -> Path:
    """A machine without studies."""
    shutil.copy(empty_database, tmp_path)
    return tmp_path


@pytest.fixture
def own(far: Path, tmp_path: Path, empty_database: Path) -> Path:
    """A machine of its own with the study, to damage."""
    shutil.copy(empty_database, tmp_path)
    fill(tmp_path)
    return tmp_path
