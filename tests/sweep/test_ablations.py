"""Ablations: their seeds and sides, what is tried where the other side is tuned, and what a later start does."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import optuna
import pytest
from rich.console import Console

from gru_bench.config import RunConfig
from gru_bench.data.corpus import load_corpus
from gru_bench.data.vectors import load_vectors
from gru_bench.platforms import machine
from gru_bench.results.baselines import BASELINES
from gru_bench.results.runs import Predictions, StudySummary
from gru_bench.stats.metrics import of_two
from gru_bench.sweep.ablations import PlannedRun, ablation_runs, ablations_of, tuning_runs
from gru_bench.sweep.console.progress import ProgressDisplay
from gru_bench.sweep.plan import Wait
from gru_bench.sweep.runner import Sweep
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.sharing.trials import latest_trials, trials_of
from gru_bench.sweep.spec import load_study
from gru_bench.sweep.study import StudyRecord
from gru_bench.sweep.workers.local import Failed, Finished, Job, Message
from gru_bench.sweep.workers.tasks import Train
from gru_bench.tracking import LoggedStudy, Store, open_reader
from tests.support.commands import mentions
from tests.support.mlflow_stores import client_of
from tests.support.runs import result
from tests.support.searches import Begun, begun
from tests.support.studies import HOMEWORK, study_file
from tests.support.values import present
from tests.support.workers import Actors, Says

STUDY = """
base = "none"
models = ["torch"]
confirm = 1
[embedding]
name = "random"
dimension = 4
[training]
lr = 1e-4
[ablations]
model = "torch"
seeds = 1
[ablations.other.size]
question = "How wide?"
settings = { model.hidden_size = 7 }
[ablations.other.lr]
question = "How fast?"
tune = { training.lr = [1e-3, 1e-2] }
"""


FAST = """
[ablations.other.fast]
question = "Is 1e-3 better?"
settings = { training.lr = 1e-3 }
"""
RIGHT: Mapping[float, int] = {1e-4: 5, 1e-3: 8, 1e-2: 6}
SEED = 15_000
"""The seed of the ablations."""
NAN = Failed("run", "the loss is not finite")


def scored(right: int) -> Predictions:
    """Return ten answers, so many of them right."""
    empty, zero = np.full(10, ""), np.zeros(10, dtype=np.int32)
    return Predictions(np.array([str(n) for n in range(10)]), np.ones(10, dtype=np.int8),
                       of_two(np.where(np.arange(10) < right, 0.9, 0.1).astype(np.float32)), empty, zero, zero)


class Study:
    """The study in the working directory, started any number of times."""

    def __init__(self, csv: Path, right: Mapping[float, int | None] = RIGHT) -> None:
        """Let runs answer so many of ten reviews rightly, by their learning rate; None: they fail."""
        self.csv, self.right = csv, dict(right)
        self.trained: list[RunConfig] = []
        self.workers: Callable[[Says], Actors] = Actors

    def __call__(self, *, study: str = STUDY, command: str = "run.py") -> StudySummary:
        """Start it and return its summary; `trained` are the runs of this start."""
        Path("study.toml").write_text(study, encoding="utf-8")
        spec = load_study("study.toml", settings={"data.name": str(self.csv)})
        corpus = load_corpus(spec.base.data)
        self.trained.clear()
        storage = open_storage("optuna.journal")
        store = Store()
        return Sweep(
            StudyRecord(spec, storage, corpus.fingerprint), corpus, load_vectors(spec.base.embedding, corpus),
            store, self.workers(self.says), experiment="e", command=command, threads=1, timeout=None, texts=False,
            display=ProgressDisplay(Console(quiet=True))).run()

    def says(self, config: RunConfig) -> Sequence[Message]:
        """Answer as workers would."""
        self.trained.append(config)
        right = self.right[config.training.lr]
        if right is None:
            return [NAN]
        answers = {"validation": scored(right), "test": scored(right)}
        return [Finished(replace(result(), config=config, predictions=answers))]

    @property
    def logged(self) -> LoggedStudy:
        """What is in the store."""
        (study,) = open_reader().studies("e")
        return study


class Planned:
    """The study without workers and logs: each run ends as soon as it is planned."""

    def __init__(self, right: Mapping[float, int | None] = RIGHT) -> None:
        """Let runs answer so many of ten reviews rightly, by their learning rate; None: they fail."""
        self.right = dict(right)
        self.chosen: Mapping[str, Mapping[str, object]] = {}
        self.runs: Sequence[PlannedRun] = ()

    def start(self, study: str = STUDY) -> list[float]:
        """Start the study and return the learning rates of the runs that are trained."""
        Path("study.toml").write_text(study, encoding="utf-8")
        spec = load_study("study.toml")
        record, trained = StudyRecord(spec, open_storage(None), "abc"), []
        while isinstance(work := begun(record), Begun):
            trained.append(work.config.training.lr)
            right = self.right[work.config.training.lr]
            if right is None:
                work.trials.fail(work.number, "not finite")
            else:
                work.trials.complete(work.number, right / 10)
        plan = record.state().plans["torch"]
        self.chosen, self.runs = plan.chosen, plan.runs
        assert work is None
        return trained

    def side(self, name: str, side: str) -> list[tuple[float, int]]:
        """The learning rate and the seed of each run of one side of an ablation."""
        return [(run.config.training.lr, run.config.seed)
                for run in self.runs if run.side == side and name in run.ablations]


def test_the_best_candidate_is_the_other_side() -> None:
    study = Planned()
    assert len(study.start()) == 1 + 3 + 3
    assert study.chosen == {"lr": {"training.lr": 1e-3}}
    assert study.side("lr", "tuning") == [(1e-4, 0), (1e-3, 0), (1e-2, 0)]
    for name in ("size", "lr"):  # under both names, although they were begun before it was known what to compare
        assert study.side(name, "usual") == [(1e-4, SEED)]
    assert study.side("lr", "other") == [(1e-3, SEED)]
    assert study.start() == []
    assert study.chosen == {"lr": {"training.lr": 1e-3}}


def test_there_is_nothing_to_compare_where_the_studys_own_settings_are_best() -> None:
    study = Planned({1e-4: 8, 1e-3: 8, 1e-2: 6})
    study.start()
    assert study.chosen == {"lr": {"training.lr": 1e-4}}
    assert study.side("lr", "other") == []


def test_a_candidate_that_failed_is_not_chosen_and_is_tried_again_by_the_next_start() -> None:
    study = Planned({**RIGHT, 1e-3: None})
    study.start()
    assert study.chosen == {"lr": {"training.lr": 1e-2}}
    study.right[1e-3] = 8
    assert study.start() == [1e-3] * 2
    assert study.chosen == {"lr": {"training.lr": 1e-3}}


def test_the_studys_own_settings_are_best_where_all_others_fail() -> None:
    study = Planned({1e-4: 5, 1e-3: None, 1e-2: None})
    study.start()
    assert study.chosen == {"lr": {"training.lr": 1e-4}}


def test_a_run_that_two_ablations_ask_for_is_trained_once() -> None:
    """Also where one of them is to find its settings first."""
    study = Planned()
    both = STUDY + FAST + """
