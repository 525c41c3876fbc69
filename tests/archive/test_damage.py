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
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gru_bench.archive.container import MANIFEST
from gru_bench.archive.study import JOURNAL, export_study
from gru_bench.errors import DataError, RunError
from gru_bench.report.choice import choose
from gru_bench.results.own import OwnModel, digest_of, own_artifact
from gru_bench.sweep.export import read_searches
from gru_bench.tracking import open_reader
from gru_bench.tracking.export import checked
from gru_bench.tracking.outbox import FOLDER
from tests.support.archives import changed, exported, imported, only, packed_again, runs_in, stores
from tests.support.commands import mentions
from tests.support.mlflow_stores import artifacts_of
from tests.support.reports import build


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


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """A machine without studies, for archives that are refused."""
    directory = tmp_path_factory.mktemp("empty")
    shutil.copy(empty_database, directory)
    return directory


@settings(max_examples=50, deadline=None)
@given(data=st.data(), place=st.integers(-1, 7),
       junk=st.none() | st.integers() | st.floats() | st.text(max_size=4) | st.just([]) | st.just({"a": {}}))
def test_a_record_of_another_form_is_refused_or_means_something(
    far: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, place: int, junk: Any
) -> None:
    folder = tmp_path_factory.mktemp("odd")
    if place < 0:
        lines = (far / "quick.files" / JOURNAL).read_text(encoding="utf-8").splitlines()
        line = data.draw(st.integers(0, len(lines) - 1))
        entry = json.loads(lines[line])
        lines[line] = json.dumps(replaced(entry, data.draw(st.integers(1, leaves(entry) - 1)), junk)[0])
        (folder / JOURNAL).write_text("".join(f"{text}\n" for text in lines), encoding="utf-8")
        with suppress(ValueError):  # a text in place of another is a study of its own
            read_searches(folder / JOURNAL, "quick")
    else:
        content = json.loads((runs_in(far / "quick.files")[place] / "run.json").read_text(encoding="utf-8"))
        with suppress(ValueError):
            checked(json.dumps(replaced(content, data.draw(st.integers(0, leaves(content) - 1)), junk)[0]).encode())


@pytest.mark.parametrize(("change", "text"), [
    (lambda runs: shutil.copytree(runs[1], runs[1].with_name(f"000099-{runs[1].name[7:]}")),
     "each run exactly once"),
    (lambda runs: list(map(shutil.rmtree, runs)), "each run exactly once"),
    (lambda runs: runs[-1].rename(runs[-1].with_name(f"000001-{runs[-1].name[7:]}")), "its own run last"),
    (lambda runs: shutil.rmtree(runs[-1]), "its own run last"),
    (lambda runs: (runs[-2] / "run.json").unlink(), "no 0.*/run.json"),
    (lambda runs: (runs[0].parent / JOURNAL).unlink(), f"no {JOURNAL}"),
    (lambda runs: (runs[0].parent / "owner.json").write_text('{"uri": "http://evil"}'), "'owner.json' is not one"),
    (lambda runs: (runs[0] / "evil.so").write_text(""), "evil.so' is not one"),
    (lambda runs: runs[0].rename(f"{runs[0]}.held"), "held/.*is not one"),
])
def test_members_that_are_not_the_runs_of_one_study_are_refused(
    far: Path, empty: Path, tmp_path: Path, change: Callable[[list[Path]], object], text: str
) -> None:
    shutil.copytree(far / "quick.files", tmp_path / "files")
    change(runs_in(tmp_path / "files"))
    with pytest.raises(DataError, match=text):
        imported(packed_again(tmp_path / "files", tmp_path / "changed.zip"), empty)
    assert nothing_came_in(empty)


