"""benchmarks/search.py trains a table that can be resumed, and replays the policies of a search on it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import optuna
import pytest

from gru_bench.errors import RunError
from gru_bench.sweep.sharing.storage import open_storage
from gru_bench.sweep.study import StudyRecord
from tests.support.benchmarks import benchmark


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    return benchmark("search")


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def table(bench: ModuleType, score_CS: np.ndarray, true_C: np.ndarray, second_C: Sequence[float] | None = None) -> Any:
    """A table of two epochs with two checks each; a check shows the final score less what is still to be learnt."""
    second_C = np.ones(len(true_C)).tolist() if second_C is None else second_C

    def run(score: float, seconds: float) -> Any:
        learnt = 0.5 if math.isnan(score) else score
        checks = [(seconds * share, learnt - 0.1 * (1 - share)) for share in (0.25, 0.5, 0.75, 1.0)]
        return bench.Run(checks, checks[1::2], 0.01 * seconds, seconds, score)

    return bench.Table(bench.configurations(len(true_C)), [[run(score, seconds) for score in score_S] for
                       score_S, seconds in zip(score_CS.tolist(), second_C, strict=True)], true_C)


def without_noise(bench: ModuleType, count: int, second_C: Sequence[float] | None = None) -> Any:
    true_C = np.random.default_rng(1).uniform(0.8, 0.9, count)
    return table(bench, np.stack([true_C] * 3, axis=1), true_C, second_C)


@pytest.mark.slow
class TestSpace:
    def test_configurations_lie_in_the_space_and_do_not_depend_on_their_number(self, bench: ModuleType) -> None:
        found = bench.configurations(64)
        assert bench.configurations(40) == found[:40]
        for key, (low, high, _) in bench.SPACE.items():
            values = [settings[key] for settings in found]
            assert min(values) >= low
            assert max(values) <= high
        assert {settings["model.hidden_size"] for settings in found} == set(range(32, 257, 32))
        assert {settings["model.dropout"] for settings in found} == {0.2, 0.3, 0.4, 0.5, 0.6, 0.7}
        assert {settings["model.layers"] for settings in found} == {1, 2}

    @pytest.mark.parametrize("kind", ["random", "tpe", "gp"])
    def test_each_trial_is_an_untried_configuration_of_the_table(self, bench: ModuleType, kind: str) -> None:
        searched = without_noise(bench, 8)
        policy = bench.Policy(kind, 0.25, good=False)
        sampler = bench.table_sampler(searched, [3], bench._sampler(policy, 8, 0), np.random.default_rng(0))
        study = optuna.create_study(sampler=sampler, direction="maximize")
        for _ in range(8):
            trial = study.ask(sampler.space)
            assert trial.params == searched.settings[sampler.tried[-1]]
            study.tell(trial, searched.true_C[sampler.tried[-1]])
        assert sampler.tried[0] == 3
        assert sorted(sampler.tried) == list(range(8))

    def test_a_point_is_replaced_by_the_nearest_configuration(self, bench: ModuleType) -> None:
        searched = without_noise(bench, 32)
        assert all(searched.nearest(settings, range(32)) == n for n, settings in enumerate(searched.settings))
        near = {**searched.settings[5], "training.lr": 1.01 * searched.settings[5]["training.lr"]}
        assert searched.nearest(near, range(32)) == 5
        assert searched.nearest(near, [n for n in range(32) if n != 5]) != 5


class TestSeconds:
    def test_the_seconds_of_a_full_size_run(self, bench: ModuleType) -> None:
        """An epoch of a quarter of the reviews takes 8 s, a check 0.5 s, a validation 1 s."""
        checks = [2.5 * number + (number > 4) for number in range(1, 9)]
        row = {"check_seconds": checks, "checks": [0.5] * 8, "epoch_seconds": [11.0, 22.0], "epochs": [0.6, 0.7],
               "seconds": 22.0, "score": 0.7, "failed": False}
        run = bench.Run.of(row, 0.25, 0.5, math.nan)
        assert run.check_seconds == 0.5
        assert [seconds for seconds, _ in run.checks] == [8.0 * n + (n > 4) for n in range(1, 9)]
        assert run.reports(False) == [(33.0, 0.6), (66.0, 0.7)]
        assert run.end(False) == 66.0
        assert run.end(True) == 70.0
        assert run.reports(True)[5] == (52.0, 0.5)

    def test_the_seconds_of_a_failed_run(self, bench: ModuleType) -> None:
        row = {"check_seconds": [1.5, 3.0], "checks": [0.5, 0.5], "epoch_seconds": [], "epochs": [], "seconds": 4.0,
               "score": math.nan, "failed": True}
        run = bench.Run.of(row, 0.25, 0.5, 1.0)
        assert run.end(False) == 12.0
        assert math.isnan(run.score)


@pytest.mark.slow
class TestTruth:
    WORLDS: tuple[Callable[[np.random.Generator], np.ndarray], ...] = (
        lambda rng: np.full(64, 0.87), lambda rng: rng.normal(0.87, 0.003, 64),
        lambda rng: 0.875 - 0.02 * rng.gamma(0.7, size=64))
    """All alike; as different as seeds are; a few good ones and many bad ones."""

    @pytest.mark.parametrize("world", WORLDS)
    def test_expected_scores_favor_neither_a_race_nor_its_absence(
        self, bench: ModuleType, world: Callable[[np.random.Generator], np.ndarray]
    ) -> None:
        rng, tables = np.random.default_rng(0), 300
        gain_T3 = np.zeros((tables, 3))
        for place in range(tables):
            true_C = world(rng)
            score_CS = rng.normal(true_C[:, None], 0.003, (64, 3))
            tried = rng.permutation(64)[:12]
            finalists = tried[np.argsort(-score_CS[tried, 0])[:3]]
            winner = finalists[score_CS[finalists].mean(axis=1).argmax()]
            gain_T3[place] = [values[winner] - values[finalists[0]] for values in (
                true_C, bench.expected_scores(score_CS), score_CS.mean(axis=1))]
        true, expected, plain = 100 * gain_T3.mean(axis=0)
        # The standard error of a gain is about 0.01 points.
        assert expected == pytest.approx(true, abs=0.02)
        assert plain > true + 0.02

    def test_without_noise_the_expected_score_is_the_score(self, bench: ModuleType) -> None:
        true_C = np.random.default_rng(0).uniform(0.8, 0.9, 20)
        assert bench.expected_scores(np.stack([true_C, true_C], axis=1)) == pytest.approx(true_C)


@pytest.mark.slow
class TestReplay:
    def test_random_search_has_the_regret_of_the_best_of_n(self, bench: ModuleType) -> None:
        searched, count, trials = without_noise(bench, 32), 32, 6
        found = bench.repeated(searched, bench.Policy(good=False), 1, 400)
        assert {len(outcome.tried) for outcome in found.outcomes} == {trials}
        ranked = np.sort(searched.true_C)[::-1]
        chance = [math.comb(count - 1 - rank, trials - 1) / math.comb(count, trials) for rank in range(count)]
        expected = 100 * (ranked[0] - np.dot(chance, ranked))
        regrets = found.regrets(searched)
        assert regrets.mean() == pytest.approx(expected, abs=4 * regrets.std() / 400**0.5)
        assert found.optimism(searched) == pytest.approx(0)

    @pytest.mark.parametrize("sampler", ["random", "tpe"])
    def test_a_pruner_that_never_prunes_changes_nothing(self, bench: ModuleType, sampler: str) -> None:
        searched = without_noise(bench, 32, np.random.default_rng(2).uniform(0.5, 2, 32).tolist())
        none = bench.Policy(sampler)
        never = replace(none, pruner="MedianPruner", options={"n_startup_trials": 1000})
        assert bench.repeated(searched, none, 1, 5).outcomes == bench.repeated(searched, never, 1, 5).outcomes

    def test_the_race_picks_the_best_finalist(self, bench: ModuleType) -> None:
        searched = without_noise(bench, 32)
        found = bench.repeated(searched, bench.Policy(race=(3, 1)), 2, 5)
        for outcome in found.outcomes:
            assert outcome.chosen == max(outcome.tried, key=lambda number: searched.true_C[number])
            assert outcome.score == pytest.approx(searched.true_C[outcome.chosen])

    def test_fresh_seeds_correct_the_luck_of_the_search(self, bench: ModuleType) -> None:
        searched = table(bench, np.array([[0.90, 0.80, 0.80], [0.89, 0.88, 0.87], [0.88, 0.86, math.nan]]),
                         np.array([0.83, 0.88, 0.86]), [1.0, 2.0, 4.0])
        score, chosen, seconds = bench.raced(searched, [(0.90, 0), (0.89, 1), (0.88, 2)], [1, 2])
        assert (score, chosen, seconds) == (pytest.approx(0.88), 1, 14.0)

    def test_all_policies_use_the_same_seconds(self, bench: ModuleType) -> None:
        rng = np.random.default_rng(3)
        true_C = rng.uniform(0.8, 0.9, 256)
        searched = table(bench, rng.normal(true_C[:, None], 0.005, (256, 3)), true_C,
                         rng.lognormal(0, 0.5, 256).tolist())
        halving = bench.Policy(pruner="SuccessiveHalvingPruner", checks=True,
                               options={"min_resource": 1, "reduction_factor": 2})
        for policy in (bench.Policy(), halving, bench.Policy(race=(3, 1))):
            found = bench.repeated(searched, policy, 2, 100)
            used = np.array([outcome.seconds for outcome in found.outcomes]) / (12 * searched.mean_seconds)
            # The pilots' mean has a standard error, too: the one of 20 repetitions.
            assert used.mean() == pytest.approx(1, abs=3.5 * used.std() * (1 / 20 + 1 / 100) ** 0.5), policy.name
            assert used.mean() == pytest.approx(1, abs=0.1)
        assert np.mean([len(outcome.tried) for outcome in bench.repeated(searched, halving, 2, 50).outcomes]) > 16

    def test_a_trial_is_compared_with_trials_that_have_ended_by_then(self, bench: ModuleType) -> None:
        """Of two that run side by side, a median pruner cannot stop the second one by the first one's end."""
        searched = without_noise(bench, 16)
        median = bench.Policy(pruner="MedianPruner", options={"n_startup_trials": 1}, good=False)

        def seconds(workers: int) -> set[float]:
            return {bench.search(searched, median, until=1.5, trials=2, workers=workers,
                                 rng=np.random.default_rng(seed)).seconds for seed in range(20)}

        assert seconds(2) == {2.0}
        assert seconds(1) == {1.5, 2.0}

    def test_failed_trials_are_never_chosen(self, bench: ModuleType) -> None:
        score_CS = np.full((12, 2), math.nan)
        score_CS[::3] = 0.8
        searched = table(bench, score_CS, np.full(12, 0.8))
        for policy in bench.policies():
            if policy.sampler != "gp" and bench.is_possible(policy, 4, 2):
                found = bench.repeated(searched, policy, 4, 3)
                assert all(outcome.chosen % 3 == 0 for outcome in found.outcomes), policy.name

    def test_another_seed_gives_other_searches(self, bench: ModuleType) -> None:
        searched = without_noise(bench, 32)
        hyperband = next(policy for policy in bench.policies() if "hyperband" in policy.name)
        first, again, other = (bench.repeated(searched, hyperband, 1, 5, seed=seed).outcomes for seed in (0, 0, 1))
        assert first == again
        assert first != other


