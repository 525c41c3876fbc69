"""What a report may rely on in a tracking store holds for the fake store of the tests as for a real one.

The same studies are held by both: those that `add_study` makes, and the same runs written to a database file.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from gru_bench.config import RunConfig, with_settings
from gru_bench.errors import RunError, UsageError
from gru_bench.results.baselines import BaselineResult
from gru_bench.results.logged_metrics import SPLIT_NAMES
from gru_bench.results.runs import EpochRecord, Predictions, RunResult, WindowLoss, digest_of_examples
from gru_bench.tracking import LoggedRun, LoggedStudy, Reader, RunWriter, Store, open_reader
from tests.support.fake_store import BEST, FakeStore, TestSet, add_study
from tests.support.values import present

EXPERIMENT = "movie-reviews"
EPOCHS = 4
ABSENT = "0" * 32
"""The id of no run."""
EXACT = ("name", "role", "study", "model", "backend", "seed", "status", "complete", "reason", "params")
"""Fields of a run that must be the same; of its metrics and tags, a real store holds more than a report reads."""


class Held(NamedTuple):
    """A store, and the id that each run of the fake store has in it."""

    store: FakeStore | Reader
    ids: dict[str, str]


@pytest.fixture(scope="module")
def fake() -> FakeStore:
    """A store with a whole study, newest first, and one under way."""
    store = FakeStore()
    test_set = TestSet.draw(60)
    whole = add_study(store, "whole", {"torch": 0.0, "scratch": 0.1}, seeds=2, failed=1, epochs=EPOCHS, trials=5,
                      test_set=test_set)
    add_study(store, "begun", {"torch": 0.0}, seeds=1, epochs=EPOCHS, trials=0, test_set=test_set, finished=False)
    store.reviews[whole.run.run_id] = {str(example): f"<b>Review</b> {example} é" for example in test_set.id_N}
    store.artifacts[whole.run.run_id, "note.txt"] = "100 % & “more”\n"
    return store


@pytest.fixture(scope="module")
def real(fake: FakeStore, tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Held:
    """A database file to which the same studies were written, the oldest first."""
    database = tmp_path_factory.mktemp("real") / "runs.db"
    shutil.copy(empty_database, database)
    writer = Store(f"sqlite:///{database}")
    written: dict[str, RunWriter] = {}
    for study in reversed(fake.studies(EXPERIMENT)):
        written |= write_study(writer, fake, study)
    ids = {run_id: run.run_id for run_id, run in written.items()}
    return Held(open_reader(f"sqlite:///{database}"), ids)


@pytest.fixture(params=["fake", "real"])
def held(request: pytest.FixtureRequest, fake: FakeStore) -> Held:
    """Each of the stores."""
    if request.param == "fake":
        return Held(fake, {run.run_id: run.run_id for run in fake.runs(EXPERIMENT)})
    real: Held = request.getfixturevalue("real")
    return real


def write_study(store: Store, fake: FakeStore, study: LoggedStudy) -> dict[str, RunWriter]:
    """Write a study as a sweep does; return the writer of each run, by the id of its run in the fake store."""
    run = study.run
    parent = store.start(EXPERIMENT, run.name, role="study", study=run.study, command=run.tags["mlflow.source.name"],
                         fingerprint=run.tags["gru_bench.data_fingerprint"])
    parent.params(run.params)
    written = {run.run_id: parent}
    for child in (*study.trials, *study.confirms):
        settings = {**BEST, "training.epochs": EPOCHS, "model.name": child.model, "seed": present(child.seed)}
        config = with_settings(RunConfig(), settings)
        writer = store.start(
            EXPERIMENT, child.name, role=child.role, study=child.study, model=child.model, config=config,
            parent=parent.run_id, fingerprint=child.tags.get("gru_bench.data_fingerprint", ""))
        written[child.run_id] = writer
        if child.complete:
            write_result(writer, fake, child, config)
        elif child.tags["gru_bench.state"] == "pruned":
            writer.prune(child.reason)
        else:
            writer.fail(child.reason)
    for one in study.baselines:
        writer = store.start(EXPERIMENT, one.name, role="baseline", study=one.study, model=one.model,
                             parent=parent.run_id, fingerprint=one.tags["gru_bench.data_fingerprint"])
        written[one.run_id] = writer
        answers = {split: fake.predicted[one.run_id, split] for split in SPLIT_NAMES
                   if (one.run_id, split) in fake.predicted}
        writer.baseline(BaselineResult(one.model, ("negative", "positive"), one.params, one.metrics, answers))
        writer.complete()
    for (run_id, path), text in fake.artifacts.items():
        if run_id == run.run_id:
            parent.text(path, text)
    if texts := fake.reviews.get(run.run_id):
        parent.texts("test", list(texts), list(texts.values()))
    if study.summary is not None:
        parent.text("study.json", study.summary.to_json())
        parent.complete()
    return written


def write_result(writer: RunWriter, fake: FakeStore, run: LoggedRun, config: RunConfig) -> None:
    """Write a run that came to its end, with the curves, metrics and predictions that the fake store has of it."""
    curves = {key: dict(points) for key, points in fake.metrics.get(run.run_id, {}).items()}
    epochs = tuple(
        EpochRecord(epoch, loss, curves["loss/val"][epoch], curves["accuracy/val"][epoch], 2.0,
                    run.metrics["time/tokens_per_second"])
        for epoch, loss in curves.get("loss/train", {}).items()) or (EpochRecord(1, 0.7, 0.6, 0.75, 2.0, 100.0),)
    for record in epochs:
        writer.epoch(record)
    writer.finish(RunResult(
        config=config, backend=run.backend, device="cpu", epochs=epochs,
        window_losses=tuple(
            WindowLoss(step, 1, 0.5, loss) for step, loss in curves.get("loss/train_window", {}).items()),
        best_epoch=int(run.metrics.get("score/best_epoch", 1)), parameters=int(run.metrics.get("size/parameters", 1)),
        parameter_tensors=6, train_seconds=run.metrics.get("time/train_seconds", 1.0),
        predict_seconds=run.metrics.get("time/predict_seconds"),
        peak_memory_bytes=int(run.metrics.get("size/peak_memory_bytes", 1)),
        predictions={split: fake.predicted[run.run_id, split] for split in SPLIT_NAMES
                     if (run.run_id, split) in fake.predicted},
        weights={}, classes=("negative", "positive")))
    if "score/val_accuracy" in run.metrics:
        writer.metrics({"score/val_accuracy": run.metrics["score/val_accuracy"]})


def test_a_study_has_its_parts_in_order(held: Held, fake: FakeStore) -> None:
    assert held.store.experiments() == fake.experiments() == [EXPERIMENT]
    found, expected = held.store.studies(EXPERIMENT), fake.studies(EXPERIMENT)
    assert [study.run.name for study in found] == ["whole", "begun"]
    for one, two in zip(found, expected, strict=True):
        assert one.summary == two.summary
        assert one.damaged == two.damaged == ""
        for part in ("trials", "confirms", "baselines", "runs"):
            assert [run.run_id for run in getattr(one, part)] == [held.ids[run.run_id] for run in getattr(two, part)]
    assert found[1].summary is None
    assert {run.run_id for run in held.store.runs(EXPERIMENT)} == set(held.ids.values())


def test_a_run_has_the_same_fields(held: Held, fake: FakeStore) -> None:
    found = {run.run_id: run for run in held.store.runs(EXPERIMENT)}
    for run in fake.runs(EXPERIMENT):
        one = found[held.ids[run.run_id]]
        for name in EXACT:
            assert getattr(one, name) == getattr(run, name), (run.name, name)
        for field in fields(LoggedRun):
            assert type(getattr(one, field.name)) is type(getattr(run, field.name)), (run.name, field.name)
        assert {key: one.tags.get(key) for key in run.tags} == run.tags, run.name
        assert {key: one.metrics.get(key) for key in run.metrics} == pytest.approx(run.metrics, rel=1e-12), run.name
        assert len(one.run_id) == len(ABSENT)
        assert one.started > 0


def test_histories_hold_what_was_asked_for(held: Held, fake: FakeStore) -> None:
    runs = fake.runs(EXPERIMENT)
    keys = ["loss/train", "loss/val", "accuracy/val", "loss/train_window", "absent"]
    found = held.store.histories([*(held.ids[run.run_id] for run in runs), ABSENT], keys)
    assert list(found) == [*(held.ids[run.run_id] for run in runs), ABSENT]
    curves = 0
    for run in runs:
        if run.role == "confirm":
            assert found[held.ids[run.run_id]] == fake.metrics.get(run.run_id, {}), run.name
            curves += len(found[held.ids[run.run_id]])
    assert curves == 5 * 4
    assert found[ABSENT] == {}
    confirm = fake.studies(EXPERIMENT)[0].confirms[0].run_id
    assert list(held.store.histories([held.ids[confirm]], ["loss/val"])[held.ids[confirm]]) == ["loss/val"]
    assert held.store.histories([], keys) == {}


def test_predictions_are_those_of_the_run_and_the_split(held: Held, fake: FakeStore) -> None:
    assert fake.predicted
    for (run_id, split), expected in fake.predicted.items():
        found = held.store.predictions(held.ids[run_id], split)
        for field in fields(Predictions):
            one, two = getattr(found, field.name), getattr(expected, field.name)
            assert np.asarray(one).dtype == np.asarray(two).dtype, field.name
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("run", ["study", "failed", "absent"])
def test_missing_predictions_are_an_error(held: Held, fake: FakeStore, run: str) -> None:
    study = fake.studies(EXPERIMENT)[0]
    run_id = {"study": held.ids[study.run.run_id], "failed": held.ids[study.confirms[2].run_id], "absent": ABSENT}[run]
    with pytest.raises(RunError, match=rf"^the run {run_id} must contain the artifact predictions/test\.parquet, but "
                                       r"it cannot be read \(.*\): restore it from a copy"):
        held.store.predictions(run_id, "test")


def test_models_are_counted_by_test_set(held: Held, fake: FakeStore) -> None:
    whole, begun = fake.studies(EXPERIMENT)
    digest = digest_of_examples(fake.predicted[whole.confirms[0].run_id, "test"].example_id_N)
    assert whole.confirms[0].test_set == begun.confirms[0].test_set == digest
    assert len(held.store.confirmed_models(digest)) == 3
    assert [held.store.studies_on_test(digest, until) for until in (0.0, math.inf)] == [0, 2]
    assert held.store.confirmed_models("0" * 16) == []


def test_texts_are_those_of_the_studys_own_run(held: Held, fake: FakeStore) -> None:
    whole, begun = fake.studies(EXPERIMENT)
    run_id = held.ids[whole.run.run_id]
    assert held.store.texts(run_id, "test") == fake.reviews[whole.run.run_id]
    assert held.store.texts(run_id, "validation") is None
    for other in (held.ids[begun.run.run_id], held.ids[whole.confirms[0].run_id], ABSENT):
        assert held.store.texts(other, "test") is None


def test_a_text_is_returned_as_it_was_logged_or_is_none(held: Held, fake: FakeStore) -> None:
    whole, begun = fake.studies(EXPERIMENT)
    assert held.store.text(held.ids[whole.run.run_id], "note.txt") == "100 % & “more”\n"
    assert held.store.text(held.ids[whole.run.run_id], "other.txt") is None
    assert held.store.text(held.ids[begun.run.run_id], "note.txt") is None
    assert held.store.text(ABSENT, "note.txt") is None


def test_an_unknown_experiment_is_an_error_that_names_the_known_ones(held: Held) -> None:
    for read in (held.store.studies, held.store.runs):
        with pytest.raises(UsageError, match=r"^unknown experiment 'movie-review'\. Did you mean 'movie-reviews'\? It "
                                             r"must be one of movie-reviews"):
            read("movie-review")


def test_a_file_has_no_pages_but_a_uri_and_a_home(held: Held, fake: FakeStore) -> None:
    assert held.store.run_url(fake.studies(EXPERIMENT)[0].run) is None
    assert held.store.uri.startswith("sqlite:///")
    assert isinstance(held.store.home, Path)
    assert held.store.odd == {}


def test_a_run_on_a_server_has_the_same_page(fake: FakeStore) -> None:
    run = fake.studies(EXPERIMENT)[0].run
    url = "http://127.0.0.1:5000"
    assert FakeStore(url=url).run_url(run) == Reader(url).run_url(run) == (
        f"{url}/#/experiments/1/runs/{run.run_id}?workflowType=machine_learning")
