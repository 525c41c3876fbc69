"""A confirmation stage with planned interim analyses, with workers that only say what their runs predict."""

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
from gru_bench.errors import RunError, UsageError
from gru_bench.results.interim import INTERIM, PLAN, InterimAnalysis, InterimPlan
from gru_bench.results.runs import parsed
from gru_bench.stats.intervals import Scored
from gru_bench.sweep.active_run import Assignment
from gru_bench.sweep.consistency import compare_stores
from gru_bench.sweep.console.interim import analysis_lines
from gru_bench.sweep.plan import Analyze, Wait
from gru_bench.sweep.run_log import RunLog
from gru_bench.sweep.sharing.interim import take_analysis
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.spec import StudySpec, load_study
from gru_bench.sweep.study import StudyRecord, read_study
from gru_bench.sweep.workers.local import Failed, Message
from gru_bench.tracking import LoggedStudy, RunWriter, Store
from tests.support.commands import mentions
from tests.support.searches import Begun, begun
from tests.support.values import present
from tests.support.workers import EPOCH, STUDY, answers, linear_of, swept, well

MODELS = ["torch", "scratch"]


def spec_of(**changes: Any) -> StudySpec:
    Path("study.toml").write_text(STUDY, encoding="utf-8")
    return load_study("study.toml", **{"trials": 0, "interim": [5, 7, 9], "all_models": MODELS, **changes})


class Stage:
    """A study whose runs end as soon as they are planned. Nothing of it is logged."""

    def __init__(self, torch: float, scratch: float, failing: Sequence[tuple[str, int]] = (), **changes: Any) -> None:
        """Let the models have these accuracies, and let some runs fail."""
        self.chances, self.failing = {"torch": torch, "scratch": scratch}, failing
        self.spec = spec_of(**changes)
        self.said = ""

    def start(self, most: int = 100) -> list[tuple[str, int]]:
        """Start the study, interrupt the run after `most` others, and return model and seed of the others."""
        record, trained = StudyRecord(self.spec, open_storage(None), "abc"), list[tuple[str, int]]()
        plan = present(record.state().interim)
        while (work := begun(record)) is not None:
            if isinstance(work, Analyze):
                state = record.state()
                analysis, pairs = take_analysis(plan, record.study, {
                    model: {seed: self.scored(model, seed) for seed in state.confirmed(model)} for model in MODELS
                    if model in state.searches})
                self.said += "\n".join(analysis_lines(plan, analysis, work.index, pairs))
                continue
            assert isinstance(work, Begun)
            if len(trained) == most:
                work.trials.give_up(work.number, "interrupted", fault=False)
                return trained
            trained.append((work.config.model.name, work.config.seed))
            if trained[-1] in self.failing:
                work.trials.fail(work.number, "the loss is not finite")
            else:
                work.trials.complete(work.number, 0.8)
        record.lease.end(0.0)
        return trained

    def scored(self, model: str, seed: int) -> Scored:
        test = answers(seed, self.chances[model]).predictions["test"]
        return Scored(test.label_N, test.probability_NC[None])

    @property
    def analyses(self) -> list[InterimAnalysis]:
        return list(read_study(self.spec, open_storage(None)).taken)


def seeds_of(runs: Sequence[tuple[str, int]], model: str) -> list[int]:
    return [seed for name, seed in runs if name == model]


def test_a_stage_ends_at_the_first_interim_analysis_that_settles_every_pair() -> None:
    stage = Stage(0.95, 0.80)
    trained = stage.start()
    assert seeds_of(trained, "torch") == seeds_of(trained, "scratch") == list(range(10_000, 10_005))
    mentions(stage.said, "interim analysis 1 of 3", "5 seeds", "torch is better than scratch", "more than 1.0 points",
             "no seeds are added")
    (analysis,) = stage.analyses
    assert (analysis.planned, analysis.stops, len(analysis.settled)) == (5, True, 1)
    mentions(analysis.settled[0], "torch, scratch", "better by more than the margin")
    assert stage.start() == []


def test_a_stage_goes_on_while_a_pair_is_open_and_ends_at_the_last_interim_analysis() -> None:
    stage = Stage(0.802, 0.80)
    assert seeds_of(stage.start(), "torch") == list(range(10_000, 10_009))
    mentions(stage.said, "continues to 7 seeds", "last planned analysis", "open")
    assert [(analysis.planned, analysis.stops) for analysis in stage.analyses] == [(5, False), (7, False), (9, True)]


