"""The archive's container: one zip file of named members. It is refused if any bit of it has changed.

The members are stored uncompressed: any zip tool opens the file, and no member can grow when it is unpacked.
`manifest.json` holds the size and SHA-256 of each member. The comment at the end of the file holds the SHA-256 of all
bytes before it. So every changed bit is noticed. If the bit is in a member, the error names that member.

Everything in the file is checked before it is used: names stay below the folder that the file is unpacked to, and the
sizes add up to no more than the size of the file.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO

from pydantic import BaseModel, ConfigDict, Field

from gru_bench.errors import DataError, UsageError, shown
from gru_bench.platforms import is_reserved, remove, replace
from gru_bench.tracking.artifacts import MORE, factor

KIND = "gru-bench archive"
VERSION = 4
MANIFEST = "manifest.json"
MOST_MANIFEST_BYTES = 256 << 20
MOST_NAME = 1_000
BLOCK = 1 << 20
SEAL = b"sha256:"
_HEX = 64
_PART = re.compile(r'[^\x00-\x1f\x7f/\\:*?"<>|]{1,255}')
_BROKEN = (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, OSError, ValueError, KeyError, IndexError, TypeError,
           NotImplementedError, RuntimeError, OverflowError, MemoryError)
"""Exceptions that Python's zip reader and pydantic raise for damaged bytes."""


class _Member(BaseModel):
    model_config = ConfigDict(strict=True)
    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _File(BaseModel):
    model_config = ConfigDict(strict=True)
    kind: str
    version: Annotated[int, Field(ge=1)]
    about: dict[str, Any]
    members: dict[str, _Member]


@dataclass(frozen=True)
class Manifest:
    """The manifest of an archive."""

    about: Mapping[str, Any]
    """Description of the archive, from its writer."""
    sizes: Mapping[str, int]
    """Member -> bytes."""
    digests: Mapping[str, str]
    """Member -> SHA-256."""

    @property
    def content(self) -> str:
        """SHA-256 over all members, which identifies the content of the archive."""
        lines = "".join(f"{name} {self.digests[name]}\n" for name in sorted(self.digests))
        return hashlib.sha256(lines.encode()).hexdigest()


def pack(path: Path, folder: Path, about: Mapping[str, Any]) -> Manifest:
    """Write an archive of all files below `folder` and return its manifest.

    The archive is written beside `folder`, which must be on the disk of `path`, and moved to `path` when it is
    complete.

    Raises:
        DataError: A file has a name that some systems cannot unpack.
        OSError: The file cannot be written.
    """
    files = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}
    wrong = _wrong_names(files)
    if wrong:
        raise DataError(f"an archive must open on every system, but {wrong}: log it under another name")
    sizes: dict[str, int] = {}
    digests: dict[str, str] = {}
    begun = folder.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        with zipfile.ZipFile(begun, "x", zipfile.ZIP_STORED) as archive:
            for name, file in files.items():
                digest = hashlib.sha256()
                with file.open("rb") as source, archive.open(_entry(name), "w", force_zip64=True) as target:
                    for block in _blocks(source):
                        digest.update(block)
                        target.write(block)
                sizes[name], digests[name] = file.stat().st_size, digest.hexdigest()
            text = json.dumps({
                "kind": KIND, "version": VERSION, "about": dict(about),
                "members": {name: {"bytes": sizes[name], "sha256": digests[name]} for name in files}}, indent=1)
            archive.writestr(_entry(MANIFEST), text)
            archive.comment = SEAL + b"0" * _HEX
        with begun.open("r+b") as whole:
            seal = _digest_before_seal(whole, begun.stat().st_size)
            whole.seek(-_HEX, 2)
            whole.write(seal.encode())
        replace(begun, path)
    finally:
        remove(begun)
    return Manifest(about, sizes, digests)


def unpack(path: Path, folder: Path) -> Manifest:
    """Check an archive, write its members below `folder`, and return its manifest.

    Nothing is written if the manifest is wrong.

    Raises:
        UsageError: The file does not exist.
        DataError: The file is damaged, incomplete or not an archive. The message names a damaged member.
        OSError: A member cannot be written.
    """
    if not path.is_file():
        raise UsageError(f"an archive must be a file, but there is none at {path}: check the path")
    unreadable = "its list of members cannot be read, perhaps because the end of the file is missing"
    with _wrapped_errors(path, unreadable), zipfile.ZipFile(path) as archive:
        entries = _entries(path, archive)
        manifest = _manifest(path, archive, entries)
        free, need = shutil.disk_usage(folder).free, sum(manifest.sizes.values())
        if need > free:
            raise DataError(f"there must be room to unpack {path}, but it takes {need:,} bytes and {folder} has "
                            f"{free:,}: free some, or set TMPDIR (on Windows TEMP) to a folder on another disk")
        for name, size in manifest.sizes.items():
            _extract(path, archive, entries[name], folder / name, size, manifest.digests[name])
    with path.open("rb") as file:
        size = path.stat().st_size
        right = SEAL + _digest_before_seal(file, size).encode()
        file.seek(size - len(right))
        if file.read() != right:
            raise _damaged(path, "bytes between its members have changed")
    return manifest


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.external_attr = 0o600 << 16
    return entry


