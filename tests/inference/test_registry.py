"""The winner in MLflow's registry: registered once, loaded by MLflow, and served over HTTP."""

from __future__ import annotations

import io
import json
import runpy
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gru_bench.config import RunConfig, with_settings
from gru_bench.errors import UsageError
from gru_bench.inference.predictor import Predictor
from gru_bench.models.saved import content, save
from gru_bench.models.trained import TrainedLinear, TrainedModel
from gru_bench.stats.linear import LinearModel
from gru_bench.tracking import LoggedRun, Store
from gru_bench.tracking.registry import (
    MOST_DESCRIPTION,
    WEIGHTS,
    Registered,
    described,
    log_model,
    register,
    registered_name,
)
from gru_bench.train.network import untrained
from tests.support.commands import ROOT, mentions
from tests.support.mlflow_stores import client_of
from tests.support.runs import modeled, result
from tests.support.servers import MlflowServer, ask, serving

CODE = ROOT / "gru_bench" / "inference" / "served.py"
WORDS = ("", "good", "bad", "film")


def trained(seed: int = 0) -> TrainedModel:
    """A model of two seeds with frozen vectors."""
    config = with_settings(RunConfig(), {"model.hidden_size": 4, "model.name": "bidirectional", "seed": seed})
    weights = tuple(
        {name: value.numpy() for name, value in untrained(
            with_settings(config, {"seed": seed + one}), torch.zeros(1, 3)).state_dict().items()} for one in range(2))
    table_VE = np.random.default_rng(seed).normal(size=(len(WORDS), 3)).astype(np.float32)
    table_VE[0] = 0
    return TrainedModel("mine", "bidirectional", config, (seed, seed + 1), ("negative", "positive"), WORDS, table_VE,
                        weights)


def saved(folder: Path, seed: int = 0) -> Path:
    save(trained(seed), folder, "card", {})
    return folder


def study(store: Store) -> LoggedRun:
    """The parent run of a study."""
    writer = store.start("data", "mine", role="study", study="mine")
    return next(run for run in store.runs("data") if run.run_id == writer.run_id)


def registering(store: Store, run: LoggedRun, folder: Path) -> Registered:
    return register(store, run, folder, CODE, content=content(folder), classes=("negative", "positive"),
                    example="a good film")


@pytest.fixture
def store(tmp_path: Path, empty_database: Path) -> Store:
    shutil.copy(empty_database, tmp_path / "runs.db")
    return Store(f"sqlite:///{tmp_path / 'runs.db'}")


def logged_models(store: Store) -> list[Any]:
    found = client_of(store).get_experiment_by_name("data")
    assert found is not None
    return list(client_of(store).search_logged_models([found.experiment_id]))


def test_a_run_with_weights_has_one_logged_model(store: Store) -> None:
    with_model, without = (store.start("data", name, role="confirm") for name in "ab")
    with_model.finish(modeled(result()))
    without.finish(result())
    mlflow_id = store.mlflow_id(with_model.run_id)
    (model,) = logged_models(store)
    assert (model.name, str(model.status), model.source_run_id) == ("bidirectional", "READY", mlflow_id)
    assert model.tags[WEIGHTS] == f"runs:/{mlflow_id}/model"
    log_model(client_of(store), mlflow_id, "bidirectional")  # as after a kill between the write and its record
    assert len(logged_models(store)) == 1
    outputs = client_of(store).get_run(mlflow_id).outputs
    assert outputs is not None
    assert [output.model_id for output in outputs.model_outputs] == [model.model_id]


def test_the_same_model_gets_no_second_version(store: Store, tmp_path: Path) -> None:
    run = study(store)
    assert registering(store, run, saved(tmp_path / "one")) == Registered("mine", "1", new=True)
    assert registering(store, run, saved(tmp_path / "same")) == Registered("mine", "1", new=False)
    found = registering(store, run, saved(tmp_path / "other", seed=5))
    assert (found.version, found.new, found.uri) == ("2", True, "models:/mine@best")
    model = client_of(store).get_registered_model("mine")
    assert {alias: str(version) for alias, version in model.aliases.items()} == {"best": "2"}
    version = client_of(store).get_model_version("mine", "2")
    assert (version.run_id, version.description) == (run.mlflow_id, "card")


def test_the_description_of_a_version_is_the_card_without_its_front_matter() -> None:
    assert described("---\nlicense: mit\n---\n# A model\n\nWhat it scores.\n") == "# A model\n\nWhat it scores."
    assert described("first\n\n" + "x" * MOST_DESCRIPTION) == "first"


