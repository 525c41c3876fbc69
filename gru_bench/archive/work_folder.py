"""Temporary work folder of a command. It is always removed, because it may hold reviews.

The command removes it when it ends. After a kill or a power cut, the next command that works in the same place removes
it. A lock distinguishes a folder in use from an abandoned one.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from gru_bench.platforms import user_id

LOCK = ".lock"
FILES = "files"


@contextmanager
def work_folder(place: Path, prefix: str) -> Iterator[Path]:
    """Create an empty folder below `place` and remove it at the end; first remove abandoned ones.

    Args:
        place: A folder that exists.
        prefix: Prefix of the names of all work folders of this kind.
    """
    for left in place.glob(f"{prefix}*"):
        _remove(left)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        lock = FileLock(folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except (Timeout, FileNotFoundError):  # another command took the folder for an abandoned one
            continue
        if (folder / LOCK).exists():
            break
        lock.release()
    try:
        (folder / FILES).mkdir()
        yield folder / FILES
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _remove(folder: Path) -> None:
    """Remove an abandoned folder; leave it if a command uses it or it belongs to another user."""
    try:
        lock = folder / LOCK
        if folder.is_symlink() or lock.is_symlink() or not lock.is_file() or folder.stat().st_uid != user_id():
            return
        with FileLock(lock, timeout=0):
            shutil.rmtree(folder / FILES, ignore_errors=True)
        shutil.rmtree(folder)
    except (Timeout, OSError, NotImplementedError):  # in use, or of another user
        return
