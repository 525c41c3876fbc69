"""A folder to work in that does not outlive its command for long: it may hold reviews.

It is removed at the end, whatever the end is, but for a kill or a power cut; what those leave is removed by the next
command that works in the same place. A lock tells a folder in use from one that was left.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOCK = ".lock"
FILES = "files"


@contextmanager
def work_folder(place: Path, prefix: str) -> Iterator[Path]:
    """Give an empty folder below `place`, once those that commands have left there are removed.

    Args:
        place: a folder that exists.
        prefix: how the names of all such folders begin.
    """
    for left in place.glob(f"{prefix}*"):
        _remove(left)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        lock = FileLock(folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except (Timeout, FileNotFoundError):  # another command took it for one that was left
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


def _user() -> int:
    """Return the id of this process's user; 0, as files have it, where there are none."""
    return os.getuid() if hasattr(os, "getuid") else 0


def _remove(folder: Path) -> None:
    """Remove a folder that no command works in."""
    try:
        lock = folder / LOCK
        if folder.is_symlink() or lock.is_symlink() or not lock.is_file() or folder.stat().st_uid != _user():
            return
        with FileLock(lock, timeout=0):
            shutil.rmtree(folder / FILES, ignore_errors=True)
        shutil.rmtree(folder)
    except (Timeout, OSError, NotImplementedError):  # in use, or another user's
        return
