"""Cache folders for token ids, word vectors and more: each is built once and then only read.

A folder is written beside its final place and renamed when it is complete. So no process sees a half-written folder,
and two processes may build the same one at once: the first to finish wins, the other discards its own.

The key of a folder depends on the content of its source files. So copying or touching a file builds nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gru_bench.data.files import digest, named_path, reading
from gru_bench.errors import RunError
from gru_bench.platforms import cache_folder, patiently, processes_using

_REBUILT = ("corpus", "vectors", "baselines", "digests")
"""Folders below the root. All that they hold is built again when it is needed."""
_KEY = re.compile(r"(\d+-)?[0-9a-f]{32}")
CHECKPOINTS = "checkpoints"
"""Folder below the root that holds the checkpoints of runs that have not ended."""

_LEFTOVER_SECONDS = 24 * 3600
"""Age in seconds from which an unfinished folder is assumed to come from a killed process."""
_LARGE = 64 << 20
"""Size in bytes from which the digest of a file is stored, because reading the file would slow every start."""
_SETTLED_SECONDS = 2
"""Age in seconds below which a file may still change without a change of its modification time."""


def default_cache() -> Path:
    """Return the root folder of the caches: `GRU_BENCH_CACHE` if it is set, else the user's cache folder.

    Raises:
        UsageError: where an environment variable holds no valid path.
    """
    for variable, below in (("GRU_BENCH_CACHE", ""), ("XDG_CACHE_HOME", "gru-bench")):
        if chosen := os.environ.get(variable):
            return named_path(chosen, f"the cache ({variable})") / below
    return cache_folder()


def cached_folder(cache: Path, kind: str, key: str, build: Callable[[Path], object]) -> Path:
    """Return the folder `cache/kind/key`, and build it first if it is missing.

    Args:
        cache: Root folder of all caches.
        kind: Kind of content, such as `corpus`.
        key: Text that identifies everything the content depends on.
        build: Function that writes the content into the empty folder that it is given.

    Raises:
        RunError: where the folder cannot be written. The unfinished folder is removed.
        Exception: any error of `build`. The unfinished folder is removed.
    """
    final = cache / kind / key
    if final.is_dir():
        return final
    begun = final.with_name(f".{key}.{uuid.uuid4().hex}.begun")
    try:
        begun.mkdir(parents=True)
        for path in filter(_is_left, final.parent.iterdir()):
            shutil.rmtree(path, ignore_errors=True)
        build(begun)
        try:
            patiently(lambda: final.is_dir() or begun.rename(final))
        except OSError:
            if not final.is_dir():  # else another process has built it in the meantime
                raise
    except OSError as error:
        # numpy reports a full disk without an error number: then its own message is all there is.
        reason = error.strerror or str(error)
        raise RunError(
            f"the cache must be writable, but {final.parent} is not: {reason}. Free some space there, or set "
            "GRU_BENCH_CACHE to a folder on another disk") from error
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    return final


@contextmanager
def reading_cache(folder: Path) -> Iterator[None]:
    """Say what to do about a cache folder that cannot be read, such as one that a failing disk has damaged.

    Raises:
        RunError: instead of an error within the context about the files of the folder.
    """
    try:
        yield
    except (OSError, EOFError, ValueError, LookupError, zipfile.BadZipFile) as error:
        raise RunError(f"the cache folder {folder} must be complete, but it cannot be read ({error}): delete it, and "
                       "it is built again") from error


def content_digest(path: Path, cache: Path) -> str:
    """Return the SHA-256 of the content of a file.

    The digest of a large file is stored and used again while the size and the modification time stay the same.

    Raises:
        DataError: where the file cannot be read.
    """
    with reading(path):
        status = path.stat()
    if status.st_size < _LARGE or time.time() - status.st_mtime < _SETTLED_SECONDS:
        return digest(path)
    state = f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"
    folder = cached_folder(cache, "digests", hashlib.sha256(state.encode()).hexdigest()[:32],
                           lambda begun: (begun / "sha256").write_text(digest(path), encoding="utf-8"))
    with reading_cache(folder):
        return (folder / "sha256").read_text(encoding="utf-8")


def sizes(cache: Path) -> dict[str, int]:
    """Return kind -> bytes on disk of what is built again when it is needed. Symbolic links are not followed."""
    return {kind: sum(map(size_of, _folders(cache / kind))) for kind in _REBUILT}


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder. Symbolic links are not followed."""
    with suppress(OSError):  # what another process removes meanwhile takes no space
        if path.is_dir() and not path.is_symlink():
            return sum(map(size_of, path.iterdir()))
        return path.lstat().st_size
    return 0


def clean(cache: Path) -> int:
    """Remove what is built again when it is needed, and return its bytes.

    Only what has a name that this module gives is removed, because the root may be any folder of the user's. Symbolic
    links stay, and so do folders that a process may be building now, and the checkpoints of runs.

    Raises:
        RunError: where another process has a file in the cache open, or an entry cannot be removed.
    """
    if users := processes_using(cache):
        raise RunError(f"the cache {cache} must not be in use while it is removed, but "
                       f"{'these processes read' if len(users) > 1 else 'this process reads'} files there: "
                       f"{', '.join(map(str, users))}. Wait until they end, or end them")
    freed = 0
    for path in [path for kind in _REBUILT for path in _folders(cache / kind)]:
        size = size_of(path)
        try:
            shutil.rmtree(path)
        except OSError as error:
            raise RunError(f"{path} must be removed, but cannot be: {error.strerror or error}. End what uses it, or "
                           "remove it by hand") from error
        freed += size
    return freed


def _folders(parent: Path) -> list[Path]:
    """Return the folders that this module has put into `parent`, without unfinished ones that are not old."""
    if parent.is_symlink() or not parent.is_dir():
        return []
    return sorted(path for path in parent.iterdir() if not path.is_symlink() and path.is_dir()
                  and (_KEY.fullmatch(path.name) or _is_left(path)))


def _is_left(path: Path) -> bool:
    """Return whether a folder is unfinished and so old that no process can still be building it."""
    with suppress(OSError):
        return path.name.endswith(".begun") and time.time() - path.stat().st_mtime > _LEFTOVER_SECONDS
    return False
