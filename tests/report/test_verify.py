"""The check of a report finds whatever was changed since it was made."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gru_bench.tracking
from gru_bench.config import RunConfig
from gru_bench.document.figure import Figure
from gru_bench.evidence.store import StudyStore
from gru_bench.report import verify
from gru_bench.report.__main__ import app
from gru_bench.report.render import files, record
from gru_bench.results.runs import EpochRecord, RunResult
from tests.support.commands import completed, mentions
from tests.support.fake_store import TestSet
from tests.support.mlflow_stores import client_of
from tests.support.renderings import Written
from tests.support.reports import build

ACCURACY = "scratch-scratch.accuracy"


def differences(store: StudyStore, folder: Path) -> list[str]:
    return verify.differences(folder, record.read(folder), store)


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_an_untouched_report_is_verified(original: Written) -> None:
    store, folder, _ = original
    assert differences(store, folder) == []


def test_a_changed_number_is_named_with_both_values(original: Written, folder: Path) -> None:
    accuracy = original.report.numbers[ACCURACY]
    change(folder / "numbers.json", f'"value": {accuracy.value!r}', '"value": 0.99')
    (line,) = differences(original.store, folder)
    mentions(line, "numbers.json: ", ACCURACY, "0.99", repr(accuracy.value))


@pytest.mark.parametrize("part", [
    "value", "text", "kind", "n", "interval", "interval_text", "method", "runs"])
def test_each_part_of_a_number_is_compared(part: str, original: Written, folder: Path) -> None:
    found = json.loads((folder / "numbers.json").read_text(encoding="utf-8"))
    number = found["numbers"][ACCURACY]
    others: dict[str, object] = {"value": number["value"] + 1e-8, "n": number["n"] + 1, "interval": None,
                                 "interval_text": ["1", "2"], "runs": number["runs"][1:]}
    number[part] = others.get(part, "other")
    (folder / "numbers.json").write_text(json.dumps(found), encoding="utf-8")
    (line,) = differences(original.store, folder)
    mentions(line, "numbers.json: ", ACCURACY, f"the {part} ")


def test_values_that_differ_by_rounding_are_equal(original: Written, folder: Path) -> None:
    found = json.loads((folder / "numbers.json").read_text(encoding="utf-8"))
    for number in found["numbers"].values():
        number["value"] = number["value"] and number["value"] * (1 + 1e-12)
    (folder / "numbers.json").write_text(json.dumps(found), encoding="utf-8")
    assert differences(original.store, folder) == []


def test_a_missing_number_and_one_too_many_are_named(original: Written, folder: Path) -> None:
    found = json.loads((folder / "numbers.json").read_text(encoding="utf-8"))
    found["numbers"]["made-up"] = found["numbers"].pop(ACCURACY)
    (folder / "numbers.json").write_text(json.dumps(found), encoding="utf-8")
    missing, made_up = differences(original.store, folder)
    mentions(missing, "numbers.json: ", ACCURACY, "missing")
    mentions(made_up, "numbers.json: made-up", "cannot be computed")


def test_a_margin_changed_afterwards_is_named(original: Written, folder: Path) -> None:
    store, _, _ = original
    change(folder / "numbers.json", '"margin": 0.01', '"margin": 0.05')
    assert any("methods.margin" in line for line in differences(store, folder))


def test_every_changed_and_every_removed_file_is_named(original: Written, folder: Path) -> None:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*") if path.name != "numbers.json")
    assert {"report.html", "report.tex", "report.md", "numbers.tex", "tables/results.tex", "figures/accuracy.csv",
            "figures/accuracy.pdf"} <= set(names)
    for name in names:
        with (folder / name).open("ab") as file:
            file.write(b" ")
    found = differences(original.store, folder)
    assert sorted(line.partition(" ")[0] for line in found) == names
    assert all("digest" in line for line in found)
    for name in names:
        (folder / name).unlink()
    assert sorted(differences(original.store, folder)) == [f"{name} is missing" for name in names]


def test_the_figures_of_a_report_are_not_drawn_again(
    original: Written, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Figure, "svg", None)
    monkeypatch.setattr(Figure, "pdf", None)
    assert differences(original.store, folder) == []


def test_a_run_that_is_gone_is_named_with_what_changes_without_it(original: Written, folder: Path) -> None:
    store, _, _ = original
    study, *others = store.by_experiment["movie-reviews"]
    gone = study.confirms[2].run_id
    less = replace(study, confirms=tuple(run for run in study.confirms if run.run_id != gone))
    first, *lines = differences(replace(store, by_experiment={"movie-reviews": [less, *others]}), folder)
    mentions(first, gone, "is gone")
    assert any(line.startswith(f"numbers.json: {ACCURACY} has ") for line in lines)
    assert any(line.startswith("numbers.json: scratch-scratch.seeds has ") for line in lines)


def test_a_study_and_an_experiment_that_are_gone_are_named(original: Written, folder: Path) -> None:
    store, _, _ = original
    study, *others = store.by_experiment["movie-reviews"]
    mentions(differences(replace(store, by_experiment={"movie-reviews": others}), folder)[0],
             study.run.run_id, "study scratch", "is gone")
    mentions(differences(replace(store, by_experiment={"other": [study]}), folder)[0], "experiment is gone")
    mentions(differences(replace(store, by_experiment={"movie-reviews": []}), folder)[-1], "cannot be recomputed")


def test_what_differs_is_shown_in_plain_characters(original: Written, folder: Path) -> None:
    change(folder / "numbers.json", f'"text": "{original.report.numbers[ACCURACY].text}"', r'"text": "\u001b[2J\u202e"')
    (line,) = differences(original.store, folder)
    assert line.isascii()
    assert line.isprintable()


def test_the_command_ends_with_4_and_the_differences_if_there_are_any(original: Written, folder: Path) -> None:
    store, _, report = original
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gru_bench.tracking, "open_reader", lambda uri=None: store)
        done = completed(app, "--verify", str(folder))
        assert done.returncode == 0
        mentions(done.stdout, f"all {len(report.numbers):,} numbers")
        change(folder / "report.tex", r"\val{", r"\val{x")
        done = completed(app, "--verify", str(folder))
    assert done.returncode == 4
    mentions(done.stdout, "report.tex does not match")
    mentions(done.stderr, "error: ", str(folder), "1 place:", "gru-bench report --out ")


def test_the_command_prints_the_first_differences_and_counts_all(original: Written, folder: Path) -> None:
    for name in original.report.numbers:
        change(folder / "numbers.json", f'"{name}": ', f'"other-{name}": ')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gru_bench.tracking, "open_reader", lambda uri=None: original.store)
        done = completed(app, "--verify", str(folder))
    assert done.returncode == 4
    places = 2 * len(original.report.numbers)
    *shown, rest = done.stdout.splitlines()
    assert len(shown) == 20
    mentions(rest, f"{places - 20:,} more")
    mentions(done.stderr, f"{places} places")


def test_a_store_that_is_on_another_machine_is_looked_for_in_this_directory(
    folder: Path, tmp_path: Path, empty_database: Path
) -> None:
    change(folder / "numbers.json", '"tracking_uri": "sqlite:///mlflow.db"',
           '"tracking_uri": "sqlite:////home/nobody/mlflow.db"')
    done = completed(app, "--verify", str(folder))
    assert done.returncode == 1
    mentions(done.stderr, "/home/nobody/mlflow.db", "No such file")
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    done = completed(app, "--verify", str(folder))
    assert done.returncode == 4
    mentions(done.stdout, "/home/nobody/mlflow.db", "mlflow.db in this directory", "the experiment is gone")


def test_a_run_deleted_in_mlflow_itself(tmp_path: Path, empty_database: Path) -> None:
    shutil.copy(empty_database, tmp_path / "runs.db")
    writer = gru_bench.tracking.Store(f"sqlite:///{tmp_path / 'runs.db'}")
    parent = writer.start("reviews", "torch", role="study", study="torch", fingerprint="f")
    test_set, rng = TestSet.draw(60), np.random.default_rng(0)
    runs = []
    for seed in range(3):
        run = writer.start("reviews", f"torch {seed}", role="confirm", study="torch", model="torch", fingerprint="f",
                           config=RunConfig(seed=seed), parent=parent.run_id)
        epoch = EpochRecord(1, 0.7, 0.6, 0.75, 2.0, 100.0)
        run.epoch(epoch)
        run.finish(RunResult(
            RunConfig(seed=seed), "torch", "cpu", (epoch,), (), 1, 12, 2, 4.5, None, 1000,
            {"test": test_set.predictions(rng, np.zeros(60), 0.0)}, {}, classes=test_set.classes))
        runs.append(run)
    store = gru_bench.tracking.open_reader(writer.uri)
    folder = tmp_path / "report"
    report = build(store.studies("reviews"), store, experiment="reviews", tracking_uri=store.uri)
    files.write(report, folder)
    assert differences(store, folder) == []
    client_of(writer).delete_run(writer.mlflow_id(runs[1].run_id))
    lines = differences(store, folder)
    assert lines[0] == f"the run {runs[1].run_id} is gone"
    (seeds,) = [line for line in lines if line.startswith("numbers.json: torch-torch.seeds has ")]
    mentions(seeds, "the value 3.0", "2.0")
