"""Pairs of models through planned interim analyses: what settles them, and what does not."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import combinations
from types import ModuleType

import numpy as np
import pytest

from gru_bench.config import MetricName
from gru_bench.results.interim import MIXTURE, InterimAnalysis, InterimPlan, interim_json
from gru_bench.results.runs import parsed
from gru_bench.stats.estimate import accuracy_difference
from gru_bench.stats.interim import (
    Kind,
    PairAnalyses,
    compared_at,
    follow,
    fraction_of,
    is_settled,
    scored_at,
    settled_as,
)
from gru_bench.stats.intervals import Scored, difference, paired_difference
from gru_bench.stats.metrics import of_two
from gru_bench.stats.spending import levels
from gru_bench.stats.verdict import Finding
from gru_bench.sweep.console.interim import pair_line
from tests.support.benchmarks import benchmark
from tests.support.commands import mentions
from tests.support.values import present

SEEDS = 20


def plan_of(*models: str, interim: tuple[int, ...] = (5, 8, 12, 20), metric: MetricName = "accuracy",
            margin: float = 0.01) -> InterimPlan:
    return InterimPlan("s", models or ("a", "b"), metric, margin, interim, tuple(range(interim[-1])), "data")


def drawn(chances: Mapping[str, float], examples: int = 1500, seeds: int = SEEDS, seed: int = 0) -> dict[str, Scored]:
    """Runs of models with these accuracies, on examples that are hard or easy for each model."""
    rng = np.random.default_rng(seed)
    label_N = np.zeros(examples, np.int8)
    found = {}
    for model, chance in chances.items():
        right_RN = rng.random((seeds, examples)) < np.clip(chance + rng.normal(0, 0.1, examples), 0, 1)
        found[model] = Scored(label_N, of_two(np.where(right_RN, 0.1, 0.9)))
    return found


def analyzed(runs: Mapping[str, Scored], sizes: Sequence[int]) -> list[dict[str, Scored]]:
    return [{model: replace(one, probability_RNC=one.probability_RNC[:size]) for model, one in runs.items()}
            for size in sizes]


def test_the_variance_falls_with_more_seeds_as_expected() -> None:
    runs = drawn({"a": 0.8, "b": 0.8}, examples=4000)
    few = accuracy_difference(runs["a"].correct_RN[:8], runs["b"].correct_RN[:8])
    later = accuracy_difference(runs["a"].correct_RN, runs["b"].correct_RN)
    design = present(few.design)
    assert design.variance((8, 8), 4000) == pytest.approx(few.variance, rel=0.35)
    assert design.variance((20, 20), 4000) == pytest.approx(later.variance, rel=0.35)
    assert 0.4 < fraction_of(few, 20) < 1.0
    assert fraction_of(later, 20) == 1.0
    assert design.variance((10**9, 10**9), 4000) == pytest.approx(design.floor / 4000)


def test_variance_is_the_variance_sum_where_seeds_vary() -> None:
    """floor + sum s2/R is v + sum max(0, s2 - MSE/N)/R where no term is cut off at 0."""
    rng = np.random.default_rng(1)
    chance_R1 = rng.normal(0.8, 0.05, (6, 1))
    a, b = (rng.random((6, 900)) < chance_R1 for _ in range(2))
    found = accuracy_difference(a, b)
    assert present(found.design).variance((6, 6), 900) == pytest.approx(found.variance, rel=1e-9)


def reference(
    plan: InterimPlan, analyses: Sequence[Mapping[str, Scored]], kind: Kind, pairs: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], int]:
    """Pair -> the look at which something is found on it: Holm's step-down at each interim analysis, written out."""
    fractions: dict[tuple[str, str], list[float]] = {pair: [] for pair in pairs}
    found: dict[tuple[str, str], int] = {}
    for place, runs in enumerate(analyses):
        p = {}
        for pair in pairs:
            a, b = (runs[model].correct_RN for model in pair)
            difference = accuracy_difference(a, b)
            p[pair] = {Kind.DIFFERENT: present(difference.p), Kind.BEYOND: difference.p_beyond(plan.margin),
                       Kind.EQUIVALENT: difference.p_equivalent(plan.margin)}[kind]
            design, last = present(difference.design), place == len(plan.interim) - 1
            examples = difference.examples
            now = 1.0 if last else (
                design.variance((plan.interim[-1],) * 2, examples) / design.variance((len(a), len(b)), examples))
            fractions[pair].append(round(max([now, *fractions[pair]]), 2))
        while True:
            left = [pair for pair in pairs if pair not in found]
            new = [pair for pair in left if p[pair] <= levels(
                fractions[pair], plan.alpha / len(left), sides=1 if kind is Kind.EQUIVALENT else 2)[-1]]
            if not new:
                break
            found |= dict.fromkeys(new, place)
    return found


