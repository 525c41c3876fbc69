"""Tables of claims and files of predictions: what is read, how it is joined, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gru_bench.errors import DataError, GruBenchError, UsageError
from gru_bench.grade.claims import Truth, parsed_accuracy, read_claims, read_predictions, read_truth
from tests.support.commands import mentions

TRUTH = Truth("test.csv", ("a", "b", "c"), np.array([0, 1, 1]), ("negative", "positive"))


def written(name: str, text: str) -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(("text", "value", "digit"), [
    ("84.2", 0.842, 0.001), ("84,25 %", 0.8425, 0.0001), ("0.842", 0.842, 0.001), ("0.5 %", 0.005, 0.001),
    ("1", 1.0, 0.01), ("100", 1.0, 0.01), ("100.0", 1.0, 0.001)])
def test_an_accuracy_is_a_fraction_or_a_percentage(text: str, value: float, digit: float) -> None:
    found = parsed_accuracy(text)
    assert found.value == pytest.approx(value, abs=1e-15)
    assert found.last_digit == pytest.approx(digit, rel=1e-12)


@pytest.mark.parametrize("text", ["much", "101", "-3", "84.2.1", "nan", ""])
def test_what_is_no_accuracy_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="accuracy must be"):
        parsed_accuracy(text)


@pytest.mark.parametrize(("claimed", "found", "fits"), [
    ("84.2", 0.84249, True), ("84.2", 0.8429, True), ("84.2", 0.8413, True), ("84.2", 0.8431, False),
    ("84.20", 0.8423, False), ("84", 0.8471, True), ("0.8730000257492065", 0.873, True), ("87.30001", 0.873, True),
    ("87.3010", 0.873, False)])
def test_a_claim_fits_what_rounds_or_is_cut_off_to_it(claimed: str, found: float, fits: bool) -> None:
    assert parsed_accuracy(claimed).fits(found) == fits


@pytest.mark.parametrize("text", [
    "student,accuracy,predictions\nada,84.2,ada.csv\nbob,,bob.csv\n\ncy,much,\ndee,,\n",
    "Name;Acc;File\nada;84,2;ada.csv\nbob;;bob.csv\ncy;much;\ndee;;\n"])
def test_claims_have_an_accuracy_a_file_or_both(text: str) -> None:
    path = written("claims.csv", text)
    ada, bob, cy, dee = read_claims(path)
    assert ada.accuracy is not None
    assert ada.accuracy.value == pytest.approx(0.842)
    assert (ada.student, ada.predictions, ada.problem) == ("ada", path.parent / "ada.csv", "")
    assert (bob.accuracy, bob.predictions) == (None, path.parent / "bob.csv")
    mentions(cy.problem, "'much'")
    assert dee.problem


@pytest.mark.parametrize(("text", "parts"), [
    ("ada,84.2\nbob,83\n", ["student", "accuracy", "predictions"]), ("student,points\nada,3\n", ["accuracy"]),
    ("student,accuracy\n", ["a row for each student"]), ("student,accuracy\nada,84\nada,85\n", ["'ada'", "2 times"]),
    ("student,accuracy,predictions\nada,84,2,ada.csv\n", ["line 2", "'ada,84,2,ada.csv'", "3 values"]),
    ('student,accuracy\nada,84\n"bob,85\ncy"",90\ndee",91\n', ["line 3", "quote"]),
    ("student,accuracy\nada,84\n\n ,85\n", ["line 4", "student"])])
def test_a_table_without_claims_is_refused(text: str, parts: list[str]) -> None:
    with pytest.raises(DataError) as refused:
        read_claims(written("claims.csv", text))
    mentions(str(refused.value), "claims.csv", *parts)


@pytest.mark.parametrize(("name", "text"), [
    ("p.csv", "id,label\nc,positive\na,negative\nb,negative\n"), ("p.csv", "label\nnegative\nnegative\npositive\n"),
    ("p.tsv", "id\tprediction\nb\t0\na\t0\nc\t1\n"), ("p.csv", "pred,score\nNEGATIVE,0\n0.0,1\nPositive,1\n"),
    ("p.csv", "id,label,prediction\nb,1,0\na,1,0\nc,0,1\n"),
    ("p.csv", "id,label,probability_negative,probability_positive,known_words\nb,0,0.9,0.1,1\na,0,1,0,1\nc,1,0,1,1\n"),
    ("p.jsonl", '{"id": "b", "predicted": 0}\n{"id": "c", "predicted": 1}\n{"id": "a", "predicted": 0}\n')])
def test_predictions_are_joined_by_id_or_by_order(name: str, text: str) -> None:
    class_N, note = read_predictions(written(name, text), TRUTH)
    assert class_N.tolist() == [0, 0, 1]
    assert bool(note) == (not text.startswith(("id", '{"id"')))


def test_a_spreadsheet_may_have_made_ids_decimal_numbers() -> None:
    truth = Truth("test.csv", ("1", "2.0", "c"), np.array([0, 1, 1]), ("A", "a"))
    class_N, note = read_predictions(written("p.csv", "id,prediction\nc,A\n1.0,a\n2,a\n"), truth)
    assert (class_N.tolist(), note) == ([1, 1, 0], "")


def test_rows_of_other_texts_are_said() -> None:
    class_N, note = read_predictions(written("p.csv", "id,label\nx,1\na,0\nb,0\nc,1\n"), TRUTH)
    assert class_N.tolist() == [0, 0, 1]
    mentions(note, "other texts: 1")


@pytest.mark.parametrize(("text", "parts"), [
    ("id,label\na,0\nb,1\n", ["lacks 1", "'c'"]), ("id,label\na,0\na,1\nb,0\nc,1\n", ["'a'", "once"]),
    ("label\n0\n1\n", ["3", "2 rows"]), ("id,label\n7,0\n8,1\n9,1\n", ["lacks 3", "'a'", "'7'"]),
    ("id,label\na,0\nb,2\nc,1\n", ["'2'"]),
    ("id,label\na,0\nb,\nc,1\n", ["row 2"]), ("id,guess\na,0\nb,1\nc,1\n", ["a column of classes", "label"]),
    ("id,label\n", ["no rows"])])
def test_predictions_that_are_not_one_for_each_text_are_refused(text: str, parts: list[str]) -> None:
    with pytest.raises(GruBenchError) as refused:
        read_predictions(written("p.csv", text), TRUTH)
    mentions(str(refused.value), "p.csv", *parts)


@pytest.mark.parametrize(("name", "parts"), [
    ("x" * 300 + ".csv", ["too long"]), (".", ["is a folder"]), ("*.csv", ["*.csv does not exist"]),
    ("cell.py", ["'cell.py'", "Parquet"]), ("latin.csv", ["line 2", "save it as UTF-8"])])
def test_what_is_no_file_of_predictions_is_refused(name: str, parts: list[str]) -> None:
    written("cell.py", "x = 1\n")
    Path("latin.csv").write_bytes("id,label\nä,1\n".encode("cp1252"))
    with pytest.raises(GruBenchError) as refused:
        read_predictions(Path(name), TRUTH)
    mentions(str(refused.value), *parts)
    assert "--encoding" not in str(refused.value)


def test_true_classes_have_ids_or_are_counted() -> None:
    truth = read_truth(written("t.csv", "id,prediction,label\nx,bad,good\ny,bad,bad\n"))
    assert (truth.id_N, truth.classes, truth.label_N.tolist()) == (("x", "y"), ("bad", "good"), [1, 0])
    counted = read_truth(written("t.csv", "label\n3\n10\n3\n"))
    assert (counted.id_N, counted.classes, counted.label_N.tolist()) == (("1", "2", "3"), ("3", "10"), [0, 1, 0])
    assert read_predictions(written("p.csv", "id,label\n2,10\n1,3\n3,10\n"), counted)[0].tolist() == [0, 1, 1]
