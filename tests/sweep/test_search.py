"""Trials are proposed once, in several processes too, and a changed study is refused in words."""

from __future__ import annotations

import math
import multiprocessing
import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import optuna
import pytest
from optuna.trial import TrialState

from gru_bench.errors import ChangedStudyError, RunError, UsageError
from gru_bench.results.pruners import PRUNERS, PrunerName
from gru_bench.results.runs import Check
from gru_bench.sweep import search as searching
from gru_bench.sweep.search import FORMAT, RUNS, Search, read_trials
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.sharing.trials import MOST_ATTEMPTS
from gru_bench.sweep.spec import LEAST_RACING_SEEDS, Range, load_study
from tests.support.commands import command
from tests.support.searches import TOTAL, asked, search_in, spec_in
from tests.support.sweeps import STUDY
from tests.support.values import present

PLANNED = [f"confirm x {seed}" for seed in range(8)]


def work(directory: Path, url: str | None, deaths: Sequence[Any], dies: int | None, death: Any) -> None:
    """Ask and complete until all is done; the process whose `dies` is set ends without a word after as many trials.

    The others wait after a few of their own for all deaths, so that they leave enough to do.
    """
    os.chdir(directory)
    search = Search(load_study("shared.toml"), "torch", open_storage(url), "data")
    done = 0
    while True:
        for orphan in search.orphans():
            with search.lock:
                if orphan in search.orphans():
                    search.give_up(orphan, "died")
        trial = search.ask()
        if trial is None:
            if not search.running:
                break
            time.sleep(0.01)
            continue
        if done == dies:
            death.set()
            os._exit(9)
        if dies is None and done == 4:
            assert all(other.wait(60) for other in deaths)
        search.report(trial[0], 1, 0.5)
        search.complete(trial[0], 0.5)
        done += 1
    while (free := search.runs.available(PLANNED)) or search.runs.running:
        for key in free:
            if (number := search.runs.take(key)) is not None:
                search.runs.complete(number, 0.5)


def contend(directory: Path, url: str | None) -> tuple[list[optuna.trial.FrozenTrial], ...]:
    """Let four processes work on one study, of which two die on the way; return its trials and its planned runs."""
    spec_in(directory)
    context = multiprocessing.get_context("spawn")
    deaths = [context.Event(), context.Event()]
    roles = [(None, None), (None, None), (1, deaths[0]), (2, deaths[1])]
    processes = [context.Process(target=work, args=(directory, url, deaths, *role)) for role in roles]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 9, 9]
    storage = open_storage(url)
    return tuple(optuna.load_study(study_name=f"shared/torch{end}", storage=storage).trials for end in ("", RUNS))


def check_contended(trials: list[optuna.trial.FrozenTrial], runs: list[optuna.trial.FrozenTrial]) -> None:
    states = [trial.state for trial in trials]
    assert states.count(TrialState.COMPLETE) == TOTAL
    assert states.count(TrialState.FAIL) == 2
    assert len(states) == TOTAL + 2
    broken = [trial for trial in trials if trial.state == TrialState.FAIL]
    retried = {trial.user_attrs["retry_of"]: trial for trial in trials if "retry_of" in trial.user_attrs}
    assert {trial.number: trial.params for trial in broken} == {of: trial.params for of, trial in retried.items()}
    assert sorted(trial.user_attrs["key"] for trial in runs) == PLANNED
    assert {trial.state for trial in runs} == {TrialState.COMPLETE}


class TestExactlyN:
    def test_four_processes_on_a_journal_two_of_which_die(self, tmp_path: Path) -> None:
        check_contended(*contend(tmp_path, None))

    @pytest.mark.service
    def test_four_processes_on_postgresql_two_of_which_die(self, tmp_path: Path, postgres_url: str) -> None:
        check_contended(*contend(tmp_path, postgres_url))

    @pytest.mark.service
    def test_four_processes_on_sqlite_two_of_which_die(self, tmp_path: Path) -> None:
        check_contended(*contend(tmp_path, f"sqlite:///{tmp_path / 'optuna.db'}"))

    def test_nothing_is_asked_beyond_the_total(self, tmp_path: Path) -> None:
        search, other = search_in(tmp_path), search_in(tmp_path)
        for n in range(TOTAL):
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


