"""A study carried in one file: all of it arrives, its numbers are the same, and nothing arrives half."""

from __future__ import annotations

import io
import json
import shutil
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
from hypothesis import given, settings
from hypothesis import strategies as st

from gru_bench.archive.container import Manifest, pack, unpack
from gru_bench.archive.study import Carried, _read, bring_in, take_out
from gru_bench.config import RunConfig
from gru_bench.errors import DataError, RunError, UsageError
from gru_bench.insight import DIAGNOSTICS, Attribution, Diagnostics, GateMap, Neighbours
from gru_bench.report import record
from gru_bench.report.writeup import build
from gru_bench.results import EpochRecord
from gru_bench.sweep.spec import load_study
from gru_bench.sweep.storage import open_storage
from gru_bench.sweep.study import Search
from gru_bench.tracking import LoggedStudy, Store
from gru_bench.tracking import exchange as tracking

from .conftest import ROOT, command
from .report_fakes import TestSet
from .test_tracking import result, summary

IDENTITY = {"data": "abc", "objective": "accuracy"}
START = {"owner": "a machine 7 99", "lease": 3, "seconds": 1.5, "searching": True, "ended": False}
RANGE = {"training.lr": optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True),
         "model.readout": optuna.distributions.CategoricalDistribution(["mean", None])}

INSIDE = Diagnostics(
    (), (GateMap("torch", "forward", "run", ("review", "seven"), ((0.5,), (0.2,)), ((0.1,), (1.0,))),),
    (Attribution("torch", "run", "occlusion", ("review", "seven"), (0.3, -0.1), 0.6),),
    (Neighbours("good", (("great", 0.8),)),), "validation")


def fill(directory: Path) -> None:
    """Log a study as a sweep does: a trial of each state, three confirm runs, and what hangs on them."""
    store = Store(f"sqlite:///{directory / 'mlflow.db'}")
    search = optuna.create_study(study_name="quick/torch", storage=open_storage(str(directory / "optuna.journal")),
                                 direction="maximize")
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

    search.enqueue_trial({"training.lr": 1e-3, "model.readout": None}, user_attrs={"attempt": 2})
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
                writer.metrics({"train/loss": float("nan")}, step=2)
                writer.fail("the loss is not finite")
    search.enqueue_trial({"training.lr": 2e-3, "model.readout": "mean"})
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
    carried = take_out(*stores(directory), study, folder, experiment=None, texts=texts)
    pack(file, folder, carried.about())
    return carried


def imported(file: Path, directory: Path, study: str | None = None) -> Carried:
    folder = directory / f"files {len(list(directory.iterdir()))}"
    folder.mkdir()
    manifest = unpack(file, folder)
    return bring_in(folder, manifest.sizes, manifest.content, *stores(directory), study)


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
    """What numbers.json of a write-up holds, with runs named by their labels."""
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
    carried = take_out(*stores(far), "quick", folder, experiment=None, texts=True, weights=False)
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
            bring_in(folder, manifest.sizes, manifest.content, store, storage, None)
    assert not stores(near)[0].studies("easy")
    if fails == "reveal" and how == "is killed":
        (near / "quick.toml").write_text("models = ['torch']\ntrials = 1\n[space]\ntraining.lr = {low = 0.1, high = 1}")
        with pytest.raises(RunError, match=r"'quick' must be imported whole before it goes on.*import it again"):
            Search(load_study(str(near / "quick.toml")), "torch", stores(near)[1], "abc")
    if how == "fails":
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
        assert np.mean((found.probability_N > 0.5) == found.label_N) == pytest.approx(run.metrics["test/accuracy"])
    assert store.texts(study.run.run_id, "test") is None


@pytest.mark.parametrize(("example", "experiment", "names"), [
    ("homework", "sentiment_dataset_train_amazon14", ["homework"]),
    ("tuned", "movie-reviews", ["bidirectional", "torch", "scratch"]),
])
def test_an_example_is_what_its_studies_give(example: str, experiment: str, names: list[str], near: Path) -> None:
    for name in names:
        imported(EXAMPLE / f"{name}.study", near)
    store, _ = stores(near)
    found = {study.run.study: study for study in store.studies(experiment)}
    writeup = build([found[name] for name in names], store, experiment=experiment)
    kept = json.loads((EXAMPLE / example / "numbers.json").read_text(encoding="utf-8"))["numbers"]
    ours = writeup.numbers()
    assert ours.keys() == kept.keys()
    assert {key: number.text for key, number in ours.items()} == {key: one["text"] for key, one in kept.items()}


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
        take_out(stores(far)[0], stores(near)[1], study, near, experiment=None, texts=True)


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


def test_a_table_is_read_a_piece_at_a_time(far: Path, tmp_path: Path) -> None:
    source, members = files(far)
    shutil.copytree(source, tmp_path / "files")
    table = pq.read_table(source / "metrics.parquet")
    with pytest.raises(DataError, match=f"at most {len(table) - 1} values, but holds more than that: .*--most-values"):
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
    assert not list(near.glob(".export*"))
