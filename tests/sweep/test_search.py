"""A search proposes exactly N trials, in several processes too, and refuses to go on as another one."""

from __future__ import annotations

import math
import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from filelock import FileLock, Timeout
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial, TrialState, create_trial

from gru_bench.config import Scalar
from gru_bench.errors import RunError, UsageError
from gru_bench.results.runs import Check
from gru_bench.sweep import identity as identities
from gru_bench.sweep.search import Search, best_of, is_exhausted
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.sharing.trials import stored
from gru_bench.sweep.spec import StudySpec, load_study
from gru_bench.sweep.study import FORMAT, StudyRecord, read_study
from tests.support.searches import TOTAL, asked, search_in, spec_in
from tests.support.sweeps import STUDY
from tests.support.values import present

PLANNED = {f"confirm x {seed}" for seed in range(8)}


def work(directory: Path, url: str | None, died: Any, dies: int | None) -> None:
    """Ask and complete until all is done. Where `dies` is set, the process ends without a word after as many trials.

    The others wait after a few of their own until it has died, so that they leave enough to do.
    """
    os.chdir(directory)
    record = StudyRecord(load_study("shared.toml"), open_storage(url), "data", "mine")
    search, done = record.searches["torch"], 0
    while True:
        for orphan in search.orphans():
            with search.lock:
                if orphan in search.orphans():
                    search.give_up(orphan, "died")
        trial = search.ask()
        if trial is None:
            if not record.state().searches["torch"].running:
                break
            time.sleep(0.01)
            continue
        if done == dies:
            died.set()
            os._exit(9)
        if dies is None and done == 2:
            assert died.wait(60)
        search.report(trial[0], 1, 0.5)
        search.complete(trial[0], 0.5)
        done += 1
    planned = search.work
    while left := PLANNED - {key for key, trial in planned.latest().items() if trial.state == "complete"}:
        for key in left:
            if (number := planned.take(key)) is not None:
                planned.complete(number, 0.5)


