"""Files of texts and of predictions: every form is read and written, and a failure names its line."""

from __future__ import annotations

import csv
import gzip
import json
import re
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gru_bench.config import DataConfig
from gru_bench.errors import DataError, GruBenchError, UsageError
from gru_bench.inference.files import TextFile, check_output, column_names, writing
from gru_bench.inference.prediction import CHUNK, Prediction
from gru_bench.inference.predictor import Predictor
from tests.support.commands import mentions
from tests.support.files import write
from tests.support.trained_study import made_up

ROWS = [("a1", "first text"), ("b2", 'with "quotes", commas\tand tabs'), ("c3", "two\nlines\r\nor three"),
        ("d4", "naïve café 中文 😀 \u2028 \u00a0"), ("e5", ""), ("f6", "x" * 200_000)]


def read(path: Path, count: int = 4, **settings: Any) -> list[tuple[Any, str]]:
    """The ids and texts of a file, read in parts of `count`."""
    parts = list(TextFile(path, **settings).parts(count))
    assert all(len(part.texts) == len(part.ids) == count for part in parts[:-1])
    assert 0 < len(parts[-1].texts) <= count
    return [pair for part in parts for pair in zip(part.ids, part.texts, strict=True)]


def as_csv(path: Path, rows: Sequence[Sequence[Any]], header: Sequence[str] = ("id", "text"), **form: Any) -> Path:
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, **form)
        writer.writerows([header, *rows])
    return path


def as_lines(path: Path, rows: Sequence[Any]) -> Path:
    return write(path, "".join(f"{json.dumps(row)}\n" for row in rows).encode())


def test_the_columns_of_the_data_of_the_model_come_before_usual_ones(tmp_path: Path) -> None:
    trained_on = DataConfig(text_column="body", id_column="ticket")
    path = as_csv(tmp_path / "new.csv", [("1", "a title", "T7", "a body")], ("id", "text", "ticket", "body"))
    assert read(path) == [("1", "a title")]
    assert read(path, trained_on=trained_on) == [("T7", "a body")]
    assert read(path, trained_on=trained_on, text_column="text", id_column="id") == [("1", "a title")]
    others = as_csv(tmp_path / "others.csv", ROWS)
    assert read(others, trained_on=trained_on) == read(others)


def as_parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=3)
    return path


def refused(path: Path, kind: type[GruBenchError] = DataError, **settings: Any) -> str:
    with pytest.raises(kind) as found:
        read(path, **settings)
    return str(found.value)


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize(
    "name", ["t.csv", "t.CSV", "t.csv.gz", "t.tsv", "t.jsonl", "t.ndjson", "t.jsonl.gz", "t.parquet"])
def test_every_kind_of_table_gives_the_same(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if "csv" in name.lower() or "tsv" in name:
        as_csv(path, ROWS, delimiter="\t" if "tsv" in name else ",")
    elif name == "t.parquet":
        as_parquet(path, id=[row[0] for row in ROWS], text=[row[1] for row in ROWS])
    else:
        as_lines(path, [{"id": ident, "text": text} for ident, text in ROWS])
    for count in (1, 4, 100):
        assert read(path, count) == ROWS


@pytest.mark.parametrize("name", ["t.txt", "t.txt.gz"])
def test_a_text_file_has_a_text_on_each_line(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, b'one\n\r\ntwo, and "three"\r\n  four')
    assert read(path, 3) == [(1, "one"), (2, ""), (3, 'two, and "three"'), (4, "  four")]


@pytest.mark.parametrize(("name", "content"), [
    ("t.csv", "text\nä\n"), ("t.txt", "ä"), ("t.jsonl", '{"text": "ä"}\n'), ("t.csv.gz", "text\nä\n")])
def test_a_byte_order_mark_of_utf8_is_left_out(tmp_path: Path, name: str, content: str) -> None:
    path = write(tmp_path / name, content.encode("utf-8-sig"))
    assert read(path) == read(path, encoding="UTF8") == [(1, "ä")]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "latin-1"])
def test_files_in_other_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path / "t.csv", "id,text\n7,Größe\n8,naïve\n".encode(encoding))
    assert read(path, encoding=encoding) == [("7", "Größe"), ("8", "naïve")]


