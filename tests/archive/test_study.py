"""A study carried in one file: all of it arrives, its numbers are the same, and nothing arrives half."""

from __future__ import annotations

import io
import json
import os
import random
import re
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from gru_bench.archive.__main__ import app as archive_app
from gru_bench.archive.container import Manifest, pack, unpack
from gru_bench.archive.study import Carried, _read, export_study, import_study
from gru_bench.archive.work_folder import work_folder
from gru_bench.cli import ended
from gru_bench.config import RunConfig
from gru_bench.errors import DataError, RunError, UsageError
from gru_bench.report import verify
from gru_bench.report.__main__ import app as report_app
from gru_bench.report.__main__ import choose
from gru_bench.report.build import build
from gru_bench.report.render import record
from gru_bench.results.diagnostics import DIAGNOSTICS, Attribution, Diagnostics, GateMap, Neighbours
from gru_bench.results.runs import EpochRecord
from gru_bench.sweep.search import Search
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.spec import load_study
from gru_bench.tracking import LoggedStudy, Store
from gru_bench.tracking import export as tracking
from tests.support.commands import ROOT, command
from tests.support.fake_store import TestSet
from tests.tracking.test_store import result, summary

IDENTITY = {"data": "abc", "objective": "accuracy"}
START = {"owner": "a machine 7 99", "lease": 3, "seconds": 1.5, "searching": True, "ended": False}
RANGE = {"training.lr": optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True),
         "model.pooling": optuna.distributions.CategoricalDistribution(["mean", None])}

INSIDE = Diagnostics(
    (), (GateMap("torch", "forward", "run", ("review", "seven"), ((0.5,), (0.2,)), ((0.1,), (1.0,))),),
    (Attribution("torch", "run", "occlusion", ("review", "seven"), (0.3, -0.1), 0.6),),
    (Neighbours("good", (("great", 0.8),)),), "validation")


def fill(directory: Path) -> None:
    """Log a study as a sweep does: a trial of each state, three confirm runs, and what hangs on them."""
    store = Store(f"sqlite:///{directory / 'mlflow.db'}")
    search = optuna.create_study(study_name="quick/torch", storage=open_storage(str(directory / "optuna.journal")),
                                 direction="maximize")
    search.set_user_attr("format", 2)
    search.set_user_attr("identity", IDENTITY)
    search.set_user_attr("start 1", START)
    for seed, state in ((10_000, "done"), (10_003, "running")):
        search.set_user_attr(f"claim confirm {seed}", {"state": state, "owner": "a machine 7 99", "start": 1,
                                                       "attempt": 1})
    parent = store.start("easy", "quick", role="study", study="quick", model="torch", fingerprint="abc",
                         command="run.py --study quick")
    parent.params({"study": "quick", "confirm": 3})
    parent.dataset("easy", "abc")

    def begin(role: str, label: str, seed: int) -> Any:
        return store.start("easy", f"quick: torch {label}", role=role, study="quick", model="torch", fingerprint="abc",
                           config=RunConfig(seed=seed), parent=parent.run_id)

    search.enqueue_trial({"training.lr": 1e-3, "model.pooling": None}, user_attrs={"attempt": 2})
    for number, state in enumerate(("COMPLETE", "PRUNED", "FAIL", "RUNNING")):
        trial, writer = search.ask(RANGE), begin("trial", f"trial {number}", 0)
        trial.set_user_attr("run_id", writer.run_id)
        trial.set_user_attr("owner", "a machine 7 99")
        trial.report([0.1 + 0.2, float("nan")][number % 2], 1)
        writer.epoch(EpochRecord(1, 1 / 3, 0.6, 0.7, 2.0, 100.0))
        match state:
            case "COMPLETE":
                search.tell(trial, 0.1 + 0.2)
                writer.finish(result(), with_model=False)
            case "PRUNED":
                search.tell(trial, state=optuna.trial.TrialState.PRUNED)
                writer.prune("below the median")
            case "FAIL":
                search.tell(trial, state=optuna.trial.TrialState.FAIL)
                writer.metrics({"loss/train": float("nan")}, step=2)
                writer.fail("the loss is not finite")
    search.enqueue_trial({"training.lr": 2e-3, "model.pooling": "mean"})
    test_set, rng = TestSet.draw(120), np.random.default_rng(3)
    for seed in (10_000, 10_001, 10_002):
        writer = begin("confirm", f"seed {seed}", seed)
        lean_N = 0.3 * rng.normal(size=120)
        writer.epoch(EpochRecord(1, 0.7, 0.6, 0.75, 2.0, 100.0))
        writer.finish(replace(result(), predictions={"test": test_set.predictions(rng, lean_N, 0.1)}), with_model=True)
        search.set_user_attr(f"seen {seed}", {"run_id": writer.run_id, "others": [writer.run_id, "none"]})
    parent.texts("test", test_set.id_N, [f"review {name}" for name in test_set.id_N])
    parent.text(DIAGNOSTICS, INSIDE.to_json())
    parent.text("study.json", replace(summary(), name="quick").to_json())
    parent.complete()
    store.close()


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    directory = tmp_path_factory.mktemp("far")
    shutil.copy(empty_database, directory)
    fill(directory)
    exported(directory, directory / "quick.zip")
    return directory


