"""The model that a study takes or that is named: its weights are read with all that could be wrong about them."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gru_bench.errors import DataError, GruBenchError, IncompleteError, RunError, UsageError
from gru_bench.evidence.candidates import Candidate
from gru_bench.inference.predictor import Predictor
from gru_bench.inference.taken import asked, candidates, read, tuned
from gru_bench.models.saved import load as load_saved
from gru_bench.models.saved import save
from gru_bench.models.trained import TrainedModel
from gru_bench.results.baselines import AVERAGE, TFIDF
from gru_bench.stats.calibration import temperature
from gru_bench.tracking import Reader, open_reader
from tests.inference.conftest import Studied
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study, one_each, with_validation
from tests.support.mlflow_stores import artifacts_of
from tests.support.reviews import write
from tests.support.trained_study import log_study, seed_of
from tests.support.values import present


def chosen_of(store: Reader) -> Candidate:
    return asked(candidates(store, store.study("quick")), "quick")


def loaded_of(store: Reader) -> TrainedModel:
    return read(store, chosen_of(store))


def test_a_model_can_be_named_and_an_unknown_one_lists_those_that_there_are() -> None:
    store = FakeStore()
    study = with_validation(store, add_study(store, "two", {"torch": 0.0, "scratch": 0.1}, test_set=TestSet.draw(60)))
    found = candidates(store, study)
    assert asked(found, "two") is found.chosen
    for name in ("scratch", "torch", TFIDF, AVERAGE):
        assert asked(found, "two", name).model == name
    with pytest.raises(UsageError, match=r"'scratsch'.*'scratch'.*average"):
        asked(found, "two", "scratsch")


def test_without_validation_a_model_must_be_named() -> None:
    store = FakeStore()
    found = candidates(store, add_study(store, "two", {"torch": 0.0, "scratch": 0.1}, test_set=TestSet.draw(60)))
    with pytest.raises(UsageError, match="--model: torch, scratch, tfidf"):
        asked(found, "two")
    assert asked(found, "two", "scratch").model == "scratch"
    assert tuned(found).model == "torch"


def test_a_study_without_complete_confirm_runs_is_not_complete() -> None:
    store = FakeStore()
    study = add_study(store, "failing", {"torch": 0.0}, seeds=0, failed=2, search=False)
    with pytest.raises(IncompleteError, match=r"confirmation run.*\(python sweeps/run\.py --study failing\)"):
        candidates(store, study)


def test_failed_seeds_are_left_out() -> None:
    store, (study,) = one_each({"torch": 0.0}, seeds=2, failed=1, test_set=TestSet.draw(60))
    assert len(asked(candidates(store, study), "torch", "torch").runs) == 2


# ---------------------------------------------------------------- studies of a store


def test_an_unknown_study_lists_the_known_ones(studied: Studied) -> None:
    with pytest.raises(UsageError, match=r"'quik'.*'quick'"):
        studied.store().study("quik")


def test_a_store_without_studies_says_how_to_run_one(database: Path) -> None:
    with pytest.raises(UsageError, match="gru-bench sweep --study smoke"):
        open_reader(f"sqlite:///{database}").study("quick")


def test_the_newest_study_of_a_name_is_taken(studied: Studied, monkeypatch: pytest.MonkeyPatch) -> None:
    store = studied.store()
    (study,) = store.studies("easy")
    newer = replace(study, run=replace(study.run, run_id="newer", started=study.run.started + 1))
    monkeypatch.setattr(store, "studies", lambda _: [study, newer, study])
    assert store.study("quick").run.run_id == "newer"


# ---------------------------------------------------------------- weights


@pytest.fixture(autouse=True)
def _without_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads a data set or word vectors here fails."""
    def refuse(*_: object, **__: object) -> object:
        raise AssertionError("a logged model must need neither data nor vectors")

    monkeypatch.setattr("gru_bench.data.corpus.load_corpus", refuse)
    monkeypatch.setattr("gru_bench.data.vectors.load_vectors", refuse)


def test_all_seeds_are_read_with_their_words_and_predict_what_was_logged(studied: Studied) -> None:
    store = studied.store()
    model = loaded_of(store)
    assert model.seeds == tuple(result.config.seed for result in studied.results)
    assert model.classes == ("0", "1")
    assert model.words_V[0] == ""
    assert {"good1", "bad1"} < set(model.words_V)
    for weights, result in zip(model.weights_S, studied.results, strict=True):
        assert weights.keys() == result.weights.keys()
        assert all(np.array_equal(weights[name], result.weights[name]) for name in weights)
    for place, run_id in enumerate(model.run_ids):
        logged = store.predictions(run_id, "test")
        found = Predictor(seed_of(model, place)).predict([studied.texts[name] for name in logged.example_id_N.tolist()])
        assert np.abs(found.probability_NC - logged.probability_NC).max() <= 1e-6