[ablations.other.again]
question = "Is another better?"
tune = { training.lr = [1e-3] }
"""
    assert len(study.start(both)) == 1 + 3 + 3
    assert [len(study.side(name, "tuning")) for name in ("lr", "again")] == [3, 2]
    for name in ("lr", "fast", "again"):
        assert study.side(name, "other") == [(1e-3, SEED)]
    assert study.start(both) == []


def test_a_choice_is_made_again_once_another_start_has_repeated_a_failed_run() -> None:
    """As where a second process joins in: the first does not keep its earlier choice."""
    Path("study.toml").write_text(STUDY, encoding="utf-8")
    spec = load_study("study.toml")
    first, under_way = StudyRecord(spec, open_storage("optuna.journal"), "abc"), []
    while isinstance(work := begun(first), Begun):
        rate = work.config.training.lr
        if work.run is None or work.run.side != "tuning":
            under_way.append(work)
        elif rate == 1e-3:
            first.work.fail(work.number, "not finite")
        else:
            first.work.complete(work.number, RIGHT[rate] / 10)
    assert first.state().plans["torch"].chosen == {"lr": {"training.lr": 1e-2}}
    second = StudyRecord(spec, open_storage("optuna.journal"), "abc")
    (failed,) = (key for key, trial in first.work.latest().items() if trial.state == "failed")
    again = present(second.work.take(failed))
    assert begun(first) == Wait()
    assert first.state().plans["torch"].undecided == {"lr"}
    assert second.work.complete(again, 0.8)
    more = [work for work in iter(partial(begun, first), Wait()) if isinstance(work, Begun)]
    assert [work.config.training.lr for work in more] == [1e-3]
    assert first.state().plans["torch"].chosen == {"lr": {"training.lr": 1e-3}}
    assert len(under_way) == 1 + 3
    for work in [*under_way, *more]:
        assert first.work.complete(work.number, 0.5)
    assert begun(first) is None


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, easy_csv: Path, empty_database: Path) -> Path:
    """A folder with a study that has ended."""
    folder = tmp_path_factory.mktemp("ended")
    shutil.copy(empty_database, folder)
    with chdir(folder):
        Study(easy_csv)()
    return folder


class TestLogged:
    """The study in MLflow, whose runs have ended."""

    WIDER = STUDY.replace("[1e-3, 1e-2]", "[1e-3, 1e-2, 3e-2]")

    @pytest.fixture
    def study(self, ended: Path, easy_csv: Path) -> Study:
        shutil.copytree(ended, Path.cwd(), dirs_exist_ok=True)
        return Study(easy_csv)

    @staticmethod
    def rates(study: Study, side: str) -> set[str]:
        return {run.params["training.lr"] for run in study.logged.side("lr", side)}

    def test_the_runs_have_the_names_and_sides_of_their_ablations(self, study: Study) -> None:
        size, lr = present(study.logged.summary).ablations
        assert (lr.name, lr.usual, lr.other, lr.tuned) == ("lr", {"training.lr": 1e-4}, {"training.lr": 1e-3}, True)
        assert (size.name, size.tuned) == ("size", False)
        runs = study.logged.side("lr", "tuning")
        assert {run.params["training.lr"]: run.metrics["score/val_accuracy"] for run in runs} == {
            "0.0001": 0.5, "0.001": 0.8, "0.01": 0.6}
        assert {run.seed for run in runs} == {0}
        for name in ("size", "lr"):
            assert [run.seed for run in study.logged.side(name, "usual")] == [SEED]
        assert [(run.seed, run.params["training.lr"]) for run in study.logged.side("lr", "other")] == [(SEED, "0.001")]

    def test_the_same_study_trains_nothing_more_and_logs_the_last_command(self, study: Study) -> None:
        before = study.logged
        assert study(command="run.py --confirm 1").ablations == present(before.summary).ablations
        assert study.trained == []
        assert [run.run_id for run in study.logged.ablations] == [run.run_id for run in before.ablations]
        assert study.logged.run.tags["mlflow.source.name"] == "run.py --confirm 1"

    def test_runs_whose_ends_a_dead_process_logged_but_did_not_note_are_trained_again(self, study: Study) -> None:
        before, storage = study.logged, open_storage("optuna.journal")
        record = optuna.load_study(study_name="study", storage=storage)
        done, attributes = latest_trials(trials_of(record)), record.user_attrs
        optuna.delete_study(study_name="study", storage=storage)
        again = optuna.create_study(study_name="study", storage=storage, direction="maximize")
        for key, value in attributes.items():
            again.set_user_attr(key, value)
        dead = f"{machine()} 999999999 1"
        for key, trial in done.items():
            again.add_trial(optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING, user_attrs={
                "key": key, "owner": dead, "run_id": trial.run_id}))
            store = Store()
            client_of(store).set_tag(store.mlflow_id(trial.run_id), "gru_bench.owner", dead)
        assert study().ablations == present(before.summary).ablations
        assert len(study.trained) == len(done) - len(BASELINES)
        runs = {run.run_id: run for run in study.logged.runs}
        for run in (*before.ablations, *before.confirms, *before.baselines):
            assert (runs[run.run_id].complete, runs[run.run_id].status) == (False, "KILLED")
        roles = ("confirm", "ablation", "baseline")
        complete = [run for run in study.logged.runs if run.complete and run.role in roles]
        assert len(complete) == len(done)

    def test_runs_of_candidates_that_were_removed_are_superseded(self, study: Study) -> None:
        assert study(study=STUDY.replace("[1e-3, 1e-2]", "[1e-2]")).ablations[1].other == {"training.lr": 1e-2}
        assert [config.training.lr for config in study.trained] == [1e-2]
        assert (self.rates(study, "tuning"), self.rates(study, "other")) == ({"0.0001", "0.01"}, {"0.01"})
        study()  # with all candidates again
        assert study.trained == []
        assert (self.rates(study, "tuning"), self.rates(study, "other")) == ({"0.0001", "0.001", "0.01"}, {"0.001"})

    @pytest.mark.slow
    def test_the_note_on_a_failed_candidate_names_it_and_its_run_is_superseded_once_it_is_removed(
        self, study: Study
    ) -> None:
        study.right[3e-2] = None
        summary = study(study=self.WIDER)
        assert summary.ablations[1].other == {"training.lr": 1e-3}
        mentions(" ".join(summary.notes), "'torch lr 0.03 seed 0' failed", "the loss is not finite")
        assert "0.03" in self.rates(study, "tuning")
        study()
        assert "0.03" not in self.rates(study, "tuning")


class TwoAtOnce(Actors):
    """Two workers. Slow runs, by learning rate and seed, end after all others, and in their own order."""

    slow = ((1e-2, 0), (1e-3, SEED))

    @property
    def idle(self) -> bool:
        return len(self._said) < 2

    def messages(self, timeout: float) -> Iterator[tuple[Job, Message]]:
        del timeout
        if self._said and self._is_slow(self._said[0][0]) and not self._is_slow(self._said[-1][0]):
            self._said.rotate()
        yield self._said[0]
        self._said.popleft()

    def _is_slow(self, job: Job) -> bool:
        return isinstance(job.task, Train) and (job.task.config.training.lr, job.task.config.seed) in self.slow


@pytest.mark.slow
@pytest.mark.usefixtures("database")
def test_a_running_run_becomes_that_of_another_ablation_which_finds_its_settings(
    easy_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last tuning run ends while the run that another ablation asked for is trained."""
    study = Study(easy_csv)
    study.workers = TwoAtOnce
    ended = list[str]()
    monkeypatch.setattr(ProgressDisplay, "search_ended", lambda _, model, *__: ended.append(model))
    study(study=STUDY + FAST)
    assert ended == ["torch"]
    for name in ("lr", "fast"):
        assert [run.seed for run in study.logged.side(name, "other")] == [SEED]
    study()  # without the other one
    sides = [run.tags["gru_bench.ablation"] for run in study.logged.ablations if run.tags["gru_bench.side"] == "other"]
    assert sorted(sides) == ["lr", "size"]


