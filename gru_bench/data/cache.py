"""Cache folders for token ids, word vectors and more: each is built once and then only read.

A folder is written beside its final place and renamed when it is complete. So no process sees a half-written folder,
and two processes may build the same one at once: the first to finish wins, the other discards its own.

The key of a folder depends on the content of its source files. So copying or touching a file builds nothing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gru_bench.data.files import digest, named_path, reading
from gru_bench.errors import RunError
from gru_bench.platforms import cache_folder, patiently

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
            f"the cache {final.parent} cannot be written: {reason}. Free some space there, or set GRU_BENCH_CACHE to a "
            "folder on another disk") from error
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
        reason = (error.strerror if isinstance(error, OSError) else None) or "its content is damaged"
        raise RunError(f"the cache folder {folder} cannot be read ({reason}): delete it, and it is rebuilt") from error


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


def _is_left(path: Path) -> bool:
    """Return whether a folder is unfinished and so old that no process can still be building it."""
    with suppress(OSError):
        return path.name.endswith(".begun") and time.time() - path.stat().st_mtime > _LEFTOVER_SECONDS
    return False
