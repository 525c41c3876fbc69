"""Folders that are built once and then only read: for token ids and for word vectors.

A folder is written beside its final place and renamed when whole, so that none is ever seen half-written
and two processes may build the same one at once: the first to finish wins, the other discards its own.
A manifest of sizes and checksums, written last, tells a damaged folder, which is then built anew.

What a folder is made from is named by its content, so that a copy or a touched file builds nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
import uuid
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gru_bench.data.readers import digest, named_path
from gru_bench.errors import RunError

_MANIFEST = "manifest.json"
_LEFTOVER_SECONDS = 24 * 3600
"""Age at which an unfinished folder is taken to belong to a process that was killed."""

_LARGE = 64 << 20
"""Bytes from which a file's digest is remembered, since reading it all would slow every start."""
_SETTLED_SECONDS = 2
"""A file younger than this may yet change without its time of change telling so."""


def default_cache() -> Path:
    """Return `GRU_BENCH_CACHE` where it is set, else the platform's place for a user's caches.

    Raises:
        UsageError: where a variable that is set names no folder.
    """
    for variable, below in (("GRU_BENCH_CACHE", ""), ("XDG_CACHE_HOME", "gru-bench")):
        if chosen := os.environ.get(variable):
            return named_path(chosen, f"the cache ({variable})") / below
    if sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"]) / "gru-bench" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "gru-bench"
    return Path.home() / ".cache" / "gru-bench"


def cached_folder(cache: Path, kind: str, key: str, build: Callable[[Path], None],
                  *, unchecked: tuple[str, ...] = ()) -> Path:
    """Return the whole folder `cache/kind/key`, which `build` fills where it is missing or damaged.

    Args:
        cache: root of all caches.
        kind: what the folder holds, such as `corpus`.
        key: names everything the content depends on.
        build: writes the content into the empty folder it is given.
        unchecked: endings of file names whose size is checked but not their content, because reading
            them would slow every start.

    Raises:
        RunError: where the folder cannot be written; what was begun is removed.
        Whatever `build` raises; what was begun is removed.
    """
    final = cache / kind / key
    if _is_whole(final, unchecked):
        return final
    begun = final.with_name(f".{key}.{uuid.uuid4().hex}.begun")
    try:
        begun.mkdir(parents=True)
        _remove_leftovers(final.parent)
        build(begun)
        _write_manifest(begun)
        _put(begun, final, unchecked)
    except OSError as error:
        # numpy reports a full disk without an error number: then its own words are all there is.
        reason = error.strerror or str(error)
        raise RunError(
            f"the cache must be writable, but {final.parent} is not: {reason}. Free some space there, or set "
            "GRU_BENCH_CACHE to a folder on another disk") from error
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    return final


def content_digest(path: Path, cache: Path) -> str:
    """Return the SHA-256 of a file's content; of a large file as remembered, while size and time are the same.

    Raises:
        DataError: where the file cannot be read.
    """
    try:
        status = path.stat()
    except OSError:
        return digest(path)
    if status.st_size < _LARGE:
        return digest(path)
    state = [str(path.resolve()), status.st_size, status.st_mtime_ns]
    note = cache / "digests" / f"{hashlib.sha256(str(state[0]).encode()).hexdigest()[:32]}.json"
    with suppress(OSError, ValueError, TypeError):
        *noted, remembered = json.loads(note.read_text(encoding="utf-8"))
        if noted == state:
            return str(remembered)
    found = digest(path)
    if time.time() - status.st_mtime > _SETTLED_SECONDS:
        # Not to be able to note it costs time at the next start and nothing else.
        with suppress(OSError):
            note.parent.mkdir(parents=True, exist_ok=True)
            begun = note.with_suffix(f".{uuid.uuid4().hex}")
            begun.write_text(json.dumps([*state, found]), encoding="utf-8")
            begun.replace(note)
    return found


def _put(begun: Path, final: Path, unchecked: tuple[str, ...]) -> None:
    """Rename `begun` to `final`, unless another process has put a whole one there meanwhile."""
    while True:
        try:
            begun.rename(final)
            return
        except OSError:
            if not final.exists():
                raise
        if _is_whole(final, unchecked):
            return
        damaged = begun.with_name(f".{final.name}.{uuid.uuid4().hex}.begun")
        try:
            final.rename(damaged)
        except FileNotFoundError:
            continue
        shutil.rmtree(damaged, ignore_errors=True)


def _write_manifest(folder: Path) -> None:
    files = {path.name: [path.stat().st_size, _checksum(path)] for path in sorted(folder.iterdir())}
    (folder / _MANIFEST).write_text(json.dumps(files), encoding="utf-8")


def _is_whole(folder: Path, unchecked: tuple[str, ...]) -> bool:
    try:
        files = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        return all(
            (folder / name).stat().st_size == size
            and (name.endswith(unchecked) or _checksum(folder / name) == checksum)
            for name, (size, checksum) in files.items())
    except (OSError, ValueError, AttributeError, TypeError):
        return False


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            checksum = zlib.crc32(block, checksum)
    return checksum


def _remove_leftovers(parent: Path) -> None:
    """Remove what processes that were killed while building have left."""
    for path in parent.glob(".*.begun"):
        try:
            old = time.time() - path.stat().st_mtime > _LEFTOVER_SECONDS
        except OSError:
            continue
        if old:
            shutil.rmtree(path, ignore_errors=True)
