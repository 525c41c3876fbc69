"""A confirm stage with looks, with workers that only say what their runs predict."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from gru_bench.config import RunConfig
from gru_bench.errors import ChangedStudyError, RunError
from gru_bench.evaluation.intervals import Scored
from gru_bench.results.looks import LOOKS, PLAN, LookPlan, looks_of
from gru_bench.results.runs import Predictions, RunResult
from gru_bench.sweep.check import check_consistency
from gru_bench.sweep.planner import Planner
from gru_bench.sweep.run_log import RunLog
from gru_bench.sweep.search import Search, read_trials
from gru_bench.sweep.sharing.looks import Looks
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.spec import load_study
from gru_bench.sweep.workers.local import Failed, Finished, Message
from gru_bench.tracking import LoggedStudy, RunWriter, Store
from tests.support.runs import result
from tests.support.values import present
from tests.support.workers import EPOCH, STUDY, swept

pytestmark = pytest.mark.usefixtures("database")

EXAMPLES = 1500
MODELS = ["torch", "scratch"]


def answers(seed: int, chance: float) -> RunResult:
    rng = np.random.default_rng([seed, round(1000 * chance)])
    label_N = (np.arange(EXAMPLES) % 2).astype(np.int8)
    right_N = rng.random(EXAMPLES) < chance
    test = Predictions(
        np.array([f"{n:04d}" for n in range(EXAMPLES)]), label_N,
        np.where(right_N == (label_N == 1), 0.9, 0.1).astype(np.float32), np.full(EXAMPLES, ""),
        np.ones(EXAMPLES, np.int32), np.zeros(EXAMPLES, np.int32))
    return replace(result(), predictions={"validation": test, "test": test})


class Runs:
    """Confirm runs whose models have these accuracies; some of them fail."""

    def __init__(self, torch: float, scratch: float, failing: Sequence[tuple[str, int]] = ()) -> None:
        self.chances, self.failing = {"torch": torch, "scratch": scratch}, failing
        self.seeds: list[tuple[str, int]] = []

    def __call__(self, config: RunConfig) -> Sequence[Message]:
        run = (config.model.name, config.seed)
        self.seeds.append(run)
        if run in self.failing:
            return [EPOCH, Failed("run", "the loss is not finite")]
        return [EPOCH, Finished(answers(config.seed, self.chances[config.model.name]))]


def confirmed(csv: Path, runs: Runs, looks: Sequence[int] = (5, 7, 9), **changes: Any) -> str:
    """Conduct a study of two models and return what it printed."""
    text = io.StringIO()
    swept(csv, runs, **{"trials": 0, "looks": list(looks), "all_models": MODELS, **changes},
          console=Console(file=text, width=200))
    return text.getvalue()


def logged() -> LoggedStudy:
    store = Store()
    (study,) = store.studies(store.experiments()[0])
    return study


def texts(study: LoggedStudy) -> tuple[LookPlan, str, list[Any]]:
    store = Store()
    plan, digest = LookPlan.from_json(present(store.text(study.run.run_id, PLAN)))
    return plan, digest, looks_of(present(store.text(study.run.run_id, LOOKS)))


def seeds_of(runs: Runs, model: str) -> list[int]:
    return [seed for name, seed in runs.seeds if name == model]


def test_a_stage_ends_at_the_first_look_that_settles_every_pair(easy_csv: Path) -> None:
    runs = Runs(0.95, 0.80)
    said = confirmed(easy_csv, runs)
    assert seeds_of(runs, "torch") == seeds_of(runs, "scratch") == list(range(10_000, 10_005))
    assert "look 1 of 3, 5 seeds for each model:" in said
    assert "torch is better than scratch by more than 1.0 points" in said
    assert "every pair is settled: no seeds are added" in said
    study = logged()
    plan, digest, looks = texts(study)
    assert digest == plan.digest
    assert (plan.looks, plan.margin, plan.models) == ((5, 7, 9), 0.01, tuple(MODELS))
    assert [(look.planned, look.stops) for look in looks] == [(5, True)]
    assert looks[0].settled == ("torch, scratch: better by more than the margin",)
    assert present(study.summary).confirm_seeds == tuple(range(10_000, 10_005))


def test_it_goes_on_while_a_pair_is_open_and_ends_with_the_last_look(easy_csv: Path) -> None:
    runs = Runs(0.802, 0.80)
    said = confirmed(easy_csv, runs)
    assert seeds_of(runs, "torch") == list(range(10_000, 10_009))
    assert "goes on to 7 seeds" in said
    assert "this was the last look planned: what is open stays open" in said
    assert [look.planned for look in texts(logged())[2]] == [5, 7, 9]


def test_the_same_command_adds_nothing_once_it_has_ended(easy_csv: Path) -> None:
    confirmed(easy_csv, Runs(0.95, 0.80))
    again = Runs(0.95, 0.80)
    confirmed(easy_csv, again)
    assert again.seeds == []


def test_an_interrupted_stage_goes_on_to_the_same_looks(easy_csv: Path) -> None:
    whole = Runs(0.802, 0.80)
    confirmed(easy_csv, whole, name="whole")

    class Interrupted(Runs):
        def __call__(self, config: RunConfig) -> Sequence[Message]:
            if len(self.seeds) == 12:  # within the second look
                raise KeyboardInterrupt
            return super().__call__(config)

    first = Interrupted(0.802, 0.80)
    with pytest.raises(KeyboardInterrupt):
        confirmed(easy_csv, first)
    rest = Runs(0.802, 0.80)
    confirmed(easy_csv, rest)
    assert sorted([*first.seeds, *rest.seeds]) == sorted(whole.seeds)
    store = Store()
    one, two = store.studies(store.experiments()[0])
    assert texts(one)[2] == texts(two)[2]


def test_each_of_two_processes_waits_for_the_seeds_of_a_look_that_the_other_has_planned(easy_csv: Path) -> None:
    Path("study.toml").write_text(STUDY, encoding="utf-8")
    spec = load_study("study.toml", settings={"data.name": str(easy_csv)}, trials=0, looks=[2, 5])
    taken: list[tuple[str, int, int]] = []

    def planner(name: str) -> Planner:
        search = Search(spec, "torch", open_storage("optuna.journal"), "abc")
        looks = Looks(present(spec.plan("abc")), search.study)

        def look(place: int) -> None:
            (state,) = made.states
            runs = {seed: Scored(np.zeros(2, np.int8), np.full((1, 2), 0.1)) for seed in state.confirmed_seeds}
            looks.take({"torch": runs})
            taken.append((name, place, len(runs)))

        made = Planner(spec, {"torch": search}, lambda: True, lambda _: None, lambda _: None, looks, look)
        return made

    first = planner("first")
    one = present(first.next())
    second = planner("second")
    other = present(second.next())
    assert one.trials.complete(one.number, 0.8)
    assert other.trials.complete(other.number, 0.8)
    first.update()
    second.update()
    assert taken == [("first", 0, 2)]
    assert not second.is_done
    rest = [present(second.next()) for _ in range(3)]
    assert [run.config.seed for run in rest] == [10_002, 10_003, 10_004]
    first.update()
    assert all(run.trials.complete(run.number, 0.8) for run in rest)
    second.update()
    first.update()
    assert taken == [("first", 0, 2), ("second", 1, 5)]
    assert first.is_done
    assert second.is_done


def test_a_failed_seed_is_said_and_the_next_start_does_not_change_the_look(easy_csv: Path) -> None:
    runs = Runs(0.95, 0.80, failing=[("scratch", 10_002)])
    said = confirmed(easy_csv, runs, looks=(6, 8))
    assert "scratch: 1 of its seeds failed, so this look knows less than planned" in said
    looks = texts(logged())[2]
    assert looks[0].seeds["scratch"] == (10_000, 10_001, 10_003, 10_004, 10_005)
    assert looks[0].stops
    again = Runs(0.95, 0.80)
    confirmed(easy_csv, again, looks=(6, 8))
    assert again.seeds == []
    assert texts(logged())[2] == looks


def test_looks_that_were_taken_but_not_logged_are_logged_by_the_next_start(
    easy_csv: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = RunWriter.text

    def text(self: RunWriter, path: str, content: str) -> None:
        if path == LOOKS:
            raise KeyboardInterrupt
        write(self, path, content)

    with monkeypatch.context() as patched:
        patched.setattr(RunWriter, "text", text)
        with pytest.raises(KeyboardInterrupt):
            confirmed(easy_csv, Runs(0.95, 0.80))
    again = Runs(0.95, 0.80)
    confirmed(easy_csv, again)
    assert again.seeds == []
    assert [look.stops for look in texts(logged())[2]] == [True]


def test_a_search_does_not_go_on_once_a_look_was_taken(easy_csv: Path) -> None:
    confirmed(easy_csv, Runs(0.95, 0.80), trials=2)
    again = Runs(0.95, 0.80)
    said = present(logged().summary)
    summary = swept(easy_csv, again, trials=4, looks=[5, 7, 9], all_models=MODELS)
    assert again.seeds == []
    assert summary.best == said.best
    assert [note for note in summary.notes if "stays at" in note] == [
        f"The search of {model} stays at 2 of 4 trials: a look at its confirm runs was taken already."
        for model in MODELS]


def test_a_look_with_no_run_of_a_model_is_an_error(easy_csv: Path) -> None:
    failing = [("scratch", seed) for seed in range(10_000, 10_002)]
    with pytest.raises(RunError, match="a look must have a complete confirm run of each model, but all runs of scra"):
        confirmed(easy_csv, Runs(0.9, 0.9, failing), looks=(2, 5))


def test_looks_below_five_seeds_settle_nothing(easy_csv: Path) -> None:
    runs = Runs(0.99, 0.60)
    said = confirmed(easy_csv, runs, looks=(2, 5))
    assert "fewer than 5 seeds settle nothing" in said
    assert len(seeds_of(runs, "torch")) == 5


def test_one_model_alone_takes_all_looks(easy_csv: Path) -> None:
    runs = Runs(0.9, 0.9)
    said = confirmed(easy_csv, runs, all_models=["torch"])
    assert len(runs.seeds) == 9
    assert "one model alone has no pair to settle" in said


@pytest.mark.parametrize(("change", "words"), [
    ({"looks": (5, 7)}, r"looks was \[5, 7, 9\] and is now \[5, 7\]"),
    ({"margin": 2.0}, "margin was 1.0 and is now 2.0"),
    ({"looks": None, "confirm": 5}, r"looks was \[5, 7, 9\] and is now none"),
    ({"all_models": ["torch"]}, "models was"),
])
def test_a_plan_cannot_change_once_the_study_has_begun(
    easy_csv: Path, change: dict[str, Any], words: str,
) -> None:
    confirmed(easy_csv, Runs(0.95, 0.80))
    runs = Runs(0.95, 0.80)
    options: dict[str, Any] = {"looks": [5, 7, 9], "all_models": MODELS, **change}
    if options["looks"] is None:
        del options["looks"]
    with pytest.raises(ChangedStudyError, match=words):
        swept(easy_csv, runs, trials=0, **options)
    assert runs.seeds == []


def test_a_study_of_one_size_cannot_get_looks_afterwards(easy_csv: Path) -> None:
    swept(easy_csv, Runs(0.9, 0.9), trials=0, all_models=MODELS, confirm=2)
    with pytest.raises(ChangedStudyError, match=r"looks was none and is now \[5, 7, 9\]"):
        confirmed(easy_csv, Runs(0.9, 0.9))


def test_the_check_knows_how_many_seeds_are_due(easy_csv: Path) -> None:
    confirmed(easy_csv, Runs(0.95, 0.80))
    spec = load_study("study.toml", settings={"data.name": str(easy_csv)}, trials=0, looks=[5, 7, 9], all_models=MODELS)
    storage, store = open_storage(None), Store()
    searches = {model: read_trials(spec, model, storage) for model in MODELS}
    study = logged()
    runs = store.runs(store.experiments()[0])
    found = check_consistency(
        spec, searches, [study.run], [run for run in runs if run.tags.get("mlflow.parentRunId") == study.run.run_id])
    assert found.faults == ()
    assert "1 of at most 3 looks taken" in found.counts
    assert any("5 of 5 confirm seeds" in count for count in found.counts)
    begun = replace(present(searches["scratch"]), looks=())
    open_ = check_consistency(spec, {**searches, "scratch": begun}, [study.run], [])
    assert "look 1 is not taken" in open_.faults


def test_the_plan_is_logged_before_the_first_run(easy_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    write, begin = RunWriter.text, RunLog.begin

    def text(self: RunWriter, path: str, content: str) -> None:
        events.append(path)
        write(self, path, content)

    def begun(self: RunLog, label: str, *arguments: Any) -> RunWriter:
        events.append("a run")
        return begin(self, label, *arguments)

    monkeypatch.setattr(RunWriter, "text", text)
    monkeypatch.setattr(RunLog, "begin", begun)
    confirmed(easy_csv, Runs(0.95, 0.80))
    assert events.count(PLAN) == 1
    assert events.index(PLAN) < events.index("a run") < events.index(LOOKS)
