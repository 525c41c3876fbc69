"""Which studies are finished, and the command that finishes one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gru_bench.evidence.progress import is_finished, not_finished, typed
from gru_bench.tracking import LoggedStudy
from tests.support.commands import mentions
from tests.support.fake_store import FakeStore, TestSet, add_study, with_params

FEW = TestSet.draw(60)


@pytest.fixture
def study() -> LoggedStudy:
    """A study with three complete confirmation runs and one that failed."""
    return add_study(FakeStore(), "tuned", {"torch": 0.0}, seeds=3, failed=1, test_set=FEW, trials=5)


def test_a_study_with_nothing_left_to_do_is_finished_whether_runs_failed_or_not(study: LoggedStudy) -> None:
    assert is_finished(study)
    assert not is_finished(replace(study, summary=None))
    assert not is_finished(replace(study, confirms=study.confirms[1:]))
    assert not is_finished(replace(study, confirms=()))
    assert not is_finished(replace(study, damaged="its summary is damaged"))


def test_the_command_that_finishes_a_study_is_named(study: LoggedStudy) -> None:
    mentions(str(not_finished(replace(study, summary=None))), "tuned", "complete trials: 3",
             "complete confirmation runs: 3", ": python sweeps/run.py --study tuned")
    searched = with_params(replace(study, confirms=()), confirm="0")
    assert str(not_finished(searched)).endswith(": python sweeps/run.py --study tuned --confirm 5")
    unknown = replace(study, summary=None, run=replace(
        study.run, tags={**study.run.tags, "mlflow.source.name": "train.py"}))
    assert str(not_finished(unknown)).endswith(": run its command again")
    lost = add_study(FakeStore(), "lost", {"torch": 0.0}, seeds=0, failed=2, test_set=FEW)
    mentions(str(not_finished(lost)), "all of the study lost failed")


@pytest.mark.parametrize(("recorded", "words"), [
    ("run.py --study smoke", ["python sweeps/run.py", "--study", "smoke"]),
    ("gru-bench sweep --study smoke", ["gru-bench sweep", "--study", "smoke"]),
    ("__main__.py sweep --study 'my own.toml'", ["python -m gru_bench sweep", "--study", "my own.toml"]),
    ("__main__.py --study smoke", ["python -m gru_bench.sweep", "--study", "smoke"]),
    ("gru-bench sweep --storage postgresql://me:secret@x/y", ["gru-bench sweep", "--storage", "postgresql://x/y"]),
    ("gru-bench", []), ("gru-bench train --lr 1", []), ("my-script.py --study smoke", []), ("run.py 'x", []), ("", []),
])
def test_a_recorded_command_becomes_one_that_can_be_typed(recorded: str, words: list[str]) -> None:
    assert typed(recorded) == words
