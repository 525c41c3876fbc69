"""Runs are read back as they were logged, from a file directly or through MLflow."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

from gru_bench.config import RunConfig
from gru_bench.errors import RunError, UsageError
from gru_bench.tracking import Reader, Store
from gru_bench.tracking.queue import FOLDER, Beginning, Operation, WriteQueue, new_run
from gru_bench.tracking.reader import _local_path
from tests.support.fake_store import logged
from tests.support.runs import result, summary
from tests.support.values import present


def test_histories_agree_with_mlflow_itself(store: Store) -> None:
    writer = store.start("reviews", "r", role="single")
    for record in result().epochs:
        writer.epoch(record)
    writer.epoch(replace(result().epochs[0], train_loss=0.99))
    assert store.catch_up()
    ours = store.histories([writer.run_id], ["loss/train"])[writer.run_id]["loss/train"]
    store.database, database = None, store.database
    theirs = store.histories([writer.run_id], ["loss/train"])[writer.run_id]["loss/train"]
    store.database = database
    assert ours == theirs == [(1, 0.99), (2, 0.5)]


def test_a_file_read_at_once_holds_what_mlflow_says(store: Store) -> None:
    parent = store.start("reviews", "s", role="study", study="s")
    for seed in range(3):
        writer = store.start("reviews", f"s: torch {seed}", role="confirm", study="s", model="torch",
                             config=RunConfig(seed=seed), fingerprint="abc", parent=parent.run_id)
        writer.epoch(result().epochs[0])
        writer.finish(result(), with_model=False, texts={"test": ["a", "<b>", "c é", "d"]})
    broken = store.start("reviews", "s: torch trial", role="trial", study="s", model="torch", parent=parent.run_id)
    broken.metrics({"loss/train": float("nan"), "loss/val": float("inf")})
    broken.fail("the loss is not finite")
    gone = store.start("reviews", "gone", role="single")
    assert store.catch_up()
    store._client.delete_run(gone.run_id)
    store._client.create_run(store.experiment("reviews"))  # not one of ours
    store.start("other", "r", role="single").prune("why not")
    parent.text("study.json", summary().to_json())
    parent.complete()
    assert store.catch_up()

    reader = Store(store.uri, create=False)
    slow = Store(store.uri)
    slow.database = None  # the way that works for any store
    assert reader.experiments() == slow.experiments()
    for experiment in ("reviews", "other"):
        ours, theirs = reader.runs(experiment), slow.runs(experiment)
        assert len(ours) == len(theirs) == {"reviews": 5, "other": 1}[experiment]
        for one, two in zip(ours, theirs, strict=True):
            for part in fields(one):
                assert repr(getattr(one, part.name)) == repr(getattr(two, part.name)), part.name
        assert repr(reader.studies(experiment)) == repr(slow.studies(experiment))
    run_id = reader.studies("reviews")[0].confirms[0].run_id
    assert repr(reader.predictions(run_id, "test")) == repr(slow.predictions(run_id, "test"))
    assert reader.texts(run_id, "test") == slow.texts(run_id, "test") == {
        "id0": "a", "id1": "<b>", "id2": "c é", "id3": "d"}
    assert reader.texts(broken.run_id, "test") is None
    with pytest.raises(UsageError, match=r"unknown experiment 'three'\. Did you mean 'other'\? It must be one of o"):
        reader.runs("three")


def test_a_file_is_read_without_mlflow_and_left_as_it_is(store: Store) -> None:
    store.start("reviews", "r", role="single").fail("no reason")
    store.close()
    before = sorted(path.name for path in present(store.database).parent.iterdir())
    code = ("import sys\nfrom gru_bench.tracking import Store\n"
            f"store = Store({store.uri!r}, create=False)\nassert len(store.runs(store.experiments()[0])) == 1\n"
            "assert 'mlflow' not in sys.modules\n")
    subprocess.run([sys.executable, "-c", code], check=True)
    after = {path.name for path in present(store.database).parent.iterdir()}
    assert after - set(before) <= {"runs.db-wal", "runs.db-shm"}


@pytest.mark.parametrize(("uri", "folder"), [
    ("file:///some/with%20space/artifacts", "/some/with space/artifacts"), ("/plain/path", "/plain/path"),
    ("file://elsewhere/some", None), ("mlflow-artifacts:/1/2", None), ("s3://bucket/key", None), ("", None)])
def test_where_artifacts_are_opened_directly(uri: str, folder: str | None) -> None:
    assert _local_path(uri) == (None if folder is None else Path(folder))


def test_a_study_under_way_has_no_summary(store: Store) -> None:
    store.start("reviews", "s", role="study", study="s").text("study.json", summary().to_json())
    (study,) = store.studies("reviews")
    assert study.summary is None


def test_the_experiment_written_last_comes_first(store: Store) -> None:
    for name in ("one", "two"):
        store.start(name, "r", role="single")
    assert store.experiments() == ["two", "one"]
    with pytest.raises(UsageError, match="unknown experiment 'three': it must be one of one, two"):
        store.runs("three")


class TestWhatGoesWrong:
    def test_reading_before_anything_was_run(self) -> None:
        with pytest.raises(RunError, match=r"there is no such file: run a sweep in this directory first"):
            Store(create=False)
        assert not Path("mlflow.db").exists()

    def test_a_missing_artifact(self, store: Store) -> None:
        writer = store.start("reviews", "r", role="single")
        with pytest.raises(RunError, match=r"must hold the artifact predictions/test\.parquet"):
            store.predictions(writer.run_id, "test")


def test_a_database_that_is_removed_while_it_is_read_is_told(tmp_path: Path, empty_database: Path) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    store = Store(create=False)
    (tmp_path / "mlflow.db").unlink()
    with pytest.raises(RunError, match=r"must stay in '.*mlflow\.db' while a command works on it, but the file was "):
        store.runs("reviews")


def test_runs_that_wait_are_told_where_their_database_is_not_there_yet(tmp_path: Path) -> None:
    queue = WriteQueue.begin(tmp_path / FOLDER, f"sqlite:///{tmp_path / 'mlflow.db'}")
    queue.append(Operation(new_run(), 1, Beginning("reviews", None)))
    queue.close()
    with pytest.raises(RunError, match=r"^1 write of 1 run waits in \.gru-bench/queue for sqlite:.*mlflow\.db, which "
                                       r"does not exist yet: run gru-bench sync to write them, or the same .* again"):
        Store(create=False)


def test_a_link_to_a_run_holds_no_password() -> None:
    link = Reader("https://ada:secret@example.org/mlflow/").run_url(logged("1" * 32))
    assert link == f"https://example.org/mlflow/#/experiments/1/runs/{'1' * 32}"
