"""A search: no configuration twice, small spaces to their end."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from gru_bench.errors import ChangedStudyError, RunError, UsageError
from gru_bench.sweep.search import Search, read_trials
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.space import size, untried
from gru_bench.sweep.spec import Range, load_study, point

SMALL = {"a": CategoricalDistribution(["x", "y", None]), "b": IntDistribution(2, 8, step=3),
         "c": FloatDistribution(0.1, 0.4, step=0.1)}


def search_over(directory: Path, space: str, trials: int, **changes: object) -> Search:
    (directory / "small.toml").write_text(f"""
models = ["torch"]
trials = {trials}
[training]
epochs = 2
[space]
{space}
""")
    spec = load_study(str(directory / "small.toml"), **changes)
    return Search(spec, "torch", open_storage(str(directory / "optuna.journal")), "data")


class TestSpace:
    def test_size(self) -> None:
        assert size(SMALL) == 3 * 3 * 4
        assert size({**SMALL, "d": FloatDistribution(0.0, 1.0)}) == float("inf")

    def test_equal_choices_are_one_point(self) -> None:
        assert size({"a": CategoricalDistribution([0.1, 0.1, 0.30000000000000004, 0.3])}) == 2

    def test_a_large_space_is_counted_and_searched_without_listing_it(self) -> None:
        space = {"a": IntDistribution(1, 10**15), "b": FloatDistribution(0.0, 1.0, step=2.0**-20)}
        assert size(space) == 10**15 * (2**20 + 1)
        first = {"a": 1, "b": 0.0}
        assert untried(space, [point(first)], np.random.default_rng(0), lambda: first) == {"a": 1, "b": 2.0**-20}

    def test_the_last_point_of_a_large_space_is_found(self) -> None:
        space = {"a": CategoricalDistribution(["x", "y"]), "b": IntDistribution(1, 10_000)}
        tried = [point({"a": a, "b": b}) for a in "xy" for b in range(1, 10_001) if (a, b) != ("y", 777)]
        found = untried(space, tried, np.random.default_rng(0), lambda: {"a": "x", "b": 1})
        assert found == {"a": "y", "b": 777}
        assert untried(space, [*tried, point(found)], np.random.default_rng(0), lambda: {"a": "x", "b": 1}) is None

    def test_rounding_does_not_tell_points_apart(self) -> None:
        assert point({"c": 0.1 + 2 * 0.1, "a": 1}) == point({"a": 1, "c": 0.3})
        assert point({"c": 0.3}) != point({"c": 0.30001})

    def test_untried_points_of_a_small_space_are_each_found(self) -> None:
        tried: list = []
        generator = np.random.default_rng(0)
        while (found := untried(SMALL, tried, generator, dict)) is not None:
            assert point(found) not in tried
            tried.append(point(found))
        assert len(tried) == 36

    def test_points_of_a_large_space_are_drawn(self) -> None:
        large = {"d": FloatDistribution(0.0, 1.0)}
        draws = iter([{"d": 0.5}, {"d": 0.5}, {"d": 0.25}])
        assert untried(large, [point({"d": 0.5})], np.random.default_rng(0), lambda: next(draws)) == {"d": 0.25}


class TestDuplicates:
    @pytest.mark.parametrize("sampler", ["tpe", "random"])
    def test_no_configuration_is_tried_twice(self, tmp_path: Path, sampler: str) -> None:
        search = search_over(tmp_path, "model.hidden_size = { low = 1, high = 30 }", 24, sampler=sampler)
        tried = []
        while (trial := search.ask()) is not None:
            tried.append(trial[1]["model.hidden_size"])
            # Towards the best one: there TPE proposes the same again and again.
            search.complete(trial[0], -abs(trial[1]["model.hidden_size"] - 20.0))
        assert len(tried) == len(set(tried)) == search.counted == len(search.trials()) == 24
        assert len(search.study.trials) > 24  # the proposals put aside

    def test_nor_while_its_twin_is_under_way(self, tmp_path: Path) -> None:
        search = search_over(tmp_path, "model.hidden_size = { low = 1, high = 4 }", 4)
        assert {search.ask()[1]["model.hidden_size"] for _ in range(4)} == {1, 2, 3, 4}

    def test_a_small_space_ends_the_search(self, tmp_path: Path) -> None:
        search = search_over(tmp_path, "model.pooling = { choices = ['last', 'mean', 'max'] }", 10)
        numbers = [search.ask()[0] for _ in range(3)]
        assert search.exhausted
        proposals = len(search.study.trials)
        assert search.ask() is None
        assert len(search.study.trials) == proposals  # nothing is proposed any more
        search.complete(numbers[0], 0.5)
        search.give_up(numbers[1], "killed")
        assert not search.exhausted
        assert search.ask()[1] == search.study.trials[numbers[1]].params
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
        assert read_trials(spec, "torch", storage).exhausted


class TestIdentity:
    @staticmethod
    def began(directory: Path, data: str = "data", experiment: str | None = "mine", **settings: object) -> Search:
        path = directory / "small.toml"
        path.write_text('models = ["torch"]\ntrials = 1\nspace.model.layers = { low = 1, high = 2 }')
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
        self.began(tmp_path, **{"data.name": "moved/mine.csv", "data.limit": 1_000_000})

    def test_a_study_of_another_form_is_refused_by_name(self, tmp_path: Path) -> None:
        search = self.began(tmp_path)
        search.study.set_user_attr("format", None)
        with pytest.raises(RunError, match=r"'small' was stored by an earlier one.*--study-name NAME"):
            self.began(tmp_path)
        search.study.set_user_attr("format", 3)
        with pytest.raises(RunError, match="'small' was stored by another one"):
            read_trials(search.spec, "torch", open_storage(str(tmp_path / "optuna.journal")))


class TestSeveralSeeds:
    SPACE = "training.lr = { low = 1e-4, high = 1e-1, log = true }"

    def test_trials_are_raced_from_seed_to_seed(self, tmp_path: Path) -> None:
        search = search_over(tmp_path, self.SPACE, 3, seeds_per_trial=6)
        assert search.spec.pruner == "wilcoxon"
        best, _ = search.ask()
        for place, value in enumerate((0.80, 0.82, 0.81, 0.83, 0.80, 0.84)):
            assert search.report(best, place, value) == "go on"
        search.complete(best, 0.8167)
        worse, _ = search.ask()
        verdicts = [search.report(worse, place, value) for place, value in enumerate((0.70, 0.73, 0.69, 0.74))]
        assert verdicts == ["go on", "go on", "go on", "prune"]  # 1/16 < 0.1 from the fourth pair on
        search.prune(worse)
        like, _ = search.ask()
        for place, value in enumerate((0.81, 0.81, 0.82, 0.83, 0.79, 0.84)):
            assert search.report(like, place, value) == "go on"
        summaries = search.trials()
        assert [(trial.state, trial.epochs) for trial in summaries] == [
            ("complete", 12), ("pruned", 8), ("running", 12)]
        assert summaries[1].value == pytest.approx((0.70 + 0.73 + 0.69 + 0.74) / 4)

    def test_a_trial_that_is_tried_again_keeps_its_seeds(self, tmp_path: Path) -> None:
        search = search_over(tmp_path, self.SPACE, 3, seeds_per_trial=3)
        number, _ = search.ask()
        search.report(number, 0, 0.7)
        search.report(number, 1, 0.8)
        search.give_up(number, "killed")
        again, _ = search.ask()
        assert search.seeds_done(again) == [0.7, 0.8]
        search.give_up(again, "killed before it began")
        assert search.seeds_done(search.ask()[0]) == [0.7, 0.8]

    def test_a_search_of_one_seed_does_not_go_on_with_several(self, tmp_path: Path) -> None:
        search_over(tmp_path, self.SPACE, 3)
        with pytest.raises(UsageError, match=r"is now .validation accuracy, mean over 3 seeds"):
            search_over(tmp_path, self.SPACE, 3, seeds_per_trial=3)

    @pytest.mark.parametrize(("seeds", "pruner"), [(1, "median"), (2, "none"), (4, "none"), (5, "wilcoxon")])
    def test_the_usual_pruner(self, tmp_path: Path, seeds: int, pruner: str) -> None:
        assert search_over(tmp_path, self.SPACE, 3, seeds_per_trial=seeds).spec.pruner == pruner

    @pytest.mark.parametrize(("seeds", "pruner", "message"), [
        (4, "wilcoxon", "needs seeds_per_trial of at least 5, because its test cannot reject below 4 pairs"),
        (2, "median", "pruner 'median' compares epochs of one seed, but seeds_per_trial is 2"),
    ])
    def test_a_pruner_that_cannot_be(self, tmp_path: Path, seeds: int, pruner: str, message: str) -> None:
        with pytest.raises(UsageError, match=message):
            search_over(tmp_path, self.SPACE, 3, seeds_per_trial=seeds, pruner=pruner)

    def test_search_seeds_are_never_confirm_seeds(self, tmp_path: Path) -> None:
        spec = search_over(tmp_path, self.SPACE, 3, seeds_per_trial=4, seed=9_998).spec
        assert spec.search_seeds == (9_998, 9_999, 0, 1)
        assert min(spec.confirm_seeds) > 9_999
