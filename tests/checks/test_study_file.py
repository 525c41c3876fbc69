"""A study file is checked before anything runs: each check finds the file made for it, and nothing in a sound one."""

from __future__ import annotations

from pathlib import Path

import pytest

from gru_bench.checks.study_file import file_remarks
from gru_bench.sweep.spec import known_studies, load_study
from tests.support.commands import mentions
from tests.support.studies import study_file

SOUND = """
models = ["scratch", "torch"]
trials = 6
confirm = 5
[data]
name = "train.csv"
test_name = "test.csv"
limit = 20000
[training]
epochs = 3
batch_size = 64
log_every = 100
[ablations]
model = "torch"
seeds = 5
[ablations.other.pooling]
question = "Which state?"
settings = { model.pooling = "last" }
[space]
training.lr = { low = 1e-3, high = 1e-2 }
"""


def test_finds_nothing_in_a_sound_file(tmp_path: Path) -> None:
    assert file_remarks([load_study(study_file(tmp_path, SOUND))]) == []


@pytest.mark.parametrize(("changed", "to", "code", "parts"), [
    ("confirm = 5", "confirm = 4", "GRU003", ["mine", "confirm", "4 seeds"]),
    ("confirm = 5", "confirm = 1", "GRU003", ["mine", "confirm", "1 seed"]),
    ("seeds = 5", "seeds = 2", "GRU003", ["mine", "ablations", "2 seeds"]),
    ('"test.csv"', '"./train.csv"', "GRU004", ["mine", "train.csv"]),
    ("limit = 20000", "limit = 640", "GRU011", ["mine", "640 reviews", "10"]),
])
def test_finds_what_is_wrong_in_a_file(
    tmp_path: Path, changed: str, to: str, code: str, parts: list[str]
) -> None:
    found = file_remarks([load_study(study_file(tmp_path, SOUND.replace(changed, to)))])
    assert {one.code for one in found} == {code}
    mentions(found[0].sentence, *parts)


def test_a_search_alone_needs_no_seeds(tmp_path: Path) -> None:
    assert file_remarks([load_study(study_file(tmp_path, SOUND.replace("confirm = 5", "confirm = 0")))]) == []


def test_counts_the_iterations_of_an_epoch_where_the_reviews_are_known(tmp_path: Path) -> None:
    spec = load_study(study_file(tmp_path, SOUND))
    assert file_remarks([spec], 6_400) == []
    scratch, torch = file_remarks([spec], 6_300)
    mentions(scratch.sentence, "scratch", "100", "6,300 reviews", "99")
    mentions(torch.sentence, "torch", "100")


def test_compares_the_budgets_of_files_that_read_the_same_data(tmp_path: Path) -> None:
    spec = load_study(study_file(tmp_path, SOUND))
    assert file_remarks([spec, spec.model_copy(update={"name": "two", "models": ["scratch"]})]) == []
    longer = spec.model_copy(update={"name": "longer", "trials": 60})
    (remark,) = file_remarks([spec, longer])
    assert remark.code == "GRU002"
    mentions(remark.sentence, "mine has 6 trials", "3 epochs", "longer has 60")
    (remark,) = file_remarks([spec, spec.model_copy(update={"name": "fixed", "trials": 0})])
    mentions(remark.sentence, "fixed has no search")
    elsewhere = longer.model_copy(update={"base": load_study("bidirectional").base})
    assert file_remarks([spec, elsewhere]) == []


def test_the_studies_that_come_with_the_package_are_sound_but_for_smoke() -> None:
    found = {name: [one.code for one in file_remarks([load_study(name)])] for name in known_studies()}
    assert found.pop("smoke") == ["GRU003"]  # its accuracies mean nothing, and it says so
    assert not any(found.values())
