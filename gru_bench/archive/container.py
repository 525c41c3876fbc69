"""The archive's container: a zip file of named members, compressed together. It is refused if any bit has changed.

`xz -dc STUDY.study > STUDY.zip` gives the zip file, whose members are stored uncompressed. Compressed together, runs
take a sixth: the ids and lengths of the same examples are in all of them. xz's own SHA-256 notices each changed bit.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import re
import shutil
import tempfile
import uuid
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import IO, Annotated, Any

from pydantic import BaseModel, Field

from gru_bench.errors import DataError, no_file, shown
from gru_bench.platforms import is_reserved, remove, replace
from gru_bench.tracking.artifacts import MORE, factor

KIND = "gru-bench archive"
VERSION = 5
MANIFEST = "manifest.json"
MOST_MANIFEST_BYTES = 1 << 20
MOST_NAME = 1_000
BLOCK = 1 << 20
MOST_GROWTH = 200
"""Most times as many bytes as an archive that its zip file may have; those of real studies have up to 20."""
_MEMORY = 256 << 20
_COMPRESSION = [{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": 8 << 20}]
"""Fast, and with a window of many runs."""
_PART = re.compile(r'[^\x00-\x1f\x7f/\\:*?"<>|]{1,255}')
_BROKEN = (lzma.LZMAError, zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, OSError, ValueError, KeyError,
           IndexError, TypeError, NotImplementedError, RuntimeError, OverflowError, MemoryError)
"""Exceptions that Python's readers and pydantic raise for damaged bytes."""


class _Manifest(BaseModel):
    kind: str
    version: Annotated[int, Field(ge=1, strict=True)]


@contextmanager
def packed(path: Path, about: Mapping[str, Any]) -> Iterator[Callable[[str, bytes], None]]:
    """Write an archive: the context gets a function that adds a member.

    The archive is written next to `path`, and moved there when the context ends without an error.

    Args:
        path: The file.
        about: Description of the archive, for people who look into it.

    Raises:
        DataError: A member has a name that some systems cannot unpack.
        OSError: The file cannot be written.
    """
    begun = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with (lzma.open(begun, "wb", check=lzma.CHECK_SHA256, filters=_COMPRESSION) as file,
              zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive):
            def add(name: str, content: bytes) -> None:
                entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
                entry.external_attr = 0o600 << 16
                archive.writestr(entry, content)

            add(MANIFEST, json.dumps({"kind": KIND, "version": VERSION, "about": dict(about)}, indent=1).encode())
            yield add
            if wrong := _wrong_names(archive.namelist()):
                raise DataError(f"an archive must be readable on every system, but {wrong}: log it under another name")
        replace(begun, path)
    finally:
        remove(begun)


def is_archive(path: Path) -> bool:
    """Return whether a file begins as an archive does, with its description."""
    try:
        with lzma.open(path, "rb") as file:
            begin = file.read(1024)
    except (lzma.LZMAError, EOFError):
        return False
    return begin.startswith(b"PK\x03\x04") and f'"kind": "{KIND}"'.encode() in begin


