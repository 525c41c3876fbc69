"""How many runs of a model of the user's own are left to a start of a study."""

from __future__ import annotations

import pytest

from gru_bench.results.looks import Look
from gru_bench.sweep.own import _runs_left
from gru_bench.sweep.sharing.trials import StoredState, StoredTrial
from gru_bench.sweep.spec import load_study
from gru_bench.sweep.study import StoredSearch, StoredStudy


def stored(trials: tuple[StoredState, ...], confirmed: int, *looks: Look) -> StoredStudy:
    work = {f"torch confirm 3fa9 {10_000 + n}": StoredTrial(n, "complete", {}) for n in range(confirmed)}
    work["torch confirm 3fa9 10009"] = StoredTrial(9, "running", {})
    work["scratch confirm 3fa9 10000"] = StoredTrial(10, "complete", {})
    search = StoredSearch({}, tuple(StoredTrial(n, state, {}) for n, state in enumerate(trials)), None, False)
    return StoredStudy({"torch": search}, work, looks)


@pytest.mark.parametrize(("study", "left"), [
    (StoredStudy({}, {}), 4 + 5), (stored(("complete", "interrupted", "waiting"), 0), 3 + 5),
    (stored(("complete", "pruned", "failed", "complete"), 2), 3), (stored(("complete",) * 6, 5), 0),
    (stored(("complete",) * 4, 3, Look(3, {}, (), stops=True)), 0)])
def test_runs_that_a_start_has_done_are_not_left(study: StoredStudy, left: int) -> None:
    assert _runs_left(load_study("torch", trials=4, confirm=5), "torch", study) == left