class TestBrokenOff:
    def test_a_configuration_is_queued_again_three_times(self, tmp_path: Path) -> None:
        search = search_in(tmp_path)
        tried = []
        for _ in range(MOST_ATTEMPTS):
            number, settings = asked(search)
            tried.append(settings)
            again = search.give_up(number, "killed")
        assert not again
        assert tried == [tried[0]] * 4
        assert [trial.state for trial in search.trials()] == ["failed"] * 4
        assert search.counted == 1
        assert asked(search)[1] != tried[0]

    def test_a_try_that_got_further_than_all_before_is_not_counted(self, tmp_path: Path) -> None:
        search = search_in(tmp_path)
        for epochs in (1, 2, 3):
            number, _ = asked(search)
            for epoch in range(1, epochs + 1):
                search.report(number, epoch, 0.5)
            assert search.give_up(number, "killed")
        # It stays where it is: a try that ended earlier does not set it back.
        for epochs, again in ((3, True), (1, True), (3, True), (2, False)):
            number, _ = asked(search)
            for epoch in range(1, epochs + 1):
                search.report(number, epoch, 0.5)
            assert search.give_up(number, "killed") is again
        assert search.counted == 1

    def test_given_up_twice_it_is_queued_once(self, tmp_path: Path) -> None:
        search = search_in(tmp_path)
        number, settings = asked(search)
        # The process that gave it up died between queueing it again and ending it.
        search.study.enqueue_trial(settings, user_attrs={"retry_of": number, "attempt": 2})
        search.give_up(number, "killed")
        assert [trial.state for trial in search.study.trials] == [TrialState.FAIL, TrialState.WAITING]

    def test_what_was_recorded_but_not_told_is_adopted(self, tmp_path: Path) -> None:
        search = search_in(tmp_path)
        for state, ended in (("complete", TrialState.COMPLETE), ("pruned", TrialState.PRUNED)):
            number, _ = asked(search)
            search.report(number, 1, 0.7)
            search.report(number, 2, 0.8)
            search.adopt(number, state)
            assert (search.study.trials[number].state, search.study.trials[number].value) == (ended, 0.8)

    def test_a_trial_given_to_another_is_no_longer_ours(self, tmp_path: Path) -> None:
        search, other = search_in(tmp_path), search_in(tmp_path)
        number, _ = asked(search)
        other.give_up(number, "seemed dead")
        assert search.report(number, 1, 0.5) == "reassigned"
        assert not search.complete(number, 0.5)
        assert not search.prune(number)
        assert search.study.trials[number].state == TrialState.FAIL


def search_over(directory: Path, space: str, trials: int, **changes: object) -> Search:
    (directory / "small.toml").write_text(f"""
models = ["torch"]
trials = {trials}
[training]
epochs = 2
[space]
{space}
""", encoding="utf-8")
    spec = load_study(str(directory / "small.toml"), **changes)
    return Search(spec, "torch", open_storage(str(directory / "optuna.journal")), "data")


class TestDuplicates:
    @pytest.mark.parametrize("sampler", ["tpe", "random"])
    def test_no_configuration_is_tried_twice(self, tmp_path: Path, sampler: str) -> None:
        search = search_over(tmp_path, "model.hidden_size = { low = 1, high = 30 }", 24, sampler=sampler)
        tried = []
        while (trial := search.ask()) is not None:
            size = trial[1]["model.hidden_size"]
            assert isinstance(size, int)
            tried.append(size)
            # Towards the best one: there TPE proposes the same again and again.
            search.complete(trial[0], -abs(size - 20.0))
        assert len(tried) == len(set(tried)) == search.counted == len(search.trials()) == 24
        assert len(search.study.trials) > 24  # the proposals put aside

    def test_nor_while_its_twin_is_under_way(self, tmp_path: Path) -> None:
        search = search_over(tmp_path, "model.hidden_size = { low = 1, high = 4 }", 4)
        assert {asked(search)[1]["model.hidden_size"] for _ in range(4)} == {1, 2, 3, 4}

    def test_a_small_space_ends_the_search(self, tmp_path: Path) -> None:
        search = search_over(tmp_path, "model.pooling = { choices = ['last', 'mean', 'max'] }", 10)
        numbers = [asked(search)[0] for _ in range(3)]
        exhausted = search.exhausted
        assert exhausted
        proposals = len(search.study.trials)
        assert search.ask() is None
        assert len(search.study.trials) == proposals  # nothing is proposed any more
        search.complete(numbers[0], 0.5)
        search.give_up(numbers[1], "killed")
        assert not search.exhausted
        assert asked(search)[1] == search.study.trials[numbers[1]].params
        assert search.ask() is None


    @pytest.mark.parametrize(("span", "points"), [
        (Range(choices=[0.1, 0.1, 0.1]), 1), (Range(low=0.5, high=0.5 + 3e-13), 2),
        (Range(low=0.5, high=0.5 + 1e-11, step=1e-13), 11),
    ])
    def test_a_space_of_fewer_points_than_it_seems_ends_all_the_same(
        self, tmp_path: Path, span: Range, points: int
    ) -> None:
        spec = search_over(tmp_path, "training.lr = { low = 1e-4, high = 1e-1, log = true }", 20).spec
        spec = spec.model_copy(update={"space": {"training.lr": span}, "name": "odd"})  # a file may not hold it
        storage = open_storage(str(tmp_path / "optuna.journal"))
        search = Search(spec, "torch", storage, "data")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna's, of ranges that its steps do not divide
            while (trial := search.ask()) is not None:
                search.complete(trial[0], 0.5)
        assert 1 <= search.counted <= points
        assert search.exhausted
        assert Search(spec, "torch", storage, "data").ask() is None
        assert present(read_trials(spec, "torch", storage)).exhausted


