"""benchmarks/fraction.py queues the trials of a part of a study in a form that a sweep continues."""

from __future__ import annotations

from pathlib import Path

from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.study import StudyRecord
from tests.support.benchmarks import benchmark


def test_a_sweep_continues_the_trials_that_are_drawn_beforehand(tmp_path: Path) -> None:
    fraction = benchmark("fraction").Fraction("bidirectional", 2, 0, None, None, ())
    fraction.queue(tmp_path)
    record = StudyRecord(fraction.spec(), open_storage(str(tmp_path / "optuna.journal")), "f" * 64)
    assert [trial.state for trial in record.searches["bidirectional"].stored] == ["waiting", "waiting"]
