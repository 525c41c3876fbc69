"""The studies that come with the repository can be read, and their reports verified."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gru_bench.report import verify
from gru_bench.report.__main__ import app as report_app
from gru_bench.report.build import build
from gru_bench.report.render import record
from tests.support.archives import imported, stores
from tests.support.commands import ROOT, typed

EXAMPLE = ROOT / "reports" / "example"


@pytest.fixture(scope="module")
def homework(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """A machine with the study of the homework. No test may change it."""
    directory = tmp_path_factory.mktemp("homework")
    shutil.copy(empty_database, directory)
    imported(EXAMPLE / "homework.study", directory)
    return directory


@pytest.mark.parametrize(("name", "experiment", "models"), [
    ("homework", "sentiment_dataset_train_amazon14", {"scratch", "torch", "bidirectional"}),
    ("bidirectional", "movie-reviews", {"bidirectional"}),
    ("amazon", "sentiment_dataset_train_amazon14", {"bidirectional"}),
])
def test_an_example_comes_in_whole(
    name: str, experiment: str, models: set[str], near: Path, request: pytest.FixtureRequest
) -> None:
    """Studies that come with the repository: no reviews, and every run that is complete can be read."""
    if name == "homework":
        near = request.getfixturevalue("homework")
    else:
        imported(EXAMPLE / f"{name}.study", near)
    store, _ = stores(near)
    (study,) = store.studies(experiment)
    done = [run for run in study.confirms if run.complete]
    assert {run.model for run in done} == models
    for run in done:
        found = store.predictions(run.run_id, "test")
        right = np.mean((found.probability_N > 0.5) == found.label_N)
        assert right == pytest.approx(run.metrics["score/test_accuracy"])
    assert store.texts(study.run.run_id, "test") is None


@pytest.mark.parametrize(("example", "studies"), [
    pytest.param("homework", ["homework"], marks=pytest.mark.service),  # its figures take ten seconds
    pytest.param("amazon", ["amazon"], marks=pytest.mark.service),
    ("tuned", ["bidirectional", "torch", "scratch"])])
def test_an_example_is_verified_by_the_commands_of_its_pages(
    example: str, studies: list[str], near: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in studies:
        imported(EXAMPLE / f"{name}.study", near)
    assert typed(report_app, "--verify", str(EXAMPLE / example)) == 0, capsys.readouterr().out
    assert re.search(r": all \d+ numbers are what \d+ runs in .*mlflow\.db give", capsys.readouterr().out)
    pages = [ROOT / "reports" / "README.md", *([ROOT / "docs" / "homework.md"] if example == "homework" else [])]
    for page in pages:
        said = page.read_text(encoding="utf-8")
        for name in studies:
            assert f"gru-bench archive import $E/{name}.study\n" in said
        assert f"python -m gru_bench.report --verify $E/{example}\n" in said


def test_the_homework_example_is_what_its_study_gives(homework: Path) -> None:
    (study,) = stores(homework)[0].studies("sentiment_dataset_train_amazon14")
    kept = json.loads((EXAMPLE / "homework" / "numbers.json").read_text(encoding="utf-8"))
    found = verify._reported_study(kept["studies"][0]["run"], "homework", [study])
    assert found is not None
    view: Any = verify._StoreWithReportIds(stores(homework)[0], found.ids, {})
    ours = record.record(build([found.study], view, experiment=kept["experiment"], known_studies=kept["known_studies"]))
    assert ours["numbers"].keys() == kept["numbers"].keys()
    for part in ("text", "runs"):
        assert {key: number[part] for key, number in ours["numbers"].items()} == {
            key: number[part] for key, number in kept["numbers"].items()}