class TestIdentity:
    @staticmethod
    def began(directory: Path, data: str = "data", experiment: str | None = "mine", **settings: object) -> Search:
        path = directory / "small.toml"
        path.write_text('models = ["torch"]\ntrials = 1\nspace.model.layers = { low = 1, high = 2 }', encoding="utf-8")
        spec = load_study(str(path), settings={"data.name": "mine.csv", **settings})
        return Search(spec, "torch", open_storage(str(directory / "optuna.journal")), data, experiment)

    @pytest.mark.parametrize(("data", "experiment", "settings", "message"), [
        ("other", "mine", {"data.limit": 3000}, r"but data\.limit was none and is now 3000\. Give"),
        ("other", "movie-reviews", {"data.name": "movie-reviews"}, r"but data was mine\.csv and is now movie-rev"),
        ("other", "mine", {"data.name": "a b.csv", "data.text_column": "body"},
         r"but data was mine\.csv and is now \"a b\.csv\"; data\.text_column was text and is now body\. Give"),
        ("other", "mine", {"data.split_seed": 5, "training.batch_size": 8},
         r"data\.split_seed was 0 and is now 5; training\.batch_size was 64 and is now 8\. Give"),
        ("other", "mine", {}, r"but mine\.csv has changed since: other rows \(fingerprint data, now other\)\. Give"),
        ("data", "mine", {"data.max_length": 5}, r"but data\.max_length was 400 and is now 5\. Give"),
        ("data", "yours", {"data.name": "yours.csv"},
         r"data was mine\.csv and is now yours\.csv, and its runs are logged under the name of its data \(mine"),
    ])
    def test_what_has_changed_is_told_in_words(
        self, tmp_path: Path, data: str, experiment: str, settings: dict[str, object], message: str
    ) -> None:
        self.began(tmp_path)
        with pytest.raises(ChangedStudyError, match=message):
            self.began(tmp_path, data, experiment, **settings)

    def test_the_same_rows_go_on(self, tmp_path: Path) -> None:
        self.began(tmp_path)
        settings: dict[str, Any] = {"data.name": "moved/mine.csv", "data.limit": 1_000_000}
        self.began(tmp_path, **settings)

    def test_a_study_of_another_form_is_refused_by_name(self, tmp_path: Path) -> None:
        search = self.began(tmp_path)
        for earlier in (None, FORMAT - 1):
            search.study.set_user_attr("format", earlier)
            with pytest.raises(RunError, match=r"'small' was stored by an earlier one.*--study-name NAME"):
                self.began(tmp_path)
        search.study.set_user_attr("format", FORMAT + 1)
        with pytest.raises(RunError, match="'small' was stored by another one"):
            read_trials(search.spec, "torch", open_storage(str(tmp_path / "optuna.journal")))

    def test_an_import_that_was_broken_off_is_not_taken_for_another_form(self, tmp_path: Path) -> None:
        search = self.began(tmp_path)
        search.study.set_user_attr("importing", "0" * 64)
        search.study.set_user_attr("format", None)  # as when the import ended before it wrote the format
        with pytest.raises(RunError, match=r"its import was broken off: import it again"):
            self.began(tmp_path)


