"""Files -> rows: every kind is read alike, and every kind of damage is refused in one line."""

from __future__ import annotations

import csv
import gzip
import io
import json
import pickle
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gru_bench.config import DataConfig, EmbeddingConfig
from gru_bench.data.columns import Columns
from gru_bench.data.corpus import load_corpus
from gru_bench.data.files import kind_of, named_path
from gru_bench.data.tables import Rows
from gru_bench.data.vectors import _from_file, load_vectors
from gru_bench.errors import DataError, GruBenchError, UsageError
from gru_bench.inference.files import TextFile
from tests.support.files import gzipped, read_rows, write

ROWS = [
    ("I liked it, truly", 1, "books"),
    ('a "dull" affair', 0, "films"),
    ("two\nlines", 1, "books"),
    ("NA", 0, "films"),
    ("na\u00efve \u4f60\u597d", 1, "books"),
]


Row = tuple[str, int, str]
COLUMNS = Columns(category="kind")


def write_csv(path: Path, rows: Iterable[Row] = ROWS, separator: str = ",", encoding: str = "utf-8") -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(["text", "label", "kind"])
        writer.writerows(rows)
    return path


def write_json_lines(path: Path, rows: Iterable[Row] = ROWS) -> Path:
    lines = [json.dumps({"text": text, "label": label, "kind": kind}) for text, label, kind in rows]
    path.write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    return path


def write_parquet(path: Path, rows: Iterable[Row] = ROWS, **columns: Any) -> Path:
    text, label, kind = (list(column) for column in zip(*rows, strict=True))
    pq.write_table(pa.table({"text": text, "label": label, "kind": kind} | columns), path)
    return path


def check_rows(rows: Rows) -> None:
    assert rows.text_N == [text for text, _, _ in ROWS]
    assert rows.label_N.tolist() == [label for _, label, _ in ROWS]
    assert rows.category_N == [kind for _, _, kind in ROWS]
    assert rows.split_N is None
    assert rows.tokens_N is None
    assert len(rows) == len(ROWS)


# ---------------------------------------------------------------- tables


def test_every_kind_of_table_holds_the_same_rows(tmp_path: Path) -> None:
    check_rows(read_rows(write_csv(tmp_path / "a.csv"), COLUMNS))
    check_rows(read_rows(write_csv(tmp_path / "a.tsv", separator="\t"), COLUMNS))
    check_rows(read_rows(write_json_lines(tmp_path / "a.jsonl"), COLUMNS))
    check_rows(read_rows(write_parquet(tmp_path / "a.parquet"), COLUMNS))


def test_a_gzipped_table_and_one_with_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    plain = write_csv(tmp_path / "a.csv").read_bytes()
    check_rows(read_rows(gzipped(tmp_path / "b.csv.gz", plain), COLUMNS))
    check_rows(read_rows(write_csv(tmp_path / "c.csv", encoding="utf-8-sig"), COLUMNS))


@pytest.mark.parametrize(("value", "shown"), [
    (None, "None"), (" \t", r"' \\t'"), ({"a": 1}, r"\{'a': 1\}"), (float("nan"), "nan")])
def test_a_value_that_is_no_label_is_refused_with_its_row(tmp_path: Path, value: Any, shown: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": "good", "label": 1}) + "\n"
                    + json.dumps({"text": "bad", "label": value}) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=rf"column 'label' .*a\.jsonl .*row 2 .*{shown} .*: "):
        read_rows(path, Columns())


def test_many_wrong_labels_are_counted_and_the_first_shown(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps({"text": "x", "label": [n] if n > 1 else n}) for n in range(10)),
                    encoding="utf-8")
    with pytest.raises(DataError, match=r"row 3 .*\[2\].* 8 of 10"):
        read_rows(path, Columns())