@pytest.mark.parametrize("seed", range(8))
def test_each_kind_of_finding_is_that_of_the_reference(seed: int) -> None:
    plan = plan_of("a", "b", "c", margin=0.02)
    runs = drawn({"a": 0.80, "b": 0.81, "c": 0.77 + 0.01 * (seed % 4)}, examples=1500, seed=seed)
    analyses = analyzed(runs, plan.interim)
    steps = [follow(plan, analyses[:count + 1]) for count in range(len(analyses))]
    for kind in Kind:
        found = {pair.pair: next(place for place, step in enumerate(steps) if kind in step[index].found)
                 for index, pair in enumerate(steps[-1]) if kind in pair.found}
        assert found == reference(plan, analyses, kind, list(combinations(plan.models, 2)))


@pytest.mark.parametrize("seed", range(4))
def test_comparisons_with_the_linear_model_are_a_family_of_their_own(seed: int) -> None:
    """Each family has the step-down that it has alone; the linear model is its row repeated for each seed."""
    plan = replace(plan_of("a", "b", "c", margin=0.02), is_with_linear=True)
    runs = drawn({"a": 0.80, "b": 0.81, "c": 0.77, "ngrams": 0.775 + 0.01 * seed}, examples=1500, seed=seed)
    once = replace(runs.pop("ngrams"), is_fitted_once=True)
    once = replace(once, probability_RNC=once.probability_RNC[:1])
    analyses = analyzed(runs, plan.interim)
    repeated = [{**analysis, "ngrams": Scored(once.label_N, np.repeat(once.probability_RNC, size, axis=0))}
                for analysis, size in zip(analyses, plan.interim, strict=True)]
    steps = [follow(plan, analyses[:count + 1], ("ngrams", once)) for count in range(len(analyses))]
    assert [pair.pair for pair in steps[-1]] == [
        ("a", "b"), ("a", "c"), ("b", "c"), ("a", "ngrams"), ("b", "ngrams"), ("c", "ngrams")]
    for kind in Kind:
        found = {pair.pair: next(place for place, step in enumerate(steps) if kind in step[index].found)
                 for index, pair in enumerate(steps[-1]) if kind in pair.found}
        assert found == {**reference(plan, repeated, kind, plan.families("ngrams")[0]),
                         **reference(plan, repeated, kind, plan.families("ngrams")[1])}
    assert {compared_at(pair, plan, pair.pair).family for pair in steps[-1][3:]} == {3}


@pytest.mark.parametrize(("is_with_linear", "is_known"), [(False, True), (True, False)])
def test_a_linear_model_that_is_not_planned_or_not_known_is_not_compared(is_with_linear: bool, is_known: bool) -> None:
    plan = replace(plan_of(), is_with_linear=is_with_linear)
    runs = drawn({"a": 0.8, "b": 0.8})
    once = replace(runs["a"], probability_RNC=runs["a"].probability_RNC[:1], is_fitted_once=True)
    (pair,) = follow(plan, analyzed(runs, plan.interim), ("ngrams", once) if is_known else None)
    assert pair.pair == ("a", "b")


