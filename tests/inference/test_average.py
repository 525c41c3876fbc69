"""The average of a study in use: asked, explained, saved and served."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gru_bench as gb
from gru_bench.errors import ExitCode
from gru_bench.evidence.candidates import Candidate
from gru_bench.inference.predict import app as predict_app
from gru_bench.inference.predictor import Predictor
from gru_bench.inference.save_model import app as save_app
from gru_bench.inference.taken import asked, candidates, read
from gru_bench.models.saved import load
from gru_bench.models.trained import TrainedModel
from gru_bench.tracking import Reader, open_reader
from tests.inference.conftest import Studied
from tests.support.commands import completed, mentions
from tests.support.trained_study import database, study_folder
from tests.support.values import present


@pytest.fixture(scope="module")
def directory(studied: Studied, empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study of one GRU on two seeds, and of its baselines."""
    return study_folder(tmp_path_factory.mktemp("average"), empty_database, studied.csv, {"linear": True})


@pytest.fixture
def store(directory: Path) -> Reader:
    return open_reader(database(directory))


def trained(store: Reader) -> TrainedModel:
    return read(store, logged(store))


def logged(store: Reader) -> Candidate:
    return asked(candidates(store, store.study("quick")), "quick", "average")


def test_its_answers_are_those_of_the_report(store: Reader, studied: Studied) -> None:
    expected, model = logged(store), trained(store)
    assert (model.temperature, present(model.linear).temperature) == expected.temperatures
    found = Predictor(model).predict([studied.texts[one] for one in expected.example_N])
    assert np.abs(found.probability_NC - expected.probability_RNC[0]).max() < 1e-6
    assert len(model.seeds) == 2


def test_it_is_saved_and_asked_without_the_study(
    directory: Path, store: Reader, studied: Studied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = completed(save_app, "--study", "quick", "--model", "average", str(tmp_path / "model"), cwd=directory)
    assert done.returncode == ExitCode.DONE, done.stderr
    mentions(done.stdout, "average of the study quick", "bytes")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "README.md", "model.json", "model.safetensors"]
    expected = logged(store)
    _, scores = load(tmp_path / "model")
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


def test_it_is_asked_by_its_name(directory: Path, store: Reader) -> None:
    done = completed(predict_app, "good1 good2 good3", "--study", "quick", "--model", "average", "--why", cwd=directory)
    assert done.returncode == ExitCode.DONE, done.stderr
    mentions(done.stderr, "study quick: average, test accuracy")
    mentions(done.stdout, "3 of 3", "good1", "log-odds")


def test_what_a_word_adds_is_what_the_log_odds_lose_without_it(store: Reader) -> None:
    predictor = Predictor(trained(store))
    text = "good1 bad1 unheard good2"
    found = predictor.explain(text)
    place = predictor.model.classes.index(found.label)
    words = text.split()
    assert list(found.words_T) == words
    probability_NC = predictor.predict([text, *(" ".join(words[:n] + words[n + 1:]) for n in range(4))]).probability_NC
    odds_N = np.log(probability_NC[:, place] / (1 - probability_NC[:, place]))
    assert found.weight_T == pytest.approx(odds_N[0] - odds_N[1:], abs=1e-5)
    assert predictor.explain("").words_T == ()
