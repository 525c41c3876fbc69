"""Files -> rows: every kind read alike, every kind of damage told in one sentence, no code run by a pickle."""

from __future__ import annotations

import collections
import gzip
import io
import json
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gru_bench.data.pickles import Unpickler
from gru_bench.data.readers import Columns, kind_of, read_rows
from gru_bench.errors import DataError, UsageError

ROWS = [
    ("I liked it, truly", 1, "books"),
    ('a "dull" affair', 0, "films"),
    ("two\nlines", 1, "books"),
    ("NA", 0, "films"),
    ("na\u00efve \u4f60\u597d", 1, "books"),
]
COLUMNS = Columns(category="kind")
PLAIN = "a pickle of reviews must hold only lists, dicts, texts and numbers"


def write_csv(path: Path, rows=ROWS, separator: str = ",", encoding: str = "utf-8") -> Path:
    import csv

    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(["text", "label", "kind"])
        writer.writerows(rows)
    return path


def write_json_lines(path: Path, rows=ROWS) -> Path:
    lines = [json.dumps({"text": text, "label": label, "kind": kind}) for text, label, kind in rows]
    path.write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    return path


def write_parquet(path: Path, rows=ROWS, **columns) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, label, kind = (list(column) for column in zip(*rows, strict=True))
    pq.write_table(pa.table({"text": text, "label": label, "kind": kind} | columns), path)
    return path


def gzipped(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content))
    return path


def check_rows(rows) -> None:
    assert rows.text_N == [text for text, _, _ in ROWS]
    assert rows.label_N.tolist() == [label for _, label, _ in ROWS]
    assert rows.label_N.dtype == np.int8
    assert rows.category_N == [kind for _, _, kind in ROWS]
    assert rows.split_N is None
    assert rows.tokens_N is None
    assert len(rows) == len(ROWS)


# ---------------------------------------------------------------- tables


def test_every_kind_of_table_holds_the_same_rows(tmp_path):
    check_rows(read_rows(write_csv(tmp_path / "a.csv"), COLUMNS))
    check_rows(read_rows(write_csv(tmp_path / "a.tsv", separator="\t"), COLUMNS))
    check_rows(read_rows(write_json_lines(tmp_path / "a.jsonl"), COLUMNS))
    check_rows(read_rows(write_parquet(tmp_path / "a.parquet"), COLUMNS))


def test_a_gzipped_table_and_one_with_a_byte_order_mark_are_read(tmp_path):
    plain = write_csv(tmp_path / "a.csv").read_bytes()
    check_rows(read_rows(gzipped(tmp_path / "b.csv.gz", plain), COLUMNS))
    check_rows(read_rows(write_csv(tmp_path / "c.csv", encoding="utf-8-sig"), COLUMNS))


@pytest.mark.parametrize("value", [1, 1.0, True, "1", " 1 ", "1.0", "true", "True"])
def test_a_label_of_any_type_may_be_one(tmp_path, value):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": "good", "label": value}) + "\n"
                    + json.dumps({"text": "bad", "label": 0}) + "\n")
    assert read_rows(path, Columns()).label_N.tolist() == [1, 0]


@pytest.mark.parametrize(("value", "shown"), [
    (2, "2"), ("pos", "'pos'"), (0.5, "0.5"), (None, "None"), ("", "''"), ([1], r"\[1\]"), (-1, "-1")])
def test_any_other_label_is_shown_with_its_row(tmp_path, value, shown):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": "good", "label": 1}) + "\n"
                    + json.dumps({"text": "bad", "label": value}) + "\n")
    with pytest.raises(DataError, match=rf"labels in column 'label' of .*a\.jsonl must be 0 or 1, but row 2 holds "
                                        rf"{shown}: replace them by 0 \(negative\) and 1 \(positive\)"):
        read_rows(path, Columns())


def test_many_wrong_labels_are_counted_and_the_first_shown(tmp_path):
    path = write_csv(tmp_path / "a.csv", [(f"text {n}", n, "") for n in range(10)])
    with pytest.raises(DataError, match=r"but 8 rows \(3, 4, 5, 6, 7, \.\.\.\) hold '2', '3', '4', '5', '6', \.\.\."):
        read_rows(path, Columns())


