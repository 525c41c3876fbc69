"""The stores of the studies that come with the repository."""

from __future__ import annotations

import tarfile
from pathlib import Path

from tests.support.commands import ROOT

EXAMPLE = ROOT / "reports" / "example"


def unpacked(folder: Path) -> Path:
    """Unpack the stores of the studies to a folder, and return it."""
    with tarfile.open(EXAMPLE / "studies.tar.xz") as packed:
        packed.extractall(folder, filter="data")
    return folder
