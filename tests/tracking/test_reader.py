"""Runs are read back as they were logged, from a file directly or through MLflow."""

from __future__ import annotations

import math
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient

from gru_bench.config import DataConfig, EmbeddingConfig, MetricName, ModelConfig, RunConfig, TrainingConfig, flat
from gru_bench.document.numbers import Numbers
from gru_bench.errors import RunError, UsageError
from gru_bench.evidence.groups import group_of
from gru_bench.results.runs import digest_of_examples
from gru_bench.tracking import LoggedStudy, Reader, RunWriter, Store, StudyPlan, open_reader
from gru_bench.tracking.client import TEST_SET, folder_of, reading
from gru_bench.tracking.failures import AwayError
from gru_bench.tracking.file import MOST_IDS, FileSource
from gru_bench.tracking.reader import RESTORE
from gru_bench.tracking.source import Source
from gru_bench.tracking.view import view_tag
from tests.support.commands import mentions
from tests.support.fake_store import logged
from tests.support.mlflow_stores import artifacts_of, client_of
from tests.support.runs import result, summary
from tests.support.values import present
from tests.support.writes import change_format


def test_histories_agree_with_mlflow_itself(store: Store) -> None:
    writer = store.start("reviews", "r", role="single")
    for record in result().epochs:
        writer.epoch(record)
    writer.epoch(replace(result().epochs[0], train_loss=0.99))
    ours = store.histories([writer.run_id], ["loss/train"])[writer.run_id]["loss/train"]
    store.database, database = None, store.database
    theirs = store.histories([writer.run_id], ["loss/train"])[writer.run_id]["loss/train"]
    store.database = database
    assert ours == theirs == [(1, 0.99), (2, 0.5)]


