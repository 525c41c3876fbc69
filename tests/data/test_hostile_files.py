"""Whatever a file holds: reading it ends soon, takes memory as its size explains, and fails in a short sentence."""

from __future__ import annotations

import csv
import gzip
import io
import json
import pickle
import random
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gru_bench.config import DataConfig, EmbeddingConfig
from gru_bench.data import limits
from gru_bench.data.corpus import load_corpus, tokenize
from gru_bench.data.embeddings import _from_file, load_vectors
from gru_bench.data.limits import Budget
from gru_bench.data.pickles import unpickled
from gru_bench.data.readers import Columns, named_path, read_rows
from gru_bench.errors import DataError, GruBenchError, UsageError, shown

PLAIN = "a pickle of reviews must hold only lists, dicts, texts and numbers"
ALL = Columns(category="kind", split="part")


@pytest.fixture
def low(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a test can reach at once."""
    monkeypatch.setattr(limits, "ROW", 100_000)
    monkeypatch.setattr(limits, "MEMORY", 2_000_000)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


# ---------------------------------------------------------------- pickles

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
def test_an_instruction_that_could_take_for_ever_is_refused_before_it_is_followed(tmp_path, content, found):
    path = write(tmp_path / "a.pkl", content)
    with pytest.raises(DataError, match=rf"a\.pkl: {PLAIN}, but it holds {found}: do not trust this file") as refusal:
        read_rows(path, Columns())
    assert len(str(refusal.value)) < 300


def test_a_set_of_a_tuple_is_refused(tmp_path):
    # ("a",) -> (("a",),) -> ...: each is handed to `set`, and the last is a key whose hash overflows the stack.
    content = b"\x80\x02c__builtin__\nset\nq\x00X\x01\0\0\0a\x85q\x01R0" + b"h\0h\x01\x85q\x01R0" * 1000 + b"}h\x01Ns."
    with pytest.raises(DataError, match=rf"{PLAIN}, but it makes a set of a str: do not trust this file"):
        read_rows(write(tmp_path / "a.pkl", content), Columns())


@pytest.mark.parametrize("content", [
    b"]p520093696", b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\x00\x00].", b"\x80\x04\x8d" + b"\xff" * 7 + b"\x00x.",
    b"\x80\x05\x96\x00\x00\x00\x00\x40\x00\x00\x00x.", b"\x80\x02X\xff\xff\xff\x7fx.", b"\x80\x02", b"]" * 1000,
], ids=range(7))
def test_a_length_beyond_the_end_makes_no_room(tmp_path, content):
    with pytest.raises(DataError, match=r"cannot be read as one|must be whole gzip data"):
        read_rows(write(tmp_path / "a.pkl", content), Columns())


@pytest.mark.usefixtures("low")
@pytest.mark.parametrize("content", [
    b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b".",
    b"\x80\x04" + b"\x8f" * 10_000 + b".",
    # `set` of one list of 1,000 texts, a thousand times.
    b"\x80\x02](X\x01\0\0\0a" + b"2" * 999 + b"eq\x02c__builtin__\nset\nq\x03" + b"h\x03h\x02\x85R0" * 1000 + b".",
], ids=["lists", "sets", "set"])
def test_more_instructions_than_memory_are_refused(tmp_path, content):
    with pytest.raises(DataError, match=r"must not unpack to more than 2 MB"):
        read_rows(write(tmp_path / "a.pkl.gz", content), Columns())


@pytest.mark.usefixtures("low")
def test_a_review_that_is_named_many_times_is_counted_each_time(tmp_path):
    review = ["a"] * 1000
    path = write(tmp_path / "a.pkl.gz", pickle.dumps([{"c": [review] * 2000}, {}, []], 2))
    assert path.stat().st_size < 1000
    with pytest.raises(DataError, match=r"a\.pkl\.gz must not unpack to more than 2 MB \(250 MB, or 100 times its "
                                        r"size\), but it does: .*GRU_BENCH_LIMITS=10"):
        read_rows(path, Columns())
    token = "b" * 1000
    with pytest.raises(DataError, match=r"rows of at most 100,000 characters, but review 1 of positive category 'c' "):
        read_rows(write(path, pickle.dumps([{"c": [[token] * 200]}, {}, []], 2)), Columns())


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_sets_and_small_numbers_are_no_danger(tmp_path, protocol):
    value = [{"c": [["a", "b"]]}, {"c": [["c"]]}, [{"a", "b"}, frozenset("ab"), 2**62, 0.5]]
    content = pickle.dumps(value, protocol, fix_imports=False)
    assert unpickled(content, Budget(write(tmp_path / "a.pkl", content))) == value


def test_the_walk_costs_what_it_says(tmp_path):
    content = pickle.dumps([{"c": [["a", "b"]]}, {"c": [["c"]]}, []], 2)
    path = write(tmp_path / "a.pkl", content)
    budget = Budget(path)
    unpickled(content, budget)
    import pickletools

    assert limits.MEMORY - budget.left == 64 * sum(1 for _ in pickletools.genops(content))


# ---------------------------------------------------------------- what unpacks to more


@pytest.mark.usefixtures("low")
@pytest.mark.parametrize(("name", "content", "message"), [
    ("a.csv.gz", b"text,label\n\"" + b"a" * 10**6, "the one that begins at line 2 has more"),
    ("a.csv.gz", b"text,label\nb,1\n\"" + b"aaaaaaaaa\n" * 15_000, "the one that begins at line 3 has more"),
    ("a.csv.gz", b"text,label\n" + b'"aaaaaa\n",' * 15_000, "the one that begins at line 2 has more"),
    ("a.csv.gz", b"text," * 10**5, "the one that begins at line 1 has more"),
    ("a.tsv.gz", b"text\tlabel\n" + b"a\t1\n" * 10**5, "must not unpack to more than"),
    ("a.csv.gz", b"text,label\n" + b"\n" * 10**5, "must not unpack to more than"),
    ("a.jsonl.gz", b'{"text": "' + b"a" * 10**6, "the one that begins at line 1 has more"),
    ("a.jsonl.gz", b'{"text": "a", "label": 1}\n' * 10**5, "must not unpack to more than"),
    ("a.jsonl.gz", b"\n" * 10**5, "must not unpack to more than"),
    ("a.pkl.gz", bytes(10**7), "must not unpack to more than"),
], ids=range(10))
def test_a_small_file_that_unpacks_to_a_large_one_is_refused(tmp_path, name, content, message):
    path = write(tmp_path / name, content)
    with pytest.raises(DataError, match=rf"{message}.*GRU_BENCH_LIMITS=10 in the environment allows ten times as much"):
        read_rows(path, Columns())


@pytest.mark.usefixtures("low")
@pytest.mark.parametrize(("content", "message"), [
    (b"the " + b"1" * 10**6, "must have rows of at most 100,000 characters, but one of them has more"),
    (b"the 1\n" + b"film " + b"1" * 10**6, "must have rows of at most 100,000 characters"),
    (b"the 1\n" + b"b 1\n" * 10**5, "must not unpack to more than"),
    (b"100000 1\n" + b"b 1\n" * 10**5, "must not unpack to more than"),
    (b"100000 1\n" + b"b \x01\0\0\0" * 10**5, "must not unpack to more than"),
], ids=range(5))
def test_vectors_that_unpack_to_more_are_refused(tmp_path, content, message):
    path = write(tmp_path / "v.gz", content)
    with pytest.raises(DataError, match=message):
        _from_file(path, ["the"], lambda _: None)


@pytest.mark.usefixtures("low")
def test_parquet_that_unpacks_to_more_is_refused(tmp_path):
    path = tmp_path / "a.parquet"

    def refused(message: str, **columns) -> None:
        pq.write_table(pa.table(columns), path, compression="zstd")
        assert path.stat().st_size < 20_000
        with pytest.raises(DataError, match=message):
            read_rows(path, Columns())

    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), ["x" * 50_000])
    refused(r"must not unpack to more than", text=texts, label=[1] * 1000)
    refused(r"must not unpack to more than", text=["x"] * 50_000, label=[1] * 50_000)
    refused(r"must have rows of at most 100,000 characters, but one of rows 1 to 2 ", text=["x" * 10**6, "b"],
            label=[0, 1])
    refused(r"column 'label' of .* must hold single values, but it holds list<", text=["x"], label=[[1] * 1000])


def test_parquet_of_very_many_columns_or_groups_is_refused_before_arrow_follows_them(tmp_path, monkeypatch):
    monkeypatch.setattr("gru_bench.data.readers._PARQUET_LIST", 50)
    nested = pa.int8()
    for _ in range(60):
        nested = pa.struct([("a", nested)])
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a"], "label": [1], "x": pa.nulls(1, nested)}), path)
    with pytest.raises(DataError, match=r"must have at most 50 columns and as many groups of rows, but it has"):
        read_rows(path, Columns())
    for groups, refused in ((50, False), (51, True)):
        pq.write_table(pa.table({"text": ["a"] * groups, "label": [1] * groups}), path, row_group_size=1)
        if refused:
            with pytest.raises(DataError, match=r"must have at most 50 columns and as many groups"):
                read_rows(path, Columns())
        else:
            assert len(read_rows(path, Columns())) == groups


def test_categories_are_counted_by_the_longest(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MEMORY", 2_000_000)
    path = tmp_path / "a.csv"
    rows = [f"t{n},1,k,train" for n in range(1000)]
    path.write_text("\n".join(["text,label,kind,part", *rows, f"t,1,{'k' * 5000},test"]))
    with pytest.raises(DataError, match="must not unpack to more than"):
        read_rows(path, ALL)


def test_what_does_not_fit_into_memory_is_told(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise MemoryError

    path = write(tmp_path / "a.jsonl", b'{"text": "a", "label": 1}\n')
    with monkeypatch.context() as patch:
        patch.setattr("gru_bench.data.readers.json.loads", full)
        with pytest.raises(DataError, match=r"a\.jsonl must fit into the memory of this machine, but it does not"):
            read_rows(path, Columns())
    monkeypatch.setattr("gru_bench.data.corpus._split", full)
    write(path, b'{"text": "a", "label": 1}\n{"text": "b", "label": 0}\n')
    with pytest.raises(DataError, match=r"a\.jsonl must fit into the memory of this machine"):
        load_corpus(DataConfig(name=str(path)))


# ---------------------------------------------------------------- the limits


def ordinary(count: int) -> list[tuple[str, int]]:
    """Reviews of about 1,000 characters."""
    generator = random.Random(3)
    words = ["".join(generator.choices("etaoinshrdlu", k=generator.randint(2, 9))) for _ in range(5000)]
    return [(" ".join(generator.choices(words, k=155)), n % 2) for n in range(count)]


def test_ten_million_ordinary_reviews_pass(tmp_path, monkeypatch):
    """What a file may take grows with its size: what holds for 300 reviews without 250 MB at first holds for any."""
    monkeypatch.setattr(limits, "MEMORY", 0)
    monkeypatch.setattr(limits, "GROWTH", 30)  # of the 100 that are allowed
    rows = ordinary(300)
    table = io.StringIO()
    csv.writer(table).writerows([("text", "label"), *rows])
    lines = "\n".join(json.dumps({"text": text, "label": label}) for text, label in rows)
    halves = [{"c": [text.split() for text, label in rows if label == wanted]} for wanted in (1, 0)]
    paths = [write(tmp_path / name, content) for name, content in {
        "a.csv": table.getvalue().encode(), "a.csv.gz": table.getvalue().encode(),
        "a.jsonl": lines.encode(), "a.jsonl.gz": lines.encode(),
        "a.pkl": pickle.dumps([*halves, []], 2), "a.tar.gz": pickle.dumps([*halves, []], 2)}.items()]
    pq.write_table(pa.table({"text": [text for text, _ in rows], "label": [label for _, label in rows]}),
                   tmp_path / "a.parquet", compression="zstd")
    for path in (*paths, tmp_path / "a.parquet"):
        assert len(read_rows(path, Columns())) == 300, path


def test_the_limits_can_be_raised(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "ROW", 1000)
    path = write(tmp_path / "a.csv", b"text,label\n" + b"a" * 2000 + b",1\n")
    with pytest.raises(DataError, match="rows of at most 1,000 characters"):
        read_rows(path, Columns())
    monkeypatch.setenv("GRU_BENCH_LIMITS", "10")
    assert len(read_rows(path, Columns())) == 1
    for value in ("0", "x", "nan", "1e300", "-1"):
        monkeypatch.setenv("GRU_BENCH_LIMITS", value)
        with pytest.raises(UsageError, match=rf"GRU_BENCH_LIMITS must be a number from 1 to .*, but got '{value}'"):
            read_rows(path, Columns())


# ---------------------------------------------------------------- messages


@pytest.mark.parametrize(("value", "text"), [
    ("x" * 1000, "'" + "x" * 99 + "... (1,000 characters)"), ("a", "'a'"), (None, "None"), (2.5, "2.5"), (True, "True"),
    (-3, "-3"), (10**5000, "a value of type int"), ([1], "[1]"), ("\ud83d", r"'\ud83d'"), ("a\nb", r"'a\nb'"),
], ids=range(10))
def test_values_are_shown_in_short(value, text):
    assert shown(value) == text


@pytest.mark.parametrize("rows", [
    [{"text": "a", "label": "x" * 10**6}], [{"text": ["x" * 10**6], "label": 1}], [{f"k{n}": n for n in range(50_000)}],
    [{"x" * 10**6: 1}], [{"text": "a", "label": 1, "kind": "k", "part": "x" * 10**6}],
    [{"text": "a", "label": [[[1]]]}],
], ids=["label", "text", "keys", "key", "split", "nested"])
def test_a_message_is_short_whatever_the_file_holds(tmp_path, rows):
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)).encode())
    with pytest.raises(GruBenchError) as refusal:
        read_rows(path, ALL if "part" in rows[0] else Columns())
    assert len(str(refusal.value)) < 1000
    assert "\n" not in str(refusal.value)


def test_many_columns_are_counted_and_the_nearest_is_named(tmp_path):
    path = write(tmp_path / "a.csv", b",".join(b"c%d" % n for n in range(500)) + b",texts\n")
    with pytest.raises(UsageError, match=r"unknown text column 'text'\. Did you mean 'texts'\? .* a\.csv has 461 more"):
        read_rows(path, Columns())


def test_objects_without_anything_lack_the_columns(tmp_path):
    with pytest.raises(UsageError, match="unknown text column 'text'"):
        read_rows(write(tmp_path / "a.jsonl", b"{}\n{}\n"), Columns())


def test_names_from_a_file_steer_no_screen(tmp_path):
    path = write(tmp_path / "a.csv", '"a\nb","\x1b]0;x","\u202ec",label\n'.encode())
    with pytest.raises(UsageError, match=r"one of \\u202ec, \\x1b\]0;x, a\\nb, label\."):
        read_rows(path, Columns())
    path = write(tmp_path / "a.pkl", b"cos\x1b[2J\nsystem\n.")
    with pytest.raises(DataError, match=r"names os\\x1b\[2J\.system, which"):
        read_rows(path, Columns())


# ---------------------------------------------------------------- text that is whole


def test_half_a_character_becomes_a_replacement_character(tmp_path):
    rows = [{"text": "cut off \ud83d", "label": 1, "kind": "\udc00 k", "part": "train"},
            {"text": "a whole \U0001f600", "label": 0, "kind": "k", "part": "test"}]
    read = read_rows(write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)).encode()), ALL)
    assert read.text_N == ["cut off \ufffd", "a whole \U0001f600"]
    assert read.category_N == ["\ufffd k", "k"]

    value = [{"c\ud83d": [["cut", "off\ud83d"]]}, {"c": [["na\u00efve"]]}, []]
    read = read_rows(write(tmp_path / "a.tar.gz", pickle.dumps(value, 2)), Columns())
    assert read.tokens_N == [["cut", "off\ufffd"], ["na\u00efve"]]
    assert read.text_N == ["cut off\ufffd", "na\u00efve"]
    assert read.category_N == ["c\ufffd", "c"]


def test_a_corpus_of_half_characters_can_be_written(tmp_path):
    rows = [{"text": f"{n} \ud83d", "label": n % 2, "kind": "\ud83d"} for n in range(60)]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)).encode())
    corpus = load_corpus(DataConfig(name=str(path), category_column="kind"), tmp_path)
    for split in (corpus.train, corpus.test):
        assert {category.encode() for category in split.category_N.tolist()} == {b"\xef\xbf\xbd"}
    assert all(text.encode().endswith(b" \xef\xbf\xbd") for text in corpus.texts("train"))


def test_a_character_of_too_large_a_number_is_none():
    assert tokenize("a &#" + "1" * 5000 + "; b &#65;") == ["a", "b", "a"]


def test_letters_under_very_many_marks_are_read_soon():
    marks = "\u0300\u0316" * 200_000  # in order, the latter come first: sorting them takes the square of their number
    assert tokenize(f"a na\u00efve e{marks} b") == ["a", "na\u00efve", "\u00e8", "b"]


# ---------------------------------------------------------------- columns


@pytest.mark.parametrize(("kind", "value"), [
    (pa.timestamp("s"), 2**53), (pa.timestamp("us"), 2**62), (pa.timestamp("us", "UTC"), 2**62),
    (pa.timestamp("us", "Nowhere/X"), 0), (pa.duration("s"), 2**53), (pa.date32(), 2**31 - 1), (pa.time64("us"), 2**62),
])
def test_dates_and_times_beyond_those_of_python_are_told(tmp_path, kind, value):
    path = tmp_path / "a.parquet"
    written = pa.array(np.array([value], f"int{kind.bit_width}")).view(kind)
    pq.write_table(pa.table({"text": ["a"], "label": [1], "kind": written, "part": ["test"]}), path)
    with pytest.raises(DataError, match=r"must hold values that Python can express, but one of rows 1 to 1 holds a "
                                        r"\w+.* that it cannot \(.*\): remove or replace it"):
        read_rows(path, ALL)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.parquet"])
def test_two_columns_of_one_name_are_refused(tmp_path, name):
    path = tmp_path / name
    if name == "a.parquet":
        pq.write_table(pa.table([["a"], ["b"], [1]], names=["text", "text", "label"]), path)
    else:
        path.write_text("text,text,label\na,b,1\n".replace(",", "," if name == "a.csv" else "\t"))
    with pytest.raises(DataError, match=rf"{name} must have one column 'text', but it has 2 of that name: rename"):
        read_rows(path, Columns())


@pytest.mark.parametrize(("name", "first", "message"), [
    ("a.csv", "text;label", r"CSV file must be separated by commas, but .* looks separated by ';' \(its first line is "
                            r"'text;label'\): save it again with commas"),
    ("a.csv", "review;stars", r"looks separated by ';'"),
    ("a.csv", "text\tlabel", r"looks separated by '\\t' .*: rename it to \.tsv"),
    ("a.tsv", "text,label", r"TSV file must be separated by tabs, but .* separated by ',' .*: rename it to \.csv"),
    ("a.csv", "text|label", r"looks separated by '\|' .*: save it again with commas"),
])
def test_another_separator_is_told(tmp_path, name, first, message):
    path = tmp_path / name
    path.write_text(f"{first}\n")
    with pytest.raises(DataError, match=message):
        read_rows(path, Columns())


# ---------------------------------------------------------------- files of other kinds, and places


@pytest.mark.parametrize(("name", "remedy"), [
    ("a.xlsx", r"open it and save it as CSV \(UTF-8\)"), ("a.ods", "open it and save it as CSV"),
    ("a.json", r"write one object on each line, and name it \.jsonl"), ("a.zip", "unpack it, and name the file inside"),
    ("a.csv.xz", "unpack it, and name the file inside"), ("a.txt", "convert it, or rename it where it is one of these"),
])
def test_what_to_do_with_another_kind_of_file(tmp_path, name, remedy):
    path = write(tmp_path / name, b"x")
    with pytest.raises(UsageError, match=rf"a data file must be CSV .*, but got '{name}': {remedy}"):
        load_corpus(DataConfig(name=str(path)))


def test_a_spreadsheet_that_was_renamed_is_told(tmp_path):
    with pytest.raises(DataError, match=r"a\.csv must be text, but it is a ZIP archive, as spreadsheets are"):
        read_rows(write(tmp_path / "a.csv", b"PK\x03\x04\x14\x00\x06\x00"), Columns())


@pytest.mark.parametrize(("name", "message"), [
    ("https://example.org/a.csv", r"must be a file on this machine, but 'https://example\.org/a\.csv' is an address: "
                                  r"download it first, and name the file"),
    ("s3://bucket/a.parquet", "is an address"),
    ("caf\udce9.csv", r"must be a path that can be read, but 'caf\\udce9\.csv' is not"),
    (".", r"is a folder: name a file in it"),
], ids=range(4))
def test_what_is_no_path_is_a_usage_error(easy_csv, name, message):
    corpus = load_corpus(DataConfig(name=str(easy_csv)))
    for load in (lambda: load_corpus(DataConfig(name=name)),
                 lambda: load_corpus(DataConfig(name=str(easy_csv), test_name=name)),
                 lambda: load_vectors(EmbeddingConfig(name=name), corpus)):
        with pytest.raises(UsageError, match=message) as refusal:
            load()
        assert len(str(refusal.value)) < 400


@pytest.mark.parametrize(("name", "message"), [
    ("~no-such-user/a.csv", r"^the data must be a path that can be read, but '~no-such-user/a\.csv' is not \("),
    ("x" * 5000 + ".csv", r"but 'x{99}\.\.\. \(5,004 characters\) is not \(File name too long\)"),
], ids=range(2))
def test_what_no_file_can_be_called_is_a_usage_error(name, message):
    with pytest.raises(UsageError, match=message):
        named_path(name, "the data")


# ---------------------------------------------------------------- vectors


@pytest.mark.parametrize(("content", "message"), [
    (b"1 99999999999999999999\na 1\n", "must hold vectors of 1 to 100,000 numbers, but its first line is '1 999999"),
    (b"1 999999999999\na \0\0\0\0", "must hold vectors of 1 to 100,000 numbers"),
    (b"1 " + b"9" * 5000 + b"\na 1\n", "must hold vectors of 1 to 100,000 numbers, but its first line is '1 9999"),
    (b"9" * 5000 + b" 1\na 1\n", "must hold vectors of 1 to 100,000 numbers"),
    (b"a " + b"1 " * 100_000 + b"1\n", "must hold vectors of 1 to 100,000 numbers, but line 1 has 100,001"),
    (b"a 1\0 2\n", r"line 1 holds something else \(a NUL\)"),
    (b"a 1 " + b"2" * 1000 + b"\n", r"line 1 holds something else \(a number of 1,000 characters\)"),
    (b"a x 2\nb 1 2\n", r"line 1 holds something else \("),
], ids=range(8))
def test_vectors_that_lie_about_their_size_are_told(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as refusal:
        _from_file(write(tmp_path / "v.txt", content), ["a"], lambda _: None)
    assert len(str(refusal.value)) < 400


def test_a_number_beyond_float32_is_an_infinity_without_a_warning(tmp_path):
    # A warning would be an error here; what is infinite is refused when the table is built.
    rows = _from_file(write(tmp_path / "v.txt", b"a 1e39 2\n"), ["a"], lambda _: None)
    assert rows[0].tolist() == [np.inf, 2]


# ---------------------------------------------------------------- anything


def seeds() -> dict[str, bytes]:
    """A small valid file of each kind."""
    rows = [("a fine film", 1, "books", "train"), ('dull, "very"', 0, "films", "test"), ("na\u00efve", 1, "", "val")]
    names = ["text", "label", "kind", "part"]
    made = {}
    for ending, separator in (("csv", ","), ("tsv", "\t")):
        table = io.StringIO()
        csv.writer(table, delimiter=separator).writerows([names, *rows])
        made[f"a.{ending}"] = table.getvalue().encode()
    made["a.jsonl"] = "\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows).encode()
    table = io.BytesIO()
    pq.write_table(pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))), table)
    made["a.parquet"] = table.getvalue()
    value = [{"c": [["a", "b"], ["c"]]}, {"c": [["d", "na\u00efve"]], "k": []}, ["a", "b"]]
    made |= {f"{protocol}.pkl": pickle.dumps(value, protocol) for protocol in (0, 2, 4)}
    made["v.txt"] = b"a 1 2\nna\xc3\xafve 0.5 -1e-3\nb c 1 2\n"
    made["w.txt"] = b"2 2\na 1 2\nb 3 4\n"
    made["v.bin"] = b"2 2\na " + struct.pack("<2f", 1, 2) + b"\nb " + struct.pack("<2f", 3, 4) + b"\n"
    return made


SEEDS = seeds()
ODD = [b"\0", b"\xff" * 4, b"\n", b'"', b"\\ud83d", b"9" * 50, b"[" * 2000, b"\x85", b"2\x86" * 40, b"r\0\0\0\x08",
       b"Q", b"p99999999\n", b"\x8a\xff", b"nan", b"1e39", b"R", b"t", b"u", b"cos\nsystem\n"]
CHANGES = st.lists(st.tuples(
    st.sampled_from(["flip", "cut", "drop", "insert", "repeat", "set"]), st.floats(0, 1, exclude_max=True),
    st.integers(0, 255), st.sampled_from(ODD)), min_size=1, max_size=4)


def changed(content: bytes, changes: list[tuple[str, float, int, bytes]]) -> bytes:
    for change, share, number, odd in changes:
        at = int(share * len(content))
        before, after = content[:at], content[at:]
        content = {
            "flip": before + bytes([after[0] ^ 1 << number % 8]) + after[1:] if after else before,
            "cut": before, "drop": before + after[number % 20 + 1:], "insert": before + odd + after,
            "repeat": before + after[:number] * 3 + after, "set": before + odd + after[len(odd):],
        }[change]
    return content


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(SEEDS)), CHANGES, st.sampled_from(["", "inside", "outside"]))
def test_a_changed_file_is_read_or_told_in_one_line(tmp_path_factory, name, changes, zipped):
    content = changed(SEEDS[name], changes)
    if zipped and not name.endswith(".parquet"):
        name, content = f"{name}.gz", gzip.compress(content)
        if zipped == "outside":
            content = changed(gzip.compress(SEEDS[name.removesuffix(".gz")]), changes)
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(content)
    try:
        if name.startswith(("v", "w")):
            _from_file(path, ["a", "b", "na\u00efve"], lambda _: None)
        else:
            rows = read_rows(path, Columns() if ".pkl" in name else ALL)
            assert len(rows) == len(rows.label_N) == len(rows.category_N) > 0
            for text in (*rows.text_N, *rows.category_N):
                text.encode()
        message = ""
    except GruBenchError as error:
        message = str(error)
    assert len(message) < 1000
    assert "\n" not in message
