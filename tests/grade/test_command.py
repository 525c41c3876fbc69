"""The command grade: its options, what it prints, its table, and the texts that are handed out."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gru_bench.tracking
from gru_bench.errors import ExitCode
from gru_bench.grade.__main__ import COLUMNS, app
from gru_bench.inference.winner import choose
from tests.support.commands import completed, mentions
from tests.support.fake_store import FakeStore, three_models


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    found, _ = three_models()
    monkeypatch.setattr(gru_bench.tracking, "open_reader", lambda *_, **__: found)
    return found


def group(store: FakeStore, model: str) -> Any:
    study, = (study for some in store.by_experiment.values() for study in some if study.run.study == model)
    return choose(store, study, model).group


def table() -> list[dict[str, str]]:
    with Path("graded.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_class_is_judged_beside_a_study(store: FakeStore) -> None:
    own = group(store, "torch")
    other = group(store, "scratch")
    rows = [f"{one},{own.classes[label]}" for one, label in zip(own.example_N, other.predicted_RN[0], strict=True)]
    Path("ada.csv").write_text("\n".join(["id,label", *reversed(rows)]), encoding="utf-8")
    Path("bob.csv").write_text("\n".join(["id,label", *rows]), encoding="utf-8")
    accuracy = f"{100 * float(other.correct_RN[0].mean()):.1f}"
    Path("claims.csv").write_text(f"student,accuracy,predictions\nada,{accuracy},ada.csv\nbob,97,bob.csv\n"
                                  "=cy,12.5,\ndee,,gone.csv\n", encoding="utf-8")
    done = completed(app, "claims.csv", "--study", "torch", "--csv", "graded.csv")
    assert done.returncode == ExitCode.NOT_JUDGED, done.stderr
    mentions(done.stdout, "reference: torch", "5 runs", "pass mark: 8", "bob: claims 97.00 %", "they disagree",
             "ada and bob have equal predictions for all texts",
             "4 students: pass mark reached by 2, missed by 1, not judged 1")
    ada, bob, cy, dee = table()
    assert tuple(ada) == COLUMNS
    assert (ada["agrees"], ada["verdict"], ada["passes"]) == ("yes", "within noise of the reference", "yes")
    assert float(ada["measured"]) == pytest.approx(float(other.correct_RN[0].mean()))
    assert (bob["agrees"], ada["alike"], bob["alike"]) == ("no", "bob (0 texts differ)", "ada (0 texts differ)")
    assert (cy["student"], cy["verdict"], cy["passes"]) == ("'=cy", "below the reference", "no")
    assert (dee["verdict"], dee["passes"]) == ("not judged", "")


def test_names_of_rows_are_ids_of_a_study(store: FakeStore) -> None:
    own = group(store, "torch")
    for key, found in store.predicted.items():
        store.predicted[key] = replace(found, name_N=np.array([f"row {one}" for one in found.example_id_N]))
    rows = [f"row {one},{own.classes[label]}" for one, label in zip(own.example_N, own.label_N, strict=True)]
    Path("ada.csv").write_text("\n".join(["id,prediction", *reversed(rows)]), encoding="utf-8")
    Path("claims.csv").write_text("student,predictions\nada,ada.csv\n", encoding="utf-8")
    done = completed(app, "claims.csv", "--study", "torch", "--csv", "graded.csv")
    assert done.returncode == ExitCode.DONE, done.stderr
    (ada,) = table()
    assert (ada["measured"], ada["note"]) == ("1", "")


def test_numbers_may_stand_for_a_study() -> None:
    Path("claims.csv").write_text("student,accuracy\nada,84.0\nbob,79\n", encoding="utf-8")
    done = completed(app, "claims.csv", "--accuracy", "84.2", "--seed-deviation", "0.4", "--texts", "2664", "--csv",
                     "graded.csv")
    assert done.returncode == ExitCode.NOT_FINE, done.stderr
    assert [row["passes"] for row in table()] == ["yes", "no"]
    assert [row["claimed"] for row in table()] == ["0.84", "0.79"]
    assert [row["difference"] for row in table()] == ["-0.002", "-0.052"]
    # p is adjusted and the pass mark is not: the row says both.
    assert re.search(r"ada: .* adjusted for 2 students\); reaches the pass mark \(not adjusted: p ",
                     " ".join(done.stdout.split()))
    Path("claims.csv").write_text("student,accuracy\ncy,80\n", encoding="utf-8")
    again = completed(app, "claims.csv", "--accuracy", "84.2", "--seed-deviation", "0.4", "--texts", "2664", "--csv",
                      "graded.csv")
    assert again.returncode == ExitCode.NOT_FINE, again.stderr
    mentions(again.stdout, "1 student: pass mark reached by 0, missed by 1, not judged 0")
    assert "adjusted" not in again.stdout
    assert [row["student"] for row in table()] == ["cy"]


def test_predictions_are_read_beside_true_classes() -> None:
    truth = [n % 3 == 0 for n in range(300)]
    predicted = [one != (n % 10 == 0) for n, one in enumerate(truth)]
    for name, labels in (("truth", truth), ("ada", predicted)):
        Path(f"{name}.csv").write_text("\n".join(["id,label", *(f"{n},{int(one)}" for n, one in enumerate(labels))]),
                                       encoding="utf-8")
    Path("claims.csv").write_text("student,accuracy,predictions\nada,90.0,ada.csv\n", encoding="utf-8")
    done = completed(app, "claims.csv", "--accuracy", "89", "--seed-deviation", "0.4", "--truth", "truth.csv", "--csv",
                     "graded.csv")
    assert done.returncode == ExitCode.DONE, done.stderr
    mentions(done.stdout, "89.00 % on 300 test texts")
    (ada,) = table()
    assert (ada["measured"], ada["agrees"], ada["passes"]) == ("0.9", "yes", "yes")


def test_texts_are_handed_out_without_classes(store: FakeStore) -> None:
    own = group(store, "torch")
    store.reviews[own.study.run.run_id] = {one: f"text of {one}" for one in own.example_N}
    done = completed(app, "--study", "torch", "--hand-out", "test.csv")
    assert done.returncode == ExitCode.DONE, done.stderr
    with Path("test.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["id", "text"]
    assert rows[1:] == [[one, f"text of {one}"] for one in own.example_N]
    assert completed(app, "--study", "torch", "--hand-out", "test.csv").returncode == ExitCode.MISTYPED


def test_a_study_without_texts_hands_out_nothing(store: FakeStore) -> None:
    done = completed(app, "--study", "torch", "--hand-out", "test.csv")
    assert done.returncode == ExitCode.FAILED
    mentions(done.stderr, "--no-texts")
    assert not Path("test.csv").exists()


@pytest.mark.parametrize(("words", "parts"), [
    (["claims.csv"], ["--study", "--accuracy", "neither"]),
    (["claims.csv", "--study", "torch", "--accuracy", "84"], ["both"]),
    (["--study", "torch"], ["CLAIMS.csv", "--hand-out"]),
    (["claims.csv", "--study", "torch", "--texts", "200"], ["--texts", "leave them out"]),
    (["claims.csv", "--study", "torch", "--runs", "5"], ["--runs", "leave them out"]),
    (["claims.csv", "--accuracy", "84"], ["--seed-deviation"]),
    (["claims.csv", "--accuracy", "84", "--seed-deviation", "1"], ["--texts or --truth"]),
    (["claims.csv", "--accuracy", "much", "--seed-deviation", "1", "--texts", "100"], ["'much'"]),
    (["gone.csv", "--accuracy", "84", "--seed-deviation", "1", "--texts", "100"], ["'gone.csv'"]),
    (["claims.csv", "--accuracy", "84", "--seed-deviation", "1", "--hand-out", "t.csv"], ["--hand-out"]),
    (["claims.csv", "--study", "torch", "--csv", "no/graded.csv"], ["--csv", "graded.csv"]),
    (["claims.csv", "--accuracy", "84", "--seed-deviation", "1", "--texts", "500", "--truth", "t.csv"], ["2", "500"]),
    (["claims.csv", "--accuracy", "84", "--seed-deviation", "1", "--truth", "t.csv", "--csv", "t.csv"], ["'t.csv'"]),
    (["claims.csv", "--study", "torch", "--csv", "claims.csv"], ["'claims.csv'", "must be new"]),
    (["claims.csv", "--study", "nowhere"], ["'nowhere'"]),
    *(([*["claims.csv", "--accuracy", "84", "--seed-deviation", "1", "--texts", "500"], *option], [option[0], needed])
      for option, needed in ((["--model", "torch"], "--study"), (["--tracking-uri", "x"], "--study"),
                             (["--by-order"], "--truth"), (["--refusals", "wrong"], "--truth")))])
def test_mistyped_arguments_end_with_2(words: list[str], parts: list[str], store: FakeStore) -> None:
    texts = {"claims.csv": "student,accuracy\nada,84.0\n", "t.csv": "id,label\na,0\nb,1\n"}
    for name, text in texts.items():
        Path(name).write_text(text, encoding="utf-8")
    done = completed(app, *words)
    assert done.returncode == ExitCode.MISTYPED
    mentions(done.stderr, *parts)
    assert {name: Path(name).read_text(encoding="utf-8") for name in texts} == texts
