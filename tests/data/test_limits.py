"""Reading a file takes no more memory than its size explains."""

from __future__ import annotations

import csv
import io
import json
import pickle
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gru_bench.config import DataConfig
from gru_bench.data import limits, tables
from gru_bench.data.columns import Columns
from gru_bench.data.corpus import load_corpus
from gru_bench.data.limits import Budget
from gru_bench.errors import DataError, UsageError
from gru_bench.inference.files import TextFile
from tests.support.files import read_rows, write

ALL = Columns(category="kind", split="part")


def predicted(path: Path) -> int:
    """Read a file as prediction does, and return its number of texts."""
    return sum(len(part.texts) for part in TextFile(path).parts())


@pytest.mark.usefixtures("low")
@pytest.mark.parametrize(("name", "content", "message"), [
    ("a.csv.gz", b"text,label\n\"" + b"a" * 10**6, "100,000 characters.* line 2 "),
    ("a.csv.gz", b"text,label\nb,1\n\"" + b"aaaaaaaaa\n" * 15_000, "100,000 characters.* line 3 "),
    ("a.csv.gz", b"text,label\n" + b'"aaaaaa\n",' * 15_000, "100,000 characters.* line 2 "),
    ("a.csv.gz", b"text," * 10**5, "100,000 characters.* line 1 "),
    ("a.tsv.gz", b"text\tlabel\n" + b"a\t1\n" * 10**5, "more than 2 MB"),
    ("a.csv.gz", b"text,label\n" + b"\n" * 10**5, "more than 2 MB"),
    ("a.jsonl.gz", b'{"text": "' + b"a" * 10**6, "100,000 characters.* line 1 "),
    ("a.jsonl.gz", b'{"text": "a", "label": 1}\n' * 10**5, "more than 2 MB"),
    ("a.jsonl.gz", b"\n" * 10**5, "more than 2 MB"),
    ("a.pkl.gz", bytes(10**7), "more than 2 MB"),
], ids=range(10))
def test_a_small_file_that_unpacks_to_a_large_one_is_refused(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = write(tmp_path / name, content)
    refusal = rf"{message}.*GRU_BENCH_LIMITS=10"
    with pytest.raises(DataError, match=refusal):
        read_rows(path, Columns())
    if "pkl" not in name:
        with pytest.raises(DataError, match=refusal):
            predicted(path)


@pytest.mark.usefixtures("low")
def test_parquet_that_unpacks_to_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"

    def refused(message: str, **columns: Any) -> None:
        pq.write_table(pa.table(columns), path, compression="zstd")
        assert path.stat().st_size < 20_000
        for read in (lambda: read_rows(path, Columns()), lambda: predicted(path)):
            with pytest.raises(DataError, match=message):
                read()

    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), ["x" * 50_000])
    refused("more than 2 MB", text=texts, label=[1] * 1000)
    refused("more than 2 MB", text=["x"] * 50_000, label=[1] * 50_000)
    refused(r"100,000 characters.* rows 1 to 2 ", text=["x" * 10**6, "b"], label=[0, 1])
    refused(r"column 'text' .*list<", text=[["x"] * 1000], label=[1])


@pytest.mark.usefixtures("low")
def test_the_size_that_a_parquet_file_declares_is_checked_before_a_row_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [str(n) * 30_000 for n in range(40)], "label": [0, 1] * 20}), path,
                   compression="zstd")
    monkeypatch.setattr(tables, "_values", lambda *_: pytest.fail("a row was read"))
    for read in (lambda: read_rows(path, Columns()), lambda: predicted(path)):
        with pytest.raises(DataError, match="more than 2 MB"):
            read()


def test_a_batch_of_parquet_is_small_where_its_texts_may_be_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["x" * 1000] * 200, "label": [0, 1] * 100}), path, compression="zstd")
    read: list[int] = []
    values = tables._values

    def noted(path: Path, column: Any, rows: str, budget: Budget) -> list[Any]:
        read.append(len(column))
        return values(path, column, rows, budget)

    monkeypatch.setattr(tables, "_values", noted)
    for most, expected in ((10**9, 200), (10_000, 4)):
        monkeypatch.setattr(tables, "_BATCH_BYTES", most)
        read.clear()
        assert predicted(path) == 200
        assert max(read) == expected


def test_parquet_of_very_many_columns_or_groups_is_refused_before_arrow_follows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gru_bench.data.tables._PARQUET_LIST", 50)
    nested = pa.int8()
    for _ in range(60):
        nested = pa.struct([("a", nested)])
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a"], "label": [1], "x": pa.nulls(1, nested)}), path)
    with pytest.raises(DataError, match=r"at most 50 columns"):
        read_rows(path, Columns())
    for groups, refused in ((50, False), (51, True)):
        pq.write_table(pa.table({"text": ["a"] * groups, "label": [1] * groups}), path, row_group_size=1)
        if refused:
            with pytest.raises(DataError, match=r"at most 50 .*groups"):
                read_rows(path, Columns())
        else:
            assert len(read_rows(path, Columns())) == groups


def test_the_memory_of_categories_is_that_of_the_longest_for_each_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MEMORY", 2_000_000)
    path = tmp_path / "a.csv"
    rows = [f"t{n},1,k,train" for n in range(1000)]
    path.write_text("\n".join(["text,label,kind,part", *rows, f"t,1,{'k' * 5000},test"]), encoding="utf-8")
    with pytest.raises(DataError, match="more than 2 MB"):
        read_rows(path, ALL)


def test_data_that_do_not_fit_into_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    path = write(tmp_path / "a.jsonl", b'{"text": "a", "label": 1}\n')
    with monkeypatch.context() as patch:
        patch.setattr("gru_bench.data.tables.json.loads", full)
        with pytest.raises(DataError, match=r"a\.jsonl .*memory"):
            read_rows(path, Columns())
    monkeypatch.setattr("gru_bench.data.corpus._split", full)
    write(path, b'{"text": "a", "label": 1}\n{"text": "b", "label": 0}\n')
    with pytest.raises(DataError, match=r"a\.jsonl .*memory of"):
        load_corpus(DataConfig(name=str(path)))


def ordinary(count: int) -> list[tuple[str, int]]:
    """Reviews of about 1,000 characters."""
    generator = random.Random(3)
    words = ["".join(generator.choices("etaoinshrdlu", k=generator.randint(2, 9))) for _ in range(5000)]
    return [(" ".join(generator.choices(words, k=155)), n % 2) for n in range(count)]


def test_any_number_of_ordinary_reviews_is_within_the_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_the_limits_can_be_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ROW", 1000)
    path = write(tmp_path / "a.csv", b"text,label\n" + b"a" * 2000 + b",1\n")
    with pytest.raises(DataError, match="1,000 characters"):
        read_rows(path, Columns())
    monkeypatch.setenv("GRU_BENCH_LIMITS", "10")
    assert len(read_rows(path, Columns())) == 1
    for value in ("0", "x", "nan", "1e300", "-1"):
        monkeypatch.setenv("GRU_BENCH_LIMITS", value)
        with pytest.raises(UsageError, match=rf"GRU_BENCH_LIMITS .*'{value}'"):
            read_rows(path, Columns())
