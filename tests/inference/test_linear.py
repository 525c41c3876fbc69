"""The linear models of a study in use: asked, explained, saved, served, and refused where they were not kept."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gru_bench as gb
from gru_bench.errors import ExitCode, GruBenchError, RunError
from gru_bench.evidence.candidates import Candidate
from gru_bench.inference.predict import app as predict_app
from gru_bench.inference.predictor import Predictor
from gru_bench.inference.save_model import app as save_app
from gru_bench.inference.taken import asked, candidates, read
from gru_bench.models.saved import load
from gru_bench.models.trained import TrainedModel
from gru_bench.results.baselines import NGRAMS, TFIDF
from gru_bench.stats.linear import LinearModel
from gru_bench.tracking import Reader, open_reader
from tests.inference.conftest import Studied
from tests.support.commands import completed, mentions
from tests.support.mlflow_stores import artifacts_of
from tests.support.trained_study import database, study_folder
from tests.support.values import present


@pytest.fixture(scope="module")
def directory(studied: Studied, empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study of one GRU that has learned little, and of its baselines."""
    return study_folder(tmp_path_factory.mktemp("linear"), empty_database, studied.csv,
                        {"settings": {"training.epochs": 1, "training.lr": 1e-4}, "linear": True})


@pytest.fixture
def store(directory: Path) -> Reader:
    return open_reader(database(directory))


def candidate_of(store: Reader, name: str | None = None) -> Candidate:
    return asked(candidates(store, store.study("quick")), "quick", name)


def trained(store: Reader, name: str) -> TrainedModel:
    return read(store, candidate_of(store, name))


@pytest.mark.parametrize("name", [TFIDF, NGRAMS])
def test_its_probabilities_are_those_that_were_logged(name: str, store: Reader, studied: Studied) -> None:
    logged = store.predictions(candidate_of(store, name).ids[0], "test")
    found = Predictor(trained(store, name)).predict([studied.texts[one] for one in logged.example_id_N])
    assert np.abs(found.probability_NC - logged.probability_NC).max() < 1e-12
    assert found.tokens_N.tolist() == logged.tokens_N.tolist()
    assert (found.known_N > 0).all()


def test_predict_says_that_a_linear_model_answers(directory: Path) -> None:
    done = completed(predict_app, "good1 good2 good3", "bad1 bad2", "--study", "quick", "--model", NGRAMS, "--why",
                     cwd=directory)
    assert done.returncode == ExitCode.DONE, done.stderr
    mentions(done.stderr, "study quick: n-grams, test accuracy")
    mentions(done.stdout, "3 of 3", "good", "bad1", "weight")


@pytest.mark.parametrize("name", [TFIDF, NGRAMS])
def test_the_parts_of_an_explanation_add_up_to_the_log_odds(name: str, store: Reader) -> None:
    model = trained(store, name)
    predictor, text = Predictor(model), "good1 bad1 good2 word3 good1 unheard"
    found = predictor.explain(text)
    place = model.classes.index(found.label)
    probability = predictor.predict([text]).probability_NC[0, place]
    bias = present(model.linear).weights.bias_K[0] * (1 if place else -1)
    assert found.weight_T.sum() + bias == pytest.approx(np.log(probability / (1 - probability)), abs=1e-9)
    assert "good1 bad1" not in found.words_T or name == NGRAMS or len(found.words_T) > 3
    assert "unheard" not in found.words_T


@pytest.mark.parametrize("softmax", [False, True])
def test_the_parts_for_one_of_several_classes_are_its_own(softmax: bool) -> None:
    weight_FK = np.array([[1, 0, -1], [0.5, 2, 0]], np.float32)
    model = LinearModel(4, np.array([0, 1, 3]), 1, ("a", "b"), weight_FK, np.zeros(3), None, softmax=softmax)
    ngrams, weight_M = model.parts(["a", "b", "b"], 3)
    assert ngrams == ["a", "b"]
    assert weight_M.tolist() == ([-1.5, -1.25] if softmax else [-1.0, 0.0])
    assert model.probabilities([["a"]])[0, 2] == 0