def test_the_limits_of_an_archive_can_be_raised(far: Path, near: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gru_bench.archive.study.MOST_BYTES", 10)
    with pytest.raises(DataError, match=r"at most 10 bytes.*GRU_BENCH_LIMITS=10"):
        imported(far / "quick.zip", near)
    assert nothing_came_in(near)
    monkeypatch.setenv("GRU_BENCH_LIMITS", "100000")
    assert imported(far / "quick.zip", near).values > 10


SECRET = "a key that is nobody's business"


def secret(directory: Path) -> Path:
    """A folder that no archive has to do with."""
    (directory / "secret").mkdir()
    (directory / "secret" / "id_rsa").write_text(SECRET, encoding="utf-8")
    return directory / "secret"


def nothing_came_in(directory: Path) -> bool:
    with closing(sqlite3.connect(directory / "mlflow.db")) as database:
        (runs,) = database.execute("SELECT COUNT(*) FROM runs").fetchone()
    return not (runs or list((directory / FOLDER).glob("*-*")) or optuna.get_all_study_names(stores(directory)[1]))


@pytest.mark.parametrize("run_id", ["SECRET", "../../secret", "..", "", "a/b", "F" * 32, "0" * 31, "0" * 32])
def test_a_run_id_never_leads_out_of_the_archive(far: Path, near: Path, run_id: str) -> None:
    lie = str(secret(near)) if run_id == "SECRET" else run_id
    with pytest.raises(DataError, match=r"run\.json .*(run_id|that its folder names)"):
        imported(changed(far, near, lambda found: found.update(run_id=lie), 1), near)
    assert nothing_came_in(near)
    assert SECRET not in "".join(path.read_text(encoding="utf-8") for path in near.rglob("mlartifacts/**/id_rsa"))


def of(op_code: int, place: int = 0) -> Callable[[list[Any]], Any]:
    """Return what finds an entry of a journal by its kind."""
    return lambda entries: [entry for entry in entries if entry["op_code"] == op_code][place]


NEW_STUDY, ATTRIBUTE, NEW_TRIAL = 0, 2, 4
"""Kinds of entries in a journal."""


def attribute(key: str) -> Callable[[list[Any]], Any]:
    """Return what finds the attributes with a key in a journal."""
    return lambda entries: next(
        entry["user_attr"] for entry in entries if entry["op_code"] == ATTRIBUTE and key in entry["user_attr"])


def trial(number: int, *, of_search: bool = True) -> Callable[[list[Any]], Any]:
    """Return what finds the entry of a trial in a journal."""
    return lambda entries: [entry for entry in entries if entry["op_code"] == NEW_TRIAL
                            and bool(entry["user_attrs"].get("key")) != of_search][number]


@pytest.mark.parametrize(("run", "change", "text"), [
    (4, lambda found: found["first_tags"].update({"gru_bench.seed": "zzz"}),
     r"its tag gru_bench\.seed must not be 'zzz'"),
    (4, lambda found: found["tags"].update({"gru_bench.id": "0" * 32}), r"must not have the tag gru_bench\.id"),
    (4, lambda found: found.update(status="RUNNING"), "must have an experiment, a status and an end"),
    (-1, lambda found: found.update(time=10**18), "time: "),
    (2, lambda found: found["points"][0].__setitem__(0, "/etc/passwd"), r"points\.0\.0: .*not accept this name"),
    (2, lambda found: found["first_tags"].update({"../x": "y"}), r"first_tags\.\.\./x"),
    (2, lambda found: found["params"].update({"x": "y\0"}), r"params\.x: "),
    (2, lambda found: found.update(parent="0" * 32), "its own run last"),
    (-1, lambda found: found["first_tags"].update({"gru_bench.study": "a\x1b[2J"}), "none of them a control character"),
    (None, lambda found: of(NEW_STUDY, 1)(found).update(study_name="quick/a/b"), "its searches and no other"),
    (None, lambda found: of(NEW_STUDY, 1)(found).update(directions=[1, 2]), "one direction"),
    (None, lambda found: of(NEW_STUDY)(found).update(op_code=99), "line 1 is damaged"),
    (None, lambda found: trial(0)(found)["user_attrs"].update(retry_of=[1]), "trial 0: .*retry_of"),
    (None, lambda found: trial(1)(found)["user_attrs"].update(retry_of=1),
     "trial 1: it must refer to an earlier trial, but refers to itself or a later one"),
    (None, lambda found: trial(0)(found).update(state=0), "trial 0: it must not be running"),
    (None, lambda found: trial(0)(found)["params"].update({"training.lr": 7.0}), "trial 0: "),
    (None, lambda found: trial(0)(found).update(datetime_complete="1960-01-01T00:00:00+00:00"),
     "between the years 1971 and 9998"),
    (None, lambda found: attribute("start 1")(found).update({"start 1": {}}), "'start 1': owner"),
    (None, lambda found: trial(1, of_search=False)(found)["user_attrs"].pop("key"), "trial 1: it must have a key"),
    (None, lambda found: attribute("format")(found).update(format=3), "quick: format"),
    (None, lambda found: found.append({**of(ATTRIBUTE)(found), "user_attr": {"importing": "x"}}), "quick: importing"),
    (None, lambda found: attribute("search torch")(found)["search torch"]["identity"].update(data="def"),
     "of the same data as the runs"),
])
def test_a_field_of_another_form_is_refused_by_name(
    far: Path, near: Path, run: int | None, change: Callable[[Any], object], text: str
) -> None:
    with pytest.raises(DataError, match=text) as caught:
        imported(changed(far, near, change, run), near)
    assert len(str(caught.value)) < 1000
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
    """Return an archive in which a field of one of its files is another."""
    folder = directory / "mutated"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(far / "quick.files", folder)
    names = [JOURNAL, *sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.json")
                              if path.name != MANIFEST)]
    path = folder / chance.choices(names, [12, *[1] * (len(names) - 1)])[0]
    lines = path.read_text(encoding="utf-8").splitlines() if path.name == JOURNAL else [path.read_text("utf-8")]
    number = chance.randrange(len(lines))
    content = json.loads(lines[number])
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
    lines[number] = json.dumps(content)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return packed_again(folder, directory / "mutated.zip")


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
    store = open_reader(f"sqlite:///{near / 'mlflow.db'}")
    held = {study.run.study for place in store.experiments() for study in store.studies(place)}
    assert held == came_in
    assert not store.odd
    for name in came_in:
        with suppress(RunError):
            choice = choose(store, None, [name])
            build(choice.studies, store, experiment=choice.experiment)
    assert [path.name for path in outside.iterdir()] == ["id_rsa"]
    assert not list(near.rglob("mlartifacts/**/id_rsa"))


