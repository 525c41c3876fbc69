"""How many runs of a model of the user's own are left to a start of a study, and how long they may take."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gru_bench.errors import UsageError
from gru_bench.sweep.own import _runs_left, checked_models
from gru_bench.sweep.plan import SearchState, StudyState
from gru_bench.sweep.sharing.trials import StoredState, StoredTrial, digest, run_key
from gru_bench.sweep.spec import load_study
from tests.support.commands import mentions

BEST = {"training.lr": 0.01}


def left(trials: tuple[StoredState, ...], confirmed: int = 0, **changes: object) -> int:
    spec = load_study("torch", **{"trials": 4, "confirm": 5, **changes})
    keys = [run_key("torch", digest(BEST), seed) for seed in spec.confirm_seeds]
    work = {key: StoredTrial(n, "complete", {}) for n, key in enumerate(keys[:confirmed])}
    search = SearchState(tuple(StoredTrial(n, state, {}) for n, state in enumerate(trials)),
                         best=StoredTrial(0, "complete", BEST))
    return _runs_left(StudyState(spec, {"torch": search}, work), "torch")


@pytest.mark.parametrize(("found", "expected"), [
    (left(()), 4 + 5), (left(("complete", "interrupted", "waiting")), 3 + 5),
    (left(("complete", "pruned", "failed", "complete"), 2), 3), (left(("complete",) * 6, 5), 0)])
def test_runs_that_a_start_has_done_are_not_left(found: int, expected: int) -> None:
    assert found == expected


class Texts:
    """So many texts of 100 tokens."""

    def __init__(self, count: int) -> None:
        self.count, self.offsets_N1 = count, [0, 100 * count]

    def __len__(self) -> int:
        return self.count


def test_training_for_more_than_an_hour_is_refused_unless_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("homework.py").write_text("class MyGRU: pass\n", encoding="utf-8")
    monkeypatch.setattr("gru_bench.models.own.seconds_of_batch", lambda *_, **__: 2.0)

    def start(count: int, **more: Any) -> str:
        """Start with so many training texts and return what is printed."""
        said = list[str]()
        spec = load_study("own", models=["torch", "homework.py:MyGRU"],
                          settings={"training.epochs": 20, "training.batch_size": 64})
        searches = {model: SearchState((), identity={"data": "known"}) for model in spec.models}
        corpus: Any = SimpleNamespace(train=Texts(count))
        console = SimpleNamespace(print=lambda line, **_: said.append(line))
        assert checked_models(StudyState(spec, searches, {}), corpus, console, workers=2, threads=1,
                              **{"allow_slow": False, **more}) == {}
        (line,) = said
        return line

    # 5 runs of 20 epochs of 64 texts a batch, two at a time
    mentions(start(64 * 30), "homework.py:MyGRU", "about 50 min 0 s", "5 runs")
    with pytest.raises(UsageError, match=r"within 1 h 0 min.*about 1 h 6 min.*limit"):
        start(64 * 40)
    mentions(start(64 * 40, allow_slow=True), "about 1 h 6 min")