class TestRuns:
    def test_the_usual_side_has_the_settings_of_the_study(self, tmp_path: Path) -> None:
        spec = load_study(study_file(tmp_path, HOMEWORK), settings={"model.hidden_size": 12})
        pooling, size = ablations_of(spec, {}, {})
        assert (pooling.name, pooling.usual, pooling.other) == (
            "pooling", {"model.pooling": "final"}, {"model.pooling": "last"})
        assert (size.usual, size.other, size.model, size.backend) == (
            {"model.hidden_size": 12}, {"model.hidden_size": 7}, "torch", "torch")

    def test_leaves_out_an_ablation_whose_sides_are_equal(self, tmp_path: Path) -> None:
        spec = load_study(study_file(tmp_path, HOMEWORK), settings={"model.hidden_size": 7})
        assert [ablation.name for ablation in ablations_of(spec, {}, {})] == ["pooling"]
        assert [ablation.name for ablation in ablations_of(spec, {"model.pooling": "last"}, {})] == []

    def test_a_shared_side_is_trained_once_on_seeds_of_no_confirmation_run(self, tmp_path: Path) -> None:
        spec = load_study(study_file(tmp_path, HOMEWORK), seed=4, confirm=5_000)
        runs = ablation_runs(spec, {"training.lr": 0.25}, {})
        assert [(run.name, run.config.seed) for run in runs] == [
            (name, seed) for seed in (55_000, 55_001, 55_002) for name in ("usual", "pooling", "size")]
        assert runs[0].ablations == ("pooling", "size")
        assert not {run.config.seed for run in runs} & set(spec.confirm_seeds)
        other = load_study(study_file(tmp_path, HOMEWORK), seed=5, confirm=5_000)
        assert not {run.config.seed for run in runs} & set(other.confirm_seeds)
        assert all(run.config.data.validation_share == 0.2 and run.config.training.lr == 0.25 for run in runs)

    def test_tuning_tries_each_value_and_the_studys_own(self, tmp_path: Path) -> None:
        tuned = HOMEWORK.replace("settings = { model.hidden_size = 7 }",
                                 "tune = { model.hidden_size = [7, 100], model.layers = [1, 2] }")
        spec = load_study(study_file(tmp_path, tuned), seed=4)
        runs = tuning_runs(spec, {"training.lr": 0.25})["size"]
        assert [(run.candidate["model.hidden_size"], run.candidate["model.layers"]) for run in runs] == [
            (100, 1), (7, 1), (7, 2), (100, 2)]
        for run in runs:
            config = run.config
            assert (config.model.hidden_size, config.model.layers) == tuple(run.candidate.values())
            assert (config.seed, config.training.lr, config.data.validation_share) == (4, 0.25, 0.2)
            assert config.data.split_seed == 0  # another cut of the same file would hold test reviews
        assert len({run.name for run in runs}) == 4

    def test_tuning_splits_the_training_file_again_where_test_reviews_have_their_own(self, tmp_path: Path) -> None:
        tuned = HOMEWORK.replace("settings = { model.hidden_size = 7 }", "tune = { model.hidden_size = [7] }")
        spec = load_study(study_file(tmp_path, tuned), settings={"data.test_name": "test.csv"})
        assert {run.config.data.split_seed for run in tuning_runs(spec, {})["size"]} == {1}
        assert {run.config.data.split_seed for run in ablation_runs(spec, {}, {})} == {0}

    def test_the_other_side_is_planned_once_it_is_chosen(self, tmp_path: Path) -> None:
        tuned = HOMEWORK.replace("settings = { model.hidden_size = 7 }", "tune = { model.hidden_size = [7] }")
        spec = load_study(study_file(tmp_path, tuned))
        before = ablation_runs(spec, {}, {})
        assert {run.name: run.ablations for run in before} == {"usual": ("pooling", "size"), "pooling": ("pooling",)}
        after = ablation_runs(spec, {}, {"size": {"model.hidden_size": 7}})
        assert [run for run in after if run.name != "size 7"] == before
        assert {run.config.model.hidden_size for run in after if run.name == "size 7"} == {7}