def test_a_model_alone_is_settled_by_the_linear_model() -> None:
    plan = replace(plan_of("a"), is_with_linear=True)
    runs = drawn({"a": 0.7, "ngrams": 0.85})
    once = replace(runs.pop("ngrams"), is_fitted_once=True)
    pairs = follow(plan, analyzed(runs, plan.interim[:1]), ("ngrams", replace(
        once, probability_RNC=once.probability_RNC[:1])))
    assert is_settled(pairs)
    assert settled_as(pairs[0]) == "a, ngrams: better by more than the margin"


def with_mixture(runs: Mapping[str, Scored], sizes: Sequence[int], share: float) -> list[dict[str, Scored]]:
    """Return looks at these runs and at a mixture that is right where `a` is wrong in so many cases."""
    right_RN = runs["a"].correct_RN | (np.random.default_rng(5).random(runs["a"].correct_RN.shape) < share)
    mixture = Scored(runs["a"].label_N, of_two(np.where(right_RN, 0.1, 0.9)))
    return analyzed({**runs, MIXTURE: mixture}, sizes)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.15])
def test_the_mixture_with_its_parts_is_a_family_of_two(share: float) -> None:
    plan = replace(plan_of("a", "b", margin=0.02), is_with_linear=True, is_with_mixture=True)
    runs = drawn({"a": 0.80, "b": 0.75, "ngrams": 0.78}, examples=1500)
    once = replace(runs["ngrams"], probability_RNC=runs.pop("ngrams").probability_RNC[:1], is_fitted_once=True)
    analyses = with_mixture(runs, plan.interim, share)
    *others, first, second = follow(plan, analyses, ("ngrams", once), "a")
    assert [pair.pair for pair in (first, second)] == [(MIXTURE, "ngrams"), (MIXTURE, "a")]
    assert [(pair.pair, pair.found, len(pair.analyses)) for pair in others] == [
        (pair.pair, pair.found, len(pair.analyses)) for pair in follow(plan, analyses, ("ngrams", once))]
    assert {compared_at(pair, plan, pair.pair).family for pair in (first, second)} == {2}
    for place, analysis in enumerate(analyses):
        assert second.analyses[place].usual == paired_difference("accuracy", analysis[MIXTURE], analysis["a"])
        assert first.analyses[place].usual == difference("accuracy", analysis[MIXTURE], once)
    fractions = [present(one.fraction) for one in second.analyses]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    if share:
        assert Kind.DIFFERENT in second.found
        assert second.analyses[0].tested_at == levels(fractions[:1], 0.05 / 2)[0]


@pytest.mark.parametrize(("is_planned", "trained"), [(False, "a"), (True, None)])
def test_a_mixture_that_is_not_planned_or_does_not_exist_is_not_compared(
    is_planned: bool, trained: str | None
) -> None:
    plan = replace(plan_of("a"), is_with_linear=True, is_with_mixture=is_planned)
    runs = drawn({"a": 0.8})
    once = replace(runs["a"], probability_RNC=runs["a"].probability_RNC[:1], is_fitted_once=True)
    assert [pair.pair for pair in follow(plan, with_mixture(runs, plan.interim, 0.1), ("ngrams", once), trained)] == [
        ("a", "ngrams")]


def test_the_plan_of_a_version_without_these_families_keeps_its_digest() -> None:
    values = {key: value for key, value in asdict(plan_of()).items() if not key.startswith("is_with_")}
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
    plan, logged = InterimPlan.from_json(json.dumps({**values, "digest": digest}))
    assert (plan.is_with_linear, plan.is_with_mixture) == (False, False)
    assert plan.digest == logged
    assert len({replace(plan, is_with_mixture=one).digest for one in (False, True)}) == 2


def test_a_large_difference_settles_a_pair_at_the_first_interim_analysis() -> None:
    plan = plan_of()
    (pair,) = follow(plan, analyzed(drawn({"a": 0.7, "b": 0.85}), plan.interim[:1]))
    assert pair.settled is pair.last
    assert pair.last.finding is Finding.BETTER_BY_MARGIN
    assert settled_as(pair) == "a, b: better by more than the margin"
    mentions(pair_line(plan, pair), "a is worse than b by more than 1.0 points", "settled at interim analysis 1 of 4")
    wide, usual = present(pair.last.repeated), pair.last.usual
    assert wide.low < usual.low < usual.high < wide.high < 0
    assert is_settled([pair])
    back = pair.flipped()
    assert (back.pair, back.last.usual.estimate) == (("b", "a"), -usual.estimate)
    assert (present(back.last.repeated).low, present(back.last.repeated).high) == (-wide.high, -wide.low)