def test_a_split_column_takes_the_usual_names(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label,part\na,1,Train\nb,0,dev\nc,1,TEST\nd,0,valid\n", encoding="utf-8")
    assert read_rows(path, Columns(split="part")).split_N == ["train", "validation", "test", "validation"]
    path.write_text("text,label,part\na,1,train\nb,0,holdout\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"column 'part' .*train, validation or test.*row 2 .*'holdout'"):
        read_rows(path, Columns(split="part"))


@pytest.mark.parametrize("write", [write_csv, write_json_lines, write_parquet])
@pytest.mark.parametrize(("columns", "message"), [
    (Columns(label="stars"), r"label column 'stars'.*kind, label, text"),
    (Columns(text="txt"), r"text column 'txt'.*'text'"),
    (Columns(category="k"), r"category column 'k'"),
    (Columns(split="part"), r"split column 'part'"),
])
def test_an_unknown_column_lists_the_known(
    tmp_path: Path, write: Callable[[Path], Path], columns: Columns, message: str
) -> None:
    ending = {"write_csv": "csv", "write_json_lines": "jsonl", "write_parquet": "parquet"}[write.__name__]
    path = write(tmp_path / f"a.{ending}")
    with pytest.raises(UsageError, match=message):
        read_rows(path, columns)


@pytest.mark.parametrize(("content", "message"), [
    ("", r"0 bytes"),
    ("text,label\n", r"no rows"),
    ("\ntext,label\n", r"column names"),
    ("text,label\ngood,1\nbad\n", r" 2 values.* line 3 .* 1: quote"),
    ("text,label\nso, so,1\n", r" 2 values.* line 2 .* 3"),
    ('text,label\n"open,1\nb,0\n', r" line 2 .*quote"),
    ("text,label\ngood,1\n,0\n  ,1\n", r"column 'text'.*row 2 .*''.* 2 of 3"),
    ("text,label\ngood,1\n\nbad,\n", r"column 'label' .*row 2 .*''"),
])
def test_a_damaged_csv_file_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_rows(path, Columns())


@pytest.mark.parametrize(("content", "message"), [
    ("\n\n", r"first line is empty"), ("{}\n{}\n", r"first line is empty"),
    ('{"text": "a", "label": 1}\n{"text": \n', r"line 2 .*JSON"),
    ("[" * 100_000, r"line 1 .*JSON"),
    ('{"text": "a", "label": 1}\n[1]\n', r"JSON object.*line 2 .*list"),
    ('{"text": "a", "label": 1}\n{"label": 1}\n', r"column 'text'.*row 2"),
    ('{"text": "a", "label": 1}\n{"text": 7, "label": 1}\n', r"column 'text'.*row 2 .* 7 "),
])
def test_damaged_json_lines_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_rows(path, Columns())


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"a\.parquet cannot be read as Parquet"):
        read_rows(path, Columns())


def test_a_column_of_lists_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [["a", "b"]], "label": [1]}), tmp_path / "a.parquet")
    for read in (lambda: read_rows(tmp_path / "a.parquet", Columns()),
                 lambda: list(TextFile(tmp_path / "a.parquet").parts())):
        with pytest.raises(DataError, match=r"column 'text' .*list<"):
            read()