def unpack(path: Path, folder: Path, names: re.Pattern[str]) -> str:
    """Check an archive, write its members below `folder`, and return the digest that identifies it.

    Nothing is written if a bit of it has changed, or a member has a wrong name or size.

    Args:
        path: The archive.
        folder: The folder.
        names: What the names of its members must match.

    Raises:
        UsageError: The file does not exist.
        DataError: The file is damaged, incomplete or not an archive.
        OSError: A member cannot be written.
    """
    if not path.is_file():
        raise no_file(path)
    with tempfile.TemporaryFile(dir=folder) as whole:
        with _wrapped_errors(path, "it cannot be decompressed, perhaps because it is truncated"):
            digest = _decompress(path, whole, shutil.disk_usage(folder).free // 2)
        with _wrapped_errors(path, "its list of members cannot be read"), zipfile.ZipFile(whole) as archive:
            entries = _entries(path, archive, whole.seek(0, 2))
            _check_manifest(path, archive)
            entries = [entry for entry in entries if entry.filename != MANIFEST]
            if strange := next((entry.filename for entry in entries if not names.fullmatch(entry.filename)), ""):
                raise _damaged(path, f"its member {shown(strange)} is not one that an export writes")
            archive.extractall(folder, entries)
    return digest


def _decompress(path: Path, whole: IO[bytes], room: int) -> str:
    """Write the zip file of an archive of at most `room` bytes to `whole`, and return the SHA-256 of the archive."""
    stream, digest = lzma.LZMADecompressor(lzma.FORMAT_XZ, _MEMORY), hashlib.sha256()
    most = int(path.stat().st_size * MOST_GROWTH * factor())
    with path.open("rb") as file:
        if file.read(2) == b"PK":
            raise _earlier(path, VERSION - 1)
        file.seek(0)
        while not stream.eof:
            block = file.read(BLOCK) if stream.needs_input else b""
            if stream.needs_input and not block:
                raise EOFError
            digest.update(block)
            if whole.tell() + len(part := stream.decompress(block, BLOCK)) > most:
                raise _damaged(path, f"its content is more than {MOST_GROWTH} times as large; {MORE}")
            if whole.tell() + len(part) > room:
                raise DataError(f"not enough disk space to unpack {path} ({room:,} bytes): free some")
            whole.write(part)
        if stream.unused_data or file.read(1):
            raise _damaged(path, "bytes follow its end")
    return digest.hexdigest()


def _entries(path: Path, archive: zipfile.ZipFile, size: int) -> list[zipfile.ZipInfo]:
    """Return the members, after checking that they can be read safely.

    Raises:
        DataError: A member is compressed or has a wrong name, or the sizes add up to more than the file has.
    """
    entries = archive.infolist()
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size or entry.flag_bits & 1:
            raise _damaged(path, f"its member {shown(entry.filename)} is compressed or encrypted, which an export "
                                 "never is")
    if wrong := _wrong_names(entry.filename for entry in entries):
        raise _damaged(path, wrong)
    total = sum(entry.file_size for entry in entries)
    if total > size:
        raise _damaged(path, f"its members claim {total:,} bytes and its zip file has {size:,}")
    return entries


def _check_manifest(path: Path, archive: zipfile.ZipFile) -> None:
    if MANIFEST not in archive.namelist():
        raise _damaged(path, f"its member {MANIFEST} is missing")
    if (size := archive.getinfo(MANIFEST).file_size) > (most := int(MOST_MANIFEST_BYTES * factor())):
        raise _damaged(path, f"its {MANIFEST} claims {size:,} bytes, more than {most:,}; {MORE}")
    with _wrapped_errors(path, f"its member {MANIFEST} is damaged"):
        found = _Manifest.model_validate_json(archive.read(MANIFEST))
    if found.kind != KIND:
        raise _damaged(path, f"it is not a {KIND}")
    if found.version < VERSION:
        raise _earlier(path, found.version)
    if found.version > VERSION:
        raise DataError(f"{path} must be of version {VERSION}, but is of version "
                        f"{found.version}: pip install --upgrade gru-bench")


@contextmanager
def _wrapped_errors(path: Path, what: str) -> Iterator[None]:
    """Turn errors of the zip and JSON readers inside the context into DataError; `what` says what is damaged."""
    try:
        yield
    except _BROKEN as error:
        if isinstance(error, OSError) and (error.errno in (ENOSPC, EDQUOT) or (
                error.errno is not None and error.filename is not None)):
            raise  # an error of the system, such as no space or no permission, and not of the archive
        raise _damaged(path, what) from error


def _wrong_names(names: Iterable[str]) -> str:
    """Return a sentence on the first name that cannot be unpacked safely on every system; empty if there is none."""
    seen: set[str] = set()
    for name in names:
        parts = name.split("/")
        if len(name) > MOST_NAME or not all(_PART.fullmatch(part) for part in parts) or {".", ".."} & set(parts):
            return f"its member {shown(name)} has a name that is not a path below a folder"
        if any(is_reserved(part) or part != part.rstrip(". ") for part in parts):
            return f"its member {shown(name)} has a name that some systems do not accept"
        if name.casefold() in seen:
            return f"its member {shown(name)} is there twice, or differs from another only in upper and lower case"
        seen.add(name.casefold())
    for name in seen:
        above, slash, _ = name.rpartition("/")
        while slash:
            if above in seen:
                return f"its member {shown(above)} is both a file and a folder"
            above, slash, _ = above.rpartition("/")
    return ""


def _earlier(path: Path, version: int) -> DataError:
    return DataError(f"{path} has format version {version}, from an earlier gru-bench, but this one reads version "
                     f"{VERSION}: import it with the gru-bench that exported it, or run the study again with this one")


def _damaged(path: Path, what: str) -> DataError:
    return DataError(f"{path} is damaged: {what}. Copy it again, or export the study again")
