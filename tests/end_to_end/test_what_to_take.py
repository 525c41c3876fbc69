"""What one takes has one name and one score wherever it is met, in a store of two studies that take different models.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml

import gru_bench as gb
from gru_bench.errors import ExitCode
from gru_bench.inference.predict import app as predict_app
from gru_bench.inference.save_model import app as save_app
from gru_bench.report.__main__ import app as report_app
from gru_bench.tracking import Store, open_reader
from tests.support.commands import completed, mentions
from tests.support.servers import ask, serving
from tests.support.trained_study import database, study_folder

TEXTS = ["good1 good2 good3", "bad1 bad2 bad3"]


@pytest.fixture(scope="module")
def directory(easy_csv: Path, empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study whose GRU has learned nothing, and then one whose GRU has."""
    weak = {"name": "weak", "settings": {"training.epochs": 1, "training.lr": 1e-6}, "linear": True}
    return study_folder(tmp_path_factory.mktemp("taken"), empty_database, easy_csv, weak, {"name": "strong"})


@pytest.mark.parametrize(("study", "kind"), [("weak", {"tfidf", "ngrams", "average"}), ("strong", {"torch"})])
def test_it_has_one_name_and_score_from_the_tables_to_the_registry(
    study: str, kind: set[str], directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(directory)
    out, folder = tmp_path / "out", tmp_path / "model"
    done = completed(report_app, "--study", study, "--no-attach", "--out", str(out), "--tables", str(tmp_path))
    assert done.returncode == ExitCode.DONE, done.stderr
    decision = next(line for line in done.stdout.splitlines() if line.startswith("- Take "))
    table = pd.read_csv(tmp_path / "candidates.csv")
    taken = table[table["taken"]]
    (label,) = taken["classifier"].unique()
    accuracy = float((taken["label"] == taken["predicted"]).mean())
    percent = f"{100 * accuracy:.1f}"
    mentions(decision, f"right on {percent} %")
    mentions((out / "report.md").read_text("utf-8"), f"it is right on {percent}")

    found = json.loads(completed(report_app, "--study", study, "--json").stdout)
    assert found["chosen"] == label
    assert {one["label"]: one["score"] for one in found["candidates"]}[label] == pytest.approx(accuracy)

    named = ("--study", study)
    done = completed(predict_app, *TEXTS, *named)
    mentions(done.stderr, f"study {study}: {label}", f"test accuracy {percent}")
    done = completed(save_app, str(folder), *named, "--register")
    assert done.returncode == ExitCode.DONE, done.stderr
    mentions(done.stdout, f"{label} of the study {study}")
    about = json.loads((folder / "model.json").read_text("utf-8"))
    assert about["model"] in kind
    assert about["scores"]["value"] == pytest.approx(accuracy)
    mentions(completed(predict_app, *TEXTS, "--model", str(folder)).stderr, about["model"], f"test accuracy {percent}")
    card = (folder / "README.md").read_text("utf-8")
    (entry,) = yaml.safe_load(card.split("---\n")[1])["model-index"][0]["results"]
    assert entry["metrics"][0]["value"] == pytest.approx(accuracy)
    mentions(card, f"# {study}: {label}", f"**{percent}")

    logged = open_reader(database(directory))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", logged.uri)
    served = mlflow.pyfunc.load_model(f"models:/{study}@best").predict(pd.DataFrame({"text": TEXTS}))
    model = gb.open_study(study, folder=directory).model
    assert repr(model).startswith(f"{about['model']} of the study {study}")
    for probability_NC in (served.filter(like="probability").to_numpy(), gb.load_model(folder).predict_proba(TEXTS)):
        assert probability_NC == pytest.approx(model.predict_proba(TEXTS), abs=1e-6)


@pytest.mark.service
@pytest.mark.parametrize("study", ["weak", "strong"])
def test_the_served_one_answers_over_http_as_predict_does(
    study: str, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(directory)
    texts, predicted = tmp_path / "texts.csv", tmp_path / "predicted.csv"
    pd.DataFrame({"text": TEXTS}).to_csv(texts, index=False)
    done = completed(predict_app, "--study", study, "--file", str(texts), "--to", str(predicted))
    assert done.returncode == ExitCode.DONE, done.stderr
    done = completed(save_app, str(tmp_path / "model"), "--study", study, "--register")
    assert done.returncode == ExitCode.DONE, done.stderr
    with serving(Store(database(directory)), tmp_path, study) as port:
        status, answer = ask(port, {"dataframe_records": [{"text": text} for text in TEXTS]})
    assert status == 200
    served, want = pd.DataFrame(answer["predictions"]), pd.read_csv(predicted)
    assert list(served["label"].astype(str)) == list(want["label"].astype(str))
    probabilities = want.filter(like="probability")
    assert probabilities.shape == (len(TEXTS), 2)
    assert served[list(probabilities)].to_numpy() == pytest.approx(probabilities.to_numpy(), abs=1e-6)


def test_without_a_name_the_newest_finished_study_is_taken(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(directory)
    done = completed(predict_app, *TEXTS)
    assert re.match(r"study strong: Torch GRU \(all seeds\)", done.stderr)


def test_without_a_finished_study_one_must_be_named(
    empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(empty_database, tmp_path)
    monkeypatch.chdir(tmp_path)
    done = completed(save_app, "model")
    assert done.returncode == ExitCode.INCOMPLETE
    mentions(done.stderr, "no study", "--study")
