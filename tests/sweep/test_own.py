"""How many runs of a model of the user's own are left to a start of a study."""

from __future__ import annotations

import pytest

from gru_bench.results.looks import Look
from gru_bench.sweep.own import _runs_left
from gru_bench.sweep.plan import SearchState, StudyState
from gru_bench.sweep.sharing.trials import StoredState, StoredTrial, digest, run_key
from gru_bench.sweep.spec import load_study

BEST = {"training.lr": 0.01}


def left(trials: tuple[StoredState, ...], confirmed: int = 0, *looks: Look, **changes: object) -> int:
    spec = load_study("torch", **{"trials": 4, "confirm": 5, **changes}).with_stored()
    keys = [run_key("torch", "confirm", digest(BEST), seed) for seed in spec.confirm_seeds]
    work = {key: StoredTrial(n, "complete", {}) for n, key in enumerate(keys[:confirmed])}
    search = SearchState(tuple(StoredTrial(n, state, {}) for n, state in enumerate(trials)),
                         best=StoredTrial(0, "complete", BEST))
    return _runs_left(StudyState(spec, {"torch": search}, work, looks=spec.plan(""), taken=looks), "torch")


@pytest.mark.parametrize(("found", "expected"), [
    (left(()), 4 + 5), (left(("complete", "interrupted", "waiting")), 3 + 5),
    (left(("complete",), seeds_per_trial=2, pruner="none"), 3 * 2 + 5),
    (left(("complete", "pruned", "failed", "complete"), 2), 3), (left(("complete",) * 6, 5), 0),
    (left(("complete",) * 4, confirm=None, looks=[2, 5]), 5),
    (left(("complete",) * 4, 2, Look(2, {"torch": (10_000, 10_001)}, (), stops=True), confirm=None, looks=[2, 5]), 0)])
def test_runs_that_a_start_has_done_are_not_left(found: int, expected: int) -> None:
    assert found == expected