def stores(directory: Path) -> tuple[Store, optuna.storages.BaseStorage]:
    return Store(f"sqlite:///{directory / 'mlflow.db'}"), open_storage(str(directory / "optuna.journal"))


def exported(directory: Path, file: Path, study: str = "quick", *, texts: bool = True) -> Carried:
    folder = file.with_suffix(".files")
    folder.mkdir()
    carried = export_study(*stores(directory), study, folder, experiment=None, texts=texts)
    pack(file, folder, carried.about())
    return carried


def imported(file: Path, directory: Path, study: str | None = None) -> Carried:
    folder = directory / f"files {len(list(directory.iterdir()))}"
    folder.mkdir()
    manifest = unpack(file, folder)
    return import_study(folder, manifest.sizes, manifest.content, *stores(directory), study)


@pytest.fixture
def near(tmp_path: Path, empty_database: Path) -> Path:
    """A machine without studies."""
    shutil.copy(empty_database, tmp_path)
    return tmp_path


def only(directory: Path) -> LoggedStudy:
    (study,) = stores(directory)[0].studies("easy")
    return study


def searched(directory: Path, name: str = "quick/torch") -> optuna.Study:
    return optuna.load_study(study_name=name, storage=stores(directory)[1])


def numbers(directory: Path) -> dict[str, Any]:
    """What numbers.json of a report holds, with runs named by their labels."""
    store = Store(f"sqlite:///{directory / 'mlflow.db'}", create=False)
    study = only(directory)
    label = {run.run_id: run.name for run in (study.run, *study.trials, *study.confirms)}
    found = record.record(build([study], store, experiment="easy", tracking_uri="here"))
    assert len(found["numbers"]) > 20
    renamed = json.dumps(found)
    for run_id, name in label.items():
        renamed = renamed.replace(run_id, name)
    told = json.loads(renamed)
    for number in (told, *told["numbers"].values()):
        number["runs"].sort()  # by their labels: an order by ids means nothing here
    return told


def test_the_write_up_has_the_same_numbers(far: Path, near: Path) -> None:
    carried = imported(far / "quick.zip", near)
    assert (carried.study, carried.experiment, carried.runs, carried.trials) == ("quick", "easy", 8, 5)
    assert numbers(near) == numbers(far)


def test_trials_arrive_as_they_are(far: Path, near: Path) -> None:
    imported(far / "quick.zip", near)
    there, here = searched(far).trials, searched(near).trials
    assert [trial.state.name for trial in there] == ["COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING"]
    assert [trial.state.name for trial in here] == ["COMPLETE", "PRUNED", "FAIL", "FAIL", "WAITING", "WAITING"]
    for one, two in zip(there, here, strict=False):
        assert (one.number, one.params, one.distributions, one.value) == (
            two.number, two.params, two.distributions, two.value)
        assert repr(one.intermediate_values) == repr(two.intermediate_values)  # one is not a number
        assert (one.system_attrs, one.datetime_start) == (two.system_attrs, two.datetime_start)
        assert one.user_attrs.keys() <= two.user_attrs.keys()
        if one.number != 3:
            assert one.datetime_complete == two.datetime_complete
    assert searched(near).best_value == 0.1 + 0.2
    assert searched(near).user_attrs["identity"] == IDENTITY


def test_what_was_under_way_has_ended_here_and_is_queued_again(far: Path, near: Path) -> None:
    imported(far / "quick.zip", near)
    broken, queued = searched(near).trials[3], searched(near).trials[5]
    assert broken.user_attrs["reason"] == "it was under way when its study was exported"
    assert queued.system_attrs["fixed_params"] == broken.params
    assert queued.user_attrs == {"retry_of": 3, "attempt": 1}
    run = next(run for run in only(near).trials if run.run_id == broken.user_attrs["run_id"])
    assert (run.status, run.tags["gru_bench.state"]) == ("KILLED", "killed")
    assert run.reason == "it was under way when its study was exported"
    attributes = searched(near).user_attrs
    assert attributes["start 1"] == {**START, "searching": False, "ended": True}
    assert [attributes[f"claim confirm {seed}"]["state"] for seed in (10_000, 10_003)] == ["done", "free"]


