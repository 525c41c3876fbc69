"""A study carried in one file: all of it arrives, its numbers are the same, and nothing arrives half."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pyarrow.parquet as pq
import pytest
from optuna.storages import JournalStorage

from gru_bench.archive import study as archive
from gru_bench.archive.study import export_study
from gru_bench.errors import RunError, UsageError
from gru_bench.platforms import WINDOWS
from gru_bench.report import verify
from gru_bench.report.render import record
from gru_bench.report.render.files import write
from gru_bench.results.diagnostics import DIAGNOSTICS
from gru_bench.sweep.spec import load_study
from gru_bench.sweep.study import LOGGED, StudyRecord
from gru_bench.tracking import NOTE, LoggedStudy
from gru_bench.tracking import export as tracking
from gru_bench.tracking.outbox import FOLDER, Outbox
from gru_bench.tracking.record import RunRecord
from gru_bench.tracking.store import ATTACHED
from gru_bench.tracking.upload import upload_all
from gru_bench.tracking.view import TRAINING
from tests.support.archives import (
    DIAGNOSED,
    IDENTITY,
    ROWS,
    START,
    copied,
    exported,
    imported,
    numbers,
    only,
    runs_in,
    searched,
    stores,
)
from tests.support.commands import mentions
from tests.support.mlflow_stores import artifacts_of, client_of
from tests.support.renderings import without_drawing
from tests.support.reports import build
from tests.support.values import present


def test_a_report_of_an_imported_study_has_the_same_numbers(far: Path, arrived: Path) -> None:
    assert numbers(arrived) == numbers(far)


def test_an_attached_report_is_left_out(far: Path, arrived: Path) -> None:
    store, study = stores(arrived)[0], only(arrived)
    assert store.view("easy", "accuracy") == (
        f"#/experiments/{study.run.experiment_id}/runs?viewStateShareKey=gru-bench-accuracy&{TRAINING}")
    assert stores(far)[0].text(only(far).run.run_id, "report/report.md") == "attached"
    assert store.text(study.run.run_id, "report/report.md") is None


def test_trials_are_imported_unchanged(far: Path, arrived: Path) -> None:
    there, here = searched(far).trials, searched(arrived).trials
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
    assert searched(arrived).best_value == 0.1 + 0.2
    assert searched(arrived, "quick").user_attrs["search torch"] == {"identity": IDENTITY}


def test_what_was_running_during_the_export_is_killed_and_queued_again(arrived: Path) -> None:
    broken, queued = searched(arrived).trials[3], searched(arrived).trials[5]
    assert broken.user_attrs["reason"] == tracking.BROKEN_OFF
    assert queued.system_attrs["fixed_params"] == broken.params
    assert queued.user_attrs == {"retry_of": 3}
    run = next(run for run in only(arrived).trials if run.run_id == broken.user_attrs["run_id"])
    assert (run.status, run.tags["gru_bench.state"], run.reason) == ("KILLED", "killed", tracking.BROKEN_OFF)
    attributes = searched(arrived, "quick").user_attrs
    assert attributes["start 1"] == {**START, "searching": [], "ended": True}
    runs = searched(arrived, "quick").trials
    assert [(run.state.name, run.user_attrs["key"], run.value) for run in runs] == [
        ("COMPLETE", "confirm COMPLETE", 0.75), ("FAIL", "confirm RUNNING", None), ("WAITING", "confirm RUNNING", None)]


def test_runs_are_imported_unchanged(far: Path, arrived: Path) -> None:
    there, here = stores(far)[0], stores(arrived)[0]
    clients = client_of(there), client_of(here)
    ids = {}
    for one, two in zip(sorted(there.runs("easy"), key=lambda run: run.name),
                        sorted(here.runs("easy"), key=lambda run: run.name), strict=True):
        ids[one.run_id] = two.run_id
        assert (one.run_id, one.earlier_ids) == (two.run_id, two.earlier_ids)
        assert one.mlflow_id != two.mlflow_id
        assert (one.name, one.role, one.params, one.started) == (two.name, two.role, two.params, two.started)
        assert repr(sorted(one.metrics.items())) == repr(sorted(two.metrics.items()))
        if one.status != "RUNNING":
            old, new = (client.get_run(run.mlflow_id) for client, run in zip(clients, (one, two), strict=True))
            assert (old.info.status, old.info.end_time) == (new.info.status, new.info.end_time)
        for key in one.metrics:
            points = [[(point.step, point.timestamp, repr(point.value))
                       for point in client.get_metric_history(run.mlflow_id, key)]
                      for client, run in zip(clients, (one, two), strict=True)]
            assert points[0] == points[1]
        files = [{path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*")
                  if path.is_file() and path.parent.name != ATTACHED}
                 for store, run in ((there, one), (here, two))
                 for root in [artifacts_of(store, run.mlflow_id)]]
        assert files[0] == files[1]
        changed = {"mlflow.parentRunId", "gru_bench.state", "gru_bench.reason", NOTE}
        assert {key: value for key, value in one.tags.items() if key not in changed} == {
            key: value for key, value in two.tags.items() if key not in changed}
    parents = {two.tags.get("mlflow.parentRunId") for two in here.runs("easy")}
    assert parents == {None, only(arrived).run.mlflow_id}
    (entry,) = present(clients[1].get_run(only(arrived).run.mlflow_id).inputs).dataset_inputs
    assert (entry.dataset.name, entry.dataset.digest, entry.tags[0].value) == ("easy", "abc", "training")
    assert json.loads(present(entry.dataset.profile)) == {"num_rows": sum(ROWS.values()), **ROWS}
    attributes = searched(arrived, "quick").user_attrs
    for run in only(far).confirms:
        assert attributes[f"seen {run.seed}"] == {"run_id": ids[run.run_id], "others": [ids[run.run_id], "none"]}
    assert {trial.user_attrs["run_id"] for trial in searched(arrived).trials if "run_id" in trial.user_attrs} == {
        run.run_id for run in only(arrived).trials}


def test_a_study_that_was_imported_before_is_recognized_and_another_needs_another_name(
    far: Path, arrived: Path, tmp_path: Path
) -> None:
    near = copied(arrived, tmp_path / "near")
    assert imported(far / "quick.zip", near).already
    assert len(only(near).confirms) == 3
    exported(near, near / "again.zip")
    with pytest.raises(UsageError, match=r"'quick'.*name"):
        imported(near / "again.zip", near)
    with pytest.raises(UsageError, match=r"--study-name.*'quick/torch'"):
        imported(near / "again.zip", near, "quick/torch")
    other = imported(near / "again.zip", near, "other")
    assert (other.study, other.experiment, other.runs, other.trials, other.already) == ("other", "easy", 8, 6, False)
    studies = {study.run.study: study for study in stores(near)[0].studies("easy")}
    assert set(studies) == {"quick", "other"}
    assert studies["other"].summary == replace(present(studies["quick"].summary), name="other")
    assert {run.name for run in studies["other"].confirms} == {
        f"other: torch seed {seed}" for seed in (10_000, 10_001, 10_002)}
    assert studies["other"].run.params["study"] == studies["other"].run.name == "other"
    assert len(searched(near, "other/torch").trials) == 6
    assert studies["other"].run.earlier_ids == (studies["quick"].run.run_id,)
    assert "other" in studies["other"].run.tags[NOTE]
    assert studies["other"].run.run_id != studies["quick"].run.run_id


def test_an_import_into_an_empty_mlflow_writes_the_runs_again(
    far: Path, arrived: Path, tmp_path: Path, empty_database: Path
) -> None:
    near = copied(arrived, tmp_path / "near")
    shutil.rmtree(near / "mlartifacts")
    for file in near.glob("mlflow.db*"):
        file.unlink()
    shutil.copy(empty_database, near)
    assert not imported(far / "quick.zip", near).already
    assert len(only(near).confirms) == 3
    assert len(searched(near).trials) == 6
    assert imported(far / "quick.zip", near).already


def test_an_import_does_not_know_the_store_of_the_export(own: Path, empty_database: Path) -> None:
    near = own / "near"
    near.mkdir()
    shutil.copy(empty_database, near)
    searched(own, "quick").set_user_attr(LOGGED, "http://far:5000")
    exported(own, own / "quick.zip")
    imported(own / "quick.zip", near)
    assert LOGGED not in searched(near, "quick").user_attrs


@pytest.mark.parametrize(("command", "renamed"), [
    ("gru-bench sweep --study quick", "gru-bench sweep --study quick --study-name other"),
    ("gru-bench sweep --study-name=quick --study 'a b.toml'",
     "gru-bench sweep --study 'a b.toml' --study-name other"),
    ("gru-bench sweep --study-name quick --trials 3", "gru-bench sweep --trials 3 --study-name other"),
    ("gru_bench.run_study('a b.csv', name='quick')", "gru_bench.run_study('a b.csv', name='other')"),
    ("gru-bench", "gru-bench"), ("", ""), ("a 'b", "a 'b")])
def test_the_command_of_a_renamed_study_continues_that_study(command: str, renamed: str) -> None:
    before = RunRecord("1" * 32, 1, first_tags={"gru_bench.study": "quick", "mlflow.source.name": command})
    assert tracking.renamed(before, "other").first_tags["mlflow.source.name"] == renamed


def test_a_report_is_verified_by_the_import_of_an_import_under_another_name(
    far: Path, arrived: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stores(far)[0]
    (study,) = [study for study in store.studies("easy") if study.run.study == "quick"]
    with without_drawing():
        write(build([study], store, experiment="easy", tracking_uri="here"), tmp_path / "report")
    found = record.read(tmp_path / "report")
    of_no_run = ["the run run is gone"]  # the diagnostics are made up
    assert verify.differences(tmp_path / "report", found, store) == of_no_run
    near = copied(arrived, tmp_path / "near")
    exported(near, near / "again.zip")
    imported(near / "again.zip", near, "other")
    there = stores(near)[0]
    assert verify.differences(tmp_path / "report", found, there) == of_no_run  # the study itself is before its copy
    (other,) = [study for study in there.studies("easy") if study.run.study == "other"]
    monkeypatch.setattr(there, "studies", lambda experiment: [other])
    assert verify.differences(tmp_path / "report", found, there) == of_no_run


def test_an_export_without_texts_holds_no_words_of_reviews(far: Path, tmp_path: Path) -> None:
    carried = exported(far, tmp_path / "bare.zip", texts=False)
    mentions(carried.remarks[-1], "diagnostics", "texts")
    own = runs_in(tmp_path / "bare.files")[-1]
    assert not (own / "files" / "texts").exists()
    assert (own / "files" / DIAGNOSTICS).read_text(encoding="utf-8") == DIAGNOSED.without_review().to_json()
    parent = json.loads((own / "run.json").read_text(encoding="utf-8"))
    assert (parent["run_id"], parent["params"]["texts"]) == (only(far).run.run_id, "False")
    whole = runs_in(far / "quick.files")[-1] / "files"
    assert (whole / DIAGNOSTICS).read_text(encoding="utf-8") == DIAGNOSED.to_json()
    assert (whole / "texts" / "test.parquet").is_file()


ENDED = 77
"""Exit code of a process that ends as if it was killed."""


def _import_and_end(file: Path, directory: Path, at: str) -> None:
    """Import an archive in a process that ends at a step, without cleaning up."""
    owner: Any = {"unpack": archive, "reveal": Outbox}.get(at, JournalStorage)
    original, calls = getattr(owner, at), 0

    def ending(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if at == "unpack" or (at != "reveal" and calls == 2):
            os._exit(ENDED)
        result = original(*arguments, **named)
        if at == "reveal":  # its runs can be uploaded, but the search is not marked as complete
            os._exit(ENDED)
        return result

    setattr(owner, at, ending)
    imported(file, directory)


@pytest.mark.skipif(WINDOWS, reason="the process is forked")
@pytest.mark.parametrize("at", ["create_new_trial", *(pytest.param(at, marks=pytest.mark.slow) for at in (
    "unpack", "create_new_study", "set_study_user_attr", "reveal"))])
def test_an_import_that_is_killed_leaves_nothing_or_is_continued(far: Path, near: Path, at: str) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.archives"])
    process = context.Process(target=_import_and_end, args=(far / "quick.zip", near, at))
    process.start()
    process.join()
    assert process.exitcode == ENDED
    if at == "reveal":
        assert len(list(upload_all(near))) == 2
        assert len(only(near).confirms) == 3
    else:
        assert not stores(near)[0].experiments()
        assert not list((near / FOLDER).glob("*-*"))
    if "quick/torch" in optuna.get_all_study_names(stores(near)[1]):
        (near / "quick.toml").write_text("models = ['torch']\ntrials = 1\n[space]\ntraining.lr = {low = 0.1, high = 1}")
        with pytest.raises(RunError, match=r"'quick'.*import it again"):
            StudyRecord(load_study(str(near / "quick.toml")), stores(near)[1], "abc")
    assert not imported(far / "quick.zip", near).already
    assert len(stores(near)[0].runs("easy")) == 8
    assert len(only(near).confirms) == 3
    assert len(searched(near).trials) == 6


def only_named(directory: Path, name: str) -> LoggedStudy:
    (study,) = [study for study in stores(directory)[0].studies("easy") if study.run.study == name]
    return study


@pytest.mark.parametrize(("study", "text"), [("quack", "'quack'.*'quick'"), ("quick", "'quick'.*--storage")])
def test_refuses_to_export_an_unknown_study_and_one_without_its_search(
    far: Path, near: Path, study: str, text: str
) -> None:
    with pytest.raises(UsageError, match=text):
        export_study(stores(far)[0], stores(near)[1], study, near / "out.zip", experiment=None, texts=True)


def test_no_file_of_an_archive_is_a_pickle(far: Path) -> None:
    files = [path for path in (far / "quick.files").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".journal", ".parquet", ".safetensors"}
    for path in files:
        assert b"\x80\x04" not in path.read_bytes()[:2]
        if path.suffix == ".parquet":
            pq.read_table(io.BytesIO(path.read_bytes()))


def test_an_infinite_value_is_read_as_it_was_logged(own: Path) -> None:
    store, _ = stores(own)
    run = only(own).confirms[0]
    for value in (float("inf"), float("-inf")):
        client_of(store).log_metric(run.mlflow_id, "time/train_seconds", value, step=int(value > 0))
        assert only(own).confirms[0].metrics["time/train_seconds"] == float("inf")
    assert "—" in {number.text for number in build([only(own)], store, experiment="easy").numbers.values()}
