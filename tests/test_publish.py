"""The script that writes studies to a folder for publication."""

from __future__ import annotations

import importlib.util
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage

from gru_bench.results.diagnostics import DIAGNOSTICS, Attribution, Diagnostics
from gru_bench.results.runs import EpochRecord
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.tracking import Store, open_reader
from tests.support.commands import ROOT
from tests.support.runs import modeled, result

DIAGNOSED = Diagnostics(
    (), (), (Attribution("torch", ("a", "text"), (0.3, -0.1), 0.6, "positive", "negative"),), "validation")


def script() -> Any:
    spec = importlib.util.spec_from_file_location("publish", ROOT / "reports" / "publish.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_study(store: Store, storage: BaseStorage, name: str) -> str:
    """Log a study with one run, and return the id of this run."""
    study = store.start("texts", name, role="study", study=name)
    study.text("report/report.md", "attached")
    study.texts("test", ["a"], ["a text"])
    run = store.start("texts", f"{name} seed 1", role="confirm", study=name, model="torch", parent=study.run_id)
    for epoch in (1, 2):
        run.epoch(EpochRecord(epoch, 1 / epoch, 0.6, 0.7, 2.0, 100.0))
    run.finish(modeled(replace(result(), diagnostics=DIAGNOSED.to_json())))
    study.complete()
    optuna.create_study(study_name=name, storage=storage).set_user_attr("format", "1")
    searched = optuna.create_study(study_name=f"{name}/torch", storage=storage, direction="maximize")
    searched.enqueue_trial({"training.lr": 0.5})
    searched.add_trial(optuna.trial.create_trial(value=0.25))
    return run.run_id


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> tuple[Path, str, str]:
    """The folder of one of two studies, and the ids of a run in it and of one that is left out."""
    home, folder = (tmp_path_factory.mktemp(name) for name in ("home", "with space"))
    shutil.copy(empty_database, home)
    storage = open_storage(str(home / "optuna.journal"))
    store = Store(f"sqlite:///{home / 'mlflow.db'}")
    kept, left_out = (run_study(store, storage, name) for name in ("mine", "other"))
    script().publish(home, ["mine"], home / "studies.tar.xz")
    shutil.copytree(home / "mlartifacts", folder / "before")  # to see that it is not read
    shutil.rmtree(home / "mlartifacts")
    with tarfile.open(home / "studies.tar.xz") as packed:
        packed.extractall(folder, filter="data")
    return folder, kept, left_out


def test_a_published_study_has_its_predictions_points_and_trials(published: tuple[Path, str, str]) -> None:
    folder, kept, left_out = published
    reader = open_reader(f"sqlite:///{folder / 'mlflow.db'}")
    assert [study.run.study for study in reader.studies("texts")] == ["mine"]
    assert reader.find(left_out) is None
    assert len(reader.predictions(kept, "test").example_id_N) == len(result().predictions["test"].example_id_N)
    assert len(reader.histories([kept], ["loss/train"])[kept]["loss/train"]) == 2
    storage = open_storage(str(folder / "optuna.journal"))
    assert sorted(optuna.get_all_study_names(storage)) == ["mine", "mine/torch"]
    trials = optuna.load_study(study_name="mine/torch", storage=storage).trials
    assert [(trial.state.name, trial.value) for trial in trials] == [("WAITING", None), ("COMPLETE", 0.25)]


def test_texts_weights_and_attached_reports_are_not_published(published: tuple[Path, str, str]) -> None:
    folder, _, _ = published
    paths = {path.name for path in folder.joinpath("mlartifacts").rglob("*") if path.is_file()}
    assert paths == {"test.parquet", "validation.parquet", "diagnostics.json"}
    (found,) = folder.joinpath("mlartifacts").rglob(DIAGNOSTICS)
    shown = Diagnostics.from_json(found.read_text(encoding="utf-8"))
    assert shown.attributions == ()


def test_a_study_that_is_not_there_is_refused(tmp_path: Path, empty_database: Path) -> None:
    shutil.copy(empty_database, tmp_path)
    with pytest.raises(SystemExit, match=r"mlflow\.db has no study 'mine'"):
        script().publish(tmp_path, ["mine"], tmp_path / "studies.tar.xz")
    assert not tmp_path.joinpath("studies.tar.xz").exists()