def test_equal_models_are_equivalent_once_test_reviews_allow_it() -> None:
    plan = plan_of(margin=0.02)
    runs = drawn({"a": 0.9, "b": 0.9}, examples=6000)
    (pair,) = follow(plan, analyzed(runs, plan.interim))
    assert present(pair.settled).finding is Finding.EQUIVALENT
    inner = present(present(pair.settled).equivalence)
    assert -plan.margin < inner.low < inner.high < plan.margin
    (small,) = follow(plan, analyzed(drawn({"a": 0.9, "b": 0.9}, examples=120), plan.interim))
    assert small.settled is None


def test_says_where_no_number_of_seeds_can_settle_a_pair() -> None:
    rng = np.random.default_rng(3)
    label_N = np.zeros(300, np.int8)
    # Each model knows its own reviews: its seeds agree, and the two models do not.
    runs = {model: Scored(label_N, of_two(np.tile(np.where(rng.random(300) < 0.8, 0.1, 0.9), (6, 1))))
            for model in "ab"}
    plan = plan_of(interim=(6, 12))
    (pair,) = follow(plan, [runs])
    assert pair.last.finding is Finding.INCONCLUSIVE
    assert pair.last.needs_examples(plan.margin)
    (other,) = follow(plan, analyzed(drawn({"a": 0.8, "b": 0.8}, examples=6000), (6,)))
    assert not other.last.needs_examples(plan.margin)


def test_interim_analyses_below_five_seeds_settle_nothing_and_spend_nothing() -> None:
    runs = drawn({"a": 0.6, "b": 0.9})
    with_small, without = plan_of(interim=(2, 4, 6, 9)), plan_of(interim=(6, 9))
    (pair,) = follow(with_small, analyzed(runs, with_small.interim))
    assert [analysis.finding for analysis in pair.analyses[:2]] == [Finding.TOO_FEW_SEEDS] * 2
    assert pair.analyses[1].repeated is None
    (other,) = follow(without, analyzed(runs, without.interim))
    assert [analysis.level for analysis in pair.analyses[2:]] == [analysis.level for analysis in other.analyses]


def test_interim_analyses_at_fewer_than_twenty_groups_settle_nothing_and_spend_nothing() -> None:
    runs = drawn({"a": 0.6, "b": 0.9}, examples=1600)
    plan = plan_of(interim=(5, 20))

    def found(groups: int) -> PairAnalyses:
        group_N = np.array([str(place % groups) for place in range(1600)])
        grouped = {model: replace(one, group_N=group_N) for model, one in runs.items()}
        (pair,) = follow(plan, analyzed(grouped, plan.interim))
        return pair

    few, enough = found(8), found(20)
    assert [analysis.finding for analysis in few.analyses] == [Finding.TOO_FEW_GROUPS] * 2
    assert (few.settled, few.last.repeated, few.last.fraction) == (None, None, None)
    assert enough.settled is not None
    shown = compared_at(few, plan, few.pair)
    assert shown.difference == few.last.usual
    assert "repeated" not in shown.interval_name


def test_the_last_interim_analysis_spends_all_that_is_left_also_where_a_run_failed() -> None:
    plan = plan_of(interim=(6, 12))
    runs = drawn({"a": 0.8, "b": 0.8})
    first, last = analyzed(runs, (6, 12))
    last["b"] = Scored(last["b"].label_N, last["b"].probability_RNC[:9])
    (pair,) = follow(plan, [first, last])
    assert list(pair.last.usual.seeds) == [12, 9]
    assert pair.last.fraction == 1.0