def quick(csv: Path, *more: str) -> list[str]:
    settings = {"embedding.dimension": 6, "model.backend": "torch", "training.device": "cpu", "data.max_length": 8,
                "training.batch_size": 8, "data.limit": 120}
    return ["train", "--out", "table.parquet", "--data", str(csv), "--embedding", "random", "--share", "0.5",
            "--configurations", "3", "--seeds", "2", "--processes", "1",
            *(word for key, value in settings.items() for word in ("--set", f"{key}={value}")), *more]


@pytest.mark.slow
class TestTrain:
    def test_trains_what_is_missing_in_the_table(
        self, bench: ModuleType, easy_csv: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lines = Path("table.jsonl")
        bench.main(quick(easy_csv, "--full", "2"))
        about, *rows = map(json.loads, lines.read_text().splitlines())
        assert [(row["configuration"], row["seed"], row["share"]) for row in rows[:6]] == [
            (number, seed, 0.5) for seed in (0, 1) for number in range(3)]
        assert [(row["seed"], row["share"]) for row in rows[6:]] == [(2, 1.0)] * 2
        for row in rows:
            assert len(row["checks"]) == len(row["check_seconds"]) == 4 * len(row["epochs"]) == 8
            assert row["score"] == max(row["epochs"])
            assert row["check_seconds"] == sorted(row["check_seconds"])
            assert row["check_seconds"][-1] <= row["seconds"]
        assert about["share"] == 0.5
        assert str(easy_csv.parent) not in lines.read_text()

        kept = lines.read_text().splitlines()[:4]
        lines.write_text("\n".join([*kept, '{"configuration": 0, "se']))  # the process died while it wrote
        bench.main(quick(easy_csv, "--full", "2"))
        again = [json.loads(line) for line in lines.read_text().splitlines()]
        assert again[:4] == [json.loads(line) for line in kept]
        for first, second in zip(rows, again[1:], strict=True):
            assert {key for key in first if first[key] != second[key]} <= {"check_seconds", "epoch_seconds", "seconds"}

        before = lines.read_text()
        bench.main(quick(easy_csv, "--full", "2"))
        assert lines.read_text() == before
        assert Path("table.parquet").stat().st_size < 200_000
        capsys.readouterr()
        bench.main(["replay", "table.parquet", "--repetitions", "2", "--gp", "0", "--processes", "1", "--policies",
                    "race", "--budgets", "1", "--markdown"])
        printed = capsys.readouterr().out
        assert "3 configurations with 2 seeds on 50% of" in printed
        assert printed.count("| random, good first, race 2x1 |") == 1
        assert printed.count("| today: tpe, 5 at random, median at epochs |") == 1
        assert "race 3x2" not in printed, "there is one fresh seed only"

    def test_refuses_another_recipe(
        self, bench: ModuleType, easy_csv: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(bench, "_train", made_up)
        bench.main(quick(easy_csv))
        with pytest.raises(SystemExit, match=r"table\.jsonl.*training\.epochs was 2 and is now 1"):
            bench.main(quick(easy_csv, "--set", "training.epochs=1"))
        with pytest.raises(SystemExit, match=r"model\.dropout"):
            bench.main(quick(easy_csv, "--set", "model.dropout=0.1"))
        with pytest.raises(SystemExit, match=r"at least 4 batches.*has 1"):
            bench.main(quick(easy_csv, "--set", "training.batch_size=256"))

    def test_ctrl_c_loses_only_the_running_runs(
        self, bench: ModuleType, easy_csv: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(job: tuple[int, int, float]) -> dict[str, Any]:
            if job == (1, 1, 0.5):
                raise KeyboardInterrupt
            return made_up(job)

        monkeypatch.setattr(bench, "_train", interrupted)
        with pytest.raises(SystemExit, match="130"):
            bench.main(quick(easy_csv))
        assert len(Path("table.jsonl").read_text().splitlines()) == 5
        monkeypatch.setattr(bench, "_train", made_up)
        bench.main(quick(easy_csv))
        assert len(Path("table.jsonl").read_text().splitlines()) == 7

    def test_a_failed_run_is_a_row_of_the_table(
        self, bench: ModuleType, easy_csv: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def explode(*_: object, **__: object) -> None:
            raise RunError("the loss must stay finite")

        monkeypatch.setattr("gru_bench.train.loop.train", explode)
        bench.main(quick(easy_csv))
        _, *rows = map(json.loads, Path("table.jsonl").read_text().splitlines())
        assert [row["failed"] for row in rows] == [True] * 6
        assert all(math.isnan(row["score"]) and row["checks"] == [] for row in rows)


def made_up(job: tuple[int, int, float]) -> dict[str, Any]:
    number, seed, share = job
    return {"configuration": number, "seed": seed, "share": share, "failed": False, "score": 0.8, "seconds": 1.0}


def test_a_sweep_continues_the_trials_that_are_drawn_beforehand(tmp_path: Path) -> None:
    fraction = benchmark("fraction").Fraction("bidirectional", 2, 0, None, None, ())
    fraction.queue(tmp_path)
    record = StudyRecord(fraction.spec(), open_storage(str(tmp_path / "optuna.journal")), "f" * 64)
    assert [trial.state for trial in record.searches["bidirectional"].stored] == ["waiting", "waiting"]
