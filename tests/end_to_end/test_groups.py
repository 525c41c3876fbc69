"""Reviews in groups, from a file with known ones to the sweep, the report and Python."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gru_bench as gb
from gru_bench.__main__ import app
from gru_bench.errors import ExitCode
from gru_bench.stats.estimate import accuracy_interval
from tests.support.commands import completed, mentions
from tests.support.sweeps import STUDY, sweep

pytestmark = pytest.mark.slow
FILM = ("--group-column", "film", "--id-column", "key")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 1,200 reviews of 240 films. Each film has one class, and words of its own."""
    rng = np.random.default_rng(0)
    film_N = np.repeat(np.arange(240), 5)
    words = np.array([f"w{n}" for n in range(40)])
    rows = [{
        "key": f"r{n}", "film": f"film {film}", "label": "good" if film % 2 else "bad",
        "text": " ".join([*rng.choice(words, 6), f"film{film}",
                          "fine" if (film % 2) ^ (rng.random() < 0.2) else "poor"]),
    } for n, film in enumerate(film_N.tolist())]
    path = tmp_path_factory.mktemp("films") / "films.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, films: Path, empty_database: Path) -> Path:
    """A folder in which a study of the films was run."""
    folder = tmp_path_factory.mktemp("swept")
    shutil.copy(empty_database, folder)
    text = STUDY.replace("confirm = 2", "confirm = 5").replace("trials = 3", "trials = 1")
    (folder / "quick.toml").write_text(text, encoding="utf-8")
    done = completed(app, "sweep", "--study", "quick.toml", "--data", str(films), *FILM, "--workers", "1", cwd=folder)
    assert done.returncode == 0, done.stderr
    mentions(done.stdout, "in 192, 24 and 24 groups of column 'film'")
    return folder


def numbers(folder: Path, name: str) -> dict[str, Any]:
    """Write the report of a study, and return its numbers by their keys."""
    done = completed(app, "report", "--study", "quick", "--out", name, "--tables", name, cwd=folder)
    assert done.returncode == 0, done.stderr
    verified = completed(app, "report", "--verify", name, cwd=folder)
    assert verified.returncode == 0, verified.stderr
    return dict(json.loads((folder / name / "numbers.json").read_text(encoding="utf-8"))["numbers"])


def test_the_report_allows_for_the_groups_and_its_predictions_join_to_the_file(swept: Path, films: Path) -> None:
    found = next(one for key, one in numbers(swept, "page").items() if key.endswith("quick-torch.accuracy"))
    rows = pd.read_csv(swept / "page" / "predictions.csv")
    of_file = pd.read_csv(films)
    joined = rows.merge(of_file, left_on="row", right_on="key", suffixes=("", "_file"), validate="many_to_one")
    assert len(joined) == len(rows) == 5 * 120
    assert (joined["label"] == joined["label_file"]).all()
    assert (joined["group"] == joined["film"]).all()
    right = rows.pivot_table(index="seed", columns="example", values="correct", aggfunc="first").astype(bool)
    group = rows.drop_duplicates("example").set_index("example")["group"][right.columns]
    strata = rows.groupby("group")["label"].agg(lambda own: own.mode()[0])
    wanted = accuracy_interval(right.to_numpy(), group.to_numpy(), strata.loc[group].to_numpy())
    assert found["interval"] == pytest.approx((wanted.low, wanted.high), abs=1e-12)
    assert wanted.low != accuracy_interval(right.to_numpy()).low
    mentions((swept / "page" / "report.md").read_text(encoding="utf-8"), "account for the 24 groups", "(column ‘film’)")
    done = completed(app, "report", "--study", "quick", "--json", cwd=swept)
    one, *_ = json.loads(done.stdout)["models"]
    assert (one["groups"], one["group_columns"]) == (24, ["film"])


def test_predictions_in_python_have_groups_and_names(swept: Path) -> None:
    found = gb.open_study("quick", folder=swept).predictions()
    assert {"seed", "example", "row", "group", "probability"} <= set(found.columns)
    assert set(found["group"].str.partition(" ")[0]) == {"film"}


def test_a_study_is_not_continued_with_other_groups(swept: Path, films: Path, tmp_path: Path) -> None:
    shutil.copytree(swept, tmp_path / "copy")
    done = sweep(tmp_path / "copy", films, *FILM[2:], "--set", "data.group_column=none")
    assert done.returncode == ExitCode.MISTYPED
    mentions(done.stderr, "data.group_column was film", "name")


def test_a_study_that_began_without_groups_is_not_continued_with_them(
    films: Path, tmp_path: Path, empty_database: Path
) -> None:
    shutil.copy(empty_database, tmp_path)
    begun = sweep(tmp_path, films, *FILM[2:], "--set", "data.group_column=none", "--limit", "200")
    assert begun.returncode == 0, begun.stderr
    mentions(begun.stdout, "warning: Groups are turned off")
    claimed = completed(app, "report", "--study", "quick", "--claim", "torch > tfidf", cwd=tmp_path)
    assert claimed.returncode == ExitCode.MISTYPED
    mentions(claimed.stderr, "--claim needs groups")
    done = sweep(tmp_path, films, *FILM, "--limit", "200")
    assert done.returncode == ExitCode.MISTYPED
    mentions(done.stderr, "data.group_column was none and is now film", "name")


def test_a_frame_keeps_the_names_of_its_rows(films: Path, tmp_path: Path) -> None:
    settings = {"embedding.dimension": 8, "model.hidden_size": 4, "training.log_every": 5, "training.batch_size": 32}
    frame = pd.read_csv(films)
    study = gb.run_study(frame, columns={"group": "film", "id": "key"}, model="torch", trials=0, confirm=1,
                         epochs=1, name="frame", settings=settings, folder=tmp_path, workers=1, progress=False)
    joined = study.predictions().merge(frame, left_on="row", right_on="key", suffixes=("", "_file"))
    assert len(joined) == 120
    assert (joined["group"] == joined["film"]).all()
