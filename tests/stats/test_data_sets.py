"""The mean difference over data sets: Student's t over data sets, and what fewer than five of them say."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy import stats

from gru_bench.stats.data_sets import mean_difference, over_data_sets
from gru_bench.stats.estimate import Estimate, accuracy_difference
from gru_bench.stats.sentence import in_words, slots_in, verdict_template
from gru_bench.stats.verdict import Finding, holm
from tests.support.commands import mentions

TIGHT: Any = {"rel": 1e-12, "abs": 1e-14}


def of(*theta: float, variance: float = 1e-4) -> list[Estimate]:
    """Return a difference on each data set."""
    return [Estimate(one, one, one, 0.95, variance, 50.0, (5, 5), 2000, "", effective=2000).at(0.95)
            for one in theta]


@pytest.mark.parametrize(("count", "seed"), list(product((3, 4, 5, 10), range(3))))
def test_the_mean_is_the_one_of_a_t_test_over_data_sets(count: int, seed: int) -> None:
    theta_D = np.random.default_rng(seed).normal(0.01, 0.02, count)
    found, wanted = mean_difference(of(*theta_D)), stats.ttest_1samp(theta_D, 0.0)
    assert found.p == pytest.approx(wanted.pvalue, **TIGHT)
    for confidence in (0.9, 0.95):
        ends, own = wanted.confidence_interval(confidence), found.at(confidence)
        assert (own.low, own.high) == pytest.approx((ends.low, ends.high), **TIGHT)


def test_the_variance_on_a_data_set_has_no_part_in_it() -> None:
    theta = (0.01, 0.03, 0.02, -0.01)
    assert mean_difference(of(*theta)) == mean_difference(of(*theta, variance=0.5))


@pytest.mark.parametrize("theta", [(0.03, 0.01), (0.02, 0.02, 0.02, 0.02, 0.02)])
def test_two_data_sets_or_equal_differences_are_a_statement_on_these_alone(theta: tuple[float, ...]) -> None:
    each = of(*theta, variance=4e-4)
    found, (pair,) = mean_difference(each), over_data_sets([(("a", "b"), each)], 0.01)
    half = np.sqrt(sum(((one.high - one.low) / 2) ** 2 for one in each)) / len(each)
    assert (found.low, found.high) == pytest.approx((0.02 - half, 0.02 + half), **TIGHT)
    assert (pair.verdict.finding, pair.tests) == (Finding.TOO_FEW_DATA_SETS, None)
    sentence = in_words(pair, verdict_template(pair))
    assert ("at least 5" in sentence) is (len(theta) < 5)
    assert pair.interval_name != over_data_sets([(("a", "b"), of(0.01, 0.02, 0.03))], 0.01)[0].interval_name


def test_models_that_answer_alike_everywhere_still_have_an_interval() -> None:
    same = np.ones((5, 200), bool)
    found = mean_difference([accuracy_difference(same, same)] * 6)
    assert found.low < 0 < found.high


def test_a_verdict_takes_five_data_sets_and_holm_counts_every_pair() -> None:
    clear, small, few = (0.05, 0.06, 0.04, 0.05, 0.07), (0.001, -0.001, 0.002, 0.0, -0.002), (0.05, 0.06, 0.04, 0.05)
    first, second, third = over_data_sets(
        [(("a", "b"), of(*clear)), (("a", "c"), of(*small)), (("b", "c"), of(*few))], 0.01)
    assert [one.verdict.finding for one in (first, second, third)] == [
        Finding.BETTER_BY_MARGIN, Finding.EQUIVALENT, Finding.TOO_FEW_DATA_SETS]
    assert (first.favours, second.favours, third.tests, third.family) == (1, 0, None, 3)
    raw = [float(stats.ttest_1samp(theta, 0.0).pvalue) for theta in (clear, small)]
    assert [one.tests and one.tests.different for one in (first, second)] == pytest.approx(holm(raw, 3), **TIGHT)
    for one in (first, second, third):
        assert slots_in(verdict_template(one)) >= {"data_sets", "wins", "losses"}
        mentions(in_words(one, verdict_template(one)), f"{len(one.each)} data sets")


def test_wins_and_losses_count_data_sets_and_lower_losses_are_better() -> None:
    each = of(0.05, 0.0, -0.01, 0.02, 0.03)
    (accuracy,), (loss,) = (over_data_sets([(("a", "b"), each)], 0.01, metric) for metric in ("accuracy", "log_loss"))
    assert ((accuracy.wins, accuracy.losses), (loss.wins, loss.losses)) == ((3, 1), (1, 3))


def test_one_data_set_has_no_mean() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        mean_difference(of(0.01))