def artifact(directory: Path, run_id: str, path: str) -> Path:
    return artifacts_of(stores(directory)[0], run_id) / path


@pytest.mark.parametrize("content", [b"PAR1 nothing", None])
def test_damaged_or_missing_predictions_are_named_left_out_of_reports_and_never_exported(
    own: Path, content: bytes | None
) -> None:
    store, _ = stores(own)
    run = only(own).confirms[1]
    path = artifact(own, run.mlflow_id, "predictions/test.parquet")
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(RunError, match=f"{run.run_id} .*predictions/test.parquet"):
        export_study(*stores(own), "quick", own / "out.zip", experiment=None, texts=True)
    with pytest.raises(RunError, match=run.run_id):
        store.predictions(run.run_id, "test")
    found = build([only(own)], store, experiment="easy")
    assert run.run_id in str(found.warnings)
    assert found.numbers["quick-torch.seeds"].value == 2


@pytest.mark.parametrize("text", ["{", '{"name": 1}', None])
def test_a_study_whose_summary_is_damaged_or_missing_is_neither_reported_nor_exported(
    own: Path, text: str | None
) -> None:
    study = only(own).run.run_id
    summary = artifact(own, only(own).run.mlflow_id, "study.json")
    summary.unlink() if text is None else summary.write_text(text, encoding="utf-8")
    for doing in (lambda: choose(open_reader(f"sqlite:///{own / 'mlflow.db'}"), None, ["quick"]),
                  lambda: choose(open_reader(f"sqlite:///{own / 'mlflow.db'}"), None, []),
                  lambda: exported(own, own / "damaged.zip")):
        with pytest.raises(RunError, match=rf"{study} .*study\.json"):
            doing()


@pytest.mark.parametrize(("change", "text"), [
    ({"code": "class B: ...\n"}, "SHA-256"), ({"use": 1}, "use")])
def test_an_own_class_must_arrive_as_it_was_logged(
    own: Path, empty_database: Path, change: dict[str, Any], text: str
) -> None:
    study, path, code = only(own).run.run_id, own_artifact("a.py:A"), "class A: ...\n"
    file = artifact(own, only(own).run.mlflow_id, path)
    file.parent.mkdir()
    file.write_text(OwnModel("a.py:A", digest_of(code), code, "a layer", "a GRU", ()).to_json(), encoding="utf-8")
    shutil.rmtree(own / "quick.files")
    exported(own, own / "quick.zip")
    there = own / "there"
    there.mkdir()
    shutil.copy(empty_database, there)
    logged = runs_in(own / "quick.files")[-1] / "files" / path
    logged.write_text(json.dumps(json.loads(logged.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(DataError, match=rf"{path} .*{study} .*{text}"):
        imported(packed_again(own / "quick.files", there / "changed.zip"), there)
    assert nothing_came_in(there)
    imported(own / "quick.zip", there)
    store, _ = stores(there)
    assert store.text(only(there).run.run_id, path) == file.read_text(encoding="utf-8")


def test_runs_with_odd_values_are_named_and_the_others_are_read(own: Path) -> None:
    text, long, late = only(own).confirms
    with closing(sqlite3.connect(own / "mlflow.db")) as database, database:
        for run, value in ((text, "zzz"), (long, "9" * 5000)):
            database.execute("UPDATE tags SET value = ? WHERE run_uuid = ? AND key = 'gru_bench.seed'",
                             (value, run.mlflow_id))
        database.execute("UPDATE runs SET start_time = ? WHERE run_uuid = ?", (10**18, late.mlflow_id))
    store = open_reader(f"sqlite:///{own / 'mlflow.db'}")
    (study,) = store.studies("easy")
    assert (study.confirms, len(study.trials)) == ((), 4)
    assert store.odd.keys() == {text.mlflow_id, long.mlflow_id, late.mlflow_id}
    mentions(store.odd[text.mlflow_id], text.mlflow_id, "gru_bench.seed", "'zzz'")
    assert len(store.odd[long.mlflow_id]) < 200
    mentions(store.odd[late.mlflow_id], late.mlflow_id, "start", f"{10**18}")
