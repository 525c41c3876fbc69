"""The plan: a table of states of a study, and the work that follows from each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gru_bench.results.baselines import LINEAR
from gru_bench.sweep.plan import (
    AskTrial,
    FitBaselines,
    NothingToConfirm,
    SearchState,
    StudyState,
    TrainPlanned,
    Wait,
    left_to_do,
    may_ask,
    next_work,
    to_begin,
)
from gru_bench.sweep.sharing.work import StoredTrial, baseline_key, digest, run_key
from gru_bench.sweep.spec import StudySpec, load_study
from tests.support.searches import DONE_BASELINES

STUDY = """
base = "none"
models = ["torch", "scratch"]
trials = 4
confirm = 2
[embedding]
name = "random"
dimension = 4
[space]
training.lr = { low = 1e-4, high = 1e-1, log = true }
"""
BEST = {"training.lr": 0.01}
BEST_TRIAL = StoredTrial(0, "complete", BEST, value=0.5)


def searched(ended: int, running: int = 0, **more: Any) -> SearchState:
    trials = (StoredTrial(n, "complete" if n < ended else "running", {}) for n in range(ended + running))
    return SearchState(tuple(trials), **more)


GOING, FULL, LAST = searched(0, 1), searched(4, best=BEST_TRIAL), searched(3, 1, best=BEST_TRIAL)
THREE = searched(3, best=BEST_TRIAL)
SEEDS = (10_000, 10_001)


def spec_of(**changes: Any) -> StudySpec:
    Path("study.toml").write_text(STUDY, encoding="utf-8")
    return load_study("study.toml", **changes)


def confirm(seed: int, model: str = "torch") -> str:
    return run_key(model, digest(BEST), seed)


def trial(key: str, state: Any = "complete", value: float | None = None, failed_at: int = 0) -> StoredTrial:
    return StoredTrial(0, state, {}, value=value, key=key, failed_at=failed_at, run_id=f"run of {key}")


def work_of(*trials: StoredTrial) -> dict[str, StoredTrial]:
    """Return planned work: these trials, and the baselines, which are done."""
    return {**DONE_BASELINES, **{one.key: one for one in trials}}


def confirmed(*models: str, seeds: Sequence[int] = SEEDS) -> list[StoredTrial]:
    return [trial(confirm(seed, model)) for model in models for seed in seeds]


def named(work: object) -> object:
    """A planned run by its model and seed; other work as it is."""
    match work:
        case TrainPlanned(run):
            return (run.config.model.name, run.config.seed)
    return work


@pytest.mark.parametrize(("torch", "scratch", "work", "more", "expected"), [
    # The baselines come first, unless another start fits them.
    (SearchState(), SearchState(), [trial(baseline_key("ngrams"), "waiting")], {}, FitBaselines()),
    (FULL, replace(FULL, best=None), [trial(baseline_key("ngrams"), "interrupted")], {}, FitBaselines()),
    (SearchState(), SearchState(), [trial(baseline_key("ngrams"), "running")], {}, AskTrial("torch")),
    # Searches: the first model with room comes first.
    (SearchState(), SearchState(), [], {}, AskTrial("torch")),
    (GOING, SearchState(), [], {}, AskTrial("torch")),
    (FULL, SearchState(), [], {}, AskTrial("scratch")),
    (replace(GOING, exhausted=True), SearchState(), [], {}, AskTrial("scratch")),
    # After the time limit only a first trial begins.
    (SearchState(), SearchState(), [], {"in_time": False}, AskTrial("torch")),
    (THREE, THREE, [], {"in_time": False}, ("torch", 10_000)),
    # A search is over once nothing of it runs and no other process may ask for more.
    (LAST, LAST, [], {}, Wait()),
    (replace(FULL, searched_elsewhere=True), LAST, [], {}, Wait()),
    (LAST, FULL, [], {}, ("scratch", 10_000)),
    (replace(FULL, best=None), FULL, [], {}, NothingToConfirm("torch")),
    (searched(3, 1), FULL, [], {}, ("scratch", 10_000)),
    # Confirmation runs go seed by seed.
    (FULL, FULL, [], {}, ("torch", 10_000)),
    (FULL, FULL, [trial(confirm(10_000), "running")], {}, ("scratch", 10_000)),
    (FULL, FULL, confirmed("torch", "scratch", seeds=[10_000]), {}, ("torch", 10_001)),
    (FULL, FULL, confirmed("torch", "scratch"), {}, None),
    # What was interrupted is done again, and what failed before this start.
    (FULL, FULL, [trial(confirm(10_000), "interrupted")], {}, ("torch", 10_000)),
    (FULL, FULL, [trial(confirm(10_000), "failed", failed_at=2)], {"start": 3}, ("torch", 10_000)),
    (FULL, FULL, [trial(confirm(10_000), "failed", failed_at=3)], {"start": 3}, ("scratch", 10_000)),
    # The runs of another start are waited for.
    (LAST, FULL, [trial(confirm(seed, "scratch"), "running") for seed in SEEDS], {}, Wait()),
    (LAST, FULL, confirmed("scratch"), {}, Wait()),
])
def test_what_is_next(
    torch: SearchState, scratch: SearchState, work: list[StoredTrial], more: dict[str, Any],
    expected: object
) -> None:
    state = StudyState(spec_of(), {"torch": torch, "scratch": scratch}, work_of(*work), **more)
    assert named(next_work(state)) == expected
    assert named(next_work(state)) == expected  # nothing has changed by that


def test_a_study_ends_once_each_baseline_is_fitted_or_has_failed() -> None:
    spec = spec_of()
    state = StudyState(spec, {"torch": FULL, "scratch": FULL}, work_of(*confirmed("torch", "scratch")))
    assert (state.is_complete, next_work(state)) == (True, None)
    key = baseline_key("ngrams")
    for end, failed_at, is_complete, is_free in (
            (None, 0, False, True), ("running", 0, False, False), ("interrupted", 0, False, True),
            ("failed", 1, True, False), ("failed", 0, False, True)):
        work = {one: known for one, known in state.work.items() if one != key}
        one = replace(state, work=work if end is None else {**work, key: trial(key, end, failed_at=failed_at)})
        assert (one.is_complete, one.free_baselines == ["ngrams"]) == (is_complete, is_free)
        assert next_work(one) == (None if is_complete else FitBaselines() if is_free else Wait())
        assert any("ngrams" in left for left in left_to_do(one)) == (end != "running")


def test_a_study_keeps_the_baselines_with_which_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    state = StudyState(spec_of(), {"torch": FULL, "scratch": FULL}, work_of(*confirmed("torch", "scratch")))
    monkeypatch.setitem(LINEAR, "words", replace(LINEAR["tfidf"], name="words"))
    assert (state.is_complete, next_work(state)) == (True, None)
    begun_now = StudyState(state.spec, state.searches, state.work)
    assert (begun_now.is_complete, begun_now.free_baselines) == (False, ["words"])


def test_counts_what_no_process_has_begun() -> None:
    spec = spec_of()
    state = StudyState(spec, {"torch": GOING, "scratch": FULL}, work_of(trial(confirm(10_000, "scratch"))))
    assert to_begin(state) == Counter({
        ("torch", "trial"): 3, ("torch", "confirm"): 2, ("scratch", "confirm"): 1})
    tuned = StudyState(spec, {"torch": FULL, "scratch": FULL}, work_of(*confirmed("torch", "scratch")))
    assert to_begin(tuned).total() == 0


def test_a_start_may_ask_for_trials_until_there_is_no_room_or_time() -> None:
    spec = spec_of()
    for search, in_time, expected in ((GOING, True, True), (FULL, True, False), (GOING, False, False),
                                      (SearchState(), False, True)):
        assert may_ask(StudyState(spec, {"torch": search, "scratch": FULL}, {}, in_time=in_time), "torch") == expected
