"""Pickles of reviews are read, and anything that could run code is refused."""

from __future__ import annotations

import collections
import io
import os
import pickle
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from gru_bench.data.columns import Columns
from gru_bench.data.pickles import Unpickler
from gru_bench.errors import DataError
from tests.support.files import gzipped, read_rows, write

PAIR = [{"books": [["a", "fine", "read"], ["good"]], "films": [["bravo"]]}, {"books": [["dull"], []]},
        ["a", "bravo"]]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_the_pickle_of_the_homework_becomes_rows(tmp_path: Path, protocol: int) -> None:
    path = write(tmp_path / ("a.pkl" if protocol % 2 else "a.tar.gz"), pickle.dumps(PAIR, protocol))
    rows = read_rows(path, Columns())
    assert rows.tokens_N == [["a", "fine", "read"], ["good"], ["bravo"], ["dull"], []]
    assert rows.text_N == ["a fine read", "good", "bravo", "dull", ""]
    assert rows.label_N.tolist() == [1, 1, 1, 0, 0]
    assert rows.category_N == ["books", "books", "films", "books", "books"]


def test_text_that_python_2_wrote_as_bytes_is_read_as_latin1(tmp_path: Path) -> None:
    # `[{"b": [["caf\xe9"]]}, {"b": [["x"]]}, []]` as Python 2 pickles it at protocol 0: byte strings.
    content = (b"(lp0\n(dp1\nS'b'\np2\n(lp3\n(lp4\nS'caf\\xe9'\np5\naassa"
               b"(dp6\ng2\n(lp7\n(lp8\nS'x'\np9\naassa(lp10\na.")
    content = content.replace(b"aassa", b"aasa")
    rows = read_rows(gzipped(tmp_path / "a.tar.gz", content), Columns())
    assert rows.tokens_N == [["caf\u00e9"], ["x"]]
    # The same by the opcode SHORT_BINSTRING, at protocol 2.
    content = (b"\x80\x02]q\x00(}q\x01U\x01b]q\x02]q\x03U\x04caf\xe9aas}q\x04U\x01b]q\x05]q\x06U\x01xaas]e.")
    rows = read_rows(gzipped(tmp_path / "b.tar.gz", content), Columns())
    assert rows.tokens_N == [["caf\u00e9"], ["x"]]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_sets_strings_and_numbers_are_built(protocol: int) -> None:
    value = [{"a": (1, 2.5, None, True, 10**30)}, [], "x"]
    assert Unpickler(io.BytesIO(pickle.dumps(value, protocol))).load() == value
    for vocabulary in ({"a", "b"}, frozenset("ab")):
        assert Unpickler(io.BytesIO(pickle.dumps(vocabulary, protocol, fix_imports=False))).load() == vocabulary


class Harmful:
    """Pickled as a call of `function`."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def calls(folder: Path) -> Iterator[tuple[object, str]]:
    ran = str(folder / "ran")
    yield Harmful(os.mkdir, ran), f"{os.mkdir.__module__}.mkdir"
    yield Harmful(os.system, f"mkdir {ran}"), f"{os.system.__module__}.system"
    yield Harmful(exec, f"import os; os.mkdir({ran!r})"), "builtins.exec"
    yield Harmful(eval, f"__import__('os').mkdir({ran!r})"), "builtins.eval"
    yield Harmful(getattr, "x", "upper"), "builtins.getattr"
    yield Path("x"), "pathlib"
    yield collections.OrderedDict(a=1), "collections.OrderedDict"
    yield np.zeros(2), "numpy"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_call_or_a_class_is_refused_by_name_and_nothing_runs(tmp_path: Path, protocol: int) -> None:
    for harmful, name in calls(tmp_path):
        content = pickle.dumps([{"books": [[harmful]]}, {}, []], protocol, fix_imports=False)
        path = gzipped(tmp_path / "a.tar.gz", content)
        with pytest.raises(DataError, match=rf"a\.tar\.gz: .*{name}.*do not trust this file"):
            read_rows(path, Columns())
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.gz"]


@pytest.mark.parametrize("content", [
    b"cos\nsystem\n(S'mkdir ran'\ntR.",
    b"(S'mkdir ran'\nios\nsystem\n.",
    b"\x80\x02cnt\nsystem\n(X\x09\x00\x00\x00mkdir rantR.",
    b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x09mkdir ran\x85R.",
    b"\x80\x02c__builtin__\neval\n(X\x01\x00\x00\x001tR.",
    b"(c__builtin__\nset\nocos\nsystem\n.",
])
def test_hand_written_calls_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"names \w+\.(system|eval)"):
        read_rows(gzipped(tmp_path / "a.pkl.gz", content), Columns())
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [
    b"Psecret\n.",
    b"\x80\x02\x82\x07.",
    b"\x80\x02]}X\x06\0\0\0appendK\x01sb.",
    b"\x80\x02c__builtin__\nset\n}X\x03\0\0\0addK\x01sb.",
    b"\x80\x02c__builtin__\nset\nN}X\x03\0\0\0addK\x01s\x86b.",
], ids=["outside object", "extension", "state of a list", "state of set", "slots of set"])
def test_references_outside_and_states_of_objects_are_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"a\.pkl .*pickle of reviews"):
        read_rows(write(tmp_path / "a.pkl", content), Columns())
    assert callable(set().add)


@pytest.mark.parametrize("content", [b"no pickle at all", b"\x80\x02.", b"\x80\x63]", b"]a.", b"\x80\x02]q\x00",
                                     b"]p4611686018427387904\n."])
def test_a_file_that_is_no_pickle_is_refused(tmp_path: Path, content: bytes) -> None:
    path = gzipped(tmp_path / "a.pkl.gz", content)
    with pytest.raises(DataError, match=r"a\.pkl\.gz .*(pickle of reviews|whole)"):
        read_rows(path, Columns())


def test_a_tar_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    (tmp_path / "inside.pkl").write_bytes(pickle.dumps(PAIR))
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tmp_path / "inside.pkl", "inside.pkl")
    with pytest.raises(DataError, match=r"a\.tar\.gz .*tar archive: unpack"):
        read_rows(path, Columns())


@pytest.mark.parametrize(("content", "found"), [
    ({}, r"dict"), ([{}, {}], r"list of 2"), ([[], {}, []], r"positive half.*list"),
    ([{}, "x", []], r"negative half.*str"), ([{"a": "words"}, {}, []], r"positive.*'a'.*str"),
    ([{1: []}, {}, []], r"positive.* 1 .*list"), ([{"a": [["x"], "a text"]}, {}, []], r"review 2 of positive.*'a'"),
    ([{}, {"a": [["x", 3]]}, []], r"review 1 of negative.*'a'"),
])
def test_a_pickle_of_another_structure_is_refused(tmp_path: Path, content: object, found: str) -> None:
    path = gzipped(tmp_path / "a.tar.gz", pickle.dumps(content, 2))
    with pytest.raises(DataError, match=rf"\[positive, negative, vocabulary\].*but.*{found}"):
        read_rows(path, Columns())


def test_a_pickle_without_reviews_is_refused(tmp_path: Path) -> None:
    path = gzipped(tmp_path / "a.tar.gz", pickle.dumps([{"a": []}, {}, []], 2))
    with pytest.raises(DataError, match=r"a\.tar\.gz .*empty"):
        read_rows(path, Columns())