def test_ids_are_those_of_a_usual_column_or_numbers_of_rows(tmp_path: Path) -> None:
    assert read(as_csv(tmp_path / "a.csv", [("x", "u"), ("y", "v")], ("text", "Review_ID"))) == [("u", "x"), ("v", "y")]
    assert read(as_csv(tmp_path / "b.csv", [("x", "u"), ("y", "v")], ("text", "key"))) == [(1, "x"), (2, "y")]
    assert read(tmp_path / "b.csv", id_column="key") == [("u", "x"), ("v", "y")]
    assert read(tmp_path / "b.csv", text_column="key", id_column="text") == [("x", "u"), ("y", "v")]
    lines = as_lines(tmp_path / "c.jsonl", [{"text": "x", "id": 7}, {"text": "y"}, {"text": "z", "id": "\ud800"}])
    assert read(lines) == [(7, "x"), (None, "y"), ("\ufffd", "z")]
    table = as_parquet(tmp_path / "d.parquet", text=["x", "y"], id=pa.array([2**40, None], pa.int64()))
    assert read(table) == [(2**40, "x"), (None, "y")]
    assert read(table, id_column="text") == [("x", "x"), ("y", "y")]


def test_a_column_of_a_usual_name_is_read_in_the_place_of_text(tmp_path: Path) -> None:
    assert read(as_csv(tmp_path / "a.csv", [("x",)], ("Review",))) == [(1, "x")]
    assert read(as_lines(tmp_path / "a.jsonl", [{"sentence": "x"}])) == [(1, "x")]


def test_blank_lines_of_tables_are_skipped(tmp_path: Path) -> None:
    assert read(write(tmp_path / "t.csv", b"text\n\nx\n\n\ny\n")) == [(1, "x"), (2, "y")]
    assert read(write(tmp_path / "t.jsonl", b'\n{"text": "x"}\n \n{"text": "y"}\n')) == [(1, "x"), (2, "y")]


def test_the_fraction_that_has_been_read_grows_to_one(tmp_path: Path) -> None:
    plain = TextFile(as_csv(tmp_path / "t.csv", [(n, "some text") for n in range(5000)]))
    table = TextFile(as_parquet(tmp_path / "t.parquet", text=["x"] * 600))
    for file in (plain, table):
        at = [part.fraction or 0 for part in file.parts(4)]
        assert at == sorted(at)
        assert 0 < at[0] < at[-1] == 1
    first, *_ = TextFile(as_csv(tmp_path / "t.csv.gz", [(1, "x"), (2, "y")])).parts(1)
    assert first.fraction is None


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize(("name", "content", "line", "what"), [
    ("t.csv", b"id,text\n1,x\n2,y,z\n", 3, "has 3"),
    ("t.csv", b'id,text\n1,"x\nx"\n2,"y\ny"\n3\n', 6, "has 1"),
    ("t.csv", b"id;text\n1;x\n2;y;z\n", 3, "semicolons"),
    ("t.csv", b'id,text\n1,x\n2,"no end\n3,y\n4,z\n', 3, "unexpected end"),
    ("t.csv", b'id,text\n1,"x" y\n', 2, "expected after"),
    ("t.tsv", b"id\ttext\n1\tx\n2\n", 3, "has 1"),
    ("t.csv", b"text\nx\n" + b"y\n" * 9000 + b"\xff\n", 9003, "0xff"),
    ("t.txt", b"x\ny\xc3", 2, "0xc3"),
    ("t.csv.gz", b"text\nx\n\xff\n", 3, "0xff"),
    ("t.jsonl", b'{"text": "x"}\n\n{"text": "y"\n', 3, "JSON"),
    ("t.jsonl", b'{"text": "x"}\n["y"]\n', 2, "['y']"),
    ("t.jsonl", b'{"text": "x"}\n' + b"[" * 100_000, 2, "JSON"),
])
def test_a_row_that_cannot_be_read_is_named_by_its_line(
    tmp_path: Path, name: str, content: bytes, line: int, what: str
) -> None:
    said = refused(write(tmp_path / name, content))
    assert re.search(rf"\bline {line:,} ", said), said
    assert what in said
    assert str(tmp_path / name) in said


def test_a_row_without_a_text_is_named_by_its_number(tmp_path: Path) -> None:
    mentions(refused(as_parquet(tmp_path / "t.parquet", text=["x"] * 5 + [None])), "row 6", "None", "'text'")
    mentions(refused(as_lines(tmp_path / "t.jsonl", [{"text": "x"}, {"text": 7}])), "row 2", "7", "'text'")
    mentions(refused(as_lines(tmp_path / "u.jsonl", [{"text": "x"}, {"other": "y"}])), "row 2", "None", "'text'")