def test_parquet_with_damaged_statistics_is_refused(tmp_path: Path) -> None:
    """Arrow ends the process where the metadata of such a column are asked for."""
    content = write_parquet(tmp_path / "a.parquet").read_bytes()
    optional, required = b"\x25\x02\x18\x04text", b"\x25\x00\x18\x04text"
    assert optional in content
    path = write(tmp_path / "b.parquet", content.replace(optional, required))
    for read in (lambda: read_rows(path, Columns()), lambda: list(TextFile(path).parts())):
        with pytest.raises(DataError, match=r"b\.parquet cannot be read as Parquet"):
            read()


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [("caf\u00e9", 1, "x")], encoding="latin1")
    with pytest.raises(DataError, match=r"a\.csv .*UTF-8.*line 2 .*0xe9.*data.encoding=cp1252"):
        read_rows(path, Columns())


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz", "a.tar.gz"])
def test_gzip_that_is_cut_off_or_changed_is_refused(tmp_path: Path, name: str) -> None:
    whole = gzip.compress(pickle.dumps([{"x": [[str(n) for n in range(5000)]]}, {}, []], 2))
    path = tmp_path / name
    path.write_bytes(whole[:len(whole) // 2])
    if name == "a.tar.gz":
        with pytest.raises(DataError, match=r"a\.tar\.gz .*truncated.*gzip"):
            read_rows(path, Columns())
        path.write_bytes(whole[:-6] + bytes(6))
    with pytest.raises(DataError, match=r"gzip|UTF-8|JSON"):
        read_rows(path, Columns())


def test_a_pickle_that_is_cut_off_is_no_gzip_data(tmp_path: Path) -> None:
    content = pickle.dumps([{"x": [["a"]]}, {}, []], 2)
    with pytest.raises(DataError, match=r"a\.pkl must be a pickle.*cannot be read"):
        read_rows(write(tmp_path / "a.pkl", content[:-1]), Columns())


def test_the_separator_in_a_message_is_an_escape(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 1 .*\\t") as refusal:
        read_rows(write(tmp_path / "a.tsv", b'"text"x\tlabel\n'), Columns())
    assert "\t" not in str(refusal.value)


def test_a_path_that_is_no_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"No such file.*none\.csv"):
        read_rows(tmp_path / "none.csv", Columns())
    with pytest.raises(UsageError, match=r"is a folder"):
        read_rows(tmp_path, Columns())
    (tmp_path / "a.xlsx").write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match=r"CSV \(\.csv\).*'a\.xlsx'"):
        read_rows(tmp_path / "a.xlsx", Columns())


def test_the_ending_of_a_name_decides_the_kind_of_a_file() -> None:
    kinds = {"A.CSV": ".csv", "a.csv.gz": ".csv", "a.tsv": ".tsv", "a.jsonl.gz": ".jsonl", "a.ndjson": ".ndjson",
             "a.parquet": ".parquet", "a.tar.gz": "pickle", "a.pkl": "pickle", "a.pickle.gz": "pickle"}
    assert {name: kind_of(Path(name)) for name in kinds} == kinds


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip),
                          st.integers(0, 1), st.just("k")), min_size=1))
def test_any_text_comes_back_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> None:
    folder = tmp_path_factory.mktemp("any")
    for path in (write_csv(folder / "a.csv", rows), write_json_lines(folder / "a.jsonl", rows),
                 write_csv(folder / "a.tsv", rows, separator="\t")):
        read = read_rows(path, Columns())
        assert read.text_N == [text for text, _, _ in rows]
        assert [read.classes[place] for place in read.label_N] == [str(label) for _, label, _ in rows]


ALL = Columns(category="kind", split="part")


@pytest.mark.parametrize("rows", [
    [{"text": "a", "label": "x" * 10**6}], [{"text": ["x" * 10**6], "label": 1}], [{f"k{n}": n for n in range(50_000)}],
    [{"x" * 10**6: 1}], [{"text": "a", "label": 1, "kind": "k", "part": "x" * 10**6}],
    [{"text": "a", "label": [[[1]]]}],
], ids=["label", "text", "keys", "key", "split", "nested"])
def test_a_message_about_huge_values_is_short(tmp_path: Path, rows: list[dict[str, object]]) -> None:
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)).encode())
    with pytest.raises(GruBenchError) as refusal:
        read_rows(path, ALL if "part" in rows[0] else Columns())
    assert len(str(refusal.value)) < 1000
    assert "\n" not in str(refusal.value)


def test_many_columns_are_counted_and_the_nearest_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", b",".join(b"c%d" % n for n in range(500)) + b",texts\n")
    with pytest.raises(UsageError, match=r"'txts'.*'texts'.* a\.csv .* 501 "):
        read_rows(path, Columns(text="txts"))


