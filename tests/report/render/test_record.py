"""The record of a report holds every number with what it rests on, and no password."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gru_bench.errors import DataError, UsageError
from gru_bench.report.render import record
from tests.support.fake_store import Studies, TestSet, one_each
from tests.support.renderings import Written
from tests.support.reports import build


def test_every_number_is_recorded_with_what_it_rests_on(original: Written) -> None:
    _, folder, report = original
    found, numbers = json.loads((folder / "numbers.json").read_text(encoding="utf-8")), report.numbers
    assert set(found["numbers"]) == set(numbers)
    accuracy = numbers["scratch-scratch.accuracy"]
    assert found["numbers"][accuracy.key] == {
        "value": accuracy.value, "text": accuracy.text, "kind": "percent", "n": 100,
        "interval": [accuracy.low, accuracy.high], "interval_text": [end.text for end in accuracy.ends],
        "method": accuracy.method, "runs": list(accuracy.runs)}
    loss = found["numbers"]["scratch-scratch.loss"]
    by_run = [run.metrics["score/test_loss"] for study in original.store.by_experiment["movie-reviews"]
              for run in study.confirms if run.run_id in loss["runs"]]
    assert loss["interval"] is loss["interval_text"] is None
    assert loss["range"] == pytest.approx([min(by_run), max(by_run)], abs=1e-6)
    assert loss["range_text"] == [f"{value:.3f}" for value in loss["range"]]
    assert set(accuracy.runs) <= set(record.read(folder).runs)
    assert found["digests"] == {
        path.relative_to(folder).as_posix(): record.digest(path.read_bytes())
        for path in folder.rglob("*.*") if path.name != "numbers.json"}
    assert found["tracking_uri"] == "sqlite:///mlflow.db"
    assert [study["name"] for study in found["studies"]] == ["scratch", "torch"]


@pytest.fixture(scope="module")
def least() -> Studies:
    """A study whose report is made quickly."""
    return one_each({"torch": 0.0}, test_set=TestSet.draw(40), search=False, seeds=1, epochs=1)


@pytest.mark.parametrize(("uri", "shown"), [
    ("https://me:secret@host:5000/x", "https://host:5000/x"), ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ("postgresql://me:secret@host/runs", "postgresql://host/runs"),
    ("sqlite:////elsewhere/runs.db", "sqlite:////elsewhere/runs.db"),
])
def test_no_password_is_recorded(least: Studies, uri: str, shown: str) -> None:
    store, studies = least
    found = json.loads(record.recorded(build(studies, store, tracking_uri=uri), {}))
    assert found["tracking_uri"] == shown
    assert "secret" not in json.dumps(found)


def test_a_file_below_the_working_directory_is_named_from_there(least: Studies, tmp_path: Path) -> None:
    store, studies = least
    report = build(studies, store, tracking_uri=f"sqlite:///{tmp_path}/below/runs.db")
    assert json.loads(record.recorded(report, {}))["tracking_uri"] == "sqlite:///below/runs.db"


@pytest.mark.parametrize(("text", "named"), [("{", "numbers.json"), ("[]", "numbers.json"), ('{"format": 1}', "exper"),
                                             pytest.param('{"a":' * 100_000, "numbers.json", id="nested deep")])
def test_a_damaged_record_is_refused(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "numbers.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=rf"{named}.*gru-bench report --out "):
        record.read(tmp_path)


@pytest.mark.parametrize(("key", "value"), [
    ("format", 0), ("margin", 0), ("on_test", {"0": {"models": [["a"]], "studies": 1}}),
    ("on_test", {"0": {"models": [], "studies": -1}}), ("on_test", {"0": {"models": [], "studies": 10**200}}),
    ("on_test", {"0": 1}), ("studies", [{"run": 1}]), ("numbers", []), ("numbers", {"a": {"value": "1"}}),
    ("digests", {"a": 1}),
    ("digests", {"../report.html": ""}), ("digests", {"/report.html": ""})])
def test_a_record_with_an_impossible_value_is_refused(folder: Path, key: str, value: object) -> None:
    found = json.loads((folder / "numbers.json").read_text(encoding="utf-8"))
    (folder / "numbers.json").write_text(json.dumps({**found, key: value}), encoding="utf-8")
    with pytest.raises(DataError, match=rf"\({key}\b"):
        record.read(folder)


def test_a_folder_without_a_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"No report in .*numbers\.json.*gru-bench report --out "):
        record.read(tmp_path)