def test_a_run_that_begins_while_runs_are_read_is_not_among_them(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = store.start("reviews", "first", role="single")
    mlflow_client, begun = client_of(store), list[str]()

    def begin(statement: str) -> None:
        if "tags.key" in statement and not begun:
            experiment = present(mlflow_client.get_experiment_by_name("reviews"))
            begun.append(mlflow_client.create_run(experiment.experiment_id).info.run_id)

    @contextmanager
    def observed(database: Path) -> Iterator[sqlite3.Connection]:
        with reading(database) as connection:
            connection.set_trace_callback(begin)
            yield connection

    monkeypatch.setattr("gru_bench.tracking.file.reading", observed)
    assert [run.run_id for run in open_reader(store.uri).runs("reviews")] == [writer.run_id]
    assert begun


def test_each_question_to_a_file_has_the_answer_of_mlflow(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gru_bench.tracking.source.PAGE", 2)
    study = store.start("reviews", "s", role="study", study="s")
    store.save_view(study.run_id, "accuracy")
    written = [store.start("reviews", f"run {seed}", role="confirm", study="s", config=RunConfig(seed=seed),
                           parent=study.run_id) for seed in range(3)]
    for number, writer in enumerate(written):
        for record in result().epochs:
            writer.epoch(replace(record, train_loss=record.train_loss + number))
        writer.metrics({"odd": (float("nan"), float("inf"), -0.0)[number]})
        writer.metrics({"odd": 1 / 3})  # again, at the same step
        writer.finish(result(), texts={"test": list("abcd")})
    writer = store.start("removed", "r", role="confirm", parent=None)
    writer.finish(result())
    written.append(writer)
    client = client_of(store)
    client.create_experiment("empty")
    client.delete_run(store.mlflow_id(written[1].run_id))
    client.delete_experiment(present(client.get_experiment_by_name("removed")).experiment_id)

    file, any_store = FileSource(present(store.database), lambda: client), Source(lambda: client)
    ours = [study.run_id, *(one.run_id for one in written), "0" * 32]
    theirs = [store.mlflow_id(run_id) for run_id in ours[:-1]]
    digest = digest_of_examples(result().predictions["test"].example_id_N)
    paths = any_store.paths(theirs[1])
    scores: tuple[MetricName, ...] = ("accuracy", "macro_f1")
    asked: dict[str, list[tuple[Any, ...]]] = {
        "experiments": [()],
        "runs": [(name, *tag) for name in ("reviews", "removed", "empty", "none")
                 for tag in ((), (("gru_bench.seed", "2"),), (("gru_bench.seed", "7"),))],
        "run": [(run_id,) for run_id in theirs],
        "tagged_runs": [(TEST_SET, digest), (TEST_SET, "0" * 16)],
        "points": [(theirs, ["loss/train", "odd"]), (theirs[:1], ["loss/train"]), ([], ["odd"]), (theirs, [])],
        "find": [(run_id,) for run_id in ours],
        "tagged": [(name, view_tag(metric)) for name in ("reviews", "removed", "none") for metric in scores],
        "artifact": [(theirs[1], path) for path in paths],
        "paths": [(run_id,) for run_id in theirs],
    }
    own = {name for name in vars(FileSource) if not name.startswith("_")}
    assert own - {"artifacts"} == asked.keys()  # only a file has a folder of artifacts
    for name, questions in asked.items():
        for question in questions:
            one, two = (getattr(source, name)(*question) for source in (file, any_store))
            assert _plain(one, name) == _plain(two, name), (name, question)
    assert len(any_store.runs("reviews") or ()) == 3
    assert paths


def _plain(answer: Any, name: str) -> str:
    """An answer as text, without an order where none is promised."""
    if name in ("points", "tagged_runs", "paths"):
        answer = sorted(answer, key=repr)
    return repr(answer)


@pytest.mark.parametrize("most", [1, MOST_IDS])
def test_a_file_is_read_as_mlflow_reads_it(store: Store, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr("gru_bench.tracking.file.MOST_IDS", most)
    parent = store.start("reviews", "s", role="study", study="s")
    for seed in range(3):
        writer = store.start("reviews", f"s: torch {seed}", role="confirm", study="s", model="torch",
                             config=RunConfig(seed=seed), fingerprint="abc", parent=parent.run_id)
        writer.epoch(result().epochs[0])
        writer.finish(result(), texts={"test": ["a", "<b>", "c é", "d"]})
    broken = store.start("reviews", "s: torch trial", role="trial", study="s", model="torch", parent=parent.run_id)
    broken.metrics({"loss/train": float("nan"), "loss/val": float("inf")})
    broken.fail("the loss is not finite")
    gone = store.start("reviews", "gone", role="single")
    client_of(store).delete_run(store.mlflow_id(gone.run_id))
    client_of(store).create_run(store.runs("reviews")[0].experiment_id)  # not one of ours
    store.start("other", "r", role="single").prune("why not")
    parent.text("study.json", summary().to_json())
    parent.complete()

    reader = open_reader(store.uri)
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
    for read in (reader, slow):
        (study,) = read.studies("reviews")
        assert repr(read.logged_study(parent.run_id)) == repr(study)
        assert [run.seed for run in read.runs("reviews", ("gru_bench.seed", "2"))] == [2]
        assert repr(read.run(broken.run_id)) == repr(study.trials[0])
        assert (read.run(gone.run_id), read.run("0" * 32), read.logged_study("0" * 32)) == (None, None, None)
    run_id = reader.studies("reviews")[0].confirms[0].run_id
    assert repr(reader.predictions(run_id, "test")) == repr(slow.predictions(run_id, "test"))
    assert reader.texts(run_id, "test") == slow.texts(run_id, "test") == {
        "id0": "a", "id1": "<b>", "id2": "c é", "id3": "d"}
    assert reader.texts(broken.run_id, "test") is None
    with pytest.raises(UsageError, match=r"'three'.*'other'"):
        reader.runs("three")


def test_models_on_a_test_set_are_counted_over_all_experiments(store: Store) -> None:
    def confirm(experiment: str, model: str, *, fingerprint: str = "abc", **tags: str) -> RunWriter:
        parent = store.start(experiment, "s", role="study", study="s")
        writer = store.start(experiment, model, role="confirm", model=model, fingerprint=fingerprint,
                             parent=parent.run_id)
        writer.finish(result())
        if tags:
            writer.tags({f"gru_bench.{key}": value for key, value in tags.items()})
        return writer

    digest = digest_of_examples(result().predictions["test"].example_id_N)
    first = confirm("reviews", "torch")
    confirm("others", "torch", fingerprint="def")
    confirm("others", "bidirectional", test_set="0" * 16)
    confirm("others", "scratch", complete="false")
    confirm("others", "scratch", role="trial")
    confirm("others", "bidirectional", test_set="1" * 16, again="first")
    confirm("others", "bidirectional", test_set="1" * 16, again="first", complete="false")
    gone = confirm("others", "bidirectional")
    client_of(store).delete_run(store.mlflow_id(gone.run_id))
    for database in (store.database, None):
        store.database = database
        assert len(store.confirmed_models(digest)) == 2
        assert store.confirmed_models("f" * 16) == []
        assert store.studies_on_test(digest, math.inf) == 2
        began = next(run.started for run in store.runs("reviews") if run.run_id == first.run_id)
        assert [store.studies_on_test(digest, until) for until in (began - 0.001, began)] == [0, 1]
        assert (store.studies_again("first"), store.studies_again("other")) == (1, 0)


def test_the_artifacts_of_a_file_are_those_that_mlflow_lists(store: Store) -> None:
    writer = store.start("reviews", "r", role="single")
    for path in ("b.txt", "b/c.txt", "b/a/d.txt", "a.txt", "b-c.txt"):
        writer.text(path, path)
    writer.fail("no reason")
    client, mlflow_id = client_of(store), store.mlflow_id(writer.run_id)
    (artifacts_of(store, mlflow_id) / "b" / ".artifact.uploading.1").write_text("half", encoding="utf-8")
    found = FileSource(present(store.database), lambda: client).paths(mlflow_id)
    assert sorted(found) == sorted(Source(lambda: client).paths(mlflow_id)) == [
        "a.txt", "b-c.txt", "b.txt", "b/a/d.txt", "b/c.txt"]


def test_a_file_is_opened_and_read_without_mlflow_and_left_as_it_is(store: Store) -> None:
    store.start("reviews", "r", role="single").fail("no reason")
    before = sorted(path.name for path in present(store.database).parent.iterdir())
    code = ("import sys\nfrom gru_bench.tracking import open_reader\n"
            f"store = open_reader({store.uri!r})\nassert len(store.runs(store.experiments()[0])) == 1\n"
            "assert 'mlflow' not in sys.modules\n")
    subprocess.run([sys.executable, "-c", code], check=True)
    after = {path.name for path in present(store.database).parent.iterdir()}
    assert after - set(before) <= {"runs.db-wal", "runs.db-shm"}


@pytest.mark.parametrize(("address", "folder"), [
    ("file:///some/with%20space/artifacts", "/some/with space/artifacts"), ("/plain/path", "/plain/path"),
    ("file://elsewhere/some", None), ("mlflow-artifacts:/1/2", None), ("s3://bucket/mlartifacts/1", None), ("", None)])
def test_only_local_artifacts_are_opened_directly(address: str, folder: str | None, tmp_path: Path) -> None:
    assert folder_of(address, tmp_path) == (None if folder is None else Path(folder))


@pytest.mark.parametrize("address", [
    "file:///gone/mlartifacts/abc/artifacts", "/gone/mlartifacts/old/mlartifacts/abc/artifacts",
    "mlartifacts/abc/artifacts"])
def test_artifacts_are_found_beside_the_database_wherever_its_folder_is(address: str, tmp_path: Path) -> None:
    home, before = tmp_path / "with space", tmp_path / "before"
    for folder in (home, before):
        folder.joinpath("mlartifacts", "abc", "artifacts").mkdir(parents=True)
    found = home / "mlartifacts" / "abc" / "artifacts"
    assert folder_of(address, home) == found
    assert folder_of((before / "mlartifacts/abc/artifacts").as_uri(), home) == found  # a copy beside its original
    found.rmdir()
    assert folder_of((before / "mlartifacts/abc/artifacts").as_uri(), home) == before / "mlartifacts/abc/artifacts"
    assert folder_of(found.as_uri(), home) == found  # nothing was logged yet
    with pytest.raises(FileNotFoundError, match=rf"abc/artifacts is missing.*{re.escape(str(found))}"):
        folder_of(address, home)


def test_a_study_is_read_in_the_folder_that_it_was_moved_to(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    store = Store(f"sqlite:///{before / 'mlflow.db'}")
    run_id = store.start("reviews", "s", role="study", study="s").run_id
    store.writer(run_id).text("notes.txt", "logged")
    before.rename(after)
    assert Reader(f"sqlite:///{after / 'mlflow.db'}").text(run_id, "notes.txt") == "logged"
    assert not before.exists()


def test_a_study_that_is_not_complete_has_no_summary(store: Store) -> None:
    store.start("reviews", "s", role="study", study="s").text("study.json", summary().to_json())
    (study,) = store.studies("reviews")
    assert study.summary is None


def test_all_experiments_of_a_server_are_read_page_by_page(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    writers = [store.start(name, "r", role="confirm", tags={TEST_SET: "a" * 16}) for name in ("one", "two", "three")]
    for writer in writers:
        writer.kill("done")
    search = MlflowClient.search_experiments
    monkeypatch.setattr(MlflowClient, "search_experiments",
                        lambda *given, **named: search(*given, **{**named, "max_results": 1}))
    source = Source(lambda: client_of(store))
    assert sorted(source.experiments()) == ["one", "three", "two"]
    assert len(list(source.tagged_runs(TEST_SET, "a" * 16))) == 3
    assert [present(source.find(writer.run_id)).experiment for writer in writers] == ["one", "two", "three"]


@pytest.mark.parametrize("dropped", ["artifact", "find"])
def test_a_request_that_a_server_drops_does_not_count_as_a_damaged_study_or_a_missing_artifact(
    store: Store, monkeypatch: pytest.MonkeyPatch, dropped: str
) -> None:
    parent = store.start("reviews", "s", role="study", study="s")
    parent.text("study.json", "{")
    parent.complete()
    (study,) = store.studies("reviews")
    assert "study.json" in study.damaged
    assert store.text(parent.run_id, "data.json") is None

    def drop(*_: object) -> bytes:
        raise ConnectionResetError("Connection reset by peer")

    monkeypatch.setattr(FileSource, dropped, drop)
    for read in (lambda reader: reader.text(parent.run_id, "data.json"),
                 lambda reader: reader.texts(parent.run_id, "test"),
                 lambda reader: group_of(reader, [study.run], Numbers(), "Torch GRU", "torch", study),
                 lambda reader: reader.studies("reviews") if dropped == "artifact" else reader.find(parent.run_id)):
        with pytest.raises((AwayError, ConnectionResetError), match="Connection reset"):
            read(Reader(store.uri))


def test_the_experiment_written_last_comes_first(store: Store) -> None:
    for name in ("one", "two"):
        store.start(name, "r", role="single")
    assert store.experiments() == ["two", "one"]
    with pytest.raises(UsageError, match=r"'three'.*one, two"):
        store.runs("three")


def test_refuses_to_read_before_anything_was_run() -> None:
    with pytest.raises(RunError, match="Run a sweep"):
        open_reader()
    assert not Path("mlflow.db").exists()


@pytest.mark.parametrize(("tag", "shown"), [(None, "none"), ("2", "2"), ("4", "4")])
def test_refuses_runs_of_another_format(store: Store, tag: str | None, shown: str) -> None:
    change_format(present(store.database), store, tag)
    with pytest.raises(RunError) as refused:
        open_reader(store.uri).runs("reviews")
    mentions(str(refused.value), "format 3, but the run", f"in format {shown}:", "tracking_uri", "storage")


def test_a_database_that_is_removed_while_it_is_read_is_named(tmp_path: Path, empty_database: Path) -> None:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    store = open_reader()
    (tmp_path / "mlflow.db").unlink()
    with pytest.raises(RunError, match=r"mlflow\.db'.*removed"):
        store.runs("reviews")


def test_a_link_to_a_run_holds_no_password() -> None:
    link = Reader("https://ada:secret@example.org/mlflow/").run_url(logged("1" * 32))
    assert link == f"https://example.org/mlflow/#/experiments/1/runs/{'1' * 32}?workflowType=machine_learning"


WORDS = ("None", "none", "True", "1", "1e-3", "", " ", "a/b", "corpus", "é – 中文 😀")
names = (st.sampled_from(WORDS)
         | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)).filter(bool)
"""Names of columns. The longest part of a path has 255 bytes."""
files = names.filter(lambda name: not name.startswith("~"))
shares = st.floats(0, 1, exclude_max=True)
magnitudes = st.floats(0, 1e38, exclude_min=True)
seeds, many = st.integers(0, 2**32 - 1), st.integers(1, 1_000_000)


def optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values of a setting that may be None; the text "None" cannot be told from None there."""
    return st.none() | values.filter(lambda value: value != "None")


configs = st.builds(
    RunConfig,
    data=st.builds(
        DataConfig, name=files, test_name=optional(files), text_column=names, label_column=names,
        category_column=optional(names), split_column=optional(names), max_length=optional(many),
        limit=optional(st.integers(10, 1_000_000_000)), validation_share=shares, split_seed=seeds),
    embedding=st.builds(
        EmbeddingConfig, name=files, dimension=st.integers(1, 16_384), scale=st.floats(0, 1e6, exclude_min=True),
        trainable=st.booleans()),
    model=st.builds(
        ModelConfig, name=st.sampled_from(["scratch", "torch", "bidirectional"]),
        bidirectional=optional(st.booleans()), hidden_size=st.integers(1, 2000), layers=st.integers(1, 100),
        dropout=shares,
        pooling=st.sampled_from(["last", "final", "mean", "max", "meanmax"]), relu=st.booleans()),
    training=st.builds(
        TrainingConfig, optimizer=st.sampled_from(["adam", "adamw"]), weight_decay=shares,
        lr=magnitudes, batch_size=many, clip_norm=optional(magnitudes), patience=optional(many.map(
            lambda number: min(number, 100_000))), bucket=st.booleans(),
        device=st.sampled_from(["auto", "cpu", "cuda", "cuda:1", "mps"]),
        threads=optional(st.integers(1, 1024)), selection=st.sampled_from(["best_validation", "lowest_train_window"])),
    seed=seeds)


class TestTheConfigOfARun:
    @settings(max_examples=40)
    @given(configs)
    def test_comes_back_as_it_was_logged(self, config: RunConfig) -> None:
        params = {key: str(value) for key, value in flat(config).items()}
        assert logged("1", params={**params, "texts": "True", "data": "2"}).config() == config

    def test_has_the_default_of_what_was_not_logged(self) -> None:
        assert logged("1").config() == RunConfig()
        found = logged("1", model="torch", params={"model.name": "scratch", "data.test_name": "None"}).config()
        assert found == RunConfig(model=ModelConfig(name="scratch"))

    @pytest.mark.parametrize(("key", "text"), [
        ("training.lr", "abc"), ("training.lr", "nan"), ("training.lr", "None"), ("data.max_length", "0"),
        ("seed", "-1"), ("model.relu", "perhaps"), ("model.reset", "never")])
    def test_is_refused_by_the_name_of_a_wrong_setting(self, key: str, text: str) -> None:
        with pytest.raises(RunError) as refused:
            logged("ab12", params={key: text}).config()
        mentions(str(refused.value), "ab12", key, repr(text), RESTORE.removeprefix(": "))

    @pytest.mark.parametrize("key", ["training.warmup", "model.bias"])
    def test_is_refused_by_the_name_of_an_unknown_setting(self, key: str) -> None:
        with pytest.raises(RunError) as refused:
            logged("ab12", params={key: "0.0"}).config()
        mentions(str(refused.value), "ab12", f"unknown setting {key!r}")

    @settings(max_examples=50)
    @given(st.dictionaries(
        st.sampled_from([*flat(RunConfig()), "models", "data", ""]),
        st.text() | st.sampled_from([
            *WORDS, "nan", "-inf", "1_0", "16384", "100", "9" * 5000, "~nobody", "\0", "\ud800"]),
        max_size=4))
    def test_is_read_or_refused_whatever_the_params_are(self, params: dict[str, str]) -> None:
        try:
            config = logged("ab12", params=params).config()
        except RunError as error:
            mentions(str(error), "ab12", RESTORE.removeprefix(": "))
            return
        defaults = flat(RunConfig())
        assert {key for key, value in flat(config).items() if value != defaults[key]} <= params.keys()


def test_a_run_is_described_by_its_tags() -> None:
    plain = logged("1")
    assert (plain.fingerprint, plain.state, plain.command) == ("", "", "")
    run = logged("1", tags={
        "gru_bench.data_fingerprint": "3f6c", "gru_bench.state": "pruned", "mlflow.source.name": "run.py --study a"})
    assert (run.fingerprint, run.state, run.command) == ("3f6c", "pruned", "run.py --study a")


NOTHING = StudyPlan(models=(), trials=None, confirm=None, margin=None)


@pytest.mark.parametrize(("params", "plan"), [
    ({}, NOTHING),
    ({"models": "scratch,torch", "trials": "16", "confirm": "5", "margin": "1.0", "study": "s"},
     StudyPlan(("scratch", "torch"), 16, 5, 0.01)),
    ({"models": "torch", "trials": "0", "confirm": "0"}, replace(NOTHING, models=("torch",), trials=0, confirm=0)),
    ({"models": ",torch,,"}, replace(NOTHING, models=("torch",))),
    *(({"trials": wrong, "confirm": wrong}, NOTHING) for wrong in ("", "-1", "1.0", " 1", "five", "1" * 10, "٣")),
    ({"trials": "9" * 9, "confirm": "007"}, replace(NOTHING, trials=999_999_999, confirm=7)),
    ({"metric": "log_loss"}, replace(NOTHING, metric="log_loss")),
    ({"metric": "luck"}, NOTHING),
    ({"margin": "50"}, replace(NOTHING, margin=0.5)),
    ({"margin": " 2e-1 "}, replace(NOTHING, margin=0.002)),
    *(({"margin": wrong}, NOTHING) for wrong in ("None", "nan", "inf", "-inf", "0", "-1", "50.1", "", "one")),
])
def test_the_plan_of_a_study_is_read_from_its_params(params: dict[str, str], plan: StudyPlan) -> None:
    assert LoggedStudy(logged("1", params=params), None, (), ()).plan() == plan
