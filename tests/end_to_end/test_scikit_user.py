"""The script of somebody who knows scikit-learn and pandas alone runs, and finds what these lead to expect."""

from __future__ import annotations

import io
import runpy
import shutil
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support.commands import ROOT, mentions
from tests.support.sweeps import without_worker_processes

PICTURES = ("accuracy", "curves", "confusion", "search", "differences")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """A folder with comments.csv: 400 comments with an id of their own and an integer label."""
    folder = tmp_path_factory.mktemp("user")
    shutil.copy(empty_database, folder)
    generator = np.random.default_rng(3)
    words = [[f"kind{i}" for i in range(12)], [f"rude{i}" for i in range(12)]]
    neutral = [f"word{i}" for i in range(40)]
    label_N = generator.integers(0, 2, 400)
    texts = [" ".join(generator.permutation([*generator.choice(words[label], 4), *generator.choice(neutral, 8)]))
             for label in label_N]
    pd.DataFrame({"id": range(5000, 5400), "comment": texts, "toxic": label_N}).to_csv(
        folder / "comments.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Any]:
    """The variables of the script after it has run."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, without_worker_processes(), redirect_stdout(printed):
        patch.chdir(folder)
        variables = runpy.run_path(str(ROOT / "tests" / "end_to_end" / "scikit_user.py"))
    return {**variables, "printed": printed.getvalue()}


def test_the_fitted_model_is_a_classifier_of_scikit_learn(found: dict[str, Any]) -> None:
    predicted, new = found["predicted"], found["new"]
    assert found["model"].classes_.tolist() == [0, 1]
    assert predicted.index.equals(new.index)
    assert predicted.dtype == new["toxic"].dtype
    assert found["same_accuracy"] == found["accuracy"] == (predicted == new["toxic"]).mean()
    assert found["accuracy"] > 0.8
    assert ((found["toxic"] > 0.5) == (predicted == 1)).all()
    assert 0 < found["loss"] < 0.6
    assert (found["again"] == predicted.to_numpy()).all()
    assert found["reason"].label in (0, 1)
    mentions(found["printed"], "bidirectional-torch: 2", "default settings", "torch seed 10004",
             f"accuracy {found['accuracy']:.3f}")


def test_what_a_study_has_are_data_frames_of_the_users_own_values(found: dict[str, Any]) -> None:
    assert set(found["best"]) >= {"training.lr"}
    assert found["trials"]["value"].is_monotonic_decreasing
    assert set(found["accuracies"].index) >= {"bidirectional", "torch", "ngrams"}
    assert found["scores"].loc["torch", "score"] == pytest.approx(found["accuracies"]["torch"])
    assert len(found["tested_accuracy"]) == 5
    assert all(accuracy > 0.5 for accuracy in found["tested_accuracy"].values())
    texts = found["texts"]
    assert len(texts) == len(found["tested"]) > 0
    assert (texts["toxic"] == texts["label"]).all()
    assert found["pairs"]["finding"].notna().all()
    assert len(found["pairs"]) == 3


def test_pictures_are_drawn_and_comparisons_have_the_users_names(found: dict[str, Any], folder: Path) -> None:
    for kind in PICTURES:
        assert (folder / f"{kind}.png").read_bytes().startswith(b"\x89PNG")
    assert "<table" in found["verdict"]._repr_html_()
    assert [one.label for one in found["against"].findings.models] == ["gru", "never toxic"]
