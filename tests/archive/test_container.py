"""An archive is complete or refused: every bit, every cut, every wrong statement about a member is noticed."""

from __future__ import annotations

import io
import json
import lzma
import re
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gru_bench.archive.container import MANIFEST, MOST_GROWTH, VERSION, packed, unpack
from gru_bench.errors import DataError, UsageError
from tests.support.commands import mentions

FILES = {
    "runs.json": b'{"runs": []}',
    "artifacts/a1/predictions/test.parquet": bytes(range(256)) * 3,
    "artifacts/a1/empty": b"",
    "artifacts/b2/é.txt": "Grüße".encode(),
}
ABOUT = {"study": "quick", "runs": 2}
ANY = re.compile(".+")


def pack(path: Path, files: dict[str, bytes]) -> Path:
    with packed(path, ABOUT) as add:
        for name, content in files.items():
            add(name, content)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(tmp_path_factory.mktemp("packed") / "whole.zip", FILES)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("opened")


def refusal(content: bytes, place: Path) -> str:
    """Write a damaged archive, and return what is said of it."""
    (place / "damaged.zip").write_bytes(content)
    shutil.rmtree(place / "out", ignore_errors=True)
    (place / "out").mkdir()
    with pytest.raises(DataError) as caught:
        unpack(place / "damaged.zip", place / "out", ANY)
    written = [path for path in place.rglob("*") if path.is_file() and place / "out" not in path.parents]
    assert written == [place / "damaged.zip"]  # nothing beside the folder it was given
    return str(caught.value)


