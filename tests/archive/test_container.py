"""An archive is complete or refused: every bit, every cut, every wrong statement about a member is noticed."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gru_bench.archive.container import MANIFEST, VERSION, pack, unpack
from gru_bench.errors import DataError, UsageError
from tests.support.commands import mentions

FILES = {
    "runs.json": b'{"runs": []}',
    "artifacts/a1/predictions/test.parquet": bytes(range(256)) * 3,
    "artifacts/a1/empty": b"",
    "artifacts/b2/é.txt": "Grüße".encode(),
}
ABOUT = {"study": "quick", "runs": 2}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    for name, content in FILES.items():
        (folder / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "in" / name).write_bytes(content)
    pack(folder / "whole.zip", folder / "in", ABOUT)
    return folder / "whole.zip"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("opened")


def refusal(content: bytes, place: Path) -> str:
    """Write a damaged archive, and return what is said of it."""
    (place / "damaged.zip").write_bytes(content)
    shutil.rmtree(place / "out", ignore_errors=True)
    (place / "out").mkdir()
    with pytest.raises(DataError) as caught:
        unpack(place / "damaged.zip", place / "out")
    written = [path for path in place.rglob("*") if path.is_file() and place / "out" not in path.parents]
    assert written == [place / "damaged.zip"]  # nothing beside the folder it was given
    return str(caught.value)


def crafted(members: list[tuple[str, bytes]], manifest: dict[str, Any] | None = None, **kind: Any) -> bytes:
    """Return a zip file of these members and a manifest that fits them, unless another is given."""
    from hashlib import sha256

    fitting = {"kind": "gru-bench archive", "version": VERSION, "about": {}, "members": {
        name: {"bytes": len(content), "sha256": sha256(content).hexdigest()} for name, content in members}}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **kind) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=kind.get("compression"))
        archive.writestr(MANIFEST, json.dumps(fitting | (manifest or {})), compress_type=zipfile.ZIP_STORED)
    return buffer.getvalue()


def test_what_was_packed_is_unpacked(whole: Path, tmp_path: Path) -> None:
    manifest = unpack(whole, tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in manifest.sizes} == FILES
    assert manifest.about == ABOUT
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == len(FILES)


def test_an_archive_is_a_plain_zip(whole: Path) -> None:
    with zipfile.ZipFile(whole) as archive:
        assert archive.testzip() is None
        assert {*FILES, MANIFEST} == set(archive.namelist())


def test_the_same_content_has_the_same_digest(whole: Path, tmp_path: Path) -> None:
    manifest = unpack(whole, tmp_path)
    again = pack(tmp_path.parent / "again.zip", tmp_path, {"study": "another note"})
    assert again.content == manifest.content
    (tmp_path / "runs.json").write_bytes(b"{}")
    assert pack(tmp_path.parent / "other.zip", tmp_path, ABOUT).content != manifest.content


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


@settings(max_examples=40, deadline=None)
@given(lie=st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
                        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner,
                                                                                     max_size=3)),
       key=st.sampled_from(["kind", "version", "about", "members"]))
def test_a_manifest_of_another_form_is_refused(place: Path, lie: object, key: str) -> None:
    refusal(crafted([("runs.json", b"{}")], {key: lie}), place)


def test_a_damaged_member_is_named(whole: Path, place: Path) -> None:
    content = whole.read_bytes()
    start = content.index(bytes(range(256)))
    damaged = content[:start] + b"\xff" + content[start + 1:]
    assert "its member 'artifacts/a1/predictions/test.parquet' is damaged" in refusal(damaged, place)


def test_a_member_of_another_digest_than_the_manifest_says_is_named(place: Path) -> None:
    members = {"a": {"bytes": 3, "sha256": "0" * 64}}
    mentions(refusal(crafted([("a", b"abc")], {"members": members}), place), "member 'a'", "damaged")


def test_a_missing_and_an_added_member_are_named(place: Path) -> None:
    members = [("runs.json", b"{}"), ("metrics.parquet", b"PAR1")]
    held = json.loads(zipfile.ZipFile(io.BytesIO(crafted(members))).read(MANIFEST))["members"]
    assert "'metrics.parquet' is missing" in refusal(crafted(members[:1], {"members": held}), place)
    assert "'evil.so' was not exported with it" in refusal(
        crafted([*members, ("evil.so", b"")], {"members": held}), place)


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
    with pytest.raises(DataError, match="bytes between its members"):  # crafted files have no seal
        unpack(tmp_path / "a.zip", tmp_path / "out")


@pytest.mark.parametrize("version", [-1, 0, "2", True, 2.0])
def test_a_version_that_is_no_positive_number_is_refused(place: Path, version: object) -> None:
    assert "manifest.json is damaged" in refusal(crafted([("runs.json", b"{}")], {"version": version}), place)


def test_names_that_exclude_each_other_are_refused(place: Path) -> None:
    assert "upper and lower case" in refusal(crafted([("A/b", b""), ("a/B", b"")]), place)
    assert "is both a file and a folder" in refusal(crafted([("a", b""), ("a/b", b"")]), place)
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = crafted([("a", b"1"), ("a", b"1")])
    assert "holds 'a' twice" in refusal(twice, place)


def test_compressed_and_overlapping_members_are_refused(place: Path) -> None:
    bomb = crafted([("zeros", bytes(1 << 20))], compression=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 10_000
    assert "'zeros' is compressed" in refusal(bomb, place)
    # Two members over the same bytes: together they claim more than the file has.
    content = bytearray(crafted([("a", bytes(4000)), ("b", bytes(4000))]))
    for at in (content.find(b"PK\x01\x02"), content.find(b"PK\x01\x02", content.find(b"PK\x01\x02") + 1)):
        content[at + 20:at + 28] = (8000).to_bytes(4, "little") * 2
    assert "claim 16," in refusal(bytes(content), place)


@pytest.mark.parametrize(("version", "remedy"), [
    (VERSION + 1, "pip install --upgrade gru-bench"), (VERSION - 1, "import it with the gru-bench that exported it")])
def test_another_version_is_refused_with_a_remedy(place: Path, version: int, remedy: str) -> None:
    told = refusal(crafted([("runs.json", b"{}")], {"version": version}), place)
    mentions(told, f"version {VERSION}", f"version {version}", remedy)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.zip"):
        unpack(tmp_path / "none.zip", tmp_path)


def test_an_export_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a:b").write_bytes(b"")
    with pytest.raises(DataError, match="'a:b'"):
        pack(tmp_path / "out.zip", tmp_path / "in", {})
    assert not list(tmp_path.glob("out*"))