@pytest.mark.parametrize(("name", "content"), [
    ("t.csv", b""), ("t.csv", b"id,text\n"), ("t.csv", b"id,text\n\n\n"), ("t.csv.gz", b""), ("t.jsonl", b"\n \n"),
    ("t.txt", b""), ("t.txt.gz", b"")])
def test_a_file_without_texts_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    mentions(refused(write(tmp_path / name, content)), name, "create or copy it again")


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    mentions(refused(as_parquet(tmp_path / "t.parquet", text=pa.array([], pa.string()))), "t.parquet", "no rows")


def test_a_missing_column_lists_the_columns(tmp_path: Path) -> None:
    tables = (as_csv(tmp_path / "t.csv", [(1, "x")], ("nr", "words")),
              as_lines(tmp_path / "t.jsonl", [{"nr": 1, "words": "x"}]),
              as_parquet(tmp_path / "t.parquet", nr=[1], words=["x"]))
    for path in tables:
        mentions(refused(path, UsageError), path.name, "'nr'", "'words'", "text column")
        mentions(refused(path, UsageError, text_column="word"), "'words'?")
        mentions(refused(path, UsageError, text_column="words", id_column="key"), "'key'", "id column")


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    mentions(refused(as_csv(tmp_path / "t.csv", [("x", "y")], ("text", "text"))), "'text'", "2")
    pq.write_table(pa.table([pa.array(["x"]), pa.array(["y"])], names=["text", "text"]), tmp_path / "t.parquet")
    mentions(refused(tmp_path / "t.parquet"), "'text'", "2")


@pytest.mark.parametrize(("name", "content", "said"), [
    ("t.xlsx", b"PK", "CSV"), ("t.pkl", b"x", "--file"), ("t", b"x", "CSV"), ("t.json", b"[]", ".jsonl")])
def test_other_kinds_of_files_are_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    mentions(refused(write(tmp_path / name, content), UsageError), name, said)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.csv"):
        mentions(refused(path, UsageError), str(path))


@pytest.mark.parametrize("encoding", ["klingon", "base64", ""])
def test_an_unknown_encoding_is_refused(tmp_path: Path, encoding: str) -> None:
    said = refused(write(tmp_path / "t.csv", b"text\nx\n"), UsageError, encoding=encoding)
    mentions(said, "encoding must be", "utf-8, cp1252", repr(encoding))


def test_damaged_files_raise_no_other_errors(tmp_path: Path) -> None:
    whole = as_parquet(tmp_path / "t.parquet", text=[f"text {n}" for n in range(5)]).read_bytes()
    for place in (*range(4, len(whole), 23), *range(len(whole) - 12, len(whole))):
        for damaged in (whole[:place], whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1:]):
            (tmp_path / "d.parquet").write_bytes(damaged)
            with suppress(DataError, UsageError):  # some bytes change a text only
                read(tmp_path / "d.parquet")
    packed = gzip.compress(b"text\n" + b"some text\n" * 1000)
    assert "gzip" in refused(write(tmp_path / "u.csv", packed[:-20]))


# ---------------------------------------------------------------- writing


def predictions(count: int, classes: tuple[str, ...] = ("bad, worse", "good")) -> Prediction:
    share_N = np.linspace(0, 1, count)
    probability_NC = np.stack([share_N, *[(1 - share_N) / (len(classes) - 1)] * (len(classes) - 1)], axis=1)
    return Prediction(classes, probability_NC, np.full(count, 3), np.arange(count) % 4, np.full(count, 1))


def written(path: Path, *parts: Sequence[Any]) -> list[dict[str, Any]]:
    """Write predictions for texts of these ids; return the rows as dictionaries."""
    with writing(path, ("bad, worse", "good")) as write_part:
        for ids in parts:
            write_part(ids, predictions(len(ids)))
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return rows
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", ["o.csv", "o.parquet", "O.CSV"])
def test_every_kind_of_output_holds_the_same(tmp_path: Path, name: str) -> None:
    ids = ["plain", 'with "quotes",\n', "中文 \t😀", ""]
    rows = written(tmp_path / name.lower(), ids, ["last"])
    assert [row["id"] for row in rows] == [*ids, "last"]
    columns = ["id", "label", "probability_bad, worse", "probability_good", "known_words"]
    assert all(list(row) == columns for row in rows)
    assert [row["label"] for row in rows] == ["good", "good", "bad, worse", "bad, worse", "good"]
    assert [float(row["probability_bad, worse"]) for row in rows] == [0, 0.333333, 0.666667, 1, 0]
    assert [float(row["known_words"]) for row in rows] == [0, 0.3333, 0.6667, 1, 0]
    assert [path.name for path in tmp_path.iterdir()] == [name.lower()]