def test_an_interrupted_stage_takes_the_same_interim_analyses() -> None:
    whole, stage = Stage(0.802, 0.80, name="whole"), Stage(0.802, 0.80)
    first = stage.start(most=12)  # within the second interim analysis
    assert sorted([*first, *stage.start()]) == sorted(whole.start())
    assert stage.analyses == whole.analyses


def test_a_failed_seed_is_named_and_a_later_start_does_not_change_the_interim_analysis() -> None:
    stage = Stage(0.95, 0.80, failing=[("scratch", 10_002)], interim=[6, 8])
    stage.start()
    mentions(stage.said, "scratch: 1 of its seeds failed")
    analyses = stage.analyses
    assert analyses[0].seeds["scratch"] == (10_000, 10_001, 10_003, 10_004, 10_005)
    assert analyses[0].stops
    assert stage.start() == []
    assert stage.analyses == analyses


def test_an_interim_analysis_below_five_seeds_settles_nothing() -> None:
    stage = Stage(0.99, 0.60, interim=[2, 5])
    assert len(seeds_of(stage.start(), "torch")) == 5
    mentions(stage.said, "from 2 seeds", "an interim analysis needs at least 5")


def test_one_model_alone_takes_all_interim_analyses() -> None:
    stage = Stage(0.9, 0.9, all_models=["torch"])
    assert len(stage.start()) == 9
    mentions(stage.said, "only one model")


def test_a_search_does_not_go_on_once_an_interim_analysis_was_taken() -> None:
    assert len(Stage(0.95, 0.80, trials=2).start()) == 2 * (2 + 5)
    assert Stage(0.95, 0.80, trials=4).start() == []


def test_each_of_two_processes_waits_for_the_seeds_of_an_interim_analysis_that_the_other_has_planned() -> None:
    spec = spec_of(interim=[2, 5], all_models=["torch"])
    first, second = (StudyRecord(spec, open_storage("optuna.journal"), "abc") for _ in range(2))

    def run(record: StudyRecord) -> Begun:
        work = begun(record)
        assert isinstance(work, Begun)
        return work

    def take(record: StudyRecord) -> int:
        """Take the interim analysis that is due, and return how many runs it rests on."""
        seeds = record.state().confirmed("torch")
        take_analysis(present(record.state().interim), record.study, {"torch": dict.fromkeys(
            seeds, Scored(np.zeros(2, np.int8), np.tile([0.9, 0.1], (1, 2, 1))))})
        return len(seeds)

    one, other = run(first), run(second)
    assert one.trials.complete(one.number, 0.8)
    assert begun(first) == Wait()
    assert other.trials.complete(other.number, 0.8)
    assert begun(first) == begun(second) == Analyze(0)
    assert take(first) == 2
    rest = [run(second) for _ in range(3)]
    assert [work.config.seed for work in rest] == [10_002, 10_003, 10_004]
    assert begun(first) == Wait()
    assert all(work.trials.complete(work.number, 0.8) for work in rest)
    assert begun(second) == Analyze(1)
    assert take(second) == 5
    assert begun(first) is begun(second) is None


@pytest.mark.parametrize(("change", "parts"), [
    ({"interim": [5, 7]}, r"interim was \[5, 7, 9\] and is now \[5, 7\]"),
    ({"margin": 2.0}, r"margin was 1\.0 and is now 2\.0"),
    ({"interim": None, "confirm": 5}, r"interim was \[5, 7, 9\] and is now none"),
    ({"all_models": ["torch"]}, "models was"),
])
def test_refuses_another_plan_once_the_study_has_begun(change: dict[str, Any], parts: str) -> None:
    StudyRecord(spec_of(), open_storage(None), "abc")
    with pytest.raises(UsageError, match=parts):
        StudyRecord(spec_of(**change), open_storage(None), "abc")


def test_refuses_interim_analyses_once_a_study_of_one_size_has_begun() -> None:
    StudyRecord(spec_of(interim=None, confirm=2), open_storage(None), "abc")
    with pytest.raises(UsageError, match=r"interim was none and is now \[5, 7, 9\]"):
        StudyRecord(spec_of(), open_storage(None), "abc")


