"""How many runs of a model of the user's own are left to a start of a study, and how long they may take."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gru_bench.errors import UsageError
from gru_bench.results.interim import InterimAnalysis
from gru_bench.sweep.own import MOST_SECONDS, _runs_left, checked_models
from gru_bench.sweep.plan import SearchState, StudyState
from gru_bench.sweep.sharing.trials import StoredState, StoredTrial, digest, run_key
from gru_bench.sweep.spec import load_study

BEST = {"training.lr": 0.01}


def left(trials: tuple[StoredState, ...], confirmed: int = 0, *analyses: InterimAnalysis, **changes: object) -> int:
    spec = load_study("torch", **{"trials": 4, "confirm": 5, **changes}).with_stored()
    keys = [run_key("torch", "confirm", digest(BEST), seed) for seed in spec.confirm_seeds]
    work = {key: StoredTrial(n, "complete", {}) for n, key in enumerate(keys[:confirmed])}
    search = SearchState(tuple(StoredTrial(n, state, {}) for n, state in enumerate(trials)),
                         best=StoredTrial(0, "complete", BEST))
    return _runs_left(StudyState(spec, {"torch": search}, work, interim=spec.plan(""), taken=analyses), "torch")


@pytest.mark.parametrize(("found", "expected"), [
    (left(()), 4 + 5), (left(("complete", "interrupted", "waiting")), 3 + 5),
    (left(("complete", "pruned", "failed", "complete"), 2), 3), (left(("complete",) * 6, 5), 0),
    (left(("complete",) * 4, confirm=None, interim=[2, 5]), 5),
    (left(("complete",) * 4, 2, InterimAnalysis(2, {"torch": (10_000, 10_001)}, (), stops=True), confirm=None,
          interim=[2, 5]), 0)])
def test_runs_that_a_start_has_done_are_not_left(found: int, expected: int) -> None:
    assert found == expected


class Texts:
    """So many texts of 100 tokens."""

    def __init__(self, count: int) -> None:
        self.count, self.offsets_N1 = count, [0, 100 * count]

    def __len__(self) -> int:
        return self.count


def test_a_refusal_names_the_most_texts_that_train_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("homework.py").write_text("class MyGRU: pass\n", encoding="utf-8")
    monkeypatch.setattr("gru_bench.models.own.seconds_of_batch", lambda *_, **__: 2.0)
    said = list[str]()
    console = SimpleNamespace(print=lambda line, **_: said.append(line))

    def start(limit: int, **more: Any) -> float:
        """Seconds of a run, with eight of ten texts to train on."""
        corpus: Any = SimpleNamespace(train=Texts(limit * 8 // 10), validation=Texts(limit // 10),
                                      test=Texts(limit // 10))
        spec = load_study("own", models=["torch", "homework.py:MyGRU"]).fitted(len(corpus.train))
        searches = {model: SearchState((), identity={"data": "known"}) for model in spec.models}
        return checked_models(
            spec, corpus, console, stored=StudyState(spec, searches, {}), workers=2, threads=1,
            with_limit="--limit {}".format, **{"allow_slow": False, **more}).seconds["homework.py:MyGRU"]

    with pytest.raises(UsageError) as refused:
        start(30_000)
    limit = int(str(refused.value).partition("--limit ")[2].split(",")[0])
    assert start(limit) * 5 / 2 <= MOST_SECONDS
    with pytest.raises(UsageError, match=f"--limit {limit}"):
        start(limit + 100)
    assert start(30_000, allow_slow=True) * 5 / 2 > MOST_SECONDS

    monkeypatch.setattr("gru_bench.models.own.seconds_of_batch", lambda *_, **__: 200.0)
    with pytest.raises(UsageError, match=r"data\.max_length"):
        start(30_000)
