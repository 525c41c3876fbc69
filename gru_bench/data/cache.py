"""Cache folders for token ids and word vectors: each is built once and then only read.

A folder is written beside its final place and renamed when it is complete. So no process sees a half-written folder,
and two processes may build the same one at once: the first to finish wins, the other discards its own. A manifest of
sizes and checksums is written last. A folder that does not match its manifest is damaged and is built again.

The key of a folder depends on the content of its source files. So copying or touching a file builds nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
import uuid
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gru_bench.data.files import digest, named_path
from gru_bench.errors import RunError
from gru_bench.platforms import cache_folder, patiently, processes_using, remove, replace

_MANIFEST = "manifest.json"
_LEFTOVER_SECONDS = 24 * 3600
"""Age in seconds from which an unfinished folder is assumed to come from a killed process."""

_REBUILT = {"corpus": r"[0-9a-f]{32}", "vectors": r"[0-9a-f]{32}", "baselines": r"\d+-[0-9a-f]{32}",
            "digests": r"[0-9a-f]{32}\..+"}
"""Folder below the root -> names of what it holds. All of it is built again when it is needed."""

CHECKPOINTS = "checkpoints"
"""Folder below the root that holds the checkpoints of runs that have not ended."""

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


def cached_folder(cache: Path, kind: str, key: str, build: Callable[[Path], None],
                  *, unchecked: tuple[str, ...] = ()) -> Path:
    """Return the folder `cache/kind/key`, and build it first if it is missing or damaged.

    Args:
        cache: Root folder of all caches.
        kind: Kind of content, such as `corpus`.
        key: Text that identifies everything the content depends on.
        build: Function that writes the content into the empty folder that it is given.
        unchecked: Endings of file names whose size alone is checked, because reading these files would slow every
            start.

    Raises:
        RunError: where the folder cannot be written. The unfinished folder is removed.
        Exception: any error of `build`. The unfinished folder is removed.
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
        # numpy reports a full disk without an error number: then its own message is all there is.
        reason = error.strerror or str(error)
        raise RunError(
            f"the cache must be writable, but {final.parent} is not: {reason}. Free some space there, or set "
            "GRU_BENCH_CACHE to a folder on another disk") from error
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    return final


def sizes(cache: Path) -> dict[str, int]:
    """Return kind -> bytes on disk of what is built again when it is needed. Symbolic links are not followed."""
    return {kind: sum(map(size_of, _entries(cache, kind))) for kind in _REBUILT}


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
    for kind in _REBUILT:
        for path in _entries(cache, kind):
            size = size_of(path)
            try:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    remove(path)
            except OSError as error:
                raise RunError(f"{path} must be removed, but cannot be: {error.strerror or error}. End what uses it, "
                               "or remove it by hand") from error
            freed += size
    return freed


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder. Symbolic links are not followed."""
    total = 0
    with suppress(OSError):  # what another process removes meanwhile takes no space
        total = path.lstat().st_size if path.is_symlink() or not path.is_dir() else 0
        if not path.is_symlink() and path.is_dir():
            total += sum(map(size_of, path.iterdir()))
    return total


def _entries(cache: Path, kind: str) -> list[Path]:
    """Return what this module has put into the folder of a kind, without unfinished folders that are not old."""
    parent = cache / kind
    if parent.is_symlink() or not parent.is_dir():
        return []
    begun = [path for path in _leftovers(parent) if not path.is_symlink() and path.is_dir()]
    return sorted(begun + [path for path in parent.iterdir() if not path.is_symlink()
                           and re.fullmatch(_REBUILT[kind], path.name) and path.is_dir() == (kind != "digests")])


def content_digest(path: Path, cache: Path) -> str:
    """Return the SHA-256 of the content of a file.

    The digest of a large file is stored and used again while the size and the modification time stay the same.

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
        # If this fails, the next start is slower, and nothing else happens.
        with suppress(OSError):
            note.parent.mkdir(parents=True, exist_ok=True)
            begun = note.with_suffix(f".{uuid.uuid4().hex}")
            begun.write_text(json.dumps([*state, found]), encoding="utf-8")
            replace(begun, note)
    return found


def _put(begun: Path, final: Path, unchecked: tuple[str, ...]) -> None:
    """Rename `begun` to `final`, unless another process has put a complete folder there in the meantime."""
    while True:
        try:
            patiently(lambda: _rename(begun, final))
            return
        except OSError:
            if not final.exists():
                raise
        if _is_whole(final, unchecked):
            return
        damaged = begun.with_name(f".{final.name}.{uuid.uuid4().hex}.begun")
        try:
            replace(final, damaged)
        except FileNotFoundError:
            continue
        shutil.rmtree(damaged, ignore_errors=True)


def _rename(begun: Path, final: Path) -> None:
    try:
        begun.rename(final)
    except PermissionError as error:
        if final.exists():  # which Windows reports in this way
            raise FileExistsError(*error.args) from None
        raise


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
    """Remove the unfinished folders of processes that were killed while building."""
    for path in _leftovers(parent):
        shutil.rmtree(path, ignore_errors=True)


def _leftovers(parent: Path) -> list[Path]:
    """Return the unfinished folders that are so old that no process can still be building them."""
    found = []
    for path in parent.glob(".*.begun"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _LEFTOVER_SECONDS:
                found.append(path)
    return found