def test_an_interim_analysis_with_very_little_information_settles_nothing() -> None:
    rng = np.random.default_rng(0)
    runs = {model: Scored(np.zeros(4000, np.int8), of_two(np.where(
        rng.random((5, 4000)) < rng.normal(0.8, 0.05, (5, 1)), 0.1, 0.9))) for model in "ab"}
    (pair,) = follow(plan_of(interim=(5, 200)), [runs])
    assert present(pair.last.level) < 1e-16  # one minus it is 1
    wide = present(pair.last.repeated)
    assert wide.low < pair.last.usual.low < pair.last.usual.high < wide.high
    assert pair.settled is None


def test_one_model_alone_is_never_settled() -> None:
    plan = plan_of("a")
    pairs = follow(plan, analyzed(drawn({"a": 0.8}), plan.interim))
    assert pairs == []
    assert not is_settled(pairs)


def test_the_model_with_the_lower_log_loss_is_better() -> None:
    plan = plan_of(metric="log_loss", margin=0.02)
    rng = np.random.default_rng(0)
    label_N = np.zeros(800, np.int8)
    sure, unsure = (Scored(label_N, of_two(np.clip(rng.normal(p, 0.05, (5, 800)), 0.01, 0.99))) for p in (0.1, 0.4))
    (pair,) = follow(plan, [{"a": sure, "b": unsure}])
    assert pair.last.usual.estimate < 0
    mentions(pair_line(plan, pair), "a is better than b", "0.020 nats")


def test_an_interim_analysis_uses_only_its_own_seeds() -> None:
    runs = drawn({"a": 0.8, "b": 0.8}, seeds=3)
    by_seed = {model: {seed: Scored(one.label_N, one.probability_RNC[seed][None]) for seed in range(3)}
               for model, one in runs.items()}
    analysis = InterimAnalysis(3, {"a": (0, 2), "b": (0, 1, 2)})
    found = scored_at(analysis, by_seed)
    assert np.array_equal(found["a"].probability_RNC, runs["a"].probability_RNC[[0, 2]])
    assert np.array_equal(found["b"].probability_RNC, runs["b"].probability_RNC)
    del by_seed["b"][1]  # a run that is gone is left out
    assert np.array_equal(scored_at(analysis, by_seed)["b"].probability_RNC, runs["b"].probability_RNC[[0, 2]])


def test_plans_and_interim_analyses_are_read_back_from_json() -> None:
    plan = plan_of()
    again, digest = InterimPlan.from_json(plan.to_json())
    assert (again, digest) == (plan, plan.digest)
    assert plan_of(margin=0.02).digest != plan.digest
    analyses = [InterimAnalysis(5, {"a": (1, 2), "b": (1,)}),
                InterimAnalysis(8, {"a": (1,), "b": (2,)}, ("a, b: better",), stops=True)]
    assert parsed(list[InterimAnalysis], interim_json(analyses)) == analyses
    for text in ("{}", '{"digest": ""}'):
        with pytest.raises(ValueError, match="study: Field required"):
            InterimPlan.from_json(text)
    with pytest.raises(ValueError, match="digest"):
        InterimPlan.from_json(plan.to_json().replace('"digest"', '"other"'))
    with pytest.raises(ValueError, match="planned: Field required"):
        parsed(list[InterimAnalysis], "[{}]")


@pytest.fixture(scope="module")
def promises() -> ModuleType:
    return benchmark("interim")


@pytest.mark.slow
def test_interim_analyses_keep_the_error_that_repeated_testing_exceeds(promises: ModuleType) -> None:
    """A short run of the benchmark; its full run is in benchmarks/NOTES.md."""
    repetitions = 150
    sums = promises.simulated(0.005, 500, repetitions, np.random.default_rng(0))
    ours = {key.partition(": ")[2]: value for key, value in sums.items() if key.startswith("variances, together")}
    # The standard error of a share near 5 % is 1.8 points here.
    assert ours["family"] / repetitions < 0.10
    assert ours["family"] <= sums["uncorrected"]
    assert ours["held"] / repetitions > 0.90
    assert ours["power"] / repetitions > sums["fixed"] / repetitions - 0.06
    assert ours["equivalent apart"] / repetitions < 0.10
    assert ours["seeds apart"] / repetitions < 20
