"""Two machines: one with a study, one without."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.archives import copied, exported, fill, imported


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


@pytest.fixture(scope="session")
def arrived(far: Path, tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """A machine to which the study was imported. No test may change it."""
    directory = tmp_path_factory.mktemp("arrived")
    shutil.copy(empty_database, directory)
    imported(far / "quick.zip", directory)
    return directory


@pytest.fixture
def own(far: Path, tmp_path: Path) -> Path:
    """A machine with the study, to damage."""
    return copied(far, tmp_path)