class TestProposals:
    SPACE = "training.lr = { low = 1e-4, high = 1e-1, log = true }\nmodel.layers = { low = 1, high = 2 }"
    FIRST = "\n[first]\ntraining.lr = 5e-3\nmodel.layers = 2"

    def test_the_first_trial_is_the_one_that_the_file_names(self, tmp_path: Path) -> None:
        search = search_over(tmp_path, self.SPACE + self.FIRST, 3)
        other = search_over(tmp_path, self.SPACE + self.FIRST, 3)
        assert asked(other) == (0, {"training.lr": 5e-3, "model.layers": 2})
        assert asked(search)[1] != {"training.lr": 5e-3, "model.layers": 2}
        assert asked(other)[0] == 2

    def test_start_up_trials_in_proportion_to_the_budget(self, tmp_path: Path) -> None:
        for trials, startup in ((2, 3), (12, 3), (40, 10)):
            folder = tmp_path / str(trials)
            folder.mkdir()
            for asked_for in (trials, 100):  # a search that is made longer goes on as it began
                sampler = search_over(folder, self.SPACE, asked_for).study.sampler
                assert isinstance(sampler, optuna.samplers.TPESampler)
                assert sampler._n_startup_trials == startup

    @pytest.mark.parametrize(("change", "message"), [
        ("options", r'but sampler options was .*"n_ei_candidates": 24} and is now .*"n_ei_candidates": 5}'),
        ("version", r"but Optuna's version was \d+ and is now 99\. Give"),
        ("earlier", r"but Optuna's version was not recorded and is now \d+; sampler options was not recorded and is"),
        ("first", r"but first trial was .*0\.005.* and is now none"),
        ("sampler", r"but sampler was tpe and is now random; sampler options was"),
    ])
    def test_other_proposals_are_refused_unless_nothing_is_proposed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, message: str
    ) -> None:
        search = search_over(tmp_path, self.SPACE + self.FIRST, 2)
        for _ in range(2):
            search.complete(asked(search)[0], 0.8)
        began = dict(search.study.user_attrs["identity"])
        space, changes = self.SPACE + self.FIRST, {}
        match change:
            case "options":
                monkeypatch.setitem(searching.TPE, "n_ei_candidates", 5)
            case "version":
                monkeypatch.setattr(optuna, "__version__", "99.1.0")
            case "earlier":
                for key in ("optuna", "sampler options"):
                    del began[key]
                search.study.set_user_attr("identity", began)
            case "first":
                space = self.SPACE
            case "sampler":
                changes["sampler"] = "random"
        finished = search_over(tmp_path, space, 2, **changes)
        assert finished.ask() is None
        assert present(finished.best())[1] == 0.8
        assert finished.study.user_attrs["identity"] == began
        with pytest.raises(ChangedStudyError, match=message):
            search_over(tmp_path, space, 3, **changes)