def test_a_split_column_takes_the_usual_names(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label,part\na,1,Train\nb,0,dev\nc,1,TEST\nd,0,valid\n")
    assert read_rows(path, Columns(split="part")).split_N == ["train", "validation", "test", "validation"]
    path.write_text("text,label,part\na,1,train\nb,0,holdout\n")
    with pytest.raises(DataError, match=r"column 'part' of .* must hold train, validation or test, but row 2 "
                                        r"holds 'holdout': rename"):
        read_rows(path, Columns(split="part"))


@pytest.mark.parametrize("write", [write_csv, write_json_lines, write_parquet])
@pytest.mark.parametrize(("columns", "message"), [
    (Columns(label="stars"), r"unknown label column 'stars': it must be one of kind, label, text\..*--label-column"),
    (Columns(text="txt"), r"unknown text column 'txt'\. Did you mean 'text'\? .*--text-column"),
    (Columns(category="k"), r"unknown category column 'k': .*--category-column"),
    (Columns(split="part"), r"unknown split column 'part': .*data\.split_column"),
])
def test_an_unknown_column_lists_the_known(tmp_path, write, columns, message):
    ending = {write_csv: "csv", write_json_lines: "jsonl", write_parquet: "parquet"}[write]
    path = write(tmp_path / f"a.{ending}")
    with pytest.raises(UsageError, match=message):
        read_rows(path, columns)


@pytest.mark.parametrize(("content", "message"), [
    ("", r"must hold reviews, but it is empty \(0 bytes\)"),
    ("text,label\n", r"must hold reviews, but it has no rows below its column names"),
    ("\ntext,label\n", r"must begin with a line of column names, but its first line is empty"),
    ("text,label\ngood,1\nbad\n", r"must have 2 values in each row, .* ends at line 3 has 1: quote texts that hold "
                                  r"commas"),
    ("text,label\nso, so,1\n", r"must have 2 values in each row, .* ends at line 2 has 3"),
    ('text,label\n"open,1\nb,0\n', r"must be well-formed, but the row that ends at line 3 is not .*close each quote"),
    ("text,label\ngood,1\n,0\n  ,1\n", r"must have a text in column 'text', but it is missing in 2 rows \(2, 3\)"),
    ("text,label\ngood,1\n\nbad,\n", r"labels in column 'label' .* row 2 holds ''"),
])
def test_a_damaged_csv_is_told(tmp_path, content, message):
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_rows(path, Columns())


@pytest.mark.parametrize(("content", "message"), [
    ("\n\n", r"must hold reviews, but it has only empty lines"),
    ('{"text": "a", "label": 1}\n{"text": \n', r"one JSON object a line, but line 2 is not JSON"),
    ("[" * 100_000, r"one JSON object a line, but line 1 is not JSON"),
    ('{"text": "a", "label": 1}\n[1]\n', r"one JSON object a line, but line 2 is list"),
    ('{"text": "a", "label": 1}\n{"label": 1}\n', r"must have a text in column 'text', but it is missing in row 2"),
    ('{"text": "a", "label": 1}\n{"text": 7, "label": 1}\n', r"must hold texts, but row 2 holds 7: name"),
])
def test_damaged_json_lines_are_told(tmp_path, content, message):
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_rows(path, Columns())


def test_a_damaged_parquet_file_is_told(tmp_path):
    path = write_parquet(tmp_path / "a.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"must be a Parquet file, but it is cut off or damaged"):
        read_rows(path, Columns())


def test_text_that_is_not_utf8_is_told(tmp_path):
    path = write_csv(tmp_path / "a.csv", [("caf\u00e9", 1, "x")], encoding="latin1")
    with pytest.raises(DataError, match=r"must be UTF-8 text, but byte 0xe9 is not: save it as UTF-8"):
        read_rows(path, Columns())


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz", "a.tar.gz"])
def test_gzip_that_is_cut_off_or_changed_is_told(tmp_path, name):
    whole = gzip.compress(pickle.dumps([{"x": [[str(n) for n in range(5000)]]}, {}, []], 2))
    path = tmp_path / name
    path.write_bytes(whole[:len(whole) // 2])
    if name == "a.tar.gz":
        with pytest.raises(DataError, match=r"must be whole gzip data, but it is cut off or damaged"):
            read_rows(path, Columns())
        path.write_bytes(whole[:-6] + bytes(6))
    with pytest.raises(DataError, match=r"must be whole gzip data|must be UTF-8|is not JSON"):
        read_rows(path, Columns())


def test_a_path_that_is_no_file_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"must be a file, but .*none\.csv does not exist: check the path"):
        read_rows(tmp_path / "none.csv", Columns())
    with pytest.raises(UsageError, match=r"must be a file, but .* is a folder"):
        read_rows(tmp_path, Columns())
    (tmp_path / "a.xlsx").write_text("x")
    with pytest.raises(UsageError, match=r"a data file must be CSV \(\.csv\), .*, but got 'a\.xlsx'"):
        read_rows(tmp_path / "a.xlsx", Columns())


def test_the_ending_tells_the_kind():
    kinds = {"A.CSV": ".csv", "a.csv.gz": ".csv", "a.tsv": ".tsv", "a.jsonl.gz": ".jsonl", "a.ndjson": ".ndjson",
             "a.parquet": ".parquet", "a.tar.gz": "pickle", "a.pkl": "pickle", "a.pickle.gz": "pickle"}
    assert {name: kind_of(Path(name)) for name in kinds} == kinds


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip),
                          st.integers(0, 1), st.just("k")), min_size=1))