@pytest.mark.filterwarnings("ignore:Operation with range:DeprecationWarning")  # how MLflow calls pandas
def test_mlflow_loads_what_was_registered(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow
    import pandas as pd

    registering(store, study(store), saved(tmp_path / "one"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    model = mlflow.pyfunc.load_model("models:/mine@best")
    texts = ["a good film", "bad", "unheard of"]
    answer = model.predict(pd.DataFrame({"text": texts}))
    want = Predictor(trained()).predict(texts)
    assert answer["label"].tolist() == want.label_N
    assert np.allclose(answer["probability_positive"], want.probability_NC[:, 1], atol=1e-6)  # six decimals are sent
    assert answer["known_words"].tolist() == [round(2 / 3, 4), 1.0, 0.0]
    for value in (None, 5, ["bad"]):
        with pytest.raises(mlflow.MlflowException, match="row 2 has") as refused:
            model.predict(pd.DataFrame({"text": ["bad", value]}))
        assert refused.value.error_code == "INVALID_PARAMETER_VALUE"
    schema, served = model.metadata.get_input_schema(), mlflow.pyfunc.scoring_server
    for text, rows in (("text\nNA\n12\n", ["NA", "12"]), ("id,text\n1,bad\n2,\n", ["bad", ""])):
        assert served.parse_csv_input(io.StringIO(text), schema)["text"].tolist() == rows
    for data in ({"inputs": ["bad", None, 5]}, {"inputs": {"text": ["bad", None, 5]}},
                 {"instances": ["bad", None, 5]}, {"instances": [{"text": value} for value in ("bad", None, 5)]}):
        assert served.infer_and_parse_data(data, schema)["text"].tolist() == ["bad", None, 5]
    assert served.parse_csv_input(io.StringIO("text\nNA\n"))["text"].isna().all()  # as of any other model
    assert not [path for path in (tmp_path / "mlartifacts").rglob("*") if path.suffix in (".pkl", ".pickle", ".pt")]
    assert list(answer.columns) == [one["name"] for one in json.loads(model.metadata.signature.to_dict()["outputs"])]


@pytest.mark.filterwarnings("ignore:Operation with range:DeprecationWarning")  # how MLflow calls pandas
def test_mlflow_loads_a_average(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow
    import pandas as pd

    weights = LinearModel(2, np.array([0, 1]), 1, ("good", "bad"), np.array([[2], [-1]], np.float32), np.zeros(1), None)
    model = replace(trained(), temperature=2.0, linear=TrainedLinear("ngrams", weights, temperature=0.7))
    save(model, tmp_path / "model", "card", {})
    registered = registering(store, study(store), tmp_path / "model")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    answer = mlflow.pyfunc.load_model(registered.uri).predict(pd.DataFrame({"text": ["a good film", "bad"]}))
    expected_NC = Predictor(model).predict(["a good film", "bad"]).probability_NC
    assert answer[["probability_negative", "probability_positive"]].to_numpy() == pytest.approx(expected_NC, abs=1e-6)
    assert answer["label"].tolist() == ["positive", "negative"]


@pytest.mark.parametrize(("study_name", "name"), [("a/b: c", "a-b- c"), ("bidirectional", "bidirectional")])
def test_the_registered_name_is_that_of_the_study(study_name: str, name: str) -> None:
    assert registered_name(study_name) == name


def test_a_study_whose_name_cannot_be_registered_is_refused() -> None:
    with pytest.raises(UsageError, match="folder instead"):
        registered_name("//")


@pytest.mark.service
def test_the_registered_model_answers_over_http(store: Store, tmp_path: Path) -> None:
    registering(store, study(store), saved(tmp_path / "one"))
    with serving(store, tmp_path) as port:
        status, answer = ask(port, {"dataframe_records": [{"text": "a good film"}, {"text": "bad"}]})
        rows = answer["predictions"]
        want = Predictor(trained()).predict(["a good film", "bad"])
        assert [row["label"] for row in rows] == want.label_N
        assert np.allclose([row["probability_negative"] for row in rows], want.probability_NC[:, 0], atol=1e-6)
        assert ask(port, "text\na good film\nNA\n12\n") == ask(port, {"inputs": ["a good film", "NA", "12"]})
        for value in (None, 5, ["bad"], {"bad": 1}):
            for wrong in ({"dataframe_records": [{"text": "bad"}, {"text": value}]},
                          {"dataframe_split": {"columns": ["text"], "data": [["bad"], [value]]}},
                          {"inputs": {"text": ["bad", value]}}, {"instances": ["bad", value]}):
                status, answer = ask(port, wrong)
                assert status == 400
                mentions(answer["message"], "row 2 has")
                assert "stack_trace" not in answer
        for request in ('text\n"a good film\n', {"inputs": 5}, {"inputs": {"text": "bad"}}):
            status, answer = ask(port, request)
            assert status == 400
            assert "stack_trace" not in answer


def test_an_environment_without_gru_bench_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow would make one for another environment manager; it runs the same file."""
    monkeypatch.setitem(sys.modules, "gru_bench.inference.files", None)
    with pytest.raises(ImportError, match="--env-manager local"):
        runpy.run_path(str(CODE))


@pytest.mark.service
def test_a_server_registers_the_same_model_once(tracking_server: MlflowServer, tmp_path: Path) -> None:
    store = Store(tracking_server.uri)
    run = study(store)
    assert registering(store, run, saved(tmp_path / "one")) == Registered("mine", "1", new=True)
    assert registering(store, run, saved(tmp_path / "again")) == Registered("mine", "1", new=False)
    model = client_of(store).get_model_version_by_alias("mine", "best")
    assert (str(model.version), model.run_id) == ("1", store.mlflow_id(run.run_id))
