"""An archive or a store with something odd or damaged in it is refused by name, or read without it."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import optuna
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gru_bench.archive.container import pack
from gru_bench.archive.study import _read, export_study
from gru_bench.errors import DataError, RunError
from gru_bench.report.build import build
from gru_bench.report.choice import choose
from gru_bench.results.own import OwnModel, digest_of, own_artifact
from gru_bench.tracking import Store
from gru_bench.tracking import export as tracking
from tests.support.archives import changed, exported, imported, only, stores
from tests.support.commands import mentions


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


@settings(max_examples=50, deadline=None)
@given(data=st.data(), name=st.sampled_from(["runs.json", "searches.json"]),
       junk=st.none() | st.integers() | st.floats() | st.text(max_size=4) | st.just([]) | st.just({"a": {}}))
def test_a_record_of_another_form_is_refused_or_means_something(
    far: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, name: str, junk: Any
) -> None:
    source, members = files(far)
    folder = tmp_path_factory.mktemp("odd")
    for part in ("runs.json", "searches.json", "metrics.parquet"):
        shutil.copy(source / part, folder)
    content = json.loads((source / name).read_text(encoding="utf-8"))
    place = data.draw(st.integers(0, leaves(content) - 1))
    (folder / name).write_text(json.dumps(replaced(content, place, junk)[0]), encoding="utf-8")
    with suppress(DataError):  # a text in place of another is a study of its own
        _read(folder, members)


@pytest.mark.parametrize(("change", "text"), [
    (lambda found: found["runs"].append(found["runs"][1]), "no run, or the same run twice"),
    (lambda found: found["runs"].clear(), "no run, or the same run twice"),
    (lambda found: found["runs"].reverse(), "runs that do not belong to one study"),
    (lambda found: found["runs"][2]["tags"].update({"mlflow.parentRunId": "0" * 32}),
     "runs that do not belong to one study"),
    (lambda found: found["metrics"].clear(), "refer to its metrics"),
    (lambda found: found["runs"][0].update({"status": "DONE"}), r"runs\.0\.status does not"),
    (lambda found: found["runs"].pop(), "belongs to none of its runs"),
])
def test_a_wrong_record_is_refused_by_its_field(
    far: Path, tmp_path: Path, change: Callable[[Any], object], text: str
) -> None:
    source, members = files(far)
    shutil.copytree(source, tmp_path / "files")
    content = json.loads((source / "runs.json").read_text(encoding="utf-8"))
    change(content)
    (tmp_path / "files" / "runs.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match=text):
        _read(tmp_path / "files", members)


def test_the_limits_of_an_archive_can_be_raised(far: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, members = files(far)
    monkeypatch.setattr("gru_bench.archive.study.MOST_VALUES", 10)
    with pytest.raises(DataError, match=r"at most 10 values.*GRU_BENCH_LIMITS=10"):
        _read(source, members)
    monkeypatch.setenv("GRU_BENCH_LIMITS", "100000")
    assert _read(source, members)[2] > 10


def test_a_table_of_too_many_values_or_of_another_form_is_refused(far: Path, tmp_path: Path) -> None:
    source, members = files(far)
    shutil.copytree(source, tmp_path / "files")
    table = pq.read_table(source / "metrics.parquet")
    with pytest.raises(DataError, match=f"at most {len(table) - 1} values"):
        _read(tmp_path / "files", members, len(table) - 1)
    assert _read(tmp_path / "files", members, len(table))[2] == len(table)
    pq.write_table(table.set_column(2, "value", pa.array(["x"] * len(table))), tmp_path / "files" / "metrics.parquet")
    with pytest.raises(DataError, match="table"):
        _read(tmp_path / "files", members)
    (tmp_path / "files" / "metrics.parquet").write_bytes(b"PAR1nothing")
    with pytest.raises(DataError, match="table"):
        _read(tmp_path / "files", members)


SECRET = "a key that is nobody's business"


def secret(directory: Path) -> Path:
    """A folder that no archive has to do with."""
    (directory / "secret").mkdir()
    (directory / "secret" / "id_rsa").write_text(SECRET, encoding="utf-8")
    return directory / "secret"


def nothing_came_in(directory: Path) -> bool:
    with closing(sqlite3.connect(directory / "mlflow.db")) as database:
        (runs,) = database.execute("SELECT COUNT(*) FROM runs").fetchone()
    return not runs and not optuna.get_all_study_names(stores(directory)[1])


@pytest.mark.parametrize("run_id", ["SECRET", "../../secret", "..", "", "a/b", "F" * 32, "0" * 31])
def test_a_run_id_never_leads_out_of_the_archive(far: Path, near: Path, run_id: str) -> None:
    lie = str(secret(near)) if run_id == "SECRET" else run_id
    folder = near / "changed"
    shutil.copytree(far / "quick.files", folder)
    content = json.loads((folder / "runs.json").read_text(encoding="utf-8"))
    shutil.rmtree(folder / "artifacts" / content["runs"][1]["run_id"])
    content["runs"][1]["run_id"] = lie
    (folder / "runs.json").write_text(json.dumps(content), encoding="utf-8")
    pack(near / "changed.zip", folder, {})
    with pytest.raises(DataError, match=r"runs\.json .*runs\.1\.run_id"):
        imported(near / "changed.zip", near)
    assert nothing_came_in(near)
    assert SECRET not in "".join(path.read_text(encoding="utf-8") for path in near.rglob("mlartifacts/**/id_rsa"))
    with pytest.raises(DataError, match="own folder"):
        tracking.inside(near / "files", "../secret")


@pytest.mark.parametrize(("name", "change", "text"), [
    ("runs.json", lambda found: found["runs"][5]["tags"].update({"gru_bench.seed": "zzz"}),
     r"runs\.5 does not .*its tag gru_bench\.seed must not be 'zzz'"),
    ("runs.json", lambda found: found["runs"][5]["tags"].pop("gru_bench.format"),
     r"runs\.5 does not .*its tag gru_bench\.format must be '2'"),
    ("runs.json", lambda found: found["runs"][0].update(started=10**18), r"runs\.0\.started does not"),
    ("runs.json", lambda found: found["runs"][0].update(started=-1), r"runs\.0\.started does not"),
    ("runs.json", lambda found: found["runs"][0].update(ended=10**18), r"runs\.0\.ended does not"),
    ("runs.json", lambda found: found["runs"][2]["tags"].update({"../x": "y"}), r"runs\.2\.tags"),
    ("runs.json", lambda found: found["runs"][2]["params"].update({"x": "y\0"}), r"runs\.2\.params\.x does not"),
    ("runs.json", lambda found: found.update(study="a\x1b[2J"), "study does not .*none of them a control character"),
    ("runs.json", lambda found: found.update(experiment=" "), "experiment does not"),
    ("runs.json", lambda found: found["metrics"].append("/etc/passwd"), "MLflow does not accept this name"),
    ("searches.json", lambda found: found["searches"][0].update(model="a/b"), r"searches\.0\.model does not"),
    ("searches.json", lambda found: found["searches"][0]["trials"][0]["system"].update(fixed_params="x"),
     "trial 0 of torch: fixed_params"),
    ("searches.json", lambda found: found["searches"][0]["trials"][0]["user"].update(retry_of=[1]),
     "trial 0 of torch: retry_of"),
    ("searches.json", lambda found: found["searches"][0]["trials"][1]["user"].update(retry_of=1),
     "trial 1 of torch: it must refer to an earlier trial, but refers to a later one"),
    ("searches.json", lambda found: found["searches"][0]["trials"][0].update(ended="0001-01-01T00:00:00"),
     "between the years 1971 and 9998"),
    ("searches.json", lambda found: found["searches"][0]["trials"][0].update(started="2025-01-01T00:00:00+01:00"),
     "without a time zone"),
    ("searches.json", lambda found: found["user"].update({"start 1": {}}), "'start 1' of the study: owner"),
    ("searches.json", lambda found: found["work"][1]["user"].pop("key"),
     "run 1 of the study: it must have a key, but has none"),
    ("searches.json", lambda found: found["work"][0].update(value=None), "run 0 of the study: "),
    ("searches.json", lambda found: found["user"].pop("format"), "the study: format"),
    ("searches.json", lambda found: found["user"]["search torch"].update(identity="x"),
     "'search torch' of the study: identity"),
    ("searches.json", lambda found: found["user"]["search torch"]["identity"].update(data={}),
     r"'search torch' of the study: identity\.data"),
    ("searches.json", lambda found: found["user"]["search torch"]["identity"].update(data="def"),
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
    content = json.loads(path.read_text(encoding="utf-8"))
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
    path.write_text(json.dumps(content), encoding="utf-8")
    pack(directory / "mutated.zip", folder, {})
    return directory / "mutated.zip"


@pytest.mark.slow
def test_archives_with_a_changed_field_are_refused_or_can_be_read(far: Path, near: Path) -> None:
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
    (table(3, run=[1, 0, 0]), "must list points in the order of the runs"),
    (table(3, run=[0, 9, 9]), "refer to its runs, in their order"),
    (table(3, step=2**62), "have a step from"),
])
def test_metrics_must_be_in_the_order_of_runs(far: Path, tmp_path: Path, values: pa.Table, text: str) -> None:
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
    with pytest.raises(DataError, match="2,000,000 values"):
        _read(tmp_path / "files", files(far)[1])


def artifact(directory: Path, run_id: str, path: str) -> Path:
    folder = stores(directory)[0]._local_artifacts(run_id)
    assert folder is not None
    return folder / path


@pytest.mark.parametrize("content", [b"PAR1 nothing", None])
def test_damaged_or_missing_predictions_are_named_left_out_of_reports_and_never_exported(
    own: Path, content: bytes | None
) -> None:
    store, _ = stores(own)
    run = only(own).confirms[1]
    path = artifact(own, run.run_id, "predictions/test.parquet")
    path.unlink() if content is None else path.write_bytes(content)
    (own / "out").mkdir()
    with pytest.raises(RunError, match=f"{run.run_id} .*predictions/test.parquet"):
        export_study(*stores(own), "quick", own / "out", experiment=None, texts=True)
    with pytest.raises(RunError, match=run.run_id):
        store.predictions(run.run_id, "test")
    found = build([only(own)], store, experiment="easy")
    assert run.run_id in str(found.warnings)
    assert found.numbers["quick-torch.seeds"].value == 2


@pytest.mark.parametrize("text", ["{", '{"name": 1}'])
def test_a_study_whose_summary_is_damaged_is_neither_reported_nor_exported(own: Path, text: str) -> None:
    study = only(own).run.run_id
    artifact(own, study, "study.json").write_text(text, encoding="utf-8")
    for doing in (lambda: choose(Store(f"sqlite:///{own / 'mlflow.db'}", create=False), None, ["quick"]),
                  lambda: choose(Store(f"sqlite:///{own / 'mlflow.db'}", create=False), None, []),
                  lambda: exported(own, own / "damaged.zip")):
        with pytest.raises(RunError, match=rf"{study} .*study\.json"):
            doing()


@pytest.mark.parametrize(("change", "text"), [
    ({"code": "class B: ...\n"}, "SHA-256"), ({"use": 1}, "use"), ({"speed": [["A", 1.0]]}, "speed")])
def test_an_own_class_must_arrive_as_it_was_logged(
    own: Path, empty_database: Path, change: dict[str, Any], text: str
) -> None:
    study, path, code = only(own).run.run_id, own_artifact("a.py:A"), "class A: ...\n"
    file = artifact(own, study, path)
    file.parent.mkdir()
    file.write_text(OwnModel("a.py:A", digest_of(code), code, "a layer", "a GRU", ()).to_json(), encoding="utf-8")
    shutil.rmtree(own / "quick.files")
    exported(own, own / "quick.zip")
    there = own / "there"
    there.mkdir()
    shutil.copy(empty_database, there)
    with pytest.raises(DataError, match=rf"{path} .*{study} .*{text}"):
        imported(changed(own, there, lambda found: found.update(change), f"artifacts/{study}/{path}"), there)
    assert nothing_came_in(there)
    imported(own / "quick.zip", there)
    store, _ = stores(there)
    assert store.text(only(there).run.run_id, path) == file.read_text(encoding="utf-8")


def test_runs_with_odd_values_are_named_and_the_others_are_read(own: Path) -> None:
    text, long, late = only(own).confirms
    with closing(sqlite3.connect(own / "mlflow.db")) as database, database:
        for run, value in ((text, "zzz"), (long, "9" * 5000)):
            database.execute("UPDATE tags SET value = ? WHERE run_uuid = ? AND key = 'gru_bench.seed'",
                             (value, run.run_id))
        database.execute("UPDATE runs SET start_time = ? WHERE run_uuid = ?", (10**18, late.run_id))
    store = Store(f"sqlite:///{own / 'mlflow.db'}", create=False)
    (study,) = store.studies("easy")
    assert (study.confirms, len(study.trials)) == ((), 4)
    assert store.odd.keys() == {text.run_id, long.run_id, late.run_id}
    mentions(store.odd[text.run_id], text.run_id, "gru_bench.seed", "'zzz'")
    assert len(store.odd[long.run_id]) < 200
    mentions(store.odd[late.run_id], late.run_id, "start", f"{10**18}")
