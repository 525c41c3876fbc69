"""Pickles of reviews are read, and anything that could run code or take for ever is refused."""

from __future__ import annotations

import collections
import io
import os
import pickle
import pickletools
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from gru_bench.data import limits
from gru_bench.data.columns import Columns
from gru_bench.data.limits import Budget
from gru_bench.data.pickles import Unpickler, unpickled
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
    vocabulary = {"a", "b"}
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


def test_references_outside_the_pickle_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="outside object: do not trust"):
        read_rows(gzipped(tmp_path / "a.pkl.gz", b"Psecret\n."), Columns())
    with pytest.raises(DataError, match=r"b\.pkl\.gz .*pickle of reviews"):
        read_rows(gzipped(tmp_path / "b.pkl.gz", b"\x80\x02\x82\x07."), Columns())


@pytest.mark.parametrize("content", [b"no pickle at all", b"\x80\x02.", b"\x80\x63]", b"]a.", b"\x80\x02]q\x00"])
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


KEY = b"\x80\x02]}q\x00"


NESTED = b")" + b"2\x86" * 60
"""()  -> ((), ()) -> ...: its hash takes 2**60 steps."""


@pytest.mark.parametrize(("content", "found"), [
    (KEY + NESTED + b"K\x01se.", "a tuple"),
    (KEY + b")" + b"\x85" * 1_000_000 + b"K\x01se.", "a tuple"),
    (KEY + b"(" * 60 + b"t" * 60 + b"K\x01se.", "a tuple"),
    (b"\x80\x02" + NESTED + b"Q.", "a tuple"),
    (b"\x80\x02\x8f(" + NESTED + b"\x90.", "a tuple"),
    (b"\x80\x02]r\x00\x00\x00\x1f.", "a memo that is not filled in order"),
    (b"]p520093696\n.", "a memo that is not filled in order"),
    (b"]p520093696\0\n.", "a memo that is not filled in order"),
    (b"]p-1\n.", "a memo that is not filled in order"),
    (b"\x80\x02]\x8a\x64" + b"\x01" * 100 + b"a.", "a number of more than 8 bytes"),
    (b"\x80\x02]\x8b\x00\x01\x00\x00" + b"\x01" * 256 + b"a.", "a number of more than 8 bytes"),
    (b"]L" + b"9" * 5000 + b"L\na.", "a number of more than 8 bytes"),
    (b"]I" + b"9" * 5000 + b"\na.", "a number of more than 8 bytes"),
    (b"\x80\x02]}b.", "the state of an object"),
], ids=range(14))
def test_an_instruction_that_could_take_for_ever_is_refused_before_it_is_followed(
    tmp_path: Path, content: bytes, found: str
) -> None:
    path = write(tmp_path / "a.pkl", content)
    with pytest.raises(DataError, match=rf"a\.pkl: .*{found}: do not trust this file") as refusal:
        read_rows(path, Columns())
    assert len(str(refusal.value)) < 300


def test_a_set_of_a_tuple_is_refused(tmp_path: Path) -> None:
    # ("a",) -> (("a",),) -> ...: each is handed to `set`, and the last is a key whose hash overflows the stack.
    content = b"\x80\x02c__builtin__\nset\nq\x00X\x01\0\0\0a\x85q\x01R0" + b"h\0h\x01\x85q\x01R0" * 1000 + b"}h\x01Ns."
    with pytest.raises(DataError, match=r"a\.pkl: .*set of a str: do not trust this file"):
        read_rows(write(tmp_path / "a.pkl", content), Columns())


@pytest.mark.parametrize("content", [
    b"]p520093696", b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\x00\x00].", b"\x80\x04\x8d" + b"\xff" * 7 + b"\x00x.",
    b"\x80\x05\x96\x00\x00\x00\x00\x40\x00\x00\x00x.", b"\x80\x02X\xff\xff\xff\x7fx.", b"\x80\x02", b"]" * 1000,
], ids=range(7))
def test_a_length_beyond_the_end_makes_no_room(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"a\.pkl .*(cannot be read|whole)"):
        read_rows(write(tmp_path / "a.pkl", content), Columns())


@pytest.mark.usefixtures("low")
@pytest.mark.parametrize("content", [
    b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b".",
    b"\x80\x04" + b"\x8f" * 10_000 + b".",
    # `set` of one list of 1,000 texts, a thousand times.
    b"\x80\x02](X\x01\0\0\0a" + b"2" * 999 + b"eq\x02c__builtin__\nset\nq\x03" + b"h\x03h\x02\x85R0" * 1000 + b".",
], ids=["lists", "sets", "set"])
def test_more_instructions_than_memory_are_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match=r"more than 2 MB"):
        read_rows(write(tmp_path / "a.pkl.gz", content), Columns())


@pytest.mark.usefixtures("low")
def test_a_review_that_is_named_many_times_is_counted_each_time(tmp_path: Path) -> None:
    review = ["a"] * 1000
    path = write(tmp_path / "a.pkl.gz", pickle.dumps([{"c": [review] * 2000}, {}, []], 2))
    assert path.stat().st_size < 1000
    with pytest.raises(DataError, match=r"a\.pkl\.gz .*more than 2 MB.*GRU_BENCH_LIMITS=10"):
        read_rows(path, Columns())
    token = "b" * 1000
    with pytest.raises(DataError, match=r"100,000 characters.*review 1 of positive.*'c'"):
        read_rows(write(path, pickle.dumps([{"c": [[token] * 200]}, {}, []], 2)), Columns())


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_sets_and_small_numbers_are_read(tmp_path: Path, protocol: int) -> None:
    value = [{"c": [["a", "b"]]}, {"c": [["c"]]}, [{"a", "b"}, frozenset("ab"), 2**62, 0.5]]
    content = pickle.dumps(value, protocol, fix_imports=False)
    assert unpickled(content, Budget(write(tmp_path / "a.pkl", content))) == value


def test_each_instruction_counts_64_bytes(tmp_path: Path) -> None:
    content = pickle.dumps([{"c": [["a", "b"]]}, {"c": [["c"]]}, []], 2)
    path = write(tmp_path / "a.pkl", content)
    budget = Budget(path)
    unpickled(content, budget)
    assert limits.MEMORY - budget.left == 64 * sum(1 for _ in pickletools.genops(content))