def test_control_characters_of_names_in_a_file_are_escaped(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", '"a\nb","\x1b]0;x","\u202ec",label\n'.encode())
    with pytest.raises(UsageError, match=r"'a\\nb', '\\x1b\]0;x', '\\u202ec', 'label'"):
        read_rows(path, Columns())
    path = write(tmp_path / "a.pkl", b"cos\x1b[2J\nsystem\n.")
    with pytest.raises(DataError, match=r"os\\x1b\[2J\.system"):
        read_rows(path, Columns())


def test_half_a_character_becomes_a_replacement_character(tmp_path: Path) -> None:
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


def test_a_corpus_of_half_characters_can_be_written(tmp_path: Path) -> None:
    rows = [{"text": f"{n} \ud83d", "label": n % 2, "kind": "\ud83d"} for n in range(60)]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)).encode())
    corpus = load_corpus(DataConfig(name=str(path), category_column="kind"), tmp_path)
    for split in (corpus.train, corpus.test):
        assert {category.encode() for category in split.category_N.tolist()} == {b"\xef\xbf\xbd"}
    assert all(text.encode().endswith(b" \xef\xbf\xbd") for text in corpus.texts("train"))


@pytest.mark.parametrize(("kind", "value"), [
    (pa.timestamp("s"), 2**53), (pa.timestamp("us"), 2**62), (pa.timestamp("us", "UTC"), 2**62),
    (pa.timestamp("us", "Nowhere/X"), 0), (pa.duration("s"), 2**53), (pa.date32(), 2**31 - 1), (pa.time64("us"), 2**62),
])
def test_dates_and_times_beyond_those_of_python_are_refused(tmp_path: Path, kind: pa.DataType, value: Any) -> None:
    path = tmp_path / "a.parquet"
    written = pa.array(np.array([value], f"int{kind.bit_width}")).view(kind)
    pq.write_table(pa.table({"text": ["a"], "label": [1], "kind": written, "part": ["test"]}), path)
    with pytest.raises(DataError, match=r"row 1 .*Python"):
        read_rows(path, ALL)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.parquet"])
def test_two_columns_of_one_name_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "a.parquet":
        pq.write_table(pa.table([["a"], ["b"], [1]], names=["text", "text", "label"]), path)
    else:
        path.write_text("text,text,label\na,b,1\n".replace(",", "," if name == "a.csv" else "\t"), encoding="utf-8")
    with pytest.raises(DataError, match=rf"{name} .*'text'.* 2 "):
        read_rows(path, Columns())


@pytest.mark.parametrize("content", ["text;label;note\nso, so;0;\n\"a;\nb\";1;x\n",
                                     '"text";"label";"no, te"\n"so, so";0;""\n"a;\nb";1;"x"\n'])
def test_a_csv_file_may_be_separated_by_semicolons(tmp_path: Path, content: str) -> None:
    rows = read_rows(write(tmp_path / "a.csv", content.encode("utf-8-sig")), Columns(category="label"))
    assert (rows.text_N, rows.category_N) == (["so, so", "a;\nb"], ["0", "1"])


@pytest.mark.parametrize("ending", ["csv", "tsv"])
@pytest.mark.parametrize("separator", [";", "\t", "|", ","])
def test_the_header_shows_what_separates_the_columns_whatever_the_ending(
    tmp_path: Path, ending: str, separator: str
) -> None:
    check_rows(read_rows(write_csv(tmp_path / f"a.{ending}", separator=separator), COLUMNS))
    other = "\t" if ending == "csv" else ","
    usual = "," if ending == "csv" else "\t"
    path = write(tmp_path / f"b.{ending}", f"text{usual}label{usual}a{other}b\nfine{usual}1{usual}x\n".encode())
    assert read_rows(path, Columns()).text_N == ["fine"]


@pytest.mark.parametrize(("name", "remedy"), [
    ("a.xlsx", r"save it as CSV"), ("a.ods", "save it as CSV"), ("a.json", r"one object on each line.*\.jsonl"),
    ("a.zip", "unpack"), ("a.csv.xz", "unpack"), ("a.txt", "convert")])
