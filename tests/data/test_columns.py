"""Columns with the usual names are found; otherwise a message lists the columns."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gru_bench.data.columns import USUAL, Columns
from gru_bench.errors import UsageError
from tests.support.commands import mentions
from tests.support.files import read_rows
from tests.support.reviews import write

ROWS = [("fine", "good", "x"), ("dull", "bad", "y")]


def saved(folder: Path, kind: str, header: tuple[str, ...]) -> Path:
    path = folder / f"a.{kind}"
    if kind == "csv":
        write(path, ROWS, header)
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps(dict(zip(header, row, strict=True))) for row in ROWS), encoding="utf-8")
    else:
        pq.write_table(pa.table(dict(zip(header, map(list, zip(*ROWS, strict=True)), strict=True))), path)
    return path


KINDS = pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])


@pytest.mark.parametrize(("kind", "header"), [
    ("csv", ("review", "sentiment", "id")), ("jsonl", ("Review Text", "STARS", "x")),
    ("parquet", ("text", "Topic", "x")), ("csv", ("sentence", "label", "x")),
    ("jsonl", ("review_body", "star-rating", "title")), ("parquet", ("comments", "Sentiments", "x"))])
def test_the_only_column_with_a_usual_name_is_read_and_noted(
    tmp_path: Path, kind: str, header: tuple[str, ...]
) -> None:
    rows = read_rows(saved(tmp_path, kind, header), Columns())
    assert rows.text_N == ["fine", "dull"]
    assert (rows.classes, rows.label_N.tolist()) == (("bad", "good"), [1, 0])
    note = str(*rows.notes)
    for role, name in zip(USUAL, header, strict=False):
        assert (f"{role}s" in note) == (f"'{name}'" in note) == (name != role)
        assert (f"{role} column" in note) == (name != role)


@KINDS
def test_named_columns_and_those_of_the_default_names_come_first(tmp_path: Path, kind: str) -> None:
    rows = read_rows(saved(tmp_path, kind, ("text", "label", "sentiment")), Columns())
    assert (rows.classes, rows.notes) == (("bad", "good"), ())
    rows = read_rows(saved(tmp_path, kind, ("review", "rating", "sentiment")), Columns(label="sentiment"))
    assert rows.classes == ("x", "y")
    note = str(*rows.notes)
    mentions(note, "texts", "'review'", "text column")
    assert "label" not in note
    # A column with another role does not stand in.
    rows = read_rows(saved(tmp_path, kind, ("review", "sentiment", "category")), Columns(category="category"))
    assert (rows.classes, rows.category_N) == (("bad", "good"), ["x", "y"])


@KINDS
@pytest.mark.parametrize(("header", "message"), [
    (("v1", "v2", "label"), r"text column.* 3 columns of a\.\w+ .*'v1', 'v2', 'label'"),
    (("review", "comment", "label"), r"text column.* several columns of a\.\w+ .*\('review', 'comment'\)"),
    (("text", "stars", "sentiment"), r"label column.* several columns of a\.\w+ .*\('stars', 'sentiment'\)"),
])
def test_ambiguous_columns_are_refused_with_their_names(
    tmp_path: Path, kind: str, header: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        read_rows(saved(tmp_path, kind, header), Columns())


def test_a_message_about_many_long_columns_is_cut(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "a.csv", [["y" * 5000] * 50], [f"{n:02}{'c' * 55}" for n in range(50)]))
    for columns in (Columns(), Columns("words")):
        with pytest.raises(UsageError, match=r" 50 columns") as refusal:
            read_rows(path, columns)
        assert len(str(refusal.value)) < 1000


@pytest.mark.parametrize("first", ["1\tA great film", "positive\tIt took a while, but then I could not stop"])
def test_a_table_without_column_names_is_refused(tmp_path: Path, first: str) -> None:
    path = tmp_path / "a.tsv"
    path.write_text(f"{first}\n0\tdull\n", encoding="utf-8")
    with pytest.raises(UsageError, match=rf"a\.tsv .*'{first[0]}.*header line"):
        read_rows(path, Columns())


def test_column_names_may_look_like_a_row(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "a.csv", ROWS, ("text", "label", "2024")))
    assert read_rows(path, Columns()).classes == ("bad", "good")
    path = Path(write(tmp_path / "a.csv", ROWS, ("1", "2", "3")))
    assert read_rows(path, Columns("1", "2")).classes == ("bad", "good")


def test_a_dictionary_column_gives_its_words(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    label = pa.array(["sport", "arts", "sport"]).dictionary_encode()
    pq.write_table(pa.table({"text": ["a", "b", "c"], "label": label}), path)
    rows = read_rows(path, Columns())
    assert (rows.classes, rows.label_N.tolist()) == (("arts", "sport"), [1, 0, 1])