def test_it_is_saved_and_asked_without_the_study(
    directory: Path, store: Reader, studied: Studied, tmp_path: Path
) -> None:
    done = completed(save_app, "--study", "quick", "--model", NGRAMS, str(tmp_path / "model"), cwd=directory)
    assert done.returncode == ExitCode.DONE, done.stderr
    mentions(done.stdout, "n-grams of the study quick", "bytes")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "README.md", "model.json", "model.safetensors"]
    mentions((tmp_path / "model" / "README.md").read_text(encoding="utf-8"), "On the same test", "TF-IDF")
    found, scores = load(tmp_path / "model")
    assert scores["value"] == pytest.approx(candidate_of(store, NGRAMS).runs[0].metrics["score/test_accuracy"])
    texts = list(studied.texts.values())
    expected = Predictor(trained(store, NGRAMS)).predict(texts).probability_NC
    model = gb.load_model(tmp_path / "model")
    assert np.array_equal(model.predict_proba(texts), expected)
    assert model.explain("good1").label == model.predict("good1")[0]
    mentions(repr(model), "ngrams of the study quick", *map(str, model.classes_))
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    count = f"{len(present(found.linear).weights.ngrams_F):,} n-grams"
    mentions(card, "quick: n-grams", "NB-weighted n-grams", "baseline.regularization", count)
    assert str(studied.csv) not in card
    again = completed(predict_app, "good1 good2", "--model", str(tmp_path / "model"), cwd=tmp_path)
    mentions(again.stderr, "ngrams, test accuracy", scores["text"])
    study = gb.open_study("quick", folder=directory)
    assert repr(study.model).startswith(candidate_of(store).model)


def test_every_model_reads_the_columns_of_the_data_of_its_study(
    studied: Studied, empty_database: Path, tmp_path: Path
) -> None:
    rows = studied.csv.read_text(encoding="utf-8").splitlines()[1:]
    lines = ["summary,label,kind,key", *(f"{row},k{number}" for number, row in enumerate(rows))]
    (tmp_path / "named.csv").write_text("\n".join(lines), encoding="utf-8")
    study_folder(tmp_path, empty_database, tmp_path / "named.csv", {"seeds": [1], "linear": True, "settings": {
        "training.epochs": 1, "data.text_column": "summary", "data.id_column": "key"}})
    (tmp_path / "in.csv").write_text("id,text,summary,key\n1,bad1 bad2 bad3,good1 good2 good3,k7\n", encoding="utf-8")
    (tmp_path / "same.csv").write_text("id,text\nk7,good1 good2 good3\n", encoding="utf-8")
    for name in ("torch", NGRAMS, "average"):
        assert not completed(save_app, "--study", "quick", "--model", name, name, cwd=tmp_path).returncode
        written = set()
        for model in (["--study", "quick", "--model", name], ["--model", name]):
            for file in ("in.csv", "same.csv"):
                done = completed(predict_app, *model, "--file", file, "--to", "out.csv", "--force", cwd=tmp_path)
                assert done.returncode == ExitCode.DONE, done.stderr
                written.add((tmp_path / "out.csv").read_text(encoding="utf-8"))
        assert len(written) == 1, name
        with pytest.raises(GruBenchError, match=r"frame\['summary'\]"):
            gb.load_model(tmp_path / name).predict({"text": ["a"], "summary": ["b"]})


def test_a_study_without_texts_leaves_its_ngrams_out_and_what_needs_them_says_so(
    directory: Path, tmp_path: Path
) -> None:
    shutil.copytree(directory, tmp_path, dirs_exist_ok=True)
    store = open_reader(database(tmp_path))
    winner = candidate_of(store, NGRAMS)
    shutil.rmtree(artifacts_of(store, store.mlflow_id(winner.ids[0])) / "model")
    assert len(store.predictions(winner.ids[0], "test")) > 0
    (linear_model,) = winner.parts
    run = replace(linear_model.study.run, tags={**linear_model.study.run.tags,
                                                "mlflow.source.name": "gru-bench sweep --no-texts --study q.toml"})
    with pytest.raises(RunError, match=r"ngrams.*without texts.*fragments.*\(torch\)") as raised:
        read(store, replace(winner, made_of=(replace(linear_model, study=replace(linear_model.study, run=run)),)))
    mentions(str(raised.value), "gru-bench sweep --study q.toml")