def test_the_winner_has_the_temperatures_of_its_validation_predictions(
    empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # this study is trained
    shutil.copy(empty_database, tmp_path)
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = [(f"word{n % 7} {('bad', 'good')[n % 2]} id{n}", str(int(n % 2 != (rng.random() < 0.2))))
            for n in range(300)]
    results = log_study(tmp_path, Path(write(tmp_path / "noisy.csv", rows)))["torch"]
    store = open_reader(f"sqlite:///{tmp_path / 'mlflow.db'}")
    logged = [result.predictions["validation"].by_id() for result in results]
    mean_NC = np.mean([one.probability_NC for one in logged], axis=0)
    both = loaded_of(store)
    assert both.temperature == pytest.approx(temperature(logged[0].label_N, mean_NC))
    assert load_folder(saved_to(both, tmp_path / "model")).temperature == both.temperature


def refused(store: Reader, kind: type[GruBenchError]) -> str:
    with pytest.raises(kind) as found:
        loaded_of(store)
    return str(found.value)


def test_artifacts_that_are_missing_are_named_and_where_they_were_looked_for(studied: Studied, tmp_path: Path) -> None:
    shutil.copytree(studied.directory, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "mlartifacts")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE runs SET artifact_uri = replace(artifact_uri, ?, 'file:///gone')",
                           (studied.directory.as_uri(),))
    mentions(refused(open_reader(f"sqlite:///{tmp_path / 'mlflow.db'}"), RunError), "/gone/mlartifacts/",
             str(tmp_path / "mlartifacts"))


def test_weights_that_were_not_logged_are_named(studied: Studied, tmp_path: Path) -> None:
    store = studied.copied(tmp_path)
    (run, *_) = store.study("quick").confirms
    artifacts_of(store, run.mlflow_id).joinpath("model/model.safetensors").unlink()
    mentions(refused(store, RunError), run.run_id, "weights", "delete the runs in MLflow", "gru-bench sweep")


def test_a_model_in_the_form_of_an_earlier_version_is_refused_with_the_remedy(studied: Studied, tmp_path: Path) -> None:
    store = studied.copied(tmp_path)
    (run, *_) = store.study("quick").confirms
    folder = artifacts_of(store, run.mlflow_id) / "model"
    (folder / "model.json").rename(folder / "config.json")
    mentions(refused(store, RunError), run.run_id, "no weights that this version can read", "gru-bench sweep")


@pytest.mark.parametrize("changed", ["model/model.safetensors", "model/model.json", "vectors"])
def test_a_logged_model_that_was_changed_is_refused(studied: Studied, tmp_path: Path, changed: str) -> None:
    store = studied.copied(tmp_path)
    study = store.study("quick")
    (run,) = (one for one in study.confirms if one.seed == 10_001)
    artifacts = artifacts_of(store, (study.run if changed == "vectors" else run).mlflow_id)
    path = next((artifacts / "vectors").iterdir()) if changed == "vectors" else artifacts / changed
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    mentions(refused(store, DataError), "the model of the run", "is damaged",
             "vectors.safetensors" if changed == "vectors" else path.name, "restore it")


def test_vectors_that_training_leaves_unchanged_are_stored_once(studied: Studied) -> None:
    store = studied.store()
    study = store.study("quick")
    assert len(study.confirms) == 2
    (shared,) = artifacts_of(store, study.run.mlflow_id).joinpath("vectors").iterdir()
    assert shared.name == f"{hashlib.sha256(shared.read_bytes()).hexdigest()}.safetensors"
    for run in study.confirms:
        artifacts = artifacts_of(store, run.mlflow_id)
        assert not (artifacts / "vectors").exists()
        assert sorted(path.name for path in (artifacts / "model").iterdir()) == ["model.json", "model.safetensors"]
    one, two = store.models([run.run_id for run in study.confirms], study.run.run_id)
    assert one.table_VE is two.table_VE


def test_seeds_that_were_trained_on_other_machines_keep_their_own_vectors(studied: Studied, tmp_path: Path) -> None:
    store = studied.store()
    study = store.study("quick")
    one, two = store.models([run.run_id for run in study.confirms], study.run.run_id)
    other = replace(two, table_VE=2 * present(two.table_VE))
    both = TrainedModel.of_seeds([one, other], study="quick", run_ids=["a", "b"])
    texts = list(studied.texts.values())[:20]
    expected = [Predictor(model).predict(texts).probability_NC for model in (one, other)]
    for model in (both, load_folder(saved_to(both, tmp_path / "model"))):
        assert model.table_VE is None
        found = Predictor(model).predict(texts).probability_NC
        np.testing.assert_allclose(found, sum(expected) / 2, rtol=0, atol=1e-6)


def test_seeds_that_know_other_words_are_refused(studied: Studied) -> None:
    store = studied.store()
    study = store.study("quick")
    one, two = store.models([run.run_id for run in study.confirms], study.run.run_id)
    with pytest.raises(DataError, match="same vocabulary"):
        TrainedModel.of_seeds([one, replace(two, words_V=[*two.words_V[:-1], "other"])], study="quick",
                              run_ids=["a", "b"])


def saved_to(model: TrainedModel, folder: Path) -> Path:
    save(model, folder, "", {})
    return folder


def load_folder(folder: Path) -> TrainedModel:
    return load_saved(folder)[0]