class TestChecks:
    """A search whose pruner decides at checks within an epoch, four in each."""

    SPACE = "training.lr = { low = 1e-4, high = 1e-1, log = true }"

    def test_a_trial_that_falls_behind_ends_early(self, tmp_path: Path) -> None:
        search = search_over(tmp_path, self.SPACE, 3, pruner="halving")
        good, _ = asked(search)
        for number in range(1, 9):
            assert search.check(good, Check(number, number / 4, 0.6 + 0.03 * number)) == "go on"
            if number % 4 == 0:
                assert search.report(good, number // 4, 0.8 + 0.01 * number) == "go on"
        assert search.trials()[0].value == 0.88
        search.complete(good, 0.88)
        bad, _ = asked(search)
        assert search.check(bad, Check(1, 0.25, 0.55)) == "go on"
        assert search.check(bad, Check(2, 0.5, 0.55)) == "prune"
        search.prune(bad)
        late, _ = asked(search)
        verdicts = [search.check(late, Check(number, number / 4, value))
                    for number, value in ((1, 0.5), (2, 0.67), (3, 0.5), (4, 0.7))]
        assert verdicts == ["go on", "go on", "go on", "prune"]  # it is compared at checks 2, 4 and 8
        search.prune(late)
        assert [(trial.state, trial.value, trial.epochs) for trial in search.trials()] == [
            ("complete", 0.88, 2), ("pruned", 0.55, 0.5), ("pruned", 0.7, 1.0)]

    def test_half_may_go_on(self, tmp_path: Path) -> None:
        search = search_over(tmp_path, self.SPACE, 9, pruner="halving")
        verdicts = []
        for value in (0.5, 0.6, 0.55, 0.7, 0.52, 0.65, 0.53):
            number, _ = asked(search)
            verdicts.append(search.check(number, Check(2, 0.5, value)))
        # The best of fewer than four goes on, of four and five the best two, of six and seven the best three.
        assert verdicts == ["go on", "go on", "prune", "go on", "prune", "go on", "prune"]

    @pytest.mark.parametrize(("epochs", "verdict"), [(1, "go on"), (2, "prune")])
    def test_a_trial_that_is_at_its_end_goes_on_to_it(self, tmp_path: Path, epochs: int, verdict: str) -> None:
        search = search_over(tmp_path, self.SPACE, 3, pruner="halving", settings={"training.epochs": epochs})
        for value in (0.9, 0.8):
            number, _ = asked(search)
            for check in range(1, 4):
                search.check(number, Check(check, check / 4, 0.9))
            said = search.check(number, Check(4, 1.0, value))
        assert said == verdict

    def test_a_score_that_is_none_ends_a_trial(self, tmp_path: Path) -> None:
        search = search_over(tmp_path, self.SPACE, 3, pruner="halving")
        assert search.check(asked(search)[0], Check(2, 0.5, math.nan)) == "prune"

    def test_what_was_recorded_but_not_told_is_adopted(self, tmp_path: Path) -> None:
        search = search_over(tmp_path, self.SPACE, 3, pruner="halving")
        number, _ = asked(search)
        for check in range(1, 5):
            search.check(number, Check(check, check / 4, 0.9))
        assert not search.has_reported(number, 1.0)
        search.report(number, 1, 0.7)
        assert search.has_reported(number, 1.0)
        search.adopt(number, "complete")
        assert search.study.trials[number].value == 0.7  # not that of a part of the reviews

    def test_a_trial_given_to_another_is_no_longer_ours(self, tmp_path: Path) -> None:
        search, other = (search_over(tmp_path, self.SPACE, 3, pruner="halving") for _ in range(2))
        number, _ = asked(search)
        other.give_up(number, "seemed dead")
        assert search.check(number, Check(1, 0.25, 0.5)) == "reassigned"
        assert search.report(number, 1, 0.5) == "reassigned"

    def test_the_pruner_may_not_change_on_the_way(self, tmp_path: Path) -> None:
        search_over(tmp_path, self.SPACE, 3, pruner="halving")
        with pytest.raises(ChangedStudyError, match=r"pruner was .*halving.* and is now none"):
            search_over(tmp_path, self.SPACE, 3, pruner="median")


class TestSeveralSeeds:
    SPACE = "training.lr = { low = 1e-4, high = 1e-1, log = true }"

    def test_trials_are_raced_from_seed_to_seed(self, tmp_path: Path) -> None:
        search = search_over(tmp_path, self.SPACE, 3, seeds_per_trial=6)
        assert search.spec.pruner == "wilcoxon"
        best, _ = asked(search)
        for place, value in enumerate((0.80, 0.82, 0.81, 0.83, 0.80, 0.84)):
            assert search.report(best, place, value) == "go on"
        search.complete(best, 0.8167)
        worse, _ = asked(search)
        verdicts = [search.report(worse, place, value) for place, value in enumerate((0.70, 0.73, 0.69, 0.74))]
        assert verdicts == ["go on", "go on", "go on", "prune"]  # 1/16 < 0.1 from the fourth pair on
        search.prune(worse)
        like, _ = asked(search)
        for place, value in enumerate((0.81, 0.81, 0.82, 0.83, 0.79, 0.84)):
            assert search.report(like, place, value) == "go on"
        summaries = search.trials()
        assert [(trial.state, trial.epochs) for trial in summaries] == [
            ("complete", 12), ("pruned", 8), ("running", 12)]
        assert summaries[1].value == pytest.approx((0.70 + 0.73 + 0.69 + 0.74) / 4)

    def test_a_trial_that_is_tried_again_keeps_its_seeds(self, tmp_path: Path) -> None:
        search = search_over(tmp_path, self.SPACE, 3, seeds_per_trial=3)
        number, _ = asked(search)
        search.report(number, 0, 0.7)
        search.report(number, 1, 0.8)
        search.give_up(number, "killed")
        again, _ = asked(search)
        assert search.seeds_done(again) == [0.7, 0.8]
        search.give_up(again, "killed before it began")
        assert search.seeds_done(asked(search)[0]) == [0.7, 0.8]

    def test_a_search_of_one_seed_does_not_go_on_with_several(self, tmp_path: Path) -> None:
        search_over(tmp_path, self.SPACE, 3)
        with pytest.raises(UsageError, match=r"is now .validation accuracy, mean over 3 seeds"):
            search_over(tmp_path, self.SPACE, 3, seeds_per_trial=3)

    @pytest.mark.parametrize(("seeds", "pruner"), [(1, "median"), (2, "none"), (4, "none"), (5, "wilcoxon")])
    def test_the_usual_pruner(self, tmp_path: Path, seeds: int, pruner: str) -> None:
        assert search_over(tmp_path, self.SPACE, 3, seeds_per_trial=seeds).spec.pruner == pruner

    @pytest.mark.parametrize("name", PRUNERS)
    def test_every_pruner_can_be_chosen(self, tmp_path: Path, name: str) -> None:
        assert set(PRUNERS) == set(get_args(PrunerName))
        seeds = LEAST_RACING_SEEDS if name == "wilcoxon" else 1
        search = search_over(tmp_path, self.SPACE, 3, seeds_per_trial=seeds, pruner=name)
        assert type(search.study.pruner).__name__ == PRUNERS[name].optuna
        assert bool(PRUNERS[name].reason) == (name != "none")

    @pytest.mark.parametrize(("seeds", "pruner", "message"), [
        (4, "wilcoxon", "needs seeds_per_trial of at least 5, because its test cannot reject below 4 pairs"),
        (2, "median", "pruner 'median' compares epochs of one seed, but seeds_per_trial is 2"),
        (2, "halving", "pruner 'halving' compares epochs of one seed, but seeds_per_trial is 2"),
    ])
    def test_a_pruner_that_cannot_be(self, tmp_path: Path, seeds: int, pruner: str, message: str) -> None:
        with pytest.raises(UsageError, match=message):
            search_over(tmp_path, self.SPACE, 3, seeds_per_trial=seeds, pruner=pruner)

    def test_search_seeds_are_never_confirm_seeds(self, tmp_path: Path) -> None:
        spec = search_over(tmp_path, self.SPACE, 3, seeds_per_trial=4, seed=9_998).spec
        assert spec.search_seeds == (9_998, 9_999, 0, 1)
        assert min(spec.confirm_seeds) > 9_999


class TestEndsBadly:
    def test_a_half_written_journal_is_mended(self, tmp_path: Path) -> None:
        (tmp_path / "quick.toml").write_text(STUDY, encoding="utf-8")
        spec, path = load_study(str(tmp_path / "quick.toml")), tmp_path / "optuna.journal"
        search = Search(spec, "torch", open_storage(str(path)), "data")
        number, _ = asked(search)
        search.complete(number, 0.5)
        with path.open("ab") as file:
            file.write(b'{"op_code": 4, "worker')
        again = Search(spec, "torch", open_storage(str(path)), "data")
        again.complete(asked(again)[0], 0.7)
        final = Search(spec, "torch", open_storage(str(path)), "data")
        assert final.best() is not None
        assert [trial.value for trial in final.trials()] == [0.5, 0.7]


def test_the_searcher_proposes_other_points_after_a_restart(tmp_path: Path) -> None:
    (tmp_path / "quick.toml").write_text(STUDY, encoding="utf-8")
    spec = load_study(str(tmp_path / "quick.toml"), trials=4)
    proposed = []
    for _ in range(4):
        search = Search(spec, "torch", open_storage(str(tmp_path / "optuna.journal")), "data")
        number, settings = asked(search)
        search.complete(number, 0.5)
        proposed.append(settings["training.lr"])
    assert len(set(proposed)) == 4


def test_trials_of_a_dead_process_are_queued_again(tmp_path: Path) -> None:
    (tmp_path / "quick.toml").write_text(STUDY, encoding="utf-8")
    spec, path = load_study(str(tmp_path / "quick.toml")), str(tmp_path / "optuna.journal")
    code = ("from gru_bench.sweep.spec import load_study; from gru_bench.sweep.search import Search;"
            "from gru_bench.sweep.sharing.storage import open_storage;"
            f"import os; Search(load_study('quick.toml'), 'torch', open_storage({path!r}), 'data').ask(); os._exit(9)")
    assert command("-c", code, cwd=tmp_path).returncode == 9
    before = optuna.load_study(study_name="quick/torch", storage=open_storage(path)).trials
    assert [trial.state.name for trial in before] == ["RUNNING"]
    search = Search(spec, "torch", open_storage(path), "data")
    (orphan,) = search.orphans()
    search.give_up(orphan, "its process ended without a word")
    number, settings = asked(search)
    assert settings == before[0].params
    assert search.trials()[0].state == "failed"
    assert search.trials()[0].reason == "its process ended without a word"
    assert number == 1
