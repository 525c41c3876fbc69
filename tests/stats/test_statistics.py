"""The golden cases of the headline interval, its properties, and the rules that limit what it may say."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import optimize, stats

from gru_bench.stats.estimate import (
    ALPHA,
    METHOD_BOTH,
    METHOD_EXAMPLES,
    METHOD_FEW,
    Estimate,
    EvidenceLevel,
    _Part,
    accuracy_difference,
    accuracy_interval,
    estimate,
    wilson_interval,
)
from gru_bench.stats.sentence import TESTS, decided_by, in_words, quantity, verdict_template
from gru_bench.stats.values import Values
from gru_bench.stats.verdict import (
    Finding,
    PairTests,
    Verdict,
    adjusted_tests,
    can_be_equivalent,
    can_show_equivalence,
    examples_for_equivalence,
    holm,
    unseen_failures,
)
from gru_bench.stats.verdict import Pair as Compared
from tests.support.designs import design_of
from tests.support.values import present

TIGHT: Any = {"rel": 0, "abs": 1e-9}


def rows(text: str) -> np.ndarray:
    return np.array([[int(bit) for bit in row] for row in text.split()])


def remainders(k: int, threshold: int) -> np.ndarray:
    s, i = np.arange(5)[:, None], np.arange(200)
    return ((7 * i + k * s * i + 11 * s + k) % 29 >= threshold + (2 * s) % 5).astype(int)


GOLDEN = {
    "plain": (
        rows("1111111111 1111011110 1101110100"),
        rows("1101110100 1111010010 0100010000"),
        (1 / 3, 7 / 270, 2.6926729986, -0.2138181654, 0.8804848321, 0.1405338279),
    ),
    "unequal seeds": (
        rows("11111101 11011111"),
        rows("11110100 11011100 10110110 11110000"),
        (9 / 32, 151 / 7168, 6.9650743316, -0.0623026039, 0.6248026039, 0.0940502866),
    ),
    "no seed variance left": (
        rows("11111110 11111101 11111011"),
        rows("11110001 11011001 10111001"),
        (1 / 4, 5 / 336, 7.0, -0.0384546225, 0.5384546225, 0.0796020125),
    ),
    "degrees of freedom at their floor": (
        rows("011111 011110 010111"),
        rows("110111 001011 011111"),
        (0.0, 2 / 135, 2.0, -0.5237022127, 0.5237022127, 1.0),
    ),
    "two hundred examples": (
        remainders(3, 2),
        remainders(5, 3),
        (4 / 125, 64969 / 49750000, 9.3036403499, -0.0493435153, 0.1133435153, 0.3981905712),
    ),
}


def closed(found: Estimate) -> Estimate:
    """Return an estimate with the interval of the closed form alone, however few examples decide it."""
    return replace(found, wilson=None).at(found.confidence)


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_difference(name: str) -> None:
    a_RN, b_RN, expected = GOLDEN[name]
    found = closed(accuracy_difference(a_RN, b_RN))
    values = (found.estimate, found.variance, found.df, found.low, found.high, found.p)
    assert values == pytest.approx(expected, **TIGHT)
    assert list(found.seeds) == [len(a_RN), len(b_RN)]
    assert found.examples == a_RN.shape[1]


def test_golden_seed_variances() -> None:
    def seed_variance(correct_RN: np.ndarray) -> float:
        return _Part.of(Values.of_correct(correct_RN), None).seed_variance

    a_RN, b_RN, _ = GOLDEN["plain"]
    assert seed_variance(a_RN) == pytest.approx(1 / 25 - 19 / 135 / 10, **TIGHT)
    assert seed_variance(b_RN) == pytest.approx(4 / 75 - 22 / 135 / 10, **TIGHT)
    a_RN, b_RN, _ = GOLDEN["unequal seeds"]
    assert seed_variance(a_RN) == 0.0  # s2 is 0, and 0 - MSE/N is cut
    assert b_RN.mean(1).var(ddof=1) == pytest.approx(1 / 256, **TIGHT)  # s2 is not 0, but less than MSE/N
    assert seed_variance(b_RN) == 0.0


def test_golden_other_confidence() -> None:
    a_RN, b_RN, _ = GOLDEN["no seed variance left"]
    inner = accuracy_difference(a_RN, b_RN).at(0.90)
    assert (closed(inner).low, closed(inner).high) == pytest.approx((0.0188850751, 0.4811149249), **TIGHT)


def test_two_hundred_examples_need_no_wilson_interval() -> None:
    a_RN, b_RN, _ = GOLDEN["two hundred examples"]
    for found in (accuracy_difference(a_RN, b_RN), accuracy_interval(a_RN)):
        assert found.wilson is None
        assert found.method == METHOD_BOTH


def test_golden_single_model() -> None:
    a_RN, b_RN, _ = GOLDEN["two hundred examples"]
    assert list(a_RN.sum(1)) == [186, 172, 158, 179, 165]
    assert list(b_RN.sum(1)) == [179, 166, 152, 173, 158]
    found = accuracy_interval(a_RN)
    assert (found.estimate, found.low, found.high) == pytest.approx(
        (0.86, 0.7928303428, 0.9271696572), **TIGHT
    )
    assert found.p is None


def test_golden_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06], **TIGHT)


Pair = tuple[np.ndarray, np.ndarray]


@st.composite
def pair_of_matrices(draw: st.DrawFn) -> Pair:
    examples = draw(st.integers(2, 12))

    def matrix() -> st.SearchStrategy[np.ndarray]:
        return hnp.arrays(np.bool_, (draw(st.integers(1, 5)), examples))

    return draw(matrix()), draw(matrix())


@given(pair_of_matrices())
def test_swapping_the_models_mirrors_the_difference(pair: Pair) -> None:
    there, back = accuracy_difference(*pair), accuracy_difference(*pair[::-1])
    assert back.estimate == -there.estimate
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=1e-12)
    assert back.p == pytest.approx(there.p, abs=1e-9)


@given(pair_of_matrices())
def test_intervals_contain_their_estimate_and_have_a_width(pair: Pair) -> None:
    difference = accuracy_difference(*pair)
    assert -1 <= difference.low <= difference.estimate <= difference.high <= 1
    assert difference.variance >= 0
    assert difference.df >= min(difference.seeds) - 1 or min(difference.seeds) == 1
    assert difference.low < difference.high
    assert 0 <= present(difference.p) <= 1
    for matrix in pair:
        alone = accuracy_interval(matrix)
        assert 0 <= alone.low <= alone.estimate <= alone.high <= 1
        assert alone.low < alone.high
        assert alone.estimate == pytest.approx(matrix.mean())


@given(pair_of_matrices())
def test_p_and_interval_agree(pair: Pair) -> None:
    found = accuracy_difference(*pair)
    if abs(present(found.p) - 0.05) > 1e-9:
        assert (present(found.p) < 0.05) == (not found.low <= 0 <= found.high)


@given(pair_of_matrices(), st.randoms(use_true_random=False))
def test_order_of_seeds_and_examples_does_not_matter(pair: Pair, random: Random) -> None:
    a_RN, b_RN = pair
    column_N = list(range(a_RN.shape[1]))
    row_R = list(range(len(a_RN)))
    random.shuffle(column_N)
    random.shuffle(row_R)
    plain, shuffled = (
        accuracy_difference(a_RN, b_RN),
        accuracy_difference(a_RN[row_R][:, column_N], b_RN[:, column_N]),
    )
    assert shuffled.variance == pytest.approx(plain.variance, abs=1e-12)
    assert shuffled.estimate == plain.estimate


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=6)))
def test_a_model_does_not_differ_from_itself(matrix: np.ndarray) -> None:
    found = accuracy_difference(matrix, matrix)
    assert found.estimate == 0.0
    assert found.p == 1.0
    assert found.low <= 0 <= found.high


@pytest.mark.parametrize(("seeds", "examples"), [(10, 31), (3, 20), (1, 500)])
def test_all_answers_right_is_wilsons_interval_with_t(seeds: int, examples: int) -> None:
    found = accuracy_interval(np.ones((seeds, examples)))
    t, z = stats.t.ppf(0.975, examples - 1), stats.norm.ppf(0.975)
    low = (examples + z**2 / 2 - t * z / 2) / (examples + z**2)
    assert found.low == pytest.approx(low, **TIGHT)
    assert (found.estimate, found.high) == (1.0, 1.0)
    # Wilson's own, with z for t, is somewhat narrower.
    wilson_low, _ = wilson_interval(examples, examples)
    assert wilson_low - 0.01 < found.low < wilson_low
    assert METHOD_FEW in found.method


def test_one_run_with_few_wrong_answers_is_wilsons_interval_with_t() -> None:
    right_RN = np.ones((1, 60), int)
    right_RN[0, :4] = 0
    found = accuracy_interval(right_RN)
    # Wilson's formula, with the variance of a sample and t where it multiplies.
    z, t, share = stats.norm.ppf(0.975), stats.t.ppf(0.975, 59), 56 / 60
    center = (share + z**2 / 120) / (1 + z**2 / 60)
    half = t / (1 + z**2 / 60) * np.sqrt(share * (1 - share) / 59 + z**2 / 4 / 60**2)
    assert (found.low, found.high) == pytest.approx((center - half, center + half), **TIGHT)


@pytest.mark.parametrize("examples", [31, 100, 500])
def test_models_that_never_differ_have_tangos_interval_with_t(examples: int) -> None:
    right_RN = np.ones((10, examples), int)
    found = accuracy_difference(right_RN, right_RN)
    t, z = stats.t.ppf(0.975, examples - 1), stats.norm.ppf(0.975)
    assert found.p == 1.0
    assert (found.low, found.high) == pytest.approx((-t * z / (examples + z**2), t * z / (examples + z**2)), **TIGHT)
    verdict = Verdict.of(found, adjusted_tests([found])[0])
    assert verdict.finding is (Finding.EQUIVALENT if examples == 500 else Finding.INCONCLUSIVE)


def test_models_that_always_differ_have_a_p_value() -> None:
    right, wrong = np.ones((5, 4), int), np.zeros((5, 4), int)
    apart = accuracy_difference(right, wrong)
    assert (apart.estimate, apart.high) == (1.0, 1.0)
    # By an exact test four of four differ by chance with p = 0.125.
    assert apart.low < 0
    assert 0.05 < present(apart.p) < 0.125
    many = accuracy_difference(np.ones((5, 400)), np.zeros((5, 400)))
    assert many.low > 0.98
    assert present(many.p) < 1e-10


@given(st.integers(3, 9), st.integers(2, 300))
def test_p_of_few_discordant_examples_is_not_much_below_that_of_an_exact_test(discordant: int, concordant: int) -> None:
    # One run each, all differences on one side: the exact test of McNemar knows nothing of the concordant ones.
    a_RN = np.ones((1, discordant + concordant), int)
    b_RN = a_RN.copy()
    b_RN[0, :discordant] = 0
    assert present(accuracy_difference(a_RN, b_RN).p) > 0.6 * stats.binomtest(discordant, discordant).pvalue


def test_the_interval_has_no_jump_where_wilsons_interval_enters() -> None:
    # One more review answered wrongly at a time: no end moves by more than some reviews are worth.
    right_N = np.ones(2000, int)
    ends = []
    for wrong in range(61):
        right_N[:wrong] = 0
        found = accuracy_interval(np.tile(right_N, (5, 1)))
        assert (found.wilson is None) == (wrong > 33)  # k is a little above the count
        ends.append((found.low, found.high))
    assert np.abs(np.diff(ends, axis=0)).max() < 3 / 2000
    assert (np.diff(ends, axis=0) < 0).all(axis=1).sum() >= 59  # all right twice: high is 1


@pytest.mark.parametrize("margin", [0.005, 0.01, 0.03])
def test_equivalence_takes_a_least_number_of_examples(margin: float) -> None:
    least = examples_for_equivalence(margin)
    assert can_show_equivalence(least, margin)
    assert not can_show_equivalence(least - 1, margin)
    assert least > 1 / margin  # one review weighs less than the margin
    for examples in (least - 1, least):
        same_RN = np.ones((10, examples))
        assert (accuracy_difference(same_RN, same_RN).p_equivalent(margin) < ALPHA) is (examples == least)


@pytest.mark.parametrize("examples", [270, 299, 1100, 3000])
def test_equivalence_with_all_errors_on_one_side_is_rarely_false(examples: int) -> None:
    """B is wrong on 1 % of the examples, which is the margin, and A on none: an exact sum over the errors of B."""
    right_RN = np.ones((1, examples), bool)

    def is_equivalent(wrong: int) -> bool:
        found = accuracy_difference(right_RN, (np.arange(examples) >= wrong)[None])
        return can_be_equivalent(found, 0.01) and found.p_equivalent(0.01) < ALPHA

    errors = range(int(0.01 * examples) + 1)  # from the margin on, p is 1
    assert sum(stats.binom.pmf(wrong, examples, 0.01) for wrong in errors if is_equivalent(wrong)) <= ALPHA


@pytest.mark.parametrize(("more", "fewer"), [(6, 2), (3, 3), (15, 1), (0, 4)])
def test_equivalence_is_tested_by_the_score_at_the_margin(more: int, fewer: int) -> None:
    """The reference maximizes the likelihood of the shares under the hypothesis by search."""
    examples, margin = 400, 0.05
    a_RN = (np.arange(examples) >= fewer)[None]
    b_RN = ~((np.arange(examples) >= fewer) & (np.arange(examples) < fewer + more))[None]

    def p_below(one: int, other: int) -> float:
        if other == 0:
            return float(stats.binom.cdf(one, examples, margin))

        def unlikely(share: float) -> float:
            return -(one * math.log(share + margin) + other * math.log(share)
                     + (examples - one - other) * math.log(1 - 2 * share - margin))

        share = optimize.minimize_scalar(unlikely, bounds=(1e-12, (1 - margin) / 2 - 1e-12), method="bounded",
                                         options={"xatol": 1e-12}).x
        variance = (2 * share + margin - margin**2) / examples
        return float(stats.norm.cdf(((one - other) / examples - margin) / math.sqrt(variance)))

    found = accuracy_difference(a_RN, b_RN)
    assert found.p_equivalent(margin) == pytest.approx(max(
        replace(found, one_sided=None).p_equivalent(margin), p_below(more, fewer), p_below(fewer, more)), rel=1e-4)


def test_one_seed_has_an_interval_over_examples_only() -> None:
    a_RN, b_RN, _ = GOLDEN["two hundred examples"]
    a_RN, b_RN = np.tile(a_RN, (1, 5)), np.tile(b_RN, (1, 5))
    alone = accuracy_interval(a_RN[:1])
    assert alone.evidence_level is EvidenceLevel.RUNS
    assert alone.method == METHOD_EXAMPLES
    error = a_RN[0].std(ddof=1) / np.sqrt(1000)
    low, high = stats.t.interval(0.95, 999, loc=0.93, scale=error)
    assert (alone.low, alone.high) == pytest.approx((low, high), **TIGHT)
    assert accuracy_difference(a_RN[:1], b_RN).method == METHOD_EXAMPLES


def test_clusters_of_one_change_nothing_and_real_ones_widen() -> None:
    a_RN, b_RN, _ = GOLDEN["two hundred examples"]
    plain = accuracy_difference(a_RN, b_RN)
    ones = accuracy_difference(a_RN, b_RN, group_N=np.arange(200))
    assert (ones.low, ones.high, ones.df) == pytest.approx((plain.low, plain.high, plain.df), **TIGHT)
    twice = np.repeat(a_RN, 2, 1), np.repeat(b_RN, 2, 1)
    naive = accuracy_difference(*twice)
    clustered = accuracy_difference(*twice, group_N=np.repeat(np.arange(200), 2))
    assert clustered.variance > naive.variance


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_is_between_plain_and_bonferroni_and_keeps_order(p: list[float]) -> None:
    adjusted = [present(value) for value in holm(p)]
    for plain, value in zip(p, adjusted, strict=True):
        assert plain <= value <= min(1.0, len(p) * plain) or value == pytest.approx(plain)
    assert [adjusted[i] for i in np.argsort(p, kind="stable")] == sorted(adjusted)


def test_holm_leaves_out_what_was_not_tested() -> None:
    assert holm([None, 0.02, 0.03]) == [None, 0.04, 0.04]


@pytest.mark.parametrize(
    ("examples", "seeds", "points"),
    [(500, 5, 2.9), (500, 10, 2.5), (2000, 5, 1.7), (2000, 10, 1.4), (5500, 5, 1.3), (5500, 10, 1.0)],
)
def test_detectable_difference_of_common_designs(examples: int, seeds: int, points: float) -> None:
    # Seed deviation 0.5 points, seeds of a model disagree on 7 % of examples, models on 10 %. The published
    # guide has one decimal and does not name its degrees of freedom: hence a tenth of a point of room.
    design = design_of(0.005, 0.07, 0.10)
    assert 100 * design.detectable((seeds, seeds), examples) == pytest.approx(points, abs=0.1)


def test_design_is_that_of_counting_pairs_of_runs_that_disagree() -> None:
    """d_s and d_x count pairs of runs; the parts of the variance have 1/(N - 1) in place of 1/N."""
    a_RN, b_RN, _ = GOLDEN["two hundred examples"]
    found = accuracy_difference(a_RN, b_RN)
    design = present(found.design)
    within = [np.mean([(y_RN[s] != y_RN[t]).mean() for s in range(5) for t in range(s)]) for y_RN in (a_RN, b_RN)]
    between = np.mean([(a != b).mean() for a in a_RN for b in b_RN])
    for y_RN, noise, d, seed in zip((a_RN, b_RN), design.noise, within, design.seed, strict=True):
        s2 = y_RN.mean(1).var(ddof=1)
        assert noise == pytest.approx((d / 2 - s2) * 200 / 199)
        assert seed == pytest.approx(s2 - noise / 200)
    total = between - found.estimate**2 - sum(d / 2 for d in within) + sum(
        (d / 2 - 199 / 200 * noise) / 5 for d, noise in zip(within, design.noise, strict=True))
    assert design.floor == pytest.approx(200 / 199 * total)
    assert design.variance((5, 5), 200) == pytest.approx(found.variance)


def test_variance_is_the_variance_sum_where_seeds_vary() -> None:
    """floor + sum s2/R is v + sum max(0, s2 - MSE/N)/R where no term is cut off at 0."""
    rng = np.random.default_rng(1)
    chance_R1 = rng.normal(0.8, 0.05, (6, 1))
    a, b = (rng.random((6, 900)) < chance_R1 for _ in range(2))
    found = accuracy_difference(a, b)
    assert present(found.design).variance((6, 6), 900) == pytest.approx(found.variance, rel=1e-9)


def test_more_seeds_detect_less_until_examples_are_the_limit() -> None:
    design = design_of(0.005, 0.07, 0.10)
    values = [design.detectable((r, r), 2000) for r in (5, 10, 50, 10_000)]
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(2.8 * np.sqrt(0.03 / 2000), rel=1e-2)


def made(theta: float, deviation: float, seeds: int = 10) -> Estimate:
    """Return a difference of the given size and standard error."""
    plain = Estimate(
        theta, theta, theta, 0.95, deviation**2, 40.0, (seeds, seeds), 2000, METHOD_BOTH
    )
    return plain.at(0.95)


@pytest.mark.parametrize(
    ("theta", "deviation", "seeds", "finding", "favours"),
    [
        (0.02, 0.008, 10, Finding.BETTER, 1),
        (-0.02, 0.008, 5, Finding.BETTER, -1),
        (0.005, 0.002, 10, Finding.NEGLIGIBLE, 1),
        (0.001, 0.002, 10, Finding.EQUIVALENT, 0),
        # Here the 90 % interval, which decides, lies within the margin, and the 95 % interval does not.
        (0.0, 0.0055, 10, Finding.EQUIVALENT, 0),
        (0.01, 0.008, 10, Finding.INCONCLUSIVE, 0),
        # Few seeds may show a difference, but never equivalence.
        (0.03, 0.008, 4, Finding.BETTER, 1),
        (-0.02, 0.008, 2, Finding.BETTER, -1),
        (0.005, 0.002, 4, Finding.BETTER, 1),
        (0.001, 0.002, 4, Finding.INCONCLUSIVE, 0),
        (0.001, 0.002, 2, Finding.INCONCLUSIVE, 0),
        # One run: it is about these runs.
        (0.03, 0.008, 1, Finding.BETTER, 1),
        (0.001, 0.002, 1, Finding.EQUIVALENT, 0),
    ],
)
def test_verdicts(theta: float, deviation: float, seeds: int, finding: Finding, favours: int) -> None:
    difference = made(theta, deviation, seeds)
    found = Verdict.of(difference, adjusted_tests([difference])[0])
    assert (found.finding, found.favours) == (finding, favours)


ANY_PAIR = given(
    st.floats(-0.2, 0.2), st.floats(1e-4, 0.1), st.integers(5, 20), st.floats(1, 6), st.floats(0.001, 0.05))
"""Draws the difference of a pair, its standard deviation and seeds, a factor of its p values, and a margin."""


def times(factor: float, difference: Estimate, margin: float) -> PairTests:
    """Return the tests of a pair, with p values as many times as large."""
    alone = present(adjusted_tests([difference], margin)[0])
    return PairTests(*(min(1.0, factor * p) for p in (alone.different, alone.equivalent)))


@ANY_PAIR
def test_no_verdict_contradicts_its_numbers(
    theta: float, deviation: float, seeds: int, factor: float, margin: float
) -> None:
    difference = made(theta, deviation, seeds)
    adjusted = times(factor, difference, margin)
    found = Verdict.of(difference, adjusted, margin)
    inner = difference.at(0.90)
    if found.favours:
        assert found.favours * theta > 0
        assert found.favours * (difference.low if theta > 0 else difference.high) > 0
        assert adjusted.different < 0.05
    if found.finding in (Finding.EQUIVALENT, Finding.NEGLIGIBLE):
        assert -margin < inner.low <= inner.high < margin
    if found.finding is Finding.INCONCLUSIVE:
        assert adjusted.different >= 0.05


@ANY_PAIR
def test_the_p_that_is_shown_with_a_verdict_is_the_one_that_decides_it(
    theta: float, deviation: float, seeds: int, factor: float, margin: float
) -> None:
    difference = made(theta, deviation, seeds)
    tests = times(factor, difference, margin)
    pair = Compared(("a", "b"), difference, tests, 1, Verdict.of(difference, tests, margin))
    p, finding = present(quantity(pair, decided_by(pair)).value), pair.verdict.finding
    assert (p < 0.05) == (finding is not Finding.INCONCLUSIVE)
    assert p == {
        Finding.BETTER: tests.different,
        Finding.NEGLIGIBLE: max(tests.different, tests.equivalent), Finding.EQUIVALENT: tests.equivalent,
        Finding.INCONCLUSIVE: tests.different}[finding]
    assert f"{TESTS[decided_by(pair)]}: p " in in_words(pair, verdict_template(pair))


@pytest.mark.parametrize(("seeds", "interval", "level"), [
    (1, True, EvidenceLevel.RUNS), (2, False, EvidenceLevel.FEW), (3, True, EvidenceLevel.FEW),
    (4, True, EvidenceLevel.FEW), (5, True, EvidenceLevel.CLAIM), (10, True, EvidenceLevel.CLAIM)])
def test_what_a_number_of_seeds_is_enough_for(seeds: int, interval: bool, level: EvidenceLevel) -> None:
    found = made(0.0, 0.01, seeds)
    assert (found.has_interval, found.evidence_level) == (interval, level)


@pytest.mark.parametrize(("seeds", "qualifier"), [(1, "these runs only"), (2, "few seeds"), (4, "few seeds"), (5, "")])
def test_a_pair_of_few_seeds_is_labelled(seeds: int, qualifier: str) -> None:
    difference = made(0.03, 0.008, seeds)
    tests = adjusted_tests([difference])[0]
    pair = Compared(("a", "b"), difference, tests, 1, Verdict.of(difference, tests))
    assert pair.qualifier == qualifier
    sentence = in_words(pair, verdict_template(pair))
    assert ("few seeds" in sentence, "these runs alone" in sentence) == (
        qualifier == "few seeds", qualifier == "these runs only")


def probit_runs(
    rng: np.random.Generator, seeds: int, examples: int = 800, churn: float = 0.35, seed_effect: float = 0.02
) -> np.ndarray:
    ease_N = rng.normal(1.2, 1.0, examples)
    latent_RN = (
        ease_N + churn * rng.normal(size=(seeds, examples)) + seed_effect * rng.normal(size=(seeds, 1))
    )
    return latent_RN > 0


def test_interval_covers_the_true_difference() -> None:
    # Two equal procedures, new examples and new seeds each time: 95 % of intervals should hold 0. With 400
    # repetitions the count has a standard deviation of 1.1 points.
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(400):
        ease_N = rng.normal(1.2, 1.0, 500)
        found = []
        for _ in range(2):
            lean_N = 0.25 * rng.normal(size=500)
            latent_RN = ease_N + lean_N + 0.3 * rng.normal(size=(5, 500)) + 0.02 * rng.normal(size=(5, 1))
            found.append(latent_RN > 0)
        difference = accuracy_difference(found[0], found[1])
        covered += difference.low <= 0 <= difference.high
    assert 0.92 <= covered / 400 <= 0.985


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: accuracy_interval(np.ones(3)), r"\(R, N\).*R >= 1.*N >= 2.*\(3,\)"),
        (lambda: accuracy_interval(np.full((2, 3), 2)), "0 or 1"),
        (lambda: accuracy_difference(np.ones((2, 3)), np.ones((2, 4))), "same examples.*3.*4"),
        (lambda: accuracy_interval(np.ones((2, 3))).at(95), "confidence.*0 and 1.*95"),
        (lambda: holm([1.5]), "p must.*0 and 1.*1.5"),
        (lambda: EvidenceLevel.of(0), "at least 1 seed.*0"),
        (lambda: Verdict.of(made(0, 0.1), None, margin=0), "margin.*greater than 0.*0"),
        (lambda: design_of(0.1, 0.1, 0.1).detectable((1, 2), 9), "seeds.*at least 2.*1"),
    ],
)
def test_refuses_values_out_of_range(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_examples_for_a_difference_are_the_fewest_that_detect_it() -> None:
    design = design_of(0.002, 0.07, 0.10)
    needed = present(design.examples_for(0.01, 10))
    assert design.detectable((10, 10), needed) <= 0.01 < design.detectable((10, 10), needed - 1)
    noisy = design_of(0.05, 0.07, 0.10)
    assert noisy.examples_for(0.01, 5) is None  # the seeds alone are too far apart


@pytest.mark.parametrize(("right", "examples"), [(0, 10), (10, 10), (3, 7), (250, 300)])
def test_wilsons_interval_is_that_of_scipy(right: int, examples: int) -> None:
    low, high = wilson_interval(right, examples)
    wanted = stats.binomtest(right, examples).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((wanted.low, wanted.high), **TIGHT)
    assert low < high
    with pytest.raises(ValueError, match=r"right.*between 0 and"):
        wilson_interval(examples + 1, examples)


RARE = accuracy_difference(rows("1111111110 1111111111"), rows("1111111111 1111101111"))
"""A difference that few examples decide."""


class TestFamily:
    """Each kind of finding keeps its error over all pairs that are compared together."""

    def test_a_p_value_is_the_level_at_which_the_interval_decides(self) -> None:
        for difference in (made(0.004, 0.003), made(-0.03, 0.008), RARE):
            if (p := present(difference.p)) < 1:
                outer = difference.at(1 - p)
                assert min(abs(outer.low), abs(outer.high)) == pytest.approx(0, abs=1e-8)
            for margin in (0.002, 0.01, 0.05, 0.5):
                equivalent = difference.p_equivalent(margin)
                if 1e-9 < equivalent < 0.5:
                    inner = difference.at(1 - 2 * equivalent)
                    assert max(-inner.low, inner.high) == pytest.approx(margin, rel=1e-6)

    def test_holm_adjusts_each_kind_by_itself(self) -> None:
        differences = [made(0.0, 0.0045), made(0.03, 0.009), made(0.001, 0.004)]
        found = [present(one) for one in adjusted_tests(differences)]
        alone: dict[str, list[float | None]] = {
            "different": [one.p for one in differences],
            "equivalent": [one.p_equivalent(0.01) for one in differences]}
        for kind, p in alone.items():
            assert [getattr(one, kind) for one in found] == holm(p)

    def test_p_of_a_question_that_is_asked_again_is_multiplied_before_holm(self) -> None:
        differences = [made(0.03, 0.009), made(0.02, 0.009), made(0.0, 0.009)]
        found = adjusted_tests(differences, asked=[1, 2, 2])
        p = [present(one.p) for one in differences]
        assert [present(one).different for one in found] == holm([p[0], 2 * p[1], 1.0])

    def test_a_finding_that_stands_alone_may_fall_in_a_family(self) -> None:
        for difference, alone in ((made(0.0, 0.0055), Finding.EQUIVALENT), (made(0.02, 0.009), Finding.BETTER)):
            for others, finding in ((0, alone), (9, Finding.INCONCLUSIVE)):
                family = [difference, *[made(0.01, 0.02)] * others]
                assert Verdict.of(difference, adjusted_tests(family)[0]).finding is finding

    @pytest.mark.parametrize("seeds", [1, 2, 4])
    def test_pairs_of_few_seeds_count_and_those_of_few_groups_do_not(self, seeds: int) -> None:
        few, other = made(0.03, 0.001, seeds=seeds), made(0.02, 0.009)
        first, second = adjusted_tests([few, other])
        assert present(first).different == 2 * present(few.p)
        assert present(second).different == present(other.p)
        first, second = adjusted_tests([other, made(0.02, 0.0095, seeds=seeds)])
        assert present(first).different == 2 * present(other.p)
        assert adjusted_tests([replace(few, groups=8), other]) == [None, adjusted_tests([other])[0]]

    def test_a_larger_family_detects_less(self) -> None:
        one, ten = (design_of(0.005, 0.07, 0.1, family=family) for family in (1, 10))
        assert ten.detectable((5, 5), 2000) > 1.2 * one.detectable((5, 5), 2000)

    def test_the_rate_of_failures_that_go_unseen(self) -> None:
        assert [round(100 * unseen_failures(seeds)) for seeds in (5, 10, 20)] == [45, 26, 14]

    def test_losses_that_few_examples_decide_show_no_equivalence(self) -> None:
        rng = np.random.default_rng(0)
        usual_RN, other_RN = rng.normal(0.3, 0.01, (2, 5, 5000))
        tailed_RN = usual_RN.copy()
        tailed_RN[:, :10] += 0.2
        tailed_RN[:, 10:20] -= 0.2
        for loss_RN, finding in ((usual_RN, Finding.EQUIVALENT), (tailed_RN, Finding.INCONCLUSIVE)):
            difference = estimate(Values(loss_RN, (0.0, math.inf)), Values(other_RN, (0.0, math.inf)))
            decided = Verdict.of(difference, adjusted_tests([difference])[0])
            assert (decided.finding, difference.deciding < 50) == (finding, finding is Finding.INCONCLUSIVE)
            assert ("few test examples" in difference.method) is (difference.deciding < 50)


class TestGroups:
    """Examples in groups: the values are exact fractions, or computed by hand with 6 digits."""

    def test_golden_difference(self) -> None:
        groups_N = np.array([*"0000011122333456"])
        a_RN, b_RN = rows("1110110111101111 1100110111111110 1110111110111111"), rows(
            "1100010111000111 1000110101100110")
        found = accuracy_difference(a_RN, b_RN, group_N=groups_N)
        wilson = present(found.wilson)
        assert (found.estimate, found.variance) == pytest.approx((9 / 32, 793267 / 69189120), **TIGHT)
        assert (found.df, wilson.df, found.effective, wilson.weight) == pytest.approx(
            (3.069602, 3.204396, 10.892464, 1.0), abs=1e-6)
        assert (found.low, found.high) == pytest.approx((-0.332999, 0.748843), abs=1e-6)
        half = stats.t.ppf(0.975, found.df) * np.sqrt(found.variance)
        assert half == pytest.approx(0.336433, abs=1e-6)

    def test_golden_accuracy(self) -> None:
        found = accuracy_interval(rows("1111111110 1010101010 1111101110"), group_N=np.array([*"0001122223"]))
        assert (found.estimate, found.variance) == pytest.approx((11 / 15, 5 / 216), **TIGHT)
        assert (found.df, present(found.wilson).df) == pytest.approx((3.413234, 1.771984), abs=1e-6)
        assert found.low == pytest.approx(0.203404, abs=1e-6)
        assert found.high == 1.0

    def test_groups_of_one_example_change_nothing(self) -> None:
        a_RN, b_RN = (np.random.default_rng(seed).random((5, 300)) < 0.8 for seed in (1, 2))
        alone, grouped = accuracy_difference(a_RN, b_RN), accuracy_difference(a_RN, b_RN, group_N=np.arange(300))
        assert (grouped.low, grouped.high, grouped.df) == pytest.approx((alone.low, alone.high, alone.df), **TIGHT)
        assert (grouped.effective, grouped.groups) == (300, 300)

    def test_groups_of_fixed_strata_vary_around_the_mean_of_their_stratum(self) -> None:
        """A reference in loops: two strata of three groups, and a group that is alone in its stratum."""
        groups, sizes = [*"aaabccc"], (4, 6, 5, 4, 3, 7, 5)
        group_N, stratum_N = np.repeat(np.arange(7), sizes), np.repeat(groups, sizes)
        right_1N = (np.random.default_rng(0).random(34) < np.where(stratum_N == "a", 0.9, 0.4))[None]
        found = accuracy_interval(right_1N, group_N, stratum_N)
        y_N, theta, v = right_1N[0].astype(float), right_1N.mean(), 0.0
        for group, (stratum, size) in enumerate(zip(groups, sizes, strict=True)):
            own_N = stratum_N == stratum if stratum != "b" else np.ones(34, bool)
            total = sum(y - y_N[own_N].mean() for y in y_N[group_N == group])
            v += total**2 / (1 - size / own_N.sum())
        assert (found.estimate, found.variance) == pytest.approx((theta, v / 34**2), **TIGHT)
        assert found.variance < accuracy_interval(right_1N, group_N).variance

    def test_strata_that_fix_no_share_change_nothing(self) -> None:
        right_RN, group_N = np.random.default_rng(1).random((5, 60)) < 0.8, np.arange(60) // 3
        for stratum_N in (group_N, np.zeros(60, int)):  # each group alone in its stratum, and one stratum for all
            found, plain = accuracy_interval(right_RN, group_N, stratum_N), accuracy_interval(right_RN, group_N)
            assert (found.low, found.high, found.df) == pytest.approx((plain.low, plain.high, plain.df), **TIGHT)

    def test_what_is_the_same_in_each_text_of_a_stratum_does_not_vary(self) -> None:
        stratum_N = np.repeat([0, 1], 60)
        found = accuracy_interval((stratum_N == 1)[None], np.arange(120) // 2, stratum_N)
        assert (found.low, found.high) == pytest.approx((0.5, 0.5), **TIGHT)

    def test_too_few_groups_give_no_verdict(self) -> None:
        a_RN, b_RN = (np.random.default_rng(seed).random((5, 300)) < 0.8 for seed in (1, 2))
        difference = accuracy_difference(a_RN, b_RN, group_N=np.arange(300) // 20)
        adjusted = adjusted_tests([difference])
        assert adjusted == [None]
        assert Verdict.of(difference, None).finding is Finding.TOO_FEW_GROUPS

    @pytest.mark.slow
    def test_the_interval_covers_where_answers_in_a_group_are_alike(self) -> None:
        """With 50 groups, an interval that ignores them covers clearly less."""
        rng = np.random.default_rng(0)
        sizes = rng.integers(1, 20, 50)
        groups_N = np.repeat(np.arange(50), sizes)
        covered = np.zeros(2)
        for _ in range(400):
            latent_N = 0.5 * rng.normal(size=50)[groups_N] + 0.8 * rng.normal(size=groups_N.size)
            right_RN = latent_N + 0.3 * rng.normal(size=(5, groups_N.size)) > -1
            for place, clusters in enumerate((None, groups_N)):
                found = accuracy_interval(right_RN, group_N=clusters)
                covered[place] += found.low <= 0.8438 <= found.high
        assert covered[1] / 400 > 0.92
        assert covered[1] > covered[0] + 20
