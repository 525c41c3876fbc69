"""A study file is checked before anything runs: each check fires on a file made for it, and not on a sound one."""

from __future__ import annotations

from pathlib import Path

import pytest

from gru_bench.checks.study_file import file_remarks
from gru_bench.sweep.spec import known_studies, load_study
from tests.support.studies import study_file

SOUND = """
models = ["scratch", "torch"]
trials = 6
confirm = 5
[data]
name = "train.csv"
test_name = "test.csv"
limit = 20000
[ablations]
model = "torch"
seeds = 5
[ablations.other.pooling]
question = "Which state?"
settings = { model.pooling = "last" }
[space]
training.lr = { low = 1e-3, high = 1e-2 }
"""


def test_a_sound_file_has_no_remarks(tmp_path: Path) -> None:
    assert file_remarks([load_study(study_file(tmp_path, SOUND))]) == []


@pytest.mark.parametrize(("changed", "to", "code", "words"), [
    ("confirm = 5", "confirm = 4", "GRU003", "mine confirms each model on 4 seeds: too few for a verdict."),
    ("confirm = 5", "confirm = 1", "GRU003", "mine confirms each model on 1 seed: too few for a verdict."),
    ("seeds = 5", "seeds = 2", "GRU003", "mine compares its ablations on 2 seeds"),
    ('"test.csv"', '"./train.csv"', "GRU004", "mine has the same file for training and test: train.csv."),
    ("limit = 20000", "limit = 640", "GRU011", "an epoch of at most 640 reviews has 10, so that no window fills."),
])
def test_each_check_fires_on_a_file_made_for_it(
    tmp_path: Path, changed: str, to: str, code: str, words: str
) -> None:
    found = file_remarks([load_study(study_file(tmp_path, SOUND.replace(changed, to)))])
    assert {one.code for one in found} == {code}
    assert words in found[0].sentence


def test_a_search_alone_needs_no_seeds(tmp_path: Path) -> None:
    assert file_remarks([load_study(study_file(tmp_path, SOUND.replace("confirm = 5", "confirm = 0")))]) == []


def test_windows_are_counted_where_the_reviews_are_known(tmp_path: Path) -> None:
    spec = load_study(study_file(tmp_path, SOUND))
    assert file_remarks([spec], 6_400) == []
    scratch, torch = file_remarks([spec], 6_300)
    assert "of scratch has 100 iterations, but an epoch of 6,300 reviews has 99, so that" in scratch.sentence
    assert "of torch has 100" in torch.sentence


def test_files_are_compared_where_they_read_the_same_data(tmp_path: Path) -> None:
    spec = load_study(study_file(tmp_path, SOUND))
    assert file_remarks([spec, spec.model_copy(update={"name": "two", "models": ["scratch"]})]) == []
    longer = spec.model_copy(update={"name": "longer", "trials": 60})
    (remark,) = file_remarks([spec, longer])
    assert remark.code == "GRU002"
    assert "mine has 6 trials for each model of up to 3 epochs over 1 settings; longer has 60" in remark.sentence
    (remark,) = file_remarks([spec, spec.model_copy(update={"name": "fixed", "trials": 0})])
    assert "fixed has no search" in remark.sentence
    elsewhere = longer.model_copy(update={"base": load_study("bidirectional").base})
    assert file_remarks([spec, elsewhere]) == []


def test_the_studies_that_come_with_the_package() -> None:
    found = {name: [one.code for one in file_remarks([load_study(name)])] for name in known_studies()}
    assert found.pop("smoke") == ["GRU003"]  # its accuracies mean nothing, and it says so
    assert not any(found.values())