def test_ids_may_be_whole_numbers_or_missing(tmp_path: Path) -> None:
    assert [row["id"] for row in written(tmp_path / "o.parquet", [3, None, 2**62], [5])] == [3, None, 2**62, 5]
    assert [row["id"] for row in written(tmp_path / "o.csv", [3, None, "x", 1.5])] == ["3", "", "x", "1.5"]
    several: list[list[Any]] = [[3, "x", None, True], [2**63], [True]]
    for place, ids in enumerate(several):
        rows = written(tmp_path / f"{place}.parquet", ids)
        assert [row["id"] for row in rows] == [None if one is None else str(one) for one in ids]


def test_an_id_or_a_class_that_a_spreadsheet_would_compute_is_quoted(tmp_path: Path) -> None:
    ids = ["=1+1", "@x", "-5", "+1e3", "plain", -5, None]
    with writing(tmp_path / "o.csv", ("=bad", "good")) as write_part:
        write_part(ids, predictions(len(ids), ("=bad", "good")))
    _, *rows = csv.reader((tmp_path / "o.csv").read_text().splitlines())
    assert [row[0] for row in rows] == ["'=1+1", "'@x", "-5", "+1e3", "plain", "-5", ""]
    assert {row[1] for row in rows} == {"'=bad", "good"}


def test_half_a_character_in_an_id_is_replaced(tmp_path: Path) -> None:
    assert written(tmp_path / "o.parquet", [{"a": "\ud800"}])[0]["id"] == "{'a': '\\ud800'}"
    path = as_lines(tmp_path / "t.jsonl", [{"text": "x \ud800", "id": "\ud800"}])
    assert read(path) == [("\ufffd", "x \ufffd")]


def test_ids_that_change_their_kind_are_refused_in_parquet(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ids.*whole numbers.*'x'.*--id-column"):
        written(tmp_path / "o.parquet", [1, 2], [3, "x"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["o.csv", "o.parquet"])
@pytest.mark.parametrize("error", [DataError("line 7"), KeyboardInterrupt()])
def test_nothing_is_left_of_a_failure(tmp_path: Path, name: str, error: BaseException) -> None:
    (tmp_path / name).write_text("before")

    def fail() -> None:
        with writing(tmp_path / name, ("bad", "good")) as write_part:
            write_part([1, 2], predictions(2, ("bad", "good")))
            raise error

    with pytest.raises(type(error)):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "before"


def test_the_columns_of_many_classes() -> None:
    assert column_names(("id", "label", "x")) == [
        "id", "label", "probability_id", "probability_label", "probability_x", "known_words"]


def test_outputs_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    (tmp_path / "there.csv").touch()
    (tmp_path / "folder.csv").mkdir()
    for path, said in ((tmp_path / "o.txt", r"\.csv"), (tmp_path / "o", r"\.csv"),
                       (tmp_path / "none" / "o.csv", "--to.*folder"), (tmp_path / "folder.csv", "--to.*folder"),
                       (tmp_path / "there.csv", "--force")):
        with pytest.raises(UsageError, match=said):
            check_output(path)
    with pytest.raises(UsageError, match="predictions"):
        check_output(tmp_path / "there.csv", force=True)


# ---------------------------------------------------------------- memory


def peak(predictor: Predictor, source: Path, out: Path) -> int:
    """The most bytes that Python and numpy hold while a file is predicted."""
    tracemalloc.start()
    try:
        with writing(out, predictor.model.classes) as write_part:
            for part in TextFile(source).parts():
                write_part(part.ids, predictor.predict(part.texts))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def generated(count: int) -> Iterator[tuple[str, str]]:
    return ((f"id{n}", " ".join(f"word{1 + n * k % 11}" for k in range(1, 15))) for n in range(count))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, kind: str) -> None:
    predictor = Predictor(made_up(seeds=(1,), settings={"model.name": "torch"}))
    found = []
    for count in (2 * CHUNK, 12_000):
        source = tmp_path / f"{count}.{kind}"
        rows = list(generated(count))
        if kind == "csv":
            as_csv(source, rows)
        elif kind == "jsonl":
            as_lines(source, [{"id": ident, "text": text} for ident, text in rows])
        else:
            pq.write_table(pa.table({"id": [row[0] for row in rows], "text": [row[1] for row in rows]}), source,
                           row_group_size=CHUNK)
        del rows
        found.append(peak(predictor, source, tmp_path / f"out.{kind}"))
    assert found[1] - found[0] < 2_000_000