def check_contended(directory: Path, url: str | None) -> None:
    """Let three processes work on one study, of which one dies on the way, and check its trials and planned runs."""
    spec_in(directory)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.sweep.test_search"])
    died = context.Event()
    processes = [context.Process(target=work, args=(directory, url, died, dies)) for dies in (None, None, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 9]
    trials, runs = (optuna.load_study(study_name=name, storage=open_storage(url)).trials
                    for name in ("shared/torch", "shared"))
    states = [trial.state for trial in trials]
    assert (states.count(TrialState.COMPLETE), states.count(TrialState.FAIL), len(states)) == (TOTAL, 1, TOTAL + 1)
    (broken,) = (trial for trial in trials if trial.state == TrialState.FAIL)
    (again,) = (trial for trial in trials if "retry_of" in trial.user_attrs)
    assert (again.user_attrs["retry_of"], again.params) == (broken.number, broken.params)
    assert sorted(trial.user_attrs["key"] for trial in runs) == sorted(PLANNED)
    assert {trial.state for trial in runs} == {TrialState.COMPLETE}


class TestExactlyN:
    @pytest.mark.slow
    def test_three_processes_of_which_one_dies_complete_n_trials_on_a_journal(self, tmp_path: Path) -> None:
        check_contended(tmp_path, None)

    @pytest.mark.service
    def test_three_processes_of_which_one_dies_complete_n_trials_on_postgresql(
        self, tmp_path: Path, postgres_url: str
    ) -> None:
        check_contended(tmp_path, postgres_url)

    def test_two_processes_together_ask_for_exactly_n_trials(self, tmp_path: Path) -> None:
        total = 5
        search, other = search_in(tmp_path, total), search_in(tmp_path, total)
        for n in range(total):
            assert (search, other)[n % 2].ask() is not None
        assert search.ask() is None
        assert other.ask() is None
        search.fail(0, "not finite")  # tried, so it counts
        assert other.ask() is None
        search.give_up(2, "killed")
        again = other.ask()
        assert again is not None
        assert again[1] == search.study.trials[2].params
        assert search.ask() is None

    def test_the_trials_are_counted_again_once_the_lock_is_held(self, tmp_path: Path) -> None:
        search, other = search_in(tmp_path, 1), search_in(tmp_path, 1)
        lock = search.lock

        @contextmanager
        def late() -> Iterator[None]:
            asked(other)  # another process is faster
            with lock:
                yield

        search.lock = late()
        assert search.ask() is None

    @pytest.mark.parametrize("begun", range(4))
    def test_no_more_than_n_begin_after_trials_that_were_read_before_others_began(
        self, tmp_path: Path, begun: int
    ) -> None:
        total = 4
        search, other = search_in(tmp_path, total), search_in(tmp_path, total)
        search.give_up(asked(search)[0], "killed")  # it waits, and counts as one that may begin
        before = search.stored
        for _ in range(begun):
            asked(other)
        numbers = set[int]()
        while (trial := search.ask(before)) is not None:
            numbers.add(trial[0])
        assert len(numbers) == total - begun
        assert sum(trial.counts for trial in search.stored) == total

    def test_the_last_point_of_a_space_is_left_to_the_process_that_draws_it(self, tmp_path: Path) -> None:
        search, other = (search_over(tmp_path, "model.layers = { low = 1, high = 2 }", 9) for _ in range(2))
        asked(search)
        others = list[object]()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Trial, "suggest_int", lambda *_, **__: others.append(other.ask()))
            asked(search)
        assert others == [None]
        assert len(search.stored) == 2

    def test_trials_begin_and_end_while_no_other_process_may(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        search, held = search_in(tmp_path), list[tuple[str, bool]]()

        def noted(of: object, name: str) -> None:
            real = getattr(of, name)

            def call(*arguments: Any, **options: Any) -> Any:
                try:
                    with FileLock(tmp_path / "optuna.journal.step.lock", timeout=0):
                        held.append((name, False))
                except Timeout:
                    held.append((name, True))
                return real(*arguments, **options)

            monkeypatch.setattr(of, name, call)

        for of, name in ((search.study._storage, "create_new_trial"), (optuna.samplers.TPESampler, "sample_relative"),
                         (search.study, "enqueue_trial"), (search.study, "tell")):
            noted(of, name)
        search.give_up(asked(search)[0], "killed")
        # Settings are drawn while others may begin trials; enqueue_trial creates the trial that is tried again.
        assert held == [("create_new_trial", True), ("sample_relative", False), ("enqueue_trial", True),
                        ("create_new_trial", True), ("tell", True)]


class TestInterruptedTrials:
    def test_a_trial_given_up_twice_is_queued_again_once(self, tmp_path: Path) -> None:
        search = search_in(tmp_path)
        number, settings = asked(search)
        # The process that gave it up died between queueing it again and ending it.
        search.study.enqueue_trial(settings, user_attrs={"retry_of": number, "attempt": 2})
        search.give_up(number, "killed")
        assert [trial.state for trial in search.study.trials] == [TrialState.FAIL, TrialState.WAITING]


def spec_over(directory: Path, space: str, trials: int, **changes: object) -> StudySpec:
    (directory / "small.toml").write_text(f"""
models = ["torch"]
trials = {trials}
[training]
epochs = 2
[space]
{space}
""", encoding="utf-8")
    return load_study(str(directory / "small.toml"), **changes)


def search_over(directory: Path, space: str, trials: int, **changes: object) -> Search:
    spec = spec_over(directory, space, trials, **changes)
    return StudyRecord(spec, open_storage(str(directory / "optuna.journal")), "data", "mine").searches["torch"]


def test_a_pruned_trial_is_never_the_best(tmp_path: Path) -> None:
    search = search_in(tmp_path)
    (complete, settings), (pruned, _) = asked(search), asked(search)
    search.complete(complete, 0.5)
    search.report(pruned, 1, 0.9)
    search.prune(pruned)
    best = present(best_of(search.stored, "accuracy"))
    assert (best.settings, best.value) == (settings, 0.5)


class TestFiniteSpaces:
    def test_a_search_ends_when_its_space_has_no_more_points(self, tmp_path: Path) -> None:
        search = search_over(tmp_path, "model.pooling = { choices = ['last', 'mean', 'max'] }", 100)
        numbers = list[int]()
        while {search.study.trials[number].params["model.pooling"] for number in numbers} != {"last", "mean", "max"}:
            numbers.append(asked(search)[0])
        assert is_exhausted(search.stored, search.space)
        proposals = len(search.study.trials)
        assert search.ask() is None
        assert len(search.study.trials) == proposals  # nothing is proposed any more
        search.complete(numbers[0], 0.5)
        search.give_up(numbers[1], "killed")
        assert not is_exhausted(search.stored, search.space)
        assert asked(search)[1] == search.study.trials[numbers[1]].params
        assert search.ask() is None

    @pytest.mark.parametrize(("span", "values"), [
        (IntDistribution(2, 8, step=3), [2, 5, 8]), (FloatDistribution(0.1, 0.4, step=0.1), [0.1, 0.2, 0.3, 0.4])])
    def test_a_space_has_no_more_points_after_its_last_one(self, span: BaseDistribution, values: list[float]) -> None:
        trials = [stored(create_trial(params={"x": value}, distributions={"x": span}, value=0.5))
                  for value in values]
        assert is_exhausted(trials, {"x": span})
        assert not is_exhausted([*trials[1:], trials[1]], {"x": span})
        endless = FloatDistribution(0.0, 9.0)
        assert not is_exhausted(trials, {"x": endless})


class TestIdentity:
    @staticmethod
    def began(directory: Path, data: str = "data", experiment: str = "mine", **settings: object) -> Search:
        path = directory / "small.toml"
        path.write_text('base = "none"\nmodels = ["torch"]\ntrials = 1\nspace.model.layers = { low = 1, high = 2 }',
                        encoding="utf-8")
        spec = load_study(str(path), settings={"data.name": "mine.csv", **settings})
        return StudyRecord(spec, open_storage(str(directory / "optuna.journal")), data, experiment).searches["torch"]

    @pytest.mark.parametrize(("data", "experiment", "settings", "parts"), [
        ("other", "mine", {"data.limit": 3000}, [r"data\.limit was none and is now 3000", "name"]),
        ("other", "movie-reviews", {"data.name": "movie-reviews"}, [r"data was mine\.csv and is now movie-reviews"]),
        ("other", "mine", {"data.name": "a b.csv", "data.text_column": "body"},
         [r"data was mine\.csv and is now \"a b\.csv\"", r"data\.text_column was text and is now body"]),
        ("other", "mine", {"data.split_seed": 5, "training.batch_size": 8},
         [r"data\.split_seed was 0 and is now 5", r"training\.batch_size was 64 and is now 8"]),
        ("other", "mine", {}, [r"mine\.csv has changed.*fingerprint data, now other"]),
        ("data", "mine", {"data.max_length": 5}, [r"data\.max_length was 400 and is now 5"]),
        ("data", "yours", {"data.name": "yours.csv"}, [r"data was mine\.csv and is now yours\.csv.*\(mine\)"]),
    ])
    def test_names_the_setting_that_has_changed(
        self, tmp_path: Path, data: str, experiment: str, settings: dict[str, object], parts: list[str]
    ) -> None:
        self.began(tmp_path)
        with pytest.raises(UsageError) as raised:
            self.began(tmp_path, data, experiment, **settings)
        for part in parts:
            raised.match(part)

    def test_a_study_goes_on_with_the_same_rows_in_a_moved_file(self, tmp_path: Path) -> None:
        self.began(tmp_path)
        settings: dict[str, Any] = {"data.name": "moved/mine.csv", "data.limit": 1_000_000}
        self.began(tmp_path, **settings)

    @pytest.mark.parametrize("found", [None, FORMAT - 1, FORMAT + 1])
    def test_refuses_a_study_in_another_format(self, tmp_path: Path, found: int | None) -> None:
        search = self.began(tmp_path)
        search.work.study.set_user_attr("format", found)
        expected = rf"'small' must be stored in format {FORMAT}, but is in format {found or 'none'}:.*study name"
        with pytest.raises(RunError, match=expected):
            self.began(tmp_path)
        with pytest.raises(RunError, match=expected):
            read_study(search.spec, open_storage(str(tmp_path / "optuna.journal")))

    def test_refuses_a_study_without_a_record(self, tmp_path: Path) -> None:
        search = search_in(tmp_path)
        optuna.delete_study(study_name=search.spec.name, storage=search.study._storage)
        with pytest.raises(RunError, match=r"in format none:.*study name"):
            search_in(tmp_path)


class TestProposals:
    SPACE = "training.lr = { low = 1e-4, high = 1e-1, log = true }\nmodel.layers = { low = 1, high = 2 }"
    FIRST = "\n[first]\ntraining.lr = 5e-3\nmodel.layers = 2"

    def test_the_first_trial_is_the_one_that_the_file_names(self, tmp_path: Path) -> None:
        search = search_over(tmp_path, self.SPACE + self.FIRST, 3)
        other = search_over(tmp_path, self.SPACE + self.FIRST, 3)
        assert asked(other) == (0, {"training.lr": 5e-3, "model.layers": 2})
        assert asked(search)[1] != {"training.lr": 5e-3, "model.layers": 2}
        assert asked(other)[0] == 2

    @pytest.mark.parametrize("sampler", ["tpe", "random"])
    @pytest.mark.parametrize("ended", ["before its first trial", "during its second"])
    def test_the_same_seed_proposes_the_same_points_after_a_start_that_ended(
        self, tmp_path: Path, sampler: str, ended: str
    ) -> None:
        def points(name: str, *, ends: bool) -> list[object]:
            (folder := tmp_path / name).mkdir()
            if ends:
                search = search_over(folder, self.SPACE, 9, sampler=sampler)
                if ended == "during its second":
                    number, settings = asked(search)
                    search.complete(number, score(settings))
                    search.give_up(asked(search)[0], "interrupted", fault=False)
            search = search_over(folder, self.SPACE, 9, sampler=sampler)
            while (trial := search.ask()) is not None:
                search.complete(trial[0], score(trial[1]))
            return [trial.settings for trial in search.stored if trial.counts]

        def score(settings: Mapping[str, Scalar]) -> float:
            return float(settings["training.lr"]) + float(settings["model.layers"])  # type: ignore[arg-type]

        assert points("cut", ends=True) == points("whole", ends=False)

    def test_a_quarter_of_the_trials_but_at_least_three_is_drawn_at_random(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        drawn, real = list[object](), optuna.samplers.TPESampler

        def sampler(**options: Any) -> optuna.samplers.TPESampler:
            drawn.append(options.get("n_startup_trials"))
            return real(**options)

        monkeypatch.setattr(optuna.samplers, "TPESampler", sampler)
        for trials, startup in ((2, 3), (12, 3), (40, 10)):
            folder = tmp_path / str(trials)
            folder.mkdir()
            for asked_for in (trials, 100):  # a search that is made longer goes on as it began
                asked(search_over(folder, self.SPACE, asked_for))
                assert drawn[-1] == startup

    @pytest.mark.parametrize(("change", "parts"), [
        ("options", 'sampler options was .*"n_ei_candidates": 24} and is now .*"n_ei_candidates": 5}'),
        ("version", r"Optuna's version was \d+ and is now 99"),
        ("first", r"first trial was .*0\.005.* and is now none"),
        ("sampler", "sampler was tpe and is now random"),
        ("pruner", "pruner was .*halving.* and is now none"),
    ])
    def test_what_proposes_trials_may_change_only_once_all_trials_are_done(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, parts: str
    ) -> None:
        search = search_over(tmp_path, self.SPACE + self.FIRST, 2)
        for _ in range(2):
            search.complete(asked(search)[0], 0.8)
        began = search.notes["identity"]
        space, changes = self.SPACE + self.FIRST, {}
        match change:
            case "options":
                monkeypatch.setitem(identities.TPE, "n_ei_candidates", 5)
            case "version":
                monkeypatch.setattr(optuna, "__version__", "99.1.0")
            case "first":
                space = self.SPACE
            case "sampler":
                changes["sampler"] = "random"
            case "pruner":
                changes["pruner"] = "none"
        finished = search_over(tmp_path, space, 2, **changes)
        assert finished.ask() is None
        assert present(best_of(finished.stored, "accuracy")).value == 0.8
        assert finished.notes["identity"] == began
        with pytest.raises(UsageError, match=parts):
            search_over(tmp_path, space, 3, **changes)

    def test_a_study_that_began_with_an_unknown_setting_is_refused(self, tmp_path: Path) -> None:
        search = search_over(tmp_path, self.SPACE, 2)
        search.note(identity={**search.notes["identity"], "training.warmup": 0.1})
        with pytest.raises(UsageError, match=r"training\.warmup was 0\.1 and is now none"):
            search_over(tmp_path, self.SPACE, 2)


class TestChecks:
    """A search whose pruner decides at checks within an epoch, four in each."""

    SPACE = "training.lr = { low = 1e-4, high = 1e-1, log = true }"

    def test_a_trial_that_falls_behind_ends_early(self, tmp_path: Path) -> None:
        search = search_over(tmp_path, self.SPACE, 3)
        good, _ = asked(search)
        for number in range(1, 9):
            assert search.check(good, Check(number, number / 4, 0.6 + 0.03 * number)) == "continue"
            if number % 4 == 0:
                assert search.report(good, number // 4, 0.8 + 0.01 * number)
        assert search.trials()[0].value == 0.88
        search.complete(good, 0.88)
        bad, _ = asked(search)
        assert search.check(bad, Check(1, 0.25, 0.55)) == "continue"
        assert search.check(bad, Check(2, 0.5, 0.55)) == "prune"
        search.prune(bad)
        late, _ = asked(search)
        verdicts = [search.check(late, Check(number, number / 4, value))
                    for number, value in ((1, 0.5), (2, 0.67), (3, 0.5), (4, 0.7))]
        assert verdicts == ["continue", "continue", "continue", "prune"]  # it is compared at checks 2, 4 and 8
        search.prune(late)
        assert [(trial.state, trial.value, trial.epochs) for trial in search.trials()] == [
            ("complete", 0.88, 2), ("pruned", 0.55, 0.5), ("pruned", 0.7, 1.0)]

    def test_the_best_half_at_a_check_goes_on(self, tmp_path: Path) -> None:
        search = search_over(tmp_path, self.SPACE, 9)
        verdicts = []
        for value in (0.5, 0.6, 0.55, 0.7, 0.52, 0.65, 0.53):
            number, _ = asked(search)
            verdicts.append(search.check(number, Check(2, 0.5, value)))
        # The best of fewer than four goes on, of four and five the best two, of six and seven the best three.
        assert verdicts == ["continue", "continue", "prune", "continue", "prune", "continue", "prune"]

    @pytest.mark.parametrize(("epochs", "verdict"), [(1, "continue"), (2, "prune")])
    def test_a_trial_is_not_pruned_at_its_last_check(self, tmp_path: Path, epochs: int, verdict: str) -> None:
        search = search_over(tmp_path, self.SPACE, 3, settings={"training.epochs": epochs})
        for value in (0.9, 0.8):
            number, _ = asked(search)
            for check in range(1, 4):
                search.check(number, Check(check, check / 4, 0.9))
            said = search.check(number, Check(4, 1.0, value))
        assert said == verdict

    def test_a_score_that_is_not_a_number_prunes_a_trial(self, tmp_path: Path) -> None:
        search = search_over(tmp_path, self.SPACE, 3)
        assert search.check(asked(search)[0], Check(2, 0.5, math.nan)) == "prune"

    def test_the_value_of_a_running_trial_is_the_score_of_an_epoch(self, tmp_path: Path) -> None:
        search = search_over(tmp_path, self.SPACE, 3)
        number, _ = asked(search)
        for check in range(1, 5):
            search.check(number, Check(check, check / 4, 0.9))
        search.report(number, 1, 0.7)
        assert search.trials()[0].value == 0.7  # not that of a check

    def test_a_check_of_a_trial_that_was_given_to_another_is_refused(self, tmp_path: Path) -> None:
        search, other = (search_over(tmp_path, self.SPACE, 3) for _ in range(2))
        number, _ = asked(search)
        other.give_up(number, "seemed dead")
        assert search.check(number, Check(1, 0.25, 0.5)) == "reassigned"
        assert not search.report(number, 1, 0.5)
        assert not search.prune(number)


def test_each_start_proposes_other_configurations(tmp_path: Path) -> None:
    (tmp_path / "quick.toml").write_text(STUDY, encoding="utf-8")
    spec = load_study(str(tmp_path / "quick.toml"), trials=4)
    proposed = []
    for _ in range(4):
        search = StudyRecord(spec, open_storage(str(tmp_path / "optuna.journal")), "data", "mine").searches["torch"]
        number, settings = asked(search)
        search.complete(number, 0.5)
        proposed.append(settings["training.lr"])
    assert len(set(proposed)) == 4


def test_a_trial_of_a_dead_start_is_queued_again(tmp_path: Path) -> None:
    dead = search_in(tmp_path)
    _, before = asked(dead)
    dead.lease.leave()
    search = search_in(tmp_path)
    (orphan,) = search.orphans()
    search.give_up(orphan, "its process ended unexpectedly")
    assert asked(search) == (1, before)
    assert search.repeats(1) == 0
    assert search.stored[0].reason == "its process ended unexpectedly"
    assert [(trial.number, trial.state) for trial in search.trials()] == [(1, "running")]
    search.fail(1, "not finite")
    assert [(trial.number, trial.state, trial.reason) for trial in search.trials()] == [(1, "failed", "not finite")]