def crafted(members: list[tuple[str, bytes]], manifest: dict[str, Any] | None = None, **kind: Any) -> bytes:
    """Return an archive of these members and a manifest."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **kind) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=kind.get("compression"))
        archive.writestr(MANIFEST, json.dumps({"kind": "gru-bench archive", "version": VERSION, **(manifest or {})}),
                         compress_type=zipfile.ZIP_STORED)
    return lzma.compress(buffer.getvalue())


def test_what_was_packed_is_unpacked(whole: Path, tmp_path: Path) -> None:
    unpack(whole, tmp_path, ANY)
    assert {path.relative_to(tmp_path).as_posix(): path.read_bytes()
            for path in tmp_path.rglob("*") if path.is_file()} == FILES


def test_an_archive_is_a_compressed_zip(whole: Path) -> None:
    with lzma.open(whole) as content, zipfile.ZipFile(content) as archive:
        assert archive.testzip() is None
        assert {*FILES, MANIFEST} == set(archive.namelist())


def test_the_same_content_has_the_same_digest(whole: Path, tmp_path: Path) -> None:
    again, other = pack(tmp_path / "again.zip", FILES), pack(tmp_path / "other.zip", {**FILES, "runs.json": b"{}"})
    digests = [unpack(file, Path(tempfile.mkdtemp(dir=tmp_path)), ANY) for file in (whole, again, other)]
    assert digests[0] == digests[1] != digests[2]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_changed_bit_is_noticed(whole: Path, place: Path, data: st.DataObject) -> None:
    content = bytearray(whole.read_bytes())
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    assert "damaged.zip" in refusal(bytes(content), place)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_every_missing_or_moved_part_is_noticed(whole: Path, place: Path, data: st.DataObject) -> None:
    content = whole.read_bytes()
    start, end = sorted((data.draw(st.integers(0, len(content))), data.draw(st.integers(0, len(content)))))
    if start < end:
        refusal(content[:start] + content[end:], place)
        refusal(content[:end] + content[start:], place)
    refusal(content[:min(start, len(content) - 1)], place)


@settings(max_examples=40, deadline=None)
@given(content=st.binary(max_size=400))
def test_bytes_that_are_no_archive_are_refused(place: Path, content: bytes) -> None:
    refusal(content, place)
    refusal(b"PK\x03\x04" + content, place)
    refusal(lzma.compress(content), place)


@settings(max_examples=40, deadline=None)
@given(lie=st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
                        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner,
                                                                                     max_size=3)),
       key=st.sampled_from(["kind", "version"]))
def test_a_manifest_of_another_form_is_refused(place: Path, lie: object, key: str) -> None:
    refusal(crafted([("runs.json", b"{}")], {key: lie}), place)


def test_bytes_after_an_archive_are_refused(whole: Path, place: Path) -> None:
    assert "bytes follow its end" in refusal(whole.read_bytes() + bytes(4), place)
    assert "bytes follow its end" in refusal(whole.read_bytes() * 2, place)


def test_what_grows_too_much_is_refused(place: Path) -> None:
    assert f"more than {MOST_GROWTH} times" in refusal(crafted([("zeros", bytes(8 << 20))]), place)


def test_an_archive_of_an_earlier_version_was_a_zip_file(place: Path) -> None:
    mentions(refusal(lzma.decompress(crafted([("runs.json", b"{}")])), place), f"version {VERSION - 1}",
             "run the study again")


def test_a_member_of_another_name_than_those_wanted_is_refused_before_anything_is_written(
    whole: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"its member 'artifacts/b2/é\.txt'"):
        unpack(whole, tmp_path, re.compile(r"runs\.json|artifacts/a1/.+"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [
    "../outside", "a/../../outside", "/etc/passwd", "a//b", "./a", "a/.", "C:/windows", "a\\..\\b", "a\nb", "a/",
    "~" * 300, "a/" * 600 + "b", "nul\x7f", "what?",
])
def test_a_name_that_leaves_the_folder_is_refused(place: Path, name: str) -> None:
    assert "not a path below a folder" in refusal(crafted([(name, b"x")]), place)


@pytest.mark.parametrize("name", [
    "CON", "a/aux.txt", "nul.tar.gz", "com1", "LPT9.x", "runs.json.", "a /b", "Com¹", "CONIN$", "con .txt"])
def test_a_name_that_some_systems_do_not_take_is_refused(place: Path, name: str) -> None:
    assert "some systems" in refusal(crafted([(name, b"x")]), place)


def test_a_name_that_only_begins_like_that_of_a_device_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "a.zip").write_bytes(crafted([("console.txt", b"x")]))
    unpack(tmp_path / "a.zip", tmp_path / "out", ANY)
    assert (tmp_path / "out" / "console.txt").read_bytes() == b"x"


@pytest.mark.parametrize("version", [-1, 0, "2", True, 2.0])
def test_a_version_that_is_no_positive_number_is_refused(place: Path, version: object) -> None:
    assert "manifest.json is damaged" in refusal(crafted([("runs.json", b"{}")], {"version": version}), place)


def test_names_that_exclude_each_other_are_refused(place: Path) -> None:
    assert "upper and lower case" in refusal(crafted([("A/b", b""), ("a/B", b"")]), place)
    assert "is both a file and a folder" in refusal(crafted([("a", b""), ("a/b", b"")]), place)
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = crafted([("a", b"1"), ("a", b"1")])
    assert "'a' is there twice" in refusal(twice, place)


def test_compressed_and_overlapping_members_are_refused(place: Path) -> None:
    bomb = crafted([("zeros", bytes(1 << 20))], compression=zipfile.ZIP_DEFLATED)
    assert "'zeros' is compressed" in refusal(bomb, place)
    # Two members over the same bytes: together they claim more than the file has.
    content = bytearray(lzma.decompress(crafted([("a", bytes(4000)), ("b", bytes(4000))])))
    for at in (content.find(b"PK\x01\x02"), content.find(b"PK\x01\x02", content.find(b"PK\x01\x02") + 1)):
        content[at + 20:at + 28] = (8000).to_bytes(4, "little") * 2
    assert "claim 16," in refusal(lzma.compress(content), place)


@pytest.mark.parametrize(("version", "remedy"), [
    (VERSION + 1, "pip install --upgrade gru-bench"), (VERSION - 1, "import it with the gru-bench that exported it")])
def test_another_version_is_refused_with_a_remedy(place: Path, version: int, remedy: str) -> None:
    told = refusal(crafted([("runs.json", b"{}")], {"version": version}), place)
    mentions(told, f"version {VERSION}", f"version {version}", remedy)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.zip"):
        unpack(tmp_path / "none.zip", tmp_path, ANY)


def test_an_export_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'a:b'"):
        pack(tmp_path / "out.zip", {"a:b": b""})
    assert not list(tmp_path.iterdir())