def test_another_kind_of_file_is_refused_with_a_remedy(tmp_path: Path, name: str, remedy: str) -> None:
    path = write(tmp_path / name, b"x")
    with pytest.raises(UsageError, match=rf"CSV .*'{name}': .*{remedy}"):
        load_corpus(DataConfig(name=str(path)))


def test_a_spreadsheet_that_was_renamed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.csv .*ZIP archive.*spreadsheet.*CSV"):
        read_rows(write(tmp_path / "a.csv", b"PK\x03\x04\x14\x00\x06\x00"), Columns())


@pytest.mark.parametrize(("name", "message"), [
    ("https://example.org/a.csv", r"'https://example\.org/a\.csv'.*URL: download"),
    ("s3://bucket/a.parquet", r"'s3://bucket/a\.parquet'.*URL: download"),
    ("caf\udce9.csv", r"can be read.*'caf\\udce9\.csv'.*check the path"),
], ids=range(3))
def test_a_name_that_is_no_path_is_a_usage_error(easy_csv: Path, name: str, message: str) -> None:
    corpus = load_corpus(DataConfig(name=str(easy_csv)))
    for load in (lambda: load_corpus(DataConfig(name=name)),
                 lambda: load_corpus(DataConfig(name=str(easy_csv), test_name=name)),
                 lambda: load_vectors(EmbeddingConfig(name=name), corpus)):
        with pytest.raises(UsageError, match=message) as refusal:
            load()
        assert len(str(refusal.value)) < 400


@pytest.mark.parametrize(("name", "message"), [
    ("~no-such-user/a.csv", r"the data .*'~no-such-user/a\.csv'.*home directory"),
    ("x" * 5000 + ".csv", r"the data .*can be read.*'x{99}\.\.\. \(5,004 characters\)"),
], ids=range(2))
def test_a_name_that_no_file_can_have_is_a_usage_error(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        named_path(name, "the data")


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
    parquet = io.BytesIO()
    pq.write_table(pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))), parquet)
    made["a.parquet"] = parquet.getvalue()
    value: Any = [{"c": [["a", "b"], ["c"]]}, {"c": [["d", "na\u00efve"]], "k": []}, ["a", "b"]]
    made |= {f"{protocol}.pkl": pickle.dumps(value, protocol) for protocol in (0, 2, 4)}
    made["v.txt"] = b"a 1 2\nna\xc3\xafve 0.5 -1e-3\nb c 1 2\n"
    made["w.txt"] = b"2 2\na 1 2\nb 3 4\n"
    made["v.bin"] = b"2 2\na " + struct.pack("<2f", 1, 2) + b"\nb " + struct.pack("<2f", 3, 4) + b"\n"
    return made


SEEDS = seeds()


ODD = [b"\0", b"\xff" * 4, b"\n", b'"', b"\\ud83d", b"9" * 50, b"[" * 2000, b"\x85", b"Q", b"\x8a\xff", b"nan", b"1e39",
       b"R", b"t", b"u", b"cos\nsystem\n"]


CHANGES = st.lists(st.tuples(
    st.sampled_from(["flip", "cut", "drop", "insert", "repeat", "set"]), st.floats(0, 1, exclude_max=True),
    st.integers(0, 255), st.sampled_from(ODD)), min_size=1, max_size=4)


Change = tuple[str, float, int, bytes]


def changed(content: bytes, changes: list[Change]) -> bytes:
    for change, share, number, odd in changes:
        at = int(share * len(content))
        before, after = content[:at], content[at:]
        content = {
            "flip": before + bytes([after[0] ^ 1 << number % 8]) + after[1:] if after else before,
            "cut": before, "drop": before + after[number % 20 + 1:], "insert": before + odd + after,
            "repeat": before + after[:number] * 3 + after, "set": before + odd + after[len(odd):],
        }[change]
    return content


@given(st.sampled_from(sorted(SEEDS)), CHANGES, st.sampled_from(["", "inside", "outside"]))
def test_a_randomly_changed_file_is_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, name: str, changes: list[Change], zipped: str
) -> None:
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