def test_any_text_comes_back_as_it_was_written(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("any")
    for path in (write_csv(folder / "a.csv", rows), write_json_lines(folder / "a.jsonl", rows),
                 write_csv(folder / "a.tsv", rows, separator="\t")):
        read = read_rows(path, Columns())
        assert read.text_N == [text for text, _, _ in rows]
        assert read.label_N.tolist() == [label for _, label, _ in rows]


# ---------------------------------------------------------------- pickles

PAIR = [{"books": [["a", "fine", "read"], ["good"]], "films": [["bravo"]]}, {"books": [["dull"], []]},
        ["a", "bravo"]]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("zipped", [True, False])
def test_the_homework_pickle_becomes_rows(tmp_path, protocol, zipped):
    path = tmp_path / ("a.tar.gz" if zipped else "a.pkl")
    content = pickle.dumps(PAIR, protocol)
    path.write_bytes(gzip.compress(content) if zipped else content)
    rows = read_rows(path, Columns())
    assert rows.tokens_N == [["a", "fine", "read"], ["good"], ["bravo"], ["dull"], []]
    assert rows.text_N == ["a fine read", "good", "bravo", "dull", ""]
    assert rows.label_N.tolist() == [1, 1, 1, 0, 0]
    assert rows.category_N == ["books", "books", "films", "books", "books"]


def test_text_that_python_2_wrote_as_bytes_is_read_as_latin1(tmp_path):
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
def test_sets_strings_and_numbers_are_built(protocol):
    value = [{"a": (1, 2.5, None, True, 10**30)}, [], "x"]
    assert Unpickler(io.BytesIO(pickle.dumps(value, protocol))).load() == value
    vocabulary = {"a", "b"}
    assert Unpickler(io.BytesIO(pickle.dumps(vocabulary, protocol, fix_imports=False))).load() == vocabulary


class Harmful:
    """Pickled as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def calls(folder: Path):
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
def test_a_call_or_a_class_is_refused_by_name_and_nothing_runs(tmp_path, protocol):
    for harmful, name in calls(tmp_path):
        content = pickle.dumps([{"books": [[harmful]]}, {}, []], protocol, fix_imports=False)
        path = gzipped(tmp_path / "a.tar.gz", content)
        with pytest.raises(DataError, match=rf"a\.tar\.gz: {PLAIN}, but it names {name}.*do not trust this file"):
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
def test_hand_written_calls_are_refused(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=rf"{PLAIN}, but it names \w+\.(system|eval), which"):
        read_rows(gzipped(tmp_path / "a.pkl.gz", content), Columns())
    assert not (tmp_path / "ran").exists()


def test_references_outside_the_pickle_are_refused(tmp_path):
    with pytest.raises(DataError, match=rf"{PLAIN}, but it refers to an outside object: do"):
        read_rows(gzipped(tmp_path / "a.pkl.gz", b"Psecret\n."), Columns())
    with pytest.raises(DataError, match=r"must be a pickle of reviews, but it cannot be read as one"):
        read_rows(gzipped(tmp_path / "b.pkl.gz", b"\x80\x02\x82\x07."), Columns())


@pytest.mark.parametrize("content", [b"no pickle at all", b"\x80\x02.", b"\x80\x63]", b"]a.", b"\x80\x02]q\x00"])
def test_what_is_no_pickle_is_told(tmp_path, content):
    path = gzipped(tmp_path / "a.pkl.gz", content)
    with pytest.raises(DataError, match=r"must be a pickle of reviews, but it cannot be read|must be whole"):
        read_rows(path, Columns())


def test_a_tar_archive_is_told_apart(tmp_path):
    path = tmp_path / "a.tar.gz"
    (tmp_path / "inside.pkl").write_bytes(pickle.dumps(PAIR))
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tmp_path / "inside.pkl", "inside.pkl")
    with pytest.raises(DataError, match=r"must be a gzipped pickle, but it is a tar archive: unpack it"):
        read_rows(path, Columns())


@pytest.mark.parametrize(("content", "found"), [
    ({}, r"it holds one dict"),
    ([{}, {}], r"it holds one list of 2"),
    ([[], {}, []], r"its positive half is a list"),
    ([{}, "x", []], r"its negative half is a str"),
    ([{"a": "words"}, {}, []], r"positive category 'a' maps to a str"),
    ([{1: []}, {}, []], r"positive category 1 maps to a list"),
    ([{"a": [["x"], "a text"]}, {}, []], r"review 2 of positive category 'a' is not a list of texts"),
    ([{}, {"a": [["x", 3]]}, []], r"review 1 of negative category 'a' is not a list of texts"),
])
def test_a_pickle_of_another_structure_is_told(tmp_path, content, found):
    path = gzipped(tmp_path / "a.tar.gz", pickle.dumps(content, 2))
    with pytest.raises(DataError, match=rf"must hold \[positive, negative, vocabulary\], .*, but {found}"):
        read_rows(path, Columns())


def test_a_pickle_without_reviews_is_told(tmp_path):
    path = gzipped(tmp_path / "a.tar.gz", pickle.dumps([{"a": []}, {}, []], 2))
    with pytest.raises(DataError, match=r"must hold reviews, but both of its halves are empty"):
        read_rows(path, Columns())
