"""The average of a study in use: asked, explained, saved, served, and refused where there is none or it was changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import gru_bench as gb
from gru_bench.errors import DataError, ExitCode, UsageError
from gru_bench.inference.average import AveragePredictor, predictor_of
from gru_bench.inference.predict import app as predict_app
from gru_bench.inference.save_model import app as save_app
from gru_bench.inference.taken import asked, candidates, read
from gru_bench.models import average, saved
from gru_bench.models.average import TrainedAverage
from gru_bench.report.evidence.candidates import Candidate
from gru_bench.tracking import Reader, open_reader
from tests.inference.conftest import Studied
from tests.support.commands import completed, mentions
from tests.support.trained_study import database, log_study


@pytest.fixture(scope="module")
def directory(studied: Studied, empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study of one GRU on two seeds, and of its baselines."""
    folder = tmp_path_factory.mktemp("average")
    shutil.copy(empty_database, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        log_study(folder, studied.csv, linear=True)
    return folder


@pytest.fixture
def store(directory: Path) -> Reader:
    return open_reader(database(directory))


def trained(store: Reader) -> TrainedAverage:
    found = read(store, logged(store))
    assert isinstance(found, TrainedAverage)
    return found


def logged(store: Reader) -> Candidate:
    return asked(candidates(store, store.study("quick")), "quick", "average")


def test_its_answers_are_those_of_the_report(store: Reader, studied: Studied) -> None:
    expected, model = logged(store), trained(store)
    assert (model.trained.temperature, model.linear_temperature) == expected.temperatures
    found = predictor_of(model).predict([studied.texts[one] for one in expected.example_N])
    assert np.abs(found.probability_NC - expected.probability_RNC[0]).max() < 1e-6
    assert len(model.seeds) == 2


def test_it_is_saved_and_asked_without_the_study(
    directory: Path, store: Reader, studied: Studied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = completed(save_app, "--study", "quick", "--model", "average", str(tmp_path / "model"), cwd=directory)
    assert done.returncode == ExitCode.DONE, done.stderr
    mentions(done.stdout, "average of the study quick", "bytes")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "README.md", "linear", "model.json", "trained"]
    expected = logged(store)
    found, scores = average.load(tmp_path / "model")
    assert isinstance(found, TrainedAverage)
    assert (scores["value"], scores["low"]) == (expected.score.value, expected.score.low)
    monkeypatch.chdir(tmp_path)
    model = gb.load_model("model")
    texts = [studied.texts[one] for one in expected.example_N]
    assert np.abs(model.predict_proba(texts) - expected.probability_RNC[0]).max() < 1e-6
    mentions(repr(model), "average of the study quick", "2 seeds", *map(str, model.classes_))
    card = Path("model", "README.md").read_text(encoding="utf-8")
    mentions(card, "quick: average", scores["text"], "10000, 10001", "temperature")
    assert str(studied.csv) not in card
    again = completed(predict_app, "good1 good2", "--model", "model", cwd=tmp_path)
    mentions(again.stderr, "average, test accuracy", scores["text"])
    for part, kind in zip(saved.PARTS, (found.trained.name, found.linear.name), strict=True):
        mentions(repr(gb.load_model(Path("model", part))), f"{kind} of the study quick")


def test_it_is_asked_by_its_name(directory: Path, store: Reader) -> None:
    done = completed(predict_app, "good1 good2 good3", "--study", "quick", "--model", "average", "--why", cwd=directory)
    assert done.returncode == ExitCode.DONE, done.stderr
    mentions(done.stderr, "study quick: average, test accuracy")
    mentions(done.stdout, "3 of 3", "good1", "log-odds")


def test_what_a_word_adds_is_what_the_log_odds_lose_without_it(store: Reader) -> None:
    predictor = AveragePredictor(trained(store))
    text = "good1 bad1 unheard good2"
    found = predictor.explain(text)
    place = predictor.model.classes.index(found.label)
    words = text.split()
    assert list(found.words_T) == words
    probability_NC = predictor.predict([text, *(" ".join(words[:n] + words[n + 1:]) for n in range(4))]).probability_NC
    odds_N = np.log(probability_NC[:, place] / (1 - probability_NC[:, place]))
    assert found.weight_T == pytest.approx(odds_N[0] - odds_N[1:], abs=1e-5)
    assert predictor.explain("").words_T == ()


@pytest.mark.parametrize("change", ["part", "linear", "temperature", "missing"])
def test_a_saved_average_that_was_changed_is_refused(change: str, store: Reader, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    saved.write(average.contents(trained(store)), folder, "card")
    assert isinstance(average.load(folder)[0], TrainedAverage)
    path = folder / {"part": "trained/model.json", "linear": "linear/linear.npz"}.get(change, "model.json")
    if change == "missing":
        shutil.rmtree(folder / "linear")
    elif change == "linear":
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    else:
        values = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**values, "temperature": 2.0, "linear_temperature": 2.0}), encoding="utf-8")
    with pytest.raises(DataError, match="is damaged"):
        average.load(folder)


def test_a_folder_with_a_average_is_replaced_only_if_all_of_it_is_ours(store: Reader, tmp_path: Path) -> None:
    folder, model = tmp_path / "model", trained(store)
    saved.write(average.contents(model), folder, "card")
    with pytest.raises(UsageError, match="force"):
        saved.check_free(folder)
    saved.write(average.contents(model), folder, "card", force=True)
    (folder / "trained" / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match=r"thesis\.txt"):
        saved.write(average.contents(model), folder, "card", force=True)
    assert (folder / "trained" / "thesis.txt").is_file()
