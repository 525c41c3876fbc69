"""The saved view of MLflow's table of runs. That its pages show it is tested in end_to_end/test_servers.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow
import pytest

from gru_bench.config import MetricName
from gru_bench.errors import RunError
from gru_bench.tracking import Store, attach, view
from gru_bench.tracking.client import shown_version
from gru_bench.tracking.store import ATTACHED
from tests.support.mlflow_stores import artifacts_of, client_of


@pytest.mark.parametrize(("version", "known"), [
    ("3.15.0", True), ("3.17.2", True), ("3.100.0rc1", True), ("3.14.9", False), ("2.99.0", False), ("4.0.0", False),
    ("", False), ("<html>", False),
])
def test_views_are_known_for_mlflow_3_15_and_later(version: str, known: bool) -> None:
    assert view.is_known(version) == known


def test_the_view_of_the_installed_version_is_known() -> None:
    assert view.is_known(shown_version("sqlite:///mlflow.db"))


def test_the_pages_of_the_installed_version_know_what_is_written_without_being_documented() -> None:
    pages = list(Path(mlflow.__file__).parent.glob("server/js/build/static/js/main.*.js"))
    if not pages:
        pytest.skip("MLflow is installed without its pages")
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    state = json.loads(json.loads(view.view("accuracy", 0))["state"])
    written = (*view.TRAINING.split("="), view.PREFIX, view.KEY, *state, state["runsHiddenMode"])
    assert [word for word in written if word not in text] == []


@pytest.mark.parametrize(("metric", "ascending", "score"), [
    ("accuracy", False, "accuracy"), ("macro_f1", False, "macro_f1"), ("log_loss", True, "loss")])
def test_runs_are_sorted_by_validation_score_the_best_first(metric: MetricName, ascending: bool, score: str) -> None:
    found = json.loads(view.view(metric, 1_700_000_000_000))
    assert (found["createdAt"], found["updatedAt"]) == (1_700_000_000_000,) * 2
    state = json.loads(found["state"])
    assert (state["orderByKey"], state["orderByAsc"]) == (f"metrics.`score/val_{score}`", ascending)
    assert {"tags.`gru_bench.role`", f"metrics.`score/val_{score}`", "params.`training.lr`"} <= set(
        state["selectedColumns"])


def test_a_study_saves_its_view_once_and_a_user_may_change_it(store: Store) -> None:
    study = store.start("reviews", "s", role="study", study="s")
    assert store.view("reviews", "accuracy") == ""
    store.save_view(study.run_id, "accuracy")
    number = store.runs("reviews")[0].experiment_id
    assert store.view("reviews", "accuracy") == (
        f"#/experiments/{number}/runs?viewStateShareKey=gru-bench-accuracy&workflowType=machine_learning")
    assert store.view("reviews", "macro_f1") == store.view("elsewhere", "accuracy") == ""
    key = view.view_tag("accuracy")
    saved = json.loads(client_of(store).get_experiment(number).tags[key])
    assert saved["name"] == "gru-bench: runs by validation accuracy"
    client_of(store).set_experiment_tag(number, key, "mine")
    store.save_view(study.run_id, "macro_f1")
    store.save_view(study.run_id, "accuracy")
    assert client_of(store).get_experiment(number).tags[key] == "mine"
    assert store.view("reviews", "macro_f1")


def test_an_unknown_version_gets_no_view(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gru_bench.tracking.view.shown_version", lambda _: "4.0.0")
    store.save_view(store.start("reviews", "s", role="study", study="s").run_id, "accuracy")
    assert store.view("reviews", "accuracy") == ""


class TestAStoreThatRefusesViews:
    class Client:
        def __init__(self, error: RunError) -> None:
            self.error = error

        def get_experiment(self, _: str) -> Any:
            raise self.error

    def test_a_refused_view_is_no_error(self) -> None:
        client: Any = self.Client(RunError("PERMISSION_DENIED"))
        view.save_view(client, "sqlite:///mlflow.db", "1", "accuracy", 0)

    def test_a_store_that_is_away_is_an_error_so_that_it_is_asked_again(self) -> None:
        error = RunError("it fails to get_experiment")
        error.__cause__ = ConnectionError("refused")
        client: Any = self.Client(error)
        with pytest.raises(RunError, match="get_experiment"):
            view.save_view(client, "sqlite:///mlflow.db", "1", "accuracy", 0)


class TestAttached:
    def test_a_report_takes_the_place_of_the_one_before(self, store: Store, tmp_path: Path) -> None:
        study = store.start("reviews", "s", role="study", study="s")
        study.complete()
        for names in (("report.html", "figures/old.pdf"), ("report.html", "figures/new.pdf")):
            folder = tmp_path / names[1].partition("/")[2]
            for name in names:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(name, encoding="utf-8")
            assert attach(store, study.run_id, folder) == ""
        place = artifacts_of(store, store.mlflow_id(study.run_id)) / ATTACHED
        assert sorted(path.relative_to(place).as_posix() for path in place.rglob("*.*")) == [
            "figures/new.pdf", "report.html"]

    def test_a_store_that_cannot_be_written_says_why(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        study = store.start("reviews", "s", role="study", study="s")

        def denied(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("gru_bench.tracking.store.shutil.copytree", denied)
        assert attach(store, study.run_id, tmp_path) == "[Errno 13] Permission denied"