def test_runs_arrive_as_they_are(far: Path, near: Path) -> None:
    imported(far / "quick.zip", near)
    there, here = stores(far)[0], stores(near)[0]
    ids = {}
    for one, two in zip(sorted(there.runs("easy"), key=lambda run: run.name),
                        sorted(here.runs("easy"), key=lambda run: run.name), strict=True):
        ids[one.run_id] = two.run_id
        assert one.run_id != two.run_id
        assert (one.name, one.role, one.params, one.started) == (two.name, two.role, two.params, two.started)
        assert repr(sorted(one.metrics.items())) == repr(sorted(two.metrics.items()))
        if one.status != "RUNNING":
            old, new = there._client.get_run(one.run_id), here._client.get_run(two.run_id)
            assert (old.info.status, old.info.end_time) == (new.info.status, new.info.end_time)
        for key in one.metrics:
            points = [[(point.step, point.timestamp, repr(point.value)) for point in store._client.get_metric_history(
                run.run_id, key)] for store, run in ((there, one), (here, two))]
            assert points[0] == points[1]
        files = [{path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
                 for store, run in ((there, one), (here, two)) for root in [store._local_artifacts(run.run_id)]]
        assert files[0] == files[1]
        changed = {"gru_bench.archive", "gru_bench.earlier_ids", "gru_bench.run", "mlflow.parentRunId",
                   "gru_bench.state", "gru_bench.reason"}
        assert {key: value for key, value in one.tags.items() if key not in changed} == {
            key: value for key, value in two.tags.items() if key not in changed}
    parents = {two.tags.get("mlflow.parentRunId") for two in here.runs("easy")}
    assert parents == {None, only(near).run.run_id}
    (entry,) = here._client.get_run(only(near).run.run_id).inputs.dataset_inputs
    assert (entry.dataset.name, entry.dataset.digest, entry.tags[0].value) == ("easy", "abc", "training")
    attributes = searched(near).user_attrs
    for run in only(far).confirms:
        assert attributes[f"seen {run.seed}"] == {"run_id": ids[run.run_id], "others": [ids[run.run_id], "none"]}
    assert {trial.user_attrs["run_id"] for trial in searched(near).trials if "run_id" in trial.user_attrs} == {
        run.run_id for run in only(near).trials}


def test_what_is_here_already_is_recognised(far: Path, near: Path) -> None:
    assert not imported(far / "quick.zip", near).already
    assert imported(far / "quick.zip", near).already
    assert len(only(near).confirms) == 3
    exported(near, near / "again.zip")
    with pytest.raises(UsageError, match=r"there is a study 'quick' already and it is not .*--study-name NAME"):
        imported(near / "again.zip", near)
    other = imported(far / "quick.zip", near, "other")
    assert (other.study, other.already) == ("other", False)
    studies = {study.run.study: study for study in stores(near)[0].studies("easy")}
    assert set(studies) == {"quick", "other"}
    assert studies["other"].summary == replace(studies["quick"].summary, name="other")
    assert {run.name for run in studies["other"].confirms} == {
        f"other: torch seed {seed}" for seed in (10_000, 10_001, 10_002)}
    assert studies["other"].run.params["study"] == studies["other"].run.name == "other"
    assert len(searched(near, "other/torch").trials) == 6


def test_reviews_can_stay_behind(far: Path, near: Path) -> None:
    carried = exported(far, near / "bare.zip", texts=False)
    assert carried.remarks[-1] == "what its models make of a review, word by word, is left out"
    imported(near / "bare.zip", near)
    run_id = only(near).run.run_id
    assert stores(near)[0].texts(run_id, "test") is None
    assert stores(near)[0].text(run_id, DIAGNOSTICS) == INSIDE.without_review().to_json()
    assert only(near).run.params["texts"] == "False"
    assert stores(far)[0].text(only(far).run.run_id, DIAGNOSTICS) == INSIDE.to_json()
    assert stores(far)[0].texts(only(far).run.run_id, "test") is not None


def test_weights_can_stay_behind(far: Path, near: Path) -> None:
    folder = near / "files"
    folder.mkdir()
    carried = export_study(*stores(far), "quick", folder, experiment=None, texts=True, weights=False)
    assert list((folder / "artifacts").rglob("*.parquet"))
    assert not list((folder / "artifacts").rglob("*.safetensors"))
    pack(near / "light.zip", folder, carried.about())
    imported(near / "light.zip", near)
    (run, *_) = only(near).confirms
    assert len(stores(near)[0].predictions(run.run_id, "test")) > 0
    with pytest.raises(RunError, match=r"must hold the artifact model/weights\.safetensors"):
        stores(near)[0].model(run.run_id)


@pytest.mark.parametrize(("fails", "how"), [
    ("create_run", "fails"), ("log_artifacts", "is killed"), ("reveal", "fails"), ("reveal", "is killed"),
    ("add_trial", "fails"), ("add_trial", "is killed"),
])
def test_an_import_that_breaks_off_leaves_nothing(
    far: Path, near: Path, monkeypatch: pytest.MonkeyPatch, fails: str, how: str
) -> None:
    error = OSError if how == "fails" else KeyboardInterrupt
    with monkeypatch.context() as patch:
        store, storage = stores(near)
        calls = 0

        def broken(original: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **named: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == 3:
                    raise error("no more")
                return original(*arguments, **named)
            return call

        if fails == "reveal":
            patch.setattr(tracking, "reveal", _half_revealed(error))
        elif fails == "add_trial":
            patch.setattr(optuna.Study, "add_trial", broken(optuna.Study.add_trial))
        else:
            patch.setattr(type(store._client._client), fails, broken(getattr(type(store._client._client), fails)))
        if how == "is killed":  # nobody cleans up
            patch.setattr("gru_bench.archive.study.searching.remove_searches", lambda *_: None)
            patch.setattr("gru_bench.archive.study.tracking.remove_import", lambda *_: None)
        folder = near / "files"
        folder.mkdir()
        manifest = unpack(far / "quick.zip", folder)
        with pytest.raises(error, match="no more"):
            import_study(folder, manifest.sizes, manifest.content, store, storage, None)
    assert not stores(near)[0].studies("easy")
    if fails == "reveal" and how == "is killed":
        (near / "quick.toml").write_text("models = ['torch']\ntrials = 1\n[space]\ntraining.lr = {low = 0.1, high = 1}")
        with pytest.raises(RunError, match=r"'quick' must be imported whole before it goes on.*import it again"):
            Search(load_study(str(near / "quick.toml")), "torch", stores(near)[1], "abc")
    if how == "fails":
        assert not list(near.glob("mlartifacts/*"))
        assert not optuna.get_all_study_names(stores(near)[1])
        assert not stores(near)[0].runs("easy")
    imported(far / "quick.zip", near)
    assert len(stores(near)[0].runs("easy")) == 8
    assert numbers(near) == numbers(far)
    assert len(searched(near).trials) == 6


EXAMPLE = ROOT / "reports" / "example"


@pytest.mark.parametrize(("name", "experiment", "models"), [
    ("homework", "sentiment_dataset_train_amazon14", {"scratch", "torch", "bidirectional"}),
    ("bidirectional", "movie-reviews", {"bidirectional"}),
])
def test_an_example_comes_in_whole(name: str, experiment: str, models: set[str], near: Path) -> None:
    """Studies that come with the repository: no reviews, and every run that is complete can be read."""
    imported(EXAMPLE / f"{name}.study", near)
    store, _ = stores(near)
    (study,) = store.studies(experiment)
    done = [run for run in study.confirms if run.complete]
    assert {run.model for run in done} == models
    for run in done:
        found = store.predictions(run.run_id, "test")
        right = np.mean((found.probability_N > 0.5) == found.label_N)
        assert right == pytest.approx(run.metrics["score/test_accuracy"])
    assert store.texts(study.run.run_id, "test") is None


@pytest.mark.parametrize(("example", "studies"), [
    pytest.param("homework", ["homework"], marks=pytest.mark.service),  # its figures take ten seconds
    ("tuned", ["bidirectional", "torch", "scratch"])])
def test_an_example_is_verified_by_the_commands_of_readme(
    example: str, studies: list[str], near: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in studies:
        imported(EXAMPLE / f"{name}.study", near)
    assert typed(report_app, "--verify", str(EXAMPLE / example)) == 0, capsys.readouterr().out
    assert re.search(r": all \d+ numbers are what \d+ runs in .*mlflow\.db give", capsys.readouterr().out)
    for readme in (ROOT / "README.md", ROOT / "reports" / "README.md"):
        for command_line in (*(f"archive import $E/{name}.study" for name in studies), f"report --verify $E/{example}"):
            assert f"python -m gru_bench.{command_line}" in readme.read_text()


def test_the_homework_example_is_what_its_study_gives(near: Path) -> None:
    imported(EXAMPLE / "homework.study", near)
    (study,) = stores(near)[0].studies("sentiment_dataset_train_amazon14")
    kept = json.loads((EXAMPLE / "homework" / "numbers.json").read_text(encoding="utf-8"))
    found = verify._written_up(kept["studies"][0]["run"], "homework", [study])
    assert found is not None
    view: Any = verify._AsWrittenUp(stores(near)[0], found.ids, {})
    ours = record.record(build([found.study], view, experiment=kept["experiment"], taken=kept["taken"]))
    assert ours["numbers"].keys() == kept["numbers"].keys()
    for part in ("text", "runs"):
        assert {key: number[part] for key, number in ours["numbers"].items()} == {
            key: number[part] for key, number in kept["numbers"].items()}


def typed(app: typer.Typer, *words: str) -> int:
    """Run a command in this process; return its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["gru-bench", *words])
        return ended(app)


def recorded(directory: Path, *, ids: dict[str, str] | None = None, study: LoggedStudy | None = None) -> dict[str, Any]:
    """Return the record of the report of a store's study `quick`, seen under other ids where these are given."""
    store: Any = Store(f"sqlite:///{directory / 'mlflow.db'}", create=False)
    study = study or next(found for found in store.studies("easy") if found.run.study == "quick")
    view = verify._AsWrittenUp(store, ids or {}, {})
    return record.record(build([study], view, experiment="easy", tracking_uri="here"))


def test_a_write_up_finds_its_runs_in_imports_and_in_imports_of_imports(far: Path, near: Path) -> None:
    imported(far / "quick.zip", near)
    exported(near, near / "again.zip")
    for name in ("second", "other"):
        imported(near / "again.zip", near, name)
    first, second = only_named(far, "quick"), only_named(near, "quick")
    last = only_named(near, "second")
    assert last.run.earlier_ids == (first.run.run_id, second.run.run_id)
    assert second.run.earlier_ids == (first.run.run_id,)
    here = stores(near)[0].studies("easy")
    for where, study in ((far, first), (near, second)):
        found = verify._written_up(study.run.run_id, "quick", here)
        assert found is not None
        assert recorded(near, ids=found.ids, study=found.study) == recorded(where, study=study)
    assert verify._written_up(second.run.run_id, "quick", here).ids == {}  # itself, not its copies
    assert verify._written_up("0" * 32, "quick", here) is None


def only_named(directory: Path, name: str) -> LoggedStudy:
    (study,) = [study for study in stores(directory)[0].studies("easy") if study.run.study == name]
    return study


def _half_revealed(error: type[BaseException]) -> Callable[..., None]:
    original = tracking.reveal

    def reveal(store: Store, runs: Any, renamed: Any) -> None:
        with pytest.raises(KeyError):
            original(store, [*runs[:1], *runs[1:3], runs[0].model_copy(update={"run_id": "none"})], renamed)
        raise error("no more")

    return reveal


@pytest.mark.parametrize(("study", "text"), [("quack", "unknown study 'quack'.*Did you mean 'quick'"),
                                             ("quick", "the storage holds none of 'quick'")])
def test_a_study_must_be_whole_to_be_exported(far: Path, near: Path, study: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        export_study(stores(far)[0], stores(near)[1], study, near, experiment=None, texts=True)


def files(far: Path) -> tuple[Path, set[str]]:
    folder = far / "quick.files"
    return folder, {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def leaves(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(leaves(part) for part in inner)


def replaced(value: Any, place: int, junk: Any) -> tuple[Any, int]:
    """Return `value` with its part number `place` replaced."""
    if place == 0:
        return junk, -1
    place -= 1
    if isinstance(value, dict | list):
        items = list(value.items() if isinstance(value, dict) else enumerate(value))
        for key, part in items:
            part, place = replaced(part, place, junk)
            value[key] = part
            if place < 0:
                return value, -1
    return value, place


@settings(max_examples=150, deadline=None)
@given(data=st.data(), name=st.sampled_from(["runs.json", "searches.json"]),
       junk=st.none() | st.integers() | st.floats() | st.text(max_size=4) | st.just([]) | st.just({"a": {}}))
def test_a_record_of_another_form_is_refused_or_means_something(
    far: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, name: str, junk: Any
) -> None:
    source, members = files(far)
    folder = tmp_path_factory.mktemp("odd")
    for part in ("runs.json", "searches.json", "metrics.parquet"):
        shutil.copy(source / part, folder)
    content = json.loads((source / name).read_text())
    place = data.draw(st.integers(0, leaves(content) - 1))
    (folder / name).write_text(json.dumps(replaced(content, place, junk)[0]))
    with suppress(DataError):  # a text in place of another is a study of its own
        _read(folder, members)


@pytest.mark.parametrize(("change", "text"), [
    (lambda found: found["runs"].append(found["runs"][1]), "no run, or one twice"),
    (lambda found: found["runs"].clear(), "no run, or one twice"),
    (lambda found: found["runs"].reverse(), "not a study and its own"),
    (lambda found: found["runs"][2]["tags"].update({"mlflow.parentRunId": "0" * 32}), "not a study and its own"),
    (lambda found: found["metrics"].clear(), "name metrics that it has"),
    (lambda found: found["runs"][0].update({"status": "DONE"}), r"runs\.0\.status has not"),
    (lambda found: found["runs"].pop(), "belongs to none of its runs"),
])
def test_what_is_wrong_with_a_record_is_named(
    far: Path, tmp_path: Path, change: Callable[[Any], object], text: str
) -> None:
    source, members = files(far)
    shutil.copytree(source, tmp_path / "files")
    content = json.loads((source / "runs.json").read_text())
    change(content)
    (tmp_path / "files" / "runs.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=text):
        _read(tmp_path / "files", members)


def test_the_limits_of_an_archive_can_be_raised(far: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, members = files(far)
    monkeypatch.setattr("gru_bench.archive.study.MOST_VALUES", 10)
    with pytest.raises(DataError, match=r"at most 10 values, but holds more than that: .*GRU_BENCH_LIMITS=10 in the "):
        _read(source, members)
    monkeypatch.setenv("GRU_BENCH_LIMITS", "100000")
    assert _read(source, members)[2] > 10


def test_a_table_is_read_a_piece_at_a_time(far: Path, tmp_path: Path) -> None:
    source, members = files(far)
    shutil.copytree(source, tmp_path / "files")
    table = pq.read_table(source / "metrics.parquet")
    with pytest.raises(DataError, match=f"at most {len(table) - 1} values, but holds more than that: "):
        _read(tmp_path / "files", members, len(table) - 1)
    assert _read(tmp_path / "files", members, len(table))[2] == len(table)
    pq.write_table(table.set_column(2, "value", pa.array(["x"] * len(table))), tmp_path / "files" / "metrics.parquet")
    with pytest.raises(DataError, match="must be the table that was exported"):
        _read(tmp_path / "files", members)
    (tmp_path / "files" / "metrics.parquet").write_bytes(b"PAR1nothing")
    with pytest.raises(DataError, match="must be the table that was exported"):
        _read(tmp_path / "files", members)


def test_nothing_in_it_is_a_pickle(far: Path, tmp_path: Path) -> None:
    manifest: Manifest = unpack(far / "quick.zip", tmp_path)
    endings = {Path(name).suffix for name in manifest.sizes}
    assert endings == {".json", ".parquet", ".safetensors"}
    for name in manifest.sizes:
        assert b"\x80\x04" not in (tmp_path / name).read_bytes()[:2]
        if name.endswith(".parquet"):
            pq.read_table(io.BytesIO((tmp_path / name).read_bytes()))


def test_the_command_says_what_it_carries(far: Path, near: Path) -> None:
    out = command("-m", "gru_bench.archive", "export", "--study", "quick", str(near / "q.zip"), cwd=far)
    assert out.returncode == 0, out.stderr
    assert "study quick of easy, 5 trials, 8 runs" in out.stdout
    assert "note: it is still under way" in out.stdout
    content = bytearray((near / "q.zip").read_bytes())
    content[content.index(b'"runs"')] ^= 1
    (near / "damaged.zip").write_bytes(content)
    bad = command("-m", "gru_bench.archive", "import", "damaged.zip", cwd=near)
    assert bad.returncode == 1
    assert "an archive must be whole, but damaged.zip is not: its member 'runs.json' is damaged" in bad.stderr
    assert "Traceback" not in bad.stderr
    assert not (near / "optuna.journal").exists()
    assert not list(near.glob(".*export*"))


SECRET = "a key that is nobody's business"


def secret(directory: Path) -> Path:
    """A folder that no archive has to do with."""
    (directory / "secret").mkdir()
    (directory / "secret" / "id_rsa").write_text(SECRET)
    return directory / "secret"


def changed(far: Path, directory: Path, change: Callable[[dict[str, Any]], object], name: str = "runs.json") -> Path:
    """Return an archive, sealed, whose JSON is another."""
    folder = directory / "changed"
    shutil.copytree(far / "quick.files", folder)
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))
    pack(directory / "changed.zip", folder, {})
    return directory / "changed.zip"


def nothing_came_in(directory: Path) -> bool:
    store, storage = stores(directory)
    return not optuna.get_all_study_names(storage) and not store._client.search_runs(
        [found.experiment_id for found in store._client.search_experiments()])


@pytest.mark.parametrize("run_id", ["SECRET", "../../secret", "..", ".", "", "/", "a/b", "x\0", "f" * 300, "F" * 32,
                                    "0" * 31])
def test_a_run_id_never_leads_out_of_the_archive(far: Path, near: Path, run_id: str) -> None:
    lie = str(secret(near)) if run_id == "SECRET" else run_id
    folder = near / "changed"
    shutil.copytree(far / "quick.files", folder)
    content = json.loads((folder / "runs.json").read_text())
    shutil.rmtree(folder / "artifacts" / content["runs"][1]["run_id"])
    content["runs"][1]["run_id"] = lie
    (folder / "runs.json").write_text(json.dumps(content))
    pack(near / "changed.zip", folder, {})
    with pytest.raises(DataError, match=r"runs\.json of an archive must have the form .* runs\.1\.run_id has not"):
        imported(near / "changed.zip", near)
    assert nothing_came_in(near)
    assert SECRET not in "".join(path.read_text() for path in near.rglob("mlartifacts/**/id_rsa"))
    with pytest.raises(DataError, match="must lie in its own folder"):
        tracking.inside(near / "files", "../secret")


@pytest.mark.parametrize(("name", "change", "text"), [
    ("runs.json", lambda found: found["runs"][5]["tags"].update({"gru_bench.seed": "zzz"}),
     r"runs\.5 has not .*its tag gru_bench\.seed must not be 'zzz'"),
    ("runs.json", lambda found: found["runs"][0].update(started=10**18), r"runs\.0\.started has not"),
    ("runs.json", lambda found: found["runs"][0].update(started=-1), r"runs\.0\.started has not"),
    ("runs.json", lambda found: found["runs"][0].update(ended=10**18), r"runs\.0\.ended has not"),
    ("runs.json", lambda found: found["runs"][2]["tags"].update({"../x": "y"}), r"runs\.2\.tags"),
    ("runs.json", lambda found: found["runs"][2]["params"].update({"x": "y\0"}), r"runs\.2\.params\.x has not"),
    ("runs.json", lambda found: found.update(study="a\x1b[2J"), "study has not .*none of them a control character"),
    ("runs.json", lambda found: found.update(experiment=" "), "experiment has not"),
    ("runs.json", lambda found: found["metrics"].append("/etc/passwd"), "MLflow takes no such name"),
    ("searches.json", lambda found: found["searches"][0].update(model="a/b"), r"searches\.0\.model has not"),
    ("searches.json", lambda found: found["searches"][0]["trials"][0]["system"].update(fixed_params="x"),
     "trial 0 of torch: fixed_params"),
    ("searches.json", lambda found: found["searches"][0]["trials"][0]["user"].update(retry_of=[1]),
     "trial 0 of torch: retry_of"),
    ("searches.json", lambda found: found["searches"][0]["trials"][1]["user"].update(retry_of=1),
     "trial 1 of torch: it follows a trial that is not before it"),
    ("searches.json", lambda found: found["searches"][0]["trials"][0].update(ended="0001-01-01T00:00:00"),
     "between the years 1971 and 9998"),
    ("searches.json", lambda found: found["searches"][0]["trials"][0].update(started="2025-01-01T00:00:00+01:00"),
     "without a zone"),
    ("searches.json", lambda found: found["searches"][0]["user"].update({"start 1": {}}), "'start 1' of torch: owner"),
    ("searches.json", lambda found: found["searches"][0]["user"].update({"claim confirm 1": {"state": "x"}}),
     "'claim confirm 1' of torch: "),
    ("searches.json", lambda found: found["searches"][0]["user"].update(identity="x"), "the search of torch: identity"),
    ("searches.json", lambda found: found["searches"][0]["user"]["identity"].update(data={}),
     r"the search of torch: identity\.data"),
    ("searches.json", lambda found: found["searches"][0]["user"]["identity"].update(data="def"),
     "runs and searches of different data"),
])
def test_a_field_of_another_form_is_refused_by_name(
    far: Path, near: Path, name: str, change: Callable[[dict[str, Any]], object], text: str
) -> None:
    with pytest.raises(DataError, match=text):
        imported(changed(far, near, change, name), near)
    assert nothing_came_in(near)


ODD: list[Any] = [None, True, 0, -1, 2**63, 10**18, -10**17, 10**40, 1.5, 1e308, float("nan"), "", " ", "..", "/",
                  "../..", "x\0y", "\x1b[2J", "\u202eabc", "zzz", "9" * 5000, "A" * 300, "0" * 32, "1", "true",
                  "RUNNING", "0001-01-01T00:00:00", "9999-12-31T23:59:59", [], {}, [1], [[]], {"a": 1},
                  {"fixed_params": "x"}]


def fields(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of all parts of a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in inner for place in fields(part, (*path, key)))]


def mutated(far: Path, directory: Path, chance: random.Random) -> Path:
    """Return an archive, sealed, in which a field of one of its files is another."""
    folder = directory / "mutated"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(far / "quick.files", folder)
    names = ["runs.json", "searches.json", *sorted(
        path.relative_to(folder).as_posix() for path in (folder / "artifacts").rglob("*.json"))]
    path = folder / chance.choices(names, [6, 6, *[1] * (len(names) - 2)])[0]
    content = json.loads(path.read_text())
    kinds: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for place in fields(content)[1:]:  # a kind of field first: there are many of some
        kinds.setdefault(tuple("*" if isinstance(key, int) else key for key in place), []).append(place)
    *above, last = chance.choice(kinds[chance.choice(sorted(kinds))])
    holder = content
    for key in above:
        holder = holder[key]
    if chance.random() < 0.8:
        holder[last] = chance.choice(ODD)
    else:
        del holder[last]
    path.write_text(json.dumps(content))
    pack(directory / "mutated.zip", folder, {})
    return directory / "mutated.zip"


def test_archives_with_a_field_changed_are_refused_or_can_be_read(far: Path, near: Path) -> None:
    """Whatever comes in, a report of every study can be made, or says in a sentence why not."""
    outside = secret(near)
    came_in, refused = set(), []
    for number in range(25):
        file = mutated(far, near, random.Random(f"archives {number}"))
        try:
            came_in.add(imported(file, near, f"study {number}").study)
        except DataError as error:
            refused.append(str(error))
    assert len(refused) > 8
    assert max(map(len, refused)) < 1000
    assert len(came_in) > 4
    store = Store(f"sqlite:///{near / 'mlflow.db'}", create=False)
    held = {study.run.study for place in store.experiments() for study in store.studies(place)}
    assert held == came_in
    assert not store.odd
    for name in came_in:
        with suppress(RunError):
            choice = choose(store, None, [name])
            build(choice.studies, store, experiment=choice.experiment)
    assert [path.name for path in outside.iterdir()] == ["id_rsa"]
    assert not list(near.rglob("mlartifacts/**/id_rsa"))


def table(rows: int, *, step: int = 1, run: list[int] | None = None) -> pa.Table:
    return pa.table({
        "run": pa.array(run or [0] * rows, pa.int32()), "key": pa.array([0] * rows, pa.int32()),
        "value": pa.array([0.5] * rows, pa.float64()), "step": pa.array([step] * rows, pa.int64()),
        "timestamp": pa.array([1] * rows, pa.int64())})


@pytest.mark.parametrize(("values", "text"), [
    (table(3, run=[1, 0, 0]), "must name runs in their order"),
    (table(3, run=[0, 9, 9]), "name runs that it has, in their order"),
    (table(3, step=2**62), "have a step from"),
])
def test_values_of_metrics_stand_in_the_order_of_runs(far: Path, tmp_path: Path, values: pa.Table, text: str) -> None:
    shutil.copytree(far / "quick.files", tmp_path / "files")
    pq.write_table(values, tmp_path / "files" / "metrics.parquet")
    with pytest.raises(DataError, match=text):
        _read(tmp_path / "files", files(far)[1])


def test_millions_of_values_in_a_small_file_are_refused_at_once(far: Path, tmp_path: Path) -> None:
    shutil.copytree(far / "quick.files", tmp_path / "files")
    path = tmp_path / "files" / "metrics.parquet"
    schema, piece = table(1).schema, table(1_000_000)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for _ in range(3):
            writer.write_table(piece)
    assert path.stat().st_size < 200_000
    with pytest.raises(DataError, match="at most 2,000,000 values, but holds more than that"):
        _read(tmp_path / "files", files(far)[1])


@pytest.fixture
def own(far: Path, tmp_path: Path, empty_database: Path) -> Path:
    """A machine of its own with the study, to damage."""
    shutil.copy(empty_database, tmp_path)
    fill(tmp_path)
    return tmp_path


def artifact(directory: Path, run_id: str, path: str) -> Path:
    folder = stores(directory)[0]._local_artifacts(run_id)
    assert folder is not None
    return folder / path


def test_what_is_damaged_or_gone_is_told_by_name_and_never_exported(own: Path) -> None:
    store, _ = stores(own)
    run = only(own).confirms[1]
    path = artifact(own, run.run_id, "predictions/test.parquet")
    kept = path.read_bytes()
    for content in (b"PAR1 nothing", b"", None):
        path.unlink() if content is None else path.write_bytes(content)
        state = "has no predictions/test" if content is None else (
            "must hold predictions/test.parquet as it was logged, but it cannot be read")
        (own / "out").mkdir()
        with pytest.raises(RunError, match=f"the run {run.run_id} {state}"):
            export_study(*stores(own), "quick", own / "out", experiment=None, texts=True)
        shutil.rmtree(own / "out")
        with pytest.raises(RunError, match=f"the run {run.run_id} must hold "):
            store.predictions(run.run_id, "test")
        found = build([only(own)], store, experiment="easy")
        assert f"the run {run.run_id} has no readable test predictions and is left out" in str(found.missing)
        assert found.rows[0].seeds.value == 2
    path.write_bytes(kept)
    study = artifact(own, only(own).run.run_id, "study.json")
    for text in ("{", "[1]", '{"name": 1}', "\xff"):
        study.write_text(text, encoding="latin-1")
        for doing in (lambda: choose(Store(f"sqlite:///{own / 'mlflow.db'}", create=False), None, ["quick"]),
                      lambda: choose(Store(f"sqlite:///{own / 'mlflow.db'}", create=False), None, []),
                      lambda: exported(own, own / "damaged.zip")):
            with pytest.raises(RunError, match=r"the run [0-9a-f]{32} must hold study\.json as it was logged, but it "
                                               "cannot be read .*start its study again"):
                doing()
        shutil.rmtree(own / "damaged.files")


def test_one_odd_run_is_named_and_the_rest_is_read(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, _ = stores(own)
    odd, late = only(own).confirms[:2]
    store._client.set_tag(odd.run_id, "gru_bench.seed", "zzz")
    store._client.set_tag(late.run_id, "gru_bench.seed", "9" * 5000)
    store = Store(f"sqlite:///{own / 'mlflow.db'}", create=False)
    (study,) = store.studies("easy")
    assert len(study.confirms) == 1
    assert store.odd == {run_id: f"the run {run_id} is left out: its tag gru_bench.seed must be a whole number, but is "
                                 f"{shown!r}" for run_id, shown in ((odd.run_id, "zzz"), (late.run_id, "9" * 40))}
    with sqlite3.connect(own / "mlflow.db") as database:
        database.execute("UPDATE runs SET start_time = ? WHERE run_uuid = ?", (10**18, study.confirms[0].run_id))
    database.close()
    assert typed(report_app, "--out", str(own / "page")) == 1
    shown = capsys.readouterr()
    assert f"the run {study.confirms[0].run_id} is left out: its start must lie between the years" in shown.out
    assert "needs a study with a complete confirm run" in shown.err


def test_an_infinite_value_is_read_as_it_was_logged(own: Path) -> None:
    store, _ = stores(own)
    run = only(own).confirms[0]
    for value in (float("inf"), float("-inf")):
        store._client.log_metric(run.run_id, "time/train_seconds", value, step=int(value > 0))
        assert only(own).confirms[0].metrics["time/train_seconds"] == float("inf")
    assert "—" in {number.text for number in build([only(own)], store, experiment="easy").numbers().values()}


def test_an_export_replaces_nothing_unasked_and_says_what_weights_take(
    far: Path, near: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(far)
    words = ["export", "--study", "quick", str(near / "q.study")]
    assert typed(archive_app, *words) == 0
    assert re.search(r"  \d+ bytes of these are the models' weights: --no-weights leaves them out",
                     capsys.readouterr().out)
    (near / "q.study").write_text("mine")
    assert typed(archive_app, *words) == 2
    assert re.search(r"replaces no file unless it is told to, but .*q\.study' exists: name another, or add --force",
                     capsys.readouterr().err)
    assert (near / "q.study").read_text() == "mine"
    assert typed(archive_app, *words, "--force", "--no-weights") == 0
    assert "weights" not in capsys.readouterr().out
    monkeypatch.chdir(near)
    assert typed(archive_app, "import", "q.study", "--study-name", "x; touch pwned #") == 0
    assert "python -m gru_bench.report --study 'x; touch pwned #'" in capsys.readouterr().out
    assert typed(archive_app, "import", "q.study", "--study-name", "a\x1b[2J") == 2
    assert "--study-name must have 1 to 250 characters, none of them a control character" in capsys.readouterr().err


def test_what_a_killed_export_leaves_is_removed_by_the_next(tmp_path: Path) -> None:
    with work_folder(tmp_path, ".gru-bench-export-") as busy:
        (busy / "review").write_text("mine")
        pid = os.fork()
        if not pid:  # one that is killed
            place = work_folder(tmp_path, ".gru-bench-export-")
            (place.__enter__() / "review").write_text("private")
            os._exit(0)
        os.waitpid(pid, 0)
        (tmp_path / ".gru-bench-export-mine").mkdir()
        (left,) = set(tmp_path.glob(".gru-bench-export-????????")) - {busy.parent}
        with work_folder(tmp_path, ".gru-bench-export-"):
            assert not left.exists()
            assert (busy / "review").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == [".gru-bench-export-mine"]