@pytest.mark.usefixtures("database")
class TestLogged:
    """Sweeps that log their plan and their interim analyses to MLflow."""

    def says(self, failing: Sequence[tuple[str, int]] = ()) -> Any:
        self.trained = list[tuple[str, int]]()

        def said(config: RunConfig) -> Sequence[Message]:
            run = (config.model.name, config.seed)
            self.trained.append(run)
            if run in failing:
                return [EPOCH, Failed("run", "the loss is not finite")]
            return well(answers(config.seed, 0.95 if config.model.name == "torch" else 0.80))

        return said

    @staticmethod
    def logged() -> tuple[LoggedStudy, tuple[InterimPlan, str], list[InterimAnalysis]]:
        store = Store()
        (study,) = store.studies(store.experiments()[0])
        return (study, InterimPlan.from_json(present(store.text(study.run.run_id, PLAN))),
                parsed(list[InterimAnalysis], present(store.text(study.run.run_id, INTERIM))))

    def test_the_plan_is_logged_before_the_first_run_and_then_each_interim_analysis(
        self, easy_csv: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        events: list[str] = []
        write, begin = RunWriter.text, RunLog.begin

        def text(self: RunWriter, path: str, content: str) -> None:
            events.append(path)
            write(self, path, content)

        def begun(self: RunLog, run: Assignment) -> RunWriter:
            events.append("a run")
            return begin(self, run)

        monkeypatch.setattr(RunWriter, "text", text)
        monkeypatch.setattr(RunLog, "begin", begun)
        shown = io.StringIO()
        options: dict[str, Any] = {"interim": [1, 5], "all_models": ["torch"]}
        swept(easy_csv, self.says(), trials=1, **options, console=Console(file=shown, width=200),
              baselines=linear_of(0.85))
        assert events.count(PLAN) == 1
        assert events.index(PLAN) < events.index("a run") < events.index(INTERIM)
        mentions(shown.getvalue(), "interim analysis 1 of 2", "interim analysis 2 of 2", "torch is better than")
        study, (plan, digest), analyses = self.logged()
        assert digest == plan.digest
        assert (plan.interim, plan.margin, plan.models) == ((1, 5), 0.01, ("torch",))
        assert (plan.is_with_linear, plan.is_with_mixture) == (True, True)
        assert [(analysis.planned, analysis.stops) for analysis in analyses] == [(1, False), (5, True)]
        assert [pair.partition(":")[0] for pair in analyses[-1].settled] == ["torch, tfidf"]
        assert present(study.summary).confirm_seeds == tuple(range(10_000, 10_005))
        self.check_counts(study, easy_csv, options)
        # The same command with more trials adds nothing, and says so.
        summary = swept(easy_csv, self.says(), trials=2, **options)
        assert self.trained == []
        assert summary.best == present(study.summary).best
        (note,) = summary.notes
        mentions(note, "torch", "1 of 2 trials")

    @staticmethod
    def check_counts(study: LoggedStudy, csv: Path, options: dict[str, Any]) -> None:
        """Check that `--check` knows how many seeds are due."""
        spec = load_study("study.toml", settings={"data.name": str(csv)}, trials=1, **options)
        storage, store = open_storage(None), Store()
        stored = read_study(spec, storage)
        runs = [run for run in store.runs(store.experiments()[0]) if run.role != "study"]
        found = compare_stores(stored, [study.run], runs)
        assert found.faults == ()
        mentions("; ".join(found.counts), "2 of at most 2 interim analyses", "5 of 5 confirmation seeds")
        for analyses, due in ((), 1), (stored.taken[:1], 2):
            begun = compare_stores(replace(stored, taken=analyses), [study.run], runs)
            assert f"the interim analysis {due} is not done" in begun.faults

    @pytest.mark.slow
    def test_an_interim_analysis_that_an_interrupted_start_did_not_log_is_logged_by_the_next(
        self, easy_csv: Path, monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        write = RunWriter.text

        def text(self: RunWriter, path: str, content: str) -> None:
            if path == INTERIM:
                raise KeyboardInterrupt
            write(self, path, content)

        def interrupted(_: RunConfig) -> Sequence[Message]:
            raise KeyboardInterrupt

        options: dict[str, Any] = {"trials": 0, "interim": [1, 5], "all_models": MODELS}
        with monkeypatch.context() as patched:
            patched.setattr(RunWriter, "text", text)
            with pytest.raises(KeyboardInterrupt):
                swept(easy_csv, self.says(), **options, baselines=linear_of(0.85))
        with pytest.raises(KeyboardInterrupt):  # before another run ends
            swept(easy_csv, interrupted, **options)
        assert [analysis.planned for analysis in self.logged()[2]] == [1]

    @pytest.mark.slow
    def test_an_interim_analysis_needs_a_complete_run_of_each_model(self, easy_csv: Path) -> None:
        with pytest.raises(RunError, match=r"all runs of scratch failed.*run this again"):
            swept(easy_csv, self.says([("scratch", 10_000)]), trials=0, interim=[1, 5], all_models=MODELS)
