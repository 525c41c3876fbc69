"""Tables of claims and files of predictions: what is read, how it is joined, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gru_bench.errors import DataError, GruBenchError, UsageError
from gru_bench.grade.claims import Truth, parsed_accuracy, read_claims, read_predictions, read_truth
from gru_bench.predictions.align import KnownExamples
from tests.support.commands import mentions

TRUTH = Truth(KnownExamples("the study x", ("a", "b", "c"), np.array([0, 1, 1]), ("negative", "positive")),
              is_of_study=True)


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
    ("student,accuracy\n", ["no rows"]), ("student,accuracy\nada,84\nada,85\n", ["'ada'", "2 times"]),
    ("student,accuracy,predictions\nada,84,2,ada.csv\n", ["line 2", "'ada,84,2,ada.csv'", "3 values"]),
    ('student,accuracy\nada,84\n"bob,85\ncy"",90\ndee",91\n', ["line 3", "quote"]),
    ("student,accuracy\nada,84\n\n ,85\n", ["line 4", "student"])])
def test_a_table_without_claims_is_refused(text: str, parts: list[str]) -> None:
    with pytest.raises(DataError) as refused:
        read_claims(written("claims.csv", text))
    mentions(str(refused.value), "claims.csv", *parts)


@pytest.mark.parametrize(("name", "text"), [
    ("p.csv", "id,label\nc,positive\na,negative\nb,negative\n"),
    ("p.tsv", "uid\tprediction\nb\t0\na\t0\nc\t1\n"), ("p.csv", "id,pred,score\na,NEGATIVE,0\nb,0.0,1\nc,Positive,1\n"),
    ("p.csv", "id,label,prediction\nb,1,0\na,0,0\nc,positive,1\n"), ("p.csv", "id,p_positive\nb,0.2\na,0\nc,0.7\n"),
    ("p.csv", "id,label,probability_negative,probability_positive,known_words\nb,0,0.9,0.1,1\na,0,1,0,1\nc,1,0,1,1\n"),
    ("p.jsonl", '{"id": "b", "predicted": 0}\n{"id": "c", "predicted": 1}\n{"id": "a", "predicted": 0}\n')])
def test_predictions_are_aligned_by_id_and_spelled_by_name_or_as_the_number_of_a_study(name: str, text: str) -> None:
    class_N, _ = read_predictions(written(name, text), TRUTH)
    assert class_N.tolist() == [0, 0, 1]


def test_rows_without_ids_are_aligned_by_their_order_only_where_that_is_asked_for() -> None:
    path = written("p.csv", "prediction\nnegative\nnegative\npositive\n")
    with pytest.raises(UsageError, match=r"p\.csv must have a column of ids.* \(by_order\)"):
        read_predictions(path, TRUTH)
    by_order = replace(TRUTH, by_order=True)
    class_N, note = read_predictions(path, by_order)
    assert class_N.tolist() == [0, 0, 1]
    mentions(note, "by the order of the rows")
    class_N, note = read_predictions(written("p.csv", "id,prediction\nc,positive\nb,negative\na,negative\n"), by_order)
    assert (class_N.tolist(), note) == ([0, 0, 1], "")  # its ids say more than its order
    with pytest.raises(UsageError, match=r"per example \(3\).* has 2 rows"):
        read_predictions(written("p.csv", "prediction\nnegative\nnegative\n"), by_order)


def test_texts_whose_ids_are_in_no_order_of_letters_keep_theirs() -> None:
    truth = Truth(KnownExamples("t.csv", ("10", "9", "b"), np.array([0, 1, 1]), ("no", "yes")), is_of_study=True)
    assert read_predictions(written("p.csv", "id,label\nb,no\n10,no\n9,yes\n"), truth)[0].tolist() == [0, 1, 0]


def test_numbers_are_classes_only_where_a_study_orders_them() -> None:
    path = written("p.csv", "id,prediction\na,0\nb,0\nc,1\n")
    mentions(read_predictions(path, TRUTH)[1], "0 for 'negative' and 1 for 'positive'")
    with pytest.raises(UsageError, match="use the same spelling"):
        read_predictions(path, replace(TRUTH, is_of_study=False))


def test_a_prediction_that_is_no_class_is_refused_or_counts_as_wrong() -> None:
    path = written("p.csv", "id,prediction\na,I cannot\nb,positive\nc,\n")
    with pytest.raises(UsageError, match=r"'I cannot' for 2 examples.*refusals='wrong'"):
        read_predictions(path, TRUTH)
    class_N, note = read_predictions(path, replace(TRUTH, refusals_are_wrong=True))
    assert class_N.tolist() == [2, 1, 2]
    mentions(note, "2 predictions are not a class", "'I cannot'", "''")


def test_a_spreadsheet_may_have_made_ids_decimal_numbers() -> None:
    truth = Truth(KnownExamples("test.csv", ("1", "2.0", "c"), np.array([0, 1, 1]), ("A", "a")), is_of_study=True)
    class_N, note = read_predictions(written("p.csv", "id,prediction\nc,A\n1.0,a\n2,a\n"), truth)
    assert (class_N.tolist(), note) == ([1, 1, 0], "")


@pytest.mark.parametrize(("text", "parts"), [
    ("id,label\na,0\nb,1\n", ["1 are only in the study x", "'c'", "predict the class of each"]),
    ("id,label\nx,1\na,0\nb,0\nc,1\n", ["1 only in p.csv", "'x'"]),
    ("id,label\na,0\na,1\nb,0\nc,1\n", ["'a'", "one row for each id"]),
    ("id,label\n7,0\n8,1\n9,1\n", ["3 are only in the study x", "3 only in p.csv", "'7'"]),
    ("id,label\na,0\nb,2\nc,1\n", ["'2'"]), ("id,label,prediction\na,1,0\nb,1,0\nc,1,1\n", ["1 of 3", "'a'"]),
    ("id,label\na,0\nb,\nc,1\n", ["''", "'b'"]), ("id,guess\na,0\nb,1\nc,1\n", ["a column of predictions"]),
    ("id,correct\na,1\nb,1\nc,1\n", ["only scores"]), ("id,label,seed\na,0,1\nb,0,2\nc,1,1\n", ["2 runs"]),
    ("id,label\n", ["no rows"])])
def test_predictions_that_are_not_one_for_each_text_are_refused(text: str, parts: list[str]) -> None:
    with pytest.raises(GruBenchError) as refused:
        read_predictions(written("p.csv", text), TRUTH)
    mentions(str(refused.value), "p.csv", *parts)


@pytest.mark.parametrize(("name", "parts"), [
    ("x" * 300 + ".csv", ["too long"]), (".", ["is a folder"]), ("*.csv", ["No such file", "*.csv"]),
    ("cell.py", ["'cell.py'", "Parquet"]), ("latin.csv", ["line 2", "save it as UTF-8"])])
def test_what_is_no_file_of_predictions_is_refused(name: str, parts: list[str]) -> None:
    written("cell.py", "x = 1\n")
    Path("latin.csv").write_bytes("id,label\nä,1\n".encode("cp1252"))
    with pytest.raises(GruBenchError) as refused:
        read_predictions(Path(name), TRUTH)
    mentions(str(refused.value), *parts)
    assert "--encoding" not in str(refused.value)


def test_true_classes_have_ids_or_are_counted_where_that_is_asked_for() -> None:
    truth = read_truth(written("t.csv", "id,prediction,label\nx,bad,good\ny,bad,bad\n"))
    assert (truth.id_N, truth.classes, truth.label_N.tolist()) == (["x", "y"], ("bad", "good"), [1, 0])
    path = written("t.csv", "label\n3\n10\n3\n")
    with pytest.raises(UsageError, match=r"t\.csv must have a column of ids"):
        read_truth(path)
    counted = read_truth(path, by_order=True)
    assert (counted.id_N, counted.classes, counted.label_N.tolist()) == (["1", "2", "3"], ("3", "10"), [0, 1, 0])
    found, _ = read_predictions(written("p.csv", "id,label\n2,10\n1,3\n3,10\n"), Truth(counted, is_of_study=False))
    assert found.tolist() == [0, 1, 1]
