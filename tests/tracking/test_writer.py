"""What a run logs arrives whole, and a run that broke off is never taken for a complete one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from gru_bench.config import RunConfig, flat
from gru_bench.errors import RunError
from gru_bench.tracking import NOTE, Store
from gru_bench.tracking.writer import INTERRUPTED
from tests.support.runs import modeled, predictions, result, summary
from tests.support.values import present


def test_a_run_is_read_back_as_it_was_written(store: Store) -> None:
    parent = store.start("reviews", "s", role="study", study="s")
    writer = store.start("reviews", "s: torch", role="confirm", study="s", model="torch", config=RunConfig(seed=3),
                         fingerprint="abc", parent=parent.run_id)
    whole = result()
    for record in whole.epochs:
        writer.epoch(record)
    writer.finish(modeled(whole))
    parent.text("study.json", summary().to_json())
    parent.complete()

    (study,) = store.studies("reviews")
    assert study.summary == summary()
    (run,) = study.confirms
    assert (run.role, run.model, run.backend, run.seed, run.status, run.complete) == (
        "confirm", "torch", "fused", 3, "FINISHED", True)
    assert run.params == {key: str(value) for key, value in flat(RunConfig(seed=3)).items()}
    assert run.metrics["time/train_seconds"] == 4.5
    assert run.metrics["time/predict_seconds"] == 0.5
    assert run.metrics["time/tokens_per_second"] == 200.0
    assert run.metrics["score/test_accuracy"] == run.metrics["score/val_accuracy"] == 0.5
    assert run.tags["gru_bench.data_fingerprint"] == "abc"
    history = store.histories([run.run_id], ["loss/val", "loss/train_window", "absent"])
    assert history == {run.run_id: {"loss/val": [(1, 0.6), (2, 0.65)], "loss/train_window": [(10, 0.69), (20, 0.66)]}}
    read, wanted = store.predictions(run.run_id, "test"), predictions()
    for name in ("example_id_N", "label_N", "probability_NC", "category_N", "tokens_N", "dropped_N"):
        np.testing.assert_array_equal(getattr(read, name), getattr(wanted, name))
        assert getattr(read, name).dtype.kind == getattr(wanted, name).dtype.kind


@pytest.mark.parametrize(("end", "state", "status"), [
    ("prune", "pruned", "FINISHED"), ("fail", "failed", "FAILED"), ("kill", "killed", "KILLED")])
def test_a_run_that_ended_early_is_not_complete(store: Store, end: str, state: str, status: str) -> None:
    writer = store.start("reviews", "r", role="trial", config=RunConfig())
    getattr(writer, end)("the reason")
    (run,) = store.runs("reviews")
    assert (run.complete, run.status, run.reason, run.tags["gru_bench.state"]) == (False, status, "the reason", state)


def test_an_interrupted_run_of_a_study_says_that_it_is_no_result(store: Store) -> None:
    study = store.start("reviews", "s", role="study", study="s")
    study.describe("all that is known")
    trials = [store.start("reviews", f"trial {n}", role="trial", study="s", parent=study.run_id, tags={NOTE: "a trial"})
              for n in range(3)]
    trials[0].kill("interrupted")
    trials[1].result(result())
    trials[1].kill("given to another process")
    trials[2].finish(result())
    study.kill("interrupted")
    assert {run.name: run.tags[NOTE] for run in store.runs("reviews")} == {
        "s": "all that is known", "trial 0": INTERRUPTED, "trial 1": INTERRUPTED, "trial 2": "a trial"}


def test_artifacts_are_written_beside_the_database(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = store.start("reviews", "r", role="single", config=RunConfig())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    writer.finish(modeled(result()), texts={"test": ["a", "b", "c", "d"]})
    folder = tmp_path / "mlartifacts" / store.mlflow_id(writer.run_id)
    files = {str(path.relative_to(folder / "artifacts")) for path in folder.rglob("*") if path.is_file()}
    assert files == {"predictions/test.parquet", "predictions/validation.parquet", "texts/test.parquet",
                     "model/model.safetensors", "model/model.json",
                     *(path for path in modeled(result()).model_files if path.startswith("vectors/"))}
    assert not list((tmp_path / "elsewhere").iterdir())


def test_the_vectors_of_a_study_are_stored_once_whichever_processes_log_them(store: Store, tmp_path: Path) -> None:
    parent = store.start("reviews", "s", role="study", study="s")

    def logged(own: Store) -> str:
        writer = own.start("reviews", "c", role="confirm", study="s", parent=parent.run_id)
        writer.finish(modeled(result()))
        return writer.run_id

    first = logged(store)
    folder = tmp_path / "mlartifacts" / store.mlflow_id(parent.run_id) / "artifacts" / "vectors"
    (shared,) = folder.iterdir()
    content, written = shared.read_bytes(), shared.stat().st_mtime_ns
    other = Store(store.uri)
    second = logged(other)
    assert shared.stat().st_mtime_ns == written
    assert [path.name for path in folder.iterdir()] == [shared.name]
    shared.write_bytes(content[:-1])  # as a process leaves it that is killed while it writes
    third = Store(store.uri)
    logged(third)
    assert shared.read_bytes() == content
    one, two = store.models([first, second], parent.run_id)
    assert one.table_VE is two.table_VE is not None
    assert (one.run_ids, two.run_ids) == ((first,), (second,))


def test_a_store_that_breaks_while_a_run_is_logged_is_named(store: Store) -> None:
    writer = store.start("reviews", "r", role="single")
    with closing(sqlite3.connect(present(store.database))) as connection, connection:
        connection.execute("DROP TABLE latest_metrics")
    for _ in range(2):
        with pytest.raises(RunError, match=r"runs\.db.*log_batch"):
            writer.metrics({"loss/train": 1.0})
