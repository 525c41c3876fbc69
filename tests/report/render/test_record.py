"""The record of a report holds every number with what it rests on, and no password."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gru_bench.errors import DataError, UsageError
from gru_bench.report.build import build
from gru_bench.report.render import record
from tests.support.renderings import Written


def test_every_number_is_recorded_with_what_it_rests_on(original: Written) -> None:
    _, folder, report = original
    found = json.loads((folder / "numbers.json").read_text(encoding="utf-8"))
    assert set(found["numbers"]) == set(report.numbers())
    accuracy = report.numbers()["scratch-scratch.accuracy"]
    assert found["numbers"][accuracy.key] == {
        "value": accuracy.value, "text": accuracy.text, "kind": "percent", "n": 400,
        "interval": [accuracy.low, accuracy.high], "interval_text": [end.text for end in accuracy.ends],
        "method": accuracy.method, "runs": list(accuracy.runs)}
    assert set(accuracy.runs) <= set(found["runs"])
    assert found["tracking_uri"] == "sqlite:///mlflow.db"
    assert [study["name"] for study in found["studies"]] == ["scratch", "torch", "bidirectional"]


@pytest.mark.parametrize(("uri", "shown"), [
    ("https://me:secret@host:5000/x", "https://host:5000/x"), ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ("postgresql://me:secret@host/runs", "postgresql://host/runs"), ("sqlite:////elsewhere/runs.db", "sqlite:////elsewhere/runs.db"),
])
def test_no_password_is_recorded(original: Written, uri: str, shown: str) -> None:
    store, _, _ = original
    report = build(store.by_experiment["movie-reviews"], store, tracking_uri=uri)
    assert record.record(report)["tracking_uri"] == shown
    assert "secret" not in json.dumps(record.record(report))


def test_a_file_below_the_working_directory_is_named_from_there(original: Written, tmp_path: Path) -> None:
    store, _, _ = original
    report = build(store.by_experiment["movie-reviews"], store, tracking_uri=f"sqlite:///{tmp_path}/below/runs.db")
    assert record.record(report)["tracking_uri"] == "sqlite:///below/runs.db"


@pytest.mark.parametrize(("text", "message"), [
    ("{", "must be a record that a report left"), ("[]", "must be a record"), ('{"format": 1}', "'experiment'"),
])
def test_a_damaged_record(folder: Path, text: str, message: str) -> None:
    (folder / "numbers.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        record.read(folder)


def test_a_folder_without_a_report(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--verify must name the folder of a report, but there is no"):
        record.read(tmp_path)