def _entries(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the members by name, after checking that they can be read safely.

    Raises:
        DataError: A member is compressed or has a wrong name, or the sizes add up to more than the file has.
    """
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        if entry.filename in entries:
            raise _damaged(path, f"it holds {shown(entry.filename)} twice")
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size or entry.flag_bits & 1:
            raise _damaged(path, f"its member {shown(entry.filename)} is compressed or encrypted, which an export "
                                 "never is")
        entries[entry.filename] = entry
    wrong = _wrong_names(entries)
    if wrong:
        raise _damaged(path, wrong)
    size = path.stat().st_size
    total = sum(entry.file_size for entry in entries.values())
    if total > size:
        raise _damaged(path, f"its members claim {total:,} bytes and the whole file has {size:,}")
    return entries


def _manifest(path: Path, archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo]) -> Manifest:
    if MANIFEST not in entries:
        raise _damaged(path, f"its member {MANIFEST} is missing")
    if entries[MANIFEST].file_size > (most := int(MOST_MANIFEST_BYTES * factor())):
        raise _damaged(path, f"its {MANIFEST} claims {entries[MANIFEST].file_size:,} bytes, more than {most:,}; {MORE}")
    with _wrapped_errors(path, f"its member {MANIFEST} is damaged"):
        text = archive.read(entries[MANIFEST])
        found = _File.model_validate_json(text)
    sizes = {name: member.bytes for name, member in found.members.items()}
    digests = {name: member.sha256 for name, member in found.members.items()}
    if found.kind != KIND:
        raise _damaged(path, f"it is not a {KIND}")
    if found.version < VERSION:
        raise DataError(f"{path} must be of version {VERSION}, but is of version {found.version}, from an earlier "
                        "gru-bench that stored studies in another form: import it with the gru-bench that "
                        "exported it, or train the study again with this one")
    if found.version > VERSION:
        raise DataError(f"{path} must be of version {VERSION}, but is of version "
                        f"{found.version}: pip install --upgrade gru-bench")
    if missing := sorted(sizes.keys() - entries.keys()):
        raise _damaged(path, f"its member {shown(missing[0])} is missing" + _more(missing))
    if added := sorted(entries.keys() - sizes.keys() - {MANIFEST}):
        raise _damaged(path, f"its member {shown(added[0])} was not exported with it" + _more(added))
    for name, size in sizes.items():
        if entries[name].file_size != size:
            raise _damaged(path, f"its member {shown(name)} has {entries[name].file_size:,} bytes instead of {size:,}")
    return Manifest(found.about, sizes, digests)


def _extract(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, size: int, right: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, left = hashlib.sha256(), size
    what = f"its member {shown(entry.filename)} is damaged"
    with _wrapped_errors(path, what):
        source = archive.open(entry)
    with source, target.open("xb") as file:
        while left > 0:
            with _wrapped_errors(path, what):
                block = source.read(min(BLOCK, left))
            if not block:
                break
            left -= len(block)
            digest.update(block)
            file.write(block)
    if left or digest.hexdigest() != right:
        raise _damaged(path, what)


@contextmanager
def _wrapped_errors(path: Path, what: str) -> Iterator[None]:
    """Turn errors of the zip and JSON readers inside the context into DataError; `what` says what is damaged."""
    try:
        yield
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
            raise  # an error of the system, such as no space or no permission, and not of the archive
        raise _damaged(path, what) from error


def _wrong_names(names: Mapping[str, object]) -> str:
    """Return a sentence on the first name that cannot be unpacked safely on every system; empty if there is none."""
    seen: set[str] = set()
    for name in names:
        parts = name.split("/")
        if len(name) > MOST_NAME or not all(_PART.fullmatch(part) for part in parts) or {".", ".."} & set(parts):
            return f"its member {shown(name)} has a name that is not a path below a folder"
        if any(is_reserved(part) or part != part.rstrip(". ") for part in parts):
            return f"its member {shown(name)} has a name that some systems do not accept"
        if name.casefold() in seen:
            return f"its member {shown(name)} differs from another only in upper and lower case"
        seen.add(name.casefold())
    for name in seen:
        above, slash, _ = name.rpartition("/")
        while slash:
            if above in seen:
                return f"its member {shown(above)} is both a file and a folder"
            above, slash, _ = above.rpartition("/")
    return ""


def _damaged(path: Path, what: str) -> DataError:
    return DataError(f"an archive must be whole, but {path} is not: {what}. Copy it again from where it was exported, "
                     "or export the study again")


def _digest_before_seal(file: BinaryIO, size: int) -> str:
    digest, left = hashlib.sha256(), size - len(SEAL) - _HEX
    file.seek(0)
    while left > 0 and (block := file.read(min(BLOCK, left))):
        digest.update(block)
        left -= len(block)
    return digest.hexdigest()


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block


def _more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""
