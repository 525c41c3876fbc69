"""Labels -> classes: names, their order, and values that are refused because they look like no classes."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gru_bench.config import DataConfig
from gru_bench.data.columns import Columns
from gru_bench.data.corpus import load_corpus
from gru_bench.data.labels import Classes, alike, as_given, classes_of, label_of, listed
from gru_bench.errors import DataError
from tests.support.commands import mentions
from tests.support.files import read_rows
from tests.support.reviews import write


def classes(values: list[Any]) -> Classes:
    spellings = list(map(label_of, values))
    assert all(spellings)
    return classes_of(spellings, "column 'label' of a.csv", "specify another")


@pytest.mark.parametrize(("values", "names", "labels"), [
    (["positive", "negative", "positive"], ("negative", "positive"), [1, 0, 1]),
    ([10, 2, 1, 2], ("1", "2", "10"), [2, 1, 0, 1]),
    (["10", "2", " 1 ", "2"], ("1", "2", "10"), [2, 1, 0, 1]),
    (["1.0", "2.0", "1"], ("1", "2"), [0, 1, 0]),
    ([1.0, 2.0], ("1", "2"), [0, 1]),
    ([Decimal("1.00"), Decimal("2.00")], ("1", "2"), [0, 1]),
    ([4.5, 0.5, "-1", 1e30], ("-1", "0.5", "4.5", "1e+30"), [2, 1, 0, 3]),
    ([-1, 1], ("-1", "1"), [0, 1]),
    ([True, False], ("false", "true"), [1, 0]),
    (["TRUE", "False"], ("false", "true"), [1, 0]),
    ([0, 1], ("0", "1"), [0, 1]),
    (["1.0", "true", 0, -0.0], ("0", "1"), [1, 1, 0, 0]),
    (["true", "false", "unknown"], ("false", "true", "unknown"), [1, 0, 2]),
    (["B", "a", "A", "b"], ("A", "B", "a", "b"), [1, 2, 0, 3]),
    (["v1.10", "v1.1"], ("v1.1", "v1.10"), [1, 0]),
    (["1.0", "one"], ("1.0", "one"), [0, 1]),
    (["so, so", "schlecht \u00fcb", "\U0001f600\U0001f1e9\U0001f1ea", " very good\n"],
     ("schlecht \u00fcb", "so, so", "very good", "\U0001f600\U0001f1e9\U0001f1ea"), [1, 0, 3, 2]),
])
def test_classes_are_named_as_they_are_spelled_in_numeric_or_alphabetical_order(
    values: list[Any], names: tuple[str, ...], labels: list[int]
) -> None:
    found = classes(values)
    assert (found.names, found.label_N.tolist()) == (names, labels)


@given(st.lists(st.integers(-10**6, 10**6) | st.text(min_size=1).filter(label_of), min_size=1, max_size=15))
def test_the_name_of_a_label_is_its_spelling_in_any_order_of_rows(values: list[Any]) -> None:
    found = classes(values)
    shuffled = random.Random(0).sample(values, len(values))
    assert classes(shuffled).names == found.names
    if all(not isinstance(value, int) and any(map(str.isalpha, value)) for value in values) and not found.plain:
        assert [found.names[label] for label in found.label_N] == list(map(label_of, values))


@pytest.mark.parametrize("value", [None, "", " \n", float("nan"), float("inf"), [1], {"a": 1}, b"x", Decimal("NaN")])
def test_a_value_that_is_no_label_has_no_spelling(value: Any) -> None:
    assert label_of(value) == ""


@pytest.mark.parametrize("count", [2, 128, 129, 1000])
def test_any_number_of_classes_has_a_position_each(count: int) -> None:
    assert classes(list(range(count)) * 3).label_N.tolist() == list(range(count)) * 3


def test_only_labels_of_zero_and_one_are_plain() -> None:
    for values, plain in (([0, 1], True), (["true", "false"], True), ([0, 1, 2], False), (["no", "yes"], False),
                          ([1, 2], False)):
        assert classes(values).plain is plain


@pytest.mark.parametrize(("values", "message"), [
    ([n / 100 for n in range(1, 22)], r" 20 .*decimals.* 21 .*0\.01"),
    (list(range(1001)) * 5, r" 1,000.* 1,001 .* 5,005 rows.*'1000'"),
    (list(range(30)), r" 30 .* 30 rows"),
    ([f"word {n}" for n in range(1001)] * 4, r" 1,000.* 1,001 .* 4,004 rows.*'word 1000'"),
    ([f"word {n}" for n in range(40)], r" 40 .* 40 rows"),
    (["short", "x" * 251], r" 250 characters.*'x{39}\.\.\. \(251 characters\)"),
])
def test_numbers_to_predict_ids_and_texts_are_refused_as_labels(values: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=f"column 'label' of a\\.csv .*{message}.*specify another"):
        classes(values)


def test_as_many_classes_as_the_limits_allow_are_read() -> None:
    for values, count in (([n / 2 for n in range(20)], 20), (list(range(1000)) * 2, 1000), (list(range(15)), 15),
                          ([f"{n}" * 250 for n in "ab"], 2)):
        assert len(classes(values).names) == count


def test_a_long_list_of_classes_is_cut() -> None:
    assert listed(["a", "b"]) == "'a', 'b'"
    assert listed(map(str, range(13))).endswith("'9' and 3 more")


def test_labels_of_a_file_lose_white_space_and_nul(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "a.csv", [("a", " so, so "), ("b", "\u00fcb\0el"), ("c", "so, so")]))
    rows = read_rows(path, Columns())
    assert (rows.classes, rows.label_N.tolist(), rows.plain) == (("so, so", "\u00fcbel"), [0, 1, 0], False)


@pytest.mark.parametrize(("labels", "kind", "expected"), [
    ([1, 0], "parquet", [0, 1]), (["1", "0"], "parquet", ["0", "1"]), (["1", "0"], "jsonl", ["0", "1"]),
    ([1, 0], "jsonl", [0, 1]), (["1", "0"], "csv", [0, 1]), ([True, False], "parquet", [False, True]),
    (["True", "False"], "csv", [False, True]), ([10.0, 2.5], "parquet", [2.5, 10.0]), ([10.0, 2.0], "jsonl", [2, 10]),
    (["b", "a"], "parquet", ["a", "b"]), (["7", "a"], "csv", ["7", "a"]), (["7", "8.5"], "parquet", ["7", "8.5"])])
def test_classes_are_given_back_as_the_data_has_them(
    tmp_path: Path, labels: list[Any], kind: str, expected: list[Any]
) -> None:
    """As pandas reads them where the file does not tell numbers from texts."""
    path, table = tmp_path / f"a.{kind}", {"text": ["a", "b"], "label": labels}
    if kind == "parquet":
        pq.write_table(pa.table(table), path)
    elif kind == "csv":
        rows_of_text = [("text", "label"), *zip("ab", labels, strict=True)]
        path.write_text("".join(f"{text},{label}\n" for text, label in rows_of_text))
    else:
        path.write_text("".join(f"{json.dumps(dict(zip(table, row, strict=True)))}\n" for row in zip(
            *table.values(), strict=True)))
    rows = read_rows(path, Columns())
    found = as_given(rows.classes, are_texts=rows.text_labels).tolist()
    assert (found, list(map(type, found))) == (expected, list(map(type, expected)))


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("missing", ["NaN", " nan", "None", "null", "NULL", "<NA>"])
def test_a_missing_label_that_was_written_as_text_is_refused_alike(tmp_path: Path, kind: str, missing: str) -> None:
    path = tmp_path / f"a.{kind}"
    if kind == "csv":
        path.write_text(f"text,label\na,x\nb,{missing}\nc,none\n", encoding="utf-8")
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps({"text": label, "label": label}) for label in ("x", missing, "none")),
                        encoding="utf-8")
    else:
        pq.write_table(pa.table({"text": ["a", "b", "c"], "label": ["x", missing, "none"]}), path)
    with pytest.raises(DataError) as refusal:
        read_rows(path, Columns())
    mentions(str(refusal.value), "row 2", repr(missing))


def test_a_folder_called_after_no_class_is_refused(tmp_path: Path) -> None:
    for name in ("good", "None"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.txt").write_text(name, encoding="utf-8")
    with pytest.raises(DataError, match=r"'None', which stands for a missing value: rename"):
        load_corpus(DataConfig(name=str(tmp_path)))


def test_names_that_differ_only_in_case_spaces_or_unicode_form_are_found() -> None:
    assert alike(["caf\u00e9", "cafe\u0301", "cafe"]) == [["caf\u00e9", "cafe\u0301"]]
    assert alike(["Good", "bad", "good", "GO OD", "neutral"]) == [["Good", "good", "GO OD"]]
    assert alike(["0", "1"]) == []
